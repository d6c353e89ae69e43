"""What an aggregation's folder holds, and how it is filled from labels, comparisons or a project.

    data/labels.jsonl       units: the likeliest label, its probability, the majority's beside it
    data/pairs.jsonl        two responses each: which is better, with what probability, weight and votes
    data/responses.jsonl    scores within a prompt, for reward margins (a project)
    data/standings.jsonl    strengths of models or items, with intervals
    data/annotators.jsonl   reliability of each annotator with its interval, and how they err
    report.html             what to read first
    audit/rejected.jsonl    rows that could not be used, with line and reason

A file that would have no row is not there. Everything is in the order of names or ids.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.skill import Verdicts, confusion_rows, judge_labels, judge_pairs, person_row
from curate.standings import Standings, items_of, models_of, stand
from curate.votes import (
    Choices,
    Pairs,
    choices_of,
    compare,
    comparison_votes,
    labels_of,
    names_of,
    pair_votes,
    voters,
)
from data.errors import NotEnough

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.engine import Connection
    from curate.report_pages import Outcome
    from data.folder import Folder
    from data.rankings import Worths

Told = Callable[[int], None]
METHODS = ("dawid-skene", "one-coin", "majority", "plackett-luce")


class Wishes(NamedTuple):
    """How to aggregate; the part of the configuration that decides the rows."""

    method: str = "dawid-skene"
    """What `label` and `probability` come from; the others stand beside it."""
    prior: float = 0.5
    """Votes added to each side; wins and losses against an item of strength 0."""
    smoothing: float = 1.0
    """Votes added to each cell of an annotator's confusion table."""
    rounds: int = 1000
    """Of the bootstrap."""
    seed: int = 0
    kinds: tuple[str, ...] = ("person", "model")
    criterion: str | None = None


def fill_labels(
    con: "Connection", folder: "Folder", paths: Sequence[Path], columns: dict[str, str], wish: Wishes, told: Told
) -> dict[str, Any]:
    """Aggregate labels of plain tables; returns the summary."""
    import numpy as np

    from curate.report_pages import aggregate_page
    from curate.tables import read_labels, read_tally

    with folder.lines("audit/rejected.jsonl") as rejected:
        table = read_labels(con, paths, rejected=rejected.add, **columns)
    labels = labels_of(con, table)
    found = judge_labels(labels, method=wish.method, smoothing=wish.smoothing, told=told)
    names = labels.values

    def rows() -> Iterator[dict[str, Any]]:
        for i, unit in enumerate(labels.units):
            yield {
                "unit": unit,
                "label": names[found.label[i]],
                "probability": float(found.probability[i]),
                "majority": names[found.majority[i]],
                "share": float(found.share[i]),
                "even": bool(found.even[i]),
                "votes": float(found.votes[i]),
            }

    folder.write("data/labels.jsonl", rows())
    people = [
        person_row(name, found.people, i, {"confusion": confusion_rows(found.found, i, names)})
        for i, name in enumerate(labels.annotators)
    ]
    folder.write("data/annotators.jsonl", people)
    differ = int((found.label != found.majority).sum())
    summary = {
        "units": len(labels.units),
        "annotators": len(people),
        "votes": int(sum(t.rows for t in read_tally(con, table))),
        "rejected": int(sum(t.rejected for t in read_tally(con, table))),
        "repeated": labels.repeated,
        "method": wish.method,
        "iterations": found.found.iterations,
        "converged": found.found.converged,
        "even_majorities": int(found.even.sum()),
        "not_the_majority": differ,
    }
    order = found.probability.argsort(kind="stable")[:15].tolist()
    told_of = _outcome(
        ", ".join(path.name for path in paths),
        summary,
        ("units", "votes", "annotators", "rejected"),
        found.probability,
    )._replace(
        labels={names[i]: n for i, n in enumerate(np.bincount(found.label, minlength=len(names)).tolist()) if n},
        unsure=[(labels.units[i], names[found.label[i]], float(found.probability[i])) for i in order],
    )
    folder.write_text("report.html", aggregate_page(told_of, people, []))
    return {**summary, "least_reliable": _least(people)}


