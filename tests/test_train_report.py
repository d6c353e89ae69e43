"""What a training run leaves for people: page, model card, experiment log, and the rows it did worst on."""

import json
import math
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser

import pytest
import vl_convert
import yaml
from hypothesis import given
from hypothesis import strategies as st
from run_stories import story

from data.errors import BadInput
from data.folder import write_folder
from data.formats import read
from data.formats.rows import Row
from data.manifest import verify_folder
from data.stats import wilson
from train.experiment_log import PLACE, Entry, entry, log_run
from train.exports import Pair
from train.held_out import accuracy, auc, by_slice, reliability, scored, sigmoid
from train.model_card import licence_of, model_card
from train.run_figures import ends, points, thinned
from train.run_report import duration, run_page, shortly, write_pages
from train.run_story import BETTER, Texts, base_name
from train.worst import ask_again, texts_of, worst_rows, write_worst

TASKS = ("sft", "reward", "dpo", "kto")
EVIL = "<script>alert(1)</script>]]>--></style><img src=x onerror=alert(2)>\u202eevil\u2066\x00{0}{name}%s'\"|`*_[x](y)"
DRAW = vl_convert.vegalite_to_svg


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """A chart that was drawn in this run is not drawn again."""
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda made, **_: _drawn(json.dumps(made)))


@cache
def page_of(task):
    return run_page(story(task))


@cache
def _drawn(made):
    return DRAW(json.loads(made), vl_version="6.4", allowed_base_urls=[])


class Outline(HTMLParser):
    """Elements and attributes of a page, and whether every one that was opened is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.bad = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)


def check_page(text):
    """What holds for every page: well formed, asks nobody for anything, one script and it is ours."""
    outline = Outline(text)
    assert (outline.bad, outline.open) == ([], [])
    tags = [tag for tag, _ in outline.elements]
    assert (tags.count("script"), tags.count("style")) == (1, 1)
    assert not {"img", "link", "iframe", "object", "form", "base", "image", "foreignobject"} & set(tags)
    ids = [attrs["id"] for _, attrs in outline.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in outline.elements:
        assert not any(name.startswith("on") or name in ("src", "style") for name in attrs), (tag, attrs)
        assert re.fullmatch(r"#[a-z-]+|[a-z_]+/([a-z_]+\.[a-z]+)?|README.md|manifest.json", attrs.get("href", "#a"))
    assert text.count('<span lang="en">') == text.count('<span lang="zh">')
    return outline


def check_markdown(text):
    """Nothing but headings, paragraphs, lists, tables and code: no HTML, no link, no picture."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    kinds = {one.type for token in tokens for one in (token, *(token.children or []))}
    assert not {kind for kind in kinds if re.match("html|link|image|strong|em", kind)}, kinds


# --- the page ---


@pytest.mark.parametrize("task", TASKS)
def test_each_tasks_page_is_whole_harmless_and_the_same_twice(task):
    check_page(page_of(task))
    assert page_of(task) == run_page(story(task))


CHARTS = {
    "sft": {"loss", "grad_norm", "rate", "memory", "time"},
    "reward": {"loss", "accuracy", "margin", "rewards", "length", "grad_norm", "rate", "memory", "time"},
    "dpo": {"loss", "accuracy", "margin", "rewards", "logps", "kl", "length", "grad_norm", "rate", "memory", "time"},
    "kto": {"loss", "margin", "rewards", "logps", "kl", "grad_norm", "rate", "memory", "time"},
}


@pytest.mark.parametrize("task", TASKS)
def test_a_page_draws_what_its_task_has_and_nothing_empty(task):
    assert set(re.findall(r'id="chart-([a-z_]+)-t"', page_of(task))) == CHARTS[task]


@pytest.mark.parametrize("task", TASKS)
def test_calibration_is_shown_where_a_run_gives_probabilities(task):
    assert ('id="reliability-t"' in page_of(task)) == (task in BETTER)


