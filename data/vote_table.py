"""Votes as a sparse table of items by what was said, cut into blocks of a fixed size.

A cell is an annotator, what they said, and the side from which they looked. One block after another is
multiplied with a small dense table, which is all that expectation maximisation does with votes: ten
million of them take a tenth of a second on two cores. Blocks are the same at every number of threads and
their sums are added in their order, so no digit depends on the machine's load.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 250_000  # votes in a block


class VoteTable(NamedTuple):
    """All votes, sorted, equal ones added up."""

    blocks: list[tuple[int, Any]]
    """First item of each block, and its votes as a sparse matrix of items by cells."""
    items: int
    annotators: int
    classes: int
    sides: int
    """1, or 2 where some votes were cast looking from the other side."""

    @property
    def cells(self) -> int:
        """Columns of the sparse table: (annotator, said, side), the side running fastest."""
        return self.annotators * self.classes * self.sides

    def by_cell(self, confusion: Floats) -> Floats:
        """A table annotators x true class x said class as cells x true class.

        From the other side the classes come in reverse, both the true one and the said one; what was
        said is kept as it was said.
        """
        straight = confusion.swapaxes(1, 2)  # annotator, said, true
        both = np.stack([straight, straight[:, :, ::-1]][: self.sides], axis=2)
        return np.ascontiguousarray(both.reshape(self.cells, self.classes))

    def by_annotator(self, cells: Floats) -> Floats:
        """The way back for counts: cells x true class added up to annotators x true class x said class."""
        parts = cells.reshape(self.annotators, self.classes, self.sides, self.classes)
        whole = parts[:, :, 0, :]
        if self.sides == 2:
            whole = whole + parts[:, :, 1, ::-1]
        return np.asarray(whole.swapaxes(1, 2), dtype=np.float64)


def vote_table(
    item: ArrayLike,
    annotator: ArrayLike,
    label: ArrayLike,
    count: ArrayLike | None = None,
    classes: int | None = None,
    turned: ArrayLike | None = None,
) -> VoteTable:
    """The table of these votes; see `data.consensus.dawid_skene` for the arguments.

    Raises:
        BadInput: no votes, lists of different length, a label outside the classes, a gap in the numbers.
    """
    columns = [np.asarray(c) for c in (item, annotator, label)]
    size = columns[0].size
    weight = None if count is None else np.asarray(count, dtype=np.float64)
    side = None if turned is None else np.asarray(turned, dtype=np.bool_)
    if size == 0:
        raise BadInput("dawid-skene: no votes; give at least one")
    if any(c is not None and c.shape != (size,) for c in (*columns, weight, side)):
        raise BadInput("dawid-skene: item, annotator, label and count must be lists of the same length")
    if any(c.dtype.kind not in "iu" or c.min() < 0 for c in columns):
        raise BadInput("dawid-skene: items, annotators and labels are whole numbers from 0")
    if weight is not None and not (np.isfinite(weight).all() and (weight > 0).all()):
        raise BadInput("dawid-skene: a count must be finite and above 0")
    kinds = int(columns[2].max()) + 1 if classes is None else classes
    if columns[2].max() >= kinds:
        raise BadInput(f"dawid-skene: label {columns[2].max()} is outside the {kinds} classes")
    many = _without_gaps("item", columns[0])
    people = _without_gaps("annotator", columns[1])
    sides = 1 if side is None else 2
    cell = columns[1].astype(np.int64) * kinds + columns[2]
    if side is not None:
        cell = cell * 2 + side
    return VoteTable(_blocks(columns[0], cell, weight, many, people * kinds * sides), many, people, kinds, sides)


def _without_gaps(name: str, numbers: NDArray[Any]) -> int:
    """How many things are numbered."""
    most = int(numbers.max())
    missing = np.flatnonzero(np.bincount(numbers) == 0) if most < numbers.size else np.array([most - 1])
    if missing.size:
        raise BadInput(f"dawid-skene: {name} {missing[0]} has no vote; number them without gaps")
    return most + 1


def _blocks(item: NDArray[Any], cell: Ints, weight: Floats | None, items: int, cells: int) -> list[tuple[int, Any]]:
    """Votes by item and cell, equal ones added up, cut after the item that fills a block."""
    from scipy.sparse import csr_array

    if weight is not None and (weight % 1).any():
        # Sums of fractions depend on their order: equal rows stand together, the smallest first.
        order = np.lexsort((weight, cell, item))
        item, cell, weight = item[order], cell[order], weight[order]
        first = np.flatnonzero(np.append(True, (item[1:] != item[:-1]) | (cell[1:] != cell[:-1])))
        weight = np.asarray(np.add.reduceat(weight, first), dtype=np.float64)
        item, cell = item[first], cell[first]
    if weight is None:
        weight = np.ones(item.size)
    small = max(items, cells, item.size) < 2**31
    index = (item.astype(np.int32), cell.astype(np.int32)) if small else (item, cell)
    whole = csr_array((weight, index), shape=(items, cells))
    whole.sum_duplicates()
    ends = np.arange(_BLOCK, whole.nnz + _BLOCK, _BLOCK)
    cuts = np.unique(np.append(0, np.minimum(np.searchsorted(whole.indptr, ends), items)))
    found = [(a, whole[a:b]) for a, b in pairwise(cuts.tolist())]
    if (whole.data == 1).all():  # the usual case: one row of ones for all blocks stays in the cache
        ones = np.ones(max(block.nnz for _, block in found))
        for _, block in found:
            block.data = ones[: block.nnz]
    return found


def vote_shares(votes: VoteTable) -> Iterator[Floats]:
    """For each block, items x classes: how each item's votes are shared among the classes."""
    one = np.broadcast_to(np.eye(votes.classes), (votes.annotators, votes.classes, votes.classes))
    said = votes.by_cell(np.asarray(one))
    for _, block in votes.blocks:
        shares = block @ said
        yield shares / shares.sum(axis=1, keepdims=True)


def expect(block: Any, log_cells: Floats, log_common: Floats) -> tuple[Floats, float]:
    """The probability of each class for each item of a block, and the block's log-likelihood."""
    score = block @ log_cells
    score += log_common
    # A column at a time: for a few classes faster than along the rows.
    top = score[:, 0].copy()
    for k in range(1, score.shape[1]):
        np.maximum(top, score[:, k], out=top)
    score -= top[:, None]
    np.exp(score, out=score)
    mass = score[:, 0].copy()
    for k in range(1, score.shape[1]):
        mass += score[:, k]
    score /= mass[:, None]
    return score, float(np.log(mass).sum() + top.sum())


def add_up(parts: Iterator[tuple[Floats, Floats, float]]) -> tuple[Floats, Floats, float]:
    """Counts by cell, by class, and the log-likelihood, added in the order of the blocks."""
    counts, common, likelihood = next(parts)
    values = [likelihood]
    for more, classes, likelihood in parts:
        counts += more
        common = common + classes
        values.append(likelihood)
    return counts, common, math.fsum(values)
