"""Does an export say what its judgments say? What does not fit, a line each.

`check_rows` needs the folder alone: it computes every id, every decision and every row again from the
tasks, judgments, retractions and rules that lie in it. The comparison with the store is
curate/proof_store.py's part, and whether each byte is as it was written data/manifest.py's.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from curate import layouts
from curate.ballots import Stored, usable
from curate.decisions import Clusters, assign, cluster
from curate.evidence import Heard, Plan, hear, sums
from curate.proof_decisions import believed_again, decided_again
from curate.rows import SPLITS, Found, Waiting, look_block, spread
from curate.rules import make_rules
from curate.spool import packed_sums
from data.errors import BadInput, one_line
from data.jsonl import Line as Read
from data.jsonl import explain, read_lines
from data.manifest import Manifest
from data.parquet import count, read_rows
from data.records import Judgment, Record, Task, broken_id, canonical, digest, judgment_id

R = TypeVar("R", bound=Record)
TASKS, JUDGMENTS, LEFT_OUT = "audit/tasks.jsonl", "audit/judgments.jsonl", "audit/left_out.jsonl"
RETRACTIONS = "audit/retractions.jsonl"


class Line(NamedTuple):
    """A line of an export as it is: its task, its place, what it holds, its bytes without line break."""

    task: str
    file: str
    where: str
    value: Any
    raw: bytes


def plan_of(folder: Path, manifest: Manifest) -> Plan:
    """The rules, format and retractions an export was made with; BadInput when its manifest describes none."""
    rules = manifest.config.get("rules")
    if manifest.what != "export" or not isinstance(rules, dict):
        raise BadInput(f"the manifest describes no export, but '{one_line(manifest.what, 40)}'")
    format = manifest.config.get("format", layouts.FIRST)
    if format not in (*layouts.FORMATS, layouts.FIRST):
        raise BadInput(f"the manifest names a format nobody knows, '{one_line(str(format), 40)}'")
    retracted = {}
    for line in read_lines(folder / RETRACTIONS) if (folder / RETRACTIONS).is_file() else ():
        if line.problem or not isinstance(line.value, dict) or not {"record_id", "reason"} <= line.value.keys():
            raise BadInput(f"{RETRACTIONS}, line {line.number}: {line.problem or 'no record_id and reason'}")
        retracted[str(line.value["record_id"])] = str(line.value["reason"])
    # Before there were clusters of prompts, each prompt was one.
    return Plan(str(manifest.config.get("project")), make_rules(**{"group_threshold": "0", **rules}), format, retracted)


def data_files(format: str) -> dict[str, str]:
    """The file of each split."""
    return {split: f"data/{split}.{'parquet' if format == 'parquet' else 'jsonl'}" for split in SPLITS}


def check_rows(folder: Path, manifest: Manifest) -> list[str]:
    """What in an export does not follow from the tasks, judgments and rules that lie in it.

    Every file is in the order of task ids, so all are read side by side, one task at a time: once to look at
    every task, and once more, when all is decided, to compare the rows.
    """
    faults: list[str] = []
    try:
        plan = plan_of(folder, manifest)
        voted = plan.rules.aggregate == "votes"
        beliefs = {} if voted else believed_again(folder, plan, _heard(folder, plan, []), faults)
    except BadInput as error:
        return [str(error)]
    with tempfile.TemporaryDirectory(prefix="concord-verify-") as place, Waiting(Path(place, "pairs")) as waiting:
        for heard in _heard(folder, plan, faults):
            waiting.add(
                look_block(packed_sums([sums(heard, plan)]), None if voted else beliefs.get(heard.task.id, []), plan)
            )
        if faults:
            return faults
        clusters = cluster(waiting.prompts, plan.rules)
        left_out = decided_again(folder, manifest, plan, waiting, clusters, faults)
        return faults + list(_compare(folder, plan, waiting, clusters, left_out))


def _heard(folder: Path, plan: Plan, faults: list[str]) -> Iterator[Heard]:
    """Every task of the folder with the judgments that count; what is no record, or should not count, is a fault."""
    for task_id, of in by_task(folder, {TASKS: "id", JUDGMENTS: "task_id"}, faults):
        wrong: list[str] = []
        tasks = _records(of[TASKS], Task, wrong)
        judgments = list(_records(of[JUDGMENTS], Judgment, wrong).values())
        if tasks and not wrong:
            wrong += _unfit(tasks[task_id], judgments, plan)
        elif judgments and not of[TASKS]:
            wrong.append(f"{JUDGMENTS}: judgment {judgments[0].id} is of task {task_id}, not in {TASKS}")
        faults += wrong
        if tasks and not wrong:
            yield hear(tasks[task_id], [Stored("counted", j) for j in judgments], plan)


def _compare(
    folder: Path, plan: Plan, waiting: Waiting, clusters: Clusters, left_out: Mapping[str, str]
) -> Iterator[str]:
    """How the rows and gaps differ from those that were computed."""
    data, faults = data_files(plan.format), list[str]()
    known: dict[str, str] = {}
    computed = waiting.read()
    found = next(computed, None)
    for task_id, of in by_task(folder, {LEFT_OUT: "task_id", **dict.fromkeys(data.values(), "task_id")}, faults):
        while found is not None and found.task_id < task_id:
            yield from _check_task(
                found.task_id, {name: [] for name in of}, *_spread(found, plan, clusters, left_out, known), plan
            )
            found = next(computed, None)
        expected: tuple[list[layouts.Row], list[Any]] = ([], [])
        if found is not None and found.task_id == task_id:
            expected = _spread(found, plan, clusters, left_out, known)
            found = next(computed, None)
        yield from _check_task(task_id, of, *expected, plan)
    while found is not None:
        yield from _check_task(found.task_id, {}, *_spread(found, plan, clusters, left_out, known), plan)
        found = next(computed, None)
    yield from faults


def _spread(
    found: Found, plan: Plan, clusters: Clusters, left_out: Mapping[str, str], known: dict[str, str]
) -> tuple[list[layouts.Row], list[Any]]:
    for pair in found.pairs:
        assign(pair, clusters, plan.rules, known)
    return spread(found, plan, left_out)


def by_task(folder: Path, keys: dict[str, str], faults: list[str]) -> Iterator[tuple[str, dict[str, list[Line]]]]:
    """The lines of some files of an export, task by task, given by file; `keys` says where a file has the task's id."""
    files = [lines_of(folder, name, key, faults) for name, key in keys.items()]
    for task_id, lines in groupby(merge(*files, key=_task_of), key=_task_of):
        of: dict[str, list[Line]] = {name: [] for name in keys}
        for line in lines:
            of[line.file].append(line)
        yield task_id, of


