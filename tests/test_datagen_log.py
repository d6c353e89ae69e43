"""The write-ahead log: on disk before it counts, found again by its key, whole after any death."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import orjson
import pytest
from conftest import ROOT

from data.errors import BadInput, NotThere, Refused, StoreError
from datagen.request import Request
from datagen.request_log import ANSWERED, FREE, LOST, REJECTED, RequestLog, Spent

KEY = bytes(range(16))


def fill(log: RequestLog, *ends: int, key: bytes = KEY) -> None:
    """Attempts of one request that end so, each reserved at 100 tokens and 1,000 picodollars and paid at 7 and 70."""

    async def main() -> None:
        for n, end in enumerate(ends):
            attempt = await log.reserve(key, "stage", "model", 100, 1000)
            paid = {FREE: (0, 0), LOST: (100, 1000)}.get(end, (7, 70))
            body = f"body {n}".encode() if end in (ANSWERED, REJECTED) else None
            await log.settle(attempt, key, end, "cause", *paid, usage=(3, 4), body=body)

    asyncio.run(main())


def test_an_answer_is_found_again_after_closing(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.db")
    fill(log, FREE, REJECTED, LOST, ANSWERED)
    assert log.answer(KEY) == b"body 3"
    log.close()
    again = RequestLog(tmp_path / "log.db")
    assert again.answer(KEY) == b"body 3"
    assert KEY in again
    assert again.answer(bytes(16)) is None
    assert again.spent == Spent(tokens=0 + 7 + 100 + 7, cost=0 + 70 + 1000 + 70)
    assert again.in_flight == []
    rows = again.per_stage()
    assert [(state, n) for _, state, _, n, _, _ in rows] == [("answered", 1), ("rejected", 1), ("free", 1), ("lost", 1)]
    again.close()


def test_answers_that_could_not_be_used_are_kept_and_found_until_there_is_a_good_one(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.db")
    fill(log, REJECTED, REJECTED)
    log.close()
    again = RequestLog(tmp_path / "log.db")
    assert again.rejected(KEY) == [b"body 0", b"body 1"]
    assert again.answer(KEY) is None
    again.close()


def test_what_was_in_flight_when_the_process_died_is_listed_and_counted_as_paid(tmp_path: Path) -> None:
    """The process ends by SIGKILL right after its reservations are on disk."""
    code = """
        import asyncio, os, signal, sys
        from pathlib import Path
        from datagen.request_log import RequestLog
        log = RequestLog(Path(sys.argv[1]))
        async def main():
            await asyncio.gather(*(log.reserve(bytes([n]) * 16, "stage", "model", 100, 1000) for n in range(3)))
            os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "log.db")], cwd=ROOT)
    assert died.returncode == -signal.SIGKILL
    log = RequestLog(tmp_path / "log.db")
    assert sorted(lost.key[0] for lost in log.in_flight) == [0, 1, 2]
    assert log.spent == Spent(tokens=300, cost=3000)
    assert len(log) == 0
    log.close()
    again = RequestLog(tmp_path / "log.db")
    assert again.in_flight == []
    assert again.spent == Spent(tokens=300, cost=3000)
    again.close()


def test_many_writes_are_committed_together(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.db")
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement.startswith("COMMIT")

    log._db.set_trace_callback(count)

    async def main() -> None:
        await asyncio.gather(*(log.reserve(os.urandom(16), "stage", "model", 1, 1) for _ in range(200)))

    asyncio.run(main())
    assert 1 <= commits <= 5
    log.close()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.db")
    with pytest.raises(Refused, match="in use by another run"):
        RequestLog(tmp_path / "log.db")
    log.close()
    RequestLog(tmp_path / "log.db").close()


def test_files_that_are_no_log_are_named(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(StoreError, match=r"no request log.*--log"):
        RequestLog(tmp_path / "other")
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(BadInput, match="newer version"):
        RequestLog(newer)


def test_a_disk_that_is_full_is_said_in_one_line_and_what_was_written_stays(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.db")
    fill(log, ANSWERED)
    pages = log._db.execute("PRAGMA page_count").fetchone()[0]
    log._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own word for a disk without room

    async def main() -> None:
        attempt = await log.reserve(b"x" * 16, "stage", "model", 1, 1)
        await log.settle(attempt, b"x" * 16, ANSWERED, "", 1, 1, body=b"y" * 1_000_000)

    with pytest.raises(StoreError, match="the disk is full; make room, then run the same command again"):
        asyncio.run(main())
    log.close()
    again = RequestLog(tmp_path / "log.db")
    assert again.answer(KEY) == b"body 0"
    again.close()


def test_a_disk_still_full_when_a_run_goes_on_is_no_reason_to_leave_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = RequestLog(path)
    fill(log, ANSWERED)
    log.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))  # the system takes no greater file
    try:
        with pytest.raises(StoreError, match=r"cannot be written: .* then run the same command again"):
            RequestLog(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    again = RequestLog(path)
    assert again.answer(KEY) == b"body 0"
    again.close()


def test_everything_that_shapes_an_answer_is_in_its_key() -> None:
    base = Request("m", [{"role": "user", "content": "Hello"}], {"temperature": 1, "seed": 3})
    others = [
        base._replace(model="n"),
        base._replace(messages=[{"role": "system", "content": "Hello"}]),
        base._replace(params={"temperature": 1, "seed": 4}),
        base._replace(params={"temperature": 0.5, "seed": 3}),
        base._replace(tools=[{"type": "function", "function": {"name": "f"}}]),
        base._replace(schema={"type": "object"}),
        base._replace(sample=1),
    ]
    keys = {request.key("http://a/v1") for request in [base, *others]} | {base.key("http://b/v1")}
    assert len(keys) == len(others) + 2
    same = base._replace(stage="other", accept=frozenset({"refusal"}), params={"seed": 3, "temperature": 1})
    assert same.key("http://a/v1") == base.key("http://a/v1")


def test_the_log_is_listed_by_state_and_cause_with_the_body_that_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from datagen import requests

    log = RequestLog(tmp_path / "log.db")
    fill(log, FREE, REJECTED, LOST, ANSWERED)
    log.close()
    path = str(tmp_path / "log.db")
    assert requests.main([path]) == 0
    assert "stage: rejected, cause" in capsys.readouterr().out
    assert requests.main([path, "--state", "rejected"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert orjson.loads(line) == {
        "key": KEY.hex(),
        "stage": "stage",
        "model": "model",
        "state": "rejected",
        "cause": "cause",
        "tokens": 7,
        "picodollars": 70,
        "body": "body 1",
    }
    assert requests.main([path, "--cause", "cause"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(BadInput, match="did you mean 'cause'"):
        requests.main([path, "--cause", "caus"])
    with pytest.raises(NotThere, match="is not there"):
        requests.main([str(tmp_path / "none.db")])
