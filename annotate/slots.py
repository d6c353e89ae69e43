"""A task's slots taken and given back, with the counters and lanes that follow from them.

Whoever calls these holds the project's ledger chain, and appends the rows they return.
"""

from data import ledger
from data.ledger import Chain, RowHash
from data.store import Tx

OPEN, LEASED, DONE = 0, 1, 2


def take_slot(
    chain: Chain, task: int, task_id: str, annotator: str, state: int, token: str, until_ms: int | None
) -> RowHash | None:
    """Put an open slot of the task into somebody's hands (or straight to done); None when none is open."""
    tx = chain.tx
    taken = tx.one(
        "UPDATE slots SET state = :state, annotator = :annotator, token = :token, until_ms = :until_ms"
        " WHERE task = :task AND number = (SELECT MIN(number) FROM slots WHERE task = :task AND state = 0)"
        " RETURNING number",
        state=state,
        annotator=annotator,
        token=token,
        until_ms=until_ms,
        task=task,
    )
    if taken is None:
        return None
    tx.run("UPDATE tasks SET open = open - 1 WHERE id = :task", task=task)
    if state == DONE:
        count_done(chain, task, annotator)
    return ledger.slot_row(task_id, taken.number, state, annotator, token)


def open_slot(tx: Tx, task: int, task_id: str, number: int) -> RowHash:
    """Give a leased slot back to everybody: the task moves to the end of its lane's "returned" twin."""
    tx.run(
        "UPDATE slots SET state = 0, annotator = NULL, token = NULL, until_ms = NULL"
        " WHERE task = :task AND number = :number",
        task=task,
        number=number,
    )
    lane = tx.one(
        "SELECT l.project, l.priority, l.language FROM tasks t JOIN lanes l ON l.id = t.lane WHERE t.id = :task",
        task=task,
    )
    assert lane is not None
    twin, tail = extend_lane(tx, lane.project, lane.priority, lane.language, returned=True, by=1)
    tx.run(
        "UPDATE tasks SET open = open + 1, lane = :lane, position = :position WHERE id = :task",
        lane=twin,
        position=tail,
        task=task,
    )
    return ledger.slot_row(task_id, number, OPEN, None, None)


def count_done(chain: Chain, task: int, annotator: str, by: int = 1) -> None:
    """Keep the counters of task, project and person with the slots they count; by is 1, or -1 to take one back."""
    tx = chain.tx
    row = tx.one("UPDATE tasks SET done = done + :by WHERE id = :task RETURNING done, overlap", by=by, task=task)
    assert row is not None
    chain.done += by
    chain.tasks_done += by if row.done + (by < 0) == row.overlap else 0
    tx.run(
        "UPDATE members SET done = done + :by WHERE project = :project AND annotator = :annotator",
        by=by,
        project=chain.project,
        annotator=annotator,
    )


def extend_lane(tx: Tx, project: int, priority: int, language: str, *, returned: bool, by: int) -> tuple[int, int]:
    """Make room for `by` more tasks at a lane's end (a new lane if need be): its id and its new last position."""
    key = {"project": project, "priority": priority, "language": language, "returned": int(returned)}
    where = "project = :project AND priority = :priority AND language = :language AND returned = :returned"
    row = tx.one(f"UPDATE lanes SET tail = tail + :by WHERE {where} RETURNING id, tail", by=by, **key)
    if row is None:
        row = tx.one(
            "INSERT INTO lanes (project, priority, language, returned, tail)"
            " VALUES (:project, :priority, :language, :returned, :by) RETURNING id, tail",
            by=by,
            **key,
        )
    assert row is not None
    return int(row.id), int(row.tail)
