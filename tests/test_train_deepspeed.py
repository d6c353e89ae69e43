"""A DeepSpeed configuration is held against the settings before anything is loaded; it is not run here."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from training import asked, export

from data.errors import BadInput, NotThere
from train.deepspeed_config import check_deepspeed
from train.running import run
from train.settings import CONFIGS, read_settings

ZERO2, ZERO3 = (CONFIGS / f"deepspeed_zero{stage}.json" for stage in (2, 3))


def told(place: Path, config: Any, *given: str, task: str = "dpo") -> str:
    """What read_settings says of a file with this in it."""
    file = place / "ds.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
    with pytest.raises(BadInput) as caught:
        read_settings(task, None, [f"deepspeed={file}", *given], "m")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("task", ["sft", "reward", "dpo", "kto"])
def test_the_files_that_come_along_fit(task: str) -> None:
    for given in ((), ("method=full",), ("method=qlora", "dtype=bfloat16")):
        assert read_settings(task, None, [f"deepspeed={ZERO2}", *given], "m").deepspeed == str(ZERO2)
    assert read_settings("reward", None, [f"deepspeed={ZERO3}", "dtype=float32"], "m").deepspeed == str(ZERO3)


@pytest.mark.parametrize(
    ("config", "given", "part"),
    [
        ({"train_batch_sise": 4}, [], "did you mean 'train_batch_size'"),
        ({"zero_optimization": {"stag": 2}}, [], "did you mean 'stage'"),
        ({"zero_optimization": {"stage": 4}}, [], "not 0, 1, 2 or 3"),
        ({"train_micro_batch_size_per_gpu": 8}, ["batch=4"], "is 8, and batch is 4"),
        ({"gradient_accumulation_steps": 2}, [], "and accumulation is 1"),
        ({"gradient_clipping": 0.5}, [], "and max_grad_norm is 1.0"),
        ({"bf16": {"enabled": True}}, ["dtype=float32"], "bf16.enabled is true, and dtype is float32"),
        ({"fp16": {"enabled": False}}, ["dtype=float16"], "fp16.enabled is false, and dtype is float16"),
        ({"bf16": {"enabled": True}, "fp16": {"enabled": True}}, [], "cannot both be enabled"),
        ({"optimizer": {"type": "AdamW"}}, [], "leave it out"),
        ({"zero_optimization": {"stage": 3}}, ["method=qlora"], "cannot share out weights in 4 bits"),
        ({"zero_optimization": {"stage": 3}}, [], "reads without calling it"),
        ({"zero_optimization": {"stage": 3}}, ["dtype=bfloat16"], "wants one dtype"),
        ({"zero_optimization": {"stage": 3}}, [], "has to be true, or no whole model can be saved"),
        ({"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, [], "wants stage 3"),
        ({"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}}}, [], "nvme_path is missing"),
        ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}, [], "zero_force_ds_cpu_opt"),
        ({}, ["device=cpu"], "wants GPUs"),
        ([], [], "holds no keys"),
        ("{", [], "is no file of JSON"),
    ],
)
def test_what_does_not_fit_is_told(config: Any, given: list[str], part: str, tmp_path: Path) -> None:
    assert part in told(tmp_path, config, *given)


def test_a_whole_batch_that_is_not_ours_is_told_where_the_processes_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "train_batch_size is 4, and batch · accumulation · 2 processes is 8" in told(
        tmp_path, {"train_batch_size": 4}
    )


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_without_deepspeed_a_run_is_refused_and_told_what_was_validated(tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "pairs", "dpo", rows=2, held_out=0)
    one = asked("dpo", folder, tiny, tmp_path)
    with pytest.raises(NotThere, match=r"validated; DeepSpeed has not been run here\), and it is not installed"):
        run(one._replace(given=(f"deepspeed={ZERO2}",)))


def test_deepspeed_by_the_launcher_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings("dpo", model="m")
    assert check_deepspeed(settings) == ""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(BadInput, match="deepspeed=FILE"):
        check_deepspeed(settings)
