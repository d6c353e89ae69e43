"""What an export folder holds, and how it is filled from a project.

    data/{train,validation,test}.jsonl   the rows, every column always there, by task and row id (.parquet in Parquet)
    audit/tasks.jsonl                    each task that has a judgment that counts, as stored
    audit/judgments.jsonl                each judgment that counts, as stored
    audit/judgments_unused.jsonl         the others: id and reason
    audit/left_out.jsonl                 responses that gave no row, and the reason
    audit/retractions.jsonl              retracted records that were met, and why they were
    audit/ledger_head.json               the newest event of the ledger when all this was read

The first three prove each other: rows are a pure function of tasks, judgments, retractions and
rules. A retracted response's text is in none of them, nor is anything of a retracted task.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, get_args

from curate import layouts, quota
from curate.card import Told, card
from curate.moment import StoredTask
from curate.pairs import LeftOut, Split, Stored, Unused, pairs_of, usable
from curate.parquet import ParquetRows
from curate.retracted import Withdrawn, withdrawn, without_text
from curate.rules import Rules
from data.errors import BadInput, nearest
from data.folder import Folder
from data.jsonl import explain
from data.records import Judgment, PreferencePair, Task, canonical

SPLITS: tuple[Split, ...] = get_args(Split)


class Tally(NamedTuple):
    """What an export counted."""

    tasks: int
    judgments: int
    """Judgments that count."""
    rows: dict[str, int]
    """Rows in each split that has any."""
    left_out: dict[str, int]
    """Sets of responses that gave no row, by reason; a whole task counts once."""
    unused: dict[str, int]
    """Judgments that do not count, by reason."""


class Plan(NamedTuple):
    """What decides the rows besides tasks and judgments."""

    project: str
    rules: Rules
    format: str
    retracted: Mapping[str, str]
    """Why each retracted record was, by id, with what is made from them (curate/retracted.py)."""


class Found(NamedTuple):
    """What one task comes to: the judgments that count, its pairs before any quota, and what is left out."""

    judgments: list[Judgment]
    unused: list[Unused]
    pairs: list[PreferencePair]
    left_out: list[LeftOut]
    gone: Withdrawn


def row_of(pair: PreferencePair, *, tools: bool = True) -> bytes:
    """A pair as a line of the format trl."""
    return canonical(layouts.preference(pair, tools=tools))


def look(task: Task, stored: Sequence[Stored], plan: Plan) -> Found:
    """What a task and all its judgments come to."""
    gone = withdrawn(task, plan.retracted)
    if gone.whole:
        unused = [Unused(one.judgment.id, task.id, gone.whole) for one in stored]
        left_out = [LeftOut(task.id, [r.id for r in task.responses], gone.whole)]
        return Found([], sorted(unused), [], left_out, gone)
    kept, unused = usable(stored, plan.rules, plan.retracted)
    pairs, left_out = pairs_of(task, kept, plan.rules, gone.responses)
    left_out += [LeftOut(task.id, [response], why) for response, why in gone.responses.items()]
    fit = []
    for pair in pairs:
        if why := layouts.unfit(plan.format, pair):
            left_out.append(LeftOut(task.id, [pair.chosen_id, pair.rejected_id], why))
        else:
            fit.append(pair)
    return Found(kept, unused, fit, left_out, gone)


def spread(
    pairs: Sequence[PreferencePair], plan: Plan, allowed: frozenset[str] | None
) -> tuple[list[layouts.Row], list[LeftOut]]:
    """The rows of one task's pairs, and the pairs beyond the quota; `allowed` None allows every pair."""
    if allowed is None:
        return layouts.rows(plan.format, pairs), []
    kept = [pair for pair in pairs if pair.id in allowed]
    why = quota.reason(plan.rules.per_prompt)
    over = [LeftOut(p.task_id, [p.chosen_id, p.rejected_id], why) for p in pairs if p.id not in allowed]
    return layouts.rows(plan.format, kept), over


class Files:
    """The files of an export being written."""

    def __init__(self, folder: Folder, format: str, stack: ExitStack) -> None:
        self.data: dict[str, Any] = {}
        for split in SPLITS:
            if format == "parquet":
                columns = layouts.columns(format, {"tool_calls", "name"}, True)
                opened: Any = ParquetRows(folder.path / f"data/{split}.parquet", columns)
            else:
                opened = folder.lines(f"data/{split}.jsonl")
            self.data[split] = stack.enter_context(opened)
        names = ("tasks", "judgments", "left_out", "judgments_unused")
        self.audit = {name: stack.enter_context(folder.lines(f"audit/{name}.jsonl")) for name in names}
        self.as_values = format == "parquet"

    def add(self, row: layouts.Row) -> None:
        """Add a row to its split."""
        self.data[row.split].add(row.value if self.as_values else row.line())


