"""A store's tables as rows, apart from what they mean: for copying a store whole, from one database to another.

Tables come in an order in which each stands behind those it refers to, rows in the order of
their keys, which is the same on both databases. Names of tables and columns are the store's own.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import exc

from data.errors import StoreError, one_line
from data.schema import metadata
from data.store import schema_version, take_steps
from data.store_tx import Tx


def tables(tx: Tx) -> dict[str, list[str]]:
    """The tables of ours that this store has, each with its columns; those referred to come first."""
    found = {table.name: _columns(tx, table.name) for table in metadata.sorted_tables}
    return {name: columns for name, columns in found.items() if columns}


def _columns(tx: Tx, table: str) -> list[str]:
    asked = (
        "SELECT column_name AS name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = :name ORDER BY ordinal_position"
        if tx.postgresql
        else "SELECT name FROM pragma_table_info(:name) ORDER BY cid"
    )
    return [str(row.name) for row in tx.all(asked, name=table)]


def count(tx: Tx, table: str) -> int:
    """How many rows a table has."""
    return int(tx.value(f'SELECT COUNT(*) FROM "{table}"'))


def rows(tx: Tx, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Every row of a table by its key (a table without one: by all its columns), in bounded memory."""
    named = ", ".join(f'"{column}"' for column in columns)
    known = metadata.tables[table]
    keys = [column.name for column in known.primary_key.columns if column.name in columns] or columns
    # SQLite compares text byte by byte; PostgreSQL does where it is told to.
    bytewise = {c.name: ' COLLATE "C"' for c in known.columns if tx.postgresql and str(c.type) == "TEXT"}
    order = ", ".join(f'"{key}"{bytewise.get(key, "")}' for key in keys)
    return tx.tuples(f'SELECT {named} FROM "{table}" ORDER BY {order}')


def is_empty(tx: Tx) -> bool:
    """Whether a store holds no project and nobody; on PostgreSQL it stays so until the transaction ends."""
    if not schema_version(tx):
        return True
    if tx.postgresql:
        tx.run("LOCK TABLE projects, people IN ACCESS EXCLUSIVE MODE")
    return not count(tx, "projects") and not count(tx, "people")


def lay_tables(tx: Tx, version: int) -> dict[str, list[str]]:
    """Take the store's tables away, rows and all, and lay those of a schema version, without a row.

    Returns:
        The tables and their columns, as `tables` does.

    Raises:
        StoreError: tables of somebody else's are in the way, or lean on ours.
    """
    try:
        if schema_version(tx):
            for name in reversed(tables(tx)):
                tx.run(f'DROP TABLE "{name}"')
        take_steps(tx, 0, version)
    except (exc.OperationalError, exc.ProgrammingError, exc.NotSupportedError, exc.InternalError) as error:
        raise StoreError(f"the store's tables cannot be laid anew ({one_line(str(error.orig), 200)})") from error
    laid = tables(tx)
    for name in reversed(laid):
        tx.run(f'DELETE FROM "{name}"')
    return laid


def after_filling(tx: Tx) -> None:
    """On PostgreSQL let the numbers it gives go on behind those there are, and let it look at what it holds."""
    if not tx.postgresql:
        return  # SQLite takes the number after the largest
    for table, columns in tables(tx).items():
        for column in columns:
            sequence = tx.value("SELECT pg_get_serial_sequence(:table, :column)", table=table, column=column)
            if sequence:
                tx.value(
                    f'SELECT setval(:sequence, GREATEST(COALESCE(MAX("{column}"), 0), 1), COUNT(*) > 0) FROM "{table}"',
                    sequence=sequence,
                )
        tx.run(f'ANALYZE "{table}"')
