"""Deduplicate: what a run of dedup decides of every row, and the folder it writes.

    data/*.jsonl                 the rows that stay, as they came, the first judged first
    audit/removed.jsonl          each row that goes: id, reason, the row kept for it, and how similar the two are
    audit/contradictions.jsonl   two pairs that stay and say the opposite: chosen and rejected have changed places
    audit/rejected.jsonl         each row that could not be read, and why

Who stays is decided by rank: what was judged first, then what came first in the ledger, then the smaller id.
Rows of a plain file have neither time nor event, and no id unless they bring one: theirs is a hash of the whole
row. So the order of rows and files changes no byte of what is written, and neither do threads or memory.
"""

import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from curate.dedup_rows import Bad, Entry, On, pair_parts, read_entries
from curate.near import Near, Stars, near_rows
from curate.near_sets import Parts
from data.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.folder import Folder, Lines

    Rows = NDArray[np.int64]


class How(NamedTuple):
    """How a run compares."""

    on: On
    threshold: Fraction
    n: int
    """Tokens in a shingle."""
    text: str | None
    project: str | None
    threads: int
    memory_mb: int


class Held:
    """What is kept of all rows between reading and writing: a hundred bytes each, and their lines on disk."""

    def __init__(self, lines: BinaryIO) -> None:
        self.lines = lines
        self._ids, self._id_start = bytearray(), array("q", [0])
        self.files: list[str] = []
        self.file = array("H")
        self.unit = array("q")
        self.judged, self.seq = array("q"), array("q")
        self.start = array("q", [0])
        self.content = array("Q")
        """The beginning of a hash of the row: what comes first of two rows with one id."""
        self.same, self.swapped = bytearray(), bytearray()
        self.theirs = 0
        """The rows of the other set; they come first."""
        self.units: dict[str, int] = {}
        self.unit_rows = array("q")
        """Of each unit the first row that was read."""

    def add(self, entry: Entry) -> bool:
        """Keep a row; whether its unit is new and is still to be compared."""
        from hashlib import blake2b

        row = len(self)
        self._ids += entry.id.encode("utf-8", "surrogatepass")
        self._id_start.append(len(self._ids))
        if entry.file not in self.files:
            self.files.append(entry.file)
        self.file.append(self.files.index(entry.file))
        self.judged.append(entry.judged)
        self.seq.append(entry.seq)
        self.lines.write(entry.line)
        self.start.append(self.start[-1] + len(entry.line))
        self.content.append(int.from_bytes(blake2b(entry.line, digest_size=8).digest(), "big"))
        self.same += entry.same
        self.swapped += entry.swapped or bytes(16)
        unit = self.units.setdefault(entry.unit, len(self.unit_rows)) if entry.unit else len(self.unit_rows)
        self.unit.append(unit)
        if unit < len(self.unit_rows):
            return False
        self.unit_rows.append(row)
        return True

    def __len__(self) -> int:
        """How many rows there are, the other set's among them."""
        return len(self._id_start) - 1

    def id(self, row: int) -> str:
        """A row's id."""
        return self._ids[self._id_start[row] : self._id_start[row + 1]].decode("utf-8", "surrogatepass")

    def line(self, row: int) -> bytes:
        """A row's line again."""
        self.lines.seek(self.start[row])
        return self.lines.read(self.start[row + 1] - self.start[row])

    def key(self, row: int) -> bytes:
        """Equal for rows that are the same in what is compared."""
        return bytes(self.same[row * 16 : row * 16 + 16])

    def order(self) -> "Rows":
        """All rows by rank."""
        import numpy as np

        longest = max((b - a for a, b in pairwise(self._id_start)), default=1)
        ids = np.zeros(len(self), f"S{max(1, longest)}")
        for row in range(len(self)):
            ids[row] = bytes(self._ids[self._id_start[row] : self._id_start[row + 1]])
        columns = [np.frombuffer(column, column.typecode) for column in (self.content, self.seq, self.judged)]
        return np.lexsort((columns[0], ids, columns[1], columns[2]))


def deduplicate(
    inputs: Sequence[Path], against: Sequence[Path], how: How, folder: "Folder", step: Callable[[int], None]
) -> dict[str, Any]:
    """Read, decide and write; returns the summary.

    Raises:
        NotThere, BadInput: an input that cannot be read, or not a single row that can be compared.
    """
    import numpy as np
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what was given back
    with tempfile.TemporaryFile(dir=folder.path) as lines, folder.lines("audit/rejected.jsonl") as rejected:
        held = Held(lines)
        texts = _texts(inputs, against, how, held, rejected, step)
        with _near(texts, how, folder) as near:
            if len(held) == held.theirs:
                names = ", ".join(str(path) for path in inputs)
                raise BadInput(f"{names}: no row can be compared ({rejected.rows:,} rejected); name other files")
            order = held.order()
            kept, stars = _decide(held, near, order)
        lines.flush()
        counts = _write(held, order, kept, stars, folder)
        stay = order[(kept == np.arange(len(kept)))[order] & (order >= held.theirs)]
        found = _contradictions(held, stay, how, folder) if any(held.swapped) else None
        folder.write("audit/contradictions.jsonl", found or [])
    return {
        "rows": len(held) - held.theirs,
        "kept": len(stay),
        "removed": counts,
        "contradictions": None if found is None else len(found),
        "rejected": rejected.rows or None,
        "compared_against": held.theirs or None,
        "found_by": "exact prefix filter" if near.bands is None else "minhash",
        "recall_at_the_threshold": round(near.recall, 4),
    }


