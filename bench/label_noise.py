"""What a reward model keeps of clean labels' gain when a quarter of the annotators are inverted: posterior or majority.

    python -m bench.label_noise

20 people of whom 5 say the opposite of what they think, three judgments (and, beside it, one) on each choice. The
judgments go the whole way: `annotate.load`, then `curate.export --aggregate dawid-skene`, each a command of its own.
Three reward models train on the same choices: on true labels, on the majority's side (ties of votes are left out), on
the posterior as soft labels. The model is linear in the counts of words, trained by L-BFGS to the end with
`train.losses.reward`, the very loss of `train.reward`, and the same L2 pull. Held-out accuracy is against the truth on
choices nobody judged; the share kept is (accuracy − ½) / (accuracy on true labels − ½).

With one judgment a choice nothing tells who is right: the model leaves every pair even, and the export ends with
status 3, "not enough evidence"; what counted votes give is then all there is, and its share is shown.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench.figures import ROOT, Meter, folder, parsed, report
from bench.noisy_people import INVERTS, SOUND, Choice, choices, panels, people, says_first, words

REACH = 0.9
KINDS = (*[SOUND] * 15, *[INVERTS] * 5)
METHODS = ("majority", "posterior")


def main() -> int:
    """Measure; 1 when the posterior keeps too little, or not surely more than the majority."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seeds", type=int, default=10)
    p.add_argument("--choices", type=int, default=600, help="judged ones; as many again, unjudged, are held out")
    p.add_argument("--words", type=int, default=60)
    asked = parsed(p)
    load, began, meter = os.getloadavg()[0], time.monotonic(), Meter()
    kept: dict[int, list[dict[str, float]]] = {3: [], 1: []}
    for seed in range(asked.seeds):
        for overlap, rows in kept.items():
            with folder() as place:
                rows.append(one_seed(place, asked.choices, asked.words, overlap, seed))
            meter.say(f"seed {seed}, overlap {overlap}: {rows[-1]}")
    three = {name: spread([one[name] for one in kept[3]]) for name in METHODS}
    lead = spread([one["posterior"] - one["majority"] for one in kept[3]])
    alone = spread([one["posterior"] - one["majority"] for one in kept[1]])
    verdict = "no signal" if alone["low"] <= 0 <= alone["high"] else "a difference"
    ok = three["posterior"]["mean"] >= REACH and lead["low"] > 0
    figure = (
        f"the posterior keeps {three['posterior']['mean']:.3f} of the clean gain, "
        f"the majority {three['majority']['mean']:.3f}; "
        f"difference {lead['mean']:.3f} ({lead['low']:.3f} to {lead['high']:.3f}); overlap 1: {verdict}"
    )
    details = {
        "share_kept": three,
        "difference": lead,
        "overlap_1": {
            "verdict": verdict,
            "exports_that_say_not_enough": sum(not one["told"] for one in kept[1]),
            "difference": alone,
            "share_kept": {name: spread([one[name] for one in kept[1]]) for name in METHODS},
        },
        "by_seed": {str(overlap): rows for overlap, rows in kept.items()},
        "seeds": asked.seeds,
        "choices": asked.choices,
        "words": asked.words,
        "seconds": round(time.monotonic() - began, 1),
        "load": round(load, 2),
    }
    return report("label_noise", figure, f"reach {REACH}, and above the majority with an interval", details, ok)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and its 95% interval by Student's t over seeds; without one below two seeds."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 1.0
    return {
        name: round(x, 4)
        for name, x in (("mean", mean(values)), ("low", mean(values) - half), ("high", mean(values) + half))
    }


