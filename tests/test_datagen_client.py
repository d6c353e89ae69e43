"""The client against a real server over HTTP: replay, order, the cap, the stop, and death at any moment."""

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fake import FakeServer, fake_server

from data.errors import BudgetEnded, ModelError
from datagen.budget import Price
from datagen.client import Client, Settings
from datagen.request import Answer, Request
from datagen.request_log import RequestLog


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with fake_server("--plain") as running:
        yield running


def question(n: int, **rest: Any) -> Request:
    return Request("fake", [{"role": "user", "content": f"What is worth knowing about number {n}?"}], rest)


class Ran:
    """What came of a run: the answers that were given, in order, what ended it, and the client."""

    def __init__(self, url: str, log: Path, requests: list[Request], **settings: Any) -> None:
        self.answers: list[Answer] = []
        self.ended: BaseException | None = None
        held = RequestLog(log)
        try:
            asyncio.run(self._run(Settings(url, "none")._replace(**settings), held, requests))
        finally:
            held.close()
        self.log = held

    async def _run(self, settings: Settings, log: RequestLog, requests: list[Request]) -> None:
        async with Client(settings, log) as self.client:
            try:
                async for _, answer in self.client.each(requests, self.client.ask):
                    self.answers.append(answer)
            except (BudgetEnded, ModelError) as error:
                self.ended = error


def test_a_second_run_makes_no_call_and_gives_the_same(server: FakeServer, tmp_path: Path) -> None:
    requests = [question(n) for n in range(40)]
    server.reset()
    first = Ran(server.url, tmp_path / "log.db", requests, concurrency=8)
    assert server.counts()["requests"] == 40
    second = Ran(server.url, tmp_path / "log.db", requests)
    assert server.counts()["requests"] == 40
    assert second.answers == first.answers
    assert len({answer.key for answer in first.answers}) == 40


def test_results_come_in_the_order_of_the_items_whatever_order_answers_arrive_in(tmp_path: Path) -> None:
    requests = [question(n) for n in range(60)]
    with fake_server("--plain", "--latency-ms", "5", "--jitter-ms", "60") as slow:
        ran = Ran(slow.url, tmp_path / "a.db", requests, concurrency=16)
        one = Ran(slow.url, tmp_path / "b.db", requests, concurrency=1)
        assert 2 <= slow.counts()["most_at_once"] <= 16
    url = ran.client.settings.base_url
    assert [answer.key for answer in ran.answers] == [request.key(url).hex() for request in requests]
    assert ran.answers == one.answers


def test_the_same_request_twice_at_once_is_asked_once_and_each_sample_by_itself(
    server: FakeServer, tmp_path: Path
) -> None:
    server.reset()
    same = question(1, temperature=1.0, seed=7)
    requests = [same] * 10 + [same._replace(sample=n) for n in range(4)]
    ran = Ran(server.url, tmp_path / "log.db", requests)
    assert server.counts()["requests"] == 4
    assert len({answer.text for answer in ran.answers}) > 1  # the seed moves on with the sample


def test_the_budget_ends_a_run_with_what_was_paid_for_and_a_greater_one_goes_on(
    server: FakeServer, tmp_path: Path
) -> None:
    requests = [question(n, max_tokens=100) for n in range(50)]
    price = {"price": lambda _model: Price(500_000, 1_500_000), "concurrency": 4}
    server.reset()
    ran = Ran(server.url, tmp_path / "log.db", requests, max_cost=3 * 10**9, **price)
    assert isinstance(ran.ended, BudgetEnded)
    assert "raise --max-cost-usd" in str(ran.ended)
    assert 0 < len(ran.answers) < 50
    seen = server.counts()
    assert seen["requests"] == len(ran.answers)
    assert ran.client.budget.cost <= 3 * 10**9
    more = Ran(server.url, tmp_path / "log.db", requests, max_cost=10**12, **price)
    assert more.ended is None
    assert more.answers[: len(ran.answers)] == ran.answers
    assert server.counts()["requests"] == 50


CAP = 5000  # tokens; ninety answers would take some 7,000


