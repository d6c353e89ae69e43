"""A run from what was typed to a whole folder: taken up where it was killed, refused in one line."""

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training import ROWS, asked, export, lines, preference, start

from data.errors import BadInput, NotThere, Refused
from data.folder import write_folder
from data.manifest import read_manifest, verify_folder
from train import checkpoints, metrics, running, sft_trainer
from train.checkpoints import last_whole, place_of, step_of
from train.devices import find_dtype, on_this_machine
from train.held_out import auc
from train.loading import open_model
from train.running import run

RESUMES = ("steps=5", "save_every=2", "eval_every=3", "lora.dropout=0.1", "accumulation=2", "batch=2")


class Killed(BaseException):
    """Ends a run where it stands, as kill -9 does, without its tidying up being asked."""


def model_bytes(run_folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run_folder / "model").iterdir())}


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, do: Callable[[], None]) -> None:
    """Do something when this step is logged, once."""
    add = metrics.Recorder.add

    def added(self: metrics.Recorder, now: int, epoch: float, logs: dict[str, Any]) -> None:
        add(self, now, epoch, logs)
        if now == step and "loss" in logs:
            monkeypatch.setattr(metrics.Recorder, "add", add)
            do()

    monkeypatch.setattr(metrics.Recorder, "add", added)


def kill() -> None:
    raise Killed


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An export, and a run on it that nothing interrupted."""
    place = tmp_path_factory.mktemp("whole")
    folder = export(place / "exports" / "pairs")
    run(asked("reward", folder, tiny, place, *RESUMES))
    return folder, place / "runs" / "reward-pairs-model"


@pytest.mark.parametrize("step", [4, 5])
def test_a_run_killed_at_any_step_ends_with_the_same_bytes(
    step: int, whole: tuple[Path, Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = whole
    workspace = done.parents[1]
    again = asked("reward", folder, tiny, workspace, *RESUMES, out=done.with_name(f"again-{step}"))
    at_step(monkeypatch, step, kill)
    with pytest.raises(Killed):
        run(again)
    assert not (done.with_name(f"again-{step}")).exists()
    summary = run(again)
    # Step 4 is logged before its checkpoint is written.
    assert summary["resumed_from_step"] == {4: 2, 5: 4}[step]
    assert model_bytes(done.with_name(f"again-{step}")) == model_bytes(done)
    assert summary["digest"] == read_manifest(done).digest
    told = [(x["step"], x["split"]) for x in lines(done.with_name(f"again-{step}") / "audit" / "metrics.jsonl")]
    assert told == [(x["step"], x["split"]) for x in lines(done / "audit" / "metrics.jsonl")]
    assert not place_of(done.with_name(f"again-{step}")).exists()


def test_dpo_goes_on_with_the_same_reference(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export(tmp_path / "exports" / "pairs", rows=8, held_out=2)
    few = ("steps=3", "save_every=2", "beta=0.5", "soft_labels=true", "weights=agreement")
    one, two = (asked("dpo", folder, tiny, tmp_path, *few, out=tmp_path / name) for name in ("one", "two"))
    done = run(one)
    at_step(monkeypatch, 3, kill)
    with pytest.raises(Killed):
        run(two)
    again = run(two)
    assert again["resumed_from_step"] == 2
    assert again["digest"] == done["digest"]
    assert model_bytes(tmp_path / "one") == model_bytes(tmp_path / "two")


# With one checkpoint whole it leaves the second unfinished: however late the kill comes, the run is not over.
STOPS_SHORT = """
import signal
from train import checkpoints
seal = checkpoints.seal
def first_alone(checkpoint):
    if checkpoints.last_whole(checkpoint.parent):
        signal.pause()
    seal(checkpoint)
