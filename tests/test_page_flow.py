"""People at work in a real browser: what they do on the page is what the store keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hands import (
    CRITERIA,
    PHONE,
    arrive,
    away_from_midnight,
    kept,
    onward,
    places,
    press,
    project,
    saved,
    submit,
    tab_to,
    texts,
)
from made import rows
from playwright.sync_api import Browser, Page, Route, expect
from serving import Server, add_person, load, opened, sign_in

from annotate import projects


def last(server: Server, name: str) -> dict[str, Any]:
    """The newest judgment of a project."""
    return kept(server, name)[-1]


# ── from the link to five answers ────────────────────────────────────────────


def test_a_new_person_ranks_five_tasks_with_the_keyboard_alone(server: Server, browser: Browser) -> None:
    name, other = project(server, rows(6, answers=4)), project(server, rows(1))
    with opened(server.store_url) as store, store.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, name), {"en": "# Rules\n\nRead **all** of it."})
    page = browser.new_context(
        timezone_id=away_from_midnight()[0],
    ).new_page()
    page.goto(f"{server.url}/join/{add_person(server.store_url, 'Keys only', [name, other])}")
    expect(page.get_by_role("heading", name="Welcome, Keys only")).to_be_visible()
    press(page, "Enter")  # the button has the focus
    page.locator(".projects").wait_for()
    tab_to(page, f"a.project[href='#/p/{name}']")
    press(page, "Enter")
    expect(page.get_by_role("dialog").get_by_role("heading", name="Rules")).to_be_visible()
    tab_to(page, "dialog .submit")
    press(page, "Enter")
    page.locator("#prompt-title").wait_for()

    ways: list[tuple[list[str], list[list[str]]]] = [
        (["b", "a", "d", "c"], [["B"], ["A"], ["D"], ["C"]]),
        (["c", "=", "a", "b", "d"], [["A", "C"], ["B"], ["D"]]),
        (["A", "4", "B", "2", "C", "1", "D", "3"], [["C"], ["B"], ["D"], ["A"]]),
        (["a", "b", "c", "d", "1"], [["A", "D"], ["B"], ["C"]]),
        (["a", "b", "c", "d", "b", "ArrowDown", "ArrowDown", "b"], [["A"], ["C"], ["B", "D"]]),
    ]
    for number, (keys, ranking) in enumerate(ways, 1):
        shown = texts(page)
        press(page, *keys)
        submit(page)
        judgment = last(server, name)
        assert len(kept(server, name)) == number
        assert judgment["shown"] == list(shown.values())
        assert judgment["ranking"] == [[shown[letter] for letter in tier] for tier in ranking]
        assert judgment["guideline_version"]
    expect(page.locator(".stand")).to_contain_text("5 by you, 5 today · 5 of 6 in all")


@pytest.mark.parametrize("keys", ["b=adce", "a=b=cde", "abcd=e"])
def test_ranking_five_with_a_tie_takes_at_most_eight_keys(server: Server, browser: Browser, keys: str) -> None:
    name = project(server, rows(1, answers=5))
    page = arrive(browser, server, name)
    sent = [*keys, "Control+Enter"]
    assert len(sent) <= 8
    onward(page, lambda: press(page, *sent))
    ranking = last(server, name)["ranking"]
    assert sum(map(len, ranking)) == 5
    assert max(map(len, ranking)) > 1


def test_every_response_starts_unranked_and_an_untouched_order_is_never_an_answer(
    server: Server, browser: Browser
) -> None:
    name = project(server, rows(2, answers=3))
    page = arrive(browser, server, name)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert places(page) == {}
    assert page.locator(".unplaced .chip").count() == 3
    button = page.locator("button.submit")
    for key, missing in [(None, "A, B, C"), ("a", "B, C"), ("b", "C")]:
        if key:
            press(page, key)
        expect(page.locator("#state")).to_have_text(f"Not ranked yet: {missing}")
        expect(button).to_have_attribute("aria-disabled", "true")
        button.click(force=True)
        press(page, "Control+Enter")
    assert not [url for url in asked if "/submit" in url]
    assert kept(server, name) == []
    press(page, "c")
    expect(button).to_have_attribute("aria-disabled", "false")
    submit(page)
    assert len(kept(server, name)) == 1
    assert places(page) == {}  # nothing is carried over to the next


# ── drafts ───────────────────────────────────────────────────────────────────


def test_a_reload_keeps_rows_comment_flags_critique_and_edited_text(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=3))
    page = arrive(browser, server, name)
    shown = texts(page)
    press(page, "b", "=", "a")
    page.locator("#comment").fill("a comment ” with 引号")
    write_notes(page)
    saved(page)
    page.evaluate("localStorage.clear()")  # the server's copy, not this browser's
    page.reload()
    page.locator("#prompt-title").wait_for()
    assert texts(page) == shown
    assert places(page) == {"A": 1, "B": 1}
    expect(page.locator("#comment")).to_have_value("a comment ” with 引号")
    expect(page.locator("#critique-B")).to_have_value("too short")
    expect(page.locator("#edited-B")).to_have_value("much better")
    expect(page.locator("#notes-B input:checked")).to_have_count(2)
    press(page, "c")
    submit(page)
    judgment = last(server, name)
    assert judgment["ranking"] == [[shown["A"], shown["B"]], [shown["C"]]]
    assert judgment["comment"] == "a comment ” with 引号"
    assert judgment["flags"] == {shown["B"]: ["harmful", "refusal"]}
    assert judgment["critiques"] == {shown["B"]: "too short"}
    assert judgment["edited"] == {shown["B"]: "much better"}


def write_notes(page: Page, letter: str = "B") -> None:
    """Two flags, a critique and an edited answer on a response."""
    card = page.locator(f"#response-{letter}")
    card.get_by_role("button", name="Notes and flags").click()
    card.get_by_label("Harmful").check()
    card.get_by_label("Refusal").check()
    page.locator(f"#critique-{letter}").fill("too short")
    card.get_by_role("button", name="Write a better version").click()
    expect(page.locator(f"#edited-{letter}")).to_have_value(texts(page)[letter])  # starts from what is there
    page.locator(f"#edited-{letter}").fill("much better")


def test_a_reload_at_once_keeps_what_was_done_less_than_a_second_ago(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    press(page, "c", "a")
    page.reload()
    page.locator("#prompt-title").wait_for()
    assert places(page) == {"C": 1, "A": 2}


def test_switching_language_and_theme_keeps_the_draft(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    press(page, "b", "c")
    page.locator("#comment").fill("kept")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    assert places(page) == {"B": 1, "C": 2}
    with page.expect_navigation():
        page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="请给回答排序")).to_be_visible()
    assert places(page) == {"B": 1, "C": 2}
    expect(page.locator("#comment")).to_have_value("kept")
    expect(page.locator("body.dark")).to_have_count(1)


def test_a_draft_written_without_a_connection_is_sent_when_it_is_back(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    page.context.set_offline(True)
    press(page, "a", "b", "c")
    expect(page.locator(".message")).to_contain_text("No connection. Your work is kept in this browser.")
    press(page, "Control+Enter")
    expect(page.locator(".message")).to_contain_text("It will be sent as soon as possible.")
    page.context.set_offline(False)
    page.locator(".nothing").wait_for()
    assert len(kept(server, name)) == 1
    expect(page.locator(".message")).to_be_hidden()


# ── looking back ─────────────────────────────────────────────────────────────


def test_revising_shows_the_same_order_and_supersedes_the_first(server: Server, browser: Browser) -> None:
    name = project(server, rows(2, answers=4))
    page = arrive(browser, server, name)
    shown = texts(page)
    press(page, "b", "a", "d", "c")
    submit(page)
    page.get_by_role("link", name="My answers").click()
    page.locator(".judgments a").click()
    expect(page.locator(".banner")).to_contain_text("You are revising an answer")
    assert texts(page) == shown
    assert places(page) == {"B": 1, "A": 2, "D": 3, "C": 4}
    press(page, "c", "1", "c")
    page.locator("#comment").fill("on second thoughts")
    press(page, "Control+Enter")
    page.locator(".judgments a").wait_for()
    first, second = kept(server, name)
    assert second["supersedes"] == first["id"]
    assert second["shown"] == first["shown"] == list(shown.values())
    assert first["ranking"] == [[shown[x]] for x in "BADC"]
    assert second["ranking"] == [[shown["B"], shown["C"]], [shown["A"]], [shown["D"]]]
    assert "comment" not in first
    assert page.locator(".judgments a").count() == 1  # the list holds the latest form of each


def test_back_to_the_last_one_and_on_again_keeps_the_draft_of_the_open_task(server: Server, browser: Browser) -> None:
    name = project(server, rows(3))
    page = arrive(browser, server, name)
    first = texts(page)
    press(page, "a", "b", "c")
    submit(page)
    second = texts(page)
    press(page, "c", "b")
    onward(page, page.get_by_role("button", name="Back to the last one").click)
    assert texts(page) == first
    onward(page, page.get_by_role("button", name="Leave it as it was").click)
    assert texts(page) == second
    assert places(page) == {"C": 1, "B": 2}
    onward(page, page.get_by_role("button", name="Back to the last one").click)
    press(page, "a", "3", "a")
    submit(page)
    assert texts(page) == second
    assert places(page) == {"C": 1, "B": 2}
    before, after = kept(server, name)
    assert after["supersedes"] == before["id"]


def test_a_revision_that_was_left_alone_starts_from_the_kept_answer_again(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(2)))
    press(page, "a", "b", "c")
    submit(page)
    onward(page, page.get_by_role("button", name="Back to the last one").click)
    press(page, "c", "1", "c")
    saved(page)
    onward(page, page.get_by_role("button", name="Leave it as it was").click)
    onward(page, page.get_by_role("button", name="Back to the last one").click)
    assert places(page) == {"A": 1, "B": 2, "C": 3}


def test_my_answers_list_what_i_did_newest_first(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(3)))
    for keys in ("abc", "x"):
        if keys == "x":
            page.get_by_label("All responses are bad").check()
        else:
            press(page, *keys)
        submit(page)
    page.get_by_role("link", name="My answers").click()
    expect(page.locator(".judgments a")).to_have_count(2)
    newest, oldest = page.locator(".judgments a").all()
    expect(newest).to_contain_text("question q1")
    expect(newest).to_contain_text("all bad")
    expect(oldest).to_contain_text("question q0")
    expect(oldest).to_contain_text("A > B > C")


def test_leaving_for_another_screen_while_a_task_loads_ends_on_that_screen(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    page = arrive(browser, server, name)
    page.get_by_role("link", name="My answers").click()
    held: list[Route] = []
    page.route("**/next", lambda route: held.append(route))
    page.get_by_role("link", name="Tasks").click()
    page.wait_for_function("document.querySelector('.busy')")
    page.get_by_role("link", name="My answers").click()
    page.locator("h1", has_text="My answers").wait_for()
    while not held:  # asked for, and not on its way yet
        page.wait_for_timeout(20)
    with page.expect_response("**/next"):
        held[0].continue_()
    page.wait_for_function("!document.querySelector('.busy')")
    expect(page.locator("h1", has_text="My answers")).to_be_visible()
    expect(page.locator(".task")).to_have_count(0)
    page.unroute("**/next")
    page.get_by_role("link", name="Tasks").click()
    page.locator("#prompt-title").wait_for()
    press(page, "a", "b")  # heard once, not once by each screen there was
    assert places(page) == {"A": 1, "B": 2}


def test_back_from_the_guidelines_leads_to_the_projects(server: Server, browser: Browser) -> None:
    name, other = project(server, rows(1)), project(server, rows(1))
    with opened(server.store_url) as store, store.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, name), {"en": "Read me."})
    page = sign_in(browser.new_context(), server.url, add_person(server.store_url, "Undecided", [name, other]))
    page.locator(f"a[href='#/p/{name}']").click()
    page.get_by_role("dialog").wait_for()
    page.go_back()
    page.locator(".projects").wait_for()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.locator(f"a[href='#/p/{name}']").click()
    expect(page.get_by_role("dialog")).to_be_visible()  # not read yet
    assert page.locator(".task").count() == 0


# ── mouse, finger, buttons, undo ─────────────────────────────────────────────


def middle(page: Page, selector: str) -> tuple[float, float]:
    """Where an element's middle is on the screen."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_responses_are_dragged_into_rows_by_mouse(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    shown = texts(page)
    for letter, row in [("A", 2), ("B", 1), ("C", 2)]:
        page.mouse.move(*middle(page, f"[data-chip={letter}] .handle"))
        page.mouse.down()
        page.mouse.move(*middle(page, f"[data-row='{row}'] ul"), steps=4)
        expect(page.locator(".row.over")).to_have_attribute("data-row", str(row))
        page.mouse.up()
        page.locator(f"[data-row='{row}'] [data-chip={letter}]").wait_for()
        expect(page.locator(".ghost")).to_have_count(0)
    assert places(page) == {"A": 2, "B": 1, "C": 2}
    onward(page, page.locator("button.submit").click)
    assert last(server, name)["ranking"] == [[shown["B"]], [shown["A"], shown["C"]]]


