"""Who judges what: exact overlap, nobody twice, nobody starved, under any order of events and any concurrency."""

import itertools
import json
import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from made import add, answer, load, project_id, row, rows

from annotate import accounts, answers, assign, projects
from annotate.assign import Lease
from data import ledger
from data.errors import NotThere, Refused
from data.store import Store, Tx, open_store

T = TypeVar("T")


@pytest.fixture
def opened(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    yield made
    made.close()


def claim(store: Store, person: str, project: str = "p", **rest: Any) -> Lease | None:
    number = project_id(store, project)
    return store.change(lambda tx: assign.claim(tx, number, person, **rest))


def take(store: Store, person: str, project: str = "p", **rest: Any) -> Lease:
    lease = claim(store, person, project, **rest)
    assert lease is not None
    return lease


def submit(store: Store, person: str, lease: Lease, verdict: str = "answered") -> answers.Outcome:
    return store.change(lambda tx: answers.submit(tx, person, lease.token, answer(lease.shown, verdict)))


def expire(store: Store, *leases: Lease) -> None:
    """Let time run out, as the database's clock would."""
    with store.write() as tx:
        for lease in leases:
            assert tx.run("UPDATE slots SET until_ms = 1 WHERE token = :t AND state = 1", t=lease.token) == 1


def faults(store: Store, project: str = "p") -> list[str]:
    with store.read() as tx:
        return ledger.verify(tx, projects.find_project(tx, project).id)


def counts(store: Store) -> dict[str, int]:
    """Counted judgments a task, the latest of each person."""
    with store.read() as tx:
        found = tx.all(
            "SELECT t.task, COUNT(*) AS n FROM judgments j JOIN tasks t ON t.id = j.task WHERE j.state = 'counted'"
            " AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.supersedes = j.id) GROUP BY t.task"
        )
        return {r.task: r.n for r in found}


# ── any order of events, against a model of a few lines ──────────────────────


class Labelling(RuleBasedStateMachine):
    """The store beside a model: per task who holds or has done it, who passed, who wrote it."""

    store: Store
    number = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.project = f"p{next(self.number)}"
        self.tasks: dict[str, Any] = {}  # id -> overlap, language, priority, authors
        self.hands: dict[str, dict[str, str]] = {}  # task -> person -> "leased" or "done"
        self.passed: set[tuple[str, str]] = set()
        self.over: set[str] = set()  # tokens whose time ran out and whose slot nobody took back yet
        self.held: dict[str, str] = {}  # person -> token held
        self.leases: dict[str, tuple[str, Lease]] = {}  # token -> person, lease
        self.shown: dict[tuple[str, str], list[str]] = {}
        self.outcomes: dict[str, answers.Outcome] = {}
        self.latest: dict[tuple[str, str], str] = {}  # person, task -> judgment
        self.drafts: dict[str, int] = {}
        self.loaded = 0
        self.load(2, 2, None, 0, False)
        self.people = [add(self.store, f"{self.project} {n}", project=self.project) for n in "abc"]
        self.speaks = {p: {"en"} for p in self.people}
        self.active = set(self.people)
        with self.store.read() as tx:
            self.id = projects.find_project(tx, self.project).id

    def change(self, work: Callable[[Tx], T]) -> T:
        return self.store.change(work)

    # what may happen

    @rule(
        n=st.integers(1, 3),
        overlap=st.integers(1, 3),
        language=st.sampled_from([None, "en", "zh"]),
        priority=st.integers(0, 1),
        authored=st.booleans(),
    )
    def load(self, n: int, overlap: int, language: str | None, priority: int, authored: bool) -> None:
        author = self.people[0] if authored else None
        made = [row(self.loaded + i, author=author, language=language, priority=priority) for i in range(n)]
        self.loaded += n
        load(self.store, made, self.project, overlap=overlap)
        with self.store.read() as tx:
            for r in tx.all("SELECT record FROM task_records ORDER BY task DESC LIMIT :n", n=n):
                task = json.loads(r.record)
                self.tasks[task["id"]] = (overlap, language, priority, {author})
                self.hands[task["id"]] = {}

    def free_for(self, person: str) -> list[str]:
        return [
            task
            for task, (overlap, language, _, authors) in self.tasks.items()
            if len(self.hands[task]) < overlap
            and person not in self.hands[task]
            and (person, task) not in self.passed
            and person not in authors
            and (language is None or language in self.speaks[person])
        ]

    @rule(who=st.integers(0, 2))
    def claim(self, who: int) -> None:
        person = self.people[who]
        if person in self.held:
            lease = self.change(lambda tx: assign.claim(tx, self.id, person))
            assert lease is not None
            assert lease.token == self.held[person]
            self.over.discard(lease.token)
            self.take_back(but=person)
            return
        if person not in self.active:
            with pytest.raises(Refused):
                self.change(lambda tx: assign.claim(tx, self.id, person))
            return
        self.take_back(but=person)
        lease = self.change(lambda tx: assign.claim(tx, self.id, person))
        free = self.free_for(person)
        assert (lease is None) == (not free), "served exactly when something is there for them"
        if lease is None:
            return
        task = lease.task.id
        assert task in free
        assert self.tasks[task][2] == max(self.tasks[t][2] for t in free), "what matters more comes first"
        assert sorted(lease.shown) == sorted(r.id for r in lease.task.responses)
        assert lease.shown == self.shown.setdefault((person, task), lease.shown), "the order seen first stays"
        self.hands[task][person] = "leased"
        self.held[person] = lease.token
        self.leases[lease.token] = person, lease

    def take_back(self, but: str) -> None:
        for token in list(self.over):
            person, lease = self.leases[token]
            if person != but:
                self.drop(person, lease.task.id)

    def drop(self, person: str, task: str) -> None:
        self.hands[task].pop(person, None)
        token = self.held.get(person)
        if token and self.leases[token][1].task.id == task:
            del self.held[person]
            self.over.discard(token)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        person = data.draw(st.sampled_from(list(self.held)))
        self.over.add(self.held[person])
        expire(self.store, self.leases[self.held[person]][1])

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), verdict=st.sampled_from(["answered", "answered", "answered", "all_bad", "cannot_judge"]))
    def submit(self, data: st.DataObject, verdict: str) -> None:
        token = data.draw(st.sampled_from(list(self.leases)))
        person, lease = self.leases[token]
        task = lease.task.id
        outcome = self.change(lambda tx: answers.submit(tx, person, token, answer(lease.shown, verdict)))
        if token in self.outcomes:
            assert outcome == self.outcomes[token], "sent twice, kept once"
            return
        self.outcomes[token] = outcome
        self.latest[person, task] = outcome.judgment
        if verdict == "cannot_judge":
            assert outcome.state == "returned"
            self.drop(person, task)
            self.passed.add((person, task))
        elif person in self.hands[task] or len(self.hands[task]) < self.tasks[task][0]:
            assert outcome.state == "counted"
            self.drop(person, task)
            self.hands[task][person] = "done"
        else:
            assert outcome.state == "surplus"

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def skip(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(list(self.leases)))
        person, lease = self.leases[token]
        self.change(lambda tx: answers.skip(tx, person, token, "other"))
        newer = person in self.hands[lease.task.id] and self.held.get(person) != token
        if token not in self.outcomes and not newer:
            self.drop(person, lease.task.id)
            self.passed.add((person, lease.task.id))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(list(self.leases)))
        person, lease = self.leases[token]
        self.change(lambda tx: answers.release(tx, person, token))
        if self.held.get(person) == token:
            self.drop(person, lease.task.id)

    @precondition(lambda self: self.latest)
    @rule(data=st.data())
    def revise(self, data: st.DataObject) -> None:
        person, task = data.draw(st.sampled_from(list(self.latest)))
        lease, before = self.change(lambda tx: answers.revise(tx, person, self.latest[person, task]))
        assert lease.task.id == task
        assert lease.shown == before.shown == self.shown[person, task]
        self.leases[lease.token] = person, lease

    @rule(who=st.integers(0, 2))
    def switch_active(self, who: int) -> None:
        person, name = self.people[who], f"{self.project} {'abc'[who]}"
        act: Callable[[Tx, str], Any] = accounts.deactivate if person in self.active else accounts.relink
        self.change(lambda tx: act(tx, name))
        self.active ^= {person}

    @rule(who=st.integers(0, 2), languages=st.sampled_from([["en"], ["zh"], ["en", "zh"]]))
    def speak(self, who: int, languages: list[str]) -> None:
        if self.people[who] in self.active:
            add(self.store, f"{self.project} {'abc'[who]}", tuple(languages), self.project)
            self.speaks[self.people[who]] = set(languages)

    # what always holds

    @invariant()
    def the_slots_are_the_models(self) -> None:
        with self.store.read() as tx:
            found = tx.all(
                "SELECT t.task, s.annotator, s.state FROM slots s JOIN tasks t ON t.id = s.task"
                " WHERE s.project = :p AND s.state > 0",
                p=self.id,
            )
        in_store = Counter((r.task, r.annotator, r.state) for r in found)
        assert in_store == Counter(
            (task, person, 1 if state == "leased" else 2)
            for task, hands in self.hands.items()
            for person, state in hands.items()
        )

    @invariant()
    def the_counters_count(self) -> None:
        with self.store.read() as tx:
            p = projects.find_project(tx, self.project)
        done = [sum(state == "done" for state in hands.values()) for hands in self.hands.values()]
        needed = [overlap for overlap, *_ in self.tasks.values()]
        whole = sum(d == n for d, n in zip(done, needed, strict=True))
        assert (p.tasks, p.tasks_done, p.done, p.needed) == (len(needed), whole, sum(done), sum(needed))

    def teardown(self) -> None:
        with self.store.read() as tx:
            assert ledger.verify(tx, self.id) == []
            for r in tx.all(
                "SELECT j.annotator, t.task, j.id FROM judgments j JOIN tasks t ON t.id = j.task WHERE j.project = :p"
                " AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.supersedes = j.id)",
                p=self.id,
            ):
                assert self.latest.pop((r.annotator, r.task)) == r.id
        assert not self.latest, "every acknowledged judgment is there, the newest on top"


