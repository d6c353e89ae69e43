"""What a calibration's folder holds, and how it is filled.

    data/judges.jsonl    each judge: agreement with people, calibration, biases; all with intervals
    data/slices.jsonl    the same agreement by language, tag and kind of task
    report.md            what to read first

A judge with too few comparisons in common with people is named, not measured.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from curate.judges import Overlap, agreement, biases, calibration, overlap, part, sides
from curate.votes import Pairs, PairVotes, compare, comparison_votes, pair_votes, voters
from data.errors import NotEnough, NotThere, nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.engine import Connection
    from data.folder import Folder


class _Material(NamedTuple):
    """Votes, and who is a judge."""

    pairs: Pairs
    votes: PairVotes
    names: list[str]
    people: list[int]
    judges: list[int]
    lengths: dict[str, int]
    """Characters of each response, by task and response id; empty for plain tables."""
    slices: dict[str, list[str]]
    """Task id to the slices it lies in."""


def fill_project(
    con: "Connection", folder: "Folder", project: str, judge: str | None, least: int, criterion: str | None
) -> dict[str, Any]:
    """Hold the model judges of a project against its people; returns the summary."""
    compare(con, project, ("model", "person"), criterion)
    pairs, votes = pair_votes(con)
    names, kinds = voters(con)
    lengths = con.execute(
        "SELECT task || ' ' || response, length(text) FROM responses WHERE task IN (SELECT task FROM duels)"
    ).fetchall()
    rows = con.execute("SELECT task, kind, language, tags FROM tasks WHERE task IN (SELECT task FROM duels)").fetchall()
    slices = {
        task: [f"kind: {kind}", *([f"language: {language}"] if language else []), *(f"tag: {tag}" for tag in tags)]
        for task, kind, language, tags in rows
    }
    judges = [i for i, kind in enumerate(kinds) if kind == "model" and judge in (None, names[i])]
    if judge is not None and not judges:
        known = [name for name, kind in zip(names, kinds, strict=True) if kind == "model"]
        raise NotThere(f"--judge: no model '{one_line(judge, 80)}' compared anything{_known(judge, known)}")
    people = [i for i, kind in enumerate(kinds) if kind == "person"]
    material = _Material(pairs, votes, names, people, judges, dict(lengths), slices)
    return _fill(folder, f"The judges of {project}", material, least) | {"project": project}


def fill_comparisons(
    con: "Connection",
    folder: "Folder",
    paths: "Sequence[Path]",
    columns: dict[str, str],
    judge: str,
    least: int,
) -> dict[str, Any]:
    """Hold one annotator of plain tables against all others; returns the summary."""
    from curate.tables import read_comparisons

    with folder.lines("audit/rejected.jsonl") as rejected:
        table = read_comparisons(con, paths, rejected=rejected.add, **columns)
    pairs, votes, names = comparison_votes(con, table)
    if judge not in names:
        raise NotThere(f"--judge: no annotator is named '{one_line(judge, 80)}'{_known(judge, names)}")
    place = names.index(judge)
    pairs = pairs._replace(group=[f"{a}\0{b}" for a, b in zip(pairs.first, pairs.second, strict=True)])
    people = [i for i in range(len(names)) if i != place]
    return _fill(folder, "The judge", _Material(pairs, votes, names, people, [place], {}, {}), least)


def _known(word: str, known: list[str]) -> str:
    return nearest(word, known) or (
        f"; there are: {', '.join(map(one_line, known[:10]))}" if known else "; there are none"
    )


def _fill(folder: "Folder", title: str, material: _Material, least: int) -> dict[str, Any]:
    import numpy as np

    pairs = material.pairs
    number = {task: i for i, task in enumerate(sorted(set(pairs.group)))}
    tasks = sorted(number)
    group = np.array([number[task] for task in pairs.group], dtype=np.int64)
    longer = np.array(
        [
            material.lengths.get(f"{task} {a}", 0) - material.lengths.get(f"{task} {b}", 0)
            for task, a, b in zip(pairs.group, pairs.first, pairs.second, strict=True)
        ],
        dtype=np.float64,
    )
    rows, sliced, short = [], [], {}
    for judge in material.judges:
        found = overlap(material.votes, group, longer, judge, material.people)
        name = material.names[judge]
        if len(found.pair) < least:
            short[name] = len(found.pair)
            continue
        told = sides(material.votes, judge)
        rows.append({"judge": name, **agreement(found), **calibration(found), **biases(found, told)})
        sliced += _slices(name, found, tasks, material.slices, least)
    if not rows:
        why = ", ".join(f"{one_line(name, 40)} has {n:,}" for name, n in sorted(short.items())) or "no judge is a model"
        raise NotEnough(
            f"not enough overlap: {least:,} comparisons judged by people and by the judge are needed, {why};"
            " let people judge more of the same tasks, or lower --least"
        )
    folder.write("data/judges.jsonl", rows)
    if sliced:
        folder.write("data/slices.jsonl", sliced)
    folder.write_text("report.md", _report(title, rows, sliced, short, least))
    return {
        "judges": len(rows),
        "comparisons": {row["judge"]: row["comparisons"] for row in rows},
        "findings": [line for row in rows for line in _lines(row)],
        "too_few": [f"{name}: {n} comparisons in common with people" for name, n in sorted(short.items())],
    }


def _slices(
    name: str, found: Overlap, tasks: list[str], slices: dict[str, list[str]], least: int
) -> list[dict[str, Any]]:
    import numpy as np

    of = [slices.get(tasks[g], []) for g in found.group.tolist()]
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
    said = [
        f"{name}: alpha with people {_told(row['alpha'])}, kappa {_told(row['kappa'])}, agreement"
        f" {_told(row['agreement'])} over {row['comparisons']:,} comparisons of {row['tasks']:,} tasks"
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


def _report(
    title: str, rows: list[dict[str, Any]], sliced: list[dict[str, Any]], short: dict[str, int], least: int
) -> str:
    out = [f"# {title}", ""]
    for row in rows:
        out += [f"## {_cell(row['judge'])}", "", *(f"- {line}" for line in _lines(row)), ""]
        out += ["| the judge is sure to | people agree | from | to | comparisons |", "|---:|---:|---:|---:|---:|"]
        out += [
            f"| {b['confidence']:.3f} | {b['share']:.3f} | {b['low']:.3f} | {b['high']:.3f} | {b['n']:,} |"
            for b in row["curve"]
        ]
        mine = [s for s in sliced if s["judge"] == row["judge"]]
        if mine:
            out += ["", "| slice | comparisons | alpha | agreement |", "|---|---:|---:|---:|"]
        for s in mine:
            cells = ("too few", "") if "note" in s else (_told(s["alpha"]), _told(s["agreement"]))
            out.append(f"| {_cell(s['slice'])} | {s['comparisons']:,} | {cells[0]} | {cells[1]} |")
        out.append("")
    out += [
        f"- {_cell(name)}: {n:,} comparisons in common with people, fewer than {least:,}" for name, n in short.items()
    ]
    return "\n".join(out).rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return one_line(text, 60).replace("|", "\\|")
