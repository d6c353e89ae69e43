"""Each annotator left out in turn: who breaks an agreement, overall and within every slice, in one pass.

A judgment taken out of a unit changes this unit's counts alone, so what the sums lose and gain by annotator is
enough: the values without each of a thousand annotators cost one pass over the judgments and no resampling.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.count_patterns import Packing, unpack, words
from data.agreement import Level
from data.coincidence import Design, Floats, Ints, Part, ac1s, alphas, percents, sums_of, totals_of

if TYPE_CHECKING:
    from curate.engine import Connection


class Left(NamedTuple):
    """What is left without each annotator of one slice."""

    annotators: Ints
    values: dict[str, Floats]
    """By measure: alpha, percent, ac1; NaN where it does not exist."""
    units: Ints
    """With two judgments or more."""
    ratings: Ints
    """On them."""


def leave_out(
    con: "Connection",
    source: str,
    packed: Packing,
    level: Level,
    numbers: NDArray[np.float64] | None,
    *,
    key: str = "''",
) -> dict[str, Left]:
    """The measures without each annotator of each slice, by the slice's key in order.

    Args:
        source: SQL of a table or sub-query of ours with columns unit, annotator, value.
        key: SQL expression of text that names a row's slice; a row whose key is NULL is in none.
    """
    named = [f"w{i}" for i in range(packed.words)]
    made = ", ".join(f"{sql} AS {name}" for sql, name in zip(words(packed), named, strict=True))
    columns = ", ".join(named)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE _packs AS SELECT {key} AS key, unit, {made} FROM {source}"
        f" WHERE ({key}) IS NOT NULL GROUP BY ALL"
    )
    whole = con.execute(f"SELECT key, {columns}, count(*) AS times FROM _packs GROUP BY ALL ORDER BY ALL").fetchnumpy()
    touched = con.execute(
        f"SELECT p.key, annotator, value, {columns}, count(*) AS times FROM (SELECT *, {key} AS key FROM {source}) s"
        " JOIN _packs p ON p.unit = s.unit AND p.key = s.key GROUP BY ALL ORDER BY ALL"
    ).fetchnumpy()
    con.execute("DROP TABLE _packs")
    counts, rows = (
        unpack(packed, [np.asarray(part[name], dtype=np.int64) for name in named]) for part in (whole, touched)
    )
    keys, of = np.asarray(whole["key"], dtype=object), np.asarray(touched["key"], dtype=object)
    found = {}
    for name in dict.fromkeys(keys.tolist()):
        mine, his = keys == name, of == name
        found[str(name)] = _without(
            counts[mine],
            np.asarray(whole["times"], dtype=np.int64)[mine],
            rows[his],
            np.asarray(touched["annotator"], dtype=np.int64)[his],
            np.asarray(touched["value"], dtype=np.int64)[his],
            np.asarray(touched["times"], dtype=np.int64)[his],
            level,
            numbers,
        )
    return found


def _without(
    counts: Ints,
    times: Ints,
    rows: Ints,
    annotator: Ints,
    value: Ints,
    often: Ints,
    level: Level,
    numbers: NDArray[np.float64] | None,
) -> Left:
    """The measures without each annotator, from the patterns and those that each annotator's judgments lie in."""
    annotators, who = np.unique(annotator, return_inverse=True)
    less = rows.copy()
    less[np.arange(len(rows)), value] -= 1
    before, after, all_ = rows.sum(axis=1), less.sum(axis=1), counts.sum(axis=1)
    parts, sums = [], []
    units, ratings = np.zeros(len(annotators), dtype=np.int64), np.zeros(len(annotators), dtype=np.int64)
    for judgments in range(1, int(all_.max(initial=0)) + 1):
        here = all_ == judgments
        whole = (sums_of(counts[here], judgments) * times[here, None]).sum(axis=0)
        change = np.zeros((len(annotators), len(whole)))
        many = np.full(len(annotators), times[here].sum())
        for size, patterns, sign in ((before, rows, -1), (after, less, 1)):
            at = np.flatnonzero(size == judgments)
            np.add.at(change, who[at], sign * sums_of(patterns[at], judgments) * often[at, None])
            np.add.at(many, who[at], sign * often[at])
        parts.append(Part(judgments, 0, change))
        sums.append((whole + change).T)
        if judgments > 1:
            units += many
            ratings += judgments * many
    totals = totals_of(Design(times, tuple(parts), counts.shape[1]), sums, len(annotators))
    values = {"alpha": alphas(totals, level, numbers), "percent": percents(totals), "ac1": ac1s(totals)}
    return Left(annotators, values, units, ratings)
