"""What the judgments of one task say of its responses: whole-number votes, one ballot for each annotator.

A judgment that counts compares two responses, prefers one, calls a tie, or (a soft label) gives each a
part. Several judgments of one annotator on the same two responses (a model judge gives one for each
order, principle and sample) share one vote, so that asking often outweighs nobody. A vote is so many
units of its task, chosen so that half a vote, every soft label and every shared vote are whole numbers:
sums are exact, and no order of judgments changes them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import NamedTuple

from curate.rules import KINDS, Rules, voices
from data.records import AnnotatorKind, Judgment

Two = tuple[str, str]
"""Ids of two responses."""


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
    """What is said of two responses, in units: how many the first has, and how many called a tie."""

    first: int
    tie: int


Votes = dict[Two, Vote]
"""What is said of every two responses compared, both ways round."""


class Part(NamedTuple):
    """One judgment and what it alone says."""

    judgment: Judgment
    votes: Votes


class Ballot(NamedTuple):
    """All that one annotator says of a task, and how much the voice counts (a whole vote is `Poll.whole`)."""

    parts: tuple[Part, ...]
    votes: Votes
    voice: int

    def ids(self, two: Two) -> list[str]:
        """The judgments that compared these two."""
        return [part.judgment.id for part in self.parts if two in part.votes]


class Poll(NamedTuple):
    """The ballots of a task, and what their whole numbers mean."""

    ballots: list[Ballot]
    unit: int
    """Units of one vote."""
    whole: int
    """What one vote is as a voice."""


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


def poll(judgments: Sequence[Judgment], rules: Rules, known: Collection[str]) -> Poll:
    """The ballots of one task's judgments that count, in the order of their judgments' ids.

    Args:
        judgments: those of one task that count (see `usable`), in any order.
        known: ids of the responses that are there.
    """
    loud = voices(rules)
    own: dict[tuple[str, AnnotatorKind], list[Judgment]] = {}
    for j in sorted(judgments, key=lambda j: j.id):
        own.setdefault((j.annotator, j.annotator_kind), []).append(j)
    unit = 2 * lcm(*{_as_written(j.probability).denominator for j in judgments if j.probability is not None})
    if len(own) < len(judgments):  # so that each of up to so many judgments can be a whole part of a vote
        unit *= lcm(*range(1, max(map(len, own.values())) + 1))
    ballots = []
    for (_, kind), several in own.items():
        parts = tuple([Part(j, _votes(j, rules, known, unit)) for j in several])
        ballots.append(Ballot(parts, parts[0].votes if len(parts) == 1 else _together(parts), loud.of[kind]))
    return Poll(ballots, unit, loud.whole)


def mostly_bad(poll: Poll) -> bool:
    """Whether more than half of the voices call every response bad; of several judgments each is a part of one."""
    if not any(part.judgment.verdict == "all_bad" for ballot in poll.ballots for part in ballot.parts):
        return False
    bad = voice = Fraction(0)
    for ballot in poll.ballots:
        said = sum(part.judgment.verdict == "all_bad" for part in ballot.parts)
        bad += Fraction(ballot.voice * said, len(ballot.parts)) if said else 0
        voice += ballot.voice
    return 2 * bad > voice


def silence(poll: Poll, rules: Rules) -> str:
    """Why ballots compare nothing."""
    judgments = [part.judgment for ballot in poll.ballots for part in ballot.parts]
    if any(j.verdict == "answered" and j.ratings for j in judgments):
        if rules.criterion is None:
            return "ratings only; --criterion names one to compare by"
        return f"no two responses were rated on {rules.criterion}"
    return "no two responses were compared"


def _together(parts: Sequence[Part]) -> Votes:
    """The mean of what an annotator's judgments say of every two responses; the unit divides by their number."""
    said: dict[Two, list[Vote]] = {}
    for part in parts:
        for two, vote in part.votes.items():
            said.setdefault(two, []).append(vote)
    return {
        two: Vote(sum(v.first for v in votes) // len(votes), sum(v.tie for v in votes) // len(votes))
        for two, votes in said.items()
    }


def _as_written(probability: float) -> Fraction:
    """A soft label as its decimal says: 0.7 is 7/10, so 0.7 and 0.3 make a tie."""
    return Fraction(repr(probability))


def _votes(j: Judgment, rules: Rules, known: Collection[str], unit: int) -> Votes:
    """What a judgment says of every two of the known responses."""
    if j.choice is not None and j.ranking is None and j.probability is None and j.verdict == "answered":
        if len(j.shown) != 2 or not (j.shown[0] in known and j.shown[1] in known):
            return {}
        a, b = j.shown  # by far the most common judgment, without what the others need
        won = unit // 2 if j.choice == "tie" else unit if j.choice == "A" else 0
        tie = unit if j.choice == "tie" else 0
        return {(a, b): Vote(won, tie), (b, a): Vote(unit - won, tie)}
    found: Votes = {}
    for a, b, first in _comparisons(j, rules, unit):
        if a in known and b in known:
            tie = unit if 2 * first == unit and j.probability is None else 0
            found[a, b], found[b, a] = Vote(first, tie), Vote(unit - first, tie)
    return found


def _comparisons(j: Judgment, rules: Rules, unit: int) -> Iterator[tuple[str, str, int]]:
    """Each two responses a judgment compares, and how many units of its vote the first of them gets."""
    if j.verdict != "answered" or (j.ranking is None and j.choice is not None and len(j.shown) != 2):
        return
    if j.probability is not None and j.ranking is None and len(j.shown) == 2:
        yield j.shown[0], j.shown[1], int(_as_written(j.probability) * unit)
    elif (tiers := j.tiers()) is not None:
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
