"""What of a snapshot still counts: its tables without what was retracted, nor what was made from that.

    all_tasks, all_responses, all_judgments, all_ratings    as they were frozen
    tasks, responses, judgments, ratings                    what counts of them
    retracted           project, id, reason: each retracted record, and prompts and responses made from one
    gone_responses      task, gone: of tasks that stay, the ids of their retracted responses

A retracted prompt or task takes its judgments with it. A retracted response leaves its task's rankings and
`shown`, so that the others are compared as if it had never been there (as curate/frames.py does it); its text
is in no record. A judgment that superseded another and was then retracted does not bring the former back.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from curate.retracted import closure, without_text
from data.records import Retraction

if TYPE_CHECKING:
    from curate.engine import Connection

TABLES = ("tasks", "responses", "judgments", "ratings")
_BATCH = 10_000  # records in memory at a time

_LEFT = {
    "tasks": "SELECT t.* REPLACE (coalesce(b.record, t.record) AS record) FROM all_tasks t"
    " LEFT JOIN _blanked b USING (task) WHERE t.task NOT IN (SELECT task FROM _withdrawn)",
    "responses": "SELECT r.* REPLACE ((row_number() OVER (PARTITION BY task ORDER BY r.place) - 1)::INTEGER AS place)"
    " FROM all_responses r LEFT JOIN gone_responses g USING (task)"
    " WHERE task NOT IN (SELECT task FROM _withdrawn) AND NOT list_contains(coalesce(g.gone, []), r.response)",
    "judgments": "SELECT j.* REPLACE ("
    "  list_filter(list_transform(j.ranking, lambda tier: list_filter(tier, lambda one:"
    "   NOT list_contains(coalesce(g.gone, []), one))), lambda tier: len(tier) > 0) AS ranking,"
    "  list_filter(j.shown, lambda one: NOT list_contains(coalesce(g.gone, []), one)) AS shown)"
    " FROM all_judgments j LEFT JOIN gone_responses g USING (task)"
    " WHERE task NOT IN (SELECT task FROM _withdrawn)"
    " AND NOT EXISTS (SELECT 1 FROM retracted x WHERE x.project = j.project AND x.id = j.judgment)",
    "ratings": "SELECT s.* FROM all_ratings s LEFT JOIN gone_responses g USING (task)"
    " WHERE judgment IN (SELECT judgment FROM judgments) AND NOT list_contains(coalesce(g.gone, []), s.response)",
}


def read_retracted(con: "Connection") -> dict[str, dict[str, str]]:
    """Why each retracted record was, by project and id, with what was made from it, out of a snapshot's views."""
    taken: dict[str, list[Retraction]] = {}
    rows = con.execute('SELECT project, id, record, reason, "by" FROM retractions ORDER BY ALL').fetchall()
    for project, id_, record, reason, by in rows:
        taken.setdefault(project, []).append(Retraction(id=id_, record_id=record, reason=reason, by=by))
    return {project: closure(_records(con, project), own) for project, own in taken.items()}


def _records(con: "Connection", project: str) -> Iterator[str]:
    found = con.execute("SELECT record FROM all_tasks WHERE project = ?", [project])
    while rows := found.fetchmany(_BATCH):
        for (record,) in rows:
            yield record


def leave_out(con: "Connection", retracted: Mapping[str, Mapping[str, str]]) -> None:
    """Name what counts as tasks, responses, judgments and ratings; the tables or views all_tasks and so on are there.

    Args:
        retracted: why each retracted record was, by project and id, with what was made from it.
    """
    rows = ((project, id_, why) for project, own in sorted(retracted.items()) for id_, why in sorted(own.items()))
    _make(con, "retracted", ("project", "id", "reason"), rows)
    if not any(retracted.values()):
        con.execute("CREATE OR REPLACE TEMP TABLE gone_responses (task VARCHAR, gone VARCHAR[])")
        for name in TABLES:
            con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM all_{name}")
        return
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _withdrawn AS SELECT DISTINCT t.task FROM all_tasks t JOIN retracted x"
        " ON x.project = t.project AND x.id IN (t.task, t.prompt)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE gone_responses AS SELECT r.task, list(r.response ORDER BY r.response) AS gone"
        " FROM all_responses r JOIN all_tasks t USING (task) JOIN retracted x"
        " ON x.project = t.project AND x.id = r.response WHERE task NOT IN (SELECT task FROM _withdrawn) GROUP BY task"
    )
    found = con.execute("SELECT task, record, gone FROM all_tasks JOIN gone_responses USING (task)").fetchall()
    blanked = ((task, without_text(record, gone).decode()) for task, record, gone in found if record is not None)
    _make(con, "_blanked", ("task", "record"), blanked)
    for name in TABLES:
        con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {_LEFT[name]}")


def _make(con: "Connection", table: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A temporary table of text."""
    import pyarrow as pa

    from curate.engine import add_rows

    con.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({', '.join(f'{name} VARCHAR' for name in columns)})")
    made = [dict(zip(columns, row, strict=True)) for row in rows]
    if made:
        add_rows(con, table, pa.Table.from_pylist(made, schema=pa.schema([(name, pa.string()) for name in columns])))
