"""Does an export say what its judgments say? What does not fit, a line each.

`check_rows` needs the folder alone: it computes every id and every row again from the tasks,
judgments and rules that lie in it. `check_store` compares with the store: the ledger's chain,
the export's own event in it, and the tasks and judgments byte for byte, with none that
counted missing. Whether each byte is as it was written is data/manifest.py's part.
"""

import hashlib
import json
from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from curate.moment import StoredJudgment, StoredTask, find_project, read_tasks
from curate.pairs import Rules, Stored, make_rules, pairs_of, usable
from curate.rows import SPLITS, row_of
from data.errors import BadInput, one_line
from data.jsonl import explain, read_lines
from data.manifest import Manifest
from data.records import Judgment, PreferencePair, Record, Task, broken_id, digest, judgment_id

if TYPE_CHECKING:
    from data.ledger import Head
    from data.store import Tx

R = TypeVar("R", bound=Record)
TASKS, JUDGMENTS, LEFT_OUT = "audit/tasks.jsonl", "audit/judgments.jsonl", "audit/left_out.jsonl"
_DATA = {split: f"data/{split}.jsonl" for split in SPLITS}
FAULTS = 1000  # of the ledger; more would say no more
_STATES = ("counted", "surplus", "returned")


class Line(NamedTuple):
    """A line of an export as it is: its task, its place, what it holds, its bytes without line break."""

    task: str
    file: str
    where: str
    value: Any
    raw: bytes


def rules_of(manifest: Manifest) -> Rules:
    """The rules an export was made with; BadInput when its manifest describes none."""
    rules = manifest.config.get("rules")
    if manifest.what != "export" or not isinstance(rules, dict):
        raise BadInput(f"the manifest describes no export, but '{one_line(manifest.what, 40)}'")
    return make_rules(**rules)


def check_rows(folder: Path, manifest: Manifest) -> list[str]:
    """What in an export does not follow from the tasks, judgments and rules that lie in it.

    Every file is in the order of task ids, so all are read side by side, one task at a time.
    """
    try:
        rules = rules_of(manifest)
    except BadInput as error:
        return [str(error)]
    faults: list[str] = []
    keys = {
        TASKS: "id",
        JUDGMENTS: "task_id",
        LEFT_OUT: "task_id",
        **dict.fromkeys(_DATA.values(), "task_id"),
    }
    files = [_lines(folder, name, key, faults) for name, key in keys.items()]
    for task_id, lines in groupby(merge(*files, key=_task_of), key=_task_of):
        of: dict[str, list[Line]] = {name: [] for name in keys}
        for line in lines:
            of[line.file].append(line)
        faults += _check_task(task_id, of, rules)
    return faults


def _lines(folder: Path, name: str, key: str, faults: list[str]) -> Iterator[Line]:
    """The lines of a JSONL file, by the task id under `key`; one that does not belong becomes a fault."""
    last = ""
    for line in read_lines(folder / name) if (folder / name).is_file() else ():
        where = f"{name}, line {line.number}"
        task = line.value.get(key) if isinstance(line.value, dict) else None
        if line.problem or not isinstance(task, str):
            faults.append(f"{where}: {line.problem or f'no object with {key}'}")
        elif task < last:
            faults.append(f"{where}: out of order, task {one_line(task, 40)} comes after {one_line(last, 40)}")
        else:
            last = task
            yield Line(task, name, where, line.value, line.raw.rstrip(b"\n"))


def _task_of(line: Line) -> str:
    return line.task


def _check_task(task_id: str, of: dict[str, list[Line]], rules: Rules) -> list[str]:
    """What does not fit among the lines of one task, given by file."""
    faults: list[str] = []
    tasks = _records(of[TASKS], Task, faults)
    judgments = list(_records(of[JUDGMENTS], Judgment, faults).values())
    rows = {str(line.value.get("id")): line for name in _DATA.values() for line in of[name]}
    gaps = {digest(line.value): line for line in of[LEFT_OUT]}
    if len(rows) + len(gaps) < sum(len(of[name]) for name in (*_DATA.values(), LEFT_OUT)):
        faults.append(f"task {task_id}: one of its rows comes a second time")
    if tasks:
        task = tasks[task_id]
        wrong = _unfit(task, judgments, rules)
        if wrong or faults:
            return faults + wrong
        pairs, left_out = pairs_of(task, judgments, rules)
        for pair in pairs:
            faults += _differs(rows.pop(pair.id, None), pair)
        for gap in left_out:
            if gaps.pop(digest(gap._asdict()), None) is None:
                faults.append(f"{LEFT_OUT}: task {task_id} has responses without a pair, not named here")
    elif of[TASKS]:
        return faults
    elif judgments:
        faults.append(f"{JUDGMENTS}: judgment {judgments[0].id} is of task {task_id}, not in {TASKS}")
    faults += [f"{line.where}: row {line.value.get('id')} follows from no judgment" for line in rows.values()]
    for line in gaps.values():
        if tasks or line.value.get("reason") != "no judgments":
            faults.append(f"{line.where}: does not follow from the judgments")
    return faults


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


