"""The page is kind: breaks by choice, one's day and past answers, honest empty pages, a way out of upsetting texts."""

import re
from typing import Any

import pytest
from hands import PHONE, arrive, away_from_midnight, kept, press, project, submit, texts
from made import row, rows
from playwright.sync_api import Browser, Page, expect
from serving import Server, add_person, opened, sign_in
from test_page_access import outside, violations
from test_page_flow import HIDE

from annotate import projects


def held(server: Server, name: str) -> int:
    """How many tasks of a project are in somebody's hands."""
    with opened(server.store_url) as store, store.read() as tx:
        found = tx.value(
            "SELECT COUNT(*) FROM slots s JOIN projects p ON p.id = s.project WHERE p.name = :name AND s.state = 1",
            name=name,
        )
    return int(found)


def change(server: Server, name: str, **settings: Any) -> None:
    with opened(server.store_url) as store, store.write() as tx:
        projects.change_settings(tx, projects.find_project(tx, name), settings)


def pause(server: Server, name: str, paused: bool = True) -> None:
    with opened(server.store_url) as store, store.write() as tx:
        projects.pause(tx, projects.find_project(tx, name), paused)


# ── breaks ───────────────────────────────────────────────────────────────────


def work(page: Page, minutes: float) -> None:
    """Be at work for so long: the mouse moves now and then."""
    for turn in range(round(minutes * 2)):
        page.mouse.move(10 + turn % 7, 10)
        page.context.clock.run_for(30_000)


def test_a_break_is_offered_after_the_chosen_time_at_work_and_never_in_the_way(
    server: Server, browser: Browser
) -> None:
    name = project(server, rows(3))
    context = browser.new_context(locale="en-US", viewport={"width": 1440, "height": 900})
    context.clock.install()
    page = sign_in(context, server.url, add_person(server.store_url, "Diligent", [name]))
    page.locator("#prompt-title").wait_for()
    context.clock.pause_at(4_000_000_000_000)
    work(page, 30)
    note = page.locator(".break")
    expect(note).to_have_count(0)  # nobody asked for it
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="25 minutes").click()
    expect(page.get_by_role("button", name="25 minutes")).to_have_attribute("aria-pressed", "true")
    press(page, "Escape")
    work(page, 12)
    page.reload()  # what was worked before a reload counts
    page.locator("#prompt-title").wait_for()
    work(page, 12.5)
    expect(note).to_have_count(0)
    page.locator("#comment").focus()
    for _ in range(20):  # a minute and more of writing: not now
        page.keyboard.type("x")
        context.clock.run_for(3_500)
        expect(note).to_have_count(0)
    context.clock.run_for(10_000)
    expect(note).to_contain_text("A short break would do you good.")
    expect(page.locator(".concord > .unseen[aria-live=polite]")).to_contain_text("A short break would do you good.")
    expect(page.locator("#comment")).to_be_focused()
    press(page, "y")
    expect(page.locator("#comment")).to_have_value("x" * 20 + "y")  # one can go on as if nothing was there
    page.get_by_role("button", name="Remind me in 10 minutes").focus()
    press(page, "Enter")
    expect(note).to_have_count(0)
    expect(page.locator("#comment")).to_be_focused()  # back to where one was
    work(page, 9)
    expect(note).to_have_count(0)
    work(page, 1.5)
    expect(note).to_be_visible()
    note.get_by_role("button", name="Close").click()
    expect(note).to_have_count(0)
    work(page, 20)
    expect(note).to_have_count(0)
    context.clock.run_for(11 * 60_000)  # a pause: it starts again
    work(page, 24)
    expect(note).to_have_count(0)
    work(page, 1.5)
    expect(note).to_contain_text("25 minutes at work.")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_word_about_a_break_is_accessible_on_a_phone_too(server: Server, browser: Browser, theme: Any) -> None:
    page = arrive(browser, server, project(server, rows(1)), color_scheme=theme, **PHONE)
    page.evaluate(
        "localStorage.setItem('concord:breaks', JSON.stringify({every: 25, worked: 15e5, at: Date.now(), due: 15e5}))"
    )
    page.locator(".break").wait_for()
    assert violations(page) + outside(page) == []


# ── today, my pace, my answers ───────────────────────────────────────────────


def test_today_and_the_last_days_are_shown_in_the_persons_own_day(server: Server, browser: Browser) -> None:
    name = project(server, rows(4))
    zone, ahead = away_from_midnight()
    page = arrive(browser, server, name, timezone_id=zone)
    for _ in range(3):
        press(page, "a", "b", "c")
        submit(page)
    with opened(server.store_url) as store, store.write() as tx:
        oldest = tx.all("SELECT id FROM judgments ORDER BY at_ms DESC LIMIT 3")[-1].id
        tx.run("UPDATE judgments SET at_ms = at_ms - 2 * 86400000 WHERE id = :id", id=oldest)
    with page.expect_request("**/days") as asked:
        page.get_by_role("link", name="My answers").click()
    assert asked.value.headers["x-utc-offset"] == str(ahead)
    expect(page.locator(".today")).to_contain_text("2 answers today")
    expect(page.locator(".days")).to_contain_text("My pace, the median of the last 14 days: Ranking")
    plot = page.get_by_role("img")
    expect(plot).to_have_attribute("aria-label", re.compile(r"^The last 14 days: 3 answers; the most .* was 2"))
    page.locator(".days summary").click()
    expect(page.locator(".days tbody tr")).to_have_count(14)
    assert [cell.inner_text() for cell in page.locator(".days tbody td:nth-child(2)").all()][:3] == ["2", "0", "1"]
    wrong = violations(page)
    page.evaluate("document.body.classList.toggle('dark')")
    assert wrong + violations(page) + outside(page) == []


