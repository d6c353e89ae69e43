"""What train.estimate prints: one plan in full, or the table of sizes by methods."""

import argparse
from pathlib import Path
from typing import Any

from data.errors import BadInput, nearest
from train.estimating import lengths_of, plan_of, predict
from train.gpus import GIB, Gpu, gpu_of, smallest
from train.memory import OPTIMIZER_BYTES
from train.plan import METHODS, Estimate, Lengths, Plan, Range
from train.shapes import adapter_parameters, parameters, read_shape

GB = 1e9
USUAL = "8B"
"""The model, where none is named."""


def told(args: argparse.Namespace) -> dict[str, Any]:
    """The summary of one estimate.

    Raises:
        NotThere, BadInput, Refused: in one line, a model, GPU, setting or export that cannot be used.
    """
    shape = read_shape(args.model or USUAL)
    plan, lengths, epochs = _asked(args)
    gpu = gpu_of(args.gpu) if args.gpu else None
    estimate = _estimate(args, shape, plan, lengths, epochs, gpu)
    chosen = gpu
    if plan.device == "cuda" and gpu is None:
        chosen = smallest(estimate.peak.high, plan.dtype)
        if chosen:
            estimate = _estimate(args, shape, plan, lengths, epochs, chosen)
    count = parameters(shape, scores=plan.task == "reward")
    summary: dict[str, Any] = {
        "model": shape.name,
        "parameters": count.total,
        "trained": count.total if plan.method == "full" else adapter_parameters(shape, plan.rank, plan.targets),
        "run": f"{plan.method} {plan.task}, {plan.dtype}, batch {plan.batch}, {lengths.longest} tokens"
        + (", activations computed again" if plan.gradient_checkpointing else ""),
    }
    for part, size in estimate.parts.items():
        summary[part] = _size(size) if not args.json else size
    summary["peak"] = _range(estimate.peak, GB, "GB") if not args.json else estimate.peak._asdict()
    summary["peak_comes"] = {
        "head": "where the loss's backward begins",
        "layers": "in the backward of the last block",
        "first": "in the backward of the first block",
        "end": "at the end of the backward",
        "step": "in the optimizer's step",
    }[estimate.moment]
    if plan.device == "cuda":
        summary["fits_on"] = _fits(estimate, gpu, plan, lengths)
    summary |= _costs(estimate, args, chosen)
    summary["correction"] = (
        f"x {estimate.correction:.3f}, learnt from {estimate.runs} runs on this machine"
        if estimate.runs
        else "none yet"
    )
    summary["assumptions"] = list(estimate.assumptions) if args.json else "; ".join(estimate.assumptions)
    return summary


def _estimate(args: Any, shape: Any, plan: Plan, lengths: Lengths, epochs: float, gpu: Gpu | None) -> Estimate:
    return predict(
        shape,
        plan,
        lengths,
        epochs=epochs,
        gpu=gpu,
        price=args.price,
        watts=args.watts,
        workspace=args.workspace,
        process=plan.device == "cpu",
    )


def _asked(args: argparse.Namespace) -> tuple[Plan, Lengths, float]:
    """The plan, the lengths and the epochs that flags or a configuration ask for."""
    if args.export and not args.config:
        raise BadInput("EXPORT is read with a run's settings; give --config train/configs/….yaml too")
    if args.optimizer not in OPTIMIZER_BYTES:
        raise BadInput(
            f"--optimizer: '{args.optimizer[:40]}' is none of {', '.join(OPTIMIZER_BYTES)}"
            + nearest(args.optimizer, OPTIMIZER_BYTES)
        )
    if args.config:
        from train.settings import read_settings

        settings = read_settings(args.task, args.config, args.set, args.model or USUAL)
        if args.export:
            lengths = lengths_of(_counts(args.export, args.model or USUAL, args.task, settings.length))
        else:
            lengths = _assumed(settings.length, args.prompt, args.task, args.pairs)
        return plan_of(settings, args.device), lengths, settings.epochs
    plan = Plan(
        args.task,
        args.method,
        dtype=args.dtype,
        batch=args.batch,
        rank=args.rank,
        gradient_checkpointing=args.gradient_checkpointing,
        optimizer=args.optimizer,
        precompute=not args.no_precompute,
        sharing=args.sharing,
        own_head=args.task == "dpo",
        device=args.device,
    )
    return plan, _assumed(args.length, args.prompt, args.task, args.pairs), args.epochs


def _assumed(length: int, prompt: int | None, task: str, rows: int) -> Lengths:
    """Every row as long as the length, half of it prompt where nothing is said."""
    prompt = length // 2 if prompt is None else prompt
    if prompt >= length:
        raise BadInput(f"--prompt: {prompt} leaves no token of --length {length} for an answer")
    answer = length - prompt
    other = 0 if task in ("sft", "kto") else answer
    return Lengths(prompt, answer, other, length, answer, other, rows)


