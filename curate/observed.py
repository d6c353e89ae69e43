"""What annotators said, as one long table: one row a judgment of a unit on a criterion.

    observed  criterion, unit, block, annotator, value, person, language, kind, guideline, month, tags

A unit is what was judged: an A/B task (first, tie, second, by the order in which the task lists its
responses), two responses of a ranking (the same three, by the order of their ids: that is as good as
drawn, so that agreement does not depend on how a task happens to list them), or a response under a
rating's criterion. A block is the prompt it belongs to: units of one prompt are not independent.
Only judgments that count are in it: repeats, gold, qualification, adjudication, superseded ones and
rules stay out.
"""

from typing import TYPE_CHECKING, NamedTuple

from curate.casting import MOST, cast_ballots
from curate.engine import number_names
from data.errors import NotEnough

if TYPE_CHECKING:
    from curate.engine import Connection

SIDES = ("first", "tie", "second")

_COUNTS = "counted AND NOT t.gold AND annotator_kind IN ('person', 'model')"


class Scale(NamedTuple):
    """The values of one criterion, in order: their names, and the numbers they stand for where they all are."""

    criterion: str
    names: list[str]
    numbers: list[float] | None
    ordered: bool
    """Whether the ordinal level is the natural one."""


class Repeats(NamedTuple):
    """Annotators who judged a unit more than once."""

    pairs: int
    """(unit, annotator) pairs with more than one judgment."""
    judgments: int
    left_out: int
    """Pairs left out, since no value was given most often."""


def observe_labels(con: "Connection", labels: str, order: list[str] | None = None) -> list[Scale]:
    """Name a plain table of labels (curate.tables.read_labels) as observed; its one criterion is 'value'.

    Args:
        order: the values in their order; by default numbers by size, else text by its characters.

    Raises:
        BadInput: the order does not name all values, or one twice.
    """
    from data.errors import BadInput, nearest

    rows = con.execute(f"SELECT id, name, number FROM {labels}_values ORDER BY id").fetchall()
    names = [str(row[1]) for row in rows]
    numbers = None if any(row[2] is None for row in rows) else [float(row[2]) for row in rows]
    value = "value"
    if order is not None:
        missing = [name for name in names if name not in order]
        if missing or len(set(order)) != len(order):
            hint = nearest(missing[0], order) if missing else ""
            fault = f"'{missing[0]}' of the table is not in it" if missing else "a value comes twice"
            raise BadInput(f"--values: {fault}{hint}")
        con.execute("CREATE OR REPLACE TEMP TABLE _order (id INTEGER, place INTEGER)")
        con.executemany("INSERT INTO _order VALUES (?, ?)", [[i, order.index(n)] for i, n in enumerate(names)])
        value = "(SELECT place FROM _order WHERE id = value)"
        placed = dict(zip(names, numbers or [], strict=False))
        numbers = [placed[n] for n in order] if set(order) == set(placed) else None
        names = order
    con.execute(
        f"CREATE OR REPLACE VIEW observed AS SELECT 'value' AS criterion, unit, unit AS block, annotator,"
        f" {value} AS value, TRUE AS person, NULL::VARCHAR AS language, NULL::VARCHAR AS kind,"
        f" NULL::VARCHAR AS guideline, NULL::VARCHAR AS month, []::VARCHAR[] AS tags FROM {labels}"
    )
    con.execute(f"CREATE OR REPLACE VIEW observed_annotators AS SELECT * FROM {labels}_annotators")
    con.execute(f"CREATE OR REPLACE VIEW observed_units AS SELECT * FROM {labels}_units")
    return [Scale("value", names, numbers, order is not None)]


