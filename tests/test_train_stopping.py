"""What a run keeps and tells by itself: checkpoints, an estimate and what came of it, and what to lower."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training import asked, export, lines

from data.errors import BadInput
from train import checkpoints, running
from train.checkpoints import is_whole, last_whole, open_place, seal, step_of
from train.metrics import Recorder
from train.running import run
from train.settings import read_settings


class Killed(BaseException):
    """Ends a run where it stands, as kill -9 does."""


def killed_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Kill a run once, as soon as the checkpoint of this step is whole."""

    def sealed(checkpoint: Path) -> None:
        seal(checkpoint)
        if step_of(checkpoint) == step:
            monkeypatch.setattr(checkpoints, "seal", seal)
            raise Killed

    monkeypatch.setattr(checkpoints, "seal", sealed)


def test_a_run_makes_ten_checkpoints_by_itself_and_keeps_the_two_newest(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    made: list[int] = []

    def sealed(checkpoint: Path) -> None:
        made.append(step_of(checkpoint))
        seal(checkpoint)
        found = [step_of(one) for one in checkpoint.parent.glob("checkpoint-*") if is_whole(one)]
        assert sorted(found) == made[-2:]

    monkeypatch.setattr(checkpoints, "seal", sealed)
    run(asked("sft", folder, tiny, tmp_path, "batch=1", "steps=21"))
    assert made == [3, 6, 9, 12, 15, 18, 21]  # every tenth of the steps, rounded up
    made.clear()
    run(asked("sft", folder, tiny, tmp_path, "batch=1", "steps=4", out=tmp_path / "few"))
    assert made == [1, 2, 3, 4]


def test_one_broken_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        one = tmp_path / f"checkpoint-{step}"
        one.mkdir()
        (one / "weights").write_bytes(bytes([step]))
        seal(one)
    assert not (tmp_path / "checkpoint-1").exists()
    (tmp_path / "checkpoint-3" / "weights").write_bytes(b"half")
    assert last_whole(tmp_path) == tmp_path / "checkpoint-2"


def checkpoint_of(place: Path, config: dict[str, Any]) -> Path:
    """A place with a line of metrics and a whole checkpoint of step 2."""
    open_place(place, config, fresh=False)
    (place / "metrics.jsonl").write_text('{"step": 1, "seconds": 1.0}\n{"step": 2, "seconds": 2.0}\n')
    made = place / "checkpoint-2"
    made.mkdir()
    (made / "weights").write_bytes(b"weights")
    seal(made)
    return made


def test_a_disk_still_full_when_a_run_goes_on_takes_nothing_from_what_is_kept(tmp_path: Path) -> None:
    place, config = tmp_path / "place", {"seed": 0}
    made = checkpoint_of(place, config)
    told = (place / "metrics.jsonl").read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))  # the system takes no greater file
    try:
        last = open_place(place, config, fresh=False)
        with pytest.raises(OSError, match="File too large"):
            Recorder(place / "metrics.jsonl", "cpu", 1.0, print).go_on_from(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert last == made
    assert open_place(place, config, fresh=False) == made
    assert (place / "metrics.jsonl").read_text() == told


def test_a_checkpoint_is_whole_once_the_metrics_up_to_it_are_on_the_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    flush = checkpoints._flush

    def noted(path: Path) -> None:
        flushed.append(path.name)
        flush(path)

    monkeypatch.setattr(checkpoints, "_flush", noted)
    checkpoint_of(tmp_path / "place", {})
    assert {"weights", "metrics.jsonl", "run.json"} <= set(flushed[: flushed.index(".whole.json")])


def test_what_is_left_of_a_finished_runs_checkpoints_is_not_gone_on_from(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(tmp_path / "exports" / "answers", "sft", rows=4, held_out=0)
    again = asked("sft", folder, tiny, tmp_path, "steps=3", out=tmp_path / "one", force=True)
    remove = shutil.rmtree

    def half(path: Path, **more: Any) -> None:
        if (path / "metrics.jsonl").exists():
            (path / "metrics.jsonl").unlink()
            raise Killed
        remove(path, **more)

    monkeypatch.setattr(shutil, "rmtree", half)
    with pytest.raises(Killed):
        run(again)
    monkeypatch.undo()
    run(again)
    assert [line["step"] for line in lines(tmp_path / "one" / "audit" / "metrics.jsonl")] == [1, 2, 3]


@pytest.mark.parametrize("task", ["dpo", "reward"])
def test_a_line_of_metrics_is_not_cut_in_two_by_a_stop(
    task: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(tmp_path / "exports" / "pairs", task, rows=12, held_out=0)
    given = ("steps=6", "log_every=4", "save_every=3", "warmup=0", "batch=3")
    one, two = (asked(task, folder, tiny, tmp_path, *given, out=tmp_path / name) for name in ("one", "two"))
    run(one)
    killed_after(monkeypatch, 3)
    with pytest.raises(Killed):
        run(two)
    assert run(two)["resumed_from_step"] == 3
    apart = {"seconds", "memory_bytes"}
    told = [
        [{key: value for key, value in line.items() if key not in apart} for line in lines(out / "audit/metrics.jsonl")]
        for out in (tmp_path / "one", tmp_path / "two")
    ]
    assert told[0] == told[1]
    assert [line["step"] for line in told[0]] == [1, 3, 4, 6]
    assert "length_correlation" in told[0][1]


def test_an_estimate_is_told_before_and_kept_beside_what_was_used(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export(tmp_path / "exports" / "pairs", "dpo", rows=4, held_out=0)
    told: list[str] = []
    train = running.train

    def trained(*given: Any) -> Any:
        told.append(capsys.readouterr().err)
        return train(*given)

    monkeypatch.setattr(running, "train", trained)
    for n in (1, 2):
        out = tmp_path / "runs" / f"run-{n}"
        run(asked("dpo", folder, tiny, tmp_path, "steps=1", out=out))
        rows = lines(out / "audit" / "estimate.jsonl")
        assert "expected on the cpu" in told[-1]
        peak, time = rows[-2:]
        assert peak["part"] == "peak"
        assert peak["error"] == pytest.approx(peak["predicted_bytes"] / peak["used_bytes"] - 1, abs=1e-4)
        assert (time["part"], time["predicted_seconds"] is None) == ("time", n == 1)
        assert {"weights", "framework"} <= {row["part"] for row in rows}
        kept = lines(tmp_path / "estimates.jsonl")
        assert len(kept) == n
        assert kept[-1]["error"] == peak["error"]
        assert "What train.estimate said before the run" in (out / "report.html").read_text("utf-8")
    assert "corrected by 1 runs here" in told[-1]


def test_a_model_that_cannot_be_counted_is_trained_without_an_estimate(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def uncounted(_: str) -> Any:
        raise BadInput("model_type 'odd' cannot be counted")

    monkeypatch.setattr("train.foretold.read_shape", uncounted)
    folder = export(tmp_path / "exports" / "answers", "sft", rows=2, held_out=0)
    out = Path(run(asked("sft", folder, tiny, tmp_path, "steps=1"))["wrote"])
    assert "no estimate of memory and time: model_type 'odd'" in capsys.readouterr().err
    assert not (out / "audit" / "estimate.jsonl").exists()


PROMPTS = {
    "PROMPT_TUNING": "num_virtual_tokens: 4",
    "P_TUNING": "num_virtual_tokens: 4, encoder_hidden_size: 16",
    "PREFIX_TUNING": "num_virtual_tokens: 4",
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_learnt_prompts_are_trained_by_dpo(kind: str, tiny: Path, tmp_path: Path) -> None:
    folder = export(tmp_path / "exports" / "pairs", "dpo", rows=8, held_out=2)
    given = ("method=peft", f"peft={{peft_type: {kind}, {PROMPTS[kind]}}}", "steps=6", "learning_rate=0.1", "warmup=0")
    out = Path(run(asked("dpo", folder, tiny, tmp_path, *given, "batch=8"))["wrote"])
    losses = [line["loss"] for line in lines(out / "audit/metrics.jsonl") if line["split"] == "train"]
    assert losses[0] == pytest.approx(0.693147, abs=1e-5)
    assert losses[-1] < losses[0] - 0.01
    assert json.loads((out / "model" / "adapter_config.json").read_text("utf-8"))["peft_type"] == kind


@pytest.mark.parametrize("kind", ["ADALORA", "ADAPTION_PROMPT", "MULTITASK_PROMPT_TUNING", "POLY", "XLORA"])
def test_methods_of_peft_that_cannot_be_trained_here_are_refused(kind: str) -> None:
    with pytest.raises(BadInput, match=f"peft.peft_type: {kind} .*take lora"):
        read_settings("dpo", None, ["method=peft", f"peft={{peft_type: {kind}}}"], "m")


SMALL = """
import resource, sys
from pathlib import Path
from training import asked, export
from data.errors import exit_status
from train.running import run

tiny, place = (Path(one) for one in sys.argv[1:3])
folder = export(place / "exports" / "answers", "sft", rows=512, held_out=0)
run(asked("sft", folder, tiny, place, "steps=1", "batch=1", out=place / "first"))  # all that is imported late
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 120_000_000, resource.RLIM_INFINITY))
big = asked("sft", folder, tiny, place, "steps=1", "batch=512", "method=full", out=place / "second")
sys.exit(exit_status(lambda: bool(run(big)) and 0))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is taken from /proc")
def test_memory_that_really_runs_out_is_one_line_that_says_what_to_lower(tiny: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", SMALL, str(tiny), str(tmp_path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1", "CI": "true", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 2, done.stderr[-2000:]
    (told,) = [line for line in done.stderr.splitlines() if "out of memory" in line]
    assert "batch=256 with accumulation=2 (the same steps), then gradient_checkpointing=true" in told
    assert "length=" in told
    assert "Traceback" not in done.stderr
