"""What a model over all tasks believes of each pair and response, for an export that does not just count votes.

    audit/beliefs.jsonl   a line a task: the probability of each two responses compared, the score of each response

Dawid and Skene weigh each annotator's word by how often it is right (coded by the side shown, so that a
leaning to one side is weighed too); Plackett and Luce give each response of a task a strength, whose
differences are margins. Numbers are kept to 6 decimals: they come out of sums of many doubles, which two
machines may end differently, so rows follow from the file, and the file is proved by making it again.
"""

from collections.abc import Iterable, Iterator
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.pairs import Belief
from curate.rules import KINDS, Rules, voices
from data.errors import BadInput
from data.jsonl import read_lines

if TYPE_CHECKING:
    from curate.engine import Connection
    from curate.skill import Verdicts

FILE = "audit/beliefs.jsonl"
CLOSE = 2e-6
"""By how much two machines may differ."""
_DIGITS = 6


class Believed(NamedTuple):
    """The model's beliefs, task by task in the order of their ids, and what is known of the annotators."""

    rows: list[dict[str, Any]]
    verdicts: "Verdicts"
    annotators: list[str]
    kinds: list[str]
    cast: int
    """What curate.casting.cast_ballots returned, for the criterion of the rules."""


def believe(con: "Connection", project: str, rules: Rules) -> Believed | None:
    """Fit the model of `rules.aggregate` to the tables of curate/frames.py; None where no two are compared."""
    from curate.casting import ballots, cast_ballots
    from curate.skill import judge_pairs
    from curate.votes import choices_of, pair_votes
    from data.rankings import plackett_luce

    most = cast_ballots(con, project, rules.criterion)
    cast = ballots(con, most, [KINDS[word] for word in rules.sources])
    voice = _voice(cast.kinds, rules)
    pairs, votes = pair_votes(cast, voice)
    if not pairs.first:
        return None
    found = judge_pairs(
        votes,
        len(pairs.first),
        model="one-coin" if rules.aggregate == "one-coin" else "full",
        prior=float(rules.prior),
        smoothing=float(rules.smoothing),
    )
    choices = choices_of(cast, voice)
    worths = plackett_luce(
        choices.sizes, choices.task, choices.available, choices.chosen, choices.weight, prior=float(rules.prior)
    )
    rows: dict[str, dict[str, Any]] = {task: {"task_id": task, "pairs": [], "scores": {}} for task in cast.tasks}
    start, strength = cast.start.tolist(), worths.strength.tolist()
    for task, begin, end in zip(cast.tasks, start[:-1], start[1:], strict=True):
        rows[task]["scores"] = dict(zip(cast.responses[begin:end], map(_rounded, strength[begin:end]), strict=True))
    for task, a, b, p in zip(pairs.group, pairs.first, pairs.second, found.model.tolist(), strict=True):
        if rules.aggregate == "plackett-luce":
            p = 1 / (1 + exp(rows[task]["scores"][b] - rows[task]["scores"][a]))
        rows[task]["pairs"].append({"first": a, "second": b, "probability": _rounded(p)})
    return Believed([rows[task] for task in sorted(rows)], found, cast.annotators, cast.kinds, most)


def _voice(kinds: list[str], rules: Rules) -> Any:
    """How many votes one judgment of each annotator is."""
    import numpy as np

    loud = voices(rules)
    of = {str(kind): voice / loud.whole for kind, voice in loud.of.items()}
    return np.array([of[kind] for kind in kinds])


def _rounded(value: float) -> float:
    return round(value, _DIGITS) + 0.0  # no negative zero


def parted(rows: list[dict[str, Any]], lasts: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    """The beliefs about blocks of tasks, given the id of the last task of each."""
    at = 0
    for last in lasts:
        end = at
        while end < len(rows) and rows[end]["task_id"] <= last:
            end += 1
        yield rows[at:end]
        at = end


def read_beliefs(folder: Path) -> list[dict[str, Any]]:
    """The beliefs that a folder keeps.

    Raises:
        BadInput: a line is none.
    """
    rows = []
    for line in read_lines(folder / FILE):
        try:
            belief_of(line.value)
            rows.append({**line.value, "task_id": str(line.value["task_id"])})
        except (KeyError, TypeError, AttributeError, ValueError):
            raise BadInput(f"{FILE}, line {line.number}: no belief; export again") from None
    return rows


def belief_of(row: dict[str, Any]) -> Belief:
    """A line of the file as what it says, both ways round."""
    probability = {}
    for one in row["pairs"]:
        first, second, p = str(one["first"]), str(one["second"]), float(one["probability"])
        probability[first, second] = p
        probability[second, first] = _rounded(1 - p)
    return Belief(probability, {str(k): float(v) for k, v in row["scores"].items()})


def unlike(kept: Iterable[dict[str, Any]], made: Iterable[dict[str, Any]]) -> str:
    """How beliefs made again differ from those kept, told of the first that does; empty when none does."""
    then, now = ({row["task_id"]: row for row in rows} for rows in (kept, made))
    for task in sorted(then.keys() | now.keys()):
        if task not in then or task not in now:
            return f"{FILE}: task {task} is {'missing' if task in now else 'none of the tasks that were compared'}"
        a, b = belief_of(then[task]), belief_of(now[task])
        for mine, theirs in ((a.probability, b.probability), (a.score, b.score)):
            if mine.keys() != theirs.keys() or any(abs(mine[k] - theirs[k]) > CLOSE for k in mine):  # type: ignore[index]
                return f"{FILE}: task {task}: not what the judgments give"
    return ""
