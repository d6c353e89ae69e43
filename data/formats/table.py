"""A table with a column `prompt` and columns `response_1`, `response_2`, …: CSV, TSV, JSONL or Parquet.

Also read where they are there: id, language, system (a message before the prompt), tags, source,
licence, and model_1, model_2, … for who wrote which response. Other columns are left out, but one
that starts like response or model_ is refused, since it is likely a misspelt one.

Fewer responses than columns: null, or a key that is not there, is no response; it may only stand at
the end. In JSONL and Parquet "" is an empty answer. CSV cannot tell "" from nothing, so there the
empty cells at the end are absent and an empty cell before a filled one is an empty answer. Tags are a
list in JSONL and Parquet, and parted by semicolons in CSV.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from data.errors import BadInput, nearest
from data.formats.files import Source
from data.formats.parts import Answer, answer, dialogue, make_prompt, make_responses, optional_text
from data.formats.rows import Place, Reject, Row, each

NAME = "table"
LINE = "a table with columns prompt, response_1, response_2, … (CSV, TSV, JSONL, Parquet)"
NUMBERED = re.compile(r"(response|model)_([1-9][0-9]?)")
FIELDS = ("id", "prompt", "language", "system", "tags", "source", "licence")


def recognise(head: dict[str, Any]) -> str | None:
    """Columns prompt and response_1."""
    if "prompt" not in head or "response_1" not in head:
        return None
    extra = [name for name in head if name not in FIELDS and not NUMBERED.fullmatch(name)]
    widest = max(int(m[2]) for name in head if (m := NUMBERED.fullmatch(name)) and m[1] == "response")
    left_out = f"; left out: {', '.join(extra)}" if extra else ""
    return f"columns prompt and response_1 to response_{widest}{left_out}"


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """Each line as a row; the kind is left to the caller."""
    return each(sources, row)


def row(value: dict[str, Any], place: Place) -> Row:
    """One line of the table."""
    given = [value.get(f"response_{n}") for n in range(1, _widest(tuple(value)) + 1)]
    nothing = None if place.source.typed else ""
    while given and given[-1] == nothing:
        given.pop()
    key = place.key(value.get("id"))
    turns = dialogue(value.get("prompt"), "prompt")
    if system := optional_text(value.get("system"), "system"):
        turns = [{"role": "system", "content": system}, *turns]
    language = optional_text(value.get("language"), "language")
    prompt = make_prompt(
        turns,
        language=language,
        tags=_tags(value.get("tags")),
        source=optional_text(value.get("source"), "source"),
        licence=optional_text(value.get("licence"), "licence"),
    )
    answers = [
        Answer(answer(g, f"response_{n}"), optional_text(value.get(f"model_{n}"), f"model_{n}"))
        for n, g in enumerate(given, 1)
    ]
    responses = make_responses(prompt, answers, key)
    return Row(place.number, place.where, key, prompt, responses, language=language)


@lru_cache(maxsize=64)
def _widest(names: tuple[str, ...]) -> int:
    """The highest number of a response column; BadInput for a column that is likely a misspelt one."""
    widest = 0
    for name in names:
        known = NUMBERED.fullmatch(name)
        if known and known[1] == "response":
            widest = max(widest, int(known[2]))
        elif not known and name.startswith(("response", "model_")):
            hint = nearest(name, ("response_1", "response_2", "model_1"))
            raise BadInput(f"the column '{name}' is not known{hint}")
    return widest


def _tags(value: Any) -> Any:
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(";") if tag.strip()]
    return value or []
