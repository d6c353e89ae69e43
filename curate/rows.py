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
from curate.evidence import Heard, Plan
from curate.layouts import PlainPair
from curate.pairs import Belief, Compared, LeftOut, Split, Summed, settle, sum_up
from curate.parquet import ParquetRows
from curate.row_figures import Counts, count, nothing
from data.folder import Folder
from data.records import PreferencePair, canonical

SPLITS: tuple[Split, ...] = get_args(Split)
_BLOCK = 500  # tasks written to disk, and read back, at once


class Found(NamedTuple):
    """What one task comes to before anything is decided over all tasks: its pairs, and what is left out."""

    pairs: list[PlainPair]
    left_out: list[LeftOut]
    judged: list[int]
    """When each pair was judged first, in milliseconds since 1970; a great number where nobody says."""

    @property
    def task_id(self) -> str:
        """Of which task; some pair or gap is there."""
        return str(self.pairs[0]["task_id"]) if self.pairs else self.left_out[0].task_id


def row_of(pair: PreferencePair) -> bytes:
    """A pair as a line of the format trl."""
    return canonical(layouts.plain_pair(pair))


def sums(heard: Heard, plan: Plan) -> Summed:
    """What the judgments of a task that was heard come to."""
    task, gone = heard.task, heard.gone
    if gone.whole:
        gap = LeftOut(task.id, [r.id for r in task.responses], gone.whole)
        return Summed(task.id, {}, {}, {}, 1, 1, (), [gap])
    made = sum_up(task, heard.judgments, plan.rules, gone.responses)
    if gone.responses:
        gaps = [LeftOut(task.id, [response], why) for response, why in gone.responses.items()]
        made = made._replace(left_out=[*made.left_out, *gaps])
    return made


def look(summed: Summed, plan: Plan, belief: Belief | None = None) -> Found:
    """The pairs that sums come to, by id, with what is left out."""
    pairs, left_out = settle(summed, plan.rules, belief)
    judged = {(one.first, one.second): one.judged for one in summed.compared}
    fit, times = [], []
    for pair in pairs:
        if why := layouts.unfit(plan.format, pair):
            left_out.append(LeftOut(summed.task_id, [pair["chosen_id"], pair["rejected_id"]], why))
        else:
            two = (pair["chosen_id"], pair["rejected_id"])
            times.append(judged[two] if two in judged else judged[two[::-1]])
            fit.append(pair)
    return Found(fit, left_out, times)


def spread(found: Found, plan: Plan, left_out: Mapping[str, str]) -> tuple[list[layouts.Row], list[LeftOut]]:
    """The rows of one task once it is decided which pairs go, and all that is left out."""
    stay, gaps = without(found.pairs, left_out, found.pairs[0]["task_id"]) if found.pairs else ([], [])
    return layouts.rows(plan.format, stay, plan.rules.even), [*found.left_out, *gaps]


class Spool:
    """Plain values of one task after another, on disk: written once, then read as often as need be."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block: list[tuple[Any, ...]] = []

    def add(self, value: tuple[Any, ...]) -> None:
        """Keep a value of plain tuples, lists and the like."""
        self._block.append(value)
        if len(self._block) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        block = marshal.dumps(self._block)
        self._file.write(len(block).to_bytes(8) + block)
        self._block = []

    def read(self) -> Iterator[tuple[Any, ...]]:
        """Every value again, in the order in which they came."""
        if self._block:
            self._flush()
        self._file.seek(0)
        while size := self._file.read(8):
            yield from marshal.loads(self._file.read(int.from_bytes(size)))


def keep_sums(spool: Spool, summed: Summed) -> None:
    """Put sums aside till a model has been asked."""
    compared, gaps = [tuple(one) for one in summed.compared], [tuple(gap) for gap in summed.left_out]
    spool.add((*summed[:-2], compared, gaps))


def kept_sums(spool: Spool) -> Iterator[Summed]:
    """The sums that were put aside."""
    for task, prompt, texts, scores, unit, whole, compared, gaps in spool.read():
        counted = [Compared(*one) for one in compared]
        yield Summed(task, prompt, texts, scores, unit, whole, counted, [LeftOut(*gap) for gap in gaps])


class Waiting:
    """What tasks came to, on disk in the order of tasks, and of every pair what decisions need."""

    def __init__(self, file: BinaryIO) -> None:
        self.briefs: list[Brief] = []
        self.prompts: dict[str, Sequence[Mapping[str, Any]]] = {}
        """Messages of every prompt that has a pair, by id."""
        self.beyond_text: set[str] = set()
        """Which of a message's fields beyond role and content some pair has; and `tools`."""
        self._spool = Spool(file)

    def add(self, found: Found) -> None:
        """Keep what a task came to."""
        if not found.pairs and not found.left_out:
            return
        for pair, judged in zip(found.pairs, found.judged, strict=True):
            self.briefs.append(Brief(pair["id"], pair["task_id"], pair["prompt_id"], judged))
            self.prompts.setdefault(pair["prompt_id"], pair["prompt"])
            for message in (*pair["prompt"], *pair["chosen"], *pair["rejected"]):
                if len(message) > 2:
                    self.beyond_text.update(message.keys() - {"role", "content"})
            if pair["tools"] is not None:
                self.beyond_text.add("tools")
        self._spool.add((found.pairs, [tuple(gap) for gap in found.left_out], found.judged))

    def read(self) -> Iterator[Found]:
        """Every task's pairs and gaps again, in the order in which they came."""
        for pairs, gaps, judged in self._spool.read():
            yield Found(pairs, [LeftOut(*gap) for gap in gaps], judged)

    def reasons(self) -> dict[str, int]:
        """How many sets of responses are left out for which reason before anything is decided over all."""
        return dict(sorted(Counter(gap.reason for found in self.read() for gap in found.left_out).items()))


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
    summed: Iterable[Summed], plan: Plan, waiting: Waiting, beliefs: Iterator[tuple[str, Belief]] | None = None
) -> None:
    """Look at the sums of every task in order, and keep what they come to.

    Args:
        beliefs: of each task that was compared, in the same order; None where votes are counted.
    """
    upcoming = next(beliefs, None) if beliefs is not None else None
    for one in summed:
        while beliefs is not None and upcoming is not None and upcoming[0] < one.task_id:
            upcoming = next(beliefs, None)
        known = upcoming is not None and upcoming[0] == one.task_id
        waiting.add(look(one, plan, upcoming[1] if upcoming is not None and known else None))
