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
from datetime import UTC, datetime
from math import lcm
from typing import Any, Literal, NamedTuple, get_args

from curate.ballots import Poll, Two, mostly_bad, poll, silence
from curate.ballots import Stored as Stored
from curate.ballots import Unused as Unused
from curate.ballots import usable as usable
from curate.rules import KINDS as KINDS
from curate.rules import Rules as Rules
from curate.rules import make_rules as make_rules
from curate.weighing import selected, shares_won, too_weak, weigh
from data.errors import BadInput
from data.records import AnnotatorKind, Judgment, Message, PreferencePair, Task, content_id, pair_id

Split = Literal["train", "validation", "test"]
Source = Literal["human", "model", "both", "rule"]


PlainPair = dict[str, Any]
"""A PreferencePair as JSON types, every column there; a message is role and content, and what else it has."""
LAST = 2**63 - 1
"""What stands for a time that nobody knows: it comes after all others."""


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


class Compared(NamedTuple):
    """Two responses of a task and what its judgments say of them, counted; or why they can give no pair."""

    first: str
    second: str
    why: str
    """Why there can be no pair; empty where there can."""
    won: int = 0
    """Units of voices that the first has."""
    ties: int = 0
    """Units of voices that called a tie."""
    voices: int = 0
    annotators: int = 0
    """How many compared the two."""
    weight: float = 0.0
    judgment_ids: Sequence[str] = ()
    source: Source = "human"
    guideline_versions: Sequence[str] = ()
    judged: int = LAST
    """Milliseconds since 1970 of the first of the judgments; LAST where none says when, or nobody asks."""


class Summed(NamedTuple):
    """What the judgments of a task come to, before a model is asked: plain values, to be kept on disk in millions."""

    task_id: str
    prompt: dict[str, Any]
    """Its id, messages, tools, language (of the task), tags and licence."""
    texts: dict[str, list[dict[str, Any]]]
    """Messages of each response that is compared."""
    scores: dict[str, float]
    """Share of its comparisons that each response won."""
    unit: int
    whole: int
    compared: Sequence[Compared]
    left_out: Sequence[LeftOut]


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
    pairs, left_out = settle(sum_up(task, judgments, rules, gone), rules, belief)
    for pair in pairs:
        pair["split"] = split_of(pair["cluster"], rules.seed, rules.splits)
    return [PreferencePair.model_validate(pair) for pair in pairs], left_out


def sum_up(task: Task, judgments: Sequence[Judgment], rules: Rules, gone: Collection[str] = ()) -> Summed:
    """Count what the judgments of one task say; the arguments are those of `pairs_of`."""
    everything = [r.id for r in task.responses if r.id not in gone]
    none = Summed(task.id, {}, {}, {}, 1, 1, (), ())
    if len(everything) < 2:
        return none._replace(left_out=[LeftOut(task.id, everything, "no other response is left")] if everything else [])
    if not judgments:
        return none._replace(left_out=[LeftOut(task.id, everything, "no judgments")])
    said = poll(judgments, rules, everything)
    if mostly_bad(said):
        return none._replace(left_out=[LeftOut(task.id, everything, "all bad, says the majority")])
    if not any(ballot.votes for ballot in said.ballots):
        return none._replace(left_out=[LeftOut(task.id, everything, silence(said, rules))])
    scores = shares_won(everything, said, rules.prior)
    asked = selected(everything, scores, rules.pairs)
    spread = [sum(two in ballot.votes for two in asked) for ballot in said.ballots]
    texts = {r.id: plain_messages(r.messages) for r in task.responses if r.id not in gone}
    prompt = {
        "id": task.prompt.id,
        "messages": plain_messages(task.prompt.messages),
        "tools": task.prompt.tools,
        "language": task.language or task.prompt.language,
        "tags": task.prompt.tags,
        "licence": task.prompt.licence,
    }
    compared = [_compared(two, said, spread, texts, rules) for two in asked]
    return Summed(task.id, prompt, texts, {r: float(s) for r, s in scores.items()}, said.unit, said.whole, compared, ())


