"""What goes wrong while people work, in a real browser: the page says so, keeps the work, and goes on by itself."""

from pathlib import Path
from typing import Any

from conftest import Postgres
from hands import arrive, kept, press, project, saved
from made import load as load_made
from made import rows
from playwright.sync_api import Browser, Page, Route, expect
from serving import Server, add_person, opened, served, sign_in

from annotate import accounts, answers, assign, projects
from data import ledger
from data.store import Store

SLOW = 60_000  # milliseconds: the page tries again every 2.5 s, and a loaded machine is slow


def said(page: Page, words: str) -> None:
    """The message above the page says this."""
    expect(page.locator(".message")).to_contain_text(words, timeout=SLOW)


def silent(page: Page) -> None:
    expect(page.locator(".message")).to_be_hidden(timeout=SLOW)


def comment(page: Page) -> str:
    return page.locator("#comment").input_value()


def expire(store: Store, person: str) -> None:
    """As if the time of everything this person holds had run out, and somebody had come for it."""
    with store.write() as tx:
        tx.run("UPDATE slots SET until_ms = 1 WHERE annotator = :person AND state = 1", person=person)


def held_by(page: Page) -> str:
    """The id of the page's person."""
    return str(page.evaluate("fetch('api/me').then(r => r.json()).then(m => m.person.id)"))


def others_finish(store: Store, name: str, count: int) -> None:
    """Other people take every task that is free and hand in an answer."""
    for number in range(count):
        person = add_person_to(store, f"Other {name} {number}", name)
        with store.read() as tx:
            where = projects.find_project(tx, name).id
        while lease := store.change(lambda tx, w=where, p=person: assign.claim(tx, w, p)):  # type: ignore[misc]
            order = {"verdict": "answered", "ranking": [[r] for r in lease.shown]}
            token = lease.token
            store.change(lambda tx, p=person, t=token, o=order: answers.submit(tx, p, t, o))  # type: ignore[misc]


def add_person_to(store: Store, who: str, name: str) -> str:
    with store.write() as tx:
        accounts.add_person(tx, who, [name], "annotator", ["en"])
        return str(tx.value("SELECT id FROM people WHERE name = :who", who=who))


def pause(server: Server, name: str, on: bool) -> None:
    with opened(server.store_url) as store, store.write() as tx:
        projects.pause(tx, projects.find_project(tx, name), on)


def done(server: Server, name: str) -> tuple[int, int]:
    """Judgments the project counts and slots that are done, which must agree; the ledger fits all of it."""
    with opened(server.store_url) as store, store.read() as tx:
        found = projects.find_project(tx, name)
        slots = tx.value("SELECT COUNT(*) FROM slots WHERE project = :id AND state = 2", id=found.id)
        assert ledger.verify(tx, found.id) == []
        return found.done, int(slots)


# ── the server, the database and the network go away ─────────────────────────


def test_a_server_that_is_killed_loses_nothing_and_the_answer_goes_through_once(
    browser: Browser, tmp_path: Path
) -> None:
    with served(f"sqlite:///{tmp_path}/killed.db") as own:
        name = project(own, rows(2))
        page = arrive(browser, own, name)
        press(page, "a", "b")
        saved(page)
        own.kill()
        page.locator("#comment").fill("written while it was down")
        said(page, "No connection")
        expect(page.locator(".saved")).to_have_text("Kept in this browser")
        page.locator("h1").click()
        press(page, "c", "Control+Enter")
        said(page, "It will be sent as soon as possible")
        page.wait_for_timeout(3000)  # long enough for a second try while it is down
        press(page, "Control+Enter")  # an impatient second press
        first = page.locator(".prompt .exact").text_content()
        own.start()
        expect(page.locator(".prompt .exact")).not_to_have_text(str(first), timeout=SLOW)
        silent(page)
        (judgment,) = kept(own, name)
        assert (judgment["state"], judgment["comment"]) == ("counted", "written while it was down")
        assert len(judgment["ranking"]) == 3
        assert done(own, name) == (1, 1)
        assert "Traceback" not in own.errors()


