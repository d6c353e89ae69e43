"""Texts as sets of 64-bit shingle hashes, many texts at a time: the shingles of data.text, in numpy.

A shingle is a run of n tokens (`data.text.tokens`: words, and one letter each of scripts written without
spaces). A text of fewer tokens has one shingle, all its tokens; a text without tokens has none. Two texts
have as many hashes in common as `data.text.shingles` has shingles in common: each token is hashed from all
its bytes and each shingle from all its tokens through 64 bits, by fixed functions. That two different
shingles of one pair of texts of 900 characters share a hash has a chance below 1 in 10^13.

ASCII, and Han with common punctuation, are cut in numpy over the bytes of all texts at once; every other
text is cut by `data.text.tokens` itself.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from data.text import tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]
    I64 = NDArray[np.int64]
    U8 = NDArray[np.uint8]

N = 3
"""Tokens in a shingle, where nothing else is said."""
_BETWEEN = 0xFF  # never a byte of UTF-8
_GAP = 0x20
_CONTROLS = bytes([*range(0x09), *range(0x0E, 0x1C), 0x7F])  # data.text.normalise takes them out without a gap
# Punctuation that normalising leaves punctuation: it only ever parts tokens.
_MARKS = re.compile(
    "[\u00b7\u2013-\u2014\u2018\u2019\u201c\u201d\u2026\u3001-\u3002\u300a-\u3011\uff01\uff08-\uff09\uff0c\uff1a\uff1b\uff1f\u3000]"
)
_HAN = re.compile("[\x00-\x7f\u4e00-\u9fff]*")
# Letters of Latin, Greek and Cyrillic with which case folding is all that normalising does.
_FOLDS = re.compile(
    "[\x00-\x7f\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u012f\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    "\u03ac-\u03af\u03b1-\u03ce\u0400-\u045f]*"
)
_STEP = 1 << 20  # bytes of text in one go: what is made of them stays in the processor's cache


def _table() -> bytes:
    """What each byte of a text becomes: a small letter, a digit, itself from 0x80 on, or a gap."""
    word = {c: c for c in range(0x80, 0x100)} | {c: c for c in b"abcdefghijklmnopqrstuvwxyz0123456789"}
    word |= {c: c + 32 for c in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    return bytes(word.get(c, _GAP) for c in range(256))


_TABLE = _table()


class Sets(NamedTuple):
    """Sets of shingle hashes, one after another: set i is hashes[ends[i-1]:ends[i]], rising, without repeats."""

    sizes: "I64"
    hashes: "U64"


def shingle_hashes(texts: Sequence[str], n: int = N) -> Sets:
    """The shingles of each text as 64-bit hashes.

    Args:
        texts: any texts, in any script.
        n: tokens in a shingle, at least 1.

    Raises:
        ValueError: n is below 1.
    """
    import numpy as np

    if n < 1:
        raise ValueError(f"shingle_hashes: n is {n}; it counts tokens and is at least 1")
    parts = [_shingle(batch, n) for batch in _batches(texts)]
    if not parts:
        return Sets(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    return Sets(np.concatenate([p.sizes for p in parts]), np.concatenate([p.hashes for p in parts]))


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = held = 0
    for i, text in enumerate(texts):
        held += len(text) + 1
        if held >= _STEP:
            yield texts[start : i + 1]
            start, held = i + 1, 0
    if start < len(texts):
        yield texts[start:]


def _shingle(texts: Sequence[str], n: int) -> Sets:
    """The sets of one batch: its texts are cut in two groups, and stand in their order again at the end."""
    import numpy as np

    spelled = [_spell(text) for text in texts]
    groups = [[i for i, (_, han) in enumerate(spelled) if han == kind] for kind in (False, True)]
    sizes = np.zeros(len(texts), np.int64)
    runs: list[Sets] = []
    for kind, members in zip((False, True), groups, strict=True):
        made = _cut_and_hash(b"\xff".join([spelled[i][0] for i in members]), len(members), n, kind)
        sizes[members] = made.sizes
        runs.append(made)
    if not groups[1]:
        return runs[0]
    ends = [np.cumsum(run.sizes) for run in runs]
    pieces: list[U64] = [np.zeros(0, np.uint64)] * len(texts)
    for run, end, members in zip(runs, ends, groups, strict=True):
        for i, upto, size in zip(members, end, run.sizes, strict=True):
            pieces[i] = run.hashes[upto - size : upto]
    return Sets(sizes, np.concatenate(pieces))


def _spell(text: str) -> tuple[bytes, bool]:
    """A text as bytes that cut into its tokens, and whether each Han letter in them is a token."""
    if text.isascii():
        return text.encode(), False
    flat = _MARKS.sub(" ", text)
    if flat.isascii():
        return flat.encode(), False
    if _HAN.fullmatch(flat):
        return flat.encode(), True
    if _FOLDS.fullmatch(flat):
        return flat.casefold().encode(), False
    return "\n".join(tokens(text)).encode(), False


def _cut_and_hash(joined: bytes, count: int, n: int, han: bool) -> Sets:
    """The sets of `count` texts that stand in `joined` with 0xFF between them."""
    import numpy as np

    if not count:
        return Sets(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    # A gap before and eight after: every token has neighbours, and eight bytes can be read from its start.
    raw = (b"\xff" + joined + b"\xff       ").translate(_TABLE, _CONTROLS)
    at = np.frombuffer(raw, np.uint8)
    starts, stops = _han_tokens(at) if han else _words(at)
    between = np.flatnonzero(at == _BETWEEN)
    first = np.searchsorted(starts, between)  # of each text its first token; at last, how many there are
    return _sets(_token_hashes(raw, starts, stops - starts), first, n)


def _words(at: "U8") -> tuple["I64", "I64"]:
    """Where runs of word bytes start and stop."""
    import numpy as np

    word = (at - np.uint8(_GAP + 1)) < np.uint8(_BETWEEN - _GAP - 1)
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    return edges[0::2], edges[1::2]


def _han_tokens(at: "U8") -> tuple["I64", "I64"]:
    """Where tokens start and stop when each letter of three bytes is one of its own."""
    import numpy as np

    lead = (at >= 0xE0) & (at < _BETWEEN)
    ascii_word = (at > _GAP) & (at < 0x80)
    change = ascii_word[1:] != ascii_word[:-1]
    starts = np.flatnonzero(lead[1:] | (change & ascii_word[1:])) + 1
    stops = np.flatnonzero(change & ascii_word[:-1]) + 1
    ends = starts + 3
    ends[at[starts] < 0x80] = stops
    return starts, ends


def mix(x: "U64") -> "U64":
    """Spread each value over all 64 bits, one to one (the finaliser of MurmurHash3, Appleby), in place."""
    import numpy as np

    x ^= x >> np.uint64(33)
    x *= np.uint64(0xFF51AFD7ED558CCD)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xC4CEB9FE1A85EC53)
    x ^= x >> np.uint64(33)
    return x


def distinct(x: "NDArray[Any]") -> "NDArray[Any]":
    """The values, rising, each once; x is sorted in place. (np.unique hashes whole numbers, five times slower.)"""
    import numpy as np

    x.sort()
    fresh = np.ones(len(x), bool)
    fresh[1:] = x[1:] != x[:-1]
    return np.asarray(x[fresh])


def _token_hashes(raw: bytes, starts: "I64", lengths: "I64") -> "U64":
    """A hash of each token from all its bytes, eight at a time; tokens of up to eight bytes never share one."""
    import numpy as np

    eights: U64 = np.ndarray((len(raw) - 7,), "<u8", raw, strides=(1,))
    keep = np.array([(1 << 8 * k) - 1 for k in range(9)], np.uint64)
    found = mix(eights[starts] & keep[np.minimum(lengths, 8)])
    long = np.flatnonzero(lengths > 8)
    offset = 8
    while len(long):
        more = eights[starts[long] + offset] & keep[np.minimum(lengths[long] - offset, 8)]
        found[long] = mix((found[long] * np.uint64(0x9E3779B97F4A7C15)) ^ more)
        offset += 8
        long = long[lengths[long] > offset]
    return found


def _runs(words: "U64", n: int) -> "U64":
    """A hash of every n neighbouring tokens."""
    import numpy as np

    count = max(len(words) - n + 1, 0)
    found = np.full(count, (0x2545F4914F6CDD1D * n) & (2**64 - 1), np.uint64)
    for k in range(n):
        found ^= words[k : k + count]
        found *= np.uint64(0xD6E8FEB86659FD93)
        found ^= found >> np.uint64(32)
    return found


def _sets(words: "U64", first: "I64", n: int) -> Sets:
    """From the tokens of all texts to the set of shingles of each."""
    import numpy as np

    counts = np.diff(first)
    sizes = np.where(counts >= n, counts - n + 1, (counts > 0).astype(np.int64))
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) + np.repeat(first[:-1] - (ends - sizes), sizes)
    every = _runs(words, n)
    found = every[np.minimum(places, max(len(every) - 1, 0))] if len(every) else np.zeros(len(places), np.uint64)
    for m in range(1, n):  # a text shorter than a shingle is one shingle
        short = np.flatnonzero(counts == m)
        if len(short):
            found[ends[short] - 1] = _runs(words, m)[first[short]]
    for upto, size in zip(ends.tolist(), sizes.tolist(), strict=True):
        found[upto - size : upto].sort()
    fresh = np.ones(len(found), bool)
    fresh[1:] = found[1:] != found[:-1]
    fresh[(ends - sizes)[sizes > 0]] = True
    kept = np.add.reduceat(fresh, (ends - sizes)[sizes > 0], dtype=np.int64) if len(found) else np.zeros(0, np.int64)
    sizes[sizes > 0] = kept
    return Sets(sizes, found[fresh])
