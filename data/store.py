"""The store: what many people write at once, in SQLite or PostgreSQL.

    store = open_store("sqlite:///workspace/concord.db")
    with store.write() as tx:
        tx.run("UPDATE projects SET paused = 1 WHERE name = :name", name="demo")

SQL is written as SQL, with :named parameters, in the words both databases share; a
`Tx` runs it. `read()` sees one frozen moment, `write()` commits whole or not at all.
On SQLite one writer works at a time and commits reach the disk before they are
acknowledged (WAL, synchronous=FULL).
"""

import os
import re
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from data.errors import BadInput, StoreDown, StoreError, StoreTooNew, one_line
from data.schema import MIGRATIONS
from data.store_turns import Asked, Turns
from data.store_tx import Tx as Tx

SQLITE_BUSY_S = 30
TRIES = 5
T = TypeVar("T")


class Store:
    """An open store. Threads may share it; a process forks before it opens one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.postgresql = engine.dialect.name == "postgresql"
        # SQLite lets one writer in and makes others poll; queueing here is fair and wakes at once.
        self._writer = threading.Lock()
        self._turns: defaultdict[object, Turns[Callable[[Tx], Any]]] = defaultdict(lambda: Turns(self._together))

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that only reads, all of it from the same moment."""
        with _translated(), self.engine.connect() as connection:
            if self.postgresql:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield Tx(connection)

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that commits when the block ends, and leaves no trace when it raises."""
        if self.postgresql:
            with _translated(), self.engine.begin() as connection:
                yield Tx(connection)
            return
        with (
            self._writer,
            _translated(),
            self.engine.connect() as connection,
            connection.execution_options(concord_write=True).begin(),
        ):
            yield Tx(connection)

    def change(self, work: Callable[[Tx], T], about: object = None) -> T:
        """Run `work` in a write transaction, again when the database asks for another try.

        Asked again: a deadlock or serialisation failure, and a claim that met the index
        which keeps one person from holding a task twice. Work that waits at the same time is
        committed together (data/store_turns.py); each still holds or fails alone.

        Args:
            about: what the work changes, such as a project: on PostgreSQL only work about the same
                thing is committed together, since it would wait for the same lock; None stays alone.
        """
        if self.postgresql and about is None:
            return self._alone(work)
        return self._turns[about if self.postgresql else None].ask(work)  # type: ignore[no-any-return]

    def _alone(self, work: Callable[[Tx], T]) -> T:
        for attempt in range(TRIES):
            try:
                with self.write() as tx:
                    return work(tx)
            except exc.IntegrityError:
                if attempt == TRIES - 1:
                    raise
            except exc.OperationalError as error:
                if attempt == TRIES - 1:
                    raise StoreDown("the store is too busy: others changed the same rows; try again") from error
            time.sleep(0.002 * 2**attempt)
        raise AssertionError("unreachable")

    def _together(self, batch: list[Asked[Callable[[Tx], Any]]]) -> None:
        """Do each work of a batch within a savepoint, all of them in one transaction; one alone needs none."""
        if self.postgresql and len(batch) == 1:
            batch[0].result = self._alone(batch[0].work)
            return
        with self.write() as whole:
            for asked in batch:
                for _ in range(TRIES):
                    whole.run("SAVEPOINT work")
                    tx = whole.fresh()
                    try:
                        with _translated():
                            asked.result, asked.error = asked.work(tx), None
                    except Exception as error:
                        asked.error = error
                        whole.run("ROLLBACK TO SAVEPOINT work")
                    whole.run("RELEASE SAVEPOINT work")
                    if not _worth_another_try(asked.error):
                        break

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _worth_another_try(error: BaseException | None) -> bool:
    """Whether the database refused for what others did at the same moment."""
    states = {"40001", "40P01"}  # serialisation failure, deadlock
    return isinstance(error, exc.IntegrityError) or getattr(getattr(error, "orig", None), "sqlstate", None) in states


_REFUSED = re.compile(r"authentication failed|no password supplied|(role|database) \".*\" does not exist|pg_hba\.conf")
"""What PostgreSQL says to a user, a password or a database that it does not take."""


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's words for 'cannot reach it' into StoreDown, and for 'no room for this value' into BadInput."""
    try:
        yield
    except (exc.DataError, OverflowError) as error:  # such as a NUL in text on PostgreSQL, a number past 64 bits
        said = str(getattr(error, "orig", error))
        raise BadInput(f"a value does not fit the store: {one_line(said, 200)}") from error
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
        if state in {"40001", "40P01", "SQLITE_ERROR"}:  # worth another try, or wrong SQL: not a store away
            raise
        if state in {"53100", "SQLITE_FULL"}:
            raise StoreError("the disk of the store is full; make room on it and try again") from error
        said = one_line(str(error.orig), 200)
        if _REFUSED.search(said):
            raise StoreDown(f"the store refuses ({said}); check its user, password and database") from error
        raise StoreDown(f"the store does not answer ({said}); is it running?") from error
    except exc.TimeoutError as error:
        raise StoreDown("the store is too busy: no connection came free; try again") from error


