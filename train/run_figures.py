"""The charts of a training run's page: how loss, margins, log-probabilities, memory and time went, step by step.

Each is drawn from audit/metrics.jsonl where its keys are there. A long run is drawn through the means of at most
POINTS stretches of steps, so that a page stays small; audit/metrics.jsonl has every one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from markupsafe import Markup

from data.plots import SERIES, Span, curve, lines, spans
from data.plots import Point as CurvePoint
from data.report import Axes, Words, figure, number, percent, say, table
from train import run_words as words
from train.held_out import Kind, Reliability, Share

POINTS = 200
"""Points of a line at most."""
BEHIND = 12
"""Rows of the table behind a chart at most."""
GIB = 2**30

Line = list[tuple[float, float]]


class Chart(NamedTuple):
    """What is drawn over the steps: keys of a row, on which splits, and how it is named."""

    key: str
    title: Words
    y: Words
    series: tuple[tuple[str, str, Words], ...]
    """(key, split, name)."""
    about: Words


CHARTS = (
    Chart(
        "loss",
        words.LOSS,
        words.LOSS_Y,
        (("loss", "train", words.TRAINING), ("loss", "validation", words.VALIDATION)),
        words.LOSS_ABOUT,
    ),
    Chart(
        "accuracy",
        words.ACCURACY,
        words.ACCURACY_Y,
        (("accuracy", "train", words.TRAINING), ("accuracy", "validation", words.VALIDATION)),
        words.ACCURACY_ABOUT,
    ),
    Chart(
        "margin",
        words.MARGIN,
        words.MARGIN_Y,
        (("margin", "train", words.TRAINING), ("margin", "validation", words.VALIDATION)),
        words.MARGIN_ABOUT,
    ),
    Chart(
        "rewards",
        words.REWARDS,
        words.REWARDS_Y,
        (("chosen_reward", "train", words.CHOSEN), ("rejected_reward", "train", words.REJECTED)),
        words.REWARDS_ABOUT,
    ),
    Chart(
        "logps",
        words.LOGPS,
        words.NATS,
        (("chosen_logp", "train", words.CHOSEN), ("rejected_logp", "train", words.REJECTED)),
        words.LOGPS_ABOUT,
    ),
    Chart(
        "kl",
        words.KL,
        words.NATS,
        (("kl", "train", words.TRAINING), ("kl", "validation", words.VALIDATION)),
        words.KL_ABOUT,
    ),
    Chart(
        "length",
        words.LENGTH,
        words.CORRELATION,
        (("length_correlation", "train", words.TRAINING),),
        words.LENGTH_ABOUT,
    ),
    Chart("grad_norm", words.GRADIENT, words.NORM, (("grad_norm", "train", words.TRAINING),), words.GRADIENT_ABOUT),
    Chart("rate", words.RATE, words.RATE_Y, (("learning_rate", "train", words.TRAINING),), words.RATE_ABOUT),
)
COSTS = (
    Chart("memory", words.MEMORY, words.GIB_Y, (("memory_bytes", "train", words.TRAINING),), words.MEMORY_ABOUT),
    Chart("time", words.TIME, words.SECONDS, (("step_seconds", "train", words.TRAINING),), words.TIME_ABOUT),
)
_SCALED = {"memory_bytes": 1 / GIB, "learning_rate": 1e6}


def charts(metrics: Sequence[Mapping[str, Any]], which: Sequence[Chart] = CHARTS) -> list[Markup]:
    """The charts that the metrics have something for."""
    return [drawn for chart in which if (drawn := _chart(chart, metrics))]


def _chart(chart: Chart, metrics: Sequence[Mapping[str, Any]]) -> Markup:
    found = [(name, line) for key, split, name in chart.series if (line := points(metrics, key, split))]
    if not found or not any(y for _, line in found for _, y in line) or max(len(line) for _, line in found) < 2:
        return Markup()
    drawn = lines({f"{i}": thinned(line) for i, (_, line) in enumerate(found)}, dots=12)
    legend = [(SERIES[i], name) for i, (name, _) in enumerate(found)] if len(found) > 1 else []
    said = [
        say(words.FROM_TO, name=say(name), first=_spelt(ends(line)[0]), last=_spelt(ends(line)[1]))
        for name, line in found
    ]
    told = say(chart.about) + Markup("").join(said)
    return figure(
        f"chart-{chart.key}",
        chart.title,
        drawn,
        Axes(words.STEP, chart.y),
        told,
        legend=legend,
        behind=_behind(found),
    )


def _behind(found: Sequence[tuple[Words, Line]]) -> Markup:
    """The numbers of a chart at up to BEHIND steps, the last among them."""
    steps = sorted({x for _, line in found for x, _ in line})
    shown = (
        steps if len(steps) <= BEHIND else [steps[round(i * (len(steps) - 1) / (BEHIND - 1))] for i in range(BEHIND)]
    )
    at = [dict(line) for _, line in found]
    rows = [[int(x), *(_spelt(one[x]) if x in one else None for one in at)] for x in shown]
    return table([words.STEP, *(name for name, _ in found)], rows)


def points(metrics: Iterable[Mapping[str, Any]], key: str, split: str) -> Line:
    """(step, value) of a key on a split, in order, finite values alone; a step logged twice counts as last logged."""
    rows = [row for row in metrics if row.get("split", "train") == split]
    if key == "step_seconds":
        return _step_seconds(rows)
    scale = _SCALED.get(key, 1)
    found = {int(row["step"]): row[key] * scale for row in rows if _finite(row.get("step")) and _finite(row.get(key))}
    return [(float(step), found[step]) for step in sorted(found)]


def _step_seconds(rows: Iterable[Mapping[str, Any]]) -> Line:
    """Seconds a step took, between one logged step and the next."""
    known = {int(r["step"]): r["seconds"] for r in rows if _finite(r.get("step")) and _finite(r.get("seconds"))}
    steps = sorted(known)
    return [(float(b), (known[b] - known[a]) / (b - a)) for a, b in pairwise(steps) if known[b] >= known[a]]


def ends(line: Line) -> tuple[float, float]:
    """The means over a line's first tenth and its last: one batch alone says little."""
    part = max(1, len(line) // 10)
    first, last = ([y for _, y in some] for some in (line[:part], line[-part:]))
    return math.fsum(first) / part, math.fsum(last) / part


def thinned(line: Line, most: int = POINTS) -> Line:
    """The line through the means of at most so many stretches of about equal length."""
    if len(line) <= most:
        return line
    cuts = [round(i * len(line) / most) for i in range(most + 1)]
    parts = [line[a:b] for a, b in pairwise(cuts)]
    return [(math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part)) for part in parts]


