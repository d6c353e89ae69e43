"""How far two groups of annotators agree with each other beyond chance, such as people against models.

Only pairs of judgments with one from each group are compared. A unit with counts p_c of the one group and q_k of
the other adds p_c q_k / (P Q) to the coincidence of c and k, so every unit counts the same. Chance is a judgment
of each group drawn from all units. 1 is perfect agreement between the groups, 0 what chance gives.

Source: K. Wong, P. Paritosh, L. Aroyo, "Cross-replication Reliability" (ACL 2021): their kappa-x.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.agreement import Level, ordinal_scores
from data.draws import weights
from data.errors import BadInput
from data.intervals import NONE, Measured, jackknife_interval, percentile_interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MAX_CELLS = 60_000_000
TOO_FEW = 100
"""Blocks below which its intervals cover less than they say on average (bench/coverage.py)."""


class _Part(NamedTuple):
    divisor: int  # judgments of the one group times those of the other
    rows: Floats  # blocks x (values x values): whole numbers


def cross_alpha(
    one: Ints,
    other: Ints,
    times: Ints,
    level: Level,
    numbers: Floats | None = None,
    *,
    blocks: NDArray[np.intp] | None = None,
    replicates: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Measured:
    """Agreement between two groups, with both intervals.

    Args:
        one, other: counts of each group, shape (rows, values) both.
        times: how many units each row stands for.
        blocks: for each row the block its units lie in; by default every unit is one.
        The others are those of `data.intervals.measure`.

    Returns:
        The value, or None with why "no unit judged by both" or "one value only".
    """
    both = (one.sum(axis=1) > 0) & (other.sum(axis=1) > 0)
    one, other, times = one[both], other[both], times[both]
    units = int(times.sum())
    if not units:
        return Measured(None, "no unit judged by both", 0, 0, 0, NONE, NONE)
    ratings = int(((one.sum(axis=1) + other.sum(axis=1)) * times).sum())
    values = one.shape[1]
    if len(one) * values * values > MAX_CELLS:
        raise BadInput(f"agreement: {len(one):,} patterns of {values} values are too many to resample")
    often, parts = _parts(one, other, times, None if blocks is None else blocks[both])
    count = int(often.sum())
    whole = [(part.rows.T @ often)[:, None] for part in parts]
    value = float(_alphas(whole, parts, values, level, numbers)[0])
    if not np.isfinite(value):
        return Measured(None, "one value only", units, ratings, count, NONE, NONE)
    left = _alphas([all_ - part.rows.T for all_, part in zip(whole, parts, strict=True)], parts, values, level, numbers)
    table = sum((part.rows.T @ often / part.divisor for part in parts), np.zeros(values * values)).reshape(
        values, values
    )
    unlike = 1 - float(table.sum(axis=0) @ table.sum(axis=1)) / float(table.sum()) ** 2
    slip = 1 / unlike if unlike > 0 else 1.0
    jackknife = jackknife_interval(value, left, often, confidence, -np.inf, slip)
    drawn = [
        _alphas([part.rows.T @ w for part in parts], parts, values, level, numbers)
        for w in weights(often, replicates, seed)
    ]
    bootstrap = percentile_interval(value, np.concatenate(drawn), count, confidence, -np.inf, slip) if drawn else NONE
    return Measured(value, None, units, ratings, count, jackknife, bootstrap)


def _parts(one: Ints, other: Ints, times: Ints, blocks: NDArray[np.intp] | None) -> tuple[Ints, list[_Part]]:
    """How often each distinct block occurs, and what each adds, by divisor."""
    products = np.einsum("rc,rk->rck", one, other).reshape(len(one), -1).astype(np.float64)
    divisors = one.sum(axis=1) * other.sum(axis=1)
    sizes = np.unique(divisors)
    width = products.shape[1]
    if blocks is None:
        return times, [_Part(int(d), np.where((divisors == d)[:, None], products, 0)) for d in sizes]
    _, place = np.unique(blocks, return_inverse=True)
    sums = np.zeros((int(place.max()) + 1, width * len(sizes)))
    for i, d in enumerate(sizes):
        of = np.flatnonzero(divisors == d)
        np.add.at(sums[:, i * width : (i + 1) * width], place[of], products[of] * times[of, None])
    sums, often = np.unique(sums, axis=0, return_counts=True)
    return often.astype(np.int64), [_Part(int(d), sums[:, i * width : (i + 1) * width]) for i, d in enumerate(sizes)]


def _alphas(sums: list[Floats], parts: list[_Part], values: int, level: Level, numbers: Floats | None) -> Floats:
    """The measure of each replicate, from the whole sums of each part (values² x replicates)."""
    total = np.zeros((sums[0].shape[1], values * values))
    for part, whole in zip(parts, sums, strict=True):
        total += whole.T / part.divisor
    table = total.reshape(-1, values, values)
    rows, columns = table.sum(axis=2), table.sum(axis=1)
    if level == "nominal":
        squared = (1 - np.eye(values))[None]
    else:
        scores = ordinal_scores(rows + columns) if level == "ordinal" else np.asarray(numbers)[None, :]
        squared = scores[:, :, None] - scores[:, None, :]
        if level == "ratio":
            size = np.abs(scores[:, :, None] + scores[:, None, :])
            squared = np.divide(squared, size, out=np.zeros_like(squared), where=size > 0)
        squared = squared**2
    observed = (table * squared).sum(axis=(1, 2))
    expected = (rows[:, :, None] * columns[:, None, :] * squared).sum(axis=(1, 2))
    exists = expected > 1e-12
    return np.where(exists, 1 - rows.sum(axis=1) * observed / np.where(exists, expected, 1), np.nan)
