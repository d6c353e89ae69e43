"""An audit in arrays says what a plain one says: each check beside a slow one written from its description."""

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.judged import judged
from bench.planted import plant
from curate import bias, content, cycles, marks, people, repeats
from curate.auditing import Limits, checks, findings, rows_named
from curate.ballot_columns import WHOLE, columns
from curate.contamination import EvaluationText, index
from curate.findings import NAMES, Found
from curate.groups import near_across
from curate.material import Ballot, Material, Pair, Passage, ballot_of, material, pair_of
from curate.private import find, scan
from curate.scripts import script_languages
from data.errors import BadInput
from data.records import Judgment, Message, PreferencePair
from data.stats import Rate, wilson
from data.text import normalise, script_language, tokens

WORDS = "a|b |Ab| |\n|的|是一|か|カナ|한국|д|α|ש|ح|हि|ไท|7|１|½|ﬁ|—|。|ǅ|ſ|ß|ａ|…|ក្|𝒜|漢々〇|é|K"
LETTERS = st.sampled_from([*WORDS.split("|"), "\u0301", "\u200b", "\u00ad", "\u3099", "\ud800"])
TEXT = st.lists(LETTERS, max_size=12).map("".join)


@st.composite
def ballots(draw: st.DrawFn) -> list[Ballot]:
    """Ballots of few people on few tasks, so that everything meets: ties, unplaced answers, rankings, two kinds."""
    made = []
    for n in range(draw(st.integers(0, 60))):
        task = draw(st.integers(0, 4))
        answers = [f"{task}{c}" for c in "abcd"[: 2 + task % 3]]
        shown = draw(st.permutations(answers))
        placed = draw(st.lists(st.sampled_from(answers), min_size=1, max_size=len(answers), unique=True))
        place = {r: draw(st.integers(0, 2)) for r in placed}
        who, kind = draw(st.sampled_from([("u", "person"), ("v", "person"), ("w", "person"), ("m", "model")]))
        seconds = draw(st.sampled_from([None, 0.0, 1.5, 20.0, 21.0, float("nan")]))
        made.append(Ballot(f"j{n}", f"t{task}", f"p{task % 3}", who, kind, tuple(shown), place, seconds))
    return made


def plain_parts(ballot: Ballot) -> int | None:
    placed = [ballot.place[r] for r in ballot.shown if r in ballot.place]
    two = list(combinations(placed, 2))
    return sum((2 if a < b else 1 if a == b else 0) * WHOLE // (2 * len(two)) for a, b in two) if two else None


def plain_position(own: Sequence[Ballot], confidence: float = 0.95) -> Rate:
    told = [parts for b in own if (parts := plain_parts(b)) is not None]
    return wilson(sum(told) / WHOLE, len(told), confidence)


def plain_agreements(own: Sequence[Ballot]) -> dict[str, tuple[int, int]]:
    def sides(b: Ballot) -> list[tuple[tuple[str, str, str], int]]:
        two = combinations(sorted(b.place), 2)
        return [((b.task, x, y), (b.place[x] < b.place[y]) - (b.place[x] > b.place[y])) for x, y in two]

    lean: dict[Any, int] = defaultdict(int)
    for b in own:
        for key, side in sides(b):
            lean[key] += side
    told: dict[str, tuple[int, int]] = {}
    for b in own:
        met = [(side > 0) == (lean[key] - side > 0) for key, side in sides(b) if side and lean[key] - side]
        if met:
            parts, n = told.get(b.annotator, (0, 0))
            told[b.annotator] = parts + sum(met) * WHOLE // len(met), n + 1
    return told


@settings(max_examples=60, deadline=None)
@given(ballots())
def test_shares_and_agreements_in_columns_are_those_of_counting_ballot_by_ballot(own: list[Ballot]) -> None:
    for kind in ("person", "model"):
        some = [b for b in own if b.kind == kind]
        column = columns(own).of_kind(kind)
        assert column.size == len(some)
        assert bias.position(column) == plain_position(some)
        assert people.agreements(column) == plain_agreements(some)
        many = {who: [b for b in some if b.annotator == who] for who in {b.annotator for b in some}}
        many = {who: many[who] for who in sorted(many) if len(many[who]) >= people.LEAST}
        assert people.known(column) == len(many)
        rates = {who: plain_position(few, 1 - 0.05 / len(many)) for who, few in many.items()}
        assert [(o.annotator, o.value, o.low, o.high, o.ballots) for o in people.leaning(column)] == [
            (who, r.rate, r.low, r.high, int(r.n))
            for who, r in rates.items()
            if r.rate is not None and abs(r.rate - 0.5) >= 0.1 and not r.low <= 0.5 <= r.high
        ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from([None, 0.0, 0.4, 2.0, 30.0, 31.5])), min_size=90))