checkpoints.seal = first_alone
"""


def test_a_process_that_was_killed_goes_on_from_its_last_whole_checkpoint(
    whole: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    folder, done = whole
    workspace = done.parents[1]
    out = done.with_name("killed")
    process = start("reward", folder, tiny, workspace, *RESUMES, more=["--out", str(out)], first=STOPS_SHORT)
    place = place_of(out)
    while last_whole(place) is None and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = last_whole(place)
    assert kept is not None
    # A checkpoint that the kill cut short does not count, and neither does one that has changed since.
    half = place / "checkpoint-5"
    half.mkdir()
    (half / "optimizer.pt").write_bytes(b"half")
    wrong = place / "checkpoint-7"
    shutil.copytree(kept, wrong, dirs_exist_ok=True)
    (wrong / "optimizer.pt").write_bytes(b"other")
    assert last_whole(place) == kept
    summary = run(asked("reward", folder, tiny, workspace, *RESUMES, out=out))
    assert summary["digest"] == read_manifest(done).digest
    assert model_bytes(out) == model_bytes(done)


def test_ctrl_c_ends_after_the_step_with_a_checkpoint_of_it(
    whole: tuple[Path, Path], tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, done = whole
    out = done.with_name("stopped")
    again = asked("reward", folder, tiny, done.parents[1], *RESUMES, out=out)
    at_step(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(again)
    assert "stopping after this step" in capsys.readouterr().err
    assert step_of(last_whole(place_of(out)) or out) == 3
    assert run(again)["resumed_from_step"] == 3
    assert model_bytes(out) == model_bytes(done)


@pytest.mark.parametrize("limit", [9_000, 30_000])
def test_a_full_disk_leaves_the_last_checkpoint_whole_and_says_what_to_do(
    limit: int, whole: tuple[Path, Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = whole
    out = done.with_name(f"full-{limit}")
    again = asked("reward", folder, tiny, done.parents[1], *RESUMES, out=out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    seal = checkpoints.seal

    def sealed(checkpoint: Path) -> None:
        seal(checkpoint)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # the system refuses greater files from here on

    monkeypatch.setattr(checkpoints, "seal", sealed)
    try:
        with pytest.raises(BadInput, match=r"disk is full .* make room and run the same command again.*from step 2"):
            run(again)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    place = place_of(out)
    assert [one.name for one in place.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not out.exists()
    monkeypatch.setattr(checkpoints, "seal", seal)
    assert run(again)["resumed_from_step"] == 2
    assert model_bytes(out) == model_bytes(done)


def test_checkpoints_of_another_run_are_not_gone_on_from(
    whole: tuple[Path, Path], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = whole
    out = done.with_name("other")
    at_step(monkeypatch, 3, kill)
    with pytest.raises(Killed):
        run(asked("reward", folder, tiny, done.parents[1], *RESUMES, out=out))
    other = asked("reward", folder, tiny, done.parents[1], *RESUMES, "seed=5", out=out)
    with pytest.raises(Refused, match="up to step 2 of a run with other settings or data; --fresh"):
        run(other)
    assert run(other._replace(fresh=True))["resumed_from_step"] is None


@pytest.mark.parametrize("task", ["sft"])
def test_a_run_in_four_bits_learns_after_every_evaluation_as_without(task: str, tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "answers", task)
    made = {}
    for every in (0, 1):
        out = tmp_path / f"run-{every}"
        run(asked(task, folder, tiny, tmp_path, "method=qlora", "steps=2", f"eval_every={every}", out=out))
        made[every] = model_bytes(out)["adapter_model.safetensors"]
        norms = [x["grad_norm"] for x in lines(out / "audit" / "metrics.jsonl") if "grad_norm" in x]
        assert len(norms) == 2
        assert min(norms) > 0
    assert made[0] == made[1]
    validated = [x for x in lines(tmp_path / "run-1" / "audit" / "metrics.jsonl") if x["split"] == "validation"]
    assert [x["step"] for x in validated] == [1, 2]


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_reward_models_folder_gives_the_scores_it_was_written_with(method: str, tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "pairs")
    run(asked("reward", folder, tiny, tmp_path, f"method={method}", "steps=1", "soft_labels=true"))
    out = tmp_path / "runs" / "reward-pairs-model"
    assert verify_folder(out) == []
    torch.manual_seed(77)
    found = open_model(str(out), kind="reward")
    (first, *_) = lines(out / "data" / "held_out.jsonl")
    for side in ("chosen", "rejected"):
        row = preference(100)
        ids = found.tokenizer.apply_chat_template([*row["prompt"], *row[side]], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            score = float(found.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
        assert score == pytest.approx(first[side], abs=1e-4)


def test_a_runs_folder_has_everything_and_its_pages(whole: tuple[Path, Path]) -> None:
    _, done = whole
    assert verify_folder(done) == []
    manifest = read_manifest(done)
    assert manifest.what == "reward run"
    assert {"task", "settings", "export", "model", "base", "template"} <= manifest.config.keys()
    for name in ("README.md", "report.html", "audit/config.yaml", "model/chat_template.jinja"):
        assert (done / name).is_file()
    held = lines(done / "data" / "held_out.jsonl")
    assert [x["id"] for x in held] == [f"p{n}" for n in (100, 101, 102, 103, 200, 201, 202, 203)]
    assert all(x["correct"] == float(x["chosen"] > x["rejected"]) for x in held)
    told = lines(done / "audit" / "metrics.jsonl")
    trained = [x for x in told if x["split"] == "train"]
    assert [x["step"] for x in trained] == [1, 2, 3, 4, 5]
    assert {"loss", "accuracy", "margin", "length_correlation", "tokens", "seconds", "memory_bytes"} <= trained[
        0
    ].keys()
    log = (done.parents[1] / "reports" / "posttrain" / "experiment-log.md").read_text("utf-8")
    assert "reward-pairs-model" in log


def test_the_same_run_in_another_place_has_the_same_digest(tiny: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        shutil.copytree(tiny, tmp_path / name / "tiny")
        folder = export(tmp_path / name / "exports" / "pairs", "sft", rows=4, held_out=1)
        digests.append(run(asked("sft", folder, tmp_path / name / "tiny", tmp_path / name, "steps=1"))["digest"])
    assert digests[0] == digests[1]


def test_a_run_of_kto_tells_its_auc_on_held_out_answers(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ROWS["kto"]
    monkeypatch.setitem(ROWS, "kto", lambda n: {**make(n), "cluster": f"c{n // 2}"})
    folder = export(tmp_path / "exports" / "kto", "kto", rows=24, held_out=48)
    done = tmp_path / "runs" / "one"
    summary = run(asked("kto", folder, tiny, tmp_path, "steps=6", out=done))
    share = auc([row for row in lines(done / "data/held_out.jsonl") if row["split"] == "test"], "test")
    assert share is not None
    assert share.low is not None
    assert share.high is not None
    told = {key: summary[key] for key in summary if key.startswith("test_auc")}
    assert told == {
        "test_auc": round(share.value, 4),
        "test_auc_interval": [round(share.low, 4), round(share.high, 4)],
        "test_auc_n": 48,
        "test_auc_clusters": share.clusters,
    }
    assert share.value > 0.9
    ends = [line for line in lines(done / "audit/metrics.jsonl") if line["split"] == "test"]
    assert [(line["auc"], line["auc_low"], line["n"]) for line in ends] == [(share.value, pytest.approx(share.low), 48)]


def test_a_run_goes_on_from_another_runs_adapter(tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    run(asked("sft", folder, tiny, tmp_path, "steps=1", out=tmp_path / "runs" / "first"))
    pairs = export(tmp_path / "exports" / "kto", "kto", rows=4, held_out=0)
    run(asked("kto", pairs, tmp_path / "runs" / "first", tmp_path, "steps=1", out=tmp_path / "runs" / "second"))
    assert sorted(p.name for p in (tmp_path / "runs" / "second" / "model").iterdir()) == sorted(
        p.name for p in (tmp_path / "runs" / "first" / "model").iterdir()
    )
    assert open_model(str(tmp_path / "runs" / "second")).base == str(tiny.resolve())
    with pytest.raises(Refused, match="merge it first"):
        run(asked("sft", folder, tmp_path / "runs" / "first", tmp_path, "method=full"))


def test_another_method_of_peft_by_configuration(tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=1)
    ia3 = "peft={peft_type: IA3, target_modules: [k_proj, down_proj], feedforward_modules: [down_proj]}"
    summary = run(asked("sft", folder, tiny, tmp_path, "method=peft", ia3, "steps=1"))
    assert 0 < summary["trained_weights"] < 1000
    config = json.loads((Path(summary["wrote"]) / "model" / "adapter_config.json").read_text("utf-8"))
    assert config["peft_type"] == "IA3"


def test_all_weights_are_held_near_their_start_by_the_anchor(tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    before = {name: p.detach().clone() for name, p in open_model(str(tiny)).model.named_parameters()}
    moved = []
    for anchor in (0, 1000):
        out = tmp_path / f"run-{anchor}"
        run(asked("sft", folder, tiny, tmp_path, "method=full", "optimizer=sgd", "steps=3", "learning_rate=1e-3",
                  "warmup=0", "schedule=constant", f"anchor={anchor}", out=out))  # fmt: skip
        after = open_model(str(out)).model
        moved.append(sum(float(((p - before[name]) ** 2).sum().detach()) for name, p in after.named_parameters()))
    # Each step of SGD takes away a · lr = all that was moved before, so only the last step's move is left.
    assert 0 < moved[1] < moved[0] / 4


def test_memory_that_runs_out_says_what_to_lower(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sft_trainer, "_loss", full)
    with pytest.raises(BadInput, match=r"out of memory .* batch=2 with accumulation=2 .* gradient_checkpointing=true"):
        run(asked("sft", folder, tiny, tmp_path))
    log = (tmp_path / "reports" / "posttrain" / "experiment-log.md").read_text("utf-8")
    assert "| failed |" in log


def no_weights(*_: Any, **__: Any) -> None:
    raise AssertionError("weights were loaded")


def refusal(monkeypatch: pytest.MonkeyPatch, kind: type[Exception], one: Any) -> str:
    monkeypatch.setattr("train.loading.open_model", no_weights)
    with pytest.raises(kind) as caught:
        run(one)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_export_that_has_changed_is_refused_unless_told(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    path = folder / "data" / "train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"blue", b"grey"))
    assert "not as it was written" in refusal(monkeypatch, Refused, asked("sft", folder, tiny, tmp_path))
    monkeypatch.undo()
    summary = run(asked("sft", folder, tiny, tmp_path, "steps=1", unverified=True))
    config = read_manifest(Path(summary["wrote"])).config
    assert config["export"].startswith("unverified:")


def test_bad_input_is_one_line_before_any_weight_is_loaded(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    told = refusal(monkeypatch, BadInput, asked("reward", answers, tiny, tmp_path))
    assert "reward cannot take an export of sft; export again with --format trl" in told
    with write_folder(tmp_path / "odd", "export", {}) as folder:
        folder.write("data/train.jsonl", [{"text": "a"}])
    told = refusal(monkeypatch, BadInput, asked("sft", tmp_path / "odd", tiny, tmp_path))
    assert "no columns prompt" in told
    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare)
    (bare / "chat_template.jinja").unlink()
    told = refusal(monkeypatch, BadInput, asked("sft", answers, bare, tmp_path))
    assert "has no chat template" in told
    (bare / "tokenizer_config.json").unlink()
    told = refusal(monkeypatch, NotThere, asked("sft", answers, bare, tmp_path))
    assert "has no tokenizer" in told
    told = refusal(monkeypatch, BadInput, asked("sft", answers, tiny, tmp_path, "bacth=1", "lora.rank=0"))
    assert told.startswith("2 problems in the settings")
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_a_gpu_that_is_not_there_is_refused(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    for given, part in (
        ("device=cuda", "there is no GPU"),
        ("dtype=float16", "float16 wants a GPU"),
        ("optimizer=paged_adamw_8bit", "wants a GPU"),
    ):
        with pytest.raises((NotThere, BadInput), match=part):
            on_this_machine(running.settings_of(asked("sft", folder, tiny, tmp_path, "device=auto", given)))


def test_rows_that_preflight_would_lose_refuse_the_run_and_are_left_out_where_allowed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = preference(50, chosen=[{"role": "assistant", "content": "long " * 90}])
    same = preference(51, chosen=preference(51)["rejected"])
    with write_folder(tmp_path / "exports" / "mixed", "export", {}) as folder:
        folder.write("data/train.jsonl", [*(preference(n) for n in range(6)), long, same])
    one = asked("reward", tmp_path / "exports" / "mixed", tiny, tmp_path, "steps=1")
    told = refusal(monkeypatch, Refused, one)
    assert "2 of 8 rows would be cut or dropped, first p50" in told
    assert "--set allow_loss=0.25" in told
    monkeypatch.undo()
    summary = run(one._replace(given=(*one.given, "allow_loss=0.25")))
    assert summary["rows"]["train"] == 6
    listed = lines(Path(summary["wrote"]) / "audit" / "preflight.jsonl")
    assert [(x["id"], x["fate"]) for x in listed] == [("p50", "dropped"), ("p51", "no signal")]


@pytest.mark.parametrize("task", ["sft", "reward", "dpo"])
def test_an_adapter_on_four_bits_is_trained_in_float32(task: str, tiny: Path, tmp_path: Path) -> None:
    """TRL turns it to bfloat16, in which a step smaller than 1/256 of a weight is none."""
    from safetensors.torch import load_file

    done = tmp_path / "done"
    folder = export(tmp_path / "exports" / "rows", task, held_out=0)
    run(asked(task, folder, tiny, tmp_path, "method=qlora", "steps=1", out=done))
    weights = load_file(done / "model" / "adapter_model.safetensors")
    for name, one in weights.items():
        assert str(one.dtype) == "torch.float32", name
    assert any(bool((one != one.bfloat16().float()).any()) for one in weights.values())


@pytest.mark.parametrize("task", ["sft", "reward", "dpo", "kto"])
def test_activations_computed_again_change_no_result(task: str, tiny: Path, tmp_path: Path) -> None:
    """On frozen weights in 4 bits the inputs have no gradient of their own, which a block computed again may lose."""
    from safetensors.torch import load_file

    folder = export(tmp_path / "exports" / "rows", task, held_out=0)
    adapters = []
    for again in ("false", "true"):
        done = tmp_path / again
        given = ("method=qlora", "steps=2", "warmup=0", "learning_rate=1e-3", f"gradient_checkpointing={again}")
        run(asked(task, folder, tiny, tmp_path, *given, out=done))
        adapters.append(load_file(done / "model" / "adapter_model.safetensors"))
    plain, checkpointed = adapters
    assert any(bool(plain[name].any()) for name in plain if "lora_B" in name)
    for name, one in plain.items():
        torch.testing.assert_close(checkpointed[name], one, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("device", "has", "dtype"), [("cpu", True, "float32"), ("cuda", True, "bfloat16"), ("cuda", False, "float32")]
)
def test_dtype_auto_is_bfloat16_where_a_gpu_computes_in_it(
    device: str, has: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    assert find_dtype("auto", device) == dtype
    assert find_dtype("bfloat16", device) == "bfloat16"


@pytest.mark.parametrize("task", ["sft", "reward", "dpo", "kto"])
def test_the_configuration_for_real_models_runs_and_says_what_its_dtype_came_to(
    task: str, tiny: Path, tmp_path: Path
) -> None:
    folder = export(tmp_path / "exports" / "rows", task, held_out=0)
    done = tmp_path / "done"
    config = running.__file__.replace("running.py", f"configs/{task}.yaml")
    one = asked(task, folder, tiny, tmp_path, "steps=1", "device=cpu", out=done)
    run(one._replace(config=Path(config)))
    settings: Any = read_manifest(done).config["settings"]
    assert (settings["dtype"], settings["gradient_checkpointing"]) == ("float32", True)


def test_trl_is_told_its_precision_and_checkpointing(tiny: Path) -> None:
    """Where nothing is said TRL turns both on, which a CPU is slow with."""
    from trl import DPOConfig, RewardConfig, SFTConfig

    from train.devices import precision
    from train.settings import read_settings

    settings = read_settings("dpo", None, [], str(tiny))
    for kind in (DPOConfig, RewardConfig, SFTConfig):
        made = kind(output_dir="out", report_to=[], **precision(settings, "cpu"))
        assert (made.bf16, made.fp16, made.use_cpu) == (False, False, True)
        assert not made.activation_checkpointing


def test_a_place_that_is_taken_is_told_first(whole: tuple[Path, Path], tiny: Path) -> None:
    folder, done = whole
    with pytest.raises(Refused, match="is there already"):
        run(asked("reward", folder, tiny, done.parents[1], *RESUMES))
