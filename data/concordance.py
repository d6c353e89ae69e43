"""How far rankings concur: Kendall's W of one set of rankings, ties and unplaced items allowed, and its mean.

Where every ranking places every item this is `data.agreement.kendall_w`. Where some items are unplaced, each two
rankings are compared by Spearman's correlation over the items both placed, and the mean over pairs of rankings
gives W = (1 + mean (k - 1)) / k, which for complete rankings without ties is Kendall's W itself.
Source: M. G. Kendall, "Rank Correlation Methods" (1948), chapter 6.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from data.agreement import Agreement, exact_sum, kendall_w
from data.draws import weights
from data.intervals import NONE, Measured, jackknife_interval, percentile_interval

Ranks = tuple[tuple[int, ...], ...]
"""Rankings by items: smaller is better, equal numbers tie, -1 is unplaced."""


def concordance(rankings: Ranks) -> Agreement:
    """Kendall's W of some rankings of the same items; None and why where it does not exist."""
    table = np.array(rankings, dtype=np.float64)
    table[table < 0] = np.nan
    if not np.isnan(table).any():
        return kendall_w(table)
    found = [r for a, b in combinations(table, 2) if (r := _spearman(a, b)) is not None]
    judges, items = table.shape
    if not found:
        return Agreement(None, "no two rankings place two items in common", items, table.size)
    mean = math.fsum(found) / len(found)
    return Agreement((1 + mean * (judges - 1)) / judges, None, items, table.size)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Spearman's correlation over the items that both place; None where one of the two ties them all."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < 2:
        return None
    x, y = _mid_ranks(a[both]), _mid_ranks(b[both])
    spread = math.sqrt(float((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread else None


def _mid_ranks(given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks, centred."""
    below = (given[None, :] < given[:, None]).sum(axis=1)
    equal = (given[None, :] == given[:, None]).sum(axis=1)
    return np.asarray(below + equal / 2 - len(given) / 2)


def mean_concordance(
    sets: Sequence[tuple[Ranks, int]], *, replicates: int = 10_000, seed: int = 0, confidence: float = 0.95
) -> Measured:
    """The mean of W over sets of rankings (one a prompt), with intervals from resampling the sets.

    Args:
        sets: each distinct set of at least two rankings, and how often it occurs.
        The others are those of `data.intervals.measure`.
    """
    ordered = sorted(sets)
    found = [(concordance(rankings), rankings, often) for rankings, often in ordered if len(rankings) > 1]
    known = [(w.value, rankings, often) for w, rankings, often in found if w.value is not None]
    if not known:
        return Measured(None, found[0][0].why if found else "no pairable unit", 0, 0, 0, NONE, NONE)
    # Sets with the same W are exchangeable, whatever their rankings.
    values, same = np.unique(np.round([w for w, _, _ in known], 12), return_inverse=True)
    times = np.bincount(same, [often for _, _, often in known]).astype(np.int64)
    n = int(times.sum())
    ratings = sum(len(rankings) * often for _, rankings, often in known)
    total = exact_sum(values * times)
    left = (total - values) / (n - 1) if n > 1 else np.full(len(values), np.nan)
    jackknife = jackknife_interval(total / n, left, times, confidence, 0.0, 2 * n / ratings)
    drawn = [np.einsum("p,pr->r", values, w) / n for w in weights(times, replicates, seed)]
    bootstrap = (
        percentile_interval(total / n, np.concatenate(drawn), n, confidence, 0.0, 2 * n / ratings) if drawn else NONE
    )
    return Measured(total / n, None, n, ratings, n, jackknife, bootstrap)
