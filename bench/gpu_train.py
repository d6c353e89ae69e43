"""QLoRA on a GPU: SFT, reward model and DPO beside a plain TRL script in the same run.

    python -m bench.gpu_train                     (8B and 1B, lengths 512, 1024, 2048; needs a CUDA GPU, no download)
    python -m bench.gpu_train --toy               (a small model on the CPU: whether it runs, no figure)

Llama-shaped weights at random in NF4, rows of random tokens, LoRA of rank 16 on all linear layers, bfloat16, batch 1,
checkpointing on. Each cell runs in a process of its own, so that its peak is its own; the first steps are not timed.

    tokens          of both sequences of a pair (2P + C + R), for either script, whatever is shared
    DPO's seconds   ours with half of what the reference costs a row, computed once for two epochs; what it takes to
                    make the trainer (weights hashed, attention tried, the reference) is kept in the raw log
    FLOP            6N a token: a frozen base's forward 2N, its activations' gradients 2N, and 2N to compute again
                    (4N without checkpointing); N counts linear layers and head. A reference is extra work, not counted.
    utilisation     that over the device's dense bfloat16 peak, if its name is known or --peak tells

Raw logs stay in bench/results/gpu_train.jsonl. Without a GPU nothing is measured: "not run", exit status 2.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from bench.figures import RESULTS, ROOT, Meter, parsed, report
from bench.gpu_weights import SHAPES, make, parameters

TASKS = ("sft", "reward", "dpo")
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "4090": 165.0, "L4": 121.0}
"""Dense bfloat16 TFLOP/s by a part of the device's name, from the makers' data sheets."""
AIM_GB, AIM_RATIO = 10.0, 1.5
WARM = 2  # steps that are not timed


def tokenizer(words: int) -> Any:
    """Stands in for one: rows are tokens already."""
    import transformers
    from tokenizers import Tokenizer, models

    wrapped: Any = transformers.PreTrainedTokenizerFast
    bare = Tokenizer(models.WordLevel({f"w{i}": i for i in range(words)}, unk_token="w0"))
    return wrapped(tokenizer_object=bare, pad_token="w0", eos_token="w1")


def rows_of(task: str, length: int, count: int, words: int) -> list[Any]:
    """Rows whose every sequence has `length` tokens, half of them prompt."""
    from train.exports import Answer, Pair
    from train.rows import Row
    from train.tokens import Tokens

    draw = Random(3)
    made = []
    for i in range(count):
        prompt, chosen, rejected = ([draw.randrange(8, words) for _ in range(length // 2)] for _ in range(3))
        if task == "sft":
            answer = Answer(str(i), [], [], None, None, 1.0, "train", "", {})
            made.append(Row(str(i), Tokens(prompt, chosen, [], 0, ""), 1.0, 1.0, None, answer))
        else:
            pair = Pair(str(i), [], [], [], None, 1.0, 1.0, "train", "", {})
            made.append(Row(str(i), Tokens(prompt, chosen, rejected, 0, ""), 1.0, 1.0, None, pair))
    return made


def timer() -> Any:
    """A callback that keeps the time after each step."""
    import torch
    from transformers import TrainerCallback

    class Timer(TrainerCallback):
        def __init__(self) -> None:
            self.at: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.at.append(time.perf_counter())

    return Timer()


def arguments(out: str, steps: int, cpu: bool) -> dict[str, Any]:
    """What both scripts are told."""
    return {
        "output_dir": out,
        "per_device_train_batch_size": 1,
        "max_steps": steps,
        "learning_rate": 1e-5,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": cpu,
        "bf16": not cpu,
        "activation_checkpointing": True,
        "max_length": None,
        "seed": 0,
    }


def trainer_of(task: str, kind: str, model: Any, rows: list[Any], given: dict[str, Any], words: int) -> Any:
    """Our trainer, or TRL's own on the same tokens."""
    from importlib import import_module

    if kind == "ours":
        from train.rows import Setup
        from train.settings import RECORDS

        dtype = "bfloat16" if given["bf16"] else "float32"
        settings = RECORDS[task](model="at random", method="qlora", gradient_checkpointing=True, dtype=dtype)
        module = import_module(f"train.{task}_trainer")
        return module.make_trainer(Setup(settings, model, tokenizer(words), rows, [], given, []))
    import trl
    from datasets import Dataset

    name = {"sft": "SFT", "reward": "Reward", "dpo": "DPO"}[task]
    libraries: Any = trl
    base: Any = getattr(libraries, f"{name}Trainer")

    class Tokenised(base):  # type: ignore[misc, unused-ignore]
        """Takes tokens as they are."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    data = Dataset.from_list([columns(task, row.tokens) for row in rows])
    config = getattr(libraries, f"{name}Config")(**given)
    return Tokenised(model=model, args=config, train_dataset=data, processing_class=tokenizer(words))


def columns(task: str, one: Any) -> dict[str, Any]:
    """A row by TRL 1.16's names."""
    if task == "sft":
        ids = one.prompt + one.chosen
        return {"input_ids": ids, "completion_mask": [0] * len(one.prompt) + [1] * len(one.chosen)}
    if task == "reward":
        return {"chosen_ids": one.prompt + one.chosen, "rejected_ids": one.prompt + one.rejected}
    return {"prompt_ids": one.prompt, "chosen_ids": one.chosen, "rejected_ids": one.rejected}


