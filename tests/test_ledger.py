"""The ledger: what was changed, dropped, cut off or added behind its back is named."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import add, answer, load, project_id, row, rows

from annotate import accounts, answers, assign, projects
from data import ledger
from data.store import Store, Tx, open_store


@pytest.fixture
def used(store_url: str) -> Iterator[Store]:
    """A project in which everything happened once: submit, skip, revise, import, guidelines."""
    opened = open_store(store_url)
    load(opened, rows(3), overlap=2)
    load(opened, [row(9, votes=[{"annotator": "j1"}, {"annotator": "m", "annotator_kind": "model"}])], overlap=2)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    p = project_id(opened)
    with opened.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, "p"), {"en": "Be fair.", "zh": "公平。"})
    for who, steps in ((ana, ["submit", "skip", "revise"]), (ben, ["submit", "hold"])):
        for step in steps:
            lease = opened.change(lambda tx, who=who: assign.claim(tx, p, who))  # type: ignore[misc]
            assert lease is not None
            if step == "skip":
                opened.change(lambda tx, who=who, t=lease.token: answers.skip(tx, who, t, "other"))  # type: ignore[misc]
            elif step != "hold":
                fields = (who, lease.token, answer(lease.shown))
                done = opened.change(lambda tx, fields=fields: answers.submit(tx, *fields))  # type: ignore[misc]
            if step == "revise":
                again, _ = opened.change(lambda tx, who=who, j=done.judgment: answers.revise(tx, who, j))  # type: ignore[misc]
                fields = (who, again.token, answer(again.shown[::-1]))
                opened.change(lambda tx, fields=fields: answers.submit(tx, *fields))  # type: ignore[misc]
    assert faults(opened) == []
    yield opened
    opened.close()


def faults(opened: Store, **rest: Any) -> list[str]:
    with opened.read() as tx:
        return ledger.verify(tx, projects.find_project(tx, "p").id, **rest)


def behind(opened: Store, sql: str) -> None:
    """Change the tables without the ledger."""
    with opened.write() as tx:
        assert tx.run(sql) > 0


def change_json(opened: Store, table: str, key: str, where: str, work: Callable[[Any], None]) -> None:
    with opened.write() as tx:
        found = tx.one(f"SELECT {key} AS id, record FROM {table} WHERE {where} LIMIT 1")
        assert found is not None
        held = json.loads(found.record)
        work(held)
        tx.run(f"UPDATE {table} SET record = :r WHERE {key} = :id", r=json.dumps(held), id=found.id)


EVERY_KIND = {"create", "settings", "import", "role", "guidelines", "claim", "submit", "skip", "reopen", "revise"}


def test_everything_that_happens_is_an_event(used: Store) -> None:
    with used.read() as tx:
        kinds = {r.kind for r in tx.all("SELECT kind FROM ledger")}
    assert kinds >= EVERY_KIND


@pytest.mark.parametrize("column", ["at_ms", "kind", "actor", "rows", "detail", "prev", "hash"])
def test_a_changed_event_is_named(used: Store, column: str) -> None:
    new = {"at_ms": "at_ms + 1", "rows": "'[]'", "detail": "'[]'"}.get(column, f"'x' || {column}")
    behind(used, f"UPDATE ledger SET {column} = {new} WHERE seq = 3")
    found = faults(used)
    assert found[0].startswith("ledger: event 3 ")
    assert "was changed" in found[0]


def test_an_event_that_is_no_json_is_named(used: Store) -> None:
    behind(used, "UPDATE ledger SET rows = '{half' WHERE seq = 2")
    assert "event 2 (" in faults(used)[0]


def test_a_dropped_event_is_named(used: Store) -> None:
    behind(used, "DELETE FROM ledger WHERE seq = 4")
    assert faults(used)[0] == "ledger: event 4 is missing"


def test_two_events_that_changed_places_are_named(used: Store) -> None:
    for change in ("seq = -4 WHERE seq = 4", "seq = 4 WHERE seq = 5", "seq = 5 WHERE seq = -4"):
        behind(used, f"UPDATE ledger SET {change}")
    assert "event 4 " in faults(used)[0]


def test_a_cut_off_tail_shows_against_the_project(used: Store) -> None:
    behind(used, "DELETE FROM ledger WHERE seq = (SELECT MAX(seq) FROM ledger)")
    assert any("it ends at event" in fault for fault in faults(used))


def rewrite(tx: Tx, upto: int) -> None:
    """What a careful forger does: cut the tail, set the head, put back every row the tail wrote."""
    kept = tx.one("SELECT seq, hash FROM ledger WHERE seq = :n", n=upto)
    assert kept is not None
    tx.run("DELETE FROM ledger WHERE seq > :n", n=upto)
    tx.run("UPDATE projects SET head_seq = :seq, head_hash = :hash", seq=kept.seq, hash=kept.hash)


def test_a_tail_cut_off_with_care_shows_against_a_head_kept_elsewhere(store_url: str) -> None:
    opened = open_store(store_url)
    load(opened, rows(1))
    ana = add(opened, "Ana")
    p = project_id(opened)
    with opened.read() as tx:
        before = ledger.head(tx, p)
    lease = opened.change(lambda tx: assign.claim(tx, p, ana))
    assert lease is not None
    with opened.read() as tx:
        kept = ledger.head(tx, p)
    with opened.write() as tx:
        rewrite(tx, before.seq)
        tx.run("DELETE FROM leases")
        tx.run("UPDATE slots SET state = 0, annotator = NULL, token = NULL, until_ms = NULL")
        tx.run("UPDATE tasks SET open = 1")
    assert faults(opened) == []  # by itself nothing shows: that is why a head is kept
    assert faults(opened, known_head=before) == []
    assert faults(opened, known_head=kept) == [
        f"ledger: cut off at event {before.seq}; event {kept.seq} was seen before"
    ]
    opened.close()


def test_a_rewritten_chain_shows_against_a_head_kept_elsewhere(used: Store) -> None:
    with used.read() as tx:
        kept = ledger.head(tx, 1)
    with used.write() as tx:
        prev = ""
        for e in tx.all("SELECT * FROM ledger ORDER BY seq"):
            detail = {**json.loads(e.detail), "seen": 1}
            new = ledger.event_hash(1, e.seq, e.at_ms, e.kind, e.actor, json.loads(e.rows), detail, prev)
            tx.run(
                "UPDATE ledger SET detail = :d, prev = :p, hash = :h WHERE seq = :s",
                **{"d": json.dumps(detail), "p": prev, "h": new, "s": e.seq},
            )
            prev = new
        tx.run("UPDATE projects SET head_hash = :h", h=prev)
    assert faults(used) == []
    assert faults(used, known_head=kept) == [f"ledger: event {kept.seq} is not the one whose hash was kept"]


CHANGES = {
    "a judgment's state": ("UPDATE judgments SET state = 'surplus'", "judgments "),
    "a judgment's annotator": ("UPDATE judgments SET annotator = 'other'", "judgments "),
    "a judgment's verdict": ("UPDATE judgments SET verdict = 'all_bad'", "judgments "),
    "a judgment's task": (
        "UPDATE judgments SET task = (SELECT MAX(id) FROM tasks) WHERE purpose = 'label'",
        "judgments ",
    ),
    "what a judgment supersedes": ("UPDATE judgments SET supersedes = NULL WHERE supersedes IS NOT NULL", "judgments "),
    "a judgment's kind": (
        "UPDATE judgments SET annotator_kind = 'person' WHERE annotator_kind = 'model'",
        "judgments ",
    ),
    "a judgment gone": ("DELETE FROM judgments WHERE supersedes IS NOT NULL", "judgments "),
    "a slot's holder": ("UPDATE slots SET annotator = 'other' WHERE state = 2", "slots "),
    "a slot opened": (
        "UPDATE slots SET state = 0, annotator = NULL, token = NULL, until_ms = NULL WHERE state = 1",
        "slots ",
    ),
    "a slot's purpose": ("UPDATE slots SET purpose = 'repeat' WHERE state = 2", "slots "),
    "an untouched slot gone": ("DELETE FROM slots WHERE state = 0", "tasks "),
    "a slot added": (
        "INSERT INTO slots (task, number, project) SELECT MIN(id), 99, MIN(project) FROM tasks",
        "tasks ",
    ),
    "a task's overlap": ("UPDATE tasks SET overlap = overlap + 1", "tasks "),
    "a task's kind": ("UPDATE tasks SET kind = 'ab'", "tasks "),
    "a lease's order": ("UPDATE leases SET shown = '[]'", "leases "),
    "a lease's holder": ("UPDATE leases SET annotator = 'other'", "leases "),
    "a lease's time": ("UPDATE leases SET at_ms = at_ms - 1", "leases "),
    "a lease gone": ("DELETE FROM leases WHERE revises IS NOT NULL", "leases "),
    "a pass's reason": ("UPDATE passes SET reason = 'upsetting'", "passes "),
    "a pass gone": ("DELETE FROM passes", "passes "),
    "a role": ("UPDATE members SET role = 'admin'", "members "),
    "a guideline": ("UPDATE guidelines SET text = text || '!'", "guidelines "),
    "a setting": ("""UPDATE projects SET settings = '{"title": "x"}'""", "projects "),
    "a task's counter": ("UPDATE tasks SET done = done - 1 WHERE done > 0", "tasks "),
    "the project's counter": ("UPDATE projects SET done = done + 1", "projects: it counts"),
    "a person's counter": ("UPDATE members SET done = done + 1", "members "),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_row_changed_behind_its_back_is_named(used: Store, what: str) -> None:
    sql, named = CHANGES[what]
    behind(used, sql)
    assert any(fault.startswith(named) for fault in faults(used)), faults(used)


def test_a_judgment_rewritten_is_named_with_its_event(used: Store) -> None:
    change_json(used, "judgments", "id", "purpose = 'label'", lambda held: held.update(comment="was not there"))
    (fault,) = faults(used)
    assert fault.startswith("judgments ")
    assert "not what event" in fault


def test_a_task_rewritten_is_named_with_its_event(used: Store) -> None:
    change_json(used, "task_records", "task", "1 = 1", lambda held: held["responses"].reverse())
    (fault,) = faults(used)
    assert fault.startswith("tasks ")
    assert "not what event" in fault


def test_a_judgment_slipped_in_is_named(used: Store) -> None:
    behind(
        used,
        "INSERT INTO judgments (id, project, task, annotator, annotator_kind, verdict, purpose, state, record, at_ms)"
        " SELECT 'forged', project, task, 'x', annotator_kind, verdict, purpose, state, record, at_ms"
        " FROM judgments WHERE purpose = 'label' AND supersedes IS NULL LIMIT 1",
    )
    assert faults(used) == ["judgments forged: no event wrote it"]


def test_no_more_faults_are_said_than_asked_for(used: Store) -> None:
    behind(used, "UPDATE leases SET shown = '[]'")
    assert len(faults(used)) > 2
    assert len(faults(used, limit=2)) == 2


def test_an_erased_person_leaves_every_proof_standing(used: Store) -> None:
    used.change(lambda tx: accounts.erase(tx, "Ana"))
    used.change(lambda tx: accounts.deactivate(tx, "Ben"))
    assert faults(used) == []
    with used.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM people WHERE name = 'Ana'") == 0
        assert not any("Ana" in r.record for r in tx.all("SELECT record FROM judgments"))
        assert not any("Ana" in r.rows + r.detail + r.actor for r in tx.all("SELECT * FROM ledger"))


def test_events_of_two_projects_are_two_chains(used: Store) -> None:
    load(used, rows(1), project="other")
    behind(used, "DELETE FROM ledger WHERE project = (SELECT id FROM projects WHERE name = 'other') AND seq = 1")
    assert faults(used) == []
    with used.read() as tx:
        assert ledger.verify(tx, projects.find_project(tx, "other").id) != []


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
details = st.dictionaries(words, st.none() | st.integers(-(2**53), 2**53) | words, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(words, words, details), min_size=1, max_size=5), data=st.data())
def test_whatever_events_say_they_verify_until_one_is_changed(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, Any]], data: st.DataObject
) -> None:
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/s.db", durable=False)
    with opened.write() as tx:
        chain = ledger.take(tx, projects.make_project(tx, "p").id)
        for kind, actor, detail in events:
            chain.append(kind, actor, [], data=detail)
    assert faults(opened) == []
    seq = data.draw(st.integers(1, len(events) + 1))
    behind(opened, f"UPDATE ledger SET actor = actor || 'x' WHERE seq = {seq}")
    assert f"event {seq} " in faults(opened)[0]
    opened.close()
