"""Strengths of thousands of items from sparse comparisons: the same likelihood, never as a table of items by items.

Newton's steps are solved by conjugate gradients over the pairs that met, so time and memory grow with the
comparisons. A prior above 0 makes the maximum finite and unique, so it is the one `data.strength` finds. Intervals
are the strength ± a normal quantile of the bootstrap's standard error; a replicate starts from the whole's maximum.

Source: M. R. Hestenes and E. Stiefel, Journal of Research of the NBS 49 (1952), 409-436.
"""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from data.errors import BadInput
from data.pair_likelihood import Floats, Ints, Pairs
from data.strength import Strengths, tally
from data.strength_intervals import StrengthIntervals

_STEPS = 60


def sparse_strengths(
    first: Ints,
    second: Ints,
    winner: Ints,
    weight: Floats | None = None,
    *,
    items: int,
    prior: float = 0.5,
    replicates: int = 100,
    seed: int = 0,
    confidence: float = 0.95,
) -> StrengthIntervals:
    """Strengths with Davidson's ties and an order effect, and their intervals, from long rows of comparisons.

    Args:
        first, second, winner, weight: those of `data.strength.tally`; weights are whole numbers.
        prior: each item also won and lost this many times against one of strength 0; above 0.
        replicates: of the bootstrap, at least 2.

    Raises:
        BadInput: what `tally` refuses, no prior, fractions of comparisons.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = tally(first, second, winner, weight, order=True)
    if not prior > 0 or replicates < 2 or any((x % 1).any() for x in (pairs.won, pairs.tied, pairs.lost)):
        raise BadInput("strengths of many items: give a prior above 0, whole comparisons, and two replicates or more")
    linked = coo_array((np.ones(len(pairs.first)), (pairs.first, pairs.second)), shape=(items, items))
    component = connected_components(linked, directed=False)[1].astype(np.int64)
    if not (pairs.won.any() or pairs.lost.any()):
        none = Strengths(None, "every comparison is a tie", None, None, component, None, 0)
        return StrengthIntervals(none, None, None, None, 0)
    whole, steps = _climb(pairs, items, prior, np.zeros(items + 2))
    cells = np.concatenate([pairs.won, pairs.tied, pairs.lost])
    many, m = int(cells.sum()), len(pairs.first)
    draws, placed = np.empty((replicates, items)), np.empty(replicates)
    for r in range(replicates):
        drawn = np.random.default_rng([seed, r]).multinomial(many, cells / many).astype(np.float64)
        again = pairs._replace(won=drawn[:m], tied=drawn[m : 2 * m], lost=drawn[2 * m :])
        point, _ = _climb(again, items, prior, whole, 1e-4)  # far below its error
        draws[r], placed[r] = point[:items] - point[:items].mean(), point[items]
    error = draws.std(axis=0, ddof=1)
    strength = whole[:items] - whole[:items].mean()
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    tie = float(np.exp(whole[items + 1])) if pairs.tied.any() else 0.0
    order, wide = float(whole[items]), float(placed.std(ddof=1))
    value = Strengths(strength, None, error, tie, component, None, steps, order, wide)
    half = reach * error
    return StrengthIntervals(
        value, strength - half, strength + half, draws, 0, order - reach * wide, order + reach * wide
    )


def _climb(pairs: Pairs, items: int, prior: float, start: Floats, tolerance: float = 1e-9) -> tuple[Floats, int]:
    """The maximum by Newton's steps, and how many they were; a step below the tolerance is the last."""
    point, step = start.copy(), 0
    value, gradient, bend = _bent(point, pairs, items, prior)
    while step < _STEPS:
        step += 1
        move = _solved(bend, gradient, tolerance)
        move *= min(1.0, 5.0 / max(5.0, float(np.abs(move).max())))
        while True:
            trial = _bent(point + move, pairs, items, prior)
            if trial[0] >= value - 1e-12 * (1 + abs(value)) or np.abs(move).max() < tolerance:
                break
            move /= 2
        point, (value, gradient, bend) = point + move, trial
        if np.abs(move).max() < tolerance:
            break
    return point, step


def _bent(
    point: Floats, pairs: Pairs, items: int, prior: float
) -> tuple[float, Floats, tuple[Callable[[Floats], Floats], Floats]]:
    """Log-posterior, gradient, and minus the second derivatives as a product with a vector and their diagonal."""
    theta, order, c = point[:items], point[items], point[items + 1]
    ties = bool(pairs.tied.any())
    half = (theta[pairs.first] - theta[pairs.second] + order) / 2
    middle = np.full_like(half, c if ties else -np.inf)
    top = np.maximum(np.abs(half), middle)
    win, lose, draw = np.exp(half - top), np.exp(-half - top), np.exp(middle - top)
    total = win + lose + draw
    games = pairs.won + pairs.tied + pairs.lost
    lean, p_draw = (win - lose) / total, draw / total
    level = top + np.log(total)
    value = float((pairs.won * (half - level) - pairs.lost * (half + level)).sum())
    value += float((pairs.tied * (c - level)).sum()) if ties else 0.0
    value -= prior * float((np.logaddexp(0, -theta) + np.logaddexp(0, theta)).sum())
    surprise = (pairs.won - pairs.lost - games * lean) / 2
    chance = 1 / (1 + np.exp(-theta))
    held = 2 * prior * chance * (1 - chance)
    gradient = np.zeros(items + 2)
    gradient[:items] = _spread(surprise, pairs, items) + prior * (1 - 2 * chance)
    gradient[items] = surprise.sum()
    bend = games * ((win + lose) / total - lean * lean) / 4
    mixed = -games * p_draw * lean / 2 if ties else np.zeros_like(half)
    spread = float((games * p_draw * (1 - p_draw)).sum()) if ties else 1.0
    gradient[items + 1] = float((pairs.tied - games * p_draw).sum()) if ties else 0.0

    def product(v: Floats) -> Floats:
        along = v[pairs.first] - v[pairs.second] + v[items]
        flow = bend * along + mixed * v[items + 1]
        out = np.empty(items + 2)
        out[:items] = _spread(flow, pairs, items) + held * v[:items]
        out[items] = flow.sum()
        out[items + 1] = (mixed * along).sum() + spread * v[items + 1]
        return out

    diagonal = np.append(
        np.bincount(pairs.first, bend, items) + np.bincount(pairs.second, bend, items) + held, [bend.sum(), spread]
    )
    return value, gradient, (product, diagonal)


def _spread(flow: Floats, pairs: Pairs, items: int) -> Floats:
    """What flows along each pair, added to its first item and taken from its second."""
    return np.asarray(np.bincount(pairs.first, flow, items) - np.bincount(pairs.second, flow, items))


def _solved(bend: tuple[Callable[[Floats], Floats], Floats], right: Floats, tolerance: float) -> Floats:
    """Conjugate gradients, preconditioned by the diagonal; sums in one fixed order, whatever the threads."""
    product, diagonal = bend
    x, left = np.zeros_like(right), right.copy()
    ready = left / diagonal
    go, size = ready.copy(), float((left * ready).sum())
    goal = tolerance**2 * max(size, 1e-300) / 100
    for _ in range(500):
        if size <= goal:
            break
        turned = product(go)
        length = size / float((go * turned).sum())
        x += length * go
        left -= length * turned
        ready = left / diagonal
        fresh = float((left * ready).sum())
        go, size = ready + fresh / size * go, fresh
    return x
