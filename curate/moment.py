"""A project as it was at one moment: its tasks, their judgments, and the ledger's head.

Everything is read inside one read transaction that the caller holds, a task at a time, so
people go on labelling meanwhile and memory stays small.
"""

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from data.errors import BadInput, NotThere, nearest
from data.jsonl import parse

if TYPE_CHECKING:
    from data.ledger import Head
    from data.store import Tx

_AT_ONCE = 500  # tasks whose records are looked up together


class Project(NamedTuple):
    """A project in the store, and the newest event of its ledger."""

    id: int
    name: str
    tasks: int
    head: "Head"


class StoredJudgment(NamedTuple):
    """A judgment as stored: its id, its state (`counted`, `surplus`, `returned`) and its JSON line."""

    id: str
    state: str
    record: str


class StoredTask(NamedTuple):
    """A task as stored: its id, its JSON line, and every judgment of it by id."""

    task: str
    record: str
    judgments: list[StoredJudgment]


def find_project(tx: "Tx", name: str) -> Project:
    """The project of this name; NotThere (with the nearest name) when there is none."""
    from data.ledger import head

    row = tx.one("SELECT id, name, tasks FROM projects WHERE name = :name", name=name)
    if row is None:
        known = [r.name for r in tx.all("SELECT name FROM projects ORDER BY name")]
        hint = nearest(name, known) or "; annotate.load makes one"
        raise NotThere(f"there is no project '{name}' in this store{hint}")
    return Project(row.id, row.name, row.tasks, head(tx, row.id))


def read_tasks(tx: "Tx", project: int) -> Iterator[StoredTask]:
    """Every task of a project by task id, with all its judgments.

    Keys are put in order first, and records looked up by them some at a time: a database that sorts whole records
    writes them all to its disk before it gives the first.
    """
    keys = array("q")
    for (key,) in tx.tuples("SELECT id FROM tasks WHERE project = :project ORDER BY task", project=project):
        keys.append(key)
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE].tolist()
        judged: dict[int, list[StoredJudgment]] = {}
        for key, *judgment in tx.tuples("SELECT task, id, state, record FROM judgments WHERE task IN :some", some=some):
            judged.setdefault(key, []).append(StoredJudgment(*judgment))
        records = {
            key: (task, record)
            for key, task, record in tx.tuples(
                "SELECT t.id, t.task, r.record FROM tasks t JOIN task_records r ON r.task = t.id WHERE t.id IN :some",
                some=some,
            )
        }
        for key in some:
            if key not in records:
                raise BadInput(f"task number {key} in the store has no record; verify the ledger")
            yield StoredTask(*records[key], sorted(judged.get(key, ())))


def came(tx: "Tx", project: int) -> dict[str, int]:
    """The event of a project's ledger that brought each task in, by task id."""
    found: dict[str, int] = {}
    for event in tx.stream("SELECT seq, rows FROM ledger WHERE project = :project ORDER BY seq", project=project):
        for row in parse(event.rows.encode())[0] or []:
            if row[0] == "tasks":
                found.setdefault(str(row[1]), int(event.seq))
    return found
