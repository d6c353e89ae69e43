"""What each fault does, in four tables: answers that are wrong, bodies that are no answer, connections that
break, and refusals with an error status. Each entry: name: (one line for --list-faults, what does it)."""

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import orjson

from datagen.fake.checking import error
from datagen.fake.language import last_user, written_in
from datagen.fake.wire import Response

HTML = (("content-type", "text/html; charset=utf-8"),)
RETRY_S = 1  # what Retry-After says
HUGE_BYTES = 5_000_000
DEEP = 100_000  # nested brackets

Whole = dict[str, Any]
Request = dict[str, Any]


def _message(**fields: Any) -> Callable[[Whole, Request], Any]:
    """An edit that sets these fields of every message."""

    def edit(whole: Whole, request: Request) -> Any:
        for made in whole["choices"]:
            made["message"].update(fields)
        return whole

    return edit


def _without(*names: str) -> Callable[[Whole, Request], Any]:
    return lambda whole, request: {name: value for name, value in whole.items() if name not in names}


def _set(**fields: Any) -> Callable[[Whole, Request], Any]:
    return lambda whole, request: {**whole, **fields}


def _text(change: Callable[[str, Request], str], finish: str | None = None) -> Callable[[Whole, Request], Any]:
    """An edit that changes every text, and maybe its finish_reason."""

    def edit(whole: Whole, request: Request) -> Any:
        for made in whole["choices"]:
            made["message"] = {"role": "assistant", "content": change(made["message"]["content"] or "", request)}
            made["logprobs"] = None
            made["finish_reason"] = finish or "stop"
        return whole

    return edit


def _usage(prompt_tokens: int, completion_tokens: int) -> Callable[[Whole, Request], Any]:
    total = prompt_tokens + completion_tokens
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
    return lambda whole, request: {**whole, "usage": usage}


def _decline(text: str, request: Request) -> str:
    if written_in(last_user(request)) == "zh":
        return "很抱歉，这个请求我无法协助。"
    return "I'm sorry, but I can't help with that request."


def _transcript(text: str, request: Request) -> str:
    you, me = ("用户：", "助手：") if written_in(last_user(request)) == "zh" else ("User: ", "Assistant: ")
    return f"{you}{last_user(request)}\n{me}{text}"


def _refusal_field(whole: Whole, request: Request) -> Whole:
    for made in whole["choices"]:
        made["message"] = {"role": "assistant", "content": None, "refusal": _decline("", request)}
    return whole


def _misfit(text: str, request: Request) -> str:
    """JSON that does not fit the schema asked for."""
    schema = ((request.get("response_format") or {}).get("json_schema") or {}).get("schema")
    tries: list[Any] = [{"unexpected": True}, ["unexpected"], "unexpected", -7, None]
    if schema is not None:
        from jsonschema import Draft202012Validator

        known = Draft202012Validator(schema)
        tries = [one for one in tries if not known.is_valid(one)] or tries
    return orjson.dumps(tries[0]).decode()


