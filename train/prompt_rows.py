"""Prompts to be answered, from files of Prompt records and from the folders of datagen and curate.

    asked, rejected = read_prompts([Path("prompts.jsonl"), Path("workspace/exports/sky")], split="train")

A row is told by its columns: a Prompt record; a Task (its prompt is taken); or a row of an export (its `prompt`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, one_line
from data.jsonl import explain, read_lines
from data.records import Message, Prompt, prompt_id

SPLITS = ("train", "validation", "test")


class Asked(NamedTuple):
    """A prompt, and which family and split an export put it into."""

    prompt: Prompt
    cluster: str
    """The prompt's id where the row named no family."""
    split: str
    """Of an export's row; train for any other."""


def read_prompts(paths: Sequence[Path], split: str = "train") -> tuple[list[Asked], list[dict[str, Any]]]:
    """Every different prompt once, in the order of the files, and the lines that hold none, with the reason.

    Args:
        paths: JSONL files, or folders whose data/ holds some.
        split: of rows that name one only this is taken; "all" takes every one. Answers to validation and test
            prompts must not be trained on.

    Raises:
        NotThere: no such file, or a folder without data/*.jsonl.
        BadInput: no prompt in any of them.
    """
    found: dict[str, Asked] = {}
    rejected: list[dict[str, Any]] = []
    for path in paths:
        for file in _files(path):
            for where, row in _rows(file):
                made = _asked(row, file) if isinstance(row, dict) else row
                if isinstance(made, str):
                    rejected.append({"where": where, "reason": made})
                elif split in ("all", made.split):
                    found.setdefault(made.prompt.id, made)
    if not found:
        first = f": {rejected[0]['where']}: {rejected[0]['reason']}" if rejected else ""
        some = "" if split == "all" else f" of the split {split} (--split all takes every one)"
        raise BadInput(f"no prompt{some} in {', '.join(map(str, paths))}{first}")
    return list(found.values()), rejected


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise NotThere(f"{path} is not there; name a file of prompts or a folder that datagen or curate wrote")
    if not path.is_dir():
        return [path]
    names = [path / "data" / f"{split}.jsonl" for split in SPLITS]
    files = [file for file in names if file.is_file()] or sorted((path / "data").glob("*.jsonl"))
    if not files:
        raise NotThere(f"{path}/data holds no JSONL; name a file of prompts or a folder that datagen or curate wrote")
    return files


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Where each line stands, and its object or what is wrong with it."""
    for line in read_lines(file):
        problem = line.problem or (None if isinstance(line.value, dict) else "not a JSON object")
        yield f"{file.name}, line {line.number}", problem or line.value


def _asked(row: dict[str, Any], file: Path) -> Asked | str:
    """A row's prompt, or why it has none."""
    split = row.get("split") or (file.stem if file.stem in SPLITS else "train")
    if split not in SPLITS:
        return f"field split: {one_line(repr(split), 40)} is none of {', '.join(SPLITS)}"
    try:
        prompt = _prompt(row)
    except ValueError as error:
        return explain(error)
    return Asked(prompt, str(row.get("cluster") or prompt.id), split)


def _prompt(row: dict[str, Any]) -> Prompt:
    """Raises ValueError (pydantic's among them) where there is no prompt that can be used."""
    if "messages" in row:
        made = Prompt.model_validate(row)
        if made.id != prompt_id(made.messages, made.tools):
            raise ValueError(f"id {one_line(made.id, 40)} does not fit the messages; leave the record as it was")
        return made
    asked = row.get("prompt")
    if isinstance(asked, dict):
        if "messages" in asked:
            return _prompt(asked)
        raise ValueError(_missing(row))
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list) or not asked:
        raise ValueError(_missing(row))
    more = {key: row[key] for key in ("language", "licence", "tags") if row.get(key)}
    return Prompt.make([Message.model_validate(one) for one in asked], tools=row.get("tools") or None, **more)


def _missing(row: dict[str, Any]) -> str:
    if row.get("prompt") is not None:
        return f"field prompt: {one_line(repr(row['prompt']), 40)} is neither a text nor a list of messages"
    known = ", ".join(list(row)[:6])
    return f"no messages and no prompt; the line has {one_line(known, 100) or 'nothing'}"
