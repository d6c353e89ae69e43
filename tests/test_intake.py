"""Tasks into a project: what a load counts, refuses and passes over, and what came along with it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import add, load, project_id, row, rows

from annotate import accounts, intake, projects
from annotate.assign import claim
from annotate.intake import Tally, Wishes, load_rows
from data import ledger
from data.formats.rows import Reject, Row
from data.records import Message, Prompt, Response
from data.store import Store, open_store


@pytest.fixture
def opened(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    yield made
    made.close()


def attempt(store: Store, given_: list[Any], **wishes: Any) -> tuple[Tally, list[Reject]]:
    rejects: list[Reject] = []
    return load_rows(store, "p", given_, Wishes(**wishes), rejected=rejects.append), rejects


def standing(store: Store, project: str = "p") -> tuple[int, int, int, int]:
    """Tasks, tasks done, needed, done; the ledger must verify."""
    with store.read() as tx:
        p = projects.find_project(tx, project)
        assert ledger.verify(tx, p.id) == []
        return p.tasks, p.tasks_done, p.needed, p.done


def texts(number: int, *said: str) -> Row:
    prompt = Prompt.make([Message(role="user", content=f"q{number}")])
    responses = [
        Response.make(prompt.id, [Message(role="assistant", content=text)], import_key=f"{number}#{n}")
        for n, text in enumerate(said)
    ]
    return Row(number, f"line {number}", str(number), prompt, responses)


def test_a_load_counts_tasks_and_what_is_odd_about_them(opened: Store) -> None:
    told: list[int] = []
    given_ = [texts(0, "a", "b"), texts(1, "", "b"), texts(2, "a", "a"), texts(3, "", ""), Reject("x", 4, "no", "")]
    tally = load_rows(opened, "p", given_, Wishes(overlap=2), rejected=lambda _: None, loaded=told.append)
    assert tally == Tally(tasks=4, rejected=1, with_empty=2, with_identical=2)
    assert told == [5]
    assert standing(opened) == (4, 0, 8, 0)


def test_loading_again_adds_nothing_at_all(opened: Store) -> None:
    given_ = [*rows(3), row(3, votes=[{"annotator": "j"}, {"annotator": "m", "annotator_kind": "model"}])]
    assert load(opened, given_).tasks == 4
    with opened.read() as tx:
        before = ledger.head(tx, project_id(opened)), tx.value("SELECT COUNT(*) FROM people")
    assert load(opened, given_) == Tally(known=4, judgments_known=2)
    with opened.read() as tx:
        assert (ledger.head(tx, project_id(opened)), tx.value("SELECT COUNT(*) FROM people")) == before
    assert standing(opened) == (4, 1, 4, 1)


def test_a_load_that_was_cut_off_goes_on_where_it_stopped(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH", 2)

    def breaks() -> Iterator[Row]:
        yield from rows(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(opened, breaks())
    assert standing(opened)[0] == 4
    assert load(opened, rows(7)) == Tally(tasks=3, known=4)
    assert standing(opened)[0] == 7


def test_more_may_be_loaded_while_people_work(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    number = project_id(opened)
    assert opened.change(lambda tx: claim(tx, number, ana)) is not None
    load(opened, rows(3), priority=1)
    held = opened.change(lambda tx: claim(tx, number, ana, holding=2))
    assert held is not None
    assert held.task.import_key == "q1"
    assert standing(opened) == (3, 0, 3, 0)


def test_an_id_that_comes_again_with_other_content_is_rejected(opened: Store) -> None:
    load(opened, [texts(0, "a", "b")])
    tally, rejects = attempt(opened, [texts(0, "a", "changed"), texts(1, "a", "b")])
    assert (tally.tasks, tally.rejected) == (1, 1)
    assert rejects[0].where == "line 0"
    assert "'0' is in project 'p' already" in rejects[0].reason
    assert standing(opened)[0] == 2


def test_an_id_twice_in_one_batch_with_other_content_is_rejected(opened: Store) -> None:
    tally, rejects = attempt(opened, [texts(0, "a", "b"), texts(0, "a", "changed")])
    assert (tally.tasks, tally.rejected, len(rejects)) == (1, 1, 1)
    assert standing(opened)[0] == 1


def test_the_same_row_in_two_projects_is_two_tasks(opened: Store) -> None:
    assert load(opened, rows(2)).tasks == load(opened, rows(2), "q").tasks == 2


def test_other_settings_for_a_known_task_are_reported_and_the_first_stay(opened: Store) -> None:
    load(opened, rows(2), overlap=2)
    assert load(opened, rows(2), overlap=3) == Tally(known=2, differing=2)
    assert standing(opened) == (2, 0, 4, 0)


def test_a_row_that_makes_no_task_is_rejected_with_its_reason(opened: Store) -> None:
    tally, rejects = attempt(opened, [row(0), row(1, answers=2)], kind="ab")
    assert (tally.tasks, tally.rejected) == (1, 1)
    assert "an A/B task has 2 responses, not 3" in rejects[0].reason


@pytest.mark.parametrize("what", ["key", "nul", "language", "annotator"])
def test_a_name_no_index_can_hold_is_rejected_alone(opened: Store, what: str) -> None:
    odd = {
        "key": row(1)._replace(key="k" * 5000),
        "nul": row(1)._replace(key="a\0b"),
        "language": row(1, language="x" * 5000),
        "annotator": row(1, votes=[{"annotator": "j" * 5000}]),
    }[what]
    tally, rejects = attempt(opened, [row(0), odd, row(2)])
    assert (tally.tasks, tally.rejected) == (2, 1)
    assert "characters" in rejects[0].reason


def test_a_rejected_first_row_makes_no_project(opened: Store) -> None:
    attempt(opened, [Reject("x", 1, "no", "")])
    with opened.read() as tx:
        assert projects.all_projects(tx) == []


def test_the_projects_kinds_are_those_of_its_tasks(opened: Store) -> None:
    load(opened, [row(0), row(1, answers=2)])
    with opened.read() as tx:
        assert projects.find_project(tx, "p").settings["kinds"] == ["ab", "ranking"]
    standing(opened)


def test_settings_changed_by_two_at_once_are_both_kept(opened: Store) -> None:
    load(opened, rows(1))
    with opened.read() as tx:
        seen = projects.find_project(tx, "p")
    for change in ({"title": "T"}, {"allow_unplaced": True}):  # both saw the project as it was before
        opened.change(lambda tx, c=change: projects.change_settings(tx, seen, c))  # type: ignore[misc]
    with opened.read() as tx:
        now = projects.find_project(tx, "p").settings
    assert (now["title"], now["allow_unplaced"]) == ("T", True)
    standing(opened)


# ── judgments that came along ────────────────────────────────────────────────


def votes(*names: str, **rest: Any) -> list[dict[str, Any]]:
    return [{"annotator": name, **rest} for name in names]


def test_a_persons_votes_fill_slots_and_the_rest_is_surplus(opened: Store) -> None:
    tally = load(opened, [row(0, votes=votes("a", "b", "c"))], overlap=2)
    assert (tally.judgments, tally.surplus) == (3, 1)
    assert standing(opened) == (1, 1, 2, 2)


def test_without_an_overlap_a_task_needs_the_votes_it_has(opened: Store) -> None:
    assert load(opened, [row(0, votes=votes("a", "b", "c"))]).surplus == 0
    assert standing(opened) == (1, 1, 3, 3)


@pytest.mark.parametrize("kind", ["model", "rule"])
def test_a_models_or_rules_votes_never_fill_a_slot(opened: Store, kind: str) -> None:
    tally = load(opened, [row(0, votes=votes("a", "b", annotator_kind=kind))], overlap=2)
    assert (tally.judgments, tally.surplus) == (2, 0)
    assert standing(opened) == (1, 0, 2, 0)
    ana = add(opened, "Ana")
    number = project_id(opened)
    assert opened.change(lambda tx: claim(tx, number, ana)) is not None
    with opened.read() as tx:
        assert [r.annotator for r in tx.all("SELECT annotator FROM judgments ORDER BY annotator")] == [
            f"{kind}:a",
            f"{kind}:b",
        ]


def test_a_vote_that_could_not_judge_leaves_the_slot_open(opened: Store) -> None:
    load(opened, [row(0, votes=votes("a", verdict="cannot_judge", ranking=None))], overlap=1)
    assert standing(opened) == (1, 0, 1, 0)


def test_votes_that_come_later_fill_what_is_left_beside_people_at_work(opened: Store) -> None:
    load(opened, [row(0)], overlap=2)
    ana = add(opened, "Ana")
    number = project_id(opened)
    assert opened.change(lambda tx: claim(tx, number, ana)) is not None
    tally = load(opened, [row(0, votes=votes("a", "b"))], overlap=2)
    assert (tally.known, tally.judgments, tally.surplus) == (1, 2, 1)
    assert standing(opened) == (1, 0, 2, 1)


def test_one_person_fills_one_slot_of_a_task_however_often_they_voted(opened: Store) -> None:
    again = [{"annotator": "a", "key": "second"}]
    tally = load(opened, [row(0, votes=[*votes("a"), *again])], overlap=3)
    assert (tally.judgments, tally.surplus) == (2, 1)
    tally = load(opened, [row(0, votes=[{"annotator": "a", "key": "third"}])], overlap=3)
    assert (tally.judgments, tally.surplus) == (1, 1)
    assert standing(opened) == (1, 0, 3, 1)


def test_one_vote_twice_in_a_row_is_kept_once(opened: Store) -> None:
    tally = load(opened, [row(0, votes=votes("a", "a"))], overlap=2)
    assert (tally.judgments, tally.judgments_known) == (1, 1)
    assert standing(opened) == (1, 0, 2, 1)


def test_more_votes_than_a_database_takes_values_at_once_go_in(tmp_path: Path) -> None:
    opened = open_store(f"sqlite:///{tmp_path}/store.db", durable=False)
    many = votes(*(f"m{n}" for n in range(700)), annotator_kind="model")
    assert load(opened, [row(n, votes=many) for n in range(48)]).judgments == 33_600  # SQLite takes 32,766
    opened.close()


def test_imported_people_have_random_ids_and_cannot_sign_in(opened: Store) -> None:
    load(opened, [row(n, votes=votes("Ana", "Ben")) for n in range(2)])
    with opened.read() as tx:
        people = tx.all("SELECT id, name, active, password, link_hash FROM people ORDER BY name")
        judges = {r.annotator for r in tx.all("SELECT annotator FROM judgments")}
        assert not any("Ana" in r.record for r in tx.all("SELECT record FROM judgments"))
    assert [(p.name, p.active, p.password, p.link_hash) for p in people] == [
        ("p/Ana", 0, None, None),
        ("p/Ben", 0, None, None),
    ]
    assert {p.id for p in people} == judges


def test_a_person_erased_after_an_import_is_not_named_again_by_loading_it_again(opened: Store) -> None:
    given_ = [row(0, votes=votes("Ana", "Ben"))]
    load(opened, given_)
    opened.change(lambda tx: accounts.erase(tx, "p/Ana"))
    assert load(opened, given_).judgments_known == 2
    with opened.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM people WHERE name = 'p/Ana'") == 0
    standing(opened)


# ── many at once, and any order ──────────────────────────────────────────────


def test_two_loads_of_one_file_at_once_add_it_once(opened: Store) -> None:
    tallies: list[Tally] = []
    given_ = [row(n, votes=votes("a")) for n in range(40)]

    def work() -> None:
        tallies.append(load(opened, given_, overlap=2))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(t.tasks for t in tallies) == sum(t.judgments for t in tallies) == 40
    assert standing(opened) == (40, 0, 80, 40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.lists(st.sampled_from("abcd"), max_size=4)), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    overlap=st.integers(1, 3),
)
def test_however_rows_and_votes_arrive_the_sums_are_those_of_the_slots(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, list[str]]]], overlap: int
) -> None:
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('intake')}/s.db", durable=False)
    voted: dict[int, set[str]] = {}
    for batch in batches:
        by_number = dict(batch)  # one row per id in a file: formats refuse a second
        load(opened, [row(n, votes=votes(*who)) for n, who in by_number.items()], overlap=overlap)
        for n, who in by_number.items():
            voted.setdefault(n, set()).update(who)
    filled = [min(overlap, len(who)) for who in voted.values()]
    assert standing(opened) == (
        *(len(voted), sum(n == overlap for n in filled)),
        *(overlap * len(voted), sum(filled)),
    )
    opened.close()
