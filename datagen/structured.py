"""JSON answers: asked for by schema where the server can, and read by a parser that refuses rather than guesses.

Nothing is mended: no missing bracket is added, no number is fished out of a sentence. The only wrapping that
is taken off is a code fence around the whole answer, because it adds nothing one could misread.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from data.errors import one_line
from data.records import canonical

_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\s*\Z", re.DOTALL | re.IGNORECASE)


def read_value(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None, str]:
    """The answer as data; or None, the fault's name (broken_json, not_schema) and what exactly is wrong."""
    bare = text.strip()
    fenced = _FENCE.match(bare)
    try:
        value = orjson.loads(fenced[1] if fenced else bare)
    except orjson.JSONDecodeError as error:
        return None, "broken_json", one_line(str(error), 200)
    for wrong in _validator(canonical(schema)).iter_errors(value):
        where = "/".join(str(step) for step in wrong.absolute_path)
        return None, "not_schema", one_line(f"at {where or 'the top'}: {wrong.message}", 200)
    return value, None, ""


def response_format(schema: Mapping[str, Any], how: str) -> dict[str, Any] | None:
    """The request's `response_format`.

    Args:
        how: "schema" where the server keeps to one (OpenAI, vLLM, SGLang, llama.cpp), "object" where it only
            promises JSON, "none" where it knows neither: then the prompt alone asks.
    """
    if how == "schema":
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)}}
    return {"type": "json_object"} if how == "object" else None


def repair_messages(text: str, detail: str) -> list[dict[str, str]]:
    """What is said after an answer that could not be read: the answer again, and what was wrong with it."""
    return [
        {"role": "assistant", "content": text},
        {
            "role": "user",
            "content": f"That could not be read ({detail}). Give the answer again as JSON only, nothing around it.",
        },
    ]


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(orjson.loads(schema))
