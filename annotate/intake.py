"""Tasks into a project: rows from data/formats become tasks, slots and imported judgments.

Rows go in by the batch, each batch in one transaction and one ledger event, so a live
project can be fed while people work, and a load that was cut off goes on where it stopped
when it is run again: what is known already is passed over.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple

from annotate.entries import Entry, insert_tasks, known_tasks
from annotate.imported import insert_votes
from annotate.projects import change_settings, make_project
from data import ledger
from data.errors import one_line
from data.formats.rows import Reject, Row
from data.jsonl import explain
from data.records import Criterion, Kind, Task
from data.store import Store, Tx

MAX_KEY, MAX_LANGUAGE = 500, 40  # characters: what an index of PostgreSQL takes with room to spare
BATCH = 500  # tasks a transaction: large enough to be fast, short enough that a submit hardly waits


class Wishes(NamedTuple):
    """What the person loading asks for; None leaves it to the row, then to the layout."""

    kind: Kind | None = None
    overlap: int | None = None
    priority: int | None = None
    language: str | None = None
    criteria: tuple[Criterion, ...] = ()


class Tally(NamedTuple):
    """What a load did."""

    tasks: int = 0
    known: int = 0
    judgments: int = 0
    judgments_known: int = 0
    surplus: int = 0
    rejected: int = 0
    differing: int = 0
    """Known tasks that came again with other tags, overlap, priority or the like: the first stays."""
    with_empty: int = 0
    """Tasks with an empty answer, and (below) with two identical ones."""
    with_identical: int = 0

    def plus(self, **more: int) -> "Tally":
        """The tally with these numbers added."""
        return self._replace(**{key: getattr(self, key) + n for key, n in more.items()})


def build(project: str, row: Row, wishes: Wishes) -> Task:
    """The task a row makes in this project; ValueError says what does not fit."""
    for what, name, limit in [
        ("the id", row.key, MAX_KEY),
        ("the language", row.language or row.prompt.language or wishes.language or "", MAX_LANGUAGE),
        *(("an annotator's name", vote.annotator, MAX_KEY) for vote in row.votes),
    ]:
        if len(name) > limit or "\0" in name:
            raise ValueError(f"{what} has at most {limit} characters and no NUL, not {one_line(name, 60)!r}")
    count = len(row.responses)
    kind = wishes.kind or row.kind or ("ab" if count == 2 else "ranking")
    people = sum(vote.annotator_kind == "person" for vote in row.votes)
    return Task.make(
        project,
        kind,
        row.prompt,
        row.responses,
        criteria=list(row.criteria or wishes.criteria) if kind == "rating" else list(row.criteria),
        overlap=wishes.overlap or row.overlap or max(1, people),
        priority=wishes.priority if wishes.priority is not None else row.priority or 0,
        language=row.language or row.prompt.language or wishes.language,
        gold=row.gold,
        import_key=row.key,
    )


def load_rows(
    store: Store,
    name: str,
    rows: Iterable[Row | Reject],
    wishes: Wishes,
    *,
    rejected: Callable[[Reject], None],
    loaded: Callable[[int], None] = lambda _: None,
    source: str = "",
    actor: str = "",
    stopped: Callable[[], bool] = lambda: False,
) -> Tally:
    """Load rows into the project (made with the first good row), batch by batch.

    Args:
        rejected: told each row that cannot be used, with its reason.
        loaded: told after each batch how many rows were read since the last.
        source: what the ledger says the tasks came from.
        actor: who the ledger says did it; empty for the command.
        stopped: asked before each batch; when it says so, the load ends with what is in.
    """
    put = partial(_put, name=name, source=source, actor=actor)
    with _rarer_collections():
        return _load(store, name, iter(rows), wishes, rejected, loaded, put, stopped)


@contextmanager
def _rarer_collections() -> Iterator[None]:
    """Let Python look for reference cycles less often: a batch is many objects without any, and loads gain half."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _load(
    store: Store,
    name: str,
    stream: Iterator[Row | Reject],
    wishes: Wishes,
    rejected: Callable[[Reject], None],
    loaded: Callable[[int], None],
    put: Callable[..., tuple[dict[str, int], list[Reject]]],
    stopped: Callable[[], bool],
) -> Tally:
    tally = Tally()
    while not stopped() and (batch := list(islice(stream, BATCH))):
        entries, refused = entries_of(name, batch, wishes)
        if entries:
            more, clashes = store.change(partial(put, entries=entries))
            refused += clashes
            tally = tally.plus(**more)
        for reject in refused:
            rejected(reject)
        tally = tally.plus(rejected=len(refused))
        loaded(len(batch))
    return tally


def entries_of(name: str, batch: list[Row | Reject], wishes: Wishes) -> tuple[list[Entry], list[Reject]]:
    """What a batch of rows makes in the project: tasks ready to go in, and what cannot be used."""
    entries: dict[str, Entry] = {}
    refused: list[Reject] = []
    for row in batch:
        if isinstance(row, Reject):
            refused.append(row)
            continue
        try:
            task = build(name, row, wishes)
        except ValueError as error:
            refused.append(Reject(row.where, row.number, explain(error), ""))
            continue
        entries[task.id] = Entry(row, task, task.line().decode())
    return list(entries.values()), refused


def _put(tx: Tx, name: str, entries: list[Entry], source: str, actor: str) -> tuple[dict[str, int], list[Reject]]:
    """One batch in: returns what to add to the tally, and the rows refused."""
    project = make_project(tx, name, actor)
    ledger.take(tx, project.id)  # from here nobody else adds tasks
    known, entries, refused = known_tasks(tx, project, entries)
    kinds = sorted({*project.settings["kinds"], *(e.task.kind for e in entries)})
    if kinds != project.settings["kinds"]:
        change_settings(tx, project, {"kinds": kinds}, actor)
    chain = ledger.take(tx, project.id)
    fresh = [e for e in entries if e.task.id not in known]
    numbers = insert_tasks(tx, project, fresh)
    events = [ledger.task_row(e.task.id, e.record) for e in fresh]
    numbers.update({task: number for task, (number, _) in known.items()})
    votes, counts = insert_votes(tx, project, entries, numbers, fresh={e.task.id for e in fresh})
    if fresh or votes:
        chain.append("import", actor, events + votes, source=source, tasks=len(fresh), judgments=counts["judgments"])
    texts = [[r.text.strip() for r in e.task.responses] for e in fresh]  # blank reads as empty
    return {
        **counts,
        "tasks": len(fresh),
        "known": len(entries) - len(fresh),
        "differing": sum(known[e.task.id][1] != e.record for e in entries if e.task.id in known),
        "with_empty": sum("" in t for t in texts),
        "with_identical": sum(len(set(t)) < len(t) for t in texts),
    }, refused
