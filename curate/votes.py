"""Votes out of judgments and of plain tables, as arrays of numbers: who said what of which two responses.

A vote on two responses is coded by the side that was shown first. Several judgments of one annotator on
the same two responses (a model judge gives one for each principle, order and sample) share the weight of
one vote, so that asking often outweighs nobody. Rows come sorted, so their order in the input is lost.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.engine import Connection

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


class PairVotes(NamedTuple):
    """One row for each vote on two things, sorted; things of a pair are in a fixed order of their own."""

    pair: "Ints"
    annotator: "Ints"
    turned: "Bools"
    """Whether the second of the pair was shown first."""
    share: "Floats"
    """How far the first of the pair was preferred: 1, 0, ½ for a tie, a probability for a soft label."""
    tie: "Bools"
    weight: "Floats"
    """Weights of one annotator's votes on one pair sum to 1."""
    spread: "Ints"
    """How many pairs the judgment compared: across models it has the weight of one of them."""


class Pairs(NamedTuple):
    """The pairs that were compared, by number."""

    group: list[str]
    """Task id; empty in plain tables."""
    first: list[str]
    second: list[str]


class Choices(NamedTuple):
    """Rankings as choices among the responses of a task; see `data.rankings`."""

    tasks: list[str]
    sizes: "Ints"
    task: "Ints"
    available: "Ints"
    chosen: "Ints"
    weight: "Floats"


class Labels(NamedTuple):
    """Labels of a plain table, sorted; a repeated (unit, annotator) shares one vote's weight."""

    unit: "Ints"
    annotator: "Ints"
    value: "Ints"
    weight: "Floats | None"
    """None where all are 1."""
    units: list[str]
    annotators: list[str]
    values: list[str]
    repeated: int
    """Labels beyond the first of an annotator on a unit."""


@contextmanager
def opened(con: "Connection", snapshot: Path | None, store: str) -> Iterator[dict[str, dict[str, Any]]]:
    """A snapshot's tables as views: of the folder named, or of the store as it is now. Gives the ledger heads."""
    from curate.frozen import freeze, open_snapshot
    from data.folder import write_folder

    if snapshot is not None:
        yield open_snapshot(con, snapshot)
        return
    with tempfile.TemporaryDirectory(prefix="concord-snapshot-") as place:
        frozen = Path(place, "snapshot")
        with write_folder(frozen, "snapshot", {}) as folder:
            freeze(con, store, folder)
        yield open_snapshot(con, frozen)


