"""How far a mean may lie from what was seen: intervals, one-sided bounds and p-values over clusters.

    low, high = one_sided(wins, families, alpha=0.05)

Cases of one cluster (a prompt family) are not independent: clusters are what varies. One method serves shares,
ties and differences, anything whose range is known. Values are taken as parts above and below the middle of their
range; each part is a share with the interval of Clopper and Pearson for as many independent draws as would vary as
much (Korn and Graubard), their number lowered for few clusters by Student's t; the two are put together by their
variance estimates recovered from the limits (MOVER). So the bounds are exact for independent cases of yes and no,
stay within the range, are not empty where all say the same, and are never tighter than what so many clusters
without a single exception could show. Values without a range have mean ± t · error. Nothing here is random.

Sources: E. Korn and B. Graubard, Survey Methodology 24 (1998), 193-201; R. Bell and D. McCaffrey, Survey
Methodology 28 (2002), 169-181 (bias-reduced variance, degrees of freedom); G. Zou and A. Donner, Statistics in
Medicine 27 (2008), 1693-1702 (MOVER). Levels are simulated in bench/gate.py.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from data.errors import BadInput

FEW = 10
"""Clusters below which there is no bound to rely on."""
SHARE = (0.0, 1.0)
DIFFERENCE = (-1.0, 1.0)
_LARGEST = 0.4999  # one-sided levels beyond this say nothing


class Interval(NamedTuple):
    """A mean with its two-sided interval; None where there are too few clusters, and why."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    why: str | None = None


class Seen(NamedTuple):
    """What bounds are computed from; arrays of one shape (one entry per data set), or single numbers."""

    mean: Any
    error: Any
    """Standard error over clusters, bias-reduced."""
    n: int
    clusters: int
    even: float
    """Clusters of one size that would vary as much: n² / Σ m²."""
    freedom: float
    """Degrees of freedom of the error."""
    ends: tuple[float, float] | None
    above: Any = None
    """The part above the middle of the range, as a share of the half range; and below it."""
    below: Any = None
    error_above: Any = None
    error_below: Any = None
    together: Any = None
    """Correlation of the two parts' means, within [-1, 1]."""
    whole: bool = False
    """Parts are 0 or 1 and nothing between."""


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[Any],
    confidence: float = 0.95,
    ends: tuple[float, float] | None = SHARE,
) -> Interval:
    """A mean and its two-sided interval over clusters.

    Args:
        values, clusters: one entry per case; cases of one cluster name the same.
        confidence: coverage aimed at, within (0, 1).
        ends: least and greatest value there can be: SHARE, DIFFERENCE, or None for values without a range.

    Raises:
        BadInput: lengths differ, a value is not finite or outside its range, or confidence is.
    """
    if not len(values):
        return Interval(None, None, None, 0, 0, "no cases")
    seen = look(values, clusters, ends)
    mean = float(seen.mean)
    if seen.clusters < FEW:
        return Interval(mean, None, None, seen.n, seen.clusters, few(seen.clusters))
    low, high = limits(seen, (1 - confidence) / 2)
    return Interval(mean, float(low), float(high), seen.n, seen.clusters)


def one_sided(
    values: Sequence[float], clusters: Sequence[Any], alpha: float = 0.05, ends: tuple[float, float] | None = SHARE
) -> tuple[float, float]:
    """The lower and the upper bound of a mean, each missed with a chance of at most `alpha`.

    Fewer than two clusters give the ends of the range: nothing is known. Below FEW clusters do not rely on it.

    Raises:
        BadInput: as `mean_interval`, or alpha is not within (0, 0.5).
    """
    low, high = limits(look(values, clusters, ends), alpha)
    return float(low), float(high)


