"""The columns that are read of a plain table, and what is said of a file that has others."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from data.errors import BadInput


class Column(NamedTuple):
    """A column to read: our field, its name in the file, and the flag that names another."""

    field: str
    name: str
    flag: str
    required: bool = True
    """A row without it is rejected."""
    optional: bool = False
    """The file need not have it."""
    empty: bool = False
    """An empty text is a value, not a missing one."""


ALIKE = {
    "unit": ("item", "task", "question", "example", "sample", "id", "task_id", "item_id", "unit_id", "单元", "题目"),
    "annotator": ("worker", "coder", "rater", "judge", "user", "annotator_id", "worker_id", "标注者", "标注员"),
    "value": ("label", "rating", "score", "answer", "class", "category", "vote", "值", "标签"),
    "item_a": ("model_a", "a", "left", "first", "player_a"),
    "item_b": ("model_b", "b", "right", "second", "player_b"),
    "winner": ("result", "outcome", "preference", "choice", "label"),
    "text": ("prompt", "content", "body", "文本"),
}
"""What others call our columns: named in the message where ours is not there."""


def check_columns(path: Path, there: Sequence[str], columns: Sequence[Column]) -> None:
    """BadInput when a file lacks a column or has it twice; it says which flags would name what is meant."""
    lacking = [column for column in columns if column.name not in there and not column.optional]
    if lacking and any("\udc80" <= letter <= "\udcff" for name in there for letter in name):
        raise BadInput(f"{path}: its first line is not UTF-8; save the file as UTF-8")
    if lacking:
        names = ", ".join(f"'{column.name}'" for column in lacking)
        has = ", ".join(there[:20]) or "none"
        taken = {column.name for column in columns if column.name in there}
        flags = []
        for column in lacking:
            close = _alike(column, [name for name in there if name not in taken])
            taken |= {close} if close else set()
            flags.append(f"{column.flag} {close or 'COLUMN'}")
        close = "" if all(flag.endswith(" COLUMN") for flag in flags) else "did you mean "
        comparisons = {"item_a", "item_b", "winner"} <= set(there) and "unit" in {c.field for c in lacking}
        hint = "it holds comparisons: add --comparisons" if comparisons else f"{close}{' '.join(flags)}"
        plural = "s" if len(lacking) > 1 else ""
        raise BadInput(f"{path} has no column{plural} {names}; it has: {has}; {hint}{'?' if close else ''}")
    for column in columns:
        if there.count(column.name) > 1:
            raise BadInput(f"{path} has two columns '{column.name}'; rename one")


def _alike(column: Column, there: Sequence[str]) -> str | None:
    """The column that is likely meant: the same but for case and a slip, or by another usual name."""
    folded = {name.strip().casefold(): name for name in reversed(there)}
    for word in (column.name, *ALIKE.get(column.field, ())):
        if word.casefold() in folded:
            return folded[word.casefold()]
    close = get_close_matches(column.name.casefold(), list(folded), n=1)
    return folded[close[0]] if close else None