def test_a_page_closed_while_the_server_was_down_comes_back_with_its_draft(browser: Browser, tmp_path: Path) -> None:
    with served(f"sqlite:///{tmp_path}/closed.db") as own:
        page = arrive(browser, own, project(own, rows(1)))
        own.kill()
        page.locator("#comment").fill("only in this browser")
        said(page, "No connection")
        context = page.context
        page.close()
        own.start()
        again = context.new_page()
        again.goto(f"{own.url}/")
        again.locator("#prompt-title").wait_for()
        assert comment(again) == "only in this browser"


def test_a_postgresql_that_stops_while_people_work_loses_nothing(browser: Browser, stoppable_pg: Postgres) -> None:
    with served(stoppable_pg.create()) as own:
        name = project(own, rows(3), overlap=2)
        pages = [arrive(browser, own, name) for _ in range(2)]
        for page in pages:
            press(page, "a")
            saved(page)
        stoppable_pg.stop()
        for number, page in enumerate(pages):
            page.locator("#comment").fill(f"kept {number}")
            said(page, "The database does not answer")
            expect(page.locator(".saved")).to_have_text("Kept in this browser")
        pages[0].locator("h1").click()
        press(pages[0], "b", "c", "Control+Enter")
        said(pages[0], "It will be sent as soon as possible")
        stoppable_pg.start()
        expect(pages[0].locator("#comment")).to_have_value("", timeout=SLOW)  # the next task
        silent(pages[0])
        saved(pages[1])
        silent(pages[1])
        assert [(j["comment"], j["state"]) for j in kept(own, name)] == [("kept 0", "counted")]
        pages[1].reload()
        expect(pages[1].locator("#comment")).to_have_value("kept 1")
        assert done(own, name) == (1, 1)
        assert "Traceback" not in own.errors()


