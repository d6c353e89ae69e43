"""The estimator against what training took: peak of tensors of 20 small models on the CPU, held out from fitting.

python -m bench.estimate
python -m bench.estimate --cells 4      (a short form)
"""

import argparse
import os
import statistics
from typing import Any

from bench.estimate_cells import Cell, measure
from bench.figures import Meter, parsed, report
from train.memory import peak
from train.plan import Lengths, Plan
from train.shapes import Shape

HELD_OUT = [
    Cell("sft", "full", width=192, layers=5, heads=6, kv=2, inner=512, words=3000, length=200, answer=90, batch=3),
    Cell("dpo", "qlora", width=320, layers=3, heads=5, kv=5, inner=896, words=2500, length=150, answer=70, batch=3),
    Cell("reward", "lora", width=160, layers=7, heads=5, kv=1, inner=448, length=300, answer=120, batch=2, rank=8),
    Cell("reward", "full", width=448, layers=3, heads=7, kv=7, inner=1216, length=96, answer=40, batch=2),
    Cell("sft", "lora", width=256, layers=9, heads=8, kv=2, inner=640, words=6000, length=384, answer=200, batch=2),
    Cell("sft", "qlora", width=384, layers=6, heads=6, kv=6, inner=1024, words=12000, length=96, answer=50, batch=5),
    Cell("dpo", "lora", width=192, layers=6, heads=3, kv=3, inner=512, words=40000, length=72, answer=30, batch=2),
    Cell(
        "dpo", "full", width=128, layers=10, heads=4, kv=2, inner=384, words=5000, length=160, batch=3, precompute=True
    ),
    Cell("reward", "qlora", width=512, layers=4, heads=8, kv=4, inner=1536, length=224, batch=2, rank=32),
    Cell("reward", "lora", width=384, layers=8, heads=6, kv=3, inner=960, length=176, batch=3, checkpointing=True),
    Cell("reward", "full", width=320, layers=7, heads=5, kv=5, inner=832, length=288, batch=2, checkpointing=True),
    Cell("sft", "full", width=640, layers=3, heads=10, kv=5, inner=1728, words=10000, length=48, answer=20, batch=1),
    Cell(
        "sft",
        "full",
        width=512,
        layers=4,
        heads=8,
        kv=8,
        inner=1344,
        words=20000,
        tied=True,
        length=40,
        answer=20,
        batch=1,
    ),
    Cell("sft", "qlora", width=256, layers=12, heads=4, kv=4, inner=704, words=1500, length=448, batch=2, rank=64),
    Cell(
        "sft",
        "lora",
        width=448,
        layers=5,
        heads=7,
        kv=7,
        inner=1152,
        words=50000,
        length=112,
        batch=2,
        checkpointing=True,
    ),
    Cell(
        "dpo", "qlora", width=256, layers=8, heads=8, kv=2, inner=768, words=2000, length=320, batch=1, precompute=True
    ),
    Cell("dpo", "lora", width=128, layers=16, heads=2, kv=2, inner=320, words=1200, length=256, batch=2, rank=4),
    Cell(
        "dpo",
        "full",
        width=576,
        layers=2,
        heads=9,
        kv=3,
        inner=1536,
        words=16000,
        length=64,
        answer=30,
        batch=1,
        precompute=True,
    ),
    Cell("reward", "qlora", width=128, layers=20, heads=4, kv=4, inner=352, length=192, batch=2),
    Cell(
        "reward",
        "qlora",
        width=320,
        layers=6,
        heads=5,
        kv=1,
        inner=896,
        length=400,
        batch=2,
        checkpointing=True,
        rank=8,
    ),
]
"""Widths, depths, heads, vocabularies, lengths, batches and ranks that no constant was fitted on."""


def predicted(cell: Cell) -> tuple[str, dict[str, int]]:
    """The worst moment and its parts, in bytes."""
    shape = Shape(
        "cell",
        cell.width,
        cell.layers,
        cell.heads,
        cell.kv,
        cell.width // cell.heads,
        cell.inner,
        cell.words,
        cell.tied,
    )
    task: Any = cell.task
    method: Any = cell.method
    plan = Plan(
        task,
        method,
        batch=cell.batch,
        rank=cell.rank,
        gradient_checkpointing=cell.checkpointing,
        precompute=cell.precompute,
        device="cpu",
    )
    lengths = Lengths(cell.length - cell.answer, cell.answer, cell.answer, cell.length, cell.answer, cell.answer)
    return peak(shape, plan, lengths)


def main() -> int:
    """Run the cells; 1 when the errors are larger than was asked for."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--cells", type=int, default=len(HELD_OUT), metavar="N", help="the first N cells alone")
    asked = parsed(args)
    meter, rows = Meter(), []
    for n, cell in enumerate(HELD_OUT[: asked.cells]):
        used, (moment, parts) = measure(cell), predicted(cell)
        said = sum(parts.values())
        rows.append({**cell._asdict(), "moment": moment, "predicted": said, "used": used, "error": said / used - 1})
        meter.say(f"cell {n + 1} of {asked.cells}")
        print(
            f"{n + 1:3} {cell.task:6} {cell.method:5} {cell.width:4} x {cell.layers:2} words {cell.words:6} length "
            f"{cell.length:4} batch {cell.batch} {'recomputed' if cell.checkpointing else '':10} {moment:6} "
            f"{said / 1e6:8.1f} {used / 1e6:8.1f} MB {said / used - 1:+6.1%}",
            flush=True,
        )
    errors = [abs(row["error"]) for row in rows]
    middle, worst = statistics.median(errors), max(errors)
    return report(
        "estimate",
        f"median error {middle:.1%}, worst {worst:.1%} over {len(rows)} cells held out from fitting",
        "median <= 5%, worst <= 12% (peak of tensors, CPU, float32, TRL's trainers); GPU cells: not run",
        {"load": os.getloadavg()[0], "gpu_cells": "not run", "cells": rows},
        middle <= 0.05 and worst <= 0.12,
    )


if __name__ == "__main__":
    raise SystemExit(main())
