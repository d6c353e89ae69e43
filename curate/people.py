"""Who judges unlike the others: in speed, in agreement, or by where an answer stood.

Each person is held against the others with an interval whose confidence allows for how many people
were looked at (0.05 divided by their number), so that in a project without faults seldom anybody is
named. Somebody with fewer than ten ballots is not judged.
"""

import math
from statistics import median
from typing import NamedTuple

from curate.ballot_columns import UNTOLD, WHOLE, Columns
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


def known(ballots: Columns) -> int:
    """How many annotators gave at least ten of these ballots."""
    return int((ballots.counts() >= LEAST).sum())


def too_quick(ballots: Columns, times: float = 3.0) -> list[Outlier]:
    """People whose median seconds are below a third of the usual, and more than 3.5 robust deviations off.

    The deviation is that of the logarithms of people's medians (1.4826 times the median deviation).
    Fewer than four people with times give no answer.
    """
    medians = _medians(ballots)
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


def _medians(ballots: Columns) -> dict[str, tuple[float, int]]:
    """The median seconds of each annotator with at least ten times above 0, and how many those are."""
    import numpy as np

    told = np.flatnonzero(ballots.seconds > 0)
    order = np.lexsort((ballots.seconds[told], ballots.who[told]))
    seconds = ballots.seconds[told][order]
    counts = np.bincount(ballots.who[told], minlength=len(ballots.names))
    begins = np.cumsum(counts) - counts
    return {
        ballots.names[who]: (median(seconds[begins[who] : begins[who] + counts[who]].tolist()), int(counts[who]))
        for who in np.flatnonzero(counts >= LEAST).tolist()
    }


def agreements(ballots: Columns) -> dict[str, tuple[int, int]]:
    """For each person the parts of WHOLE in which they agreed with the majority of the others, and of how many ballots.

    Of each two answers that somebody put apart, those count on which the other people lean to one side.
    """
    import numpy as np

    # Sums of whole numbers below 2^53: a double holds them as they are.
    lean = np.bincount(ballots.two, ballots.side).astype(np.int64)
    others = lean[ballots.two] - ballots.side
    apart = (ballots.side != 0) & (others != 0)
    same = apart & ((ballots.side > 0) == (others > 0))
    met = np.bincount(ballots.ballot[apart], minlength=ballots.size)
    agreed = np.bincount(ballots.ballot[same], minlength=ballots.size)
    told = met > 0
    who = ballots.who[told]
    n = np.bincount(who, minlength=len(ballots.names))
    parts = np.bincount(who, agreed[told] * WHOLE // met[told], len(ballots.names)).astype(np.int64)
    return {ballots.names[i]: (int(parts[i]), int(n[i])) for i in np.flatnonzero(n).tolist()}


def disagreeing(ballots: Columns, margin: float = 0.05) -> list[Outlier]:
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


def leaning(ballots: Columns, least: float = 0.1) -> list[Outlier]:
    """People who prefer what is shown earlier (or later): the interval excludes a half, the share by `least`."""
    import numpy as np

    judged = np.flatnonzero(ballots.counts() >= LEAST).tolist()
    told = ballots.first != UNTOLD
    who = ballots.who[told]
    n = np.bincount(who, minlength=len(ballots.names))
    parts = np.bincount(who, ballots.first[told], len(ballots.names)).astype(np.int64)
    found = []
    for i in judged:
        rate = wilson(int(parts[i]) / WHOLE, int(n[i]), 1 - 0.05 / len(judged))
        if rate.rate is not None and abs(rate.rate - 0.5) >= least and not rate.low <= 0.5 <= rate.high:
            found.append(_outlier(ballots.names[i], rate, 0.5))
    return found


def _outlier(who: str, rate: Rate, usual: float) -> Outlier:
    assert rate.rate is not None
    return Outlier(who, rate.rate, usual, rate.low, rate.high, int(rate.n))
