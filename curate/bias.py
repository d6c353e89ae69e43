"""Does the order in which answers were shown, their length or their dress decide? Arithmetic on pairs and ballots.

A slope here is that of a logistic regression without a constant on differences chosen minus rejected:
the same whichever of the two is called first. It says how preference goes with length, not why: longer
answers may be better ones, so what would flip is the most that length can account for.
Sources: D. Firth and H. Turner on order effects as a home advantage (BradleyTerry2); Y. Dubois et al.,
"Length-controlled AlpacaEval" (2024), whose correction takes the length term out of the fitted odds.
"""

import math
import re
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from curate.material import Ballot, Pair
from data.stats import Rate, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WHOLE = 2520  # parts of a ballot: a multiple of twice the number of pairs among 2 to 9 answers
ONE_VOTE = 0.75  # probability that one vote gives with the usual prior of a half on each side
_LIST = re.compile(r"(?m)^[ \t]*(?:[-*+•]|\d{1,3}[.)、])[ \t]")
_HEADER = re.compile(r"(?m)^#{1,6}[ \t]")
STYLES = ("lists", "headers", "bold", "code")


def first_shown_parts(ballot: Ballot) -> int:
    """How many parts of WHOLE of a ballot went to what was shown earlier; a tie counts half."""
    placed = [ballot.place[r] for r in ballot.shown if r in ballot.place][:9]
    if len(placed) == 2:
        return (2 * (placed[0] < placed[1]) + (placed[0] == placed[1])) * (WHOLE // 2)
    halves = sum(2 * (a < b) + (a == b) for a, b in combinations(placed, 2))
    pairs = len(placed) * (len(placed) - 1) // 2
    return halves * (WHOLE // (2 * pairs))


def position(ballots: Sequence[Ballot], confidence: float = 0.95) -> Rate:
    """Share that went to the answer shown earlier, a ballot counting once however many it compares."""
    told = [first_shown_parts(b) for b in ballots if sum(r in b.place for r in b.shown) > 1]
    return wilson(sum(told) / WHOLE, len(told), confidence)


class Length(NamedTuple):
    """How preference goes with length."""

    share: Rate
    """Share of pairs of unequal length in which chosen is the longer."""
    slope: float | None
    """Log-odds for one standard deviation more of length; None where it has no finite value."""
    error: float | None
    spread: float
    """The standard deviation of the differences in characters."""
    flips: list[tuple[int, float]]
    """Numbers of the pairs that would turn, and the probability that they would have."""


def length(pairs: Sequence[Pair]) -> Length:
    """Share, slope, and the labels that would flip if the slope were taken out of the odds.

    A pair turns when logit p < slope x difference / spread, where p is its probability that chosen is
    better (0.75, one vote's, where it has none).
    """
    import numpy as np

    # Whole numbers: their sums have no rounding, so no order of addition shows.
    raw = np.array([len(p.chosen) - len(p.rejected) for p in pairs], np.int64)
    told = raw[raw != 0]
    share = wilson(int((told > 0).sum()), len(told))
    if not len(told):
        return Length(share, None, None, 0.0, [])
    spread = math.sqrt(float((told**2).sum()) / len(told))
    found = fit((told / spread)[:, None])
    if found is None:
        return Length(share, None, None, spread, [])
    slope, error = float(found[0][0]), float(found[1][0])
    p = np.array([pair.probability if pair.probability is not None else ONE_VOTE for pair in pairs])
    odds = np.log(np.clip(p, 1e-9, 1 - 1e-9) / (1 - np.clip(p, 1e-9, 1 - 1e-9))) - slope * raw / spread
    turned = np.flatnonzero(odds < -1e-9).tolist()
    return Length(share, slope, error, spread, [(i, float(1 / (1 + np.exp(-odds[i])))) for i in turned])


def fit(differences: "Floats", ridge: float = 0.0) -> "tuple[Floats, Floats] | None":
    """Slopes of a logistic regression in which every row is a win for the side the differences favour.

    Args:
        differences: shape (rows, features), chosen minus rejected.
        ridge: half the weight of the squares of the slopes; above 0 a maximum always exists.

    Returns:
        Slopes and their standard errors, or None when the likelihood has no finite maximum.
    """
    import numpy as np

    slopes = np.zeros(differences.shape[1])
    for _ in range(60):
        chance = 1 / (1 + np.exp(-np.clip(differences @ slopes, -500, 500)))
        gradient = differences.T @ (1 - chance) - ridge * slopes
        curvature = (differences * (chance * (1 - chance))[:, None]).T @ differences + ridge * np.eye(len(slopes))
        if not np.isfinite(curvature).all() or np.linalg.matrix_rank(curvature) < len(slopes):
            return None
        step = np.linalg.solve(curvature, gradient)
        slopes = slopes + np.clip(step, -2, 2)
        if np.abs(slopes).max() > 30:
            return None
        if np.abs(step).max() < 1e-10:
            return slopes, np.sqrt(np.diag(np.linalg.inv(curvature)))
    return None


def style_counts(text: str) -> tuple[int, int, int, int]:
    """List items, headers, bold passages and code blocks of a text in Markdown."""
    return (
        len(_LIST.findall(text)),
        len(_HEADER.findall(text)) if "#" in text else 0,
        text.count("**") // 2,
        text.count("```") // 2,
    )


class Style(NamedTuple):
    """How preference goes with one element of style, length held still."""

    name: str
    share: Rate
    """Share of pairs that differ in it in which chosen has more."""
    slope: float | None
    """Log-odds of having it against not having it."""
    error: float | None


def style(pairs: Sequence[Pair]) -> list[Style]:
    """Each element of style beside length: (chosen - rejected) / (chosen + rejected), fitted together.

    The differences are those of LMArena's style control; a ridge of a half keeps elements that nearly
    decide finite.
    """
    import numpy as np

    if not pairs:
        return []
    chosen = np.array([style_counts(p.chosen) for p in pairs], np.int64)
    rejected = np.array([style_counts(p.rejected) for p in pairs], np.int64)
    sizes = np.array([(len(p.chosen), len(p.rejected)) for p in pairs], np.int64)
    counts = np.column_stack([chosen, sizes[:, 0]]), np.column_stack([rejected, sizes[:, 1]])
    differences = (counts[0] - counts[1]) / np.maximum(counts[0] + counts[1], 1)
    found = fit(differences, ridge=1.0)
    out = []
    for i, name in enumerate(STYLES):
        more, less = int((chosen[:, i] > rejected[:, i]).sum()), int((chosen[:, i] < rejected[:, i]).sum())
        slope, error = (float(found[0][i]), float(found[1][i])) if found else (None, None)
        out.append(Style(name, wilson(more, more + less), slope, error))
    return out
