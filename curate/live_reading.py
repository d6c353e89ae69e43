"""Judgments out of the store into a `State`: all of them once, after that only the tasks the ledger names.

Only people's judgments count here, and of those what curate.agreement, curate.audit and curate.aggregate
count: none that is superseded, surplus, returned, a repeat or retracted. Gold tasks stay out of agreement.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from curate.live_forms import NOT_PLACED, form_of, sides
from curate.live_state import Entry, State, change, said_of

if TYPE_CHECKING:
    from data.store import Tx

CHUNK = 2000  # tasks read at a time
_COLUMNS = "SELECT task, id, annotator, state, verdict, purpose, supersedes, record FROM judgments"
_PEOPLE = " annotator_kind = 'person'"


class Stopped(Exception):
    """Somebody asked for the end while a large project was being read."""


def read_all(tx: "Tx", project: int, stopped: Callable[[], bool] = lambda: False) -> State:
    """Every judged task of a project.

    Raises:
        Stopped: when `stopped` says so in between.
    """
    state = State()
    gone = _retracted(tx, project)
    last = 0
    while True:
        if stopped():
            raise Stopped
        end = tx.value(
            # The plus keeps SQLite to the order of the ids: by project it would sort them all for each chunk.
            "SELECT MAX(id) FROM (SELECT id FROM tasks WHERE +project = :project AND id > :last ORDER BY id"
            " LIMIT :chunk) t",
            project=project,
            last=last,
            chunk=CHUNK,
        )
        if end is None:
            return state
        span = {"project": project, "last": last, "end": end}
        rows = tx.all(_COLUMNS + " WHERE project = :project AND task > :last AND task <= :end AND" + _PEOPLE, **span)
        rows = sorted(rows, key=attrgetter("task"))
        texts = tx.all(
            "SELECT t.id, r.record FROM tasks t JOIN task_records r ON r.task = t.id"
            " WHERE t.project = :project AND t.id > :last AND t.id <= :end",
            **span,
        )
        _put(state, rows, {row.id: row.record for row in texts}, gone)
        last = end


def read_since(
    tx: "Tx", project: int, state: State, seq: int, stopped: Callable[[], bool] = lambda: False
) -> tuple[State, bool]:
    """The state with what came after event `seq`, and whether anything that counts may have changed.

    A retraction can reach far (everything made from a record goes with it), so after one all is read again.
    """
    import orjson

    fresh: set[str] = set()
    for event in tx.stream(
        "SELECT kind, rows FROM ledger WHERE project = :project AND seq > :seq ORDER BY seq", project=project, seq=seq
    ):
        if event.kind == "retract":
            return read_all(tx, project, stopped), True
        if '"judgments"' in event.rows:
            fresh.update(key for table, key, _ in orjson.loads(event.rows) if table == "judgments")
    tasks: set[int] = set()
    for part in _parts(sorted(fresh)):
        tasks.update(row.task for row in tx.all("SELECT DISTINCT task FROM judgments WHERE id IN :ids", ids=part))
    gone = _retracted(tx, project) if tasks else {}
    for numbers in _parts(sorted(tasks)):
        rows = tx.all(_COLUMNS + " WHERE task IN :tasks AND" + _PEOPLE + " ORDER BY task", tasks=numbers)
        texts = tx.all("SELECT task AS id, record FROM task_records WHERE task IN :tasks", tasks=numbers)
        _put(state, rows, {row.id: row.record for row in texts}, gone)
    return state, bool(tasks)


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    return (values[at : at + CHUNK] for at in range(0, len(values), CHUNK))


def _retracted(tx: "Tx", project: int) -> Collection[str]:
    """Ids of all that was retracted, and of the prompts and responses made from it."""
    from curate.retracted import closure, read_retractions

    retractions = read_retractions(tx, project)
    if not retractions:
        return ()
    records = tx.stream(
        "SELECT r.record FROM tasks t JOIN task_records r ON r.task = t.id WHERE t.project = :project", project=project
    )
    return closure((row.record for row in records), retractions)


def _put(state: State, rows: Any, texts: dict[int, str], gone: Collection[str]) -> None:
    import orjson

    for number, own in groupby(rows, attrgetter("task")):
        change(state, number, entry_of(orjson.loads(texts[number]), list(own), gone))


def entry_of(task: dict[str, Any], rows: list[Any], gone: Collection[str] = ()) -> Entry | None:
    """A task with those of its judgments that count; None when there is none.

    Args:
        task: its record.
        rows: its people's judgments as stored.
        gone: ids that were retracted.
    """
    import orjson

    if task["id"] in gone or task["prompt"]["id"] in gone:
        return None
    replaced = {row.supersedes for row in rows if row.state != "surplus"}
    listed = [(r["id"], r.get("model")) for r in task["responses"] if r["id"] not in gone]
    ids = sorted(id_ for id_, _ in listed)
    place = [ids.index(id_) for id_, _ in listed]
    votes: list[tuple[str, bytes]] = []
    values: list[tuple[str, object, str, int]] = []
    judgments = 0
    gold = task.get("gold") is not None
    for row in rows:
        counts = row.state == "counted" and row.verdict == "answered" and row.purpose in ("label", "import")
        if not counts or row.id in replaced or row.id in gone:
            continue
        judgments += 1
        record = orjson.loads(row.record)
        form = form_of(record, ids)
        if form is not None:
            votes.append((row.annotator, form))
            if not gold:
                values += _compared(record, form, place, row.annotator)
        if not gold:
            values += _rated(record, ids, row.annotator)
    if not judgments:
        return None
    model = dict(listed)
    language = task.get("language") or task["prompt"].get("language") or ""
    models = tuple(model[id_] for id_ in ids)
    return Entry(task["id"], task["prompt"]["id"], language, models, tuple(sorted(votes)), said_of(values), judgments)


def _compared(
    record: dict[str, Any], form: bytes, place: list[int], annotator: str
) -> Iterator[tuple[str, object, str, int]]:
    """What a choice or a ranking says, as curate.observed codes it: 0 the first, 1 a tie, 2 the second."""
    if record.get("ranking") is not None:
        for a, b, side in sides(form):
            yield "ranking", (a, b), annotator, 1 - side
        return
    tiers = [form[1 + n] for n in place[:2]]  # by the order in which the task lists its responses
    if len(tiers) == 2 and NOT_PLACED not in tiers:
        yield "choice", 0, annotator, 1 + (tiers[0] > tiers[1]) - (tiers[0] < tiers[1])


def _rated(record: dict[str, Any], ids: list[str], annotator: str) -> Iterator[tuple[str, object, str, int]]:
    for response, points in (record.get("ratings") or {}).items():
        if response in ids:
            for criterion, value in points.items():
                yield f"rating:{criterion}", (response, criterion), annotator, value
