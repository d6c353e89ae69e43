"""What goes to a model and what came back: plain values, and the key by which an answer is found again."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from data.records import canonical

KEY_BYTES = 16  # 128 bits: among a billion requests, one chance in 10^20 that two share a key


class Request(NamedTuple):
    """One question to a model: everything that shapes the answer, and what to make of it."""

    model: str
    messages: list[dict[str, Any]]
    """OpenAI chat messages: role, content, and for tools tool_calls, tool_call_id, name."""
    params: Mapping[str, Any] = {}
    """Sampling: temperature, top_p, max_tokens, stop, presence_penalty, frequency_penalty, seed, logprobs, …"""
    tools: list[dict[str, Any]] | None = None
    schema: Mapping[str, Any] | None = None
    """JSON schema the answer must fit; the parsed answer is `Answer.value`."""
    sample: int = 0
    """Which of several answers to the same question this is: each is asked and kept by itself."""
    stage: str = "ask"
    """The step this belongs to, for the summary; not part of the key."""
    accept: frozenset[str] = frozenset()
    """Names of faults that this step takes as answers (see datagen/validate.py); not part of the key."""

    def key(self, base_url: str) -> bytes:
        """The hash of all that shapes the answer: server, model, messages, tools, schema, parameters, sample."""
        params = dict(self.params)
        shape = [base_url, self.model, self.messages, self.tools, self.schema, params, self.sample]
        return hashlib.sha256(canonical(shape)).digest()[:KEY_BYTES]


class Answer(NamedTuple):
    """What a model gave, checked. When `fault` is set the answer is rejected, and everything else is what came."""

    key: str
    """The request's key in hexadecimal digits: where the log keeps it, and what lineage names."""
    text: str = ""
    finish: str = ""
    """The server's finish_reason: stop, length, tool_calls, …"""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tool_calls: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None
    """Per token as the server gives it: {"token", "logprob", "top_logprobs": [{"token", "logprob"}, …]}."""
    value: Any = None
    """The answer as data, where the request had a schema."""
    fault: str | None = None
    """Why it was rejected, one of the names in datagen/validate.py; None when it is good."""
    detail: str = ""
    """What exactly was wrong, in one line."""
