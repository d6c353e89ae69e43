"""What groups of votes did to held-out accuracy, from gradients of margins: pure arithmetic.

The run is taken as the logistic model it is near its weights: margin(θ + δ) = m + g · δ. Its curvature over the rows
it was trained on is

    H = Σ w · σ(m) · σ(−m) · g gᵀ / Σ w + λ I,    λ = damping · the mean of H's own eigenvalues,

and a small change of the training loss by −ε · g moves θ by ε · H⁻¹ g. A run of few passes moves along steep directions
alone, which is what damping well above 1 leaves. A vote is held against the same vote as a tie: the label's loss is
linear in the label, l(m) − ½ [l(m) + l(−m)] = −m / 2, so that a vote in direction d, with share s of its row's votes
and w of the training weight, pulls with w · s · d / 2 · g.

Held-out accuracy jumps, so it is smoothed: the mean over held-out rows of p · σ(m / T) + (1 − p) · σ(−m / T), with T
the median of |m|, so that margins of any size will do. What a vote adds to it is

    w · s · d / 2 · g · H⁻¹ · (mean over held-out rows of (2p − 1) · σ(m / T) · σ(−m / T) / T · g).

The held-out loss would not do in its place: a run that is too sure gains by every vote that is a tie, right or wrong.
Where a group's own votes lie on a held-out row, p there is by the others' votes: nobody is the judge of himself.

Sources: P. Koh and P. Liang, arXiv 1703.04730 (influence, damping); G. Pruthi et al., arXiv 2002.08484 (gradients'
inner products, which great damping comes down to); S. Park et al., arXiv 2303.14186 (one linear logistic model in
random projections); A. Cameron, J. Gelbach and D. Miller, Journal of Business & Economic Statistics 29 (2011), 238-249
(errors over two kinds of clusters at once: prompts held out, and prompts voted on);
R. DerSimonian and N. Laird, Controlled Clinical Trials 7 (1986), 177-188 (between-group variance, for shrinkage).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Verdict = Literal["helps", "hurts", "no signal"]
FEW = 10
"""Clusters, of held-out rows or of rows voted on, below which nothing is said of a group."""


class Effect(NamedTuple):
    """What a group's votes did."""

    votes: int
    """Votes on rows that were trained on."""
    influence: float
    """Smoothed held-out accuracy, in [−1, 1] where it is small, that would go were they ties: above 0, they help."""
    low: float
    """The interval, for all groups of a kind together."""
    high: float
    per_vote: float
    """Influence of one vote, drawn towards the kind's mean as far as few votes are no evidence."""
    clusters: int
    """Of rows voted on."""
    verdict: Verdict


class Pull(NamedTuple):
    """A group's votes as numbers."""

    row: "Ints"
    """Shape (v,): the number of the row voted on, among those trained on."""
    pull: "Floats"
    """Shape (v,): w · s · d / 2 over the sum of the training weights."""
    target: "Floats"
    """Shape (held-out rows,): p by the others' votes."""
    counted: "NDArray[np.bool_]"
    """Shape (held-out rows,): False where nobody else voted."""


def sigmoid(x: "ArrayLike") -> "Floats":
    """1 / (1 + e^−x)."""
    import numpy as np

    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, dtype=np.float64)))


def solved(margin: "Floats", slope: "Floats", weight: "Floats", held: "Floats", damping: float) -> "Floats":
    """held · H⁻¹ · slopeᵀ: how a pull on each row moves each held-out margin; shape (held-out rows, rows).

    Args:
        margin, weight: shape (n,); weights >= 0, of which one is above 0.
        slope: shape (n, k). held: shape (h, k).
        damping: > 0.
    """
    import numpy as np

    sure = sigmoid(margin)
    weighted = slope * np.sqrt(weight * sure * (1 - sure) / weight.sum())[:, None]
    n, k = weighted.shape
    ridge = max(damping * float((weighted**2).sum()) / min(n, k), 1e-12)
    if k <= n:
        curve = weighted.T @ weighted
        curve[np.diag_indices(k)] += ridge
        return np.asarray(held @ np.linalg.solve(curve, slope.T))
    # Fewer rows than numbers in a sketch: the same by Woodbury's identity.
    small = weighted @ weighted.T
    small[np.diag_indices(n)] += ridge
    return np.asarray((held @ slope.T - (held @ weighted.T) @ np.linalg.solve(small, weighted @ slope.T)) / ridge)


