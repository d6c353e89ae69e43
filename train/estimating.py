"""A run's memory, time and money before it starts, and what they turned out to be.

    estimate = predict_run(settings, read_shape("8B"), counts, device="cuda", workspace=workspace)
    rows = note_run(workspace, estimate, used_bytes, seconds)       for audit/estimate.jsonl

What runs took is kept in WORKSPACE/estimates.jsonl, a line a run. The next estimate on the same machine is corrected
by it: by the median factor on a GPU, by the median difference on a CPU, where what is measured is the memory of the
whole process, libraries included.
"""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

from train.effort import effort, seconds_at
from train.gpus import Gpu
from train.memory import peak
from train.plan import Estimate, Lengths, Plan, Range
from train.shapes import Shape

Counts = Sequence[tuple[int, int, int]]
"""Tokens of each row: prompt, chosen (or the one answer), rejected (0 where there is none)."""
Device = Literal["cpu", "cuda"]
PROCESS = 900_000_000
"""Memory of a process on a CPU with torch, transformers, TRL and PEFT loaded, before any weight; learnt from runs."""
SPREAD = {"cpu": (0.88, 1.12), "cuda": (0.85, 1.30)}
"""Low and high over the middle: the worst of the held-out CPU cells asked for; on a GPU wider, since none was run."""
KEPT = 20
"""Latest runs of a machine that correct the next estimate."""


def machine_name(device: Device) -> str:
    """The GPU's name, or the processor's kind and the system's."""
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"{platform.machine()} {platform.system()} cpu"


def lengths_of(counts: Counts) -> Lengths:
    """Means over all rows, and the row that decides the memory."""
    if not counts:
        return Lengths(0, 0, 0, 1, 1)
    n = len(counts)
    prompt, chosen, rejected = max(counts, key=lambda one: one[0] + max(one[1:]))
    longer, other = max(chosen, rejected), min(chosen, rejected)
    sums = [sum(column) / n for column in zip(*counts, strict=True)]
    return Lengths(sums[0], sums[1], sums[2], prompt + longer, longer, other, n)


def plan_of(settings: Any, device: Device) -> Plan:
    """The plan that settings (SftSettings, RewardSettings, DpoSettings, KtoSettings) amount to."""
    task: Any = type(settings).__name__.removesuffix("Settings").lower()
    auto = "bfloat16" if device == "cuda" else "float32"
    dpo = task == "dpo"
    return Plan(
        task,
        "lora" if settings.method == "peft" else settings.method,
        dtype=auto if settings.dtype == "auto" else settings.dtype,
        batch=settings.batch,
        accumulation=settings.accumulation,
        rank=settings.lora.rank,
        targets=tuple(settings.lora.targets),
        gradient_checkpointing=settings.gradient_checkpointing,
        optimizer=getattr(settings, "optimizer", "adamw_torch"),
        precompute=bool(getattr(settings, "precompute", False)),
        sharing=dpo and bool(getattr(settings, "prefix_sharing", False)),
        own_head=dpo,
        orpo=dpo and settings.loss == "orpo",
        anchor=settings.anchor > 0,
        device=device,
    )


def predict_run(
    settings: Any, shape: Shape, counts: Counts, *, device: Device = "cpu", workspace: Path | None = None
) -> Estimate:
    """What a run with these settings will take.

    Args:
        settings: SftSettings, RewardSettings, DpoSettings or KtoSettings.
        shape: from train.shapes.read_shape (a model's folder, or a size).
        counts: tokens of the rows to train on.
        workspace: where what former runs on this machine took is kept; None corrects nothing.
    """
    lengths = lengths_of(counts)
    plan = plan_of(settings, device)
    epochs = settings.epochs
    if settings.steps and counts:
        epochs = settings.steps * settings.batch * settings.accumulation / len(counts)
    return predict(shape, plan, lengths, epochs=epochs, workspace=workspace, process=True)


