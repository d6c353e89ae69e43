"""How often each annotator is right, judged by what the others said, with an interval.

What an item is follows from all votes; held against one annotator's vote it would count that vote as
evidence for itself, so each vote is taken out of the item it was cast on first. What the others leave
uncertain widens the interval, and so does how well the others themselves are known. Nothing here is
random, and the order of the votes changes no digit.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.consensus import DawidSkene
from data.errors import BadInput
from data.vote_table import Floats

FEW = 20  # votes below which an interval would promise more than it keeps
_BINS = 64  # within one, probabilities are taken as their mean: an error far below the interval's width
_CHUNK = 1_000_000
_MOST = 10.0  # times the variance; beyond, the votes hardly tell the annotators' chances apart


class Reliability(NamedTuple):
    """For each annotator; all shares within [0, 1]."""

    estimate: Floats
    """Chance that a vote says the true class; half a right and half a wrong vote are added before."""
    low: Floats
    """NaN below FEW votes, as is `high`."""
    high: Floats
    votes: Floats
    """Weight of the votes behind it."""
    agreement: Floats
    """Share of votes that say what the others make likeliest, an even vote of the others left out; NaN without any."""


def reliability(
    item: ArrayLike,
    annotator: ArrayLike,
    label: ArrayLike,
    found: DawidSkene,
    count: ArrayLike | None = None,
    *,
    turned: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Reliability:
    """The chance that each annotator says the true class, as the other annotators' votes have it.

    Args:
        item, annotator, label, count, turned: the votes `found` was made from; each row is taken as one
            vote of weight `count`, at most 1 of an annotator on an item.
        confidence: coverage aimed at, within (0, 1).

    The estimate is the maximum of the likelihood in which a vote is right with chance a, and wrong evenly
    among the other classes, each item's class being known as far as the others tell; the interval
    holds the values whose likelihood is not much less (as much as a likelihood-ratio test allows: near 1 and 0 the
    log-odds are far from normal, and by `_widening` less because the others are estimated too). From FEW votes on
    it covers 93 to 97% of the time on average where annotators are clearly better than chance with three others an
    item; where nearly all guess (55 to 70% right of two classes) it falls to 86% with the smoothing that pairs have,
    1 (both simulated in the tests), and to 72% without, `found` itself being too sure then.
    """
    if not 0 < confidence < 1:
        raise BadInput(f"reliability: confidence is {confidence}; give a share between 0 and 1, such as 0.95")
    what, who, said = (np.asarray(x) for x in (item, annotator, label))
    weight = np.ones(what.shape) if count is None else np.asarray(count, dtype=np.float64)
    side = np.zeros(what.shape, np.bool_) if turned is None else np.asarray(turned, dtype=np.bool_)
    order = np.lexsort((weight, side, said, what, who))
    people, kinds = found.confusion.shape[:2]
    right_of = np.where(side, kinds - 1 - said, said)
    mass, sums = np.zeros(people * _BINS), np.zeros(people * _BINS)
    same, decided = np.zeros(people), np.zeros(people)
    for begin in range(0, len(order), _CHUNK):
        at = order[begin : begin + _CHUNK]
        others = _without_own(found, what[at], who[at], said[at], weight[at], side[at])
        right = right_of[at]
        chance = others[np.arange(len(at)), right]
        cell = who[at].astype(np.int64) * _BINS + np.minimum((chance * _BINS).astype(np.int64), _BINS - 1)
        mass += np.bincount(cell, weight[at], people * _BINS)
        sums += np.bincount(cell, weight[at] * chance, people * _BINS)
        ranked = np.sort(others, axis=1)
        clear = ranked[:, -1] > (ranked[:, -2] + 1e-9 if kinds > 1 else -1)
        mine = weight[at] * clear
        decided += np.bincount(who[at], mine, people)
        same += np.bincount(who[at], mine * (others.argmax(axis=1) == right), people)
    table = mass.reshape(people, _BINS)
    share = np.divide(sums.reshape(people, _BINS), table, out=np.zeros_like(table), where=table > 0)
    share = np.clip(share, 0, 1)
    estimate = _likeliest(table, share, kinds)
    votes = table.sum(axis=1)
    widening = _widening(found, what[order], who[order], right_of[order], weight[order], table, share, estimate)
    drop = NormalDist().inv_cdf((1 + confidence) / 2) ** 2 / 2 * widening
    enough = votes >= FEW - 1e-9
    low, high = (np.where(enough, _end(table, share, kinds, estimate, to, drop), np.nan) for to in (0.0, 1.0))
    agreement = np.divide(same, decided, out=np.full(people, np.nan), where=decided > 0)
    return Reliability(estimate, low, high, votes, agreement)


def _without_own(
    found: DawidSkene,
    what: NDArray[np.int64],
    who: NDArray[np.int64],
    said: NDArray[np.int64],
    weight: Floats,
    side: NDArray[np.bool_],
) -> Floats:
    """The probability of each class of each vote's item, had this vote not been cast."""
    likely = found.confusion[who, :, said]
    likely[side] = likely[side][:, ::-1]
    score = np.log(np.maximum(found.posterior[what], 1e-300)) - weight[:, None] * np.log(np.maximum(likely, 1e-300))
    score = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(score / score.sum(axis=1, keepdims=True))


