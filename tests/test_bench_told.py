"""What `make bench` runs and writes: every measurement listed, forms that parse, pages that say what results say."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import figures, peers, run, told
from bench.listed import ENTRIES, Entry
from data.version import version

ROOT = Path(__file__).resolve().parent.parent
LISTED = {entry.name: entry for entry in ENTRIES}


def source(module: str) -> str:
    return (ROOT / "bench" / f"{module}.py").read_text("utf-8")


def flags_of(module: str) -> set[str]:
    """The flags that a measurement takes, read from its source."""
    calls = [n for n in ast.walk(ast.parse(source(module))) if isinstance(n, ast.Call)]
    added = [n for n in calls if isinstance(n.func, ast.Attribute) and n.func.attr == "add_argument"]
    return {str(arg.value) for call in added for arg in call.args if isinstance(arg, ast.Constant)}


def forms(entry: Entry) -> list[list[str]]:
    return [form.split() for form in (entry.short, entry.full) if form]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_form_names_a_measurement_and_flags_it_takes(entry: Entry) -> None:
    for module, *words in forms(entry):
        assert {word for word in words if word.startswith("--")} <= flags_of(module)
        assert entry.room in told.ROOMS


def test_every_measurement_is_listed_and_told_of_in_the_readme() -> None:
    modules = {p.stem for p in (ROOT / "bench").glob("*.py") if re.search(r"return report\(", p.read_text("utf-8"))}
    assert modules - {"figures"} == {form[0] for entry in ENTRIES for form in forms(entry)}
    readme = (ROOT / "bench/README.md").read_text("utf-8")
    assert {module for module in modules if f"`python -m bench.{module}`" not in readme} == set()


def test_every_result_that_is_kept_is_listed() -> None:
    for folder in (told.RESULTS, told.RESULTS / "short"):
        assert set(told.kept(folder)) <= set(LISTED)


def test_the_default_set_is_expected_to_end_in_under_thirty_minutes() -> None:
    expected = sum(entry.seconds for entry in run.chosen([], full=False))
    assert expected <= 60 * run.MINUTES < 60 * 30
    assert {"gated", "gpu_train"}.isdisjoint(entry.name for entry in run.chosen([], full=False))
    assert [entry.name for entry in run.chosen(["gated"], full=False)] == ["gated"]


@pytest.mark.parametrize("path", told.pages())
def test_the_committed_pages_are_what_the_committed_results_give(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == told.pages()[path]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_paths_of_ratios_and_times_are_keys_that_are_written(entry: Entry) -> None:
    full = told.kept(told.RESULTS).get(entry.name, {})
    for path in [part for _, both in entry.ratios for part in both.split(" / ")] + [*entry.times]:
        last = path.split(".")[-1]
        written = f'"{last}"' in source(forms(entry)[0][0]) or f'"{path}"' in source(forms(entry)[0][0])
        assert told.at(full, path) is not None or written, path


def result(**more: Any) -> dict[str, Any]:
    """A result as `report` keeps it."""
    machine = {"cores": 2, "processor": "P", "python": "3.11", "system": "Linux"}
    return {"name": "imports_sqlite", "figure": "7 a second", "against": "5", "ok": True, "machine": machine} | more


def test_a_row_has_sizes_figure_verdict_ratio_ends_form_and_day() -> None:
    ran = {
        "date": "2026-11-22",
        "sizes": {"tasks": 20000, "store": "sqlite", "profile": False, "seed": 3},
        "seconds": 12.3,
        "load": {"start": 0.1, "end": 1.9},
    }
    ends = {"ours": {"min": 2.5, "median": 3.0, "max": 4.25, "n": 3}, "bare": [1.0, 2.0, 9.0]}
    found = result(run=ran, ratio=0.321, seconds_each=ends)
    line = told.row(LISTED["imports_sqlite"], found, "short", told.ENGLISH)
    assert line.split(" | ")[1:] == [
        "tasks 20,000, store sqlite",
        "7 a second",
        "≥ 5,000; reached",
        "pydantic + sqlite3: 0.321 ×",
        "`seconds_each.ours` 2.5 / 3 / 4.25; `seconds_each.bare` 1 / 2 / 9",
        "short, 2026-11-22; 12.3 s, load 0.1–1.9 |",
    ]


def test_what_was_not_run_and_what_was_not_reached_is_said_in_both_languages() -> None:
    for words, not_run in ((told.ENGLISH, "**not run**"), (told.CHINESE, "**未运行**")):
        text = told.page(words, {"imports_sqlite": result(ok=False)}, {"page": result(figure="a | b <script>")})
        assert words.reached[1] in next(line for line in text.splitlines() if "`imports_sqlite`" in line)
        assert not_run in next(line for line in text.splitlines() if "`gpu_train`" in line)
        assert "a \\| b &lt;script>" in text
        assert all(f"`{name}`" in text for name in LISTED)
        assert words.forms[1] in next(line for line in text.splitlines() if "`page`" in line)


def test_a_result_says_how_it_was_had_and_hides_folders_and_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = ["--store", "postgresql://ana:word@host/db", "--out", "/home/ana/x", "--tasks", "7"]
    monkeypatch.setattr(sys, "argv", ["m", *secret])
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    flags = argparse.ArgumentParser()
    flags.add_argument("--store")
    flags.add_argument("--out", type=Path)
    flags.add_argument("--tasks", type=int)
    figures.parsed(flags)
    assert figures.report("a", "figure", "against", {}, ok=False) == 1
    text = (tmp_path / "a.json").read_text("utf-8")
    ran = json.loads(text)["run"]
    assert ran["sizes"] == {"store": "postgresql://…", "out": "…/x", "tasks": 7}
    assert {"date", "command", "versions", "load", "seconds"} <= set(ran)
    assert ran["versions"]["duckdb"]
    assert ran["versions"]["concord-preferences"] == version()
    assert "word" not in text
    assert "/home" not in text


@pytest.mark.parametrize(("words", "place"), [([], ""), (["--tasks", "9"], ""), (["--tasks", "4"], "short")])
def test_a_run_smaller_than_the_full_form_is_kept_apart(
    words: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONCORD_BENCH_RESULTS", raising=False)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["m", *words])
    flags = argparse.ArgumentParser()
    flags.add_argument("--tasks", type=int, default=5)
    figures.parsed(flags)
    figures.report("a", "figure", "against", {})
    assert (tmp_path / place / "a.json").exists()


def test_least_median_and_greatest_of_repeated_runs() -> None:
    assert figures.min_median_max([3.0, 1.0, 2.0, 10.0]) == {"min": 1.0, "median": 2.5, "max": 10.0, "n": 4}


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder results go to."""
    monkeypatch.setenv("CONCORD_BENCH_RESULTS", str(tmp_path))
    return tmp_path


