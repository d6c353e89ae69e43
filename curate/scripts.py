"""The script of many texts at once: the same answers as `data.text.script_language`, fifty times sooner.

A batch of texts becomes one array of code points, and a table that is filled as letters are met tells
what each does: it parts words, is a word of its own, or belongs to a word of a script. What depends on
its neighbours (combining marks, Hangul letters, what falls apart when normalised) cannot be told from
one code point: a text with such a letter is read by `data.text.script_language` itself.
"""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curate.words import batches
from data.text import normalise, script_language, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LATIN = "latin"
# Sorted, as equal counts are settled by name; "" are letters of a script that is not told apart.
_SCRIPTS = ("", "ar", "el", "he", "hi", "ja", "ko", _LATIN, "ru", "th", "zh")
_UNKNOWN, _GAP, _ODD, _NUMBER, _FIRST = 0, 1, 2, 3, 4  # from _FIRST on: _SCRIPTS; a word of its own adds _ALONE
_ALONE = 32
_JAMO = (range(0x1100, 0x1200), range(0xA960, 0xA980), range(0xD7B0, 0xD800))


def script_languages(texts: Sequence[str], latin: str = "en") -> list[str | None]:
    """The language of each text's script, as `data.text.script_language` tells it."""
    found: list[str | None] = []
    for part in batches(texts):
        found += _batch(texts[part], latin)
    return found


def _batch(texts: Sequence[str], latin: str) -> list[str | None]:
    import numpy as np

    points = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(points):
        return [None] * len(texts)
    classes = _table().of(points)
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    begins = np.cumsum(sizes + 1) - sizes - 1
    begins[-1] = min(begins[-1], len(points) - 1)  # an empty text at the end begins at none
    word = classes >= _NUMBER
    first = word & (classes < _ALONE)  # in a word of several letters only the first tells
    first[1:] &= ~first[:-1]
    classes = np.where(first | (classes >= _ALONE), classes & (_ALONE - 1), classes == _ODD)
    counts = np.zeros((len(texts), len(_SCRIPTS)), np.int64)
    for kind in np.unique(classes[classes >= _FIRST]).tolist():
        counts[:, kind - _FIRST] = np.add.reduceat(classes == kind, begins, dtype=np.int64)
    odd = np.add.reduceat(classes == 1, begins, dtype=np.int64)
    kana, han = counts[:, _SCRIPTS.index("ja")].copy(), counts[:, _SCRIPTS.index("zh")].copy()
    japanese = kana * 10 >= kana + han
    counts[:, _SCRIPTS.index("ja")] = np.where(japanese, kana + han, 0)
    counts[:, _SCRIPTS.index("zh")] = np.where(japanese, 0, kana + han)
    names = [latin if name == _LATIN else name or None for name in _SCRIPTS]
    best = [names[i] for i in counts.argmax(1).tolist()]
    for i in np.flatnonzero(counts.sum(1) == 0).tolist():
        best[i] = None
    for i in np.flatnonzero(odd).tolist():
        best[i] = script_language(texts[i], latin)
    return best


class _Table:
    """What every code point met so far does in a text."""

    def __init__(self) -> None:
        import numpy as np

        self.kind: NDArray[np.uint8] = np.zeros(0x110000, np.uint8)

    def of(self, points: "NDArray[np.uint32]") -> "NDArray[np.uint8]":
        """The class of each code point."""
        import numpy as np

        found: Any = self.kind[points]
        if not found.all():
            for point in np.unique(points[found == _UNKNOWN]).tolist():
                self.kind[point] = _class(point)
            found = self.kind[points]
        return found  # type: ignore[no-any-return]


_known: _Table | None = None


def _table() -> _Table:
    global _known
    _known = _known or _Table()
    return _known


def _class(point: int) -> int:
    """What one code point does."""
    letter = chr(point)
    folded = "" if 0xD800 <= point < 0xE000 else normalise(f"a{letter}a")[1:-1]
    if letter.isspace():
        return _GAP
    if not folded or any(_joins(c) for c in letter + folded):
        return _ODD
    words = tokens(folded)
    if not words:
        return _GAP
    if len(folded) > 1:
        return _ODD
    script = script_language(folded, _LATIN)
    kind = _NUMBER if script is None and not folded.isalpha() else _FIRST + _SCRIPTS.index(script or "")
    return kind + (_ALONE if len(tokens(f"{folded}a")) == 2 else 0)


def _joins(letter: str) -> bool:
    """Whether what a letter becomes can depend on its neighbours."""
    return (
        unicodedata.category(letter)[0] == "M"
        or unicodedata.combining(letter) != 0
        or any(ord(letter) in jamo for jamo in _JAMO)
    )
