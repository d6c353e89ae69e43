"""What an export folder holds: how a pair is spelled as a row, and the files written from a project.

    data/{train,validation,test}.jsonl   one pair a line, every column always there, by task and pair id
    audit/tasks.jsonl                    each task that has a judgment that counts, as stored
    audit/judgments.jsonl                each judgment that counts, as stored
    audit/judgments_unused.jsonl         the others: id and reason
    audit/left_out.jsonl                 responses that gave no pair, and the reason
    audit/ledger_head.json               the newest event of the ledger when all this was read

The first three prove each other: rows are a pure function of tasks, judgments and rules.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple, get_args

from curate.moment import StoredTask
from curate.pairs import Rules, Split, Stored, pairs_of, usable
from data.errors import BadInput, nearest
from data.folder import Folder, readme
from data.jsonl import explain
from data.records import Judgment, PreferencePair, Task, canonical

_TEXTS = {"prompt", "chosen", "rejected"}
SPLITS: tuple[Split, ...] = get_args(Split)


class Tally(NamedTuple):
    """What an export counted."""

    tasks: int
    judgments: int
    """Judgments that count."""
    rows: dict[str, int]
    """Pairs in each split that has any."""
    left_out: dict[str, int]
    """Sets of responses that gave no pair, by reason; a whole task counts once."""
    unused: dict[str, int]
    """Judgments that do not count, by reason."""


def row_of(pair: PreferencePair) -> bytes:
    """A pair as an export spells it: TRL's conversational columns and ours, all always present.

    A message is role and content; tool calls and a name are there only where the message has them.
    """
    messages = {column: [m.plain() for m in getattr(pair, column)] for column in _TEXTS}
    return canonical({**pair.model_dump(mode="json", exclude=_TEXTS), **messages})


def fill(folder: Folder, tasks: Iterable[StoredTask], rules: Rules, step: Callable[[int], None]) -> Tally:
    """Write data/ and audit/ of an export, reading one task at a time; `step` is told of each."""
    left_out: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    extra: set[str] = set()
    criteria: set[str] = set()
    seen = judged = 0
    with ExitStack() as stack:
        splits = {name: stack.enter_context(folder.lines(f"data/{name}.jsonl")) for name in SPLITS}
        names = ("tasks", "judgments", "left_out", "judgments_unused")
        audit = {name: stack.enter_context(folder.lines(f"audit/{name}.jsonl")) for name in names}
        for stored in tasks:
            task, judgments = _read(stored)
            kept, dropped = usable(judgments, rules)
            pairs, gaps = pairs_of(task, kept, rules)
            for pair in pairs:
                splits[pair.split].add(row_of(pair))
            extra |= _beyond_text(task) if pairs else set()
            if kept:
                audit["tasks"].add(stored.record.encode())
            lines = {j.id: j.record for j in stored.judgments}
            for judgment in kept:
                audit["judgments"].add(lines[judgment.id].encode())
            for gap in gaps:
                audit["left_out"].add(gap._asdict())
                left_out[gap.reason] += 1
            for one in dropped:
                audit["judgments_unused"].add(one._asdict())
                unused[one.reason] += 1
            criteria |= {c.key for c in task.criteria}
            seen, judged = seen + 1, judged + len(kept)
            step(1)
    if rules.criterion is not None and rules.criterion not in criteria:
        hint = nearest(rules.criterion, criteria) or f"; there are: {', '.join(sorted(criteria)) or 'none'}"
        raise BadInput(f"--criterion: no task of this project is rated on '{rules.criterion}'{hint}")
    rows: dict[str, int] = {name: out.rows for name, out in splits.items() if out.rows}
    folder.write_text("README.md", readme("Preference pairs", rows, features(extra)))
    return Tally(seen, judged, rows, dict(sorted(left_out.items())), dict(sorted(unused.items())))


def _beyond_text(task: Task) -> set[str]:
    """Which of a message's fields beyond role and content a task's messages have."""
    messages = [*task.prompt.messages, *(m for r in task.responses for m in r.messages)]
    return {field for field in ("tool_calls", "name") if any(getattr(m, field) is not None for m in messages)}


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


def features(message_fields: set[str]) -> str:
    """The columns' types for README.md.

    Stated, because a column that is empty in one split and filled in another is guessed to be
    of two types, and then `load_dataset` fails.
    """
    message: list[Any] = [("role", "string"), ("content", "string")]
    message += [("tool_calls", "json")] if "tool_calls" in message_fields else []
    message += [("name", "string")] if "name" in message_fields else []
    kinds: dict[str, Any] = {
        **dict.fromkeys(("id", "prompt_id", "chosen_id", "rejected_id", "task_id"), "string"),
        **dict.fromkeys(("prompt", "chosen", "rejected"), ("list", message)),
        **dict.fromkeys(("probability", "weight", "score_chosen", "score_rejected"), "float64"),
        "votes": ("struct", [(side, "float64") for side in ("chosen", "rejected", "tie")]),
        "judgment_ids": ("list", "string"),
        "agreement": "float64",
        **dict.fromkeys(("source", "cluster", "split", "language"), "string"),
        "tags": ("list", "string"),
        "licence": "string",
        "guideline_versions": ("list", "string"),
        "method": "string",
    }
    lines = ["dataset_info:", "  config_name: default", "  features:"]
    for name, kind in kinds.items():
        lines.append(f"  - name: {name}")
        if isinstance(kind, str):
            lines.append(f"    dtype: {kind}")
        elif isinstance(kind[1], str):
            lines.append(f"    {kind[0]}: {kind[1]}")
        else:
            lines.append(f"    {kind[0]}:")
            for inner, dtype in kind[1]:
                lines += [f"    - name: {inner}", f"      dtype: {dtype}"]
    return "\n".join(lines)
