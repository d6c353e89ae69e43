"""Projects: find or make one, its settings and guidelines, and where it stands."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from data import ledger
from data.errors import BadInput, NotThere, nearest
from data.records import content_id
from data.store import Tx

SETTINGS: dict[str, Any] = {"title": "", "allow_unplaced": False, "content_warning": False, "kinds": []}
"""What a project can set, with what holds when it does not."""


class Project(NamedTuple):
    """A project as the store knows it."""

    id: int
    name: str
    settings: dict[str, Any]
    paused: bool
    tasks: int
    tasks_done: int
    needed: int
    """Judgments needed in all: the sum of the tasks' overlaps."""
    done: int


_COLUMNS = "id, name, settings, paused, tasks, tasks_done, needed, done"


def _project(row: Any) -> Project:
    settings = {**SETTINGS, **json.loads(row.settings)}
    return Project(row.id, row.name, settings, bool(row.paused), row.tasks, row.tasks_done, row.needed, row.done)


def find_project(tx: Tx, name: str) -> Project:
    """The project with this name; NotThere names the nearest one there is."""
    row = tx.one(f"SELECT {_COLUMNS} FROM projects WHERE name = :name", name=name)
    if row is None:
        names = [r.name for r in tx.all("SELECT name FROM projects ORDER BY name")]
        hint = nearest(name, names) or (f"; there are: {', '.join(names[:8])}" if names else "; load tasks first")
        raise NotThere(f"there is no project '{name}'{hint}")
    return _project(row)


def all_projects(tx: Tx) -> list[Project]:
    """Every project, by name."""
    return [_project(row) for row in tx.all(f"SELECT {_COLUMNS} FROM projects ORDER BY name")]


def make_project(tx: Tx, name: str, actor: str = "") -> Project:
    """The project with this name, made if it is not there."""
    if not name.strip() or len(name) > 100 or not name.isprintable() or "/" in name:
        raise BadInput(f"a project's name is 1 to 100 printable characters without '/', not {name!r}")
    if tx.value("SELECT 1 FROM projects WHERE name = :name", name=name) is None:
        made = tx.run(
            "INSERT INTO projects (id, name, settings) VALUES (:id, :name, '{}') ON CONFLICT (name) DO NOTHING",
            id=tx.reserve("projects", 1),
            name=name,
        )
        if made:
            project = find_project(tx, name)
            ledger.take(tx, project.id).append("create", actor, [ledger.settings_row(name, "{}")])
    return find_project(tx, name)


def change_settings(tx: Tx, project: Project, changes: dict[str, Any], actor: str = "") -> None:
    """Set some of a project's settings; an unknown one is BadInput."""
    for key in changes:
        if key not in SETTINGS:
            raise BadInput(f"a project has no setting '{key}'{nearest(key, SETTINGS)}")
    chain = ledger.take(tx, project.id)
    latest = find_project(tx, project.name).settings  # read with the chain held: others change settings too
    settings = json.dumps({**latest, **changes}, sort_keys=True, ensure_ascii=False)
    tx.run("UPDATE projects SET settings = :settings WHERE id = :id", settings=settings, id=project.id)
    chain.append("settings", actor, [ledger.settings_row(project.name, settings)])


def pause(tx: Tx, project: Project, paused: bool, actor: str = "") -> None:
    """Stop or go on handing out tasks; what people hold they may still submit."""
    chain = ledger.take(tx, project.id)
    tx.run("UPDATE projects SET paused = :paused WHERE id = :id", paused=int(paused), id=project.id)
    chain.append("pause" if paused else "resume", actor, [])


def guideline_language(path: Path) -> str:
    """The language a guideline file is in, by its name: guidelines.zh.md is zh, guidelines.md is en."""
    parts = path.name.split(".")
    return parts[-2] if len(parts) > 2 and len(parts[-2]) == 2 else "en"


def set_guidelines(tx: Tx, project: Project, texts: dict[str, str], actor: str = "") -> str:
    """Make these texts (by language) the newest guidelines; returns their version, a hash of the texts."""
    version = content_id("guidelines", texts)[:12]
    chain = ledger.take(tx, project.id)
    if tx.value(
        "SELECT 1 FROM guidelines WHERE project = :project AND version = :version LIMIT 1",
        project=project.id,
        version=version,
    ):
        tx.run(
            "UPDATE guidelines SET at_ms = :now WHERE project = :project AND version = :version",
            now=tx.now(),
            project=project.id,
            version=version,
        )
        chain.append("guidelines", actor, [], version=version)
        return version
    rows = []
    for language, text in sorted(texts.items()):
        tx.run(
            "INSERT INTO guidelines (project, version, language, text, at_ms)"
            " VALUES (:project, :version, :language, :text, :now)",
            project=project.id,
            version=version,
            language=language,
            text=text,
            now=tx.now(),
        )
        rows.append(ledger.guideline_row(version, language, text))
    chain.append("guidelines", actor, rows, version=version)
    return version


def guidelines(tx: Tx, project: int) -> tuple[str | None, dict[str, str]]:
    """The newest guidelines: their version (None when there are none) and their texts by language."""
    version = tx.value(
        "SELECT version FROM guidelines WHERE project = :project ORDER BY at_ms DESC, version LIMIT 1", project=project
    )
    rows = tx.all(
        "SELECT language, text FROM guidelines WHERE project = :project AND version = :version",
        project=project,
        version=version,
    )
    return version, {row.language: row.text for row in rows}


def out_of_reach(tx: Tx, project: Project, limit: int = 1000) -> list[str]:
    """Tasks (their ids) with an open slot that no active member is left to fill."""
    people = "SELECT m.annotator, p.languages FROM members m JOIN people p ON p.id = m.annotator"
    members = tx.all(people + " WHERE m.project = :project AND p.active = 1", project=project.id)
    speaks = {row.annotator: {"", *json.loads(row.languages)} for row in members}
    if not speaks:
        left = "SELECT task FROM tasks WHERE project = :project AND open > 0 ORDER BY id LIMIT :limit"
        return [row.task for row in tx.all(left, project=project.id, limit=limit)]
    used: dict[int, set[str]] = {}
    # Only a task whose users come near the number of members can be out of reach.
    busy = tx.all(
        "SELECT task, annotator FROM ("
        " SELECT s.task, s.annotator FROM slots s JOIN tasks t ON t.id = s.task"
        "  WHERE t.project = :project AND t.open > 0 AND s.state > 0"
        " UNION SELECT x.task, x.annotator FROM passes x JOIN tasks t ON t.id = x.task"
        "  WHERE t.project = :project AND t.open > 0"
        " UNION SELECT a.task, a.annotator FROM authors a JOIN tasks t ON t.id = a.task"
        "  WHERE t.project = :project AND t.open > 0) u",
        project=project.id,
    )
    for row in busy:
        used.setdefault(row.task, set()).add(row.annotator)
    by_language: dict[str, int] = {}
    stuck = []
    for row in tx.stream(
        "SELECT t.id, t.task, t.open, l.language FROM tasks t JOIN lanes l ON l.id = t.lane"
        " WHERE t.project = :project AND t.open > 0 ORDER BY t.id",
        project=project.id,
    ):
        able = by_language.setdefault(row.language, sum(row.language in spoken for spoken in speaks.values()))
        out = sum(row.language in speaks.get(person, ()) for person in used.get(row.id, ()))
        if able - out < row.open:
            stuck.append(row.task)
            if len(stuck) >= limit:
                break
    return stuck
