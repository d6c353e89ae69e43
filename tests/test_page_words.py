"""The page in both languages: every word in both files, used, and none left in the other language."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from hands import CRITERIA, arrive, onward, press, project
from made import rows
from playwright.sync_api import Browser, Page
from serving import Server, add_person, opened

from annotate import projects
from annotate.signin_page import WORDS as SIGN_IN_WORDS

PAGE = Path(__file__).parents[1] / "annotate" / "page"
MODULES = {path.name: path.read_text("utf-8") for path in sorted(PAGE.glob("*.js"))}
WORDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((PAGE / "words").glob("*.json"))}
HOLES = re.compile(r"\{(\w+)\}")

# Keys put together in the code: t(`skip_${reason}`) and its like, with everything that can stand in the hole.
FAMILIES = {
    "aid_${name}": "differences step wrap pin whole",
    "better_by_${said.strength}": "1 2 3",
    "does_${place}_${action}": " ".join(
        f"{place}_{what}"
        for place, all_ in {
            "ranking": "letter tie digit out arrows bad",
            "ab": "side strength tie bad",
            "rating": "letter digit arrows bad",
            "task": "submit undo back source notes comment skip reading compare step help",
            "lists": "choose walk search",
        }.items()
        for what in all_.split()
    ),
    "do_${view.kind}": "ranking ab rating",
    "error_${failure.code}": "offline store_down signed_out other_person not_a_member lease_over superseded csrf"
    " not_there bad_answer paused",
    "flag_${flag}": "harmful factually_wrong private_data refusal broken",
    "key_${what}": "letter digit arrows side strength submit back choose walk",
    "keys_of_${place}": "ranking ab rating task lists",
    "keys_refused_${refused}": "names unusable held",
    "kind_${j.kind}": "ranking ab rating",
    "kind_${k}": "ranking ab rating",
    "kind_${kind}": "ranking ab rating",
    "role_${view.role}": "system user assistant tool",
    "said_${choice}": "A B tie all_bad",
    "said_${current()}": "A B tie all_bad",
    "scroll_${box.dataset.scroll}": "code formula table",
    "skip_${r}": "too_long not_my_language not_my_field upsetting broken other",
    "strength_${n}": "1 2 3",
    "strength_${value}": "1 2 3",
    "submitted_${held.state}": "counted surplus returned",
    "do_${task.kind}": "ranking ab rating",
    "verdict_${j.verdict}": "answered all_bad cannot_judge",
    "kind_${one.kind}": "ranking ab rating",
    "lead_compared_${one.kind}": "ranking ab rating",
    "lead_error_${failure.code}": "not_a_lead too_large loading not_ready busy exporting"
    " already_there deactivated no_account other_projects last_lead yourself cut_off",
    "lead_part_${id}": "progress days people agreement files export work with_each latest access"
    " measured judges standings",
    "lead_why_${one.why}": "unpaired one_value other",
    "lead_verdict_${one.verdict}": "reached missed open none",
    "lead_needed_${one.resampled}": "units prompts",
    "lead_${what}": "reliability others position",
    "lead_layout_${l}": "tasks table outputs pairs hh ultrafeedback preference",
    "lead_layout_${p.format}": "tasks table outputs pairs hh ultrafeedback preference",
    "lead_column_${column}": "name role done today week seconds agreement seen state",
    "lead_column_${by.column}": "name",
    'lead_pairs_${p.replace("-", "_")}': "all adjacent best_worst",
    "verdict_${v}": "answered all_bad cannot_judge",
    "skip_${reason}": "too_long not_my_language not_my_field upsetting broken other",
    "lead_role_${r}": "annotator reviewer admin",
    "lead_role_${one.role}": "annotator reviewer admin",
    "lead_role_${data.role}": "annotator reviewer admin",
    "lead_role_${role.value}": "annotator reviewer admin",
    "verdict_${verdict}": "answered all_bad cannot_judge",
}
# The forms a number of things takes, by the plural rules of each language (CLDR).
FORMS = {"en": {"one", "other"}, "zh": {"other"}}
FORM = re.compile(r"_(one|other)$")
PLURALS = {key.removesuffix("_one") for key in WORDS["en"] if key.endswith("_one")}
NAMED_ELSEWHERE = {"saving", "saved"}  # states of the draft (draft.js), which are keys as well


# ── the files ────────────────────────────────────────────────────────────────


def test_both_files_have_the_same_keys_with_words_in_each() -> None:
    assert set(WORDS) == {"en", "zh"}
    assert list(WORDS["en"]) == sorted(WORDS["en"])
    plain = {lang: [key for key in table if FORM.sub("", key) not in PLURALS] for lang, table in WORDS.items()}
    assert plain["en"] == plain["zh"]
    assert list(WORDS["zh"]) == sorted(WORDS["zh"])
    assert not [key for table in WORDS.values() for key, words in table.items() if not words.strip()]


def test_a_number_of_things_has_each_form_its_language_needs_and_no_other() -> None:
    assert "none_with_others" in PLURALS
    for lang, table in WORDS.items():
        for base in PLURALS:
            assert {key for key in table if FORM.sub("", key) == base} == {f"{base}_{form}" for form in FORMS[lang]}


def test_each_text_has_the_same_holes_in_both_languages() -> None:
    for key, words in WORDS["en"].items():
        twin = key if key in WORDS["zh"] else FORM.sub("_other", key)
        assert set(HOLES.findall(words)) == set(HOLES.findall(WORDS["zh"][twin])), key


def test_the_sign_in_pages_have_the_same_words_in_both_languages() -> None:
    assert set(SIGN_IN_WORDS["en"]) == set(SIGN_IN_WORDS["zh"])
    templates = "".join(path.read_text("utf-8") for path in PAGE.glob("*.html"))
    shown_by_code = {"wrong", "too_many", "link_over", "password_short"}
    assert set(re.findall(r"\bt\.(\w+)", templates)) | shown_by_code == set(SIGN_IN_WORDS["en"])


def test_every_key_the_modules_use_is_there_and_every_key_there_is_used() -> None:
    code = "\n".join(MODULES.values())
    used = {key for call in re.findall(r"\bt\((.*)", code) for key in re.findall(r'"([a-z]\w+)"', call)}
    used &= set(WORDS["en"])  # a string in the rest of such a line may be something else
    counted = {key for call in re.findall(r"\bplural\((.*)", code) for key in re.findall(r'"([a-z]\w+)"', call)}
    used |= {f"{base}_{form}" for base in counted & PLURALS for form in FORMS["en"]}
    direct = set(re.findall(r'\bt\("(\w+)"', code))
    families = set(re.findall(r"\bt\([^`()]*`([^`]*)`", code)) | set(re.findall(r": `(\w+_\$\{[^`]*)`", code))
    assert families <= set(FAMILIES), "a family of keys is not listed here"
    made = {
        family.partition("$")[0] + part
        for family, parts in FAMILIES.items()
        if family in code or family in families
        for part in parts.split()
    }
    assert direct | made <= set(WORDS["en"])
    assert set(WORDS["en"]) == used | direct | made | NAMED_ELSEWHERE


def test_no_visible_words_stand_in_the_modules_themselves() -> None:
    allowed = {"Concord", "English", "中文", "Ctrl ↵"}
    plain = re.compile(r'"([^"\n]*)"')
    for name, code in MODULES.items():
        code = re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", code, flags=re.S)
        for line in code.splitlines():
            if line.startswith("import "):
                continue
            for words in plain.findall(line):
                sentence = re.match(r"[A-Z][a-z]+\b(?! ?[-/:])|.*[一-鿿]", words) and not re.search(
                    r"[A-Z]\w*-|/", words
                )
                not_ours = {"Accept", "Content-Type", "Enter", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"}
                not_ours |= {"Escape", "Tab"}
                assert not sentence or words in allowed | not_ours, f"{name}: {words!r} is not in words/"


# ── a Chinese session ────────────────────────────────────────────────────────

# Latin letters that belong in Chinese too: response letters, keys, and names.
LATIN = re.compile(r"[A-Za-z]+")
FINE = re.compile(r"[A-Z]|Ctrl|Esc|English|Concord|p|Lin")
OURS = """() => {
  const skip = '.rendered, .exact, .excerpt, script, style, noscript, template, [lang=en]';
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walk.currentNode; node; node = walk.nextNode()) {
    const at = node.nodeType === 3 ? node.parentElement : node;
    if (at.closest(skip) || !at.closest('.concord, body > main')) continue;
    if (node.nodeType === 3) found.push(node.data);
    else for (const name of ['aria-label', 'title', 'placeholder', 'alt']) found.push(at.getAttribute(name) ?? '');
  }
  return found.filter(text => text.trim());
}"""


def left_in_english(page: Page) -> list[str]:
    """The page's own texts and labels that hold Latin words."""
    texts = page.evaluate(OURS)
    assert any(re.search("[一-鿿]", text) for text in texts)
    assert not [text for text in texts if "⟦" in text], "a key without words"
    return [text for text in texts if any(not FINE.fullmatch(word) for word in LATIN.findall(text))]


