"""Which model, temperature and system prompt answers which prompt, and which answers are too alike.

Pure functions of their arguments: no requests, no random state.
Similarity is ROUGE-L F1 (C.-Y. Lin, "ROUGE", 2004, section 3.2), decided in integers.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from data.errors import BadInput
from data.records import digest
from data.text import normalise, tokens

# A sign between words can be all that tells two answers apart ("-3" and "3", a + b and a - b).
_SIGNS = re.compile(r"([-+−/=<>^%&|~×÷±])")


class Setting(NamedTuple):
    """One way to ask: a model, a temperature (None: the server's own), a system prompt ("" is none)."""

    model: str
    temperature: float | None = None
    system: str = ""
    system_name: str = ""
    """How the system prompt is called in records: a file's name, never its path."""

    def named(self) -> str:
        """The setting in one line."""
        heat = "" if self.temperature is None else f" at {self.temperature:g}"
        return f"{self.model}{heat}" + (f" with {self.system_name}" if self.system_name else "")


def settings(
    models: Sequence[str], temperatures: Sequence[float], systems: Sequence[tuple[str, str]] = ()
) -> list[Setting]:
    """Every model with every temperature and every system prompt (name, text); each once."""
    heats: list[float | None] = list(dict.fromkeys(temperatures)) or [None]
    rules = list(dict.fromkeys(systems)) or [("", "")]
    return [Setting(m, t, text, name) for m, t, (name, text) in product(dict.fromkeys(models), heats, rules)]


def assign(prompts: Iterable[str], given: Sequence[Setting], n: int, seed: int) -> dict[str, list[Setting]]:
    """The n settings that answer each prompt (by id).

    Over all prompts every setting is used equally often, give or take one. Within a prompt a setting
    comes again only when all have come, and of those used least the one is taken that brings another
    model first, then another temperature, then another system prompt. The same set of ids gives the same
    assignment in whatever order they come.

    Raises:
        ValueError: no setting, or n below 1.
    """
    if not given or n < 1:
        raise ValueError("assign: at least one setting and n of at least 1 are needed")
    used: Counter[Setting] = Counter()
    by_model: Counter[str] = Counter()
    made: dict[str, list[Setting]] = {}
    for prompt in sorted(set(prompts), key=lambda p: digest([seed, "order", p])):
        chance = {s: digest([seed, prompt, list(s)]) for s in given}
        drawn: list[Setting] = []
        for _ in range(n):
            drawn.append(_next(given, drawn, used, by_model, chance))
            used[drawn[-1]] += 1
            by_model[drawn[-1].model] += 1
        made[prompt] = drawn
    return made


def _next(
    given: Sequence[Setting],
    drawn: Sequence[Setting],
    used: Mapping[Setting, int],
    by_model: Mapping[str, int],
    chance: Mapping[Setting, str],
) -> Setting:
    """The setting wanted most next: what keeps the use equal goes before what spreads within the prompt."""
    return min(
        given,
        key=lambda s: (
            drawn.count(s),
            used[s],
            sum(s.model == other.model for other in drawn),
            by_model[s.model],  # else the models left over at a round's end would meet themselves
            sum(s.temperature == other.temperature for other in drawn),
            sum(s.system == other.system for other in drawn),
            chance[s],
        ),
    )


def sampling_seed(seed: int, prompt: str, setting: Setting) -> int:
    """The `seed` of a request (31 bits); the client moves it on by the sample, so that samples differ."""
    spelt = digest([seed, prompt, list(setting)])
    return int.from_bytes(hashlib.sha256(spelt.encode()).digest()[:4], "big") >> 1


def shuffled(ids: Sequence[str], seed: int, prompt: str) -> list[str]:
    """The order in which a prompt's responses stand: by hash, so that no model has a fixed place."""
    return sorted(ids, key=lambda one: digest([seed, "place", prompt, one]))


def limit(text: str) -> Fraction:
    """`--max-similarity` as an exact fraction: "0.9" is nine tenths. BadInput outside 0 to 1."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"--max-similarity '{text}' is no number; give one from 0 to 1, such as 0.9") from None
    if not 0 <= value <= 1:
        raise BadInput(f"--max-similarity is {text}; it goes from 0 to 1 (1: only answers that are the same)")
    return value


def words(text: str) -> list[str]:
    """What two answers are compared by: the words as `data.text.tokens` cuts them, and signs of arithmetic."""
    return [word for part in _SIGNS.split(normalise(text)) for word in ([part] if _SIGNS.match(part) else tokens(part))]


def too_alike(one: str, other: str, most: Fraction) -> bool:
    """Whether two answers are the same once normalised, or their ROUGE-L F1, 2L / (m + n), is above `most`."""
    if normalise(one) == normalise(other):
        return True
    a, b = words(one), words(other)
    total = len(a) + len(b)
    most_shared = 2 * min(len(a), len(b))
    if most_shared * most.denominator <= most.numerator * total:  # too different in length to be alike
        return False
    from rapidfuzz.distance import LCSseq

    return 2 * LCSseq.similarity(a, b) * most.denominator > most.numerator * total


def likened(text: str, kept: Sequence[str], most: Fraction) -> int | None:
    """The place of the first kept answer this one is too like; None when it is like none."""
    return next((place for place, other in enumerate(kept) if too_alike(text, other, most)), None)
