"""Agreement: published tables, another hand's code beside ours, every edge case with its stated answer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from made import load, row

from curate.agreement import main
from curate.count_patterns import count_patterns, packing
from curate.engine import add_rows, engine
from data.agreement import Level
from data.coincidence import design
from data.errors import exit_status
from data.intervals import TOO_FEW, measure
from data.records import Gold
from data.store import open_store

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = json.loads((ROOT / "tests/golden/krippendorff_alpha.json").read_text("utf-8"))["tables"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")


def table(folder: Path, rows: list[tuple[Any, Any, Any]], name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text("unit,annotator,value\n" + "".join(f"{u},{a},{v}\n" for u, a, v in rows), "utf-8")
    return path


def ratings(grid: list[list[Any]]) -> list[tuple[str, str, Any]]:
    """Observers by units, None where missing, as long rows."""
    return [(f"u{u}", f"a{a}", v) for a, line in enumerate(grid) for u, v in enumerate(line) if v is not None]


def run(folder: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status and the rows written."""
    out = folder / "out"
    status = exit_status(lambda: main([*words, "--out", str(out), "--force", "--replicates", "200"]))
    file = out / "data/agreement.jsonl"
    return status, [json.loads(line) for line in file.read_text("utf-8").splitlines()] if status == 0 else []


def overall(rows: list[dict[str, Any]], measure: str = "alpha", **about: Any) -> dict[str, Any]:
    about = {"slice": "all", "left_out": None, "measure": measure, **about}
    found = [r for r in rows if all(r[k] == v for k, v in about.items())]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("name", GOLDEN)
def test_published_tables_to_six_decimals(name: str, tmp_path: Path) -> None:
    path = table(tmp_path, ratings(GOLDEN[name]["rows"]))
    for level, alpha in GOLDEN[name]["alpha"].items():
        status, rows = run(tmp_path, str(path), "--level", level, "--check")
        assert status == 0
        assert overall(rows)["value"] == pytest.approx(alpha, abs=1e-6), level


def test_a_thousand_random_tables_equal_the_krippendorff_package() -> None:
    import pyarrow as pa

    random = np.random.default_rng(7)
    expected, columns = {}, {"key": [], "unit": [], "value": []}  # type: ignore[var-annotated]
    for number in range(1000):
        units, values, judges = random.integers(2, 9), random.integers(2, 6), random.integers(2, 5)
        grid = random.integers(0, values, (judges, units)).astype(float)
        grid[random.random(grid.shape) < 0.3] = np.nan
        for u, v in zip(*np.nonzero(~np.isnan(grid.T)), strict=True):
            columns["key"].append(f"{number:04}")
            columns["unit"].append(int(u))
            columns["value"].append(int(grid[v, u]))
        level = LEVELS[number % 4]
        pairable = grid[:, (~np.isnan(grid)).sum(axis=0) > 1]
        known = np.unique(pairable[~np.isnan(pairable)])
        if len(known) > 1:
            domain = None if level == "nominal" else np.unique(grid[~np.isnan(grid)])
            expected[f"{number:04}"] = krippendorff.alpha(grid, level_of_measurement=level, value_domain=domain)
    with engine() as con:
        con.execute("CREATE TABLE t (key VARCHAR, unit INTEGER, value INTEGER)")
        add_rows(con, "t", pa.table(columns))
        found = count_patterns(con, "t", packing(5, 5), key="key")
    assert len(expected) > 900
    for key, counted in found.items():
        numbers = np.arange(5, dtype=np.float64)
        ours = measure(design(counted.counts, counted.times), LEVELS[int(key) % 4], numbers, replicates=0)["alpha"]
        if key not in expected:
            assert ours.value is None
        else:
            assert ours.value == pytest.approx(expected[key], abs=1e-9), key


def test_every_edge_case_has_a_stated_answer(tmp_path: Path) -> None:
    one = table(tmp_path, [(f"u{i}", a, "yes") for i in range(30) for a in "ab"])
    found = overall(run(tmp_path, str(one))[1])
    assert (found["value"], found["verdict"]) == (None, "no answer: one value only")
    alone = table(tmp_path, [(f"u{i}", "a", i % 2) for i in range(30)])
    found = overall(run(tmp_path, str(alone))[1])
    assert (found["value"], found["verdict"]) == (None, "no answer: no pairable unit")
    few = table(tmp_path, [(f"u{i}", a, i % 2) for i in range(5) for a in "ab"])
    found = overall(run(tmp_path, str(few))[1])
    assert (found["value"], found["too_few"], found["verdict"]) == (1.0, True, "not enough data")
    assert found["needed"] >= TOO_FEW - 5
    perfect = table(tmp_path, [(f"u{i}", a, i % 2) for i in range(200) for a in "ab"])
    found = overall(run(tmp_path, str(perfect))[1])
    assert (found["value"], found["high"], found["verdict"]) == (1.0, 1.0, "reached")
    assert 0.8 < found["low"] < 1  # 200 units without a disagreement do not prove that there is none


