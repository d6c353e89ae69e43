"""Rate limits as a hosted server keeps them: buckets that fill evenly, and the headers that tell of them.

Source of the headers and of their durations ("6m0s", "250ms"): OpenAI's guide to rate limits.
"""

import math
from typing import NamedTuple

MINUTE_S = 60.0


class Bucket:
    """What may be used now: it fills evenly, up to what `burst_s` seconds bring and at least to `least`."""

    def __init__(self, per_minute: float, burst_s: float, least: float = 1.0) -> None:
        self.per_minute = per_minute
        self.size = max(least, per_minute * burst_s / MINUTE_S)
        self.left = self.size
        self.at: float | None = None  # when `left` was true

    def fill(self, now: float) -> None:
        """Let it fill up to this moment."""
        if self.at is not None:
            self.left = min(self.size, self.left + (now - self.at) * self.per_minute / MINUTE_S)
        self.at = now

    def wait_s(self, amount: float) -> float:
        """Seconds until this much is there; what is larger than the bucket needs a full one."""
        return max(0.0, (min(amount, self.size) - self.left) * MINUTE_S / self.per_minute)


class Verdict(NamedTuple):
    """Whether a request may pass, and what the headers say."""

    allowed: bool
    headers: tuple[tuple[str, str], ...] = ()
    retry_after_s: float = 0.0
    what: str = ""
    """requests or tokens: which limit refused it."""


class Limits:
    """Requests and tokens per minute over all clients; None where there is no limit."""

    def __init__(self, rpm: float | None, tpm: float | None, burst_s: float = MINUTE_S) -> None:
        self._buckets: list[tuple[str, Bucket]] = []
        if rpm is not None:
            self._buckets.append(("requests", Bucket(rpm, burst_s)))
        if tpm is not None:
            self._buckets.append(("tokens", Bucket(tpm, burst_s)))
        self._began: float | None = None
        self._last = 0.0
        self.allowed = self.refused = 0
        self._used = {"requests": 0.0, "tokens": 0.0}

    @property
    def on(self) -> bool:
        """Whether there is any limit."""
        return bool(self._buckets)

    def ask(self, tokens: int, now: float) -> Verdict:
        """Take one request of this many tokens out of the buckets, or refuse it and take nothing.

        Args:
            tokens: what it will use in all, prompt and answer.
            now: seconds on any clock that only goes forward.
        """
        if self._began is None:
            self._began = now
        self._last = now
        short, wait = "", 0.0
        for what, bucket in self._buckets:
            bucket.fill(now)
            needed = bucket.wait_s(1 if what == "requests" else tokens)
            if needed > wait:
                short, wait = what, needed
        if not short:
            self.allowed += 1
            for what, bucket in self._buckets:
                amount = 1 if what == "requests" else tokens
                bucket.left -= amount
                self._used[what] += amount
        else:
            self.refused += 1
        return Verdict(not short, self._headers(), wait, short)

    def report(self) -> dict[str, float | int | None]:
        """Allowed and refused requests, and which share of what the limits allowed was used.

        What was allowed is the bucket at the first request and what flowed in until the last one;
        with two limits it is the one that was used up more.
        """
        span = self._last - (self._began or 0.0)
        shares = [
            self._used[what] / (bucket.size + span * bucket.per_minute / MINUTE_S) for what, bucket in self._buckets
        ]
        return {
            "allowed": self.allowed,
            "refused": self.refused,
            "seconds": round(span, 3),
            "share_used": round(max(shares), 4) if shares and self._began is not None else None,
        }

    def _headers(self) -> tuple[tuple[str, str], ...]:
        found = []
        for what, bucket in self._buckets:
            found.append((f"x-ratelimit-limit-{what}", str(int(bucket.per_minute))))
            found.append((f"x-ratelimit-remaining-{what}", str(max(0, int(bucket.left)))))
            full_s = (bucket.size - bucket.left) * MINUTE_S / bucket.per_minute
            found.append((f"x-ratelimit-reset-{what}", duration(full_s)))
        return tuple(found)


def duration(seconds: float) -> str:
    """A time as the headers write it: 250ms, 1.5s, 6m0s, 1h2m0s."""
    if seconds < 1:
        return f"{math.ceil(max(0.0, seconds) * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    if not minutes:
        return f"{rest:g}s"
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{round(rest, 3):g}s"


def retry_after(seconds: float) -> tuple[tuple[str, str], ...]:
    """The two headers that say when to come again: whole seconds rounded up, and milliseconds."""
    return ("retry-after", str(math.ceil(seconds))), ("retry-after-ms", str(math.ceil(seconds * 1000)))
