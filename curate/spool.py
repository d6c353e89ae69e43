"""Plain values of many tasks on disk, in blocks: written once, then read as often as need be.

Stored tasks go to other processes so; sums and pairs wait here between the stages of an export, so that memory holds
what decisions are made of and no more. A block is spelled by `marshal`: it is read by the very run that wrote it,
and by nobody else.
"""

import marshal
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from curate.moment import StoredJudgment, StoredTask
from curate.pairs import Compared, LeftOut, Summed


class Spool:
    """Blocks in a file, in the order in which they came."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, block: bytes) -> None:
        """Keep a block."""
        self._file.write(len(block).to_bytes(8) + block)

    def blocks(self) -> Iterator[bytes]:
        """Every block again."""
        self._file.seek(0)
        while size := self._file.read(8):
            yield self._file.read(int.from_bytes(size))


def packed(values: Any) -> bytes:
    """Plain values (tuples, lists, dictionaries, text, numbers) as a block."""
    return marshal.dumps(values)


def unpacked(block: bytes) -> Any:
    """The values of a block."""
    return marshal.loads(block)


def packed_sums(summed: Iterable[Summed]) -> bytes:
    """Sums as a block."""
    return packed(
        [(*one[:-2], [tuple(each) for each in one.compared], [tuple(gap) for gap in one.left_out]) for one in summed]
    )


def unpacked_sums(block: bytes) -> Iterator[Summed]:
    """The sums of a block."""
    for task, prompt, texts, scores, unit, whole, compared, gaps in unpacked(block):
        counted = [Compared(*one) for one in compared]
        yield Summed(task, prompt, texts, scores, unit, whole, counted, [LeftOut(*gap) for gap in gaps])


def packed_tasks(stored: Iterable[StoredTask]) -> bytes:
    """Stored tasks as a block."""
    return packed([(one.task, one.record, [tuple(line) for line in one.judgments]) for one in stored])


def unpacked_tasks(block: bytes) -> Iterator[StoredTask]:
    """The stored tasks of a block."""
    for task, record, judgments in unpacked(block):
        yield StoredTask(task, record, [StoredJudgment(*line) for line in judgments])