def p_value(seen: Seen, limit: float, at_least: bool) -> float:
    """The smallest one-sided level at which the bound shows the mean to be at least (at most) `limit`.

    From 1e-12 to 0.5; 0.5 also where the mean lies on the other side.
    """

    def shown(alpha: float) -> bool:
        low, high = limits(seen, alpha)
        return bool(low >= limit) if at_least else bool(high <= limit)

    if not shown(_LARGEST):
        return 0.5
    if shown(1e-12):
        return 1e-12
    return math.exp(least(lambda x: shown(math.exp(x)), math.log(1e-12), math.log(_LARGEST)))


def few(clusters: int) -> str:
    """Why there is no bound."""
    return f"too few: {clusters} prompt families of at least {FEW}"


def look(values: Sequence[float], clusters: Sequence[Any], ends: tuple[float, float] | None = SHARE) -> Seen:
    """What bounds need to know of the cases.

    Raises:
        BadInput: lengths differ, there is no case, a value is not finite or lies outside `ends`.
    """
    import numpy as np

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(clusters) != x.size or not x.size:
        raise BadInput(f"bounds: {x.size} values in {len(clusters)} clusters; give one cluster for each, at least one")
    if not np.isfinite(x).all():
        raise BadInput("bounds: a value is not a finite number")
    numbers: dict[Any, int] = {}
    g = np.array([numbers.setdefault(one, len(numbers)) for one in clusters])
    if ends is None:
        scaled = x
    else:
        low, high = ends
        if x.min() < low or x.max() > high:
            raise BadInput(f"bounds: values from {x.min():g} to {x.max():g} where {low:g} to {high:g} is the range")
        scaled = np.clip((2 * x - (low + high)) / (high - low), -1, 1)
    order = np.lexsort((x, g))
    sizes = np.bincount(g).astype(np.float64)
    sums = [np.bincount(g[order], part[order]) for part in (np.maximum(scaled, 0), np.maximum(-scaled, 0))]
    by_content = np.lexsort((sums[1], sums[0], sizes))  # so that neither order nor names change a digit
    whole = bool(np.isin(scaled, (-1.0, 0.0, 1.0)).all())
    return seen_in(sums[0][by_content], sums[1][by_content], sizes[by_content], ends, whole)


