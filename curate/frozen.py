"""A store frozen as Parquet: what it held at one moment, to compute from again and again.

    data/projects.parquet    project, settings, tasks, head_seq, head_hash (of the ledger)
    data/tasks.parquet       task, project, kind, prompt, language, tags, licence, gold, …, record
    data/responses.parquet   task, response, place, model, text, characters
    data/judgments.parquet   judgment, task, project, annotator, …, choice, ranking, shown, record
    data/ratings.parquet     judgment, task, response, criterion, value: one row a rating
    data/retractions.parquet project, id, record, reason, by: records taken back
    data/ledger.parquet      every event

All of it is read inside one read transaction through ADBC. No table holds a person's name. The
same store gives the same bytes: rows are sorted, and written by one writer in blocks of one size.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engine import pattern
from data.errors import BadInput, NotThere, StoreDown, one_line

if TYPE_CHECKING:
    from curate.engine import Connection
    from data.folder import Folder

TABLES = ("projects", "tasks", "responses", "judgments", "ratings", "retractions", "ledger")
_BLOCK = 50_000  # rows of a row group

# Every column is cast: ADBC's SQLite driver guesses types from the first rows, and takes a column
# that begins with many NULLs for whole numbers.
_READ = {
    "projects": (
        "SELECT CAST(name AS TEXT) AS project, CAST(settings AS TEXT) AS settings, CAST(tasks AS BIGINT) AS tasks,"
        " CAST(head_seq AS BIGINT) AS head_seq, CAST(head_hash AS TEXT) AS head_hash FROM projects ORDER BY name"
    ),
    "tasks": (
        "SELECT CAST(t.task AS TEXT) AS task, CAST(p.name AS TEXT) AS project, CAST(r.record AS TEXT) AS record"
        " FROM tasks t JOIN projects p ON p.id = t.project JOIN task_records r ON r.task = t.id"
    ),
    "judgments": (
        "SELECT CAST(j.id AS TEXT) AS judgment, CAST(t.task AS TEXT) AS task, CAST(p.name AS TEXT) AS project,"
        " CAST(j.state AS TEXT) AS state, CAST(coalesce(j.supersedes, '') AS TEXT) AS supersedes,"
        " CAST(j.at_ms AS BIGINT) AS at_ms, CAST(j.record AS TEXT) AS record"
        " FROM judgments j JOIN tasks t ON t.id = j.task JOIN projects p ON p.id = j.project"
    ),
    "retractions": (
        "SELECT CAST(p.name AS TEXT) AS project, CAST(x.id AS TEXT) AS id, CAST(x.record AS TEXT) AS record,"
        " CAST(x.reason AS TEXT) AS reason, CAST(x.actor AS TEXT) AS actor"
        " FROM retractions x JOIN projects p ON p.id = x.project"
    ),
    "ledger": (
        "SELECT CAST(p.name AS TEXT) AS project, CAST(l.seq AS BIGINT) AS seq, CAST(l.at_ms AS BIGINT) AS at_ms,"
        " CAST(l.kind AS TEXT) AS kind, CAST(l.actor AS TEXT) AS actor, CAST(l.rows AS TEXT) AS rows,"
        " CAST(l.detail AS TEXT) AS detail, CAST(l.prev AS TEXT) AS prev, CAST(l.hash AS TEXT) AS hash"
        " FROM ledger l JOIN projects p ON p.id = l.project"
    ),
}

# What each Parquet table is made of, from the tables above (named as there) once DuckDB holds them.
MAKE = {
    "projects": "SELECT * FROM raw_projects ORDER BY project",
    "tasks": """
        SELECT task, project, record->>'$.kind' AS kind, record->>'$.prompt.id' AS prompt,
            coalesce(record->>'$.language', record->>'$.prompt.language') AS language,
            coalesce(from_json(record->'$.prompt.tags', '["VARCHAR"]'), []) AS tags,
            record->>'$.prompt.licence' AS licence, record->>'$.prompt.source' AS source,
            coalesce((record->>'$.overlap')::INTEGER, 1) AS overlap,
            coalesce((record->>'$.priority')::INTEGER, 0) AS priority,
            coalesce(json_type(record, '$.gold') <> 'NULL', FALSE) AS gold, record
        FROM raw_tasks ORDER BY task""",
    "responses": """
        SELECT task, one->>'$.id' AS response, (place - 1)::INTEGER AS place, one->>'$.model' AS model,
            one->>'$.messages[#-1].content' AS text, length(one->>'$.messages[#-1].content')::INTEGER AS characters
        FROM (
            SELECT task, unnest(from_json(record->'$.responses', '["JSON"]')) AS one,
                generate_subscripts(from_json(record->'$.responses', '["JSON"]'), 1) AS place
            FROM raw_tasks
        ) ORDER BY task, place""",
    "judgments": """
        SELECT judgment, task, project, record->>'$.annotator' AS annotator,
            coalesce(record->>'$.annotator_kind', 'person') AS annotator_kind,
            coalesce(record->>'$.verdict', 'answered') AS verdict,
            coalesce(record->>'$.purpose', 'label') AS purpose, state,
            judgment IN (SELECT supersedes FROM raw_judgments WHERE state <> 'surplus') AS superseded,
            record->>'$.model' AS model, record->>'$.principle' AS principle,
            (record->>'$.sample_index')::INTEGER AS sample_index,
            record->>'$.guideline_version' AS guideline_version,
            record->>'$.submitted_at' AS submitted_at, at_ms,
            (record->>'$.active_seconds')::DOUBLE AS active_seconds,
            record->>'$.choice' AS choice, (record->>'$.strength')::INTEGER AS strength,
            (record->>'$.probability')::DOUBLE AS probability,
            from_json(record->'$.ranking', '[["VARCHAR"]]') AS ranking,
            coalesce(from_json(record->'$.shown', '["VARCHAR"]'), []) AS shown, record
        FROM raw_judgments ORDER BY judgment""",
    "ratings": """
        SELECT judgment, task, one.key AS response, point.key AS criterion, point.value::INTEGER AS value
        FROM raw_judgments, LATERAL json_each(record->'$.ratings') one, LATERAL json_each(one.value) point
        ORDER BY judgment, response, criterion""",
    "retractions": 'SELECT project, id, record, reason, actor AS "by" FROM raw_retractions ORDER BY project, id',
    "ledger": "SELECT * FROM raw_ledger ORDER BY project, seq",
}

_NO_RETRACTIONS = "SELECT '' AS project, '' AS id, '' AS record, '' AS reason, '' AS \"by\" WHERE FALSE"


def freeze(con: "Connection", url: str, folder: "Folder") -> dict[str, int]:
    """Write a store's tables to a folder as Parquet; returns the rows of each.

    Raises:
        StoreError: there is no store, or it does not answer.
        NotThere: it holds no project.
    """
    from data.store import open_store

    open_store(url, create=False).close()  # says what is wrong with it, and brings it up to date
    with _reading(url) as cursor:
        for name, sql in _READ.items():
            cursor.execute(sql)
            con.register("_stored", cursor.fetch_record_batch())
            con.execute(f"CREATE OR REPLACE TEMP TABLE raw_{name} AS SELECT * FROM _stored")
            con.unregister("_stored")
    heads = con.execute("SELECT project, head_seq, head_hash FROM raw_projects ORDER BY project").fetchall()
    if not heads:
        raise NotThere("this store holds no project yet; annotate.load makes one")
    folder.inputs["ledger"] = {project: {"seq": seq, "hash": head} for project, seq, head in heads}
    return {name: _write(con, sql, folder.path / "data" / f"{name}.parquet") for name, sql in MAKE.items()}


def _write(con: "Connection", sql: str, path: Path) -> int:
    """One query's answer as a Parquet file, in blocks of one size whatever the threads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    reader = con.sql(sql).to_arrow_reader(_BLOCK)
    rows = 0
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as out:
        waiting: list[Any] = []
        held = 0
        for batch in reader:
            waiting.append(batch)
            held += batch.num_rows
            while held >= _BLOCK:
                table = pa.Table.from_batches(waiting, reader.schema)
                out.write_table(table.slice(0, _BLOCK), row_group_size=_BLOCK)
                waiting, held = table.slice(_BLOCK).to_batches(), held - _BLOCK
                rows += _BLOCK
        if held or not rows:
            out.write_table(pa.Table.from_batches(waiting, reader.schema), row_group_size=_BLOCK)
    return rows + held


