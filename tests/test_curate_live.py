"""Measures kept up to date: after any history what the commands would say of it; one process keeps a project."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from made import add, load, project_id, row, rows
from test_lead import CRITERIA, act

from annotate import answers, assign, projects
from curate import bias, people, votes
from curate.agree import Question, agree
from curate.audit_sources import from_snapshot
from curate.ballot_columns import WHOLE, columns
from curate.casting import Ballots, ballots, cast_ballots
from curate.engine import engine
from curate.frozen import freeze, open_snapshot
from curate.live import main
from curate.live_figures import SLOW, Wish
from curate.live_reading import read_all, read_since
from curate.live_run import WORD_MS, Kept, keep, look, once
from curate.live_run import projects as known_projects
from curate.live_state import State, change, said_of
from curate.observed import observe_snapshot, settle_repeats
from curate.retracted import write_retractions
from curate.skill import judge_pairs, person_row
from curate.standings import models_of, stand
from data.errors import NotEnough, NotThere, Refused, exit_status
from data.folder import write_folder
from data.measures import KEPT_BY, Measure, read_measures, write_measures
from data.records import Retraction
from data.stats import wilson
from data.store import Store, Tx, open_store

WISH = Wish(replicates=20)
FULL = {"agreement", "position", "others", "reliability", "standings"}
Found = dict[tuple[str, str], Any]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    yield made
    made.close()


def shown(found: list[Measure]) -> Found:
    """Measures by name and scope; which process keeps them is another matter."""
    return {(m.name, json.dumps(m.scope, sort_keys=True)): m.value for m in found if m.name != KEPT_BY}


def measures(store: Store, project: str = "p") -> Found:
    with store.read() as tx:
        return shown(read_measures(tx, projects.find_project(tx, project).id))


def computed(store: Store, kept: Kept | None = None, every: bool = True) -> tuple[Kept, Found]:
    """The measures after one look."""
    kept = kept or Kept("me")
    with store.read() as tx:
        [project] = known_projects(tx, ["p"])
    look(store, project, kept, WISH, every=every, stopped=lambda: False)
    return kept, measures(store)


def nine(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: nine(v) for k, v in value.items()}
    return round(value, 9) + 0.0 if isinstance(value, float) else value


def scope(**about: str) -> str:
    return json.dumps(about, sort_keys=True)


def by_the_commands(url: str, folder: Path) -> Found:
    """What curate.agreement, curate.audit and curate.aggregate say of people's judgments in a snapshot taken now."""
    found: Found = {}
    with engine(threads=1) as con:
        url = apart(url, folder.with_suffix(".db"))
        with write_folder(folder, "snapshot", {}, replace=True) as frozen:
            freeze(con, url, frozen)
            frozen.seal()
        open_snapshot(con, folder)
        try:
            scales = observe_snapshot(con, "p")
            settle_repeats(con)
            asked = Question(None, replicates=0, leave_out=False)
            found |= agreements(agree(con, scales, asked, False, lambda _: None))
        except NotEnough:
            pass
        seen = [b for b in from_snapshot(con, folder, "p").ballots if b.kind == "person"]
        for who in {b.annotator for b in seen}:
            rate = bias.position(columns([b for b in seen if b.annotator == who]))
            found["position", scope(annotator=who)] = as_rate(rate)
        if seen:
            found["position", scope()] = as_rate(bias.position(columns(seen)))
        for who, (parts, n) in people.agreements(columns(seen)).items():
            found["others", scope(annotator=who)] = as_rate(wilson(parts / WHOLE, n))
        cast = ballots(con, cast_ballots(con, "p"), ["person"])
        pairs, said = votes.pair_votes(cast)
        if len(pairs.group):
            found |= aggregated(cast, pairs, said)
    return {key: nine(value) for key, value in found.items()}


def apart(url: str, copy: Path) -> str:
    """A store that a second SQLite library may read: one process must not hold one file by two of them."""
    if not url.startswith("sqlite"):
        return url
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as here, closing(sqlite3.connect(copy)) as there:
        here.backup(there)
    return f"sqlite:///{copy}"


def as_rate(rate: Any) -> dict[str, Any]:
    return {"value": rate.rate, "low": rate.low, "high": rate.high, "n": rate.n}


