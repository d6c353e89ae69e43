"""What the fake server saw: for tests that count what really reached it, and for people who wonder."""

from collections import Counter
from typing import Any


class Counts:
    """Counters since the start or the last reset."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        """Times each request (by its key) came, whatever became of it."""
        self.answered: Counter[str] = Counter()
        """Times each request got an answer that a client would pay for."""
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.paid_for = self.prompt_tokens = self.completion_tokens = 0
        self.at_once = self.most_at_once = 0

    def begin(self, key: str) -> int:
        """A request came. Returns how often this one has come, from 1."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.seen[key] += 1
        return self.seen[key]

    def end(self) -> None:
        """Its answer was sent, or its client left."""
        self.at_once -= 1

    def paid(self, key: str, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """It was worked on: these tokens are on the bill, whether or not the client can use what came."""
        self.answered[key] += 1
        self.paid_for += 1
        self.models[model] += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def report(self, keys: bool) -> dict[str, Any]:
        """All of it as JSON; `keys` adds the two counters per request, one entry each."""
        found: dict[str, Any] = {
            "requests": self.seen.total(),
            "distinct": len(self.seen),
            "answered": self.paid_for,
            "most_at_once": self.most_at_once,
            "at_once": self.at_once,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "by_status": {str(status): count for status, count in sorted(self.statuses.items())},
            "by_fault": dict(sorted(self.faults.items())),
            "by_model": dict(sorted(self.models.items())),
        }
        if keys:
            found["by_key"] = dict(self.seen)
            found["answered_by_key"] = dict(self.answered)
        return found
