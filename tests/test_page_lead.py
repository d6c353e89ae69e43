"""A lead at work in a real browser: figures, a file in, pairs out, a person let in, a pause that annotators see."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hands import PHONE, arrive, press, project, submit, tab_to, texts
from made import rows
from playwright.sync_api import Browser, Page, Route, expect
from serving import Server, add_person, opened, served, sign_in
from test_page_access import outside, violations
from test_page_words import LATIN, OURS

from annotate import accounts, answers, assign, projects
from data.store import Tx


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(f"sqlite:///{tmp_path_factory.mktemp('lead')}/store.db") as running:
        yield running


@pytest.fixture(autouse=True)
def _leave(browser: Browser) -> Iterator[None]:
    yield
    for context in browser.contexts:
        context.close()


def lead(browser: Browser, server: Server, name: str, who: str, theme: str = "light", **context: Any) -> Page:
    """A lead at their project's page."""
    options = {"viewport": {"width": 1440, "height": 900}, "locale": "en-US", "accept_downloads": True, **context}
    made = browser.new_context(**options)
    made.add_cookies([{"name": "theme", "value": theme, "url": server.url}])
    page = sign_in(made, server.url, add_person(server.store_url, who, [name], ["en", "zh"], "admin"))
    page.goto(f"{server.url}/#/p/{name}/lead")
    page.locator(".people tbody tr").first.wait_for()
    return page


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with five tasks, one line that is no task, and a prompt that tries something."""
    lines = [{"prompt": f"new **{n}** <script>alert(1)</script>", "responses": ["x", "y"]} for n in range(5)]
    path = tmp_path / "more tasks.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\nno json\n", "utf-8")
    return path


def load_a_file(page: Page, file: Path) -> None:
    """A file is looked at, then loaded."""
    page.get_by_label("Choose a file").set_input_files(file)
    files = page.get_by_role("region", name="Files to load")
    load = files.get_by_role("button", name="Load 5 tasks")
    load.wait_for()
    files.get_by_text("Lines that cannot be used: 1").click()
    expect(files.locator(".rejects li")).to_contain_text("line 6")
    files.get_by_text("The first 3 prompts").click()
    expect(files.locator(".first .answer").first).to_have_text("new 0 <script>alert(1)</script>")
    assert violations(page) == []
    files.get_by_label("Kind of task").select_option("A or B")
    files.get_by_label("Answers per task").fill("3")
    files.get_by_label("Answers per task").press("Tab")
    expect(files).to_contain_text("A or B 5 · no language 5 · 15 answers needed")
    load.click()
    expect(files).to_contain_text("5 tasks loaded.")
    expect(page.get_by_role("region", name="Progress")).to_contain_text("0 of 9 tasks done")


def export_and_prove(page: Page, server: Server, tmp_path: Path) -> None:
    """Out again: one zip, which proves itself."""
    page.get_by_label("Pairs of each task").select_option("best-worst")
    page.get_by_role("button", name="Export").click()
    link = page.get_by_role("link", name="Download the zip file")
    link.wait_for(timeout=60_000)
    expect(page.get_by_role("region", name="Export")).to_contain_text("Pairs: 1 (1 for training, 0 for validation, 0")
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        packed.extractall(tmp_path / "out")
    folder = next((tmp_path / "out").iterdir())
    proof = subprocess.run(
        [sys.executable, "-m", "curate.verify", str(folder), "--store", server.store_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr


def pause_and_go_on(page: Page, annotator: Page) -> None:
    """A pause is asked twice, and seen by the annotator."""
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator(".badge")).to_have_text("Paused")
    expect(page.get_by_role("button", name="Go on")).to_be_focused()
    assert violations(page) == []
    annotator.reload()
    annotator.locator(".task, .nothing").wait_for()
    while annotator.locator(".task").count():  # what they hold already they may still do
        press(annotator, "a", "b", "c")
        submit(annotator)
    expect(annotator.get_by_role("heading", name="The project is paused")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("dialog").get_by_role("button", name="Go on").click()
    expect(page.locator(".badge")).to_have_text("Open")
    annotator.reload()
    annotator.locator("#prompt-title").wait_for()


def test_a_lead_walks_through_a_day_in_english(server: Server, browser: Browser, file: Path, tmp_path: Path) -> None:
    name = project(server, rows(4), overlap=2)
    annotator = arrive(browser, server, name)
    asked: list[str] = []
    annotator.on("request", lambda request: asked.append(request.url))
    press(annotator, "a", "b", "c")
    submit(annotator)
    expect(annotator.get_by_role("link", name="Project")).to_have_count(0)

    page = lead(browser, server, name, "Lea Desk")
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    expect(page.get_by_role("link", name="Project")).to_have_attribute("aria-current", "page")
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("0 of 4 tasks done")
    expect(progress).to_contain_text(re.compile(r"1 done · \d in work · \d open"))
    expect(progress).to_contain_text("answered 1")
    days = page.get_by_role("region", name="Answers per day")
    expect(days.get_by_role("img")).to_have_attribute("aria-label", re.compile("1 in the last 7 days, 1 at most"))
    days.get_by_text("As a table").click()
    expect(days.get_by_role("row")).to_have_count(8)
    expect(days).to_contain_text("Answers a day over the last 7 days: 1. At this pace the 7 that are left are done on")
    assert violations(page) == []
    load_a_file(page, file)
    export_and_prove(page, server, tmp_path)
    pause_and_go_on(page, annotator)
    assert not [url for url in asked if "/lead" in url]  # annotators never fetch what is the leads'
    assert wrong == []


def test_a_person_is_added_signs_in_is_looked_at_and_let_go(server: Server, browser: Browser) -> None:
    name = project(server, rows(3))
    page = lead(browser, server, name, "Lea Access")
    adding = page.get_by_role("button", name="Add a person")
    adding.click()
    sheet = page.get_by_role("dialog", name="Add a person")
    expect(sheet.get_by_label("Name")).to_be_focused()
    assert violations(page) == []
    page.keyboard.type("Nadia")
    sheet.get_by_label("Languages they read").fill("en, ar")
    press(page, "Enter")
    sheet = page.get_by_role("dialog", name="A sign-in link for Nadia")
    join = sheet.get_by_label("Sign-in link").input_value()
    assert join.startswith(f"{server.url}/join/")
    sheet.get_by_role("button", name="Copy the link").click()
    expect(sheet).to_contain_text("Copied.")
    assert violations(page) == []
    press(page, "Escape")
    row = page.get_by_role("row", name=re.compile("Nadia"))
    expect(row).to_contain_text("Link not used yet")

    nadia = sign_in(browser.new_context(locale="en-US"), server.url, join.rpartition("/")[2])
    nadia.locator("#prompt-title").wait_for()
    press(nadia, "c", "b", "a")
    submit(nadia)
    adding.click()
    page.get_by_role("dialog").get_by_label("Name").fill("Nadia")
    press(page, "Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("This person is in the project already.")
    press(page, "Escape")
    expect(adding).to_be_focused()

    row.get_by_role("link", name="Nadia").click()
    expect(page.get_by_role("heading", name="Nadia")).to_be_focused()
    expect(page.get_by_role("region", name="Work")).to_contain_text(re.compile("Done1.*Judgmentsanswered 1", re.S))
    expect(page.get_by_role("region", name="Latest answers").get_by_role("listitem")).to_have_count(1)
    assert violations(page) == []
    page.get_by_label("Role").select_option("Reviewer")
    expect(page.locator(".badge")).to_have_text("Reviewer")
    page.get_by_role("button", name="Deactivate").click()
    page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    expect(page.locator(".badge")).to_have_text("Deactivated")
    nadia.reload()
    expect(nadia.locator("form, .message")).to_be_visible()
    page.get_by_role("button", name="Let in again").click()
    page.get_by_role("dialog").get_by_role("button", name="New sign-in link").click()
    expect(page.locator("#join-link")).to_have_value(re.compile("/join/"))
    press(page, "Escape")
    expect(page.locator(".badge")).to_have_text("Reviewer")

    page.get_by_role("link", name="Back to the project").click()
    page.get_by_role("link", name="Lea Access").click()
    access = page.get_by_role("region", name="Access")
    expect(access).to_contain_text("You cannot change your own access.")
    expect(access.get_by_label("Role")).to_be_disabled()
    expect(access.get_by_role("button")).to_have_count(0)


def test_the_page_looks_again_without_moving_focus_or_scroll(server: Server, browser: Browser) -> None:
    name = project(server, rows(6), overlap=3)
    ana = arrive(browser, server, name)
    for n in range(4):
        add_person(server.store_url, f"{name} extra {n}", [name])
    made = browser.new_context(viewport={"width": 1000, "height": 500}, locale="en-US")
    page = sign_in(made, server.url, add_person(server.store_url, "Lea Watches", [name], role="admin"))
    page.clock.install()
    page.goto(f"{server.url}/#/p/{name}/lead")
    page.locator(".people tbody tr").first.wait_for()
    by_done = page.get_by_role("button", name="Done")
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    by_done.click()
    expect(page.get_by_role("columnheader", name="Done")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("columnheader", name="Name")).not_to_have_attribute("aria-sort", re.compile(".*"))
    link = page.get_by_role("link", name=f"{name} extra 2")
    link.focus()
    page.get_by_text("As a table").evaluate("summary => summary.parentElement.open = true")
    expect(page.locator(".part-progress")).not_to_contain_text("…")  # the figures are here
    page.evaluate("scrollTo(0, 300)")
    press(ana, "a", "b", "c")
    submit(ana)
    for _ in range(20):
        page.clock.run_for(31_000)
        if "1 done" in (page.locator(".part-progress").text_content() or ""):
            break
        page.wait_for_timeout(100)
    expect(page.locator(".part-progress")).to_contain_text("1 done")
    expect(page.locator(".people tbody tr").first).to_contain_text("Person")  # the one who did most stands first now
    expect(link).to_be_focused()
    assert page.evaluate("scrollY") == 300
    expect(page.locator(".part-days details")).to_have_attribute("open", "")
    by_done.click()
    expect(page.get_by_role("columnheader", name="Done")).to_have_attribute("aria-sort", "ascending")


def test_who_is_no_lead_is_told_so_at_the_address_itself(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    page = arrive(browser, server, name)
    page.goto(f"{server.url}/#/p/{name}/lead")
    expect(page.locator(".narrow")).to_contain_text("Only leads of this project can see this page.")
    assert violations(page) == []


# Latin words that belong into the Chinese page: file endings, abbreviations, names, codes.
FINE = set(
    LATIN.findall(
        "A B UTC MB JSON Lines jsonl json csv tsv parquet zip en zh English Concord Lea Phone Lin HH RLHF UltraFeedback"
        " Krippendorff Bradley Terry secret model"  # who measures are named after, and the models of the rows
    )
)


def test_a_lead_walks_through_it_in_chinese_on_a_phone_in_the_dark(
    server: Server, browser: Browser, file: Path
) -> None:
    name = project(server, rows(3), overlap=2)
    for _ in range(2):  # of one mind, whatever order each is shown: else there may be no pair to export
        annotator = arrive(browser, server, name)
        shown = texts(annotator)
        press(annotator, *(letter.lower() for letter in sorted(shown, key=lambda letter: shown[letter])))
        submit(annotator)
    page = lead(browser, server, name, "Lea Phone", "dark", **{**PHONE, "locale": "zh-CN", "color_scheme": "dark"})

    def look(where: str) -> None:
        assert violations(page) == [], where
        assert outside(page) == [], where
        ours = [text for text in page.evaluate(OURS) if not re.fullmatch("[0-9a-f]{16}", text)]  # but a digest
        assert not [text for text in ours if "⟦" in text], where
        known = FINE | {name, "Person", "more", "tasks", "line", "not", "no"}
        left = [text for text in ours if not {w for w in LATIN.findall(text) if w not in known} <= {name[0]}]
        assert [text for text in left if "JSON:" not in text] == [], where  # why a line is no task comes as it was said

    assert page.evaluate("document.body.classList.contains('dark')")
    expect(page.get_by_role("region", name="人员").get_by_role("row")).to_have_count(4)
    look("project")
    page.get_by_role("button", name="完成").tap()
    expect(page.get_by_role("columnheader", name="完成")).to_have_attribute("aria-sort", "descending")
    page.get_by_label("选择文件").set_input_files(file)
    page.get_by_role("button", name="导入 5 条任务").wait_for()
    page.get_by_text("1 行无法使用").tap()
    look("preview")
    page.get_by_role("button", name="导入 5 条任务").tap()
    expect(page.get_by_role("region", name="导入文件")).to_contain_text("已导入 5 条任务。")
    page.get_by_role("button", name="导出").tap()
    page.get_by_role("link", name="下载 zip 文件").wait_for(timeout=60_000)
    look("export")
    page.get_by_role("button", name="添加人员").tap()
    page.get_by_label("姓名").fill("Lin")
    look("add")
    page.get_by_role("dialog").get_by_role("button", name="添加人员").tap()
    page.locator("#join-link").wait_for()
    page.locator("#join-link").evaluate("field => field.value = ''")
    look("link")
    press(page, "Escape")
    page.get_by_role("button", name="暂停").tap()
    look("pause")
    page.get_by_role("dialog").get_by_role("button", name="暂停").tap()
    expect(page.locator(".badge")).to_have_text("已暂停")
    page.get_by_role("link", name="Lin").tap()
    page.get_by_role("button", name="停用").wait_for()
    look("person")


def test_the_figures_are_reached_with_the_keyboard_from_the_list_of_projects(server: Server, browser: Browser) -> None:
    one, two = project(server, rows(1)), project(server, rows(1))
    with opened(server.store_url) as store, store.write() as tx:
        link = accounts.add_person(tx, "Lea Keys", [one, two], "admin", ["en"])
    page = sign_in(browser.new_context(locale="en-US"), server.url, link)
    page.locator(".projects").wait_for()
    tab_to(page, f"a[href='#/p/{one}/lead']")
    press(page, "Enter")
    expect(page.get_by_role("heading", name=one, exact=True)).to_be_focused()
    tab_to(page, ".people thead button[data-column=week]")
    press(page, "Enter")
    expect(page.get_by_role("columnheader", name="7 days")).to_have_attribute("aria-sort", "descending")
    press(page, "s", "?")  # no key of the labelling page does anything here but the list of keys
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_measures_are_drawn_and_said_with_their_intervals(server: Server, browser: Browser) -> None:
    """Agreement, models and people, on a desk and on a phone, in both languages."""
    name = project(server, rows(24, answers=2), kind="ab", overlap=2)
    people = [add_person(server.store_url, f"{name} {who}", [name]) for who in ("Ana", "Ben")]
    with opened(server.store_url) as store:
        for n in range(24):
            for who in ("Ana", "Ben"):
                store.change(lambda tx, who=who, n=n: _judge(tx, name, f"{name} {who}", n))  # type: ignore[misc]
    assert people
    page = lead(browser, server, name, "Lea Measures")
    agreement = page.get_by_role("region", name="Agreement beyond chance")
    expect(agreement).to_contain_text("0.8")
    expect(agreement.locator("svg.interval circle").first).to_be_visible(timeout=60_000)
    expect(agreement.locator("li").first).to_contain_text("A or B")
    judges = page.get_by_role("region", name="How people judge")
    expect(judges.get_by_role("row")).to_have_count(3)
    expect(judges.get_by_role("columnheader")).to_have_text(
        ["Name", "Reliability", "With the majority of the others", "Preferred the first shown"]
    )
    expect(page.get_by_role("region", name="Strength of the models").get_by_role("listitem")).to_have_count(2)
    assert violations(page) == []
    assert outside(page) == []
    judges.get_by_role("link", name=f"{name} Ana").press("Enter")
    expect(page.get_by_role("region", name="Work")).to_contain_text("Reliability")
    expect(page.locator(".one-interval svg").first).to_be_visible()
    chinese = lead(browser, server, name, "Lea Reads", "dark", **PHONE, locale="zh-CN")
    expect(chinese.get_by_role("region", name="各人如何评判")).to_contain_text("可靠性")
    expect(chinese.get_by_role("region", name="模型强弱").get_by_role("listitem").first).to_contain_text("次比较")
    assert violations(chinese) == []
    assert outside(chinese) == []


def _judge(tx: Tx, name: str, person: str, number: int) -> None:
    """The person's next task: now and then the second one shown."""
    who = str(tx.value("SELECT id FROM people WHERE name = :name", name=person))
    lease = assign.claim(tx, projects.find_project(tx, name).id, who)
    assert lease
    first = sorted(lease.shown)[0]
    wanted = "A" if (lease.shown[0] == first) == (number % 4 > 0) else "B"
    answers.submit(tx, who, lease.token, {"verdict": "answered", "choice": wanted})


