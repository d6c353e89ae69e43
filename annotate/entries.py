"""Tasks ready to go into a project: which of them are there already, and the others put in.

A row that comes again is known by the id it has in its source; where that id stands for other content, the row is
refused. What is new goes to the end of its lane, with its slots and the authors of its responses.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from annotate.projects import Project
from annotate.slots import extend_lane
from data.formats.rows import Reject, Row
from data.records import Task
from data.store import Tx
from data.text import base_language


class Entry(NamedTuple):
    """A task ready to go in, with the judgments that came along."""

    row: Row
    task: Task
    record: str


def known_tasks(
    tx: Tx, project: Project, entries: list[Entry]
) -> tuple[dict[str, tuple[int, str]], list[Entry], list[Reject]]:
    """Which tasks are there already (number and record), and which rows reuse an id for other content.

    Judgments are about responses, not about how people are asked: a row that brings some for a task that
    is there under another kind is that task.
    """
    there = tx.all(
        "SELECT t.id, t.task, t.import_key, r.record FROM tasks t JOIN task_records r ON r.task = t.id"
        " WHERE t.project = :project AND t.import_key IN :keys",
        project=project.id,
        keys=[e.task.import_key for e in entries],
    )
    by_key = {row.import_key: row.task for row in there}
    records = {row.import_key: row.record for row in there}
    entries = [
        _same_but_for_kind(e, records[e.task.import_key])
        if e.row.votes and by_key.get(e.task.import_key, e.task.id) != e.task.id
        else e
        for e in entries
    ]
    clash = [e for e in entries if by_key.setdefault(e.task.import_key, e.task.id) != e.task.id]
    reason = "id '{}' is in project '{}' already, with other content; give this row another id"
    refused = [
        Reject(e.row.where, e.row.number, reason.format(e.task.import_key, project.name), e.record[:2000])
        for e in clash
    ]
    clashing = {e.task.id for e in clash}
    kept = [e for e in entries if e.task.id not in clashing]
    return {row.task: (row.id, row.record) for row in there}, kept, refused


def _same_but_for_kind(entry: Entry, there: str) -> Entry:
    """The entry with the task of this record, where nothing but their kind tells the two apart."""
    task = Task.model_validate_json(there)
    same = [entry.task.prompt.id, [r.id for r in entry.task.responses]] == [
        task.prompt.id,
        [r.id for r in task.responses],
    ]
    return entry._replace(task=task) if same else entry


def insert_tasks(tx: Tx, project: Project, entries: list[Entry]) -> dict[str, int]:
    """Put tasks, their records, slots and authors in, at the end of their lanes; returns their numbers."""
    first = tx.reserve("tasks", len(entries)) if entries else 0
    sizes: dict[tuple[int, str], int] = {}
    for e in entries:
        lane = (e.task.priority, base_language(e.task.language or ""))
        sizes[lane] = sizes.get(lane, 0) + 1
    places: dict[tuple[int, str], Iterator[tuple[int, int]]] = {}
    for (priority, language), size in sizes.items():
        lane_id, tail = extend_lane(tx, project.id, priority, language, returned=False, by=size)
        places[priority, language] = iter([(lane_id, tail - size + 1 + i) for i in range(size)])
    tasks: list[dict[str, Any]] = []
    for number, e in enumerate(entries, first):
        lane_id, position = next(places[e.task.priority, base_language(e.task.language or "")])
        tasks.append(
            {
                "id": number,
                "task": e.task.id,
                "project": project.id,
                "kind": e.task.kind,
                "lane": lane_id,
                "position": position,
                "overlap": e.task.overlap,
                "key": e.task.import_key,
                "record": e.record,
            }
        )
    tx.many(
        "INSERT INTO tasks (id, task, project, kind, lane, position, overlap, open, import_key)"
        " VALUES (:id, :task, :project, :kind, :lane, :position, :overlap, :overlap, :key)",
        tasks,
    )
    tx.many("INSERT INTO task_records (task, record) VALUES (:id, :record)", tasks)
    tx.many(
        "INSERT INTO slots (task, number, project) VALUES (:task, :number, :project)",
        [{"task": t["id"], "number": n, "project": project.id} for t in tasks for n in range(t["overlap"])],
    )
    tx.many(
        "INSERT INTO authors (task, annotator) VALUES (:task, :annotator) ON CONFLICT DO NOTHING",
        [
            {"task": number, "annotator": r.lineage.author}
            for number, e in enumerate(entries, first)
            for r in e.task.responses
            if r.lineage and r.lineage.author
        ],
    )
    tx.run(
        "UPDATE projects SET tasks = tasks + :tasks, needed = needed + :needed WHERE id = :id",
        tasks=len(tasks),
        needed=sum(t["overlap"] for t in tasks),
        id=project.id,
    )
    return {t["task"]: t["id"] for t in tasks}
