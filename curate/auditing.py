"""Every check of an audit, one after another: `findings(material, limits, evaluation)` is all a caller needs.

    from curate.auditing import Limits, findings
    from curate.findings import blocking

    found = findings(material, Limits())
    stops = blocking([one.finding for one in found], allowed=["contamination"])

What each name means is in curate/findings.py. The same material gives the same findings, in the
same order, however its rows were ordered.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

from curate import bias, content, cycles, marks, people
from curate.ballot_columns import KINDS, Columns, columns
from curate.findings import NAMES, Case, Found, Level, case, finding
from curate.material import Material
from curate.repeats import prompt_keys, repeats, split_leaks
from data.errors import BadInput, nearest
from data.records import Record

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
) -> list[Found]:
    """Everything the checks find, in the order of curate.findings.NAMES.

    Args:
        evaluation: the evaluation files' index (curate.contamination.index); without it that check is left out.
        step: is told the name of each check before it runs; with `limits.only` those it names run alone.
        threads: how many threads (and processes, of which the script must be importable) may work at once;
            the findings are the same.
    """
    limits = limits or Limits()
    check_only(limits)
    threads = how_many(threads)
    found: list[Found] = []
    for check in checks(material, limits, evaluation, threads):
        if not limits.only or set(check.finds) & set(limits.only):
            step(check.name)
            found += check.look()
    places = {name: place for place, name in enumerate(NAMES)}
    kept = [one for one in found if not limits.only or one.finding.name in limits.only]
    return sorted(kept, key=lambda one: places[one.finding.name])


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


def how_many(threads: int | None) -> int:
    """As many threads as were asked for, or one for each core that may be used; BadInput below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise BadInput(f"--threads: {threads} is below 1")
    return threads


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
        Check("length", ("length_bias",), rows, lambda: length(material, limits)),
        Check("style", ("style_bias",), rows, lambda: style(material, limits)),
        Check("languages", ("language_mismatch",), rows, lambda: content.languages(rows)),
        Check("people", ("speed_outlier", "agreement_outlier"), judged, lambda: outliers(ballots(), limits)),
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
        found.insert(0, Check("position", ("position_bias",), judged, lambda: position(ballots(), limits)))
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


def _kinds(ballots: Columns) -> list[tuple[str, Columns]]:
    return [(kind, own) for kind in KINDS if (own := ballots.of_kind(kind)).size]


def position(ballots: Columns, limits: Limits) -> list[Found]:
    """Position bias of people and of models, apart; the ballots tell in which order answers were shown."""
    out = []
    for kind, own in _kinds(ballots):
        rate = bias.position(own)
        if rate.rate is None or kind == "rule":
            continue
        sure = not rate.low <= 0.5 <= rate.high
        level: Level = "warn" if sure and abs(rate.rate - 0.5) >= limits.position else "info"
        says = (
            f"the answer shown first got {rate.rate:.1%} of {int(rate.n):,} judgments by a {kind}"
            f" (95% interval {rate.low:.1%} to {rate.high:.1%}, a tie counts half)"
        )
        out.append(
            finding(
                "position_bias", level, own.size, says, [], int(rate.n), share=rate.rate, low=rate.low, high=rate.high
            )
        )
    return out


def leaning(ballots: Columns) -> list[Found]:
    """People (and model judges) who prefer a side; the ballots tell in which order answers were shown."""
    out = []
    for kind, own in _kinds(ballots):
        cases = [
            case(
                one.annotator,
                "annotator",
                f"shown first got {one.value:.1%} of {one.ballots} judgments ({one.low:.1%} to {one.high:.1%})",
            )
            for one in people.leaning(own)
        ]
        if cases:
            known = people.known(own)
            says = f"{len(cases)} of {known} annotators ({kind}) prefer a side"
            out.append(finding("position_bias_person", "warn", known, says, cases))
    return out