def observe_comparisons(con: "Connection", table: str) -> list[Scale]:
    """Name a plain table of comparisons (curate.tables.read_comparisons) as observed; a unit is two items that met.

    Which of the two is called the first is drawn by a hash of their names, so that a strong item is not always it.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _met AS SELECT (row_number() OVER (ORDER BY a, b) - 1)::INTEGER AS id, a, b,"
        f" x.name || ' / ' || y.name AS name, md5(x.name || chr(0) || y.name) < '8' AS turned"
        f" FROM (SELECT DISTINCT least(item_a, item_b) AS a, greatest(item_a, item_b) AS b FROM {table})"
        f" JOIN {table}_items x ON x.id = a JOIN {table}_items y ON y.id = b"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE observed AS SELECT 'value' AS criterion, m.id AS unit, m.id AS block, annotator,"
        " CASE WHEN winner = 0 THEN 1 WHEN (winner = 1) = ((item_a = m.a) <> turned) THEN 0 ELSE 2 END AS value,"
        " TRUE AS person, NULL::VARCHAR AS language, NULL::VARCHAR AS kind, NULL::VARCHAR AS guideline,"
        f" NULL::VARCHAR AS month, []::VARCHAR[] AS tags FROM {table}"
        " JOIN _met m ON m.a = least(item_a, item_b) AND m.b = greatest(item_a, item_b)"
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW observed_annotators AS SELECT * FROM {table}_annotators")
    con.execute("CREATE OR REPLACE TEMP VIEW observed_units AS SELECT id, name FROM _met")
    return [Scale("value", list(SIDES), None, False)]


def observe_snapshot(con: "Connection", project: str, *, cast: int | None = None) -> list[Scale]:
    """Make observed from an opened snapshot (curate.frozen.open_snapshot); the criteria that were judged, by name.

    Args:
        cast: what curate.casting.cast_ballots returned, where it was called for this project.

    Raises:
        NotEnough: the project has no judgment that counts.
    """
    most = cast_ballots(con, project) if cast is None else cast
    number_names(con, "observed_annotators", [("cast_rows", "annotator")])
    facts = (
        "a.id AS annotator, annotator_kind = 'person' AS person, t.language, t.kind, c.guideline, c.month, t.tags"
        " FROM cast_rows c JOIN _asked t ON t.id = c.task JOIN observed_annotators a ON a.name = c.annotator"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _asked AS SELECT id, task, language, kind, tags, gold, ids, places,"
        " (dense_rank() OVER (ORDER BY prompt) - 1)::INTEGER AS block FROM cast_tasks"
    )
    couples = [(i, j) for i in range(1, most + 1) for j in range(i + 1, most + 1)]
    wide = 1 + len(couples)
    parts = [
        f"SELECT 'choice' AS criterion, c.task * {wide}::BIGINT AS unit, t.block,"
        f" (CASE t.places[win] WHEN 0 THEN 0 WHEN 1 THEN 2 ELSE 1 END)::INTEGER AS value, {facts}"
        f" WHERE {_COUNTS} AND NOT ranked AND len(t.ids) > 0 AND decided"
    ]
    parts += [
        f"SELECT 'ranking', c.task * {wide}::BIGINT + {place}, t.block,"
        f" CASE WHEN t{i} < t{j} THEN 0 WHEN t{i} > t{j} THEN 2 ELSE 1 END, {facts}"
        f" WHERE {_COUNTS} AND ranked AND t{i} > 0 AND t{j} > 0"
        for place, (i, j) in enumerate(couples, 1)
    ]
    con.execute(f"CREATE OR REPLACE TEMP TABLE observed AS {' UNION ALL '.join(parts)}")
    named = [f"SELECT id * {wide}::BIGINT AS id, task AS name FROM _asked"] + [
        f"SELECT id * {wide}::BIGINT + {place}, task || '/' || ids[{i}] || '/' || ids[{j}] FROM _asked"
        for place, (i, j) in enumerate(couples, 1)
    ]
    con.execute(f"CREATE OR REPLACE TEMP VIEW observed_units AS {' UNION ALL '.join(named)}")
    scales = [
        Scale(criterion, list(SIDES), None, False)
        for (criterion,) in con.execute("SELECT DISTINCT criterion FROM observed ORDER BY 1").fetchall()
    ]
    scales += _observe_ratings(con, facts, wide)
    if not scales:
        raise NotEnough(f"'{project}' has no judgment that counts yet; there is nothing to agree on")
    return scales


def _observe_ratings(con: "Connection", facts: str, wide: int) -> list[Scale]:
    """Add ratings to observed, the value being the place of the points among those that were given."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _given AS SELECT g.judgment, g.response, 'rating:' || g.criterion AS criterion,"
        " g.value FROM ratings g JOIN cast_rows c USING (judgment) JOIN _asked t ON t.id = c.task"
        f" WHERE {_COUNTS}"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _points AS SELECT criterion, value,"
        " (row_number() OVER (PARTITION BY criterion ORDER BY value) - 1)::INTEGER AS place,"
        " dense_rank() OVER (ORDER BY criterion) - 1 AS number FROM (SELECT DISTINCT criterion, value FROM _given)"
    )
    points: dict[str, list[int]] = {}
    for criterion, value in con.execute("SELECT criterion, value FROM _points ORDER BY number, place").fetchall():
        points.setdefault(criterion, []).append(value)
    if points:
        con.execute(
            "INSERT INTO observed SELECT p.criterion,"
            f" (SELECT count(*) * {wide} FROM cast_tasks)::BIGINT"
            f" + (c.task * {MOST}::BIGINT + list_position(t.ids, g.response) - 1) * {len(points)} + p.number,"
            f" t.block, p.place, {facts} JOIN _given g USING (judgment) JOIN _points p USING (criterion, value)"
            f" WHERE {_COUNTS} AND list_position(t.ids, g.response) IS NOT NULL"
        )
    return [Scale(c, [str(p) for p in given], [float(p) for p in given], True) for c, given in points.items()]


