"""People: who may sign in, how, and what they may do. The only module that knows names.

A person is a random id everywhere else. They sign in by a one-time link (kept only as its
hash) or by name and password (argon2). A session is a signed cookie holding id and epoch;
raising the epoch ends every session of that person at once.
"""

import hashlib
import json
import secrets
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from annotate.projects import find_project
from data import ledger
from data.errors import BadInput, NotThere, Refused, nearest
from data.store import Tx
from data.text import base_language

if TYPE_CHECKING:
    from argon2 import PasswordHasher

Role = Literal["annotator", "reviewer", "admin"]
LEAD: Role = "admin"
"""Who leads a project: sees its page, adds people, loads, exports, pauses."""
LINK_MS = 7 * 24 * 3600 * 1000
MIN_PASSWORD = 8


class Person(NamedTuple):
    """Somebody who may sign in."""

    id: str
    name: str
    languages: list[str]
    epoch: int


@lru_cache(maxsize=1)
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


def _hash_link(link: str) -> str:
    return hashlib.sha256(link.encode()).hexdigest()


def add_person(tx: Tx, name: str, projects: list[str], role: Role, languages: list[str], actor: str = "") -> str:
    """Add somebody to projects (a new person, or one who is there), and return a one-time sign-in link's secret.

    Raises:
        BadInput: the name or a language is not usable.
        NotThere: a project is not there.
        Refused: the person was deactivated.
    """
    name = checked_name(name)
    if not languages or any(not (2 <= len(code) <= 12 and code.replace("-", "").isalnum()) for code in languages):
        raise BadInput(f"languages are codes such as en,zh, not {','.join(languages) or 'nothing'!r}")
    found = [find_project(tx, project) for project in projects]
    row = tx.one("SELECT id, active FROM people WHERE name = :name", name=name)
    if row is not None and not row.active:
        raise Refused(f"{name} was deactivated; 'relink {name}' lets them in again")
    person = row.id if row else secrets.token_hex(8)
    text = json.dumps(sorted({base_language(code) for code in languages}))  # who reads zh reads zh-CN
    if row:
        tx.run("UPDATE people SET languages = :languages WHERE id = :id", languages=text, id=person)
    else:
        tx.run(
            "INSERT INTO people (id, name, languages, created_ms) VALUES (:id, :name, :languages, :now)",
            id=person,
            name=name,
            languages=text,
            now=tx.now(),
        )
    for project in found:
        set_role(tx, project.id, person, role, actor)
    return new_link(tx, name)


def checked_name(name: str) -> str:
    """The name without blanks around it; BadInput when nobody can be called that."""
    name = name.strip()
    if not name or len(name) > 80 or not name.isprintable() or "/" in name:
        raise BadInput(f"a person's name is 1 to 80 printable characters without '/', not {name!r}")
    return name


def set_role(tx: Tx, project: int, person: str, role: Role, actor: str = "") -> None:
    """Let a person work in a project in this role; one who is in it already gets the role."""
    chain = ledger.take(tx, project)
    tx.run(
        "INSERT INTO members (project, annotator, role) VALUES (:project, :annotator, :role)"
        " ON CONFLICT (project, annotator) DO UPDATE SET role = excluded.role",
        project=project,
        annotator=person,
        role=role,
    )
    chain.append("role", actor, [ledger.member_row(person, role)], role=role)


def _person_row(tx: Tx, name: str) -> str:
    found = tx.value("SELECT id FROM people WHERE name = :name", name=name)
    if found is None:
        names = [r.name for r in tx.all("SELECT name FROM people WHERE name IS NOT NULL")]
        raise NotThere(f"there is nobody named '{name}'{nearest(name, names)}")
    return str(found)


def new_link(tx: Tx, name: str) -> str:
    """A new one-time link's secret, good for a week; the old link ends, open sessions go on."""
    link = secrets.token_urlsafe(24)
    tx.run(
        "UPDATE people SET link_hash = :hash, link_until_ms = :until WHERE id = :id",
        hash=_hash_link(link),
        until=tx.now() + LINK_MS,
        id=_person_row(tx, name),
    )
    return link


def relink(tx: Tx, name: str) -> str:
    """As `new_link`, and every open session ends; a deactivated person is let in again."""
    tx.run("UPDATE people SET epoch = epoch + 1, active = 1 WHERE id = :id", id=_person_row(tx, name))
    return new_link(tx, name)


def deactivate(tx: Tx, name: str, actor: str = "") -> None:
    """End somebody's sessions and let them in no more; what they judged stays, what they hold returns at its time."""
    person = _person_row(tx, name)
    _end_access(tx, person)
    for project in projects_of(tx, person):
        ledger.take(tx, project).append("deactivate", actor, [], annotator=person)


def erase(tx: Tx, name: str) -> str:
    """Forget who somebody is: name, password and link go; their random id, and every proof, stays."""
    person = _person_row(tx, name)
    _end_access(tx, person)
    tx.run("UPDATE people SET name = NULL, password = NULL, languages = '[]' WHERE id = :id", id=person)
    for project in projects_of(tx, person):
        ledger.take(tx, project).append("erase", "", [], annotator=person)
    return person


