"""Is a text of ours in a file that models are evaluated with? Runs of tokens in common, each verified.

An evaluation text and one of ours share an n-gram when n tokens (`data.text.tokens`: words, or single
letters of scripts without spaces) stand in both in the same order. An evaluation text of fewer than n
tokens, down to `shortest`, is looked for whole; a shorter one says nothing and is only counted.

How it is found: the hashes of all windows of n tokens (a rolling sum, computed for a whole batch at
once) are looked up in a table of bytes, what passes in a sorted list, and what is found there is
compared token by token. So a hash decides nothing, and the answers are those of sets of n-grams.
Sources: n-gram overlap as in T. Brown et al., "Language models are few-shot learners" (2020), appendix
C, where n is 8 to 13; the rolling sum is R. Karp and M. Rabin's (1987).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from curate.words import MIX, batches, hashed_words
from data.errors import BadInput
from data.text import tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.words import Hashes, Places, Words

    Slots = NDArray[np.uint8]

GRAM = 13
SHORTEST = 8
_ROOM = 8  # slots for each n-gram in the tables of bytes that nearly all windows end at


class EvaluationText(NamedTuple):
    """A text of an evaluation file: the file, the row's id or number, the field, and the text."""

    file: str
    id: str
    field: str
    text: str


class Match(NamedTuple):
    """A text of ours and the evaluation text it shares most with."""

    text: int
    """Number of our text."""
    evaluation: int
    """Number of the evaluation text."""
    shared: int
    """Tokens of the evaluation text that stand in shared n-grams."""
    of: int
    """Tokens of the evaluation text."""
    begin: int
    """The longest run in our text: its first token, from 0."""
    length: int
    """Tokens of that run."""

    @property
    def share(self) -> float:
        """Share of the evaluation text that was found, within (0, 1]."""
        return self.shared / self.of


class Index(NamedTuple):
    """The n-grams of evaluation texts, to look others up in."""

    texts: list[EvaluationText]
    n: int
    shortest: int
    too_short: int
    """Evaluation texts of fewer than `shortest` tokens."""
    grams: "_Grams"
    heads: "_Grams"
    """The first `shortest` tokens of texts of fewer than n."""


class _Grams(NamedTuple):
    """Sorted hashes, where each stands (text, first token), and two tables of bytes with the slots they use."""

    hashes: "Hashes"
    text: "Places"
    begin: "Places"
    first: "Slots"
    """Slot by the highest bits of a hash."""
    second: "Slots"
    """Slot by the bits below those."""


def index(texts: Sequence[EvaluationText], n: int = GRAM, shortest: int = SHORTEST) -> Index:
    """Read evaluation texts into an index.

    Args:
        n: tokens of a run that counts as shared.
        shortest: tokens of the shortest evaluation text that is looked for, at most n.

    Raises:
        BadInput: n or shortest is out of range.
    """
    import numpy as np

    if not 1 <= shortest <= n:
        raise BadInput(f"contamination: runs of {n} tokens, texts from {shortest}; give 1 <= shortest <= n")
    grams, heads, too_short = [], [], 0
    for part in batches([t.text for t in texts]):
        words = hashed_words([t.text for t in texts[part]])
        sizes = np.diff(words.ends, prepend=0)
        too_short += int((sizes < shortest).sum())
        sums = _sums(words)
        hashes = _windows(sums, n)
        inside, text, begin = _within(words, np.arange(len(hashes)), n)
        grams.append((hashes[inside], text + part.start, begin))
        hashes = _windows(sums, shortest)
        inside, text, begin = _within(words, np.arange(len(hashes)), shortest)
        short = (begin == 0) & (sizes[text] < n)
        heads.append((hashes[inside][short], text[short] + part.start, begin[short]))
    return Index(list(texts), n, shortest, too_short, _gathered(grams), _gathered(heads))


def scan(texts: Sequence[str], index: Index, step: Callable[[int], None] = lambda _: None) -> list[Match]:
    """For each text that shares an n-gram with an evaluation text, the one it shares most of; by text.

    Of several evaluation texts the one with the greatest share wins, of equal ones the first.
    """
    verifier = _Verifier(texts, index)
    found = []
    for part in batches(texts):
        words = hashed_words(texts[part])
        sums = _sums(words)
        hits: dict[int, set[tuple[int, int, int]]] = {}
        for grams, n in ((index.grams, index.n), (index.heads, index.shortest)):
            if len(grams.hashes):
                for text, begin, evaluation, at in _lookup(words, sums, grams, n):
                    hits.setdefault(text + part.start, set()).add((evaluation, begin, at))
        for text in sorted(hits):
            match = verifier.best(text, hits[text])
            if match is not None:
                found.append(match)
        step(part.stop - part.start)
    return found


def _gathered(parts: "list[tuple[Hashes, Places, Places]]") -> _Grams:
    import numpy as np

    empty = np.zeros(0, np.int64)
    columns = zip(*parts, strict=True) if parts else ([np.zeros(0, np.uint64)], [empty], [empty])
    hashes, text, begin = (np.concatenate(column) for column in columns)
    order = np.argsort(hashes, kind="stable")
    bits = min(max((len(hashes) * _ROOM).bit_length(), 10), 28)
    first, second = np.zeros(1 << bits, np.uint8), np.zeros(1 << bits, np.uint8)
    first[hashes >> (64 - bits)] = 1
    second[(hashes << bits) >> (64 - bits)] = 1
    return _Grams(hashes[order], text[order], begin[order], first, second)


