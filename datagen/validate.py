"""Every answer is checked: what a server sent becomes an Answer, good or with a named fault, and never None.

`FAULTS` says for each name what it means and what is done about it:

    wait     the server refused before any work: back off and ask again
    retry    ask the same again, a few times
    repair   say what was wrong and ask again
    reject   the answer is kept in the log and rejected by its name
    stop     end the run with one line: nothing asked after it would do better
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from data.errors import one_line
from data.text import normalise
from datagen.request import Answer, Request
from datagen.structured import read_value


class Fault(NamedTuple):
    """What a fault means and what is done about it."""

    policy: str
    meaning: str


FAULTS: dict[str, Fault] = {
    # the server refused the request
    "rate_limited": Fault("wait", "429: too many requests or tokens a minute"),
    "overloaded": Fault("wait", "503, or 429 for the number at once"),
    "server_error": Fault("wait", "another 5xx, 408 or 409"),
    "server_gone": Fault("wait", "the connection could not be made, or broke before the answer was whole"),
    "timeout": Fault("wait", "no answer within --timeout"),
    "wrong_key": Fault("stop", "401 or 403: the key is missing, wrong or not allowed this"),
    "no_model": Fault("stop", "404: the server has no such model"),
    "quota": Fault("stop", "the account's quota or credit is used up"),
    "too_long": Fault("stop", "the prompt and its answer do not fit the model's context"),
    "bad_request": Fault("stop", "another 4xx: the server does not take such a request"),
    # the answer cannot be read
    "html": Fault("retry", "a web page instead of JSON: a proxy, or the wrong address"),
    "broken_body": Fault("retry", "a body that is not JSON, or cut off"),
    "error_body": Fault("retry", "an error sent with status 200"),
    "no_choices": Fault("retry", "choices are missing, null or empty"),
    "no_content": Fault("retry", "content is null or no text"),
    # the answer can be read and is not what was asked for
    "wrong_model": Fault("retry", "another model answered than the one asked for"),
    "empty": Fault("retry", "an answer without a visible character"),
    "swapped_roles": Fault("retry", "the answer speaks for the user, or is a dialogue by itself"),
    "echo": Fault("retry", "the answer repeats the prompt"),
    "truncated": Fault("reject", "cut off at max_tokens"),
    "content_filter": Fault("reject", "cut off by the server's content filter"),
    "refusal": Fault("reject", "the model declined"),
    "broken_json": Fault("repair", "JSON was asked for and the answer is none"),
    "not_schema": Fault("repair", "JSON that does not fit the schema"),
}

REFUSED_PROMPT = ("content_filter", "too_long")  # faults of the prompt, whoever is asked again
_CANNOT = r"(?:can't|cannot|can not|won't|will not|'m unable to|am unable to|'m not able to|am not able to)"
_REFUSAL = re.compile(
    r"^(?:(?:i'm|i am|we're|we are)\s+(?:very |so |truly |really )?sorry\b[^.!]{0,80}\b(?:can't|cannot|unable|won't)"
    rf"|(?:sorry|apologies|unfortunately|as an ai\b[^.]{{0,80}}),?\s*(?:but )?i\s*{_CANNOT}"
    rf"|i\s*(?:{_CANNOT}|must decline to)\s+"
    r"(?:help|assist|comply|fulfill?|provide|do (?:that|this)|answer that|continue with|support|create|write|engage)"
    r"|(?:很抱歉|非常抱歉|抱歉|对不起)[^。！？]{0,40}(?:无法|不能|没办法|不可以)"
    r"|(?:我|作为[^。]{0,20}，我)(?:无法|不能)(?:帮|协助|提供|回答|满足|完成这|参与|为您|为你))"
)
_REFUSAL_LENGTH = 600  # a longer text that begins like a refusal goes on to answer
_TURN = re.compile(r"^\s*(?:user|human|用户)\s*[:：]", re.IGNORECASE)
_OTHER_TURN = re.compile(r"^\s*(?:assistant|ai|助手)\s*[:：]", re.IGNORECASE | re.MULTILINE)
_ECHO_LENGTH = 24  # characters: a shorter prompt may be its own right answer


def check(request: Request, key: str, body: bytes, any_model: bool = False) -> Answer:
    """The Answer in a body that came with status 200; its `fault` names what is wrong with it.

    Args:
        any_model: take the answer whatever model the server says it used.
    """
    found, fault, detail = _message(body)
    if fault:
        return Answer(key=key, text=_excerpt(body), fault=fault, detail=detail)
    choice, whole = found
    message = choice["message"]
    text, calls = message.get("content"), message.get("tool_calls") or None
    refusal = message.get("refusal")
    usage = usage_of(whole) or (0, 0)
    finish, served = str(choice.get("finish_reason") or ""), str(whole.get("model") or "")
    probs = choice.get("logprobs")
    answer = Answer(
        key=key,
        text=text if isinstance(text, str) else refusal if isinstance(refusal, str) else "",
        finish=finish,
        model=served or request.model,
        prompt_tokens=usage[0],
        completion_tokens=usage[1],
        tool_calls=calls if isinstance(calls, list) else None,
        logprobs=probs.get("content") if isinstance(probs, dict) else None,
    )
    fault, detail = _judge(request, answer, message, any_model)
    if not fault and request.schema is not None:
        value, fault, detail = read_value(answer.text, request.schema)
        answer = answer._replace(value=value)
    return answer._replace(fault=fault, detail=detail) if fault else answer


def _judge(request: Request, answer: Answer, message: Mapping[str, Any], any_model: bool) -> tuple[str | None, str]:
    """The first fault of an answer that could be read, and what exactly it is."""
    if not any_model and not same_model(request.model, answer.model):
        return "wrong_model", f"asked for {request.model}, answered by {one_line(answer.model, 80)}"
    if message.get("role") not in (None, "assistant"):
        return "swapped_roles", f"the answer's role is {one_line(str(message['role']), 40)!r}"
    if answer.finish == "content_filter" and "content_filter" not in request.accept:
        return "content_filter", ""
    if message.get("refusal") and not message.get("content") and "refusal" not in request.accept:
        return "refusal", one_line(str(message["refusal"]), 200)
    if not isinstance(message.get("content"), str) and not answer.tool_calls and not message.get("refusal"):
        return "no_content", f"content is {one_line(repr(message.get('content')), 60)}"
    if answer.finish == "length" and "truncated" not in request.accept:
        return "truncated", f"after {answer.completion_tokens} tokens"
    if answer.tool_calls:
        return None, ""
    if not (normalise(answer.text[:200]) or normalise(answer.text)):
        return ("empty", "") if "empty" not in request.accept else (None, "")
    if "refusal" not in request.accept and looks_like_refusal(answer.text):
        return "refusal", one_line(answer.text, 200)
    if "swapped_roles" not in request.accept and _TURN.match(answer.text) and _OTHER_TURN.search(answer.text):
        return "swapped_roles", one_line(answer.text, 120)
    if "echo" not in request.accept and _echoes(request, answer.text):
        return "echo", one_line(answer.text, 120)
    return None, ""


def looks_like_refusal(text: str) -> bool:
    """Whether a text as a whole declines: it begins as refusals do, in English or Chinese, and is short."""
    start = text.strip().replace("’", "'").lower()
    return len(start) <= _REFUSAL_LENGTH and bool(_REFUSAL.match(start))


def same_model(asked: str, served: str) -> bool:
    """Whether the name a server gives is the model asked for: the same, a dated version, its main branch or file."""
    one, other = (name.lower().removesuffix(".gguf") for name in (asked, served))
    if one == other or one.rpartition("/")[2] == other.rpartition("/")[2]:
        return True
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return (
        bool(shorter)
        and longer.startswith(shorter)
        and bool(re.match(r"(:latest|@main|[-@]\d[\d.-]*)$", longer[len(shorter) :]))
    )


def usage_of(body: Mapping[str, Any]) -> tuple[int, int] | None:
    """Tokens of prompt and answer as the server counted them; None when it gives none that can be true."""
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if any(not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= 10**8 for n in counts):
        return None
    return counts[0], counts[1]  # type: ignore[return-value]


def refused(status: int, body: bytes) -> tuple[str, str]:
    """The fault that an HTTP error status and its body mean, and the server's own words."""
    words = error_words(body)
    low = words.lower()
    if status in (401, 403):
        return "wrong_key", words
    if "insufficient_quota" in low or "exceeded your current quota" in low or status == 402:
        return "quota", words
    if status == 429:
        return ("overloaded", words) if "concurren" in low else ("rate_limited", words)
    if status == 503:
        return "overloaded", words
    if status >= 500 or status in (408, 409, 425):
        return "server_error", words
    if status == 413 or "context_length" in low or "context length" in low or "maximum context" in low:
        return "too_long", words
    if status == 404:
        return "no_model", words
    if "content_filter" in low or "content_policy" in low or "content management policy" in low:
        return "content_filter", words
    return "bad_request", words


