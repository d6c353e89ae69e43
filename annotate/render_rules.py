"""What our Markdown does otherwise than CommonMark: its limits, and the places where text would vanish."""

import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml, unescapeAll
from markdown_it.rules_block import StateBlock, reference, table
from markdown_it.rules_block.table import escapedSplit, getLine
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from annotate.render_code import MAX_BLOCKS, MAX_CODE, highlight

MAX_DEPTH = 50  # quotes and lists in each other; a list counts twice, for itself and its item
MAX_TOKENS = 30_000  # pieces of block structure, about half a second's work
MAX_COLUMNS = 100
MAX_CELLS = 10_000  # in all tables of a text: a short row is filled up to the header's width

# No user part: http://bank.example@evil.example/ is written to be misread.
_LINK = re.compile(
    r"https?://(?:[^\s/?#@:%\[\]\\<>]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:[/?#].*)?|mailto:[^\s:]+@\S+",
    re.IGNORECASE | re.DOTALL,
)


class TooCostly(Exception):
    """The text has more structure than is worth drawing."""


def add_rules(md: MarkdownIt) -> None:
    """Put our limits, our table, link definitions, headings, links, images and code into a parser."""
    md.validateLink = is_link  # type: ignore[method-assign]
    md.block.ruler.before("table", "limits", _limits)
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    md.block.ruler.at("reference", _definition)
    md.core.ruler.push("outline", _outline)
    md.core.ruler.push("empty", _empty)
    for name, rule in _DRAWN.items():
        md.add_render_rule(name, rule)


def is_link(url: str) -> bool:
    """Whether an answer may link there: a web address with a host, or a mail address.

    Addresses within this site are none: an answer has no business on our pages.
    """
    return _LINK.fullmatch(url) is not None


def _limits(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Runs before every block: counts, and shows what lies too deep as it was written."""
    if len(state.tokens) > MAX_TOKENS:
        raise TooCostly
    if silent or state.level < MAX_DEPTH:
        return False
    line = start + 1
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        line += 1  # a line indented less is outside of the list we are in
    token = state.push("too_deep", "", 0)
    token.content = state.getLines(start, line, state.blkIndent, False)
    state.env["cut"] = True
    state.line = line
    return True


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table of bearable size, its rows' surplus cells kept in the last one; a larger one stays text."""
    env = state.env
    if env.get("no_more_tables") or not table(state, start, end, True):
        return False
    columns = len(escapedSplit(getLine(state, start)))
    rows = 1
    while start + 1 + rows < end and not state.isEmpty(start + 1 + rows) and rows <= MAX_CELLS:
        rows += 1
    if columns > MAX_COLUMNS or env.get("cells", 0) + rows * columns > MAX_CELLS:
        env["no_more_tables"] = True
        return False
    if silent:
        return True
    first = len(state.tokens)
    table(state, start, end, False)
    tokens = state.tokens[first:]
    env["cells"] = env.get("cells", 0) + sum(t.type == "inline" for t in tokens)
    width = sum(t.type == "th_open" for t in tokens)
    row: list[str] = []
    cells: list[Token] = []
    for token in tokens:
        if token.type == "tr_open":
            row, cells = _cells(getLine(state, (token.map or [start])[0])), []
        elif token.type == "inline":
            cells.append(token)
            if len(cells) == width and len(row) > width:
                token.content = " | ".join([token.content, *row[width:]])
    return True


def _cells(line: str) -> list[str]:
    """A table row's cells, without the empty ones that its outer bars make."""
    cells = [cell.strip() for cell in escapedSplit(line.strip())]
    if cells and not cells[0]:
        cells.pop(0)
    if cells and not cells[-1]:
        cells.pop()
    return cells


def _definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A link definition does its work and is shown, because CommonMark would let it vanish."""
    if not reference(state, start, end, silent):
        return False
    if not silent:
        token = state.push("definition", "", 0)
        token.content = state.getLines(start, state.line, state.blkIndent, False)
    return True


def _outline(state: StateCore) -> None:
    """Give headings levels from the page's base on, each at most one below the heading it stands under.

    A heading without text becomes a paragraph: one that says nothing only misleads who walks by them.
    """
    above: list[int] = []
    tokens = state.tokens
    for i, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        level = int(token.tag[1])
        token.attrs["class"] = token.tag
        if any(child.content.strip() for child in tokens[i + 1].children or []):
            while above and above[-1] >= level:
                above.pop()
            above.append(level)
            tag = f"h{min(state.env['base'] + len(above) - 1, 6)}"
        else:
            tag = "p"
        token.tag = tokens[i + 2].tag = tag


def _empty(state: StateCore) -> None:
    """A link without text shows its address, one without an address is text; an empty header is a cell."""
    tokens = state.tokens
    for i, token in enumerate(tokens):
        if token.type == "th_open" and not tokens[i + 1].content:
            token.tag = tokens[i + 2].tag = "td"
        if token.type != "inline" or not token.children:
            continue
        kept: list[Token] = []
        bare = False
        for child in token.children:
            if child.type == "link_open":
                bare = not child.attrs.get("href")
            elif child.type == "link_close" and kept and kept[-1].type == "link_open":
                kept.append(_text(str(kept[-1].attrs["href"])))
            if bare and child.type in ("link_open", "link_close"):
                kept.append(_text("[" if child.type == "link_open" else "]()"))
            else:
                kept.append(child)
        token.children = kept


def _text(content: str) -> Token:
    token = Token("text", "", 0)
    token.content = content
    return token


def scroll(kind: str, inner: str) -> str:
    """The box for what can be wider than its card: the keyboard reaches it, and the page names it."""
    return f'<div class="scroll" data-scroll="{kind}" tabindex="0" role="group">{inner}</div>\n'


def source(content: str) -> str:
    """Text shown as it was written; the code element keeps a first line break, which <pre> would drop."""
    return scroll("code", f'<pre class="source"><code>{escapeHtml(content)}</code></pre>')


def _fence(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    token = tokens[i]
    info = unescapeAll(token.info).strip()
    env["code"] = env.get("code", 0) + len(token.content)
    env["blocks"] = env.get("blocks", 0) + 1
    cheap = env["code"] <= MAX_CODE and env["blocks"] <= MAX_BLOCKS
    code = highlight(token.content, info.split()[0] if info and cheap else "")
    label = f'<span class="lang">{escapeHtml(info)}</span>' if info else ""
    return scroll("code", f"{label}<pre><code>{code}</code></pre>")


def _code(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return scroll("code", f"<pre><code>{escapeHtml(tokens[i].content)}</code></pre>")


def _too_deep(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return source(tokens[i].content)


def _table_open(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return '<div class="scroll" data-scroll="table" tabindex="0" role="group"><table>\n'


def _table_close(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _shown_definition(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return f'<p class="definition">{escapeHtml(tokens[i].content)}</p>\n'


def _math_block(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return scroll("formula", f'<span class="math d">{escapeHtml(tokens[i].content)}</span>')


def _image(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    token = tokens[i]
    title = f' "{token.attrs["title"]}"' if token.attrs.get("title") else ""
    shown = f"[image: {token.content} — {token.attrs.get('src', '')}{title}]"
    return f'<span class="image">{escapeHtml(shown)}</span>'


_DRAWN = {
    "fence": _fence,
    "code_block": _code,
    "too_deep": _too_deep,
    "table_open": _table_open,
    "table_close": _table_close,
    "definition": _shown_definition,
    "math_block": _math_block,
    "image": _image,
}