def compare(con: "Connection", project: str, kinds: Sequence[str], criterion: str | None) -> None:
    """Make the tables `used`, `placed`, `compared` and `voters` of a project's judgments.

    Args:
        kinds: annotator kinds that count: person, model, rule.
        criterion: order rated responses by their rating on it; None leaves ratings out.
    """
    con.execute(
        """CREATE OR REPLACE TEMP TABLE used AS
        SELECT (row_number() OVER (ORDER BY judgment) - 1)::INTEGER AS number, judgment, task, annotator,
            annotator_kind AS kind, choice, probability, ranking, shown,
            ranking IS NULL AND probability IS NOT NULL AND len(shown) = 2 AS soft
        FROM judgments WHERE project = ? AND state NOT IN ('surplus', 'returned') AND NOT superseded
            AND verdict = 'answered' AND purpose IN ('label', 'import') AND list_contains(?, annotator_kind)""",
        [project, list(kinds)],
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE placed AS
        SELECT number, unnest(ranking[tier]) AS response, tier FROM (
            SELECT number, ranking, unnest(generate_series(1, len(ranking))) AS tier FROM used
            WHERE ranking IS NOT NULL)
        UNION ALL
        SELECT number, unnest(shown), unnest(CASE choice WHEN 'A' THEN [1, 2] WHEN 'B' THEN [2, 1] ELSE [1, 1] END)
        FROM used WHERE ranking IS NULL AND NOT soft AND choice IS NOT NULL AND len(shown) = 2
        UNION ALL
        SELECT number, response, -value FROM used JOIN ratings USING (judgment)
        WHERE criterion = ? AND ranking IS NULL AND NOT soft AND choice IS NULL""",
        [criterion],
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE compared AS
        SELECT u.number, u.task, u.annotator, a.response AS first, b.response AS second,
            coalesce(list_position(u.shown, b.response) < list_position(u.shown, a.response), FALSE) AS turned,
            CASE WHEN a.tier < b.tier THEN 1.0::DOUBLE WHEN a.tier > b.tier THEN 0.0 ELSE 0.5 END AS share,
            a.tier = b.tier AS tie
        FROM placed a JOIN placed b ON a.number = b.number AND a.response < b.response
            JOIN used u ON u.number = a.number
        UNION ALL
        SELECT number, task, annotator, least(shown[1], shown[2]), greatest(shown[1], shown[2]),
            shown[1] > shown[2], CASE WHEN shown[1] > shown[2] THEN 1 - probability ELSE probability END, FALSE
        FROM used WHERE soft"""
    )
    con.execute("CREATE OR REPLACE TEMP TABLE ids AS SELECT DISTINCT annotator FROM compared")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE voters AS SELECT (row_number() OVER (ORDER BY annotator) - 1)::INTEGER AS id,"
        " annotator, (SELECT min(kind) FROM used WHERE used.annotator = ids.annotator) AS kind FROM ids"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE duels AS SELECT (row_number() OVER (ORDER BY task, first, second) - 1)::INTEGER"
        " AS pair, task, first, second FROM (SELECT DISTINCT task, first, second FROM compared)"
    )


def pair_votes(con: "Connection") -> tuple[Pairs, PairVotes]:
    """The pairs and votes of the tables that `compare` made."""
    duels = con.execute("SELECT task, first, second FROM duels ORDER BY pair").fetchall()
    columns = con.execute(
        """SELECT pair::BIGINT AS pair, v.id::BIGINT AS annotator, turned, share, tie,
            1.0::DOUBLE / count(*) OVER (PARTITION BY pair, v.id) AS weight,
            count(*) OVER (PARTITION BY number) AS spread
        FROM compared c JOIN duels USING (task, first, second) JOIN voters v USING (annotator)
        ORDER BY pair, v.id, turned, share, tie, spread"""
    ).fetchnumpy()
    names = list(zip(*duels, strict=True)) or [(), (), ()]
    return Pairs(*(list(column) for column in names)), PairVotes(**columns)


