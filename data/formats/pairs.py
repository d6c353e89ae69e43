"""Pairs that several people judged, in the layout of PandaLM's test set.

A row has instruction, input, response1, response2 and, by each judge, annotator1, annotator2, …:
0 for a tie, 1 when the first is better, 2 when the second is. `cmp_key` is "model1_model2"; where it
holds more than one underscore nobody can say where the first name ends, and the models stay unnamed.
`idx` is the row's key, `motivation_app` becomes a tag.
"""

import re
from collections.abc import Iterator
from typing import Any

from data.errors import BadInput
from data.formats.files import Source
from data.formats.parts import Answer, assistant, instruction, make_prompt, make_responses, optional_text
from data.formats.rows import Place, Reject, Row, Vote, choice_vote, each

NAME = "pairs"
LINE = "pairs with judges: instruction, input, response1, response2, annotator1, … (PandaLM)"
CHOICES = {0: "tie", 1: "A", 2: "B"}
JUDGE = re.compile(r"annotator[0-9]+")


def recognise(head: dict[str, Any]) -> str | None:
    """The columns instruction, response1 and response2."""
    if not {"instruction", "response1", "response2"} <= head.keys():
        return None
    judges = sum(1 for name in head if JUDGE.fullmatch(name))
    return f"columns instruction, response1, response2 and {judges} judge{'' if judges == 1 else 's'}"


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """Each element as an A/B row with the votes of its judges, who are people."""
    return each(sources, row)


def row(value: dict[str, Any], place: Place) -> Row:
    """One pair."""
    key = place.key(value.get("idx"))
    tag = optional_text(value.get("motivation_app"), "motivation_app")
    prompt = make_prompt(instruction(value), tags=[tag] if tag else [])
    models = _models(value.get("cmp_key"))
    answers = [Answer(assistant(value.get(f), f), m) for f, m in zip(("response1", "response2"), models, strict=True)]
    responses = make_responses(prompt, answers, key)
    shown = [r.id for r in responses]
    votes = [_vote(name, held, key, shown) for name, held in value.items() if JUDGE.fullmatch(name)]
    cast = [v for v in votes if v]
    return Row(place.number, place.where, key, prompt, responses, "ab", votes=cast)


def _models(value: Any) -> tuple[str | None, str | None]:
    names = value.split("_") if isinstance(value, str) else []
    return (names[0], names[1]) if len(names) == 2 and all(names) else (None, None)


def _vote(judge: str, value: Any, key: str, shown: list[str]) -> Vote | None:
    if value is None:
        return None
    if type(value) is not int or value not in CHOICES:
        raise BadInput(f"{judge} is {value!r}; 0 (tie), 1 (first better) or 2 (second better) is needed")
    return choice_vote(judge, "person", key, shown, CHOICES[value])
