"""KTO on answers held good or bad, each alone: TRL's KTOTrainer with a weight for each row.

    good:  w · desirable · (1 − σ(β(r − z)))     bad:  w · undesirable · (1 − σ(β(z − r)))

with r = log π − log π_ref of the answer, and z the KL from the reference, estimated from the batch's prompts with
each other's answers (K. Ethayarajh et al., arXiv 2402.01306, eq. 7 and 8; APO's unpaired loss has no z,
arXiv 2408.06266). With w = 1 it is TRL's.

Held out, an answer's implicit reward is β · r. How well it tells good answers from bad is its area under the ROC curve
(train.held_out.auc), which needs no threshold and so neither z nor the share of good answers.
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
    step_share,
    weighted,
)
from train.rows import Row, Setup
from train.settings import KtoSettings


def make_trainer(setup: Setup) -> Any:
    """A trainer for answers that have a label; the reference is the model without its adapter, or as it began."""
    settings = setup.settings
    assert isinstance(settings, KtoSettings)
    pad, length = setup.tokenizer.pad_token_id, settings.length
    first = setup.train[0]

    def collate(rows: list[Row]) -> Batch:
        others = [rows[-1], *rows[:-1]] if len(rows) > 1 else [first]
        return {**batch_of(rows, pad), **_kl_inputs(rows, others, pad, length)}

    dropout = settings.method in ("lora", "qlora") and settings.lora.dropout > 0
    arguments: Any = {
        "max_length": None,
        "disable_dropout": not dropout,
        "beta": settings.beta,
        "loss_type": settings.loss,
        "desirable_weight": settings.desirable,
        "undesirable_weight": settings.undesirable,
        "train_sampling_strategy": "sequential",
        **setup.arguments,
    }
    trainer = weighted(_trl().KTOTrainer, _loss, pairs=False)(
        model=setup.model,
        args=_trl().KTOConfig(**arguments),
        processing_class=setup.tokenizer,
        callbacks=setup.callbacks,
        **numbered(setup, collate),
    )
    # TRL pairs prompts with others' answers in the data's order, once; here it is done in each batch, in any order.
    trainer.args.train_sampling_strategy = "random"
    return trainer


def batch_of(rows: Sequence[Row], pad: int) -> Batch:
    """Tensors of rows; label is 1 for good and 0 for bad, shape (n,)."""
    prompts, answers = [row.tokens.prompt for row in rows], [row.tokens.chosen for row in rows]
    return {
        **inputs([p + a for p, a in zip(prompts, answers, strict=True)], pad),
        "labels": labels_of(prompts, answers),
        "weight": column([row.w for row in rows]),
        "good": column([float(bool(row.label)) for row in rows]),
    }


def _kl_inputs(rows: Sequence[Row], others: Sequence[Row], pad: int, length: int) -> Batch:
    """Each prompt with another row's answer, cut to the length."""
    prompts = [row.tokens.prompt for row in rows]
    answers = [other.tokens.chosen[: max(0, length - len(p))] for p, other in zip(prompts, others, strict=True)]
    made = inputs([p + a for p, a in zip(prompts, answers, strict=True)], pad)
    return {**{f"kl_{name}": value for name, value in made.items()}, "kl_labels": labels_of(prompts, answers)}


def _trl() -> Any:
    return import_module("trl")  # it has no types that a checker could follow


def _loss(trainer: Any, model: Any, batch: Batch, total: Any) -> Any:
    import torch

    logps = _log_probs(model, batch)
    with torch.no_grad():
        kl = torch.zeros((), device=logps.device)
        asked = ("", "kl_") if trainer.calculate_KL else ("",)
        reference = _reference(trainer, batch, asked)
        if trainer.calculate_KL:
            moved = (_log_probs(model, batch, "kl_") - reference["kl_"]).mean()
            kl = trainer.accelerator.gather_for_metrics(moved).mean().clamp(min=0)
    ratio = logps - reference[""]
    good = batch["good"] > 0
    losses = _losses(trainer, ratio, good, kl)
    count_tokens(trainer, batch["attention_mask"])
    lengths = (batch["labels"][:, 1:] != -100).sum(1).float()
    rewards = trainer.beta * ratio
    figures = {"reward": rewards, "logp": logps, "length": lengths}
    note(
        trainer,
        kl=ratio,
        accuracy=((rewards > trainer.beta * kl) == good).float(),
        **{f"chosen_{name}": torch.where(good, value, torch.nan) for name, value in figures.items()},
        **{f"rejected_{name}": torch.where(good, torch.nan, value) for name, value in figures.items()},
    )
    return step_share(trainer, losses, batch["weight"], total)


def _losses(trainer: Any, ratio: Any, good: Any, kl: Any) -> Any:
    """The loss of each answer, shape (n,)."""
    import torch

    moved = trainer.beta * (ratio - kl)
    bad = torch.sigmoid(moved)
    return torch.where(good, trainer.desirable_weight * (1 - bad), trainer.undesirable_weight * bad)


def _reference(trainer: Any, batch: Batch, prefixes: Sequence[str]) -> dict[str, Any]:
    """log π_ref by prefix: the model without its adapter (or with the one it began with), or a copy of it."""
    from peft import PeftModel

    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.ref_model is not None or not isinstance(model, PeftModel):
        return {one: _log_probs(trainer.ref_model, batch, one) for one in prefixes}
    from trl.trainer.utils import use_adapter

    with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
        return {one: _log_probs(trainer.model, batch, one) for one in prefixes}


def _log_probs(model: Any, batch: Batch, prefix: str = "") -> Any:
    """log π of each answer, summed over its tokens, in nats: shape (n,)."""
    made = model(
        input_ids=batch[f"{prefix}input_ids"],
        attention_mask=batch[f"{prefix}attention_mask"],
        labels=batch[f"{prefix}labels"],
        use_cache=False,
        fused_lm_head=True,
    )
    return made.log_probs.sum(1)


def score_rows(trainer: Any, rows: Sequence[Row]) -> list[tuple[float, None, float]]:
    """Of each answer its loss per token, in nats; None for the rejected one that is not there; its implicit reward.

    The implicit reward is β · (log π − log π_ref) of the whole answer, in nats.
    """

    def score(few: list[Row]) -> list[tuple[float, None, float]]:
        batch = trainer._prepare_inputs(batch_of(few, trainer.processing_class.pad_token_id))
        tokens = (batch["labels"][:, 1:] != -100).sum(1).clamp(min=1)
        logps = _log_probs(trainer.model, batch)
        rewards = trainer.beta * (logps - _reference(trainer, batch, ("",))[""])
        losses = -logps / tokens
        return [(loss, None, reward) for loss, reward in zip(losses.tolist(), rewards.tolist(), strict=True)]

    return in_batches(trainer, rows, score)
