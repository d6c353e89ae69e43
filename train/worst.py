"""The held-out rows a run did worst on, and why: what people should look at or label next.

    worst = worst_rows(held_out, {row.id: row for row in export.pairs["test"]}, "dpo")
    write_worst(folder, worst, sources)     # audit/worst.jsonl, and audit/ask_again.jsonl for:

    python -m annotate.load RUN/audit/ask_again.jsonl --project again --kind ab --overlap 3

A project's own tasks keep the overlap they were loaded with, so rows are asked again in a project of their own, blind
to who chose what; each task's id in the file is the row's, by which the new judgments are held against the old ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import zip_longest
from math import exp, log1p
from typing import Any, Literal

from data.folder import Folder
from train.exports import Answer, Message, Pair
from train.held_out import scored
from train.run_story import BETTER, Texts

Why = Literal["against certain people", "widest margin", "highest loss", "likely though held bad"]
CERTAIN = 0.75
"""People are certain of a pair from here on; two votes to none give 0.83 with the usual prior."""
Source = Pair | Answer
Row = Mapping[str, Any]


def worst_rows(
    held_out: Sequence[Row], sources: Mapping[str, Source], task: str, most: int = 50
) -> list[dict[str, Any]]:
    """The worst rows, in turn from each reason's own ranking; ties by id, so the order is always the same.

    Pairs (reward, dpo, orpo): rows in which the run takes the other side than people did, by cross-entropy where
    people were certain, and by the run's margin in all. Answers (sft, kto): by loss per token; of answers held bad,
    by how likely they still are. Of each ranking the worst of every prompt family comes before any family's second.

    Args:
        held_out: rows of data/held_out.jsonl.
        sources: the export's rows by id; a row that is not there has no prompt_id, task_id and judgment_ids.
        most: rows to name at most.

    Returns:
        Rows {id, split, prompt_id, task_id, judgment_ids, margin, loss, p, why}; margin is the run's, loss in nats
        (of pairs the cross-entropy with people's p, of answers per token).
    """
    rankings = _pairs(held_out, task) if task in BETTER else _answers(held_out, sources)
    found: dict[str, dict[str, Any]] = {}
    for turn in zip_longest(*rankings):
        for row, why in (one for one in turn if one):
            if row["id"] not in found and len(found) < most:
                found[row["id"]] = _named(row, why, sources.get(row["id"]), task)
    return list(found.values())


def _pairs(held_out: Sequence[Row], task: str) -> list[list[tuple[Row, Why]]]:
    wrong = [row for row in scored(held_out, task) if _against(row)]
    certain = [row for row in wrong if max(_p(row), 1 - _p(row)) >= CERTAIN]
    by_loss = _spread(sorted(certain, key=lambda row: (-_cross_entropy(row), row["id"])))
    by_margin = _spread(sorted(wrong, key=lambda row: (-abs(_margin(row)), row["id"])))
    return [[(row, "against certain people") for row in by_loss], [(row, "widest margin") for row in by_margin]]


def _answers(held_out: Sequence[Row], sources: Mapping[str, Source]) -> list[list[tuple[Row, Why]]]:
    rows = [row for row in held_out if isinstance(row.get("chosen"), int | float)]
    bad = [row for row in rows if _label(row, sources) is False]
    good = [row for row in rows if _label(row, sources) is not False]
    return [
        [(row, "highest loss") for row in _spread(sorted(good, key=lambda row: (-row["chosen"], row["id"])))],
        [(row, "likely though held bad") for row in _spread(sorted(bad, key=lambda row: (row["chosen"], row["id"])))],
    ]


def _spread(ranked: Sequence[Row]) -> list[Row]:
    """The first of each cluster, then the second of each …, so that one prompt's answers do not fill the list."""
    seen: dict[Any, int] = {}
    turns = []
    for row in ranked:
        key = row.get("cluster") or row["id"]
        turns.append(seen.get(key, 0))
        seen[key] = turns[-1] + 1
    return [row for _, row in sorted(zip(turns, ranked, strict=True), key=lambda one: one[0])]


def _label(row: Row, sources: Mapping[str, Source]) -> bool | None:
    source = sources.get(row["id"])
    return source.label if isinstance(source, Answer) else row.get("label")


def _named(row: Row, why: Why, source: Source | None, task: str) -> dict[str, Any]:
    more = source.row if source else {}
    pair = task in BETTER
    return {
        "id": row["id"],
        "split": row.get("split"),
        "prompt_id": more.get("prompt_id"),
        "task_id": more.get("task_id"),
        "judgment_ids": list(more.get("judgment_ids") or []),
        "margin": round(_margin(row), 6) if pair else None,
        "loss": round(_cross_entropy(row) if pair else float(row["chosen"]), 6),
        "p": _p(row),
        "why": why,
    }


def _p(row: Row) -> float:
    p = row.get("p")
    return 1.0 if p is None else float(p)


def _margin(row: Row) -> float:
    return float(row["chosen"]) - float(row["rejected"])


def _against(row: Row) -> bool:
    """Whether the run takes the side that people did not; nobody's side where either has none."""
    return (_margin(row) < 0 < _p(row) - 0.5) or (_margin(row) > 0 > _p(row) - 0.5)


def _cross_entropy(row: Row) -> float:
    """−p log σ(m) − (1 − p) log σ(−m), in nats."""
    m = abs(_margin(row))
    away = 1 - _p(row) if _margin(row) > 0 else _p(row)  # people's probability of the side the run does not take
    return away * m + log1p(exp(-m))


def texts_of(source: Source) -> Texts:
    """A row's texts as people read them."""
    if isinstance(source, Pair):
        return Texts(_read(source.prompt), _read(source.chosen, plain=True), _read(source.rejected, plain=True))
    return Texts(_read(source.prompt), _read(source.completion, plain=True), None, source.label)


def _read(messages: Sequence[Message], *, plain: bool = False) -> str:
    """Messages one under another; a lone one by the user or (with `plain`) the assistant goes without its role."""
    expected = "assistant" if plain else "user"
    if len(messages) == 1 and messages[0].get("role") == expected and not messages[0].get("tool_calls"):
        return str(messages[0].get("content") or "")
    return "\n".join(_turn(message) for message in messages)


def _turn(message: Message) -> str:
    calls = f" {message['tool_calls']}" if message.get("tool_calls") else ""
    return f"{message.get('role')}: {message.get('content') or ''}{calls}"


def ask_again(worst: Iterable[Row], sources: Mapping[str, Source]) -> list[dict[str, Any]]:
    """The worst pairs as tasks that `annotate.load --kind ab` takes, the two answers in an order that tells nothing.

    Left out are answers that stand alone (there is nothing to choose between) and prompts with tools, which this
    layout cannot carry.
    """
    tasks = []
    for row in worst:
        source = sources.get(row["id"])
        if not isinstance(source, Pair) or source.tools:
            continue
        answers = [source.chosen, source.rejected]
        if sha256(source.id.encode()).digest()[0] & 1:
            answers.reverse()
        about = {key: source.row[key] for key in ("language", "tags", "licence") if source.row.get(key)}
        tasks.append({"id": source.id, "kind": "ab", "prompt": source.prompt, "responses": answers, **about})
    return tasks


def write_worst(folder: Folder, worst: Sequence[Row], sources: Mapping[str, Source]) -> None:
    """Write audit/worst.jsonl, and audit/ask_again.jsonl where people can be asked again, into a run's folder."""
    folder.write("audit/worst.jsonl", worst)
    folder.write("audit/ask_again.jsonl", ask_again(worst, sources))
