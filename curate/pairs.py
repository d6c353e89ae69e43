"""From one task and its judgments to preference pairs; pure arithmetic, exact to the last bit.

For two responses of a task, n judgments compared them: p = (wins + ties/2 + a) / (n + 2a)
is the probability that the first is better, with the prior a (default ½), so three votes to
none is not certainty. A soft label counts as so much of a vote; a source may count as more or
less than a vote (`Rules.weights`). A response left unplaced says nothing. Sums are whole
numbers (a vote is so many of a task's `unit`) and become a double once, at the end, correctly
rounded: neither the order of the judgments nor the machine changes a byte.

A judgment is one piece of evidence however many pairs it implies: the weights of its pairs
sum to its source's weight. What is left out is left out with a reason.

Not here: whose judgment is worth more, and models over many tasks. Nor is `strength` used.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import Literal, NamedTuple, get_args

from curate.rules import KINDS as KINDS
from curate.rules import Mode, Voices, voices
from curate.rules import Rules as Rules
from curate.rules import make_rules as make_rules
from data.records import AnnotatorKind, Judgment, PreferencePair, Task, content_id, pair_id

Split = Literal["train", "validation", "test"]
Source = Literal["human", "model", "both", "rule"]


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


class Ballot(NamedTuple):
    """A judgment, what it says, and how much its voice counts (a whole vote is `Voices.whole`)."""

    judgment: Judgment
    votes: Votes
    voice: int


class Scale(NamedTuple):
    """What whole numbers mean in a task: the units of one vote, what a vote is as a voice, and the prior."""

    unit: int
    whole: int
    prior: Fraction

    def share(self, won: int, n: int) -> Fraction:
        """(wins + ties/2 + a) / (n + 2a): `won` in units of voices, `n` the voices."""
        a, d = self.prior.numerator, self.prior.denominator
        return Fraction(won * d + a * self.unit * self.whole, self.unit * (n * d + 2 * a * self.whole))


def usable(
    stored: Iterable[Stored], rules: Rules, reasons: Mapping[str, str] | None = None
) -> tuple[list[Judgment], list[Unused]]:
    """The judgments of one task that count under these rules, by id; and the others, with the reason.

    A judgment that superseded another and was then retracted does not bring the former back.

    Args:
        reasons: why each retracted record was (see curate/retracted.py).
    """
    rows = sorted(stored, key=lambda row: row.judgment.id)
    replaced = {row.judgment.supersedes for row in rows if row.state != "surplus"}
    kinds = {KINDS[word] for word in rules.sources}
    kept, unused = [], []
    for state, j in rows:
        reason = ""
        if reasons and j.id in reasons:
            reason = f"judgment retracted: {reasons[j.id]}"
        elif state == "surplus":
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


def pairs_of(
    task: Task, judgments: Sequence[Judgment], rules: Rules, gone: Collection[str] = ()
) -> tuple[list[PreferencePair], list[LeftOut]]:
    """The pairs of one task by pair id, and what was left out.

    Args:
        judgments: those of this task that count (see `usable`), in any order.
        gone: ids of responses that are as if they had never been there (see curate/retracted.py).
    """
    everything = [r.id for r in task.responses if r.id not in gone]
    if len(everything) < 2:
        return [], [LeftOut(task.id, everything, "no other response is left")] if everything else []
    if not judgments:
        return [], [LeftOut(task.id, everything, "no judgments")]
    judgments = sorted(judgments, key=lambda j: j.id)
    loud = voices(rules)
    if _mostly_bad(judgments, loud):
        return [], [LeftOut(task.id, everything, "all bad, says the majority")]
    scale = Scale(_unit(judgments), loud.whole, Fraction(rules.prior))
    known = set(everything)
    ballots = [Ballot(j, _votes(j, rules, known, scale.unit), loud.of[j.annotator_kind]) for j in judgments]
    if not any(ballot.votes for ballot in ballots):
        return [], [LeftOut(task.id, everything, _silence(judgments, rules))]
    scores = _scores(everything, ballots, scale)
    asked = _selected(everything, scores, rules.pairs)
    spread = [sum(two in ballot.votes for two in asked) for ballot in ballots]
    pairs, left_out = [], []
    for two in asked:
        said = [(ballot, n) for ballot, n in zip(ballots, spread, strict=True) if two in ballot.votes]
        made = _pair(task, two, said, scores, scale, rules)
        if isinstance(made, str):
            left_out.append(LeftOut(task.id, list(two), made))
        else:
            pairs.append(made)
    return sorted(pairs, key=lambda pair: pair.id), left_out


def _mostly_bad(judgments: Sequence[Judgment], loud: Voices) -> bool:
    """Whether more than half of the voices call every response bad."""
    bad = sum(loud.of[j.annotator_kind] for j in judgments if j.verdict == "all_bad")
    return 2 * bad > sum(loud.of[j.annotator_kind] for j in judgments)


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


def _silence(judgments: Sequence[Judgment], rules: Rules) -> str:
    """Why judgments that count compare nothing."""
    if any(j.verdict == "answered" and j.ratings for j in judgments):
        if rules.criterion is None:
            return "ratings only; --criterion names one to compare by"
        return f"no two responses were rated on {rules.criterion}"
    return "no two responses were compared"


def _scores(ids: Sequence[str], ballots: Sequence[Ballot], scale: Scale) -> dict[str, Fraction]:
    """Share of its comparisons that each response won, a tie counting half, with the prior on both sides."""
    won, met = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for ballot in ballots:
        for (a, _), vote in ballot.votes.items():
            won[a] += vote.first * ballot.voice
            met[a] += ballot.voice
    return {r: scale.share(won[r], met[r]) if met[r] else Fraction(1, 2) for r in ids}


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
    said: Sequence[tuple[Ballot, int]],
    scores: dict[str, Fraction],
    scale: Scale,
    rules: Rules,
) -> PreferencePair | str:
    """The pair of these two responses, or why there is none.

    `said` has each judgment that compared them, and over how many pairs it spreads.
    """
    if not said:
        return "nobody compared them"
    by_id = {r.id: r.messages for r in task.responses}
    if by_id[two[0]] == by_id[two[1]]:
        return "identical texts"
    unit, whole = scale.unit, scale.whole
    n = sum(ballot.voice for ballot, _ in said)
    won = sum(ballot.votes[two].first * ballot.voice for ballot, _ in said)
    exact = scale.share(won, n)
    if float(exact) == 0.5:  # or nearer to it than a double can say
        return "tie"
    better, worse = two
    if exact < Fraction(1, 2):
        better, worse, won = worse, better, n * unit - won
        exact = scale.share(won, n)
    if reason := _too_weak(len(said), exact, Fraction(won, n * unit), rules):
        return reason
    ties = sum(ballot.votes[two].tie * ballot.voice for ballot, _ in said)
    parts = lcm(*(spread for _, spread in said))
    kinds = {ballot.judgment.annotator_kind for ballot, _ in said}
    versions = {ballot.judgment.guideline_version for ballot, _ in said}
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
        tools=task.prompt.tools,
        probability=float(exact),
        weight=sum(parts // spread * ballot.voice for ballot, spread in said) / (parts * whole),
        score_chosen=float(scores[better]),
        score_rejected=float(scores[worse]),
        votes={
            "chosen": (2 * won - ties * unit) / (2 * unit * whole),
            "rejected": (2 * (n * unit - won) - ties * unit) / (2 * unit * whole),
            "tie": ties / whole,
        },
        judgment_ids=sorted(ballot.judgment.id for ballot, _ in said),
        agreement=won / (n * unit),
        source=source_of(kinds),
        cluster=cluster,
        split=split_of(cluster, rules.seed, rules.splits),
        language=task.language or task.prompt.language,
        tags=task.prompt.tags,
        licence=task.prompt.licence,
        guideline_versions=sorted(version for version in versions if version),
        method=rules.method,
    )


def _too_weak(votes: int, probability: Fraction, agreement: Fraction, rules: Rules) -> str:
    """Why a pair falls short of what the rules ask for; empty when it does not."""
    if votes < rules.min_votes:
        return f"fewer than {rules.min_votes} votes"
    if rules.min_probability != "0.5" and probability < Fraction(rules.min_probability):
        return f"probability below {rules.min_probability}"
    if rules.min_agreement != "0" and agreement < Fraction(rules.min_agreement):
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
