"""Keyboard first: every kind from sign-in to the kept judgment without a mouse, and keys as one likes them."""

from typing import Any

import pytest
from hands import CRITERIA, arrive, kept, onward, places, press, project, submit, tab_to, texts
from made import rows
from playwright.sync_api import Browser, Page, expect
from serving import Server, add_person, opened

from annotate import accounts, projects

PASSWORD = "correct horse battery"
MICE = "['pointerdown', 'mousedown', 'touchstart'].forEach(e => addEventListener(e, () => (window.mice = 1), true))"


def with_password(server: Server, name: str, works_in: list[str]) -> None:
    """Somebody who signs in by name and password."""
    link = add_person(server.store_url, name, works_in)
    with opened(server.store_url) as store:
        store.change(lambda tx: accounts.use_link(tx, link, PASSWORD))


# ── from sign-in to the kept judgment ────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "answers", "keys", "expected"),
    [
        ("ranking", 5, "b=adce", {"ranking": [["A", "B"], ["D"], ["C"], ["E"]]}),
        ("ab", 2, "b2", {"choice": "B", "strength": 2}),
        ("rating", 2, "4315", {"ratings": {"A": {"helpful": 4, "clear": 3}, "B": {"helpful": 1}}}),
    ],
)
def test_each_kind_is_judged_from_sign_in_to_submit_without_a_mouse(
    server: Server, browser: Browser, kind: str, answers: int, keys: str, expected: dict[str, Any]
) -> None:
    criteria = {"criteria": CRITERIA} if kind == "rating" else {}
    other, name = (project(server, rows(2, answers=answers), kind=kind, **criteria) for _ in range(2))
    with opened(server.store_url) as store, store.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, name), {"en": "Read me."})
    with_password(server, f"Keys {kind}", [other, name])
    context = browser.new_context(locale="en-US")
    context.add_init_script(MICE)
    page = context.new_page()
    page.goto(f"{server.url}/signin")
    expect(page.locator("input[name=name]")).to_be_focused()
    page.keyboard.type(f"Keys {kind}")
    press(page, "Tab")
    page.keyboard.type(PASSWORD)
    press(page, "Enter")
    page.locator(".projects").wait_for()
    press(page, "1", "ArrowDown", "ArrowUp", "2")
    expect(page.locator(f"a.project[href='#/p/{name}']")).to_be_focused()
    press(page, "Enter")
    page.get_by_role("dialog", name="Guidelines").wait_for()
    press(page, "Enter")
    page.locator(f".kind-{kind}").wait_for()
    shown = texts(page)
    press(page, *keys)
    if kind == "rating":  # 5 was beyond the last scale's end
        press(page, "2")
        expected["ratings"]["B"]["clear"] = 2
    submit(page)
    (judgment,) = kept(server, name)
    for field, value in expected.items():
        assert judgment[field] == as_texts(value, shown), field
    assert judgment["shown"] == list(shown.values())
    # skipping, too: the reason is chosen by arrows, Enter sends
    press(page, "s")
    page.locator("#skip-reason").wait_for()
    onward(page, lambda: press(page, *["ArrowDown"] * 4, "Enter"))
    with opened(server.store_url) as store, store.read() as tx:
        reasons = tx.all("SELECT x.reason FROM passes x JOIN projects p ON p.id = x.project WHERE p.name = :n", n=name)
    assert [row.reason for row in reasons] == ["upsetting"]
    assert not page.evaluate("window.mice")


def as_texts(value: Any, shown: dict[str, str]) -> Any:
    """Letters become the texts they stood for."""
    if isinstance(value, dict):
        return {shown.get(key, key): as_texts(one, shown) for key, one in value.items()}
    return [[shown[letter] for letter in tier] for tier in value] if isinstance(value, list) else value


def test_ones_answers_are_found_and_revised_without_a_mouse(server: Server, browser: Browser) -> None:
    name = project(server, rows(4))
    page = arrive(browser, server, name)
    page.evaluate(MICE)
    for _ in range(3):
        press(page, "a", "b", "c")
        submit(page)
    tab_to(page, "nav a[href$='/mine']")
    press(page, "Enter")
    page.locator(".judgments a").nth(2).wait_for()
    press(page, "/")
    page.keyboard.type("answer 1 to q1")
    expect(page.locator(".found")).to_have_text("1 answer found")
    press(page, "ArrowDown", "ArrowUp", "ArrowDown")
    expect(page.locator(".judgments a")).to_be_focused()
    press(page, "Enter")
    page.locator(".banner").wait_for()
    press(page, "c", "1")
    press(page, "Control+Enter")
    expect(page.locator("#mine-search")).to_have_value("answer 1 to q1")  # where one was before
    expect(page.locator(".judgments .said")).to_have_text("A = C > B")
    assert len(kept(server, name)) == 4
    assert not page.evaluate("window.mice")


# ── keys as one likes them ───────────────────────────────────────────────────


def change(page: Page, action: str, *keys: str) -> None:
    """In the sheet: the button of an action, by the keyboard, then these keys."""
    page.locator(f"[data-at$=' {action}']").first.focus()
    press(page, "Enter", *keys)


