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
        likely = dict(placed[place]) if place in placed else _made_up(token, dice, cold)
        likely.setdefault(token, LOWEST)
        ranked = sorted(likely.items(), key=lambda pair: (-pair[1], pair[0] != token))
        content.append({**_entry(token, likely[token]), "top_logprobs": [_entry(*pair) for pair in ranked[:top]]})
    return {"content": content, "refusal": None}


def pieces(text: str) -> list[str]:
    """The tokens of a text, as the places in Reply.chances count them."""
    return split(text)


def _made_up(token: str, dice: random.Random, cold: bool) -> dict[str, float]:
    """Probabilities for one place: the first for the token given, sometimes the second when it is warm."""
    left = 1.0
    shares = []
    for _ in range(8):
        part = left * dice.uniform(0.5, 0.98)
        shares.append(part)
        left -= part
    shares.sort(reverse=True)
    others = [other for other in dice.sample(OTHERS, 9) if other != token][:7]
    names = [token, *others]
    if not cold and dice.random() < 0.1:
        names[0], names[1] = names[1], names[0]
    return dict(zip(names, shares, strict=True))


def _entry(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": min(0.0, math.log(max(probability, LOWEST))), "bytes": list(token.encode())}
