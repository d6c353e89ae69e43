"""A backup of the whole store, taken while people work, and proved before it is called one.

    python -m annotate.backup [--keep 14]

One folder with everything the store holds at one moment: SQLite and PostgreSQL give the same files. Nobody
waits for it. Then a store is filled from what was written, and every project's ledger recomputed there; where
it does not fit, the backup is kept, says so, and the exit status is 1. Without --out it goes to
WORKSPACE/backups under a name by its time; there --keep takes the oldest away. It holds names and password
hashes, and only its owner can read it.
"""

import argparse
from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, progress, store_url
from data.errors import BadInput, CheckFailed, exit_status

HOLDS = "people's names, password hashes and the key of their sessions; readable by its owner alone"


def arguments() -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__, "python -m annotate.backup")
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--series", type=Path, metavar="DIR", help="folder of backups by time (default: WORKSPACE/backups)")
    p.add_argument(
        "--keep", type=int, metavar="N", help="when this one is good, keep the newest N of them (default: all)"
    )
    add_store(p)
    add_json(p)
    args = p.parse_args()
    if args.out and (args.keep is not None or args.series):
        raise BadInput("--out is one folder by itself; --series and --keep are for backups by time: leave --out out")
    if args.keep is not None and args.keep < 1:
        raise BadInput(f"--keep is {args.keep}; keep 1 backup or more")
    return args


def main() -> int:
    """Write, prove, take the oldest away, say."""
    args = arguments()
    from data.backup_series import keep_newest, next_place

    series = args.series or args.workspace / "backups"
    out = args.out or next_place(series)
    summary, faults = take(store_url(args), out)
    if not faults and args.keep is not None:
        summary["taken_away"] = [path.name for path in keep_newest(series, args.keep)]
    if args.json or not faults:
        finish(summary, args.json)
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise CheckFailed(
            f"{out} holds what the store holds, and the store's ledger does not fit it: {faults[0]}{more}; it is no"
            " good backup, and no older one was taken away"
        )
    return 0


def take(url: str, out: Path) -> tuple[dict[str, Any], list[str]]:
    """Back a store up to a folder; returns the summary, and where its ledger does not fit."""
    from data.backup import WHAT, count_rows, for_its_owner_alone, summary_of, write_backup
    from data.folder import write_folder
    from data.restoring import prove
    from data.store import open_store

    store = open_store(url, create=False, upgrade=False, pool=1)
    try:
        with for_its_owner_alone(), write_folder(out, WHAT, {}, replace=None) as folder:
            with store.read() as tx, progress("backing up", total=count_rows(tx)) as step:
                backup = write_backup(tx, folder, step)
            with progress("reading it back", total=sum(backup.rows.values())) as step:
                faults = prove(folder, backup, step)
            manifest = folder.seal()
    finally:
        store.close()
    return {
        **summary_of(backup),
        "ledger": "does not fit" if faults else "fits",
        "schema": backup.schema,
        "bytes": sum(file.bytes for file in manifest.files),
        "holds": HOLDS,
        "digest": manifest.digest,
        "wrote": str(out),
    }, faults


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
