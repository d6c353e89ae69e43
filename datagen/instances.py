"""Instances of a task, an input with its output: read out of an answer, and checked.

An answer has blocks under lines such as `Example 1`, with the fields `Input:` and `Output:` (or, for
classification, `Class:` first and then `Input:`), or the same in Chinese. A block that lacks a field, or
has one twice, is dropped and named: no guess is made about what was meant.
Source: Wang et al., Self-Instruct (arXiv 2212.10560), sections 2.2 and 2.3, and the steps of its code.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MOST = 5  # instances of one task

_EXAMPLE = re.compile(r"^[\s#*>\-]*(?:example|示例|例子|例)\s*\d{1,2}[\s:：.*]*$", re.IGNORECASE)
_FIELD = re.compile(
    r"^[\s#*]*(input|output|class(?: label)?|label|输入|输出|类别|标签)[\s*]*[:：][ \t*]*(.*)$", re.IGNORECASE
)
_SAME = {"输入": "input", "输出": "output", "类别": "class", "标签": "class", "label": "class", "class label": "class"}
_NONE = {"", "none", "n/a", "no input", "noinput", "empty", "无", "无输入", "空", "没有"}
_BRACKETS = " \t\n.。()（）<>[]【】"
_FIELD_NAME = re.compile(r"^[^\W\d_][^:：\n]{0,29}(?::\s|：)\s*(?=\S)")


class Instance(NamedTuple):
    """One worked example; an empty input means that the instruction needs none."""

    input: str
    output: str


class Dropped(NamedTuple):
    """A piece of an answer that is no good instance: the filter's name, why, and the piece."""

    filter: str
    detail: str
    text: str


def parse(text: str, label_first: bool) -> tuple[list[Instance], list[Dropped]]:
    """The instances of an answer in order, and the blocks that cannot be read.

    Text in a block outside its fields, before the output, is taken as the input (models leave the field's
    name out). The last instance of an answer that was cut off is among those given.
    """
    found: list[Instance] = []
    dropped: list[Dropped] = []
    for lines in _blocks(text):
        fault, instance = _read(lines, label_first)
        if instance:
            found.append(instance)
        else:
            dropped.append(Dropped("malformed_instance", fault, "\n".join(lines).strip()))
    return found, dropped


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block; what stands before the first `Example` line is no block, if there is such a line."""
    lines = text.strip().splitlines()
    starts = [i for i, line in enumerate(lines) if _EXAMPLE.match(line)]
    if not starts:
        yield lines
        return
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield lines[start + 1 : end]


def _read(lines: Sequence[str], label_first: bool) -> tuple[str, Instance | None]:
    known, answer = (("class", "input"), "class") if label_first else (("input", "output"), "output")
    parts: dict[str, list[str]] = {}
    bare: list[str] = []
    at = bare
    for line in lines:
        match = _FIELD.match(line)
        name = match and _SAME.get(match[1].lower(), match[1].lower())
        if match and name in known:
            if name in parts:
                return f"field {name} twice", None
            at = parts[name] = [match[2]]
        elif at is parts.get("class"):  # a label is one line
            at = bare if line.strip() else at
            at.append(line)
        else:
            at.append(line)
    if answer not in parts:
        return f"no field {answer}", None
    loose = "\n".join(bare).strip()
    if "input" in parts and loose:
        return "text outside the fields", None
    if list(parts) != sorted(parts, key=known.index):
        return f"field {known[1]} before {known[0]}", None
    given = "\n".join(parts["input"]).strip() if "input" in parts else loose
    return "", Instance("" if is_none(given) else given, "\n".join(parts[answer]).strip())


def is_none(text: str) -> bool:
    """Whether a field says in words that it is empty: none, (no input), 无."""
    return text.strip(_BRACKETS).casefold() in _NONE


def check(found: Sequence[Instance], cut_off: bool, on: frozenset[str]) -> tuple[list[Instance], list[Dropped]]:
    """The instances of one task that pass every filter that is on, and what each of the others was dropped for.

    Args:
        found: the instances in the order in which they came.
        cut_off: the answer ended because it was full, so its last instance is not whole.
        on: names of the filters in use (datagen/filters.py).
    """
    kept: list[Instance] = []
    dropped: list[Dropped] = []
    for i, one in enumerate(found):
        fault = _fault(one, cut_off and i == len(found) - 1, on)
        if not fault and "repeated_instance" in on and one in kept:
            fault = ("repeated_instance", "the same as one before")
        if not fault and "surplus_instance" in on and len(kept) == MOST:
            fault = ("surplus_instance", f"there are {MOST} before it")
        if fault:
            dropped.append(Dropped(*fault, text=_shown(one)))
        else:
            kept.append(one)
    if "instance_conflict" in on and (clash := _conflict(kept)):
        return [], [*dropped, *(Dropped("instance_conflict", f"two outputs for {clash!r}", _shown(k)) for k in kept)]
    return kept, dropped


def _fault(one: Instance, cut_off: bool, on: frozenset[str]) -> tuple[str, str] | None:
    if cut_off and "truncated_instance" in on:
        return "truncated_instance", "the answer was cut off in it"
    if not one.output and "empty_output" in on:
        return "empty_output", "no output"
    if one.input == one.output and "same_as_input" in on:
        return "same_as_input", "output and input are the same"
    if "ends_with_colon" in on and any(text.endswith((":", "：")) for text in one):
        return "ends_with_colon", "it ends with a colon, so something is missing"
    return None


def _conflict(kept: Sequence[Instance]) -> str:
    """An input that was given two outputs, or an empty string: then none of the task's instances can be trusted."""
    outputs: dict[str, str] = {}
    for one in kept:
        if one.input and outputs.setdefault(one.input, one.output) != one.output:
            return one.input
    return ""


def _shown(one: Instance) -> str:
    return f"{one.input}\n→ {one.output}" if one.input else f"→ {one.output}"


def without_field_name(text: str, chance: random.Random) -> str:
    """The input without a field's name at its head ("Sentence: it rains" becomes "it rains"), every other time.

    Only where it is the one short name before a colon, so that lists of fields stay as they are. Half of
    them are left, so that a model learns both ways of being asked.
    """
    if len(re.findall(r"^[^\W\d_][^:：\n]{0,29}(?::\s|：)", text, re.MULTILINE)) != 1 or not _FIELD_NAME.match(text):
        return text
    return _FIELD_NAME.sub("", text) if chance.random() < 0.5 else text
