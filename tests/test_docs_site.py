"""The documentation as a site: it builds with every link whole, asks for nothing outside, and is searched offline."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT, lacking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = sorted(path.name.removesuffix(".md") for path in (ROOT / "docs").glob("*.md") if ".zh" not in path.name)
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def build(out: Path, config: Path = ROOT / "mkdocs.yml") -> "subprocess.CompletedProcess[str]":
    """As make docs does; without --quiet, which would keep warnings from being counted."""
    argv = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "--site-dir", str(out)]
    return subprocess.run(
        argv, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    if not all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocs_static_i18n")):
        lacking("nothing to build the site with: pip install mkdocs-material mkdocs-static-i18n")
    out = tmp_path_factory.mktemp("site")
    run = build(out)
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr, run.stderr
    return out


def watched(browser: "Browser", size: dict[str, int], **options: object) -> tuple["Page", list[str], list[str]]:
    """A page, what it asked for, and what went wrong in it."""
    page = browser.new_context(viewport=size, **options).new_page()  # type: ignore[arg-type]
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    return page, asked, wrong


def test_every_page_is_there_in_both_languages(site: Path) -> None:
    assert len(PAGES) >= 12
    for name in PAGES:
        english, chinese = (site / folder / f"{name}.html" for folder in ("", "zh"))
        assert '<html lang="en"' in english.read_text("utf-8")
        held = chinese.read_text("utf-8")
        assert '<html lang="zh"' in held
        title = re.search(r"<h1[^>]*>(.*?)<", held)
        assert title
        assert name == "index" or re.search(r"[\u4e00-\u9fff]", title[1]), name


def test_the_switch_of_languages_leads_to_the_same_page(site: Path) -> None:
    for name in PAGES:
        for folder in ("", "zh"):
            page = site / folder / f"{name}.html"
            links = dict(
                re.findall(r'<a href="([^"]+)" hreflang="(\w+)" class="md-select__link"', page.read_text("utf-8"))
            )
            where = {lang: (page.parent / link).resolve() for link, lang in links.items()}
            assert where == {"en": site.resolve() / f"{name}.html", "zh": site.resolve() / "zh" / f"{name}.html"}


def test_no_link_of_the_site_leads_nowhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text("utf-8")):
            parts = urlsplit(link)
            if parts.scheme or not parts.path:
                continue
            assert (page.parent / unquote(parts.path)).exists(), f"{page.relative_to(site)}: {link}"


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, site: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# One\n\n[two](two.md)\n", "utf-8")
    settings = re.search(r"^validation:\n(?: .*\n)+", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    assert settings
    (tmp_path / "mkdocs.yml").write_text(f"site_name: t\nstrict: true\n{settings[0]}", "utf-8")
    run = build(tmp_path / "out", tmp_path / "mkdocs.yml")
    assert run.returncode == 1
    assert "two.md" in run.stderr


def test_no_page_names_a_script_style_or_picture_from_elsewhere(site: Path) -> None:
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        held = page.read_text("utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"(\w+:)?//", held)
        loaded += re.findall(r"<link(?![^>]*rel=\"(?:canonical|alternate)\")[^>]+href=\"(?:https?:)?//", held)
        loaded += re.findall(r"url\([\"']?(?:https?:)?//", held)
        assert not loaded, page.name


def test_no_page_of_the_site_asks_for_anything_outside(site: Path, browser: "Browser") -> None:
    page, asked, wrong = watched(browser, WIDE)
    for name in PAGES:
        for folder in ("", "zh/"):
            page.goto(f"{site.as_uri()}/{folder}{name}.html")
    assert len(asked) > len(PAGES)
    assert not [url for url in asked if not url.startswith((site.as_uri(), "data:", "blob:"))]
    assert not wrong


@pytest.mark.parametrize(
    ("folder", "words", "leads"),
    [("", "surplus", "concepts.html"), ("", "erased", "protection.html"), ("zh/", "租约", "glossary.html")],
)
def test_search_finds_without_a_server(site: Path, browser: "Browser", folder: str, words: str, leads: str) -> None:
    page, _, wrong = watched(browser, WIDE)
    page.goto(f"{site.as_uri()}/{folder}index.html")
    state = page.locator(".md-search-result__meta")
    starting = state.inner_text()
    page.locator(".md-search__input").click()
    page.wait_for_function(
        "(said) => document.querySelector('.md-search-result__meta').innerText !== said", arg=starting
    )
    page.locator(".md-search__input").fill(words)
    page.locator(".md-search__input").press("End")  # the theme looks when a key comes up
    first = page.locator(".md-search-result__link")
    first.first.wait_for()
    found = [str(first.nth(n).get_attribute("href")) for n in range(first.count())]
    assert any(f"{folder}{leads}" in link for link in found), found
    assert all(("/zh/" in link) == bool(folder) for link in found), found
    assert not wrong


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways_on_a_phone(site: Path, browser: "Browser", scheme: str) -> None:
    page, _, _ = watched(browser, PHONE, color_scheme=scheme)
    for name in PAGES if scheme == "light" else ["protection"]:  # colours change no width
        for folder in ("", "zh/"):
            page.goto(f"{site.as_uri()}/{folder}{name}.html")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE["width"], f"{folder}{name} is {wide} px wide"
    assert (
        page.evaluate("document.body.getAttribute('data-md-color-scheme')")
        == {"light": "default", "dark": "slate"}[scheme]
    )


def test_long_names_may_break_and_stay_what_they_are(site: Path) -> None:
    held = (site / "protection.html").read_text("utf-8")
    shown = re.findall(r"<code>(test_<wbr>[^<]*(?:<wbr>[^<]*)*)</code>", held)
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/protection.md").read_text("utf-8"))
    assert [name.replace("<wbr>", "") for name in shown] == named


def test_the_index_of_search_holds_every_page_in_both_languages(site: Path) -> None:
    held = json.loads((site / "search/search_index.json").read_text("utf-8"))
    places = {entry["location"].split("#")[0] for entry in held["docs"]}
    for name in PAGES:
        if name != "index":
            assert {f"{name}.html", f"zh/{name}.html"} <= places


def test_drawings_obey_nobody_and_have_words_for_those_who_cannot_see_them() -> None:
    drawings = sorted((ROOT / "docs/img").glob("*.svg"))
    assert len(drawings) >= 6
    for path in drawings:
        held = path.read_text("utf-8")
        assert re.search(r'role="img" aria-label="[^"]{4,}"', held)
        assert not re.search(r"<script|\bon\w+=|href|url\(|<foreignObject", held)
        assert bool(
            re.search(r"[\u4e00-\u9fff]", re.sub(r"<style>.*</style>", "", held, flags=re.S))
        ) == path.stem.endswith("-zh")
