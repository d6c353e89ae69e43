"""Weights shared out over processes: torch's fully_shard (FSDP 2) on a model that a trainer is about to train.

    accelerate launch --use_fsdp --num_processes 2 -m train.dpo EXPORT --model MODEL

accelerate turns FSDP off without a word where there is no GPU, and its own way of sharing (a group of the last norm
and the head) breaks heads whose weight is used without calling them, as TRL's and ours do. So accelerate is told
nothing of it: each block is sharded by itself and all the rest with the model, on GPUs and on CPUs (gloo) alike.

Between steps a process holds its part of every weight, gradient and optimizer state. The model is loaded whole by each
process first, so it has to fit once; weights in 4 bits stay whole. A checkpoint has each process's part, and goes
with the number of processes it was written by.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import BadInput
from train.settings import DpoSettings, Settings

ASKED = "ACCELERATE_USE_FSDP"
"""What `accelerate launch --use_fsdp` sets for its processes."""
SHARDED = ("adamw_torch", "adafactor", "sgd")
"""Optimizers that can take a part of a weight."""


@contextlib.contextmanager
def taken_over() -> Iterator[bool]:
    """Within it neither accelerate nor transformers knows of FSDP; gives whether it was asked for."""
    asked = os.environ.get(ASKED, "").lower() == "true" and int(os.environ.get("WORLD_SIZE") or 1) > 1
    before = os.environ.pop(ASKED, None) if asked else None
    try:
        yield asked
    finally:
        if before is not None:
            os.environ[ASKED] = before


def check_sharded(settings: Settings) -> None:
    """Refuse settings that need whole weights in every process.

    Raises:
        BadInput: everything that stands against it, in one line.
    """
    told = []
    if settings.optimizer not in SHARDED:
        told.append(f"optimizer: {settings.optimizer} takes no parts of weights; take adamw_torch")
    if settings.anchor:
        told.append("anchor: needs whole weights; leave it at 0")
    if isinstance(settings, DpoSettings) and settings.method == "full" and not settings.precompute:
        told.append("precompute: false needs a whole second model; leave it true")
    if told:
        raise BadInput(f"FSDP: {'; '.join(told)}")


def share_out(trainer: Any) -> None:
    """Shard the trainer's model in place over all processes, and its checkpoints with it; before training begins."""
    import torch
    from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard

    model = trainer.model
    offload = os.environ.get("FSDP_OFFLOAD_PARAMS", "").lower() == "true" and trainer.args.device.type == "cuda"
    whole = {p for p in model.parameters() if not p.is_floating_point()}  # 4 bits: their constants go with them
    how: dict[str, Any] = {
        "offload_policy": CPUOffloadPolicy() if offload else OffloadPolicy(),
        "ignored_params": whole,
    }
    for block in _blocks(model):
        fully_shard(block, reshard_after_forward=True, **how)
    fully_shard(model, **how)
    # The trainer is to wrap nothing, as with a model that transformers has sharded while it was read.
    trainer.is_distributed_loading_by_transformers = True
    trainer.shared_out = True
    # Each pass gives its gradients away at once: they are summed in parts, and never whole in one place.
    trainer._defer_fsdp_gradient_reduction = contextlib.nullcontext
    trainer.save_model = _saves_no_whole
    trainer._save_optimizer_and_scheduler = lambda to: _save_part(trainer, Path(to))
    trainer._load_from_checkpoint = lambda at, model=None: _load_weights(trainer, Path(at))
    trainer._load_optimizer_and_scheduler = lambda at: _load_optimizer(trainer, at)
    torch.distributed.barrier()


def _blocks(model: Any) -> list[Any]:
    """The model's blocks: the modules of its longest list of layers."""
    import torch

    lists = [one for one in model.modules() if isinstance(one, torch.nn.ModuleList) and len(one)]
    return list(max(lists, key=lambda one: sum(p.numel() for p in one.parameters()), default=[]))


def whole_state(model: Any, *, adapter: bool) -> dict[str, Any]:
    """All weights in one place, on the CPU; every process has to take part.

    Args:
        adapter: leave out what is frozen.
    """
    import torch

    trained = {name for name, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    state = {}
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor) and (not adapter or name in trained):
            full = value.full_tensor() if hasattr(value, "full_tensor") else value
            state[name] = full.detach().cpu()
    return state


def _saves_no_whole(to: str | None = None, **_: Any) -> None:
    if to:
        os.makedirs(to, exist_ok=True)


def _trained(trainer: Any) -> dict[str, Any]:
    return {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}


def _local(value: Any) -> Any:
    return value.to_local().detach().cpu() if hasattr(value, "to_local") else value


def _part(trainer: Any, at: Path) -> Path:
    return at / f"part-{trainer.args.process_index}-of-{trainer.args.world_size}.pt"


def _save_part(trainer: Any, to: Path) -> None:
    """This process's part of weights and optimizer; the schedule once."""
    import torch

    optimizer = trainer.optimizer.state_dict()
    optimizer["state"] = {
        number: {key: _local(value) for key, value in one.items()} for number, one in optimizer["state"].items()
    }
    weights = {name: _local(p) for name, p in _trained(trainer).items()}
    torch.save({"weights": weights, "optimizer": optimizer}, _part(trainer, to))
    if trainer.args.should_save:
        torch.save(trainer.lr_scheduler.state_dict(), to / "scheduler.pt")


def _load_weights(trainer: Any, at: Path) -> None:
    import torch

    weights = torch.load(_part(trainer, at), weights_only=True)["weights"]
    with torch.no_grad():
        for name, p in _trained(trainer).items():
            p.to_local().copy_(weights[name])


def _load_optimizer(trainer: Any, at: str | None) -> None:
    """The optimizer's state as it was, each part where its weight's part is."""
    if at is None:
        return
    import torch
    from torch.distributed.tensor import DTensor

    state = torch.load(_part(trainer, Path(at)), weights_only=True)["optimizer"]
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    for number, kept in state["state"].items():
        p = parameters[number]
        for key, value in kept.items():
            if isinstance(value, torch.Tensor) and value.shape == p.to_local().shape and value.dim():
                there = value.to(p.to_local().device)
                kept[key] = DTensor.from_local(
                    there, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride()
                )
    trainer.optimizer.load_state_dict(state)
    trainer.lr_scheduler.load_state_dict(torch.load(Path(at) / "scheduler.pt", weights_only=True))
