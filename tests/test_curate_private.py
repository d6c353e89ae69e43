"""Private data: what is found and what is not, checksums, hidden letters, placeholders that leave nothing behind."""

import random
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.private import KINDS, NAMES, find, masked, redact, scan
from curate.private_checks import luhn
from curate.private_image import image_of

FOUND = [
    ("邮箱zhang.san@qq.com请联系", "email", "zhang.san@qq.com"),
    ("Mail First.Last+tag@sub.corp-mail.co.uk.", "email", "First.Last+tag@sub.corp-mail.co.uk"),
    ("ＬＩ@ＱＱ．ＣＯＭ", "email", "ＬＩ@ＱＱ．ＣＯＭ"),
    ("电话13912345679，谢谢", "phone", "13912345679"),
    ("手机 +86 139-1234-5679", "phone", "+86 139-1234-5679"),
    ("座机0571-87654321", "phone", "0571-87654321"),
    ("call (415) 267-1234 now", "phone", "(415) 267-1234"),
    ("call 415-267-1234 now", "phone", "415-267-1234"),
    ("+44 20 7946 0958", "phone", "+44 20 7946 0958"),
    ("139\u200b1234\u200b5679", "phone", "139\u200b1234\u200b5679"),
    ("١٣٩١٢٣٤٥٦٧٩", "phone", "١٣٩١٢٣٤٥٦٧٩"),
    ("身份证11010519491231002X。", "resident_id", "11010519491231002X"),
    ("110105 19491231 002x", "resident_id", "110105 19491231 002x"),
    ("４５３９１４８８０３４３６４６７", "card", "４５３９１４８８０３４３６４６７"),
    ("4539 1488 0343 6467 12 apples", "card", "4539 1488 0343 6467"),
    ("卡号6222 0212 3456 7890 128", "card", "6222 0212 3456 7890 128"),
    ("amex 3714 496353 98456", "card", "3714 496353 98456"),
    ("IBAN DE44 5001 0517 5407 3249 31 OK", "iban", "DE44 5001 0517 5407 3249 31"),
    ("ssn 219-09-9999", "social_security", "219-09-9999"),
    ("车牌粤B·12345", "licence_plate", "粤B·12345"),
    ("京AD12345", "licence_plate", "京AD12345"),
    ("key sk-proj-abc123def456ghi789jkl0", "key", "sk-proj-abc123def456ghi789jkl0"),
    ("ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "key", "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"),
    ("AKIAQ3EGRT5NQW7PZX2B", "key", "AKIAQ3EGRT5NQW7PZX2B"),
    ('api_key = "q1w2e3r4t5y6u7i8o9p0"', "key", "q1w2e3r4t5y6u7i8o9p0"),
    ("https://bob:s3cr3t@db.corp.io/x", "password", "bob:s3cr3t"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "private_key",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ),
]
NOT_FOUND = [
    "someone@example.com or a@b.test",
    "@property and user@localhost, a@b",
    "card 4111 1111 1111 1111 (a test card)",
    "card 4539 1488 0343 6468",  # one digit off
    "11010519491231002Y 110105194912310021 990105194912310029",
    "110105199902300022",  # no 30 February
    "13800138000 and 12345678901 and 139123456790",
    "pi is 3.14159265358979, e is 2.718281828459045",
    "2026-11-22 08:44:32, 1,299,000, version 3.11.4",
    "(415) 555-0123, 555-0199",
    "ssn 000-12-3456, 123-45-6789",
    "DE45 5001 0517 5407 3249 31",
    "AKIAIOSFODNN7EXAMPLE",
    "sk-this-is-only-words-joined-up",
    "api_key = YOUR_API_KEY_HERE_123456",
    "https://user:password@host.io/",
    "-----BEGIN PUBLIC KEY-----",
    "京ABCDEF 苏A股上涨",
    "0123456789abcdef0123456789abcdef",
    "",
]


@pytest.mark.parametrize(("text", "kind", "what"), FOUND)
def test_private_data_is_found_with_its_place(text: str, kind: str, what: str) -> None:
    (one,) = find(text)
    assert (one.kind, text[one.begin : one.end]) == (kind, what)


@pytest.mark.parametrize("text", NOT_FOUND)
def test_examples_and_other_numbers_are_not_private(text: str) -> None:
    assert find(text) == []


def test_every_kind_has_an_example_here() -> None:
    assert {kind for _, kind, _ in FOUND} == set(NAMES)


PIECES = [what for _, _, what in FOUND] + [
    *(
        "138",
        "1",
        "9",
        "12345",
        "１３９",
        "\u200b",
        " ",
        "-",
        "—",
        "@",
        ".",
        "a",
        "+86",
        "(",
        ")",
        "京",
        "粤",
        "A",
        "é",
    ),
    *(
        "\x00",
        "\n",
        "://",
        "u:",
        "٣",
        "eyJ",
        "api_key=",
        "\ud800",
        "PRIVATE KEY-----",
        "-----BEGIN ",
        "sk-",
        "0123456789",
    ),
]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=30), max_size=6)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_scanning_many_texts_finds_what_reading_each_one_finds(texts: list[str]) -> None:
    assert scan(texts) == [one._replace(text=i) for i, text in enumerate(texts) for one in find(text)]


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_nothing_is_found_in_what_was_redacted_and_redacting_again_changes_nothing(texts: list[str]) -> None:
    for text in texts:
        clean, found = redact(text)
        assert find(clean) == []
        assert redact(clean) == (clean, [])
        assert (clean == text) == (not found)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_what_was_found_is_never_shown_whole(texts: list[str]) -> None:
    for text in texts:
        for one in find(text):
            assert text[one.begin : one.end] not in masked(text, one)


