"""Dawid and Skene's model on ten million votes, and Bradley and Terry's with a thousand bootstrap rounds.

    python -m bench.aggregate --peers /tmp/peers-aggregate/bin/python

Votes of annotators with accuracies around a mean: five classes at 70%, and a hard set of two at 60%, each to
1e-9. A million comparisons of a hundred items with ties, and the intervals of their strengths. --peers names
the Python of an environment that has crowd-kit and scikit-learn; in the same run crowd-kit's DawidSkene gets a
tenth of the votes, and FastChat's way (a logistic regression in each bootstrap round) the same comparisons.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import peers
from bench.figures import parsed, report
from data.consensus import dawid_skene
from data.strength_intervals import bootstrap_strengths

REACH = {"dawid_skene_s": 6.0, "dawid_skene_mb": 2000.0, "bradley_terry_s": 5.0}

CROWD_KIT = """
import sys, time, numpy as np, pandas as pd
from crowdkit.aggregation import DawidSkene
votes = np.load(sys.argv[1])
table = pd.DataFrame({"task": votes["item"], "worker": votes["who"], "label": votes["said"]})
began = time.perf_counter()
model = DawidSkene(n_iter=100)
found = model.fit_predict(table)
seconds = time.perf_counter() - began
found = found.sort_index()
right = float((found.to_numpy() == votes["truth"][found.index]).mean())
print(seconds, len(model.loss_history_), right)
"""
FASTCHAT = """
import sys, time, numpy as np
from sklearn.linear_model import LogisticRegression
data = np.load(sys.argv[1])
rounds, n = int(sys.argv[2]), int(data["items"])
first, second, winner = data["first"], data["second"], data["winner"]
cells, count = np.unique((first * n + second) * 3 + winner, return_counts=True)
a, b, w = cells // 3 // n, cells // 3 % n, cells % 3
x = np.zeros((len(cells), n)); x[np.arange(len(cells)), a] = 1; x[np.arange(len(cells)), b] = -1
x = np.vstack([x, x]); y = np.repeat([1, 0], len(cells))
won = np.concatenate([np.where(w == 1, 1, np.where(w == 0, .5, 0)), np.where(w == 2, 1, np.where(w == 0, .5, 0))])
random = np.random.default_rng(0)
began = time.perf_counter()
for _ in range(rounds):
    drawn = np.tile(random.multinomial(len(first), count / count.sum()), 2) * won
    kept = drawn > 0
    model = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-6, max_iter=1000)
    model.fit(x[kept], y[kept], sample_weight=drawn[kept])