def many(server: Server, page: Page, count: int) -> None:
    """This person's answers to so many tasks, sent as the page sends them."""
    page.evaluate(
        """async count => {
          const csrf = document.cookie.match(/csrf=([^;]+)/)[1];
          const send = (path, body) => fetch(`api/${path}`, {method: 'POST', body: JSON.stringify(body),
            headers: {'Content-Type': 'application/json', 'X-CSRF': csrf}}).then(r => r.json());
          const name = decodeURIComponent(location.hash.split('/')[2]);
          for (let n = 0; n < count; n++) {
            const {task} = await send(`projects/${name}/next`, {});
            await send(`leases/${task.token}/submit`, {answer: {ranking: [['B'], ['A', 'C']]}, active_ms: 5});
          }
        }""",
        count,
    )


def test_back_from_a_revision_leads_to_the_same_place_of_the_same_search(server: Server, browser: Browser) -> None:
    name = project(server, rows(70))
    page = arrive(browser, server, name, viewport={"width": 1280, "height": 600})
    many(server, page, 70)
    page.goto(f"{server.url}/#/p/{name}/mine")
    page.get_by_role("button", name="Older").click()
    expect(page.locator(".judgments a")).to_have_count(70)
    expect(page.locator(".said").first).to_have_text("B > A = C")
    page.locator("#mine-search").fill("QUESTION Q")
    expect(page.locator(".found")).to_have_text("50 answers found so far; there may be older ones")
    page.get_by_role("button", name="Older").click()
    expect(page.locator(".found")).to_have_text("70 answers found")
    target = page.locator(".judgments a").nth(60)
    target.scroll_into_view_if_needed()
    id_ = target.get_attribute("data-id")
    before = page.evaluate("scrollY")
    assert before > 500
    target.click()
    page.locator(".banner").wait_for()
    page.go_back()
    expect(page.locator(f"[data-id='{id_}']")).to_be_focused()
    expect(page.locator(f"[data-id='{id_}']")).to_be_in_viewport()
    expect(page.locator("#mine-search")).to_have_value("QUESTION Q")
    assert abs(page.evaluate("scrollY") - before) < 60
    press(page, "Enter")
    page.locator(".banner").wait_for()
    page.get_by_role("button", name="Leave it as it was").click()
    expect(page.locator("#mine-search")).to_have_value("QUESTION Q")
    expect(page.locator(f"[data-id='{id_}']")).to_be_in_viewport()


def test_filters_stand_in_the_address_and_nothing_found_is_said(server: Server, browser: Browser) -> None:
    name = project(server, rows(3))
    page = arrive(browser, server, name)
    page.get_by_role("link", name="My answers").click()
    expect(page.locator(".found")).to_have_text("You have given no answer in this project yet.")
    page.get_by_role("link", name="Tasks").click()
    page.locator("#prompt-title").wait_for()
    press(page, "a", "b", "c", "n", "Space")
    submit(page)
    press(page, "x")
    submit(page)
    page.get_by_role("link", name="My answers").click()
    page.get_by_label("With flags only").check()
    expect(page.locator(".found")).to_have_text("1 answer found")
    expect(page.locator(".judgments a")).to_contain_text("flagged")
    page.reload()
    expect(page.get_by_label("With flags only")).to_be_checked()
    expect(page.locator(".judgments a")).to_have_count(1)
    page.get_by_label("Verdict").select_option("all_bad")
    expect(page.locator(".found")).to_contain_text("None of your answers fits this search.")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".judgments a")).to_have_count(2)
    expect(page.locator("#mine-search")).to_be_focused()