def touches(page: Page) -> Callable[..., None]:
    """What a finger does on this page: the kind of a touch, and where each finger is."""
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *at: tuple[float, float]) -> None:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in at]})

    return touch


def test_responses_are_dragged_into_rows_by_finger_on_a_phone(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name, **PHONE)
    shown = texts(page)
    page.locator(".expand").tap()
    touch = touches(page)
    for letter, row in [("C", 1), ("A", 3), ("B", 1)]:
        x, y = middle(page, f"[data-chip={letter}] .handle")
        to_x, to_y = middle(page, f"[data-row='{row}'] ul")
        touch("touchStart", (x, y))
        for step in (0.2, 0.6, 1.0):
            touch("touchMove", (x + (to_x - x) * step, y + (to_y - y) * step))
        touch("touchEnd")
        page.locator(f"[data-row='{row}'] [data-chip={letter}]").wait_for()
    assert places(page) == {"C": 1, "A": 3, "B": 1}
    # Not a tap: Chromium swallows the first one after simulated touches.
    onward(page, lambda: page.locator("button.submit").dispatch_event("click"))
    assert last(server, name)["ranking"] == [[shown["B"], shown["C"]], [shown["A"]]]


def test_the_first_click_after_a_finger_s_drag_is_heard_however_soon_it_comes(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)), **PHONE)
    page.locator(".expand").tap()
    touch = touches(page)
    touch("touchStart", middle(page, "[data-chip=A] .handle"))
    touch("touchMove", middle(page, "[data-row='2'] ul"))
    page.locator(".ghost").wait_for()
    # At once when the finger is lifted, after the board has put the response where it was let go.
    page.evaluate(
        "() => addEventListener('pointerup', () => document.querySelector('[aria-label=\"Put B at rank 1\"]').click())"
    )
    touch("touchEnd")
    page.locator("[data-row='2'] [data-chip=A]").wait_for()
    assert places(page) == {"A": 2, "B": 1}