def _unfit(task: Task, judgments: list[Judgment], rules: Rules) -> list[str]:
    """Ids in a task and its judgments that do not fit their content, and judgments that should not count."""
    faults = [fault] if (fault := broken_id(task)) else []
    faults += [] if judgments else [f"task {task.id}: none of its judgments is in audit/judgments.jsonl"]
    known = {r.id for r in task.responses}
    for j in judgments:
        if judgment_id(j) != j.id:
            faults.append(f"judgment {j.id} does not hash to its id")
        if not set(j.shown) <= known:
            faults.append(f"judgment {j.id} shows responses that are not of task {task.id}")
    _, unused = usable([Stored("counted", j) for j in judgments], rules)
    return faults + [f"judgment {one.judgment_id} does not count: {one.reason}" for one in unused]


def _differs(line: Line | None, pair: PreferencePair) -> list[str]:
    """How a row differs from the pair that the judgments give."""
    if line is None:
        return [f"data/{pair.split}.jsonl: row {pair.id} is missing; the judgments of task {pair.task_id} give it"]
    expected = row_of(pair)
    if line.raw == expected:
        return []
    told = json.loads(expected)
    fields = sorted(key for key in told.keys() | line.value.keys() if told.get(key) != line.value.get(key))
    return [f"{line.where}: row {pair.id} is not what its judgments say ({', '.join(fields) or 'spelling'})"]


def check_store(tx: "Tx", folder: Path, manifest: Manifest) -> list[str]:
    """What in an export does not fit the store it came from.

    Raises:
        NotThere: the store has no such project.
        BadInput: the manifest names no ledger head.
    """
    from data import ledger

    rules = rules_of(manifest)
    project = find_project(tx, str(manifest.config.get("project")))
    try:
        told = manifest.inputs["ledger"]
        head = ledger.Head(int(told["seq"]), str(told["hash"]))
    except (KeyError, TypeError, ValueError):
        raise BadInput("the manifest names no ledger head; export again") from None
    faults = ledger.verify(tx, project.id, limit=FAULTS, known_head=head)
    digests = [
        json.loads(event.detail).get("digest")
        for event in tx.all("SELECT detail FROM ledger WHERE project = :id AND kind = 'export'", id=project.id)
    ]
    if manifest.digest not in digests:
        faults.append(f"ledger: no export of '{project.name}' has the digest {manifest.digest}")
    return faults + _check_records(tx, folder, project.id, head, rules)


def _check_records(tx: "Tx", folder: Path, project: int, head: "Head", rules: Rules) -> list[str]:
    """Tasks and judgments of the export against those that counted in the store when it was made."""
    faults: list[str] = []
    there = {
        "task": {line.task: _hash(line.raw) for line in _lines(folder, TASKS, "id", faults)},
        "judgment": {
            str(line.value.get("id")): _hash(line.raw) for line in _lines(folder, JUDGMENTS, "task_id", faults)
        },
    }
    then = _judgments_at(tx, project, head)
    for stored in read_tasks(tx, project):
        for kind, key, record in _that_counted(stored, then, rules):
            told = there[kind].pop(key, None)
            if told is None:
                faults.append(f"{kind} {key} counted when this was exported, and is not in audit/{kind}s.jsonl")
            elif told != _hash(record.encode()):
                faults.append(f"{kind} {key}: not what the store holds")
    faults += [f"task {key}: the store has no such task with judgments that counted" for key in there["task"]]
    return faults + [f"judgment {key}: none that counted in the store" for key in there["judgment"]]


def _hash(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()


def _judgments_at(tx: "Tx", project: int, head: "Head") -> dict[str, str]:
    """Each judgment the ledger knew at its head then, and the hash of its row."""
    found = {}
    for event in tx.stream(
        "SELECT rows FROM ledger WHERE project = :project AND seq <= :seq ORDER BY seq",
        project=project,
        seq=head.seq,
    ):
        found.update({key: hash_ for table, key, hash_ in json.loads(event.rows) if table == "judgments"})
    return found


def _that_counted(stored: StoredTask, then: dict[str, str], rules: Rules) -> list[tuple[str, str, str]]:
    """Kind, id and JSON line of a stored task and its judgments, where they counted at that moment."""
    rows = [
        Stored(state, Judgment.model_validate_json(j.record))
        for j in stored.judgments
        if j.id in then and (state := _state_at(j, then[j.id])) is not None
    ]
    kept = {j.id for j in usable(rows, rules)[0]}
    if not kept:
        return []
    counted = [("judgment", j.id, j.record) for j in stored.judgments if j.id in kept]
    return [("task", stored.task, stored.record), *counted]


def _state_at(j: StoredJudgment, hash_: str) -> str | None:
    """The state that gives this row the hash the ledger kept; None when the row was changed."""
    from data.ledger import judgment_row

    return next((state for state in _STATES if judgment_row(j.id, state, j.record)[2] == hash_), None)
