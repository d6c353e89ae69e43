"""New instructions read out of an answer: a numbered list, or (one-pass) blocks with all of a task's fields."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from datagen.instances import Dropped, Instance, is_none

_NUMBERED = re.compile(r"^[\s*#\-]*(\d{1,3})\s*[.)、．:：]+[\s*]*(.*)$")
_LABEL = re.compile(r"^(?:task|instruction|任务|指令)\s*[:：]\s*", re.IGNORECASE)
_TASK = re.compile(r"^[\s#*]*(?:task|任务)\s*(\d{1,3})[\s:：.*]*$", re.IGNORECASE)
_FIELD = re.compile(r"^[\s*]*(instruction|input|output|指令|输入|输出)[\s*]*[:：][ \t*]*(.*)$", re.IGNORECASE)
_SAME = {"指令": "instruction", "输入": "input", "输出": "output"}
_FURTHEST = 8  # a number this far beyond the one before still goes on with the list


class Item(NamedTuple):
    """One instruction of an answer, with its instance where the method gives one at once."""

    text: str
    instance: Instance | None = None


def parse_list(text: str) -> list[Item]:
    """The items of a numbered list in order; a text that is no such list gives none.

    The first number may be any and the following ones rise, so a list inside an item is part of the item.
    What stands before the first number, and what follows a blank line without one, is a remark of the model's.
    """
    items: list[list[str]] = []
    last, closed = 0, True
    for line in text.splitlines():
        match = _NUMBERED.match(line)
        if match and (not items or last < int(match[1]) <= last + _FURTHEST):
            last, closed = int(match[1]), False
            items.append([match[2]])
        elif not line.strip():
            closed = True
        elif not closed:
            items[-1].append(line)
    return [Item(tidy(" ".join(lines))) for lines in items]


def tidy(text: str) -> str:
    """One line, without bold marks and a field's name, its first letter a capital; the rest as it came.

    The original lower-cases the rest, which makes nasa of NASA; nothing is gained by it.
    """
    flat = _LABEL.sub("", " ".join(text.replace("**", "").split()))
    return flat[:1].upper() + flat[1:] if flat[:1].isascii() else flat


def parse_blocks(text: str) -> tuple[list[Item], list[Dropped]]:
    """The tasks of a one-pass answer, and the blocks that do not have exactly their three fields in order."""
    found: list[Item] = []
    dropped: list[Dropped] = []
    for lines in _blocks(text):
        parts: list[tuple[str, list[str]]] = []
        for line in lines:
            match = _FIELD.match(line)
            if match:
                parts.append((_SAME.get(match[1].lower(), match[1].lower()), [match[2]]))
            elif parts:
                parts[-1][1].append(line)
            elif line.strip():
                parts.append(("text outside the fields", [line]))
        names = [name for name, _ in parts]
        if names != ["instruction", "input", "output"]:
            dropped.append(Dropped("malformed_task", f"its fields are {', '.join(names) or 'none'}", "\n".join(lines)))
            continue
        instruction, given, output = ("\n".join(values).strip() for _, values in parts)
        found.append(Item(tidy(instruction), Instance("" if is_none(given) else given, output)))
    return found, dropped


def _blocks(text: str) -> Iterator[list[str]]:
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if _TASK.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start + 1 : end]
