"""How often each kind of interval holds the truth, simulated over a grid; below the n named, tools say "too few".

    python -m bench.coverage [--sims 400]

Every kind of 95% interval that the agreement, aggregate, calibrate and audit commands print, at a few numbers n of
what is resampled: the average coverage over its grid and the worst cell by name. At the n named beside a kind, and
above, the average must lie within 93 to 97%; below it the commands give no interval or call it too few. Where a
command withholds an interval, its cell counts those that are given. The grids are in bench/coverage_cells.py.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from bench.coverage_cells import KINDS, Kind
from bench.figures import Meter, parsed, report
from data.intervals import TOO_FEW_GRADED


def main() -> int:
    """Simulate, print, and fail when an average is not within 93-97% at the n that is named or above."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sims", type=int, default=400, help="of each cell and size (default: 400)")
    p.add_argument("--only", help="kinds whose name holds this")
    p.add_argument("--processes", type=int, default=os.cpu_count())
    args = parsed(p)
    kinds = {name: kind for name, kind in KINDS.items() if not args.only or args.only in name}
    load = os.getloadavg()[0]
    work = [(name, cell, args.sims) for name, kind in kinds.items() for cell in range(len(kind.cells))]
    meter = Meter()
    covered: dict[tuple[str, int], dict[str, float]] = {}
    with ProcessPoolExecutor(args.processes) as pool:
        for done, ((name, cell, _), found) in enumerate(zip(work, pool.map(_simulated, work), strict=True), 1):
            meter.say(f"{done} of {len(work)} cells, {name}")
            for (interval, size), share in found.items():
                covered.setdefault((interval, size), {})[kinds[name].named(cell)] = share
    named = {one: (max(kind.least, _graded(one)), kind.of) for kind in kinds.values() for one in kind.gives}
    details: dict[str, Any] = {"sims": args.sims, "load_before": round(load, 2)}
    averages: list[float] = []
    ok = True
    for interval, size, mean, worst, cells in _rows(covered):
        least, of = named[interval]
        low = min(worst, key=lambda one: one[1])
        words = f"{mean:.1%} on average over {cells} cells, worst {low[1]:.1%} ({low[0]})"
        details[f"{interval}, {size} {of}"] = words + ("" if size >= least else "; the tool says too few")
        if size >= least:
            ok = ok and 0.93 <= mean <= 0.97
            averages.append(mean)
    figure = (
        f"95% intervals of {len(named)} kinds hold the truth, at the n named and above, in {min(averages):.1%} to"
        f" {max(averages):.1%} on average over their grids"
    )
    return report("coverage", figure, "93 to 97% on average over each grid", details, ok)


def _graded(interval: str) -> int:
    """The n named for alpha at the levels where distances count."""
    return TOO_FEW_GRADED if interval.startswith(("alpha ordinal", "alpha interval", "alpha ratio")) else 0


def _rows(
    covered: dict[tuple[str, int], dict[str, float]],
) -> Iterator[tuple[str, int, float, list[tuple[str, float]], int]]:
    for (interval, size), cells in sorted(covered.items()):
        yield interval, size, float(np.mean(list(cells.values()))), list(cells.items()), len(cells)


def _simulated(what: tuple[str, int, int]) -> dict[tuple[str, int], float]:
    """Coverage of each interval of one cell of one kind, by its size."""
    name, cell, sims = what
    kind: Kind = KINDS[name]
    truth = kind.truth(kind.cells[cell])
    found: dict[tuple[str, int], float] = {}
    for size in kind.sizes:
        held = dict.fromkeys(kind.gives, 0.0)
        given = dict.fromkeys(kind.gives, 0)
        for sim in range(max(1, round(sims * kind.share))):
            random = np.random.default_rng([cell, size, sim])
            for interval, low, high, at in kind.draw(kind.cells[cell], size, random):
                aim = np.asarray(truth[interval])[at]
                given[interval] += np.size(low)
                held[interval] += float(((low - 1e-12 <= aim) & (aim <= high + 1e-12)).sum())
        found |= {(one, size): held[one] / given[one] for one in kind.gives if given[one]}
    return found


if __name__ == "__main__":
    raise SystemExit(main())
