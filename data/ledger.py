"""The ledger: one chain of events per project, each naming the rows it wrote by their hash.

An event holds the hash of the event before it, so none can be changed, dropped or moved
without every later hash failing; the rows it names are compared with what the tables hold
now, so a row changed behind the ledger's back is found too. A cut-off tail shows against a
head kept elsewhere: every export keeps one.

Taking the chain (`take`) is also the project's lock: changes to one project happen one
after another, in the order of its events, on both databases.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from data.jsonl import parse
from data.records import canonical, digest
from data.store import Tx

RowHash = tuple[str, str, str]
"""Table, key and hash of a row an event wrote."""


class Head(NamedTuple):
    """The newest event: its number (0 when there is none) and its hash."""

    seq: int
    hash: str


class Chain:
    """A project's chain, held by the transaction that will append to it."""

    def __init__(self, tx: Tx, project: int, head: Head, paused: bool) -> None:
        self.tx = tx
        self.project = project
        self.head = head
        self.paused = paused
        self.done = 0
        """Slots done (and, in `tasks_done`, tasks finished) since the last event: counted with the next one."""
        self.tasks_done = 0

    def append(self, kind: str, actor: str, rows: list[RowHash], **detail: Any) -> None:
        """Add an event: what happened, who did it, and the hash of every row it wrote."""
        seq, at_ms = self.head.seq + 1, self.tx.now()
        hash_ = event_hash(self.project, seq, at_ms, kind, actor, rows, detail, self.head.hash)
        self.tx.run(
            "INSERT INTO ledger (project, seq, at_ms, kind, actor, rows, detail, prev, hash)"
            " VALUES (:project, :seq, :at_ms, :kind, :actor, :rows, :detail, :prev, :hash)",
            project=self.project,
            seq=seq,
            at_ms=at_ms,
            kind=kind,
            actor=actor,
            rows=canonical(rows).decode(),
            detail=canonical(detail).decode(),
            prev=self.head.hash,
            hash=hash_,
        )
        self.tx.run(
            "UPDATE projects SET head_seq = :seq, head_hash = :hash, done = done + :done,"
            " tasks_done = tasks_done + :tasks_done WHERE id = :id",
            seq=seq,
            hash=hash_,
            done=self.done,
            tasks_done=self.tasks_done,
            id=self.project,
        )
        self.head, self.done, self.tasks_done = Head(seq, hash_), 0, 0


def take(tx: Tx, project: int) -> Chain:
    """Hold the project's chain until the transaction ends; everybody else waits."""
    lock = " FOR UPDATE" if tx.postgresql else ""
    row = tx.one("SELECT head_seq, head_hash, paused FROM projects WHERE id = :id" + lock, id=project)
    assert row is not None, f"no project with id {project}"
    return Chain(tx, project, Head(row.head_seq, row.head_hash), bool(row.paused))


def head(tx: Tx, project: int) -> Head:
    """The newest event's number and hash."""
    row = tx.one("SELECT head_seq, head_hash FROM projects WHERE id = :id", id=project)
    assert row is not None, f"no project with id {project}"
    return Head(row.head_seq, row.head_hash)


def event_hash(project: int, seq: int, at_ms: int, kind: str, actor: str, rows: Any, detail: Any, prev: str) -> str:
    """Hash of an event: of everything it holds and the hash of the event before it."""
    return digest([project, seq, at_ms, kind, actor, rows, detail, prev])


# What a row's hash covers. `people` is absent on purpose: a person can be erased and every proof still holds.


def task_row(task: str, record: str) -> RowHash:
    """A task: its whole record."""
    return "tasks", task, digest(record)


def slot_row(
    task: str, number: int, state: int, annotator: str | None, token: str | None, purpose: str = "label", round: int = 0
) -> RowHash:
    """A slot: whose it is. How long a lease still runs is not covered, since renewals are no events."""
    return "slots", f"{task}/{number}", digest([state, annotator, token, purpose, round])


def lease_row(
    token: str,
    task: str,
    annotator: str,
    shown: str,
    revises: str | None,
    at_ms: int,
    purpose: str = "label",
    round: int = 0,
) -> RowHash:
    """A lease: who was shown what, when, in which order."""
    return "leases", token, digest([task, annotator, shown, revises, at_ms, purpose, round])


