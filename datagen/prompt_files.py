"""Prompts out of files: our own records, rows of other people's sets, plain text.

A row is read by the first of these fields it has:

    {"id", "messages", …}            a Prompt record; its id must fit (as a whole Task's "prompt" too)
    {"prompt": text or messages}
    {"instruction": text, "input"?}  joined by a blank line
    {"turns": [text, text, …]}       the user's turns; the first is the prompt, the others follow-ups
    {"messages": [{role, content}]}  chat messages that end before the answer
    {"text": text}

Beside it `tags` (or `tag`, `category`), `language`, `source`, `licence` (or `license`), `tools` and `id` are
kept where they are there. Files end in .jsonl, .json, .csv, .tsv, .parquet (.gz too), or in .txt: one prompt a line.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, nearest
from data.formats.files import Item, Source, open_source
from data.formats.parts import dialogue, in_words, instruction, make_prompt, optional_text, text
from data.formats.rows import Place, Reject, reject
from data.jsonl import explain, open_bytes
from data.records import Lineage, Prompt, prompt_id
from datagen.chat import turns

FIELDS = ("prompt", "instruction", "turns", "messages", "text")


class Asked(NamedTuple):
    """A prompt, and what its user says next after each answer (in most files nothing)."""

    prompt: Prompt
    followups: tuple[str, ...] = ()
    where: str = ""


def ignore(_: Reject) -> None:
    """What is done with a rejected line where nobody asks."""


def read_prompts(
    paths: Sequence[str | Path], language: str | None = None, rejected: Callable[[Reject], None] = ignore
) -> Iterator[Prompt]:
    """Each prompt of the files, in order, each once.

    Args:
        language: code for prompts whose row does not say theirs.
        rejected: told each line that cannot be used, with its reason; a prompt that comes again is one.

    Raises:
        NotThere: a file is missing.
        BadInput: a file of unknown ending, or in all files no prompt.
    """
    for asked in read_asked(paths, language, rejected):
        yield asked.prompt


def read_asked(
    paths: Sequence[str | Path], language: str | None = None, rejected: Callable[[Reject], None] = ignore
) -> Iterator[Asked]:
    """As `read_prompts`, with the follow-up turns of rows that have `turns`."""
    sources = [_open(Path(path)) for path in paths]  # a missing file is said before anything is asked
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    first = ""
    for source in sources:
        for item in source.items():
            place = Place(source, item.number)
            try:
                asked = _asked(item, place, language)
                known = seen.setdefault((asked.prompt.id, asked.followups), place.where)
                if known != place.where:
                    raise BadInput(f"the same prompt as {known}")
            except ValueError as error:
                why, known = explain(error), ""
            except BadInput as error:
                why, known = str(error), ""
            if known:
                yield asked
            else:
                first = first or f"{place.where}: {why}"
                rejected(reject(place, item, why))
    if not seen:
        names = ", ".join(str(path) for path in paths) or "no file"
        raise BadInput(f"there is no prompt in {names}" + (f"; {first}" if first else ""))


def _open(path: Path) -> Source:
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    if bare.suffix.lower() != ".txt":
        return open_source(str(path))
    open_bytes(path).close()
    return Source(path.name, str(path), "line", True, lambda: _text_lines(path), lambda: "")


def _text_lines(path: Path) -> Iterator[Item]:
    with open_bytes(path) as file:
        for number, raw in enumerate(file, 1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            try:
                value = line.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                yield Item(number, None, f"not UTF-8 (byte {error.start}); save the file as UTF-8", raw)
                continue
            if value:
                yield Item(number, {"text": value}, None, raw)


def _asked(item: Item, place: Place, language: str | None) -> Asked:
    if item.problem:
        raise BadInput(item.problem)
    row = item.value
    if not isinstance(row, dict):
        raise BadInput(f"the row is {in_words(row)}; an object with one of {', '.join(FIELDS)} is needed")
    given = row.get("prompt")
    record = given if isinstance(given, dict) else row
    if _is_record(record):
        return Asked(_record(record, language), (), place.where)
    if isinstance(given, dict):
        raise BadInput("prompt is an object, and no Prompt record; text or a list of messages is needed")
    if not place.source.typed:  # an empty cell of a table says nothing
        row = {name: held for name, held in row.items() if held != ""}
    messages, followups = _messages(row)
    if messages[-1]["role"] == "assistant":
        raise BadInput("the messages end with the assistant's answer: nothing is asked (datagen.from_logs reads logs)")
    return Asked(make_prompt(messages, **_beside(row, place, language)), followups, place.where)


def _is_record(value: dict[str, Any]) -> bool:
    """Whether this is a Prompt record: its fields alone, and an id that looks like one of ours."""
    ours = isinstance(value.get("id"), str) and re.fullmatch(r"[0-9a-f]{32}", value["id"])
    return bool(ours) and isinstance(value.get("messages"), list) and set(value) <= set(Prompt.model_fields)


def _record(value: dict[str, Any], language: str | None) -> Prompt:
    prompt = Prompt.model_validate(value)
    if prompt_id(prompt.messages, prompt.tools) != prompt.id:
        raise BadInput(f"prompt {prompt.id[:40]} does not hash to its id; leave the id out, or take the line as it was")
    if prompt.messages[-1].role == "assistant":
        raise BadInput("the prompt ends with the assistant's answer: nothing is asked")
    return prompt.model_copy(update={"language": prompt.language or language})


def _messages(row: dict[str, Any]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The prompt's turns, and the user's turns after it."""
    field = next((name for name in FIELDS if row.get(name) is not None), None)
    if field is None:
        hint = next((f" ('{name}'{near})" for name in row if (near := nearest(str(name), FIELDS))), "")
        raise BadInput(f"the row has none of {', '.join(FIELDS)}{hint}")
    value = row[field]
    if field == "instruction":
        return instruction(row), ()
    if field == "turns":
        if not isinstance(value, list) or not value:
            raise BadInput(f"turns is {in_words(value)}; a list of the user's turns is needed")
        said = [text(one, f"turn {number}") for number, one in enumerate(value, 1)]
        if empty := next((number for number, one in enumerate(said, 1) if not one.strip()), 0):
            raise BadInput(f"turn {empty} is empty")
        return [{"role": "user", "content": said[0]}], tuple(said[1:])
    if field == "messages" or isinstance(value, list):
        return turns(value, field), ()
    return dialogue(value, field), ()


def _beside(row: dict[str, Any], place: Place, language: str | None) -> dict[str, Any]:
    """What a prompt keeps of the rest of its row."""
    own = row.get("id", row.get("question_id"))
    tools = row.get("tools") or None
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise BadInput(f"tools is {in_words(tools)}; a list of objects is needed")
    named = isinstance(own, str | int) and not isinstance(own, bool) and own != ""
    return {
        "tools": tools,
        "language": optional_text(row.get("language"), "language") or language,
        "tags": _tags(row),
        "source": optional_text(row.get("source"), "source") or place.source.name,
        "licence": optional_text(row.get("licence", row.get("license")), "licence"),
        "lineage": Lineage(parents=[str(own)[:200]]) if named else None,
    }


def _tags(row: dict[str, Any]) -> list[str]:
    given: Any = next((row[name] for name in ("tags", "tag", "category") if row.get(name)), [])
    tags = [given] if isinstance(given, str) else given
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadInput(f"tags is {in_words(given)}; text or a list of texts is needed")
    return tags
