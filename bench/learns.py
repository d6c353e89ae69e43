"""Whether training learns what people meant: held-out accuracy of a reward model and of DPO, with its interval.

    python -m bench.learns                                 the bundled judged sample, whose truth is known
    python -m bench.learns --real ../shared/real           HH-RLHF and PandaLM beside it, where their files are there
    python -m bench.learns --model workspace/tiny          a model in place of the one that train.tiny makes

Each file goes the way of its user: annotate.load, curate.export split by prompt, train.preflight, train.reward and
train.dpo with train/configs/tiny.yaml (three times through the rows, and once), each a command of its own. A pair
counts as right where the run scores the chosen answer above the rejected one (DPO: by its implicit reward), a tie
half; intervals are 95 % over prompt families. On the planted sample the lower bound must lie above one half. Real
pairs have no such bar: a model of half a million weights that never saw English outside our sample learns what it can,
and the figure is given as it falls.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from bench.figures import ROOT, Meter, folder, parsed, report
from data.jsonl import read_lines

CHANCE = 0.5
LEAST = 400  # held-out pairs on the planted sample
EPOCHS = {"reward": 3, "dpo": 1}
CONFIG = ROOT / "train" / "configs" / "tiny.yaml"


class Source(NamedTuple):
    """A file of judged pairs and how it is exported."""

    name: str
    file: Path
    export: tuple[str, ...]


SAMPLE = Source("sample", ROOT / "data/sample/judged/tasks.jsonl", ("--recipe", str(ROOT / "data/sample/export.yaml")))


def sources(real: Path | None) -> list[Source]:
    """The bundled sample, and the real files that are there; that one is not is said."""
    found = [SAMPLE]
    if real is None:
        return found
    for one in (
        Source("pandalm", real / "pandalm" / "testset-v1.json", ()),
        Source("hh_rlhf", real / "hh_rlhf" / "harmless_test_first_half.jsonl.gz", ("--drop", "private_data")),
    ):
        if one.file.is_file():
            found.append(one)
        else:
            print(f"not measured: {one.file} is not there", file=sys.stderr)
    return found


def command(workspace: Path, module: str, *words: Any) -> dict[str, Any]:
    """A command of ours as a process of its own; its summary."""
    environ = {
        **os.environ,
        "CONCORD_WORKSPACE": str(workspace),
        "CONCORD_STORE": f"sqlite:///{workspace}/concord.db",
        "OMP_NUM_THREADS": "1",
    }
    typed = [sys.executable, "-m", module, *map(str, words), "--json"]
    done = subprocess.run(typed, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench.learns: {module} ended with {done.returncode}: {done.stderr[-2000:]}")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def right(run: Path) -> dict[str, Any]:
    """Held-out accuracy on the test split, with n, families and the interval over them."""
    from train.bounds import mean_interval

    rows: list[Any] = [line.value for line in read_lines(run / "data" / "held_out.jsonl")]
    tested = [row for row in rows if row["split"] == "test"]
    values = [0.5 if row["chosen"] == row["rejected"] else float(row["chosen"] > row["rejected"]) for row in tested]
    found = mean_interval(values, [row["cluster"] for row in tested])
    ends = {name: None if one is None else round(one, 4) for name, one in (("low", found.low), ("high", found.high))}
    return {"accuracy": round(found.value or 0.0, 4), **ends, "n": found.n, "families": found.clusters}


def listed(path: Path) -> int:
    """Rows of a list of lost rows; a list without rows is not written."""
    return sum(1 for _ in read_lines(path)) if path.is_file() else 0


def measure(source: Source, model: Path, workspace: Path, meter: Meter) -> dict[str, Any]:
    """One file from its pairs to both runs' accuracy."""
    export = workspace / "exports" / source.name
    loaded = command(workspace, "annotate.load", source.file, "--project", source.name)
    splits = ("--splits", "55,5,40", "--out", export)
    exported = command(workspace, "curate.export", "--project", source.name, *source.export, *splits)
    found: dict[str, Any] = {
        "loaded": {key: loaded.get(key) for key in ("tasks", "judgments", "rejected")},
        "pairs": {key: exported[key] for key in ("pairs", "train", "validation", "test") if key in exported},
        "left_out_of_the_export": exported.get("left_out"),
    }
    for task in ("reward", "dpo"):
        place = workspace / "preflight" / f"{source.name}-{task}"
        flags = ("--model", model, "--length", 512, "--task", task, "--allow-loss", 1, "--out", place)
        looked = command(workspace, "train.preflight", export, *flags)
        lost = listed(place / "audit" / "lost.jsonl")
        counted = {key: looked[key] for key in ("rows", "kept", "cut", "dropped", "no_signal")}
        run = workspace / "runs" / f"{task}-{source.name}"
        share = -(-lost * 10_000 // looked["rows"]) / 10_000
        words = (
            "--config",
            CONFIG,
            "--model",
            model,
            "--out",
            run,
            "--set",
            f"allow_loss={share}",
            f"epochs={EPOCHS[task]}",
        )
        trained = command(workspace, f"train.{task}", export, *words)
        found[task] = {
            **right(run),
            "preflight": {**counted, "listed": lost, "listed_with_the_run": listed(run / "audit" / "preflight.jsonl")},
            "unlisted": looked["rows"] - looked["kept"] - lost,
            "steps": trained["steps"],
            "seconds": trained["seconds"],
        }
        meter.say(f"{source.name}, {task}: {found[task]['accuracy']}")
    return found


def main() -> int:
    """Measure, print, keep; 1 when the planted preferences were not learnt."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--real", type=Path, metavar="DIR", help="folder of the real files (with pandalm/ and hh_rlhf/)")
    p.add_argument("--model", type=Path, metavar="DIR", help="a model's folder (default: train.tiny makes one)")
    args = parsed(p)
    meter = Meter()
    with folder() as made:
        model = args.model.resolve() if args.model else made / "tiny"
        if not args.model:
            command(made, "train.tiny", "--out", model)
            meter.say("made the tiny model")
        found = {one.name: measure(one, model, made, meter) for one in sources(args.real)}
    return tell(found)


def tell(found: dict[str, dict[str, Any]]) -> int:
    """The figure, and whether it reaches what was asked for."""
    runs = {f"{task}, {name}": one[task] for name, one in found.items() for task in ("reward", "dpo")}
    planted = [found["sample"][task] for task in ("reward", "dpo")]
    learnt = all(one["n"] >= LEAST and one["low"] is not None and one["low"] > CHANCE for one in planted)
    ok = learnt and not any(one["unlisted"] for one in runs.values())
    said = [f"{name} {one['accuracy']} [{one['low']}, {one['high']}] of {one['n']}" for name, one in runs.items()]
    against = f"on the planted sample lower bounds above {CHANCE} (n >= {LEAST}); lost rows that are not listed: 0"
    return report("learns", "; ".join(said), against, {**found, "load": round(os.getloadavg()[0], 1)}, ok)


if __name__ == "__main__":
    sys.exit(main())
