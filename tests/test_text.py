"""Text: what counts as the same, what a token is, which side it starts from, and what hides in it."""

import unicodedata

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from data.text import (
    direction,
    excerpt,
    normalise,
    script_language,
    shingles,
    tokens,
    unicode_version,
    visible,
)

RLO, ZWSP, ZWJ, ZWNJ, SHY = "\u202e", "\u200b", "\u200d", "\u200c", "\u00ad"
# Letters of many scripts, marks, controls and invisible characters: where folding and composing interact.
MIXED = st.text(
    st.one_of(
        st.sampled_from("aAéÉßẞİıſσςΣΐᾳΑ\u0345\u0301\u0308\u0323ﬁＡｶﾞ가각가한字々ひらがなไทยกำहिन्दी١٢３½Ⅷ"),
        st.sampled_from(f"{RLO}{ZWSP}{ZWJ}{ZWNJ}{SHY}\ufe0f\u034f\u115f\u2060\ufeff\x00\x1f\x7f\x85 \t\n\u3000\u2028"),
        st.characters(),
    ),
    max_size=30,
)


# The spelling to compare by


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("ﬁne", "FINE"),
        ("ＡＢＣ　１２３", "abc 123"),
        ("e\u0301", "é"),
        ("ｶﾞ", "ガ"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        (" a\t\n b\u3000", "a b"),
        (f"pass{ZWSP}word{SHY}s\ufeff", "passwords"),
        ("a\x00b\x7f", "ab"),
        (f"e{ZWJ}\u0301", "é"),
    ],
)
def test_texts_that_read_the_same_have_one_spelling(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("resume", "résumé"), ("用", "甩"), ("a b", "ab")])
def test_texts_that_read_differently_keep_their_difference(one, other):
    assert normalise(one) != normalise(other)


def test_normalising_any_single_character_twice_changes_nothing():
    unstable = [hex(p) for p in range(0x110000) if normalise(once := normalise(chr(p))) != once]
    assert not unstable


@settings(max_examples=500)
@given(MIXED)
@example("\u03b1\u0345\u0301")
def test_normalising_twice_changes_nothing(text):
    once = normalise(text)
    assert normalise(once) == once


@given(MIXED)
def test_a_copy_cannot_look_new_by_case_form_or_hidden_characters(text):
    assert normalise(ZWSP.join(text.split(" "))) == normalise(text.replace(" ", ""))
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(text)
    assert tokens(unicodedata.normalize("NFKC", text)) == tokens(text)


# Tokens and shingles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... !? —", []),
        ("Don't panic: 3.14, snake_case", ["don", "t", "panic", "3", "14", "snake", "case"]),
        ("naïve Ünïcode", ["naïve", "ünïcode"]),
        ("我爱Python3！", ["我", "爱", "python3"]),
        ("人々は東京タワー", ["人", "々", "は", "東", "京", "タ", "ワ", "ー"]),
        ("안녕하세요 세계", ["안녕하세요", "세계"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("฿5 ១២ ខ្ញុំ។", ["5", "១២", "ខ្", "ញុំ"]),
        ("\U00020000a", ["\U00020000", "a"]),
        ("Привет, мир", ["привет", "мир"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("👍 ok", ["ok"]),
    ],
)
def test_tokens_are_words_or_letters_as_the_script_has_them(text, expected):
    assert tokens(text) == expected


@given(MIXED, MIXED)
def test_tokens_of_two_texts_side_by_side_are_the_tokens_of_each(one, other):
    # A mark that begins the second text would join the first across the line, so each starts with a letter.
    assert tokens(f"{one}\nx{other}") == tokens(one) + tokens(f"x{other}")


@given(MIXED)
def test_tokens_hold_no_punctuation_and_are_their_own_tokens(text):
    for token in tokens(text):
        assert token
        assert not any(unicodedata.category(c)[0] in "PSZ" for c in token)
    assert tokens(" ".join(tokens(text))) == tokens(text)


def test_shingles_are_every_run_of_n_tokens():
    assert shingles("a b c d", 3) == {("a", "b", "c"), ("b", "c", "d")}
    assert shingles("a a a a", 2) == {("a", "a")}
    assert shingles("我爱北京", 2) == {("我", "爱"), ("爱", "北"), ("北", "京")}


def test_a_text_shorter_than_a_shingle_has_its_whole_token_tuple():
    assert shingles("a b", 3) == {("a", "b")}
    assert shingles("?!", 3) == set()
    with pytest.raises(ValueError, match="n is 0"):
        shingles("a", 0)


@given(MIXED, st.integers(1, 5))
def test_shingles_hold_every_token_and_no_more(text, n):
    words, found = tokens(text), shingles(text, n)
    assert {w for s in found for w in s} == set(words)
    assert len(found) <= max(1, len(words) - n + 1)


def test_the_unicode_tables_in_use_are_named():
    assert unicode_version() == unicodedata.unidata_version


# Direction and script


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("", "ltr"),
        ("123 ...", "ltr"),
        ("hello", "ltr"),
        ("שלום", "rtl"),
        ("مرحبا بالعالم", "rtl"),
        ("GPT هو نموذج لغوي كبير", "rtl"),
        ("The Arabic word سلام means peace", "ltr"),
        ("中文", "ltr"),
    ],
)
def test_the_side_a_text_starts_from(text, side):
    assert direction(text) == side


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", None),
        ("123 + 456 = 👍", None),
        ("Good morning", "en"),
        ("Ünïcode", "en"),
        ("用 Python 写一个 function", "zh"),
        ("在这个句子里只出现了一个「の」字", "zh"),
        ("東京都は日本の首都です", "ja"),
        ("カタカナ", "ja"),
        ("한국어 문장입니다", "ko"),
        ("مرحبا بالعالم", "ar"),
        ("שלום עולם", "he"),
        ("Привет, мир", "ru"),
        ("Καλημέρα", "el"),
        ("हिन्दी में", "hi"),
        ("ประเทศไทย", "th"),
        ("ᎣᏏᏲ", None),
        ("the word привет is Russian", "en"),
    ],
)
def test_the_script_that_prevails_names_a_language(text, language):
    assert script_language(text) == language


