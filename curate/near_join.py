"""All pairs of rows that are near: brought together by keys, told apart by exact counts of shingles.

Rows stand on sides (`side.npy`): 0 takes no part, 2 is to be decided, 1 is kept already. Pairs are looked for
between sides 1 and 2 when there is a side 1, else within side 2. The range of keys is cut in shares; each is
sorted by itself, and what share a key gives one candidate for every two of its rows. A candidate is dropped
when the sizes of its sets forbid the similarity, or when more of its 512 bits differ than shingles may; of all
others the shingles in common are counted. J >= p/q is decided as common q >= p (m + n - common): no float.
Of rows with several parts each part is held to the threshold by itself: a long prompt that two rows share
does not make their answers alike.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.near_keys import Keys, row_bits
from curate.near_sets import PARTS, Kept, Reader
from curate.shingling import distinct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
_AT_ONCE = 1_000_000  # candidates in one go
_WAITING = 2_000_000  # candidates that wait to be counted, so that what comes by many keys is counted once


class Pairs(NamedTuple):
    """Near pairs: two rows, and how many shingles they share; arrays of one length."""

    a: "Rows"
    """The row on side 1, or the lower of two on side 2."""
    b: "Rows"
    common: "Rows"


def set_sides(kept: Kept, side: "NDArray[np.uint8]") -> None:
    """Say which rows take part, and as what; workers read it from the folder."""
    import numpy as np

    unfinished = kept.folder / "side.unfinished.npy"
    np.save(unfinished, side)
    unfinished.replace(kept.folder / "side.npy")


def candidates(kept: Kept, keys: list[Keys], run: Any) -> int:
    """How many candidates the keys give, a pair counted once for every key it shares."""
    return sum(run(partial(_count, kept, keys), range(_shares(keys))))


def join(kept: Kept, keys: list[Keys], threshold: Fraction, run: Any) -> Pairs:
    """Every near pair of rows of these sides that shares a key, sorted by a and b."""
    import numpy as np

    found = list(run(partial(_find, kept, keys, threshold), range(_shares(keys))))
    whole = np.concatenate([np.zeros((0, 3), np.int64), *found])
    order = np.lexsort((whole[:, 1], whole[:, 0]))
    whole = whole[order]
    fresh = np.ones(len(whole), bool)
    fresh[1:] = (whole[1:, :2] != whole[:-1, :2]).any(axis=1)
    return Pairs(*whole[fresh].T)


def _shares(keys: list[Keys]) -> int:
    return len(keys[0].cuts) - 1 if keys else 0


def _load(kept: Kept, keys: list[Keys], share: int) -> tuple[Any, ...]:
    """The keys of a share and their rows, those of side 1 and those of side 2; keys of one row left out."""
    import numpy as np

    pieces = [
        np.fromfile(kept.folder / k.file, np.uint64, k.cuts[share + 1] - k.cuts[share], offset=k.cuts[share] * 8)
        for k in keys
    ]
    packed = np.concatenate(pieces)
    del pieces
    packed.sort()
    low = np.uint64(row_bits(kept.rows))
    again = (packed[1:] >> low) == (packed[:-1] >> low)
    met = np.zeros(len(packed), bool)
    met[1:] |= again
    met[:-1] |= again
    packed = packed[met]
    rows = (packed & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)
    side = np.load(kept.folder / "side.npy", mmap_mode="r")[rows]
    ours, theirs = side == 2, side == 1
    return packed[theirs] >> low, rows[theirs], packed[ours] >> low, rows[ours]


def _spans(kept: Kept, keys: list[Keys], share: int) -> tuple["Rows", "Rows", "Rows", "Rows"]:
    """For each row of side 2 under each key, from where to where it meets others; and the rows of both."""
    import numpy as np

    left_keys, left, right_keys, right = _load(kept, keys, share)
    side = np.load(kept.folder / "side.npy", mmap_mode="r")
    if (side == 1).any():
        low, high = np.searchsorted(left_keys, right_keys, "left"), np.searchsorted(left_keys, right_keys, "right")
        return left, right, low, high
    return right, right, np.arange(1, len(right) + 1), np.searchsorted(right_keys, right_keys, "right")


def _count(kept: Kept, keys: list[Keys], share: int) -> int:
    """A worker's task: the candidates of a share."""
    _, _, low, high = _spans(kept, keys, share)
    return int((high - low).sum())


