"""Prove an export: every byte, every id, and every row against the judgments behind it; of other folders every byte.

    python -m curate.verify DIR [--store [URL]]

The folder alone shows whether anything in it was changed and whether each row says what its
judgments say. With --store the ledger's chain is checked too, and that the tasks and
judgments are those of the store, none that counted left out. Of a folder that another command wrote (a snapshot,
an audit, a split …) every byte, row hash, digest and seal is checked, and what it is is said; rows are proved for
exports only. Exit status: 0 all fits, 1 something does not (named by file and row), 2 there is nothing to verify.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.command import add_json, add_workspace, finish, parser
from data.errors import BadInput, CheckFailed, exit_status, one_line

if TYPE_CHECKING:
    from data.manifest import Manifest

SHOWN = 10  # faults printed; the rest are counted
DEFAULT_STORE = "default"


def main(argv: list[str] | None = None) -> int:
    """Read the flags, verify, print what does not fit."""
    p = parser(__doc__, "python -m curate.verify")
    p.add_argument("dir", type=Path, metavar="DIR", help="a folder that a command wrote: an export, or any other")
    p.add_argument(
        "--store",
        nargs="?",
        const=DEFAULT_STORE,
        metavar="URL",
        help="compare with this store as well (without URL: CONCORD_STORE, or the workspace's)",
    )
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    url = args.store
    if url == DEFAULT_STORE:
        from data.store import default_url

        url = default_url(args.workspace)
    faults, summary = verify(args.dir, url)
    if args.json:
        finish({**summary, "faults": faults}, True)
    else:
        for fault in faults[:SHOWN]:
            print(one_line(fault), flush=True)
    if faults:
        more = f", {SHOWN} of them named above" if len(faults) > SHOWN else ""
        fits = "thing does not fit" if len(faults) == 1 else "things do not fit"
        raise CheckFailed(f"{args.dir} does not verify: {len(faults):,} {fits}{more}")
    if not args.json:
        finish(summary)
    return 0


def verify(folder: Path, url: str | None) -> tuple[list[str], dict[str, Any]]:
    """What does not fit in a folder (and, given a store's URL, between them), and the summary.

    The rows are computed again only where every byte is as it was written, and compared with
    the store only where the folder agrees with itself.
    """
    from curate.proof import check_rows, count_rows
    from curate.proof_store import check_store
    from data.manifest import read_manifest, verify_folder
    from data.store import open_store

    faults = verify_folder(folder)
    if faults:
        return faults, {"verified": False, "folder": str(folder)}
    manifest = read_manifest(folder)
    if manifest.what != "export" and not looks_like_export(folder, manifest):
        if url is not None:
            raise BadInput(f"{folder} is '{one_line(manifest.what, 40)}', no export; only an export fits a store")
        return [], {
            "verified": True,
            "folder": str(folder),
            "what": one_line(manifest.what, 40),
            "files": len(manifest.files),
            "rows": sum(f.rows or 0 for f in manifest.files if f.path.startswith("data/")),
            "proved": "every byte, row hash, digest and seal; rows are proved for exports only",
            "digest": manifest.digest,
        }
    faults = check_rows(folder, manifest)
    if url is not None and not faults:
        store = open_store(url, create=False)
        try:
            with store.read() as tx:
                faults = check_store(tx, folder, manifest)
        finally:
            store.close()
    rows = {f.path: f.rows or 0 for f in manifest.files}
    return faults, {
        "verified": not faults,
        "folder": str(folder),
        "format": manifest.config.get("format", "trl"),
        "rows": count_rows(folder, manifest),
        "tasks": rows.get("audit/tasks.jsonl", 0),
        "judgments": rows.get("audit/judgments.jsonl", 0),
        "digest": manifest.digest,
        "ledger": "fits" if url is not None else "not compared; --store does it",
    }


def looks_like_export(folder: Path, manifest: "Manifest") -> bool:
    """Whether it is an export whatever its manifest calls it: by rows with judgments behind them, or by rules."""
    from curate.proof import JUDGMENTS, TASKS

    rules = isinstance(manifest.config.get("rules"), dict)
    return rules or all((folder / name).exists() for name in ("data", TASKS, JUDGMENTS))


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