def test_any_order_of_events_fits_a_simple_model(opened: Store) -> None:
    machine = type("OnThisStore", (Labelling,), {"store": opened})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20 if opened.postgresql else 60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# ── single cases, by name ────────────────────────────────────────────────────


def test_a_task_goes_to_as_many_people_as_it_needs_and_no_more(opened: Store) -> None:
    load(opened, rows(1), overlap=2)
    people = [add(opened, n) for n in "abc"]
    leases = [claim(opened, p) for p in people]
    assert [lease is None for lease in leases] == [False, False, True]


def test_asking_again_gives_the_same_task_with_the_same_token(opened: Store) -> None:
    load(opened, rows(3))
    ana = add(opened, "Ana")
    assert take(opened, ana).token == take(opened, ana).token


def test_a_task_fetched_ahead_comes_after_the_one_that_is_read(opened: Store) -> None:
    load(opened, rows(4))
    ana = add(opened, "Ana")
    now = take(opened, ana)
    ahead, again = take(opened, ana, holding=2), take(opened, ana, holding=2)
    assert (ahead.token, ahead.task.id) == (again.token, again.task.id)
    assert ahead.task.id != now.task.id
    expire(opened, now)  # by the clock the one that is read runs out first; it is renewed with the other
    assert take(opened, ana).token == now.token, "a reload shows the one that was read"
    submit(opened, ana, now)
    assert take(opened, ana).token == ahead.token
    assert take(opened, ana, holding=2).task.id not in (now.task.id, ahead.task.id)


