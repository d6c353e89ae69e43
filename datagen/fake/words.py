"""Words, sentences and instructions for made-up answers: every function takes dice (draw.py) and a language.

    dice = rng(request, "instructions")
    instruction(dice, "zh")     # one of some hundred thousand, from patterns with slots
    paragraph(dice, "en", 4)    # four sentences

`spread` below 1 uses only so large a part of each list, so that near-repeats become common. Languages other
than `zh` give English.
"""

import random
import re
from functools import lru_cache
from typing import NamedTuple

from datagen.fake import lexicon_en, lexicon_zh

SLOT = re.compile(r"\{(\w+)\}")
AN = re.compile(r"[aeio]|u(?!ni|s)|hon|hour")  # begins with a vowel as it is spoken


class Lexicon(NamedTuple):
    """One language's words by slot, and patterns with slots in braces."""

    slots: dict[str, tuple[str, ...]]
    sentences: tuple[str, ...]
    instructions: tuple[str, ...]
    classifications: tuple[str, ...]


ENGLISH = Lexicon(lexicon_en.SLOTS, lexicon_en.SENTENCES, lexicon_en.INSTRUCTIONS, lexicon_en.CLASSIFICATIONS)
CHINESE = Lexicon(lexicon_zh.SLOTS, lexicon_zh.SENTENCES, lexicon_zh.INSTRUCTIONS, lexicon_zh.CLASSIFICATIONS)


def lexicon(language: str) -> Lexicon:
    """The words of a language."""
    return CHINESE if language == "zh" else ENGLISH


def word(dice: random.Random, language: str, slot: str, spread: float = 1.0) -> str:
    """One word or phrase for a slot: topic, thing, person, place, action, adjective, genre, limit, skill, measure,
    label, cause, opening, closing, refusal, name."""
    return _one(dice, lexicon(language).slots[slot], spread)


def fill(dice: random.Random, language: str, pattern: str, spread: float = 1.0) -> str:
    """A pattern with its {slots} filled; English articles and the first letter are put right."""
    slots = lexicon(language).slots
    made = ""
    for place, piece in enumerate(_pieces(pattern)):
        if place % 2 == 0:
            made += piece
            continue
        chosen = _one(dice, slots[piece], spread)
        if made[-3:] in (" a ", "A ", "a ") and AN.match(chosen):
            made = made[:-1] + "n "
        made += chosen
    return made if language == "zh" else made[:1].upper() + made[1:]


def topic(dice: random.Random, language: str) -> str:
    """Something one can talk about: a noun phrase."""
    return word(dice, language, "topic")


def phrase(dice: random.Random, language: str) -> str:
    """A few words, no sentence."""
    return fill(dice, language, "{adjective}{thing}" if language == "zh" else "{adjective} {thing}")


def sentence(dice: random.Random, language: str, spread: float = 1.0) -> str:
    """One sentence with its full stop."""
    return fill(dice, language, _one(dice, lexicon(language).sentences, spread), spread)


def paragraph(dice: random.Random, language: str, sentences: int) -> str:
    """So many sentences."""
    return ("" if language == "zh" else " ").join(sentence(dice, language) for _ in range(sentences))


def instruction(dice: random.Random, language: str, spread: float = 1.0) -> str:
    """A task one could give a model, no classification."""
    return fill(dice, language, _one(dice, lexicon(language).instructions, spread), spread)


class Classification(NamedTuple):
    """A classification task and the labels it asks to choose from."""

    instruction: str
    labels: list[str]


def classification(dice: random.Random, language: str, spread: float = 1.0) -> Classification:
    """A task that asks for one of a few labels."""
    chosen = word(dice, language, "label", spread)
    pattern = _one(dice, lexicon(language).classifications, spread).replace("{label}", chosen)
    between = r"、|或" if language == "zh" else r", | or "
    return Classification(fill(dice, language, pattern, spread), re.split(between, chosen))


def numbered(dice: random.Random, language: str, items: int) -> str:
    """A numbered list of sentences."""
    return "\n".join(f"{place}. {sentence(dice, language)}" for place in range(1, items + 1))


def bullets(dice: random.Random, language: str, items: int) -> str:
    """A list of phrases with dashes."""
    return "\n".join(f"- {phrase(dice, language)}" for _ in range(items))


def table(dice: random.Random, language: str, rows: int) -> str:
    """A Markdown table of things and where they belong."""
    head = "| 物品 | 地点 | 数量 |" if language == "zh" else "| thing | place | count |"
    lines = [
        f"| {word(dice, language, 'thing')} | {word(dice, language, 'place')} | {dice.randint(1, 99)} |"
        for _ in range(rows)
    ]
    return "\n".join([head, "|---|---|---:|", *lines])


def code(dice: random.Random, language: str) -> str:
    """A Python code block that does something small."""
    name = dice.choice(("total", "longest", "count_words", "mean", "unique", "clamp", "is_even", "reverse"))
    low, high = dice.randint(1, 9), dice.randint(10, 99)
    remark = word(dice, language, "topic")
    return (
        f"```python\ndef {name}(values):\n    # {remark}\n"
        f"    kept = [v for v in values if {low} <= v < {high}]\n    return sorted(kept)[:{low}]\n```"
    )


@lru_cache(maxsize=1024)
def _pieces(pattern: str) -> tuple[str, ...]:
    """Plain text and slot names by turns."""
    return tuple(SLOT.split(pattern))


def _one(dice: random.Random, several: tuple[str, ...], spread: float) -> str:
    # int(random() * n) is three times as fast as choice, and just as good for made-up text.
    return several[int(dice.random() * max(1, len(several) * spread))]
