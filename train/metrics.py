"""A run's figures as it goes: one line a logged step, warnings in plain words, and a Ctrl-C that loses nothing.

    {step, epoch, split, loss, learning_rate, grad_norm, accuracy, margin, …, tokens, seconds, memory_bytes}

A key that a task does not have is left out; what each means stands in docs/training.md.
"""

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from train.devices import memory_used
from train.watching import Warned, watch

KEYS = (
    "loss",
    "learning_rate",
    "grad_norm",
    "accuracy",
    "margin",
    "chosen_reward",
    "rejected_reward",
    "chosen_logp",
    "rejected_logp",
    "kl",
    "chosen_length",
    "rejected_length",
    "length_correlation",
    "tokens",
)


class Recorder:
    """The lines and warnings of one run, kept in a file beside its checkpoints so that a resumed run has them all."""

    def __init__(self, file: Path, device: str, clip: float, tell: Callable[[str], None]) -> None:
        """Args:
        file: metrics.jsonl; lines that are there already are gone on from.
        device: "cpu" or "cuda", for memory.
        clip: the gradient's greatest length.
        tell: prints a warning.
        """
        self.file, self.device, self.clip, self.tell = file, device, clip, tell
        self.lines: list[dict[str, Any]] = []
        self.warnings: list[Warned] = []
        self.stopped = False
        self.seconds_before = 0.0
        self.tokens_before = 0.0
        self.began: float | None = None

    def go_on_from(self, step: int) -> None:
        """Take the lines up to a checkpoint's step from the file, and leave out those of steps to be taken again."""
        read = []
        if self.file.is_file():
            for line in self.file.read_text("utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    read.append(json.loads(line))
        self.lines = [line for line in read if line["step"] <= step]
        self.seconds_before = max((line["seconds"] for line in self.lines), default=0.0)
        self.tokens_before = max((line.get("tokens") or 0 for line in self.lines), default=0.0)
        beside = self.file.with_name(f".{self.file.name}.new")  # on a full disk the lines there are stay
        with beside.open("w", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in self.lines))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.file)
        self.warnings = watch(self.lines, (), clip=self.clip)

    def start(self) -> None:
        """Seconds count from here."""
        self.began = time.monotonic()

    def stop(self) -> None:
        """Seconds count no more."""
        self.seconds_before, self.began = self.seconds, None

    @property
    def seconds(self) -> float:
        """Of training so far, all resumptions added."""
        return self.seconds_before + (0.0 if self.began is None else time.monotonic() - self.began)

    def add(self, step: int, epoch: float, logs: dict[str, Any]) -> None:
        """Add a line from what a trainer logged; texts that are no line of training are passed over."""
        split = "validation" if any(key.startswith("eval_") for key in logs) else "train"
        plain = {key.removeprefix("eval_"): value for key, value in logs.items()}
        found = {key: plain[key] for key in KEYS if isinstance(plain.get(key), int | float)}
        if "loss" not in found:
            return
        if "tokens" in found:
            found["tokens"] = int(found["tokens"] + self.tokens_before)
        self.keep({"step": step, "epoch": round(epoch, 6), "split": split, **found})

    def keep(self, line: dict[str, Any]) -> None:
        """Write a line, with seconds and memory, and tell the warnings it gives."""
        line = {k: float(f"{v:.9g}") if isinstance(v, float) else v for k, v in line.items()}
        line |= {"seconds": round(self.seconds, 3), "memory_bytes": memory_used(self.device)}
        self.lines.append(line)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for warned in watch(self.lines, [one.name for one in self.warnings], clip=self.clip):
            self.warnings.append(warned)
            self.tell(f"warning, step {warned.step}: {warned.en}")


def finite(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines for a JSON file: what is no number is null."""
    return [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in x.items()} for x in lines]


def make_callback(recorder: Recorder, progress: Callable[[int], None]) -> Any:
    """What a trainer calls after each step and each logged line."""
    from transformers import TrainerCallback

    class Follow(TrainerCallback):
        """Hands figures to the recorder; saves and stops where a person asked to."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            recorder.start()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            recorder.stop()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero:
                recorder.add(state.global_step, float(state.epoch or 0), dict(logs or {}))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(1)
            if recorder.stopped:
                control.should_save = True
                control.should_training_stop = True
            if control.should_save:
                # What a line is the mean of must not be cut in two by a checkpoint: it ends there.
                control.should_log = True

    return Follow()


def make_anchor(strength: float) -> Any:
    """A pull of every trained weight towards where it started: adds strength·(θ − θ₀) to its gradient.

    That is the gradient of strength/2 · ‖θ − θ₀‖² (L2-SP, X. Li et al., arXiv 1802.01483); it is added after gradients
    are cut to max_grad_norm. Costs a copy of the weights. For one process, or DDP; a sharded model has no such copy.
    """
    import torch
    from transformers import TrainerCallback

    class Anchor(TrainerCallback):
        """Holds the start weights."""

        start: list[tuple[Any, Any]]

        def on_init_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.start = [(p, p.detach().clone()) for p in model.parameters() if p.requires_grad]

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            with torch.no_grad():
                for p, was in self.start:
                    if p.grad is not None:
                        p.grad.add_(p.detach() - was.to(p.device), alpha=strength)

    return Anchor()


@contextlib.contextmanager
def stops_after_a_step(recorder: Recorder) -> Iterator[None]:
    """The first Ctrl-C ends the run after the step it is in, with a checkpoint; the second at once."""

    def asked(*_: object) -> None:
        if recorder.stopped:
            raise KeyboardInterrupt
        recorder.stopped = True
        print("stopping after this step; once more stops at once", file=sys.stderr)

    try:
        before = signal.signal(signal.SIGINT, asked)
    except ValueError:  # in a thread of another program
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
