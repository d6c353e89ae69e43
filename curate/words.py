"""The tokens of many texts at once, as 64-bit hashes: the same tokens as `data.text.tokens`, a hundred times sooner.

The one tokeniser of many texts: shingles (curate/shingling.py), the search for evaluation texts and keys by words
are all made of it.

A batch of texts becomes one array of bytes; where words begin and end is found for all of them in a
few passes of numpy, and each word is hashed from its bytes, eight at a time. Letters outside ASCII go
through a table of code points that is filled as they are met. What normalisation joins or expands
(combining marks, ligatures, Hangul letters) cannot be told from one code point: a text that has such
a letter is read by `data.text.tokens` itself.

Equal tokens have equal hashes on every machine. Unequal ones of up to eight bytes always differ and others
almost always, whatever their length: every byte counts. Whoever needs certainty compares the tokens
(`curate.contamination` does).
"""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from data.text import normalise, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

BATCH = 1 << 18  # characters put together in one batch: its arrays stay in the processor's cache
MIX = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio, odd
_EIGHTS = 64  # bytes of a word up to which it is hashed eight at a time; a longer one by a digest of its own
# Punctuation that normalising leaves punctuation: it only ever parts tokens.
_MARKS = (
    "\u00b7\u2013-\u2014\u2018\u2019\u201c\u201d\u2026\u3001-\u3002"
    "\u300a-\u3011\uff01\uff08-\uff09\uff0c\uff1a\uff1b\uff1f\u3000"
)
_MARK, _OTHER = re.compile(f"[{_MARKS}]"), re.compile(f"[^\\x00-\\x7f{_MARKS}]")
_JAMO = (range(0x1100, 0x1200), range(0xA960, 0xA980), range(0xD7B0, 0xD800))
_UNKNOWN, _GAP, _WORD, _ALONE_CLASS, _GONE, _JOINS = range(6)


class Words(NamedTuple):
    """Tokens of some texts, in order: text i has those from `ends[i - 1]` (0 for the first) to `ends[i]`."""

    hashes: "Hashes"
    ends: "Places"


def hashed_words(texts: Sequence[str]) -> Words:
    """The tokens of each text as hashes.

    Meant for a few hundred thousand characters at a time (`batches`): the arrays take 40 bytes a character.
    """
    import numpy as np

    ascii_, wide = list(range(len(texts))), list[int]()
    if not all(map(str.isascii, texts)):
        texts = [text if text.isascii() else _unmarked(text) for text in texts]
        ascii_ = [i for i, text in enumerate(texts) if text.isascii()]
        wide = [i for i, text in enumerate(texts) if not text.isascii()]
    parts = [_plain(texts, ascii_)]
    if not wide:
        return Words(parts[0][0], np.cumsum(parts[0][1]))
    found, odd = _wide(texts, wide)
    return _in_order(len(texts), [(ascii_, *parts[0]), (wide, *found), (odd, *_one_by_one(texts, odd))])


def _unmarked(text: str) -> str:
    """The text in ASCII where curly quotes, dashes and the like are all that is not; else as it came."""
    return text if _OTHER.search(text) else _MARK.sub(" ", text)


def batches(texts: Sequence[str], size: int = BATCH) -> "list[slice]":
    """The texts cut into runs of about `size` characters, at least one text each."""
    out, first, held = [], 0, 0
    for i, text in enumerate(texts):
        held += len(text)
        if held >= size:
            out.append(slice(first, i + 1))
            first, held = i + 1, 0
    if first < len(texts):
        out.append(slice(first, len(texts)))
    return out


def _in_order(count: int, parts: "list[tuple[list[int], Hashes, Places]]") -> Words:
    """Put the tokens of texts that were read apart back into the order of the texts."""
    import numpy as np

    sizes = np.zeros(count, np.int64)
    for which, _, counts in parts:
        sizes[which] = counts
    ends = np.cumsum(sizes)
    hashes = np.zeros(int(ends[-1]) if count else 0, np.uint64)
    for which, found, counts in parts:
        if len(found):
            begins = (ends - sizes)[which]
            shift = np.repeat(begins - (np.cumsum(counts) - counts), counts)
            hashes[np.arange(len(found)) + shift] = found
    return Words(hashes, ends)


