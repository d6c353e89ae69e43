"""Chat messages as servers speak them, to our turns and back.

Ours have role, content, tool_calls and name. A server also wants `tool_call_id` on a tool's answer; here
that follows from place: the answers stand after the calls, in the order of the calls, one for each. So
nothing is lost, and answers that came in another order are put in this one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import BadInput, nearest
from data.formats.parts import ROLES, Turns, in_words, text
from data.records import Message, canonical

OTHER_ROLES = {"developer": "system", "function": "tool"}  # newer and older names for the same


def turns(value: Any, name: str) -> Turns:
    """A server's message list as our turns; keys nobody here reads (reasoning, audio, …) are left out.

    Content in parts is joined where all of it is text; `function_call`, the older spelling, becomes a tool call.

    Args:
        name: what the list is called where it stands, for the error.

    Raises:
        BadInput: no list, an unknown role, content that is no text, or tools' answers that do not fit the calls.
    """
    if not isinstance(value, list | tuple):
        raise BadInput(f"{name} is {in_words(value)}; a list of messages is needed")
    if not value:
        raise BadInput(f"{name} is an empty list")
    made = [_turn(one, f"{name}, message {number}") for number, one in enumerate(value, 1)]
    return _answers_in_order(made, name)


def spoken(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Our messages as a server takes them: each call has an id, each tool's answer the id of its call."""
    out: list[dict[str, Any]] = []
    waiting: list[str] = []
    for place, message in enumerate(messages):
        plain = message.plain()
        if message.tool_calls:
            calls = [{"type": "function", "id": f"call_{place}_{n}", **c} for n, c in enumerate(message.tool_calls)]
            plain["tool_calls"] = calls
            waiting = [str(call["id"]) for call in calls]
        elif message.role == "tool" and waiting:
            plain["tool_call_id"] = waiting.pop(0)
        out.append(plain)
    return out


def said(messages: Sequence[Message]) -> str:
    """All that an answer says, tool calls included and their ids left out: what two answers are compared by."""
    lines = []
    for message in messages:
        lines += [message.content] if message.content else []
        for call in message.tool_calls or []:
            function = call.get("function")
            lines.append(canonical(function if isinstance(function, Mapping) else call).decode())
    return "\n".join(lines)


def _turn(value: Any, name: str) -> dict[str, Any]:
    """One message; `tool_call_id` stays until the answers are in order."""
    if not isinstance(value, Mapping):
        raise BadInput(f"{name} is {in_words(value)}; an object with role and content is needed")
    role = value.get("role")
    role = OTHER_ROLES.get(role, role) if isinstance(role, str) else role
    if role not in ROLES:
        hint = nearest(role, ROLES) if isinstance(role, str) else ""
        raise BadInput(f"{name}: role {role!r} is none of {', '.join(ROLES)}{hint}")
    calls = _calls(value, name)
    content = value.get("content")
    if content is None and role == "assistant":  # a refusal has a field of its own at some servers
        content = value.get("refusal") or ("" if calls else None)
    made: dict[str, Any] = {"role": role, "content": _content(content, f"{name}: content")}
    if calls:
        if role != "assistant":
            raise BadInput(f"{name}: tool_calls by the {role}; only the assistant calls tools")
        made["tool_calls"] = calls
    for key in ("name", "tool_call_id"):
        if value.get(key) is not None:
            made[key] = text(value[key], f"{name}: {key}")
    return made


def _content(value: Any, name: str) -> str:
    if not isinstance(value, list | tuple):
        return text(value, name)
    pieces = []
    for part in value:
        kind = part.get("type") if isinstance(part, Mapping) else in_words(part)
        held = part.get("text", part.get("refusal")) if isinstance(part, Mapping) else None
        if kind not in ("text", "input_text", "output_text", "refusal"):
            raise BadInput(f"{name} has a part of type {str(kind)[:40]!r}; only text can be used")
        pieces.append(text(held, f"{name}, a part's text"))
    return text("".join(pieces), name)


def _calls(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    given = value.get("tool_calls")
    if not given and value.get("function_call"):
        given = [{"type": "function", "function": value["function_call"]}]
    if not given:
        return []
    if not isinstance(given, list | tuple):
        raise BadInput(f"{name}: tool_calls is {in_words(given)}; a list is needed")
    for call in given:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise BadInput(f"{name}: a tool call names no function; {{'function': {{'name', 'arguments'}}}} is needed")
    return [dict(call) for call in given]


def _answers_in_order(made: list[dict[str, Any]], name: str) -> Turns:
    """The tools' answers after each call put in the order of its calls; their ids, now told by place, dropped."""
    out: Turns = []
    i = 0
    while i < len(made):
        turn = made[i]
        if turn["role"] == "tool":
            raise BadInput(f"{name}, message {i + 1}: a tool answers, and nothing before it called one")
        out.append({key: held for key, held in turn.items() if key != "tool_call_id"})
        i += 1
        calls = turn.get("tool_calls")
        if not calls or i == len(made):  # the dialogue may end with a call: that is the answer
            continue
        answers = []
        while i < len(made) and made[i]["role"] == "tool":
            answers.append(made[i])
            i += 1
        out += _matched(calls, answers, f"{name}, message {i - len(answers)}")
    return out


def _matched(calls: list[dict[str, Any]], answers: list[dict[str, Any]], name: str) -> Turns:
    if len(calls) != len(answers):
        raise BadInput(f"{name} calls {len(calls)} tool(s) and {len(answers)} answer(s) follow; one for each is needed")
    ids = [call.get("id") for call in calls]
    named = [answer.pop("tool_call_id", None) for answer in answers]
    if not any(named):
        return answers
    if len(set(named)) != len(named) or set(named) != set(ids):
        stray = next((str(one) for one in named if one not in ids), str(named[0]))
        raise BadInput(f"{name}: a tool's answer is to call '{stray[:60]}', which is not one of its calls, or twice")
    return [answers[named.index(one)] for one in ids]
