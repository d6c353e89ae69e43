"""What a run's held-out rows say: accuracy with its interval, by slice, and whether its probabilities hold.

Rows are those of data/held_out.jsonl. Rows of one cluster (a prompt's family) are not independent: an interval takes
whole clusters as what varies. Pure arithmetic.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from train.run_story import BETTER

Rows = Sequence[Mapping[str, Any]]
SPLITS = ("test", "validation")
"""The split to speak of first; a run chooses its end by validation, by test nothing."""


LEAST = 5
"""Rows of a slice that is worth a line."""


class Share(NamedTuple):
    """A mean over rows (of accuracy: a share in [0, 1]) with its 95 % interval over clusters."""

    name: str
    value: float
    low: float | None
    """None where there are too few clusters for an interval."""
    high: float | None
    n: int
    clusters: int


Kind = Literal["accuracy", "auc", "loss"]


class Told(NamedTuple):
    """What a run is told by first, and over which rows."""

    kind: Kind
    rows: list[Mapping[str, Any]]
    of: Callable[[Rows, str], Share | None]


class Reliability(NamedTuple):
    """A run's probabilities against what people said, folded to the side it favours."""

    bins: list[Any]
    """data.calibration.Bin, from unsure to sure."""
    brier: float
    log_loss: float
    error: float
    temperature: float | None
    """By which log-odds must be divided to fit; above 1 it is too sure. None where it cannot be told."""
    low: float | None
    """Of its 95 % interval over clusters; None where there are too few."""
    high: float | None
    """None, too, where no temperature is too high."""


def scored(rows: Rows, task: str) -> list[Mapping[str, Any]]:
    """The rows that have both scores, as finite numbers: those that can be right or wrong."""
    return [row for row in rows if task in BETTER and _finite(row.get("chosen")) and _finite(row.get("rejected"))]


def split_of(rows: Rows) -> str | None:
    """The split to speak of: test where there is one."""
    there = {row.get("split") for row in rows}
    return next((split for split in SPLITS if split in there), None)


def right(row: Mapping[str, Any]) -> float:
    """1 where the run took people's side, 0 where not, ½ where it had none."""
    given = row.get("correct")
    if given is not None and _finite(float(given)):
        return float(given)
    margin = row["chosen"] - row["rejected"]
    return 0.5 if margin == 0 else float(margin > 0)


def accuracy(rows: Rows, name: str) -> Share | None:
    """Share of rows in which the run took people's side; None without rows."""
    return _mean(rows, right, name)


def loss(rows: Rows, name: str) -> Share | None:
    """Mean loss per token in nats of answers that stand alone, each answer counting once."""
    return _mean([row for row in rows if _finite(row.get("chosen"))], lambda row: row["chosen"], name)


def auc(rows: Rows, name: str) -> Share | None:
    """How well implicit rewards tell good answers from bad: the area under their ROC curve; None without both kinds.

    It is the chance that an answer held good has a greater `reward` than one held bad, drawn from whatever prompts;
    the same reward counts half, and 0.5 is a coin. Its interval takes prompt families as what varies (N. Obuchowski,
    Biometrics 53 (1997), 567-578): a row stands for what it adds to the area, so the area is a mean over rows.
    """
    import numpy as np

    known = [row for row in rows if _finite(row.get("reward")) and isinstance(row.get("label"), bool)]
    reward = np.array([float(row["reward"]) for row in known])
    good = np.array([bool(row["label"]) for row in known], dtype=bool)
    if good.all() or not good.any():
        return None
    area = _above(reward[good], reward[~good])
    below = 1 - _above(reward[~good], reward[good])
    whole = float(area.mean())
    stands = np.empty(len(known))
    stands[good] = whole + (area - whole) * len(known) / good.sum()
    stands[~good] = whole + (below - whole) * len(known) / (~good).sum()
    found = _share(stands.tolist(), known, name)
    ends = [None if end is None else min(1.0, max(0.0, end)) for end in (found.low, found.high)]
    return found._replace(value=whole, low=ends[0], high=ends[1])


def _above(one: Any, others: Any) -> Any:
    """The share of others that each is above; ties count half."""
    import numpy as np

    ranked = np.sort(others)
    return (np.searchsorted(ranked, one, "left") + np.searchsorted(ranked, one, "right")) / 2 / len(others)


def told_by(rows: Rows, task: str) -> Told:
    """Accuracy of a task that compares; of kto the area under the curve; else, and without rewards, the loss."""
    if task in BETTER:
        return Told("accuracy", scored(rows, task), accuracy)
    if auc(rows, "") is not None:
        return Told("auc", [row for row in rows if _finite(row.get("reward"))], auc)
    return Told("loss", list(rows), loss)


def by_slice(rows: Rows, of: Callable[[Rows, str], Share | None], most: int = 12) -> list[Share]:
    """The same over slices: by label, language, tag, those with most rows first; a lone one says nothing new."""
    found = []
    for key, column in (("held", "label"), ("language", "language"), ("tag", "tags")):
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            held = row.get(column)
            if isinstance(held, bool):
                held = "good" if held else "bad"
            for name in {str(one) for one in (held if isinstance(held, list) else [held]) if one}:
                groups.setdefault(name, []).append(row)
        order = sorted(groups, key=lambda name: (-len(groups[name]), name))
        if len(order) > 1 or (order and len(groups[order[0]]) < len(rows)):
            made = [of(groups[name], f"{key}={name}") for name in order[:most] if len(groups[name]) >= LEAST]
            found += [one for one in made if one]
    return found


def reliability(rows: Rows) -> Reliability | None:
    """Calibration of σ(chosen − rejected), the probability the run gives people's choice, against theirs.

    Args:
        rows: from `scored`; `p` is people's own probability (1 where the export has none).

    Returns:
        None below 20 rows.
    """
    if len(rows) < 20:
        return None
    from data.calibration import calibration_curve, scores, temperature

    said = [sigmoid(row["chosen"] - row["rejected"]) for row in rows]
    people = [float(row["p"]) if _finite(row.get("p")) else 1.0 for row in rows]
    found = scores(said, people)
    fitted = temperature(said, people, _numbers(rows))
    bins = calibration_curve(said, people, min(10, max(2, len(rows) // 20)))
    return Reliability(
        bins, found.brier, found.log_loss, found.calibration_error, fitted.value, fitted.low, fitted.high
    )


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x), for any finite x."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _mean(rows: Rows, of: Callable[[Mapping[str, Any]], float], name: str) -> Share | None:
    return _share([of(row) for row in rows], rows, name) if rows else None


def _share(values: Sequence[float], rows: Rows, name: str) -> Share:
    """The mean of the rows' values, at least one."""
    from data.calibration import mean_by_group

    numbers = _numbers(rows)
    found = mean_by_group(values, numbers)
    assert found.value is not None
    return Share(name, found.value, found.low, found.high, len(rows), len(set(numbers)))


def _numbers(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Each row's cluster as a number from 0; a row that names none is one of its own."""
    seen: dict[str, int] = {}
    return [seen.setdefault(str(row.get("cluster") or f"row {row.get('id')}"), len(seen)) for row in rows]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
