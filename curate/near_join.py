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
_SHINGLES = 1 << 19  # shingles of candidates that are counted in one go
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


def join(kept: Kept, keys: list[Keys], threshold: Fraction, run: Any, which: str = "all") -> Pairs:
    """Every near pair of rows of these sides that shares a key, sorted by a and b.

    Args:
        which: "all"; "most alike", of each row on side 2 only the pair with the row most like it, the lower of
            two; or "turned", near when parts 1 and 2 of one row change places.
    """
    import numpy as np

    work = partial(_find, kept, keys, threshold, which)
    whole = np.concatenate([np.zeros((0, 3), np.int64), *run(work, range(_shares(keys)))])
    if which == "most alike":
        whole = _most_alike(whole, kept.sizes)
    order = np.lexsort((whole[:, 1], whole[:, 0]))
    whole = whole[order]
    fresh = np.ones(len(whole), bool)
    fresh[1:] = (whole[1:, :2] != whole[:-1, :2]).any(axis=1)
    return Pairs(*whole[fresh].T)


def linked(kept: Kept, keys: list[Keys], threshold: Fraction, run: Any) -> "Rows":
    """For each row the lowest row it is linked to by near pairs that share a key, through others too.

    First each row is compared with the next of its key, over and over while that links more; then with all
    of its key that it is not linked to yet. So 100,000 rows that are all alike give 100,000 comparisons.
    """
    import numpy as np

    label = np.arange(kept.rows)
    for which in ("next", "next", "next", "unlinked"):
        np.save(kept.folder / "label.npy", label)
        found = np.concatenate(
            [np.zeros((0, 3), np.int64), *run(partial(_find, kept, keys, threshold, which), range(_shares(keys)))]
        )
        label = components(
            kept.rows, np.concatenate([label, found[:, 0]]), np.append(np.arange(kept.rows), found[:, 1])
        )
    return label


def components(rows: int, a: "Rows", b: "Rows") -> "Rows":
    """For each of some rows the lowest row it is linked to, given pairs of rows that are linked."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, part = connected_components(coo_array((np.ones(len(a), bool), (a, b)), shape=(rows, rows)), directed=False)
    _, first = np.unique(part, return_index=True)
    return np.asarray(first[part])


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


def _spans(kept: Kept, keys: list[Keys], share: int, which: str) -> tuple["Rows", "Rows", "Rows", "Rows"]:
    """For each row of side 2 under each key, from where to where it meets others; and the rows of both."""
    import numpy as np

    left_keys, left, right_keys, right = _load(kept, keys, share)
    side = np.load(kept.folder / "side.npy", mmap_mode="r")
    if (side == 1).any():
        low, high = np.searchsorted(left_keys, right_keys, "left"), np.searchsorted(left_keys, right_keys, "right")
        return left, right, low, high
    if which not in ("next", "unlinked"):
        return right, right, np.arange(1, len(right) + 1), np.searchsorted(right_keys, right_keys, "right")
    label = np.load(kept.folder / "label.npy", mmap_mode="r")[right]
    order = np.lexsort((label, right_keys))
    right_keys, right, label = right_keys[order], right[order], label[order]
    same_key, same_label = right_keys[1:] == right_keys[:-1], label[1:] == label[:-1]
    if which == "next":
        low = np.arange(1, len(right) + 1)
        return right, right, low, low + np.append(same_key & ~same_label, False)
    ends = np.append(np.flatnonzero(~(same_key & same_label)) + 1, len(right))  # where linked rows of a key end
    low = np.repeat(ends, np.diff(ends, prepend=0))[: len(right)]
    return right, right, low, np.searchsorted(right_keys, right_keys, "right")


def _count(kept: Kept, keys: list[Keys], share: int) -> int:
    """A worker's task: the candidates of a share."""
    _, _, low, high = _spans(kept, keys, share, "all")
    return int((high - low).sum())


