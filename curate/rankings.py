"""Kendall's W of the rankings in a snapshot: one W for each prompt's task, and their mean with intervals.

Tasks whose rankings are the same up to who gave them are one pattern, so each is computed once.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from curate.agree import SLICED, SLICES, WHO, Question, row_of, seed_of
from data.concordance import Ranks, mean_concordance

if TYPE_CHECKING:
    from curate.engine import Connection


def rankings_agree(con: "Connection", question: Question) -> list[dict[str, Any]]:
    """Rows of Kendall's W for people and for models, overall and by slice, from what observe_snapshot cast.

    An annotator who ranked a task more than once is left out of it.
    """
    row = con.execute("SELECT coalesce(max(size), 0) FROM cast_tasks").fetchone()
    assert row is not None
    ranks = ", ".join(f"CASE WHEN t{k} > 0 THEN t{k} ELSE -1 END" for k in range(1, int(row[0]) + 1))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE _ranked AS SELECT task, person, language, kind, tags, guideline, month, ranks"
        " FROM (SELECT c.task, c.annotator_kind = 'person' AS person, t.language, t.kind, t.tags, c.guideline, c.month,"
        f" list_slice([{ranks}], 1, len(t.ids)) AS ranks,"
        " count(*) OVER (PARTITION BY c.task, c.annotator) AS often"
        " FROM cast_rows c JOIN cast_tasks t ON t.id = c.task"
        " WHERE c.ranked AND counted AND NOT t.gold AND annotator_kind IN ('person', 'model')) WHERE often = 1"
    )
    rows = []
    for who, sql in WHO.items():
        about = {"criterion": "ranking", "who": who, "resampled": "prompts"}
        for part, key in (("all", "''"), *((name, name) for name in SLICES)):
            of = "(SELECT *, unnest(tags) AS tag FROM _ranked)" if part == "tag" else "_ranked"
            for value, sets in _sets(con, f"(SELECT *, {key} AS key FROM {of} WHERE {sql})").items():
                named = {**about, "slice": part, "key": value, "left_out": None}
                seed = seed_of(question.seed, named)
                often = question.replicates if part == "all" else question.replicates // SLICED
                found = mean_concordance(
                    list(sets.items()), replicates=often, seed=seed, confidence=question.confidence
                )
                rows.append(row_of("kendall_w", found, None, named, question))
    con.execute("DROP TABLE _ranked")
    return rows


def _sets(con: "Connection", source: str) -> dict[str, Counter[Ranks]]:
    """For each slice the distinct sets of rankings and how many tasks gave each."""
    fetched = con.execute(
        "SELECT key, sets, count(*) FROM (SELECT key, task, list_sort(list(ranks)) AS sets"
        f" FROM {source} WHERE key IS NOT NULL GROUP BY key, task) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    found: dict[str, Counter[Ranks]] = {}
    for key, rankings, often in fetched:
        found.setdefault(key, Counter())[tuple(tuple(ranks) for ranks in rankings)] += often
    return found
