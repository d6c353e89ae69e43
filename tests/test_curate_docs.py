"""docs/curating.md says what the commands do: every flag, every finding and setting, and lines that really run."""

import argparse
import ast
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import pytest
from conftest import ROOT
from fake import fake_server
from test_datagen_docs import Parsed, anchor, blocks, rows, section, text

from curate.auditing import Limits
from curate.beliefs import CLOSE
from curate.findings import NAMES
from curate.layouts import FORMATS
from curate.pairs import Source
from curate.recipe import Checks, Format
from curate.rules import Aggregate, DedupOn, Mode, Rules, SourceName
from data.command import Parser, commands
from data.cross_agreement import TOO_FEW as TOO_FEW_FOR_TWO
from data.errors import BadInput, CheckFailed, NotEnough
from data.intervals import TOO_FEW, TOO_FEW_GRADED

DOCS = ("docs/curating.md", "docs/curating.zh.md")
BOTH = pytest.mark.parametrize("name", DOCS)
COMMANDS = tuple(commands("curate"))
HEADS = {
    "docs/curating.md": ("finding", "limit", "setting", "format", "exit status", "file", "what"),
    "docs/curating.zh.md": ("发现", "界限", "设置", "格式", "退出状态", "文件", "内容"),
}
FEWER = {"curate.agreement": ["--replicates", "200"], "curate.aggregate": ["--replicates", "20"]}  # to be quick
SHARED = {"docs/curating.md": "What every command takes", "docs/curating.zh.md": "各命令共有的参数"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
NAMED = re.compile(r"`([\w.-]+)`")
COUNTS = ("1", "5", "10", "100", "900", "1000", "10000", "1000000", "10000000")  # of what was measured
NONE = {"docs/curating.md": "none", "docs/curating.zh.md": "无"}


def lines_typed(source: str) -> list[tuple[list[str], int]]:
    """The words of each line in the bash blocks that runs a module, and the status it says it ends with."""
    found = []
    for line in "\n".join(blocks(source, "bash")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"]:
            ends = re.search(r"# \D*(\d)$", line)
            found.append((words[2:], int(ends[1]) if ends else 0))
    return found


@cache
def flags(command: str) -> frozenset[str]:
    """Every flag of a command that its help shows."""
    seen: list[str] = []

    def stop(self: Parser, *_: Any, **__: Any) -> None:
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        seen.extend(flag for action in shown for flag in action.option_strings)
        raise Parsed

    with patch.object(Parser, "parse_args", stop), pytest.raises(Parsed):
        importlib.import_module(f"curate.{command}").main([])
    return frozenset(flag for flag in seen if flag.startswith("--"))


@BOTH
def test_every_command_line_is_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    understand = Parser.parse_args

    def parse(self: Parser, *args: Any, **more: Any) -> None:
        understand(self, *args, **more)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse)
    lines = lines_typed(text(name))
    assert {words[0].removeprefix("curate.") for words, _ in lines} >= set(COMMANDS)
    for (module, *argv), _ in lines:
        monkeypatch.setattr("sys.argv", [module, *argv])
        with pytest.raises(Parsed):
            importlib.import_module(module).main()


@BOTH
@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_names_every_flag_of_each_command_and_no_other(name: str, command: str) -> None:
    named = set(FLAG.findall(section(text(name), command)))
    shared = set(FLAG.findall(section(text(name), SHARED[name])))
    known = flags(command)
    assert not known - named - shared, f"{name}: {command}: not named: {sorted(known - named - shared)}"
    assert not named - known, f"{name}: {command} has no {sorted(named - known)}"


@BOTH
def test_no_flag_is_named_that_nothing_has(name: str) -> None:
    others = {"--overlap", "--both-orders", "--model", "--base-url", "--tasks"}  # of annotate.load and datagen.judge
    known = {flag for command in COMMANDS for flag in flags(command)}
    assert set(FLAG.findall(text(name))) <= known | others


def levels() -> dict[str, set[str]]:
    """The levels each finding can have, read from the functions that make it."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "curate").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for name, told in _told(function):
                    found.setdefault(name, set()).update(told)
    return found


def _told(function: ast.FunctionDef) -> Iterator[tuple[str, set[str]]]:
    constants = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "finding":
            name, level = call.args[:2]
            assert isinstance(name, ast.Constant)
            if isinstance(level, ast.Constant):
                yield str(name.value), {str(level.value)}
            else:
                told = _of(function, level)
                yield str(name.value), told or {str(one) for one in constants if one in ("info", "warn", "block")}


def _of(function: ast.FunctionDef, level: ast.expr) -> set[str]:
    """What a variable of this function is set to, where it is set in one place."""
    return {
        str(node.value)
        for line in ast.walk(function)
        if isinstance(line, ast.AnnAssign) and ast.dump(line.target).split("ctx")[0] == ast.dump(level).split("ctx")[0]
        for node in ast.walk(line.value or line.target)
        if isinstance(node, ast.Constant) and node.value in ("info", "warn", "block")
    }


@BOTH
def test_the_table_of_findings_is_the_codes_own(name: str) -> None:
    table = rows(text(name), HEADS[name][0])
    assert [row[0] for row in table] == [f"`{one}`" for one in NAMES]
    of = levels()
    assert of.keys() == NAMES.keys()
    assert {row[0].strip("`"): set(row[1].split(", ")) for row in table} == of
    if name == DOCS[0]:
        assert [row[2] for row in table] == list(NAMES.values())
    assert all(row[3] for row in table)


@BOTH
def test_the_table_of_limits_is_the_codes_own(name: str) -> None:
    wanted = {one: str(field.default) for one, field in Limits.model_fields.items() if one != "only"}
    assert {row[0].strip("`"): row[1] for row in rows(text(name), HEADS[name][1])} == wanted


@BOTH
def test_the_table_of_settings_is_the_recipes_own(name: str) -> None:
    wanted = {"project": NONE[name], "format": FORMATS[0]}
    for field, held in (Rules.model_fields | Checks.model_fields).items():
        value = held.get_default(call_default_factory=True)
        said = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
        wanted[field] = NONE[name] if value in (None, (), {}) else said
    wanted["dedup"] = "none"  # a word of its own
    table = rows(text(name), HEADS[name][2])
    assert {row[0].strip("`"): row[1] for row in table} == wanted
    for field, words in {"aggregate": Aggregate, "dedup": DedupOn, "pairs": Mode, "sources": SourceName}.items():
        (row,) = (row for row in table if row[0] == f"`{field}`")
        assert tuple(NAMED.findall(row[2])) == get_args(words)
    assert {f"`{one}`" for one in get_args(Source)} <= set(re.findall(r"`\w+`", text(name)))


@BOTH
def test_the_table_of_formats_is_the_codes_own(name: str) -> None:
    table = rows(text(name), HEADS[name][3])
    assert tuple(row[0].strip("`") for row in table) == FORMATS == get_args(Format)
    from curate.layouts import columns

    for row in table:
        named = set(NAMED.findall(row[2]))
        held = columns(row[0].strip("`"), set(), True)
        assert named <= held.keys() | set(FORMATS) | {"dataset_info.json"}, row[0]


@BOTH
def test_statuses_levels_and_numbers_are_the_codes_own(name: str) -> None:
    table = [int(row[0]) for row in rows(text(name), HEADS[name][4])]
    assert table == [0, CheckFailed.status, BadInput.status, NotEnough.status, 130]
    source = text(name)
    assert f"{CLOSE:g}".replace("e-0", "e-") in source
    assert TOO_FEW_GRADED == TOO_FEW_FOR_TWO
    assert re.search(rf"(?<!\d){TOO_FEW}(?!\d).*(?<!\d){TOO_FEW_FOR_TWO}(?!\d)", source)


@BOTH
def test_every_size_is_in_the_result_it_names(name: str) -> None:
    table = rows(text(name), HEADS[name][6])
    assert len(table) >= 9
    for row in table:
        file = ROOT / "bench/results" / row[3].strip("`")
        held = json.loads(file.read_text("utf-8"))
        known = set(re.findall(r"\d+(?:\.\d+)?", json.dumps(held).replace(",", "")))
        for number in re.findall(r"\d[\d,.]*\d|\d", " ".join(row[:3])):
            plain = number.replace(",", "")
            assert plain in known or plain in COUNTS, f"{name}: {number} is not in {file.name}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with what the page's lines read: a part of the judged sample, the recipe, the tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONCORD_STORE", raising=False)
    monkeypatch.setenv("CONCORD_WORKSPACE", "workspace")
    judged = tmp_path / "data/sample/judged/tasks.jsonl"
    judged.parent.mkdir(parents=True)
    with (ROOT / "data/sample/judged/tasks.jsonl").open(encoding="utf-8") as file:
        judged.write_text("".join(islice(file, 90)), "utf-8")
    shutil.copy(ROOT / "data/sample/export.yaml", "data/sample/export.yaml")
    for file_name, _, held in re.findall(r"^`([\w.]+)`[:：]\n\n```(\w+)\n(.*?)^```$", text(DOCS[0]), re.M | re.S):
        (tmp_path / file_name).write_text(held, "utf-8")
    return tmp_path


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """A command as one types it, to its exit status."""
    from data.errors import exit_status

    module, *argv = words
    monkeypatch.setattr("sys.argv", [module, *argv])
    return exit_status(lambda: int(importlib.import_module(module).main()))


def test_every_line_of_the_page_runs_in_its_order(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_server() as server:
        for words, status in lines_typed(text(DOCS[0])):
            there = [server.url if word.startswith("http://127.0.0.1:8000") else word for word in words]
            there += FEWER.get(words[0], [])
            assert run(there, monkeypatch) == status, f"{shlex.join(words)}: {capsys.readouterr().err}"
    known = set(NAMED.findall(section(text(DOCS[0]), "export")))
    assert known >= {"report.html", "README.md", "manifest.json"}
    paths = set(re.findall(r"`([\w./]+\.(?:jsonl|json|sha256|html|md|parquet))`", section(text(DOCS[0]), "export")))
    for folder in ("judged", "sft", "after"):
        export = place / "workspace/exports" / folder
        written = {path.relative_to(export).as_posix() for path in export.rglob("*") if path.is_file()}
        assert written <= paths, sorted(written - paths)
    assert (place / "workspace/texts-audit/data/texts.jsonl").read_text("utf-8").count("[EMAIL]") == 1
    kept = (place / "workspace/texts/data/train.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in kept] == ["t1", "t3"]


@BOTH
def test_every_file_that_the_code_says_it_writes_is_in_the_table_of_files(name: str) -> None:
    table = " ".join(cell for row in rows(text(name), HEADS[name][5]) for cell in row if cell)
    modules = ("rows", "evidence", "decisions", "repeated", "audited", "beliefs", "measured")
    sources = [ast.get_docstring(ast.parse((ROOT / f"curate/{one}.py").read_text("utf-8"))) or "" for one in modules]
    told = set(re.findall(r"^ +(audit/[\w.]+)  ", "\n".join(sources), re.M))
    assert len(told) >= 12
    export = section(text(name), "export")
    assert table
    assert not {one for one in told if f"`{one}`" not in export}


def test_what_the_first_five_minutes_show_is_what_they_show(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "data/sample/judged/tasks.jsonl", "data/sample/judged/tasks.jsonl")
    first = section(text(DOCS[0]), "Five minutes")
    for words, _ in lines_typed(first):
        assert run(words, monkeypatch) == 0
    agreement = section(text(DOCS[0]), "Are my annotators good enough?")
    assert run(lines_typed(agreement)[0][0], monkeypatch) == 0
    printed = {re.sub(r" +", " ", line) for line in capsys.readouterr().out.splitlines()}
    quoted = [*blocks(first, "text"), *blocks(agreement, "text")]
    for line in "".join(quoted).splitlines():
        assert re.sub(r" +", " ", line) in printed, line
    (findings,) = (line for line in printed if line.startswith("findings "))
    assert findings.count("warn style_bias: ") == 2
    assert "warn position_bias_person: 1 of 12" in findings
    report = (place / "workspace/exports/judged/report.html").read_text("utf-8")
    for number in ("1,131", "1,800", "0.34"):
        assert number in report


def test_the_chinese_page_has_the_same_bones_the_same_commands_and_the_same_tables() -> None:
    english, chinese = (text(name) for name in DOCS)
    bare = [re.sub(r"^```.*?^```$", "", source, flags=re.M | re.S) for source in (english, chinese)]
    marks = [re.findall(r"^(#+) ", one, re.M) for one in bare]
    assert marks[0] == marks[1]
    assert lines_typed(english) == lines_typed(chinese)
    for language in ("csv", "json", "text"):
        assert blocks(english, language) == blocks(chinese, language)
    tables = [re.findall(r"^\|.*\|$", one, re.M) for one in bare]
    assert [line.count("|") for line in tables[0]] == [line.count("|") for line in tables[1]]
    first = [[line.split("|")[1].strip() for line in one if "`" in line.split("|")[1]] for one in tables]
    assert [NAMED.findall(cell) for cell in first[0]] == [NAMED.findall(cell) for cell in first[1]]
    numbers = [re.findall(r"\d+(?:[.,]\d+)+|\d{3,}", one) for one in bare]
    assert sorted(numbers[0]) == sorted(numbers[1])
    assert [re.search(r"[\u4e00-\u9fff]", line) is None for line in chinese.splitlines() if line.startswith("#")].count(
        True
    ) == len(COMMANDS)
    for source in (english, chinese):
        anchors = {anchor(title) for title in re.findall(r"^#+ (.+)$", source, re.M)}
        assert set(re.findall(r"\]\(#([^)]+)\)", source)) <= anchors


def test_a_blocked_export_leaves_a_report_beside_and_each_way_on_works(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = [{"annotator": who, "shown": [1, 2], "choice": "A"} for who in ("a", "b")]
    tasks = [
        {"id": f"p{n}", "kind": "ab", "prompt": f"Question {n} about {word}", "judgments": judged}
        | {"responses": [{"text": answer}, {"text": f"I cannot say, {word}"}]}
        for n, (word, answer) in enumerate([("tea", "Write to jo@mail-house.org"), ("rain", "It falls in autumn")])
    ]
    Path("pd.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks), "utf-8")
    assert run(["annotate.load", "pd.jsonl", "--project", "pd"], monkeypatch) == 0
    line = ["curate.export", "--project", "pd", "--out", "workspace/pd"]
    assert run(line, monkeypatch) == 1
    assert "pd.refused/report.html" in capsys.readouterr().err
    assert "jo@mail-house.org" not in Path("workspace/pd.refused/report.html").read_text("utf-8")
    assert run([*line, "--drop", "private_data"], monkeypatch) == 0
    assert len(Path("workspace/pd/audit/dropped.jsonl").read_text("utf-8").splitlines()) == 1
    assert run([*line, "--force", "--allow", "private_data"], monkeypatch) == 0
    assert json.loads(Path("workspace/pd/manifest.json").read_bytes())["config"]["checks"]["allow"] == ["private_data"]
    copy = ["curate.audit", "workspace/pd", "--out", "workspace/copy", "--redact", "--allow", "private_data"]
    assert run(copy, monkeypatch) == 0
    capsys.readouterr()
    assert run(["curate.verify", "workspace/copy", "--json"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["proved"].startswith("every byte")


@BOTH
def test_the_readme_names_the_page(name: str) -> None:
    readme = "README.zh.md" if name.endswith(".zh.md") else "README.md"
    assert f"({name})" in text(readme)
