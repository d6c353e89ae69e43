"""Lines that are kept while a long run goes on, so that one that was killed does not do them again.

    with keep_lines(Path("out"), "answers", config) as kept:
        kept.rows                     what an earlier run with the same configuration finished
        kept.add([{...}, {...}])      on the disk when it returns
    drop_lines(Path("out"))           once the folder itself is whole

They lie beside the folder that is to be, in `.NAME.going/`, each configuration in a file of its own.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from data.errors import BadInput, Refused
from data.folder import take_away
from data.records import canonical, digest


class Kept:
    """What is finished: `rows` from before, and those added since."""

    def __init__(self, file: BinaryIO, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self._file = file

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Write rows and wait for the disk."""
        self._file.write(b"".join(canonical(row) + b"\n" for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.rows += rows


@contextmanager
def keep_lines(out: Path, name: str, config: Any) -> Iterator[Kept]:
    """Open the lines of this folder, name and configuration; a last line that was cut off is taken away.

    Raises:
        Refused: another run is at it now.
        BadInput: the place cannot be written.
    """
    path = _place(out) / f"{name}-{digest(config)[:16]}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}; name another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another run is writing {out} now; wait for it, or name another folder") from None
        file.seek(0)
        rows, whole = [], 0
        for line in file:
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                break
            if not line.endswith(b"\n"):
                rows.pop()
                break
            whole += len(line)
        file.truncate(whole)
        try:
            yield Kept(file, rows)
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}; what is finished is kept") from error


def is_going(out: Path) -> bool:
    """Whether an earlier run for this folder has left lines."""
    return _place(out).is_dir()


def drop_lines(out: Path) -> None:
    """Take away what was kept for this folder."""
    take_away(_place(out))  # a rest of it would have a finished run begun anew


def _place(out: Path) -> Path:
    out = Path(os.path.abspath(out))
    return out.with_name(f".{out.name}.going")
