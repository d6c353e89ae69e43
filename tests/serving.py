"""A real server in a process of its own, tasks and people in its store, and a browser signed in to it."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import ROOT

from annotate import accounts, projects
from annotate.intake import Tally, Wishes, load_rows
from data.formats import read
from data.store import Store, Tx, open_store

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


class Server:
    """`python -m annotate.serve` over a store; `url` has no slash at its end and stays the same after a restart."""

    def __init__(self, store_url: str, args: Sequence[str] = ()) -> None:
        self.store_url = store_url
        self.url = ""
        self._args = args
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in close)

    def start(self) -> None:
        """Start it, on the port it had before if it had one; returns when the page can be opened."""
        assert self._process is None, "the server runs already"
        port = self.url.split("/")[2].rpartition(":")[2] if self.url else "0"
        command = [sys.executable, "-m", "annotate.serve", "--port", port, "--store", self.store_url, *self._args]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # comes when everything is imported; empty when it ended
        assert "http://" in line, f"the server did not start: {line}{self.errors()}"
        self.url = next(word for word in line.split() if word.startswith("http://")).rstrip("/")

    def stop(self) -> None:
        """Ask it to end, as a service manager does, and wait for it."""
        self._end("terminate")

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._end("kill")

    def errors(self) -> str:
        """What it wrote to its error output so far."""
        self._errors.seek(0)
        return self._errors.read()

    def _end(self, how: str) -> None:
        if self._process is not None:
            getattr(self._process, how)()
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def close(self) -> None:
        """Kill it if it still runs, and drop what it wrote."""
        self.kill()
        self._errors.close()


@contextmanager
def served(store_url: str, *args: str) -> Iterator[Server]:
    """A server on a free port until the block ends; `args` are further flags of annotate.serve."""
    server = Server(store_url, args)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def opened(store_url: str) -> Iterator[Store]:
    """The store, made if it is not there; writes do not wait for the disk."""
    store = open_store(store_url, durable=False)
    try:
        yield store
    finally:
        store.close()


def load(
    store_url: str,
    file: str | Path | Sequence[str | Path],
    project: str,
    *,
    format: str | None = None,
    guidelines: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    **wishes: Any,
) -> Tally:
    """Load a file (or several of one layout) as annotate.load does; rejected rows are only counted.

    `wishes` are kind, overlap, priority, language and criteria; `guidelines` are texts by language.
    """
    files = [str(one) for one in ([file] if isinstance(file, str | Path) else file)]
    with opened(store_url) as store:
        rows = read(files, format).rows
        tally = load_rows(store, project, rows, Wishes(**wishes), rejected=lambda _: None, source="test")
        with store.write() as tx:
            found = projects.find_project(tx, project)
            if guidelines:
                projects.set_guidelines(tx, found, guidelines)
            if settings:
                projects.change_settings(tx, found, settings)
    return tally


def add_person(
    store_url: str,
    name: str,
    projects: Sequence[str],
    languages: Sequence[str] = ("en",),
    role: accounts.Role = "annotator",
) -> str:
    """Somebody who may work in the projects; returns the secret of their one-time link."""

    def work(tx: Tx) -> str:
        return accounts.add_person(tx, name, list(projects), role, list(languages))

    with opened(store_url) as store:
        return store.change(work)


def sign_in(context: "BrowserContext", url: str, link: str) -> "Page":
    """A page of this browser, signed in by a one-time link and led to where its person works."""
    page = context.new_page()
    page.goto(f"{url}/join/{link}")
    page.locator("button[type=submit]").click()
    page.locator(".concord .top").wait_for()
    return page