def settle_repeats(con: "Connection") -> Repeats:
    """Let each annotator speak once for a unit, in `observed`: by the value they gave most often, or not at all.

    Where two values were given equally often there is no telling which was meant, and the annotator's
    judgments of this unit are left out. `repeats` (unit, annotator, judgments, value) then has them all.
    """
    rows, units, annotators = _one(con, "count(*), max(unit) + 1, max(annotator) + 1", "observed")
    if units and units * annotators <= 1_000_000_000:
        last = units * annotators - 1
        distinct = _one(
            con, f"bit_count(bitstring_agg(unit::BIGINT * {annotators} + annotator, 0, {last}))", "observed"
        )[0]
    else:
        distinct = _one(con, "count(*)", "(SELECT DISTINCT unit, annotator FROM observed)")[0]
    if distinct == rows:
        return Repeats(0, 0, 0)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE repeats AS SELECT unit, annotator, sum(n)::BIGINT AS judgments,"
        " CASE WHEN count(*) FILTER (WHERE n = most) = 1 THEN min(value) FILTER (WHERE n = most) END AS value"
        " FROM (SELECT *, max(n) OVER (PARTITION BY unit, annotator) AS most FROM"
        " (SELECT unit, annotator, value, count(*) AS n FROM observed GROUP BY ALL))"
        " GROUP BY unit, annotator HAVING sum(n) > 1"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _settled AS SELECT o.* FROM observed o ANTI JOIN repeats USING (unit, annotator)"
        " UNION ALL BY NAME SELECT any_value(o.criterion) AS criterion, unit, annotator, any_value(o.block) AS block,"
        " any_value(r.value) AS value, any_value(o.person) AS person, any_value(o.language) AS language,"
        " any_value(o.kind) AS kind, min(o.guideline) AS guideline, min(o.month) AS month,"
        " any_value(o.tags) AS tags FROM observed o JOIN repeats r USING (unit, annotator) WHERE r.value IS NOT NULL"
        " GROUP BY unit, annotator"
    )
    views = _one(con, "count(*)", "information_schema.tables WHERE table_name = 'observed' AND table_type = 'VIEW'")[0]
    con.execute(f"DROP {'VIEW' if views else 'TABLE'} observed; ALTER TABLE _settled RENAME TO observed")
    return Repeats(*_one(con, "count(*), sum(judgments)::BIGINT, count(*) FILTER (WHERE value IS NULL)", "repeats"))


def _one(con: "Connection", what: str, source: str) -> tuple[int, ...]:
    row = con.execute(f"SELECT {what} FROM {source}").fetchone()
    assert row is not None
    return row
