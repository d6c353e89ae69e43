"""Shingle hashes against data.text, and near rows against every pair compared by hand."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import near_join, near_sets
from curate.near import near_rows
from curate.near_join import candidates
from curate.near_keys import Bands, bands_for
from curate.shingling import shingle_hashes
from curate.words import hash_slices, hashed_words
from data.errors import BadInput
from data.text import normalise, shingles, tokens

ALPHABETS = [
    "ab Z9.",
    "中文字，。a ",
    "éÀß ñb’",
    "İaẞ\u0301b",
    "тЁ x",
    "ｆｕ１ ﬁ①",
    "\x00\x1c\x85 a\n",
    "ひカ한ไท\u0e49 ",
    "😀\u200dz\u200b",
    "हिंदी ",
]
WORDS = ["river", "stone", "lamp", "under", "seven", "glass", "and", "the", "of", "blue", "meadow", "engine"]
T = Fraction(4, 5)


def sets_of(texts: list[str], n: int = 3) -> list[set[int]]:
    made = shingle_hashes(texts, n)
    ends = np.cumsum(made.sizes)
    return [set(made.hashes[e - s : e].tolist()) for e, s in zip(ends, made.sizes, strict=True)]


def assert_same_shingles(texts: list[str], n: int) -> None:
    """Hash and shingle name each other, over all the texts together."""
    names: dict[tuple[str, ...], int] = {}
    for text, hashes in zip(texts, sets_of(texts, n), strict=True):
        true = shingles(text, n)
        assert len(true) == len(hashes), text
        for one in true - names.keys():
            alone = sets_of([" ".join(one)], len(one) if len(one) < n else n)[0]
            names[one] = next(iter(alone)) if len(alone) == 1 else -1
    found = sets_of(texts, n)
    for a, x in zip(texts, found, strict=True):
        for b, y in zip(texts, found, strict=True):
            assert len(x & y) == len(shingles(a, n) & shingles(b, n)), (a, b)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(*(st.text(a, max_size=30) for a in ALPHABETS), st.text(max_size=20)), max_size=6),
    st.integers(1, 4),
)
def test_texts_share_as_many_hashes_as_shingles(texts: list[str], n: int) -> None:
    assert_same_shingles(texts, n)


def by_definition(texts: list[str]) -> list[list[int]]:
    """The hash of each token that data.text cuts, each taken by itself."""
    out = []
    for text in texts:
        cut = [word.encode("utf-8", "surrogatepass") for word in tokens(text)]
        lengths = np.array([len(word) for word in cut], np.int64)
        out.append(hash_slices(b"".join(cut), np.cumsum(lengths) - lengths, lengths).tolist())
    return out


def in_numpy(texts: list[str]) -> list[list[int]]:
    words = hashed_words(texts)
    return [words.hashes[a:b].tolist() for a, b in zip([0, *words.ends.tolist()], words.ends.tolist(), strict=False)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(*(st.text(a, max_size=30) for a in ALPHABETS), st.text(max_size=20)), max_size=6))
def test_the_tokens_of_many_texts_are_those_of_data_text(texts: list[str]) -> None:
    assert in_numpy(texts) == by_definition(texts)


def test_every_letter_is_cut_as_data_text_cuts_it() -> None:
    codes = [*range(0x3100), 0x4E00, 0x6F22, 0x9FFF, *range(0xAC00, 0xAC40), *range(0xF900, 0xFAFF)]
    codes += [*range(0xFE00, 0x10000), *range(0x1F300, 0x1F700), *range(0x20000, 0x20040), *range(0xE0000, 0xE0080)]
    for kind in ("a{}b", "{}", "中{}b中", "é{}X"):
        texts = [kind.format(chr(code)) for code in codes]
        assert in_numpy(texts) == by_definition(texts)


def test_long_tokens_differ_by_their_last_byte() -> None:
    texts = ["x" * 8, "x" * 9, "x" * 16, "x" * 17, "x" * 16 + "y", "y" + "x" * 16, "x" * 40]
    texts += ["x" * 64, "x" * 65, "x" * 64 + "y", "x" * 2000 + "y" + "x" * 2000, "x" * 4000 + "y"]
    assert len(set.union(*sets_of(texts, 1))) == len(texts)


def test_a_text_shorter_than_a_shingle_is_one_and_a_text_without_tokens_has_none() -> None:
    assert [len(s) for s in sets_of(["", "?!", "one", "one two", "one two three", "好", "好的"])] == [
        0,
        0,
        1,
        1,
        1,
        1,
        1,
    ]
    one = sets_of(["one", "one two", "two one", "one, TWO!"])
    assert one[1] == one[3]
    assert one[0] != one[1] != one[2]


def with_bare(text: str) -> set[tuple[str, ...]]:
    """The shingles of a text; of one without tokens, its normalised spelling."""
    return shingles(text) or {("", normalise(text))}


def corpus(count: int, seed: int, chinese: bool = False) -> list[str]:
    """Texts of some 60 tokens, many of them changed copies of others."""
    rng = random.Random(seed)
    letters = [chr(0x4E00 + i) for i in range(400)]
    made: list[list[str]] = []
    for _ in range(count):
        if made and rng.random() < 0.5:
            words = list(rng.choice(made))
            for _ in range(rng.randint(0, 6)):
                words[rng.randrange(len(words))] = rng.choice(letters if chinese else WORDS)
        else:
            words = (
                rng.choices(letters, k=60)
                if chinese
                else [rng.choice(WORDS) + str(rng.randrange(30)) for _ in range(60)]
            )
        made.append(words)
    return [("" if chinese else " ").join(words) for words in made]


def brute(texts: list[str], threshold: Fraction) -> dict[tuple[int, int], int]:
    """Every near pair by comparing all sets, and what it shares."""
    sets = [with_bare(text) for text in texts]
    where: dict[tuple[str, ...], list[int]] = {}
    shared: dict[tuple[int, int], int] = {}
    for b, one in enumerate(sets):
        for shingle in one:
            for a in where.setdefault(shingle, []):
                shared[a, b] = shared.get((a, b), 0) + 1
            where[shingle].append(b)
    return {
        (a, b): c
        for (a, b), c in shared.items()
        if c * threshold.denominator >= threshold.numerator * (len(sets[a]) + len(sets[b]) - c)
    }


def by_hand(texts: list[str], rank: list[int], near: dict[tuple[int, int], int], fixed: set[int]) -> list[int]:
    """For each row the one kept for it, decided one by one."""
    kept = list(range(len(texts)))
    stay: list[int] = sorted(fixed, key=rank.__getitem__)
    for row in sorted(set(range(len(texts))) - fixed, key=rank.__getitem__):
        hits = [s for s in stay if (min(s, row), max(s, row)) in near]
        equal = [s for s in hits if s in fixed and with_bare(texts[s]) == with_bare(texts[row])]
        hit = next(iter(equal + hits), None)
        if hit is None:
            stay.append(row)
        else:
            kept[row] = hit
    return kept


def found_pairs(texts: list[str], threshold: Fraction, folder: Path, **more: int) -> dict[tuple[int, int], int]:
    with near_rows([[(0, t)] for t in texts], threshold, folder=folder, **more) as near:
        pairs = near.pairs()
    return {(a, b): c for a, b, c in zip(*(x.tolist() for x in pairs), strict=True)}


@pytest.mark.parametrize("chinese", [False, True])
def test_three_thousand_texts_give_exactly_the_pairs_of_comparing_all(tmp_path: Path, chinese: bool) -> None:
    texts = corpus(3000, 3, chinese)
    true = brute(texts, T)
    assert len(true) > 500
    assert found_pairs(texts, T, tmp_path) == true


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Fraction(1, 2), Fraction(7, 10), T, Fraction(1)]), st.booleans())
def test_each_row_that_goes_is_near_the_row_kept_for_it_whatever_the_order(
    seed: int, threshold: Fraction, against: bool
) -> None:
    rng = random.Random(seed)
    texts = [*corpus(60, seed), "", "?!", "", "two words", "Two  words.", "two"]
    rng.shuffle(texts)
    rank = rng.sample(range(1000), len(texts))
    fixed = set(rng.sample(range(len(texts)), 12)) if against else set()
    near = brute(texts, threshold)
    with near_rows([[(0, t)] for t in texts], threshold) as held:
        stars = held.stars(np.array(rank), np.isin(np.arange(len(texts)), list(fixed)))
    expected = by_hand(texts, rank, near, fixed)
    assert stars.kept.tolist() == expected
    for row, kept in enumerate(expected):
        if kept != row:
            a, b = with_bare(texts[row]), with_bare(texts[kept])
            assert (stars.common[row], stars.union[row]) == (len(a & b), len(a | b))


def test_rows_all_alike_are_compared_with_the_one_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.near._LEAST", 1000)
    monkeypatch.setattr("curate.near._DIRECT", 1)
    texts = [" ".join(f"w{i}" for i in range(80)) + f" end{k}" for k in range(1500)]
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    with near_rows([[(0, t)] for t in texts], T, folder=tmp_path) as near:
        stars = near.stars(np.array(order))
    assert set(stars.kept.tolist()) == {order.index(0)}


def test_a_chain_of_likenesses_joins_no_unlike_rows() -> None:
    words = [f"w{i}" for i in range(60)]
    texts = [" ".join(words[k * 3 : k * 3 + 40]) for k in range(6)]  # each near the next, the first not near the last
    with near_rows([[(0, t)] for t in texts], T) as near:
        kept = near.stars(np.arange(6)).kept.tolist()
    assert kept == [0, 0, 2, 2, 4, 4]


def test_the_answer_is_the_same_for_any_processes_memory_and_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = corpus(400, 5)
    once = found_pairs(texts, T, tmp_path)
    monkeypatch.setattr(near_sets, "_ROWS", 150)
    assert found_pairs(texts, T, tmp_path, threads=2, memory_mb=900) == once
    monkeypatch.setattr(near_sets, "_ROWS", 37)
    monkeypatch.setattr("curate.near_join._AT_ONCE", 50)
    monkeypatch.setattr("curate.near_join._WAITING", 100)
    assert found_pairs(texts, T, tmp_path, memory_mb=300) == once
    assert not list(tmp_path.iterdir())


def test_parts_of_a_row_are_told_apart() -> None:
    a, b = "one two three four five six", "seven eight nine ten eleven twelve"
    rows = [[(1, a), (2, b)], [(1, b), (2, a)], [(1, a.upper()), (2, b)]]
    with near_rows(rows, T) as near:
        assert near.stars(np.arange(3)).kept.tolist() == [0, 1, 0]


def test_the_same_text_in_two_parts_of_a_row_does_not_make_it_its_own_duplicate() -> None:
    text = " ".join(f"w{i}" for i in range(50))
    with near_rows([[(0, text), (1, text)], [(0, text + " x"), (1, text)], [(0, text), (1, "y")]], T) as near:
        assert near.stars(np.arange(3)).kept.tolist() == [0, 0, 2]
        assert near.pairs().a.tolist() == [0]


def test_where_the_rarest_shingles_are_not_rare_minhash_finds_what_its_recall_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.near._MANY", 1)
    monkeypatch.setattr("curate.near._LEAST", 0)
    rng = random.Random(4)
    pool = [" ".join(rng.choice(WORDS) + str(rng.randrange(99)) for _ in range(12)) for _ in range(60)]
    texts = [" ".join(rng.sample(pool, 8)) for _ in range(1200)]
    texts += [" ".join(t.split()[:-6]) for t in texts[:400]]
    true = brute(texts, T)
    with near_rows([[(0, t)] for t in texts], T, folder=tmp_path) as near:
        pairs = near.pairs()
        assert near.bands == bands_for(T)
        assert near.recall >= 0.995
        assert candidates(near.kept, near._keys, map) * 4 < sum(range(1600))
    found = set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    assert found <= true.keys()
    assert len(found) >= 0.99 * len(true) > 390


def test_bands_state_their_recall_at_the_threshold() -> None:
    assert Bands(18, 6).recall(0.8) == pytest.approx(0.995798, abs=1e-6)
    for t in (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0):
        assert bands_for(Fraction(t)).recall(t) >= 0.995


def test_no_rows_are_legal_and_a_text_without_tokens_is_like_its_own_spelling_only() -> None:
    for texts, kept in (([], []), (["", "!", "？!", "!!", " ", "！", "👍", "👎"], [0, 1, 2, 3, 0, 1, 6, 7])):
        with near_rows([[(0, text)] for text in texts], T) as near:
            assert near.stars(np.arange(len(texts))).kept.tolist() == kept
            assert len(near.pairs().a) == len(texts) - len(set(kept))


def test_a_long_part_that_two_rows_share_does_not_make_the_others_alike() -> None:
    prompt = " ".join(f"w{i}" for i in range(200))
    rows = [
        [(0, prompt), (1, yes), (2, no)] for yes, no in (("Yes.", "No."), ("No.", "Yes."), ("yes", "no!"), ("👍", "👎"))
    ]
    with near_rows(rows, T) as near:
        assert near.stars(np.arange(4)).kept.tolist() == [0, 1, 0, 3]


def test_a_threshold_out_of_range_is_refused_in_words() -> None:
    with pytest.raises(BadInput, match="threshold"), near_rows([], Fraction(0)):
        pass


def chained(count: int, near: dict[tuple[int, int], int]) -> list[int]:
    """For each row the lowest that chains of near pairs join it to, one pair after another."""
    label = list(range(count))
    for a, b in near:
        low, high = sorted((label[a], label[b]))
        label = [low if one == high else one for one in label]
    return label


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Fraction(1, 2), Fraction(7, 10), T]))
def test_linked_rows_are_those_that_chains_of_near_pairs_join(seed: int, threshold: Fraction) -> None:
    texts = [*corpus(60, seed), "", "?!", "", "two words", "Two  words.", "two"]
    random.Random(seed).shuffle(texts)
    with near_rows([[(0, t)] for t in texts], threshold) as near:
        assert near.linked().tolist() == chained(len(texts), brute(texts, threshold))


def test_rows_all_alike_are_linked_by_a_comparison_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    possible = near_join._possible

    def counting(pairs: Any, *more: Any) -> Any:
        nonlocal compared
        compared += len(pairs)
        return possible(pairs, *more)

    monkeypatch.setattr(near_join, "_possible", counting)
    texts = [f"number {i} of " + " ".join(f"w{k}" for k in range(60)) for i in range(2000)]
    with near_rows([[(0, t)] for t in texts], T, folder=tmp_path) as near:
        assert near.linked().tolist() == [0] * 2000
    assert 2000 <= compared + 1 < 20_000  # of two million pairs


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Fraction(1, 2), T]))
def test_of_each_row_the_most_alike_is_found(seed: int, threshold: Fraction) -> None:
    texts = corpus(60, seed)
    side = np.array([random.Random(seed + i).randrange(3) for i in range(60)])
    with near_rows([[(0, t)] for t in texts], threshold) as near:
        found = near.most_alike(side == 0, side == 1)
        assert found is not None
        assert near.most_alike(side == 0, side == 1, at_most=near.candidates - 1) is None
    best: dict[int, tuple[Fraction, int, int]] = {}
    for (a, b), common in brute(texts, threshold).items():
        for one, other in ((a, b), (b, a)):
            if side[one] == 0 and side[other] == 1:
                alike = Fraction(common, len(with_bare(texts[a])) + len(with_bare(texts[b])) - common)
                best[other] = max(best.get(other, (alike, -one, common)), (alike, -one, common))
    told = zip(*(x.tolist() for x in found), strict=True)
    assert {b: (a, common) for a, b, common in told} == {b: (-a, common) for b, (_, a, common) in best.items()}


def test_texts_of_every_kind_and_length_stand_beside_each_other() -> None:
    long = "word " * 199_999
    texts = [
        "",
        "?",
        "👍",
        "👍🏽",
        "好",
        "好。",
        long,
        long + "word",
        "a" * 1_000_000,
        "a" * 999_999 + "b",
        "中" * 300_000,
    ]
    with near_rows([[(0, t)] for t in texts], T) as near:
        assert near.linked().tolist() == [0, 1, 2, 3, 4, 4, 6, 6, 8, 9, 10]
        assert near.stars(np.arange(len(texts))).kept.tolist() == [0, 1, 2, 3, 4, 4, 6, 6, 8, 9, 10]
