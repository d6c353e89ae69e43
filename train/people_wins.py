"""How often people preferred the run's answers: judgments back from a store, a snapshot, an export or a file.

    wins = people_wins("sqlite:///workspace/concord.db", read_key(Path("workspace/ab/audit/key.jsonl")))

What counts is what an export counts: people alone; neither what its author replaced by a newer one, nor surplus,
nor what was retracted or made from something retracted. Repeats, adjudications and qualifications are left out,
as tasks with a known answer are. A tie and "both are bad" count half; "cannot judge" is no verdict.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, TypeVar

from data.errors import BadInput, NotThere, Refused, nearest
from data.jsonl import explain, read_lines
from data.manifest import MANIFEST, verify_folder
from data.records import Judgment, Task
from train.contests import Answered, Key, Win, Wins, sides_of

PURPOSES = ("label", "import")
NOBODY = "contests without a verdict"
R = TypeVar("R", Task, Judgment)


class _Kept(NamedTuple):
    """A judgment as it was kept: with its state (counted, surplus, returned), and whose project it is."""

    project: str
    state: str
    judgment: Judgment


class _Held(NamedTuple):
    """Everything a source holds, whatever kind of source it is."""

    tasks: dict[str, tuple[str, Task]]
    """Project and task, by task id."""
    judgments: list[_Kept]
    retracted: set[tuple[str, str]]
    """Project and id of each record that was taken back."""


def people_wins(source: Path | str, key: Key, *, project: str | None = None) -> Wins:
    """People's share of verdicts for the run on each contest; people on one contest count the same.

    Args:
        source: a store's address (sqlite:///…, postgresql://…), the folder of a snapshot or an export, or a file of
            judgments with tasks.jsonl beside it.
        key: whose the responses are.
        project: of a store or snapshot; None takes all that hold responses of the key.

    Raises:
        NotThere: no such source or project.
        Refused: a folder that is not as it was written.
        BadInput: a line that is no record; nothing in it that the key knows.
    """
    held = _read(source, project)
    gone = _made_from(held)
    sided = {name: sides for name, (_, task) in held.tasks.items() if (sides := _between(task, key))}
    if not sided:
        where = f"project '{project}' of {source}" if project else str(source)
        raise BadInput(f"{where}: no task holds two answers that the key knows; name the key of the tasks judged")
    replaced = {one.judgment.supersedes for one in held.judgments if one.state != "surplus"}
    left: dict[str, int] = {}
    said: dict[str, dict[str, list[float]]] = {}
    for one in sorted(held.judgments, key=lambda one: one.judgment.id):
        if one.judgment.task_id not in sided:
            continue
        task, sides = held.tasks[one.judgment.task_id][1], sided[one.judgment.task_id]
        value = _value(one.judgment, sides)
        reason = _unused(one, task, replaced, gone) or ("no order between the two" if value is None else "")
        if reason or value is None:
            left[reason] = left.get(reason, 0) + 1
            continue
        contest = next(iter(sides.values())).contest
        said.setdefault(contest, {}).setdefault(one.judgment.annotator, []).append(value)
    return _wins(said, sided, held, key, left)


def _wins(
    said: dict[str, dict[str, list[float]]],
    sided: dict[str, dict[str, Answered]],
    held: _Held,
    key: Key,
    left: dict[str, int],
) -> Wins:
    of: dict[str, str] = {next(iter(sides.values())).contest: name for name, sides in sorted(sided.items())}
    rows = {win.id: win for win in key.same}
    for contest, people in said.items():
        sides, task = sided[of[contest]], held.tasks[of[contest]][1]
        size = {sides[r.id].side: len(r.text) for r in task.responses if r.id in sides}
        one = next(iter(sides.values()))
        values = [fmean(own) for _, own in sorted(people.items())]
        lengths = (size["run"], size["reference"])
        rows[contest] = Win(
            contest, one.cluster, fmean(values), lengths, one.tags, len(values), sum(v == 0.5 for v in values)
        )
    asked = {one.contest for one in key.responses.values()} | set(of)
    if missing := len(asked - set(rows)):
        left[NOBODY] = missing
    return Wins([rows[name] for name in sorted(rows)], "person", left)


def _between(task: Task, key: Key) -> dict[str, Answered] | None:
    """Whose each response is, where both sides are there."""
    sides = sides_of(task, key)
    return sides if {one.side for one in sides.values()} == {"run", "reference"} else None


def _unused(one: _Kept, task: Task, replaced: set[str | None], gone: set[tuple[str, str]]) -> str:
    """Why a judgment does not count; empty where it does."""
    j = one.judgment
    if j.annotator_kind != "person":
        return f"by a {j.annotator_kind}"
    if any((one.project, name) in gone for name in (j.id, task.id, task.prompt.id, *j.shown)):
        return "retracted, or about something retracted"
    if one.state == "surplus":
        return "surplus: the task had all its judgments"
    if j.id in replaced:
        return "superseded by the same person"
    if j.verdict == "cannot_judge" or one.state == "returned":
        return "cannot judge"
    if j.purpose not in PURPOSES:
        return f"purpose {j.purpose}"
    return "on a task with a known answer" if task.gold else ""


def _value(j: Judgment, sides: dict[str, Answered]) -> float | None:
    """The run's share in one judgment: of every pair of a run's answer and a reference's that it places."""
    if j.verdict == "all_bad":
        return 0.5
    rank = {name: n for n, tier in enumerate(j.tiers() or []) for name in tier if name in sides}
    ours = [n for name, n in rank.items() if sides[name].side == "run"]
    theirs = [n for name, n in rank.items() if sides[name].side == "reference"]
    pairs = [0.5 + 0.5 * ((a < b) - (a > b)) for a in ours for b in theirs]
    return fmean(pairs) if pairs else None


