"""Judgments that came along with their tasks: whose they are, which slots they fill, and how they are kept.

A person of the source gets a random id of ours; only the table of people keeps the name they had there.
"""

import secrets
from typing import Any

from annotate.entries import Entry
from annotate.projects import Project
from annotate.slots import DONE, OPEN
from data import ledger
from data.formats.rows import Vote
from data.ledger import RowHash
from data.records import Judgment, Task, content_id
from data.store import Tx


def insert_votes(
    tx: Tx, project: Project, entries: list[Entry], numbers: dict[str, int], fresh: set[str]
) -> tuple[list[RowHash], dict[str, int]]:
    """Imported judgments: a person's fills a slot (surplus when none is left), a model's or a rule's never does."""
    counts = {"judgments": 0, "judgments_known": 0, "surplus": 0}
    if not any(e.row.votes for e in entries):
        return [], counts
    tokens = {(e.task.id, vote.key): content_id("import", e.task.id, vote.key) for e in entries for vote in e.row.votes}
    there = _judged(tx, list(tokens.values()))
    new = [vote for e in entries for vote in e.row.votes if tokens[e.task.id, vote.key] not in there]
    imported, events = _imported_people(tx, project, {v.annotator for v in new if v.annotator_kind == "person"})
    rows: list[dict[str, Any]] = []
    slots: list[dict[str, Any]] = []
    for e in entries:
        number = numbers[e.task.id]
        free: list[int] = []
        holders: set[str] = set()
        if any(vote.annotator_kind == "person" for vote in e.row.votes):
            free, holders = (list(range(e.task.overlap)), set()) if e.task.id in fresh else _slots(tx, number)
        for vote in e.row.votes:
            token = tokens[e.task.id, vote.key]
            if token in there:
                counts["judgments_known"] += 1
                continue
            there.add(token)
            record = _judgment(e.task, vote, imported.get(vote.annotator, ""), token)
            state = "counted"
            if vote.annotator_kind == "person":
                if vote.verdict == "cannot_judge":
                    state = "returned"
                elif free and record.annotator not in holders:
                    holders.add(record.annotator)
                    slots.append({"task": number, "number": free.pop(0), "annotator": record.annotator, "token": token})
                    events.append(ledger.slot_row(e.task.id, slots[-1]["number"], DONE, record.annotator, token))
                else:
                    state = "surplus"
            text = record.line().decode()
            rows.append(
                {
                    **{key: getattr(record, key) for key in ("id", "annotator", "annotator_kind", "verdict", "token")},
                    **{"project": project.id, "task": number, "state": state, "record": text, "now": tx.now()},
                }
            )
            events.append(ledger.judgment_row(record.id, state, text))
            counts["judgments"] += 1
            counts["surplus"] += state == "surplus"
    tx.many(
        "INSERT INTO judgments (id, project, task, annotator, annotator_kind, verdict, purpose, state, token,"
        " record, at_ms) VALUES (:id, :project, :task, :annotator, :annotator_kind, :verdict, 'import', :state,"
        " :token, :record, :now)",
        rows,
    )
    _fill(tx, project, slots)
    return events, counts


def _judged(tx: Tx, tokens: list[str]) -> set[str]:
    """Which of these tokens a judgment has already; asked in parts, for a database takes so many values at once."""
    parts = [tokens[i : i + 10_000] for i in range(0, len(tokens), 10_000)]
    found = [tx.all("SELECT token FROM judgments WHERE token IN :tokens", tokens=part) for part in parts]
    return {row.token for rows in found for row in rows}


def _slots(tx: Tx, task: int) -> tuple[list[int], set[str]]:
    """A task's open slots, and who has one of the others."""
    rows = tx.all("SELECT number, state, annotator FROM slots WHERE task = :task ORDER BY number", task=task)
    return [int(row.number) for row in rows if row.state == OPEN], {row.annotator for row in rows if row.annotator}


def _judgment(task: Task, vote: Vote, person: str, token: str) -> Judgment:
    annotator = person or f"{vote.annotator_kind}:{vote.annotator}"
    given = {key: getattr(vote, key) for key in Vote._fields if key not in ("annotator", "key")}
    return Judgment.make(
        task_id=task.id,
        annotator=annotator,
        purpose="import",
        token=token,
        **{key: value for key, value in given.items() if value is not None},
    )


def _imported_people(tx: Tx, project: Project, names: set[str]) -> tuple[dict[str, str], list[RowHash]]:
    """A random id for each person who judged in the source, and the new members' rows.

    The table people keeps their name in the source.
    """
    ids: dict[str, str] = {}
    events: list[RowHash] = []
    for name in sorted(names):
        full = f"{project.name}/{name}"
        known = tx.value("SELECT id FROM people WHERE name = :name", name=full)
        ids[name] = known or secrets.token_hex(8)
        if not known:
            tx.run(
                "INSERT INTO people (id, name, active, created_ms) VALUES (:id, :name, 0, :now)",
                id=ids[name],
                name=full,
                now=tx.now(),
            )
            tx.run(
                "INSERT INTO members (project, annotator, role) VALUES (:project, :id, 'annotator')",
                project=project.id,
                id=ids[name],
            )
            events.append(ledger.member_row(ids[name], "annotator"))
    return ids, events


def _fill(tx: Tx, project: Project, slots: list[dict[str, Any]]) -> None:
    """Mark slots done by imported judgments, and count them."""
    tx.many(
        "UPDATE slots SET state = 2, annotator = :annotator, token = :token, until_ms = NULL"
        " WHERE task = :task AND number = :number",
        slots,
    )
    tx.many("UPDATE tasks SET open = open - 1, done = done + 1 WHERE id = :task", slots)
    per_person: dict[str, int] = {}
    for slot in slots:
        per_person[slot["annotator"]] = per_person.get(slot["annotator"], 0) + 1
    tx.many(
        "UPDATE members SET done = done + :n WHERE project = :project AND annotator = :annotator",
        [{"n": n, "project": project.id, "annotator": who} for who, n in per_person.items()],
    )
    tasks = sorted({slot["task"] for slot in slots})
    whole = (
        tx.all("SELECT COUNT(*) AS n FROM tasks WHERE id IN :tasks AND done = overlap", tasks=tasks)[0].n
        if tasks
        else 0
    )
    tx.run(
        "UPDATE projects SET done = done + :done, tasks_done = tasks_done + :whole WHERE id = :id",
        done=len(slots),
        whole=whole,
        id=project.id,
    )