print(time.perf_counter() - began)
"""


def crowd(votes: int, classes: int, accuracy: float, people: int, seed: int) -> dict[str, Any]:
    """Ten votes an item on average, by annotators whose accuracies lie around one."""
    random = np.random.default_rng(seed)
    items = votes // 10
    truth = random.integers(0, classes, items, dtype=np.int32)
    chance = np.clip(random.normal(accuracy, 0.1 if accuracy > 0.65 else 0.05, people), 0.05, 0.98)
    item = np.concatenate([np.arange(items, dtype=np.int32), random.integers(0, items, votes - items, dtype=np.int32)])
    who = random.integers(0, people, votes, dtype=np.int32)
    wrong = random.random(votes) >= chance[who]
    said = (truth[item] + wrong * random.integers(1, classes, votes, dtype=np.int32)) % classes
    return {"item": item, "who": who, "said": said.astype(np.int32), "truth": truth}


def consensus(made: dict[str, Any], classes: int) -> dict[str, Any]:
    """Our seconds by the clock and of the processor, passes, and the share of items that come out right."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = dawid_skene(made["item"], made["who"], made["said"], classes=classes)
    return {
        "seconds": round(time.perf_counter() - clock, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "iterations": found.iterations,
        "converged": found.converged,
        "right": round(float((found.posterior.argmax(axis=1) == made["truth"]).mean()), 4),
        "log_likelihood": found.log_likelihood,
    }


def battles(count: int, items: int, seed: int) -> dict[str, Any]:
    """Comparisons of random items of known strength, about a fifth of them ties."""
    random = np.random.default_rng(seed)
    theta = random.normal(0, 1, items)
    first = random.integers(0, items, count)
    second = (first + random.integers(1, items, count)) % items
    half = (theta[first] - theta[second]) / 2
    win, lose = np.exp(half), np.exp(-half)
    point = random.random(count) * (win + lose + 0.6)
    winner = np.where(point < win, 1, np.where(point < win + lose, 2, 0))
    return {"first": first, "second": second, "winner": winner, "items": np.array(items), "theta": theta}


def strengths(made: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Our seconds for strengths and intervals, and how many true strengths lie in theirs."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = bootstrap_strengths(made["first"], made["second"], made["winner"], replicates=rounds)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    theta = made["theta"] - made["theta"].mean()
    assert found.low is not None
    assert found.high is not None
    inside = (found.low <= theta) & (theta <= found.high)
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "true_strengths_inside": f"{int(inside.sum())} of {len(theta)}",
        "tie_parameter": round(found.whole.tie or 0, 3),
    }


def peer(python: str, script: str, made: dict[str, Any], *words: str) -> list[float]:
    """What a peer's script prints, run by its own Python on the same arrays."""
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as place:
        path = Path(place, "made.npz")
        np.savez(path, **made)
        told = subprocess.run([python, "-W", "ignore", "-c", script, str(path), *words], capture_output=True, text=True)
    if told.returncode:
        raise SystemExit(f"the peer failed: {told.stderr.strip().splitlines()[-1:]}")
    return [float(word) for word in told.stdout.split()]


def main() -> int:
    """Measure, print, keep; 1 when a figure is not reached."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--votes", type=int, default=10_000_000)
    args.add_argument("--comparisons", type=int, default=1_000_000)
    args.add_argument("--rounds", type=int, default=1000)
    args.add_argument("--peer-rounds", type=int, default=20, help="of the logistic regression")
    args.add_argument(
        "--peers",
        metavar="PYTHON",
        help="of an environment with crowd-kit and scikit-learn (default: that of bench.peers aggregate)",
    )
    asked = parsed(args)
    load = os.getloadavg()[0]
    people = max(100, asked.votes // 10_000)
    usual = consensus(crowd(asked.votes, 5, 0.7, people, 0), 5)
    usual_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    hard = consensus(crowd(asked.votes, 2, 0.6, people, 1), 2)
    made = battles(asked.comparisons, 100, 2)
    ranked = strengths(made, asked.rounds)
    asked.peers = asked.peers or peers.python_of("aggregate")
    beside = beside_peers(asked, people, made) if asked.peers else {}
    reached = {
        "dawid_skene_s": usual["seconds"],
        "dawid_skene_mb": round(usual_mb),
        "bradley_terry_s": ranked["seconds"],
    }
    return report(
        "aggregate",
        f"Dawid-Skene {asked.votes:,} votes × 5 classes to 1e-9 in {usual['seconds']} s ({usual['iterations']} passes,"
        f" {usual_mb:,.0f} MB), × 2 at 60% in {hard['seconds']} s ({hard['iterations']} passes);"
        f" Bradley-Terry with ties, {asked.comparisons:,} × {asked.rounds:,} rounds in {ranked['seconds']} s",
        json.dumps(REACH) + (f"; beside: {json.dumps(beside)}" if beside else f"; {peers.absent('aggregate')}"),
        {
            "load_before": round(load, 2),
            "five_classes": usual,
            "two_at_60_percent": hard,
            "bradley_terry": ranked,
            "beside": beside,
        },
        all(reached[name] < limit for name, limit in REACH.items()) and usual["converged"] and hard["converged"],
    )


def beside_peers(asked: argparse.Namespace, people: int, made: dict[str, Any]) -> dict[str, Any]:
    """crowd-kit on a tenth of the votes with ours beside it, and the logistic regressions."""
    small = crowd(asked.votes // 10, 5, 0.7, people, 3)
    seconds, passes, right = peer(asked.peers, CROWD_KIT, small)
    ours = consensus(small, 5)
    loop = peer(asked.peers, FASTCHAT, made, str(asked.peer_rounds))[0] / asked.peer_rounds * 100
    return {
        "votes": asked.votes // 10,
        "versions": peers.versions("aggregate", asked.peers),
        "crowd_kit_s": round(seconds, 2),
        "crowd_kit_iterations": int(passes),
        "crowd_kit_right": round(right, 4),
        "ours_s": ours["seconds"],
        "ours_right": ours["right"],
        "logistic_regression_s_per_100_rounds": round(loop, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
