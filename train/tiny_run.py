"""What train.tiny does: make the small model, train it until it beats a trigram model, write its folder."""

import time
from pathlib import Path
from typing import Any

from data.command import progress
from data.errors import CheckFailed
from data.folder import Folder, write_folder
from train import trigram
from train.sample_text import documents
from train.tiny_model import Shape, Step, learn, make_model, make_tokenizer, on_threads, save, tokens_of

AHEAD = 0.03
"""Nats a token by which the held-out loss must be below the trigram model's before training stops early."""


def make_tiny(
    out: Path,
    *,
    seed: int = 0,
    steps: int = 800,
    threads: int = 1,
    shape: Shape | None = None,
    replace: bool = False,
    must_win: bool = True,
) -> dict[str, Any]:
    """Make a small model and write it to `out`, a folder for from_pretrained with a manifest.

    Args:
        steps: most steps; training stops at the first look at which the model is ahead.
        threads: part of what the bytes hang on. One is fastest on a busy machine.
        must_win: give up on a model that is not below the trigram model at the end.

    Raises:
        CheckFailed: not below it after all steps; nothing is written.
    """
    shape = shape or Shape()
    config = {"seed": seed, "steps": steps, "threads": threads, "dtype": "float32", **shape._asdict()}
    on_threads(threads)
    with write_folder(out, "tiny model", config, replace=replace) as folder:
        began = time.monotonic()
        texts = documents()
        tokenizer = make_tokenizer(texts, shape.words)
        train = tokens_of(tokenizer, texts, False, shape.positions)
        held_out = tokens_of(tokenizer, texts, True, shape.positions)
        floor = trigram.held_out_loss(train, held_out, len(tokenizer))
        model = make_model(tokenizer, shape, seed)
        looks: list[Step] = []
        with progress("training", total=steps) as tell:
            for step in learn(model, train, held_out, shape, steps, seed, tell):
                looks.append(step)
                if step.held_out is not None and step.held_out < floor - AHEAD:
                    break
        reached = looks[-1].held_out or float("inf")
        if must_win and reached >= floor:
            raise CheckFailed(
                f"held-out loss {reached:.3f} after {steps} steps, {trigram.NAME}: {floor:.3f}; more --steps"
            )
        save(model, tokenizer, folder.path)
        figures = {
            "held_out_loss": round(reached, 4),
            "trigram_loss": round(floor, 4),
            "steps": looks[-1].step,
            "parameters": sum(p.numel() for p in model.parameters()),
            "train_tokens": sum(map(len, train)),
            "held_out_tokens": sum(len(d) - 1 for d in held_out),
        }
        folder.write("audit/losses.jsonl", (look._asdict() for look in looks))
        _card(folder, figures, shape, seed)
        folder.inputs["texts"] = "data/sample"
    return {**figures, "seconds": round(time.monotonic() - began, 1), "wrote": str(out)}


def _card(folder: Folder, figures: dict[str, Any], shape: Shape, seed: int) -> None:
    """The model card."""
    lines = [
        "---",
        "license: cc0-1.0",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "language: [en, zh]",
        "---",
        "",
        "# A tiny model, to try training with",
        "",
        f"A Llama of {shape.layers} layers, {shape.width} wide, {figures['parameters']:,} parameters, with a",
        f"byte-level BPE tokenizer of {shape.words:,} tokens and a chat template. Made by",
        f"`python -m train.tiny`, seed {seed}.",
        "",
        "| held-out loss | nats a token |",
        "|---|---|",
        f"| this model after {figures['steps']} steps | {figures['held_out_loss']:.4f} |",
        f"| {trigram.NAME} | {figures['trigram_loss']:.4f} |",
        "",
        f"Both on the same {figures['held_out_tokens']:,} tokens of prompts that were held out (a tenth, by prompt).",
        "",
        "**Data.** The texts bundled with Concord (CC0, no labels): simulated answers, good and bad on purpose.",
        "",
        "**Limits.** It knows these few texts and nothing else. It is there so that every step of training, adapters",
        "and 4-bit weights included, can be run anywhere; it answers nobody's questions.",
        "",
    ]
    folder.write_text("README.md", "\n".join(lines))
