"""Backup and restore: one moment, exact on both databases, proved by the ledger, whole or not at all."""

import gzip
import json
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import add, answer, load, project_id, row, rows

from annotate import accounts, answers, assign, projects
from data import backup_series, ledger
from data.backup import Backup, for_its_owner_alone, open_backup, write_backup
from data.errors import BadInput, CheckFailed, NotThere, Refused, StoreError, StoreTooNew
from data.folder import remove_unfinished, write_folder
from data.manifest import MANIFEST, Manifest, read_manifest, seal_of, spell
from data.restoring import prove, restored
from data.schema import MIGRATIONS
from data.store import Store, Tx, open_store, schema_version, take_steps
from data.store_tables import rows as rows_of
from data.store_tables import tables

ODD = "a\u2028b\u202e\ufeff 🙂 e\u0301 \x7f\x1b\r\n'\"\\ {} \U0010ffff"


def silent(_: int) -> None:
    """No progress."""


def take(opened: Store, out: Path, step: Callable[[int], None] = silent) -> Backup:
    """A backup as the command takes it."""
    with for_its_owner_alone(), write_folder(out, "backup", {}) as folder:
        with opened.read() as tx:
            made = write_backup(tx, folder, step)
        prove(folder, made, silent)
    return open_backup(out)


def put_back(made: Backup, url: str, **more: Any) -> Store:
    """A store filled from a backup."""
    with restored(url, made, step=silent, **more):
        pass
    return open_store(url, create=False)