def _fold_table() -> bytes:
    """ASCII bytes as words have them: letters small, digits, 1 for a control that vanishes, else 0."""
    table = bytearray(256)
    for c in range(128):
        text = chr(c)
        if text.isalnum():
            table[c] = ord(text.lower())
        elif normalise(f"a{text}b") == "ab":
            table[c] = 1
    return bytes(table)


_FOLD = _fold_table()


def _plain(texts: Sequence[str], which: list[int]) -> "tuple[Hashes, Places]":
    """Tokens of ASCII texts, and how many each text has."""
    import numpy as np

    chosen = [texts[i] for i in which]
    folded = "\n".join(chosen).encode().translate(_FOLD)
    sizes = np.fromiter(map(len, chosen), np.int64, len(chosen))
    if b"\x01" in folded:
        rows = [text.encode().translate(_FOLD).replace(b"\x01", b"") for text in chosen]
        folded = b"\x00".join(rows)
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    letters = np.frombuffer(b"\x00" + folded + b"\x00", np.uint8) != 0
    edges = np.flatnonzero(letters[1:] != letters[:-1])
    begins, lengths = edges[::2], edges[1::2] - edges[::2]
    return hash_slices(folded, begins, lengths), _counts(begins, sizes)


def _counts(begins: "Places", sizes: "Places") -> "Places":
    """How many tokens begin in each of the texts that lie one after another with one place between."""
    import numpy as np

    ends = np.cumsum(sizes + 1)
    return np.diff(np.searchsorted(begins, ends), prepend=0)


def hash_slices(buffer: bytes, begins: "Places", lengths: "Places") -> "Hashes":
    """A 64-bit hash of each slice of the buffer, from its bytes and its length."""
    import numpy as np

    at_any: Hashes = np.ndarray(len(buffer) + 1, "<u8", buffer + bytes(8), strides=(1,))
    masks = np.array([(1 << (8 * n)) - 1 for n in range(8)] + [2**64 - 1], np.uint64)
    found = at_any[begins]
    found &= masks[np.minimum(lengths, 8)]
    found += lengths.astype(np.uint64)
    found = _mixed(found)
    held = np.flatnonzero(lengths > 8)
    for at in np.flatnonzero(lengths > _EIGHTS).tolist():
        whole = buffer[int(begins[at]) : int(begins[at] + lengths[at])]
        found[at] = int.from_bytes(blake2b(whole, digest_size=8).digest(), "little")
    held = held[lengths[held] <= _EIGHTS]
    done = 8
    while len(held):
        block = at_any[begins[held] + done] & masks[np.minimum(lengths[held] - done, 8)]
        found[held] = _mixed(found[held] + block)
        done += 8
        held = held[lengths[held] > done]
    return found


def _mixed(values: "Hashes") -> "Hashes":
    """Values spread over all bits, one to one; in place."""
    import numpy as np

    values ^= values >> np.uint64(32)
    values *= np.uint64(MIX)
    values ^= values >> np.uint64(29)
    return values


class _Letters:
    """What every code point met so far does in a text, and what it is spelled as; grown as they are met."""

    def __init__(self) -> None:
        import numpy as np

        self.kind = np.zeros(0x110000, np.uint8)
        self.fold = np.zeros(0x110000, np.uint32)
        self.hash = np.zeros(0x110000, np.uint64)  # of those that are tokens of their own

    def learn(self, points: Any) -> None:
        """Find out about code points not met before."""
        import numpy as np

        for point in np.unique(points).tolist():
            self.kind[point], self.fold[point] = kind, folded = _letter(point)
            if kind == _ALONE_CLASS:
                letter = chr(folded).encode()
                self.hash[point] = hash_slices(letter, np.array([0]), np.array([len(letter)]))[0]


