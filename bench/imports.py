"""Tasks a second into a store: 4 answers of 900 characters, 3 slots each.

    python -m bench.imports

A file in the short task layout goes in through what `python -m annotate.load` calls:
data.formats.read and annotate.intake.load_rows. In the same run a bare loop, with pydantic
and sqlite3 and nothing else, puts the same lines and slots into an empty file: no ids
hashed, no ledger, no check for what is known. Both wait for the disk at each commit.
"""

import argparse
import json
import random
import sqlite3
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel

from annotate.intake import BATCH, Wishes, load_rows
from bench.figures import a_store, folder, min_median_max, parsed, report
from data.formats import read
from data.store import open_store

REACH = 5_000
ANSWERS, CHARACTERS, OVERLAP = 4, 900, 3


class Bare(BaseModel):
    """The least that could be called a task."""

    id: str
    prompt: str
    responses: list[str]


def write(path: Path, tasks: int) -> None:
    """A file of tasks; every text is another."""
    dice = random.Random(1)
    words = [f"{dice.getrandbits(30):x}" for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        for n in range(tasks):
            answers = [" ".join(dice.choices(words, k=CHARACTERS // 6))[:CHARACTERS] for _ in range(ANSWERS)]
            file.write(json.dumps({"id": f"t{n}", "prompt": f"question {n}", "responses": answers}) + "\n")


def ours(path: Path, url: str) -> float:
    """Seconds to load the file as the command does."""
    store = open_store(url)
    began = time.perf_counter()
    tally = load_rows(store, "p", read([str(path)]).rows, Wishes(overlap=OVERLAP), rejected=print)
    took = time.perf_counter() - began
    store.close()
    assert tally.rejected == 0, "the file is good"
    return took


def bare(path: Path, database: Path) -> float:
    """Seconds of the loop one would write by hand."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.execute("PRAGMA synchronous=FULL").close()
    connection.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, key TEXT UNIQUE, record TEXT)")
    connection.execute("CREATE TABLE slots (task INTEGER, number INTEGER, annotator TEXT, PRIMARY KEY (task, number))")
    began = time.perf_counter()
    with path.open("rb") as file:
        connection.execute("BEGIN")
        for number, line in enumerate(file, 1):
            task = Bare.model_validate_json(line)
            connection.execute("INSERT INTO tasks VALUES (?, ?, ?)", (number, task.id, task.model_dump_json()))
            slots = [(number, k) for k in range(OVERLAP)]
            connection.executemany("INSERT INTO slots (task, number) VALUES (?, ?)", slots)
            if number % BATCH == 0:
                connection.execute("COMMIT")
                connection.execute("BEGIN")
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


def profile(path: Path, url: str) -> None:
    """Where the time goes, by function."""
    import cProfile
    import pstats

    runner = cProfile.Profile()
    runner.runcall(ours, path, url)
    pstats.Stats(runner).sort_stats("tottime").print_stats(25)


def arguments() -> argparse.Namespace:
    """The command line."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--store", default="sqlite", help="sqlite or postgresql")
    args.add_argument("--tasks", type=int, default=20_000)
    args.add_argument("--repeats", type=int, default=3)
    args.add_argument("--profile", action="store_true", help="print where the time goes instead")
    return parsed(args)


def main() -> int:
    """Measure and say."""
    args = arguments()
    with folder() as place:
        path = place / "tasks.jsonl"
        write(path, args.tasks)
        if args.profile:
            with a_store(args.store) as url:
                profile(path, url)
            return 0
        took: dict[str, list[float]] = {"ours": [], "bare": []}
        for n in range(args.repeats):
            with a_store(args.store) as url:
                took["ours"].append(ours(path, url))
            took["bare"].append(bare(path, place / f"bare{n}.db"))
    rate = {name: round(args.tasks / median(seconds)) for name, seconds in took.items()}
    found: dict[str, Any] = {
        "tasks_per_second": rate["ours"],
        "bare_loop_per_second": rate["bare"],
        "seconds_each": {name: min_median_max(seconds) for name, seconds in took.items()},
        "ratio": round(rate["ours"] / rate["bare"], 2),
        "tasks": args.tasks,
        "answers": f"{ANSWERS} of {CHARACTERS} characters",
        "slots_each": OVERLAP,
        "repeats": args.repeats,
        "store": args.store,
    }
    figure = f"{rate['ours']:,} tasks a second, {found['ratio']} of a bare loop of pydantic and sqlite3"
    against = f">= {REACH:,} a second; the bare loop does {rate['bare']:,} in this run"
    return report(f"imports_{args.store}", figure, against, found, ok=rate["ours"] >= REACH)


if __name__ == "__main__":
    sys.exit(main())