def test_without_a_network_the_draft_stays_here_and_is_sent_when_it_is_back(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    page.context.set_offline(True)
    page.locator("#comment").fill("from a train")
    said(page, "No connection")
    page.context.set_offline(False)
    saved(page)
    silent(page)
    page.evaluate("localStorage.clear()")  # what comes back now is the server's
    page.reload()
    expect(page.locator("#comment")).to_have_value("from a train")


def test_a_tab_closed_at_once_after_typing_loses_nothing(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    context = page.context
    page.locator("#comment").fill("typed and gone")
    page.evaluate("localStorage.clear()")  # so that only what was sent while closing can bring it back
    again = context.new_page()
    page.close(run_before_unload=True)
    with opened(server.store_url) as store:
        for _ in range(600):  # on its way still
            with store.read() as tx:
                if tx.value("SELECT 1 FROM drafts WHERE body LIKE '%typed and gone%'"):
                    break
            again.wait_for_timeout(50)
    again.goto(f"{server.url}/")
    expect(again.locator("#comment")).to_have_value("typed and gone")


def test_an_answer_that_got_lost_on_the_way_back_counts_once(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    lost = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)  # the server has it; the browser never hears
        route.abort()

    page.route("**/submit", lose)
    press(page, "a", "b", "c", "Control+Enter")
    page.locator(".nothing").wait_for(timeout=SLOW)
    assert lost == [200]
    assert len(kept(server, name)) == 1
    assert done(server, name) == (1, 1)


# ── time runs out ────────────────────────────────────────────────────────────


def test_time_ran_out_and_others_finished_the_answer_is_kept_and_not_counted(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    press(page, "a", "b", "c")
    with opened(server.store_url) as store:
        expire(store, held_by(page))
        others_finish(store, name, 1)
    press(page, "Control+Enter")
    expect(page.locator(".note")).to_contain_text("Kept, but not counted")
    page.locator(".nothing").wait_for()
    assert [j["state"] for j in kept(server, name)] == ["counted", "surplus"]
    assert done(server, name) == (1, 1)
    page.get_by_role("link", name="My answers").click()
    expect(page.locator(".judgments")).to_contain_text("kept, not counted")


def test_time_ran_out_but_nobody_else_finished_the_answer_counts(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=3), overlap=2)
    page = arrive(browser, server, name)
    press(page, "a", "b", "c")
    with opened(server.store_url) as store:
        expire(store, held_by(page))
        others_finish(store, name, 1)  # takes back what ran out, and one of the two slots
    press(page, "Control+Enter")
    page.locator(".nothing").wait_for()
    assert [j["state"] for j in kept(server, name)] == ["counted", "counted"]
    assert done(server, name) == (2, 2)


# ── the project, the person or the session changes under one's hands ─────────


def test_a_project_paused_meanwhile_still_takes_what_is_held(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    page = arrive(browser, server, name)
    press(page, "a", "b", "c")
    saved(page)
    pause(server, name, True)
    page.reload()
    page.locator("#prompt-title").wait_for()  # what is held is held
    press(page, "Control+Enter")
    expect(page.locator(".nothing h1")).to_have_text("The project is paused")
    assert [j["state"] for j in kept(server, name)] == ["counted"]
    pause(server, name, False)
    page.get_by_role("button", name="Look again").click()
    page.locator("#prompt-title").wait_for()


def test_two_tabs_with_one_task_count_once(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    first = arrive(browser, server, name)
    second = first.context.new_page()
    second.goto(first.url)
    second.locator("#prompt-title").wait_for()
    assert first.locator(".prompt .exact").text_content() == second.locator(".prompt .exact").text_content()
    press(first, "a", "b", "c", "Control+Enter")
    first.locator(".nothing").wait_for()
    press(second, "c", "b", "a", "Control+Enter")
    second.locator(".nothing").wait_for()
    assert len(kept(server, name)) == 1
    assert done(server, name) == (1, 1)


def test_the_tab_of_somebody_who_was_here_before_is_told(server: Server, browser: Browser) -> None:
    name = project(server, rows(2), overlap=2)
    old = arrive(browser, server, name)
    press(old, "a", "b")
    saved(old)
    new = sign_in(old.context, server.url, add_person(server.store_url, f"Second of {name}", [name]))
    new.locator("#prompt-title").wait_for()
    press(old, "c", "Control+Enter")
    said(old, "Somebody else signed in in this browser")
    assert kept(server, name) == []
    old.get_by_role("button", name="Reload").click()
    old.locator("#prompt-title").wait_for()
    assert held_by(old) == held_by(new)
    assert old.locator(".place[aria-pressed=true]").count() == 0  # nothing of the first person's draft


def test_signed_out_elsewhere_the_page_keeps_the_draft_and_leads_back(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    press(page, "a", "b")
    saved(page)
    who = held_by(page)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#prompt-title").wait_for()
    other.get_by_role("button", name="Sign out").click()
    other.get_by_role("button", name="Sign out anyway").click()
    other.locator("#password").wait_for()
    page.locator("#comment").fill("after signing out")
    said(page, "You are signed out. Your draft is kept here.")
    link = page.get_by_role("link", name="Sign in again")
    with page.context.expect_page() as opened_page:
        link.click()
    opened_page.value.locator("#password").wait_for()
    with opened(server.store_url) as store, store.write() as tx:
        person: Any = tx.one("SELECT name FROM people WHERE id = :who", who=who)
        again = accounts.new_link(tx, person.name)
    sign_in(page.context, server.url, again)
    page.locator("h1").click()
    press(page, "c", "Control+Enter")
    page.locator(".nothing").wait_for()
    silent(page)
    (judgment,) = kept(server, name)
    assert judgment["comment"] == "after signing out"


def test_somebody_let_in_no_more_is_told_and_nothing_is_taken(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    press(page, "a", "b", "c")
    saved(page)
    with opened(server.store_url) as store, store.write() as tx:
        accounts.deactivate(tx, tx.value("SELECT name FROM people WHERE id = :who", who=held_by(page)))
    press(page, "Control+Enter")
    said(page, "You are signed out")
    assert kept(server, name) == []


def test_a_batch_that_comes_later_is_found_by_looking_again(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    press(page, "a", "b", "c", "Control+Enter")
    page.locator(".nothing").wait_for()
    with opened(server.store_url) as store:
        load_made(store, rows(2), project=name)
    page.get_by_role("button", name="Look again").click()
    page.locator("#prompt-title").wait_for()
    press(page, "a", "b", "c", "Control+Enter")
    page.locator(".nothing").wait_for()
    assert len(kept(server, name)) == 2
