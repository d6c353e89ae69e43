"""Why there is no task for somebody: what others hold, and what is open in languages they do not read."""

from typing import Any

from annotate.accounts import Person
from annotate.projects import Project
from data.store import Tx

MOST = 1000
"""Open tasks in other languages are counted up to here: the page asks again and again while it is empty."""


def remaining(tx: Tx, project: Project, person: Person) -> dict[str, Any]:
    """What there still is in a project that has no task for this person now.

    `with_others` tasks are in other people's hands and would be offered to this person if they came
    back, the last of them after `back_in_s` seconds; `other_languages` are open tasks by language.
    """
    held = tx.all(
        "SELECT COUNT(DISTINCT s.task) AS tasks, MAX(s.until_ms) AS until_ms FROM slots s"
        " JOIN tasks t ON t.id = s.task JOIN lanes l ON l.id = t.lane"
        " WHERE s.project = :project AND s.state = 1 AND s.annotator <> :person AND l.language IN :languages"
        " AND NOT EXISTS (SELECT 1 FROM slots m WHERE m.task = s.task AND m.annotator = :person AND m.state > 0)"
        " AND NOT EXISTS (SELECT 1 FROM passes x WHERE x.task = s.task AND x.annotator = :person)"
        " AND NOT EXISTS (SELECT 1 FROM authors a WHERE a.task = s.task AND a.annotator = :person)",
        project=project.id,
        person=person.id,
        languages=["", *person.languages],
    )[0]
    return {
        "with_others": int(held.tasks),
        "back_in_s": max(0, held.until_ms - tx.now()) // 1000 if held.tasks else 0,
        "other_languages": _other_languages(tx, project, person),
    }


def _other_languages(tx: Tx, project: Project, person: Person) -> dict[str, int]:
    rows = tx.all(
        "SELECT language, COUNT(*) AS tasks FROM"
        " (SELECT l.language FROM tasks t JOIN lanes l ON l.id = t.lane"
        "  WHERE l.project = :project AND l.language NOT IN :languages AND t.open > 0 LIMIT :most) w"
        " GROUP BY language ORDER BY language",
        project=project.id,
        languages=["", *person.languages],
        most=MOST,
    )
    return {row.language: int(row.tasks) for row in rows}
