"""Every command that asks a model, killed (SIGKILL) at a hundred random moments in all and run again.

No record is lost or doubled and the final bytes are those of an undisturbed run. What the server saw agrees
with the rule of the log: each request once, and again only where it was in flight when the process died.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from fake import FakeServer, fake_server

from data.jsonl import write_lines
from datagen.request_log import RequestLog

CONCURRENCY = 4
KILLS = 20  # of each of the five
COMMANDS = {
    "self_instruct": ["--num", "25", "--round", "5"],
    "respond": ["--prompts", "{prompts}", "--n", "3", "--temperature", "1.0"],
    "constitutional": ["--prompts", "{prompts}", "--constitution", "harmless", "--revisions", "2"],
    "judge": ["--tasks", "{tasks}", "--both-orders"],
    "red_team": ["--num", "40", "--template-share", "0.3"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with fake_server("--latency-ms", "25", "--jitter-ms", "25") as running:
        yield running


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    """Prompts to answer and tasks to judge, twenty-four of each."""
    subjects = ["bread", "tides", "chess", "rust", "bees", "maps", "salt", "kites"]
    asked = ["How do I begin with {}?", "What should I know about {} before I buy any?", "Tell a child about {}."]
    prompts = [{"prompt": ask.format(subject)} for subject in subjects for ask in asked]
    write_lines(tmp_path / "prompts.jsonl", prompts)
    answers = ["Begin small, and write down what you did each time.", "It depends. Ask somebody who knows."]
    tasks = [{"id": f"t{n}", "kind": "ab", **row, "responses": answers} for n, row in enumerate(prompts)]
    write_lines(tmp_path / "tasks.jsonl", tasks)
    return {"prompts": str(tmp_path / "prompts.jsonl"), "tasks": str(tmp_path / "tasks.jsonl")}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_random_moments_a_command_ends_with_the_bytes_of_an_undisturbed_run(
    server: FakeServer, tmp_path: Path, inputs: dict[str, str], command: str
) -> None:
    flags = [flag.format(**inputs) for flag in COMMANDS[command]]

    def line(out: Path) -> list[str]:
        asking = ["--base-url", server.url, "--concurrency", str(CONCURRENCY), "--seed", "3", "--out", str(out)]
        return [sys.executable, "-m", f"datagen.{command}", *flags, "--model", "fake", *asking]

    began = time.monotonic()
    subprocess.run(line(tmp_path / "undisturbed"), cwd=ROOT, check=True, capture_output=True)
    whole_s = time.monotonic() - began
    wanted = contents(tmp_path / "undisturbed")
    assert wanted
    rng, kills, round_ = random.Random(command), 0, 0
    while kills < KILLS:
        round_ += 1
        killed, lost = kill_until_done(line(tmp_path / f"out{round_}"), tmp_path / f"out{round_}", rng, whole_s, server)
        assert killed or round_ < 30, "the run is over before it can be killed"
        kills += killed
        if not killed:  # the machine was busier when the undisturbed run was timed
            whole_s *= 0.8
        assert contents(tmp_path / f"out{round_}") == wanted
        seen = server.counts()
        assert len(seen["by_key"]) <= seen["requests"] <= len(seen["by_key"]) + lost


def kill_until_done(
    line: list[str], out: Path, rng: random.Random, whole_s: float, server: FakeServer
) -> tuple[int, int]:
    """Start and kill again and again until a run reaches its end: how often, and the requests then in flight."""
    server.reset()
    kills = lost = 0
    while True:
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            # the run gets shorter as the log fills; a kill near its end falls into the writing of the folder
            _, said = process.communicate(timeout=rng.uniform(0.25, 0.6) * whole_s if kills < KILLS else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            log = RequestLog(out.with_name(out.name + ".requests.db"))
            assert len(log.in_flight) <= CONCURRENCY
            lost += len(log.in_flight)
            log.close()
            continue
        assert process.returncode == 0, said.decode()
        return kills, lost


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the manifest, whose `run` tells the time; its digest covers the others and the configuration."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = json.loads(found.pop("manifest.json"))
    return {**found, "digest": manifest["digest"].encode()}
