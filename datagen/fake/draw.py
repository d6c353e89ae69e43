"""Chance that depends on the request alone: the same question gets the same dice, whenever and wherever it is asked."""

import hashlib
import random
from typing import Any

import orjson

# What changes how much of an answer is sent, or how, and not the answer itself.
NOT_SHAPING = {
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "logprobs",
    "top_logprobs",
    "user",
    "metadata",
    "store",
    "service_tier",
    "fake_plain",
}
SAMPLING = {"temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "fake_choice"}


def digest(request: dict[str, Any], *salt: Any, without: set[str] = NOT_SHAPING) -> bytes:
    """16 bytes that name a request and a salt; the order of its fields does not matter."""
    shape = {name: value for name, value in request.items() if name not in without}
    packed = orjson.dumps([shape, salt], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.blake2b(packed, digest_size=16).digest()


def temperature(request: dict[str, Any]) -> float:
    """The temperature asked for; 1 where none is named."""
    value = request.get("temperature")
    return 1.0 if value is None else float(value)


def rng(request: dict[str, Any], *salt: Any) -> random.Random:
    """Dice for one answer: another seed or choice gives others, except at temperature 0, which has one answer."""
    if temperature(request) == 0:
        return steady(request, *salt)
    return random.Random(digest(request, *salt))


def steady(request: dict[str, Any], *salt: Any) -> random.Random:
    """Dice that all answers to one question share, whatever the sampling: model, messages, tools and schema decide."""
    return random.Random(digest(request, *salt, without=NOT_SHAPING | SAMPLING))


def share(name: bytes, *salt: Any) -> float:
    """A number in [0, 1) that depends on these bytes and the salt."""
    packed = hashlib.blake2b(name + repr(salt).encode(), digest_size=8).digest()
    return int.from_bytes(packed) / 2**64
