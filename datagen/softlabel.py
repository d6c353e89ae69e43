"""From the log-probabilities of a judge's choice to the probability that the first answer is better.

Pure arithmetic. A judge answers with one of two letters; at the place where the letter stands the server
gives the most likely tokens with their log-probabilities. Tokens that spell the same letter (" A", "(a",
"**A") are added up, and the two sums are normalised over the two letters (Bai et al. 2022, arXiv
2212.08073, section 4.1: normalised log-probabilities of the choices are the soft label).

Probabilities have DIGITS decimals, so that p and 1 - p are each other's exact complement and the same on
every machine.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from data.errors import BadInput

DIGITS = 6
HIGHEST = 1e-3  # a log-probability may round to a little above 0; more than this is none
_LEAD = re.compile(r"""[\s"'`“”‘’「」『』*_#>:：(（\[【{]*""")
_LETTER = re.compile(r"([AaBbＡａＢｂ])(?![A-Za-zＡ-Ｚａ-ｚ])")

Side = Literal["A", "B"]


class Soft(NamedTuple):
    """A soft label, and how much of the probability it rests on."""

    probability: float
    """That the answer called A is better, normalised over A and B."""
    seen: float
    """Probability at that place of all tokens seen that spell A or B; the rest went to other words."""
    missing: Side | None = None
    """The letter that no token given spelled: its share is then the largest it can have had, so that the
    label is the least sure one that the numbers allow."""


def soft_label(tokens: Sequence[Mapping[str, Any]] | None, text: str, at: int) -> Soft | None:
    """The soft label at the place of the judge's letter; None where the log-probabilities give none.

    Args:
        tokens: the answer's tokens as an OpenAI-compatible server gives them: {"token", "logprob",
            "top_logprobs": [{"token", "logprob"}, …]}.
        text: the answer's text.
        at: the letter's offset in it, in characters.

    A letter's token may hold what stands before it (space, bracket, quotes) and after it, unless that is
    another letter: "An" is no choice. What comes in a token of its own before the letter is given. A value
    that is no log-probability (missing, above 0, not a number) is passed over; where the answer's own token
    has none, there is no label.
    """
    place = _place(tokens, text, at)
    if place is None:
        return None
    token, inside = place
    own = _log_probability(token)
    if own is None:
        return None
    given = {str(token["token"]): own}
    for other in token.get("top_logprobs") or []:
        if isinstance(other, Mapping) and isinstance(other.get("token"), str):
            value = _log_probability(other)
            if value is not None:
                given.setdefault(other["token"], value)
    masses = {"A": 0.0, "B": 0.0}
    for text, value in given.items():
        # The letter stood at `inside` in the own token; in the others it is found by itself.
        side = _side(text[inside:]) if text == token["token"] else spelled(text)
        if side:
            masses[side] += math.exp(value)
    return _normalised(masses, list(given.values()))


def spelled(token: str) -> Side | None:
    """The letter a token stands for by itself; None when it is another word, or only the start of one."""
    return _side(token[_lead(token) :])


def _side(text: str) -> Side | None:
    found = _LETTER.match(text)
    if not found:
        return None
    return "A" if found[1] in "AaＡａ" else "B"


def _lead(token: str) -> int:
    match = _LEAD.match(token)
    return match.end() if match else 0


def _place(tokens: Sequence[Mapping[str, Any]] | None, text: str, at: int) -> tuple[Mapping[str, Any], int] | None:
    """The token in which the answer's character `at` stands, and where in it."""
    pieces = [token.get("token") if isinstance(token, Mapping) else None for token in tokens or []]
    if not tokens or not all(isinstance(piece, str) for piece in pieces):
        return None
    joined = "".join(str(piece) for piece in pieces)
    # Servers trim the text, add an end token, or cut a character into bytes: then its last line is looked for.
    line = text.rfind("\n", 0, at) + 1
    shift = joined.find(text)
    shift = shift if shift >= 0 else joined.rfind(text[line:].rstrip()) - line
    if shift < -line:
        return None
    offset = shift + at
    for token, piece in zip(tokens, pieces, strict=True):
        if offset < len(str(piece)):
            return (token, offset) if _side(str(piece)[offset:]) else None
        offset -= len(str(piece))
    return None


def _log_probability(entry: Mapping[str, Any]) -> float | None:
    value = entry.get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > HIGHEST:
        return None
    return min(0.0, float(value))


def _normalised(masses: Mapping[str, float], logs: Sequence[float]) -> Soft | None:
    a, b = masses["A"], masses["B"]
    if not a and not b:
        return None
    seen = min(1.0, a + b)
    if a and b:
        return Soft(round(a / (a + b), DIGITS), round(seen, DIGITS))
    missing: Side = "A" if b else "B"
    there = a or b
    # A token that was left out is no likelier than the least likely one given, and has at most what is left.
    lowest = math.exp(min(logs))
    left = max(0.0, 1.0 - sum(math.exp(value) for value in logs))
    most = min(lowest, left) if len(logs) > 1 else left
    sure = max(0.5, there / (there + most))
    p = round(sure, DIGITS)
    return Soft(p if missing == "B" else complement(p), round(seen, DIGITS), missing)


def complement(probability: float) -> float:
    """1 - p, with the same decimals: what A's probability is for B."""
    return round(1.0 - probability, DIGITS)


class Clamp(NamedTuple):
    """The range that a probability is brought into."""

    low: float
    high: float

    def __call__(self, probability: float) -> float:
        """The nearest probability within the range."""
        return min(max(probability, self.low), self.high)


def parse_clamp(text: str) -> Clamp | None:
    """A range such as "0.4,0.6"; None for "none".

    Reasoning before the verdict makes a judge all but certain; its labels train better when they are kept
    to 40 to 60% (Bai et al. 2022, section 4.1). The two ends must lie evenly about one half: else turning
    the answers round would change the label.

    Raises:
        BadInput: it is neither.
    """
    if text.strip().lower() == "none":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--clamp is '{text[:40]}'; write two probabilities such as 0.4,0.6, or none") from None
    if not 0 <= low <= 0.5 <= high <= 1:
        raise BadInput(f"--clamp is {text}; the first is from 0 to 0.5 and the second from 0.5 to 1")
    if complement(low) != round(high, DIGITS):
        raise BadInput(f"--clamp is {text}; the two must lie evenly about 0.5, such as {low:g},{complement(low):g}")
    return Clamp(low, high)


def average(probabilities: Sequence[float]) -> float:
    """The mean, DIGITS decimals, the same whatever the order.

    Raises:
        ValueError: there is none.
    """
    if not probabilities:
        raise ValueError("average: no probability; judge at least once")
    return round(math.fsum(probabilities) / len(probabilities), DIGITS)


def both_orders(first: float | None, second: float | None) -> float | None:
    """The probability that X is better, from P(the first shown is better) with X first and with X second.

    The mean of p in the first order and 1 - p in the second, so that liking for a place cancels out; where
    one order failed, what the other says alone; None where both did.
    """
    said = [p for p in (first, None if second is None else complement(second)) if p is not None]
    return average(said) if said else None
