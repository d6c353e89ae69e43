"""The behaviour contract: what a run must be shown to do before it may ship, clause by clause.

    - clause: better than chance
      measure: accuracy
      threshold: 0.5
      direction: at_least

A clause names a measure (train/cases.py), a slice of the cases (`all`, or a tag such as `language=zh`), a threshold
and a direction. `margin` is how far past the threshold the mean may still lie: at_least asks for threshold − margin,
at_most for threshold + margin. `compare: difference` holds run minus reference, paired by case, against it. All
problems of a file are told at once.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, nearest, one_line
from data.records import digest
from train.cases import MEASURES, difference_ends, ends_of

KEYS = ("clause", "measure", "slice", "threshold", "direction", "margin", "compare")
DIRECTIONS = ("at_least", "at_most")
COMPARES = ("value", "difference")
MOST_CLAUSES = 200
_LONGEST = 200  # characters of a name
_LARGEST = 1_000_000  # bytes of a contract


class Clause(NamedTuple):
    """One thing a run must be shown to do."""

    clause: str
    """Its name, for people."""
    measure: str
    threshold: float
    direction: str
    """at_least or at_most."""
    slice: str = "all"
    margin: float = 0.0
    compare: str = "value"
    """value, or difference: run minus reference on the same case."""

    @property
    def limit(self) -> float:
        """What the mean is held against: the threshold, given way by the margin."""
        return self.threshold - self.margin if self.at_least else self.threshold + self.margin

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.direction == "at_least"

    @property
    def ends(self) -> tuple[float, float] | None:
        """The range of one case's value or difference; None where it has none."""
        return difference_ends(self.measure) if self.compare == "difference" else ends_of(self.measure)

    @property
    def content(self) -> str:
        """Hash of what it asks for; its name is left out, so that renaming it changes nothing."""
        return digest([self.measure, self.slice, self.threshold, self.direction, self.margin, self.compare])


def contract_digest(clauses: list[Clause]) -> str:
    """Hash of what a contract asks for, whatever its clauses are called and in which order they stand."""
    return digest(sorted(clause.content for clause in clauses))


def read_contract(path: Path) -> list[Clause]:
    """The clauses of a contract file, in order.

    Raises:
        NotThere: no such file.
        BadInput: one line with everything that is wrong.
    """
    rows = _read(path)
    if not isinstance(rows, list) or not rows:
        raise BadInput(f"{path}: a contract is a list of clauses, at least one; see data/sample/contract.yaml")
    if len(rows) > MOST_CLAUSES:
        raise BadInput(f"{path}: {len(rows)} clauses; a contract has at most {MOST_CLAUSES}")
    problems: list[str] = []
    clauses: list[Clause] = []
    for number, row in enumerate(rows, 1):
        found = list(_problems(row))
        problems += [f"{_called(row, number)}: {one}" for one in found]
        if not found:
            clauses.append(_clause(row))
    problems += _repeated(clauses)
    if problems:
        head = f"{path}: {len(problems)} problems: " if len(problems) > 1 else f"{path}: "
        raise BadInput(head + "; ".join(problems))
    return clauses


def _read(path: Path) -> Any:
    import yaml

    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path} is larger than {_LARGEST:,} bytes; a contract is a short list of clauses")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotThere(f"{path} is not there; one to start from is data/sample/contract.yaml") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {one_line(str(error), 200)}") from None


def _called(row: Any, number: int) -> str:
    name = row.get("clause") if isinstance(row, dict) else None
    return f"clause {number}" + (f" ({one_line(name, 60)})" if isinstance(name, str) else "")


