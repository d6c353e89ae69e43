"""Export of 300,000 tasks × 3 judgments × 900 characters, every stage: seconds by stage, and the largest memory.

    python -m bench.exporting

A project is grown from a seed: prompts of about 100 characters, two responses of 400 each (a tenth of the tasks
are Chinese: 60, and 260 each), 200 annotators of known skill, one of whom clicks what is first, and rows that come
again with a word changed. It is loaded as `python -m annotate.load` loads it; then `python -m curate.export` runs
as a command of its own, and `python -m curate.verify` after it.
"""

import argparse
import contextlib
import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import folder, parsed, report

REACH = {"seconds": 90.0, "peak_mb": 3000.0}
ANNOTATORS = 200


def rows(tasks: int, seed: int) -> Iterator[dict[str, Any]]:
    """Tasks with three judgments each, in the layout that annotate.load reads."""
    from bench.dedup import Grower

    grow = Grower(seed)
    dice = random.Random(seed + 1)
    skill = [0.6 + 0.35 * dice.random() for _ in range(ANNOTATORS)]
    # Words of two characters, as frequent as words are (the n-th 1/n as often as the first).
    chinese = ["".join(chr(0x4E00 + dice.randrange(3000)) for _ in range(2)) for _ in range(20_000)]
    often = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(chinese))))
    former: list[dict[str, Any]] = []
    for n in range(tasks):
        if former and dice.random() < 0.02:
            row = _again(former[dice.randrange(len(former))], dice)
        elif dice.random() < 0.1:
            prompt, *answers = ("".join(dice.choices(chinese, cum_weights=often, k=k)) for k in (30, 130, 130))
            row = {"language": "zh", "prompt": prompt, "responses": answers}
        else:
            row = {"language": "en", "prompt": grow.text()[:100], "responses": [grow.text()[:400] for _ in range(2)]}
        if len(former) < 2000:
            former.append(row)
        made = [{"model": f"model-{i}", "text": text} for i, text in zip("ab", row["responses"], strict=True)]
        yield {
            **row,
            "id": f"task-{n:07}",
            "kind": "ab",
            "responses": made,
            "tags": [f"topic-{n % 7}"],
            "judgments": list(_judgments(n, dice, skill)),
        }


def _again(row: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """The row with one word of one response changed."""
    first, second = row["responses"]
    return {**row, "responses": [first, f"{second[:-5]} {dice.getrandbits(16):04x}"]}


def _judgments(n: int, dice: random.Random, skill: list[float]) -> Iterator[dict[str, Any]]:
    truth = dice.random() < 0.5
    for who in dice.sample(range(ANNOTATORS), 3):
        shown = [1, 2] if dice.random() < 0.5 else [2, 1]
        right = dice.random() < skill[who]
        better = 1 if right == truth else 2
        choice = "A" if who == 0 or shown[0] == better else "B"
        at = f"2026-{1 + n % 9:02}-{1 + n % 28:02}T09:{n % 60:02}:00Z"
        yield {
            "annotator": f"sim-{who:03}",
            "choice": choice,
            "shown": shown,
            "active_seconds": round(20 + 40 * dice.random(), 1),
            "submitted_at": at,
        }


def load(path: Path, url: str) -> None:
    """Load the file as the command does."""
    from annotate.intake import Wishes, load_rows
    from data.formats import read
    from data.store import open_store

    store = open_store(url)
    tally = load_rows(store, "bench", read([str(path)]).rows, Wishes(overlap=3), rejected=print)
    store.close()
    assert tally.rejected == 0, "the file is good"


def export(url: str, out: Path, flags: list[str]) -> dict[str, Any]:
    """Run the command; returns its summary with seconds and the largest memory of it and its workers together."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "curate.export", "--project", "bench", "--store", url, "--out", str(out), "--json"]
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE) as run:
        peak = 0.0
        while run.poll() is None:
            peak = max(peak, held(run.pid))
            time.sleep(0.5)
        said = run.stdout.read() if run.stdout else b""
    if run.returncode:
        raise SystemExit(f"the export ended with status {run.returncode}")
    return {**json.loads(said), "seconds": round(time.perf_counter() - began, 1), "peak_mb": round(peak)}


def held(pid: int) -> float:
    """Megabytes that a process and its children hold now, what they share counted once (PSS)."""
    total = 0.0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1000
    return total


def children(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for word in (task / "children").read_text().split():
                found += [int(word), *children(int(word))]
    return found


def main() -> int:
    """Measure and say."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--tasks", type=int, default=300_000)
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--aggregate", default="dawid-skene")
    args.add_argument("--store", metavar="URL", help="a store that holds the project already; else it is grown")
    asked = parsed(args)
    with folder() as place:
        url = asked.store or f"sqlite:///{place}/store.db"
        if not asked.store:
            path = place / "tasks.jsonl"
            with path.open("w", encoding="utf-8") as file:
                for row in rows(asked.tasks, asked.seed):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
            load(path, url)
            path.unlink()
        flags = ["--aggregate", asked.aggregate, "--dedup", "row", "--min-votes", "2", "--per-prompt", "4"]
        found = export(url, place / "out", flags)
        began = time.perf_counter()
        proved = subprocess.run([sys.executable, "-m", "curate.verify", str(place / "out")], stdout=subprocess.DEVNULL)
        verified = round(time.perf_counter() - began, 1)
    ok = found["seconds"] < REACH["seconds"] and found["peak_mb"] < REACH["peak_mb"] and not proved.returncode
    told = {
        name: found[name] for name in ("seconds", "peak_mb", "tasks", "judgments", "pairs", "clusters", "agreement")
    }
    figure = f"{asked.tasks:,} tasks in {found['seconds']} s, {found['peak_mb']:,} MB"
    against = (
        f"< {REACH['seconds']:.0f} s and < {REACH['peak_mb']:,.0f} MB at 300,000 tasks, every stage and the report"
    )
    details = {**told, "flags": " ".join(flags), "verify_seconds": verified, "left_out": found["left_out"]}
    return report("exporting", figure, against, details, ok if asked.tasks == 300_000 else None)


if __name__ == "__main__":
    sys.exit(main())
