"""A model judge held against people on the comparisons both made: agreement, calibration, and its biases.

A comparison is two responses of one task. People's target is the share of them who preferred the first, a
tie counting half; the judge's probability is the mean over its principles, orders and samples. Tasks are
what varies: every interval takes them as a whole.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.votes import PairVotes
    from data.calibration import Estimate

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


class Overlap(NamedTuple):
    """Comparisons that people and the judge both made, one row each."""

    pair: "Ints"
    group: "Ints"
    """Number of the task."""
    people: "Floats"
    """Share of the people who preferred the first, a tie counting half."""
    counts: "Floats"
    """Rows x 3: people's votes for the first, for a tie, for the second."""
    judge: "Floats"
    """Probability of the judge that the first is better."""
    longer: "Floats"
    """Length of the first less that of the second, in characters."""
    consistent: "Floats"
    """1 where the judge said the same in both orders, 0 where not, NaN where it was asked in one."""


class Sides(NamedTuple):
    """What the judge said of the side shown first, over all it was asked, people or not."""

    first: int
    decided: int
    asked: int


def overlap(votes: "PairVotes", group: "Ints", length: "Floats", judge: int, people: Sequence[int]) -> Overlap:
    """The comparisons of one judge and these people.

    Args:
        group: the task's number of each pair.
        length: of each pair, how much longer the first is.
        judge, people: annotators by number.
    """
    import numpy as np

    pairs = len(group)
    ours, theirs = np.isin(votes.annotator, np.asarray(people, dtype=np.int64)), votes.annotator == judge
    counts = np.zeros((pairs, 3))
    plain = 1 - votes.tie
    said_by = np.stack([plain * votes.share, 1.0 * votes.tie, plain * (1 - votes.share)], axis=1)
    for place in range(3):
        counts[:, place] = np.bincount(votes.pair[ours], (votes.weight * said_by[:, place])[ours], pairs)
    total = counts.sum(axis=1)
    heard = np.bincount(votes.pair[theirs], votes.weight[theirs], pairs)
    said = np.bincount(votes.pair[theirs], (votes.weight * votes.share)[theirs], pairs)
    both = np.flatnonzero((total > 0) & (heard > 0))
    orders = []
    for turned in (False, True):
        mine = theirs & (votes.turned == turned)
        weight = np.bincount(votes.pair[mine], votes.weight[mine], pairs)
        part = np.bincount(votes.pair[mine], (votes.weight * votes.share)[mine], pairs)
        orders.append(np.divide(part, weight, out=np.full(pairs, np.nan), where=weight > 0))
    asked = np.isfinite(orders[0]) & np.isfinite(orders[1])
    same = _side(orders[0]) == _side(orders[1])
    return Overlap(
        both,
        group[both],
        (counts[both, 0] + counts[both, 1] / 2) / total[both],
        counts[both],
        np.clip(said[both] / heard[both], 0, 1),
        length[both],
        np.where(asked, same, np.nan)[both],
    )


def _side(share: "Floats") -> "Ints":
    """0 the first, 1 neither, 2 the second; within rounding of one half is neither."""
    import numpy as np

    return np.where(share > 0.5 + 1e-9, 0, np.where(share < 0.5 - 1e-9, 2, 1))


def sides(votes: "PairVotes", judge: int) -> Sides:
    """How often the judge took the side shown first, over every time it was asked."""
    import numpy as np

    mine = votes.annotator == judge
    share = np.where(votes.turned, 1 - votes.share, votes.share)[mine]
    side = _side(share)
    return Sides(int((side == 0).sum()), int((side != 1).sum()), int(mine.sum()))


def agreement(found: Overlap) -> dict[str, Any]:
    """Alpha and kappa of the judge and people's majority, raw agreement, and alpha of people among themselves."""
    import numpy as np

    from data.calibration import cohen_kappa, mean_by_group

    people, judge = _side(found.people), _side(found.judge)
    rows = np.zeros((len(people), 3), dtype=np.int64)
    for column in (people, judge):
        rows[np.arange(len(rows)), column] += 1
    same = np.where(judge == 1, 0.5, np.where(judge == 0, found.people, 1 - found.people))
    among = np.rint(found.counts).astype(np.int64)
    return {
        "comparisons": len(people),
        "tasks": len(set(found.group.tolist())),
        "alpha": alpha_of(rows, found.group),
        "kappa": spelled(cohen_kappa(people, judge, found.group, 3)),
        "agreement": spelled(mean_by_group(same, found.group)),
        "people_alpha": alpha_of(among, found.group) | {"comparisons": int((among.sum(axis=1) >= 2).sum())},
    }