def agreements(rows: list[dict[str, Any]]) -> Found:
    found: Found = {}
    kept = ("value", "why", "low", "high", "units", "ratings", "blocks", "resampled", "level", "too_few", "verdict")
    for r in rows:
        if r["who"] != "people" or r["slice"] not in ("all", "language"):
            continue
        about = scope(criterion=r["criterion"], **({"language": r["key"]} if r["slice"] == "language" else {}))
        if r["measure"] == "alpha":
            found.setdefault(("agreement", about), {}).update(
                {"threshold": 0.8, **{k: r[k] for k in (*kept, "needed")}}
            )
        elif r["measure"] == "percent":
            found.setdefault(("agreement", about), {})["percent"] = r["value"]
    return found


def aggregated(cast: Ballots, pairs: votes.Pairs, said: votes.PairVotes) -> Found:
    found: Found = {}
    verdicts = judge_pairs(said, len(pairs.group))
    for n, who in enumerate(cast.annotators):
        r = person_row(who, verdicts.people, n, {})
        value = {"value": r["reliability"], "low": r["low"], "high": r["high"], "n": r["votes"]}
        found["reliability", scope(annotator=who)] = value
    duels = models_of(cast, pairs, said)
    if duels is None:
        return found
    made = stand(duels, prior=0.5, replicates=WISH.replicates, seed=0)
    found["standings", scope()] = {
        **{"order": made.order, "order_low": made.order_low, "order_high": made.order_high},
        **{"tie": made.tie, "warnings": made.warnings},
    }
    for r in made.rows:
        told = {name: r[name] for name in ("low", "high", "error", "comparisons", "part")}
        found["standings", scope(model=r["item"])] = {"value": r["strength"], **told}
    return found


def project(store: Store, rng: random.Random) -> list[str]:
    """Every kind of task, two languages, imported judgments, a prompt that two tasks share; and five people."""
    votes_ = [{"annotator": f"v{n}", "ranking": None, "choice": rng.choice("AB")} for n in range(2)]
    load(store, [*rows(4, prefix="r"), row(0, prefix="i", answers=2, votes=votes_)], overlap=3, language="zh")
    load(store, rows(4, prefix="a", answers=2), kind="ab", overlap=3)
    load(store, rows(3, prefix="s", answers=2), kind="rating", overlap=3, criteria=CRITERIA)
    again = [one._replace(key=f"again {one.key}") for one in rows(2, prefix="a", answers=2)]
    load(store, again, kind="ab", overlap=2)
    return [add(store, f"Person {n}") for n in range(5)]


@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_the_measures_are_those_of_the_commands(
    store: Store, store_url: str, seed: int, tmp_path: Path
) -> None:
    """Answers, revisions, skips, "cannot judge", surplus and imports, looked at now and then."""
    rng = random.Random(seed)
    everybody = project(store, rng)
    tokens: list[tuple[str, str]] = []
    kept, _ = computed(store)
    for step in range(120):
        person = rng.choice(everybody)
        store.change(lambda tx, person=person: act(tx, rng, person, tokens))  # type: ignore[misc]
        if rng.random() < 0.2:
            computed(store, kept, every=False)
        if step in (40, 119):
            _, found = computed(store, kept)
            assert found == by_the_commands(store_url, tmp_path / "snapshot")
            assert {name for name, _ in found} == FULL
            assert computed(store)[1] == found, "read anew it says the same"
    for record in drawn(store, rng):
        retract(store, record)
        _, found = computed(store, kept)
        assert found == by_the_commands(store_url, tmp_path / "snapshot")
        assert computed(store)[1] == found
    states = {r.state for r in read(store, "SELECT DISTINCT state FROM judgments")}
    assert "counted" in states
    assert read(store, "SELECT 1 FROM judgments WHERE supersedes IS NOT NULL")


def read(store: Store, sql: str, **values: Any) -> Any:
    with store.read() as tx:
        return tx.all(sql, **values)


def drawn(store: Store, rng: random.Random) -> list[str]:
    """Records to take back: two judgments, a response of a ranking and one of another task, and a prompt."""
    judged = [r.id for r in read(store, "SELECT id FROM judgments WHERE state = 'counted' ORDER BY id")]
    texts = [json.loads(r.record) for r in read(store, "SELECT record FROM task_records ORDER BY task")]
    ranked, other = (rng.choice([t for t in texts if (t["kind"] == "ranking") == yes]) for yes in (True, False))
    responses = [rng.choice(task["responses"])["id"] for task in (ranked, other)]
    return [*rng.sample(judged, 2), *responses, rng.choice(texts)["prompt"]["id"]]


