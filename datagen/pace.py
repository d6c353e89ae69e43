"""How fast to ask: at most so many at once, so many requests and tokens a minute, and one pause for all.

Nobody knows a server's limits better than the server, so they are learnt: from its rate-limit headers, and
from 429 and 503. Under pressure the number in flight falls to three quarters and grows by one per 25 answers;
a refusal for the rate also sets a rate, the one that just worked, which creeps up again. Requests sent before
the last slowdown say nothing new: their refusals pause, and slow nothing further.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

LONGEST_PAUSE_S = 600.0
DOWN = 0.75  # of the number in flight, on pressure
UP_EVERY = 25  # answers for one more in flight
RATE_DOWN = 0.95
RATE_UP = 1.0003  # per answer: a wrong guess of 5% is made good in about 170
WINDOW_S = 10.0  # over which the rate that worked is measured
BURST_S = 0.25  # of the rate may be sent at once after a lull


class Pace:
    """Says when the next request may leave. `clock` is time.monotonic, or a test's own."""

    def __init__(
        self,
        concurrency: int,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = concurrency
        self.limit = float(concurrency)
        self.in_flight = 0
        self.clock = clock
        self.rate = rpm / 60 if rpm else None
        """Requests a second, or None when nothing limits it."""
        self._top_rate = self.rate
        self.token_rate = tpm / 60 if tpm else None
        self.paused_until = 0.0
        self.slowed = 0
        self._slowed_at = float("-inf")
        self._next_at = self._next_tokens_at = float("-inf")
        self._answered: deque[float] = deque(maxlen=20_000)
        self._waiting: deque[tuple[asyncio.Future[float], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, tokens: int) -> float:
        """Wait for this request's turn; returns when it left, which `leave` wants back."""
        if not self._waiting and self._free_at(self.clock()) is None:
            return self._take(tokens)
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((waiter, tokens))
        self._pump()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """This request is no longer in flight."""
        self.in_flight -= 1
        self._pump()

    def close(self, error: Exception) -> None:
        """Nobody leaves any more: all that wait get this error."""
        waiting, self._waiting = self._waiting, deque()
        for waiter, _ in waiting:
            if not waiter.done():
                waiter.set_exception(error)

    def went_well(self, headers: Mapping[str, str]) -> None:
        """An answer came: a little faster, and as the server's headers say."""
        self._answered.append(self.clock())
        if self.limit < self.most:
            self.limit = min(self.limit + 1 / UP_EVERY, self.most)
        if self.rate is not None and self.rate != self._top_rate:
            self.rate = min(self.rate * RATE_UP, self._top_rate or float("inf"))
        self._heed(headers)

    def pressed(self, left_at: float, headers: Mapping[str, str], wait_s: float, by_rate: bool) -> None:
        """The server asked for less: pause all for `wait_s` (its Retry-After, else ours), and slow down."""
        now = self.clock()
        self.paused_until = max(self.paused_until, now + min(wait_s, LONGEST_PAUSE_S))
        if left_at > self._slowed_at:
            self._slowed_at = now
            self.slowed += 1
            self.limit = max(1.0, self.limit * DOWN)
            if by_rate:
                worked = self._rate_that_worked(now)
                self.rate = max(0.01, min(worked, self.rate or worked) * RATE_DOWN)
        self._heed(headers)
        self._pump()

    def _rate_that_worked(self, now: float) -> float:
        recent = [at for at in self._answered if at > now - WINDOW_S]
        return len(recent) / max(1.0, now - recent[0]) if recent else 1.0

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Hold the rate to what `x-ratelimit-*` say is left: (limit - remaining) come back within `reset`."""
        left = headers.get("x-ratelimit-remaining-requests")
        if left is None:
            return
        try:
            remaining, limit = int(left), int(headers.get("x-ratelimit-limit-requests", ""))
        except ValueError:
            return
        reset = seconds(headers.get("x-ratelimit-reset-requests", ""))
        used = limit - remaining
        if reset and used > 0 and used >= min(10, limit):
            stated = used / reset
            self.rate = min(stated, self._top_rate or float("inf"))
        if reset and remaining <= self.in_flight:
            # What is in flight may use up what is left: wait until one request's worth has come back.
            self.paused_until = max(self.paused_until, self.clock() + reset / max(used, 1))

    def _free_at(self, now: float) -> float | None:
        """None when a request may leave now; else when to look again (infinity: when one comes back)."""
        if self.in_flight >= int(self.limit):
            return float("inf")
        at = self.paused_until
        if self.rate is not None:
            at = max(at, self._next_at)
        if self.token_rate is not None:
            at = max(at, self._next_tokens_at)
        return at if at > now else None

    def _take(self, tokens: int) -> float:
        now = self.clock()
        if self.rate is not None:
            self._next_at = max(self._next_at, now - BURST_S) + 1 / self.rate
        if self.token_rate is not None:
            self._next_tokens_at = max(self._next_tokens_at, now - BURST_S) + tokens / self.token_rate
        self.in_flight += 1
        return now

    def _pump(self) -> None:
        """Let those waiting go, in order, as far as the limits allow; then set the alarm for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            waiter, tokens = self._waiting[0]
            if waiter.done():
                self._waiting.popleft()
                continue
            now = self.clock()
            at = self._free_at(now)
            if at is None:
                self._waiting.popleft()
                waiter.set_result(self._take(tokens))
            else:
                if at != float("inf"):
                    self._timer = asyncio.get_running_loop().call_later(at - now, self._pump)
                return


def seconds(text: str) -> float | None:
    """A duration as rate-limit headers spell it: 1.5, 250ms, 12s, 6m0s, 1h2m3s. None when it is none."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", text)
    if not text or parts is None:
        return None
    hours, minutes, secs, millis = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + secs + millis / 1000


def retry_after(headers: Mapping[str, str], wall: Callable[[], float] = time.time) -> float | None:
    """Seconds the server asks to wait: retry-after-ms, or Retry-After in seconds or as a date; else None."""
    millis = seconds(headers.get("retry-after-ms", ""))
    if millis is not None:
        return millis / 1000
    text = headers.get("retry-after", "")
    plain = seconds(text)
    if plain is not None:
        return plain
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall())
    except (TypeError, ValueError):
        return None
