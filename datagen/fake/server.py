"""The fake server's endpoints: what each path answers, the limits before it and the counts behind it."""

import asyncio
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from data.errors import BadInput
from datagen.fake.checking import check, error
from datagen.fake.completion import completion, events
from datagen.fake.counts import Counts
from datagen.fake.draw import digest, share
from datagen.fake.faults import MODEL_PREFIX, Rule, pick, rule
from datagen.fake.limits import Limits, retry_after
from datagen.fake.misbehaving import EDITS, REFUSALS, UNPAID_MANNERS, misbehave
from datagen.fake.tokens import prompt_tokens
from datagen.fake.wire import JSON, Asked, Connection, Response

EVENTS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
NOTHING: set[str] = set()
MODELS = ("fake-large", "fake-small", "fake-judge")  # listed where --models names none


class Settings(NamedTuple):
    """What the command's flags say."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much is added, by the request and not by chance."""
    rpm: float | None = None
    tpm: float | None = None
    burst_s: float = 60.0
    limit_headers: bool = True
    concurrency: int | None = None
    faults: tuple[Rule, ...] = ()
    models: tuple[str, ...] = ()
    """The only models there are; with none, any name is answered."""
    key: str | None = None
    seed: int = 0
    quota: int | None = None
    """Answers until the quota is used up."""
    context: int = 131_072
    """Tokens that prompt and answer may have together."""
    drip_s: float = 0.1
    plain: bool = False
    """General chat without refusals, empty answers, echoes and slips."""


