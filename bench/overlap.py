"""Over-assigned and lost judgments under load: several processes, crashes, double clicks, expiries.

    python -m bench.overlap --store sqlite --ops 1000000

Processes play the same 40 people (as several servers and tabs would). They claim and submit,
skip, revise, walk away from short leases and come back late, click and send twice. They are
killed in mid-transaction, by SIGKILL from outside and by themselves just before and just
after a commit, and start again with nothing but their own list of what was acknowledged;
what was not, they send again under the same token. At the end the tables, the clients'
lists and the ledger must agree.

Processes are killed, not the machine, so SQLite and PostgreSQL do not wait for the disk
here; bench/kill.py does.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from annotate import accounts
from annotate.intake import Wishes, load_rows
from annotate.projects import find_project
from bench.figures import Meter, a_store, folder, parsed, report
from bench.overlap_clients import Plan, Told, client, read_log
from data import ledger
from data.formats.rows import Row
from data.records import Message, Prompt, Response
from data.store import Store, open_store

Context = multiprocessing.get_context("fork")


def rows(count: int) -> Any:
    """Short tasks: the size of texts is not what is measured."""
    for n in range(count):
        prompt = Prompt.make([Message(role="user", content=f"question {n}")])
        texts = ([Message(role="assistant", content=text)] for text in ("yes", "no"))
        yield Row(n, f"row {n}", str(n), prompt, [Response.make(prompt.id, m, import_key=str(n)) for m in texts])


def prepare(plan: Plan) -> list[str]:
    """Load tasks enough for all the operations, and add the people; returns their ids."""
    store = open_store(plan.url, durable=False)
    count = max(10, plan.ops // (2 * plan.overlap))
    load_rows(store, "p", rows(count), Wishes(kind="ranking", overlap=plan.overlap), rejected=print)
    with store.write() as tx:
        for n in range(plan.people):
            accounts.add_person(tx, f"person {n}", ["p"], "annotator", ["en"])
        people = [r.id for r in tx.all("SELECT p.id FROM people p ORDER BY p.name")]
    store.close()
    return people


# ── the one who starts, kills and counts ─────────────────────────────────────


class Life:
    """A client as the supervisor sees it: dies, is started again, and its list goes on."""

    def __init__(self, plan: Plan, people: list[str], place: Path, name: str) -> None:
        self.plan, self.people, self.place, self.name = plan, people, place, name
        self.told = Told(Counter(), {}, {})
        self.lives = 0

    def start(self) -> None:
        """Start it, with what it has not heard of to be sent again."""
        self.lives += 1
        self.log = self.place / f"{self.name}.{self.lives}.log"
        quota = self.plan.ops // self.plan.processes
        given = (self.plan, self.people, self.log, quota, self.told.done, self.told.unheard)
        self.process = Context.Process(target=client, args=given)
        self.process.start()

    def ended(self) -> int | None:
        """How its life ended, once its list is read; None while it lives."""
        status = self.process.exitcode
        if status is not None:
            read_log(self.log, self.told)
        return status


def supervise(plan: Plan, people: list[str], place: Path) -> tuple[float, Counter[str], list[Told]]:
    """Run the clients to their end, killing and starting them.

    Returns:
        The seconds it took, how often they died, and what each was told.
    """
    dice, meter, deaths = random.Random(plan.seed), Meter(), Counter[str]()
    clients = [Life(plan, people, place, f"client{n}") for n in range(plan.processes)]
    began = time.monotonic()
    for one in clients:
        one.start()
    running = list(clients)
    next_kill = began + plan.crash_s
    while running:
        time.sleep(0.01)
        if plan.crash_s and time.monotonic() > next_kill:
            os.kill(dice.choice(running).process.pid or 0, signal.SIGKILL)
            next_kill = time.monotonic() + dice.expovariate(1 / plan.crash_s)
        for one in list(running):
            status = one.ended()
            if status == 0:
                running.remove(one)
            elif status in (9, -signal.SIGKILL):
                deaths["killed" if status < 0 else "died by itself"] += 1
                one.start()
            elif status is not None:
                raise SystemExit(f"a client failed with status {status}; see above")
        meter.say(f"{sum(one.told.done for one in clients):,} operations, {sum(deaths.values()):,} deaths")
    return time.monotonic() - began, deaths, [one.told for one in clients]


def check(store: Store, told: list[Told], overlap: int) -> dict[str, Any]:
    """What the tables, the clients' lists and the ledger say of each other; every number here should be 0."""
    acknowledged = {id_: state for t in told for id_, state in t.judgments.items()}
    with store.read() as tx:
        project = find_project(tx, "p")
        kept = {r.id: r.state for r in tx.all("SELECT id, state FROM judgments")}
        counted = "j.state = 'counted' AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.supersedes = j.id)"
        over = tx.value(
            f"SELECT COUNT(*) FROM (SELECT j.task FROM judgments j WHERE {counted} GROUP BY j.task"
            " HAVING COUNT(*) > :k) x",
            k=overlap,
        )
        twice = tx.value(
            f"SELECT COUNT(*) FROM (SELECT j.task, j.annotator FROM judgments j WHERE {counted}"
            " GROUP BY j.task, j.annotator HAVING COUNT(*) > 1) x"
        )
        unslotted = tx.value(  # counted without a slot of its own, or a slot done without a judgment that counts
            f"SELECT (SELECT COUNT(*) FROM judgments j WHERE {counted} AND NOT EXISTS (SELECT 1 FROM slots s"
            " WHERE s.task = j.task AND s.annotator = j.annotator AND s.state = 2))"
            " + (SELECT COUNT(*) FROM slots s WHERE s.state = 2 AND NOT EXISTS (SELECT 1 FROM judgments j"
            f" WHERE j.task = s.task AND j.annotator = s.annotator AND {counted}))"
        )
        return {
            "over_assigned": over,
            "same_person_twice": twice,
            "lost": sum(kept.get(id_) != state for id_, state in acknowledged.items()),
            "slots_and_judgments_apart": unslotted,
            "ledger_faults": ledger.verify(tx, project.id),
        }


