"""A run of datagen.constitutional as a folder: asks for the chains, and writes what came of them.

data/train.jsonl       rows to train on: prompt and completion
tasks/tasks.jsonl      first answer against last, with the rule's judgment; steps.jsonl: step by step
audit/steps.jsonl      every step: principle, critique, tries, outcome
audit/responses.jsonl  every answer that stood in a chain, as a Response with its lineage
audit/principles.json  the report per principle, and principles.md for reading
audit/rejected.jsonl   lines, prompts and steps that gave nothing, each with its reason
audit/rule.json        who the annotator of the judgments is, and by what rule it judges
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BudgetEnded
from data.folder import Folder
from data.formats.rows import Reject
from data.records import Prompt, Response
from datagen import principles
from datagen import revision_rows as rows_of
from datagen.constitution import in_language
from datagen.revision import Chain, Draw, Settings, answer_plainly, run_chain

if TYPE_CHECKING:
    from datagen.client import Client


class Wanted(NamedTuple):
    """What to ask, and how to write it."""

    prompts: Sequence[Prompt]
    settings: Settings
    helpful: Sequence[Prompt] = ()
    """Prompts answered plainly, to be mixed in."""
    helpful_samples: int = 1
    all_steps: bool = False
    step_by_step: bool = False
    project: str = "constitutional"


class Made(NamedTuple):
    """What was finished: in the order of the prompts, whatever the order of the answers."""

    chains: list[Chain]
    helpful: list[tuple[Prompt, list[Response], list[Draw]]]
    stopped: str = ""
    """Why the run ended before its work did."""


async def ask_all(client: "Client", wanted: Wanted) -> Made:
    """All chains, then the plain answers; what is whole when the budget ends is kept.

    No more chains are under way than requests may be at once: each has one request out at a time, so more
    would gain nothing, and a budget that ends would cut off all of them.
    """
    made = Made([], [])
    room = asyncio.Semaphore(client.settings.concurrency)

    async def chain(prompt: Prompt) -> Chain:
        async with room:
            return await run_chain(client.ask, prompt, wanted.settings)

    plain = partial(answer_plainly, client.ask, settings=wanted.settings, samples=wanted.helpful_samples)
    try:
        async for _, one in client.each(wanted.prompts, chain):
            made.chains.append(one)
        async for prompt, (answers, lost) in client.each(wanted.helpful, plain):
            made.helpful.append((prompt, answers, lost))
    except BudgetEnded as error:
        return made._replace(stopped=str(error))
    return made


def write(folder: Folder, wanted: Wanted, made: Made, lines: Sequence[Reject] = ()) -> dict[str, Any]:
    """Write the folder's files; returns the summary.

    Args:
        lines: the lines of the input files that are no prompts.
    """
    rows = [row for chain in made.chains for row in rows_of.sft_rows(chain, wanted.all_steps)]
    kinds = Counter(row["kind"] for row in rows)
    plain = [rows_of.sft_row(prompt, one, "helpful") for prompt, answers, _ in made.helpful for one in answers]
    if plain:
        rows = rows_of.mixed([*rows, *plain], wanted.settings.seed)
        kinds["helpful"] = len(plain)
    if folder.write("data/train.jsonl", rows):
        folder.write_text("README.md", rows_of.card(rows))
    tasks = [rows_of.compared(chain, wanted.project, wanted.settings.seed) for chain in made.chains]
    ends = folder.write("tasks/tasks.jsonl", (task for pair in tasks for task in pair[0]))
    each = folder.write("tasks/steps.jsonl", (t for pair in tasks for t in pair[1])) if wanted.step_by_step else 0
    rejected = _rejected(wanted, made, lines)
    folder.write("audit/rejected.jsonl", rejected)
    figures = _write_audit(folder, wanted, made)
    return {
        "prompts": len(wanted.prompts),
        "chains": len(made.chains),
        "rows": len(rows),
        "rows_by_kind": dict(sorted(kinds.items())),
        "tasks": ends,
        **({"tasks_step_by_step": each} if wanted.step_by_step else {}),
        "steps": {name: figures[name] for name in ("drawn", "violations", "revised", "kept", "failed", "redraws")},
        "rejected": dict(sorted(Counter(f"{row['stage']}: {row['fault']}" for row in rejected).items())),
        **({"stopped": made.stopped} if made.stopped else {}),
    }


def _rejected(wanted: Wanted, made: Made, lines: Sequence[Reject]) -> list[dict[str, Any]]:
    out = [rows_of.line_row(line) for line in lines]
    for chain in made.chains:
        if (lost := rows_of.lost(chain)) is not None:
            out.append(rows_of.reject_row(chain.prompt, lost))
    out += rows_of.unfinished(wanted.prompts, (chain.prompt for chain in made.chains), "chain")
    out += [rows_of.reject_row(prompt, one) for prompt, _, lost in made.helpful for one in lost]
    out += rows_of.unfinished(wanted.helpful, (prompt for prompt, _, _ in made.helpful), "helpful")
    return out


def _write_audit(folder: Folder, wanted: Wanted, made: Made) -> dict[str, Any]:
    """Steps, answers, reports; returns the figures over all steps."""
    steps = [step for chain in made.chains for step in chain.steps]
    folder.write("audit/steps.jsonl", (rows_of.step_row(step) for step in steps))
    answers = [one for chain in made.chains for one in rows_of.responses(chain)]
    folder.write("audit/responses.jsonl", [*answers, *(one for _, found, _ in made.helpful for one in found)])
    found = principles.report(steps, _labels(wanted, made))
    folder.write_text("audit/principles.json", _pretty(found))
    folder.write_text("audit/principles.md", principles.markdown(found))
    folder.write_text("audit/rule.json", _pretty({"annotator": rows_of.ANNOTATOR, "rule": rows_of.RULE}))
    figures: dict[str, Any] = found["all"]
    return figures


def _labels(wanted: Wanted, made: Made) -> list[str]:
    """Every principle that could have been drawn: those of the constitutions that a prompt was judged by."""
    languages = {step.principle.split("/")[0].rpartition(".")[2] for chain in made.chains for step in chain.steps}
    used = [one for language in sorted(languages) for one in in_language(wanted.settings.constitutions, language)]
    return [f"{one.label}/{name}" for one in used for name in one.ids()]


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
