"""Write a folder whole or not at all: under a temporary name beside its place, then renamed.

    with write_folder(Path("out"), "export", {"seed": 0}) as folder:
        folder.write("data/train.jsonl", rows)

It is `.NAME.unfinished` until it is whole and on the disk. A killed run leaves only that, and
the next run takes it away; two runs for one place are told apart by a lock. What a folder
holds and how it is verified: data/manifest.py.
"""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data.errors import BadInput, ConcordError, Refused
from data.manifest import MANIFEST, Manifest, hash_row, hashes_of, make_manifest, read_manifest, spell, write_row_hashes
from data.records import Record, canonical, digest

SPLITS = ("train", "validation", "test")
_TOLD = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENAMETOOLONG}


class Folder:
    """A folder being written; `path` is where it is until it is whole."""

    def __init__(self, path: Path, what: str, config: dict[str, Any]) -> None:
        self.path = path
        self.what = what
        self.config = config
        self.inputs: dict[str, Any] = {}
        self.manifest: Manifest | None = None

    def lines(self, name: str) -> "Lines":
        """Open a JSONL file of this folder; a file that gets no line is not made."""
        return Lines(self.path / name, hashes_of(self.path, name))

    def write(self, name: str, rows: Iterable[Any]) -> int:
        """Write rows (records, plain values, or whole lines as bytes) to a JSONL file; returns how many."""
        with self.lines(name) as out:
            for row in rows:
                out.add(row)
        return out.rows

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def seal(self) -> Manifest:
        """Write README.md, row hashes and manifest; nothing may follow. The end of the block does it too."""
        if self.manifest is None:
            self._write_readme()
            rows = write_row_hashes(self.path)
            self.manifest = make_manifest(self.path, self.what, self.config, self.inputs, rows)
            (self.path / MANIFEST).write_bytes(spell(self.manifest))
        return self.manifest

    def _write_readme(self) -> None:
        splits = [s for s in SPLITS if (self.path / "data" / f"{s}.jsonl").exists()]
        if splits and not (self.path / "README.md").exists():
            self.write_text("README.md", readme(self.what, splits))


class Lines:
    """A JSONL file being written, one canonical line at a time; each row is hashed on its way."""

    def __init__(self, path: Path, hashes: Path | None = None) -> None:
        """Open `path` at its first line.

        Args:
            hashes: where the hash of each row is to wait until the folder is sealed.
        """
        self.path = path
        self.rows = 0
        self._hashes = hashes
        self._file: Any = None
        self._told: Any = None

    def add(self, row: Any) -> None:
        """Add a record, a plain value, or a line as it is (bytes without a line break)."""
        line = row if isinstance(row, bytes) else row.line() if isinstance(row, Record) else canonical(row)
        assert b"\n" not in line, "a row is one line"
        known = row.get("id") or "-" if isinstance(row, dict) else None
        self.add_lines(line + b"\n", 1, hash_row(line + b"\n", known) if self._hashes else b"")

    def add_lines(self, lines: bytes, rows: int, hashes: bytes) -> None:
        """Add so many whole lines, each with its line break, and what `data.manifest.hash_row` gives for each."""
        if not rows:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
            if self._hashes:
                self._hashes.parent.mkdir(parents=True, exist_ok=True)
                self._told = self._hashes.open("wb")
        self._file.write(lines)
        if self._told:
            self._told.write(hashes)
        self.rows += rows

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._file, self._told):
            if file is not None:
                file.close()


def readme(what: str, splits: Iterable[str], features: str = "", *, proved: bool = True) -> str:
    """A README.md by which `datasets.load_dataset(DIR)` and the Hub find the splits and nothing else.

    `features` is YAML (of `dataset_info: features:`), where the columns' types must not be guessed; `proved` says
    that the rows follow from judgments that lie in the folder, which curate.verify computes again.
    """
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: data/{split}.jsonl"]
    lines += [features.rstrip("\n")] if features else []
    lines += ["---", "", f"# {what}", "", "Written by Concord. `manifest.json` has the hash of every file,"]
    checked = "; `python -m curate.verify DIR` checks them all" if proved else ""
    lines += [f"`audit/` what stands behind each row{checked}.", ""]
    return "\n".join(lines)


