"""Text, messages, prompts and responses from a source's plain values, each fault named by its field.

A layout gives these functions what stood in its fields and gets records back, or BadInput with
a reason that names the field; the ids are those of data.records, computed once per record.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from data.errors import BadInput, nearest
from data.records import MAX_TEXT, Lineage, Prompt, Response, content_id

ROLES = ("system", "user", "assistant", "tool")
LEAST, MOST = 2, 9  # responses in a task


Turns = list[dict[str, Any]]
"""Messages in the spelling that is hashed, as Message.plain() gives it: what is absent has no key.

Layouts work on these and a record is validated whole, once: half the time of one message after another.
"""

RESPONSES = TypeAdapter(list[Response])


class Answer(NamedTuple):
    """A response as a layout found it: what was said, and by which model when the source names one."""

    turns: Turns
    model: str | None = None
    lineage: Lineage | None = None


def in_words(value: Any) -> str:
    """What a JSON value is, for a reason: "missing", "true", "a number", "text", "a list" or "an object"."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, words in (
        (int | float, "a number"),
        (str, "text"),
        (Sequence, "a list"),
        (Mapping, "an object"),
    ):
        if isinstance(value, kind):
            return words
    return f"a {type(value).__name__}"


def text(value: Any, name: str) -> str:
    """The value when it is text of at most MAX_TEXT characters (none is legal); BadInput names the field."""
    if not isinstance(value, str):
        raise BadInput(f"{name} is {in_words(value)}" + ("" if value is None else ", not text"))
    if len(value) > MAX_TEXT:
        raise BadInput(f"{name} has {len(value):,} characters; the limit is {MAX_TEXT:,}")
    return value


def optional_text(value: Any, name: str) -> str | None:
    """The value when it is text, None when it is absent or empty; BadInput when it is something else."""
    return None if value is None or value == "" else text(value, name)


def optional_int(value: Any, name: str, low: int, high: int) -> int | None:
    """The value when it is a whole number from low to high, None when there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f"{name} is {value!r}; a whole number from {low} to {high} is needed")
    return value


def known_keys(value: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Refuse a key that nobody reads, so that a misspelt field is not lost in silence."""
    for key in value:
        if key not in known:
            raise BadInput(f"{what} has an unknown key '{key}'" + nearest(key, known))


def assistant(value: Any, name: str) -> Turns:
    """An answer given as text: one message by the assistant."""
    return [{"role": "assistant", "content": text(value, name)}]


def messages(value: Any, name: str) -> Turns:
    """A list of {role, content} as turns; a key that holds null (as Parquet fills in) counts as absent."""
    if not isinstance(value, list | tuple):
        raise BadInput(f"{name} is {in_words(value)}, not text or a list of messages")
    if not value:
        raise BadInput(f"{name} is an empty list")
    return [_message(m, f"{name}, message {n}") for n, m in enumerate(value, 1)]


def _message(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(f"{name} is {in_words(value)}; an object with role and content is needed")
    given = {key: held for key, held in value.items() if held is not None}
    role = given.get("role")
    if role not in ROLES:
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        raise BadInput(f"{name}: role {role!r} is none of {', '.join(ROLES)}{hint}")
    known_keys(given, ("role", "content", "tool_calls", "name"), name)
    content = "" if "tool_calls" in given and "content" not in given else given.get("content")
    return {**given, "content": text(content, f"{name}: content")}


def dialogue(value: Any, name: str) -> Turns:
    """A prompt given as text (one user message) or as a list of messages; an empty one is refused."""
    if value is None:
        raise BadInput(f"{name} is missing")
    if isinstance(value, str):
        if not value.strip():
            raise BadInput(f"{name} is empty")
        return [{"role": "user", "content": text(value, name)}]
    return messages(value, name)


def answer(value: Any, name: str) -> Turns:
    """A response given as text or as a list of messages that ends with the assistant's."""
    if not isinstance(value, list | tuple):
        return assistant(value, name)
    turns = messages(value, name)
    if turns[-1]["role"] != "assistant":
        raise BadInput(f"{name} ends with a message by the {turns[-1]['role']}, not by the assistant")
    return turns


def instruction(value: Mapping[str, Any]) -> Turns:
    """The prompt of an instruction row as a user sees it: instruction, a blank line, input; or what is there.

    Rows that give `prompt` as well (a template around the same two) keep it out of sight.
    """
    asked = text(value.get("instruction"), "instruction")
    given = optional_text(value.get("input"), "input")
    if not asked.strip() and given is None:
        raise BadInput("instruction is empty")
    both = f"{asked}\n\n{given}" if asked.strip() and given else asked if given is None else given
    return [{"role": "user", "content": text(both, "instruction and input")}]


def make_prompt(turns: Turns, **rest: Any) -> Prompt:
    """The prompt with these turns, its id that of Prompt.make."""
    made = content_id("prompt", turns, rest.get("tools"))
    return Prompt.model_validate({"id": made, "messages": turns, **rest})


def make_responses(prompt: Prompt, answers: Sequence[Answer], key: str) -> list[Response]:
    """The 2 to 9 responses of the row with this key; each has its own id even where two say the same.

    The import key is the row's key where the model's name tells the responses apart, and
    "<key>#<place in the source, from 1>" where it does not. Their ids are those of Response.make.
    """
    if not LEAST <= len(answers) <= MOST:
        count = f"{len(answers)} response{'' if len(answers) == 1 else 's'}"
        raise BadInput(f"{count}; a task needs {LEAST} to {MOST}")
    models = [a.model for a in answers]
    made = []
    for place, a in enumerate(answers, 1):
        alone = a.model is not None and models.count(a.model) == 1
        import_key = key if alone else f"{key}#{place}"
        made.append(
            {
                "id": content_id("response", prompt.id, a.turns, a.model, None, 0, import_key),
                "prompt_id": prompt.id,
                "messages": a.turns,
                "model": a.model,
                "import_key": import_key,
                "lineage": a.lineage,
            }
        )
    return RESPONSES.validate_python(made)