def test_medians_of_seconds_are_those_of_each_person(said: list[tuple[str, float | None]]) -> None:
    own = [
        Ballot(f"j{n}", f"t{n}", "p", who, "person", ("a", "b"), {"a": 0, "b": 1}, s) for n, (who, s) in enumerate(said)
    ]
    times = {who: [s for w, s in said if w == who and s] for who in sorted({w for w, _ in said})}
    plain = {who: (median(s), len(s)) for who, s in times.items() if len(s) >= people.LEAST}
    quick = people.too_quick(columns(own), 3.0)
    assert all((o.value, o.ballots) == plain[o.annotator] for o in quick)
    usual = median(m for m, _ in plain.values()) if len(plain) > 3 else 0.0
    assert {o.annotator for o in quick} <= {who for who, (m, _) in plain.items() if m * 2 < usual}


@settings(max_examples=60, deadline=None)
@given(ballots())
def test_prompts_that_are_passed_over_have_no_circle(own: list[Ballot]) -> None:
    several = columns(own).of_three()
    assert cycles.of_ballots([b for b in own if b.prompt_id in several]) == cycles.of_ballots(own)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT, max_size=5))
def test_scripts_of_many_texts_are_those_of_each(texts: list[str]) -> None:
    assert script_languages(texts) == [script_language(text) for text in texts]
    assert script_languages(texts, "de") == [script_language(text, "de") for text in texts]


def test_every_letter_is_of_the_script_it_is_of_alone() -> None:
    rng = random.Random(3)
    texts = [f"ab{chr(p)}cd б" for p in rng.sample(range(0x80, 0x30000), 1500) if not 0xD800 <= p < 0xE000]
    assert script_languages(texts) == [script_language(text) for text in texts]


_LIST = re.compile(r"(?m)^[ \t]*(?:[-*+•]|\d{1,3}[.)、])[ \t]")
_HEADER = re.compile(r"(?m)^#{1,6}[ \t]")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["- ", "\n", "\t", "1. ", "٣) ", "# ", "##", " ", "*", "**", "`", "```", "a", "•", "\r", "\u2028", "、"]
        )
    )
)
def test_elements_of_style_are_those_of_looking_at_every_line(parts: list[str]) -> None:
    text = "".join(parts)
    plain = len(_LIST.findall(text)), len(_HEADER.findall(text)), text.count("**") // 2, text.count("```") // 2
    assert bias.style_counts(text) == plain


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[", "]", "(chosen)", "CHOSEN", "choſen", "better", " ", "x" * 70, "【更好】", "更好", "<", ">"]
        )
        | st.sampled_from(
            ["Rejected_answer:", "worse response：", "\n", "{ winner response }", "é", "preferred answer "]
        )
    )
)
def test_words_of_the_labels_are_found_as_by_looking_everywhere(parts: list[str]) -> None:
    text = "".join(parts)
    found = marks.mark(text)
    words = (
        "chosen",
        "rejected",
        "preferred",
        "winner",
        "loser",
        "better",
        "worse",
        "选中",
        "拒绝",
        "更好",
        "更差",
        "优选",
    )
    anywhere = any(c in text for c in "[<(【{") and any(word in text.lower() for word in words)
    plain = marks._MARK.search(text if anywhere else text[:60])
    assert (found and found[0]) == (plain and plain[0])


def plain_one_sided(pairs: Sequence[Pair], least: float) -> tuple[int, set[tuple[str, int, tuple[str, ...], bool]]]:
    """How many marks there are, and which: place, number of words, the words, whether on the chosen side."""
    met: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for p in pairs:
        own = [
            {
                (where, k, tuple(words[:k] if where == "begins" else words[-k:]))
                for where in ("begins", "ends")
                for k in (1, 3)
            }
            if (words := tokens(text))
            else set()
            for text in (p.chosen, p.rejected)
        ]
        for side, only in enumerate((own[0] - own[1], own[1] - own[0])):
            for one in only:
                met[one][side] += 1
    enough = {
        (*one, good > bad)
        for one, (good, bad) in met.items()
        if good + bad >= max(10, 0.05 * len(pairs)) and wilson(max(good, bad), good + bad, 0.9999).low >= least
    }
    return len(enough), enough


