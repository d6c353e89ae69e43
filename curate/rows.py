"""From evidence to rows: pairs of each task, kept aside while all are decided on together, then written.

    data/{train,validation,test}.jsonl   the rows, every column always there, by task and row id (.parquet in Parquet)
    audit/left_out.jsonl                 responses that gave no row, and the reason

Pairs wait in a file of their own between the two passes, so that memory holds what decisions are made of and
no more. The rest of audit/ is told in curate/evidence.py, curate/beliefs.py and curate/decisions.py.
"""

import marshal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, NamedTuple, get_args

from curate import layouts
from curate.decisions import Brief, Clusters, assign, without
from curate.dedup_rows import milliseconds
from curate.evidence import Heard, Plan
from curate.layouts import PlainPair
from curate.pairs import Belief, LeftOut, Split, pairs_of
from curate.parquet import ParquetRows
from curate.row_figures import Counts, count, nothing
from data.folder import Folder
from data.records import PreferencePair, Task, canonical

SPLITS: tuple[Split, ...] = get_args(Split)
_BLOCK = 500  # tasks written to disk, and read back, at once


class Found(NamedTuple):
    """What one task comes to before anything is decided over all tasks: its pairs, and what is left out."""

    pairs: list[PlainPair]
    left_out: list[LeftOut]

    @property
    def task_id(self) -> str:
        """Of which task; some pair or gap is there."""
        return str(self.pairs[0]["task_id"]) if self.pairs else self.left_out[0].task_id


def row_of(pair: PreferencePair) -> bytes:
    """A pair as a line of the format trl."""
    return canonical(layouts.plain_pair(pair))


def look(heard: Heard, plan: Plan, belief: Belief | None = None) -> Found:
    """The pairs of a task that was heard, by id, with what is left out."""
    task, gone = heard.task, heard.gone
    if gone.whole:
        return Found([], [LeftOut(task.id, [r.id for r in task.responses], gone.whole)])
    pairs, left_out = pairs_of(task, heard.judgments, plan.rules, gone.responses, belief)
    left_out += [LeftOut(task.id, [response], why) for response, why in gone.responses.items()]
    fit = []
    for pair in map(layouts.plain_pair, pairs):
        if why := layouts.unfit(plan.format, pair):
            left_out.append(LeftOut(task.id, [pair["chosen_id"], pair["rejected_id"]], why))
        else:
            fit.append(pair)
    return Found(fit, left_out)


def spread(found: Found, plan: Plan, left_out: Mapping[str, str]) -> tuple[list[layouts.Row], list[LeftOut]]:
    """The rows of one task once it is decided which pairs go, and all that is left out."""
    stay, gaps = without(found.pairs, left_out, found.pairs[0]["task_id"]) if found.pairs else ([], [])
    return layouts.rows(plan.format, stay, plan.rules.even), [*found.left_out, *gaps]


class Waiting:
    """What tasks came to, on disk in the order of tasks, and of every pair what decisions need."""

    def __init__(self, file: BinaryIO) -> None:
        self.briefs: list[Brief] = []
        self.prompts: dict[str, Sequence[Mapping[str, Any]]] = {}
        """Messages of every prompt that has a pair, by id."""
        self.beyond_text: set[str] = set()
        """Which of a message's fields beyond role and content some task with pairs has; and `tools`."""
        self._file = file
        self._block: list[tuple[list[PlainPair], list[tuple[Any, ...]]]] = []

    def add(self, heard: Heard, found: Found) -> None:
        """Keep what a task came to."""
        if not found.pairs and not found.left_out:
            return
        if found.pairs:
            times = {j.id: milliseconds(j.submitted_at) for j in heard.judgments}
            for pair in found.pairs:
                first = min(times[id_] for id_ in pair["judgment_ids"])
                self.briefs.append(Brief(pair["id"], pair["task_id"], pair["prompt_id"], first))
            self.prompts.setdefault(heard.task.prompt.id, found.pairs[0]["prompt"])
            self.beyond_text |= _beyond_text(heard.task)
        self._block.append((found.pairs, [tuple(gap) for gap in found.left_out]))
        if len(self._block) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        block = marshal.dumps(self._block)
        self._file.write(len(block).to_bytes(8) + block)
        self._block = []

    def read(self) -> Iterator[Found]:
        """Every task's pairs and gaps again, in the order in which they came."""
        if self._block:
            self._flush()
        self._file.seek(0)
        while size := self._file.read(8):
            for pairs, gaps in marshal.loads(self._file.read(int.from_bytes(size))):
                yield Found(pairs, [LeftOut(*gap) for gap in gaps])

    def reasons(self) -> dict[str, int]:
        """How many sets of responses are left out for which reason before anything is decided over all."""
        return dict(sorted(Counter(gap.reason for found in self.read() for gap in found.left_out).items()))