EDITS: dict[str, tuple[str, Callable[[Whole, Request], Any]]] = {
    "no_choices": ("choices is an empty list", _set(choices=[])),
    "null_choices": ("choices is null", _set(choices=None)),
    "missing_choices": ("there is no choices", _without("choices")),
    "fewer_choices": ("one choice fewer than n", lambda whole, _: {**whole, "choices": whole["choices"][:-1]}),
    "no_message": (
        "a choice without a message",
        lambda whole, _: {**whole, "choices": [{"index": 0, "finish_reason": "stop"}]},
    ),
    "null_content": ("content is null", _message(content=None)),
    "number_content": ("content is a number", _message(content=42)),
    "parts_content": ("content is a list of parts", _message(content=[{"type": "text", "text": "a part"}])),
    "empty_content": ("content is an empty string", _text(lambda text, request: "")),
    "blank_content": ("content is spaces and line breaks", _text(lambda text, request: " \n\n ")),
    "no_usage": ("there is no usage", _without("usage")),
    "negative_usage": ("usage counts are negative", _usage(-5, -7)),
    "huge_usage": ("usage counts are absurdly large", _usage(10**15, 10**15)),
    "wrong_model": ("another model than asked for is named", _set(model="fake-other-model")),
    "length": ("cut in half, finish_reason length", _text(lambda text, request: text[: len(text) // 2], "length")),
    "content_filter": (
        "cut in half, finish_reason content_filter",
        _text(lambda text, request: text[: len(text) // 2], "content_filter"),
    ),
    "refusal_text": ("the text declines to help", _text(_decline)),
    "refusal_field": ("content is null and the field refusal is set", _refusal_field),
    "echo": ("the text is the prompt again", _text(lambda text, request: last_user(request))),
    "role_user": ("the answer's role is user", _message(role="user")),
    "transcript": ("the text writes both parts: User: ... Assistant: ...", _text(_transcript)),
    "same_id": ("every answer has the same id", _set(id="chatcmpl-0")),
    "broken_json": (
        "the text is JSON that breaks off",
        _text(lambda text, request: text[: max(1, len(text) // 2)] if text[:1] in "{[" else '{"answer": "unfini'),
    ),
    "fenced_json": (
        "the text is wrapped in a code fence with a remark before it",
        _text(lambda text, request: f"Here it is:\n```json\n{text}\n```"),
    ),
    "not_schema": ("the text is JSON that does not fit the schema", _text(_misfit)),
    "huge_answer": (
        "5 MB of text",
        _text(lambda text, request: ("far too much " * (HUGE_BYTES // 13 + 1))[:HUGE_BYTES]),
    ),
}

_ERROR_BODY = orjson.dumps({"error": {"message": "The engine is overloaded.", "type": "server_error", "code": None}})
_PAGE = b"<!DOCTYPE html><html><head><title>%b</title></head><body><h1>%b</h1></body></html>"


def _page(status: int, title: bytes) -> Response:
    return Response(status, _PAGE % (title, title), HTML)


def _cut_stream(good: Response) -> Response:
    """The first half of a stream, its last event broken off; a plain body is sent in chunks likewise."""
    if good.chunks is None:
        return good._replace(chunks=(good.body[: len(good.body) // 2],), manner="unended")
    kept = good.chunks[: max(1, len(good.chunks) // 2)]
    return good._replace(chunks=(*kept[:-1], kept[-1][: len(kept[-1]) // 2]), manner="unended")


def _error_event(good: Response) -> Response:
    if good.chunks is None:
        return Response(200, _ERROR_BODY)
    return good._replace(chunks=(*good.chunks[: len(good.chunks) // 2], b"data: " + _ERROR_BODY + b"\n\n"))


BODIES: dict[str, tuple[str, Callable[[Response], Response]]] = {
    "error_body": ("status 200 with an error as its body", lambda good: Response(200, _ERROR_BODY)),
    "html": ("status 200 with an HTML page", lambda good: _page(200, b"Welcome")),
    "truncated_body": ("the JSON ends in the middle", lambda good: Response(200, _flat(good)[: len(_flat(good)) // 2])),
    "not_json": ("the body is plain text", lambda good: Response(200, b"OK, your answer is on its way")),
    "empty_body": ("status 200 with nothing", lambda good: Response(200, b"")),
    "null_body": ("the body is null", lambda good: Response(200, b"null")),
    "list_body": ("the body is a JSON list", lambda good: Response(200, b"[" + _flat(good) + b"]")),
    "deep_json": (
        "100,000 nested brackets",
        lambda good: Response(200, b'{"choices":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    ),
    "bad_utf8": (
        "bytes that are no UTF-8 inside the text",
        lambda good: Response(200, _flat(good).replace(b'"content":"', b'"content":"\xff\xfe\x80')),
    ),
    "wrong_charset": (
        "UTF-16 that says it is UTF-8",
        lambda good: Response(
            200, _flat(good).decode().encode("utf-16"), (("content-type", "application/json; charset=utf-8"),)
        ),
    ),
    "broken_stream": ("a stream that stops in the middle of an event", _cut_stream),
    "stream_error": ("an error in the middle of a stream", _error_event),
}

MANNERS: dict[str, tuple[str, str]] = {
    "hang": ("nothing ever comes", "hang"),
    "drip": ("one byte at a time (--drip-ms)", "drip"),
    "close": ("the connection ends before the answer", "close"),
    "reset": ("the connection is reset in the middle of the body", "reset"),
    "short_body": ("fewer bytes than Content-Length said", "short"),
}
UNPAID_MANNERS = ("hang", "close")  # nothing was generated

BUSY = ("Rate limit reached for requests.", "rate_limit_exceeded", "requests")


def _after_date() -> Response:
    return error(429, *BUSY, (("retry-after", formatdate(time.time() + RETRY_S, usegmt=True)),))


REFUSALS: dict[str, tuple[str, Callable[[], Response]]] = {
    "rate_limit": ("429 without a header", lambda: error(429, *BUSY)),
    "rate_limit_seconds": ("429 with Retry-After: 1", lambda: error(429, *BUSY, (("retry-after", f"{RETRY_S}"),))),
    "rate_limit_date": ("429 with Retry-After: an HTTP date", _after_date),
    "rate_limit_ms": ("429 with retry-after-ms: 250", lambda: error(429, *BUSY, (("retry-after-ms", "250"),))),
    "rate_limit_long": ("429 with Retry-After: 3600", lambda: error(429, *BUSY, (("retry-after", "3600"),))),
    "rate_limit_nonsense": ("429 with Retry-After: soon", lambda: error(429, *BUSY, (("retry-after", "soon"),))),
    "quota": (
        "429 insufficient_quota",
        lambda: error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    ),
    "server_error": ("500 with a JSON error", lambda: error(500, "The server had an error.", None, "server_error")),
    "bad_gateway": ("502 with an HTML page", lambda: _page(502, b"502 Bad Gateway")),
    "unavailable": (
        "503 with Retry-After: 1",
        lambda: error(503, "The engine is loading.", None, "server_error", (("retry-after", f"{RETRY_S}"),)),
    ),
    "gateway_timeout": ("504 with an HTML page", lambda: _page(504, b"504 Gateway Time-out")),
    "overloaded": ("529, a status that is in no standard", lambda: error(529, "Overloaded.", None, "overloaded_error")),
    "request_timeout": ("408", lambda: error(408, "The request took too long to arrive.", None, "timeout")),
    "conflict": ("409", lambda: error(409, "The resource is locked; try again.", None, "conflict")),
    "wrong_key": ("401 invalid_api_key", lambda: error(401, "Incorrect API key provided.", "invalid_api_key")),
    "forbidden": ("403", lambda: error(403, "Your country or project may not use this.", "unsupported_country")),
    "no_model": ("404 model_not_found", lambda: error(404, "The model does not exist.", "model_not_found")),
    "too_long": (
        "400 context_length_exceeded",
        lambda: error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
    ),
    "prompt_filtered": (
        "400 content_filter: the prompt itself was refused",
        lambda: error(400, "The prompt was filtered by the content policy.", "content_filter"),
    ),
    "bad_request": (
        "400: a parameter is not known",
        lambda: error(400, "Unknown parameter: 'presence_penalty'.", "unknown_parameter"),
    ),
}


def _flat(good: Response) -> bytes:
    """The bytes of a body, whether it is sent whole or in chunks."""
    return good.body if good.chunks is None else b"".join(good.chunks)


def misbehave(name: str, good: Response) -> Response:
    """A good response with a fault of BODIES or MANNERS."""
    if name in BODIES:
        made = BODIES[name][1](good)
        kept = tuple(pair for pair in good.headers if pair[0].startswith("x-"))
        return made._replace(headers=(*(pair for pair in made.headers if pair not in kept), *kept))
    return good._replace(manner=MANNERS[name][1])
