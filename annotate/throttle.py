"""Slows down guessing: after some wrong passwords for a name, no more are tried for a while."""

import threading
import time

TRIES = 8
PAUSE_S = 300.0
MAX_NAMES = 10_000


class Throttle:
    """Counts wrong passwords by name, in this process's memory."""

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def allows(self, name: str) -> bool:
        """Whether another password may be tried for this name now."""
        with self._lock:
            count, last = self._wrong.get(name, (0, 0.0))
            return count < TRIES or time.monotonic() - last > PAUSE_S

    def note(self, name: str, right: bool) -> None:
        """Remember how a try ended."""
        with self._lock:
            count, last = self._wrong.pop(name, (0, 0.0))
            if right:
                return
            fresh = time.monotonic() - last > PAUSE_S
            if len(self._wrong) >= MAX_NAMES:
                self._wrong.pop(next(iter(self._wrong)))
            self._wrong[name] = (1 if fresh else count + 1, time.monotonic())
