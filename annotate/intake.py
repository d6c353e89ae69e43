"""Tasks into a project: rows from data/formats become tasks, slots and imported judgments.

Rows go in by the batch, each batch in one transaction and one ledger event, so a live
project can be fed while people work, and a load that was cut off goes on where it stopped
when it is run again: what is known already is passed over.
"""

import gc
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from annotate.assign import DONE, OPEN, extend_lane
from annotate.projects import Project, change_settings, make_project
from data import ledger
from data.errors import one_line
from data.formats.rows import Reject, Row, Vote
from data.jsonl import explain
from data.ledger import RowHash
from data.records import Criterion, Judgment, Kind, Task, content_id
from data.store import Store, Tx
from data.text import base_language

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


class Entry(NamedTuple):
    """A task ready to go in, with the judgments that came along."""

    row: Row
    task: Task
    record: str


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
    numbers = _insert_tasks(tx, project, fresh)
    events = [ledger.task_row(e.task.id, e.record) for e in fresh]
    numbers.update({task: number for task, (number, _) in known.items()})
    votes, counts = _insert_votes(tx, project, entries, numbers, fresh={e.task.id for e in fresh})
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


def known_tasks(
    tx: Tx, project: Project, entries: list[Entry]
) -> tuple[dict[str, tuple[int, str]], list[Entry], list[Reject]]:
    """Which tasks are there already (number and record), and which rows reuse an id for other content.

    Judgments are about responses, not about how people are asked: a row that brings some for a task that
    is there under another kind is that task.
    """
    there = tx.all(
        "SELECT t.id, t.task, t.import_key, r.record FROM tasks t JOIN task_records r ON r.task = t.id"
        " WHERE t.project = :project AND t.import_key IN :keys",
        project=project.id,
        keys=[e.task.import_key for e in entries],
    )
    by_key = {row.import_key: row.task for row in there}
    records = {row.import_key: row.record for row in there}
    entries = [
        _same_but_for_kind(e, records[e.task.import_key])
        if e.row.votes and by_key.get(e.task.import_key, e.task.id) != e.task.id
        else e
        for e in entries
    ]
    clash = [e for e in entries if by_key.setdefault(e.task.import_key, e.task.id) != e.task.id]
    reason = "id '{}' is in project '{}' already, with other content; give this row another id"
    refused = [
        Reject(e.row.where, e.row.number, reason.format(e.task.import_key, project.name), e.record[:2000])
        for e in clash
    ]
    clashing = {e.task.id for e in clash}
    kept = [e for e in entries if e.task.id not in clashing]
    return {row.task: (row.id, row.record) for row in there}, kept, refused


def _same_but_for_kind(entry: Entry, there: str) -> Entry:
    """The entry with the task of this record, where nothing but their kind tells the two apart."""
    task = Task.model_validate_json(there)
    same = [entry.task.prompt.id, [r.id for r in entry.task.responses]] == [
        task.prompt.id,
        [r.id for r in task.responses],
    ]
    return entry._replace(task=task) if same else entry


def _insert_tasks(tx: Tx, project: Project, entries: list[Entry]) -> dict[str, int]:
    """Put tasks, their records, slots and authors in, at the end of their lanes; returns their numbers."""
    first = tx.reserve("tasks", len(entries)) if entries else 0
    sizes: dict[tuple[int, str], int] = {}
    for e in entries:
        lane = (e.task.priority, base_language(e.task.language or ""))
        sizes[lane] = sizes.get(lane, 0) + 1
    places: dict[tuple[int, str], Iterator[tuple[int, int]]] = {}
    for (priority, language), size in sizes.items():
        lane_id, tail = extend_lane(tx, project.id, priority, language, returned=False, by=size)
        places[priority, language] = iter([(lane_id, tail - size + 1 + i) for i in range(size)])
    tasks: list[dict[str, Any]] = []
    for number, e in enumerate(entries, first):
        lane_id, position = next(places[e.task.priority, base_language(e.task.language or "")])
        tasks.append(
            {
                "id": number,
                "task": e.task.id,
                "project": project.id,
                "kind": e.task.kind,
                "lane": lane_id,
                "position": position,
                "overlap": e.task.overlap,
                "key": e.task.import_key,
                "record": e.record,
            }
        )
    tx.many(
        "INSERT INTO tasks (id, task, project, kind, lane, position, overlap, open, import_key)"
        " VALUES (:id, :task, :project, :kind, :lane, :position, :overlap, :overlap, :key)",
        tasks,
    )
    tx.many("INSERT INTO task_records (task, record) VALUES (:id, :record)", tasks)
    tx.many(
        "INSERT INTO slots (task, number, project) VALUES (:task, :number, :project)",
        [{"task": t["id"], "number": n, "project": project.id} for t in tasks for n in range(t["overlap"])],
    )
    tx.many(
        "INSERT INTO authors (task, annotator) VALUES (:task, :annotator) ON CONFLICT DO NOTHING",
        [
            {"task": number, "annotator": r.lineage.author}
            for number, e in enumerate(entries, first)
            for r in e.task.responses
            if r.lineage and r.lineage.author
        ],
    )
    tx.run(
        "UPDATE projects SET tasks = tasks + :tasks, needed = needed + :needed WHERE id = :id",
        tasks=len(tasks),
        needed=sum(t["overlap"] for t in tasks),
        id=project.id,
    )
    return {t["task"]: t["id"] for t in tasks}


