"""What a calibration's folder holds, and how it is filled.

    data/judges.jsonl    each judge: agreement with people, calibration, biases; all with intervals
    data/slices.jsonl    the same agreement by language, tag and kind of task
    report.html          what to read first

A judge with too few comparisons in common with people is named, not measured.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from curate.casting import ballots, cast_ballots
from curate.judges import Overlap, agreement, biases, calibration, overlap, part, sides
from curate.votes import PairVotes, comparison_votes, pair_votes
from data.errors import NotEnough, NotThere, nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.engine import Connection
    from curate.judges import Floats, Ints
    from data.folder import Folder


class Judged(NamedTuple):
    """Judges held against people; nothing of it is written yet."""

    rows: list[dict[str, Any]]
    slices: list[dict[str, Any]]
    short: dict[str, int]
    """Judges with too few comparisons in common with people, and how many they have."""
    least: int


class _Material(NamedTuple):
    """Votes, and who is a judge."""

    votes: PairVotes
    names: list[str]
    people: list[int]
    judges: list[int]
    task: "Ints"
    """Of each pair."""
    longer: "Floats"
    """Of each pair: characters of the first less those of the second; 0 where they are not known."""
    slices: list[list[str]]
    """Of each task."""


def judge_project(
    con: "Connection",
    project: str,
    judge: str | None = None,
    least: int = 50,
    criterion: str | None = None,
    *,
    cast: int | None = None,
) -> Judged:
    """The model judges of a project held against its people, out of the views of a snapshot; writes nothing.

    Args:
        judge: one judge's annotator id; None takes all.
        least: comparisons in common that a judge needs.
        cast: what curate.casting.cast_ballots returned, where it was called for this project and criterion.

    Raises:
        NotThere: no such judge. NotEnough: no judge has that much in common with people.
    """
    made = ballots(con, cast_ballots(con, project, criterion) if cast is None else cast, ("model", "person"))
    pairs, votes = pair_votes(made)
    names, kinds = made.annotators, made.kinds
    long = con.execute(
        "SELECT r.characters::DOUBLE AS n FROM responses r JOIN cast_tasks t USING (task)"
        " WHERE t.id IN (SELECT task FROM _used) ORDER BY t.id, r.response"
    ).fetchnumpy()["n"]
    rows = con.execute(
        "SELECT kind, language, tags FROM cast_tasks WHERE id IN (SELECT task FROM _used) ORDER BY id"
    ).fetchall()
    slices = [
        [f"kind: {kind}", *([f"language: {language}"] if language else []), *(f"tag: {tag}" for tag in tags)]
        for kind, language, tags in rows
    ]
    judges = [i for i, kind in enumerate(kinds) if kind == "model" and judge in (None, names[i])]
    if judge is not None and not judges:
        known = [name for name, kind in zip(names, kinds, strict=True) if kind == "model"]
        raise NotThere(f"--judge: no model '{one_line(judge, 80)}' compared anything{_known(judge, known)}")
    people = [i for i, kind in enumerate(kinds) if kind == "person"]
    longer = long[pairs.one] - long[pairs.two]
    return _held(_Material(votes, names, people, judges, pairs.task, longer, slices), least)


def fill_project(
    con: "Connection", folder: "Folder", project: str, judge: str | None, least: int, criterion: str | None
) -> dict[str, Any]:
    """Hold the model judges of a project against its people and write the folder; returns the summary."""
    found = judge_project(con, project, judge, least, criterion)
    return write_judged(folder, project, found) | {"project": project}


def fill_comparisons(
    con: "Connection",
    folder: "Folder",
    paths: "Sequence[Path]",
    columns: dict[str, str],
    judge: str,
    least: int,
) -> dict[str, Any]:
    """Hold one annotator of plain tables against all others and write the folder; returns the summary."""
    import numpy as np

    from curate.tables import read_comparisons

    with folder.lines("audit/rejected.jsonl") as rejected:
        table = read_comparisons(con, paths, rejected=rejected.add, **columns)
    pairs, votes, names = comparison_votes(con, table)
    place = _place(judge, names)
    people = [i for i in range(len(names)) if i != place]
    count = len(pairs.first)
    material = _Material(votes, names, people, [place], pairs.task, np.zeros(count), [[] for _ in range(count)])
    return write_judged(folder, _named(paths), _held(material, least))


def fill_labels(
    con: "Connection", folder: "Folder", paths: "Sequence[Path]", columns: dict[str, str], judge: str, least: int
) -> dict[str, Any]:
    """Hold one annotator of tables of labels against all others and write the folder; returns the summary."""
    from curate.judged_labels import judged_row, overlap_labels
    from curate.tables import read_labels
    from curate.votes import names_of

    with folder.lines("audit/rejected.jsonl") as rejected:
        table = read_labels(con, paths, rejected=rejected.add, **columns)
    place = _place(judge, names_of(con, f"{table}_annotators"))
    values = names_of(con, f"{table}_values")
    found = overlap_labels(con, table, place, len(values))
    if len(found.judge) < least:
        raise _too_few(least, {judge: len(found.judge)}, "units labelled")
    return write_judged(folder, _named(paths), Judged([{"judge": judge, **judged_row(found, values)}], [], {}, least))


def _place(judge: str, names: list[str]) -> int:
    if judge not in names:
        raise NotThere(f"--judge: no annotator is named '{one_line(judge, 80)}'{_known(judge, names)}")
    return names.index(judge)


def _named(paths: "Sequence[Path]") -> str:
    return ", ".join(path.name for path in paths)


def _known(word: str, known: list[str]) -> str:
    return nearest(word, known) or (
        f"; there are: {', '.join(map(one_line, known[:10]))}" if known else "; there are none"
    )


def _held(material: _Material, least: int) -> Judged:
    rows, sliced, short = [], [], {}
    for judge in material.judges:
        found = overlap(material.votes, material.task, material.longer, judge, material.people)
        name = material.names[judge]
        if len(found.pair) < least:
            short[name] = len(found.pair)
            continue
        told = sides(material.votes, judge)
        rows.append({"judge": name, **agreement(found), **calibration(found), **biases(found, told)})
        sliced += _slices(name, found, material.slices, least)
    if not rows:
        raise _too_few(least, short, "comparisons judged")
    return Judged(rows, sliced, short, least)


def _too_few(least: int, short: dict[str, int], what: str) -> NotEnough:
    why = ", ".join(f"{one_line(name, 40)} has {n:,}" for name, n in sorted(short.items())) or "no judge is a model"
    return NotEnough(
        f"not enough overlap: {least:,} {what} by people and by the judge are needed, {why};"
        " let people judge more of the same tasks, or lower --least"
    )


def write_judged(folder: "Folder", name: str, found: Judged) -> dict[str, Any]:
    """Write data/judges, data/slices and the report, which names the project or the files; returns the summary."""
    from curate.report_pages import judge_page

    folder.write("data/judges.jsonl", found.rows)
    if found.slices:
        folder.write("data/slices.jsonl", found.slices)
    folder.write_text("report.html", judge_page(found.rows, found.slices, found.short, found.least, name))
    counted = "units" if any("units" in row for row in found.rows) else "comparisons"
    return {
        "judges": len(found.rows),
        counted: {row["judge"]: row[counted] for row in found.rows},
        "findings": [line for row in found.rows for line in _lines(row)],
        "too_few": [f"{name}: {n} {counted} in common with people" for name, n in sorted(found.short.items())],
    }


def _slices(name: str, found: Overlap, slices: list[list[str]], least: int) -> list[dict[str, Any]]:
    import numpy as np

    of = [slices[g] for g in found.group.tolist()]
    rows: list[dict[str, Any]] = []
    for word in sorted({s for inside in of for s in inside}):
        mask = np.array([word in inside for inside in of])
        row: dict[str, Any] = {"judge": name, "slice": word, "comparisons": int(mask.sum())}
        if mask.sum() < least:
            rows.append(row | {"note": f"too few: at least {least} are needed"})
        else:
            some = part(found, mask)
            rows.append(row | agreement(some) | {"temperature": calibration(some)["temperature"]})
    return rows


def _lines(row: dict[str, Any]) -> list[str]:
    """A judge in words, a line each."""
    name = one_line(row["judge"], 40)
    over = (
        f"{row['units']:,} units" if "units" in row else f"{row['comparisons']:,} comparisons of {row['tasks']:,} tasks"
    )
    said = [
        f"{name}: alpha with people {_told(row['alpha'])}, kappa {_told(row['kappa'])}, agreement"
        f" {_told(row['agreement'])} over {over}"
    ]
    if row["people_alpha"]["value"] is not None:
        said.append(f"people among themselves: alpha {_told(row['people_alpha'])}")
    heat = row["temperature"]
    if heat["value"] is None:
        said.append(f"no temperature: {heat['why']}")
    else:
        sure = (
            "too sure"
            if heat["low"] > 1
            else "not sure enough"
            if (heat["high"] or 2) < 1
            else "about as sure as it may be"
        )
        said.append(f"temperature {_told(heat)}: {sure}")
    return said + (_values(row["values"]) if "values" in row else _leanings(row))


def _values(rows: list[dict[str, Any]]) -> list[str]:
    """Values the judge surely gives more or less often than people, the five furthest off."""
    far = [r for r in rows if r["more_than_people"]["low"] is not None]
    far = [r for r in far if not r["more_than_people"]["low"] <= 0 <= r["more_than_people"]["high"]]
    far.sort(key=lambda r: (-abs(r["more_than_people"]["value"]), r["value"]))
    return [f"gives {one_line(r['value'], 40)} {r['judge']:.1%} of the time, people {r['people']:.1%}" for r in far[:5]]


def _leanings(row: dict[str, Any]) -> list[str]:
    said = []
    first = row["first_side"]
    said.append(f"takes the side shown first {_told(first)} of the time")
    both = row["same_in_both_orders"]
    if both["value"] is not None:
        said.append(f"says the same in both orders {_told(both)} of the time")
    more = row["longer_wins"]["more_than_people"]
    if more["value"] is not None:
        said.append(
            f"prefers the longer response {_told(row['longer_wins']['judge'])}, more often than people by {_told(more)}"
        )
    return said


def _told(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return f"unknown ({found.get('why', 'too few')})"
    if found["low"] is None:
        return f"{found['value']:.3f} (no interval: {found.get('why', 'too few')})"
    high = "without end" if found["high"] is None else f"{found['high']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {high})"
