"""Tasks in our own layout: whole Task records, or the short form people write by hand.

Short form, one JSON line each (what is marked ? may be left out):

    {"id"?, "prompt": text or messages, "responses": [text, {"text", "model"?} or messages, ...],
     "kind"?, "language"?, "tags"?, "criteria"?, "gold"?, "overlap"?, "priority"?, "source"?, "licence"?,
     "judgments"?: see data/formats/judged.py}

A criterion is a Criterion record or just its key. Gold names responses by letter (A is the
first) or id: {"choice": "B"}, {"ranking": ["B", ["A", "C"]]}, {"ratings": {"A": {"helpful": 4}}}.

A whole record has ids, and each must fit its content. Its key is its import key, or its id
when it has none, so that loading it again into its project gives the same task. Beside it may
stand `"judgments": [whole Judgment records]`, by people, models or rules.
"""

from collections.abc import Iterator
from typing import Any, get_args

from data.errors import BadInput, nearest
from data.formats.files import Source
from data.formats.judged import records, votes
from data.formats.parts import (
    Answer,
    answer,
    assistant,
    dialogue,
    in_words,
    known_keys,
    make_prompt,
    make_responses,
    optional_int,
    optional_text,
)
from data.formats.rows import Place, Reject, Row, each
from data.records import LETTERS, Criterion, Gold, Kind, Response, Task, broken_id

NAME = "tasks"
LINE = "one task per line: prompt, responses and, if wanted, kind, criteria, gold, … (or whole Task records)"
KEYS = (
    *("id", "prompt", "responses", "kind", "language", "tags"),
    *("criteria", "gold", "overlap", "priority", "source", "licence", "judgments"),
)


def recognise(head: dict[str, Any]) -> str | None:
    """A prompt and a list of responses."""
    if not isinstance(head.get("responses"), list) or "prompt" not in head:
        return None
    return "whole Task records" if _whole(head) else "a prompt and a list of responses in each row"


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """Each line as a row; a whole Task keeps its response ids."""
    return each(sources, row)


def row(value: dict[str, Any], place: Place) -> Row:
    """One line, whole or short."""
    return _whole_row(value, place) if _whole(value) else _short_row(value, place)


def _whole(value: dict[str, Any]) -> bool:
    return isinstance(value.get("prompt"), dict)


def _whole_row(value: dict[str, Any], place: Place) -> Row:
    given = value.get("judgments")
    task = Task.model_validate({key: held for key, held in value.items() if key != "judgments"})
    if wrong := broken_id(task):
        raise BadInput(f"{wrong}; the line was changed after it was written ")
    if task.gold:
        _gold_fits(task.gold, task.responses)
    return Row(
        place.number,
        place.where,
        task.import_key or task.id,
        task.prompt,
        task.responses,
        task.kind,
        task.language,
        task.overlap,
        task.priority,
        task.criteria,
        task.gold,
        records(given, task) if given is not None else [],
    )


def _short_row(value: dict[str, Any], place: Place) -> Row:
    known_keys(value, KEYS, "the row")
    key = place.key(value.get("id"))
    given = value.get("responses")
    if not isinstance(given, list):
        raise BadInput(f"responses is {in_words(given)}; a list of 2 to 9 is needed")
    language = optional_text(value.get("language"), "language")
    prompt = make_prompt(
        dialogue(value.get("prompt"), "prompt"),
        language=language,
        tags=value.get("tags") or [],
        source=value.get("source"),
        licence=value.get("licence"),
    )
    responses = make_responses(prompt, [_answer(g, f"response {n}") for n, g in enumerate(given, 1)], key)
    criteria = _criteria(value.get("criteria") or [])
    return Row(
        place.number,
        place.where,
        key,
        prompt,
        responses,
        _kind(value.get("kind"), len(responses)),
        language,
        optional_int(value.get("overlap"), "overlap", 1, 1000),
        optional_int(value.get("priority"), "priority", -1000, 1000),
        criteria,
        _gold(value["gold"], responses) if value.get("gold") is not None else None,
        votes(value["judgments"], key, responses) if value.get("judgments") is not None else [],
    )


def _answer(value: Any, name: str) -> Answer:
    if isinstance(value, dict):
        known_keys(value, ("text", "model"), name)
        return Answer(assistant(value.get("text"), name), optional_text(value.get("model"), f"{name}: model"))
    return Answer(answer(value, name))


def _kind(value: Any, responses: int) -> Kind | None:
    known: tuple[Kind, ...] = get_args(Kind)
    if value is None:
        return None
    for kind in known:
        if value == kind:
            if kind == "ab" and responses != 2:
                raise BadInput(f"kind is ab, which takes 2 responses, not {responses}")
            return kind
    raise BadInput(f"kind {value!r} is none of {', '.join(known)}" + nearest(str(value), known))


def _criteria(value: Any) -> list[Criterion]:
    """Criteria from records or just their keys, which then are their English names too."""
    if not isinstance(value, list):
        raise BadInput(f"criteria is {in_words(value)}; a list is needed")
    made = [
        Criterion(key=c, name={"en": c.replace("_", " ").capitalize()})
        if isinstance(c, str)
        else Criterion.model_validate(c)
        for c in value
    ]
    keys = [c.key for c in made]
    if len(set(keys)) != len(keys):
        raise BadInput("two criteria have the same key")
    return made


def _gold(value: Any, responses: list[Response]) -> Gold:
    """A known answer whose letters have become response ids."""
    if not isinstance(value, dict):
        raise BadInput(f"gold is {in_words(value)}; an object with choice, ranking or ratings is needed")
    known_keys(value, ("choice", "ranking", "ratings"), "gold")
    by_letter = dict(zip(LETTERS, (r.id for r in responses), strict=False))

    def named(name: Any) -> Any:
        return by_letter.get(name, name) if isinstance(name, str) else name

    made = dict(value)
    if isinstance(value.get("ranking"), list):
        tiers = [tier if isinstance(tier, list) else [tier] for tier in value["ranking"]]
        made["ranking"] = [[named(name) for name in tier] for tier in tiers]
    if isinstance(value.get("ratings"), dict):
        made["ratings"] = {named(name): held for name, held in value["ratings"].items()}
    made["choice"] = named(value.get("choice"))
    gold = Gold.model_validate(made)
    _gold_fits(gold, responses)
    return gold


def _gold_fits(gold: Gold, responses: list[Response]) -> None:
    """Refuse a known answer about responses that are not there, or about one twice."""
    known = {r.id for r in responses}
    ranked = [name for tier in gold.ranking or [] for name in tier]
    chosen = [gold.choice] if gold.choice not in (None, "tie") else []
    for name in (*ranked, *chosen, *(gold.ratings or {})):
        if name not in known:
            letters = LETTERS[: len(responses)]
            raise BadInput(f"gold names '{name}', which is no response (use a letter of {letters} or an id)")
    if len(set(ranked)) != len(ranked):
        raise BadInput("gold ranks a response twice")
