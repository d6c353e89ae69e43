"""What a project's judgments add up to, kept up to date with its ledger.

Reading every judgment of a large project takes seconds, so it is done once, in a thread of its own. After
that the ledger says which judgments came since, and only their tasks are counted anew. The figures always
name the ledger event they are true at: who shows them can say how old they are.
"""

import json
import logging
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from annotate import agreement
from annotate.agreement import Pairs
from annotate.projects import find_project, out_of_reach
from data import ledger
from data.store import Store, Tx

DAY_MS = 24 * 3600 * 1000
CHUNK = 2000  # tasks read at a time
REST = 5  # times as long as the last reading took, until the next one
COLUMNS = (
    "SELECT j.task, j.id, j.annotator, j.verdict, j.purpose, j.state, j.supersedes, j.at_ms, j.record, t.kind"
    " FROM tasks t JOIN judgments j ON j.task = t.id"
)


class PersonFigures:
    """What one person's judgments add up to."""

    def __init__(self) -> None:
        self.days: Counter[int] = Counter()
        """Day (in UTC, whole days since 1970) to counted answers given on it; a revision is no second answer."""
        self.seconds = array("d")
        """Active seconds of each judgment in the order it came, revisions left out."""
        self.verdicts: Counter[str] = Counter()
        self.sides: Counter[str] = Counter()
        """A/B: how often the response shown first (A), second (B), or neither (tie) was preferred."""

    def copy(self) -> "PersonFigures":
        """The same, to be changed without changing this one."""
        made = PersonFigures()
        made.days, made.seconds = self.days.copy(), self.seconds[:]
        made.verdicts, made.sides = self.verdicts.copy(), self.sides.copy()
        return made


class Figures:
    """A project's figures at one event of its ledger."""

    def __init__(self) -> None:
        self.seq = 0
        self.at_ms = 0
        self.people: dict[str, PersonFigures] = {}
        self.pairs: Pairs = {}
        self.seen: dict[str, int] = {}
        """Person to the time of the last thing they did."""
        self.skips: dict[str, Counter[str]] = {}
        self.out_of_reach: list[str] = []

    def copy(self) -> "Figures":
        """The same, to be changed without changing this one."""
        made = Figures()
        made.people = {person: own.copy() for person, own in self.people.items()}
        made.pairs, made.seen = dict(self.pairs), dict(self.seen)
        made.seq = self.seq
        return made

    def person(self, person: str) -> PersonFigures:
        """Somebody's figures; empty ones when they have done nothing."""
        if person not in self.people:
            self.people[person] = PersonFigures()
        return self.people[person]


def read_figures(
    tx: Tx, name: str, before: Figures | None = None, stopped: Callable[[], bool] = lambda: False
) -> Figures:
    """The project's figures now; from earlier ones only what came since is read."""
    project = find_project(tx, name)
    head = ledger.head(tx, project.id)
    made = before.copy() if before else Figures()
    tasks = _since(tx, project.id, made) if before else _all(tx, project.id, made)
    for rows, fresh in tasks:
        if stopped():
            return made
        if fresh is not None:
            _add_current(made, [row for row in rows if row.id not in fresh], -1)
        _add_current(made, rows, 1)
        _add_new(made, [row for row in rows if fresh is None or row.id in fresh])
    for row in tx.stream(
        "SELECT annotator, reason, COUNT(*) AS n FROM passes WHERE project = :project AND reason <> 'cannot_judge'"
        " GROUP BY annotator, reason",  # a "cannot judge" is a verdict, and counted there
        project=project.id,
    ):
        made.skips.setdefault(row.annotator, Counter())[row.reason] = row.n
    made.out_of_reach = out_of_reach(tx, project)
    made.seq, made.at_ms = head.seq, tx.now()
    return made


def _all(tx: Tx, project: int, made: Figures) -> Iterator[tuple[list[Any], None]]:
    """Every task's judgments by people."""
    for row in tx.stream(
        "SELECT actor, MAX(at_ms) AS at_ms FROM ledger WHERE project = :project AND actor <> '' GROUP BY actor",
        project=project,
    ):
        made.seen[row.actor] = row.at_ms
    last = 0
    while True:
        end = tx.value(
            # The plus keeps SQLite to the order of the ids: by project it would sort them all for each chunk.
            "SELECT MAX(id) FROM (SELECT id FROM tasks WHERE +project = :project AND id > :last ORDER BY id"
            " LIMIT :chunk) t",
            project=project,
            last=last,
            chunk=CHUNK,
        )
        if end is None:
            return
        rows = tx.all(
            COLUMNS + " WHERE j.project = :project AND t.id > :last AND t.id <= :end AND j.annotator_kind = 'person'"
            " ORDER BY t.id",
            project=project,
            last=last,
            end=end,
        )
        for _, own in groupby(rows, attrgetter("task")):
            yield list(own), None
        last = end


