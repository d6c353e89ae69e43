"""Does a judge's probability mean what it says? Curves, scores, a temperature, and agreement beyond chance.

A comparison has a judge's probability that the first of two is better, and a target: the share of people
who said so. Which one is called first is arbitrary, so nothing here depends on it: a curve speaks of the
side the judge favours, a temperature has no intercept. Comparisons of one group (a prompt) are not
independent; standard errors leave whole groups out or add up within them. Nothing here is random.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput

Floats = NDArray[np.float64]

FEW = 20
"""Groups below which there is no interval: it would promise more than it keeps (bench/coverage.py)."""
_EDGE = 1e-4  # a probability nearer to 0 or 1 than this is taken as this: certainty has no log-odds


class Estimate(NamedTuple):
    """A number with its interval, or None and why there is none."""

    value: float | None
    low: float | None
    high: float | None
    why: str | None = None


class Bin(NamedTuple):
    """Comparisons about which the judge was about equally sure."""

    confidence: float
    """Mean probability the judge gave the side it favoured, within [0.5, 1]."""
    share: float
    """How far people took that side, a tie counting half."""
    low: float
    high: float
    n: int


class Scores(NamedTuple):
    """How good probabilities are; smaller is better."""

    brier: float
    log_loss: float
    calibration_error: float
    """Mean distance of confidence and share over the bins of the curve, each by its size."""


def calibration_curve(probability: ArrayLike, target: ArrayLike, bins: int = 10) -> list[Bin]:
    """The curve in bins of about equal size, from unsure to sure; equal confidences are never parted.

    Args:
        probability, target: one entry per comparison, within [0, 1].
        bins: at most so many.

    The interval is Wilson's over comparisons.
    """
    from data.stats import wilson

    p, t = _shares(probability, target)
    sure, share = np.where(p >= 0.5, p, 1 - p), np.where(p > 0.5, t, np.where(p < 0.5, 1 - t, 0.5))
    order = np.lexsort((share, sure))
    sure, share = sure[order], share[order]
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True)) + 1
    found: list[Bin] = []
    begin = 0
    for end in ends.tolist():
        if end - begin >= len(sure) / bins or end == len(sure):
            n, won = end - begin, math.fsum(share[begin:end].tolist())
            rate = wilson(min(max(won, 0.0), n), n)
            found.append(Bin(math.fsum(sure[begin:end].tolist()) / n, won / n, rate.low, rate.high, n))
            begin = end
    return found


def scores(probability: ArrayLike, target: ArrayLike) -> Scores:
    """Brier score, log loss and expected calibration error of probabilities against shares."""
    p, t = _shares(probability, target)
    n = len(p)
    inner = np.clip(p, _EDGE, 1 - _EDGE)
    brier = math.fsum((t * (1 - p) ** 2 + (1 - t) * p**2).tolist()) / n
    loss = -math.fsum((t * np.log(inner) + (1 - t) * np.log(1 - inner)).tolist()) / n
    error = sum(b.n * abs(b.confidence - b.share) for b in calibration_curve(p, t)) / n
    return Scores(brier, loss, error)


def temperature(probability: ArrayLike, target: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The temperature T by which log-odds must be divided to fit the targets best: above 1 the judge is too sure.

    Args:
        groups: the number of the group each comparison lies in, from 0.

    Returns:
        None with a reason when the judge gives no graded probabilities, or points the wrong way. The
        interval may be open to one side: `high` is None where no temperature is too high.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks" (2017); the interval adds up squared
    slopes by group (sandwich), for 1/T, in which the likelihood is concave.
    """
    p, t = _shares(probability, target)
    if np.unique(np.maximum(p, 1 - p)[(p > _EDGE) & (p < 1 - _EDGE) & (p != 0.5)]).size < 3:
        return Estimate(None, None, None, "hard labels: there are no graded probabilities to cool or to heat")
    odds = _log_odds(p)
    beta, spread = logistic(odds[:, None], t, groups)
    many = len(np.unique(np.asarray(groups)))
    if beta[0] <= 0:
        return Estimate(None, None, None, "the judge's probabilities point the wrong way, or nowhere")
    if many < FEW:
        return Estimate(1 / float(beta[0]), None, None, _few(many))
    from scipy.special import stdtrit

    half = float(stdtrit(many - 1, (1 + confidence) / 2)) * math.sqrt(spread[0, 0])
    low, high = float(beta[0] - half), float(beta[0] + half)
    return Estimate(1 / float(beta[0]), 1 / high, 1 / low if low > 0 else None)


def cooled(probability: ArrayLike, temperature: float) -> Floats:
    """Probabilities with their log-odds divided by a temperature."""
    return np.asarray(1 / (1 + np.exp(-_log_odds(np.asarray(probability, dtype=np.float64)) / temperature)))


