"""Release and rollback: the link moves only on a pass of this very run, and back to the one that passed before."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gated import CHANCE, contract_of, drawn, make_evaluation, make_run

from data.errors import CheckFailed, NotEnough, Refused
from train import releasing
from train.chained import read_chain
from train.gate_run import gate
from train.releasing import release, rollback

ROOT = Path(__file__).resolve().parents[1]


def gated(workspace: Path, name: str, seed: int, rate: float = 0.7, families: int = 200) -> Path:
    """A run whose gate has decided on cases of this rate."""
    run = make_run(workspace, name, seed)
    evaluation = make_evaluation(workspace, f"of-{name}", run, drawn("accuracy", families, rate, seed=seed))
    gate(run, contract_of(workspace / "contract.yaml", CHANCE), workspace, evaluation=evaluation)
    return run


def current(workspace: Path) -> str:
    return os.readlink(workspace / "runs/current")


def test_a_worse_run_is_refused_and_the_current_one_stays(tmp_path: Path) -> None:
    release(gated(tmp_path, "good", 1), tmp_path)
    worse = gated(tmp_path, "worse", 2, rate=0.3)
    with pytest.raises(CheckFailed, match=r"the gate failed .*worse .*gates"):
        release(worse, tmp_path)
    assert current(tmp_path) == "good"


def test_without_a_gate_or_enough_evidence_it_is_refused(tmp_path: Path) -> None:
    alone = make_run(tmp_path, "alone", 1)
    with pytest.raises(Refused, match=r"no gate has decided .* type python -m train\.gate"):
        release(alone, tmp_path)
    with pytest.raises(NotEnough, match="see there how much more"):
        release(gated(tmp_path, "few", 2, rate=0.55, families=30), tmp_path)
    assert not (tmp_path / "runs/current").exists()


def test_a_run_that_changed_after_its_gate_is_refused(tmp_path: Path) -> None:
    run = gated(tmp_path, "good", 1)
    (run / "data/held_out.jsonl").write_text("{}\n")
    with pytest.raises(CheckFailed, match=r"held_out\.jsonl"):
        release(run, tmp_path)
    make_run(tmp_path, "good", 9, replace=True)  # whole, and another
    with pytest.raises(Refused, match="no gate has decided"):
        release(run, tmp_path)


def test_a_forged_record_or_log_is_refused(tmp_path: Path) -> None:
    worse = gated(tmp_path, "worse", 2, rate=0.3)
    log = tmp_path / "gates/looks.jsonl"
    whole = log.read_text()
    log.write_text(whole.replace('"outcome":"fail"', '"outcome":"pass"'))
    with pytest.raises(CheckFailed, match=r"looks\.jsonl, line 1"):
        release(worse, tmp_path)
    log.unlink()
    with pytest.raises(CheckFailed, match="is not in it"):
        release(worse, tmp_path)
    good = gated_elsewhere = None
    log.write_text(whole)
    good = gated(tmp_path, "good", 1)
    record = next(place for place in (tmp_path / "gates").iterdir() if place.name.startswith("good"))
    gated_elsewhere = record / "data/decision.jsonl"
    gated_elsewhere.write_text("{}\n")
    with pytest.raises(CheckFailed, match=r"is not as it was written: data/decision\.jsonl"):
        release(good, tmp_path)


def test_a_pass_holds_until_a_look_shows_otherwise(tmp_path: Path) -> None:
    run = gated(tmp_path, "good", 1)
    contract = tmp_path / "contract.yaml"
    few = make_evaluation(tmp_path, "few", run, drawn("accuracy", 30, 0.5, seed=5))
    assert gate(run, contract, tmp_path, evaluation=few)[0].outcome == "not enough evidence"
    assert release(run, tmp_path).run.name == "good"
    bad = make_evaluation(tmp_path, "bad", run, drawn("accuracy", 300, 0.2, seed=6))
    assert gate(run, contract, tmp_path, evaluation=bad)[0].outcome == "fail"
    with pytest.raises(CheckFailed, match="the gate failed"):
        release(run, tmp_path)


def test_rollback_restores_the_one_before_and_goes_on_back(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "c"), 1):
        moved = release(gated(tmp_path, name, seed), tmp_path)
        assert (moved.run.name, current(tmp_path)) == (name, name)
    assert moved.before == "b"
    first = rollback(tmp_path)
    assert (first.run.name, first.before, current(tmp_path)) == ("b", "c", "b")
    assert rollback(tmp_path).run.name == "a"
    with pytest.raises(Refused, match="a is the first that passed"):
        rollback(tmp_path)
    release(tmp_path / "runs/c", tmp_path)
    assert rollback(tmp_path).run.name == "a"
    whats = [entry.body["what"] for entry in read_chain(tmp_path / "runs/releases.jsonl")]
    assert whats == ["release"] * 3 + ["rollback"] * 2 + ["release", "rollback"]


def test_rollback_refuses_a_folder_that_changed_or_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="none was released yet"):
        rollback(tmp_path)
    a, b = gated(tmp_path, "a", 1), gated(tmp_path, "b", 2)
    release(a, tmp_path)
    release(b, tmp_path)
    kept = (a / "model/adapter_config.json").read_text()
    (a / "model/adapter_config.json").write_text("{ }")
    with pytest.raises(CheckFailed, match=r"a, which passed before, cannot be returned to"):
        rollback(tmp_path)
    (a / "model/adapter_config.json").write_text(kept)
    a.rename(tmp_path / "moved")
    with pytest.raises(CheckFailed, match="is not there"):
        rollback(tmp_path)
    assert current(tmp_path) == "b"


def test_releasing_the_current_run_again_changes_nothing_and_mends_the_link(tmp_path: Path) -> None:
    run = gated(tmp_path, "a", 1)
    release(run, tmp_path)
    (tmp_path / "runs/current").unlink()  # as if killed between the log's line and the link
    assert release(run, tmp_path).note == "it was current already"
    assert current(tmp_path) == "a"
    assert len(read_chain(tmp_path / "runs/releases.jsonl")) == 1
    assert release(tmp_path / "runs/current", tmp_path).run.name == "a"


def test_a_rollback_killed_between_line_and_link_is_finished_by_typing_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("a", "b", "c"), 1):
        release(gated(tmp_path, name, seed), tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            rollback(tmp_path)
    assert current(tmp_path) == "c"
    moved = rollback(tmp_path)
    assert (moved.run.name, moved.before, moved.note, current(tmp_path)) == ("b", "c", "", "b")
    whats = [entry.body["what"] for entry in read_chain(tmp_path / "runs/releases.jsonl")]
    assert whats == ["release"] * 3 + ["rollback"]
    assert rollback(tmp_path).run.name == "a"


def test_a_gate_that_ends_while_a_release_looks_is_no_fault_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gated(tmp_path, "a", 1)

    def then_another(name: str) -> None:
        read = getattr(releasing, name)

        def reads(*given: Any) -> Any:
            found = read(*given)
            if not (tmp_path / "runs/b").exists():
                gated(tmp_path, "b", 2)
            return found

        monkeypatch.setattr(releasing, name, reads)

    then_another("gate_records")
    then_another("read_chain")
    assert release(run, tmp_path).run.name == "a"
    assert (tmp_path / "runs/b").exists()


def test_a_run_elsewhere_is_linked_by_its_whole_path(tmp_path: Path) -> None:
    run = gated(tmp_path, "a", 1)
    far = tmp_path / "far"
    run.rename(far)
    release(far, tmp_path)
    assert (tmp_path / "runs/current").resolve() == far.resolve()


def test_a_disk_without_links_and_a_folder_in_the_way_are_told_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = gated(tmp_path, "a", 1)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "symlink_to", no_links)
        with pytest.raises(Refused, match="takes no symbolic link"):
            release(run, tmp_path)
    (tmp_path / "runs/current").mkdir()
    with pytest.raises(Refused, match="is no link"):
        release(run, tmp_path)
    assert read_chain(tmp_path / "runs/releases.jsonl") == []


def test_a_changed_release_log_is_noticed(tmp_path: Path) -> None:
    release(gated(tmp_path, "a", 1), tmp_path)
    release(gated(tmp_path, "b", 2), tmp_path)
    log = tmp_path / "runs/releases.jsonl"
    log.write_text(log.read_text().replace('"name":"a"', '"name":"z"'))
    with pytest.raises(CheckFailed, match=r"releases\.jsonl, line 1"):
        rollback(tmp_path)


def test_releases_at_once_leave_one_link_and_a_whole_log(tmp_path: Path) -> None:
    runs = [gated(tmp_path, name, seed) for seed, name in enumerate("abc", 1)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "train.release", str(run), "--workspace", str(tmp_path)],
            env=env,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for run in runs
    ]
    assert [one.wait(60) for one in started] == [0, 0, 0]
    names = [entry.body["name"] for entry in read_chain(tmp_path / "runs/releases.jsonl")]
    assert sorted(names) == ["a", "b", "c"]
    assert current(tmp_path) == names[-1]


def test_the_commands_say_what_is_current_and_end_with_1_2_or_3(tmp_path: Path) -> None:
    def typed(*words: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", *words, "--workspace", str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(line, capture_output=True, text=True, env=env, cwd=ROOT)

    a, b = gated(tmp_path, "a", 1), gated(tmp_path, "b", 2)
    worse, few = gated(tmp_path, "w", 3, rate=0.3), gated(tmp_path, "f", 4, families=12, rate=0.5)
    assert [typed("train.release", str(run)).returncode for run in (a, b, worse, few)] == [0, 0, 1, 3]
    back = typed("train.rollback")
    assert (back.returncode, back.stdout.split()[:2]) == (0, ["current", "a"])
    end = typed("train.rollback")
    assert (end.returncode, end.stderr.count("\n")) == (2, 1)
