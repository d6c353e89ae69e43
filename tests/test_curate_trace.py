"""From any record back to its seeds and forward to its rows; what is retracted leaves every export, and is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from test_export import export, lines, load, ranked, rows
from test_verify import check, edit, seal_anew

from curate import trace
from data import ledger, store
from data.errors import exit_status
from data.folder import write_folder
from data.records import Lineage, Message, Prompt, Response
from data.schema import MIGRATIONS
from data.store import open_store

SEED = "seed_task_7"


def made(n: int, parents: list[str], **given: Any) -> Any:
    """A ranked task whose prompt was grown from these."""
    return ranked(n, ["abc", "abc"], prompt={"lineage": Lineage(parents=parents)}, **given)


ROWS_IN = [made(0, [SEED]), made(1, ["other seed"]), ranked(2, ["abc", "acb"])]


@pytest.fixture
def loaded(store_url: str) -> str:
    load(store_url, ROWS_IN)
    return store_url


def run(url: str, workspace: Path, record: str, *more: str) -> int:
    return exit_status(lambda: trace.main([record, "--store", url, "--workspace", str(workspace), *more]))


def told(url: str, workspace: Path, record: str, capsys: Any, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(url, workspace, record, "--json", *more) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def flat(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """Every record of a tree: id and kind."""
    found = {}
    for node in nodes:
        found[node["id"]] = node["kind"]
        found |= flat(node["next"])
    return found


def test_a_row_leads_back_to_its_judgments_and_seed(loaded: str, tmp_path: Path, capsys: Any) -> None:
    space = tmp_path / "workspace"
    with write_folder(space / "grown", "self_instruct", {}) as folder:
        folder.write("audit/seeds.jsonl", [{"id": SEED, "instruction": "Name a colour."}])
    export(loaded, space / "out")
    row = next(r for r in rows(space / "out") if r["prompt"][0]["content"].startswith("question 0"))
    found = flat(told(loaded, space, row["id"], capsys)["back"])
    assert {found[j] for j in row["judgment_ids"]} == {"judgment"}
    for column, kind in (("task_id", "task"), ("prompt_id", "prompt"), ("chosen_id", "response")):
        assert found[row[column]] == kind
    assert found[SEED] == "record"
    assert "other seed" not in found
    capsys.readouterr()
    assert run(loaded, space, row["id"]) == 0
    assert "Name a colour." in capsys.readouterr().out


def test_a_seed_leads_forward_to_every_row_that_came_of_it(loaded: str, tmp_path: Path, capsys: Any) -> None:
    space = tmp_path / "workspace"
    export(loaded, space / "out")
    export(loaded, space / "parquet", "--format", "parquet", "--prior", "1")
    found = flat(told(loaded, space, SEED, capsys)["forward"])
    own = [r for r in rows(space / "out") if r["prompt"][0]["content"].startswith("question 0")]
    assert {r["id"] for r in own} <= found.keys()
    assert sum(kind == "row" for kind in found.values()) == 3 + 3  # three pairs in each export
    assert sum(kind == "judgment" for kind in found.values()) == 2
    assert {r["id"] for r in rows(space / "out")} - {r["id"] for r in own}
    assert not ({r["id"] for r in rows(space / "out")} - {r["id"] for r in own}) & found.keys()


def test_an_unknown_id_is_one_line_with_the_nearest(loaded: str, tmp_path: Path, capsys: Any) -> None:
    assert run(loaded, tmp_path / "workspace", "seed_task_8") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_retract_alone_lists_and_writes_nothing(loaded: str, tmp_path: Path, capsys: Any) -> None:
    space = tmp_path / "workspace"
    export(loaded, space / "out")
    found = told(loaded, space, SEED, capsys, "--retract")
    assert found["would_leave_out"] == {"judgment": 2, "prompt": 1, "response": 3, "task": 1, "row": 3}
    opened = open_store(loaded)
    with opened.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM retractions") == 0
    opened.close()


def ids(folder: Path, number: int) -> dict[str, Any]:
    """The ids of one exported task."""
    task = next(t for t in lines(folder, "audit/tasks.jsonl") if f"question {number}:" in json.dumps(t))
    own = [j["id"] for j in lines(folder, "audit/judgments.jsonl") if j["task_id"] == task["id"]]
    return {
        "task": task["id"],
        "prompt": task["prompt"]["id"],
        "response": task["responses"][0]["id"],
        "judgment": own[0],
        "seed": SEED,
    }


@pytest.mark.parametrize("kind", ["seed", "prompt", "task", "response", "judgment"])
def test_what_derives_from_a_retracted_record_is_left_out_of_exports_and_named(
    loaded: str, tmp_path: Path, capsys: Any, kind: str
) -> None:
    space = tmp_path / "workspace"
    export(loaded, space / "before")
    known = ids(space / "before", 0)
    found = told(loaded, space, known[kind], capsys, "--retract", "--apply", "--reason", "licence withdrawn")
    assert found["retractions_written"] == 1
    assert export(loaded, space / "after", "--json") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    before, after = rows(space / "before"), rows(space / "after")
    own = [r for r in after if r["task_id"] == known["task"]]
    assert [r for r in after if r["task_id"] != known["task"]] == [r for r in before if r["task_id"] != known["task"]]
    reason = f"{'prompt' if kind == 'seed' else kind} retracted: licence withdrawn"
    gaps = lines(space / "after", "audit/left_out.jsonl")
    unused = lines(space / "after", "audit/judgments_unused.jsonl")
    everything = "".join(p.read_text("utf-8") for p in (space / "after").rglob("*") if p.is_file())
    if kind == "judgment":
        assert len(own) == 3
        assert all(known["judgment"] not in r["judgment_ids"] and len(r["judgment_ids"]) == 1 for r in own)
        assert summary["judgments_unused"] == {reason: 1}
    elif kind == "response":
        assert len(own) == 1
        assert known["response"] not in (own[0]["chosen_id"], own[0]["rejected_id"])
        assert own[0]["weight"] == 2.0  # a judgment of one pair is whole
        assert [g["response_ids"] for g in gaps if g["reason"] == reason] == [[known["response"]]]
    else:
        assert own == []
        assert summary["left_out"][reason] == 1
        assert [u["reason"] for u in unused if u["task_id"] == known["task"]] == [reason] * 2
        assert "question 0" not in everything
    assert "licence withdrawn" in json.dumps(lines(space / "after", "audit/retractions.jsonl"))
    for folder in ("before", "after"):
        assert check(space / folder) == 0
        assert check(space / folder, "--store", loaded) == 0


def test_a_retracted_response_s_text_is_in_no_file_of_the_export(tmp_path: Path, capsys: Any) -> None:
    url, space = f"sqlite:///{tmp_path}/s.db", tmp_path / "workspace"
    prompt = Prompt.make([Message(role="user", content="question 0: who?")])
    texts = ["fine", "also fine", "SECRET WORDS"]
    answers = [Response.make(prompt.id, [Message(role="assistant", content=text)]) for text in texts]
    load(url, [ranked(0, ["abc"], messages=prompt.messages, responses=answers)])
    run(url, space, answers[2].id, "--retract", "--apply", "--reason", "private")
    assert export(url, space / "out") == 0
    for path in (space / "out").rglob("*"):
        assert not path.is_file() or b"SECRET WORDS" not in path.read_bytes()
    assert check(space / "out", "--store", url) == 0


def test_what_was_made_from_a_retracted_response_goes_with_it(tmp_path: Path) -> None:
    url, space = f"sqlite:///{tmp_path}/s.db", tmp_path / "workspace"
    prompt = Prompt.make([Message(role="user", content="question 0")])
    said = [Message(role="assistant", content=f"answer {n}") for n in range(3)]
    draft, other = (Response.make(prompt.id, [said[n]]) for n in range(2))
    revised = Response.make(prompt.id, [said[2]], lineage=Lineage(parents=[draft.id]))
    load(url, [ranked(0, ["abc"], messages=prompt.messages, responses=[other, draft, revised]), ranked(1, ["abc"])])
    run(url, space, draft.id, "--retract", "--apply", "--reason", "wrong")
    export(url, space / "out")
    assert {r["prompt"][0]["content"] for r in rows(space / "out")} == {"question 1: two\nlines"}
    reasons = {g["reason"] for g in lines(space / "out", "audit/left_out.jsonl")}
    assert reasons == {"response retracted: wrong", "no other response is left"}
    assert check(space / "out", "--store", url) == 0


def test_a_seed_known_only_through_a_folder_takes_what_was_grown_from_it(tmp_path: Path, capsys: Any) -> None:
    """The prompt's parent is a grown task, whose own parent, the seed, no record of the store names."""
    url, space = f"sqlite:///{tmp_path}/s.db", tmp_path / "workspace"
    load(url, [made(0, ["grown 5"]), made(1, ["grown 6"])])
    with write_folder(space / "grown", "self_instruct", {}) as folder:
        folder.write("audit/tasks.jsonl", [{"id": "grown 5", "parents": [SEED]}, {"id": "grown 6", "parents": ["x"]}])
    assert told(url, space, SEED, capsys, "--retract", "--apply", "--reason", "bad")["retractions_written"] == 2
    export(url, space / "out")
    assert {r["prompt"][0]["content"] for r in rows(space / "out")} == {"question 1: two\nlines"}