def pass_row(task: str, annotator: str, reason: str, comment: str) -> RowHash:
    """A task passed by somebody, and why."""
    return "passes", f"{task}/{annotator}", digest([reason, comment])


def judgment_row(judgment: str, state: str, record: str) -> RowHash:
    """A judgment: its whole record, and whether it counts."""
    return "judgments", judgment, digest([state, record])


def member_row(annotator: str, role: str) -> RowHash:
    """Somebody's role in the project."""
    return "members", annotator, digest(role)


def guideline_row(version: str, language: str, text: str) -> RowHash:
    """One guideline text."""
    return "guidelines", f"{version}/{language}", digest(text)


def settings_row(name: str, settings: str) -> RowHash:
    """The project's settings."""
    return "projects", name, digest(settings)


def retraction_row(retraction: str, record: str, reason: str, actor: str) -> RowHash:
    """A retraction: what was taken back, why, and by whom."""
    return "retractions", retraction, digest([record, reason, actor])


def _rows_now(tx: Tx, project: int) -> Iterator[RowHash]:
    """The hash of every covered row as the tables hold it now.

    A task or judgment whose columns do not say what its record says is hashed without its
    record, so that it fits nothing.
    """
    of = {"project": project}
    join = " FROM {0} x JOIN tasks t ON t.id = x.task WHERE x.project = :project"
    for r in tx.stream("SELECT name, settings FROM projects WHERE id = :project", **of):
        yield settings_row(r.name, r.settings)
    for r in tx.stream("SELECT version, language, text FROM guidelines WHERE project = :project", **of):
        yield guideline_row(r.version, r.language, r.text)
    for r in tx.stream("SELECT id, record, reason, actor FROM retractions WHERE project = :project", **of):
        yield retraction_row(r.id, r.record, r.reason, r.actor)
    for r in tx.stream("SELECT annotator, role FROM members WHERE project = :project", **of):
        yield member_row(r.annotator, r.role)
    for r in tx.stream(
        "SELECT t.task, t.kind, t.overlap, t.import_key, x.record"
        " FROM tasks t JOIN task_records x ON x.task = t.id WHERE t.project = :project",
        **of,
    ):
        fits = _says(r.record, id=r.task, kind=r.kind, overlap=r.overlap, import_key=r.import_key)
        yield task_row(r.task, r.record if fits else "")
    columns = "SELECT t.task, x.token, x.annotator, x.shown, x.revises, x.at_ms, x.purpose, x.round"
    for r in tx.stream(columns + join.format("leases"), **of):
        yield lease_row(r.token, r.task, r.annotator, r.shown, r.revises, r.at_ms, r.purpose, r.round)
    for r in tx.stream("SELECT t.task, x.annotator, x.reason, x.comment" + join.format("passes"), **of):
        yield pass_row(r.task, r.annotator, r.reason, r.comment)
    columns = "SELECT t.task, x.number, x.state, x.annotator, x.token, x.purpose, x.round"
    for r in tx.stream(columns + join.format("slots"), **of):
        yield slot_row(r.task, r.number, r.state, r.annotator, r.token, r.purpose, r.round)
    same = "annotator, x.annotator_kind, x.verdict, x.purpose, x.supersedes, x.token"
    for r in tx.stream(f"SELECT t.task AS task_id, x.id, x.state, x.record, x.{same}" + join.format("judgments"), **of):
        columns_say = r._asdict()
        state, record = columns_say.pop("state"), columns_say.pop("record")
        yield judgment_row(r.id, state, record if _says(record, **columns_say) else "")


_UNSAID = {"kind": None, "overlap": 1, "annotator_kind": "person", "verdict": "answered", "purpose": "label"}
"""What a record that leaves a field out says (data/records.py)."""


def _says(record: str, **columns: Any) -> bool:
    held = parse(record.encode())[0]
    return isinstance(held, dict) and all(held.get(k, _UNSAID.get(k)) == value for k, value in columns.items())


