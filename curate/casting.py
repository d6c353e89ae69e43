"""Judgments as ballots: one row each, in which every response of its task has a tier and the place it was shown at.

`cast_ballots` joins texts once, and from there on all are numbers: the agreement of a project, its pairs, its
rankings and its standings read the same two tables. The responses of a task are in the order of their ids, which
is as good as drawn, and are spoken of by their number in it.

    cast_tasks  id, task, prompt, language, kind, tags, gold, size, ids, places, models    (by task, from 0)
    cast_rows   judgment, task, annotator, annotator_kind, counted, ranked, decided, soft, win, guideline, month,
            s1, s2, … (shown as which, 0 not), t1, t2, … (tier, the best is 1, 0 unplaced)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.engine import Connection

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST = 9  # responses of a task


class Ballots(NamedTuple):
    """Judgments that compare responses, a row each; tasks and annotators without one are not in it."""

    tasks: list[str]
    """By id."""
    start: "Ints"
    """Where each task's responses begin among `responses`; last how many there are."""
    responses: list[str]
    """By task, then by id."""
    place: "Ints"
    """Of each response, where its task lists it, from 0."""
    models: list[str | None]
    annotators: list[str]
    kinds: list[str]
    """Of each annotator: person, model or rule."""
    task: "Ints"
    annotator: "Ints"
    tier: "Ints"
    """Ballots x places within the task: 1 is best, 0 unplaced."""
    shown: "Ints"
    """Ballots x places within the task: as which it was shown, from 1; 0 where that is not known."""
    soft: "Floats"
    """Probability that what was shown first is better, where the ballot is a soft label; else NaN."""

    @property
    def sizes(self) -> "Ints":
        """How many responses each task has."""
        import numpy as np

        return np.diff(self.start)


def cast_ballots(con: "Connection", project: str, criterion: str | None = None) -> int:
    """Make `cast_tasks` and `cast_rows` out of a snapshot's views; returns the most responses a task has.

    Args:
        con: with the views that curate.frozen.open_snapshot makes.
        criterion: place rated responses by their rating on it; None leaves ratings unplaced.
    """
    con.execute(
        """CREATE OR REPLACE TEMP TABLE cast_tasks AS
        SELECT (row_number() OVER (ORDER BY t.task) - 1)::INTEGER AS id, t.task, t.prompt, t.language, t.kind, t.tags,
            t.gold, len(r.made)::INTEGER AS size, list_transform(r.made, lambda x: x.response) AS ids,
            list_transform(r.made, lambda x: x.place) AS places, list_transform(r.made, lambda x: x.model) AS models
        FROM tasks t JOIN (SELECT task, list_sort(list({'response': response, 'place': place, 'model': model})) AS made
            FROM responses GROUP BY task) r USING (task)
        WHERE t.project = ?""",
        [project],
    )
    row = con.execute("SELECT coalesce(max(size), 0) FROM cast_tasks").fetchone()
    assert row is not None
    most = int(row[0])
    rated, points = "", "0"
    if criterion is not None:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE _rated AS SELECT judgment, max(value) AS best,"
            " map(list(response), list(value)) AS given FROM ratings WHERE criterion = ? GROUP BY judgment",
            [criterion],
        )
        rated, points = "LEFT JOIN _rated g USING (judgment)", "coalesce(g.best - g.given[t.ids[{k}]] + 1, 0)"
    shown, tiers = [], []
    for k in range(1, most + 1):
        at = f"list_position(j.shown, t.ids[{k}])"
        shown.append(f"coalesce({at}, 0)::SMALLINT AS s{k}")
        tiers.append(
            f"coalesce(CASE WHEN ranking IS NOT NULL"
            f" THEN list_position(list_transform(ranking, lambda tier: list_contains(tier, t.ids[{k}])), TRUE)"
            f" WHEN side IS NOT NULL THEN CASE side WHEN 1 THEN {at} WHEN 2 THEN 3 - {at} ELSE {at} * 0 + 1 END"
            f" ELSE {points.format(k=k)} END, 0)::SMALLINT AS t{k}"
        )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE cast_rows AS SELECT j.judgment, t.id AS task, j.annotator, j.annotator_kind,"
        " j.counted, j.ranking IS NOT NULL AS ranked, j.side IS NOT NULL AS decided, j.soft,"
        " list_position(t.ids, j.shown[side]) AS win,"
        f" j.guideline, j.month{''.join(f', {one}' for one in [*shown, *tiers])}"
        " FROM (SELECT judgment, task, annotator, annotator_kind, state = 'counted' AS counted, ranking, shown,"
        "   CASE WHEN ranking IS NULL AND len(shown) = 2 THEN probability END AS soft,"
        "   CASE WHEN ranking IS NOT NULL OR len(shown) <> 2 OR (choice IS NULL AND probability IS NULL) THEN NULL"
        "     WHEN coalesce(choice = 'A', probability > 0.5) THEN 1"
        "     WHEN coalesce(choice = 'B', probability < 0.5) THEN 2 ELSE 0 END AS side,"
        "   guideline_version AS guideline,"
        "   coalesce(left(submitted_at, 7), strftime(make_timestamp(at_ms * 1000), '%Y-%m')) AS month"
        "   FROM judgments WHERE project = ? AND state NOT IN ('surplus', 'returned') AND NOT superseded"
        "   AND verdict = 'answered' AND purpose IN ('label', 'import')) j"
        f" JOIN cast_tasks t USING (task) {rated}",
        [project],
    )
    return most


