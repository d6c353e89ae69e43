"""What a retraction takes out: the record itself and everything made from it.

A prompt is made from what its lineage names (seeds, other prompts), a response from its prompt
and what its lineage names, a task from its prompt, a judgment from its task. Thus a retracted seed
or prompt takes whole tasks with it; a retracted response takes only its own comparisons, since the
others of its task were judged in their own right; a retracted judgment only its vote.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from data.jsonl import parse
from data.records import Retraction, Task, canonical

if TYPE_CHECKING:
    from data.store import Tx

BLANK = "(retracted)"
"""What stands in place of a retracted response's text in an export's audit/tasks.jsonl."""


class Withdrawn(NamedTuple):
    """What of a task is retracted: all of it and why, or some responses and why."""

    whole: str
    responses: dict[str, str]


def read_retractions(tx: "Tx", project: int, until: int | None = None) -> list[Retraction]:
    """A project's retractions by id; with `until`, those its ledger knew at that event."""
    known: set[str] | None = None
    if until is not None:
        events = tx.stream(
            "SELECT rows FROM ledger WHERE project = :project AND kind = 'retract' AND seq <= :seq",
            project=project,
            seq=until,
        )
        known = {key for event in events for _, key, _ in parse(event.rows.encode())[0]}
    rows = tx.all(
        "SELECT id, record, reason, actor FROM retractions WHERE project = :project ORDER BY id", project=project
    )
    return [
        Retraction(id=row.id, record_id=row.record, reason=row.reason, by=row.actor)
        for row in rows
        if known is None or row.id in known
    ]


def write_retractions(tx: "Tx", project: int, rows: Iterable[Retraction]) -> list[str]:
    """Write retractions and their event into a project's ledger; a record taken back before stays as it was.

    Returns the ids of those that are new.
    """
    from data import ledger

    chain = ledger.take(tx, project)
    known = {row.record for row in tx.all("SELECT record FROM retractions WHERE project = :id", id=project)}
    new = [row for row in rows if row.record_id not in known]
    for row in new:
        tx.run(
            "INSERT INTO retractions (project, id, record, reason, actor, at_ms)"
            " VALUES (:project, :id, :record, :reason, :actor, :at_ms)",
            project=project,
            id=row.id,
            record=row.record_id,
            reason=row.reason,
            actor=row.by,
            at_ms=tx.now(),
        )
    if new:
        hashes = [ledger.retraction_row(row.id, row.record_id, row.reason, row.by) for row in new]
        chain.append("retract", new[0].by, hashes, records=[row.record_id for row in new])
    return [row.id for row in new]


def closure(records: Iterable[str], retractions: Iterable[Retraction]) -> dict[str, str]:
    """Every retracted id and every prompt and response made from one, with the reason.

    Args:
        records: the JSON lines of the tasks to look through.
        retractions: in any order; of two for one record the smaller reason is told.
    """
    reasons: dict[str, str] = {}
    for one in sorted(retractions, key=lambda r: r.reason, reverse=True):
        reasons[one.record_id] = one.reason
    if not reasons:
        return {}
    made: dict[str, set[str]] = {}
    for record in records:
        for child, parents in parents_in(parse(record.encode())[0]).items():
            for parent in parents:
                made.setdefault(parent, set()).add(child)
    front = sorted(reasons, key=lambda r: (reasons[r], r))
    while front:
        reached = {
            (reasons[parent], child) for parent in front for child in made.get(parent, ()) if child not in reasons
        }
        front = []
        for why, child in sorted(reached):
            if child not in reasons:
                reasons[child] = why
                front.append(child)
    return reasons


def parents_in(task: Any) -> dict[str, list[str]]:
    """The prompt and responses of a task (as plain JSON), each with the ids it was made from."""
    prompt = task["prompt"]
    found = {prompt["id"]: _lineage(prompt)}
    for response in task["responses"]:
        found[response["id"]] = [response["prompt_id"], *_lineage(response)]
    return found


def _lineage(record: Mapping[str, Any]) -> list[str]:
    return list((record.get("lineage") or {}).get("parents", []))


def withdrawn(task: Task, reasons: Mapping[str, str]) -> Withdrawn:
    """What of a task is retracted, by `closure`."""
    if task.id in reasons:
        return Withdrawn(f"task retracted: {reasons[task.id]}", {})
    if task.prompt.id in reasons:
        return Withdrawn(f"prompt retracted: {reasons[task.prompt.id]}", {})
    gone = [r.id for r in task.responses if r.id in reasons]
    return Withdrawn("", {r: f"response retracted: {reasons[r]}" for r in gone})


def without_text(record: str, gone: Collection[str]) -> bytes:
    """A task's JSON line with the text of these responses taken out; the line as it is when there are none."""
    if not gone:
        return record.encode()
    task = parse(record.encode())[0]
    for response in task["responses"]:
        if response["id"] in gone:
            response["messages"] = [{"role": "assistant", "content": BLANK}]
    return canonical(task)