def share_figure(key: str, title: Words, shares: Sequence[Share], told: Markup, kind: Kind) -> Markup:
    """Shares of right rows (areas, losses) with their intervals, one line each."""
    if not shares:
        return Markup()
    rule = None if kind == "loss" else 0.5
    drawn = spans([Span(one.name, one.value, one.low, one.high) for one in shares], rule=rule)
    spell = percent if kind == "accuracy" else number
    behind = table(
        [words.SLICE, words.VALUE, words.INTERVAL, words.ROWS, words.CLUSTERS],
        [[one.name, spell(one.value), _ends(one, spell), one.n, one.clusters] for one in shares],
    )
    axis = {"accuracy": words.SHARE_RIGHT, "auc": words.AREA, "loss": words.LOSS_PER_TOKEN}[kind]
    return figure(key, title, drawn, Axes(axis, None), told, behind=behind, labels=words.SPLIT.values())


def _ends(one: Share, spell: Any) -> str:
    return "–" if one.low is None or one.high is None else f"{spell(one.low)} – {spell(one.high)}"


def reliability_figure(found: Reliability) -> Markup:
    """How sure the run was against how often people took that side."""
    drawn = curve([CurvePoint(b.confidence, b.share, b.low, b.high, b.n) for b in found.bins])
    behind = table(
        [words.SURE, words.PEOPLE, words.INTERVAL, words.ROWS],
        [[percent(b.confidence), percent(b.share), f"{percent(b.low)} – {percent(b.high)}", b.n] for b in found.bins],
    )
    verdict = Markup()
    if found.temperature is not None and found.low is not None:
        cold = found.high is not None and found.high < 1
        said = words.TOO_SURE if found.low > 1 else words.TOO_UNSURE if cold else words.FITS
        verdict = say(said, t=number(found.temperature, 2))
    told = say(words.RELIABILITY_ABOUT, error=number(found.error), brier=number(found.brier)) + verdict
    return figure("reliability", words.RELIABILITY, drawn, Axes(words.SURE, words.PEOPLE), told, behind=behind)


def _spelt(value: float) -> str:
    """A number with as many digits as say something."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return number(value, 3)
    return number(value, 0) if abs(value) >= 1000 else f"{value:.2g}".replace("-", "−")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
