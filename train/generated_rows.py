"""What becomes of new answers: ranking tasks for people, and the best of n as rows to imitate."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.records import Response, Task, digest
from data.text import normalise
from train.best_of import Scored, choose
from train.prompt_rows import Asked

Answers = dict[str, list[Response]]
"""Each prompt's answers, by the prompt's id."""


def ranking_tasks(
    asked: Sequence[Asked], responses: Answers, project: str, overlap: int, seed: int
) -> tuple[list[Task], list[dict[str, Any]]]:
    """A ranking task of each prompt's different answers, in an order that tells nothing of how they were drawn.

    Returns:
        The tasks, and what is in none: answers that say the same again, prompts with fewer than two different ones.
    """
    tasks: list[Task] = []
    refused: list[dict[str, Any]] = []
    for one in asked:
        given = responses.get(one.prompt.id, [])
        different: dict[str, Response] = {}
        for r in given:
            if different.setdefault(normalise(r.text), r) is not r:
                refused.append({"prompt_id": one.prompt.id, "response_id": r.id, "reason": "the same answer again"})
        if len(different) >= 2:
            shown = sorted(different.values(), key=lambda r: digest([seed, "place", r.id]))
            language = one.prompt.language
            tasks.append(Task.make(project, "ranking", one.prompt, shown, overlap=overlap, language=language))
        elif given:
            refused.append({"prompt_id": one.prompt.id, "reason": "all its answers are the same: nothing to rank"})
    return tasks, refused


def best_rows(
    asked: Sequence[Asked],
    responses: Answers,
    scores: Mapping[str, float | None],
    floor: float | None,
    keep_cut: bool,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The best answer of each prompt as a row to imitate, and the prompts that give none, with the reason."""
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for one in asked:
        scored = [Scored(r, scores[r.id]) for r in responses.get(one.prompt.id, [])]
        if scored:
            choice = choose(one, scored, floor, keep_cut=keep_cut)
            rows += [choice.row] if choice.row else []
            left_out += [choice.left_out] if choice.left_out else []
    return rows, left_out
