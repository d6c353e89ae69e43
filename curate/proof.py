"""Does an export say what its judgments say? What does not fit, a line each.

`check_rows` needs the folder alone: it computes every id and every row again from the tasks,
judgments and rules that lie in it. `check_store` compares with the store: the ledger's chain,
the export's own event in it, and the tasks and judgments byte for byte, with none that
counted missing. Whether each byte is as it was written is data/manifest.py's part.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from curate.pairs import Rules, Stored, make_rules, pairs_of, usable
from curate.rows import SPLITS, row_of
from curate.snapshot import StoredJudgment, StoredTask, find_project, read_tasks
from data.errors import BadInput, one_line
from data.jsonl import explain, read_lines
from data.manifest import Manifest
from data.records import Judgment, PreferencePair, Record, Task, broken_id, digest, judgment_id

if TYPE_CHECKING:
    from data.ledger import Head
    from data.store import Tx

R = TypeVar("R", bound=Record)
FAULTS = 1000  # of the ledger; more would say no more
_STATES = ("counted", "surplus", "returned")


class Line(NamedTuple):
    """A line of an export as it is: where it stands, what it holds, its bytes without the line break."""

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
    """What in an export does not follow from the tasks, judgments and rules that lie in it."""
    faults: list[str] = []
    try:
        rules = rules_of(manifest)
    except BadInput as error:
        return [str(error)]
    tasks = _records(folder, "audit/tasks.jsonl", Task, faults)
    judged: dict[str, list[Judgment]] = {}
    for j in _records(folder, "audit/judgments.jsonl", Judgment, faults).values():
        judged.setdefault(j.task_id, []).append(j)
    rows = {(split, key): line for split in SPLITS for key, line in _rows(folder, split, faults).items()}
    gaps = {digest(line.value): line for line in _lines(folder, "audit/left_out.jsonl", faults)}
    for task in tasks.values():
        own = judged.pop(task.id, [])
        wrong = _unfit(task, own, rules)
        faults += wrong
        if wrong:
            continue
        pairs, left_out = pairs_of(task, own, rules)
        for pair in pairs:
            faults += _differs(rows.pop((pair.split, pair.id), None), pair)
        for gap in left_out:
            if gaps.pop(digest(gap._asdict()), None) is None:
                faults.append(
                    f"audit/left_out.jsonl: task {task.id} has responses without a pair, not named here"
                )
    for task_id, own in judged.items():
        faults.append(
            f"audit/judgments.jsonl: judgment {own[0].id} is of task {task_id}, not in audit/tasks.jsonl"
        )
    faults += [f"{line.where}: row {key} follows from no judgment" for (_, key), line in rows.items()]
    for line in gaps.values():
        if line.value.get("reason") != "no judgments" or line.value.get("task_id") in tasks:
            faults.append(f"{line.where}: does not follow from the judgments")
    return faults


def _lines(folder: Path, name: str, faults: list[str]) -> list[Line]:
    """The lines of a JSONL file that hold an object; the others become faults. No file, no lines."""
    found = []
    for line in read_lines(folder / name) if (folder / name).is_file() else ():
        where = f"{name}, line {line.number}"
        if line.problem or not isinstance(line.value, dict):
            faults.append(f"{where}: {line.problem or 'not an object'}")
        else:
            found.append(Line(where, line.value, line.raw.rstrip(b"\n")))
    return found


def _records(folder: Path, name: str, kind: type[R], faults: list[str]) -> dict[str, R]:
    """The records of a JSONL file by id; a line that is none, or has an id seen before, becomes a fault."""
    found: dict[str, R] = {}
    for line in _lines(folder, name, faults):
        try:
            record = kind.model_validate(line.value)
        except ValueError as error:
            faults.append(f"{line.where}: {explain(error)}")
            continue
        key = line.value["id"]
        if key in found:
            faults.append(f"{line.where}: {key} comes a second time")
        found[key] = record
    return found


def _rows(folder: Path, split: str, faults: list[str]) -> dict[str, Line]:
    """The rows of a split by pair id."""
    found: dict[str, Line] = {}
    for line in _lines(folder, f"data/{split}.jsonl", faults):
        key = str(line.value.get("id"))
        if key in found:
            faults.append(f"{line.where}: row {key} comes a second time")
        found[key] = line
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
        return [
            f"data/{pair.split}.jsonl: row {pair.id} is missing; the judgments of task {pair.task_id} give it"
        ]
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
        for event in tx.all(
            "SELECT detail FROM ledger WHERE project = :id AND kind = 'export'", id=project.id
        )
    ]
    if manifest.digest not in digests:
        faults.append(f"ledger: no export of '{project.name}' has the digest {manifest.digest}")
    return faults + _check_records(tx, folder, project.id, head, rules)


def _check_records(tx: "Tx", folder: Path, project: int, head: "Head", rules: Rules) -> list[str]:
    """Tasks and judgments of the export against those that counted in the store when it was made."""
    faults: list[str] = []
    tasks, judgments = _hashes(folder, "tasks", faults), _hashes(folder, "judgments", faults)
    then = _judgments_at(tx, project, head)
    for stored in read_tasks(tx, project):
        for kind, key, record in _that_counted(stored, then, rules):
            there = (tasks if kind == "task" else judgments).pop(key, None)
            if there is None:
                faults.append(
                    f"{kind} {key} counted when this was exported, and is not in audit/{kind}s.jsonl"
                )
            elif there != hashlib.sha256(record.encode()).digest():
                faults.append(f"{kind} {key}: not what the store holds")
    faults += [f"task {key}: the store has no such task with judgments that counted" for key in tasks]
    return faults + [f"judgment {key}: none that counted in the store" for key in judgments]


def _hashes(folder: Path, name: str, faults: list[str]) -> dict[str, bytes]:
    lines = _lines(folder, f"audit/{name}.jsonl", faults)
    return {str(line.value.get("id")): hashlib.sha256(line.raw).digest() for line in lines}


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
