"""Group commit: those who wait to write while somebody is writing are written together next.

A commit waits for the disk, whatever it holds; so with a hundred people at work it pays to
wait once for all who came meanwhile. The first who waits serves the rest of the batch, then
hands its place to the next who waits: nobody serves forever, and nothing runs in between.
"""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

W = TypeVar("W")


class Asked(Generic[W]):
    """Work that waits for its turn; whoever serves it sets `result` or `error`."""

    def __init__(self, work: W) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.served = False
        self.woken = threading.Event()


class Turns(Generic[W]):
    """Serves work in the order it was asked for, `most` at a time; `serve` does one batch."""

    def __init__(self, serve: Callable[[list[Asked[W]]], None], most: int = 32) -> None:
        self._serve = serve
        self._most = most
        self._gate = threading.Lock()
        self._waiting: list[Asked[W]] = []
        """While it is not empty, its first is the one that serves."""

    def ask(self, work: W) -> Any:
        """Have the work done, alone or with others; returns its result or raises its error."""
        mine = Asked(work)
        with self._gate:
            self._waiting.append(mine)
            first = self._waiting[0] is mine
        if not first:
            mine.woken.wait()
        if not mine.served:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.result

    def _lead(self) -> None:
        with self._gate:
            batch = self._waiting[: self._most]
        try:
            self._serve(batch)
        except BaseException as error:
            for one in batch:
                one.error = one.error or error
        finally:
            with self._gate:
                del self._waiting[: len(batch)]
                after = self._waiting[:1]
            for one in batch:
                one.served = True
            for one in [*batch[1:], *after]:  # those who were served, and who serves next
                one.woken.set()