def test_the_sheet_lists_the_keys_of_the_kind_at_hand_first(server: Server, browser: Browser) -> None:
    kinds = {"ranking": "Ranking", "ab": "A or B", "rating": "Rating"}
    for kind, heading in kinds.items():
        page = arrive(browser, server, project(server, rows(1, answers=2), kind=kind, criteria=CRITERIA))
        press(page, "?")
        headings = page.locator("dialog h3").all_inner_texts()
        assert headings[:2] == [heading, "On every task"]
        assert set(headings[2:-1]) == set(kinds.values()) - {heading}
        assert page.locator("dialog h2").inner_text() == "Keys"


def test_a_person_changes_keys_and_conflicts_are_said(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(3)))
    press(page, "?")
    said = page.locator(".key-said")
    change(page, "tie", "b")
    expect(said).to_have_text("B names a response or a rank. Press another key, or Esc.")
    press(page, "7")
    expect(said).to_contain_text("7 names a response or a rank.")
    press(page, "F2")
    expect(said).to_contain_text("This key cannot be used")
    press(page, "Escape")
    expect(said).to_have_text("Nothing was changed.")
    expect(page.locator("[data-at='ranking tie']")).to_be_focused()  # and the sheet is still open
    change(page, "out", "x")
    expect(said).to_contain_text("which cannot take 0 in exchange")
    press(page, "Escape")
    change(page, "tie", "x")
    expect(said).to_have_text("X is the key for “All responses are bad, or not after all”. Swap the two?")
    expect(page.get_by_role("button", name="Swap")).to_be_focused()
    press(page, "Enter")
    expect(said).to_have_text("The next response ties with the last one: X")
    change(page, "skip", ";")
    change(page, "help", "Tab")  # leaves without a change
    expect(page.locator("[data-at='task help']")).to_have_text("?")
    press(page, "Escape")
    expect(page.locator(".panel .keys")).to_have_text("Letters in order, X for a tie; 1–9 to move, 0 to take out")
    expect(page.locator(".panel kbd[data-key=skip]")).to_have_text(";")
    press(page, "b", "x", "a")
    assert places(page) == {"A": 1, "B": 1}
    page.reload()
    page.locator("#prompt-title").wait_for()
    press(page, "s")
    expect(page.get_by_role("dialog")).to_have_count(0)
    press(page, ";")
    expect(page.get_by_role("dialog", name="Skip this task")).to_be_visible()
    press(page, "Escape", "=")
    expect(page.get_by_label("All responses are bad")).to_be_checked()


def test_one_key_or_all_go_back_to_what_they_were(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1, answers=2), kind="ab"))
    press(page, "?")
    change(page, "tie", "x", "Enter")  # the swap is offered, Enter takes it
    change(page, "undo", "j")
    page.locator("tr", has=page.locator("[data-at='ab bad']")).get_by_role("button", name="Back to X").focus()
    press(page, "Enter")
    expect(page.locator("[data-at='ab bad']")).to_have_text("X")
    expect(page.locator("[data-at='ab tie']")).to_have_text("=")  # it was swapped back
    expect(page.locator("[data-at='task undo']")).to_have_text("J")
    page.get_by_role("button", name="All keys as they were at first").focus()
    press(page, "Enter")
    expect(page.locator("[data-at='task undo']")).to_have_text("U")
    expect(page.locator(".reset")).to_have_count(0)
    press(page, "Escape", "=")
    expect(page.get_by_role("radio", name="Tie")).to_have_attribute("aria-checked", "true")


def test_keys_that_were_changed_by_hand_or_by_an_older_page_never_break_it(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    for odd in ("{", "null", "[1]", '{"tie":"a","skip":"","undo":7,"nothing":"z","notes":"m"}'):
        page.evaluate("value => localStorage.setItem('concord:keymap', value)", odd)
        page.reload()
        page.locator("#prompt-title").wait_for()
        expect(page.locator(".panel .keys")).to_contain_text("= for a tie")
    press(page, "a", "m")
    expect(page.locator("#notes-A")).to_be_visible()  # m is for notes now: comment, whose first key it was, has none
    press(page, "Escape")
    page.locator("#prompt-title").focus()
    press(page, "?")
    expect(page.locator("[data-at='task comment']")).to_have_text("–")


def send(page: Page, key: str, **init: Any) -> None:
    """A key as an input method writes it."""
    page.evaluate(
        "([key, init]) => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, ...init}))",
        [key, init],
    )


def test_chinese_input_methods_type_the_same_keys(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)), locale="zh-CN")
    send(page, "ａ")
    send(page, "＝")
    send(page, "Ｂ")
    assert places(page) == {"A": 1, "B": 1}
    send(page, "c", isComposing=True)
    send(page, "c", keyCode=229)
    assert places(page) == {"A": 1, "B": 1}
    send(page, "？")
    expect(page.get_by_role("dialog", name="快捷键")).to_be_visible()


def test_with_single_keys_off_no_control_shows_one_and_none_acts(server: Server, browser: Browser) -> None:
    name = project(server, rows(1, answers=2), kind="ab")
    page = arrive(browser, server, name)
    press(page, "?")
    page.get_by_label("Use single keys").focus()
    press(page, "Space", "Escape")
    for hint in (".panel kbd[data-key]", ".choices kbd", ".panel .keys"):
        expect(page.locator(hint).first).to_be_hidden()
    expect(page.locator("button.submit kbd")).to_be_visible()  # Ctrl is no single key
    press(page, "a", "?", "s", "x")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("[aria-checked=true]")).to_have_count(0)
    page.goto(f"{server.url}/#/p/{name}/mine")
    page.locator("#mine-search").wait_for()
    press(page, "/")
    expect(page.locator("#mine-search")).not_to_be_focused()
