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
from bench import kill, next_task, overlap
from data.store import Store, open_store

ROOT = Path(__file__).resolve().parent.parent


def bench(results: Path, name: str, *flags: str) -> Any:
    """Run a measurement as one types it; what it kept."""
    command = [sys.executable, "-m", f"bench.{name}", *flags]
    environment = {**os.environ, "CONCORD_BENCH_RESULTS": str(results), "CONCORD_BENCH": str(results)}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
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
    """What both checks say is wrong."""
    told = overlap.Told(Counter(), {judgment: "counted"}, {})
    both = overlap.check(store, [told], overlap=1) | kill.check(store, {judgment: "counted"})
    return {name for name, value in both.items() if value}


def test_the_checks_find_nothing_where_nothing_is_wrong(done: Any) -> None:
    assert wrong(*done) == set()


def test_the_checks_name_what_is_wrong(done: Any) -> None:
    store, judgment = done
    assert wrong(store, "never heard of") == {"lost"}
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
    assert {"same_person_twice", "counted_twice", "over_assigned"} <= wrong(store, judgment)


def test_the_project_built_by_bulk_serves_tasks_as_a_loaded_one_does(store_url: str, tmp_path: Path) -> None:
    found = next_task.measure(store_url, tasks=3000, overlap=3, count=2)
    assert found["tasks_left_at_the_end"] == 3
    assert set(found["fresh_person_ms"]) == {"p50", "p95", "max"}
