"""A blind comparison for people: what they are given, and what is made of what they said."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from made import add, project_id
from made import load as load_made

from annotate import answers, assign
from curate.retracted import write_retractions
from data.errors import BadInput, ConcordError, NotThere, Refused
from data.formats import read
from data.manifest import read_manifest
from data.records import Gold, Judgment, Lineage, Message, Prompt, Response, Retraction, Task
from data.store import Store, open_store
from train.contests import Contest, Key, by_model, read_key, win_cases
from train.people_wins import people_wins
from train.to_people import write_project

RUN, REFERENCE = "the answer of sky-7", "the answer of base-1"


def contests(count: int, **rest: Any) -> list[Contest]:
    """Prompts with both answers, every third of one family."""
    return [
        Contest(
            id=f"c{n}",
            cluster=f"family{n % 3}",
            prompt=[{"role": "user", "content": f"question {n}"}],
            run=f"{RUN} to {n}",
            reference=f"{REFERENCE} to {n}",
            **{"tags": {"language": "en"}, **rest},
        )
        for n in range(count)
    ]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(url(tmp_path), durable=False)
    yield made
    made.close()


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/concord.db"


def load(store: Store, folder: Path) -> None:
    load_made(store, read([str(folder / "data" / "tasks.jsonl")]).rows, project="ab")


def run(*words: str) -> None:
    """A command on the test's own store; a finding of the audit is no failure here."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr


def judge(store: Store, person: str, key: Key, verdicts: dict[str, str], project: str = "ab") -> dict[str, str]:
    """Somebody at the page: for each contest prefers run, reference, tie or calls both bad; gives judgment ids."""
    number = project_id(store, project)
    made = {}
    while lease := store.change(lambda tx: assign.claim(tx, number, person)):
        contest = key.responses[lease.shown[0]].contest
        hand_in = partial(answers.submit, annotator=person, token=lease.token)
        made[contest] = store.change(partial(hand_in, answer=_fields(verdicts[contest], lease.shown, key))).judgment
    return made


def _fields(verdict: str, shown: list[str], key: Key) -> dict[str, Any]:
    if verdict in ("all_bad", "cannot_judge"):
        return {"verdict": verdict}
    if verdict == "tie":
        return {"verdict": "answered", "choice": "tie"}
    return {"verdict": "answered", "choice": "AB"[[key.responses[one].side for one in shown].index(verdict)]}  # type: ignore[arg-type]


def values(source: Path | str, key: Key, **rest: Any) -> dict[str, float]:
    return {row.id: row.value for row in people_wins(source, key, **rest).rows}


# ── what is written ──────────────────────────────────────────────────────────


def test_people_see_neither_models_nor_sides(tmp_path: Path) -> None:
    made = write_project(tmp_path / "ab", contests(40), config={"run": "sky-7-secret"}, seed=3)
    assert made["tasks"] == 40
    told = (tmp_path / "ab" / "data" / "tasks.jsonl").read_text("utf-8")
    assert "secret" not in told
    assert '"model"' not in told
    assert "reference" not in told
    for row in lines(tmp_path / "ab" / "data" / "tasks.jsonl"):
        task = Task.model_validate(row)
        assert [r.model for r in task.responses] == [None, None]
        assert {r.import_key for r in task.responses} == {f"{task.import_key}#1", f"{task.import_key}#2"}
    assert not (tmp_path / "ab" / "data" / "key.jsonl").exists()


def test_sides_are_drawn_by_the_seed_about_half_each_way(tmp_path: Path) -> None:
    def first(name: str, seed: int, some: list[Contest]) -> dict[str, bool]:
        write_project(tmp_path / name, some, seed=seed)
        rows = lines(tmp_path / name / "data" / "tasks.jsonl")
        return {row["import_key"]: row["responses"][0]["messages"][0]["content"].startswith(RUN) for row in rows}

    one = first("one", 1, contests(200))
    assert 70 <= sum(one.values()) <= 130  # 200 fair coins leave this range once in 30,000 seeds
    assert one == first("again", 1, contests(200)[::-1])
    assert one != first("two", 2, contests(200))
    digests = [read_manifest(tmp_path / name).digest for name in ("one", "again", "two")]
    write_project(tmp_path / "same", contests(200), seed=1)
    assert read_manifest(tmp_path / "same").digest == digests[0] != digests[2]


