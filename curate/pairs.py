"""From one task and its judgments to preference pairs; pure arithmetic, exact to the last bit.

For two responses of a task, n annotators compared them: p = (wins + ties/2 + a) / (n + 2a)
is the probability that the first is better, with the prior a (default ½), so three votes to
none is not certainty. A soft label counts as so much of a vote; a source may count as more or
less than a vote (`Rules.weights`). A response left unplaced says nothing. Sums are whole
numbers (curate/ballots.py) and become a double once, at the end, correctly rounded: neither the
order of the judgments nor the machine changes a byte. Where a model over all tasks says how much
each annotator's word is worth (`Rules.aggregate`), p and the scores are its beliefs instead
(curate/beliefs.py); votes, agreement and weight stay counts.

A judgment is one piece of evidence however many pairs it implies: the weights of its pairs
sum to its source's weight. What is left out is left out with a reason. `strength` is not used.
"""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import lcm
from typing import Literal, NamedTuple, get_args

from curate.ballots import Ballot, Poll, Two, mostly_bad, poll, silence
from curate.ballots import Stored as Stored
from curate.ballots import Unused as Unused
from curate.ballots import usable as usable
from curate.rules import KINDS as KINDS
from curate.rules import Mode
from curate.rules import Rules as Rules
from curate.rules import make_rules as make_rules
from data.errors import BadInput
from data.records import AnnotatorKind, Judgment, PreferencePair, Task, content_id, pair_id

Split = Literal["train", "validation", "test"]
Source = Literal["human", "model", "both", "rule"]


class LeftOut(NamedTuple):
    """Responses of a task that gave no pair, and why."""

    task_id: str
    response_ids: list[str]
    reason: str


class Belief(NamedTuple):
    """What a model over all tasks says of one task."""

    probability: Mapping[Two, float]
    """That the first is better, of every two responses compared, in the order in which the task lists them."""
    score: Mapping[str, float]
    """Log-strength of each response; a difference of two is a margin."""


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


def pairs_of(
    task: Task,
    judgments: Sequence[Judgment],
    rules: Rules,
    gone: Collection[str] = (),
    belief: Belief | None = None,
) -> tuple[list[PreferencePair], list[LeftOut]]:
    """The pairs of one task by pair id, and what was left out.

    Args:
        judgments: those of this task that count (see `usable`), in any order.
        gone: ids of responses that are as if they had never been there (see curate/retracted.py).
        belief: what the model of `rules.aggregate` says of this task; None for counted votes.
    """
    everything = [r.id for r in task.responses if r.id not in gone]
    if len(everything) < 2:
        return [], [LeftOut(task.id, everything, "no other response is left")] if everything else []
    if not judgments:
        return [], [LeftOut(task.id, everything, "no judgments")]
    said = poll(judgments, rules, everything)
    if mostly_bad(said):
        return [], [LeftOut(task.id, everything, "all bad, says the majority")]
    if not any(ballot.votes for ballot in said.ballots):
        return [], [LeftOut(task.id, everything, silence(said, rules))]
    scores = _shares_won(everything, said, rules.prior)
    asked = _selected(everything, scores, rules.pairs)
    shown = {r: float(score) for r, score in scores.items()} if belief is None else belief.score
    spread = [sum(two in ballot.votes for two in asked) for ballot in said.ballots]
    pairs, left_out = [], []
    for two in asked:
        heard = [(ballot, n) for ballot, n in zip(said.ballots, spread, strict=True) if two in ballot.votes]
        made = _pair(task, two, heard, said, shown, rules, belief)
        if isinstance(made, str):
            left_out.append(LeftOut(task.id, list(two), made))
        else:
            pairs.append(made)
    return sorted(pairs, key=lambda pair: pair.id), left_out


@lru_cache(maxsize=1 << 16)
def _share(won: int, n: int, unit: int, whole: int, prior: str) -> Fraction:
    """(wins + ties/2 + a) / (n + 2a): `won` in units of voices, `n` the voices."""
    a, d = Fraction(prior).as_integer_ratio()
    return Fraction(won * d + a * unit * whole, unit * (n * d + 2 * a * whole))


