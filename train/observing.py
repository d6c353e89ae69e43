"""All that an evaluation wants of one model, in one loading: preferences, likelihoods, answers, harness tasks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.better_prompt import BetterPrompt, put_before
from train.evaluation_rows import Held
from train.exports import Message
from train.harness import Scored, run_tasks
from train.likelihoods import Likelihood, likelihoods, reward_scores
from train.preferences import Preference, implicit
from train.sides import Side
from train.tokens import Tokens


class Ask(NamedTuple):
    """A prompt to be answered."""

    id: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None
    cluster: str
    tags: dict[str, str]


class Wanted(NamedTuple):
    """What is wanted of every model that answers."""

    asks: list[Ask]
    max_tokens: int
    seed: int
    harness: list[str]
    include: Path | None
    limit: int | None
    """Of a harness task's documents."""
    dtype: str
    device: str


class Observed(NamedTuple):
    """What one model gave."""

    preferences: list[Preference]
    """One a pair, in the rows' order."""
    likelihoods: list[Likelihood]
    """Of each row's chosen or only answer; empty for a reward model."""
    answers: dict[str, str]
    """By the id of what was asked."""
    harness: list[Scored]


def observe(
    side: Side, rows: Sequence[Held], tokens: Sequence[Tokens], wanted: Wanted, tell: Callable[[int], None]
) -> Observed:
    """Load the side's model and take all that is wanted of it.

    Args:
        rows, tokens: the held-out rows, and each as this side's tokenizer has it.
        tell: called with how many rows and prompts are done since the last call.
    """
    from train.loading import open_model

    if side.scores:
        loaded = open_model(side.model, kind="reward", dtype=wanted.dtype, device=wanted.device)
        return Observed(_scored(loaded.model, rows, tokens, tell), [], {}, [])
    loaded = open_model(side.model, dtype=wanted.dtype, device=wanted.device)
    sequences = _sequences(tokens)
    own = likelihoods(loaded.model, sequences, tell=tell)
    start = _of_start(side, loaded.model, sequences, wanted) if any(row.paired for row in rows) else None
    answers = answers_of(loaded.model, loaded.tokenizer, wanted, side.better, tell)
    scored = []
    if wanted.harness:
        asked = (wanted.harness, wanted.include, wanted.limit, wanted.seed)
        scored = run_tasks(loaded.model, loaded.tokenizer, *asked)
    return Observed(_implicit(side, rows, own, start), own[: len(rows)], answers, scored)


def _sequences(tokens: Sequence[Tokens]) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of every row: all chosen ones, then the rejected ones of pairs."""
    return [(one.prompt, one.chosen) for one in tokens] + [(one.prompt, one.rejected) for one in tokens if one.rejected]


def _scored(
    model: Any, rows: Sequence[Held], tokens: Sequence[Tokens], tell: Callable[[int], None]
) -> list[Preference]:
    both = [one for row, one in zip(rows, tokens, strict=True) if row.paired]
    found = reward_scores(model, [[*p, *answer] for p, answer in _sequences(both)], tell=tell)
    return [Preference(*two) for two in zip(found[: len(both)], found[len(both) :], strict=True)]


def _of_start(side: Side, model: Any, sequences: Any, wanted: Wanted) -> list[Likelihood] | None:
    """What the model that a dpo or kto run started from makes of the same answers; None for any other side."""
    if side.task not in ("dpo", "kto"):
        return None
    if side.start is None:
        with model.disable_adapter():
            return likelihoods(model, sequences)
    from train.loading import open_model

    return likelihoods(open_model(side.start, dtype=wanted.dtype, device=wanted.device).model, sequences)


def _implicit(
    side: Side, rows: Sequence[Held], own: Sequence[Likelihood], start: Sequence[Likelihood] | None
) -> list[Preference]:
    found = [implicit(one, start[i] if start else None, side.beta, side.by_token) for i, one in enumerate(own)]
    if len(own) == len(rows):
        return []
    return [Preference(*two) for two in zip(found[: len(rows)], found[len(rows) :], strict=True)]


def answers_of(
    model: Any, tokenizer: Any, wanted: Wanted, better: BetterPrompt | None, tell: Callable[[int], None]
) -> dict[str, str]:
    """Each prompt's answer, greedily decoded, with the better prompt before it where there is one."""
    from train.answering import Sampling, answer_prompts

    if not wanted.asks:
        return {}
    prompts = [put_before(better, one.messages) if better else one.messages for one in wanted.asks]
    found = answer_prompts(
        model,
        tokenizer,
        prompts,
        sampling=Sampling(max_tokens=wanted.max_tokens),
        tools=[one.tools for one in wanted.asks],
        seed=wanted.seed,
        tell=tell,
    )
    return {ask.id: one.text for ask, one in zip(wanted.asks, found, strict=True)}
