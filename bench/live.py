"""Measures kept up to date: a look after 1,000 new votes, beside computing everything from scratch.

    python -m bench.live [--judgments 1000000] [--kind ab]

A project with three votes a task by 200 people on the answers of ten models (two a task, or four to rank)
lies in SQLite. Times are those of curate.live's own functions, store included: reading all of it at a start,
the figures that follow from sums, the slow ones (Dawid and Skene, standings with 1,000 rounds), and then
looks with 1,000 new votes each, every vote an event of the ledger. Memory is the whole process's.
"""

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import time
from contextlib import closing
from typing import Any

from bench.figures import a_store, parsed, report, spread
from data.store import Store, open_store

PEOPLE, MODELS, VOTES = 200, 10, 3


def main() -> int:
    """Make the store, measure, print and keep the figures."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--judgments", type=int, default=1_000_000)
    p.add_argument("--new", type=int, default=1000, help="votes that come between two looks")
    p.add_argument("--looks", type=int, default=20)
    p.add_argument("--kind", choices=("ab", "ranking"), default="ab")
    args = parsed(p)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with a_store("sqlite") as url:
        store = open_store(url, durable=False)
        tasks = args.judgments // VOTES + args.new * args.looks
        _fill(url, args.judgments, tasks, 2 if args.kind == "ab" else 4)
        details = {"judgments": args.judgments, "tasks": tasks, "load": os.getloadavg()[0]}
        details |= _measured(store, args)
        store.close()
    figure = (
        f"{args.new:,} new votes beside {args.judgments:,} ({args.kind}): {details['look_ms']['p50']:.0f} ms a look;"
        f" {details['peak_mb']:,} MB"
    )
    against = (
        f"from scratch: {details['read_all_s']:.1f} s to read, {details['quick_ms']:.0f} ms for what follows from sums,"
        f" {details['slow_s']:.1f} s for the slow figures (which get a tenth of a core at most)"
    )
    return report(f"live_{args.kind}", figure, against, details)


def _measured(store: Store, args: argparse.Namespace) -> dict[str, Any]:
    from curate.live_figures import Wish, quick, slow
    from curate.live_run import Kept, look, projects, read_whole

    wish, kept = Wish(), Kept("bench")
    began = time.perf_counter()
    with store.read() as tx:
        state = read_whole(tx, 1, lambda: False)
    read_s = time.perf_counter() - began
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    quick(state, wish)
    quick_ms = statistics.median(_timed(lambda: quick(state, wish)) for _ in range(3)) * 1000
    kept.state, kept.due, kept.stale = state, float("inf"), False
    rng = random.Random(1)
    took = []
    for number in range(args.looks + 1):
        if number:
            _new_votes(store, rng, args.judgments // VOTES + (number - 1) * args.new, args)
        with store.read() as tx:
            [project] = projects(tx, [])
        took.append(
            _timed(lambda project=project: look(store, project, kept, wish, every=False, stopped=lambda: False))
        )
    slow_s = _timed(lambda: slow(state, wish))
    return {
        "read_all_s": round(read_s, 2),
        "quick_ms": round(quick_ms, 1),
        "look_ms": spread(took[1:]),
        "first_look_ms": round(took[0] * 1000, 1),
        "slow_s": round(slow_s, 2),
        "times": round((read_s + quick_ms / 1000) / statistics.median(took[1:])),
        "resident_after_reading_mb": resident,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# ── the project ──────────────────────────────────────────────────────────────


def _task(number: int, answers: int) -> dict[str, Any]:
    rng = random.Random(number)
    models = rng.sample(range(MODELS), answers)
    prompt = {"id": f"prompt{number:026}", "messages": [{"role": "user", "content": "a question " * 40}]}
    responses = [
        {
            "id": f"{rng.getrandbits(128):032x}",
            "prompt_id": prompt["id"],
            "model": f"model-{m}",
            "messages": [{"role": "assistant", "content": "an answer " * 80}],
        }
        for m in models
    ]
    kind = "ab" if answers == 2 else "ranking"
    return {"id": f"task{number:028}", "kind": kind, "project": "p", "prompt": prompt, "responses": responses}


def _judgment(rng: random.Random, task: dict[str, Any], person: int, number: int) -> tuple[str, str, str]:
    """Id, annotator and record: the stronger model wins in seven of ten cases."""
    listed = task["responses"]
    shown = rng.sample([r["id"] for r in listed], len(listed))
    strength = {r["id"]: int(r["model"][6:]) + rng.gauss(0, 4) for r in listed}
    ranking = sorted(shown, key=lambda r: -strength[r])
    said: dict[str, Any] = {"choice": "tie" if rng.random() < 0.1 else "AB"[ranking[0] == shown[1]]}
    if len(listed) > 2:
        said = {"ranking": [[r] for r in ranking]}
    annotator = f"person{person:08}"
    record = {"task_id": task["id"], "annotator": annotator, "verdict": "answered", "shown": shown, **said}
    record |= {"active_seconds": 31.5, "comment": "", "submitted_at": "2026-01-01T00:00:00.000Z"}
    return f"judgment{number:024}", annotator, json.dumps(record)


_JUDGMENT = (
    "INSERT INTO judgments (id, project, task, annotator, annotator_kind, verdict, purpose, state, record, at_ms)"
    " VALUES (?, 1, ?, ?, 'person', 'answered', 'label', 'counted', ?, 0)"
)


def _fill(url: str, judgments: int, tasks: int, answers: int) -> None:
    """The tables that are read, filled in one go."""
    rng = random.Random(0)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("INSERT INTO projects (id, name) VALUES (1, 'p')")
        for number in range(tasks):
            task = _task(number, answers)
            db.execute(
                "INSERT INTO tasks (id, task, project, kind, lane, position, overlap, open)"
                " VALUES (?, ?, 1, ?, 1, ?, 3, 0)",
                (number + 1, task["id"], task["kind"], number),
            )
            text = json.dumps(task)
            db.execute("INSERT INTO task_records (task, record) VALUES (?, ?)", (number + 1, text))
            if number * VOTES < judgments:
                for n, person in enumerate(rng.sample(range(PEOPLE), VOTES)):
                    id_, who, record = _judgment(rng, task, person, number * VOTES + n)
                    db.execute(_JUDGMENT, (id_, number + 1, who, record))


def _new_votes(store: Store, rng: random.Random, first: int, args: argparse.Namespace) -> None:
    """Votes on tasks that had none, each with its event."""
    from data import ledger

    with store.write() as tx:
        chain = ledger.take(tx, 1)
        for number in range(first, first + args.new):
            task = _task(number, 2 if args.kind == "ab" else 4)
            id_, who, record = _judgment(rng, task, rng.randrange(PEOPLE), 10**12 + number)
            tx.run(
                _JUDGMENT.replace("?, 1, ?, ?", ":id, 1, :task, :who").replace("?, 0", ":record, 0"),
                **{"id": id_, "task": number + 1, "who": who, "record": record},
            )
            chain.append("submit", who, [ledger.judgment_row(id_, "counted", record)])


if __name__ == "__main__":
    raise SystemExit(main())
