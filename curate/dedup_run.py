"""Deduplicate files: rows read, decided by curate/duplicates.py, and the folder that says what became of them.

    data/*.jsonl                 the rows that stay, as they came, the first judged first
    audit/removed.jsonl          each row that goes: id, reason, the row kept for it, and how similar the two are
    audit/contradictions.jsonl   two pairs that stay and say the opposite: chosen and rejected have changed places
    audit/rejected.jsonl         each row that could not be read, and why

Rows of a plain file have neither time nor event, and no id unless they bring one: theirs is a hash of the whole
row. So the order of rows and files changes no byte of what is written, and neither do threads or memory.
"""

import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from curate.dedup_rows import Bad, Entry, On, read_entries
from curate.duplicates import Found, find_duplicates
from data.errors import BadInput

if TYPE_CHECKING:
    from data.folder import Folder, Lines


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


class RowLines:
    """The lines of all rows on disk, and which file each goes to."""

    def __init__(self, lines: BinaryIO) -> None:
        self.lines = lines
        self.start = array("q", [0])
        self.files: list[str] = []
        self.file = array("H")

    def add(self, entry: Entry) -> None:
        """Keep a row's line."""
        if entry.file not in self.files:
            self.files.append(entry.file)
        self.file.append(self.files.index(entry.file))
        self.lines.write(entry.line)
        self.start.append(self.start[-1] + len(entry.line))

    def line(self, row: int) -> bytes:
        """A row's line again."""
        self.lines.seek(self.start[row])
        return self.lines.read(self.start[row + 1] - self.start[row])


def deduplicate(
    inputs: Sequence[Path], against: Sequence[Path], how: How, folder: "Folder", step: Callable[[int], None]
) -> dict[str, Any]:
    """Read, decide and write; returns the summary.

    Raises:
        NotThere, BadInput: an input that cannot be read, or not a single row that can be compared.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what was given back
    with tempfile.TemporaryFile(dir=folder.path) as lines, folder.lines("audit/rejected.jsonl") as rejected:
        kept = RowLines(lines)
        found = find_duplicates(
            _entries(inputs, how, kept, rejected, step, "no row can be compared"),
            how.threshold,
            against=_entries(against, how, kept, rejected, step, ""),
            n=how.n,
            threads=how.threads,
            memory_mb=how.memory_mb,
            folder=folder.path,
        )
        lines.flush()
        counts = _write(kept, found, folder)
    told = found.contradictions
    folder.write("audit/contradictions.jsonl", (one._asdict() for one in told or []))
    return {
        "rows": len(found.stay) + len(found.gone),
        "kept": len(found.stay),
        "removed": counts,
        "contradictions": None if told is None else len(told),
        "rejected": rejected.rows or None,
        "compared_against": found.held.theirs or None,
        "found_by": "exact prefix filter" if found.exact else "minhash",
        "recall_at_the_threshold": round(found.recall, 4),
    }


def _entries(
    paths: Sequence[Path], how: How, kept: RowLines, rejected: "Lines", step: Callable[[int], None], none: str
) -> Iterator[Entry]:
    """Every row that can be compared; its line is kept on the way, and each that cannot is told with its reason."""
    rows = 0
    for path in paths:
        before = rows
        for entry in read_entries(path, how.on, how.text, how.project):
            step(1)
            if isinstance(entry, Bad):
                rejected.add({"where": entry.where, "reason": entry.reason})
                continue
            kept.add(entry)
            rows += 1
            yield entry
        if not none and rows == before:
            raise BadInput(f"--against {path} gives no row that can be compared; name another")
    if none and not rows:
        names = ", ".join(str(path) for path in paths)
        raise BadInput(f"{names}: {none} ({rejected.rows:,} rejected); name other files")


def _write(kept: RowLines, found: Found, folder: "Folder") -> dict[str, int]:
    """Write the rows that stay and name those that go; returns how many went for which reason."""
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        outs = {name: stack.enter_context(folder.lines(f"data/{name}")) for name in sorted(kept.files)}
        for row in found.stay.tolist():
            outs[kept.files[kept.file[row]]].add(kept.line(row))
        removed = stack.enter_context(folder.lines("audit/removed.jsonl"))
        for one in found.removed():
            counts[one.reason] = counts.get(one.reason, 0) + 1
            removed.add(one._asdict())
    return dict(sorted(counts.items()))