def _near(texts: Iterable[Parts], how: How, folder: "Folder") -> AbstractContextManager[Near]:
    """The rows compared as the run says; what lies on disk meanwhile lies in the unfinished folder."""
    return near_rows(texts, how.threshold, n=how.n, threads=how.threads, memory_mb=how.memory_mb, folder=folder.path)


def _texts(
    inputs: Sequence[Path],
    against: Sequence[Path],
    how: How,
    held: Held,
    rejected: "Lines",
    step: Callable[[int], None],
) -> Iterator[Parts]:
    """The parts of every unit, the other set first; what else is known of a row goes to `held` on the way."""
    for paths, ours in ((against, False), (inputs, True)):
        if ours:
            held.theirs = len(held)
            held.units.clear()  # a task of the other set is another unit
        for path in paths:
            before = len(held)
            for entry in read_entries(path, how.on, how.text, how.project):
                step(1)
                if isinstance(entry, Bad):
                    rejected.add({"where": entry.where, "reason": entry.reason})
                elif held.add(entry):
                    yield entry.parts
            if not ours and len(held) == before:
                raise BadInput(f"--against {path} gives no row that can be compared; name another")


class Decided(NamedTuple):
    """How similar each row is to the row kept for it: common shingles and all."""

    common: "Rows"
    union: "Rows"


def _decide(held: Held, near: Near, order: "Rows") -> tuple["Rows", Decided]:
    """For each row the row kept for it (itself where it stays): units are decided, and their rows follow."""
    import numpy as np

    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    unit = np.frombuffer(held.unit, np.int64)
    head = np.full(len(held.unit_rows), len(order), np.int64)
    np.minimum.at(head, unit, rank)
    theirs = np.frombuffer(held.unit_rows, np.int64) < held.theirs
    stars: Stars = near.stars(head, theirs)
    kept = order[head[stars.kept[unit]]]
    stays = stars.kept[unit] == unit
    kept[stays] = np.flatnonzero(stays)
    return kept, Decided(stars.common[unit], stars.union[unit])


def _write(held: Held, order: "Rows", kept: "Rows", decided: Decided, folder: "Folder") -> dict[str, int]:
    """Write the rows that stay and name those that go; returns how many went for which reason."""
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        outs = {name: stack.enter_context(folder.lines(f"data/{name}")) for name in sorted(held.files)}
        removed = stack.enter_context(folder.lines("audit/removed.jsonl"))
        for row in order.tolist():
            if row < held.theirs:
                continue
            for_row = int(kept[row])
            if for_row == row:
                outs[held.files[held.file[row]]].add(held.line(row))
                continue
            reason = "exact duplicate" if held.key(row) == held.key(for_row) else "near duplicate"
            reason += " of --against" if for_row < held.theirs else ""
            counts[reason] = counts.get(reason, 0) + 1
            common, union = int(decided.common[row]), int(decided.union[row])
            removed.add(
                {
                    "id": held.id(row),
                    "reason": reason,
                    "kept": held.id(for_row),
                    "similarity": common / union,
                    "shingles_in_both": common,
                    "shingles_in_either": union,
                }
            )
    return dict(sorted(counts.items()))


def _contradictions(held: Held, stay: "Rows", how: How, folder: "Folder") -> list[dict[str, Any]]:
    """Pairs among those that stay that are near when one's chosen and rejected change places, by rank."""
    import numpy as np

    rows = [row for row in stay.tolist() if any(held.swapped[row * 16 : row * 16 + 16])]
    texts = (
        [(part, text) for part, text in pair_parts(held.line(row), turned)] for turned in (False, True) for row in rows
    )
    with _near(texts, how, folder) as near:
        found = near.between(np.arange(2 * len(rows)) < len(rows))
        sizes = np.asarray(near.kept.sizes)
    told = []
    for a, turned, common in zip(*(column.tolist() for column in found), strict=True):
        b = turned - len(rows)
        if a >= b:  # each two come twice, and a row may be like itself turned round
            continue
        exact = held.key(rows[a]) == bytes(held.swapped[rows[b] * 16 : rows[b] * 16 + 16])
        union = int(sizes[a]) + int(sizes[turned]) - common
        told.append(
            {
                "first": held.id(rows[a]),
                "second": held.id(rows[b]),
                "reason": "chosen and rejected swapped" + ("" if exact else ", nearly"),
                "similarity": common / union,
                "shingles_in_both": common,
                "shingles_in_either": union,
            }
        )
    return told
