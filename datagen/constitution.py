"""A constitution: principles by which a model criticises, revises and compares answers, read from YAML.

    name: harmless
    language: en
    about: What an answer must not do, whoever asks for it.
    licence: CC0-1.0
    principles:
    - id: private-people
      critique: Point out where the answer gives away …
      revision: Rewrite the answer so that …
      preference: Which answer keeps private lives private?
    examples:                    # shown to the model before the real question
    - principle: private-people
      prompt: …
      response: …
      critique: …
      revision: …                # left out where the critique found nothing to change

Pure but for reading the file. Ours lie in data/sample/ as constitution.NAME.LANGUAGE.yaml; the same id in
two languages is the same principle. Source of the method: Bai et al. 2022, arXiv 2212.08073, sections 3.1
and 4.1; the words are our own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from data.errors import BadInput, NotThere, nearest, one_line
from data.formats.parts import in_words, known_keys
from data.jsonl import explain
from data.records import Record, digest
from data.text import base_language

SAMPLE = Path(__file__).parent.parent / "data" / "sample"


class Principle(Record):
    """One principle, in the three forms in which a model is asked by it."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    critique: str = Field(min_length=1)
    """What the critique of an answer shall look for."""
    revision: str = Field(min_length=1)
    """How the answer shall be rewritten after the critique."""
    preference: str = Field(min_length=1)
    """The question that is asked about two answers, to which one of them is the reply."""


class Example(Record):
    """A worked critique and revision, shown to the model before the real one."""

    principle: str
    prompt: str = Field(min_length=1)
    response: str = Field(min_length=1)
    critique: str = Field(min_length=1)
    revision: str | None = None
    """None where the critique found nothing to change: then it is an example of a critique alone."""


class Constitution(Record):
    """A named list of principles in one language."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    language: str = Field(min_length=2, max_length=20)
    about: str = ""
    licence: str = ""
    principles: list[Principle] = Field(min_length=1)
    examples: list[Example] = []  # noqa: RUF012 (frozen: nobody changes it in place)

    @property
    def label(self) -> str:
        """How reports call it, such as "harmless.zh"."""
        return f"{self.name}.{self.language}"

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name its content, whatever the file's spelling."""
        return digest(self.plain())[:16]

    def principle(self, name: str) -> Principle:
        """The principle with this id; NotThere with a hint when there is none."""
        for one in self.principles:
            if one.id == name:
                return one
        raise NotThere(f"constitution {self.label} has no principle '{name}'{nearest(name, self.ids())}")

    def ids(self) -> list[str]:
        """The ids of the principles, in order."""
        return [one.id for one in self.principles]


class Drawn(NamedTuple):
    """A principle that was drawn, and the constitution it stands in."""

    constitution: Constitution
    principle: Principle

    @property
    def label(self) -> str:
        """How records and reports call it, such as "harmless.en/private-people"."""
        return f"{self.constitution.label}/{self.principle.id}"


def read_constitution(path: Path) -> Constitution:
    """The constitution in a YAML file.

    Raises:
        NotThere: there is no such file.
        BadInput: it is no YAML, a key is unknown (with the nearest known one), an id stands twice,
            or an example names a principle that is not there.
    """
    value = _load(path)
    try:
        _check_keys(value)
        made = Constitution.model_validate(value)
        _check_names(made)
    except (BadInput, NotThere) as error:
        raise BadInput(f"{path}: {error}") from None
    except ValueError as error:
        raise BadInput(f"{path}: {explain(error)}") from None
    return made


def find_constitutions(names: Sequence[str]) -> list[Constitution]:
    """The constitutions meant by paths, or by names of ours such as "harmless" (all its languages).

    Raises:
        NotThere: neither a file nor one of ours.
        BadInput: a file is none, or one constitution is named twice.
    """
    found: list[Constitution] = []
    for name in names:
        if Path(name).is_file() or "/" in name or name.endswith((".yaml", ".yml")):
            found.append(read_constitution(Path(name)))
            continue
        ours = sorted(SAMPLE.glob("constitution.*.*.yaml"))
        paths = [path for path in ours if path.name.split(".")[1] == name]
        if not paths:
            known = sorted({path.name.split(".")[1] for path in ours})
            hint = nearest(name, known) or f"; ours are {', '.join(known)}"
            raise NotThere(f"no constitution '{name}': neither a file nor one of ours{hint}")
        found += [read_constitution(path) for path in paths]
    labels = [one.label for one in found]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise BadInput(f"constitution {twice} is named twice; give each once")
    return found


def in_language(found: Sequence[Constitution], language: str | None) -> list[Constitution]:
    """Those written in this language; where there are none, those in the language of the first."""
    wanted = base_language(language or "")
    same = [one for one in found if base_language(one.language) == wanted]
    return same or [one for one in found if one.language == found[0].language]


def draw(among: Sequence[Constitution], *parts: Any) -> Drawn:
    """One principle, each equally likely, decided by `parts` (such as seed, prompt id, step) alone.

    Every principle throws its own number, a hash of `parts` and of its name, and the highest wins. So a
    draw depends neither on what else is drawn nor on the order of the file, and adding a principle
    changes only the draws that fall to it.
    """
    if not among:
        raise ValueError("draw: no constitution to draw from")
    every = [Drawn(one, principle) for one in among for principle in one.principles]
    return max(every, key=lambda d: digest([list(parts), d.constitution.name, d.principle.id]))


def examples(among: Sequence[Constitution], most: int | None = None) -> list[tuple[Principle, Example]]:
    """The worked examples with their principles, at most so many (None: all)."""
    every = [(one.principle(shot.principle), shot) for one in among for shot in one.examples]
    return every if most is None else every[:most]


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {one_line(str(error), 200)}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds {in_words(value)}; a constitution has name, language and principles")
    return value


def _check_keys(value: dict[str, Any]) -> None:
    """Refuse keys nobody reads, each named with its place and the nearest known one."""
    known_keys(value, list(Constitution.model_fields), "the constitution")
    for field, kind in (("principles", Principle), ("examples", Example)):
        listed = value.get(field) or []
        if not isinstance(listed, list):
            raise BadInput(f"{field} is {in_words(listed)}; a list is needed")
        for number, one in enumerate(listed, 1):
            where = f"{field.removesuffix('s')} {number}"
            if not isinstance(one, dict):
                raise BadInput(f"{where} is {in_words(one)}; an object with {', '.join(kind.model_fields)} is needed")
            known_keys(one, list(kind.model_fields), where)
            for key, text in one.items():
                if isinstance(text, str) and not text.strip():
                    raise BadInput(f"{where}: {key} is empty")


def _check_names(made: Constitution) -> None:
    ids = made.ids()
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise BadInput(f"principle '{twice}' stands there twice; give each its own id")
    for shot in made.examples:
        made.principle(shot.principle)