def judge(store: Store, person: str, **say: Any) -> str:
    """Somebody answers their next task by its first response shown; returns the judgment's id."""

    def work(tx: Tx) -> str:
        lease = assign.claim(tx, project_of(tx), person)
        assert lease
        return answers.submit(tx, person, lease.token, {"verdict": "answered", "choice": "A", **say}).judgment

    return store.change(work)


def project_of(tx: Tx) -> int:
    return projects.find_project(tx, "p").id


def pairs_project(store: Store, tasks: int = 6, overlap: int = 2) -> list[str]:
    load(store, rows(tasks, answers=2), kind="ab", overlap=overlap)
    return [add(store, name) for name in ("Ana", "Ben")]


def retract(store: Store, record: str) -> None:
    store.change(lambda tx: write_retractions(tx, project_of(tx), [Retraction.make(record, "wrong", "lead")]))


def test_what_was_retracted_is_as_if_it_had_never_been_judged(store: Store) -> None:
    ana, ben = pairs_project(store)
    judge(store, ana)
    judge(store, ben)
    kept, before = computed(store)
    wrong = judge(store, ana, choice="B")
    assert computed(store, kept)[1] != before
    retract(store, wrong)
    assert computed(store, kept)[1] == before
    assert computed(store)[1] == before


def test_a_retracted_prompt_takes_its_task_and_a_retracted_response_its_comparisons(store: Store) -> None:
    ana, _ = pairs_project(store, 1)
    judge(store, ana)
    kept, found = computed(store)
    assert found["position", scope()]["n"] == 1
    record = json.loads(read(store, "SELECT record FROM task_records")[0].record)
    retract(store, record["responses"][0]["id"])
    assert {name for name, _ in computed(store, kept)[1]} == set()
    retract(store, record["prompt"]["id"])
    _, found = computed(store, kept)
    assert found == {}
    assert kept.state
    assert kept.state.judgments == 0


def test_an_erased_persons_name_is_nowhere_in_the_measures(store: Store) -> None:
    ana, _ = pairs_project(store)
    judge(store, ana)
    computed(store)
    text = json.dumps([list(r) for r in read(store, "SELECT name, scope, value FROM measures")])
    assert ana in text
    assert "Ana" not in text


def test_gold_and_repeats_stay_out_of_agreement(store: Store) -> None:
    ana, ben = pairs_project(store, 2)
    for person in (ana, ben, ana, ben):
        judge(store, person)
    _, found = computed(store)
    assert found["agreement", scope(criterion="choice")]["units"] == 2
    with store.write() as tx:  # as if the second task had been loaded with a gold answer, and one judgment a repeat
        [_, second] = tx.all("SELECT task, record FROM task_records ORDER BY task")
        record = json.loads(second.record)
        record["gold"] = {"choice": "A"}
        tx.run("UPDATE task_records SET record = :r WHERE task = :t", r=json.dumps(record), t=second.task)
    kept, found = computed(store)
    assert found["agreement", scope(criterion="choice")]["units"] == 1
    with store.write() as tx:
        tx.run("UPDATE judgments SET purpose = 'repeat' WHERE task <> :t AND annotator = :a", t=second.task, a=ana)
    _, found = computed(store)
    assert found["agreement", scope(criterion="choice")]["value"] is None
    assert kept.state


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 2)), max_size=4)),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_sums_do_not_depend_on_the_order_or_on_what_was_there_before(
    steps: list[tuple[int, list[tuple[str, int]]]], rng: random.Random
) -> None:
    from curate.live_reading import entry_of

    def entry(task: int, said: list[tuple[str, int]]) -> Any:
        record = {
            "id": f"t{task}",
            "prompt": {"id": f"p{task // 2}", "language": "en" if task % 2 else None},
            "responses": [{"id": "a", "model": "m"}, {"id": "b", "model": "n"}],
        }
        judged = [judged_row(f"{task}{n}", who, "AB"[v] if v < 2 else "tie") for n, (who, v) in enumerate(said)]
        return entry_of(record, judged)

    grown = State()
    for task, said in steps:
        change(grown, task, entry(task, said))
    last = dict(steps)
    fresh = State()
    order = list(last)
    rng.shuffle(order)
    for task in order:
        change(fresh, task, entry(task, last[task]))
    assert sums(grown) == sums(fresh)


