"""Strength of items from comparisons of two: Bradley-Terry, with ties as halves or as Davidson has them.

Only counts are read, so a million comparisons of a hundred items cost what a table of a hundred by a
hundred costs. Where the likelihood has no finite maximum the answer says so. Nothing here is random.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FAR = 35.0  # a log-strength beyond this is certainty in floating point: the maximum lies at infinity


class Strengths(NamedTuple):
    """Log-strengths of the items, or None and why there are none."""

    strength: Floats | None
    """Natural logarithms with mean 0 (within each component when the prior is 0): the chance that i is
    preferred to j, ties aside, is 1 / (1 + exp(strength[j] - strength[i]))."""
    why: str | None
    error: Floats | None
    """Standard error of each strength, from the curvature of the likelihood."""
    tie: float | None
    """Davidson's tie parameter, at least 0: two equal items tie with probability tie / (2 + tie).
    None where ties count as half a win each."""
    component: Ints
    """Number of the component each item lies in, from 0. Items of different components were never linked
    by comparisons, so without a prior their strengths cannot be compared, and with one only the prior
    compares them."""
    log_likelihood: float | None
    """Without the prior's part; natural logarithm."""
    iterations: int


def win_table(
    comparisons: Iterable[tuple[Hashable, Hashable, float]], items: Sequence[Hashable] | None = None
) -> tuple[Floats, Floats, list[Hashable]]:
    """Tables of wins and ties from comparisons, and the items their rows and columns stand for.

    Args:
        comparisons: (a, b, result): result 1 when a was preferred, 0 when b was, 0.5 for a tie.
        items: all items in order; by default those that occur, sorted.

    Returns:
        wins, where wins[i, j] is how often i was preferred to j; ties, symmetric; the items.

    Raises:
        BadInput: another result, an item compared with itself, or one that `items` does not list.
    """
    rows = list(comparisons)
    names = list(items) if items is not None else sorted({x for a, b, _ in rows for x in (a, b)})  # type: ignore[type-var]
    place = {name: i for i, name in enumerate(names)}
    wins, ties = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for a, b, result in rows:
        if a not in place or b not in place:
            raise BadInput(f"comparison of {a!r} and {b!r}: one is not among the items")
        if a == b:
            raise BadInput(f"comparison of {a!r} with itself")
        i, j = place[a], place[b]
        if result == 0.5:
            ties[i, j] += 1
            ties[j, i] += 1
        elif result in (0, 1):
            wins[(i, j) if result == 1 else (j, i)] += 1
        else:
            raise BadInput(f"comparison of {a!r} and {b!r}: the result is {result}; give 1, 0 or 0.5")
    return wins, ties, names


def bradley_terry(
    wins: ArrayLike,
    ties: ArrayLike | None = None,
    *,
    tie_model: Literal["half", "davidson"] = "half",
    prior: float = 0.5,
    tolerance: float = 1e-10,
) -> Strengths:
    """Log-strengths by Newton's method on the Bradley-Terry likelihood.

    Args:
        wins: shape (items, items); wins[i, j] is how often (or with what weight) i was preferred to j.
        ties: the same shape, symmetric, each tie written in both cells; by default none.
        tie_model: "half" counts a tie as half a win for each; "davidson" gives a tie a probability of its
            own, tie · sqrt(p_i p_j) / (p_i + p_j + tie · sqrt(p_i p_j)).
        prior: each item also won and lost this many times against an item of strength 0. Above 0 it keeps
            strengths finite and comparable, whatever the counts, and pulls them a little towards each
            other; 0 is the plain maximum likelihood.
        tolerance: stop when no parameter moves by more than this.

    Returns:
        `strength` is None when the likelihood has no finite maximum: with prior 0, when in some component
        a group of items never lost (or never won) against the rest; in Davidson's model also when ties
        take the place of all losses, and, with any prior, when every comparison is a tie.

    Raises:
        BadInput: a table that is not square, a negative count, ties not symmetric, an item against itself.

    Source: R. A. Bradley and M. E. Terry, Biometrika 39 (1952), 324-345; R. R. Davidson, JASA 65 (1970),
    317-328; the condition for a finite maximum is L. R. Ford's, Am. Math. Monthly 64 (1957), 28-33.
    """
    won, tied = _square(wins, ties)
    if not (0 <= prior < math.inf):
        raise BadInput(f"bradley-terry: prior is {prior}; give a finite number of at least 0")
    linked = (won > 0) | (tied > 0)
    component = _components(linked)
    if not len(won):
        return Strengths(np.zeros(0), None, np.zeros(0), None, component, 0.0, 0)
    free_tie = tie_model == "davidson" and bool(tied.any())
    if prior == 0 and not _strongly_connected(linked, component):
        why = "a group of items never lost, or never won, against the rest; give a prior above 0"
        return Strengths(None, why, None, None, component, None, 0)
    if free_tie and not won.any():
        why = "every comparison is a tie; use tie_model 'half'"
        return Strengths(None, why, None, None, component, None, 0)
    if tie_model == "half":
        won, tied = won + tied / 2, np.zeros_like(tied)
    # Without a prior each component may shift as a whole: hold its mean, which costs the likelihood nothing.
    together = component[:, None] == component[None, :] if prior == 0 else np.ones_like(linked)
    gauge = together.astype(np.float64) if prior == 0 else np.zeros_like(won)
    found = _newton(won, tied, prior, free_tie, np.pad(gauge, (0, 1)), tolerance)
    if found is None:
        why = "the likelihood has no finite maximum; give a prior above 0 or use tie_model 'half'"
        return Strengths(None, why, None, None, component, None, 0)
    point, curvature, steps = found
    centre = np.eye(len(won)) - together / together.sum(axis=1, keepdims=True)
    spread = centre @ np.linalg.inv(curvature)[:-1, :-1] @ centre.T
    tie = None if tie_model == "half" else float(np.exp(point[-1])) if free_tie else 0.0
    likelihood = _likelihood(point, won, tied, 0.0, free_tie)[0]
    return Strengths(centre @ point[:-1], None, np.sqrt(np.diag(spread)), tie, component, likelihood, steps)


