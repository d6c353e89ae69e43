"""What the page gets of a task, and what it may send back.

The page gets letters for responses in the order this person sees them, never an id or a
model's name; what it sends is checked here against the task before anything is kept.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from annotate.render import render
from data.errors import Refused
from data.records import LETTERS, Flag, Judgment, Message, Task, Verdict

MAX_NOTE = 20_000
Letter = Literal["A", "B", "C", "D", "E", "F", "G", "H", "I"]


class Answer(BaseModel):
    """An answer as the page says it, by letter; a draft may hold any part of it."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict = "answered"
    ranking: list[list[Letter]] | None = Field(None, max_length=9)
    """Tiers, best first; a tie shares a tier; a letter not placed is absent."""
    choice: Literal["A", "B", "tie"] | None = None
    strength: int | None = Field(None, ge=1, le=3)
    """1 slightly, 2 clearly, 3 much better."""
    ratings: dict[Letter, dict[str, int]] = {}
    flags: dict[Letter, list[Flag]] = {}
    critiques: dict[Letter, str] = {}
    edited: dict[Letter, str] = {}
    comment: str = Field("", max_length=MAX_NOTE)


def turn_view(message: Message) -> dict[str, Any]:
    """One message for the page: safe HTML, the exact source beside it, and its length in characters."""
    rendered = render(message.content)
    return {
        "role": message.role,
        "html": rendered.html,
        "source": message.content,
        "chars": len(message.content),
        "cut": rendered.cut,
        "plain": rendered.plain,
    }


def task_view(task: Task, shown: list[str]) -> dict[str, Any]:
    """What is shown of a task: the prompt's turns, the responses by letter, the criteria."""
    by_id = {r.id: r for r in task.responses}
    return {
        "kind": task.kind,
        "project": task.project,
        "language": task.language,
        "prompt": [turn_view(m) for m in task.prompt.messages],
        "responses": [
            {"letter": letter, "turns": [turn_view(m) for m in by_id[id_].messages]}
            for letter, id_ in zip(LETTERS, shown, strict=False)
        ],
        "criteria": [c.model_dump() for c in task.criteria],
    }


def answer_view(judgment: Judgment) -> dict[str, Any]:
    """A kept judgment as the page's answer, by letter."""
    letter = dict(zip(judgment.shown, LETTERS, strict=False))

    def by_letter(given: dict[str, Any]) -> dict[str, Any]:
        return {letter[id_]: value for id_, value in given.items()}

    return {
        "verdict": judgment.verdict,
        "ranking": None if judgment.ranking is None else [[letter[r] for r in tier] for tier in judgment.ranking],
        "choice": judgment.choice,
        "strength": judgment.strength,
        "ratings": by_letter(judgment.ratings),
        "flags": by_letter(dict(judgment.flags)),
        "critiques": by_letter(judgment.critiques),
        "edited": by_letter(judgment.edited),
        "comment": judgment.comment,
    }


def _bad(message: str) -> Refused:
    return Refused(message, "bad_answer")


def answer_fields(task: Task, shown: list[str], answer: Answer, *, allow_unplaced: bool = False) -> dict[str, Any]:
    """The answer as fields of a Judgment, by response id; Refused (code `bad_answer`) says what is missing.

    Only what belongs to the task's kind and to the verdict is kept.
    """
    ids = dict(zip(LETTERS, shown, strict=False))
    for field in ("ratings", "flags", "critiques", "edited"):
        for letter in getattr(answer, field):
            if letter not in ids:
                raise _bad(f"{field} names {letter}; the responses are {', '.join(ids)}")
    for field in ("critiques", "edited"):
        for letter, text in getattr(answer, field).items():
            limit = MAX_NOTE if field == "critiques" else 1_000_000
            if len(text) > limit:
                raise _bad(f"{field} of {letter} has {len(text):,} characters; the limit is {limit:,}")
    fields: dict[str, Any] = {
        "verdict": answer.verdict,
        "flags": {ids[k]: sorted(set(v)) for k, v in answer.flags.items() if v},
        "critiques": {ids[k]: v for k, v in answer.critiques.items() if v.strip()},
        "edited": {ids[k]: v for k, v in answer.edited.items()},
        "comment": answer.comment,
    }
    if answer.verdict == "answered":
        fields.update(_verdict_fields(task, ids, answer, allow_unplaced))
    return fields


def _verdict_fields(task: Task, ids: dict[str, str], answer: Answer, allow_unplaced: bool) -> dict[str, Any]:
    if task.kind == "ab":
        if answer.choice is None:
            raise _bad("choice: say A, B or tie")
        return {"choice": answer.choice, "strength": None if answer.choice == "tie" else answer.strength}
    if task.kind == "ranking":
        return {"ranking": _ranking(ids, answer, allow_unplaced)}
    for letter in ids:
        for criterion in task.criteria:
            value = answer.ratings.get(letter, {}).get(criterion.key)  # type: ignore[call-overload]
            if value is None or not criterion.low <= value <= criterion.high:
                raise _bad(f"ratings: {letter} needs {criterion.key} from {criterion.low} to {criterion.high}")
    known = {c.key for c in task.criteria}
    ratings: dict[str, dict[str, int]] = {ids[letter]: given for letter, given in answer.ratings.items()}
    if extra := {key for given in ratings.values() for key in given} - known:
        raise _bad(f"ratings: there is no criterion {sorted(extra)[0]!r}")
    return {"ratings": ratings}


def _ranking(ids: dict[str, str], answer: Answer, allow_unplaced: bool) -> list[list[str]]:
    tiers = [tier for tier in answer.ranking or [] if tier]
    placed = [letter for tier in tiers for letter in tier]
    if unknown := [letter for letter in placed if letter not in ids]:
        raise _bad(f"ranking names {unknown[0]}; the responses are {', '.join(ids)}")
    if len(set(placed)) < len(placed):
        raise _bad("ranking: a response stands in it twice")
    missing = [letter for letter in ids if letter not in placed]
    if missing and (not allow_unplaced or len(placed) < 2):
        raise _bad(f"ranking: {', '.join(missing)} not placed yet")
    return [[ids[letter] for letter in tier] for tier in tiers]
