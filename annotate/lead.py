"""What a project's lead sees and may do: where the project stands, its people, adding and changing them.

Plain functions over a transaction and the figures of annotate/figures.py. Who may call them is asked
first (`require_lead`), in the same transaction.
"""

import json
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any

from annotate import accounts, agreement
from annotate.accounts import LEAD, Person, Role
from annotate.agreement import Share
from annotate.answers import iso
from annotate.figures import DAY_MS, Figures, PersonFigures
from annotate.projects import Project, find_project
from data.errors import BadInput, NotThere, Refused
from data.store import Tx
from data.text import excerpt

WEEK = 7
PLOTTED = 30  # days
FARTHEST = 3650  # days; a pace that ends later is no pace


def require_lead(tx: Tx, name: str, person: Person) -> Project:
    """The project, if this person leads it; Refused (code `not_a_lead`) with the same words for any other name."""
    try:
        project = find_project(tx, name)
    except NotThere:
        raise _not_a_lead() from None
    if accounts.role_in(tx, project.id, person.id) != LEAD:
        raise _not_a_lead()
    return project


def _not_a_lead() -> Refused:
    return Refused("only the leads of this project can do this; ask one of them", "not_a_lead")


# ── where it stands ──────────────────────────────────────────────────────────


def standing(tx: Tx, project: Project) -> dict[str, Any]:
    """What the store's own counters say: true at this moment, and quick however large the project."""
    held = tx.value("SELECT COUNT(*) FROM slots WHERE project = :id AND state = 1", id=project.id)
    return {
        "project": project.name,
        "title": project.settings["title"] or project.name,
        "kinds": project.settings["kinds"],
        "paused": project.paused,
        "tasks": project.tasks,
        "tasks_done": project.tasks_done,
        "slots": {"done": project.done, "held": held, "open": project.needed - project.done - held},
        "people": members(tx, project),
    }


def members(tx: Tx, project: Project) -> list[dict[str, Any]]:
    """Everybody in the project, by name."""
    rows = tx.all(
        "SELECT m.annotator, m.role, m.done, p.name, p.active, p.languages, p.link_until_ms FROM members m"
        " JOIN people p ON p.id = m.annotator WHERE m.project = :id ORDER BY p.name, m.annotator",
        id=project.id,
    )
    prefix = f"{project.name}/"
    return [
        {
            "id": row.annotator,
            "name": (row.name or "").removeprefix(prefix),
            "imported": "/" in (row.name or ""),
            "erased": row.name is None,
            "role": row.role,
            "done": row.done,
            "active": bool(row.active),
            "languages": json.loads(row.languages),
            "link_waits": bool(row.active and row.link_until_ms and row.link_until_ms > tx.now()),
        }
        for row in rows
    ]


def summed(project: Project, figures: Figures, now: int, people: list[str]) -> dict[str, Any]:
    """What the figures say of the project: verdicts, skips, days, pace, agreement, and each person's line."""
    day = now // DAY_MS
    days = _days(figures.people.values())
    alike = agreement.by_person(figures.pairs)
    return {
        "as_of": iso(figures.at_ms),
        "verdicts": _total([own.verdicts for own in figures.people.values()]),
        "skips": _total(list(figures.skips.values())),
        "out_of_reach": len(figures.out_of_reach),
        "days": plotted(days, day),
        "pace": pace(days, project.needed - project.done, now),
        "agreement": _agreement(project, figures),
        "people": {id_: _line(figures, id_, day, alike) for id_ in people},
    }


def _line(figures: Figures, person: str, day: int, alike: dict[str, Share]) -> dict[str, Any]:
    own = figures.people.get(person, PersonFigures())
    seen = figures.seen.get(person)
    return {
        "today": own.days[day],
        "week": sum(own.days[day - back] for back in range(WEEK)),
        "seconds": median(own.seconds) if own.seconds else None,
        "agreement": alike.get(person, Share(0, 0))._asdict(),
        "seen": iso(seen) if seen else None,
    }


