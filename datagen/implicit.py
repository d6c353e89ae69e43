"""Judgments out of what users did with the answers they got: thumbs, ratings, retries, edits.

No user compared two answers under anybody's guidelines. That one is better than the other follows by a rule
from what was done, so each judgment is a rule's ("rule:implicit-retry", …) and fills no person's slot:

    thumbs   one answer thumbed up, another to the same prompt down: the first is better. Where one user
             spoke of both, that user's; else a liked answer is set against a disliked one, each once
    rating   the same user rated two answers to one prompt: the higher is better
    retry    an answer made again: the last one is better than those before it, weakly (strength 1). Only
             within a conversation, or by a user, or where the dialogue has gone on for a while
    edit     the user's version of an answer is better than the answer

With `people`, those whose user is known are that person's own, imported; only then do they fill slots.
Either way `comment` is "implicit: thumbs" (or rating, retry, edit) and the purpose is `import`.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from data.records import Judgment, Lineage, Message, Prompt, Response, Task
from data.text import normalise
from datagen.chat import said
from datagen.logs import Exchange

COMMAND = "datagen.from_logs"
NOBODY = ("", "")
FEW = 9  # the latest opinions of one teller that are compared with each other
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")


class Evidence(NamedTuple):
    """That one answer is better than another, and what says so."""

    kind: str
    better: Response
    worse: Response
    key: str
    user: str | None = None
    at: str | None = None


class Told(NamedTuple):
    """An exchange, the Response record of its answer, and who told it."""

    exchange: Exchange
    response: Response
    teller: tuple[str, str] = NOBODY
    """Whose doings belong together: a conversation's, else a user's."""


class Judged(NamedTuple):
    """A task and the judgments of it; `line` is how `annotate.load` takes both."""

    task: Task
    judgments: list[Judgment]

    def line(self) -> dict[str, Any]:
        """The task's record with its judgments beside it."""
        return {**self.task.plain(), "judgments": [j.plain() for j in self.judgments]}


class Dialogue(NamedTuple):
    """A prompt, the answers it got, what follows from them, and opinions from which nothing follows."""

    prompt: Prompt
    told: list[Told]
    evidence: list[Evidence]
    unpaired: list[Told]


def dialogues(exchanges: Iterable[Exchange]) -> list[Dialogue]:
    """Every prompt once, in the order they first came, with all its answers and what follows from them."""
    groups: dict[str, tuple[Prompt, list[Told]]] = {}
    for exchange in exchanges:
        told = groups.setdefault(exchange.prompt.id, (exchange.prompt, []))[1]
        teller = _teller(exchange)
        before = exchange._replace(opinion=None, edited=None, earlier=(), finish=None)
        for number, text in enumerate(exchange.earlier, 1):
            one = before._replace(answer=(Message(role="assistant", content=text),), key=f"{exchange.key}#{number}")
            told.append(Told(one, answered(one), teller))
        told.append(Told(exchange, answered(exchange), teller))
    return [_dialogue(prompt, told) for prompt, told in groups.values()]


def _dialogue(prompt: Prompt, told: list[Told]) -> Dialogue:
    opinions = _opinions(told)
    evidence = [*opinions, *_edits(told)]
    settled = {frozenset((e.better.id, e.worse.id)) for e in evidence}
    evidence += [e for e in _retries(told) if frozenset((e.better.id, e.worse.id)) not in settled]
    paired = {r.id for e in opinions for r in (e.better, e.worse)}
    unpaired = [one for one in told if one.exchange.opinion and one.response.id not in paired]
    return Dialogue(prompt, told, evidence, unpaired)


def answered(exchange: Exchange) -> Response:
    """The Response record of an exchange's answer; the same answer by the same model has the same id."""
    return Response.make(
        exchange.prompt.id,
        list(exchange.answer),
        model=exchange.model,
        finish_reason=exchange.finish,
        lineage=Lineage(parents=[exchange.prompt.id], command=COMMAND, model=exchange.model),
    )


def judged(found: Sequence[Dialogue], project: str, people: bool = False) -> list[Judged]:
    """The tasks with their judgments: one A/B task for each two answers between which something was said."""
    made: list[Judged] = []
    for dialogue in found:
        pairs: dict[tuple[str, ...], list[Evidence]] = {}
        for evidence in dialogue.evidence:
            pairs.setdefault(tuple(sorted((evidence.better.id, evidence.worse.id))), []).append(evidence)
        for said_of in pairs.values():
            # Ordered by id, a hash, so that the better one does not always stand first.
            two = sorted((said_of[0].better, said_of[0].worse), key=lambda r: r.id)
            own = {e.user for e in said_of if people and e.user is not None}
            prompt = dialogue.prompt
            task = Task.make(project, "ab", prompt, two, overlap=max(1, len(own)), language=prompt.language)
            judgments = {j.id: j for j in (_judgment(task, e, people) for e in said_of)}
            made.append(Judged(task, _one_each(list(judgments.values()))))
    return made


def anonymous(exchange: Exchange, salt: bytes) -> Exchange:
    """The exchange with user and conversation replaced by hashes; who has the salt (the files) can tell whose."""

    def hidden(name: str | None) -> str | None:
        return None if name is None else hashlib.blake2b(name.encode(), key=salt[:64], digest_size=8).hexdigest()

    return exchange._replace(user=hidden(exchange.user), talk=hidden(exchange.talk))


def has_email(messages: Iterable[Message]) -> bool:
    """Whether anything in the messages looks like an e-mail address."""
    return any(_EMAIL.search(said([m])) for m in messages)


