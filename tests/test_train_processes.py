"""Two processes on one CPU train as one does, weights and all: with copies of the weights (DDP), or parts (FSDP)."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training import asked, export, lines

from data.errors import BadInput
from train.running import run
from train.settings import read_settings
from train.sharding import check_sharded

GIVEN = ("steps=4", "weights=agreement", "soft_labels=true", "warmup=0", "accumulation=2", "lora.dropout=0")
FULL = ("steps=4", "weights=agreement", "warmup=0", "accumulation=2")


TORCH = ("torch.distributed.run", "--nproc_per_node", "2", "--master_port")
ACCELERATE = (
    *("accelerate.commands.launch", "--use_fsdp", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port"),
)
"""`accelerate launch`, with all said that it would ask or guess."""


def launch(workspace: Path, by: tuple[str, ...], *words: str) -> "subprocess.CompletedProcess[str]":
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent)])
    return subprocess.run(
        [sys.executable, "-m", *by, str(port), *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        cwd=workspace,
        check=False,
    )


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    (found,) = (run_folder / "model").glob("*.safetensors")
    return load_file(found)


def assert_alike(one: Path, other: Path) -> None:
    """Weights to 2e-5 (they are of the order of 0.1), losses and held-out scores to 1e-4."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=2e-5), name
    for file in ("audit/metrics.jsonl", "data/held_out.jsonl"):
        for x, y in zip(lines(one / file), lines(other / file), strict=True):
            even = abs(x.get("margin", 1)) < 1e-5  # at the start no answer is ahead but by rounding
            for key in (
                "loss",
                *(() if even else ("accuracy",)),
                "margin",
                "length_correlation",
                "tokens",
                "chosen",
                "rejected",
            ):
                same = x.get(key) == y.get(key)
                assert same or x[key] == pytest.approx(y[key], rel=1e-4, abs=1e-4), (file, key)


def test_two_processes_take_the_steps_that_one_takes(tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "pairs", rows=8, held_out=2)
    given = ("steps=2", "weights=agreement", "soft_labels=true", "warmup=0", "optimizer=sgd", "learning_rate=0.5")
    one = asked("reward", folder, tiny, tmp_path, *given, "batch=4", out=tmp_path / "one")
    run(one)
    words = [str(folder), "--model", str(tiny), "--workspace", str(tmp_path), "--out", str(tmp_path / "two")]
    done = launch(tmp_path, TORCH, "-m", "train.reward", *words, "--set", *one.given, "batch=2")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("digest") == 1  # one process speaks
    assert_alike(tmp_path / "one", tmp_path / "two")


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with runs `one` and `one-full` of one process, and ddp, fsdp, again and full of two."""
    workspace = tmp_path_factory.mktemp("processes")
    folder = export(workspace / "exports" / "pairs", "dpo", rows=8, held_out=2)
    answers = export(workspace / "exports" / "answers", "sft", rows=8, held_out=2)
    run(asked("dpo", folder, tiny, workspace, *GIVEN, "batch=2", out=workspace / "one"))
    full = (*FULL, "batch=2", "method=full", "learning_rate=1e-3")
    run(asked("sft", answers, tiny, workspace, *full, out=workspace / "one-full"))
    words = [str(workspace), str(folder), str(tiny), *GIVEN, "batch=1"]
    done = launch(workspace, ACCELERATE, str(Path(__file__).parent / "two_processes.py"), *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return workspace


def test_dpo_with_copies_of_the_weights(runs: Path) -> None:
    assert_alike(runs / "one", runs / "ddp")


def test_dpo_with_parts_of_the_weights(runs: Path) -> None:
    assert_alike(runs / "one", runs / "fsdp")


def test_each_process_holds_its_part_of_every_weight(runs: Path) -> None:
    first, second = (json.loads((runs / f"shards-{rank}.json").read_text()) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert any("lora_A" in name for name in first)
    assert any("embed_tokens" in name for name in first)
    for name, (whole, mine, placed) in first.items():
        other = second[name][1]
        assert placed == ["S(0)"] or placed == ["Shard(dim=0)"], name
        assert mine[0] == -(-whole[0] // 2), name  # half of its rows, the odd one with the first
        assert mine[0] + other[0] == whole[0], name
        assert mine[1:] == other[1:] == whole[1:], name


def test_a_run_in_parts_goes_on_from_its_checkpoint_with_the_same_bytes(runs: Path) -> None:
    assert not (runs / ".again.checkpoints").exists()
    a, b = weights(runs / "fsdp"), weights(runs / "again")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert lines(runs / "fsdp" / "data" / "held_out.jsonl") == lines(runs / "again" / "data" / "held_out.jsonl")


def test_a_whole_model_in_parts_is_saved_whole(runs: Path) -> None:
    assert_alike(runs / "one-full", runs / "full")
    told = [json.loads((runs / name / "model" / "config.json").read_text()) for name in ("one-full", "full")]
    assert told[0] == told[1]


def test_what_needs_whole_weights_is_refused_in_one_line() -> None:
    given = ("method=full", "precompute=false", "optimizer=adamw_8bit", "anchor=0.1")
    with pytest.raises(BadInput, match=r"optimizer.*anchor.*precompute") as error:
        check_sharded(read_settings("dpo", None, given, "m"))
    assert "\n" not in str(error.value)
