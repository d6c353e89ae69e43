"""Files a lead sends by the browser: kept on disk for a while, looked through, loaded, removed.

Everything slow happens in a thread of its own, by the functions the command uses (data/formats to read,
annotate/intake.py to put in, batch by batch, so that people go on working). Nothing of the file's name
reaches the disk but what `safe_name` leaves. What was sent and not loaded is removed after an hour, and
when the server ends.
"""

import logging
import re
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from annotate.entries import known_tasks
from annotate.intake import BATCH, Tally, Wishes, entries_of, load_rows
from annotate.previewing import Seen
from annotate.projects import find_project
from data.criteria import read_criteria
from data.errors import BadInput, ConcordError, NotThere, Refused, StoreDown, one_line
from data.formats import FORMATS, Reject, read
from data.formats.files import ENDINGS
from data.formats.rows import reject_line
from data.records import Kind
from data.store import Store

MAX_BYTES = 200_000_000
KEEP_S = 3600
MAX_UPLOADS = 8  # at once, over all projects
MAX_REJECTS = 100_000  # kept line by line; the rest are counted
LAYOUTS = [name for name in FORMATS if name != "dataset"]
"""Layouts a single file can have."""


def safe_name(name: str) -> str:
    """A name for the disk out of what a browser called the file; BadInput when its ending is not one we read."""
    bare = re.split(r"[/\\]", name)[-1].lower()
    ending = next((e + z for e in ENDINGS for z in ("", ".gz") if bare.endswith(e + z) and e + z != ".parquet.gz"), "")
    if not ending:
        raise BadInput(f"'{one_line(bare, 80)}' is not a file we read; its name ends in {', '.join(ENDINGS)}")
    stem = re.sub(r"[^\w-]+", "-", bare.removesuffix(ending)).strip("-")[:60]
    return (stem or "tasks") + ending


class Upload:
    """One file on its way into a project."""

    def __init__(self, folder: Path, project: str, person: str, name: str) -> None:
        self.id = secrets.token_urlsafe(9)
        self.project, self.person = project, person
        self.folder = folder / self.id
        self.file = self.folder / "sent" / safe_name(name)
        self.rejects = self.folder / "rejected.jsonl"
        self.state = "receiving"
        """receiving, reading, ready, loading, loaded, failed"""
        self.size = self.rows = self.rejected = 0
        self.choices: dict[str, Any] = {}
        self.preview: dict[str, Any] | None = None
        self.tally: Tally | None = None
        self.error = ""
        self.touched = time.monotonic()
        self.stop = threading.Event()

    def view(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "id": self.id,
            "name": self.file.name,
            "size": self.size,
            "state": self.state,
            "rows": self.rows,
            "choices": self.choices,
            "preview": self.preview,
            "tally": self.tally._asdict() if self.tally else None,
            "rejected": self.rejected,
            "error": self.error,
        }


Work = Callable[[Upload, Callable[[Reject], None]], None]
"""What a thread does with an upload, given what to tell each rejected row to."""


