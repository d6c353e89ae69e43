"""The candidate answers to one prompt: asked for, checked against each other, drawn again where they are no use.

An answer is no use when it has a fault (empty, cut off, …) or is too like one that is kept. Then the same
setting is asked again with a new sample index, at most `Rules.redraws` times for a place, and never at
temperature 0, where it would say the same. What is decided hangs on the answers alone, not on when they came.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from data.jsonl import explain
from data.records import Lineage, Message, Response, digest
from datagen.candidates import Setting, likened, sampling_seed
from datagen.chat import said, spoken
from datagen.prompt_files import Asked
from datagen.request import Answer, Request

Ask = Callable[[Request], Awaitable[Answer]]
COMMAND = "datagen.respond"
STAGE = "respond"


class Rules(NamedTuple):
    """How candidates are asked for and which are taken."""

    most: Fraction = Fraction(9, 10)
    """An answer more like a kept one than this (ROUGE-L F1) is drawn again."""
    redraws: int = 3
    params: tuple[tuple[str, Any], ...] = ()
    """Sampling parameters that all settings share, such as max_tokens."""
    accept: frozenset[str] = frozenset({"refusal"})
    server_seed: bool = True
    seed: int = 0


class Draw(NamedTuple):
    """One answer that was asked for, whatever came of it."""

    setting: Setting
    sample: int
    messages: tuple[Message, ...]
    """What was said after the prompt: the answer, or answers and follow-ups in turn."""
    answer: Answer
    """The last one; its `fault` is why the draw is no use."""
    keys: tuple[str, ...]
    sampling: dict[str, Any]
    refusal: bool = False
    again: bool = False
    """Whether it took the place of one that was no use."""
    like: int | None = None
    """The kept draw it is too like."""

    @property
    def said(self) -> str:
        """What the model said in all turns; the user's follow-ups, the same for every draw, are left out."""
        return said([m for m in self.messages if m.role == "assistant"])

    @property
    def outcome(self) -> str:
        """ "kept", "near_identical", or the name of the fault."""
        return self.answer.fault or ("kept" if self.like is None else "near_identical")


async def draw(ask: Ask, asked: Asked, given: Sequence[Setting], rules: Rules) -> list[Draw]:
    """All draws for one prompt, those for the first setting first; the kept ones are its candidates.

    Raises:
        BudgetEnded, ModelError: as `ask` does, after the answers under way have come.
    """
    samples: Counter[Setting] = Counter()

    def following(setting: Setting) -> int:
        samples[setting] += 1
        return samples[setting] - 1

    wanted = [(setting, following(setting)) for setting in given]
    firsts = await asyncio.gather(*(_converse(ask, asked, *one, rules) for one in wanted), return_exceptions=True)
    draws: list[Draw] = []
    kept: list[str] = []
    for one in firsts:
        if isinstance(one, BaseException):
            raise one
        left = 0 if one.setting.temperature == 0 else rules.redraws
        while True:
            one = _judged(one, kept, rules.most)
            draws.append(one)
            if one.outcome == "kept":
                kept.append(one.said)
            if one.outcome == "kept" or left == 0:
                break
            left -= 1
            one = await _converse(ask, asked, one.setting, following(one.setting), rules)
            one = one._replace(again=True)
    return draws


def response(prompt: str, one: Draw) -> Response:
    """The Response record of a kept draw for the prompt with this id."""
    asked = {**one.sampling, "request": one.keys[-1]}
    if len(one.keys) > 1:
        asked["requests"] = list(one.keys)
    if one.refusal:
        asked["refusal"] = True  # people judge refusals too; this lets them be told apart afterwards
    return Response.make(
        prompt,
        list(one.messages),
        model=one.setting.model,
        sampling=one.sampling,
        sample_index=one.sample,
        finish_reason=one.answer.finish or None,
        lineage=Lineage(
            parents=[prompt],
            command=COMMAND,
            model=one.answer.model or None,
            template=one.sampling.get("system_hash"),
            sampling=asked,
        ),
    )


def opening(asked: Asked, setting: Setting) -> list[Message]:
    """What is sent first: the setting's system prompt, above the prompt's own where it has one, then the prompt."""
    messages = list(asked.prompt.messages)
    if not setting.system:
        return messages
    system = setting.system
    if messages[0].role == "system":
        system = f"{system}\n\n{messages.pop(0).content}"
    return [Message(role="system", content=system), *messages]


async def _converse(ask: Ask, asked: Asked, setting: Setting, sample: int, rules: Rules) -> Draw:
    """One draw: every turn asked, each with the answers before it."""
    from datagen.validate import looks_like_refusal

    params = _params(asked, setting, rules)
    told = opening(asked, setting)
    told_before = len(told)
    keys: list[str] = []
    refusal = False
    followups = asked.followups
    for number in range(len(followups) + 1):
        request = Request(
            model=setting.model,
            messages=spoken(told),
            params=params,
            tools=asked.prompt.tools,
            sample=sample,
            stage=STAGE,
            accept=rules.accept,
        )
        answer = await ask(request)
        keys.append(answer.key)
        if answer.fault:
            break
        try:
            told.append(Message(role="assistant", content=answer.text, tool_calls=answer.tool_calls or None))
        except ValueError as error:  # megabytes of text, tool calls that are no objects
            answer = answer._replace(fault="not_a_message", detail=explain(error))
            break
        refusal = refusal or looks_like_refusal(answer.text)
        if number < len(followups):
            if answer.tool_calls:  # nobody has run the tool, so the dialogue cannot go on
                answer = answer._replace(fault="called_tool", detail="a tool was called before the last turn")
                break
            told.append(Message(role="user", content=followups[number]))
    named = {"system": setting.system_name, "system_hash": digest(setting.system)[:16]} if setting.system else {}
    sampling = {**params, **named}
    return Draw(setting, sample, tuple(told[told_before:]), answer, tuple(keys), sampling, refusal)


def _params(asked: Asked, setting: Setting, rules: Rules) -> dict[str, Any]:
    params = dict(rules.params)
    if setting.temperature is not None:
        params["temperature"] = setting.temperature
    if rules.server_seed:
        params["seed"] = sampling_seed(rules.seed, asked.prompt.id, setting)
    return params


def _judged(one: Draw, kept: Sequence[str], most: Fraction) -> Draw:
    return one if one.answer.fault else one._replace(like=likened(one.said, kept, most))
