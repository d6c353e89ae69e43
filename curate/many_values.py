"""Agreement where the values are too many for a count of each: labels of a hundred classes, measured lengths.

A unit then adds a few sums instead of a row of counts, and leaving it out takes them away again, so that a
million units with a million values take a few arrays. Nominal and interval levels; the ordinal and ratio
levels would need every two values' distance.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.agreement import Level, exact_sum
from data.draws import weights
from data.intervals import NONE, Interval, Measured, jackknife_interval, percentile_interval

if TYPE_CHECKING:
    from curate.engine import Connection

Floats = NDArray[np.float64]
_DRAWN = 300_000_000
"""Weights drawn at most by the bootstrap; with more units it makes fewer replicates, below 200 none."""


def measure_many(
    con: "Connection",
    source: str,
    numbers: list[float] | None,
    level: Level,
    *,
    replicates: int,
    seed: int,
    confidence: float,
) -> dict[str, Measured]:
    """Alpha, and at the nominal level percent agreement, each unit a block.

    Args:
        source: SQL of a table or sub-query of ours with columns unit and value.
        numbers: what the values stand for, read at the interval level.
        level: "nominal" or "interval".
        The others are those of `data.intervals.measure`; the nominal level has the jackknife's interval alone.
    """
    rows = con.execute(
        f"SELECT unit, value FROM {source} QUALIFY count(*) OVER (PARTITION BY unit) > 1 ORDER BY unit, value"
    ).fetchnumpy()
    unit, value = np.asarray(rows["unit"]), np.asarray(rows["value"], dtype=np.int64)
    if not len(unit):
        return {"alpha": Measured(None, "no pairable unit", 0, 0, 0, NONE, NONE)}
    starts = np.flatnonzero(np.append(True, unit[1:] != unit[:-1]))
    m = np.diff(np.append(starts, len(unit))).astype(np.float64)
    if level == "nominal":
        return _nominal(unit, value, starts, m, confidence)
    return {"alpha": _interval(np.asarray(numbers)[value], starts, m, replicates, seed, confidence)}


def _measured(value: float, left: Floats, m: Floats, confidence: float, lowest: float, slip: float) -> Measured:
    interval = jackknife_interval(value, left, np.ones(len(m), dtype=np.int64), confidence, lowest, slip)
    return Measured(value, None, len(m), int(m.sum()), len(m), interval, NONE)


def _nominal(
    unit: NDArray[np.int64], value: NDArray[np.int64], starts: NDArray[np.intp], m: Floats, confidence: float
) -> dict[str, Measured]:
    """Whole numbers throughout: a unit's squared counts, and its counts times the margins'."""
    margins = np.bincount(value)
    runs = np.flatnonzero(np.append(True, (unit[1:] != unit[:-1]) | (value[1:] != value[:-1])))
    counts = np.diff(np.append(runs, len(unit)))
    first = np.searchsorted(runs, starts)
    squares = np.add.reduceat(counts * counts, first).astype(np.float64)
    shared = np.add.reduceat(counts * margins[value[runs]], first).astype(np.float64)
    n, all_squares = float(m.sum()), float((margins.astype(np.float64) ** 2).sum())
    apart = (m * m - squares) / (m - 1)
    same = (squares - m) / (m * (m - 1))
    total, agreed = exact_sum(apart), exact_sum(same)
    count = len(m)
    slip = 2 * count / n
    percent = _measured(agreed / count, (agreed - same) / max(1, count - 1), m, confidence, 0.0, slip)
    expected = n * n - all_squares
    if expected <= 0:
        return {"alpha": Measured(None, "one value only", count, int(n), count, NONE, NONE), "percent": percent}
    rest = (n - m) ** 2 - (all_squares - 2 * shared + squares)
    left = np.where(rest > 0, 1 - (n - m - 1) * (total - apart) / np.where(rest > 0, rest, 1), np.nan)
    alpha = _measured(1 - (n - 1) * total / expected, left, m, confidence, -np.inf, slip * n * n / expected)
    return {"alpha": alpha, "percent": percent}


def _interval(
    x: Floats, starts: NDArray[np.intp], m: Floats, replicates: int, seed: int, confidence: float
) -> Measured:
    """From each unit's number of judgments, their sum, the sum of their squares, and its own disagreement."""
    n, count = float(m.sum()), len(m)
    x = x - exact_sum(x) / n
    sums, squares = np.add.reduceat(x, starts), np.add.reduceat(x * x, starts)
    centred = x - np.repeat(sums / m, m.astype(np.int64))
    apart = 2 * m * np.add.reduceat(centred * centred, starts) / (m - 1)
    each = np.stack([m, sums, squares, apart])
    whole = np.array([exact_sum(row) for row in each])
    value = float(_alphas(whole[:, None])[0])
    if not np.isfinite(value):
        return Measured(None, "one value only", count, int(n), count, NONE, NONE)
    slip = 2 * count / n
    alpha = _measured(value, _alphas(whole[:, None] - each), m, confidence, -np.inf, slip)
    made = min(replicates, _DRAWN // count)
    bootstrap: Interval = NONE
    if made >= 200:
        drawn = [_alphas(np.einsum("su,ur->sr", each, w)) for w in weights(np.ones(count, np.int64), made, seed)]
        bootstrap = percentile_interval(value, np.concatenate(drawn), count, confidence, -np.inf, slip)
    return alpha._replace(bootstrap=bootstrap)


def _alphas(totals: Floats) -> Floats:
    """Alpha of each column of sums: judgments, values, squared values, disagreement; NaN where there is none."""
    n, sums, squares, apart = totals
    expected = 2 * (n * squares - sums * sums)
    exists = expected > 1e-9 * np.maximum(1e-300, n * squares)
    return np.where(exists, 1 - (n - 1) * apart / np.where(exists, expected, 1), np.nan)
