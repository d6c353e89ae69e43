"""A backup: everything a store holds at one moment, as files that either database can be filled from.

    data/people.jsonl.gz     a table's columns as a JSON list, then a list for every row, by its key
    data/…                   one such file for every table
    README.md                what it is, and how it is restored
    manifest.json            hash of every file, the schema's version, rows, the head of each project's ledger

All of it is read in one transaction, so it is one moment, while people go on. SQLite and PostgreSQL
give the same bytes for the same rows, and with them the same digest. The folder holds names, password
hashes and the key that signs sessions: it is written `for_its_owner_alone`.

How one is proved, and a store filled from it: data/restoring.py.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from data.errors import BadInput, CheckFailed, StoreError, StoreTooNew, one_line
from data.jsonl import read_lines
from data.ledger import Head
from data.manifest import read_manifest, verify_folder
from data.schema import MIGRATIONS
from data.store import Tx, schema_version
from data.store_tables import count, rows, tables

if TYPE_CHECKING:
    from data.folder import Folder

WHAT = "backup"
_BLOCK = 2000  # rows written at once
_LEVEL = 3  # of gzip: beyond it a tenth less for twice the time
_PLAIN = frozenset({str, int, type(None)})  # a number past 64 bits reads as a float, and is none of them
README = """# backup

Everything a Concord store held at one moment. It holds people's names and password hashes: keep it to yourself.
`python -m annotate.restore DIR --store URL` fills an empty store from it, SQLite or PostgreSQL.

Concord 存储在某一时刻的全部内容。其中有人员姓名与密码哈希：请勿外传。
`python -m annotate.restore DIR --store URL` 用它填充一个空的存储，SQLite 或 PostgreSQL 均可。
"""

Step = Callable[[int], None]
"""Told how many more rows are done."""


class Backup(NamedTuple):
    """What a backup says of itself."""

    folder: Path
    schema: int
    rows: dict[str, int]
    """How many rows each table has; a table stands behind those it refers to."""
    heads: dict[str, Head]
    """The newest event of each project's ledger, by the project's name."""
    faults: list[str]
    """Where the ledger did not fit the store when the backup was made; a good one has none."""
    digest: str = ""


@contextmanager
def for_its_owner_alone() -> Iterator[None]:
    """What is made within is readable by nobody else."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def write_backup(tx: Tx, folder: "Folder", step: Step) -> Backup:
    """Write what a store holds, as one read transaction sees it, to a folder; not proved yet.

    Raises:
        StoreError: it is no Concord store.
        CheckFailed: a table gave fewer or more rows than it counts.
    """
    if tx.postgresql:
        tx.run("SET TRANSACTION READ ONLY")
    version = schema_version(tx)
    if not version:
        raise StoreError("there is no Concord store in this database; name another with --store")
    written = {}
    for name, columns in tables(tx).items():
        written[name] = _write_table(_file(folder.path, name), columns, rows(tx, name, columns), step)
        if written[name] != (counted := count(tx, name)):
            raise CheckFailed(f"the table {name} counts {counted:,} rows and gave {written[name]:,}; try again")
    heads = {p.name: Head(p.head_seq, p.head_hash) for p in tx.all("SELECT * FROM projects ORDER BY name")}
    folder.config["schema"] = version
    folder.inputs |= {"rows": written, "ledger": {name: head._asdict() for name, head in heads.items()}}
    folder.write_text("README.md", README)
    return Backup(folder.path, version, written, heads, [])


def count_rows(tx: Tx) -> int:
    """How many rows a backup of this store has to write."""
    return sum(count(tx, name) for name in tables(tx))


def _file(folder: Path, table: str) -> Path:
    return folder / "data" / f"{table}.jsonl.gz"


def _write_table(path: Path, columns: Sequence[str], rows: Iterator[Sequence[Any]], step: Step) -> int:
    path.parent.mkdir(exist_ok=True)
    written = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as out:
        out.write(orjson.dumps(columns) + b"\n")
        while block := list(islice(rows, _BLOCK)):
            out.write(b"".join([_spell(row) for row in block]))
            written += len(block)
            step(len(block))
    return written


def _spell(row: Sequence[Any]) -> bytes:
    """A row as one line; no value is changed by it."""
    plain = row if _PLAIN.issuperset(map(type, row)) else map(_wrapped, row)
    try:
        return orjson.dumps(tuple(plain), option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise BadInput(f"a row cannot be written down ({one_line(str(error))}): {one_line(str(row), 200)}") from None


def _wrapped(value: Any) -> Any:
    """What SQLite lets into a column of any type, and JSON has no exact spelling for."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return {"real": value.hex()} if isinstance(value, float) else value


def read_table(backup: Backup, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The rows of a table, each with its values in the order of `columns`.

    Raises:
        BadInput: the file cannot be read, or is not of this table.
    """
    path = _file(backup.folder, table)
    lines = read_lines(path)
    try:
        first = next(lines, None)
        if first is None or first.value != list(columns):
            raise BadInput(f"{path}: it does not begin with the columns of the table {table}; take another backup")
        for line in lines:
            row = line.value
            if line.problem or not isinstance(row, list) or len(row) != len(columns):
                why = line.problem or f"not a list of {len(columns)} values"
                raise BadInput(f"{path}, line {line.number}: {why}; take another backup")
            yield row if _PLAIN.issuperset(map(type, row)) else [_unwrapped(value) for value in row]
    except zlib.error as error:
        raise BadInput(f"{path} cannot be unpacked ({error}); take another backup") from None


def _unwrapped(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    try:
        ((kind, spelled),) = value.items()
        return {"bytes": bytes.fromhex, "real": float.fromhex}[kind](spelled)
    except (AttributeError, KeyError, ValueError, TypeError):
        raise BadInput(f"a backup holds no such value: {one_line(str(value), 100)}; take another backup") from None


def summary_of(backup: Backup) -> dict[str, Any]:
    """What it holds, for people: events of each project's ledger, tasks, judgments, people."""
    held: dict[str, Any] = {name: backup.rows.get(name, 0) for name in ("tasks", "judgments", "people")}
    return {"events": {name: head.seq for name, head in backup.heads.items()}, **held}


def open_backup(folder: Path) -> Backup:
    """A backup whose every byte is as it was written.

    Raises:
        NotThere: no folder, or no manifest in it.
        BadInput: it is no backup.
        CheckFailed: it is not as it was written; the first such file is named.
        StoreTooNew: a newer Concord wrote it.
    """
    manifest = read_manifest(folder)
    if manifest.what != WHAT:
        raise BadInput(f"{folder} is no backup but '{one_line(manifest.what, 40)}'; annotate.backup makes one")
    if faults := verify_folder(folder):
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise CheckFailed(f"{folder}: {faults[0]}{more}; take another backup")
    try:
        backup = Backup(
            folder,
            int(manifest.config["schema"]),
            {str(name): int(rows) for name, rows in manifest.inputs["rows"].items()},
            {name: Head(int(h["seq"]), str(h["hash"])) for name, h in manifest.inputs["ledger"].items()},
            [str(fault) for fault in manifest.inputs["faults"]],
            manifest.digest,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadInput(f"{folder}: its manifest lacks what a backup says of itself; take another backup") from None
    if not 1 <= backup.schema <= len(MIGRATIONS):
        raise StoreTooNew(
            f"{folder} has schema {backup.schema}, this Concord knows up to {len(MIGRATIONS)}; install a newer Concord"
        )
    return backup
