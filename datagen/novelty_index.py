"""Is a text new? Exact ROUGE-L F1 against everything kept so far, over an index that grows.

A text is too near another when F1 = 2L / (m + n) is above the threshold p/q, where m and n count the
tokens of the two and L is the length of their longest common subsequence (Lin 2004, section 3; the rule is
that of Wang et al. 2022, section 2.2). It is decided in integers: 2qL > p(m + n). No float is involved, so
a tie stays a tie.

Which of the texts kept can be that near at all is told by signatures (datagen/novelty_signatures.py), which
leave over one in thousands; only for these L is computed. Nothing is estimated: what signatures leave
out could not have been above the threshold. (A bitmap filter, as in Sandes, Teodoro and Melo 2020.)
"""

import re
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from data.errors import BadInput
from data.errors import nearest as hint
from data.text import normalise, tokens
from datagen.novelty_signatures import Signatures, hashes_of

THRESHOLD = Fraction(7, 10)
COMPAT = ("rouge_score",)
_ROUGE_WORD = re.compile(r"[a-z0-9]+")


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
    fresh: dict[str, int]
    """Tokens new to the index, with the numbers they get when the text is added."""


def parse_threshold(text: str, flag: str = "--threshold") -> Fraction:
    """The threshold as an exact fraction, from "0.7" or "7/10"; BadInput unless it is from 0 to 1."""
    try:
        # No exponents: 1e-999999999 would be a number of a thousand million digits.
        value = Fraction(text) if re.fullmatch(r"\s*-?[\d./]+\s*", text, re.ASCII) else None
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None:
        raise BadInput(f"{flag}: '{text}' is no number such as 0.7 or 7/10")
    if not 0 <= value <= 1:
        raise BadInput(f"{flag} is {text}; it goes from 0 to 1")
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
        self._above = max(threshold - Fraction(1, 10**9), Fraction(0)) if compat else threshold
        self._split = rouge_words if compat else words_of
        self._lcs = LCSseq.similarity
        self._numbers: dict[str, int] = {}  # a token's number: how many were seen before it
        self._words = array("I")
        self._ends = array("Q", [0])
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._signatures = Signatures(self._above)
        self._last: Asked | None = None

    def __len__(self) -> int:
        """How many texts are kept."""
        return len(self._ids)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Id and text of each, in the order they were added."""
        return zip(self._ids, self._texts, strict=True)

    def add(self, id: str, text: str) -> None:
        """Keep a text, however near it is to others."""
        asked = self._ask(text)
        self._numbers.update(asked.fresh)
        self._signatures.add(asked.hashes)
        self._words.extend(asked.words)
        self._ends.append(len(self._words))
        self._ids.append(id)
        self._texts.append(text)
        if asked.fresh:  # they are known now
            self._last = None

    def nearest(self, text: str) -> Neighbour | None:
        """The neighbour because of which the text is not new, or None when it is new.

        Of several above the threshold the one with the greatest F1, compared exactly; of equal ones
        the first that was added.
        """
        asked = self._ask(text)
        m, p, q = len(asked.words), self._above.numerator, self._above.denominator
        best: Neighbour | None = None
        for place in self._signatures.possible(asked.hashes):
            n = self._ends[place + 1] - self._ends[place]
            need = p * (m + n) // (2 * q) + 1  # the smallest L with 2qL > p(m + n)
            lcs = self._lcs(asked.words, self._words[self._ends[place] : self._ends[place] + n], score_cutoff=need)
            if lcs >= need:
                best = self._better(self._neighbour(place, int(lcs), m, n), best)
        return best

    def similar(self, text: str, k: int = 10) -> list[Neighbour]:
        """The k most similar texts, most similar first, earlier before later where F1 is the same.

        Whatever the threshold; a text that shares no token is never among them. k is at least 1.
        """
        if k < 1:
            raise ValueError(f"similar: k is {k}; it counts texts and is at least 1")
        asked = self._ask(text)
        m = len(asked.words)
        best: list[Neighbour] = []
        places, bounds = self._signatures.by_bound(asked.hashes)
        for place, bound in zip(places.tolist(), bounds.tolist(), strict=True):
            if not m or (len(best) == k and bound < best[-1].score - 1e-9):
                break  # none that follows can be nearer
            theirs = self._words[self._ends[place] : self._ends[place + 1]]
            if lcs := int(self._lcs(asked.words, theirs)):
                best.append(self._neighbour(place, lcs, m, len(theirs)))
                best.sort(key=lambda near: (-near.score, near.place))
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
        self._last = Asked(text, words, hashes_of(words), fresh)
        return self._last

    def _neighbour(self, place: int, lcs: int, m: int, n: int) -> Neighbour:
        score = rouge_f1(lcs, m, n) if self.compat else 2 * lcs / (m + n)
        return Neighbour(self._ids[place], self._texts[place], place, lcs, m, n, score)

    def _better(self, found: Neighbour, best: Neighbour | None) -> Neighbour | None:
        """The nearer of the two, the earlier of equal ones; places come in order."""
        if self.compat:
            passes = found.score > float(self.threshold)
            return found if passes and (best is None or found.score > best.score) else best
        if best is None or found.lcs * (best.m + best.n) > best.lcs * (found.m + found.n):
            return found
        return best

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