def test_a_search_for_hostile_text_shows_it_as_text(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    press(page, "a", "b", "c")
    page.locator("#comment").fill("<img src=x onerror=window.bad=1> 100%_")
    submit(page)
    page.get_by_role("link", name="My answers").click()
    page.locator("#mine-search").fill("<IMG SRC=x onerror=window.bad=1> 100%_")
    expect(page.locator(".found")).to_have_text("1 answer found")
    page.reload()
    expect(page.locator("#mine-search")).to_have_value("<IMG SRC=x onerror=window.bad=1> 100%_")
    assert not page.evaluate("window.bad")


# ── nothing to do ────────────────────────────────────────────────────────────


def test_each_empty_page_tells_the_truth(server: Server, browser: Browser) -> None:
    name = project(server, [row(0), row(1), row(2, language="fr"), row(3, language="fr"), row(4, language="ja")])
    add_person(server.store_url, "Somebody else", [name])  # with two people nobody fetches ahead here
    first = arrive(browser, server, name)
    arrive(browser, server, name)
    late = arrive(browser, server, name, wait=".nothing")
    why = late.locator(".nothing .why p")
    expect(late.get_by_role("heading", name="No tasks left for you")).to_be_focused()
    expect(why).to_have_text(
        [
            "2 are with others. What is left of them comes back in at most 15 minutes.",
            "3 tasks are open in languages you did not say you read: French (2) and Japanese (1).",
            "If you read one of them, tell your project lead.",
        ]
    )
    press(first, "a", "b", "c")
    submit(first)
    late.get_by_role("button", name="Look again").click()
    expect(why.first).to_have_text("1 is with others. If it is left, it comes back in at most 15 minutes.")
    expect(late.get_by_role("button", name="Look again")).to_be_focused()
    expect(first.locator(".nothing")).to_contain_text("You gave 1 answer in this project.")
    pause(server, name)
    late.get_by_role("button", name="Look again").click()
    expect(late.get_by_role("heading", name="The project is paused")).to_be_visible()
    expect(why).to_have_text("Its lead will say when it goes on.")
    assert violations(late) == []
    done = project(server, rows(1))
    only = arrive(browser, server, done)
    press(only, "a", "b", "c")
    submit(only)
    expect(only.locator(".nothing .why")).to_have_text("Everything you can do here is done. Thank you.")


def test_somebody_in_no_project_is_told_so(server: Server, browser: Browser) -> None:
    link = add_person(server.store_url, "Nowhere", [])
    page = sign_in(browser.new_context(locale="en-US"), server.url, link)
    expect(page.get_by_text("You are in no project yet. Ask your project lead.")).to_be_visible()
    expect(page.get_by_text("When you are in one, it is shown here; reload to see.")).to_be_visible()


def test_an_empty_page_looks_again_by_itself_while_it_is_seen(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    pause(server, name)
    context = browser.new_context(locale="en-US")
    context.clock.install()
    page = sign_in(context, server.url, add_person(server.store_url, "Patient", [name]))
    page.locator(".nothing").wait_for()
    expect(page.locator(".nothing")).to_contain_text("This page looks again by itself every 30 seconds")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/next") else None)
    page.get_by_role("button", name="Look again").focus()
    with page.expect_response("**/next"):
        context.clock.run_for(30_000)
    expect(page.get_by_role("button", name="Look again")).to_be_focused()  # the focus stays
    page.evaluate(HIDE, True)
    context.clock.run_for(120_000)
    assert len(asked) == 1
    pause(server, name, False)
    with page.expect_response("**/next"):
        page.evaluate(HIDE, False)
    page.locator("#prompt-title").wait_for()
    press(page, "a", "b", "c")
    submit(page)
    assert len(kept(server, name)) == 1


# ── texts one would rather not see ───────────────────────────────────────────


@pytest.mark.parametrize("device", [{"viewport": {"width": 1440, "height": 900}}, PHONE], ids=["wide", "phone"])
def test_who_would_rather_not_see_such_texts_leaves_and_is_given_none(
    server: Server, browser: Browser, device: dict[str, Any]
) -> None:
    name = project(server, rows(2))
    change(server, name, content_warning=True)
    link = add_person(server.store_url, f"Tender {len(device)}", [name])
    page = sign_in(browser.new_context(locale="en-US", **device), server.url, link)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/next") else None)
    page.get_by_role("dialog").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="I would rather not see such content").click()
    left = page.locator(".project.left")
    expect(left).to_contain_text("You left this project because of its content.")
    for address in ("", f"#/p/{name}", f"#/p/{name}/mine"):
        page.goto(f"{server.url}/{address}")
        page.reload()
        expect(left).to_be_visible()
    assert (asked, held(server, name)) == ([], 0)
    wrong = violations(page)
    page.evaluate("document.body.classList.toggle('dark')")
    assert wrong + violations(page) + outside(page) == []
    page.get_by_role("button", name="Come back").click()
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("Some texts in this project may be upsetting.")  # it was not agreed to before
    sheet.get_by_role("button", name="Start").click()
    page.locator("#prompt-title").wait_for()
    assert held(server, name) == 1


def test_leaving_in_the_middle_of_a_task_gives_it_to_others(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    change(server, name, content_warning=True)
    page = arrive(browser, server, name, wait="dialog .submit")
    press(page, "Enter")
    page.locator("#prompt-title").wait_for()
    shown = texts(page)
    press(page, "a")
    page.get_by_role("button", name="Guidelines").click()
    with page.expect_response("**/skip"):
        page.get_by_role("button", name="I would rather not see such content").click()
    expect(page.locator(".project.left")).to_be_visible()
    assert held(server, name) == 0
    other = arrive(browser, server, name, wait="dialog .submit")
    press(other, "Enter")
    other.locator("#prompt-title").wait_for()
    assert sorted(texts(other).values()) == sorted(shown.values())
