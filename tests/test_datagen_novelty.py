"""Novelty: exact ROUGE-L against everything kept, the index as a file, and the command on any file."""

import functools
import itertools
import json
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from bench import instructions
from data.errors import BadInput, ConcordError, NotThere, Refused
from datagen import novelty
from datagen.novelty_index import NoveltyIndex, parse_threshold, rouge_f1, rouge_words, words_of
from datagen.novelty_signatures import LENGTHS, Signatures, hashes_of
from datagen.texts import field_text, read_texts


def lcs(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The longest common subsequence by the table everybody knows."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            above = row[j]
            row[j] = before + 1 if x == y else max(above, row[j - 1])
            before = above
    return row[-1]


def lcs_bits(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The same number, a row of the table at a time in the bits of one integer (Hyyrö 2004): for many texts."""
    at: dict[Any, int] = {}
    for i, x in enumerate(a):
        at[x] = at.get(x, 0) | 1 << i
    row = ones = (1 << len(a)) - 1
    for y in b:
        step = row & at.get(y, 0)
        row = ((row + step) | (row - step)) & ones
    return len(a) - row.bit_count()


def f1(a: Sequence[Any], b: Sequence[Any]) -> Fraction:
    return Fraction(2 * lcs_bits(a, b), len(a) + len(b))


WORDS = functools.cache(words_of)


def brute(kept: list[str], text: str, threshold: Fraction) -> tuple[Fraction, int] | None:
    """F1 and place of the nearest text above the threshold, each compared with each."""
    mine = words_of(text)
    scores = [(f1(mine, WORDS(other)), -place) for place, other in enumerate(kept)]
    best = max(((score, place) for score, place in scores if score > threshold), default=None)
    return best and (best[0], -best[1])


def answer(index: NoveltyIndex, text: str) -> tuple[Fraction, int] | None:
    found = index.nearest(text)
    return found and (found.exact, found.place)


def filled(*texts: str, threshold: str = "7/10", compat: str | None = None) -> NoveltyIndex:
    index = NoveltyIndex(Fraction(threshold), compat)
    for number, text in enumerate(texts):
        index.add(f"t{number}", text)
    return index


# The decision


FEW = ["a", "b", "c", "d", "e", "春", "天", "的", "诗", "!", "?"]
FEW_WORDS = st.lists(st.sampled_from(FEW), max_size=14).map(" ".join)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_the_two_ways_to_compute_it_here_agree(a: list[int], b: list[int]) -> None:
    assert lcs(a, b) == lcs_bits(a, b)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(FEW_WORDS, max_size=12), FEW_WORDS, st.fractions(0, 1, max_denominator=20))
def test_the_nearest_is_the_one_that_comparing_with_each_finds(kept: list[str], text: str, threshold: Fraction) -> None:
    index = NoveltyIndex(threshold)
    for number, other in enumerate(kept):
        index.add(str(number), other)
    assert answer(index, text) == brute(kept, text, threshold)


@pytest.mark.parametrize("language", [instructions.english, instructions.chinese])
def test_a_pool_grown_greedily_is_the_one_that_comparing_with_each_grows(language: Callable[..., Any]) -> None:
    texts, index = language(random.Random(5)), NoveltyIndex()
    kept: list[str] = []
    rejected = 0
    for _ in range(300):
        text = next(texts)
        expected = brute(kept, text, Fraction(7, 10))
        assert answer(index, text) == expected
        if expected is None:
            kept.append(text)
            index.add(str(len(kept)), text)
        rejected += expected is not None
    assert rejected > 20
    assert len(index) == len(kept)


def test_a_tie_with_the_threshold_is_new() -> None:
    index = filled("a b c d e f g h i j")
    assert index.nearest("a b c d e f g x y z") is None  # 2*7 / 20 = 0.7 exactly
    found = index.nearest("a b c d e f g h y z")
    assert found is not None
    assert (found.id, found.lcs, found.m, found.n, found.score) == ("t0", 8, 10, 10, 0.8)


def test_every_tie_up_to_60_tokens_is_new_and_one_token_more_is_not() -> None:
    ties = [(7 * both // 20, m, both - m) for both in range(20, 121, 20) for m in range(7 * both // 20, both // 2 + 1)]
    assert len(ties) > 50
    for common, m, n in ties:
        shared = [f"w{i}" for i in range(m)]
        index = filled(" ".join(shared))
        for more, new in ((0, True), (1, False)):
            other = shared[: common + more] + [f"x{i}" for i in range(n - common - more)]
            if common + more <= m:
                assert (index.nearest(" ".join(other)) is None) is new


def test_order_counts_where_a_bag_of_words_would_not_see_it() -> None:
    index = filled("one two three four five six")
    assert index.nearest("six five four three two one") is None
    assert index.nearest("One, two -- three four FIVE?") is not None


def test_of_several_the_greatest_score_is_named_then_the_earliest() -> None:
    index = filled("a b c d x", "a b c d e", "a b c d e", "a b c d y")
    best, tied = index.nearest("a b c d e"), index.nearest("a b c d z")
    assert best is not None
    assert tied is not None
    assert (best.place, best.score) == (1, 1.0)
    assert (tied.place, tied.exact) == (0, Fraction(8, 10))


def test_scripts_without_spaces_are_compared_letter_by_letter() -> None:
    index = filled("请写一首关于春天的诗", "日本語の文を英語に訳してください", "봄에 대한 시를 써 주세요")
    places = [
        index.nearest(text)
        for text in ("请写一首关于春天的短诗", "日本語の文章を英語に訳してください", "봄에 대한 시를 써 주세요!")
    ]
    assert [found and found.place for found in places] == [0, 1, 2]
    assert index.nearest("把下面的英文翻译成中文") is None


def test_letters_with_the_same_look_and_hidden_characters_do_not_make_a_text_new() -> None:
    index = filled("Write a poem about spring in Paris")
    assert index.nearest("Ｗｒｉｔｅ a po\u200bem about SPRING in Paris") is not None


def test_texts_without_tokens_are_compared_as_they_are() -> None:
    index = filled("?!", "", "😀", "a word")
    assert [answer(index, text) for text in ("?!", "  ", "😀", "😂", "...")] == [
        (Fraction(1), 0),
        (Fraction(1), 1),
        (Fraction(1), 2),
        None,
        None,
    ]


def test_asking_changes_nothing() -> None:
    index, other = filled("a b c", "d e f"), filled("a b c", "d e f")
    for text in ("x y z", "a b q", "z y x w"):
        index.nearest(text)
        index.similar(text)
    for text in ("a b z", "x y"):
        index.add(text, text)
        other.add(text, text)
    assert list(index) == list(other)
    assert index._words == other._words


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_signatures_never_leave_out_a_text_above_the_threshold(data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 10**6)))
    threshold = data.draw(st.fractions(0, 1, max_denominator=12))
    most = data.draw(st.sampled_from([6, 30, 400]))
    base = [rng.randrange(most) for _ in range(rng.randint(1, most))]
    texts = [
        [rng.randrange(2 * most) if rng.random() < share else word for word in base if rng.random() > share / 2] or [0]
        for share in (i / 12 for i in range(12))
    ]
    signatures = Signatures(threshold)
    for text in texts:
        signatures.add(hashes_of(text))
    near = {place for place, text in enumerate(texts) if f1(base, text) > threshold}
    assert near <= set(signatures.possible(hashes_of(base)))


def test_every_length_has_a_shelf() -> None:
    assert all(a < b for a, b in itertools.pairwise(LENGTHS))
    index = filled(*(" ".join(f"w{i}" for i in range(n)) for n in range(1, 90)))
    for n in range(1, 90):
        assert answer(index, " ".join(f"w{i}" for i in range(n))) == (Fraction(1), n - 1)


def test_the_most_similar_are_those_that_comparing_with_each_finds() -> None:
    texts = instructions.english(random.Random(3))
    kept = [next(texts) for _ in range(200)]
    index = filled(*kept)
    for _ in range(20):
        text = next(texts)
        scores = [(f1(words_of(text), WORDS(other)), -place) for place, other in enumerate(kept)]
        expected = sorted((score for score in scores if score[0]), reverse=True)[:10]
        assert [(near.exact, -near.place) for near in index.similar(text, 10)] == expected
    assert index.similar("zzz") == []
    with pytest.raises(ValueError, match="k is 0"):
        index.similar("a", 0)


def test_real_instructions_are_decided_as_by_comparing_with_each(real: Path) -> None:
    texts = instructions.real()
    assert len(texts) == 427
    index, kept = NoveltyIndex(), list[str]()
    for text in texts:
        expected = brute(kept, text, Fraction(7, 10))
        assert answer(index, text) == expected
        if expected is None:
            kept.append(text)
            index.add(str(len(kept)), text)
    assert len(kept) < 427


@pytest.mark.parametrize("text", ["0.7", "7/10", " 0.70 "])
def test_a_threshold_is_an_exact_fraction(text: str) -> None:
    assert parse_threshold(text) == Fraction(7, 10)


@pytest.mark.parametrize("text", ["high", "1.1", "-1/2", "1/0", "", "1e-999999999", "1.2.3", "７/10"])
def test_a_threshold_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--threshold"):
        parse_threshold(text)


# As the package rouge_score decides


SCORER = RougeScorer(["rougeL"], use_stemmer=False)


def original(a: str, b: str) -> float:
    return float(SCORER.score(a, b)["rougeL"].fmeasure)


def test_rouge_score_is_reproduced_to_the_last_bit_where_the_exact_rule_ties() -> None:
    decided = set()
    for both in range(20, 241, 20):
        common = 7 * both // 20
        for m in range(common, both - common + 1, 3):
            a = [f"w{i}" for i in range(m)]
            b = a[:common] + [f"x{i}" for i in range(both - m - common)]
            score = original(" ".join(a), " ".join(b))
            assert rouge_f1(common, len(b), len(a)) == score == original(" ".join(b), " ".join(a))
            found = filled(" ".join(a), compat="rouge_score").nearest(" ".join(b))
            assert (found is not None) is (score > 0.7)
            decided.add(found is not None)
    assert decided == {True, False}  # the package rejects some ties and keeps others


ODD = ["a", "B", "c-d", "3.5", "don't", "诗", "İ", "K", "é", "?", "_x"]
TEXTS = st.one_of(st.lists(st.sampled_from(ODD), max_size=9).map(" ".join), st.text(max_size=20))


@settings(deadline=None)  # the machine may be busy
@given(TEXTS, TEXTS, st.sampled_from(["7/10", "1/2", "0", "1", "2/3"]))
def test_rouge_score_is_reproduced_on_any_texts(a: str, b: str, threshold: str) -> None:
    found = filled(a, threshold=threshold, compat="rouge_score").nearest(b)
    score = original(a, b)
    assert (found is not None) is (score > float(Fraction(threshold)))
    assert found is None or found.score == score


def test_rouge_score_never_rejects_chinese() -> None:
    assert rouge_words("请写一首诗") == []
    assert filled("请写一首诗", compat="rouge_score").nearest("请写一首诗") is None
    assert filled("请写一首诗").nearest("请写一首诗") is not None


def test_an_unknown_way_to_be_compatible_is_refused_with_a_hint() -> None:
    with pytest.raises(BadInput, match="did you mean 'rouge_score'"):
        NoveltyIndex(compat="rouge-score")


# The index as a file


def test_a_saved_index_answers_as_before_and_goes_on_growing(tmp_path: Path) -> None:
    path, texts = tmp_path / "deep" / "pool.index", instructions.chinese(random.Random(1))
    index = filled(*(next(texts) for _ in range(100)), threshold="3/5")
    index.save(path)
    loaded = NoveltyIndex.load(path)
    assert (loaded.threshold, loaded.compat, len(loaded)) == (Fraction(3, 5), None, 100)
    for _ in range(100):
        text = next(texts)
        assert loaded.nearest(text) == index.nearest(text)
        index.add(text, text)
        loaded.add(text, text)
    loaded.save(path)
    index.save(tmp_path / "other")
    assert path.read_bytes() == (tmp_path / "other").read_bytes()
    assert NoveltyIndex.load(path).nearest(text) == index.nearest(text)


def test_half_a_surrogate_pair_does_not_keep_an_index_from_being_saved(tmp_path: Path) -> None:
    index = filled("a word \ud800 and more", "请写")
    index.save(tmp_path / "pool.index")
    loaded = NoveltyIndex.load(tmp_path / "pool.index")
    assert [text for _, text in loaded] == ["a word ? and more", "请写"]
    assert loaded.nearest("a word \ud800 and more") is not None


def test_an_index_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool.index"
    filled("write a poem", "请写一首诗", 'quo"te\nbreak').save(path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(BadInput):
                NoveltyIndex.load(path)


def test_an_index_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool.index"
    path.write_text('{"format":"concord novelty index","version":2}\n')
    with pytest.raises(BadInput, match="version 2"):
        NoveltyIndex.load(path)
    with pytest.raises(NotThere):
        NoveltyIndex.load(tmp_path / "nothing")


def test_a_save_that_fails_leaves_the_former_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.index"
    filled("one text").save(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datagen.novelty_file.os.fsync", full)
    with pytest.raises(BadInput, match="No space left"):
        filled("one text", "two texts").save(path)
    assert len(NoveltyIndex.load(path)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["pool.index"]


# Texts out of files, and the command


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def run(tmp_path: Path, file: str, content: str | bytes, *flags: str, out: str = "out") -> Path:
    path = tmp_path / file
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert novelty.main([str(path), "--out", str(tmp_path / out), *flags]) == 0
    return tmp_path / out


def test_rows_pass_through_unchanged_and_repeats_name_their_neighbour(tmp_path: Path) -> None:
    rows = [
        '{"id": "a",  "instruction": "Write a poem about spring", "extra": [1,  2.50]}',
        '{"id": "b", "instruction": "Write a poem about spring!"}',
        '{"instruction": "\\u8bf7写一首诗"}',
    ]
    out = run(tmp_path, "in.jsonl", "\r\n".join(rows) + "\n")
    assert (out / "data/kept.jsonl").read_text("utf-8").splitlines() == [rows[0], rows[2]]
    (rejected,) = lines(out / "audit/rejected.jsonl")
    assert rejected["reason"] == "too similar"
    assert rejected["line"] == 2
    assert rejected["row"]["id"] == "b"
    assert rejected["neighbour"] == {
        "id": "a",
        "text": "Write a poem about spring",
        "score": 1.0,
        "lcs": 5,
        "tokens": [5, 5],
    }


def test_prompts_texts_messages_lists_and_plain_lines_are_read(tmp_path: Path) -> None:
    assert field_text({"prompt": "hello"}) == "hello"
    assert field_text({"prompt": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]}) == (
        "be kind\nhi"
    )
    assert field_text({"text": [{"role": "user", "content": [{"type": "text", "text": "part"}]}]}) == "part"
    assert field_text({"instruction": None, "text": "x"}) == "x"
    out = run(tmp_path, "in.json", '[{"prompt": "one\\ntwo"},\n {"prompt":\n "one two"}, {"prompt": "three"}]')
    assert [row["prompt"] for row in lines(out / "data/kept.jsonl")] == ["one\ntwo", "three"]
    out = run(tmp_path, "in.txt", "\ufeff第一行文字\n\n第一行文字。\nsecond line\n", out="out2")
    assert lines(out / "data/kept.jsonl") == ["第一行文字", "second line"]
    assert lines(out / "audit/rejected.jsonl")[0]["line"] == 3
    assert lines(out / "audit/rejected.jsonl")[0]["neighbour"]["id"] == "in.txt:1"
    out = run(tmp_path, "in.csv", 'id,text\n1,"a, b"\n2,c\n', out="out3")
    assert lines(out / "data/kept.jsonl") == [{"id": "1", "text": "a, b"}, {"id": "2", "text": "c"}]


def test_a_row_with_a_bare_nan_passes_on_as_json(tmp_path: Path) -> None:
    out = run(tmp_path, "in.jsonl", '{"input": NaN, "instruction": "x"}\n{"instruction": "NaN y"}\n')
    assert lines(out / "data/kept.jsonl") == [{"input": None, "instruction": "x"}, {"instruction": "NaN y"}]


def test_bad_rows_are_rejected_with_their_reason_and_the_good_ones_kept(tmp_path: Path) -> None:
    content = b'{"text": "good"}\n{"text": 5}\nnot json\n[1]\n{"text": "  "}\n{"tekst": "x"}\n{"text": "\xff"}\n'
    out = run(tmp_path, "in.jsonl", content)
    assert lines(out / "data/kept.jsonl") == [{"text": "good"}]
    reasons = [row["reason"] for row in lines(out / "audit/rejected.jsonl")]
    assert [row["line"] for row in lines(out / "audit/rejected.jsonl")] == [2, 3, 4, 5, 6, 7]
    for reason, said in zip(
        reasons, ("text is a number", "not JSON", "the row is a list", "is empty", "'tekst'", "UTF-8"), strict=True
    ):
        assert said in reason


def test_a_file_without_any_text_is_an_error_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"instructions": "x"}\n')
    with pytest.raises(BadInput, match=r"line 1: .*did you mean 'instructions'.*--field"):
        novelty.main([str(path), "--out", str(tmp_path / "out")])
    with pytest.raises(BadInput, match="no field 'instrutions'; did you mean 'instructions'"):
        novelty.main([str(path), "--out", str(tmp_path / "out"), "--field", "instrutions"])
    path.write_text("")
    with pytest.raises(BadInput, match="empty"):
        novelty.main([str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    assert (
        novelty.main(
            [str(_write(path, '{"instructions": "x"}')), "--out", str(tmp_path / "o"), "--field", "instructions"]
        )
        == 0
    )


def _write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_repeats_of_other_files_are_rejected_and_do_not_enter_the_index(tmp_path: Path) -> None:
    known, index = _write(tmp_path / "known.txt", "already there before\n"), tmp_path / "pool.index"
    flags = ("--against", str(known), "--index", str(index))
    out = run(tmp_path, "in.txt", "already there before!\nsomething else entirely\n", *flags)
    assert lines(out / "data/kept.jsonl") == ["something else entirely"]
    assert lines(out / "audit/rejected.jsonl")[0]["neighbour"]["id"] == "known.txt:1"
    assert [text for _, text in NoveltyIndex.load(index)] == ["something else entirely"]


def test_a_kept_index_grows_from_run_to_run(tmp_path: Path) -> None:
    flags = ("--index", str(tmp_path / "pool.index"))
    run(tmp_path, "one.txt", "first text of all\n", *flags, out="one")
    out = run(tmp_path, "two.txt", "first text of all\nquite another one\n", *flags, out="two")
    assert lines(out / "data/kept.jsonl") == ["quite another one"]
    assert len(NoveltyIndex.load(tmp_path / "pool.index")) == 2
    with pytest.raises(BadInput, match="--threshold 7/10, not 1/2"):
        run(tmp_path, "three.txt", "x\n", *flags, "--threshold", "0.5", out="three")
    with pytest.raises(BadInput, match="--novelty-compat"):
        run(tmp_path, "three.txt", "x\n", *flags, "--novelty-compat", "rouge_score", out="three")


def test_an_index_is_grown_by_one_run_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags, go_through = ("--index", str(tmp_path / "pool.index")), novelty._go_through

    def beside(*given: Any) -> Any:
        monkeypatch.setattr(novelty, "_go_through", go_through)
        with pytest.raises(Refused, match="another run is growing"):
            run(tmp_path, "two.txt", "the second run's text\n", *flags, out="two")
        return go_through(*given)

    monkeypatch.setattr(novelty, "_go_through", beside)
    run(tmp_path, "one.txt", "a text of the first run\n", *flags, out="one")
    run(tmp_path, "two.txt", "the second run's text\n", *flags, out="two")
    assert len(NoveltyIndex.load(tmp_path / "pool.index")) == 2


def test_the_threshold_and_the_way_to_decide_are_the_users(tmp_path: Path) -> None:
    content = "a b c d e f g h i j\na b c d e f g x y z\n"  # 0.7 exactly; 0.7000000000000001 or less as floats go
    assert len(lines(run(tmp_path, "in.txt", content) / "data/kept.jsonl")) == 2
    out = run(tmp_path, "in.txt", content, "--threshold", "0.69", out="lower")
    assert len(lines(out / "data/kept.jsonl")) == 1
    out = run(tmp_path, "zh.txt", "请写一首诗\n请写一首诗\n", "--novelty-compat", "rouge_score", out="compat")
    assert len(lines(out / "data/kept.jsonl")) == 2


def test_the_most_similar_of_every_row_are_listed_when_asked_for(tmp_path: Path) -> None:
    out = run(tmp_path, "in.txt", "a b c d\na b x y\np q\n", "--similar", "3")
    rows = lines(out / "audit/similar.jsonl")
    assert [[near["score"] for near in row["similar"]] for row in rows] == [[], [0.5], []]


def test_the_same_file_gives_the_same_digest(tmp_path: Path) -> None:
    texts = instructions.english(random.Random(2))
    content = "".join(next(texts) + "\n" for _ in range(50))
    digests = [
        json.loads((run(tmp_path, "in.txt", content, out=out) / "manifest.json").read_bytes())["digest"]
        for out in ("one", "two")
    ]
    assert digests[0] == digests[1]


def test_a_missing_file_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConcordError, match=r"nothing\.jsonl is not there"):
        novelty.main([str(tmp_path / "nothing.jsonl"), "--out", str(tmp_path / "out")])
    with pytest.raises(ConcordError, match="is not there"):
        list(read_texts(tmp_path / "nothing.txt"))
