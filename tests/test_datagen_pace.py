"""Pace in virtual time: hours of a storm in a moment, the same each time."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from virtual_time import run

from datagen.pace import Pace, retry_after, seconds


class Bucket:
    """A server's limit: `rate` requests a second, `burst` at once."""

    def __init__(self, clock: Callable[[], float], rate: float, burst: float, told: str) -> None:
        self.clock, self.rate, self.burst, self.told = clock, rate, burst, told
        self.left, self.at = burst, clock()

    def ask(self) -> tuple[bool, dict[str, str]]:
        now = self.clock()
        self.left, self.at = min(self.burst, self.left + (now - self.at) * self.rate), now
        allowed = self.left >= 1
        self.left -= allowed
        headers = {}
        if self.told == "headers":
            headers["x-ratelimit-remaining-requests"] = str(int(self.left))
        if not allowed and self.told in ("headers", "exact"):
            headers["retry-after-ms"] = str(1000 * (1 - self.left) / self.rate)
        if not allowed and self.told == "seconds":
            headers["retry-after"] = "1"
        return allowed, headers


async def storm(requests: int, concurrency: int, rate: float, latency: float, told: str) -> tuple[float, float]:
    """The share of the allowed rate that was used, and of the requests that were refused."""
    clock = asyncio.get_running_loop().time
    pace, server, rng = Pace(concurrency, clock=clock), Bucket(clock, rate, 2 * rate, told), random.Random(1)
    sent = 0

    async def one() -> None:
        nonlocal sent
        while True:
            left_at = await pace.enter(1)
            try:
                sent += 1
                await asyncio.sleep(latency * rng.uniform(0.2, 0.8))
                allowed, headers = server.ask()
                await asyncio.sleep(latency * rng.uniform(0.2, 0.8))
                if allowed:
                    pace.went_well(headers)
                    return
                pace.pressed(left_at, retry_after(headers), True)
            finally:
                pace.leave()

    await asyncio.gather(*(one() for _ in range(requests)))
    return requests / (rate * clock() + server.burst), (sent - requests) / sent


@pytest.mark.parametrize("told", ["nothing", "seconds", "exact", "headers"])
@pytest.mark.parametrize(("rate", "latency"), [(10, 0.05), (50, 0.05), (20, 0.5)])
def test_a_storm_of_refusals_is_ridden_out(rate: float, latency: float, told: str) -> None:
    used, wasted = run(storm(int(rate * 300), 200, rate, latency, told))
    assert used >= 0.9
    assert wasted < 0.02


def test_no_more_leave_at_once_than_allowed_and_the_number_grows_from_answer_to_answer() -> None:
    async def main() -> tuple[int, list[int]]:
        pace, most, grew = Pace(50, clock=asyncio.get_running_loop().time), 0, []

        async def one() -> None:
            nonlocal most
            await pace.enter(1)
            most = max(most, pace.in_flight)
            await asyncio.sleep(0.2)
            pace.went_well({})
            grew.append(int(pace.limit))
            pace.leave()

        await asyncio.gather(*(one() for _ in range(400)))
        return most, grew

    most, grew = run(main())
    assert most == 50
    assert grew[0] < 10
    assert grew == sorted(grew)


def test_the_number_in_flight_doubles_with_each_round_trip_and_more_carefully_after_a_refusal() -> None:
    async def main() -> tuple[list[int], list[int]]:
        pace = Pace(1000, clock=asyncio.get_running_loop().time)

        async def one() -> None:
            await pace.enter(1)
            await asyncio.sleep(1.0)
            pace.went_well({})
            pace.leave()

        async def watched(seconds: int) -> list[int]:
            asked = [asyncio.ensure_future(one()) for _ in range(200)]
            seen = []
            for _ in range(seconds):
                await asyncio.sleep(0.5)
                seen.append(pace.in_flight)
                await asyncio.sleep(0.5)
            await asyncio.gather(*asked)
            return seen

        before = await watched(5)
        pace.pressed(asyncio.get_running_loop().time(), 0.0, by_rate=True)
        await asyncio.sleep(2.0)
        pace.limit = 4.0
        return before, await watched(5)

    before, after = run(main())
    assert before == [4, 8, 16, 32, 64]
    assert after == [4, 6, 9, 13, 20]


@pytest.mark.parametrize(("rpm", "tpm", "expected"), [(60, None, 60), (None, 6000, 60), (120, 6000, 60)])
def test_rpm_and_tpm_hold(rpm: float | None, tpm: float | None, expected: float) -> None:
    """61 requests of 100 tokens take a minute at 60 a minute, whichever limit says so."""

    async def main() -> float:
        clock = asyncio.get_running_loop().time
        pace = Pace(10, rpm, tpm, clock)

        async def one() -> None:
            await pace.enter(100)
            pace.leave()

        await asyncio.gather(*(one() for _ in range(61)))
        return clock()

    assert run(main()) == pytest.approx(expected, abs=1)


def test_a_pause_is_shared_by_all_and_refusals_of_what_had_already_left_slow_nothing_further() -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        pace = Pace(4, clock=clock)
        left = [await pace.enter(1) for _ in range(4)]
        for at in left:
            pace.pressed(at, 7.0, True)
            pace.leave()
        assert pace.slowed == 1
        await pace.enter(1)
        assert clock() == pytest.approx(7.0)

    run(main())


def test_an_overload_lowers_the_number_in_flight_to_three_quarters() -> None:
    async def main() -> None:
        pace = Pace(4, clock=asyncio.get_running_loop().time)
        pace.limit, pace.most = 40.0, 40
        pace.pressed(await pace.enter(1), 1.0, by_rate=False)
        assert pace.limit == 30
        for _ in range(25):
            pace.went_well({})
        assert pace.limit == pytest.approx(31)

    run(main())


def test_one_who_gives_up_waiting_takes_nobodys_place() -> None:
    async def main() -> None:
        pace = Pace(1, clock=asyncio.get_running_loop().time)
        await pace.enter(1)
        waiting = [asyncio.ensure_future(pace.enter(1)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pace.leave()
        await waiting[1]
        assert pace.in_flight == 1

    run(main())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", 1.5),
        ("250ms", 0.25),
        ("12s", 12),
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("2m", 120),
        ("", None),
        ("soon", None),
        ("-3", None),
    ],
)
def test_durations_of_headers(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


def test_retry_after_in_each_spelling() -> None:
    wall = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC).timestamp
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after": "Mon, 05 Jan 2026 10:00:09 GMT"}, wall) == 9
    assert retry_after({"retry-after": "Mon, 05 Jan 2026 09:00:00 GMT"}, wall) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None
