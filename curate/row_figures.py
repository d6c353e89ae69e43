"""What a report says of an export's rows, counted while they are written: one pass, a few microseconds a row.

    counts = nothing()
    for row in rows:
        count(counts, row)

Lengths are characters of the answers as they stand in the row. Keys that a layout does not have are not counted.
"""

from collections import Counter
from collections.abc import Mapping
from math import log2
from typing import Any, NamedTuple

PARTS = 40
"""Bins of the probability, from 0 to 1."""
OCTAVE = 4
"""Bins of a doubling of length."""
_LENGTHS = 26 * OCTAVE


class Counts(NamedTuple):
    """Counters that `count` adds to."""

    splits: Counter[str]
    sources: Counter[str]
    languages: Counter[str]
    """An empty text where none is stated, as for licences."""
    licences: Counter[str]
    guidelines: Counter[str]
    prompts: Counter[str]
    """Rows of each prompt."""
    probability: list[int]
    """Rows by the probability that chosen is better, in PARTS bins."""
    weight: Counter[float]
    """Rows by weight, to three digits after the point."""
    margin: Counter[float]
    """Rows by score of chosen less score of rejected, to two digits."""
    votes: Counter[float]
    """Rows by the votes behind them, to one digit."""
    chosen: list[int]
    """Rows by length of the chosen answer: bin i is 2 ** (i / OCTAVE) characters and more."""
    rejected: list[int]


def nothing() -> Counts:
    """Counts of no row."""
    a, b, c, d, e, f = (Counter[str]() for _ in range(6))
    return Counts(a, b, c, d, e, f, [0] * PARTS, Counter(), Counter(), Counter(), [0] * _LENGTHS, [0] * _LENGTHS)


def count(counts: Counts, row: Mapping[str, Any]) -> None:
    """Add a row of any of the layouts of curate/layouts.py."""
    get = row.get
    counts.splits[get("split") or ""] += 1
    counts.sources[get("source") or ""] += 1
    counts.languages[get("language") or ""] += 1
    counts.licences[get("licence") or ""] += 1
    for version in get("guideline_versions") or ("",):
        counts.guidelines[version] += 1
    counts.prompts[get("prompt_id") or ""] += 1
    probability, weight, votes = get("probability"), get("weight"), get("votes")
    if probability is not None:
        counts.probability[min(PARTS - 1, int(probability * PARTS))] += 1
    if weight is not None:
        counts.weight[round(weight, 3)] += 1
    better, worse = get("score_chosen"), get("score_rejected")
    if better is not None and worse is not None:
        counts.margin[round(better - worse, 2)] += 1
    if votes:
        counts.votes[round(sum(votes.values()), 1)] += 1
    if "completion" in row:
        length = _length(row["completion"])
        (counts.chosen if get("label") is not False else counts.rejected)[length] += 1
    else:
        counts.chosen[_length(get("chosen"))] += 1
        counts.rejected[_length(get("rejected"))] += 1


def _length(value: Any) -> int:
    """The bin of an answer's length: messages, one message, or a text."""
    if type(value) is list:
        size = 0
        for message in value:
            size += len(message.get("content") or "")
    elif type(value) is dict:
        size = len(value.get("value") or value.get("content") or "")
    else:
        size = len(value or "")
    return min(_LENGTHS - 1, int(log2(size) * OCTAVE)) if size else 0


def total(counts: Counts) -> int:
    """How many rows were counted."""
    return sum(counts.splits.values())


def binned(values: Mapping[float, int], most: int = 24) -> tuple[list[float], list[int]]:
    """Counts by value as at most `most` bins of one round width, edges and counts.

    Whole numbers are not parted; a single value has one bin around it.
    """
    low, high = min(values), max(values)
    if low == high:
        return [low - 0.5, low + 0.5], [values[low]]
    width = 1.0 if all(value == int(value) for value in values) else 10.0**-9
    while True:  # 1, 2, 5, 10, 20 ...
        for step in (1, 2, 5):
            first = int(low / (width * step)) - (low < 0)
            if (high / (width * step) - first) < most:
                return _filled(values, first, width * step)
        width *= 10


def _filled(values: Mapping[float, int], first: int, step: float) -> tuple[list[float], list[int]]:
    counts: list[int] = []
    for value, n in values.items():
        place = int(value / step - first + 1e-9)
        counts += [0] * (place + 1 - len(counts))
        counts[place] += n
    return [round((first + i) * step, 9) for i in range(len(counts) + 1)], counts


def lengths(counts: Counts) -> tuple[list[float], list[int], list[int]]:
    """The bins of length that hold something: edges in characters, chosen, rejected."""
    used = [i for i in range(_LENGTHS) if counts.chosen[i] or counts.rejected[i]]
    if not used:
        return [], [], []
    low, high = used[0], used[-1] + 1
    edges = [2 ** (i / OCTAVE) for i in range(low, high + 1)]
    return edges, counts.chosen[low:high], counts.rejected[low:high]
