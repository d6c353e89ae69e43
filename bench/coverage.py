"""How often the intervals for agreement hold the truth, simulated over a grid.

    python -m bench.coverage [--sims 1000]

Units have a true value (even or skewed shares); an annotator gives it with some probability, else
any value at random; some judgments are missing. The truth is the measure of 400,000 such units. For
each number of units: the average coverage over the grid, and the worst cell by name.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.figures import Meter, report
from data.agreement import Level, patterns
from data.coincidence import Ints, ac1s, alphas, design, percents, weighed
from data.concordance import mean_concordance
from data.cross_agreement import TOO_FEW as TOO_FEW_FOR_TWO
from data.cross_agreement import cross_alpha
from data.intervals import MEASURES, TOO_FEW, Measured, measure

Simulated = Callable[[int, np.random.Generator, int], dict[str, Measured]]

SIZES = (10, 20, 50, 100, 200)
LEVELS: dict[int, tuple[Level, ...]] = {2: ("nominal",), 5: ("nominal", "ordinal")}
MODELS: list[tuple[int, int, float, bool, float, Level]] = [
    (values, judges, right, skewed, missing, level)
    for values, judges, right, skewed, missing in itertools.product(
        (2, 5), (2, 3, 5), (0.5, 0.8, 0.95), (False, True), (0.0, 0.2)
    )
    for level in LEVELS[values]
    if not (missing and judges == 2)
]
KINDS = [(m, k) for m in MEASURES for k in ("jackknife", "bootstrap")]


def main() -> int:
    """Simulate, print, and fail when an average is not within 93-97% where the command relies on the interval."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--sims", type=int, default=400)
    p.add_argument("--replicates", type=int, default=1000)
    args = p.parse_args()
    meter = Meter()
    covered: dict[tuple[str, str, int], dict[str, float]] = {}
    for cell, model in enumerate(MODELS):
        truth = _truth(model)
        for size in SIZES:
            hits = np.zeros(len(KINDS))
            for sim in range(args.sims):
                counts = _sample(model, size, np.random.default_rng([cell, size, sim]))
                found = measure(design(*patterns(counts)), model[-1], replicates=args.replicates, seed=sim)
                hits += [_holds(getattr(found[m], k), truth[m]) for m, k in KINDS]
            for (m, k), hit in zip(KINDS, hits / args.sims, strict=True):
                covered.setdefault((m, k, size), {})[_name(model)] = float(hit)
            meter.say(f"cell {cell + 1} of {len(MODELS)}, {size} units")
    _others(covered, args.sims, args.replicates, meter)
    details: dict[str, Any] = {"cells": len(MODELS), "sims": args.sims, "replicates": args.replicates}
    ok = True
    for (m, k, size), cells in sorted(covered.items()):
        mean, (worst, least) = float(np.mean(list(cells.values()))), min(cells.items(), key=lambda one: one[1])
        details[f"{m}, {k}, {size} units"] = f"{mean:.1%} on average, worst {least:.1%} ({worst})"
        least = TOO_FEW_FOR_TWO if m == "cross_alpha" else TOO_FEW
        ok = ok and (size < least or 0.93 <= mean <= 0.97)
    at = [float(np.mean(list(covered["alpha", k, TOO_FEW].values()))) for k in ("jackknife", "bootstrap")]
    figure = (
        f"95% intervals for alpha hold the truth at {TOO_FEW} units in {at[0]:.1%} (jackknife), {at[1]:.1%} (bootstrap)"
    )
    return report("coverage", figure, "93 to 97% on average over the grid", details, ok)