def _outcome(
    name: str, summary: dict[str, Any], counted: Sequence[str], probability: "NDArray[np.float64]"
) -> "Outcome":
    """What the report says, out of the summary and the probability of what was chosen."""
    import numpy as np

    from curate.report_pages import BINS, Outcome

    places = np.minimum(BINS - 1, (probability * BINS).astype(np.int64))
    return Outcome(
        name,
        {key: summary[key] for key in counted if summary.get(key)},
        summary["method"],
        summary["iterations"],
        summary["converged"],
        summary["not_the_majority"],
        summary["even_majorities"],
        np.bincount(places, minlength=BINS).tolist(),
    )


def fill_comparisons(
    con: "Connection", folder: "Folder", paths: Sequence[Path], columns: dict[str, str], wish: Wishes, told: Told
) -> dict[str, Any]:
    """Aggregate comparisons of plain tables; returns the summary."""
    from curate.tables import read_comparisons, read_tally

    with folder.lines("audit/rejected.jsonl") as rejected:
        table = read_comparisons(con, paths, rejected=rejected.add, **columns)
    pairs, votes, names = comparison_votes(con, table)
    found = judge_pairs(
        votes, len(pairs.first), model=_coins(wish), prior=wish.prior, smoothing=wish.smoothing, told=told
    )
    standings = stand(
        items_of(con, table, names_of(con, f"{table}_items")), prior=wish.prior, rounds=wish.rounds, seed=wish.seed
    )
    scores = {row["item"]: row["strength"] for row in standings.rows}
    folder.write("data/pairs.jsonl", _pair_rows(pairs, found, scores, wish.method, plain=True))
    people = people_rows(found, names, [])
    folder.write("data/annotators.jsonl", people)
    if standings.rows:
        folder.write("data/standings.jsonl", standings.rows)
    tallies = read_tally(con, table)
    summary = {
        "comparisons": int(sum(t.rows for t in tallies)),
        "rejected": int(sum(t.rejected for t in tallies)),
        "items": len(set(pairs.first) | set(pairs.second)),
        "pairs": len(pairs.first),
        "annotators": len(people),
    }
    name = ", ".join(path.name for path in paths)
    return _finish(folder, name, summary, found, people, standings, wish)


def fill_project(con: "Connection", folder: "Folder", project: str, wish: Wishes, told: Told) -> dict[str, Any]:
    """Aggregate a project's judgments, out of the views of a snapshot; returns the summary.

    Raises:
        NotEnough: no judgment compares two responses.
    """
    compare(con, project, wish.kinds, wish.criterion)
    pairs, votes = pair_votes(con)
    if not pairs.first:
        row = con.execute("SELECT count(*) FROM ratings JOIN used USING (judgment)").fetchone()
        hint = (
            "; ratings compare by a criterion, --criterion names one" if row and row[0] and not wish.criterion else ""
        )
        raise NotEnough(f"'{project}' has no judgment that compares two responses{hint}; nothing was written")
    found = judge_pairs(
        votes, len(pairs.first), model=_coins(wish), prior=wish.prior, smoothing=wish.smoothing, told=told
    )
    choices = choices_of(con)
    worths = _worths(choices, wish.prior)
    scores, responses = _responses(con, choices, worths)
    ids, kinds = voters(con)
    duels = models_of(con, pairs, votes)
    standings = (
        Standings([], ["no two models meet in a comparison"], None, None, None, None)
        if duels is None
        else stand(duels, prior=wish.prior, rounds=wish.rounds, seed=wish.seed)
    )
    folder.write("data/pairs.jsonl", _pair_rows(pairs, found, scores, wish.method, plain=False))
    folder.write("data/responses.jsonl", responses)
    people = people_rows(found, ids, kinds)
    folder.write("data/annotators.jsonl", people)
    if standings.rows:
        folder.write("data/standings.jsonl", standings.rows)
    row = con.execute("SELECT count(DISTINCT number) FROM compared").fetchone()
    assert row is not None
    summary = {
        "project": project,
        "tasks": len(choices.tasks),
        "judgments": int(row[0]),
        "pairs": len(pairs.first),
        "annotators": len(people),
        "tie_parameters": {str(size): round(value, 4) for size, value in worths.ties.items()},
    }
    return _finish(folder, project, summary, found, people, standings, wish)


def _coins(wish: Wishes) -> Any:
    return "one-coin" if wish.method == "one-coin" else "full"