def _since(tx: Tx, project: int, made: Figures) -> Iterator[tuple[list[Any], set[str]]]:
    """The tasks that were judged since, each with all its judgments and the ids of those that are new."""
    fresh: set[str] = set()
    for event in tx.stream(
        "SELECT at_ms, actor, rows FROM ledger WHERE project = :project AND seq > :seq ORDER BY seq",
        project=project,
        seq=made.seq,
    ):
        if event.actor:
            made.seen[event.actor] = event.at_ms
        fresh.update(key for table, key, _ in json.loads(event.rows) if table == "judgments")
    tasks: set[int] = set()
    for part in _parts(sorted(fresh)):
        tasks.update(row.task for row in tx.all("SELECT DISTINCT task FROM judgments WHERE id IN :ids", ids=part))
    for numbers in _parts(sorted(tasks)):
        rows = tx.all(COLUMNS + " WHERE t.id IN :tasks AND j.annotator_kind = 'person' ORDER BY t.id", tasks=numbers)
        for _, own in groupby(rows, attrgetter("task")):
            yield list(own), fresh


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    return (values[at : at + CHUNK] for at in range(0, len(values), CHUNK))


def _add_current(made: Figures, rows: list[Any], sign: int) -> None:
    """Count a task's judgments as they stand: those that none supersedes."""
    superseded = {row.supersedes for row in rows}
    said = []
    for row in rows:
        if row.id in superseded:
            continue
        person = made.person(row.annotator)
        person.verdicts[row.verdict] += sign
        record = orjson.loads(row.record)
        if row.kind == "ab" and row.purpose != "import" and (side := _side(record)):
            person.sides[side] += sign
        if row.state == "counted":
            said.append((row.annotator, agreement.stated(row.kind, record)))
    agreement.add_task(made.pairs, said, sign)


def _side(record: dict[str, Any]) -> str | None:
    """Which of the two responses, in the order they were shown, was preferred."""
    said = agreement.stated("ab", record).get("ab", (0,))[0]
    if said in (0, agreement.TIED):
        return "tie" if said else None
    preferred = sorted(record["shown"])[said == agreement.SECOND]
    return "A" if record["shown"][0] == preferred else "B"


def _add_new(made: Figures, rows: list[Any]) -> None:
    """Count what is given once and never taken back: the day, and the time it took."""
    for row in rows:
        if row.purpose == "import" or row.supersedes:
            continue
        person = made.person(row.annotator)
        if row.state == "counted":
            person.days[row.at_ms // DAY_MS] += 1
        seconds = orjson.loads(row.record).get("active_seconds")
        if seconds is not None:
            person.seconds.append(seconds)


class Answer(NamedTuple):
    """The newest figures there are, and whether newer ones are on their way."""

    figures: Figures | None
    computing: bool


class _Entry:
    def __init__(self) -> None:
        self.figures: Figures | None = None
        self.done = threading.Event()
        self.running = False
        self.took = 0.0
        self.ended = 0.0


class Keeper:
    """The figures of every project somebody looked at; a large one is read in a thread of its own."""

    def __init__(self, store: Store, patience: float = 0.4) -> None:
        self._store = store
        self._patience = patience  # seconds a request waits before it takes what there is
        self._entries: dict[int, _Entry] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def get(self, project: int, name: str, seq: int) -> Answer:
        """The figures at event `seq` if they come soon, else the last ones."""
        with self._lock:
            entry = self._entries.setdefault(project, _Entry())
            if entry.figures and entry.figures.seq >= seq:
                return Answer(entry.figures, False)
            rested = time.monotonic() - entry.ended >= REST * entry.took
            if not entry.running and (rested or entry.figures is None):
                entry.running = True
                entry.done.clear()
                threading.Thread(target=self._read, args=(entry, name), daemon=True).start()
        if entry.running:
            entry.done.wait(self._patience)
        figures = entry.figures
        return Answer(figures, figures is None or figures.seq < seq)

    def _read(self, entry: _Entry, name: str) -> None:
        began = time.monotonic()
        try:
            with self._store.read() as tx:
                made = read_figures(tx, name, entry.figures, self._stopped.is_set)
            if not self._stopped.is_set():
                entry.figures = made
        except Exception:
            # The next look tries again; a store that is away is said by the request itself.
            logging.getLogger(__name__).exception("the figures of project %r could not be read", name)
        finally:
            entry.ended = time.monotonic()
            entry.took = entry.ended - began
            entry.running = False
            entry.done.set()

    def close(self) -> None:
        """Let readings that are under way end early."""
        self._stopped.set()