def everything(opened: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with opened.read() as tx:
        return {name: list(map(tuple, rows_of(tx, name, columns))) for name, columns in tables(tx).items()}


def faults(opened: Store) -> list[str]:
    with opened.read() as tx:
        return [fault for p in projects.all_projects(tx) for fault in ledger.verify(tx, p.id)]


def work(opened: Store, who: str, project: int) -> None:
    """One task judged."""
    lease = opened.change(lambda tx: assign.claim(tx, project, who))
    assert lease is not None
    opened.change(lambda tx: answers.submit(tx, who, lease.token, answer(lease.shown)))


@pytest.fixture
def used(store_url: str) -> Iterator[Store]:
    """Two projects in which things happened: judged, skipped, held, guidelines in odd letters, a draft."""
    opened = open_store(store_url)
    load(opened, rows(4), overlap=2)
    load(opened, [row(9, votes=[{"annotator": "j1"}])], project="q 小", overlap=2)
    ana, ben = add(opened, "Ana"), add(opened, "小林")
    p = project_id(opened)
    with opened.write() as tx:
        projects.set_guidelines(tx, projects.find_project(tx, "p"), {"en": ODD, "zh": "公平。"})
        accounts.server_secret(tx)
    work(opened, ana, p)
    work(opened, ben, p)
    held = opened.change(lambda tx: assign.claim(tx, p, ana))
    assert held is not None
    opened.change(lambda tx: answers.skip(tx, ana, held.token, "other", ODD))
    held = opened.change(lambda tx: assign.claim(tx, p, ana))
    assert held is not None
    with opened.write() as tx:
        tx.run(
            "INSERT INTO drafts (token, annotator, seq, body, at_ms) VALUES (:t, :a, :seq, :b, 1)",
            t=held.token,
            a=ana,
            seq=2**63 - 1,
            b=ODD,
        )
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to restore to: a SQLite file that is not there, an empty PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/back/store.db"
    if "postgresql" in request.node.name.partition("[")[2].removesuffix("]").split("-")[:1]:
        server = request.getfixturevalue("pg_server")  # `used` has fresh_pg already
        return str(server.create())
    return str(request.getfixturevalue("fresh_pg"))


def test_a_restored_store_holds_every_row_as_it_was_on_either_database(
    used: Store, target: str, tmp_path: Path
) -> None:
    made = take(used, tmp_path / "b")
    assert not made.faults
    assert made.heads.keys() == {"p", "q 小"}
    back = put_back(made, target)
    assert everything(back) == everything(used)
    assert faults(back) == []
    assert take(back, tmp_path / "again").digest == made.digest  # the same files, from either database
    back.close()


def test_a_restored_project_goes_on_where_it_stood(used: Store, target: str, tmp_path: Path) -> None:
    back = put_back(take(used, tmp_path / "b"), target)
    p = project_id(back)
    load(back, [row(20, priority=3, language="zh")], overlap=1)  # a new task in a new lane: numbers go on
    load(back, rows(1), project="new")
    work(back, add(back, "Cem", ("en", "zh")), p)
    assert faults(back) == []
    back.close()


def test_a_lease_that_ran_out_meanwhile_returns_to_everybody(store_url: str, target: str, tmp_path: Path) -> None:
    opened = open_store(store_url)
    load(opened, rows(1))
    ana, ben = add(opened, "Ana"), add(opened, "Ben")
    p = project_id(opened)
    held = opened.change(lambda tx: assign.claim(tx, p, ana, lease_ms=0))
    assert held is not None
    back = put_back(take(opened, tmp_path / "b"), target)
    got = back.change(lambda tx: assign.claim(tx, p, ben))
    assert got is not None
    assert got.task.id == held.task.id
    assert faults(back) == []
    for store in (opened, back):
        store.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.text(st.characters(exclude_categories=["Cs"])),
    seq=st.integers(-(2**63), 2**63 - 1),
    until=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_any_text_and_number_comes_back_exactly(tmp_path: Path, body: str, seq: int, until: int | None) -> None:
    place = tmp_path / "exact"
    shutil.rmtree(place, ignore_errors=True)
    opened = open_store(f"sqlite:///{place}/a.db", durable=False)
    with opened.write() as tx:
        tx.run("INSERT INTO drafts (token, annotator, seq, body, at_ms) VALUES ('t', '', :s, :b, 0)", s=seq, b=body)
        tx.run("INSERT INTO people (id, name, link_until_ms, created_ms) VALUES ('i', :n, :u, 0)", n=body, u=until)
        for value in (body.encode(), float(seq) / 3, float("inf")):  # SQLite lets them in
            tx.run("INSERT INTO counters (name, value) VALUES (:n, :v)", n=str(value), v=value)
    back = put_back(take(opened, place / "b"), f"sqlite:///{place}/c.db")
    assert everything(back) == everything(opened)
    for store in (opened, back):
        store.close()


def test_a_value_the_other_database_has_no_room_for_is_one_line_and_nothing_is_restored(
    tmp_path: Path, fresh_pg: str
) -> None:
    opened = open_store(f"sqlite:///{tmp_path}/a.db")
    with opened.write() as tx:
        tx.run("INSERT INTO drafts (token, annotator, seq, body, at_ms) VALUES ('t', '', 0, :b, 0)", b="a\0b")
    with pytest.raises(BadInput, match="does not fit the table drafts"):
        put_back(take(opened, tmp_path / "b"), fresh_pg)
    left = open_store(fresh_pg, upgrade=False)
    with left.read() as tx:
        assert tables(tx) == {}
    for store in (opened, left):
        store.close()


def test_people_write_while_it_is_taken_and_it_is_one_moment(used: Store, tmp_path: Path) -> None:
    p, ben, before = project_id(used), accounts_id(used, "小林"), everything(used)
    written: list[int] = []

    def writes(_: int) -> None:  # in the midst of the reading, between two tables, on another connection
        if len(written) < 2:
            work(used, ben, p)
            written.append(1)

    made = take(used, tmp_path / "b", writes)
    assert len(written) == 2
    back = put_back(made, f"sqlite:///{tmp_path}/back.db")
    assert everything(back) == before
    assert everything(used) != before
    assert faults(used) == faults(back) == []
    back.close()


def accounts_id(opened: Store, name: str) -> str:
    with opened.read() as tx:
        return str(tx.value("SELECT id FROM people WHERE name = :name", name=name))


# ── sign-ins ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keep", [False, True])
def test_a_restore_ends_sessions_and_links_unless_told(tmp_path: Path, keep: bool) -> None:
    opened = open_store(f"sqlite:///{tmp_path}/a.db")
    load(opened, rows(1))
    with opened.write() as tx:
        link = accounts.add_person(tx, "Ana", ["p"], "annotator", ["en"])
        secret = accounts.server_secret(tx)
    take(opened, tmp_path / "b")
    opened.close()
    url = f"sqlite:///{tmp_path}/back.db"
    assert run("restore", tmp_path / "b", "--store", url, *(["--keep-sign-ins"] if keep else [])).returncode == 0
    back = open_store(url)
    with back.write() as tx:
        assert (accounts.link_owner(tx, link) is not None) == keep
        assert (accounts.server_secret(tx) == secret) == keep
    assert faults(back) == []
    back.close()


# ── what is no good ──────────────────────────────────────────────────────────


def reseal(folder: Path) -> None:
    """Write every hash of a folder anew, as somebody who knows the manifest could."""
    from data.manifest import _hash_file, content_digest

    told = read_manifest(folder)
    files = []
    for entry in told.files:
        sha256, size = _hash_file(folder / entry.path)
        files.append(entry.model_copy(update={"sha256": sha256, "bytes": size}))
    made: Manifest = told.model_copy(update={"files": files, "digest": content_digest(files, told.config)})
    (folder / MANIFEST).write_bytes(spell(made.model_copy(update={"seal": seal_of(made)})))


def rewrite(folder: Path, table: str, change: Callable[[list[Any]], None]) -> None:
    """Change a table's file and write its hashes anew."""
    path = folder / "data" / f"{table}.jsonl.gz"
    held = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(held)
    path.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in held)))
    reseal(folder)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup in SQLite's name; tests spoil a copy of it."""
    place = tmp_path_factory.mktemp("sound")
    opened = open_store(f"sqlite:///{place}/a.db")
    load(opened, rows(3), overlap=2)
    work(opened, add(opened, "Ana"), project_id(opened))
    take(opened, place / "b")
    opened.close()
    return place / "b"