def small(name: str, seconds: int = 1) -> Entry:
    return LISTED["page"]._replace(name=name, short=f"{name} --x", full=name, seconds=seconds)


def test_one_that_fails_or_would_not_fit_does_not_stop_the_rest(measured: Path) -> None:
    never = [small("not_there"), small("too_long", seconds=10_000), small("nor_this")]
    done = run.measure_all(never, full=False, minutes=1)
    assert [ran.verdict for ran in done.values()] == ["FAILED (1)", "NOT RUN", "FAILED (1)"]
    assert "see above" in run.table(done)


def test_a_result_of_an_earlier_run_is_not_taken_for_this_ones(measured: Path) -> None:
    (measured / "not_there.json").write_text('{"figure": "old"}', "utf-8")
    assert run.measure(small("not_there"), False, None) == run.Ran("FAILED (1)", None)


def gone(number: int) -> bool:
    """Whether a process has ended, though nobody may have waited for it yet."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(") ")[1][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ended between open and read
        return True


def test_what_is_past_its_limit_is_stopped(measured: Path) -> None:
    assert run.run([sys.executable, "-c", "import time; time.sleep(600)"], measured, 0.3) is None


def test_what_is_stopped_takes_its_children_along(tmp_path: Path) -> None:
    inner = f"import os, time; open({str(tmp_path / 'child')!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL) as child:
        while not ((tmp_path / "child").exists() and (tmp_path / "child").read_text().endswith(" ")):
            time.sleep(0.02)
        run.stop(child)
    number = int((tmp_path / "child").read_text())
    for _ in range(500):  # long before it would end by itself
        if gone(number):
            break
        time.sleep(0.02)
    assert gone(number)


def test_short_forms_are_kept_apart_from_full_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONCORD_BENCH_RESULTS", raising=False)
    entry = ENTRIES[0]
    assert run.results_of(entry, full=True) == told.RESULTS
    assert run.results_of(entry, full=False) == told.RESULTS / "short"
    for whole in ("", entry.full):  # a form that is the full one, run by its name or in the default set
        assert run.results_of(entry._replace(short=whole), full=False) == told.RESULTS


def test_a_peer_counts_when_its_environment_is_whole_and_at_the_versions_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCORD_PEERS", str(tmp_path))
    assert peers.missing("closed_loop") == ["label-studio", "potato"]
    assert peers.python_of("dedup") is None
    assert peers.absent("dedup") == "ratio: no peer installed: python -m bench.peers dedup"
    (tmp_path / "dedup").mkdir()
    peers.stamp("dedup").write_text("datasketch==0.1\nrensa==0.5.0\npyarrow==26.0.1\n", "utf-8")
    assert not peers.there("dedup")
    peers.stamp("dedup").write_text("\n".join([*peers.PINS["dedup"], "numpy==2.4.6"]), "utf-8")
    assert peers.python_of("dedup") == str(tmp_path / "dedup/bin/python")
    assert peers.versions("dedup")["rensa"] == "0.5.0"
    assert peers.versions("dedup", "/usr/bin/python3") == {}


def test_a_peer_that_is_not_known_is_refused_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.peers", "dedupe"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CONCORD_PEERS": "x"})
    assert ran.returncode == 2
    assert "no peers are named dedupe; there are aggregate, all, closed_loop, dedup" in ran.stderr