def judged_row(id_: str, who: str, choice: str) -> Any:
    from types import SimpleNamespace

    record = json.dumps({"shown": ["a", "b"], "choice": choice})
    return SimpleNamespace(
        id=id_, annotator=who, state="counted", verdict="answered", purpose="label", supersedes=None, record=record
    )


def sums(state: State) -> Any:
    of = {who: (p.first, p.shown, p.sided, p.others) for who, p in state.people.items()}
    return state.judgments, state.signatures, of, state.models, {n: e.task for n, e in state.tasks.items()}


def test_somebody_who_spoke_twice_of_a_unit_counts_once_or_not_at_all() -> None:
    twice = [("choice", 0, "x", 0), ("choice", 0, "x", 0), ("choice", 0, "x", 2), ("choice", 0, "y", 1)]
    assert said_of(twice) == (("choice", (((0, 1), (1, 1)),)),)
    assert said_of(twice[1:3]) == ()


def test_a_look_reads_only_what_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, ben = pairs_project(store)
    for _ in range(3):
        judge(store, ana)
    with store.read() as tx:
        state = read_all(tx, project_id(store))
        seq = tx.value("SELECT head_seq FROM projects")
    judge(store, ben)
    changed: list[int] = []

    def spied(state: State, number: int, entry: Any) -> None:
        changed.append(number)
        change(state, number, entry)

    monkeypatch.setattr("curate.live_reading.change", spied)
    with store.read() as tx:
        state, news = read_since(tx, project_id(store), state, seq)
        assert (news, len(changed), state.judgments) == (True, 1, 4)
        seq = tx.value("SELECT head_seq FROM projects")
        assert read_since(tx, project_id(store), state, seq)[1] is False


def test_only_what_changed_is_written_and_what_is_gone_goes(store: Store) -> None:
    ana, ben = pairs_project(store)
    judge(store, ana)
    kept, _ = computed(store)
    with store.write() as tx:
        write_measures(tx, project_id(store), 1, {("position", scope(annotator="nobody").replace(" ", "")): "{}"})
    at = {(r.name, r.scope): r.seq for r in read(store, "SELECT name, scope, seq FROM measures")}
    judge(store, ben)
    again, found = computed(store)
    assert ("position", scope(annotator="nobody")) not in found
    now = {(r.name, r.scope): r.seq for r in read(store, "SELECT name, scope, seq FROM measures")}
    mine = ("position", json.dumps({"annotator": ana}, separators=(",", ":")))
    assert now[mine] == at[mine]
    assert now["position", "{}"] == again.seq > kept.seq


def test_slow_figures_rest_and_say_at_which_event_they_are_true(store: Store) -> None:
    ana, ben = pairs_project(store)
    judge(store, ana)
    kept, before = computed(store)
    kept.due = time.monotonic() + 1000
    judge(store, ben)
    _, after = computed(store, kept, every=False)
    slow = {key: value for key, value in before.items() if key[0] in SLOW}
    assert {key: value for key, value in after.items() if key[0] in SLOW} == slow
    assert after != before
    [said] = [json.loads(r.value) for r in read(store, "SELECT value FROM measures WHERE name = 'live'")]
    assert said["true_at"]["quick"][0] == kept.seq > said["true_at"]["slow"][0]
    assert said["judgments"] == 2


def test_once_computes_what_keeping_does_and_a_project_nobody_has_is_named(store: Store, store_url: str) -> None:
    ana, _ = pairs_project(store)
    judge(store, ana)
    told = once(store, ["p"], WISH)
    assert told["p"].startswith("1 judgments")
    assert measures(store) == computed(store)[1]
    assert exit_status(lambda: main(["--once", "--project", "q", "--store", store_url])) == 2
    with pytest.raises(NotThere, match="there is no project 'pp'"):
        once(store, ["pp"], WISH)