@pytest.mark.parametrize("seed", range(6))
def test_marks_on_one_side_are_those_of_counting_words(seed: int) -> None:
    rng = random.Random(seed)
    heads, tails = (
        ["Yes", "好的", "I am sure", "", "Of course, my", "No."],
        ["ok", "over and out", "", "done", "完 了", "."],
    )

    def say(tilt: float) -> str:
        head = heads[0] if rng.random() < tilt else rng.choice(heads)
        tail = tails[1] if rng.random() < tilt else rng.choice(tails)
        return f"{head} {rng.choice(['', str(rng.randrange(40)), 'a b c'])} {tail}"

    rows = [Pair(f"r{n:03}", f"p{n}", "q", say(seed / 6), say(0), f"c{n}", f"d{n}") for n in range(150)]
    count, known = plain_one_sided(rows, 0.8)
    found = marks.one_sided(rows, 0.8)
    assert (found[0].finding.figures["marks"] if found else 0) == count
    if found:
        told = {c.id for c in found[0].cases}
        side = "chosen" if "on the chosen side" in found[0].finding.says else "rejected"
        possible = []
        for where, k, words, good in known:
            held = [tokens(p.chosen if good else p.rejected) for p in rows]
            other = [tokens(p.rejected if good else p.chosen) for p in rows]

            def has(have: list[str], where: str = where, k: int = k, words: tuple[str, ...] = words) -> bool:
                return bool(have) and tuple(have[:k] if where == "begins" else have[-k:]) == words

            own = {p.id for p, a, b in zip(rows, held, other, strict=True) if has(a) and not has(b)}
            possible.append((("chosen" if good else "rejected"), own))
        assert (side, told) in possible


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=8), st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]))
def test_answers_alike_are_those_of_comparing_every_two(two: list[tuple[str, str]], near: float) -> None:
    from rapidfuzz.distance import Indel

    rows = [Pair(f"r{n}", "p", "", a, b, f"c{n}", f"d{n}") for n, (a, b) in enumerate(two)]
    for threads in (1, 2):
        found = content.near_identical(rows, near, threads)
        plain = [
            p.id for p in rows if p.chosen != p.rejected and Indel.normalized_similarity(p.chosen, p.rejected) >= near
        ]
        assert [c.id for one in found for c in one.cases] == plain


@pytest.mark.parametrize("seed", range(4))
def test_prompts_near_across_splits_are_those_of_joining_all(seed: int) -> None:
    rng = random.Random(seed)
    pool = [f"{w}{n}" for w in "abcdefgh" for n in range(6)] + list("的一是在不")
    base = [[rng.choice(pool) for _ in range(rng.randrange(0, 14))] for _ in range(25)]
    texts = []
    for _ in range(160):
        words = list(rng.choice(base))
        if words and rng.random() < 0.6:
            words[rng.randrange(len(words))] = rng.choice(pool)
        texts.append(" ".join(words) or rng.choice(["", "!!", "?"]))
    rows = [
        Pair(
            f"r{n:03}",
            f"p{n}",
            t,
            "a",
            "b",
            f"c{n}",
            f"d{n}",
            split=rng.choice(["train", "train", "test", "validation"]),
        )
        for n, t in enumerate(texts)
    ]
    keys = repeats.prompt_keys(rows)
    first: dict[Any, int] = {}
    for i, p in enumerate(rows):
        first.setdefault((keys[i], p.split), i)
    names = ["train", "test", "validation"]
    places = sorted(first.values())
    sides = [names.index(str(rows[i].split)) for i in places]
    near = {(keys[places[b]], rows[places[b]].split) for _, _, b in near_across([texts[i] for i in places], sides)}
    plain = {p.id for key, p in zip(keys, rows, strict=True) if (key, p.split) in near}
    assert {c.id for one in repeats.split_leaks(rows, keys) for c in one.cases} == plain
    assert plain


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["q", "Q!", "r", "s"]), st.sampled_from("xyz"), st.sampled_from("xyz")), max_size=14
    )
)
def test_repeats_and_contradictions_are_those_of_looking_at_every_two_rows(said: list[tuple[str, str, str]]) -> None:
    rows = [Pair(f"r{n:02}", f"p{n}", q, a, b, a, b) for n, (q, a, b) in enumerate(said)]
    found = repeats.repeats(rows, repeats.prompt_keys(rows))
    spelled = [(normalise(q).strip("!"), a, b) for q, a, b in said]
    twice = [f"r{n:02}" for n, s in enumerate(spelled) if s in spelled[:n]]
    against = [f"r{n:02}" for n, (q, a, b) in enumerate(spelled) if a != b and (q, b, a) in spelled[:n]]
    assert cases(found) == {
        **({"duplicate_rows": twice} if twice else {}),
        **({"contradiction": against} if against else {}),
    }


def cases(found: Sequence[Found]) -> dict[str, list[str]]:
    return {one.finding.name: [c.id for c in one.cases] for one in found}


