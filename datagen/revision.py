"""The chain of Constitutional AI for one prompt: respond, then criticise and revise, again and again.

Each step draws one principle (by run seed, prompt and step alone), asks for a critique of the answer as it
stands, then for a revision; the revision takes the answer's place beside the original prompt and the next
step begins. A critique or revision that fails a check is asked for once more; when it fails again the step
keeps the answer it had and says why, so a chain never holds an empty text or a critique in place of an
answer. Source: Bai et al. 2022, arXiv 2212.08073, sections 3.1 and 3.2 (4 steps, temperature 1).
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data.records import Lineage, Message, Prompt, Response, digest
from data.text import script_language
from datagen.chat import spoken
from datagen.constitution import Constitution, Drawn, draw, examples, in_language
from datagen.request import Answer, Request
from datagen.revision_checks import bare, critique_fault, finds_nothing, revision_fault
from datagen.templates import Template, find

COMMAND = "datagen.constitutional"
DRAWS = 2  # a step's critique, its revision, and the first answer are each asked for at most so often
DECLINING = frozenset({"refusal"})  # what a first answer and a revision may be: declining can be right

Ask = Callable[[Request], Awaitable[Answer]]
Outcome = Literal["revised", "no_violation", "failed"]
Stage = Literal["respond", "critique", "revise", "helpful"]


class Settings(NamedTuple):
    """What shapes every chain of a run."""

    model: str
    constitutions: tuple[Constitution, ...]
    revisions: int = 4
    temperature: float = 1.0
    max_tokens: int = 1024
    """Most tokens of an answer, a critique or a revision."""
    seed: int = 0
    shots: int | None = None
    """Worked examples shown before each question; None: all the constitution has."""
    revise_anyway: bool = False
    """Ask for a revision even where the critique found nothing to change."""
    server_seed: bool = True
    """Send each request with a `seed` of its own, for servers that would otherwise say the same again."""
    templates: Path | None = None

    def sampling(self, prompt: str, stage: str) -> dict[str, Any]:
        """The parameters of a stage for one prompt; the client moves the seed on with the sample."""
        params = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        if self.server_seed:
            params["seed"] = int(digest([self.seed, prompt, stage])[:8], 16) >> 1  # 31 bits
        return params


class Draw(NamedTuple):
    """One answer of the model to one question, and why it could not be used ("" when it could)."""

    stage: Stage
    key: str
    text: str
    fault: str = ""
    detail: str = ""


class Step(NamedTuple):
    """One critique and revision, whatever came of it."""

    prompt_id: str
    number: int
    """From 1."""
    principle: str
    """Constitution and id, such as "harmless.en/private-people"."""
    outcome: Outcome
    draws: list[Draw]
    before: Response
    after: Response
    """The same as `before` unless the outcome is "revised"."""
    critique: str = ""
    failed: str = ""
    """Stage and fault of the last draw, such as "revise:unchanged", where the outcome is "failed"."""
    prefix: bool = False
    """Whether a heading such as "Revision:" was taken off the new answer."""

    @property
    def finding(self) -> Literal["violation", "nothing", "none"]:
        """What the critique found; "none" where no critique could be used."""
        return "none" if not self.critique else "nothing" if finds_nothing(self.critique) else "violation"


class Chain(NamedTuple):
    """A prompt with its first answer and every step after it; without an answer, why there is none."""

    prompt: Prompt
    first: Response | None
    steps: list[Step]
    lost: Draw | None = None
    """The last try for a first answer, where none could be used."""

    @property
    def last(self) -> Response | None:
        """The answer as it stood after the last step."""
        return self.steps[-1].after if self.steps else self.first


async def run_chain(ask: Ask, prompt: Prompt, settings: Settings) -> Chain:
    """Answer the prompt and revise the answer `settings.revisions` times.

    Args:
        ask: sends a request and gives the checked answer; its errors pass through.
    """
    first, draws = await _answer(ask, prompt, "respond", 0, settings)
    if first is None:
        return Chain(prompt, None, [], draws[-1])
    steps: list[Step] = []
    now = first
    for number in range(1, settings.revisions + 1):
        steps.append(await _step(ask, prompt, now, number, settings))
        now = steps[-1].after
    return Chain(prompt, first, steps)


def drawn_for(prompt: Prompt, number: int, settings: Settings) -> Drawn:
    """The principle of a step: a function of seed, prompt and step number, and of nothing else.

    It comes from the constitutions in the prompt's language, told by the script where the prompt does not say.
    """
    language = prompt.language or script_language(prompt.messages[-1].content)
    return draw(in_language(settings.constitutions, language), settings.seed, prompt.id, number)


def critique_question(
    template: Template, turns: Sequence[Message], answer: str, drawn: Drawn, most: int | None = None
) -> list[dict[str, str]]:
    """The messages that ask for a critique by this principle, with at most so many worked examples (None: all)."""
    shots = [
        (_values(_said(shot.prompt), shot.response, principle.critique), shot.critique)
        for principle, shot in examples([drawn.constitution], most)
    ]
    return _question(template, _values(turns, answer, drawn.principle.critique), shots)


def revision_question(
    template: Template, turns: Sequence[Message], answer: str, critique: str, drawn: Drawn, most: int | None = None
) -> list[dict[str, str]]:
    """The messages that ask for a revision after this critique; examples without a revision are passed over."""
    shots = [
        (_values(_said(shot.prompt), shot.response, principle.revision, shot.critique), shot.revision)
        for principle, shot in examples([drawn.constitution], most)
        if shot.revision is not None
    ]
    return _question(template, _values(turns, answer, drawn.principle.revision, critique), shots)


def _question(
    template: Template, values: dict[str, Any], shots: Sequence[tuple[dict[str, Any], str]]
) -> list[dict[str, str]]:
    """The template filled in, the examples before it as earlier turns.

    Each example is filled into the template as the real question is, so that the two cannot differ in form.
    """
    *head, asked = template.messages(**values)
    for example, reply in shots:
        head += [template.messages(**example)[-1], {"role": "assistant", "content": reply}]
    return [*head, asked]


def _said(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def _values(turns: Sequence[Message], answer: str, request: str, critique: str = "") -> dict[str, Any]:
    """What a template is filled with; the mark is a hash of all texts, so no text can hold it but by luck."""
    shown = [{"role": m.role, "content": m.content} for m in turns]
    mark = digest([shown, answer, critique, request])[:12]
    return {"turns": shown, "answer": answer, "critique": critique, "request": request, "mark": mark}


async def answer_plainly(
    ask: Ask, prompt: Prompt, settings: Settings, samples: int = 1
) -> tuple[list[Response], list[Draw]]:
    """So many answers to the prompt without any revision, and the last try of each that could not be used."""
    found: list[Response] = []
    lost: list[Draw] = []
    for sample in range(samples):
        response, draws = await _answer(ask, prompt, "helpful", sample, settings)
        found += [response] if response else []
        lost += [] if response else draws[-1:]
    return found, lost


async def _answer(
    ask: Ask, prompt: Prompt, stage: Stage, number: int, settings: Settings
) -> tuple[Response | None, list[Draw]]:
    """An answer to the prompt itself, None when no try gave one; and the tries."""
    if prompt.tools:
        return None, [Draw(stage, "", "", "has_tools", "the prompt offers tools; only answers in text are revised")]
    draws: list[Draw] = []
    for sample in range(number * DRAWS, (number + 1) * DRAWS):
        request = _request(prompt, spoken(prompt.messages), stage, sample, settings)
        answer = await ask(request)
        fault = answer.fault or (None if answer.text.strip() else "empty")
        draws.append(Draw(stage, answer.key, answer.text, fault or "", answer.detail))
        if fault is None:
            sampling = {**request.params, "request": answer.key}
            lineage = Lineage(parents=[prompt.id], command=COMMAND, model=answer.model, sampling=sampling)
            return _response(prompt, request, answer, answer.text, number, lineage), draws
    return None, draws


async def _step(ask: Ask, prompt: Prompt, now: Response, number: int, settings: Settings) -> Step:
    """One critique and revision of the answer `now`."""
    drawn = drawn_for(prompt, number, settings)
    step = Step(prompt.id, number, drawn.label, "failed", [], now, now)
    critique = await _critique(ask, prompt, step, drawn, settings)
    if critique is None:
        return step._replace(failed=_why(step))
    step = step._replace(critique=critique.text.strip())
    if step.finding == "nothing" and not settings.revise_anyway:
        return step._replace(outcome="no_violation")
    return await _revise(ask, prompt, step, drawn, critique.key, settings)


async def _critique(ask: Ask, prompt: Prompt, step: Step, drawn: Drawn, settings: Settings) -> Answer | None:
    """A usable critique, or None; every try is added to the step's draws."""
    template = find("critique", drawn.constitution.language, settings.templates)
    messages = critique_question(template, prompt.messages, step.before.text, drawn, settings.shots)
    for sample in _samples(step):
        answer = await ask(_request(prompt, messages, "critique", sample, settings))
        fault = answer.fault or critique_fault(answer.text, step.before.text)
        step.draws.append(Draw("critique", answer.key, answer.text, fault or "", answer.detail))
        if fault is None:
            return answer
    return None


