"""Judgments inside a row of the short task layout: who answered it, and how.

    {"annotator": "sim-03", "shown": [2, 1], "choice": "A", "strength": 2,
     "active_seconds": 12.5, "submitted_at": "2026-01-05T10:00:00Z"}

Positions count from 1 in the order of the row's responses. A is the first of `shown`.
"""

from typing import Any

from data.errors import BadInput
from data.formats.parts import in_words, known_keys, optional_int, optional_text
from data.formats.rows import Vote
from data.records import Response

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
