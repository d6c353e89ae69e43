"""What changed between two exports is named row by row, and why: judgments, retractions, rules, configuration."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_export import export, load, ranked, rows

from annotate.accounts import add_person
from annotate.answers import revise, submit
from annotate.assign import claim
from curate import diff, trace
from data.errors import exit_status
from data.store import open_store


@pytest.fixture
def base(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, [ranked(n, ["abc", "abc"]) for n in range(4)])
    return url


def told(a: Path, b: Path, capsys: Any) -> dict[str, Any]:
    capsys.readouterr()
    assert exit_status(lambda: diff.main([str(a), str(b), "--json"])) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def reasons(found: dict[str, Any]) -> set[str]:
    return {why for row in found["changes"] for why in row["why"]}


def test_an_export_does_not_differ_from_itself_made_again(base: str, tmp_path: Path, capsys: Any) -> None:
    for name in "ab":
        export(base, tmp_path / name)
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert found["same"] is True
    assert (found["added"], found["removed"], found["changed"], found["changes"]) == (0, 0, 0, [])


def answer(url: str, name: str, picks: list[list[int]]) -> None:
    """A person's rankings of the next tasks, by the places on the page."""
    store = open_store(url)
    with store.write() as tx:
        add_person(tx, name, ["sky"], "annotator", ["en"])
        person = tx.value("SELECT id FROM people WHERE name = :name", name=name)
        project = tx.value("SELECT id FROM projects")
    for pick in picks:
        with store.write() as tx:
            lease = claim(tx, project, person)
            assert lease is not None
            ranking = [[lease.shown[i]] for i in pick]
            submit(tx, person, lease.token, {"verdict": "answered", "ranking": ranking})
    store.close()


def test_rows_of_new_judgments_are_added_and_changed_for_that_reason(tmp_path: Path, capsys: Any) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, [ranked(0, ["abc"]), ranked(1, [])])
    export(url, tmp_path / "a")
    answer(url, "Ada", [[0, 1, 2]])
    export(url, tmp_path / "b")
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert (found["added"], found["removed"], found["changed"]) == (3, 0, 0)
    assert reasons(found) == {"was left out: no judgments", "1 judgment new"}
    assert {row["ids"][-1] for row in found["changes"]} == {r["id"] for r in rows(tmp_path / "b")} - {
        r["id"] for r in rows(tmp_path / "a")
    }


def test_an_answer_changed_by_its_author_turns_rows_round(tmp_path: Path, capsys: Any) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    load(url, [ranked(0, [])])
    answer(url, "Ada", [[0, 1, 2]])
    export(url, tmp_path / "a")
    store = open_store(url)
    with store.write() as tx:
        first = tx.one("SELECT id, annotator FROM judgments")
        lease, judgment = revise(tx, first.annotator, first.id)
        submit(
            tx, first.annotator, lease.token, {"verdict": "answered", "ranking": [[r] for r in judgment.shown[::-1]]}
        )
    store.close()
    export(url, tmp_path / "b")
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert (found["added"], found["removed"], found["changed"]) == (0, 0, 3)
    assert reasons(found) == {"1 judgment new", "1 judgment superseded"}
    assert {"chosen_id", "rejected_id"} <= set(found["changes"][0]["columns"])


def test_a_retraction_is_named_as_the_reason(base: str, tmp_path: Path, capsys: Any) -> None:
    export(base, tmp_path / "a")
    task = rows(tmp_path / "a")[0]["task_id"]
    judgment = next(r for r in rows(tmp_path / "a") if r["task_id"] != task)["judgment_ids"][0]
    for record in (task, judgment):
        flags = ["--store", base, "--workspace", str(tmp_path / "w"), "--retract", "--apply", "--reason", "mistake"]
        assert exit_status(lambda record=record, flags=flags: trace.main([record, *flags])) == 0  # type: ignore[misc]
    export(base, tmp_path / "b")
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert (found["added"], found["removed"], found["changed"]) == (0, 3, 3)
    by = {row["what"]: row["why"] for row in found["changes"]}
    assert by["removed"] == [
        "now left out: task retracted: mistake",
        "2 judgments not counted any more (task retracted: mistake)",
    ]
    assert by["changed"] == ["1 judgment not counted any more (judgment retracted: mistake)"]


def test_other_rules_are_told_from_other_judgments(base: str, tmp_path: Path, capsys: Any) -> None:
    export(base, tmp_path / "a")
    export(base, tmp_path / "b", "--prior", "1")
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert found["changed"] == 12
    assert reasons(found) == {"other rules"}
    assert found["settings"] == {"prior": "0.5 to 1"}
    columns = {"id", "method", "probability", "score_chosen", "score_rejected"}
    assert {name for row in found["changes"] for name in row["columns"]} == columns


def test_a_minimum_and_a_quota_are_named(base: str, tmp_path: Path, capsys: Any) -> None:
    export(base, tmp_path / "a")
    export(base, tmp_path / "b", "--pairs", "all", "--min-votes", "2", "--per-prompt", "1")
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert (found["removed"], found["changed"], found["added"]) == (8, 0, 0)
    assert reasons(found) == {"now left out: beyond the 1 pairs of its prompt", "other rules"}


def test_another_format_of_the_same_pairs_changes_no_row(base: str, tmp_path: Path, capsys: Any) -> None:
    export(base, tmp_path / "a")
    export(base, tmp_path / "b", "--format", "parquet")
    found = told(tmp_path / "a", tmp_path / "b", capsys)
    assert found["same"] is False
    assert found["changes"] == []
    assert found["settings"] == {"format": "trl to parquet"}
    export(base, tmp_path / "c", "--format", "sft")
    assert exit_status(lambda: diff.main([str(tmp_path / "a"), str(tmp_path / "c")])) == 2
    assert "their rows are about different things" in capsys.readouterr().err


def test_it_is_told_in_lines_too(base: str, tmp_path: Path, capsys: Any) -> None:
    export(base, tmp_path / "a")
    export(base, tmp_path / "b", "--prior", "2", "--splits", "1,0,0")
    capsys.readouterr()
    assert exit_status(lambda: diff.main([str(tmp_path / "a"), str(tmp_path / "b")])) == 0
    out = capsys.readouterr().out
    assert out.count("changed row ") == 12
    assert "12 other rules" in out


def test_what_is_no_export_is_one_line(base: str, tmp_path: Path, capsys: Any) -> None:
    export(base, tmp_path / "a")
    capsys.readouterr()
    assert exit_status(lambda: diff.main([str(tmp_path / "a"), str(tmp_path / "none")])) == 2
    err = capsys.readouterr().err
    assert "is not there" in err
    assert err.count("\n") == 1
