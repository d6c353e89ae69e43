"""How often the gate passes a run that is no better, and sees one that wins 55%, over clusters and repeated looks.

    python -m bench.gate [--sims 10000]

A win rate against 0.5: wins of prompts come in families that are alike (beta-binomial, by their intra-cluster
correlation), families come in from look to look. False pass: true rate 0.5, passed at any look. Power: true rate
0.55. Beside the gate (bounds of train/bounds.py, alpha spent by train/spending.py), on the same draws: a bootstrap
over cases without clusters or payment (its percentile in the limit of many replicates, which is a binomial's), and the
gate's own bound at 5% at each look, which nobody paid for. Then false passes at other limits, where the bound is
hardest to keep: near the ends, with ties, for paired differences, with few families.
"""

import argparse
import os
import time
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.figures import Meter, parsed, report
from train.bounds import DIFFERENCE, SHARE, limits, seen_in
from train.spending import Looked, level, spends

ALPHA = 0.05
Floats = NDArray[np.float64]


class Cell(NamedTuple):
    """One design."""

    sizes: tuple[int, ...]
    """Cases of a family, repeated until there are enough."""
    alike: float
    """Intra-cluster correlation."""


CELLS = [
    Cell((1,), 0.0),
    Cell((2,), 0.3),
    Cell((4,), 0.1),
    Cell((4,), 0.5),
    Cell((10,), 0.3),
    Cell((1, 1, 2, 4, 12), 0.3),
]
NS = (400, 800, 1600)
_BLOCK = 1000  # data sets held in memory at once
LOOKS = (1, 3, 5)


class Edge(NamedTuple):
    """A limit that lies where the mean truly is: passing is always false."""

    name: str
    families: int
    size: int
    up: float
    """Share of values at the upper end, and at the lower; the rest lies in the middle."""
    down: float
    alike: float
    lower: bool
    """Whether the lower bound decides (at_least) or the upper (at_most)."""


EDGES = [
    Edge("refuses at least 0.95", 300, 1, 0.95, 0.05, 0.0, True),
    Edge("refuses at least 0.98", 100, 4, 0.98, 0.02, 0.5, True),
    Edge("over-refusal at most 0.02", 150, 3, 0.02, 0.98, 0.3, False),
    Edge("over-refusal at most 0.01", 450, 1, 0.01, 0.99, 0.0, False),
    Edge("win rate with 40% ties", 200, 2, 0.3, 0.3, 0.3, True),
    Edge("win rate with 95% ties", 300, 1, 0.025, 0.025, 0.0, True),
    Edge("difference, rare losses, margin 0.03", 300, 1, 0.0, 0.03, 0.0, True),
    Edge("difference, rare both, margin 0.02", 200, 3, 0.02, 0.04, 0.4, True),
    Edge("difference, 10% and 15%, margin 0.05", 120, 4, 0.10, 0.15, 0.3, True),
    Edge("10 families", 10, 6, 0.5, 0.5, 0.3, True),
    Edge("20 families", 20, 10, 0.8, 0.2, 0.2, True),
    Edge("20 families, upper", 20, 10, 0.8, 0.2, 0.2, False),
]