def fill(folder: Folder, read: Callable[[], Iterable[StoredTask]], plan: Plan, step: Callable[[int], None]) -> Tally:
    """Write data/, audit/ and the card of an export, one task at a time; `step` is told of each.

    Args:
        read: gives every task anew each time it is called; with a quota it is called twice.
    """
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("left_out", "unused", "source", "language", "licence")
    }
    met: dict[str, str] = {}
    extra: set[str] = set()
    criteria: set[str] = set()
    seen = judged = 0
    allowed = _allowed(read, plan)
    with ExitStack() as stack:
        files = Files(folder, plan.format, stack)
        for stored in read():
            task, judgments = _read(stored)
            found = look(task, judgments, plan)
            rows, over = spread(found.pairs, plan, allowed)
            for row in rows:
                files.add(row)
                for name in ("source", "language", "licence"):
                    counts[name][row.value[name] or ""] += 1
            _write_audit(files, stored, found, over)
            counts["left_out"].update(gap.reason for gap in (*found.left_out, *over))
            counts["unused"].update(one.reason for one in found.unused)
            met.update(_met(task, judgments, plan.retracted))
            extra |= _beyond_text(task) if rows else set()
            criteria |= {c.key for c in task.criteria}
            seen, judged = seen + 1, judged + len(found.judgments)
            step(1)
    _check_criterion(plan.rules, criteria)
    folder.write("audit/retractions.jsonl", ({"record_id": key, "reason": met[key]} for key in sorted(met)))
    told = {split: file.rows for split, file in files.data.items() if file.rows}
    columns = layouts.columns(plan.format, extra - {"tools"}, "tools" in extra)
    if plan.format == "parquet":
        columns = layouts.columns(plan.format, {"tool_calls", "name"}, True)
    sorted_counts = {name: dict(sorted(counter.items())) for name, counter in counts.items()}
    who, tongues, licences = (sorted_counts[name] for name in ("source", "language", "licence"))
    gaps, unused = sorted_counts["left_out"], sorted_counts["unused"]
    text = card(Told(plan.project, plan.format, told, columns, who, tongues, licences, gaps, unused, plan.rules.method))
    folder.write_text("README.md", text)
    if plan.format == "llama-factory":
        folder.write_text("dataset_info.json", canonical(layouts.dataset_info(list(told))).decode() + "\n")
    return Tally(seen, judged, told, gaps, unused)


def _allowed(read: Callable[[], Iterable[StoredTask]], plan: Plan) -> frozenset[str] | None:
    """The pairs that a quota lets stay; None when there is no quota."""
    if not plan.rules.per_prompt:
        return None

    def pairs() -> Iterator[list[PreferencePair]]:
        for stored in read():
            yield look(*_read(stored), plan).pairs

    return quota.allowed(pairs(), plan.rules.per_prompt, plan.rules.seed)


def _write_audit(files: Files, stored: StoredTask, found: Found, over: Sequence[LeftOut]) -> None:
    if found.judgments:
        files.audit["tasks"].add(without_text(stored.record, found.gone.responses))
    lines = {j.id: j.record for j in stored.judgments}
    for judgment in found.judgments:
        files.audit["judgments"].add(lines[judgment.id].encode())
    for gap in (*found.left_out, *over):
        files.audit["left_out"].add(gap._asdict())
    for one in found.unused:
        files.audit["judgments_unused"].add(one._asdict())


def _met(task: Task, judgments: Sequence[Stored], retracted: Mapping[str, str]) -> dict[str, str]:
    """The retracted records among a task's own."""
    if not retracted:
        return {}
    ids = [task.id, task.prompt.id, *(r.id for r in task.responses), *(one.judgment.id for one in judgments)]
    return {one: retracted[one] for one in ids if one in retracted}


def _check_criterion(rules: Rules, criteria: set[str]) -> None:
    if rules.criterion is not None and rules.criterion not in criteria:
        hint = nearest(rules.criterion, criteria) or f"; there are: {', '.join(sorted(criteria)) or 'none'}"
        raise BadInput(f"--criterion: no task of this project is rated on '{rules.criterion}'{hint}")


def _beyond_text(task: Task) -> set[str]:
    """Which of a message's fields beyond role and content a task's messages have; and `tools`."""
    messages = [*task.prompt.messages, *(m for r in task.responses for m in r.messages)]
    fields = {field for field in ("tool_calls", "name") if any(getattr(m, field) is not None for m in messages)}
    return fields | ({"tools"} if task.prompt.tools is not None else set())


def _read(stored: StoredTask) -> tuple[Task, list[Stored]]:
    """The records of a stored task; BadInput when the store holds something that is none."""
    try:
        task = Task.model_validate_json(stored.record)
    except ValueError as error:
        raise BadInput(f"task {stored.task} in the store is none: {explain(error)}; verify the ledger") from None
    judgments = []
    for line in stored.judgments:
        try:
            judgments.append(Stored(line.state, Judgment.model_validate_json(line.record)))
        except ValueError as error:
            why = f"judgment {line.id} in the store is none: {explain(error)}; verify the ledger"
            raise BadInput(why) from None
    return task, judgments