def test_any_number_of_threads_gives_the_same_findings() -> None:
    project = judged(998, 3)
    known = index([EvaluationText("e", "1", "q", project.pairs[3].chosen)])
    alone = findings(project, evaluation=known)
    assert {"contamination", "near_identical_answers", "private_data"} <= {one.finding.name for one in alone}
    assert findings(project, evaluation=known, threads=2) == alone
    assert findings(project, evaluation=known, threads=8) == alone
    with pytest.raises(BadInput, match="--threads: 0"):
        findings(project, threads=0)


def test_private_data_on_several_threads_is_found_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.private._BATCH", 200)
    texts = [f"text {n} of ann{n}.lee@corp-mail.io 电话13763528190 " * (n % 3) for n in range(60)]
    plain = [one._replace(text=n) for n, text in enumerate(texts) for one in find(text)]
    for threads in (1, 2, 8):
        assert scan(texts, threads=threads) == plain


def test_what_is_not_asked_for_is_not_even_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("this was not asked for")

    for name in ("private.scan", "bias.style", "bias.length", "content.near_identical", "auditing.columns"):
        monkeypatch.setattr(f"curate.{name}", never)
    monkeypatch.setattr("curate.auditing.split_leaks", never)
    told: list[str] = []
    rows = [Pair("r1", "p", "q", "a", "a", "x", "y")]
    found = findings(material(rows), Limits(only=("identical_answers", "licence_unknown")), step=told.append)
    assert told == ["equal answers", "licences"]
    assert list(cases(found)) == ["identical_answers", "licence_unknown"]


def test_every_finding_has_one_check_that_gives_it() -> None:
    project = plant(1, 20)
    every = checks(project.material, Limits(), index([EvaluationText("e", "1", "q", project.evaluation)]))
    assert sorted(name for check in every for name in check.finds) == sorted(NAMES)
    for check in every:
        assert {one.finding.name for one in check.look()} <= set(check.finds)


def test_rows_are_named_by_the_findings_whose_cases_touch_them() -> None:
    rows = [
        Pair("r1", "p1", "write to ann.lee@corp-mail.io", "a", "b", "x", "y"),
        Pair("r2", "p1", "write to ann.lee@corp-mail.io", "a", "c", "x", "z"),
        Pair("r3", "p2", "ask", "d 13763528190", "c", "u", "z"),
        Pair("r4", "p2", "ask", "e", "e", "v", "w", licence="MIT"),
    ]
    looked_at = material(rows, passages=[Passage("nobody", "response", "13763528191")])
    named = rows_named(findings(looked_at), looked_at)
    assert named == {
        "private_data": {"r1", "r2", "r3"},
        "identical_answers": {"r4"},
        "licence_unknown": {"r1", "r2", "r3"},
    }
    assert rows_named([], looked_at) == {}


def test_records_and_their_columns_are_the_same_to_an_audit() -> None:
    said = [
        Message(role="user", content="one"),
        Message(role="assistant", content="two"),
        Message(role="user", content="three"),
    ]
    answer = {
        "chosen": [Message(role="assistant", content="yes")],
        "rejected": [Message(role="assistant", content="no")],
    }
    ids = {"id": "r", "prompt_id": "p", "chosen_id": "c", "rejected_id": "d", "task_id": "t"}
    rest: dict[str, Any] = {"probability": 0.75, "weight": 1.0, "votes": {}, "judgment_ids": [], "source": "human"}
    record = PreferencePair(**ids, prompt=said, **answer, **rest, cluster="k", split="test", licence="MIT", method="m")
    row = pair_of(record)
    assert row == pair_of(record.model_dump(mode="json"))
    assert (row.prompt, row.chosen, row.split, row.licence) == ("one\n\ntwo\n\nthree", "yes", "test", "MIT")
    judgment = Judgment.make(task_id="t", annotator="ann", shown=["c", "d"], choice="B", active_seconds=3.0, token="k")
    ballot = ballot_of(judgment, "p")
    assert ballot == ballot_of(judgment.plain(), "p")
    assert ballot is not None
    assert (ballot.place, ballot.seconds, ballot.task) == ({"c": 1, "d": 0}, 3.0, "t")


def test_rows_of_one_id_have_one_order() -> None:
    rows = [Pair("r", "p", "q", "a", "b", "x", "y", probability=p) for p in (None, 0.5, 0.75)]
    assert material(rows).pairs == material(rows[::-1]).pairs


def test_material_of_nothing_has_no_check_that_stumbles() -> None:
    empty = Material([], [], [])
    assert [found for check in checks(empty, Limits(), index([])) for found in check.look()] == []
