"""Is a text new? Exact ROUGE-L F1 against everything kept so far, over an index that grows.

A text is too near another when F1 = 2L / (m + n) is above the threshold p/q, where m and n count the
tokens of the two and L is the length of their longest common subsequence (Lin 2004, section 3; the rule is
that of Wang et al. 2022, section 2.2). It is decided in integers: 2qL > p(m + n). No float is involved, so
a tie stays a tie.

Every text kept has a signature: each occurrence of a token sets (or clears again) the bit its hash names.
Two texts that have d occurrences not in common differ in at most d bits, and L is at most the number in
common, so texts whose signatures differ in (m + n)(q - p)/q bits or more cannot be too near. That is
one exclusive or, one population count and one comparison per text kept, done by NumPy over whole arrays; the
few that remain (one in thousands) have L computed. Nothing is estimated: what the signatures leave out could
not have been above the threshold. (Bitmap filter for set similarity: Sandes, Teodoro and Melo 2020.)
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data.errors import BadInput
from data.errors import nearest as hint
from data.text import normalise, tokens

if TYPE_CHECKING:
    from datagen.novelty_shelf import Shelf

THRESHOLD = Fraction(7, 10)
COMPAT = ("rouge_score",)
_ROUGE_WORD = re.compile(r"[a-z0-9]+")
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio: spreads consecutive numbers evenly (Knuth)
_REPEAT = 0xD6E8FEB86659FD93  # an odd number far from it: where a token's second occurrence goes
_MASK = (1 << 64) - 1


class Neighbour(NamedTuple):
    """A kept text and how near it is: F1 = 2 lcs / (m + n)."""

    id: str
    text: str
    place: int
    """How many texts were added before it."""
    lcs: int
    m: int
    """Tokens of the text that was asked about."""
    n: int
    """Tokens of the neighbour."""
    score: float

    @property
    def exact(self) -> Fraction:
        """F1 as a fraction."""
        return Fraction(2 * self.lcs, self.m + self.n) if self.lcs else Fraction(0)


class Asked(NamedTuple):
    """A text in numbers: its tokens, and a 64-bit hash for each occurrence of one."""

    text: str
    words: list[int]
    hashes: list[int]


def parse_threshold(text: str) -> Fraction:
    """The threshold as an exact fraction, from "0.7" or "7/10"; BadInput unless it is from 0 to 1."""
    try:
        value = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"--threshold: '{text}' is no number such as 0.7 or 7/10") from None
    if not 0 <= value <= 1:
        raise BadInput(f"--threshold is {text}; it goes from 0 to 1")
    return value


def words_of(text: str) -> list[str]:
    """The tokens that are compared: data.text.tokens, or the whole text where it has none.

    A text of symbols alone ("?!", an emoji) is one token, its normalised spelling: the same symbols
    again are a repeat, others are not. Two texts with nothing to see are the same.
    """
    return tokens(text) or [normalise(text)]


def rouge_words(text: str) -> list[str]:
    """The tokens of the package rouge_score without stemming: ASCII letters and digits only; may be none."""
    return _ROUGE_WORD.findall(text.lower())


class NoveltyIndex:
    """Texts kept, and the nearest of them to any other.

    Args:
        threshold: F1 above which a text is too near; a fraction from 0 to 1.
        compat: None, or "rouge_score" to decide as that package does: its tokens, its floating-point F1
            against the threshold as a float. A text without its tokens is near nothing there.
    """

    def __init__(self, threshold: Fraction = THRESHOLD, compat: str | None = None) -> None:
        from rapidfuzz.distance import LCSseq

        if compat is not None and compat not in COMPAT:
            raise BadInput(
                f"novelty is not compatible with '{compat}'; known: {', '.join(COMPAT)}{hint(compat, COMPAT)}"
            )
        if not 0 <= threshold <= 1:
            raise BadInput(f"the novelty threshold is {threshold}; it goes from 0 to 1")
        self.threshold = threshold
        self.compat = compat
        # A float F1 may pass the threshold where the exact one ties with it, never where it is 1e-9 below.
        floor = max(threshold - Fraction(1, 10**9), Fraction(0)) if compat else threshold
        self._p, self._q = floor.numerator, floor.denominator
        self._split = rouge_words if compat else words_of
        self._lcs = LCSseq.similarity
        self._numbers: dict[str, int] = {}  # a token's number: how many were seen before it
        self._words = array("I")
        self._ends = array("Q", [0])
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._shelves: list[Shelf] = []
        self._last: Asked | None = None

    def __len__(self) -> int:
        """How many texts are kept."""
        return len(self._ids)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Id and text of each, in the order they were added."""
        return zip(self._ids, self._texts, strict=True)

    def add(self, id: str, text: str) -> None:
        """Keep a text, however near it is to others."""
        from datagen.novelty_shelf import Shelf, shelf_number

        asked = self._ask(text)
        for word in self._split(text):
            self._numbers.setdefault(word, len(self._numbers))
        if asked.words:
            number = shelf_number(len(asked.words))
            while len(self._shelves) <= number:
                self._shelves.append(Shelf(len(self._shelves)))
            self._shelves[number].add(len(self._ids), asked.hashes)
        self._words.extend(asked.words)
        self._ends.append(len(self._words))
        self._ids.append(id)
        self._texts.append(text)
        self._last = None

    def nearest(self, text: str) -> Neighbour | None:
        """The neighbour because of which the text is not new, or None when it is new.

        Of several above the threshold the one with the greatest F1, compared exactly; of equal ones
        the first that was added.
        """
        asked = self._ask(text)
        best: Neighbour | None = None
        for place in self._possible(asked):
            found = self._compare(asked, place)
            if found is not None and (best is None or self._before(found, best)):
                best = found
        return best

    def similar(self, text: str, k: int = 10) -> list[Neighbour]:
        """The k most similar texts, most similar first, earlier before later where F1 is the same.

        Whatever the threshold; a text that shares no token is never among them.
        """
        asked = self._ask(text)
        bounds: list[tuple[float, int]] = []
        for shelf in self._shelves:
            bounds += shelf.bounds(asked.hashes)
        bounds.sort(key=lambda bound: (-bound[0], bound[1]))
        best: list[Neighbour] = []
        for bound, place in bounds:
            if len(best) == k and bound < best[-1].score - 1e-9:
                break
            found = self._measure(asked, place, 1)
            if found.lcs:
                at = next((i for i, other in enumerate(best) if self._before(found, other)), len(best))
                best.insert(at, found)
                del best[k:]
        return best

    def _ask(self, text: str) -> Asked:
        """The text in numbers; tokens nobody has seen get the numbers they would be given by `add`."""
        if self._last is not None and self._last.text == text:
            return self._last
        known, fresh = self._numbers, {}  # type: dict[str, int], dict[str, int]
        words: list[int] = []
        for word in self._split(text):
            number = known.get(word)
            if number is None:
                number = fresh.setdefault(word, len(known) + len(fresh))
            words.append(number)
        self._last = Asked(text, words, _hashes(words))
        return self._last

    def _possible(self, asked: Asked) -> Iterable[int]:
        """Places of all texts that can be too near, and of few others."""
        m, p, q = len(asked.words), self._p, self._q
        if not m:
            return
        low = p * m // (2 * q - p) + 1  # L <= n, so 2qn > p(m + n)
        for shelf in self._shelves:
            if shelf.high < low or p * shelf.low >= (2 * q - p) * m:  # L <= m, so 2qm > p(m + n)
                continue
            high = min(shelf.high, -((p - 2 * q) * m // p) - 1) if p else shelf.high
            bits = -((p - q) * (m + high) // q) - 1  # fewer than (m + n)(q - p)/q
            yield from shelf.within(asked.hashes, bits)

    def _compare(self, asked: Asked, place: int) -> Neighbour | None:
        """The text at this place as a neighbour when it is above the threshold."""
        m, n = len(asked.words), self._ends[place + 1] - self._ends[place]
        need = self._p * (m + n) // (2 * self._q) + 1
        if need > m or need > n:
            return None
        found = self._measure(asked, place, need)
        if found.lcs < need:
            return None
        return found if self.compat is None or found.score > float(self.threshold) else None

    def _measure(self, asked: Asked, place: int, need: int) -> Neighbour:
        """How near the text at this place is; L is 0 where it is below `need`."""
        theirs = self._words[self._ends[place] : self._ends[place + 1]]
        m, n = len(asked.words), len(theirs)
        lcs = int(self._lcs(asked.words, theirs, score_cutoff=need))
        score = rouge_f1(lcs, m, n) if self.compat else 2 * lcs / (m + n)
        return Neighbour(self._ids[place], self._texts[place], place, lcs, m, n, score)

    def _before(self, one: Neighbour, other: Neighbour) -> bool:
        """Whether `one` is nearer than `other`, or as near and earlier."""
        if self.compat:
            return (-one.score, one.place) < (-other.score, other.place)
        mine, its = one.lcs * (other.m + other.n), other.lcs * (one.m + one.n)
        return mine > its or (mine == its and one.place < other.place)

    def save(self, path: Path) -> None:
        """Write the index to a file, whole or not at all; see datagen/novelty_file.py."""
        from datagen.novelty_file import save

        save(path, str(self.threshold), self.compat, self)

    @classmethod
    def load(cls, path: Path) -> "NoveltyIndex":
        """The index a file holds; BadInput when it is none, is damaged, or is of a newer version."""
        from datagen.novelty_file import load

        saved = load(path)
        index = cls(Fraction(saved.threshold), saved.compat)
        for id, text in saved.texts:
            index.add(id, text)
        return index


def rouge_f1(lcs: int, m: int, n: int) -> float:
    """F1 in the order of operations of the package rouge_score, to the last bit."""
    precision, recall = lcs / n, lcs / m
    return 2 * precision * recall / (precision + recall) if lcs else 0.0


def _hashes(words: list[int]) -> list[int]:
    """A 64-bit hash for each occurrence: the second "the" of a text has another than the first."""
    if len(set(words)) == len(words):
        return [word * _GOLDEN & _MASK for word in words]
    seen: dict[int, int] = {}
    made = []
    for word in words:
        seen[word] = seen.get(word, -1) + 1
        made.append((word * _GOLDEN + seen[word] * _REPEAT) & _MASK)
    return made