def test_two_answers_of_one_text_are_a_tie_that_nobody_is_asked_about(tmp_path: Path) -> None:
    same = contests(2)[0]._replace(run="one", reference="one")
    made = write_project(tmp_path / "ab", [same, contests(2)[1]])
    assert (made["tasks"], made["same_text"]) == (1, 1)
    key = read_key(tmp_path / "ab" / "audit" / "key.jsonl")
    assert [(win.id, win.value, win.verdicts, win.lengths) for win in key.same] == [("c0", 0.5, 0, (3, 3))]


def test_what_cannot_be_compared_is_said_in_one_line(tmp_path: Path) -> None:
    one = contests(1)[0]
    for given, words in [
        ([], "nothing to compare"),
        ([one, one], "two contests are called 'c0'"),
        ([one._replace(prompt=[{"role": "robot", "content": "x"}])], "contest c0: field role"),
        ([one._replace(prompt=[])], "contest c0: field messages"),
    ]:
        with pytest.raises(BadInput, match=words) as said:
            write_project(tmp_path / "ab", given)
        assert "\n" not in str(said.value)
    assert not (tmp_path / "ab").exists()
    with pytest.raises(BadInput, match="overlap is 0"):
        write_project(tmp_path / "ab", [one], overlap=0)
    write_project(tmp_path / "ab", [one])
    with pytest.raises(Refused, match="there already"):
        write_project(tmp_path / "ab", [one])


# ── and back ─────────────────────────────────────────────────────────────────


def test_what_people_said_comes_back_from_store_snapshot_and_export_alike(tmp_path: Path, store: Store) -> None:
    from curate.snapshot import snapshot

    given = contests(6)
    write_project(tmp_path / "ab", [*given, given[0]._replace(id="same", run="x", reference="x")], overlap=2)
    run("annotate.load", str(tmp_path / "ab" / "data" / "tasks.jsonl"), "--project", "ab")
    key = read_key(tmp_path / "ab" / "audit" / "key.jsonl")
    said = ["run", "reference", "tie", "all_bad", "run", "cannot_judge"]
    judge(store, add(store, "Ana", project="ab"), key, {f"c{n}": one for n, one in enumerate(said)})
    second = ["run", "run", "run", "tie", "reference", "cannot_judge"]
    judge(store, add(store, "Ben", project="ab"), key, {f"c{n}": one for n, one in enumerate(second)})

    wins = people_wins(url(tmp_path), key)
    # one vote each: (1 + 1)/2, (0 + 1)/2, (½ + 1)/2, (½ + ½)/2, (1 + 0)/2; c5 has none; both texts alike: ½
    expected = {"c0": 1.0, "c1": 0.5, "c2": 0.75, "c3": 0.5, "c4": 0.5, "same": 0.5}
    assert {row.id: row.value for row in wins.rows} == expected
    assert wins.left_out == {"cannot judge": 2, "contests without a verdict": 1}
    assert {row.id: row.cluster for row in wins.rows}["c4"] == "family1"
    assert all(row.lengths == (len(RUN) + 5, len(REFERENCE) + 5) for row in wins.rows if row.id != "same")
    assert {case.tags["judged_by"] for case in win_cases(wins)} == {"person"}
    assert {case.measure for case in win_cases(wins)} == {"win_rate"}

    snapshot(url(tmp_path), tmp_path / "frozen")
    assert people_wins(tmp_path / "frozen", key) == wins
    run("curate.export", "--project", "ab", "--out", str(tmp_path / "export"), "--no-audit")
    assert values(tmp_path / "export", key) == expected
    assert values(tmp_path / "export" / "audit" / "judgments.jsonl", key) == expected


