"""The same training without some people's votes, beside the run it was: does held-out accuracy change?

    found = without(ready, votes, held_votes, names, prior, folder)

Rows they voted on get their label from the others' counted votes: it may turn round, and a row on which nobody else
voted, or the others are even, is left out. Everything else is as it was: settings, seed, order of what is left.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import BadInput
from data.jsonl import read_lines
from train.bounds import DIFFERENCE, Interval, mean_interval
from train.exports import Pair
from train.preparing import Ready
from train.rows import Row
from train.vote_directions import Vote, probability_without


class Retrained(NamedTuple):
    """What leaving votes out did."""

    names: list[str]
    """Annotators left out."""
    rows: int
    """Rows trained on."""
    turned: int
    """Of them, with the other answer chosen."""
    dropped: int
    """Rows without a label now."""
    difference: dict[str, Interval]
    """Of held-out accuracy, without them less with them, by split: paired, by the labels the others gave."""
    with_them: dict[str, float]
    """The run's own accuracy by these labels."""


def relabelled(row: Row, votes: Sequence[Vote], names: frozenset[str], prior: float, *, soft: bool) -> Row | None:
    """The row as the others' votes have it; None where they give no label.

    Args:
        soft: its p is the probability, and not 1.
    """
    if not any(one.groups.get("annotator") in names for one in votes):
        return row
    p = probability_without(list(votes), "annotator", names, prior)
    if p is None or p == 0.5:
        return None
    assert isinstance(row.source, Pair)
    left = sum(one.weight for one in votes if one.groups.get("annotator") not in names)
    likely = max(p, 1 - p)
    weight = row.w * left / sum(one.weight for one in votes) if row.w != 1.0 else row.w
    made = row._replace(p=likely if soft else 1.0, w=weight, source=row.source._replace(p=likely))
    if p > 0.5:
        return made
    tokens, source = row.tokens, row.source._replace(p=likely)
    return made._replace(
        tokens=tokens._replace(chosen=tokens.rejected, rejected=tokens.chosen),
        source=source._replace(chosen=row.source.rejected, rejected=row.source.chosen),
    )


def without(
    ready: Ready,
    votes: Mapping[str, Sequence[Vote]],
    names: Sequence[str],
    prior: float,
    run: Path,
) -> Retrained:
    """Train again without these annotators' votes, and hold it against the run.

    Args:
        votes: on each row of every split, by the row's id.
        run: the run's folder, for its own held-out scores.

    Raises:
        BadInput: no row would be left.
    """
    from train.running import train

    gone, soft = frozenset(names), bool(getattr(ready.settings, "soft_labels", False))
    made = [(row, relabelled(row, votes[row.id], gone, prior, soft=soft)) for row in ready.rows["train"]]
    kept = [(old, new) for old, new in made if new is not None]
    if not kept:
        raise BadInput("without these annotators no row has a label; give --confirm a smaller number")
    again = ready._replace(rows={**ready.rows, "train": [new for _, new in kept]})
    with tempfile.TemporaryDirectory(prefix="concord-influence-") as place:
        trained = train(again, Path(place), None)
    before = _scores_of(run)
    differences, accuracy = {}, {}
    for split, scores in trained.scores.items():
        pairs = []
        for row, (chosen, rejected, *_) in zip(ready.rows[split], scores, strict=True):
            side = _side(row, votes[row.id], gone, prior)
            if side and row.id in before and rejected is not None:
                pairs.append((_right(before[row.id] * side), _right((chosen - rejected) * side), _cluster(row)))
        if pairs:
            change = [new - old for old, new, _ in pairs]
            differences[split] = mean_interval(change, [cluster for *_, cluster in pairs], ends=DIFFERENCE)
            accuracy[split] = sum(old for old, _, _ in pairs) / len(pairs)
    turned = sum(old.tokens.chosen != new.tokens.chosen for old, new in kept)
    return Retrained(list(names), len(kept), turned, len(made) - len(kept), differences, accuracy)


def _side(row: Row, votes: Sequence[Vote], gone: frozenset[str], prior: float) -> int:
    """1 where the others chose the chosen answer, −1 where the rejected one, 0 where neither."""
    if not any(one.groups.get("annotator") in gone for one in votes):
        return 1
    p = probability_without(list(votes), "annotator", gone, prior)
    return 0 if p is None or p == 0.5 else 1 if p > 0.5 else -1


def _right(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def _cluster(row: Row) -> str:
    return str(row.source.row.get("cluster") or row.id)


def _scores_of(run: Path) -> dict[str, float]:
    """The run's held-out margins by row."""
    found = {}
    for line in read_lines(run / "data/held_out.jsonl"):
        one = line.value
        if isinstance(one, dict) and one.get("chosen") is not None and one.get("rejected") is not None:
            found[str(one["id"])] = float(one["chosen"]) - float(one["rejected"])
    return found
