"""What a person does with a task they hold: submit, skip, release, revise, and the draft until then.

A judgment is appended, never overwritten: a later one by the same person on the same task
supersedes it. Submitting is idempotent on the lease's token, so a lost answer from the
server is asked for again without harm.
"""

import json
import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple

from annotate.assign import Lease, own_lease, read_task, write_lease
from annotate.slots import DONE, LEASED, count_done, open_slot, take_slot
from data import ledger
from data.errors import NotThere, Refused
from data.ledger import Chain, RowHash
from data.records import Judgment
from data.store import Tx


class Outcome(NamedTuple):
    """What became of a submit."""

    judgment: str
    state: str
    """counted; surplus (kept, not counted: the task is full); returned (cannot judge: others will)."""


class Slot(NamedTuple):
    """The slot a person has in a task."""

    number: int
    state: int
    token: str | None


def submitted(tx: Tx, token: str) -> Outcome | None:
    """What became of an earlier submit under this token, or None: what makes submit idempotent."""
    row = tx.one("SELECT id, state FROM judgments WHERE token = :token", token=token)
    return Outcome(row.id, row.state) if row else None


def submit(tx: Tx, annotator: str, token: str, answer: dict[str, Any], shown_ms: int | None = None) -> Outcome:
    """Store a judgment under a lease; a second call with the same token changes nothing.

    Args:
        shown_ms: milliseconds since the page first showed the task, which may be long after the page was given
            it; no more than since then is believed. None: it was shown when it was given.
        answer: the fields of a Judgment that the annotator decides (verdict, ranking or choice or
            ratings, flags, …), by response id; already checked against the task.

    It fills the person's slot of the task. When the lease has run out and the slot was given
    back, it takes another open slot of the task, and with none left it is kept as `surplus`.
    A `cannot_judge` gives the slot back. A judgment of the same person on the same task
    before this one is superseded, never overwritten.
    """
    lease = own_lease(tx, token, annotator)
    chain = ledger.take(tx, lease.project)
    if earlier := submitted(tx, token):
        return earlier
    held = _held(tx, lease.task, annotator)
    rows: list[RowHash] = []
    if answer["verdict"] == "cannot_judge":
        state = "returned"
        if held:
            if held.state == DONE:
                count_done(chain, lease.task, annotator, by=-1)
            rows.append(open_slot(tx, lease.task, lease.task_id, held.number))
        rows += _pass(tx, lease, annotator, "cannot_judge", "")
    elif held:
        state = "counted"
        if held.state == LEASED:
            rows.append(_finish(chain, lease, held, annotator, token))
    else:
        taken = take_slot(chain, lease.task, lease.task_id, annotator, DONE, token, None)
        state = "counted" if taken else "surplus"
        rows += [taken] if taken else []
    since = tx.now() - lease.at_ms
    began = tx.now() - (since if shown_ms is None else min(shown_ms, since))
    record = _record(tx, lease, annotator, token, began, answer)
    rows.append(_keep(tx, lease, record, state))
    tx.run("DELETE FROM drafts WHERE token = :token", token=token)
    chain.append("revise" if record.supersedes else "submit", annotator, rows)
    return Outcome(record.id, state)


def _held(tx: Tx, task: int, annotator: str) -> Slot | None:
    row = tx.one(
        "SELECT number, state, token FROM slots WHERE task = :task AND annotator = :annotator"
        " AND state > 0 AND purpose = 'label' AND round = 0",
        task=task,
        annotator=annotator,
    )
    return Slot(row.number, row.state, row.token) if row else None


def _finish(chain: Chain, lease: Any, held: Slot, annotator: str, token: str) -> RowHash:
    chain.tx.run(
        "UPDATE slots SET state = 2, token = :token, until_ms = NULL WHERE task = :task AND number = :number",
        token=token,
        task=lease.task,
        number=held.number,
    )
    count_done(chain, lease.task, annotator)
    return ledger.slot_row(lease.task_id, held.number, DONE, annotator, token)


def _record(tx: Tx, lease: Any, annotator: str, token: str, began: int, answer: dict[str, Any]) -> Judgment:
    latest = tx.value(
        "SELECT j.id FROM judgments j WHERE j.task = :task AND j.annotator = :annotator"
        " AND j.purpose IN ('label', 'import') AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.supersedes = j.id)",
        task=lease.task,
        annotator=annotator,
    )
    if answer.get("active_seconds") is not None:  # the browser says it; no more than has passed is believed
        answer = {**answer, "active_seconds": min(answer["active_seconds"], (tx.now() - lease.began) / 1000)}
    return Judgment.make(
        task_id=lease.task_id,
        annotator=annotator,
        annotator_kind="person",
        shown=json.loads(lease.shown),
        token=token,
        started_at=iso(began),
        submitted_at=iso(tx.now()),
        supersedes=latest,
        **answer,
    )


