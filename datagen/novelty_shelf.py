"""Signatures of texts of nearly the same length, and which of them differ from another's in few bits."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

LENGTHS = [2, 4, 6, 8, 11, 15, 20]  # the longest text (in tokens) on each shelf
while LENGTHS[-1] < 1 << 40:
    LENGTHS.append(LENGTHS[-1] * 4 // 3)
_BITS_PER_TOKEN = 3  # fewer and signatures fill up and tell nothing, more and there is more to read
_MOST_BITS = 1 << 14
_CHUNK = 1 << 16  # signatures looked at together: what is between stays in the processor's cache


def shelf_number(length: int) -> int:
    """The shelf for texts of this many tokens, at least 1."""
    return bisect_left(LENGTHS, length)


class Shelf:
    """Signatures of the texts of `low` to `high` tokens, in the order they were added."""

    def __init__(self, number: int) -> None:
        import numpy as np

        self.low = LENGTHS[number - 1] + 1 if number else 1
        self.high = LENGTHS[number]
        self._order = 6  # 2^order bits
        while 1 << self._order < min(_BITS_PER_TOKEN * self.high, _MOST_BITS):
            self._order += 1
        self._planes = np.empty((1 << self._order - 6, 16), np.uint64)  # word after word, not text after text
        self._places = np.empty(16, np.int64)
        self._lengths = np.empty(16, np.int32)
        self._count = 0

    def add(self, place: int, hashes: list[int]) -> None:
        """Keep the signature of the text at this place of the index."""
        import numpy as np

        at = self._count
        if at == len(self._places):
            self._planes = np.concatenate([self._planes, np.empty_like(self._planes)], axis=1)
            self._places = np.resize(self._places, 2 * at)
            self._lengths = np.resize(self._lengths, 2 * at)
        self._planes[:, at] = self._signature(hashes)
        self._places[at] = place
        self._lengths[at] = len(hashes)
        self._count += 1

    def within(self, hashes: list[int], bits: int) -> Iterator[int]:
        """Places of the texts whose signature differs in at most this many bits."""
        for start in range(0, self._count, _CHUNK):
            differ = self._differ(hashes, start)
            near = (differ <= bits).nonzero()[0]
            if len(near):
                yield from self._places[start : start + _CHUNK][near].tolist()

    def bounds(self, hashes: list[int]) -> list[tuple[float, int]]:
        """For every text an upper bound of its F1, and its place."""
        found: list[tuple[float, int]] = []
        for start in range(0, self._count, _CHUNK):
            differ = self._differ(hashes, start)
            both = self._lengths[start : start + len(differ)] + len(hashes)
            bound = (both - differ) / both
            found += zip(bound.tolist(), self._places[start : start + len(differ)].tolist(), strict=True)
        return found

    def _differ(self, hashes: list[int], start: int) -> Any:
        """In how many bits each signature of a chunk differs."""
        import numpy as np

        stop = min(start + _CHUNK, self._count)
        mine = self._signature(hashes)
        differ = np.bitwise_count(self._planes[0, start:stop] ^ mine[0])
        if len(mine) > 1:
            differ = differ.astype(np.int32)
            for plane, word in zip(self._planes[1:], mine[1:], strict=True):
                differ += np.bitwise_count(plane[start:stop] ^ word)
        return differ

    def _signature(self, hashes: list[int]) -> Any:
        import numpy as np

        bits, shift = 0, 64 - self._order
        for value in hashes:
            bits ^= 1 << (value >> shift)
        return np.frombuffer(bits.to_bytes((1 << self._order) // 8, "little"), "<u8")