def _square(wins: ArrayLike, ties: ArrayLike | None) -> tuple[Floats, Floats]:
    won = np.array(wins, dtype=np.float64)
    tied = np.zeros_like(won) if ties is None else np.array(ties, dtype=np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1] or tied.shape != won.shape:
        raise BadInput("bradley-terry: wins and ties must be square tables of the same size")
    if not (np.isfinite(won).all() and np.isfinite(tied).all()) or (won < 0).any() or (tied < 0).any():
        raise BadInput("bradley-terry: counts must be finite and at least 0")
    if (tied != tied.T).any():
        raise BadInput("bradley-terry: ties must be symmetric; write each tie in both cells")
    if np.diag(won).any() or np.diag(tied).any():
        raise BadInput("bradley-terry: an item cannot be compared with itself")
    return won, tied


def _reach(edges: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """The items that can be reached from one along the edges, itself included."""
    seen = np.zeros(len(edges), dtype=np.bool_)
    seen[start] = True
    front = seen.copy()
    while front.any():
        front = edges[front].any(axis=0) & ~seen
        seen |= front
    return seen


def _components(linked: NDArray[np.bool_]) -> Ints:
    """The component of each item, numbered by its first item; direction is ignored."""
    component = np.full(len(linked), -1, dtype=np.int64)
    either = linked | linked.T
    for i in range(len(linked)):
        if component[i] < 0:
            component[_reach(either, i)] = component.max() + 1
    return component


def _strongly_connected(beats: NDArray[np.bool_], component: Ints) -> bool:
    """Whether within every component each item can be reached from each along wins and ties."""
    for number in np.unique(component):
        inside = component == number
        start = int(np.argmax(inside))
        if not (_reach(beats, start)[inside].all() and _reach(beats.T, start)[inside].all()):
            return False
    return True


def _likelihood(point: Floats, won: Floats, tied: Floats, prior: float, free_tie: bool) -> tuple[float, Floats, Floats]:
    """Log-likelihood with the prior, its gradient, and minus its second derivatives.

    The point holds the log-strengths and, last, the logarithm of the tie parameter. A comparison chooses
    between utilities (a, b, (a + b) / 2 + c), which makes the whole concave.
    """
    count = len(won)
    theta, c = point[:count], point[count]
    half = (theta[:, None] - theta[None, :]) / 2
    middle = np.full_like(half, c if free_tie else -np.inf)
    top = np.maximum(np.abs(half), middle)
    win, lose, draw = np.exp(half - top), np.exp(-half - top), np.exp(middle - top)
    total = win + lose + draw
    games = won + won.T + tied
    p_draw = draw / total
    value = float((won * (half - top - np.log(total))).sum())
    if free_tie:
        value += float((tied * (c - top - np.log(total))).sum()) / 2
    # Derivative of a comparison's log-probability by theta_i: (win - lose) / 2 seen minus expected.
    seen = (won - won.T) / 2
    expected = games * (win - lose) / total / 2
    gradient = np.zeros(count + 1)
    gradient[:count] = (seen - expected).sum(axis=1)
    lean = (win - lose) / total / 2
    pair = games * ((win + lose) / total / 4 - lean * lean)
    curvature = np.zeros((count + 1, count + 1))
    curvature[:count, :count] = np.diag(pair.sum(axis=1)) - pair
    if free_tie:
        gradient[count] = float((tied - games * p_draw).sum()) / 2
        curvature[count, count] = float((games * p_draw * (1 - p_draw)).sum()) / 2
        curvature[:count, count] = curvature[count, :count] = -(games * p_draw * lean).sum(axis=1)
    else:
        curvature[count, count] = 1.0
    if prior:
        chance = 1 / (1 + np.exp(-theta))
        value += float(-prior * (np.logaddexp(0, -theta) + np.logaddexp(0, theta)).sum())
        gradient[:count] += prior * (1 - 2 * chance)
        curvature[range(count), range(count)] += 2 * prior * chance * (1 - chance)
    return value, gradient, curvature


def _newton(
    won: Floats, tied: Floats, prior: float, free_tie: bool, gauge: Floats, tolerance: float
) -> tuple[Floats, Floats, int] | None:
    """The maximum, minus the second derivatives there, and the steps taken; None when it runs away."""
    point = np.zeros(len(won) + 1)
    value, gradient, curvature = _likelihood(point, won, tied, prior, free_tie)
    for step in range(1, 201):
        try:
            move = np.linalg.solve(curvature + gauge, gradient)
        except np.linalg.LinAlgError:
            return None
        move *= min(1.0, 5.0 / max(5.0, float(np.abs(move).max())))
        # Near the top rounding hides the gain of a step, so a loss within rounding does not shorten it.
        slack = 1e-12 * (1 + abs(value))
        while True:
            trial = _likelihood(point + move, won, tied, prior, free_tie)
            if trial[0] >= value - slack or np.abs(move).max() < tolerance:
                break
            move /= 2
        point = point + move
        value, gradient, curvature = trial
        if np.abs(point).max() > _FAR:
            return None
        if np.abs(move).max() < tolerance:
            bends = np.linalg.eigvalsh(curvature + gauge)
            flat = bends[0] < 1e-11 * bends[-1]  # a direction that still rises, too slowly to be seen
            return None if flat else (point, curvature + gauge, step)
    return None