def predict(
    shape: Shape,
    plan: Plan,
    lengths: Lengths,
    *,
    epochs: float = 1.0,
    gpu: Gpu | None = None,
    price: float | None = None,
    watts: float | None = None,
    workspace: Path | None = None,
    process: bool = False,
    machine: str = "",
) -> Estimate:
    """Memory, time, energy and money of a plan.

    Args:
        price: of an hour of the device, in any currency.
        watts: of the device; None takes the GPU's.
        process: on a CPU, count the memory of the whole process and not of tensors alone.
        machine: its name; "" asks for this one's.
    """
    moment, parts = peak(shape, plan, lengths)
    machine = machine or (gpu.name if gpu else machine_name(plan.device) if process else "")
    past = _past(workspace, machine) if workspace and machine else []
    factor = 1.0
    if process and plan.device == "cpu":
        gaps = [line["used_bytes"] - line["tensor_bytes"] for line in past]
        parts["framework"] = max(0, round(median(gaps))) if gaps else PROCESS
    elif past:
        factor = median(line["used_bytes"] / line["tensor_bytes"] for line in past)
    total = sum(parts.values()) * factor
    low, high = SPREAD[plan.device]
    work = effort(shape, plan, lengths, epochs)
    speeds = sorted(line["flops"] / line["seconds"] for line in past if line["flops"] and line["seconds"])
    seconds: Range | None = None
    if work.flops and speeds:
        seconds = Range(work.flops / speeds[-1] * 0.8, work.flops / median(speeds), work.flops / speeds[0] * 1.25)
    elif work.flops and gpu:
        seconds = seconds_at(work.flops, gpu.flops)
    power = watts or (gpu.watts if gpu else None)
    return Estimate(
        parts,
        Range(total * low, total, total * high),
        moment,
        work.flops,
        work.tokens,
        seconds,
        Range(*(s * power / 3600 for s in seconds)) if seconds and power else None,
        Range(*(s * price / 3600 for s in seconds)) if seconds and price is not None else None,
        machine,
        factor,
        len(past),
        _assumptions(plan, lengths, gpu, len(past), bool(speeds)),
    )


def _assumptions(plan: Plan, lengths: Lengths, gpu: Gpu | None, runs: int, known_speed: bool) -> list[str]:
    told = [
        f"every row of the worst batch as long as the longest ({lengths.longest} tokens)",
        f"{plan.dtype} weights and activations, adapter in float32, scaled-dot-product attention, one device",
    ]
    if plan.task in ("sft", "kto") or (plan.task == "dpo" and not plan.own_head):
        told.append("TRL's fused head: logits in tiles of 4,096 tokens by 32,768 words")
    if plan.task == "dpo":
        kept = "computed once before training" if plan.precompute else "computed at every step"
        told.append("ORPO has no reference" if plan.orpo else f"reference {kept}")
    if plan.device == "cuda":
        told.append("memory on GPUs is reckoned, not measured; 0.5 GB for the CUDA context")
    if known_speed:
        told.append(f"speed as {runs} former runs on this machine had it")
    elif gpu:
        told.append(f"{gpu.name}: 15 to 50% of {gpu.flops / 1e12:g} TFLOP/s; {gpu.source}; power at its greatest")
    told.append(
        f"corrected by {runs} former runs on this machine" if runs else "no former run on this machine corrects it"
    )
    return told


def compare(predicted: Estimate, used_bytes: int, seconds: float) -> list[dict[str, Any]]:
    """Rows of what was said beside what was used; `error` is said / used − 1.

    Returns:
        A row a part {part, predicted_bytes}; {part: "peak", predicted_bytes, used_bytes, error}; and
        {part: "time", predicted_seconds, used_seconds, error}, without error where no time was said.
    """
    rows = predicted.rows()
    peak_row: dict[str, Any] = {
        "part": "peak",
        "predicted_bytes": round(predicted.peak.middle),
        "used_bytes": used_bytes,
    }
    if used_bytes > 0:
        peak_row["error"] = round(predicted.peak.middle / used_bytes - 1, 4)
    rows.append(peak_row)
    if predicted.seconds and seconds > 0:
        said = predicted.seconds.middle
        error = round(said / seconds - 1, 4)
        rows.append({"part": "time", "predicted_seconds": round(said, 3), "used_seconds": seconds, "error": error})
    else:
        rows.append({"part": "time", "predicted_seconds": None, "used_seconds": seconds})
    return rows


def note_run(workspace: Path, estimate: Estimate, used_bytes: int, seconds: float) -> list[dict[str, Any]]:
    """Keep what a run took in WORKSPACE/estimates.jsonl, for the next estimate here; returns compare's rows.

    Args:
        used_bytes: greatest memory: allocated on the GPU, or resident in this process on a CPU.
        seconds: of training.
    """
    rows = compare(estimate, used_bytes, seconds)
    resident = estimate.machine.endswith(" cpu")
    tensors = sum(size for part, size in estimate.parts.items() if not (resident and part == "framework"))
    line = {
        "machine": estimate.machine,
        "tensor_bytes": tensors,
        "predicted_bytes": round(estimate.peak.middle),
        "used_bytes": used_bytes,
        "seconds": seconds,
        "flops": estimate.flops,
        "error": next((row.get("error") for row in rows if row["part"] == "peak"), None),
    }
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / "estimates.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return rows


def _past(workspace: Path, machine: str) -> list[dict[str, Any]]:
    """The latest runs of a machine; a line that cannot be read is passed over: it corrects nothing."""
    try:
        lines = (workspace / "estimates.jsonl").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("machine") == machine and _usable(line):
            found.append(line)
    return found[-KEPT:]


def _usable(line: dict[str, Any]) -> bool:
    keys = ("tensor_bytes", "used_bytes", "seconds", "flops")
    numbers = all(isinstance(line.get(key), (int, float)) and line[key] >= 0 for key in keys)
    return numbers and line["tensor_bytes"] > 0 and line["used_bytes"] > 0
