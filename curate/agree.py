"""Agreement of every criterion: overall, by slice, without each annotator; people, models, one against the other.

Each measure is a row, with the jackknife's interval (`low`, `high`), the bootstrap's, and for the
measures beyond chance a verdict. Rows are plain dictionaries, rounded to nine digits, in one order.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curate.count_patterns import Counted, Packing, count_both, count_patterns, packing, without_annotators
from curate.leave_out import leave_out
from curate.observed import Scale
from data.agreement import Level, patterns
from data.coincidence import MAX_VALUES, Design, design
from data.cross_agreement import TOO_FEW as TOO_FEW_FOR_TWO
from data.cross_agreement import cross_alpha
from data.intervals import NONE, TOO_FEW, TOO_FEW_GRADED, Measured, measure
from data.records import content_id

if TYPE_CHECKING:
    from curate.engine import Connection

SLICES = ("language", "kind", "guideline", "month", "tag")
WHO = {"people": "person", "models": "NOT person"}


class Question(NamedTuple):
    """What is asked of every criterion."""

    level: Level | None
    """None: ordinal where the values are an ordered scale, nominal elsewhere."""
    threshold: float = 0.8
    confidence: float = 0.95
    replicates: int = 10_000
    seed: int = 0
    leave_out: bool = True
    """Whether to leave out each annotator in turn."""
    sliced: bool = True
    """Whether to do so within slices too."""


MOST_LEFT_OUT = 50
"""Annotators up to whom alpha without each has an interval; beyond, and within slices, it is the value alone."""
SLICED = 5
"""A slice takes one of so many replicates of the bootstrap that the whole takes."""
Step = Callable[[int], None]
Row = dict[str, Any]


def agree(con: "Connection", scales: list[Scale], question: Question, plain: bool, step: Step) -> list[Row]:
    """Every measure of the table `observed` (see curate.observed).

    Args:
        plain: the annotators are not known to be people or models; they are one group, "all".
        step: is told of each group done.
    """
    rows: list[Row] = []
    for scale in scales:
        if len(scales) == 1:
            con.execute("CREATE OR REPLACE TEMP VIEW _scale AS SELECT * FROM observed")
        else:
            con.execute(
                "CREATE OR REPLACE TEMP TABLE _scale AS SELECT * FROM observed WHERE criterion = ?", [scale.criterion]
            )
        groups = (
            {"all": "_scale"} if plain else {who: f"(SELECT * FROM _scale WHERE {sql})" for who, sql in WHO.items()}
        )
        for who, source in groups.items():
            rows += _group(con, source, scale, who, question, () if plain else SLICES)
            step(1)
        if not plain:
            rows += _against(con, scale, question)
        con.execute(f"DROP {'VIEW' if len(scales) == 1 else 'TABLE'} _scale")
    return rows


def level_of(scale: Scale, question: Question) -> Level:
    """The level a criterion is measured at: the one asked for, where its values allow it."""
    if question.level is None:
        return "ordinal" if scale.ordered else "nominal"
    return question.level


def _group(
    con: "Connection", source: str, scale: Scale, who: str, question: Question, slices: tuple[str, ...]
) -> list[Row]:
    """All rows of one criterion and one group of annotators."""
    judged = con.execute(
        f"SELECT count(DISTINCT annotator), count(DISTINCT unit) > count(DISTINCT block) FROM {source}"
    ).fetchone()
    assert judged is not None
    annotators, clustered = int(judged[0]), bool(judged[1])
    if not annotators:
        return []
    if len(scale.names) > MAX_VALUES:
        return _many(con, source, scale, who, question, annotators)
    packed = packing(len(scale.names), annotators)
    rows: list[Row] = []
    about = {"criterion": scale.criterion, "who": who, "resampled": "prompts" if clustered else "units"}
    fewer = question._replace(replicates=question.replicates // SLICED)
    for part, key in (("all", "''"), *((name, name) for name in slices)):
        of = f"(SELECT *, unnest(tags) AS tag FROM {source})" if part == "tag" else source
        found = count_patterns(con, of, packed, key=key, blocks=clustered)
        for value, counted in found.items():
            named = {**about, "slice": part, "key": value, "left_out": None}
            rows += _measured(counted, scale, named, question if part == "all" else fewer)
        here = question.sliced if part != "all" else annotators > MOST_LEFT_OUT
        if question.leave_out and annotators > 2 and here:
            rows += _left_out(con, of, packed, scale, {**about, "slice": part}, key, question)
    if question.leave_out and 2 < annotators <= MOST_LEFT_OUT:
        for name, counted in _without(con, source, packed, clustered):
            named = {**about, "slice": "all", "key": "", "left_out": name}
            rows += _measured(counted, scale, named, question._replace(replicates=0))
    return rows


def _left_out(
    con: "Connection", source: str, packed: Packing, scale: Scale, about: Row, key: str, question: Question
) -> list[Row]:
    """Alpha without each annotator of each slice in turn; the value alone."""
    names = dict(con.execute("SELECT id, name FROM observed_annotators").fetchall())
    level = level_of(scale, question)
    numbers = None if scale.numbers is None else np.asarray(scale.numbers)
    rows = []
    for value, left in leave_out(con, source, packed, level, numbers, key=key).items():
        if len(left.annotators) < 3:
            continue
        for place, annotator in enumerate(left.annotators.tolist()):
            alpha, units = float(left.values["alpha"][place]), int(left.units[place])
            why = None if np.isfinite(alpha) else "one value only" if units else "no pairable unit"
            found = Measured(alpha if why is None else None, why, units, int(left.ratings[place]), units, NONE, NONE)
            named = {**about, "key": value, "left_out": names[annotator]}
            rows.append(row_of("alpha", found, level, named, question) | {"verdict": None, "needed": None})
    return rows


def _many(con: "Connection", source: str, scale: Scale, who: str, question: Question, annotators: int) -> list[Row]:
    """The rows of one group where the values are too many to count each."""
    from curate.many_values import measure_many

    level = level_of(scale, question)
    names = dict(con.execute("SELECT id, name FROM observed_annotators ORDER BY 2").fetchall())
    left_out: list[int | None] = [None]
    if question.leave_out and 2 < annotators <= MOST_LEFT_OUT:
        left_out += list(names)
    rows: list[Row] = []
    for one in left_out:
        about: Row = {"criterion": scale.criterion, "who": who, "resampled": "units", "slice": "all", "key": ""}
        about["left_out"] = None if one is None else names[one]
        rest = source if one is None else f"(SELECT * FROM {source} WHERE annotator <> {int(one)})"
        found = measure_many(
            con,
            rest,
            scale.numbers,
            level,
            replicates=question.replicates if one is None else 0,
            seed=seed_of(question.seed, about),
            confidence=question.confidence,
        )
        rows += [row_of(name, m, level if name == "alpha" else None, about, question) for name, m in found.items()]
    return rows


def _without(con: "Connection", source: str, packed: Packing, clustered: bool) -> list[tuple[str, Counted]]:
    """The patterns without each annotator in turn, by the annotator's name in order."""
    names = dict(con.execute("SELECT id, name FROM observed_annotators").fetchall())
    if not clustered:
        return [(names[a], counted) for a, counted in sorted(without_annotators(con, source, packed).items())]
    ids = [a for (a,) in con.execute(f"SELECT DISTINCT annotator FROM {source} ORDER BY 1").fetchall()]
    found = []
    for annotator in ids:
        rest = f"(SELECT * FROM {source} WHERE annotator <> {int(annotator)})"
        found += [(names[annotator], c) for c in count_patterns(con, rest, packed, blocks=True).values()]
    return found


