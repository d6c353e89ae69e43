"""The store's tables, and the steps that bring an older store to them.

Every table is plain enough to be the same on SQLite and PostgreSQL. Times are whole
milliseconds since 1970 by the database's own clock. Ids that people see are text;
`tasks.id` and `projects.id` are small integers used only inside the store.

Two tables stand outside the ledger: `people`, so that a person can be erased, and `measures`, which holds no
name and nothing that could not be computed again from the judgments.
"""

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()
# SQLite makes only INTEGER keys autoincrement; PostgreSQL wants BIGINT for the same room.
Key = BigInteger().with_variant(Integer(), "sqlite")


def _table(name: str, *columns: Column | Index | CheckConstraint, rowid: bool = True) -> Table:  # type: ignore[type-arg]
    return Table(name, metadata, *columns, sqlite_with_rowid=rowid)


def _project() -> Column:  # type: ignore[type-arg]
    return Column("project", Key, ForeignKey("projects.id"), nullable=False)


meta = _table("meta", Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

counters = _table(  # numbers handed out in blocks, so that a load knows its rows' ids beforehand
    "counters", Column("name", Text, primary_key=True), Column("value", BigInteger, nullable=False)
)

projects = _table(
    "projects",
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("settings", Text, nullable=False, server_default="{}"),
    Column("paused", Integer, nullable=False, server_default="0"),
    Column("head_seq", BigInteger, nullable=False, server_default="0"),  # the ledger's newest event
    Column("head_hash", Text, nullable=False, server_default=""),
    Column("tasks", BigInteger, nullable=False, server_default="0"),  # counters kept with the rows they count
    Column("tasks_done", BigInteger, nullable=False, server_default="0"),
    Column("needed", BigInteger, nullable=False, server_default="0"),
    Column("done", BigInteger, nullable=False, server_default="0"),
)

people = _table(
    "people",
    Column("id", Text, primary_key=True),  # random; the only thing other tables know of a person
    Column("name", Text, unique=True),  # NULL once erased
    Column("password", Text),  # argon2, or NULL: link only
    Column("languages", Text, nullable=False, server_default='["en"]'),
    Column("active", Integer, nullable=False, server_default="1"),
    Column("epoch", Integer, nullable=False, server_default="1"),  # raised to end every session
    Column("link_hash", Text, unique=True),
    Column("link_until_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
)

members = _table(
    "members",
    _project(),
    Column("annotator", Text, ForeignKey("people.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("done", BigInteger, nullable=False, server_default="0"),
    # lane -> position: nothing at or before it is left for this person (annotate/assign.py)
    Column("cursors", Text, nullable=False, server_default="{}"),
    Index("members_key", "project", "annotator", unique=True),
)

lanes = _table(
    "lanes",
    Column("id", Key, primary_key=True),
    _project(),
    Column("priority", Integer, nullable=False),
    Column("language", Text, nullable=False),  # '' suits everybody
    Column("returned", Integer, nullable=False),  # 1: tasks that came back, served first
    Column("tail", BigInteger, nullable=False, server_default="0"),  # the last position given out
    Index("lanes_key", "project", "priority", "language", "returned", unique=True),
)

tasks = _table(
    "tasks",
    Column("id", Key, primary_key=True),
    Column("task", Text, nullable=False, unique=True),
    _project(),
    Column("kind", Text, nullable=False),
    Column("lane", Key, ForeignKey("lanes.id"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("open", Integer, nullable=False),  # slots in state open, and of those done
    Column("done", Integer, nullable=False, server_default="0"),
    Column("import_key", Text),
    CheckConstraint("open >= 0 AND done >= 0 AND open + done <= overlap", name="slots_add_up"),
    Index("tasks_import_key", "project", "import_key", unique=True),
    Index("tasks_open", "lane", "position", sqlite_where=text("open > 0"), postgresql_where=text("open > 0")),
)

task_records = _table(  # apart from `tasks`, so that a claim never rewrites a long text
    "task_records",
    Column("task", Key, ForeignKey("tasks.id"), primary_key=True),
    Column("record", Text, nullable=False),
)

slots = _table(
    "slots",
    Column("task", Key, ForeignKey("tasks.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _project(),
    Column("purpose", Text, nullable=False, server_default="label"),
    Column("round", Integer, nullable=False, server_default="0"),
    Column("state", Integer, nullable=False, server_default="0"),  # 0 open, 1 leased, 2 done
    Column("annotator", Text),
    Column("token", Text),
    Column("until_ms", BigInteger),
    CheckConstraint("(state = 0) = (annotator IS NULL)", name="a_slot_in_use_has_a_holder"),
    Index(
        "slots_once",
        *("task", "annotator", "purpose", "round"),
        unique=True,
        sqlite_where=text("state > 0"),
        postgresql_where=text("state > 0"),
    ),
    Index(
        "slots_leased",
        *("project", "until_ms"),
        sqlite_where=text("state = 1"),
        postgresql_where=text("state = 1"),
    ),
    Index(
        "slots_held",
        *("annotator", "project"),
        sqlite_where=text("state = 1"),
        postgresql_where=text("state = 1"),
    ),
    rowid=False,
)

leases = _table(  # one row a claim, kept: who was shown what, in which order
    "leases",
    Column("token", Text, primary_key=True),
    _project(),
    Column("task", Key, ForeignKey("tasks.id"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("shown", Text, nullable=False),  # JSON list of response ids
    Column("revises", Text),  # judgment id, when this is a second look at one's own answer
    Column("at_ms", BigInteger, nullable=False),
    Index("leases_by_task", "task", "annotator"),
    rowid=False,
)

passes = _table(
    "passes",
    Column("task", Key, ForeignKey("tasks.id"), primary_key=True),
    Column("annotator", Text, primary_key=True),
    _project(),
    Column("reason", Text, nullable=False),
    Column("comment", Text, nullable=False, server_default=""),
    Column("at_ms", BigInteger, nullable=False),
    rowid=False,
)

authors = _table(
    "authors",
    Column("task", Key, ForeignKey("tasks.id"), primary_key=True),
    Column("annotator", Text, primary_key=True),
    rowid=False,
)

judgments = _table(
    "judgments",
    Column("id", Text, primary_key=True),
    _project(),
    Column("task", Key, ForeignKey("tasks.id"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("annotator_kind", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),  # counted, surplus (not counted), returned (cannot judge)
    Column("supersedes", Text, unique=True),
    Column("token", Text, unique=True),
    Column("record", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("judgments_by_task", "task", "annotator"),
    Index("judgments_by_person", "annotator", "project", "at_ms"),
)

drafts = _table(
    "drafts",
    Column("token", Text, primary_key=True),
    Column("annotator", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

guidelines = _table(
    "guidelines",
    Column("project", Key, ForeignKey("projects.id"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

ledger = _table(
    "ledger",
    Column("project", Key, ForeignKey("projects.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("rows", Text, nullable=False),  # JSON [[table, key, hash], …]
    Column("detail", Text, nullable=False),  # JSON object
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    rowid=False,
)

VERSION_1 = tuple(metadata.sorted_tables)

retractions = _table(  # records taken back: what derives from them is left out of exports
    "retractions",
    Column("project", Key, ForeignKey("projects.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("retractions_once", "project", "record", unique=True),
    rowid=False,
)


measures = _table(  # what curate.live computed: derived from the rest, so no event names it and no proof covers it
    "measures",
    Column("project", Key, ForeignKey("projects.id"), primary_key=True),
    Column("name", Text, primary_key=True),  # agreement, position, reliability, … (data/measures.py)
    Column("scope", Text, primary_key=True),  # JSON object: {} for the whole, or a criterion, language, person, model
    Column("value", Text, nullable=False),  # JSON object
    Column("seq", BigInteger, nullable=False),  # the ledger's event it is true at
    Column("at_ms", BigInteger, nullable=False),
    rowid=False,
)


def first_tables(connection: Connection) -> None:
    """Version 1: everything above `VERSION_1`."""
    # Not checked first: tables of somebody else's are no store of ours.
    metadata.create_all(connection, tables=VERSION_1, checkfirst=False)
    connection.execute(text("INSERT INTO counters (name, value) VALUES ('tasks', 0), ('projects', 0)"))


def add_retractions(connection: Connection) -> None:
    """Version 2: records can be taken back."""
    metadata.create_all(connection, tables=[retractions], checkfirst=False)


def add_measures(connection: Connection) -> None:
    """Version 3: a place for what is computed from judgments, for pages to show."""
    metadata.create_all(connection, tables=[measures], checkfirst=False)


MIGRATIONS: list[Callable[[Connection], None]] = [first_tables, add_retractions, add_measures]
"""Step n brings a store from version n to n + 1. Append; never edit one that was released."""
