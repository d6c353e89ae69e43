"""Report pages: complete in both languages, harmless with any data, nothing fetched, the same bytes twice."""

import importlib
import json
import random
import re
from functools import cache
from html.parser import HTMLParser

import pytest
import vl_convert
from markupsafe import Markup

from curate.aggregate import main as aggregate
from curate.agreement import main as agreement
from curate.audit import main as audit
from curate.findings import NAMES, Case, Finding
from curate.report import Nearest, Story, report
from curate.report_pages import Outcome, aggregate_page, agreement_page, audit_page
from curate.report_words import FINDINGS, NEUTRAL, case_says, reason
from curate.row_figures import binned, count, lengths, nothing, total
from data.plots import PALETTE, Point, Span, bars, curve, histogram, lines, spans
from data.report import Words, breakdown, data, page, say, table

EVIL = "<script>alert(1)</script>]]>--></style><img src=x onerror=alert(2)>\u202eevil\u2066\x00\ud800{0}{name}%s'\""
DRAW = vl_convert.vegalite_to_svg
LONG = "名" * 2500 + "x" * 2500
MODULES = (
    "data.report",
    "curate.report_pages",
    "curate.report_parts",
    "curate.report_people",
    "curate.report_story",
    "curate.report_words",
)


@pytest.fixture
def drawn_once(monkeypatch):
    """A chart that was drawn in this run is not drawn again."""
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda made, **_: _drawn(json.dumps(made)))


@cache
def _drawn(made):
    return DRAW(json.loads(made), vl_version="6.4", allowed_base_urls=[])


class Outline(HTMLParser):
    """Elements and attributes of a page, and whether every element that was opened is closed in turn."""

    VOID = ("meta", "input", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.bad = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)