def _counts(export: Path, model: str, task: str, length: int) -> list[tuple[int, int, int]]:
    """Tokens of an export's rows to train on, cut as a run cuts them; preflight tells which are dropped."""
    from train.exports import read_export
    from train.loading import load_tokenizer
    from train.looking import Limits, preflight
    from train.tasks import task_of

    read = read_export(export)
    tokenizer = load_tokenizer(model)
    rows: Any = {**read.pairs, **read.answers}.get("train", [])
    found = preflight(rows, tokenizer, Limits(task_of(read.kind, task), length))
    counts = []
    for one in found:
        prompt = one.prompt_tokens or 0
        answers = [min(n or 0, length - prompt) for n in (one.chosen_tokens, one.rejected_tokens)]
        if prompt < length and answers[0] > 0:
            counts.append((prompt, answers[0], max(0, answers[1])))
    if not counts:
        raise BadInput(f"{export} holds no row to train on; preflight tells what became of them")
    return counts


def _costs(estimate: Estimate, args: argparse.Namespace, gpu: Gpu | None) -> dict[str, Any]:
    if args.json:
        names = ("seconds", "watt_hours", "cost")
        given = {name: getattr(estimate, name) for name in names}
        return {"gpu": gpu.name if gpu else None, "flops": estimate.flops, "tokens": estimate.tokens} | {
            name: value._asdict() if value else None for name, value in given.items()
        }
    found: dict[str, Any] = {"tokens": f"{estimate.tokens:,.0f}", "operations": f"{estimate.flops:.3g}"}
    on = f" on {gpu.name}" if gpu else ""
    found["time"] = _range(estimate.seconds, 3600, f"h{on}") if estimate.seconds else "not known for this device"
    if estimate.watt_hours:
        found["energy"] = _range(estimate.watt_hours, 1000, "kWh")
    found["cost"] = _range(estimate.cost, 1, "in your currency") if estimate.cost else "name a price: --price PER_HOUR"
    return found


def _fits(estimate: Estimate, gpu: Gpu | None, plan: Plan, lengths: Lengths) -> str:
    """Which GPU is enough; where none or not this one is, what to lower."""
    if gpu and not gpu.bfloat16 and plan.dtype == "bfloat16":
        return f"{gpu.name} has no bfloat16; take --dtype float16 or another GPU"
    if gpu and gpu.memory >= estimate.peak.high:
        return f"{gpu.name} ({gpu.memory / GIB:.0f} GiB)"
    enough = smallest(estimate.peak.high, plan.dtype)
    instead = f"{enough.name} ({enough.memory / GIB:.0f} GiB)" if enough else "no single GPU in the table"
    if gpu is None and enough:
        return instead
    tight = gpu is not None and gpu.memory >= estimate.peak.middle
    head = f"{gpu.name}: {'perhaps' if tight else 'no'}; {instead} does" if gpu and enough else instead
    return f"{head}; lower {', '.join(_lower(plan, lengths)) or 'the size of the model'}"


def _lower(plan: Plan, lengths: Lengths) -> list[str]:
    """What would take less memory, what changes no result first."""
    less = []
    if not plan.gradient_checkpointing:
        less.append("memory by --gradient-checkpointing")
    if plan.batch > 1:
        less.append(f"batch to {plan.batch // 2} with twice the accumulation")
    if plan.task == "dpo" and plan.method == "full" and not plan.precompute:
        less.append("memory by precomputing the reference")
    if plan.method == "full":
        less.append("method to lora")
    elif plan.method == "lora":
        less.append("method to qlora")
    if lengths.longest > 256:
        less.append(f"length to {lengths.longest // 2}")
    return less


def table(args: argparse.Namespace) -> dict[str, Any]:
    """7B, 13B and 70B, or the model asked for, by full, LoRA and QLoRA: memory, the GPU that holds it, hours on it."""
    summary: dict[str, Any] = {}
    plan, lengths, epochs = _asked(args)
    for size in [args.model] if args.model else ("7B", "13B", "70B"):
        for method in METHODS:
            shape, one = read_shape(size), plan._replace(method=method)
            name = f"{shape.name if args.model else size} {method}"
            first = _estimate(args, shape, one, lengths, epochs, None)
            gpu = smallest(first.peak.high, plan.dtype)
            estimate = _estimate(args, shape, one, lengths, epochs, gpu) if gpu else first
            if args.json:
                summary[name] = {
                    "peak": estimate.peak._asdict(),
                    "gpu": gpu.name if gpu else None,
                    "seconds": estimate.seconds._asdict() if estimate.seconds else None,
                    "cost": estimate.cost._asdict() if estimate.cost else None,
                }
                continue
            time = f"; {_range(estimate.seconds, 3600, 'h')}" if estimate.seconds else ""
            cost = f"; {_range(estimate.cost, 1, 'in your currency')}" if estimate.cost else ""
            where = gpu.name if gpu else "several GPUs"
            summary[name] = f"{_range(estimate.peak, GB, 'GB')}; {where}{time}{cost}"
    summary["for"] = (
        f"{plan.task}, {plan.dtype}, batch {plan.batch}, {lengths.longest} tokens, {plan.optimizer}, "
        f"{lengths.rows:,} rows, {epochs:g} epochs"
    )
    return summary


def _size(size: float) -> str:
    return f"{size / GB:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def _range(value: Range, unit: float, name: str) -> str:
    low, middle, high = (f"{x / unit:.3g}" if x / unit < 1000 else f"{x / unit:,.0f}" for x in value)
    return f"{middle} {name} ({low} to {high})"
