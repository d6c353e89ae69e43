"""Simulated people at the real page's routes: they sign in by their one-time links, take tasks and answer them.

Each sees the texts that the page shows and nothing else, judges by the guidelines with their own skill, and one after
another takes a task and answers it, round after round, until none is left.
"""

import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from data.errors import ConcordError
from tour.stages import ROOT, environment, python
from tour.truth import better


class Person(NamedTuple):
    """Somebody who names the better answer with probability `skill`."""

    name: str
    skill: float


CREW = tuple(
    Person(f"annotator {n + 1:02}", skill)
    for n, skill in enumerate((0.96, 0.94, 0.92, 0.9, 0.88, 0.86, 0.84, 0.82, 0.8, 0.76, 0.7, 0.62))
)
"""A dozen, from careful to hasty."""
BAD_CREW = tuple(
    Person(one.name, skill)
    for one, skill in zip(CREW, (0.56, 0.55, 0.54, 0.53, 0.52, 0.51, 0.49, 0.48, 0.47, 0.46, 0.45, 0.44), strict=True)
)
"""A dozen who hardly look."""
EXPERTS = tuple(Person(f"expert {n + 1}", 0.99) for n in range(2))
"""Who judge the set that a run is held to and never trained on."""


class Reply(NamedTuple):
    """One acknowledged judgment."""

    judgment: str
    person: str
    right: bool
    """Whether it named the better answer."""


@contextmanager
def server(store: str, seed: str) -> Iterator[str]:
    """`annotate.serve` over a store, its ids and clock from the seed; gives its address, and ends it afterwards."""
    words = [*python("tour.seeded"), seed, "annotate.serve", "--store", store, "--port", "0"]
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = next((word for word in said.split() if word.startswith("http://")), "")
        if not address:
            assert process.stderr is not None
            raise ConcordError(f"the labelling page did not start: {process.stderr.read().strip()[-300:]}")
        yield address.rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=30)


class Seat:
    """One person's browser: cookies, headers, and how well they see."""

    def __init__(self, address: str, link: str, project: str, person: Person, seed: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=60)
        self.project, self.person = project, person
        self.dice = random.Random(f"{seed} {project} {person.name}")
        answer = self.http.post(f"/{link.lstrip('/')}")
        if answer.status_code != 303:
            raise ConcordError(f"{person.name} could not sign in: {answer.text[:200]}")
        self.http.headers["X-CSRF"] = self.http.cookies["csrf"]
        self.id = str(self.get("/api/me")["person"]["id"])
        self.http.headers["X-Person"] = self.id

    def get(self, path: str) -> Any:
        """A page's answer as JSON."""
        return self._read(self.http.get(path))

    def post(self, path: str, body: Any) -> Any:
        """The same with something to say."""
        return self._read(self.http.post(path, json=body))

    def _read(self, answer: httpx.Response) -> Any:
        if answer.status_code >= 400:
            raise ConcordError(f"{self.person.name}: {answer.request.url.path}: {answer.text[:200]}")
        return answer.json()

    def take(self) -> Reply | None:
        """Take the next task and answer it; None where no task is left."""
        task = self.post(f"/api/projects/{self.project}/next", {})["task"]
        if task is None:
            return None
        first, second = ("\n\n".join(turn["source"] for turn in one["turns"]) for one in task["responses"])
        right = self.dice.random() < self.person.skill
        choice = "A" if better(first, second) == right else "B"
        seconds = 2 + (len(first) + len(second)) / 60 * self.dice.uniform(0.7, 1.3)
        answer = {"verdict": "answered", "choice": choice, "strength": 2}
        body = {"answer": answer, "active_ms": int(1000 * seconds)}
        kept = self.post(f"/api/leases/{task['token']}/submit", body)
        return Reply(kept["judgment"], self.id, right)


def judge(address: str, lead: Seat, project: str, crew: Sequence[Person], seed: str) -> tuple[list[Seat], list[Reply]]:
    """The crew, let in by their lead, judges a project to its end."""
    seats = []
    for person in crew:
        body = {"name": person.name, "role": "annotator", "languages": "en"}
        link = lead.post(f"/api/lead/{project}/people", body)["join"]
        seats.append(Seat(address, link, project, person, seed))
    replies: list[Reply] = []
    waiting = list(seats)
    while waiting:
        for seat in list(waiting):
            reply = seat.take()
            if reply is None:
                waiting.remove(seat)
            else:
                replies.append(reply)
    return seats, replies
