"""Log-probabilities as a chat server gives them: per token its own, and the most likely others.

The probabilities at one place sum to at most 1, and at temperature 0 the token that was given is the most
likely one. They are made up from the request, unless the answer says what could stand there (Reply.chances).
"""

import math
import random
from collections.abc import Mapping
from typing import Any

from datagen.fake.draw import rng, temperature
from datagen.fake.tokens import split

LOWEST = 1e-9  # what a token gets that the answer's own chances leave out
OTHERS = (
    " the", " a", " and", ",", ".", " to", " of", " in", " is", " that", " for", " it", " with", " as", " this", "\n",
    " on", " be", " we", " you", "The", "A", "B", "I", "的", "是", "在", "了", "和", "，",
)  # fmt: skip


def logprobs(request: dict[str, Any], tokens: list[str], chances: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """The `logprobs` object of a choice: {"content": [{"token", "logprob", "bytes", "top_logprobs"}, …]}."""
    dice = rng(request, "logprobs")
    top = int(request.get("top_logprobs") or 0)
    cold = temperature(request) == 0
    placed = {place if place >= 0 else len(tokens) + place: likely for place, likely in chances.items()}
    content = []
    for place, token in enumerate(tokens):
        ranked = _ranked(token, placed[place]) if place in placed else _made_up(token, dice, cold, top)
        own = next(chance for name, chance in ranked if name == token)
        content.append({**_entry(token, own), "top_logprobs": [_entry(*pair) for pair in ranked[:top]]})
    return {"content": content, "refusal": None}


def pieces(text: str) -> list[str]:
    """The tokens of a text, as the places in Reply.chances count them."""
    return split(text)


def _ranked(token: str, likely: Mapping[str, float]) -> list[tuple[str, float]]:
    """What could stand there, the likeliest first; the token given is among them."""
    return sorted({token: LOWEST, **likely}.items(), key=lambda pair: (-pair[1], pair[0] != token))


def _made_up(token: str, dice: random.Random, cold: bool, top: int) -> list[tuple[str, float]]:
    """Probabilities for one place: the first for the token given, sometimes the second when it is warm."""
    start = int(dice.random() * len(OTHERS))
    names = [token, *(other for other in (OTHERS + OTHERS)[start : start + max(2, top)] if other != token)]
    if not cold and dice.random() < 0.1:
        names[0], names[1] = names[1], names[0]
    left, ranked = 1.0, []
    for name in names:  # each takes at least half of what is left, so they fall
        part = left * (0.5 + 0.48 * dice.random())
        ranked.append((name, part))
        left -= part
    return ranked


def _entry(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": min(0.0, math.log(max(probability, LOWEST))), "bytes": list(token.encode())}
