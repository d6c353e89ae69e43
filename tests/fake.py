"""The fake server as a process of its own, for every test that asks a model.

with fake_server("--rpm", "600", "--fault", "html=0.1") as server:
    client = make(server.url)  # http://127.0.0.1:PORT/v1
    assert server.counts()["requests"] == 3
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from conftest import ROOT


class FakeServer:
    """A running `python -m datagen.fake_server`; `url` ends in /v1."""

    def __init__(self, *flags: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in stop)
        command = [sys.executable, "-m", "datagen.fake_server", "--port", "0", *flags]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # comes when connections are taken; empty when it ended
        assert "http://" in line, f"the fake server did not start: {line}{self.errors()}"
        self.url = line.split()[-1]
        self.root = self.url.removesuffix("/v1")

    def counts(self, keys: bool = True) -> dict[str, Any]:
        """What it saw: requests, distinct, answered, by_status, by_key, most_at_once, tokens, limits, …"""
        with urlopen(f"{self.root}/counts?keys={int(keys)}", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def reset(self) -> None:
        """It forgets all requests: counts, attempts, limits and quota start anew."""
        urlopen(Request(f"{self.root}/reset", method="POST"), timeout=30).close()

    def errors(self) -> str:
        """What it wrote to its error output so far."""
        self._errors.seek(0)
        return self._errors.read()

    def stop(self) -> None:
        """End it; again is harmless."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


@contextmanager
def fake_server(*flags: str) -> Iterator[FakeServer]:
    """A fake server with these flags on a free port, for as long as the block lasts."""
    server = FakeServer(*flags)
    try:
        yield server
    finally:
        server.stop()
