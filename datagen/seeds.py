"""Seed tasks: the instructions written by people, with worked examples, from which Self-Instruct grows.

One JSON line each, in the layout of the Self-Instruct project:

    {"id", "name", "instruction", "instances": [{"input", "output"}, …], "is_classification"}

with `language` and `tags` where they are known. Ours are data/sample/seed_tasks.jsonl (English) and
data/sample/seed_tasks.zh.jsonl (Chinese).
"""

from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, nearest
from data.jsonl import read_lines
from data.text import base_language, excerpt, normalise
from datagen.instances import Instance

FEWEST = 8  # as many as stand in one prompt
FIELDS = ("id", "name", "instruction", "instances", "is_classification", "language", "tags")
SAMPLE = Path(__file__).parents[1] / "data" / "sample"


class Seed(NamedTuple):
    """One seed task; `instruction` and the instances are as they stand in the file."""

    id: str
    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool
    tags: tuple[str, ...] = ()


class Seeds(NamedTuple):
    """The good seeds in the order of the file, and a row for each line that is none."""

    tasks: list[Seed]
    rejected: list[dict[str, Any]]


def default_seeds(language: str) -> Path:
    """Our own seeds in this language.

    Raises:
        NotThere: we have none; the user names a file.
    """
    base = base_language(language)
    path = SAMPLE / ("seed_tasks.jsonl" if base == "en" else f"seed_tasks.{base}.jsonl")
    if not path.is_file():
        raise NotThere(f"no seeds of ours are in '{language}'; name a file of them with --seeds")
    return path


def read_seeds(path: Path, language: str) -> Seeds:
    """The seeds of a file; a bad line, a repeated one and one in another language are rejected with the reason.

    Raises:
        NotThere, BadInput: no such file; or fewer than 8 good seeds in it.
    """
    tasks: list[Seed] = []
    rejected: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for line in read_lines(path):
        try:
            if line.problem:
                raise BadInput(line.problem)
            seed = _seed(line.value, line.number, language)
            for name in (f"id {seed.id}", f"instruction {normalise(seed.instruction)}"):
                if name in seen:
                    raise BadInput(f"the same {name.split()[0]} as line {seen[name]}")
        except BadInput as error:
            text = excerpt(line.raw.decode("utf-8", "replace"), 300)
            rejected.append({"stage": "seeds", "filter": "bad_seed", "line": line.number, "detail": str(error)})
            rejected[-1]["text"] = text
            continue
        seen[f"id {seed.id}"] = seen[f"instruction {normalise(seed.instruction)}"] = line.number
        tasks.append(seed)
    if len(tasks) < FEWEST:
        first = f"; line {rejected[0]['line']}: {rejected[0]['detail']}" if rejected else ""
        raise BadInput(f"{path} has {len(tasks)} good seed tasks, and {FEWEST} are needed{first}")
    return Seeds(tasks, rejected)


def _seed(row: Any, number: int, language: str) -> Seed:
    if not isinstance(row, dict):
        raise BadInput("no JSON object")
    for name in row:
        if name not in FIELDS:
            raise BadInput(f"unknown field '{name}'{nearest(name, FIELDS) or '; known are ' + ', '.join(FIELDS)}")
    text = row.get("instruction")
    if not isinstance(text, str) or not text.strip():
        raise BadInput("field instruction: a text is needed")
    instances = row.get("instances")
    if not isinstance(instances, list) or not instances:
        raise BadInput("field instances: a list of at least one {input, output} is needed")
    kind = row.get("is_classification", False)
    if not isinstance(kind, bool):
        raise BadInput("field is_classification: true or false is needed")
    spoken = row.get("language")
    if spoken is not None and (not isinstance(spoken, str) or base_language(spoken) != base_language(language)):
        raise BadInput(f"field language: it is {spoken!r}, and this run is in '{language}'")
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadInput("field tags: a list of texts is needed")
    name = row.get("id", f"seed_{number}")
    if not isinstance(name, str) or not name:
        raise BadInput("field id: a text is needed")
    return Seed(name, text, tuple(_instance(i, one) for i, one in enumerate(instances)), kind, tuple(tags))


def _instance(place: int, row: Any) -> Instance:
    if not isinstance(row, dict) or not set(row) <= {"input", "output"}:
        raise BadInput(f"field instances.{place}: input and output are needed, and nothing else")
    given, output = row.get("input", ""), row.get("output")
    if not isinstance(given, str) or not isinstance(output, str) or not output.strip():
        raise BadInput(f"field instances.{place}: input and output are texts, and the output is not empty")
    return Instance(given, output)