@pytest.fixture
def copied(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "b"))


@pytest.mark.parametrize("name", ["manifest.json", "README.md", "data/judgments.jsonl.gz", "data/meta.jsonl.gz"])
def test_a_changed_byte_is_named_and_nothing_is_restored(copied: Path, tmp_path: Path, name: str) -> None:
    raw = bytearray((copied / name).read_bytes())
    raw[-3] ^= 1
    (copied / name).write_bytes(raw)
    with pytest.raises((CheckFailed, BadInput), match=Path(name).name):
        open_backup(copied)


def test_a_file_that_is_cut_off_or_gone_is_named(copied: Path) -> None:
    path = copied / "data/ledger.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckFailed, match=r"ledger\.jsonl\.gz: changed"):
        open_backup(copied)
    path.unlink()
    with pytest.raises(CheckFailed, match=r"ledger\.jsonl\.gz: missing"):
        open_backup(copied)


def cut(raw: bytes) -> bytes:
    return raw[:-20]


def spoilt(raw: bytes) -> bytes:
    return raw[:30] + bytes(255 - b for b in raw[30:60]) + raw[60:]


@pytest.mark.parametrize("spoil", [cut, spoilt, lambda raw: b"no gzip", lambda raw: gzip.compress(b"{}\n[1]\n")])
def test_a_spoilt_file_under_new_hashes_is_one_line(
    copied: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = copied / "data/ledger.jsonl.gz"
    path.write_bytes(spoil(path.read_bytes()))
    reseal(copied)
    with pytest.raises(BadInput, match=r"ledger\.jsonl\.gz"):
        put_back(open_backup(copied), f"sqlite:///{tmp_path}/back.db")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]


def other_record(held: list[Any]) -> None:
    held[1][held[0].index("record")] += " "


def other_actor(held: list[Any]) -> None:
    held[2][held[0].index("actor")] = "somebody"


def last_gone(held: list[Any]) -> None:
    held.pop()


def twice(held: list[Any]) -> None:
    held.append(held[-1])


def other_columns(held: list[Any]) -> None:
    held[0][0] = 'id") VALUES (1); DROP TABLE people; --'


def nested(held: list[Any]) -> None:
    held[1][0] = {"bytes": "zz"}


def odd_rows(held: list[Any]) -> None:
    held[1][held[0].index("rows")] = "[1]"


def no_head(held: list[Any]) -> None:
    held[1][held[0].index("head_hash")] = ""