@contextlib.contextmanager
def write_folder(
    out: Path, what: str, config: dict[str, Any], *, replace: bool | None = False, again: bool = False
) -> Iterator[Folder]:
    """Write a folder whole: it appears at `out` when the block ends, or not at all.

    Args:
        out: where it shall lie; must not exist, or be empty, or (with `replace`) be one of ours.
        what: the kind of folder, such as "export".
        config: the effective configuration, JSON types only; hashed into the digest.
        replace: put it in the place of a former one; None where the command has no --force to ask for that.
        again: put it in the place of one that this very configuration made. For runs that go on from a log:
            one that was killed after its folder was whole, and started again, makes the same folder.

    Raises:
        Refused: something else lies there, or another run is writing it now.
        BadInput: the place cannot be written.
    """
    out = Path(os.path.abspath(out))
    unfinished, former = out.with_name(f".{out.name}.unfinished"), out.with_name(f".{out.name}.former")
    with _disk_faults(out, always=True):
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = _fresh(unfinished, out)
    whole = False
    try:
        with _disk_faults(out, always=True):
            _restore(out, former)  # under the lock: another run may be between its two renames
            if again and made_by(out, what, config):
                replace = True
            _may_write(out, replace)
        with _disk_faults(out):
            folder = Folder(unfinished, what, config)
            yield folder
            folder.seal()
            _flush(unfinished)
            _may_write(out, replace)
            if out.exists():
                out.rename(former)
            unfinished.rename(out)
            whole = True
            flush_folder(out.parent)
            take_away(former)
    finally:
        if not whole:  # once renamed, the temporary name may already be another run's
            shutil.rmtree(unfinished, ignore_errors=True)
            _restore(out, former)
        os.close(lock)


def check_place(out: Path, *, replace: bool = False) -> None:
    """Say before any work what write_folder would say at its beginning: a place that is taken or cannot be written.

    Raises:
        Refused, BadInput: as write_folder does.
    """
    out = Path(os.path.abspath(out))
    with _disk_faults(out, always=True):
        out.parent.mkdir(parents=True, exist_ok=True)
        _may_write(out, replace)
    if not os.access(out.parent, os.W_OK):
        raise BadInput(f"{out} cannot be written: {out.parent} may not be changed; name another folder")


def _restore(out: Path, former: Path) -> None:
    """Undo a replacement that was stopped between its two renames; take away what a finished one left."""
    if former.exists() and not out.exists():
        former.rename(out)
    take_away(former)


def take_away(folder: Path) -> None:
    """Remove a folder under another name, so that half of it never stands in its place; one not there is no error."""
    gone = folder.with_name(f".{folder.name.removeprefix('.')}.gone")
    shutil.rmtree(gone, ignore_errors=True)  # of a run that was killed at this
    with contextlib.suppress(OSError):  # most often there is none
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def made_by(out: Path, what: str, config: dict[str, Any]) -> bool:
    """Whether what lies there was written by this command with this configuration."""
    try:
        there = read_manifest(out)
    except ConcordError:
        return False
    return there.what == what and digest(there.config) == digest(config)


def _may_write(out: Path, replace: bool | None) -> None:
    if not out.name:
        raise BadInput(f"{out} cannot be an output folder; name a new one")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise Refused(f"{out} is there and is no folder; name another")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise Refused(f"{out} is there and was not written by Concord; name a new folder")
    if not replace:
        force = "" if replace is None else ", or replace it with --force"
        raise Refused(f"{out} is there already; name a new folder{force}")


def _fresh(unfinished: Path, out: Path) -> int:
    """Make the temporary folder anew and hold it locked, so that two runs never share one."""
    try:
        if unfinished.exists():
            stale = hold(unfinished)
            try:
                shutil.rmtree(unfinished)
            finally:
                os.close(stale)
        unfinished.mkdir()
        return hold(unfinished)
    except (BlockingIOError, FileExistsError, FileNotFoundError):
        raise Refused(f"another run is writing {out} now; wait for it, or name another folder") from None


def hold(folder: Path) -> int:
    """Lock a folder that no other run holds, until what is given back is closed.

    Raises:
        BlockingIOError, FileNotFoundError: one holds it, or took it away before it was locked.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(held), os.stat(folder)):
            raise BlockingIOError
    except OSError:
        os.close(held)
        raise
    return held


def remove_unfinished(parent: Path, pattern: str) -> None:
    """Take away what killed runs left in `parent` under names like this; what a run still holds locked stays."""
    for left in parent.glob(pattern):
        with contextlib.suppress(OSError):
            held = hold(left)
            try:
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)


@contextlib.contextmanager
def _disk_faults(out: Path, *, always: bool = False) -> Iterator[None]:
    """A full or closed disk in words; with `always`, whatever the system says no to."""
    try:
        yield
    except OSError as error:
        if always or error.errno in _TOLD:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            then = "make room and type the command again" if full else "name another folder"
            raise BadInput(f"{out} cannot be written: {error.strerror}; {then}") from error
        raise


def _flush(folder: Path) -> None:
    """Bring every file and folder below to the disk, the innermost first."""
    for here, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(here, name), "rb") as file:
                os.fsync(file.fileno())
        flush_folder(Path(here))


def flush_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
