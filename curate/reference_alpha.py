"""The krippendorff package beside our alpha: the same table, the same level, another hand's code."""

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.agree import Question, level_of
from curate.count_patterns import count_patterns, packing
from curate.observed import Scale
from data.coincidence import MAX_VALUES

if TYPE_CHECKING:
    from curate.engine import Connection

MOST = 2_000_000
"""Cells (units x values) beyond which the package would take too much memory."""
NEAR = 1e-6


def compare(
    con: "Connection", scales: list[Scale], rows: list[dict[str, Any]], question: Question
) -> list[dict[str, Any]]:
    """For each overall alpha: ours, the package's, and whether they agree to six decimals (None: too large to ask)."""
    import krippendorff

    found = []
    for row in rows:
        if (row["measure"], row["slice"], row["left_out"]) != ("alpha", "all", None) or row["value"] is None:
            continue
        scale = next(s for s in scales if s.criterion == row["criterion"])
        about = {"criterion": row["criterion"], "who": row["who"], "alpha": row["value"]}
        if len(scale.names) > MAX_VALUES or row["units"] * len(scale.names) > MOST:
            found.append({**about, "krippendorff": None, "same": None})
            continue
        who = {"all": "TRUE", "people": "person", "models": "NOT person"}[row["who"]]
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE _checked AS SELECT * FROM observed WHERE criterion = ? AND {who}",
            [scale.criterion],
        )
        annotators = con.execute("SELECT count(DISTINCT annotator) FROM _checked").fetchone()
        assert annotators is not None
        counted = count_patterns(con, "_checked", packing(len(scale.names), int(annotators[0])))[""]
        used = counted.counts.sum(axis=0) > 0
        numbers = scale.numbers if scale.numbers is not None else list(range(len(scale.names)))
        theirs = float(
            krippendorff.alpha(
                value_counts=np.repeat(counted.counts, counted.times, axis=0)[:, used],
                value_domain=np.asarray(numbers, dtype=np.float64)[used],
                level_of_measurement=level_of(scale, question),
            )
        )
        found.append({**about, "krippendorff": theirs, "same": abs(theirs - row["value"]) < NEAR})
    return found
