"""What changed between two exports, and why, row by row.

A row is known by its task and the responses it is about, so a pair that turned round is changed,
not new. Why is decided by computing: where the first export's judgments under the second's rules
give the second's row, the rules did it; where the second's judgments under the first's rules do,
the judgments did; and what happened to each judgment stands in the second's own lists.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from curate import layouts
from curate.beliefs import FILE as BELIEFS
from curate.beliefs import belief_of
from curate.evidence import Plan, hear, sums
from curate.pairs import Belief, Stored, split_of
from curate.proof import JUDGMENTS, LEFT_OUT, TASKS, Line, by_task, data_files, plan_of
from curate.rows import look
from data.errors import BadInput
from data.jsonl import explain
from data.manifest import Manifest
from data.records import Judgment, Task

UNUSED = "audit/judgments_unused.jsonl"


class Side(NamedTuple):
    """An export: its folder, its manifest, and what decides its rows."""

    folder: Path
    manifest: Manifest
    plan: Plan


class Change(NamedTuple):
    """A row that is not in both exports as it was: `added`, `removed` or `changed`, and why."""

    what: str
    task_id: str
    response_ids: list[str]
    ids: list[str]
    """The row's id in the first export and in the second, where it is there."""
    columns: list[str]
    """Which columns differ, of a row that was changed."""
    why: list[str]


class Evidence(NamedTuple):
    """What one export holds of one task."""

    task: list[Line]
    judgments: dict[str, Line]
    unused: dict[str, str]
    gaps: dict[tuple[str, ...], str]
    rows: dict[tuple[str, ...], Line]
    belief: Belief | None
    """What a model over all tasks said of it, where one was asked."""


def side(folder: Path) -> Side:
    """An export to compare; BadInput when the folder is none."""
    from data.manifest import read_manifest

    manifest = read_manifest(folder)
    return Side(folder, manifest, plan_of(folder, manifest))


def settings(one: Side, other: Side) -> dict[str, tuple[Any, Any]]:
    """The settings that differ: the value of the first and of the second export."""
    found = {}
    for name in ("project", "format"):
        a, b = getattr(one.plan, name), getattr(other.plan, name)
        if a != b:
            found[name] = (a, b)
    mine, theirs = (s.plan.rules.model_dump(mode="json") for s in (one, other))
    return found | {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


def changes(one: Side, other: Side) -> Iterator[Change]:
    """Every row that differs, by task; the two are of one format (or two whose rows are pairs of one shape)."""
    faults: list[str] = []
    left, right = (_evidence(s, faults) for s in (one, other))
    a, b = next(left, None), next(right, None)
    while a or b:
        task = min(x[0] for x in (a, b) if x)
        mine = a[1] if a and a[0] == task else _NOTHING
        theirs = b[1] if b and b[0] == task else _NOTHING
        yield from _of_task(task, mine, theirs, one, other)
        a = next(left, None) if a and a[0] == task else a
        b = next(right, None) if b and b[0] == task else b
    if faults:
        raise BadInput(f"{faults[0]}; python -m curate.verify names what else does not fit")


_NOTHING = Evidence([], {}, {}, {}, {}, None)


def _evidence(of: Side, faults: list[str]) -> Iterator[tuple[str, Evidence]]:
    data = data_files(of.plan.format).values()
    keys = {TASKS: "id", **dict.fromkeys((JUDGMENTS, UNUSED, LEFT_OUT, BELIEFS, *data), "task_id")}
    for task, lines in by_task(of.folder, keys, faults):
        yield (
            task,
            Evidence(
                lines[TASKS],
                {str(line.value.get("id")): line for line in lines[JUDGMENTS]},
                {str(line.value.get("judgment_id")): str(line.value.get("reason")) for line in lines[UNUSED]},
                {
                    tuple(sorted(map(str, line.value.get("response_ids", [])))): _reason(line)
                    for line in lines[LEFT_OUT]
                },
                {key(line.value): line for name in data for line in lines[name]},
                belief_of(lines[BELIEFS][0].value) if lines[BELIEFS] else None,
            ),
        )


def key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """By what a row is known in both exports: the responses it is about."""
    ids = [row.get(name) for name in ("chosen_id", "rejected_id", "response_id")]
    return tuple(sorted(str(one) for one in ids if one is not None))


def _reason(line: Line) -> str:
    return str(line.value.get("reason"))


def _of_task(task: str, mine: Evidence, theirs: Evidence, one: Side, other: Side) -> Iterator[Change]:
    """The changes of one task; rows computed anew are only asked for where some row differs."""
    only_ours = one.plan.format != other.plan.format
    before = {k: _shown(line.value, only_ours) for k, line in mine.rows.items()}
    after = {k: _shown(line.value, only_ours) for k, line in theirs.rows.items()}
    differ = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    if not differ:
        return
    moved = _moved_by_rules(mine, before, other, theirs.belief, only_ours)
    moved |= _moved_by_rules(theirs, after, one, mine.belief, only_ours)
    happened = _judgments_between(mine, theirs)
    for k in differ:
        a, b = before.get(k), after.get(k)
        what = "added" if a is None else "removed" if b is None else "changed"
        columns = sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n)) if a and b else []
        gap = _gap(mine, k) if a is None else _gap(theirs, k) if b is None else ""
        word = "was" if a is None else "now"
        why = [f"{word} left out: {gap}"] if gap else []
        why += ["other rules"] if one.plan.rules != other.plan.rules and (k in moved or "beyond the" in gap) else []
        why += happened
        if mine.belief is not None and theirs.belief is not None and not happened and mine.belief != theirs.belief:
            why.append("the model was fitted again, to other judgments of other tasks")
        if not gap and {"cluster", "split"} & set(columns):
            why.append("its prompt is in another cluster")
        ids = [str(row["id"]) for row in (a, b) if row]
        yield Change(what, task, list(k), ids, columns, why or ["other configuration"])


