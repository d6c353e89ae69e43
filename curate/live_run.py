"""Keeps measures up to date: reads what is new, computes, writes what changed, rests.

What follows from sums is computed at every look; what needs all votes at once rests nine times as long as
it took, so that it never has more than a tenth of a core. One process keeps a project: it says so in the
row `live`, and says it again before its word runs out; another one then leaves the project to it.
"""

import gc
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from curate.live_figures import Measures, Wish, quick, slow
from curate.live_reading import Stopped, read_all, read_since
from curate.live_state import State
from data.errors import NotThere, Refused, StoreDown, nearest, one_line
from data.measures import KEPT_BY, WHOLE, drop_measures, read_measures, value_text, write_measures
from data.store import Store, Tx

REST = 9  # times as long as the last slow look took, until the next one
WORD_MS = 60_000  # how long a process's word that it keeps a project holds, and more
WORD_MS_EACH = 0.2  # for each judgment, since the slow figures of many take minutes on a busy machine
PAUSE_S = (2.0, 30.0)  # between two tries while the store is away: at first, at most


class Project(NamedTuple):
    """A project and how far its ledger is."""

    id: int
    name: str
    seq: int
    done: int


class Kept:
    """What is known of one project between two looks."""

    def __init__(self, by: str) -> None:
        self.by = by
        self.state: State | None = None
        self.seq = 0
        self.changed_ms: dict[str, tuple[int, int]] = {}
        """'quick' and 'slow' to the event they are true at, and when they were found to be."""
        self.written: Measures = {}
        self.due = 0.0
        """When the slow figures may be computed again, by the monotonic clock."""
        self.stale = True
        """Whether votes came that the slow figures do not know."""
        self.word_ms = 0
        """Until when this process's word holds, by the store's clock; `holds_ms` from when it was said."""
        self.holds_ms = WORD_MS
        self.judgments: int | None = None


def projects(tx: Tx, names: Sequence[str]) -> list[Project]:
    """The projects of these names, or all; NotThere for a name nobody has."""
    found = {row.name: Project(*row) for row in tx.all("SELECT id, name, head_seq, done FROM projects ORDER BY name")}
    for name in names:
        if name not in found:
            hint = nearest(name, found) or "; annotate.load makes one"
            raise NotThere(f"there is no project '{name}' in this store{hint}")
    return [found[name] for name in (names or found)]


def look(store: Store, project: Project, kept: Kept, wish: Wish, *, every: bool, stopped: Callable[[], bool]) -> bool:
    """Bring a project's measures up to date; returns whether anything was computed.

    Args:
        every: compute the slow figures too, rested or not.
    """
    if kept.state is not None and project.seq == kept.seq and not _slow_due(kept, every):
        return False
    with store.read() as tx:
        seq = int(tx.value("SELECT head_seq FROM projects WHERE id = :id", id=project.id))
        if kept.state is None:
            kept.state, news = read_whole(tx, project.id, stopped), True
            rows = tx.all("SELECT name, scope, value FROM measures WHERE project = :id", id=project.id)
            kept.written = {(row.name, row.scope): row.value for row in rows if row.name != KEPT_BY}
        else:
            # A state that is half changed is none: it is read anew if this fails.
            state, kept.state = kept.state, None
            kept.state, news = read_since(tx, project.id, state, kept.seq, stopped)
        now = tx.now()
    kept.seq, kept.stale = seq, kept.stale or news
    fresh = quick(kept.state, wish) if news else _of(kept, ("quick",))
    kept.changed_ms["quick"] = seq, now
    if _slow_due(kept, every):
        began = time.monotonic()
        fresh |= slow(kept.state, wish)
        kept.due = time.monotonic() + REST * (time.monotonic() - began)
        kept.stale = False
    else:
        fresh |= _of(kept, ("slow",))
    if not kept.stale:
        kept.changed_ms["slow"] = seq, now
    _write(store, project.id, kept, fresh)
    return True


def read_whole(tx: Tx, project: int, stopped: Callable[[], bool]) -> State:
    """All of a project; the collector, which would walk through millions of lasting objects, is kept off them."""
    gc.disable()
    try:
        return read_all(tx, project, stopped)
    finally:
        gc.freeze()
        gc.enable()


def _slow_due(kept: Kept, every: bool) -> bool:
    return kept.stale and (every or time.monotonic() >= kept.due)


def _of(kept: Kept, groups: Sequence[str]) -> Measures:
    """What was written of these groups."""
    from curate.live_figures import QUICK, SLOW

    names = {name for group in groups for name in (QUICK if group == "quick" else SLOW)}
    return {key: value for key, value in kept.written.items() if key[0] in names}


