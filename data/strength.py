"""Strength of items from comparisons of two: Bradley-Terry, with ties as halves or as Davidson has them.

Only counts are read, so a million comparisons of a hundred items cost what a table of a hundred by a
hundred costs. Where the likelihood has no finite maximum the answer says so. Intervals by resampling are
in `data.strength_intervals`. Nothing here is random.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput
from data.pair_likelihood import Floats, Ints, Pairs, Shape, climb, derivatives

TieModel = Literal["half", "davidson"]


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
    order: float | None = None
    """Log-odds that being first adds, where it was asked for; its standard error is `order_error`."""
    order_error: float | None = None


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


def tally(
    first: ArrayLike, second: ArrayLike, winner: ArrayLike, weight: ArrayLike | None = None, *, order: bool = False
) -> Pairs:
    """Counts from long rows of comparisons.

    Args:
        first, second: items by number from 0, as they were shown.
        winner: 1 the first, 2 the second, 0 neither.
        weight: of each comparison, above 0; by default 1.
        order: keep the two orders of a pair apart, for an order effect.

    Raises:
        BadInput: lists of different length, numbers that are none, an item against itself.
    """
    a, b, w = (np.asarray(x) for x in (first, second, winner))
    given = np.ones(a.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if not (a.shape == b.shape == w.shape == given.shape) or a.ndim != 1:
        raise BadInput("comparisons: first, second, winner and weight must be lists of the same length")
    if a.size == 0:
        none = np.zeros(0)
        return Pairs(none.astype(np.int64), none.astype(np.int64), none, none, none)
    if any(x.dtype.kind not in "iu" for x in (a, b, w)) or min(a.min(), b.min(), w.min()) < 0 or w.max() > 2:
        raise BadInput("comparisons: items are whole numbers from 0, a winner is 1, 2 or 0 for neither")
    if (a == b).any():
        raise BadInput(f"comparisons: item {a[np.argmax(a == b)]} is compared with itself")
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise BadInput("comparisons: a weight must be finite and above 0")
    a, b = a.astype(np.int64), b.astype(np.int64)
    count = int(max(a.max(), b.max())) + 1
    swap = np.zeros(a.shape, np.bool_) if order else a > b
    side = np.where(swap & (w > 0), 3 - w, w)
    cell = (np.where(swap, b, a) * count + np.where(swap, a, b)) * 3 + side
    if (given % 1).any():  # sums of fractions depend on their order
        place = np.lexsort((given, cell))
        cell, given = cell[place], given[place]
    if count * count * 3 <= max(4 * a.size, 1 << 20):
        sums = np.bincount(cell, given, count * count * 3).reshape(-1, 3)
        there = np.flatnonzero(sums.any(axis=1))
        sums = sums[there]
    else:
        there, place = np.unique(cell // 3, return_inverse=True)
        sums = np.bincount(place * 3 + cell % 3, given, len(there) * 3).reshape(-1, 3)
    tied, won, lost = np.ascontiguousarray(sums.T, dtype=np.float64)
    return Pairs(there // count, there % count, won, tied, lost)


def bradley_terry(
    wins: ArrayLike,
    ties: ArrayLike | None = None,
    *,
    tie_model: TieModel = "half",
    prior: float = 0.5,
    tolerance: float = 1e-10,
) -> Strengths:
    """Log-strengths from a table of wins and one of ties; see `fit_pairs`.

    Args:
        wins: shape (items, items); wins[i, j] is how often (or with what weight) i was preferred to j.
        ties: the same shape, symmetric, each tie written in both cells; by default none.

    Raises:
        BadInput: a table that is not square, a negative count, ties not symmetric, an item against itself.
    """
    won, tied = _square(wins, ties)
    first, second = np.nonzero(np.triu((won + won.T + tied) > 0))
    pairs = Pairs(first, second, won[first, second], tied[first, second], won[second, first])
    return fit_pairs(pairs, len(won), tie_model=tie_model, prior=prior, tolerance=tolerance)


def fit_pairs(
    pairs: Pairs,
    items: int,
    *,
    tie_model: TieModel = "half",
    prior: float = 0.5,
    order: bool = False,
    tolerance: float = 1e-10,
) -> Strengths:
    """Log-strengths by Newton's method on the Bradley-Terry likelihood.

    Args:
        pairs: counts, from `tally`.
        items: how many there are; those without a comparison count too.
        tie_model: "half" counts a tie as half a win for each; "davidson" gives a tie a probability of its
            own, tie · sqrt(p_i p_j) / (p_i + p_j + tie · sqrt(p_i p_j)).
        prior: each item also won and lost this many times against an item of strength 0. Above 0 it keeps
            strengths finite and comparable, whatever the counts, and pulls them a little towards each
            other; 0 is the plain maximum likelihood.
        order: whether being the first of a pair adds to the log-odds (home advantage, position bias).
        tolerance: stop when no parameter moves by more than this.

    Returns:
        `strength` is None when the likelihood has no finite maximum: with prior 0, when in some component
        a group of items never lost (or never won) against the rest; in Davidson's model also when ties
        take the place of all losses, and, with any prior, when every comparison is a tie.

    Source: R. A. Bradley and M. E. Terry, Biometrika 39 (1952), 324-345; R. R. Davidson, JASA 65 (1970),
    317-328, with the order effect of Davidson and R. J. Beaver, Biometrics 33 (1977), 693-702; the
    condition for a finite maximum is L. R. Ford's, Am. Math. Monthly 64 (1957), 28-33.
    """
    if not (0 <= prior < float("inf")):
        raise BadInput(f"bradley-terry: prior is {prior}; give a finite number of at least 0")
    linked = beats(pairs, items)
    component = components(linked)
    if not items:
        return Strengths(np.zeros(0), None, np.zeros(0), None, component, 0.0, 0)
    if prior == 0 and not _strongly_connected(linked, component):
        why = "a group of items never lost, or never won, against the rest; give a prior above 0"
        return Strengths(None, why, None, None, component, None, 0)
    if tie_model == "davidson" and pairs.tied.any() and not (pairs.won.any() or pairs.lost.any()):
        why = "every comparison is a tie; use tie_model 'half'"
        return Strengths(None, why, None, None, component, None, 0)
    counts, shape = prepared(pairs, items, tie_model, prior, order, component)
    found = climb(counts, shape, tolerance)
    if found is None:
        why = "the likelihood has no finite maximum; give a prior above 0 or use tie_model 'half'"
        return Strengths(None, why, None, None, component, None, 0)
    point, curvature, _, steps = found
    centre = centring(component, prior)
    inverse = np.linalg.inv(curvature)
    spread = centre @ inverse[:items, :items] @ centre.T
    tie = None if tie_model == "half" else float(np.exp(point[-1])) if shape.tie else 0.0
    likelihood = derivatives(point, counts, shape._replace(prior=0.0))[0]
    placed = (float(point[items]), float(np.sqrt(inverse[items, items]))) if order else (None, None)
    return Strengths(centre @ point[:items], None, np.sqrt(np.diag(spread)), tie, component, likelihood, steps, *placed)


def prepared(
    pairs: Pairs, items: int, tie_model: TieModel, prior: float, order: bool, component: Ints
) -> tuple[Pairs, Shape]:
    """Counts as the tie model has them, and which parameters are free."""
    if tie_model == "half":
        half = pairs.tied / 2
        pairs = pairs._replace(won=pairs.won + half, lost=pairs.lost + half, tied=np.zeros_like(half))
    # Without a prior each component may shift as a whole: hold its mean, which costs the likelihood nothing.
    together = component[:, None] == component[None, :]
    gauge = together.astype(np.float64) if prior == 0 else np.zeros((items, items))
    return pairs, Shape(items, order, tie_model == "davidson" and bool(pairs.tied.any()), prior, gauge)


def centring(component: Ints, prior: float) -> Floats:
    """The matrix that moves strengths to mean 0: within each component when the prior is 0, else overall."""
    together = component[:, None] == component[None, :] if prior == 0 else np.ones((len(component),) * 2)
    return np.asarray(np.eye(len(component)) - together / together.sum(axis=1, keepdims=True))


def beats(pairs: Pairs, items: int) -> NDArray[np.bool_]:
    """For each two items whether the first won or tied against the second at least once."""
    linked = np.zeros((items, items), dtype=np.bool_)
    linked[pairs.first, pairs.second] |= (pairs.won > 0) | (pairs.tied > 0)
    back = (pairs.lost > 0) | (pairs.tied > 0)
    linked[pairs.second[back], pairs.first[back]] = True
    return linked


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


def components(linked: NDArray[np.bool_]) -> Ints:
    """The component of each item, numbered by its first item; direction is ignored."""
    component = np.full(len(linked), -1, dtype=np.int64)
    either = linked | linked.T
    for i in range(len(linked)):
        if component[i] < 0:
            component[_reach(either, i)] = component.max() + 1
    return component


def never_lost(pairs: Pairs, items: int, component: Ints) -> list[list[int]]:
    """Groups of items that, within their component, never lost or tied against the rest of it.

    Where there is one, without a prior no finite maximum exists.
    """
    from scipy.sparse.csgraph import connected_components

    linked = beats(pairs, items)
    count, strong = connected_components(linked, directed=True, connection="strong")
    between = linked & (strong[:, None] != strong[None, :])
    beaten = np.unique(strong[between.any(axis=0)])
    loose = [np.flatnonzero(strong == s) for s in range(count) if s not in set(beaten.tolist())]
    found = [group.tolist() for group in loose if (component == component[group[0]]).sum() > len(group)]
    return sorted(found)


def _strongly_connected(beats: NDArray[np.bool_], component: Ints) -> bool:
    """Whether within every component each item can be reached from each along wins and ties."""
    for number in np.unique(component):
        inside = component == number
        start = int(np.argmax(inside))
        if not (_reach(beats, start)[inside].all() and _reach(beats.T, start)[inside].all()):
            return False
    return True
