"""Two processes on one CPU train as one does, weights and all (DDP; accelerate has no FSDP without a GPU)."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from training import asked, export

from train.running import run


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_two_processes_take_the_steps_that_one_takes(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = export(tmp_path / "exports" / "pairs", rows=8, held_out=2)
    given = ("steps=2", "weights=agreement", "soft_labels=true", "warmup=0", "optimizer=sgd", "learning_rate=0.5")
    one = asked("reward", folder, tiny, tmp_path, *given, "batch=4", out=tmp_path / "one")
    run(one)
    words = [str(folder), "--model", str(tiny), "--workspace", str(tmp_path), "--out", str(tmp_path / "two")]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "train.reward", *words, "--set", *one.given, "batch=2"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("digest") == 1  # one process speaks
    a, b = (load_file(tmp_path / name / "model" / "adapter_model.safetensors") for name in ("one", "two"))
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=1e-6), name