def _beyond_text(task: Task) -> set[str]:
    messages = [*task.prompt.messages, *(m for r in task.responses for m in r.messages)]
    fields = {field for field in ("tool_calls", "name") if any(getattr(m, field) is not None for m in messages)}
    return fields | ({"tools"} if task.prompt.tools is not None else set())


class Written(NamedTuple):
    """What was written, counted."""

    rows: dict[str, int]
    """Rows in each split that has any."""
    left_out: dict[str, int]
    """Sets of responses that gave no row, by reason; a whole task counts once."""
    counts: Counts
    """What the report says of them."""


def write_rows(
    folder: Folder,
    waiting: Waiting,
    plan: Plan,
    clusters: Clusters,
    left_out: Mapping[str, str],
    step: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write data/ and audit/left_out.jsonl; `step` is told of each pair.

    Args:
        left_out: rows that go by what was decided over all pairs, and the reason.
    """
    gaps: Counter[str] = Counter()
    counts = nothing()
    known: dict[str, str] = {}
    with ExitStack() as stack:
        files = _open(folder, plan.format, stack)
        lines = stack.enter_context(folder.lines("audit/left_out.jsonl"))
        for found in waiting.read():
            for pair in found.pairs:
                assign(pair, clusters, plan.rules, known)
            rows, out = spread(found, plan, left_out)
            for row in rows:
                files[row.split].add(row.value if plan.format == "parquet" else row.line())
                count(counts, row.value)
            step(len(found.pairs))
            for gap in out:
                lines.add(gap._asdict())
                gaps[gap.reason] += 1
    made = {split: file.rows for split, file in files.items() if file.rows}
    return Written(made, dict(sorted(gaps.items())), counts)


def _open(folder: Folder, format: str, stack: ExitStack) -> dict[str, Any]:
    """The file of each split."""
    opened: dict[str, Any] = {}
    for split in SPLITS:
        file: Any = folder.lines(f"data/{split}.jsonl")
        if format == "parquet":
            file = ParquetRows(folder.path / f"data/{split}.parquet", columns_of(format, set()))
        opened[split] = stack.enter_context(file)
    return opened


def columns_of(format: str, beyond_text: set[str]) -> dict[str, layouts.Kind]:
    """The columns of a format's rows; a Parquet file has them all, whatever the messages hold."""
    if format == "parquet":
        return layouts.columns(format, {"tool_calls", "name"}, True)
    return layouts.columns(format, beyond_text - {"tools"}, "tools" in beyond_text)


def look_all(
    evidence: Iterable[Heard], plan: Plan, waiting: Waiting, beliefs: Iterator[tuple[str, Belief]] | None = None
) -> Iterator[tuple[Heard, Found]]:
    """Look at every task in order and keep what it comes to."""
    upcoming = next(beliefs, None) if beliefs is not None else None
    for heard in evidence:
        belief = None
        while beliefs is not None and upcoming is not None and upcoming[0] < heard.task.id:
            upcoming = next(beliefs, None)
        if upcoming is not None and upcoming[0] == heard.task.id:
            belief = upcoming[1]
        found = look(heard, plan, belief)
        waiting.add(heard, found)
        yield heard, found
