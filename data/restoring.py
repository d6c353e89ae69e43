"""A store filled from a backup: whole, or as it was before.

    with restored("postgresql://…", open_backup(DIR), step=…) as tx:
        …                       the store is filled and proved, not yet there for anybody else

A store that is there is changed in one transaction. A SQLite file that is not there yet is made beside its
place and gets its name when it is whole. An older schema comes to this version by the schema's own steps.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from data import ledger
from data.backup import Backup, Step, read_table
from data.errors import BadInput, CheckFailed, Refused, one_line
from data.folder import Folder, flush_folder, hold, remove_unfinished
from data.store import Tx, hold_schema, open_store, schema_version, sqlite_file, sqlite_url, take_steps
from data.store_tables import after_filling, count, is_empty, lay_tables

FAULTS = 20  # of each project's ledger that are told


def fill(tx: Tx, backup: Backup, step: Step) -> None:
    """Put a backup's rows in the place of all the store holds, and bring its schema to this version.

    Raises:
        BadInput: the backup's files are not what its manifest says, or a value does not fit this database.
        StoreError: tables of somebody else's are in the way.
    """
    laid = lay_tables(tx, backup.schema)
    if laid.keys() != backup.rows.keys():
        odd = sorted(laid.keys() ^ backup.rows.keys())
        raise BadInput(f"{backup.folder}: schema {backup.schema} and this backup differ in tables: {', '.join(odd)}")
    for name, columns in laid.items():
        tx.fill(name, columns, _counted(read_table(backup, name, columns), step))
        if (filled := count(tx, name)) != backup.rows[name]:
            raise BadInput(f"{backup.folder}: {name} has {filled:,} rows, the manifest says {backup.rows[name]:,}")
    if schema_version(tx) != backup.schema:
        raise BadInput(f"{backup.folder}: its table meta has another schema than its manifest")
    after_filling(tx)
    take_steps(tx, backup.schema)


def _counted(rows: Iterator[Sequence[Any]], step: Step) -> Iterator[Sequence[Any]]:
    for number, row in enumerate(rows, 1):
        yield row
        if number % 1000 == 0:
            step(1000)


def check(tx: Tx, backup: Backup) -> list[str]:
    """Where the ledger does not fit a store that was filled from this backup, a line each.

    Every project's chain and rows are recomputed, and its head compared with the one the backup noted.
    """
    there = {str(p.name): int(p.id) for p in tx.all("SELECT id, name FROM projects ORDER BY name")}
    unlike = sorted(there.keys() ^ backup.heads.keys())
    faults = [one_line(f"project {name}: among the tables or the heads alone, not in both") for name in unlike]
    for name in sorted(there.keys() & backup.heads.keys()):
        told = backup.heads[name]
        try:
            found = ledger.verify(tx, there[name], limit=FAULTS, known_head=told)
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # values nobody of ours writes
            found = [f"ledger: it cannot be read ({error})"]
        if ledger.head(tx, there[name]) != told:
            found.append(f"ledger: its head is not the one that was noted, event {told.seq}")
        faults += [one_line(f"{name}: {fault}") for fault in found]
    return faults


def prove(folder: Folder, backup: Backup, step: Step) -> list[str]:
    """Fill a store from what was written, recompute every ledger there, and note in the folder what does not fit.

    Raises:
        BadInput, StoreError: the files do not read back, or there is no room for the store.
    """
    proof = folder.path / "proof.db"
    store = open_store(sqlite_url(proof), durable=False, upgrade=False, pool=1)
    try:
        with store.write() as tx:
            fill(tx, backup, step)
            faults = check(tx, backup)
    finally:
        store.close()
        for path in chain([proof], folder.path.glob("proof.db-*")):
            path.unlink(missing_ok=True)
    folder.inputs["faults"] = faults
    return faults


@contextmanager
def restored(url: str, backup: Backup, *, replace: bool = False, with_faults: bool = False, step: Step) -> Iterator[Tx]:
    """Fill a store and check every ledger in it; it is there when the block ends, and unchanged when it raises.

    Args:
        replace: take away what the store holds; else it must be empty, or a new SQLite file.
        with_faults: take a backup as it is, though its ledger does not fit.

    Raises:
        Refused: the store holds something, or the backup is no good one.
        CheckFailed: the ledger does not fit what was filled in.
    """
    if backup.faults and not with_faults:
        raise Refused(
            f"{backup.folder} was no good backup when it was made ({backup.faults[0]}); restore another, or this one"
            " as it is with --with-faults"
        )
    place = sqlite_file(url)
    with ExitStack() as stack:
        if place is not None and not place.exists():
            url = stack.enter_context(_new_file(place))
        store = open_store(url, upgrade=False, pool=1)
        stack.callback(store.close)
        tx = stack.enter_context(store.write())
        hold_schema(tx)
        if not is_empty(tx) and not replace:
            raise Refused("this store holds projects or people; name an empty one, or replace all of it with --replace")
        fill(tx, backup, step)
        if (faults := check(tx, backup)) and not with_faults:
            raise CheckFailed(f"the ledger does not fit what {backup.folder} holds ({faults[0]}); nothing was restored")
        yield tx


@contextmanager
def _new_file(place: Path) -> Iterator[str]:
    """The URL of a store beside `place`, which it becomes when the block ends, unless a file came there meanwhile."""
    remove_unfinished(place.parent, f".{place.name}.*.unfinished")
    for tail in ("-wal", "-shm", "-journal"):
        if place.with_name(place.name + tail).exists():
            raise Refused(f"{place}{tail} is left of a former store and would spoil this one; take it away first")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".unfinished", dir=place.parent))
        lock = hold(beside)  # says that it is still being written
    except (BlockingIOError, FileNotFoundError):
        raise Refused(f"another restore to {place} began just now; wait for it, or name another") from None
    except OSError as error:
        raise BadInput(f"{place} cannot be written: {error.strerror}") from None
    try:
        yield sqlite_url(beside / place.name)
        _give_name(beside / place.name, place)
        flush_folder(place.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(lock)


def _give_name(made: Path, place: Path) -> None:
    """Move a file to its place, never over one that came there meanwhile."""
    try:
        os.link(made, place)
    except FileExistsError:
        raise Refused(f"{place} came to be while it was restored; nothing was changed, name another") from None
    except OSError:  # a disk without links; one look before is all it allows
        if place.exists():
            raise Refused(f"{place} came to be while it was restored; nothing was changed, name another") from None
        made.rename(place)
