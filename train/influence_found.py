"""What each group of votes did to a run, from the gradients of its rows; and the training again without the worst."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data.command import progress
from data.errors import BadInput
from train.exports import Pair
from train.influence_gradients import of_splits
from train.preparing import Ready
from train.rows import Row
from train.vote_directions import KINDS, Kind, Terms, Vote, probability_without
from train.vote_influence import Effect, Pull, effects, number_clusters, solved

if TYPE_CHECKING:
    from train.left_out import Retrained
    from train.margin_gradients import Floats


class Given(NamedTuple):
    """What was asked of the arithmetic."""

    run: Path
    """The run's folder."""
    split: str
    damping: float
    width: int
    confirm: int
    seed: int


class Group(NamedTuple):
    """A group of votes and what they did."""

    kind: Kind
    name: str
    effect: Effect


class Found(NamedTuple):
    """All that the folder tells."""

    groups: list[Group]
    """By kind; within a kind from what hurts most per vote to what helps most."""
    rows: int
    held: int
    clusters: int
    unvoted: int
    """Rows trained on that no vote speaks for: they pull nobody's way."""
    weights: int
    width: int
    hurting: list[dict[str, Any]]
    """Every vote of the annotators that hurt."""
    retrained: "Retrained | None"


def cluster_of(row: Row) -> str:
    """The prompt's family; a row that names none is one of its own."""
    return str(row.source.row.get("cluster") or row.id)


def computed(given: Given, ready: Ready, terms: Terms, votes: Mapping[str, Sequence[Vote]]) -> Found:
    """Gradients, influence of each group, and the training without the worst where it was asked for."""
    rows, held = ready.rows["train"], ready.rows[given.split]
    weights, of_rows, of_held = of_splits(given.run, ready, [rows, held], given.width, given.seed)
    import numpy as np

    weight = np.array([row.w for row in rows])
    if not weight.sum() > 0:
        raise BadInput(f"every row of {ready.export.folder} weighs nothing; train with --set weights=none")
    with progress("influence") as step:
        kernel = solved(of_rows.margin, of_rows.slope, weight, of_held.slope, given.damping)
        step(1)
    clusters = number_clusters([cluster_of(row) for row in held]), number_clusters([cluster_of(row) for row in rows])
    groups: list[Group] = []
    pulls: dict[str, Pull] = {}
    for kind in KINDS:
        of_kind = _pulls(kind, rows, held, votes, weight, terms.prior)
        made = effects(kernel, of_held.margin, list(of_kind.values()), clusters)
        named = [Group(kind, name, one) for name, one in zip(of_kind, made, strict=True)]
        groups += sorted(named, key=lambda one: (one.effect.per_vote, one.name))
        pulls = pulls or of_kind
    worst = [one.name for one in groups if one.kind == "annotator"][: given.confirm]
    again = None
    if worst:
        from train.left_out import without

        again = without(ready, votes, worst, terms.prior, given.run)
    hurting = {one.name for one in groups if one.kind == "annotator" and one.effect.verdict == "hurts"}
    unvoted = sum(not votes[row.id] for row in rows)
    told = _hurting(hurting, rows, votes)
    seen = len(set(clusters[0].tolist()))
    return Found(groups, len(rows), len(held), seen, unvoted, weights, of_rows.slope.shape[1], told, again)


def _pulls(
    kind: Kind,
    rows: Sequence[Row],
    held: Sequence[Row],
    votes: Mapping[str, Sequence[Vote]],
    weight: "Floats",
    prior: float,
) -> dict[str, Pull]:
    """Each group's votes as numbers, by name."""
    import numpy as np

    found: dict[str, tuple[list[int], list[float]]] = {}
    for n, row in enumerate(rows):
        total = sum(one.weight for one in votes[row.id])
        for one in votes[row.id]:
            name = one.groups.get(kind)
            if name is not None:
                numbers, values = found.setdefault(name, ([], []))
                numbers.append(n)
                values.append(float(weight[n]) * one.weight / total * one.direction / 2)
    labels = np.array([row.source.p if isinstance(row.source, Pair) else 1.0 for row in held])
    own: dict[str, list[int]] = {}
    for n, row in enumerate(held):
        for name in {one.groups[kind] for one in votes[row.id] if kind in one.groups}:
            own.setdefault(name, []).append(n)
    made = {}
    for name in sorted(found):
        target, counted = labels.copy(), np.ones(len(held), dtype=bool)
        # A batch or a guideline often covers all the votes on a row, which leaves nobody to judge it by.
        for n in own.get(name, []) if kind == "annotator" else []:
            p = probability_without(list(votes[held[n].id]), kind, frozenset([name]), prior)
            target[n], counted[n] = (0.5, False) if p is None else (p, True)
        numbers, values = found[name]
        made[name] = Pull(np.array(numbers, dtype=np.int64), np.array(values) / float(weight.sum()), target, counted)
    return made


def _hurting(names: set[str], rows: Sequence[Row], votes: Mapping[str, Sequence[Vote]]) -> list[dict[str, Any]]:
    """The votes of annotators that hurt, for people to look at or take back."""
    return [
        {"judgment": one.judgment, "annotator": one.groups["annotator"], "row": row.id, "direction": one.direction}
        for row in rows
        for one in votes[row.id]
        if one.groups["annotator"] in names
    ]
