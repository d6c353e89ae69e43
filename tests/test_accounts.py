"""People: links that work once, passwords, sessions that end, and names that can be forgotten."""

from collections.abc import Iterator

import pytest
from made import add, answer, load, project_id, rows

from annotate import accounts, answers, assign, projects
from annotate.throttle import PAUSE_S, TRIES, Throttle
from data import ledger
from data.errors import BadInput, NotThere, Refused
from data.store import Store, open_store


@pytest.fixture
def opened(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    load(made, rows(2))
    yield made
    made.close()


def link(store: Store, name: str) -> str:
    return store.change(lambda tx: accounts.new_link(tx, name))


def use(store: Store, secret: str, password: str = "") -> accounts.Person:
    return store.change(lambda tx: accounts.use_link(tx, secret, password))


def signs_in(store: Store, name: str, password: str) -> bool:
    with store.read() as tx:
        return accounts.check_password(tx, name, password) is not None


def test_a_link_works_once(opened: Store) -> None:
    ana = add(opened, "Ana")
    secret = link(opened, "Ana")
    with opened.read() as tx:
        looked = [accounts.link_owner(tx, secret) for _ in range(2)]
    assert [p.id if p else None for p in looked] == [ana, ana]
    assert use(opened, secret).id == ana
    with pytest.raises(Refused, match="used already") as refused:
        use(opened, secret)
    assert refused.value.code == "link_over"


def test_a_newer_link_ends_the_older(opened: Store) -> None:
    add(opened, "Ana")
    old, new = link(opened, "Ana"), link(opened, "Ana")
    with pytest.raises(Refused):
        use(opened, old)
    assert use(opened, new).name == "Ana"


def test_a_link_ends_after_a_week(opened: Store) -> None:
    add(opened, "Ana")
    secret = link(opened, "Ana")
    with opened.write() as tx:
        left = tx.value("SELECT link_until_ms FROM people WHERE name = 'Ana'") - tx.now()
        tx.run("UPDATE people SET link_until_ms = :now WHERE name = 'Ana'", now=tx.now())
    assert 0 <= accounts.LINK_MS - left < 60_000
    with pytest.raises(Refused, match="too old"):
        use(opened, secret)


def test_only_hashes_of_links_and_passwords_are_kept(opened: Store) -> None:
    add(opened, "Ana")
    first = link(opened, "Ana")
    use(opened, first, "correct horse")
    second = link(opened, "Ana")
    with opened.read() as tx:
        kept = str(tx.all("SELECT * FROM people"))
    assert "argon2" in kept
    for secret in (first, second, "correct horse"):
        assert secret not in kept


def test_a_password_signs_its_owner_in(opened: Store) -> None:
    ana = add(opened, "Ana")
    assert not signs_in(opened, "Ana", "")
    assert use(opened, link(opened, "Ana"), "correct horse").id == ana
    assert signs_in(opened, "Ana", "correct horse")
    assert signs_in(opened, " Ana ", "correct horse")
    assert not signs_in(opened, "Ana", "correct horse ")
    assert not signs_in(opened, "nobody", "correct horse")


def test_a_short_password_is_refused_and_the_link_stays(opened: Store) -> None:
    add(opened, "Ana")
    secret = link(opened, "Ana")
    with pytest.raises(Refused) as refused:
        use(opened, secret, "short")
    assert refused.value.code == "password_short"
    assert use(opened, secret, "long enough").name == "Ana"


def test_a_link_without_a_new_password_keeps_the_old_one(opened: Store) -> None:
    add(opened, "Ana")
    use(opened, link(opened, "Ana"), "correct horse")
    use(opened, link(opened, "Ana"))
    assert signs_in(opened, "Ana", "correct horse")


def test_relinking_ends_every_session_and_lets_in_again(opened: Store) -> None:
    ana = add(opened, "Ana")
    before = use(opened, link(opened, "Ana"))
    opened.change(lambda tx: accounts.deactivate(tx, "Ana"))
    with pytest.raises(Refused, match="relink Ana"):
        add(opened, "Ana")
    secret = opened.change(lambda tx: accounts.relink(tx, "Ana"))
    after = use(opened, secret)
    assert after.epoch > before.epoch
    with opened.read() as tx:
        assert accounts.session_person(tx, ana, before.epoch) is None
        assert accounts.session_person(tx, ana, after.epoch) == after


def test_a_new_link_leaves_sessions_open(opened: Store) -> None:
    person = use(opened, opened.change(lambda tx: accounts.add_person(tx, "Ana", ["p"], "annotator", ["en"])))
    link(opened, "Ana")
    with opened.read() as tx:
        assert accounts.session_person(tx, person.id, person.epoch) == person


def test_a_deactivated_person_is_let_in_by_nothing_and_their_work_stays(opened: Store) -> None:
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    number = project_id(opened)
    person = use(opened, link(opened, "Ana"), "correct horse")
    secret = link(opened, "Ana")
    lease = opened.change(lambda tx: assign.claim(tx, number, ana))
    assert lease is not None
    opened.change(lambda tx: answers.submit(tx, ana, lease.token, answer(lease.shown)))
    held = opened.change(lambda tx: assign.claim(tx, number, ana))
    assert held is not None
    opened.change(lambda tx: accounts.deactivate(tx, "Ana"))
    with opened.read() as tx:
        assert accounts.session_person(tx, ana, person.epoch) is None
        assert accounts.link_owner(tx, secret) is None
        assert tx.value("SELECT COUNT(*) FROM judgments WHERE annotator = :a", a=ana) == 1
    assert not signs_in(opened, "Ana", "correct horse")
    with opened.write() as tx:
        tx.run("UPDATE slots SET until_ms = 1 WHERE token = :t", t=held.token)
    taken = opened.change(lambda tx: assign.claim(tx, number, ben))
    assert taken is not None
    assert taken.task.id == held.task.id


def test_an_erased_name_is_gone_and_may_be_somebody_elses(opened: Store) -> None:
    ana = add(opened, "Ana")
    use(opened, link(opened, "Ana"), "correct horse")
    assert opened.change(lambda tx: accounts.erase(tx, "Ana")) == ana
    with opened.read() as tx:
        kept = tx.one("SELECT * FROM people WHERE id = :id", id=ana)
    assert kept is not None
    assert (kept.name, kept.password, kept.link_hash, kept.languages, kept.active) == (None, None, None, "[]", 0)
    assert not signs_in(opened, "Ana", "correct horse")
    with pytest.raises(NotThere):
        opened.change(lambda tx: accounts.erase(tx, "Ana"))
    assert add(opened, "Ana") != ana
    with opened.read() as tx:
        assert ledger.verify(tx, project_id(opened)) == []


def test_somebody_may_work_in_several_projects_in_different_roles(opened: Store) -> None:
    load(opened, rows(1), project="q")
    ana = add(opened, "Ana")
    assert add(opened, "Ana", project="q", role="reviewer") == ana
    with opened.read() as tx:
        numbers = {p.name: p.id for p in projects.all_projects(tx)}
        assert [accounts.role_in(tx, numbers[name], ana) for name in "pq"] == ["annotator", "reviewer"]
    assert add(opened, "Ana", project="p", role="admin") == ana
    with opened.read() as tx:
        assert accounts.role_in(tx, numbers["p"], ana) == "admin"
        assert all(ledger.verify(tx, number) == [] for number in numbers.values())


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a\nb", "a\0b", "x" * 81])
def test_a_name_that_cannot_be_used_is_refused(opened: Store, name: str) -> None:
    with pytest.raises(BadInput, match="name"):
        add(opened, name)


@pytest.mark.parametrize("languages", [(), ("",), ("e",), ("en zh",), ("x" * 13,)])
def test_a_language_that_is_no_code_is_refused(opened: Store, languages: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="languages"):
        add(opened, "Ana", languages)


def test_a_project_or_person_by_a_wrong_name_is_told_the_nearest(opened: Store) -> None:
    load(opened, rows(1), project="helpfulness")
    with pytest.raises(NotThere, match="helpfulness"):
        add(opened, "Ana", project="helpfulnes")
    with opened.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM people") == 0
    add(opened, "Anastasia", project="helpfulness")
    with pytest.raises(NotThere, match="Anastasia"):
        link(opened, "Anastasja")


def test_the_servers_secret_is_made_once(opened: Store) -> None:
    secrets = {opened.change(accounts.server_secret) for _ in range(3)}
    assert len(secrets) == 1
    assert len(secrets.pop()) > 40


def test_wrong_passwords_pause_a_name_and_a_right_one_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("annotate.throttle.time.monotonic", lambda: clock[0])
    throttle = Throttle()
    for _ in range(TRIES):
        assert throttle.allows("Ana")
        throttle.note("Ana", right=False)
    assert not throttle.allows("Ana")
    assert throttle.allows("Ben")
    clock[0] += PAUSE_S + 1
    assert throttle.allows("Ana")
    throttle.note("Ana", right=False)
    assert throttle.allows("Ana")
    throttle.note("Ana", right=True)
    for _ in range(TRIES - 1):
        throttle.note("Ana", right=False)
    assert throttle.allows("Ana")


def test_a_name_may_be_spelled_otherwise_while_it_can_mean_one_person_only(opened: Store) -> None:
    for name in ("Wei 小伟", "Ana B", "ana b"):
        add(opened, name)
        use(opened, link(opened, name), f"password of {name}")
    for spelled in ("Wei 小伟", "wei小伟", "  WEI  小伟 ", "Ｗｅｉ 小伟"):
        assert signs_in(opened, spelled, "password of Wei 小伟"), spelled
    assert signs_in(opened, "Ana B", "password of Ana B")
    assert signs_in(opened, "ana b", "password of ana b")
    assert not signs_in(opened, "ANA B", "password of Ana B"), "two people could be meant"
    assert not signs_in(opened, "", "password of Ana B")
