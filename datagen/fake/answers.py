"""Which part of the fake server answers a request: the first that recognises it, else the general chat.

A method's part is a module of this folder with two plain functions, named in PARTS below:

    def recognise(request: dict[str, Any]) -> bool:    # by a fixed phrase of the method's own templates
        return "Come up with a series of tasks" in last_user(request)

    def compose(request: dict[str, Any]) -> Reply:     # from draw.rng(request, …) and words, nothing else
        ...

`request` is the body as it came, with `fake_seed` (the server's --seed) and `fake_choice` (which of n)
where they are not 0, so that dice from draw.py already depend on them.
"""

from collections.abc import Callable
from typing import Any

from datagen.fake import chat, constitution, instruct, judging, red_team, structured
from datagen.fake.reply import Reply

# Asked in this order; the general ones come last.
PARTS: list[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], Reply]]] = [
    (constitution.recognise, constitution.compose),
    (red_team.recognise, red_team.compose),
    (judging.recognise, judging.compose),
    (structured.recognise, structured.compose),
    (instruct.recognise, instruct.compose),
]


def compose(request: dict[str, Any]) -> Reply:
    """One answer to a chat request."""
    for recognise, answer in PARTS:
        if recognise(request):
            return answer(request)
    return chat.compose(request)
