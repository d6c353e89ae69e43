"""JSON lines in and out: read a line at a time with its number, write whole files or none."""

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import orjson

from data.errors import BadInput, NotThere
from data.records import Record, canonical

R = TypeVar("R", bound=Record)
MAX_LINE = 64_000_000  # bytes; a longer line is no record of ours


class Line(NamedTuple):
    """One line of a file: its number from 1, its bytes, and what it holds or why it cannot be read."""

    number: int
    raw: bytes
    value: Any
    problem: str | None


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, through gzip where its name ends in .gz; NotThere says what is missing."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder, not a file")
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; check the path") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def parse(raw: bytes) -> tuple[Any, str | None]:
    """A JSON text's value, or None and the reason it cannot be read.

    A bare NaN, Infinity or -Infinity (Python's json writes them; JSON has no such thing) reads as null.
    """
    try:
        return orjson.loads(raw), None
    except orjson.JSONDecodeError as error:
        why = str(error)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, f"not UTF-8 (byte {error.start}: 0x{raw[error.start]:02x}); save the file as UTF-8"
    try:
        value = json.loads(text, parse_constant=lambda _: None)
        canonical(value)  # what cannot be written again (half a surrogate pair, a huge integer) is refused
    except (ValueError, TypeError, RecursionError):
        return None, f"not JSON: {why}"
    return value, None


def read_lines(path: Path) -> Iterator[Line]:
    """Each line that is not blank, in order; a line that cannot be read comes with its problem."""
    with open_bytes(path) as file:
        number = 0
        try:
            while raw := file.readline(MAX_LINE + 1):
                number += 1
                if len(raw) > MAX_LINE:
                    yield Line(number, raw[:200], None, f"the line is longer than {MAX_LINE:,} bytes")
                    while len(raw) > MAX_LINE and not raw.endswith(b"\n"):
                        raw = file.readline(MAX_LINE + 1)
                    continue
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if raw.strip():
                    yield Line(number, raw, *parse(raw))
        except (OSError, EOFError) as error:
            raise BadInput(f"{path}, after line {number}: the file cannot be read on: {error}") from None


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Each line as a record; the first that is none raises BadInput with file, line and field."""
    for line in read_lines(path):
        if line.problem:
            raise BadInput(f"{path}, line {line.number}: {line.problem}")
        try:
            yield kind.model_validate(line.value)
        except ValueError as error:
            raise BadInput(f"{path}, line {line.number}: {explain(error)}") from None


def explain(error: ValueError) -> str:
    """What is wrong with a record, in one line: the field and the fault, the first of several."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    fault = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"field {where}: {fault}{more}" if where else fault + more


def write_lines(path: Path, rows: Iterable[Any]) -> int:
    """Write rows (records or plain values) as canonical JSON lines; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    count = 0
    with unfinished.open("wb") as file:
        for row in rows:
            file.write((row.line() if isinstance(row, Record) else canonical(row)) + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return count