def test_retracting_twice_writes_once_and_the_ledger_holds(loaded: str, tmp_path: Path, capsys: Any) -> None:
    space = tmp_path / "workspace"
    for n in (1, 0):
        found = told(loaded, space, SEED, capsys, "--retract", "--apply", "--reason", "bad")
        assert found["retractions_written"] == n
    opened = open_store(loaded)
    with opened.write() as tx:
        project = tx.value("SELECT id FROM projects")
        assert ledger.verify(tx, project) == []
        tx.run("UPDATE retractions SET reason = 'none'")
        assert ["retractions" in fault for fault in ledger.verify(tx, project)] == [True]
        tx.run("DELETE FROM retractions")
        assert "gone" in ledger.verify(tx, project)[0]
    opened.close()


def test_a_retraction_left_out_of_an_export_throughout_is_found(loaded: str, tmp_path: Path, capsys: Any) -> None:
    space = tmp_path / "workspace"
    export(loaded, space / "out")
    task = ids(space / "out", 0)["task"]
    run(loaded, space, task, "--retract", "--apply", "--reason", "bad")
    export(loaded, space / "out", "--force")
    out = space / "out"
    edit(out / "audit/retractions.jsonl", lambda found: [{**found[0], "reason": "other"}])
    edit(
        out / "audit/left_out.jsonl",
        lambda found: [{**g, "reason": g["reason"].replace("bad", "other")} for g in found],
    )
    seal_anew(out)
    assert check(out) == 0
    capsys.readouterr()
    assert check(out, "--store", loaded) == 1
    assert f"retraction of {task}: the store knew of none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--apply"], "--apply and --reason go with --retract"),
        (["--retract", "--apply"], "--apply needs --reason"),
        (["--retract", "--project", "skye", "--apply", "--reason", "x"], "there is no project 'skye'"),
    ],
)
def test_what_cannot_be_retracted_is_one_line(tmp_path: Path, capsys: Any, flags: list[str], says: str) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, ROWS_IN)
    assert run(url, tmp_path / "workspace", SEED, *flags) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_a_row_is_not_retracted(tmp_path: Path, capsys: Any) -> None:
    url, space = f"sqlite:///{tmp_path}/s.db", tmp_path / "workspace"
    load(url, ROWS_IN)
    export(url, space / "out")
    assert run(url, space, rows(space / "out")[0]["id"], "--retract") == 2
    assert "a row is made anew by each export" in capsys.readouterr().err