def _find(kept: Kept, keys: list[Keys], threshold: Fraction, which: str, share: int) -> "Rows":
    """A worker's task: the near pairs of a share; shape (pairs, 3): a, b, common.

    Args:
        which: as `join` and `linked` say: "all", "most alike", "turned"; "next", of rows that are not linked each
            with the next of its key; or "unlinked", all of rows that are not linked.
    """
    import numpy as np

    sizes, bits, reader = kept.sizes, kept.bits, Reader(kept)
    left, right, low, high = _spans(kept, keys, share, which)
    found, waiting, held = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)], 0

    def exact() -> None:
        found.append(_exact(distinct(np.concatenate(waiting)), sizes, reader, threshold, which == "turned"))
        if which == "most alike":
            found[:] = [_most_alike(np.concatenate(found), sizes)]

    for who, whom in _expanded(low, high):
        pairs = distinct(left[whom] << 32 | right[who]) if left is not right else _ordered(left[whom], right[who])
        pairs = _possible(pairs, sizes, bits, threshold)
        waiting.append(pairs)
        held += len(pairs)
        if held > _WAITING:
            exact()
            waiting, held = [], 0
    if held:
        exact()
    reader.close()
    return np.concatenate(found)


def _most_alike(found: "Rows", sizes: Any) -> "Rows":
    """Of each b the pair with the greatest similarity, of several the one with the lowest a."""
    import numpy as np

    a, b, common = found.T
    alike = common / (sizes[a].astype(np.int64) + sizes[b] - common)
    order = np.lexsort((a, -alike, b))
    return np.asarray(found[order[np.diff(b[order], prepend=-1) != 0]])


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


def _exact(pairs: "Rows", sizes: Any, reader: Reader, threshold: Fraction, turned: bool) -> "Rows":
    """Those of the pairs whose Jaccard similarity reaches the threshold, with what they share."""
    import numpy as np

    p, q = threshold.numerator, threshold.denominator
    a, b = pairs >> 32, pairs & 0xFFFFFFFF
    m, n = sizes[a].astype(np.int64), sizes[b].astype(np.int64)
    common = np.zeros(len(pairs), np.int64)
    upto = np.cumsum(m + n)
    start = 0
    while start < len(pairs):
        before = int(upto[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(upto, before + _SHINGLES, "right")))
        common[start:stop] = _shared(a[start:stop], b[start:stop], reader, (p, q), turned)
        start = stop
    near = common * q >= p * (m + n - common)
    return np.asarray(np.stack((a, b, common), axis=1)[near])


def _shared(a: "Rows", b: "Rows", reader: Reader, threshold: tuple[int, int], turned: bool) -> "Rows":
    """How many shingles the rows of each pair share; 0 where one of their parts is not near.

    When every part reaches the threshold the whole rows reach it too, so keys made from whole rows find them.
    """
    import numpy as np

    p, q = threshold
    rows = distinct(np.concatenate((a, b)))
    sets = reader.read(rows)
    begins, one, other = np.cumsum(sets.sizes) - sets.sizes, np.searchsorted(rows, a), np.searchsorted(rows, b)
    length, n = sets.sizes[one], sets.sizes[other]
    pair = np.repeat(np.arange(len(a)), n)
    asked = sets.hashes[np.arange(len(pair)) + np.repeat(begins[other] - (np.cumsum(n) - n), n)]
    low = np.uint64(PARTS - 1)
    if turned:
        asked ^= np.array([0, 3, 3, 0], np.uint64)[(asked & low).astype(np.intp)]
    at = np.repeat(begins[one], n)
    while (length > 1).any():  # the last of a's hashes that is not above: a search in halves, for all at once
        half = length >> 1
        half_of = half[pair]
        at += half_of * (sets.hashes[at + half_of] <= asked)
        length = length - half
    both = sets.hashes[at] == asked
    common = np.bincount(pair[both], minlength=len(a))
    if reader.parts > 1:
        part = (asked & low).astype(np.intp)
        shape = (len(a), PARTS)
        shared = np.bincount(pair[both] * PARTS + part[both], minlength=len(a) * PARTS).reshape(shape)
        owner = np.repeat(np.arange(len(rows)), sets.sizes) * PARTS + (sets.hashes & low).astype(np.intp)
        counts = np.bincount(owner, minlength=len(rows) * PARTS).reshape(len(rows), PARTS)
        theirs = counts[other][:, [0, 2, 1, 3]] if turned else counts[other]
        each = shared * q >= p * (counts[one] + theirs - shared)
        common[~each.all(axis=1)] = 0
    return np.asarray(common)
