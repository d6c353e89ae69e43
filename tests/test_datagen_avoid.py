"""Decontamination: runs of words or characters in common with an evaluation set, and where they stand."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput, NotThere
from data.text import tokens
from datagen.avoid import Avoid, Match, load

EIGHT = "How many apples does Ana buy on Monday"


def avoiding(*texts: str, n: int = 8, least: int = 4) -> Avoid:
    avoid = Avoid(n, least)
    for line, text in enumerate(texts, 1):
        avoid.add(text, "eval.jsonl", line)
    return avoid


def test_eight_words_in_common_are_named_with_file_line_and_span() -> None:
    avoid = avoiding("Something else that is long enough to be looked at here", f"{EIGHT} and on Sunday?")
    text = "Tell me:  how MANY apples, does Ana buy\non Monday?  Then stop."
    assert avoid.match(text) == Match("eval.jsonl", 2, "how MANY apples, does Ana buy\non Monday?", 8)


def test_seven_words_in_common_are_no_match() -> None:
    avoid = avoiding(f"{EIGHT} and on Sunday?")
    assert avoid.match("many apples does Ana buy on Monday") is None
    assert avoid.match("How many apples does Bob buy on Monday and on Saturday") is None


def test_a_longer_run_may_be_asked_for() -> None:
    text = f"{EIGHT} and on Sunday?"
    found = avoiding(text, n=10).match(f"So {text}")
    assert found is not None
    assert found.n == 10
    assert avoiding(text, n=10).match(f"{EIGHT} and then?") is None


def test_thirteen_characters_without_spaces_stand_for_eight_words() -> None:
    avoid = avoiding("请简要介绍一下量子计算的基本原理及其在密码学中的应用。")
    found = avoid.match("老师说：请简要介绍一下量子计算的基本内容")
    assert found == Match("eval.jsonl", 1, "请简要介绍一下量子计算的基", 13)
    assert avoid.match("请简要介绍一下量子计算的历史") is None  # twelve in common
    assert avoid.match("请简要介绍一下量子力学") is None


def test_a_run_of_both_kinds_counts_each_by_its_measure() -> None:
    text = "用 Python 写一个函数 sort list of numbers 从小到大排列数字"
    found = avoiding(text).match("写一个函数 sort list of numbers 从小到")
    assert found is not None
    assert found.n == 11  # 5 characters of 8, 4 words of 13, 2 characters: 108, the first sum of at least 104
    assert avoiding(text).match("一个函数 sort list of") is None  # 32 + 39


def test_a_short_evaluation_text_must_stand_in_full() -> None:
    avoid = avoiding("Name the largest moon.", "请写一首诗吧好")
    assert avoid.match("First, name the largest moon of Saturn") == Match("eval.jsonl", 1, "name the largest moon", 4)
    assert avoid.match("name the largest river") is None
    assert avoid.match("你好，请写一首诗吧，好？") == Match("eval.jsonl", 2, "请写一首诗吧，好？", 7)
    assert avoid.match("请写一首诗吧") is None


def test_a_very_short_evaluation_text_is_matched_by_itself_alone() -> None:
    avoid = avoiding("Tell a joke", "讲个笑话")
    assert avoid.match("tell a joke!") == Match("eval.jsonl", 1, "tell a joke!", 3)
    assert avoid.match("Tell a joke about cats and dogs") is None
    assert avoid.match("讲个笑话。") is not None
    assert avoid.match("给我讲个笑话") is None


def test_spelling_that_only_looks_different_does_not_hide_a_copy() -> None:
    assert avoiding(EIGHT).match("Ｈｏｗ many ap\u200bples — does ANA buy on Monday") is not None


def test_texts_without_words_match_nothing() -> None:
    avoid = avoiding("", "?!")
    assert avoid.texts == 0
    assert avoid.match("") is None
    assert avoid.match("?!") is None


def test_the_first_place_of_a_text_that_comes_twice_is_named() -> None:
    found = avoiding(EIGHT, EIGHT).match(EIGHT)
    assert found is not None
    assert found.line == 1


WORDS = st.lists(st.sampled_from(["a", "b", "c", "春", "天"]), max_size=30)
WEIGHT = {"a": 13, "b": 13, "c": 13, "春": 8, "天": 8}


@settings(deadline=None)  # the machine may be busy
@given(WORDS, WORDS, st.integers(1, 8))
def test_a_text_matches_when_it_has_a_run_in_common_that_is_heavy_enough(a: list[str], b: list[str], n: int) -> None:
    def heavy(run: list[str]) -> bool:
        return sum(WEIGHT[word] for word in run) >= 13 * n

    runs = {tuple(a[i:j]) for i in range(len(a)) for j in range(i + 1, len(a) + 1) if heavy(a[i:j])}
    common = any(tuple(b[i:j]) in runs for i in range(len(b)) for j in range(i + 1, len(b) + 1))
    found = avoiding(" ".join(a), n=n, least=n).match(" ".join(b))
    assert (found is not None) is (common or (bool(a) and a == b))
    if found is not None:
        assert len(tokens(found.span)) == found.n


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=60), st.integers(0, 30))
def test_the_span_is_part_of_the_text_wherever_its_words_can_be_told_apart(text: str, at: int) -> None:
    asked = f"{text[:at]} {EIGHT} {text[at:]}"
    found = avoiding(EIGHT).match(asked)
    assert found is not None
    assert found.span == asked.strip() or EIGHT in found.span or found.span == EIGHT.lower()


# Evaluation files


def write(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return path


def test_evaluation_files_of_any_layout_are_read(tmp_path: Path) -> None:
    other = "Which of these seven old bridges crosses the river twice"
    files = [
        write(tmp_path / "a.jsonl", f'{{"turns": ["short", "{EIGHT}"]}}\n'),
        write(tmp_path / "b.json", f'[{{"x": 1}}, {{"messages": [{{"role": "user", "content": "{other}"}}]}}]'),
        write(tmp_path / "c.txt", "第一行\n请把这段很长很长的文字翻译成英文\n"),
        write(
            tmp_path / "d.jsonl",
            '{"instruction": "Fix it", "instances": [{"input": "the cat sit on mat now and then"}]}',
        ),
        write(tmp_path / "e.csv", "question,answer\nwhy is the sky blue at noon in June,scattering\n"),
    ]
    avoid = load(files)
    found = [
        avoid.match(text)
        for text in (
            EIGHT,
            other,
            "请把这段很长很长的文字翻译成英文",
            "The cat sit on mat now and then!",
            "why is the sky blue at noon in June",
        )
    ]
    assert [match and (match.file, match.line) for match in found] == [
        ("a.jsonl", 1),
        ("b.json", 2),
        ("c.txt", 2),
        ("d.jsonl", 1),
        ("e.csv", 2),
    ]
    assert avoid.match("scattering") is None


def test_the_fields_to_avoid_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"question": "never mind", "reference": "{EIGHT}", "score": 5}}\n')
    assert load([path]).match(EIGHT) is None
    assert load([path], fields=["question", "reference"]).match(EIGHT) is not None


def test_an_evaluation_file_that_cannot_be_avoided_in_full_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a\.jsonl, line 2: not JSON.*not avoided"):
        load([write(tmp_path / "a.jsonl", '{"text": "x y"}\nbroken\n')])
    with pytest.raises(BadInput, match=r"no text to avoid.*did you mean 'promt'"):
        load([write(tmp_path / "a.jsonl", '{"promt": "x y"}\n')])
    with pytest.raises(NotThere):
        load([tmp_path / "nothing.jsonl"])
    with pytest.raises(BadInput, match="at least"):
        Avoid(n=3, least=4)


def test_every_real_question_is_found_in_a_text_that_quotes_it(real: Path) -> None:
    path = real / "mt_bench" / "question.jsonl"
    avoid = load([path])
    for line, raw in enumerate(path.read_bytes().splitlines(), 1):
        for turn in json.loads(raw)["turns"]:
            found = avoid.match(f"Please answer this one for me. {turn} Thanks!")
            assert found is not None
            if len(tokens(turn)) >= 30:
                assert (found.file, found.line) == ("question.jsonl", line)
