"""What one person did in a project: their judgments, searched; their day and their pace.

A search reads the texts of the prompt and the responses and the person's own words. It never reads a
model's name or an id, so that nobody can find out by searching which model wrote what.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal, NamedTuple

from annotate.answers import iso
from annotate.present import answer_view
from annotate.projects import Project
from data.errors import NotThere
from data.records import Judgment, Verdict
from data.store import Tx
from data.text import excerpt

DAY_MS = 24 * 3600 * 1000
DAYS = 14
SCAN = 500
"""Judgments one request looks through: a search's cost is bounded, and it goes on where it stopped."""

Kind = Literal["ranking", "ab", "rating"]
# Several can be of one millisecond, so the id says where a page ends within it.
_ORDER = "at_ms DESC, id DESC"
_LATEST = (
    "j.annotator = :person AND j.project = :project AND j.at_ms <= :at AND (j.at_ms < :at OR j.id < :before)"
    " AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.supersedes = j.id)"
)


class Wanted(NamedTuple):
    """Which of one's judgments are asked for."""

    text: str = ""
    kind: Kind | None = None
    verdict: Verdict | None = None
    flagged: bool = False


ALL = Wanted()


# ── the list ─────────────────────────────────────────────────────────────────


def my_judgments(
    tx: Tx, project: Project, person: str, limit: int, before: str | None, wanted: Wanted = ALL
) -> dict[str, Any]:
    """A page of somebody's judgments, the newest first, each in its latest form.

    Args:
        before: the `next` of the page seen last: the judgment it ended with, revised since or not.

    A page may hold fewer than `limit` and still have `more`: then `SCAN` judgments were looked through.

    Raises:
        NotThere: `before` is none of theirs.
    """
    scan = limit + 1 if wanted == ALL else SCAN
    at = 1 << 62 if before is None else _when(tx, person, before)
    span = {"person": person, "project": project.id, "at": at, "before": before or "", "scan": scan}
    looked = tx.one(
        "SELECT w.id, COUNT(*) OVER () AS n FROM"
        f" (SELECT at_ms, id FROM judgments j WHERE {_LATEST} ORDER BY {_ORDER} LIMIT :scan) w"
        " ORDER BY w.at_ms, w.id LIMIT 1",
        **span,
    )
    if looked is None:
        return {"judgments": [], "more": False, "next": before}
    found: list[dict[str, Any]] = []
    for row in _candidates(tx, span, wanted):
        task, record = json.loads(row.task_record), json.loads(row.record)
        if not _holds(task, record, wanted):
            continue
        if len(found) == limit:
            return {"judgments": found, "more": True, "next": found[-1]["id"]}
        found.append(_view(row, task))
    return {"judgments": found, "more": looked.n == scan, "next": looked.id}


def _when(tx: Tx, person: str, judgment: str) -> int:
    at = tx.value("SELECT at_ms FROM judgments WHERE id = :id AND annotator = :person", id=judgment, person=person)
    if at is None:
        raise NotThere("this judgment is not one of yours")
    return int(at)


def _candidates(tx: Tx, span: dict[str, Any], wanted: Wanted) -> Iterator[Any]:
    """The judgments in this span that the database cannot rule out."""
    conditions, values = ["1 = 1"], dict(span)
    if wanted.kind:
        conditions.append("t.kind = :kind")
        values["kind"] = wanted.kind
    if wanted.verdict:
        conditions.append("w.verdict = :verdict")
        values["verdict"] = wanted.verdict
    if wanted.flagged:
        conditions.append("""w.record LIKE '%"flags":{"%'""")
    if wanted.text:
        like = "ILIKE" if tx.postgresql else "LIKE"  # SQLite's LIKE takes a for A by itself
        conditions.append(f"(r.record {like} :pattern ESCAPE '!' OR w.record {like} :pattern ESCAPE '!')")
        values["pattern"] = f"%{_pattern(wanted.text)}%"
    return tx.stream(
        "SELECT w.id, w.at_ms, w.state, w.record, t.kind, r.record AS task_record FROM"
        " (SELECT j.id, j.at_ms, j.verdict, j.state, j.task, j.record FROM judgments j"
        f"  WHERE {_LATEST} ORDER BY {_ORDER} LIMIT :scan) w"
        " JOIN tasks t ON t.id = w.task JOIN task_records r ON r.task = w.task"
        f" WHERE {' AND '.join(conditions)} ORDER BY w.at_ms DESC, w.id DESC",
        **values,
    )


