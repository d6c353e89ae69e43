"""Chat and agent logs, read into exchanges: a dialogue up to an answer, the answer, and what its user made of it.

Layouts, one JSON object (or bare message list) a line:

    {"messages": [OpenAI chat messages], …}                      a whole dialogue
    {"request": {"messages", …}, "response": {"choices", …}, …}  what a proxy writes

Feedback stands beside either, about the last answer, or in an assistant's message, about that one:

    "thumbs" or "feedback"   up, down, like, dislike, good, bad, 👍, 👎, true, false, 1, -1
    "rating"                 one of these words, or a number when the scale is told (a bare 1 may be best or worst)
    "edited"                 the user's version of the answer, as text
    "retries"                earlier answers to the same, oldest first (beside the row only)

Also read: id, user or user_id, conversation_id (session_id, thread_id, chat_id), created_at (timestamp),
model, tools, tags, language. An answer is everything from the user's message to the next: an agent's calls and
their results belong to it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, nearest, one_line
from data.formats.files import Item, open_source
from data.formats.parts import Turns, in_words, make_prompt, optional_text, text
from data.formats.rows import Place, Reject, reject
from data.jsonl import explain
from data.records import Lineage, Message, Prompt, digest
from datagen.chat import turns

KEYS = ("messages", "request", "response", "feedback", "thumbs", "rating", "edited", "retries")
UP = ("up", "thumbs_up", "thumbsup", "thumbs up", "like", "liked", "good", "positive", "👍", "+1")
DOWN = ("down", "thumbs_down", "thumbsdown", "thumbs down", "dislike", "disliked", "bad", "negative", "👎", "-1")
CONVERSATION = ("conversation_id", "session_id", "thread_id", "chat_id")


class Opinion(NamedTuple):
    """What a user said of an answer: "thumbs" with 1 or -1, or "rating" with a point of the scale."""

    kind: str
    value: float


class Exchange(NamedTuple):
    """One answer in a log."""

    prompt: Prompt
    answer: tuple[Message, ...]
    where: str
    key: str
    """The row's own id, else file and line: names the judgment made of it."""
    opinion: Opinion | None = None
    edited: str | None = None
    earlier: tuple[str, ...] = ()
    """Answers the user had made again before this one, oldest first."""
    user: str | None = None
    talk: str | None = None
    """The conversation it belongs to."""
    at: str | None = None
    model: str | None = None
    finish: str | None = None


class Reading(NamedTuple):
    """How logs are read: `scale` is the lowest and highest rating, `every` takes all answers, not the last alone."""

    scale: tuple[float, float] | None = None
    every: bool = False
    language: str | None = None


def read_logs(paths: Sequence[str | Path], how: Reading, rejected: Callable[[Reject], None]) -> Iterator[Exchange]:
    """Each answer of the logs, in order.

    Args:
        rejected: told each row that cannot be used, and each that comes again, with its reason.

    Raises:
        NotThere, BadInput: a file is missing, or cannot be read at all.
    """
    sources = [open_source(str(path)) for path in paths]
    seen: dict[str, str] = {}
    for source in sources:
        for item in source.items():
            place = Place(source, item.number)
            try:
                made = _exchanges(item, place, how)
                spelt = digest(item.value)
                if (first := seen.setdefault(spelt, place.where)) != place.where:
                    raise BadInput(f"the same row as {first}")
            except (ValueError, TypeError) as error:
                rejected(reject(place, item, explain(error) if isinstance(error, ValueError) else str(error)))
            except BadInput as error:
                rejected(reject(place, item, str(error)))
            else:
                yield from made


def _exchanges(item: Item, place: Place, how: Reading) -> list[Exchange]:
    if item.problem:
        raise BadInput(item.problem)
    row = {"messages": item.value} if isinstance(item.value, list) else item.value
    if not isinstance(row, Mapping):
        raise BadInput(f"the row is {in_words(row)}; an object or a list of messages is needed")
    given, request, finish = _messages(row)
    said = turns(given, "messages")
    if sum(turn["role"] == "system" for turn in said) > 1:
        raise BadInput("two system messages: two dialogues were run together, or the system changed midway")
    if not any(turn["role"] == "user" for turn in said):
        raise BadInput("no message by a user")
    ends = _answers(said)
    if (not ends or ends[-1][1] != len(said)) and not (how.every and ends):
        raise BadInput(f"ends with no answer: the last message is by the {said[-1]['role']}")
    beside = _beside(row, request, place, how)
    notes = _notes(given, how)
    made = []
    for start, end in ends:
        last = end == len(said)
        opinion, edited = _opinion(row, how) if last else (None, None)
        own = next((notes[i] for i in range(start, end) if i in notes), (None, None))
        opinion, edited = own[0] or opinion, own[1] or edited
        if not (last or how.every or opinion or edited):
            continue
        prompt = make_prompt(said[:start], **beside)
        answer = tuple(Message.model_validate(turn) for turn in said[start:end])
        extra = _who(row, request)
        earlier = _earlier(row) if last else ()
        key = place.key(row.get("id")) + ("" if last else f"@{end}")
        extra["finish"] = finish if last else None
        made.append(Exchange(prompt, answer, place.where, key, opinion, edited, earlier, **extra))
    return made