@pytest.mark.parametrize("fault", ["no_choices=0.3", "close=0.3", "server_error=0.3", "no_usage=0.5", "hang=0.05"])
def test_the_cap_holds_with_every_retry_counted(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own count of tokens, of all it answered, stays below the cap."""
    monkeypatch.setattr("datagen.sending.BACKOFF_S", 0.001)
    with fake_server("--plain", "--fault", fault) as faulty:
        requests = [question(n, max_tokens=60) for n in range(90)]
        ran = Ran(faulty.url, tmp_path / "log.db", requests, max_tokens_total=CAP, concurrency=8, timeout_s=0.5)
        seen = faulty.counts()
    assert isinstance(ran.ended, BudgetEnded)
    assert ran.client.budget.tokens <= CAP
    assert 0 < seen["prompt_tokens"] + seen["completion_tokens"] <= CAP


def test_a_run_that_must_stop_lets_what_is_under_way_reach_the_log(tmp_path: Path) -> None:
    """Number 20 finds no such model while others are being answered: those are logged, nothing new is sent."""
    requests = [question(n)._replace(model="fault:no_model" if n == 20 else "fake") for n in range(400)]
    with fake_server("--plain", "--latency-ms", "30") as slow:
        ran = Ran(slow.url, tmp_path / "log.db", requests, concurrency=16)
        assert isinstance(ran.ended, ModelError)
        assert "no_model" in str(ran.ended) or "no model" in str(ran.ended)
        seen = slow.counts()
        log = RequestLog(tmp_path / "log.db")
        assert log.in_flight == []
        assert len(log) == seen["requests"] - 1 < 200
        log.close()


def test_no_more_requests_are_open_than_the_concurrency(tmp_path: Path) -> None:
    with fake_server("--plain", "--latency-ms", "20") as slow:
        Ran(slow.url, tmp_path / "log.db", [question(n) for n in range(120)], concurrency=7)
        assert slow.counts()["most_at_once"] == 7


def test_a_limited_server_is_kept_busy_without_waste(tmp_path: Path) -> None:
    with fake_server("--plain", "--rpm", "3000", "--burst", "1") as limited:
        ran = Ran(limited.url, tmp_path / "log.db", [question(n) for n in range(300)], concurrency=50)
        limits = limited.counts()["limits"]
    assert len(ran.answers) == 300 == limits["allowed"]
    assert all(answer.fault is None for answer in ran.answers)


RUN = """
    import asyncio, sys
    from pathlib import Path
    sys.path[:0] = ["tests"]
    from test_datagen_client import Ran, question
    ran = Ran(sys.argv[1], Path(sys.argv[2]), [question(n) for n in range(150)], concurrency=8)
    Path(sys.argv[3]).write_text("\\n".join(repr(answer) for answer in ran.answers))
"""


def test_killed_at_any_moment_nothing_that_was_logged_is_asked_again(tmp_path: Path) -> None:
    """Ten times SIGKILL, then to the end: the server saw each request once, and those in flight twice."""
    rng = random.Random(5)
    with fake_server("--plain", "--latency-ms", "25", "--jitter-ms", "25") as slow:
        command = [sys.executable, "-c", textwrap.dedent(RUN), slow.url, str(tmp_path / "log.db")]
        undisturbed = [*command[:-1], str(tmp_path / "other.db"), str(tmp_path / "undisturbed")]
        subprocess.run(undisturbed, cwd=ROOT, check=True)
        slow.reset()
        lost = 0
        for _ in range(10):
            process = subprocess.Popen([*command, str(tmp_path / "out")], cwd=ROOT)
            until = time.monotonic() + 20
            before = slow.counts()["requests"]
            while slow.counts()["requests"] < before + rng.randrange(3, 12) and time.monotonic() < until:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            log = RequestLog(tmp_path / "log.db")
            assert len(log.in_flight) <= 8
            lost += len(log.in_flight)
            log.close()
        subprocess.run([*command, str(tmp_path / "out")], cwd=ROOT, check=True)
        seen = slow.counts()
    assert (tmp_path / "out").read_text() == (tmp_path / "undisturbed").read_text()
    assert 150 <= seen["requests"] <= 150 + lost
    assert len(seen["by_key"]) == 150
