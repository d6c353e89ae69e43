"""Next and submit in a closed loop, no think time, at 1, 10, 30 and 100 people.

    python -m bench.closed_loop
    python -m bench.peers closed_loop                 (once: Label Studio and Potato in environments of their own)
    python -m bench.closed_loop --peers peers_annotate.py --label-studio VENV/bin/label-studio --potato VENV/bin/potato

5,000 A/B tasks of 225 words, three judges each, SQLite, one server, fresh people at every
level. An operation is one acknowledged submit and the next task before it. With the rivals installed
and `--peers`, a script (../shared/peers/peers_annotate.py where it is there), they are measured in the same run: it
makes the calls their own pages make, at the same levels for the same time; each app runs alone.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import peers
from bench.annotators import Annotator, Book, Server, crowd, leave, prepare, quantiles, serving, wrongs
from bench.figures import ROOT, a_store, folder, parsed, report
from data.store import open_store

DRIVER = ROOT.parent / "shared/peers/peers_annotate.py"
TIMES = 4
"""At least so many times the better rival's operations a second, at every level."""


async def work(person: Annotator, stop: float, rng: random.Random) -> None:
    """One person: a task, its answer, the next, until `stop`."""
    while time.perf_counter() < stop:
        task = await person.next()
        if task is None:
            return
        if time.perf_counter() < stop:
            await person.submit(task, rng.choice(("A", "B", "tie")))


async def level(server: Server, links: list[str], seconds: float, book: Book) -> dict[str, Any]:
    """Everybody at once for so many seconds."""
    people = await crowd([server.address], links, book)
    began, cpu, own = time.perf_counter(), server.cpu_s(), time.process_time()
    await asyncio.gather(*(work(p, began + seconds, random.Random(n)) for n, p in enumerate(people)))
    wall = time.perf_counter() - began
    await leave(people)
    return {
        "annotators": len(links),
        "ops_per_s": round(sum(end <= began + seconds for end in book.ends) / seconds, 1),
        "next": quantiles(book.seconds["next"]),
        "submit": quantiles(book.seconds["submit"]),
        "failed": sum(book.failed.values()),
        "server_cores": round((server.cpu_s() - cpu) / wall, 2),
        "client_cores": round((time.process_time() - own) / wall, 2),
        "server_mb": server.memory_mb(),
    }


def ours(levels: list[int], seconds: float, store_kind: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Our figures at every level, and what was wrong with what was kept."""
    rows, acknowledged = [], {}
    with a_store(store_kind) as url:
        links = {count: prepare(url, 5000 if n == 0 else 0, count, who=f"l{n}") for n, count in enumerate(levels)}
        with serving(url) as servers:
            for count in levels:
                book = Book()
                rows.append(asyncio.run(level(servers[0], links[count], seconds, book)))
                acknowledged.update(book.acknowledged)
                print(f"  concord {json.dumps(rows[-1])}", flush=True)
        store = open_store(url)
        wrong = wrongs(store, acknowledged)
        store.close()
    return rows, wrong


def rival(script: Path, name: str, binary: Path, levels: list[int], seconds: float) -> list[dict[str, Any]]:
    """A rival's figures at the same levels, from the script's own report; none where it could not be measured."""
    with folder() as made:
        out = made / "out.json"
        command = [sys.executable, str(script), name, "--bin", str(binary), "--work", str(made / "work")]
        command += ["--out", str(out), "--levels", ",".join(map(str, levels)), "--seconds", str(seconds)]
        with (made / "log").open("wb") as log:
            subprocess.run([*command, "--kills", "0", "--drains", ""], stdout=log, stderr=log, check=False)
        if not out.exists():
            print(f"  {name} could not be measured:\n{(made / 'log').read_text()[-2000:]}", flush=True)
            return []
        rows: list[dict[str, Any]] = json.loads(out.read_text())["levels"]
    for row in rows:
        print(f"  {name} {json.dumps(row)}", flush=True)
    return rows


def compare(mine: list[dict[str, Any]], theirs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Level by level: our operations a second over the better rival's, and p95 of both requests against its p95."""
    table = []
    for n, row in enumerate(mine):
        name, best = max(((k, rows[n]) for k, rows in theirs.items()), key=lambda pair: pair[1]["ops_per_s"])
        both = [row[kind]["p95"] for kind in ("next", "submit")]
        its = [best[kind].get("p95_ms", 0) for kind in ("next", "submit")]
        table.append(
            {
                "annotators": row["annotators"],
                "best_rival": name,
                "its_ops_per_s": best["ops_per_s"],
                "times": round(row["ops_per_s"] / max(best["ops_per_s"], 0.01), 1),
                "p95_ms_next_and_submit": round(sum(both), 1),
                "its_p95_ms": round(sum(its), 1),
            }
        )
    return table


def main() -> int:
    """Measure, print, keep."""
    driver = DRIVER if DRIVER.exists() else None
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--levels", type=lambda s: [int(x) for x in s.split(",")], default=[1, 10, 30, 100])
    args.add_argument("--seconds", type=float, default=20)
    args.add_argument("--store", default="sqlite")
    args.add_argument("--peers", type=Path, help="the script that drives the rivals", default=driver)
    args.add_argument("--label-studio", type=Path, help="its command, in its own environment")
    args.add_argument("--potato", type=Path, help="its command, in its own environment")
    asked = parsed(args)
    mine, wrong = ours(asked.levels, asked.seconds, asked.store)
    binaries = {
        "label-studio": asked.label_studio or peers.program_of("label-studio"),
        "potato": asked.potato or peers.program_of("potato"),
    }
    theirs = {
        name: rival(asked.peers, name, binary.absolute(), asked.levels, asked.seconds)
        for name, binary in binaries.items()
        if binary and asked.peers
    }
    theirs = {name: rows for name, rows in theirs.items() if rows}
    failed = sum(row["failed"] for row in mine)
    ok = not failed and not any(wrong.values())
    against = peers.absent("closed_loop") if asked.peers else "no rival was measured in this run (--peers)"
    details: dict[str, Any] = {"ours": mine, "wrong": wrong}
    if theirs:
        table = compare(mine, theirs)
        reached = all(row["times"] >= TIMES for row in table)
        reached &= all(r["p95_ms_next_and_submit"] < r["its_p95_ms"] / 3 for r in table if r["annotators"] >= 100)
        ok = ok and reached
        against = "the better rival at each level: " + ", ".join(
            f"{row['annotators']}: {row['its_ops_per_s']}/s ({row['best_rival']}), {row['times']}×" for row in table
        )
        told = {name: peers.versions(name, asked.label_studio or asked.potato) for name in theirs}
        details.update(compared=table, rivals=theirs, rivals_versions=told)
    figure = ", ".join(f"{row['annotators']}: {row['ops_per_s']}/s" for row in mine) + f"; {failed} failed requests"
    return report(f"closed_loop_{asked.store.split(':')[0]}", figure, against, details, ok)


if __name__ == "__main__":
    sys.exit(main())
