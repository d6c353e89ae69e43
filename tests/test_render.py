"""Model text becomes HTML that runs nothing, loads nothing and loses nothing."""

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import nh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate import render as module
from annotate import render_code, render_rules
from annotate.render import CLASSES, MAX_LINES, MAX_TEXT, TAGS, Rendered, highlight_css, render_guidelines
from annotate.render import render as render_answer

VOID = {"br", "hr"}
ALLOWED = {
    "a": {"href", "title", "target", "rel"},
    "td": {"style"},
    "th": {"style"},
    "ol": {"start"},
    "div": {"tabindex", "role", "data-scroll"},
}
VALUES = {
    "target": r"_blank",
    "rel": r"noopener noreferrer nofollow",
    "style": r"text-align:(left|right|center)",
    "start": r"\d{1,9}",
    "tabindex": r"0",
    "role": r"group",
    "data-scroll": r"code|table|formula",
    "href": r"(?i:https?://|mailto:)[^\s\"<>]+",
    "title": r"(?s).*",
}


class Page(HTMLParser):
    """Reads HTML as a browser would and refuses whatever an answer must not hold."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open = "", []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()
        assert self.open == [], "an element stays open"

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        assert len(dict(attrs)) == len(attrs)
        for name, value in attrs:
            if name == "class":
                assert set(value.split()) <= CLASSES.get(tag, frozenset()), (tag, value)
            else:
                assert name in ALLOWED.get(tag, set()), (tag, name)
                assert re.fullmatch(VALUES[name], value), (tag, name, value)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        elif tag == "br":
            self.text += "\n"

    def handle_startendtag(self, tag, attrs):
        raise AssertionError("no element closes itself")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError("a comment")

    handle_decl = handle_pi = unknown_decl = handle_comment

    def having(self, tag: str, **attrs: str) -> list[dict[str, str]]:
        return [a for t, a in self.elements if t == tag and attrs.items() <= a.items()]


def page(text: str) -> Page:
    return Page(render_answer(text).html)


def maths(text: str) -> list[tuple[str, str]]:
    """Each formula of the text: i or d, and its TeX."""
    html = render_answer(text).html
    return [
        (kind, Page(f"<p>{tex}</p>").text)
        for kind, tex in re.findall(r'<span class="math (.)">(.*?)</span>', html, re.DOTALL)
    ]


# What must not run, load, submit or vanish ---------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href=javascript:alert(1)>x</a>",
        '<form action=/x><button name="b">go</button></form>',
        "<style>.answer{display:none}</style>",
        "<iframe src=https://evil.example></iframe>",
        "<think>let me see</think>",
        "<!-- hidden -->",
        "<svg/onload=alert(1)>",
        "<?php echo 1 ?>",
        "<![CDATA[x]]>",
        '<div class="submit" id="board" style="position:fixed">x</div>',
        "</div></p></body>",
        "&lt;b&gt;<b",
    ],
)
@pytest.mark.parametrize("around", ["{}", "a {} b", "> {}", "- {}", "# {}", "x\n\n{}\n\ny", "|{}|\n|-|\n|{}|"])
def test_raw_html_is_shown_as_text_and_none_of_it_vanishes(raw: str, around: str) -> None:
    text = around.replace("{}", raw)
    shown = page(text)
    assert raw.replace("&lt;", "<").replace("&gt;", ">") in shown.text
    assert not [t for t, _ in shown.elements if t in {"script", "img", "form", "style", "a"}]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "data:image/png;base64,AA==",
        "vbscript:x",
        "file:///etc/passwd",
        "/admin/",
        "//evil.example/",
        "#top",
        "?page=admin",
        "ftp://a.example/",
        "http:evil.example",
        "https://bank.example@evil.example/",
    ],
)
def test_a_link_that_is_no_web_or_mail_address_stays_text(url: str) -> None:
    for text in (f"[click]({url})", f"![click]({url})", f"[click]: {url}", f"<{url}>"):
        shown = page(text)
        assert not shown.having("a")
        assert text in shown.text


@pytest.mark.parametrize("url", ["http://a.example/", "HTTPS://a.example/b?c=d#e", "mailto:x@a.example"])
def test_a_link_opens_in_a_new_tab_and_tells_nothing(url: str) -> None:
    (link,) = page(f'[click]({url} "the title")').having("a")
    assert link["href"].lower() == url.lower()
    assert link["rel"] == "noopener noreferrer nofollow"
    assert (link["target"], link["title"]) == ("_blank", "the title")


def test_a_link_without_text_shows_its_address_and_one_without_address_is_text() -> None:
    assert page("[](http://a.example/b)").text.strip() == "http://a.example/b"
    shown = page("[one]() and [two](<>)")
    assert not shown.having("a")
    assert "one" in shown.text
    assert "two" in shown.text


def test_a_remote_image_is_named_and_not_loaded() -> None:
    shown = page('![a cat](https://cats.example/1.png "my cat")')
    assert shown.text.strip() == '[image: a cat — https://cats.example/1.png "my cat"]'
    assert [t for t, _ in shown.elements] == ["p", "span"]


def test_a_link_definition_works_and_is_shown() -> None:
    shown = page('See [this].\n\n[this]: https://a.example/ "the words one could hide here"\n')
    assert len(shown.having("a", href="https://a.example/")) == 1
    assert '[this]: https://a.example/ "the words one could hide here"' in shown.text


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad", "\U000e0041", "\x1b", "\ud800"])
@pytest.mark.parametrize(
    "around", ["a{}b", "`a{}b`", "```\n{}b\n```", "```python\n{}b\n```", "    {}b", "$a{}b$", "# {}b"]
)
def test_an_invisible_character_is_written_out(char: str, around: str) -> None:
    shown = page(around.replace("{}", char))
    assert f"[U+{ord(char):04X}]" in shown.text
    assert char not in shown.text


def test_an_invisible_character_written_as_an_entity_is_written_out() -> None:
    assert page("&#x202E;abc &ZeroWidthSpace;").text.strip() == "[U+202E]abc [U+200B]"


def test_an_invisible_character_before_a_bracket_makes_no_link() -> None:
    shown = page("\u202e(http://a.example/)")
    assert not shown.having("a")


def test_a_half_surrogate_and_a_nul_do_no_harm() -> None:
    assert page("a\ud800b\x00c").text.strip() == "a[U+D800]b\ufffdc"


# Maths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"$\alpha$", [("i", r"\alpha")]),
        (r"$$\frac{a}{b}$$", [("d", r"\frac{a}{b}")]),
        (r"so \(a<b\) holds", [("i", "a<b")]),
        (r"so \[a_1 * b_1 * c\] holds", [("d", "a_1 * b_1 * c")]),
        ("then\n\\[\nx\n=\n- y\n\\]\nso", [("d", "\nx\n=\n- y\n")]),
        ("$$\na &= b \\\\[2pt]\n+ c\n$$", [("d", "\na &= b \\\\[2pt]\n+ c\n")]),
        ("- item\n\n  $$\n  x\n  $$\n", [("d", "\nx\n")]),
        (r"\[a \\[2pt] b\]", [("d", r"a \\[2pt] b")]),
        (r"$a$ and $b$", [("i", "a"), ("i", "b")]),
        (r"$\href{javascript:alert(1)}{x}$", [("i", r"\href{javascript:alert(1)}{x}")]),
        (r"$\includegraphics{http://a.example/x.png}$", [("i", r"\includegraphics{http://a.example/x.png}")]),
        (r"$\def\a{\a\a}\a$", [("i", r"\def\a{\a\a}\a")]),
        ("$<img src=x onerror=alert(1)>$", [("i", "<img src=x onerror=alert(1)>")]),
        (r"$a\$b$", [("i", r"a\$b")]),
    ],
)
def test_maths_is_marked_with_its_source_untouched(text: str, found: list[tuple[str, str]]) -> None:
    assert maths(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "price $5 and $10",
        "$ a $",
        "$a $b",
        "$a$1",
        "${7 7}$ {{7 7}} $x",
        "$a\nb$",
        "$a `b$` c",
        "`$a$`",
        "$",
        "$$",
        "$$$$",
        "US$a",
        "$$ $$",
        "```\n$a$\n\\(b\\)\n```",
    ],
)
def test_what_is_no_maths_stays_text(text: str) -> None:
    assert maths(text) == []
    for part in text.replace("`", " ").split():
        assert part in page(text).text


def test_template_syntax_is_text() -> None:
    shown = page(r"${7*7} {{7*7}} \u{zz}")
    assert shown.text.strip().replace("*", "") == r"${77} {{77}} \u{zz}"  # Markdown's own emphasis remains
    assert not maths(r"${7*7} {{7*7}} \u{zz}")


def test_an_escaped_link_is_no_formula() -> None:
    text = r"\[not a link\](http://a.example/)"
    assert maths(text) == []
    assert page(text).text.strip() == "[not a link](http://a.example/)"


def test_a_formula_longer_than_the_limit_stays_text() -> None:
    assert maths(r"\(" + "x" * 20_000 + r"\)") == []


# Structure -----------------------------------------------------------------------------------------


def levels(text: str, html: str | None = None) -> list[str]:
    return re.findall(r"<(h\d)", html if html is not None else render_answer(text).html)


def test_headings_stay_below_the_pages_own_and_skip_no_level() -> None:
    assert levels("# a\n#### b\n###### c\n## d\n# e") == ["h3", "h4", "h5", "h4", "h3"]
    assert levels("###### a\n# b") == ["h3", "h3"]
    assert [a["class"] for t, a in page("# a\n#### b").elements] == ["h1", "h4"]


@given(st.lists(st.integers(1, 6), max_size=12))
def test_no_heading_is_more_than_one_level_below_the_one_before(wanted: list[int]) -> None:
    found = [2, *(int(h[1]) for h in levels("\n".join("#" * n + " x" for n in wanted)))]
    assert len(found) == len(wanted) + 1
    assert all(3 <= b <= min(a + 1, 6) for a, b in itertools.pairwise(found))


def test_an_empty_heading_is_no_heading() -> None:
    assert levels("# \n\n## &nbsp;") == []


def test_guidelines_have_headings_from_h2_and_the_same_walls() -> None:
    html = render_guidelines("# How\n\n## Why\n<script>x</script> [a](https://a.example/) ![i](http://b.example/i)\n")
    assert levels("", html) == ["h2", "h3"]
    shown = Page(html)
    assert "<script>x</script>" in shown.text
    assert "[image: i — http://b.example/i]" in shown.text
    assert shown.having("a", target="_blank", rel="noopener noreferrer nofollow")


def test_an_answers_line_breaks_are_kept_and_a_guidelines_are_joined() -> None:
    assert len(page("a\nb").having("br")) == 1
    assert "<br" not in render_guidelines("a\nb")


def test_a_table_keeps_its_alignment_and_can_be_scrolled_by_keyboard() -> None:
    shown = page("|a|b|c|\n|:-|:-:|-:|\n|1|2|3|")
    assert [a.get("style") for a in shown.having("td")] == [f"text-align:{s}" for s in ("left", "center", "right")]
    assert shown.having("div", **{"data-scroll": "table", "tabindex": "0", "role": "group"})


def test_a_cell_beyond_the_header_is_shown_in_the_last_one() -> None:
    for around in ("{}", "> {}", "- {}"):
        prefix = {"{}": "", "> {}": "> ", "- {}": "  "}[around]
        text = around.replace("{}", "|a|b|") + f"\n{prefix}|-|-|\n{prefix}|1|2|hidden|too|\n{prefix}|3|"
        assert "2 | hidden | too" in page(text).text, around


def test_an_empty_header_cell_is_an_ordinary_cell() -> None:
    assert len(page("||b|\n|-|-|\n|1|2|").having("th")) == 1


def test_task_list_brackets_stay_text() -> None:
    shown = page("- [ ] open\n- [x] done")
    assert "[ ] open" in shown.text
    assert "[x] done" in shown.text


def test_code_is_coloured_kept_to_the_letter_and_can_be_scrolled() -> None:
    code = '\n\ndef f(x):\n\treturn "<b>" + x  # &amp;\n\n\n'
    shown = page(f"```python title=x\n{code}```")
    assert shown.text.strip("\n") == "python title=x" + code.rstrip("\n") or code in shown.text
    assert code in shown.text
    assert "python title=x" in shown.text
    assert shown.having("span", **{"class": "k"})
    assert shown.having("div", **{"data-scroll": "code", "tabindex": "0"})


@pytest.mark.parametrize("language", sorted(render_code.LANGUAGES))
def test_every_known_language_is_coloured_without_losing_a_character(language: str) -> None:
    code = "\n  a = \"b\" + 'c' // 1 # d\n<x y='z'>&lt;\n\n"
    coloured = render_code.highlight(code, language)
    assert Page(module._cleaner().clean(f"<pre><code>{coloured}</code></pre>")).text == code


@pytest.mark.parametrize("info", ["nolang", "submit primary", '"><script>', "board x", "html", "../../x"])
def test_a_fences_language_never_becomes_a_class(info: str) -> None:
    shown = page(f"```{info}\nx\n```")
    names = {name for _, a in shown.elements for name in a.get("class", "").split()}
    assert names <= {"scroll", "lang"} | render_code.classes()
    assert info in shown.text


def test_no_two_walls_are_one_the_cleaner_alone_takes_foreign_classes_and_handlers_away() -> None:
    html = (
        '<span class="math submit" onclick="x" id="a">t</span>'
        '<div class="board" tabindex="5" role="dialog">u</div>'
        '<a href="/admin" name="n">v</a><p style="position:fixed">w</p><td>x</td><img src="http://a.example">'
    )
    shown = Page(module._cleaner().clean(html))
    assert shown.text == "tuvwx"
    assert shown.having("span", **{"class": "math"})


# Limits: counted, never timed ----------------------------------------------------------------------


def test_deep_nesting_is_cut_and_said_and_nothing_is_lost() -> None:
    made = render_answer(">" * 3000 + "deep")
    assert made.cut
    assert not made.plain
    shown = Page(made.html)
    assert len(shown.having("blockquote")) == render_rules.MAX_DEPTH
    assert ">" * (3000 - render_rules.MAX_DEPTH) + "deep" in shown.text


def test_deep_lists_are_cut_where_they_are_and_what_follows_is_drawn() -> None:
    text = "".join("  " * i + f"- item {i}\n" for i in range(60)) + "\n# After\n"
    made = render_answer(text)
    assert made.cut
    assert all(f"item {i}" in Page(made.html).text for i in range(60))
    assert levels("", made.html) == ["h3"]


def test_ordinary_nesting_is_not_cut() -> None:
    assert render_answer("> - a\n>   - b\n>     1. c") == Rendered(
        render_answer("> - a\n>   - b\n>     1. c").html, cut=False, plain=False
    )


@pytest.mark.parametrize(
    ("sign", "most", "rules"),
    [
        ("[", 1_000, {"link", "image", "reference"}),
        ("*a_b~", 20_000 // 3, {"emphasis", "strikethrough"}),
        ("<", 5_000, {"autolink"}),
        ("&", 20_000, {"entity"}),
        (">", 30_000, {"blockquote"}),
        ("\\[", 2_000, {"math_slash", "math_block"}),
    ],
)
def test_a_feature_whose_signs_come_too_often_is_switched_off(sign: str, most: int, rules: set[str]) -> None:
    assert not rules & module.switched_off(sign * min(most, 1_000))
    assert rules <= module.switched_off(sign * (most + 1))


def test_beyond_a_thousand_brackets_links_stay_text() -> None:
    link, definition = "[a](http://a.example/)", "[a]: http://a.example/"
    assert len(page(f"{link}\n" * 1_000).having("a")) == 1_000
    shown = page(f"{link}\n" * 1_000 + f"\n{definition}\n")
    assert not shown.having("a")
    assert shown.text.count(link) == 1_000
    assert definition in shown.text


@pytest.mark.parametrize(
    "text",
    [
        "x" * (MAX_TEXT + 1),
        "\n\n<b>" + "a " * MAX_TEXT,
        "a\n" * (MAX_LINES + 1),
        ("- " * 20 + "a\n") * 2_000,
        "a\n\n" * 4_999 + "- - - - - - - - - - a\n\n" * 1_000,
    ],
    ids=["one word", "prose", "lines", "lists", "blocks"],
)
def test_a_text_too_large_or_too_costly_is_shown_as_it_was_written(text: str) -> None:
    made = render_answer(text)
    assert made.plain
    assert not made.cut
    shown = Page(made.html)
    assert [t for t, _ in shown.elements] == ["div", "pre", "code"]
    assert shown.text.strip("\n") == text.strip("\n")


def test_a_text_at_the_limit_is_drawn() -> None:
    assert not render_answer("ab " * (MAX_TEXT // 3)).plain


def test_a_table_of_five_hundred_columns_stays_text() -> None:
    text = "|".join("a" * 500) + "\n" + "|".join("-" * 500) + "\na\n"
    shown = page(text)
    assert not shown.having("table")
    assert shown.text.count("a") == 501


def test_short_rows_cannot_fill_up_more_cells_than_the_limit() -> None:
    table = "|".join("a" * 90) + "\n" + "|".join(["-"] * 90) + "\n" + "a\n" * 40 + "\n"
    shown = page(table * 20)
    assert 0 < len(shown.having("td")) + len(shown.having("th")) <= render_rules.MAX_CELLS
    assert shown.text.count("a") == 20 * (90 + 40)


def test_a_table_of_bearable_size_is_drawn_whole() -> None:
    shown = page("a|b\n-|-\n" + "1|2\n" * 500)
    assert len(shown.having("td")) == 1_000


def test_code_beyond_the_limits_is_shown_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = render_rules.highlight

    def counted(code: str, language: str) -> str:
        seen.append(language)
        return real(code, language)

    monkeypatch.setattr(render_rules, "highlight", counted)
    block = "```python\n" + "x = 1; y = 2\n" * 1_800 + "```\n"
    shown = page(block * 3)
    assert seen == ["python", "python", ""]
    assert shown.text.count("x = 1; y = 2\n") == 5_400
    seen.clear()
    page("```python\nx = 2\n```\n" * 210)
    assert seen.count("python") == render_code.MAX_BLOCKS


@pytest.mark.parametrize(
    "bomb", ["*a **b ", "*_", "`", "``` ", "$", "$a ", "\\[\n", "![", "[[", "<a ", "&", "> - ", "~~a "]
)
def test_a_repeated_sign_loses_no_letter(bomb: str) -> None:
    shown = page(bomb * 3_000)
    for letter in "abz":
        assert shown.text.count(letter) == (bomb * 3_000).count(letter)


# Properties ----------------------------------------------------------------------------------------

WORDS = [
    "\n\n|\n| |    |# |## |> |- |1. |*|**|_|~~|`|```|```python\n|```c\n",
    "<b>|<script>|</script>|<!--|-->|&|&lt;|<|>",
    "[|](|)|![|]|]: |http://a.example|javascript:x|mailto:a@b.c",
    "&#x202E;|&#0;|'|\"|:|---\n|===\n|\t|a|b c|7|{|}",
    "$|$$|\\(|\\)|\\[|\\]|\\|\u202e|\u200d|\u05d0|\u4e2d|\U0001f600|\x00|\x0c|\r|\xa0|\ud800|-|\n",
]
PIECES = st.sampled_from([piece for line in WORDS for piece in line.split("|")])
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.one_of(PIECES, st.just("|"), st.just("|-|-|\n")), max_size=40).map("".join),
)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_whatever_the_text_only_allowed_elements_attributes_and_classes_come_out(text: str) -> None:
    made = render_answer(text)
    Page(made.html)
    Page(render_guidelines(text))
    assert module._cleaner().clean(made.html) == made.html
    assert not set(re.findall(r"[\u200b\u202a-\u202e\u2066-\u2069]", made.html))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_no_letter_of_the_text_is_lost(text: str) -> None:
    """Letters the text holds beyond entities and link targets, which HTML keeps in attributes."""
    made = render_answer(text)
    held = Page(made.html).text + " ".join(v for _, a in Page(made.html).elements for v in a.values())
    for letter in "7\u05d0\u4e2d\U0001f600":
        assert nh3.clean_text(held).count(letter) >= text.count(letter) or "%" in held or "xn--" in held


# The cache -----------------------------------------------------------------------------------------


def test_the_same_text_gives_the_same_result_with_and_without_the_cache() -> None:
    text = "# a\n\n$x$ [l](http://a.example/) `c`\n\n|a|\n|-|\n|b|\n"
    first = render_answer(text)
    assert render_answer(text) is first
    assert module._draw(text, 3, True) == first


def test_an_answer_and_a_guideline_of_the_same_text_are_kept_apart() -> None:
    assert levels("# same") == ["h3"]
    assert levels("", render_guidelines("# same")) == ["h2"]


def test_threads_get_equal_results() -> None:
    texts = [f"**{i}** $x_{i}$ [a](http://a.example/{i})\n\n```python\nx = {i}\n```" for i in range(20)]
    start = threading.Barrier(8)

    def work(_: int) -> list[Rendered]:
        start.wait()
        return [render_answer(text) for text in texts]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert all(result == results[0] for result in results)
    assert results[0] == [module._draw(text, 3, True) for text in texts]


def test_the_cache_forgets_what_was_asked_for_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_kept", type(module._kept)())
    monkeypatch.setattr(module, "_size", 0)
    monkeypatch.setattr(module, "MAX_KEPT", 3 * (module.OVERHEAD + 100))
    first, *others = (f"text {i}" for i in range(10))
    kept = render_answer(first)
    for other in others:
        render_answer(other)
        assert render_answer(first) is kept  # asked for again each time, so it stays
        assert module._size == sum(len(m.html) + module.OVERHEAD for m in module._kept.values())
        assert module._size <= module.MAX_KEPT
    assert 1 < len(module._kept) < 10


# Colours -------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_of_code_has_contrast_in_light_and_dark() -> None:
    seen = set()
    for scope, (text, back) in ((".answer", render_code.LIGHT), (".dark .answer", render_code.DARK)):
        rules = re.findall(rf"^{re.escape(scope)} pre(.*)\{{(.*)\}}$", highlight_css(), re.MULTILINE)
        assert rules[0] == ("", f"color:{text};background:{back};direction:ltr;text-align:left")
        for selector, body in rules:
            (colour,) = re.findall(r"(?:^|;)color:(#[0-9a-f]{6})", body)
            light, dark = sorted((luminance(colour), luminance(back)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (scope, colour)
            seen |= set(re.findall(r"\.(\w+)", selector))
    assert {"k", "s1", "c1", "mi", "nf", "err"} <= seen <= render_code.classes()


def test_every_rule_of_the_colours_stays_within_answers() -> None:
    assert all(re.match(r"(\.dark )?\.answer pre", line) for line in highlight_css().splitlines())


def test_a_sequence_of_numbers_with_a_command_is_a_formula_and_two_prices_are_none() -> None:
    assert 'class="math i"' in module.render("The sum of $3, 6, 12, \\dots$ grows.").html
    for text in ("It costs $5 and then $10.", "From $3 to $6, 12 \\dots", "$5 \\to $10", "pay $20\nor `\\x` $"):
        assert "math" not in module.render(text).html, text
