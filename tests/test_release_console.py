"""The program `concord`, the version it says, and the files that come along by the names the documentation gives."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from data.bundled import FOLDERS, bundled
from data.command import commands
from data.console import ROOMS, run
from data.errors import NotThere
from data.version import version

VERSION = version()


def concord(*words: str) -> "subprocess.CompletedProcess[str]":
    """`concord ...` from the checkout."""
    argv = [sys.executable, "-c", "import sys\nfrom data.console import main\nsys.exit(main())", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


# ── concord ROOM COMMAND ─────────────────────────────────────────────────────


def test_a_command_runs_as_its_module_does(tmp_path: Path) -> None:
    by_name = concord("annotate", "status", "--store", f"sqlite:///{tmp_path}/none.db")
    argv = [sys.executable, "-m", "annotate.status", "--store", f"sqlite:///{tmp_path}/none.db"]
    by_module = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert by_name.returncode == by_module.returncode == 2
    assert by_name.stderr == by_module.stderr != ""


def test_a_command_may_be_typed_with_a_hyphen() -> None:
    told = concord("datagen", "self-instruct", "--help")
    assert told.returncode == 0
    assert "python -m datagen.self_instruct" in told.stdout


def test_no_words_list_the_rooms_and_a_room_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert set(ROOMS) <= set(capsys.readouterr().out.split())
    assert run(["curate"]) == 0
    listed = re.findall(r"^python -m curate\.(\w+)", capsys.readouterr().out, re.M)
    assert listed == list(commands("curate"))


def test_every_room_with_commands_is_known() -> None:
    assert {*ROOMS, "tour"} == {path.parent.name for path in ROOT.glob("*/__main__.py")}  # the tour is no room


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["anotate"], "'anotate' is no room of Concord; did you mean 'annotate'?"),
        (["data"], "'data' is no room of Concord"),
        (["annotate", "serv"], "'serv' is no command of annotate; did you mean 'serve'?"),
        (["train", "losses"], "'losses' is no command of train"),  # a module, and no command
        (["train", "__init__"], "'__init__' is no command of train"),
        (["train", "../data/store"], "is no command of train"),
        (["curate", "os.path"], "'os.path' is no command of curate"),
    ],
)
def test_a_word_nobody_knows_is_named_with_its_nearest(words: list[str], said: str) -> None:
    with pytest.raises(NotThere) as told:
        run(words)
    assert said in str(told.value)


# ── the version ──────────────────────────────────────────────────────────────


def test_every_way_to_ask_says_the_same_version() -> None:
    assert concord("--version").stdout == f"concord {VERSION}\n"
    assert concord("curate", "export", "--version").stdout == f"concord {VERSION}\n"


def test_the_version_is_that_of_the_checkout_and_else_that_of_the_distribution(tmp_path: Path) -> None:
    there = tmp_path / "pyproject.toml"
    there.write_text('[project]\nname = "concord-preferences"\nversion = "7.8.9"\n')
    assert version(there) == "7.8.9"
    there.write_text('[project]\nname = "something-else"\nversion = "7.8.9"\n')
    assert version(there) != "7.8.9"
    there.write_text("not = [toml")
    assert version(there) == version(tmp_path / "missing.toml") != ""


# ── files that come along ────────────────────────────────────────────────────


def test_a_bundled_file_is_found_from_any_folder(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        assert bundled("data/sample/contract.yaml") == ROOT / "data/sample/contract.yaml"
        assert bundled("train/configs/tiny.yaml").is_file()


def test_a_file_of_ones_own_under_that_name_comes_first(tmp_path: Path) -> None:
    mine = tmp_path / "train" / "configs" / "tiny.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("epochs: 1\n")
    with contextlib.chdir(tmp_path):
        assert bundled("train/configs/tiny.yaml") == Path("train/configs/tiny.yaml")


@pytest.mark.parametrize(
    "named",
    ["data/store.py", "data/sample/../store.py", "data/sample/none.yaml", "mine.yaml", "data/sample", "/etc/hosts"],
)
def test_nothing_else_is_taken_for_a_bundled_file(named: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        assert bundled(named) == Path(named)


def test_the_folders_of_bundled_files_are_there() -> None:
    assert all((ROOT / folder).is_dir() for folder in FOLDERS)


# ── another module named data ────────────────────────────────────────────────


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_says_in_one_line_that_its_data_is_hidden(room: str, tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text("mine = 1\n")
    argv = [sys.executable, "-m", room]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode
    (line,) = told.stderr.splitlines()
    assert f"concord {room} COMMAND" in line