def _total(counts: list[Any]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for key, n in count.items():
            total[key] = total.get(key, 0) + n
    return {key: n for key, n in total.items() if n}


def _days(people: Any) -> dict[int, int]:
    days: dict[int, int] = {}
    for own in people:
        for day, n in own.days.items():
            days[day] = days.get(day, 0) + n
    return days


def plotted(days: dict[int, int], today: int) -> list[dict[str, Any]]:
    """The days to plot, to today: at least a week, at most thirty days, from the first that had an answer."""
    first = min([day for day, n in days.items() if n], default=today)
    start = max(today - PLOTTED + 1, min(first, today - WEEK + 1))
    return [{"day": _date(day), "n": days.get(day, 0)} for day in range(start, today + 1)]


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()


def pace(days: dict[int, int], left: int, now: int) -> dict[str, Any]:
    """Answers a day over the last seven days (today and the six before), and the day when none is left at that.

    A project younger than that is measured from its first answer's day, and over a day at least. Without an
    answer in those days there is no pace, and without one, or with ten years of work left, no day.
    """
    today = now // DAY_MS
    start = today - WEEK + 1
    recent = sum(n for day, n in days.items() if start <= day <= today)
    if not recent:
        return {"per_day": None, "done_on": None, "left": left}
    first = max(start, min(day for day, n in days.items() if n))
    per_day = recent / max(1.0, (now - first * DAY_MS) / DAY_MS)
    ahead = left / per_day
    done_on = _date(int((now + ahead * DAY_MS) // DAY_MS)) if 0 < ahead <= FARTHEST else None
    return {"per_day": per_day, "done_on": done_on, "left": left}


def _agreement(project: Project, figures: Figures) -> list[dict[str, Any]]:
    """For each kind of the project its agreement, and for ratings each criterion's; n is 0 where there is none."""
    shares = agreement.by_what(figures.pairs)
    found = []
    for kind in project.settings["kinds"]:
        parts = {what.partition("/")[2]: s for what, s in sorted(shares.items()) if what.startswith(f"{kind}/")}
        own = shares.get(kind, Share(0, 0))
        whole = Share(own.agreed + sum(s.agreed for s in parts.values()), own.n + sum(s.n for s in parts.values()))
        criteria = [{"criterion": key, **share._asdict()} for key, share in parts.items()]
        found.append({"kind": kind, **whole._asdict(), "criteria": criteria})
    return found


def criterion_names(tx: Tx, project: Project) -> dict[str, dict[str, str]]:
    """What the criteria of the project's newest rating tasks are called, by key and language."""
    if "rating" not in project.settings["kinds"]:
        return {}
    records = tx.all(
        "SELECT r.record FROM tasks t JOIN task_records r ON r.task = t.id WHERE t.project = :id"
        " AND t.kind = 'rating' ORDER BY t.id DESC LIMIT 50",
        id=project.id,
    )
    return {c["key"]: c["name"] for row in reversed(records) for c in json.loads(row.record)["criteria"]}


# ── one person ───────────────────────────────────────────────────────────────


def member(tx: Tx, project: Project, person: str) -> dict[str, Any]:
    """One member, as `members` shows them; NotThere when nobody of the project has this id."""
    found = next((one for one in members(tx, project) if one["id"] == person), None)
    if found is None:
        raise NotThere("nobody in this project has this id")
    return found


def person_sums(figures: Figures, person: str, now: int) -> dict[str, Any]:
    """What the figures say of one person."""
    own = figures.people.get(person, PersonFigures())
    day = now // DAY_MS
    alike = agreement.with_each(figures.pairs, person)
    return {
        "as_of": iso(figures.at_ms),
        **_line(figures, person, day, agreement.by_person(figures.pairs)),
        "days": plotted(dict(own.days), day),
        "verdicts": _total([own.verdicts]),
        "skips": dict(figures.skips.get(person, {})),
        "quartiles": quartiles(list(own.seconds)),
        "judgments_timed": len(own.seconds),
        "with_each": {other: share._asdict() for other, share in alike.items()},
        "position": {"first": own.sides["A"], "second": own.sides["B"], "tie": own.sides["tie"]},
    }


def quartiles(seconds: list[float]) -> list[float] | None:
    """Lower quartile, median and upper quartile, interpolated between the values; None without any."""
    if len(seconds) < 2:
        return seconds * 3 or None
    return quantiles(seconds, n=4, method="inclusive")


def latest(tx: Tx, project: Project, person: str, limit: int = 20) -> list[dict[str, Any]]:
    """Somebody's newest judgments, each in its latest form."""
    rows = tx.all(
        "SELECT j.at_ms, j.verdict, j.state, t.kind, r.record FROM judgments j JOIN tasks t ON t.id = j.task"
        " JOIN task_records r ON r.task = j.task WHERE j.annotator = :person AND j.project = :project"
        " AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.supersedes = j.id)"
        " ORDER BY j.at_ms DESC, j.id LIMIT :limit",
        person=person,
        project=project.id,
        limit=limit,
    )
    return [
        {
            "at": iso(row.at_ms),
            "kind": row.kind,
            "verdict": row.verdict,
            "state": row.state,
            "excerpt": excerpt(json.loads(row.record)["prompt"]["messages"][-1]["content"], 120),
        }
        for row in rows
    ]


# ── people: add and change ───────────────────────────────────────────────────


def add(tx: Tx, project: Project, lead: Person, name: str, role: Role, languages: list[str]) -> str | None:
    """Let somebody into the project; returns the secret of a one-time link, or None for one who can sign in already.

    Somebody who is in other projects keeps their way in: a lead here must not be able to sign in as them.
    """
    name = accounts.checked_name(name)
    known = tx.one("SELECT id, active FROM people WHERE name = :name", name=name)
    if known is None:
        return accounts.add_person(tx, name, [project.name], role, languages, lead.id)
    if accounts.role_in(tx, project.id, known.id) is not None:
        raise Refused(f"{name} is in this project already; open their page to change their role", "already_there")
    if not known.active:
        raise Refused(f"{name} was deactivated; whoever runs the server can let them in again", "deactivated")
    accounts.set_role(tx, project.id, known.id, role, lead.id)
    return None


def change_role(tx: Tx, project: Project, lead: Person, person: str, role: Role) -> None:
    """Give somebody another role in the project."""
    found = member(tx, project, person)
    _not_oneself(tx, project, lead, person)
    if found["imported"] or found["erased"]:
        raise Refused("nobody can sign in as this person, so a role means nothing", "no_account")
    if found["role"] != role:
        accounts.set_role(tx, project.id, person, role, lead.id)


def deactivate(tx: Tx, project: Project, lead: Person, person: str) -> None:
    """End somebody's sessions, and let them in no more."""
    accounts.deactivate(tx, _access(tx, project, lead, person), lead.id)


def new_link(tx: Tx, project: Project, lead: Person, person: str) -> str:
    """The secret of a new one-time link; open sessions end, and somebody deactivated is let in again."""
    return accounts.relink(tx, _access(tx, project, lead, person))


def _access(tx: Tx, project: Project, lead: Person, person: str) -> str:
    """The name of somebody whose way in this lead may change: not their own, and led by them in every project."""
    found = member(tx, project, person)
    _not_oneself(tx, project, lead, person)
    if found["imported"] or found["erased"]:
        raise Refused("nobody can sign in as this person; their judgments stay as they are", "no_account")
    if any(accounts.role_in(tx, other, lead.id) != LEAD for other in accounts.projects_of(tx, person)):
        raise Refused(
            f"{found['name']} also works in projects you do not lead; whoever runs the server can do it",
            "other_projects",
        )
    return str(found["name"])


def _not_oneself(tx: Tx, project: Project, lead: Person, person: str) -> None:
    if person != lead.id:
        return
    others = tx.value(
        "SELECT COUNT(*) FROM members m JOIN people p ON p.id = m.annotator"
        " WHERE m.project = :project AND m.role = :role AND p.active = 1 AND m.annotator <> :person",
        project=project.id,
        role=LEAD,
        person=person,
    )
    if not others:
        raise Refused("you are the only lead of this project; make somebody else a lead first", "last_lead")
    raise Refused("you cannot change your own access; another lead of this project can", "yourself")


def parse_languages(text: str) -> list[str]:
    """Language codes as one types them: en, zh."""
    codes = [code for code in text.replace("，", ",").replace("、", ",").replace(" ", ",").split(",") if code]
    if not codes:
        raise BadInput("say which languages they read, such as en,zh")
    return codes
