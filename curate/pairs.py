"""From one task and its judgments to preference pairs; pure arithmetic, exact to the last bit.

For two responses of a task, n judgments compared them: p = (wins + ties/2 + a) / (n + 2a)
is the probability that the first is better, with the prior a (default ½), so three votes to
none is not certainty. A soft label counts as so much of a vote. A response left unplaced
says nothing. Sums are whole numbers (a vote is so many of a task's `unit`) and become a
double once, at the end, correctly rounded: neither the order of the judgments nor the
machine changes a byte.

A judgment is one piece of evidence however many pairs it implies: the weights of its pairs
sum to one. What is left out is left out with a reason.

Not here: whose judgment is worth more, and models over many tasks. Nor is `strength` used.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import Any, Literal, NamedTuple, get_args

from data.errors import BadInput, nearest
from data.records import AnnotatorKind, Judgment, PreferencePair, Record, Task, content_id, pair_id

Mode = Literal["all", "adjacent", "best-worst"]
Split = Literal["train", "validation", "test"]
Source = Literal["human", "model", "both", "rule"]

KINDS: dict[str, AnnotatorKind] = {"human": "person", "model": "model", "rule": "rule"}
"""The words of --sources, and the annotator kinds they let in."""
_PRIOR = re.compile(r"\d{1,3}(\.\d{1,12})?|\.\d{1,12}")


class Rules(Record):
    """How judgments become pairs; the part of an export's configuration that decides its rows."""

    pairs: Mode = "all"
    """all: every two responses; adjacent: neighbours in the order of scores; best-worst: its two ends."""
    prior: str = "0.5"
    """Votes added to each side, as a decimal; 0 or more."""
    sources: tuple[Literal["human", "model", "rule"], ...] = ("human",)
    criterion: str | None = None
    """The criterion whose ratings imply a preference; None leaves ratings out."""
    margin: int = 1
    """Points of the scale by which one must be rated higher to be better; closer ratings are a tie."""
    seed: int = 0
    splits: tuple[int, ...] = (90, 5, 5)
    """Shares of train, validation and test; whole prompts go to one of them."""

    @property
    def method(self) -> str:
        """What made a pair, in words that its id covers."""
        rated = f"; ratings of {self.criterion} by {self.margin} or more" if self.criterion else ""
        who = ",".join(self.sources)
        return f"p=(wins+ties/2+a)/(n+2a), a={self.prior}; pairs={self.pairs}; sources={who}{rated}"


class LeftOut(NamedTuple):
    """Responses of a task that gave no pair, and why."""

    task_id: str
    response_ids: list[str]
    reason: str


class Unused(NamedTuple):
    """A judgment that was not counted, and why."""

    judgment_id: str
    task_id: str
    reason: str


class Stored(NamedTuple):
    """A judgment as the store keeps it: with whether it counts (`counted`, `surplus`, `returned`)."""

    state: str
    judgment: Judgment


class Vote(NamedTuple):
    """What one judgment says of two responses: how many units of a vote the first has, and if it is a tie."""

    first: int
    tie: bool


Votes = dict[tuple[str, str], Vote]
"""What one judgment says of every two responses it compares, both ways round."""


def make_rules(**given: Any) -> Rules:
    """Rules from flags or from a manifest, checked.

    Raises:
        BadInput: a value out of range, a source nobody knows, no share above zero.
    """
    for word in given.get("sources", []):
        if word not in KINDS:
            raise BadInput(f"--sources: '{word}' is none of {', '.join(KINDS)}{nearest(str(word), KINDS)}")
    try:
        rules = Rules.model_validate(given)
    except ValueError as error:
        from data.jsonl import explain

        raise BadInput(f"the export's rules: {explain(error)}") from None
    if not _PRIOR.fullmatch(rules.prior):
        raise BadInput(f"--prior: '{rules.prior}' is no number of votes; write one from 0 to 999, such as 0.5")
    if rules.margin < 1:
        raise BadInput(f"--margin: {rules.margin} is below 1 point of the scale")
    if not 0 <= rules.seed < 2**63:
        raise BadInput(f"--seed: {rules.seed} is not within 0 to 2^63 - 1")
    if len(rules.splits) != 3 or min(rules.splits) < 0 or not 0 < sum(rules.splits) <= 1_000_000:
        raise BadInput("--splits: give three whole shares (train, validation, test), such as 90,5,5")
    if not rules.sources:
        raise BadInput(f"--sources: name at least one of {', '.join(KINDS)}")
    ordered = tuple(word for word in KINDS if word in rules.sources)
    prior = format(Decimal(rules.prior).normalize(), "f")  # one spelling: .5 and 0.50 give the same ids
    return rules.model_copy(update={"sources": ordered, "prior": prior})


