"""From a judge's single verdicts to one probability per comparison, and to how the judge leans.

Pure arithmetic. Within one principle and sample, both orders are averaged (p in the first, 1 - p in the
second); then over principles and samples, each counting the same. A tie counts one half, a choice without a
probability 1 or 0. What failed is left out and said, never filled in.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from data.records import Judgment, Task
from datagen.hearing import Heard
from datagen.judging import Ask
from datagen.softlabel import Clamp, average, both_orders, complement


class Comparison(NamedTuple):
    """Two responses of a task and what all verdicts together say of them."""

    task: str
    first: str
    """The response that stands first in the task; `probability` is that it is better."""
    second: str
    probability: float | None
    """None where every verdict failed."""
    verdicts: int
    failed: int
    one_order: int
    """Principles and samples for which both orders were asked and one failed: its label leans as the judge does."""
    consistent: int
    """Those for which both orders preferred the same response (or both neither)."""
    both: int
    """Those for which both orders gave a verdict."""


class Leaning(NamedTuple):
    """How far the place of an answer decided: over all verdicts between two."""

    first: float = 0.0
    """Verdicts for the response that was shown first; a tie counts one half."""
    verdicts: int = 0
    ties: int = 0
    both: int = 0
    consistent: int = 0

    def plain(self) -> dict[str, Any]:
        """For the summary: shares with 4 decimals, None where there is nothing to say."""
        return {
            "first_shown_preferred": round(self.first / self.verdicts, 4) if self.verdicts else None,
            "verdicts_between_two": self.verdicts,
            "ties": self.ties,
            "asked_in_both_orders": self.both,
            "same_in_both_orders": round(self.consistent / self.both, 4) if self.both else None,
        }


def stated(judgment: Judgment) -> float:
    """The probability that the first of `shown` is better, as a judgment states it."""
    if judgment.probability is not None:
        return judgment.probability
    return {"A": 1.0, "B": 0.0, "tie": 0.5}[judgment.choice or "tie"]


def comparisons(task: Task, heard: Sequence[tuple[Ask, Heard]]) -> list[Comparison]:
    """Every comparison of a task that was asked for, in the order of its responses; none for ratings."""
    if task.kind == "rating":
        return []
    pairs: dict[tuple[int, int], list[tuple[Ask, Heard]]] = {}
    for ask, one in heard:
        low, high = sorted(ask.shown)
        pairs.setdefault((low, high), []).append((ask, one))
    return [_compare(task, pair, pairs[pair]) for pair in sorted(pairs)]


def _compare(task: Task, pair: tuple[int, int], heard: Sequence[tuple[Ask, Heard]]) -> Comparison:
    groups: dict[tuple[str, int], list[tuple[Ask, Heard]]] = {}
    for ask, one in heard:
        groups.setdefault((ask.principle, ask.sample), []).append((ask, one))
    said, one_order, consistent, both = [], 0, 0, 0
    for key in sorted(groups):
        sides = [(ask, one.judgment) for ask, one in groups[key]]
        forward = next((stated(j) for ask, j in sides if j and ask.shown == pair), None)
        backward = next((stated(j) for ask, j in sides if j and ask.shown != pair), None)
        if (p := both_orders(forward, backward)) is not None:
            said.append(p)
        if len(sides) == 2 and forward is not None and backward is not None:
            both += 1
            consistent += _side(forward) == _side(complement(backward))
        one_order += len(sides) == 2 and (forward is None) != (backward is None)
    return Comparison(
        task=task.id,
        first=task.responses[pair[0]].id,
        second=task.responses[pair[1]].id,
        probability=average(said) if said else None,
        verdicts=sum(one.judgment is not None for _, one in heard),
        failed=sum(one.judgment is None for _, one in heard),
        one_order=one_order,
        consistent=consistent,
        both=both,
    )


def _side(probability: float) -> int:
    return (probability > 0.5) - (probability < 0.5)


def leaning(judgments: Iterable[Judgment], compared: Iterable[Comparison]) -> Leaning:
    """How the judge leans, from all verdicts between two responses and their comparisons."""
    between = [j for j in judgments if j.choice is not None]
    sides = [{"A": 1.0, "B": 0.0, "tie": 0.5}[j.choice or "tie"] for j in between]
    found = list(compared)
    return Leaning(
        first=sum(sides),
        verdicts=len(between),
        ties=sum(j.choice == "tie" for j in between),
        both=sum(c.both for c in found),
        consistent=sum(c.consistent for c in found),
    )


def unsure(
    task: Task, compared: Sequence[Comparison], heard: Sequence[tuple[Ask, Heard]], clamp: Clamp | None = None
) -> str:
    """How unsure the judge was of a task, by its least sure comparison: sure, leaning, unsure, or unjudged.

    unsure: the probability is within a fifth of the way from one half to certainty (to the clamp's end where
    there is one), or the two orders disagree; leaning: within three fifths; unjudged: a comparison has no
    verdict. Ratings are unsure where two orders or samples differ by 2 points
    or more on a response and criterion, sure otherwise.
    """
    if task.kind == "rating":
        return _unsure_ratings([one.judgment for _, one in heard if one.judgment])
    if not compared or any(c.probability is None for c in compared):
        return "unjudged"
    if any(c.consistent < c.both for c in compared):
        return "unsure"
    least = min(abs((c.probability or 0.0) - 0.5) for c in compared)
    most = clamp.high - 0.5 if clamp else 0.5
    return "unsure" if least <= 0.2 * most else "leaning" if least <= 0.6 * most else "sure"


def _unsure_ratings(judgments: Sequence[Judgment]) -> str:
    if not judgments:
        return "unjudged"
    points: dict[tuple[str, str], list[int]] = {}
    for j in judgments:
        for response, rated in j.ratings.items():
            for criterion, value in rated.items():
                points.setdefault((response, criterion), []).append(value)
    return "unsure" if any(max(held) - min(held) >= 2 for held in points.values()) else "sure"