def _find(kept: Kept, keys: list[Keys], threshold: Fraction, share: int) -> "Rows":
    """A worker's task: the near pairs of a share; shape (pairs, 3): a, b, common."""
    import numpy as np

    sizes, bits, reader = kept.sizes, kept.bits, Reader(kept)
    left, right, low, high = _spans(kept, keys, share)
    found, waiting, held = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)], 0
    for who, whom in _expanded(low, high):
        pairs = distinct(left[whom] << 32 | right[who]) if left is not right else _ordered(left[whom], right[who])
        pairs = _possible(pairs, sizes, bits, threshold)
        waiting.append(pairs)
        held += len(pairs)
        if held > _WAITING:
            found.append(_exact(distinct(np.concatenate(waiting)), sizes, reader, threshold))
            waiting, held = [], 0
    if held:
        found.append(_exact(distinct(np.concatenate(waiting)), sizes, reader, threshold))
    reader.close()
    return np.concatenate(found)


def _ordered(a: "Rows", b: "Rows") -> "Rows":
    import numpy as np

    two = a != b
    return distinct((np.minimum(a, b) << 32 | np.maximum(a, b))[two])


def _expanded(low: "Rows", high: "Rows") -> Iterator[tuple["Rows", "Rows"]]:
    """Every (k, m) with low[k] <= m < high[k], a million or so at a time."""
    import numpy as np

    use = np.flatnonzero(high > low)
    counts = high[use] - low[use]
    upto = np.cumsum(counts)
    start = 0
    while start < len(use):
        before = int(upto[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(upto, before + _AT_ONCE, "right")))
        who, n = use[start:stop], counts[start:stop]
        if stop == start + 1 and n[0] > _AT_ONCE:  # one row meets more than fit
            for first in range(int(low[who[0]]), int(high[who[0]]), _AT_ONCE):
                whom = np.arange(first, min(first + _AT_ONCE, int(high[who[0]])))
                yield np.full(len(whom), who[0]), whom
        else:
            begins = np.cumsum(n) - n
            yield np.repeat(who, n), np.arange(int(n.sum())) + np.repeat(low[who] - begins, n)
        start = stop


def _possible(pairs: "Rows", sizes: Any, bits: Any, threshold: Fraction) -> "Rows":
    """The candidates that neither sizes nor bits rule out; both only ever rule out what is not near."""
    import numpy as np

    p, q = threshold.numerator, threshold.denominator
    a, b = pairs >> 32, pairs & 0xFFFFFFFF
    m, n = sizes[a].astype(np.int64), sizes[b].astype(np.int64)
    fits = np.minimum(m, n) * q >= np.maximum(m, n) * p
    pairs, a, b, both = pairs[fits], a[fits], b[fits], (m + n)[fits]
    differ = np.zeros(len(pairs), np.int64)
    for start in range(0, len(pairs), 1 << 16):
        cut = slice(start, start + (1 << 16))
        differ[cut] = np.bitwise_count(bits[a[cut]] ^ bits[b[cut]]).sum(axis=1, dtype=np.int64)
    return np.asarray(pairs[differ * (p + q) <= both * (q - p)])


def _each_part(both: Any, shared: Any, p: int, q: int) -> bool:
    """Whether every part of two rows reaches the threshold by itself; `both` holds what is shared twice.

    Then the whole rows reach it too, so keys made from whole rows find them.
    """
    import numpy as np

    low = np.uint64(PARTS - 1)
    every = np.bincount((both & low).astype(np.intp), minlength=PARTS)
    common = np.bincount((shared & low).astype(np.intp), minlength=PARTS)
    return bool((common * q >= p * (every - common)).all())


def _exact(pairs: "Rows", sizes: Any, reader: Reader, threshold: Fraction) -> "Rows":
    """Those of the pairs whose Jaccard similarity reaches the threshold, with what they share."""
    import numpy as np

    p, q = threshold.numerator, threshold.denominator
    common = np.zeros(len(pairs), np.int64)
    last, one = -1, np.zeros(0, np.uint64)
    for at, pair in enumerate(pairs.tolist()):
        a, b = pair >> 32, pair & 0xFFFFFFFF
        if a != last:
            last, one = a, reader.read(a)
        both = np.concatenate((one, reader.read(b)))
        both.sort()
        shared = both[1:][both[1:] == both[:-1]]
        if reader.parts == 1 or _each_part(both, shared, p, q):
            common[at] = len(shared)
    a, b = pairs >> 32, pairs & 0xFFFFFFFF
    near = common * q >= p * (sizes[a].astype(np.int64) + sizes[b] - common)
    return np.asarray(np.stack((a, b, common), axis=1)[near])
