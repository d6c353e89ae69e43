"""The write-ahead log of requests: what is about to be asked, then what was answered, on disk before it counts.

One SQLite file (WAL, every commit synced). A request is found by its key (datagen/request.py). Each time it
is sent is an attempt, with a reservation written before it leaves and its outcome after:

    sent       reserved; if the log is opened and finds this, the process died with the request in flight:
               the server may have done the work, so it is counted as paid, and listed
    answered   the answer that counts
    rejected   an answer that was paid for and could not be used; another attempt followed
    free       refused by the server before any work (429, 5xx, no connection)
    lost       no whole answer came (time-out, broken connection): counted as paid

Writes of many requests are committed together: whoever waits is woken when his rows are on disk.
"""

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, Refused, StoreError, one_line
from data.records import canonical

VERSION = 1
STATES = ("sent", "answered", "rejected", "free", "lost")
SENT, ANSWERED, REJECTED, FREE, LOST = range(5)
_OF_THE_DISK = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, state INTEGER NOT NULL,
    stage TEXT NOT NULL, model TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '', started REAL NOT NULL,
    tokens INTEGER NOT NULL, cost INTEGER NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER);
CREATE TABLE IF NOT EXISTS replies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


class Spent(NamedTuple):
    """What a log has paid for, with open and lost attempts at their worst case."""

    tokens: int = 0
    cost: int = 0
    """In picodollars (10^-12 USD)."""


class InFlight(NamedTuple):
    """A request that was under way when an earlier process ended: possibly paid, and asked again."""

    key: bytes
    stage: str
    model: str
    tokens: int
    cost: int


