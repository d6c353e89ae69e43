"""docs/training.md says what training does: every setting, loss, measure and flag, and lines that really run."""

import argparse
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

from data.command import Parser, commands
from data.errors import BadInput, CheckFailed, NotEnough
from train.cases import MEASURES
from train.contract import KEYS, Clause, read_contract
from train.dpo_losses import BATCHWISE, OTHER_LOSSES, SMOOTHED
from train.gate_run import STATUS
from train.looks import PLANNED
from train.losses import DPO_LOSSES
from train.measuring import SMALLER_IS_BETTER
from train.settings import RECORDS, Lora, Settings
from train.spending import spends
from train.watching import NAMES

DOCS = ("docs/training.md", "docs/training.zh.md")
BOTH = pytest.mark.parametrize("name", DOCS)
COMMANDS = tuple(commands("train"))
TRAINERS = tuple(RECORDS)
HEADS = {
    "docs/training.md": ("key", "loss", "measure", "warning", "clause key", "decision", "trap", "what", "file"),
    "docs/training.zh.md": ("键", "损失", "指标", "警告", "条款的键", "判定", "陷阱", "内容", "文件"),
}
ALL_TASKS = {"docs/training.md": "Every setting", "docs/training.zh.md": "全部设置"}
SHARED = {"docs/training.md": "What every command takes", "docs/training.zh.md": "各命令共有的参数"}
OF_TRAINERS = {"docs/training.md": "The flags of the trainers", "docs/training.zh.md": "四个训练命令的参数"}
WORDS = {
    "docs/training.md": {"none": "none", "needed": "needed", "more": "more", "less": "less"},
    "docs/training.zh.md": {"none": "无", "needed": "必填", "more": "越大越好", "less": "越小越好"},
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
NAMED = re.compile(r"`([\w.-]+)`")
QUICK = {
    **{f"train.{task}": ["--set", "steps=2", "batch=4", "lora.rank=2"] for task in TRAINERS},
    "train.evaluate": ["--limit", "6", "--max-tokens", "3"],
    "train.generate": ["--limit", "3", "--max-tokens", "4", "--keep-cut"],
    "train.merge": ["--texts", "3"],
}  # so that the whole page takes seconds
WRITERS = (
    ("evaluate", "evaluate_run"),
    ("gate", "gate_run"),
    ("generate", "generating"),
    ("influence", "influence_run"),
)
ELSEWHERE = {"--both-orders", "--model", "--base-url", "--tasks", "--num", "--use"}


class Line:
    """A line of a bash block that runs a module."""

    def __init__(self, typed: str) -> None:
        words = shlex.split(typed, comments=True)
        self.module, *self.argv = words[words.index("-m") + 1 :]
        self.launched = words[0] == "accelerate"
        self.needs = bool(re.search(r"# (?:needs|需要) ", typed)) or self.launched
        said = re.search(r"# (?:ends with|结束时为) (.+)$", typed)
        self.statuses = {int(one) for one in re.findall(r"\d+", said[1])} if said else {0}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Line) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return shlex.join([self.module, *self.argv])


def lines_typed(source: str) -> list[Line]:
    """Every such line, in order."""
    typed = "\n".join(blocks(source, "bash")).splitlines()
    return [Line(one) for one in typed if re.match(r"(python|accelerate launch .*) -m ", one)]


def made() -> list[tuple[str, list[str]]]:
    """The target and the variables of each line that runs make."""
    source = "\n".join(blocks(text(DOCS[0]), "bash"))
    split = [shlex.split(line, comments=True) for line in re.findall(r"^make .*", source, re.M)]
    return [(words[1], words[2:]) for words in split]


@cache
def flags(command: str) -> frozenset[str]:
    """Every flag of a command that its help shows."""
    seen: list[str] = []

    def stop(self: Parser, *_: Any, **__: Any) -> None:
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        seen.extend(flag for action in shown for flag in action.option_strings)
        raise Parsed

    with patch.object(Parser, "parse_args", stop), pytest.raises(Parsed):
        importlib.import_module(f"train.{command}").main([])
    return frozenset(flag for flag in seen if flag.startswith("--"))


