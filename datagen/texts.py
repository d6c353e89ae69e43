"""Texts out of any file: JSON lines, a JSON array, CSV, Parquet, or plain text line by line.

Which field of a row is the text is said by the caller, or found: `instruction`, `prompt`, `text`. A text
may be given as a list of messages or of turns; it is then what they say, a line each. The row itself
is kept as it came, so that it can be passed on unchanged.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, nearest
from data.formats.files import Item, open_source
from data.formats.parts import in_words
from data.jsonl import open_bytes
from data.records import canonical

FIELDS = ("instruction", "prompt", "text")


class Row(NamedTuple):
    """One row of a file: its text, or why it has none, and the row as it came."""

    number: int
    """Line of the file (element of an array, row of a table), from 1."""
    id: str
    """The row's own id, else FILE:NUMBER."""
    text: str
    problem: str | None
    value: Any
    line: bytes
    """The row as one line of JSON: the very bytes of the file where it is JSON lines."""


def read_rows(path: Path) -> Iterator[Row]:
    """Every row in order as it is, its text not yet looked for; a line that is none comes with its problem."""
    if path.suffix == ".txt":
        yield from _plain(path)
    else:
        for item in open_source(str(path)).items():
            yield _row(path.name, item)


def read_texts(path: Path, field: str | None = None) -> Iterator[Row]:
    """Every row in order with its text; one without comes with its problem, and the next still comes.

    Args:
        field: the field that holds the text; None takes the first of FIELDS that the row has.

    Raises:
        NotThere: no such file.
        BadInput: a file of a kind that is not read.
    """
    for row in read_rows(path):
        if row.problem is not None or row.text:
            yield row
            continue
        try:
            yield row._replace(text=field_text(row.value, field))
        except BadInput as problem:
            yield row._replace(problem=str(problem))


def field_text(row: Any, field: str | None = None) -> str:
    """The text of a row; BadInput names the field that is missing, misspelt, empty or no text."""
    if isinstance(row, str):
        return row
    if not isinstance(row, Mapping):
        raise BadInput(f"the row is {in_words(row)}; an object is needed")
    name = field if field is not None else next((f for f in FIELDS if row.get(f) is not None), None)
    if name is None or row.get(name) is None:
        raise BadInput(_missing(name, list(row)))
    text = spoken(row[name], name)
    if not text.strip():
        raise BadInput(f"{name} is empty")
    return text


def spoken(value: Any, name: str) -> str:
    """What a text, a message, or a list of either says, a line each; BadInput names what is none of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        return str(value["text"])  # a part of a message's content
    if isinstance(value, Mapping) and "content" in value:
        return "" if value["content"] is None else spoken(value["content"], f"{name}: content")
    if isinstance(value, Sequence):
        return "\n".join(spoken(part, f"{name}, {place}") for place, part in enumerate(value, 1))
    raise BadInput(f"{name} is {in_words(value)}, not text or a list of messages")


def _missing(field: str | None, keys: list[str]) -> str:
    if field is not None:
        return f"there is no field '{field}'{nearest(field, keys)}"
    for known in FIELDS:
        if close := nearest(known, keys):
            return f"there is no field {', '.join(FIELDS)}{close}: name it with --field"
    return f"there is no field {', '.join(FIELDS)}; name another with --field"


def _row(name: str, item: Item) -> Row:
    raw = (item.raw or b"").strip(b"\r\n")
    if item.problem:
        shown = raw.decode("utf-8", "backslashreplace")
        return Row(item.number, f"{name}:{item.number}", "", item.problem, shown, canonical(shown))
    line = raw if _is_line(raw) else canonical(item.value)
    own = item.value.get("id") if isinstance(item.value, Mapping) else None
    id = str(own) if isinstance(own, str | int) and not isinstance(own, bool) else f"{name}:{item.number}"
    return Row(item.number, id, "", None, item.value, line)


def _is_line(raw: bytes) -> bool:
    """Whether the row's bytes can stand as a line of JSON: not CSV, not over several lines, no bare NaN."""
    return raw[:1] in (b"{", b"[", b'"') and not any(mark in raw for mark in (b"\n", b"\r", b"NaN", b"Infinity"))


def _plain(path: Path) -> Iterator[Row]:
    """Lines of a text file; blank ones are passed over. The row is the line as a JSON text."""
    with open_bytes(path) as file:
        for number, raw in enumerate(file, 1):
            raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            shown = raw.decode("utf-8", "replace").strip("\r\n")
            if not shown.strip():
                continue
            try:
                raw.decode("utf-8")
                problem = None
            except UnicodeDecodeError as error:
                problem = f"not UTF-8 (byte {error.start}: 0x{raw[error.start]:02x}); save the file as UTF-8"
            yield Row(number, f"{path.name}:{number}", "" if problem else shown, problem, shown, canonical(shown))
