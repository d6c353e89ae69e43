"""What a lead's page shows of the table `measures`, which `python -m curate.live` keeps: agreement, people, models.

Nothing is computed here. A verdict and a reason become words of a few letters that the page has its own words for.
"""

import shlex
from typing import Any

from annotate.answers import iso
from annotate.projects import Project
from data.measures import KEPT_BY, Measure, read_measures
from data.store import Tx

VERDICTS = {"reached": "reached", "not reached": "missed", "not enough data": "open"}
REASONS = {"no pairable unit": "unpaired", "one value only": "one_value"}
OF_PEOPLE = ("reliability", "others", "position")


def measured(tx: Tx, project: Project, seq: int) -> dict[str, Any]:
    """The project's measures for the page.

    Args:
        seq: the ledger's newest event.

    Returns:
        as_of and slow_as_of (None before the first time), whether they are true at this moment (`current`), whether
        some process keeps them up to date (`kept`), the command that would, and agreement, people (by id),
        position, standings.
    """
    found = read_measures(tx, project.id)
    live = next((one.value for one in found if one.name == KEPT_BY), None)
    true_at = live["true_at"] if live else {}
    quick, slow = (true_at.get(name, (0, None)) for name in ("quick", "slow"))
    return {
        "as_of": iso(quick[1]) if quick[1] else None,
        "slow_as_of": iso(slow[1]) if slow[1] else None,
        "current": quick[0] >= seq,
        "slow_current": slow[0] >= seq,
        "kept": bool(live and live["by"] and live["until_ms"] > tx.now()),
        "command": f"python -m curate.live --project {shlex.quote(project.name)}",
        "judgments": live["judgments"] if live else None,
        "agreement": sorted(
            (_agreement(one) for one in found if one.name == "agreement"),
            key=lambda one: (one["criterion"], one["language"] or ""),
        ),
        "position": next((one.value for one in found if one.name == "position" and not one.scope), None),
        "people": _people(found),
        "standings": _standings(found),
    }


def _agreement(one: Measure) -> dict[str, Any]:
    value = one.value
    return {
        "criterion": one.scope["criterion"],
        "language": one.scope.get("language"),
        **{key: value.get(key) for key in ("value", "low", "high", "units", "ratings", "percent", "needed")},
        "resampled": value.get("resampled", "units"),
        "threshold": value.get("threshold"),
        "verdict": VERDICTS.get(value.get("verdict") or "", "none"),
        "why": REASONS.get(value.get("why") or "", "other") if value["value"] is None else None,
    }


def _people(found: list[Measure]) -> dict[str, dict[str, Any]]:
    people: dict[str, dict[str, Any]] = {}
    for one in found:
        if one.name in OF_PEOPLE and "annotator" in one.scope:
            people.setdefault(one.scope["annotator"], dict.fromkeys(OF_PEOPLE))[one.name] = one.value
    return people


def _standings(found: list[Measure]) -> list[dict[str, Any]]:
    """Models by strength, the strongest first."""
    rows = [{"model": m.scope["model"], **m.value} for m in found if m.name == "standings" and "model" in m.scope]
    return sorted(rows, key=lambda row: (-row["value"], row["model"]))


def of_person(everything: dict[str, Any], person: str) -> dict[str, Any]:
    """What `measured` says of one person, and when."""
    own = everything["people"].get(person, {})
    return {key: everything[key] for key in ("as_of", "current", "kept")} | {key: own.get(key) for key in OF_PEOPLE}
