"""The fake server: answers that depend on the request alone, limits, and each fault over real HTTP."""

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from conftest import ROOT
from fake import FakeServer, fake_server
from jsonschema import Draft202012Validator

from data.errors import BadInput
from datagen.fake import words
from datagen.fake.answers import compose
from datagen.fake.completion import choice
from datagen.fake.faults import FAULTS, pick, rule
from datagen.fake.language import written_in
from datagen.fake.limits import Limits, duration
from datagen.fake.reply import Reply
from datagen.fake.server import Fake, Settings
from datagen.fake.structured import fitting
from datagen.fake.tokens import prompt_tokens, split
from datagen.fake.wire import Asked

PLAIN = {"verify": False, "trust_env": False}  # no certificates are read: it is quicker
ENGLISH = "How do I keep tomato seeds dry over the winter?"
CHINESE = "怎样让番茄种子在冬天保持干燥？"
ADDRESS = {
    "type": "object",
    "properties": {
        "street": {"type": "string", "minLength": 3, "maxLength": 40},
        "number": {"type": "integer", "minimum": 1, "maximum": 9},
        "kind": {"enum": ["home", "work"]},
        "lines": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        "score": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "more": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/note"}]},
    },
    "required": ["street", "number", "kind", "lines", "score", "more"],
    "additionalProperties": False,
    "$defs": {"note": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
}
TOOLS = [
    {"type": "function", "function": {"name": "send", "description": "Sends a parcel", "parameters": ADDRESS}},
    {"type": "function", "function": {"name": "now"}},
]


def request(text: str = ENGLISH, **more: Any) -> dict[str, Any]:
    return {"model": "fake-large", "messages": [{"role": "user", "content": text}], **more}


def ask(server: FakeServer, body: dict[str, Any], fault: str = "", timeout: float = 30) -> httpx.Response:
    headers = {"X-Fault": fault} if fault else {}
    return httpx.post(f"{server.url}/chat/completions", json=body, headers=headers, timeout=timeout, **PLAIN)


def text_of(response: httpx.Response) -> str:
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def streamed(response: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream that ended as it should."""
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, last = response.text.split("\n\n")[:-1]
    assert last == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with fake_server("--plain", "--drip-ms", "1") as running:
        yield running


# Answers


def test_an_answer_has_the_form_of_openais_and_its_usage_is_counted(server: FakeServer) -> None:
    whole = ask(server, request()).json()
    assert (whole["object"], whole["model"]) == ("chat.completion", "fake-large")
    (made,) = whole["choices"]
    assert (made["index"], made["finish_reason"], made["message"]["role"]) == (0, "stop", "assistant")
    read, written = prompt_tokens(request()), len(split(made["message"]["content"]))
    assert whole["usage"] == {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def test_the_same_requests_get_the_same_answers_in_another_process_and_order(server: FakeServer) -> None:
    asked = [request(text, seed=seed, temperature=1) for text in (ENGLISH, CHINESE) for seed in range(6)]
    first = [text_of(ask(server, body)) for body in asked]
    with fake_server("--plain") as other:
        # in reverse, and with the fields of the body in another order
        second = [text_of(ask(other, dict(reversed(body.items())))) for body in reversed(asked)]
    assert second[::-1] == first
    assert len(set(first)) > 6
    with fake_server("--plain", "--seed", "1") as other:
        assert [text_of(ask(other, body)) for body in asked] != first


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 3, "seed": 4},
        {"max_tokens": 5},
        {"logprobs": True, "top_logprobs": 2},
        {"tools": TOOLS, "tool_choice": "required"},
    ],
)
@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_a_stream_put_together_is_the_whole_answer(server: FakeServer, text: str, more: dict[str, Any]) -> None:
    whole = ask(server, request(text, **more)).json()
    events = streamed(ask(server, request(text, **more, stream=True, stream_options={"include_usage": True})))
    assert events[-1]["usage"] == whole["usage"]
    assert events[-1]["choices"] == []
    for made in whole["choices"]:
        parts = [p for e in events for p in e["choices"] if p["index"] == made["index"]]
        assert "".join(p["delta"].get("content") or "" for p in parts) == (made["message"]["content"] or "")
        assert [p["finish_reason"] for p in parts if p.get("finish_reason")] == [made["finish_reason"]]
        spoken = [entry for p in parts for entry in (p.get("logprobs") or {}).get("content", [])]
        assert spoken == (made["logprobs"]["content"] if made["logprobs"] else [])
        calls = [
            {k: v for k, v in call.items() if k != "index"} for p in parts for call in p["delta"].get("tool_calls", [])
        ]
        assert calls == made["message"].get("tool_calls", [])


def test_a_token_limit_cuts_the_same_answer_and_a_stop_ends_it(server: FakeServer) -> None:
    body = request(seed=3, temperature=1)
    full = text_of(ask(server, body))
    for name in ("max_tokens", "max_completion_tokens"):
        cut = ask(server, {**body, name: 4}).json()
        assert cut["choices"][0]["message"]["content"] == "".join(split(full)[:4])
        assert cut["choices"][0]["finish_reason"] == "length"
        assert cut["usage"]["completion_tokens"] == 4
    stopped = ask(server, {**body, "stop": ["\u0000", full[7:9]]}).json()["choices"][0]
    assert stopped["message"]["content"] == full.partition(full[7:9])[0]
    assert stopped["finish_reason"] == "stop"


def test_pieces_put_together_are_the_text() -> None:
    dice = random.Random(5)
    for _ in range(200):
        text = "".join(dice.choice("ab Z09,.\n\t中文é🙂\u0301한") for _ in range(40))
        assert "".join(split(text)) == text


def test_cold_answers_are_one_cool_ones_nearly_and_warm_ones_differ() -> None:
    def distinct(temperature: float) -> float:
        """How many of eight answers to one question differ, on average over twenty questions."""
        cases = [request(f"{ENGLISH} {q}", temperature=temperature, fake_plain=True) for q in range(20)]
        return sum(len({compose({**case, "seed": seed}).text for seed in range(8)}) for case in cases) / 20

    assert distinct(0) == 1
    assert 1 < distinct(0.2) < distinct(1) <= 8
    one, other = (compose(request(temperature=0, fake_choice=c)) for c in (1, 2))
    assert one == other


def test_answers_are_in_the_language_of_the_last_user_message() -> None:
    for text, language in ((ENGLISH, "en"), (CHINESE, "zh")):
        made = [compose(request(text, seed=s, fake_plain=True)).text for s in range(50)]
        assert {written_in(one) for one in made} == {language}


def test_every_slip_happens_at_times_and_never_with_plain() -> None:
    asked = [request(CHINESE, seed=s) for s in range(2000)]
    texts = [compose(body).text for body in asked]
    refusals = set(words.CHINESE.slots["refusal"])
    slips = {
        "empty": sum(not t for t in texts),
        "echo": sum(t == CHINESE for t in texts),
        "refusal": sum(t in refusals for t in texts),
        "language": sum(bool(t) and written_in(t) == "en" for t in texts),
    }
    assert all(0 < count < 100 for count in slips.values()), slips
    plain = {compose({**body, "fake_plain": True}).text for body in asked}
    assert not plain & {"", CHINESE, *refusals}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_thousands_of_instructions_differ_and_a_small_spread_repeats_them(language: str) -> None:
    dice = random.Random(1)
    assert len({words.instruction(dice, language) for _ in range(5000)}) > 4500
    assert len({words.instruction(dice, language, spread=0.03) for _ in range(500)}) < 50
    task = words.classification(dice, language)
    assert len(task.labels) >= 2
    assert all(label in task.instruction for label in task.labels)
    for slot, several in words.lexicon(language).slots.items():
        assert len(set(several)) == len(several), slot
        assert all(several), slot


def test_the_lexicons_have_the_same_slots_and_every_pattern_can_be_filled() -> None:
    assert words.ENGLISH.slots.keys() == words.CHINESE.slots.keys()
    for language in ("en", "zh"):
        lexicon = words.lexicon(language)
        for pattern in lexicon.sentences + lexicon.instructions + lexicon.classifications:
            assert "{" not in words.fill(random.Random(1), language, pattern)


def test_english_articles_fit_the_word_that_follows() -> None:
    words_seen = {words.fill(random.Random(n), "en", "it is a {adjective} {thing}").split()[2:4][0] for n in range(99)}
    assert words_seen == {"a", "an"}
    for n in range(300):
        article, adjective = words.fill(random.Random(n), "en", "See a {adjective} {thing}").split()[1:3]
        assert (article == "an") == (adjective in ("honest", "old-fashioned", "early", "easy")), adjective


# Log-probabilities, tools, JSON


@pytest.mark.parametrize("temperature", [0, 1])
def test_log_probabilities_sum_to_one_at_most_and_a_cold_token_is_the_likeliest(
    server: FakeServer, temperature: float
) -> None:
    odd = 0
    for seed in range(10):
        body = request(seed=seed, temperature=temperature, logprobs=True, top_logprobs=5, max_tokens=30)
        (made,) = ask(server, body).json()["choices"]
        content = made["logprobs"]["content"]
        assert "".join(one["token"] for one in content) == made["message"]["content"]
        for one in content:
            assert bytes(one["bytes"]).decode() == one["token"]
            chances = [math.exp(top["logprob"]) for top in one["top_logprobs"]]
            assert len(chances) == 5
            assert sum(chances) <= 1
            assert chances == sorted(chances, reverse=True)
            odd += one["top_logprobs"][0]["token"] != one["token"]
    assert (odd > 0) == (temperature > 0)


def test_an_answers_own_chances_stand_at_their_place() -> None:
    body = request(logprobs=True, top_logprobs=3)
    made, _ = choice(body, Reply("The answer is B", chances={-1: {"A": 0.25, " B": 0.7}}), 0)
    last = made["logprobs"]["content"][-1]
    assert [(top["token"], round(math.exp(top["logprob"]), 6)) for top in last["top_logprobs"]] == [
        (" B", 0.7),
        ("A", 0.25),
    ]
    assert math.exp(last["logprob"]) == pytest.approx(0.7)


def test_tools_are_called_at_times_with_arguments_that_fit() -> None:
    made = [compose(request(seed=s, tools=TOOLS)) for s in range(60)]
    called = [reply for reply in made if reply.tool_calls]
    assert 10 < len(called) < 50
    for reply in called:
        function = reply.tool_calls[0]["function"]
        if function["name"] == "send":
            Draft202012Validator(ADDRESS).validate(json.loads(function["arguments"]))
    for s in range(20):
        assert not compose(request(seed=s, tools=TOOLS, tool_choice="none")).tool_calls
        named = {"type": "function", "function": {"name": "now"}}
        (call,) = compose(request(seed=s, tools=TOOLS, tool_choice=named)).tool_calls
        assert call["function"]["name"] == "now"


@pytest.mark.parametrize(
    "schema",
    [
        ADDRESS,
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 5, "multipleOf": 2},
        {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"const": 7}}}]},
        {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
        },
        {"type": ["string", "null"]},
    ],
)
def test_made_up_json_fits_its_schema(schema: dict[str, Any]) -> None:
    for n in range(60):
        Draft202012Validator(schema).validate(fitting(schema, random.Random(n), "zh"))


def test_structured_answers_are_json(server: FakeServer) -> None:
    for seed in range(5):
        body = request(seed=seed, response_format=schema_format(ADDRESS))
        Draft202012Validator(ADDRESS).validate(json.loads(text_of(ask(server, body))))
        loose = request(CHINESE, seed=seed, response_format={"type": "json_object"})
        assert isinstance(json.loads(text_of(ask(server, loose))), dict)


def test_a_schema_is_at_times_refused_in_the_field_for_it_and_its_branches_are_all_taken() -> None:
    form = schema_format(ADDRESS)
    made = [compose(request(seed=s, response_format=form)) for s in range(400)]
    refused = [reply for reply in made if reply.refusal]
    assert 0 < len(refused) < 20
    assert all(reply.text == "" for reply in refused)
    more = [json.loads(reply.text)["more"] for reply in made if not reply.refusal]
    assert {type(one) for one in more} == {type(None), dict}
    plain = [compose(request(seed=s, response_format=form, fake_plain=True)) for s in range(400)]
    assert not any(reply.refusal for reply in plain)


# Faults: one check for each

GOOD = {"n": 2, "seed": 5, "response_format": schema_format(ADDRESS)}
ERRORS = {  # name: (status, code, a header with its value)
    "rate_limit": (429, "rate_limit_exceeded", None),
    "rate_limit_seconds": (429, "rate_limit_exceeded", ("retry-after", "1")),
    "rate_limit_date": (429, "rate_limit_exceeded", ("retry-after", " GMT")),
    "rate_limit_ms": (429, "rate_limit_exceeded", ("retry-after-ms", "250")),
    "rate_limit_long": (429, "rate_limit_exceeded", ("retry-after", "3600")),
    "rate_limit_nonsense": (429, "rate_limit_exceeded", ("retry-after", "soon")),
    "quota": (429, "insufficient_quota", None),
    "server_error": (500, None, None),
    "unavailable": (503, None, ("retry-after", "1")),
    "overloaded": (529, None, None),
    "request_timeout": (408, None, None),
    "conflict": (409, None, None),
    "wrong_key": (401, "invalid_api_key", None),
    "forbidden": (403, "unsupported_country", None),
    "no_model": (404, "model_not_found", None),
    "too_long": (400, "context_length_exceeded", None),
    "prompt_filtered": (400, "content_filter", None),
    "bad_request": (400, "unknown_parameter", None),
}
PAGES = {"html": 200, "bad_gateway": 502, "gateway_timeout": 504}
NO_JSON = ("truncated_body", "not_json", "empty_body", "bad_utf8")
JSON_OF_ANOTHER_KIND = {"null_body": type(None), "list_body": list}
WHOLE = {  # what holds for the whole body
    "no_choices": lambda whole: whole["choices"] == [],
    "null_choices": lambda whole: whole["choices"] is None,
    "missing_choices": lambda whole: "choices" not in whole and "usage" in whole,
    "fewer_choices": lambda whole: [made["index"] for made in whole["choices"]] == [0],
    "no_message": lambda whole: "message" not in whole["choices"][0],
    "no_usage": lambda whole: "usage" not in whole and len(whole["choices"]) == 2,
    "negative_usage": lambda whole: whole["usage"]["total_tokens"] < 0,
    "huge_usage": lambda whole: whole["usage"]["prompt_tokens"] > 10**12,
    "wrong_model": lambda whole: whole["model"] == "fake-other-model",
    "same_id": lambda whole: whole["id"] == "chatcmpl-0",
    "error_body": lambda whole: "choices" not in whole and whole["error"]["type"] == "server_error",
    "stream_error": lambda whole: "choices" not in whole and whole["error"]["type"] == "server_error",
}
MESSAGE = {  # what holds for every message
    "null_content": lambda message: message["content"] is None,
    "number_content": lambda message: message["content"] == 42,
    "parts_content": lambda message: isinstance(message["content"], list),
    "empty_content": lambda message: message["content"] == "",
    "blank_content": lambda message: message["content"] and not message["content"].strip(),
    "refusal_text": lambda message: message["content"].startswith("I'm sorry, but I can't"),
    "refusal_field": lambda message: message["content"] is None and "sorry" in message["refusal"],
    "echo": lambda message: message["content"] == ENGLISH,
    "role_user": lambda message: message["role"] == "user",
    "transcript": lambda message: message["content"].startswith(f"User: {ENGLISH}\nAssistant: "),
    "fenced_json": lambda message: "\n```json\n{" in message["content"],
    "huge_answer": lambda message: len(message["content"]) == 5_000_000,
    "broken_json": lambda message: message["content"].startswith("{") and not is_json(message["content"]),
    "not_schema": lambda message: (
        not Draft202012Validator(ADDRESS).is_valid(json.loads(message["content"]))  # and it is JSON
    ),
}
CUT = ("length", "content_filter")
BROKEN = {  # what the client meets
    "close": "without sending",
    "reset": "reset|Errno",
    "short_body": "peer closed connection",
    "broken_stream": "incomplete chunked",
}
ELSEWHERE = {"hang", "drip", "deep_json", "wrong_charset"}  # tests of their own below


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def test_every_fault_has_its_check() -> None:
    tables = [ERRORS, PAGES, NO_JSON, JSON_OF_ANOTHER_KIND, WHOLE, MESSAGE, CUT, BROKEN, ELSEWHERE]
    named = [name for table in tables for name in table]
    assert sorted(named) == sorted(FAULTS)
    assert len(FAULTS) >= 25


@pytest.mark.parametrize("name", ERRORS)
def test_a_fault_refuses_with_its_status(server: FakeServer, name: str) -> None:
    status, code, header = ERRORS[name]
    response = ask(server, request(), name)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"]
    assert ("retry-after" in response.headers or "retry-after-ms" in response.headers) == (header is not None)
    if header:
        assert response.headers[header[0]].endswith(header[1])


@pytest.mark.parametrize("name", PAGES)
def test_a_fault_sends_a_web_page(server: FakeServer, name: str) -> None:
    response = ask(server, request(), name)
    assert response.status_code == PAGES[name]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("name", NO_JSON)
def test_a_fault_sends_a_body_that_is_no_json(server: FakeServer, name: str) -> None:
    response = ask(server, request(), name)
    assert response.status_code == 200
    assert len(response.content) == int(response.headers["content-length"])
    with pytest.raises(ValueError, match=r".*"):
        json.loads(response.content.decode("utf-8"))


@pytest.mark.parametrize("name", JSON_OF_ANOTHER_KIND)
def test_a_fault_sends_json_that_is_no_object(server: FakeServer, name: str) -> None:
    assert isinstance(ask(server, request(), name).json(), JSON_OF_ANOTHER_KIND[name])


def test_deep_json_is_nested_deeper_than_parsers_go(server: FakeServer) -> None:
    response = ask(server, request(), "deep_json")
    assert response.content.count(b"[") == response.content.count(b"]") == 100_000
    with pytest.raises(RecursionError):
        json.loads(response.content)


def test_the_wrong_charset_says_utf_8_and_sends_utf_16(server: FakeServer) -> None:
    response = ask(server, request(CHINESE), "wrong_charset")
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(response.content.decode("utf-16"))["choices"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_fault_changes_the_body(server: FakeServer, name: str) -> None:
    response = ask(server, request(**GOOD), name)
    assert response.status_code == 200
    assert WHOLE[name](response.json())
    good = ask(server, request(**GOOD)).json()
    assert not WHOLE[name](good)


@pytest.mark.parametrize("name", MESSAGE)
def test_a_fault_changes_the_messages(server: FakeServer, name: str) -> None:
    made = ask(server, request(**GOOD), name).json()["choices"]
    assert len(made) == 2
    assert all(MESSAGE[name](one["message"]) for one in made)
    assert not any(MESSAGE[name](one["message"]) for one in ask(server, request(**GOOD)).json()["choices"])


@pytest.mark.parametrize("name", CUT)
def test_a_fault_cuts_the_text_and_says_why(server: FakeServer, name: str) -> None:
    (made,) = ask(server, request(), name).json()["choices"]
    full = text_of(ask(server, request()))
    assert (made["finish_reason"], made["message"]["content"]) == (name, full[: len(full) // 2])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_breaks_the_connection(server: FakeServer, name: str, stream: bool) -> None:
    words_of_it = "incomplete" if stream and name == "short_body" else BROKEN[name]
    with pytest.raises(httpx.TransportError, match=words_of_it):
        ask(server, request(stream=stream), name)
    assert ask(server, request()).status_code == 200


def test_a_reset_comes_after_the_first_half_of_the_body(server: FakeServer) -> None:
    got: list[bytes] = []
    body, headers = request(), {"x-fault": "reset"}
    with (
        httpx.stream("POST", f"{server.url}/chat/completions", json=body, headers=headers, **PLAIN) as response,
        pytest.raises(httpx.ReadError),
    ):
        got.extend(response.iter_raw(1))
    assert len(got) == int(response.headers["content-length"]) // 2


def test_what_hangs_never_answers_and_is_over_when_the_client_leaves(server: FakeServer) -> None:
    server.reset()
    with pytest.raises(httpx.ReadTimeout):
        ask(server, request(), "hang", timeout=0.3)
    counts = server.counts()
    assert (counts["requests"], counts["at_once"], counts["answered"], counts["by_status"]) == (1, 0, 0, {})


def test_a_drip_comes_whole_in_single_bytes(server: FakeServer) -> None:
    body = request("Hi", max_tokens=1)
    with httpx.stream(
        "POST", f"{server.url}/chat/completions", json=body, headers={"x-fault": "drip"}, **PLAIN
    ) as response:
        pieces = list(response.iter_raw())
    assert len(pieces) > 20
    assert json.loads(b"".join(pieces))["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "name", ["no_choices", "null_choices", "missing_choices", "null_content", "length", "no_usage"]
)
def test_faults_of_the_body_reach_a_stream_too(server: FakeServer, name: str) -> None:
    events = streamed(ask(server, request(stream=True, stream_options={"include_usage": True}), name))
    if name in WHOLE:
        assert any(WHOLE[name]({**event, "usage": 1}) for event in events) or "usage" not in events[-1]
    else:
        deltas = [part for event in events for part in event["choices"]]
        assert deltas[-1]["finish_reason"] == ("length" if name == "length" else "stop")
        assert (deltas[0]["delta"]["content"] is None) == (name == "null_content")


def test_a_stream_can_break_off_with_an_error_event(server: FakeServer) -> None:
    response = ask(server, request(stream=True), "stream_error")
    last = response.text.split("\n\n")[-2]
    assert "error" in json.loads(last.removeprefix("data: "))
    assert "[DONE]" not in response.text


# When a fault comes


def test_a_share_of_attempts_meets_the_fault_and_a_retry_may_not() -> None:
    some = rule("html=0.25")
    keys = [str(n).encode() for n in range(2000)]
    hit = [key for key in keys if some.fires(key, 1)]
    assert 430 < len(hit) < 570  # 500 expected, standard deviation 19
    again = [key for key in hit if some.fires(key, 2)]
    assert 75 < len(again) < 175  # a quarter of those
    assert [key for key in keys if some.fires(key, 1)] == hit


def test_the_first_attempts_of_each_request_fail_and_then_it_is_well() -> None:
    with fake_server("--fault", "server_error=first:2", "--plain") as server:
        for text in (ENGLISH, CHINESE):
            assert [ask(server, request(text)).status_code for _ in range(4)] == [500, 500, 200, 200]
        counts = server.counts()
        assert counts["by_fault"] == {"server_error": 4}
        assert counts["by_status"] == {"200": 4, "500": 4}
        assert sorted(counts["by_key"].values()) == [4, 4]
        assert sorted(counts["answered_by_key"].values()) == [2, 2]
        server.reset()
        assert ask(server, request()).status_code == 500


def test_a_fault_is_asked_for_by_header_or_by_the_models_name() -> None:
    with fake_server("--fault", "html", "--models", "fake-large") as server:
        assert ask(server, request()).text.startswith("<!DOCTYPE")
        assert ask(server, request(), "conflict").status_code == 409
        assert ask(server, {**request(), "model": "fault:forbidden"}).status_code == 403
        named = {**request(), "model": "fault:forbidden=first:1"}
        assert [ask(server, named).status_code for _ in range(2)] == [403, 200]
        wrong = ask(server, request(), "htlm")
        assert wrong.status_code == 400
        assert "did you mean 'html'" in wrong.json()["error"]["message"]


@pytest.mark.parametrize("text", ["nothing", "html=2", "html=-1", "html=often", "html=first:x", "html=first:-1"])
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        rule(text)


def test_the_first_of_several_faults_that_fires_is_taken() -> None:
    assert pick([rule("html=0"), rule("reset"), rule("hang")], b"key", 1) == "reset"
    assert pick([rule("html=first:1")], b"key", 2) is None
    assert pick([rule("html=always")], b"key", 99) == "html"


# Limits


def test_a_bucket_lets_its_burst_pass_then_what_flows_in() -> None:
    limits = Limits(rpm=60, tpm=None, burst_s=2)
    assert [limits.ask(10, now=0).allowed for _ in range(3)] == [True, True, False]
    refused = limits.ask(10, now=0.25)
    assert (refused.allowed, refused.what) == (False, "requests")
    assert refused.retry_after_s == pytest.approx(0.75)
    assert limits.ask(10, now=1.001).allowed
    # 2 at once and 1.001 that flowed in; 3 used
    assert limits.report() == {
        "allowed": 3,
        "refused": 2,
        "seconds": 1.001,
        "share_used": round(3 / 3.001, 4),
    }


def test_tokens_are_limited_by_themselves_and_the_headers_tell() -> None:
    limits = Limits(rpm=600, tpm=6000, burst_s=60)
    first = limits.ask(5900, now=0)
    assert dict(first.headers) == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "100",
        "x-ratelimit-reset-tokens": "59s",
    }
    second = limits.ask(200, now=0)
    assert (second.allowed, second.what, second.retry_after_s) == (False, "tokens", pytest.approx(1.0))
    assert dict(second.headers)["x-ratelimit-remaining-requests"] == "599", "a refusal uses nothing up"
    assert limits.ask(10**9, now=120).allowed, "what is larger than the bucket passes when it is full"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0121, "13ms"), (1, "1s"), (59.5, "59.5s"), (360, "6m0s"), (3725, "1h2m5s")]
)
def test_durations_are_written_as_the_headers_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_over_the_limit_the_answer_is_429_with_when_to_come_again() -> None:
    with fake_server("--rpm", "60", "--burst", "1", "--plain") as server:
        first, second = ask(server, request(seed=1)), ask(server, request(seed=2))
        assert (first.status_code, second.status_code) == (200, 429)
        assert first.headers["x-ratelimit-limit-requests"] == "60"
        assert second.headers["retry-after"] == "1"
        assert 0 < int(second.headers["retry-after-ms"]) <= 1000
        counts = server.counts()
        assert (counts["limits"]["allowed"], counts["limits"]["refused"]) == (1, 1)
        assert counts["answered"] == 1


def test_more_at_once_than_allowed_are_refused() -> None:
    with fake_server("--concurrency-limit", "2", "--latency-ms", "700") as server:
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda seed: ask(server, request(seed=seed)).status_code, range(4)))
        assert sorted(got) == [200, 200, 429, 429]
        counts = server.counts()
        assert (counts["at_once"], counts["by_status"]) == (0, {"200": 2, "429": 2})
        assert counts["most_at_once"] >= 3


def test_key_models_quota_and_context_are_kept() -> None:
    flags = ["--key", "right", "--models", "small,large", "--quota", "1", "--context", "100"]
    with fake_server(*flags) as server, httpx.Client(base_url=server.url, **PLAIN) as client:
        body = {**request(), "model": "small"}

        def code(body: dict[str, Any], key: str = "right") -> tuple[int, str | None]:
            response = client.post("/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
            return response.status_code, (response.json().get("error") or {}).get("code")

        assert code(body, "wrong") == (401, "invalid_api_key")
        assert code({**body, "model": "huge"}) == (404, "model_not_found")
        assert code({**body, "max_tokens": 99}) == (400, "context_length_exceeded")
        assert code(body) == (200, None)
        assert code(body) == (429, "insufficient_quota")
        assert [one["id"] for one in client.get("/models").json()["data"]] == ["small", "large"]


def test_the_wait_before_an_answer_depends_on_the_request_alone() -> None:
    def wait(seed: int) -> float:
        fake = Fake(Settings(latency_s=0.2, jitter_s=0.1), clock=lambda: 0)
        body = json.dumps(request(seed=seed)).encode()
        return fake.handle(Asked("POST", "/v1/chat/completions", "", {}, body)).delay_s

    waits = [wait(seed) for seed in range(20)]
    assert waits == [wait(seed) for seed in range(20)]
    assert len(set(waits)) == 20
    assert all(0.2 <= one <= 0.3 for one in waits)


# The rest of the server, and its command


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model": "m"}',
        b'{"model": 3, "messages": []}',
        b'{"model": "m", "messages": [{"role": "wizard", "content": "x"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": 3}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 3}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 0}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": "9"}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "top_logprobs": 2}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stop": 5}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "xml"}}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema"}}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"function": null}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"function": "f"}]}',
    ],
)
def test_a_body_that_cannot_be_answered_is_400(server: FakeServer, body: bytes) -> None:
    response = httpx.post(f"{server.url}/chat/completions", content=body, **PLAIN)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_other_paths_say_what_there_is(server: FakeServer) -> None:
    assert httpx.get(f"{server.root}/health", **PLAIN).json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/embeddings", **PLAIN).status_code == 404
    assert "by_key" not in server.counts(keys=False)


def test_one_connection_serves_many_requests_even_when_they_come_at_once(server: FakeServer) -> None:
    import socket

    body = json.dumps(request("Hi", max_tokens=1)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    host, port = server.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall((head + body) * 3 + last)
        got = b"".join(iter(lambda: sock.recv(65536), b""))
    assert got.count(b"HTTP/1.1 200 OK") == 4
    assert got.endswith(b'{"status":"ok"}')


def run(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "datagen.fake_server", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_a_port_in_use_is_named_with_the_next_free_one(server: FakeServer) -> None:
    port = server.root.rpartition(":")[2]
    ended = run("--port", port)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: port {port} of 127.0.0.1 ")
    assert "; --port " in line


def test_when_it_is_stopped_it_says_what_it_saw() -> None:
    command = [sys.executable, "-m", "datagen.fake_server", "--port", "0", "--json", "--plain"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        httpx.post(f"{url}/chat/completions", json=request(), **PLAIN)
        process.terminate()
        said, errors = process.communicate(timeout=20)
    summary = json.loads(said)
    assert (process.returncode, errors) == (0, "")
    assert (summary["requests"], summary["answered"], summary["by_status"]) == (1, 1, {"200": 1})


@pytest.mark.parametrize("flag", ["--rpm", "--tpm", "--burst", "--concurrency-limit", "--context"])
def test_a_limit_that_is_not_above_zero_is_refused(flag: str) -> None:
    ended = run("--port", "0", flag, "0")
    assert (ended.returncode, ended.stderr) == (2, f"error: {flag} 0 lets nothing through; give a number above 0\n")


def test_a_mistake_in_a_methods_part_is_a_500_and_the_server_lives_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(request: dict[str, Any]) -> Reply:
        raise KeyError("task")

    monkeypatch.setattr("datagen.fake.answers.PARTS", [(lambda request: True, broken)])
    fake = Fake(Settings(), clock=lambda: 0)
    response = fake.handle(Asked("POST", "/v1/chat/completions", "", {}, json.dumps(request()).encode()))
    assert response.status == 500
    assert "KeyError('task')" in json.loads(response.body)["error"]["message"]
    assert "Traceback" in capsys.readouterr().err
    assert response.on_sent is not None
    response.on_sent()
    assert fake.counts.at_once == 0


def test_the_command_lists_its_faults_and_refuses_one_it_does_not_know() -> None:
    listed = run("--list-faults").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(FAULTS)
    assert all(line.split(maxsplit=1)[1] for line in listed)
    ended = run("--port", "0", "--fault", "htlm=0.1")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: 'htlm' is no fault; did you mean 'html'?\n"
