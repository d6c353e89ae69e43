"""Text as pure functions: one spelling to compare by, tokens, shingles, scripts, and what the eye cannot see.

Nothing here changes a record: text is kept as it came, and these functions make keys and views of it.
Sources: Unicode Standard Annexes 9 (direction), 15 (normalisation) and 44 (character properties).
"""

import functools
import re
import unicodedata
from typing import Literal

# Scripts that put no spaces between words: one token per letter, because cutting words needs a dictionary.
# Han (with its repeat mark and its zero), Hiragana, Katakana, Bopomofo; then Thai, Lao, Myanmar and Khmer.
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\U0001b000-\U0001b16f"
_UNSPACED = (
    _HAN
    + _KANA
    + "\u3105-\u312f\u31a0-\u31bf"
    + "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd\u0ec0-\u0ec6\u0edc-\u0edf"
    + "\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081\u108e"
    + "\u1780-\u17b3\u17d7\u17dc"
)

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_SPACE = re.compile(r"\s+")
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")

# The first letter's script names the language it most often writes. Ranges of the letters in daily use.
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("kana", _KANA),
    ("han", _HAN),
    ("ko", "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"),
    ("ar", "\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f\u08a0-\u08c9"),
    ("he", "\u05d0-\u05f2"),
    ("ru", "\u0400-\u052f"),
    ("el", "\u0370-\u03ff\u1f00-\u1fff"),
    ("hi", "\u0904-\u0939\u0958-\u0961"),
    ("th", "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"),
    ("latin", "a-z\u00df-\u00f6\u00f8-\u024f\u0250-\u02af\u1e00-\u1eff"),
)

# Invisible though Unicode does not call them controls or format characters: fillers, blanks and joiners.
_ALSO_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2028\u2029\u2800\u3164\uffa0\ufffe\uffff"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_JOINING = "\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1800-\u18af"
_PICTURES = "\u00a9\u00ae\u203c\u2049\u20e3\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_FORMAT_BUT_SEEN = "\u0600-\u0605\u06dd\u070f\u0890-\u0891\u08e2"  # signs drawn around Arabic and Syriac numbers
_CONTROLS = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # all but those that count as white space


def normalise(text: str) -> str:
    """The spelling two texts are compared by; never the one shown.

    In this order: Unicode NFKC (full width becomes half width, ligatures fall apart), case folding,
    characters nobody can see removed (so that a zero-width space does not make a copy look new), runs
    of white space made one space, ends trimmed. Applying it twice changes nothing.
    """
    if text.isascii():
        folded = _ASCII_CONTROL.sub("", text.lower())
    else:
        # Folding can undo the composed form and composing can make a foldable letter: Unicode's own
        # definition of compatible caseless matching (D146) folds twice for that reason.
        folded = unicodedata.normalize("NFD", text).casefold()
        folded = unicodedata.normalize("NFKC", folded).casefold()
        folded = unicodedata.normalize("NFKC", _ignorable().sub("", folded))
    return " ".join(folded.split())


def tokens(text: str) -> list[str]:
    """The normalised text's words in order, punctuation and symbols dropped.

    A word is a run of letters, digits and their marks, so "don't" is two and 3.14 is two; Hangul is
    written with spaces and gives words. Scripts written without spaces (Han, kana, Bopomofo, Thai, Lao,
    Myanmar, Khmer) give one token per letter, with the marks that follow it. The same text gives the
    same tokens on every machine with the same Unicode tables (`unicode_version`).
    """
    flat = normalise(text)
    return _ASCII_WORD.findall(flat) if flat.isascii() else _word().findall(flat)


def shingles(text: str, n: int = 3) -> set[tuple[str, ...]]:
    """Every run of `n` tokens in the text, as a set.

    A text of fewer than `n` tokens has one shingle, all its tokens, so that two short texts are alike
    only when they are the same; a text without tokens has none.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"shingles: n is {n}; it counts tokens and is at least 1")
    words = tokens(text)
    if len(words) <= n:
        return {tuple(words)} if words else set()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def direction(text: str) -> Literal["ltr", "rtl"]:
    """The side a paragraph of this text starts from.

    "rtl" when at least two letters in five with a direction of their own run from right to left: Arabic
    and Hebrew texts often carry Latin names and code, the reverse is rare. Without such letters "ltr".
    """
    if text.isascii():
        return "ltr"
    right = left = 0
    for c in text:
        kind = unicodedata.bidirectional(c)
        right += kind in ("R", "AL")
        left += kind == "L"
    return "rtl" if right and right * 5 >= (right + left) * 2 else "ltr"


def script_language(text: str, latin: str = "en") -> str | None:
    """The language most often written in the script that prevails in the text: a guess from letters alone.

    It tells scripts apart and nothing more: every text in Latin letters is `latin`, Ukrainian is "ru",
    Persian is "ar". Tokens are counted, not letters, so a Chinese sentence with English terms stays "zh".
    Han with at least one kana in ten is "ja". The answers: zh, ja, ko, ar, he, ru, el, hi, th, `latin`;
    None when there are no letters or they belong to a script not listed.
    """
    counts: dict[str, int] = {}
    for word in tokens(text):
        match = _script().match(word)
        name = match.lastgroup if match else None
        if name is None and not word[0].isalpha():
            continue  # a number says nothing about the language
        counts[name or ""] = counts.get(name or "", 0) + 1
    kana, han = counts.pop("kana", 0), counts.pop("han", 0)
    if kana + han:
        counts["ja" if kana * 10 >= kana + han else "zh"] = kana + han
    if not counts:
        return None
    # Equal counts are settled by name, so the answer does not hang on the order of the words.
    found = max(sorted(counts), key=lambda name: counts[name])
    return latin if found == "latin" else found or None


def visible(text: str) -> str:
    """The text with every character the eye cannot see written out, such as [U+202E].

    Direction controls, zero-width characters, tags, fillers, control characters and half surrogates are
    what hides a second text inside the first. Kept as they are: line breaks, tabs, and the joiners and
    variation selectors that writing needs (within Arabic and Indic words, in emoji, one after a Han letter).
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return _invisible().sub(lambda m: f"[U+{ord(m.group()):04X}]", text)


