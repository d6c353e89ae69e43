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
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.shingling import Sets, as_sets, mix, shingles_in_order
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
_CHUNK = 1000  # rows in one go


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


def keep_sets(rows: Iterable[Parts], folder: Path, n: int, run: Any, at_once: int = 16_000_000) -> Kept:
    """Write the sets of all rows, in their order.

    Args:
        folder: an empty folder; what is written here is `8 bytes x shingles` long.
        n: tokens in a shingle.
        run: what `data.parallel.processes` gave.
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
        for _, text in row:
            held += len(text)
        if held >= at_once or len(batch) >= _ROWS:
            yield first, batch
            first, held, batch = first + len(batch), 0, []
    if batch:
        yield first, batch


def _write(folder: Path, n: int, numbered: tuple[int, list[Parts]]) -> tuple[Batch, int, bytes, bytes, bytes]:
    """A worker's task: the sets of a batch at the end of its own file."""
    import numpy as np

    first, rows = numbered
    parts = 1 + max(number for row in rows for number, _ in row)
    path = folder / f"sets-{os.getpid()}"
    sizes, bits, same = [], [], []
    with path.open("ab") as out:
        offset = out.tell() // 8
        for start in range(0, len(rows), _CHUNK):
            sets = _united(rows[start : start + _CHUNK], n)
            out.write(sets.hashes.data)
            sizes.append(sets.sizes.astype(np.int32).tobytes())
            bits.append(_bits(sets).tobytes())
            same.append(_same(sets))
    return Batch(first, len(rows), path.name, offset), parts, b"".join(sizes), b"".join(bits), b"".join(same)


def _united(rows: Sequence[Parts], n: int) -> Sets:
    """The set of each row from those of its parts."""
    import numpy as np

    sizes, hashes = _filled([text for parts in rows for _, text in parts], n)
    most = max(map(len, rows))
    part = np.array([number for parts in rows for number, _ in parts], np.uint64)
    if most > 1 or part.any():
        hashes &= ~np.uint64(PARTS - 1)
        hashes |= np.repeat(part, sizes)
        upto = np.concatenate(([0], np.cumsum(sizes)))[np.cumsum([len(parts) for parts in rows])]
        sizes = np.diff(upto, prepend=0)
    return as_sets(sizes, hashes)


def _filled(texts: Sequence[str], n: int) -> "tuple[NDArray[np.int64], NDArray[np.uint64]]":
    """The shingles of each text as they come; where there is none, one that stands for its normalised spelling."""
    import numpy as np

    sizes, hashes = shingles_in_order(texts, n)
    bare = np.flatnonzero(sizes == 0)
    if not len(bare):
        return sizes, hashes
    spelled = [
        hashlib.blake2b(normalise(texts[i]).encode("utf-8", "surrogatepass"), digest_size=8) for i in bare.tolist()
    ]
    values = np.array([int.from_bytes(one.digest(), "little") for one in spelled], np.uint64)
    hashes = np.insert(hashes, np.cumsum(sizes)[bare], values)
    sizes[bare] = 1
    return sizes, hashes


def _bits(sets: Sets) -> "NDArray[np.uint8]":
    """512 bits of each row: the parity of how many shingles fall on each, whatever their part."""
    import numpy as np

    rows = np.repeat(np.arange(len(sets.sizes)), sets.sizes)
    where = rows * BITS + (sets.hashes >> np.uint64(7) & np.uint64(BITS - 1)).astype(np.int64)
    odd = np.bincount(where, minlength=len(sets.sizes) * BITS).astype(np.uint8) & 1
    return np.packbits(odd)


def _same(sets: Sets) -> bytes:
    """128 bits of each row: two sums over its shingles, each spread over 64 bits in another way."""
    import numpy as np

    made = np.zeros((len(sets.sizes), 2), np.uint64)
    filled = np.flatnonzero(sets.sizes)
    begins = (np.cumsum(sets.sizes) - sets.sizes)[filled]
    for lane, salt in enumerate((0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)):
        spread = mix(sets.hashes ^ np.uint64(salt))
        if len(filled):
            made[filled, lane] = np.add.reduceat(spread, begins)
    return made.tobytes()


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

    def read(self, rows: "NDArray[np.int64]") -> Sets:
        """The sets of some rows, which rise, one after another."""
        import numpy as np

        held: list[bytes] = []
        at = np.searchsorted(self._first, rows, "right") - 1
        heads = np.flatnonzero(np.diff(at, prepend=-1)).tolist()
        for head, end in zip(heads, [*heads[1:], len(rows)], strict=True):
            batch = self._batches[int(at[head])]
            sizes = self._sizes[batch.row : batch.row + batch.rows].astype(np.int64)
            own = rows[head:end] - batch.row
            starts, counts = (np.cumsum(sizes) - sizes + batch.offset)[own], sizes[own]
            file = self._files[batch.file]
            held += [
                os.pread(file, size, start)
                for size, start in zip((counts * 8).tolist(), (starts * 8).tolist(), strict=True)
            ]
        return Sets(np.asarray(self._sizes[rows]).astype(np.int64), np.frombuffer(b"".join(held), np.uint64))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)


def read_batch(kept: Kept, batch: Batch) -> Sets:
    """All sets of a batch."""
    import numpy as np

    sizes = kept.sizes[batch.row : batch.row + batch.rows].astype(np.int64)
    return Sets(sizes, np.fromfile(kept.folder / batch.file, np.uint64, int(sizes.sum()), offset=batch.offset * 8))
