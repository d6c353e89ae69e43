"""Acknowledged submits lost when the server is killed: kill -9, again and again, under 20 clients.

    python -m bench.kill --kills 200

A real server process answers over HTTP and waits for the disk at every commit. 20 clients
rank tasks and keep a list of what was acknowledged; the server is killed in the middle of
their requests and started again. What a client sent and got no answer to, it sends again
under the same token. At the end every acknowledged judgment must be in the store, once.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import httpx

from annotate import accounts
from annotate.intake import Wishes, load_rows
from bench.figures import ROOT, Meter, a_store, parsed, report
from bench.overlap import rows
from data import ledger
from data.store import Store, open_store


def serve(url: str, port: int) -> None:
    """The server that is killed: the whole label path, without Gradio, which takes seconds to import."""
    import uvicorn

    from annotate.app import build_app
    from annotate.running import take_port

    sock = take_port("127.0.0.1", port)
    app = build_app(open_store(url), gradio=False)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[sock])


class Server:
    """The server's process, at one address for good."""

    def __init__(self, url: str) -> None:
        from annotate.running import take_port

        free = take_port("127.0.0.1", 0)
        self.port = int(free.getsockname()[1])
        free.close()
        self.address = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "bench.kill", "--serve", url, "--port", str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, cwd=ROOT)
        while True:
            if self._process.poll() is not None:
                raise SystemExit(f"the server ended with status {self._process.returncode}")
            try:
                if httpx.get(f"{self.address}/api/me", timeout=5).status_code == 401:
                    return
            except httpx.TransportError:
                time.sleep(0.02)

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """End it; by default it gets no chance to tidy up."""
        assert self._process is not None
        os.kill(self._process.pid, with_signal)
        self._process.wait()


class Client(threading.Thread):
    """One person at the page, who never gives up on an answer they sent."""

    def __init__(self, address: str, link: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.stop = stop
        self.acknowledged: dict[str, str] = {}
        self.seen = Counter[str]()
        self.http = httpx.Client(base_url=address, timeout=30)
        self._join(link)

    def _join(self, link: str) -> None:
        answer = self.http.post(f"/join/{link}")
        assert answer.status_code == 303, answer.text
        self.http.headers["X-CSRF"] = self.http.cookies["csrf"]
        self.http.headers["X-Person"] = self.http.get("/api/me").json()["person"]["id"]

    def post(self, path: str, body: Any) -> Any:
        """A request, sent again until it is answered."""
        while True:
            try:
                answer = self.http.post(path, json=body)
            except httpx.ConnectError:  # nobody there: it cannot have been acted on
                self.seen["refused"] += 1
                time.sleep(0.02)
                continue
            except httpx.TransportError:  # cut off in the middle: who knows
                self.seen["cut off"] += 1
                continue
            if answer.status_code == 503:
                self.seen["store down"] += 1
                continue
            assert answer.status_code == 200, (path, answer.status_code, answer.text)
            return answer.json()

    def run(self) -> None:
        """Rank one task after another; stop between two."""
        try:
            while not self.stop.is_set():
                task = self.post("/api/projects/p/next", {})["task"]
                if task is None:
                    return
                order = [[r["letter"]] for r in task["responses"]]
                answer = {"verdict": "answered", "ranking": random.sample(order, len(order))}
                done = self.post(f"/api/leases/{task['token']}/submit", {"answer": answer, "active_ms": 5})
                self.acknowledged[done["judgment"]] = done["state"]
        except BaseException as error:
            self.seen[f"failed: {error!r}"] += 1
            raise


def prepare(url: str, tasks: int, clients: int) -> list[str]:
    """Tasks and people; returns the people's sign-in links."""
    store = open_store(url)
    load_rows(store, "p", rows(tasks), Wishes(kind="ranking", overlap=3), rejected=print)
    with store.write() as tx:
        links = [accounts.add_person(tx, f"person {n}", ["p"], "annotator", ["en"]) for n in range(clients)]
    store.close()
    return links


def check(store: Store, acknowledged: dict[str, str]) -> dict[str, Any]:
    """What is wrong: acknowledged and not there, there twice, or a ledger that does not verify."""
    with store.read() as tx:
        kept = {r.id: r.state for r in tx.all("SELECT id, state FROM judgments")}
        twice = tx.value(
            "SELECT COUNT(*) FROM (SELECT 1 FROM judgments GROUP BY task, annotator HAVING COUNT(*) > 1) x"
        )
        over = tx.value(
            "SELECT COUNT(*) FROM (SELECT j.task FROM judgments j JOIN tasks t ON t.id = j.task"
            " WHERE j.state = 'counted' GROUP BY j.task, t.overlap HAVING COUNT(*) > t.overlap) x"
        )
        return {
            "lost": sum(kept.get(id_) != state for id_, state in acknowledged.items()),
            "counted_twice": twice,
            "over_assigned": over,
            "ledger_faults": ledger.verify(tx, 1),
        }


def measure(url: str, kills: int, clients: int, tasks: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run, kill, check; returns the faults and the details."""
    dice, meter, stop = random.Random(seed), Meter(), threading.Event()
    links = prepare(url, tasks, clients)
    server = Server(url)
    server.start()
    people = [Client(server.address, link, stop) for link in links]
    began = time.monotonic()
    for person in people:
        person.start()
    for number in range(kills):
        time.sleep(dice.uniform(0.1, 1.5))
        server.kill()
        server.start()
        meter.say(f"{number + 1} kills, {sum(len(p.acknowledged) for p in people):,} acknowledged")
    stop.set()
    for person in people:
        person.join(timeout=120)
    seconds = time.monotonic() - began
    server.kill(signal.SIGTERM)
    acknowledged = {id_: state for p in people for id_, state in p.acknowledged.items()}
    seen = sum((p.seen for p in people), Counter[str]())
    store = open_store(url)
    found = check(store, acknowledged)
    with store.read() as tx:
        stored = tx.value("SELECT COUNT(*) FROM judgments")
    store.close()
    found["clients_that_failed"] = [key for key in seen if key.startswith("failed")]
    found["clients_that_hang"] = sum(p.is_alive() for p in people)
    return found, {
        "kills": kills,
        "clients": clients,
        "acknowledged": len(acknowledged),
        "judgments_in_the_store": stored,
        "requests_cut_off_and_sent_again": seen["cut off"],
        "seconds": round(seconds, 1),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--store", default="sqlite", help="sqlite, postgresql, or the URL of an empty store")
    args.add_argument("--kills", type=int, default=200)
    args.add_argument("--clients", type=int, default=20)
    args.add_argument("--tasks", type=int, default=50_000)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--serve", metavar="URL", help=argparse.SUPPRESS)
    args.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parsed(args)


def main() -> int:
    """Run it and say what came of it."""
    args = arguments()
    if args.serve:
        serve(args.serve, args.port)
        return 0
    kind = "postgresql" if args.store.startswith("postgres") else "sqlite"
    with a_store(args.store) as url:
        found, details = measure(url, args.kills, args.clients, args.tasks, args.seed)
    wrong = [key for key, value in found.items() if value]
    figure = (
        f"{found['lost']} lost of {details['acknowledged']:,} acknowledged submits over {args.kills} kill -9"
        f" of the server, {args.clients} clients in mid-request, {kind}"
    )
    return report(f"kill_{kind}", figure, "0", {"store": kind, **found, **details}, ok=not wrong)


if __name__ == "__main__":
    sys.exit(main())