def test_a_task_released_is_served_first_and_may_come_again(opened: Store) -> None:
    load(opened, rows(4), overlap=1)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    now, ahead = take(opened, ana), take(opened, ana, holding=2)
    for _ in range(2):  # said twice, done once
        opened.change(lambda tx: answers.release(tx, ana, ahead.token))
    assert take(opened, ana).token == now.token
    again = take(opened, ana, holding=2)
    assert again.task.id == ahead.task.id
    opened.change(lambda tx: answers.release(tx, ana, again.token))
    assert take(opened, ben).task.id == ahead.task.id
    with pytest.raises(NotThere):
        opened.change(lambda tx: answers.release(tx, ben, now.token))


def test_a_task_released_soon_is_kept_by_who_renews_it_and_else_goes_to_others(opened: Store) -> None:
    load(opened, rows(4), overlap=1)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    take(opened, ana)
    ahead = take(opened, ana, holding=2)

    def until() -> int:
        with opened.read() as tx:
            return int(tx.value("SELECT until_ms FROM slots WHERE token = :t", t=ahead.token))

    full = until()
    opened.change(lambda tx: answers.release(tx, ana, ahead.token, 20_000))
    assert full - until() > assign.LEASE_MS - 25_000
    assert opened.change(lambda tx: assign.renew(tx, ahead.token, ana))
    assert until() >= full
    opened.change(lambda tx: answers.release(tx, ana, ahead.token, 1))
    opened.change(lambda tx: answers.release(tx, ana, ahead.token, 60_000))  # never longer than it is
    time.sleep(0.01)
    assert take(opened, ben).task.id == ahead.task.id
    assert faults(opened) == []


