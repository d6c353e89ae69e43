"""How far annotators agree beyond chance, from counts: Krippendorff's alpha and its relatives.

Everything starts from a table of counts: one row per unit (what was judged), one column per value, each
cell the number of judgments that gave the unit this value. Who judged is not needed. Rows that are equal
may be given once with how often they occur (`times`), which makes a million units a few hundred rows.

A number that does not exist is None with a reason, never NaN. Sums are exactly rounded, so the order of
the rows changes no digit. Intervals for alpha are in `data.resampling`.
Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Agreement(NamedTuple):
    """A measure of agreement, or None and why there is none, with what it was computed from."""

    value: float | None
    why: str | None
    units: int
    """Units that could be paired: those with at least two judgments."""
    ratings: int
    """Judgments on those units."""


class Table(NamedTuple):
    """What alpha is computed from: the rows that can be paired, and the distances between values."""

    counts: Floats  # pairable rows x values
    times: Floats  # how often each row occurs
    scores: Floats | None  # the values as numbers, centred; None at the nominal level and for ordinal
    squared: Floats | None  # distance of every two values, ratio level only
    level: Level


def count_table(
    units: Iterable[Mapping[Hashable, int]], values: Sequence[Hashable] | None = None
) -> tuple[Ints, list[Hashable]]:
    """Counts as an array of units by values, and the values its columns stand for.

    Args:
        units: for each unit how many judgments gave each value.
        values: the columns in order; by default all values that occur, sorted. An ordinal scale whose
            order is not that of sorting must be given.

    Raises:
        BadInput: a unit has a value that `values` does not list.
    """
    rows = list(units)
    columns = list(values) if values is not None else sorted({v for row in rows for v in row})  # type: ignore[type-var]
    place = {value: i for i, value in enumerate(columns)}
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for i, row in enumerate(rows):
        for value, count in row.items():
            if value not in place:
                raise BadInput(f"unit {i}: value {value!r} is none of {columns}; add it to the values")
            table[i, place[value]] += count
    return table, columns


def patterns(counts: ArrayLike, times: ArrayLike | None = None) -> tuple[Ints, Ints]:
    """Equal rows merged: the distinct rows in sorted order, and how many units each stands for."""
    table, often = checked(counts, times)
    if table.shape[1] == 0:
        return table[:1], often.sum(keepdims=True)
    order = np.lexsort(table.T[::-1])
    rows = table[order]
    first = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)])
    if not len(first):
        return rows, often
    return rows[first], np.add.reduceat(often[order], first)


def krippendorff_alpha(
    counts: ArrayLike,
    level: Level = "nominal",
    values: Sequence[float] | None = None,
    times: ArrayLike | None = None,
) -> Agreement:
    """Krippendorff's alpha: 1 is perfect agreement, 0 what chance gives, below 0 worse than chance.

    Args:
        counts: shape (units, values), whole numbers of at least 0; `level` "ordinal" reads the columns
            as ordered. Units with fewer than two judgments cannot be paired and are left out.
        level: "nominal", "ordinal", "interval" or "ratio" (values of at least 0).
        values: the number each column stands for, read at "interval" and "ratio"; by default 0, 1, 2, …
        times: how many units each row stands for; by default one.

    Returns:
        The value; None with `why` "no pairable unit" when no unit has two judgments, and "one value only"
        when all pairable judgments are the same, since agreement then cannot be told from habit.

    Raises:
        BadInput: counts that are negative, not whole or not a table; values missing, not finite or, at
            the ratio level, negative (the ratio distance has no meaning there).

    Time and memory grow with units times values; the ratio level adds values squared.
    """
    table = distance_table(counts, level, values, times)
    units, ratings = int(table.times.sum()), int(exact_sum(table.counts.sum(axis=1) * table.times))
    if not units:
        return Agreement(None, "no pairable unit", 0, 0)
    margins = column_sums(table.counts, table.times)
    if np.count_nonzero(margins) < 2:
        return Agreement(None, "one value only", units, ratings)
    scores = ordinal_scores(margins) if table.level == "ordinal" else table.scores
    observed = exact_sum(disagreement(table.counts, scores, table.squared) * table.times)
    expected = expected_sum(margins, scores, table.squared)
    if expected == 0:  # distinct values that floating point cannot hold apart
        return Agreement(None, "one value only", units, ratings)
    return Agreement(1 - (ratings - 1) * observed / expected, None, units, ratings)


def interval_alpha(
    judgments: ArrayLike, sums: ArrayLike, squares: ArrayLike, times: ArrayLike | None = None
) -> Agreement:
    """Alpha at the interval level from three sums per unit, for values too many to have a column each.

    Args:
        judgments: how many judgments each unit has.
        sums: the sum of each unit's values; centre the values near 0 first to keep digits.
        squares: the sum of their squares.
        times: how many units each entry stands for; by default one.

    Returns and edge cases are those of `krippendorff_alpha`.
    """
    m, s1, s2 = (np.asarray(a, dtype=np.float64) for a in (judgments, sums, squares))
    often = np.ones_like(m) if times is None else np.asarray(times, dtype=np.float64)
    m, s1, s2, often = (a[(m >= 2) & (often > 0)] for a in (m, s1, s2, often))
    units, n = int(often.sum()), exact_sum(m * often)
    if not units:
        return Agreement(None, "no pairable unit", 0, 0)
    mean = exact_sum(s1 * often) / n
    s2 = s2 - 2 * mean * s1 + m * mean * mean
    s1 = s1 - m * mean
    observed = exact_sum(np.maximum(0, 2 * (m * s2 - s1 * s1) / (m - 1)) * often)
    expected = 2 * (n * exact_sum(s2 * often) - exact_sum(s1 * often) ** 2)
    if expected <= 0:
        return Agreement(None, "one value only", units, int(n))
    return Agreement(1 - (n - 1) * observed / expected, None, units, int(n))


def percent_agreement(counts: ArrayLike, times: ArrayLike | None = None) -> Agreement:
    """The chance that two judgments drawn from one unit are the same, averaged over units; within [0, 1].

    Every unit with at least two judgments counts the same. None when there is no such unit.
    """
    table, often = checked(counts, times)
    kept = (table.sum(axis=1) >= 2) & (often > 0)
    n, often = table[kept].astype(np.float64), often[kept].astype(np.float64)
    m = n.sum(axis=1)
    units, ratings = int(often.sum()), int(exact_sum(m * often))
    if not units:
        return Agreement(None, "no pairable unit", 0, 0)
    same = (n * (n - 1)).sum(axis=1) / (m * (m - 1))
    return Agreement(exact_sum(same * often) / units, None, units, ratings)


def gwet_ac1(counts: ArrayLike, times: ArrayLike | None = None) -> Agreement:
    """Gwet's AC1: agreement beyond chance that stays steady where one value is far more common than others.

    1 is perfect agreement, 0 what chance gives. Every column counts as a category the annotator could have
    used, even an empty one; with fewer than two columns there is nothing to choose between and the value
    is None. Units with one judgment count towards how common the values are, not towards agreement.

    Source: K. L. Gwet, British Journal of Mathematical and Statistical Psychology 61 (2008), 29-48.
    """
    table, often = checked(counts, times)
    same = percent_agreement(table, often)
    if same.value is None:
        return same
    categories = table.shape[1]
    if categories < 2:
        return Agreement(None, "one value only", same.units, same.ratings)
    kept = (table.sum(axis=1) >= 1) & (often > 0)
    share = table[kept] / table[kept].sum(axis=1, keepdims=True)
    common = column_sums(share, often[kept].astype(np.float64)) / float(often[kept].sum())
    chance = exact_sum(common * (1 - common)) / (categories - 1)
    return Agreement((same.value - chance) / (1 - chance), None, same.units, same.ratings)


def kendall_w(ranks: ArrayLike) -> Agreement:
    """Kendall's W: how far several complete rankings of the same items concur; 0 not at all, 1 wholly.

    Args:
        ranks: shape (rankings, items); smaller is better, only the order within a row is read, and equal
            numbers are ties, which share their mean rank.

    Returns:
        The value with `units` the number of items and `ratings` of ranks. None with `why` when there are
        fewer than two rankings or items, a rank is missing (NaN), or every ranking ties all its items.

    Source: M. G. Kendall and B. Babington Smith, Annals of Mathematical Statistics 10 (1939), with the
    correction for ties of Kendall, "Rank Correlation Methods".
    """
    given = np.asarray(ranks, dtype=np.float64)
    if given.ndim != 2:
        raise BadInput("kendall's W: ranks is not a table of rankings by items")
    judges, items = given.shape
    if judges < 2 or items < 2:
        return Agreement(None, f"{judges} rankings of {items} items; it takes two of each", items, given.size)
    if np.isnan(given).any():
        return Agreement(None, "a rank is missing; only complete rankings can be compared", items, given.size)
    below = (given[:, None, :] < given[:, :, None]).sum(axis=2)
    equal = (given[:, None, :] == given[:, :, None]).sum(axis=2)
    doubled = 2 * below + equal + 1  # twice the mean rank: whole numbers, so the sums are exact
    spread = doubled.sum(axis=0) - judges * (items + 1)
    tied = int((equal**2 - 1).sum())  # the sum of t^3 - t over all groups of t tied items
    room = judges * judges * (items**3 - items) - judges * tied
    if room == 0:
        return Agreement(None, "every ranking ties all its items", items, given.size)
    return Agreement(3 * int((spread**2).sum()) / room, None, items, given.size)


def checked(counts: ArrayLike, times: ArrayLike | None) -> tuple[Ints, Ints]:
    """Counts and times as whole numbers; BadInput says what is wrong with them."""
    table = np.asarray(counts)
    if table.ndim != 2:
        raise BadInput(f"agreement: counts have {table.ndim} dimensions; give a table of units by values")
    often = np.ones(len(table), dtype=np.int64) if times is None else np.asarray(times)
    if often.shape != (len(table),):
        raise BadInput(f"agreement: {often.size} times for {len(table)} rows; give one for each row")
    for name, numbers in (("counts", table), ("times", often)):
        if numbers.size and (not np.isfinite(numbers).all() or (numbers < 0).any() or (numbers % 1).any()):
            raise BadInput(f"agreement: {name} must be whole numbers of at least 0")
    return table.astype(np.int64), often.astype(np.int64)


def distance_table(counts: ArrayLike, level: Level, values: Sequence[float] | None, times: ArrayLike | None) -> Table:
    """The pairable rows, with distances as the level wants them."""
    if level not in ("nominal", "ordinal", "interval", "ratio"):
        raise BadInput(f"agreement: level '{level}' is none of nominal, ordinal, interval, ratio")
    table, often = checked(counts, times)
    scores = squared = None
    if level in ("interval", "ratio"):
        number = np.arange(table.shape[1], dtype=np.float64) if values is None else np.asarray(values, np.float64)
        if number.shape != (table.shape[1],) or not np.isfinite(number).all():
            raise BadInput(f"agreement: give one finite number for each of the {table.shape[1]} values")
        if level == "ratio":
            if (number < 0).any():
                raise BadInput("agreement: the ratio level has no meaning for values below 0; use interval")
            total = number[:, None] + number[None, :]
            gap = number[:, None] - number[None, :]
            squared = np.divide(gap, total, out=np.zeros_like(gap), where=total > 0) ** 2
        elif number.size:
            scores = number - (number.max() / 2 + number.min() / 2)  # centred: squares keep their digits
    kept = (table.sum(axis=1) >= 2) & (often > 0)
    return Table(table[kept].astype(np.float64), often[kept].astype(np.float64), scores, squared, level)


def ordinal_scores(margins: Floats) -> Floats:
    """Ordinal distance is the squared difference of these: judgments below a value plus half of its own."""
    scores = np.cumsum(margins, axis=-1) - margins / 2
    return np.asarray(scores - margins.sum(axis=-1, keepdims=True) / 2)


def disagreement(n: Floats, scores: Floats | None, squared: Floats | None) -> Floats:
    """For each row the sum of distances over ordered pairs of its judgments, divided by m - 1.

    Nominal (neither scores nor distances), score-based (ordinal, interval) or by distance (ratio).
    """
    m = n.sum(axis=1)
    if squared is not None:
        return np.asarray(np.einsum("uc,ck,uk->u", n, squared, n) / (m - 1))
    if scores is None:
        return np.asarray((m * m - (n * n).sum(axis=1)) / (m - 1))
    centre = (n * scores).sum(axis=1) / m
    around = (n * (scores - centre[:, None]) ** 2).sum(axis=1)
    around[np.count_nonzero(n, axis=1) == 1] = 0.0  # one value: no rounding error may look like disagreement
    return np.asarray(2 * m * around / (m - 1))


def expected_sum(margins: Floats, scores: Floats | None, squared: Floats | None) -> float:
    """The same sum over ordered pairs of all pairable judgments, not divided."""
    n = exact_sum(margins)
    if squared is not None:
        return exact_sum(np.einsum("c,ck,k->c", margins, squared, margins))
    if scores is None:
        return n * n - exact_sum(margins * margins)
    centre = exact_sum(margins * scores) / n
    return 2 * n * exact_sum(margins * (scores - centre) ** 2)


def exact_sum(numbers: Floats) -> float:
    """The exactly rounded sum: the same for every order."""
    return math.fsum(numbers.tolist())


def column_sums(table: Floats, weights: Floats) -> Floats:
    """The sum of each column, its rows weighted; exactly rounded."""
    return np.array([exact_sum(column * weights) for column in table.T])