def _others(covered: dict[tuple[str, str, int], dict[str, float]], sims: int, replicates: int, meter: Meter) -> None:
    """People against models, and rankings: alpha of their pairs with prompts as blocks, and Kendall's W."""
    cells: list[tuple[str, Simulated]] = [
        (f"cross_alpha, {right:.0%} right", partial(_two_groups, right)) for right in (0.5, 0.8, 0.95)
    ]
    cells += [
        (f"{items} items, noise {noise}", partial(_rankings, items, noise))
        for items in (3, 5)
        for noise in (0.5, 1.0, 3.0)
    ]
    for name, simulated in cells:
        truth = {m: found.value for m, found in simulated(20_000, np.random.default_rng(0), 0).items()}
        for size in SIZES:
            hits: dict[tuple[str, str], int] = {}
            for sim in range(sims):
                for m, found in simulated(size, np.random.default_rng([size, sim]), replicates).items():
                    for k in ("jackknife", "bootstrap"):
                        hits[m, k] = hits.get((m, k), 0) + _holds(getattr(found, k), truth[m] or 0)
            for (m, k), hit in hits.items():
                covered.setdefault((m, k, size), {})[name] = hit / sims
            meter.say(f"{name}, {size} units")


def _two_groups(right: float, size: int, random: np.random.Generator, replicates: int) -> dict[str, Measured]:
    """Three people and two models who judge each unit with the same skill."""
    true = random.integers(0, 3, size)
    given = np.where(random.random((5, size)) < right, true, random.integers(0, 3, (5, size)))
    counts = (given[:, :, None] == np.arange(3)).astype(np.int64)
    both, times = np.unique(np.concatenate([counts[:3].sum(0), counts[3:].sum(0)], axis=1), axis=0, return_counts=True)
    return {"cross_alpha": cross_alpha(both[:, :3], both[:, 3:], times, "nominal", replicates=replicates)}


def _rankings(items: int, noise: float, size: int, random: np.random.Generator, replicates: int) -> dict[str, Measured]:
    """Three judges rank by merit plus noise of their own."""
    merit = random.normal(size=(size, 1, items))
    ranks = (merit + noise * random.normal(size=(size, 3, items))).argsort(axis=2).argsort(axis=2)
    first, second = np.triu_indices(items, 1)
    wins = (ranks[:, :, first] < ranks[:, :, second]).sum(axis=1).reshape(-1)
    counts = np.stack([wins, 3 - wins], axis=1).astype(np.int64)
    made = design(counts, np.ones(len(counts), dtype=np.int64), np.repeat(np.arange(size), len(first)))
    sets = Counter(tuple(sorted(map(tuple, prompt))) for prompt in ranks.tolist())
    return {
        "alpha of pairs": measure(made, "nominal", replicates=replicates)["alpha"],
        "kendall_w": mean_concordance(list(sets.items()), replicates=replicates),
    }


def _name(model: tuple[int, int, float, bool, float, Level]) -> str:
    values, judges, right, skewed, missing, level = model
    return f"{level}, {values} values, {judges} judges, {right:.0%} right{', skewed' * skewed}, {missing:.0%} missing"


def _sample(model: tuple[int, int, float, bool, float, Level], size: int, random: np.random.Generator) -> Ints:
    values, judges, right, skewed, missing, _ = model
    shares = 0.5 ** np.arange(values) if skewed else np.ones(values)
    true = random.choice(values, size, p=shares / shares.sum())
    given = np.where(random.random((size, judges)) < right, true[:, None], random.integers(0, values, (size, judges)))
    there = random.random((size, judges)) >= missing
    counts = np.stack([((given == v) & there).sum(axis=1) for v in range(values)], axis=1)
    return np.asarray(counts[counts.sum(axis=1) > 0], dtype=np.int64)


def _truth(model: tuple[int, int, float, bool, float, Level]) -> dict[str, float]:
    made = design(*patterns(_sample(model, 400_000, np.random.default_rng(0))))
    whole = weighed(made, made.times[:, None].astype(np.float64))
    found = {"alpha": alphas(whole, model[-1]), "percent": percents(whole), "ac1": ac1s(whole)}
    return {name: float(value[0]) for name, value in found.items()}


def _holds(interval: Any, truth: float) -> bool:
    return interval.low is not None and bool(interval.low - 1e-12 <= truth <= interval.high + 1e-12)


if __name__ == "__main__":
    raise SystemExit(main())
