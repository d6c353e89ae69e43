"""A better prompt in place of training: what a run must beat to be worth its weights.

    system: You answer briefly, and you say so when you do not know.
    examples:
    - user: What is 15% of 260?
      assistant: "39"
    schema: {type: object, required: [answer]}

A YAML or JSON file with one or more of these; it is put before every prompt and given to the same base model.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, nearest, one_line
from train.exports import Message

KEYS = ("system", "examples", "schema")
LARGEST = 1_000_000
"""Bytes of a prompt's file."""


class BetterPrompt(NamedTuple):
    """What is put before a prompt."""

    system: str
    examples: tuple[tuple[str, str], ...]
    """What was asked and how it is to be answered."""
    schema: dict[str, Any] | None
    digest: str
    """sha256 of the file."""


def read_prompt(path: Path) -> BetterPrompt:
    """Read such a file.

    Raises:
        NotThere: no such file.
        BadInput: it is not of this form; the message names the key.
    """
    import yaml

    if not path.is_file():
        raise NotThere(f"{path} is not there; --against prompt:FILE names a YAML file with {', '.join(KEYS)}")
    text = path.read_bytes()
    if len(text) > LARGEST:
        raise BadInput(f"{path} has {len(text):,} bytes; a prompt of at most {LARGEST:,} can be read")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {one_line(str(error), 200)}") from None
    if not isinstance(found, dict) or not found:
        raise BadInput(f"{path} holds no keys; needed is one or more of {', '.join(KEYS)}")
    for key in found:
        if key not in KEYS:
            raise BadInput(f"{path}: '{one_line(str(key), 40)}' is none of {', '.join(KEYS)}{nearest(str(key), KEYS)}")
    system = found.get("system") or ""
    if not isinstance(system, str):
        raise BadInput(f"{path}, system: needed is a text")
    schema = found.get("schema")
    if schema is not None and not isinstance(schema, dict):
        raise BadInput(f"{path}, schema: needed is a JSON schema, an object")
    return BetterPrompt(system, _examples(found.get("examples") or [], path), schema, sha256(text).hexdigest())


def _examples(found: Any, path: Path) -> tuple[tuple[str, str], ...]:
    made = []
    for n, one in enumerate(found if isinstance(found, list) else [found], 1):
        pair = (one.get("user"), one.get("assistant")) if isinstance(one, dict) else (None, None)
        if not (isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise BadInput(f"{path}, example {n}: needed are two texts, user and assistant")
        made.append((pair[0], pair[1]))
    return tuple(made)


def put_before(better: BetterPrompt, prompt: Sequence[Message]) -> list[Message]:
    """The prompt with the better one before it; the prompt's own system message follows the better one's text."""
    own = [str(one["content"]) for one in prompt[:1] if one["role"] == "system"]
    told = [better.system] if better.system else []
    if better.schema is not None:
        shape = json.dumps(better.schema, ensure_ascii=False, sort_keys=True)
        told.append(f"Answer with JSON alone, which fits this schema: {shape}")
    system = "\n\n".join([*told, *own])
    made: list[Message] = [{"role": "system", "content": system}] if system else []
    for asked, answered in better.examples:
        made += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return [*made, *prompt[len(own) :]]