@BOTH
def test_every_command_line_is_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    understand = Parser.parse_args

    def parse(self: Parser, *args: Any, **more: Any) -> None:
        understand(self, *args, **more)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse)
    lines = lines_typed(text(name))
    assert {line.module.removeprefix("train.") for line in lines} >= set(COMMANDS)
    for line in lines:
        monkeypatch.setattr("sys.argv", [line.module, *line.argv])
        with pytest.raises(Parsed):
            importlib.import_module(line.module).main()


def test_every_make_line_names_a_target_and_variables_that_it_takes() -> None:
    makefile = text("Makefile")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert {"sft-train", "reward-train", "dpo-train", "gated-adapter", "infer-benchmark", "cost"} <= targets
    named = made()
    assert {target for target, _ in named} >= {"sft-train", "reward-train", "dpo-train", "gated-adapter"}
    for target, words in named:
        assert target in targets
        for word in words:
            assert re.search(rf"\$\((?:or \$\()?{word.partition('=')[0]}\)", makefile), word


@BOTH
@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_names_every_flag_of_each_command_and_no_other(name: str, command: str) -> None:
    own = section(text(name), OF_TRAINERS[name]) if command in TRAINERS else section(text(name), command)
    named = set(FLAG.findall(own))
    shared = set(FLAG.findall(section(text(name), SHARED[name])))
    known = flags(command)
    assert not known - named - shared, f"{name}: {command}: not named: {sorted(known - named - shared)}"
    theirs = frozenset().union(*map(flags, TRAINERS)) if command in TRAINERS else known  # told of all four together
    assert not named - theirs, f"{name}: {command} has no {sorted(named - theirs)}"


@BOTH
def test_no_flag_is_named_that_nothing_has(name: str) -> None:
    exports = {"--aggregate", "--format", "--sources", "--recipe", "--splits", "--kind"}
    known = {flag for command in COMMANDS for flag in flags(command)}
    assert set(FLAG.findall(text(name))) <= known | exports | ELSEWHERE


def spelt(value: Any, none: str) -> str:
    """A setting's default as the tables spell it."""
    if value in ("", {}) and not isinstance(value, bool):
        return none
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def defaults(task: str, none: str) -> dict[str, str]:
    """Every key of a task's settings, those of the adapter as lora.KEY, with its default."""
    found = {f"lora.{key}": spelt(field.default, none) for key, field in Lora.model_fields.items()}
    for key, field in RECORDS[task].model_fields.items():
        if key != "lora":
            found[key] = spelt(field.get_default(call_default_factory=True), none)
    return found


@BOTH
@pytest.mark.parametrize("task", TRAINERS)
def test_the_tables_of_settings_have_every_key_once_with_its_default(name: str, task: str) -> None:
    none = WORDS[name]["none"]
    every = [defaults(one, none) for one in TRAINERS]
    wanted = defaults(task, none)
    of_all = [key for key in wanted if len({one.get(key) for one in every}) == 1]
    tables = [rows(section(text(name), title), HEADS[name][0]) for title in (ALL_TASKS[name], task)]
    general = [row[0].strip("`") for row in tables[0]]
    assert general == sorted(of_all, key=_place)
    told = [(row[0].strip("`"), row[1]) for table in tables for row in table]
    assert len(told) == len(dict(told))
    assert dict(told) == wanted
    for table in tables:
        assert all(len(row) == 5 and all(row) for row in table)


def _place(key: str) -> tuple[int, int]:
    """Where a key stands in the code."""
    first, _, second = key.partition(".")
    return list(Settings.model_fields).index(first), list(Lora.model_fields).index(second) if second else 0


