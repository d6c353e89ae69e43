"""Rows as padded tensors, and a step's loss weighted exactly: what this package's trainers share.

A trainer is given row numbers and looks the rows up itself, so nothing that a row carries (p, w, label) is left out
by a collator that does not know it.

The loss of a step is Σ w·l / Σ w over all rows of the step: over every micro-batch that is accumulated and every
process. The sum of weights is taken over the whole step before its first backward pass (and gathered over processes,
whose gradients are averaged afterwards), so accumulation and processes change no more than the order of sums.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from train.rows import Row, Setup

if TYPE_CHECKING:
    from torch import Tensor

Batch = dict[str, Any]


def numbered(setup: Setup, collate: Callable[[list[Row]], Batch]) -> dict[str, Any]:
    """Data sets of row numbers and the collator that looks them up, by the names that trainers take.

    Validation rows are numbered after the rows to train on, since there is one collator for both.
    """
    from datasets import Dataset

    rows = [*setup.train, *setup.validation]
    n = len(setup.train)

    def look_up(found: list[dict[str, int]]) -> Batch:
        return collate([rows[one["at"]] for one in found])

    return {
        "train_dataset": Dataset.from_dict({"at": list(range(n))}),
        "eval_dataset": Dataset.from_dict({"at": list(range(n, len(rows)))}) if setup.validation else None,
        "data_collator": look_up,
    }


def padded(sequences: Sequence[Sequence[int]], value: int) -> "Tensor":
    """Shape (n, longest), filled up on the right."""
    import torch

    longest = max(map(len, sequences))
    return torch.tensor([[*ids, *[value] * (longest - len(ids))] for ids in sequences])


def inputs(sequences: Sequence[Sequence[int]], pad: int) -> Batch:
    """input_ids and attention_mask, each of shape (n, longest)."""
    return {
        "input_ids": padded(sequences, pad),
        "attention_mask": padded([[1] * len(ids) for ids in sequences], 0),
    }


def labels_of(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> "Tensor":
    """Shape (n, longest): the answer's tokens where they stand, −100 over prompt and padding."""
    return padded([[-100] * len(p) + list(a) for p, a in zip(prompts, answers, strict=True)], -100)


def column(values: Sequence[float]) -> "Tensor":
    """Shape (n,), float32."""
    import torch

    return torch.tensor(list(values), dtype=torch.float32)


def step_weight(trainer: Any, batches: Sequence[Batch], device: Any) -> Any:
    """The step's whole weight: the sum of `weight` over its micro-batches and over all processes; a scalar.

    What an item of `weight` counts is each trainer's own: a row's w, or w times its tokens.
    """
    import torch

    total = torch.stack([batch["weight"].sum() for batch in batches]).sum().to(device)
    return trainer.accelerator.gather(total).sum()


def step_share(trainer: Any, losses: "Tensor", weight: "Tensor", total: Any) -> "Tensor":
    """This batch's part of the step's loss, a scalar: Σ weight·loss / total.

    Args:
        losses: shape (n,), each already per unit of weight.
        weight: shape (n,), finite, >= 0.
        total: from `step_weight`; None where no step is taken, for the batch's own weighted mean.
    """
    from train.losses import weighted_mean

    if total is None:
        return weighted_mean(losses, weight)
    # DDP and FSDP average gradients over processes; each process holds a part of one sum.
    processes = int(trainer.accelerator.num_processes)
    share: Tensor = (weight * losses).sum() / total.clamp(min=1e-12) * processes
    return share


def note(trainer: Any, **values: "Tensor") -> None:
    """Keep figures of a batch for the next line of metrics: tensors of shape (n,), whose mean over rows is told.

    NaN is no figure: of answers held bad, say, where the figure is of good ones.
    """
    kept = trainer._metrics["train" if trainer.model.training else "eval"]
    for name, value in values.items():
        found = trainer.accelerator.gather_for_metrics(value.detach().float()).tolist()
        figures = [one for one in found if one == one]
        if figures:
            kept[name].extend(figures)


def count_tokens(trainer: Any, mask: "Tensor") -> None:
    """Add a batch's tokens to those seen in training so far."""
    if trainer.model.training:
        trainer._total_train_tokens += int(trainer.accelerator.gather(mask.sum()).sum())
        trainer._metrics["train"]["tokens"] = [trainer._total_train_tokens]


def add_length_correlation(trainer: Any, *, pairs: bool) -> None:
    """Add how scores follow length, over all rows noted since the last line of metrics, to what that line tells.

    Args:
        pairs: rows are pairs, of which margins and differences of length are compared.
    """
    from train.pair_metrics import length_correlation

    kept = trainer._metrics["train" if trainer.model.training else "eval"]
    of = {name: list(kept.get(name, ())) for name in ("chosen_length", "rejected_length", "margin")}
    if pairs:
        gaps = [long - short for long, short in zip(of["chosen_length"], of["rejected_length"], strict=True)]
        found = length_correlation(of["margin"], gaps)
    else:
        scores = [*kept.get("chosen_reward", ()), *kept.get("rejected_reward", ())]
        found = length_correlation(scores, of["chosen_length"] + of["rejected_length"])
    if found is not None:
        kept["length_correlation"] = [found]


def in_batches(trainer: Any, rows: Sequence[Row], score: Callable[[list[Row]], list[Any]]) -> list[Any]:
    """Score rows a batch at a time, in evaluation mode and without gradients; in the rows' order."""
    import torch

    size = trainer.args.per_device_eval_batch_size
    was = trainer.model.training
    trainer.model.eval()
    found: list[Any] = []
    with torch.no_grad(), trainer.compute_loss_context_manager():
        for at in range(0, len(rows), size):
            found += score(list(rows[at : at + size]))
    trainer.model.train(was)
    return found


def weighted(base: Any, loss: Callable[[Any, Any, Batch, Any], Any], pairs: bool | None = None) -> Any:
    """One of TRL's trainer classes that takes row numbers (see `numbered`), and `loss` in place of its own.

    Args:
        loss: from trainer, model, batch and the step's whole weight to the batch's share of the step's loss.
        pairs: whether lengths are correlated over pairs or over answers; None where scores have no length to follow.
    """

    class Weighted(base):  # type: ignore[misc]  # TRL's has no types
        loss_is_scaled_for_ga = True

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """The run's own card is written with its folder."""

        def _get_num_items_in_batch(self, batch_samples: list[Batch], device: Any) -> Any:
            return step_weight(self, batch_samples, device) if batch_samples else None

        def compute_loss(
            self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            made = loss(self, model, inputs, num_items_in_batch)
            return (made, {}) if return_outputs else made

        def log(self, logs: dict[str, float], *given: Any, **more: Any) -> None:
            if pairs is not None:
                add_length_correlation(self, pairs=pairs)
            super().log(logs, *given, **more)

    return Weighted
