"""Requests a second through the client, with log, budget and validation on, beside the bare openai package.

    python -m bench.asking                    (200 at once, a server that answers at once and one that takes 200 ms)
    python -m bench.asking --storm            (a server that allows 50 a second: how much of it is used, and wasted)

The three take turns on the same fake server, each in a process of its own: the package with its default
transport, the package with its fastest (aiohttp), and ours, which uses the latter. Each starts with no
connection open. Client and server share the machine.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

from bench.figures import ROOT, folder, parsed, report

QUESTION = "Question {n}: what should a person who has never baked before know about bread, and why?"


def main() -> int:
    """Measure, print, keep; or run one contestant."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--requests", type=int, default=6000, metavar="N", help="per contestant and round (default 6000)")
    args.add_argument("--concurrency", type=int, default=200, metavar="N")
    args.add_argument("--rounds", type=int, default=3, metavar="N", help="the median of so many (default 3)")
    args.add_argument("--storm", action="store_true", help="measure against a rate limit instead")
    args.add_argument("--minutes", type=float, default=2.0, help="of storm (default 2)")
    args.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    args.add_argument("--url", help=argparse.SUPPRESS)
    asked = parsed(args)
    if asked.contestant:
        seconds = asyncio.run(CONTESTANTS[asked.contestant](asked.url, asked.requests, asked.concurrency))
        print(json.dumps(seconds))
        return 0
    return storm(asked.minutes, asked.concurrency) if asked.storm else throughput(asked)


def throughput(asked: argparse.Namespace) -> int:
    """All contestants in turn, at 0 and at 200 ms."""
    details: dict[str, Any] = {"requests": asked.requests, "concurrency": asked.concurrency, "rounds": asked.rounds}
    reached, said = True, []
    for latency in (0, 200):
        rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        with fake_server("--plain", "--latency-ms", str(latency)) as url:
            for _ in range(asked.rounds):
                for name in CONTESTANTS:
                    rates[name].append(asked.requests / _alone(name, url, asked))
        middle = {name: statistics.median(found) for name, found in rates.items()}
        against_aiohttp, against_default = (middle["ours"] / middle[name] for name in ("aiohttp", "default"))
        reached = reached and against_aiohttp >= 0.8 and against_default >= 1.8
        said.append(
            f"{latency} ms: {middle['ours']:.0f}/s, {against_aiohttp:.2f} × aiohttp, {against_default:.1f} × default"
        )
        details[f"per_second_at_{latency}_ms"] = {
            name: [round(rate) for rate in found] for name, found in rates.items()
        }
        details[f"ratios_at_{latency}_ms"] = {
            "to_aiohttp": round(against_aiohttp, 3),
            "to_default": round(against_default, 3),
        }
    against = (
        "the openai package bare: aiohttp (at least 0.8 of it), default transport (at least 1.8 times), same run;"
        f" {asked.concurrency} at once can be answered {5 * asked.concurrency:,} times a second at 200 ms"
    )
    return report("asking", "; ".join(said), against, details, reached)


def storm(minutes: float, concurrency: int) -> int:
    """Keep asking a server that allows 50 a second, with 200 at once."""
    requests = int(minutes * 3000)
    details: dict[str, Any] = {"requests": requests, "concurrency": concurrency, "allowed_per_second": 50}
    reached, said = True, []
    for name, flags in {
        "headers": [],
        "429 without a header": ["--no-limit-headers"],
    }.items():
        with fake_server("--plain", "--latency-ms", "50", "--rpm", "3000", "--burst", "2", *flags) as url:
            asyncio.run(ours(url, requests, concurrency))
            with urlopen(f"{url.removesuffix('/v1')}/counts?keys=0", timeout=30) as answer:
                limits = json.load(answer)["limits"]
        wasted = limits["refused"] / (limits["refused"] + limits["allowed"])
        reached = reached and limits["share_used"] >= 0.9 and wasted < 0.02
        said.append(f"{name}: {limits['share_used']:.1%} used, {wasted:.2%} wasted")
        details[name] = limits
    return report("storm", "; ".join(said), "90 % of the allowed rate, under 2 % wasted", details, reached)


async def ours(url: str, requests: int, concurrency: int) -> float:
    """The client with everything on: log on disk, a cap, prices, checks."""
    from datagen.budget import Price
    from datagen.client import Client, Settings
    from datagen.request import Request
    from datagen.request_log import RequestLog

    with folder() as made:
        log = RequestLog(made / "requests.db")
        settings = Settings(
            url,
            "none",
            concurrency,
            price=lambda _model: Price(500_000, 1_500_000),
            max_cost=10**15,
            max_tokens_total=10**12,
        )
        async with Client(settings, log) as client:
            asked = (
                Request("fake", [{"role": "user", "content": QUESTION.format(n=n)}], {"max_tokens": 300})
                for n in range(requests)
            )
            began = time.perf_counter()
            answered = [answer async for _, answer in client.each(asked, client.ask)]
            took = time.perf_counter() - began
        log.close()
        assert len(answered) == requests
        return took


def bare(transport: str) -> Callable[[str, int, int], Coroutine[Any, Any, float]]:
    """The package as its users call it, with a semaphore for the number at once."""

    async def contestant(url: str, requests: int, concurrency: int) -> float:
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        kind = DefaultAioHttpClient if transport == "aiohttp" else DefaultAsyncHttpxClient
        client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=kind(limits=limits))
        gate = asyncio.Semaphore(concurrency)

        async def one(n: int) -> str:
            async with gate:
                answer = await client.chat.completions.create(
                    model="fake", messages=[{"role": "user", "content": QUESTION.format(n=n)}], max_tokens=300
                )
            return answer.choices[0].message.content or ""

        began = time.perf_counter()
        answered = await asyncio.gather(*(one(n) for n in range(requests)))
        took = time.perf_counter() - began
        await client.close()
        assert len(answered) == requests
        return took

    return contestant


CONTESTANTS: dict[str, Callable[[str, int, int], Coroutine[Any, Any, float]]] = {
    "default": bare("default"),
    "aiohttp": bare("aiohttp"),
    "ours": ours,
}


def _alone(name: str, url: str, asked: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "bench.asking", "--contestant", name, "--url", url]
    flags = ["--requests", str(asked.requests), "--concurrency", str(asked.concurrency)]
    ran = subprocess.run([*command, *flags], cwd=ROOT, check=True, capture_output=True, text=True)
    seconds: float = json.loads(ran.stdout.splitlines()[-1])
    return seconds


@contextmanager
def fake_server(*flags: str) -> Any:
    """The address of a fake server on a free port."""
    command = [sys.executable, "-m", "datagen.fake_server", "--port", "0", *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