@BOTH
@pytest.mark.parametrize("task", TRAINERS)
def test_every_word_a_setting_can_take_is_named_in_its_row(name: str, task: str) -> None:
    for key, field in RECORDS[task].model_fields.items():
        words = [one for one in get_args(field.annotation) if isinstance(one, str)]
        if words and (task, key) != ("dpo", "loss") and key != "dtype":
            table = [*rows(section(text(name), ALL_TASKS[name]), HEADS[name][0])]
            table += rows(section(text(name), task), HEADS[name][0])
            (row,) = (row for row in table if row[0] == f"`{key}`")
            assert set(words) <= set(NAMED.findall(row[2])) | {row[1]}, key


@BOTH
def test_the_table_of_losses_is_the_codes_own(name: str) -> None:
    source = text(name)
    table = rows(source, HEADS[name][1])
    assert [row[0].strip("`") for row in table] == [*DPO_LOSSES, *OTHER_LOSSES, "orpo"]
    assert all(len(row) == 4 and all(row) for row in table)
    (smoothed,) = (row for row in rows(section(source, "dpo"), HEADS[name][0]) if row[0] == "`label_smoothing`")
    assert set(NAMED.findall(smoothed[2])) == set(SMOOTHED)
    losses = section(source, "DPO's losses" if name == DOCS[0] else "DPO 的损失")
    last = losses.strip().splitlines()[-1]
    assert set(NAMED.findall(last)) == set(BATCHWISE)


def test_the_formulas_of_the_losses_give_the_codes_numbers() -> None:
    """Each formula of the table, typed again as Python, beside the function, on a few pairs."""
    torch = pytest.importorskip("torch")
    from train.dpo_losses import Scored, pair_losses

    c, r = torch.tensor([0.7, -1.2, 0.1]), torch.tensor([-0.4, 0.3, 0.0])
    n, m = torch.tensor([3.0, 5.0, 2.0]), torch.tensor([4.0, 1.0, 2.0])
    ref = torch.tensor([-5.0, -7.0, -3.0])
    scored = Scored(ref + c, ref + r, ref, ref, n, m)
    s, ln = torch.sigmoid, torch.log
    b, e, d, mean = 0.5, 0.1, c - r, c / n - r / m
    t = s(b * d / 0.05)
    formulas = {
        "sigmoid": -ln(s(b * d)),
        "cdpo": -(1 - e) * ln(s(b * d)) - e * ln(s(-b * d)),
        "robust": (-(1 - e) * ln(s(b * d)) + e * ln(s(-b * d))) / (1 - 2 * e),
        "ipo": (mean - 1 / (2 * b)) ** 2,
        "hinge": torch.clamp(1 - b * d, min=0),
        "exo_pair": s(b * d) * ln(s(b * d) / (1 - e)) + s(-b * d) * ln(s(-b * d) / e),
        "nca_pair": -ln(s(b * c)) - 0.5 * ln(s(-b * c)) - 0.5 * ln(s(-b * r)),
        "bco_pair": -ln(s(b * c)) - ln(s(-b * r)),
        "sppo_hard": (c - 1 / (2 * b)) ** 2 + (r + 1 / (2 * b)) ** 2,
        "aot": -ln(s(b * (torch.sort(d).values - torch.sort(torch.zeros(3)).values))),
        "aot_unpaired": -ln(s(b * (torch.sort(c).values - torch.sort(r).values))),
        "apo_zero": 1 - s(b * c) + s(b * r),
        "apo_down": s(b * c) + 1 - s(b * (c - r)),
        "discopop": -(1 - t) * ln(s(b * d)) + t * torch.exp(-b * d),
        "sft": -(ref + c) * 3 / n.sum(),
        "sigmoid_norm": -ln(s(b * mean)),
    }
    assert set(formulas) == {*DPO_LOSSES, *OTHER_LOSSES}
    for name, wanted in formulas.items():
        smoothing = e if name in ("cdpo", "robust", "exo_pair") else 0.0
        assert torch.allclose(pair_losses(name, scored, beta=b, label_smoothing=smoothing), wanted, atol=1e-5), name


