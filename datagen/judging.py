"""Asking a model which answer is better: what is asked of each task, and in which words.

Pure functions: an Ask becomes a Request; what its Answer says is read in datagen/hearing.py. The judged texts stand
between marks made from a hash of those texts, so that no text can hold its own mark, and what the eye cannot see in
them is written out. Which principle is asked by, and which answer stands first, is drawn from the seed and the
answers' ids alone, so neither the order of tasks nor what else is judged changes it.
"""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from data.formats.rows import Row
from data.records import LETTERS, Criterion, Kind, Message, Response, Task, content_id, digest
from data.text import base_language, script_language, visible
from datagen.constitution import Constitution, Drawn, draw, in_language
from datagen.flips import tells_judge
from datagen.request import Request
from datagen.softlabel import Clamp
from datagen.templates import Template, find
from datagen.verdicts import ratings_schema

STAGE = "judge"
DEFAULT = "default"  # the principle's name where no constitution is given: the template's own question
SHORT, LONG = 16, 1024  # tokens of a letter alone, of reasoning before it


class Settings(NamedTuple):
    """How to judge."""

    model: str
    reasoned: bool = False
    ties: bool = False
    both_orders: bool = False
    samples: int = 1
    principles: int = 1
    constitutions: tuple[Constitution, ...] = ()
    clamp: Clamp | None = None
    adjacent: bool = False
    temperature: float = 0.0
    top_logprobs: int = 20
    """Alternatives asked for at each token; 0 asks for no log-probabilities."""
    max_tokens: int | None = None
    seed: int = 0
    server_seed: bool = True
    """Whether the server is sent a seed, which it is at a temperature above 0 alone."""
    templates: Path | None = None


class Ask(NamedTuple):
    """One question to the judge: which responses, in which order, by which principle, which sample."""

    task: int
    """Which of the tasks."""
    shown: tuple[int, ...]
    """Places of the responses in the task, as they are shown."""
    principle: str
    question: str | None
    sample: int
    turned: bool
    """The second of both orders."""


def task_of(row: Row, project: str, kind: Kind | None, criteria: Sequence[Criterion]) -> Task:
    """The task a row makes, with the key by which a project that has it knows it again.

    Args:
        kind: judge it as this; None leaves it to the row, then to the number of its responses.
        criteria: for a rating task that brings none.

    Raises:
        ValueError: what does not fit.
    """
    kind = kind or row.kind or ("ab" if len(row.responses) == 2 else "ranking")
    scales = row.criteria or (list(criteria) if kind == "rating" else [])
    return Task.make(
        project,
        kind,
        row.prompt,
        row.responses,
        criteria=scales,
        overlap=row.overlap or max(1, sum(vote.annotator_kind == "person" for vote in row.votes)),
        priority=row.priority or 0,
        language=row.language or row.prompt.language,
        gold=row.gold,
        import_key=row.key,
    )


def language_of(task: Task) -> str | None:
    """The language a task is judged in: its own, else its prompt's, else what its letters say."""
    said = task.language or task.prompt.language
    return base_language(said) if said else script_language(task.prompt.messages[-1].content)


def asks_of(place: int, task: Task, how: Settings) -> list[Ask]:
    """Everything to ask about one task, in a fixed order; two answers with the same text are not compared."""
    orders = (False, True) if how.both_orders else (False,)
    made: list[tuple[tuple[int, ...], str, str | None, int]]
    if task.kind == "rating":
        made = [(shown, DEFAULT, None, s) for s in range(how.samples) for shown in [_rating_order(task, s, how)]]
    else:
        made = [
            (two if (_coin(task, two, how) + k + s) % 2 == 0 else two[::-1], name, question, s)
            for two in compared(task, how)
            for k, (name, question) in enumerate(_questions(task, two, how))
            for s in range(how.samples)
        ]
    return [
        Ask(place, shown[::-1] if turned else shown, name, question, s, turned)
        for shown, name, question, s in made
        for turned in orders
    ]


def compared(task: Task, how: Settings) -> list[tuple[int, int]]:
    """The pairs of a task that are compared: all, or neighbours in the task's order; identical texts are left out."""
    count = len(task.responses)
    pairs = [(n, n + 1) for n in range(count - 1)] if how.adjacent else list(combinations(range(count), 2))
    return [(a, b) for a, b in pairs if task.responses[a].messages != task.responses[b].messages]


