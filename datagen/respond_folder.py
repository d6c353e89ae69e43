"""What a run of candidates writes: tasks, every draw, what was rejected, and how each model did."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BudgetEnded
from data.folder import Folder, write_folder
from data.formats.rows import Reject
from data.records import Kind, Response, Task, digest
from datagen.candidates import Setting, assign, shuffled
from datagen.chat import spoken
from datagen.drawing import COMMAND, STAGE, Draw, Rules, draw, opening, response
from datagen.prompt_files import Asked
from datagen.stratify import Share

if TYPE_CHECKING:
    from datagen.asking import Plan
    from datagen.client import Client

TEXT = 20_000  # characters of an answer that is no use, kept beside its reason; the log has all of it


class Setup(NamedTuple):
    """What is asked, and what tasks are made of the answers."""

    ways: Sequence[Setting]
    rules: Rules
    n: int
    least: int
    """A prompt with fewer different answers than this is rejected; one with fewer than n is kept."""
    kind: Kind
    project: str
    overlap: int
    turns: int = 1

    def config(self) -> dict[str, Any]:
        """The effective configuration, as the manifest keeps it."""
        rules = self.rules
        return {
            "settings": [list(way) for way in self.ways],
            "n": self.n,
            "least": self.least,
            "kind": self.kind,
            "project": self.project,
            "overlap": self.overlap,
            "max_similarity": str(rules.most),
            "redraws": rules.redraws,
            "turns": self.turns,
            "params": dict(rules.params),
            "accept": sorted(rules.accept),
            "server_seed": rules.server_seed,
            "seed": rules.seed,
        }


def plans(asked: Sequence[Asked], setup: Setup) -> list["Plan"]:
    """What the run is expected to ask of each model, redraws left out."""
    from datagen.asking import Plan, rough_tokens

    longest = int(dict(setup.rules.params).get("max_tokens", 0))
    requests: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    given = assign((one.prompt.id for one in asked), setup.ways, setup.n, setup.rules.seed)
    for one in asked:
        followups = one.followups
        for way in given[one.prompt.id]:
            so_far = rough_tokens(spoken(opening(one, way)))
            for turn in ("", *followups):
                so_far += rough_tokens([{"content": turn}]) + longest if turn else 0
                requests[way.model] += 1
                tokens[way.model] += so_far
    return [Plan(STAGE, m, requests[m], tokens[m], requests[m] * longest) for m in dict.fromkeys(requests)]


async def respond(
    client: "Client",
    asked: Sequence[Asked],
    setup: Setup,
    out: Path,
    force: bool,
    again: bool,
    rejected: Iterable[Reject],
    shares: Sequence[Share],
    stopped: list[str],
) -> dict[str, Any]:
    """Ask for every prompt's candidates and write the folder; returns the summary.

    Args:
        force, again: which former folder may be replaced: any of ours, or this very run's.
        rejected: the lines of the prompt files that could not be used.
        shares: the strata of the sample, where there was one.
        stopped: gets the reason where the budget ended before the prompts did; what is whole is written.

    Raises:
        BudgetEnded: before there was one task; nothing is written.
    """
    given = assign((one.prompt.id for one in asked), setup.ways, setup.n, setup.rules.seed)
    tally = Tally()
    config = setup.config() | {"prompts": digest([[one.prompt.plain(), one.followups] for one in asked])}
    with write_folder(out, "respond", config, replace=force, again=again) as folder:
        tasks, draws, refused = (
            folder.lines(name) for name in ("data/tasks.jsonl", "audit/responses.jsonl", "audit/rejected.jsonl")
        )
        with tasks, draws, refused:
            for line in rejected:
                refused.add({"stage": "read", **_line(line)})
                tally.lines += 1

            async def one_prompt(one: Asked) -> list[Draw]:
                return await draw(client.ask, one, given[one.prompt.id], setup.rules)

            try:
                async for one, made in client.each(asked, one_prompt):
                    task, reason = task_of(one, made, setup)
                    rows = list(_draw_rows(one, made))
                    for row in rows:
                        draws.add(row)
                    for row in (row for row in rows if row["outcome"] != "kept"):
                        refused.add({"stage": STAGE, "reason": row["outcome"], **row})
                    if task:
                        tasks.add(task)
                    else:
                        refused.add({"stage": "prompt", "reason": reason, "prompt": one.prompt.plain()})
                    tally.add(made, task)
            except BudgetEnded as error:
                if not tally.tasks:
                    raise
                stopped.append(str(error))
        if shares:
            folder.write_text("audit/strata.json", _strata(shares))
        summary = tally.summary(len(asked))
        _write_models(folder, summary)
    return summary


def task_of(asked: Asked, draws: Sequence[Draw], setup: Setup) -> tuple[Task | None, str]:
    """The task of a prompt's kept answers, or None and the reason why there is none."""
    prompt = asked.prompt
    by_id: dict[str, Response] = {}
    for one in draws:
        if one.outcome == "kept":
            made = response(prompt.id, one)
            by_id[made.id] = made
    if len(by_id) < setup.least:
        lost = Counter(one.outcome for one in draws if one.outcome != "kept")
        why = ", ".join(f"{n} {name}" for name, n in sorted(lost.items()))
        return None, f"{len(by_id)} different answers, {setup.least} are needed ({why})"
    order = shuffled(list(by_id), setup.rules.seed, prompt.id)
    task = Task.make(
        setup.project,
        setup.kind,
        prompt,
        [by_id[one] for one in order],
        overlap=setup.overlap,
        language=prompt.language,
    )
    return task, ""


