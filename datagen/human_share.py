"""Which tasks people judge too: a share that looks like the whole, by language, kind, tag and the judge's doubt.

Pure. The tasks are put in the order of their strata, and within a stratum in the order of a hash of seed and
id; then every n-th is taken. So each stratum gives its share to within one task, small strata are met as
often as they should be over the whole, and the same tasks and seed give the same choice.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from data.records import Task, digest
from datagen.judging import language_of


def stratum(task: Task, doubt: str) -> tuple[str, str, str, str]:
    """What a share is to be alike in: language, kind, first tag by name, and how unsure the judge was."""
    return language_of(task) or "", task.kind, min(task.prompt.tags, default=""), doubt


def chosen(tasks: Sequence[Task], doubts: Sequence[str], share: float, seed: int) -> set[int]:
    """The places of the tasks that people judge too; share times their number, rounded up.

    Args:
        share: 0 to 1.
        doubts: for each task how unsure the judge was (averages.unsure).
    """
    count = min(len(tasks), ceil(Fraction(repr(share)) * len(tasks)))  # as written: 0.1 of 30 is 3
    if not count:
        return set()
    strata = [stratum(task, doubt) for task, doubt in zip(tasks, doubts, strict=True)]
    order = sorted(range(len(tasks)), key=lambda n: (strata[n], digest([seed, "human", tasks[n].id])))
    return {order[(2 * k + 1) * len(order) // (2 * count)] for k in range(count)}