def check_page(text):
    """What holds for every page: well formed, asks nobody for anything, one script and it is ours."""
    outline = Outline(text)
    assert outline.bad == []
    assert outline.open == []
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("script") == 1
    assert tags.count("style") == 1
    assert not {"img", "link", "iframe", "object", "form", "base", "image", "foreignobject"} & set(tags)
    ids = [attrs["id"] for _, attrs in outline.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in outline.elements:
        assert not any(name.startswith("on") or name in ("src", "style") for name in attrs), (tag, attrs)
        assert attrs.get("href", "#").startswith("#")
        if tag == "svg" and attrs.get("role") == "img":
            assert all(f'id="{name}"' in text for name in attrs["aria-labelledby"].split())
    assert "url(" not in text
    assert "@import" not in text
    text.encode("utf-8")
    return outline


def row(i, **more):
    rng = random.Random(i)
    return {
        "id": f"r{i}",
        "split": ("train", "train", "validation", "test")[i % 4],
        "source": "human",
        "language": "zh" if i % 3 else "en",
        "licence": None,
        "guideline_versions": ["v1"],
        "prompt_id": f"p{i // 3}",
        "probability": 0.5 + rng.random() / 2,
        "weight": 1 / 3,
        "score_chosen": rng.random(),
        "score_rejected": -rng.random(),
        "votes": {"chosen": 2.0, "rejected": float(i % 2), "tie": 0.0},
        "chosen": [{"role": "assistant", "content": "好" * (1 + i * 7)}],
        "rejected": [{"role": "assistant", "content": "x" * i}],
        **more,
    }


def alpha(name, **more):
    one = {"criterion": name, "who": "people", "slice": "all", "key": "", "left_out": None, "measure": "alpha"}
    one |= {"level": "nominal", "value": 0.5, "why": None, "low": 0.4, "high": 0.6, "units": 10, "ratings": 30}
    return one | {"blocks": 10, "too_few": False, "verdict": "not reached", "needed": 0, "resampled": "units"} | more


def person(name, **more):
    one = {"annotator": name, "kind": "person", "votes": 30.0, "reliability": 0.8, "low": 0.7, "high": 0.9}
    return one | {"first_side": 0.6, "first_side_low": 0.4, "first_side_high": 0.8} | more


def found(name, level, text="an id"):
    case = Case(id=text, kind="row", says=text)
    figures = {"share": 0.5, "low": 0.4, "high": 0.6, "element": text}
    trace = f"python -m curate.trace {text}"
    return Finding(name=name, level=level, count=3, of=9, says=text, figures=figures, examples=[case], trace=trace)


def full(text="answers"):
    """A story with every part, all of its texts being `text`."""
    counts = nothing()
    for i in range(40):
        count(
            counts, row(i, language=text, licence=text, guideline_versions=[text, "v2"], source=text if i else "human")
        )
    rows = [alpha(text), alpha("choice", who="models"), alpha("ranking", measure="kendall_w", verdict=None)]
    rows += [
        alpha(text, slice="language", key=text),
        alpha("choice", slice="month", key="2026-05", value=None, low=None),
    ]
    rows += [alpha("choice", left_out=text), alpha(text, measure="cross_alpha", who="people against models")]
    rows += [alpha("value", value=None, low=None, high=None, verdict="no answer: one value only")]
    curve_of = [{"confidence": 0.6, "share": 0.5, "low": 0.4, "high": 0.6, "n": 9}]
    judge = {"judge": text, "comparisons": 9, "curve": curve_of}
    judge |= {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("alpha", "kappa", "agreement", "temperature")}
    return Story(
        project=text,
        format="trl",
        folder=text,
        digest=text,
        head={"seq": 3, "hash": text},
        read_at=text,
        tasks=20,
        judged=18,
        judgments=60,
        pairs=50,
        unused={text: 1, "cannot judge": 2, "by a model": 3},
        left_out={text: 3, "tie": 4, f"task retracted: {text}": 5, "fewer than 3 votes": 2},
        months={"2026-05": 60, text: 2},
        counts=counts,
        agreement=rows,
        annotators=[person(text), person("b", low=None, high=None, first_side=None)],
        aggregate={"iterations": 9, "converged": False, "not_the_majority": 3, "even_majorities": 1},
        standings=[{"item": text, "strength": 1.0, "low": 0.5, "high": 1.5}],
        judges=[judge],
        removed={"exact duplicate": 3, text: 1},
        contradictions=2,
        groups=10,
        largest_group=4,
        nearest=Nearest(0.7, text, text),
        findings=[
            found("length_bias", "warn", text),
            found("private_data", "block", text),
            found("licence_mixed", "info"),
        ],
        allowed=["private_data"],
        rules={text: text, "splits": [90, 5, 5], "weights": {text: text}},
        method=text,
        trace=text,
    )


def shown(text, lang):
    """The page's text as a reader of one language sees it: what the other language says is taken out."""
    other = {"en": "zh", "zh": "en"}[lang]
    text = re.sub(r"<(style|script|title)>.*?</\1>", "", text, flags=re.DOTALL)
    while (made := re.sub(rf'<(span|tspan) lang="{other}">(?:(?!<\1[ >]).)*?</\1>', "", text)) != text:
        text = made
        text = re.sub(rf'<(span|tspan) lang="{lang}">((?:(?!<\1[ >]).)*?)</\1>', r"\2", text)
    return re.sub(r"<[^>]+>", " ", text)


def test_a_full_report_is_a_whole_page_that_fetches_nothing(drawn_once):
    text = report(full())
    outline = check_page(text)
    policy = next(a["content"] for t, a in outline.elements if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    headings = re.findall(r'<section id="([a-z]+)">', text)
    assert headings == [
        *("path", "rows", "certainty", "findings", "agreement", "annotators", "aggregate", "judges", "duplicates"),
        *("splits", "rules", "check"),
    ]


def test_the_same_story_gives_the_same_bytes():
    assert report(full()) == report(full())


@pytest.mark.parametrize("text", [EVIL, LONG, "", "{", "a\nb\t"])
def test_hostile_texts_stay_text_wherever_they_stand(text, drawn_once):
    made = report(full(text))
    check_page(made)
    assert "alert(1)</script>" not in made
    assert "\u202e" not in made
    assert "名" * 301 not in made
    assert "\x00" not in made


def test_hostile_texts_stay_text_in_the_commands_pages():
    story = full(EVIL)
    outcome = Outcome(
        EVIL, {"units": 3, "votes": 4}, EVIL, 9, False, 1, 2, [0] * 19 + [3], {EVIL: 3}, [(EVIL, EVIL, 0.4)], [EVIL]
    )
    pages = [
        agreement_page(story.agreement, EVIL, 0.8),
        aggregate_page(outcome, story.annotators, story.standings),
        audit_page(story.findings, {"rows": 3}, EVIL),
    ]
    for made in pages:
        check_page(made)
        assert "<script>alert" not in made
        assert "\u202e" not in made


@pytest.mark.parametrize("name", MODULES)
def test_every_word_is_there_in_both_languages(name):
    def words(value):
        if isinstance(value, Words):
            yield value
        elif isinstance(value, dict):
            for one in value.values():
                yield from words(one)
        elif isinstance(value, list | tuple):
            for one in value:
                yield from words(one)

    module = importlib.import_module(name)
    told = [one for key in vars(module) for one in words(vars(module)[key])]
    assert told
    for en, zh in told:
        assert sorted(re.findall(r"\{\w*\}", en)) == sorted(re.findall(r"\{\w*\}", zh)), en
        assert bool(en) == bool(zh), en
        assert not re.search(r"[\u4e00-\u9fff]", en), en
        assert not en or re.search(r"[\u4e00-\u9fffα-ω（），：；]", zh) or en.split()[-1] in ("W", "AC1"), en


def test_a_reader_of_chinese_meets_no_english_sentence(drawn_once):
    left = re.findall(r"(?:[a-z]+ ){3,}[a-z]+", shown(report(full("答")), "zh"))
    assert [one for one in left if not one.startswith("python")] == []


def test_a_reader_of_english_meets_no_chinese(drawn_once):
    assert set(re.findall(r"[\u4e00-\u9fff]+", shown(report(full("ok")), "en"))) == {"中文", "好"} - {"好"}


def test_every_finding_has_words():
    assert set(FINDINGS) == set(NAMES)
    assert set(NEUTRAL) == set(NAMES)


@pytest.mark.parametrize(
    "text", ["tie", "fewer than 3 votes", "task retracted: why not", "by a model", "hh-rlhf has no place for tools"]
)
def test_known_reasons_are_said_in_both_languages(text):
    assert 'lang="zh"' in reason(text)


@pytest.mark.parametrize(
    "text",
    [
        "the same as ab12",
        "shown first got 74.3% of 125 judgments (61.9% to 83.8%)",
        "393 characters against 60; without length the probability is 0.26",
        "3 of 9 tokens of mmlu.jsonl q1 (question); characters 3 to 90: what {is} it",
    ],
)
def test_cases_are_said_in_both_languages_with_all_they_hold(text):
    both = case_says(text)
    assert shown(both, "en").strip() == text.replace("{", "(").replace("}", ")")
    assert all(piece in shown(both, "zh") for piece in re.findall(r"[\d.]+%?|ab12|mmlu", text))


def test_an_unknown_reason_is_shown_as_it_is():
    assert reason("<b>own") == "<bdi>&lt;b&gt;own</bdi>"


def test_parts_without_material_are_left_out():
    text = report(Story("tiny"))
    check_page(text)
    assert re.findall(r'<section id="([a-z]+)">', text) == ["check"]
    assert "<figure" not in text
    assert "tiny: what is in this dataset" in text


@pytest.mark.parametrize("part", [field for field in Story._fields if field != "project"])
def test_any_one_part_may_be_missing(part, drawn_once):
    check_page(report(full()._replace(**{part: Story._field_defaults[part]})))


def test_the_top_says_whether_anything_needs_looking_at():
    warn, block = found("length_bias", "warn"), found("private_data", "block")
    assert "nothing that needs looking at" in shown(report(Story("a", findings=[])), "en")
    assert re.search(r"look at before training on this \(\s*1\s*\)", shown(report(Story("a", findings=[warn])), "en"))
    assert "stop this export" in shown(report(Story("a", findings=[block])), "en")
    allowed = shown(report(Story("a", findings=[block], allowed=["private_data"])), "en")
    assert "were allowed by name" in allowed
    assert "stop this export" not in allowed


def test_rows_are_counted_in_one_pass():
    counts = nothing()
    for i in range(40):
        count(counts, row(i))
    assert total(counts) == 40
    assert counts.splits == {"train": 20, "validation": 10, "test": 10}
    assert counts.languages == {"zh": 26, "en": 14}
    assert len(counts.prompts) == 14
    assert sum(counts.probability) == sum(counts.margin.values()) == 40
    assert counts.votes == {2.0: 20, 3.0: 20}
    edges, chosen, rejected = lengths(counts)
    assert sum(chosen) == sum(rejected) == 40
    assert len(edges) == len(chosen) + 1
    place = next(i for i in range(len(chosen)) if edges[i] <= 15 < edges[i + 1])
    assert chosen[place] == sum(edges[place] <= 1 + i * 7 < edges[place + 1] for i in range(40))


def test_other_layouts_are_counted_as_far_as_they_go():
    counts = nothing()
    count(counts, {"split": "train", "chosen": "\n\nHuman: a", "rejected": "b"})
    count(counts, {"split": "train", "completion": [{"content": "abcd"}], "label": False})
    count(counts, {"split": "train", "chosen": {"from": "gpt", "value": "abcd"}, "rejected": {"value": ""}})
    assert sum(counts.chosen) == 2
    assert sum(counts.rejected) == 3
    assert sum(counts.probability) == 0


@pytest.mark.parametrize(
    "values", [{1.0: 3}, {-1.5: 2, 0.3: 1, 2.0: 4}, {1: 5, 2: 6, 900: 1}, {0.001: 1, 0.0012: 1}, {-0.5: 1, -0.25: 2}]
)
def test_bins_hold_every_value_once(values):
    edges, bins = binned(values)
    assert len(edges) == len(bins) + 1 <= 26
    assert sum(bins) == sum(values.values())
    for i, n in enumerate(bins):
        inside = sum(k for v, k in values.items() if edges[i] - 1e-9 <= v < edges[i + 1] - 1e-9)
        assert n == inside


def charts():
    return {
        "histogram": histogram([0.5, 0.75, 1.0], {"a": [3, 0]}),
        "two": histogram([1, 10, 100], {"a": [3, 1], "b": [1, 2]}, log=True),
        "bars": bars({EVIL: 3, "b": 0.5}),
        "spans": spans(
            [Span("a", 0.5, 0.4, 0.6), Span("a", None, None, None), Span("c", 0.2, None, None, 1)], rule=0.8
        ),
        "curve": curve([Point(0.6, 0.5, 0.4, 0.6, 9), Point(0.9, 0.8)]),
        "lines": lines({"a": [(1, 2), (2, 1)], "b": [(1, 0.0), (2, 5)]}, log=True),
    }


def test_charts_are_drawn_in_the_palette_and_hold_no_script():
    made = charts()
    for name, svg in made.items():
        colours = set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg)) - {"none"}
        assert colours <= set(PALETTE.values()), name
        assert set(re.findall(r"<(\w+)", svg)) <= {"svg", "g", "path", "line", "rect", "text"}, name
        assert 'viewBox="0 0 460 ' in svg
        assert "alert(1)</script>" not in svg
    assert made == charts()
    assert "<text" in made["bars"]


