"""The page beside other tabs and sessions, and while one reads: nothing is lost, nothing moves by surprise."""

from typing import Any

import pytest
from hands import CRITERIA, PHONE, arrive, kept, onward, places, press, project, saved, submit, texts
from made import rows
from playwright.sync_api import Browser, Page, Route, expect
from serving import Server, add_person, opened, sign_in

from annotate import projects

ON_A_PHONE: dict[str, Any] = PHONE


def beside(page: Page) -> Page:
    """A second tab of the same browser, at the same task."""
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#prompt-title").wait_for()
    return other


# ── two tabs ─────────────────────────────────────────────────────────────────


def test_a_second_tab_follows_what_is_done_in_the_first(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    other = beside(page)
    press(page, "c", "a")
    expect(other.locator("#response-A .place[aria-pressed=true]")).to_have_text("2")
    assert places(other) == {"C": 1, "A": 2}
    press(other, "b")
    expect(page.locator("#state")).to_have_text("Complete")
    assert places(page) == {"C": 1, "A": 2, "B": 3}


def test_a_task_handed_in_in_one_tab_is_left_in_the_other_and_counts_once(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    page = arrive(browser, server, name)
    press(page, "a", "b")
    other = beside(page)
    first = texts(other)
    press(page, "c")
    submit(page)
    expect(other.locator(".note")).to_have_text("Finished in another tab.")
    expect(other.locator("#response-A .exact").first).not_to_have_text(first["A"])
    assert texts(other) == texts(page)
    assert len(kept(server, name)) == 1


# ── signed out in mid-task ───────────────────────────────────────────────────


def test_after_signing_in_again_elsewhere_the_page_goes_on_where_it_stopped(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    press(page, "a")
    saved(page)
    cookies: list[Any] = page.context.cookies()
    page.context.clear_cookies(name="sid")
    press(page, "c", "b")
    expect(page.locator(".message")).to_contain_text("You are signed out. Your draft is kept here.")
    expect(page.locator(".message a")).to_have_attribute("href", "/signin?next=%2F")
    page.context.add_cookies(cookies)  # signed in again, in another tab
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".message")).to_be_hidden()
    saved(page)
    page.evaluate("localStorage.clear()")
    page.reload()
    page.locator("#prompt-title").wait_for()
    assert places(page) == {"A": 1, "C": 2, "B": 3}


def test_if_somebody_else_signed_in_meanwhile_nothing_is_written_as_them(server: Server, browser: Browser) -> None:
    name = project(server, rows(2), overlap=2)
    page = arrive(browser, server, name)
    press(page, "a")
    saved(page)
    theirs: list[Any] = arrive(browser, server, name).context.cookies()
    page.context.add_cookies(theirs)
    press(page, "c", "b", "Control+Enter")
    expect(page.locator(".message")).to_contain_text("Somebody else signed in in this browser.")
    expect(page.get_by_role("button", name="Reload")).to_be_visible()
    assert kept(server, name) == []


# ── reading ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["ranking", "rating"])
def test_arrows_scroll_what_one_reads_and_move_nothing(server: Server, browser: Browser, kind: str) -> None:
    criteria = {"criteria": CRITERIA} if kind == "rating" else {}
    page = arrive(
        browser, server, project(server, rows(1), kind=kind, **criteria), viewport={"width": 1000, "height": 420}
    )
    if kind == "ranking":
        press(page, "a", "b")
    before = page.locator(".panel-body").inner_text()
    here = page.locator(".scale.here").get_attribute("class") if kind == "rating" else None
    assert page.evaluate("scrollY") == 0
    press(page, "ArrowDown", "ArrowDown")
    page.wait_for_function("scrollY > 0")
    assert page.locator(".panel-body").inner_text() == before
    assert (page.locator("#response-A .scale").first.get_attribute("class") if here else None) == here


def test_the_bar_and_the_panel_stay_in_sight_while_one_scrolls(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1, answers=9)), viewport={"width": 1280, "height": 700})
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("scrollY > 100")
    for part in (".top", ".panel", "button.submit"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= 700, part


def test_notes_open_and_all_bad_is_said_by_one_key(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    shown = texts(page)
    press(page, "b", "n", "Space")
    expect(page.locator("#notes-B input").first).to_be_checked()
    page.locator("#prompt-title").focus()
    press(page, "x")
    expect(page.get_by_label("All responses are bad")).to_be_checked()
    press(page, "x")
    expect(page.get_by_label("All responses are bad")).not_to_be_checked()
    press(page, "x")
    submit(page)
    judgment = kept(server, name)[-1]
    assert judgment["verdict"] == "all_bad"
    assert judgment["flags"] == {shown["B"]: ["harmful"]}


# ── a phone, and a warning ───────────────────────────────────────────────────


def test_on_a_phone_a_tie_and_a_strength_take_one_touch_each(server: Server, browser: Browser) -> None:
    name = project(server, rows(2, answers=2), kind="ab")
    page = arrive(browser, server, name, **ON_A_PHONE)
    page.get_by_role("radio", name="Tie").tap()
    onward(page, page.locator("button.submit").tap)
    page.get_by_role("radio", name="B is better").tap()
    page.get_by_role("radio", name="Much").tap()
    onward(page, page.locator("button.submit").tap)
    tie, better = kept(server, name)
    assert tie["choice"] == "tie"
    assert (better["choice"], better["strength"]) == ("B", 3)


def test_on_a_phone_what_is_missing_is_in_sight(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)), **ON_A_PHONE)
    page.locator("#response-B .place").first.tap()
    expect(page.locator(".short")).to_have_text("B · Not ranked yet: A, C")
    expect(page.locator(".short")).to_be_in_viewport()


