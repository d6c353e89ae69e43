"""The page's own files, without a browser: no text hard-coded, nothing from outside, no text into HTML.

That each word stands in both languages and is used is held in test_page_words.py.
"""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from annotate.bodies import SkipReason
from annotate.head import CSP, PAGE, asset, head_start, page_hash
from annotate.signin_page import WORDS, join_html, signin_html
from data.records import Flag, Verdict

LANGUAGES = ("en", "zh")
SCRIPTS = {path.name: path.read_text("utf-8") for path in sorted(PAGE.glob("*.js"))}
STYLES = {path.name: path.read_text("utf-8") for path in sorted(PAGE.glob("*.css"))}
TABLES = {lang: json.loads((PAGE / "words" / f"{lang}.json").read_text("utf-8")) for lang in LANGUAGES}
EN, ZH = TABLES["en"], TABLES["zh"]
ONLY_HOLES = {"row", "rated"}  # nothing in them but values and marks
HAN = re.compile(r"[\u4e00-\u9fff]")


def without_comments(script: str) -> str:
    """A script's code; what stands in its strings stays."""
    code = re.sub(r"/\*.*?\*/", "", script, flags=re.DOTALL)
    return re.sub(r"(?m)(^|[;{},\s])//.*$", r"\1", code)


CODE = {name: without_comments(script) for name, script in SCRIPTS.items()}


# ── words ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_word_is_empty_or_padded(lang: str) -> None:
    assert [key for key, word in TABLES[lang].items() if not word or word != word.strip()] == []


def test_chinese_words_are_chinese_and_english_words_are_not() -> None:
    assert [key for key, word in EN.items() if HAN.search(word)] == []
    marks = {key for key in EN if key.startswith("key_")}  # what is printed on keys
    untranslated = {key for key, word in ZH.items() if not HAN.search(word)} - marks - ONLY_HOLES
    assert untranslated == set()


def test_what_the_server_may_name_has_its_words() -> None:
    flags, reasons = get_args(Flag), get_args(SkipReason)
    verdicts = get_args(Verdict)
    names = [f"flag_{flag}" for flag in flags] + [f"skip_{reason}" for reason in reasons]
    names += [f"verdict_{verdict}" for verdict in verdicts] + [f"kind_{k}" for k in ("ranking", "ab", "rating")]
    names += [f"role_{role}" for role in ("system", "user", "assistant", "tool")]
    names += [f"submitted_{state}" for state in ("counted", "surplus", "returned")]
    assert [name for name in names if name not in EN] == []


def test_every_code_of_failure_the_page_knows_has_its_words() -> None:
    known = re.search(r"const known = (\[.*?\]);", CODE["main.js"], re.DOTALL)
    assert known is not None
    codes = json.loads(known[1])
    assert {"offline", "store_down", "signed_out", "other_person", "paused", "lease_over"} <= set(codes)
    assert [code for code in [*codes, "other"] if f"error_{code}" not in EN] == []


# What may stand in a script as it is: our name, a language in its own script, what is printed on a key.
SHOWN_AS_IT_IS = {"Concord", "English", "中文", "Ctrl ↵"}
TEXT = re.compile(r"(?<![A-Za-z])[A-Z][a-z]|[a-z] [a-z]|[\u4e00-\u9fff]")
NOT_SHOWN = re.compile(
    r"(class: (\w+ \? )?|class=|=== |event\.key|(querySelector(All)?|closest|matches|classList\.\w+|import)\(|"
    r"headers\[|from )$"
)
NAMES = re.compile(r"(italic )?1em KaTeX_\w+|Arrow\w+|Enter|Escape|Content-Type|X-[\w-]+|Accept|Infinity|AbortError")


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_text_is_hard_coded_in_a_script(name: str) -> None:
    found = re.finditer(r'"([^"\n]*)"|`([^`\n]*)`', CODE[name])
    shown = {
        literal[0][1:-1]
        for literal in found
        if TEXT.search(re.sub(r"\$\{[^}]*\}|\bConcord\b", "", literal[0]))
        and not NOT_SHOWN.search(CODE[name][max(0, literal.start() - 40) : literal.start()])
    }
    assert {text for text in shown - SHOWN_AS_IT_IS if not NAMES.fullmatch(text)} == set()


@pytest.mark.parametrize("name", ["signin.html", "join.html"])
def test_no_text_is_hard_coded_in_a_template(name: str) -> None:
    body = (PAGE / name).read_text("utf-8").split("<body>")[1]
    outside_tags = re.sub(r"<[^>]*>|\{[{%].*?[%}]\}", " ", re.sub(r"<script>.*?</script>", "", body, flags=re.DOTALL))
    assert set(outside_tags.split()) - {"Concord", ","} == set()


