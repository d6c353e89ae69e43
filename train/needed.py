"""How many more cases would decide whether a mean keeps to a limit, and what they would then show.

    needed(look(wins, families), limit=0.5, at_least=True, alpha=0.05)

The bounds of train/bounds.py are computed as if there were so many times the clusters, with mean and variance as
seen; the number is the least at which they decide with the chance asked for.
"""

import math
from typing import NamedTuple

from train.bounds import FEW, Seen, least, limits

POWER = 0.8
"""Chance of a decision that is planned for."""
_MOST = 1e6  # times as many cases as there are: more is "never"


class Needed(NamedTuple):
    """How many more cases would decide, if they go on as those seen."""

    more: int | None
    """None: no number that could be had."""
    shows: str
    """What they would then show: "holds" or "violated"."""


def needed(seen: Seen, limit: float, at_least: bool, alpha: float, power: float = POWER) -> Needed:
    """How many more cases would decide with a chance of `power`, at the mean and the design effect seen.

    Assumes that further cases come in new clusters like those seen, with the same mean and variance.
    """
    from statistics import NormalDist

    holds = bool(seen.mean >= limit) if at_least else bool(seen.mean <= limit)
    lower = at_least == holds  # which bound would show it
    reserve = NormalDist().inv_cdf(power) * float(seen.error)

    def decided(times: float) -> bool:
        low, high = limits(seen, alpha, times)
        slack = reserve / math.sqrt(times)
        return bool(low - slack >= limit) if lower else bool(high + slack <= limit)

    shows = "holds" if holds else "violated"
    if not decided(_MOST):
        return Needed(None, shows)
    few_times = max(1.0, FEW / max(1, seen.clusters))
    if decided(few_times):
        return Needed(math.ceil(few_times * seen.n) - seen.n, shows)
    times = math.exp(least(lambda x: decided(math.exp(x)), math.log(few_times), math.log(_MOST)))
    return Needed(math.ceil(times * seen.n) - seen.n, shows)


def needed_unseen(limit: float, at_least: bool, alpha: float, ends: tuple[float, float] | None) -> int | None:
    """The fewest independent cases that could show it, were there no exception among them; None without a range."""
    if ends is None:
        return FEW
    low, high = ends
    room = (high - limit if at_least else limit - low) / (high - low)
    if room <= 0:
        return None
    return max(FEW, math.ceil(math.log(alpha) / math.log1p(-room)) if room < 1 else 1)
