"""What became of each principle: how often it was drawn, what its critiques found, what its revisions did.

Whole numbers, counted from the steps; for every principle and for every place in the chain

    drawn = violations + nothing_found + no_critique       what the critique found
    drawn = revised + kept + failed                        what became of the step
    asked = drawn times what was asked in each step         critiques and revisions, redraws included
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from datagen.revision import Draw, Step

UNCHANGED = ("unchanged", "near_unchanged")
REFUSED = ("refusal", "refuses_task")


def report(steps: Sequence[Step], every: Iterable[str] = ()) -> dict[str, Any]:
    """The report of a run: `all`, by principle, and by place in the chain (from 1).

    Args:
        every: labels of principles that are listed even if no step drew them.
    """
    return {
        "all": count(steps),
        "principles": _by(steps, lambda step: step.principle, every),
        "steps": _by(steps, lambda step: str(step.number), ()),
    }


def count(steps: Sequence[Step]) -> dict[str, Any]:
    """The figures of these steps.

    `unchanged`, `refused` and `faults` count draws, `redraws` draws after the first of their question.
    `median_characters` is the median over revised steps of characters after less characters before;
    `median_percent` of the length after in percent of that before; `shorter` counts the shorter ones.
    """
    draws = [draw for step in steps for draw in step.draws]
    revised = [step for step in steps if step.outcome == "revised"]
    lengths = [(len(step.before.text), len(step.after.text)) for step in revised]
    faults = Counter(f"{draw.stage}:{draw.fault}" for draw in draws if draw.fault)
    return {
        "drawn": len(steps),
        "violations": sum(step.finding == "violation" for step in steps),
        "nothing_found": sum(step.finding == "nothing" for step in steps),
        "no_critique": sum(step.finding == "none" for step in steps),
        "revised": len(revised),
        "kept": sum(step.outcome == "no_violation" for step in steps),
        "failed": sum(step.outcome == "failed" for step in steps),
        "asked": len(draws),
        "redraws": sum(redraws(step) for step in steps),
        "unchanged": _counted(draws, UNCHANGED),
        "refused": _counted(draws, REFUSED),
        "headings_taken_off": sum(step.prefix for step in steps),
        "median_characters": median([after - before for before, after in lengths]),
        "median_percent": median([100 * after // max(1, before) for before, after in lengths]),
        "shorter": sum(after < before for before, after in lengths),
        "faults": dict(sorted(faults.items())),
    }


def redraws(step: Step) -> int:
    """Draws of a step beyond the first of each question."""
    return len(step.draws) - len({draw.stage for draw in step.draws})


def median(values: Sequence[int]) -> int | None:
    """The middle value, the lower of two; None where there is none. A whole number, so that it is the same anywhere."""
    return sorted(values)[(len(values) - 1) // 2] if values else None


def markdown(found: dict[str, Any]) -> str:
    """The report for reading: a table of principles, one of places in the chain, and the faults."""
    lines = ["# Principles", ""]
    lines += _table("principle", {**found["principles"], "all": found["all"]})
    lines += ["", "Drawn: steps that took this principle. Violation: the critique found something. Kept: it found"]
    lines += ["nothing and the answer stayed. Failed: no usable critique or revision in two tries, the answer"]
    lines += ["stayed. Unchanged, refused: single tries that gave the old text again, or declined the work. Length:"]
    lines += ["median change in characters of the revised answers, and their length in percent of the old one.", ""]
    lines += ["## By step", "", *_table("step", found["steps"])]
    if found["all"]["faults"]:
        lines += ["", "## What was wrong with single tries", "", "| fault | tries |", "|---|---:|"]
        lines += [f"| {name} | {n:,} |" for name, n in found["all"]["faults"].items()]
    return "\n".join([*lines, ""])


def _by(steps: Sequence[Step], key: Callable[[Step], str], every: Iterable[str]) -> dict[str, Any]:
    groups: dict[str, list[Step]] = {name: [] for name in every}
    for step in steps:
        groups.setdefault(key(step), []).append(step)
    return {
        name: count(groups[name])
        for name in sorted(groups, key=lambda name: (len(name) if name.isdigit() else 0, name))
    }


def _counted(draws: Iterable[Draw], names: Sequence[str]) -> int:
    return sum(draw.fault in names for draw in draws)


def _table(first: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    columns = ("drawn", "violations", "kept", "revised", "failed", "redraws", "unchanged", "refused")
    head = [f"| {first} | {' | '.join(columns)} | length | percent |", "|---|" + "---:|" * (len(columns) + 2)]
    for name, row in rows.items():
        change, percent = row["median_characters"], row["median_percent"]
        length = ["–", "–"] if change is None else [f"{change:+,}", f"{percent}%"]
        head.append(f"| {name} | {' | '.join(f'{row[c]:,}' for c in columns)} | {' | '.join(length)} |")
    return head
