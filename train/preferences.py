"""Which of two answers a model prefers, how often that is what people prefer, and whether its certainty is earned.

A reward model prefers by its scores. A dpo or kto run prefers by its implicit reward β · log(π / π_ref), R. Rafailov
et al., arXiv 2305.18290, eq. 5. Any other language model prefers what it is likelier to say: log π summed over the
answer's tokens, or a token's mean where that is asked for. The difference of two is a log-odds, so that
σ(difference) is the probability it gives the chosen answer.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from train.cases import Case
from train.likelihoods import Likelihood


class Preference(NamedTuple):
    """What a model makes of the two answers of a pair, in its own terms."""

    chosen: float
    rejected: float

    @property
    def margin(self) -> float:
        """Log-odds that the chosen answer is better."""
        return self.chosen - self.rejected

    @property
    def probability(self) -> float:
        """That the chosen answer is better, in [0, 1]."""
        return 1 / (1 + math.exp(-self.margin)) if self.margin > -700 else 0.0


def implicit(own: Likelihood, start: Likelihood | None, beta: float, by_token: bool) -> float:
    """β · (log π − log π_ref) of one answer; without a start model log π alone. `by_token` takes means, not sums."""
    here = own.mean if by_token else own.total
    there = 0.0 if start is None else start.mean if by_token else start.total
    return beta * (here - there)


def right(preference: Preference, p: float) -> float | None:
    """1 where a model prefers what people prefer, 0 where the other, 0.5 where it prefers neither; None at p = 0.5.

    Args:
        p: how probable it is that the chosen answer is better; below 0.5 people prefer the rejected one.
    """
    if p == 0.5:
        return None
    if preference.margin == 0:
        return 0.5
    return float((preference.margin > 0) == (p > 0.5))


def brier(preference: Preference, p: float) -> float:
    """Brier score of the model's probability against people's, in [0, 1]; at best p · (1 − p), where the two agree."""
    q = preference.probability
    return p * (1 - q) ** 2 + (1 - p) * q**2


class Calibration(NamedTuple):
    """Whether a side's probabilities mean what they say."""

    side: str
    brier: float
    log_loss: float
    error: float
    """Expected calibration error, over bins of about equal size; by chance alone above 0, the more so the fewer."""
    error_low: float | None
    error_high: float | None
    temperature: float | None
    """By which margins must be divided to fit best; above 1 it is too sure."""
    temperature_low: float | None
    temperature_high: float | None
    n: int
    clusters: int
    bins: list[dict[str, float]]
    """confidence, share, low, high, n; see data/calibration.py."""


def calibration_of(
    side: str, preferences: Sequence[Preference], targets: Sequence[float], clusters: Sequence[str]
) -> Calibration:
    """Scores of a side's probabilities, with 95 % intervals that leave out one cluster at a time.

    Args:
        targets: people's probability that the chosen answer is better; one entry a preference, at least one.
        clusters: prompt families.
    """
    from data.calibration import calibration_curve, scores, temperature

    q = [one.probability for one in preferences]
    number = {name: i for i, name in enumerate(sorted(set(clusters)))}
    groups = [number[name] for name in clusters]
    curve = calibration_curve(q, list(targets))
    found = scores(q, list(targets))
    low, high = error_interval(q, targets, groups)
    heat = temperature(q, list(targets), groups)
    return Calibration(
        side,
        found.brier,
        found.log_loss,
        found.calibration_error,
        low,
        high,
        heat.value,
        heat.low,
        heat.high,
        len(q),
        len(number),
        [{name: float(value) for name, value in one._asdict().items()} for one in curve],
    )


def error_interval(
    probability: Sequence[float], target: Sequence[float], groups: Sequence[int]
) -> tuple[float | None, float | None]:
    """95 % interval of the expected calibration error: the jackknife over groups, the bins as all rows make them.

    Returns:
        None twice where there are fewer groups than an interval needs (data/calibration.py FEW).
    """
    import numpy as np
    from scipy.special import stdtrit

    from data.calibration import FEW, calibration_curve

    many = max(groups) + 1
    if many < FEW:
        return None, None
    p, t, g = np.asarray(probability), np.asarray(target), np.asarray(groups)
    curve = calibration_curve(p, t)
    sure = np.maximum(p, 1 - p)
    share = np.where(p > 0.5, t, np.where(p < 0.5, 1 - t, 0.5))
    order = np.lexsort((share, sure))
    bins = np.repeat(np.arange(len(curve)), [one.n for one in curve])
    gaps = np.zeros((many, len(curve)))
    np.add.at(gaps, (g[order], bins), (sure - share)[order])
    sizes = np.bincount(g, minlength=many)
    whole = gaps.sum(axis=0)
    value = float(np.abs(whole).sum() / len(p))
    left = np.abs(whole - gaps).sum(axis=1) / (len(p) - sizes)
    spread = math.sqrt((many - 1) / many * float(((left - left.mean()) ** 2).sum()))
    half = float(stdtrit(many - 1, 0.975)) * spread
    return max(0.0, value - half), min(1.0, value + half)


def preference_cases(
    rows: Sequence[Any], run: Sequence[Preference], against: Sequence[Preference] | None
) -> list[Case]:
    """accuracy (rows about which people are not divided evenly) and calibration (the Brier score) of each row.

    Args:
        rows: with id, cluster, tags and p (train.evaluation_rows.Held); one entry of `run` and of `against` each.
    """
    made = []
    for i, row in enumerate(rows):
        other = against[i] if against else None
        value, theirs = right(run[i], row.p), right(other, row.p) if other else None
        if value is not None:
            made.append(Case("accuracy", row.id, row.cluster, value, theirs, row.tags))
        score = brier(other, row.p) if other else None
        made.append(Case("calibration", row.id, row.cluster, brier(run[i], row.p), score, row.tags))
    return made