def _sums(words: "Words") -> "Hashes":
    """Sums of h[j] b^j over the tokens before each place, modulo 2^64: what windows are differences of."""
    import numpy as np

    count = len(words.hashes)
    sums = np.zeros(count + 1, np.uint64)
    np.cumsum(words.hashes * _powers(count)[0][:count], out=sums[1:])
    return sums


def _windows(sums: "Hashes", n: int) -> "Hashes":
    """The hash of each run of n tokens, runs across two texts too: the sum of h[i + k] b^k for a run from i."""
    count = len(sums) - n
    if count <= 0:
        return sums[:0]
    hashes = sums[n:] - sums[:-n]
    hashes *= _powers(count)[1][:count]
    hashes ^= hashes >> 31
    hashes *= MIX
    return hashes


def _within(words: "Words", place: "Places", n: int) -> "tuple[Places, Places, Places]":
    """Of windows that begin at these places those within one text: which, the text, the first token in it."""
    import numpy as np

    text = np.searchsorted(words.ends, place, "right")
    inside = np.flatnonzero(place + n <= words.ends[text])
    text = text[inside]
    before = np.concatenate(([0], words.ends))[text]
    return inside, text, place[inside] - before


_power_tables: "tuple[Hashes, Hashes] | None" = None


def _powers(count: int) -> "tuple[Hashes, Hashes]":
    """b^0, b^1, ... for the odd number b, and the same of its inverse, modulo 2^64."""
    import numpy as np

    global _power_tables
    if _power_tables is None or len(_power_tables[0]) < count:
        size = max(count, 1 << 16)
        inverse = pow(MIX, -1, 2**64)
        tables = [np.full(size, np.uint64(base)) for base in (MIX, inverse)]
        for table in tables:
            table[0] = 1
        up, down = (np.cumprod(table) for table in tables)
        _power_tables = up, down
    return _power_tables


def _lookup(words: "Words", sums: "Hashes", grams: _Grams, n: int) -> Iterator[tuple[int, int, int, int]]:
    """Text, first token, evaluation text and its token, for every window whose hash is known."""
    import numpy as np

    hashes = _windows(sums, n)
    bits = len(grams.first).bit_length() - 1
    near = np.flatnonzero(grams.first[hashes >> (64 - bits)])
    near = near[grams.second[(hashes[near] << bits) >> (64 - bits)] != 0]
    low = np.searchsorted(grams.hashes, hashes[near], "left")
    high = np.searchsorted(grams.hashes, hashes[near], "right")
    known = np.flatnonzero(high > low)
    inside, text, begin = _within(words, near[known], n)
    for i, ours, at in zip(known[inside].tolist(), text.tolist(), begin.tolist(), strict=True):
        for entry in range(low[i], high[i]):
            yield ours, at, int(grams.text[entry]), int(grams.begin[entry])


class _Verifier:
    """Compares tokens where hashes were equal; keeps the tokens of the evaluation texts it has read."""

    def __init__(self, texts: Sequence[str], index: Index) -> None:
        self.texts = texts
        self.index = index
        self.known: dict[int, list[str]] = {}

    def best(self, text: int, hits: set[tuple[int, int, int]]) -> Match | None:
        """The evaluation text with the greatest share among those that share a run, or None."""
        ours = tokens(self.texts[text])
        theirs_at: dict[int, list[tuple[int, int]]] = {}
        for evaluation, begin, at in hits:
            theirs_at.setdefault(evaluation, []).append((begin, at))
        best: Match | None = None
        for evaluation in sorted(theirs_at):
            theirs = self.known.get(evaluation)
            if theirs is None:
                theirs = self.known[evaluation] = tokens(self.index.texts[evaluation].text)
            n = min(self.index.n, len(theirs))
            same = [(b, a) for b, a in theirs_at[evaluation] if ours[b : b + n] == theirs[a : a + n]]
            if not same:
                continue
            shared = sum(length for _, length in _runs(sorted({a for _, a in same}), n))
            begin, length = max(_runs(sorted({b for b, _ in same}), n), key=lambda run: (run[1], -run[0]))
            match = Match(text, evaluation, shared, len(theirs), begin, length)
            if best is None or match.shared * best.of > best.shared * match.of:
                best = match
        return best


def _runs(begins: list[int], n: int) -> list[tuple[int, int]]:
    """Windows of n that begin at these places, put together: first place and length of each run."""
    out: list[tuple[int, int]] = []
    for begin in begins:
        if out and begin <= out[-1][0] + out[-1][1]:
            out[-1] = (out[-1][0], begin + n - out[-1][0])
        else:
            out.append((begin, n))
    return out


def span(text: str, begin: int, length: int) -> tuple[int, int]:
    """Where a run of tokens stands in the text as it came: from which character to before which.

    Found by halving: the tokens of a longer beginning of the text continue those of a shorter one.
    """
    wanted = tokens(text)

    def holds(count: int, upto: int) -> bool:
        return tokens(text[:upto])[:count] == wanted[:count]

    end = _first(len(text), lambda upto: holds(begin + length, upto))
    start = _first(end, lambda upto: len(tokens(text[:upto])) > begin) - 1
    return max(start, 0), end


def _first(upto: int, true: Callable[[int], bool]) -> int:
    low, high = 0, upto
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(middle) else (middle + 1, high)
    return low
