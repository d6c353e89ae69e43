"""What a judge's answer says: a judgment with the line that proves it, or a named reason why there is none.

Pure functions: an Ask and its Answer become a Heard.
"""

from typing import Any, NamedTuple

from data.records import LETTERS, Judgment, Task
from datagen.judging import Ask, Settings, annotator_of
from datagen.request import Answer
from datagen.softlabel import soft_label
from datagen.verdicts import NoVerdict, Verdict, read_choice, read_ratings


class Heard(NamedTuple):
    """What came of one Ask: a judgment and the line that proves it, or a named reason why there is none."""

    judgment: Judgment | None
    line: dict[str, Any]
    """For audit/verdicts.jsonl, and with `fault` and `detail` for audit/rejected.jsonl."""
    fault: str | None = None


def hear(task: Task, ask: Ask, answer: Answer, how: Settings, comment: str = "") -> Heard:
    """What an answer to an Ask says; `comment` goes into the judgment."""
    line: dict[str, Any] = {
        **{"task": task.id, "key": answer.key, "shown": [task.responses[n].id for n in ask.shown]},
        **{"principle": ask.principle, "sample": ask.sample, "order": 2 if ask.turned else 1},
        **{"text": answer.text, "model": answer.model},
    }
    if answer.fault:
        return Heard(None, line | {"detail": answer.detail}, answer.fault)
    said = _ratings(task, ask, answer) if task.kind == "rating" else _choice(answer, how)
    if isinstance(said, NoVerdict):
        return Heard(None, line | {"detail": said.detail}, said.fault)
    fields, proof = said
    judgment = Judgment.make(
        task_id=task.id,
        annotator=annotator_of(task, how),
        annotator_kind="model",
        shown=line["shown"],
        comment=comment,
        token=answer.key or None,
        model=answer.model or how.model,
        principle=ask.principle if task.kind != "rating" else None,
        sample_index=ask.sample,
        **fields,
    )
    return Heard(judgment, line | proof | {"judgment": judgment.id})


def _ratings(task: Task, ask: Ask, answer: Answer) -> tuple[dict[str, Any], dict[str, Any]] | NoVerdict:
    letters = LETTERS[: len(ask.shown)]
    read = read_ratings(answer.value, letters, task.criteria)
    if isinstance(read, NoVerdict):
        return read
    ratings = {task.responses[n].id: read[letter] for letter, n in zip(letters, ask.shown, strict=True)}
    return {"ratings": ratings}, {"ratings": ratings}


def _choice(answer: Answer, how: Settings) -> tuple[dict[str, Any], dict[str, Any]] | NoVerdict:
    """The judgment's choice and probability, and for the proof the probability before it was clamped.

    A label from the text alone is hard, 1 or 0: it gets a probability only where it is clamped, and else the
    choice says it all. A tie is a choice without a probability.
    """
    verdict: Verdict | NoVerdict = read_choice(answer.text, how.reasoned)
    if isinstance(verdict, NoVerdict):
        return verdict
    if verdict.choice == "tie" or verdict.at is None:
        return {"choice": "tie"}, {"choice": "tie", "how": "text"}
    soft = soft_label(answer.logprobs, answer.text, verdict.at)
    if soft is None:
        raw = 1.0 if verdict.choice == "A" else 0.0
        proof: dict[str, Any] = {"choice": verdict.choice, "how": "text", "before_clamp": raw}
        if how.clamp is None:
            return {"choice": verdict.choice}, proof
        return {"choice": verdict.choice, "probability": how.clamp(raw)}, proof | {"probability": how.clamp(raw)}
    p = how.clamp(soft.probability) if how.clamp else soft.probability
    proof = {"choice": verdict.choice, "how": "logprobs", "before_clamp": soft.probability, "probability": p}
    proof |= {"seen": soft.seen} | ({"missing": soft.missing} if soft.missing else {})
    return {"choice": verdict.choice, "probability": p}, proof
