"""Measures of agreement with both their intervals, from one design: the jackknife and the bootstrap over blocks.

    found = measure(design(counts, times), "ordinal")
    found["alpha"].value, found["alpha"].jackknife.low

All measures share the same leave-one-outs and the same draws. Coverage was simulated in bench/coverage.py: from
TOO_FEW blocks on both hold the truth as often as they say on average; the worst cases (nearly all units alike) less.
Source: J. Hughes on the jackknife for alpha (arXiv 2210.13265, 2022); B. Efron and R. Tibshirani, "An Introduction
to the Bootstrap" (1993), chapters 11 and 13.
"""

import math
from typing import NamedTuple

import numpy as np

from data.agreement import Level, exact_sum
from data.coincidence import (
    Design,
    Floats,
    Ints,
    Totals,
    ac1s,
    alphas,
    ordered_pairs,
    pairable,
    percents,
    weighed,
    without_each,
)
from data.draws import weights
from data.errors import BadInput

TOO_FEW = 20
"""Blocks below which no interval is to be relied on."""
TOO_FEW_GRADED = 100
"""The same for alpha at the ordinal, interval and ratio levels, where one far-off judgment weighs much."""
MEASURES = ("alpha", "percent", "ac1")
_CELLS = 4_000_000


class Interval(NamedTuple):
    """Low and high end, or None where there is none."""

    low: float | None
    high: float | None
    error: float | None
    """Standard error."""
    estimate: float | None = None
    """The jackknife's bias-corrected value, or the mean of the bootstrap's replicates."""


class Measured(NamedTuple):
    """One measure: its value or why there is none, what it stands on, and its intervals."""

    value: float | None
    why: str | None
    units: int
    """Units with two judgments or more."""
    ratings: int
    """Judgments on them."""
    blocks: int
    """Blocks (units, or prompts that hold several) with such a unit: what was resampled."""
    jackknife: Interval
    bootstrap: Interval


NONE = Interval(None, None, None)


def measure(
    made: Design,
    level: Level,
    numbers: Floats | None = None,
    *,
    replicates: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Measured]:
    """Alpha, percent agreement and AC1 of one design, each with both intervals.

    Args:
        level: of measurement, read by alpha alone.
        numbers: the values as numbers, for the interval and ratio levels.
        replicates: of the bootstrap; 0 leaves it out.
        seed: of the bootstrap.
        confidence: coverage aimed at, within (0, 1).

    Returns:
        By name: "alpha", "percent", "ac1". The value is None with why "no pairable unit" or "one value only".

    Raises:
        BadInput: confidence out of range, replicates below 0, negative numbers at the ratio level.
    """
    if not 0 < confidence < 1:
        raise BadInput(f"agreement: confidence is {confidence}; give a share between 0 and 1, such as 0.95")
    if replicates < 0:
        raise BadInput(f"agreement: {replicates} replicates; give 0 or more, best 1000 or more")
    if level == "ratio" and numbers is not None and (numbers < 0).any():
        raise BadInput("agreement: the ratio level has no meaning for values below 0; use interval")
    whole = weighed(made, made.times[:, None].astype(np.float64)) if made.parts else None
    units = round(float(whole.units[0])) if whole else 0
    if whole is None or not units:
        return dict.fromkeys(MEASURES, Measured(None, "no pairable unit", 0, 0, 0, NONE, NONE))
    ratings = round(_pairable_ratings(made))
    kept = pairable(made)
    blocks = int(made.times[kept].sum())
    values = _all(whole, level, numbers)
    left = _left(made, level, numbers)
    slips = _slips(whole, ratings, units)
    drawn = _drawn(made, level, numbers, replicates, seed)
    found = {}
    for name in MEASURES:
        value = float(values[name][0])
        if math.isnan(value):
            found[name] = Measured(None, "one value only", units, ratings, blocks, NONE, NONE)
            continue
        low, slip = (0.0 if name == "percent" else -math.inf), slips[name]
        jackknife = jackknife_interval(value, left[name][kept], made.times[kept], confidence, low, slip)
        bootstrap = percentile_interval(value, drawn[name], blocks, confidence, low, slip) if replicates else NONE
        found[name] = Measured(value, None, units, ratings, blocks, jackknife, bootstrap)
    return found


def _pairable_ratings(made: Design) -> float:
    """Judgments on pairable units: a unit with m of them has m (m - 1) ordered pairs."""
    return sum(ordered_pairs(made, part) / (part.judgments - 1) for part in made.parts if part.judgments > 1)


