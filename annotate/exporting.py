"""The export button: `python -m curate.export` as a child process, and its folder as one zip file.

A child, since rooms do not import each other, and since its work then takes no time from the server's. The
store's address goes to it by the environment: a password on a command line is everybody's to read.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
import zipfile
from pathlib import Path
from typing import Any, Literal

from data.errors import NotThere, Refused, one_line
from data.store import Store

PairChoice = Literal["all", "adjacent", "best-worst"]
ROOMS = Path(__file__).resolve().parent.parent
KEEP_S = 3600


class Export:
    """One export of a project."""

    def __init__(self, folder: Path, project: str, pairs: PairChoice) -> None:
        self.id = secrets.token_urlsafe(9)
        self.project, self.pairs = project, pairs
        self.folder = folder / self.id
        self.zip = self.folder / "export.zip"
        self.state = "running"
        """running, done, failed"""
        self.summary: dict[str, Any] = {}
        self.error = ""
        self.child: subprocess.Popen[str] | None = None
        self.timer: threading.Timer | None = None

    @property
    def file_name(self) -> str:
        """What the browser calls the download."""
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.project).strip('-.') or 'project'}-pairs.zip"

    def view(self) -> dict[str, Any]:
        """What the page shows of it."""
        summary = {key: value for key, value in self.summary.items() if key != "wrote"}
        return {"id": self.id, "pairs": self.pairs, "state": self.state, "summary": summary, "error": self.error}


class Exports:
    """The exports of one server: the last of each project, for an hour."""

    def __init__(self, store: Store) -> None:
        self._environment = {**os.environ, "CONCORD_STORE": address_of(store)}
        self._exports: dict[str, Export] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._closed = False

    def start(self, project: str, pairs: PairChoice) -> Export:
        """Export a project; Refused (code `exporting`) while it is being exported already."""
        with self._lock:
            last = self._exports.get(project)
            if last and last.state == "running":
                raise Refused("this project is being exported; wait until it is done", "exporting")
            if last and last.timer:
                last.timer.cancel()
            if last:
                shutil.rmtree(last.folder, ignore_errors=True)
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="concord-export-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            export = self._exports[project] = Export(self._folder, project, pairs)
            export.folder.mkdir(parents=True)
        threading.Thread(target=self._run, args=(export,), daemon=True).start()
        return export

    def last(self, project: str) -> Export | None:
        """The project's newest export, running or done."""
        return self._exports.get(project)

    def get(self, project: str, id_: str) -> Export:
        """A finished export by its id; NotThere when there is a newer one, or it was removed."""
        export = self._exports.get(project)
        if export is None or export.id != id_ or export.state != "done":
            raise NotThere("this export is not here any more; export again")
        return export

    def _run(self, export: Export) -> None:
        try:
            self._export(export)
        except OSError as error:
            export.error, export.state = one_line(str(error)), "failed"
        finally:
            shutil.rmtree(export.folder / "pairs", ignore_errors=True)
            export.timer = threading.Timer(KEEP_S, self._forget, (export,))
            export.timer.daemon = True
            export.timer.start()

    def _export(self, export: Export) -> None:
        out = export.folder / "pairs"
        command = [sys.executable, "-m", "curate.export", f"--project={export.project}", f"--out={out}"]
        with self._lock:
            if self._closed:
                return
            child = export.child = subprocess.Popen(
                [*command, f"--pairs={export.pairs}", "--json"],
                cwd=ROOMS,  # where the other rooms are
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        said, complaint = child.communicate()
        if child.returncode:
            last = (complaint.strip().splitlines() or ["the export was ended"])[-1]
            export.error, export.state = one_line(last.removeprefix("error: ")), "failed"
            return
        with zipfile.ZipFile(export.zip, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(out.rglob("*")):
                packed.write(path, Path(export.file_name).stem / path.relative_to(out))
        export.summary, export.state = json.loads(said.splitlines()[-1]), "done"

    def _forget(self, export: Export) -> None:
        with self._lock:
            if self._exports.get(export.project) is export:
                del self._exports[export.project]
        shutil.rmtree(export.folder, ignore_errors=True)

    def close(self) -> None:
        """End the children, and remove what they wrote."""
        with self._lock:
            self._closed = True
            for export in self._exports.values():
                if export.timer:
                    export.timer.cancel()
            running = [e.child for e in self._exports.values() if e.child and e.child.poll() is None]
        for child in running:
            child.terminate()
        for child in running:
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def address_of(store: Store) -> str:
    """The store's URL, password and all, as a child in another folder finds it."""
    url = store.engine.url
    if store.postgresql:
        return url.render_as_string(hide_password=False)
    return f"sqlite:///{Path(url.database or '').resolve()}"
