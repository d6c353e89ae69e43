"""Every command line of README and docs runs: what a reader types, in its order, in an empty folder.

What no test machine has (a GPU, a key, another server, the network) is marked `# needs …` on the line, and its flags
alone are checked. Some pages are run by tests of their own (ELSEWHERE).
"""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from glob import glob
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fake import FakeServer, fake_server
from serving import opened, served
from test_datagen_docs import Parsed, blocks, text
from test_docs_pages import FILES, SHOWN

from annotate.answers import submit
from annotate.assign import claim
from annotate.projects import find_project
from data.command import Parser
from data.errors import exit_status

IN_ORDER = "test_every_line_of_the_page_runs_in_its_order"
ELSEWHERE = {
    "docs/annotating.md": ("test_backup_docs.py", "test_the_lines_run_one_after_another_and_the_one_for_cron_too"),
    "docs/curating.md": ("test_curate_docs.py", IN_ORDER),
    "docs/training.md": ("test_train_docs.py", IN_ORDER),
}
"""Pages whose lines another file runs."""
PAGES = ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md")))]
ENGLISH = [name for name in PAGES if not name.endswith(".zh.md")]
HERE = [name for name in ENGLISH if name not in ELSEWHERE and "```bash" in text(name)]
NEEDS = re.compile(r"# (?:needs|需要) ")
SHELL = ("source", "export", "mkdir", "cp")
"""What else a line may start with; `source` is for the reader's terminal alone."""
OF_THE_WHEEL = {
    "pip": "test_every_module_imports_from_the_installed_wheel",
    "concord": "test_the_page_is_served_outside_the_checkout",
}
"""What a line about the wheel starts with, and the test of tests/test_release.py that does what it says."""


def lines_of(name: str) -> list[str]:
    """What a reader types, without comments of their own line."""
    typed = "\n".join(blocks(text(name), "bash")).splitlines()
    return [line for line in typed if line.strip() and not line.startswith("#")]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """A module as one runs it from the folder one is in, to its exit status."""
    module, *argv = words
    spelled = [one for word in argv for one in (sorted(glob(word)) if "*" in word else [word])]
    monkeypatch.setattr("sys.argv", [module, *spelled])
    return exit_status(lambda: int(importlib.import_module(module).main()))


def understood(words: list[str]) -> None:
    """The flags of a line that cannot run here are those of its command."""

    def parse(self: Parser, *args: Any, **more: Any) -> None:
        whole(self, *args, **more)
        raise Parsed

    whole = Parser.parse_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", parse)
        patch.setattr("sys.argv", words)
        command = importlib.import_module(words[0])
        with pytest.raises(Parsed):
            command.main()


def judged(project: str) -> int:
    """Everybody judges all that is there for them, as they would on the page, by one taste: what they see stands in an
    order that is drawn anew for each, and people who go by it alone leave nothing to export one time in eight."""
    done = 0
    with opened(os.environ.get("CONCORD_STORE") or "sqlite:///workspace/concord.db") as store:
        with store.read() as tx:
            place = find_project(tx, project).id
            people = [r.annotator for r in tx.all("SELECT annotator FROM members WHERE project = :p", p=place)]
        for person in people:
            while True:
                with store.write() as tx:
                    lease = claim(tx, place, person)
                    if lease is None:
                        break
                    text_of = {response.id: response.text for response in lease.task.responses}
                    ranked = sorted(lease.shown, key=text_of.__getitem__)
                    said: dict[str, Any] = {"ranking": [[one] for one in ranked]}
                    if lease.task.kind == "ab":
                        said = {"choice": "AB"[lease.shown.index(ranked[0])]}
                    submit(tx, person, lease.token, {"verdict": "answered", **said})
                    done += 1
    return done


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with nothing but what the reader was told to save, as if it were the clone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONCORD_STORE", raising=False)
    monkeypatch.setenv("CONCORD_WORKSPACE", "workspace")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


@pytest.fixture
def model() -> Iterator[FakeServer]:
    with fake_server() as server:
        yield server


def module_of(line: str) -> list[str]:
    """The words of a line from its module on; none when it runs no module."""
    words = shlex.split(line.removesuffix("&"), comments=True)
    return words[words.index("-m") + 1 :] if "-m" in words and words[0] in ("python", "accelerate") else []


