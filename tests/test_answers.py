"""What a person does with a task they hold: submit, skip, revise, drafts; and what the page may say."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import add, answer, load, project_id, row, rows

from annotate import answers, assign, projects
from annotate.assign import Lease
from annotate.intake import Wishes, build
from annotate.present import Answer, answer_fields, answer_view
from data import ledger
from data.errors import NotThere, Refused
from data.records import Criterion, Judgment
from data.store import Store, open_store

CRITERIA = [Criterion(key=key, name={"en": key}) for key in ("helpful", "honest")]


@pytest.fixture
def opened(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    yield made
    made.close()


def take(store: Store, person: str) -> Lease:
    number = project_id(store)
    lease = store.change(lambda tx: assign.claim(tx, number, person))
    assert lease is not None
    return lease


def submit(store: Store, person: str, lease: Lease, **fields: Any) -> answers.Outcome:
    return store.change(lambda tx: answers.submit(tx, person, lease.token, fields or answer(lease.shown)))


def kept(store: Store, judgment: str) -> Judgment:
    with store.read() as tx:
        return Judgment.model_validate_json(tx.value("SELECT record FROM judgments WHERE id = :id", id=judgment))


def standing(store: Store) -> tuple[int, int, int, int, dict[str, int]]:
    """Tasks done, judgments done, open slots, done slots, and who did how many; the ledger must verify."""
    with store.read() as tx:
        p = projects.find_project(tx, "p")
        assert ledger.verify(tx, p.id) == []
        slots = {r.state: r.n for r in tx.all("SELECT state, COUNT(*) AS n FROM slots GROUP BY state")}
        done = {r.annotator: r.done for r in tx.all("SELECT annotator, done FROM members")}
        return p.tasks_done, p.done, slots.get(0, 0), slots.get(2, 0), done


def test_a_judgment_says_all_that_was_seen_and_answered(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    lease = take(opened, ana)
    a, b, c = lease.shown
    outcome = submit(
        opened,
        ana,
        lease,
        verdict="answered",
        ranking=[[b], [a, c]],
        flags={a: ["harmful"]},
        critiques={b: "为什么"},
        edited={c: ""},
        comment="ok",
        guideline_version="v1",
    )
    judgment = kept(opened, outcome.judgment)
    assert judgment.shown == lease.shown
    assert judgment.ranking == [[b], [a, c]]
    assert (judgment.task_id, judgment.annotator, judgment.token) == (lease.task.id, ana, lease.token)
    assert (judgment.flags, judgment.critiques, judgment.edited) == ({a: ["harmful"]}, {b: "为什么"}, {c: ""})
    assert judgment.started_at is not None
    assert judgment.submitted_at is not None
    assert judgment.started_at <= judgment.submitted_at
    assert Judgment.make(**{k: v for k, v in judgment.plain().items() if k != "id"}).id == judgment.id


def test_no_more_active_time_is_believed_than_has_passed(opened: Store) -> None:
    load(opened, rows(2))
    ana = add(opened, "Ana")
    first = submit(opened, ana, take(opened, ana), verdict="all_bad", active_seconds=86_400.0)
    lease = take(opened, ana)
    with opened.write() as tx:
        tx.run("UPDATE leases SET at_ms = at_ms - 100000 WHERE token = :t", t=lease.token)
    second = submit(opened, ana, lease, verdict="all_bad", active_seconds=60.0)
    believed = [kept(opened, o.judgment).active_seconds for o in (first, second)]
    assert believed[0] is not None
    assert believed[0] < 60
    assert believed[1] == 60.0


def test_a_submit_sent_again_changes_nothing(opened: Store) -> None:
    load(opened, rows(1), overlap=2)
    ana = add(opened, "Ana")
    lease = take(opened, ana)
    first = submit(opened, ana, lease)
    with opened.read() as tx:
        head = ledger.head(tx, 1)
    assert submit(opened, ana, lease, verdict="cannot_judge") == first
    with opened.read() as tx:
        assert ledger.head(tx, 1) == head
    assert standing(opened) == (0, 1, 1, 1, {ana: 1})


def test_a_task_is_done_when_its_last_slot_is(opened: Store) -> None:
    load(opened, rows(1), overlap=2)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    submit(opened, ana, take(opened, ana))
    assert standing(opened)[0] == 0
    submit(opened, ben, take(opened, ben))
    assert standing(opened) == (1, 2, 0, 2, {ana: 1, ben: 1})


def test_cannot_judge_after_all_takes_a_whole_task_back(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    first = submit(opened, ana, take(opened, ana))
    assert standing(opened) == (1, 1, 0, 1, {ana: 1, ben: 0})
    again, _ = opened.change(lambda tx: answers.revise(tx, ana, first.judgment))
    assert submit(opened, ana, again, verdict="cannot_judge").state == "returned"
    assert standing(opened) == (0, 0, 1, 0, {ana: 0, ben: 0})
    submit(opened, ben, take(opened, ben))
    assert standing(opened) == (1, 1, 0, 1, {ana: 0, ben: 1})


def test_somebody_who_could_not_judge_may_think_again_while_the_slot_is_free(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    first = submit(opened, ana, take(opened, ana), verdict="cannot_judge")
    again, before = opened.change(lambda tx: answers.revise(tx, ana, first.judgment))
    assert before.verdict == "cannot_judge"
    assert submit(opened, ana, again).state == "counted"
    assert standing(opened) == (1, 1, 0, 1, {ana: 1})


def test_every_revision_supersedes_the_one_before(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    ids = [submit(opened, ana, take(opened, ana)).judgment]
    for _ in range(3):
        again, before = opened.change(lambda tx: answers.revise(tx, ana, ids[-1]))
        assert before.id == ids[-1]
        ids.append(submit(opened, ana, again).judgment)
    assert [kept(opened, id_).supersedes for id_ in ids] == [None, *ids[:-1]]
    for old in ids[:-1]:
        with pytest.raises(Refused, match="revised since"):
            opened.change(lambda tx, old=old: answers.revise(tx, ana, old))  # type: ignore[misc]
    assert standing(opened) == (1, 1, 0, 1, {ana: 1})


def test_opening_a_judgment_twice_gives_one_lease(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    first = submit(opened, ana, take(opened, ana))
    tokens = {opened.change(lambda tx: answers.revise(tx, ana, first.judgment))[0].token for _ in range(2)}
    assert len(tokens) == 1


def test_nobody_opens_anothers_judgment(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    first = submit(opened, ana, take(opened, ana))
    with pytest.raises(NotThere):
        opened.change(lambda tx: answers.revise(tx, ben, first.judgment))


def test_an_imported_judgment_that_is_revised_is_superseded(opened: Store) -> None:
    load(opened, [row(0, votes=[{"annotator": "j"}])])
    with opened.read() as tx:
        found = tx.one("SELECT id, annotator FROM judgments")
    assert found is not None
    lease, _ = opened.change(lambda tx: answers.revise(tx, found.annotator, found.id))
    outcome = submit(opened, found.annotator, lease)
    assert outcome.state == "counted"
    assert kept(opened, outcome.judgment).supersedes == found.id
    assert standing(opened) == (1, 1, 0, 1, {found.annotator: 1})


def test_skipping_twice_or_after_a_submit_changes_nothing(opened: Store) -> None:
    load(opened, rows(2), overlap=2)
    ana = add(opened, "Ana")
    skipped, done = take(opened, ana), None
    for _ in range(2):
        opened.change(lambda tx: answers.skip(tx, ana, skipped.token, "too_long", "很长"))
    done = take(opened, ana)
    submit(opened, ana, done)
    opened.change(lambda tx: answers.skip(tx, ana, done.token, "other"))
    with opened.read() as tx:
        assert [tuple(r) for r in tx.all("SELECT reason, comment FROM passes")] == [("too_long", "很长")]
        assert tx.value("SELECT COUNT(*) FROM ledger WHERE kind = 'skip'") == 1
    assert standing(opened) == (0, 1, 3, 1, {ana: 1})


def test_an_older_draft_never_wins(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    lease = take(opened, ana)
    for seq, answered in ((2, 2), (1, 2), (2, 2), (7, 7)):
        body = f"{seq}"
        assert opened.change(lambda tx, s=seq, b=body: answers.save_draft(tx, ana, lease.token, s, b)) == answered  # type: ignore[misc]
    with opened.read() as tx:
        assert answers.draft(tx, lease.token) == (7, "7")
    submit(opened, ana, lease)
    opened.change(lambda tx: answers.save_draft(tx, ana, lease.token, 8, "late"))
    with opened.read() as tx:
        assert answers.draft(tx, lease.token) is None


# ── between letters and ids ──────────────────────────────────────────────────

LETTERS = "ABCDEFGHI"


@st.composite
def ranked(draw: st.DrawFn) -> tuple[int, list[list[str]]]:
    """How many responses, and all of them in some tiers."""
    count = draw(st.integers(2, 9))
    letters = draw(st.permutations(LETTERS[:count]))
    cuts = draw(st.sets(st.integers(1, count - 1)))
    ends = [0, *sorted(cuts), count]
    return count, [list(letters[a:b]) for a, b in itertools.pairwise(ends)]


@given(case=ranked(), data=st.data())
def test_an_answer_comes_back_from_its_record_as_it_was_given(case: tuple[int, list[list[str]]], data: Any) -> None:
    count, tiers = case
    task = build("p", row(0, answers=count), Wishes(kind="ranking"))
    shown = data.draw(st.permutations([r.id for r in task.responses]))
    letters = st.sampled_from(LETTERS[:count])
    words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(str.strip)
    given_ = Answer(
        ranking=tiers,
        critiques=data.draw(st.dictionaries(letters, words, max_size=3)),
        edited=data.draw(st.dictionaries(letters, words, max_size=3)),
        comment=data.draw(words),
    )
    fields = answer_fields(task, shown, given_)
    judgment = Judgment.make(task_id=task.id, annotator="x", shown=shown, **fields)
    back = answer_view(Judgment.model_validate_json(judgment.line()))
    assert {k: back[k] for k in ("ranking", "critiques", "edited", "comment")} == {
        "ranking": tiers,
        "critiques": given_.critiques,
        "edited": given_.edited,
        "comment": given_.comment,
    }
    assert judgment.ranking == [[shown[LETTERS.index(letter)] for letter in tier] for tier in tiers]


@given(case=ranked(), data=st.data())
def test_a_ranking_with_one_response_missing_or_twice_is_never_taken(case: Any, data: Any) -> None:
    count, tiers = case
    task = build("p", row(0, answers=count), Wishes(kind="ranking"))
    shown = [r.id for r in task.responses]
    tier, other = data.draw(st.sampled_from(tiers)), data.draw(st.sampled_from(tiers))
    letter = data.draw(st.sampled_from(tier))
    without = [[x for x in t if x != letter] for t in tiers]
    twice = [[*t, letter] if t is other else t for t in tiers]
    for wrong in (without, twice):
        with pytest.raises(Refused) as refused:
            answer_fields(task, shown, Answer.model_validate({"ranking": wrong}))
        assert refused.value.code == "bad_answer"


def test_only_what_belongs_to_the_kind_and_the_verdict_is_kept() -> None:
    everything: dict[str, Any] = {
        "ranking": [["A"], ["B"]],
        "choice": "A",
        "strength": 2,
        "ratings": {letter: {"helpful": 1, "honest": 2} for letter in "AB"},
    }
    own = {"ranking": {"ranking"}, "ab": {"choice", "strength"}, "rating": {"ratings"}}
    for kind, mine in own.items():
        task = build("p", row(0, answers=2, criteria=CRITERIA), Wishes(kind=kind))  # type: ignore[arg-type]
        shown = [r.id for r in task.responses]
        for verdict, expected in (("answered", mine), ("all_bad", set()), ("cannot_judge", set())):
            fields = answer_fields(task, shown, Answer.model_validate({**everything, "verdict": verdict}))
            assert {key for key in everything if fields.get(key)} == expected
            Judgment.make(task_id=task.id, annotator="x", shown=shown, **fields)


def test_the_view_of_a_task_names_no_response(opened: Store) -> None:
    from annotate.present import task_view

    task = build("p", row(0), Wishes())
    view = json.dumps(task_view(task, [r.id for r in task.responses]))
    for r in task.responses:
        assert r.id not in view
        assert str(r.model) not in view
