"""What a judge's run leaves behind: tasks with judgments, the share for people, and what stands behind them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from data.folder import Folder
from data.formats.rows import Reject
from data.records import Task, canonical
from datagen.averages import Comparison, comparisons, leaning, unsure
from datagen.hearing import Heard
from datagen.human_share import chosen
from datagen.judging import Ask, Settings, annotator_of, identical, template_of, told_by


class Judged(NamedTuple):
    """One task and everything that was heard about it."""

    task: Task
    heard: list[tuple[Ask, Heard]]
    compared: list[Comparison]
    doubt: str

    def line(self, **changes: Any) -> bytes:
        """The task with its judgments beside it, as annotate.load takes it."""
        task = self.task.model_copy(update=changes) if changes else self.task
        judgments = [one.judgment.plain() for _, one in self.heard if one.judgment]
        return canonical({**task.plain(), **({"judgments": judgments} if judgments else {})})


def judged(
    tasks: Sequence[Task], said: Sequence[tuple[Ask, Heard]], asks: Sequence[Ask], how: Settings
) -> list[Judged]:
    """The tasks for which every ask ended, well or badly, in their order."""
    asked = Counter(ask.task for ask in asks)
    heard: dict[int, list[tuple[Ask, Heard]]] = {}
    for ask, one in said:
        heard.setdefault(ask.task, []).append((ask, one))
    made = []
    for place, task in enumerate(tasks):
        own = heard.get(place, [])
        if len(own) == asked[place]:
            compared = comparisons(task, own)
            made.append(Judged(task, own, compared, unsure(task, compared, own, how.clamp)))
    return made


def write_tasks(folder: Folder, found: Sequence[Judged], share: float, seed: int, first: int) -> int:
    """Write data/tasks.jsonl, and human/tasks.jsonl with the share that people judge too; returns how many.

    Args:
        first: how much their priority is raised in data/tasks.jsonl.
    """
    people = chosen([one.task for one in found], [one.doubt for one in found], share, seed)
    with folder.lines("data/tasks.jsonl") as out:
        for place, one in enumerate(found):
            raised = {"priority": min(1000, one.task.priority + first)} if place in people else {}
            out.add(one.line(**raised))
    folder.write("human/tasks.jsonl", (found[place].line() for place in sorted(people)))
    return len(people)


def write_audit(folder: Folder, found: Sequence[Judged], rejects: Sequence[Reject], how: Settings) -> dict[str, Any]:
    """Write audit/; returns the summary of what was judged and how the judge leans."""
    faults: Counter[str] = Counter()
    judges: dict[str, dict[str, Any]] = {}
    flagged: Counter[str] = Counter()
    verdicts = folder.lines("audit/verdicts.jsonl")
    rejected = folder.lines("audit/rejected.jsonl")
    told = folder.lines("audit/flagged.jsonl")
    averages = folder.lines("audit/comparisons.jsonl")
    with verdicts, rejected, told, averages:
        for reject in rejects:
            rejected.add({"stage": "read", "fault": "bad_line", **reject._asdict()})
        for one in found:
            judges.setdefault(annotator_of(one.task, how), _judge(one.task, how))
            for line in (words := told_by(one.task)):
                told.add({"task": one.task.id, **line})
            flagged["tasks"] += bool(words)
            for _, heard in one.heard:
                if heard.fault is None:
                    verdicts.add(heard.line)
                else:
                    faults[heard.fault] += 1
                    rejected.add({"stage": "judge", "fault": heard.fault, **heard.line})
            for comparison in one.compared:
                averages.add(comparison._asdict())
    folder.write("audit/judges.jsonl", ({"annotator": name, **judges[name]} for name in sorted(judges)))
    return _summary(found, rejects, faults, flagged["tasks"], sum(identical(one.task, how) for one in found))


def _judge(task: Task, how: Settings) -> dict[str, Any]:
    """The settings that an annotator id stands for."""
    template = template_of(task, how)
    return {
        "model": how.model,
        "template": template.name,
        "template_hash": template.hash,
        "reasoned": how.reasoned,
        "ties": how.ties,
        "clamp": list(how.clamp) if how.clamp else None,
        "temperature": how.temperature,
        "logprobs": how.top_logprobs > 0,
        "constitutions": {c.label: c.hash for c in how.constitutions},
    }


def _summary(
    found: Sequence[Judged], rejects: Sequence[Reject], faults: Counter[str], flagged: int, identical: int
) -> dict[str, Any]:
    judgments = [heard.judgment for one in found for _, heard in one.heard if heard.judgment]
    compared = [c for one in found for c in one.compared]
    doubts = Counter(one.doubt for one in found)
    summary: dict[str, Any] = {
        "tasks": len(found),
        "judgments": len(judgments),
        "soft_labels": sum(j.probability is not None for j in judgments),
        "rejected_verdicts": dict(sorted(faults.items())),
        "rejected_lines": len(rejects),
        "one_order_only": sum(c.one_order for c in compared),
        "identical_answers": identical,
        "flagged_tasks": flagged,
        "doubt": dict(sorted(doubts.items())),
        **leaning(judgments, compared).plain(),
    }
    return {name: value for name, value in summary.items() if value not in (None, {}, 0) or name in ("judgments",)}
