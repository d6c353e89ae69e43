"""What an audit finds: a name, a level, how many, examples by id, and how to trace them.

    info    worth knowing
    warn    look at it before training on this
    block   an export stops here, unless it is told by name to go on

A finding never holds a whole piece of private data, nor text beyond a short excerpt.
"""
# ruff: noqa: RUF012 (pydantic copies a default for each record)

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from curate.private import redact
from data.errors import BadInput, nearest
from data.records import Record
from data.text import excerpt

Level = Literal["info", "warn", "block"]
Subject = Literal["row", "prompt", "response", "annotator", "text", "item"]
SHOWN = 10  # examples kept with a finding; all cases are in audit/cases.jsonl
FILE = "audit/findings.jsonl"

NAMES: dict[str, str] = {
    "position_bias": "the answer shown first wins too often",
    "position_bias_person": "somebody prefers what is shown first, or last",
    "length_bias": "the longer answer wins too often",
    "style_bias": "lists, headers, bold or code win too often",
    "language_mismatch": "chosen is in another script than the prompt, and rejected is not",
    "speed_outlier": "somebody is far quicker than the others",
    "agreement_outlier": "somebody agrees with the others hardly more than chance",
    "label_leak": "the text gives the label away",
    "one_sided_mark": "a word at the beginning or the end of an answer tells which is chosen",
    "answer_in_prompt": "the prompt holds the chosen answer, and not the rejected one",
    "identical_answers": "chosen and rejected are the same text",
    "near_identical_answers": "chosen and rejected differ by very little",
    "duplicate_rows": "a row stands there twice",
    "contradiction": "the same two answers, chosen one way and the other",
    "split_leak": "a prompt stands in two splits",
    "contamination": "a text is in an evaluation file",
    "private_data": "private data in a text",
    "licence_unknown": "rows without a licence",
    "licence_mixed": "rows under different licences",
    "licence_restricted": "a licence that forbids commercial use or changes",
    "intransitive": "judgments that go round in a circle",
}
"""Every finding there is, and what it means."""


class Case(Record):
    """One thing a finding is about."""

    id: str
    """The id of a row, prompt, response, task, judgment or person."""
    kind: Subject
    says: str
    """What was found there, in a few words."""
    where: str | None = None
    """File and line, where the material came from a file."""


class Finding(Record):
    """Something an audit found."""

    name: str
    level: Level
    count: int
    """How many cases."""
    of: int
    """Of how many that could be."""
    says: str
    """In one sentence, with its numbers."""
    figures: dict[str, float | int | str | None] = {}
    examples: list[Case] = []
    trace: str = ""
    """What to type to see where a case came from and what came of it."""


class Found(Record):
    """A finding with all its cases, as the checks give it."""

    finding: Finding
    cases: list[Case]


def finding(
    name: str,
    level: Level,
    of: int,
    says: str,
    cases: Sequence[Case],
    count: int | None = None,
    **figures: float | int | str | None,
) -> Found:
    """A finding from its cases: counted, and with the first of them (by id) as examples.

    Args:
        count: how many, where it is not the number of cases.
    """
    assert name in NAMES, name
    ordered = sorted(cases, key=lambda case: (case.id, case.says))
    rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in figures.items()}
    made = Finding(
        name=name,
        level=level,
        count=len(ordered) if count is None else count,
        of=of,
        says=says,
        figures=rounded,
        examples=ordered[:SHOWN],
        trace=_trace(ordered),
    )
    return Found(finding=made, cases=ordered)


def _trace(cases: Sequence[Case]) -> str:
    if not cases:
        return ""
    if cases[0].where:
        return "each case names its file and line"
    if cases[0].kind == "annotator":
        return "audit/judgments.jsonl has what they judged, by annotator"
    return f"python -m curate.trace {cases[0].id}"


def case(id: str, kind: Subject, says: str, where: str | None = None, limit: int = 160) -> Case:
    """A case whose words are cut to `limit` characters on one line, private data in them replaced."""
    return Case(id=id, kind=kind, says=_shown(says, limit), where=where)


@lru_cache(maxsize=1024)
def _shown(says: str, limit: int) -> str:
    """Many cases of a finding say the same."""
    return redact(excerpt(says, limit))[0] if says else ""


def blocking(found: Iterable[Finding], allowed: Sequence[str] = ()) -> list[Finding]:
    """The findings that stop an export: those of level block that were not allowed by name.

    Raises:
        BadInput: a name allowed is no finding's.
    """
    for name in allowed:
        if name not in NAMES:
            hint = nearest(name, NAMES) or f"; there are {', '.join(NAMES)}"
            raise BadInput(f"--allow: '{name}' is no finding{hint}")
    return [one for one in found if one.level == "block" and one.name not in allowed]
