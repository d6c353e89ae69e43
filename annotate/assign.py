"""Who judges what: claim and keep a lease on a task, exact under any concurrency.

A task that needs k judgments has k slots. A claim leases an open slot to one person for a
short time; a submit under the lease's token makes it done. Everything that changes a
project first takes its ledger chain (data/ledger.py), so changes are sequential; beside
that, two walls in the schema hold by themselves: slots cannot be added to a task, and a
unique index keeps one person from holding a task twice.

How a claim stays fast with millions of tasks: open tasks stand in lanes (one for each
priority and language), in the order of `position`. Each person has a cursor in each lane,
and nothing at or before it is available to them. That stays true because a task that
becomes available again always gets a new position, behind every cursor, in the lane's
"returned" twin, which is served first (annotate/slots.py).
"""

import json
import random
import secrets
from typing import Any, NamedTuple

from annotate.slots import LEASED, open_slot, take_slot
from data import ledger
from data.errors import NotThere, Refused
from data.ledger import Chain, RowHash
from data.records import Task
from data.store import Tx

LEASE_MS = 15 * 60 * 1000


class Lease(NamedTuple):
    """A task in somebody's hands."""

    token: str
    task: Task
    shown: list[str]
    """Response ids in the order this person sees them."""
    expires_in_ms: int
    revises: str | None = None


# ── claim ────────────────────────────────────────────────────────────────────


def claim(tx: Tx, project: int, annotator: str, *, lease_ms: int = LEASE_MS, holding: int = 1) -> Lease | None:
    """The task this person should judge now, leased to them; None when nothing is left for them.

    Asked again, it gives what they hold already, so a double click or a reload leases
    nothing twice.

    Args:
        holding: leases a person may hold in the project at once. With 2, the one after the task they read is
            given, so that a page can fetch it ahead; with 1 (a reload, say) the one they have held longest.

    Raises:
        Refused: the project is paused (code `paused`), or they are no member (`not_a_member`).
    """
    chain = ledger.take(tx, project)
    now = tx.now()
    held = tx.all(
        "SELECT s.token, s.until_ms FROM slots s JOIN leases l ON l.token = s.token"
        " WHERE s.annotator = :annotator AND s.project = :project AND s.state = 1 ORDER BY l.at_ms, s.token",
        annotator=annotator,
        project=project,
    )
    for slot in held:  # still ours, even if its time ran out before anybody came for it
        if slot.until_ms <= now + lease_ms // 2:
            renew(tx, slot.token, annotator, lease_ms=lease_ms)
    return_expired(chain, now)
    if len(held) >= holding:
        return lease_of(tx, held[holding - 1].token, annotator)
    if chain.paused:
        raise Refused("the project is paused; its lead can say when it goes on", "paused")
    found = find_task(tx, project, annotator)
    if found is None:
        return None
    task = read_task(tx, found)
    earlier = _earlier_lease(tx, found, annotator)
    shown = json.loads(earlier.shown) if earlier else [r.id for r in task.responses]
    if earlier is None:
        random.SystemRandom().shuffle(shown)
    token = secrets.token_urlsafe(18)
    rows = [write_lease(tx, project, found, task.id, annotator, token, shown, None, now)]
    taken = take_slot(chain, found, task.id, annotator, LEASED, token, now + lease_ms)
    assert taken is not None, "an open task has an open slot"
    chain.append("claim", annotator, [*rows, taken])
    if earlier:
        tx.run("UPDATE drafts SET token = :token WHERE token = :before", token=token, before=earlier.token)
    return Lease(token, task, shown, lease_ms)


def plenty(tx: Tx, project: int) -> bool:
    """Whether there is work enough for pages to fetch ahead.

    Near the end they do not: nobody keeps a task they are not looking at while others have none.
    """
    left = tx.value("SELECT needed - done FROM projects WHERE id = :id", id=project)
    people = tx.value("SELECT COUNT(*) FROM members WHERE project = :id", id=project)
    return bool(left > 4 * people)


def _earlier_lease(tx: Tx, task: int, annotator: str) -> Any:
    """The last lease this person had on the same task, which ran out: its order and its draft are theirs again."""
    return tx.one(
        "SELECT token, shown FROM leases WHERE task = :task AND annotator = :annotator AND revises IS NULL"
        " ORDER BY at_ms DESC LIMIT 1",
        task=task,
        annotator=annotator,
    )


