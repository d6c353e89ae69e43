"""The sums that every measure of agreement is a function of, and the measures as functions of many such sums.

A unit with counts n_c of each value and m judgments adds n_c (n_k - [c = k]) / (m - 1) to the coincidence of
the values c and k. The coincidences of all units with the same m, added up, are enough for Krippendorff's
alpha at every level, for percent agreement and for Gwet's AC1. So to leave a unit out, or to draw units
again, is to take from these sums or to weigh them; no unit is looked at twice. Before the division all of
them are whole numbers: their sums are exact, whatever the order and the number of threads.

Units of one block (the pairs implied by one prompt's rankings) go together: what is resampled are blocks.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.agreement import Level, ordinal_scores
from data.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MAX_VALUES = 32
"""Values beyond which the coincidences are too many to hold for each pattern."""
MAX_CELLS = 60_000_000  # patterns times pairs of values, 480 MB


class Part(NamedTuple):
    """What units with m judgments add: whole numbers, one row a block from `start` on, one column a pair of values."""

    judgments: int
    start: int
    rows: Floats


class Design(NamedTuple):
    """What is resampled: distinct blocks, how often each occurs, and what each adds."""

    times: Ints
    parts: tuple[Part, ...]
    values: int


class Totals(NamedTuple):
    """Sums of one or many replicates (first axis); the units with one judgment count in `shares` and `rated` alone."""

    coincidence: Floats
    """Replicates x pairs of values (upper triangle by rows)."""
    same: Floats
    """Sum over units of the chance that two judgments of the unit are the same."""
    units: Floats
    """Units with two judgments or more."""
    shares: Floats
    """Replicates x values: sum over units of the share of judgments that gave the value."""
    rated: Floats
    """Units with a judgment."""


def design(counts: Ints, times: Ints, blocks: NDArray[np.intp] | None = None, often: Ints | None = None) -> Design:
    """What to resample, from count patterns.

    Args:
        counts: rows of counts, shape (rows, values), each with at least one judgment.
        times: how many units each row stands for.
        blocks: for each row the block its unit lies in (then times are within that block); by default every
            unit is a block of its own.
        often: how many blocks each of these stands for; by default one.

    Raises:
        BadInput: more than MAX_VALUES values, or MAX_CELLS numbers.
    """
    values = counts.shape[1]
    if values > MAX_VALUES:
        raise BadInput(f"agreement: {values} values; at most {MAX_VALUES} can be resampled")
    m = counts.sum(axis=1)
    first, second = np.triu_indices(values)
    if len(counts) * len(first) > MAX_CELLS:
        raise BadInput(f"agreement: {len(counts):,} patterns of {values} values are too many to resample")
    if blocks is None:
        order = np.lexsort((*counts.T[::-1], m))
        counts, times, m = counts[order], times[order], m[order]
        parts = []
        for judgments in np.unique(m):
            of = np.flatnonzero(m == judgments)
            parts.append(Part(int(judgments), int(of[0]), _pairs(counts[of], int(judgments), first, second)))
        return Design(times, tuple(parts), values)
    sizes = np.unique(m)
    number = int(blocks.max()) + 1 if len(blocks) else 0
    width = len(first)
    sums = np.zeros((number, width * len(sizes)))
    for i, judgments in enumerate(sizes):
        of = np.flatnonzero(m == judgments)
        added = _pairs(counts[of], int(judgments), first, second) * times[of, None]
        np.add.at(sums[:, i * width : (i + 1) * width], blocks[of], added)
    sums, place = _distinct_rows(sums)
    each = np.ones(number, dtype=np.int64) if often is None else often
    many = np.bincount(place, each, len(sums))  # whole numbers: exact
    found = tuple(Part(int(j), 0, sums[:, i * width : (i + 1) * width]) for i, j in enumerate(sizes))
    return Design(many.astype(np.int64), found, values)


def _distinct_rows(table: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """The rows of a table, each once, rising from the first column on, and for each row where it then stands.

    What np.unique(axis=0) gives, in a tenth of its time: it compares whole rows, one with another.
    """
    varied = np.flatnonzero((table != table[:1]).any(axis=0))
    order = np.lexsort(table.T[varied[::-1]]) if len(varied) else np.arange(len(table))
    fresh = np.ones(len(table), dtype=bool)
    fresh[1:] = False
    for column in table.T[varied]:
        along = column[order]
        fresh[1:] |= along[1:] != along[:-1]
    place = np.empty(len(table), dtype=np.intp)
    place[order] = np.cumsum(fresh) - 1
    return table[order[fresh]], place


def sums_of(counts: Ints, judgments: int) -> Floats:
    """What units with so many judgments add, as the rows of a Part: whole numbers, a column a pair of values."""
    first, second = np.triu_indices(counts.shape[1])
    return _pairs(counts, judgments, first, second)


def _pairs(counts: Ints, judgments: int, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
    """n_c (n_k - [c = k]) for every pair of values; for units with one judgment n_c itself, on the diagonal."""
    if judgments == 1:
        return np.where(first == second, counts[:, first], 0).astype(np.float64)
    return np.asarray(counts[:, first] * (counts[:, second] - (first == second)), dtype=np.float64)


def pairable(made: Design) -> NDArray[np.bool_]:
    """Which of the distinct blocks hold a unit with two judgments or more."""
    found = np.zeros(len(made.times), dtype=np.bool_)
    for part in made.parts:
        if part.judgments > 1:
            found[part.start : part.start + len(part.rows)] |= part.rows.any(axis=1)
    return found


def ordered_pairs(made: Design, part: Part) -> float:
    """Ordered pairs of judgments within units, over all units of a part."""
    first, second = np.triu_indices(made.values)
    twice = np.where(first == second, 1.0, 2.0)
    return float((part.rows @ twice) @ made.times[part.start : part.start + len(part.rows)])


def weighed(made: Design, weights: Floats) -> Totals:
    """The sums when each block counts as often as its weight says; weights are whole, shape (blocks, replicates)."""
    sums = (part.rows.T @ weights[part.start : part.start + len(part.rows)] for part in made.parts)
    return totals_of(made, sums, weights.shape[1])


def without_each(made: Design, start: int, stop: int) -> Totals:
    """The sums without one occurrence of each of the distinct blocks from `start` to `stop`, one replicate each."""

    def left() -> Iterator[Floats]:
        for part in made.parts:
            end = part.start + len(part.rows)
            sums = np.repeat((part.rows.T @ made.times[part.start : end])[:, None], stop - start, axis=1)
            low, high = max(start, part.start), min(stop, end)
            if low < high:
                sums[:, low - start : high - start] -= part.rows[low - part.start : high - part.start].T
            yield sums

    return totals_of(made, left(), stop - start)


def totals_of(made: Design, sums: Iterable[Floats], replicates: int) -> Totals:
    """From the whole sums of each part (pairs of values x replicates) to what the measures read."""
    first, second = np.triu_indices(made.values)
    diagonal = np.flatnonzero(first == second)
    coincidence = np.zeros((replicates, len(first)))
    same, units, rated = np.zeros(replicates), np.zeros(replicates), np.zeros(replicates)
    shares = np.zeros((replicates, made.values))
    for part, whole in zip(made.parts, sums, strict=True):
        m = part.judgments
        added = whole.T / max(1, m - 1)
        counted = _margins(added, made.values) if m > 1 else added[:, diagonal]
        of = counted.sum(axis=1) / m
        shares += counted / m
        rated += of
        if m > 1:
            coincidence += added
            same += added[:, diagonal].sum(axis=1) / m
            units += of
    return Totals(coincidence, same, units, shares, rated)


def _margins(coincidence: Floats, values: int) -> Floats:
    """How many pairable judgments gave each value."""
    first, second = np.triu_indices(values)
    onto = np.zeros((len(first), values))
    onto[np.arange(len(first)), first] = 1
    onto[np.arange(len(first)), second] = 1
    # Not a matrix product: that adds in an order that depends on threads.
    return np.asarray(np.einsum("rp,pv->rv", coincidence, onto))


def alphas(totals: Totals, level: Level, numbers: Floats | None = None) -> Floats:
    """Krippendorff's alpha of each replicate; NaN where there is no pairable unit, or one value only.

    Args:
        level: of measurement; the ordinal distances are those of each replicate's own margins.
        numbers: what the values stand for, read at the interval and ratio levels.
    """
    values = totals.shares.shape[1]
    margins = _margins(totals.coincidence, values)
    first, second = np.triu_indices(values)
    apart = np.flatnonzero(first != second)
    a, b = first[apart], second[apart]
    if level == "nominal":
        squared = np.ones((1, len(apart)))
    elif level == "ordinal":
        scores = ordinal_scores(margins)
        squared = (scores[:, a] - scores[:, b]) ** 2
    else:
        assert numbers is not None, "the interval and ratio levels need the values as numbers"
        gap = (numbers[a] - numbers[b])[None, :]
        if level == "ratio":
            total = np.abs(numbers[a] + numbers[b])[None, :]
            gap = np.divide(gap, total, out=np.zeros_like(gap), where=total > 0)
        squared = gap**2
    observed = (totals.coincidence[:, apart] * squared).sum(axis=1)
    expected = (margins[:, a] * margins[:, b] * squared).sum(axis=1)
    n = margins.sum(axis=1)
    exists = (np.count_nonzero(margins > 1e-9, axis=1) >= 2) & (expected > 0)
    return np.where(exists, 1 - (n - 1) * observed / np.where(exists, expected, 1), np.nan)


def percents(totals: Totals) -> Floats:
    """Percent agreement of each replicate, within [0, 1]; NaN where no unit has two judgments."""
    known = totals.units > 0.5
    return np.where(known, totals.same / np.where(known, totals.units, 1), np.nan)


def ac1s(totals: Totals) -> Floats:
    """Gwet's AC1 of each replicate (see `data.agreement.gwet_ac1`); NaN where it does not exist."""
    categories = totals.shares.shape[1]
    if categories < 2:
        return np.full(len(totals.units), np.nan)
    common = totals.shares / np.where(totals.rated > 0, totals.rated, 1)[:, None]
    chance = (common * (1 - common)).sum(axis=1) / (categories - 1)
    return np.asarray((percents(totals) - chance) / (1 - chance))