def test_folders_alone_can_be_walked(tmp_path: Path, capsys: Any) -> None:
    """Where no store was ever made; a store that was named must be there."""
    space = tmp_path / "workspace"
    grown = [{"id": f"g{n}", "parents": [f"g{n - 1}"], "instruction": f"do {n}"} for n in range(1, 1500)]
    with write_folder(space / "grown", "self_instruct", {}) as folder:
        folder.write("audit/tasks.jsonl", [*grown, {"id": "g0", "parents": ["g1"]}, [1], {"id": 7}, {"id": "x"}])
        folder.write("data/odd.jsonl", [{"id": "t", "responses": [1, {}], "prompt": {}}])
    capsys.readouterr()
    assert exit_status(lambda: trace.main(["g3", "--workspace", str(space)])) == 0
    out = capsys.readouterr().out
    assert "record g0" in out
    assert "record g4" in out
    assert exit_status(lambda: trace.main(["t", "--workspace", str(space)])) == 0
    assert run(f"sqlite:///{tmp_path}/none.db", space, "g3") == 2
    assert "there is no store" in capsys.readouterr().err


def test_a_store_of_version_1_is_brought_to_retractions(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MIGRATIONS", MIGRATIONS[:1])
    old = open_store(store_url)
    assert "retractions" not in inspect(old.engine).get_table_names()
    with old.write() as tx:
        tx.run("INSERT INTO projects (id, name) VALUES (1, 'sky')")
        ledger.take(tx, 1).append("import", "", [ledger.settings_row("sky", "{}")])
    old.close()
    monkeypatch.setattr(store, "MIGRATIONS", MIGRATIONS)
    now = open_store(store_url, create=False)
    with now.read() as tx:
        assert tx.value("SELECT value FROM meta WHERE key = 'schema'") == str(len(MIGRATIONS))
        assert tx.value("SELECT COUNT(*) FROM retractions") == 0
        assert ledger.verify(tx, 1) == []
    now.close()


def test_a_row_leads_to_the_runs_trained_on_it_and_to_what_was_decided_of_them(tmp_path: Path) -> None:
    from curate import walk

    def written(name: str, what: str, config: dict[str, Any], **files: list[Any]) -> str:
        with write_folder(tmp_path / name, what, config) as folder:
            for split, rows in files.items():
                folder.write(f"data/{split}.jsonl", rows)
            return folder.seal().digest

    row = {"judgment_ids": [], "prompt_id": "q"}
    export = written("export", "export", {}, train=[{"id": "taught", **row}], test=[{"id": "held", **row}])
    other = written("other", "export", {"n": 1}, train=[{"id": "elsewhere", **row}])
    run = written("run", "dpo run", {"export": export})
    written("far", "dpo run", {"export": other})
    seen = written("seen", "evaluation", {"run": {"digest": run}, "export": export})
    gate = written("gate", "gate", {"run": run, "outcome": "fail"})
    graph = walk.empty()
    walk.add_folders(graph, tmp_path)
    assert set(flat(walk.tree(graph, "taught", forward=True))) == {run, seen, gate}
    assert graph.nodes[gate].note == "gate: fail"
    assert walk.tree(graph, "held", forward=True) == []
    assert set(flat(walk.tree(graph, gate, forward=False))) >= {run, "taught"}
    # Retracting works on records; a run is told of, and trained again by people.
    assert walk.effect(graph, "q").records == []
