"""The bundled texts as documents to learn a language from: conversations, and pages of prose.

Every answer of the judged sample is there, good and bad, beside its prompt, with the seed tasks, the sample
tasks, the guidelines and the constitutions: no label, no vote. A tenth, by whole prompts, is held out.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import data.sample

SAMPLE = Path(data.sample.__file__).parent
Messages = list[dict[str, str]]


class Document(NamedTuple):
    """A conversation, or one message of prose; `held_out` tells on which side it is."""

    messages: Messages
    held_out: bool


def documents(folder: Path = SAMPLE) -> list[Document]:
    """Every document of the bundled texts once, in the order of the files."""
    made: dict[str, Document] = {}
    for messages in _conversations(folder):
        key = json.dumps(messages, ensure_ascii=False)
        made.setdefault(key, Document(messages, _held_out(messages[0]["content"])))
    return list(made.values())


def _held_out(prompt: str) -> bool:
    return hashlib.sha256(prompt.encode()).digest()[0] % 10 == 0


def _conversations(folder: Path) -> Iterator[Messages]:
    for name in ("judged/tasks.jsonl", "tasks.jsonl"):
        for row in _lines(folder / name):
            prompt = row["prompt"]
            asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            for response in row["responses"]:
                yield [*asked, {"role": "assistant", "content": response["text"]}]
    for name in ("seed_tasks.jsonl", "seed_tasks.zh.jsonl"):
        for row in _lines(folder / name):
            for instance in row["instances"]:
                asked = "\n\n".join(text for text in (row["instruction"], instance["input"]) if text)
                yield [{"role": "user", "content": asked}, {"role": "assistant", "content": instance["output"]}]
    for page in sorted([*folder.glob("*.md"), *folder.glob("*.yaml")]):
        for part in page.read_text(encoding="utf-8").split("\n\n"):
            if part.strip():
                yield [{"role": "system", "content": part.strip()}]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
