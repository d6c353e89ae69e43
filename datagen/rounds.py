"""The rounds of Self-Instruct: draw, ask, filter, give each survivor its instances, and let the pool grow.

Every prompt of a round is drawn from the pool as the round before left it, with dice of their own (seed, round
and request number), and what comes back is worked through in the order of the requests. So the order in which
answers arrive, and how many are asked at once, change nothing.
Source: Wang et al. (arXiv 2212.10560), section 2; one-pass: Taori et al., Stanford Alpaca.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BudgetEnded
from data.records import MAX_TEXT
from datagen.filters import ALWAYS, INSTRUCTION, Candidate
from datagen.growth import ONE_PASS_SEEDS, Grown, Growth, Rules
from datagen.instances import Dropped, Instance, check, parse, without_field_name
from datagen.instructions import parse_blocks, parse_list
from datagen.request import Answer
from datagen.seeds import Seed
from datagen.steps import Steps, read_class

if TYPE_CHECKING:
    from datagen.client import Client

IN_CONTEXT, FROM_MODEL = 8, 2  # instructions in a list, and how many of them a model wrote, once there are so many
LONGEST = MAX_TEXT // 2  # characters of an instruction with an input, or of an output
BATCH = 40  # tasks worked out at once


class Drawn(NamedTuple):
    """What stands in one prompt: ids and texts, in order; with one-pass the seeds themselves."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    seeds: tuple[Seed, ...] = ()


def draw(seeds: Sequence[Seed], kept: Sequence[Grown], rules: Rules, round_: int, request: int) -> Drawn:
    """The examples of one request: up to 2 that a model wrote and the rest by people, 8 in all, shuffled.

    One-pass takes 3 seeds and never what a model wrote. The same seed, round, request and pool give the same.
    """
    dice = random.Random(f"{rules.seed}/{round_}/{request}")
    if rules.one_pass:
        chosen = dice.sample(seeds, ONE_PASS_SEEDS)
        return Drawn(tuple(s.id for s in chosen), tuple(s.instruction for s in chosen), tuple(chosen))
    machine = dice.sample(kept, min(FROM_MODEL, len(kept)))
    people = dice.sample(seeds, IN_CONTEXT - len(machine))
    both = [(g.id, g.candidate.text) for g in machine] + [(s.id, s.instruction) for s in people]
    dice.shuffle(both)
    return Drawn(tuple(id for id, _ in both), tuple(text for _, text in both))


async def grow(client: "Client", steps: Steps, growth: Growth, name: Callable[[str, Instance], str]) -> None:
    """Go on round by round until there is enough, the budget ends, or too little comes of it.

    Args:
        client: asks; see datagen/client.py.
        steps: how each question is put.
        growth: where the run stands; it is changed.
        name: the id of a task, from its instruction and its first instance.
    """
    while not growth.stopped:
        since, before = len(growth.rejected), len(growth.kept)
        items, ended = await _new_candidates(client, steps, growth)
        passed = _sift(growth, items)
        waiting = passed
        while waiting and growth.needed > 0 and not ended:
            # No more than are needed, so that nothing is paid for and thrown away; and not all at once, so that a
            # budget does not end between many classes and no instance.
            size = min(growth.needed, BATCH)
            batch, waiting = waiting[:size], waiting[size:]
            ended = await _instances(client, steps, growth, batch, name)
        if ended:
            _note_unfinished(growth, passed, since)
        growth.close_round(len(items), len(passed), len(waiting), len(growth.kept) - before, since, ended)


Found = tuple[Candidate, Instance | None]


async def _new_candidates(client: "Client", steps: Steps, growth: Growth) -> tuple[list[Found], bool]:
    """One round's candidates in the order of the requests, and whether the budget ended before all came."""
    rules, number = growth.rules, len(growth.rounds)
    drawn = [draw(growth.seeds, growth.kept, rules, number, i) for i in range(rules.round)]
    template = steps.template("one_pass" if rules.one_pass else "instructions").hash
    requests = [steps.one_pass(d.seeds) if rules.one_pass else steps.instructions(d.texts) for d in drawn]
    answers, ended = await _asked(client, list(range(rules.round)), lambda i: client.ask(requests[i]))
    found: list[Found] = []
    for i, answer in answers:
        origin = Candidate(number, i, 0, "", drawn[i].ids, answer.key, answer.model, template)
        found += _read_answer(growth, origin, answer)
    return found, ended


def _read_answer(growth: Growth, origin: Candidate, answer: Answer) -> list[Found]:
    """The candidates in one answer; what is no such answer is noted and gives none."""
    step = "one_pass" if growth.rules.one_pass else "instructions"
    if answer.fault:
        growth.reject(origin, step, "bad_answer", _fault(answer), answer.text)
        return []
    dropped: list[Dropped] = []
    if growth.rules.one_pass:
        items, dropped = parse_blocks(answer.text)
    else:
        items = parse_list(answer.text)
    if not items and not dropped:
        growth.reject(origin, step, "no_list", ALWAYS["no_list"], answer.text)
    cut = answer.finish == "length"
    if (
        cut
        and dropped
        and growth.rules.one_pass
        and "truncated" in growth.sieve.on
        and answer.text.rstrip().endswith(dropped[-1].text.rstrip())
    ):
        cut, dropped[-1] = False, dropped[-1]._replace(filter="truncated", detail=INSTRUCTION["truncated"])
    for one in dropped:
        growth.reject(origin, step, one.filter, one.detail, one.text)
    last = len(items) - 1
    return [
        (origin._replace(position=i, text=item.text, cut_off=cut and i == last), item.instance)
        for i, item in enumerate(items)
    ]


