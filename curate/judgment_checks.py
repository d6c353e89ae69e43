"""Checks of how answers were judged: position, length, style, people and circles, each as findings in words.

What is computed is in curate/bias.py, curate/people.py and curate/cycles.py. `least` is the share beyond a half
from which on a bias that is sure warns.
"""

from curate import bias, cycles, people
from curate.ballot_columns import KINDS, Columns
from curate.findings import Case, Found, Level, case, finding
from curate.material import Material


def _kinds(ballots: Columns) -> list[tuple[str, Columns]]:
    return [(kind, own) for kind in KINDS if (own := ballots.of_kind(kind)).size]


def position(ballots: Columns, least: float) -> list[Found]:
    """Position bias of people and of models, apart; the ballots tell in which order answers were shown."""
    out = []
    for kind, own in _kinds(ballots):
        rate = bias.position(own)
        if rate.rate is None or kind == "rule":
            continue
        sure = not rate.low <= 0.5 <= rate.high
        level: Level = "warn" if sure and abs(rate.rate - 0.5) >= least else "info"
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


def length(material: Material, least: float) -> list[Found]:
    """Length bias: share, slope, and what would flip."""
    if not material.pairs:
        return []
    told = bias.length(material.pairs)
    share = told.share
    if share.rate is None:
        return []
    sure = not share.low <= 0.5 <= share.high
    level: Level = "warn" if sure and abs(share.rate - 0.5) >= least else "info"
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


def style(material: Material, least: float) -> list[Found]:
    """Lists, headers, bold and code, with length held still."""
    out = []
    for one in bias.style(material.pairs):
        if one.share.rate is None or one.slope is None or one.error is None:
            continue
        many = one.share.n >= max(10, 0.02 * len(material.pairs))
        sure = abs(one.slope) > 2.576 * one.error and not one.share.low <= 0.5 <= one.share.high
        level: Level = "warn" if many and sure and abs(one.share.rate - 0.5) >= least else "info"
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


def outliers(ballots: Columns, speed: float, agreement: float) -> list[Found]:
    """People far quicker than the others, and those who agree with nobody."""
    own = ballots.of_kind("person")
    known = people.known(own)
    out = []
    quick = [
        case(
            o.annotator, "annotator", f"{o.value:.1f} s at the median, usual is {o.usual:.1f} s; {o.ballots} judgments"
        )
        for o in people.too_quick(own, speed)
    ]
    if quick:
        says = f"{len(quick)} of {known} people are more than {speed:g} times quicker than usual"
        out.append(finding("speed_outlier", "warn", known, says, quick))
    apart = [
        case(
            o.annotator,
            "annotator",
            f"agrees with the majority of the others in {o.value:.1%} of {o.ballots} judgments"
            f" ({o.low:.1%} to {o.high:.1%}); usual is {o.usual:.1%}",
        )
        for o in people.disagreeing(own, agreement)
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
    prompts = len(several | cycles.of_several(material.pairs))
    says = f"{len(cases):,} circles in what was said of {prompts:,} prompts with more than two answers"
    return [finding("intransitive", "warn", prompts, says, cases)]