def test_a_histogram_draws_a_bar_for_each_bin_that_holds_something():
    edges = [i / 10 for i in range(11)]
    svg = histogram(edges, {"a": [0, 3, 0, 0, 5, 1, 0, 0, 0, 2]})
    assert len(re.findall(r'<path [^>]*fill="#0f766e"', svg)) == 4


def test_data_is_told_apart_from_markup():
    assert data("<b>") == "<bdi>&lt;b&gt;</bdi>"
    assert data(Markup("<b>")) == "<b>"
    assert data(1234567) == "1,234,567"
    assert data(None) == "–"
    assert say(Words("{n} of {who}", "{who} 的 {n}"), n=3, who="<i>").count("&lt;i&gt;") == 2


def test_numbers_stand_to_the_right_and_long_tables_say_what_is_left_out():
    made = table([Words("name", "名称"), Words("n", "数")], [["a", 1], ["b", "2.5%"]], more=7, where="data/x.jsonl")
    assert made.count('class="num"') == 3
    assert "data/x.jsonl" in made
    many = breakdown(Words("name", "名称"), Words("n", "数"), {f"k{i}": i for i in range(1, 31)}, most=20)
    assert many.count("<tr>") == 21
    assert "10 more rows" in many


def test_a_title_of_the_data_s_own_cannot_break_the_page():
    check_page(page(Words("{name}: x", "{name}：某"), [], name='"><script>'))


