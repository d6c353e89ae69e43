"""The grids of bench/coverage.py: how each kind of interval is simulated, and what is true.

Units have a true value (even or skewed shares); an annotator gives it with some probability, else any value at
random; some judgments are missing. Rankings are merit plus noise. The truth is the measure of so many units that
its own error does not count, or the number that was put in.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from data.agreement import Level, patterns
from data.calibration import FEW as FEW_TASKS
from data.calibration import Estimate, cohen_kappa, mean_by_group, temperature
from data.coincidence import Ints, ac1s, alphas, design, percents, weighed
from data.concordance import mean_concordance
from data.consensus import dawid_skene
from data.cross_agreement import TOO_FEW as FEW_FOR_TWO
from data.cross_agreement import cross_alpha
from data.intervals import TOO_FEW, Measured, measure
from data.reliability import FEW as FEW_VOTES
from data.reliability import reliability
from data.stats import wilson
from data.strength_intervals import FEW as FEW_COMPARISONS
from data.strength_intervals import bootstrap_strengths

Cell = Any
Drawn = Iterable[tuple[str, Any, Any, Any]]
REPLICATES = 400


class Kind(NamedTuple):
    """Intervals that are simulated together."""

    gives: tuple[str, ...]
    least: int
    """Below it the tool says too few."""
    of: str
    sizes: tuple[int, ...]
    cells: list[Cell]
    draw: Callable[[Cell, int, np.random.Generator], Drawn]
    """Intervals of one simulation: name, low and high ends, and which of the truths they are for."""
    truth: Callable[[Cell], dict[str, Any]]
    share: float = 1.0
    """Of the simulations asked for: less where one gives many intervals."""

    def named(self, cell: int) -> str:
        """A cell in words."""
        return ", ".join(str(part) for part in self.cells[cell])


def both(name: str, found: Measured) -> Drawn:
    """The jackknife's and the bootstrap's interval of a measure, where they are given."""
    for kind in ("jackknife", "bootstrap"):
        ends = getattr(found, kind)
        if found.value is not None and ends.low is not None:
            yield f"{name}, {kind}", ends.low, ends.high, ()


def estimate(name: str, found: Estimate) -> Drawn:
    """The interval of an estimate, open to above where no end is given."""
    if found.low is not None:
        yield name, found.low, np.inf if found.high is None else found.high, ()


# Labels: alpha at every level, percent agreement, AC1.

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")
NUMBERS = np.arange(1.0, 6.0)
LABELS = [
    (f"{judges} judges", f"{right:.0%} right", skew, f"{missing:.0%} missing", f"{values} values")
    for values, judges, right, skew, missing in itertools.product(
        (2, 5), (2, 3, 5), (0.5, 0.8, 0.95), ("even", "skewed"), (0.0, 0.2)
    )
    if not (missing and judges == 2)
]


def _counts(cell: Cell, size: int, random: np.random.Generator) -> Ints:
    judges, values = int(cell[0].split()[0]), int(cell[4].split()[0])
    right, missing = (float(cell[i].split("%")[0]) / 100 for i in (1, 3))
    shares = 0.5 ** np.arange(values) if cell[2] == "skewed" else np.ones(values)
    true = random.choice(values, size, p=shares / shares.sum())
    given = np.where(random.random((size, judges)) < right, true[:, None], random.integers(0, values, (size, judges)))
    there = random.random((size, judges)) >= missing
    counts = np.stack([((given == v) & there).sum(axis=1) for v in range(values)], axis=1)
    return np.asarray(counts[counts.sum(axis=1) > 0], dtype=np.int64)


def _label_levels(cell: Cell) -> tuple[Level, ...]:
    return LEVELS if cell[4] == "5 values" else LEVELS[:1]


def _labels(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    made = design(*patterns(_counts(cell, size, random)))
    for level in _label_levels(cell):
        found = measure(made, level, NUMBERS[: made.values], replicates=REPLICATES, seed=int(random.integers(2**31)))
        yield from both(f"alpha {level}", found["alpha"])
        if level == "nominal":
            yield from both("percent agreement", found["percent"])
            yield from both("AC1", found["ac1"])


def _labels_truth(cell: Cell) -> dict[str, Any]:
    made = design(*patterns(_counts(cell, 400_000, np.random.default_rng(0))))
    whole = weighed(made, made.times[:, None].astype(np.float64))
    found = {f"alpha {level}": alphas(whole, level, NUMBERS[: made.values])[0] for level in _label_levels(cell)}
    found |= {"percent agreement": percents(whole)[0], "AC1": ac1s(whole)[0]}
    return {f"{name}, {kind}": value for name, value in found.items() for kind in ("jackknife", "bootstrap")}


# People against models, and rankings: alpha of their pairs with prompts as blocks, Kendall's W.


def _two_groups(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    """Three people and two models who judge each unit with the same skill."""
    right = float(cell[0].split("%")[0]) / 100
    true = random.integers(0, 3, size)
    given = np.where(random.random((5, size)) < right, true, random.integers(0, 3, (5, size)))
    counts = (given[:, :, None] == np.arange(3)).astype(np.int64)
    table, times = np.unique(np.concatenate([counts[:3].sum(0), counts[3:].sum(0)], axis=1), axis=0, return_counts=True)
    replicates = REPLICATES if size < 10_000 else 2
    yield from both(
        "alpha of people against models",
        cross_alpha(table[:, :3], table[:, 3:], times, "nominal", replicates=replicates),
    )


def _rankings(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    for name, found in _ranked(cell, size, random).items():
        yield from both(name, found)


def _ranked(cell: Cell, size: int, random: np.random.Generator) -> dict[str, Measured]:
    """Three judges rank by merit plus noise of their own."""
    items, noise = int(cell[0].split()[0]), float(cell[1].split()[1])
    merit = random.normal(size=(size, 1, items))
    ranks = (merit + noise * random.normal(size=(size, 3, items))).argsort(axis=2).argsort(axis=2)
    first, second = np.triu_indices(items, 1)
    wins = (ranks[:, :, first] < ranks[:, :, second]).sum(axis=1).reshape(-1)
    counts = np.stack([wins, 3 - wins], axis=1).astype(np.int64)
    made = design(counts, np.ones(len(counts), dtype=np.int64), np.repeat(np.arange(size), len(first)))
    sets = Counter(tuple(sorted(map(tuple, prompt))) for prompt in ranks.tolist())
    replicates = REPLICATES if size < 10_000 else 2
    return {
        "alpha of implied pairs": measure(made, "nominal", replicates=replicates)["alpha"],
        "Kendall's W": mean_concordance(list(sets.items()), replicates=replicates),
    }


def _whole(measured: dict[str, Measured]) -> dict[str, Any]:
    return {f"{name}, {kind}": one.value for name, one in measured.items() for kind in ("jackknife", "bootstrap")}


def _two_groups_truth(cell: Cell) -> dict[str, Any]:
    # Chance is even over three values, so agreement beyond it is the chance that both know.
    right = float(cell[0].split("%")[0]) / 100
    return {f"alpha of people against models, {kind}": right * right for kind in ("jackknife", "bootstrap")}


# A judge against people: kappa, shares by task, temperature.


def _kappa(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    counts = _two_labels(cell, size, random)
    yield from estimate("Cohen's kappa", cohen_kappa(*counts, np.arange(size), 3))


def _two_labels(cell: Cell, size: int, random: np.random.Generator) -> tuple[Any, Any]:
    right = float(cell[0].split("%")[0]) / 100
    shares = 0.5 ** np.arange(3) if cell[1] == "skewed" else np.ones(3)
    true = random.choice(3, size, p=shares / shares.sum())
    one, two = (np.where(random.random(size) < right, true, random.integers(0, 3, size)) for _ in range(2))
    return one, two


def _kappa_truth(cell: Cell) -> dict[str, Any]:
    one, two = _two_labels(cell, 1_000_000, np.random.default_rng(0))
    seen = (one == two).mean()
    chance = sum((one == v).mean() * (two == v).mean() for v in range(3))
    return {"Cohen's kappa": (seen - chance) / (1 - chance)}


def _shares(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    p, each = float(cell[0].split("%")[0]) / 100, int(cell[1].split()[0])
    likely = np.full(size, p) if each == 1 else random.beta(6 * p, 6 * (1 - p), size)
    said = random.random((size, each)) < likely[:, None]
    yield from estimate("share by task", mean_by_group(said.ravel() * 1.0, np.repeat(np.arange(size), each)))


def _temperature(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    heat, people = float(cell[0].split()[1]), int(cell[1].split()[0])
    odds = 1.5 * random.normal(size=size)
    target = random.binomial(people, 1 / (1 + np.exp(-odds))) / people
    yield from estimate("temperature", temperature(1 / (1 + np.exp(-odds * heat)), target, np.arange(size)))


# Annotators, models, sides.


def _reliability(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    right, classes = float(cell[0].split("%")[0]) / 100, int(cell[1].split()[0])
    people, items = 8, max(2, size * 8 // 4)
    chance = np.clip(right + np.linspace(-0.08, 0.08, people), 0.05, 0.97)
    item = np.repeat(np.arange(items), 4)
    who = np.argsort(random.random((items, people)), axis=1)[:, :4].ravel()
    true = random.integers(0, classes, items)
    wrong = (true[item] + random.integers(1, classes, len(item))) % classes
    said = np.where(random.random(len(item)) < chance[who], true[item], wrong)
    found = dawid_skene(item, who, said, classes=classes, smoothing=1.0, threads=1)
    rated = reliability(item, who, said, found)
    at = np.flatnonzero(np.isfinite(rated.low))
    yield "annotator's reliability", rated.low[at], rated.high[at], at


def _reliability_truth(cell: Cell) -> dict[str, Any]:
    right = float(cell[0].split("%")[0]) / 100
    return {"annotator's reliability": np.clip(right + np.linspace(-0.08, 0.08, 8), 0.05, 0.97)}


def _strengths(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    items, ties = int(cell[0].split()[0]), cell[2] == "with ties"
    theta = _theta(cell)
    count = size * items // 2
    first = random.integers(0, items, count)
    second = (first + random.integers(1, items, count)) % items
    half = (theta[first] - theta[second]) / 2
    win, lose = np.exp(half), np.exp(-half)
    point = random.random(count) * (win + lose + 0.6 * ties)
    winner = np.where(point < win, 1, np.where(point < win + lose, 2, 0))
    found = bootstrap_strengths(
        first, second, winner, items=items, order=True, replicates=100, seed=int(random.integers(2**31)), threads=1
    )
    if found.low is not None and found.high is not None:
        yield "Bradley-Terry strength", found.low, found.high, np.arange(items)


def _theta(cell: Cell) -> Any:
    items, spread = int(cell[0].split()[0]), float(cell[1].split()[1])
    return np.linspace(-spread, spread, items)


def _wilson(cell: Cell, size: int, random: np.random.Generator) -> Drawn:
    found = wilson(int(random.binomial(size, float(cell[0].split("%")[0]) / 100)), size)
    yield "share (position, length)", found.low, found.high, ()


RIGHT = ("50% right", "80% right", "95% right")
SHARES = [(f"{p}% of the time",) for p in (10, 30, 50, 60, 75, 90)]
BOTH = ("jackknife", "bootstrap")
KINDS: dict[str, Kind] = {
    "labels": Kind(
        tuple(
            f"{name}, {kind}" for name in (*(f"alpha {x}" for x in LEVELS), "percent agreement", "AC1") for kind in BOTH
        ),
        TOO_FEW,
        "units",
        (10, 20, 50, 100),
        LABELS,
        _labels,
        _labels_truth,
    ),
    "two groups": Kind(
        tuple(f"alpha of people against models, {kind}" for kind in BOTH),
        FEW_FOR_TWO,
        "units",
        (50, 100, 200),
        [(r,) for r in RIGHT],
        _two_groups,
        _two_groups_truth,
    ),
    "rankings": Kind(
        tuple(f"{name}, {kind}" for name in ("alpha of implied pairs", "Kendall's W") for kind in BOTH),
        TOO_FEW,
        "prompts",
        (10, 20, 50, 100),
        [(f"{items} items", f"noise {noise}") for items in (3, 5) for noise in (0.5, 1.0, 3.0)],
        _rankings,
        lambda cell: _whole(_ranked(cell, 40_000, np.random.default_rng(0))),
    ),
    "kappa": Kind(
        ("Cohen's kappa",),
        FEW_TASKS,
        "tasks",
        (20, 50, 100, 200),
        list(itertools.product(RIGHT, ("even", "skewed"))),
        _kappa,
        _kappa_truth,
    ),
    "shares by task": Kind(
        ("share by task",),
        FEW_TASKS,
        "tasks",
        (20, 50, 100, 200),
        [(f"{p}% of the time", f"{k} a task") for p in (50, 80, 95) for k in (1, 3)],
        _shares,
        lambda cell: {"share by task": float(cell[0].split("%")[0]) / 100},
    ),
    "temperature": Kind(
        ("temperature",),
        FEW_TASKS,
        "tasks",
        (20, 50, 100, 200),
        [(f"temperature {t}", f"{k} people") for t in (0.7, 1.0, 2.5) for k in (1, 3)],
        _temperature,
        lambda cell: {"temperature": float(cell[0].split()[1])},
    ),
    "reliability": Kind(
        ("annotator's reliability",),
        FEW_VOTES,
        "votes each",
        (20, 50, 100, 200),
        [(f"{p}% right", f"{k} classes") for p in (75, 85, 90) for k in (2, 4)],
        _reliability,
        _reliability_truth,
        0.4,
    ),
    "strengths": Kind(
        ("Bradley-Terry strength",),
        FEW_COMPARISONS,
        "comparisons each",
        (10, 20, 50),
        list(itertools.product(("3 items", "10 items"), ("spread 0.5", "spread 1.5"), ("without ties", "with ties"))),
        _strengths,
        lambda cell: {"Bradley-Terry strength": _theta(cell)},
        0.15,
    ),
    "sides": Kind(
        ("share (position, length)",),
        10,
        "comparisons",
        (10, 20, 50, 100),
        SHARES,
        _wilson,
        lambda cell: {"share (position, length)": float(cell[0].split("%")[0]) / 100},
        5.0,
    ),
}