def test_a_changed_mind_counts_once_and_a_retracted_judgment_not_at_all(tmp_path: Path, store: Store) -> None:
    write_project(tmp_path / "ab", contests(3))
    load(store, tmp_path / "ab")
    key = read_key(tmp_path / "ab" / "audit" / "key.jsonl")
    ana = add(store, "Ana", project="ab")
    made = judge(store, ana, key, dict.fromkeys(("c0", "c1", "c2"), "run"))
    lease, _ = store.change(lambda tx: answers.revise(tx, ana, made["c0"]))
    newer = _fields("reference", lease.shown, key)
    store.change(lambda tx: answers.submit(tx, ana, lease.token, newer))
    with store.write() as tx:
        write_retractions(tx, project_id(store, "ab"), [Retraction.make(made["c1"], "by mistake", "lead")])
    wins = people_wins(url(tmp_path), key)
    assert {row.id: row.value for row in wins.rows} == {"c0": 0.0, "c2": 1.0}
    assert wins.left_out == {
        "superseded by the same person": 1,
        "retracted, or about something retracted": 1,
        "contests without a verdict": 1,
    }


def _bare(tmp_path: Path, tasks: list[Task], judgments: list[Judgment], retracted: tuple[str, ...] = ()) -> Path:
    folder = tmp_path / "bare"
    folder.mkdir(exist_ok=True)
    (folder / "tasks.jsonl").write_bytes(b"".join(task.line() + b"\n" for task in tasks))
    (folder / "judgments.jsonl").write_bytes(b"".join(one.line() + b"\n" for one in judgments))
    told = "".join(json.dumps({"record_id": name, "reason": "x"}) + "\n" for name in retracted)
    (folder / "retractions.jsonl").write_text(told)
    return folder / "judgments.jsonl"


def _task(number: int, kind: Any = "ab", models: tuple[str, ...] = ("sky", "base"), **rest: Any) -> Task:
    prompt = Prompt.make(
        [Message(role="user", content=f"q{number}")], language="en", tags=["a", "b"], lineage=rest.pop("lineage", None)
    )
    made = [Response.make(prompt.id, [Message(role="assistant", content="x" * 9)], model=name) for name in models]
    return Task.make("p", kind, prompt, made, **rest)


def _said(task: Task, winner: str, person: str = "ana", **rest: Any) -> Judgment:
    shown = [r.id for r in task.responses]
    return Judgment.make(
        task_id=task.id,
        annotator=person,
        shown=shown,
        choice="AB"[shown.index(winner)],
        token=f"{person}{task.id}",
        **rest,
    )


def test_repeats_models_rules_gold_and_what_was_retracted_are_left_out(tmp_path: Path) -> None:
    plain, known, gone, made = _task(0), _task(1), _task(2), _task(3, lineage=Lineage(parents=["seed"]))
    known = known.model_copy(update={"gold": Gold(choice=known.responses[0].id)})
    best = {task.id: task.responses[0].id for task in (plain, known, gone, made)}
    judgments = [
        _said(plain, plain.responses[1].id),
        _said(plain, best[plain.id], "ana", purpose="repeat"),
        _said(plain, best[plain.id], "expert", purpose="adjudication"),
        _said(plain, best[plain.id], "gpt", annotator_kind="model"),
        _said(plain, best[plain.id], "rule", annotator_kind="rule"),
        *(_said(task, best[task.id]) for task in (known, gone, made)),
    ]
    path = _bare(tmp_path, [plain, known, gone, made], judgments, (gone.responses[1].id, "seed"))
    wins = people_wins(path, by_model("sky", "base", {plain.prompt.id: "rivers"}))
    assert [(row.id, row.value, row.cluster) for row in wins.rows] == [(plain.prompt.id, 0.0, "rivers")]
    assert wins.rows[0].tags == {"language": "en", "tag": "a;b"}
    assert wins.left_out == {
        "purpose repeat": 1,
        "purpose adjudication": 1,
        "by a model": 1,
        "by a rule": 1,
        "on a task with a known answer": 1,
        "retracted, or about something retracted": 2,
        "contests without a verdict": 3,
    }


