"""Near-duplicate rows, exactly: who is near whom, and who stays when each is kept once.

    with near_rows(rows, Fraction(4, 5)) as near:
        pairs = near.pairs()                    every pair with Jaccard similarity 0.8 or more
            stars = near.stars(rank)                which rows stay, and for each other the row kept for it
        label = near.linked()                   what is joined by chains of near rows

Similarity is the Jaccard index of shingle sets (curate/shingling.py), |A and B| / |A or B|, and decided in whole
numbers; of rows in several parts every part must be near. Rows are decided in the order of their rank: a row goes
when it is near a row that stays, and stays otherwise. So a row that goes is always near the row that is kept
for it, no two rows that stay are near each other, and no chain of likenesses joins unlike rows. The answer
depends on rows and ranks alone: on no order, number of processes or size of memory.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.near_join import Pairs, candidates, join, linked, set_sides
from curate.near_keys import Bands, Keys, bands_for, count, prefix_length, table_bits, write_minhashes, write_prefixes
from curate.near_sets import Kept, Parts, keep_sets
from curate.shingling import N
from data.errors import BadInput
from data.parallel import how_many, processes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
_MANY = 64  # candidates a row of the exact filter beyond which minhash is asked whether it gives fewer
_DIRECT = 4  # candidates a row that are compared in one go, before rows that go are taken out of the way
_LEAST = 4_000_000
_COUNTED = 25
"""Of more than 2 to this shingles only a part is counted to tell the rare ones."""
MEMORY_MB = 1500


class Stars(NamedTuple):
    """What becomes of every row; arrays with an entry for each."""

    kept: "Rows"
    """The row that is kept for it: itself where it stays."""
    common: "Rows"
    """Shingles it shares with that row."""
    union: "Rows"
    """Shingles that are in one or both; similarity is common / union, never 0 / 0."""


class Near:
    """The shingle sets of some rows, and the keys by which near ones are found."""

    def __init__(self, kept: Kept, threshold: Fraction, run: Any, memory_mb: int) -> None:
        self.kept = kept
        self.threshold = threshold
        self.rows = kept.rows
        self.bands: Bands | None = None
        """The bands of minhash when it was used; None when every near pair is found for certain."""
        self._run = run
        self._memory_mb = memory_mb
        self._keys: list[Keys] = []
        self._exact: list[Keys] = []
        self._ordered = False
        self.candidates = 0
        """How often two rows met under a key of the exact filter, in the last search."""

    @property
    def recall(self) -> float:
        """The least probability with which a near pair is found."""
        return 1.0 if self.bands is None else self.bands.recall(float(self.threshold))

    def pairs(self) -> Pairs:
        """Every near pair of rows, sorted; rows with equal sets too. Many rows that are all alike give many."""
        import numpy as np

        self._find_keys(np.full(self.rows, 2, np.uint8))
        return join(self.kept, self._keys, self.threshold, self._run)

    def between(self, fixed: "NDArray[np.bool_]", others: "NDArray[np.bool_] | None" = None) -> Pairs:
        """Every near pair of a fixed row (`a`) and one that is not (`b`), sorted.

        Args:
            others: the rows that are looked at beside the fixed ones; by default all.
        """
        import numpy as np

        self._find_keys(np.where(fixed, 1, 2 if others is None else 2 * others).astype(np.uint8))
        return join(self.kept, self._keys, self.threshold, self._run)

    def most_alike(
        self, fixed: "NDArray[np.bool_]", others: "NDArray[np.bool_]", at_most: int | None = None
    ) -> Pairs | None:
        """For each of the other rows (`b`) the fixed row (`a`) most like it, if it is near; of several the first.

        Args:
            at_most: None is given back when more candidates than this would have to be compared.
        """
        import numpy as np

        self._find_keys(np.where(fixed, 1, 2 * others).astype(np.uint8))
        if at_most is not None and self.candidates > at_most:
            return None
        return join(self.kept, self._keys, self.threshold, self._run, "most alike")

    def linked(self) -> "Rows":
        """For each row the lowest row that a chain of near rows joins it to; itself where there is none lower."""
        import numpy as np

        first = _first_of_same(self.kept, np.arange(self.rows))
        self._find_keys(np.where(first == np.arange(self.rows), 2, 0).astype(np.uint8))
        return np.asarray(linked(self.kept, self._keys, self.threshold, self._run)[first])

    def stars(self, rank: "Rows", fixed: "NDArray[np.bool_] | None" = None) -> Stars:
        """Decide every row.

        Args:
            rank: shape (rows,), no two equal: the lower stays.
            fixed: rows that stay whatever they are near (another set that is compared against); they come
                before all others, and are not compared with each other. Of several that a row is near,
                the first by rank is named, one with the same set before all.
        """
        import numpy as np

        own = np.zeros(self.rows, bool) if fixed is None else fixed
        order = np.lexsort((rank, ~own))
        first = _first_of_same(self.kept, order)
        sizes = np.asarray(self.kept.sizes).astype(np.int64)
        taken = np.arange(self.rows), sizes.copy()
        side = np.where(first == np.arange(self.rows), 2, 0).astype(np.uint8)
        self._find_keys(side)
        theirs, ours = order[own[order] & (side[order] > 0)], order[~own[order] & (side[order] > 0)]
        if len(theirs):
            ours = self._without_near(theirs, ours, taken)
        self._decide(ours, taken)
        kept, common = taken[0][first], taken[1][first]
        kept[own], common[own] = np.flatnonzero(own), sizes[own]
        return Stars(kept, common, np.where(kept == np.arange(self.rows), sizes, sizes + sizes[kept] - common))

    def opposite(self, rows: "Rows") -> tuple[Pairs, "Rows"]:
        """Every two of some rows that are near when parts 1 and 2 of one change places, and what is in either.

        They are found by the keys of the exact filter that `stars` left: what part a shingle is of has no share in
        a key, nor in the bits by which most candidates fall.

        Args:
            rows: of those that `stars` let stay.

        Returns:
            Pairs of rows with a < b, sorted, and for each how many shingles are in one or both.
        """
        import numpy as np

        side = np.zeros(self.rows, np.uint8)
        side[rows] = 2
        set_sides(self.kept, side)
        found = join(self.kept, self._exact, self.threshold, self._run, "turned")
        sizes = np.asarray(self.kept.sizes).astype(np.int64)
        return found, sizes[found.a] + sizes[found.b] - found.common

    def _find_keys(self, side: "NDArray[np.uint8]") -> None:
        """Write the keys of the rows that take part: of the exact filter, or of minhash where that one drowns."""
        import numpy as np

        set_sides(self.kept, side)
        self.bands = None
        self._keys = self._exact = self._prefix_keys(side)
        many = _MANY * int((side > 0).sum()) + _LEAST
        met = self.candidates = candidates(self.kept, self._keys, self._run)
        if met <= many:
            return
        bands = bands_for(self.threshold)
        work = partial(write_minhashes, self.kept, bands, self._shares(bands.bands * int(np.sum(side > 0))))
        self._exact = [keys._replace(file=f"exact-{keys.file}") for keys in self._keys]
        for keys, aside in zip(self._keys, self._exact, strict=True):
            (self.kept.folder / keys.file).rename(self.kept.folder / aside.file)
        self._keys = list(self._run(work, self.kept.batches))
        if candidates(self.kept, self._keys, self._run) * 4 < met:
            self.bands = bands
        else:
            self._keys = self._exact

    def _prefix_keys(self, side: "NDArray[np.uint8]") -> list[Keys]:
        import numpy as np

        sizes = np.asarray(self.kept.sizes).astype(np.int64)
        if not self._ordered:
            self._order_shingles(int(sizes.sum()))
        shares = self._shares(int(prefix_length(sizes[side > 0], self.threshold).sum()))
        return list(self._run(partial(write_prefixes, self.kept, self.threshold, shares), self.kept.batches))

    def _order_shingles(self, shingles: int) -> None:
        """Count how common shingles are, once for all searches."""
        import numpy as np

        bits = table_bits(shingles)
        table = np.zeros(1 << bits, np.uint32)
        batches = self.kept.batches
        one_in = 1 << max(0, shingles.bit_length() - _COUNTED)
        work = partial(count, self.kept, bits, one_in)
        for part in self._run(work, [batches[i : i + 8] for i in range(0, len(batches), 8)]):
            table += part
        np.save(self.kept.folder / "order.npy", np.ceil(np.log2(table.astype(np.float64) + 1)).astype(np.uint8))
        self._ordered = True

    def _shares(self, keys: int) -> int:
        """In how many shares so many keys are sorted: one with what is made of it takes a quarter of the memory."""
        return max(2, -(-keys * 8 * 5 * 4 // (self._memory_mb * 1_000_000)))

    def _without_near(self, stay: "Rows", rows: "Rows", taken: tuple["Rows", "Rows"]) -> "Rows":
        """The rows that are near none of those that stay; of the others it is noted for which one they go.

        Both in the order of rank: of several that stay, the first is the one.
        """
        import numpy as np

        side, place = np.zeros(self.rows, np.uint8), np.zeros(self.rows, np.int64)
        side[stay], side[rows] = 1, 2
        place[stay] = np.arange(len(stay))
        set_sides(self.kept, side)
        found = join(self.kept, self._keys, self.threshold, self._run)
        order = np.lexsort((place[found.a], found.b))
        gone, at = np.unique(found.b[order], return_index=True)
        taken[0][gone], taken[1][gone] = found.a[order][at], found.common[order][at]
        return rows[~np.isin(rows, gone)]

    def _decide(self, rows: "Rows", taken: tuple["Rows", "Rows"]) -> "Rows":
        """Decide rows, in the order of rank, none of which is near a row that stays already; returns those that stay.

        Where many meet, the first half is decided first and takes its near ones out of the second: rows
        all alike are then compared with the one that stays, and not with each other.
        """
        import numpy as np

        side = np.zeros(self.rows, np.uint8)
        side[rows] = 2
        set_sides(self.kept, side)
        if len(rows) > 256 and candidates(self.kept, self._keys, self._run) > _DIRECT * self.rows + _LEAST:
            half = max(128, len(rows) // 8)
            stay = self._decide(rows[:half], taken)
            rest = self._without_near(stay, rows[half:], taken)
            return np.concatenate([stay, self._decide(rest, taken)])
        found = join(self.kept, self._keys, self.threshold, self._run)
        place = np.zeros(self.rows, np.int64)
        place[rows] = np.arange(len(rows))
        turned = place[found.a] > place[found.b]
        before, after = np.where(turned, found.b, found.a), np.where(turned, found.a, found.b)
        order = np.lexsort((place[before], place[after]))
        gone: set[int] = set()
        for a, b, common in zip(*(x[order].tolist() for x in (before, after, found.common)), strict=True):
            if b not in gone and a not in gone:
                gone.add(b)
                taken[0][b], taken[1][b] = a, common
        return rows[~np.isin(rows, np.fromiter(gone, np.int64, len(gone)))]


def _first_of_same(kept: Kept, order: "Rows") -> "Rows":
    """For each row the first in the order whose set is the same."""
    import numpy as np

    place = np.empty(kept.rows, np.int64)
    place[order] = np.arange(kept.rows)
    same = np.asarray(kept.same)
    sorted_rows = np.lexsort((place, same[:, 1], same[:, 0]))
    head = np.ones(kept.rows, bool)
    head[1:] = (same[sorted_rows[1:]] != same[sorted_rows[:-1]]).any(axis=1)
    first = np.empty(kept.rows, np.int64)
    first[sorted_rows] = sorted_rows[np.maximum.accumulate(np.where(head, np.arange(kept.rows), 0))]
    return first


@contextmanager
def near_rows(
    rows: Iterable[Parts],
    threshold: Fraction,
    *,
    n: int = N,
    threads: int = 1,
    memory_mb: int = MEMORY_MB,
    folder: Path | None = None,
) -> Iterator[Near]:
    """Read rows once and hold their shingle sets on disk till the end of the block.

    Args:
        rows: each its texts with the number of the part they belong to, [(0, text)] for a row of one text.
        threshold: the least Jaccard similarity of near rows, above 0 and at most 1.
        n: tokens in a shingle.
        threads: processes that work at a time.
        memory_mb: about as much is held; below 800 one process works, whatever `threads` says.
        folder: where the sets lie meanwhile (8 bytes a shingle); by default where temporary files go.

    Raises:
        BadInput: a value out of its range.
    """
    if not 0 < threshold <= 1:
        raise BadInput(f"--threshold is {threshold}; similarity goes from above 0 to 1")
    threads = how_many(threads)
    if memory_mb < 300:
        raise BadInput(f"--memory: {memory_mb} MB is too little; give at least 300")
    count = 1 if memory_mb < 800 else threads
    place = Path(tempfile.mkdtemp(prefix="concord-near-", dir=folder))
    try:
        with processes(count) as run:
            kept = keep_sets(rows, place, n, run, min(16_000_000, memory_mb * 8_000))
            yield Near(kept, threshold, run if len(kept.batches) > 1 else map, memory_mb // (count + 1))
    finally:
        shutil.rmtree(place, ignore_errors=True)
