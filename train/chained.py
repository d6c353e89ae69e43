"""A log of lines that each hold the hash of the line before, so that none can be changed, moved or lost unseen.

    with held(Path("workspace/gates/looks.jsonl")) as log:
        log.append({"run": "…"})

A line is {"seq", "prev", "body", "hash"}; its hash covers the other three. The file is locked while it is held, so
two commands never write from the same end. A line that a killed command left half written never counted, and is
taken away. That the last whole lines were cut off shows only against hashes kept elsewhere.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from data.errors import BadInput, CheckFailed, Refused
from data.records import canonical, digest

START = "0" * 64
_PATIENCE_S = 60.0


class Entry(NamedTuple):
    """One line."""

    seq: int
    hash: str
    body: dict[str, Any]


class Chained:
    """A log held by this process; `entries` are those there are, oldest first."""

    def __init__(self, path: Path, entries: list[Entry], size: int) -> None:
        self.path = path
        self.entries = entries
        self._size = size

    def append(self, body: dict[str, Any]) -> Entry:
        """Add a line and bring it to the disk.

        Raises:
            BadInput: the disk is full, or the file cannot be written.
        """
        prev = self.entries[-1].hash if self.entries else START
        seq = len(self.entries) + 1
        made = Entry(seq, digest([seq, prev, body]), body)
        line = canonical({"seq": seq, "prev": prev, "body": body, "hash": made.hash}) + b"\n"
        try:
            with open(self.path, "r+b" if self.path.exists() else "xb") as file:
                file.truncate(self._size)
                file.seek(self._size)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadInput(f"{self.path} cannot be written: {error.strerror}") from error
        self._size += len(line)
        self.entries.append(made)
        return made


@contextmanager
def held(path: Path) -> Iterator[Chained]:
    """Read a log, verify it, and keep others from writing to it until the block ends.

    Raises:
        CheckFailed: a line is not as it was written; nothing is written after it.
        Refused: another command has held it for a minute.
        BadInput: the place cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error
    try:
        _take(handle, path)
        yield Chained(path, *_read(path))
    finally:
        os.close(handle)


def read_chain(path: Path) -> list[Entry]:
    """The lines of a log, verified; none where there is no file.

    Raises:
        CheckFailed: a line is not as it was written.
    """
    return _read(path)[0]


def _take(handle: int, path: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise Refused(f"another command is writing {path}; try again when it has ended") from None
            time.sleep(0.02)


def _read(path: Path) -> tuple[list[Entry], int]:
    """The lines, and the bytes that they take."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    whole = content[: content.rfind(b"\n") + 1]
    entries: list[Entry] = []
    prev = START
    for number, line in enumerate(whole.splitlines(), 1):
        entry = _entry(line, number, prev)
        if entry is None:
            raise CheckFailed(
                f"{path}, line {number}: it is not as it was written, or does not follow the line before it;"
                " put the file back as it was from a copy"
            )
        entries.append(entry)
        prev = entry.hash
    return entries, len(whole)


def _entry(line: bytes, number: int, prev: str) -> Entry | None:
    try:
        row = orjson.loads(line)
        body = row["body"]
        fits = row["seq"] == number and row["prev"] == prev and row["hash"] == digest([number, prev, body])
    except (ValueError, KeyError, TypeError):
        return None
    return Entry(number, str(row["hash"]), body) if fits and isinstance(body, dict) else None
