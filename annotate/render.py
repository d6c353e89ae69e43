"""Model text to HTML that is safe to put into a page: nothing runs, nothing loads, nothing vanishes.

Text goes through markdown-it with raw HTML off, so that a tag in an answer is shown and not obeyed, and
its HTML through nh3 with a list of what may remain: a second wall that does not trust the first.

    raw HTML               shown as text
    image                  shown as [image: alt — url]; no request leaves the page
    link                   http, https and mailto only, in a new tab; any other stays as it was written
    invisible character    written out, [U+202E]
    formula                <span class="math i"> or "math d" around its TeX, for KaTeX in the browser
    heading                h3 to h6, so that the page's own outline (h1, h2) stays its own; class h1 to h6
                           says which it was. Real headings, because a screen reader's user walks a long
                           answer by them; no level is skipped, whatever the model skipped
    link definition        shown as text as well as used: [x]: http://… "…" is no place to hide words
    cell beyond a table's  shown in the row's last cell
    line break             kept, in answers: people who wrote lines meant lines

What can be wider than its card lies in `<div class="scroll" data-scroll="code|table|formula" tabindex="0"
role="group">`, which the keyboard can scroll. The name it needs depends on the reader's language: the
page sets `aria-label` from `data-scroll` (and may drop `tabindex` where nothing overflows). It is a
group and no region, or nine answers would flood the list of landmarks.

Hostile text can also be slow text. What it may cost is bounded by counting: a feature whose signs
come too often is switched off for that answer, and an answer that is still too much is shown as it
was written. No id, name or anchor ever comes from the text.
"""

import functools
import hashlib
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt

from annotate.render_code import classes, highlight_css
from annotate.render_math import add_math
from annotate.render_rules import TooCostly, add_rules, source
from data.text import visible

__all__ = ["Rendered", "highlight_css", "render", "render_guidelines"]

MAX_TEXT = 300_000  # characters; a longer text is shown as it was written
MAX_LINES = 10_000
MAX_KEPT = 64_000_000  # characters of HTML in the cache, all entries together
OVERHEAD = 500  # what an entry costs beside its HTML, in the same unit

# Signs of a feature, how many of them one answer may hold, and the rules switched off beyond that.
COSTLY: tuple[tuple[tuple[str, ...], int, tuple[str, ...]], ...] = (
    (("[",), 1_000, ("link", "image", "reference")),
    (("*", "_", "~"), 20_000, ("emphasis", "strikethrough")),
    (("<",), 5_000, ("autolink",)),
    (("&",), 20_000, ("entity",)),
    ((">",), 30_000, ("blockquote",)),
    (("\\(", "\\["), 2_000, ("math_slash", "math_block")),
)

_HEADINGS = ("h2", "h3", "h4", "h5", "h6")
_LEVELS = frozenset({"h1", *_HEADINGS})
_OTHERS = "a blockquote br code div em hr li ol p pre s span strong table tbody td th thead tr ul"
TAGS = frozenset({*_OTHERS.split(), *_HEADINGS})
CLASSES: dict[str, frozenset[str]] = {
    "span": classes() | {"math", "i", "d", "image", "lang"},
    "div": frozenset({"scroll"}),
    "pre": frozenset({"source"}),
    "p": _LEVELS | {"definition"},
    **dict.fromkeys(_HEADINGS, _LEVELS),
}


class Rendered(NamedTuple):
    """HTML for the page, and what the reader should be told about it."""

    html: str
    cut: bool
    """Nested deeper than is drawn: what lies below that depth is shown as it was written."""
    plain: bool
    """The whole text is shown as it was written, because it was too large or too costly to draw."""


_kept: OrderedDict[bytes, Rendered] = OrderedDict()
_size = 0
_lock = threading.Lock()


def render(text: str) -> Rendered:
    """A model's text (Markdown, code, tables, TeX) as safe HTML.

    The same text always gives the same result, which is kept by the text's hash; two threads that ask
    for a new one at once may both do the work. It is pure Python and can hold the interpreter for one or
    two seconds on the worst text of 300,000 characters: call it from a plain function, never a coroutine.
    """
    return _cached(text, base=3, breaks=True)


def render_guidelines(text: str) -> str:
    """A lead's own Markdown as HTML: the same walls; headings from h2, line breaks as Markdown has them."""
    return _cached(text, base=2, breaks=False).html


def _cached(text: str, *, base: int, breaks: bool) -> Rendered:
    global _size
    key = hashlib.sha256(f"{base} {breaks} ".encode() + text.encode("utf-8", "surrogatepass")).digest()
    with _lock:
        if (found := _kept.get(key)) is not None:
            _kept.move_to_end(key)
            return found
    made = _draw(text, base, breaks)
    with _lock:
        if key not in _kept:
            _kept[key] = made
            _size += len(made.html) + OVERHEAD
        while _size > MAX_KEPT and len(_kept) > 1:
            _size -= len(_kept.popitem(last=False)[1].html) + OVERHEAD
    return made


def _draw(text: str, base: int, breaks: bool) -> Rendered:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) <= MAX_TEXT and text.count("\n") <= MAX_LINES:
        env: dict[str, Any] = {"base": base}
        try:
            html = _parser(breaks, switched_off(text)).render(text, env)
            # Written out last of all: an entity such as &#x202E; is a character only after parsing, and
            # a bracket added before it could become a link's.
            return Rendered(_cleaner().clean(visible(html)), bool(env.get("cut")), False)
        except (TooCostly, RecursionError):
            pass
    return Rendered(_cleaner().clean(source(visible(text))), False, True)


def switched_off(text: str) -> frozenset[str]:
    """The Markdown rules this text does not get, because it holds too many of their signs."""
    return frozenset(rule for signs, most, rules in COSTLY if sum(map(text.count, signs)) > most for rule in rules)


@functools.cache
def _parser(breaks: bool, off: frozenset[str]) -> MarkdownIt:
    # 100 is never reached by blocks: render_rules stops well before it, without losing what lies deeper.
    md = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "maxNesting": 100})
    md.enable(["table", "strikethrough"])
    add_math(md)
    add_rules(md)
    return md.disable(sorted(off))


@functools.cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=TAGS,
        clean_content_tags=set(),
        attributes={"a": {"href", "title"}, "td": {"style"}, "th": {"style"}, "ol": {"start"}},
        allowed_classes=CLASSES,  # a free class would let an answer borrow the page's own styles
        tag_attribute_values={
            "div": {"tabindex": {"0"}, "role": {"group"}, "data-scroll": {"code", "table", "formula"}}
        },
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        filter_style_properties={"text-align"},
    )
