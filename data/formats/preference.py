"""Preference rows as trainers take them: chosen and rejected, with a prompt or with the prompt inside both.

chosen and rejected are text or message lists. With `prompt`, whatever of it they repeat at their
start is taken off. Without one, the messages both start with are the prompt; for two texts it is the
longest beginning they share, cut back to white space.

Nobody knows who preferred, so the row's one vote is a rule's ("dataset"), which fills no person's slot.
The two responses are ordered by their ids, hashes, so chosen does not always stand first.
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from data.errors import BadInput
from data.formats.files import Source
from data.formats.parts import (
    Answer,
    Turns,
    answer,
    assistant,
    dialogue,
    in_words,
    make_prompt,
    make_responses,
    messages,
    text,
)
from data.formats.rows import Place, Reject, Row, choice_vote, each
from data.records import AnnotatorKind

NAME = "preference"
LINE = "chosen and rejected with prompt, or with the prompt in both (as trainers take them)"
OTHERS = ("score_chosen", "score_rejected")  # those rows are ultrafeedback's


def recognise(head: dict[str, Any]) -> str | None:
    """Columns chosen and rejected that are no transcripts and carry no scores."""
    if not {"chosen", "rejected"} <= head.keys() or any(name in head for name in OTHERS):
        return None
    if "prompt" not in head and str(head["chosen"]).lstrip().startswith("Human:"):
        return None
    return "columns chosen and rejected" + (", with prompt" if "prompt" in head else ", the prompt inside both")


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """Each line as an A/B row with the vote of a rule."""
    return each(sources, row)


def row(value: dict[str, Any], place: Place) -> Row:
    """One line."""
    turns, chosen, rejected = split(value)
    return judged(place, place.key(value.get("id")), turns, chosen, rejected, "dataset", "rule", "chosen")


def split(value: dict[str, Any]) -> tuple[Turns, Turns, Turns]:
    """The prompt, the chosen and the rejected answer of a row that has chosen and rejected."""
    chosen, rejected = value.get("chosen"), value.get("rejected")
    given = value.get("prompt")
    if isinstance(chosen, str) and isinstance(rejected, str):
        if given is None:
            return _shared_text(text(chosen, "chosen"), text(rejected, "rejected"))
        return dialogue(given, "prompt"), assistant(chosen, "chosen"), assistant(rejected, "rejected")
    if type(chosen) is not type(rejected):
        raise BadInput(f"chosen is {in_words(chosen)} and rejected is {in_words(rejected)}")
    one, other = messages(chosen, "chosen"), messages(rejected, "rejected")
    start = dialogue(given, "prompt") if given is not None else _shared(one[:-1], other[:-1])
    if not start:
        raise BadInput("chosen and rejected start with different messages, and there is no prompt")
    ends = [side[len(start) :] if side[: len(start)] == start else side for side in (one, other)]
    for name, end in zip(("chosen", "rejected"), ends, strict=True):
        if not end or any(m["role"] == "user" for m in end):
            raise BadInput(f"{name} does not start with the prompt and end with the assistant's answer")
        answer(end, name)
    return start, ends[0], ends[1]


def _shared(one: Turns, other: Turns) -> Turns:
    return [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


def _shared_text(chosen: str, rejected: str) -> tuple[Turns, Turns, Turns]:
    """Two texts parted after the longest beginning they share, cut back to white space."""
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False)))
    if length < max(len(chosen), len(rejected)):
        while length and not chosen[length - 1].isspace():
            length -= 1
    if not chosen[:length].strip():
        raise BadInput("chosen and rejected do not start alike, and there is no prompt")
    start = [{"role": "user", "content": chosen[:length]}]
    return start, assistant(chosen[length:], "chosen"), assistant(rejected[length:], "rejected")


def judged(
    place: Place,
    key: str,
    turns: Turns,
    chosen: Turns,
    rejected: Turns,
    annotator: str,
    kind: AnnotatorKind,
    better: str,
    **rest: Any,
) -> Row:
    """An A/B row with one vote, for `better` ("chosen", "rejected" or "tie").

    The responses are ordered by id. In their import keys chosen is #1 and rejected #2: the places
    they have in the source.
    """
    prompt = make_prompt(turns)
    made = make_responses(prompt, [Answer(chosen), Answer(rejected)], key)
    best = {"chosen": made[0].id, "rejected": made[1].id}.get(better)
    responses = sorted(made, key=lambda r: r.id)
    shown = [r.id for r in responses]
    choice = "tie" if best is None else "AB"[shown.index(best)]
    vote = choice_vote(annotator, kind, key, shown, choice, **rest)
    return Row(place.number, place.where, key, prompt, responses, "ab", votes=[vote])
