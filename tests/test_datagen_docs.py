"""docs/datagen.md and the readmes say what the commands do: every flag, every fault, and a chain that runs."""

import argparse
import importlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from conftest import ROOT
from fake import fake_server

from data.command import Parser, commands
from datagen.asking import add_asking
from datagen.filters import INSTANCE, INSTRUCTION
from datagen.templates import PROMPTS
from datagen.validate import FAULTS

DOCS = ("docs/datagen.md", "docs/datagen.zh.md")
BOTH = pytest.mark.parametrize("name", DOCS)
COMMANDS = tuple(commands("datagen"))
SHARED = {
    "docs/datagen.md": "What every command takes",
    "docs/datagen.zh.md": "各命令共有的参数",
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class Parsed(Exception):
    """Raised in place of running a command whose flags were understood."""


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(source: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", source, re.M | re.S)


def typed(source: str) -> list[list[str]]:
    """The words of each line in the bash blocks that runs a module, without `python -m` and a closing &."""
    lines = [line for block in blocks(source, "bash") for line in block.splitlines()]
    words = [shlex.split(line.removesuffix("&"), comments=True) for line in lines]
    return [found[2:] for found in words if found[:2] == ["python", "-m"]]


def section(source: str, title: str) -> str:
    """What stands under a heading, up to the next of its depth or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", source, re.M | re.S)
    assert found, f"no heading '{title}'"
    return found[2]


def rows(source: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins with this cell."""
    found = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", source, re.M)
    assert found, f"no table '{first}'"
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in found[1].splitlines()]


@cache
def flags(command: str) -> frozenset[str]:
    """Every flag of a command, as its own parser has them."""
    if command == "shared":
        made = argparse.ArgumentParser(add_help=False)
        add_asking(made, "x")
        return frozenset(flag for action in made._actions for flag in action.option_strings)
    seen: list[str] = []

    def stop(self: Parser, *_: Any, **__: Any) -> None:
        seen.extend(self._flags())
        raise Parsed

    with patch.object(Parser, "parse_args", stop), pytest.raises(Parsed):
        importlib.import_module(f"datagen.{command}").main([])
    return frozenset(flag for flag in seen if flag.startswith("--"))


@pytest.mark.parametrize("name", [*DOCS, "README.md", "README.zh.md"])
def test_every_command_line_is_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    understand = Parser.parse_args

    def parse(self: Parser, *args: Any, **more: Any) -> None:
        understand(self, *args, **more)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse)
    lines = [words for words in typed(text(name)) if words[0].startswith("datagen.")]
    assert len(lines) >= 5
    for module, *argv in lines:
        with pytest.raises(Parsed):
            importlib.import_module(module).main(argv)


@BOTH
@pytest.mark.parametrize("command", COMMANDS)
def test_the_docs_name_every_flag_of_each_command_and_no_other(name: str, command: str) -> None:
    named = set(FLAG.findall(section(text(name), command)))
    known = flags(command) - {"--help"}
    asks = "--base-url" in known
    shared = set(FLAG.findall(section(text(name), SHARED[name])))
    if asks:
        assert flags("shared") <= shared
    missing = known - named - shared
    assert not missing, f"{name}: {command}: not named: {sorted(missing)}"
    unknown = named - known
    assert not unknown, f"{name}: {command} has no {sorted(unknown)}"


@BOTH
def test_no_flag_is_named_that_nothing_has(name: str) -> None:
    prose = re.sub(r"^# .*$", "", re.sub(r"^\| (?:vLLM|SGLang|llama).*$", "", text(name), flags=re.M), flags=re.M)
    servers = {"--api-key", "--alias", "--parallel", "--served-model-name", "--generation-config"}  # flags of theirs
    exports = {"--sources"}
    known = {flag for command in COMMANDS for flag in flags(command)}
    assert set(FLAG.findall(prose)) <= known | servers | exports


def test_the_table_of_faults_is_the_codes_own() -> None:
    wanted = [[f"`{fault}`", held.policy, held.meaning] for fault, held in FAULTS.items()]
    assert rows(text("docs/datagen.md"), "fault") == wanted
    chinese = rows(text("docs/datagen.zh.md"), "故障")
    assert [row[0] for row in chinese] == [row[0] for row in wanted]
    assert all(re.search(r"[\u4e00-\u9fff]", row[2]) for row in chinese)
    words = {(fault.policy, row[1]) for row, fault in zip(chinese, FAULTS.values(), strict=True)}
    assert len(words) == len({fault.policy for fault in FAULTS.values()})  # one word for each policy


