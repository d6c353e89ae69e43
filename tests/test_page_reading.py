"""Aids to reading: differences, scrolling in step, folds, code, the prompt pinned, copying, the text's size."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT
from hands import CRITERIA, PHONE, arrive, onward, press, project, tab_to, texts
from playwright.sync_api import Browser, Page, Route, expect
from serving import Server

from data.formats.rows import Row
from data.records import Message, Prompt, Response

LINES = "\n\n".join(f"Line {n} is one of many that say much the same about the same thing." for n in range(80))
TALK = [
    *(("user", "first question"), ("assistant", "first answer"), ("user", "second question")),
    *(("assistant", "second answer"), ("user", "third question"), ("assistant", "third answer")),
    ("user", "the last question"),
]
ASKED = [("user", "What do you think?")]


def task(answers: Sequence[str], prompt: Sequence[tuple[str, str]] = ASKED, number: int = 1) -> Row:
    """A task with these answers to this dialogue."""
    asked = Prompt.make([Message(role=role, content=text) for role, text in prompt])  # type: ignore[arg-type]
    responses = [
        Response.make(asked.id, [Message(role="assistant", content=text)], model=f"m{n}", import_key=f"q{number}")
        for n, text in enumerate(answers)
    ]
    return Row(number, f"rows, line {number}", f"q{number}", asked, responses)


def at(browser: Browser, server: Server, *rows: Row, kind: str = "ab", context: Any = None, **wishes: Any) -> Page:
    """Somebody new at the first of these tasks, in a browser of their own."""
    return arrive(browser, server, project(server, rows, kind=kind, **wishes), **(context or {}))


def menu(page: Page) -> None:
    """Open the reading menu."""
    page.get_by_role("button", name="Reading", exact=True).click()
    expect(page.locator(".aids")).to_be_visible()


def switch(page: Page, name: str, on: bool = True) -> None:
    """Set a switch of the reading menu, and close it."""
    menu(page)
    page.locator(".aids").get_by_role("checkbox", name=name).set_checked(on)
    press(page, "Escape")
    expect(page.locator(".aids")).to_be_hidden()


def marked(page: Page) -> dict[str, list[str]]:
    """What is marked in each response, by its letter, piece by piece; formulas by their TeX."""
    found: dict[str, list[str]] = page.evaluate(
        """() => {
          const found = {};
          const put = (node, text) => (found[node.closest('.response').dataset.letter] ??= []).push(text);
          for (const highlight of CSS.highlights.values()) for (const r of highlight)
            put(r.startContainer.parentElement, r.startContainer.data.slice(r.startOffset, r.endOffset));
          for (const mark of document.querySelectorAll('.response :is(mark, .math.only)'))
            put(mark, mark.querySelector('annotation')?.textContent ?? mark.textContent);
          return found;
        }"""
    )
    return found


def said(page: Page) -> str:
    """What the comparison says, once it has compared what is chosen now."""
    expect(page.locator(".differ")).to_have_attribute("aria-busy", "false")
    line = page.locator(".differ [role=status]")
    return " ".join(line.inner_text().split())


def letters(page: Page) -> dict[str, str]:
    """The letter of each response by its exact text."""
    return {text: letter for letter, text in texts(page).items()}


# ── the differences themselves ───────────────────────────────────────────────

ALPHABET = [
    "a",
    "b",
    "c",
    "don’t",
    "3,214.5",
    " ",
    "  ",
    "\n",
    ",",
    ".",
    "—",
    "中",
    "文",
    "は",
    "สวั",
    "e\u0301",
    "👩‍👩‍👧",
    "🇨🇭",
    "_x",
]


@pytest.fixture
def diff(browser: Browser) -> Iterator[Page]:
    """A page with diff.js as `diff`, and `run(a, b, cap)`: what of a and of b is kept and how many are marked."""
    page = browser.new_context().new_page()
    code = b64encode((ROOT / "annotate" / "page" / "diff.js").read_bytes()).decode()
    page.evaluate(
        """async (code) => {
          window.diff = await import(`data:text/javascript;base64,${code}`);
          window.run = (a, b, cap) => {
            const work = diff.differences(a, b, cap);
            let step = work.next(), slices = 0;
            for (; !step.done; step = work.next()) slices++;
            const kept = (list, only) => list.filter((_, i) => !only[i]);
            const [left, right] = [kept(a, step.value.a), kept(b, step.value.b)];
            return {left, right, slices, onlyA: a.length - left.length, onlyB: b.length - right.length};
          };
        }""",
        code,
    )
    yield page
    page.close()


def random_texts(count: int, length: int) -> list[str]:
    """Texts of letters, words, spaces, signs and several scripts, the same ones every time."""
    rng = Random(7)
    return ["".join(rng.choices(ALPHABET, k=rng.randrange(length))) for _ in range(count)]


def test_tokens_joined_give_the_text_back_in_any_script(diff: Page) -> None:
    given = [*random_texts(400, 40), "", "\ud800", "a\r\n\u00a0b", "\ufffc"]
    assert diff.evaluate("texts => texts.map(t => diff.tokens(t).join(''))", given) == given
    by_hand = "text => diff.tokens(text, t => t.match(/\\P{M}\\p{M}*(?:\\u200d\\P{M}\\p{M}*)*|\\p{M}+/gu))"
    for text in given[:50]:
        assert "".join(diff.evaluate(by_hand, text)) == text  # where a browser has no Intl.Segmenter
    assert diff.evaluate("diff.tokens('I don’t pay 3,214.5 — 你好 สวัสดี e\u0301')") == [
        *("I", " ", "don’t", " ", "pay", " ", "3,214.5", " ", "—", " ", "你", "好", " "),
        *("ส", "วั", "ส", "ดี", " ", "e\u0301"),
    ]


def test_the_unmarked_words_are_the_same_in_both_and_as_many_as_can_be(diff: Page) -> None:
    """Also where the search is given up early: then fewer may be kept, but never different ones."""
    given = random_texts(600, 16)
    wrong = diff.evaluate(
        """texts => {
          const lcs = (a, b) => {
            let above = new Array(b.length + 1).fill(0);
            for (const x of a) {
              const here = [0];
              b.forEach((y, j) => here.push(x === y ? above[j] + 1 : Math.max(above[j + 1], here[j])));
              above = here;
            }
            return above[b.length];
          };
          const wrong = [];
          for (let i = 0; i + 1 < texts.length; i++) {
            const [a, b] = [diff.tokens(texts[i]), diff.tokens(texts[i + 1])];
            const [there, back] = [run(a, b), run(b, a)];
            const best = lcs(a, b);
            if (there.left.join() !== there.right.join() || there.left.length !== best) wrong.push([a, b, there]);
            if (there.onlyA !== back.onlyB || there.onlyB !== back.onlyA) wrong.push(['not symmetrical', a, b]);
            for (const cap of [1, 2, 3]) {
              const hasty = run(a, b, cap);
              if (hasty.left.join() !== hasty.right.join() || hasty.left.length > best) wrong.push([cap, a, b]);
            }
          }
          return wrong;
        }""",
        given,
    )
    assert wrong == []


def test_twenty_thousand_words_each_are_compared_in_many_small_slices(diff: Page) -> None:
    found = diff.evaluate(
        """() => {
          let seed = 5;
          const next = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
          const text = () => Array.from({length: 20000}, () => 'w' + Math.floor(3000 * next() ** 3));
          const [a, b] = [text(), text()];
          const {left, right, slices} = run(a, b);
          return {same: left.join() === right.join(), kept: left.length, slices};
        }"""
    )
    assert found["same"]
    assert found["kept"] > 1_000
    assert found["slices"] > 1_000


def test_a_length_counts_words_and_the_letters_of_unspaced_scripts(diff: Page) -> None:
    lengths = diff.evaluate(
        "['two words', '', '你好，世界', '用 GPU 训练', 'it’s 3.5', 'แมว'].map(t => Object.values(diff.measure(t)))"
    )
    assert lengths == [[2, False], [0, False], [4, True], [4, True], [2, False], [3, True]]


# ── differences on the page ──────────────────────────────────────────────────

ONE = (
    "The **quick** brown fox jumps. Then $x^2$ ends it.\n\n```python\nprint(1)\n```\n\n| a | b |\n|---|---|\n| c | d |"
)
TWO = "The quick red fox jumps over. Then $x^3$ ends it.\n\n```python\nprint(2)\n```\n\n| a | b |\n|---|---|\n| c | e |"


@pytest.mark.parametrize("highlights", [True, False], ids=["highlights", "elements"])
def test_differences_are_marked_in_both_texts_and_nothing_else_changes(
    server: Server, browser: Browser, highlights: bool
) -> None:
    page = at(browser, server, task([ONE, TWO]))
    page.locator(".katex").first.wait_for()
    if not highlights:
        page.evaluate("delete window.Highlight")
    look = """() => [...document.querySelectorAll('.response .text')].map(
      box => [box.innerText, box.scrollHeight, ...[...box.querySelectorAll('p')].map(p => p.offsetWidth)])"""
    html = "() => [...document.querySelectorAll('.response .rendered')].map(box => box.innerHTML)"
    before, code = page.evaluate(look), page.evaluate(html)
    page.evaluate("window.nodes = [...document.querySelectorAll('.response p')].map(p => p.firstChild)")
    press(page, "w")
    by = letters(page)
    one, two = by[ONE], by[TWO]
    counts = {one: "Words only in {}: 4", two: "Words only in {}: 5"}
    assert said(page) == " ".join(counts[letter].format(letter) for letter in "AB")
    assert {letter: sorted(pieces) for letter, pieces in marked(page).items()} == {
        one: ["1", "brown", "d", "x^2"],
        two: ["2", "e", "over", "red", "x^3"],
    }
    assert page.evaluate(look) == before
    expect(page.locator(".differ")).to_have_attribute("role", "group")
    page.locator("#response-A [data-source]").click()  # what is shown is what is compared
    page.wait_for_function(
        "document.querySelector('.exact mark') || [...CSS.highlights.values()].some("
        "marks => [...marks].some(range => range.startContainer.parentElement.closest('.exact')))"
    )
    page.locator("#response-A [data-source]").click()
    press(page, "w")
    expect(page.locator(".differ")).to_be_hidden()
    assert page.evaluate(html) == code
    assert page.evaluate("nodes.every(node => node.isConnected)")
    assert marked(page) == {}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["Same words.", "Same words."], "A and B are identical."),
        (["Same *words* here.", "Same words\n\nhere."], "the same words; only layout or spacing differs."),
        (["Yes, same words.", "Yes: same words!"], "the same words; only punctuation differs."),
        (["word " * 80_001, "other " * 80_001], "A and B are too long to compare word by word."),
    ],
    ids=["identical", "layout", "signs", "long"],
)
def test_what_is_no_difference_in_words_is_said_so(
    server: Server, browser: Browser, answers: list[str], words: str
) -> None:
    page = at(browser, server, task(answers))
    switch(page, "Mark differences")
    assert said(page).endswith(words)
    page.get_by_role("button", name="Stop marking differences").click()
    expect(page.locator(".differ")).to_be_hidden()
    expect(page.locator(".note")).to_have_text("Differences are no longer marked.")
    assert page.evaluate("document.activeElement.id") == "prompt-title"  # the focus is not lost with the button


def test_until_a_newly_chosen_pair_is_compared_the_bar_is_busy(server: Server, browser: Browser) -> None:
    page = at(browser, server, task([f"text number{n}" for n in range(3)]), kind="ranking")
    press(page, "w")
    before = said(page)
    at_once = page.evaluate(
        """() => {
          const other = document.querySelectorAll('.differ select')[1];
          other.value = 'C';
          other.dispatchEvent(new Event('change'));
          return other.closest('.differ').ariaBusy;
        }"""
    )
    assert (before, at_once) == ("Words only in A: 1 Words only in B: 1", "true")
    assert said(page) == "Words only in A: 1 Words only in C: 1"


def test_chinese_is_compared_by_character_on_a_phone(server: Server, browser: Browser) -> None:
    one, two = "机器从数据中学习规律。", "机器从数据中学习模式。"
    page = at(browser, server, task([one, two]), context={**PHONE, "locale": "zh-CN"})
    page.get_by_role("button", name="阅读", exact=True).tap()
    page.get_by_role("checkbox", name="标出差异").check()
    press(page, "Escape")
    by = letters(page)
    expect(page.locator(".differ-said")).to_have_text(re.compile("仅 A 有的字：2 ?仅 B 有的字：2"))
    assert marked(page) == {by[one]: ["规律"], by[two]: ["模式"]}
    bar, panel = page.locator(".differ").bounding_box(), page.locator(".panel").bounding_box()
    assert bar
    assert panel
    assert bar["y"] + bar["height"] <= panel["y"]  # not below what lies at the bottom


def test_in_a_ranking_the_chosen_response_is_compared_with_its_neighbour_or_with_one_that_is_picked(
    server: Server, browser: Browser
) -> None:
    page = at(browser, server, task([f"text number{n}" for n in range(4)]), kind="ranking")
    first, second = page.get_by_label("Response to compare"), page.get_by_label("Compare it with")

    def pair() -> str:
        return f"{first.input_value()}{second.input_value()}"

    press(page, "w")
    assert pair() == "AB"  # nothing is chosen yet
    press(page, "b", "d", "a")  # ranked: B, D, A
    expect(first).to_have_value("A")
    assert pair() == "AD"  # directly above
    press(page, "b")
    expect(first).to_have_value("B")
    assert pair() == "BD"  # nothing above: directly below
    page.locator("[data-chip=C] .handle").click()
    expect(first).to_have_value("C")
    assert pair() == "CD"  # not ranked: the next
    second.select_option("A")
    press(page, "Escape")
    page.locator("[data-chip=B] .handle").click()
    expect(first).to_have_value("B")
    assert pair() == "BA"  # what was picked stays
    assert said(page) == "Words only in B: 1 Words only in A: 1"
    assert sorted(marked(page)) == ["A", "B"]
    first.select_option("A")
    assert pair()[0] == "A"
    assert pair()[1] != "A"


def test_long_answers_leave_the_page_alive_while_they_are_compared(server: Server, browser: Browser) -> None:
    rng = Random(3)
    words = [f"word{n}" for n in range(4_000)]
    long = [" ".join(rng.choices(words, k=20_000)) for _ in range(2)]
    page = at(browser, server, task(long))
    page.evaluate(
        """() => {
          window.beats = 0;
          const line = document.querySelector('.differ-said');
          const beat = () => /\\d/.test(line.textContent) || (window.beats++, setTimeout(beat));
          beat();
        }"""
    )
    press(page, "w")
    expect(page.locator(".differ-said")).to_have_text(re.compile(r"only in A: 1\d,\d{3}"), timeout=30_000)
    assert page.evaluate("beats") > 5  # other work had its turn in between


# ── scrolling in step ────────────────────────────────────────────────────────


def at_shares(page: Page, *wanted: float) -> None:
    """Wait until each answer is scrolled by this share of how far it can be, and all rest there."""
    page.wait_for_function(
        """wanted => [...document.querySelectorAll('.text')].every(
          (b, n) => Math.abs(b.scrollTop / (b.scrollHeight - b.clientHeight) - wanted[n]) <= 0.01)""",
        arg=wanted,
    )
    still(page)
    assert page.evaluate(
        "() => [...document.querySelectorAll('.text')].map(b => b.scrollTop / (b.scrollHeight - b.clientHeight))"
    ) == pytest.approx(wanted, abs=0.01)


def still(page: Page) -> None:
    """Wait for two frames in which nothing scrolls."""
    page.evaluate(
        """() => new Promise(done => {
          const places = () => [...document.querySelectorAll('.text')].map(b => b.scrollTop).join();
          let last = '', same = 0;
          const look = () => { const now = places(); same = now === last ? same + 1 : 0; last = now;
            same > 2 ? done() : requestAnimationFrame(look); };
          look();
        })"""
    )


def test_answers_scroll_in_step_when_asked_and_keep_doing_so(server: Server, browser: Browser) -> None:
    rows = [task([LINES, LINES * 3, LINES * 2], number=n) for n in (1, 2)]
    page = at(browser, server, *rows, kind="ranking")
    scroll = """share => { const b = document.querySelector('#text-A');
      b.scrollTop = share * (b.scrollHeight - b.clientHeight) }"""
    page.evaluate(scroll, 0.5)
    at_shares(page, 0.5, 0, 0)  # off by default
    press(page, "y")
    expect(page.locator(".note")).to_have_text("Responses scroll together.")
    page.evaluate(scroll, 0.25)
    at_shares(page, 0.25, 0.25, 0.25)
    page.locator("#text-B").focus()
    press(page, "End")  # by the keyboard, in another one
    at_shares(page, 1, 1, 1)
    page.evaluate(
        "() => { window.events = 0; document.addEventListener('scroll', () => window.events++, true);"
        " document.querySelector('#text-C').scrollTop = 0 }"
    )
    at_shares(page, 0, 0, 0)
    assert page.evaluate("events") <= 3  # one for each: none answers another
    page.locator("#prompt-title").focus()
    onward(page, page.get_by_role("button", name="I cannot judge this").click)
    page.evaluate(scroll, 0.5)
    at_shares(page, 0.5, 0.5, 0.5)  # remembered
    press(page, "y")
    expect(page.locator(".note")).to_have_text("Responses scroll one by one.")


def test_on_a_phone_nothing_scrolls_in_step_and_the_menu_does_not_offer_it(server: Server, browser: Browser) -> None:
    page = at(browser, server, task([LINES, LINES * 2]), context=PHONE)
    menu(page)
    expect(page.get_by_label("Scroll responses together")).to_be_hidden()
    press(page, "Escape", "y")
    expect(page.locator(".note")).to_contain_text("here none of them scrolls")


# ── folds ────────────────────────────────────────────────────────────────────


def test_a_long_answer_is_folded_with_its_length_and_unfolds_for_this_task(server: Server, browser: Browser) -> None:
    rows = [task([LINES, "Short. " * (n + 1)], number=n) for n in (1, 2)]
    page = at(browser, server, *rows)
    by = letters(page)
    long = page.locator(f"#response-{by[LINES]}")
    short = page.locator(f"#response-{'B' if by[LINES] == 'A' else 'A'}")
    button = long.locator(".fold")
    expect(button).to_have_text("Show all (1,200 words)")  # 80 lines of 15
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(long.locator(".length")).to_have_text("1,200 words")
    expect(short.locator(".fold")).to_be_hidden()
    text = long.locator(".text")
    assert text.evaluate("b => b.clientHeight <= innerHeight * .6 && b.scrollHeight > b.clientHeight")
    text.evaluate("b => b.scrollTop = 99999")
    expect(text).to_have_class(re.compile("at-end"))  # the fade is gone where the end is in sight
    button.focus()
    press(page, "Enter")
    expect(button).to_have_text("Fold")
    expect(button).to_have_attribute("aria-expanded", "true")
    assert text.evaluate("b => b.scrollHeight - b.clientHeight") == 0
    page.reload()
    page.locator("#prompt-title").wait_for()
    expect(button).to_have_text("Show all (1,200 words)")
    button.click()
    button.scroll_into_view_if_needed()
    before = button.bounding_box()
    button.click()
    after = button.bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 3 or page.evaluate("scrollY") == 0  # one stays where one was
    button.click()
    onward(page, page.get_by_role("button", name="I cannot judge this").click)
    expect(page.locator(".fold:visible")).to_have_text("Show all (1,200 words)")
    switch(page, "Never fold long texts")
    expect(page.locator(".fold:visible")).to_have_count(0)
    assert page.locator(".text").evaluate_all("all => all.every(b => b.scrollHeight === b.clientHeight)")
    page.reload()
    page.locator("#prompt-title").wait_for()
    expect(page.locator(".fold:visible")).to_have_count(0)  # a setting, so remembered


def test_on_a_phone_a_folded_answer_opens_for_what_is_found_in_it(server: Server, browser: Browser) -> None:
    last = f"{LINES}\n\n[the last link](https://example.com)"
    page = at(browser, server, task([last, "机器学习。" * 400]), context=PHONE)
    by = letters(page)
    text, button = page.locator(f"#text-{by[last]}"), page.locator(f"#response-{by[last]} .fold")
    expect(page.locator(f"#response-{'B' if by[last] == 'A' else 'A'} .fold")).to_have_text(
        "Show all (1,600 characters)"
    )
    assert text.evaluate("b => getComputedStyle(b).overflowY") == "hidden"
    page.get_by_role("link", name="the last link").focus()
    expect(button).to_have_attribute("aria-expanded", "true")
    assert text.evaluate("b => b.scrollTop === 0 && b.scrollHeight === b.clientHeight")
    assert page.get_by_role("link", name="the last link").evaluate(
        "a => { const box = a.getBoundingClientRect(); return box.top > 0 && box.bottom < innerHeight }"
    )


def test_the_earlier_turns_of_a_dialogue_are_folded_and_stay_findable(server: Server, browser: Browser) -> None:
    page = at(browser, server, task(["one", "two"], TALK), task(["one", "two"], TALK[:3], 2))
    prompt = page.locator(".prompt")
    button = prompt.get_by_role("button", name="Show 4 earlier turns")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(prompt.get_by_text("the last question").first).to_be_visible()
    assert prompt.inner_text().count("question") == 2
    earlier = prompt.locator("#earlier-turns")
    assert earlier.evaluate("box => box.hidden") == "until-found"
    assert earlier.evaluate("box => getComputedStyle(box).contentVisibility") == "hidden"
    earlier.dispatch_event("beforematch")  # what the browser's own search sends
    folded = prompt.get_by_role("button", name="Fold 4 earlier turns")
    expect(folded).to_have_attribute("aria-expanded", "true")
    assert prompt.inner_text().count("question") == 4
    folded.click()
    expect(button).to_be_visible()
    onward(page, page.get_by_role("button", name="I cannot judge this").click)
    expect(page.locator(".fold-turns")).to_have_count(0)  # three turns are not many


# ── code, the pinned prompt, size ────────────────────────────────────────────


def test_code_is_wrapped_or_scrolled_by_choice(server: Server, browser: Browser) -> None:
    code = "```python\n" + "x = 1; " * 60 + "\n```"
    page = at(browser, server, task([code, code + "\n\nend"]))
    sideways = "all => all.map(box => box.scrollWidth > box.clientWidth)"
    boxes = page.locator(".text .scroll")
    assert boxes.evaluate_all(sideways) == [True, True]
    switch(page, "Wrap long lines of code")
    assert boxes.evaluate_all(sideways) == [False, False]
    page.reload()
    page.locator("#prompt-title").wait_for()
    assert boxes.evaluate_all(sideways) == [False, False]
    page.set_viewport_size({"width": 390, "height": 844})
    assert boxes.evaluate_all(sideways) == [False, False]
    switch(page, "Wrap long lines of code", on=False)
    assert boxes.evaluate_all(sideways) == [True, True]


@pytest.mark.parametrize("context", [{}, PHONE], ids=["desk", "phone"])
def test_the_pinned_prompt_stays_in_sight_and_covers_nothing_that_has_the_focus(
    server: Server, browser: Browser, context: dict[str, Any]
) -> None:
    prompt = [("user", "\n\n".join(f"Condition {n} of the question." for n in range(40)))]
    answers = [f"{n} {LINES[:2000]} [link {n}](https://example.com/{n})" for n in range(4)]
    page = at(browser, server, task(answers, prompt), kind="rating", criteria=CRITERIA, context=context)
    switch(page, "Keep the prompt in view")
    page.reload()
    page.locator("#prompt-title").wait_for()
    page.evaluate("scrollTo(0, 900)")
    page.wait_for_function("scrollY > 800")
    box = page.locator(".prompt").bounding_box()
    height = page.evaluate("innerHeight")
    assert box
    assert 0 <= box["y"] < 70
    assert box["height"] <= height / 3 + 1
    assert page.locator(".turns").evaluate("b => b.scrollHeight > b.clientHeight")  # it scrolls inside
    page.evaluate("scrollTo(0, 0)")
    page.locator("#prompt-title").focus()
    hidden = """() => {
      const e = document.activeElement, box = e.getBoundingClientRect();
      if (e === document.body || e.closest('.prompt, .panel, .top, .differ, .skip-link')) return null;
      const over = document.querySelector('.prompt').getBoundingClientRect().bottom;
      const panel = document.querySelector('.panel');
      const under = getComputedStyle(panel).position === 'fixed' ? panel.getBoundingClientRect().top : innerHeight;
      const seen = e.type === 'radio' ? e.closest('label').getBoundingClientRect() : box;
      const fits = seen.top >= over - 1 && seen.bottom <= under + 1;
      const larger = seen.height > under - over && seen.top < under - 24 && seen.bottom > over + 24;
      return fits || larger
        ? null : `${e.outerHTML.slice(0, 80)} ${seen.top} ${seen.bottom} in ${over} ${under}`;
    }"""
    covered = []
    for key in ["Tab"] * 60 + ["Shift+Tab"] * 60:
        press(page, key)
        if found := page.evaluate(hidden):
            covered.append(f"{key}: {found}")
    assert covered == []
    press(page, "d")  # a chosen response comes into sight below the prompt
    assert page.locator("#response-D").evaluate(
        "card => card.getBoundingClientRect().top >= document.querySelector('.prompt').getBoundingClientRect().bottom"
    )


def test_a_low_window_has_no_pinned_prompt(server: Server, browser: Browser) -> None:
    page = at(browser, server, task([LINES, "short"]), context={"viewport": {"width": 800, "height": 400}})
    switch(page, "Keep the prompt in view")
    assert page.locator(".prompt").evaluate("box => getComputedStyle(box).position") == "static"


@pytest.mark.parametrize("context", [{}, PHONE], ids=["desk", "phone"])
def test_the_text_grows_and_shrinks_in_steps_and_says_so(
    server: Server, browser: Browser, context: dict[str, Any]
) -> None:
    page = at(browser, server, task(["Some text `code`.", "Other text."]), context=context)
    size = "() => parseFloat(getComputedStyle(document.querySelector('.text p')).fontSize)"
    assert page.evaluate(size) == 16
    menu(page)
    larger, smaller = page.get_by_role("button", name="Larger text"), page.get_by_role("button", name="Smaller text")
    for percent in (115, 130, 150, 150):
        larger.press("Enter")  # the last time it is at its end, and says so
        expect(page.locator(".aids .size")).to_have_text(f"{percent}%")
    assert page.evaluate(size) == 24
    expect(larger).to_have_attribute("aria-disabled", "true")
    assert page.evaluate(
        "[...document.querySelectorAll('[role=status]')].some(s => s.textContent === 'Text size 150%')"
    )
    page.reload()
    page.locator("#prompt-title").wait_for()
    assert page.evaluate(size) == 24
    menu(page)
    for _ in range(5):
        smaller.press("Enter")
    expect(page.locator(".aids .size")).to_have_text("85%")
    assert page.evaluate(size) == pytest.approx(13.6)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_settings_that_cannot_be_read_are_as_if_they_were_not_there(server: Server, browser: Browser) -> None:
    page = at(browser, server, task(["one", "two"]))
    for held in ("{", "[]", "null", '{"size": 7, "pin": "yes", "wrap": true}'):
        page.evaluate("held => localStorage.setItem('concord:reading', held)", held)
        page.reload()
        page.locator("#prompt-title").wait_for()
        assert page.locator(".task").evaluate("task => task.style.getPropertyValue('--size')") == "1"
        expect(page.locator(".task.pinned")).to_have_count(0)
    expect(page.locator(".task.wrap-code")).to_have_count(1)


# ── formulas ─────────────────────────────────────────────────────────────────


def test_a_formula_is_drawn_when_its_style_and_fonts_are_there_and_moves_the_page_once(
    server: Server, browser: Browser
) -> None:
    page = at(browser, server, task(["one", "two"]), task([ONE, TWO], number=2))
    held: dict[str, list[Route]] = {"js": [], "css": [], "woff2": []}
    page.context.route(
        re.compile("/katex[^/]*$", re.I), lambda route: held[route.request.url.split(".")[-1]].append(route)
    )

    def let_through(kind: str, count: int) -> None:
        while len(held[kind]) < count:
            page.wait_for_timeout(20)
        for route in held[kind]:
            route.continue_()

    onward(page, page.get_by_role("button", name="I cannot judge this").click)
    formulas, drawn = page.locator(".response .math"), page.locator(".response .katex")
    let_through("js", 1)
    page.evaluate(
        "import(document.querySelector('.concord').dataset.katex).then(() => new Promise(requestAnimationFrame))"
    )
    assert sorted(formulas.all_inner_texts()) == ["x^2", "x^3"]
    let_through("css", 1)
    for _ in range(20):
        assert drawn.count() == 0
        assert sorted(formulas.all_inner_texts()) == ["x^2", "x^3"]
    let_through("woff2", 4)
    expect(drawn).to_have_count(2)
    look = "() => [...document.querySelectorAll('.response .text')].map(box => [box.scrollHeight, box.innerText])"
    first = page.evaluate(look)
    page.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame))")
    assert page.evaluate(look) == first


@pytest.mark.parametrize("kind", ["js", "css"])
def test_without_their_style_or_module_formulas_stay_as_they_were_written(
    server: Server, browser: Browser, kind: str
) -> None:
    page = at(browser, server, task(["one", "two"]), task([ONE, TWO], number=2))
    page.context.route(re.compile(f"/katex[^/]*[.]{kind}$"), lambda route: route.abort())
    with page.expect_event("requestfailed"):
        onward(page, page.get_by_role("button", name="I cannot judge this").click)
    page.evaluate("new Promise(requestAnimationFrame)")
    assert sorted(page.locator(".response .math").all_inner_texts()) == ["x^2", "x^3"]


# ── copying ──────────────────────────────────────────────────────────────────


def test_copy_gives_the_exact_source_and_selects_it_where_the_clipboard_is_refused(
    server: Server, browser: Browser
) -> None:
    exact = "# Title\n\n  *kept*  as `it` is\t\u202e—\n\n```\ncode\n```\n"
    page = at(
        browser,
        server,
        task([exact, "other"], TALK[:3]),
        context={"permissions": ["clipboard-read", "clipboard-write"]},
    )
    letter = letters(page)[exact]
    button = page.get_by_role("button", name=f"Copy response {letter}")
    held = "() => navigator.clipboard.readText()"
    button.click()
    page.wait_for_function("[...document.querySelectorAll('[role=status]')].some(s => s.textContent === 'Copied')")
    expect(button).to_have_class(re.compile("done"))
    assert page.evaluate(held) == exact
    page.get_by_role("button", name="Copy the prompt").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('question'))")
    assert page.evaluate(held) == "User:\nfirst question\n\nAssistant:\nfirst answer\n\nUser:\nsecond question"
    # As on a plain http address, where there is no clipboard: the older way gives the same.
    page.evaluate(
        "window.door = navigator.clipboard; Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    button.click()
    page.wait_for_function("exact => door.readText().then(text => text === exact)", arg=exact)
    # And where that is refused too, the text is there to be copied by hand.
    page.evaluate("document.execCommand = () => false")
    button.click()
    expect(page.locator(f"#response-{letter} .exact")).to_be_visible()
    assert page.evaluate("getSelection().getRangeAt(0).toString()") == exact
    assert page.evaluate("[...document.querySelectorAll('[role=status]')].some(s => /selected/.test(s.textContent))")


# ── the menu ─────────────────────────────────────────────────────────────────


def test_the_menu_is_worked_by_keyboard_and_its_keys_leave_typing_alone(server: Server, browser: Browser) -> None:
    page = at(browser, server, task([LINES, LINES + " end", "short", "shorter"]), kind="ranking")
    place = page.evaluate("scrollTo(0, 9999), scrollY")
    assert place > 50
    press(page, "r")
    expect(page.locator(".aids")).to_be_visible()
    assert page.evaluate("scrollY") == place  # one stays at what one reads
    expect(page.get_by_role("button", name="Reading", exact=True)).to_have_attribute("aria-expanded", "true")
    assert page.evaluate("document.activeElement.closest('.aids') !== null")
    tab_to(page, ".aid-pin input")
    press(page, "Space")
    expect(page.locator(".task.pinned")).to_have_count(1)
    press(page, "w")
    expect(page.get_by_role("checkbox", name="Mark differences")).to_be_checked()
    press(page, "Escape")
    expect(page.locator(".aids")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "prompt-title"  # back where the focus was
    page.locator("#comment").fill("")
    page.locator("#comment").focus()
    page.keyboard.type("wry")
    expect(page.locator("#comment")).to_have_value("wry")
    expect(page.locator(".differ")).to_be_visible()
    expect(page.locator(".aids")).to_be_hidden()
    page.locator("#prompt-title").focus()
    press(page, "?")
    expect(page.locator(".keytables")).to_contain_text("Mark what differs between two responses")


LOOKS = [("light", "en-US", {}), ("dark", "zh-CN", PHONE), ("dark", "en-US", {}), ("light", "zh-CN", PHONE)]


@pytest.mark.parametrize(("theme", "locale", "context"), LOOKS, ids=["desk", "phone-dark", "desk-dark", "phone"])
def test_axe_finds_nothing_with_every_aid_in_use(
    server: Server, browser: Browser, theme: str, locale: str, context: dict[str, Any]
) -> None:
    code = f"{LINES}\n\n```python\ndef f(x): return x  # one\n```"
    row = task([code, code.replace("many", "several").replace("one", "two"), "short"], TALK)
    page = at(browser, server, row, kind="ranking", context={**context, "color_scheme": theme, "locale": locale})
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

    def look() -> list[str]:
        found = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response["violations"]
        return [
            f"{rule['id']}: {node['target']} {node.get('failureSummary')}" for rule in found for node in rule["nodes"]
        ]

    press(page, "w", "r")
    expect(page.locator(".aids")).to_be_visible()
    page.locator(".aid-pin input").check()
    expect(page.locator(".differ-said .only")).to_have_count(2)
    assert look() == []
    small = page.locator(".aids :is(button, label), .differ :is(button, select), .copy, .fold:visible").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map(e => [e.className, e.offsetWidth, e.offsetHeight])"
        ".filter(([, width, height]) => width < 24 || height < 24)"
    )
    assert small == []
    press(page, "Escape")
    assert look() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_marks_are_read_in_both_themes_and_differ_by_more_than_colour() -> None:
    """Contrast of text on each mark at least 4.5, of its line at least 3; one line solid, the other dotted."""
    style = (ROOT / "annotate" / "page" / "board.css").read_text("utf-8")
    for block in re.findall(r"(?m)^(?:\.dark )?\.concord \{(.*?)^\}", style, re.S)[:2]:
        colours = dict(re.findall(r"(--[\w-]+): (#\w{6})", block))
        for side in ("--first", "--second"):
            assert contrast(colours["--text"], colours[f"{side}-soft"]) >= 4.5
            assert contrast(colours[side], colours[f"{side}-soft"]) >= 3
            assert contrast(colours[side], colours["--card"]) >= 3
    marks = (ROOT / "annotate" / "page" / "reading.css").read_text("utf-8")
    assert re.search(r"only-first\).*underline solid", marks)
    assert re.search(r"only-second\).*underline dotted", marks)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG has it, from 1 to 21."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_finger_on_a_folded_answer_moves_the_page(server: Server, browser: Browser) -> None:
    page = at(browser, server, task([LINES, LINES + " More."]), context=PHONE)
    box = page.locator("#response-A .text.folded").bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)
    x, y = box["x"] + 60, box["y"] + 150
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 11):
        moved = {"x": x, "y": y - step * 15}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [moved]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("window.scrollY > 60")


def test_a_tap_that_closes_the_menu_presses_nothing_else(server: Server, browser: Browser) -> None:
    page = at(browser, server, task(["one", "two"]), context=PHONE)
    page.get_by_role("button", name="Reading", exact=True).tap()
    page.locator("#reading-aids").wait_for()
    page.get_by_role("button", name="Settings").tap()
    expect(page.locator("#reading-aids")).to_be_hidden()
    page.wait_for_timeout(300)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Settings").tap()
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_a_slow_press_that_closes_the_menu_presses_nothing_else(server: Server, browser: Browser) -> None:
    page = at(browser, server, task(["one", "two"]))
    page.get_by_role("button", name="Reading", exact=True).click()
    page.locator("#reading-aids").wait_for()
    page.get_by_role("button", name="Settings").hover()
    page.mouse.down()
    page.wait_for_timeout(900)
    page.mouse.up()
    expect(page.locator("#reading-aids")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_a_tap_right_after_the_menu_opened_presses_nothing_else(server: Server, browser: Browser) -> None:
    page = at(browser, server, task(["one", "two"]))
    # A browser tells of an opened menu in a task of its own, which may come after the next tap: here it never comes.
    page.evaluate("() => addEventListener('toggle', (event) => event.stopImmediatePropagation(), true)")
    page.get_by_role("button", name="Reading", exact=True).click()
    page.locator("#reading-aids").wait_for()
    page.get_by_role("button", name="Settings").click()
    expect(page.locator("#reading-aids")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_have_count(0)
