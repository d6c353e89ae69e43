"""Intervals for strengths: comparisons, or whole groups of them, drawn again with replacement.

Comparisons of the same two items with the same outcome are exchangeable, so a replicate over a million of them
is one multinomial draw over some thousand counts. Comparisons that hang together (all that one prompt
gave) are drawn as groups. A replicate starts from the strengths of the whole. The same seed gives the same
intervals at every number of threads.

Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993).
"""

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.draws import weights
from data.errors import BadInput
from data.pair_likelihood import Floats, Ints, Pairs, Shape, climb, climb_many
from data.parallel import in_order
from data.strength import Strengths, TieModel, centring, fit_pairs, prepared, tally

FEW = 20
"""Comparisons of an item below which its interval promises more than it keeps (bench/coverage.py)."""
_TOGETHER = 50  # solved together: counts and utilities of some thousand pairs then stay in the cache


class StrengthIntervals(NamedTuple):
    """Intervals for the strengths: the strength ± a normal quantile of the bootstrap's standard error.

    Percentiles of the draws hold the truth less often (92% where this holds it 95%: bench/coverage.py), since the
    prior pulls each draw of few comparisons as it pulled the whole.
    """

    whole: Strengths
    """The strengths of all comparisons."""
    low: Floats | None
    high: Floats | None
    draws: Floats | None
    """Replicates x items, the log-strengths of each; one without a finite maximum is NaN."""
    undefined: int
    """Rounds without a finite maximum; intervals leave them out."""
    order_low: float | None = None
    order_high: float | None = None


class _Groups(NamedTuple):
    """Counts by group: a sparse matrix of cells (won, tied, lost of each pair) by distinct groups."""

    matrix: Any
    times: Ints
    """How many groups each of the distinct ones stands for."""


