"""What the votes say together, and how reliable each annotator is; plain functions over arrays of votes.

`judge_pairs` is for two responses and their sides, `judge_labels` for units and classes. The majority
stands beside Dawid and Skene's model always: where they differ, somebody should look.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.votes import Labels, PairVotes
    from data.consensus import DawidSkene, Model
    from data.reliability import Reliability

    Floats = NDArray[np.float64]

Told = Callable[[int], None]


class Verdicts(NamedTuple):
    """What is known of each pair and each annotator."""

    majority: "Floats"
    """Probability that the first of the pair is better, by (wins + ties/2 + a) / (n + 2a)."""
    model: "Floats"
    """The same by Dawid and Skene, a tie counting half."""
    tie: "Floats"
    """Probability of a tie, by Dawid and Skene; 0 where nobody ever said so."""
    votes: "Floats"
    """Pairs x 3: weight of the votes for the first, for a tie, for the second."""
    weight: "Floats"
    """Weight of the pair: of each judgment, what falls on one of the pairs it compared."""
    people: "Reliability"
    sides: "Floats"
    """Annotators x 3: weight of votes for the side shown first, for a tie, for the other."""
    found: "DawidSkene"
    classes: list[str]


def judge_pairs(
    votes: "PairVotes",
    pairs: int,
    *,
    model: "Model" = "full",
    prior: float = 0.5,
    smoothing: float = 1.0,
    told: Told = lambda _n: None,
) -> Verdicts:
    """Votes on pairs, coded by side: a preference for the first side is a row of the confusion matrix."""
    import numpy as np

    from data.consensus import dawid_skene
    from data.reliability import reliability

    ties = bool(votes.tie.any())
    last = 2 if ties else 1
    soft = ~votes.tie & (votes.share > 0) & (votes.share < 1)
    # A vote for the first of the pair, a tie, or a vote for the second: soft labels give a part to each end.
    kind = np.where(votes.tie, 1, np.where(votes.share > 0, 0, last))
    row = np.concatenate([np.arange(len(kind)), np.flatnonzero(soft)])
    kind = np.concatenate([kind, np.full(int(soft.sum()), last)])
    part = np.where(votes.tie[row], 1.0, np.where(kind == 0, votes.share[row], 1 - votes.share[row]))
    weight = votes.weight[row] * part
    turned, pair, who = votes.turned[row], votes.pair[row], votes.annotator[row]
    said = np.where(turned, last - kind, kind)
    found = dawid_skene(
        pair, who, said, weight, classes=last + 1, turned=turned, model=model, smoothing=smoothing, told=told
    )
    place = np.where(kind == last, 2, kind)
    tally = cast("Floats", np.bincount(pair * 3 + place, weight, pairs * 3).reshape(-1, 3))
    side = np.where(said == last, 2, said)
    sides = cast("Floats", np.bincount(who * 3 + side, weight, (int(who.max()) + 1) * 3).reshape(-1, 3))
    majority = (tally[:, 0] + tally[:, 1] / 2 + prior) / (tally.sum(axis=1) + 2 * prior)
    middle = found.posterior[:, 1] if ties else np.zeros(pairs)
    people = reliability(pair, who, said, found, weight, turned=turned)
    alone = cast("Floats", np.bincount(votes.pair, votes.weight / votes.spread, pairs))
    names = ["first", "tie", "second"] if ties else ["first", "second"]
    return Verdicts(majority, found.posterior[:, 0] + middle / 2, middle, tally, alone, people, sides, found, names)


class Consensus(NamedTuple):
    """What is known of each unit and each annotator, from labels."""

    label: "NDArray[np.int64]"
    """The likeliest value; of equal ones the first."""
    probability: "Floats"
    majority: "NDArray[np.int64]"
    share: "Floats"
    """Share of the votes that gave the majority's value."""
    even: "NDArray[np.bool_]"
    """Whether another value has as many votes as the majority's."""
    votes: "Floats"
    people: "Reliability"
    found: "DawidSkene"


def judge_labels(
    labels: "Labels", *, method: str = "dawid-skene", smoothing: float = 0.01, told: Told = lambda _n: None
) -> Consensus:
    """Labels on units: majority, and Dawid and Skene's model in full or with one coin.

    With the majority's own method reliabilities come from one coin: counting heads says nothing of people.
    """
    import numpy as np

    from data.consensus import dawid_skene
    from data.reliability import reliability

    kinds, units = len(labels.values), len(labels.units)
    cell = labels.unit.astype(np.int64) * kinds + labels.value
    tally = np.bincount(cell, labels.weight, units * kinds).reshape(units, kinds)
    total = tally.sum(axis=1)
    majority = tally.argmax(axis=1)
    top = tally[np.arange(units), majority]
    even = (tally >= top[:, None] - 1e-9).sum(axis=1) > 1
    if not (top > 1 + 1e-9).any():  # nobody ever said what another said: a model would learn nothing and drift
        method = "majority"
    found = dawid_skene(
        labels.unit,
        labels.annotator,
        labels.value,
        labels.weight,
        classes=kinds,
        model="full" if method == "dawid-skene" else "one-coin",
        smoothing=smoothing,
        told=told,
    )
    people = reliability(labels.unit, labels.annotator, labels.value, found, labels.weight)
    label = majority if method == "majority" else found.posterior.argmax(axis=1)
    probability = top / total if method == "majority" else found.posterior.max(axis=1)
    return Consensus(label, probability, majority, top / total, even, total, people, found)


def person_row(name: str, people: "Reliability", number: int, more: dict[str, Any]) -> dict[str, Any]:
    """An annotator as a row: reliability with its interval, or None where the votes are too few."""
    low, high = float(people.low[number]), float(people.high[number])
    agreement = float(people.agreement[number])
    enough = low == low
    return {
        "annotator": name,
        "votes": float(people.votes[number]),
        "reliability": float(people.estimate[number]),
        "low": low if enough else None,
        "high": high if enough else None,
        "note": None if enough else "too few votes for an interval",
        "agreement_with_others": agreement if agreement == agreement else None,
        **more,
    }


def confusion_rows(found: "DawidSkene", number: int, names: list[str]) -> dict[str, dict[str, float]]:
    """An annotator's confusion table: for each true class the probability of each answer."""
    table = found.confusion[number]
    return {true: {said: float(table[i, j]) for j, said in enumerate(names)} for i, true in enumerate(names)}
