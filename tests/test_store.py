"""The store: made and migrated, refused when it is not ours or too new, exact when it is down."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, exc, text

from data import schema, store
from data.errors import BadInput, StoreDown, StoreError, StoreTooNew
from data.schema import MIGRATIONS
from data.store import Store, Tx, migrate, open_store


def tables(opened: Store) -> set[str]:
    from sqlalchemy import inspect

    return set(inspect(opened.engine).get_table_names())


def version(opened: Store) -> str:
    with opened.read() as tx:
        return str(tx.value("SELECT value FROM meta WHERE key = 'schema'"))


def test_a_new_store_has_every_table_and_says_its_version(store_url: str) -> None:
    opened = open_store(store_url)
    assert tables(opened) == set(schema.metadata.tables)
    assert version(opened) == str(len(MIGRATIONS))
    opened.close()


def test_opening_again_keeps_what_is_there(store_url: str) -> None:
    first = open_store(store_url)
    with first.write() as tx:
        tx.run("INSERT INTO meta (key, value) VALUES ('mine', 'kept')")
    first.close()
    again = open_store(store_url, create=False)
    with again.read() as tx:
        assert tx.value("SELECT value FROM meta WHERE key = 'mine'") == "kept"
    again.close()


def test_an_older_store_is_brought_forward_step_by_step(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_store(store_url)

    def step(connection: Any) -> None:
        connection.execute(text("CREATE TABLE later (n INTEGER)"))
        connection.execute(text("INSERT INTO later SELECT COUNT(*) FROM projects"))

    monkeypatch.setattr(store, "MIGRATIONS", [*MIGRATIONS, step])
    migrate(opened)
    migrate(opened)
    with opened.read() as tx:
        assert [tuple(r) for r in tx.all("SELECT n FROM later")] == [(0,)]
    assert version(opened) == str(len(MIGRATIONS) + 1)
    opened.close()


def test_a_step_that_fails_leaves_the_store_at_the_version_before(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_store(store_url)

    def step(connection: Any) -> None:
        connection.execute(text("CREATE TABLE half (n INTEGER)"))
        raise RuntimeError("the machine went away")

    monkeypatch.setattr(store, "MIGRATIONS", [*MIGRATIONS, step])
    with pytest.raises(RuntimeError):
        migrate(opened)
    assert "half" not in tables(opened)
    assert version(opened) == str(len(MIGRATIONS))
    opened.close()


def test_a_store_from_a_newer_version_is_refused_and_left_alone(store_url: str) -> None:
    opened = open_store(store_url)
    with opened.write() as tx:
        tx.run("UPDATE meta SET value = '999' WHERE key = 'schema'")
    opened.close()
    with pytest.raises(StoreTooNew, match=r"999.*newer Concord"):
        open_store(store_url)
    with pytest.raises(StoreTooNew):
        open_store(store_url, create=False)


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"dear diary\n" * 1000)
    with pytest.raises(StoreError, match="not a Concord store"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == b"dear diary\n" * 1000


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE tasks (id INTEGER)")
    other.close()
    with pytest.raises(StoreError, match="not a Concord store"):
        open_store(f"sqlite:///{path}")


def test_the_folder_of_a_new_store_is_made(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/new/deep/concord.db").close()
    assert (tmp_path / "new/deep/concord.db").is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="folder"):
        open_store(f"sqlite:///{tmp_path}/file/concord.db")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "concord.db").mkdir()
    with pytest.raises(StoreError, match=r"concord\.db"):
        open_store(f"sqlite:///{tmp_path}/concord.db")


def test_a_store_that_is_not_there_is_not_made_when_only_reading_was_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        open_store(f"sqlite:///{tmp_path}/none.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_store_is_for_its_owner_alone_and_one_that_was_opened_to_others_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    before = os.umask(0o022)
    try:
        opened = open_store(f"sqlite:///{path}")
        with opened.write() as tx:
            tx.run("INSERT INTO meta (key, value) VALUES ('mine', 'kept')")
        modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
        assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm"), 0o600)
        opened.close()
        path.chmod(0o640)
        open_store(f"sqlite:///{path}").close()
        assert path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


@pytest.mark.parametrize("url", ["", "concord.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        open_store(url)


def test_a_postgresql_that_is_not_there_is_down() -> None:
    with pytest.raises(StoreDown, match="does not answer"):
        open_store("postgresql://nobody@127.0.0.1:9/none")


def test_a_postgresql_that_refuses_is_not_called_down(fresh_pg: str) -> None:
    for mine, other in (("postgres@", "stranger@"), ("@/", "@/not_")):
        with pytest.raises(StoreDown, match=r"refuses \(.* does not exist\); check its user, password and database"):
            open_store(fresh_pg.replace(mine, other))


def test_a_postgresql_that_goes_down_is_down_and_comes_back(stoppable_pg: Any) -> None:
    opened = open_store(stoppable_pg.create())
    with opened.write() as tx:
        tx.run("INSERT INTO meta (key, value) VALUES ('mine', 'kept')")
    stoppable_pg.stop()
    for _ in range(2):
        with pytest.raises(StoreDown), opened.read() as tx:
            tx.value("SELECT 1")
        with pytest.raises(StoreDown):
            opened.change(lambda tx: tx.run("DELETE FROM meta"))
    stoppable_pg.start()
    with opened.read() as tx:
        assert tx.value("SELECT value FROM meta WHERE key = 'mine'") == "kept"
    opened.close()


def test_a_postgresql_that_stops_inside_a_transaction_is_down(stoppable_pg: Any) -> None:
    opened = open_store(stoppable_pg.create())

    def work(tx: Tx) -> None:
        tx.run("INSERT INTO meta (key, value) VALUES ('mine', 'lost')")
        stoppable_pg.stop()
        tx.run("INSERT INTO meta (key, value) VALUES ('mine2', 'lost')")

    with pytest.raises(StoreDown):
        opened.change(work)
    stoppable_pg.start()
    with opened.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM meta WHERE key LIKE 'mine%'") == 0
    opened.close()


def test_a_write_that_raises_leaves_no_trace(store_url: str) -> None:
    opened = open_store(store_url)

    def work(tx: Tx) -> None:
        tx.run("INSERT INTO meta (key, value) VALUES ('half', 'x')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        opened.change(work)
    with opened.read() as tx:
        assert tx.value("SELECT 1 FROM meta WHERE key = 'half'") is None
    opened.close()


def test_a_reader_sees_one_moment(store_url: str) -> None:
    opened = open_store(store_url)
    with opened.read() as reader:
        assert reader.value("SELECT COUNT(*) FROM meta WHERE key = 'new'") == 0
        with opened.write() as tx:
            tx.run("INSERT INTO meta (key, value) VALUES ('new', 'x')")
        assert reader.value("SELECT COUNT(*) FROM meta WHERE key = 'new'") == 0
    with opened.read() as reader:
        assert reader.value("SELECT COUNT(*) FROM meta WHERE key = 'new'") == 1
    opened.close()


def test_a_change_that_meets_a_unique_index_is_tried_again_then_given_up(store_url: str) -> None:
    opened = open_store(store_url)
    tries: list[int] = []

    def work(tx: Tx) -> None:
        tries.append(1)
        tx.run("INSERT INTO meta (key, value) VALUES ('schema', 'x')")

    with pytest.raises(exc.IntegrityError):
        opened.change(work)
    assert len(tries) == store.TRIES
    opened.close()


def waiting_together(opened: Store, works: list[Any]) -> list[Any]:
    """What each work came to (its result or its error), all asked for while somebody else is writing."""
    came_to: list[Any] = [None] * len(works)

    def ask(place: int) -> None:
        try:
            came_to[place] = opened.change(works[place])
        except Exception as error:
            came_to[place] = error

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(works))]
    with opened.write() as tx:
        tx.value("SELECT 1")
        for thread in threads:
            thread.start()
        while len(opened._turns[None]._waiting) < len(works) and not opened.postgresql:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    return came_to


def test_changes_that_wait_together_hold_or_fail_each_alone(store_url: str) -> None:
    opened = open_store(store_url)

    def keep(key: str, fails: bool) -> Any:
        def work(tx: Tx) -> str:
            tx.run("INSERT INTO meta (key, value) VALUES (:key, 'kept')", key=key)
            if fails:
                raise BadInput(f"{key} is not wanted")
            return key

        return work

    came_to = waiting_together(opened, [keep(f"k{n}", fails=n % 3 == 1) for n in range(9)])
    for n, one in enumerate(came_to):
        assert str(one) == (f"k{n} is not wanted" if n % 3 == 1 else f"k{n}")
    with opened.read() as tx:
        there = {row.key for row in tx.all("SELECT key FROM meta WHERE value = 'kept'")}
    assert there == {f"k{n}" for n in range(9) if n % 3 != 1}
    opened.close()


def test_changes_that_wait_together_are_committed_once(tmp_path: Path) -> None:
    opened = open_store(f"sqlite:///{tmp_path}/store.db")
    commits: list[int] = []
    event.listen(opened.engine, "commit", lambda _: commits.append(1))
    waiting_together(opened, [lambda tx: tx.reserve("projects", 1) for _ in range(20)])
    assert 2 <= len(commits) <= 3  # the writer before them, and one or two batches
    opened.close()


def test_when_the_commit_fails_nobody_of_the_batch_is_told_it_held(tmp_path: Path) -> None:
    opened = open_store(f"sqlite:///{tmp_path}/store.db")
    commits: list[int] = []

    def commit(_: Any) -> None:
        commits.append(1)
        if len(commits) > 1:
            raise OSError("the disk went away")

    event.listen(opened.engine, "commit", commit)
    came_to = waiting_together(opened, [lambda tx: tx.reserve("projects", 1) for _ in range(5)])
    assert all(isinstance(one, OSError) for one in came_to)
    event.remove(opened.engine, "commit", commit)
    assert opened.change(lambda tx: tx.reserve("projects", 1)) == 1
    opened.close()


def test_many_threads_that_change_are_all_served(store_url: str) -> None:
    opened = open_store(store_url)
    numbers: list[int] = []

    def ask() -> None:
        for _ in range(40):
            numbers.append(opened.change(lambda tx: tx.reserve("projects", 1)))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 12 * 40 + 1))
    opened.close()


def test_two_transactions_that_wait_for_each_other_both_get_through(fresh_pg: str) -> None:
    opened = open_store(fresh_pg)
    opened.change(lambda tx: tx.many("INSERT INTO meta (key, value) VALUES (:k, '0')", [{"k": "a"}, {"k": "b"}]))
    meet = threading.Barrier(2, timeout=20)
    firsts: list[str] = []

    def work(tx: Tx, order: str) -> None:
        for place, key in enumerate(order):
            tx.run("UPDATE meta SET value = value || :key WHERE key = :key", key=key)
            if place == 0 and order not in firsts:
                firsts.append(order)
                meet.wait()

    threads = [
        threading.Thread(target=opened.change, args=(lambda tx, order=order: work(tx, order),))  # type: ignore[misc]
        for order in ("ab", "ba")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened.read() as tx:
        assert [r.value for r in tx.all("SELECT value FROM meta WHERE key IN ('a', 'b') ORDER BY key")] == [
            "0aa",
            "0bb",
        ]
    opened.close()


def test_a_value_no_column_takes_is_bad_input(store_url: str) -> None:
    opened = open_store(store_url)
    with pytest.raises(BadInput, match="does not fit"):
        opened.change(lambda tx: tx.run("UPDATE counters SET value = :n", n=2**70))
    if opened.postgresql:
        with pytest.raises(BadInput, match="NUL"):
            opened.change(lambda tx: tx.run("UPDATE meta SET value = :v", v="a\0b"))
    opened.close()


def test_the_clock_is_the_databases_and_now(store_url: str) -> None:
    opened = open_store(store_url)
    with opened.read() as tx:
        now = tx.now()
        assert tx.now() == now
    assert abs(now - time.time() * 1000) < 60_000
    opened.close()


def test_numbers_reserved_at_once_are_different(store_url: str) -> None:
    opened = open_store(store_url)
    taken: list[int] = []

    def take() -> None:
        for _ in range(20):
            first = opened.change(lambda tx: tx.reserve("tasks", 3))
            taken.extend(range(first, first + 3))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 241))
    opened.close()


def test_a_new_store_that_another_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")  # as between the first steps of whoever opens it in the same moment
        leave = threading.Timer(0.5, lambda: other.execute("ROLLBACK"))
        leave.start()
        open_store(f"sqlite:///{path}").close()
        leave.join()
    opened = open_store(f"sqlite:///{path}")
    assert version(opened) == str(len(MIGRATIONS))
    opened.close()


def test_a_new_store_that_another_does_not_let_go_of_is_said_to_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.store.SQLITE_BUSY_S", 0.2)
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown, match=r"store\.db: .*locked"):
            open_store(f"sqlite:///{path}")


def test_opening_a_store_a_second_time_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = open_store(f"sqlite:///{path}")
    with first.read() as tx:
        tx.value("SELECT value FROM meta")
    open_store(f"sqlite:///{path}").close()
    # Another process that closes it would take the log away under whoever holds no lock, and with it what comes next.
    passing = (
        "import sqlite3, sys; store = sqlite3.connect(sys.argv[1]); store.execute('SELECT * FROM meta'); store.close()"
    )
    subprocess.run([sys.executable, "-c", passing, str(path)], check=True)
    with first.write() as tx:
        tx.run("INSERT INTO meta (key, value) VALUES ('mine', 'kept')")
    read = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT value FROM meta').fetchall())"
    found = subprocess.run([sys.executable, "-c", read, str(path)], check=True, capture_output=True, text=True)
    assert "kept" in found.stdout
    first.close()


def _open(url: str, answers: Any) -> None:
    try:
        open_store(url).close()
        answers.put("opened")
    except BaseException as error:
        answers.put(repr(error))


def test_a_new_store_may_be_opened_by_several_processes_at_once(store_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=_open, args=(store_url, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    said = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert said == ["opened"] * 4
    opened = open_store(store_url)
    assert version(opened) == str(len(MIGRATIONS))
    opened.close()


def test_on_postgresql_only_changes_about_the_same_thing_are_committed_together(fresh_pg: str) -> None:
    opened = open_store(fresh_pg)
    commits: list[int] = []
    event.listen(opened.engine, "commit", lambda _: commits.append(1))
    hold, begun = threading.Event(), threading.Event()

    def first(tx: Tx) -> None:
        begun.set()
        assert hold.wait(60)

    def ask(about: object, work: Any = None) -> threading.Thread:
        work = work or (lambda tx: tx.reserve("projects", 1))
        thread = threading.Thread(target=opened.change, args=(work, about))
        thread.start()
        return thread

    threads = [ask("p", first)]
    assert begun.wait(60)  # alone in its turn
    threads += [ask("p") for _ in range(9)]
    while len(opened._turns["p"]._waiting) < 10:
        time.sleep(0.001)
    hold.set()
    for thread in threads:
        thread.join()
    assert len(commits) == 2, "the one that held it up, and the nine together"
    with opened.read() as tx:
        assert tx.value("SELECT value FROM counters WHERE name = 'projects'") == 9
    for thread in [ask(None) for _ in range(5)]:
        thread.join()
    assert len(commits) >= 2 + 5, "about nothing in particular: each alone"
    opened.close()