def test_what_was_released_and_taken_by_another_is_kept_as_surplus(opened: Store) -> None:
    load(opened, rows(4), overlap=1)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    take(opened, ana)
    again = take(opened, ana, holding=2)
    opened.change(lambda tx: answers.release(tx, ana, again.token))
    assert take(opened, ben).task.id == again.task.id
    assert submit(opened, ana, again).state == "surplus"
    assert faults(opened) == []


def test_near_the_end_nothing_is_fetched_ahead(opened: Store) -> None:
    load(opened, rows(5), overlap=1)
    ana = add(opened, "Ana")

    def plenty() -> bool:
        with opened.read() as tx:
            return assign.plenty(tx, projects.find_project(tx, "p").id)

    assert plenty()
    submit(opened, ana, take(opened, ana))
    assert not plenty()


def test_a_language_nobody_said_they_read_is_not_served(opened: Store) -> None:
    load(opened, [row(0, language="zh"), row(1, language="en"), row(2)])
    ana = add(opened, "Ana", ("en",))
    seen = []
    while lease := claim(opened, ana):
        seen.append(lease.task.language)
        submit(opened, ana, lease)
    assert sorted(seen, key=str) == [None, "en"]
    with opened.read() as tx:
        assert len(projects.out_of_reach(tx, projects.find_project(tx, "p"))) == 1


def test_who_reads_a_language_is_served_every_region_of_it(opened: Store) -> None:
    load(opened, [row(0, language="zh-CN"), row(1, language="zh_Hant"), row(2, language="en-GB")])
    wei = add(opened, "Wei", ("zh-TW",))
    seen = []
    while lease := claim(opened, wei):
        seen.append(lease.task.language)
        submit(opened, wei, lease)
    assert seen == ["zh-CN", "zh_Hant"]


def test_nobody_judges_what_they_wrote(opened: Store) -> None:
    load(opened, rows(1, prefix="other"))
    ana = add(opened, "Ana")
    load(opened, rows(1, prefix="hers", author=ana), priority=5)
    lease = take(opened, ana)
    assert lease.task.import_key == "other0"
    submit(opened, ana, lease)
    assert claim(opened, ana) is None
    assert take(opened, add(opened, "Ben")).task.import_key == "hers0"


def test_a_higher_priority_comes_first_even_when_loaded_later(opened: Store) -> None:
    load(opened, rows(2, prefix="low"))
    load(opened, rows(1, prefix="high"), priority=9)
    assert take(opened, add(opened, "Ana")).task.import_key == "high0"


