"""Several models' answers to the same prompts, one file per model.

A file's name is its model's (without `_predictions` or `_outputs`; where two files share a name, the
folder's name goes before it). A row has the prompt as `instruction` and `input`, or as `prompt`, and
the answer as `response`, `output` or `completion`. Where there is an instruction, a template in
`prompt` is left aside: it is the model's business, not the annotator's.

Files are read in step and joined on the prompt; a prompt that a file holds k times joins its kth time
with the others' kth. Files in the same order need no memory; where they are not, answers wait until
the last file has given its own. What still waits at the end is rejected, naming the files that lack it.
Files are taken in the order of their models' names, so the same files give the same ids however listed.
A row's key is the first file's hash and line.
"""

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput
from data.formats.files import Item, Source
from data.formats.parts import (
    LEAST,
    MOST,
    Answer,
    Turns,
    assistant,
    dialogue,
    in_words,
    instruction,
    make_prompt,
    make_responses,
)
from data.formats.rows import Place, Reject, Row, reject
from data.jsonl import explain
from data.records import canonical

NAME = "outputs"
LINE = "2 to 9 files of model outputs over the same prompts: instruction (or prompt) and response in each"
ANSWERS = ("response", "output", "completion")
ENDINGS = ("_predictions", "_outputs", "-predictions", "-outputs")
NOT_HERE = ("chosen", "rejected", "responses", "response_1", "response1", "label", "instances")


def recognise(head: dict[str, Any]) -> str | None:
    """One prompt and one answer."""
    if not ("instruction" in head or "prompt" in head) or any(name in head for name in NOT_HERE):
        return None
    found = [name for name in ANSWERS if name in head]
    asked = "instruction" if "instruction" in head else "prompt"
    return f"one {asked} and one {found[0]} in each row of each file" if found else None


class Waiting(NamedTuple):
    """One prompt and the answers given to it so far, by the index of their file."""

    turns: Turns
    found: dict[int, tuple[Item, Turns]]


def rows(sources: list[Source]) -> Iterator[Row | Reject]:
    """One row per prompt, with a response by each file's model."""
    if len(sources) < LEAST:
        raise BadInput(f"{sources[0].name} holds one model's outputs; give the file of a second model beside it")
    if len(sources) > MOST:
        raise BadInput(f"{len(sources)} files of model outputs; a task takes {LEAST} to {MOST} responses")
    named = sorted(zip(_models(sources), sources, strict=True), key=lambda pair: pair[0])
    return _join([model for model, _ in named], [source for _, source in named])


def _join(models: list[str], sources: list[Source]) -> Iterator[Row | Reject]:
    streams = {index: source.items() for index, source in enumerate(sources)}
    waiting: dict[bytes, deque[Waiting]] = {}
    while streams:
        for index in list(streams):
            item = next(streams[index], None)
            if item is None:
                del streams[index]
                continue
            place = Place(sources[index], item.number)
            try:
                turns, said = _read(item)
            except BadInput as error:
                yield reject(place, item, str(error))
                continue
            except ValueError as error:
                yield reject(place, item, explain(error))
                continue
            name = blake2b(canonical(turns), digest_size=16).digest()
            queue = waiting.setdefault(name, deque())
            # The first that lacks this file is the one with the same count: a file fills them in order.
            group = next((w for w in queue if index not in w.found), None)
            if group is None:
                group = Waiting(turns, {})
                queue.append(group)
            group.found[index] = (item, said)
            if len(group.found) == len(sources):
                queue.remove(group)
                if not queue:
                    del waiting[name]
                yield _row(group, models, sources)
    for queue in waiting.values():
        for group in queue:
            yield _lacking(group, sources)


def _read(item: Item) -> tuple[Turns, Turns]:
    """The prompt and the answer in a row."""
    if item.problem:
        raise BadInput(item.problem)
    value = item.value
    if not isinstance(value, dict):
        raise BadInput(f"the row is {in_words(value)}; an object with named fields is needed")
    turns = instruction(value) if value.get("instruction") else dialogue(value.get("prompt"), "prompt")
    field = next((name for name in ANSWERS if name in value), ANSWERS[0])
    return turns, assistant(value.get(field), field)


def _row(group: Waiting, models: list[str], sources: list[Source]) -> Row:
    place = Place(sources[0], group.found[0][0].number)
    key = place.key(None)
    prompt = make_prompt(group.turns)
    answers = [Answer(group.found[index][1], model) for index, model in enumerate(models)]
    return Row(place.number, place.where, key, prompt, make_responses(prompt, answers, key))


def _lacking(group: Waiting, sources: list[Source]) -> Reject:
    index = min(group.found)
    item = group.found[index][0]
    lacking = ", ".join(source.name for n, source in enumerate(sources) if n not in group.found)
    return reject(Place(sources[index], item.number), item, f"this prompt has no answer in {lacking}")


def _models(sources: list[Source]) -> list[str]:
    """The models' names, from the files' names."""
    files = [Path(source.path) for source in sources]
    names = [_stem(file) for file in files]
    if len(set(names)) < len(names):
        names = [
            f"{file.parent.name}/{name}" if file.parent.name else name for file, name in zip(files, names, strict=True)
        ]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two files are called '{name}', and the file's name is the model's; rename one")
    return names


def _stem(file: Path) -> str:
    stem = (file.with_suffix("") if file.suffix == ".gz" else file).stem
    for ending in ENDINGS:
        if stem.endswith(ending) and stem != ending:
            return stem.removesuffix(ending)
    return stem
