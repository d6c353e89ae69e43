"""Whole tasks that carry judgments: by whom, what is refused with its reason, and what a project makes of them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made import add, project_id

from annotate import projects
from annotate.assign import claim
from annotate.intake import Tally, Wishes, load_rows
from curate.pairs import Stored, make_rules, pairs_of, usable
from data import ledger
from data.formats import Reject, Row, read
from data.records import Criterion, Judgment, Message, Prompt, Response, Task
from data.store import Store, open_store

HELPFUL = Criterion(key="helpful", name={"en": "Helpful"}, low=1, high=5)


def task(number: int = 0, answers: int = 2, **rest: Any) -> Task:
    """A task as a file of whole records has it."""
    prompt = Prompt.make([Message(role="user", content=f"question {number} 问题")])
    responses = [
        Response.make(prompt.id, [Message(role="assistant", content=f"answer {n}")], sample_index=n)
        for n in range(answers)
    ]
    kind = "ab" if answers == 2 else "ranking"
    return Task.make("made", **{"kind": kind, "prompt": prompt, "responses": responses, **rest})


def shown(of: Task, *places: int) -> list[str]:
    return [of.responses[n].id for n in places or range(len(of.responses))]


def soft(of: Task, probability: float = 0.75, **rest: Any) -> Judgment:
    """A model's soft label."""
    given = {"annotator": "model:m1", "annotator_kind": "model", "model": "m1", "principle": "calm", "sample_index": 0}
    return Judgment.make(task_id=of.id, **{**given, "shown": shown(of, 0, 1), "probability": probability, **rest})


def ruled(of: Task) -> Judgment:
    return Judgment.make(
        task_id=of.id, annotator="rule:revised", annotator_kind="rule", shown=shown(of, 0, 1), choice="B"
    )


def by_person(of: Task, name: str = "sim-1", **rest: Any) -> Judgment:
    return Judgment.make(task_id=of.id, annotator=name, **{"shown": shown(of), "choice": "A", **rest})


def line(of: Task, *judgments: Any) -> dict[str, Any]:
    """A task with judgments beside it, as one line."""
    return {**of.plain(), "judgments": [j.plain() if isinstance(j, Judgment) else j for j in judgments]}


def rows(folder: Path, *given: dict[str, Any]) -> list[Row | Reject]:
    file = folder / "judged.jsonl"
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in given), "utf-8")
    return list(read([str(file)]).rows)


