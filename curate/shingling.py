"""Texts as sets of 64-bit shingle hashes, many texts at a time: the shingles of data.text, in numpy.

A shingle is a run of n tokens (curate/words.py: words, and one letter each of scripts written without
spaces). A text of fewer tokens has one shingle, all its tokens; a text without tokens has none. Two texts
have as many hashes in common as `data.text.shingles` has shingles in common: each token is hashed from all
its bytes and each shingle from all its tokens through 64 bits, by fixed functions. That two different
shingles of one pair of texts of 900 characters share a hash has a chance below 1 in 10^13.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.words import batches, hashed_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]
    I64 = NDArray[np.int64]

N = 3
"""Tokens in a shingle, where nothing else is said."""


class Sets(NamedTuple):
    """Sets of shingle hashes, one after another: set i is hashes[ends[i-1]:ends[i]], rising, without repeats."""

    sizes: "I64"
    hashes: "U64"


def shingle_hashes(texts: Sequence[str], n: int = N) -> Sets:
    """The set of shingles of each text as 64-bit hashes.

    Args:
        texts: any texts, in any script.
        n: tokens in a shingle, at least 1.

    Raises:
        ValueError: n is below 1.
    """
    return as_sets(*shingles_in_order(texts, n))


def shingles_in_order(texts: Sequence[str], n: int = N) -> tuple["I64", "U64"]:
    """How many shingles each text has, and the hashes of all of them as they come, repeats and all."""
    import numpy as np

    if n < 1:
        raise ValueError(f"shingle_hashes: n is {n}; it counts tokens and is at least 1")
    sizes, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for part in batches(texts):
        words = hashed_words(texts[part])
        counts, found = _shingles(words.hashes, words.ends, n)
        sizes.append(counts)
        hashes.append(found)
    return np.concatenate(sizes), np.concatenate(hashes)


def _shingles(words: "U64", ends: "I64", n: int) -> tuple["I64", "U64"]:
    """From the tokens of all texts to the shingles of each."""
    import numpy as np

    counts = np.diff(ends, prepend=0)
    sizes = np.where(counts >= n, counts - n + 1, (counts > 0).astype(np.int64))
    upto = np.cumsum(sizes)
    every = _runs(words, n)
    if not len(every):
        every = np.zeros(1, np.uint64)
    places = np.arange(upto[-1]) + np.repeat((ends - counts) - (upto - sizes), sizes)
    found = every[np.minimum(places, len(every) - 1, out=places)]
    for m in range(1, n):  # a text shorter than a shingle is one shingle
        short = np.flatnonzero(counts == m)
        if len(short):
            found[upto[short] - 1] = _runs(words, m)[(ends - counts)[short]]
    return sizes, found


def as_sets(sizes: "I64", hashes: "U64") -> Sets:
    """Runs of hashes as sets: each run sorted (in place), and repeats dropped."""
    import numpy as np

    if not len(hashes):
        return Sets(sizes, hashes)
    ends = np.cumsum(sizes)
    at = 0
    for upto in ends.tolist():
        hashes[at:upto].sort()
        at = upto
    fresh = np.ones(len(hashes), bool)
    np.not_equal(hashes[1:], hashes[:-1], out=fresh[1:])
    filled = np.flatnonzero(sizes)
    begins = (ends - sizes)[filled]
    fresh[begins] = True
    if fresh.all():
        return Sets(sizes, hashes)
    left = sizes.copy()
    left[filled] = np.add.reduceat(fresh, begins, dtype=np.int64)
    return Sets(left, hashes[fresh])


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
