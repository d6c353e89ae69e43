"""Folders are whole or absent, and any byte changed in one is found and named."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput, NotThere, Refused
from data.folder import take_away, write_folder
from data.manifest import (
    Manifest,
    content_digest,
    read_manifest,
    seal_of,
    spell,
    verify_folder,
    without_secrets,
)

ROWS = [{"id": f"row-{n}", "text": f"text {n}", "n": n} for n in range(3)]


def write(out: Path, rows: object = ROWS, *, config: object = None, replace: bool = False) -> Manifest:
    with write_folder(out, "export", config or {"seed": 0}, replace=replace) as folder:  # type: ignore[arg-type]
        folder.write("data/train.jsonl", rows)  # type: ignore[arg-type]
        folder.write("audit/left_out.jsonl", [{"task_id": "t", "reason": "tie"}])
        folder.inputs["ledger"] = {"seq": 3, "hash": "ab"}
    return read_manifest(out)


def hidden(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_a_sound_folder_has_no_fault_and_lists_every_file(tmp_path: Path) -> None:
    manifest = write(tmp_path / "out")
    assert verify_folder(tmp_path / "out") == []
    there = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert there == {f.path for f in manifest.files} | {"manifest.json"}
    assert {f.path: f.rows for f in manifest.files if f.rows} == {
        "data/train.jsonl": 3,
        "audit/left_out.jsonl": 1,
    }
    assert hidden(tmp_path) == []


def test_the_digest_covers_data_and_configuration_and_nothing_of_the_run(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a"), write(tmp_path / "b")
    assert first.digest == again.digest
    assert write(tmp_path / "c", ROWS[:2]).digest != first.digest
    assert write(tmp_path / "d", config={"seed": 1}).digest != first.digest
    audit = [f.model_copy(update={"sha256": "0" * 64}) if f.path.startswith("audit/") else f for f in first.files]
    assert content_digest(audit, first.config) == first.digest


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sound") / "out"
    write(out)
    return out


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_changed_byte_is_noticed_and_a_row_is_named(sound: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(p for p in sound.rglob("*") if p.is_file())))
    whole = name.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        name.write_bytes(changed)
        faults = verify_folder(sound)
    finally:
        name.write_bytes(whole)
    path = name.relative_to(sound).as_posix()
    assert any(path in fault for fault in faults)
    if path == "data/train.jsonl":
        row = whole[:at].count(b"\n")
        assert any(f"row-{row}" in fault for fault in faults), faults


def test_missing_extra_and_linked_files_are_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    (out / "audit" / "left_out.jsonl").unlink()
    (out / "data" / "more.jsonl").write_text("{}\n")
    elsewhere = tmp_path / "elsewhere"
    (out / "data" / "train.jsonl").rename(elsewhere)
    (out / "data" / "train.jsonl").symlink_to(elsewhere)
    faults = verify_folder(out)
    assert "audit/left_out.jsonl: missing" in faults
    assert "data/more.jsonl: not written by the run that made this folder" in faults
    assert any(fault.startswith("data/train.jsonl") for fault in faults)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rows: [rows[0], rows[2]], ["data/train.jsonl: row row-1 (line 2) is gone"]),
        (lambda rows: [*rows, b'{"id":"new"}\n'], ["data/train.jsonl, line 4: no such row was written"]),
        (lambda rows: rows[::-1], ["data/train.jsonl: the rows are in another order"]),
        (lambda rows: [rows[0], rows[0], rows[2]], ["data/train.jsonl, line 2: row row-1 was changed"]),
        (lambda rows: [rows[0], b"\n", *rows[1:]], ["data/train.jsonl, line 2: no such row was written"]),
    ],
)
def test_what_became_of_the_rows_is_said(tmp_path: Path, change: object, named: list[str]) -> None:
    write(tmp_path / "out")
    path = tmp_path / "out" / "data" / "train.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))  # type: ignore[operator]
    assert verify_folder(tmp_path / "out") == named


def test_hashes_written_anew_for_some_files_still_do_not_fit_the_seal(tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = write(out)
    forged = manifest.model_copy(update={"config": {"seed": 7}})
    (out / "manifest.json").write_bytes(spell(forged))
    assert verify_folder(out) == [
        "manifest.json: changed since it was written",
        "manifest.json: the digest is not that of its files and configuration",
    ]
    (out / "manifest.json").write_bytes(spell(forged.model_copy(update={"seal": seal_of(forged)})))
    assert verify_folder(out) == ["manifest.json: the digest is not that of its files and configuration"]


def test_a_folder_that_is_there_is_refused_unless_it_is_ours_and_may_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    with pytest.raises(Refused, match="is there already"):
        write(out, ROWS[:1])
    assert len((out / "data" / "train.jsonl").read_bytes().splitlines()) == 3
    write(out, ROWS[:1], replace=True)
    assert len((out / "data" / "train.jsonl").read_bytes().splitlines()) == 1
    assert verify_folder(out) == []
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(Refused, match="not written by Concord"):
        write(other, replace=True)
    assert (other / "thesis.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert hidden(tmp_path) == []


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)

    def rows() -> object:
        yield ROWS[0]
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        write(out, rows(), replace=True)
    assert verify_folder(out) == []
    with pytest.raises(ValueError, match="in the middle"):
        write(tmp_path / "new", rows())
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


KILLED = """
import os, signal, sys
from pathlib import Path
import data.folder as folder
if sys.argv[2] == "between the renames":
    folder._flush = lambda path: None
    rename = Path.rename
    def once(self, to):
        rename(self, to)
        os.kill(os.getpid(), signal.SIGKILL)
    Path.rename = once