def too_large(held: list[Any]) -> None:
    held[1][held[0].index("at_ms")] = 2**64


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("judgments", other_record),
        ("judgments", last_gone),
        ("judgments", twice),
        ("judgments", other_columns),
        ("judgments", nested),
        ("judgments", too_large),
        ("ledger", other_actor),
        ("ledger", last_gone),
        ("task_records", other_record),
        ("slots", last_gone),
        ("ledger", odd_rows),
        ("projects", no_head),
        ("meta", lambda held: held[1].__setitem__(1, "1")),
        ("meta", lambda held: held[1].__setitem__(1, "x")),
    ],
)
@pytest.mark.parametrize("target", ["sqlite", "postgresql"], indirect=True)
def test_rows_changed_under_new_hashes_are_found_and_nothing_is_restored(
    copied: Path, target: str, table: str, change: Callable[[list[Any]], None]
) -> None:
    rewrite(copied, table, change)
    with pytest.raises((CheckFailed, BadInput, StoreError)):
        put_back(open_backup(copied), target)
    if target.startswith("sqlite"):
        place = Path(target.removeprefix("sqlite:///"))
        assert not list(place.parent.iterdir())
    else:
        left = open_store(target, upgrade=False)
        with left.read() as tx:
            assert tables(tx) == {}
        left.close()


def test_a_folder_that_is_no_backup_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="is not there"):
        open_backup(tmp_path / "none")
    with pytest.raises(NotThere, match=r"no manifest\.json"):
        open_backup(tmp_path)
    with write_folder(tmp_path / "x", "snapshot", {}) as folder:
        folder.write("data/a.jsonl", [{"id": 1}])
    with pytest.raises(BadInput, match="is no backup but 'snapshot'"):
        open_backup(tmp_path / "x")


def test_a_ledger_that_does_not_fit_makes_no_good_backup(used: Store, tmp_path: Path) -> None:
    with used.write() as tx:
        tx.run("UPDATE judgments SET record = record || ' '")
    made = take(used, tmp_path / "b")
    assert made.faults[0].startswith("p: judgments ")
    url = f"sqlite:///{tmp_path}/back.db"
    with pytest.raises(Refused, match="was no good backup"):
        put_back(made, url)
    back = put_back(made, url, with_faults=True)  # all that is left of a store may be this
    assert everything(back) == everything(used)
    back.close()


# ── where to ─────────────────────────────────────────────────────────────────


def test_a_store_that_holds_something_is_kept_unless_told(sound: Path, store_url: str) -> None:
    opened = open_store(store_url)
    load(opened, rows(2), project="mine")
    before = everything(opened)
    made = open_backup(sound)
    with pytest.raises(Refused, match="--replace"):
        put_back(made, store_url)
    assert everything(opened) == before
    with pytest.raises(RuntimeError), restored(store_url, made, replace=True, step=silent):
        raise RuntimeError("a fault at the end")
    assert everything(opened) == before
    put_back(made, store_url, replace=True).close()
    with opened.read() as tx:  # the store that was open goes on with what is there now
        assert [p.name for p in projects.all_projects(tx)] == ["p"]
    opened.close()


def test_an_empty_store_that_is_there_is_filled(sound: Path, store_url: str) -> None:
    open_store(store_url).close()
    back = put_back(open_backup(sound), store_url)
    assert faults(back) == []
    back.close()


def test_tables_of_somebody_else_are_left_alone(sound: Path, fresh_pg: str) -> None:
    import psycopg

    with psycopg.connect(fresh_pg) as connection:
        connection.execute("CREATE TABLE people (mine text)")
    with pytest.raises(StoreError, match="people"):
        put_back(open_backup(sound), fresh_pg)
    with psycopg.connect(fresh_pg) as connection:
        assert connection.execute("SELECT COUNT(*) FROM people").fetchone() == (0,)


def test_a_file_that_came_meanwhile_is_not_written_over(sound: Path, tmp_path: Path) -> None:
    place = tmp_path / "s.db"
    with pytest.raises(Refused, match="came to be"), restored(f"sqlite:///{place}", open_backup(sound), step=silent):
        place.write_text("mine")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("s.db", "mine")]


