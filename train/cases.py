"""What an evaluation saw, case by case: the rows that measures are taken from and that the gate decides on.

DIR/data/cases.jsonl    Case
DIR/data/measures.jsonl Measure, each with its n, its clusters and its interval
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from data.errors import BadInput, one_line
from data.jsonl import read_lines

MEASURES = (
    "accuracy",
    "calibration",
    "reward_score",
    "win_rate",
    "win_rate_length_controlled",
    "win_rate_corrected",
    "regression_exact",
    "regression_regex",
    "regression_schema",
    "refuses",
    "asks_back",
    "answers",
    "over_refusal",
    "log_perplexity",
    "rouge_l",
    "bleu",
    "template_match",
)
"""Every measure's name; a harness task's is `harness_` and the task's name."""

UNBOUNDED = ("win_rate_length_controlled", "win_rate_corrected", "reward_score", "log_perplexity")
"""Measures whose cases have no least and greatest value; the win rates among them have pseudo-values as cases."""


def ends_of(measure: str) -> tuple[float, float] | None:
    """The least and the greatest value a case of this measure can have; None where there is no such."""
    return None if measure in UNBOUNDED or measure.startswith("harness_") else (0.0, 1.0)


def difference_ends(measure: str) -> tuple[float, float] | None:
    """The same of the difference of two such cases."""
    return None if ends_of(measure) is None else (-1.0, 1.0)


class Case(NamedTuple):
    """One measure of one case."""

    measure: str
    id: str
    cluster: str
    """Cases of one prompt family share it: they are not independent."""
    value: float
    """Of the run; a measure of yes and no has 1 and 0, a tie in a win rate 0.5."""
    against: float | None = None
    """Of the reference on the same case, where there is one."""
    tags: Mapping[str, str] = MappingProxyType({})
    """language, tag, kind …: what slices are made of; several tags of one case are parted by ";"."""


class Measure(NamedTuple):
    """One measure over the cases of a slice."""

    measure: str
    slice: str
    """`all`, or `language=zh`."""
    value: float
    low: float | None
    """Of the 95 % interval, two-sided, over clusters; None where there are too few."""
    high: float | None
    n: int
    clusters: int
    against: float | None = None
    """The reference's value over the cases that both have."""
    difference: float | None = None
    """Run minus reference, paired by case."""
    difference_low: float | None = None
    difference_high: float | None = None
    note: str = ""


def slices_of(case: Case) -> list[str]:
    """The slices a case lies in, besides "all": `language=zh`, `tag=maths`, `tag=units` …"""
    return [f"{name}={one}" for name, value in case.tags.items() for one in value.split(";") if one]


def in_slice(case: Case, slice: str) -> bool:
    """Whether a case lies in a slice, `all` included."""
    return slice == "all" or slice in slices_of(case)


def read_cases(path: Path) -> Iterator[Case]:
    """The cases of a file, in order.

    Raises:
        NotThere: no such file.
        BadInput: a line that is none, by file and line.
    """
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        if line.problem or not isinstance(line.value, dict):
            raise BadInput(f"{where}: {line.problem or 'not a JSON object'}")
        yield _case(line.value, where)


def _case(row: dict[str, Any], where: str) -> Case:
    for key in ("measure", "id", "cluster", "value"):
        if key not in row:
            raise BadInput(f"{where}: no '{key}'; needed are measure, id, cluster and value")
    for key in ("value", "against"):
        value = row.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadInput(f"{where}, {key}: {one_line(repr(value), 40)} is no number")
    if row["value"] is None:
        raise BadInput(f"{where}, value: it is null; needed is a number")
    tags = {str(k): str(v) for k, v in (row.get("tags") or {}).items()}
    against = cast("float | None", row.get("against"))
    return Case(str(row["measure"]), str(row["id"]), str(row["cluster"]), float(row["value"]), against, tags)
