"""The reward model: TRL's RewardTrainer with people's certainty in its loss.

    loss = w · [p · −log σ(d − m) + (1 − p) · −log σ(−d − m)] + w · centring · (r_chosen + r_rejected)²

with d = r_chosen − r_rejected, and m = margin · (2p' − 1), where p' is the export's probability: the lead people gave
the chosen answer. With p = 1, w = 1 and no margin it is TRL's.
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
    note,
    numbered,
    step_share,
    weighted,
)
from train.exports import Pair
from train.rows import Row, Setup
from train.settings import RewardSettings


def make_trainer(setup: Setup) -> Any:
    """A trainer for pairs; the model has one output, and a score head that is trained whole."""
    settings = setup.settings
    assert isinstance(settings, RewardSettings)
    pad = setup.tokenizer.pad_token_id

    def collate(rows: list[Row]) -> Batch:
        return batch_of(rows, pad, settings)

    dropout = settings.method in ("lora", "qlora") and settings.lora.dropout > 0
    arguments: Any = {"max_length": None, "disable_dropout": not dropout, **setup.arguments}
    trainer = weighted(_trl().RewardTrainer, _loss, pairs=True)(
        model=setup.model,
        args=_trl().RewardConfig(**arguments),
        processing_class=setup.tokenizer,
        callbacks=setup.callbacks,
        **numbered(setup, collate),
    )
    trainer.centring = settings.centring
    return trainer


def batch_of(rows: Sequence[Row], pad: int, settings: RewardSettings) -> Batch:
    """Chosen dialogues, then rejected ones, in one batch of 2n; the rest has shape (n,)."""
    whole = [
        *(row.tokens.prompt + row.tokens.chosen for row in rows),
        *(row.tokens.prompt + row.tokens.rejected for row in rows),
    ]
    lead = [2 * row.source.p - 1 if isinstance(row.source, Pair) else 1.0 for row in rows]
    return {
        **inputs(whole, pad),
        "weight": column([row.w for row in rows]),
        "p": column([row.p for row in rows]),
        "margin": column([settings.margin * max(0.0, one) for one in lead]),
        "lengths": column([len(r.tokens.chosen) for r in rows] + [len(r.tokens.rejected) for r in rows]),
    }


def _trl() -> Any:
    return import_module("trl")  # it has no types that a checker could follow


def _loss(trainer: Any, model: Any, batch: Batch, total: Any) -> Any:
    from train.losses import reward

    scores = _scores(model, batch)
    chosen, rejected = scores.chunk(2)
    losses = reward(chosen, rejected, margin=batch["margin"], centring=trainer.centring, p=batch["p"])
    count_tokens(trainer, batch["attention_mask"])
    lengths = batch["lengths"].chunk(2)
    right = (chosen > rejected).float() + 0.5 * (chosen == rejected).float()
    note(
        trainer,
        accuracy=right,
        margin=chosen - rejected,
        chosen_reward=chosen,
        rejected_reward=rejected,
        chosen_length=lengths[0],
        rejected_length=lengths[1],
    )
    return step_share(trainer, losses, batch["weight"], total)


def _scores(model: Any, batch: Batch) -> Any:
    """One number for each dialogue, shape (2n,), in float32."""
    made = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    return made.logits.squeeze(-1).float()


def score_rows(trainer: Any, rows: Sequence[Row]) -> list[tuple[float, float | None]]:
    """The scores of the chosen and the rejected dialogue of each row."""

    def score(few: list[Row]) -> list[tuple[float, float | None]]:
        batch = batch_of(few, trainer.processing_class.pad_token_id, RewardSettings())
        chosen, rejected = _scores(trainer.model, trainer._prepare_inputs(batch)).chunk(2)
        return list(zip(chosen.tolist(), rejected.tolist(), strict=True))

    return in_batches(trainer, rows, score)
