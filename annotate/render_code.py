"""Code in an answer: coloured by Pygments where that is cheap, and the colours, checked for contrast."""

import functools
from itertools import groupby
from typing import Any

from markdown_it.common.utils import escapeHtml

from data.text import visible

MAX_CODE = 50_000
"""Characters coloured in one answer, all its blocks together; code beyond them is shown plain."""

MAX_LINE = 500
"""Characters in a line; code with a longer one is shown plain, for most slow patterns need a long line."""

MAX_BLANK = 30
"""Blank lines in a row, likewise."""

MAX_BLOCKS = 200
"""Blocks coloured in one answer: starting Pygments costs more than a short block."""

# A set of regular expressions that goes over the same text again is a way to stop a server, and many of
# Pygments' 500 languages have one. In these none was found with some 60 hostile patterns that fit the
# limits above, repeated to 16,000 characters or more; others are shown plain until they pass the same.
_KNOWN = """
bash clojure dockerfile elixir graphql haskell ini json julia latex nginx py python python3 rb
ruby scheme sh shell sql tex toml yaml yml zsh
"""
_C_NAMES = """
c c# c++ cpp cs csharp dart go golang java javascript js jsx kotlin objc objective-c proto protobuf
rs rust scala swift ts tsx typescript zig
"""
# Pygments reads these in time that grows with the square of the text (50,000 blank lines of C take
# minutes), so one small lexer of ours, which never looks back, reads them all.
_C_FAMILY = frozenset(_C_NAMES.split())
LANGUAGES = frozenset(_KNOWN.split()) | _C_FAMILY

LIGHT, DARK = ("#1f2328", "#f6f8fa"), ("#e6edf3", "#161b22")
"""Text and background of a code block."""

# Token types with their own colour (light, dark); a type not listed takes that of the nearest above it.
COLOURS = {
    "Token": LIGHT[:1] + DARK[:1],
    "Token.Comment": ("#57606a", "#9198a1"),
    "Token.Error": ("#a40e26", "#ffa198"),
    "Token.Generic.Deleted": ("#a40e26", "#ffa198"),
    "Token.Generic.Heading": ("#0550ae", "#79c0ff"),
    "Token.Generic.Inserted": ("#116329", "#7ee787"),
    "Token.Generic.Subheading": ("#0550ae", "#79c0ff"),
    "Token.Keyword": ("#b31d28", "#ff7b72"),
    "Token.Literal.Number": ("#0550ae", "#79c0ff"),
    "Token.Literal.String": ("#0a3069", "#a5d6ff"),
    "Token.Name.Attribute": ("#0550ae", "#79c0ff"),
    "Token.Name.Builtin": ("#0550ae", "#79c0ff"),
    "Token.Name.Class": ("#8a3800", "#ffa657"),
    "Token.Name.Constant": ("#0550ae", "#79c0ff"),
    "Token.Name.Decorator": ("#6639ba", "#d2a8ff"),
    "Token.Name.Exception": ("#8a3800", "#ffa657"),
    "Token.Name.Function": ("#6639ba", "#d2a8ff"),
    "Token.Name.Tag": ("#116329", "#7ee787"),
    "Token.Name.Variable": ("#8a3800", "#ffa657"),
    "Token.Operator": ("#b31d28", "#ff7b72"),
}


@functools.cache
def _types() -> dict[str, str]:
    """Pygments' short class names, each with the entry of COLOURS it takes."""
    from pygments.token import STANDARD_TYPES

    found = {}
    for kind, name in STANDARD_TYPES.items():
        while str(kind) not in COLOURS:
            kind = kind.parent
        if name:
            found[name] = str(kind)
    return found


def classes() -> frozenset[str]:
    """Every class Pygments puts on a span."""
    return frozenset(_types())