def test_a_run_without_anything_has_a_page_and_a_card():
    empty = {"metrics": (), "held_out": (), "worst": (), "texts": {}, "lost": (), "looked": {}, "warnings": ()}
    bare = story("dpo", **empty, estimate=(), licences={}, sources={}, languages={}, digests={}, versions={}, rows={})
    check_page(run_page(bare))
    assert "no held-out rows" in model_card(bare)
    assert yaml.safe_load(model_card(bare).split("---")[1])["license"] == "other"


def hostile(task):
    made = story(task)
    worst = [{**row, "why": EVIL, "task_id": EVIL, "split": EVIL} for row in made.worst[:3]]
    held = [{**row, "tags": [EVIL], "language": EVIL} for row in made.held_out]
    names = dict.fromkeys(("name", "base", "export", "command", "method", "device", "base_licence"), EVIL)
    return made._replace(
        **names,
        config={EVIL: EVIL},
        digests={EVIL: EVIL},
        versions={EVIL: EVIL},
        licences={EVIL: 3},
        sources={EVIL: 3},
        languages={EVIL: 3},
        held_out=held,
        worst=worst,
        texts={row["id"]: Texts(EVIL * 300, EVIL + "\n" * 90, EVIL) for row in worst},
        lost=[{**made.lost[0], "why": EVIL, "id": EVIL, "fate": EVIL}],
        warnings=[{"step": 3, "name": EVIL, "en": EVIL, "zh": EVIL}],
        estimate=[{"part": EVIL, "predicted_bytes": 1.0, "used_bytes": 2.0}],
    )


@pytest.mark.parametrize("task", ["sft", "dpo"])
def test_hostile_text_is_only_ever_text(task):
    text = run_page(hostile(task))
    check_page(text)
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "[U+202E]" in text


def test_numbers_that_are_none_do_not_stop_a_page():
    made = story("dpo")
    logged = [{**row, "loss": math.nan, "kl": math.inf, "margin": None} for row in made.metrics]
    text = run_page(made._replace(metrics=logged))
    check_page(text)
    assert not re.search(r"[>\s](nan|inf)[<\s]", text)


def test_a_long_command_is_shown_whole_and_one_of_few_families_draws_no_verdict():
    long = "python -m train.dpo x " + " ".join(f"--set key{i}=1" for i in range(80))
    made = story("dpo", command=long)
    assert long in run_page(made)
    assert long in model_card(made)
    few = [{**row, "cluster": f"c{i % 8}"} for i, row in enumerate(made.held_out)]
    assert "too sure of itself" in page_of("dpo")
    assert "too sure of itself" not in run_page(made._replace(held_out=few))


def test_figures_from_and_to_are_means_of_a_tenth():
    assert ends([(float(i), float(i)) for i in range(100)]) == (4.5, 94.5)
    assert ends([(1.0, 3.0), (2.0, 5.0)]) == (3.0, 5.0)


def test_a_long_text_is_cut_and_says_by_how_much():
    made = story("dpo")
    first = made.worst[0]["id"]
    text = run_page(made._replace(texts={first: Texts("p", "x" * 5_000, "")}))
    assert "x" * 1200 in text
    assert "x" * 1201 not in text
    assert "3,800 more characters" in text
    assert "(empty answer)" in text


def test_lost_rows_are_counted_and_named_with_their_reason():
    text = page_of("dpo")
    assert "30 tokens are over 1024" in text
    assert '<span lang="en"><bdi>3</bdi>' not in text  # numbers are no data of unknown direction
    assert re.search(r"3 of 4,450 rows were not seen whole \(<bdi>0\.1%</bdi>\)", text)
    whole = story("dpo", looked={"rows": 9, "kept": 9}, lost=())
    assert "All 9 rows fit" in run_page(whole)


def test_prediction_and_use_stand_beside_each_other():
    text = page_of("dpo")
    assert re.search(r"4\.84 GiB.*5\.12 GiB.*−5\.5%", text)
    assert re.search(r"4 min 20 s.*4 min 2 s.*\+7\.6%", text)


