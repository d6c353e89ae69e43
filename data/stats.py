"""Statistics everybody may use: pure arithmetic on counts. No files, no network, no hidden randomness.

Intervals and the probability behind a pair live here. Agreement is in `data.agreement`, its intervals in
`data.resampling`, ranking from comparisons in `data.strength`, the likeliest label from many annotators in
`data.consensus`. All public names can be imported from here.
"""

from statistics import NormalDist
from typing import NamedTuple

from data.agreement import (
    Agreement,
    Level,
    count_table,
    gwet_ac1,
    interval_alpha,
    kendall_w,
    krippendorff_alpha,
    patterns,
    percent_agreement,
)
from data.consensus import DawidSkene, dawid_skene
from data.errors import BadInput
from data.resampling import AlphaInterval, alpha_bootstrap, alpha_jackknife
from data.strength import Strengths, bradley_terry, win_table

__all__ = [
    "Agreement",
    "AlphaInterval",
    "DawidSkene",
    "Level",
    "Rate",
    "Strengths",
    "alpha_bootstrap",
    "alpha_jackknife",
    "bradley_terry",
    "clopper_pearson",
    "count_table",
    "dawid_skene",
    "gwet_ac1",
    "interval_alpha",
    "kendall_w",
    "krippendorff_alpha",
    "patterns",
    "percent_agreement",
    "preference_probability",
    "wilson",
    "win_table",
]


class Rate(NamedTuple):
    """A share of n with its interval, all three within [0, 1]; `rate` is None when n is 0."""

    rate: float | None
    low: float
    high: float
    n: float


def preference_probability(wins: float, ties: float, losses: float, prior: float = 0.5) -> float:
    """Probability that a response is better than another: (wins + ties/2 + prior) / (n + 2 prior).

    The counts (n is their sum) may be weighted and need not be whole. `prior` is a wins and a losses
    added before counting, a symmetric Beta(a, a): 0.5 is Jeffreys' choice, 0 the plain share. With
    prior > 0 the answer lies strictly within (0, 1): three votes to none give 0.875, not certainty.

    Raises:
        BadInput: a count or the prior is negative or not finite, or there is neither a vote nor a prior.
    """
    for name, value in (("wins", wins), ("ties", ties), ("losses", losses), ("prior", prior)):
        if not 0 <= value < float("inf"):
            raise BadInput(f"preference probability: {name} is {value}; give a finite number of at least 0")
    total = wins + ties + losses + 2 * prior
    if total == 0:
        raise BadInput("preference probability: no vote and a prior of 0; give a prior above 0")
    # The larger side is taken from 1, so that swapping wins and losses gives exactly the complement.
    if wins > losses:
        return 1 - (losses + ties / 2 + prior) / total
    return (wins + ties / 2 + prior) / total


def wilson(successes: float, n: float, confidence: float = 0.95) -> Rate:
    """Share of n trials that succeeded, with the Wilson score interval.

    A tie is half a success: that is exact for the rate and only widens the interval, since ties vary less
    than wins and losses. With n = 0 nothing is known: rate None, interval [0, 1].

    Args:
        successes: from 0 to n; wins plus half the ties.
        n: independent trials, such as prompts; average repeated judgments of one prompt beforehand.
        confidence: coverage aimed at, within (0, 1).

    Raises:
        BadInput: a number outside its range.

    Source: E. B. Wilson, "Probable inference", JASA 22 (1927), 209-212.
    """
    _check_share(successes, n, confidence)
    if n == 0:
        return Rate(None, 0.0, 1.0, 0)
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    failures = n - successes
    # The ends at 0 and n are exact by definition and set so: rounding would miss them.
    middle = successes + z2 / 2
    half = (z2 * (successes * failures / n + z2 / 4)) ** 0.5
    low = 0.0 if successes == 0 else max(0.0, (middle - half) / (n + z2))
    high = 1.0 if failures == 0 else min(1.0, (middle + half) / (n + z2))
    rate = successes / n
    return Rate(rate, min(low, rate), max(high, rate), n)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Rate:
    """Share of n trials that succeeded, with the exact interval: it covers at least `confidence`.

    Wider than Wilson's; the one to use where falling short of the stated coverage would be worse than
    being vague. Whole numbers only. With n = 0 nothing is known: rate None, interval [0, 1].

    Raises:
        BadInput: a number outside its range, or not whole.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), 404-413.
    """
    _check_share(successes, n, confidence)
    if int(successes) != successes or int(n) != n:
        raise BadInput(f"clopper-pearson: {successes} of {n} is not whole; use wilson where ties count half")
    if n == 0:
        return Rate(None, 0.0, 1.0, 0)
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Rate(successes / n, low, high, n)


def _check_share(successes: float, n: float, confidence: float) -> None:
    if not 0 <= successes <= n < float("inf"):
        raise BadInput(f"interval: {successes} successes of {n}; successes lie between 0 and n")
    if not 0 < confidence < 1:
        raise BadInput(f"interval: confidence is {confidence}; give a share between 0 and 1, such as 0.95")