_C_WORDS = """
abstract as async auto await bool boolean break byte case catch chan char class const constexpr
continue crate data debugger decltype def default defer delete do double dyn else enum explicit
export extends extern fallthrough final finally float fn for foreach friend from fun func function
get goto guard if impl implements import in inline instanceof int interface internal is keyof lazy
let lock long loop map match message mod move mut namespace native new noexcept object of operator
out override package params pass private protected pub public range readonly ref register return rpc
sbyte sealed select self service set short signed sizeof static string struct super switch
synchronized template this throw throws trait transient try type typedef typename typeof uint ulong
union unsafe unsigned use using val var virtual void volatile when where while yield
"""


@functools.cache
def _c_family() -> Any:
    """A lexer for languages with C's comments, strings and words; its work grows with the text alone.

    What opens a string or a comment and is never closed counts as one to the end of its line or text,
    so no rule tries a stretch of text twice.
    """
    from pygments.lexer import RegexLexer, words
    from pygments.token import Token

    class CFamily(RegexLexer):  # type: ignore[misc]
        name = "C and its family"
        tokens = {  # noqa: RUF012
            "root": [
                (r"\s+", Token.Text.Whitespace),
                (r"//[^\n]*", Token.Comment.Single),
                (r"/\*", Token.Comment.Multiline, "comment"),
                (r"#[^\n]*", Token.Comment.Preproc),
                (r'"(?:\\.|[^"\\\n])*"?', Token.Literal.String),
                (r"'(?:\\.|[^'\\\n])*'?", Token.Literal.String),
                (r"`[^`]*`?", Token.Literal.String),
                (r"@\w+", Token.Name.Decorator),
                (r"\d[\w.]*", Token.Literal.Number),
                (words(("true", "false", "null", "nullptr"), suffix=r"\b"), Token.Keyword.Constant),
                (words(_C_WORDS.split(), suffix=r"\b"), Token.Keyword),
                (r"\w+(?=\()", Token.Name.Function),
                (r"\w+", Token.Name),
                (r"[{}()\[\];,.]", Token.Punctuation),
                (r".", Token.Operator),
            ],
            "comment": [
                (r"[^*]+", Token.Comment.Multiline),
                (r"\*/", Token.Comment.Multiline, "#pop"),
                (r"\*", Token.Comment.Multiline),
            ],
        }

    return CFamily


def _slow(code: str) -> bool:
    """Whether the code has the shape that Pygments' patterns need for going over the same text again."""
    lines = [line.strip() for line in code.split("\n")]
    blank = max((len(list(run)) for empty, run in groupby(lines, key=bool) if not empty), default=0)
    return max(map(len, code.split("\n"))) > MAX_LINE or blank > MAX_BLANK


def highlight(code: str, language: str) -> str:
    """The code as HTML, coloured where the language is a known one, else escaped; every character is kept."""
    code = visible(code)
    if language.lower() not in LANGUAGES or _slow(code):
        return escapeHtml(code)
    from pygments import highlight as colour
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    name = language.lower()
    kept = {"stripnl": False, "ensurenl": False}
    lexer = _c_family()(**kept) if name in _C_FAMILY else get_lexer_by_name(name, **kept)
    return str(colour(code, lexer, HtmlFormatter(nowrap=True)))


def highlight_css() -> str:
    """Rules for code under `.answer`: light, and dark under `.dark` (Gradio puts that class on the body).

    Every colour stands at 4.5:1 or better on the background set here (WCAG 2.2 AA). Code runs from left
    to right even where the answer around it does not.
    """
    rules = []
    for side, scope, (text, back) in ((0, ".answer", LIGHT), (1, ".dark .answer", DARK)):
        rules.append(f"{scope} pre{{color:{text};background:{back};direction:ltr;text-align:left}}")
        for colour in sorted({pair[side] for pair in COLOURS.values()} - {text}):
            names = sorted(name for name, kind in _types().items() if COLOURS[kind][side] == colour)
            rules.append(f"{scope} pre :is({','.join('.' + name for name in names)}){{color:{colour}}}")
    return "\n".join(rules) + "\n"