def test_latin_letters_are_called_what_the_caller_says():
    assert script_language("Bonjour", latin="fr") == "fr"


# What the eye cannot see


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a{RLO}b", "a[U+202E]b"),
        (f"a{ZWSP}b\ufeff", "a[U+200B]b[U+FEFF]"),
        ("\u2066x\u2069\u200e\u061c", "[U+2066]x[U+2069][U+200E][U+061C]"),
        ("\x00\x1b[31m\x7f\x85", "[U+0000][U+001B][31m[U+007F][U+0085]"),
        ("hidden\U000e0041\U000e0042", "hidden[U+E0041][U+E0042]"),
        ("x\u3164\u2800\u115f\u034f", "x[U+3164][U+2800][U+115F][U+034F]"),
        ("a\u2028b\rc", "a[U+2028]b[U+000D]c"),
        ("\ud800", "[U+D800]"),
        (f"pay{ZWJ}pal{ZWNJ}", "pay[U+200D]pal[U+200C]"),
        ("a\ufe0fb\U000e0101", "a[U+FE0F]b[U+E0101]"),
        ("😀\ufe01\U000e0154", "😀[U+FE01][U+E0154]"),
        (f"م{ZWNJ}{ZWNJ}م", "م[U+200C][U+200C]م"),
        ("cre\u00adate", "cre[U+00AD]ate"),
    ],
)
def test_what_hides_is_written_out(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\n",
        f"می{ZWNJ}خواهم",
        f"क्{ZWJ}ष",
        "👨\u200d👩\u200d👧 ❤\ufe0f ❤\ufe0f\u200d🔥 1\ufe0f⃣ 👍🏽",
        "葛\U000e0100飾区",
        "\u0600١٢",
        "é e\u0301 ñ",
        "nbsp\u00a0here",
    ],
)
def test_what_writing_needs_stays_as_it_is(text):
    assert visible(text) == text


def test_a_windows_line_break_is_a_line_break():
    assert visible("a\r\nb") == "a\nb"


@given(MIXED)
def test_nothing_that_steers_or_hides_is_left(text):
    shown = visible(text)
    for c in shown:
        category = unicodedata.category(c)
        assert category not in ("Cc", "Cs", "Zl", "Zp") or c in "\n\t"
        assert unicodedata.bidirectional(c) not in (
            "RLO",
            "LRO",
            "RLE",
            "LRE",
            "PDF",
            "RLI",
            "LRI",
            "FSI",
            "PDI",
        )
    assert visible(shown) == shown


@given(MIXED, st.integers(1, 12))
def test_an_excerpt_is_one_visible_line_within_its_limit(text, limit):
    short = excerpt(text, limit)
    assert len(short) <= limit
    assert "\n" not in short
    assert visible(short) == short or short.endswith("…")


def test_an_excerpt_says_when_it_leaves_something_out_and_cuts_no_letter_from_its_mark():
    assert excerpt("a  b\nc", 5) == "a b c"
    assert excerpt("abcdef", 5) == "abcd…"
    assert excerpt("abe\u0301f", 4) == "ab…"
    assert excerpt("word " * 10_000, 10) == "word word…"
    assert excerpt(" " * 10_000 + "x", 5) == "…"
    with pytest.raises(ValueError, match="limit is 0"):
        excerpt("a", 0)


@given(MIXED)
def test_a_text_that_fits_is_its_own_excerpt(text):
    flat = visible(" ".join(text.split()))
    assume(len(flat) <= 80)
    assert excerpt(text) == flat