def iso(at_ms: int) -> str:
    """A time in milliseconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _keep(tx: Tx, lease: Any, record: Judgment, state: str) -> RowHash:
    text = record.line().decode()
    tx.run(
        "INSERT INTO judgments (id, project, task, annotator, annotator_kind, verdict, purpose, state, supersedes,"
        " token, record, at_ms) VALUES (:id, :project, :task, :annotator, 'person', :verdict, 'label', :state,"
        " :supersedes, :token, :record, :now)",
        id=record.id,
        project=lease.project,
        task=lease.task,
        annotator=record.annotator,
        verdict=record.verdict,
        state=state,
        supersedes=record.supersedes,
        token=record.token,
        record=text,
        now=tx.now(),
    )
    return ledger.judgment_row(record.id, state, text)


def _passed(tx: Tx, task: int, annotator: str) -> bool:
    sql = "SELECT 1 FROM passes WHERE task = :task AND annotator = :annotator"
    return tx.value(sql, task=task, annotator=annotator) is not None


def _pass(tx: Tx, lease: Any, annotator: str, reason: str, comment: str) -> list[RowHash]:
    """Note that this person passed on the task, so that it is not offered to them again."""
    tx.run(
        "INSERT INTO passes (task, annotator, project, reason, comment, at_ms)"
        " VALUES (:task, :annotator, :project, :reason, :comment, :now)"
        " ON CONFLICT (task, annotator) DO UPDATE SET reason = excluded.reason, comment = excluded.comment",
        task=lease.task,
        annotator=annotator,
        project=lease.project,
        reason=reason,
        comment=comment,
        now=tx.now(),
    )
    return [ledger.pass_row(lease.task_id, annotator, reason, comment)]


def skip(tx: Tx, annotator: str, token: str, reason: str, comment: str = "") -> None:
    """Give the task back to others with a reason; a second call changes nothing.

    When the lease has run out the task is with others already; it still does not come back to this person.
    """
    lease = own_lease(tx, token, annotator)
    chain = ledger.take(tx, lease.project)
    held = _held(tx, lease.task, annotator)
    if submitted(tx, token) or (held and (held.state != LEASED or held.token != token)):
        return  # what stands for this task now is newer than the skip
    if held is None and _passed(tx, lease.task, annotator):
        return
    rows = [open_slot(tx, lease.task, lease.task_id, held.number)] if held else []
    rows += _pass(tx, lease, annotator, reason, comment)
    tx.run("DELETE FROM drafts WHERE token = :token", token=token)
    chain.append("skip", annotator, rows, reason=reason)


def release(tx: Tx, annotator: str, token: str, after_ms: int = 0) -> None:
    """Give back a task that was fetched ahead and never shown; unlike a skip, it may come to this person again.

    With `after_ms` it stays theirs so much longer, unless somebody renews it: another tab of the same
    browser, which had fetched the same task. That shortens a lease and is no event, as renewing it is none.
    """
    lease = own_lease(tx, token, annotator)
    if after_ms:
        tx.run(
            "UPDATE slots SET until_ms = :until WHERE task = :task AND token = :token AND state = 1"
            " AND until_ms > :until",
            until=tx.now() + after_ms,
            task=lease.task,
            token=token,
        )
        return
    chain = ledger.take(tx, lease.project)
    held = _held(tx, lease.task, annotator)
    if held and held.state == LEASED and held.token == token:
        chain.append("release", annotator, [open_slot(tx, lease.task, lease.task_id, held.number)])


def revise(tx: Tx, annotator: str, judgment: str) -> tuple[Lease, Judgment]:
    """Open one's own latest judgment for a second look, its responses in the order shown before.

    Raises:
        NotThere: it is not theirs.
        Refused: it was revised since (code `superseded`).
    """
    row = tx.one("SELECT project, task, annotator, record FROM judgments WHERE id = :id", id=judgment)
    if row is None or row.annotator != annotator:
        raise NotThere("this judgment is not one of yours")
    chain = ledger.take(tx, row.project)
    if tx.value("SELECT 1 FROM judgments WHERE supersedes = :id", id=judgment):
        raise Refused("this judgment was revised since; open its newer form", "superseded")
    before = Judgment.model_validate_json(row.record)
    open_token = tx.value(
        "SELECT l.token FROM leases l WHERE l.task = :task AND l.annotator = :annotator AND l.revises = :judgment"
        " AND NOT EXISTS (SELECT 1 FROM judgments j WHERE j.token = l.token)",
        task=row.task,
        annotator=annotator,
        judgment=judgment,
    )
    task = read_task(tx, row.task)
    token = open_token or secrets.token_urlsafe(18)
    if open_token is None:
        lease = write_lease(tx, row.project, row.task, task.id, annotator, token, before.shown, judgment, tx.now())
        chain.append("reopen", annotator, [lease])
    return Lease(token, task, before.shown, 0, judgment), before


# ── drafts ───────────────────────────────────────────────────────────────────


def save_draft(tx: Tx, annotator: str, token: str, seq: int, body: str) -> int:
    """Keep an unfinished answer; an older `seq` than the one kept is ignored. Returns the seq kept."""
    own_lease(tx, token, annotator)
    if submitted(tx, token):
        return seq
    tx.run(
        "INSERT INTO drafts (token, annotator, seq, body, at_ms) VALUES (:token, :annotator, :seq, :body, :now)"
        " ON CONFLICT (token) DO UPDATE SET seq = excluded.seq, body = excluded.body, at_ms = excluded.at_ms"
        " WHERE excluded.seq > drafts.seq",
        token=token,
        annotator=annotator,
        seq=seq,
        body=body,
        now=tx.now(),
    )
    return int(tx.value("SELECT seq FROM drafts WHERE token = :token", token=token))


def draft(tx: Tx, token: str) -> tuple[int, str] | None:
    """The draft kept for a lease: its seq and body."""
    row = tx.one("SELECT seq, body FROM drafts WHERE token = :token", token=token)
    return (int(row.seq), row.body) if row else None