def test_pages_are_written_into_a_folder_that_verifies(tmp_path):
    made = story("reward")
    with write_folder(tmp_path / "run", "reward run", {"seed": 0}) as folder:
        folder.write("data/held_out.jsonl", made.held_out)
        write_pages(folder, made)
    assert verify_folder(tmp_path / "run") == []
    text = (tmp_path / "run" / "report.html").read_text("utf-8")
    linked = re.findall(r'href="([a-z_]+[./][^"]*|README.md|manifest.json)"', text)
    assert sorted(linked) == ["README.md", "data/held_out.jsonl", "manifest.json"]
    assert all((tmp_path / "run" / name).exists() for name in linked)


def test_a_page_reads_in_a_browser_wide_and_narrow_light_and_dark(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page_of("dpo"), "utf-8")
    wide = {"viewport": {"width": 1120, "height": 900}}
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
    for size in (wide, phone):
        page = browser.new_context(**size, locale="en-GB").new_page()
        said, asked = [], []
        page.on("console", lambda message, into=said: into.append(message.text))
        page.on("request", lambda request, into=asked: into.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("h1").inner_text() == "Training run sky-dpo"
        page.click("label[for=in-zh]")
        assert page.locator("h1").inner_text() == "训练运行 sky-dpo"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert said == []
        assert asked == [path.as_uri()]
        a, b = (page.locator(f".finding .grid .note.{level}").first.bounding_box() for level in ("good", "block"))
        assert (a["y"] == b["y"]) == (size is wide)
        assert (a["x"] == b["x"]) == (size is phone)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 50))
def test_thinning_keeps_means_and_order(values, most):
    line = [(float(i), y) for i, y in enumerate(values)]
    thin = thinned(line, most)
    assert len(thin) == min(len(line), most)
    assert [x for x, _ in thin] == sorted(x for x, _ in thin)
    assert min(values) - 1e-6 <= min(y for _, y in thin)
    assert max(y for _, y in thin) <= max(values) + 1e-6


def test_a_step_that_was_logged_twice_after_a_resumption_counts_once():
    logged = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 2, "loss": 1.5}]
    assert points(logged, "loss", "train") == [(1.0, 3.0), (2.0, 1.5)]


def test_time_of_a_step_is_between_two_logged_ones():
    logged = [{"step": s, "seconds": t} for s, t in ((10, 20.0), (20, 45.0), (40, 85.0))]
    assert points(logged, "step_seconds", "train") == [(20.0, 2.5), (40.0, 2.0)]


def test_durations_and_sizes_as_people_say_them():
    assert [duration(s) for s in (0.25, 42, 185, 7800)] == ["0.2 s", "42 s", "3 min 5 s", "2 h 10 min"]
    assert [shortly(n) for n in (1024, 41_943_040, 8_030_261_248)] == ["1,024", "41.9 M", "8.03 B"]


# --- held-out figures ---


def rows_of(margins, clusters=None, **more):
    return [
        {"id": f"r{i}", "split": "test", "chosen": m, "rejected": 0.0, "p": 1.0, "cluster": f"c{c}", **more}
        for i, (m, c) in enumerate(zip(margins, clusters or range(len(margins)), strict=True))
    ]


def test_accuracy_of_rows_of_their_own_is_wilsons():
    found = accuracy(rows_of([1.0] * 300 + [-1.0] * 100), "test")
    whole = wilson(300, 400)
    assert (found.value, found.n, found.clusters) == (0.75, 400, 400)
    assert found.low == pytest.approx(whole.low, abs=1e-3)
    assert found.high == pytest.approx(whole.high, abs=1e-3)


