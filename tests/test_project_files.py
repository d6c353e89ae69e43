"""The files around the code say what is so: README, its Chinese twin, Makefile, constraints, .ci/run."""

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data", "annotate", "curate", "datagen", "train")
READMES = ("README.md", "README.zh.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def code_blocks(name: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text(name), re.M | re.S)


def commands(name: str) -> list[str]:
    """What a reader types: the lines of code blocks that start with make or python, without remarks."""
    lines = "\n".join(code_blocks(name)).replace("\\\n", " ").splitlines()
    typed = [re.sub(r"\s+", " ", line.split(" #")[0]).strip() for line in lines]
    return [line for line in typed if re.match(r"(make|python) ", line)]


def tree(name: str) -> set[str]:
    """The paths that a README's file tree names, folders with a closing slash."""
    (block,) = (b for b in code_blocks(name) if re.search(r"^data/ ", b, re.M))
    paths: set[str] = set()
    folders: list[str] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip(" "))) // 2
        entry = line.split()[0]
        folders = folders[:depth]
        paths.add("".join(folders) + entry)
        if entry.endswith("/"):
            folders.append(entry)
    return paths


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", text("Makefile"), re.M))


def declared(*extras: str) -> dict[str, Requirement]:
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r for r in found}


def pins() -> dict[str, str]:
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    matched = [re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line) for line in lines]
    odd = [line for line, match in zip(lines, matched, strict=True) if not match]
    assert not odd, f"constraints.txt: not an exact version: {odd}"
    names = [canonicalize_name(m[1]) for m in matched if m]
    assert len(names) == len(set(names)), "constraints.txt names a package twice"
    return dict(zip(names, [m[2] for m in matched if m], strict=True))


def imports(room: str) -> dict[str, str]:
    """Top-level names that a room's modules import, each with one file that does."""
    found = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            found.update({name.split(".")[0]: str(path.relative_to(ROOT)) for name in names})
    return found