def test_the_pages_before_have_the_same_words_in_both_languages_and_use_each() -> None:
    assert list(WORDS["en"]) == list(WORDS["zh"])
    used = "".join((PAGE / name).read_text("utf-8") for name in ("signin.html", "join.html"))
    said_by_the_server = {"wrong", "too_many", "link_over", "password_short"}
    assert {key for key in WORDS["en"] if f"t.{key}" not in used} == said_by_the_server
    for key, word in WORDS["zh"].items():
        assert bool(HAN.search(word)) == (key != "other"), key
        assert bool(HAN.search(WORDS["en"][key])) == (key == "other"), key


# ── the pages before ─────────────────────────────────────────────────────────

HOSTILE = "\"><script>alert(1)</script>{{ 7*7 }}'${x}"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_somebody_typed_is_shown_as_text(lang: str) -> None:
    pages = [
        signin_html(lang, HOSTILE, error=HOSTILE, name=HOSTILE),
        join_html(lang, HOSTILE, HOSTILE, error=HOSTILE),
        join_html(lang, HOSTILE, HOSTILE, error="link_over"),
    ]
    for page in pages:
        assert "<script>alert" not in page
        assert "49" not in re.sub(r"/ui/\w+/", "", page)
        assert f'<html lang="{lang}">' in page


def test_a_used_link_offers_no_form() -> None:
    assert "<form" not in join_html("en", "abc", "", error="link_over")
    assert "<form" in join_html("en", "abc", "Ana", error="password_short")


def test_the_pages_before_work_under_a_base_path_and_without_a_script() -> None:
    page = signin_html("zh", "/x/", base="/x")
    assert 'action="/x/signin"' in page
    assert "/x/ui/" in page
    assert 'action="/x/join/abc"' in join_html("en", "abc", "Ana", base="/x")
    for tag in re.findall(r"<(?:input|button|label)[^>]*>", page):
        assert "onclick" not in tag or "lang=" in tag  # only the language switch is a script's


# ── what keeps hostile text harmless ─────────────────────────────────────────


def test_nothing_of_the_page_comes_from_outside() -> None:
    files = {**CODE, **STYLES, **{p.name: p.read_text("utf-8") for p in PAGE.glob("*.html")}}
    svg = "http://www.w3.org/2000/svg"  # a name that is never asked for
    for name, text in files.items():
        assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text.replace(svg, "")) == [], name
        assert "@import" not in text, name


def test_html_is_set_in_one_place_and_only_from_what_the_server_made() -> None:
    setting = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert [(name, found) for name, code in CODE.items() for found in re.findall(setting, code)] == [
        ("dom.js", "innerHTML")
    ]
    given = {found for code in CODE.values() for found in re.findall(r"\bhtml: ([\w.]+)", code)}
    assert given == {"view.html", "text"}  # a turn; the guidelines: both rendered and cleaned by the server


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    policy = dict(part.strip().split(" ", 1) for part in CSP.split(";"))
    assert policy["default-src"] == policy["connect-src"] == policy["form-action"] == policy["base-uri"] == "'self'"
    assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert "http" not in CSP
    assert "*" not in CSP


# ── addresses ────────────────────────────────────────────────────────────────


def test_every_file_a_script_imports_is_there_and_asked_for_relatively() -> None:
    for name, code in CODE.items():
        for target in re.findall(r'from "([^"]+)"', code):
            assert target.startswith("./"), f"{name} imports {target}"
            assert (PAGE / target).is_file(), f"{name} imports {target}"


def test_addresses_carry_the_hash_and_the_base_path() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", page_hash())
    assert asset("main.js") == f"/ui/{page_hash()}/main.js"
    assert asset("main.js", "/label") == f"/label/ui/{page_hash()}/main.js"
    assert head_start("/label").count("/label/ui/") == head_start("/label").count("/ui/") > 0


def test_the_hash_follows_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from annotate import head

    page = tmp_path / "page"
    page.mkdir()
    (tmp_path / "render_code.py").write_text("x = 1")
    (page / "main.js").write_text("one")
    monkeypatch.setattr(head, "PAGE", page)
    seen = []
    for text in ("one", "two", "one"):
        (page / "main.js").write_text(text)
        page_hash.cache_clear()
        seen.append(page_hash())
    page_hash.cache_clear()
    assert seen[0] == seen[2] != seen[1]


def test_the_style_uses_the_named_colours_only() -> None:
    """Every colour outside the two lists at the top is a name, so that dark and light never mix."""
    rules = STYLES["board.css"].split("/* Gradio's frame")[1]
    loose = re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\([^)]*\)", rules)
    assert {c for c in loose if not c.startswith("rgb(15 23 42")} <= {
        "#f6f8fa",
        "#0b1220",
    }  # shadows; the body


def test_light_and_dark_name_the_same_colours() -> None:
    light, dark = (
        set(re.findall(r"(--[\w-]+):", block))
        for block in re.findall(r"(?m)^(?:\.dark )?\.concord \{(.*?)^\}", STYLES["board.css"], re.DOTALL)[:2]
    )
    assert light == dark
    assert len(light) > 10