def lines_of(folder: Path, name: str, key: str, faults: list[str]) -> Iterator[Line]:
    """The lines (or rows) of a file, by the task id under `key`; one that does not belong becomes a fault."""
    last = ""
    for line in _read(folder / name) if (folder / name).is_file() else ():
        where = f"{name}, {'row' if name.endswith('.parquet') else 'line'} {line.number}"
        task = line.value.get(key) if isinstance(line.value, dict) else None
        if line.problem or not isinstance(task, str):
            faults.append(f"{where}: {line.problem or f'no object with {key}'}")
        elif task < last:
            faults.append(f"{where}: out of order, task {one_line(task, 40)} comes after {one_line(last, 40)}")
        else:
            last = task
            yield Line(task, name, where, line.value, line.raw.rstrip(b"\n"))


def _read(path: Path) -> Iterable[Read]:
    if path.suffix != ".parquet":
        return read_lines(path)
    return (Read(number, canonical(row), row, None) for number, row in enumerate(read_rows(path), 1))


def _task_of(line: Line) -> str:
    return line.task


def _check_task(
    task_id: str, of: dict[str, list[Line]], expected: list[layouts.Row], out: list[Any], plan: Plan
) -> list[str]:
    """What does not fit among the rows and gaps of one task, given by file."""
    faults: list[str] = []
    data = data_files(plan.format)
    there = [line for name in data.values() for line in of.get(name, ())]
    rows = {str(line.value.get("id")): line for line in there}
    gaps = {digest(line.value): line for line in of.get(LEFT_OUT, ())}
    if len(rows) + len(gaps) < len(there) + len(of.get(LEFT_OUT, ())):
        faults.append(f"task {task_id}: one of its rows comes a second time")
    for row in expected:
        faults += _differs(rows.pop(row.id, None), row, task_id, data)
    for gap in out:
        if gaps.pop(digest(gap._asdict()), None) is None:
            faults.append(f"{LEFT_OUT}: task {task_id} has responses without a pair, not named here")
    faults += [f"{line.where}: row {line.value.get('id')} follows from no judgment" for line in rows.values()]
    looked_at = bool(expected or out)
    for line in gaps.values():
        if looked_at or not _needs_no_judgment(str(line.value.get("reason")), plan):
            faults.append(f"{line.where}: does not follow from the judgments")
    return faults