def _letter(point: int) -> tuple[int, int]:
    """What one code point does (its class) and the code point it is folded to."""
    letter = chr(point)
    if 0xD800 <= point < 0xE000 or _joins(letter):
        return _JOINS, 0
    folded = normalise(letter)
    if letter.isspace():
        return _GAP, 0
    if normalise(f"0{letter}0") != f"0{folded}0":  # such as a letter with a space before it
        return _JOINS, 0
    if not folded:
        return _GONE, 0
    if any(_joins(c) for c in folded):
        return _JOINS, 0
    found = tokens(folded)
    if not found:
        return _GAP, 0
    if len(folded) > 1:
        return _JOINS, 0
    return (_ALONE_CLASS if len(tokens(f"{folded}a")) == 2 else _WORD), ord(folded)


def _joins(letter: str) -> bool:
    """Whether what a letter becomes can depend on its neighbours."""
    return (
        unicodedata.category(letter)[0] == "M"
        or unicodedata.combining(letter) != 0
        or any(ord(letter) in jamo for jamo in _JAMO)
    )


_letters: _Letters | None = None


def _wide(texts: Sequence[str], which: list[int]) -> "tuple[tuple[Hashes, Places], list[int]]":
    """Tokens of texts beyond ASCII; and the texts that must be read one by one (none of theirs are given)."""
    import numpy as np

    global _letters
    table = _letters = _letters or _Letters()
    joined = "\n".join(texts[i] for i in which)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    kinds = table.kind[points]
    if not kinds.all():
        table.learn(points[kinds == _UNKNOWN])
        kinds = table.kind[points]
    sizes = np.fromiter((len(texts[i]) for i in which), np.int64, len(which))
    ends = np.cumsum(sizes + 1)
    odd = np.unique(np.searchsorted(ends, np.flatnonzero(kinds == _JOINS), "right"))
    for i in odd:  # nothing of these texts is read here
        kinds[ends[i] - sizes[i] - 1 : ends[i] - 1] = _GAP
    gone = np.flatnonzero(kinds == _GONE)
    if len(gone):
        sizes = sizes - np.diff(np.searchsorted(gone, ends), prepend=0)
        points, kinds = np.delete(points, gone), np.delete(kinds, gone)
    alone = kinds == _ALONE_CLASS
    spaced = kinds == _WORD
    first = spaced.copy()
    first[1:] &= ~spaced[:-1]
    begins = np.flatnonzero(alone | first)
    hashes = table.hash[points[begins]]
    if spaced.any():
        hashes[first[begins]] = _spaced_words(table.fold[points[spaced]], np.diff(np.flatnonzero(spaced)) > 1)
    return (hashes, _counts(begins, sizes)), [which[i] for i in odd]


def _spaced_words(folded: Any, cut: Any) -> "Hashes":
    """Hashes of words of several letters, given all their letters and where the next word begins (`cut`)."""
    import numpy as np

    wide = (folded > 0x7F).astype(np.int64) + (folded > 0x7FF) + (folded > 0xFFFF) + 1
    ends = np.append(np.cumsum(wide)[:-1][cut], wide.sum())
    lengths = np.diff(ends, prepend=0)
    return hash_slices(folded.tobytes().decode("utf-32-le").encode(), ends - lengths, lengths)


def _one_by_one(texts: Sequence[str], which: list[int]) -> "tuple[Hashes, Places]":
    """Tokens of texts read by `data.text.tokens`."""
    import numpy as np

    rows = [[word.encode("utf-8", "surrogatepass") for word in tokens(texts[i])] for i in which]
    flat = [word for row in rows for word in row]
    lengths = np.fromiter(map(len, flat), np.int64, len(flat))
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    return hash_slices(b"".join(flat), np.cumsum(lengths) - lengths, lengths), counts


def word_keys(texts: Sequence[str]) -> list[bytes]:
    """A key for each text by its words: equal when the same words stand in the same order.

    16 bytes of a digest over the words' hashes; a text without words goes by its characters.
    """
    keys = []
    for part in batches(texts):
        words = hashed_words(texts[part])
        whole, begin = memoryview(words.hashes.tobytes()), 0
        for text, end in zip(texts[part], (words.ends * 8).tolist(), strict=True):
            held = whole[begin:end] if end > begin else text.encode("utf-8", "surrogatepass") + b"."
            keys.append(blake2b(held, digest_size=16).digest())
            begin = end
    return keys
