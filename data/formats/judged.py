"""Judgments that came inside a row of tasks: who answered it, and how.

In a row of the short layout they are by people and short:

    {"annotator": "sim-03", "shown": [2, 1], "choice": "A", "strength": 2,
     "active_seconds": 12.5, "submitted_at": "2026-01-05T10:00:00Z"}

Positions count from 1 in the order of the row's responses. A is the first of `shown`.

Beside a whole Task they are whole Judgment records, by people, models or rules; each must hash to its
id and answer this task. A project that takes them in gives them ids of its own, for there the task
has another; the id they came with makes their token, by which the same judgment is known again.
"""

from typing import Any

from data.errors import BadInput
from data.formats.parts import in_words, known_keys, optional_int, optional_text
from data.formats.rows import Vote
from data.jsonl import explain
from data.records import Judgment, Response, Task, judgment_id

KEYS = ("annotator", "shown", "choice", "strength", "ranking", "active_seconds", "submitted_at")


def votes(value: Any, key: str, responses: list[Response]) -> list[Vote]:
    """The judgments of one row, by people; BadInput names the one that cannot be used.

    Args:
        key: the row's own id; a vote's key is "<id>#<annotator>".
    """
    if not isinstance(value, list):
        raise BadInput(f"judgments is {in_words(value)}; a list is needed")
    made = [_vote(one, f"judgment {number}", key, responses) for number, one in enumerate(value, 1)]
    who = [vote.annotator for vote in made]
    if twice := next((name for name in who if who.count(name) > 1), None):
        raise BadInput(f"judgments has two by '{twice}'; one by each annotator is allowed")
    return made


def _vote(value: Any, name: str, key: str, responses: list[Response]) -> Vote:
    if not isinstance(value, dict):
        raise BadInput(f"{name} is {in_words(value)}; an object is needed")
    known_keys(value, KEYS, name)
    annotator = optional_text(value.get("annotator"), f"{name}: annotator")
    if not annotator:
        raise BadInput(f"{name} names no annotator")
    shown = _ids(value.get("shown"), f"{name}: shown", responses)
    if len(shown) != len(responses):
        raise BadInput(f"{name}: shown lists {len(shown)} of {len(responses)} responses")
    choice, ranking = value.get("choice"), value.get("ranking")
    if (choice is None) == (ranking is None):
        raise BadInput(f"{name} needs a choice or a ranking, one of the two")
    if choice is not None and (len(responses) != 2 or choice not in ("A", "B", "tie")):
        raise BadInput(f"{name}: choice {choice!r} is none of A, B, tie, between two responses")
    if ranking is not None and not isinstance(ranking, list):
        raise BadInput(f"{name}: ranking is {in_words(ranking)}; a list of tiers is needed")
    seconds = value.get("active_seconds")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0):
        raise BadInput(f"{name}: active_seconds is {in_words(seconds)}; a number from 0 is needed")
    tiers = None if ranking is None else [_ids(tier, f"{name}: ranking", responses) for tier in ranking]
    if tiers is not None and len({i for tier in tiers for i in tier}) < sum(map(len, tiers)):
        raise BadInput(f"{name}: ranking places a response twice")
    return Vote(
        annotator=annotator,
        annotator_kind="person",
        key=f"{key}#{annotator}",
        shown=shown,
        choice=choice,
        strength=optional_int(value.get("strength"), f"{name}: strength", 1, 3),
        ranking=tiers,
        active_seconds=seconds,
        submitted_at=optional_text(value.get("submitted_at"), f"{name}: submitted_at"),
    )


def _ids(value: Any, name: str, responses: list[Response]) -> list[str]:
    """Response ids for positions from 1, each at most once."""
    if not isinstance(value, list) or not value:
        raise BadInput(f"{name} is {in_words(value)}; a list of positions from 1 to {len(responses)} is needed")
    for position in value:
        if isinstance(position, bool) or not isinstance(position, int) or not 1 <= position <= len(responses):
            raise BadInput(f"{name}: {position!r} is no position from 1 to {len(responses)}")
    if len(set(value)) < len(value):
        raise BadInput(f"{name} names a position twice")
    return [responses[position - 1].id for position in value]


def records(value: Any, task: Task) -> list[Vote]:
    """The whole Judgment records beside a whole task; BadInput names the one that cannot be used, and why.

    Only answers that count are taken: labels and imports, the newest where one supersedes another.
    """
    if not isinstance(value, list):
        raise BadInput(f"judgments is {in_words(value)}; a list is needed")
    made: dict[str, Vote] = {}
    for number, one in enumerate(value, 1):
        vote = _record(one, f"judgment {number}", task)
        if vote.key in made:
            raise BadInput(f"judgment {number} is there twice; its id is {vote.key}")
        made[vote.key] = vote
    return list(made.values())


def _record(value: Any, name: str, task: Task) -> Vote:
    try:
        j = Judgment.model_validate(value)
    except ValueError as error:
        raise BadInput(f"{name}: {explain(error)}") from None
    if judgment_id(j) != j.id:
        raise BadInput(f"{name}: {j.id[:40]} does not hash to its id; the line was changed after it was written")
    if j.task_id != task.id:
        raise BadInput(f"{name} answers task {j.task_id[:40]}, not this one")
    if j.purpose not in ("label", "import"):
        raise BadInput(f"{name} has the purpose {j.purpose}; only labels and imports can be loaded")
    if j.supersedes:
        raise BadInput(f"{name} supersedes another; give the newest of each annotator alone, without supersedes")
    annotator = j.annotator.removeprefix(f"{j.annotator_kind}:")
    if not annotator:
        raise BadInput(f"{name} names no annotator")
    if wrong := _astray(j, task):
        raise BadInput(f"{name}: {wrong}")
    same = {field: getattr(j, field) for field in Vote._fields if field in Judgment.model_fields}
    return Vote(**{**same, "annotator": annotator, "key": j.id})


def _astray(j: Judgment, task: Task) -> str | None:
    """What in a judgment does not fit its task; None when all does."""
    if not set(j.shown) <= {r.id for r in task.responses}:
        return "shown names a response that is not in the task"
    if (j.choice is not None or j.probability is not None) and len(j.shown) != 2:
        return f"a choice or a probability is between two responses, and shown lists {len(j.shown)}"
    said = (j.ranking, j.choice, j.probability)
    if j.verdict == "answered" and not j.ratings and all(one is None for one in said):
        return "it has no ranking, choice, probability or ratings"
    scales = {c.key: c for c in task.criteria}
    for ratings in j.ratings.values():
        for key, points in ratings.items():
            scale = scales.get(key)
            if scale is None:
                return f"the task has no criterion '{key[:40]}'"
            if not scale.low <= points <= scale.high:
                return f"{points} on '{key}' is outside its scale, {scale.low} to {scale.high}"
    return None
