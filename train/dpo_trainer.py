"""Direct preference optimisation on rows that are tokens already: TRL's trainer with our batches, reference and loss.

    trainer = make_trainer(setup)         a trl.DPOTrainer; ORPO too, which has no reference
    score_rows(trainer, rows)             β · (log π − log π_ref) of chosen and rejected, in order

TRL keeps the loop, the optimiser and the checkpoints. Ours are: the rows as they are given, every one of them (TRL
tokenises, filters and cuts again), people's certainty in the loss, the reference computed once and kept
(train.reference), prompts computed once for both answers (train.answer_layout), and the measures.

A step's gradient is that of Σ w · loss / Σ w over all pairs of the step, whatever its passes and devices: the sum of
weights of the whole step is known before its first pass, and each pass divides by it.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from data.errors import BadInput
from train import losses
from train.answer_head import add_head, answer_logps
from train.answer_layout import PROMPT
from train.dpo_losses import Scored, pair_losses
from train.dpo_scores import laid, make_reference, reference_now
from train.dpo_scores import score_rows as score_rows
from train.pair_metrics import SUMS, empty, overall_loss, sums_of, told
from train.prefix_check import fault_of_layout
from train.reference import changes_nothing, key_of
from train.rows import Setup
from train.settings import DpoSettings

if TYPE_CHECKING:
    from torch import Tensor


def make_trainer(setup: Setup) -> Any:
    """A trl.DPOTrainer over the setup's rows; the reference is the policy as it stands now.

    Raises:
        BadInput: no rows, a row without two answers, or a model whose log-probabilities cannot be followed.
    """
    if not setup.train:
        raise BadInput("there is no row to train on; preflight tells what became of them")
    for row in (*setup.train, *setup.validation):
        if not row.tokens.chosen or not row.tokens.rejected:
            raise BadInput(f"row {row.id} has an answer without a token; preflight lists such rows")
    return _trainer_class()(setup)


@cache
def _trainer_class() -> Any:
    import torch
    import trl
    from transformers import Trainer

    libraries: Any = trl  # it has no types

    class PairTrainer(libraries.DPOTrainer):  # type: ignore[misc, unused-ignore]
        loss_is_scaled_for_ga = True  # compute_loss divides by the weights of the whole step

        def __init__(self, setup: Setup) -> None:
            _start(self, setup, super().__init__)

        def _prepare_dataset(self, dataset: Any, *given: Any, **more: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *given: Any, **more: Any) -> Any:
            return dataset

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
            return _total_weight(self, batch_samples, device)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss = _loss(self, model, inputs, num_items_in_batch)
            return (loss, {}) if return_outputs else loss

        def prediction_step(self, model: Any, inputs: Any, *given: Any, **more: Any) -> Any:
            inputs = self._prepare_inputs(inputs)
            with torch.no_grad(), self.compute_loss_context_manager():
                return self.compute_loss(model, inputs).detach(), None, None

        def evaluate(self, *given: Any, **more: Any) -> Any:
            return Trainer.evaluate(self, *given, **more)

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            _add_measures(self, logs)
            Trainer.log(self, logs, start_time)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            Trainer._save_checkpoint(self, model, trial)  # TRL would write its own card into each

    return PairTrainer


def _start(trainer: Any, setup: Setup, begin: Callable[..., None]) -> None:
    """Make TRL's trainer around the setup, then the reference."""
    from datasets import Dataset

    settings, model = setup.settings, setup.model
    assert isinstance(settings, DpoSettings)
    trainer.given, trainer.rows = setup, [*setup.train, *setup.validation]
    trainer.reference, trainer.tokens = {}, 0
    trainer.shared = settings.prefix_sharing
    adapter = hasattr(model, "peft_config")
    kept = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad} if adapter else {}
    fresh = changes_nothing(model)
    inner = model.get_base_model() if adapter else model
    forward = inner.__dict__.get("forward")
    numbers = range(len(trainer.rows))
    begin(
        model=model,
        args=_arguments(setup, adapter),
        data_collator=lambda some: _collate(trainer, [one["row"] for one in some]),
        train_dataset=Dataset.from_dict({"row": list(numbers[: len(setup.train)])}),
        eval_dataset=Dataset.from_dict({"row": list(numbers[len(setup.train) :])}) if setup.validation else None,
        processing_class=setup.tokenizer,
        callbacks=list(setup.callbacks),
    )
    _undo(trainer.model, kept)
    for name, module in trainer.model.named_modules():
        if type(module).__name__ == "Dropout" and "lora_dropout" not in name:
            module.p = 0.0  # as TRL does: the reference has no dropout either; an adapter's own is as it was set
    trainer.sums = {True: empty(trainer.args.device), False: empty(trainer.args.device)}
    # TRL has put its own head there; ours takes its place.
    inner.__dict__.pop("forward")
    if forward is not None:
        inner.forward = forward
    add_head(inner)
    trainer.start = None if fresh else kept
    if trainer.is_deepspeed_enabled:
        trainer.model.to(trainer.args.device)  # for the reference; DeepSpeed itself moves it later
    _check_layout(trainer)
    if settings.loss != "orpo":
        make_reference(trainer, adapter)