def _measured(counted: Counted, scale: Scale, about: Row, question: Question) -> list[Row]:
    """The rows of one design."""
    numbers = None if scale.numbers is None else np.asarray(scale.numbers)
    level = level_of(scale, question)
    found = measure(
        designed(counted),
        level,
        numbers,
        replicates=question.replicates,
        seed=seed_of(question.seed, about),
        confidence=question.confidence,
    )
    return [row_of(name, one, level if name == "alpha" else None, about, question) for name, one in found.items()]


def designed(counted: Counted) -> Design:
    """What to resample; patterns in one order, whatever order they came in."""
    if counted.blocks is None:
        return design(*patterns(counted.counts, counted.times))
    return design(counted.counts, counted.times, counted.blocks)


def _against(con: "Connection", scale: Scale, question: Question) -> list[Row]:
    """People against models: only where both judged."""
    found = con.execute(
        "SELECT count(DISTINCT annotator), count(DISTINCT unit) > count(DISTINCT block), bool_or(person),"
        " bool_or(NOT person) FROM _scale"
    ).fetchone()
    assert found is not None
    if not (found[2] and found[3]):
        return []
    packed = packing(len(scale.names), int(found[0]))
    one, other, times, blocks = count_both(con, "_scale", packed, "person", blocks=bool(found[1]))
    about = {"criterion": scale.criterion, "who": "people against models", "slice": "all", "key": "", "left_out": None}
    about["resampled"] = "prompts" if found[1] else "units"
    level = level_of(scale, question)
    numbers = None if scale.numbers is None else np.asarray(scale.numbers)
    made = cross_alpha(
        one,
        other,
        times,
        level,
        numbers,
        blocks=blocks,
        replicates=question.replicates,
        seed=seed_of(question.seed, about),
        confidence=question.confidence,
    )
    return [row_of("cross_alpha", made, level, about, question)]


