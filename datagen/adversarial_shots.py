"""Adversarial prompts by a model from a few examples: asked in rounds, checked, new against all there are.

Every question of a round shows examples from the pool as the round before left it, and answers are taken in
the order of the questions, so the order in which they arrive changes nothing. What is not taken has a name:
a fault of the answer, too_short, too_long, other_language, refusal, not_new.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BudgetEnded
from data.records import Lineage, Prompt, digest
from data.text import script_language, tokens
from datagen.adversarial import COMMAND, Templates, record
from datagen.request import Answer, Request
from datagen.templates import find

if TYPE_CHECKING:
    from datagen.client import Client
    from datagen.novelty_index import NoveltyIndex

PER_REQUEST = 5  # prompts asked for at once
SHOWN = 4  # examples in one question
LEAST, MOST = 4, 400  # tokens of a prompt
ROUNDS = 30
POOR = 10  # percent of the prompts asked for; two rounds in a row that keep less end the run


class Wish(NamedTuple):
    """What to ask for."""

    model: str
    templates: Templates
    need: dict[str, int]
    """Prompts wanted of each family."""
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int = 0
    server_seed: bool = True
    folder: Path | None = None
    """Of prompt templates that replace ours."""


class Job(NamedTuple):
    """One question of a round."""

    family: str
    request: Request
    examples: list[str]
    """Ids of the prompts shown."""


class Grown(NamedTuple):
    """What came of it."""

    kept: list[Prompt]
    rejected: list[dict[str, Any]]
    rounds: list[dict[str, int]]
    """Of each round: asked for, given, kept."""
    stopped: str
    """"enough", "yield", "rounds", or why the budget ended."""


async def grow(client: "Client", wish: Wish, pool: Sequence[Prompt], index: "NoveltyIndex") -> Grown:
    """Ask until every family has what it needs, the yield falls, or the budget ends.

    Args:
        pool: prompts that are there already: they are shown as examples, and nothing near them is kept.
        index: holds the texts of the pool; gets those that are kept.
    """
    grown = Grown([], [], [], "rounds")
    poor = 0
    for number in range(ROUNDS):
        jobs = round_jobs(wish, [*pool, *grown.kept], missing(wish, grown.kept), number)
        if not jobs:
            return grown._replace(stopped="enough")
        before, given = len(grown.kept), 0
        try:
            async for job, answer in client.each(jobs, lambda job: client.ask(job.request)):
                given += take(wish, job, answer, grown, index)
        except BudgetEnded as error:
            return grown._replace(stopped=str(error))
        asked, kept = len(jobs) * PER_REQUEST, len(grown.kept) - before
        grown.rounds.append({"round": number, "asked": asked, "given": given, "kept": kept})
        poor = poor + 1 if 100 * kept < POOR * asked else 0
        if poor == 2:
            return grown._replace(stopped="yield")
    return grown._replace(stopped="rounds" if missing(wish, grown.kept) else "enough")


def missing(wish: Wish, kept: Sequence[Prompt]) -> dict[str, int]:
    """How many prompts each family still needs."""
    have = Counter(prompt.tags[1] for prompt in kept)
    return {family: need - have[family] for family, need in wish.need.items() if need > have[family]}


def round_jobs(wish: Wish, pool: Sequence[Prompt], need: dict[str, int], number: int) -> list[Job]:
    """The questions of a round: so many that the need is met when every prompt is kept."""
    jobs = []
    for family, short in need.items():
        own = [prompt for prompt in pool if prompt.tags[1] == family]
        for place in range(-(-short // PER_REQUEST)):
            jobs.append(_job(wish, family, _drawn(own, wish.seed, family, number, place), number, place))
    return jobs


def _drawn(pool: Sequence[Prompt], *parts: Any) -> list[Prompt]:
    """The examples of one question: those whose hash with these parts is lowest."""
    return sorted(pool, key=lambda prompt: digest([*parts, prompt.id]))[:SHOWN]


def _job(wish: Wish, family: str, shown: Sequence[Prompt], number: int, place: int) -> Job:
    held = wish.templates.families[family]
    examples = [{"technique": p.tags[2], "text": p.messages[-1].content} for p in shown]
    template = find("red_team", wish.templates.language, wish.folder)
    mark = digest([examples, family])[:12]
    names = list(held.techniques)
    messages = template.messages(
        count=PER_REQUEST, family=family, about=held.about, techniques=names, examples=examples, mark=mark
    )
    params: dict[str, Any] = {"temperature": wish.temperature, "max_tokens": wish.max_tokens}
    if wish.server_seed:
        params["seed"] = int(digest([wish.seed, family, number, place])[:8], 16) >> 1
    sample = number * 1000 + place
    request = Request(wish.model, messages, params, schema=schema(names), sample=sample, stage="red_team")
    return Job(family, request, [p.id for p in shown])


def schema(techniques: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of an answer."""
    one = {
        "type": "object",
        "properties": {"technique": {"type": "string", "enum": list(techniques)}, "text": {"type": "string"}},
        "required": ["technique", "text"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"prompts": {"type": "array", "items": one}},
        "required": ["prompts"],
        "additionalProperties": False,
    }


def take(wish: Wish, job: Job, answer: Answer, grown: Grown, index: "NoveltyIndex") -> int:
    """Keep what is usable and needed of an answer, reject the rest by name; returns how many prompts it gave."""
    if answer.fault:
        grown.rejected.append(_reject(job, answer, answer.fault, answer.detail, answer.text[:2000]))
        return 0
    for given in answer.value["prompts"]:
        text = given["text"].strip()
        fault, detail = fault_of(text, wish.templates.language), ""
        if fault is None and (near := index.nearest(text)) is not None:
            fault, detail = "not_new", f"near prompt {near.id}"
        if fault is None and job.family not in missing(wish, grown.kept):
            fault = "not_needed"
        if fault:
            grown.rejected.append(_reject(job, answer, fault, detail, text[:2000]))
            continue
        template = find("red_team", wish.templates.language, wish.folder)
        lineage = Lineage(
            parents=job.examples,
            command=COMMAND,
            model=answer.model,
            template=template.hash,
            sampling={**job.request.params, "request": answer.key},
        )
        prompt = record(text, wish.templates.language, job.family, given["technique"], lineage)
        index.add(prompt.id, text)
        grown.kept.append(prompt)
    return len(answer.value["prompts"])


def fault_of(text: str, language: str) -> str | None:
    """What makes a text no usable prompt, whatever the others are; None when it is one."""
    from datagen.validate import looks_like_refusal

    size = len(tokens(text))
    if not LEAST <= size <= MOST:
        return "too_short" if size < LEAST else "too_long"
    if script_language(text, latin=language if language != "zh" else "en") != language:
        return "other_language"
    return "refusal" if looks_like_refusal(text) else None


def _reject(job: Job, answer: Answer, fault: str, detail: str, text: str) -> dict[str, Any]:
    where = {"stage": "red_team", "family": job.family, "key": answer.key}
    return {**where, "fault": fault, "detail": detail, "text": text}