def _gap(evidence: Evidence, k: tuple[str, ...]) -> str:
    """Why these responses gave no row, by the export's own list: they, one of them, or their whole task."""
    return evidence.gaps.get(k) or next((why for ids, why in sorted(evidence.gaps.items()) if set(ids) & set(k)), "")


_LAYOUT = {"prompt", "chosen", "rejected", "tools", "conversations", "system", "score_chosen", "score_rejected"}


def _shown(row: dict[str, Any], only_ours: bool) -> dict[str, Any]:
    """What of a row is compared: all, or between two formats the columns that are ours."""
    return {name: value for name, value in row.items() if not (only_ours and name in _LAYOUT)}


def _moved_by_rules(
    evidence: Evidence, rows: dict[tuple[str, ...], Any], other: Side, belief: Belief | None, only_ours: bool
) -> set[tuple[str, ...]]:
    """The rows that are others when the other export's rules (and its model) read the same judgments."""
    if not evidence.task or (belief is None and other.plan.rules.aggregate != "votes"):
        return set()
    there = {k: _shown(row, only_ours) for k, row in _rows(evidence, other.plan, belief).items()}
    return {k for k in rows.keys() | there.keys() if rows.get(k) != there.get(k)}


def _rows(evidence: Evidence, plan: Plan, belief: Belief | None) -> dict[tuple[str, ...], Any]:
    """The rows that this evidence gives under this plan, by what they are about; nothing is decided over all tasks.

    The cluster and the split of a prompt are those that the evidence's own rows have.
    """
    if not evidence.task:
        return {}
    try:
        task = Task.model_validate(evidence.task[0].value)
        judgments = [Stored("counted", Judgment.model_validate(line.value)) for line in evidence.judgments.values()]
    except ValueError as error:
        raise BadInput(f"{evidence.task[0].where}: {explain(error)}") from None
    voted = plan.rules.aggregate == "votes"
    pairs = look(sums(hear(task, judgments, plan), plan), plan, None if voted else belief).pairs
    own: dict[str, Any] = next((line.value for line in evidence.rows.values()), {})
    for pair in pairs:
        pair["cluster"] = own.get("cluster", pair["cluster"])
        pair["split"] = own.get("split") or split_of(pair["cluster"], plan.rules.seed, plan.rules.splits)
    made = layouts.rows(plan.format, pairs, plan.rules.even)
    return {key(row.value): row.value for row in made}


def _judgments_between(mine: Evidence, theirs: Evidence) -> list[str]:
    """What happened to the task's judgments from the first export to the second, in words with counts."""
    found: Counter[str] = Counter()
    for gone in mine.judgments.keys() - theirs.judgments.keys():
        reason = theirs.unused.get(gone, "no longer there")
        found["superseded" if reason.startswith("superseded") else f"not counted any more ({reason})"] += 1
    for new in theirs.judgments.keys() - mine.judgments.keys():
        found["new" if new not in mine.unused else f"counted now (before: {mine.unused[new]})"] += 1
    return [f"{n} judgment{'s' if n > 1 else ''} {what}" for what, n in sorted(found.items())]