def test_a_paused_project_gives_no_task_and_takes_what_is_held(opened: Store) -> None:
    load(opened, rows(2), overlap=2)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana)
    with opened.write() as tx:
        projects.pause(tx, projects.find_project(tx, "p"), True)
    with pytest.raises(Refused, match="paused"):
        claim(opened, ben)
    assert take(opened, ana).token == lease.token
    assert submit(opened, ana, lease).state == "counted"
    with opened.write() as tx:
        projects.pause(tx, projects.find_project(tx, "p"), False)
    assert claim(opened, ben) is not None


def test_somebody_who_is_no_member_gets_nothing(opened: Store) -> None:
    load(opened, rows(1))
    load(opened, rows(1), project="q")
    ana = add(opened, "Ana")
    with pytest.raises(Refused, match="not a member"):
        claim(opened, ana, "q")


def test_an_expired_lease_goes_to_the_next_and_keeps_order_and_draft_for_the_first(opened: Store) -> None:
    load(opened, rows(1, answers=9))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    first = take(opened, ana)
    opened.change(lambda tx: answers.save_draft(tx, ana, first.token, 3, '{"answer": {}}'))
    expire(opened, first)
    second = take(opened, ben)
    opened.change(lambda tx: answers.skip(tx, ben, second.token, "other"))
    again = take(opened, ana)
    assert again.token != first.token
    assert again.shown == first.shown
    with opened.read() as tx:
        assert answers.draft(tx, again.token) == (3, '{"answer": {}}')
    assert faults(opened) == []


def test_an_expired_lease_nobody_asked_for_is_still_its_holders(opened: Store) -> None:
    load(opened, rows(1))
    ana = add(opened, "Ana")
    lease = take(opened, ana)
    expire(opened, lease)
    assert take(opened, ana).token == lease.token
    expire(opened, lease)
    assert opened.change(lambda tx: assign.renew(tx, lease.token, ana))
    assert claim(opened, add(opened, "Ben")) is None


def test_a_lease_that_ran_out_by_the_clock_is_given_to_others(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana, lease_ms=0)
    assert take(opened, ben).task.id == lease.task.id
    assert not opened.change(lambda tx: assign.renew(tx, lease.token, ana))


def test_a_submit_after_expiry_counts_when_a_slot_is_free(opened: Store) -> None:
    load(opened, rows(2), overlap=2)
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana)
    expire(opened, lease)
    take(opened, ben)
    assert submit(opened, ana, lease).state == "counted"
    assert submit(opened, ana, lease).state == "counted"
    assert counts(opened) == {lease.task.id: 1}
    assert faults(opened) == []


def test_a_submit_after_expiry_is_surplus_when_others_have_every_slot(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana)
    expire(opened, lease)
    other = take(opened, ben)
    assert submit(opened, ana, lease).state == "surplus"
    assert submit(opened, ben, other).state == "counted"
    assert counts(opened) == {lease.task.id: 1}
    assert faults(opened) == []


def test_a_surplus_answer_counts_when_it_is_revised_after_a_slot_came_free(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana)
    expire(opened, lease)
    other = take(opened, ben)
    surplus = submit(opened, ana, lease)
    opened.change(lambda tx: answers.skip(tx, ben, other.token, "other"))
    again, _ = opened.change(lambda tx: answers.revise(tx, ana, surplus.judgment))
    assert submit(opened, ana, again).state == "counted"
    assert counts(opened) == {lease.task.id: 1}


def test_a_skip_after_expiry_keeps_the_task_from_coming_back(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana)
    expire(opened, lease)
    other = take(opened, ben)
    opened.change(lambda tx: answers.skip(tx, ana, lease.token, "upsetting"))
    expire(opened, other)
    assert claim(opened, ana) is None
    assert claim(opened, ben) is not None
    assert faults(opened) == []


