"""People at the label path, as the page asks for them: a real server process each, HTTP, cookies and all.

What the measurements of load share: tasks of a given length, servers as `python -m
annotate.serve` starts them, annotators who take a task and answer it, and a book of how long
each request took, what failed, and what was acknowledged.
"""

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from annotate import accounts
from annotate.intake import Wishes, load_rows
from bench.figures import ROOT
from data import ledger
from data.formats.rows import Row
from data.records import Message, Prompt, Response
from data.store import Store, Tx, open_store

WORDS = [
    "the",
    "answer",
    "names",
    "its",
    "source",
    "first",
    "and",
    "then",
    "shows",
    "each",
    "step",
    "so",
    "that",
    "a",
    "reader",
    "may",
    "check",
    "it",
    "by",
    "hand",
]


def tasks(count: int, words: int = 225) -> Iterator[Row]:
    """A/B tasks of so many words each: a ninth is the prompt, the rest two responses."""
    rng = random.Random(7)
    for n in range(count):
        prompt = Prompt.make([Message(role="user", content=f"[{n}] {' '.join(rng.choices(WORDS, k=words // 9))}")])
        texts = [" ".join(rng.choices(WORDS, k=words * 4 // 9)) for _ in "AB"]
        answers = [
            Response.make(prompt.id, [Message(role="assistant", content=text)], import_key=f"{n}{side}")
            for side, text in zip("AB", texts, strict=True)
        ]
        yield Row(n, f"task {n}", str(n), prompt, answers)


def prepare(url: str, count: int, people: int, *, overlap: int = 3, name: str = "p", who: str = "person") -> list[str]:
    """Load `count` tasks into a project and add the people; returns their sign-in links."""
    store = open_store(url)

    def add(tx: Tx) -> list[str]:
        return [accounts.add_person(tx, f"{who} {n}", [name], "annotator", ["en"]) for n in range(people)]

    load_rows(store, name, tasks(count), Wishes(kind="ab", overlap=overlap), rejected=print)
    links = store.change(add)
    store.close()
    return links


class Server:
    """`python -m annotate.serve` over a store, in a process of its own."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "annotate.serve", "--store", url, "--port", "0"]
        quiet = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=quiet, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.address = next((word for word in line.split() if word.startswith("http://")), "").rstrip("/")
        if not self.address:
            raise SystemExit(f"the server did not start: {line}")

    def cpu_s(self) -> float:
        """Processor seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Memory held now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return round(pages * resource.getpagesize() / 2**20, 1)


@contextmanager
def serving(url: str, count: int = 1) -> Iterator[list[Server]]:
    """So many servers over one store, ended afterwards."""
    servers = [Server(url) for _ in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.process.terminate()
        for server in servers:
            server.process.wait(20)
            assert server.process.stdout is not None
            server.process.stdout.close()


class Book:
    """What a crowd saw: seconds of each request by its kind, what failed, and which judgments were acknowledged."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"next": [], "submit": [], "skip": []}
        self.ends: list[float] = []
        """When each submit was acknowledged (time.perf_counter)."""
        self.failed: Counter[str] = Counter()
        self.acknowledged: dict[str, str] = {}
        """Judgment id to its state."""


class Annotator:
    """Somebody signed in: takes the next task, answers it."""

    def __init__(self, address: str, book: Book, project: str = "p") -> None:
        one = httpx.Limits(max_connections=2, max_keepalive_connections=2)
        self.http = httpx.AsyncClient(base_url=address, timeout=60, limits=one)
        self.book = book
        self.project = project
        self.stand: dict[str, int] = {"done": 0}
        """Where the project stood when it last was said."""

    async def join(self, link: str) -> "Annotator":
        """Sign in by a one-time link."""
        self.http.headers["X-Project"] = self.project
        answer = await self.http.post(f"/join/{link}")
        assert answer.status_code == 303, answer.text
        self.http.headers["X-CSRF"] = self.http.cookies["csrf"]
        self.http.headers["X-Person"] = (await self.http.get("/api/me")).json()["person"]["id"]
        return self

    async def _post(self, kind: str, path: str, body: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = await self.http.post(path, json=body)
        except httpx.TransportError as error:
            self.book.failed[f"{kind}: {type(error).__name__}"] += 1
            return None
        self.book.seconds[kind].append(time.perf_counter() - began)
        if answer.status_code != 200:
            self.book.failed[f"{kind}: {answer.status_code}"] += 1
            return None
        return json.loads(answer.content)

    async def next(self) -> Any:
        """The view of the next task, or None when there is none (or the request failed)."""
        held = await self._post("next", f"/api/projects/{self.project}/next", {})
        self.stand = held["progress"] if held else self.stand
        return held and held["task"]

    async def skip(self, task: Any) -> None:
        """Give the task back to others."""
        held = await self._post("skip", f"/api/leases/{task['token']}/skip", {"reason": "too_long"})
        self.stand = held["progress"] if held else self.stand

    async def submit(self, task: Any, choice: str) -> None:
        """Answer the task."""
        body = {"answer": {"verdict": "answered", "choice": choice}, "active_ms": 1000}
        held = await self._post("submit", f"/api/leases/{task['token']}/submit", body)
        if held:
            self.book.ends.append(time.perf_counter())
            self.book.acknowledged[held["judgment"]] = held["state"]
            self.stand = held["progress"]


async def crowd(addresses: Sequence[str], links: Sequence[str], book: Book, project: str = "p") -> list[Annotator]:
    """Everybody signed in, spread over the servers."""
    gate = asyncio.Semaphore(4)

    async def one(n: int, link: str) -> Annotator:
        async with gate:
            return await Annotator(addresses[n % len(addresses)], book, project).join(link)

    return list(await asyncio.gather(*(one(n, link) for n, link in enumerate(links))))


async def leave(people: Sequence[Annotator]) -> None:
    """Close everybody's connections."""
    for person in people:
        await person.http.aclose()


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the worst, in milliseconds, and how many there were."""
    if not seconds:
        return {"n": 0}
    ordered = sorted(seconds)
    at = {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}
    return {**{k: round(v * 1000, 1) for k, v in {**at, "max": ordered[-1]}.items()}, "n": len(ordered)}


def wrongs(store: Store, acknowledged: dict[str, str], project: str = "p") -> dict[str, int]:
    """What must be zero: tasks judged too often, somebody twice on a task, acknowledged and not kept, ledger faults."""
    with store.read() as tx:
        found = tx.value("SELECT id FROM projects WHERE name = :name", name=project)
        kept = {r.id: r.state for r in tx.all("SELECT id, state FROM judgments WHERE project = :p", p=found)}
        over = tx.value(
            "SELECT COUNT(*) FROM (SELECT j.task FROM judgments j JOIN tasks t ON t.id = j.task WHERE j.project = :p"
            " AND j.state = 'counted' GROUP BY j.task, t.overlap HAVING COUNT(*) > t.overlap) x",
            p=found,
        )
        twice = tx.value(
            "SELECT COUNT(*) FROM (SELECT 1 FROM judgments WHERE project = :p AND state = 'counted'"
            " GROUP BY task, annotator HAVING COUNT(*) > 1) x",
            p=found,
        )
        faults = len(ledger.verify(tx, found))
    lost = sum(kept.get(judgment) != state for judgment, state in acknowledged.items())
    return {"over_assigned": over, "twice_on_a_task": twice, "acknowledged_lost": lost, "ledger_faults": faults}
