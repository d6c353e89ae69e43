"""The same command again: it goes on after the budget ended, asks nothing twice, and never puts another run away."""

import asyncio
import gc
import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fake import FakeServer, fake_server

from data.errors import BadInput, ConcordError, Refused
from data.manifest import read_manifest
from datagen.client import Client, Settings
from datagen.request import Request
from datagen.request_log import RequestLog
from datagen.validate import same_model

PROMPTS = [{"prompt": f"Name {n} things to take on a walk of {n} miles."} for n in range(3, 9)]
TASKS = [
    {"id": f"t{n}", "kind": "ab", "prompt": p["prompt"], "responses": [{"text": "A hat."}, {"text": "A map, a hat."}]}
    for n, p in enumerate(PROMPTS)
]
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "self_instruct": (["--num", "8", "--round", "4"], ["--min-yield", "0.01"]),
    "respond": (["--prompts", "PROMPTS", "--n", "2"], ["--n", "3"]),
    "constitutional": (["--prompts", "PROMPTS", "--constitution", "harmless", "--revisions", "1"], ["--shots", "0"]),
    "judge": (["--tasks", "TASKS"], ["--both-orders"]),
    "red_team": (["--num", "10", "--template-share", "0.2"], ["--temperature", "0.5"]),
}
CAPS = {"self_instruct": 9000, "respond": 2000, "constitutional": 15000, "judge": 1800, "red_team": 4500}
"""Tokens: enough to begin, too few to end."""
Run = Callable[..., int]


@pytest.fixture(scope="module")
def server() -> Any:
    with fake_server("--plain") as running:
        yield running


@pytest.fixture
def run(tmp_path: Path, server: FakeServer) -> Run:
    """Run a command of datagen on small files, into tmp_path/out."""
    for name, rows in (("PROMPTS", PROMPTS), ("TASKS", TASKS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def once(command: str, *more: str) -> int:
        flags = [f"{tmp_path}/{x}.jsonl" if x in ("PROMPTS", "TASKS") else x for x in (*COMMANDS[command][0], *more)]
        own = ["--model", "fake", "--base-url", server.url, "--out", f"{tmp_path}/out", "--json", "--concurrency", "2"]
        return int(import_module(f"datagen.{command}").main([*flags, *own]))

    return once


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The summary that was printed."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_command_goes_on_after_the_budget_ended_and_then_asks_nothing(
    command: str, run: Run, tmp_path: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reset()
    try:
        run(command, "--max-tokens-total", str(CAPS[command]))
    except ConcordError:
        capsys.readouterr()  # little came of so little; whatever did lies there
    else:
        assert "stopped" in last(capsys)
    paid = server.counts()["answered"]
    assert paid
    assert run(command) == 0
    first = last(capsys)
    assert first["answers_from_log"] >= paid
    assert server.counts()["answered"] == server.counts()["distinct"]
    digest = read_manifest(tmp_path / "out").digest
    assert run(command) == 0
    assert last(capsys)["requests_sent"] == 0
    assert read_manifest(tmp_path / "out").digest == digest


def test_a_card_promises_no_proof_that_no_command_gives(run: Run, tmp_path: Path) -> None:
    assert run("constitutional") == 0
    assert "curate.verify" not in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_another_run_is_refused_before_anything_is_asked(
    command: str, run: Run, tmp_path: Path, server: FakeServer
) -> None:
    assert run(command) == 0
    server.reset()
    digest = read_manifest(tmp_path / "out").digest
    with pytest.raises(Refused, match="--force"):
        run(command, *COMMANDS[command][1])
    (tmp_path / "out.requests.db").rename(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="--force"):
        run(command)
    assert read_manifest(tmp_path / "out").digest == digest
    assert server.counts()["requests"] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_that_cannot_be_written_is_said_before_anything_is_asked(
    command: str, run: Run, tmp_path: Path, server: FakeServer
) -> None:
    server.reset()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BadInput, match=r"cannot be written.*--log"):
        run(command, "--log", f"{tmp_path}/file/log.db")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "somebody's").write_text("own")
    with pytest.raises(Refused, match="was not written by Concord"):
        run(command)
    assert server.counts()["requests"] == 0
    assert os.listdir(tmp_path / "out") == ["somebody's"]


def test_a_run_that_is_stopped_sends_nothing_more_and_keeps_what_was_under_way(tmp_path: Path) -> None:
    with fake_server("--plain", "--latency-ms", "200") as slow:
        log = RequestLog(tmp_path / "log.db")

        async def run() -> None:
            async with Client(Settings(slow.url, "none", concurrency=4), log) as client:
                async for _ in client.each(range(100), lambda n: client.ask(question(n))):
                    pass

        async def stopped_early() -> None:
            running = asyncio.ensure_future(run())
            while not slow.counts(keys=False)["answered"]:
                await asyncio.sleep(0.02)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        asyncio.run(stopped_early())
        asked = slow.counts()["requests"]
        assert asked == len(log) <= 12  # those under way, not the many that waited for their turn
        log.close()
        assert not open_attempts(tmp_path / "log.db")


def test_where_the_reader_of_answers_fails_nothing_is_left_running(tmp_path: Path, server: FakeServer) -> None:
    log = RequestLog(tmp_path / "log.db")
    forgotten: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: forgotten.append(what))
        async with Client(Settings(server.url, "none", concurrency=8), log) as client:
            async for _ in client.each(range(50), lambda n: client.ask(question(n))):
                raise OSError("no room for the first answer")

    with pytest.raises(OSError, match="no room"):
        asyncio.run(run())
    gc.collect()
    assert not forgotten
    log.close()
    assert not open_attempts(tmp_path / "log.db")


def open_attempts(path: Path) -> int:
    """How many requests a log has without an outcome."""
    log = RequestLog(path)
    log.close()
    return len(log.in_flight)


def question(n: int) -> Request:
    """A short question like no other."""
    return Request("fake", [{"role": "user", "content": f"Name a thing beginning with letter {n}."}])


def test_a_log_where_no_file_can_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder" / "log.db.lock").mkdir(parents=True)
    for place in (tmp_path / "file" / "log.db", tmp_path / "folder" / "log.db"):
        with pytest.raises(BadInput, match=r"cannot be written: .+; name another log with --log"):
            RequestLog(place)


def test_a_main_branch_is_the_model_itself() -> None:
    assert same_model("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B@main")
    assert same_model("Qwen3-0.6B", "Qwen/Qwen3-0.6B@main") is False
    assert not same_model("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B@mine")


@pytest.mark.parametrize(
    ("command", "flag"), [("self_instruct", "--novelty-threshold"), ("red_team", "--max-similarity")]
)
def test_a_threshold_out_of_range_is_said_by_the_name_of_its_flag(command: str, flag: str, run: Run) -> None:
    for value in ("7", "much"):
        with pytest.raises(BadInput, match=rf"^{flag}.*{value}"):
            run(command, flag, value)
