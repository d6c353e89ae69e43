"""What a lead sees and may do: figures that follow the ledger, percent agreement as defined, people and access."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import add, answer, load, project_id, row, rows

from annotate import accounts, agreement, answers, assign, figures, lead, projects
from annotate.agreement import Share
from annotate.figures import DAY_MS, Figures, Keeper, read_figures
from data import ledger
from data.errors import BadInput, NotThere, Refused
from data.records import Criterion, Judgment
from data.store import Store, Tx, open_store

CRITERIA = (Criterion(key="clear", name={"en": "Clear"}), Criterion(key="helpful", name={"en": "Helpful"}))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    yield made
    made.close()


def judge(store: Store, person: str, say: Callable[[assign.Lease], dict[str, Any]], project: str = "p") -> str | None:
    """Somebody answers their next task; returns the judgment's id, None when there is no task."""

    def work(tx: Tx) -> str | None:
        lease = assign.claim(tx, projects.find_project(tx, project).id, person)
        return answers.submit(tx, person, lease.token, say(lease)).judgment if lease else None

    return store.change(work)


def read(store: Store, before: Figures | None = None, project: str = "p") -> Figures:
    with store.read() as tx:
        return read_figures(tx, project, before)


# ── percent agreement ────────────────────────────────────────────────────────


def said(kind: str, **record: Any) -> agreement.Stated:
    return agreement.stated(kind, {"shown": ["x", "y", "z"], **record})


def shares(*judgments: tuple[str, agreement.Stated]) -> dict[str, Share]:
    pairs: agreement.Pairs = {}
    agreement.add_task(pairs, judgments)
    return agreement.by_what(pairs)


def test_a_choice_is_the_response_and_not_the_side_it_stood_on() -> None:
    one = agreement.stated("ab", {"shown": ["x", "y"], "choice": "A"})
    other = agreement.stated("ab", {"shown": ["y", "x"], "choice": "B"})
    tie = agreement.stated("ab", {"shown": ["y", "x"], "choice": "tie"})
    assert shares(("a", one), ("b", other)) == {"ab": Share(1, 1)}
    # a and b agree; neither agrees with c, who saw a tie: 1 of 3
    assert shares(("a", one), ("b", other), ("c", tie)) == {"ab": Share(1, 3)}
    assert shares(("a", tie), ("b", tie)) == {"ab": Share(1, 1)}


def test_two_rankings_are_compared_on_the_pairs_that_both_ordered() -> None:
    a = said("ranking", ranking=[["x"], ["y"], ["z"]])
    b = said("ranking", ranking=[["x"], ["z"], ["y"]])
    tied = said("ranking", ranking=[["x", "y"], ["z"]])
    short = said("ranking", ranking=[["y"], ["x"]])
    assert shares(("a", a), ("b", b)) == {"ranking": Share(2, 3)}  # xy and xz alike, yz not
    assert shares(("a", a), ("b", tied)) == {"ranking": Share(2, 3)}  # a tie is no order: only xz and yz are alike
    assert shares(("a", tied), ("b", tied)) == {"ranking": Share(3, 3)}
    assert shares(("a", a), ("b", short)) == {"ranking": Share(0, 1)}  # only xy was ordered by both


def test_ratings_are_compared_per_criterion_and_zero_is_a_rating() -> None:
    a = said("rating", ratings={"x": {"clear": 0, "helpful": 5}, "y": {"clear": 3, "helpful": 4}})
    b = said("rating", ratings={"x": {"clear": 0, "helpful": 4}, "y": {"clear": 2}})
    assert shares(("a", a), ("b", b)) == {"rating/clear": Share(1, 2), "rating/helpful": Share(0, 1)}


