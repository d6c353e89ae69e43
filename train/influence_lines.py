"""What influence found as lines of its files, as the summary, and as the command to type next."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.influence_found import Found, Group
from train.vote_directions import KINDS, Kind

if TYPE_CHECKING:
    from train.left_out import Retrained

_PLURALS: dict[Kind, str] = {"annotator": "annotators", "batch": "batches", "guideline": "guideline_versions"}


def group_line(group: Group) -> dict[str, Any]:
    """A line of data/influence.jsonl."""
    one = group.effect
    return {
        "kind": group.kind,
        "id": group.name,
        "votes": one.votes,
        "clusters": one.clusters,
        "influence": _digits(one.influence),
        "low": _digits(one.low),
        "high": _digits(one.high),
        "per_vote": _digits(one.per_vote),
        "verdict": one.verdict,
    }


def _digits(value: float) -> float:
    """Eight significant digits: the same on every machine that adds alike."""
    return float(f"{value:.8g}")


def retrained_lines(one: "Retrained") -> list[dict[str, Any]]:
    """The lines of data/retrained.jsonl, one a split."""
    return [
        {
            "without": one.names,
            "split": split,
            "accuracy": round(one.with_them[split], 6),
            "difference": None if found.value is None else round(found.value, 6),
            "low": None if found.low is None else round(found.low, 6),
            "high": None if found.high is None else round(found.high, 6),
            "n": found.n,
            "clusters": found.clusters,
            "rows": one.rows,
            "turned": one.turned,
            "dropped": one.dropped,
        }
        for split, found in one.difference.items()
    ]


def next_step(found: Found, project: str, export: str) -> str:
    """The line to type next; empty where nothing hurts."""
    if not found.hurting:
        return ""
    named = project or "PROJECT"
    return f"python -m curate.export --project {named} --out {export}-weighed --aggregate dawid-skene"


def summary_of(found: Found, digest: str, out: Path, then: str) -> dict[str, Any]:
    """What the command prints."""
    told: dict[str, Any] = {"rows": found.rows, "held_out_rows": found.held, "clusters": found.clusters}
    for kind in KINDS:
        of_kind = [one for one in found.groups if one.kind == kind]
        if of_kind:
            counts = {v: sum(one.effect.verdict == v for one in of_kind) for v in ("helps", "hurts", "no signal")}
            told[_PLURALS[kind]] = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    told["hurting"] = [g.name for g in found.groups if g.kind == "annotator" and g.effect.verdict == "hurts"] or None
    if found.retrained:
        for line in retrained_lines(found.retrained):
            told[f"{line['split']}_accuracy_without_{len(line['without'])}"] = (
                f"{line['difference']:+.4f} ({line['low']} to {line['high']})"
            )
    return told | {"next": then or None, "digest": digest, "wrote": str(out)}
