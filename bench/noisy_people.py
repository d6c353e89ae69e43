"""Texts whose worth is known, and people who judge them well, the wrong way round, or at random. All from a seed.

A text is a bag of made words; each word is worth something, and a text's worth is their sum. Half the words are
worth next to nothing, so that there is something to learn.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

SOUND, INVERTS, RANDOM = "sound", "inverts", "random"


class Choice(NamedTuple):
    """A prompt with two answers; `gap` is the first answer's worth less the second's."""

    prompt: str
    answers: tuple[str, str]
    gap: float


class Person(NamedTuple):
    """How somebody judges: with what chance they are right, before turning it round or guessing."""

    name: str
    skill: float
    kind: str


def words(count: int, seed: int) -> dict[str, float]:
    """Made words of two syllables, and what each is worth."""
    draw = random.Random(f"words {seed}")
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    made: dict[str, float] = {}
    while len(made) < count:
        made.setdefault(draw.choice(syllables) + draw.choice(syllables), draw.gauss(0, 1 if len(made) % 2 else 0.05))
    return made


def choices(count: int, worth: dict[str, float], seed: int, length: int = 8) -> list[Choice]:
    """So many prompts, no two alike, each with two answers of `length` words."""
    draw = random.Random(f"choices {seed}")
    known = list(worth)
    made = []
    for n in range(count):
        pair = [draw.choices(known, k=length) for _ in "ab"]
        gap = sum(worth[w] for w in pair[0]) - sum(worth[w] for w in pair[1])
        made.append(
            Choice(f"Number {n}: {' '.join(draw.choices(known, k=6))}?", (" ".join(pair[0]), " ".join(pair[1])), gap)
        )
    return made


def people(kinds: Sequence[str], seed: int, least: float = 0.8, most: float = 0.95) -> list[Person]:
    """A person of each kind, of a skill between the two."""
    draw = random.Random(f"people {seed}")
    return [Person(f"person-{n:02}", draw.uniform(least, most), kind) for n, kind in enumerate(kinds)]


def says_first(person: Person, gap: float, draw: random.Random) -> bool:
    """Whether they choose the first answer."""
    if person.kind == RANDOM:
        return draw.random() < 0.5
    right = (gap > 0) == (draw.random() < person.skill)
    return right != (person.kind == INVERTS)


def panels(count: int, people: Sequence[Person], overlap: int, seed: int) -> list[list[Person]]:
    """Who judges each choice: everybody about as often, nobody twice."""
    draw = random.Random(f"panels {seed}")
    load = dict.fromkeys(people, 0)
    made = []
    for _ in range(count):
        panel = sorted(people, key=lambda one: (load[one], draw.random()))[:overlap]
        for one in panel:
            load[one] += 1
        made.append(panel)
    return made