def alpha_of(counts: "Ints", groups: "Ints") -> dict[str, Any]:
    """Nominal alpha of rows of counts with the jackknife's interval over groups."""
    import numpy as np

    from data.coincidence import design
    from data.intervals import TOO_FEW, measure

    counts, groups = counts[counts.sum(axis=1) > 0], groups[counts.sum(axis=1) > 0]
    if not len(counts):
        return {"value": None, "low": None, "high": None, "why": "no pairable unit"}
    _, place = np.unique(groups, return_inverse=True)
    found = measure(design(counts, np.ones(len(counts), np.int64), place), "nominal", replicates=0)["alpha"]
    why = found.why or (f"too few: {found.blocks} tasks of at least {TOO_FEW}" if found.blocks < TOO_FEW else None)
    ends = (None, None) if why else found.jackknife[:2]
    return {"value": found.value, "low": ends[0], "high": ends[1], **({"why": why} if why else {})}


def calibration(found: Overlap) -> dict[str, Any]:
    """Temperature, scores before and after it, and the curve."""
    return calibration_of(found.judge, found.people, found.group)


def calibration_of(judge: "Floats", people: "Floats", group: "Ints") -> dict[str, Any]:
    """Temperature, scores before and after it, and the curve: the judge's probabilities against shares of people."""
    from data.calibration import calibration_curve, cooled, scores, temperature

    heat = temperature(judge, people, group)
    row: dict[str, Any] = {
        "temperature": spelled(heat),
        "scores": scores(judge, people)._asdict(),
        "curve": [one._asdict() for one in calibration_curve(judge, people)],
    }
    if heat.value is not None:
        row["scores_at_temperature"] = scores(cooled(judge, heat.value), people)._asdict()
    return row


def biases(found: Overlap, told: Sides) -> dict[str, Any]:
    """The judge's lean to the side shown first and to the longer response, people's beside it."""
    import numpy as np

    from data.calibration import logistic, mean_by_group
    from data.stats import wilson

    first = wilson(told.first, told.decided)
    row: dict[str, Any] = {
        "first_side": {"value": first.rate, "low": first.low, "high": first.high, "asked": told.asked},
        "same_in_both_orders": spelled(mean_by_group(*_known(found.consistent, found.group))),
    }
    unlike = found.longer != 0
    sign = np.sign(found.longer[unlike])
    judged, people, group = found.judge[unlike], found.people[unlike], found.group[unlike]
    verdict = np.where(_side(judged) == 1, 0.5, np.where(_side(judged) == 0, 1.0, 0.0))
    longer = np.where(sign > 0, verdict, 1 - verdict)
    theirs = np.where(sign > 0, people, 1 - people)
    row["longer_wins"] = {
        "judge": spelled(mean_by_group(longer, group)),
        "people": spelled(mean_by_group(theirs, group)),
        "more_than_people": spelled(mean_by_group(longer - theirs, group)),
    }
    spread = float(np.sqrt(np.mean(found.longer[unlike] ** 2))) if unlike.any() else 0.0
    if spread and len(set(group.tolist())) >= 3:
        beta, cover = logistic(np.stack([2 * people - 1, found.longer[unlike] / spread], axis=1), judged, group)
        half = 1.96 * float(np.sqrt(cover[1, 1]))
        slope = float(beta[1])
        row["length_slope"] = {"value": slope, "low": slope - half, "high": slope + half, "characters": spread}
    return row


def _known(values: "Floats", groups: "Ints") -> tuple["Floats", "Ints"]:
    import numpy as np

    there = np.isfinite(values)
    return values[there], groups[there]


def part(found: Overlap, rows: "NDArray[np.bool_]") -> Overlap:
    """Some of the comparisons."""
    pair, group, people, counts, judge, longer, consistent = (column[rows] for column in found)
    return Overlap(pair, group, people, counts, judge, longer, consistent)  # type: ignore[arg-type]


def spelled(estimate: "Estimate") -> dict[str, Any]:
    """An estimate as a row holds it."""
    return {key: value for key, value in estimate._asdict().items() if key != "why" or value is not None}
