"""The pages about concepts, terms, formats, sizes and extensions say what the code says, in both languages."""

import importlib.util
import json
import re
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT
from test_datagen_docs import anchor, blocks, rows, section, text, typed

from curate.layouts import FORMATS as EXPORTS
from curate.layouts import columns
from curate.layouts import rows as export_rows
from data import formats
from data.formats import Reject, read
from data.jsonl import parse
from data.records import PreferencePair

TWINS = tuple(
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "docs").glob("*.md"))
    if not path.name.endswith(".zh.md") and path.stem not in ("datagen", "curating", "training")  # those have their own
)
LANGUAGES = pytest.mark.parametrize("end", [".md", ".zh.md"])
SHOWN = r"`([\w-]+)`(?:, two rows|，两行)?[:：]\n\n```json\n(.*?)\n```$"
FILES = re.compile(r"^`([\w./]+)`[:：]\n\n```(\w+)\n(.*?)^```$", re.M | re.S)


def chinese(name: str) -> str:
    return name.replace(".md", ".zh.md")


def _without_remarks(shown: list[str]) -> list[str]:
    """Blocks without what stands behind a # at a line's end, which each language says in its own words."""
    return [re.sub(r" {2,}# .*$", "", one, flags=re.M) for one in shown]


@pytest.mark.parametrize("name", TWINS)
def test_every_page_has_a_chinese_twin_with_the_same_bones(name: str) -> None:
    english, other = text(name), text(chinese(name))
    bare = [re.sub(r"^```.*?^```$", "", one, flags=re.M | re.S) for one in (english, other)]
    assert re.findall(r"^(#+) ", bare[0], re.M) == re.findall(r"^(#+) ", bare[1], re.M)
    assert [line.count("|") for line in bare[0].splitlines() if line.startswith("|")] == [
        line.count("|") for line in bare[1].splitlines() if line.startswith("|")
    ]
    assert typed(english) == typed(other)
    for language in ("json", "csv", "python", "text"):
        assert _without_remarks(blocks(english, language)) == _without_remarks(blocks(other, language))
    assert sorted(re.findall(r"\d+(?:[.,]\d+)+|\d{3,}", bare[0])) == sorted(
        re.findall(r"\d+(?:[.,]\d+)+|\d{3,}", bare[1])
    )
    assert f"]({Path(chinese(name)).name})" in english
    assert f"]({Path(name).name})" in other


@pytest.mark.parametrize("name", [*TWINS, *map(chinese, TWINS)])
def test_every_link_between_pages_and_to_their_headings_leads_somewhere(name: str) -> None:
    here = (ROOT / name).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", text(name)):
        file, _, heading = link.partition("#")
        target = (here / file).resolve() if file else ROOT / name
        assert target.exists(), f"{name}: {link}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            assert heading in {anchor(title) for title in titles}, f"{name}: {link}"
        if (
            name.endswith(".zh.md")
            and file.endswith(".md")
            and here == target.parent
            and "English" not in text(name).split(link)[0][-40:]
        ):
            assert file.endswith(".zh.md"), f"{name}: {link} leads out of Chinese"


@LANGUAGES
def test_every_layout_is_named_with_an_example_that_is_read_as_it(end: str, tmp_path: Path) -> None:
    source = text(f"docs/formats{end}")
    head = "layout" if end == ".md" else "布局"
    assert [row[0].strip("`") for row in rows(source, head)] == list(formats.FORMATS)
    seen = set()
    for name in formats.FORMATS:
        shown = FILES.findall(section(source, name))
        paths = []
        for file, _, held in shown:
            (tmp_path / file).write_text(held, "utf-8")
            paths.append([str(tmp_path / file)])
        for files in [[one for (one,) in paths]] if name == "outputs" else paths:
            reading = read(files)
            assert reading.format == name
            found = list(reading.rows)
            assert found
            assert not [row for row in found if isinstance(row, Reject)]
            seen.add(name)
    assert seen == set(formats.FORMATS) - {"dataset"}


