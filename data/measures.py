"""The table `measures`: what was computed from a project's judgments, kept for pages to show.

    agreement    {"criterion": …} or {"criterion": …, "language": …}: alpha among people, interval, verdict
    position     {} or {"annotator": …}: share that went to what was shown earlier
    others       {"annotator": …}: how often somebody sides with the majority of the others
    reliability  {"annotator": …}: how often somebody is right, as the others have it
    standings    {} (order effect, warnings) or {"model": …}: strength and its interval
    live         {}: who keeps them up to date, of how many judgments, and at which event each group was last looked at

`curate.live` writes it, a lead's page reads it. `seq` is the ledger's event at which a value came to be what it
is; up to which event it still holds, the row `live` says, so that what stayed the same is not written again.
All of it is derived: the ledger does not cover it, and deleting it loses nothing but time. People are in it by their id
alone, so an erased person's name cannot be left behind here.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from data.store import Tx

WHOLE = "{}"
"""The scope of what is said of the whole project."""
KEPT_BY = "live"
"""The row that tells who keeps the others up to date."""


class Measure(NamedTuple):
    """One measure of a project: what it is, of what part, and what was found."""

    name: str
    scope: dict[str, str]
    value: dict[str, Any]
    seq: int
    at_ms: int


def scope_text(scope: Mapping[str, str]) -> str:
    """A scope as the table spells it: the same text for the same scope."""
    return json.dumps(dict(scope), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def value_text(value: Mapping[str, Any]) -> str:
    """A value as the table spells it; no NaN, since none is JSON."""
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_measures(tx: Tx, project: int) -> list[Measure]:
    """A project's measures by name and scope; empty when none was computed yet."""
    rows = tx.all(
        "SELECT name, scope, value, seq, at_ms FROM measures WHERE project = :project ORDER BY name, scope",
        project=project,
    )
    return [Measure(row.name, json.loads(row.scope), json.loads(row.value), row.seq, row.at_ms) for row in rows]


def write_measures(tx: Tx, project: int, seq: int, rows: Mapping[tuple[str, str], str]) -> None:
    """Put measures ((name, scope) to value, spelled as above) in place of former ones of the same name and scope."""
    _drop(tx, project, rows)
    tx.many(
        "INSERT INTO measures (project, name, scope, value, seq, at_ms)"
        " VALUES (:project, :name, :scope, :value, :seq, :at_ms)",
        [
            {"project": project, "name": name, "scope": scope, "value": value, "seq": seq, "at_ms": tx.now()}
            for (name, scope), value in rows.items()
        ],
    )


def drop_measures(tx: Tx, project: int, gone: Iterable[tuple[str, str]]) -> None:
    """Take measures out: what they were of is there no more."""
    _drop(tx, project, gone)


def _drop(tx: Tx, project: int, keys: Iterable[tuple[str, str]]) -> None:
    tx.many(
        "DELETE FROM measures WHERE project = :project AND name = :name AND scope = :scope",
        [{"project": project, "name": name, "scope": scope} for name, scope in keys],
    )