def effects(
    kernel: "Floats",
    held_margin: "Floats",
    pulls: Sequence[Pull],
    clusters: "tuple[Ints, Ints]",
    *,
    confidence: float = 0.95,
) -> list[Effect]:
    """The effect of each group of one kind.

    Args:
        kernel: from `solved`.
        held_margin: shape (h,).
        pulls: one a group.
        clusters: each held-out row's cluster, and each training row's, numbered from 0.
        confidence: that all the intervals hold the truth at once (Bonferroni).
    """
    import numpy as np
    from scipy.stats import t

    if not pulls:
        return []
    held_of, row_of = clusters
    steepness = _steepness(held_margin)
    found: list[tuple[int, float, float, float, int, int]] = []
    for one in pulls:
        gain = np.where(one.counted, (2 * one.target - 1) * steepness, 0.0) / max(1, int(one.counted.sum()))
        each = gain[:, None] * kernel[:, one.row] * one.pull
        seen, column = np.unique(row_of[one.row], return_inverse=True)
        there, line = np.unique(held_of[one.counted], return_inverse=True)
        table = np.zeros((len(there), len(seen)))
        np.add.at(table, (line[:, None], column[None, :]), each[one.counted])
        found.append((len(one.row), float(each.sum()), *_errors(table), len(seen), len(there)))
    # What held-out rows happen to be there is the same for all groups, so it is no reason to draw them together.
    means = _shrunk([one[1] for one in found], [one[3] for one in found], [one[0] for one in found])
    made = []
    for (votes, value, error, _, seen_by, held_by), mean in zip(found, means, strict=True):
        few = max(1, min(seen_by, held_by) - 1)
        half = error * float(t.ppf(1 - (1 - confidence) / 2 / len(pulls), few))
        verdict = _verdict(value, half, few + 1)
        made.append(Effect(votes, value, value - half, value + half, mean, seen_by, verdict))
    return made


def _errors(table: "Floats") -> tuple[float, float]:
    """Standard errors of a table's sum: over the clusters of both its sides, and over its columns alone."""
    import numpy as np

    if min(table.shape, default=0) < 2:
        return float(np.abs(table).sum()), float(np.abs(table).sum())

    def spread(sums: "Floats") -> float:
        n = sums.size
        return float(((sums - sums.mean()) ** 2).sum()) * n / (n - 1)

    lines, columns = spread(table.sum(1)), spread(table.sum(0))
    # What varies from cell to cell is in both, and counts once.
    both = max(lines + columns - spread(table), lines, columns)
    return both**0.5, columns**0.5


def smoothed_accuracy(margin: "Floats", p: "ArrayLike") -> float:
    """The mean of p · σ(m / T) + (1 − p) · σ(−m / T), T the median of |m|; in (0, 1)."""
    import numpy as np

    sure = sigmoid(margin / _temperature(margin))
    return float((np.asarray(p) * sure + (1 - np.asarray(p)) * (1 - sure)).mean())


def _temperature(margin: "Floats") -> float:
    import numpy as np

    return max(float(np.median(np.abs(margin))), 1e-12)


def _steepness(margin: "Floats") -> "Floats":
    """The slope of σ(m / T)."""
    sure = sigmoid(margin / _temperature(margin))
    found: Floats = sure * (1 - sure) / _temperature(margin)
    return found


def _verdict(value: float, half: float, clusters: int) -> Verdict:
    if clusters < FEW or abs(value) <= half:
        return "no signal"
    return "helps" if value > 0 else "hurts"


def _shrunk(values: Sequence[float], errors: Sequence[float], votes: Sequence[int]) -> list[float]:
    """Each group's influence per vote, drawn to the mean of all by its error beside how far the true ones lie apart."""
    import numpy as np

    n = np.asarray(votes, dtype=np.float64)
    value, error = np.asarray(values) / n, np.asarray(errors) / n
    usual = float(np.median(error * np.sqrt(n)))
    if len(value) < 3 or usual <= 0:
        return [float(v) for v in value]
    # A group of ties alone would look infinitely exact.
    value, error = value / usual, np.maximum(error / usual, 0.25 / np.sqrt(n))
    precise = error**-2
    mean = (precise * value).sum() / precise.sum()
    spread = (precise * (value - mean) ** 2).sum() - (len(value) - 1)
    between = max(0.0, float(spread / (precise.sum() - (precise**2).sum() / precise.sum())))
    weight = 1 / (between + error**2)
    centre = (weight * value).sum() / weight.sum()
    return [float(v) for v in usual * (centre + between * weight * (value - centre))]


def number_clusters(names: Sequence[Any]) -> "Ints":
    """Names as numbers from 0, in the order they come."""
    import numpy as np

    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(name, len(seen)) for name in names], dtype=np.int64)