def _shares_won(ids: Sequence[str], said: Poll, prior: str) -> dict[str, Fraction]:
    """Share of its comparisons that each response won, a tie counting half, with the prior on both sides."""
    won, met = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for ballot in said.ballots:
        for (a, _), vote in ballot.votes.items():
            won[a] += vote.first * ballot.voice
            met[a] += ballot.voice
    half = Fraction(1, 2)
    return {r: _share(won[r], met[r], said.unit, said.whole, prior) if met[r] else half for r in ids}


def _selected(ids: Sequence[str], scores: dict[str, Fraction], mode: Mode) -> list[Two]:
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
def _weighed(won: int, n: int, ties: int, unit: int, whole: int, prior: str, belief: float | None) -> Weighed | None:
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


def _pair(
    task: Task,
    two: Two,
    heard: Sequence[tuple[Ballot, int]],
    said: Poll,
    scores: Mapping[str, float],
    rules: Rules,
    belief: Belief | None,
) -> PreferencePair | str:
    """The pair of these two responses, or why there is none.

    `heard` has each ballot that compares them, and over how many pairs it spreads.
    """
    if not heard:
        return "nobody compared them"
    by_id = {r.id: r.messages for r in task.responses if r.id in two}
    if by_id[two[0]] == by_id[two[1]]:
        return "identical texts"
    n = won = ties = 0
    for ballot, _ in heard:
        vote = ballot.votes[two]
        n += ballot.voice
        won += vote.first * ballot.voice
        ties += vote.tie * ballot.voice
    believed = None if belief is None else belief.probability.get(two)
    if belief is not None and believed is None:
        raise BadInput(f"task {task.id}: no belief about two responses that were compared; export again")
    weighed = _weighed(won, n, ties, said.unit, said.whole, rules.prior, believed)
    if weighed is None:
        return "tie"
    if reason := _too_weak(len(heard), weighed, rules):
        return reason
    better, worse = two[::-1] if weighed.turned else two
    parts = lcm(*(spread for _, spread in heard))
    judgments = [part.judgment for ballot, _ in heard for part in ballot.parts if two in part.votes]
    cluster = task.prompt.id
    return PreferencePair.model_construct(  # every part comes out of a checked record, or is counted here
        id=pair_id(task.id, better, worse, rules.method),
        prompt_id=task.prompt.id,
        chosen_id=better,
        rejected_id=worse,
        task_id=task.id,
        prompt=task.prompt.messages,
        chosen=by_id[better],
        rejected=by_id[worse],
        tools=task.prompt.tools,
        probability=weighed.probability,
        weight=sum(parts // spread * ballot.voice for ballot, spread in heard) / (parts * said.whole),
        score_chosen=scores[better],
        score_rejected=scores[worse],
        votes=dict(weighed.votes),
        judgment_ids=sorted(j.id for j in judgments),
        agreement=float(weighed.agreement),
        source=source_of({j.annotator_kind for j in judgments}),
        cluster=cluster,
        split=split_of(cluster, rules.seed, rules.splits),
        language=task.language or task.prompt.language,
        tags=task.prompt.tags,
        licence=task.prompt.licence,
        guideline_versions=sorted({j.guideline_version for j in judgments if j.guideline_version}),
        method=rules.method,
    )


def _too_weak(votes: int, weighed: Weighed, rules: Rules) -> str:
    """Why a pair falls short of what the rules ask for; empty when it does not."""
    if votes < rules.min_votes:
        return f"fewer than {rules.min_votes} votes"
    if rules.min_probability != "0.5" and weighed.exact < Fraction(rules.min_probability):
        return f"probability below {rules.min_probability}"
    if rules.min_agreement != "0" and weighed.agreement < Fraction(rules.min_agreement):
        return f"agreement below {rules.min_agreement}"
    return ""


def source_of(kinds: set[AnnotatorKind]) -> Source:
    """Who stands behind a pair: people alone, models (with or without rules), rules alone, or both."""
    if "person" in kinds:
        return "human" if kinds == {"person"} else "both"
    return "model" if "model" in kinds else "rule"


def split_of(cluster: str, seed: int, shares: Sequence[int]) -> Split:
    """Where a cluster goes: its hash with the seed falls into one of the shares."""
    point = int(content_id("split", seed, cluster), 16) * sum(shares)
    names: tuple[Split, ...] = get_args(Split)
    upto = 0
    for name, share in zip(names, shares, strict=True):
        upto += share
        if point < upto << 128:
            return name
    raise AssertionError("shares sum to the whole")
