"""Ordinal alpha of ten million ratings, its interval of 10,000 replicates, and the krippendorff package beside.

    python -m bench.agreement [--units 1000000] [--coders 10]

The long table (unit, annotator, value: 32-bit numbers) lies in a Parquet file. `alpha` begins with that file:
its scan, the count patterns and the value; imports and the check for repeated annotators are given apart. Each
part runs in a process of its own, whose greatest memory is told. The package is given the same ratings as the
dense table it wants, made outside its time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import folder, parsed, report

VALUES = (5, 10)


def main() -> int:
    """Make the tables, run each part, print and keep the figures."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--units", type=int, default=1_000_000)
    p.add_argument("--coders", type=int, default=10)
    p.add_argument("--replicates", type=int, default=10_000)
    p.add_argument("--part", choices=("alpha", "package", "interval", "command"), help=argparse.SUPPRESS)
    p.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parsed(p)
    if args.part:
        print(json.dumps({**PARTS[args.part](args), "cpu_s": round(time.process_time(), 2), "peak_mb": _peak()}))
        return 0
    details: dict[str, Any] = {"units": args.units, "coders": args.coders, "load": os.getloadavg()[0]}
    with folder() as made:
        for values in VALUES:
            file = made / f"long-{values}.parquet"
            _write(file, args.units, args.coders, values)
            for part in ("alpha", "interval", *(("package", "command") if values == VALUES[0] else ())):
                details[f"{part}, {values} values"] = _child(part, file, args)
    five = details["alpha, 5 values"]
    intervals = [details[f"interval, {v} values"]["seconds"] for v in VALUES]
    same = abs(five["alpha"] - details["package, 5 values"]["alpha"]) < 1e-6
    figure = (
        f"ordinal alpha of {args.units * args.coders:,} ratings in {five['seconds']:.2f} s, {five['peak_mb']:,} MB;"
        f" {args.replicates:,} replicates in {intervals[0]:.1f} s (5 values) and {intervals[1]:.1f} s (10 values)"
    )
    package = details["package, 5 values"]
    against = f"krippendorff on the same ratings: {package['seconds']:.2f} s, {package['peak_mb']:,} MB, no interval"
    ok = same and five["seconds"] < 1 and five["peak_mb"] < 1500 and intervals[0] < 3 and intervals[1] < 30
    return report("agreement", figure, against, details, ok)


def _child(part: str, file: Path, args: argparse.Namespace) -> dict[str, Any]:
    words = [sys.executable, "-m", "bench.agreement", "--part", part, "--file", str(file)]
    words += ["--replicates", str(args.replicates), "--coders", str(args.coders)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peak() -> int:
    """Greatest memory of this process in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _write(file: Path, units: int, coders: int, values: int) -> None:
    """Each coder gives a unit's true value in 7 of 10 cases, else any; rows in no order of units."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    true = random.integers(0, values, units)
    given = np.where(random.random((coders, units)) < 0.7, true, random.integers(0, values, (coders, units)))
    names = np.tile(random.permutation(units).astype(np.int32), coders)
    columns = {
        "unit": names,
        "annotator": np.repeat(np.arange(coders, dtype=np.int32), units),
        "value": given.ravel().astype(np.int32),
    }
    pq.write_table(pa.table(columns), file)


def _patterns(file: Path) -> tuple[Any, dict[str, float]]:
    from curate.count_patterns import count_patterns, packing
    from curate.engine import engine, pattern
    from data.agreement import patterns
    from data.coincidence import alphas, design, weighed

    with engine() as con:
        began = time.perf_counter()
        con.execute(f"CREATE VIEW long AS SELECT * FROM read_parquet('{pattern(file)}')")
        counts = con.execute("SELECT max(value) + 1, count(DISTINCT annotator) FROM long").fetchone()
        assert counts is not None
        found = count_patterns(con, "long", packing(*counts))[""]
        made = design(*patterns(found.counts, found.times))
        value = float(alphas(weighed(made, made.times[:, None].astype(np.float64)), "ordinal")[0])
        seconds = time.perf_counter() - began
        return made, {"seconds": round(seconds, 3), "alpha": value, "patterns": len(made.times)}


def _alpha(args: argparse.Namespace) -> dict[str, Any]:
    return _patterns(args.file)[1]


def _interval(args: argparse.Namespace) -> dict[str, Any]:
    from data.intervals import measure

    made, told = _patterns(args.file)
    began = time.perf_counter()
    alpha = measure(made, "ordinal", replicates=args.replicates)["alpha"]
    ends = [alpha.jackknife.low, alpha.jackknife.high, alpha.bootstrap.low, alpha.bootstrap.high]
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 2), "patterns": told["patterns"], "ends": [round(e or 0, 6) for e in ends]}


def _package(args: argparse.Namespace) -> dict[str, Any]:
    import krippendorff
    import pyarrow.parquet as pq

    long = pq.read_table(args.file)
    grid = np.empty((args.coders, long.num_rows // args.coders))
    grid[long["annotator"].to_numpy(), long["unit"].to_numpy()] = long["value"].to_numpy()
    began = time.perf_counter()
    value = float(krippendorff.alpha(grid, level_of_measurement="ordinal"))
    return {"seconds": round(time.perf_counter() - began, 3), "alpha": value}


def _command(args: argparse.Namespace) -> dict[str, Any]:
    """The whole command on the file: names, repeats, all measures, both intervals, each annotator left out."""
    words = [sys.executable, "-m", "curate.agreement", str(args.file), "--level", "ordinal", "--json"]
    with folder() as made:
        began = time.perf_counter()
        done = subprocess.run([*words, "--out", str(made / "out")], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return {"seconds": round(seconds, 1), "peak_mb_of_command": peak, "rows": json.loads(done.stdout)["rows"]}


PARTS = {"alpha": _alpha, "package": _package, "interval": _interval, "command": _command}


if __name__ == "__main__":
    raise SystemExit(main())
