"""A win rate judged by a model on all contests, put right by people on some of them: prediction-powered.

    found = corrected(people_wins(store, key), judge_wins([folder], key))
    found.rate, found.low, found.high, found.bias

The judge's mean over the contests that people did not see, plus what people and judge differ by where both are:

    rate = λ · mean of judge (unseen) + mean of (people - λ · judge) (seen)

It is right however wrong the judge is, as long as the seen contests were drawn from all alike; a good judge makes
it narrower. λ is the weight with the least variance, within [0, 1]: 0 is people alone, 1 the plain correction.
Sources: A. Angelopoulos et al., "Prediction-powered inference", Science 382 (2023), 669-674; PPI++, arXiv
2311.01453, equation 6. Here variances are over prompt families, of which a contest seen and one unseen may share one;
people's own rate and the judge's bias have the exact intervals of train/bounds.py, for a good judge is seldom wrong.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from data.errors import NotEnough
from train.bounds import DIFFERENCE, FEW, mean_interval
from train.cases import Case
from train.contests import Win, Wins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Corrected(NamedTuple):
    """The win rate by both, and how the judge stands to people; rates within [0, 1]."""

    rate: float
    """May pass 0 or 1 a little where there are few."""
    low: float | None
    """Of the interval over prompt families; None where people saw fewer than train.bounds.FEW."""
    high: float | None
    weight: float
    """λ, in [0, 1]."""
    by_people: float
    """Mean over the contests that people saw."""
    by_people_low: float | None
    by_people_high: float | None
    by_judge: float
    """Mean over all contests that the judge saw: what one would have said without people."""
    bias: float
    """Judge minus people where both judged: above 0 the judge flatters the run."""
    bias_low: float | None
    bias_high: float | None
    agreement: float
    """Share of the contests seen by both with one winner, two ties counted as one winner."""
    seen: int
    """Contests that people and judge judged."""
    unseen: int
    """Contests that the judge alone judged."""
    clusters: int
    """Prompt families that people saw."""
    shift: float
    """Judge's mean over seen minus unseen contests, in standard errors: beyond ±2 people's share was hardly drawn
    alike, and then no correction is to be trusted."""
    cases: list[Case]
    """Pseudo-values, as in train/length_control.py: mean `rate`, variance over families that of `rate`; no slices."""


class _Both(NamedTuple):
    """Deviations from the mean over their number, so that a sum over a family is its part in an error."""

    people: "Floats"
    judge_seen: "Floats"
    judge_unseen: "Floats"
    family_seen: "Ints"
    family_unseen: "Ints"
    families: int


def corrected(people: Wins, judge: Wins, *, confidence: float = 0.95) -> Corrected:
    """The prediction-powered win rate.

    Args:
        people: on some of the contests; those the judge did not judge are left out.
        confidence: coverage aimed at, within (0, 1).

    Raises:
        NotEnough: fewer than two contests judged by both.
    """
    import numpy as np

    said = {row.id: row.value for row in people.rows}
    seen = [row for row in judge.rows if row.id in said]
    unseen = [row for row in judge.rows if row.id not in said]
    if len(seen) < 2:
        raise NotEnough(
            f"{len(seen)} contests were judged by people and by the judge; have people judge 2 or more of the judge's"
        )
    y = np.array([said[row.id] for row in seen])
    f, g = (np.array([row.value for row in rows]) for rows in (seen, unseen))
    parts = _parts(y, f, g, seen, unseen)
    weight = _weight(parts) if len(unseen) else 0.0
    rate = float(weight * g.mean() + (y - weight * f).mean()) if len(unseen) else float(y.mean())
    clusters = len(set(parts.family_seen.tolist()))
    half = _half(parts, weight, clusters, confidence)
    alone = mean_interval(y.tolist(), [row.cluster for row in seen], confidence)
    apart = mean_interval((f - y).tolist(), [row.cluster for row in seen], confidence, DIFFERENCE)
    low, high = (alone.low, alone.high) if half is None or not unseen else (rate - half, rate + half)
    return Corrected(
        rate=rate,
        low=low,
        high=high,
        weight=weight,
        by_people=float(y.mean()),
        by_people_low=alone.low,
        by_people_high=alone.high,
        by_judge=float(np.concatenate([f, g]).mean()),
        bias=float((f - y).mean()),
        bias_low=apart.low,
        bias_high=apart.high,
        agreement=float((np.sign(f - 0.5) == np.sign(y - 0.5)).mean()),
        seen=len(seen),
        unseen=len(unseen),
        clusters=clusters,
        shift=_shift(f, g, parts),
        cases=_cases(seen, unseen, parts, weight, rate),
    )


def _parts(y: "Floats", f: "Floats", g: "Floats", seen: Sequence[Win], unseen: Sequence[Win]) -> _Both:
    import numpy as np

    names = sorted({row.cluster for row in (*seen, *unseen)})
    place = {name: n for n, name in enumerate(names)}
    own = [np.array([place[row.cluster] for row in rows], dtype=np.int64) for rows in (seen, unseen)]
    late = (g - g.mean()) / len(g) if len(g) else g
    return _Both((y - y.mean()) / len(y), (f - f.mean()) / len(f), late, own[0], own[1], len(names))


def _by_family(parts: _Both, seen: "Floats", unseen: "Floats") -> "Floats":
    import numpy as np

    total = np.zeros(parts.families)
    np.add.at(total, parts.family_seen, seen)
    np.add.at(total, parts.family_unseen, unseen)
    return total


def _weight(parts: _Both) -> float:
    """λ with the least variance over families: that of Σ (a + λ b)², within [0, 1]."""
    a = _by_family(parts, parts.people, 0 * parts.judge_unseen)
    b = _by_family(parts, -parts.judge_seen, parts.judge_unseen)
    spread = math.fsum(b * b)
    return min(1.0, max(0.0, -math.fsum(a * b) / spread)) if spread else 0.0


def _half(parts: _Both, weight: float, clusters: int, confidence: float) -> float | None:
    """Half an interval: t times the standard error over families."""
    if clusters < FEW:
        return None
    from scipy.special import stdtrit

    moved = _by_family(parts, parts.people - weight * parts.judge_seen, weight * parts.judge_unseen)
    error = math.sqrt(clusters / (clusters - 1) * math.fsum(moved * moved))
    return float(stdtrit(clusters - 1, (1 + confidence) / 2)) * error


def _shift(f: "Floats", g: "Floats", parts: _Both) -> float:
    if not len(g):
        return 0.0
    moved = _by_family(parts, parts.judge_seen, -parts.judge_unseen)
    error = math.sqrt(math.fsum(moved * moved))
    return float(f.mean() - g.mean()) / error if error else 0.0


def _cases(seen: Sequence[Win], unseen: Sequence[Win], parts: _Both, weight: float, rate: float) -> list[Case]:
    n = len(seen) + len(unseen)
    pulls = [
        *zip(seen, parts.people - weight * parts.judge_seen, strict=True),
        *zip(unseen, weight * parts.judge_unseen, strict=True),
    ]
    tags = {"judged_by": "both"}
    made = [Case("win_rate_corrected", row.id, row.cluster, float(rate + n * pull), None, tags) for row, pull in pulls]
    return sorted(made, key=lambda case: case.id)
