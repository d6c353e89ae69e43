"""The shingle sets of many rows, kept on disk: what near.py compares, and what it needs to compare less.

A row is one text or several parts of one (prompt, chosen, rejected): a shingle of one part is another shingle
in another part (its hash ends in the part's number), and the row's set is the union. A text without tokens
("?!", an emoji, nothing) has one shingle, its normalised spelling. For every row there stays

    sets     its shingle hashes, rising, in files that are read at the rows that are asked for
    sizes    how many
    bits     512 bits, each turned over once for every shingle that falls on it: as many as differ between
             two rows, so many shingles at least are in one and not in the other
    same     128 bits that two rows share when their sets are the same

Memory holds none of the sets: it does not grow with the length of the texts.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.shingling import Sets, distinct, shingle_hashes
from data.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Parts = Sequence[tuple[int, str]]
"""A row: texts with the number of the part each belongs to; 0 when there is but one."""
BITS = 512
PARTS = 4
"""Part numbers are below this."""
_ROWS = 20_000  # rows at most in a batch


class Batch(NamedTuple):
    """Rows that lie together: the first and how many, and where in which file their sets begin."""

    row: int
    rows: int
    file: str
    offset: int
    """In hashes, of eight bytes each."""


class Kept(NamedTuple):
    """The sets of all rows, on disk."""

    folder: Path
    batches: list[Batch]
    rows: int
    parts: int
    """Parts of a row at most: 1 when each is one text."""

    @property
    def sizes(self) -> "NDArray[np.int32]":
        """Shingles of each row."""
        column: NDArray[np.int32] = self._load("sizes", "int32", 1)[:, 0]
        return column

    @property
    def bits(self) -> "NDArray[np.uint64]":
        """Shape (rows, 8): the 512 bits of each row."""
        table: NDArray[np.uint64] = self._load("bits", "uint64", BITS // 64)
        return table

    @property
    def same(self) -> "NDArray[np.uint64]":
        """Shape (rows, 2): equal where the sets are."""
        table: NDArray[np.uint64] = self._load("same", "uint64", 2)
        return table

    def _load(self, name: str, kind: str, columns: int) -> Any:
        import numpy as np

        if not self.rows:
            return np.zeros((0, columns), kind)
        return np.memmap(self.folder / name, kind, "r", shape=(self.rows, columns))


@contextmanager
def workers(count: int) -> Iterator[Any]:
    """A function that maps over tasks in order: by `count` processes, or right here when it is 1."""
    if count <= 1:
        yield map
        return
    import multiprocessing

    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield partial(_map, pool, count + 2)


def _map(pool: ProcessPoolExecutor, ahead: int, work: Any, *tasks: Iterable[Any]) -> Iterator[Any]:
    """Results in the order of the tasks, with so many under way: what waits does not fill the memory."""
    waiting = []
    todo: Iterator[Any] = zip(*tasks, strict=False)
    first, second = next(todo, None), next(todo, None)
    if second is None:  # a process would only cost its start
        if first is not None:
            yield work(*first)
        return
    for task in itertools.chain([first, second], todo):
        waiting.append(pool.submit(work, *task))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for one in waiting:
        yield one.result()


def keep_sets(rows: Iterable[Parts], folder: Path, n: int, run: Any, at_once: int = 16_000_000) -> Kept:
    """Write the sets of all rows, in their order.

    Args:
        folder: an empty folder; what is written here is `8 bytes x shingles` long.
        n: tokens in a shingle.
        run: what `workers` gave.
        at_once: characters that go to a worker at a time.
    """
    batches, total, parts = [], 0, 1
    names = ("sizes", "bits", "same")
    files = {name: (folder / name).open("wb") for name in names}
    try:
        for batch, most, *columns in run(partial(_write, folder, n), _numbered(rows, at_once)):
            batches.append(batch)
            total, parts = total + batch.rows, max(parts, most)
            for name, column in zip(names, columns, strict=True):
                files[name].write(column)
    finally:
        for file in files.values():
            file.close()
    return Kept(folder, batches, total, parts)


def _numbered(rows: Iterable[Parts], at_once: int) -> Iterator[tuple[int, list[Parts]]]:
    batch: list[Parts] = []
    first = held = 0
    for row in rows:
        batch.append(row)
        held += sum(len(text) for _, text in row)
        if held >= at_once or len(batch) >= _ROWS:
            yield first, batch
            first, held, batch = first + len(batch), 0, []
    if batch:
        yield first, batch


def _write(folder: Path, n: int, numbered: tuple[int, list[Parts]]) -> tuple[Batch, int, bytes, bytes, bytes]:
    """A worker's task: the sets of a batch at the end of its own file."""
    import numpy as np

    first, rows = numbered
    path = folder / f"sets-{os.getpid()}"
    sizes, bits, same = [], [], []
    with path.open("ab") as out:
        offset = out.tell() // 8
        for start in range(0, len(rows), 1000):
            sets = _united(rows[start : start + 1000], n)
            out.write(sets.hashes.tobytes())
            sizes.append(sets.sizes.astype(np.int32).tobytes())
            bits.append(_bits(sets).tobytes())
            same.append(_same(sets))
    parts = 1 + max(number for row in rows for number, _ in row)
    return Batch(first, len(rows), path.name, offset), parts, b"".join(sizes), b"".join(bits), b"".join(same)