@functools.cache
def help_text(module: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"python -m {module} --help: {run.stderr}"
    return run.stdout


@pytest.mark.parametrize("name", READMES)
def test_the_two_commands_come_first(name: str) -> None:
    assert commands(name)[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", text(name))) | set(re.findall(r"^make ([a-z-]+)", text(name), re.M))
    assert named, f"{name} names no target"
    assert named <= targets()


def test_make_alone_lists_every_target() -> None:
    run = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^make ([a-z-]+)", run.stdout, re.M)) == targets()
    phony = re.search(r"^\.PHONY: (.*)$", text("Makefile"), re.M)
    assert phony
    assert set(phony[1].split()) == targets()


def made_beside(place: Path) -> Path:
    """The Makefile in a folder of its own, with what it is installed from."""
    for name, content in (("Makefile", text("Makefile")), ("pyproject.toml", "no TOML"), ("constraints.txt", "")):
        (place / name).write_text(content)
    return place


def test_a_venv_whose_making_was_killed_is_not_taken_for_whole(tmp_path: Path) -> None:
    made_beside(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=tmp_path, check=True)
    (tmp_path / ".venv/bin/activate").unlink()  # what venv puts in last, after pip
    run = subprocess.run(["make", ".venv/.core"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named pip" not in run.stderr
    assert (tmp_path / ".venv/bin/pip").exists()
    assert (tmp_path / ".venv/bin/activate").exists()
    assert "Installing the core" in run.stdout  # and here is nothing to install
    assert not (tmp_path / ".venv/.core").exists()


def test_ctrl_c_behind_make_leaves_the_manifest_of_a_folder_that_is_whole(tmp_path: Path) -> None:
    python = made_beside(tmp_path) / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\ntrap '' INT\nmkdir -p w/tiny\necho {} > w/tiny/manifest.json\nkill -INT 0\n")
    python.chmod(0o755)
    for stamp in (".core", ".train"):
        (tmp_path / ".venv" / stamp).touch()
    # Whatever runs in the background of a script was started deaf to Ctrl-C, tests and all; who types make is not.
    typed = ["env", "--default-signal=INT", "make", "WORKSPACE=w", "w/tiny/manifest.json"]
    run = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, start_new_session=True)
    assert run.returncode != 0
    assert (tmp_path / "w/tiny/manifest.json").exists(), run.stderr


@pytest.mark.parametrize("name", READMES)
def test_every_command_in_a_readme_takes_the_flags_shown(name: str) -> None:
    typed = [line for line in commands(name) if line.startswith("python -m ")]
    assert typed
    for line in typed:
        known = help_text(line.split()[2])
        word = line.split()[3]
        if re.fullmatch("[a-z]+", word):  # a sub-command: its own flags count too
            assert re.search(rf"^ +{word}\b", known, re.M), f"{name}: {line}: no sub-command {word}"
            argv = [sys.executable, *line.split()[1:4], "--help"]
            known += subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for flag in re.findall(r"--[a-z-]+", line):
            assert re.search(rf"{flag}\b", known), f"{name}: {line}: no flag {flag}"


def test_the_tree_names_every_module_of_the_rooms_and_nothing_else() -> None:
    named = tree("README.md")
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing, f"README.md names what is not there: {missing}"
    modules = {
        str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.stat().st_size
    }
    plain = {path for path in modules if Path(path).name not in ("__init__.py", "__main__.py")}
    unnamed = sorted(plain - named)
    assert not unnamed, f"README.md's tree has no line for {unnamed}"


def test_the_chinese_readme_has_the_same_bones() -> None:
    levels = [re.findall(r"^(#+) ", re.sub(r"^```.*?^```$", "", text(n), flags=re.M | re.S), re.M) for n in READMES]
    assert levels[0] == levels[1]
    assert len(code_blocks("README.md")) == len(code_blocks("README.zh.md"))
    assert commands("README.md") == commands("README.zh.md")
    assert tree("README.md") == tree("README.zh.md")


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_local_link_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", text(name))
    broken = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not broken


def test_ci_runs_make_test_and_passes_its_status_on() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    lines = text(".ci/run").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"


@pytest.mark.parametrize("room", ROOMS)
def test_every_library_a_room_imports_is_declared(room: str) -> None:
    from_dist = packages_distributions()
    known = declared("train", "evaluation") if room == "train" else declared()
    for name, path in imports(room).items():
        if name in sys.stdlib_module_names or name in ROOMS:
            continue
        dists = {canonicalize_name(d) for d in from_dist.get(name, [name])}
        assert dists & set(known), f"{path} imports {name}, which pyproject.toml does not declare"


def test_constraints_pin_every_declared_dependency_within_its_bounds() -> None:
    pinned = pins()
    for name, requirement in declared("test", "train").items():
        assert name in pinned, f"constraints.txt does not pin {name}"
        assert pinned[name] in requirement.specifier, f"{name}=={pinned[name]} is outside {requirement}"


def test_every_pinned_version_takes_the_oldest_python_we_name() -> None:
    """A patch release of it too: Debian 12 has 3.11.2, where a pin that wants 3.11.5 ends an installation."""
    oldest = f"{PROJECT['requires-python'].removeprefix('>=')}.0"
    looked = 0
    for name, version in pins().items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if found.version == version:
            looked += 1
            assert oldest in SpecifierSet(found.metadata["Requires-Python"] or ""), f"{name}=={version}"
    assert looked > 100


def test_constraints_pin_all_that_the_core_and_the_tests_bring() -> None:
    pinned, seen, waiting = pins(), set(), list(declared("test").values())
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in requirement.extras or {""}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            assert name in pinned, f"constraints.txt does not pin {name}, which comes along"
            try:
                brought = [Requirement(line) for line in distribution(name).requires or []]
            except PackageNotFoundError:
                pytest.fail(f"{name} is not installed here; run make test")
            waiting += [r for r in brought if not r.marker or r.marker.evaluate({"extra": extra})]


def test_the_changelog_has_this_version() -> None:
    assert re.search(rf"^## \[{re.escape(PROJECT['version'])}\]", text("CHANGELOG.md"), re.M)
