"""JSON that fits a schema, for requests with a `response_format` that no method's part recognises."""

import random
from typing import Any

import orjson

from datagen.fake.draw import rng
from datagen.fake.language import last_user, written_in
from datagen.fake.reply import Reply
from datagen.fake.words import phrase, sentence, word

REFUSAL_SHARE = 0.01
DEEPEST = 8  # schemas may name themselves; below this, only what is required


def recognise(request: dict[str, Any]) -> bool:
    """Whether the request asks for JSON."""
    return (request.get("response_format") or {}).get("type") in ("json_object", "json_schema")


def compose(request: dict[str, Any]) -> Reply:
    """One answer in JSON; with a strict schema at times a refusal in its own field, as OpenAI does."""
    dice = rng(request, "structured")
    language = written_in(last_user(request))
    form = request["response_format"]
    if form["type"] == "json_schema" and not request.get("fake_plain") and dice.random() < REFUSAL_SHARE:
        return Reply(refusal=word(dice, language, "refusal"))
    if form["type"] == "json_object":
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {"answer": {"type": "string"}, "points": {"type": "array", "items": {"type": "string"}}},
            "required": ["answer", "points"],
        }
    else:
        schema = form["json_schema"]["schema"]
    return Reply(orjson.dumps(fitting(schema, dice, language)).decode())


def fitting(schema: Any, dice: random.Random, language: str, root: Any = None, depth: int = 0) -> Any:
    """A value that fits a JSON schema, as far as its common words go.

    Known: type, enum, const, properties, required, items, prefixItems, minItems, maxItems, minLength,
    maxLength, minimum, maximum, exclusive bounds, multipleOf, anyOf, oneOf, allOf, $ref into the schema itself.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or not schema:
        return sentence(dice, language)
    if "$ref" in schema:
        return fitting(_referred(root, schema["$ref"]), dice, language, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return dice.choice(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if schema.get(several):
            one = dice.choice(schema[several]) if depth < DEEPEST else min(schema[several], key=_leads_deeper)
            rest = {name: value for name, value in schema.items() if name != several}
            return fitting({**rest, **one}, dice, language, root, depth + 1)
    if schema.get("allOf"):
        merged = {name: value for part in schema["allOf"] for name, value in part.items()}
        return fitting({**merged, **{k: v for k, v in schema.items() if k != "allOf"}}, dice, language, root, depth + 1)
    kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "string")
    if isinstance(kind, list):
        kind = dice.choice(kind)
    if kind == "object":
        return _object(schema, dice, language, root, depth)
    if kind == "array":
        return _array(schema, dice, language, root, depth)
    if kind in ("integer", "number"):
        return _number(schema, dice, whole=kind == "integer")
    if kind == "boolean":
        return dice.random() < 0.5
    return None if kind == "null" else _string(schema, dice, language)


def _leads_deeper(schema: dict[str, Any]) -> bool:
    return "$ref" in schema or schema.get("type") in ("object", "array") or "anyOf" in schema


def _object(schema: dict[str, Any], dice: random.Random, language: str, root: Any, depth: int) -> dict[str, Any]:
    required = schema.get("required") or []
    known = schema.get("properties") or {}
    kept = [name for name in known if name in required or (depth < DEEPEST and dice.random() < 0.7)]
    kept += [name for name in required if name not in known]
    return {name: fitting(known.get(name) or {}, dice, language, root, depth + 1) for name in kept}


def _array(schema: dict[str, Any], dice: random.Random, language: str, root: Any, depth: int) -> list[Any]:
    low = schema.get("minItems") or 0
    high = schema.get("maxItems", max(low, 4))
    length = low if depth >= DEEPEST else dice.randint(max(low, min(1, high)), max(low, min(high, low + 4)))
    first = [fitting(part, dice, language, root, depth + 1) for part in schema.get("prefixItems") or []]
    items = schema.get("items")
    rest = [fitting(items or {}, dice, language, root, depth + 1) for _ in range(length - len(first))]
    return first if items is False else [*first, *rest]


def _number(schema: dict[str, Any], dice: random.Random, whole: bool) -> float | int:
    step = schema.get("multipleOf") or (1 if whole else 0.01)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = 0 if high is None else high - 100 * step
    if high is None:
        high = low + 100 * step
    first, last = -(-low // step), high // step  # in steps
    first += "exclusiveMinimum" in schema and first * step <= schema["exclusiveMinimum"]
    last -= "exclusiveMaximum" in schema and last * step >= schema["exclusiveMaximum"]
    value = dice.randint(int(first), max(int(first), int(last))) * step
    return int(value) if whole else round(value, 6)


def _string(schema: dict[str, Any], dice: random.Random, language: str) -> str:
    text = {
        "date": "2026-03-14",
        "date-time": "2026-03-14T09:26:53Z",
        "time": "09:26:53Z",
        "email": "someone@example.org",
        "uri": "https://example.org/page",
        "uuid": "6f1c2c3e-6d1a-4a57-9d0c-0d2f5a3b1c11",
    }.get(schema.get("format", ""), "")
    if not text:
        text = phrase(dice, language) if dice.random() < 0.3 else sentence(dice, language)
    while len(text) < schema.get("minLength", 0):
        text += " " + sentence(dice, language)
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _referred(root: Any, name: str) -> Any:
    found = root
    for step in name.removeprefix("#").strip("/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) and step else found
    return found
