"""Is a text of ours in a file that models are evaluated with? Runs of tokens in common, each verified.

An evaluation text and one of ours share an n-gram when n tokens (`data.text.tokens`: words, or single
letters of scripts without spaces) stand in both in the same order. An evaluation text of fewer than n
tokens, down to `shortest`, is looked for whole; a shorter one says nothing and is only counted.

How it is found: of evaluation texts every (n - shortest + 1)-th run of `shortest` tokens is kept as a
hash, so that every run of n holds one that is kept. All runs of `shortest` tokens of ours (rolling sums,
for a whole batch at once) are looked up in a table of bits, what passes in a sorted list; what is found
is extended to both sides token by token, by their hashes and at last by the tokens themselves. So a
hash decides nothing, and the answers are those of sets of n-grams.
Sources: n-gram overlap as in T. Brown et al., "Language models are few-shot learners" (2020), appendix
C, where n is 8 to 13; the rolling sum is R. Karp and M. Rabin's (1987).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.words import MIX, Words, batches, hashed_words
from data.errors import BadInput
from data.text import tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.words import Hashes, Places

    Slots = NDArray[np.uint8]

GRAM = 13
SHORTEST = 8
_ROOM = 8  # slots for each run in the tables of bits that nearly all windows end at


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
    """Evaluation texts, and the hashes by which runs of theirs are found."""

    texts: list[EvaluationText]
    n: int
    shortest: int
    too_short: int
    """Evaluation texts of fewer than `shortest` tokens."""
    words: "Words"
    """The tokens of all of them."""
    hashes: "Hashes"
    """Of the runs that are kept, sorted."""
    places: "Places"
    """The first token of each, among all tokens."""
    first: "Slots"
    """A bit for each slot that the highest bits of a hash name."""
    second: "Slots"
    """The same for the bits below those."""


class _Run(NamedTuple):
    """Equal tokens in a row: where they begin in our text and in theirs, and how many."""

    ours: int
    theirs: int
    length: int


def index(texts: Sequence[EvaluationText], n: int = GRAM, shortest: int = SHORTEST) -> Index:
    """Read evaluation texts into an index.

    Args:
        n: tokens of a run that counts as shared.
        shortest: tokens of the shortest evaluation text that is looked for, at most n; a low one is slow.

    Raises:
        BadInput: n or shortest is out of range.
    """
    import numpy as np

    if not 1 <= shortest <= n:
        raise BadInput(f"contamination: runs of {n} tokens, texts from {shortest}; give 1 <= shortest <= n")
    parts = [hashed_words([t.text for t in texts[part]]) for part in batches([t.text for t in texts])]
    sizes = np.concatenate([np.zeros(0, np.int64), *(np.diff(words.ends, prepend=0) for words in parts)])
    words = Words(np.concatenate([np.zeros(0, np.uint64), *(part.hashes for part in parts)]), np.cumsum(sizes))
    hashes = _windows(_sums(words), shortest)
    _, text, begin = _within(words, np.arange(len(hashes)), shortest)
    kept = begin % (n - shortest + 1) == 0
    places = begin[kept] + (words.ends - sizes)[text[kept]]
    hashes = hashes[places]
    order = np.argsort(hashes, kind="stable")
    bits = min(max((len(hashes) * _ROOM).bit_length(), 10), 28)
    first, second = (np.zeros(1 << bits, bool) for _ in range(2))
    first[hashes >> (64 - bits)] = True
    second[(hashes << bits) >> (64 - bits)] = True
    packed = (np.packbits(slots, bitorder="little") for slots in (first, second))
    too_short = int((sizes < shortest).sum())
    return Index(list(texts), n, shortest, too_short, words, hashes[order], places[order], *packed)


def scan(texts: Sequence[str], index: Index, step: Callable[[int], None] = lambda _: None) -> list[Match]:
    """For each text that shares an n-gram with an evaluation text, the one it shares most of; by text.

    Of several evaluation texts the one with the greatest share wins, of equal ones the first.
    """
    known: dict[int, list[str]] = {}
    found = []
    for part in batches(texts):
        words = hashed_words(texts[part])
        for text, runs in sorted(_runs(words, index).items()):
            match = _best(text + part.start, tokens(texts[text + part.start]), runs, index, known)
            if match is not None:
                found.append(match)
        step(part.stop - part.start)
    return found


def _used(slots: "Slots", slot: "NDArray[Any]") -> "NDArray[np.bool_]":
    """Whether each of these slots is used."""
    import numpy as np

    bit = np.array([1, 2, 4, 8, 16, 32, 64, 128], np.uint8)
    at = slot.view(np.int64)  # what numpy takes as places without a copy
    taken: NDArray[np.bool_] = slots[at >> 3] & bit[at & 7] != 0
    return taken


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


def _runs(words: "Words", index: Index) -> dict[int, dict[int, list[_Run]]]:
    """Text to evaluation text to their equal runs, by hashes: of n tokens, or all of a shorter text."""
    import numpy as np

    if not len(index.hashes):
        return {}
    hashes = _windows(_sums(words), index.shortest)
    bits = (len(index.first) * 8).bit_length() - 1
    near = np.flatnonzero(_used(index.first, hashes >> (64 - bits)))
    near = near[_used(index.second, (hashes[near] << bits) >> (64 - bits))]
    low = np.searchsorted(index.hashes, hashes[near], "left")
    high = np.searchsorted(index.hashes, hashes[near], "right")
    hit = np.flatnonzero(high > low)
    inside, text, begin = _within(words, near[hit], index.shortest)
    hit = hit[inside]
    found: dict[int, dict[int, list[_Run]]] = {}
    done: dict[tuple[int, int], int] = {}  # (text, place of theirs less place of ours) to where the last run ended
    columns = (text, begin, low[hit], high[hit])
    for ours, at, first, last in zip(*(column.tolist() for column in columns), strict=True):
        for place in index.places[first:last].tolist():
            if at < done.get((ours, place - at), 0):
                continue
            theirs = int(np.searchsorted(index.words.ends, place, "right"))
            a, b = _tokens_of(words, ours), _tokens_of(index.words, theirs)
            start = place - (int(index.words.ends[theirs]) - len(b))
            run = _extended(a, b, at, start)
            done[ours, place - at] = run.ours + run.length
            if run.length >= min(index.n, len(b)):
                found.setdefault(ours, {}).setdefault(theirs, []).append(run)
    return found


def _tokens_of(words: "Words", text: int) -> "Hashes":
    return words.hashes[words.ends[text - 1] if text else 0 : words.ends[text]]


def _extended(a: "Hashes", b: "Hashes", at: int, start: int) -> _Run:
    """The longest run of equal hashes through place `at` of a and `start` of b."""
    import numpy as np

    back, ahead = min(at, start), min(len(a) - at, len(b) - start)
    unlike = np.flatnonzero(a[at - back : at] != b[start - back : start])
    left = back - 1 - int(unlike[-1]) if len(unlike) else back
    unlike = np.flatnonzero(a[at : at + ahead] != b[start : start + ahead])
    right = int(unlike[0]) if len(unlike) else ahead
    return _Run(at - left, start - left, left + right)


def _best(
    text: int, ours: list[str], runs: dict[int, list[_Run]], index: Index, known: dict[int, list[str]]
) -> Match | None:
    """The evaluation text with the greatest share, by the tokens themselves; None when hashes deceived."""
    best: Match | None = None
    for evaluation in sorted(runs):
        theirs = known.get(evaluation)
        if theirs is None:
            theirs = known[evaluation] = tokens(index.texts[evaluation].text)
        least = min(index.n, len(theirs))
        same = [part for run in runs[evaluation] for part in _verified(ours, theirs, run) if part.length >= least]
        if not same:
            continue
        shared = len({place for run in same for place in range(run.theirs, run.theirs + run.length)})
        longest = max(same, key=lambda run: (run.length, -run.ours))
        match = Match(text, evaluation, shared, len(theirs), longest.ours, longest.length)
        if best is None or match.shared * best.of > best.shared * match.of:
            best = match
    return best


def _verified(ours: list[str], theirs: list[str], run: _Run) -> Iterator[_Run]:
    """The parts of a run in which the tokens are equal: all of it, unless two tokens share a hash."""
    begin = 0
    for i in range(run.length + 1):
        if i == run.length or ours[run.ours + i] != theirs[run.theirs + i]:
            if i > begin:
                yield _Run(run.ours + begin, run.theirs + begin, i - begin)
            begin = i + 1


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
