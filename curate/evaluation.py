"""Evaluation files as texts to look for: every string of every row, or every line of a plain text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curate.contamination import GRAM, SHORTEST, EvaluationText, Index, index
from data.errors import BadInput
from data.jsonl import open_bytes

_PLAIN = (".txt", ".md")


def read_evaluation(paths: Sequence[Path], n: int = GRAM, shortest: int = SHORTEST) -> Index:
    """The index of some evaluation files: JSONL, JSON, CSV, TSV, Parquet, or plain text a line each.

    Raises:
        NotThere, BadInput: a file that cannot be read, or none of whose texts has `shortest` tokens.
    """
    texts = [text for path in paths for text in _texts(path)]
    made = index(texts, n, shortest)
    if made.too_short == len(texts):
        names = ", ".join(str(path) for path in paths)
        raise BadInput(f"{names}: no text of {shortest} tokens or more; --shortest takes shorter ones")
    return made


def _texts(path: Path) -> Iterator[EvaluationText]:
    if path.suffix.lower() in _PLAIN:
        with open_bytes(path) as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield EvaluationText(path.name, f"line {number}", "text", raw.decode("utf-8", "replace").strip())
        return
    from data.formats.files import open_source

    source = open_source(str(path))
    for item in source.items():
        if item.problem:
            raise BadInput(f"{path}, {source.unit} {item.number}: {item.problem}")
        named = item.value.get("id") if isinstance(item.value, dict) else None
        key = str(named) if isinstance(named, (str, int)) and str(named) else f"{source.unit} {item.number}"
        for field, text in strings(item.value):
            yield EvaluationText(path.name, key, field, text)


def strings(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Every text within a JSON value, with the path to it, such as messages.0.content."""
    if isinstance(value, str):
        yield field or "text", value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from strings(inner, f"{field}.{place}" if field else str(place))
