"""The likelihood of comparisons of two, with ties and an order effect, and its maximum by Newton's method.

A comparison of a first and a second item chooses between the utilities h, -h and c, where h is half the
difference of the log-strengths plus half the order effect, and c the logarithm of the tie parameter: the
whole is concave. A point holds the log-strengths, then the order effect, then c. Only counts per pair are
read, so a million comparisons of a hundred items cost what 4,950 cells cost.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FAR = 35.0  # a log-strength beyond this is certainty in floating point: the maximum lies at infinity
_STEPS = 200


class Pairs(NamedTuple):
    """Counts of comparisons, each pair of items once (once in each order where the order matters)."""

    first: Ints
    second: Ints
    won: Floats
    """How often (or with what weight) the first was preferred."""
    tied: Floats
    lost: Floats


class Shape(NamedTuple):
    """Which parameters are free, and what holds the others."""

    items: int
    order: bool
    tie: bool
    prior: float
    """Each item also won and lost this many times against an item of strength 0."""
    gauge: Floats
    """Added to the curvature where nothing else fixes the level of the strengths: items x items."""


def derivatives(point: Floats, pairs: Pairs, shape: Shape) -> tuple[float, Floats, Floats]:
    """Log-likelihood with the prior, its gradient, and minus its second derivatives with the gauge."""
    n = shape.items
    theta, order, c = point[:n], point[n], point[n + 1]
    half = (theta[pairs.first] - theta[pairs.second] + order) / 2
    middle = np.full_like(half, c if shape.tie else -np.inf)
    top = np.maximum(np.abs(half), middle)
    win, lose, draw = np.exp(half - top), np.exp(-half - top), np.exp(middle - top)
    total = win + lose + draw
    games = pairs.won + pairs.tied + pairs.lost
    lean, p_draw = (win - lose) / total, draw / total
    level = top + np.log(total)
    value = math.fsum((pairs.won * (half - level) - pairs.lost * (half + level)).tolist())
    if shape.tie:
        value += math.fsum((pairs.tied * (c - level)).tolist())
    surprise = pairs.won - pairs.lost - games * lean
    bend = games * ((win + lose) / total - lean * lean) / 4
    gradient = np.zeros(n + 2)
    gradient[:n] = (np.bincount(pairs.first, surprise, n) - np.bincount(pairs.second, surprise, n)) / 2
    curvature = np.zeros((n + 2, n + 2))
    cross = np.bincount(pairs.first * n + pairs.second, bend, n * n).reshape(n, n)
    cross += cross.T
    curvature[:n, :n] = np.diag(cross.sum(axis=1)) - cross + shape.gauge
    curvature[n, n] = curvature[n + 1, n + 1] = 1.0
    if shape.order:
        gradient[n] = surprise.sum() / 2
        curvature[n, n] = bend.sum()
        curvature[:n, n] = np.bincount(pairs.first, bend, n) - np.bincount(pairs.second, bend, n)
        curvature[n, :n] = curvature[:n, n]
    if shape.tie:
        gradient[n + 1] = float((pairs.tied - games * p_draw).sum())
        curvature[n + 1, n + 1] = float((games * p_draw * (1 - p_draw)).sum())
        mixed = -games * p_draw * lean / 2
        curvature[:n, n + 1] = np.bincount(pairs.first, mixed, n) - np.bincount(pairs.second, mixed, n)
        curvature[n, n + 1] = mixed.sum() if shape.order else 0.0
        curvature[n + 1, : n + 1] = curvature[: n + 1, n + 1]
    if shape.prior:
        chance = 1 / (1 + np.exp(-theta))
        value += float(-shape.prior * (np.logaddexp(0, -theta) + np.logaddexp(0, theta)).sum())
        gradient[:n] += shape.prior * (1 - 2 * chance)
        curvature[range(n), range(n)] += 2 * shape.prior * chance * (1 - chance)
    return value, gradient, curvature


def climb(
    pairs: Pairs, shape: Shape, tolerance: float, start: Floats | None = None
) -> tuple[Floats, Floats, float, int] | None:
    """The maximum, minus the second derivatives there, the log-likelihood with prior, the steps; None if far away."""
    point = np.zeros(shape.items + 2) if start is None else start
    value, gradient, curvature = derivatives(point, pairs, shape)
    for step in range(1, _STEPS + 1):
        try:
            move = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return None
        move *= min(1.0, 5.0 / max(5.0, float(np.abs(move).max())))
        # Near the top rounding hides the gain of a step, so a loss within rounding does not shorten it.
        slack = 1e-12 * (1 + abs(value))
        while True:
            trial = derivatives(point + move, pairs, shape)
            if trial[0] >= value - slack or np.abs(move).max() < tolerance:
                break
            move /= 2
        point = point + move
        value, gradient, curvature = trial
        if not np.abs(point).max() <= _FAR:
            return None
        if np.abs(move).max() < tolerance:
            bends = np.linalg.eigvalsh(curvature)
            flat = bends[0] < 1e-11 * bends[-1]  # a direction that still rises, too slowly to be seen
            return None if flat else (point, curvature, value, step)
    return None


def climb_many(
    won: Floats, tied: Floats, lost: Floats, pairs: Pairs, shape: Shape, start: Floats, inverse: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """The maxima for many tables of counts near one whose maximum is known.

    Every step has the one curvature of the known maximum for all: where the tables are drawn from its
    own counts they differ from it by little, and each step gains two digits or so at the price of a few
    exponentials per pair, without a single system of equations.

    Args:
        won, tied, lost: shape (pairs, replicates); `pairs` says only which items.
        start: the known maximum; `inverse` the inverse of the curvature there.

    Returns:
        Points, shape (items + 2, replicates), and which of them are maxima to 1e-9.
    """
    from scipy.sparse import csr_array

    n, m = shape.items, len(pairs.first)
    ends = np.concatenate([pairs.first, pairs.second]), np.concatenate([np.arange(m)] * 2)
    incidence = csr_array((np.repeat([0.5, -0.5], m), ends), shape=(n, m))
    point = np.repeat(start[:, None], won.shape[1], axis=1)
    games, lead = won + tied + lost, won - lost
    gradient = np.zeros_like(point)
    done = np.zeros(won.shape[1], dtype=np.bool_)
    for _ in range(40):
        half = (point[pairs.first] - point[pairs.second] + point[n]) / 2
        win = np.exp(np.clip(half, -_FAR, _FAR))
        lose = 1 / win
        draw = np.exp(np.minimum(point[n + 1], _FAR)) if shape.tie else np.zeros(won.shape[1])
        share = games / (win + lose + draw)
        surprise = lead - share * (win - lose)
        gradient[:n] = incidence @ surprise
        if shape.order:
            gradient[n] = surprise.sum(axis=0) / 2
        if shape.tie:
            gradient[n + 1] = (tied - share * draw).sum(axis=0)
        if shape.prior:
            gradient[:n] -= shape.prior * np.tanh(point[:n] / 2)
        # einsum adds in one fixed order, where a matrix product would depend on threads.
        move = np.einsum("ij,jr->ir", inverse, gradient)
        point += np.clip(move, -5, 5)
        done = np.abs(move).max(axis=0) < 1e-9
        if done.all():
            break
    return point, done & (np.abs(point).max(axis=0) <= _FAR)
