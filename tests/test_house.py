"""The house rules: rooms, doors, commands, names and sizes, read from the source of every module.

`faults(root)` walks a tree and names what breaks a rule; the first tests hold the real tree to it, the
rest plant each fault in a small tree and expect it to be named. That the README's file tree names every
module is held in test_project_files.py.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data", "annotate", "curate", "datagen", "train")
TRAINING = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate")
# What may import a vendor, as a pattern over module names, and in how many modules at most.
DOORS = {
    "openai": (r"datagen\.", 1),
    "duckdb": (r"curate\.", 1),
    "gradio": (r"annotate\.(view|app)", 99),
    "sqlalchemy": (r"data\.(store\w*|schema|migrations)$", 99),
    "psycopg": (r"data\.(store\w*|schema|migrations)$", 99),
    **dict.fromkeys(TRAINING, (r"train\.", 99)),
}
LONGEST = 60  # lines of a function, from its def to its end
LARGEST = 320  # lines of a file
LARGER = {
    "data.records": "the records are the contract, and are read as one",
    "data.sample.simulate": "one story told once: the judged project, the same bytes for the same seed",
}
"""Modules that may be larger, each with its reason."""
DUMPING_GROUNDS = ("utils", "util", "helpers", "helper", "common", "misc")
HEAVY = (
    *TRAINING,
    "gradio",
    "duckdb",
    "datasets",
    "pandas",
    "pyarrow",
    "scipy",
    "sqlalchemy",
    "psycopg",
    "openai",
)


class Module(NamedTuple):
    name: str
    lines: int
    tree: ast.Module
    imports: set[str]  # full dotted names, whatever function they stand in
    types_only: set[str]  # imported under `if TYPE_CHECKING:` alone

    @property
    def room(self) -> str:
        return self.name.split(".")[0]

    @property
    def is_command(self) -> bool:
        guarded = any(isinstance(n, ast.If) and "'__main__'" in ast.unparse(n.test) for n in self.tree.body)
        return guarded and not self.name.endswith("__main__")


def imported(node: ast.AST, package: str) -> Iterator[str]:
    """The dotted names one statement imports; `from a import b` gives a.b, whether b is a module or not."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        origin = ".".join(x for x in (base, node.module or "") if x)
        yield from (f"{origin}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "import_module",
        "importlib.import_module",
        "__import__",
    ):
        yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def modules(root: Path, rooms: tuple[str, ...] = ROOMS) -> dict[str, Module]:
    found = {}
    for path in sorted(p for room in rooms for p in (root / room).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        source = path.read_text("utf-8")
        tree = ast.parse(source)
        for_types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for statement in node.body
            for inner in ast.walk(statement)
        }
        real: set[str] = set()
        typed: set[str] = set()
        for node in ast.walk(tree):
            (typed if id(node) in for_types else real).update(imported(node, package))
        found[name] = Module(name, source.count("\n"), tree, real, typed - real)
    return found


def edges(tree: dict[str, Module], types_too: bool = True) -> dict[str, set[str]]:
    """Which of our modules each of our modules imports: the longest prefix of a name that is a module."""
    out: dict[str, set[str]] = {}
    for module in tree.values():
        out[module.name] = set()
        for name in module.imports | (module.types_only if types_too else set()):
            while name and name not in tree:
                name = name.rpartition(".")[0]
            if name and name != module.name:
                out[module.name].add(name)
    return out


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle in order, or an empty list."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for following in sorted(graph[name]):
            if round_trip := walk(following, [*path, name]):
                return round_trip
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def faults(root: Path) -> list[str]:
    """Everything in the tree that breaks a rule, one line each."""
    tree = modules(root)
    found = []
    for name, used in edges(tree).items():
        for other in sorted(used):
            here, there = tree[name].room, tree[other].room
            if here != there and here == "data":
                found.append(f"{name} imports {other}: data imports no room")
            elif here != there and there != "data":
                found.append(f"{name} imports {other}: rooms import data, never each other")
            if tree[other].is_command:
                found.append(f"{name} imports {other}: nobody imports a command")
    if found_cycle := cycle(edges(tree, types_too=False)):
        found.append(f"{' imports '.join([*found_cycle, found_cycle[0]])}: a cycle")
    for vendor, (allowed, most) in DOORS.items():
        users = [m.name for m in tree.values() if any(i.split(".")[0] == vendor for i in m.imports)]
        found += [f"{user} imports {vendor}: that is not its door" for user in users if not re.match(allowed, user)]
        if len(users) > most:
            found.append(f"{', '.join(users)} import {vendor}: one door is enough")
    for module in tree.values():
        if set(module.name.split(".")) & set(DUMPING_GROUNDS):
            found.append(f"{module.name}: a module is named after what it does")
        if module.is_command and f"python -m {module.name}" not in (ast.get_docstring(module.tree) or ""):
            found.append(f"{module.name}: its docstring does not say `python -m {module.name}`")
    return found