def seed_of(seed: int, about: Row) -> int:
    """A seed of each row's own, so that no row depends on which others are asked for."""
    return int(content_id("agreement", seed, about)[:15], 16)


def row_of(name: str, found: Measured, level: Level | None, about: Row, question: Question) -> Row:
    """One measure as a row of data/agreement.jsonl."""
    graded = name == "alpha" and level != "nominal"
    least = TOO_FEW_FOR_TWO if name == "cross_alpha" else TOO_FEW_GRADED if graded else TOO_FEW
    verdict, needed = judge(found, question, least) if name in ("alpha", "cross_alpha") else (None, None)
    return {
        **about,
        "measure": name,
        "level": level,
        "value": _nine(found.value),
        "why": found.why,
        "low": _nine(found.jackknife.low),
        "high": _nine(found.jackknife.high),
        "standard_error": _nine(found.jackknife.error),
        "bootstrap_low": _nine(found.bootstrap.low),
        "bootstrap_high": _nine(found.bootstrap.high),
        "units": found.units,
        "ratings": found.ratings,
        "blocks": found.blocks,
        "too_few": found.blocks < least,
        "verdict": verdict,
        "needed": needed,
    }


def _nine(value: float | None) -> float | None:
    return None if value is None else round(value, 9) + 0.0


def judge(found: Measured, question: Question, least: int = TOO_FEW) -> tuple[str, int | None]:
    """The verdict, and how many more units (or prompts) would bring a decision at this spread.

    reached: the interval lies at or above the threshold; not reached: below it; else not enough data,
    as also where there are fewer than `least` to resample. The number needed is None where the value
    lies so near the threshold that no number can be said.
    """
    if found.value is None:
        return f"no answer: {found.why}", None
    low, high, error = found.jackknife.low, found.jackknife.high, found.jackknife.error
    if low is None or high is None or error is None:
        return "not enough data", least - found.blocks if found.blocks < least else None
    gap = abs(found.value - question.threshold)
    ends = high - found.value if found.value < question.threshold else found.value - low
    more = None if gap < 0.005 else int(np.ceil(found.blocks * (ends / gap) ** 2)) - found.blocks
    if found.blocks < least:
        return "not enough data", max(least - found.blocks, more or 0)
    if low >= question.threshold:
        return "reached", 0
    if high < question.threshold:
        return "not reached", 0
    return "not enough data", None if more is None else max(1, more)
