"""From cases to measures: each slice's mean with its interval over clusters, and the paired difference."""

from collections.abc import Iterable, Mapping, Sequence

from train.bounds import mean_interval
from train.cases import MEASURES, Case, Measure, difference_ends, ends_of, slices_of

CONFIDENCE = 0.95
SMALLER_IS_BETTER = ("calibration", "log_perplexity", "over_refusal")
"""Measures of which less is better; of all others more is."""


def measures_of(cases: Iterable[Case], notes: Mapping[str, str] | None = None) -> list[Measure]:
    """Every measure over all its cases, then over each slice, in the order of MEASURES.

    Args:
        notes: measure to what is said of it over all.
    """
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        for slice in ("all", *slices_of(case)):
            groups.setdefault((case.measure, slice), []).append(case)
    order = {name: i for i, name in enumerate(MEASURES)}
    made = []
    for name, slice in sorted(groups, key=lambda one: (order.get(one[0], len(order)), one[0], one[1] != "all", one[1])):
        found = measure_of(name, slice, groups[name, slice])
        made.append(found._replace(note=(notes or {}).get(name, "")) if slice == "all" else found)
    return made


def measure_of(name: str, slice: str, cases: Sequence[Case]) -> Measure:
    """One measure over these cases, at least one: mean, interval, and run minus reference where both have a value.

    The interval's source is train/bounds.py; clusters, not cases, are what varies.
    """
    own = _mean([one.value for one in cases], cases, ends_of(name))
    made = Measure(name, slice, own[0], own[1], own[2], len(cases), len({one.cluster for one in cases}))
    both = [one for one in cases if one.against is not None]
    if not both:
        return made
    theirs = [one.against for one in both if one.against is not None]
    apart = _mean([one.value - other for one, other in zip(both, theirs, strict=True)], both, difference_ends(name))
    against = _mean(theirs, both, ends_of(name))[0]
    return made._replace(against=against, difference=apart[0], difference_low=apart[1], difference_high=apart[2])


def _mean(
    values: Sequence[float], cases: Sequence[Case], ends: tuple[float, float] | None
) -> tuple[float, float | None, float | None]:
    """Mean and interval to six digits, as they go into a file."""
    found = mean_interval(values, [one.cluster for one in cases], CONFIDENCE, ends)
    low, high = (None if end is None else round(end, 6) for end in (found.low, found.high))
    return round(float(found.value or 0.0), 6), low, high


def spelt(one: Measure) -> str:
    """A measure in one line: value and interval, the reference's value, the paired difference, n and clusters."""
    text = f"{one.value:.3f}{_span(one.low, one.high)}"
    if one.difference is not None:
        text += f"; reference {one.against:.3f}, difference {one.difference:+.3f}"
        text += _span(one.difference_low, one.difference_high)
    return f"{text}; n {one.n:,}, clusters {one.clusters:,}"


def _span(low: float | None, high: float | None) -> str:
    return " (too few clusters for an interval)" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