class RequestLog:
    """An open log. One process at a time: a second one is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _only_one(path)
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}; name another log with --log") from None
        try:
            self._db = _open(path)
            self._answered, self._rejected, self.in_flight, self.spent = _take_stock(self._db)
        except sqlite3.DatabaseError as error:
            self._lock.close()
            if getattr(error, "sqlite_errorname", "").startswith(_OF_THE_DISK):  # the answers in it are paid for
                raise _cannot_write(path, error) from None
            raise StoreError(f"{path} is no request log: {one_line(str(error))}; name another with --log") from None
        except BadInput:
            self._lock.close()
            raise
        # Reads have a connection of their own: one that is shared would wait for the writer's disk.
        self._read = sqlite3.connect(path, isolation_level=None)
        self._last: int = self._db.execute("SELECT coalesce(max(id), 0) FROM attempts").fetchone()[0]
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="request-log")
        self._committing: asyncio.Task[None] | None = None

    def __contains__(self, key: bytes) -> bool:
        """Whether the log has the answer that counts for this key."""
        return key in self._answered

    def __len__(self) -> int:
        """How many keys have their answer."""
        return len(self._answered)

    def answer(self, key: bytes) -> bytes | None:
        """The body that answers this key, or None when it was never answered."""
        attempt = self._answered.get(key)
        return None if attempt is None else self._body(attempt, key)

    def rejected(self, key: bytes) -> list[bytes]:
        """The bodies of this key's earlier answers that could not be used, oldest first."""
        return [self._body(attempt, key) for attempt in self._rejected.get(key, [])]

    def _body(self, attempt: int, key: bytes) -> bytes:
        found = self._read.execute("SELECT body FROM replies WHERE id = ?", (attempt,)).fetchone()
        if found is None:
            raise StoreError(f"{self.path} has lost the answer of {key.hex()}; it was changed by something else")
        body: bytes = found[0]
        return body

    async def reserve(self, key: bytes, stage: str, model: str, tokens: int, cost: int) -> int:
        """Write that this request is about to be sent, and what it may cost at worst; returns the attempt's id."""
        self._last += 1
        self._pending.append(
            (
                "INSERT INTO attempts (id, key, state, stage, model, started, tokens, cost)"
                " VALUES (?, ?, 0, ?, ?, ?, ?, ?)",
                (self._last, key, stage, model, time.time(), tokens, cost),
            )
        )
        attempt = self._last
        await self._on_disk()
        return attempt

    async def settle(
        self,
        attempt: int,
        key: bytes,
        state: int,
        cause: str,
        tokens: int,
        cost: int,
        usage: tuple[int, int] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Write how an attempt ended, what it cost, and its body; on disk when this returns."""
        prompt, completion = usage or (None, None)
        self._pending.append(
            (
                "UPDATE attempts SET state = ?, cause = ?, tokens = ?, cost = ?, prompt_tokens = ?,"
                " completion_tokens = ? WHERE id = ?",
                (state, cause, tokens, cost, prompt, completion, attempt),
            )
        )
        if body is not None:
            self._pending.append(("INSERT INTO replies (id, body) VALUES (?, ?)", (attempt, body)))
        await self._on_disk()
        if state == ANSWERED:
            self._answered[key] = attempt

    async def _on_disk(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        await waiter

    async def _commit_all(self) -> None:
        """Commit what has gathered, again and again until nothing is left: while one batch syncs, the next fills."""
        loop = asyncio.get_running_loop()
        while self._pending:
            rows, waiting = self._pending, self._waiting
            self._pending, self._waiting = [], []
            try:
                await loop.run_in_executor(self._writer, _commit, self._db, rows)
            except sqlite3.Error as error:
                trouble = _cannot_write(self.path, error)
                for waiter in [*waiting, *self._waiting]:
                    if not waiter.done():
                        waiter.set_exception(trouble)
                break
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
        self._committing = None

    def per_stage(self) -> list[tuple[str, str, str, int, int, int]]:
        """Rows of (stage, state, cause, attempts, tokens, cost) over the whole log."""
        rows = self._read.execute(
            "SELECT stage, state, cause, count(*), sum(tokens), sum(cost) FROM attempts"
            " GROUP BY stage, state, cause ORDER BY stage, state, cause"
        )
        return [(stage, STATES[state], cause, n, tokens, cost) for stage, state, cause, n, tokens, cost in rows]

    def listed(self, state: str | None, cause: str | None) -> Iterator[bytes]:
        """The attempts that ended so, oldest first, a JSON line each: what they cost, and the body that came."""
        rows = self._read.execute(
            "SELECT key, stage, model, state, cause, tokens, cost, body FROM attempts LEFT JOIN replies USING (id)"
            " WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR cause = ?2) ORDER BY id",
            (None if state is None else STATES.index(state), cause),
        )
        for key, stage, model, ended, why, tokens, cost, body in rows:
            line = {"key": key.hex(), "stage": stage, "model": model, "state": STATES[ended], "cause": why}
            line |= {"tokens": tokens, "picodollars": cost}
            if body is not None:
                line["body"] = body.decode("utf-8", "replace")
            yield canonical(line)

    def close(self) -> None:
        """Finish writing and let go of the file."""
        self._writer.shutdown()
        self._read.close()
        self._db.close()
        self._lock.close()


def _open(path: Path) -> sqlite3.Connection:
    # opened in one thread and used by the writer's
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        db.close()
        raise BadInput(f"{path} was written by a newer version of Concord ({version}, this one knows {VERSION})")
    # a page of 8 kB holds a usual answer whole; WAL lets the loop read while the writer commits
    db.execute("PRAGMA page_size = 8192")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(_SCHEMA)
    db.execute(f"PRAGMA user_version = {VERSION}")
    return db


def _cannot_write(path: Path, error: sqlite3.Error) -> StoreError:
    full = "the disk is full; make room" if "full" in str(error) else f"{one_line(str(error))}; see to its disk"
    return StoreError(f"{path} cannot be written: {full}, then run the same command again")


def _commit(db: sqlite3.Connection, rows: list[tuple[str, tuple[Any, ...]]]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for sql, values in rows:
            db.execute(sql, values)
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _take_stock(
    db: sqlite3.Connection,
) -> tuple[dict[bytes, int], dict[bytes, list[int]], list[InFlight], Spent]:
    """What the log holds: answered keys, attempts of the others that were rejected, what was in flight, what was spent.

    What an earlier process left in flight is settled here, as lost: counted at its worst case for good.
    """
    answered = dict(db.execute("SELECT key, id FROM attempts WHERE state = ? ORDER BY id", (ANSWERED,)))
    open_now = db.execute("SELECT key, stage, model, tokens, cost FROM attempts WHERE state = ? ORDER BY id", (SENT,))
    in_flight = [InFlight(*row) for row in open_now]
    db.execute("UPDATE attempts SET state = ?, cause = 'killed' WHERE state = ?", (LOST, SENT))
    rejected: dict[bytes, list[int]] = {}
    for key, attempt in db.execute("SELECT key, id FROM attempts WHERE state = ? ORDER BY id", (REJECTED,)):
        if key not in answered:
            rejected.setdefault(key, []).append(attempt)
    tokens, cost = db.execute("SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0) FROM attempts").fetchone()
    return answered, rejected, in_flight, Spent(tokens, cost)


def _only_one(path: Path) -> Any:
    """A lock held as long as the file is open; Refused when another process has it."""
    lock = path.with_name(path.name + ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Refused(f"{path} is in use by another run; wait for it, or name another with --log") from None
    return lock
