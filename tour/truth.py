"""What is true of the simulated answers, and what must follow from it for people who see it with a known skill.

The better of two answers is the one with more worth, which the guidelines (tour/guidelines.en.md) say in words: it
takes up the question, it is neither one line nor a wall of text, steps help, and to refuse, to ask back or to hand out
code that nobody asked for is worse. A person of skill s names the better one with probability s, whatever the two are
(the one-coin model of A. P. Dawid and A. M. Skene, 1979), so what agreement, reliability and votes come to is known.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

TAKES_UP = re.compile(r'(?:As for|The word|For) "([^"]+)"')
REFUSES = re.compile(r"\b(?:I can't|I cannot|I won't|I'm sorry|I am not able|unable to)\b")
SENTENCE = re.compile(r"[.!?](?:\s|$)")


def worth(answer: str) -> float:
    """How good an answer is, in points; different texts never have the same."""
    points = 1.5 if TAKES_UP.search(answer) else 0.0
    points += 0.25 * min(len(SENTENCE.findall(answer)), 6)
    points += 1.0 if re.search(r"^(?:1\.|- )", answer, re.M) else 0.0
    points -= 1.0 if "```" in answer else 0.0
    points -= 0.5 if re.search(r"^\|", answer, re.M) else 0.0
    points -= 1.5 if answer.startswith("Do you mean") else 0.0
    points -= 2.0 if REFUSES.search(answer) or not answer.strip() else 0.0
    # What is left over is nobody's to see, and keeps two answers from being alike.
    return points + int.from_bytes(sha256(answer.encode()).digest()[:4], "big") / 2**32 * 1e-3


def said(messages: Sequence[Mapping[str, str]]) -> str:
    """An answer's text, its messages one below the other."""
    return "\n\n".join(message["content"] for message in messages)


def better(first: str, second: str) -> bool:
    """Whether the first of two answers is truly better."""
    return worth(first) > worth(second)


class Vote(NamedTuple):
    """One person's choice on one task, in terms of the task's own order."""

    task: str
    person: str
    first: bool
    """Whether they chose the task's first response."""


def expected_alpha(votes: Sequence[Vote], skill: Mapping[str, float], first_is_better: Mapping[str, bool]) -> float:
    """Krippendorff's alpha that these people's skills lead to on these tasks: 1 − E[D_o] / E[D_e], nominal.

    The numerator is over the pairs of votes that tasks really have; the denominator takes the expected share p of
    first choices, D_e = 2 p (1 − p) n / (n − 1).

    Args:
        skill: person to the probability of naming the better response.
        first_is_better: task to whether its first response is the better.
    """
    by_task: dict[str, list[str]] = {}
    for vote in votes:
        by_task.setdefault(vote.task, []).append(vote.person)
    several = {task: people for task, people in by_task.items() if len(people) > 1}
    n = sum(map(len, several.values()))
    firsts = sum(
        skill[person] if first_is_better[task] else 1 - skill[person]
        for task, people in several.items()
        for person in people
    )
    p = firsts / n
    apart = 0.0
    for people in several.values():
        pairs = [
            skill[a] * (1 - skill[b]) + skill[b] * (1 - skill[a])
            for place, a in enumerate(people)
            for b in people[place + 1 :]
        ]
        apart += 2 * sum(pairs) / (len(people) - 1)
    return 1 - (apart / n) / (2 * p * (1 - p) * n / (n - 1))
