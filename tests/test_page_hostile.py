"""What a model may write and the page must bear: nothing runs, nothing loads, all is readable, work goes on."""

from typing import Any

import pytest
from hands import PHONE, arrive, kept, onward, press, project, submit, texts
from made import load
from playwright.sync_api import Browser, BrowserContext, Page, expect
from serving import Server, add_person, opened

from annotate import projects
from data.formats.rows import Row
from data.records import Message, Prompt, Response

RUN = "window.ran=1"
OUTSIDE = "http://outside.example/seen"

# Each text, and what of it one must be able to read on the page.
MARKUP = {
    f"before <script>{RUN}</script><script src={OUTSIDE}.js></script> after": ["before", "<script>", RUN, "after"],
    f'<img src=x onerror="{RUN}"><svg onload="{RUN}"><body onload={RUN}> <details open ontoggle={RUN}>pictures': [
        "onerror",
        "onload",
        "ontoggle",
        "pictures",
    ],
    f"[one](javascript:{RUN}) [two](data:text/html,<script>{RUN}</script>) <a href='javascript:{RUN}'>three</a> "
    f"[four](JaVaScRiPt&#58;{RUN}) <vbscript:x> [five](//outside.example) https://plain.example": [
        *("one", "two", "three", "four", "five"),
        "https://plain.example",
    ],
    f"<style>* {{ display: none !important }}</style><link rel=stylesheet href={OUTSIDE}.css> "
    f"<iframe src={OUTSIDE}></iframe><object data={OUTSIDE}></object><embed src={OUTSIDE}> framed": [
        "<style>",
        "<iframe",
        "<object",
        "framed",
    ],
    f'<form action="{OUTSIDE}"><input name=a value=b><button>Press me</button></form>'
    f"<meta http-equiv=refresh content='0;url={OUTSIDE}'><base href={OUTSIDE}> formed": ["<form", "Press me", "formed"],
    "sum ${7*7} and {{7+7}} and <%= 7+7 %> and `${7*7}` and \\u{zz} and {letter} {n} price $5 and $10": [
        "${7*7} and {{7+7}} and <%= 7+7 %> and ${7*7} and \\u{zz} and {letter} {n} price $5 and $10"
    ],
    f"![alt text]({OUTSIDE}.png) <img src={OUTSIDE}.gif> ![x][r] pictured\n\n[r]: {OUTSIDE}.svg 'title words'\n\n"
    f"![data](data:image/svg+xml,<svg onload={RUN}>)": ["alt text", f"{OUTSIDE}.gif", "pictured", "title words"],
    '<div class="submit" id="prompt-title" style="position:fixed;inset:0;z-index:99">over</div></div></article>'
    "</main><h1>not ours</h1><textarea>caught": ["over", "</article>", "not ours", "<textarea>", "caught"],
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}></style></table></mtext></math>"
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'> <plaintext> mutated": ["<mglyph>", "mutated"],
}
WORD = "w" * 10_000
LONG = "\n\n".join(f"Paragraph {n} says as much as the others, and then $x_{{{n}}}^2$ again." for n in range(3_200))
SIZES = {
    LONG: ["Paragraph 0 says", "Paragraph 3199 says"],
    f"start {WORD} end": ["start", "end"],
    "user\u202egnp.exe\u202c and zero\u200bwidth\u2066x\u2069 marks": [
        "user[U+202E]gnp.exe[U+202C]",
        "zero[U+200B]width",
    ],
    ">" * 3_000 + " deep down": ["deep down"],
    "\n".join("  " * n + f"- level {n}" for n in range(30)): ["level 0", "level 29"],
    r"a $\href{javascript:window.ran=1}{link}$ b $\includegraphics{http://outside.example/x.png}$ c "
    r"$\def\a{\a\a}\a$ d $\rule{9999em}{9999em}$ e $\htmlStyle{position:fixed}{f}$ g \(\unknown{x\) h": ["a", "h"],
    "مرحبا بالعالم، هذه إجابة عربية طويلة قليلا تقرأ من اليمين إلى اليسار.": ["مرحبا بالعالم"],
    "": ["(empty answer)"],
    "| a | b |\n|---|---|\n"
    + "| "
    + "c" * 400
    + " | "
    + "d" * 400
    + " |\n\n```python\n"
    + "x = 1; " * 200
    + "\n```\n\nafter": [
        "c" * 400,
        "after",
    ],
}


def hostile_row(key: str, prompt: str, answers: list[str]) -> Row:
    asked = Prompt.make([Message(role="user", content=prompt)])
    made = [
        Response.make(asked.id, [Message(role="assistant", content=text)], model=f"m{n}", import_key=key)
        for n, text in enumerate(answers)
    ]
    return Row(1, "rows, line 1", key, asked, made)