def test_an_annotator_speaks_once_for_a_unit(tmp_path: Path) -> None:
    rows = ratings(GOLDEN["krippendorff_2011_C"]["rows"])
    plain = overall(run(tmp_path, str(table(tmp_path, rows)), "--level", "ordinal")[1])
    again = [*rows, ("u0", "a0", 1), ("u1", "a1", 5), ("u1", "a1", 2), ("u99", "a0", 1), ("u99", "a0", 2)]
    status, found = run(tmp_path, str(table(tmp_path, again)), "--level", "ordinal")
    assert overall(found)["value"] == plain["value"]
    told = [json.loads(x) for x in (tmp_path / "out/audit/repeats.jsonl").read_text("utf-8").splitlines()]
    assert sorted((t["annotator"], t["judgments"], t["counted_once"]) for t in told) == [
        ("a0", 2, False),
        ("a0", 2, True),
        ("a1", 3, True),
    ]
    assert status == 0


def noisy(units: int, right: float, seed: int = 0, judges: int = 3) -> list[tuple[str, str, int]]:
    random = np.random.default_rng(seed)
    return [
        (f"u{u}", f"a{a}", int(true if random.random() < right else random.integers(0, 3)))
        for u, true in enumerate(random.integers(0, 3, units))
        for a in range(judges)
    ]


def test_the_verdict_is_three_valued_and_the_gate_ends_with_it(tmp_path: Path) -> None:
    cases = [(300, 0.98, "reached", 0), (300, 0.6, "not reached", 1), (40, 0.9, "not enough data", 3)]
    for units, right, word, status in cases:
        path = str(table(tmp_path, noisy(units, right)))
        found = overall(run(tmp_path, path)[1])
        assert found["verdict"] == word
        assert run(tmp_path, path, "--gate")[0] == status
        assert found["low"] < found["value"] < found["high"]
    assert found["needed"] > 0
    assert overall(run(tmp_path, path, "--threshold", "0.1")[1])["verdict"] == "reached"


def test_the_units_still_needed_would_decide(tmp_path: Path) -> None:
    few = overall(run(tmp_path, str(table(tmp_path, noisy(60, 0.87, seed=5))))[1])
    assert few["verdict"] == "not enough data"
    more = noisy(3 * (60 + few["needed"]), 0.87, seed=1)
    assert overall(run(tmp_path, str(table(tmp_path, more)))[1])["verdict"] == "not reached"


def test_leaving_out_an_annotator_is_measuring_the_others(tmp_path: Path) -> None:
    rows = noisy(60, 0.8, judges=4)
    found = run(tmp_path, str(table(tmp_path, rows)))[1]
    for a in range(4):
        rest = run(tmp_path, str(table(tmp_path, [r for r in rows if r[1] != f"a{a}"], "rest.csv")))[1]
        for name in ("alpha", "percent", "ac1"):
            without = overall(found, name, left_out=f"a{a}")
            same = overall(rest, name)
            assert {k: without[k] for k in ("value", "low", "high", "units", "ratings")} == {
                k: same[k] for k in ("value", "low", "high", "units", "ratings")
            }


def test_the_same_digest_on_any_threads_and_in_any_order(tmp_path: Path) -> None:
    rows = noisy(400, 0.8)
    digests = set()
    for threads, order in ((1, rows), (2, rows[::-1]), (8, sorted(rows, key=str))):
        assert run(tmp_path, str(table(tmp_path, order)), "--threads", str(threads))[0] == 0
        digests.add(json.loads((tmp_path / "out/manifest.json").read_text("utf-8"))["digest"])
    assert len(digests) == 1


def test_words_have_the_order_they_are_given(tmp_path: Path) -> None:
    words = {1: "poor", 2: "fair", 3: "good", 4: "great", 5: "superb"}
    rows = [(u, a, words[v]) for u, a, v in ratings(GOLDEN["krippendorff_2011_C"]["rows"])]
    path = str(table(tmp_path, rows))
    found = overall(run(tmp_path, path, "--values", ",".join(words.values()))[1])
    assert (found["level"], found["value"]) == ("ordinal", pytest.approx(0.815388, abs=1e-6))
    assert run(tmp_path, path, "--values", "poor,fair,good,great,supreb")[0] == 2
    assert run(tmp_path, path, "--level", "interval")[0] == 2