def test_the_ledger_neither_knows_nor_needs_the_measures(store: Store) -> None:
    from data import ledger

    ana, _ = pairs_project(store)
    judge(store, ana)
    computed(store)
    with store.write() as tx:
        assert ledger.verify(tx, project_id(store)) == []
        tx.run("DELETE FROM measures")
        assert ledger.verify(tx, project_id(store)) == []


# ── the loop ─────────────────────────────────────────────────────────────────


def soon(what: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to be")


@pytest.fixture
def keeper(store_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `python -m curate.live`; what still runs at the end is ended."""
    running: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "curate.live", "--every", "0.1", "--store", store_url, *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, cwd=ROOT, text=True, env=os.environ, **pipes))
        return running[-1]

    yield start
    for child in running:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def test_a_second_process_leaves_the_project_to_the_first_and_a_stop_gives_it_back(
    store: Store, keeper: Callable[..., subprocess.Popen[str]]
) -> None:
    ana, ben = pairs_project(store)
    judge(store, ana)
    first = keeper("--project", "p")
    soon(lambda: measures(store))
    second = keeper("--project", "p")
    said = second.communicate(timeout=60)[1]
    assert second.returncode == 2
    assert "another process keeps the measures of 'p'" in said
    judge(store, ben)
    soon(lambda: measures(store).get(("position", scope()), {}).get("n") == 2)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=60)
    assert (first.returncode, said) == (0, "")
    third = keeper("--child")
    judge(store, ana)
    soon(lambda: measures(store).get(("position", scope()), {}).get("n") == 3)
    assert third.stdin
    third.stdin.close()  # as the end of the server closes it
    assert third.wait(60) == 0


def test_a_word_that_ran_out_is_nobodys(store: Store, store_url: str) -> None:
    from curate.live_run import take

    pairs_project(store)
    with store.read() as tx:
        [mine] = known_projects(tx, ["p"])
    one, other = Kept("one"), Kept("other")
    store.change(lambda tx: take(tx, mine, one))
    with pytest.raises(Refused, match="another process"):
        store.change(lambda tx: take(tx, mine, other))
    with store.write() as tx:
        row_ = json.loads(tx.value("SELECT value FROM measures WHERE name = 'live'"))
        assert 0 < row_["until_ms"] - tx.now() <= WORD_MS
        tx.run("UPDATE measures SET value = :v WHERE name = 'live'", v=json.dumps({**row_, "until_ms": 1}))
    store.change(lambda tx: take(tx, mine, other))
    with pytest.raises(Refused, match="another process"):
        store.change(lambda tx: take(tx, mine, one))


def test_a_store_that_goes_away_is_said_once_and_waited_for(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from curate import live_run
    from data.errors import StoreDown

    ana, _ = pairs_project(store)
    judge(store, ana)
    stop, turns = threading.Event(), []
    turn = live_run._turn

    def flaky(*args: Any) -> Any:
        turns.append(1)
        if len(turns) < 4:
            raise StoreDown("the store does not answer (gone); is it running?")
        found = turn(*args)
        stop.set()
        return found

    monkeypatch.setattr(live_run, "_turn", flaky)
    monkeypatch.setattr(live_run, "PAUSE_S", (0.01, 0.01))
    keep(store_url, [], WISH, 0.01, stop)
    said = capsys.readouterr().err
    assert said.count("does not answer") == 1
    assert "answers again" in said
    assert measures(store)


def test_help_is_quick_to_come_and_says_what_there_is() -> None:
    done = subprocess.run([sys.executable, "-m", "curate.live", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "python -m curate.live --project NAME" in done.stdout
    assert "--child" not in done.stdout


def test_models_of_other_projects_or_never_compared_have_no_standing(store: Store, store_url: str) -> None:
    everybody = pairs_project(store, 8)
    load(store, [row(9, prefix="z", answers=4)], project="p")  # nobody judges secret-model-2 and -3
    load(store, [row(8, prefix="o", answers=5)], project="other")
    for n in range(16):
        judge(store, everybody[n % 2], choice="AABB"[n // 2 % 4] if n % 2 else "ABAB"[n // 2 % 4])
    _, found = computed(store)
    assert {about for name, about in found if name == "standings"} == {
        scope(),
        scope(model="secret-model-0"),
        scope(model="secret-model-1"),
    }
    assert not any("never met" in one for one in found["standings", scope()]["warnings"])