def _all(totals: Totals, level: Level, numbers: Floats | None) -> dict[str, Floats]:
    return {"alpha": alphas(totals, level, numbers), "percent": percents(totals), "ac1": ac1s(totals)}


def _left(made: Design, level: Level, numbers: Floats | None) -> dict[str, Floats]:
    """Every measure without one occurrence of each distinct block."""
    step = max(1, _CELLS // (made.values * (made.values + 1) // 2))
    count = len(made.times)
    found = [_all(without_each(made, i, min(count, i + step)), level, numbers) for i in range(0, count, step)]
    return {name: np.concatenate([one[name] for one in found]) for name in MEASURES}


def _drawn(made: Design, level: Level, numbers: Floats | None, replicates: int, seed: int) -> dict[str, Floats]:
    """Every measure of each replicate."""
    found = [_all(weighed(made, drawn), level, numbers) for drawn in weights(made.times, replicates, seed)]
    return {name: np.concatenate([one[name] for one in found]) if found else np.empty(0) for name in MEASURES}


def jackknife_interval(
    value: float, left: Floats, times: Ints, confidence: float, lowest: float, slip: float
) -> Interval:
    """Student's t with blocks - 1 degrees of freedom on the scale of log(1 - value), cut at `lowest`.

    1 - value is a share of disagreement: above 0 and skewed, so that a symmetric interval falls short of its
    coverage where agreement is high. At perfect agreement there is no spread to measure: the low end is then
    where the share of blocks with a disagreement is as high as it may well be unseen in that many.

    Args:
        left: the value without each distinct block; NaN where it does not exist.
        times: how often each occurs.
        slip: what a disagreement in every block would take from a value of 1.
    """
    from scipy.special import stdtrit

    known = np.isfinite(left)
    left, often = left[known], times[known].astype(np.float64)
    n = float(often.sum())
    if n < 3:
        return NONE
    if value > 1 - 1e-12:
        return Interval(_unseen(n, confidence, lowest, slip), 1.0, 0.0, 1.0)
    mean = exact_sum(left * often) / n
    error = math.sqrt((n - 1) / n * exact_sum((left - mean) ** 2 * often))
    estimate = n * value - (n - 1) * mean
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error / (1 - value)
    low = 1 - (1 - value) * math.exp(min(half, 700))
    return Interval(max(lowest, low), 1 - (1 - value) * math.exp(-half), error, estimate)


def percentile_interval(
    value: float, drawn: Floats, blocks: int, confidence: float, lowest: float, slip: float
) -> Interval:
    """The middle share of the replicates, widened for few blocks; none where most replicates have no value.

    Percentiles of a resample are narrow by about sqrt((n - 1) / n) and a normal instead of a t; the share taken
    makes up for both (T. Hesterberg, "What Teachers Should Know About the Bootstrap", 2014, section 5.3).
    """
    from scipy.special import ndtr, stdtrit

    known = np.sort(drawn[np.isfinite(drawn)])
    if len(known) * 2 < len(drawn) or len(known) < 2 or blocks < 3:
        return NONE
    mean = exact_sum(known) / len(known)
    if value > 1 - 1e-12:
        return Interval(_unseen(blocks, confidence, lowest, slip), 1.0, 0.0, mean)
    reach = math.sqrt(blocks / (blocks - 1)) * float(stdtrit(blocks - 1, (1 - confidence) / 2))
    tail = float(ndtr(reach))
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(low), float(high), float(np.std(known, ddof=1)), mean)


def _unseen(blocks: float, confidence: float, lowest: float, slip: float) -> float:
    """The low end when nothing but agreement was seen: a share p of slips goes unseen with (1 - p)^blocks."""
    return float(max(lowest, 1 - (1 - (1 - confidence) ** (1 / blocks)) * slip))


def _slips(totals: Totals, ratings: int, units: int) -> dict[str, float]:
    """What a disagreement in every block takes from each measure: one judgment of a unit otherwise than the rest."""
    apart = 2 * units / ratings
    common = totals.shares[0] / totals.rated[0]
    unlike = 1 - float((common * common).sum())
    categories = len(common)
    chance = float((common * (1 - common)).sum()) / max(1, categories - 1)
    return {"alpha": apart / unlike if unlike > 0 else apart, "percent": apart, "ac1": apart / (1 - chance)}