def labels_file(folder):
    rng = random.Random(3)
    lines_of = ["unit,annotator,value"]
    for unit in range(60):
        truth = rng.choice(["好", "bad"])
        for who in range(4):
            lines_of.append(f"u{unit},p{who},{truth if rng.random() < 0.85 else rng.choice(['好', 'bad'])}")
    path = folder / "labels.csv"
    path.write_text("\n".join(lines_of), encoding="utf-8")
    return str(path)


def test_plain_labels_give_a_report_of_agreement_and_of_aggregation(tmp_path, capsys):
    path = labels_file(tmp_path)
    assert agreement([path, "--out", str(tmp_path / "agree"), "--replicates", "50"]) == 0
    assert aggregate([path, "--out", str(tmp_path / "labels"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["report"].endswith("report.html")
    first = (tmp_path / "agree/report.html").read_text("utf-8")
    second = (tmp_path / "labels/report.html").read_text("utf-8")
    for made in (first, second):
        check_page(made)
        assert "labels.csv" in made
    assert re.search(r"alpha\s+0\.\d{3}\s+\(95% interval", re.sub(r"<[^>]+>", "", first))
    assert "p3" in second
    assert "Reliability of each annotator" in second


def test_an_audit_has_a_report_of_its_findings(tmp_path, capsys):
    pairs = [
        {"prompt": f"q{i}", "chosen": "mail me at ana.silva@gmail.com now", "rejected": f"no {i}"} for i in range(9)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    audit([str(path), "--out", str(tmp_path / "audit"), "--allow", "private_data"])
    text = (tmp_path / "audit/report.html").read_text("utf-8")
    check_page(text)
    assert "Private data in a text" in text
    assert "ana.silva@gmail.com" not in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_from_disk_in_a_browser(browser, tmp_path, scheme, drawn_once):
    (tmp_path / "report.html").write_text(report(full(EVIL)), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme, locale="zh-CN")
    tab = context.new_page()
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((tmp_path / "report.html").as_uri())
    assert said == []
    assert len(asked) == 1
    assert tab.evaluate("document.documentElement.lang") == "zh"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heading = tab.locator("#path h2")
    assert heading.inner_text() == "从任务到数据行"
    tab.get_by_text("English", exact=True).click()
    assert heading.inner_text() == "From tasks to rows"
    assert tab.evaluate("document.documentElement.lang") == "en"
    dot = tab.locator("figure svg [fill='#0f766e']").first
    assert (
        dot.evaluate("e => getComputedStyle(e).fill")
        == {"light": "rgb(15, 118, 110)", "dark": "rgb(45, 212, 191)"}[scheme]
    )
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_script_the_report_is_english_and_the_control_still_works(browser, tmp_path, drawn_once):
    (tmp_path / "report.html").write_text(report(full()), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False, locale="zh-CN")
    tab = context.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    assert tab.locator("#path h2").inner_text() == "From tasks to rows"
    tab.get_by_text("中文", exact=True).click()
    assert tab.locator("#path h2").inner_text() == "从任务到数据行"


def test_the_report_has_no_fault_that_axe_finds(browser, tmp_path, drawn_once):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    (tmp_path / "report.html").write_text(report(full()), encoding="utf-8")
    for scheme in ("light", "dark"):
        tab = browser.new_context(color_scheme=scheme, bypass_csp=True).new_page()
        tab.goto((tmp_path / "report.html").as_uri())
        assert [fault["id"] for fault in axe.run(tab).response["violations"]] == []


def test_what_is_only_to_know_is_not_titled_as_a_fault() -> None:
    from curate.report_words import finding_title

    one = Finding(name="position_bias", level="info", count=5, of=10, says="the answer shown first got 50%")
    assert "How often the answer shown first wins" in finding_title(one)
    assert "too often" not in finding_title(one)
    assert "胜出过多" not in finding_title(one)
    assert "too often" in finding_title(one.model_copy(update={"level": "warn"}))


def test_warnings_of_labels_and_strengths_of_few_comparisons_are_on_the_page() -> None:
    from curate.report_pages import Outcome, aggregate_page
    from curate.report_people import standing_parts

    told = Outcome(
        "l.csv", {"units": 3}, "dawid-skene", 4, True, 0, 0, [0] * 20, warnings=["no unit was labelled twice"]
    )
    assert "no unit was labelled twice" in aggregate_page(told, [], [])
    rows = [{"item": n, "strength": 1.0, "low": 0.0, "high": 2.0, "too_few": n == "new"} for n in ("old", "new")]
    page = "".join(standing_parts(rows))
    assert page.count("(too few comparisons)") == 1
    assert "1 of 2 were compared too few times" in page
