"""Adversarial prompts from templates: five families, slots filled by hash, each prompt a record with its tags.

A file of templates is YAML: families with techniques, each a list of texts, and slots with what may stand in
them. `{word}` in a text is a slot; `{Word}` is the same with a capital. Which text and which words prompt
number n gets follows from seed, family and n alone. Ours are data/sample/red_team/LANGUAGE.yaml.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from data.errors import BadInput, NotThere, nearest, one_line
from data.formats.parts import in_words, known_keys
from data.jsonl import explain
from data.records import Lineage, Message, Prompt, Record, digest
from data.text import base_language, normalise

RED_TEAM = Path(__file__).parent.parent / "data" / "sample" / "red_team"
FAMILIES = ("jailbreak", "prompt-injection", "private-data", "sensitive-topics", "looks-harmful")
COMMAND = "datagen.red_team"
TAG = "red_team"
IN_VAIN = 200  # fillings in a row that were there already, after which a family's templates count as used up
_SLOT = re.compile(r"\{(\w+)\}")


class Family(Record):
    """One family of adversarial prompts: what it is, and texts by technique."""

    about: str = Field(min_length=1)
    techniques: dict[str, list[str]] = Field(min_length=1)


class Templates(Record):
    """The templates of one language."""

    language: str
    licence: str = ""
    families: dict[str, Family] = Field(min_length=1)
    slots: dict[str, list[str]] = {}  # noqa: RUF012 (frozen: nobody changes it in place)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name its content."""
        return digest(self.plain())[:16]


def find_templates(language: str) -> Templates:
    """Ours in this language; NotThere when there are none."""
    path = RED_TEAM / f"{base_language(language)}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in RED_TEAM.glob("*.yaml"))
        raise NotThere(f"no red-team templates in '{language}'; ours are {', '.join(known)}; give a file of your own")
    return read_templates(path)


def read_templates(path: Path) -> Templates:
    """The templates in a YAML file.

    Raises:
        NotThere: no such file.
        BadInput: no YAML, an unknown key or family, or a slot that nothing fills, with the nearest known one.
    """
    import yaml

    try:
        value = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {one_line(str(error), 200)}") from None
    try:
        if not isinstance(value, dict):
            raise BadInput(f"the file holds {in_words(value)}; language, families and slots are needed")
        known_keys(value, list(Templates.model_fields), "the file")
        made = Templates.model_validate(value)
        _check(made)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except ValueError as error:
        raise BadInput(f"{path}: {explain(error)}") from None
    return made


def _check(made: Templates) -> None:
    for family, held in made.families.items():
        if family not in FAMILIES:
            raise BadInput(f"'{family}' is no family{nearest(family, FAMILIES)}; known are {', '.join(FAMILIES)}")
        for technique, texts in held.techniques.items():
            if not texts:
                raise BadInput(f"{family}: technique '{technique}' has no text")
            for slot in (name for text in texts for name in _SLOT.findall(text)):
                if not made.slots.get(slot[0].lower() + slot[1:]):
                    raise BadInput(f"{family}, {technique}: nothing fills the slot '{slot}'{nearest(slot, made.slots)}")


def shares(num: int, families: list[str]) -> dict[str, int]:
    """How many prompts each family gets of `num`: equally many, one more for the first of them."""
    each, rest = divmod(num, len(families))
    return {family: each + (place < rest) for place, family in enumerate(families)}


def fill(made: Templates, family: str, number: int, seed: int) -> tuple[str, str]:
    """Filling number `number` of a family: its technique, each in turn, and its text."""
    names = list(made.families[family].techniques)
    technique = names[number % len(names)]
    texts = made.families[family].techniques[technique]
    dice = _Dice(seed, made.language, family, number)
    text = texts[dice.below(len(texts), "text")]
    chosen: dict[str, str] = {}
    for slot in _SLOT.findall(text):
        name = slot[0].lower() + slot[1:]
        held = made.slots[name]
        chosen[slot] = held[dice.below(len(held), name)]
        if slot != name:
            chosen[slot] = chosen[slot][0].upper() + chosen[slot][1:]
    return technique, _SLOT.sub(lambda m: chosen[m[1]], text)


def filled(made: Templates, family: str, seed: int) -> Iterator[Prompt]:
    """Different prompts of a family, until no new filling turns up among IN_VAIN in a row."""
    seen: set[str] = set()
    number = vain = 0
    while vain < IN_VAIN:
        technique, text = fill(made, family, number, seed)
        number += 1
        spelt = normalise(text)
        if spelt in seen:
            vain += 1
            continue
        seen.add(spelt)
        vain = 0
        lineage = Lineage(command=COMMAND, template=made.hash, sampling={"seed": seed, "number": number - 1})
        yield record(text, made.language, family, technique, lineage, made.licence or None)


def record(
    text: str, language: str, family: str, technique: str, lineage: Lineage, licence: str | None = None
) -> Prompt:
    """The prompt, tagged by family and technique."""
    return Prompt.make(
        [Message(role="user", content=text)],
        language=language,
        tags=[TAG, family, technique],
        source=COMMAND,
        licence=licence,
        lineage=lineage,
    )


class _Dice:
    """Numbers that follow from what it was made with and a name."""

    def __init__(self, *parts: Any) -> None:
        self._parts = list(parts)

    def below(self, limit: int, name: str) -> int:
        return int(digest([*self._parts, name])[:16], 16) % limit