def ballots(con: "Connection", most: int, kinds: Sequence[str]) -> Ballots:
    """The ballots of annotators of these kinds that place at least two responses, in no particular order.

    Args:
        most: what `cast_ballots` returned.
        kinds: person, model, rule.
    """
    import numpy as np

    placed = " + ".join([f"(t{k} > 0)::INTEGER" for k in range(1, most + 1)] or ["0"])
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW _used AS SELECT * FROM cast_rows WHERE {placed} > 1"
        f" AND annotator_kind IN ({', '.join(repr(kind) for kind in sorted({'person', 'model', 'rule'} & set(kinds)))}"
        ", '')"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE voters AS SELECT (row_number() OVER (ORDER BY annotator) - 1)::INTEGER AS id,"
        " annotator, min(annotator_kind) AS kind FROM _used GROUP BY annotator"
    )
    columns = ", ".join(f"s{k}, t{k}" for k in range(1, most + 1))
    found = con.execute(
        f"SELECT task, v.id AS annotator, soft{', ' * bool(columns)}{columns}"
        " FROM _used JOIN voters v USING (annotator)"
    ).fetchnumpy()
    judged = np.asarray(found["task"], dtype=np.int64)
    there = np.bincount(judged, minlength=1) > 0
    listed: Any = con.sql(
        "SELECT task, ids, places, models FROM cast_tasks WHERE id IN (SELECT task FROM _used) ORDER BY id"
    ).to_arrow_table()
    voters = con.execute("SELECT annotator, kind FROM voters ORDER BY id").fetchall()
    lists = [listed[name].combine_chunks() for name in ("ids", "places", "models")]
    sizes = np.asarray(lists[0].value_lengths(), dtype=np.int64)
    rows = len(judged)
    empty = np.zeros((rows, 0), dtype=np.int64)
    tier, shown = (
        np.stack([np.asarray(found[f"{letter}{k}"], dtype=np.int64) for k in range(1, most + 1)], axis=1)
        if most
        else empty
        for letter in "ts"
    )
    soft = found["soft"]
    return Ballots(
        listed["task"].to_pylist(),
        np.concatenate([[0], np.cumsum(sizes)]),
        lists[0].flatten().to_pylist(),
        np.asarray(lists[1].flatten(), dtype=np.int64),
        lists[2].flatten().to_pylist(),
        [a for a, _ in voters],
        [k for _, k in voters],
        (np.cumsum(there) - 1)[judged],
        np.asarray(found["annotator"], dtype=np.int64),
        tier,
        shown,
        np.ma.filled(np.ma.asarray(soft, dtype=np.float64), np.nan),
    )
