"""What an item most likely is, from the labels of annotators who err in their own ways: Dawid and Skene.

Votes are long rows of numbers, each distinct row once with its count, so nothing of the size items by
annotators by classes is ever held. Nothing here is random; neither the order of the votes nor the number
of threads changes a digit.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from data.errors import BadInput
from data.parallel import in_order
from data.vote_table import Floats, VoteTable, add_up, expect, vote_shares, vote_table

Model = Literal["full", "one-coin"]
Each = Callable[..., Iterator[Any]]  # a map over blocks, results in order

_NEVER = 1e-300  # a probability of 0, where its logarithm is taken
_PLAIN = 3  # steps before acceleration starts: the start alone must choose the hill
_TRAIL = 10  # steps it looks back on
_HELD = 20_000_000  # numbers kept of them at most


class DawidSkene(NamedTuple):
    """What each item most likely is, and how each annotator errs."""

    posterior: Floats
    """Items x classes: the probability of each class; rows sum to 1."""
    prevalence: Floats
    """How common each class is; sums to 1."""
    confusion: Floats
    """Annotators x true class x said class: the probability of saying it; the last axis sums to 1."""
    log_likelihood: float
    """Natural logarithm, without multinomial constants and without the smoothing's part."""
    history: list[float]
    """The log-likelihood before each maximisation that was kept; never falls when smoothing is 0."""
    converged: bool
    iterations: int = 0
    """Passes over the votes, those of rejected leaps included."""


class _Point(NamedTuple):
    """Parameters on the way."""

    prevalence: Floats
    confusion: Floats

    def flat(self) -> Floats:
        return np.concatenate([self.prevalence, self.confusion.ravel()])


class _Step(NamedTuple):
    """What one pass from a point gives: the next point, and how good the point was."""

    next: _Point
    likelihood: float
    objective: float
    """The log-likelihood with the smoothing's part: what a step never lowers."""


def dawid_skene(
    item: ArrayLike,
    annotator: ArrayLike,
    label: ArrayLike,
    count: ArrayLike | None = None,
    *,
    classes: int | None = None,
    turned: ArrayLike | None = None,
    model: Model = "full",
    smoothing: float = 0.01,
    tolerance: float = 1e-9,
    max_iterations: int = 2000,
    accelerate: bool = True,
    threads: int | None = None,
    told: Callable[[int], None] = lambda _step: None,
) -> DawidSkene:
    """True classes and annotators' error rates by expectation maximisation, from long rows of votes.

    Args:
        item, annotator, label: one entry per vote (or per distinct row with its `count`), numbered from 0
            without gaps for items and annotators; labels lie within 0 to classes - 1.
        count: how often each row occurs, above 0, fractions too; by default once.
        classes: how many there are; by default the largest label plus one.
        turned: for votes on what was shown in one of two orders: whether this one was cast on the turned
            order. A label is then the side said (first, …, last), an item's class the side that is right
            in the order not turned, and confusion tables speak of sides: an annotator who favours the
            first side shows it in every row. Which order is called turned is arbitrary, so the two sides
            are taken to be right equally often.
        model: "full" gives each annotator a table; "one-coin" one chance of being right, errors going
            evenly to the other classes.
        smoothing: added to every cell of every annotator's confusion table before it is normalised (with
            one coin: to one row of it), so that one vote of a rare annotator is not proof. 0 is the
            method of the paper.
        tolerance: stop when a step changes no probability, of a class or in a confusion table, by this much.
        accelerate: leap ahead along the last steps (Anderson) where that is no loss; the same end, sooner.
        threads: by default as many as there are cores.
        told: called after each pass with how many there were.

    Starts from each item's vote shares, which also fixes which class is which. Items far apart from each
    other in no annotator's view, or annotators with few items, leave the maximum flat: read `confusion`
    with the number of votes beside it.

    Raises:
        BadInput: no votes, lists of different length, a label outside the classes, a gap in the numbers.

    Source: A. P. Dawid and A. M. Skene, Applied Statistics 28 (1979), 20-28; the acceleration is that
    of D. G. Anderson, Journal of the ACM 12 (1965), 547-560, held to never falling as by N. C. Henderson and
    R. Varadhan, Journal of Computational and Graphical Statistics 28 (2019), 834-846.
    """
    if not 0 <= smoothing < float("inf"):
        raise BadInput(f"dawid-skene: smoothing is {smoothing}; give a finite number of at least 0")
    votes = vote_table(item, annotator, label, count, classes, turned)
    with in_order(len(votes.blocks), threads) as each:
        passed, start = _passing(votes, each, smoothing, model), _start(votes, smoothing, model)
        point, history, passes, converged = _climb(passed, start, tolerance, max_iterations, accelerate, told)
        posterior, last = _posterior(votes, each, point)
    return DawidSkene(posterior, *point, last, [*history, last], converged, passes)


def _passing(votes: VoteTable, each: Each, smoothing: float, model: Model) -> Callable[[_Point], _Step]:
    """What makes one pass over the votes, from a point to the next."""

    def passed(point: _Point) -> _Step:
        cells, common = votes.by_cell(_log(point.confusion)), _log(point.prevalence)

        def one(block: tuple[int, object]) -> tuple[Floats, Floats, float]:
            posterior, likelihood = expect(block[1], cells, common)
            return block[1].T @ posterior, posterior.sum(axis=0), likelihood  # type: ignore[attr-defined]

        counts, mass, likelihood = add_up(iter(each(one, votes.blocks)))
        prior = smoothing * _log_prior(point.confusion, model)
        return _Step(_maximum(votes, counts, mass, smoothing, model), likelihood, likelihood + prior)

    return passed


