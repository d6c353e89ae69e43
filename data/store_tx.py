"""One transaction: runs SQL text with named parameters, straight through the driver.

SQLAlchemy opens, pools, begins and commits; a statement itself goes to the driver's own
cursor, because on the label path SQLAlchemy's part of a statement costs four times what
SQLite's does (46 against 11 µs, measured). What the driver raises is raised as
SQLAlchemy's error of the same name, so that callers see one family.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Row, TextClause, bindparam, exc, text

from data.errors import BadInput, one_line


@lru_cache(maxsize=1024)
def _statement(sql: str, dialect: Dialect) -> str:
    """The SQL with its :names as the driver writes them."""
    return str(text(sql).compile(dialect=dialect))


@lru_cache(maxsize=1024)
def _record(columns: tuple[str, ...]) -> Callable[[Any], Any]:
    """Makes a named tuple of an answer's row; a column without a usable name has its place only."""
    record: Any = namedtuple("Row", columns, rename=True)  # type: ignore[misc]
    make: Callable[[Any], Any] = record._make
    return make


def _columns(cursor: Any) -> tuple[str, ...]:
    return tuple(column[0] for column in cursor.description)


def _as_sqlalchemy(sql: str, error: Exception, dialect: Dialect) -> BaseException:
    wrapped: BaseException = exc.DBAPIError.instance(sql, None, error, dialect.loaded_dbapi.Error, dialect=dialect)
    return wrapped


def _listing(sql: str, lists: tuple[str, ...]) -> TextClause:
    return text(sql).bindparams(*(bindparam(name, expanding=True) for name in lists))


class Tx:
    """One transaction: runs SQL text with named parameters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._now: int | None = None
        self.postgresql = connection.dialect.name == "postgresql"

    def _do(self, sql: str, values: Any, many: bool = False) -> Any:
        """A driver's cursor after running the statement (once for each of `values` when `many`)."""
        dialect = self._connection.dialect
        cursor = self._driver.cursor()
        try:
            (cursor.executemany if many else cursor.execute)(_statement(sql, dialect), values)
        except dialect.loaded_dbapi.Error as error:
            raise _as_sqlalchemy(sql, error, dialect) from error
        return cursor

    def _first(self, sql: str, values: Any) -> tuple[Any, tuple[str, ...]]:
        cursor = self._do(sql, values)
        row, columns = cursor.fetchone(), _columns(cursor)
        cursor.close()
        return row, columns

    def fresh(self) -> "Tx":
        """The same transaction for other work, which reads its own clock."""
        return Tx(self._connection)

    def run(self, sql: str, **values: Any) -> int:
        """Run a statement; returns how many rows it touched."""
        return int(self._do(sql, values).rowcount)

    def many(self, sql: str, rows: Sequence[dict[str, Any]]) -> None:
        """Run a statement once for each row of values."""
        if rows:
            self._do(sql, rows, many=True)

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put many rows into a table in bounded memory, by the way the database is fastest at.

        Raises:
            BadInput: a row does not fit the table, such as a NUL in text on PostgreSQL, or comes twice.
        """
        named = ", ".join(f'"{column}"' for column in columns)
        dialect = self._connection.dialect
        cursor = self._driver.cursor()
        try:
            if self.postgresql:
                with cursor.copy(f'COPY "{table}" ({named}) FROM STDIN') as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                places = ", ".join("?" * len(columns))
                cursor.executemany(f'INSERT INTO "{table}" ({named}) VALUES ({places})', rows)
        except (dialect.loaded_dbapi.Error, OverflowError, UnicodeError) as error:
            shut = dialect.loaded_dbapi.OperationalError
            if isinstance(error, shut):
                raise _as_sqlalchemy(f"filling {table}", error, dialect) from error
            raise BadInput(f"a row does not fit the table {table}: {one_line(str(error), 200)}") from error
        finally:
            cursor.close()

    def one(self, sql: str, **values: Any) -> Any:
        """The first row of an answer as a named tuple, or None."""
        row, columns = self._first(sql, values)
        return None if row is None else _record(columns)(row)

    def all(self, sql: str, **values: Any) -> Sequence[Any]:
        """All rows of an answer, as named tuples. A list among the values fits `IN :name`."""
        lists = tuple(name for name, value in values.items() if isinstance(value, list))
        if lists:
            return self._connection.execute(_listing(sql, lists), values).all()
        cursor = self._do(sql, values)
        return list(map(_record(_columns(cursor)), cursor.fetchall()))

    def stream(self, sql: str, **values: Any) -> Iterator[Row[Any]]:
        """The rows of an answer one by one, in bounded memory."""
        with self._connection.execute(text(sql), values, execution_options={"yield_per": 1000}) as rows:
            yield from rows

    def tuples(self, sql: str, **values: Any) -> Iterator[Sequence[Any]]:
        """As `stream`, without names: for the few readers that see every row of a store. Lists are as in `all`."""
        asked = _listing(sql, tuple(name for name, value in values.items() if isinstance(value, list)))
        with self._connection.execute(asked, values, execution_options={"yield_per": 1000}) as rows:
            if self.postgresql:  # SQLAlchemy fetches its rows ahead
                yield from rows
            else:  # SQLite's own cursor gives tuples in half the time
                yield from cast("Iterator[Sequence[Any]]", rows.cursor)

    def value(self, sql: str, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row, _ = self._first(sql, values)
        return None if row is None else row[0]

    def reserve(self, counter: str, count: int) -> int:
        """Take `count` numbers from a counter; returns the first."""
        last = self.value(
            "UPDATE counters SET value = value + :count WHERE name = :name RETURNING value", count=count, name=counter
        )
        return int(last) - count + 1

    def now(self) -> int:
        """The database's clock in milliseconds since 1970, read once a transaction.

        The only clock that decides a lease. Read it after taking a lock: waiting takes time.
        """
        if self._now is None:
            clock = (
                "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
                if self.postgresql
                else "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
            )
            self._now = int(self.value(clock))
        return self._now