@pytest.fixture
def seen(browser: Browser, server: Server) -> "Seen":
    return Seen(browser, server)


class Seen:
    """Everything a context asked for, said on its console, or opened, from its first page on."""

    def __init__(self, browser: Browser, server: Server) -> None:
        self.browser = browser
        self.server = server
        self.faults: list[str] = []

    def new_context(self, **options: Any) -> BrowserContext:
        """A context like the browser's own, watched."""
        context = self.browser.new_context(**options)
        context.on("request", lambda r: self._asked(r.url))
        context.on("dialog", lambda d: (self.faults.append(f"dialog: {d.message}"), d.dismiss()))
        context.on("weberror", lambda e: self.faults.append(f"error: {e.error}"))
        context.on("console", lambda m: self.faults.append(f"console: {m.text}") if m.type == "error" else None)
        return context

    def _asked(self, url: str) -> None:
        if not url.startswith((self.server.url + "/", "data:", "blob:")):
            self.faults.append(f"request: {url}")

    def nothing(self, page: Page) -> None:
        """No text ran, loaded, opened or left anything alive; the policy had nothing to stop either."""
        assert page.evaluate("window.ran") is None
        assert self.faults == []
        assert len(page.context.pages) == 1
        assert page.frames == [page.main_frame]
        alive = "script, style, link, iframe, object, embed, form, input, button, img, svg, base, meta, textarea, [id]"
        shown = page.locator(".rendered")
        assert shown.count()
        assert (
            shown.evaluate_all(
                "(boxes, alive) => boxes.flatMap(b => [...b.querySelectorAll(alive)].filter(n => !n.closest('.katex')))"
                ".map(n => n.outerHTML.slice(0, 200))",
                alive,
            )
            == []
        )
        links = page.locator(".rendered a[href]").evaluate_all("all => all.map(a => [a.protocol, a.target, a.rel])")
        assert all(
            p in ("http:", "https:", "mailto:") and target == "_blank" and "noopener" in rel for p, target, rel in links
        ), links