@LANGUAGES
def test_the_fields_of_a_task_are_the_codes_own(end: str) -> None:
    from data.formats.tasks import KEYS

    head, yes = ("field", "yes") if end == ".md" else ("字段", "是")
    table = rows(text(f"docs/formats{end}"), head)
    assert sorted(row[0].strip("`") for row in table) == sorted(KEYS)
    assert {row[0] for row in table if row[1] == yes} == {"`prompt`", "`responses`"}


@LANGUAGES
def test_every_export_is_named_with_the_row_that_the_code_writes(end: str) -> None:
    source = text(f"docs/formats{end}")
    head = "format" if end == ".md" else "格式"
    assert tuple(row[0].strip("`") for row in rows(source, head)) == EXPORTS
    shown = dict(re.findall(SHOWN, source, re.M | re.S))
    pair = json.loads(shown["trl"])
    PreferencePair.model_validate(pair)
    for name in set(EXPORTS) - {"parquet"}:
        assert shown[name] == "\n".join(row.line().decode() for row in export_rows(name, [pair])), name


def test_the_pair_shown_comes_from_the_task_shown(tmp_path: Path) -> None:
    source = text("docs/formats.md")
    first = section(source, "tasks").split("```json\n")[1].split("\n")[0]
    (tmp_path / "tasks.jsonl").write_text(first + "\n", "utf-8")
    (row,) = read([str(tmp_path / "tasks.jsonl")]).rows
    pair = json.loads(dict(re.findall(SHOWN, source, re.M | re.S))["trl"])
    assert not isinstance(row, Reject)
    assert [pair["chosen_id"], pair["rejected_id"]] == [response.id for response in row.responses]
    assert pair["prompt_id"] == row.prompt.id
    assert pair["votes"] == {"chosen": 2, "rejected": 0, "tie": 0}


@LANGUAGES
def test_every_column_is_told_once_with_the_formats_that_have_it(end: str) -> None:
    head, every, but = ("column", "all", "all but ") if end == ".md" else ("列", "全部", "除 ")
    table = rows(text(f"docs/formats{end}"), head)
    held = {name: set(columns(name, set(), True)) for name in EXPORTS}
    assert sorted(row[0].strip("`") for row in table) == sorted(set().union(*held.values()))
    for row in table:
        named = set(re.findall(r"`([\w-]+)`", row[1]))
        told = set(EXPORTS) if row[1] == every else set(EXPORTS) - named if row[1].startswith(but) else named
        assert told == {name for name in EXPORTS if row[0].strip("`") in held[name]}, row[0]


@LANGUAGES
def test_the_probabilities_shown_follow_from_the_formula_shown(end: str) -> None:
    head = "votes" if end == ".md" else "票数"
    table = rows(text(f"docs/concepts{end}"), head)
    assert len(table) >= 5
    for votes, p in table:
        won, lost = map(int, re.findall(r"\d+", votes))
        assert Fraction(p) == (won + Fraction(1, 2)) / (won + lost + 1)
    assert [int(row[1]) for row in rows(text(f"docs/concepts{end}"), "decision" if end == ".md" else "判定")] == [
        0,
        1,
        3,
    ]


def test_the_records_named_are_the_records() -> None:
    from data import records

    for row in rows(text("docs/concepts.md"), "record"):
        assert hasattr(records, row[0].strip("`"))


def terms(name: str) -> list[tuple[str, str, str]]:
    lines = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \|$", text(name), re.M)
    return lines if name.endswith("glossary.md") else [(b, a, c) for a, b, c in lines]


def test_both_glossaries_have_the_same_terms_each_once_with_one_meaning() -> None:
    english, other = (terms(f"docs/glossary{end}") for end in (".md", ".zh.md"))
    assert len(english) >= 70
    assert [pair[:2] for pair in english] == [pair[:2] for pair in other]
    for column in (0, 1):
        assert len({pair[column] for pair in english}) == len(english)
    assert all(meaning.endswith(".") for _, _, meaning in english)
    assert all(re.search(r"[\u4e00-\u9fff].*。$", meaning) for _, _, meaning in other)