def test_what_says_nothing_is_not_compared() -> None:
    answered = said("ranking", ranking=[["x"], ["y"], ["z"]])
    assert said("ranking", verdict="all_bad") == said("ranking", verdict="cannot_judge", ranking=None) == {}
    assert shares(("a", answered), ("b", {})) == {}
    assert shares(("a", answered), ("a", answered)) == {}  # the same person twice
    assert said("ranking", ranking=[["x"]]) == {}


ORDERS = st.permutations(["w", "x", "y", "z"]).flatmap(
    lambda order: st.lists(st.integers(0, 3), min_size=0, max_size=4).map(
        lambda places: [
            tier for tier in ([r for r, at in zip(order, places, strict=False) if at == n] for n in range(4)) if tier
        ]
    )
)


def brute(one: list[list[str]], other: list[list[str]]) -> Share:
    """The definition, word by word."""
    agreed = n = 0
    for a, b in combinations("wxyz", 2):
        places = [[next((i for i, tier in enumerate(r) if id_ in tier), None) for id_ in (a, b)] for r in (one, other)]
        if any(place is None for pair in places for place in pair):
            continue
        n += 1
        (a1, b1), (a2, b2) = places
        agreed += (a1 > b1) - (a1 < b1) == (a2 > b2) - (a2 < b2)  # type: ignore[operator]
    return Share(agreed, n)


@given(st.lists(ORDERS, min_size=2, max_size=5))
def test_agreement_of_any_rankings_is_what_the_definition_says(orders: list[list[list[str]]]) -> None:
    judgments = [
        (f"p{i}", agreement.stated("ranking", {"shown": ["z", "x", "w", "y"], "ranking": order}))
        for i, order in enumerate(orders)
    ]
    wanted = [brute(a, b) for a, b in combinations(orders, 2)]
    whole = Share(sum(s.agreed for s in wanted), sum(s.n for s in wanted))
    assert shares(*judgments) == ({"ranking": whole} if whole.n else {})
    pairs: agreement.Pairs = {}
    agreement.add_task(pairs, judgments)
    assert sum(s.n for s in agreement.by_person(pairs).values()) == 2 * whole.n  # each comparison has two people
    agreement.add_task(pairs, judgments, -1)
    assert agreement.by_what(pairs) == {}