def choices_of(con: "Connection") -> Choices:
    """Rankings as choices, of the tables that `compare` made; soft labels are choices in part."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE played AS SELECT (row_number() OVER (ORDER BY task) - 1)::INTEGER AS id, task,"
        " n FROM (SELECT task, count(*) AS n FROM responses WHERE task IN (SELECT task FROM duels) GROUP BY task)"
    )
    tasks = con.execute("SELECT task, n FROM played ORDER BY id").fetchall()
    columns = con.execute(
        """WITH tiers AS (
            SELECT p.number, p.tier, sum(1 << r.place)::BIGINT AS mask FROM placed p JOIN used u USING (number)
                JOIN responses r ON r.task = u.task AND r.response = p.response GROUP BY p.number, p.tier),
        staged AS (
            SELECT number, mask AS chosen, sum(mask) OVER (PARTITION BY number)::BIGINT AS whole,
                sum(mask) OVER (PARTITION BY number ORDER BY tier ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
                )::BIGINT AS available, 1.0::DOUBLE AS part FROM tiers),
        soft AS (
            SELECT u.number, r.response = u.shown[1] AS leads, 1::BIGINT << r.place AS mask, u.probability AS p
            FROM used u JOIN responses r ON r.task = u.task AND list_contains(u.shown, r.response) WHERE u.soft),
        made AS (
            SELECT * FROM staged UNION ALL
            SELECT number, mask, sum(mask) OVER (PARTITION BY number)::BIGINT AS whole, whole,
                CASE WHEN leads THEN p ELSE 1 - p END FROM soft),
        often AS (
            SELECT u.task, u.annotator, b.whole, count(DISTINCT b.number) AS n
            FROM made b JOIN used u USING (number) GROUP BY u.task, u.annotator, b.whole)
        SELECT t.id::BIGINT AS task, b.available, b.chosen, b.part / o.n AS weight
        FROM made b JOIN used u USING (number) JOIN played t ON t.task = u.task
            JOIN often o ON o.task = u.task AND o.annotator = u.annotator AND o.whole = b.whole
        WHERE bit_count(b.available) > 1 AND b.part > 0
        ORDER BY t.id, b.available, b.chosen, weight"""
    ).fetchnumpy()
    import numpy as np

    sizes = np.array([n for _, n in tasks], dtype=np.int64)
    return Choices([task for task, _ in tasks], sizes, **columns)


def voters(con: "Connection") -> tuple[list[str], list[str]]:
    """Ids and kinds of the annotators of `compare`, by number."""
    rows = con.execute("SELECT annotator, kind FROM voters ORDER BY id").fetchall()
    return [a for a, _ in rows], [k for _, k in rows]


def labels_of(con: "Connection", table: str) -> Labels:
    """The labels of a plain table that `curate.tables.read_labels` made."""
    columns = con.execute(
        f"SELECT unit, annotator, value, count(*)::INTEGER AS n FROM {table} GROUP BY ALL"
        " ORDER BY unit, annotator, value"
    ).fetchnumpy()
    import numpy as np

    unit, annotator, value, n = (columns[name] for name in ("unit", "annotator", "value", "n"))
    again = np.flatnonzero(np.append(True, (unit[1:] != unit[:-1]) | (annotator[1:] != annotator[:-1])))
    whole = np.add.reduceat(n, again)
    repeated = int(whole.sum() - len(again))
    weight = None
    if repeated:
        sizes = np.diff(np.append(again, len(unit)))
        weight = n / np.repeat(whole, sizes)
    units, people, values = (names_of(con, f"{table}_{part}") for part in ("units", "annotators", "values"))
    return Labels(unit, annotator, value, weight, units, people, values, repeated)


def names_of(con: "Connection", table: str) -> list[str]:
    """The names of a table (id, name) by number."""
    return [str(row[0]) for row in con.execute(f"SELECT name FROM {table} ORDER BY id").fetchall()]


def comparison_votes(con: "Connection", table: str) -> tuple[Pairs, PairVotes, list[str]]:
    """Pairs, votes and annotators of a plain table that `curate.tables.read_comparisons` made."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE met AS SELECT least(item_a, item_b) AS first,"
        " greatest(item_a, item_b) AS second,"
        f" annotator, item_a > item_b AS turned, winner, count(*) AS n FROM {table} GROUP BY ALL"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE duels AS"
        " SELECT (row_number() OVER (ORDER BY first, second) - 1)::INTEGER AS pair, first, second"
        " FROM (SELECT DISTINCT first, second FROM met)"
    )
    columns = con.execute(
        """SELECT pair::BIGINT AS pair, annotator::BIGINT AS annotator, turned,
            CASE WHEN winner = 0 THEN 0.5::DOUBLE WHEN (winner = 1) <> turned THEN 1.0 ELSE 0.0 END AS share,
            winner = 0 AS tie, n::DOUBLE / sum(n) OVER (PARTITION BY pair, annotator) AS weight, 1::BIGINT AS spread
        FROM met JOIN duels USING (first, second) ORDER BY pair, annotator, turned, share"""
    ).fetchnumpy()
    duels = con.execute(
        f"SELECT a.name, b.name FROM duels JOIN {table}_items a ON a.id = first JOIN {table}_items b ON b.id = second"
        " ORDER BY pair"
    ).fetchall()
    pairs = Pairs([""] * len(duels), [a for a, _ in duels], [b for _, b in duels])
    return pairs, PairVotes(**columns), names_of(con, f"{table}_annotators")
