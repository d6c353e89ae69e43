"""Read an export for training: proved first, then rows as plain records with probability and weight.

    export = read_export(Path("workspace/exports/sky"))
    export.pairs["train"]       Pair: prompt, chosen, rejected, p, w …     (formats trl and parquet)
    export.answers["train"]     Answer: prompt, completion, label, w …     (formats trl-unpaired and sft)

What the folder holds is told by its columns, so the folders of curate.split and of datagen are read too.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data.errors import BadInput, ConcordError, NotThere, Refused, one_line
from data.jsonl import read_lines
from data.manifest import read_manifest, verify_folder
from data.parquet import read_rows

SPLITS = ("train", "validation", "test")
Kind = Literal["pairs", "unpaired", "sft"]
Message = dict[str, Any]
"""role, content, and tool_calls or name where there are any: what a chat template takes."""
_ROLES = ("system", "user", "assistant", "tool")
_ELSEWHERE = {
    "conversations": "it is in LLaMA-Factory's layout",
    "transcript": "it holds whole transcripts (hh-rlhf), in which turns and tools cannot be told apart",
}


class Pair(NamedTuple):
    """A preference: the chosen answer is better with probability p; its evidence weighs w."""

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    tools: list[dict[str, Any]] | None
    p: float
    """In [0, 1]; 1 where the export has no column `probability`."""
    w: float
    """>= 0; 1 where the export has no column `weight`."""
    split: str
    where: str
    """File and line (or row), for messages."""
    row: dict[str, Any]
    """Every other column: judgment_ids, cluster, votes, scores, tags …"""


class Answer(NamedTuple):
    """One answer: to be imitated (label is None), or held good or bad."""

    id: str
    prompt: list[Message]
    completion: list[Message]
    tools: list[dict[str, Any]] | None
    label: bool | None
    w: float
    split: str
    where: str
    row: dict[str, Any]


class Export(NamedTuple):
    """What was read, by split; of `pairs` and `answers` one is empty."""

    folder: Path
    kind: Kind
    digest: str
    """The manifest's; "unverified" where there is none."""
    config: dict[str, Any]
    pairs: dict[str, list[Pair]]
    answers: dict[str, list[Answer]]

    @property
    def licences(self) -> dict[str, int]:
        """Rows of each licence; rows that name none count as "none stated"."""
        found: dict[str, int] = {}
        pairs = [one.row for group in self.pairs.values() for one in group]
        answers = [one.row for group in self.answers.values() for one in group]
        for row in (*pairs, *answers):
            name = str(row.get("licence") or "none stated")
            found[name] = found.get(name, 0) + 1
        return dict(sorted(found.items()))


def read_export(folder: Path, *, unverified: bool = False) -> Export:
    """Verify an export and read its rows.

    Args:
        unverified: read it although it has changed, or never had a manifest.

    Raises:
        NotThere: no folder, or no rows in it.
        Refused: it is not as it was written; the message names what changed first.
        BadInput: a layout that trainers cannot take, or a row that is none, by file and line.
    """
    digest, config = _proved(folder, unverified)
    pairs: dict[str, list[Pair]] = {}
    answers: dict[str, list[Answer]] = {}
    kinds: set[Kind] = set()
    for split, path in _files(folder):
        for where, row in _rows(path):
            kind = _kind(row, where)
            kinds.add(kind)
            if len(kinds) > 1:
                raise BadInput(f"{where}: a row of {kind} among rows of another kind; export them into two folders")
            if kind == "pairs":
                pairs.setdefault(split, []).append(_pair(row, split, where))
            else:
                answers.setdefault(split, []).append(_answer(row, split, where, kind))
    if not kinds:
        raise NotThere(f"{folder}/data holds no rows; export again, or look at audit/left_out.jsonl")
    return Export(folder, kinds.pop(), digest, config, pairs, answers)


