"""One command of ours as a process of its own, and what is kept of it: line, seconds, summary, folder."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import ConcordError
from data.manifest import MANIFEST, read_manifest

ROOT = Path(__file__).resolve().parent.parent


class Stage(NamedTuple):
    """A command that has run."""

    key: str
    """What the tour calls it."""
    line: str
    """As one would type it."""
    seconds: float
    status: int
    summary: dict[str, Any]
    folder: Path | None
    """Where it wrote, and what must be the same in two tours: its manifest's digest."""
    digest: str


class Desk(NamedTuple):
    """Where one seed's stages run."""

    place: Path
    """The workspace: store, folders and logs."""
    store: str
    stages: list[Stage]
    tell: Callable[[str], None]
    """Called with each stage's key as it begins."""


def open_desk(place: Path, tell: Callable[[str], None]) -> Desk:
    """A new workspace."""
    (place / "logs").mkdir(parents=True)
    return Desk(place, f"sqlite:///{place / 'concord.db'}", [], tell)


def python(module: str) -> list[str]:
    """The words that start a module of ours."""
    return [sys.executable, "-m", module]


def environment(**more: str) -> dict[str, str]:
    """Ours, with one thread a process, since two seeds run at once, and nothing told to anybody."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "none",
        **more,
    }


def keep(desk: Desk, key: str, seconds: float, summary: dict[str, Any]) -> None:
    """Keep what was no command: people at work."""
    desk.stages.append(Stage(key, "", seconds, 0, summary, None, ""))


def run(
    desk: Desk,
    key: str,
    module: str,
    *words: Any,
    out: Path | None = None,
    expect: Sequence[int] = (0,),
    seed: str = "",
) -> Stage:
    """Run `python -m MODULE WORDS --json` and keep what it was.

    Args:
        out: the folder it writes; named by --out.
        expect: exit statuses that are no failure.
        seed: run it by `tour.seeded`, so that the ids it draws come from the seed.

    Raises:
        ConcordError: another status, with the last line it said.
    """
    desk.tell(key)
    given = [str(word) for word in (*words, *(("--out", out) if out else ()))]
    start = [*python("tour.seeded"), seed, module] if seed else python(module)
    began = time.monotonic()
    done = subprocess.run(
        [*start, *given, "--json"],
        cwd=ROOT,
        env=environment(CONCORD_WORKSPACE=str(desk.place), CONCORD_STORE=desk.store),
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - began
    number = len(desk.stages)
    (desk.place / "logs" / f"{number:02}-{key}.txt").write_text(f"{done.stdout}\n{done.stderr}", "utf-8")
    if done.returncode not in expect:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
        raise ConcordError(f"{module} ended with {done.returncode} where the tour needs {expect[0]}: {said[-1][:400]}")
    summary = _summary(done.stdout)
    folder = out or (Path(summary["wrote"]) if summary.get("wrote") else None)
    digest = read_manifest(folder).digest if folder and (folder / MANIFEST).is_file() else ""
    line = shlex.join(["python", "-m", module, *(_short(word, desk.place) for word in given)])
    stage = Stage(key, line, seconds, done.returncode, summary, folder, digest)
    desk.stages.append(stage)
    return stage


def _short(word: str, place: Path) -> str:
    """Paths as they are seen from the repository, and from this seed's workspace."""
    return word.replace(f"{place}/", "").replace(f"{ROOT}/", "")


def _summary(said: str) -> dict[str, Any]:
    """The summary a command printed with --json: its last line that is an object."""
    for line in reversed(said.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}
