"""What train.release and train.rollback do: WORKSPACE/runs/current, a link that is replaced at once, and its log.

The link moves only to a run that a gate passed, and back to the one that passed before. Every move is first a line
of WORKSPACE/runs/releases.jsonl (hash-chained, train/chained.py); a command that is killed between line and link is
mended by typing it again.
"""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, CheckFailed, ConcordError, NotEnough, Refused
from data.manifest import verify_folder
from train.chained import Entry, held, read_chain
from train.deciding import FAIL, PASS
from train.looks import LOOKS, Record, check_tail, gate_records, line_of
from train.verified import Verified, verified_run

CURRENT = "current"
RELEASES = "releases.jsonl"


class Moved(NamedTuple):
    """Where the link points now, and where it pointed."""

    run: Path
    before: str | None
    note: str


def release(run: Path, workspace: Path) -> Moved:
    """Let the link point to a run that a gate passed.

    Raises:
        Refused: no gate has decided on this very run, or the link cannot be made.
        CheckFailed: the gate failed it; or run, record or log are not as they were written.
        NotEnough: the gate had not enough evidence.
    """
    the_run = verified_run(run)
    record, look = _passed(the_run, workspace)
    runs = workspace / "runs"
    folder = the_run.folder.resolve()
    with held(runs / RELEASES) as log:
        stack = _stack(log.entries)
        made = _prepare(runs, folder)
        before = stack[-1]["name"] if stack else None
        again = bool(stack) and stack[-1]["run"] == the_run.manifest.digest and stack[-1]["path"] == _path(runs, folder)
        if not again:
            log.append(
                {
                    "what": "release",
                    "time": _now(),
                    "run": the_run.manifest.digest,
                    "name": folder.name,
                    "path": _path(runs, folder),
                    "gate": record.manifest.digest,
                    "look": look.hash,
                }
            )
        _put(made, runs)
    return Moved(folder, None if again else before, "it was current already" if again else "")


def rollback(workspace: Path) -> Moved:
    """Let the link point to the run that was released before the current one.

    Raises:
        Refused: there is none, or the link cannot be made.
        CheckFailed: its folder, or the log, is not as it was written.
    """
    runs = workspace / "runs"
    with held(runs / RELEASES) as log:
        begun = _is_begun(runs, log.entries)
        stack = _stack(log.entries[:-1] if begun else log.entries)
        if len(stack) < 2:
            there = f"{stack[0]['name']} is the first that passed" if stack else "none was released yet"
            raise Refused(f"there is no earlier release in {runs} to return to: {there}")
        current, target = stack[-1], stack[-2]
        folder = Path(os.path.normpath(runs / target["path"]))
        _check_unchanged(folder, target)
        made = _prepare(runs, folder)
        note = _elsewhere(runs, current)
        if not begun:
            log.append({**target, "what": "rollback", "time": _now(), "from": current["run"]})
        _put(made, runs)
    return Moved(folder, current["name"], note)


def _passed(run: Verified, workspace: Path) -> tuple[Record, Entry]:
    """The record of the gate's last decision on this very run, which must be a pass in the log of looks too."""
    gates = workspace / "gates"
    log = gates / LOOKS
    records = gate_records(gates)  # before the log, in which every record's line stands first
    entries = read_chain(log)
    check_tail(entries, records, log)
    own = [one for one in records if one.manifest.config.get("run") == run.manifest.digest]
    decided = [entry for entry in entries if entry.body.get("run") == run.manifest.digest]
    ask = f"python -m train.gate {run.folder} --contract FILE"
    if not decided:
        raise Refused(f"no gate has decided on {run.folder} as it is now; type {ask}")
    newest: dict[str, Entry] = {}  # of each contract, what it last decided; a look that decided nothing takes none back
    for entry in decided:
        if entry.body["outcome"] in (PASS, FAIL):
            newest[entry.body["contract"]] = entry
    for entry in newest.values():
        if entry.body["outcome"] == FAIL:
            raise CheckFailed(f"the gate failed {run.folder}{_where(own, entry)}; train again, then {ask}")
    if not newest:
        where = _where(own, decided[-1])
        raise NotEnough(f"the gate had not enough evidence on {run.folder}{where}; see there how much more")
    last = max(newest.values(), key=lambda entry: entry.seq)
    for record in own:
        if line_of(record.manifest) == last.hash:
            faults = verify_folder(record.folder)
            if faults or record.manifest.config.get("outcome") != PASS:
                told = faults[0] if faults else "it tells of another outcome than the log of looks"
                raise CheckFailed(f"{record.folder} is not as it was written: {told}; type {ask} again")
            return record, last
    raise Refused(f"the gate's record of {run.folder} is not in {gates}; type {ask} again, which costs no look")


def _where(records: list[Record], entry: Entry) -> str:
    place = next((one.folder for one in records if line_of(one.manifest) == entry.hash), None)
    return f" ({place})" if place else ""


def _stack(entries: list[Entry]) -> list[dict[str, Any]]:
    """Releases that stand, the current one last."""
    stack: list[dict[str, Any]] = []
    for entry in entries:
        if entry.body.get("what") == "rollback":
            stack.pop()
        else:
            stack.append(entry.body)
    return stack


def _is_begun(runs: Path, entries: list[Entry]) -> bool:
    """Whether the last line is of a rollback that was killed before it moved the link."""
    if not entries or entries[-1].body.get("what") != "rollback":
        return False
    before, now = _stack(entries[:-1])[-1]["path"], _stack(entries)[-1]["path"]
    link = runs / CURRENT
    return before != now and link.is_symlink() and os.readlink(link) == before


def _check_unchanged(folder: Path, target: dict[str, Any]) -> None:
    try:
        found = verified_run(folder)
    except ConcordError as error:
        raise CheckFailed(f"{target['name']}, which passed before, cannot be returned to: {error}") from None
    if found.manifest.digest != target["run"]:
        raise CheckFailed(f"{folder} is no longer the run that passed; put it back from a copy, or release another")


def _elsewhere(runs: Path, current: dict[str, Any]) -> str:
    """What to say where the link does not point to what the log tells."""
    link = runs / CURRENT
    there = os.readlink(link) if link.is_symlink() else None
    return "" if there == current["path"] else f"{link} pointed elsewhere than its log told; it is set anew"


def _path(runs: Path, folder: Path) -> str:
    """What the link holds: a name beside it, or a whole path for a run elsewhere."""
    return folder.name if folder.parent == runs.resolve() else str(folder)


def _prepare(runs: Path, folder: Path) -> Path:
    """Make the new link under another name, so that a file system without links says so before anything moves."""
    link = runs / CURRENT
    if link.exists() and not link.is_symlink():
        raise Refused(f"{link} is there and is no link; move it away")
    made = runs / f".{CURRENT}.new"
    try:
        made.unlink(missing_ok=True)
        made.symlink_to(_path(runs, folder))
    except (OSError, NotImplementedError) as error:
        raise Refused(
            f"{runs} takes no symbolic link ({getattr(error, 'strerror', None) or error});"
            " put the workspace on a disk that does, or name the run's folder itself where it is used"
        ) from None
    return made


def _put(made: Path, runs: Path) -> None:
    try:
        os.replace(made, runs / CURRENT)
        handle = os.open(runs, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise BadInput(f"{runs / CURRENT} cannot be replaced: {error.strerror}") from error


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
