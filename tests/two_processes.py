"""What one of two processes does in tests of training over several: DDP, FSDP, and FSDP stopped and taken up again.

accelerate launch --use_fsdp --num_processes 2 tests/two_processes.py WORKSPACE EXPORT MODEL KEY=VALUE …
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from training import asked

import train.running as running


def shapes_of(trainer: Any) -> dict[str, Any]:
    """Of each weight: its shape, this process's part of it, and how torch says it lies."""
    return {
        name: [list(p.shape), list(p.to_local().shape), [str(one) for one in p.placements]]
        for name, p in trainer.model.named_parameters()
        if hasattr(p, "placements")
    }


def stopping(trainer: Any, *given: Any) -> None:
    """A run that ends, as if killed, as soon as its first checkpoint is whole."""
    GUARD(trainer, *given)
    write = trainer._save_checkpoint

    def write_and_stop(*some: Any, **more: Any) -> None:
        write(*some, **more)
        trainer.accelerator.wait_for_everyone()
        raise KeyboardInterrupt

    trainer._save_checkpoint = write_and_stop


GUARD, SHARE = running.guard, running.share_out


def main() -> None:
    """Every run in turn; what was sharded goes to WORKSPACE/shards-RANK.json."""
    workspace, export, model = (Path(one) for one in sys.argv[1:4])
    given = sys.argv[4:]
    from accelerate.state import AcceleratorState, PartialState

    found: dict[str, Any] = {}

    def sharing(trainer: Any) -> None:
        SHARE(trainer)
        found.update(shapes_of(trainer))

    running.share_out = sharing
    fsdp = os.environ.pop("ACCELERATE_USE_FSDP")  # set by the launcher
    running.run(asked("dpo", export, model, workspace, *given, out=workspace / "ddp"))
    assert not found
    os.environ["ACCELERATE_USE_FSDP"] = fsdp
    running.run(asked("dpo", export, model, workspace, *given, out=workspace / "fsdp"))
    (workspace / f"shards-{PartialState().process_index}.json").write_text(json.dumps(found))
    again = asked("dpo", export, model, workspace, *given, "save_every=2", out=workspace / "again")
    running.guard = stopping
    with pytest.raises(KeyboardInterrupt):
        running.run(again)
    running.guard = GUARD
    running.run(again)
    kept = [one for one in given if not one.startswith(("soft_labels", "lora."))]
    full = (*kept, "method=full", "learning_rate=1e-3")
    running.run(asked("sft", export.with_name("answers"), model, workspace, *full, out=workspace / "full"))
    AcceleratorState._reset_state(True)


if __name__ == "__main__":
    main()