@pytest.fixture
def opened(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    yield made
    made.close()


def load(store: Store, given: list[Row | Reject], **wishes: Any) -> Tally:
    def rejected(reject: Reject) -> None:
        raise AssertionError(reject)

    return load_rows(store, "p", given, Wishes(**wishes), rejected=rejected)


def kept(store: Store) -> list[Judgment]:
    with store.read() as tx:
        assert ledger.verify(tx, project_id(store)) == []
        found = tx.all("SELECT record FROM judgments")
    return sorted((Judgment.model_validate_json(row.record) for row in found), key=lambda j: j.annotator)


# ── reading ──────────────────────────────────────────────────────────────────


def test_a_whole_task_brings_whole_judgments_by_people_models_and_rules(tmp_path: Path) -> None:
    t = task()
    (row,) = rows(tmp_path, line(t, soft(t), ruled(t), by_person(t)))
    assert isinstance(row, Row)
    assert [(v.annotator_kind, v.annotator) for v in row.votes] == [
        ("model", "m1"),
        ("rule", "revised"),
        ("person", "sim-1"),
    ]
    first = row.votes[0]
    assert (first.probability, first.model, first.principle, first.sample_index) == (0.75, "m1", "calm", 0)
    assert first.key == soft(t).id


def test_a_whole_task_without_judgments_is_read_as_before(tmp_path: Path) -> None:
    given = rows(tmp_path, task().plain(), line(task(1)))
    assert [row.votes for row in given if isinstance(row, Row)] == [[], []]


def forged(of: Task) -> dict[str, Any]:
    return {**soft(of).plain(), "probability": 0.99}


BAD: list[tuple[Callable[[Task], Any], str]] = [
    (lambda t: [forged(t)], "does not hash to its id; the line was changed after it was written"),
    (lambda t: [soft(task(9))], "answers task "),
    (lambda t: [soft(t), soft(t)], "judgment 2 is there twice"),
    (lambda t: [{**soft(t).plain(), "probabilty": 1}], "probabilty"),
    (lambda t: [{**soft(t).plain(), "probability": 2}], "field probability"),
    (lambda t: [soft(t, shown=[*shown(t, 0), "elsewhere"])], "shown names a response that is not in the task"),
    (lambda t: [soft(t, shown=shown(t, 0))], "between two responses, and shown lists 1"),
    (lambda t: [soft(t, probability=None)], "no ranking, choice, probability or ratings"),
    (lambda t: [by_person(t, purpose="qualification")], "purpose qualification; only labels and imports"),
    (lambda t: [by_person(t, supersedes="x")], "supersedes another"),
    (lambda t: [by_person(t, name="")], "names no annotator"),
    (lambda t: [soft(t, annotator="model:")], "names no annotator"),
    (lambda t: [soft(t, ratings={shown(t, 0)[0]: {"kind": 3}})], "the task has no criterion 'kind'"),
    (lambda t: [soft(t, ratings={shown(t, 0)[0]: {"helpful": 10}})], "10 on 'helpful' is outside its scale, 1 to 5"),
    (lambda t: {"a": 1}, "judgments is an object; a list is needed"),
    (lambda t: ["yes"], "judgment 1: "),
]


@pytest.mark.parametrize(("made", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_judgment_that_does_not_fit_rejects_its_line_and_no_other(
    tmp_path: Path, made: Callable[[Task], Any], reason: str
) -> None:
    bad, good = task(0, criteria=[HELPFUL]), task(1)
    held = made(bad)
    given = {**bad.plain(), "judgments": held} if isinstance(held, dict) else line(bad, *held)
    first, second = rows(tmp_path, given, line(good, soft(good)))
    assert isinstance(first, Reject)
    assert reason in first.reason
    assert isinstance(second, Row)
    assert len(second.votes) == 1


# ── into a project ───────────────────────────────────────────────────────────


def test_they_are_marked_fill_no_slot_and_are_loaded_once(opened: Store, tmp_path: Path) -> None:
    t = task()
    given = rows(tmp_path, line(t, soft(t), soft(t, 0.25, shown=shown(t, 1, 0)), ruled(t)))
    assert load(opened, given, overlap=2) == Tally(tasks=1, judgments=3)
    held = kept(opened)
    assert [(j.annotator, j.annotator_kind) for j in held] == [
        ("model:m1", "model"),
        ("model:m1", "model"),
        ("rule:revised", "rule"),
    ]
    with opened.read() as tx:
        p = projects.find_project(tx, "p")
        stored = tx.all("SELECT task FROM tasks")[0].task
    assert (p.needed, p.done, p.tasks_done) == (2, 0, 0)
    assert {j.task_id for j in held} == {stored}
    assert {j.purpose for j in held} == {"import"}
    assert load(opened, given, overlap=2) == Tally(known=1, judgments_known=3)
    assert kept(opened) == held
    ana, number = add(opened, "Ana"), project_id(opened)
    assert opened.change(lambda tx: claim(tx, number, ana)) is not None


@pytest.mark.parametrize("kind", [None, "ranking"])
def test_judgments_of_tasks_that_are_there_go_to_those_tasks(opened: Store, tmp_path: Path, kind: Any) -> None:
    given = [task(n) for n in range(3)]
    load(opened, rows(tmp_path, *(t.plain() for t in given)), kind=kind, overlap=2)
    judged = rows(tmp_path, *(line(t, soft(t, principle=p)) for t, p in zip(given, "abc", strict=True)))
    tally = load(opened, judged)  # as a model's judge wrote them, without the --kind and --overlap of before
    assert (tally.tasks, tally.known, tally.judgments, tally.rejected) == (0, 3, 3, 0)
    more = rows(tmp_path, line(given[0], soft(given[0], principle="a"), soft(given[0], 0.5, principle="d")))
    tally = load(opened, more)
    assert (tally.known, tally.judgments, tally.judgments_known) == (1, 1, 1)
    with opened.read() as tx:
        p = projects.find_project(tx, "p")
        assert {row.task for row in tx.all("SELECT task FROM tasks")} == {j.task_id for j in kept(opened)}
    assert (p.tasks, p.needed, p.done) == (3, 6, 0)
    assert p.settings["kinds"] == [kind or "ab"]


def test_a_row_under_another_kind_without_judgments_is_still_refused(opened: Store, tmp_path: Path) -> None:
    load(opened, rows(tmp_path, task().plain()), kind="ranking")
    refused: list[Reject] = []
    tally = load_rows(opened, "p", rows(tmp_path, task().plain()), Wishes(), rejected=refused.append)
    assert (tally.known, tally.rejected) == (0, 1)
    assert "is in project 'p' already, with other content" in refused[0].reason


def test_whole_judgments_by_people_fill_slots(opened: Store, tmp_path: Path) -> None:
    t = task(answers=3)
    order = [[i] for i in shown(t, 2, 0, 1)]
    people = [by_person(t, name, choice=None, ranking=order) for name in ("a", "b", "c")]
    assert load(opened, rows(tmp_path, line(t, *people, soft(t))), overlap=2).surplus == 1
    with opened.read() as tx:
        assert projects.find_project(tx, "p").done == 2


def test_an_export_tells_them_apart(tmp_path: Path) -> None:
    t = task()
    (row,) = rows(tmp_path, line(t, soft(t, 0.75), ruled(t), by_person(t)))
    assert isinstance(row, Row)
    stored = [Stored("counted", j) for j in (soft(t, 0.75), ruled(t), by_person(t))]
    human, unused = usable(stored, make_rules(sources=["human"]))
    assert [j.annotator_kind for j in human] == ["person"]
    assert sorted(u.reason for u in unused) == ["by a model", "by a rule"]
    rules = make_rules(sources=["model"])
    (pair,), _ = pairs_of(t, usable(stored, rules)[0], rules)
    assert (pair.source, pair.probability) == ("model", (0.75 + 0.5) / 2)