def _made_from(held: _Held) -> set[tuple[str, str]]:
    """What was retracted, and every prompt and response whose lineage names such a record."""
    gone = set(held.retracted)
    if not gone:
        return gone
    parents: dict[tuple[str, str], set[str]] = {}
    for project, task in held.tasks.values():
        made = [(task.prompt.id, task.prompt.lineage), *((r.id, r.lineage) for r in task.responses)]
        for name, lineage in made:
            parents.setdefault((project, name), set()).update(lineage.parents if lineage else ())
    grew = True
    while grew:
        more = {child for child, own in parents.items() if any((child[0], p) in gone for p in own)} - gone
        gone |= more
        grew = bool(more)
    return gone


# ── sources ──────────────────────────────────────────────────────────────────


def _read(source: Path | str, project: str | None) -> _Held:
    if "://" in str(source):
        return _store(str(source), project)
    path = Path(source)
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise BadInput(
                f"{path} has no manifest; name a snapshot or an export as it was written, or a store's address"
            )
        if faults := verify_folder(path):
            raise Refused(f"{path} is not as it was written: {faults[0]}; take it again")
        if (path / "data" / "judgments.parquet").is_file():
            return _snapshot(path, project)
        path = path / "audit" / "judgments.jsonl"
    if not path.is_file():
        raise NotThere(f"{path} is not there; name a store's address, a snapshot, an export, or a file of judgments")
    return _bare(path)


def _store(url: str, project: str | None) -> _Held:
    from data.store import open_store

    store = open_store(url, create=False)
    try:
        with store.read() as tx:
            names = [row.name for row in tx.all("SELECT name FROM projects")]
            if project is not None and project not in names:
                raise NotThere(_no_project(project, names, url))
            tasks = tx.all(
                "SELECT p.name AS project, r.record FROM tasks t JOIN projects p ON p.id = t.project"
                " JOIN task_records r ON r.task = t.id"
            )
            judgments = tx.all(
                "SELECT p.name AS project, j.state, j.record FROM judgments j JOIN projects p ON p.id = j.project"
            )
            retracted = tx.all(
                "SELECT p.name AS project, x.record FROM retractions x JOIN projects p ON p.id = x.project"
            )
    finally:
        store.close()
    return _held(
        [(row.project, row.record) for row in tasks],
        [(row.project, row.state, row.record) for row in judgments],
        [(row.project, row.record) for row in retracted],
        project,
    )


def _snapshot(path: Path, project: str | None) -> _Held:
    import pyarrow.parquet as pq

    def rows(name: str, *columns: str) -> list[tuple[str, ...]]:
        table = pq.read_table(path / "data" / f"{name}.parquet", columns=list(columns), use_threads=False)
        return list(zip(*(table.column(one).to_pylist() for one in columns), strict=True))

    names = [name for (name,) in rows("projects", "project")]
    if project is not None and project not in names:
        raise NotThere(_no_project(project, names, str(path)))
    retracted = (path / "data" / "retractions.parquet").is_file()
    return _held(
        rows("tasks", "project", "record"),
        rows("judgments", "project", "state", "record"),
        rows("retractions", "project", "record") if retracted else [],
        project,
    )


def _no_project(name: str, known: Iterable[str], where: str) -> str:
    return f"there is no project '{name}' in {where}{nearest(name, known)}"


def _held(
    tasks: Iterable[tuple[str, ...]],
    judgments: Iterable[tuple[str, ...]],
    retracted: Iterable[tuple[str, ...]],
    project: str | None,
) -> _Held:
    """Out of a store's or a snapshot's rows."""
    own: dict[str, tuple[str, Task]] = {}
    for name, record in tasks:
        if project in (None, name):
            task = Task.model_validate_json(record)
            own[task.id] = (name, task)
    kept = [
        _Kept(name, state, Judgment.model_validate_json(record))
        for name, state, record in judgments
        if project in (None, name)
    ]
    return _Held(own, kept, {(name, record) for name, record in retracted})


def _bare(path: Path) -> _Held:
    """A file of judgments, with tasks.jsonl and retractions.jsonl beside it."""
    beside = path.with_name("tasks.jsonl")
    if not beside.is_file():
        raise NotThere(f"{beside} is not there; judgments in a file need their tasks beside them")
    tasks = {task.id: ("", task) for task in _records(beside, Task)}
    judgments = [_Kept("", "counted", one) for one in _records(path, Judgment)]
    file = path.with_name("retractions.jsonl")
    rows = read_lines(file) if file.is_file() else ()
    retracted = {("", str(row.value.get("record_id"))) for row in rows if isinstance(row.value, dict)}
    return _Held(tasks, judgments, retracted)


def _records(path: Path, kind: type[R]) -> Iterator[R]:
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        if line.problem or not isinstance(line.value, dict):
            raise BadInput(f"{where}: {line.problem or 'not a JSON object'}")
        value = {name: held for name, held in line.value.items() if name != "judgments"} if kind is Task else line.value
        try:
            yield kind.model_validate(value)
        except ValueError as error:
            needed = "tasks, as annotate.load takes them" if kind is Task else "judgments, one a line"
            raise BadInput(f"{where}: {explain(error)}; needed are whole {needed}") from None