def arguments() -> argparse.Namespace:
    """The command line."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--store", default="sqlite", help="sqlite, postgresql, or the URL of an empty store")
    args.add_argument(
        "--ops", type=int, default=1_000_000, help="acknowledged claims and submits (default %(default)s)"
    )
    args.add_argument("--processes", type=int, default=3)
    args.add_argument("--people", type=int, default=40)
    args.add_argument("--overlap", type=int, default=3)
    args.add_argument("--crash-s", type=float, default=1.0, help="mean seconds between two kills (default %(default)s)")
    args.add_argument("--seed", type=int, default=1)
    return parsed(args)


def measure(plan: Plan, place: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load, run, check; returns the faults (all 0 or empty when all is well) and the details."""
    people = prepare(plan)
    seconds, deaths, told = supervise(plan, people, place)
    acts = sum((t.acts for t in told), Counter[str]())
    store = open_store(plan.url, durable=False)
    found = check(store, told, plan.overlap)
    with store.read() as tx:
        project = find_project(tx, "p")
        states = {r.state: r.n for r in tx.all("SELECT state, COUNT(*) AS n FROM judgments GROUP BY state")}
        expired = tx.value("SELECT COUNT(*) FROM ledger WHERE kind = 'expire'")
    store.close()
    ops = acts["claim"] + acts["submit"]
    return found, {
        "operations": ops,
        "claims": acts["claim"],
        "submits": acts["submit"],
        "skips": acts["skip"],
        "judgments": states,
        "events_of_expiry": expired,
        "killed": deaths["killed"],
        "died_in_a_transaction_or_right_after": deaths["died by itself"],
        "tasks": project.tasks,
        "tasks_done": project.tasks_done,
        "seconds": round(seconds, 1),
        "operations_per_second": round(ops / seconds),
        "processes": plan.processes,
        "people": plan.people,
        "overlap": plan.overlap,
    }


def main() -> int:
    """Run it and say what came of it."""
    args = arguments()
    kind = "postgresql" if args.store.startswith("postgres") else "sqlite"
    with folder() as place, a_store(args.store) as url:
        plan = Plan(url, args.ops, args.processes, args.people, args.overlap, args.crash_s, args.seed)
        found, details = measure(plan, place)
    wrong = [key for key, value in found.items() if value]
    figure = (
        f"{found['over_assigned']} over-assigned and {found['lost']} lost of {details['operations']:,} claims and"
        f" submits on {kind}, {details['operations_per_second']:,} a second"
    )
    details = {"store": kind, **found, **details}
    return report(f"overlap_{kind}", figure, "0 and 0", details, ok=not wrong)


if __name__ == "__main__":
    sys.exit(main())
