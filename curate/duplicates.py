"""Rows that say the same, and rows that say the opposite: who stays, who goes and for whom. No files, no folders.

    found = find_duplicates(entries, Fraction(4, 5), threads=2)
    for one in found.removed():
        one.id, one.reason, one.kept, one.similarity

Who stays is decided by rank: what was judged first, then what came first in the ledger, then the smaller id. A row
goes only when it is near a row that stays (curate/near.py). Two pairs that stay and are near when chosen and
rejected of one change places are a contradiction: it is told, and both stay. The order of the rows, threads
and memory change nothing. `python -m curate.dedup` is this function over files; for rows in memory there is
`pair_entry` (curate/dedup_rows.py).
"""

from array import array
from collections.abc import Iterable, Iterator
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curate.dedup_rows import KEY, KEYS, Entry, turned
from curate.near import MEMORY_MB, Near, Stars, near_rows
from curate.near_sets import Parts
from curate.shingling import N

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
THRESHOLD = Fraction(4, 5)
_SAME = KEYS * KEY


class Removed(NamedTuple):
    """A row that goes."""

    id: str
    reason: str
    """Exact duplicate, or near duplicate; "of --against" when the other is of that set."""
    kept: str
    """The id of the row that is kept for it."""
    similarity: float
    """Jaccard: shingles in both over shingles in either."""
    shingles_in_both: int
    shingles_in_either: int


class Contradiction(NamedTuple):
    """Two pairs that stay, and say the opposite."""

    first: str
    """The id of the one with the lower rank."""
    second: str
    reason: str
    similarity: float
    """Of the first and the second with its chosen and rejected changed about."""
    shingles_in_both: int
    shingles_in_either: int