def length(material: Material, limits: Limits) -> list[Found]:
    """Length bias: share, slope, and what would flip."""
    if not material.pairs:
        return []
    told = bias.length(material.pairs)
    share = told.share
    if share.rate is None:
        return []
    sure = not share.low <= 0.5 <= share.high
    level: Level = "warn" if sure and abs(share.rate - 0.5) >= limits.length else "info"
    cases = [
        case(
            material.pairs[i].id,
            "row",
            f"{len(material.pairs[i].chosen)} characters against {len(material.pairs[i].rejected)};"
            f" without length the probability is {p:.2f}",
            material.pairs[i].where,
        )
        for i, p in told.flips
    ]
    slope = "" if told.slope is None else f"; slope {told.slope:.2f} for {told.spread:.0f} characters more"
    says = (
        f"the longer answer is chosen in {share.rate:.1%} of {int(share.n):,} rows"
        f" ({share.low:.1%} to {share.high:.1%}){slope}; {len(cases):,} labels would flip without it"
    )
    return [
        finding(
            "length_bias",
            level,
            len(material.pairs),
            says,
            cases,
            share=share.rate,
            low=share.low,
            high=share.high,
            slope=told.slope,
            error=told.error,
        )
    ]


def style(material: Material, limits: Limits) -> list[Found]:
    """Lists, headers, bold and code, with length held still."""
    out = []
    for one in bias.style(material.pairs):
        if one.share.rate is None or one.slope is None or one.error is None:
            continue
        many = one.share.n >= max(10, 0.02 * len(material.pairs))
        sure = abs(one.slope) > 2.576 * one.error and not one.share.low <= 0.5 <= one.share.high
        level: Level = "warn" if many and sure and abs(one.share.rate - 0.5) >= limits.style else "info"
        says = (
            f"of {int(one.share.n):,} rows whose answers differ in {one.name}, the one with more is chosen in"
            f" {one.share.rate:.1%}; log-odds {one.slope:.2f} (± {one.error:.2f}) with length held still"
        )
        out.append(
            finding(
                "style_bias",
                level,
                len(material.pairs),
                says,
                [],
                int(one.share.n),
                element=one.name,
                share=one.share.rate,
                slope=one.slope,
                error=one.error,
            )
        )
    return out


def outliers(ballots: Columns, limits: Limits) -> list[Found]:
    """People far quicker than the others, and those who agree with nobody."""
    own = ballots.of_kind("person")
    known = people.known(own)
    out = []
    quick = [
        case(
            o.annotator, "annotator", f"{o.value:.1f} s at the median, usual is {o.usual:.1f} s; {o.ballots} judgments"
        )
        for o in people.too_quick(own, limits.speed)
    ]
    if quick:
        says = f"{len(quick)} of {known} people are more than {limits.speed:g} times quicker than usual"
        out.append(finding("speed_outlier", "warn", known, says, quick))
    apart = [
        case(
            o.annotator,
            "annotator",
            f"agrees with the majority of the others in {o.value:.1%} of {o.ballots} judgments"
            f" ({o.low:.1%} to {o.high:.1%}); usual is {o.usual:.1%}",
        )
        for o in people.disagreeing(own, limits.agreement)
    ]
    if apart:
        says = f"{len(apart)} of {known} people agree with the others less than chance explains"
        out.append(finding("agreement_outlier", "warn", known, says, apart))
    return out


def circles(material: Material, ballots: Columns) -> list[Found]:
    """Judgments and rows that go round."""
    cases: list[Case] = []
    several = ballots.of_three()
    for prompt, who, circle in cycles.of_ballots([b for b in material.ballots if b.prompt_id in several]):
        by = f"annotator {who}" if who else "the majority"
        shown = " > ".join(r[:12] for r in [*circle, circle[0]])
        cases.append(case(prompt or circle[0], "prompt" if prompt else "item", f"{by}: {shown}"))
    for prompt, circle in cycles.of_pairs(material.pairs):
        cases.append(case(prompt, "prompt", "rows: " + " > ".join(r[:12] for r in [*circle, circle[0]])))
    if not cases:
        return []
    prompts = len({b.prompt_id for b in material.ballots} | {p.prompt_id for p in material.pairs})
    says = f"{len(cases):,} circles in what was said of {prompts:,} prompts"
    return [finding("intransitive", "warn", prompts, says, cases)]


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
