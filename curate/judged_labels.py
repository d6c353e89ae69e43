"""A judge held against people on the labels of a plain table: unit, annotator, value, and the judge's probability.

Each annotator speaks once for a unit, by the value they gave most often, or not at all (as in curate.agreement).
People's target is the share of them who gave the judge's value; the judge's probability is that of the value it
gave, 1 where the table has none. Values have no order here. Units are what varies.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.engine import Connection

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_CELLS = 200_000_000  # units × values held at a time


class LabelOverlap(NamedTuple):
    """Units that people and the judge both labelled, a row each."""

    counts: "Ints"
    """Rows x values: how many people gave each."""
    judge: "Ints"
    """The number of the value the judge gave."""
    sure: "Floats"
    """Its probability of that value."""


def overlap_labels(con: "Connection", table: str, judge: int, values: int) -> LabelOverlap:
    """The units of one annotator and all others, by unit.

    Args:
        table: that curate.tables.read_labels made, with probability.
        judge: the annotator's number.
        values: how many there are.
    """
    import numpy as np

    found = con.execute(
        "SELECT unit, annotator, any_value(value) AS value, any_value(sure) AS sure FROM"
        " (SELECT *, max(n) OVER (PARTITION BY unit, annotator) AS most FROM"
        "  (SELECT unit, annotator, value, count(*) AS n, list_avg(list_sort(list(probability))) AS sure"
        f"   FROM {table} GROUP BY unit, annotator, value)) WHERE n = most"
        " GROUP BY unit, annotator HAVING count(*) = 1 ORDER BY unit, annotator"
    ).fetchnumpy()
    unit, who, value = (np.asarray(found[name], dtype=np.int64) for name in ("unit", "annotator", "value"))
    mine = who == judge
    both = np.intersect1d(unit[mine], unit[~mine])
    if len(both) * values > MOST_CELLS:
        raise BadInput(f"{values:,} different values of {len(both):,} units are too many to be labels of a judge")
    there = ~mine & np.isin(unit, both)
    cell = np.searchsorted(both, unit[there]) * values + value[there]
    counts = np.bincount(cell, minlength=len(both) * values).reshape(len(both), values)
    own = mine & np.isin(unit, both)
    sure = np.ma.filled(np.ma.asarray(found["sure"], dtype=np.float64), 1.0)
    return LabelOverlap(counts, value[own], sure[own])


def judged_row(found: LabelOverlap, names: Sequence[str]) -> dict[str, Any]:
    """Agreement with people, calibration, and which values the judge gives more or less often than they do."""
    import numpy as np

    from curate.judges import alpha_of, calibration_of, spelled
    from data.calibration import cohen_kappa, mean_by_group

    many = len(found.judge)
    units, top = np.arange(many), found.counts.max(axis=1)
    clear = (found.counts == top[:, None]).sum(axis=1) == 1
    majority = found.counts.argmax(axis=1)
    people = found.counts.sum(axis=1)
    share = found.counts[units, found.judge] / people
    pairs = np.zeros_like(found.counts[clear])
    for column in (majority[clear], found.judge[clear]):
        pairs[np.arange(len(pairs)), column] += 1
    rates = [
        {
            "value": name,
            "judge": float((found.judge == n).mean()),
            "people": float((found.counts[:, n] / people).mean()),
            "more_than_people": spelled(mean_by_group((found.judge == n) - found.counts[:, n] / people, units)),
        }
        for n, name in enumerate(names)
        if found.counts[:, n].any() or (found.judge == n).any()
    ]
    return {
        "units": many,
        "even_majorities": int((~clear).sum()),
        "alpha": alpha_of(pairs, units[clear]),
        "kappa": spelled(cohen_kappa(majority[clear], found.judge[clear], units[clear], len(names)))
        if clear.any()
        else {"value": None, "low": None, "high": None, "why": "no majority"},
        "agreement": spelled(mean_by_group(share, units)),
        "people_alpha": alpha_of(found.counts, units) | {"units": int((people > 1).sum())},
        **calibration_of(found.sure, share, units),
        "values": rates,
    }
