"""DPO beside a plain TRL script: pairs a second over two epochs, the reference's cost included.

    python -m bench.dpo_speed

Both train the same LoRA adapter on the same Llama-shaped model (weights at random), from the same rows of tokens in
the same order and batches, fp32, no checkpointing, one thread; TRL is given the tokens ready-made, which its own
script would have to make. TRL is as it comes: the reference is computed at every step. Each runs in a process of its
own, in turns, and the medians of the processor's seconds are compared, which a busy machine disturbs less than the
clock's, kept beside. Printed with them: what the lengths allow.

The ceilings count a forward pass as 1 and a backward pass through frozen weights as 1 a token:
    reference once    (1 + 1 + 1) · 2 epochs over (1 + 1) · 2 + 1                         = 1.2
    prompts shared    times (2P + C + R) / (P + C + R) over the rows
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

from bench.figures import Meter, parsed, report

REACH = 0.9
"""Of the ceiling of a reference that is computed once."""
NEAR = 1e-4


class Size(NamedTuple):
    """Model and rows."""

    width: int = 256
    layers: int = 6
    words: int = 2048
    pairs: int = 64
    batch: int = 4
    prompt: tuple[int, int] = (40, 160)
    answer: tuple[int, int] = (40, 160)
    epochs: int = 2


def rows_of(size: Size, seed: int) -> list[Any]:
    """Pairs of random tokens; lengths drawn evenly from the size's ranges."""
    from train.exports import Pair
    from train.rows import Row
    from train.tokens import Tokens

    draw = Random(seed)

    def some(between: tuple[int, int]) -> list[int]:
        return [draw.randrange(8, size.words) for _ in range(draw.randint(*between))]

    made = []
    for i in range(size.pairs):
        tokens = Tokens(some(size.prompt), some(size.answer), some(size.answer), 0, "")
        made.append(Row(f"{i}", tokens, 1.0, 1.0, None, Pair(f"{i}", [], [], [], None, 1.0, 1.0, "train", "", {})))
    return made


def ceilings(rows: list[Any], epochs: int) -> tuple[float, float]:
    """How much faster a reference that is computed once can be, and what sharing prompts multiplies it by."""
    two = sum(2 * len(r.tokens.prompt) + len(r.tokens.chosen) + len(r.tokens.rejected) for r in rows)
    one = sum(len(r.tokens.prompt) + len(r.tokens.chosen) + len(r.tokens.rejected) for r in rows)
    return 3 * epochs / (2 * epochs + 1), two / one


def model_of(size: Size) -> Any:
    """A Llama with weights at random."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=size.words,
        hidden_size=size.width,
        intermediate_size=size.width * 5 // 2,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // 64,
        num_key_value_heads=size.width // 64,
        max_position_embeddings=4096,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def adapter() -> Any:
    """LoRA on every linear layer but the head."""
    from peft import LoraConfig

    from train.settings import LINEAR

    return LoraConfig(r=8, lora_alpha=16, target_modules=LINEAR, task_type="CAUSAL_LM")


def tokenizer_of(size: Size) -> Any:
    """A tokenizer that only tells its ends: the rows are tokens already."""
    import transformers
    from tokenizers import Tokenizer, models

    words = {f"w{i}": i for i in range(size.words)}
    wrapped: Any = transformers.PreTrainedTokenizerFast
    return wrapped(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w1")


def arguments(size: Size, out: str) -> dict[str, Any]:
    """What both trainers are told."""
    return {
        "output_dir": out,
        "per_device_train_batch_size": size.batch,
        "num_train_epochs": size.epochs,
        "learning_rate": 1e-4,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 0,
        "bf16": False,
        "activation_checkpointing": False,
    }


def ours(size: Size, rows: list[Any], out: str, shared: bool) -> Any:
    """The part to be timed: from a loaded model to the trained one."""
    from peft import get_peft_model
    from transformers import set_seed

    from train.dpo_trainer import make_trainer
    from train.rows import Setup
    from train.settings import DpoSettings

    settings = DpoSettings(model="made on the spot", dtype="float32", prefix_sharing=shared)
    base = model_of(size)
    set_seed(0)  # where TRL does it, so that the adapters' first weights are the same
    model = get_peft_model(base, adapter())
    setup = Setup(settings, model, tokenizer_of(size), rows, [], arguments(size, out), [])
    return lambda: _trained(make_trainer(setup))


def plain(size: Size, rows: list[Any], out: str) -> Any:
    """The same of TRL."""
    import trl
    from datasets import Dataset

    libraries: Any = trl

    class Tokenised(libraries.DPOTrainer):  # type: ignore[misc, unused-ignore]
        """Takes tokens as they are."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    columns = {
        "prompt_ids": [row.tokens.prompt for row in rows],
        "chosen_ids": [row.tokens.chosen for row in rows],
        "rejected_ids": [row.tokens.rejected for row in rows],
    }
    args = libraries.DPOConfig(**arguments(size, out), beta=0.1, max_length=None)
    data, model, tokenizer = Dataset.from_dict(columns), model_of(size), tokenizer_of(size)
    given = {"model": model, "args": args, "train_dataset": data, "processing_class": tokenizer}
    return lambda: _trained(Tokenised(**given, peft_config=adapter()))


