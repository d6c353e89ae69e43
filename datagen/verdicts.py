"""Reading a judge's verdict: a strict parser that refuses rather than guesses.

A verdict is a letter (or a tie) that stands where it was asked for: alone at the start of the answer, or,
after reasoning, alone in the last line behind the word that was asked for. An answer that names both, or
neither, is rejected by name. Ratings must be whole numbers of their scale, for every answer and criterion,
and nothing more: a number is never fished out of a sentence.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from data.records import Criterion

Choice = Literal["A", "B", "tie"]

NO_VERDICT, BOTH_NAMED, BAD_RATINGS = "no_verdict", "both_named", "bad_ratings"

_OPEN = r"""[\s"'`“‘「『*_\[({<【（［]*"""
_CLOSE = r"""[\s"'`”’」』*_\])}>】）］.,:;!。，、：；！]*"""
_NAME = r"(?:the\s+)?(?:answer|response|option|choice|assistant)|回答|答案|选项|答复"
_SAYS = (
    r"(?:(?:my|the|final)\s+)*(?:verdict|answer|choice|preference|judge?ment)(?:\s+is)?"
    r"|(?:我的|最终)*(?:结论|答案|选择|判断|判定)是?|我?选择?|更好的是"
)
# The whole answer is the verdict; or its first line is, in words that leave nothing open.
_ALONE = re.compile(rf"{_OPEN}(?:(?:{_NAME})\s*)?{_OPEN}([AB]){_CLOSE}", re.IGNORECASE)
_SAID = re.compile(
    rf"{_OPEN}(?:{_SAYS})\s*[:：]?{_OPEN}(?:(?:{_NAME})\s*)?{_OPEN}([AB])(?:\s*(?:is better|更好))?{_CLOSE}",
    re.IGNORECASE,
)
_BETTER = re.compile(rf"{_OPEN}(?:{_NAME})\s*{_OPEN}([AB]){_CLOSE}(?:is better|更好){_CLOSE}", re.IGNORECASE)
_TIE = re.compile(
    rf"{_OPEN}(?:(?:{_SAYS})\s*[:：]?{_OPEN})?(?:it'?s\s+)?(?:a\s+)?"
    rf"(?:tie|draw|equal|平局|平手|不相上下|不分高下|一样好|同样好){_CLOSE}",
    re.IGNORECASE,
)
_LAST = re.compile(rf"{_OPEN}(?:verdict|结论)\s*{_CLOSE}[:：]{_CLOSE}(.*)", re.IGNORECASE)
_STANDING = re.compile(r"(?<![A-Za-z0-9'’])([AB])(?![A-Za-z0-9'’])")


class Verdict(NamedTuple):
    """What the judge stated."""

    choice: Choice
    at: int | None = None
    """Where its letter stands in the answer's text, in characters; None for a tie."""


class NoVerdict(NamedTuple):
    """Why an answer states none: NO_VERDICT, BOTH_NAMED or BAD_RATINGS, and what exactly."""

    fault: str
    detail: str


def read_choice(text: str, reasoned: bool) -> Verdict | NoVerdict:
    """The choice stated in a judge's answer.

    Args:
        reasoned: the answer was to reason first and to end with a line "VERDICT: …" (结论：…); else it was
            to begin with the letter, and only the first line is read.
    """
    wide = _half_width(text)
    if reasoned:
        return _last_line(wide)
    start = len(wide) - len(wide.lstrip())
    line = wide[start:].split("\n", 1)[0]
    return _stated(line, start)


def _half_width(text: str) -> str:
    """Ａ and Ｂ (also in brackets of their own width) as their plain forms, length kept."""
    return "".join(unicodedata.normalize("NFKC", c) if c in "ＡＢａｂ［］＊" else c for c in text)


def _stated(line: str, offset: int) -> Verdict | NoVerdict:
    if _TIE.fullmatch(line):
        return Verdict("tie")
    named = set(_STANDING.findall(line))
    if len(named) == 2:
        return NoVerdict(BOTH_NAMED, line[:200])
    for pattern in (_ALONE, _SAID, _BETTER):
        if found := pattern.fullmatch(line):
            return Verdict("A" if found[1] in "Aa" else "B", offset + found.start(1))
    # A reason may follow in the same line, when the letter is closed off from it: "(A) because", "B. It".
    closed = re.match(rf"{_OPEN}([AB])(?:[)\].:）】。：]|\s*[-–—])", line)
    if closed:
        return Verdict("A" if closed[1] == "A" else "B", offset + closed.start(1))
    return NoVerdict(NO_VERDICT, line[:200])


def _last_line(text: str) -> Verdict | NoVerdict:
    lines = text.rstrip().split("\n")
    found = [(number, match) for number, line in enumerate(lines) if (match := _LAST.fullmatch(line))]
    if not found or found[-1][0] != len(lines) - 1:
        return NoVerdict(NO_VERDICT, lines[-1][:200])
    number, match = found[-1]
    offset = sum(len(line) + 1 for line in lines[:number]) + match.start(1)
    verdict = _stated(match[1], offset)
    if isinstance(verdict, Verdict):
        for _, other in found[:-1]:
            earlier = _stated(other[1], 0)
            if isinstance(earlier, Verdict) and earlier.choice != verdict.choice:
                return NoVerdict(BOTH_NAMED, f"{other[0].strip()[:90]} … {match[0].strip()[:90]}")
    return verdict


def ratings_schema(letters: Sequence[str], criteria: Sequence[Criterion], reasoned: bool) -> dict[str, Any]:
    """The JSON schema of ratings: for each letter each criterion, one of the whole numbers of its scale."""
    scales = {c.key: {"type": "integer", "enum": list(range(c.low, c.high + 1))} for c in criteria}
    properties: dict[str, Any] = {"reasoning": {"type": "string"}} if reasoned else {}
    properties |= {letter: _object(scales) for letter in letters}
    return _object(properties)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_ratings(
    value: Any, letters: Sequence[str], criteria: Sequence[Criterion]
) -> dict[str, dict[str, int]] | NoVerdict:
    """The ratings in a judge's JSON answer by letter and criterion; what is not exactly on a scale is refused.

    JSON schema takes 4.0 for an integer and so do some servers; here only a whole number counts.
    """
    if not isinstance(value, Mapping):
        return NoVerdict(BAD_RATINGS, "no object with a rating for each answer")
    if strange := [key for key in value if key not in (*letters, "reasoning")]:
        return NoVerdict(BAD_RATINGS, f"'{str(strange[0])[:40]}' is no answer")
    made: dict[str, dict[str, int]] = {}
    for letter in letters:
        given = value.get(letter)
        if not isinstance(given, Mapping) or set(given) != {c.key for c in criteria}:
            return NoVerdict(BAD_RATINGS, f"{letter} is not rated on {', '.join(c.key for c in criteria)}")
        made[letter] = {}
        for c in criteria:
            points = given[c.key]
            if isinstance(points, bool) or not isinstance(points, int) or not c.low <= points <= c.high:
                return NoVerdict(BAD_RATINGS, f"{letter}, {c.key}: {points!r} is not from {c.low} to {c.high}"[:200])
            made[letter][c.key] = points
    return made