def _arguments(setup: Setup, adapter: bool) -> Any:
    import trl

    libraries: Any = trl
    settings = setup.settings
    given = dict(setup.arguments)
    # TRL turns bfloat16 and checkpointing on where nothing is said.
    checkpointing = given.pop("gradient_checkpointing", settings.gradient_checkpointing)
    given = {
        "bf16": settings.dtype == "bfloat16",
        "fp16": settings.dtype == "float16",
        "activation_checkpointing": checkpointing,
        "learning_rate": settings.learning_rate,
        **given,
        "max_length": None,
        "disable_dropout": False,
        "remove_unused_columns": False,
        # Told so that TRL loads no second model; with an adapter it would only hash every weight.
        "precompute_ref_log_probs": not adapter,
    }
    return libraries.DPOConfig(**given)


def _undo(model: Any, kept: dict[str, Any]) -> None:
    """Take back what TRL did to the adapter: its copy as "ref", and bf16, in which small steps are lost."""
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")
    for name, p in model.named_parameters():
        if name in kept:
            p.data = kept[name].clone().to(p.device)
            p.requires_grad_(True)


def _collate(trainer: Any, numbers: list[int]) -> "dict[str, Tensor]":
    """The batch of these rows: as train.answer_layout lays it out, with p, w and the reference."""
    import torch

    rows = [trainer.rows[i] for i in numbers]
    batch = laid(trainer, [row.tokens for row in rows])
    batch["p"] = torch.tensor([row.p for row in rows], dtype=torch.float32)
    batch["w"] = torch.tensor([row.w for row in rows], dtype=torch.float32)
    known = [trainer.reference.get(key_of(row.tokens)) for row in rows] if trainer.reference else []
    if known:
        batch["reference"] = torch.tensor([one[side] for side in (0, 1) for one in known], dtype=torch.float32)
    return batch


def _total_weight(trainer: Any, batches: list[Any], device: Any) -> Any:
    """Σ w over every pair of a step, over all its passes and devices."""
    if not batches:
        return None
    total = sum(batch["w"].sum() for batch in batches).to(device)
    return trainer.accelerator.gather(total).sum()