def width(page: Page) -> int:
    """How far one could scroll the page to the side, in pixels."""
    return int(page.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"))


def read(page: Page, wanted: dict[str, list[str]]) -> None:
    """Each answer stands on the page: exact as its source, and readable as drawn."""
    by_text = {text: letter for letter, text in texts(page).items()}
    assert set(by_text) == set(wanted)
    for text, fragments in wanted.items():
        card = page.locator(f"#response-{by_text[text]}")
        card.scroll_into_view_if_needed()
        drawn = " ".join(card.locator(".turn").inner_text().split())
        for fragment in fragments:
            assert " ".join(fragment.split()) in drawn, (fragment, drawn[:500])


@pytest.mark.parametrize("wanted", [MARKUP, SIZES], ids=["markup", "sizes"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_hostile_answers_are_read_and_ranked(
    wanted: dict[str, list[str]], phone: bool, server: Server, seen: Seen
) -> None:
    answers = list(wanted)
    name = project(server, [hostile_row("h", "\n\n".join(answers[:3])[:50_000], answers)])
    page = arrive(seen, server, name, **(PHONE if phone else {}))  # type: ignore[arg-type]
    read(page, wanted)
    page.wait_for_timeout(300)  # what would run or load has had its time
    seen.nothing(page)
    assert width(page) == 0
    for card in page.locator(".response > .text:not(:has(.math))").all():  # a wide formula scrolls in its own card
        wide = card.evaluate("e => e.scrollWidth - e.clientWidth")
        assert wide <= 1, (wide, str(card.text_content())[:80])
    if phone:
        letters = list(texts(page))
        for row, letter in enumerate(letters):
            page.locator(f"#response-{letter} .place").nth(row).tap()
        onward(page, lambda: page.locator(".panel .submit").tap())
    else:
        press(page, *"abcdefghi")
        submit(page)
    expect(page.locator(".nothing h1")).to_be_visible()
    (judgment,) = kept(server, name)
    assert judgment["state"] == "counted"
    assert len(judgment["ranking"]) == 9
    assert seen.faults == []


def test_the_source_of_each_answer_is_exact(server: Server, seen: Seen) -> None:
    answers = [*list(MARKUP)[:5], *list(SIZES)[1:5]]
    name = project(server, [hostile_row("s", answers[0], answers)])
    page = arrive(seen, server, name)  # type: ignore[arg-type]
    for letter, text in texts(page).items():
        assert text in answers
        card = page.locator(f"#response-{letter}")
        card.locator("[data-source]").click()
        expect(card.locator(".exact")).to_be_visible()
        expect(card.locator(".rendered")).to_be_hidden()
    assert width(page) == 0
    seen.nothing(page)


def test_right_to_left_reads_from_the_right_and_invisible_characters_are_written_out(
    server: Server, seen: Seen
) -> None:
    arabic = next(text for text, shown in SIZES.items() if shown == ["مرحبا بالعالم"])
    name = project(server, [hostile_row("r", arabic, [arabic, "left to right"])], kind="ab")
    page = arrive(seen, server, name)  # type: ignore[arg-type]
    for letter, text in texts(page).items():
        direction = page.locator(f"#response-{letter} .rendered").evaluate("e => getComputedStyle(e).direction")
        assert direction == ("rtl" if text == arabic else "ltr")
    assert page.locator(".prompt .rendered").evaluate("e => getComputedStyle(e).direction") == "rtl"


def test_formulas_are_drawn_but_obey_nobody(server: Server, seen: Seen) -> None:
    tex = list(SIZES)[4]
    name = project(server, [hostile_row("k", tex, [tex, r"fine: $\frac{1}{2}$ and $$\sum_{i=1}^n i$$"])], kind="ab")
    page = arrive(seen, server, name)  # type: ignore[arg-type]
    page.locator(".response .katex .mfrac").first.wait_for()  # the honest one is drawn
    expect(page.locator(".response .math:not(:has(.katex, .katex-error))")).to_have_count(0)
    assert page.locator(".katex a, .katex img, .katex [style*=fixed]").count() == 0
    tall = page.locator(".response .math").evaluate_all(
        "all => Math.max(...all.map(e => e.getBoundingClientRect().height))"
    )
    assert tall < 1000
    assert width(page) == 0
    seen.nothing(page)


NAME = "<img src=x onerror=window.ran=1>{name}$&%"


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_names_with_html_are_shown_as_they_are(phone: bool, server: Server, seen: Seen) -> None:
    plain = project(server, [hostile_row("n", "question", ["one", "two"])])
    hostile = f"{NAME}{phone}"
    with opened(server.store_url) as store:
        load(store, [hostile_row("n", "question", ["one", "two"])], project=hostile, kind="ranking")
        with store.write() as tx:
            found = projects.find_project(tx, hostile)
            projects.change_settings(tx, found, {"title": "<b onclick=window.ran=1>Title" + "e" * 300})
            projects.set_guidelines(
                tx, found, {"en": f"# Hi <script>{RUN}</script>\n\n![x]({OUTSIDE}.png) [go](javascript:x)"}
            )
    link = add_person(server.store_url, f"{NAME} {phone}", [plain, hostile])
    page = seen.new_context(**(PHONE if phone else {})).new_page()
    page.goto(f"{server.url}/join/{link}")
    expect(page.get_by_role("heading")).to_contain_text(f"{NAME} {phone}")
    page.locator("button[type=submit]").click()
    expect(page.locator("h1")).to_contain_text(f"{NAME} {phone}")
    assert width(page) == 0
    page.locator("a.project", has_text="<b onclick").click()
    expect(page.get_by_role("dialog")).to_contain_text("<script>")
    page.locator("dialog .submit").click()
    page.locator("#prompt-title").wait_for()
    expect(page.locator(".home")).to_contain_text("<b onclick=window.ran=1>Title")
    assert width(page) == 0
    seen.nothing(page)
    for row in range(2):
        page.locator(".response .places").nth(row).locator(".place").nth(row).click()
    onward(page, lambda: page.locator(".panel .submit").click())
    assert [j["state"] for j in kept(server, hostile)] == ["counted"]
    page.goto(f"{server.url}/#/p/x/mine")
    page.go_back()
    assert seen.faults == []


@pytest.mark.parametrize(
    "place", ["#/p/%", "#/p/%E0%A4%A", "#/p/<img src=x onerror=window.ran=1>", "#javascript:x", "#/p//revise/x"]
)
def test_an_address_nobody_made_leads_to_the_projects(place: str, server: Server, seen: Seen) -> None:
    mine = [project(server, [hostile_row("a", "question", ["one", "two"])]) for _ in range(2)]
    context = seen.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/join/{add_person(server.store_url, f'Lost {mine[0]}', mine)}")
    page.locator("button[type=submit]").click()
    page.locator(".projects").wait_for()
    page.goto(f"{server.url}/{place}")
    page.reload()
    expect(page.locator("a.project")).to_have_count(2)
    seen_before = list(seen.faults)
    assert page.evaluate("window.ran") is None
    assert seen_before == []