async def _revise(ask: Ask, prompt: Prompt, step: Step, drawn: Drawn, critique_key: str, settings: Settings) -> Step:
    """The step with its revision, or failed with the old answer kept."""
    template = find("revise", drawn.constitution.language, settings.templates)
    messages = revision_question(template, prompt.messages, step.before.text, step.critique, drawn, settings.shots)
    asked = "\n".join(m.content for m in prompt.messages)
    for sample in _samples(step):
        request = _request(prompt, messages, "revise", sample, settings)
        answer = await ask(request)
        text, prefix = bare(answer.text)
        fault = answer.fault or revision_fault(text, step.before.text, step.critique, drawn.principle.revision, asked)
        step.draws.append(Draw("revise", answer.key, answer.text, fault or "", answer.detail))
        if fault is None:
            lineage = Lineage(
                parents=[prompt.id, step.before.id],
                command=COMMAND,
                model=answer.model,
                template=template.hash,
                principle=drawn.label,
                sampling={**request.params, "request": answer.key, "critique_request": critique_key},
            )
            after = _response(prompt, request, answer, text, step.number, lineage)
            return step._replace(outcome="revised", after=after, prefix=prefix)
    return step._replace(failed=_why(step))


def _request(prompt: Prompt, messages: list[dict[str, Any]], stage: Stage, sample: int, settings: Settings) -> Request:
    """A request of this chain. A first answer and a revision may decline: that can be right; a critique may not."""
    accept = frozenset[str]() if stage == "critique" else DECLINING
    params = settings.sampling(prompt.id, stage)
    return Request(settings.model, messages, params, sample=sample, stage=stage, accept=accept)


def _response(prompt: Prompt, request: Request, answer: Answer, text: str, number: int, lineage: Lineage) -> Response:
    """The record of an answer; the step's number is its sample index, so equal texts of two steps stay two."""
    return Response.make(
        prompt.id,
        [Message(role="assistant", content=text)],
        model=answer.model or request.model,
        sampling=dict(request.params),
        sample_index=number,
        finish_reason=answer.finish or None,
        lineage=lineage,
    )


def _samples(step: Step) -> range:
    """Sample indices of a step's tries; no two steps share one, even where they ask the same question."""
    return range((step.number - 1) * DRAWS, step.number * DRAWS)


def _why(step: Step) -> str:
    last = step.draws[-1]
    return f"{last.stage}:{last.fault}"