def test_every_chinese_term_of_the_glossary_is_the_word_of_pages_and_documents() -> None:
    places = [*(ROOT / "docs").glob("*.zh.md"), ROOT / "README.zh.md", ROOT / "annotate/page/words/zh.json"]
    held = "\n".join(path.read_text("utf-8") for path in places if "glossary" not in path.name)
    unused = [
        term for _, term, _ in terms("docs/glossary.md") if re.search(r"[\u4e00-\u9fff]", term) and term not in held
    ]
    assert set(unused) <= {"评测污染", "位置偏好", "微调", "来历", "困惑度", "KL 散度"}, (
        unused
    )  # told of in other words there, each at length
    others = {
        "标注者": "标注员|标注人",
        "账本": "账簿",
        "门禁": "闸门",
        "租约": "租期",
        "提示": "提示词",
        "契约": "合同",
        "模型裁判": "裁判模型",
    }
    for term, wrong in others.items():
        assert not re.findall(wrong, held), f"{wrong} in place of {term}"


@LANGUAGES
def test_every_measured_figure_of_scaling_is_in_the_result_it_names(end: str) -> None:
    table = rows(text(f"docs/scaling{end}"), "what" if end == ".md" else "内容")
    assert len(table) >= 7
    for _, figure, file in table:
        known = re.findall(r"\d+(?:\.\d+)?", (ROOT / "bench/results" / file.strip("`")).read_text("utf-8"))
        for number in re.findall(r"\d[\d,.]*\d|\d", figure):
            assert number.replace(",", "") in known, f"{number} is not in {file}"


def seconds(told: str) -> float:
    value, unit = told.split()
    return float(value) * {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]


@LANGUAGES
def test_every_reckoned_time_follows_from_the_measured_figure_beside_it(end: str) -> None:
    table = rows(text(f"docs/scaling{end}"), "step" if end == ".md" else "步骤")
    assert len(table) >= 6
    for _, measured, *reckoned, file in table:
        numbers = [number.replace(",", "") for number in re.findall(r"\d[\d,.]*\d|\d", measured)]
        known = re.findall(
            r"\d+(?:\.\d+)?", (ROOT / "bench/results" / file.strip("`")).read_text("utf-8").replace(",", " ")
        )
        known += re.findall(r"\d[\d,]*\d", (ROOT / "bench/results" / file.strip("`")).read_text("utf-8"))
        assert all(number in known or number in ("1000000", "10000000") for number in numbers), measured
        if "µs" in measured:
            each = float(numbers[0]) / 1e6
        elif len(numbers) == 1:
            each = 1 / float(numbers[0])
        else:
            each = float(numbers[1]) / float(numbers[0])
        for rows_, told in zip((1e5, 1e7, 1e9), reckoned, strict=True):
            assert seconds(told) == pytest.approx(each * rows_, rel=0.06), f"{measured}: {told}"


@LANGUAGES
def test_the_load_of_annotators_is_reckoned_from_the_measured_rate(end: str) -> None:
    held = json.loads((ROOT / "bench/results/closed_loop_sqlite.json").read_text("utf-8"))
    measured = next(one["ops_per_s"] for one in held["ours"] if one["annotators"] == 100)
    table = rows(text(f"docs/scaling{end}"), "annotators" if end == ".md" else "标注者")
    assert {row[0] for row in table} == {"10", "100", "1,000"}
    for people, every, rate, share, _ in table:
        wanted = int(people.replace(",", "")) / float(every.removesuffix(" s"))
        assert float(rate) == pytest.approx(wanted, rel=0.03)
        assert float(share.rstrip("%")) == pytest.approx(100 * wanted / measured, rel=0.35 if wanted < 1 else 0.03)