def _united(rows: Sequence[Parts], n: int) -> Sets:
    """The set of each row from those of its parts."""
    import numpy as np

    sets = _filled([text for parts in rows for _, text in parts], n)
    if all(len(parts) == 1 and parts[0][0] == 0 for parts in rows):
        return sets
    part = np.array([number for parts in rows for number, _ in parts], np.uint64)
    marked = sets.hashes & ~np.uint64(PARTS - 1) | np.repeat(part, sets.sizes)
    found, at, upto = [np.zeros(0, np.uint64)], 0, 0
    ends = np.cumsum(sets.sizes).tolist()
    for parts in rows:
        upto += len(parts)
        end = ends[upto - 1] if upto else 0
        found.append(distinct(marked[at:end]))
        at = end
    return Sets(np.array([len(x) for x in found[1:]], np.int64), np.concatenate(found))


def _filled(texts: Sequence[str], n: int) -> Sets:
    """The shingles of each text; where there is none, one that stands for its normalised spelling."""
    import numpy as np

    sets = shingle_hashes(texts, n)
    bare = np.flatnonzero(sets.sizes == 0)
    if not len(bare):
        return sets
    spelled = [
        hashlib.blake2b(normalise(texts[i]).encode("utf-8", "surrogatepass"), digest_size=8) for i in bare.tolist()
    ]
    values = np.array([int.from_bytes(one.digest(), "little") for one in spelled], np.uint64)
    hashes = np.insert(sets.hashes, np.cumsum(sets.sizes)[bare], values)
    sizes = sets.sizes.copy()
    sizes[bare] = 1
    return Sets(sizes, hashes)


def _bits(sets: Sets) -> "NDArray[np.uint8]":
    """512 bits of each row: the parity of how many shingles fall on each."""
    import numpy as np

    rows = np.repeat(np.arange(len(sets.sizes)), sets.sizes)
    where = rows * BITS + (sets.hashes >> np.uint64(7) & np.uint64(BITS - 1)).astype(np.int64)
    odd = np.bincount(where, minlength=len(sets.sizes) * BITS).astype(np.uint8) & 1
    return np.packbits(odd)


def _same(sets: Sets) -> bytes:
    whole, ends = memoryview(sets.hashes.tobytes()), (sets.sizes.cumsum() * 8).tolist()
    starts = [0, *ends]
    return b"".join(
        hashlib.blake2b(whole[start:end], digest_size=16).digest() for start, end in zip(starts, ends, strict=False)
    )


class Reader:
    """Reads the sets of single rows."""

    def __init__(self, kept: Kept) -> None:
        import numpy as np

        self._files = {
            name: os.open(kept.folder / name, os.O_RDONLY) for name in sorted({b.file for b in kept.batches})
        }
        self._batches = kept.batches
        self.parts = kept.parts
        self._first = np.array([b.row for b in kept.batches], np.int64)
        self._sizes = kept.sizes
        self._before: dict[int, Any] = {}

    def read(self, row: int) -> "NDArray[np.uint64]":
        """The set of one row."""
        import numpy as np

        at = int(np.searchsorted(self._first, row, "right")) - 1
        batch = self._batches[at]
        if at not in self._before:
            sizes = self._sizes[batch.row : batch.row + batch.rows]
            self._before[at] = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]) + batch.offset
        before = self._before[at]
        start, end = int(before[row - batch.row]), int(before[row - batch.row + 1])
        return np.frombuffer(os.pread(self._files[batch.file], (end - start) * 8, start * 8), np.uint64)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)


def read_batch(kept: Kept, batch: Batch) -> Sets:
    """All sets of a batch."""
    import numpy as np

    sizes = kept.sizes[batch.row : batch.row + batch.rows].astype(np.int64)
    return Sets(sizes, np.fromfile(kept.folder / batch.file, np.uint64, int(sizes.sum()), offset=batch.offset * 8))
