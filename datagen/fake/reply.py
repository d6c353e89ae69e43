"""What a method's part of the fake server gives: one answer, before it is cut to length and put into JSON."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """One answer. Stops, the token limit, usage and log-probabilities are the server's work."""

    text: str = ""
    finish: str | None = None
    """Set only to claim another finish_reason than stop, length or tool_calls."""
    tool_calls: list[dict[str, Any]] | None = None
    """OpenAI tool calls: {"id", "type": "function", "function": {"name", "arguments"}}."""
    refusal: str | None = None
    """The message's `refusal` field, as OpenAI sets it with structured output; content is then null."""
    chances: Mapping[int, Mapping[str, float]] = {}
    """Position of a token (from the end when negative) to the probabilities of what could stand there, sum <= 1.
    For a judge's choice: Reply("A", chances={0: {"A": 0.7, "B": 0.25}}). Other places get made-up ones."""
