"""Who judges unlike the others: in speed, in agreement, or by where an answer stood.

Each person is held against the others with an interval whose confidence allows for how many people
were looked at (0.05 divided by their number), so that in a project without faults seldom anybody is
named. Somebody with fewer than ten ballots is not judged.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from curate.bias import WHOLE, position
from curate.material import Ballot
from data.stats import Rate, wilson

LEAST = 10  # ballots from which somebody is judged
_FLOOR = 0.15  # least spread of log seconds between people: a closer crowd is no reason to single one out


class Outlier(NamedTuple):
    """Somebody who stands apart."""

    annotator: str
    value: float
    """Median seconds, or a share."""
    usual: float
    """The same of the others."""
    low: float
    high: float
    ballots: int


def by_person(ballots: Iterable[Ballot]) -> dict[str, list[Ballot]]:
    """The ballots of each person with at least ten, by annotator id."""
    found: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        found.setdefault(ballot.annotator, []).append(ballot)
    return {who: found[who] for who in sorted(found) if len(found[who]) >= LEAST}


def too_quick(ballots: Sequence[Ballot], times: float = 3.0) -> list[Outlier]:
    """People whose median seconds are below a third of the usual, and more than 3.5 robust deviations off.

    The deviation is that of the logarithms of people's medians (1.4826 times the median deviation).
    Fewer than four people with times give no answer.
    """
    medians = {
        who: (median(seconds), len(seconds))
        for who, own in by_person(ballots).items()
        if len(seconds := [b.seconds for b in own if b.seconds is not None and b.seconds > 0]) >= LEAST
    }
    if len(medians) < 4:
        return []
    logs = {who: math.log(m) for who, (m, _) in medians.items()}
    middle = median(logs.values())
    spread = max(1.4826 * median(abs(x - middle) for x in logs.values()), _FLOOR)
    usual = math.exp(middle)
    return [
        Outlier(who, m, usual, m, m, n)
        for who, (m, n) in medians.items()
        if m * times < usual and (middle - logs[who]) / spread > 3.5
    ]


def agreements(ballots: Sequence[Ballot]) -> dict[str, tuple[int, int]]:
    """For each person the parts of WHOLE in which they agreed with the majority of the others, and of how many ballots.

    Of each two answers that somebody put apart, those count on which the other people lean to one side.
    """
    lean: dict[tuple[str, str, str], int] = {}
    for ballot in ballots:
        for a, b, side in _sides(ballot):
            lean[ballot.task, a, b] = lean.get((ballot.task, a, b), 0) + side
    told: dict[str, tuple[int, int]] = {}
    for ballot in ballots:
        agreed = met = 0
        for a, b, side in _sides(ballot):
            others = lean[ballot.task, a, b] - side
            if side and others:
                met += 1
                agreed += (side > 0) == (others > 0)
        if met:
            parts, n = told.get(ballot.annotator, (0, 0))
            told[ballot.annotator] = parts + agreed * WHOLE // met, n + 1
    return told


def _sides(ballot: Ballot) -> Iterable[tuple[str, str, int]]:
    """Each two answers in order of their ids: 1 when the first was put before the second, -1 after, 0 a tie."""
    for a, b in combinations(sorted(ballot.place), 2):
        one, two = ballot.place[a], ballot.place[b]
        yield a, b, (one < two) - (one > two)


def disagreeing(ballots: Sequence[Ballot], margin: float = 0.05) -> list[Outlier]:
    """People who agree with the majority of the others less than people usually do, by more than chance explains.

    Named is who has even the upper end of the interval more than `margin` below the median person.
    """
    told = {who: (parts, n) for who, (parts, n) in sorted(agreements(ballots).items()) if n >= LEAST}
    if len(told) < 3:
        return []
    usual = median(parts / WHOLE / n for parts, n in told.values())
    found = []
    for who, (parts, n) in told.items():
        rate = wilson(parts / WHOLE, n, 1 - 0.05 / len(told))
        if rate.high < usual - margin:
            found.append(_outlier(who, rate, usual))
    return found


def leaning(ballots: Sequence[Ballot], least: float = 0.1) -> list[Outlier]:
    """People who prefer what is shown earlier (or later): the interval excludes a half, the share by `least`."""
    people = by_person(ballots)
    found = []
    for who, own in people.items():
        rate = position(own, 1 - 0.05 / len(people))
        if rate.rate is not None and abs(rate.rate - 0.5) >= least and not rate.low <= 0.5 <= rate.high:
            found.append(_outlier(who, rate, 0.5))
    return found


def _outlier(who: str, rate: Rate, usual: float) -> Outlier:
    assert rate.rate is not None
    return Outlier(who, rate.rate, usual, rate.low, rate.high, int(rate.n))