def cell(shape: str, task: str, kind: str, length: int, steps: int, cpu: bool) -> dict[str, Any]:
    """One measurement in this process."""
    import warnings

    warnings.simplefilter("ignore")
    from train.finding import quiet
    from train.loading import keep_gradients

    quiet()
    import torch
    from peft import LoraConfig, get_peft_model

    from train.settings import LINEAR

    base = make(shape, "cpu" if cpu else "cuda", "float32" if cpu else "bfloat16", scores=task == "reward")
    keep_gradients(base)
    kinds = "SEQ_CLS" if task == "reward" else "CAUSAL_LM"
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=LINEAR, task_type=kinds))
    words = SHAPES[shape]["vocab_size"]
    rows = rows_of(task, length, steps, words)
    with tempfile.TemporaryDirectory() as out:
        if not cpu:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        trainer = trainer_of(task, kind, model, rows, arguments(out, steps, cpu), words)
        ready = time.perf_counter() - began
        clock = timer()
        trainer.add_callback(clock)
        trainer.train()
    seconds = (clock.at[-1] - clock.at[WARM - 1]) / (len(clock.at) - WARM)
    once = reference_seconds(trainer, rows) / 2 if kind == "ours" and task == "dpo" else 0.0
    tokens = length * (1 if task == "sft" else 2)
    return {
        "shape": shape,
        "task": task,
        "kind": kind,
        "length": length,
        "tokens_per_second": tokens / (seconds + once),
        "seconds_a_step": seconds,
        "seconds_of_reference_a_step": once,
        "seconds_to_make_the_trainer": ready,
        "peak_gb": None if cpu else torch.cuda.max_memory_allocated() / 1e9,
        "tflops": 6 * parameters(shape) * tokens / (seconds + once) / 1e12,
        "device": "cpu" if cpu else torch.cuda.get_device_name(),
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
    }


def reference_seconds(trainer: Any, rows: list[Any]) -> float:
    """Seconds a row for the reference, which is computed once: over two epochs, half of it falls on each step."""
    from train.dpo_scores import pair_logps
    from train.reference import as_at_start

    began = time.perf_counter()
    with as_at_start(trainer.model, trainer.start):
        pair_logps(trainer, [row.tokens for row in rows], "the reference")
    return (time.perf_counter() - began) / len(rows)


def apart(args: argparse.Namespace, *of: str) -> dict[str, Any]:
    """A cell in a process of its own; what went wrong in words where it did not run."""
    command = [sys.executable, "-m", "bench.gpu_train", "--one", *of, "--steps", str(args.steps)]
    environ = os.environ | {"CI": "true"}
    told = subprocess.run(
        [*command, *(["--toy"] if args.toy else [])], capture_output=True, text=True, env=environ, cwd=ROOT
    )
    if told.returncode:
        why = (told.stderr.strip().splitlines() or ["no word"])[-1]
        return {"shape": of[0], "task": of[1], "kind": of[2], "length": int(of[3]), "not_run": why[:300]}
    found: dict[str, Any] = json.loads(told.stdout.strip().splitlines()[-1])
    return found


