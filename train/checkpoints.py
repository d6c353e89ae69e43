"""Checkpoints of a run: each whole or none, and a run that goes on from one ends with the same bytes.

    .NAME.checkpoints/run.json             the configuration they belong to
    .NAME.checkpoints/metrics.jsonl        lines logged so far
    .NAME.checkpoints/checkpoint-8/        weights, optimizer, schedule, order, random numbers
    .NAME.checkpoints/checkpoint-8/whole.json   sha256 of its files, written last: without it, it does not count

They lie beside the run's folder while it is made, and go when that is whole.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import BadInput, ConcordError, Refused
from data.folder import take_away
from data.records import digest

WHOLE = "whole.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_SAID = (
    "no space left",
    "disk quota",
    "file too large",
    "failed writing file",
    "pytorchstreamwriter",
    "inline_container",
)


def place_of(out: Path) -> Path:
    """Where the checkpoints of the run at `out` lie."""
    out = Path(os.path.abspath(out))
    return out.with_name(f".{out.name}.checkpoints")


def open_place(place: Path, config: dict[str, Any], *, fresh: bool) -> Path | None:
    """Make the place ready; returns the last whole checkpoint to go on from, if there is one.

    Args:
        config: the run's; checkpoints of another one are not gone on from.
        fresh: take away what is there.

    Raises:
        Refused: what is there belongs to a run with other settings or other data.
    """
    if fresh:
        take_away(place)
    made = place / "run.json"
    last = last_whole(place)
    if last and (_read(made) or {}).get("config") != digest(config):
        raise Refused(
            f"{place} holds checkpoints up to step {step_of(last)} of a run with other settings or data; "
            "--fresh starts anew in its place, --out names another"
        )
    if not last:
        take_away(place)
        place.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps({"config": digest(config)}), encoding="utf-8")
    return last


def last_whole(place: Path) -> Path | None:
    """The checkpoint with most steps whose files are all as they were written."""
    found = sorted((one for one in place.glob("checkpoint-*") if step_of(one) >= 0), key=step_of, reverse=True)
    return next((one for one in found if is_whole(one)), None)


def step_of(checkpoint: Path) -> int:
    """Steps taken when it was written; −1 for another folder."""
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def is_whole(checkpoint: Path) -> bool:
    """Whether every file is there with the bytes it was written with."""
    told = _read(checkpoint / WHOLE)
    if not isinstance(told, dict) or not told:
        return False
    return all((checkpoint / name).is_file() and _hash(checkpoint / name) == said for name, said in told.items())


def seal(checkpoint: Path) -> None:
    """Bring a checkpoint and what lies beside it to the disk, and say that it is whole.

    Of older ones the newest stays, in case.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != WHOLE)
    beside = [path for path in checkpoint.parent.iterdir() if path.is_file()]  # metrics up to it, and whose it is
    for path in [*files, *beside]:
        _flush(path)
    told = json.dumps({str(path.relative_to(checkpoint)): _hash(path) for path in files})
    unfinished = checkpoint / f".{WHOLE}"
    unfinished.write_text(told, encoding="utf-8")
    _flush(unfinished)
    unfinished.rename(checkpoint / WHOLE)
    _flush(checkpoint)
    _flush(checkpoint.parent)
    former = [one for one in checkpoint.parent.glob("checkpoint-*") if -1 < step_of(one) < step_of(checkpoint)]
    whole = [one for one in former if (one / WHOLE).is_file()]
    kept = max(whole, key=step_of, default=None)
    for other in former:
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def told_plainly(place: Path) -> Iterator[None]:
    """A disk that is full while a checkpoint is written, in one line; what is not whole is taken away.

    Raises:
        BadInput: what to do, and from which step the run will go on.
    """
    try:
        yield
    except ConcordError:
        raise
    except Exception as error:
        if not is_disk_full(error):
            raise
        for one in place.glob("checkpoint-*"):
            if not (one / WHOLE).is_file():
                shutil.rmtree(one, ignore_errors=True)
        last = last_whole(place)
        on = f"goes on from step {step_of(last)}" if last else "starts anew, since no checkpoint was whole yet"
        free = shutil.disk_usage(place).free // 1_000_000 if place.is_dir() else 0
        raise BadInput(
            f"a checkpoint could not be written to {place}: the disk is full ({free:,} MB free); make room and run "
            f"the same command again, which {on}"
        ) from None


def is_disk_full(error: BaseException) -> bool:
    """Whether a library says, in one of its ways, that it cannot write: OSError, or a text by torch or safetensors."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        if any(part in str(seen).lower() for part in _SAID):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def guard(trainer: Any, place: Path, main: bool) -> None:
    """Make a trainer's checkpoints whole or none: sealed when written, and a full disk told in one line."""
    write = trainer._save_checkpoint

    def write_whole(*given: Any, **more: Any) -> None:
        with told_plainly(place):
            write(*given, **more)
            trainer.accelerator.wait_for_everyone()
            if main:
                seal(place / f"checkpoint-{trainer.state.global_step}")

    trainer._save_checkpoint = write_whole


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    held = os.open(path, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
