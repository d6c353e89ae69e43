"""The win rate that both answers would have at the same length, and how much of a win rate is length.

    found = length_controlled(wins)
    found.rate, found.low, found.high, found.from_length

After AlpacaEval 2 (Y. Dubois et al., arXiv 2404.04475, equation 2), a logistic model of the verdicts:

    logit P(run preferred on x) = θ + φ · tanh(Δ(x) / s) + ψ · γ(x)

Δ is the run's length minus the reference's in characters, s its standard deviation. The length-controlled win
rate is the mean over prompts of the model's prediction with the length term set to zero.

What one pair of models can tell, and what differs from AlpacaEval:
- θ is of this pair alone, as φ is; their model has one θ for each of many models.
- γ, how hard an instruction is, cannot be told from φ and noise with one verdict a prompt: AlpacaEval takes it
  from a fit over its leaderboard. Here it is given (`difficulty`, from judge files of other models on the same
  prompts), or the term is left out; then the mean over prompts is one number, the logistic of θ.
- s is taken within each language that has 30 contests or more, for a Chinese character says more than a Latin one.
- Instead of a penalty chosen by cross-validation, θ, φ and ψ have a normal prior of standard deviation 10, which
  moves nothing but keeps an undefeated run finite.
- A win rate of verdicts, not of probabilities, unless the wins were read with `soft`.
- The interval: leaving out prompt families (400 blocks of them at most) one at a time, on the log-odds, Student's t.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BadInput
from data.records import digest
from train.bounds import FEW
from train.cases import Case
from train.contests import Wins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

OWN_SCALE = 30
"""Contests of a language from which on it has a standard deviation of its own."""
MOST_BLOCKS = 400
PRIOR = 0.01
"""Precision of the normal prior on each coefficient: a standard deviation of 10 in log-odds."""
_CELLS = 4_000_000


class LengthControlled(NamedTuple):
    """Win rates with and without what length does, all within [0, 1], intervals over prompt families."""

    rate: float
    """If both answers were equally long."""
    low: float | None
    """None where there are too few families."""
    high: float | None
    raw: float
    """As it was judged."""
    from_length: float
    """raw - rate: what the difference in length adds to the win rate."""
    from_length_low: float | None
    from_length_high: float | None
    effect: float
    """φ: log-odds that go to an answer much longer than the other, relative to equal length."""
    n: int
    clusters: int
    longer: float
    """Share of contests in which the run's answer is the longer one; equal counts half."""
    why: str
    """Why length could not be told apart from the rest: then rate is raw; else empty."""
    cases: list[Case]
    """Pseudo-values: their mean is `rate` and their variance over families that of `rate`. They may lie outside
    [0, 1], and carry no slices, since the model is one for all; fit a slice's own wins for its figure."""


class _Fit(NamedTuple):
    """What the model is fitted to."""

    y: "Floats"
    z: "Floats"
    """n × k: one, length, and difficulty where given."""
    block: "Ints"


def length_controlled(
    wins: Wins, *, difficulty: Mapping[str, float] | None = None, confidence: float = 0.95
) -> LengthControlled:
    """The length-controlled win rate of a run.

    Args:
        difficulty: γ by contest id, the log-odds by which other models win on it; a contest without one has 0.
        confidence: coverage aimed at by the intervals, within (0, 1).

    Raises:
        BadInput: no contests, or a difficulty that is not finite.
    """
    import numpy as np

    if not wins.rows:
        raise BadInput("length control: there are no judged contests; read wins first")
    y = np.array([row.value for row in wins.rows])
    delta = np.array([row.lengths[0] - row.lengths[1] for row in wins.rows], dtype=np.float64)
    x = _scaled(delta, [row.tags.get("language", "") for row in wins.rows])
    columns = [np.ones_like(x), x]
    if difficulty is not None:
        gamma = np.array([difficulty.get(row.id, 0.0) for row in wins.rows])
        if not np.isfinite(gamma).all():
            raise BadInput("length control: a difficulty is not a finite number; give log-odds")
        columns.append(gamma)
    block, blocks, clusters = _blocks([row.cluster for row in wins.rows])
    fit = _Fit(y, np.stack(columns, axis=1), block)
    longer = float((0.5 + 0.5 * np.sign(delta)).mean())
    if why := _blind(x):
        fit = fit._replace(z=np.delete(fit.z, 1, axis=1))
    return _found(wins, fit, blocks, clusters, longer, why, confidence)


def _blind(x: "Floats") -> str:
    """Why length cannot be told from the rest."""
    if not x.any():
        return "both answers are equally long everywhere"
    return "the difference in length is the same everywhere" if float(x.max() - x.min()) < 1e-9 else ""


def _scaled(delta: "Floats", languages: list[str]) -> "Floats":
    """tanh of the difference over its standard deviation, within a language or over all."""
    import numpy as np

    of = np.array(languages)
    large = {name for name in set(languages) if (of == name).sum() >= OWN_SCALE}
    scaled = np.zeros_like(delta)
    for name in sorted({one if one in large else "" for one in languages}):
        at = (of == name) if name in large else ~np.isin(of, sorted(large))
        sd = float(delta[at].std()) if name in large else float(delta.std())
        scaled[at] = np.tanh(delta[at] / sd) if sd else np.sign(delta[at])
    return scaled


def _blocks(clusters: list[str]) -> "tuple[Ints, int, int]":
    """The block that is left out with each contest, how many there are, and how many families."""
    import numpy as np

    names = sorted(set(clusters), key=lambda name: digest(["length control", name]))
    count = min(len(names), MOST_BLOCKS)
    place = {name: n % count for n, name in enumerate(names)}
    return np.array([place[name] for name in clusters], dtype=np.int64), count, len(names)


