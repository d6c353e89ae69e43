"""General chat answers of the fake server, for requests that no method's part recognises.

Mostly helpful-looking text of varied length and form, in the language of the last user message; now and then a
refusal, an empty answer, an echo, or one in the wrong language. The colder the sampling, the more often two
answers to one question are the same or nearly so.
"""

import random
import re
from typing import Any

import orjson

from datagen.fake import words
from datagen.fake.draw import rng, steady, temperature
from datagen.fake.language import last_user, written_in
from datagen.fake.reply import Reply
from datagen.fake.structured import fitting

SLIPS = (("empty", 0.008), ("refusal", 0.02), ("echo", 0.01), ("wrong_language", 0.015), ("breaks_off", 0.01))
FORMS = ("short", "paragraphs", "list", "steps", "code", "table", "question")
LIKELY = (30, 30, 12, 12, 6, 5, 5)
TOOL_SHARE = 0.4  # of answers where tools are offered
CONTENT_WORD = re.compile(r"[A-Za-z]{5,}|[\u4e00-\u9fff]{2,4}")


def compose(request: dict[str, Any]) -> Reply:
    """One answer, a tool call at times where tools are offered."""
    asked = last_user(request)
    language = written_in(asked)
    dice = rng(request, "chat")
    if (request.get("tools") and _wants_tool(request, dice)) or _must_call(request):
        return Reply(tool_calls=[_tool_call(request, dice)])
    slip = None if request.get("fake_plain") else _slip(dice)
    if slip == "wrong_language":
        language = "en" if language == "zh" else "zh"
    elif slip == "refusal":
        return Reply(words.word(dice, language, "refusal"))
    elif slip == "empty" or slip == "echo":
        return Reply(asked if slip == "echo" else "")
    # How far this answer strays from the one that all answers to the question share.
    strays = temperature(request) * 0.9 > dice.random()
    if strays:
        text = _text(dice, language, asked)
    else:
        text = _text(steady(request, "chat"), language, asked)
        if temperature(request) > 0 and dice.random() < 0.7:
            text = _nearly(text, dice, language)
    return Reply(text[: len(text) * 2 // 3] if slip == "breaks_off" else text)


def _slip(dice: random.Random) -> str | None:
    at = dice.random()
    for name, share in SLIPS:
        at -= share
        if at < 0:
            return name
    return None


def _text(dice: random.Random, language: str, asked: str) -> str:
    """An answer of some form, longer or shorter, better or worse."""
    form = dice.choices(FORMS, LIKELY)[0]
    if form == "short":
        return _about(dice, language, asked) if dice.random() < 0.5 else words.sentence(dice, language)
    if form == "question":
        return (
            ("你指的是" if language == "zh" else "Do you mean ")
            + words.topic(dice, language)
            + ("吗？" if language == "zh" else "?")
        )
    parts = [words.word(dice, language, "opening")] if dice.random() < 0.5 else []
    parts.append(_about(dice, language, asked))
    if form == "paragraphs":
        parts += [words.paragraph(dice, language, dice.randint(1, 6)) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
    elif form == "list":
        parts.append(words.bullets(dice, language, dice.randint(2, 7)))
    elif form == "steps":
        parts.append(words.numbered(dice, language, dice.randint(3, 6)))
    else:
        parts.append(words.code(dice, language) if form == "code" else words.table(dice, language, dice.randint(2, 5)))
    if dice.random() < 0.3:
        parts.append(words.word(dice, language, "closing"))
    return "\n\n".join(parts)


def _about(dice: random.Random, language: str, asked: str) -> str:
    """A sentence that takes up a word of the question."""
    found = CONTENT_WORD.findall(asked[:2000])
    if not found:
        return words.sentence(dice, language)
    taken = found[int(dice.random() * len(found))]
    pattern = (
        ("关于“%s”，{cause}，所以要{action}。", "“%s”是件{adjective}事：{cause}。", "对于“%s”，可以先{action}。")
        if language == "zh"
        else (
            'As for "%s", {cause}, so {action}.',
            'The word "%s" matters here: {cause}.',
            'For "%s", {action} and then {action}.',
        )
    )
    return words.fill(dice, language, pattern[int(dice.random() * 3)] % taken)


def _nearly(text: str, dice: random.Random, language: str) -> str:
    """The same answer with a little changed: an opening, a closing, a word."""
    kind = dice.random()
    if kind < 0.4:
        return f"{words.word(dice, language, 'opening')}\n\n{text}"
    if kind < 0.7:
        return f"{text}\n\n{words.word(dice, language, 'closing')}"
    old, new = ("先", "首先") if language == "zh" else (" the ", " this ")
    return text.replace(old, new, 1)


def _wants_tool(request: dict[str, Any], dice: random.Random) -> bool:
    """At times, unless it is forbidden or the last message already is a tool's result."""
    return (
        request.get("tool_choice") != "none"
        and request["messages"][-1]["role"] != "tool"
        and dice.random() < TOOL_SHARE
    )


def _must_call(request: dict[str, Any]) -> bool:
    chosen = request.get("tool_choice")
    return bool(request.get("tools")) and (chosen == "required" or isinstance(chosen, dict))


def _tool_call(request: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """A call of one of the tools, its arguments fitting the tool's schema."""

    chosen = request.get("tool_choice")
    named = (chosen.get("function") or {}).get("name") if isinstance(chosen, dict) else None
    offered = [tool["function"] for tool in request["tools"]]
    tool = next((one for one in offered if one["name"] == named), None) or dice.choice(offered)
    schema = tool.get("parameters") or {"type": "object"}
    arguments = orjson.dumps(fitting(schema, dice, written_in(last_user(request)))).decode()
    function = {"name": tool["name"], "arguments": arguments}
    return {"id": f"call_{dice.getrandbits(64):016x}", "type": "function", "function": function}
