"""General chat answers of the fake server, for requests that no method's part recognises."""

from typing import Any

from datagen.fake.draw import rng
from datagen.fake.language import last_user, written_in
from datagen.fake.reply import Reply
from datagen.fake.words import paragraph


def compose(request: dict[str, Any]) -> Reply:
    """One answer, in the language of the last user message."""
    dice = rng(request, "chat")
    return Reply(paragraph(dice, written_in(last_user(request)), dice.randint(1, 6)))
