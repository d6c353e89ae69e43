"""Whether training and serving turn a conversation into the same tokens: each is rendered through both tokenizers.

What is trained on one template and served with another answers badly without any error.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from train.exports import Message


class Rendering(NamedTuple):
    """One conversation through both tokenizers."""

    same: bool
    trained: str
    """sha256 of the ids that training sees: the prompt with what opens an answer, then the whole conversation."""
    served: str


def compare(conversation: Sequence[Message], prompt: int, tools: Any, training: Any, serving: Any) -> Rendering:
    """Render and tokenise a conversation through the training and the serving tokenizer.

    Args:
        conversation: the prompt and, after it, an answer.
        prompt: how many of its messages are the prompt.
    """
    trained, served = (_ids(conversation, prompt, tools, one) for one in (training, serving))
    return Rendering(trained == served, _hash(trained), _hash(served))


def _ids(conversation: Sequence[Message], prompt: int, tools: Any, tokenizer: Any) -> Any:
    """Ids of the prompt, ready to be answered, and of the whole; a template's complaint by its kind."""
    from jinja2 import TemplateError

    made = []
    for messages, opened in ((list(conversation[:prompt]), True), (list(conversation), False)):
        try:
            text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=opened)
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            made.append([type(error).__name__])
            continue
        made.append(tokenizer(str(text), add_special_tokens=False, verbose=False)["input_ids"])
    return made


def _hash(ids: Any) -> str:
    return sha256(json.dumps(ids).encode()).hexdigest()
