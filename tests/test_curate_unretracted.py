"""What was retracted is left out of everything that is computed, as if it had never been there."""

import json
from pathlib import Path
from typing import Any

import pytest
from made import load, row

from curate.engine import engine
from curate.frozen import open_snapshot
from data.store import open_store

TASKS = 12


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def made(number: int, without: frozenset[str] = frozenset()) -> Any:
    """A ranked task judged by three people and a model; `without` are judges or "answer" that never were."""
    orders = {"ann": (0, 1, 2), "ben": (1, 0, 2) if number % 3 else (2, 1, 0), "cem": (0, 2, 1), "m": (1, 2, 0)}
    whole = row(number)
    ids = [r.id for r in whole.responses]
    if "answer" in without:
        whole = whole._replace(responses=whole.responses[:2])
        ids = ids[:2]
    votes = [
        {
            "annotator": who,
            "annotator_kind": "model" if who == "m" else "person",
            "shown": ids,
            "ranking": [[ids[i]] for i in order if i < len(ids)],
        }
        for who, order in orders.items()
        if who not in without
    ]
    return row(number, votes=votes)._replace(responses=whole.responses)


@pytest.fixture(autouse=True)
def people(tmp_path: Path) -> dict[str, str]:
    """The ids that "ann", "ben" and "cem" have in every store of a test: all begin as copies of one."""
    opened = open_store(f"sqlite:///{tmp_path}/base.db")
    names = ("ann", "ben", "cem")
    load(opened, [row(n, prefix="b", votes=[{"annotator": who}]) for n, who in enumerate(names)], overlap=3)
    with opened.read() as tx:
        rows = tx.all("SELECT j.annotator, t.import_key FROM judgments j JOIN tasks t ON t.id = j.task")
    opened.close()
    return {names[int(r.import_key[1:])]: r.annotator for r in rows}


def store_of(place: Path, **without: frozenset[str]) -> str:
    """A store with the tasks; `without` says by number (t0, t1, …) what of a task never was; "all" of it."""
    place.with_suffix(".db").write_bytes(place.with_name("base.db").read_bytes())
    opened = open_store(f"sqlite:///{place}.db")
    rows = [made(n, without.get(f"t{n}", frozenset())) for n in range(TASKS) if without.get(f"t{n}") != {"all"}]
    load(opened, rows, overlap=3)
    opened.close()
    return f"sqlite:///{place}.db"


def records(url: str) -> list[dict[str, Any]]:
    opened = open_store(url)
    with opened.read() as tx:
        rows = tx.all("SELECT r.record FROM task_records r JOIN tasks t ON t.id = r.task WHERE t.import_key LIKE 'q%'")
        found = [json.loads(r.record) for r in rows]
    opened.close()
    return sorted(found, key=lambda t: int(t["import_key"][1:]))


def judgment_of(url: str, task: str, annotator: str) -> str:
    opened = open_store(url)
    with opened.read() as tx:
        rows = tx.all(
            "SELECT j.id, j.annotator FROM judgments j JOIN tasks t ON t.id = j.task WHERE t.task = :t", t=task
        )
    opened.close()
    return next(str(r.id) for r in rows if r.annotator == annotator)


def retract(url: str, space: Path, record: str) -> None:
    from curate.trace import main

    words = [record, "--retract", "--apply", "--reason", "wrong", "--store", url, "--workspace", str(space)]
    assert main(words) == 0