def _pattern(text: str) -> str:
    """A LIKE pattern for records that may hold this text: what it finds is looked at again in `_holds`.

    The text stands in a record as JSON spells it. A letter beyond ASCII with two cases becomes "any
    character", because SQLite knows the cases of ASCII letters only.
    """
    spelled = json.dumps(text, ensure_ascii=False)[1:-1]
    return "".join(f"!{c}" if c in "!%_" else "_" if not c.isascii() and c.lower() != c.upper() else c for c in spelled)


def _holds(task: dict[str, Any], record: dict[str, Any], wanted: Wanted) -> bool:
    if wanted.flagged and not record.get("flags"):
        return False
    needle = wanted.text.lower()
    return not needle or any(needle in text.lower() for text in _texts(task, record))


def _texts(task: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    """What a search reads: the texts the person saw, and their own."""
    for one in (task["prompt"], *task["responses"]):
        yield from (message["content"] for message in one["messages"])
    yield record.get("comment", "")
    yield from record.get("critiques", {}).values()
    yield from record.get("edited", {}).values()


def _view(row: Any, task: dict[str, Any]) -> dict[str, Any]:
    judgment = Judgment.model_validate_json(row.record)
    answer = answer_view(judgment)
    return {
        "id": row.id,
        "at": iso(row.at_ms),
        "kind": row.kind,
        "verdict": judgment.verdict,
        "state": row.state,
        "excerpt": excerpt(task["prompt"]["messages"][-1]["content"], 120),
        "said": {part: answer[part] for part in ("ranking", "choice", "strength", "ratings")},
        "criteria": [criterion["key"] for criterion in task.get("criteria", [])],
        "flagged": bool(judgment.flags),
        "active_seconds": judgment.active_seconds,
    }


# ── days and pace ────────────────────────────────────────────────────────────


def day_start(now_ms: int, utc_offset: int) -> int:
    """When the day began for somebody whose clock is this many minutes ahead of UTC."""
    ahead = utc_offset * 60_000
    return (now_ms + ahead) // DAY_MS * DAY_MS - ahead


def my_days(tx: Tx, project: Project, person: str, utc_offset: int) -> dict[str, Any]:
    """The last 14 days of somebody's work, the newest last, and their median seconds per judgment by kind.

    A day's judgments count each task once; its seconds count revisions too, since they are work. All days
    are cut with today's UTC offset: in the fortnight after clocks change, the days before are an hour off.
    """
    first = day_start(tx.now(), utc_offset) - (DAYS - 1) * DAY_MS
    days = [{"date": _date(first + n * DAY_MS, utc_offset), "judgments": 0, "seconds": 0.0} for n in range(DAYS)]
    spent: dict[str, list[float]] = {}
    for row in tx.stream(
        "SELECT j.at_ms, j.supersedes, j.verdict, j.record, t.kind FROM judgments j JOIN tasks t ON t.id = j.task"
        " WHERE j.annotator = :person AND j.project = :project AND j.at_ms >= :first",
        person=person,
        project=project.id,
        first=first,
    ):
        day = days[min(DAYS - 1, (row.at_ms - first) // DAY_MS)]
        seconds = json.loads(row.record).get("active_seconds")
        day["seconds"] += seconds or 0
        if row.supersedes is None:
            day["judgments"] += 1
            if seconds is not None and row.verdict != "cannot_judge":
                spent.setdefault(row.kind, []).append(seconds)
    return {
        "days": days,
        "pace": {kind: {"seconds": median(all_), "judgments": len(all_)} for kind, all_ in sorted(spent.items())},
    }


def _date(at_ms: int, utc_offset: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000 + utc_offset * 60, UTC).date().isoformat()