def _found(
    wins: Wins, fit: _Fit, blocks: int, clusters: int, longer: float, why: str, confidence: float
) -> LengthControlled:
    import numpy as np

    whole = np.ones((1, len(fit.y)))
    beta = _coefficients(fit, whole, np.zeros((1, fit.z.shape[1])))
    rate = float(_rates(fit, beta, whole, bool(why))[0])
    raw = float(fit.y.mean())
    rate = raw if why and fit.z.shape[1] == 1 else rate
    low = high = from_low = from_high = None
    rates, raws = _left_out(fit, blocks, beta[0], bool(why)) if blocks > 1 else (beta[0, :0], beta[0, :0])
    if blocks >= FEW:
        low, high = _ends(_logit(rate), np.array([_logit(one) for one in rates]), confidence)
        low, high = _sigma(low), _sigma(high)
        from_low, from_high = (0.0, 0.0) if why else _ends(raw - rate, raws - rates, confidence)
    return LengthControlled(
        rate=rate,
        low=low,
        high=high,
        raw=raw,
        from_length=0.0 if why else raw - rate,
        from_length_low=from_low,
        from_length_high=from_high,
        effect=0.0 if why else float(beta[0, 1]),
        n=len(fit.y),
        clusters=clusters,
        longer=longer,
        why=why,
        cases=_cases(wins, fit, beta[0], rate, rates if blocks == clusters else None, bool(why)),
    )


def _coefficients(fit: _Fit, weights: "Floats", start: "Floats") -> "Floats":
    """Newton's method for each row of weights at once; B × k."""
    import numpy as np

    beta = np.repeat(start, len(weights), axis=0) if len(start) == 1 else start.copy()
    k = fit.z.shape[1]
    for _ in range(50):
        mu = 1 / (1 + np.exp(-np.clip(beta @ fit.z.T, -40, 40)))
        slope = np.einsum("bn,nk->bk", weights * (fit.y - mu), fit.z) - PRIOR * beta
        bend = np.einsum("bn,nk,nl->bkl", weights * mu * (1 - mu), fit.z, fit.z) + PRIOR * np.eye(k)
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        # A step of more than 5 overshoots where nearly all verdicts are alike.
        beta = beta + step * np.minimum(1, 5 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    return beta


def _rates(fit: _Fit, beta: "Floats", weights: "Floats", blind: bool) -> "Floats":
    """The mean prediction with the length term at zero."""
    import numpy as np

    kept = fit.z.copy()
    if not blind:
        kept[:, 1] = 0
    predicted = 1 / (1 + np.exp(-np.clip(beta @ kept.T, -40, 40)))
    rates: Floats = (predicted * weights).sum(axis=1) / weights.sum(axis=1)
    return rates


def _left_out(fit: _Fit, blocks: int, beta: "Floats", blind: bool) -> "tuple[Floats, Floats]":
    """Both rates without each block in turn."""
    import numpy as np

    rates, raws = np.zeros(blocks), np.zeros(blocks)
    step = max(1, _CELLS // len(fit.y))
    for start in range(0, blocks, step):
        some = np.arange(start, min(blocks, start + step))
        weights = (fit.block[None, :] != some[:, None]).astype(np.float64)
        found = _coefficients(fit, weights, beta[None, :])
        rates[some] = _rates(fit, found, weights, blind)
        raws[some] = (weights * fit.y).sum(axis=1) / weights.sum(axis=1)
    return rates, raws


def _ends(value: float, left: Any, confidence: float) -> tuple[float, float]:
    """value ± t · the jackknife's standard error."""
    from scipy.special import stdtrit

    n = len(left)
    error = math.sqrt((n - 1) / n * math.fsum((left - math.fsum(left) / n) ** 2))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    return value - half, value + half


def _logit(p: float) -> float:
    p = min(max(p, 1e-12), 1 - 1e-12)
    return math.log(p / (1 - p))


def _sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _cases(wins: Wins, fit: _Fit, beta: "Floats", rate: float, left: "Floats | None", blind: bool) -> list[Case]:
    """What each contest adds to the rate, times n: the jackknife's where each family was left out, shared evenly in it.

    Else, with families by the hundred, the infinitesimal jackknife's, which is the same at that size.
    """
    import numpy as np

    n = len(fit.y)
    if left is not None and len(left) > 1:
        size = np.bincount(fit.block, minlength=len(left))
        pull = (len(left) - 1) * (math.fsum(left) / len(left) - left) / len(left) / size
        values = rate + n * pull[fit.block]
    else:
        values = rate + _infinitesimal(fit, beta, blind)
    tags = {"judged_by": wins.source}
    return [
        Case("win_rate_length_controlled", row.id, row.cluster, float(value), None, tags)
        for row, value in zip(wins.rows, values, strict=True)
    ]


def _infinitesimal(fit: _Fit, beta: "Floats", blind: bool) -> "Floats":
    """n times the derivative of the rate by each contest's weight; their sum is 0."""
    import numpy as np

    kept = fit.z.copy()
    if not blind:
        kept[:, 1] = 0
    n, k = fit.z.shape
    predicted, mu = (1 / (1 + np.exp(-np.clip(z @ beta, -40, 40))) for z in (kept, fit.z))
    score = (fit.y - mu)[:, None] * fit.z
    bend = (fit.z * (mu * (1 - mu))[:, None]).T @ fit.z + PRIOR * np.eye(k)
    towards = (kept * (predicted * (1 - predicted))[:, None]).mean(axis=0)
    pull: Floats = n * ((score - score.mean(axis=0)) @ np.linalg.solve(bend, towards)) + predicted - predicted.mean()
    return pull
