"""What a task's votes come to, as exact fractions: each response's share, which two to compare, and who is better.

Every sum is of whole numbers and becomes a double once, at the end. Tasks have few judgments, so the same numbers
come often and what they give is remembered.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from curate.ballots import Poll, Two
from curate.rules import Mode, Rules


class Weighed(NamedTuple):
    """What the votes on two responses come to."""

    probability: float
    """That the better is better."""
    exact: Fraction
    turned: bool
    """Whether the second is the better."""
    agreement: Fraction
    """Share of the votes that took the better's side, a tie counting half."""
    votes: dict[str, float]


@lru_cache(maxsize=1 << 16)
def _share(won: int, n: int, unit: int, whole: int, prior: str) -> Fraction:
    """(wins + ties/2 + a) / (n + 2a): `won` in units of voices, `n` the voices."""
    a, d = Fraction(prior).as_integer_ratio()
    return Fraction(won * d + a * unit * whole, unit * (n * d + 2 * a * whole))


def shares_won(ids: Sequence[str], said: Poll, prior: str) -> dict[str, Fraction]:
    """Share of its comparisons that each response won, a tie counting half, with the prior on both sides."""
    won, met = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for ballot in said.ballots:
        for (a, _), vote in ballot.votes.items():
            won[a] += vote.first * ballot.voice
            met[a] += ballot.voice
    half = Fraction(1, 2)
    return {r: _share(won[r], met[r], said.unit, said.whole, prior) if met[r] else half for r in ids}


def selected(ids: Sequence[str], scores: dict[str, Fraction], mode: Mode) -> list[Two]:
    """The two-response sets a mode asks for, each in the order in which the task lists them.

    Equal scores share a tier. adjacent: within a tier and between neighbouring tiers;
    best-worst: between the first tier and the last, or within the only one.
    """
    if mode == "all":
        return list(combinations(ids, 2))
    tiers = sorted(set(scores.values()), reverse=True)
    tier = {r: tiers.index(scores[r]) for r in ids}
    if mode == "adjacent":
        return [(a, b) for a, b in combinations(ids, 2) if abs(tier[a] - tier[b]) <= 1]
    return [(a, b) for a, b in combinations(ids, 2) if {tier[a], tier[b]} == {0, len(tiers) - 1}]


@lru_cache(maxsize=1 << 16)
def weigh(won: int, n: int, ties: int, unit: int, whole: int, prior: str, belief: float | None) -> Weighed | None:
    """What so many votes come to; None for a tie. Tasks have few judgments, so the same numbers come often."""
    exact = _share(won, n, unit, whole, prior) if belief is None else Fraction(belief)
    if float(exact) == 0.5:  # or nearer to it than a double can say
        return None
    turned = exact < Fraction(1, 2)
    if turned:
        won = n * unit - won
        exact = _share(won, n, unit, whole, prior) if belief is None else Fraction(repr(round(1 - belief, 6)))
    votes = {
        "chosen": (2 * won - ties) / (2 * unit * whole),
        "rejected": (2 * (n * unit - won) - ties) / (2 * unit * whole),
        "tie": ties / (unit * whole),
    }
    return Weighed(float(exact), exact, turned, Fraction(won, n * unit), votes)


def too_weak(weighed: Weighed, rules: Rules) -> str:
    """Why a pair falls short of what the rules ask for; empty when it does not."""
    if rules.min_probability != "0.5" and weighed.exact < Fraction(rules.min_probability):
        return f"probability below {rules.min_probability}"
    if rules.min_agreement != "0" and weighed.agreement < Fraction(rules.min_agreement):
        return f"agreement below {rules.min_agreement}"
    return ""