def test_a_text_keeps_its_other_words() -> None:
    clean, found = redact("Write to ann@corp.io or call 13912345679, 谢谢")
    assert clean == "Write to [EMAIL] or call [PHONE], 谢谢"
    assert [one.kind for one in found] == ["email", "phone"]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.dates(date(1930, 1, 1), date(2024, 1, 1)), st.integers(0, 999))
def test_one_of_eleven_check_digits_makes_a_resident_number(seed: int, born: date, order: int) -> None:
    province = random.Random(seed).choice(["11", "31", "44", "51", "65"])
    body = f"{province}0105{born:%Y%m%d}{order:03}"
    # By the definition: the digits, weighted by powers of 2 modulo 11 from the right, sum to 1.
    right = [
        c
        for c in "0123456789X"
        if sum((10 if d == "X" else int(d)) * 2**i for i, d in enumerate(reversed(body + c))) % 11 == 1
    ]
    assert [c for c in "0123456789X" if any(f.kind == "resident_id" for f in find(body + c))] == right


@given(st.text("0123456789", min_size=1, max_size=20))
def test_luhn_is_the_sum_of_digits_of_doubled_ones(number: str) -> None:
    doubled = "".join(str(int(d) * (1 + i % 2)) for i, d in enumerate(reversed(number)))
    assert luhn(number.encode()) == (sum(map(int, doubled)) % 10 == 0)


@given(st.text(max_size=50))
def test_an_image_has_one_byte_for_each_letter_that_can_be_seen(text: str) -> None:
    image, places = image_of(text)
    assert len(image) == (len(text) if places is None else len(places))
    if text.isascii():
        assert image == text.encode()


def test_every_kind_belongs_to_a_family_that_lets_it_through() -> None:
    from curate.private import _near

    for text, kind, _ in FOUND:
        image, _places = image_of(text)
        families = {family for family, near in _near(image, True).items() if len(near)}
        assert families & {one.family for one in KINDS if one.name == kind}


def test_private_data_in_real_dialogues_is_found_once_and_gone_after_redaction(real: object) -> None:
    from pathlib import Path

    from data.jsonl import read_lines

    path = Path(str(real)) / "hh_rlhf/harmless_test_first_half.jsonl.gz"
    texts = [str(line.value["chosen"]) for line in read_lines(path)]
    found = scan(texts)
    assert {one.kind for one in found} >= {"email", "phone"}
    assert len({one.text for one in found}) < len(texts) // 50
    assert not scan([redact(texts[one.text])[0] for one in found])