def _sums(tx: Tx, project: int) -> Iterator[str]:
    """Where the counters that claims and progress lean on do not count the slots there are."""
    slots = (
        "SELECT task, COUNT(*) AS slots, SUM(CASE WHEN state = 0 THEN 1 ELSE 0 END) AS open,"
        " SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END) AS done FROM slots WHERE project = :project GROUP BY task"
    )
    for r in tx.stream(
        "SELECT t.task, t.overlap, t.open, t.done, s.slots, s.open AS free, s.done AS filled"
        f" FROM tasks t LEFT JOIN ({slots}) s ON s.task = t.id WHERE t.project = :project"
        " AND NOT (t.overlap = COALESCE(s.slots, 0) AND t.open = s.open AND t.done = s.done)",
        project=project,
    ):
        yield (
            f"tasks {r.task}: overlap {r.overlap}, {r.open} open and {r.done} done, but its slots are"
            f" {r.slots or 0}, {r.free or 0} and {r.filled or 0}"
        )
    says = tx.one("SELECT tasks, needed, done, tasks_done FROM projects WHERE id = :project", project=project)
    counted = tx.one(
        "SELECT COUNT(*), COALESCE(SUM(overlap), 0), COALESCE(SUM(done), 0),"
        " COALESCE(SUM(CASE WHEN done = overlap THEN 1 ELSE 0 END), 0) FROM tasks WHERE project = :project",
        project=project,
    )
    if says is not None and counted is not None and tuple(says) != tuple(counted):
        yield f"projects: it counts {tuple(says)} tasks, needed, done, tasks done; there are {tuple(counted)}"
    for r in tx.stream(
        "SELECT m.annotator, m.done, COUNT(s.task) AS filled FROM members m LEFT JOIN slots s"
        " ON s.annotator = m.annotator AND s.project = m.project AND s.state = 2"
        " WHERE m.project = :project GROUP BY m.annotator, m.done HAVING m.done <> COUNT(s.task)",
        project=project,
    ):
        yield f"members {r.annotator}: {r.done} done, but {r.filled} slots"


# A slot nobody has claimed yet: the import makes it, no event names it.
NEVER_TOUCHED = slot_row("", 0, 0, None, None)[2]


def verify(tx: Tx, project: int, limit: int = 20, known_head: Head | None = None) -> list[str]:
    """What does not fit, the earliest first, at most `limit` lines; an empty list when all fits.

    Args:
        known_head: a head kept elsewhere; the chain must still hold that event.
    """
    faults: list[str] = []
    prev, expected = Head(0, ""), dict[tuple[str, str], tuple[str, int]]()
    for e in tx.stream("SELECT * FROM ledger WHERE project = :project ORDER BY seq", project=project):
        if e.seq != prev.seq + 1:
            faults.append(f"ledger: event {prev.seq + 1} is missing")
        rows, detail = parse(e.rows.encode())[0], parse(e.detail.encode())[0]
        if e.prev != prev.hash or e.hash != event_hash(project, e.seq, e.at_ms, e.kind, e.actor, rows, detail, e.prev):
            faults.append(f"ledger: event {e.seq} ({e.kind}) was changed")
        if known_head and e.seq == known_head.seq and e.hash != known_head.hash:
            faults.append(f"ledger: event {e.seq} is not the one whose hash was kept")
        for table, key, hash_ in rows if isinstance(rows, list) else []:
            expected[table, key] = hash_, e.seq
        prev = Head(e.seq, e.hash)
        if len(faults) >= limit:
            return faults[:limit]
    if prev != head(tx, project):
        faults.append(f"ledger: it ends at event {prev.seq}, the project says {head(tx, project).seq}")
    if known_head and prev.seq < known_head.seq:
        faults.append(f"ledger: cut off at event {prev.seq}; event {known_head.seq} was seen before")
    for table, key, hash_ in _rows_now(tx, project):
        told, seq = expected.pop((table, key), (None, 0))
        if told is None and not (table == "slots" and hash_ == NEVER_TOUCHED):
            faults.append(f"{table} {key}: no event wrote it")
        elif told is not None and told != hash_:
            faults.append(f"{table} {key}: not what event {seq} wrote")
        if len(faults) >= limit:
            return faults[:limit]
    faults += [f"{table} {key}: gone, event {seq} wrote it" for (table, key), (_, seq) in expected.items()]
    faults += islice(_sums(tx, project), limit)
    return faults[:limit]
