"""Kendall's W of the rankings in a snapshot: one W for each prompt's task, and their mean with intervals.

Tasks whose rankings are the same up to who gave them are one pattern, so each is computed once.
"""

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

from curate.agree import SLICES, WHO, Question, row_of, seed_of
from data.concordance import Ranks, mean_concordance

if TYPE_CHECKING:
    from curate.engine import Connection


def rankings_agree(con: "Connection", question: Question) -> list[dict[str, Any]]:
    """Rows of Kendall's W for people and for models, overall and by slice, from the table `placed`.

    An annotator who ranked a task more than once is left out of it.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _ranked AS SELECT * FROM placed ANTI JOIN (SELECT task, annotator FROM placed"
        " GROUP BY task, annotator HAVING count(DISTINCT judgment) > 1) USING (task, annotator)"
    )
    rows = []
    for who, sql in WHO.items():
        about = {"criterion": "ranking", "who": who, "resampled": "prompts"}
        for part, key in (("all", "''"), *((name, name) for name in SLICES)):
            of = "(SELECT *, unnest(tags) AS tag FROM _ranked)" if part == "tag" else "_ranked"
            for value, sets in _sets(con, f"(SELECT *, {key} AS key FROM {of} WHERE {sql})").items():
                named = {**about, "slice": part, "key": value, "left_out": None}
                seed = seed_of(question.seed, named)
                found = mean_concordance(
                    list(sets.items()), replicates=question.replicates, seed=seed, confidence=question.confidence
                )
                rows.append(row_of("kendall_w", found, None, named, question))
    con.execute("DROP TABLE _ranked")
    return rows


def _sets(con: "Connection", source: str) -> dict[str, Counter[Ranks]]:
    """For each slice the distinct sets of rankings, ranks in the order in which the task lists its responses."""
    fetched = con.execute(
        "SELECT s.key, s.task, s.judgment, list(coalesce(p.tier, -1) ORDER BY r.place) AS ranks"
        f" FROM (SELECT DISTINCT key, task, judgment FROM {source} WHERE key IS NOT NULL) s"
        " JOIN responses r ON r.task = s.task"
        " LEFT JOIN placed p ON p.judgment = s.judgment AND p.place = r.place GROUP BY ALL ORDER BY 1, 2, 3"
    ).fetchall()
    found: dict[str, Counter[Ranks]] = {}
    for (key, _), rows in groupby(fetched, key=lambda row: (row[0], row[1])):
        ranks: Ranks = tuple(sorted(tuple(row[3]) for row in rows))
        found.setdefault(key, Counter())[ranks] += 1
    return found
