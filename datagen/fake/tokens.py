"""How the fake server counts tokens: words with their leading space, three digits, one Chinese character."""

import re
from typing import Any

import orjson

# The pieces of a text, put together, are the text again: the last alternative takes whatever is left.
PIECE = re.compile(r" ?[A-Za-z]{1,12}| ?[0-9]{1,3}|[\u3400-\u9fff]| ?[^\w\s]|\n+|.", re.S)
PER_MESSAGE = 3  # what a role and its marks cost, as OpenAI counts them
PER_PROMPT = 3  # what opens the answer


def split(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return PIECE.findall(text)


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def prompt_tokens(request: dict[str, Any]) -> int:
    """What a chat request costs to read: messages, tool calls in them, tools and the schema asked for."""
    total = PER_PROMPT
    for message in request["messages"]:
        total += PER_MESSAGE + len(PIECE.findall(text_of(message.get("content"))))
        if message.get("tool_calls"):
            total += len(PIECE.findall(orjson.dumps(message["tool_calls"]).decode()))
    for extra in ("tools", "response_format"):
        if request.get(extra):
            total += len(PIECE.findall(orjson.dumps(request[extra]).decode()))
    return total