def _write(store: Store, project: int, kept: Kept, fresh: Measures) -> None:
    changed = {key: value for key, value in fresh.items() if kept.written.get(key) != value}
    gone = [key for key in kept.written if key not in fresh]

    def work(tx: Tx) -> None:
        write_measures(tx, project, kept.seq, changed)
        drop_measures(tx, project, gone)
        _say(tx, project, kept)

    store.change(work)
    kept.written = fresh


# ── whose project it is ──────────────────────────────────────────────────────


def take(tx: Tx, project: Project, kept: Kept) -> None:
    """Say that this process keeps the project; Refused (code `kept`) while another one's word holds."""
    row = next((m for m in read_measures(tx, project.id) if m.name == KEPT_BY), None)
    if row is not None and row.value["by"] not in ("", kept.by) and row.value["until_ms"] > tx.now():
        raise Refused(
            f"another process keeps the measures of '{project.name}' up to date; there is nothing to do", "kept"
        )
    if row is not None and not kept.changed_ms:
        kept.changed_ms = {name: (at[0], at[1]) for name, at in row.value["true_at"].items()}
        kept.judgments = row.value["judgments"]
    kept.holds_ms = int(WORD_MS + WORD_MS_EACH * project.done)
    _say(tx, project.id, kept)


def _say(tx: Tx, project: int, kept: Kept) -> None:
    kept.word_ms = tx.now() + kept.holds_ms
    value = {
        "by": kept.by,
        "until_ms": kept.word_ms if kept.by else 0,
        "judgments": kept.state.judgments if kept.state else kept.judgments,
        "true_at": {name: list(at) for name, at in kept.changed_ms.items()},
    }
    write_measures(tx, project, kept.seq, {(KEPT_BY, WHOLE): value_text(value)})


def give_up(store: Store, project: Project, kept: Kept) -> None:
    """Take the word back, so that the next process need not wait for it to run out."""
    kept.by = ""
    store.change(lambda tx: _say(tx, project.id, kept))


# ── the loop ─────────────────────────────────────────────────────────────────


def once(store: Store, names: Sequence[str], wish: Wish) -> dict[str, Any]:
    """Compute everything and end; returns the summary."""
    with store.read() as tx:
        wanted = projects(tx, names)
    told: dict[str, Any] = {}
    for project in wanted:
        kept = Kept("")
        with store.read() as tx:  # keep the word of whoever keeps it
            row = next((m for m in read_measures(tx, project.id) if m.name == KEPT_BY), None)
        kept.by = row.value["by"] if row is not None and row.value["until_ms"] > 0 else ""
        look(store, project, kept, wish, every=True, stopped=lambda: False)
        assert kept.state is not None
        told[project.name] = f"{kept.state.judgments:,} judgments, {len(kept.written):,} measures at event {kept.seq:,}"
    return told


def keep(url: str, names: Sequence[str], wish: Wish, every_s: float, stop: threading.Event) -> None:
    """Keep measures up to date until told to stop; a store that goes away is said once and waited for.

    Raises:
        NotThere: no project of this name.
        Refused: another process keeps a project that was named (code `kept`).
    """
    from data.store import open_store

    by = secrets.token_hex(8)
    held: dict[str, Kept] = {}
    pause, store = 0.0, open_store(url, create=False, pool=2)
    seen: Mapping[str, Project] = {}
    try:
        while not stop.is_set():
            try:
                seen = _turn(store, names, held, by, wish, stop)
                if pause:
                    print("the store answers again", file=sys.stderr, flush=True)
                pause = 0.0
            except StoreDown as error:
                if not pause:
                    print(f"{one_line(str(error))} Trying again until it does.", file=sys.stderr, flush=True)
                pause = min(PAUSE_S[1], pause * 2 or PAUSE_S[0])
            except Stopped:
                break
            stop.wait(pause or every_s)
    finally:
        try:
            for name, kept in held.items():
                if name in seen:
                    give_up(store, seen[name], kept)
        except StoreDown:
            pass  # its word runs out by itself
        store.close()


def _turn(
    store: Store, names: Sequence[str], held: dict[str, Kept], by: str, wish: Wish, stop: threading.Event
) -> dict[str, Project]:
    """One look at every project; returns those this process keeps."""
    with store.read() as tx:
        wanted, now = projects(tx, names), tx.now()
    mine = {}
    for project in wanted:
        kept = held.get(project.name) or Kept(by)
        if now > kept.word_ms - kept.holds_ms / 2:
            try:
                store.change(lambda tx, p=project, k=kept: take(tx, p, k))  # type: ignore[misc]
            except Refused:
                held.pop(project.name, None)
                if names:
                    raise
                continue
        held[project.name] = kept
        mine[project.name] = project
        look(store, project, kept, wish, every=False, stopped=stop.is_set)
        if stop.is_set():
            break
    return mine
