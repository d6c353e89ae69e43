"""The pages for everybody, and for nobody else: axe finds nothing, nothing is asked of other sites, nothing leaks."""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT
from hands import CRITERIA, PHONE, arrive, onward, press, project
from made import rows
from playwright.sync_api import Browser, BrowserContext, Page, expect
from serving import Server, add_person, load, opened

from annotate import projects

SAMPLE = ROOT / "data" / "sample"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def sample(server: Server) -> str:
    """The bundled tasks: code, tables, formulas, several turns, right-to-left text, an empty answer."""
    texts = {code: (SAMPLE / f"guidelines.{code}.md").read_text("utf-8") for code in ("en", "zh")}
    load(server.store_url, SAMPLE / "tasks.jsonl", "sample", overlap=50, guidelines=texts)
    return "sample"


def settled(page: Page) -> None:
    """Nothing moves any more: fonts are there and transitions are over."""
    page.evaluate(
        """() => document.fonts.ready.then(() => Promise.allSettled(document.getAnimations()
          .filter(a => a.effect.getComputedTiming().endTime < Infinity).map(a => a.finished)))"""
    )


def violations(page: Page) -> list[str]:
    """What axe finds wrong: the rule, and the elements."""
    settled(page)
    found = Axe().run(page, options={"runOnly": RULES, "resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:160]} {node.get('failureSummary', '')}"
        for rule in found
        for node in rule["nodes"]
    ]


def watched(context: BrowserContext) -> tuple[list[str], list[str]]:
    """Every address asked for, and every error said in the console or thrown, from now on."""
    asked: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    return asked, errors


# ── axe ──────────────────────────────────────────────────────────────────────


def keys_and_settings(page: Page, look: Callable[[str], None]) -> None:
    """The sheet of keys, with a swap offered, then the settings."""
    press(page, "?")
    page.locator("dialog .keytable").first.wait_for()
    look("keys")
    page.locator(".keycap").first.click()
    press(page, "x")
    page.locator(".swap").wait_for()
    look("keys, a swap offered")
    press(page, "Escape", "Escape")  # the offer, the sheet
    page.get_by_role("navigation").get_by_role("button").nth(1).click()
    page.locator(".segments").first.wait_for()
    look("settings")


def walk(page: Page, server: Server, names: dict[str, str], link: str, look: Callable[[str], None]) -> None:
    """Through every kind of page, from sign-in to my answers, with a look at each."""

    def at(name: str, kind: str) -> None:
        page.goto(f"{server.url}/#/p/{names[name]}")
        page.locator(f".kind-{kind}").wait_for()

    page.goto(f"{server.url}/signin")
    look("sign-in")
    page.goto(f"{server.url}/join/{link}")
    look("join")
    page.locator("button[type=submit]").click()
    page.locator(".projects").wait_for()
    look("projects")
    page.locator(f"a[href='#/p/{names['ranking']}']").click()
    page.get_by_role("dialog").wait_for()
    look("guidelines")
    page.locator("dialog .submit").click()
    page.locator(".kind-ranking").wait_for()
    look("ranking, untouched")
    page.locator("#response-A [aria-controls]").click()
    page.locator("#response-A .edited button").click()
    page.locator("#prompt-title").focus()
    press(page, "a", "=", "b", "c")
    look("ranking, in work")
    press(page, "v")
    if page.locator(".expand").is_visible():  # on a phone
        page.locator(".expand").click()
    page.locator(".all-bad input").check()
    look("ranking, all bad")
    keys_and_settings(page, look)
    press(page, "Escape", "s")
    page.locator("#skip-reason").wait_for()
    look("skip")
    press(page, "Escape")
    onward(page, page.locator("button.submit").click)
    at("ab", "ab")
    press(page, "a", "2")
    look("A/B")
    at("rating", "rating")
    press(page, "1")
    look("rating")
    page.context.set_offline(True)
    press(page, "2")
    page.locator(".message").wait_for()
    look("offline")
    page.context.set_offline(False)
    page.locator(".message").wait_for(state="hidden")
    page.goto(f"{server.url}/#/p/{names['ranking']}/mine")
    page.locator(".judgments a").wait_for()
    look("my answers")
    page.goto(f"{server.url}/#/p/{names['empty']}")
    page.locator(".nothing").wait_for()
    look("nothing left")


@pytest.fixture(scope="module")
def names(server: Server) -> dict[str, str]:
    """A project of each kind, and one that is finished at once."""
    found = {
        "ranking": project(server, rows(60, answers=4)),
        "ab": project(server, rows(60, answers=2), kind="ab"),
        "rating": project(server, rows(60, answers=3), kind="rating", criteria=CRITERIA),
        "empty": project(server, rows(1, author="someone"), language="xx"),
    }
    texts = {code: (SAMPLE / f"guidelines.{code}.md").read_text("utf-8") for code in ("en", "zh")}
    with opened(server.store_url) as store, store.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, found["ranking"]), texts)
    return found


class Seen(NamedTuple):
    """What a walk through all pages found."""

    wrong: list[str]
    """By axe."""
    outside: list[str]
    """What is wider than the screen."""
    asked: list[str]
    errors: list[str]