@pytest.mark.parametrize("guided", [True, False])
def test_a_project_that_warns_does_so_once_before_the_first_task(
    server: Server, browser: Browser, guided: bool
) -> None:
    name = project(server, rows(1))
    with opened(server.store_url) as store, store.write() as tx:
        found = projects.find_project(tx, name)
        projects.change_settings(tx, found, {"content_warning": True})
        if guided:
            projects.set_guidelines(tx, found, {"en": "Read me."})
    link = add_person(server.store_url, f"Warned {guided}", [name])
    page = sign_in(browser.new_context(locale="en-US"), server.url, link)
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("Some texts in this project may be upsetting. You may skip any task.")
    expect(sheet.get_by_text("Read me.")).to_have_count(int(guided))
    sheet.get_by_role("button", name="Start").click()
    page.locator("#prompt-title").wait_for()
    page.reload()
    page.locator("#prompt-title").wait_for()
    expect(sheet).to_have_count(0)


# ── on its way ───────────────────────────────────────────────────────────────


def test_what_is_on_its_way_cannot_be_changed_any_more(server: Server, browser: Browser) -> None:
    """The server keeps the first that arrives: a change after it would be shown and kept nowhere."""
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    shown = texts(page)
    lost: list[str] = []

    later: list[Route] = []

    def lose(route: Route) -> None:
        if lost:
            return later.append(route)
        lost.append(route.fetch().text())  # it arrives; its answer does not
        return route.abort()

    page.route("**/submit", lose)
    press(page, "a", "b", "c", "Control+Enter")
    expect(page.locator(".message")).to_contain_text("It will be sent as soon as possible.")
    expect(page.locator(".task")).to_have_attribute("inert", "")
    press(page, "c", "1", "u", "x")
    assert places(page) == {"A": 1, "B": 2, "C": 3}
    page.unroute("**/submit")
    for route in later:
        route.continue_()
    page.locator(".nothing").wait_for()
    (judgment,) = kept(server, name)
    assert judgment["ranking"] == [[shown["A"]], [shown["B"]], [shown["C"]]]


def test_an_answer_that_is_refused_can_be_mended_and_sent_again(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    shown = texts(page)
    said = {"code": "bad_answer", "message": "comment: too odd"}
    page.route("**/submit", lambda route: route.fulfill(status=422, json=said))
    press(page, "a", "b", "c", "Control+Enter")
    expect(page.locator(".message")).to_contain_text("comment: too odd")
    expect(page.locator("button.submit")).to_be_focused()
    page.unroute("**/submit")
    press(page, "c", "1", "c")
    submit(page)
    assert kept(server, name)[0]["ranking"] == [[shown["A"], shown["C"]], [shown["B"]]]