def usable(stored: Iterable[Stored], rules: Rules) -> tuple[list[Judgment], list[Unused]]:
    """The judgments of one task that count under these rules, by id; and the others, with the reason."""
    rows = sorted(stored, key=lambda row: row.judgment.id)
    replaced = {row.judgment.supersedes for row in rows if row.state != "surplus"}
    kinds = {KINDS[word] for word in rules.sources}
    kept, unused = [], []
    for state, j in rows:
        reason = ""
        if state == "surplus":
            reason = "surplus: submitted when the task had all its judgments"
        elif j.id in replaced:
            reason = "superseded by the same annotator"
        elif j.verdict == "cannot_judge" or state == "returned":
            reason = "cannot judge"
        elif j.purpose not in ("label", "import"):
            reason = f"purpose {j.purpose}"
        elif j.annotator_kind not in kinds:
            reason = f"by a {j.annotator_kind}"
        if reason:
            unused.append(Unused(j.id, j.task_id, reason))
        else:
            kept.append(j)
    return kept, unused


def pairs_of(task: Task, judgments: Sequence[Judgment], rules: Rules) -> tuple[list[PreferencePair], list[LeftOut]]:
    """The pairs of one task by pair id, and what was left out.

    Args:
        judgments: those of this task that count (see `usable`), in any order.
    """
    everything = [r.id for r in task.responses]
    if not judgments:
        return [], [LeftOut(task.id, everything, "no judgments")]
    judgments = sorted(judgments, key=lambda j: j.id)
    bad = sum(j.verdict == "all_bad" for j in judgments)
    if 2 * bad > len(judgments):
        return [], [LeftOut(task.id, everything, "all bad, says the majority")]
    unit = _unit(judgments)
    ballots = [(j, _votes(j, rules, set(everything), unit)) for j in judgments]
    if not any(votes for _, votes in ballots):
        return [], [LeftOut(task.id, everything, _silence(task, judgments, rules))]
    scores = _scores(everything, [votes for _, votes in ballots], unit, Fraction(rules.prior))
    asked = _selected(everything, scores, rules.pairs)
    spread = [sum(two in votes for two in asked) for _, votes in ballots]
    pairs, left_out = [], []
    for two in asked:
        said = [(j, votes[two], n) for (j, votes), n in zip(ballots, spread, strict=True) if two in votes]
        made = _pair(task, two, said, scores, unit, rules)
        if isinstance(made, str):
            left_out.append(LeftOut(task.id, list(two), made))
        else:
            pairs.append(made)
    return sorted(pairs, key=lambda pair: pair.id), left_out


def _unit(judgments: Sequence[Judgment]) -> int:
    """How many units a vote of this task has, so that half a vote and every soft label are whole numbers."""
    soft = {_as_written(j.probability).denominator for j in judgments if j.probability is not None}
    return 2 * lcm(*soft)


def _as_written(probability: float) -> Fraction:
    """A soft label as its decimal says: 0.7 is 7/10, so 0.7 and 0.3 make a tie."""
    return Fraction(repr(probability))


def _votes(j: Judgment, rules: Rules, known: set[str], unit: int) -> Votes:
    """What a judgment says of every two of the known responses."""
    found: Votes = {}
    for a, b, first in _comparisons(j, rules, unit):
        if a in known and b in known:
            tie = 2 * first == unit and j.probability is None
            found[a, b], found[b, a] = Vote(first, tie), Vote(unit - first, tie)
    return found


def _comparisons(j: Judgment, rules: Rules, unit: int) -> Iterator[tuple[str, str, int]]:
    """Each two responses a judgment compares, and how many units of its vote the first of them gets."""
    if j.verdict != "answered" or (j.ranking is None and j.choice is not None and len(j.shown) != 2):
        return
    tiers = j.tiers()
    if j.probability is not None and j.ranking is None and len(j.shown) == 2:
        yield j.shown[0], j.shown[1], int(_as_written(j.probability) * unit)
    elif tiers is not None:
        place = {r: n for n, tier in enumerate(tiers) for r in tier}
        for a, b in combinations(place, 2):
            yield a, b, _share(place[b] - place[a], 1, unit)
    elif rules.criterion is not None:
        rated = {r: points[rules.criterion] for r, points in j.ratings.items() if rules.criterion in points}
        for a, b in combinations(rated, 2):
            yield a, b, _share(rated[a] - rated[b], rules.margin, unit)


