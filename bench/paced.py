"""Many people at their own pace: one submit every ten seconds each, over HTTP.

    python -m bench.paced --people 100
    python -m bench.paced --people 500 --store postgresql --servers 2

Everybody takes a task, thinks, submits it and takes the next at once, as the page does; all
start at a moment of their own within the first ten seconds. The client shares the machine.
"""

import argparse
import asyncio
import random
import sys
import time
from typing import Any

from bench.annotators import Annotator, Book, crowd, leave, prepare, quantiles, serving, wrongs
from bench.figures import a_store, parsed, report
from data.store import open_store

REACH_MS = 150


async def work(person: Annotator, rng: random.Random, began: float, every: float, seconds: float) -> None:
    """One person from their first moment until the end."""
    at = began + rng.random() * every
    await asyncio.sleep(at - time.perf_counter())
    task = await person.next()
    while task and (at := at + every) < began + seconds:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        await person.submit(task, rng.choice(("A", "B", "tie")))
        task = await person.next()


async def measure(addresses: list[str], links: list[str], every: float, seconds: float) -> Book:
    """Everybody signed in, then everybody at work; sign-in is not timed."""
    book = Book()
    people = await crowd(addresses, links, book)
    began = time.perf_counter() + 1
    await asyncio.gather(*(work(p, random.Random(n), began, every, seconds) for n, p in enumerate(people)))
    await leave(people)
    return book


def main() -> int:
    """Measure, print, keep."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--people", type=int, default=100)
    args.add_argument("--store", default="sqlite")
    args.add_argument("--servers", type=int, default=1, help="processes that serve, all over the one store")
    args.add_argument("--every", type=float, default=10, help="seconds from one submit of a person to the next")
    args.add_argument("--seconds", type=float, default=90)
    asked = parsed(args)
    submits = asked.people * (int(asked.seconds / asked.every) + 1)
    with a_store(asked.store) as url:
        links = prepare(url, max(1000, submits // 2), asked.people)
        with serving(url, asked.servers) as servers:
            cpu = sum(server.cpu_s() for server in servers)
            began = time.perf_counter()
            book = asyncio.run(measure([server.address for server in servers], links, asked.every, asked.seconds))
            wall = time.perf_counter() - began
            cores = (sum(server.cpu_s() for server in servers) - cpu) / wall
            memory = [server.memory_mb() for server in servers]
        store = open_store(url)
        wrong = wrongs(store, book.acknowledged)
        store.close()
    seen = {kind: quantiles(seconds) for kind, seconds in book.seconds.items() if seconds}
    failed = sum(book.failed.values())
    ok = not failed and not any(wrong.values()) and all(one["p95"] < REACH_MS for one in seen.values())
    details: dict[str, Any] = {
        **seen,
        "failed": dict(book.failed),
        "wrong": wrong,
        "people": asked.people,
        "every_s": asked.every,
        "seconds": asked.seconds,
        "servers": asked.servers,
        "server_cores": round(cores, 2),
        "server_mb": memory,
    }
    figure = (
        f"{asked.people} people, {asked.servers} server(s) on {asked.store}: p95 of next {seen['next']['p95']} ms,"
        f" of submit {seen['submit']['p95']} ms; {wrong['over_assigned']} over-assigned, {failed} failed"
    )
    against = f"p95 < {REACH_MS} ms each; Gradio's own queue did 34 events a second at 20 clients on such a machine"
    return report(f"paced_{asked.people}_{asked.store.split(':')[0]}", figure, against, details, ok)


if __name__ == "__main__":
    sys.exit(main())
