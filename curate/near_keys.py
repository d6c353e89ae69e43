"""Keys by which near rows find each other: rows that share no key need no comparison.

**prefix**: exact. Shingles are put in one order, the rarest first. Of two rows with Jaccard similarity t or
more, each has one of its first n - ceil(t n) + 1 shingles among the first of the other (the prefix filter:
Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007). Any order finds every pair; the rarest first
finds few others.

**minhash**: bands of minima of random permutations (Broder 1997; Indyk and Motwani 1998). A pair at similarity
J shares a key with probability 1 - (1 - J^r)^b (`recall`); used where the rarest shingles are not rare, as in
rows put together from the same few sentences, and prefixes would bring too many together.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.near_sets import Batch, Kept, read_batch
from curate.shingling import distinct, mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MISSED = 0.005  # of pairs just at the threshold, what minhash may miss
_MOST_HASHES = 128
_CHUNK = 1000  # rows in one go


class Bands(NamedTuple):
    """Bands of minhashes: a key for each band, from `rows` minima."""

    bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """The probability that a pair of this Jaccard similarity shares a key."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


class Keys(NamedTuple):
    """Where the keys of a batch lie, sorted: `rows` values of eight bytes from `offset` of a file."""

    file: str
    offset: int
    rows: int
    cuts: list[int]
    """Where each share of the range of keys begins, and the end."""


def bands_for(threshold: Fraction) -> Bands:
    """The bands with the most rows (the fewest false candidates) that miss at most one pair in 200 at the threshold."""
    t = float(threshold)
    for rows in range(8, 1, -1):
        if t >= 1:
            return Bands(1, rows)
        bands = math.ceil(math.log(MISSED) / math.log(1 - t**rows))
        if bands * rows <= _MOST_HASHES:
            return Bands(bands, rows)
    return Bands(max(1, math.ceil(math.log(MISSED) / math.log(1 - t))) if t < 1 else 1, 1)


def prefix_length(sizes: "NDArray[np.int64]", threshold: Fraction) -> "NDArray[np.int64]":
    """How many of its shingles, the first in the order, a row of each size must look by: n - ceil(t n) + 1."""
    p, q = threshold.numerator, threshold.denominator
    return sizes - (-(-sizes * p // q)) + (sizes > 0)


def table_bits(shingles: int) -> int:
    """The size of the table in which shingles are counted, as a power of two."""
    return min(22, max(10, shingles.bit_length()))


def count(kept: Kept, bits: int, one_in: int, batches: list[Batch]) -> "NDArray[np.uint32]":
    """A worker's task: how many shingles of these batches fall on each place of the table.

    Of many rows one in so many is counted, a power of two, chosen by what it says: the order of the rows has
    no part in it. What is rare in them is rare in all.
    """
    import numpy as np

    table = np.zeros(1 << bits, np.uint32)
    for batch in batches:
        sets = read_batch(kept, batch)
        chosen = kept.same[batch.row : batch.row + batch.rows, 0] & np.uint64(one_in - 1) == 0
        hashes = sets.hashes[np.repeat(chosen, sets.sizes)]
        for start in range(0, len(hashes), 1 << 18):
            np.add.at(table, hashes[start : start + (1 << 18)] >> np.uint64(64 - bits), np.uint32(1))
    return table


def write_prefixes(kept: Kept, threshold: Fraction, shares: int, batch: Batch) -> Keys:
    """A worker's task: the keys of a batch by the exact prefix filter; `order` lies in the folder."""
    import numpy as np

    order = np.load(kept.folder / "order.npy", mmap_mode="r")
    shift = np.uint64(65 - len(order).bit_length())
    sets = read_batch(kept, batch)
    asked = _asked(kept, batch)
    ends = np.cumsum(sets.sizes)
    lengths = np.where(asked, prefix_length(sets.sizes, threshold), 0)
    found = []
    for start in range(0, batch.rows, _CHUNK):
        stop = min(start + _CHUNK, batch.rows)
        low, high = int(ends[start] - sets.sizes[start]), int(ends[stop - 1])
        hashes = sets.hashes[low:high]
        own = sets.sizes[start:stop]
        rarity = order[(hashes >> shift).astype(np.intp)].astype(np.uint64)
        ranked = rarity << np.uint64(58) | hashes >> np.uint64(6)
        at = 0
        for upto in np.cumsum(own).tolist():  # a sort of a hundred costs less a value than one of many
            ranked[at:upto].sort()
            at = upto
        place = np.arange(high - low) - np.repeat(np.cumsum(own) - own, own)
        first = place < np.repeat(lengths[start:stop], own)
        rows = np.repeat(np.arange(batch.row + start, batch.row + stop), np.minimum(lengths[start:stop], own))
        found.append(_packed(ranked[first], rows, kept.rows))
    return _write(kept.folder / f"keys-{batch.row}", found, shares)


def write_minhashes(kept: Kept, bands: Bands, shares: int, batch: Batch) -> Keys:
    """A worker's task: the keys of a batch by bands of minhashes."""
    import numpy as np

    random = np.random.default_rng(0xC0)  # the same permutations in every batch and on every machine
    factors = random.integers(0, 2**63, (bands.bands, bands.rows), np.uint64) * np.uint64(2) + np.uint64(1)
    sets = read_batch(kept, batch)
    asked = _asked(kept, batch)
    ends, found = np.cumsum(sets.sizes), []
    for start in range(0, batch.rows, _CHUNK):
        stop = min(start + _CHUNK, batch.rows)
        use = np.flatnonzero(asked[start:stop] & (sets.sizes[start:stop] > 0))
        if not len(use):
            continue
        own = sets.sizes[start:stop]
        low = int(ends[start] - own[0])
        hashes = sets.hashes[low : int(ends[stop - 1])]
        filled = own > 0
        begins = (np.cumsum(own) - own)[filled]
        pick = (np.cumsum(filled) - 1)[use]
        for number, band in enumerate(factors):
            key = np.full(len(use), number + 1, np.uint64)
            for factor in band:
                key = mix(key ^ np.minimum.reduceat(hashes * factor, begins)[pick])
            found.append(_packed(key, use + (batch.row + start), kept.rows))
    return _write(kept.folder / f"keys-{batch.row}", found, shares)


def _asked(kept: Kept, batch: Batch) -> "NDArray[np.bool_]":
    """Which rows of a batch are compared at all: `side` in the folder is 0 for the others."""
    import numpy as np

    side = np.load(kept.folder / "side.npy", mmap_mode="r")
    return np.asarray(side[batch.row : batch.row + batch.rows] > 0)


def row_bits(rows: int) -> int:
    """The low bits of a packed key that hold the row."""
    return max(1, (max(rows, 1) - 1).bit_length())


def _packed(keys: "NDArray[np.uint64]", rows: "NDArray[np.int64]", count: int) -> "NDArray[np.uint64]":
    """A key in the high bits, evenly spread, and the row in the low ones."""
    import numpy as np

    low = np.uint64(row_bits(count))
    return mix(keys) >> low << low | rows.astype(np.uint64)


def _write(path: Path, found: "list[NDArray[np.uint64]]", shares: int) -> Keys:
    import numpy as np

    keys = distinct(np.concatenate([np.zeros(0, np.uint64), *found]))
    keys.tofile(path)
    edges = np.array([(i << 64) // shares for i in range(shares)], np.uint64)
    return Keys(path.name, 0, len(keys), [*np.searchsorted(keys, edges).tolist(), len(keys)])
