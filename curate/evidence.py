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
from typing import NamedTuple

from curate.ballots import Stored, Unused, usable
from curate.moment import StoredTask
from curate.retracted import Withdrawn, withdrawn, without_text
from curate.rules import Rules
from data.errors import BadInput
from data.folder import Folder
from data.jsonl import explain
from data.records import Judgment, Task


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


class Tally:
    """What was counted while evidence was gathered."""

    def __init__(self) -> None:
        self.tasks = 0
        self.judgments = 0
        """Judgments that count."""
        self.unused: Counter[str] = Counter()
        """Judgments that do not count, by reason."""
        self.criteria: set[str] = set()
        self.judged = 0
        """Tasks with a judgment that counts."""
        self.months: Counter[str] = Counter()
        """Judgments that count, by the month they were given in."""


def hear(task: Task, stored: Sequence[Stored], plan: Plan) -> Heard:
    """Which judgments of a task count under a plan."""
    gone = withdrawn(task, plan.retracted)
    if gone.whole:
        return Heard(task, [], sorted(Unused(one.judgment.id, task.id, gone.whole) for one in stored), gone)
    kept, unused = usable(stored, plan.rules, plan.retracted)
    return Heard(task, kept, unused, gone)


def gather(
    folder: Folder, stored: Iterable[StoredTask], plan: Plan, tally: Tally, step: Callable[[int], None]
) -> Iterator[Heard]:
    """Hear every task, and write what was heard to audit/ as it goes by."""
    met: dict[str, str] = {}
    with (
        folder.lines("audit/tasks.jsonl") as tasks,
        folder.lines("audit/judgments.jsonl") as judgments,
        folder.lines("audit/judgments_unused.jsonl") as unused,
    ):
        for one in stored:
            task, given = read_stored(one)
            heard = hear(task, given, plan)
            if heard.judgments:
                tasks.add(without_text(one.record, heard.gone.responses))
            lines = {line.id: line.record for line in one.judgments}
            for judgment in heard.judgments:
                judgments.add(lines[judgment.id].encode())
            for row in heard.unused:
                unused.add(row._asdict())
                tally.unused[row.reason] += 1
            tally.tasks += 1
            tally.judgments += len(heard.judgments)
            tally.judged += bool(heard.judgments)
            tally.months.update((j.submitted_at or "")[:7] for j in heard.judgments)
            tally.criteria.update(c.key for c in task.criteria)
            met.update(_met(task, given, plan.retracted))
            step(1)
            yield heard
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
