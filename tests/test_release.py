"""What is released: a wheel that has all it needs and runs anywhere, and a source archive that is the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT

from data.version import version

ROOMS = ("data", "annotate", "curate", "datagen", "train")
BUILD = """
import sys
from setuptools import build_meta
_, out = sys.argv  # setup puts words of its own there
print(build_meta.build_wheel(out), build_meta.build_sdist(out))
"""
IMPORT_ALL = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    assert "site-packages" in module.__file__, module.__file__
"""


def tracked() -> list[str]:
    """The checkout's files by path; without git (in a source archive) what lies there."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return [path.as_posix() for path in found if "__pycache__" not in path.parts and path.parts[0] != ".venv"]


class Built(NamedTuple):
    wheel: Path
    sdist: Path
    files: list[str]  # the checkout's, by path


class Installed(NamedTuple):
    """An environment that has the wheel, and everything it needs from ours."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def concord(self) -> Path:
        return self.folder / "bin" / "concord"

    def run(self, folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """A program of the environment, from a folder outside the checkout."""
        argv = [str(self.folder / "bin" / str(words[0])), *map(str, words[1:])]
        return subprocess.run(argv, cwd=folder, env=outside(), capture_output=True, text=True, check=False, timeout=120)

    def ran(self, folder: Path, *words: str | Path) -> str:
        """What a program prints that ends well."""
        ended = self.run(folder, *words)
        assert ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout


def outside() -> dict[str, str]:
    """Our environment without what points into the checkout."""
    ours = ("PYTHONPATH", "CONCORD_STORE", "CONCORD_WORKSPACE", "VIRTUAL_ENV")
    return {**{k: v for k, v in os.environ.items() if k not in ours}, "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def serving(installed: Installed, folder: Path, program: str, *words: str) -> Iterator[str]:
    """The address of a server of the environment, on a free port; it ends with the block."""
    argv = [str(installed.folder / "bin" / program), *words, "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=folder, env=outside(), stdout=pipe, stderr=pipe, text=True) as child:
        try:
            assert child.stdout
            line = child.stdout.readline()
            assert "http://" in line, f"it did not start: {line}"
            yield next(word for word in line.split() if word.startswith("http://")).rstrip("/")
        finally:
            child.terminate()
            child.communicate(timeout=20)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both archives, built from the tracked files alone."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    files = tracked()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    made = subprocess.run(
        [sys.executable, "-c", BUILD, out], cwd=source, env=outside(), capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    wheel, sdist = made.stdout.splitlines()[-1].split()
    return Built(out / wheel, out / sdist, files)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, env=outside())
    made = Installed(folder)
    pip = [sys.executable, "-m", "pip", "--python", made.python, "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--no-compile", built.wheel], check=True, env=outside())
    (place,) = folder.glob("lib/python*/site-packages")
    (place / "theirs.pth").write_text(sysconfig.get_path("purelib") + "\n")  # libraries; an editable install is not
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to work in."""
    made = tmp_path / "somewhere"
    made.mkdir()
    return made


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


# ── what is in the archives ──────────────────────────────────────────────────


def test_the_wheel_holds_every_file_of_every_room_and_nothing_else(built: Built) -> None:
    rooms = {name for name in built.files if name.split("/")[0] in ROOMS}
    ours = {name for name in names(built.wheel) if ".dist-info/" not in name}
    assert ours == rooms


def test_both_archives_carry_the_licence(built: Built) -> None:
    assert f"concord_preferences-{version()}.dist-info/licenses/LICENSE" in names(built.wheel)
    with tarfile.open(built.sdist) as archive:
        assert f"concord_preferences-{version()}/LICENSE" in archive.getnames()


def test_the_source_archive_is_the_checkout(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert sorted(set(built.files) - held - {".gitignore"}) == []


def test_the_wheel_says_its_version_and_asks_for_no_training_library(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        told = archive.read(f"concord_preferences-{version()}.dist-info/METADATA").decode()
    needed = [line for line in told.splitlines() if line.startswith("Requires-Dist: ") and "extra ==" not in line]
    assert any(line.startswith("Requires-Dist: gradio") for line in needed)
    assert not [line for line in needed if "torch" in line or "trl" in line]
    assert f"\nVersion: {version()}\n" in told


# ── the wheel, installed, in a folder that knows nothing of the checkout ─────


def test_every_module_imports_from_the_installed_wheel(installed: Installed, built: Built, folder: Path) -> None:
    modules = [name for name in built.files if name.split("/")[0] in ROOMS and name.endswith(".py")]
    dotted = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in modules]
    assert len(dotted) > 300
    installed.ran(folder, "python", "-c", IMPORT_ALL, *dotted)


def test_the_page_is_served_outside_the_checkout(installed: Installed, folder: Path) -> None:
    with serving(installed, folder, "python", "-m", "annotate.serve") as url:
        with urllib.request.urlopen(f"{url}/healthz", timeout=20) as answer:
            assert json.load(answer) == {"status": "ok"}
        with urllib.request.urlopen(f"{url}/signin", timeout=20) as answer:
            assert "Concord" in answer.read().decode()
    assert (folder / "workspace" / "concord.db").is_file()


def test_the_demo_runs_outside_the_checkout(installed: Installed, folder: Path) -> None:
    with (
        serving(installed, folder, "concord", "annotate", "demo") as url,
        urllib.request.urlopen(f"{url}/healthz", timeout=20) as answer,
    ):
        assert answer.status == 200
    told = installed.ran(folder, "concord", "annotate", "status", "--json")
    assert '"sample"' in told


def test_the_bundled_project_is_loaded_exported_and_verified_outside_the_checkout(
    installed: Installed, folder: Path
) -> None:
    installed.ran(folder, "python", "-m", "annotate.load", "data/sample/judged/tasks.jsonl", "--project", "judged")
    export = ("--project", "judged", "--out", "out", "--recipe", "data/sample/export.yaml")
    told = json.loads(installed.ran(folder, "python", "-m", "curate.export", *export, "--json"))
    assert Path(folder / "out" / "data" / "train.jsonl").stat().st_size
    assert told
    installed.ran(folder, "concord", "curate", "verify", "out", "--store")
    run = json.loads((folder / "out" / "manifest.json").read_text("utf-8"))["run"]
    assert run["versions"]["concord-preferences"] == version()
    assert run["command"].startswith("python -m curate.export --project judged")


def test_prompts_seeds_and_principles_come_along(installed: Installed, folder: Path) -> None:
    told = installed.ran(folder, "python", "-m", "datagen.self_instruct", "--num", "5", "--model", "m", "--dry-run")
    assert "request" in told
    prompts = folder / "prompts.txt"
    prompts.write_text("What is a ledger?\n", "utf-8")
    asked = ("--prompts", prompts, "--constitution", "harmless", "--model", "m", "--dry-run")
    assert "request" in installed.ran(folder, "concord", "datagen", "constitutional", *asked)


def test_configurations_of_training_come_along(installed: Installed, folder: Path) -> None:
    assert "--config" in installed.ran(folder, "python", "-m", "train.dpo", "--help")
    assert "train.dpo" in installed.ran(folder, "python", "-m", "train")
    asked = ("--config", "train/configs/tiny.yaml", "--model", "8B", "--task", "dpo", "--device", "cpu")
    found = installed.run(folder, "concord", "train", "estimate", "nowhere", *asked)
    assert (found.returncode, "nowhere" in found.stderr) == (2, True)  # the file was read; the export is not there
    missing = installed.run(folder, "concord", "train", "estimate", "nowhere", "--config", "train/configs/none.yaml")
    assert (missing.returncode, "train/configs/none.yaml" in missing.stderr) == (2, True)


def test_a_module_of_ones_own_named_data_is_named_in_one_line(installed: Installed, folder: Path) -> None:
    (folder / "data.py").write_text("mine = 1\n")
    hidden = installed.run(folder, "python", "-m", "annotate.serve", "--help")
    assert hidden.returncode != 0
    (line,) = hidden.stderr.splitlines()
    assert "concord annotate COMMAND" in line
    assert "serve the labelling page" in installed.ran(folder, "concord", "annotate", "serve", "--help").lower()


def test_a_folder_of_ones_own_named_data_or_train_is_no_trouble(installed: Installed, folder: Path) -> None:
    for name in ("data", "train"):
        (folder / name).mkdir()
    assert "python -m train.dpo" in installed.ran(folder, "python", "-m", "train.dpo", "--help")