def too_long(root: Path) -> list[str]:
    """Functions and files of the rooms and the tour beyond their size, one line each; and reasons nobody needs."""
    tree = modules(root, (*ROOMS, "tour"))
    found = [
        f"{module.name}.{node.name} has {lines} lines: a function has at most {LONGEST}"
        for module in tree.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST
    ]
    for module in tree.values():
        if module.lines > LARGEST and module.name not in LARGER:
            found.append(f"{module.name} has {module.lines} lines: a file has at most {LARGEST}, or a reason in LARGER")
        elif module.lines <= LARGEST and module.name in LARGER:
            found.append(f"{module.name} has {module.lines} lines: it needs no reason in LARGER")
    return found


RUN = """
import runpy, sys
name, vendors = sys.argv[1], sys.argv[2].split(",")
sys.argv = [name, "--help"]
status = None
try:
    runpy.run_module(name, run_name="__main__", alter_sys=True)
except SystemExit as end:
    status = end.code
if status:
    sys.exit(f"--help ended with {status}")
print("loaded:", *[v for v in vendors if v in sys.modules])
"""


def loaded_by(name: str, root: Path, source: str = RUN) -> list[str]:
    """The heavy vendors in memory after a command's --help."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    line = [sys.executable, "-c", source, name, ",".join(HEAVY)]
    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("loaded:").split()


REAL = modules(ROOT)
COMMANDS = sorted(m.name for m in REAL.values() if m.is_command)
LISTS = sorted(name.removesuffix(".__main__") for name in REAL if name.endswith(".__main__"))  # `python -m room`
IMPORT_ROOMS = "import sys, importlib\nfor r in sys.argv[1].split(','): importlib.import_module(r)\n" + (
    "print('loaded:', *[v for v in sys.argv[2].split(',') if v in sys.modules])"
)


def test_the_tree_keeps_the_house_rules() -> None:
    assert len(REAL) > 20
    assert COMMANDS
    broken = faults(ROOT)
    assert not broken, "\n" + "\n".join(broken)


def test_functions_and_files_keep_to_their_size() -> None:
    found = too_long(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_importing_a_room_imports_no_heavy_vendor() -> None:
    assert loaded_by(",".join(ROOMS), ROOT, IMPORT_ROOMS) == []


def test_the_statistics_import_nothing_heavy() -> None:
    assert loaded_by("data.stats,data.text,data.records", ROOT, IMPORT_ROOMS) == []


@pytest.mark.parametrize("command", COMMANDS + LISTS)
def test_asking_a_command_for_help_imports_no_heavy_vendor(command: str) -> None:
    assert loaded_by(command, ROOT) == []


# The walker itself, on trees with one planted fault each


def plant(root: Path, **files: str) -> Path:
    """A tree of the five rooms with these modules in it; `annotate__app` is annotate/app.py."""
    for room in ROOMS:
        (root / room).mkdir(exist_ok=True)
        (root / room / "__init__.py").write_text("")
    for name, source in files.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(source)
    return root


GUARD = 'if __name__ == "__main__":\n    print("usage")\n'
GOOD = {
    "data__store": "import sqlalchemy\nfrom data.errors import Fault\n",
    "data__errors": "class Fault(Exception): ...\n",
    "curate__engine": "import duckdb\nfrom data import store\n",
    "curate__rows": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import duckdb\n",
    "curate__run": f'"""python -m curate.run"""\nfrom curate.engine import store\n{GUARD}',
    "annotate__app": "def build():\n    import gradio as gr\n    return gr\n",
    "datagen__client": "import openai.types\n",
    "train__dpo": "import torch, trl\nfrom transformers import AutoModel\n",
}


def test_a_good_tree_has_no_fault(tmp_path: Path) -> None:
    assert faults(plant(tmp_path, **GOOD)) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            {"curate__bad": "from annotate.app import build\n"},
            "curate.bad imports annotate.app: rooms import data",
        ),
        ({"curate__bad": "def f():\n    import annotate.app\n"}, "curate.bad imports annotate.app: rooms"),
        ({"train__bad": "from ..curate import rows\n"}, "train.bad imports curate.rows: rooms import data"),
        (
            {"curate__bad": "import importlib\nimportlib.import_module('train.dpo')\n"},
            "curate.bad imports train.dpo",
        ),
        (
            {"curate__bad": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import train.dpo\n"},
            "curate.bad imports train.dpo",
        ),
        ({"data__bad": "import curate\n"}, "data.bad imports curate: data imports no room"),
        (
            {"data__errors": "from data.store import x\n"},
            "data.store imports data.errors imports data.store: a cycle",
        ),
        (
            {"data__one": "from .two import x\n", "data__two": "def f():\n    from . import one\n"},
            "data.one imports data.two imports data.one: a cycle",
        ),
        (
            {"datagen__second": "from openai import OpenAI\n"},
            "datagen.client, datagen.second import openai: one door",
        ),
        ({"annotate__bad": "import openai\n"}, "annotate.bad imports openai: that is not its door"),
        ({"curate__second": "import duckdb\n"}, "curate.engine, curate.second import duckdb: one door"),
        ({"annotate__routes": "import gradio\n"}, "annotate.routes imports gradio"),
        ({"curate__bad": "from sqlalchemy import text\n"}, "curate.bad imports sqlalchemy"),
        ({"data__rows": "import psycopg\n"}, "data.rows imports psycopg"),
        ({"datagen__bad": "def f():\n    from torch import nn\n"}, "datagen.bad imports torch"),
        ({"curate__utils": ""}, "curate.utils: a module is named after what it does"),
        ({"data__common__text": ""}, "data.common.text: a module is named"),
        (
            {"curate__bad": "from curate.run import main\n"},
            "curate.bad imports curate.run: nobody imports a command",
        ),
        (
            {"curate__bad": "from curate import run\n"},
            "curate.bad imports curate.run: nobody imports a command",
        ),
        (
            {"curate__mute": f'"""Counts."""\n{GUARD}'},
            "curate.mute: its docstring does not say `python -m curate.mute`",
        ),
    ],
)
def test_a_planted_fault_is_named(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    found = faults(plant(tmp_path, **{**GOOD, **files}))
    assert any(line.startswith(fault) for line in found), found


def test_what_grows_beyond_its_size_is_named(tmp_path: Path) -> None:
    def of(lines: int, head: str) -> str:
        return head + "    x = 1\n" * (lines - 1)

    whole = of(LONGEST, "def just():\n") + "# room\n" * (LARGEST - LONGEST)
    within = "class A:\n    async def method(self):\n" + "        y = 1\n" * LONGEST
    plant(tmp_path, curate__whole=whole, curate__larger=whole + "# one more\n", data__records="x = 1\n")
    plant(tmp_path, train__long=within, tour__stages=of(LONGEST + 1, "def stage():\n"))
    assert too_long(tmp_path) == [
        "tour.stages.stage has 61 lines: a function has at most 60",
        "train.long.method has 61 lines: a function has at most 60",
        "curate.larger has 321 lines: a file has at most 320, or a reason in LARGER",
        "data.records has 1 lines: it needs no reason in LARGER",
    ]


def test_a_heavy_import_on_the_way_to_help_is_caught(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("")  # stands for the real one, which need not be installed
    late = f'"""python -m curate.late"""\ndef work():\n    import pandas\n{GUARD}'
    plant(
        tmp_path,
        curate__early=f'"""python -m curate.early"""\nimport curate.rows\n{GUARD}',
        curate__late=late,
    )
    (tmp_path / "curate/rows.py").write_text("import pandas\n")
    assert loaded_by("curate.early", tmp_path) == ["pandas"]
    assert loaded_by("curate.late", tmp_path) == []
    (tmp_path / "train/__init__.py").write_text("import pandas\n")
    assert loaded_by(",".join(ROOMS), tmp_path, IMPORT_ROOMS) == ["pandas"]