def by_the_book(store: Store) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Agreement of every two people, from the records, as the docstring defines it."""
    with store.read() as tx:
        held = tx.all(
            "SELECT j.record, j.state, t.kind FROM judgments j JOIN tasks t ON t.id = j.task"
            " WHERE j.annotator_kind = 'person'"
        )
    records = [(Judgment.model_validate_json(r.record), r.state, r.kind) for r in held]
    old = {j.supersedes for j, _, _ in records}
    standing = [(j, kind) for j, state, kind in records if state == "counted" and j.id not in old]
    found: Counter[tuple[str, str, str, str]] = Counter()
    for (one, kind), (other, _) in combinations(standing, 2):
        if one.task_id != other.task_id or one.annotator == other.annotator:
            continue
        a, b = sorted((one.annotator, other.annotator))
        for what, agreed in compared(kind, one, other):
            found[what, a, b, "n"] += 1
            found[what, a, b, "agreed"] += agreed
    keys = {key[:3] for key in found}
    return {key: (found[*key, "agreed"], found[*key, "n"]) for key in keys}


def compared(kind: str, one: Judgment, other: Judgment) -> Iterator[tuple[str, bool]]:
    if kind == "rating":
        for id_ in one.shown:
            for key in one.ratings.get(id_, {}):
                if key in other.ratings.get(id_, {}):
                    yield f"rating/{key}", one.ratings[id_][key] == other.ratings[id_][key]
        return
    places = [{r: i for i, tier in enumerate(j.tiers() or []) for r in tier} for j in (one, other)]
    for a, b in combinations(one.shown, 2):
        if all(a in p and b in p for p in places):
            order = [(p[a] > p[b]) - (p[a] < p[b]) for p in places]
            yield kind, order[0] == order[1]


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_kept_with_the_ledger_are_those_read_anew(store: Store, seed: int) -> None:
    """A random history of answers, revisions, skips, and answers after the time ran out, looked at again and again."""
    rng = random.Random(seed)
    votes = [{"annotator": f"v{n}", "ranking": None, "choice": rng.choice("AB")} for n in range(2)]
    load(store, [*rows(4, prefix="r"), row(0, prefix="i", answers=2, votes=votes)], overlap=3)
    load(store, rows(4, prefix="a", answers=2), kind="ab", overlap=3)
    load(store, rows(3, prefix="s", answers=2), kind="rating", overlap=3, criteria=CRITERIA)
    people = [add(store, f"Person {n}") for n in range(5)]
    tokens: list[tuple[str, str]] = []
    kept = read(store)
    kinds: set[str] = set()
    for step in range(700):  # people's ids are random, so how soon every kind was compared is too
        person = rng.choice(people)
        store.change(lambda tx, person=person: act(tx, rng, person, tokens))  # type: ignore[misc]
        if step % 7 == 6:
            kept = read(store, kept)
            same(kept, read(store))
            kinds = {what.partition("/")[0] for what, _, _ in kept.pairs}
            if step >= 69 and kinds == {"ranking", "ab", "rating"}:
                break
    assert {key: share for key, share in kept.pairs.items() if share[1]} == by_the_book(store)
    assert kinds == {"ranking", "ab", "rating"}


def act(tx: Tx, rng: random.Random, person: str, tokens: list[tuple[str, str]]) -> None:
    """One thing that somebody does."""
    project = projects.find_project(tx, "p")
    mine = tx.all("SELECT id FROM judgments WHERE annotator = :person ORDER BY id", person=person)
    if rng.random() < 0.25 and mine:
        try:
            lease, _ = answers.revise(tx, person, rng.choice(mine).id)
        except Refused:
            return
    elif rng.random() < 0.1 and (late := [token for who, token in tokens if who == person]):
        lease = assign.lease_of(tx, rng.choice(late), person)
    else:
        claimed = assign.claim(tx, project.id, person)
        if claimed is None:
            return
        lease = claimed
        if rng.random() < 0.1:
            return answers.skip(tx, person, lease.token, "too_long")
        if rng.random() < 0.15:  # the time runs out, and somebody else gets it
            tokens.append((person, lease.token))
            tx.run("UPDATE slots SET until_ms = 1 WHERE token = :token", token=lease.token)
            assign.return_expired(ledger.take(tx, project.id), tx.now())
            return None
    answers.submit(tx, person, lease.token, some_answer(rng, lease))
    return None


def some_answer(rng: random.Random, lease: assign.Lease) -> dict[str, Any]:
    verdict = rng.choice(["answered"] * 6 + ["all_bad", "cannot_judge"])
    said: dict[str, Any] = {"verdict": verdict, "active_seconds": 0.0}
    if verdict == "answered" and lease.task.kind == "ab":
        said["choice"] = rng.choice(["A", "B", "tie"])
    elif verdict == "answered" and lease.task.kind == "ranking":
        tiers: list[list[str]] = [[], [], []]
        for id_ in lease.shown:
            tiers[rng.randrange(3)].append(id_)
        said["ranking"] = [tier for tier in tiers if tier]
    elif verdict == "answered":
        said["ratings"] = {id_: {c.key: rng.randint(1, 2) for c in CRITERIA} for id_ in lease.shown}
    return said


def same(kept: Figures, anew: Figures) -> None:
    assert kept.seq == anew.seq
    assert {k: v for k, v in kept.pairs.items() if v[1]} == {k: v for k, v in anew.pairs.items() if v[1]}
    assert (kept.seen, kept.skips, kept.out_of_reach) == (anew.seen, anew.skips, anew.out_of_reach)
    for person in {*kept.people, *anew.people}:
        one, other = kept.person(person), anew.person(person)
        assert +one.verdicts == +other.verdicts
        assert +one.sides == +other.sides
        assert one.days == other.days
        assert sorted(one.seconds) == sorted(other.seconds)


# ── the figures ──────────────────────────────────────────────────────────────


def test_figures_say_what_everybody_did(store: Store) -> None:
    load(store, rows(6, answers=2), kind="ab", overlap=2)
    ana, ben = add(store, "Ana"), add(store, "Ben")
    for side in ("A", "A", "B", "tie"):
        judge(store, ana, lambda lease, side=side: {"verdict": "answered", "choice": side})  # type: ignore[misc]
    judge(store, ben, lambda _: {"verdict": "all_bad"})
    with store.write() as tx:
        lease = assign.claim(tx, projects.find_project(tx, "p").id, ben)
        assert lease
        answers.skip(tx, ben, lease.token, "upsetting")
    with store.read() as tx:
        project = projects.find_project(tx, "p")
        sums = lead.summed(project, read(store), tx.now(), [ana, ben])
        one = lead.person_sums(read(store), ana, tx.now())
        stand = lead.standing(tx, project)
    assert sums["verdicts"] == {"answered": 4, "all_bad": 1}
    assert sums["skips"] == {"upsetting": 1}
    assert sums["days"][-1]["n"] == 5
    assert len(sums["days"]) == 7
    assert one["position"] == {"first": 2, "second": 1, "tie": 1}
    assert (one["today"], one["week"], one["seen"] is not None) == (4, 4, True)
    assert sums["people"][ben]["agreement"] == {"agreed": 0, "n": 0}  # "both bad" is no choice to compare
    assert stand["slots"] == {"done": 5, "held": 0, "open": 7}
    assert {p["name"]: p["done"] for p in stand["people"]} == {"Ana": 4, "Ben": 1}


def test_imported_judgments_agree_but_are_no_days_work(store: Store) -> None:
    votes = [{"annotator": "one"}, {"annotator": "two"}]
    load(store, [row(1, votes=votes)], overlap=2)
    made = read(store)
    assert agreement.by_what(made.pairs) == {"ranking": Share(3, 3)}
    assert all(not own.days and not own.seconds and not own.sides for own in made.people.values())
    with store.read() as tx:
        project = projects.find_project(tx, "p")
        assert lead.summed(project, made, tx.now(), [])["pace"] == {"per_day": None, "done_on": None, "left": 0}
        assert [(p["name"], p["imported"]) for p in lead.members(tx, project)] == [("one", True), ("two", True)]


def test_tasks_out_of_reach_are_those_that_status_names(store: Store) -> None:
    load(store, rows(3), overlap=2)
    add(store, "Ana")
    made = read(store)
    with store.read() as tx:
        assert made.out_of_reach == projects.out_of_reach(tx, projects.find_project(tx, "p"))
    assert len(made.out_of_reach) == 3  # two people are needed, and there is one


DAY = 20_000
NOON = DAY * DAY_MS + DAY_MS // 2


@pytest.mark.parametrize(
    ("days", "left", "per_day", "done_on"),
    [
        ({}, 5, None, None),
        ({DAY - 7: 50}, 5, None, None),  # eight days ago at noon is not in these seven
        ({DAY: 3}, 6, 3.0, "2024-10-06"),  # half a day old, measured over a day: two more days from noon
        ({DAY - 1: 3, DAY: 3}, 8, 4.0, "2024-10-06"),  # 6 in a day and a half
        ({DAY - 100: 9, DAY - 6: 13}, 13, 2.0, "2024-10-11"),  # from the start of the seven: 6.5 days; 6.5 days more
        ({DAY - 6: 13}, 0, 2.0, None),
        ({DAY - 6: 13}, 2 * 3651, 2.0, None),  # ten years
    ],
)
def test_the_pace_is_of_seven_days_and_says_when_it_ends(
    days: dict[int, int], left: int, per_day: float | None, done_on: str | None
) -> None:
    assert lead.pace(days, left, NOON) == {"per_day": per_day, "done_on": done_on, "left": left}


def test_a_plot_has_a_week_at_least_and_thirty_days_at_most() -> None:
    assert [d["n"] for d in lead.plotted({DAY: 2}, DAY)] == [0, 0, 0, 0, 0, 0, 2]
    assert len(lead.plotted({DAY - 9: 1}, DAY)) == 10
    assert len(lead.plotted({DAY - 400: 1}, DAY)) == 30
    assert lead.plotted({}, DAY)[-1] == {"day": "2024-10-04", "n": 0}


def test_quartiles_lie_between_the_values() -> None:
    assert lead.quartiles([]) is None
    assert lead.quartiles([4.0]) == [4.0, 4.0, 4.0]
    assert lead.quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == [2.0, 3.0, 4.0]


def test_a_reading_that_takes_long_shows_the_last_one_until_it_is_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    load(store, rows(2))
    ana = add(store, "Ana")
    keeper, project = Keeper(store, patience=0), project_id(store)
    go, real = threading.Event(), figures.read_figures

    def slow(*args: Any) -> Figures:
        assert go.wait(20)
        return real(*args)

    monkeypatch.setattr(figures, "read_figures", slow)
    with store.read() as tx:
        before = ledger.head(tx, project).seq
    assert keeper.get(project, "p", before) == (None, True)
    go.set()
    keeper._patience = 20
    first, computing = keeper.get(project, "p", before)
    assert first is not None
    assert (first.seq, computing) == (before, False)
    go.clear()
    keeper._patience = 0
    judge(store, ana, lambda lease: answer(lease.shown))
    monkeypatch.setattr(figures, "REST", 0)
    stale, computing = keeper.get(project, "p", before + 2)
    assert (stale, computing) == (first, True)
    go.set()
    keeper._patience = 20
    fresh, computing = keeper.get(project, "p", before + 2)
    assert fresh is not None
    assert (fresh.seq, computing) == (before + 2, False)
    assert fresh.people[ana].days.total() == 1
    assert first.people.get(ana) is None  # what was shown before is not changed under one's hands


# ── people ───────────────────────────────────────────────────────────────────


@pytest.fixture
def lea(store: Store) -> accounts.Person:
    load(store, rows(2))
    return who(store, add(store, "Lea", role="admin"))


def who(store: Store, id_: str) -> accounts.Person:
    with store.read() as tx:
        found = accounts.session_person(tx, id_, 1)
    assert found
    return found


def change(store: Store, act: Callable[..., Any], lea: accounts.Person, *args: Any, project: str = "p") -> Any:
    return store.change(lambda tx: act(tx, projects.find_project(tx, project), lea, *args))


def refused(store: Store, code: str, act: Callable[..., Any], lea: accounts.Person, *args: Any) -> None:
    with pytest.raises(Refused) as caught:
        change(store, act, lea, *args)
    assert caught.value.code == code


def last_event(store: Store) -> tuple[str, str]:
    with store.read() as tx:
        found = tx.one("SELECT kind, actor FROM ledger WHERE project = 1 ORDER BY seq DESC LIMIT 1")
    assert found
    return found.kind, found.actor


def test_only_the_leads_of_a_project_lead_it(store: Store, lea: accounts.Person) -> None:
    people = {role: who(store, add(store, f"A {role}", role=role)) for role in ("annotator", "reviewer")}
    load(store, rows(1), project="other")
    with store.read() as tx:
        assert lead.require_lead(tx, "p", lea).name == "p"
        said = set()
        for person, name in [*((p, "p") for p in people.values()), (lea, "other"), (lea, "nowhere")]:
            with pytest.raises(Refused) as caught:
                lead.require_lead(tx, name, person)
            assert caught.value.code == "not_a_lead"
            said.add(str(caught.value))
    assert len(said) == 1  # whether there is such a project is not told


def test_a_new_person_gets_a_link_and_the_ledger_names_the_lead(store: Store, lea: accounts.Person) -> None:
    link = change(store, lead.add, lea, " Ana ", "annotator", ["en", "zh-CN"])
    assert last_event(store) == ("role", lea.id)
    with store.read() as tx:
        owner = accounts.link_owner(tx, link)
    assert owner
    assert (owner.name, owner.languages) == ("Ana", ["en", "zh"])
    refused(store, "already_there", lead.add, lea, "Ana", "admin", ["en"])
    with pytest.raises(BadInput):
        change(store, lead.add, lea, "a/b", "annotator", ["en"])


def test_a_lead_never_gets_a_way_to_sign_in_as_somebody_of_another_project(store: Store, lea: accounts.Person) -> None:
    load(store, rows(1), project="other")
    boss = add(store, "Boss", project="other", role="admin")
    with store.read() as tx:
        before = tx.one("SELECT link_hash, languages, epoch FROM people WHERE id = :id", id=boss)
    assert change(store, lead.add, lea, "Boss", "annotator", ["fr"]) is None
    for act in (lead.new_link, lead.deactivate):
        refused(store, "other_projects", act, lea, boss)
    with store.read() as tx:
        assert tx.one("SELECT link_hash, languages, epoch FROM people WHERE id = :id", id=boss) == before
        assert accounts.role_in(tx, project_id(store), boss) == "annotator"


def test_access_changes_are_the_commands_and_end_sessions(store: Store, lea: accounts.Person) -> None:
    ana = add(store, "Ana")
    change(store, lead.change_role, lea, ana, "reviewer")
    assert last_event(store) == ("role", lea.id)
    change(store, lead.deactivate, lea, ana)
    assert last_event(store) == ("deactivate", lea.id)
    with store.read() as tx:
        assert accounts.session_person(tx, ana, 1) is None
        assert lead.member(tx, projects.find_project(tx, "p"), ana)["active"] is False
    refused(store, "already_there", lead.add, lea, "Ana", "annotator", ["en"])
    link = change(store, lead.new_link, lea, ana)
    with store.read() as tx:
        assert accounts.link_owner(tx, link)
        assert ledger.verify(tx, project_id(store)) == []
    with pytest.raises(NotThere):
        change(store, lead.change_role, lea, "nobody", "admin")


def test_a_lead_cannot_lock_the_project_or_themselves_out(store: Store, lea: accounts.Person) -> None:
    for act in (lead.deactivate, lead.new_link):
        refused(store, "last_lead", act, lea, lea.id)
    refused(store, "last_lead", lead.change_role, lea, lea.id, "annotator")
    other = add(store, "Leo", role="admin")
    refused(store, "yourself", lead.change_role, lea, lea.id, "annotator")
    change(store, lead.deactivate, lea, other)
    refused(store, "last_lead", lead.deactivate, lea, lea.id)


def test_people_who_came_with_a_file_have_no_way_in(store: Store, lea: accounts.Person) -> None:
    load(store, [row(9, votes=[{"annotator": "one"}])])
    with store.read() as tx:
        one = next(p["id"] for p in lead.members(tx, projects.find_project(tx, "p")) if p["imported"])
    for act, rest in ((lead.new_link, []), (lead.deactivate, []), (lead.change_role, ["admin"])):
        refused(store, "no_account", act, lea, one, *rest)
    store.change(lambda tx: accounts.erase(tx, "p/one"))
    refused(store, "no_account", lead.new_link, lea, one)


def test_languages_are_read_as_people_type_them() -> None:
    assert lead.parse_languages("en, zh，fr、ar  he") == ["en", "zh", "fr", "ar", "he"]
    with pytest.raises(BadInput):
        lead.parse_languages(" , ")