def test_a_second_restore_that_begins_at_once_is_told_so(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def made(**how: Any) -> str:
        there = make(**how)
        remove_unfinished(tmp_path, ".x.db.*.unfinished")  # as the other does, which takes it for a killed run's
        return there

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    place = tmp_path / "x.db"
    with (
        pytest.raises(Refused, match="another restore"),
        restored(f"sqlite:///{place}", open_backup(sound), step=silent),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_log_of_a_former_store_is_not_mixed_in(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "s.db-wal").write_bytes(b"old")
    with pytest.raises(Refused, match=r"s\.db-wal is left of a former store"):
        put_back(open_backup(sound), f"sqlite:///{tmp_path}/s.db")


@pytest.mark.parametrize("name", ["a b?c#d%20e+f", "小 'x\"", "-x"])
def test_places_may_have_any_name(used: Store, tmp_path: Path, name: str) -> None:
    from data.store import sqlite_url

    made = take(used, tmp_path / name / "b")
    back = put_back(made, sqlite_url(tmp_path / name / "s.db"))
    assert (tmp_path / name / "s.db").is_file()
    assert faults(back) == []
    back.close()


# ── versions ─────────────────────────────────────────────────────────────────


def old_store(url: str, version: int) -> Store:
    """A store as an older Concord left it, with somebody in it."""
    opened = open_store(url, upgrade=False)
    with opened.write() as tx:
        take_steps(tx, 0, version)
        tx.run("INSERT INTO people (id, name, created_ms) VALUES ('i', 'Ana', 0)")
    return opened


def version_of(opened: Store) -> int:
    with opened.read() as tx:
        return schema_version(tx)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_older_store_is_backed_up_as_it_is_and_restored_as_this_version(
    store_url: str, target: str, tmp_path: Path, version: int
) -> None:
    opened = old_store(store_url, version)
    made = take(opened, tmp_path / "b")
    assert made.schema == version_of(opened) == version
    assert "measures" not in made.rows
    back = put_back(made, target)
    assert version_of(back) == len(MIGRATIONS)
    assert [row[1] for row in everything(back)["people"]] == ["Ana"]
    for store in (opened, back):
        store.close()


def test_a_newer_store_or_backup_is_refused(copied: Path, tmp_path: Path) -> None:
    told = read_manifest(copied)
    told.config["schema"] = len(MIGRATIONS) + 1
    (copied / MANIFEST).write_bytes(spell(told))
    reseal(copied)
    with pytest.raises(StoreTooNew, match="install a newer Concord"):
        open_backup(copied)
    opened = open_store(f"sqlite:///{tmp_path}/a.db")
    with opened.write() as tx:
        tx.run("UPDATE meta SET value = '99' WHERE key = 'schema'")
    opened.close()
    with pytest.raises(StoreTooNew):
        open_store(f"sqlite:///{tmp_path}/a.db", upgrade=False)


def test_a_database_without_a_store_has_nothing_to_back_up(store_url: str, tmp_path: Path) -> None:
    opened = open_store(store_url, upgrade=False)
    with pytest.raises(StoreError, match="no Concord store"):
        take(opened, tmp_path / "b")
    opened.close()
    assert not (tmp_path / "b").exists()


# ── the commands ─────────────────────────────────────────────────────────────


def run(*words: str | Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    room, *rest = map(str, words)
    argv = [sys.executable, "-m", f"annotate.{room}", *rest]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, **more)


def one_line_of(ended: "subprocess.CompletedProcess[str]", status: int) -> str:
    """The one line of a command that did not do what was asked."""
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    return ended.stderr.removeprefix("error: ")


@pytest.fixture
def db(tmp_path: Path) -> str:
    """A small store where commands look for it."""
    url = f"sqlite:///{tmp_path}/concord.db"
    opened = open_store(url)
    load(opened, rows(3), overlap=2)
    work(opened, add(opened, "Ana"), project_id(opened))
    opened.close()
    return url


def test_a_backup_is_for_its_owner_alone_and_says_whose_names_it_holds(db: str, tmp_path: Path) -> None:
    ended = run("backup")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "names, password hashes" in ended.stdout
    (made,) = (tmp_path / "workspace/backups").iterdir()
    for path in [made.parent, made, *made.rglob("*")]:
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path
    assert not list(made.glob("proof*"))


def test_keep_takes_the_oldest_good_backups_away_and_nothing_else(db: str, tmp_path: Path) -> None:
    series = tmp_path / "workspace/backups"
    for _ in range(2):
        assert run("backup").returncode == 0
    first, second = backup_series.backups(series)
    (series / "20200101-000000-000000").mkdir()  # not ours
    (series / "notes").mkdir()
    (series / ".20200101-000000-000001.unfinished/data").mkdir(parents=True)  # of a run that was killed
    ended = run("backup", "--keep", "2", "--json")
    said = json.loads(ended.stdout)
    assert said["taken_away"] == [first.name]
    assert backup_series.backups(series) == [second, Path(said["wrote"])]
    left = {path.name for path in series.iterdir()} - {second.name, Path(said["wrote"]).name}
    assert left == {"20200101-000000-000000", "notes"}


@pytest.mark.parametrize("moment", ["read_manifest", "rename"])
def test_two_that_take_the_oldest_away_at_once_are_not_in_each_others_way(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2, 3):
        with write_folder(tmp_path / f"2026090{day}-000000-000000", "backup", {}):
            pass
    room = {"read_manifest": backup_series, "rename": Path}[moment]
    real, calls = getattr(room, moment), []

    def after_the_other(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == {"read_manifest": 4, "rename": 1}[moment]:  # three were found, the first is looked at again
            monkeypatch.setattr(room, moment, real)
            assert len(backup_series.keep_newest(tmp_path, 1)) == 2
        return real(*given)

    monkeypatch.setattr(room, moment, after_the_other)
    backup_series.keep_newest(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["20260903-000000-000000"]


def test_a_backup_that_is_no_good_ends_with_1_and_takes_nothing_away(db: str, tmp_path: Path) -> None:
    series = tmp_path / "elsewhere"
    assert run("backup", "--series", series).returncode == 0
    opened = open_store(db)
    with opened.write() as tx:
        tx.run("DELETE FROM judgments")
    opened.close()
    assert "does not fit it: p: " in one_line_of(run("backup", "--series", series, "--keep", "1"), 1)
    good, bad = backup_series.backups(series)
    assert backup_series.keep_newest(series, 1) == []  # the newest good one is the older one
    assert open_backup(bad).faults
    assert not open_backup(good).faults
    assert "--with-faults" in one_line_of(run("restore", bad, "--store", f"sqlite:///{tmp_path}/x.db"), 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backup", "--keep", "0"], "--keep is 0"),
        (["backup", "--out", "x", "--keep", "3"], "leave --out out"),
        (["backup", "--store", "sqlite:////nowhere/x.db"], "there is no store"),
        (["backup", "--store", "mysql://x"], "not supported"),
        (["restore", "nowhere", "--store", "sqlite:///x.db"], "nowhere is not there"),
        (["restore", "nowhere"], "needed: --store"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    assert said in one_line_of(run(*words), 2)


def test_a_place_that_is_taken_is_kept(db: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/mine").write_text("")
    assert "name a new folder" in one_line_of(run("backup", "--out", tmp_path / "b"), 2)
    assert run("backup", "--out", tmp_path / "c").returncode == 0
    said = one_line_of(run("backup", "--out", tmp_path / "c"), 2)
    assert said.endswith("is there already; name a new folder\n")  # there is no --force to name


def small_files() -> None:
    """As if the disk were full after 20 kB: what is longer cannot be written."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_the_command_takes_whole_judgments_while_several_people_work(store_url: str, tmp_path: Path) -> None:
    opened = open_store(store_url)
    load(opened, rows(400), overlap=3)
    p, people = project_id(opened), [add(opened, name) for name in ("Ana", "Ben", "Cem")]
    ended = threading.Event()
    done: list[str] = []

    def works(who: str) -> None:
        while not ended.is_set() and opened.change(lambda tx: assign.claim(tx, p, who)):
            work(opened, who, p)
            done.append(who)

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(works, who) for who in people]
        while len(done) < 10:
            ended.wait(0.01)
        before = len(done)
        try:
            said = run("backup", "--store", store_url, "--out", tmp_path / "b", "--json")
        finally:
            ended.set()
        assert [one.result() for one in running] == [None] * 3
    assert (said.returncode, said.stderr) == (0, "")
    made = open_backup(tmp_path / "b")
    assert not made.faults
    assert before <= made.rows["judgments"] <= len(done)
    with opened.read() as tx:  # what the backup saw is what was there: its head is an event of the ledger's
        assert ledger.verify(tx, p, known_head=made.heads["p"]) == []
    opened.close()


def test_a_full_disk_is_one_line_and_leaves_nothing(db: str, tmp_path: Path) -> None:
    one_line_of(run("backup", "--out", tmp_path / "b", preexec_fn=small_files), 2)
    assert sorted(p.name for p in tmp_path.iterdir() if "b" in p.name.split(".")) == []
    assert not (tmp_path / ".b.unfinished").exists()
    assert run("backup", "--out", tmp_path / "b").returncode == 0
    url = f"sqlite:///{tmp_path}/back/s.db"
    one_line_of(run("restore", tmp_path / "b", "--store", url, preexec_fn=small_files), 2)
    assert not list((tmp_path / "back").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_backup as t
from data.restoring import restored
from data.store import open_store

def die(_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "backup":
    t.take(open_store(sys.argv[2]), Path(sys.argv[3]), die)
with restored(sys.argv[2], t.open_backup(Path(sys.argv[3])), step=t.silent):
    die(0)
"""


def killed(*words: str) -> None:
    code = KILLED.format(tests=str(ROOT / "tests"))
    argv = [sys.executable, "-c", code, *words]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_a_backup_killed_in_the_midst_leaves_none_and_the_next_cleans_up(db: str, tmp_path: Path) -> None:
    out = tmp_path / "backups" / "20260901-030000-000000"
    killed("backup", db, str(out))
    assert [p.name for p in out.parent.iterdir()] == [f".{out.name}.unfinished"]
    assert run("backup", "--series", out.parent).returncode == 0
    (left,) = out.parent.iterdir()
    assert open_backup(left).rows["judgments"] == 1


def test_a_restore_killed_in_the_midst_leaves_no_store(sound: Path, target: str) -> None:
    killed("restore", target, str(sound))
    if target.startswith("sqlite"):
        assert not Path(target.removeprefix("sqlite:///")).exists()
    back = put_back(open_backup(sound), target)
    assert faults(back) == []
    back.close()
    if target.startswith("sqlite"):
        assert {p.name for p in Path(target.removeprefix("sqlite:///")).parent.iterdir()} <= {"store.db"}


def test_a_large_backup_is_read_and_written_in_bounded_memory(tmp_path: Path) -> None:
    """Rows are asked for a block at a time: never are more than a block's worth waiting to be written."""
    asked: list[int] = []

    def many() -> Iterator[tuple[str, int]]:
        for n in range(10_001):
            asked.append(n)
            yield ("x" * 100, n)

    from data import backup

    told: list[int] = []

    def step(done: int) -> None:
        told.append(done)
        assert len(asked) == sum(told)

    assert backup._write_table(tmp_path / "data" / "t.jsonl.gz", ["a", "b"], many(), step) == 10_001
    made = Backup(tmp_path, 1, {"t": 10_001}, {}, [])
    assert [row[1] for row in backup.read_table(made, "t", ["a", "b"])] == list(range(10_001))


def test_the_store_that_is_read_stays_as_it_is(used: Store, tmp_path: Path) -> None:
    before = everything(used)
    take(used, tmp_path / "b")
    assert everything(used) == before


def test_a_backup_asks_postgresql_for_reading_only(fresh_pg: str, tmp_path: Path) -> None:
    opened = open_store(fresh_pg)

    def refused(tx: Tx) -> None:
        with write_folder(tmp_path / "b", "backup", {}) as folder:
            write_backup(tx, folder, silent)
            with pytest.raises(Exception, match="read-only transaction"):
                tx.run("DELETE FROM meta")
            folder.inputs["faults"] = []

    with opened.read() as tx:
        refused(tx)
    opened.close()
