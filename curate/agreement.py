"""How far annotators agree beyond chance, with intervals and a verdict.

    python -m curate.agreement labels.csv --level ordinal
    python -m curate.agreement --project NAME
    python -m curate.agreement SNAPSHOT --project NAME
    python -m curate.agreement EXPORT/audit/judgments.jsonl

From plain tables (columns unit, annotator, value, or with --comparisons item_a, item_b, winner,
annotator; CSV, TSV, JSONL, Parquet), from the store, from a snapshot of it, or from the judgments
of an export: Krippendorff's alpha, percent agreement, Gwet's AC1, and Kendall's W for
rankings. Intervals come from resampling what was judged, never who judged it: the jackknife, and
the bootstrap beside it. Writes DIR/data/agreement.jsonl, a row for each measure and slice, and
DIR/report.html with charts.
"""

from pathlib import Path
from typing import Any

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import CheckFailed, NotEnough, exit_status

COLUMNS = {"labels": ("unit", "annotator", "value"), "comparisons": ("item_a", "item_b", "winner", "annotator")}


def main(argv: list[str] | None = None) -> int:
    """Read the flags, measure, print the summary."""
    p = parser(__doc__, "python -m curate.agreement")
    p.add_argument(
        "input", nargs="*", type=Path, metavar="FILE", help="plain tables, one snapshot or export, or judgments"
    )
    p.add_argument("--comparisons", action="store_true", help="the tables hold comparisons of two items")
    p.add_argument("--project", metavar="NAME", help="the project in the store or snapshot")
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write (default: in the workspace)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    p.add_argument("--level", choices=("nominal", "ordinal", "interval", "ratio"), help="of measurement")
    p.add_argument(
        "--values", metavar="A,B,C", help="a plain table's values in their order, where sorting would not do"
    )
    p.add_argument("--unit", default="unit", metavar="COLUMN", help="what was judged (default: unit)")
    p.add_argument("--annotator", default="annotator", metavar="COLUMN", help="who judged (default: annotator)")
    p.add_argument("--value", default="value", metavar="COLUMN", help="the judgment (default: value)")
    for name in ("item_a", "item_b", "winner"):
        p.add_argument(f"--{name.replace('_', '-')}", default=name, metavar="COLUMN", help=f"column of {name}")
    p.add_argument("--threshold", type=float, default=0.8, help="alpha to reach (default: 0.8)")
    p.add_argument("--confidence", type=float, default=0.95, help="of the intervals (default: 0.95)")
    p.add_argument("--replicates", type=int, default=10_000, help="of the bootstrap (default: 10000)")
    p.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    p.add_argument("--all-annotators", action="store_true", help="do not leave out each annotator in turn")
    p.add_argument("--check", action="store_true", help="ask the krippendorff package too; status 1 if it differs")
    p.add_argument("--gate", action="store_true", help="status 1 when alpha is not reached, 3 when that is open")
    p.add_argument("--threads", type=int, help="how many work at a time (default: all cores)")
    p.add_argument("--memory", type=int, metavar="MB", help="megabytes that tables may hold before they spill to disk")
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    from curate.agreement_run import Wanted, run

    wanted = Wanted(
        inputs=args.input,
        url=None if args.input else store_url(args),
        project=args.project,
        out=args.out,
        workspace=args.workspace,
        level=args.level,
        values=None if args.values is None else [v.strip() for v in args.values.split(",")],
        columns={name: getattr(args, name) for name in COLUMNS["comparisons" if args.comparisons else "labels"]},
        threshold=args.threshold,
        confidence=args.confidence,
        replicates=args.replicates,
        seed=args.seed,
        leave_out=not args.all_annotators,
        check=args.check,
        threads=args.threads,
        memory_mb=args.memory,
        comparisons=args.comparisons,
    )
    summary = run(wanted, replace=args.force)
    told = summary if args.json else {k: v for k, v in summary.items() if k not in ("alphas", "verdicts")}
    finish(told, args.json)
    return _status(summary, args.gate)


def _status(summary: dict[str, Any], gate: bool) -> int:
    """What the run's verdicts mean for the exit status."""
    if summary.get("checked") == "differs":
        raise CheckFailed("the krippendorff package gives another alpha; see audit/krippendorff.jsonl")
    if gate:
        words = summary["verdicts"].values()
        if any(word.startswith("not reached") for word in words):
            raise CheckFailed("alpha is below the threshold")
        if not words or any(word != "reached" for word in words):
            raise NotEnough("not enough data to say that alpha reaches the threshold")
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
