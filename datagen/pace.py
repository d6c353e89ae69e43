"""How fast to ask: at most so many at once, so many requests and tokens a minute, and one pause for all.

Nobody knows a server's limits better than the server, so they are learnt. Pressure is a 429 or 503, or a header
that says nothing is left. Between two moments when a server had nothing left, it gave exactly what its limit
allows: answers divided by time is the rate, whatever its burst. So the number in flight grows by one with each
answer (TCP's slow start, RFC 5681: it doubles with each round trip) until the first pressure; then it starts again
at one and grows by half of one with each answer until the second; then requests leave evenly at 98% of what was
measured, creeping up until the next. A refusal of what left before the last pressure says nothing new: it only
waits. A server that makes one wait long counts by the minute; there the answers of the last minute are the rate.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

LONGEST_PAUSE_S = 600.0
LONGEST_GUESS_S = 15.0  # of a pause that the server did not name
FIRST_GUESS_S = 0.5
DOWN = 0.75  # of the number in flight, on pressure that is not about the rate
UP_EVERY = 25  # answers for one more in flight
BELOW = 0.98  # of the measured rate is asked for
CREEP = 0.00004  # per answer, and the more the longer nothing was refused
LONG_S = 10.0  # a wait that no limit by the second asks for: this server counts by the minute
MINUTE_S = 60.0
START = 4  # in flight at first; each answer adds one more, and half of one once the server asked for less
ENOUGH = 20  # answers between two pressures that make a measurement,
SPAN_S = 1.0  # over at least so long
BURST_S = 0.25  # of the rate may leave at once after a lull


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
        self.limit = float(min(concurrency, START))
        self.in_flight = 0
        self.clock = clock
        self.rate = rpm / 60 if rpm else None
        """Requests a second, or None when nothing limits it."""
        self._top_rate = self.rate
        self.token_rate = tpm / 60 if tpm else None
        self.paused_until = 0.0
        self.slowed = 0
        """How often the server asked for less."""
        self._answers = self._crept = self._barren = 0  # all; since the last pressure; pressures since an answer
        self._came: deque[float] = deque(maxlen=50_000)  # when the answers came
        self._by_minute = False
        self._slowed_at = float("-inf")
        self._dry: deque[tuple[float, int]] = deque(maxlen=100)  # when nothing was left, and the answers by then
        self._overloaded = False
        self._room: float = float("inf")  # requests left by the last header, less those sent since
        self._next_at = self._next_tokens_at = float("-inf")
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
        now = self.clock()
        if self._barren and self._came and now - self._came[-1] > LONG_S:
            self._by_minute = True
        self._came.append(now)
        self._answers += 1
        self._crept += 1
        self._barren = 0
        if self.limit < self.most:
            more = 1 / UP_EVERY if self._overloaded else 1 / 2 if self.slowed else 1
            self.limit = min(self.limit + more, self.most)
        if self.rate is not None and self.rate != self._top_rate:
            self.rate = min(self.rate * (1 + CREEP * (1 + self._crept / 100)), self._top_rate or float("inf"))
        left = headers.get("x-ratelimit-remaining-requests", "")
        if self.rate is None and left.isdecimal():
            self._room = int(left) - (self.in_flight - 1)
            if self._room <= 0:
                self._pressure(self.clock(), None, True)
                self._room = 1  # after the pause one may look whether there is more

    def pressed(self, left_at: float, wait_s: float | None, by_rate: bool) -> bool:
        """The server refused what left at `left_at`: pause all for `wait_s`, its Retry-After, and slow down.

        Args:
            wait_s: None where the server did not say; then the pause grows with each refusal in a row.
            by_rate: a limit of requests or tokens a minute; else of requests at once, or an overload.

        Returns:
            Whether that was news: it left after the last time the server asked for less.
        """
        now = self.clock()
        news = left_at > self._slowed_at
        if news:
            self._pressure(now, wait_s, by_rate)
        elif wait_s is not None:
            self._pause(now, wait_s)
        self._pump()
        return news

    def _pressure(self, now: float, wait_s: float | None, by_rate: bool) -> None:
        """One moment of nothing left: measure since the last, and pause."""
        self.slowed += 1
        self._slowed_at = now
        guess = min(FIRST_GUESS_S * 2**self._barren, LONGEST_GUESS_S)
        if self._barren or wait_s is None:
            # A short Retry-After that was heeded in vain is not believed twice.
            soon = self.rate is not None and not self._barren
            wait_s = max(wait_s or 0.0, 1 / self.rate if soon and self.rate else guess)
        self._pause(now, wait_s)
        self._barren += 1
        if not by_rate:
            self.limit, self._overloaded = max(1.0, self.limit * DOWN), True
            return
        self._by_minute = self._by_minute or wait_s > LONG_S
        long_ago = (at for at in reversed(self._dry) if self._answers - at[1] >= ENOUGH and now - at[0] >= SPAN_S)
        since = next(long_ago, None)
        last_minute = sum(at > now - MINUTE_S for at in self._came) if self._by_minute else 0
        if since is not None or last_minute >= ENOUGH:
            measured = (self._answers - since[1]) / (now - since[0]) if since else 0.0
            measured = max(measured, last_minute / MINUTE_S)
            self.rate = min(measured * BELOW, self._top_rate or float("inf"))
        else:
            self._pause(now, FIRST_GUESS_S)
            self.limit = max(1.0, self.limit / 2 if self._dry else 1.0)
        self._dry.append((now, self._answers))
        self._crept = 0

    def _pause(self, now: float, wait_s: float) -> None:
        self.paused_until = max(self.paused_until, now + min(wait_s, LONGEST_PAUSE_S))

    def _free_at(self, now: float) -> float | None:
        """None when a request may leave now; else when to look again (infinity: when one comes back)."""
        if self.in_flight >= int(self.limit) or (self.rate is None and self._room < 1 and self.in_flight):
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
        self._room -= 1
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
