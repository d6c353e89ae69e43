"""Every measurement, one after another, one table at the end, and docs/benchmarks.md from what was found.

make bench                         (short forms, under 30 minutes on two cores)
make bench ARGS="--minutes 10"     (as many of them as fit, most worth knowing first)
make bench ARGS="imports startup"  (only these; long ones, gated and gpu_train, run by their name or with --full)
make bench ARGS=--full             (the sizes the README gives: some hours)

A short form is kept in bench/results/short/NAME.json, a full one in bench/results/NAME.json. Each has a time limit
of its own; one that fails or is stopped does not stop the rest. Peers: python -m bench.peers.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from bench import peers
from bench.listed import ENTRIES, Entry

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
MINUTES = 29.0
"""The default set's bound; the short forms' own estimates add up to less."""
VERDICTS = {0: "reached", 1: "NOT reached"}


class Ran(NamedTuple):
    """One measurement of this run: what to call its end, and what it kept."""

    verdict: str
    kept: dict[str, Any] | None

    @property
    def well(self) -> bool:
        return self.verdict == VERDICTS[0]


def results_of(entry: Entry, full: bool) -> Path:
    """The folder a form's results go to: short ones never replace those of the full sizes."""
    named = os.environ.get("CONCORD_BENCH_RESULTS")
    whole = full or entry.short in ("", entry.full)
    return Path(named).absolute() if named else RESULTS if whole else RESULTS / "short"


def words_of(entry: Entry, full: bool) -> list[str]:
    """Module and flags of a form; a measurement without a short form has its full one alone."""
    return shlex.split(entry.full if full or not entry.short else entry.short)


def chosen(names: list[str], full: bool) -> list[Entry]:
    """The measurements asked for, by their names or how these begin; without names all, long ones with --full alone."""
    if not names:
        return [one for one in ENTRIES if full or one.short]
    return [one for one in ENTRIES if one.name.startswith(tuple(names))]


def limit_of(entry: Entry, full: bool) -> float | None:
    """Seconds after which a short form is stopped: three times its estimate, or two minutes."""
    return None if full or not entry.short else max(120.0, 3.0 * entry.seconds)


def run(command: list[str], results: Path, limit: float | None) -> int | None:
    """A command's exit status; None when it was stopped at its limit, it and what it started."""
    environment = {**os.environ, "CONCORD_BENCH_RESULTS": str(results)}
    child = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also when this run is interrupted: the child, in a session of its own, was not told
        if child.poll() is None:
            stop(child)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ctrl-C to a child and all it started, so that they clean up; what is left after 20 seconds is killed."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def measure(entry: Entry, full: bool, limit: float | None) -> Ran:
    """Run one form; what it kept counts only if this run wrote it."""
    results = results_of(entry, full)
    path = results / f"{entry.name}.json"
    before = path.stat().st_mtime_ns if path.exists() else None
    module, *flags = words_of(entry, full)
    status = run([sys.executable, "-m", f"bench.{module}", *flags], results, limit)
    if status is None:
        return Ran(f"STOPPED at {limit:.0f} s", None)
    if status not in VERDICTS or not path.exists() or path.stat().st_mtime_ns == before:
        return Ran(f"FAILED ({status})", None)
    return Ran(VERDICTS[status], json.loads(path.read_text("utf-8")))


def measure_all(entries: list[Entry], full: bool, minutes: float) -> dict[str, Ran]:
    """One after another; one that would not fit into the minutes left is not begun (0: no bound)."""
    began, done = time.monotonic(), {}
    for number, entry in enumerate(entries, 1):
        gone = time.monotonic() - began
        left = minutes * 60 - gone if minutes else float("inf")
        of = f" of {minutes:g}" if minutes else ""
        print(f"\n[{number}/{len(entries)}, {gone / 60:.1f}{of} min] python -m bench.", end="")
        print(" ".join(words_of(entry, full)), flush=True)
        if left < entry.seconds and not full:
            done[entry.name] = Ran("NOT RUN", None)
            print(
                f"  not begun: it takes about {entry.seconds} s, {max(left, 0):.0f} s are left (--minutes)", flush=True
            )
            continue
        limit = limit_of(entry, full)
        bound = min(limit or float("inf"), left)
        done[entry.name] = measure(entry, full, None if bound == float("inf") else bound)
        print(f"  {time.monotonic() - began - gone:.0f} s, {done[entry.name].verdict}", flush=True)
    return done


def table(done: dict[str, Ran]) -> str:
    """What was found, a line or two each, and the peers that are not there."""
    lines = []
    for name, ran in done.items():
        lines.append(f"{ran.verdict:16}{name:22}{ran.kept['figure'] if ran.kept else 'see above'}")
        if ran.kept:
            lines.append(f"{'':38}against: {ran.kept['against']}")
    return "\n".join(lines)


def main() -> int:
    """Run what was asked for; 1 when a figure was not reached or not found."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join(one.name for one in ENTRIES)
    args.add_argument("names", nargs="*", metavar="NAME", help=f"some of {known} (or the start of a name)")
    args.add_argument("--full", action="store_true", help="the full sizes")
    args.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help=f"begin nothing that would not end in N minutes, and stop what does not (default {MINUTES:g};"
        " 0, no bound, with --full or names)",
    )
    asked = args.parse_args()
    entries = chosen(asked.names, asked.full)
    if not entries:
        args.error(f"no measurement is named {' '.join(asked.names)}; there are {known}")
    for entry in entries:
        if entry.peers and peers.missing(entry.peers):
            print(f"{entry.name}: {peers.absent(entry.peers)}")
    usual = 0.0 if asked.full or asked.names else MINUTES
    done = measure_all(entries, asked.full, usual if asked.minutes is None else asked.minutes)
    print(f"\n{table(done)}")
    if not os.environ.get("CONCORD_BENCH_RESULTS"):
        subprocess.run([sys.executable, "-m", "bench.told"], cwd=ROOT, check=True)
    return int(not all(ran.well for ran in done.values()))


if __name__ == "__main__":
    sys.exit(main())
