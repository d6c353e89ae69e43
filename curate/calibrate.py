"""How far a model judge can stand in for people: agreement, calibration, and its leanings.

    python -m curate.calibrate --project NAME --out DIR
    python -m curate.calibrate labels.csv --judge NAME --out DIR
    python -m curate.calibrate comparisons.csv --comparisons --judge NAME --out DIR

Only what people and the judge both judged counts. Plain tables have the columns unit, annotator, value and, if you
like, probability (the judge's, that the value it gave is right), or with --comparisons item_a, item_b, winner,
annotator; CSV, TSV, JSONL, Parquet. DIR/report.html is what to read first: alpha and kappa with intervals, people
among themselves beside them, a calibration curve, the temperature that would make the judge's probabilities fit,
its lean to the side shown first, to the longer response or to a value, and agreement by language, tag and kind of
task. With too little overlap it says so and ends with status 3.
"""

import argparse
from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import BadInput, exit_status

COLUMNS = {
    "labels": ("unit", "annotator", "value", "probability"),
    "comparisons": ("item_a", "item_b", "winner", "annotator"),
}


def main(argv: list[str] | None = None) -> int:
    """Read the flags, compare, print the summary."""
    p = parser(__doc__, "python -m curate.calibrate")
    p.add_argument("files", nargs="*", type=Path, metavar="FILE", help="plain tables: CSV, TSV, JSONL or Parquet")
    p.add_argument("--comparisons", action="store_true", help="the tables hold comparisons of two items")
    p.add_argument("--project", metavar="NAME", help="the project whose model judges are held against its people")
    p.add_argument("--snapshot", type=Path, metavar="DIR", help="a snapshot, an export, or its judgments.jsonl")
    p.add_argument("--judge", metavar="ID", help="the judge's annotator id (default: every model of the project)")
    p.add_argument("--least", type=int, default=50, help="units in common that are needed (default: 50)")
    p.add_argument("--criterion", help="compare rated responses by their rating on this criterion")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    for name in dict.fromkeys((*COLUMNS["labels"], *COLUMNS["comparisons"])):
        p.add_argument(f"--{name.replace('_', '-')}", default=name, metavar="COLUMN", help=f"column of {name}")
    p.add_argument("--threads", type=int, help="how many work at a time (default: as many as cores)")
    p.add_argument("--memory", type=int, metavar="MB", help="megabytes that tables may hold before they spill to disk")
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    if bool(args.files) == bool(args.project or args.snapshot):
        raise BadInput(
            "name files of labels or comparisons, or a --project (of the store or of a --snapshot), one of the two"
        )
    if args.files and not args.judge:
        raise BadInput("--judge names the annotator of the files who is the judge")
    if args.least < 3:
        raise BadInput(f"--least: {args.least} is below 3; fewer say nothing")
    finish(calibrate(args), args.json)
    return 0


def calibrate(args: argparse.Namespace) -> dict[str, Any]:
    """Hold judges against people as the flags say, into a folder; returns the summary."""
    from curate.calibrated import fill_comparisons, fill_labels, fill_project
    from curate.engine import engine
    from data.folder import write_folder

    columns = {name: getattr(args, name) for name in COLUMNS["comparisons" if args.comparisons else "labels"]}
    config: dict[str, Any] = {"judge": args.judge, "least": args.least, "criterion": args.criterion}
    config |= {"columns": columns} if args.files else {}
    with (
        write_folder(args.out, "calibration", config, replace=args.force) as folder,
        engine(args.threads, args.memory) as con,
    ):
        if args.files:
            fill = fill_comparisons if args.comparisons else fill_labels
            summary = fill(con, folder, args.files, columns, args.judge, args.least)
        else:
            from curate.frozen import choose_project
            from curate.votes import opened

            with opened(con, args.snapshot, store_url(args)) as heads:
                project = choose_project(con, args.project)
                folder.inputs["ledger"] = {"project": project, **heads.get(project, {})}
                folder.config["project"] = project
                summary = fill_project(con, folder, project, args.judge, args.least, args.criterion)
        manifest = folder.seal()
    return {**summary, "report": str(args.out / "report.html"), "digest": manifest.digest, "wrote": str(args.out)}


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
