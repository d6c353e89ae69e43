"""The next task is fetched while one reads this one, and nobody waits for a task that nobody looks at."""

import json
from typing import Any

from hands import arrive, kept, onward, press, project, submit, texts
from made import rows
from playwright.sync_api import Browser, Page, Route, expect
from serving import Server, opened

from annotate import projects


def held(server: Server, name: str) -> list[Any]:
    """The project's slots in somebody's hands: token and until when, in the order they were given."""
    with opened(server.store_url) as store, store.read() as tx:
        return [
            tuple(row)
            for row in tx.all(
                "SELECT s.token, s.until_ms FROM slots s JOIN projects p ON p.id = s.project"
                " JOIN leases l ON l.token = s.token WHERE p.name = :name AND s.state = 1 ORDER BY l.at_ms",
                name=name,
            )
        ]


def events(server: Server, name: str) -> list[str]:
    """The kinds of the project's events, in their order."""
    with opened(server.store_url) as store, store.read() as tx:
        number = projects.find_project(tx, name).id
        return [r.kind for r in tx.all("SELECT kind FROM ledger WHERE project = :p ORDER BY seq", p=number)]


def at_a_task_with_the_next_one_fetched(browser: Browser, server: Server, name: str, **context: Any) -> Page:
    page = arrive(browser, server, name, **context)
    for _ in range(100):
        if len(held(server, name)) == 2:
            return page
        page.wait_for_timeout(50)
    raise AssertionError("nothing was fetched ahead")


def judge(page: Page) -> None:
    press(page, "a", "b", "c")
    submit(page)


def test_the_next_task_is_shown_without_asking_for_it_and_its_time_counts_from_then(
    server: Server, browser: Browser
) -> None:
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    first = texts(page)
    (_, _), (token, until) = held(server, name)
    with opened(server.store_url) as store, store.write() as tx:
        tx.run("UPDATE slots SET until_ms = until_ms - 300000 WHERE token = :t", t=token)  # read for five minutes
        tx.run("UPDATE leases SET at_ms = at_ms - 300000 WHERE token = :t", t=token)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split("/api/")[-1]) if "/api/" in request.url else None)
    page.route("**/next", lambda route: route.abort())  # the plain one: what is shown must be here already
    with page.expect_response(f"**/leases/{token}/renew"):
        judge(page)
    assert texts(page) != first
    renewed = next(end for held_token, end in held(server, name) if held_token == token)
    assert renewed >= until - 1000, "a full time from when it is shown"
    assert [path for path in asked if path.endswith("/next")] == []
    page.wait_for_timeout(1500)
    judge(page)
    second = kept(server, name)[-1]
    seconds = _seconds(second["submitted_at"]) - _seconds(second["started_at"])
    assert 1.4 <= seconds < 300, "begun when it was shown, not when it was fetched"


def _seconds(iso: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(iso).timestamp()


def test_a_reload_shows_the_same_task_and_leaving_gives_the_next_one_back_soon(
    server: Server, browser: Browser
) -> None:
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    first = texts(page)
    page.reload()
    page.locator("#prompt-title").wait_for()
    assert texts(page) == first
    with page.expect_response("**/next?ahead=true"):
        page.reload()
    (now, now_until), (ahead, ahead_until) = held(server, name)
    with page.expect_response(f"**/leases/{ahead}/release?after_s=20"):
        page.evaluate("location.hash = '#/'")
    left = dict(held(server, name))
    assert left[now] == now_until, "what is in hand stays"
    assert ahead_until - left[ahead] > 800_000, (
        "what nobody looks at comes back in seconds, not in a quarter of an hour"
    )
    assert "skip" not in events(server, name)
    page.evaluate("history.back()")
    page.locator("#prompt-title").wait_for()
    assert texts(page) == first


def test_a_project_paused_meanwhile_shows_no_task_that_was_fetched_before(server: Server, browser: Browser) -> None:
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    with opened(server.store_url) as store, store.write() as tx:
        projects.pause(tx, projects.find_project(tx, name), True)
    press(page, "a", "b", "c")
    onward(page, lambda: press(page, "Control+Enter"))
    expect(page.locator(".nothing h1")).to_have_text("The project is paused")
    assert [j["state"] for j in kept(server, name)] == ["counted"]
    assert held(server, name) == []


def test_a_task_whose_time_ran_out_before_it_was_shown_is_replaced(server: Server, browser: Browser) -> None:
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    token = held(server, name)[1][0]
    with opened(server.store_url) as store, store.write() as tx:  # the laptop slept, and somebody else came by
        tx.run("UPDATE slots SET until_ms = 1 WHERE token = :t", t=token)
    other = arrive(browser, server, name)
    judge(page)
    expect(page.locator(".note")).to_contain_text("went to somebody else")
    expect(page.locator(".task")).to_be_visible()
    mine, theirs = texts(page), texts(other)
    assert set(mine.values()) != set(theirs.values())
    judge(page)
    assert [j["state"] for j in kept(server, name)] == ["counted", "counted"]


def test_two_tabs_that_fetch_ahead_stay_at_the_same_task(server: Server, browser: Browser) -> None:
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#prompt-title").wait_for()
    assert texts(other) == texts(page)
    judge(page)
    expect(other.locator(".note")).to_have_text("Finished in another tab.")
    expect(other.locator("#response-A .exact").first).to_have_text(texts(page)["A"])
    other.close()  # what it had fetched is what the first tab shows or will show
    judge(page)
    judge(page)
    assert [j["state"] for j in kept(server, name)] == ["counted"] * 3


def test_what_goes_wrong_while_fetching_ahead_disturbs_nobody(server: Server, browser: Browser) -> None:
    name = project(server, rows(12), overlap=1)
    page = arrive(browser, server, name, wait=".concord .top")
    page.locator("#prompt-title").wait_for()

    def broken(route: Route) -> None:
        route.fulfill(status=500, body=json.dumps({"code": "store_down", "message": "x"}))

    page.route("**/next?ahead=true", broken)
    judge(page)
    judge(page)
    judge(page)
    expect(page.locator(".message")).to_be_hidden()
    assert len(kept(server, name)) == 3


def test_a_word_about_the_connection_goes_with_the_answer_that_went_through(server: Server, browser: Browser) -> None:
    """Also where no draft is saved after it, and the next task is here already."""
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    page.route("**/draft", lambda route: route.abort())
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.request.url)
        return route.abort()

    page.route("**/submit", lose)
    press(page, "a", "b", "c")
    onward(page, lambda: press(page, "Control+Enter"))
    assert len(lost) == 1
    expect(page.locator(".message")).to_be_hidden()
    press(page, "b")
    expect(page.locator(".message")).to_contain_text("No connection")
    press(page, "s")
    page.get_by_role("dialog").get_by_label("Reason").select_option("broken")
    onward(page, page.get_by_role("dialog").get_by_role("button", name="Skip", exact=True).click)
    expect(page.locator(".message")).to_be_hidden()


def test_back_to_the_last_answer_leaves_the_task_at_hand_for_afterwards(server: Server, browser: Browser) -> None:
    name = project(server, rows(12), overlap=1)
    page = at_a_task_with_the_next_one_fetched(browser, server, name)
    judge(page)
    at_hand = texts(page)
    onward(page, lambda: page.get_by_role("button", name="Back to the last one").click())
    assert texts(page) != at_hand
    submit(page)
    assert texts(page) == at_hand