@contextmanager
def _reading(url: str) -> Iterator[Any]:
    """An ADBC cursor within one read transaction: all it reads is from the same moment."""
    if url.startswith("sqlite:"):
        import adbc_driver_sqlite.dbapi as driver

        from data.store import SQLITE_BUSY_S

        place = re.sub(r"^sqlite:/{0,3}", "", url, count=1).partition("?")[0]
    else:
        import adbc_driver_postgresql.dbapi as driver  # type: ignore[no-redef]

        place = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    try:
        with driver.connect(place) as connection, connection.cursor() as cursor:
            if url.startswith("sqlite:"):  # whoever closes it last locks it for a moment
                cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_S * 1000}")
            else:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield cursor
            connection.rollback()
    except driver.Error as error:
        raise StoreDown(f"the store does not answer ({one_line(str(error), 200)}); is it running?") from error


def open_snapshot(con: "Connection", folder: Path) -> dict[str, dict[str, Any]]:
    """Name a snapshot's tables as views (projects, tasks, responses, judgments, ratings, retractions, ledger).

    What was retracted, and what was made from it, is in none of tasks, responses, judgments and ratings; all_tasks
    and so on are as they were frozen (curate/unretracted.py).

    Returns:
        The ledger's head of each project: {"seq": …, "hash": …}.

    Raises:
        NotThere: no such folder, or one without a manifest.
        BadInput: it is no snapshot, or one of its files is not as it was written.
    """
    from curate import unretracted
    from data.manifest import read_manifest, verify_folder

    manifest = read_manifest(folder)
    if manifest.what != "snapshot":
        raise BadInput(
            f"{folder} is no snapshot but '{one_line(manifest.what, 40)}'; python -m curate.snapshot makes one"
        )
    if faults := verify_folder(folder):
        raise BadInput(f"{folder}: {faults[0]}; make the snapshot again")
    for name in TABLES:
        files = pattern(folder / "data" / f"{name}.parquet").replace("'", "''")
        own = f"all_{name}" if name in unretracted.TABLES else name
        source = f"SELECT * FROM read_parquet('{files}')"
        if name == "retractions" and not (folder / "data" / f"{name}.parquet").is_file():
            source = _NO_RETRACTIONS  # a snapshot from before they were frozen too
        con.execute(f"CREATE OR REPLACE TEMP VIEW {own} AS {source}")
    unretracted.leave_out(con, unretracted.read_retracted(con))
    heads: dict[str, dict[str, Any]] = manifest.inputs["ledger"]
    return heads


def choose_project(con: "Connection", project: str | None) -> str:
    """The project a command works on: the one named, or the only one; NotThere when that is not clear."""
    from data.errors import nearest

    known = [row[0] for row in con.execute("SELECT project FROM projects ORDER BY project").fetchall()]
    if project is None and len(known) == 1:
        return str(known[0])
    if project is None:
        raise NotThere(f"the snapshot holds {len(known)} projects; name one with --project: {', '.join(known)}")
    if project not in known:
        raise NotThere(
            f"there is no project '{project}' in this snapshot{nearest(project, known) or f'; it has: {known}'}"
        )
    return project
