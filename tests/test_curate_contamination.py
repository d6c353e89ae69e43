"""Evaluation texts among ours: the answers of sets of n-grams, places in the text as it came, the words behind them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import contamination
from curate.contamination import EvaluationText, index, scan, span
from curate.evaluation import read_evaluation, strings
from curate.words import Words, batches, hash_slices, hashed_words, word_keys
from data.errors import BadInput
from data.text import tokens

QUESTION = (
    "Which of the three rivers that cross the old town of Brenn freezes first in a cold winter, and why is that so?"
)
CHINESE = "请问在寒冷的冬天里，流经老城的三条河流中哪一条最先结冰，这又是为什么呢？"


def known(*texts: str) -> list[EvaluationText]:
    return [EvaluationText("eval.jsonl", str(n), "question", text) for n, text in enumerate(texts)]


def by_sets(texts: Sequence[str], evaluation: Sequence[str], n: int, shortest: int) -> set[int]:
    """Numbers of the texts that share an n-gram with an evaluation text, as one would write it down."""
    found = set()
    for i, text in enumerate(texts):
        ours = tokens(text)
        for other in map(tokens, evaluation):
            k = min(n, len(other))
            if len(other) >= shortest and {tuple(other[j : j + k]) for j in range(len(other) - k + 1)} & {
                tuple(ours[j : j + k]) for j in range(len(ours) - k + 1)
            }:
                found.add(i)
    return found


TOKENS = st.lists(st.sampled_from(["a ", "b ", "c ", "中", "文", "é", " ", "，", "ab"]), max_size=16).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(TOKENS, max_size=5), st.lists(TOKENS, max_size=5), st.integers(1, 6), st.data())
def test_the_answers_are_those_of_sets_of_n_grams(
    texts: list[str], evaluation: list[str], n: int, data: st.DataObject
) -> None:
    shortest = data.draw(st.integers(1, n))
    found = scan(texts, index(known(*evaluation), n, shortest))
    assert {match.text for match in found} == by_sets(texts, evaluation, n, shortest)
    for match in found:
        ours = tokens(texts[match.text])
        theirs = tokens(evaluation[match.evaluation])
        run = ours[match.begin : match.begin + match.length]
        assert len(run) >= min(n, len(theirs))
        assert any(theirs[j : j + len(run)] == run for j in range(len(theirs)))
        begin, end = span(texts[match.text], match.begin, match.length)
        assert tokens(texts[match.text][begin:end]) == run


@settings(max_examples=150, deadline=None)
@given(st.lists(TOKENS, max_size=4), st.lists(TOKENS, max_size=4), st.integers(1, 4))
def test_hashes_that_are_all_alike_decide_nothing(texts: list[str], evaluation: list[str], n: int) -> None:
    def alike(given: Sequence[str]) -> Words:
        words = hashed_words(given)
        return words._replace(hashes=words.hashes & np.uint64(1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contamination, "hashed_words", alike)
        found = scan(texts, index(known(*evaluation), n, n))
    assert {match.text for match in found} == by_sets(texts, evaluation, n, n)


@pytest.mark.parametrize("question", [QUESTION, CHINESE])
def test_a_question_is_found_in_other_dress_and_its_place_told(question: str) -> None:
    dressed = f"Here is one:  {question.upper().replace(' ', chr(10))} ... thanks"
    (match,) = scan(
        ["nothing of it here at all", dressed], index(known("some other text of eight words or more", question))
    )
    assert (match.text, match.evaluation, match.share) == (1, 1, 1.0)
    begin, end = span(dressed, match.begin, match.length)
    assert tokens(dressed[begin:end]) == tokens(question)
    assert dressed[begin : begin + 5] == question.upper()[:5].replace(" ", "\n")


def test_part_of_a_question_is_a_smaller_share() -> None:
    words = QUESTION.split()
    (match,) = scan([" ".join(words[:14])], index(known(QUESTION)))
    assert (match.shared, match.of, match.length) == (14, len(tokens(QUESTION)), 14)
    assert scan([" ".join(words[:12])], index(known(QUESTION))) == []  # one short of 13


def test_a_text_shorter_than_n_is_looked_for_whole() -> None:
    made = index(known("one two three four five six seven eight nine", "too short"))
    assert made.too_short == 1
    (match,) = scan(["zero one two three four five six seven eight nine ten"], made)
    assert (match.shared, match.of) == (9, 9)
    assert scan(["one two three four five six seven eight"], made) == []


def test_lengths_out_of_range_are_said() -> None:
    with pytest.raises(BadInput, match="shortest"):
        index(known(QUESTION), n=3, shortest=4)


def test_evaluation_files_are_read_whatever_their_shape(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"id": "q7", "turns": ["{QUESTION}"]}}\n', "utf-8")
    (tmp_path / "b.txt").write_text(f"short\n{CHINESE}\n", "utf-8")
    made = read_evaluation([tmp_path / "a.jsonl", tmp_path / "b.txt"])
    assert [(t.file, t.id, t.field) for t in made.texts if len(t.text) > 9] == [
        ("a.jsonl", "q7", "turns.0"),
        ("b.txt", "line 2", "text"),
    ]
    assert [match.evaluation for match in scan([QUESTION], made)] == [1]
    (tmp_path / "c.txt").write_text("short\n")
    with pytest.raises(BadInput, match="no text of 8 tokens"):
        read_evaluation([tmp_path / "c.txt"])


def test_every_string_of_a_value_has_its_path() -> None:
    assert list(strings({"a": ["x", {"b": "y"}], "n": 1})) == [("a.0", "x"), ("a.1.b", "y")]


def hashes_by_tokens(texts: Sequence[str]) -> list[list[int]]:
    """The hash of each token of `data.text.tokens`, one text at a time."""
    out = []
    for text in texts:
        words = [word.encode("utf-8", "surrogatepass") for word in tokens(text)]
        lengths = np.array([len(word) for word in words], np.int64)
        out.append(hash_slices(b"".join(words), np.cumsum(lengths) - lengths, lengths).tolist())
    return out


MIXED = st.text("abcXYZ019 ,.\n\t\x00\x1c中文字，！ＡＢ１é´ß…\u200b\u0301ᄀ가각ﾞｶЖΣςﬁ㎏กำ𝟘𠀀\ud800İ\u00ad", max_size=14)


@settings(max_examples=200, deadline=None)
@given(st.lists(MIXED | st.text(max_size=10), max_size=6))
def test_words_of_many_texts_are_the_tokens_of_each(texts: list[str]) -> None:
    words = hashed_words(texts)
    begins = [0, *words.ends.tolist()]
    assert [words.hashes[a:b].tolist() for a, b in zip(begins, words.ends.tolist(), strict=False)] == hashes_by_tokens(
        texts
    )


def test_every_letter_of_the_first_planes_is_cut_as_tokens_cuts_it() -> None:
    texts = [f"a{chr(p)}b {chr(p)}中{chr(p)}" for p in (*range(0, 0x20000, 7), *range(0x20000, 0x33480, 97))]
    words = hashed_words(texts)
    begins = [0, *words.ends.tolist()]
    got = [words.hashes[a:b].tolist() for a, b in zip(begins, words.ends.tolist(), strict=False)]
    assert [t for t, x, y in zip(texts, got, hashes_by_tokens(texts), strict=True) if x != y] == []


@settings(max_examples=200, deadline=None)
@given(st.lists(MIXED, max_size=6))
def test_keys_are_equal_where_the_words_are(texts: list[str]) -> None:
    keys = word_keys(texts)
    for i, a in enumerate(texts):
        for j, b in enumerate(texts):
            if tokens(a) or tokens(b):
                assert (keys[i] == keys[j]) == (tokens(a) == tokens(b))
            else:
                assert (keys[i] == keys[j]) == (a == b)


@given(st.lists(st.text(max_size=5), max_size=20), st.integers(1, 10))
def test_batches_cover_every_text_once(texts: list[str], size: int) -> None:
    assert [i for part in batches(texts, size) for i in range(part.start, part.stop)] == list(range(len(texts)))