@pytest.mark.parametrize("level", ["interval", "nominal"])
def test_values_too_many_to_count_each_are_measured_all_the_same(level: Level, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    true = random.integers(0, 60, 45) / 4
    grid = np.where(random.random((3, 45)) < 0.8, true, random.integers(0, 60, (3, 45)) / 4)
    grid[0, :10] = np.nan
    rows = [(f"u{u}", f"a{a}", grid[a, u]) for a in range(3) for u in range(45) if not np.isnan(grid[a, u])]
    found = overall(run(tmp_path, str(table(tmp_path, rows)), "--level", level)[1])
    assert found["value"] == pytest.approx(krippendorff.alpha(grid, level_of_measurement=level), abs=1e-9)
    left = [krippendorff.alpha(np.delete(grid, u, axis=1), level_of_measurement=level) for u in range(45)]
    assert found["standard_error"] == pytest.approx(np.sqrt(44 * np.var(left)), rel=1e-6)
    assert run(tmp_path, str(table(tmp_path, rows)), "--level", "ordinal")[0] == 2


def test_a_package_that_says_otherwise_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(table(tmp_path, noisy(40, 0.8)))
    assert run(tmp_path, path, "--check")[0] == 0
    monkeypatch.setattr(krippendorff, "alpha", lambda **_: 0.5)
    assert run(tmp_path, path, "--check")[0] == 1


def ranked_project(url: str) -> None:
    """30 tasks of three responses: three people who mostly agree, a model that turns all round; and one with gold."""
    store = open_store(url)
    made = []
    for n in range(30):
        ids = [r.id for r in row(n).responses]
        orders = {"p1": "abc", "p2": "abc", "p3": "abc" if n % 3 else "acb", "m1": "cba"}
        votes: list[dict[str, Any]] = [
            {
                "annotator": who,
                "annotator_kind": "model" if who == "m1" else "person",
                "ranking": [[ids["abc".index(x)]] for x in order],
            }
            for who, order in orders.items()
        ]
        made.append(row(n, votes=votes, language="zh" if n % 2 else "en"))
    load(store, made, overlap=3)
    gold = row(99)
    ids = [r.id for r in gold.responses]
    votes = [{"annotator": who, "ranking": [[i] for i in order]} for who, order in (("p1", ids), ("p2", ids[::-1]))]
    load(store, [row(99, votes=votes, gold=Gold(ranking=[[i] for i in ids]))], overlap=2)
    store.close()


def test_people_models_and_one_against_the_other(tmp_path: Path) -> None:
    ranked_project(f"sqlite:///{tmp_path}/concord.db")
    status, rows = run(tmp_path, "--project", "p", "--check")
    assert status == 0
    people = overall(rows, who="people")
    assert people["units"] == 90  # three pairs a task; the task with a known answer stays out
    assert people["blocks"] == 30
    assert people["resampled"] == "prompts"
    assert overall(rows, who="models")["value"] is None
    against = overall(rows, "cross_alpha")
    assert against["value"] < 0
    assert 0.8 < overall(rows, "kendall_w", who="people")["value"] < 1
    for language in ("en", "zh"):
        assert overall(rows, who="people", slice="language", key=language)["blocks"] == 15
    assert {r["who"] for r in rows if r["left_out"]} == {"people"}


def test_a_snapshot_gives_what_the_store_gave(tmp_path: Path) -> None:
    from curate.snapshot import main as freeze

    ranked_project(f"sqlite:///{tmp_path}/concord.db")
    assert freeze(["--out", str(tmp_path / "frozen")]) == 0
    assert run(tmp_path, "--project", "p")[1] == run(tmp_path, str(tmp_path / "frozen"))[1]


LOCKED = """
import sqlite3, sys, time
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA locking_mode=EXCLUSIVE")
store.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(0.5)
store.execute("ROLLBACK")
"""


def test_a_snapshot_waits_for_whoever_closes_the_store_in_the_same_moment(tmp_path: Path) -> None:
    from curate.frozen import _reading

    url = f"sqlite:///{tmp_path}/concord.db"
    ranked_project(url)
    words = [sys.executable, "-c", LOCKED, str(tmp_path / "concord.db")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        with _reading(url) as cursor:  # the last one to close a store locks it as the other does, for a moment
            cursor.execute("SELECT name FROM projects")
            assert cursor.fetchall() == [("p",)]
    assert other.returncode == 0


def test_pandalm_as_a_plain_table_and_as_loaded(real: Path, tmp_path: Path) -> None:
    source = real / "pandalm/testset-v1.json"
    given = json.loads(source.read_text("utf-8"))
    rows = [(r["idx"], f"a{k}", r[f"annotator{k}"]) for r in given for k in (1, 2, 3)]
    assert len(given) == 999
    assert overall(run(tmp_path, str(table(tmp_path, rows)))[1])["value"] == pytest.approx(0.864221, abs=5e-7)
    words = [sys.executable, "-m", "annotate.load", str(source), "--project", "panda"]
    subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    found = overall(run(tmp_path, "--project", "panda")[1])
    assert (found["units"], found["value"]) == (993, pytest.approx(0.867830, abs=5e-7))