def _messages(row: Mapping[str, Any]) -> tuple[list[Any], Mapping[str, Any], str | None]:
    """The whole dialogue as the log has it, the request it came with, and why the answer ended."""
    if isinstance(row.get("messages"), list):
        return row["messages"], row, None
    request, response = row.get("request"), row.get("response")
    if isinstance(request, Mapping) and isinstance(response, Mapping):
        if response.get("error"):
            raise BadInput(f"the response is an error: {one_line(str(response['error']), 120)}")
        choices = response.get("choices")
        if not isinstance(choices, list) or not choices:
            raise BadInput(f"response.choices is {in_words(choices) if choices is None else 'empty'}: no answer")
        if len(choices) > 1:
            raise BadInput(f"{len(choices)} choices in one response, and nothing tells which was shown")
        choice = choices[0]
        if not isinstance(choice, Mapping) or not isinstance(choice.get("message"), Mapping):
            streamed = isinstance(choice, Mapping) and "delta" in choice
            raise BadInput("a chunk of a streamed answer; join them" if streamed else "the choice holds no message")
        if not isinstance(request.get("messages"), list):
            raise BadInput(f"request.messages is {in_words(request.get('messages'))}; a list of messages is needed")
        finish = choice.get("finish_reason")
        return [*request["messages"], choice["message"]], request, finish if isinstance(finish, str) else None
    if "request" in row or "response" in row:
        raise BadInput("request and response must both be objects")
    hint = next((f" ('{name}'{near})" for name in row if (near := nearest(str(name), KEYS))), "")
    raise BadInput(f"neither messages nor request and response are there{hint}")


def _answers(said: Turns) -> list[tuple[int, int]]:
    """Where each answer begins and ends: what stands between a user's message and the next, ended by the assistant."""
    found = []
    start = None
    for i, turn in enumerate([*said, {"role": "user"}]):
        if turn["role"] == "user":
            if start is not None and i > start and said[i - 1]["role"] == "assistant":
                found.append((start, i))
            start = i + 1
    return found


def _notes(given: list[Any], how: Reading) -> dict[int, tuple[Opinion | None, str | None]]:
    """Feedback inside the messages, by their places (tools' answers may move, assistants' messages never do)."""
    found = {i: _opinion(one, how) for i, one in enumerate(given) if isinstance(one, Mapping)}
    return {i: note for i, note in found.items() if note != (None, None) and given[i].get("role") == "assistant"}


def _opinion(held: Mapping[str, Any], how: Reading) -> tuple[Opinion | None, str | None]:
    """What is said of an answer, and the user's own version of it."""
    edited = text(held["edited"], "edited") if held.get("edited") is not None else None
    for name in ("thumbs", "feedback", "rating"):
        value = held.get(name)
        if isinstance(value, Mapping):  # {"rating": "up", "comment": …}
            inner = next((key for key in ("thumbs", "rating", "value", "type") if value.get(key) is not None), None)
            if inner is None:
                raise BadInput(f"{name} is an object without thumbs, rating, value or type")
            name, value = ("rating" if inner == "rating" else name), value[inner]
        if value is not None and value != "":
            return _valued(name, value, how), edited
    return None, edited


def _valued(name: str, value: Any, how: Reading) -> Opinion:
    if isinstance(value, bool):
        return Opinion("thumbs", 1 if value else -1)
    if isinstance(value, str):
        word = value.strip().lower().removesuffix("\ufe0f")
        if word in UP or word in DOWN:
            return Opinion("thumbs", 1 if word in UP else -1)
        raise BadInput(f"{name} '{one_line(value, 40)}' is neither up nor down{nearest(word, [*UP, *DOWN])}")
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"{name} is {in_words(value)}; up or down, or a number, is needed")
    if name != "rating":
        if value in (1, -1):
            return Opinion("thumbs", value)
        raise BadInput(f"{name} is {value}; 1 is up and -1 is down (0 may mean down or nothing)")
    if how.scale is None:
        raise BadInput(f"rating is {value}, and nothing tells the scale; say it, such as --scale 1,5")
    if not how.scale[0] <= value <= how.scale[1]:
        raise BadInput(f"rating is {value}, outside the scale {how.scale[0]:g} to {how.scale[1]:g}")
    return Opinion("rating", value)


def _earlier(row: Mapping[str, Any]) -> tuple[str, ...]:
    given = row.get("retries") or []
    if not isinstance(given, list):
        raise BadInput(f"retries is {in_words(given)}; a list of earlier answers is needed")
    return tuple(text(one, f"retry {number}") for number, one in enumerate(given, 1))


def _beside(row: Mapping[str, Any], request: Mapping[str, Any], place: Place, how: Reading) -> dict[str, Any]:
    """What a prompt keeps of its row beside the messages."""
    tools = request.get("tools") or row.get("tools") or None
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise BadInput(f"tools is {in_words(tools)}; a list of objects is needed")
    own = row.get("id")
    return {
        "tools": tools,
        "language": optional_text(row.get("language"), "language") or how.language,
        "tags": row.get("tags") or [],
        "source": place.source.name,
        "licence": optional_text(row.get("licence", row.get("license")), "licence"),
        "lineage": Lineage(parents=[] if own is None else [str(own)[:200]], command="datagen.from_logs"),
    }


def _who(row: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    response = row.get("response")
    served = response.get("model") if isinstance(response, Mapping) else None
    user = next((v for v in (row.get("user"), row.get("user_id"), request.get("user")) if v not in (None, "")), None)
    talk = next((row[name] for name in CONVERSATION if row.get(name) not in (None, "")), None)
    for name, value in (("user", user), ("conversation", talk)):
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise BadInput(f"{name} is {in_words(value)}; its id, as text or a whole number, is needed")
    return {
        "user": None if user is None else str(user),
        "talk": None if talk is None else str(talk),
        "at": _time(next((row[name] for name in ("created_at", "timestamp") if row.get(name) is not None), None)),
        "model": optional_text(served or row.get("model") or request.get("model"), "model"),
    }


def _time(value: Any) -> str | None:
    """A time as text; seconds since 1970 become ISO 8601."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            raise BadInput(f"created_at is {value}; seconds since 1970, or text, are needed") from None
    return optional_text(value, "created_at")