class Tally:
    """Counts of a run: over all prompts, and for each model."""

    def __init__(self) -> None:
        self.lines = self.tasks = self.fewer = self.refused = self.done = 0
        self.models: dict[str, Counter[str]] = {}
        self.lengths: dict[str, list[int]] = {}

    def add(self, draws: Sequence[Draw], task: Task | None) -> None:
        """Count one prompt."""
        self.done += 1
        self.tasks += task is not None
        self.refused += task is None
        self.fewer += task is not None and len(task.responses) < sum(not one.again for one in draws)
        for one in draws:
            counts = self.models.setdefault(one.setting.model, Counter())
            counts["redraws"] += one.again
            if one.outcome != "kept":
                counts[one.outcome] += 1
                continue
            counts["answers"] += 1
            counts["refusals"] += one.refusal
            counts["cut_off"] += one.answer.finish == "length"
            counts["empty_kept"] += not one.messages[-1].content.strip() and not one.messages[-1].tool_calls
            self.lengths.setdefault(one.setting.model, []).append(len(one.said))

    def summary(self, prompts: int) -> dict[str, Any]:
        """What the run says at its end; lengths in characters."""
        models: dict[str, Any] = {}
        for name, counts in sorted(self.models.items()):
            always = {key: counts.pop(key, 0) for key in ("answers", "refusals", "redraws")}
            rest = {key: n for key, n in sorted(counts.items()) if n}
            middle = median_low(self.lengths[name]) if name in self.lengths else 0
            models[name] = {**always, "median_characters": middle, **rest}
        return {
            "prompts": prompts,
            "tasks": self.tasks,
            "tasks_with_fewer": self.fewer,
            "prompts_rejected": self.refused,
            "prompts_unfinished": prompts - self.done,
            "lines_rejected": self.lines,
            **{f"model_{name}": held for name, held in models.items()},
        }


def _draw_rows(asked: Asked, draws: Sequence[Draw]) -> Iterable[dict[str, Any]]:
    """Every draw as a line of the audit: what was asked of whom, and what became of it."""
    kept: list[str] = []
    for one in draws:
        row: dict[str, Any] = {
            "prompt": asked.prompt.id,
            "where": asked.where,
            "command": COMMAND,
            "model": one.setting.model,
            "temperature": one.setting.temperature,
            "system": one.setting.system_name or None,
            "sample": one.sample,
            "redraw": one.again,
            "outcome": one.outcome,
            "finish": one.answer.finish or None,
            "tokens": one.answer.completion_tokens,
            "keys": list(one.keys),
        }
        if one.outcome == "kept":
            made = response(asked.prompt.id, one)
            kept.append(made.id)
            row |= {"response": made.id, "refusal": one.refusal}
        else:
            row |= {"detail": one.answer.detail or None, "text": (one.said or one.answer.text)[:TEXT]}
            row |= {"like": kept[one.like]} if one.like is not None else {}
        yield {name: held for name, held in row.items() if held is not None}


def _line(line: Reject) -> dict[str, Any]:
    return {"where": line.where, "line": line.number, "reason": line.reason, "raw": line.raw}


def _strata(shares: Sequence[Share]) -> str:
    import json

    rows = [{**share.stratum, "in_file": share.in_file, "picked": share.picked} for share in shares]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _write_models(folder: Folder, summary: dict[str, Any]) -> None:
    models = [{"model": k.removeprefix("model_"), **v} for k, v in summary.items() if k.startswith("model_")]
    folder.write("audit/models.jsonl", models)