def test_the_table_of_filters_is_the_codes_own() -> None:
    wanted = [[f"`{one}`", meaning] for one, meaning in {**INSTRUCTION, **INSTANCE}.items()]
    assert rows(text("docs/datagen.md"), "filter") == wanted
    assert [row[0] for row in rows(text("docs/datagen.zh.md"), "过滤器")] == [row[0] for row in wanted]


@BOTH
def test_every_template_is_named_with_its_command(name: str) -> None:
    head = "template" if name == DOCS[0] else "模板"
    named = {found for row in rows(text(name), head) for found in re.findall(r"`(\w+)`", row[0])}
    assert named == {path.name.split(".")[0] for path in PROMPTS.glob("*.jinja")}


@BOTH
def test_the_examples_of_prices_and_principles_are_what_the_code_reads(name: str, tmp_path: Path) -> None:
    from datagen.budget import read_prices
    from datagen.constitution import find_constitutions

    prices, constitution = blocks(text(name), "yaml")
    (tmp_path / "prices.yaml").write_text(prices)
    assert set(read_prices(tmp_path / "prices.yaml")) == {"my-model", "local-model"}
    (tmp_path / "house.yaml").write_text(constitution)
    (found,) = find_constitutions([tmp_path / "house.yaml"])
    assert [principle.id for principle in found.principles] == [yaml.safe_load(constitution)["principles"][0]["id"]]


def test_the_chinese_page_has_the_same_bones_and_the_same_commands() -> None:
    english, chinese = (text(name) for name in DOCS)
    bare = [re.sub(r"^```.*?^```$", "", source, flags=re.M | re.S) for source in (english, chinese)]
    levels = [re.findall(r"^(#+) ", one, re.M) for one in bare]
    assert levels[0] == levels[1]
    assert typed(english) == typed(chinese)
    numbers = [re.findall(r"\$[\d.]+|\d{1,3}(?:,\d{3})+|\d{4,}", one) for one in bare]
    assert sorted(numbers[0]) == sorted(numbers[1])
    for source in (english, chinese):
        anchors = {anchor(title) for title in re.findall(r"^#+ (.+)$", source, re.M)}
        assert set(re.findall(r"\]\(#([^)]+)\)", source)) <= anchors


def anchor(title: str) -> str:
    """A heading's address, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@BOTH
def test_the_plans_of_the_worked_example_are_what_a_dry_run_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = re.findall(r"^\| .*\$.*\|$", text(name), re.M)
    for flags_, start in (
        (["self_instruct", "--num", "200"], "| `self_instruct --num 200` |"),
        (["red_team", "--num", "100"], "| `red_team --num 100` |"),
    ):
        (line,) = (one for one in source if one.startswith(start))
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        importlib.import_module(f"datagen.{flags_[0]}").main([*flags_[1:], "--model", "fake", "--dry-run", "--json"])
        stages = json.loads(capsys.readouterr().out)["stages"]
        assert int(cells[1].replace(",", "")) == sum(stage["requests"] for stage in stages)
        assert float(cells[2].strip("$")) == pytest.approx(sum(stage["cost_usd"] for stage in stages))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to run in, and a fake server where commands ask without being told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONCORD_WORKSPACE", "workspace")
    with fake_server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield tmp_path


def test_the_chain_of_the_readme_runs_to_its_end(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = next(block for block in blocks(text("README.md"), "bash") if "datagen.fake_server" in block)
    chain = typed(f"```bash\n{block}```\n")
    assert [words[0] for words in chain] == [
        "datagen.fake_server",
        *(f"datagen.{name}" for name in ("self_instruct", "respond", "constitutional", "judge")),
        *["annotate.load"] * 2,
    ]
    loaded: list[Mapping[str, Any]] = []
    for module, *argv in chain[1:]:
        small = ["12" if word == "200" else word for word in argv]
        monkeypatch.setattr("sys.argv", [module, *small, "--json"])
        assert importlib.import_module(module).main() == 0, module
        loaded.append(json.loads(capsys.readouterr().out.strip().splitlines()[-1]))
    grown, answered, revised, judged, *projects = loaded
    assert grown["kept"] == answered["tasks"] == judged["tasks"] == projects[0]["tasks"] == 12
    assert revised["tasks"] == projects[1]["tasks"] == projects[1]["judgments"] > 0
    assert judged["judgments"] == projects[0]["judgments"] > 0
    assert sorted(path.name for path in place.iterdir() if path.is_dir()) == ["workspace"]