if sys.argv[2] == "while the former one goes":
    def half(path, **_):
        for file in Path(path).rglob("*.jsonl"):
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    folder.shutil.rmtree = half
with folder.write_folder(Path(sys.argv[1]), "export", {}, replace=True) as out:
    out.write("data/train.jsonl", [{"id": "half"}])
    if sys.argv[2] == "while writing":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["while writing", "between the renames"])
def test_after_a_kill_the_next_run_starts_clean_and_the_former_folder_is_kept(tmp_path: Path, when: str) -> None:
    out = tmp_path / "out"
    write(out)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out), when], cwd=Path(__file__).parents[1])
    assert killed.returncode == -signal.SIGKILL
    assert hidden(tmp_path)
    with pytest.raises(Refused, match="is there already"):
        write(out, ROWS[:1])
    assert len((out / "data" / "train.jsonl").read_bytes().splitlines()) == 3
    assert verify_folder(out) == []
    write(out, ROWS[:1], replace=True)
    assert verify_folder(out) == []
    assert hidden(tmp_path) == []


def test_what_is_left_of_a_former_folder_is_never_put_in_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), "while the former one goes"], cwd=Path(__file__).parents[1]
    )
    assert killed.returncode == -signal.SIGKILL
    assert hidden(tmp_path) != [".out.former"]
    assert verify_folder(out) == []
    shutil.rmtree(out)  # its reader takes the new one away: half of the one before must not stand there instead
    write(out)
    assert verify_folder(out) == []
    assert hidden(tmp_path) == []