def _sift(growth: Growth, items: Sequence[Found]) -> list[Found]:
    """Those that pass every filter, in order; the others are noted."""
    passed: list[Found] = []
    for candidate, instance in items:
        fault = growth.sieve.fault(candidate)
        if fault is None:
            passed.append((candidate, instance))
        else:
            growth.reject(candidate, "instructions", fault.filter, fault.detail, candidate.text, **fault.more)
    return passed


class _Worked(NamedTuple):
    """What was asked for one candidate: its class, and its instances."""

    label: Answer
    classified: bool | None
    instances: Answer | None


async def _instances(
    client: "Client",
    steps: Steps,
    growth: Growth,
    batch: Sequence[Found],
    name: Callable[[str, Instance], str],
) -> bool:
    """Ask for the instances of these candidates and keep those that have any; True when the budget ended."""
    if growth.rules.one_pass:
        for candidate, instance in batch:
            _keep(growth, candidate, [instance] if instance else [], [], None, {}, name)
        return False

    async def work(found: Found) -> _Worked:
        label = await client.ask(steps.classification(found[0].text))
        classified = None if label.fault else read_class(label.text)
        if classified is None:
            return _Worked(label, None, None)
        return _Worked(label, classified, await client.ask(steps.instances(found[0].text, classified)))

    done, ended = await _asked(client, list(batch), work)
    for (candidate, _), worked in done:
        _take_in(growth, candidate, worked, steps, name)
    return ended


def _take_in(
    growth: Growth, candidate: Candidate, worked: _Worked, steps: Steps, name: Callable[[str, Instance], str]
) -> None:
    label, answer = worked.label, worked.instances
    if label.fault:
        growth.reject(candidate, "classification", "bad_answer", _fault(label), candidate.text, answer=label.text)
        return
    if answer is None or worked.classified is None:
        detail = ALWAYS["unclear_class"]
        growth.reject(candidate, "classification", "unclear_class", detail, candidate.text, answer=label.text)
        return
    step = "output_first" if worked.classified else "input_first"
    if answer.fault:
        growth.reject(candidate, step, "bad_answer", _fault(answer), candidate.text, answer=answer.text)
        return
    found, dropped = parse(answer.text, worked.classified)
    how = {
        "classification": _how(label, steps.template("classification").hash),
        step: _how(answer, steps.template(step).hash),
    }
    cut = answer.finish == "length"
    if cut and dropped and answer.text.rstrip().endswith(dropped[-1].text):
        cut = False  # the piece that was cut off could not be read, and is noted as such
    _keep(growth, candidate, found, dropped, worked.classified, how, name, cut)


def _keep(
    growth: Growth,
    candidate: Candidate,
    found: Sequence[Instance],
    unread: Sequence[Dropped],
    classified: bool | None,
    how: dict[str, dict[str, str]],
    name: Callable[[str, Instance], str],
    cut: bool = False,
) -> None:
    """Check the instances, note those dropped, and keep the task when some are left."""
    kept, dropped = check(found, cut, growth.sieve.on)
    for one in [*unread, *dropped]:
        growth.reject(candidate, "instances", one.filter, one.detail, one.text, instruction=candidate.text)
    if not kept:
        growth.reject(candidate, "instances", "no_instance", ALWAYS["no_instance"], candidate.text)
        return
    dice = random.Random(f"{growth.rules.seed}/field name/{candidate.text}")
    if len(candidate.text) + max(len(text) for one in kept for text in one) > LONGEST:
        growth.reject(
            candidate, "instances", "no_instance", f"longer than {LONGEST:,} characters", candidate.text[:LONGEST]
        )
        return
    plain = tuple(one._replace(input=without_field_name(one.input, dice)) for one in kept)
    id = name(candidate.text, plain[0])
    if id in growth.ids:
        growth.reject(candidate, "instances", "repeated", f"the same prompt as {id}", candidate.text)
        return
    growth.ids.add(id)
    growth.kept.append(Grown(id, candidate, plain, classified, how))


async def _asked(
    client: "Client", items: list[Any], work: Callable[[Any], Awaitable[Any]]
) -> tuple[list[tuple[Any, Any]], bool]:
    """What was answered, in the order of the items, and whether the budget ended before all were."""
    done: list[tuple[Any, Any]] = []
    try:
        async for item, result in client.each(items, work):
            done.append((item, result))
    except BudgetEnded:
        return done, True
    return done, False


def _note_unfinished(growth: Growth, passed: Sequence[Found], since: int) -> None:
    """Name what had passed the filters and was not worked out when the budget ended."""
    kept = {grown.candidate.id for grown in growth.kept}
    round_ = len(growth.rounds)
    settled = {f"{round_}.{r['request']}.{r['position']}" for r in growth.rejected[since:] if "request" in r}
    for candidate, _ in passed:
        if candidate.id not in kept and candidate.id not in settled:
            growth.reject(
                candidate, "instances", "unfinished", "the budget ended before it had instances", candidate.text
            )


def _fault(answer: Answer) -> str:
    return f"{answer.fault}: {answer.detail}" if answer.detail else str(answer.fault)


def _how(answer: Answer, template: str) -> dict[str, str]:
    return {"request": answer.key, "template": template, "model": answer.model}
