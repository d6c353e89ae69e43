"""Every check of an audit, one after another: `findings(material, limits, evaluation)` is all a caller needs.

    from curate.auditing import Limits, findings
    from curate.findings import blocking

    found = findings(material, Limits())
    stops = blocking([one.finding for one in found], allowed=["contamination"])

What each name means is in curate/findings.py. The same material gives the same findings, in the
same order, however its rows were ordered.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from typing import NamedTuple

from curate import content, marks
from curate.ballot_columns import columns
from curate.findings import NAMES, Found
from curate.judgment_checks import circles, leaning, length, outliers, position, style
from curate.material import Material
from curate.repeats import prompt_keys, repeats, split_leaks
from data.errors import BadInput, nearest
from data.parallel import how_many
from data.records import Record

OF_JUDGMENTS = ("position_bias", "position_bias_person", "speed_outlier", "agreement_outlier")
"""Findings that follow from judgments alone, whatever the rows are."""
_LICENCES = ("licence_unknown", "licence_mixed", "licence_restricted")


class Limits(Record):
    """From where on a finding is more than information."""

    position: float = 0.05
    """Share beyond a half that goes to what was shown first (0.05: 55 in 100)."""
    length: float = 0.1
    """The same for the longer answer."""
    style: float = 0.1
    near_identical: float = 0.95
    """Share of characters two answers have in common, in order."""
    contaminated: float = 0.5
    """Share of an evaluation text that must be there to block; below it is a warning."""
    marks: float = 0.8
    """Share of one side that makes a word at an answer's end tell the label."""
    speed: float = 3.0
    """Times quicker than the usual person."""
    agreement: float = 0.05
    """Below the median person's agreement."""
    only: tuple[str, ...] = ()
    """Names of the findings to look for; none: all."""


def findings(
    material: Material,
    limits: Limits | None = None,
    evaluation: "content.EvaluationIndex | None" = None,
    step: Callable[[str], None] = lambda _: None,
    threads: int = 1,
    among: Collection[str] = NAMES,
) -> list[Found]:
    """Everything the checks find, in the order of curate.findings.NAMES.

    Args:
        among: the findings to look for; of them those alone that `limits.only` names, where it names any.
        evaluation: the evaluation files' index (curate.contamination.index); without it that check is left out.
        step: is told the name of each check before it runs; with `limits.only` those it names run alone.
        threads: how many threads (and processes, of which the script must be importable) may work at once;
            the findings are the same.
    """
    limits = limits or Limits()
    check_only(limits)
    threads = how_many(threads)
    wanted = {name for name in among if not limits.only or name in limits.only}
    found: list[Found] = []
    for check in checks(material, limits, evaluation, threads):
        if wanted.intersection(check.finds):
            step(check.name)
            found += check.look()
    return in_order(one for one in found if one.finding.name in wanted)


def in_order(found: Iterable[Found]) -> list[Found]:
    """Findings in the order of curate.findings.NAMES."""
    places = {name: place for place, name in enumerate(NAMES)}
    return sorted(found, key=lambda one: places[one.finding.name])


def looked_for(material: Material, limits: Limits, evaluation: "content.EvaluationIndex | None" = None) -> list[str]:
    """The findings that `findings` looks for here: those that have something to be found in."""
    there = {name for check in checks(material, limits, evaluation) if check.over for name in check.finds}
    return [name for name in NAMES if name in there and (not limits.only or name in limits.only)]


def check_only(limits: Limits) -> None:
    """BadInput when `limits.only` names something that is no finding."""
    for name in limits.only:
        if name not in NAMES:
            hint = nearest(name, NAMES) or f"; there are {', '.join(NAMES)}"
            raise BadInput(f"--only: '{name}' is no finding{hint}")


class Check(NamedTuple):
    """A check, the findings it can give, and the work."""

    name: str
    finds: tuple[str, ...]
    over: Sequence[object]
    """What it looks at; where there is nothing, it finds nothing."""
    look: Callable[[], list[Found]]


def checks(
    material: Material, limits: Limits, evaluation: "content.EvaluationIndex | None" = None, threads: int = 1
) -> list[Check]:
    """The checks there are for this material; what several need is computed when the first of them runs."""
    rows, judged, texts = material.pairs, material.ballots, material.passages
    ballots = cache(lambda: columns(material.ballots))
    prompts = cache(lambda: prompt_keys(rows))
    found = [
        Check("length", ("length_bias",), rows, lambda: length(material, limits.length)),
        Check("style", ("style_bias",), rows, lambda: style(material, limits.style)),
        Check("languages", ("language_mismatch",), rows, lambda: content.languages(rows)),
        Check(
            "people",
            ("speed_outlier", "agreement_outlier"),
            judged,
            lambda: outliers(ballots(), limits.speed, limits.agreement),
        ),
        Check("equal answers", ("identical_answers",), rows, lambda: content.identical(rows)),
        Check(
            "near answers",
            ("near_identical_answers",),
            rows,
            lambda: content.near_identical(rows, limits.near_identical, threads),
        ),
        Check("labels", ("label_leak",), rows, lambda: marks.label_leaks(rows)),
        Check("marks", ("one_sided_mark",), rows, lambda: marks.one_sided(rows, limits.marks)),
        Check("answers in prompts", ("answer_in_prompt",), rows, lambda: content.in_prompt(rows)),
        Check("rows", ("duplicate_rows", "contradiction"), rows, lambda: repeats(rows, prompts())),
        Check("splits", ("split_leak",), rows, lambda: split_leaks(rows, prompts(), threads)),
        Check("licences", _LICENCES, rows, lambda: content.licences(rows)),
        Check("circles", ("intransitive",), judged, lambda: circles(material, ballots())),
        Check("private data", ("private_data",), texts, lambda: content.private_data(texts, threads)),
    ]
    if material.order_known:
        found.insert(0, Check("sides of people", ("position_bias_person",), judged, lambda: leaning(ballots())))
        found.insert(
            0,
            Check("position", ("position_bias",), judged, lambda: position(ballots(), limits.position)),
        )
    if evaluation is not None:
        least = limits.contaminated
        found.append(
            Check(
                "evaluation files",
                ("contamination",),
                texts,
                lambda: content.contaminated(texts, evaluation, least),
            )
        )
    return found


def rows_named(found: Iterable[Found], material: Material) -> dict[str, set[str]]:
    """For each finding the rows its cases touch, by id: what an export may leave out by the finding's name.

    A case that is a response or a prompt touches every row with it. A finding about people, or about the
    whole set, touches none and has no entry.
    """
    wanted: dict[tuple[str, str], set[str]] = {}
    for one in found:
        for each in one.cases:
            if each.kind in ("row", "response", "prompt"):
                wanted.setdefault((each.kind, each.id), set()).add(one.finding.name)
    named: dict[str, set[str]] = {}
    for row in material.pairs if wanted else ():
        for key in (
            ("row", row.id),
            ("prompt", row.prompt_id),
            ("response", row.chosen_id),
            ("response", row.rejected_id),
        ):
            for name in wanted.get(key, ()):
                named.setdefault(name, set()).add(row.id)
    return named
