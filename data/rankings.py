"""Strength of a few responses within each prompt, from rankings with ties: Plackett and Luce, with a prior.

A ranking is a row of choices: the best tier out of all that were placed, the next out of what is left,
and so on. A tier of several is a tie of that size, which has a parameter of its own, common to all
prompts. Every prompt has few rankings, so a prior keeps its strengths finite. Prompts of one size are
solved together, a million choices in some seconds. Nothing here is random.

Source: R. L. Plackett, Applied Statistics 24 (1975), 193-202; ties as in D. Firth, I. Kosmidis and
H. Turner, "Davidson-Luce model for multi-item choice with ties" (arXiv 1909.07123).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST = 9  # responses of one prompt: what was chosen from is one of 2^9 - 1 sets


class Worths(NamedTuple):
    """Log-strengths of all responses of all prompts, one prompt after another."""

    strength: Floats
    """The chance that i is preferred to j, ties aside, is 1 / (1 + exp(strength[j] - strength[i]))."""
    error: Floats
    """Standard error of each, from the curvature of the posterior within its prompt."""
    start: Ints
    """Where each prompt's responses begin, and last how many there are in all."""
    ties: dict[int, float]
    """Tie parameter by size of the tie: two equal responses tie with probability ties[2] / (2 + ties[2])."""
    log_likelihood: float
    """Without the prior's part; natural logarithm."""
    iterations: int
    converged: bool


class _Choices(NamedTuple):
    """Choices from one set of places, by prompts of one size; sorted by prompt."""

    prompt: Ints  # number within its size
    first: Ints  # where each prompt's choices begin
    chosen: Ints  # which of `sets`
    weight: Floats
    sets: Floats  # sets x places: 1 / size where the place is in it, else 0
    kind: Ints  # of each set: the number of its tie parameter, -1 for one response


