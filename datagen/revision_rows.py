"""What is written of the chains: rows to train on, tasks with the rule's judgments, and every step.

A row is {"prompt", "completion"} as message lists, which TRL trains on as it is, with where it came from
beside it. A task sets the first answer against the last (or each against the one before); the rule that the
later one is better judges it, marked as a rule's, so that nothing downstream takes it for a person's word.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from data.folder import readme
from data.formats.rows import RAW, Reject
from data.records import Judgment, Prompt, Response, Task, content_id, digest
from datagen.revision import Chain, Draw, Step

RULE = "Of two answers in one chain of revisions the later is better."
ANNOTATOR = f"rule:{content_id('rule', RULE)[:16]}"


def sft_rows(chain: Chain, all_steps: bool = False) -> list[dict[str, Any]]:
    """The rows to train on from one chain.

    The last revision, or with `all_steps` each. A chain in which every critique found nothing gives its first
    answer, as kind "unrevised"; one in which steps failed and none revised gives no row (see `lost`).
    """
    if chain.first is None or lost(chain) is not None:
        return []
    revised = [step for step in chain.steps if step.outcome == "revised"]
    if not revised:
        return [sft_row(chain.prompt, chain.first, "unrevised")]
    chosen = range(len(revised)) if all_steps else [len(revised) - 1]
    return [
        sft_row(chain.prompt, revised[i].after, "revision", revised[i].number, [s.principle for s in revised[: i + 1]])
        for i in chosen
    ]


def sft_row(
    prompt: Prompt,
    response: Response,
    kind: Literal["revision", "unrevised", "helpful"],
    step: int = 0,
    principles: Sequence[str] = (),
) -> dict[str, Any]:
    """One row: the same keys whatever its kind, so that a table of them has one type a column."""
    return {
        "id": content_id("sft", prompt.id, response.id),
        "prompt": [m.plain() for m in prompt.messages],
        "completion": [m.plain() for m in response.messages],
        "kind": kind,
        "step": step,
        "principles": list(principles),
        "prompt_id": prompt.id,
        "response_id": response.id,
        "model": response.model,
        "language": prompt.language,
        "tags": prompt.tags,
        "source": prompt.source,
        "licence": prompt.licence,
    }


def card(rows: Sequence[dict[str, Any]]) -> str:
    """README.md of the folder: tells `load_dataset` where the rows are and of which type each column is.

    Types are stated, because a column that is empty in the first rows and filled later is guessed wrong.
    """
    import yaml

    fields = {key for row in rows for m in (*row["prompt"], *row["completion"]) for key in m}
    kinds = {"role": "string", "content": "string", "tool_calls": "json", "name": "string"}
    columns: list[dict[str, Any]] = []
    for column in ("prompt", "completion"):  # each with a list of its own: YAML would write a second use as an alias
        message = [{"name": name, "dtype": kind} for name, kind in kinds.items() if name in fields]
        columns.append({"name": column, "list": message})
    columns += [{"name": name, "list": "string"} for name in ("principles", "tags")]
    texts = ("id", "kind", "prompt_id", "response_id", "model", "language", "source", "licence")
    columns += [{"name": "step", "dtype": "int64"}, *({"name": name, "dtype": "string"} for name in texts)]
    columns.sort(key=lambda column: str(column["name"]))  # as in a canonical line
    features = yaml.safe_dump({"dataset_info": {"config_name": "default", "features": columns}}, sort_keys=False)
    return readme("Answers revised by principles", ["train"], features, proved=False)


def mixed(rows: Iterable[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The rows in an order drawn by seed and id, so that what comes first in a file is not all of one kind."""
    return sorted(rows, key=lambda row: digest([seed, "mix", row["id"]]))


def lost(chain: Chain) -> Draw | None:
    """The try because of which a chain gives no row: no first answer, or steps that failed and none that revised."""
    if chain.first is None:
        return chain.lost
    failed = [step for step in chain.steps if step.outcome == "failed"]
    return failed[-1].draws[-1] if failed and chain.last is chain.first else None


def compared(chain: Chain, project: str, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Whole tasks with the rule's judgment: first against last, and each against the one before.

    A comparison that is in the first list (where a chain revised once) is not in the second again.
    """
    if chain.first is None or chain.last is None or chain.last.text == chain.first.text:
        ends = []
    else:
        principles = {step.principle for step in chain.steps if step.outcome == "revised"}
        alone = principles.pop() if len(principles) == 1 else None
        ends = [judged_task(chain.prompt, chain.first, chain.last, project, seed, alone)]
    there = {task["id"] for task in ends}
    each = [
        judged_task(chain.prompt, step.before, step.after, project, seed, step.principle)
        for step in chain.steps
        if step.outcome == "revised"
    ]
    return ends, [task for task in each if task["id"] not in there]


def judged_task(
    prompt: Prompt, before: Response, after: Response, project: str, seed: int, principle: str | None = None
) -> dict[str, Any]:
    """One A/B task with the rule's judgment, as a line that `annotate.load` takes.

    Which of the two stands first is drawn by seed and ids, so that the better one has no fixed place.
    """
    pair = sorted([before, after], key=lambda r: digest([seed, "place", prompt.id, r.id]))
    task = Task.make(project, "ab", prompt, pair, language=prompt.language)
    verdict = Judgment.make(
        task_id=task.id,
        annotator=ANNOTATOR,
        annotator_kind="rule",
        shown=[r.id for r in pair],
        choice="A" if pair[0] is after else "B",
        principle=principle,
    )
    return {**task.plain(), "judgments": [verdict.plain()]}


def step_row(step: Step) -> dict[str, Any]:
    """A step as it is kept in audit/steps.jsonl, every try with it."""
    return {
        "prompt_id": step.prompt_id,
        "step": step.number,
        "principle": step.principle,
        "finding": step.finding,
        "outcome": step.outcome,
        "failed": step.failed,
        "critique": step.critique,
        "before": step.before.id,
        "after": step.after.id,
        "characters": [len(step.before.text), len(step.after.text)],
        "heading_taken_off": step.prefix,
        "draws": [draw._asdict() for draw in step.draws],
    }


def responses(chain: Chain) -> Iterator[Response]:
    """Every answer that stood in a chain, the first one first."""
    if chain.first is not None:
        yield chain.first
    yield from (step.after for step in chain.steps if step.outcome == "revised")


def reject_row(prompt: Prompt, draw: Draw) -> dict[str, Any]:
    """A prompt without a row, for audit/rejected.jsonl: the last try, and what came."""
    return {
        "prompt_id": prompt.id,
        "stage": draw.stage,
        "fault": draw.fault,
        "detail": draw.detail,
        "key": draw.key,
        "text": draw.text[:RAW],
    }


def line_row(reject: Reject) -> dict[str, Any]:
    """A line of an input file that is no prompt, for audit/rejected.jsonl."""
    where = {"where": reject.where, "detail": reject.reason, "text": reject.raw}
    return {"prompt_id": "", "stage": "read", "fault": "no_prompt", "key": "", **where}


def unfinished(prompts: Iterable[Prompt], done: Iterable[Prompt], stage: str) -> Iterator[dict[str, Any]]:
    """The prompts that were not finished when the budget ended, for audit/rejected.jsonl."""
    known = {prompt.id for prompt in done}
    detail = "the budget ended before this prompt was finished; run again with a higher cap to go on"
    for prompt in prompts:
        if prompt.id not in known:
            missing = {"stage": stage, "fault": "budget", "detail": detail, "key": "", "text": ""}
            yield {"prompt_id": prompt.id, **missing}