def logistic(features: ArrayLike, target: ArrayLike, groups: ArrayLike, ridge: float = 1e-6) -> tuple[Floats, Floats]:
    """Logistic regression without intercept of shares on features, and its covariance robust to groups.

    Args:
        features: shape (n, k); target: shares within [0, 1]; groups: numbers from 0.
        ridge: keeps coefficients finite where the features tell everything.

    Returns:
        Coefficients, shape (k,), and covariance, shape (k, k).
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    g = np.asarray(groups, dtype=np.int64)
    order = np.lexsort((*x.T, y, g))  # so that the order of the rows changes no digit
    x, y, g = x[order], y[order], g[order]
    beta = np.zeros(x.shape[1])
    bend = np.eye(x.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(np.einsum("ij,j->i", x, beta), -500, 500)))
        slope = np.einsum("ij,i->j", x, y - chance) - ridge * beta
        bend = np.einsum("ij,ik,i->jk", x, x, chance * (1 - chance)) + ridge * np.eye(len(beta))
        move = np.linalg.solve(bend, slope)
        move *= min(1.0, 2.0 / max(2.0, float(np.abs(move).max())))
        beta = beta + move
        if np.abs(move).max() < 1e-10:
            break
    first = np.flatnonzero(np.append(True, g[1:] != g[:-1]))
    chance = 1 / (1 + np.exp(-np.clip(np.einsum("ij,j->i", x, beta), -500, 500)))
    parts = np.add.reduceat(x * (y - chance)[:, None], first)
    inverse = np.linalg.inv(bend)
    many = len(first)
    meat = np.einsum("gi,gj->ij", parts, parts) * (many / max(1, many - 1))
    return beta, np.asarray(inverse @ meat @ inverse)


def cohen_kappa(
    first: ArrayLike, second: ArrayLike, groups: ArrayLike, classes: int, confidence: float = 0.95
) -> Estimate:
    """Cohen's kappa of two annotators' labels, with a jackknife interval over groups on the scale of log(1 - kappa).

    Returns:
        None with a reason when both gave but one value, or there are fewer than three groups for an interval.

    Source: J. Cohen, Educational and Psychological Measurement 20 (1960), 37-46.
    """
    a, b, g = (np.asarray(x, dtype=np.int64) for x in (first, second, groups))
    _, g = np.unique(g, return_inverse=True)
    many = int(g.max()) + 1 if g.size else 0
    tables = np.bincount((g * classes + a) * classes + b, minlength=many * classes * classes)
    tables = tables.reshape(many, classes, classes).astype(np.float64)
    whole = tables.sum(axis=0)
    value = float(_kappas(whole[None])[0])
    if not math.isfinite(value):
        return Estimate(None, None, None, "one value only")
    left = _kappas(whole - tables)
    left = left[np.isfinite(left)]
    n = len(left)
    if n < FEW:
        return Estimate(value, None, None, _few(n))
    from data.intervals import jackknife_interval

    chance = float((whole.sum(axis=0) * whole.sum(axis=1)).sum() / whole.sum() ** 2)
    times = np.ones(n, dtype=np.int64)
    ends = jackknife_interval(value, left, times, confidence, -1.0, 1 / max(1 - chance, 1e-9))
    return Estimate(value, ends.low, ends.high)


def _kappas(tables: Floats) -> Floats:
    """Kappa of each table; NaN where chance alone agrees wholly."""
    n = tables.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.trace(tables, axis1=1, axis2=2) / n
        chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
        found = np.where(chance < 1, (seen - chance) / (1 - chance), np.nan)
    return np.asarray(found, dtype=np.float64)


def mean_by_group(values: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> Estimate:
    """A mean with an interval that takes whole groups as what varies, by Student's t.

    A mean of shares (all values within 0 to 1) has Wilson's interval for as many draws as would vary as much,
    so it stays within 0 to 1 and is not empty where all say the same; another is mean ± t · error.
    """
    x, g = np.asarray(values, dtype=np.float64), np.asarray(groups, dtype=np.int64)
    if not x.size:
        return Estimate(None, None, None, "nothing to average")
    order = np.lexsort((x, g))
    x, g = x[order], g[order]
    mean = math.fsum(x.tolist()) / len(x)
    first = np.flatnonzero(np.append(True, g[1:] != g[:-1]))
    many = len(first)
    if many < FEW:
        return Estimate(mean, None, None, _few(many))
    from scipy.special import stdtrit

    t = float(stdtrit(many - 1, (1 + confidence) / 2))
    parts = np.add.reduceat(x - mean, first)
    error = math.sqrt(math.fsum((parts**2).tolist()) * many / (many - 1)) / len(x)
    if x.min() < 0 or x.max() > 1:
        return Estimate(mean, mean - t * error, mean + t * error)
    draws = min(float(len(x)), mean * (1 - mean) / error**2) if error > 0 else float(many)
    centre = (mean + t * t / (2 * draws)) / (1 + t * t / draws)
    half = t / (1 + t * t / draws) * math.sqrt(mean * (1 - mean) / draws + t * t / (4 * draws * draws))
    return Estimate(mean, max(0.0, centre - half), min(1.0, centre + half))


def _few(groups: int) -> str:
    return f"too few: {groups} tasks of at least {FEW}"


def _log_odds(p: Floats) -> Floats:
    inner = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inner) - np.log1p(-inner))


def _shares(probability: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    p, t = np.asarray(probability, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if p.shape != t.shape or p.ndim != 1 or not p.size:
        raise BadInput("calibration: give one probability and one target for each comparison, at least one")
    if not all(((x >= 0) & (x <= 1)).all() for x in (p, t)):
        raise BadInput("calibration: probabilities and targets lie within 0 to 1")
    return p, t