def test_a_drag_let_go_beside_the_board_changes_nothing(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    page.mouse.move(*middle(page, "[data-chip=A] .handle"))
    page.mouse.down()
    page.mouse.move(*middle(page, "#prompt-title"), steps=4)
    page.mouse.up()
    assert places(page) == {}
    expect(page.locator(".ghost")).to_have_count(0)


def test_a_drag_let_go_where_it_began_chooses_nothing_and_the_next_click_does(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    handle = page.locator("[data-chip=A] .handle")
    x, y = middle(page, "[data-chip=A] .handle")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    expect(page.locator(".ghost")).to_have_count(0)
    expect(handle).to_have_attribute("aria-pressed", "false")
    page.mouse.click(x, y)
    expect(handle).to_have_attribute("aria-pressed", "true")


def test_buttons_move_a_response_and_take_it_out(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))

    def click(label: str) -> None:
        page.get_by_role("button", name=label, exact=True).click()

    click("Put B next in the ranking")
    assert places(page) == {"B": 1}
    click("Move B down")
    assert places(page) == {"B": 2}
    click("Move B up")
    assert places(page) == {"B": 1}
    click("Put C at rank 3")  # on the response itself
    assert places(page) == {"B": 1, "C": 3}
    click("C is at rank 3; press to take it out")
    assert places(page) == {"B": 1}
    click("Take B out of the ranking")
    assert places(page) == {}


def test_undo_goes_back_step_by_step(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    press(page, "a", "b")
    page.get_by_label("All responses are bad").check()
    page.locator("h1").first.focus()
    press(page, "u")
    expect(page.get_by_label("All responses are bad")).not_to_be_checked()
    press(page, "Control+z")
    assert places(page) == {"A": 1}
    page.get_by_role("button", name="Undo", exact=True).click()
    assert places(page) == {}
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()


@pytest.mark.parametrize("device", [{}, PHONE], ids=["wide", "phone"])
def test_nothing_jumps_while_one_ranks(server: Server, browser: Browser, device: dict[str, Any]) -> None:
    page = arrive(browser, server, project(server, rows(1)), **device)
    if device:
        page.locator(".expand").tap()
    where = """() => [...document.querySelectorAll('.top, .top nav, .prompt, .row, .response, .submit')]
      .map(e => e.getBoundingClientRect()).map(b => [b.x, b.y, b.width, b.height].map(Math.round))"""
    before = page.evaluate(where)
    for key in "abc":
        press(page, key)
        assert page.evaluate(where) == before
    saved(page)
    assert page.evaluate(where) == before


def test_the_page_does_not_slide_into_place(server: Server, browser: Browser) -> None:
    """From its first frame on, the top of the page lies at the edge."""
    name = project(server, rows(3))
    for n in range(3):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
        context.add_init_script("""window.lefts = new Set(); const look = () => {
          const top = document.querySelector('.top'); if (top) window.lefts.add(top.getBoundingClientRect().x);
          requestAnimationFrame(look) }; look()""")
        page = sign_in(context, server.url, add_person(server.store_url, f"Slider {n}", [name], ["en"]))
        page.locator("#prompt-title").wait_for()
        page.wait_for_timeout(300)
        assert page.evaluate("[...window.lefts]") == [0]
        context.close()


def test_what_screen_readers_are_told_follows_each_move(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    live = page.locator(".concord > .unseen[aria-live=polite]")
    for key, said in [
        ("b", "B is at rank 1."),
        ("=", "The next response ties with B."),
        ("a", "A is at rank 1, tied with B."),
        ("0", "A is not ranked."),
    ]:
        press(page, key)
        expect(live).to_have_text(said)


# ── A/B, rating, and what can be said beside ─────────────────────────────────


@pytest.mark.parametrize(
    ("keys", "verdict", "choice", "strength"),
    [
        ("a3", "answered", "A", 3),
        ("b", "answered", "B", None),
        ("b2b1", "answered", "B", 1),
        ("a1=", "answered", "tie", None),
        ("bx", "all_bad", None, None),
    ],
)
def test_ab_by_keyboard(
    server: Server, browser: Browser, keys: str, verdict: str, choice: str | None, strength: int | None
) -> None:
    name = project(server, rows(1, answers=2), kind="ab")
    page = arrive(browser, server, name)
    shown = texts(page)
    expect(page.locator("#state")).to_have_text("Say which is better, or that they tie.")
    press(page, "Control+Enter", *keys)
    submit(page)
    judgment = last(server, name)
    assert judgment.get("verdict", "answered") == verdict
    assert judgment.get("choice") == choice
    assert judgment.get("strength") == strength
    assert judgment["shown"] == list(shown.values())


def test_ab_by_mouse_with_strength(server: Server, browser: Browser) -> None:
    name = project(server, rows(2, answers=2), kind="ab")
    page = arrive(browser, server, name)
    page.locator("#response-B").get_by_role("button", name="B is better").click()
    page.get_by_role("radio", name="Clearly").click()
    submit(page)
    page.get_by_role("radio", name="Both are bad").click()
    expect(page.get_by_role("radio", name="Clearly")).to_be_hidden()
    submit(page)
    clear, bad = kept(server, name)
    assert (clear["choice"], clear["strength"]) == ("B", 2)
    assert bad["verdict"] == "all_bad"


def test_ab_by_tab_and_arrows(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=2), kind="ab")
    page = arrive(browser, server, name)
    tab_to(page, ".choices [role=radio]")
    press(page, "ArrowRight", "ArrowRight")
    expect(page.locator(".choices [aria-checked=true]")).to_have_attribute("data-value", "B")
    tab_to(page, ".strengths [role=radio]")
    press(page, "Space")
    tab_to(page, "button.submit")
    onward(page, lambda: press(page, "Enter"))
    assert (last(server, name)["choice"], last(server, name)["strength"]) == ("B", 1)


def test_rating_by_keyboard_asks_for_every_criterion_of_every_response(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=2), kind="rating", criteria=CRITERIA)
    page = arrive(browser, server, name)
    shown = texts(page)
    press(page, "4", "3", "Control+Enter")
    expect(page.locator("#state")).to_have_text("Not rated in full yet: B")
    press(page, "1", "Control+Enter")
    assert kept(server, name) == []
    press(page, "5", "2")  # 5 is beyond the second scale's end: nothing
    expect(page.locator("#state")).to_have_text("Complete")
    press(page, "a", "ArrowDown", "1")
    submit(page)
    assert last(server, name)["ratings"] == {
        shown["A"]: {"helpful": 4, "clear": 1},
        shown["B"]: {"helpful": 1, "clear": 2},
    }


def test_rating_by_mouse_and_by_tab(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=2), kind="rating", criteria=CRITERIA)
    page = arrive(browser, server, name)
    shown = texts(page)
    page.locator("#response-A .scale").nth(0).locator("label").nth(1).click()
    page.locator("#response-A .scale").nth(1).locator("label").nth(2).click()
    tab_to(page, "#response-B .scale:nth-child(1) input")
    press(page, "Space", "ArrowRight", "ArrowRight")
    tab_to(page, "#response-B .scale:nth-child(2) input")
    press(page, "Space")
    submit(page)
    assert last(server, name)["ratings"] == {
        shown["A"]: {"helpful": 2, "clear": 3},
        shown["B"]: {"helpful": 3, "clear": 1},
    }