def _problems(row: Any) -> Iterator[str]:
    if not isinstance(row, dict):
        yield f"needed are the keys {', '.join(KEYS)}"
        return
    for key in row:
        if key not in KEYS:
            yield f"'{one_line(str(key), 60)}' is no key of a clause{nearest(str(key), KEYS)}"
    for key in ("clause", "measure", "threshold", "direction"):
        if row.get(key) is None:
            yield f"no '{key}'"
    yield from _word_problems(row)
    numbers = list(_number_problems(row))
    yield from numbers
    if not numbers and isinstance(row.get("measure"), str) and row.get("direction") in DIRECTIONS:
        yield from _range_problems(row)


def _word_problems(row: dict[str, Any]) -> Iterator[str]:
    for key in ("clause", "measure", "direction", "slice", "compare"):
        value = row.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip() or len(value) > _LONGEST):
            yield f"{key}: {_shown(value)} is no text of 1 to {_LONGEST} characters"
    measure, slice_ = row.get("measure"), row.get("slice", "all")
    if isinstance(measure, str) and measure not in MEASURES and not measure.startswith("harness_"):
        close = nearest(measure, MEASURES) or f"; known are {', '.join(MEASURES)} and harness_TASK"
        yield f"measure '{one_line(measure, 60)}' is none{close}"
    if isinstance(slice_, str) and slice_ != "all":
        name, equals, value = slice_.partition("=")
        if not (name and equals and value):
            yield f"slice '{one_line(slice_, 60)}' is neither all nor TAG=VALUE, such as language=zh"
    for key, known in (("direction", DIRECTIONS), ("compare", COMPARES)):
        value = row.get(key)
        if isinstance(value, str) and value not in known:
            yield f"{key} '{one_line(value, 60)}' is none of {', '.join(known)}{nearest(value, known)}"


def _number_problems(row: dict[str, Any]) -> Iterator[str]:
    for key in ("threshold", "margin"):
        value = _number(row.get(key))
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield f"{key}: {_shown(value)} is no number"
        elif key == "margin" and value < 0:
            yield f"margin: {value:g} is below 0; turn the direction round, or leave it out"


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-2 as text; nobody means that."""
    if isinstance(value, str) and len(value) < 40 and re.fullmatch(r"[+-]?[0-9.]+e[+-]?[0-9]+", value.lower()):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _shown(value: Any) -> str:
    """A value in few words; what is nested may be without end, and is not spelt."""
    return one_line(repr(value), 60) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _range_problems(row: dict[str, Any]) -> Iterator[str]:
    """A clause that everything keeps, or that no number of cases could show to be kept."""
    if row.get("threshold") is None:
        return
    clause = _clause(row)
    if clause.ends is None:
        return
    low, high = clause.ends
    best, worst = (high, low) if clause.at_least else (low, high)
    sign = 1 if clause.at_least else -1
    if sign * clause.limit <= sign * worst:
        yield f"every run keeps it: {clause.limit:g} is the end of the range {low:g} to {high:g}"
    elif clause.measure not in EXACT and sign * clause.limit >= sign * best:
        yield f"no number of cases could show it: {clause.limit:g} is the end of the range {low:g} to {high:g}"
    elif sign * clause.limit > sign * best:
        yield f"no run keeps it: {clause.limit:g} lies outside {low:g} to {high:g}"


EXACT = ("template_match",)
"""Measures that are no sample of anything: what they say is so, for every case, and needs no bound."""


def _clause(row: dict[str, Any]) -> Clause:
    return Clause(
        row["clause"],
        row["measure"],
        float(_number(row["threshold"])),
        row["direction"],
        row.get("slice") or "all",
        float(_number(row.get("margin")) or 0.0),
        row.get("compare") or "value",
    )


def _repeated(clauses: list[Clause]) -> Iterator[str]:
    names: dict[str, str] = {}
    contents: dict[str, str] = {}
    for clause in clauses:
        name = one_line(clause.clause, 60)
        if clause.clause in names:
            yield f"two clauses are called '{name}'"
        elif clause.content in contents:
            yield f"'{name}' asks for the same as '{contents[clause.content]}'"
        names[clause.clause] = contents[clause.content] = name
