"""A chat request and its answers as the JSON that OpenAI's server sends, whole or as a stream of events."""

from collections.abc import Iterable
from typing import Any

import orjson

from datagen.fake.answers import compose
from datagen.fake.logprobs import logprobs
from datagen.fake.reply import Reply
from datagen.fake.tokens import split

CREATED = 1_760_000_000  # a fixed second: an answer depends on its request alone
EVENTS_BELOW = 65_536  # characters; above, an event holds so many
DONE = b"data: [DONE]\n\n"


def completion(request: dict[str, Any], name: str, read: int) -> dict[str, Any]:
    """The `chat.completion` object.

    Args:
        request: a body that `check` (datagen/fake/checking.py) let pass.
        name: what makes its id, unique among answers.
        read: tokens of the prompt.
    """
    choices, completion_tokens = [], 0
    for index in range(request.get("n") or 1):
        one = {**request, "fake_choice": index} if index else request
        made, tokens = choice(one, compose(one), index)
        choices.append(made)
        completion_tokens += tokens
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": CREATED,
        "model": request["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": completion_tokens,
            "total_tokens": read + completion_tokens,
        },
        "system_fingerprint": "fp_fake",
    }


def choice(request: dict[str, Any], reply: Reply, index: int) -> tuple[dict[str, Any], int]:
    """One choice, cut at its stops and its token limit, and its number of tokens."""
    text, finish = reply.text, reply.finish or ("tool_calls" if reply.tool_calls else "stop")
    for stop in stops(request):
        text = text.partition(stop)[0]
    tokens = split(text)
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if limit is not None and len(tokens) > limit:
        tokens = tokens[:limit]
        text, finish = "".join(tokens), "length"
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": reply.refusal}
    count = len(tokens)
    if reply.tool_calls:
        message["tool_calls"] = reply.tool_calls
        message["content"] = text or None
        count += len(split(orjson.dumps(reply.tool_calls).decode()))
    if reply.refusal is not None:
        message["content"] = None
        count += len(split(reply.refusal))
    spoken = logprobs(request, tokens, reply.chances) if request.get("logprobs") else None
    return {"index": index, "message": message, "logprobs": spoken, "finish_reason": finish}, count


def stops(request: dict[str, Any]) -> list[str]:
    """The texts at which an answer ends."""
    stop = request.get("stop")
    return [stop] if isinstance(stop, str) else [text for text in stop or [] if text]


def events(whole: dict[str, Any], with_usage: bool) -> list[bytes]:
    """A completion as server-sent events: its text token by token, and [DONE]."""
    frame: dict[str, Any] = {
        name: whole[name] for name in ("id", "created", "model", "system_fingerprint") if name in whole
    }
    frame["object"] = "chat.completion.chunk"
    sent = [_event({**frame, "choices": [part]}) for made in whole.get("choices") or [] for part in _parts(made)]
    if not sent:  # a fault took the choices away: the event shows how
        sent.append(_event({**frame, "choices": whole["choices"]} if "choices" in whole else frame))
    if with_usage and "usage" in whole:
        sent.append(_event({**frame, "choices": [], "usage": whole["usage"]}))
    return [*sent, DONE]


def _parts(made: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """A choice as the deltas that make it up."""
    index, message = made.get("index", 0), made.get("message") or {}
    content = message.get("content")
    yield {"index": index, "delta": {"role": message.get("role"), "content": None if content is None else ""}}
    spoken = (made.get("logprobs") or {}).get("content") or []
    for place, token in enumerate(_portions(content) if isinstance(content, str) else []):
        part: dict[str, Any] = {"index": index, "delta": {"content": token}, "finish_reason": None}
        if place < len(spoken):
            part["logprobs"] = {"content": [spoken[place]]}
        yield part
    if content is not None and not isinstance(content, str):
        yield {"index": index, "delta": {"content": content}, "finish_reason": None}
    for place, call in enumerate(message.get("tool_calls") or []):
        yield {"index": index, "delta": {"tool_calls": [{"index": place, **call}]}, "finish_reason": None}
    if message.get("refusal"):
        yield {"index": index, "delta": {"refusal": message["refusal"]}, "finish_reason": None}
    yield {"index": index, "delta": {}, "finish_reason": made.get("finish_reason")}


def _portions(text: str) -> list[str]:
    """What each event holds: a token, or a large piece where there would be too many."""
    if len(text) <= EVENTS_BELOW:
        return split(text)
    return [text[at : at + EVENTS_BELOW] for at in range(0, len(text), EVENTS_BELOW)]


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