def base_language(code: str) -> str:
    """The language of a code without its region or script: zh-CN and zh_Hans are zh; "" stays ""."""
    return code.replace("_", "-").split("-")[0].lower()


def excerpt(text: str, limit: int = 80) -> str:
    """The beginning of the text on one line, at most `limit` characters (at least 1) with the final "…".

    White space becomes single spaces, invisible characters are written out, and a letter keeps its marks.
    """
    if limit < 1:
        raise ValueError(f"excerpt: limit is {limit}; it counts characters and is at least 1")
    flat = visible(_SPACE.sub(" ", text[: limit * 4 + 1000]).strip())
    if len(flat) <= limit and len(text) <= limit * 4 + 1000:
        return flat
    cut = min(limit - 1, len(flat))
    while 0 < cut < len(flat) and (unicodedata.combining(flat[cut]) or flat[cut] in "\u200d\ufe0f"):
        cut -= 1
    return flat[:cut].rstrip() + "…"


def unicode_version() -> str:
    """The version of the Unicode tables in use: tokens of letters newer than it may differ elsewhere."""
    return unicodedata.unidata_version


def _span(points: list[int]) -> str:
    """Code points in rising order as the ranges of a character class."""
    out, start = [], 0
    for i, point in enumerate(points):
        if i + 1 == len(points) or points[i + 1] != point + 1:
            first, last = chr(points[start]), chr(point)
            out.append(re.escape(first) if first == last else f"{re.escape(first)}-{re.escape(last)}")
            start = i + 1
    return "".join(out)


@functools.cache
def _of_category(*wanted: str) -> str:
    """A character class of all code points whose category is wanted; planes 4 to 13 hold none."""
    planes = (range(0x40000), range(0xE0000, 0xE1000))
    points = [p for plane in planes for p in plane if unicodedata.category(chr(p)) in wanted]
    return _span(points)


@functools.cache
def _word() -> re.Pattern[str]:
    marks = _of_category("Mn", "Mc", "Me")  # Python's \w leaves marks out, and cuts Hindi words in pieces
    spaced = rf"(?:(?![{_UNSPACED}])[^\W_])"
    return re.compile(rf"[{_UNSPACED}][{marks}]*|{spaced}(?:{spaced}|[{marks}])*")


@functools.cache
def _ignorable() -> re.Pattern[str]:
    """What a reader cannot see and a comparison must not: format characters, fillers, selectors."""
    invisible = _ALSO_INVISIBLE.replace("\u2028\u2029\u2800", "")  # these three are seen, as space
    return re.compile(rf"(?![{_FORMAT_BUT_SEEN}])[{_of_category('Cf')}{_CONTROLS}{invisible}{_SELECTORS}]")


@functools.cache
def _script() -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>[{letters}])" for name, letters in _SCRIPTS))


@functools.cache
def _invisible() -> re.Pattern[str]:
    hidden = _of_category("Cf").replace("\u200b-\u200f", "\u200b\u200e\u200f")
    controls = "\x00-\x08\x0b-\x1f\x7f-\x9f"
    around = rf"{_JOINING}{_PICTURES}\ufe0f"
    joiner_astray = rf"(?<![{around}])[{_ZWNJ}{_ZWJ}]|[{_ZWNJ}{_ZWJ}](?![{around}])"
    # A selector after every letter can carry a hidden text, so only the pairs that writing knows are kept.
    picture_selector = rf"(?<![{_PICTURES}0-9#*])[\ufe0e\ufe0f]|[\ufe03-\ufe0d]"
    han_selector = rf"(?<![{_HAN}])[\ufe00-\ufe02\U000e0100-\U000e01ef]"
    hidden_set = rf"(?![{_FORMAT_BUT_SEEN}])[{controls}\ud800-\udfff{hidden}{_ALSO_INVISIBLE}]"
    return re.compile(rf"{hidden_set}|{joiner_astray}|{picture_selector}|{han_selector}")