def table(cells: list[dict[str, Any]], peak: float | None) -> list[dict[str, Any]]:
    """One line a cell of ours, beside TRL's."""
    by = {(c["shape"], c["task"], c["length"], c["kind"]): c for c in cells}
    made = []
    for (shape, task, length, kind), ours in by.items():
        if kind != "ours":
            continue
        trl = by.get((shape, task, length, "trl"), {})
        line = {"shape": shape, "task": task, "length": length}
        if "not_run" in ours or "not_run" in trl:
            made.append(line | {"not_run": ours.get("not_run") or trl.get("not_run")})
            continue
        made.append(
            line
            | {
                "tokens_per_second": round(ours["tokens_per_second"], 1),
                "times_trl": round(ours["tokens_per_second"] / trl["tokens_per_second"], 2),
                "peak_gb": ours["peak_gb"] and round(ours["peak_gb"], 2),
                "trl_peak_gb": trl["peak_gb"] and round(trl["peak_gb"], 2),
                "utilisation": round(ours["tflops"] / peak, 3) if peak else "peak not known",
                "trl_utilisation": round(trl["tflops"] / peak, 3) if peak else "peak not known",
            }
        )
    return made


def device() -> str | None:
    """The GPU's name, or None."""
    if find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def main() -> int:
    """Measure, print, keep; 1 when an aim is missed, 2 where there is no GPU."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shapes", nargs="+", choices=[s for s in SHAPES if s != "toy"], default=["8B", "1B"])
    p.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    p.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 2048])
    p.add_argument("--steps", type=int, default=12, help=f"of each cell, the first {WARM} untimed (default: 12)")
    p.add_argument("--peak", type=float, help="the device's dense bfloat16 TFLOP/s, where its name is not known")
    p.add_argument("--toy", action="store_true", help="a small model on the CPU: no figure, but every line runs")
    p.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parsed(p)
    if args.one:
        shape, task, kind, length = args.one
        print(json.dumps(cell(shape, task, kind, int(length), args.steps, args.toy)))
        return 0
    name = "cpu" if args.toy else device()
    if name is None:
        print("gpu_train: not run: there is no CUDA GPU here; --toy runs a small model on the CPU")
        return 2
    shapes, lengths = (["toy"], [64]) if args.toy else (args.shapes, args.lengths)
    cells, meter = [], Meter()
    for shape in shapes:
        for task in args.tasks:
            for length in lengths:
                for kind in ("trl", "ours"):
                    cells.append(apart(args, shape, task, kind, str(length)))
                    meter.say(f"{shape} {task} {length} {kind}")
    found = table(cells, args.peak or next((v for k, v in PEAKS.items() if k in name), None))
    if args.toy:
        print(json.dumps(found, indent=1))
        return 1 if any("not_run" in line for line in found) else 0
    RESULTS.mkdir(parents=True, exist_ok=True)
    raw = "".join(json.dumps(one) + "\n" for one in cells)
    Path(RESULTS / "gpu_train.jsonl").write_text(raw, encoding="utf-8")
    return told(name, found)


def told(name: str, found: list[dict[str, Any]]) -> int:
    """Print and keep; the aim is DPO of 8B at length 1024."""
    aim = next((x for x in found if (x["shape"], x["task"], x["length"]) == ("8B", "dpo", 1024)), None)
    ok = None
    figure = "DPO of 8B at length 1024: not run"
    if aim and "not_run" not in aim:
        ok = aim["peak_gb"] <= AIM_GB and aim["times_trl"] >= AIM_RATIO
        figure = f"QLoRA DPO of 8B at length 1024: {aim['peak_gb']} GB, {aim['times_trl']} times plain TRL"
    return report("gpu_train", f"{figure}, on {name}", "<= 10 GB, >= 1.5 times plain TRL", {"cells": found}, ok)


if __name__ == "__main__":
    sys.exit(main())