def _end_access(tx: Tx, person: str) -> None:
    tx.run(
        "UPDATE people SET active = 0, epoch = epoch + 1, link_hash = NULL, link_until_ms = NULL WHERE id = :id",
        id=person,
    )


def projects_of(tx: Tx, person: str) -> list[int]:
    """The projects somebody belongs to, by their numbers."""
    rows = tx.all("SELECT project FROM members WHERE annotator = :id ORDER BY project", id=person)
    return [int(row.project) for row in rows]


# ── signing in ───────────────────────────────────────────────────────────────


def link_owner(tx: Tx, link: str) -> Person | None:
    """Whose one-time link this is, while it is good; looking does not use it up."""
    row = tx.one(
        "SELECT id, name, languages, epoch FROM people WHERE link_hash = :hash AND link_until_ms > :now AND active = 1",
        hash=_hash_link(link),
        now=tx.now(),
    )
    return Person(row.id, row.name, json.loads(row.languages), row.epoch) if row else None


def use_link(tx: Tx, link: str, password: str = "") -> Person:
    """Sign in by a one-time link, which is used up; a password given becomes theirs.

    Raises:
        Refused: the link is unknown, used or too old (code `link_over`), or the password too short.
    """
    person = link_owner(tx, link)
    if person is None:
        raise Refused("this link was used already or is too old; ask your project lead for a new one", "link_over")
    if password and len(password) < MIN_PASSWORD:
        raise Refused(f"a password has at least {MIN_PASSWORD} characters", "password_short")
    used = tx.run(
        "UPDATE people SET link_hash = NULL, link_until_ms = NULL, password = COALESCE(:password, password)"
        " WHERE id = :id AND link_hash = :hash",
        password=_hasher().hash(password) if password else None,
        id=person.id,
        hash=_hash_link(link),
    )
    if not used:
        raise Refused("this link was used already; ask your project lead for a new one", "link_over")
    return person


def has_password(tx: Tx, person: str) -> bool:
    """Whether somebody can come back without a new link."""
    return tx.value("SELECT 1 FROM people WHERE id = :id AND password IS NOT NULL", id=person) is not None


def set_password(tx: Tx, person: str, password: str) -> None:
    """Give a password to somebody signed in who has none yet; another one takes a new link.

    Raises:
        Refused: it is too short, or they have one (code `password`).
    """
    if len(password) < MIN_PASSWORD:
        raise Refused(f"a password has at least {MIN_PASSWORD} characters", "password")
    kept = tx.run(
        "UPDATE people SET password = :hash WHERE id = :id AND password IS NULL",
        hash=_hasher().hash(password),
        id=person,
    )
    if not kept:
        raise Refused("you have a password; a new link from your project lead lets you set another", "password")


def spelled(name: str) -> str:
    """A name as it is compared at sign-in: width, case and spaces make no other person."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _named(tx: Tx, name: str) -> str | None:
    """The id of the active person of this name: to the letter, or else the only one it can mean."""
    people = tx.all("SELECT id, name FROM people WHERE active = 1 AND name IS NOT NULL")
    exact = [row.id for row in people if row.name == name.strip()]
    alike = [row.id for row in people if spelled(row.name) == spelled(name)]
    return exact[0] if exact else alike[0] if len(alike) == 1 else None


def check_password(tx: Tx, name: str, password: str) -> Person | None:
    """The person with this name and password, or None; takes as long for a name nobody has."""
    from argon2.exceptions import InvalidHashError, VerificationError

    row = tx.one("SELECT id, name, languages, epoch, password FROM people WHERE id = :id", id=_named(tx, name) or "")
    kept = row.password if row is not None and row.password else _nobody()
    try:
        _hasher().verify(kept, password)
    except (VerificationError, InvalidHashError):
        return None
    return Person(row.id, row.name, json.loads(row.languages), row.epoch) if row and row.password else None


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe(16))


def session_person(tx: Tx, person: str, epoch: int) -> Person | None:
    """The person a session belongs to, while they are active and the session was not ended."""
    row = tx.one(
        "SELECT id, name, languages, epoch FROM people WHERE id = :id AND epoch = :epoch AND active = 1",
        id=person,
        epoch=epoch,
    )
    return Person(row.id, row.name, json.loads(row.languages), row.epoch) if row else None


def role_in(tx: Tx, project: int, person: str) -> str | None:
    """Somebody's role in a project, or None."""
    value = tx.value(
        "SELECT role FROM members WHERE project = :project AND annotator = :id", project=project, id=person
    )
    return None if value is None else str(value)


def server_secret(tx: Tx) -> str:
    """The key that signs sessions: made once, kept in the store, so that sessions outlive a restart."""
    tx.run(
        "INSERT INTO meta (key, value) VALUES ('secret', :value) ON CONFLICT (key) DO NOTHING",
        value=secrets.token_urlsafe(48),
    )
    return str(tx.value("SELECT value FROM meta WHERE key = 'secret'"))


def end_sign_ins(tx: Tx) -> None:
    """End every session and every waiting sign-in link; servers that run notice when they start anew."""
    tx.run("DELETE FROM meta WHERE key = 'secret'")
    tx.run("UPDATE people SET link_hash = NULL, link_until_ms = NULL")