@pytest.mark.parametrize("name", [*PAGES, "README.zh.md"])
def test_every_line_is_of_a_kind_that_is_run(name: str) -> None:
    for line in lines_of(name):
        assert module_of(line) or line.split()[0] in ("make", *SHELL, *OF_THE_WHEEL), f"{name}: {line}"
    for test in OF_THE_WHEEL.values():
        assert f"def {test}(" in text("tests/test_release.py")


def test_every_page_is_run_here_or_by_a_test_of_its_own() -> None:
    for file, test in ELSEWHERE.values():
        assert f"def {test}(" in text(f"tests/{file}")
    ran = {"README.md", "docs/getting-started.md", "docs/datagen.md", "docs/formats.md"}
    only_flags = {"docs/scaling.md", "docs/extending.md", "docs/index.md"}  # see the tests below
    assert set(HERE) == ran | only_flags


@pytest.mark.parametrize("name", PAGES)
def test_what_is_marked_to_need_something_is_understood(name: str) -> None:
    for line in lines_of(name):
        if NEEDS.search(line) and not line.startswith("make"):
            understood(module_of(line))


def test_every_line_of_getting_started_runs_in_its_order(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = text("docs/getting-started.md")
    for file, _, held in FILES.findall(source):
        Path(file).write_text(held, "utf-8")
    serving = 0
    for line in lines_of("docs/getting-started.md"):
        words = module_of(line)
        if "annotate.serve" in words:
            with served("sqlite:///workspace/concord.db"):
                serving += judged("first")
        elif words:
            assert run(words, monkeypatch) == 0, f"{line}: {capsys.readouterr().err}"
    assert serving == 6  # as the page says
    (code,) = blocks(source, "python")
    capsys.readouterr()
    exec(code, {})
    assert "content" in capsys.readouterr().out


def test_every_line_of_the_readme_s_walk_runs_in_its_order(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = next(block for block in blocks(text("README.md"), "bash") if "annotate.load outputs" in block)
    Path("outputs").mkdir()
    for model_name in ("small", "large", "older"):
        rows = [{"instruction": f"Question {n}?", "output": f"{model_name} says {n}"} for n in range(3)]
        Path(f"outputs/{model_name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ran = 0
    for line in walk.splitlines():
        words = module_of(line)
        if "annotate.serve" in words:
            with served("sqlite:///workspace/concord.db"):
                assert judged("answers") == 6
        elif words:
            assert run(words, monkeypatch) == 0, f"{line}: {capsys.readouterr().err}"
        ran += bool(words)
    assert ran == 7
    (code,) = blocks(text("README.md"), "python")
    held: dict[str, Any] = {}
    exec(code, held)
    assert sum(split.num_rows for split in held["pairs"].values()) > 0


def test_every_line_of_formats_runs_in_its_order(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = text("docs/formats.md")
    for file, _, held in FILES.findall(source):
        Path(file).write_text(held, "utf-8")
    for line in lines_of("docs/formats.md"):
        if not NEEDS.search(line):
            assert run(module_of(line), monkeypatch) == 0, f"{line}: {capsys.readouterr().err}"
    (row,) = Path("workspace/exports/formats/data/train.jsonl").read_text("utf-8").splitlines()
    shown = json.loads(dict(re.findall(SHOWN, source, re.M | re.S))["trl"])
    made = json.loads(row)
    assert {**made, "task_id": "", "judgment_ids": [], "id": ""} == {
        **shown,
        "task_id": "",
        "judgment_ids": [],
        "id": "",
    }


def test_every_line_of_generating_runs(
    place: Path, model: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _files_for_generating()
    monkeypatch.setenv("OPENAI_BASE_URL", model.url)
    waiting, ran = lines_of("docs/datagen.md"), 0
    while waiting:  # the reference is by command: what one command reads, a later one may write
        ready = [line for line in waiting if all(map(Path.exists, _read_by(line)))]
        assert ready, waiting
        line = ready[0]
        waiting.remove(line)
        words = module_of(line)
        if line.startswith("export"):
            key, _, value = shlex.split(line)[1].partition("=")
            if key != "OPENAI_BASE_URL":
                monkeypatch.setenv(key, value.rstrip("…"))
        elif line.startswith(("mkdir", "cp")):
            subprocess.run(shlex.split(line), check=True)
        elif "datagen.fake_server" in words:
            with fake_server(*[word for at, word in enumerate(words[1:]) if "--port" not in words[at : at + 2]]):
                pass
        else:
            status, told = run(_quick(words, model.url), monkeypatch), capsys.readouterr().err
            nothing = "--cause" in words and "is in no attempt" in told  # what the line looks for did not happen here
            assert status == (2 if nothing else 0), f"{line}: {told}"
            ran += 1
    assert ran >= 30


def _read_by(line: str) -> list[Path]:
    """The files under workspace/ that a line reads."""
    words = module_of(line)
    made = ("--out", "--index")
    return [Path(word) for before, word in pairwise(words) if word.startswith("workspace/") and before not in made]


def _quick(words: list[str], url: str) -> list[str]:
    """The same line for fewer rows, at the server that is there; a folder of before is made anew."""
    less = {"--num": "6", "--base-url": url, "--concurrency": "8"}
    made = [less.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    return [*made, "--force"] if "--out" not in made and "--dry-run" not in made and words[0] in AGAIN else made


OURS = ("annotate", "curate", "train", "bench", "tour")
AGAIN = {f"datagen.{name}" for name in ("self_instruct", "respond", "constitutional", "judge", "red_team")}


def _files_for_generating() -> None:
    """The files of one's own that the page's lines name, and our template that one of them copies."""
    prices = next(block for block in blocks(text("docs/datagen.md"), "yaml") if "my-model" in block)
    mine = prices[prices.index("my-model:") :].split("\n\n")[0].split("local-model")[0]
    Path("prices.yaml").write_text(prices + mine.replace("my-model", "gpt-4.1-mini"), "utf-8")
    tasks = [
        {"id": str(n), "kind": "ab", "prompt": f"Question {n}?", "responses": [f"One of {n}", f"Another of {n}"]}
        for n in range(3)
    ]
    seed = {
        "instruction": "Name three rivers of a country of your choice.",
        "instances": [{"input": "", "output": "a"}],
    }
    files = {
        "prompts.jsonl": [{"prompt": "Name a prime.", "language": "en", "tags": ["a"]}, {"prompt": "Name a colour."}],
        "tasks.jsonl": tasks,
        "seeds.jsonl": [{**seed, "instruction": f"{seed['instruction']} Part {n}."} for n in range(8)],
        "mt_bench.jsonl": [{"text": "Write a travel blog about a trip to an island, with its culture and its sights."}],
        "instructions.jsonl": [{"instruction": "Name a prime."}, {"instruction": "Describe the sea at night."}],
        "chats.jsonl": [
            {"messages": [{"role": "user", "content": "Name a prime."}, {"role": "assistant", "content": "2"}]}
            | {"edited": "2 is the only even one."}
        ],
    }
    for name, rows in files.items():
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    for name in ("terse.txt", "kind.txt"):
        Path(name).write_text(f"Be {name.removesuffix('.txt')}.", "utf-8")
    Path("datagen/prompts").mkdir(parents=True)
    shutil.copy(ROOT / "datagen/prompts/judge.jinja", "datagen/prompts")


def test_a_line_of_make_does_what_it_says(place: Path) -> None:
    """Each target is asked what it would run, all flags of which are understood; the cheap ones are run."""
    typed = sorted({line for name in ENGLISH for line in lines_of(name) if line.startswith("make ")})
    assert len(typed) >= 8
    for line in typed:
        words = shlex.split(line, comments=True)
        told = make(*words[1:], "--dry-run")
        commands = [module_of(re.sub(r"^\S*python\S* ", "python ", one)) for one in told.splitlines() if " -m " in one]
        ours = [found for found in commands if found and found[0].split(".")[0] in OURS]
        assert ours or words[1] in ("test", "docs"), line
        for found in ours:
            if found[0].startswith("bench."):
                continue
            understood(["tour.__main__", *found[1:]] if found[0] == "tour" else found)


def test_make_cost_and_make_help_run(place: Path) -> None:
    assert re.search(r"^7B qlora +\d", make("cost"), re.M)
    assert "make demo" in make("help")


def make(*words: str) -> str:
    """A target of ours over the interpreter that runs the tests, as if everything were installed."""
    done = [flag for extra in ("core", "train", "test", "docs") for flag in ("--old-file", f".venv/.{extra}")]
    argv = ["make", "-s", *done, f"VENV_PYTHON={sys.executable}", *words]
    outer = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    ended = subprocess.run(argv, cwd=ROOT, env=outer, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{shlex.join(words)}: {ended.stderr}"
    return ended.stdout


def test_the_lines_of_the_other_pages_are_understood() -> None:
    for name in ("docs/scaling.md", "docs/extending.md"):
        for line in lines_of(name):
            understood(module_of(line))
    assert shutil.which("make")