def test_a_folder_half_taken_away_does_not_stand_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write(out)

    def half(path: Path, **_: object) -> None:
        for file in path.rglob("*.json"):
            file.unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", half)
    with pytest.raises(KeyboardInterrupt):
        take_away(out)
    assert not out.exists()
    monkeypatch.undo()
    write(out)
    take_away(out)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_between_the_renames_puts_the_former_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(out)
    rename = Path.rename

    def full(self: Path, to: Path) -> Path:
        if to == out and self.name.endswith("unfinished"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(BadInput, match="make room"):
        write(out, ROWS[:1], replace=True)
    assert verify_folder(out) == []
    assert len((out / "data" / "train.jsonl").read_bytes().splitlines()) == 3
    assert hidden(tmp_path) == []


def test_two_runs_never_write_one_folder_at_the_same_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with write_folder(out, "export", {}) as folder:
        folder.write("data/train.jsonl", ROWS)
        with pytest.raises(Refused, match="another run is writing"):
            write(out)
    assert verify_folder(out) == []


@pytest.mark.parametrize("moment", ["open", "flock"])
def test_of_two_runs_that_begin_at_once_one_writes(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second begins when the first has made its temporary folder, and not locked it yet."""
    out, room = tmp_path / "out", {"open": os, "flock": fcntl}[moment]
    second, real = contextlib.ExitStack(), getattr(room, moment)

    def begins_first(*given: object) -> object:
        monkeypatch.setattr(room, moment, real)
        second.enter_context(write_folder(out, "export", {})).write("data/train.jsonl", ROWS)
        return real(*given)

    monkeypatch.setattr(room, moment, begins_first)
    with second, pytest.raises(Refused, match="another run is writing"):
        write(out, [{"id": "first"}])
    assert verify_folder(out) == []
    assert len((out / "data" / "train.jsonl").read_bytes().splitlines()) == 3


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "file" / "out")
    with pytest.raises(Refused, match="is no folder"):
        write(tmp_path / "file")
    for code, words in [(errno.ENOSPC, "make room and type"), (errno.EROFS, "name another folder")]:
        with pytest.raises(BadInput, match=words), write_folder(tmp_path / "out", "export", {}):
            raise OSError(code, os.strerror(code))


def test_nothing_to_verify_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="is not there"):
        verify_folder(tmp_path / "nowhere")
    with pytest.raises(NotThere, match=r"has no manifest\.json"):
        verify_folder(tmp_path)
    (tmp_path / "manifest.json").write_text("[1, 2]")
    assert len(verify_folder(tmp_path)) == 1
    with pytest.raises(BadInput, match="is no manifest"):
        read_manifest(tmp_path)


def test_a_manifest_of_a_newer_concord_says_so(tmp_path: Path) -> None:
    manifest = write(tmp_path / "out").model_copy(update={"format": 99})
    (tmp_path / "out" / "manifest.json").write_bytes(spell(manifest))
    with pytest.raises(BadInput, match="install a newer Concord"):
        read_manifest(tmp_path / "out")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("x --store postgresql://u:pw@h/d", "x --store postgresql://u:***@h/d"),
        ("x --store postgresql://u@h/d?password=pw&a=1", "x --store postgresql://u@h/d?password=***&a=1"),
        ("x --api-key=sk-1 --out a", "x --api-key=*** --out a"),
        ("x sqlite:///a.db", "x sqlite:///a.db"),
    ],
)
def test_the_command_line_is_kept_without_its_passwords(typed: str, kept: str) -> None:
    assert without_secrets(typed) == kept


def test_the_run_is_told_without_names_of_machines_or_people(tmp_path: Path) -> None:
    run = write(tmp_path / "out").run
    assert set(run) == {"time", "command", "versions", "machine"}
    assert os.uname().nodename not in json.dumps(run["machine"])


def test_a_folder_can_be_moved_and_copied(tmp_path: Path) -> None:
    write(tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert verify_folder(tmp_path / "moved") == verify_folder(tmp_path / "copy") == []


def test_what_the_same_configuration_made_may_be_made_again_and_nothing_else(tmp_path: Path) -> None:
    """A run that was killed when its folder was whole, started again, ends with that folder."""
    out = tmp_path / "out"
    with write_folder(out, "run", {"seed": 1}, again=True) as folder:
        folder.write("data/train.jsonl", [{"n": 1}])
    with write_folder(out, "run", {"seed": 1}, again=True) as folder:
        folder.write("data/train.jsonl", [{"n": 2}])
    assert (out / "data/train.jsonl").read_bytes() == b'{"n":2}\n'
    for what, config in (("run", {"seed": 2}), ("other", {"seed": 1})):
        with pytest.raises(Refused, match="is there already"), write_folder(out, what, config, again=True):
            pass
    with pytest.raises(Refused, match="is there already"), write_folder(out, "run", {"seed": 1}):
        pass