def _insert_votes(
    tx: Tx, project: Project, entries: list[Entry], numbers: dict[str, int], fresh: set[str]
) -> tuple[list[RowHash], dict[str, int]]:
    """Imported judgments: a person's fills a slot (surplus when none is left), a model's or a rule's never does."""
    counts = {"judgments": 0, "judgments_known": 0, "surplus": 0}
    if not any(e.row.votes for e in entries):
        return [], counts
    tokens = {(e.task.id, vote.key): content_id("import", e.task.id, vote.key) for e in entries for vote in e.row.votes}
    there = _judged(tx, list(tokens.values()))
    new = [vote for e in entries for vote in e.row.votes if tokens[e.task.id, vote.key] not in there]
    imported, events = _imported_people(tx, project, {v.annotator for v in new if v.annotator_kind == "person"})
    rows: list[dict[str, Any]] = []
    slots: list[dict[str, Any]] = []
    for e in entries:
        number = numbers[e.task.id]
        free: list[int] = []
        holders: set[str] = set()
        if any(vote.annotator_kind == "person" for vote in e.row.votes):
            free, holders = (list(range(e.task.overlap)), set()) if e.task.id in fresh else _slots(tx, number)
        for vote in e.row.votes:
            token = tokens[e.task.id, vote.key]
            if token in there:
                counts["judgments_known"] += 1
                continue
            there.add(token)
            record = _judgment(e.task, vote, imported.get(vote.annotator, ""), token)
            state = "counted"
            if vote.annotator_kind == "person":
                if vote.verdict == "cannot_judge":
                    state = "returned"
                elif free and record.annotator not in holders:
                    holders.add(record.annotator)
                    slots.append({"task": number, "number": free.pop(0), "annotator": record.annotator, "token": token})
                    events.append(ledger.slot_row(e.task.id, slots[-1]["number"], DONE, record.annotator, token))
                else:
                    state = "surplus"
            text = record.line().decode()
            rows.append(
                {
                    **{key: getattr(record, key) for key in ("id", "annotator", "annotator_kind", "verdict", "token")},
                    **{"project": project.id, "task": number, "state": state, "record": text, "now": tx.now()},
                }
            )
            events.append(ledger.judgment_row(record.id, state, text))
            counts["judgments"] += 1
            counts["surplus"] += state == "surplus"
    tx.many(
        "INSERT INTO judgments (id, project, task, annotator, annotator_kind, verdict, purpose, state, token,"
        " record, at_ms) VALUES (:id, :project, :task, :annotator, :annotator_kind, :verdict, 'import', :state,"
        " :token, :record, :now)",
        rows,
    )
    _fill(tx, project, slots)
    return events, counts


def _judged(tx: Tx, tokens: list[str]) -> set[str]:
    """Which of these tokens a judgment has already; asked in parts, for a database takes so many values at once."""
    parts = [tokens[i : i + 10_000] for i in range(0, len(tokens), 10_000)]
    found = [tx.all("SELECT token FROM judgments WHERE token IN :tokens", tokens=part) for part in parts]
    return {row.token for rows in found for row in rows}


def _slots(tx: Tx, task: int) -> tuple[list[int], set[str]]:
    """A task's open slots, and who has one of the others."""
    rows = tx.all("SELECT number, state, annotator FROM slots WHERE task = :task ORDER BY number", task=task)
    return [int(row.number) for row in rows if row.state == OPEN], {row.annotator for row in rows if row.annotator}


def _judgment(task: Task, vote: Vote, person: str, token: str) -> Judgment:
    annotator = person or f"{vote.annotator_kind}:{vote.annotator}"
    given = {key: getattr(vote, key) for key in Vote._fields if key not in ("annotator", "key")}
    return Judgment.make(
        task_id=task.id,
        annotator=annotator,
        purpose="import",
        token=token,
        **{key: value for key, value in given.items() if value is not None},
    )


def _imported_people(tx: Tx, project: Project, names: set[str]) -> tuple[dict[str, str], list[RowHash]]:
    """A random id for each person who judged in the source, and the new members' rows.

    The table people keeps their name in the source.
    """
    ids: dict[str, str] = {}
    events: list[RowHash] = []
    for name in sorted(names):
        full = f"{project.name}/{name}"
        known = tx.value("SELECT id FROM people WHERE name = :name", name=full)
        ids[name] = known or secrets.token_hex(8)
        if not known:
            tx.run(
                "INSERT INTO people (id, name, active, created_ms) VALUES (:id, :name, 0, :now)",
                id=ids[name],
                name=full,
                now=tx.now(),
            )
            tx.run(
                "INSERT INTO members (project, annotator, role) VALUES (:project, :id, 'annotator')",
                project=project.id,
                id=ids[name],
            )
            events.append(ledger.member_row(ids[name], "annotator"))
    return ids, events


def _fill(tx: Tx, project: Project, slots: list[dict[str, Any]]) -> None:
    """Mark slots done by imported judgments, and count them."""
    tx.many(
        "UPDATE slots SET state = 2, annotator = :annotator, token = :token, until_ms = NULL"
        " WHERE task = :task AND number = :number",
        slots,
    )
    tx.many("UPDATE tasks SET open = open - 1, done = done + 1 WHERE id = :task", slots)
    per_person: dict[str, int] = {}
    for slot in slots:
        per_person[slot["annotator"]] = per_person.get(slot["annotator"], 0) + 1
    tx.many(
        "UPDATE members SET done = done + :n WHERE project = :project AND annotator = :annotator",
        [{"n": n, "project": project.id, "annotator": who} for who, n in per_person.items()],
    )
    tasks = sorted({slot["task"] for slot in slots})
    whole = (
        tx.all("SELECT COUNT(*) AS n FROM tasks WHERE id IN :tasks AND done = overlap", tasks=tasks)[0].n
        if tasks
        else 0
    )
    tx.run(
        "UPDATE projects SET done = done + :done, tasks_done = tasks_done + :whole WHERE id = :id",
        done=len(slots),
        whole=whole,
        id=project.id,
    )
