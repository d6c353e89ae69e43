"""Imitation of answers: TRL's SFTTrainer with a weight for each row.

A step's loss is Σ w·nll / Σ w·tokens over all its rows: the mean loss of a token, each token weighing as its row
does. With w = 1 it is TRL's.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from train.batches import (
    Batch,
    column,
    count_tokens,
    in_batches,
    inputs,
    labels_of,
    note,
    numbered,
    padded,
    step_share,
    weighted,
)
from train.rows import Row, Setup
from train.settings import SftSettings


def make_trainer(setup: Setup) -> Any:
    """A trainer for rows of one answer each (`tokens.chosen`)."""
    settings = setup.settings
    assert isinstance(settings, SftSettings)
    pad = setup.tokenizer.pad_token_id

    def collate(rows: list[Row]) -> Batch:
        return batch_of(rows, pad, answers_only=settings.answers_only)

    arguments: Any = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}, **setup.arguments}
    return weighted(_trl().SFTTrainer, _loss)(
        model=setup.model,
        args=_trl().SFTConfig(**arguments),
        processing_class=setup.tokenizer,
        callbacks=setup.callbacks,
        **numbered(setup, collate),
    )


def batch_of(rows: Sequence[Row], pad: int, *, answers_only: bool) -> Batch:
    """Tensors of rows; `weight` is w times the tokens that have a loss, shape (n,)."""
    prompts, answers = [row.tokens.prompt for row in rows], [row.tokens.chosen for row in rows]
    whole = [p + a for p, a in zip(prompts, answers, strict=True)]
    # The first token of all is never predicted.
    labels = labels_of(prompts, answers) if answers_only else padded(whole, -100)
    counted = (labels[:, 1:] != -100).sum(1)
    return {**inputs(whole, pad), "labels": labels, "weight": column([row.w for row in rows]) * counted}


def _trl() -> Any:
    return import_module("trl")  # it has no types that a checker could follow


def _loss(trainer: Any, model: Any, batch: Batch, total: Any) -> Any:
    labels, weight = batch["labels"], batch["weight"]
    tokens = (labels[:, 1:] != -100).sum(1)
    means = -_log_probs(model, batch) / tokens.clamp(min=1)
    count_tokens(trainer, batch["attention_mask"])
    note(trainer, chosen_logp=-means * tokens, chosen_length=tokens)
    return step_share(trainer, means, weight, total)


def _log_probs(model: Any, batch: Batch) -> Any:
    """log π of each row's labelled tokens, summed, in nats: shape (n,)."""
    made = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=batch["labels"],
        use_cache=False,
        fused_lm_head=True,
    )
    return made.log_probs.sum(1)


def score_rows(trainer: Any, rows: Sequence[Row]) -> list[tuple[float, float | None]]:
    """Loss per token of each answer, in nats, and None for the rejected one that is not there."""

    def score(few: list[Row]) -> list[tuple[float, float | None]]:
        batch = trainer._prepare_inputs(batch_of(few, trainer.processing_class.pad_token_id, answers_only=True))
        tokens = (batch["labels"][:, 1:] != -100).sum(1).clamp(min=1)
        return [(float(x), None) for x in -_log_probs(trainer.model, batch) / tokens]

    return in_batches(trainer, rows, score)