def choices(tiers: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """A ranking as choices: (what was there, what was chosen), sets of places as bits.

    Args:
        tiers: places from 0 within the prompt, best tier first; a place left out says nothing.
    """
    masks = [sum(1 << place for place in tier) for tier in tiers]
    left, made = sum(masks), []
    for mask in masks:
        if left & (left - 1):  # one response alone is no choice
            made.append((left, mask))
        left &= ~mask
    return made


def plackett_luce(
    sizes: ArrayLike,
    prompt: ArrayLike,
    available: ArrayLike,
    chosen: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    prior: float = 0.5,
    tolerance: float = 1e-9,
    max_iterations: int = 100,
) -> Worths:
    """The likeliest log-strengths under the prior, and tie parameters common to all prompts, by Newton.

    Args:
        sizes: how many responses each prompt has, 1 to 9.
        prompt, available, chosen, weight: one entry per choice: the prompt's number, sets of its places
            as bits (see `choices`), and a weight above 0, by default 1.
        prior: each response also won and lost this many times against one of strength 0, and each size
            of tie that occurs was chosen and not chosen as often; above 0.
        tolerance: stop when a step moves no parameter by more than this.

    Raises:
        BadInput: numbers out of range, a choice that is not among what was there.
    """
    if not 0 < prior < float("inf"):
        raise BadInput(f"plackett-luce: prior is {prior}; give a finite number above 0")
    given, every, kinds = _checked(sizes, prompt, available, chosen, weight)
    rows, many, often, alike = _distinct(given, every)
    parts = {int(n): _sorted_choices(rows, many, int(n), kinds) for n in np.unique(many)}
    where = {n: np.flatnonzero(many == n) for n in parts}
    times = {n: often[where[n]] for n in parts}
    theta, tie, bent, steps, converged = _climb(parts, times, len(kinds), prior, tolerance, max_iterations)
    begin = np.concatenate([[0], np.cumsum(many)])
    strength, error = np.zeros(begin[-1]), np.zeros(begin[-1])
    for n, places in where.items():
        at = begin[places][:, None] + np.arange(n)
        centre = np.eye(n) - 1 / n
        strength[at] = theta[n] - theta[n].mean(axis=1, keepdims=True)
        spread = np.einsum("ij,pjk,ik->pi", centre, np.linalg.inv(bent.curvature[n]), centre)
        error[at] = np.sqrt(np.maximum(spread, 0))
    whole = np.concatenate([[0], np.cumsum(every)])
    place = np.repeat(begin[:-1][alike] - whole[:-1], every) + np.arange(whole[-1])
    named = {size: float(np.exp(t)) for size, t in zip(kinds, tie, strict=True)}
    return Worths(strength[place], error[place], whole, named, bent.likelihood, steps, converged)


class _Bent(NamedTuple):
    """Value and derivatives at a point."""

    value: float
    likelihood: float
    gradient: dict[int, Floats]  # prompts x places, by size of prompt
    curvature: dict[int, Floats]  # prompts x places x places
    mixed: dict[int, Floats]  # prompts x places x tie parameters
    tie_gradient: Floats
    tie_curvature: Floats


def _bent(
    parts: dict[int, list[_Choices]], times: dict[int, Floats], theta: dict[int, Floats], tie: Floats, prior: float
) -> _Bent:
    """Log-posterior, its gradient and minus its second derivatives; all is linear inside a log-sum-exp.

    What is by prompt is that of one of its `times` equals; what they share sums over all.
    """
    kinds = len(tie)
    likelihood = value = 0.0
    chance = 1 / (1 + np.exp(-tie))
    value -= prior * float((np.logaddexp(0, -tie) + np.logaddexp(0, tie)).sum())
    tie_gradient, tie_curvature = prior * (1 - 2 * chance), np.diag(2 * prior * chance * (1 - chance))
    gradient, curvature, mixed = {}, {}, {}
    for n, groups in parts.items():
        at = theta[n]
        value -= prior * float(((np.logaddexp(0, -at) + np.logaddexp(0, at)) * times[n][:, None]).sum())
        chance = 1 / (1 + np.exp(-at))
        gradient[n] = prior * (1 - 2 * chance)
        curvature[n] = np.zeros((len(at), n, n))
        curvature[n][:, range(n), range(n)] = 2 * prior * chance * (1 - chance)
        mixed[n] = np.zeros((len(at), n, kinds))
        for c in groups:
            # The parameters of a set: a share of each of its places, and the tie of its size.
            named = np.zeros((len(c.sets), kinds))
            named[c.kind >= 0, c.kind[c.kind >= 0]] = 1
            utility = np.einsum("rn,sn->rs", at[c.prompt], c.sets) + named @ tie
            top = utility.max(axis=1, keepdims=True)
            raw = np.exp(utility - top)
            mass = raw.sum(axis=1, keepdims=True)
            share = raw / mass
            w = c.weight[:, None]
            rows = np.arange(len(c.prompt))
            likelihood += float(
                np.sum(c.weight * times[n][c.prompt] * (utility[rows, c.chosen] - (top + np.log(mass))[:, 0]))
            )
            both = np.hstack([c.sets, named])
            mean = np.einsum("rs,sq->rq", share, both)
            slope = np.add.reduceat(w * (both[c.chosen] - mean), c.first)
            outer = np.einsum("sp,sq->spq", both, both).reshape(len(both), -1)
            second = np.einsum("rs,sq->rq", share, outer).reshape(len(rows), n + kinds, n + kinds)
            bend = np.add.reduceat(w[:, :, None] * (second - mean[:, :, None] * mean[:, None, :]), c.first)
            places = c.prompt[c.first]
            gradient[n][places] += slope[:, :n]
            curvature[n][places] += bend[:, :n, :n]
            mixed[n][places] += bend[:, :n, n:]
            tie_gradient = tie_gradient + np.einsum("p,pt->t", times[n][places], slope[:, n:])
            tie_curvature = tie_curvature + np.einsum("p,ptu->tu", times[n][places], bend[:, n:, n:])
    return _Bent(value + likelihood, likelihood, gradient, curvature, mixed, tie_gradient, tie_curvature)


def _climb(
    parts: dict[int, list[_Choices]],
    times: dict[int, Floats],
    kinds: int,
    prior: float,
    tolerance: float,
    max_iterations: int,
) -> tuple[dict[int, Floats], Floats, _Bent, int, bool]:
    """The log-strengths and `kinds` tie parameters where Newton's steps end, what is true there, the steps, converged.

    A step that would lower the posterior is halved until it does not.
    """
    theta = {n: np.zeros((len(times[n]), n)) for n in parts}
    tie = np.zeros(kinds)
    steps, converged = 0, False
    bent = _bent(parts, times, theta, tie, prior)
    while steps < max_iterations and not converged:
        steps += 1
        move, turn = _newton(bent, times, theta, tie)
        length = 1.0
        value = bent.value
        while True:
            trial = {n: theta[n] + length * move[n] for n in theta}
            bent = _bent(parts, times, trial, tie + length * turn, prior)
            if bent.value >= value - 1e-12 * (1 + abs(value)) or length < 1e-6:
                break
            length /= 2
        theta, tie = trial, tie + length * turn
        far = max([float(np.abs(m).max(initial=0.0)) for m in move.values()] + [float(np.abs(turn).max(initial=0.0))])
        converged = far * length < tolerance
    return theta, tie, bent, steps, converged


def _newton(
    bent: _Bent, times: dict[int, Floats], theta: dict[int, Floats], tie: Floats
) -> tuple[dict[int, Floats], Floats]:
    """The step for all parameters at once: prompts meet only in the tie parameters, so those come first."""
    alone, along = {}, {}
    need, left = bent.tie_curvature.copy(), bent.tie_gradient.copy()
    for n in theta:
        sides = np.concatenate([bent.gradient[n][:, :, None], bent.mixed[n]], axis=2)
        solved = np.linalg.solve(bent.curvature[n], sides)
        alone[n], along[n] = solved[:, :, 0], solved[:, :, 1:]
        need -= np.einsum("p,pit,piu->tu", times[n], bent.mixed[n], along[n])
        left -= np.einsum("p,pit,pi->t", times[n], bent.mixed[n], alone[n])
    turn = np.linalg.solve(need, left) if len(tie) else np.zeros(0)
    turn = np.clip(turn, -3, 3)
    return {n: np.clip(alone[n] - np.einsum("pit,t->pi", along[n], turn), -3, 3) for n in theta}, turn


def _checked(
    sizes: ArrayLike, prompt: ArrayLike, available: ArrayLike, chosen: ArrayLike, weight: ArrayLike | None
) -> tuple[tuple[Ints, Ints, Ints, Floats], Ints, list[int]]:
    """The choices in sorted order, the sizes of the prompts, and the sizes of tie that occur."""
    many = np.asarray(sizes, dtype=np.int64)
    where, there, best = (np.asarray(x, dtype=np.int64) for x in (prompt, available, chosen))
    given = np.ones(where.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if not (where.shape == there.shape == best.shape == given.shape) or where.ndim != 1 or many.ndim != 1:
        raise BadInput("plackett-luce: prompt, available, chosen and weight must be lists of the same length")
    if many.size and not (many.min() >= 1 and many.max() <= MOST):
        raise BadInput(f"plackett-luce: a prompt has 1 to {MOST} responses")
    if where.size and not (where.min() >= 0 and where.max() < many.size):
        raise BadInput("plackett-luce: a choice names a prompt that has no size")
    if where.size and ((best < 1) | (best & ~there) | (there >> many[where])).any():
        raise BadInput("plackett-luce: a choice is not among what was there, or that is not of its prompt")
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise BadInput("plackett-luce: a weight must be finite and above 0")
    order = np.lexsort((given, best, there, where))
    size = np.bitwise_count(best)
    kinds = sorted({int(s) for s in np.unique(size)} - {1})
    return (where[order], there[order], best[order], given[order]), many, kinds


def _distinct(
    rows: tuple[Ints, Ints, Ints, Floats], many: Ints
) -> tuple[tuple[Ints, Ints, Ints, Floats], Ints, Floats, Ints]:
    """Prompts with the very same choices are solved once: their rows, sizes, how often each occurs, which is whose.

    A sum of mixed bits finds equals, and every row is then compared with that of the prompt it stands for.
    """
    where, there, best, weight = rows
    count, size = len(many), np.bincount(where, minlength=len(many))
    begin = np.cumsum(size) - size
    offset = np.arange(len(where)) - begin[where]
    said = _stirred(((offset << 18) | (there << 9) | best).astype(np.uint64))
    stirred = np.bitwise_xor(said, _stirred(np.add(weight.view(np.uint64), np.uint64(1)))).astype(np.uint64)
    keys = np.zeros(count, dtype=np.uint64)
    np.add.at(keys, where, _stirred(stirred))
    sized = np.bitwise_xor(keys, _stirred((many * 1_000_003 + size).astype(np.uint64)))
    _, first, alike = np.unique(sized, return_index=True, return_inverse=True)
    stands = first[alike]
    same = (many[stands] == many) & (size[stands] == size)
    if not same.all():
        return rows, many, np.ones(count), np.arange(count)
    twin = begin[stands][where] + offset
    if not all((column[twin] == column).all() for column in rows[1:]):
        return rows, many, np.ones(count), np.arange(count)
    order = np.argsort(first)  # the distinct prompts as they come first
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    kept = stands[where] == where
    fewer = (number[alike][where[kept]], there[kept], best[kept], weight[kept])
    return fewer, many[first[order]], np.bincount(number[alike]).astype(np.float64), number[alike]


def _stirred(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Whole numbers with their bits mixed (the finalizer of splitmix64)."""
    mixed: NDArray[np.uint64] = bits
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        folded = np.bitwise_xor(mixed, np.right_shift(mixed, np.uint64(shift)))
        mixed = np.asarray(np.multiply(folded, np.uint64(factor)), dtype=np.uint64)
    return mixed


def _sorted_choices(rows: tuple[Ints, Ints, Ints, Floats], many: Ints, n: int, kinds: list[int]) -> list[_Choices]:
    """The choices of the prompts of one size, by what they were chosen from."""
    where, there, best, given = rows
    number = np.cumsum(many == n) - 1
    mine = np.flatnonzero(many[where] == n)
    found = []
    for mask in np.unique(there[mine]).tolist():
        at = mine[there[mine] == mask]
        inside = [s for s in range(1, 1 << n) if not s & ~mask and s.bit_count() in (1, *kinds)]
        bits = np.array([[s >> place & 1 for place in range(n)] for s in inside], dtype=np.float64)
        kind = np.array([kinds.index(s.bit_count()) if s.bit_count() > 1 else -1 for s in inside])
        prompts = number[where[at]]
        first = np.flatnonzero(np.append(True, prompts[1:] != prompts[:-1]))
        found.append(
            _Choices(
                prompts,
                first,
                np.searchsorted(np.array(inside), best[at]),
                given[at],
                bits / bits.sum(axis=1, keepdims=True),
                kind,
            )
        )
    return found
