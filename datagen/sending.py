"""One attempt: the request as it goes over the wire, what came of it, and what that means for all the others."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import orjson

from data.errors import ModelError
from datagen.budget import Price
from datagen.pace import Pace, retry_after
from datagen.provider import Lost, Provider
from datagen.request import Answer, Request
from datagen.request_log import ANSWERED, FREE, LOST, REJECTED
from datagen.structured import response_format
from datagen.validate import FAULTS, check, refused, refused_prompt, usage_of

BACKOFF_S, LONGEST_BACKOFF_S, LONGEST_WAIT_S = 0.5, 30.0, 600.0
NEVER_REACHED = 4  # failures to connect, at the very start: nobody is listening
FAILURES_IN_A_ROW = 40  # and as many as may be in flight: the server is not working
DEFAULT_MAX_TOKENS = 1024
RESEED = 1_000_003  # far beyond any number of samples


class Settings(NamedTuple):
    """How to reach a server and how hard to press it."""

    base_url: str
    api_key: str
    concurrency: int = 32
    rpm: float | None = None
    tpm: float | None = None
    timeout_s: float = 120.0
    price: Callable[[str], Price] = lambda _model: Price(0, 0)
    """Picodollars per token of a model."""
    max_cost: int | None = None
    """Cap in picodollars over all that the log has paid for."""
    max_tokens_total: int | None = None
    structured: str = "schema"
    """How JSON is asked for: schema, object or none (structured.response_format)."""
    limit_name: str = "max_tokens"
    """The parameter by which the server limits an answer; newer OpenAI models want max_completion_tokens."""
    any_model: bool = False
    reject_too_long: bool = False
    """Reject a request that does not fit the context, instead of ending the run."""


class Outcome(NamedTuple):
    """How one attempt ended, for the log: its state there, its fault, and the body that came."""

    state: int
    fault: str
    detail: str
    body: bytes | None = None
    answer: Answer | None = None
    """The answer that counts; None when one may try again."""
    wait_s: float = 0.0

    def usage(self) -> tuple[int, int] | None:
        """Tokens of prompt and answer as the server counted them; None when it did not."""
        try:
            return usage_of(orjson.loads(self.body)) if self.body else None
        except (orjson.JSONDecodeError, AttributeError):
            return None

    def cost(self, price: Price, worst: tuple[int, int]) -> tuple[int, int]:
        """What it is counted at, (picodollars, tokens): nothing when refused, its usage, else the worst case."""
        if self.state == FREE:
            return 0, 0
        usage = self.usage()
        return worst if usage is None else (usage[0] * price.input + usage[1] * price.output, sum(usage))


def max_tokens(request: Request) -> int:
    """The most tokens its answer may take."""
    return int(request.params.get("max_tokens", DEFAULT_MAX_TOKENS))


class Sender:
    """Sends to one server and heeds what it says: when to slow down, when to wait, when to stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pace = Pace(settings.concurrency, settings.rpm, settings.tpm)
        self.provider = Provider(settings.base_url, settings.api_key, settings.concurrency, settings.timeout_s)
        self.retried: Counter[tuple[str, str]] = Counter()
        """(stage, fault) to how often it was asked again because of it."""
        self.stopped: ModelError | None = None
        self._structured = settings.structured
        self._failed_in_a_row = 0
        self._reached = False

    def go_on(self) -> None:
        """Raise what stopped the run, if anything did."""
        if self.stopped is not None:
            raise self.stopped

    def halt(self) -> None:
        """Send nothing more: the run was stopped, or is over."""
        if self.stopped is None:
            self.stopped = ModelError("the run was stopped; run the same command again to go on")
        self.pace.close(self.stopped)

    def body(self, request: Request, said: list[dict[str, str]], paid_for: int) -> bytes:
        """The request as it goes over the wire.

        A seed is moved on by the sample and by each answer that could not be used: a server that keeps to
        seeds would give the same again.

        Args:
            said: what was said after an answer that is to be repaired.
            paid_for: answers to this request that could not be used.
        """
        params = dict(request.params)
        params.pop("max_tokens", None)
        if isinstance(params.get("seed"), int):
            params["seed"] = (params["seed"] + request.sample + RESEED * paid_for) % 2**31
        whole = {"model": request.model, "messages": [*request.messages, *said], **params}
        whole[self.settings.limit_name] = max_tokens(request)
        if request.tools:
            whole["tools"] = request.tools
        if request.schema is not None and (wanted := response_format(request.schema, self._structured)):
            whole["response_format"] = wanted
        return orjson.dumps(whole)

    async def send(self, request: Request, key: bytes, body: bytes, left_at: float, last: bool) -> Outcome:
        """What came of one request: its answer, or its fault and what to do.

        Args:
            left_at: what `Pace.enter` gave.
            last: no more tries: the answer counts, with its fault.
        """
        try:
            reply = await self.provider.send(body)
        except Lost as lost:
            state = FREE if lost.unsent else LOST
            return self._setback(request, key, lost.cause, str(lost), state, {}, left_at)
        self._reached = True
        if reply.status != 200:
            fault, words = refused(reply.status, reply.body)
            return self._setback(request, key, fault, words, FREE, reply.headers, left_at)
        answer = check(request, key.hex(), reply.body, self.settings.any_model)
        self._failed_in_a_row = 0
        self.pace.went_well(reply.headers)
        if answer.fault and not last and FAULTS[answer.fault].policy in ("retry", "repair"):
            self.retried[request.stage, answer.fault] += 1
            return Outcome(REJECTED, answer.fault, answer.detail, reply.body)
        return Outcome(ANSWERED, answer.fault or "", answer.detail, reply.body, answer)

    def _setback(
        self,
        request: Request,
        key: bytes,
        fault: str,
        detail: str,
        state: int,
        headers: Mapping[str, str],
        left_at: float,
    ) -> Outcome:
        """An attempt that brought no answer: slow down, wait or stop."""
        if fault == "bad_request" and request.schema is not None and self._weaken(detail):
            return Outcome(state, fault, detail)
        if fault == "content_filter" or (fault == "too_long" and self.settings.reject_too_long):
            # The server judged the prompt itself: asking again would end the same.
            body = refused_prompt(fault, detail)
            return Outcome(ANSWERED, fault, detail, body, check(request, key.hex(), body))
        if FAULTS[fault].policy == "stop":
            return self._stop(state, fault, detail, self._remedy(request, fault, detail))
        self.retried[request.stage, fault] += 1
        asked = retry_after(headers)
        if fault in ("rate_limited", "overloaded"):
            # What had left before says nothing new, however many they are.
            self._failed_in_a_row += self.pace.pressed(left_at, asked, fault == "rate_limited")
            wait_s = 0.0
        else:
            self._failed_in_a_row += 1
            wait_s = self._backoff_s() if asked is None else min(asked, LONGEST_WAIT_S)
        if line := self._hopeless(fault, detail, state):
            return self._stop(state, fault, detail, line)
        return Outcome(state, fault, detail, wait_s=wait_s)

    def _backoff_s(self) -> float:
        doubled: float = BACKOFF_S * 2 ** min(self._failed_in_a_row // 4, 7)
        return min(LONGEST_BACKOFF_S, doubled) * random.uniform(0.75, 1.25)

    def _hopeless(self, fault: str, detail: str, state: int) -> str | None:
        """The line to end with when the server does not work; None while there is hope."""
        url, failed = self.settings.base_url, self._failed_in_a_row
        if fault == "server_gone" and state == FREE and not self._reached and failed >= NEVER_REACHED:
            return f"nobody answers at {url} ({detail}); start the server, or check --base-url"
        if failed >= FAILURES_IN_A_ROW + self.settings.concurrency:
            words = f"{url} failed {failed} times in a row, last: {fault} ({detail})"
            return f"{words}; see to the server, then run the same command again to go on"
        return None

    def _stop(self, state: int, fault: str, detail: str, line: str) -> Outcome:
        """End the run: what waits for its turn is told, what is under way is let finish."""
        if self.stopped is None:
            self.stopped = ModelError(line)
            self.pace.close(self.stopped)
        return Outcome(state, fault, detail)

    def _remedy(self, request: Request, fault: str, words: str) -> str:
        remedy = {
            "wrong_key": "set the right key in the environment variable that --api-key-env names",
            "no_model": f"the server has no model '{request.model}', or no such address; check --model and --base-url",
            "quota": "top up the account, then run the same command again to go on",
            "too_long": "shorten the prompt or --max-tokens, or pass --overflow reject to go on without it",
        }.get(fault, "the server does not take this request; check the parameters")
        return f"{self.settings.base_url}: {FAULTS[fault].meaning} (it says: {words}); {remedy}"

    def _weaken(self, detail: str) -> bool:
        """Ask for JSON in a way the server knows, when it says it does not know this one."""
        if not any(word in detail for word in ("response_format", "json_schema", "guided")):
            return False
        weaker = {"schema": "object", "object": "none"}.get(self._structured)
        self._structured = weaker or self._structured
        return weaker is not None
