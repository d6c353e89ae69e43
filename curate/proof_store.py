"""Does an export fit the store it came from? What does not, a line each.

The ledger's chain is checked, the export's own event in it, and its tasks and judgments byte for
byte against those that counted when it was made, retractions of that moment taken into account.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from curate.evidence import Plan, hear
from curate.moment import StoredJudgment, StoredTask, find_project, read_tasks
from curate.pairs import Stored
from curate.proof import JUDGMENTS, TASKS, lines_of, plan_of
from curate.retracted import closure, read_retractions, without_text
from data.errors import BadInput
from data.manifest import Manifest
from data.records import Judgment, Task

if TYPE_CHECKING:
    from data.ledger import Head
    from data.store import Tx

FAULTS = 1000  # of the ledger; more would say no more
_STATES = ("counted", "surplus", "returned")


def check_store(tx: "Tx", folder: Path, manifest: Manifest) -> list[str]:
    """What in an export does not fit the store it came from.

    Raises:
        NotThere: the store has no such project.
        BadInput: the manifest names no ledger head.
    """
    from data import ledger

    told_plan = plan_of(folder, manifest)
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
    reasons = closure((t.record for t in read_tasks(tx, project.id)), read_retractions(tx, project.id, head.seq))
    for record, why in told_plan.retracted.items():
        if reasons.get(record) != why:
            faults.append(f"retraction of {record}: the store knew of none when this was exported")
    return faults + _check_records(tx, folder, project.id, head, told_plan._replace(retracted=reasons))


def _check_records(tx: "Tx", folder: Path, project: int, head: "Head", plan: Plan) -> list[str]:
    """Tasks and judgments of the export against those that counted in the store when it was made."""
    faults: list[str] = []
    there = {
        "task": {line.task: _hash(line.raw) for line in lines_of(folder, TASKS, "id", faults)},
        "judgment": {
            str(line.value.get("id")): _hash(line.raw) for line in lines_of(folder, JUDGMENTS, "task_id", faults)
        },
    }
    then = _judgments_at(tx, project, head)
    for stored in read_tasks(tx, project):
        for kind, key, record in _that_counted(stored, then, plan):
            told = there[kind].pop(key, None)
            if told is None:
                faults.append(f"{kind} {key} counted when this was exported, and is not in audit/{kind}s.jsonl")
            elif told != _hash(record):
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


def _that_counted(stored: StoredTask, then: dict[str, str], plan: Plan) -> list[tuple[str, str, bytes]]:
    """Kind, id and JSON line of a stored task and its judgments, where they counted at that moment."""
    rows = [
        Stored(state, Judgment.model_validate_json(j.record))
        for j in stored.judgments
        if j.id in then and (state := _state_at(j, then[j.id])) is not None
    ]
    if not rows:
        return []
    found = hear(Task.model_validate_json(stored.record), rows, plan)
    kept = {j.id for j in found.judgments}
    if not kept:
        return []
    counted = [("judgment", j.id, j.record.encode()) for j in stored.judgments if j.id in kept]
    return [("task", stored.task, without_text(stored.record, found.gone.responses)), *counted]


def _state_at(j: StoredJudgment, hash_: str) -> str | None:
    """The state that gives this row the hash the ledger kept; None when the row was changed."""
    from data.ledger import judgment_row

    return next((state for state in _STATES if judgment_row(j.id, state, j.record)[2] == hash_), None)