def computed(url: str, place: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of agreement, aggregate and calibrate."""
    from curate.aggregate import main as aggregate
    from curate.agreement import main as agreement
    from curate.calibrate import main as calibrate

    where = ["--store", url, "--project", "p", "--out"]
    assert agreement([*where, f"{place}-agreement", "--replicates", "20"]) == 0
    assert aggregate([*where, f"{place}-aggregate", "--replicates", "20"]) == 0
    assert calibrate([*where, f"{place}-calibrate", "--least", "3"]) == 0
    files = sorted(
        path for name in ("agreement", "aggregate", "calibrate") for path in Path(f"{place}-{name}", "data").iterdir()
    )
    return {f"{path.parent.parent.name.rpartition('-')[2]}/{path.name}": lines(path) for path in files}


@pytest.mark.parametrize("kind", ["judgment", "prompt", "task"])
def test_after_a_retraction_everything_derived_is_that_of_a_project_without_the_record(
    kind: str, people: dict[str, str], tmp_path: Path
) -> None:
    url = store_of(tmp_path / "whole")
    task = records(url)[4]
    before = computed(url, tmp_path / "before")
    record = {
        "judgment": judgment_of(url, task["id"], people["ben"]),
        "prompt": task["prompt"]["id"],
        "task": task["id"],
    }[kind]
    retract(url, tmp_path, record)
    after = computed(url, tmp_path / "after")
    gone = frozenset({"ben"} if kind == "judgment" else {"all"})
    other = computed(store_of(tmp_path / "other", t4=gone), tmp_path / "never")
    assert after == other
    assert after != before


def test_a_retracted_response_leaves_rankings_and_the_others_are_still_compared(
    people: dict[str, str], tmp_path: Path
) -> None:
    url = store_of(tmp_path / "whole")
    task = records(url)[4]
    gone = task["responses"][2]["id"]
    retract(url, tmp_path, gone)
    after = computed(url, tmp_path / "after")
    never = computed(store_of(tmp_path / "other", t4=frozenset({"answer"})), tmp_path / "never")
    # The id of a task is made from all its responses, so the order of the rows and of what is drawn is another.
    name = "aggregate/responses.jsonl"
    assert gone not in json.dumps(after)
    kept = {r["response_id"]: round(r["score"], 9) for r in after[name]}
    assert kept == {r["response_id"]: round(r["score"], 9) for r in never[name]}
    alphas = [
        [
            (r["criterion"], r["who"], r["value"], r["units"])
            for r in found["agreement/agreement.jsonl"]
            if r["slice"] == "all" and r["measure"] == "alpha" and not r["left_out"]
        ]
        for found in (after, never)
    ]
    assert alphas[0] == alphas[1]


def test_an_audit_and_a_deduplication_of_a_snapshot_leave_it_out_too(people: dict[str, str], tmp_path: Path) -> None:
    from curate.audit_sources import from_snapshot
    from curate.dedup import main as dedup
    from curate.snapshot import main as snapshot

    url = store_of(tmp_path / "whole")
    first, second, third = records(url)[:3]
    response = second["responses"][0]["id"]
    for record in (first["prompt"]["id"], response, judgment_of(url, third["id"], people["ann"])):
        retract(url, tmp_path, record)
    assert snapshot(["--store", url, "--out", str(tmp_path / "s")]) == 0
    with engine() as con:
        seen = from_snapshot(con, tmp_path / "s", "p")
        frozen = con.execute("SELECT count(*), (SELECT count(*) FROM tasks) FROM all_tasks").fetchone()
        told = con.execute('SELECT DISTINCT project, reason, "by" FROM retractions').fetchall()
    assert frozen == (TASKS + 3, TASKS + 2)
    assert told == [("p", "wrong", "command line")]
    assert first["prompt"]["id"] not in {p.id for p in seen.passages}
    assert response not in {p.id for p in seen.passages}
    assert all(len(b.place) == (2 if b.task == second["id"] else 3) for b in seen.ballots)
    assert sum(b.task == third["id"] for b in seen.ballots) == 3
    assert not any(response in (p.chosen_id, p.rejected_id) for p in seen.pairs)
    assert dedup([str(tmp_path / "s"), "--project", "p", "--out", str(tmp_path / "d")]) == 0
    kept = (tmp_path / "d/data/train.jsonl").read_text("utf-8")
    assert first["id"] not in kept
    assert f'{second["responses"][0]["messages"][0]["content"]}"' not in kept


def test_an_export_s_judgments_are_measured_without_a_retracted_response(
    people: dict[str, str], tmp_path: Path
) -> None:
    from curate.agreement import main as agreement
    from curate.export import main as export

    url = store_of(tmp_path / "whole")
    retract(url, tmp_path, records(url)[4]["responses"][2]["id"])
    words = ["--project", "p", "--store", url, "--sources", "human,model", "--allow", "one_sided_mark"]
    assert export([*words, "--out", str(tmp_path / "e")]) == 0
    found = []
    for out, source in (("a", ["--store", url, "--project", "p"]), ("b", [str(tmp_path / "e")])):
        assert agreement([*source, "--out", str(tmp_path / out), "--replicates", "20"]) == 0
        found.append([r for r in lines(tmp_path / out / "data/agreement.jsonl") if r["slice"] != "month"])
    assert found[0] == found[1]


def test_a_snapshot_from_before_retractions_were_frozen_is_opened(people: dict[str, str], tmp_path: Path) -> None:
    from curate.frozen import freeze
    from data.folder import write_folder

    url = store_of(tmp_path / "whole")
    with engine() as con:
        with write_folder(tmp_path / "s", "snapshot", {}) as folder:
            freeze(con, url, folder)
            (folder.path / "data" / "retractions.parquet").unlink()
            folder.seal()
        open_snapshot(con, tmp_path / "s")
        assert con.execute("SELECT count(*) FROM tasks").fetchone() == (TASKS + 3,)
        assert con.execute("SELECT count(*) FROM retractions").fetchone() == (0,)
