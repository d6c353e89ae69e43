"""Patterns and JSON schemas from files of people we do not know, matched so that none can hang or reach out.

A pattern runs in Rust's regex engine (the one pydantic carries): its time grows with the text, whatever the
pattern, so no clock is needed and the same text gives the same verdict on every machine. Look-around and
back-references, which need trying again, are refused by it. `^` and `$` are the ends of the text unless `(?m)`.

A schema is JSON Schema 2020-12. Its patterns run in that engine too; it may name its own parts alone ("#/…"), and
only so often while it is checked; `format` is not looked at, as the standard has it. Refused are patternProperties,
unevaluatedItems, unevaluatedProperties and dynamic references.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from data.errors import BadInput, one_line

MAX_PATTERN = 500
MAX_SCHEMA = 20_000
"""Letters of a pattern, and of a schema as JSON."""
MAX_ANSWER = 100_000
"""Letters of an answer that are looked at; a longer one fits nothing."""
MAX_REFERENCES = 2_000
"""How often a schema may name a part of itself while one answer is checked."""
_REFUSED = ("patternProperties", "unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$dynamicAnchor", "$id")
_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL | re.IGNORECASE)

Check = Callable[[str], bool]


class _TooMany(Exception):
    """A schema named its own parts too often."""


def pattern_check(pattern: str) -> Check:
    """Whether a text holds what the pattern describes, anywhere in it.

    Raises:
        BadInput: it is too long, too large once compiled, or none; the message says why.
    """
    if len(pattern) > MAX_PATTERN:
        raise BadInput(f"the pattern has {len(pattern):,} letters; it may have {MAX_PATTERN}")
    from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

    try:
        found = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        raise BadInput(f"the pattern {one_line(pattern, 60)} is refused: {_why(str(error))}") from None

    def check(text: str) -> bool:
        if len(text) > MAX_ANSWER:
            return False
        try:
            found.validate_python(text)
        except ValidationError:
            return False
        return True

    return check


def _why(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    last = lines[-1].removeprefix("error:").removeprefix("SchemaError:").strip()
    if "look-around" in last or "backreference" in last:
        return f"{last.rstrip('.')} (its time would have no limit); say it without"
    return one_line(last, 160)


def schema_check(schema: dict[str, Any]) -> Check:
    """Whether a text is JSON that fits the schema, nothing around it but a code fence.

    Raises:
        BadInput: the schema is none, too long, or uses what is refused.
    """
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry

    try:
        size = len(orjson.dumps(schema).decode())
    except TypeError:
        raise BadInput("the schema is nested too deep; make it flatter") from None
    if size > MAX_SCHEMA:
        raise BadInput(f"the schema has {size:,} letters; it may have {MAX_SCHEMA:,}")
    patterns, references = _look(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        raise BadInput(f"no JSON Schema: {one_line(str(error).splitlines()[0], 160)}") from None
    _resolve(schema, references)
    left = [0]

    def pattern(validator: Any, wanted: str, instance: Any, _: Any) -> Iterator[Any]:
        if isinstance(instance, str) and not patterns[wanted](instance):
            yield from validator.descend(instance, False)

    def ref(validator: Any, wanted: str, instance: Any, _: Any) -> Iterator[Any]:
        left[0] -= 1
        if left[0] < 0:
            raise _TooMany
        yield from validator._validate_reference(ref=wanted, instance=instance)

    own = {"pattern": pattern, "$ref": ref, "uniqueItems": _unique}
    kind = validators.extend(Draft202012Validator, own)
    validator = kind(schema, registry=Registry())

    def check(text: str) -> bool:
        left[0] = MAX_REFERENCES
        bare = text.strip()
        if len(bare) > MAX_ANSWER:
            return False
        fenced = _FENCE.match(bare)
        try:
            return bool(validator.is_valid(orjson.loads(fenced[1] if fenced else bare)))
        except (orjson.JSONDecodeError, _TooMany, RecursionError):
            return False

    return check


def _unique(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[Any]:
    """In linear time; 1 and 1.0 count as two."""
    if wanted is True and isinstance(instance, list):
        spelt = {orjson.dumps(one, option=orjson.OPT_SORT_KEYS) for one in instance}
        if len(spelt) < len(instance):
            yield from validator.descend(instance, False)


def _resolve(schema: dict[str, Any], references: list[str]) -> None:
    """Refuse a reference that leads nowhere."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for one in references:
        try:
            resolver.lookup(one)
        except Unresolvable:
            raise BadInput(f"the schema names {one_line(one, 80)}, and has no such part") from None


def _look(schema: Any) -> tuple[dict[str, Check], list[str]]:
    """Every pattern of a schema, compiled, and every reference; what is refused is named."""
    found: dict[str, Check] = {}
    references: list[str] = []
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        if not isinstance(one, dict):
            continue
        waiting += one.values()
        for name in _REFUSED:
            if name in one:
                raise BadInput(f"the schema uses {name}, which is refused here; say it without")
        reference = one.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise BadInput(f"the schema names {one_line(reference, 80)}; it may name its own parts alone (#/$defs/…)")
        if isinstance(reference, str):
            references.append(reference)
        if isinstance(one.get("pattern"), str):
            found[one["pattern"]] = pattern_check(one["pattern"])
    return found, references