def test_rows_of_one_family_are_one_draw():
    margins = [1.0] * 300 + [-1.0] * 100
    alone, together = accuracy(rows_of(margins), "a"), accuracy(rows_of(margins, [i // 10 for i in range(400)]), "b")
    assert together.clusters == 40
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_a_margin_of_nothing_is_half_right():
    assert accuracy(rows_of([0.0, 0.0, 1.0, -1.0]), "test").value == 0.5


def test_few_families_have_no_interval_and_say_so():
    made = story("dpo", held_out=rows_of([1.0, -1.0, 1.0]))
    assert accuracy(made.held_out, "test").low is None
    assert "no interval: 3 prompt families" in re.sub("<[^>]*>", "", run_page(made))


def test_slices_are_languages_and_tags_the_fullest_first():
    rows = rows_of([1.0] * 18)
    for i, row in enumerate(rows):
        row |= {"language": "zh" if i < 12 else "en", "tags": [*("ab" if i < 5 else "a"), *(["rare"] if i < 4 else [])]}
    assert [(s.name, s.n) for s in by_slice(rows, accuracy)] == [
        ("language=zh", 12),
        ("language=en", 6),
        ("tag=a", 18),
        ("tag=b", 5),
    ]


def test_probabilities_that_hold_lie_on_the_diagonal():
    rng = random.Random(3)
    margins = [rng.gauss(0, 2) for _ in range(4000)]
    rows = rows_of(margins)
    for row, margin in zip(rows, margins, strict=True):
        row["p"] = float(rng.random() < sigmoid(margin))
    found = reliability(rows)
    assert found.error < 0.02
    assert found.temperature == pytest.approx(1, abs=0.1)
    doubled = reliability([{**row, "chosen": 3 * row["chosen"]} for row in rows])
    assert doubled.temperature == pytest.approx(3, abs=0.3)


def unpaired(rewards, per_cluster=1):
    """Rows of kto: (reward, held good)."""
    return [
        {
            "id": f"r{i}", "split": "test", "chosen": 1.0, "rejected": None, "reward": reward, "label": good,
            "cluster": f"c{i // per_cluster}",
        }
        for i, (reward, good) in enumerate(rewards)
    ]  # fmt: skip


def test_the_auc_is_the_share_of_good_answers_above_bad_ones():
    rows = unpaired([(1.0, True), (0.2, True), (0.2, False), (-3.0, False), (0.5, False)])
    assert auc(rows, "test")[1] == pytest.approx((3 + 1.5) / 6)
    assert auc(rows, "test").low is None
    assert auc(rows[:2], "test") is None
    assert auc([{**row, "reward": None} for row in rows], "test") is None
    whole = auc(unpaired([(i % 2, i % 2 == 1) for i in range(60)]), "test")
    assert (whole.value, whole.high, whole.n, whole.clusters) == (1.0, 1.0, 60, 60)
    assert 0.9 < whole.low < 1


def test_the_aucs_interval_holds_the_truth_and_takes_whole_families():
    from statistics import NormalDist

    truth, held = NormalDist().cdf(1 / 2**0.5), []
    for seed in range(200):
        draw = random.Random(seed)
        rewards = []
        for _ in range(30):
            good, own = draw.random() < 0.5, draw.gauss(0, 1)
            rewards += [(own + good, good)] * 3  # a family of three that are alike
        rows = unpaired(rewards, per_cluster=3)
        found = auc(rows, "test")
        held.append(found.low <= truth <= found.high)
        apart = auc([{**row, "cluster": None} for row in rows], "test")
        assert apart.high - apart.low < 0.75 * (found.high - found.low)
    assert 0.9 <= sum(held) / len(held) <= 0.99


def test_a_run_of_kto_is_told_by_its_auc():
    rewards = [(random.Random(i).gauss(i % 2, 1), i % 2 == 1) for i in range(80)]
    one = story("kto", held_out=unpaired(rewards))
    share = auc(one.held_out, "test")
    text = re.sub("<[^>]*>", " ", run_page(one))
    assert re.search(rf"held-out AUC, good against bad\s+留出 AUC（好对坏）\s+{share.value:.3f}", text)
    assert "Loss" in text
    assert f"| test | {share.value:.3f} | {share.low:.3f} – {share.high:.3f} | 80 | 80 |" in model_card(one)
    assert f"AUC {share.value:.3f} [{share.low:.3f}, {share.high:.3f}] test, n=80" in entry(one).held_out


def test_answers_held_bad_do_not_count_in_the_loss_told_first():
    rows = [
        {"id": f"r{i}", "split": "test", "chosen": 1.0 + i % 2, "rejected": None, "label": i % 2 == 0}
        for i in range(60)
    ]
    text = re.sub("<[^>]*>", " ", run_page(story("kto", held_out=rows)))
    assert re.search(r"held-out loss per token\s+留出每词元损失\s+1\.000", text)
    assert "held=bad" in text


# --- the worst rows ---


def pair(key, p=0.9, **more):
    row = {"prompt_id": f"p-{key}", "task_id": f"t-{key}", "judgment_ids": ["j"], **more}
    asked, yes, no = (
        [{"role": r, "content": f"{c} {key}"}] for r, c in (("user", "q"), *[("assistant", c) for c in "yn"])
    )
    return Pair(key, asked, yes, no, None, p, 1.0, "test", "here", row)


def held(key, margin, p):
    return {"id": key, "split": "test", "chosen": margin, "rejected": 0.0, "p": p, "cluster": key}


HELD = [held("a", -0.5, 0.95), held("b", -4.0, 0.6), held("c", -2.0, 0.95), held("d", 3.0, 0.95), held("e", -1.0, 0.6)]


def test_worst_are_the_wrong_ones_certain_people_first_then_wide_margins_in_turn():
    found = worst_rows(HELD, {key: pair(key) for key in "abcde"}, "dpo")
    assert [(row["id"], row["why"]) for row in found] == [
        ("c", "against certain people"),
        ("b", "widest margin"),
        ("a", "against certain people"),
        ("e", "widest margin"),
    ]
    assert (found[0]["task_id"], found[0]["prompt_id"], found[0]["judgment_ids"]) == ("t-c", "p-c", ["j"])
    assert set(found[0]) == {"id", "split", "prompt_id", "task_id", "judgment_ids", "margin", "loss", "p", "why"}


def test_one_prompts_answers_do_not_fill_the_list():
    rows = [{**held(f"a{i}", -9.0 - i, 0.9), "cluster": "same"} for i in range(5)] + [held("b", -1.0, 0.9)]
    assert [row["id"] for row in worst_rows(rows, {}, "dpo", 2)] == ["a4", "b"]


@given(st.permutations(HELD), st.integers(0, 6))
def test_worst_rows_do_not_depend_on_the_order_they_came_in(rows, most):
    assert worst_rows(rows, {}, "reward", most) == worst_rows(HELD, {}, "reward")[:most]


@given(st.floats(-30, 30), st.floats(0, 1))
def test_the_loss_told_is_the_cross_entropy(margin, p):
    for row in worst_rows([held("a", margin, p)], {}, "dpo"):
        direct = -p * math.log(sigmoid(margin)) - (1 - p) * math.log(sigmoid(-margin))
        assert row["loss"] == pytest.approx(direct, abs=1e-5)
        assert (margin < 0) == (p > 0.5)


def test_of_answers_the_least_likely_good_and_the_likeliest_bad():
    rows = [
        {"id": k, "split": "test", "chosen": x, "label": good} for k, x, good in (("a", 3.0, True), ("b", 0.1, False))
    ]
    rows += [
        {"id": k, "split": "test", "chosen": x, "label": good} for k, x, good in (("c", 9.0, False), ("d", 1.0, True))
    ]
    assert [row["id"] for row in worst_rows(rows, {}, "kto")] == ["a", "b", "d", "c"]


def test_the_worst_pairs_can_be_given_to_people_again(tmp_path):
    sources = {f"k{i}": pair(f"k{i}", language="en", tags=["x"], licence="CC0-1.0") for i in range(40)}
    worst = worst_rows([held(key, -1.0 - i, 0.9) for i, key in enumerate(sources)], sources, "dpo")
    with write_folder(tmp_path / "run", "dpo run", {}) as folder:
        write_worst(folder, worst, sources)
    file = tmp_path / "run" / "audit" / "ask_again.jsonl"
    line = [sys.executable, "-m", "annotate.load", str(file), "--project", "again", "--kind", "ab", "--overlap", "3"]
    done = subprocess.run([*line, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"tasks":40' in done.stdout.replace(" ", "")
    rows = [row for row in read([file], None, "train").rows if isinstance(row, Row)]
    assert {row.key for row in rows} == set(sources)
    firsts = [row.responses[0].messages[0].content.startswith("y") for row in rows]
    assert 8 < sum(firsts) < 32  # neither side always first


def test_prompts_with_tools_and_lone_answers_are_not_asked_again():
    with_tools = pair("a")._replace(tools=[{"type": "function"}])
    assert ask_again([{"id": "a"}, {"id": "gone"}], {"a": with_tools}) == []


def test_texts_show_turns_where_there_is_more_than_one():
    made = pair("a")._replace(prompt=[{"role": "system", "content": "s"}, {"role": "user", "content": "q"}])
    assert texts_of(made) == Texts("system: s\nuser: q", "y a", "n a")


# --- the model card ---


@pytest.mark.parametrize("task", TASKS)
def test_the_hub_reads_the_cards_header(task):
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(story(task)))
    head = card.data.to_dict()
    assert head["base_model"] == "Tiny-Llama-Chat"
    assert head["library_name"] == ("transformers" if task == "sft" else "peft")
    assert head["pipeline_tag"] == ("text-classification" if task == "reward" else "text-generation")
    assert head["datasets"] == ["sky"]
    assert head["language"] == ["en", "zh"]
    assert task in head["tags"]
    (metric,) = [one["metrics"][0] for one in head["model-index"][0]["results"] if one["dataset"]["split"] == "test"]
    assert metric["type"] == ("accuracy" if task in BETTER else "loss")


@pytest.mark.parametrize("task", TASKS)
def test_the_card_says_what_a_user_must_know(task):
    text = model_card(story(task))
    for part in ("## Intended use", "## Evaluation", "## Data and licences", "## Limits", "## Hashes"):
        assert part in text
    for told in ("e" * 64, "a1" * 32, "7f" * 32, "CC-BY-4.0", "none stated", "apache-2.0", "trl", "prompt families"):
        assert told in text
    assert "/home/somebody" not in text


@pytest.mark.parametrize(
    ("base", "data", "told"),
    [
        ("apache-2.0", {"Apache-2.0": 9}, "apache-2.0"),
        ("apache-2.0", {"CC-BY-4.0": 9}, "other"),
        ("apache-2.0", {"Apache-2.0": 9, "none stated": 1}, "other"),
        (None, {"Apache-2.0": 9}, "other"),
    ],
)
def test_a_licence_is_claimed_only_where_base_and_data_share_it(base, data, told):
    head = yaml.safe_load(model_card(story("dpo", base_licence=base, licences=data)).split("---")[1])
    assert head["license"] == told
    assert ("license_name" in head) == (told == "other")


def test_hostile_names_stay_inside_the_cards_lines():
    text = model_card(hostile("dpo"))
    head, body = text.split("\n---\n", 1)
    assert yaml.safe_load(head.removeprefix("---\n"))["datasets"][0].startswith("<script>")
    assert "\u202e" not in text
    check_markdown(body)
    usual = re.sub(r"[^|\n]", "", model_card(story("dpo")).split("\n---\n", 1)[1])
    assert set(usual.split()) >= {re.sub(r"\\\||[^|]", "", line) for line in body.splitlines() if line.startswith("|")}


def test_a_bases_own_card_tells_its_licence(tmp_path):
    assert licence_of(str(tmp_path)) is None
    for text, told in (
        ("---\nlicense: llama3.1\n---\n# x", "llama3.1"),
        ("---\nlicense: [a\n---\n", None),
        ("# no header", None),
        (f"---\nlicense: '{EVIL[:20]}'\n---\n", None),
    ):
        (tmp_path / "README.md").write_text(text, "utf-8")
        assert licence_of(str(tmp_path)) == told


def test_a_folder_is_named_without_the_way_to_it():
    assert base_name("/home/somebody/models/x") == "x"
    assert base_name("../models/x/") == "x"
    assert base_name("/tmp/tiny/model") == base_name("tiny/model") == base_name("./tiny") == "tiny"
    typed = "python -m train.dpo /home/somebody/sky --model /home/somebody/tiny/model --set seed=1"
    assert "python -m train.dpo sky --model tiny --set seed=1" in model_card(story("dpo", command=typed))
    assert base_name("meta-llama/Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"


# --- the experiment log ---

WHEN = datetime(2026, 11, 22, 14, 5, tzinfo=UTC)


def lines_of(path):
    return [line for line in path.read_text("utf-8").splitlines() if line.startswith("| 2026")]


def test_each_run_is_a_line_of_one_table_failed_ones_too(tmp_path):
    log_run(tmp_path, entry(story("dpo")), WHEN)
    log_run(tmp_path, Entry("sky-2", "reward", "failed", what="out of memory: lower batch"), WHEN)
    path = log_run(tmp_path, entry(story("sft"), "stopped", "Ctrl-C"), WHEN)
    assert path == tmp_path / PLACE
    text = path.read_text("utf-8")
    assert text.count("when (UTC)") == 1
    first, second, third = lines_of(path)
    assert "| sky-dpo | dpo | done | Tiny-Llama-Chat | qlora (41.9 M) | sky | 4,210 | 120 |" in first
    assert "eeeeeeeeeeee |" in first
    assert "out of memory: lower batch |" in second
    assert "Ctrl-C" in third
    assert {line.count(" | ") for line in (first, second, third)} == {14}


def test_runs_that_end_at_once_lose_no_line(tmp_path):
    with ThreadPoolExecutor(8) as many:
        list(many.map(lambda i: log_run(tmp_path, Entry(f"run-{i}", "dpo", "done"), WHEN), range(40)))
    assert {re.split(r" \| ", line)[1] for line in lines_of(tmp_path / PLACE)} == {f"run-{i}" for i in range(40)}


def test_what_people_write_into_the_log_stays(tmp_path):
    path = log_run(tmp_path, Entry("one", "dpo", "done"), WHEN)
    path.write_text(path.read_text("utf-8") + "\nThe second try had half the learning rate.", "utf-8")
    log_run(tmp_path, Entry("two", "dpo", "done"), WHEN)
    text = path.read_text("utf-8")
    assert text.index("one") < text.index("half the learning rate") < text.index("| two ")
    assert text.count("when (UTC)") == 2  # a table under the note has a head of its own


def test_a_hostile_name_is_one_cell_of_one_line(tmp_path):
    path = log_run(tmp_path, Entry(EVIL + "\n| x |", "dpo", "failed", what=EVIL), WHEN)
    (line,) = lines_of(path)
    assert len(re.findall(r"(?<!\\)\|", line)) == 16
    check_markdown(path.read_text("utf-8"))
    assert "\u202e" not in line


def test_a_log_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "reports").write_text("in the way", "utf-8")
    with pytest.raises(BadInput, match="the run itself is whole"):
        log_run(tmp_path, Entry("x", "dpo", "done"), WHEN)


def test_scored_rows_are_those_that_can_be_right():
    assert scored([{"chosen": 1.0, "rejected": None}, {"chosen": 1, "rejected": 0.5}], "dpo") == [
        {"chosen": 1, "rejected": 0.5}
    ]
    assert scored([{"chosen": 1, "rejected": 0.5}], "sft") == []
