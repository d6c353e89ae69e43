"""The client: asks, waits its turn, keeps to the budget, logs before and after, checks, and tries again.

    async with Client(settings, log) as client:
        answer = await client.ask(Request("my-model", [{"role": "user", "content": "…"}]))

An answer in the log is never asked for again. What goes wrong has a name and a policy (validate.FAULTS); an
Answer that comes back with a fault is rejected for good and the log keeps what came. Nothing is ever None.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from data.errors import BudgetEnded
from datagen.budget import Budget, worst_tokens
from datagen.request import Answer, Request
from datagen.request_log import ANSWERED, RequestLog
from datagen.sending import Outcome, Sender, Settings, max_tokens
from datagen.structured import repair_messages
from datagen.validate import FAULTS, check

__all__ = ["Client", "Settings"]

T = TypeVar("T")
R = TypeVar("R")

PAID_TRIES = 3  # answers paid for one request: the first, and two for the policies retry and repair
WAIT_TRIES = 8  # failures of one request before it is rejected; a rate limit does not count
DRAIN_S = 20.0  # how long answers under way are waited for (they are paid) when the run must stop


class Client:
    """Asks one server; use as an async context manager. `counts` says what happened in this run."""

    def __init__(self, settings: Settings, log: RequestLog, answered: Callable[[], None] = lambda: None) -> None:
        self.settings, self.log = settings, log
        self.sender = Sender(settings)
        self.budget = Budget(settings.max_cost, settings.max_tokens_total, log.spent.cost, log.spent.tokens)
        self.counts: Counter[tuple[str, str]] = Counter()
        """(stage, what) to how often: asked, from_log, good, and each fault by its name."""
        self._answered = answered
        self._running: dict[bytes, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        """What `each` has begun and not handed over: when its reader fails, they are ended with the client."""

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
            self.sender.halt()
            raise
        finally:
            await self._drain([task for _, task in window])
        if ended is not None:
            raise ended

    async def _ask_anew(self, request: Request, key: bytes) -> Answer:
        """Send a request until it is answered, its tries are used up, or the run must stop."""
        unusable = self.log.rejected(key)  # by a run that was stopped between two tries
        failures = 0
        while True:
            said = self._repair(request, key, unusable[-1]) if unusable else []
            outcome = await self._attempt(request, key, said, len(unusable))
            if outcome.answer is not None:
                return outcome.answer
            if outcome.body is not None:
                unusable.append(outcome.body)
                continue
            failures += outcome.fault not in ("rate_limited", "overloaded")
            if failures >= WAIT_TRIES:
                return Answer(key=key.hex(), fault=outcome.fault, detail=outcome.detail)
            await asyncio.sleep(outcome.wait_s)

    def _repair(self, request: Request, key: bytes, body: bytes) -> list[dict[str, str]]:
        answer = check(request, key.hex(), body, self.settings.any_model)
        return repair_messages(answer.text, answer.detail) if FAULTS[answer.fault or "empty"].policy == "repair" else []

    async def _attempt(self, request: Request, key: bytes, said: list[dict[str, str]], paid_for: int) -> Outcome:
        """Send once: in its turn, within the budget, and with the log written before and after."""
        body = self.sender.body(request, said, paid_for)
        prompt, answer = worst_tokens(body, len(request.messages) + len(said), max_tokens(request))
        price = self.settings.price(request.model)
        worst = (prompt * price.input + answer * price.output, prompt + answer)
        left_at = await self.sender.pace.enter(worst[1])
        try:
            self.sender.go_on()
            await self.budget.reserve(*worst)
            paid = worst  # until the outcome is known
            try:
                self.sender.go_on()
                attempt = await self.log.reserve(key, request.stage, request.model, worst[1], worst[0])
                self.counts[request.stage, "asked"] += 1
                outcome = await self.sender.send(request, key, body, left_at, paid_for + 1 >= PAID_TRIES)
                paid = outcome.cost(price, worst)
                cause, usage = outcome.fault, outcome.usage()
                await self.log.settle(attempt, key, outcome.state, cause, paid[1], paid[0], usage, outcome.body)
                if outcome.state != ANSWERED:
                    self.sender.go_on()
            finally:
                self.budget.settle(worst, paid)
        finally:
            self.sender.pace.leave()
        return outcome

    async def _drain(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Wait for the answers that are under way, since they are paid for; end everything else."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_S
        while self.sender.pace.in_flight and loop.time() < until:
            if not (begun := [task for task in tasks if not task.done()]):
                break
            await asyncio.wait(begun, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
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
        self.sender.halt()
        await self._drain([*self._tasks])
        await self.sender.provider.__aexit__()