def _worths(choices: Choices, prior: float) -> "Worths":
    from data.rankings import plackett_luce

    return plackett_luce(choices.sizes, choices.task, choices.available, choices.chosen, choices.weight, prior=prior)


def _responses(con: "Connection", choices: Choices, worths: "Worths") -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Scores by response id, and the rows of data/responses.jsonl."""
    placed = con.execute(
        "SELECT r.task, r.response, r.model FROM responses r JOIN played p ON p.task = r.task ORDER BY p.id, r.place"
    ).fetchall()
    scores, rows = {}, []
    for (task, response, model), score, error in zip(
        placed, worths.strength.tolist(), worths.error.tolist(), strict=True
    ):
        scores[f"{task} {response}"] = score
        rows.append({"task_id": task, "response_id": response, "model": model, "score": score, "error": error})
    return scores, rows


def _pair_rows(
    pairs: Pairs, found: Verdicts, scores: dict[str, float], method: str, *, plain: bool
) -> Iterator[dict[str, Any]]:
    """Each pair with the better one first; a pair at one half keeps its order and says so."""
    from math import exp

    lists = [x.tolist() for x in (found.majority, found.model, found.tie, found.votes, found.weight)]
    for task, a, b, majority, model, tie, votes, weight in zip(
        pairs.group, pairs.first, pairs.second, *lists, strict=True
    ):
        one, other = (scores.get(x if plain else f"{task} {x}") for x in (a, b))
        margin = None if one is None or other is None else one - other
        luce = None if margin is None else 1 / (1 + exp(-margin))
        by = {"majority": majority, "dawid-skene": model, "one-coin": model}
        strength = "bradley_terry" if plain else "plackett_luce"
        p = by.get(method, luce if luce is not None else majority)
        turned = p < 0.5
        methods = {"majority": majority, "dawid_skene": model, strength: luce}
        if turned:
            methods = {name: None if q is None else 1 - q for name, q in methods.items()}
        names = ("item_chosen", "item_rejected") if plain else ("chosen_id", "rejected_id")
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


def _finish(
    folder: "Folder",
    name: str,
    summary: dict[str, Any],
    found: Verdicts,
    people: list[dict[str, Any]],
    standings: Standings,
    wish: Wishes,
) -> dict[str, Any]:
    """Write the report; returns the summary with what all ways of comparing share."""
    import numpy as np

    from curate.report_pages import aggregate_page

    split = int(((found.majority > 0.5) != (found.model > 0.5))[found.majority != 0.5].sum())
    undecided = int((found.majority == 0.5).sum())
    summary |= {
        "method": wish.method,
        "iterations": found.found.iterations,
        "converged": found.found.converged,
        "even_majorities": undecided,
        "not_the_majority": split,
        "least_reliable": _least(people),
        "leans_to_one_side": _leaning(people),
        "first_shown": _order(standings),
        "warnings": standings.warnings,
    }
    p = found.majority if wish.method == "majority" else found.model
    counted = ("comparisons", "tasks", "judgments", "items", "pairs", "annotators", "rejected")
    told = _outcome(name, summary, counted, np.maximum(p, 1 - p))
    noted = [*standings.warnings, *([summary["first_shown"]] if summary["first_shown"] else [])]
    folder.write_text("report.html", aggregate_page(told._replace(warnings=noted), people, standings.rows))
    return summary


def _least(people: list[dict[str, Any]], most: int = 3) -> list[str]:
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


def _leaning(people: list[dict[str, Any]], most: int = 3) -> list[str]:
    """The annotators who surely favour a side, in words."""
    found = [
        r for r in people if r["first_side"] is not None and not r["first_side_low"] <= 0.5 <= r["first_side_high"]
    ]
    found.sort(key=lambda r: (-abs(r["first_side"] - 0.5), r["annotator"]))
    return [f"{_name(r)} took the side shown first {r['first_side']:.0%} of the time" for r in found[:most]]


def _name(row: dict[str, Any]) -> str:
    from data.errors import one_line

    return one_line(str(row["annotator"]), 40) or "(no name)"


def _order(standings: Standings) -> str | None:
    if standings.order is None or standings.order_low is None or standings.order_high is None:
        return None
    return (
        f"being shown first adds {standings.order:+.3f} to the log-odds ({standings.order_low:+.3f} to"
        f" {standings.order_high:+.3f})"
    )
