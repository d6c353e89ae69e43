"""What an export says of itself: the card, the report to read first, and the command's last words."""

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.recipe import Recipe

if TYPE_CHECKING:
    from curate.evidence import Tally
    from curate.findings import Finding
    from curate.repeated import Repeated
    from curate.rows import Written
    from data.folder import Folder
    from data.parquet import Kind


class Looked(NamedTuple):
    """What was heard and measured before rows were decided on."""

    tally: "Tally"
    agreement: list[dict[str, Any]]
    annotators: list[dict[str, Any]]
    aggregate: dict[str, Any]
    """How the model of annotators differs from the majority; empty where nothing was compared."""


class Made(NamedTuple):
    """What an export came to."""

    looked: Looked
    written: "Written"
    findings: "list[Finding] | None"
    repeated: "Repeated"
    columns: "dict[str, Kind]"
    pairs: int
    """Before anything was decided over all of them."""


def tell(folder: "Folder", recipe: Recipe, made: Made, head: dict[str, Any], name: str) -> None:
    """Write the card, the report, and what a format wants beside its rows.

    Args:
        head: the newest event of the ledger when all was read.
        name: of the folder, for the command lines that the report shows.
    """
    from curate.card import Told, card
    from curate.layouts import dataset_info
    from curate.report import report
    from data.records import canonical

    written, counts = made.written, made.written.counts
    text = card(
        Told(
            str(recipe.project),
            recipe.format,
            written.rows,
            made.columns,
            _sorted(counts.sources),
            _sorted(counts.languages),
            _sorted(counts.licences),
            _by_kind(written.left_out),
            _sorted(made.looked.tally.unused),
            recipe.rules.method,
        )
    )
    folder.write_text("README.md", text)
    folder.write_text("report.html", report(_story(recipe, made, head, name)))
    if recipe.format == "llama-factory":
        folder.write_text("dataset_info.json", canonical(dataset_info(list(written.rows))).decode() + "\n")


def _story(recipe: Recipe, made: Made, head: dict[str, Any], name: str) -> Any:
    from curate.report import Nearest, Story

    looked, sides = made.looked, made.written.sides
    a, b = (str(one or "") for one in sides["between"])
    removed = Counter(one["reason"] for one in made.repeated.removed)
    compared = recipe.rules.dedup != "none"
    return Story(
        project=str(recipe.project),
        format=recipe.format,
        folder=name,
        head={"seq": head["seq"], "hash": head["hash"]},
        tasks=looked.tally.tasks,
        judged=looked.tally.judged,
        judgments=looked.tally.judgments,
        pairs=made.pairs,
        unused=_sorted(looked.tally.unused),
        left_out=_by_kind(made.written.left_out),
        months=_sorted(looked.tally.months),
        counts=made.written.counts,
        agreement=looked.agreement,
        threshold=recipe.checks.agreement,
        annotators=looked.annotators,
        aggregate={"method": recipe.rules.aggregate, **looked.aggregate} if looked.aggregate else {},
        removed=_sorted(removed),
        contradictions=len(made.repeated.contradictions) if compared else None,
        groups=sides["clusters"],
        largest_group=sides["largest"],
        nearest=Nearest(sides["greatest_similarity"], a, b, sides["looked_for_from"]),
        findings=made.findings,
        allowed=recipe.checks.allow,
        rules={**recipe.rules.model_dump(mode="json"), **recipe.checks.model_dump(mode="json")},
        method=recipe.rules.method,
    )


def _by_kind(left_out: dict[str, int]) -> dict[str, int]:
    """Reasons counted, those that name another row together."""
    counts: Counter[str] = Counter()
    for reason, n in left_out.items():
        counts[reason.split(" of ")[0] if " duplicate of " in reason else reason] += n
    return _sorted(counts)


def _sorted(counts: "Counter[str]") -> dict[str, int]:
    return dict(sorted(counts.items()))


def summary(recipe: Recipe, made: Made) -> dict[str, Any]:
    """What the command says at its end."""
    from curate.agreement_run import overview
    from curate.audited import told

    tally, written, sides = made.looked.tally, made.written, made.written.sides
    return {
        "project": recipe.project,
        "format": recipe.format,
        "pairs" if recipe.format not in ("trl-unpaired", "sft") else "rows": sum(written.rows.values()),
        **written.rows,
        "tasks": tally.tasks,
        "judgments": tally.judgments,
        "left_out": _by_kind(written.left_out),
        "judgments_unused": _sorted(tally.unused),
        "agreement": [f"{name}: {said}" for name, said in overview(made.looked.agreement, False)["verdicts"].items()],
        "contradictions": len(made.repeated.contradictions),
        "findings": told(made.findings or [], recipe.checks.allow),
        "clusters": sides["clusters"],
        "greatest_similarity_across_splits": sides["greatest_similarity"],
        "method": recipe.rules.method,
    }