def keys_and_settings(page: Page, look: Callable[[str], None]) -> None:
    """The sheet of keys in each of its states, then the settings."""
    press(page, "?")
    look("keys")
    page.locator(".keycap").first.click()
    look("a new key asked for")
    for key in ("a", "Enter", "x"):
        press(page, key)
        look(f"keys, {key} pressed")
    page.locator(".swap").click()
    look("keys swapped")
    page.get_by_role("button", name="恢复全部默认键").click()
    look("keys as they were")
    press(page, "Escape")
    page.get_by_role("button", name="设置").click()
    look("settings")


def test_nothing_is_left_in_english_in_a_chinese_session(server: Server, browser: Browser) -> None:
    ranking, ab = project(server, rows(3)), project(server, rows(2, answers=2), kind="ab")
    rating = project(server, rows(2, answers=2), kind="rating", criteria=CRITERIA)
    with opened(server.store_url) as store, store.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, ranking), {"en": "Rules.", "zh": "规则。"})
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()

    def look(where: str) -> None:
        assert left_in_english(page) == [], where

    page.goto(f"{server.url}/signin")
    look("sign-in")
    link = add_person(server.store_url, "Lin", [ranking, ab, rating])
    page.goto(f"{server.url}/join/{link}")
    look("join")
    page.locator("#password").fill("short")
    page.evaluate("document.querySelector('#password').minLength = 0")
    page.locator("button[type=submit]").click()
    look("join, refused")
    page.locator("#password").fill("")
    page.locator("button[type=submit]").click()
    page.locator(".projects").wait_for()
    look("projects")
    page.locator(f"a[href='#/p/{ranking}']").click()
    page.get_by_role("dialog").wait_for()
    look("guidelines")
    page.locator("dialog .submit").click()
    page.locator("#prompt-title").wait_for()
    for letter in "AB":
        page.locator(f"#response-{letter}").get_by_role("button", name="备注与标记").click()
    page.get_by_role("button", name="改写这个回答").first.click()
    press(page, "Escape")
    page.locator("h1").first.focus()
    press(page, "a", "b")
    look("ranking")
    keys_and_settings(page, look)
    press(page, "Escape", "s")
    look("skip")
    press(page, "Escape", "c")
    onward(page, page.locator("button.submit").click)
    look("ranking, the second")
    onward(page, page.get_by_role("button", name="回到上一条").click)
    look("a revision")
    page.get_by_role("link", name="我的答案").click()
    page.locator(".judgments a").wait_for()
    page.locator(".days .plot").wait_for()
    look("my answers")
    page.locator("#mine-search").fill("nowhere")
    page.get_by_role("button", name="显示全部").wait_for()
    look("my answers, nothing found")
    for name, keys in [(ab, "a2"), (rating, "12")]:
        page.goto(f"{server.url}/#/p/{name}")
        page.locator(f".kind-{'ab' if name == ab else 'rating'}").wait_for()
        press(page, *keys)
        look(name)
    page.context.set_offline(True)
    press(page, "3")
    page.locator(".message").wait_for()
    look("offline")


def test_a_session_in_chinese_says_so_to_screen_readers_and_formats_its_numbers(
    server: Server, browser: Browser
) -> None:
    page = arrive(browser, server, project(server, rows(1)), locale="zh-CN")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.get_by_role("button", name="设置").click()
    assert page.get_by_role("button", name="English").get_attribute("lang") == "en"
    with page.expect_navigation():
        page.get_by_role("button", name="English").click()
    page.locator("#prompt-title").wait_for()
    assert page.evaluate("document.documentElement.lang") == "en"
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_role("button", name="中文").get_attribute("lang") == "zh"