class Fake:
    """One server's state: settings, counts and limits."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings, self._clock = settings, clock
        self.reset()

    def reset(self) -> None:
        """Forget all requests: counts, attempts, limits and quota start anew."""
        self.counts = Counts()
        self.limits = Limits(self.settings.rpm, self.settings.tpm, self.settings.burst_s)

    def handle(self, asked: Asked) -> Response:
        """The response to any request."""
        path = asked.path.rstrip("/")
        if path == "/v1/chat/completions" and asked.method == "POST":
            return self._chat(asked)
        if path == "/v1/models" and asked.method == "GET":
            listed = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in self._models()]
            return _json({"object": "list", "data": listed})
        if path == "/health" and asked.method == "GET":
            return _json({"status": "ok"})
        if path == "/counts" and asked.method == "GET":
            keys = parse_qs(asked.query).get("keys") != ["0"]
            return _json({**self.counts.report(keys), "limits": self.limits.report()})
        if path == "/reset" and asked.method == "POST":
            self.reset()
            return _json({"status": "ok"})
        return error(404, f"Unknown request URL: {asked.method} {asked.path}.", "unknown_url")

    def _models(self) -> tuple[str, ...]:
        return self.settings.models or MODELS

    def _chat(self, asked: Asked) -> Response:
        """Count it, answer it, and count what became of it."""
        try:
            request = orjson.loads(asked.body)
        except orjson.JSONDecodeError:
            request = None
        key = digest(request if isinstance(request, dict) else {}, without=NOTHING).hex()
        counts = self.counts  # a reset while it is under way starts new ones
        attempt = counts.begin(key)
        try:
            response = self._answer(asked, request, key, attempt)
        except Exception as failed:  # a mistake in a method's part: said, and the server lives on
            traceback.print_exc()
            response = error(500, f"the fake server failed: {failed!r}", "fake_failed", "server_error")
        if response.manner not in UNPAID_MANNERS:  # nothing is sent in those
            counts.statuses[response.status] += 1
        delay = self.settings.latency_s
        if self.settings.jitter_s:
            delay += self.settings.jitter_s * share(key.encode(), attempt, "latency")
        return response._replace(delay_s=delay, on_sent=counts.end)

    def _answer(self, asked: Asked, request: Any, key: str, attempt: int) -> Response:
        refused = self._refused(asked, request) or check(request)
        if refused:
            return refused
        try:
            fault = pick(self._rules(asked, request["model"]), key.encode(), attempt, self.settings.seed)
        except BadInput as bad:
            return error(400, str(bad), "unknown_fault")
        if fault:
            self.counts.faults[fault] += 1
            if fault in REFUSALS:
                return REFUSALS[fault][1]()
        read = prompt_tokens(request)
        room = request.get("max_completion_tokens") or request.get("max_tokens") or 1
        if read + room > self.settings.context:
            message = f"This model's maximum context length is {self.settings.context} tokens, not {read} + {room}."
            return error(400, message, "context_length_exceeded", param="messages")
        whole = completion(self._own(request), f"{key[:24]}-{attempt}", read)
        return self._sent(request, whole, key, fault)

    def _sent(self, request: dict[str, Any], whole: dict[str, Any], key: str, fault: str | None) -> Response:
        """The response to a request that was worked on, unless a rate limit stops it now."""
        usage = whole["usage"]
        headers: tuple[tuple[str, str], ...] = ()
        if self.limits.on:
            verdict = self.limits.ask(usage["total_tokens"], self._clock())
            headers = verdict.headers if self.settings.limit_headers else ()
            if not verdict.allowed:
                message = f"Rate limit reached for {request['model']} on {verdict.what} per min."
                again = retry_after(verdict.retry_after_s) if self.settings.limit_headers else ()
                return error(429, message, "rate_limit_exceeded", verdict.what, headers + again)
        if fault not in UNPAID_MANNERS:
            self.counts.paid(key, request["model"], usage["prompt_tokens"], usage["completion_tokens"])
        if fault in EDITS:
            whole = EDITS[fault][1](whole, request)
        if request.get("stream"):
            wanted = (request.get("stream_options") or {}).get("include_usage")
            good = Response(200, b"", EVENTS + headers, tuple(events(whole, bool(wanted))))
        else:
            good = Response(200, orjson.dumps(whole), JSON + headers)
        return misbehave(fault, good) if fault and fault not in EDITS else good

    def _own(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with what the server's flags add to it."""
        own: dict[str, Any] = {"fake_seed": self.settings.seed} if self.settings.seed else {}
        if self.settings.plain:
            own["fake_plain"] = True
        return {**request, **own} if own else request

    def _rules(self, asked: Asked, model: str) -> tuple[Rule, ...]:
        """The faults that this request may meet: its own, else the server's."""
        named = asked.headers.get(b"x-fault", b"").decode("latin-1")
        if not named and model.startswith(MODEL_PREFIX):
            named = model.removeprefix(MODEL_PREFIX)
        return (rule(named),) if named else self.settings.faults

    def _refused(self, asked: Asked, request: Any) -> Response | None:
        """A wrong key, no such model, the quota, too many at once, a prompt too long."""
        settings = self.settings
        if settings.key is not None and asked.headers.get(b"authorization") != f"Bearer {settings.key}".encode():
            return error(401, "Incorrect API key provided.", "invalid_api_key")
        model = request.get("model") if isinstance(request, dict) else None
        is_fault = isinstance(model, str) and model.startswith(MODEL_PREFIX)
        if settings.models and isinstance(model, str) and model not in settings.models and not is_fault:
            return error(404, f"The model '{model}' does not exist or you do not have access to it.", "model_not_found")
        if settings.quota is not None and self.counts.paid_for >= settings.quota:
            return error(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
        if settings.concurrency is not None and self.counts.at_once > settings.concurrency:
            return error(429, "Too many concurrent requests.", "rate_limit_exceeded", "requests", retry_after(0.1))
        return None


def _json(value: Any) -> Response:
    return Response(200, orjson.dumps(value))


def serve(fake: Fake, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answer until a signal (TERM or INT) ends it; `ready` is called once connections are taken."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(fake, listening, ready))


async def _serve(fake: Fake, listening: socket.socket, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    open_ones: set[Connection] = set()
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, ended.set)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            break
    server = await loop.create_server(
        lambda: Connection(fake.handle, open_ones, fake.settings.drip_s), sock=listening, backlog=4096
    )
    ready()
    await ended.wait()
    server.close()
    for connection in list(open_ones):
        connection.end()
    await server.wait_closed()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
