"""Which of the numbers and keys that look private are: checksums, ranges, and the examples everybody prints.

Each function takes bytes that matched its pattern (curate/private.py) and returns how many of them
are what was looked for, 0 when nothing is (below 0: an example, and nothing else either).

Sources: GB 11643-1999 (resident identity numbers), ISO/IEC 7812-1 (card numbers, with H. P. Luhn's
check digit), ISO 13616 (IBAN), E.164 (telephone numbers), RFC 2606 (names for examples).
"""

import re
from datetime import date

# Access keys by their published prefixes; every one has 20 letters, digits, _ or - in a run.
KEYS = (
    rb"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9_\-])"
    rb"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_\-]{20,64}"
    rb"|sk-[A-Za-z0-9_\-]{20,255}|[sr]k_live_[A-Za-z0-9]{16,255}|AIza[A-Za-z0-9_\-]{35}"
    rb"|xox[abeprs]-[A-Za-z0-9\-]{16,255}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,255}"
    rb"|LTAI[A-Za-z0-9]{16,26}(?![A-Za-z0-9_\-])|AKID[A-Za-z0-9]{16,36}(?![A-Za-z0-9_\-])"
    rb"|eyJ[A-Za-z0-9_\-]{17,2000}\.eyJ[A-Za-z0-9_\-]{10,8000}\.[A-Za-z0-9_\-]{10,2000}"
)
ASSIGNED = re.compile(
    rb"(?i)(?:api[_\-]?key|secret|token|passwd|password)[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
    rb"([A-Za-z0-9_\-]{20,255})(?![A-Za-z0-9_\-])"
)

_PROVINCES = frozenset(
    b"11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split()
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 "
        "EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 "
        "RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20",
    )
}
_EXAMPLE_DOMAIN = re.compile(rb"(?:.*\.)?(?:example\.[a-z]+|example|test|invalid|localhost)", re.I)
_EXAMPLE_CARDS = frozenset(
    b"4111111111111111 4242424242424242 4012888888881881 4000056655665556 5555555555554444 5105105105105100 "
    b"2223003122003222 5200828282828210 378282246310005 371449635398431 6011111111111117 6011000990139424 "
    b"3566002020360505 3530111333300000 6200000000000005".split()
)
_EXAMPLE_MOBILES = frozenset(b"13800138000 13800000000 13912345678 13812345678 13900000000 13123456789".split())
_EXAMPLE_IBANS = frozenset(b"DE89370400440532013000 GB29NWBK60161331926819 GB82WEST12345698765432".split())


def _digits(raw: bytes) -> bytes:
    return raw.translate(None, b" -.()+")


def key(raw: bytes) -> int:
    """A key has letters and digits, and does not say that it is an example."""
    body = raw.split(b".")[0]
    dull = b"EXAMPLE" in raw.upper() or len(set(body)) < 10
    return 0 if dull or not re.search(rb"[0-9]", body) or not re.search(rb"[A-Za-z]", body) else len(raw)


def secret(raw: bytes) -> int:
    """What is assigned to a name such as api_key: three digits and letters at least, and no example."""
    words = (b"EXAMPLE", b"YOUR", b"XXXX", b"PLACEHOLDER")
    if any(word in raw.upper() for word in words) or len(set(raw)) < 10:
        return 0
    return len(raw) if len(re.findall(rb"[0-9]", raw)) >= 3 and re.search(rb"[A-Za-z]", raw) else 0


def password(raw: bytes) -> int:
    """user:password in a URL, unless it is a pattern such as user:password."""
    user, _, word = raw.partition(b":")
    return -len(raw) if word.lower() in (b"password", b"pass", b"pw", b"***", b"pwd") or word == user else len(raw)


def email(raw: bytes) -> int:
    """An address whose parts are well formed and whose domain is none of those kept for examples."""
    local, _, domain = raw.rpartition(b"@")
    labels = domain.split(b".")
    if b".." in local or local.endswith(b".") or any(x.startswith(b"-") or x.endswith(b"-") for x in labels):
        return 0
    return 0 if _EXAMPLE_DOMAIN.fullmatch(domain) or raw.lower() == b"git@github.com" else len(raw)


def resident_id(raw: bytes) -> int:
    """A Chinese resident identity number: province, a day that was, and the check digit modulo 11."""
    number = _digits(raw).upper()
    if len(number) != 18 or number[:2] not in _PROVINCES:
        return 0
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return 0
    total = sum(w * (c - 48) for w, c in zip(_ID_WEIGHTS, number, strict=False))
    return len(raw) if born.year >= 1880 and b"10X98765432"[total % 11] == number[17] else 0


def luhn(number: bytes) -> bool:
    """Whether the last of these digits is the check digit of the others."""
    total = 0
    for place, c in enumerate(reversed(number)):
        digit = c - 48
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def card(raw: bytes) -> int:
    """A payment card: a known issuer's range and length, and the check digit.

    Digits after a gap that do not belong to it are left out.
    """
    ends = [len(raw)]
    tail = re.search(rb"[ \-][0-9]{1,3}$", raw)
    if tail:
        ends.append(tail.start())
    for end in ends:
        number = _digits(raw[:end])
        if _issued(number) and luhn(number) and number not in _EXAMPLE_CARDS and len(set(number)) > 2:
            return end
    return 0


def _issued(number: bytes) -> bool:
    two, four, n = int(number[:2]), int(number[:4]), len(number)
    return (
        (two == 62 and 16 <= n <= 19)
        or (40 <= two < 50 and n in (16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and n == 16)
        or (two in (34, 37) and n == 15)
        or ((four == 6011 or two == 65 or 3528 <= four <= 3589) and n == 16)
    )


def iban(raw: bytes) -> int:
    """An IBAN: the country's length, and 1 as the remainder modulo 97."""
    length = _IBAN_LENGTHS.get(raw[:2].decode())
    end = held = 0
    while end < len(raw) and held < (length or 0):
        held += raw[end : end + 1] != b" "
        end += 1
    number = raw[:end].replace(b" ", b"")
    if held != length or raw[end : end + 1].isalnum() or number in _EXAMPLE_IBANS:
        return 0
    if sum(48 <= c < 58 for c in raw[: min(end, 31)]) < 9:
        return 0
    turned = (number[4:] + number[:4]).decode()
    return end if int("".join(str(int(c, 36)) for c in turned)) % 97 == 1 else 0


def social_security(raw: bytes) -> int:
    """A United States social security number, but for the two that forms print."""
    return 0 if raw in (b"123-45-6789", b"078-05-1120") else len(raw)


def mobile(raw: bytes) -> int:
    """A Chinese mobile number, but for those that forms print."""
    number = _digits(raw)[-11:]
    return 0 if number in _EXAMPLE_MOBILES or len(set(number[3:])) == 1 else len(raw)


def international(raw: bytes) -> int:
    """A number with + and a country's code: 10 to 15 digits, brackets that close, no 555 number of films."""
    number = _digits(raw)
    if not 10 <= len(number) <= 15 or raw.count(b"(") != raw.count(b")") or len(set(number[2:])) == 1:
        return 0
    fiction = number[:1] == b"1" and number[4:7] == b"555"
    return 0 if fiction or number[-11:] in _EXAMPLE_MOBILES else len(raw)


def north_american(raw: bytes) -> int:
    """A number of the North American plan, but for exchange 555, which films and manuals use."""
    return 0 if _digits(raw)[-7:-4] == b"555" else len(raw)


def plate(raw: bytes) -> int:
    """A licence plate has three digits at least."""
    return len(raw) if sum(48 <= c < 58 for c in raw) >= 3 else 0
