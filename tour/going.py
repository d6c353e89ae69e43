"""The whole tour: a server of made-up answers, a tiny model, every seed's chain, the proof and the report."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from data.errors import ConcordError
from data.jsonl import write_lines
from tour.chain import Chain, Followed, follow
from tour.people import BAD_CREW, CREW
from tour.stages import ROOT, environment, open_desk, python, run

PORT = 18_231
"""Where the server of made-up answers listens."""


class Asked(NamedTuple):
    """What was typed."""

    place: Path
    seeds: int
    at_once: int
    tasks: int
    held: int
    model: Path | None


@contextmanager
def answers(place: Path) -> Iterator[str]:
    """`datagen.fake_server` on the tour's port; gives its base URL, and ends it afterwards.

    A record says which request it came from, and a request which server it went to: on another port, which is taken
    where the tour's own is in use, everything has other digests.
    """
    with (place / "fake_server.txt").open("w") as log:
        process, url = _started(PORT, log)
        if not url:
            print(f"port {PORT} is taken; digests will not be those of other tours", file=sys.stderr)
            process, url = _started(0, log)
        if not url:
            raise ConcordError(f"the server of made-up answers did not start; {place}/fake_server.txt says why")
        assert process.stdout is not None
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        try:
            yield url
        finally:
            process.terminate()
            process.wait(30)
            reader.join(30)
            process.stdout.close()


def _started(port: int, log: TextIO) -> tuple["subprocess.Popen[str]", str]:
    """The server's process and its base URL, which is empty where it ended at once."""
    words = [*python("datagen.fake_server"), "--port", str(port)]
    process = subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    url = next((word for word in said.split() if word.startswith("http://")), "")
    if not url:
        process.terminate()
        process.communicate(timeout=30)
    return process, url


def go(asked: Asked) -> tuple[dict[str, Any], bool]:
    """Every seed, the proof, the report; returns the summary, and whether all that the tour sets out to show held.

    Raises:
        ConcordError: a stage ended otherwise than it should; its log says more.
    """
    before, held = _clear(asked.place)
    try:
        return _go(asked, before)
    finally:
        os.close(held)


def _go(asked: Asked, before: dict[str, str]) -> tuple[dict[str, Any], bool]:
    from tour.page import report
    from tour.proof import claims, read_seed

    began = time.monotonic()
    with answers(asked.place) as url:
        model = asked.model or _tiny(asked.place)
        followed = follow_seeds(asked, url, model)
    seeds = [read_seed(one) for one in followed]
    undecided = next((s.status for s in followed[0].desk.stages if s.key == "gate_undecided"), None)
    shown = claims(seeds, undecided)
    seconds = time.monotonic() - began
    digests = {f"{one.chain.seed}/{s.key}": s.digest for one in followed for s in one.desk.stages if s.digest}
    other = sorted(key for key in digests if before and before.get(key) != digests[key])
    told = {"seconds": round(seconds, 1), "claims": [claim._asdict() for claim in shown], "digests": digests}
    write_lines(asked.place / "tour.json", [told])
    (asked.place / "report.html").write_text(report(followed, seeds, shown, seconds, before, other), "utf-8")
    failed = [claim.key for claim in shown if not claim.held]
    summary = {
        "seeds": asked.seeds,
        "stages": sum(len(one.desk.stages) for one in followed),
        "minutes": round(seconds / 60, 1),
        "held": [claim.key for claim in shown if claim.held],
        "not_held": failed,
        "digests": f"{len(digests)}" + (_compared(before, other) if before else ""),
        "read": str(asked.place / "report.html"),
    }
    return summary, not failed and not (before and other)


def _compared(before: dict[str, str], other: list[str]) -> str:
    return f", {len(other)} other than the last tour's: {', '.join(other[:5])}" if other else ", all as the last tour's"


def _clear(place: Path) -> tuple[dict[str, str], int]:
    """Make way for a tour; gives the digests of the one that was there, and the folder's lock.

    Raises:
        Refused: a folder is there that is no tour's, or that another tour is making.
    """
    from data.errors import Refused
    from data.folder import hold, take_away

    kept = place / "tour.json"
    before: dict[str, str] = {}
    place.mkdir(parents=True, exist_ok=True)
    try:
        held = hold(place)
        if any(place.iterdir()):
            if not kept.exists() and not (place / ".touring").exists():
                raise Refused(f"{place} is there and is no tour's folder; move it, or name another --workspace")
            if kept.exists():
                before = json.loads(kept.read_text("utf-8"))["digests"]
            take_away(place)  # half of it would be nobody's folder
            os.close(held)
            place.mkdir()
            held = hold(place)
    except (BlockingIOError, FileExistsError, FileNotFoundError):
        raise Refused(f"another tour is going on in {place}; wait for it, or name another --workspace") from None
    (place / ".touring").touch()
    return before, held


def _tiny(place: Path) -> Path:
    desk = open_desk(place / "model", _tell("the tiny model"))
    run(desk, "tiny", "train.tiny", out=place / "tiny")
    return place / "tiny"


def _tell(name: str) -> Any:
    return lambda key: print(f"{name}: {key}", file=sys.stderr, flush=True)


def follow_seeds(asked: Asked, url: str, model: Path) -> list[Followed]:
    """Every seed's chain, some at a time; the first goes all the way, the last has people who hardly look."""
    made = []
    for seed in range(asked.seeds):
        bad = asked.seeds > 1 and seed == asked.seeds - 1
        whole, crew = seed == 0, BAD_CREW if bad else CREW
        chain = Chain(seed, crew, url, model, asked.tasks, asked.held, gated=whole or bad, whole=whole)
        made.append(Followed(chain, open_desk(asked.place / f"seed-{seed}", _tell(f"seed {seed}"))))
    order = sorted(made, key=lambda one: (not one.chain.whole, not one.chain.gated))
    with ThreadPoolExecutor(asked.at_once) as pool:
        for done in [pool.submit(follow, one.desk, one.chain) for one in order]:
            done.result()
    return made