def _needs_no_judgment(reason: str, plan: Plan) -> bool:
    """Whether a task may be left out for this reason and have no judgment in the folder."""
    known = {f"{kind} retracted: {why}" for kind in ("task", "prompt", "response") for why in plan.retracted.values()}
    return reason in ("no judgments", "no other response is left") or reason in known


def _records(lines: list[Line], kind: type[R], faults: list[str]) -> dict[str, R]:
    """The lines as records by id; one that is none, or has an id seen before, becomes a fault."""
    found: dict[str, R] = {}
    for line in lines:
        try:
            record = kind.model_validate(line.value)
        except ValueError as error:
            faults.append(f"{line.where}: {explain(error)}")
            continue
        key = str(line.value["id"])
        if key in found:
            faults.append(f"{line.where}: {key} comes a second time")
        found[key] = record
    return found


def _unfit(task: Task, judgments: list[Judgment], plan: Plan) -> list[str]:
    """Ids in a task and its judgments that do not fit their content, and judgments that should not count."""
    blank = {r.id for r in task.responses if r.id in plan.retracted}
    faults = [fault] if (fault := broken_id(task, but=blank)) else []
    faults += [] if judgments else [f"task {task.id}: none of its judgments is in audit/judgments.jsonl"]
    if task.id in plan.retracted or task.prompt.id in plan.retracted:
        faults.append(f"task {task.id} is here, and {RETRACTIONS} takes it back")
    known = {r.id for r in task.responses}
    for j in judgments:
        if judgment_id(j) != j.id:
            faults.append(f"judgment {j.id} does not hash to its id")
        if not set(j.shown) <= known:
            faults.append(f"judgment {j.id} shows responses that are not of task {task.id}")
    _, unused = usable([Stored("counted", j) for j in judgments], plan.rules, plan.retracted)
    return faults + [f"judgment {one.judgment_id} does not count: {one.reason}" for one in unused]


def _differs(line: Line | None, row: layouts.Row, task_id: str, data: dict[str, str]) -> list[str]:
    """How a row differs from what the judgments give."""
    if line is None:
        return [f"{data[row.split]}: row {row.id} is missing; the judgments of task {task_id} give it"]
    if line.raw == row.line() and line.file == data[row.split]:
        return []
    told = row.value
    fields = sorted(key for key in told.keys() | line.value.keys() if told.get(key) != line.value.get(key))
    return [f"{line.where}: row {row.id} is not what its judgments say ({', '.join(fields) or 'spelling'})"]


def count_rows(folder: Path, manifest: Manifest) -> int:
    """How many rows an export has."""
    listed = {f.path: f.rows for f in manifest.files if f.path.startswith("data/")}
    return sum(count(folder / name) if rows is None else rows for name, rows in listed.items())
