"""Does a text repeat part of an evaluation set? Runs of tokens in common, and where they stand.

    avoid = load([Path("mt_bench.jsonl")])
    if (match := avoid.match(text)) is not None: ...   # match.file, match.line, match.span, match.n

A text is to be avoided when it has a run of 8 words in common with a text of the evaluation set (the shortest run that
Brown et al. 2020, appendix C, count as contamination). A character of a script without spaces is less than a
word: Chinese words have 1.6 characters on average, so 13 characters stand for 8 words, and a run of both
counts each by that measure (a word 13, a character 8, together at least 104). Runs of 8 characters are
everyday phrases and would reject what is no copy.

An evaluation text shorter than that must occur in full. One shorter than 4 words (7 characters) says too
little to be looked for inside another text: there only a text that is nothing else is a match.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, nearest
from data.text import tokens

N = 8
LEAST = 4  # words of a whole evaluation text that is looked for inside others
FIELDS = ("instruction", "prompt", "question", "query", "problem", "text", "input", "turns", "messages", "instances")
_WORD, _LETTER = 13, 8


class Match(NamedTuple):
    """What a text has in common with an evaluation set."""

    file: str
    """Name of the evaluation file."""
    line: int
    """Its line (element of an array, row of a table), from 1."""
    span: str
    """The part of the text that is found there, as it stands in the text."""
    n: int
    """Tokens of that part."""


class Avoid:
    """Evaluation texts, and whether another text repeats any of them.

    Args:
        n: words that a run must have to be a match, at least `least`.
        least: words that an evaluation text shorter than that must have to be looked for inside others; from 1.
    """

    def __init__(self, n: int = N, least: int = LEAST) -> None:
        if not 1 <= least <= n:
            raise BadInput(
                f"runs of {n} words and whole texts of {least}: the first is at least the second, both from 1"
            )
        self.n, self.least = n, least
        self.texts = 0
        self._runs: dict[tuple[str, ...], tuple[str, int]] = {}
        self._heads: dict[tuple[str, ...], list[tuple[tuple[str, ...], tuple[str, int]]]] = {}
        self._whole: dict[tuple[str, ...], tuple[str, int]] = {}

    def add(self, text: str, file: str, line: int) -> None:
        """Avoid this text from now on; the place is what a match names. A run known already keeps its first place."""
        words, where = tuple(tokens(text)), (file, line)
        if not words:
            return
        self.texts += 1
        self._whole.setdefault(words, where)
        runs = _runs(words, self.n)
        for start, end in runs:
            self._runs.setdefault(words[start:end], where)
        if not runs and (heads := _runs(words, self.least)):
            self._heads.setdefault(words[: heads[0][1]], []).append((words, where))

    def match(self, text: str) -> Match | None:
        """The first run of the text that an evaluation text has too, or None."""
        words = tuple(tokens(text))
        if (where := self._whole.get(words)) is not None:
            return Match(*where, text.strip(), len(words))
        runs = _runs(words, self.n)
        if not self._runs.keys().isdisjoint([words[start:end] for start, end in runs]):
            start, end = next(run for run in runs if words[slice(*run)] in self._runs)
            return Match(*self._runs[words[start:end]], _span(text, words, start, end), end - start)
        return self._short(text, words) if self._heads else None

    def _short(self, text: str, words: tuple[str, ...]) -> Match | None:
        """The first place where a short evaluation text stands in full."""
        runs = _runs(words, self.least)
        if self._heads.keys().isdisjoint([words[start:end] for start, end in runs]):
            return None
        for start, end in runs:
            for whole, where in self._heads.get(words[start:end], ()):
                if words[start : start + len(whole)] == whole:
                    return Match(*where, _span(text, words, start, start + len(whole)), len(whole))
        return None


def load(paths: Iterable[Path], fields: Sequence[str] | None = None, n: int = N, least: int = LEAST) -> Avoid:
    """Evaluation files, of any layout that datagen.texts reads.

    Args:
        paths: the files.
        fields: fields whose texts are to be avoided; None takes those of FIELDS that a row has.
        n: words that a run must have.
        least: words of a short evaluation text that is looked for inside others.

    Raises:
        NotThere: a file is missing.
        BadInput: a line that cannot be read (what stands there could not be avoided), or a file without a text.
    """
    from datagen.texts import read_rows

    avoid, wanted = Avoid(n, least), tuple(fields or FIELDS)
    for path in paths:
        before = avoid.texts
        keys: dict[str, None] = {}
        for row in read_rows(path):
            if row.problem:
                raise BadInput(f"{path}, line {row.number}: {row.problem}; mend it, or what it holds is not avoided")
            if isinstance(row.value, Mapping):
                keys |= dict.fromkeys(row.value)
            for text in _texts_of(row.value, wanted):
                avoid.add(text, path.name, row.number)
        if avoid.texts == before:
            hint = next((found for name in wanted if (found := nearest(name, keys))), "")
            raise BadInput(f"{path} gives no text to avoid: no row has a field {', '.join(wanted)}{hint}")
    return avoid


def _texts_of(value: Any, fields: Sequence[str]) -> Iterator[str]:
    """The texts of a row one by one: turns, messages and instances apart, as no run goes from one into the next."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name in ("content", "text") if "role" in value or "type" in value else fields:
            yield from _texts_of(value.get(name), fields)
    elif isinstance(value, list):
        for part in value:
            yield from _texts_of(part, fields)


@lru_cache(maxsize=1 << 16)
def _weight(token: str) -> int:
    """A letter of a script without spaces stays a token of its own when it is written twice."""
    return _WORD if token.isascii() or len(tokens(token * 2)) == 1 else _LETTER


def _runs(words: Sequence[str], n: int) -> list[tuple[int, int]]:
    """From each token on the shortest run that weighs n words, as start and end; none where too little is left.

    The run depends on the tokens from its start alone, so a stretch two texts share has the same runs in both.
    """
    if "".join(words).isascii():
        return [(start, start + n) for start in range(len(words) - n + 1)]
    need, weight, end = n * _WORD, 0, 0
    runs: list[tuple[int, int]] = []
    weights = [_weight(word) for word in words]
    for start, first in enumerate(weights):
        while weight < need:
            if end == len(weights):
                return runs
            weight += weights[end]
            end += 1
        runs.append((start, end))
        weight -= first
    return runs


def _span(text: str, words: tuple[str, ...], start: int, end: int) -> str:
    """The part of the text that holds these tokens, as it stands there."""

    def reach(count: int) -> int:
        """The longest beginning of the text with at most this many tokens, as far as halving finds it."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(tokens(text[:middle])) <= count else (low, middle - 1)
        return low

    found = text[reach(start) : reach(end)]
    return found.strip() if tuple(tokens(found)) == words[start:end] else " ".join(words[start:end])
