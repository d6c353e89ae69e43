"""What many judgments say together: labels, preferences, strengths, and how reliable each annotator is.

    python -m curate.aggregate labels.csv --out DIR
    python -m curate.aggregate --comparisons battles.jsonl --out DIR
    python -m curate.aggregate --project NAME --out DIR

Labels are rows of unit, annotator and value; comparisons rows of item_a, item_b, winner and, where known,
annotator; both as CSV, TSV, JSONL or Parquet. A project is read from the store, or with --snapshot from a
folder that curate.snapshot wrote. DIR/report.html is what to read first; DIR/data has labels or pairs with
probabilities, annotators with reliabilities and intervals, and strengths of models or items.
"""

import argparse
from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, progress, store_url
from data.errors import BadInput, exit_status, nearest

METHODS = ("dawid-skene", "one-coin", "majority", "plackett-luce")
SOURCES = {"human": "person", "model": "model", "rule": "rule"}
COLUMNS = {"labels": ("unit", "annotator", "value"), "comparisons": ("item_a", "item_b", "winner", "annotator")}


def main(argv: list[str] | None = None) -> int:
    """Read the flags, aggregate, print the summary."""
    args = _flags().parse_args(argv)
    if bool(args.files) == bool(args.project or args.snapshot):
        raise BadInput("name files of labels, or a --project (of the store or of a --snapshot), one of the two")
    if not 0 <= args.prior < 1000 or not 0 <= args.smoothing < 1000 or args.replicates < 1 or args.seed < 0:
        raise BadInput("--prior and --smoothing lie between 0 and 1000, --replicates is at least 1, --seed at least 0")
    if not args.files and not args.prior:
        raise BadInput("--prior: a prompt has few rankings, and without a prior their strengths are infinite; give 0.5")
    finish(aggregate(args), args.json)
    return 0


def _flags() -> argparse.ArgumentParser:
    p = parser(__doc__, "python -m curate.aggregate")
    p.add_argument("files", nargs="*", type=Path, metavar="FILE", help="labels, or with --comparisons comparisons")
    p.add_argument("--comparisons", action="store_true", help="the files hold comparisons of two items")
    p.add_argument("--project", metavar="NAME", help="aggregate a project's judgments")
    p.add_argument("--snapshot", type=Path, metavar="DIR", help="a snapshot, an export, or its judgments.jsonl")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    p.add_argument("--method", choices=METHODS, default=METHODS[0], help="what decides (default: dawid-skene)")
    p.add_argument("--prior", type=float, default=0.5, help="votes added to each side (default: 0.5)")
    p.add_argument(
        "--smoothing", type=float, default=1.0, help="votes added to each cell of a confusion table (default: 1)"
    )
    p.add_argument("--replicates", type=int, default=1000, help="of the bootstrap (default: 1000)")
    p.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    p.add_argument("--sources", default="human,model", help="whose judgments count (default: human,model)")
    p.add_argument("--criterion", help="compare rated responses by their rating on this criterion")
    p.add_argument("--unit", default="unit", metavar="COLUMN", help="column of what was labelled")
    p.add_argument("--annotator", default="annotator", metavar="COLUMN", help="column of who judged")
    p.add_argument("--value", default="value", metavar="COLUMN", help="column of the label")
    p.add_argument("--item-a", default="item_a", metavar="COLUMN", help="column of what was shown first")
    p.add_argument("--item-b", default="item_b", metavar="COLUMN", help="column of what was shown second")
    p.add_argument("--winner", default="winner", metavar="COLUMN", help="column of the winner")
    p.add_argument("--threads", type=int, help="how many work at a time (default: as many as cores)")
    p.add_argument("--memory", type=int, metavar="MB", help="megabytes that tables may hold before they spill to disk")
    add_store(p)
    add_json(p)
    return p


def aggregate(args: argparse.Namespace) -> dict[str, Any]:
    """Aggregate what the flags name to a folder; returns the summary."""
    from curate.aggregated import Wishes, fill_comparisons, fill_labels, fill_project
    from curate.engine import engine
    from data.folder import write_folder

    kinds = tuple(sorted(_kind(word.strip()) for word in args.sources.split(",") if word.strip()))
    wish = Wishes(args.method, args.prior, args.smoothing, args.replicates, args.seed, kinds, args.criterion)
    columns = {name: getattr(args, name) for name in COLUMNS["comparisons" if args.comparisons else "labels"]}
    config: dict[str, Any] = {**wish._asdict(), "kinds": list(kinds)}
    if args.files:
        config["columns"] = columns
        if args.method == "plackett-luce":
            raise BadInput("--method plackett-luce ranks the responses of a project; files take the others")
    with (
        write_folder(args.out, "aggregate", config, replace=args.force) as folder,
        engine(args.threads, args.memory) as con,
        progress("passes over the votes") as step,
    ):
        count = lambda _n: step(1)  # noqa: E731
        if args.comparisons:
            folder.inputs["files"] = _hashes(args.files)
            summary = fill_comparisons(con, folder, args.files, columns, wish, count)
        elif args.files:
            folder.inputs["files"] = _hashes(args.files)
            summary = fill_labels(con, folder, args.files, columns, wish, count)
        else:
            from curate.frozen import choose_project
            from curate.votes import opened

            with opened(con, args.snapshot, store_url(args)) as heads:
                project = choose_project(con, args.project)
                folder.inputs["ledger"] = {"project": project, **heads.get(project, {})}
                folder.config["project"] = project
                summary = fill_project(con, folder, project, wish, count)
        manifest = folder.seal()
    return {**summary, "report": str(args.out / "report.html"), "digest": manifest.digest, "wrote": str(args.out)}


def _kind(word: str) -> str:
    if word not in SOURCES:
        raise BadInput(f"--sources: '{word}' is none of {', '.join(SOURCES)}{nearest(word, SOURCES)}")
    return SOURCES[word]


def _hashes(files: list[Path]) -> dict[str, str]:
    """sha256 of each file that is there, by name."""
    import hashlib

    found = {}
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