def seen_in(above: Any, below: Any, sizes: Any, ends: tuple[float, float] | None, whole: bool) -> Seen:
    """What bounds need, from sums by cluster; many data sets of the same sizes at once.

    Args:
        above, below: shape (..., clusters), sums of the parts above and below the middle of the range, each of a
            case within [0, 1]; where `ends` is None, of the positive and of the negative values.
        sizes: shape (clusters,), cases of each.
        whole: every part is 0 or 1.
    """
    import numpy as np

    m = np.asarray(sizes, dtype=np.float64)
    n, many = float(m.sum()), m.size
    share = m / n
    up, down = above.sum(axis=-1) / n, below.sum(axis=-1) / n
    even = 1 / float((share**2).sum())
    middle, half = (0.0, 1.0) if ends is None else ((ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2)
    mean = middle + half * (up - down)
    if many < 2:
        nothing = np.zeros_like(mean)
        return Seen(mean, nothing, int(n), many, even, 0.0, ends, up, down, nothing, nothing, nothing - 1, whole)
    inverse = 1 / (1 - share)
    apart = [above - up[..., None] * m, below - down[..., None] * m]
    v_up, v_down, v_both = ((apart[a] * apart[b] * inverse).sum(axis=-1) / n**2 for a, b in ((0, 0), (1, 1), (0, 1)))
    product = np.sqrt(v_up * v_down)
    flat = product <= 1e-30
    together = np.where(flat, -1.0, np.clip(v_both / np.where(flat, 1.0, product), -1, 1))
    error = half * np.sqrt(np.maximum(0.0, v_up + v_down - 2 * v_both))
    freedom = _freedom(m)
    return Seen(
        mean, error, int(n), many, even, freedom, ends, up, down, np.sqrt(v_up), np.sqrt(v_down), together, whole
    )


def _freedom(m: Any) -> float:
    """Degrees of freedom of the bias-reduced variance: the less of what independent and wholly alike cases give."""
    n = float(m.sum())
    share = m / n
    u = share**2 / (1 - share)
    independent = 1 / float((share**2).sum() + u.sum() ** 2 - (u**2).sum())
    alike = float((m**2).sum()) ** 2 / float((m**4).sum()) - 1
    return max(1.0, min(independent, alike))


def limits(seen: Seen, alpha: Any, times: float = 1.0) -> tuple[Any, Any]:
    """Lower and upper one-sided bound, in arrays of the shape that `seen` has.

    Args:
        times: as if there were so many times the clusters, all else as seen.
    """
    import numpy as np
    from scipy.special import ndtri, stdtrit

    if not np.all((np.asarray(alpha) > 0) & (np.asarray(alpha) < 0.5)):
        raise BadInput(f"bounds: alpha is {alpha}; give a share between 0 and 0.5, such as 0.05")
    low_end, high_end = seen.ends or (-math.inf, math.inf)
    if seen.clusters < 2:
        return np.full_like(seen.mean, low_end), np.full_like(seen.mean, high_end)
    freedom = (seen.freedom + 1) * times - 1
    t = -stdtrit(freedom, alpha)
    if seen.ends is None:
        reach = t * seen.error / math.sqrt(times)
        return seen.mean - reach, seen.mean + reach
    shrink = (ndtri(alpha) / t) ** 2
    up = _share_limits(seen, seen.above, seen.error_above, shrink, alpha, times)
    down = _share_limits(seen, seen.below, seen.error_below, shrink, alpha, times)
    middle, half = (low_end + high_end) / 2, (high_end - low_end) / 2
    apart = seen.above - seen.below
    low = middle + half * (apart - _reach(seen.above - up[0], down[1] - seen.below, seen.together))
    high = middle + half * (apart + _reach(up[1] - seen.above, seen.below - down[0], seen.together))
    unseen = 1 - alpha ** (1 / (seen.even * times))  # the share of clusters of which none need have been met
    low = np.minimum(low, seen.mean - unseen * (seen.mean - low_end))
    high = np.maximum(high, seen.mean + unseen * (high_end - seen.mean))
    return np.clip(low, low_end, seen.mean), np.clip(high, seen.mean, high_end)


def _share_limits(seen: Seen, share: Any, error: Any, shrink: float, alpha: float, times: float) -> tuple[Any, Any]:
    """Clopper and Pearson's one-sided limits of a share, for as many draws as would vary as much.

    With few exceptions the variance says little about how alike the cases of a cluster are. One exception's worth
    of "wholly alike" is mixed in, so that with none at all each cluster counts once.
    """
    import numpy as np
    from scipy.special import betaincinv

    n = seen.n * times
    if seen.whole and seen.clusters == seen.n:
        draws = np.full_like(share, n)
    else:
        simple = share * (1 - share) / seen.n
        effect = error**2 / np.where(simple > 0, simple, 1.0)
        if seen.whole:
            effect = np.maximum(effect, 1.0)
        exceptions = np.minimum(share, 1 - share) * n
        effect = (exceptions * effect + seen.n / seen.even) / (exceptions + 1)
        draws = n / effect * shrink
    met = share * draws
    inside_low, inside_high = share > 0, share < 1
    rest = np.maximum(draws - met, 0.0)
    low = betaincinv(np.where(inside_low, met, 1.0), rest + 1, alpha)
    high = betaincinv(met + 1, np.where(inside_high, rest, 1.0), 1 - alpha)
    return np.where(inside_low, low, 0.0), np.where(inside_high, high, 1.0)


def _reach(first: Any, second: Any, together: Any) -> Any:
    import numpy as np

    return np.sqrt(np.maximum(0.0, first**2 + second**2 - 2 * together * first * second))


def least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least place between at which it holds, where it does not at `low`, does at `high`, and turns but once."""
    for _ in range(60):
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