def _proved(folder: Path, unverified: bool) -> tuple[str, dict[str, Any]]:
    """The manifest's digest and configuration, once every byte is as it was written."""
    try:
        faults = verify_folder(folder)
        manifest = read_manifest(folder)
    except ConcordError as error:
        if unverified and folder.is_dir():
            return "unverified", {}
        raise Refused(f"{error}; --unverified takes a folder that has none") if folder.is_dir() else error from None
    if faults and not unverified:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Refused(f"{folder} is not as it was written: {faults[0]}{more}; export again, or add --unverified")
    return (manifest.digest if not faults else "unverified"), manifest.config


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for split in SPLITS:
        for ending in ("jsonl", "parquet"):
            path = folder / "data" / f"{split}.{ending}"
            if path.is_file():
                yield split, path


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row stands, and the row."""
    if path.suffix == ".parquet":
        for number, row in enumerate(read_rows(path), 1):
            yield f"{path}, row {number}", row
        return
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        if line.problem or not isinstance(line.value, dict):
            raise BadInput(f"{where}: {line.problem or 'not a JSON object'}")
        yield where, line.value


def _kind(row: dict[str, Any], where: str) -> Kind:
    hint = "export again with --format trl (trl-unpaired for KTO, sft for imitation)"
    if "conversations" in row:
        raise BadInput(f"{where}: {_ELSEWHERE['conversations']}; {hint}")
    if isinstance(row.get("chosen"), str):
        raise BadInput(f"{where}: {_ELSEWHERE['transcript']}; {hint}")
    if {"prompt", "chosen", "rejected"} <= row.keys():
        return "pairs"
    if {"prompt", "completion"} <= row.keys():
        return "unpaired" if "label" in row else "sft"
    raise BadInput(f"{where}: no columns prompt, chosen, rejected (or prompt, completion); {hint}")


def _pair(row: dict[str, Any], split: str, where: str) -> Pair:
    prompt, chosen, rejected = (_messages(row, name, where) for name in ("prompt", "chosen", "rejected"))
    p = _number(row, "probability", where, 1.0)
    taken = {"id", "prompt", "chosen", "rejected", "tools", "probability", "weight", "split"}
    return Pair(
        str(row.get("id") or where),
        prompt,
        chosen,
        rejected,
        row.get("tools") or None,
        p,
        _number(row, "weight", where, math.inf),
        split,
        where,
        {name: value for name, value in row.items() if name not in taken},
    )


def _answer(row: dict[str, Any], split: str, where: str, kind: Kind) -> Answer:
    prompt, completion = _messages(row, "prompt", where), _messages(row, "completion", where)
    label = row.get("label")
    if kind == "unpaired" and not isinstance(label, bool):
        raise BadInput(f"{where}, label: {one_line(repr(label), 40)} is neither true nor false")
    taken = {"id", "prompt", "completion", "tools", "label", "weight", "split"}
    return Answer(
        str(row.get("id") or where),
        prompt,
        completion,
        row.get("tools") or None,
        label if kind == "unpaired" else None,
        _number(row, "weight", where, math.inf),
        split,
        where,
        {name: value for name, value in row.items() if name not in taken},
    )


def _messages(row: dict[str, Any], column: str, where: str) -> list[Message]:
    """A column's messages, each with a known role and a text."""
    value = row[column]
    if not isinstance(value, list) or not value:
        raise BadInput(f"{where}, {column}: needed is a list of messages, each with role and content")
    for n, message in enumerate(value, 1):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise BadInput(f"{where}, {column}, message {n}: the role is none of {', '.join(_ROLES)}")
        if not isinstance(message.get("content"), str):
            raise BadInput(f"{where}, {column}, message {n}: the content is no text")
    return value


def _number(row: dict[str, Any], column: str, where: str, most: float) -> float:
    """A finite number in [0, most]; 1 where the row has none."""
    value = row.get(column)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadInput(f"{where}, {column}: {one_line(repr(value), 40)} is no number")
    if not 0 <= value <= most:
        raise BadInput(f"{where}, {column}: {value} is outside 0 to {most:g}")
    return float(value)
