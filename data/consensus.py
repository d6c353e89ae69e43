"""What an item most likely is, from the labels of annotators who err in their own ways: Dawid and Skene.

Votes are long rows of numbers, each distinct row once with its count, so nothing of the size items by
annotators by classes is ever held. Nothing here is random; the order of the votes changes no digit.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
    """The log-likelihood before each maximisation; never falls when smoothing is 0."""
    converged: bool


def dawid_skene(
    item: ArrayLike,
    annotator: ArrayLike,
    label: ArrayLike,
    count: ArrayLike | None = None,
    *,
    classes: int | None = None,
    smoothing: float = 0.01,
    tolerance: float = 1e-9,
    max_iterations: int = 2000,
) -> DawidSkene:
    """True classes and annotators' error rates by expectation maximisation, from long rows of votes.

    Args:
        item, annotator, label: one entry per vote (or per distinct row with its `count`), numbered from 0
            without gaps for items and annotators; labels lie within 0 to classes - 1.
        count: how often each row occurs, above 0; by default once.
        classes: how many there are; by default the largest label plus one.
        smoothing: added to every cell of every annotator's confusion table before it is normalised, so
            that one vote of a rare annotator is not proof. 0 is the method of the paper.
        tolerance: stop when the log-likelihood changes by less than this.

    Starts from each item's vote shares, which also fixes which class is which. Items far apart from each
    other in no annotator's view, or annotators with few items, leave the maximum flat: read `confusion`
    with the number of votes beside it.

    Raises:
        BadInput: no votes, lists of different length, a label outside the classes, a gap in the numbers.

    Source: A. P. Dawid and A. M. Skene, Applied Statistics 28 (1979), 20-28.
    """
    if not 0 <= smoothing < math.inf:
        raise BadInput(f"dawid-skene: smoothing is {smoothing}; give a finite number of at least 0")
    rows, weight, kinds = _votes(item, annotator, label, count, classes)
    what, who, said = rows
    items, people = int(what.max()) + 1, int(who.max()) + 1
    start = np.bincount(what * kinds + said, weight, items * kinds).reshape(items, kinds)
    posterior: Floats = np.asarray(start / start.sum(axis=1, keepdims=True), dtype=np.float64)
    history: list[float] = []
    while True:
        prevalence = np.asarray(posterior.sum(axis=0) / items)
        confusion = _confusion(rows, weight, posterior, people, smoothing)
        posterior, likelihood = _posterior(rows, weight, prevalence, confusion, items)
        history.append(likelihood)
        converged = len(history) > 1 and abs(history[-1] - history[-2]) < tolerance
        if converged or len(history) >= max_iterations:
            return DawidSkene(posterior, prevalence, confusion, likelihood, history, converged)


def _confusion(rows: Ints, weight: Floats, posterior: Floats, people: int, smoothing: float) -> Floats:
    """How each annotator labels each class, as the posterior has it."""
    what, who, said = rows
    kinds = posterior.shape[1]
    cell = who * kinds + said
    tables = [np.bincount(cell, weight * posterior[what, k], people * kinds) for k in range(kinds)]
    seen = np.stack(tables, axis=1).reshape(people, kinds, kinds).swapaxes(1, 2) + smoothing
    total = seen.sum(axis=2, keepdims=True)
    # A class without items says nothing about how it is labelled: every answer is as likely.
    even = np.full(seen.shape, 1 / kinds)
    return np.asarray(np.divide(seen, total, out=even, where=total > 0), dtype=np.float64)


def _posterior(rows: Ints, weight: Floats, prevalence: Floats, confusion: Floats, items: int) -> tuple[Floats, float]:
    """The probability of each class for each item, and the log-likelihood of all votes."""
    what, who, said = rows
    with np.errstate(divide="ignore"):  # what never happens has logarithm -inf, and its class falls out
        log_said, log_common = np.log(confusion), np.log(prevalence)
    each = [np.bincount(what, weight * log_said[who, k, said], items) for k in range(len(prevalence))]
    score = np.stack(each, axis=1) + log_common
    top = score.max(axis=1, keepdims=True)
    raw = np.exp(score - top)
    mass = raw.sum(axis=1, keepdims=True)
    return raw / mass, math.fsum((top + np.log(mass)).ravel().tolist())


def _votes(
    item: ArrayLike, annotator: ArrayLike, label: ArrayLike, count: ArrayLike | None, classes: int | None
) -> tuple[Ints, Floats, int]:
    """The distinct votes in sorted order (item, annotator, label), their counts, the number of classes."""
    columns = [np.asarray(c) for c in (item, annotator, label)]
    size = columns[0].size
    weight = np.ones(size) if count is None else np.asarray(count, dtype=np.float64)
    if size == 0:
        raise BadInput("dawid-skene: no votes; give at least one")
    if any(c.shape != (size,) for c in (*columns, weight)):
        raise BadInput("dawid-skene: item, annotator, label and count must be lists of the same length")
    if any(c.dtype.kind not in "iu" or c.min() < 0 for c in columns):
        raise BadInput("dawid-skene: items, annotators and labels are whole numbers from 0")
    if not (np.isfinite(weight).all() and (weight > 0).all()):
        raise BadInput("dawid-skene: a count must be finite and above 0")
    kinds = int(columns[2].max()) + 1 if classes is None else classes
    if columns[2].max() >= kinds:
        raise BadInput(f"dawid-skene: label {columns[2].max()} is outside the {kinds} classes")
    for name, numbers in (("item", columns[0]), ("annotator", columns[1])):
        missing = np.flatnonzero(np.bincount(numbers) == 0)
        if missing.size:
            raise BadInput(f"dawid-skene: {name} {missing[0]} has no vote; number them without gaps")
    rows = np.stack(columns).astype(np.int64)
    # Equal rows stand together, smallest count first, so that their order in the input changes no digit.
    order = np.lexsort((weight, *rows[::-1]))
    rows, weight = rows[:, order], weight[order]
    first = np.flatnonzero(np.append(True, (rows[:, 1:] != rows[:, :-1]).any(axis=0)))
    return rows[:, first], np.asarray(np.add.reduceat(weight, first), dtype=np.float64), kinds
