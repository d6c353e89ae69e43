"""What one judgment says of a task's responses, as a few bytes, and what follows from those bytes alone.

A project of a million judgments has few different forms: each is worked out once and remembered. Responses
are numbered by their ids in order. A form is: how many responses; the place of each (0 the best; NOT_PLACED);
how many were shown; their numbers as shown; and for a soft label the probability of the first shown.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from curate.ballot_columns import WHOLE

NOT_PLACED = 255


class Duel(NamedTuple):
    """Two responses as one judgment compares them."""

    first: int
    """The number of the one with the smaller id."""
    second: int
    turned: bool
    """Whether the second was shown before the first."""
    share: float
    tie: bool


def form_of(record: Mapping[str, Any], ids: Sequence[str]) -> bytes | None:
    """A judgment's form; None when it compares nothing.

    Args:
        record: the judgment's record, answered.
        ids: the task's responses that count, sorted.
    """
    number = {id_: n for n, id_ in enumerate(ids)}
    shown = [number[r] for r in record.get("shown") or () if r in number]
    place = [NOT_PLACED] * len(ids)
    soft = b""
    choice, p = record.get("choice"), record.get("probability")
    if (ranking := record.get("ranking")) is not None:
        for tier, held in enumerate(ranking):
            for one in held:
                if one in number:
                    place[number[one]] = tier
    elif len(shown) == 2 and len(record["shown"]) == 2 and (choice is not None or p is not None):
        even = 0.5 if p is None else p
        ahead = choice == "A" if choice is not None else even > 0.5
        behind = choice == "B" if choice is not None else even < 0.5
        place[shown[0]], place[shown[1]] = int(behind), int(ahead)
        soft = b"" if p is None else struct.pack("<d", p)
    if sum(x != NOT_PLACED for x in place) < 2:
        return None
    return bytes([len(ids), *place, len(shown), *shown]) + soft


def _places(form: bytes) -> bytes:
    return form[1 : 1 + form[0]]


def _shown(form: bytes) -> bytes:
    at = 1 + form[0]
    return form[at + 1 : at + 1 + form[at]]


def _probability(form: bytes) -> float | None:
    rest = form[2 + form[0] + form[1 + form[0]] :]
    return struct.unpack("<d", rest)[0] if rest else None


@lru_cache(100_000)
def first_shown(form: bytes) -> int | None:
    """Parts of WHOLE that went to what was shown earlier (curate.bias); None when fewer than two shown were placed."""
    place = _places(form)
    placed = [place[r] for r in _shown(form) if place[r] != NOT_PLACED][:9]
    if len(placed) < 2:
        return None
    pairs = len(placed) * (len(placed) - 1) // 2
    halves = sum(2 * (a < b) + (a == b) for a, b in combinations(placed, 2))
    return halves * (WHOLE // (2 * pairs))


@lru_cache(100_000)
def duels(form: bytes) -> tuple[Duel, ...]:
    """Every two responses it compares, as curate.votes codes them."""
    place, shown, p = _places(form), _shown(form), _probability(form)
    at = {r: n for n, r in enumerate(shown)}
    if p is not None:
        turned = shown[0] > shown[1]
        return (Duel(min(shown), max(shown), turned, 1 - p if turned else p, False),)
    placed = [r for r, tier in enumerate(place) if tier != NOT_PLACED]
    return tuple(
        Duel(
            a,
            b,
            a in at and b in at and at[b] < at[a],
            0.5 if place[a] == place[b] else float(place[a] < place[b]),
            place[a] == place[b],
        )
        for a, b in combinations(placed, 2)
    )


@lru_cache(100_000)
def sides(form: bytes) -> tuple[tuple[int, int, int], ...]:
    """Every two responses it placed: 1 when the first was put before the second, -1 after, 0 a tie."""
    place = _places(form)
    placed = [r for r, tier in enumerate(place) if tier != NOT_PLACED]
    return tuple((a, b, (place[a] < place[b]) - (place[a] > place[b])) for a, b in combinations(placed, 2))


@lru_cache(100_000)
def with_majority(forms: tuple[bytes, ...]) -> tuple[int | None, ...]:
    """For each judgment of a task the parts of WHOLE in which it sides with the majority of the others.

    None where the others lean nowhere on what it put apart; see `curate.people.agreements`.
    """
    lean: dict[tuple[int, int], int] = {}
    for form in forms:
        for a, b, side in sides(form):
            lean[a, b] = lean.get((a, b), 0) + side
    found: list[int | None] = []
    for form in forms:
        agreed = met = 0
        for a, b, side in sides(form):
            others = lean[a, b] - side
            if side and others:
                met += 1
                agreed += (side > 0) == (others > 0)
        found.append(agreed * WHOLE // met if met else None)
    return tuple(found)