@pytest.mark.parametrize("kind", ["ab", "rating"])
def test_flags_critique_edited_answer_and_comment_are_kept_for_every_kind(
    server: Server, browser: Browser, kind: str
) -> None:
    criteria = {"criteria": CRITERIA} if kind == "rating" else {}
    name = project(server, rows(1, answers=2), kind=kind, **criteria)
    page = arrive(browser, server, name)
    shown = texts(page)
    press(page, *({"ab": "a", "rating": "1212"}[kind]))
    write_notes(page)
    press(page, "Escape")
    page.locator("#comment").fill("both are odd")
    submit(page)
    judgment = last(server, name)
    assert judgment["flags"] == {shown["B"]: ["harmful", "refusal"]}
    assert judgment["critiques"] == {shown["B"]: "too short"}
    assert judgment["edited"] == {shown["B"]: "much better"}
    assert judgment["comment"] == "both are odd"


def test_all_bad_in_a_ranking_needs_no_order_and_keeps_none(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    press(page, "a")
    page.get_by_label("All responses are bad").check()
    expect(page.locator("#state")).to_have_text("Complete")
    page.locator("h1").first.focus()
    press(page, "b")
    assert places(page) == {"A": 1}  # the board is off meanwhile, keys and buttons
    expect(page.locator("#response-B .places")).to_have_attribute("inert", "")
    submit(page)
    judgment = last(server, name)
    assert judgment["verdict"] == "all_bad"
    assert "ranking" not in judgment


def test_cannot_judge_gives_the_task_to_others(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    page.locator("#comment").fill("not my field")
    onward(page, page.get_by_role("button", name="I cannot judge this").click)
    expect(page.locator(".note")).to_have_text("Given back to others")
    assert (last(server, name)["verdict"], last(server, name)["state"]) == ("cannot_judge", "returned")
    expect(page.get_by_role("heading", name="No tasks left for you")).to_be_visible()
    assert texts(arrive(browser, server, name))  # somebody else gets it


def test_skip_says_why_and_the_next_task_comes(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    page = arrive(browser, server, name)
    first = texts(page)
    press(page, "s")
    box = page.get_by_role("dialog", name="Skip this task")
    box.get_by_label("Reason").select_option("upsetting")
    box.get_by_label("Comment on this task").fill("rather not")
    onward(page, box.get_by_role("button", name="Skip", exact=True).click)
    assert texts(page) != first
    assert kept(server, name) == []
    with opened(server.store_url) as store, store.read() as tx:
        passes = tx.all(
            "SELECT x.reason, x.comment FROM passes x JOIN tasks t ON t.id = x.task JOIN projects p ON p.id = t.project"
            " WHERE p.name = :name",
            name=name,
        )
    assert [tuple(row) for row in passes] == [("upsetting", "rather not")]


# ── what is measured and shown of the work ───────────────────────────────────

HIDE = """on => {
  Object.defineProperty(document, 'hidden', {configurable: true, get: () => on});
  Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => on ? 'hidden' : 'visible'});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def test_time_in_a_hidden_or_idle_tab_does_not_count(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    link = add_person(server.store_url, "Clock", [name])
    context = browser.new_context()
    context.clock.install()
    page = sign_in(context, server.url, link)
    page.locator("#prompt-title").wait_for()
    context.clock.pause_at(4_000_000_000_000)
    page.mouse.move(5, 5)
    press(page, "a")  # a draft: how much was counted until here
    with page.expect_request("**/draft") as drafted:
        context.clock.run_for(1_000)
    counted = drafted.value.post_data_json["active_ms"] / 1000
    context.clock.run_for(9_000)
    page.mouse.move(9, 9)
    page.evaluate(HIDE, True)
    context.clock.run_for(500_000)
    page.evaluate(HIDE, False)
    page.mouse.move(5, 5)
    context.clock.run_for(20_000)
    page.mouse.move(9, 9)
    context.clock.run_for(600_000)  # nothing touched for ten minutes: one of them counts
    press(page, "b", "c")
    with page.expect_request("**/submit") as handed_in:
        press(page, "Control+Enter")
    sent = handed_in.value.post_data_json["active_ms"] / 1000
    assert 10 + 20 + 60 <= sent - counted <= 10 + 20 + 60 + 1


def test_progress_of_mine_and_of_the_project_is_shown(server: Server, browser: Browser) -> None:
    name = project(server, rows(2), overlap=2)
    zone, _ = away_from_midnight()
    for number in (1, 2):
        page = arrive(browser, server, name, timezone_id=zone)
        expect(page.locator(".stand")).to_contain_text(f"0 by you, 0 today · {2 * (number - 1)} of 4 in all")
        for _ in range(2):
            press(page, "a", "b", "c")
            submit(page)
        expect(page.locator(".stand")).to_contain_text(f"2 by you, 2 today · {2 * number} of 4 in all")
        expect(page.get_by_role("heading", name="No tasks left for you")).to_be_visible()
        expect(page.locator(".nothing")).to_contain_text("You gave 2 answers in this project.")


def test_tasks_that_are_with_others_are_said(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    arrive(browser, server, name)
    page = arrive(browser, server, name, wait=".nothing")
    expect(page.locator(".nothing")).to_contain_text("1 is with others.")


def test_a_paused_project_says_so(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    with opened(server.store_url) as store, store.write() as tx:
        projects.pause(tx, projects.find_project(tx, name), True)
    page = arrive(browser, server, name, wait=".nothing")
    expect(page.get_by_role("heading", name="The project is paused")).to_be_visible()


# ── blind, and many at once ──────────────────────────────────────────────────


def test_the_order_differs_between_people_and_nothing_tells_the_model(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=8), overlap=3)
    orders = []
    for _ in range(3):
        link = add_person(server.store_url, f"Blind {len(orders)}", [name])
        context = browser.new_context()
        received: list[Any] = []
        context.on("response", lambda r, to=received: to.append(r) if "/api/" in r.url else None)
        page = sign_in(context, server.url, link)
        page.locator("#prompt-title").wait_for()
        orders.append(list(texts(page).values()))
        press(page, *"ABCDEFGH")
        submit(page)
        page.get_by_role("link", name="My answers").click()
        page.locator(".judgments a").click()
        page.locator("#prompt-title").wait_for()
        got = "".join(r.text() for r in received if r.status == 200) + page.content()
        assert "answer 3 to q0" in got
        for secret in secrets(server, name):
            assert secret not in got
    assert [j["shown"] for j in kept(server, name)] == orders
    assert len({tuple(order) for order in orders}) > 1  # alike by chance: 1 in 8! squared


def secrets(server: Server, name: str) -> list[str]:
    """What no browser may learn: the responses' ids, the models, the tasks' ids and keys."""
    with opened(server.store_url) as store, store.read() as tx:
        found = tx.all(
            "SELECT t.task, r.record FROM tasks t JOIN task_records r ON r.task = t.id"
            " JOIN projects p ON p.id = t.project WHERE p.name = :name",
            name=name,
        )
    ids = [r["id"] for row in found for r in json.loads(row.record)["responses"]]
    return ["secret-model", *ids, *(row.task for row in found)]


def test_three_browsers_do_ten_real_tasks_each_at_the_same_time(server: Server, browser: Browser, real: Path) -> None:
    files = sorted((real / "self_instruct_human_eval").glob("*_predictions.jsonl"))
    assert load(server.store_url, files, "real", kind="ranking", overlap=3).tasks == 252
    pages = [arrive(browser, server, "real") for _ in range(3)]
    done: list[list[list[str]]] = []
    for turn in range(10):
        for number, page in enumerate(pages):  # each task is open in three browsers before any is handed in
            shown = texts(page)
            assert len(shown) == 8
            order = "ABCDEFGH"[(turn + number) % 8 :] + "ABCDEFGH"[: (turn + number) % 8]
            press(page, *order)
            done.append([[shown[letter]] for letter in order])
        for page in pages:
            submit(page)
    judgments = kept(server, "real")
    assert len(judgments) == 30
    assert sorted(j["ranking"] for j in judgments) == sorted(done)
    per_person: dict[str, list[str]] = {}
    for judgment in judgments:
        per_person.setdefault(judgment["annotator"], []).append(judgment["task_id"])
    assert sorted(len(set(tasks)) for tasks in per_person.values()) == [10, 10, 10]
    assert {j["state"] for j in judgments} == {"counted"}
    with opened(server.store_url) as store, store.read() as tx:
        over = tx.value(
            "SELECT COUNT(*) FROM tasks t JOIN projects p ON p.id = t.project WHERE p.name = 'real' AND t.overlap <"
            " (SELECT COUNT(*) FROM judgments j WHERE j.task = t.id AND j.state = 'counted')"
        )
    assert over == 0
