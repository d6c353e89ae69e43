"""What train.preflight does: look at every split of an export, write a row for each, count what would be lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.command import progress
from data.folder import write_folder
from train.exports import Export
from train.looking import Limits, Looked, preflight, totals
from train.tokens import check_template, template_hash


def default_place(workspace: Path, export: Path) -> Path:
    """WORKSPACE/preflight/NAME, for an export of this name."""
    return workspace / "preflight" / export.resolve().name


def look_and_write(
    export: Export, tokenizer: Any, model: str, limits: Limits, allow: float, out: Path, *, replace: bool
) -> tuple[dict[str, Any], bool]:
    """Look at all rows and write them.

    Args:
        model: as it was named, for messages and for the manifest.
        allow: the share of rows, in [0, 1], that may be lost.

    Returns:
        The summary, and whether no more is lost than may be.
    """
    check_template(tokenizer, model)
    template = template_hash(tokenizer)
    config = {"export": export.digest, **limits._asdict(), "template": template, "vocabulary": len(tokenizer)}
    groups: dict[str, list[Any]] = {**export.pairs, **export.answers}
    looked: list[Looked] = []
    with (
        write_folder(out, "preflight", config, replace=replace) as folder,
        progress("looking at rows", total=sum(map(len, groups.values()))) as step,
    ):
        folder.inputs.update({"export": str(export.folder.name), "model": Path(model).name})
        for split, rows in groups.items():
            found = preflight(rows, tokenizer, limits)
            step(len(rows))
            folder.write(f"data/{split}.jsonl", (one._asdict() for one in found))
            looked += found
        counts = totals(looked)
        folder.write("audit/lost.jsonl", (one._asdict() for one in looked if one.lost))
        folder.write("audit/totals.jsonl", [counts])
    enough = counts["lost_share"] <= allow
    summary = {
        "task": limits.task,
        "length": limits.length,
        **counts,
        "lost_share": round(counts["lost_share"], 6),
        "allowed": allow,
        "template": template[:16],
        "verdict": _verdict(looked) if enough else _remedy(looked, limits),
        "wrote": str(out),
    }
    return summary, enough


def _remedy(looked: list[Looked], limits: Limits) -> str:
    """What is wrong, and what would mend it."""
    lost = [one for one in looked if one.lost]
    need = max(one.prompt_tokens + max(one.chosen_tokens, one.rejected_tokens) for one in lost)
    first = lost[0]
    told = f"{len(lost)} of {len(looked)} rows would be lost, first {first.id}: {first.why}"
    if limits.length is not None and need > limits.length:
        return f"{told}; --length {need} takes them all, --allow-loss {len(lost) / len(looked):.4f} lets them go"
    return f"{told}; see audit/lost.jsonl"


def _verdict(looked: Sequence[Looked]) -> str:
    lost = sum(one.lost for one in looked)
    return (
        f"{lost:,} rows are lost, as many as is allowed: see audit/lost.jsonl"
        if lost
        else "all of it can be trained on"
    )