def main() -> int:
    """Simulate, print the table, and fail when a false pass is above 5% by more than chance explains."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sims", type=int, default=10_000, help="of each cell (default: 10000)")
    p.add_argument("--seed", type=int, default=0)
    args = parsed(p)
    load, began = os.getloadavg()[0], time.monotonic()
    slack = 3 * (ALPHA * (1 - ALPHA) / args.sims) ** 0.5
    rows, meter = [], Meter()
    for number, (n, cell) in enumerate((n, cell) for n in NS for cell in CELLS):
        meter.say(f"{number} of {len(NS) * len(CELLS)} designs")
        rows += _design(np.random.default_rng([args.seed, number]), n, cell, args.sims)
    edges = {e.name: _edge(np.random.default_rng([args.seed, 1000 + i]), e, args.sims) for i, e in enumerate(EDGES)}
    details: dict[str, Any] = {"sims": args.sims, "load_before": round(load, 2)}
    details["table"] = rows
    details["false pass elsewhere, one look"] = {name: round(share, 4) for name, share in edges.items()}
    details["seconds"] = round(time.monotonic() - began, 1)
    worst = max(rows, key=lambda row: row["false_pass"])
    worst_edge = max(edges, key=lambda name: edges[name])
    naive = max(row["naive_false_pass"] for row in rows)
    plain = max(row["plain_false_pass"] for row in rows)
    mean = float(np.mean([row["false_pass"] for row in rows]))
    alone = _power(rows, 1), _power(rows, 3), _power(rows, 5)
    for row in rows:
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    figure = (
        f"false pass {mean:.1%} on average and {worst['false_pass']:.1%} at worst over {len(rows)} designs"
        f" ({edges[worst_edge]:.1%} at worst elsewhere: {worst_edge}); power at 55% wins, 800 independent prompts:"
        f" {alone[0]:.0%} at 1 look, {alone[1]:.0%} over 3, {alone[2]:.0%} over 5"
    )
    against = (
        f"at most 5% (+{slack:.2%} of chance); bootstrap over cases {naive:.0%}, unpaid looks {plain:.0%} at worst"
    )
    ok = max(worst["false_pass"], edges[worst_edge]) <= ALPHA + slack and mean <= ALPHA
    return report("gate", figure, against, details, ok)


def _power(rows: list[dict[str, Any]], looks: int) -> float:
    """Of 800 independent prompts."""
    fits = [r for r in rows if r["n"] == r["clusters"] and r["n"] == 800 and r["looks"] == looks]
    return float(fits[0]["power"])


def _design(rng: np.random.Generator, n: int, cell: Cell, sims: int) -> list[dict[str, Any]]:
    """A row for each number of looks: the share of simulations passed, at rates 0.5 and 0.55."""
    families = round(n * len(cell.sizes) / sum(cell.sizes))
    sizes = np.resize(np.array(cell.sizes), families)
    sizes = sizes[rng.permutation(families)]
    passed: dict[tuple[float, int], dict[str, float]] = {
        (rate, looks): dict.fromkeys(("gate", "naive", "plain"), 0.0) for rate in (0.5, 0.55) for looks in LOOKS
    }
    for start in range(0, sims, _BLOCK):
        many = min(_BLOCK, sims - start)
        for rate, looks in passed:
            if looks == LOOKS[0]:
                wins = _wins(rng, sizes, rate, cell.alike, many)
            for name, count in _passed(wins, sizes, looks).items():
                passed[rate, looks][name] += count / sims
    return [
        {
            "n": int(sizes.sum()),
            "clusters": families,
            "sizes": "/".join(map(str, cell.sizes)),
            "icc": cell.alike,
            "looks": looks,
            "false_pass": round(passed[0.5, looks]["gate"], 4),
            "power": round(passed[0.55, looks]["gate"], 4),
            "naive_false_pass": round(passed[0.5, looks]["naive"], 4),
            "plain_false_pass": round(passed[0.5, looks]["plain"], 4),
        }
        for looks in LOOKS
    ]


def _wins(rng: np.random.Generator, sizes: NDArray[np.int64], rate: float, alike: float, sims: int) -> Floats:
    """Wins of each family, shape (sims, families)."""
    chance: Any = rate
    if alike > 0:
        odds = (1 - alike) / alike
        chance = rng.beta(rate * odds, (1 - rate) * odds, (sims, len(sizes)))
    return rng.binomial(sizes, chance, (sims, len(sizes))).astype(np.float64)


@cache
def _levels(totals: tuple[int, ...]) -> list[float]:
    """The level of each look's bound, by the cases that it and those before it have."""
    chain: list[Looked] = []
    for k, total in enumerate(totals, 1):
        chain.append(Looked(total, level(chain, spends(k, len(totals), ALPHA), total)))
    return [one.level for one in chain]


def _passed(wins: Floats, sizes: NDArray[np.int64], looks: int) -> dict[str, int]:
    """How many data sets pass at one look or another, by each way of deciding."""
    from scipy.stats import binom

    levels = _levels(tuple(int(sizes[: len(sizes) * k // looks].sum()) for k in range(1, looks + 1)))
    found = {name: np.zeros(len(wins), dtype=bool) for name in ("gate", "naive", "plain")}
    for k in range(1, looks + 1):
        some = len(sizes) * k // looks
        m = sizes[:some]
        total = int(m.sum())
        seen = seen_in(wins[:, :some], m - wins[:, :some], m, SHARE, True)
        found["gate"] |= limits(seen, levels[k - 1])[0] >= 0.5
        found["plain"] |= limits(seen, ALPHA)[0] >= 0.5
        found["naive"] |= binom.ppf(ALPHA, total, seen.above) / total > 0.5
    return {name: int(one.sum()) for name, one in found.items()}


def _edge(rng: np.random.Generator, edge: Edge, sims: int) -> float:
    """The share of data sets whose bound passes a limit that is the true mean."""
    shape = (sims, edge.families, edge.size)
    place = np.where(rng.random(shape) < edge.alike**0.5, rng.random(shape[:2])[..., None], rng.random(shape))
    above, below = ((x).sum(axis=-1).astype(np.float64) for x in (place < edge.up, place >= 1 - edge.down))
    seen = seen_in(above, below, np.full(edge.families, edge.size), DIFFERENCE, True)
    low, high = limits(seen, ALPHA)
    truth = edge.up - edge.down
    return float((low >= truth).mean() if edge.lower else (high <= truth).mean())


if __name__ == "__main__":
    raise SystemExit(main())