def _posterior(votes: VoteTable, each: Each, point: _Point) -> tuple[Floats, float]:
    """The items' classes as expected at the point, and its log-likelihood."""
    cells, common = votes.by_cell(_log(point.confusion)), _log(point.prevalence)
    parts = list(each(lambda block: expect(block[1], cells, common), votes.blocks))
    return np.concatenate([p for p, _ in parts]), float(np.sum([likelihood for _, likelihood in parts]))


def _climb(
    passed: Callable[[_Point], _Step],
    start: _Point,
    tolerance: float,
    limit: int,
    accelerate: bool,
    told: Callable[[int], None],
) -> tuple[_Point, list[float], int, bool]:
    """The point where steps end, the log-likelihood on the way, the passes, whether it converged."""
    history: list[float] = []
    trail: list[tuple[Floats, Floats]] = []  # points, and where a step from each leads
    kept = max(2, min(_TRAIL, _HELD // start.confusion.size))
    point, safe, best = start, start, float("-inf")
    passes, leapt = 0, False
    while True:
        step = passed(point)
        passes += 1
        told(passes)
        if leapt and step.objective < best and passes < limit:  # one too far: back to the plain step
            point, trail, leapt = safe, [], False
            continue
        history.append(step.likelihood)
        here, there = point.flat(), step.next.flat()
        moved = float(np.abs(there - here).max())
        if moved < tolerance or passes >= limit:
            return step.next, history, passes, moved < tolerance
        trail = [*trail, (here, there)][-kept:]
        point, safe, best = step.next, step.next, step.objective
        leapt = accelerate and passes > _PLAIN and len(trail) > 1
        if leapt:
            point = _leap(trail, step.next)


def _leap(trail: list[tuple[Floats, Floats]], plain: _Point) -> _Point:
    """Where the steps of the trail together would end, were they linear."""
    moves = np.stack([there - here for here, there in trail])
    ends = np.stack([there for _, there in trail])
    turn, drift = np.diff(moves, axis=0), np.diff(ends, axis=0)
    # einsum adds in one fixed order, where a matrix product would depend on threads.
    square = np.einsum("ip,jp->ij", turn, turn)
    square += 1e-12 * np.trace(square) * np.eye(len(square)) + np.finfo(float).tiny * np.eye(len(square))
    part = np.linalg.solve(square, np.einsum("ip,p->i", turn, moves[-1]))
    # What would leave the simplex keeps a tenth of what it had: at 0 no step could bring it back.
    ahead = np.maximum(ends[-1] - np.einsum("i,ip->p", part, drift), ends[-1] / 10)
    kinds = len(plain.prevalence)
    prevalence, confusion = ahead[:kinds], ahead[kinds:].reshape(plain.confusion.shape)
    return _Point(prevalence / prevalence.sum(), confusion / confusion.sum(axis=2, keepdims=True))


def _start(votes: VoteTable, smoothing: float, model: Model) -> _Point:
    """Parameters as the vote shares of the items have them."""
    parts = (
        (block.T @ shares, shares.sum(axis=0), 0.0)
        for (_, block), shares in zip(votes.blocks, vote_shares(votes), strict=True)
    )
    counts, mass, _ = add_up(parts)
    return _maximum(votes, counts, mass, smoothing, model)


def _maximum(votes: VoteTable, counts: Floats, mass: Floats, smoothing: float, model: Model) -> _Point:
    """The likeliest parameters, were the items' classes as expected."""
    if votes.sides == 2:
        mass = mass + mass[::-1]
    prevalence = np.asarray(mass / mass.sum())
    seen = votes.by_annotator(counts)
    kinds = votes.classes
    if model == "one-coin":
        right = np.trace(seen, axis1=1, axis2=2) + smoothing
        chance = right / (seen.sum(axis=(1, 2)) + smoothing * kinds)
        return _Point(prevalence, one_coin_table(chance, kinds))
    seen = seen + smoothing
    total = seen.sum(axis=2, keepdims=True)
    # A class without items says nothing about how it is labelled: every answer is as likely.
    even = np.full(seen.shape, 1 / kinds)
    return _Point(prevalence, np.asarray(np.divide(seen, total, out=even, where=total > 0), dtype=np.float64))


def one_coin_table(chance: Floats, classes: int) -> Floats:
    """Confusion tables of annotators who are right with these chances and err evenly."""
    wrong = (1 - chance) / max(1, classes - 1)
    table = np.broadcast_to(wrong[:, None, None], (len(chance), classes, classes)).copy()
    table[:, range(classes), range(classes)] = chance[:, None]
    return table


def _log(probability: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probability, _NEVER)))


def _log_prior(confusion: Floats, model: Model) -> float:
    """What smoothing by 1 adds to the log-likelihood that is maximised."""
    rows = confusion[:, :1] if model == "one-coin" else confusion
    return float(_log(rows).sum())