def bootstrap_strengths(
    first: ArrayLike,
    second: ArrayLike,
    winner: ArrayLike,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    items: int | None = None,
    tie_model: TieModel = "davidson",
    prior: float = 0.5,
    order: bool = False,
    replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    threads: int | None = None,
) -> StrengthIntervals:
    """Strengths and their intervals from long rows of comparisons.

    Args:
        first, second, winner, weight: those of `data.strength.tally`.
        groups: the number from 0 of the group each comparison lies in, such as its prompt: comparisons of
            one group are not independent, so whole groups are drawn. Needed where weights are fractions.
        items: how many there are; by default the largest number plus one.
        tie_model, prior, order: those of `data.strength.fit_pairs`.
        replicates: how many, at least 1.
        confidence: coverage aimed at, within (0, 1).

    Raises:
        BadInput: what `tally` refuses, or numbers out of range.
    """
    if replicates < 1 or not 0 < confidence < 1 or seed < 0:
        raise BadInput("bootstrap: give at least 1 replicate, a confidence between 0 and 1, a seed of at least 0")
    pairs = tally(first, second, winner, weight, order=order)
    count = items if items is not None else int(max(pairs.second.max(), pairs.first.max())) + 1
    whole = fit_pairs(pairs, count, tie_model=tie_model, prior=prior, order=order)
    if whole.strength is None:
        return StrengthIntervals(whole, None, None, None, 0)
    counts, shape = prepared(pairs, count, tie_model, prior, order, whole.component)
    found = climb(counts, shape, 1e-10)
    assert found is not None, "its maximum was found above"
    start, inverse = found[0], np.asarray(np.linalg.inv(found[1]), dtype=np.float64)
    grouped = None if groups is None else _by_group(pairs, first, second, winner, weight, groups, order)
    if grouped is None and any((x % 1).any() for x in (pairs.won, pairs.tied, pairs.lost)):
        raise BadInput("bootstrap: weights that are no whole numbers need groups; name what is drawn")
    centre = centring(whole.component, prior)

    def solve(batch: int) -> tuple[Floats, Floats]:
        size = min(_TOGETHER, replicates - batch * _TOGETHER)
        drawn = _draw(pairs, grouped, np.random.default_rng([seed, batch]), size)
        points = _solved(drawn, pairs, shape, tie_model, start, inverse)
        return np.einsum("ij,jr->ri", centre, points[:count]), points[count]

    batches = range(-(-replicates // _TOGETHER))
    with in_order(len(batches), threads) as each:
        parts = list(each(solve, batches))
    draws, turns = (np.concatenate(found) for found in zip(*parts, strict=True))
    return _intervals(whole, draws, turns, confidence)


def _intervals(whole: Strengths, draws: Floats, turns: Floats, confidence: float) -> StrengthIntervals:
    """The intervals that the replicates' strengths (replicates x items) and order parameters (replicates) give."""
    replicates = len(draws)
    known = np.isfinite(draws).all(axis=1)
    undefined = int(replicates - known.sum())
    if undefined * 2 > replicates or replicates - undefined < 2:
        return StrengthIntervals(whole, None, None, draws, undefined)
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    half = reach * draws[known].std(axis=0, ddof=1)
    low, high = whole.strength - half, whole.strength + half
    sides: tuple[float | None, float | None] = (None, None)
    if whole.order is not None:
        wide = reach * float(turns[known].std(ddof=1))
        sides = whole.order - wide, whole.order + wide
    return StrengthIntervals(whole, low, high, draws, undefined, *sides)


def _by_group(
    pairs: Pairs,
    first: ArrayLike,
    second: ArrayLike,
    winner: ArrayLike,
    weight: ArrayLike | None,
    groups: ArrayLike,
    order: bool,
) -> _Groups:
    """Each comparison's weight in its cell (won, tied and lost of each pair in turn) and group."""
    from scipy.sparse import csr_array

    a, b, w, g = (np.asarray(x, dtype=np.int64) for x in (first, second, winner, groups))
    if g.shape != a.shape or g.min() < 0:
        raise BadInput("bootstrap: give each comparison the number of its group, from 0")
    swap = np.zeros(a.shape, np.bool_) if order else a > b
    side = np.where(swap & (w > 0), 3 - w, w)
    many = int(max(pairs.second.max(), pairs.first.max())) + 1
    code = np.where(swap, b, a) * many + np.where(swap, a, b)
    place = np.searchsorted(pairs.first * many + pairs.second, code)
    row = np.array([1, 0, 2])[side] * len(pairs.first) + place
    given = np.ones(a.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    sorted_rows = np.lexsort((given, g, row))  # so that the order of the rows changes no digit
    cells = csr_array(
        (given[sorted_rows], (g[sorted_rows], row[sorted_rows])), shape=(int(g.max()) + 1, 3 * len(pairs.first))
    )
    cells.sum_duplicates()
    kept, times = _distinct(cells)
    return _Groups(cells[kept].T.tocsr(), times)


def _distinct(cells: Any) -> tuple[Ints, Ints]:
    """Groups that gave the very same are exchangeable: one of each kind in a fixed order, and how many there are."""
    size = np.diff(cells.indptr)
    kept, times = [], []
    for n in np.unique(size):
        mine = np.flatnonzero(size == n)
        at = cells.indptr[mine][:, None] + np.arange(n)
        said = np.concatenate([cells.indices[at].astype(np.float64), cells.data[at]], axis=1)
        order = np.lexsort(said.T[::-1]) if n else np.arange(len(mine))
        new = np.append(True, (said[order][1:] != said[order][:-1]).any(axis=1))
        first = np.flatnonzero(new)
        kept.append(mine[order][first])
        times.append(np.diff(np.append(first, len(mine))))
    return np.concatenate(kept), np.concatenate(times).astype(np.int64)


def _draw(pairs: Pairs, groups: _Groups | None, random: np.random.Generator, size: int) -> Floats:
    """Counts of replicates drawn with replacement: (3 x pairs) x replicates, the won, the tied, the lost."""
    if groups is None:
        cells = np.concatenate([pairs.won, pairs.tied, pairs.lost])
        total = cells.sum()
        drawn = random.multinomial(int(total), cells / total, size=size)
        return np.ascontiguousarray(drawn.T, dtype=np.float64)
    drawn = np.concatenate(list(weights(groups.times, size, int(random.integers(2**62)))), axis=1)
    return np.asarray(groups.matrix @ drawn)


def _solved(drawn: Floats, pairs: Pairs, shape: Shape, tie_model: TieModel, start: Floats, inverse: Floats) -> Floats:
    """The maximum of each replicate, (items + 2) x replicates; NaN where there is none."""
    m = len(pairs.first)
    won, tied, lost = drawn[:m], drawn[m : 2 * m], drawn[2 * m :]
    if tie_model == "half":
        won, lost, tied = won + tied / 2, lost + tied / 2, np.zeros_like(tied)
    points, done = climb_many(won, tied, lost, pairs, shape, start, inverse)
    for r in np.flatnonzero(~done):
        alone = pairs._replace(won=won[:, r], tied=tied[:, r], lost=lost[:, r])
        found = _alone(alone, shape)
        points[:, r] = np.nan if found is None else found
    return points


def _alone(pairs: Pairs, shape: Shape) -> NDArray[np.float64] | None:
    """One replicate's maximum by its own curvature, from the beginning."""
    found = climb(pairs, shape._replace(tie=shape.tie and bool(pairs.tied.any())), 1e-9)
    return None if found is None else found[0]
