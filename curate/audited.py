"""The audit of an export's rows before they are written: what is found, which rows go because of it, what blocks.

    audit/findings.jsonl     every finding, with its level, its figures and some cases
    audit/cases.jsonl        every case of every finding
    audit/dropped.jsonl      rows left out because of a finding, and which (`drop` names them)

A finding of level block stops the export unless it is allowed by name, or its rows are left out. What
stopped it lies in a folder beside, OUT.refused.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.decisions import Clusters, assign
from curate.recipe import Recipe
from curate.rules import Rules
from data.errors import CheckFailed
from data.jsonl import parse, read_lines

if TYPE_CHECKING:
    from curate.contamination import Index
    from curate.findings import Finding, Found
    from curate.material import Ballot, Material, Pair
    from curate.rows import Waiting
    from data.folder import Folder

DROPPED = "audit/dropped.jsonl"


class Judged(NamedTuple):
    """What an audit makes of the judgments, for which it needs no row."""

    found: "list[Found]"
    judgments: int
    several: "list[Ballot]"
    """Those that might go round (curate/cycles.py), with the rows or without."""


class Audited(NamedTuple):
    """What an audit of rows came to."""

    findings: "list[Finding] | None"
    """None where nothing was audited."""
    left_out: dict[str, str]
    """Rows that go because of a finding, and the reason."""


def audit_judgments(folder: Path, limits: Mapping[str, Any], prompts: Mapping[str, str]) -> Judged:
    """Audit the judgments of an export's folder.

    Args:
        prompts: the prompt of each task that was judged.
    """
    from curate.auditing import OF_JUDGMENTS, Limits, findings
    from curate.cycles import of_more_tasks
    from curate.material import material

    looked_at = material((), _ballots(folder, prompts))
    several = of_more_tasks(looked_at.ballots)
    return Judged(
        findings(looked_at, Limits(**limits), among=OF_JUDGMENTS),
        len(looked_at.ballots),
        [ballot for ballot in looked_at.ballots if ballot.prompt_id in several],
    )


def read_pairs(waiting: "Waiting", clusters: Clusters, recipe: Recipe) -> "list[Pair]":
    """The rows as an audit looks at them; none where nothing is audited."""
    return list(_pairs(waiting, clusters, recipe.rules)) if recipe.checks.audit else []


def audit(
    folder: "Folder",
    pairs: "list[Pair]",
    judged: Judged | None,
    recipe: Recipe,
    gone: Collection[str],
    out: Path,
    threads: int,
) -> Audited:
    """Audit the rows that are still there.

    Args:
        pairs: what `read_pairs` gave.
        judged: what `audit_judgments` gave; None where nothing is audited.
        gone: rows that go already.
        out: where the export shall lie; what is refused lies beside it.

    Raises:
        CheckFailed: a finding blocks.
    """
    if judged is None:
        return Audited(None, {})
    from curate.auditing import OF_JUDGMENTS, Limits, findings, in_order, rows_named
    from curate.findings import FILE, NAMES, blocking
    from curate.material import material

    looked_at = material((pair for pair in pairs if pair.id not in gone), judged.several)
    index = _evaluation(folder, recipe)
    others = [name for name in NAMES if name not in OF_JUDGMENTS]
    found = findings(looked_at, Limits(**recipe.checks.limits), index, threads=threads, among=others)
    found = in_order([*judged.found, *found])
    folder.write(FILE, (one.finding for one in found))
    folder.write("audit/cases.jsonl", ({"finding": one.finding.name, **c.plain()} for one in found for c in one.cases))
    stops = blocking([one.finding for one in found], [*recipe.checks.allow, *recipe.rules.drop])
    if stops:
        _refuse(out, recipe, found, looked_at, judged.judgments)
        names = " ".join(dict.fromkeys(one.name for one in stops))
        raise CheckFailed(
            f"{names.replace(' ', ', ')} block, and nothing was written; {out.name}.refused/report.html shows each:"
            f" mend them, leave their rows out with --drop {names}, or go on with --allow {names}"
        )
    left_out = _dropped(rows_named(found, looked_at), recipe.rules)
    folder.write(DROPPED, ({"id": id_, "reason": left_out[id_]} for id_ in sorted(left_out)))
    return Audited([one.finding for one in found], left_out)


def _dropped(named: Mapping[str, Collection[str]], rules: Rules) -> dict[str, str]:
    """The rows that findings name, each with the first finding of the rules that names it."""
    return {id_: f"dropped: {name}" for name in reversed(rules.drop) for id_ in named.get(name, ())}


def dropped_again(
    folder: Path,
    config: Mapping[str, Any],
    rules: Rules,
    waiting: "Waiting",
    clusters: Clusters,
    gone: Collection[str],
    told: Mapping[str, str],
) -> list[str]:
    """What does not fit in a folder's list of rows left out because of findings, when they are looked for again.

    Contamination is taken as told: the evaluation files do not lie in the folder.

    Args:
        config: the manifest's.
        told: the folder's list, id to reason.
    """
    from curate.auditing import Limits, findings, rows_named
    from curate.material import material

    only = tuple(name for name in rules.drop if name != "contamination")
    checks = config.get("checks")
    limits = checks.get("limits", {}) if isinstance(checks, dict) else {}
    there = (pair for pair in _pairs(waiting, clusters, rules) if pair.id not in gone)
    prompts = {line.value["id"]: line.value["prompt"]["id"] for line in read_lines(folder / "audit/tasks.jsonl")}
    looked_at = material(there, _ballots(folder, prompts))
    found = findings(looked_at, Limits(**limits, only=only)) if only else []
    made = _dropped(rows_named(found, looked_at), rules)
    known = {brief.id for brief in waiting.briefs}.difference(gone)
    taken = {id_ for id_, why in told.items() if why == "dropped: contamination" and "contamination" in rules.drop}
    faults = [f"{DROPPED}: row {id_} is none that could be dropped" for id_ in sorted(told.keys() - known)]
    wrong = [id_ for id_ in made.keys() | told.keys() if told.get(id_) != made.get(id_) and id_ not in taken]
    return faults + [f"{DROPPED}: row {id_} is not what the findings name" for id_ in sorted(wrong)]


def _pairs(waiting: "Waiting", clusters: Clusters, rules: Rules) -> "Iterator[Pair]":
    from curate.material import pair_of

    known: dict[str, str] = {}
    for found in waiting.read():
        for pair in found.pairs:
            yield pair_of(assign(pair, clusters, rules, known))


def _ballots(folder: Path, prompts: Mapping[str, str]) -> "Iterator[Ballot]":
    """The judgments that count, as the audit looks at them."""
    from curate.material import ballot_of

    path = folder / "audit/judgments.jsonl"
    if path.is_file():
        with path.open("rb") as lines:
            for line in lines:  # written, or proved, a moment ago
                judgment = parse(line)[0]
                ballot = ballot_of(judgment, prompts[judgment["task_id"]])
                if ballot is not None:
                    yield ballot


def _evaluation(folder: "Folder", recipe: Recipe) -> "Index | None":
    """The index of the evaluation files; the manifest keeps their hashes."""
    import hashlib

    from curate.evaluation import read_evaluation

    if not recipe.checks.evaluation:
        return None
    paths = [Path(name) for name in recipe.checks.evaluation]
    index = read_evaluation(paths)
    told = {}
    for path in paths:
        with path.open("rb") as file:
            told[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    folder.inputs["evaluation"] = told
    return index


REFUSED = "refused export"


def refused_beside(out: Path) -> Path:
    """Where what stopped an export lies."""
    return out.with_name(f"{out.name}.refused")


def take_away_refused(out: Path) -> None:
    """Take away what stopped a former try, once an export is whole; only where it is a folder of ours."""
    from data.errors import ConcordError
    from data.folder import take_away
    from data.manifest import read_manifest

    beside = refused_beside(out)
    with suppress(ConcordError):
        if beside.is_dir() and read_manifest(beside).what == REFUSED:
            take_away(beside)


def _refuse(out: Path, recipe: Recipe, found: "list[Found]", looked_at: "Material", judgments: int) -> None:
    """Write what stopped an export into a folder beside it."""
    from curate.findings import FILE
    from curate.report_pages import audit_page
    from data.folder import write_folder

    counts = {
        "rows": len(looked_at.pairs),
        "judgments": judgments,
        "texts": len(looked_at.passages),
    }
    config = {"format": recipe.format, "checks": recipe.checks.model_dump(mode="json")}
    with write_folder(refused_beside(out), REFUSED, config, replace=True) as folder:
        folder.write(FILE, (one.finding for one in found))
        cases = ({"finding": one.finding.name, **c.plain()} for one in found for c in one.cases)
        folder.write("audit/cases.jsonl", cases)
        page = audit_page([one.finding for one in found], counts, out.name, recipe.checks.allow)
        folder.write_text("report.html", page)


def told(findings: "list[Finding]", allowed: Collection[str]) -> list[str]:
    """The findings in a line each, for the summary; one name may come twice, as style_bias for lists and for bold."""
    return [
        f"{one.level}{' (allowed)' if one.level == 'block' and one.name in allowed else ''} {one.name}: {one.says}"
        for one in findings
        if one.level != "info"
    ]
