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

from curate.engine import number_names
from data.errors import NotEnough

if TYPE_CHECKING:
    from curate.engine import Connection

SIDES = ("first", "tie", "second")

_COUNTS = (
    "j.state = 'counted' AND NOT j.superseded AND j.verdict = 'answered' AND j.purpose IN ('label', 'import')"
    " AND NOT t.gold AND j.annotator_kind IN ('person', 'model')"
)
_WINNER = (
    "CASE WHEN choice = 'A' OR (choice IS NULL AND probability > 0.5) THEN shown[1]"
    " WHEN choice = 'B' OR (choice IS NULL AND probability < 0.5) THEN shown[2] END"
)


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
    return [Scale("value", names, numbers, order is not None)]


def observe_snapshot(con: "Connection", project: str) -> list[Scale]:
    """Make observed from an opened snapshot (curate.frozen.open_snapshot); the criteria that were judged, by name.

    Raises:
        NotEnough: the project has no judgment that counts.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _usable AS SELECT j.judgment, j.task, j.annotator, j.choice, j.probability,"
        " j.ranking, j.shown, t.prompt, j.annotator_kind = 'person' AS person, t.language, t.kind, t.tags,"
        " j.guideline_version AS guideline,"
        " coalesce(left(j.submitted_at, 7), strftime(make_timestamp(j.at_ms * 1000), '%Y-%m')) AS month"
        f" FROM judgments j JOIN tasks t USING (task) WHERE j.project = ? AND {_COUNTS}",
        [project],
    )
    facts = "u.prompt, u.annotator, u.person, u.language, u.kind, u.guideline, u.month, u.tags"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE placed AS SELECT u.judgment, u.task, r.response, r.place, t.tier, "
        + facts
        + " FROM ("
        " SELECT judgment, unnest(tiers) AS ids, generate_subscripts(tiers, 1) AS tier FROM"
        " (SELECT judgment, ranking AS tiers FROM _usable WHERE ranking IS NOT NULL)"
        ") t JOIN _usable u USING (judgment) JOIN responses r ON r.task = u.task AND list_contains(t.ids, r.response)"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE _said AS SELECT 'choice' AS criterion, u.task AS name,"
        f" CASE WHEN r.place = 0 THEN 0 WHEN r.place = 1 THEN 2 ELSE 1 END AS value, {facts} FROM _usable u"
        f" LEFT JOIN responses r ON r.task = u.task AND r.response = {_WINNER}"
        " WHERE u.ranking IS NULL AND len(u.shown) = 2 AND (u.choice IS NOT NULL OR u.probability IS NOT NULL)"
        " UNION ALL BY NAME"
        " SELECT 'ranking' AS criterion, a.task || '/' || a.response || '/' || b.response AS name,"
        " CASE WHEN a.tier < b.tier THEN 0 WHEN a.tier > b.tier THEN 2 ELSE 1 END AS value,"
        " a.prompt, a.annotator, a.person, a.language, a.kind, a.guideline, a.month, a.tags"
        " FROM placed a JOIN placed b ON a.judgment = b.judgment AND a.response < b.response"
        " UNION ALL BY NAME"
        f" SELECT 'rating:' || g.criterion AS criterion, g.task || '/' || g.response || '/' || g.criterion AS name,"
        f" g.value, {facts} FROM ratings g JOIN _usable u USING (judgment)"
    )
    number_names(con, "observed_annotators", [("_said", "annotator")])
    number_names(con, "_units", [("_said", "name")])
    number_names(con, "_blocks", [("_said", "prompt")])
    scales = []
    for (criterion,) in con.execute("SELECT DISTINCT criterion FROM _said ORDER BY 1").fetchall():
        if not criterion.startswith("rating:"):
            scales.append(Scale(criterion, list(SIDES), None, False))
            continue
        points = con.execute("SELECT DISTINCT value FROM _said WHERE criterion = ? ORDER BY 1", [criterion]).fetchall()
        scales.append(Scale(criterion, [str(p) for (p,) in points], [float(p) for (p,) in points], True))
    if not scales:
        raise NotEnough(f"'{project}' has no judgment that counts yet; there is nothing to agree on")
    con.execute("CREATE OR REPLACE TEMP TABLE _points (criterion VARCHAR, value INTEGER, place INTEGER)")
    places = [(s.criterion, int(n), i) for s in scales if s.numbers for i, n in enumerate(s.names)]
    if places:
        con.executemany("INSERT INTO _points VALUES (?, ?, ?)", places)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE observed AS SELECT s.criterion, u.id AS unit, b.id AS block, a.id AS annotator,"
        " coalesce(p.place, s.value)::INTEGER AS value, s.person, s.language, s.kind, s.guideline, s.month, s.tags"
        " FROM _said s JOIN _units u ON u.name = s.name JOIN _blocks b ON b.name = s.prompt"
        " JOIN observed_annotators a ON a.name = s.annotator"
        " LEFT JOIN _points p ON p.criterion = s.criterion AND p.value = s.value"
    )
    con.execute("DROP TABLE _said; DROP TABLE _usable")
    return scales


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
