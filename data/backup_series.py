"""Backups one after another in one folder, each named by its time, the oldest taken away.

workspace/backups/20260901-030000-123456/    a backup: year, month, day; time of day in UTC, to the microsecond
"""

import re
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from data.backup import WHAT
from data.errors import BadInput, ConcordError
from data.folder import remove_unfinished
from data.manifest import read_manifest

_NAME = re.compile(r"\d{8}-\d{6}-\d{6}")
_FORM = "%Y%m%d-%H%M%S-%f"


def next_place(series: Path) -> Path:
    """Where the next backup goes; what killed runs left in the folder is taken away."""
    remove_unfinished(series, ".????????-??????-??????.unfinished")
    remove_unfinished(series, ".????????-??????-??????.former")
    return series / datetime.now(UTC).strftime(_FORM)


def backups(series: Path) -> list[Path]:
    """The backups of a folder, oldest first; what has another name or is none of ours is not among them."""
    named = sorted(path for path in series.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    return [path for path in named if not path.is_symlink() and _is_backup(path)]


def _is_backup(folder: Path) -> bool:
    try:
        return read_manifest(folder).what == WHAT
    except ConcordError:
        return False


def _is_good(folder: Path) -> bool:
    try:
        return not read_manifest(folder).inputs.get("faults")
    except ConcordError:  # taken away since it was found
        return False


def keep_newest(series: Path, keep: int) -> list[Path]:
    """Take away what is older than the newest so many good backups of a folder; returns what was taken away.

    Raises:
        BadInput: one cannot be taken away.
    """
    found = backups(series)
    good = [folder for folder in found if _is_good(folder)]
    gone = [folder for folder in found if folder < good[-keep]] if len(good) > keep else []
    for folder in gone:
        hidden = folder.with_name(f".{folder.name}.former")  # half of one is never taken for a backup
        try:
            with suppress(FileNotFoundError):  # another backup that ended just now takes it away as well
                folder.rename(hidden)
                shutil.rmtree(hidden)
        except OSError as error:
            raise BadInput(f"the old backup {folder} cannot be taken away: {error.strerror}") from None
    return gone