class Held:
    """What is kept of all rows while they are compared: some hundred bytes each."""

    def __init__(self) -> None:
        self._ids, self._id_start = bytearray(), array("q", [0])
        self.unit = array("q")
        self.judged, self.seq = array("q"), array("q")
        self.content = array("Q")
        """The beginning of a hash of the row: what comes first of two rows with one id."""
        self._same = bytearray()
        self.pair = bytearray()
        self.theirs = 0
        """The rows of the other set; they come first."""
        self._units: dict[tuple[str, bytes], int] = {}
        self.unit_rows = array("q")
        """Of each unit the first row that was read."""

    def add(self, entry: Entry) -> bool:
        """Keep a row; whether its unit is new and is still to be compared."""
        row = len(self)
        self._ids += entry.id.encode("utf-8", "surrogatepass")
        self._id_start.append(len(self._ids))
        self.judged.append(entry.judged)
        self.seq.append(entry.seq)
        known = blake2b(entry.line, digest_size=8).digest() if entry.line else entry.same[:8]
        self.content.append(int.from_bytes(known, "big"))
        self._same += entry.same
        self.pair.append(entry.pair)
        unit = len(self.unit_rows)
        if entry.unit:  # rows of one task that ask another thing are another unit
            unit = self._units.setdefault((entry.unit, entry.same), unit)
        self.unit.append(unit)
        if unit < len(self.unit_rows):
            return False
        self.unit_rows.append(row)
        return True

    def end_theirs(self) -> None:
        """The rows of the other set are all there; what follows is to be decided."""
        self.theirs = len(self)
        self._units.clear()  # a task of the other set is another unit

    def __len__(self) -> int:
        """How many rows there are, the other set's among them."""
        return len(self._id_start) - 1

    def id(self, row: int) -> str:
        """A row's id."""
        return self._ids[self._id_start[row] : self._id_start[row + 1]].decode("utf-8", "surrogatepass")

    def same(self, row: int) -> bytes:
        """Equal for rows that are the same in what is compared."""
        return bytes(self._same[row * _SAME : row * _SAME + _SAME])

    def order(self) -> "Rows":
        """All rows by rank: sorted by the last of what decides first, and by the first of it at last."""
        import numpy as np

        order = np.argsort(np.frombuffer(self.content, np.uint64), kind="stable")
        starts = np.frombuffer(self._id_start, np.int64)
        letters = np.frombuffer(self._ids, np.uint8)
        lengths = np.diff(starts)
        for at in range((max(int(lengths.max(initial=1)), 1) - 1) // 8 * 8, -1, -8):  # ids by eight bytes
            part = np.zeros((len(self), 8), np.uint8)
            for k in range(8):
                has = np.flatnonzero(lengths > at + k)
                part[has, k] = letters[starts[has] + (at + k)]
            order = order[np.argsort(part.view(">u8")[:, 0].astype(np.uint64)[order], kind="stable")]
        for column in (self.seq, self.judged):
            order = order[np.argsort(np.frombuffer(column, np.int64)[order], kind="stable")]
        return order


class Found(NamedTuple):
    """What becomes of the rows; rows go by their number in the order in which they came, the other set's first."""

    held: Held
    stay: "Rows"
    """The rows that stay, by rank; none of the other set."""
    gone: "Rows"
    """Those that go, by rank."""
    kept: "Rows"
    """For each that goes the row kept for it."""
    common: "Rows"
    """Shingles in both."""
    union: "Rows"
    """Shingles in either."""
    contradictions: list[Contradiction] | None
    """By rank; None where no row is a pair."""
    exact: bool
    """Whether every near pair was found for certain, by the prefix filter, and not by minhash."""
    recall: float
    """The least probability with which a near pair was found."""

    def removed(self) -> Iterator[Removed]:
        """Each row that goes, by rank."""
        held = self.held
        columns = (column.tolist() for column in (self.gone, self.kept, self.common, self.union))
        for row, kept, common, union in zip(*columns, strict=True):
            reason = "exact duplicate" if held.same(row) == held.same(kept) else "near duplicate"
            reason += " of --against" if kept < held.theirs else ""
            yield Removed(held.id(row), reason, held.id(kept), common / union, common, union)


def find_duplicates(
    entries: Iterable[Entry],
    threshold: Fraction = THRESHOLD,
    *,
    against: Iterable[Entry] = (),
    n: int = N,
    threads: int = 1,
    memory_mb: int = MEMORY_MB,
    folder: Path | None = None,
) -> Found:
    """Decide every row.

    Args:
        entries: read once, one at a time.
        threshold: the least Jaccard similarity of near rows, above 0 and at most 1.
        against: rows of another set, all read before the first entry; what is near one of them goes.
        n: tokens in a shingle.
        threads: processes that work at a time.
        memory_mb: about as much is held beside the entries themselves; below 800 one process works.
        folder: where shingles lie meanwhile; by default where temporary files go.

    Raises:
        BadInput: a value out of its range.
    """
    import numpy as np

    held = Held()
    texts = _texts(entries, against, held)
    with near_rows(texts, threshold, n=n, threads=threads, memory_mb=memory_mb, folder=folder) as near:
        order = held.order()
        kept, stars = _decide(held, near, order)
        exact, recall = near.bands is None, near.recall
        ours = order[order >= held.theirs]
        stays = kept[ours] == ours
        stay, gone = ours[stays], ours[~stays]
        unit = np.frombuffer(held.unit, np.int64)[gone]
        told = _contradictions(held, near, stay) if any(held.pair) else None
    return Found(held, stay, gone, kept[gone], stars.common[unit], stars.union[unit], told, exact, recall)


def _texts(entries: Iterable[Entry], against: Iterable[Entry], held: Held) -> Iterator[Parts]:
    """The parts of every unit, the other set first; what else is known of a row goes to `held` on the way."""
    for entry in against:
        if held.add(entry):
            yield entry.parts
    held.end_theirs()
    for entry in entries:
        if held.add(entry):
            yield entry.parts


def _decide(held: Held, near: Near, order: "Rows") -> tuple["Rows", Stars]:
    """For each row the row kept for it (itself where it stays): units are decided, and their rows follow."""
    import numpy as np

    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    unit = np.frombuffer(held.unit, np.int64)
    head = np.full(len(held.unit_rows), len(order), np.int64)
    np.minimum.at(head, unit, rank)
    stars = near.stars(head, np.frombuffer(held.unit_rows, np.int64) < held.theirs)
    kept = order[head[stars.kept[unit]]]
    stays = np.flatnonzero(stars.kept[unit] == unit)
    kept[stays] = stays
    return kept, stars


def _contradictions(held: Held, near: Near, stay: "Rows") -> list[Contradiction]:
    """Pairs among those that stay that are near when one's chosen and rejected change places, by rank."""
    import numpy as np

    # A pair is compared as a whole row, and a whole row is a unit of its own.
    rows = np.sort(stay[np.frombuffer(held.pair, np.uint8)[stay] > 0])
    unit = np.frombuffer(held.unit, np.int64)[rows]
    found, union = near.opposite(unit)
    a, b = (rows[np.searchsorted(unit, column)] for column in (found.a, found.b))
    place = np.empty(len(held), np.int64)
    place[stay] = np.arange(len(stay))
    first, second = np.where(place[a] < place[b], (a, b), (b, a))
    told = []
    for i in np.lexsort((place[second], place[first])).tolist():
        one, other, common, either = int(first[i]), int(second[i]), int(found.common[i]), int(union[i])
        reason = "chosen and rejected swapped" + ("" if held.same(one) == turned(held.same(other)) else ", nearly")
        told.append(Contradiction(held.id(one), held.id(other), reason, common / either, common, either))
    return told
