"""Pairs of whole transcripts, chosen and rejected, in the layout of HH-RLHF: Human: and Assistant: by turns.

The turns both share are the prompt and the last turn of each, the assistant's, is a response. Text
is kept as it stands between the separators. The person who chose is one vote by "hh-rlhf". The two
responses are ordered by their ids, hashes, so chosen does not always stand first.
"""

import re
from collections.abc import Iterator
from typing import Any

from data.errors import BadInput
from data.formats.files import Source
from data.formats.parts import Turns, text
from data.formats.preference import judged
from data.formats.rows import Place, Reject, Row, each

NAME = "hh"
LINE = "chosen and rejected as whole transcripts with Human: and Assistant: turns (HH-RLHF)"
TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def recognise(head: dict[str, Any]) -> str | None:
    """Texts chosen and rejected that start with a Human turn, and no prompt."""
    sides = (head.get("chosen"), head.get("rejected"))
    if "prompt" in head or not all(isinstance(s, str) and s.lstrip().startswith("Human:") for s in sides):
        return None
    return "chosen and rejected are transcripts that start with Human:"


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """Each line as an A/B row with one person's vote."""
    return each(sources, row)


def row(value: dict[str, Any], place: Place) -> Row:
    """One pair of transcripts."""
    chosen, rejected = _turns(value.get("chosen"), "chosen"), _turns(value.get("rejected"), "rejected")
    if chosen[:-1] != rejected[:-1]:
        raise BadInput("chosen and rejected differ before the last turn, so they answer different prompts")
    key = place.key(value.get("id"))
    return judged(place, key, chosen[:-1], chosen[-1:], rejected[-1:], "hh-rlhf", "person", "chosen")


def _turns(value: Any, name: str) -> Turns:
    """A transcript as messages: it starts with Human, alternates, and ends with Assistant."""
    head, *parts = TURN.split(text(value, name))
    speakers = parts[::2]
    if head.strip() or not speakers:
        raise BadInput(f"{name} has text before the first turn" if speakers else f"{name} has no turns")
    for number, speaker in enumerate(speakers, 1):
        if speaker != ("Human", "Assistant")[(number - 1) % 2]:
            before = "starts" if number == 1 else f"goes on after {speakers[number - 2]}"
            raise BadInput(f"{name}, turn {number}: the transcript {before} with {speaker}")
    if speakers[-1] != "Assistant":
        raise BadInput(f"{name} ends with a turn by Human, not by Assistant")
    said = parts[1::2]
    return [{"role": ROLES[s], "content": t.removeprefix(" ")} for s, t in zip(speakers, said, strict=True)]