def _share(lead: int, margin: int, unit: int) -> int:
    """The whole vote when the first leads by the margin, nothing when the second does, else half."""
    return unit if lead >= margin else 0 if -lead >= margin else unit // 2


def _silence(task: Task, judgments: Sequence[Judgment], rules: Rules) -> str:
    """Why judgments that count compare nothing."""
    if any(j.verdict == "answered" and j.ratings for j in judgments):
        if rules.criterion is None:
            return "ratings only; --criterion names one to compare by"
        return f"no two responses were rated on {rules.criterion}"
    return "no two responses were compared"


def _scores(ids: Sequence[str], ballots: Sequence[Votes], unit: int, prior: Fraction) -> dict[str, Fraction]:
    """Share of its comparisons that each response won, a tie counting half, with the prior on both sides."""
    won, met = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for votes in ballots:
        for (a, _), vote in votes.items():
            won[a] += vote.first
            met[a] += 1
    return {r: _share_won(won[r], met[r], unit, prior) if met[r] else Fraction(1, 2) for r in ids}


def _share_won(won: int, n: int, unit: int, prior: Fraction) -> Fraction:
    """(wins + ties/2 + a) / (n + 2a), `won` in units."""
    a, whole = prior.numerator, prior.denominator
    return Fraction(won * whole + a * unit, unit * (n * whole + 2 * a))


def _selected(ids: Sequence[str], scores: dict[str, Fraction], mode: Mode) -> list[tuple[str, str]]:
    """The two-response sets a mode asks for, each in the order in which the task lists them.

    Equal scores share a tier. adjacent: within a tier and between neighbouring tiers;
    best-worst: between the first tier and the last, or within the only one.
    """
    tiers = sorted(set(scores.values()), reverse=True)
    tier = {r: tiers.index(scores[r]) for r in ids}
    if mode == "all":
        return list(combinations(ids, 2))
    if mode == "adjacent":
        return [(a, b) for a, b in combinations(ids, 2) if abs(tier[a] - tier[b]) <= 1]
    return [(a, b) for a, b in combinations(ids, 2) if {tier[a], tier[b]} == {0, len(tiers) - 1}]


def _pair(
    task: Task,
    two: tuple[str, str],
    said: Sequence[tuple[Judgment, Vote, int]],
    scores: dict[str, Fraction],
    unit: int,
    rules: Rules,
) -> PreferencePair | str:
    """The pair of these two responses, or why there is none.

    `said` has each judgment that compared them, its vote, and over how many pairs it spreads.
    """
    if not said:
        return "nobody compared them"
    by_id = {r.id: r.messages for r in task.responses}
    if by_id[two[0]] == by_id[two[1]]:
        return "identical texts"
    n, won = len(said), sum(vote.first for _, vote, _ in said)
    prior = Fraction(rules.prior)
    probability = float(_share_won(won, n, unit, prior))
    if probability == 0.5:  # or nearer to it than a double can say
        return "tie"
    better, worse = two
    if probability < 0.5:
        better, worse, won = worse, better, n * unit - won
        probability = float(_share_won(won, n, unit, prior))
    ties = sum(vote.tie for _, vote, _ in said)
    parts = lcm(*(spread for _, _, spread in said))
    cluster = task.prompt.id
    return PreferencePair(
        id=pair_id(task.id, better, worse, rules.method),
        prompt_id=task.prompt.id,
        chosen_id=better,
        rejected_id=worse,
        task_id=task.id,
        prompt=task.prompt.messages,
        chosen=by_id[better],
        rejected=by_id[worse],
        probability=probability,
        weight=sum(parts // spread for _, _, spread in said) / parts,
        score_chosen=float(scores[better]),
        score_rejected=float(scores[worse]),
        votes={
            "chosen": (2 * won - ties * unit) / (2 * unit),
            "rejected": (2 * (n * unit - won) - ties * unit) / (2 * unit),
            "tie": float(ties),
        },
        judgment_ids=sorted(j.id for j, _, _ in said),
        agreement=won / (n * unit),
        source=_source({j.annotator_kind for j, _, _ in said}),
        cluster=cluster,
        split=split_of(cluster, rules.seed, rules.splits),
        language=task.language or task.prompt.language,
        tags=task.prompt.tags,
        licence=task.prompt.licence,
        guideline_versions=sorted({j.guideline_version for j, _, _ in said if j.guideline_version}),
        method=rules.method,
    )


def _source(kinds: set[AnnotatorKind]) -> Source:
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
