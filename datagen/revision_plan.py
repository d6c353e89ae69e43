"""What a run of datagen.constitutional will ask, before it asks, and the settings that name its folder."""

from collections.abc import Sequence
from typing import Any

from data.records import Message, Prompt
from datagen.asking import Plan, rough_tokens
from datagen.revision import Settings, critique_question, drawn_for, revision_question
from datagen.templates import find


def plan(prompts: Sequence[Prompt], settings: Settings, helpful: Sequence[Prompt] = (), samples: int = 1) -> list[Plan]:
    """Requests and tokens of each stage: one answer a prompt, and a critique and a revision a step.

    Every answer is taken to be as long as it may be, since the next question holds it: a critique is asked
    about one, a revision about two. Redraws and steps in which nothing is found are not foreseen.
    """
    longest = settings.max_tokens
    framing: dict[str, tuple[int, int]] = {}
    asked = critique = revise = 0
    for prompt in prompts:
        own = rough_tokens(m.plain() for m in prompt.messages)
        asked += own
        for number in range(1, settings.revisions + 1):
            drawn = drawn_for(prompt, number, settings)
            if drawn.label not in framing:
                framing[drawn.label] = _framing(prompt, number, settings)
            critique += own + framing[drawn.label][0] + longest
            revise += own + framing[drawn.label][1] + 2 * longest
    steps = len(prompts) * settings.revisions
    plans = [
        _plan("respond", len(prompts), asked, settings),
        _plan("critique", steps, critique, settings),
        _plan("revise", steps, revise, settings),
    ]
    if helpful:
        tokens = sum(rough_tokens(m.plain() for m in prompt.messages) for prompt in helpful)
        plans.append(_plan("helpful", len(helpful) * samples, tokens * samples, settings))
    return plans


def config(settings: Settings, **more: Any) -> dict[str, Any]:
    """The effective configuration: every setting that shapes the folder, constitutions and templates by hash."""
    languages = sorted({one.language for one in settings.constitutions})
    return {
        "model": settings.model,
        "constitutions": {one.label: one.hash for one in settings.constitutions},
        "templates": {
            f"{name}.{language}": find(name, language, settings.templates).hash
            for name in ("critique", "revise")
            for language in languages
        },
        "revisions": settings.revisions,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "shots": settings.shots,
        "revise_anyway": settings.revise_anyway,
        "server_seed": settings.server_seed,
        "seed": settings.seed,
        **more,
    }


def _framing(prompt: Prompt, number: int, settings: Settings) -> tuple[int, int]:
    """Tokens of a critique's and a revision's question without the conversation, the answer and the critique."""
    drawn = drawn_for(prompt, number, settings)
    nothing = [Message(role="user", content="")]
    templates = [find(name, drawn.constitution.language, settings.templates) for name in ("critique", "revise")]
    asked = critique_question(templates[0], nothing, "", drawn, settings.shots)
    wanted = revision_question(templates[1], nothing, "", "", drawn, settings.shots)
    return rough_tokens(asked), rough_tokens(wanted)


def _plan(stage: str, requests: int, tokens: int, settings: Settings) -> Plan:
    return Plan(stage, settings.model, requests, tokens, requests * settings.max_tokens)
