"""Rows of an export that come again, nearly or to the letter, and rows that say the opposite.

    audit/removed.jsonl          each row that goes: id, reason, the row kept for it, how similar the two are
    audit/contradictions.jsonl   two rows that stay, one with chosen and rejected in the other's place
    audit/came.jsonl             the event of the ledger that brought each task in, where rows were compared

Who stays is decided by curate/duplicates.py: what was judged first, then what came first in the ledger, then
the smaller id. Beside the evidence that needs the ledger, so its part is kept in the folder.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.dedup_rows import LAST, Entry, pair_entry
from curate.duplicates import find_duplicates
from curate.rules import Rules
from data.errors import BadInput
from data.jsonl import read_lines

if TYPE_CHECKING:
    from curate.rows import Waiting
    from data.folder import Folder

REMOVED, CONTRADICTIONS, CAME = "audit/removed.jsonl", "audit/contradictions.jsonl", "audit/came.jsonl"


class Repeated(NamedTuple):
    """What comes again."""

    left_out: dict[str, str]
    """Rows that go, and the reason."""
    removed: list[dict[str, Any]]
    contradictions: list[dict[str, Any]]

    def write(self, folder: "Folder") -> None:
        """Write the two lists."""
        folder.write(REMOVED, self.removed)
        folder.write(CONTRADICTIONS, self.contradictions)

    def unlike(self, folder: Path) -> list[str]:
        """Which of the lists in a folder is another."""
        return [
            f"{name}: not what the rows give"
            for name, mine in ((REMOVED, self.removed), (CONTRADICTIONS, self.contradictions))
            if [line.value for line in _lines(folder / name)] != mine
        ]


def find_repeated(
    pairs: Path, rules: Rules, came: Mapping[str, int], threads: int = 1, folder: Path | None = None
) -> Repeated:
    """The rows that come again under the rules.

    Args:
        pairs: the file in which they wait (curate/rows.py, Waiting).
        came: the event of the ledger that brought each task in; a task that is not there came last.
        folder: where shingles lie meanwhile.
    """
    if rules.dedup == "none":
        return Repeated({}, [], [])
    found = find_duplicates(
        _entries(pairs, rules, came), Fraction(rules.dedup_threshold), threads=threads, folder=folder
    )
    removed = [one._asdict() for one in found.removed()]
    left_out = {one["id"]: f"{one['reason']} of {one['kept']}" for one in removed}
    return Repeated(left_out, removed, [one._asdict() for one in found.contradictions or ()])


def _entries(pairs: Path, rules: Rules, came: Mapping[str, int]) -> Iterator[Entry]:
    from curate.rows import read_found

    assert rules.dedup != "none"
    with pairs.open("rb") as file:
        for found in read_found(file):
            for pair, judged in zip(found.pairs, found.judged, strict=True):
                yield pair_entry(
                    pair["id"],
                    pair["prompt"],
                    pair["chosen"],
                    pair["rejected"],
                    on=rules.dedup,
                    judged=judged,
                    seq=came.get(pair["task_id"], LAST),
                    task=pair["task_id"],
                )


def keep_order(folder: "Folder", waiting: "Waiting", came: Mapping[str, int]) -> None:
    """Write the event that brought each task with a row in."""
    tasks = sorted({brief.task for brief in waiting.briefs})
    folder.write(CAME, ({"task_id": task, "seq": came[task]} for task in tasks if task in came))


def order_of(folder: Path) -> dict[str, int]:
    """The events that `keep_order` wrote.

    Raises:
        BadInput: a line is none.
    """
    found = {}
    for line in _lines(folder / CAME):
        if not isinstance(line.value, dict) or not isinstance(line.value.get("seq"), int):
            raise BadInput(f"{CAME}, line {line.number}: no task_id and seq")
        found[str(line.value.get("task_id"))] = line.value["seq"]
    return found


def _lines(path: Path) -> Iterator[Any]:
    return read_lines(path) if path.is_file() else iter(())
