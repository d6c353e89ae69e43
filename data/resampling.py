"""Intervals for Krippendorff's alpha: leave units out one at a time, or draw them again with replacement.

What is resampled are units (what was judged) or groups of them, never annotators. The jackknife is the one
to decide by; sources: J. Hughes, "Toward improved inference for Krippendorff's alpha" (arXiv 2210.13265),
B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans" (1982).
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.agreement import (
    Floats,
    Ints,
    Level,
    Table,
    checked,
    column_sums,
    disagreement,
    distance_table,
    exact_sum,
    krippendorff_alpha,
    ordinal_scores,
    patterns,
)
from data.errors import BadInput

_CELLS = 4_000_000  # numbers held at a time while resampling, about 32 MB


class AlphaInterval(NamedTuple):
    """An interval for alpha, or None and why there is none."""

    low: float | None
    high: float | None
    why: str | None
    estimate: float | None
    """The jackknife's bias-corrected alpha (it may pass 1 a little), or the bootstrap replicates' mean."""
    standard_error: float | None
    blocks: int
    """What was resampled: units, or the groups they lie in."""
    undefined: int
    """Replicates in which alpha does not exist (one value only); they are left out."""


def alpha_jackknife(
    counts: ArrayLike,
    level: Level = "nominal",
    values: Sequence[float] | None = None,
    times: ArrayLike | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> AlphaInterval:
    """An interval for alpha from leaving out one unit (or group) at a time.

    Its coverage is near what it says at the sizes people have, where both customary bootstraps fall short
    (Hughes 2022). The interval is estimate ± t · standard error with blocks - 1 degrees of freedom; its
    high end is cut at 1. Deterministic.

    Args:
        groups: for each unit the group it lies in, such as the prompt whose ranking implied it: units of
            one group are not independent, so whole groups are left out. Not together with `times`.
        The others are those of `krippendorff_alpha`; `confidence` lies within (0, 1).
    """
    _check_confidence(confidence)
    table, blocks, often = _blocks(counts, level, values, times, groups)
    whole = krippendorff_alpha(counts, level, values, times)
    total = int(often.sum())
    if whole.value is None:
        return AlphaInterval(None, None, whole.why, None, None, total, 0)
    if total < 3:
        return AlphaInterval(None, None, f"only {total} to leave out", None, None, total, 0)
    left = _leave_one_out(table, blocks, len(often))
    known = np.isfinite(left)
    undefined = int(often[~known].sum())
    n, often, left = float(total - undefined), often[known], left[known]
    if n < 3:
        return AlphaInterval(None, None, "one value only in most replicates", None, None, total, undefined)
    mean = exact_sum(left * often) / n
    error = math.sqrt((n - 1) / n * exact_sum((left - mean) ** 2 * often))
    estimate = n * whole.value - (n - 1) * mean
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    high = min(1.0, estimate + half)
    return AlphaInterval(min(high, estimate - half), high, None, estimate, error, total, undefined)


def alpha_bootstrap(
    counts: ArrayLike,
    level: Level = "nominal",
    values: Sequence[float] | None = None,
    times: ArrayLike | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> AlphaInterval:
    """A percentile interval for alpha from drawing units (or groups) with replacement.

    Units with equal counts are exchangeable, so a replicate is one multinomial draw over the distinct
    rows; margins (and with them the ordinal distances) are built afresh in each. It tends to be a little
    narrow for few units: give it beside the jackknife, not instead of it. The same seed gives the same
    interval; the order of units does not matter, that of groups does.

    Args:
        replicates: how many, at least 1.
        seed: of the random generator (numpy's PCG64).
        The others are those of `alpha_jackknife`.
    """
    _check_confidence(confidence)
    if replicates < 1:
        raise BadInput(f"bootstrap: replicates is {replicates}; give at least 1, better 1000")
    table, blocks, often = _blocks(counts, level, values, times, groups)
    whole = krippendorff_alpha(counts, level, values, times)
    total = int(often.sum())
    if whole.value is None:
        return AlphaInterval(None, None, whole.why, None, None, total, 0)
    random = np.random.default_rng(seed)
    drawn: list[Floats] = []
    step = max(1, _CELLS // max(1, len(table.counts)))
    for start in range(0, replicates, step):
        draws = random.multinomial(total, often / total, size=min(step, replicates - start)).astype(np.float64)
        drawn.append(_weighted(table, draws if groups is None else draws[:, blocks]))
    found = np.concatenate(drawn)
    known = np.sort(found[np.isfinite(found)])
    undefined = replicates - len(known)
    if undefined * 2 > replicates:
        return AlphaInterval(None, None, "one value only in most replicates", None, None, total, undefined)
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    error = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return AlphaInterval(float(low), float(high), None, exact_sum(known) / len(known), error, total, undefined)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise BadInput(f"agreement: confidence is {confidence}; give a share between 0 and 1, such as 0.95")


def _blocks(
    counts: ArrayLike,
    level: Level,
    values: Sequence[float] | None,
    times: ArrayLike | None,
    groups: Sequence[Hashable] | None,
) -> tuple[Table, NDArray[np.intp], Ints]:
    """The table to resample, the block each of its rows lies in, and how often each block occurs."""
    if groups is None:
        rows, often = patterns(counts, times)
        table = distance_table(rows, level, values, often)
        return table, np.arange(len(table.counts)), table.times.astype(np.int64)
    if times is not None:
        raise BadInput("agreement: give groups or times, not both; rows of different groups are not equal")
    whole, _ = checked(counts, None)
    if len(groups) != len(whole):
        raise BadInput(f"agreement: {len(groups)} groups for {len(whole)} units; give one for each unit")
    number: dict[Hashable, int] = {}
    pairable = whole.sum(axis=1) >= 2
    kept = [number.setdefault(g, len(number)) for g, yes in zip(groups, pairable, strict=True) if yes]
    return (
        distance_table(whole, level, values, None),
        np.asarray(kept, np.intp),
        np.ones(len(number), np.int64),
    )


def _weighted(table: Table, weights: Floats) -> Floats:
    """Alpha of each replicate, whose rows count as often as its weights say.

    einsum without optimising adds in one fixed order, where a matrix product would depend on threads.
    """
    margins = np.einsum("ru,uv->rv", weights, table.counts)
    if table.level != "ordinal":
        fixed = disagreement(table.counts, table.scores, table.squared)
        return _alphas(margins, np.einsum("ru,u->r", weights, fixed), table.scores, table.squared)
    scores = ordinal_scores(margins)
    m = table.counts.sum(axis=1)
    own = np.einsum("ru,uv->rv", weights, table.counts * (m / (m - 1))[:, None])
    rank_sums = np.einsum("rv,uv->ru", scores, table.counts)
    observed = 2 * ((own * scores**2).sum(axis=1) - np.einsum("ru,u->r", weights * rank_sums**2, 1 / (m - 1)))
    return _alphas(margins, observed, scores, None)


def _leave_one_out(table: Table, blocks: NDArray[np.intp], count: int) -> Floats:
    """Alpha without one occurrence of each block, in time linear in the rows."""
    n = table.counts
    gone = np.zeros((count, n.shape[1]))
    np.add.at(gone, blocks, n)
    margins = column_sums(n, table.times) - gone
    if table.level != "ordinal":
        rows = disagreement(n, table.scores, table.squared)
        less = np.asarray(np.bincount(blocks, rows, count), dtype=np.float64)
        return _alphas(margins, exact_sum(rows * table.times) - less, table.scores, table.squared)
    scores = ordinal_scores(margins)
    m = n.sum(axis=1)
    diagonal = n * (m / (m - 1))[:, None]
    own = np.zeros_like(gone)
    np.add.at(own, blocks, diagonal)
    own = column_sums(diagonal, table.times) - own
    together = np.einsum("uc,uk,u->ck", n, n, table.times / (m - 1))
    all_rows = np.einsum("rc,ck,rk->r", scores, together, scores)
    own_rows = np.bincount(blocks, (n * scores[blocks]).sum(axis=1) ** 2 / (m - 1), count)
    return _alphas(margins, 2 * ((own * scores**2).sum(axis=1) - all_rows + own_rows), scores, None)


def _alphas(margins: Floats, observed: Floats, scores: Floats | None, squared: Floats | None) -> Floats:
    """Alpha for each row; NaN where it does not exist."""
    expected = _expected_rows(margins, scores, squared)
    exists = (np.count_nonzero(margins, axis=1) >= 2) & (expected > 0)
    ratio = (margins.sum(axis=1) - 1) * observed / np.where(exists, expected, 1)
    return np.where(exists, 1 - ratio, np.nan)


def _expected_rows(margins: Floats, scores: Floats | None, squared: Floats | None) -> Floats:
    """`data.agreement.expected_sum` for each row of margins; scores may differ from row to row."""
    n = margins.sum(axis=1)
    if squared is not None:
        return np.asarray(np.einsum("rc,ck,rk->r", margins, squared, margins))
    if scores is None:
        return np.asarray(n * n - (margins * margins).sum(axis=1))
    centre = (margins * scores).sum(axis=1) / np.where(n > 0, n, 1)
    return np.asarray(2 * n * (margins * (scores - centre[:, None]) ** 2).sum(axis=1))