def _teller(exchange: Exchange) -> tuple[str, str]:
    """Who is known to have been asked and answered here.

    Nobody known has no name; but a dialogue that has gone on for a while is its own, and so is a row that
    brings its retries along.
    """
    if exchange.talk is not None:
        return "talk", exchange.talk
    if exchange.user is not None:
        return "user", exchange.user
    if any(m.role == "assistant" for m in exchange.prompt.messages):
        return "prompt", exchange.prompt.id
    return ("row", exchange.key) if exchange.earlier else NOBODY


def _edits(told: list[Told]) -> list[Evidence]:
    found = []
    for exchange, original, _ in told:
        if exchange.edited is None or exchange.edited == original.text:
            continue
        messages = [*original.messages[:-1], Message(role="assistant", content=exchange.edited)]
        lineage = Lineage(parents=[original.id], command=COMMAND, author=exchange.user)
        edited = Response.make(exchange.prompt.id, messages, lineage=lineage)
        found.append(Evidence("edit", edited, original, exchange.key, exchange.user, exchange.at))
    return found


def _retries(told: list[Told]) -> list[Evidence]:
    """The last answer of each teller over those before it, unless the last one was itself disliked.

    An agent's unfinished answer, which a longer one goes on from, is no answer of its own.
    """
    found = []
    for answers in _by_teller(told).values():
        begun = {_spelt(one.response.messages[:i]) for one in answers for i in range(1, len(one.response.messages))}
        whole = [one for one in answers if _spelt(one.response.messages) not in begun]
        if not whole:
            continue
        last = whole[-1]
        opinion = last.exchange.opinion
        if opinion and opinion.kind == "thumbs" and opinion.value < 0:
            continue
        before = {one.response.id: one for one in whole if _differ(one.response, last.response)}
        for one in before.values():
            at = last.exchange
            key = f"{at.key}<{one.exchange.key}"
            found.append(Evidence("retry", last.response, one.response, key, at.user, at.at))
    return found


def _opinions(told: list[Told]) -> list[Evidence]:
    """What thumbs and ratings say: where one teller spoke of two answers, and then liked answers against disliked."""
    spoken = [one for one in told if one.exchange.opinion]
    found = [evidence for mine in _by_teller(spoken).values() for evidence in _own(mine)]
    paired = {r.id for e in found for r in (e.better, e.worse)}
    liked: dict[str, float] = {}
    responses = {one.response.id: one.response for one in spoken if one.response.id not in paired}
    for one in _latest(spoken):
        opinion = one.exchange.opinion
        if opinion and opinion.kind == "thumbs" and one.response.id in responses:
            liked[one.response.id] = liked.get(one.response.id, 0) + opinion.value
    up, down = ([responses[r] for r, n in liked.items() if n * side > 0] for side in (1, -1))
    # One against one: all against all would make a popular question's tasks outnumber the log.
    for better, worse in zip(up, down, strict=False):
        if _differ(better, worse):
            found.append(Evidence("thumbs", better, worse, f"{better.id}<{worse.id}"))
    return found


def _own(mine: list[Told]) -> list[Evidence]:
    """What one teller's opinions of several answers say: the better liked is better."""
    found = []
    for one, other in combinations(_latest(mine)[-FEW:], 2):
        a, b = one.exchange.opinion, other.exchange.opinion
        if (
            a is None
            or b is None
            or a.kind != b.kind
            or a.value == b.value
            or not _differ(one.response, other.response)
        ):
            continue
        better, worse = (one, other) if a.value > b.value else (other, one)
        at = better.exchange
        found.append(
            Evidence(a.kind, better.response, worse.response, f"{at.key}<{worse.exchange.key}", at.user, at.at)
        )
    return found


def _by_teller(told: list[Told]) -> dict[tuple[str, str], list[Told]]:
    """What each known teller told, in order."""
    tellers: dict[tuple[str, str], list[Told]] = {}
    for one in told:
        if one.teller != NOBODY:
            tellers.setdefault(one.teller, []).append(one)
    return tellers


def _latest(spoken: list[Told]) -> list[Told]:
    """The last that each teller said of each response; what nobody known said counts each time."""
    last = {(one.teller, one.response.id, one.exchange.key if one.teller == NOBODY else ""): one for one in spoken}
    return list(last.values())


def _spelt(messages: Sequence[Message]) -> bytes:
    return b"\n".join(m.line() for m in messages)


def _differ(one: Response, other: Response) -> bool:
    return normalise(said(one.messages)) != normalise(said(other.messages))


def _judgment(task: Task, evidence: Evidence, people: bool) -> Judgment:
    shown = [r.id for r in task.responses]
    own = people and evidence.user is not None
    return Judgment.make(
        task_id=task.id,
        annotator=str(evidence.user) if own else f"rule:implicit-{evidence.kind}",
        annotator_kind="person" if own else "rule",
        shown=shown,
        choice="AB"[shown.index(evidence.better.id)],
        strength=1 if evidence.kind == "retry" else None,
        comment=f"implicit: {evidence.kind}",
        submitted_at=evidence.at,
        purpose="import",
        token=f"implicit:{evidence.kind}:{evidence.key}",
    )


def _one_each(judgments: list[Judgment]) -> list[Judgment]:
    """A person's last word on a task alone (a person answers once); rules may speak for several users."""
    last = {j.annotator: j.id for j in judgments}
    return [j for j in judgments if j.annotator_kind != "person" or last[j.annotator] == j.id]
