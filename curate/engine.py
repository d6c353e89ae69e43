"""The one door to DuckDB: opens a connection with settings under which a result can be had again.

    with engine() as con:
        con.execute("SELECT count(*) FROM read_parquet(?)", [pattern(path)]).fetchone()

Everybody else receives the connection. Values reach SQL as parameters or as Arrow tables; the
only text ever put into a statement is a name of our own. No extension is downloaded or loaded.

DuckDB's sums of doubles differ with the number of threads: sum whole numbers, or fetch sorted
rows and reduce them in a fixed order.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from data.errors import BadInput, one_line
from data.parallel import how_many

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

Connection: TypeAlias = "DuckDBPyConnection"
"""A DuckDB connection, for annotations; only this module makes one."""


@contextmanager
def engine(
    threads: int | None = None, memory_mb: int | None = None, folder: Path | None = None
) -> Iterator["DuckDBPyConnection"]:
    """A fresh DuckDB in memory, closed at the end; what does not fit spills to disk.

    Args:
        threads: how many work at a time; by default as many as there are cores.
        memory_mb: megabytes DuckDB may hold before it spills; by default 80% of the machine's.
        folder: where it spills to; by default a temporary folder of its own, removed at the end.

    Raises:
        BadInput: threads or memory out of range, or neither memory nor disk suffice.
    """
    import duckdb

    if threads is not None:
        threads = how_many(threads)
    if memory_mb is not None and memory_mb < 64:
        raise BadInput(f"--memory: {memory_mb} MB is too little; give at least 64")
    spill = Path(tempfile.mkdtemp(prefix="concord-spill-", dir=folder))
    con = duckdb.connect(
        config={
            "temp_directory": str(spill),
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            **({"threads": str(threads)} if threads else {}),
            **({"memory_limit": f"{memory_mb}MB"} if memory_mb else {}),
        }
    )
    try:
        con.execute("SET enable_progress_bar = false")
        con.execute("SET TimeZone = 'UTC'")
        yield con
    except duckdb.OutOfMemoryException as error:
        raise BadInput(f"memory and disk do not suffice: {one_line(str(error), 200)}; give --memory or room") from error
    finally:
        con.close()
        shutil.rmtree(spill, ignore_errors=True)


def bad_file(error: BaseException) -> bool:
    """Whether DuckDB refused what a file holds (rather than what we asked)."""
    import duckdb

    return isinstance(error, (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException))


def pattern(path: Path) -> str:
    """A file's path as DuckDB's readers take it: exactly this file, whatever characters are in its name."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def add_rows(con: "DuckDBPyConnection", table: str, rows: "pa.Table") -> None:
    """Append an Arrow table to a table of ours, by column name."""
    con.register("_added", rows)
    try:
        con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM _added")
    finally:
        con.unregister("_added")


def number_names(con: "DuckDBPyConnection", name: str, sources: Iterable[tuple[str, str]]) -> int:
    """Make the table `name` (id INTEGER, name VARCHAR): the distinct texts of some columns, numbered from 0.

    Whole numbers come first, by size, then other texts, by their bytes: the numbering is the same
    for any order of the rows.

    Args:
        sources: (table, column) pairs of ours; NULL is no name.

    Returns:
        How many names there are.
    """
    union = " UNION ".join(f"SELECT DISTINCT {column} AS name FROM {table}" for table, column in sources)
    con.execute(
        f"CREATE OR REPLACE TABLE {name} AS"
        " SELECT (row_number() OVER (ORDER BY try_cast(name AS BIGINT) NULLS LAST, name) - 1)::INTEGER AS id, name"
        f" FROM ({union}) WHERE name IS NOT NULL ORDER BY id"
    )
    row = con.execute(f"SELECT count(*) FROM {name}").fetchone()
    assert row is not None
    return int(row[0])