def refused_prompt(fault: str, words: str) -> bytes:
    """The body that is logged where a server refused the prompt itself for good; `check` reads it back."""
    return orjson.dumps({"error": {"message": words, "concord": fault}})


def error_words(body: bytes) -> str:
    """What a server says of an error, in one line: its message and code, else the start of the body."""
    try:
        held = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _excerpt(body)
    error = held.get("error", held) if isinstance(held, dict) else held
    if isinstance(error, dict):
        parts = [str(error[name]) for name in ("message", "detail", "code", "type") if error.get(name)]
        return one_line(", ".join(dict.fromkeys(parts)) or str(error), 300)
    return one_line(str(error), 300)


def _message(body: bytes) -> tuple[Any, str | None, str]:
    """The first choice and the whole body, or the fault that keeps one from reading them."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if body.lstrip()[:1] == b"<":
            return None, "html", _excerpt(body)
        return None, "broken_body", one_line(str(error), 120)
    if not isinstance(whole, dict):
        return None, "broken_body", "the body is JSON and no object"
    choices = whole.get("choices")
    if whole.get("error") and not choices:
        if isinstance(whole["error"], dict) and whole["error"].get("concord") in REFUSED_PROMPT:
            return None, whole["error"]["concord"], str(whole["error"].get("message") or "")
        return None, "error_body", error_words(body)
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None, "no_choices", f"choices is {one_line(repr(choices), 60)}"
    if not isinstance(choices[0].get("message"), dict):
        return None, "no_content", "the choice has no message"
    return (choices[0], whole), None, ""


def _echoes(request: Request, text: str) -> bool:
    """Whether the answer is the last question again, or begins by repeating all of it."""
    asked = next((m.get("content") for m in reversed(request.messages) if m.get("role") == "user"), None)
    if not isinstance(asked, str) or len(asked) > 4 * len(text) + 100:
        return False
    if normalise(asked[:100])[:_ECHO_LENGTH] != normalise(text[:200])[:_ECHO_LENGTH]:
        return False  # told by the beginning, as nearly always
    question = normalise(asked)
    return len(question) >= _ECHO_LENGTH and normalise(text).startswith(question)


def _excerpt(body: bytes) -> str:
    return one_line(body[:400].decode("utf-8", "replace"), 200)
