"""Log-probabilities of pairs under the policy and under its reference, for a trainer of train.dpo_trainer.

The reference is the policy as it stood before the first step: a new adapter's base, an adapter's first weights, or
the whole model read again.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.command import progress
from data.errors import BadInput
from train.answer_head import add_head, answer_logps
from train.answer_layout import lay_out
from train.reference import Both, as_at_start, by_length, key_of, reference_table, weights_hash
from train.rows import Row
from train.tokens import Tokens

if TYPE_CHECKING:
    from torch import Tensor


def laid(trainer: Any, tokens: Sequence[Tokens]) -> "dict[str, Tensor]":
    """Pairs as the trainer's batches lay them out, on the CPU."""
    pad = trainer.processing_class.pad_token_id
    prompts = trainer.given.settings.loss == "orpo"
    return lay_out(tokens, 0 if pad is None else pad, shared=trainer.shared, prompts=prompts)


def make_reference(trainer: Any, adapter: bool) -> None:
    """Compute or read the reference of every row; or keep what is needed to compute it at every step."""
    settings, setup = trainer.given.settings, trainer.given
    if not settings.precompute:
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise BadInput("precompute: false needs whole weights on each device; leave it true for FSDP and DeepSpeed")
        if not adapter:
            trainer.start = {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
        return
    folder, about = _cache_folder(setup.arguments.get("output_dir")), _about(trainer, adapter)
    for rows in (setup.train, setup.validation):
        pairs = [row.tokens for row in rows]
        found = reference_table(pairs, lambda some: _at_step_0(trainer, some), about=about, folder=folder)
        trainer.reference |= {key_of(one): both for one, both in zip(pairs, found, strict=True)}
    if not adapter:
        trainer.start = {}


def _at_step_0(trainer: Any, pairs: Sequence[Tokens]) -> list[Both]:
    """Before the first step the policy is the reference; a new adapter is passed over."""
    with as_at_start(trainer.model, None) if trainer.start is None else nullcontext():
        return pair_logps(trainer, pairs, "the reference's log-probabilities")


def _cache_folder(output: Any) -> Path | None:
    """WORKSPACE/cache/reference of a run in WORKSPACE/runs; elsewhere beside what the run writes."""
    if output is None:
        return None
    at = Path(output).absolute()
    runs = next((one for one in at.parents if one.name == "runs"), None)
    return (runs.parent if runs else at) / "cache" / "reference"


def _about(trainer: Any, adapter: bool) -> dict[str, Any]:
    """What a row's log-probability depends on besides its tokens."""
    import torch
    import transformers

    config = trainer.model.config
    return {
        "weights": weights_hash(trainer.model, without_adapter=adapter and trainer.start is None),
        "config": sorted((k, repr(v)) for k, v in config.to_dict().items() if not k.startswith("_name")),
        "attention": getattr(config, "_attn_implementation", ""),
        "shared": trainer.shared,
        "batch": _score_batch(trainer),
        "mixed": [trainer.args.bf16, trainer.args.fp16],
        "device": trainer.args.device.type,
        "threads": torch.get_num_threads() if trainer.args.device.type == "cpu" else 0,
        "versions": [torch.__version__, transformers.__version__],
        "devices": trainer.args.world_size,
    }


def _score_batch(trainer: Any) -> int:
    """Pairs of one pass without gradients: twice a training batch fits where that does."""
    return 2 * int(trainer.args.per_device_train_batch_size)


def pair_logps(trainer: Any, pairs: Sequence[Tokens], what: str) -> list[Both]:
    """log π of both answers of each pair, in order, by the model as it stands, in evaluation mode."""
    import torch

    batches = by_length(pairs, _score_batch(trainer))
    world, rank = trainer.args.world_size, trainer.args.process_index
    model = trainer.model
    training = model.training
    found: dict[int, Both] = {}
    # As many passes on every device, or sharded ones would wait for each other.
    mine = [batches[(at + rank) % len(batches)] for at in range(0, len(batches), world)]
    model.eval()
    try:
        with torch.no_grad(), trainer.compute_loss_context_manager(), progress(what, len(pairs)) as step:
            for numbers in mine:
                batch = trainer._prepare_inputs(laid(trainer, [pairs[i] for i in numbers]))
                parts = 3 if trainer.given.settings.loss == "orpo" else 2
                both = answer_logps(model, batch, shared=trainer.shared, parts=parts)[: 2 * len(numbers)].tolist()
                found |= {i: (both[k], both[len(numbers) + k]) for k, i in enumerate(numbers)}
                step(len(numbers) * world)
    finally:
        model.train(training)
    if world > 1:
        from accelerate.utils import gather_object  # type: ignore[import-untyped, unused-ignore]

        found = dict(gather_object(list(found.items())))
    return [found[i] for i in range(len(pairs))]


def reference_now(trainer: Any, model: Any, batch: "dict[str, Tensor]") -> "Tensor":
    """The reference's log-probabilities of a batch, computed in this step."""
    import torch

    model = trainer.accelerator.unwrap_model(model)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), as_at_start(model, trainer.start):
            return answer_logps(model, batch, shared=trainer.shared)
    finally:
        model.train(training)


def score_rows(trainer: Any, rows: Sequence[Row]) -> list[Both]:
    """β · (log π − log π_ref) of the chosen and the rejected answer of each row, in order, in nats.

    Of ORPO, which has no reference: β · mean log π over the answer's tokens. Rows that the trainer was not made with
    are scored by the reference too: the adapter off, its first weights, or the start model read again.
    """
    if not rows:
        return []
    settings = trainer.given.settings
    pairs = [row.tokens for row in rows]
    now = pair_logps(trainer, pairs, "scores")
    if settings.loss == "orpo":
        size = [(len(one.chosen), len(one.rejected)) for one in pairs]
        return [(settings.beta * c / n, settings.beta * r / m) for (c, r), (n, m) in zip(now, size, strict=True)]
    unknown = [one for one in pairs if key_of(one) not in trainer.reference]
    if unknown:
        trainer.reference |= dict(zip(map(key_of, unknown), _reference_later(trainer, unknown), strict=True))
    known = [trainer.reference[key_of(one)] for one in pairs]
    return [(settings.beta * (c - a), settings.beta * (r - b)) for (c, r), (a, b) in zip(now, known, strict=True)]


def _reference_later(trainer: Any, pairs: Sequence[Tokens]) -> list[Both]:
    """The reference's log-probabilities of pairs that come after training has begun."""
    if trainer.start != {}:
        with as_at_start(trainer.model, trainer.start):
            return pair_logps(trainer, pairs, "the reference's log-probabilities")
    from train.loading import load_causal

    trained = trainer.model
    where = trained.config._name_or_path or trainer.given.settings.model
    started = load_causal(where, dtype=trainer.given.settings.dtype).to(trained.device)
    add_head(started)
    trainer.model = started
    try:
        return pair_logps(trainer, pairs, "the reference's log-probabilities")
    finally:
        trainer.model = trained
