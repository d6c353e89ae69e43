"""From evidence to rows: pairs of each task, kept aside while all are decided on together, then written.

    data/{train,validation,test}.jsonl   the rows, every column always there, by task and row id (.parquet in Parquet)
    audit/left_out.jsonl                 responses that gave no row, and the reason

Pairs wait in a file of their own between the two passes, so that memory holds what decisions are made of and
no more. The rest of audit/ is told in curate/evidence.py, curate/beliefs.py and curate/decisions.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

from curate import layouts
from curate.beliefs import belief_of
from curate.decisions import Brief, Clusters, across, assign, without
from curate.evidence import Plan
from curate.layouts import PlainPair
from curate.pairs import Belief, LeftOut, Split, Summed, settle
from curate.row_figures import Counts, count, nothing
from curate.spool import Spool, packed, unpacked, unpacked_sums
from data.errors import BadInput
from data.folder import Folder
from data.parquet import Kind, ParquetRows
from data.records import PreferencePair, canonical

SPLITS: tuple[Split, ...] = get_args(Split)


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


class Looked(NamedTuple):
    """What a block of sums comes to: pairs and gaps as a block, and of every pair what decisions need."""

    found: bytes
    briefs: list[tuple[str, str, str, int]]
    prompts: dict[str, list[dict[str, Any]]]
    """Messages of every prompt that has a pair, by id."""
    beyond_text: set[str]
    """Which of a message's fields beyond role and content some pair has; and `tools`."""


def look_block(sums: bytes, beliefs: Sequence[dict[str, Any]] | None, plan: Plan) -> Looked:
    """Look at the sums of some tasks.

    Args:
        beliefs: lines of audit/beliefs.jsonl, those of these tasks among them; None where votes are counted.
    """
    believed = {row["task_id"]: row for row in beliefs or ()}
    made = Looked(b"", [], {}, set())
    kept = []
    for summed in unpacked_sums(sums):
        row = believed.get(summed.task_id)
        if beliefs is not None and row is None and any(not one.why for one in summed.compared):
            raise BadInput(f"task {summed.task_id} was compared, and the model has no belief about it; export again")
        found = look(summed, plan, None if row is None else belief_of(row))
        if not found.pairs and not found.left_out:
            continue
        for pair, judged in zip(found.pairs, found.judged, strict=True):
            made.briefs.append((pair["id"], pair["task_id"], pair["prompt_id"], judged))
            made.prompts.setdefault(pair["prompt_id"], pair["prompt"])
            made.beyond_text.update(_beyond_text(pair))
        kept.append((found.pairs, [tuple(gap) for gap in found.left_out], found.judged))
    return made._replace(found=packed(kept))


def _beyond_text(pair: PlainPair) -> set[str]:
    found = {"tools"} if pair["tools"] is not None else set()
    for message in (*pair["prompt"], *pair["chosen"], *pair["rejected"]):
        if len(message) > 2:
            found |= message.keys() - {"role", "content"}
    return found


class Waiting:
    """What tasks came to, on disk in the order of tasks, and of every pair what decisions need."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.briefs: list[Brief] = []
        self.prompts: dict[str, Sequence[Mapping[str, Any]]] = {}
        """Messages of every prompt that has a pair, by id."""
        self.beyond_text: set[str] = set()
        """Which of a message's fields beyond role and content some pair has; and `tools`."""
        self._file = path.open("w+b")
        self._spool = Spool(self._file)

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def whole(self) -> Path:
        """The file, all of it on the disk, for another process to read."""
        self._file.flush()
        return self.path

    def add(self, looked: Looked) -> None:
        """Keep what some tasks came to."""
        self.briefs += [Brief(*brief) for brief in looked.briefs]
        for key, messages in looked.prompts.items():
            self.prompts.setdefault(key, messages)
        self.beyond_text |= looked.beyond_text
        self._spool.add(looked.found)

    def read(self) -> Iterator[Found]:
        """Every task's pairs and gaps again, in the order in which they came."""
        yield from read_found(self._file)

    def reasons(self) -> dict[str, int]:
        """How many sets of responses are left out for which reason before anything is decided over all."""
        return dict(sorted(Counter(gap.reason for found in self.read() for gap in found.left_out).items()))


def read_found(file: BinaryIO) -> Iterator[Found]:
    """What tasks came to, out of the file in which it waits."""
    for block in Spool(file).blocks():
        for pairs, gaps, judged in unpacked(block):
            yield Found(pairs, [LeftOut(*gap) for gap in gaps], judged)


class Written(NamedTuple):
    """What was written, counted."""

    rows: dict[str, int]
    """Rows in each split that has any."""
    left_out: dict[str, int]
    """Sets of responses that gave no row, by reason; a whole task counts once."""
    counts: Counts
    """What the report says of them."""
    sides: dict[str, Any]
    """How the clusters of prompts fall into splits (curate/decisions.py, across)."""


def write_rows(folder: Folder, waiting: Path, plan: Plan, clusters: Clusters, left_out: Mapping[str, str]) -> Written:
    """Write data/, audit/left_out.jsonl and audit/splits.json.

    Args:
        waiting: the file in which the pairs wait.
        left_out: rows that go by what was decided over all pairs, and the reason.
    """
    gaps: Counter[str] = Counter()
    counts = nothing()
    known: dict[str, str] = {}
    with ExitStack() as stack:
        files = _open(folder, plan.format, stack)
        lines = stack.enter_context(folder.lines("audit/left_out.jsonl"))
        pairs = stack.enter_context(waiting.open("rb"))
        for found in read_found(pairs):
            for pair in found.pairs:
                assign(pair, clusters, plan.rules, known)
            rows, out = spread(found, plan, left_out)
            for row in rows:
                files[row.split].add(row.value)
                count(counts, row.value)
            for gap in out:
                lines.add(gap._asdict())
                gaps[gap.reason] += 1
    made = {split: file.rows for split, file in files.items() if file.rows}
    sides = across(clusters, plan.rules)
    folder.write("audit/splits.json", [sides])
    return Written(made, dict(sorted(gaps.items())), counts, sides)


def _open(folder: Folder, format: str, stack: ExitStack) -> dict[str, Any]:
    """The file of each split."""
    opened: dict[str, Any] = {}
    for split in SPLITS:
        file: Any = folder.lines(f"data/{split}.jsonl")
        if format == "parquet":
            file = ParquetRows(folder.path / f"data/{split}.parquet", columns_of(format, set()))
        opened[split] = stack.enter_context(file)
    return opened


def columns_of(format: str, beyond_text: set[str]) -> dict[str, Kind]:
    """The columns of a format's rows; a Parquet file has them all, whatever the messages hold."""
    if format == "parquet":
        return layouts.columns(format, {"tool_calls", "name"}, True)
    return layouts.columns(format, beyond_text - {"tools"}, "tools" in beyond_text)
