"""Draws with replacement from a million units that fall into a few patterns: exact, and quick for many patterns.

To resample n units with replacement is one multinomial draw over the patterns. With many patterns that is
slow one cell at a time, and this is quicker without being another distribution: each pattern gets a Poisson
number with a mean a little below its count, and what is missing to n is drawn one by one. Given its total, a
vector of Poisson numbers is multinomial, and so is the sum of two multinomial draws with the same shares; a
total above n (about one in a million) is drawn again.

Small means come from a table of 65,536 entries per mean. Where an entry would straddle two numbers, more
digits of the uniform number decide, so nothing is cut off or rounded.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CELLS = 3_000_000  # weights held at a time, 24 MB
_FEW = 1500  # patterns up to which numpy's own multinomial is as quick
_TABLED = 96  # greatest count that has a table
_UNSURE = 255


def weights(times: Ints, replicates: int, seed: int) -> Iterator[Floats]:
    """Replicates of the patterns' counts, a block at a time: shape (patterns, replicates of this block).

    Args:
        times: how many units each pattern stands for; each replicate draws as many in all.
        replicates: how many.
        seed: of numpy's PCG64; each block has a generator of its own, so threads or their number change nothing.
    """
    count = len(times)
    step = max(1, min(512, _CELLS // max(1, count)))
    starts = range(0, replicates, step)
    generators = np.random.default_rng(seed).spawn(len(starts))
    total = int(times.sum())
    few = count <= _FEW or total < 100
    tables = None if few else _tables(times, total)
    for start, random in zip(starts, generators, strict=True):
        size = min(step, replicates - start)
        if tables is None:
            yield np.ascontiguousarray(random.multinomial(total, times / total, size=size).T, dtype=np.float64)
        else:
            yield _draw(tables, total, size, random)


class _Tables:
    """What is computed once: which patterns share a count, their tables, and the pattern of each unit."""

    def __init__(self, times: Ints, total: int) -> None:
        self.count = len(times)
        self.owner = np.repeat(np.arange(len(times), dtype=np.int32), times)
        self.kept = 1 - 5 / np.sqrt(total)  # the share drawn as Poisson: five standard deviations below n
        self.small = [(np.flatnonzero(times == c), *_table(c * self.kept)) for c in np.unique(times) if c <= _TABLED]
        self.large = np.flatnonzero(times > _TABLED)
        self.means = times[self.large] * self.kept


def _tables(times: Ints, total: int) -> _Tables:
    return _Tables(times, total)


def _table(mean: float) -> tuple[NDArray[np.uint8], Floats]:
    """For each 16 leading bits of a uniform number the Poisson number, or _UNSURE; and the distribution itself."""
    from scipy.special import pdtr

    steps = pdtr(np.arange(_UNSURE), mean)
    edges = np.arange(65537) / 65536
    low = np.searchsorted(steps, edges[:-1], side="right")
    high = np.searchsorted(steps, edges[1:], side="left")
    return np.where(low == high, low, _UNSURE).astype(np.uint8), steps


def _draw(tables: _Tables, total: int, size: int, random: np.random.Generator) -> Floats:
    drawn = np.empty((tables.count, size))
    for rows, table, steps in tables.small:
        bits = np.frombuffer(random.bytes(2 * len(rows) * size), dtype="<u2")
        numbers = table[bits]
        unsure = np.flatnonzero(numbers == _UNSURE)
        found = numbers.astype(np.float64)
        found[unsure] = np.searchsorted(steps, (bits[unsure] + random.random(len(unsure))) / 65536, side="right")
        drawn[rows] = found.reshape(len(rows), size)
    if len(tables.large):
        drawn[tables.large] = random.poisson(tables.means[:, None], size=(len(tables.large), size))
    missing = total - drawn.sum(axis=0)
    while (over := np.flatnonzero(missing < 0)).size:
        again = _draw(tables, total, over.size, random)
        drawn[:, over] = again
        missing[over] = 0
    for column in np.flatnonzero(missing > 0):
        units = random.integers(0, total, int(missing[column]))
        drawn[:, column] += np.bincount(tables.owner[units], minlength=tables.count)
    return drawn