def _loss(trainer: Any, model: Any, batch: "dict[str, Tensor]", total: Any) -> "Tensor":
    """Σ w · loss of a batch over `total`, the step's Σ w; over its own where none is told (a held-out batch)."""
    settings = trainer.given.settings
    p, w = batch["p"] if settings.soft_labels else None, batch["w"]
    logps = answer_logps(model, batch, shared=trainer.shared, parts=3 if settings.loss == "orpo" else 2)
    if settings.loss == "orpo":
        each, logps, reference, rewards = _orpo(settings, logps, batch, p)
    else:
        reference = batch["reference"] if "reference" in batch else reference_now(trainer, model, batch)
        scored = Scored(*logps.chunk(2), *reference.chunk(2), *batch["lengths"].chunk(2))
        each = pair_losses(settings.loss, scored, beta=settings.beta, label_smoothing=settings.label_smoothing, p=p)
        rewards = settings.beta * (logps - reference)
    tokens = (batch["segments"] == PROMPT).sum() * (2 if trainer.shared else 1) + batch["lengths"].sum()
    trainer.sums[model.training] += sums_of(each, w, logps, reference, batch["lengths"], rewards, tokens)
    if total is None:
        return losses.weighted_mean(each, w)
    # Gradients are averaged over devices, and each has its part of the sum.
    part: Tensor = (w * each).sum() / total.clamp(min=1e-12) * trainer.args.world_size
    return part


def _orpo(settings: DpoSettings, logps: "Tensor", batch: "dict[str, Tensor]", p: Any) -> Any:
    """ORPO's losses, the answers' log-probabilities, no reference, and rewards β · mean log π; chosen first."""
    n = len(batch["w"])
    answers, prompts = logps[: 2 * n], logps[2 * n :]
    lengths = batch["lengths"].to(answers.dtype)
    mean = answers / lengths
    whole = lengths + _counts(batch, n).repeat(2)
    # TRL imitates prompt and answer, by the mean over the batch's tokens; each pair gets its share of it, times n.
    nll = [-(prompts + side) * n / of.sum() for side, of in zip(answers.chunk(2), whole.chunk(2), strict=True)]
    chosen, rejected = mean.chunk(2)
    each = losses.orpo(chosen, rejected, nll[0], beta=settings.beta, p=p, nll_rejected=nll[1])
    return each, answers, answers.detach() * 0, settings.beta * mean


def _counts(batch: "dict[str, Tensor]", n: int) -> "Tensor":
    """Tokens of each prompt that are predicted, shape (n,)."""
    of = batch["owner"] - 2 * n
    return of[of >= 0].bincount(minlength=n)


def _add_measures(trainer: Any, logs: dict[str, float]) -> None:
    """Put the measures since the last log into a line, and the loss over all held-out pairs in place of batches'."""
    held_out = [name for name in logs if name.endswith("_runtime") and not name.startswith("train_")]
    training, before = not held_out, held_out[0].removesuffix("runtime") if held_out else ""
    sums = trainer.sums[training]
    if trainer.args.world_size > 1:
        sums = trainer.accelerator.gather(sums[None]).sum(0)
    values = sums.tolist()
    trainer.sums[training] = empty(trainer.args.device)
    measures = told(values, reference=trainer.given.settings.loss != "orpo")
    if training and measures:
        trainer.tokens += int(values[SUMS.index("tokens")])
        measures["tokens"] = trainer.tokens
    logs.update({before + name: value for name, value in measures.items()})
    loss = overall_loss(values)
    if held_out and loss is not None:
        logs[before + "loss"] = loss


def _check_layout(trainer: Any) -> None:
    """Try the layout on the longest pair: two sequences where prompts cannot be shared, and refuse if they fail too."""
    longest = max((row.tokens for row in trainer.rows), key=lambda one: sum(map(len, one[:3])))
    pad = trainer.processing_class.pad_token_id or 0
    training = trainer.model.training
    trainer.model.eval()
    try:
        with trainer.compute_loss_context_manager():
            fault = fault_of_layout(trainer.model, longest, pad, shared=trainer.shared)
            if fault and trainer.shared:
                print(f"note: prompts are not shared here ({fault}): two sequences a pair", file=sys.stderr)
                trainer.shared = False
                fault = fault_of_layout(trainer.model, longest, pad, shared=False)
    finally:
        trainer.model.train(training)
    if fault:
        raise BadInput(f"this model's log-probabilities cannot be computed for pairs: {fault}; take another model")
