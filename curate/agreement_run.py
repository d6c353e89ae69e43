"""One run of curate.agreement: reads labels or a snapshot, measures, writes the folder, sums it up."""

import hashlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.agree import Question, agree
from curate.bare import bare_judgments, open_judgments
from curate.observed import (
    Repeats,
    Scale,
    observe_comparisons,
    observe_labels,
    observe_snapshot,
    settle_repeats,
)
from data.command import progress
from data.errors import BadInput
from data.manifest import MANIFEST

if TYPE_CHECKING:
    from curate.engine import Connection
    from data.agreement import Level
    from data.folder import Folder


class Wanted(NamedTuple):
    """What the command line asked for."""

    inputs: list[Path]
    url: str | None
    project: str | None
    out: Path | None
    workspace: Path
    level: "Level | None"
    values: list[str] | None
    columns: dict[str, str]
    threshold: float
    confidence: float
    replicates: int
    seed: int
    leave_out: bool
    check: bool
    threads: int | None
    memory_mb: int | None
    comparisons: bool = False
    """The plain tables hold comparisons of two items."""


def run(wanted: Wanted, *, replace: bool = False) -> dict[str, Any]:
    """Measure and write; returns the summary.

    Raises:
        BadInput, NotThere, NotEnough: what the inputs lack.
    """
    from curate.engine import engine
    from curate.rankings import rankings_agree
    from curate.report_pages import agreement_page
    from data.folder import write_folder

    question = _question(wanted)
    bare = bare_judgments(wanted.inputs)
    plain = bool(wanted.inputs) and bare is None and not _is_snapshot(wanted.inputs)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{time.time_ns() // 1000 % 1_000_000:06d}"
    out = wanted.out or wanted.workspace / "agreement" / stamp
    config = {**question._asdict(), "values": wanted.values, **({"columns": wanted.columns} if plain else {})}
    with write_folder(out, "agreement", config, replace=replace) as folder:
        with engine(wanted.threads, wanted.memory_mb) as con:
            scales, told = _read(con, wanted, folder, plain, bare)
            _check_level(scales, question.level)
            repeats = settle_repeats(con)
            _write_repeats(con, folder, repeats)
            groups = len(scales) * (1 if plain else 2)
            with progress("measuring agreement", total=groups) as step:
                if plain:
                    told |= _level_hint(scales[0], question)
                rows = agree(con, scales, question, plain, step)
                if any(scale.criterion == "ranking" for scale in scales):
                    rows += rankings_agree(con, question)
            folder.write("data/agreement.jsonl", rows)
            name = told.get("project") or ", ".join(path.name for path in wanted.inputs)
            folder.write_text("report.html", agreement_page(rows, name, wanted.threshold))
            checked = _check(con, scales, rows, question, folder) if wanted.check else None
        manifest = folder.seal()
    return {
        **told,
        **(
            {"repeated": f"{repeats.pairs:,} annotators judged a unit again, {repeats.left_out:,} left out"}
            if repeats.pairs
            else {}
        ),
        **overview(rows, plain),
        **({"checked": checked} if checked else {}),
        "intervals": f"{wanted.confidence:.0%}, jackknife; the rest and the bootstrap's in data/agreement.jsonl",
        "verdict": f"whether alpha reaches {wanted.threshold:g}",
        "rows": len(rows),
        "digest": manifest.digest,
        "wrote": str(out),
    }


def _question(wanted: Wanted) -> Question:
    if not -1 <= wanted.threshold <= 1:
        raise BadInput(f"--threshold: {wanted.threshold} is not within -1 to 1")
    if not 0 < wanted.confidence < 1:
        raise BadInput(f"--confidence: {wanted.confidence} is not within 0 to 1; write 0.95")
    if not 0 <= wanted.replicates <= 1_000_000:
        raise BadInput(f"--replicates: {wanted.replicates} is not within 0 to 1,000,000")
    if not 0 <= wanted.seed < 2**63:
        raise BadInput(f"--seed: {wanted.seed} is not within 0 to 2^63 - 1")
    rest = (wanted.confidence, wanted.replicates, wanted.seed, wanted.leave_out)
    return Question(wanted.level, wanted.threshold, *rest)


def _is_snapshot(inputs: list[Path]) -> bool:
    if any(path.is_dir() for path in inputs):
        if len(inputs) > 1:
            raise BadInput("give plain tables, or one snapshot's folder")
        return (inputs[0] / MANIFEST).is_file() or not any(inputs[0].iterdir())
    return False


def _read(
    con: "Connection", wanted: Wanted, folder: "Folder", plain: bool, bare: Path | None
) -> tuple[list[Scale], dict[str, Any]]:
    """Make observed of whatever was named; the scales, and what to tell of the reading."""
    if bare is None:
        return _plain(con, wanted, folder) if plain else _snapshot(con, wanted, folder)
    if wanted.values is not None:
        raise BadInput("--values orders a plain table's values; the scales of judgments have their own order")
    with folder.lines("audit/rejected.jsonl") as rejected:
        refused: list[dict[str, Any]] = []
        project = open_judgments(con, bare, refused.append)
        for row in refused:
            rejected.add(row)
    with bare.open("rb") as file:
        folder.inputs[bare.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return observe_snapshot(con, project), {"judgments": str(bare), **({"rejected": len(refused)} if refused else {})}


def _plain(con: "Connection", wanted: Wanted, folder: "Folder") -> tuple[list[Scale], dict[str, Any]]:
    from curate.tables import read_comparisons, read_labels, read_tally

    read = read_comparisons if wanted.comparisons else read_labels
    with folder.lines("audit/rejected.jsonl") as rejected:
        labels = read(con, wanted.inputs, **wanted.columns, rejected=rejected.add)
    for path in wanted.inputs:
        with path.open("rb") as file:
            folder.inputs[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    tally = read_tally(con, labels)
    told: dict[str, Any] = {"comparisons" if wanted.comparisons else "labels": sum(one.rows for one in tally)}
    for name in ("missing", "rejected"):
        count = sum(getattr(one, name) for one in tally)
        told.update({name: count} if count else {})
    if wanted.comparisons and wanted.values is not None:
        raise BadInput("--values orders the values of labels; of two items one wins, the other, or neither")
    return observe_comparisons(con, labels) if wanted.comparisons else observe_labels(con, labels, wanted.values), told


def _snapshot(con: "Connection", wanted: Wanted, folder: "Folder") -> tuple[list[Scale], dict[str, Any]]:
    from curate.frozen import choose_project, freeze, open_snapshot
    from data.folder import write_folder

    if wanted.values is not None:
        raise BadInput("--values orders a plain table's values; a project's scales have their own order")
    if wanted.url is None:
        heads = open_snapshot(con, wanted.inputs[0])
        project = choose_project(con, wanted.project)
        scales = observe_snapshot(con, project)
    else:
        with tempfile.TemporaryDirectory(prefix="concord-") as kept:
            with write_folder(Path(kept) / "snapshot", "snapshot", {}) as frozen:
                freeze(con, wanted.url, frozen)
            heads = open_snapshot(con, Path(kept) / "snapshot")
            project = choose_project(con, wanted.project)
            for name in ("responses",):  # read again after the folder is gone
                con.execute(f"CREATE TEMP TABLE _{name} AS SELECT * FROM {name}")
            scales = observe_snapshot(con, project)
        con.execute("DROP VIEW responses; ALTER TABLE _responses RENAME TO responses")
    folder.inputs["ledger"] = {project: heads[project]}
    return scales, {"project": project}


def _check_level(scales: list[Scale], level: "Level | None") -> None:
    """Whether the level suits the values."""
    from data.coincidence import MAX_VALUES

    for scale in scales:
        if level in ("interval", "ratio") and scale.numbers is None and scale.criterion not in ("choice", "ranking"):
            odd = next((name for name in scale.names if not _is_number(name)), scale.names[0])
            raise BadInput(f"--level {level} needs numbers; '{odd}' is a value of {scale.criterion}")
        if level == "ratio" and scale.numbers and min(scale.numbers) < 0:
            raise BadInput(f"--level ratio has no meaning below 0, and {min(scale.numbers):g} is a value; use interval")
        natural = level or ("ordinal" if scale.ordered else "nominal")
        if len(scale.names) > MAX_VALUES and natural in ("ordinal", "ratio"):
            raise BadInput(
                f"{scale.criterion} has {len(scale.names):,} values; the {natural} level takes at most {MAX_VALUES}:"
                " use --level interval or nominal, or put them in classes"
            )


def _level_hint(scale: Scale, question: Question) -> dict[str, str]:
    """What to ask where numbers are taken as names, which nobody asked for."""
    if question.level is not None or scale.ordered or scale.numbers is None or len(scale.names) < 3:
        return {}
    apt = "interval" if len(scale.names) > 12 else "ordinal"
    return {
        "level": f"nominal: the {len(scale.names)} numbers count as names; --level {apt} counts near as nearly right"
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write_repeats(con: "Connection", folder: "Folder", repeats: Repeats) -> None:
    """audit/repeats.jsonl: who judged a unit again, and what was made of it."""
    if not repeats.pairs:
        return
    rows = con.execute(
        "SELECT coalesce(u.name, r.unit::VARCHAR), a.name, r.judgments, r.value IS NOT NULL FROM repeats r"
        " JOIN observed_annotators a ON a.id = r.annotator LEFT JOIN observed_units u ON u.id = r.unit ORDER BY 1, 2"
    ).fetchall()
    names = ("unit", "annotator", "judgments", "counted_once")
    folder.write("audit/repeats.jsonl", (dict(zip(names, row, strict=True)) for row in rows))


def _check(
    con: "Connection", scales: list[Scale], rows: list[dict[str, Any]], question: Question, folder: "Folder"
) -> str:
    from curate.reference_alpha import compare

    found = compare(con, scales, rows, question)
    folder.write("audit/krippendorff.jsonl", found)
    if any(one["same"] is False for one in found):
        return "differs"
    large = sum(one["same"] is None for one in found)
    return f"{len(found) - large} alphas equal to the krippendorff package's" + (
        f", {large} too large" if large else ""
    )


def overview(rows: list[dict[str, Any]], plain: bool) -> dict[str, Any]:
    """The overall measures as a reader wants them: one line each, and the verdicts by criterion and group."""
    lines: dict[str, Any] = {}
    verdicts: dict[str, str] = {}
    alphas: dict[str, float | None] = {}
    for row in rows:
        if row["slice"] != "all" or row["left_out"] is not None:
            continue
        about = row["measure"] if plain else f"{row['criterion']}, {row['who']}: {row['measure']}"
        lines[about] = _line(row)
        if row["verdict"] is not None:
            name = row["criterion"] if plain else f"{row['criterion']}, {row['who']}"
            verdicts[name] = row["verdict"]
            alphas[name] = row["value"]
    return {**lines, **_extremes(rows), "alphas": alphas, "verdicts": verdicts}


MEANT = {
    "one value only": "one value only was given, so nothing tells agreement from chance",
    "no pairable unit": "no unit was judged by two annotators",
}


def _line(row: dict[str, Any]) -> str:
    """A measure in words: value, interval, verdict, what it stands on."""
    if row["value"] is None:
        return f"no answer: {MEANT.get(row['why'], row['why'])}"
    text = f"{row['value']:.4f}"
    if row["low"] is not None:
        text += f" [{row['low']:.4f}, {row['high']:.4f}]"
    stands = f"{row['ratings']:,} judgments of {row['units']:,} units"
    if row["resampled"] == "prompts":
        stands += f" in {row['blocks']:,} prompts"
    text += f"  {stands}"
    if row["too_few"]:
        text += f"; too few {row['resampled']} for the interval to be relied on"
    if row["verdict"] is not None:
        more = f", about {row['needed']:,} more {row['resampled']} needed" if row["needed"] else ""
        text += f"; {row['level']}, {row['verdict']}{more}"
    return text


def _extremes(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Whose absence raises alpha most, where there is such an annotator, by criterion and group."""
    found: dict[str, str] = {}
    whole = {
        (r["criterion"], r["who"]): r["value"]
        for r in rows
        if r["measure"] == "alpha" and r["slice"] == "all" and r["left_out"] is None
    }
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for row in rows:
        key = (row["criterion"], row["who"])
        if row["measure"] == "alpha" and row["left_out"] is not None and None not in (row["value"], whole.get(key)):
            gain = row["value"] - whole[key]
            best[key] = max(best.get(key, (0.0, "")), (gain, row["left_out"]))
    for (criterion, who), (gain, name) in best.items():
        if gain > 0:
            about = "without" if who == "all" else f"{criterion}, {who}: without"
            found[about] = f"{name}: alpha {whole[criterion, who] + gain:.4f} ({gain:+.4f})"
    return found
