"""Each fault that the fake server knows has one stated outcome, over real HTTP: recovered, rejected by name, or stop.

`OUTCOMES` says what becomes of a request whose every attempt meets the fault. Nothing is ever None, what was
paid for is in the log, and a second run with the same log asks nothing that was settled for good.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fake import FakeServer, fake_server

from data.errors import ModelError
from datagen.client import Client, Settings
from datagen.fake.faults import FAULTS as KNOWN
from datagen.request import Answer, Request
from datagen.request_log import STATES, RequestLog, Spent
from datagen.validate import FAULTS

GOOD = "good"
JSON = {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}
OUTCOMES = {
    # the answer cannot be read: asked again, then rejected
    "no_choices": "no_choices",
    "null_choices": "no_choices",
    "missing_choices": "no_choices",
    "fewer_choices": "no_choices",
    "no_message": "no_content",
    "null_content": "no_content",
    "number_content": "no_content",
    "parts_content": "no_content",
    "html": "html",
    "error_body": "error_body",
    "stream_error": "error_body",
    "truncated_body": "broken_body",
    "not_json": "broken_body",
    "empty_body": "broken_body",
    "null_body": "broken_body",
    "list_body": "broken_body",
    "deep_json": "broken_body",
    "bad_utf8": "broken_body",
    "wrong_charset": "broken_body",
    # it can be read, and is not what was asked for
    "wrong_model": "wrong_model",
    "empty_content": "empty",
    "blank_content": "empty",
    "length": "truncated",
    "content_filter": "content_filter",
    "refusal_text": "refusal",
    "refusal_field": "refusal",
    "echo": "echo",
    "role_user": "swapped_roles",
    "transcript": "swapped_roles",
    # asked for as JSON
    "broken_json": "broken_json",
    "fenced_json": "broken_json",
    "not_schema": "not_schema",
    # harmless: the answer counts
    "no_usage": GOOD,
    "negative_usage": GOOD,
    "huge_usage": GOOD,
    "same_id": GOOD,
    "huge_answer": GOOD,
    # no answer came
    "hang": "timeout",
    "drip": "timeout",
    "close": "server_gone",
    "reset": "server_gone",
    "short_body": "server_gone",
    "broken_stream": "server_gone",
    "server_error": "server_error",
    "bad_gateway": "server_error",
    "gateway_timeout": "server_error",
    "overloaded": "server_error",
    "request_timeout": "server_error",
    "conflict": "server_error",
    "prompt_filtered": "content_filter",
    # the server asks for less: it goes on when the server does, and ends when it never does
    "rate_limit": "stop: rate_limited",
    "rate_limit_seconds": "stop: rate_limited",
    "rate_limit_date": "stop: rate_limited",
    "rate_limit_ms": "stop: rate_limited",
    "rate_limit_long": "stop: rate_limited",
    "rate_limit_nonsense": "stop: rate_limited",
    "unavailable": "stop: overloaded",
    # the run ends at once with one line
    "wrong_key": "stop: --api-key-env",
    "forbidden": "stop: --api-key-env",
    "no_model": "stop: --model",
    "quota": "stop: top up",
    "too_long": "stop: --overflow reject",
    "bad_request": "stop: check the parameters",
}
SLIPS = frozenset({"empty", "refusal", "echo", "truncated", "swapped_roles"})
NEVER_ANSWERED = {"timeout", "server_gone", "server_error"}  # asked again by the next run


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with fake_server("--drip-ms", "400") as running:
        yield running


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses a test can wait for; how long they are in earnest is held in test_datagen_pace.py."""
    monkeypatch.setattr("datagen.sending.BACKOFF_S", 0.001)
    monkeypatch.setattr("datagen.client.WAIT_TRIES", 3)
    monkeypatch.setattr("datagen.sending.NEVER_REACHED", 2)
    monkeypatch.setattr("datagen.sending.FAILURES_IN_A_ROW", 5)
    monkeypatch.setattr("datagen.pace.LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr("datagen.pace.FIRST_GUESS_S", 0.001)
    monkeypatch.setattr("datagen.pace.LONGEST_GUESS_S", 0.01)


def ask(server: FakeServer, folder: Path, fault: str, times: str = "", **settings: object) -> tuple[Answer, Client]:
    """One request to a model whose every answer has this fault; JSON is asked for where the fault is of JSON."""

    async def main() -> tuple[Answer, Client]:
        plain = Settings(server.url, "none", concurrency=2, timeout_s=1.0)._replace(**settings)
        async with Client(plain, log) as client:
            schema = JSON if OUTCOMES[fault] in ("broken_json", "not_schema") else None
            messages = [{"role": "user", "content": f"Which topic should I read about first, and why? ({fault})"}]
            # Where the answer is to be a good one, the slips that the fake makes by itself are let through.
            accept = SLIPS if times or OUTCOMES[fault] == GOOD else frozenset[str]()
            request = Request(f"fault:{fault}{times}", messages, {"max_tokens": 300}, schema=schema, accept=accept)
            return await client.ask(request), client

    log = RequestLog(folder / "requests.db")
    try:
        return asyncio.run(main())
    finally:
        log.close()


def attempts(folder: Path) -> list[tuple[bytes, str]]:
    """Each attempt in the log: its key, and how it ended."""
    with closing(sqlite3.connect(folder / "requests.db")) as db:
        return [(key, STATES[state]) for key, state in db.execute("SELECT key, state FROM attempts")]


def test_every_fault_of_the_server_has_an_outcome() -> None:
    assert set(OUTCOMES) == set(KNOWN)
    assert len(OUTCOMES) >= 25


@pytest.mark.parametrize("fault", OUTCOMES)
def test_a_fault_that_stays_has_its_outcome(server: FakeServer, tmp_path: Path, fault: str) -> None:
    outcome = OUTCOMES[fault]
    server.reset()
    if outcome.startswith("stop: "):
        with pytest.raises(ModelError) as stopped:
            ask(server, tmp_path, fault)
        assert outcome.removeprefix("stop: ") in str(stopped.value)
        assert "\n" not in str(stopped.value)
        return
    answer, first = ask(server, tmp_path, fault)
    assert answer.fault == (None if outcome == GOOD else outcome)
    assert answer.text or answer.detail or outcome in (GOOD, "empty", "truncated", "content_filter")
    asked = server.counts()["requests"]
    expected = {"retry": 3, "repair": 3, "reject": 1, "wait": 3}[FAULTS[outcome].policy] if outcome != GOOD else 1
    assert asked == expected == first.counts["ask", "asked"]
    again, second = ask(server, tmp_path, fault)
    assert again == answer or outcome in NEVER_ANSWERED
    assert second.counts["ask", "asked"] == (expected if outcome in NEVER_ANSWERED else 0)


PASSING = [f for f, o in OUTCOMES.items() if o in FAULTS and FAULTS[o].policy in ("retry", "wait") and o not in SLIPS]
PASSING += [f for f, o in OUTCOMES.items() if o in ("stop: rate_limited", "stop: overloaded")]


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_recovered_from(server: FakeServer, tmp_path: Path, fault: str) -> None:
    server.reset()
    answer, client = ask(server, tmp_path, fault, "=first:1")
    assert answer.fault is None
    assert answer.finish
    assert server.counts()["requests"] == 2 == client.counts["ask", "asked"]


@pytest.mark.parametrize("fault", ["broken_json", "fenced_json", "not_schema"])
def test_json_that_does_not_fit_is_repaired_by_saying_what_was_wrong(
    server: FakeServer, tmp_path: Path, fault: str
) -> None:
    """Half of all requests meet the fault, and a repair is another request: some fit at the second or third try."""
    server.reset()

    async def main() -> tuple[list[Answer], Client]:
        async with Client(Settings(server.url, "none"), log) as client:
            texts = [f"Name topic number {n} as JSON." for n in range(24)]
            requests = [
                Request(f"fault:{fault}=0.5", [{"role": "user", "content": t}], {"max_tokens": 300}, schema=JSON)
                for t in texts
            ]
            return [answer async for _, answer in client.each(requests, client.ask)], client

    log = RequestLog(tmp_path / "requests.db")
    answers, client = asyncio.run(main())
    at_once = len(answers) - len({key for key, state in attempts(tmp_path) if state == "rejected"})
    log.close()
    good = [answer for answer in answers if answer.fault is None]
    assert all(isinstance(answer.value["topic"], str) for answer in good)
    assert client.sender.retried["ask", OUTCOMES[fault]] > 0
    assert len(good) > at_once
    assert len(good) == client.counts["ask", "good"]


@pytest.mark.parametrize("fault", ["too_long"])
def test_a_prompt_too_long_can_be_rejected_instead(server: FakeServer, tmp_path: Path, fault: str) -> None:
    answer, _ = ask(server, tmp_path, fault, reject_too_long=True)
    assert answer.fault == "too_long"
    again, client = ask(server, tmp_path, fault, reject_too_long=True)
    assert again == answer
    assert client.counts["ask", "asked"] == 0


def test_another_models_answers_are_taken_where_one_says_so(server: FakeServer, tmp_path: Path) -> None:
    answer, _ = ask(server, tmp_path, "wrong_model", any_model=True)
    assert answer.fault is None
    assert answer.model != "fault:wrong_model"


def test_a_dropped_connection_is_counted_as_paid(server: FakeServer, tmp_path: Path) -> None:
    answer, client = ask(server, tmp_path, "close")
    assert answer.fault == "server_gone"
    assert client.budget.tokens > 0


def test_a_server_that_nobody_started_is_said_in_one_line_and_costs_nothing(tmp_path: Path) -> None:
    gone = FakeServer()
    gone.stop()
    with pytest.raises(ModelError, match=rf"nobody answers at {gone.url} .*start the server, or check --base-url"):
        ask(gone, tmp_path, "same_id")
    log = RequestLog(tmp_path / "requests.db")
    assert log.spent == Spent(0, 0)
    assert log.in_flight == []
    log.close()


def test_a_refusal_in_a_field_of_its_own_is_the_text_where_refusals_are_answers(
    server: FakeServer, tmp_path: Path
) -> None:
    answer, _ = ask(server, tmp_path, "refusal_field", "=always")
    assert answer.fault is None
    assert answer.text
