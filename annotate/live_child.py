"""`python -m curate.live` as a child of the server: started when a lead first looks, ended with the server.

A child, since rooms do not import each other, and since its work then takes no time from the server's. It gives
way to everything else, and ends by itself when our end of its input closes, however the server ends. When it
ends otherwise it is started again after a pause that grows; without the room `curate` nothing is started.
"""

import importlib.util
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from annotate.exporting import address_of
from data.store import Store

ROOMS = Path(__file__).resolve().parent.parent
PAUSE_S = (5.0, 300.0)  # before it is started again: at first, at most
LASTED_S = 600.0  # a child that lived as long ended by some accident, and the pause is short again


class LiveChild:
    """The child of one server, or none."""

    def __init__(self, store: Store, wanted: bool) -> None:
        self._environment = {**os.environ, "CONCORD_STORE": address_of(store)}
        self._wanted = wanted
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._running = False
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it, unless it is not wanted or there is no room `curate`; returns at once whether it is kept."""
        with self._lock:
            if not self._wanted or self._closing.is_set() or not _installed():
                return False
            if not self._running:
                self._running = True
                threading.Thread(target=self._keep, daemon=True).start()
            return True

    def _keep(self) -> None:
        pause = PAUSE_S[0]
        while not self._closing.is_set():
            began = time.monotonic()
            with suppress(OSError):  # no process to be had: try again later
                self._run()
            pause = PAUSE_S[0] if time.monotonic() - began > LASTED_S else pause
            self._closing.wait(pause)
            pause = min(PAUSE_S[1], pause * 2)

    def _run(self) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            child = self.child = subprocess.Popen(
                [sys.executable, "-m", "curate.live", "--child"],
                cwd=ROOMS,  # where the other rooms are
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        child.wait()
        if child.stdin:
            child.stdin.close()

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._closing.set()
            child = self.child
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _installed() -> bool:
    return importlib.util.find_spec("curate") is not None and (ROOMS / "curate" / "live.py").is_file()