def identical(task: Task, how: Settings) -> int:
    """How many of the pairs that were to be compared have the same text."""
    if task.kind == "rating":
        return 0
    count = len(task.responses)
    return (count - 1 if how.adjacent else count * (count - 1) // 2) - len(compared(task, how))


def _rating_order(task: Task, sample: int, how: Settings) -> tuple[int, ...]:
    places = range(len(task.responses))
    return tuple(sorted(places, key=lambda n: digest([how.seed, "order", sample, task.responses[n].id])))


def _coin(task: Task, two: tuple[int, int], how: Settings) -> int:
    ids = [task.responses[n].id for n in two]
    return int(digest([how.seed, "order", *ids])[0], 16)


def _questions(task: Task, two: tuple[int, int], how: Settings) -> list[tuple[str, str | None]]:
    """The principles of one comparison, all different, by name and question."""
    if not how.constitutions:
        return [(DEFAULT, None)]
    left = in_language(how.constitutions, language_of(task))
    ids = sorted(task.responses[n].id for n in two)
    drawn: list[Drawn] = []
    while left and len(drawn) < how.principles:
        drawn.append(draw(left, how.seed, "preference", *ids))
        left = [one for c in left if (one := _without(c, drawn[-1])) is not None]
    return [(d.label, d.principle.preference) for d in drawn]


def _without(among: Constitution, drawn: Drawn) -> Constitution | None:
    if among.label != drawn.constitution.label:
        return among
    kept = [p for p in among.principles if p.id != drawn.principle.id]
    return among.model_copy(update={"principles": kept}) if kept else None


def request_of(task: Task, ask: Ask, how: Settings) -> Request:
    """The request that asks it."""
    rating = task.kind == "rating"
    language = language_of(task)
    texts = [response_text(task.responses[n], language) for n in ask.shown]
    turns = [{"role": m.role, "content": _message_text(m)} for m in task.prompt.messages]
    values = {
        "mark": mark_for([t["content"] for t in turns] + sorted(texts)),
        "turns": turns,
        "texts": texts,
        "reasoned": how.reasoned,
    }
    if rating:
        values |= {"letters": LETTERS[: len(texts)], "criteria": [_criterion(c, language) for c in task.criteria]}
    else:
        values |= {"question": ask.question, "ties": how.ties}
    params: dict[str, Any] = {"temperature": how.temperature, "max_tokens": limit(task, how)}
    if how.temperature > 0 and how.server_seed:
        params["seed"] = how.seed  # the client moves it on with the sample
    if how.top_logprobs and not rating:
        params |= {"logprobs": True, "top_logprobs": how.top_logprobs}
    return Request(
        model=how.model,
        messages=template_of(task, how).messages(**values),
        params=params,
        schema=ratings_schema(LETTERS[: len(texts)], task.criteria, how.reasoned) if rating else None,
        sample=ask.sample,
        stage=STAGE,
        # A letter alone stands at the start: what is cut off after it was not asked for.
        accept=frozenset() if rating or how.reasoned else frozenset({"truncated"}),
    )


def limit(task: Task, how: Settings) -> int:
    """The most tokens an answer may have."""
    if how.max_tokens:
        return how.max_tokens
    if task.kind == "rating":
        return 64 + 16 * len(task.responses) * len(task.criteria) + (LONG if how.reasoned else 0)
    return LONG if how.reasoned else SHORT


def template_of(task: Task, how: Settings) -> Template:
    """The template in which a task is put to the judge."""
    return find("judge_ratings" if task.kind == "rating" else "judge", language_of(task), how.templates)


def annotator_of(task: Task, how: Settings) -> str:
    """The id by which this judge is known: model, template and settings that shape a verdict decide it, nothing else.

    The same model asked in another way is another judge; another seed, more samples or both orders are not.
    """
    constitutions = sorted(c.hash for c in how.constitutions)
    logprobs = how.top_logprobs > 0
    shape = [how.reasoned, how.ties, how.clamp and list(how.clamp), how.temperature, logprobs, constitutions]
    return content_id("judge", how.model, template_of(task, how).hash, shape)[:16]


def mark_for(texts: Sequence[str]) -> str:
    """12 hexadecimal digits from a hash of the texts that stand in none of them."""
    made = digest(list(texts))[:12]
    while any(made in text for text in texts):
        made = digest([made, *texts])[:12]
    return made


def response_text(response: Response, language: str | None = None) -> str:
    """A response as the judge reads it: what the eye cannot see written out, several messages by role."""
    if len(response.messages) == 1:
        text = _message_text(response.messages[0])
        return text if text.strip() else "（空回答）" if language == "zh" else "(empty answer)"
    return "\n".join(f"[{m.role}]\n{_message_text(m)}" for m in response.messages)


def _message_text(message: Message) -> str:
    calls = json.dumps(message.tool_calls, ensure_ascii=False) if message.tool_calls else ""
    return visible("\n".join(part for part in (message.content, calls) if part))


def _criterion(c: Criterion, language: str | None) -> dict[str, Any]:
    def said(texts: dict[str, str]) -> str:
        return texts.get(language or "en") or texts.get("en") or next(iter(texts.values()), "")

    anchors = [(point, said(texts)) for point, texts in sorted(c.anchors.items())]
    return {
        **{"key": c.key, "name": said(c.name), "description": said(c.description)},
        **{"low": c.low, "high": c.high, "anchors": anchors},
    }


def told_by(task: Task) -> list[dict[str, str]]:
    """What the task's answers say to the judge or hide from a reader, for audit/flagged.jsonl."""
    return [
        {"response": r.id, "what": told.what, "excerpt": told.excerpt}
        for r in task.responses
        for m in r.messages
        for told in tells_judge(m.content)
    ]