def test_a_ranking_counts_every_pair_of_the_two_sides(tmp_path: Path) -> None:
    task = _task(0, "ranking", ("sky", "base", "other", "base2"))
    a, b, other, c = (r.id for r in task.responses)
    key = by_model("sky", "base")
    key = key._replace(models={**key.models, "base2": "reference"})
    given = Judgment.make(
        task_id=task.id, annotator="ana", shown=[a, b, other, c], ranking=[[other], [b], [a, c]], token="t"
    )
    # the run's against b is lost, against c a tie: (0 + ½) / 2
    assert values(_bare(tmp_path, [task], [given]), key) == {task.prompt.id: 0.25}


def test_what_cannot_be_read_back_is_said_in_one_line(tmp_path: Path, store: Store) -> None:
    write_project(tmp_path / "ab", contests(2))
    key_file = tmp_path / "ab" / "audit" / "key.jsonl"
    key = read_key(key_file)
    load(store, tmp_path / "ab")
    write_project(tmp_path / "other", [one._replace(id=f"x{one.id}") for one in contests(2)])
    strange = read_key(tmp_path / "other" / "audit" / "key.jsonl")
    task = _task(0)
    bare = _bare(tmp_path, [task], [_said(task, task.responses[0].id)])
    bare.write_text(bare.read_text() + "{}\n")
    (tmp_path / "plain").mkdir()
    (tmp_path / "broken.jsonl").write_text(key_file.read_text().splitlines()[0] + '\n{"contest": "c"}\n')
    for source, with_key, more, words in [
        (url(tmp_path), strange, {}, "no task holds two answers that the key knows"),
        (url(tmp_path), key, {"project": "abb"}, "no project 'abb'.*did you mean 'ab'"),
        (f"sqlite:///{tmp_path}/none.db", key, {}, "no store"),
        (tmp_path / "none.jsonl", key, {}, "is not there"),
        (tmp_path / "plain", key, {}, "no manifest"),
        (bare, by_model("sky", "base"), {}, "judgments.jsonl, line 2: field"),
    ]:
        with pytest.raises(ConcordError, match=words) as said:
            people_wins(source, with_key, **more)  # type: ignore[arg-type]
        assert "\n" not in str(said.value)
    with pytest.raises(BadInput, match=r"broken\.jsonl, line 2: no 'cluster'"):
        read_key(tmp_path / "broken.jsonl")
    right = {"contest": "a", "cluster": "b", "run": "x", "reference": "x", "lengths": [1, 2]}
    for wrong, words in [
        ({"tags": ["a"]}, "tags is no object"),
        ({"lengths": "12"}, "lengths is no list of two numbers"),
    ]:
        (tmp_path / "wrong.jsonl").write_text(json.dumps(right | wrong))
        with pytest.raises(BadInput, match=rf"wrong\.jsonl, line 1: {words}"):
            read_key(tmp_path / "wrong.jsonl")
    with pytest.raises(NotThere):
        read_key(tmp_path / "nowhere.jsonl")
    with pytest.raises(BadInput, match="name two models"):
        by_model("sky", "sky")


def test_a_changed_snapshot_is_refused(tmp_path: Path, store: Store) -> None:
    from curate.snapshot import snapshot

    write_project(tmp_path / "ab", contests(1))
    load(store, tmp_path / "ab")
    snapshot(url(tmp_path), tmp_path / "frozen")
    with (tmp_path / "frozen" / "data" / "judgments.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(Refused, match="not as it was written"):
        people_wins(tmp_path / "frozen", read_key(tmp_path / "ab" / "audit" / "key.jsonl"))


def test_the_order_of_lines_changes_nothing(tmp_path: Path) -> None:
    tasks = [_task(n) for n in range(5)]
    judgments = [_said(t, t.responses[n % 2].id, p) for n, t in enumerate(tasks) for p in ("ana", "ben", "cai")]
    key = by_model("sky", "base")
    one = people_wins(_bare(tmp_path, tasks, judgments), key)
    assert people_wins(_bare(tmp_path, tasks[::-1], judgments[::-1]), key) == one
    assert Counter(row.value for row in one.rows) == {1.0: 3, 0.0: 2}