def default_url(workspace: Path) -> str:
    """CONCORD_STORE, or SQLite in the workspace."""
    return os.environ.get("CONCORD_STORE") or f"sqlite:///{workspace / 'concord.db'}"


def sqlite_file(url: str) -> Path | None:
    """The file of a store in SQLite; None when the URL is another's, or no URL at all."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        return None
    return Path(parsed.database) if parsed.drivername.startswith("sqlite") and parsed.database else None


def sqlite_url(path: Path) -> str:
    """The URL of a store in this file, whatever signs its name holds."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_store(url: str, *, create: bool = True, pool: int = 20, durable: bool = True, upgrade: bool = True) -> Store:
    """Open a store and bring its schema up to date.

    Args:
        url: sqlite:///path or postgresql://user@host/name.
        create: make a SQLite file that is not there; False raises StoreError instead.
        pool: connections kept open.
        durable: False skips the wait for the disk on SQLite (for what is thrown away only).
        upgrade: False leaves the schema as it is, none at all too; `schema_version` says which.

    Raises:
        BadInput: the URL is not one of the two kinds.
        StoreDown: it does not answer.
        StoreTooNew: a newer Concord wrote it.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise BadInput(f"'{url}' is no store URL; write sqlite:///path or postgresql://user@host/name") from None
    shown = parsed.render_as_string(hide_password=True)
    family = parsed.drivername.split("+")[0]
    if family == "sqlite":
        engine = _open_sqlite(parsed.database, create, pool, durable)
    elif family in ("postgresql", "postgres"):
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=pool,
            max_overflow=pool,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 4},
        )
    else:
        raise BadInput(f"the store '{family}' is not supported; use sqlite:///path or postgresql://user@host/name")
    store = Store(engine)
    try:
        with store.read() as tx:
            version = schema_version(tx)
        if upgrade and version < len(MIGRATIONS):
            migrate(store)
    except exc.DatabaseError as error:
        store.close()
        raise StoreError(f"{shown}: not a Concord store ({one_line(str(error.orig), 200)})") from None
    except StoreDown as error:
        store.close()
        raise StoreDown(f"{shown}: {error}") from None
    except BaseException:
        store.close()
        raise
    return store


def _open_sqlite(database: str | None, create: bool, pool: int, durable: bool) -> Engine:
    if not database or database == ":memory:":
        raise BadInput("a store lives in a file; write sqlite:///path/to/concord.db")
    path = Path(database)
    if not create and not path.exists():
        raise StoreError(f"there is no store at {path}; load something first, or name it with --store")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {path.parent} cannot be made ({error.strerror})") from None
    with suppress(OSError):  # SQLite says better what is wrong with the place
        # For its owner alone, whatever the umask: it holds hashes of passwords and the key of sessions. One that is
        # there is never opened but by SQLite: closing it here would take this process's locks on it away.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        paramstyle="named",
        pool_size=pool,
        max_overflow=pool,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_S},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours to write
        _journal_in_wal(connection)
        for pragma in (
            f"synchronous={'FULL' if durable else 'OFF'}",
            "foreign_keys=ON",
            "cache_size=-64000",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("concord_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _journal_in_wal(connection: Any) -> None:
    """Ask for WAL until it is granted: a new file that another one writes to is refused here without SQLite's wait."""
    until = time.monotonic() + SQLITE_BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
        time.sleep(0.01)


def migrate(store: Store) -> None:
    """Bring the schema to this version, all steps in one transaction; refuse a newer store."""
    with store.write() as tx:
        hold_schema(tx)
        take_steps(tx, schema_version(tx))


def hold_schema(tx: Tx) -> None:
    """Let nobody else change the schema until the transaction ends; on SQLite one writes at a time anyway."""
    if tx.postgresql:
        tx.run("SELECT pg_advisory_xact_lock(7093251)")


def take_steps(tx: Tx, since: int, until: int | None = None) -> None:
    """Bring the schema from one version to another (the newest), and write down which it is."""
    until = len(MIGRATIONS) if until is None else until
    for step in MIGRATIONS[since:until]:
        step(tx._connection)
    tx.run("DELETE FROM meta WHERE key = 'schema'")
    tx.run("INSERT INTO meta (key, value) VALUES ('schema', :value)", value=str(until))


def schema_version(tx: Tx) -> int:
    """The version of the store's schema, 0 when there is none yet; StoreTooNew for one we do not know."""
    if tx.postgresql:
        there = tx.value("SELECT to_regclass('meta')") is not None
    else:
        there = tx.value("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is not None
    told = str(tx.value("SELECT value FROM meta WHERE key = 'schema'") or 0) if there else "0"
    if not told.isdecimal():
        raise StoreError(f"its table meta tells no version of the schema but '{one_line(told, 40)}'")
    version = int(told)
    if version > (newest := len(MIGRATIONS)):
        raise StoreTooNew(
            f"this store has schema {version}, this Concord knows up to {newest}; install a newer Concord"
        )
    return version