def test_more_expired_leases_than_one_claim_returns_are_all_served_again(opened: Store) -> None:
    load(opened, rows(5))
    people = [add(opened, f"a{n}") for n in range(5)]
    expire(opened, *[take(opened, p) for p in people])
    number = project_id(opened)
    with opened.write() as tx:
        chain = ledger.take(tx, number)
        assert [assign.return_expired(chain, tx.now(), limit=2) for _ in range(4)] == [2, 2, 1, 0]
    ben = add(opened, "Ben")
    seen = set()
    while lease := claim(opened, ben):
        seen.add(submit(opened, ben, lease).judgment)
    assert len(seen) == 5
    assert faults(opened) == []


def test_another_persons_token_is_not_there(opened: Store) -> None:
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    lease = take(opened, ana)
    for work in (
        lambda tx: assign.renew(tx, lease.token, ben),
        lambda tx: assign.lease_of(tx, lease.token, ben),
        lambda tx: answers.submit(tx, ben, lease.token, answer(lease.shown)),
        lambda tx: answers.skip(tx, ben, lease.token, "other"),
        lambda tx: answers.save_draft(tx, ben, lease.token, 1, "{}"),
    ):
        with pytest.raises(NotThere):
            opened.change(work)


# ── many at once ─────────────────────────────────────────────────────────────


def work_through(store: Store, person: str, seed: int, steps: int) -> list[str]:
    """Claim and submit as a person with two tabs would, with short leases; returns the acknowledged judgments."""
    rng = random.Random(seed)
    done = []
    for _ in range(steps):
        lease_ms = rng.choice([5, 1000, 60_000])
        lease = claim(store, person, lease_ms=lease_ms)
        if lease is None:
            continue
        if rng.random() < 0.1:
            store.change(lambda tx, t=lease.token: answers.skip(tx, person, t, "other"))  # type: ignore[misc]
            continue
        verdict = "cannot_judge" if rng.random() < 0.05 else "answered"
        done.append(submit(store, person, lease, verdict).judgment)
    return done


def check(store: Store, acknowledged: list[str], overlap: int) -> None:
    with store.read() as tx:
        kept = {r.id for r in tx.all("SELECT id FROM judgments")}
    assert set(acknowledged) <= kept
    assert max(counts(store).values()) <= overlap
    assert faults(store) == []


def test_threads_that_claim_at_once_never_give_one_task_too_often(opened: Store) -> None:
    load(opened, rows(60), overlap=3)
    people = [add(opened, f"a{n}") for n in range(6)]
    acknowledged: list[str] = []

    def run(seed: int) -> None:
        acknowledged.extend(work_through(opened, people[seed % 6], seed, 30))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(12)]  # each person twice: two tabs
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert acknowledged
    check(opened, acknowledged, 3)


def test_one_person_clicking_twice_at_once_holds_one_task(opened: Store) -> None:
    load(opened, rows(20), overlap=2)
    ana = add(opened, "Ana")
    for _ in range(5):
        meet = threading.Barrier(4)
        given: list[Lease | None] = []

        def click(meet: threading.Barrier = meet, given: list[Lease | None] = given) -> None:
            meet.wait()
            given.append(claim(opened, ana))

        threads = [threading.Thread(target=click) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(given) == 4
        assert len({lease.token for lease in given if lease}) == 1
        outcomes: list[answers.Outcome] = []
        lease = take(opened, ana)
        threads = [
            threading.Thread(target=lambda lease=lease, out=outcomes: out.append(submit(opened, ana, lease)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 4
        assert len(set(outcomes)) == 1
    check(opened, [], 2)


def _process(url: str, person: str, seed: int, steps: int, answers_: Any) -> None:
    store = open_store(url, durable=False)
    answers_.put(work_through(store, person, seed, steps))
    store.close()


def test_processes_that_claim_at_once_never_give_one_task_too_often(store_url: str, opened: Store) -> None:
    load(opened, rows(120), overlap=3)
    people = [add(opened, f"a{n}") for n in range(4)]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=_process, args=(store_url, person, n, 250, queue)) for n, person in enumerate(people)
    ]
    for process in processes:
        process.start()
    acknowledged = [id_ for _ in processes for id_ in queue.get(timeout=300)]
    for process in processes:
        process.join()
    assert len(acknowledged) > 100
    check(opened, acknowledged, 3)