@BOTH
def test_the_tables_of_measures_and_warnings_are_the_codes_own(name: str) -> None:
    source, words = text(name), WORDS[name]
    table = rows(source, HEADS[name][2])
    assert tuple(row[0].strip("`") for row in table) == MEASURES
    assert {row[0].strip("`") for row in table if row[2] == words["less"]} == set(SMALLER_IS_BETTER)
    assert {row[2] for row in table} == {words["more"], words["less"]}
    assert tuple(row[0].strip("`") for row in rows(source, HEADS[name][3])) == NAMES


@BOTH
def test_contract_decisions_and_looks_are_the_codes_own(name: str, tmp_path: Path) -> None:
    source, words = text(name), WORDS[name]
    wanted = dict.fromkeys(KEYS, words["needed"])
    wanted |= {key: spelt(value, "") for key, value in Clause._field_defaults.items()}
    assert {row[0].strip("`"): row[1] for row in rows(source, HEADS[name][4])} == wanted
    assert [int(row[1]) for row in rows(source, HEADS[name][5])] == list(STATUS.values())
    for look in range(1, PLANNED + 1):
        assert f"{spends(look, PLANNED, 0.05):.4f}" in source
    for file, held in files_shown():
        (tmp_path / file).write_text(held, "utf-8")
    (clause,) = read_contract(tmp_path / "contract.yaml")
    assert set(clause._fields) == set(KEYS)


@BOTH
def test_every_trap_names_a_test_that_is_there(name: str) -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("test_train_*.py"))
    table = rows(text(name), HEADS[name][6])
    assert len(table) >= 8
    for row in table:
        (named,) = re.findall(r"`(test_\w+)`", row[2])
        assert f"def {named}(" in tests


@BOTH
def test_every_size_is_in_the_result_it_names(name: str) -> None:
    table = rows(text(name), HEADS[name][7])
    assert len(table) >= 9
    for row in table:
        held = json.loads((ROOT / "bench/results" / row[3].strip("`")).read_text("utf-8"))
        told = json.dumps(held, ensure_ascii=False).replace(",", "")
        known = set(re.findall(r"\d+(?:\.\d+)?", told))
        for number in re.findall(r"\d+(?:\.\d+)?%?", row[1].replace("top-1", "").replace("NF4", "")):
            assert number.rstrip("%") in known, f"{name}: {number} is not in {row[3]}"
        assert ("not run" in told) or row[1] not in ("not run", "未运行")


@BOTH
def test_statuses_are_the_codes_own(name: str) -> None:
    head = "exit status" if name == DOCS[0] else "退出状态"
    statuses = [int(row[0]) for row in rows(text(name), head)]
    assert statuses == [0, CheckFailed.status, BadInput.status, NotEnough.status, 130]


def files_shown() -> Iterator[tuple[str, str]]:
    """The files that the page shows, by name."""
    yield from re.findall(r"^`([\w.]+)`[:：]\n\n```\w+\n(.*?)^```$", text(DOCS[0]), re.M | re.S)