LOOKS = {
    "light, English": ("light", "en-US", 1440),
    "dark, Chinese, phone": ("dark", "zh-CN", 390),
    "light, Chinese, smallest": ("light", "zh-CN", 320),
    "dark, English, tablet": ("dark", "en-US", 1024),
}


@pytest.fixture(scope="module", params=LOOKS)
def seen(request: pytest.FixtureRequest, server: Server, browser: Browser, names: dict[str, str]) -> Seen:
    """All pages walked through once in each look."""
    theme, locale, width = LOOKS[request.param]
    context = browser.new_context(
        color_scheme=theme,  # type: ignore[arg-type]
        locale=locale,
        viewport={"width": width, "height": 844},
        has_touch=width < 400,
    )
    context.add_cookies([{"name": "theme", "value": theme, "url": server.url}])
    found = Seen([], [], *watched(context))
    page = context.new_page()

    def look(where: str) -> None:
        if page.locator(".concord").count():
            assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark"), where
        found.wrong.extend(f"{where}: {one}" for one in violations(page))
        found.outside.extend(f"{where}: {one}" for one in outside(page))

    walk(page, server, names, add_person(server.store_url, request.param, list(names.values())), look)
    context.close()
    return found


def outside(page: Page) -> list[str]:
    """The controls beyond the screen's sides, and the page itself if it scrolls sideways."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select, textarea, html')].filter(e => {
          const box = e.getBoundingClientRect();
          if (e.localName === 'html') return e.scrollWidth > innerWidth;
          return box.width && !e.closest('.skip-link, .answer') && (box.right > innerWidth + 1 || box.left < -1);
        }).map(e => e.localName + ' ' + (e.ariaLabel || e.textContent || e.id).slice(0, 60))"""
    )
    return found


def test_axe_finds_nothing_on_any_page(seen: Seen) -> None:
    assert seen.wrong == []


def test_no_page_scrolls_sideways_or_has_controls_out_of_sight(seen: Seen) -> None:
    assert seen.outside == []


def test_no_page_asks_another_site_for_anything(server: Server, seen: Seen) -> None:
    assert len(seen.asked) > 50
    assert [url for url in seen.asked if not url.startswith((f"{server.url}/", "data:", "blob:"))] == []


def test_no_page_makes_an_error(seen: Seen) -> None:
    on_purpose = "net::ERR_INTERNET_DISCONNECTED"  # the walk cuts the connection once
    assert [error for error in seen.errors if on_purpose not in error] == []


def test_axe_finds_nothing_in_what_models_write(server: Server, browser: Browser, sample: str) -> None:
    """Code, tables, formulas, several turns, right-to-left text and an empty answer, in both themes."""
    page = arrive(browser, server, sample, wait="dialog .submit")
    page.locator("dialog .submit").click()
    wrong: list[str] = []
    for number in range(10):
        page.locator("#prompt-title").wait_for()
        if page.locator(".rendered :is(table, pre, .math, [dir=rtl])").count():
            wrong += [f"task {number}: {one}" for one in violations(page)]
            page.evaluate("document.body.classList.toggle('dark')")
            wrong += [f"task {number}: {one}" for one in violations(page)]
        onward(page, page.get_by_role("button", name="I cannot judge this").click)
    assert wrong == []


def test_controls_are_large_enough_for_a_finger_or_far_enough_apart(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)), **PHONE)
    page.locator(".expand").tap()
    press(page, "a", "b")
    small = page.evaluate(
        """() => [...document.querySelectorAll('.concord :is(button, a, select, textarea)')].filter(e => {
          const box = e.getBoundingClientRect();
          return box.width && !e.closest('.skip-link') && (box.width < 24 || box.height < 24);
        }).map(e => e.outerHTML)"""
    )
    assert small == []


