"""What stands behind an export's rows, task by task: which judgments count, written to audit/ and read back.

    audit/tasks.jsonl                each task that has a judgment that counts, as stored
    audit/judgments.jsonl            each judgment that counts, as stored
    audit/judgments_unused.jsonl     the others: id and reason
    audit/retractions.jsonl          retracted records that were met, and why they were

Rows are a pure function of the first two, the retractions and the rules. A retracted response's text
is in none of them, nor is anything of a retracted task.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from curate.ballots import Stored, Unused, usable
from curate.frames import Tables, frames_of
from curate.moment import StoredTask
from curate.pairs import LeftOut, Summed, sum_up
from curate.retracted import Withdrawn, withdrawn, without_text
from curate.rules import Rules
from curate.spool import packed_sums, unpacked_tasks
from data.errors import BadInput
from data.folder import Folder
from data.jsonl import explain
from data.manifest import hash_row
from data.records import Judgment, Task, canonical


class Plan(NamedTuple):
    """What decides the rows besides tasks and judgments."""

    project: str
    rules: Rules
    format: str
    retracted: Mapping[str, str]
    """Why each retracted record was, by id, with what is made from them (curate/retracted.py)."""


class Heard(NamedTuple):
    """A task, those of its judgments that count, the others, and what of it is retracted."""

    task: Task
    judgments: list[Judgment]
    unused: list[Unused]
    gone: Withdrawn


class Tally(NamedTuple):
    """What was counted while evidence was gathered."""

    tasks: int
    judged: int
    """Tasks with a judgment that counts."""
    judgments: int
    """Judgments that count."""
    unused: Counter[str]
    """Judgments that do not count, by reason."""
    months: Counter[str]
    """Judgments that count, by the month they were given in."""
    criteria: frozenset[str]

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(
            self.tasks + other.tasks,
            self.judged + other.judged,
            self.judgments + other.judgments,
            self.unused + other.unused,
            self.months + other.months,
            self.criteria | other.criteria,
        )


NOTHING = Tally(0, 0, 0, Counter(), Counter(), frozenset())


class Block(NamedTuple):
    """What some tasks, one after another, come to; made by one process and written by another."""

    lines: dict[str, tuple[bytes, int, bytes]]
    """Whole lines of each file of audit/, how many, and their hashes."""
    met: dict[str, str]
    """Retracted records that were met, and why they were."""
    tally: Tally
    tables: Tables
    last: str
    """Id of the last task."""
    sums: bytes


def hear(task: Task, stored: Sequence[Stored], plan: Plan) -> Heard:
    """Which judgments of a task count under a plan."""
    gone = withdrawn(task, plan.retracted)
    if gone.whole:
        return Heard(task, [], sorted(Unused(one.judgment.id, task.id, gone.whole) for one in stored), gone)
    kept, unused = usable(stored, plan.rules, plan.retracted)
    return Heard(task, kept, unused, gone)


def hear_block(stored: bytes, plan: Plan) -> Block:
    """Hear some tasks (a block of stored ones): the lines of audit/, the tables and the sums they come to."""
    heard: list[Heard] = []
    lines: dict[str, list[tuple[bytes, str]]] = {"tasks": [], "judgments": [], "judgments_unused": []}
    met: dict[str, str] = {}
    for one in unpacked_tasks(stored):
        task, given = read_stored(one)
        found = hear(task, given, plan)
        heard.append(found)
        if found.judgments:
            lines["tasks"].append((without_text(one.record, found.gone.responses), task.id))
        records = {line.id: line.record for line in one.judgments}
        lines["judgments"] += [(records[j.id].encode(), j.id) for j in found.judgments]
        lines["judgments_unused"] += [(canonical(row._asdict()), "-") for row in found.unused]
        met.update(_met(task, given, plan.retracted))
    return Block(
        {name: _whole(rows) for name, rows in lines.items()},
        met,
        _tally(heard),
        frames_of(plan.project, ((one.task, one.judgments, one.gone.responses) for one in heard)),
        heard[-1].task.id,
        packed_sums([sums(one, plan) for one in heard]),
    )


def _whole(rows: Sequence[tuple[bytes, str]]) -> tuple[bytes, int, bytes]:
    lines = [line + b"\n" for line, _ in rows]
    hashes = [hash_row(line, row_id) for line, (_, row_id) in zip(lines, rows, strict=True)]
    return b"".join(lines), len(lines), b"".join(hashes)


def _tally(heard: Sequence[Heard]) -> Tally:
    return Tally(
        len(heard),
        sum(bool(one.judgments) for one in heard),
        sum(len(one.judgments) for one in heard),
        Counter(row.reason for one in heard for row in one.unused),
        Counter((j.submitted_at or "")[:7] for one in heard for j in one.judgments),
        frozenset(c.key for one in heard for c in one.task.criteria),
    )


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


def gather(folder: Folder, blocks: Iterable[Block], step: Callable[[int], None]) -> Iterator[Block]:
    """Write what was heard to audit/ as it goes by."""
    met: dict[str, str] = {}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(folder.lines(f"audit/{name}.jsonl"))
            for name in ("tasks", "judgments", "judgments_unused")
        }
        for block in blocks:
            for name, (lines, rows, hashes) in block.lines.items():
                files[name].add_lines(lines, rows, hashes)
            met |= block.met
            step(block.tally.tasks)
            yield block
    folder.write("audit/retractions.jsonl", ({"record_id": key, "reason": met[key]} for key in sorted(met)))


def _met(task: Task, judgments: Sequence[Stored], retracted: Mapping[str, str]) -> dict[str, str]:
    """The retracted records among a task's own."""
    if not retracted:
        return {}
    ids = [task.id, task.prompt.id, *(r.id for r in task.responses), *(one.judgment.id for one in judgments)]
    return {one: retracted[one] for one in ids if one in retracted}


def read_stored(stored: StoredTask) -> tuple[Task, list[Stored]]:
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