@pytest.fixture
def place(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with what the page's lines read: a tiny model, a part of the judged sample."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONCORD_STORE", raising=False)
    monkeypatch.setenv("CONCORD_WORKSPACE", "workspace")
    shutil.copytree(tiny, "workspace/tiny")
    shutil.copytree(ROOT / "train/configs", "train/configs")
    judged = tmp_path / "data/sample/judged/tasks.jsonl"
    judged.parent.mkdir(parents=True)
    with (ROOT / "data/sample/judged/tasks.jsonl").open(encoding="utf-8") as file:
        judged.write_text("".join(islice(file, 60)), "utf-8")
    for name in ("export.yaml", "contract.yaml"):
        shutil.copy(ROOT / "data/sample" / name, judged.parents[1] / name)
    with (ROOT / "data/sample/regression.jsonl").open(encoding="utf-8") as file:
        (judged.parents[1] / "regression.jsonl").write_text("".join(islice(file, 3)), "utf-8")
    for file_name, held in files_shown():
        (tmp_path / file_name).write_text(held, "utf-8")
    return tmp_path


def run(line: Line, argv: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """A command as one types it, to its exit status."""
    from data.errors import exit_status

    monkeypatch.setattr("sys.argv", [line.module, *argv])
    return exit_status(lambda: int(importlib.import_module(line.module).main()))


def test_every_line_of_the_page_runs_in_its_order(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in lines_typed(text(DOCS[0])) if not line.needs]
    assert len(lines) >= 25
    with fake_server() as server:
        for line in lines:
            argv = [server.url if word.startswith("http://127.0.0.1:8000") else word for word in line.argv]
            quick = QUICK.get(line.module, [])
            if "--best-of" not in argv:
                quick = [word for word in quick if word != "--keep-cut"]
            status = run(line, [*argv, *quick], monkeypatch)
            assert status in line.statuses, f"{line}: {status}: {capsys.readouterr().err}"
    page = section(text(DOCS[0]), "What lies in a run's folder")
    named = set(re.findall(r"`([\w./]+)`", page))
    for folder in ("sft-good-tiny", "reward-pairs-tiny", "dpo-pairs-tiny", "kto-rated-tiny"):
        runs = place / "workspace/runs" / folder
        written = {path.relative_to(runs).as_posix() for path in runs.rglob("*") if path.is_file()}
        assert {one for one in written if not one.startswith("model/")} <= named
        assert "model/adapter_config.json" in written
    log = (place / "workspace/reports/posttrain/experiment-log.md").read_text("utf-8")
    assert log.count("| done |") == sum(line.module.removeprefix("train.") in TRAINERS for line in lines)


@BOTH
def test_files_that_commands_say_they_write_are_named_with_them(name: str) -> None:
    for command, module in WRITERS:
        source = text(f"train/{module}.py")
        written = set(re.findall(r'folder\.write(?:_text)?\("((?:data|audit)/[\w.]+)"', source))
        assert written
        assert written <= set(re.findall(r"`([\w./]+)`", section(text(name), command))), command


def test_the_chinese_page_has_the_same_bones_the_same_commands_and_the_same_tables() -> None:
    english, chinese = (text(name) for name in DOCS)
    bare = [re.sub(r"^```.*?^```$", "", source, flags=re.M | re.S) for source in (english, chinese)]
    assert re.findall(r"^(#+) ", bare[0], re.M) == re.findall(r"^(#+) ", bare[1], re.M)
    assert lines_typed(english) == lines_typed(chinese)
    typed = [re.sub(r" +# .*", "", "\n".join(blocks(one, "bash"))) for one in (english, chinese)]
    assert typed[0] == typed[1]
    assert blocks(english, "yaml") == blocks(chinese, "yaml")
    tables = [re.findall(r"^\|.*\|$", one, re.M) for one in bare]
    assert [line.count("|") for line in tables[0]] == [line.count("|") for line in tables[1]]
    first = [[line.split("|")[1].strip() for line in one if "`" in line.split("|")[1]] for one in tables]
    assert [NAMED.findall(cell) for cell in first[0]] == [NAMED.findall(cell) for cell in first[1]]
    numbers = [re.findall(r"\d+(?:[.,]\d+)+|\d{3,}", one) for one in bare]
    assert sorted(numbers[0]) == sorted(numbers[1])
    plain = [line for line in chinese.splitlines() if line.startswith("#") and not re.search(r"[\u4e00-\u9fff]", line)]
    assert len([line for line in plain if line.startswith("### ")]) == len(COMMANDS)
    for source in (english, chinese):
        anchors = {anchor(title) for title in re.findall(r"^#+ (.+)$", source, re.M)}
        assert set(re.findall(r"\]\(#([^)]+)\)", source)) <= anchors


@pytest.mark.parametrize(("readme", "page"), [("README.md", DOCS[0]), ("README.zh.md", DOCS[1])])
def test_the_readme_names_the_page(readme: str, page: str) -> None:
    assert f"({page})" in text(readme)