def _trained(trainer: Any) -> Any:
    trainer.train()
    return trainer


def run_one(kind: str, size: Size) -> dict[str, Any]:
    """One timed run in this process: seconds of the processor and of the clock, and the loss of each step."""
    import warnings

    warnings.simplefilter("ignore")
    from train.finding import quiet

    quiet()
    import torch

    torch.set_num_threads(1)
    rows = rows_of(size, 7)
    with tempfile.TemporaryDirectory() as out:
        work = plain(size, rows, out) if kind == "trl" else ours(size, rows, out, kind == "shared")
        clock, processor = time.perf_counter(), time.process_time()
        trainer = work()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    lost = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"seconds": processor, "clock": clock, "losses": lost}


def apart(kind: str, size: Size) -> dict[str, Any]:
    """The same in a process of its own."""
    environ = os.environ | {"OMP_NUM_THREADS": "1", "CI": "true"}
    command = [sys.executable, "-m", "bench.dpo_speed", "--one", kind, "--size", json.dumps(size._asdict())]
    told = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=Path(__file__).parents[1])
    if told.returncode:
        raise SystemExit(f"bench.dpo_speed: {kind} failed: {told.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(told.stdout.strip().splitlines()[-1])
    return found


def measure(size: Size, repeats: int) -> dict[str, Any]:
    """Seconds by kind, the medians, the ratios and the ceilings."""
    kinds = ("trl", "two", "shared")
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    clock: dict[str, list[float]] = {kind: [] for kind in kinds}
    lost: dict[str, list[float]] = {}
    meter = Meter()
    for n in range(repeats):
        for kind in kinds if n % 2 == 0 else kinds[::-1]:
            found = apart(kind, size)
            seconds[kind].append(round(found["seconds"], 3))
            clock[kind].append(round(found["clock"], 3))
            lost[kind] = found["losses"]
            meter.say(f"{kind}: {found['seconds']:.1f} s")
    rows = rows_of(size, 7)
    once, sharing = ceilings(rows, size.epochs)
    trl = median(seconds["trl"])
    return {
        "pairs_per_second": {kind: round(size.pairs * size.epochs / median(seconds[kind]), 2) for kind in kinds},
        "reference_once": round(trl / median(seconds["two"]), 3),
        "with_prompts_shared": round(trl / median(seconds["shared"]), 3),
        "ceiling_reference_once": round(once, 3),
        "ceiling_with_prompts_shared": round(once * sharing, 3),
        "loss_apart_at_most": max(
            abs(a - b) for kind in ("two", "shared") for a, b in zip(lost[kind], lost["trl"], strict=True)
        ),
        "steps": len(lost["trl"]),
        "seconds": seconds,
        "seconds_by_the_clock": clock,
        "lengths": {"prompt": size.prompt, "answer": size.answer, "spread": "even"},
        "model": f"Llama, {size.layers} layers, {size.width} wide, {size.words} words, LoRA rank 8, fp32, one thread",
        "pairs": size.pairs,
        "batch": size.batch,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    """Measure, print, keep; 1 when a figure is not reached."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pairs", type=int, default=Size().pairs, help="pairs (default: 64)")
    p.add_argument("--repeats", type=int, default=3, help="runs of each (default: 3)")
    p.add_argument("--width", type=int, default=Size().width, help="of the model, a multiple of 64 (default: 256)")
    p.add_argument("--layers", type=int, default=Size().layers)
    p.add_argument("--prompt", type=int, nargs=2, default=Size().prompt, metavar=("LEAST", "MOST"))
    p.add_argument("--answer", type=int, nargs=2, default=Size().answer, metavar=("LEAST", "MOST"))
    p.add_argument("--one", choices=("trl", "two", "shared"), help=argparse.SUPPRESS)
    p.add_argument("--size", type=json.loads, help=argparse.SUPPRESS)
    args = parsed(p)
    if args.one:
        print(json.dumps(run_one(args.one, Size(**args.size))))
        return 0
    size = Size(
        pairs=args.pairs, width=args.width, layers=args.layers, prompt=tuple(args.prompt), answer=tuple(args.answer)
    )
    found = measure(size, args.repeats)
    least = REACH * found["ceiling_reference_once"]
    ok = found["with_prompts_shared"] >= least and found["loss_apart_at_most"] <= NEAR
    figure = (
        f"{found['with_prompts_shared']} times plain TRL with prompts shared (ceiling"
        f" {found['ceiling_with_prompts_shared']}), {found['reference_once']} without (ceiling"
        f" {found['ceiling_reference_once']}); losses at most {found['loss_apart_at_most']:.1g} apart"
    )
    return report("dpo_speed", figure, f">= {least:.2f}, and losses equal to 1e-4", found, ok)


if __name__ == "__main__":
    sys.exit(main())
