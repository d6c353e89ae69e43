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
from typing import TYPE_CHECKING, NamedTuple

from curate.ballot_columns import UNTOLD, WHOLE, Columns
from curate.material import Pair
from data.stats import Rate, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ONE_VOTE = 0.75  # probability that one vote gives with the usual prior of a half on each side
_ITEM = r"[ \t]*(?:[-*+•]|\d{1,3}[.)、])[ \t]"
_LIST, _FIRST_LIST = re.compile(rf"\n{_ITEM}"), re.compile(_ITEM)
_HEADER, _FIRST_HEADER = re.compile(r"\n#{1,6}[ \t]"), re.compile(r"#{1,6}[ \t]")
STYLES = ("lists", "headers", "bold", "code")


def position(ballots: Columns, confidence: float = 0.95) -> Rate:
    """Share that went to the answer shown earlier, a ballot counting once however many it compares."""
    told = ballots.first[ballots.first != UNTOLD]
    return wilson(int(told.sum()) / WHOLE, len(told), confidence)


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
    raw = _lengths([p.chosen for p in pairs]) - _lengths([p.rejected for p in pairs])
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
    lists = headers = 0
    # Lines after the first are found by their line break, which is far quicker than looking at every place.
    if not text[:1].isalpha() and _FIRST_LIST.match(text):
        lists = 1
    if "\n" in text:
        lists += len(_LIST.findall(text))
    if "#" in text:
        headers = len(_HEADER.findall(text)) + bool(_FIRST_HEADER.match(text))
    return lists, headers, text.count("**") // 2 if "*" in text else 0, text.count("```") // 2 if "`" in text else 0


def _counts(texts: list[str]) -> "Ints":
    """The style counts of texts, a row each."""
    import numpy as np

    found = np.fromiter((n for text in texts for n in style_counts(text)), np.int64, len(texts) * len(STYLES))
    return found.reshape(len(texts), len(STYLES))


def _lengths(texts: list[str]) -> "Ints":
    import numpy as np

    return np.fromiter(map(len, texts), np.int64, len(texts))


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
    chosen, rejected = _counts([p.chosen for p in pairs]), _counts([p.rejected for p in pairs])
    sizes = _lengths([p.chosen for p in pairs]), _lengths([p.rejected for p in pairs])
    counts = np.column_stack([chosen, sizes[0]]), np.column_stack([rejected, sizes[1]])
    differences = (counts[0] - counts[1]) / np.maximum(counts[0] + counts[1], 1)
    found = fit(differences, ridge=1.0)
    out = []
    for i, name in enumerate(STYLES):
        more, less = int((chosen[:, i] > rejected[:, i]).sum()), int((chosen[:, i] < rejected[:, i]).sum())
        slope, error = (float(found[0][i]), float(found[1][i])) if found else (None, None)
        out.append(Style(name, wilson(more, more + less), slope, error))
    return out
