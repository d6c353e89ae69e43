"""Where TeX begins and ends in a Markdown text, and nothing more: the browser sets it, with KaTeX.

`$…$` and `\\(…\\)` are formulas in a line, `$$…$$` and `\\[…\\]` displayed ones. A dollar is far more
often money, a shell variable or a template than mathematics, so the single one is strict. A formula
becomes `<span class="math i">` (in a line) or `<span class="math d">` (displayed) around its source,
escaped: without JavaScript the reader still sees every character of it.
"""

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

MAX_FORMULA = 10_000
"""Characters in one formula. A longer one stays text, so that no opener searches the whole answer."""

_COMMAND = re.compile(r"\\[a-zA-Z]")
_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}


def add_math(md: MarkdownIt) -> None:
    """Teach a parser the four ways of writing TeX, as the rules math_dollar, math_slash and math_block.

    The backslash forms must come before `escape`, which would take `\\(` for an escaped bracket, and
    the dollar after `backticks`, so that a shell variable in code stays code.
    """
    md.inline.ruler.before("escape", "math_slash", _slash)
    md.inline.ruler.after("backticks", "math_dollar", _dollar)
    # A formula on its own lines is read as a block: a line that holds only "=" would otherwise turn
    # the one above into a heading, and one that starts with "-" or "+" into a list.
    ends = ["paragraph", "reference", "blockquote", "list"]
    md.block.ruler.before("fence", "math_block", _block, {"alt": ends})
    md.add_render_rule("math_inline", _span("i"))
    md.add_render_rule("math_display", _span("d"))


def _span(kind: str) -> Any:
    def draw(self: Any, tokens: Any, i: int, options: Any, env: Any) -> str:
        return f'<span class="math {kind}">{escapeHtml(tokens[i].content)}</span>'

    return draw


def _find(text: str, closer: str, start: int, limit: int) -> int:
    """Where the closer stands next, not counting one whose first character is itself escaped; or -1."""
    while (at := text.find(closer, start, limit)) >= 0:
        before = at
        while before > 0 and text[before - 1] == "\\":
            before -= 1
        if (at - before) % 2 == 0:
            return at
        start = at + 1
    return -1


def _take(state: StateInline, silent: bool, kind: str, body: str, after: int) -> bool:
    if not silent:
        state.push(kind, "", 0).content = body
    state.pos = after
    return True


def _slash(state: StateInline, silent: bool) -> bool:
    """`\\(…\\)` and `\\[…\\]` within a line of text; not across code, and not `\\[an escaped link\\](…)`."""
    src, pos = state.src, state.pos
    closer = _CLOSERS.get(src[pos : pos + 2])
    if closer is None or closer == "$$":
        return False
    at = _find(src, closer, pos + 2, min(state.posMax, pos + 2 + MAX_FORMULA))
    body = src[pos + 2 : at]
    if at < 0 or not body.strip() or "`" in body or src.startswith("(", at + 2):
        return False
    kind = "math_inline" if closer == "\\)" else "math_display"
    return _take(state, silent, kind, body, at + 2)


def _dollar(state: StateInline, silent: bool) -> bool:
    r"""`$$…$$` and `$…$` within a line of text.

    The single dollar opens only before something that is not a space, a digit or `{` (a price, a
    template), and closes only after something that is not a space and before something that is not a
    digit. A digit opens all the same where a command stands between the two, as in `$3, 6, \dots$`;
    a line break or a backtick between them makes both dollars text.
    """
    src, pos, end = state.src, state.pos, state.posMax
    if src[pos] != "$":
        return False
    limit = min(end, pos + 2 + MAX_FORMULA)
    if src.startswith("$$", pos) and pos + 1 < end:
        at = _find(src, "$$", pos + 2, limit)
        body = src[pos + 2 : at]
        if at >= 0 and body.strip() and "`" not in body:
            return _take(state, silent, "math_display", body, at + 2)
        if not silent:
            state.append_pending("$$")  # both, or the second would be tried as a single dollar
        state.pos = pos + 2
        return True
    first = src[pos + 1 : pos + 2]
    if pos + 1 >= end or first.isspace() or first == "{":
        return False
    at = _find(src, "$", pos + 1, limit)
    body = src[pos + 1 : at]
    if at < 0 or "\n" in body or "`" in body or body[-1].isspace() or src[at + 1 : at + 2].isdigit():
        return False
    if first.isdigit() and not _COMMAND.search(body):
        return False
    return _take(state, silent, "math_inline", body, at + 1)


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`$$` or `\\[` that starts a line, to a closer that ends one; no blank line between."""
    src = state.src
    first = state.bMarks[start] + state.tShift[start]
    opener = src[first : first + 2]
    closer = _CLOSERS.get(opener)
    if closer is None or opener == "\\(" or state.is_code_block(start):
        return False
    lines, size = [], 0
    for line in range(start, end):
        left = first + 2 if line == start else state.bMarks[line] + state.tShift[line]
        if line > start and opener != closer and src.startswith(opener, left):
            return False  # TeX has none within another; and many unclosed ones must not each search on
        text = src[left : state.eMarks[line]]
        at = _find(text, closer, 0, len(text))
        size += len(text) + 1
        lines.append(text if at < 0 else text[:at])
        if at >= 0:
            break
        left_the_list = line > start and state.sCount[line] < state.blkIndent
        if (line > start and state.isEmpty(line)) or left_the_list or size > MAX_FORMULA:
            return False
    else:
        return False
    body = "\n".join(lines)
    if text[at + 2 :].strip() or not body.strip():
        return False
    if not silent:
        token = state.push("math_block", "", 0)
        token.content, token.map = body, [start, line + 1]
        state.line = line + 1
    return True