def _compared(
    two: Two, said: Poll, spread: Sequence[int], texts: Mapping[str, list[dict[str, Any]]], rules: Rules
) -> Compared:
    """What the ballots say of two responses; `spread` has over how many pairs each of them goes."""
    heard = [(ballot, n) for ballot, n in zip(said.ballots, spread, strict=True) if two in ballot.votes]
    if not heard:
        return Compared(*two, "nobody compared them")
    if texts[two[0]] == texts[two[1]]:
        return Compared(*two, "identical texts")
    if len(heard) < rules.min_votes:
        return Compared(*two, f"fewer than {rules.min_votes} votes")
    n = won = ties = 0
    for ballot, _ in heard:
        vote = ballot.votes[two]
        n += ballot.voice
        won += vote.first * ballot.voice
        ties += vote.tie * ballot.voice
    parts = lcm(*(spread for _, spread in heard))
    judgments = [part.judgment for ballot, _ in heard for part in ballot.parts if two in part.votes]
    return Compared(
        *two,
        "",
        won,
        ties,
        n,
        len(heard),
        sum(parts // spread * ballot.voice for ballot, spread in heard) / (parts * said.whole),
        sorted(j.id for j in judgments),
        source_of({j.annotator_kind for j in judgments}),
        sorted({j.guideline_version for j in judgments if j.guideline_version}),
        LAST if rules.dedup == "none" else min(milliseconds(j.submitted_at) for j in judgments),
    )


def settle(summed: Summed, rules: Rules, belief: Belief | None = None) -> tuple[list[PlainPair], list[LeftOut]]:
    """The pairs that sums come to, by pair id, as plain values; and what was left out.

    A pair has no split yet, and its prompt for a cluster: that is decided over all (curate/decisions.py).
    """
    scores: Mapping[str, float] = summed.scores if belief is None else belief.score
    pairs, left_out = [], list(summed.left_out)
    for one in summed.compared:
        made = one.why or _pair(summed, one, scores, rules, belief)
        if isinstance(made, str):
            left_out.append(LeftOut(summed.task_id, [one.first, one.second], made))
        else:
            pairs.append(made)
    return sorted(pairs, key=lambda pair: str(pair["id"])), left_out


def _pair(
    summed: Summed, one: Compared, scores: Mapping[str, float], rules: Rules, belief: Belief | None
) -> PlainPair | str:
    """The pair of two responses, or why there is none."""
    believed = None if belief is None else belief.probability.get((one.first, one.second))
    if belief is not None and believed is None:
        raise BadInput(f"task {summed.task_id}: no belief about two responses that were compared; export again")
    weighed = weigh(one.won, one.voices, one.ties, summed.unit, summed.whole, rules.prior, believed)
    if weighed is None:
        return "tie"
    if reason := too_weak(weighed, rules):
        return reason
    better, worse = (one.second, one.first) if weighed.turned else (one.first, one.second)
    prompt = summed.prompt
    return {
        "id": pair_id(summed.task_id, better, worse, rules.method),
        "prompt_id": prompt["id"],
        "chosen_id": better,
        "rejected_id": worse,
        "task_id": summed.task_id,
        "prompt": prompt["messages"],
        "chosen": summed.texts[better],
        "rejected": summed.texts[worse],
        "tools": prompt["tools"],
        "probability": weighed.probability,
        "weight": one.weight,
        "score_chosen": scores[better],
        "score_rejected": scores[worse],
        "votes": weighed.votes,
        "judgment_ids": one.judgment_ids,
        "agreement": float(weighed.agreement),
        "source": one.source,
        "cluster": prompt["id"],
        "split": "",
        "language": prompt["language"],
        "tags": prompt["tags"],
        "licence": prompt["licence"],
        "guideline_versions": one.guideline_versions,
        "method": rules.method,
    }


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


def plain_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as JSON types: role and content; tool calls and a name only where a message has them."""
    made = []
    for m in messages:
        plain: dict[str, Any] = {"role": m.role, "content": m.content}
        if m.tool_calls is not None:
            plain["tool_calls"] = m.tool_calls
        if m.name is not None:
            plain["name"] = m.name
        made.append(plain)
    return made


def milliseconds(time: Any) -> int:
    """A time in ISO 8601 as milliseconds since 1970; LAST where it is none."""
    try:
        read = datetime.fromisoformat(str(time))
    except ValueError:
        return LAST
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