def _likeliest(mass: Floats, share: Floats, kinds: int) -> Floats:
    """For each row the likeliest chance of being right."""
    wrong = (1 - share) / max(1, kinds - 1)
    chance = np.full(len(mass), 0.7)
    total = mass.sum(axis=1) + 1
    for _ in range(500):
        likelihood = share * chance[:, None] + wrong * (1 - chance[:, None])
        right = share * chance[:, None] / np.maximum(likelihood, 1e-300)
        step = ((mass * right).sum(axis=1) + 0.5) / total
        moved = np.abs(step - chance).max()
        chance = step
        if moved < 1e-10:
            break
    return chance


def _log_likelihood(mass: Floats, share: Floats, kinds: int, chance: Floats) -> Floats:
    """Of each row, with half a right and half a wrong vote added."""
    wrong = (1 - share) / max(1, kinds - 1)
    likelihood = share * chance[:, None] + wrong * (1 - chance[:, None])
    added = 0.5 * (np.log(np.maximum(chance, 1e-300)) + np.log(np.maximum(1 - chance, 1e-300)))
    return np.asarray((mass * np.log(np.maximum(likelihood, 1e-300))).sum(axis=1) + added)


def _widening(
    found: DawidSkene,
    what: NDArray[np.int64],
    who: NDArray[np.int64],
    right: NDArray[np.int64],
    weight: Floats,
    mass: Floats,
    share: Floats,
    chance: Floats,
) -> Floats:
    """How much the others' own uncertainty adds to the variance of each annotator's chance, a factor from 1 to _MOST.

    With I the observed information about all chances, the variance of one is 1 / I_jj where the others are known,
    and 1 / (I_jj - sum of I_jk^2 / I_kk) where each of them is estimated too, apart from one another. I_jk is minus
    the sum over items of the covariance of the two votes' scores, the item's class being as all votes have it
    (T. A. Louis, Journal of the Royal Statistical Society B 44 (1982), 226-233): of two votes that say classes
    r and s, (p_r [r = s] - p_r p_s) / (a_j (1 - a_j) a_k (1 - a_k)).
    """
    from scipy.sparse import csr_array

    people, kinds = found.confusion.shape[:2]
    wrong = (1 - share) / max(1, kinds - 1)
    score = (share - wrong) / np.maximum(share * chance[:, None] + wrong * (1 - chance[:, None]), 1e-300)
    own = (mass * score**2).sum(axis=1) + 0.5 / chance**2 + 0.5 / (1 - chance) ** 2
    believed = found.posterior[what, right]
    at = np.flatnonzero(np.minimum(believed, 1 - believed) > 1e-9)  # a certain class is no news of anybody
    item, by, believed = what[at], who[at], believed[at]
    size = weight[at] / (chance * (1 - chance))[by]
    same = csr_array(
        (size * np.sqrt(believed), (item * kinds + right[at], by)), shape=(len(found.posterior) * kinds, people)
    )
    mean = csr_array((size * believed, (item, by)), shape=(len(found.posterior), people))
    shared = (same.T @ same - mean.T @ mean).tocoo()
    apart = shared.row != shared.col
    j, k = shared.row[apart], shared.col[apart]
    lost = np.bincount(j, shared.data[apart] ** 2 / own[k], people) / own
    return np.asarray(1 / np.maximum(1 - lost, 1 / _MOST))


def _end(mass: Floats, share: Floats, kinds: int, chance: Floats, to: float, drop: Floats) -> Floats:
    """Of each row where, on the way from the likeliest chance to 0 or 1, the log-likelihood has fallen by `drop`."""
    least = _log_likelihood(mass, share, kinds, chance) - drop
    inside, outside = chance.copy(), np.full(len(chance), to)
    for _ in range(50):
        middle = (inside + outside) / 2
        fits = _log_likelihood(mass, share, kinds, middle) >= least
        inside, outside = np.where(fits, middle, inside), np.where(fits, outside, middle)
    return inside
