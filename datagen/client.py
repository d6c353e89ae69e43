"""The client: asks, waits its turn, keeps to the budget, logs before and after, checks, and tries again.

    async with Client(settings) as client:
        answer = await client.ask(Request("my-model", [{"role": "user", "content": "…"}]))

An answer in the log is never asked for again. What goes wrong has a name and a policy (validate.FAULTS); an
Answer that comes back with a fault is rejected for good and the log keeps what came. Nothing is ever None.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import orjson

from data.errors import BudgetEnded, ModelError
from datagen.budget import Budget, Price, worst_tokens
from datagen.pace import Pace, retry_after
from datagen.provider import Lost, Provider
from datagen.request import Answer, Request
from datagen.request_log import ANSWERED, FREE, LOST, REJECTED, RequestLog
from datagen.structured import repair_messages, response_format
from datagen.validate import FAULTS, check, refused, refused_prompt, usage_of

T = TypeVar("T")
R = TypeVar("R")

PAID_TRIES = 3  # answers paid for one request: the first, and two for the policies retry and repair
WAIT_TRIES = 8  # failures of one request before it is rejected; a rate limit does not count
BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
NEVER_REACHED = 4  # failures to connect, at the very start: nobody is listening
FAILURES_IN_A_ROW = 40  # over all requests, without one answer between: the server is not working
DRAIN_S = 20.0  # how long answers under way are waited for (they are paid) when the run must stop
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


class Client:
    """Asks one server; use as an async context manager. `counts` says what happened in this run."""

    def __init__(self, settings: Settings, log: RequestLog, answered: Callable[[], None] = lambda: None) -> None:
        self.settings, self.log = settings, log
        self.pace = Pace(settings.concurrency, settings.rpm, settings.tpm)
        self.budget = Budget(settings.max_cost, settings.max_tokens_total, log.spent.cost, log.spent.tokens)
        self.provider = Provider(settings.base_url, settings.api_key, settings.concurrency, settings.timeout_s)
        self.counts: Counter[tuple[str, str]] = Counter()
        """(stage, what) to how often: asked, from_log, good, and each fault by its name."""
        self.stopped: ModelError | None = None
        self._answered = answered
        self._structured = settings.structured
        self._running: dict[bytes, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        """What `each` has begun and not handed over: when its reader fails, they are ended with the client."""
        self._failed_in_a_row = 0
        self._reached = False

    async def ask(self, request: Request) -> Answer:
        """The answer to a request: from the log, else asked for, checked and logged.

        Raises:
            BudgetEnded: sending it could pass the cap.
            ModelError: the server cannot be used; nothing more is sent in this run.
        """
        key = request.key(self.settings.base_url)
        if key not in self.log:
            while (other := self._running.get(key)) is not None:
                await asyncio.wait([other])
            if key not in self.log:
                self._running[key] = asyncio.get_running_loop().create_future()
                try:
                    answer = await self._ask_anew(request, key)
                finally:
                    self._running.pop(key).set_result(None)
                self._count(request, answer)
                return answer
        self.counts[request.stage, "from_log"] += 1
        answer = check(request, key.hex(), self.log.answer(key) or b"", self.settings.any_model)
        self._count(request, answer)
        return answer

    async def each(self, items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> AsyncIterator[tuple[T, R]]:
        """Run `work` on every item, many at once, and yield (item, result) in the order of the items.

        Raises:
            BudgetEnded: after every result that was finished has been yielded; items without one did not end.
            ModelError: at once, when answers under way have been logged.
        """
        source = iter(items)
        window: deque[tuple[T, asyncio.Task[R]]] = deque()
        width = 4 * self.settings.concurrency + 16  # one slow head must not idle the rest
        ended: BudgetEnded | None = None
        more = True
        try:
            while more or window:
                while more and ended is None and len(window) < width:
                    try:
                        item = next(source)
                    except StopIteration:
                        more = False
                        break
                    task = asyncio.ensure_future(work(item))
                    self._tasks.add(task)
                    window.append((item, task))
                if not window:
                    break
                item, task = window[0]
                if not task.done():
                    await asyncio.wait((task,))  # a plain await would hand a Ctrl-C on to an answer under way
                window.popleft()
                self._tasks.discard(task)
                try:
                    result = task.result()
                except BudgetEnded as error:
                    ended = ended or error
                    continue
                yield item, result
        except GeneratorExit:  # the reader has enough; the client goes on
            raise
        except BaseException:
            self._halt()
            raise
        finally:
            await self._drain([task for _, task in window])
        if ended is not None:
            raise ended

    async def _ask_anew(self, request: Request, key: bytes) -> Answer:
        """Send a request until it is answered, its tries are used up, or the run must stop."""
        said: list[dict[str, str]] = []
        earlier = self.log.rejected(key)  # by a run that was stopped between two tries
        paid = len(earlier)
        if earlier:
            said = self._repair(request, key, earlier[-1])
        failures = 0
        while True:
            outcome = await self._attempt(request, key, said, paid)
            if isinstance(outcome, Answer):
                return outcome
            fault, detail, body = outcome
            if body is not None:
                paid += 1
                said = self._repair(request, key, body)
                continue
            failures += fault not in ("rate_limited", "overloaded")
            if failures >= WAIT_TRIES:
                return Answer(key=key.hex(), fault=fault, detail=detail)

    def _repair(self, request: Request, key: bytes, body: bytes) -> list[dict[str, str]]:
        answer = check(request, key.hex(), body, self.settings.any_model)
        return repair_messages(answer.text, answer.detail) if FAULTS[answer.fault or "empty"].policy == "repair" else []

    async def _attempt(
        self, request: Request, key: bytes, said: list[dict[str, str]], paid_for: int
    ) -> Answer | tuple[str, str, bytes | None]:
        """Send once. An Answer is final; else (fault, detail, the paid body or None) and one may try again."""
        body = self._body(request, said, paid_for)
        worst = worst_tokens(body, len(request.messages) + len(said), self._limit(request))
        price = self.settings.price(request.model)
        held = (worst[0] * price.input + worst[1] * price.output, sum(worst))
        left_at = await self.pace.enter(held[1])
        try:
            self._go_on()
            await self.budget.reserve(*held)
            paid = held  # until the outcome is known, the worst case counts
            try:
                self._go_on()
                attempt = await self.log.reserve(key, request.stage, request.model, held[1], held[0])
                self.counts[request.stage, "asked"] += 1
                outcome = await self._send(request, key, body, left_at, paid_for + 1 >= PAID_TRIES)
                paid = self._cost(price, held, outcome)
                await self._settle(attempt, key, outcome, paid)
                if outcome.state != ANSWERED:
                    self._go_on()
            finally:
                self.budget.settle(held, paid)
        finally:
            self.pace.leave()
        if outcome.answer is not None:
            return outcome.answer
        await asyncio.sleep(outcome.wait_s)
        return outcome.fault, outcome.detail, outcome.body

    async def _send(self, request: Request, key: bytes, body: bytes, left_at: float, last: bool) -> "_Outcome":
        """What came of one request: its answer, or its fault and what to do."""
        try:
            reply = await self.provider.send(body)
        except Lost as lost:
            state = FREE if lost.unsent else LOST
            return self._refusal(request, key, lost.cause, str(lost), state, {}, left_at)
        self._reached = True
        if reply.status != 200:
            fault, words = refused(reply.status, reply.body)
            return self._refusal(request, key, fault, words, FREE, reply.headers, left_at)
        answer = check(request, key.hex(), reply.body, self.settings.any_model)
        self._failed_in_a_row = 0
        self.pace.went_well(reply.headers)
        if answer.fault and not last and FAULTS[answer.fault].policy in ("retry", "repair"):
            self.counts[request.stage, f"retried: {answer.fault}"] += 1
            return _Outcome(REJECTED, answer.fault, answer.detail, reply.body)
        return _Outcome(ANSWERED, answer.fault or "", answer.detail, reply.body, answer)

    def _refusal(
        self, request: Request, key: bytes, fault: str, detail: str, state: int, headers: Any, left_at: float
    ) -> "_Outcome":
        """An attempt that brought no answer: slow down or stop, and say how long to wait."""
        if fault == "bad_request" and request.schema is not None and self._weaken(detail):
            return _Outcome(state, fault, detail)
        if fault == "content_filter" or (fault == "too_long" and self.settings.reject_too_long):
            # The server judged the prompt itself: asking again would end the same.
            body = refused_prompt(fault, detail)
            return _Outcome(ANSWERED, fault, detail, body, check(request, key.hex(), body))
        if FAULTS[fault].policy == "stop":
            return self._stop(state, fault, detail, self._line(request, fault, detail))
        self.counts[request.stage, f"retried: {fault}"] += 1
        self._failed_in_a_row += 1
        if fault == "server_gone" and state == FREE and not self._reached and self._failed_in_a_row >= NEVER_REACHED:
            line = f"nobody answers at {self.settings.base_url} ({detail}); start the server, or check --base-url"
            return self._stop(state, fault, detail, line)
        if self._failed_in_a_row >= FAILURES_IN_A_ROW + self.settings.concurrency:
            line = (
                f"{self.settings.base_url} failed {self._failed_in_a_row} times in a row, last: {fault}"
                f" ({detail}); see to the server, then run the same command again to go on"
            )
            return self._stop(state, fault, detail, line)
        asked = retry_after(headers)
        backoff = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(self._failed_in_a_row // 4, 7)) * random.uniform(
            0.75, 1.25
        )
        if fault in ("rate_limited", "overloaded"):
            self.pace.pressed(left_at, asked, fault == "rate_limited")
            return _Outcome(state, fault, detail)
        return _Outcome(state, fault, detail, wait_s=backoff if asked is None else min(asked, 600.0))

    def _stop(self, state: int, fault: str, detail: str, line: str) -> "_Outcome":
        """End the run: what waits for its turn is told, what is under way is let finish."""
        if self.stopped is None:
            self.stopped = ModelError(line)
            self.pace.close(self.stopped)
        return _Outcome(state, fault, detail)

    def _line(self, request: Request, fault: str, words: str) -> str:
        url, model = self.settings.base_url, request.model
        remedy = {
            "wrong_key": "set the right key in the environment variable that --api-key-env names",
            "no_model": f"the server has no model '{model}', or no such address; check --model and --base-url",
            "quota": "top up the account, then run the same command again to go on",
            "too_long": "shorten the prompt or --max-tokens, or pass --overflow reject to go on without it",
        }.get(fault, "the server does not take this request; check the parameters")
        return f"{url}: {FAULTS[fault].meaning} (it says: {words}); {remedy}"

    def _weaken(self, detail: str) -> bool:
        """Ask for JSON in a way the server knows, when it says it does not know this one."""
        if "response_format" not in detail and "json_schema" not in detail and "guided" not in detail:
            return False
        weaker = {"schema": "object", "object": "none"}.get(self._structured)
        self._structured = weaker or self._structured
        return weaker is not None

    def _body(self, request: Request, said: list[dict[str, str]], paid_for: int) -> bytes:
        """The request as it goes over the wire.

        A seed is moved on by the sample and by each answer that could not be used: a server that keeps to
        seeds would give the same again.
        """
        params = dict(request.params)
        if isinstance(params.get("seed"), int):
            params["seed"] = (params["seed"] + request.sample + RESEED * paid_for) % 2**31
        limit = params.pop("max_tokens", DEFAULT_MAX_TOKENS)
        body = {
            "model": request.model,
            "messages": [*request.messages, *said],
            **params,
            self.settings.limit_name: limit,
        }
        if request.tools:
            body["tools"] = request.tools
        if request.schema is not None and (wanted := response_format(request.schema, self._structured)):
            body["response_format"] = wanted
        return orjson.dumps(body)

    @staticmethod
    def _limit(request: Request) -> int:
        return int(request.params.get("max_tokens", DEFAULT_MAX_TOKENS))

    @staticmethod
    def _cost(price: Price, held: tuple[int, int], outcome: "_Outcome") -> tuple[int, int]:
        """What an attempt is counted at: nothing when refused, its usage when told, else the worst case."""
        if outcome.state == FREE:
            return 0, 0
        usage = outcome.usage()
        if usage is None:
            return held
        return usage[0] * price.input + usage[1] * price.output, sum(usage)

    async def _settle(self, attempt: int, key: bytes, outcome: "_Outcome", paid: tuple[int, int]) -> None:
        cause, usage = outcome.fault, outcome.usage()
        await self.log.settle(attempt, key, outcome.state, cause, paid[1], paid[0], usage, outcome.body)

    def _go_on(self) -> None:
        if self.stopped is not None:
            raise self.stopped

    def _halt(self) -> None:
        """Send nothing more: the run was stopped, or cannot go on."""
        if self.stopped is None:
            self.stopped = ModelError("the run was stopped; run the same command again to go on")
        self.pace.close(self.stopped)

    async def _drain(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Wait for the answers that are under way, since they are paid for; end everything else."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_S
        while tasks and self.pace.in_flight and loop.time() < until:
            if not (await asyncio.wait(tasks, timeout=0.05, return_when=asyncio.FIRST_COMPLETED))[1]:
                break
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)

    def _count(self, request: Request, answer: Answer) -> None:
        self.counts[request.stage, answer.fault or "good"] += 1
        self._answered()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._halt()
        await self._drain([*self._tasks])
        await self.provider.__aexit__()


class _Outcome(NamedTuple):
    """How one attempt ended."""

    state: int
    fault: str
    detail: str
    body: bytes | None = None
    answer: Answer | None = None
    wait_s: float = 0.0

    def usage(self) -> tuple[int, int] | None:
        try:
            return usage_of(orjson.loads(self.body)) if self.body else None
        except (orjson.JSONDecodeError, AttributeError):
            return None
