"""Which kept texts can be near another at all, told by signatures without reading the texts.

The signature of a text has one bit for each hash of an occurrence of a token, set by the first that falls on
it and cleared again by the next. An occurrence that only one of two texts has changes at most one bit, so
two texts whose signatures differ in d bits have at least d occurrences not in common. Hence the longest common
subsequence of m and n tokens has at most (m + n - d) / 2, and F1 at most (m + n - d) / (m + n).

Texts stand on shelves by length, so that those too short or too long are not looked at; each shelf's signatures
lie side by side and are compared all at once. What passes is compared a second time, on a longer signature.
"""

from bisect import bisect_left
from fractions import Fraction
from typing import Any

LENGTHS = [4, 7, 10, 14, 20]  # the longest text (in tokens) on each shelf
while LENGTHS[-1] < 1 << 40:
    LENGTHS.append(LENGTHS[-1] * 4 // 3)
_BITS_PER_TOKEN = 3  # with fewer, signatures fill up and tell nothing; with more there is more to read
_MOST_BITS = 1 << 14
_LONGER = 8  # 2^8 bits in the second signature
_CHUNK = 1 << 16  # signatures compared together: what is between stays in the processor's cache
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio: spreads consecutive numbers evenly (Knuth)
_REPEAT = 0xD6E8FEB86659FD93  # an odd number far from it: where a token's second occurrence goes
_MASK = (1 << 64) - 1


def hashes_of(words: list[int]) -> list[int]:
    """A 64-bit hash for each occurrence of a token: the second "the" of a text has another than the first."""
    if len(set(words)) == len(words):
        return [word * _GOLDEN & _MASK for word in words]
    seen: dict[int, int] = {}
    made = []
    for word in words:
        seen[word] = seen.get(word, -1) + 1
        made.append((word * _GOLDEN + seen[word] * _REPEAT) & _MASK)
    return made


class Signatures:
    """Signatures of texts, in the order they were added.

    Args:
        above: the F1 that a text is looked for above, from 0 to 1.
    """

    def __init__(self, above: Fraction) -> None:
        import numpy as np

        self._p, self._q = above.numerator, above.denominator
        self._rest = float(1 - above)
        self._shelves: list[_Shelf] = []
        self._count = 0
        self._longer = np.empty((16, (1 << _LONGER) // 64), np.uint64)
        self._lengths = np.zeros(16, np.int32)
        self._scratch = np.empty(_CHUNK, np.uint64)

    def add(self, hashes: list[int]) -> None:
        """Keep the signatures of a text; one without tokens is never possible."""
        import numpy as np

        place = self._count
        if place == len(self._lengths):
            self._longer = np.concatenate([self._longer, np.empty_like(self._longer)])
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        if hashes:
            number = bisect_left(LENGTHS, len(hashes))
            while len(self._shelves) <= number:
                self._shelves.append(_Shelf(len(self._shelves)))
            shelf = self._shelves[number]
            shelf.add(place, _signature(hashes, shelf.order))
            self._longer[place] = _signature(hashes, _LONGER)
            self._lengths[place] = len(hashes)
        self._count += 1

    def possible(self, hashes: list[int]) -> list[int]:
        """Places in order of all texts whose F1 with this one can be high enough, and of few others."""
        import numpy as np

        m, p, q = len(hashes), self._p, self._q
        low = p * m // (2 * q - p) + 1  # L is at most n, so 2qn > p(m + n)
        high = -((p - 2 * q) * m // p) - 1 if p else LENGTHS[-1]  # L is at most m, so 2qm > p(m + n)
        mine: dict[int, Any] = {}  # the signature by its order
        found = []
        for shelf in self._shelves if m else ():
            if shelf.high < low or shelf.low > high or not shelf.count:
                continue
            if shelf.order not in mine:
                mine[shelf.order] = _signature(hashes, shelf.order)
            bits = -((p - q) * (m + min(high, shelf.high)) // q) - 1  # fewer than (m + n)(q - p)/q
            found += shelf.within(mine[shelf.order], bits, self._scratch)
        if not found:
            return []
        places = found[0] if len(found) == 1 else np.concatenate(found)
        differ = self._differ(hashes, places)
        # A hair more than the exact bound: rounding must not lose a text, and the caller decides exactly.
        room = (m + self._lengths[places]) * self._rest + 1e-6
        return sorted(places[differ <= room].tolist())

    def by_bound(self, hashes: list[int]) -> tuple[Any, Any]:
        """All places with tokens, those of the greatest upper bound of F1 first, and these bounds."""
        import numpy as np

        places = self._lengths[: self._count].nonzero()[0]
        both = len(hashes) + self._lengths[places]
        bounds = (both - self._differ(hashes, places)) / both
        order = np.argsort(-bounds, kind="stable")
        return places[order], bounds[order]

    def _differ(self, hashes: list[int], places: Any) -> Any:
        """In how many bits the longer signatures at these places differ from this text's."""
        import numpy as np

        differ = np.bitwise_count(self._longer[places] ^ _signature(hashes, _LONGER))
        return differ.sum(axis=1, dtype=np.int32)


class _Shelf:
    """First signatures of the texts of `low` to `high` tokens; 2^order bits each."""

    def __init__(self, number: int) -> None:
        import numpy as np

        self.low = LENGTHS[number - 1] + 1 if number else 1
        self.high = LENGTHS[number]
        self.order = 6
        while 1 << self.order < min(_BITS_PER_TOKEN * self.high, _MOST_BITS):
            self.order += 1
        self.count = 0
        self._planes = np.empty((1 << self.order - 6, 16), np.uint64)  # word after word, not text after text
        self._places = np.empty(16, np.int64)

    def add(self, place: int, signature: Any) -> None:
        import numpy as np

        if self.count == len(self._places):
            self._planes = np.concatenate([self._planes, np.empty_like(self._planes)], axis=1)
            self._places = np.concatenate([self._places, np.empty_like(self._places)])
        self._planes[:, self.count] = signature
        self._places[self.count] = place
        self.count += 1

    def within(self, mine: Any, bits: int, scratch: Any) -> list[Any]:
        """Arrays of the places whose signature differs in at most this many bits."""
        import numpy as np

        found = []
        for start in range(0, self.count, _CHUNK):
            stop = min(start + _CHUNK, self.count)
            between = scratch[: stop - start]  # memory asked for anew each time costs more than the work in it
            differ = np.bitwise_count(np.bitwise_xor(self._planes[0, start:stop], mine[0], out=between))
            if len(mine) > 1:
                differ = differ.astype(np.int32)
                for plane, word in zip(self._planes[1:], mine[1:], strict=True):
                    differ += np.bitwise_count(np.bitwise_xor(plane[start:stop], word, out=between))
            near = (differ <= bits).nonzero()[0]
            if len(near):
                found.append(self._places[start + near])
        return found


def _signature(hashes: list[int], order: int) -> Any:
    """2^order bits as words of 64."""
    import numpy as np

    bits, shift = 0, 64 - order
    for value in hashes:
        bits ^= 1 << (value >> shift)
    return np.frombuffer(bits.to_bytes(1 << order - 3, "little"), "<u8")
