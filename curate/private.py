"""Private data in text: addresses, numbers with their checksums, keys. What is found is never shown whole.

A text is looked at through its image (curate/private_image.py), and every pattern is one over bytes.

`scan` puts many texts together and lets only those near a pattern through, by a few passes over the
bytes; `find` reads one text without that. Their answers are the same. What documents use as an
example (example.com, 555 numbers, the test cards of payment services) is not private.

Not found: names and postal addresses (they need a model of language), numbers spelled out in words,
addresses whose letters are not ASCII.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from curate import private_checks as checks
from curate.private_image import PROVINCE, image_of
from curate.words import batches
from data.parallel import in_order

if TYPE_CHECKING:
    from curate.private_image import Places

_BATCH = 1 << 20


class Found(NamedTuple):
    """Something private: in which text, from which character to before which, and of what kind."""

    text: int
    begin: int
    end: int
    kind: str


class Kind(NamedTuple):
    """One kind of private data: the family whose first pass lets a text through, a pattern over the image, a check."""

    name: str
    family: str
    pattern: "re.Pattern[bytes]"
    """What is found is its group 1 where it has one, else the whole match."""
    check: Callable[[bytes], int]
    """How many bytes of the match are it; 0 when it is none, below 0 when they are an example and nothing else."""


_B = rb"(?<![0-9A-Za-z])(?<![0-9][.\-])"  # before a number: no letter or digit, no decimal point of one
_E = rb"(?![0-9A-Za-z])(?![.\-][0-9])"
_K = rb"(?<![A-Za-z0-9_\-])"

# In the order in which they claim characters: what was claimed is nothing else.
KINDS: tuple[Kind, ...] = (
    Kind(
        "private_key",
        "header",
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            rb"(?:[^\x00]{0,20000}?-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
        len,
    ),
    Kind("key", "run", re.compile(_K + rb"(?:" + checks.KEYS + rb")"), checks.key),
    Kind("key", "run", checks.ASSIGNED, checks.secret),
    Kind(
        "password",
        "at",
        re.compile(rb"(?<=://)([^\x00-\x20/@:\x80-\xff]{1,64}:[^\x00-\x20/@\x80-\xff]{1,128})@(?=[A-Za-z0-9])"),
        checks.password,
    ),
    Kind(
        "email",
        "at",
        re.compile(
            rb"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9_%+\-][A-Za-z0-9._%+\-]{0,63}@(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}"
            rb"(?![A-Za-z0-9])"
        ),
        checks.email,
    ),
    Kind(
        "resident_id",
        "digits",
        re.compile(_B + rb"[1-9][0-9]{5}[ \-]?(?:18|19|20)[0-9]{6}[ \-]?[0-9]{3}[0-9Xx]" + _E),
        checks.resident_id,
    ),
    Kind(
        "card",
        "digits",
        re.compile(
            _B
            + rb"(?:[2-6][0-9]{3}(?:[ \-]?[0-9]{4}){3}(?:[ \-]?[0-9]{1,3})?|3[47][0-9]{2}[ \-]?[0-9]{6}[ \-]?[0-9]{5})"
            + _E
        ),
        checks.card,
    ),
    Kind(
        "iban",
        "digits",
        re.compile(rb"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"),
        checks.iban,
    ),
    Kind(
        "social_security",
        "digits",
        re.compile(_B + rb"(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}" + _E),
        checks.social_security,
    ),
    Kind(
        "phone",
        "digits",
        re.compile(
            _B + rb"(?:(?:(?<!\+)\+|(?<![0-9])00)86[ \-]?)?1[3-9][0-9](?:[ \-]?[0-9]{4}){2}" + _E,
        ),
        checks.mobile,
    ),
    Kind(
        "phone",
        "digits",
        re.compile(rb"(?<![0-9A-Za-z+])\+[1-9][0-9]{0,2}(?:[ .\-]?\(?[0-9]{1,4}\)?){2,5}(?![0-9A-Za-z])"),
        checks.international,
    ),
    Kind(
        "phone",
        "digits",
        re.compile(
            _B
            + rb"(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}(?P<gap>[.\-]))"
            + rb"[2-9][0-9]{2}(?(gap)(?P=gap)|[.\-])[0-9]{4}"
            + _E
        ),
        checks.north_american,
    ),
    Kind(
        "phone",
        "digits",
        re.compile(
            _B + rb"(?:\(0(?:10|2[0-9]|[3-9][0-9]{2})\) ?|0(?:10|2[0-9]|[3-9][0-9]{2})[ \-])[2-8][0-9]{6,7}" + _E
        ),
        len,
    ),
    Kind(
        "licence_plate",
        "plate",
        re.compile(
            rb"\x90[A-HJ-NP-Z][\xb7 \-]?(?:[DF][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[DF]|[A-HJ-NP-Z0-9]{5})(?![0-9A-Za-z])"
        ),
        checks.plate,
    ),
)
NAMES: tuple[str, ...] = tuple(dict.fromkeys(kind.name for kind in KINDS))
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(kind.family for kind in KINDS))


def find(text: str) -> list[Found]:
    """Everything private in one text, in order; `text` of each is 0."""
    image, places = image_of(text)
    return _found(0, image, places, 0, len(image), FAMILIES)


def scan(texts: Sequence[str], step: Callable[[int], None] = lambda _: None, threads: int | None = 1) -> list[Found]:
    """Everything private in many texts: what `find` finds in each, sooner; by text and place.

    Args:
        threads: how many may work at once; what is found is the same.
    """
    parts = batches(texts, _BATCH)
    found: list[Found] = []
    with in_order(len(parts), threads) as each:
        for part, some in zip(parts, each(partial(_scan_part, texts), parts), strict=True):
            found += some
            step(part.stop - part.start)
    return sorted(found)


def _scan_part(texts: Sequence[str], part: slice) -> list[Found]:
    """What is found in some of the texts; those of ASCII letters alone need no image."""
    found: list[Found] = []
    ascii_: list[int] = []
    wide: list[int] = []
    for i in range(part.start, part.stop):
        (ascii_ if texts[i].isascii() else wide).append(i)
    if ascii_:
        chosen = [texts[i] for i in ascii_]
        image = "\x00".join(chosen).encode()
        found += _scan(image, None, ascii_, [len(t) for t in chosen])
    if wide:
        chosen = [texts[i] for i in wide]
        image, places = image_of("\x00".join(chosen))
        found += _scan(image, places, wide, [len(t) for t in chosen])
    return found


def redact(text: str) -> tuple[str, list[Found]]:
    """The text with a placeholder of its kind, such as [EMAIL], for everything private, and what that was.

    Redacting twice changes nothing more, and `find` finds nothing in the result. The places given are
    those in the text as it came; what shows only when its neighbour is gone is replaced too and not listed.
    """
    found = find(text)
    more = found
    for _ in range(8):
        if not more:
            break
        for one in reversed(more):
            text = f"{text[: one.begin]}[{one.kind.upper()}]{text[one.end :]}"
        more = find(text)
    return text, found


def masked(text: str, one: Found) -> str:
    """What was found so that it can be recognised and not used: two characters and the length."""
    return f"{one.kind} {text[one.begin : one.begin + 2]}… ({one.end - one.begin} characters)"


def _scan(image: bytes, places: "Places | None", which: list[int], sizes: list[int]) -> Iterator[Found]:
    """What is found in texts that lie one after another in an image, with one byte between."""
    import numpy as np

    ends: Places = np.cumsum(np.array(sizes, np.int64) + 1) - 1
    starts = ends - sizes  # the first character of each text
    begins = starts
    if places is not None:
        begins, ends = np.searchsorted(places, starts), np.searchsorted(places, ends)
    wanted: dict[int, list[str]] = {}
    for family, near in _near(image, not image.isascii()).items():
        for row in np.unique(np.searchsorted(begins, near, "right") - 1).tolist():
            wanted.setdefault(row, []).append(family)
    for row in sorted(wanted):
        shift = int(starts[row])
        for one in _found(which[row], image, places, int(begins[row]), int(ends[row]), wanted[row]):
            yield one._replace(begin=one.begin - shift, end=one.end - shift)


def _near(image: bytes, wide: bool) -> "dict[str, Places]":
    """For each family the places in an image where something of it may be; nothing of it is anywhere else."""
    import numpy as np

    view = np.frombuffer(image, np.uint8)
    digits = np.flatnonzero((view - ord("0")) < 10)
    # Every number that is looked for has nine digits within 32 bytes.
    close = digits[:-8][digits[8:] - digits[:-8] < 32] if len(digits) > 8 else digits[:0]
    # Every key has a run of at least 20 letters, digits, _ and -.
    others = np.flatnonzero(np.frombuffer(image.translate(_NO_KEY), np.uint8))
    others = np.concatenate(([-1], others, [len(image)]))
    found = {
        "at": np.flatnonzero(view == ord("@")),
        "digits": close,
        "run": others[:-1][np.diff(others) > 20] + 1,
        "header": np.fromiter((m.start() for m in re.finditer(rb"PRIVATE KEY", image)), np.int64),
    }
    if wide:
        plates = np.flatnonzero(view[:-1] == PROVINCE)
        found["plate"] = plates[(view[plates + 1] - ord("A")) < 26]
    return found


_NO_KEY = bytes(not (chr(c).isalnum() or chr(c) in "_-") or c > 127 for c in range(256))


def _found(
    text: int, image: bytes, places: "Places | None", begin: int, end: int, families: Sequence[str]
) -> list[Found]:
    """What the kinds of these families find between two places of an image."""
    found: list[tuple[int, int, str]] = []
    claimed = bytearray(end - begin)
    for kind in KINDS:
        if kind.family not in families:
            continue
        for match in kind.pattern.finditer(image, begin, end):
            group = 1 if kind.pattern.groups and match.lastindex and kind.name in ("key", "password") else 0
            held = kind.check(match[group])
            first = match.start(group)
            last = first + abs(held)
            if held and claimed.find(1, first - begin, last - begin) < 0:
                claimed[first - begin : last - begin] = b"\x01" * (last - first)
                if held > 0:
                    found.append((first, last, kind.name))
    if places is None:
        return [Found(text, a, b, kind) for a, b, kind in sorted(found)]
    return [Found(text, int(places[a]), int(places[b - 1]) + 1, kind) for a, b, kind in sorted(found)]