@pytest.mark.parametrize("where", ["tasks", "project", "person"])
def test_a_screen_that_takes_long_says_so_and_shows_no_empty_button_or_plot(
    server: Server, browser: Browser, where: str
) -> None:
    name = project(server, rows(2))
    page = lead(browser, server, name, "Lea Waits")
    here = f"#/p/{name}"
    person = page.locator(".people tbody a").first.get_attribute("href")
    page.goto(f"{server.url}/#/")
    held: list[Route] = []
    free: list[bool] = []
    page.route(re.compile("/next$|/lead/"), lambda route: route.continue_() if free else held.append(route))
    page.goto(f"{server.url}/{ {'tasks': here, 'project': here + '/lead', 'person': person}[where] }")
    page.locator(".concord.busy").wait_for()
    page.wait_for_function("getComputedStyle(document.querySelector('.concord'), '::before').visibility === 'visible'")
    assert [wrong for wrong in violations(page) if not wrong.startswith("page-has-heading-one")] == []
    assert page.locator("#main :is(button, .action, .plot):visible").count() == 0
    while not held:
        page.wait_for_timeout(20)
    free.append(True)
    for route in held:
        route.continue_()
    page.locator("#main :is(button, select):visible").first.wait_for()
    expect(page.locator(".concord.busy")).to_have_count(0)
    assert violations(page) == []


def test_nothing_on_the_page_moves_when_the_figures_come(server: Server, browser: Browser) -> None:
    name = project(server, rows(2))
    page = lead(browser, server, name, "Lea Looks")
    calm = "() => [...document.querySelectorAll('.part')].slice(0, 3).map(part => [part.offsetTop, part.offsetHeight])"
    expect(page.locator(".part-progress")).not_to_contain_text("…")

    def computing(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "figures": None, "computing": False})

    here = re.compile(f"/lead/{name}$")
    page.route(here, computing)
    page.reload()
    page.locator(".people tbody tr").first.wait_for()
    before = page.evaluate(calm)
    assert "…" in page.locator(".part-progress").inner_text()
    page.unroute(here)
    page.reload()
    expect(page.locator(".part-progress")).not_to_contain_text("…")
    assert page.evaluate(calm) == before
