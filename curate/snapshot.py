"""The store as it is now, frozen as Parquet, so that a result can be computed again from the same bytes.

    python -m curate.snapshot --out DIR

Everything is read in one read transaction, with the head of each project's ledger; people go on
labelling meanwhile. DIR/data has projects, tasks, responses, judgments, ratings and the ledger,
and no one's name. The same store gives the same digest.
"""

from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, freeze, print the summary."""
    p = parser(__doc__, "python -m curate.snapshot")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former snapshot")
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    finish(snapshot(store_url(args), args.out, replace=args.force), args.json)
    return 0


def snapshot(url: str, out: Path, *, replace: bool = False) -> dict[str, Any]:
    """Freeze a store to a folder; returns the summary."""
    from curate.engine import engine
    from curate.frozen import freeze
    from data.folder import write_folder

    with write_folder(out, "snapshot", {}, replace=replace) as folder, engine() as con:
        rows = freeze(con, url, folder)
        manifest = folder.seal()
    return {**rows, "digest": manifest.digest, "wrote": str(out)}


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
