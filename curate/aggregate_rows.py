"""An aggregation's rows, and what is said of them in words: pairs, responses, annotators.

Pairs have the better of the two first; annotators are in the order of their names. Where a figure stands on
too little it is None, and a note says so.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curate.casting import Ballots
from curate.skill import Verdicts, confusion_rows, person_row
from curate.standings import Standings
from curate.votes import Pairs

if TYPE_CHECKING:
    from curate.skill import Floats
    from data.rankings import Worths


def response_rows(cast: "Ballots", worths: "Worths") -> Iterator[dict[str, Any]]:
    """The rows of data/responses.jsonl: each response's score, as its task lists them."""
    import numpy as np

    task = np.repeat(np.arange(len(cast.tasks)), cast.sizes)
    strength, error = worths.strength.tolist(), worths.error.tolist()
    for i, t in ((int(i), int(task[i])) for i in np.lexsort((cast.place, task))):
        yield {
            "task_id": cast.tasks[t],
            "response_id": cast.responses[i],
            "model": cast.models[i],
            "score": strength[i],
            "error": error[i],
        }


def pair_rows(
    pairs: Pairs, found: Verdicts, scores: "Floats | None", method: str, *, plain: bool = False
) -> Iterator[dict[str, Any]]:
    """Each pair with the better one first; a pair at one half keeps its order and says so.

    Args:
        scores: log-strengths by `pairs.one` and `pairs.two`; None where there are none.
    """
    import numpy as np

    nothing: list[None] = [None] * len(pairs.first)
    ones, others, luces = nothing, nothing, nothing
    if scores is not None:
        sides = scores[pairs.one], scores[pairs.two]
        ones, others = (side.tolist() for side in sides)
        luces = (1 / (1 + np.exp(sides[1] - sides[0]))).tolist()
    lists = [x.tolist() for x in (found.majority, found.model, found.tie, found.votes, found.weight)]
    strength = "bradley_terry" if plain else "plackett_luce"
    names = ("item_chosen", "item_rejected") if plain else ("chosen_id", "rejected_id")
    for task, a, b, one, other, luce, majority, model, tie, votes, weight in zip(
        pairs.group, pairs.first, pairs.second, ones, others, luces, *lists, strict=True
    ):
        by = {"majority": majority, "dawid-skene": model, "one-coin": model}
        p = by.get(method, luce if luce is not None else majority)
        turned = p < 0.5
        methods = {"majority": majority, "dawid_skene": model, strength: luce}
        if turned:
            methods = {name: None if q is None else 1 - q for name, q in methods.items()}
        yield {
            **({} if plain else {"task_id": task}),
            names[0]: b if turned else a,
            names[1]: a if turned else b,
            "probability": 1 - p if turned else p,
            "tie": tie,
            "undecided": abs(p - 0.5) < 1e-9,
            "weight": weight,
            "score_chosen": other if turned else one,
            "score_rejected": one if turned else other,
            "votes": {"chosen": votes[2 * turned], "rejected": votes[2 * (not turned)], "tie": votes[1]},
            "methods": methods,
        }


def people_rows(found: Verdicts, names: list[str], kinds: list[str]) -> list[dict[str, Any]]:
    """Each annotator as a row: reliability with its interval, the side they favour, how they err."""
    from data.stats import wilson

    rows = []
    for i, name in enumerate(names):
        first, _, second = found.sides[i].tolist()
        lean = wilson(min(first, first + second), first + second)
        more = {
            **({"kind": kinds[i]} if kinds else {}),
            "first_side": lean.rate,
            "first_side_low": lean.low,
            "first_side_high": lean.high,
            "confusion": confusion_rows(found.found, i, found.classes),
        }
        rows.append(person_row(name, found.people, i, more))
    return rows


def least_reliable(people: list[dict[str, Any]], most: int = 3) -> list[str]:
    """The annotators whose reliability is surely below the median of all, worst first, in words."""
    known = sorted((row for row in people if row["low"] is not None), key=lambda r: (r["reliability"], r["annotator"]))
    if len(known) < 3:
        return []
    middle = known[len(known) // 2]["reliability"]
    return [
        f"{_name(row)} is right {row['reliability']:.0%} of the time ({row['low']:.0%} to {row['high']:.0%})"
        for row in known
        if row["high"] < middle
    ][:most]


def leaning(people: list[dict[str, Any]], most: int = 3) -> list[str]:
    """The annotators who surely favour a side, in words."""
    found = [
        r for r in people if r["first_side"] is not None and not r["first_side_low"] <= 0.5 <= r["first_side_high"]
    ]
    found.sort(key=lambda r: (-abs(r["first_side"] - 0.5), r["annotator"]))
    return [f"{_name(r)} took the side shown first {r['first_side']:.0%} of the time" for r in found[:most]]


def _name(row: dict[str, Any]) -> str:
    from data.errors import one_line

    return one_line(str(row["annotator"]), 40) or "(no name)"


def order_told(standings: Standings) -> str | None:
    """What being shown first adds, in words; None where it is not known."""
    if standings.order is None or standings.order_low is None or standings.order_high is None:
        return None
    return (
        f"being shown first adds {standings.order:+.3f} to the log-odds ({standings.order_low:+.3f} to"
        f" {standings.order_high:+.3f})"
    )
