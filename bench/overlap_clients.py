"""The clients of bench/overlap.py: people at several servers and tabs, whose process may die at any moment."""

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from annotate import answers, assign
from data.errors import Refused
from data.store import Tx, open_store


class Plan(NamedTuple):
    """What the clients do."""

    url: str
    ops: int
    """Acknowledged claims and submits, all clients together."""
    processes: int
    people: int
    overlap: int
    crash_s: float
    """Mean seconds between two SIGKILLs; 0 for none."""
    seed: int


class Told(NamedTuple):
    """What a client wrote down: what was acknowledged, and what it sent without hearing back."""

    acts: Counter[str]
    judgments: dict[str, str]
    """Judgment id to state."""
    unheard: dict[str, str]
    """Token to person."""

    @property
    def done(self) -> int:
        """Acknowledged claims and submits."""
        return self.acts["claim"] + self.acts["submit"]


def read_log(log: Path, told: Told) -> None:
    """Add what one life of a client wrote down to what is known of it."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    for act, *rest in (line.split() for line in lines):
        told.acts[act] += 1
        if act == "sending":
            told.unheard[rest[0]] = rest[1]
        elif act == "submit":
            told.judgments[rest[1]] = rest[2]
            told.unheard.pop(rest[0], None)


class Client:
    """One process's people: does what they do, and writes down what was acknowledged."""

    def __init__(self, plan: Plan, people: list[str], log: Path, done: int) -> None:
        self.store = open_store(plan.url, durable=False)
        self.project = 1
        self.people = people
        self.done = done
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.random = random.Random(f"{plan.seed} {log.name} {time.monotonic_ns()}")
        self.late: list[tuple[str, assign.Lease]] = []

    def note(self, act: str, *rest: str) -> None:
        """One write to the kernel: it outlives the process."""
        os.write(self.log, (" ".join((act, *rest)) + "\n").encode())
        self.done += act in ("claim", "submit")

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def change(self, work: Any) -> Any:
        """A transaction that now and then kills its process before the commit, or right after it."""

        def doomed(tx: Tx) -> Any:
            made = work(tx)
            if self.chance(0.0005):
                os._exit(9)
            return made

        made = self.store.change(doomed)
        if self.chance(0.0005):
            os._exit(9)
        return made

    def step(self) -> bool:
        """One visit of one person; False when there was nothing for them."""
        if self.late and self.chance(0.3):  # back from lunch: the lease ran out long ago
            self.submit(*self.late.pop())
        person = self.random.choice(self.people)
        lease_ms = self.random.choice((1, 5, 20)) if self.chance(0.1) else 60_000
        lease = self.change(lambda tx: assign.claim(tx, self.project, person, lease_ms=lease_ms))
        if lease is None:
            return False
        self.note("claim")
        if self.chance(0.05):  # a double click
            again = self.change(lambda tx: assign.claim(tx, self.project, person, lease_ms=lease_ms))
            lease = again or lease
            self.note("claim")
        if lease_ms < 60_000 and self.chance(0.7):
            self.late.append((person, lease))
        elif self.chance(0.03):
            self.change(lambda tx: answers.skip(tx, person, lease.token, "other"))
            self.note("skip")
        else:
            self.submit(person, lease)
        return True

    def submit(self, person: str, lease: assign.Lease) -> None:
        """Send an answer; sometimes twice, sometimes opened again afterwards."""
        self.note("sending", lease.token, person)
        outcome = self.send(person, lease.token, lease.shown)
        if self.chance(0.05):
            assert self.send(person, lease.token, lease.shown[::-1]) == outcome, "the second sending changed something"
        if self.chance(0.02):
            try:
                again, _ = self.change(lambda tx: answers.revise(tx, person, outcome.judgment))
            except Refused:  # revised through another process meanwhile
                return
            self.send(person, again.token, again.shown)

    def send(self, person: str, token: str, shown: list[str]) -> answers.Outcome:
        order = self.random.sample(shown, len(shown))
        fields: dict[str, Any] = {"verdict": "answered", "ranking": [[r] for r in order]}
        if self.chance(0.02):
            fields = {"verdict": "cannot_judge"}
        outcome: answers.Outcome = self.change(lambda tx: answers.submit(tx, person, token, fields))
        self.note("submit", token, outcome.judgment, outcome.state)
        return outcome

    def resend(self, unheard: dict[str, str]) -> None:
        """After a crash: what was sent and not heard of goes out again under the same token."""
        for token, person in unheard.items():
            with self.store.read() as tx:
                shown = assign.lease_of(tx, token, person).shown
            self.send(person, token, shown)


def client(plan: Plan, people: list[str], log: Path, quota: int, done: int, unheard: dict[str, str]) -> None:
    """One life of a client: work until the quota is reached or nothing is left."""
    run = Client(plan, people, log, done)
    run.resend(unheard)
    idle = 0
    while run.done < quota and idle < 3 * plan.people:
        idle = 0 if run.step() else idle + 1
    for person, lease in run.late:
        run.submit(person, lease)
    run.note("end")
    os._exit(0)