class Uploads:
    """The files sent to one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._threads: set[threading.Thread] = set()
        self._timer: threading.Timer | None = None

    # ── a file comes in ──

    def begin(self, project: str, person: str, name: str) -> Upload:
        """Make room for a file; Refused when there is none (code `busy`)."""
        safe_name(name)
        self.sweep()
        with self._lock:
            for old in [u for u in self._uploads.values() if u.person == person and u.project == project]:
                if old.state in ("receiving", "loading"):
                    raise Refused("another file of yours is on its way; wait until it is done", "loading")
                self._drop(old)
            if len(self._uploads) >= MAX_UPLOADS:
                raise Refused("many files are being looked at on this server; try again in some minutes", "busy")
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="concord-files-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            upload = Upload(self._folder, project, person, name)
            upload.file.parent.mkdir(parents=True)
            self._uploads[upload.id] = upload
            self._sweep_later()
        return upload

    def receive(self, upload: Upload, part: bytes) -> None:
        """Keep a part of the file; Refused (code `too_large`) when it grows beyond what we take."""
        upload.size += len(part)
        if upload.size > MAX_BYTES:
            raise Refused(
                f"a file has at most {MAX_BYTES // 1_000_000} MB here; split it, or load it with annotate.load",
                "too_large",
            )
        with upload.file.open("ab") as file:
            file.write(part)

    def get(self, project: str, id_: str) -> Upload:
        """The upload of this project with this id; NotThere when it was removed."""
        upload = self._uploads.get(id_)
        if upload is None or upload.project != project:
            raise NotThere("this file is not here any more; choose it again")
        upload.touched = time.monotonic()
        return upload

    def newest(self, project: str, person: str) -> Upload | None:
        """What this person sent last, so that a page that was reloaded finds it again."""
        return next((u for u in self._uploads.values() if (u.project, u.person) == (project, person)), None)

    def drop(self, upload: Upload) -> None:
        """Forget a file, unless it is just being loaded."""
        with self._lock:
            if upload.state == "loading":
                raise Refused("this file is being loaded; what is in stays in", "loading")
            self._drop(upload)

    def _drop(self, upload: Upload) -> None:
        upload.stop.set()
        self._uploads.pop(upload.id, None)
        shutil.rmtree(upload.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what nobody asked for in an hour."""
        with self._lock:
            for upload in list(self._uploads.values()):
                if upload.state != "loading" and time.monotonic() - upload.touched > KEEP_S:
                    self._drop(upload)

    def _sweep_later(self) -> None:
        """Look for what is left behind every quarter of the time it is kept, as long as there is anything."""
        if self._timer is not None and self._timer.is_alive():
            return

        def tick() -> None:
            self.sweep()
            with self._lock:
                self._timer = None
                if self._uploads:
                    self._sweep_later()

        self._timer = threading.Timer(KEEP_S / 4, tick)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Stop what is under way (a load after its batch) and remove every file."""
        for upload in list(self._uploads.values()):
            upload.stop.set()
        for thread in list(self._threads):
            thread.join(5)
        with self._lock:
            if self._timer:
                self._timer.cancel()
            for upload in list(self._uploads.values()):
                self._drop(upload)

    # ── looking through, and loading ──

    def look(self, upload: Upload, choices: dict[str, Any]) -> None:
        """Read the file through without changing anything; `upload.preview` says what loading it would do."""
        with self._lock:
            if upload.state not in ("receiving", "ready", "failed"):
                raise Refused("this file is being read; wait until it is done", "loading")
            self._start(upload, choices, "reading", self._look)

    def load(self, upload: Upload, choices: dict[str, Any]) -> None:
        """Load the file, one at a time in a project; the ledger names the person who sent it."""
        with self._lock:
            if any(u.state == "loading" and u.project == upload.project for u in self._uploads.values()):
                raise Refused("a file is being loaded into this project; wait until it is done", "loading")
            if upload.state != "ready":
                raise Refused("this file cannot be loaded now; choose it again", "not_ready")
            self._start(upload, choices, "loading", self._load)

    def _start(self, upload: Upload, choices: dict[str, Any], state: str, work: Work) -> None:
        upload.choices, upload.state = choices, state
        upload.rows, upload.rejected, upload.error = 0, 0, ""
        thread = threading.Thread(target=self._run, args=(upload, work), daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self, upload: Upload, work: Work) -> None:
        try:
            with upload.rejects.open("wb") as kept:
                upload.rejected = 0

                def rejected(reject: Reject) -> None:
                    upload.rejected += 1
                    if upload.rejected <= MAX_REJECTS:
                        kept.write(reject_line(reject))

                work(upload, rejected)
        except (ConcordError, OSError) as error:
            away = "the store does not answer; what is in stays in, load the file again later"
            said = away if isinstance(error, StoreDown) else str(error).replace(str(upload.file), upload.file.name)
            upload.error, upload.state = one_line(said), "failed"
        except Exception:
            logging.getLogger(__name__).exception("the file %r could not be read", upload.file.name)
            upload.error, upload.state = "the server met a fault of its own; its log says which", "failed"
        finally:
            upload.touched = time.monotonic()
            self._threads.discard(threading.current_thread())

    def _look(self, upload: Upload, rejected: Callable[[Reject], None]) -> None:
        wishes, reading = _wishes(upload.choices), read([str(upload.file)], upload.choices.get("format"))
        seen = Seen(rejected)
        rows = iter(reading.rows)
        while not upload.stop.is_set() and (batch := list(islice(rows, BATCH))):
            entries, refused = entries_of(upload.project, batch, wishes)
            with self._store.read() as tx:
                known, entries, clashes = known_tasks(tx, find_project(tx, upload.project), entries)
            seen.add(entries, set(known), refused + clashes)
            upload.rows += len(batch)
            time.sleep(0)  # others have work to do
        upload.preview = {"format": reading.format, "why": reading.why, **seen.view()}
        upload.state = "ready"

    def _load(self, upload: Upload, rejected: Callable[[Reject], None]) -> None:
        def loaded(rows: int) -> None:
            upload.rows += rows

        upload.tally = load_rows(
            self._store,
            upload.project,
            read([str(upload.file)], upload.choices.get("format")).rows,
            _wishes(upload.choices),
            rejected=rejected,
            loaded=loaded,
            source=upload.file.name,
            actor=upload.person,
            stopped=upload.stop.is_set,
        )
        upload.file.unlink()
        upload.state = "loaded"


def _wishes(choices: dict[str, Any]) -> Wishes:
    kind: Kind | None = choices.get("kind")
    criteria = read_criteria() if kind == "rating" else ()
    return Wishes(kind, choices.get("overlap"), None, choices.get("language"), criteria)