@LANGUAGES
def test_the_hours_of_gpus_are_what_the_estimator_says(end: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = text(f"docs/scaling{end}")
    (line,) = (words for words in typed(source) if words[0] == "train.estimate")
    for pairs, one, eight in rows(source, "pairs" if end == ".md" else "偏好对"):
        argv = [
            pairs.replace(",", "") if before == "--pairs" else word
            for before, word in zip(["", *line], line, strict=False)
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", argv)
            assert importlib.import_module("train.estimate").main() == 0
        (hours,) = re.findall(r"^time +([\d.]+) h on H100", capsys.readouterr().out, re.M)
        assert one == f"{hours} h"
        assert float(eight.split()[0]) == pytest.approx(float(hours) / 8, rel=0.05)


@pytest.fixture
def graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The layout that the page writes, loaded as the page says; its file lies in the folder one runs in."""
    shown = {name: held for name, _, held in FILES.findall(text("docs/extending.md"))}
    (tmp_path / "graded.py").write_text(shown["data/formats/graded.py"], "utf-8")
    (tmp_path / "graded.jsonl").write_text(shown["graded.jsonl"], "utf-8")
    spec = importlib.util.spec_from_file_location("graded", tmp_path / "graded.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    layouts: Any = (*formats.LAYOUTS, module)
    monkeypatch.setattr(formats, "LAYOUTS", layouts)
    monkeypatch.setitem(formats.FORMATS, module.NAME, module.LINE)
    monkeypatch.chdir(tmp_path)
    return module


def test_the_layout_that_the_page_adds_is_recognised_and_rejects_what_the_page_says(
    graded: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from annotate.load import main

    monkeypatch.setattr("sys.argv", ["annotate.load", "graded.jsonl", "--project", "graded"])
    assert main() == 0
    told = capsys.readouterr()
    page = text("docs/extending.md")
    printed = {re.sub(r" +", " ", line) for line in told.out.splitlines()}
    for line in next(block for block in blocks(page, "text") if block.startswith("project")).splitlines():
        assert re.sub(r" +", " ", line) in printed
    found = list(read(["graded.jsonl"]).rows)
    (reject,) = (row for row in found if isinstance(row, Reject))
    assert f"`{reject.reason}`" in page
    better = [vote for row in found if not isinstance(row, Reject) for vote in row.votes]
    assert [vote.annotator_kind for vote in better] == ["rule", "rule"]


def test_the_loss_that_the_page_adds_is_its_formula_with_soft_labels_too(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    source = text("train/dpo_losses.py")
    named, formula = (block for block in blocks(text("docs/extending.md"), "python") if "squared_hinge" in block)
    for shown in (named, formula):
        lines = shown.splitlines(keepends=True)
        place = lines[0] + lines[-1] if shown is named else lines[-1]
        assert source.count(place) == 1, place
        source = source.replace(place, shown)
    (tmp_path / "more_losses.py").write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location("more_losses", tmp_path / "more_losses.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["more_losses"] = module
    spec.loader.exec_module(module)
    one = torch.ones(3)
    scored = module.Scored(torch.tensor([1.0, -2.0, 9.0]), 0 * one, 0 * one, 0 * one, one, one)
    delta, p, beta = scored.chosen, torch.tensor([0.9, 0.5, 0.2]), 0.3
    there, back = (torch.clamp(1 - side * beta * delta, min=0) ** 2 for side in (1, -1))
    del sys.modules["more_losses"]
    assert torch.allclose(module.pair_losses("squared_hinge", scored, beta=beta), there)
    assert torch.allclose(module.pair_losses("squared_hinge", scored, beta=beta, p=p), p * there + (1 - p) * back)


@LANGUAGES
def test_every_place_that_the_page_names_is_there(end: str) -> None:
    source = text(f"docs/extending{end}")
    table = rows(source, "what" if end == ".md" else "内容")
    places = [line for line in source.splitlines() if line.startswith("| ") and line.count("|") == 4 and "`" in line]
    assert table
    assert len(places) >= 11
    for line in places:
        _, where, look = (cell.strip() for cell in line.strip("| ").split(" | "))
        assert look.strip("`") in text(where.strip("`")), line
    for path in re.findall(r"`((?:data|annotate|curate|datagen|train|tests|docs)/[\w./]+)`", source):
        assert (ROOT / path).exists() or path == "data/formats/graded.py", path
    for path in re.findall(r"`(test_\w+\.py)`", source):
        assert (ROOT / "tests" / path).exists()


def test_an_example_in_json_is_json() -> None:
    for name in TWINS:
        for block in blocks(text(name), "json"):
            for line in block.splitlines():
                value, problem = parse(line.encode())
                assert value is not None, problem
