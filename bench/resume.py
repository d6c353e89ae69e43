"""Resume a run whose log holds a million answered requests: how long until the first new one is sent.

    python -m bench.resume

The log is filled as runs fill it (requests and answers of 4 kB). Then, in a new process: the log is opened,
each of the million requests is made, hashed and found, and the first that is not there is asked of a fake
server. Beside it, how fast answers are read back, checked and handed on in order (`client.each`).
"""

import argparse
import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.asking import fake_server
from bench.figures import ROOT, folder, parsed, report

TEXT = ("What should a person who has never baked before know about bread, and why does it matter? " * 46)[:3900]


def main() -> int:
    """Measure, print, keep."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--requests", type=int, default=1_000_000, metavar="N", help="in the log (default 1,000,000)")
    args.add_argument("--resume", nargs=2, metavar=("LOG", "URL"), help=argparse.SUPPRESS)
    asked = parsed(args)
    if asked.resume:
        print(json.dumps(asyncio.run(resume(Path(asked.resume[0]), asked.resume[1], asked.requests))))
        return 0
    with folder() as made, fake_server("--plain") as url:
        fill(made / "requests.db", url, asked.requests)
        command = [sys.executable, "-m", "bench.resume", "--requests", str(asked.requests)]
        ran = subprocess.run(
            [*command, "--resume", str(made / "requests.db"), url], cwd=ROOT, check=True, capture_output=True, text=True
        )
        found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        found["log_mb"] = round((made / "requests.db").stat().st_size / 1e6)
    first, opened, memory, per_s = (found[k] for k in ("first_new_s", "open_s", "memory_mb", "replayed_per_s"))
    figure = f"{asked.requests:,} logged: {first:.1f} s to the first new request (log open after {opened:.1f} s)"
    figure += f", {memory} MB; {per_s:,} answers a second read back"
    return report("resume", figure, "< 10 s, < 1 GB", found, first < 10 and memory < 1000)


async def resume(path: Path, url: str, requests: int) -> dict[str, Any]:
    """Open, recognise all, ask the one that is new; then read a part back."""
    from datagen.client import Client, Settings
    from datagen.request_log import RequestLog

    began = time.perf_counter()
    log = RequestLog(path)
    opened = time.perf_counter() - began
    async with Client(Settings(url, "none"), log) as client:
        new = [request for request in questions(requests + 1) if request.key(url) not in log]
        assert len(new) == 1
        first = await client.ask(new[0])
        first_new = time.perf_counter() - began
        assert first.fault is None
        part = min(requests, 100_000)
        began = time.perf_counter()
        good = 0
        async for _, answer in client.each(questions(part), client.ask):
            good += answer.fault is None
        took = time.perf_counter() - began
        assert good == part == client.counts["ask", "from_log"]
    log.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"open_s": opened, "first_new_s": first_new, "memory_mb": memory, "replayed_per_s": round(part / took)}


def questions(requests: int) -> Iterator[Any]:
    """So many requests of 4 kB."""
    from datagen.request import Request

    for n in range(requests):
        yield Request("fake", [{"role": "user", "content": f"{n} {TEXT}"}], {"max_tokens": 300})


def fill(path: Path, url: str, requests: int) -> None:
    """The log as a finished run leaves it, written in large commits instead of one for each group."""
    from datagen.request_log import ANSWERED, RequestLog

    RequestLog(path).close()
    answer = {"role": "assistant", "content": TEXT}
    usage = {"prompt_tokens": 900, "completion_tokens": 900}
    body = orjson.dumps({"model": "fake", "choices": [{"message": answer, "finish_reason": "stop"}], "usage": usage})
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    for n, request in enumerate(questions(requests)):
        db.execute(
            "INSERT INTO attempts (id, key, state, stage, model, started, tokens, cost)"
            " VALUES (?, ?, ?, 'ask', 'fake', 0, 1800, 1800000)",
            (n + 1, request.key(url), ANSWERED),
        )
        db.execute("INSERT INTO replies (id, body) VALUES (?, ?)", (n + 1, body))
        if n % 20_000 == 0:
            db.commit()
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


if __name__ == "__main__":
    sys.exit(main())
