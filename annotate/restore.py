"""A store filled from a backup, on either database; every ledger is checked in it before it is there.

    python -m annotate.restore DIR --store URL

The store must be empty, or a SQLite file that is not there yet; --replace gives up all it holds. It is
restored whole or not at all. A backup of an older schema is brought to this version; a newer one is refused.
Everybody signs in anew: sessions end, and sign-in links that were waiting are void, since some were used or
called back after the backup. --keep-sign-ins keeps both, for a move during which nobody worked.
"""

import argparse
from pathlib import Path
from typing import Any

from data.command import add_json, finish, parser, progress
from data.errors import exit_status


def arguments() -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__, "python -m annotate.restore")
    p.add_argument("dir", type=Path, metavar="DIR", help="a backup, as annotate.backup wrote it")
    p.add_argument(
        "--store", required=True, metavar="URL", help="sqlite:///path or postgresql://user@host/name to fill"
    )
    p.add_argument("--replace", action="store_true", help="give up everything the store holds now")
    p.add_argument("--keep-sign-ins", action="store_true", help="keep sessions and links (after a move, not a loss)")
    p.add_argument("--with-faults", action="store_true", help="restore a backup whose ledger did not fit, as it is")
    add_json(p)
    return p.parse_args()


def main() -> int:
    """Check the backup, fill the store, say."""
    args = arguments()
    finish(restore(args.dir, args.store, args.replace, args.keep_sign_ins, args.with_faults), args.json)
    return 0


def restore(folder: Path, url: str, replace: bool, keep_sign_ins: bool, with_faults: bool) -> dict[str, Any]:
    """Fill the store; returns the summary."""
    from annotate.accounts import end_sign_ins
    from data.backup import open_backup, summary_of
    from data.manifest import without_secrets
    from data.restoring import restored

    backup = open_backup(folder)
    with (
        progress("restoring", total=sum(backup.rows.values())) as step,
        restored(url, backup, replace=replace, with_faults=with_faults, step=step) as tx,
    ):
        if not keep_sign_ins:
            end_sign_ins(tx)
    return {
        **summary_of(backup),
        "ledger": "does not fit, as in the backup" if backup.faults else "fits, heads as in the backup",
        "sign_ins": "kept" if keep_sign_ins else "ended: people sign in by password or by a new link",
        "restored": without_secrets(url),
    }


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
