"""Short forms of the measurements: nothing over-assigned, nothing lost; and their checks can fail."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made import add, answer, load, project_id, rows

from annotate import answers, assign
from bench import annotators, browsers, closed_loop, kill, next_task, overlap
from bench.overlap_clients import Told
from data.store import Store, open_store

ROOT = Path(__file__).resolve().parent.parent


def bench(results: Path, name: str, *flags: str, statuses: tuple[int, ...] = (0,)) -> Any:
    """Run a measurement as one types it; what it kept."""
    command = [sys.executable, "-m", f"bench.{name}", *flags]
    environment = {**os.environ, "CONCORD_BENCH_RESULTS": str(results), "CONCORD_BENCH": str(results)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode in statuses, ran.stdout + ran.stderr
    (kept,) = results.glob("*.json")
    return json.loads(kept.read_text("utf-8"))


def test_processes_that_crash_over_assign_and_lose_nothing(store_url: str, tmp_path: Path) -> None:
    kept = bench(tmp_path, "overlap", "--store", store_url, "--ops", "1500", "--crash-s", "0.3")
    assert kept["ok"] is True
    assert kept["operations"] >= 1500
    assert kept["killed"] + kept["died_in_a_transaction_or_right_after"] > 0
    assert (kept["over_assigned"], kept["lost"], kept["ledger_faults"]) == (0, 0, [])


def test_a_killed_server_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    kept = bench(tmp_path, "kill", "--kills", "2", "--clients", "6", "--tasks", "500")
    assert kept["ok"] is True
    assert kept["acknowledged"] > 0
    assert kept["lost"] == 0


@pytest.fixture
def done(tmp_path: Path) -> Any:
    """A store with one judgment, and its id."""
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    load(store, rows(2))
    ana, number = add(store, "Ana"), project_id(store)
    lease = store.change(lambda tx: assign.claim(tx, number, ana))
    assert lease is not None
    outcome = store.change(lambda tx: answers.submit(tx, ana, lease.token, answer(lease.shown)))
    yield store, outcome.judgment
    store.close()


def wrong(store: Store, judgment: str) -> set[str]:
    """What the three checks say is wrong."""
    told = Told(Counter(), {judgment: "counted"}, {})
    all_three = overlap.check(store, [told], overlap=1) | kill.check(store, {judgment: "counted"})
    all_three |= annotators.wrongs(store, {judgment: "counted"})
    return {name for name, value in all_three.items() if value}


def test_the_checks_find_nothing_where_nothing_is_wrong(done: Any) -> None:
    assert wrong(*done) == set()


def test_the_checks_name_what_is_wrong(done: Any) -> None:
    store, judgment = done
    assert wrong(store, "never heard of") == {"lost", "acknowledged_lost"}
    copy = (
        "INSERT INTO judgments (id, project, task, annotator, annotator_kind, verdict, purpose, state, record, at_ms)"
        " SELECT 'copy', project, task, {who}, annotator_kind, verdict, purpose, state, record, at_ms FROM judgments"
    )
    with store.write() as tx:
        tx.run(copy.format(who="'other'"))
    assert {"over_assigned", "slots_and_judgments_apart", "ledger_faults"} <= wrong(store, judgment)
    with store.write() as tx:
        tx.run("DELETE FROM judgments WHERE id = 'copy'")
        tx.run(copy.format(who="annotator"))
    assert {"same_person_twice", "counted_twice", "over_assigned", "twice_on_a_task"} <= wrong(store, judgment)


def test_the_project_built_by_bulk_serves_tasks_as_a_loaded_one_does(store_url: str, tmp_path: Path) -> None:
    found = next_task.measure(store_url, tasks=3000, overlap=3, count=2)
    assert found["tasks_left_at_the_end"] == 3
    assert set(found["fresh_person_ms"]) == {"min", "p50", "p95", "max"}


def test_a_small_pool_worked_by_many_is_never_over_assigned_nor_left_short(tmp_path: Path) -> None:
    kept = bench(tmp_path, "drain", "--rounds", "2", "--tasks", "6", "--people", "15")
    assert kept["ok"] is True
    assert kept["acknowledged"] == 2 * 6 * 3
    assert not any(kept["wrong"].values())
    assert kept["failed"] == {}


def test_what_several_browsers_click_is_what_is_exported(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCORD_CHROMIUM", chromium)
    kept = bench(tmp_path, "browsers", "--tasks", "10", "--people", "3")
    assert kept["ok"] is True
    assert (kept["judgments"], kept["differences"]) == (20, 0)
    assert kept["pairs_exported"] > 0


def test_a_click_that_is_exported_otherwise_is_a_difference() -> None:
    said = [[("a", "b", "a")], [("a", "b", "tie")], [("c", "d", "d")], [("e", "f", "e")], [("e", "f", "f")]]
    better, other = sorted(browsers.expected(said))
    assert (better.better, better.worse, better.votes, better.probability) == ("a", "b", (1, 0, 1), 0.666666667)
    assert (other.better, other.worse, other.votes) == ("d", "c", (1, 0, 0))


def test_people_at_their_own_pace_are_all_answered(tmp_path: Path) -> None:
    command = ["--people", "8", "--every", "0.5", "--seconds", "3"]
    kept = bench(tmp_path, "paced", *command, statuses=(0, 1))  # how long it took decides nothing here
    assert kept["failed"] == {}
    assert not any(kept["wrong"].values())
    assert kept["submit"]["n"] >= 8


def test_the_closed_loop_is_compared_with_the_better_rival_level_by_level() -> None:
    mine = [{"annotators": 100, "ops_per_s": 200.0, "next": {"p95": 300.0}, "submit": {"p95": 200.0}}]
    slow = {"ops_per_s": 4.0, "next": {"p95_ms": 60000.0}, "submit": {}}
    fast = {"ops_per_s": 25.0, "next": {"p95_ms": 3000.0}, "submit": {"p95_ms": 600.0}}
    (row,) = closed_loop.compare(mine, {"slow": [slow], "fast": [fast]})
    assert (row["best_rival"], row["times"], row["p95_ms_next_and_submit"], row["its_p95_ms"]) == (
        "fast",
        8.0,
        500,
        3600,
    )


def test_novelty_decides_as_whole_numbers_do_and_keeps_what_rouge_score_keeps(tmp_path: Path) -> None:
    sizes = ["--pool", "300", "--million", "1000", "--asked", "20", "--pairs", "400", "--rouge", "40"]
    kept = bench(tmp_path, "novelty", *sizes, statuses=(0, 1))  # how long it took decides nothing here
    for told in (kept["english_pairs"], kept["chinese_pairs"]):
        assert (told["pairs"], told["differ"]) == (400, 0)
        assert told["within_0.1"] > 40
    assert kept["rouge_score"]["kept_differ"] == 0
    assert (kept["built"], kept["million"]) == (300, 1000)
