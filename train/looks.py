"""Which looks a run has had under a contract, and what the next may spend: WORKSPACE/gates/looks.jsonl.

Each look at new evidence is a line of a hash-chained log (train/chained.py), written before anybody is told the
outcome. The same evidence again is the same look and costs nothing. Every gate folder keeps the hash of its line, so
lines that were cut off are found too. How many looks are planned, and alpha, are fixed by the first.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from data.errors import BadInput, CheckFailed, ConcordError, Refused
from data.manifest import Manifest, read_manifest, verify_folder
from train.chained import Entry
from train.deciding import Evidence, Used, bounded
from train.spending import Looked, level, spends

LOOKS = "looks.jsonl"
PLANNED = 3
"""Looks planned where nobody says."""


class Look(NamedTuple):
    """One look at a run under a contract."""

    number: int
    """From 1; 0 where no clause has enough for a bound, so that nothing can be decided and nothing is spent."""
    planned: int
    alpha: float
    spend: float
    """Chance of a false pass spent by it; and by all so far."""
    spent: float
    levels: dict[str, float]
    """One-sided level of each clause's bound, by the clause's content."""
    entry: Entry | None
    """Its line, where this evidence was looked at before."""


class Record(NamedTuple):
    """A gate folder of the workspace."""

    folder: Path
    manifest: Manifest


def gate_records(gates: Path) -> list[Record]:
    """The gate folders below, by name; what is no gate folder is passed over."""
    found = []
    for place in sorted(gates.iterdir()) if gates.is_dir() else []:
        if place.name.startswith(".") or not (place / "manifest.json").is_file():
            continue
        try:
            manifest = read_manifest(place)
        except ConcordError:
            continue
        if manifest.what == "gate":
            found.append(Record(place, manifest))
    return found


def check_tail(entries: Sequence[Entry], records: Sequence[Record], path: Path) -> None:
    """That every gate folder's line is in the log.

    Raises:
        CheckFailed: one is not: the log was cut off, or begun anew.
    """
    there = {entry.hash for entry in entries}
    for record in records:
        if line_of(record.manifest) not in there:
            raise CheckFailed(
                f"{path}: the look that {record.folder.name} tells of is not in it; put the file back from a copy"
            )


def line_of(manifest: Manifest) -> str:
    """The hash of the line that a gate folder tells of; empty where it tells of none."""
    look = manifest.inputs.get("look")
    return str(look.get("hash", "")) if isinstance(look, dict) else ""


def next_look(
    entries: Sequence[Entry],
    records: Sequence[Record],
    evidence: Sequence[Evidence],
    of: Mapping[str, str],
    *,
    planned: int | None,
    alpha: float,
) -> Look:
    """The look that this evidence is: one had before, or the next.

    Args:
        of: {"run", "contract", "evidence"}: their digests.
        planned: looks to plan for; None takes what the first look said, else PLANNED.

    Raises:
        Refused: alpha or the planned looks are others than at the first look.
    """
    before = [e for e in entries if (e.body["run"], e.body["contract"]) == (of["run"], of["contract"])]
    if before:
        first = before[0].body
        if planned not in (None, first["planned"]):
            raise Refused(f"{first['planned']} looks were planned at the first look; that cannot change, leave it out")
        if alpha != first["alpha"]:
            raise Refused(f"alpha was {first['alpha']:g} at the first look; that cannot change")
    planned = before[0].body["planned"] if before else planned or PLANNED
    for entry in before:
        if entry.body["evidence"] == of["evidence"]:
            body = entry.body
            levels = {row["content"]: row["level"] for row in body["clauses"]}
            return Look(body["look"], planned, alpha, body["spend"], body["spent"], levels, entry)
    counted = [e for e in before if e.body["spend"] > 0]
    if not any(bounded(one) for one in evidence):
        return Look(0, planned, alpha, 0.0, _short(sum(e.body["spend"] for e in counted)), {}, None)
    number = len(counted) + 1
    spend = spends(number, planned, alpha)
    spent = sum(e.body["spend"] for e in before) + spend
    kept = _kept(before, records)
    levels = {one.clause.content: _level(one, before, kept, spend) for one in evidence if bounded(one)}
    return Look(number, planned, alpha, _short(spend), _short(spent), levels, None)


def look_body(look: Look, evidence: Sequence[Evidence], of: Mapping[str, str], outcome: str) -> dict[str, Any]:
    """The line of a new look."""
    clauses = [
        {
            "content": one.clause.content,
            "cases": len(one.used),
            "even": _short(one.seen.even) if one.seen else 0.0,
            "level": look.levels.get(one.clause.content, 0.0),
        }
        for one in evidence
    ]
    numbers = {"look": look.number, "planned": look.planned, "alpha": look.alpha}
    return {**of, **numbers, "spend": look.spend, "spent": look.spent, "clauses": clauses, "outcome": outcome}


def _level(one: Evidence, before: Sequence[Entry], kept: Mapping[str, Mapping[str, set[Used]]], spend: float) -> float:
    """The level of a clause's bound, its former looks counted as far as their cases are all among these."""
    assert one.seen is not None
    chain: list[Looked] = []
    information, cases, even = 1.0, float(len(one.used)), one.seen.even
    newer = set(one.used)
    for entry in reversed(before):
        row = next((row for row in entry.body["clauses"] if row["content"] == one.clause.content), None)
        if row is None or row["level"] <= 0:  # it could not pass then
            continue
        older = kept.get(entry.hash, {}).get(one.clause.content)
        if older is None or not older <= newer:
            break
        information *= min(1.0, row["cases"] / cases, row["even"] / even)
        chain.append(Looked(information, row["level"]))
        cases, even, newer = float(row["cases"]), row["even"], older
    return _short(level(chain[::-1], spend))


def _kept(before: Sequence[Entry], records: Sequence[Record]) -> dict[str, dict[str, set[Used]]]:
    """The cases of former looks, by line and clause, from the gate folders that are there and unchanged."""
    wanted = {entry.hash for entry in before}
    found: dict[str, dict[str, set[Used]]] = {}
    for record in records:
        line = line_of(record.manifest)
        if line in wanted and line not in found and not verify_folder(record.folder):
            found[line] = read_evidence(record.folder)
    return found


def read_evidence(folder: Path) -> dict[str, set[Used]]:
    """The cases that a gate folder decided on, by clause.

    Raises:
        BadInput: its rows cannot be read.
    """
    path = folder / "data" / "evidence.jsonl"
    found: dict[str, set[Used]] = {}
    if not path.exists():
        return found
    try:
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            found.setdefault(row["content"], set()).add(Used(row["id"], row["cluster"], row["value"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read: {type(error).__name__}") from None
    return found


def _short(value: float) -> float:
    return float(f"{value:.9g}")