def find_task(tx: Tx, project: int, annotator: str) -> int | None:
    """The first open task this person may take, by lane; moves their cursors up to it."""
    who = tx.one(
        "SELECT m.cursors, p.languages FROM members m JOIN people p ON p.id = m.annotator"
        " WHERE m.project = :project AND m.annotator = :annotator AND p.active = 1",
        project=project,
        annotator=annotator,
    )
    if who is None:
        raise Refused("you are not a member of this project", "not_a_member")
    cursors: dict[str, int] = json.loads(who.cursors)
    before = dict(cursors)
    languages = {"", *json.loads(who.languages)}
    found = None
    for lane in tx.all(
        "SELECT id, language, tail FROM lanes WHERE project = :project ORDER BY priority DESC, returned DESC, id",
        project=project,
    ):
        if lane.language not in languages or cursors.get(str(lane.id), 0) >= lane.tail:
            continue
        row = tx.one(
            "SELECT t.id, t.position FROM tasks t WHERE t.lane = :lane AND t.position > :cursor AND t.open > 0"
            " AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.task = t.id AND s.annotator = :annotator AND s.state > 0"
            "  AND s.purpose = 'label' AND s.round = 0)"
            " AND NOT EXISTS (SELECT 1 FROM passes x WHERE x.task = t.id AND x.annotator = :annotator)"
            " AND NOT EXISTS (SELECT 1 FROM authors a WHERE a.task = t.id AND a.annotator = :annotator)"
            " ORDER BY t.position LIMIT 1",
            lane=lane.id,
            cursor=cursors.get(str(lane.id), 0),
            annotator=annotator,
        )
        # Not to the task found but just before it: if this transaction fails it must be found again.
        cursors[str(lane.id)] = lane.tail if row is None else row.position - 1
        if row is not None:
            found = int(row.id)
            break
    if cursors != before:
        tx.run(
            "UPDATE members SET cursors = :cursors WHERE project = :project AND annotator = :annotator",
            cursors=json.dumps(cursors),
            project=project,
            annotator=annotator,
        )
    return found


def write_lease(
    tx: Tx,
    project: int,
    task: int,
    task_id: str,
    annotator: str,
    token: str,
    shown: list[str],
    revises: str | None,
    now: int,
) -> RowHash:
    """Keep a lease: who is shown what, in which order. Kept for good; the slot says whether it is held."""
    text = json.dumps(shown, separators=(",", ":"))
    tx.run(
        "INSERT INTO leases (token, project, task, annotator, purpose, round, shown, revises, at_ms)"
        " VALUES (:token, :project, :task, :annotator, 'label', 0, :shown, :revises, :now)",
        token=token,
        project=project,
        task=task,
        annotator=annotator,
        shown=text,
        revises=revises,
        now=now,
    )
    return ledger.lease_row(token, task_id, annotator, text, revises, now)


# ── what a lease holds, and keeping it ───────────────────────────────────────


def read_task(tx: Tx, task: int) -> Task:
    """The task's record, by its number in the store."""
    return Task.model_validate_json(tx.value("SELECT record FROM task_records WHERE task = :task", task=task))


def lease_of(tx: Tx, token: str, annotator: str) -> Lease:
    """The lease with this token, if it is this person's; NotThere otherwise."""
    row = own_lease(tx, token, annotator)
    until = tx.value(
        "SELECT until_ms FROM slots WHERE task = :task AND token = :token AND state = 1",
        task=row.task,
        token=token,
    )
    left = max(0, until - tx.now()) if until else 0
    return Lease(token, read_task(tx, row.task), json.loads(row.shown), left, row.revises)


def own_lease(tx: Tx, token: str, annotator: str) -> Any:
    """The lease's row; NotThere when it is not this person's.

    Beside its columns: `task_id`, the task's public id, and `began`, when they first were given this task.
    """
    row = tx.one(
        "SELECT l.*, t.task AS task_id, (SELECT MIN(b.at_ms) FROM leases b WHERE b.task = l.task"
        " AND b.annotator = l.annotator) AS began FROM leases l JOIN tasks t ON t.id = l.task WHERE l.token = :token",
        token=token,
    )
    if row is None or row.annotator != annotator:
        raise NotThere("this task was not given to you")
    return row


def renew(tx: Tx, token: str, annotator: str, *, lease_ms: int = LEASE_MS) -> bool:
    """Let the lease run for a full time again; False when it is no longer held. Not an event."""
    lease = own_lease(tx, token, annotator)
    return bool(
        tx.run(
            "UPDATE slots SET until_ms = :until WHERE task = :task AND token = :token AND state = 1",
            until=tx.now() + lease_ms,
            task=lease.task,
            token=token,
        )
    )


def return_expired(chain: Chain, now: int, limit: int = 200) -> int:
    """Open the slots whose lease ran out; their tasks are served again, first. Returns how many."""
    tx = chain.tx
    # A renewal does not take the chain: on PostgreSQL, hold the slots so that none is renewed and lost at once.
    lock = " FOR UPDATE OF s" if tx.postgresql else ""
    over = tx.all(
        "SELECT s.task, s.number, t.task AS task_id FROM slots s JOIN tasks t ON t.id = s.task"
        " WHERE s.project = :project AND s.state = 1 AND s.until_ms <= :now ORDER BY s.until_ms LIMIT :limit" + lock,
        project=chain.project,
        now=now,
        limit=limit,
    )
    if over:
        chain.append("expire", "", [open_slot(tx, r.task, r.task_id, r.number) for r in over])
    return len(over)
