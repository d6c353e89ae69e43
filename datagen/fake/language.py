"""What a request says, read for the fake server's answers: its last user message, its language."""

import re
from typing import Any

from datagen.fake.tokens import text_of

CHINESE = re.compile(r"[\u3400-\u9fff]")
LETTER = re.compile(r"[^\W\d_]")


def last_user(request: dict[str, Any]) -> str:
    """The text of the last user message, or an empty string."""
    for message in reversed(request["messages"]):
        if message["role"] == "user":
            return text_of(message.get("content"))
    return ""


def whole(request: dict[str, Any]) -> str:
    """All messages in one text, for recognising a template's fixed phrases."""
    return "\n".join(text_of(message.get("content")) for message in request["messages"])


def written_in(text: str) -> str:
    """`zh` when a fifth of the letters or more are Chinese characters, else `en`."""
    head = text[:2000]
    chinese = len(CHINESE.findall(head))
    return "zh" if chinese and chinese * 5 >= len(LETTER.findall(head)) else "en"
