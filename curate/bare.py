"""Judgments without a store: an export's audit/judgments.jsonl, or any file of such records, as a snapshot's views.

Tasks come from tasks.jsonl beside it, where it lies there; else a task is known by its id alone, its responses by
what was shown, and there is no language, tag or model to tell apart. What retractions.jsonl beside it names is
left out.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import BadInput

if TYPE_CHECKING:
    from curate.engine import Connection

PROJECT = "judgments"
"""The name under which the records of such a file are the one project."""
INSIDE = Path("audit", "judgments.jsonl")
_BATCH = 20_000

Refuse = Callable[[dict[str, Any]], None]


def bare_judgments(paths: Iterable[Path]) -> Path | None:
    """The file of judgments that the inputs name: one such file, or the folder of an export that holds it."""
    from data.jsonl import read_lines

    given = list(paths)
    if len(given) != 1:
        return None
    path = given[0] / INSIDE if given[0].is_dir() else given[0]
    if not path.is_file() or not path.name.endswith((".jsonl", ".jsonl.gz")):
        return None
    first = next(iter(read_lines(path)), None)
    is_one = (
        first is not None and isinstance(first.value, dict) and {"task_id", "annotator", "shown"} <= set(first.value)
    )
    return path if is_one else None


def open_judgments(con: "Connection", path: Path, refuse: Refuse) -> str:
    """Make the tables tasks, responses, judgments and ratings of a file of judgments; returns the project's name.

    Args:
        refuse: is told of each line that is no judgment: file, line, reason.

    Raises:
        BadInput: no line is a judgment.
    """
    from curate import unretracted
    from curate.frozen import MAKE

    con.execute(
        "CREATE OR REPLACE TEMP TABLE raw_judgments (judgment VARCHAR, task VARCHAR, project VARCHAR, state VARCHAR,"
        " supersedes VARCHAR, at_ms BIGINT, record VARCHAR)"
    )
    if not _load(con, "raw_judgments", path, "judgments", refuse):
        raise BadInput(f"{path}: no line is a judgment that can be read")
    tasks = path.with_name("tasks.jsonl")
    con.execute("CREATE OR REPLACE TEMP TABLE raw_tasks (task VARCHAR, project VARCHAR, record VARCHAR)")
    if tasks.is_file():
        _load(con, "raw_tasks", tasks, "tasks", refuse)
    for name in unretracted.TABLES:
        con.execute(f"CREATE OR REPLACE TEMP TABLE all_{name} AS {MAKE[name]}")
    con.execute(
        "INSERT INTO all_responses BY NAME SELECT task, response,"
        " (row_number() OVER (PARTITION BY task ORDER BY response) - 1) AS place"
        " FROM (SELECT DISTINCT task, unnest(shown) AS response FROM all_judgments"
        " WHERE task NOT IN (SELECT task FROM all_tasks))"
    )
    con.execute(
        "INSERT INTO all_tasks BY NAME SELECT DISTINCT task, ? AS project, task AS prompt, []::VARCHAR[] AS tags,"
        " FALSE AS gold FROM all_judgments WHERE task NOT IN (SELECT task FROM all_tasks)",
        [PROJECT],
    )
    unretracted.leave_out(con, {PROJECT: _retracted(path.with_name("retractions.jsonl"))})
    return PROJECT


def _retracted(path: Path) -> dict[str, str]:
    """Why each record was retracted, by id, out of an export's audit/retractions.jsonl; none where there is no file."""
    from data.jsonl import read_lines

    rows = (line.value for line in (read_lines(path) if path.is_file() else ()))
    return {
        str(row["record_id"]): str(row.get("reason")) for row in rows if isinstance(row, dict) and "record_id" in row
    }


def _load(con: "Connection", table: str, path: Path, what: str, refuse: Refuse) -> int:
    """Add each record of a file to a table as text; returns how many."""
    import pyarrow as pa
    from pydantic import ValidationError

    from curate.engine import add_rows
    from data.errors import one_line
    from data.jsonl import read_lines
    from data.records import Judgment, Task

    columns = [(name, pa.string()) for name in ("task", "project", "record")]
    if what == "judgments":
        columns += [
            ("judgment", pa.string()),
            ("state", pa.string()),
            ("supersedes", pa.string()),
            ("at_ms", pa.int64()),
        ]
    count = 0
    batch: list[dict[str, Any]] = []
    for line in read_lines(path):
        try:
            if line.problem:
                raise ValueError(line.problem)
            record = (Judgment if what == "judgments" else Task).model_validate(line.value)
        except (ValidationError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            refuse({"file": str(path), "line": line.number, "reason": one_line(f"no {what[:-1]}: {reason}", 200)})
            continue
        text = record.model_dump_json()
        if isinstance(record, Judgment):
            row = {"judgment": record.id, "task": record.task_id, "project": PROJECT, "state": "counted"}
            batch.append(row | {"supersedes": record.supersedes or "", "at_ms": None, "record": text})
        else:
            batch.append({"task": record.id, "project": PROJECT, "record": text})
        count += 1
        if len(batch) == _BATCH:
            add_rows(con, table, pa.Table.from_pylist(batch, schema=pa.schema(columns)))
            batch = []
    if batch:
        add_rows(con, table, pa.Table.from_pylist(batch, schema=pa.schema(columns)))
    return count
