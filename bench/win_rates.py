"""How often the intervals of win rates hold the truth: at equal length, what length adds, a judge put right by people.

    python -m bench.win_rates [--sims 2000]

Every cell is simulated: verdicts of prompt families that are alike within (a normal effect of a family), lengths
that sway the judge, people on a quarter of the prompts and a judge that flatters the run on all. The pseudo-values
that the gate decides on are counted too, by a mean ± t · error over families.
"""

import argparse
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, stdtrit

from bench.figures import parsed, report
from train.contests import Win, Wins
from train.corrected import corrected
from train.length_control import length_controlled

FAMILIES = (20, 50, 100)
EACH = (1, 4)
SPREAD = 0.5
"""Standard deviation of a family's effect, in log-odds."""


def wins(y: Any, delta: Any, family: Any, source: Any = "model") -> Wins:
    """Wins as readers make them."""
    rows = [
        Win(f"{n:05}", str(c), float(v), (5000 + int(d), 5000), {}, 1)
        for n, (v, d, c) in enumerate(zip(y, delta, family, strict=True))
    ]
    return Wins(rows, source, {})


def held(low: float | None, high: float | None, truth: float) -> bool:
    """Whether an interval holds the truth; none does not."""
    return low is not None and high is not None and low <= truth <= high


def by_cases(cases: list[Any], truth: float) -> bool:
    """The interval that pseudo-values give on their own."""
    names: dict[str, float] = {}
    rate = math.fsum(case.value for case in cases) / len(cases)
    for case in cases:
        names[case.cluster] = names.get(case.cluster, 0.0) + case.value - rate
    g = len(names)
    error = math.sqrt(g / (g - 1) * math.fsum(v * v for v in names.values())) / len(cases)
    return abs(rate - truth) <= float(stdtrit(g - 1, 0.975)) * error


def length_cell(rng: Any, families: int, each: int, theta: float, phi: float, truth: tuple[float, float]) -> list[bool]:
    """Holds: the rate at equal length, what length adds, the pseudo-values' rate."""
    family = np.repeat(np.arange(families), each)
    delta = rng.normal(150, 300, len(family)).round()
    effect = rng.normal(0, SPREAD, families)[family]
    y = rng.random(len(family)) < expit(theta + effect + phi * np.tanh(delta / 300))
    found = length_controlled(wins(y, delta, family))
    apart = held(found.from_length_low, found.from_length_high, truth[1] - truth[0])
    return [held(found.low, found.high, truth[0]), apart, by_cases(found.cases, truth[0])]


def length_truth(theta: float, phi: float) -> tuple[float, float]:
    """The win rate at equal length and as judged, over families and lengths."""
    rng = np.random.default_rng(0)
    effect, delta = rng.normal(0, SPREAD, 2_000_000), rng.normal(150, 300, 2_000_000)
    return float(expit(theta + effect).mean()), float(expit(theta + effect + phi * np.tanh(delta / 300)).mean())


def people_cell(rng: Any, families: int, each: int, good: float, truth: float) -> list[bool]:
    """Holds: the corrected rate, people's alone, the judge's bias, the pseudo-values' rate."""
    total = families * each * 4
    family = rng.permutation(total) % (families * 2)
    lean = rng.choice([-0.2, 0.2], families * 2)[family]
    right = rng.random(total) < truth + lean
    judged = np.where(rng.random(total) > good, rng.random(total) < 0.85, right)
    seen = np.sort(rng.permutation(total)[: families * each])
    everyone = wins(right, np.zeros(total), family, "person")
    people = everyone._replace(rows=[everyone.rows[i] for i in seen])
    found = corrected(people, wins(judged, np.zeros(total), family))
    return [
        held(found.low, found.high, truth),
        held(found.by_people_low, found.by_people_high, truth),
        held(found.bias_low, found.bias_high, (1 - good) * (0.85 - truth)),
        by_cases(found.cases, truth),
    ]


def share(cell: Callable[[Any], list[bool]], names: tuple[str, ...], sims: int, seed: int) -> dict[str, float]:
    """How often each interval of a cell holds."""
    rng = np.random.default_rng(seed)
    rows = np.array([cell(rng) for _ in range(sims)])
    return {name: round(float(x), 4) for name, x in zip(names, rows.mean(axis=0), strict=True)}


def main() -> int:
    """Simulate every cell."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--sims", type=int, default=2000, help="simulations of each cell (2000)")
    args.add_argument("--seed", type=int, default=1)
    asked = parsed(args)
    found: dict[str, dict[str, float]] = {}
    names = ("equal length", "from length", "its pseudo-values")
    for families in FAMILIES:
        for each in EACH:
            for theta, phi in ((0.2, 0.0), (0.0, 1.0), (1.0, 0.6)):
                cell = partial(
                    length_cell, families=families, each=each, theta=theta, phi=phi, truth=length_truth(theta, phi)
                )
                name = f"length {families}x{each} theta={theta} phi={phi}"
                found[name] = share(cell, names, asked.sims, asked.seed)
            for good in (0.6, 0.9):
                cell = partial(people_cell, families=families, each=each, good=good, truth=0.55)
                told = ("corrected", "people alone", "bias", "its pseudo-values")
                found[f"people {families}x{each} judge right {good}"] = share(cell, told, asked.sims, asked.seed)
    rows = [(value, f"{name}: {which}") for name, own in found.items() for which, value in own.items()]
    mean, (worst, where) = sum(value for value, _ in rows) / len(rows), min(rows)
    details = {"simulations": asked.sims, "load": round(os.getloadavg()[0], 1), "worst": f"{worst:.1%} ({where})"}
    return report(
        "win_rates",
        f"{mean:.1%} of 95% intervals hold the truth on average over {len(rows)} cells, the worst {worst:.1%}",
        "93 to 97% on average",
        details | {"cells": found},
        0.93 <= mean <= 0.97,
    )


if __name__ == "__main__":
    raise SystemExit(main())
