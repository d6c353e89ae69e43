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

from curate.aggregate_rows import least_reliable, pair_rows, people_rows, response_rows
from curate.aggregate_summary import finish, outcome
from curate.casting import Ballots, ballots, cast_ballots
from curate.skill import Consensus, Verdicts, confusion_rows, judge_labels, judge_pairs, person_row
from curate.standings import Standings, items_of, models_of, stand
from curate.votes import (
    Choices,
    Labels,
    Pairs,
    PairVotes,
    choices_of,
    comparison_votes,
    labels_of,
    names_of,
    pair_votes,
)
from data.errors import NotEnough

if TYPE_CHECKING:
    from curate.engine import Connection
    from curate.skill import Floats
    from data.folder import Folder
    from data.rankings import Worths

Told = Callable[[int], None]


class Wishes(NamedTuple):
    """How to aggregate; the part of the configuration that decides the rows."""

    method: str = "dawid-skene"
    """What `label` and `probability` come from; the others stand beside it."""
    prior: float = 0.5
    """Votes added to each side; wins and losses against an item of strength 0."""
    smoothing: float = 1.0
    """Votes added to each cell of an annotator's confusion table."""
    replicates: int = 1000
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
    folder.write("data/labels.jsonl", _label_rows(labels, found))
    people = [
        person_row(name, found.people, i, {"confusion": confusion_rows(found.found, i, names)})
        for i, name in enumerate(labels.annotators)
    ]
    folder.write("data/annotators.jsonl", people)
    differ = int((found.label != found.majority).sum())
    warnings = _alone(found)
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
        **({"warnings": warnings} if warnings else {}),
    }
    order = found.probability.argsort(kind="stable")[:15].tolist()
    told_of = outcome(
        ", ".join(path.name for path in paths),
        summary,
        ("units", "votes", "annotators", "rejected"),
        found.probability,
    )._replace(
        labels={names[i]: n for i, n in enumerate(np.bincount(found.label, minlength=len(names)).tolist()) if n},
        unsure=[(labels.units[i], names[found.label[i]], float(found.probability[i])) for i in order],
        warnings=warnings,
    )
    folder.write_text("report.html", aggregate_page(told_of, people, []))
    return {**summary, "least_reliable": least_reliable(people)}


def _label_rows(labels: Labels, found: "Consensus") -> Iterator[dict[str, Any]]:
    """Each unit with its likeliest label, the majority's beside it."""
    names = labels.values
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


def _alone(found: "Consensus") -> list[str]:
    """What to say where no two annotators ever gave a unit the same label."""
    if (found.votes > 1 + 1e-9).any():
        same = (found.share * found.votes > 1 + 1e-9).any()
        return [] if same else ["no two annotators gave a unit the same label: labels are drawn from one vote each"]
    return ["no unit was labelled by two annotators: labels are as given, and nothing shows who is reliable"]


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
        items_of(con, table, names_of(con, f"{table}_items")),
        prior=wish.prior,
        replicates=wish.replicates,
        seed=wish.seed,
    )
    folder.write("data/pairs.jsonl", pair_rows(pairs, found, standings.strength, wish.method, plain=True))
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
    return finish(folder, name, summary, found, people, standings, wish.method)


class Aggregated(NamedTuple):
    """What the judgments of a project say together; nothing of it is written yet."""

    project: str
    cast: "Ballots"
    pairs: Pairs
    votes: PairVotes
    verdicts: Verdicts
    """Of each pair: the majority's and the model's probability that the first is better; of each annotator."""
    worths: "Worths"
    """Plackett-Luce log-strength of each of `cast.responses`, and its standard error."""
    probability: "Floats"
    """Of each pair, by the method wished for: that the first is better."""
    people: list[dict[str, Any]]
    """Rows of data/annotators.jsonl: reliability with its interval, lean to a side, confusion."""
    standings: Standings
    iterations: int
    converged: bool


def aggregate_project(
    con: "Connection", project: str, wish: Wishes, told: Told = lambda _n: None, *, cast: int | None = None
) -> Aggregated:
    """What a project's judgments say together, out of the views of a snapshot; writes nothing.

    Args:
        cast: what curate.casting.cast_ballots returned, where it was called for this project and criterion.

    Raises:
        NotEnough: no judgment compares two responses.
    """
    cast = cast_ballots(con, project, wish.criterion) if cast is None else cast
    made = ballots(con, cast, wish.kinds)
    pairs, votes = pair_votes(made)
    if not pairs.first:
        row = con.execute(
            "SELECT count(*) FROM ratings WHERE judgment IN (SELECT judgment FROM judgments WHERE project = ?)",
            [project],
        ).fetchone()
        hint = (
            "; ratings compare by a criterion, --criterion names one" if row and row[0] and not wish.criterion else ""
        )
        raise NotEnough(f"'{project}' has no judgment that compares two responses{hint}; nothing was written")
    found = judge_pairs(
        votes, len(pairs.first), model=_coins(wish), prior=wish.prior, smoothing=wish.smoothing, told=told
    )
    worths = _worths(choices_of(made), wish.prior)
    duels = models_of(made, pairs, votes) if wish.replicates else None
    standings = (
        Standings([], ["no two models meet in a comparison"] if wish.replicates else [], None, None, None, None)
        if duels is None
        else stand(duels, prior=wish.prior, replicates=wish.replicates, seed=wish.seed)
    )
    people = people_rows(found, made.annotators, made.kinds)
    likely = _likely(found, worths.strength[pairs.one] - worths.strength[pairs.two], wish.method)
    return Aggregated(
        project,
        made,
        pairs,
        votes,
        found,
        worths,
        likely,
        people,
        standings,
        found.found.iterations,
        found.found.converged,
    )


def fill_project(con: "Connection", folder: "Folder", project: str, wish: Wishes, told: Told) -> dict[str, Any]:
    """Aggregate a project's judgments and write the folder; returns the summary."""
    return write_project(folder, aggregate_project(con, project, wish, told), wish)


def write_project(folder: "Folder", found: Aggregated, wish: Wishes) -> dict[str, Any]:
    """Write data/pairs, responses, annotators and standings, and the report; returns the summary."""
    folder.write("data/pairs.jsonl", pair_rows(found.pairs, found.verdicts, found.worths.strength, wish.method))
    folder.write("data/responses.jsonl", response_rows(found.cast, found.worths))
    folder.write("data/annotators.jsonl", found.people)
    if found.standings.rows:
        folder.write("data/standings.jsonl", found.standings.rows)
    summary = {
        "project": found.project,
        "tasks": len(found.cast.tasks),
        "judgments": len(found.cast.task),
        "pairs": len(found.pairs.first),
        "annotators": len(found.people),
        "tie_parameters": {str(size): round(value, 4) for size, value in found.worths.ties.items()},
    }
    return finish(folder, found.project, summary, found.verdicts, found.people, found.standings, wish.method)


def _likely(found: Verdicts, margin: "Floats", method: str) -> "Floats":
    """Of each pair the probability that the first is better, by the method wished for."""
    import numpy as np

    if method == "majority":
        return found.majority
    return found.model if method in ("dawid-skene", "one-coin") else np.asarray(1 / (1 + np.exp(-margin)))


def _coins(wish: Wishes) -> Any:
    return "one-coin" if wish.method == "one-coin" else "full"


def _worths(choices: Choices, prior: float) -> "Worths":
    from data.rankings import plackett_luce

    return plackett_luce(choices.sizes, choices.task, choices.available, choices.chosen, choices.weight, prior=prior)
