"""The file of a novelty index: JSON lines anyone can read, with a hash that shows damage.

The first line says what it is: format, version, threshold, compat, how many texts. Then one line
["id", "text"] for each, in the order they were added; the last line is the sha256 of all before it.
Tokens are not kept but cut again at loading, so a file never disagrees with the tokeniser that reads it.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from data.errors import BadInput, Refused, one_line
from data.jsonl import open_bytes, parse
from data.records import canonical

FORMAT = "concord novelty index"
VERSION = 1


class Texts(Sized, Iterable[tuple[str, str]], Protocol):
    """Ids and texts that can be counted."""


class Saved(NamedTuple):
    """What a file holds."""

    threshold: str
    compat: str | None
    texts: list[tuple[str, str]]


def save(path: Path, threshold: str, compat: str | None, texts: Texts) -> None:
    """Write the file under another name, bring it to the disk, then put it in its place."""
    head = {"format": FORMAT, "version": VERSION, "threshold": threshold, "compat": compat, "texts": len(texts)}
    unfinished = path.with_name(f".{path.name}.unfinished")
    hashed = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            for value in _lines(head, texts):
                hashed.update(value)
                file.write(value)
            file.write(_end(hashed))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise BadInput(f"the novelty index {path} cannot be written: {error.strerror}") from None


@contextmanager
def grown_alone(path: Path) -> Iterator[None]:
    """Keep other runs from growing this file until the block ends: the later of two would lose the other's texts.

    Raises:
        Refused: another run is growing it now.
        BadInput: its place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("a")
    except OSError as error:
        raise BadInput(f"the novelty index {path} cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another run is growing {path} now; wait for it, or name another with --index") from None
        yield


def _lines(head: dict[str, Any], texts: Texts) -> Iterator[bytes]:
    yield canonical(head) + b"\n"
    for row in texts:
        try:
            yield canonical(row) + b"\n"
        except TypeError:  # half a surrogate pair, which a model's server can send and no file can hold
            yield canonical([value.encode("utf-8", "replace").decode() for value in row]) + b"\n"


def _end(hashed: "hashlib._Hash") -> bytes:
    return canonical({"sha256": hashed.hexdigest()}) + b"\n"


def load(path: Path) -> Saved:
    """What the file holds, verified; BadInput says what is wrong with it."""
    with open_bytes(path) as file:
        lines = file.read().splitlines(keepends=True)
    head, problem = parse(lines[0]) if lines else (None, "it is empty")
    if problem or not isinstance(head, dict) or head.get("format") != FORMAT:
        raise BadInput(f"{path} is no novelty index; name a new file, or one that a former run wrote")
    if head.get("version") != VERSION:
        raise BadInput(f"{path} is of version {one_line(str(head.get('version')))}, this Concord reads {VERSION}")
    if lines[-1] != _end(hashlib.sha256(b"".join(lines[:-1]))):
        raise BadInput(f"{path} is damaged: its hash does not fit; delete it and build it again")
    texts = [parse(line)[0] for line in lines[1:-1]]
    if len(texts) != head.get("texts"):
        raise BadInput(f"{path} is damaged: {head.get('texts')} texts are said and {len(texts)} there")
    return Saved(str(head["threshold"]), head["compat"], [(id, text) for id, text in texts])
