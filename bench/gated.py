"""From a labelling store to a gated adapter by one command, with nothing at hand but the sources: seconds, and twice.

    python -m bench.gated

`make gated-adapter STORE=… PROJECT=…` in two empty workspaces, on one store with the bundled judged sample: the tiny
model is made, the project exported, learnt from by DPO on real 4-bit weights, evaluated against the model it started
from and taken to the gate. Both must come to the same digests, export to decision. (A store loaded anew gives people
other random ids, so its rows name other judgments.) What .venv holds is installed before the clock starts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import ROOT, parsed, report

FOLDERS = ("tiny", "exports/judged", "runs/gated", "evaluations/gated-against-tiny")


def main() -> int:
    """Run the command twice and hold what it left beside each other."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--times", type=int, default=2, metavar="N", help="empty workspaces (default: 2)")
    asked = parsed(args)
    seconds, digests, decisions = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/judged.db"
        load = [sys.executable, "-m", "annotate.load", "data/sample/judged/tasks.jsonl", "--project", "judged"]
        subprocess.run([*load, "--store", store], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        for n in range(asked.times):
            workspace = Path(folder) / str(n)
            seconds.append(round(_make(workspace, store), 1))
            digests.append({name: _digest(workspace / name) for name in FOLDERS})
            decisions.append(_decision(workspace))
    other = [name for name in FOLDERS if any(one[name] != digests[0][name] for one in digests)]
    same = not other and all(one == decisions[0] for one in decisions)
    worst = max(seconds)
    return report(
        "gated",
        f"{worst} s at worst, {'the same digests' if same else 'OTHER digests'} in {asked.times} workspaces",
        "one command, <= 300 s on two cores, the same digest twice; the tiny model is made in that time",
        {
            "seconds": seconds,
            "digests": digests[0],
            "other": other,
            "decision": decisions[0],
            "load": os.getloadavg()[0],
        },
        same and worst <= 300,
    )


def _make(workspace: Path, store: str) -> float:
    began = time.monotonic()
    run = subprocess.run(
        ["make", "-s", "gated-adapter", f"STORE={store}", "PROJECT=judged"],
        cwd=ROOT,
        env={**os.environ, "CONCORD_WORKSPACE": str(workspace)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if not list(workspace.glob("gates/*/manifest.json")):  # a gate that does not pass is a result too
        sys.exit(f"make gated-adapter came to no decision:\n{run.stdout[-2000:]}")
    return time.monotonic() - began


def _digest(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text("utf-8"))["digest"])


def _decision(workspace: Path) -> list[dict[str, Any]]:
    (decided,) = workspace.glob("gates/*/data/decision.jsonl")
    return [json.loads(line) for line in decided.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    raise SystemExit(main())
