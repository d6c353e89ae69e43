"""UltraFeedback: raw (instruction and 2 to 9 completions, each rated by a model) or binarized.

Raw rows become a ranking whose one vote, a model's, holds its ratings from 1 to 5 on four criteria;
"N/A" is left out. Binarized rows become A/B with a model's choice from score_chosen and score_rejected
(equal scores are a tie); the two responses are ordered by their ids, hashes, so chosen does not always
stand first.
"""

import math
from collections.abc import Iterator
from typing import Any

from data.errors import BadInput
from data.formats.files import Source
from data.formats.parts import (
    Answer,
    assistant,
    dialogue,
    in_words,
    make_prompt,
    make_responses,
    optional_text,
)
from data.formats.preference import judged, split
from data.formats.rows import Place, Reject, Row, Vote, each
from data.records import Criterion, Lineage

NAME = "ultrafeedback"
LINE = "UltraFeedback, raw (instruction, completions with annotations) or binarized (with scores)"
JUDGE, MODEL = "ultrafeedback", "gpt-4"
CRITERIA = [
    Criterion(key="instruction_following", name={"en": "Follows the instruction", "zh": "遵循指令"}),
    Criterion(key="honesty", name={"en": "Honest", "zh": "诚实"}),
    Criterion(key="truthfulness", name={"en": "Truthful", "zh": "真实"}),
    Criterion(key="helpfulness", name={"en": "Helpful", "zh": "有帮助"}),
]


def recognise(head: dict[str, Any]) -> str | None:
    """An instruction with completions, or chosen and rejected with their scores."""
    if "instruction" in head and isinstance(head.get("completions"), list):
        return "an instruction with completions in each row"
    if {"chosen", "rejected", "score_chosen", "score_rejected"} <= head.keys():
        return "columns chosen, rejected, score_chosen and score_rejected"
    return None


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """Each line as a row with one vote by a model."""
    return each(sources, row)


def row(value: dict[str, Any], place: Place) -> Row:
    """One line, raw or binarized."""
    return _raw(value, place) if "completions" in value else _binarized(value, place)


def _binarized(value: dict[str, Any], place: Place) -> Row:
    scores = []
    for name in ("score_chosen", "score_rejected"):
        score = value.get(name)
        if score is None or (isinstance(score, float) and not math.isfinite(score)):
            raise BadInput(f"{name} is missing")
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise BadInput(f"{name} is {in_words(score)}, not a number")
        scores.append(score)
    better = "tie" if scores[0] == scores[1] else "chosen" if scores[0] > scores[1] else "rejected"
    turns, chosen, rejected = split(value)
    key = place.key(value.get("id"))
    return judged(place, key, turns, chosen, rejected, JUDGE, "model", better, model=MODEL)


def _raw(value: dict[str, Any], place: Place) -> Row:
    completions = value.get("completions")
    if not isinstance(completions, list):
        raise BadInput(f"completions is {in_words(completions)}; a list of 2 to 9 is needed")
    key = place.key(value.get("id"))
    source = optional_text(value.get("source"), "source")
    prompt = make_prompt(dialogue(value.get("instruction"), "instruction"), source=source)
    responses = make_responses(prompt, [_answer(c, n) for n, c in enumerate(completions, 1)], key)
    ratings = {
        response.id: found
        for n, (response, c) in enumerate(zip(responses, completions, strict=True), 1)
        if (found := _ratings(c.get("annotations") or {}, n))
    }
    shown = [r.id for r in responses]
    vote = Vote(JUDGE, "model", f"{key}:{JUDGE}", shown, ratings=ratings, model=MODEL)
    votes = [vote] if ratings else []
    return Row(place.number, place.where, key, prompt, responses, "ranking", criteria=CRITERIA, votes=votes)


def _answer(value: Any, number: int) -> Answer:
    if not isinstance(value, dict):
        raise BadInput(f"completion {number} is {in_words(value)}; an object with model and response is needed")
    principle = optional_text(value.get("principle"), f"completion {number}: principle")
    said = assistant(value.get("response"), f"completion {number}: response")
    model = optional_text(value.get("model"), f"completion {number}: model")
    return Answer(said, model, Lineage(principle=principle) if principle else None)


def _ratings(annotations: Any, number: int) -> dict[str, int]:
    """The ratings of one completion by criterion; a rating is "1" to "5", and "N/A" is none."""
    if not isinstance(annotations, dict):
        raise BadInput(f"completion {number}: annotations is {in_words(annotations)}, not an object")
    found = {}
    for criterion in CRITERIA:
        held = annotations.get(criterion.key)
        rating = held.get("Rating") if isinstance(held, dict) else None
        if rating is None or rating == "N/A":
            continue
        if str(rating) not in ("1", "2", "3", "4", "5"):
            raise BadInput(f"completion {number}: {criterion.key} is rated {rating!r}; 1 to 5 or N/A is needed")
        found[criterion.key] = int(rating)
    return found