def test_the_focus_is_always_seen_and_goes_in_reading_order(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    seen: list[str] = []
    for _ in range(80):
        press(page, "Tab")
        here = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
              return e === document.body ? null : {name: e.ariaLabel || e.textContent.trim() || e.id,
                outline: parseFloat(s.outlineWidth) * (s.outlineStyle !== 'none'),
                visible: box.bottom > 0 && box.top < innerHeight, where: e.closest('[data-letter]')?.dataset.letter
                  ?? (e.closest('.panel') ? 'panel' : e.closest('.prompt') ? 'prompt' : 'top')}; }"""
        )
        if here is None:
            break
        assert here["outline"] >= 2, here
        assert here["visible"], here
        if not seen or seen[-1] != here["where"]:
            seen.append(here["where"])
    assert seen == ["prompt", "A", "B", "C", "panel"]  # from the task's title on; the bar stands before it
    page.locator("#prompt-title").focus()
    press(page, "Shift+Tab")
    assert page.evaluate("!!document.activeElement.closest('.top')")


def test_single_keys_can_be_switched_off(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    press(page, "?")
    page.get_by_label("Use single keys").uncheck()
    press(page, "Escape", "a", "?", "s")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.locator(".unplaced .chip").count() == 3
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="See and change the keys").click()
    page.get_by_label("Use single keys").check()
    press(page, "Escape", "Escape", "a")
    assert page.locator(".unplaced .chip").count() == 2


# ── what the browser asks for and gets ───────────────────────────────────────


def test_real_formulas_and_tables_make_no_error_either(server: Server, browser: Browser, sample: str) -> None:
    page = arrive(browser, server, sample, wait="dialog .submit")
    asked, errors = watched(page.context)
    page.locator("dialog .submit").click()
    for _ in range(5):
        page.locator("#prompt-title").wait_for()
        settled(page)
        onward(page, page.get_by_role("button", name="I cannot judge this").click)
    assert page.evaluate("performance.getEntriesByType('resource').some(e => /katex/.test(e.name))")
    assert [url for url in asked if not url.startswith((f"{server.url}/", "data:", "blob:"))] == []
    assert errors == []


@pytest.mark.parametrize("path", ["/", "/signin", "/join/nothing", "/api/me", "/ui/x/main.js", "/nothing-here"])
def test_every_answer_carries_the_policy(server: Server, browser: Browser, path: str) -> None:
    context = browser.new_context()
    headers = context.request.get(server.url + path, max_redirects=0).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "object-src 'none'" in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_the_policy_stops_what_it_forbids(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    page.evaluate("""window.stopped = [];
      document.addEventListener('securitypolicyviolation', e => stopped.push(e.effectiveDirective));
      new Image().src = 'http://example.invalid/x.png';
      fetch('http://example.invalid/').catch(() => {});
      const frame = document.createElement('iframe');
      frame.src = 'http://example.invalid/';
      document.body.append(frame);
    """)
    page.wait_for_function("stopped.length >= 3")
    assert set(page.evaluate("stopped")) == {"img-src", "connect-src", "frame-src"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_address_can_name_the_theme(server: Server, browser: Browser, theme: str) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name, color_scheme="light" if theme == "dark" else "dark")
    page.goto(f"{server.url}/?__theme={theme}#/p/{name}")
    page.locator("#prompt-title").wait_for()
    assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")


def test_nothing_of_the_framework_is_seen(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    expect(page).to_have_title(re.compile(r"(^|· )Concord$"))
    assert not re.search("gradio|hugging ?face", str(page.inner_text("body")), re.I)
    expect(page.locator("footer")).to_be_hidden()
    seen = page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(e => {
          const box = e.getBoundingClientRect();
          return !e.closest('.concord') && !e.querySelector('.concord') && box.width * box.height > 4
            && e.checkVisibility({opacityProperty: true, visibilityProperty: true});
        }).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert seen == []


def test_after_signing_out_the_back_button_shows_nothing_of_the_task(server: Server, browser: Browser) -> None:
    page = arrive(browser, server, project(server, rows(1)))
    press(page, "a")
    page.get_by_role("button", name="Sign out").click()
    with page.expect_navigation(url="**/signin*"):
        page.get_by_role("button", name="Sign out anyway").click()
    page.go_back()
    page.wait_for_load_state()
    page.locator("form").wait_for()  # sign-in again
    assert "answer 1 to q0" not in page.content()
    assert page.request.get(f"{server.url}/api/me").status == 401


def test_the_work_of_one_person_is_not_shown_to_the_next_in_the_same_browser(server: Server, browser: Browser) -> None:
    name = project(server, rows(1), overlap=2)
    page = arrive(browser, server, name)
    press(page, "b", "a")
    page.locator("#comment").fill("mine alone")
    link = add_person(server.store_url, "The next", [name])
    other = page.context.new_page()
    other.goto(f"{server.url}/join/{link}")
    other.locator("button[type=submit]").click()
    other.locator("#prompt-title").wait_for()
    expect(other.locator("#comment")).to_have_value("")
    assert other.locator(".unplaced .chip").count() == 3
    press(page, "Escape")
    page.locator("#prompt-title").focus()
    press(page, "c")
    expect(page.locator(".message")).to_contain_text("Somebody else signed in in this browser.")


def test_who_has_no_password_is_offered_one_before_their_link_is_lost(server: Server, browser: Browser) -> None:
    name = project(server, rows(1))
    page = arrive(browser, server, name)
    who = page.evaluate("fetch('/api/me').then(r => r.json()).then(me => me.person.name)")
    page.get_by_role("button", name="Sign out").click()
    sheet = page.get_by_role("dialog", name="Sign out")
    expect(sheet).to_contain_text("You have no password yet")
    sheet.get_by_label("New password").fill("short")
    press(page, "Enter")
    expect(sheet.get_by_role("status")).to_have_text("A password has at least 8 characters.")
    sheet.get_by_label("New password").fill("long enough for me")
    press(page, "Enter")
    expect(sheet).to_contain_text(f"You sign in by the name {who}.")
    with page.expect_navigation(url="**/signin*"):
        press(page, "Enter")
    page.locator("#name").fill(f"  {who.upper()} ")  # spelled otherwise, but nobody else's name
    page.locator("#password").fill("long enough for me")
    press(page, "Enter")
    page.locator("#prompt-title").wait_for()
    with page.expect_navigation(url="**/signin*"):  # now without a question
        page.get_by_role("button", name="Sign out").click()