def one_seed(place: Path, count: int, size: int, overlap: int, seed: int) -> dict[str, float]:
    """Accuracy on true labels, and the share of its gain that each kind of labels keeps."""
    worth = words(size, seed)
    made = choices(2 * count, worth, seed)
    judged, held = made[:count], made[count:]
    rows, told = exported(place, judged, overlap, seed)
    features = [difference(one, worth) for one in judged]
    at = {one.prompt: n for n, one in enumerate(judged)}
    targets: dict[str, list[tuple[int, float]]] = {"clean": [], "majority": [], "posterior": []}
    for row in rows:
        n = at[row["prompt"][0]["content"]]
        first = row["chosen"][0]["content"] == judged[n].answers[0]
        p = row["probability"] if first else 1 - row["probability"]
        lead = (row["votes"]["chosen"] - row["votes"]["rejected"]) * (1 if first else -1)
        targets["clean"].append((n, float(judged[n].gap > 0)))
        targets["posterior"].append((n, p))
        if lead:
            targets["majority"].append((n, float(lead > 0)))
    test = [difference(one, worth) for one in held]
    truth = [one.gap > 0 for one in held]
    accuracy = {name: trained([(features[n], p) for n, p in some], test, truth) for name, some in targets.items()}
    gain = accuracy["clean"] - 0.5
    kept = {name: round((accuracy[name] - 0.5) / gain, 4) for name in METHODS}
    return {"clean": round(accuracy["clean"], 4), "told": float(told), **kept}


def exported(place: Path, judged: Sequence[Choice], overlap: int, seed: int) -> tuple[list[dict[str, Any]], bool]:
    """The rows of `curate.export` by Dawid and Skene's model, and whether it told anything.

    Where it leaves every pair even, the export ends with status 3, not enough evidence; the rows are then those of
    counted votes.
    """
    who = people(KINDS, seed)
    draw = random.Random(f"votes {seed} {overlap}")
    lines = []
    for n, (choice, panel) in enumerate(zip(judged, panels(len(judged), who, overlap, seed), strict=True)):
        said = [
            {"annotator": one.name, "choice": "A" if says_first(one, choice.gap, draw) else "B", "shown": [1, 2]}
            for one in panel
        ]
        answers = [{"model": f"model-{side}", "text": text} for side, text in zip("ab", choice.answers, strict=True)]
        one: dict[str, Any] = {"id": f"choice-{n}", "kind": "ab", "language": "en", "prompt": choice.prompt}
        lines.append({**one, "responses": answers, "judgments": said})
    tasks = place / "tasks.jsonl"
    tasks.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    _command(place, "annotate.load", str(tasks), "--project", "noise", "--overlap", str(overlap))
    out = place / "exports" / "noise"
    typed = ["--project", "noise", "--out", str(out), "--no-audit", "--splits", "100,0,0"]
    told = _command(place, "curate.export", *typed, "--aggregate", "dawid-skene")
    if not told:
        _command(place, "curate.export", *typed)
    return [json.loads(line) for line in (out / "data/train.jsonl").read_text("utf-8").splitlines()], told


def _command(place: Path, module: str, *words: str) -> bool:
    """Run a command in a store of its own; False where it finds not enough evidence, and a failure ends all."""
    env = {**os.environ, "CONCORD_STORE": f"sqlite:///{place}/store.db", "CONCORD_WORKSPACE": str(place)}
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--json"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        raise SystemExit(f"{module} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.returncode == 0


def difference(choice: Choice, worth: dict[str, float]) -> list[float]:
    """Counts of each word in the first answer less those in the second."""
    first, second = (answer.split() for answer in choice.answers)
    return [float(first.count(word) - second.count(word)) for word in worth]


def trained(rows: Sequence[tuple[list[float], float]], test: list[list[float]], truth: list[bool]) -> float:
    """Held-out accuracy of a linear reward model; p is the chance that the first answer is better."""
    import torch

    from train.losses import reward, weighted_mean

    x = torch.tensor([features for features, _ in rows], dtype=torch.float64)
    p = torch.tensor([one for _, one in rows], dtype=torch.float64)
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    steps: Any = torch.optim.LBFGS([weights], max_iter=200, tolerance_grad=1e-8, line_search_fn="strong_wolfe")
    nothing = torch.zeros(len(x), dtype=torch.float64)

    def loss() -> torch.Tensor:
        steps.zero_grad()
        found = weighted_mean(reward(x @ weights, nothing, p=p)) + 0.5 / len(x) * (weights**2).sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    steps.step(loss)
    scores = torch.tensor(test, dtype=torch.float64) @ weights.detach()
    right = (scores > 0) == torch.tensor(truth)
    return float(right.double().mean())


if __name__ == "__main__":
    raise SystemExit(main())
