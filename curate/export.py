"""A project's judgments as data to train on, each row with the proof of where it came from.

    python -m curate.export --project NAME --out DIR [--recipe FILE.yaml]

Every stage in order: which judgments count, agreement, aggregation, pairs, clusters of prompts, duplicates,
audit, quota, splits, rows, card, report. Each has its flags, and a recipe holds them by the same names
(data/sample/export.yaml has all). Writes DIR/data/{train,validation,test}.jsonl in TRL's conversational
preference format or in another (--format), DIR/report.html to read first, and in DIR/audit what stands behind
every row; `python -m curate.verify DIR` proves it. Exit status: 0 done, 1 a finding blocks (what is found lies
in DIR.refused), 2 something to mend, 3 no pair yet, or agreement not shown yet where it is required.
"""

from pathlib import Path
from typing import Any

from data.bundled import bundled
from data.command import Parser, add_json, add_store, finish, parser, store_url
from data.errors import BadInput, exit_status

FORMATS = ("trl", "trl-unpaired", "sft", "hh-rlhf", "llama-factory", "parquet")  # those of curate/layouts.py


def main(argv: list[str] | None = None) -> int:
    """Read the flags and the recipe, export, print the summary."""
    p = parser(__doc__, "python -m curate.export")
    p.add_argument("--project", metavar="NAME", help="the project to export")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--force", action="store_true", help="put it in the place of a former export")
    p.add_argument("--recipe", type=bundled, metavar="FILE", help="a YAML file of settings; flags win over it")
    p.add_argument(
        "--format",
        choices=FORMATS,
        help="trl: pairs; trl-unpaired: a response and its label; sft: the best response of each task; "
        "hh-rlhf: transcripts; llama-factory: sharegpt; parquet: as trl (default: trl)",
    )
    _add_judgments(p)
    _add_rows(p)
    _add_checks(p)
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    from curate.exporting import run
    from curate.recipe import make_recipe, read_recipe

    recipe = make_recipe(read_recipe(args.recipe) if args.recipe else {}, _given(args))
    if recipe.project is None:
        raise BadInput("name the project, with --project or in the recipe")
    finish(run(store_url(args), recipe, args.out, replace=args.force), args.json)
    return 0


def _add_judgments(p: Parser) -> None:
    """Whose judgments count, and what they come to."""
    p.add_argument("--sources", metavar="LIST", help="whose judgments count: human,model,rule (default: human)")
    p.add_argument(
        "--weights", metavar="LIST", help="votes that one of a source is, such as model=0.3 (default: 1 each)"
    )
    p.add_argument(
        "--aggregate",
        choices=("votes", "dawid-skene", "one-coin", "plackett-luce"),
        help="what the probability comes from: counted votes, or a model of annotators or responses (default: votes)",
    )
    p.add_argument("--prior", metavar="VOTES", help="votes added to each side of a pair (default: 0.5)")
    p.add_argument("--smoothing", metavar="VOTES", help="added to each cell of an annotator's table (default: 1)")
    p.add_argument("--criterion", help="compare responses by their ratings on this criterion")
    p.add_argument("--margin", type=int, metavar="POINTS", help="points that make a rating better (default: 1)")


def _add_rows(p: Parser) -> None:
    """Which pairs become rows, and where they go."""
    p.add_argument(
        "--pairs",
        choices=("all", "adjacent", "best-worst"),
        help="of each task: every two responses, neighbours by score, or best against worst (default: all)",
    )
    p.add_argument("--min-votes", type=int, metavar="N", help="annotators who compared the two (default: 1)")
    p.add_argument("--min-probability", metavar="P", help="that chosen is better (default: 0.5)")
    p.add_argument("--min-agreement", metavar="P", help="share of votes that chose it (default: 0)")
    p.add_argument("--per-prompt", type=int, metavar="N", help="most pairs of a cluster of prompts (default: all)")
    p.add_argument(
        "--dedup", choices=("none", "row", "prompt", "response"), help="what may not come again (default: none)"
    )
    p.add_argument("--dedup-threshold", metavar="J", help="similarity of near-duplicates (default: 0.8)")
    p.add_argument("--drop", nargs="+", metavar="FINDING", help="leave out the rows that these findings name")
    p.add_argument("--splits", metavar="LIST", help="shares of train,validation,test (default: 90,5,5)")
    p.add_argument("--group-threshold", metavar="J", help="similarity that puts prompts in one split (default: 0.8)")
    p.add_argument("--seed", type=int, metavar="N", help="which clusters go to which split (default: 0)")


def _add_checks(p: Parser) -> None:
    """What may refuse the export."""
    p.add_argument("--no-audit", action="store_true", help="do not audit the rows")
    p.add_argument("--allow", nargs="+", metavar="FINDING", help="findings that shall not block")
    p.add_argument("--evaluation", nargs="+", metavar="FILE", help="files whose texts must not be among the rows")
    p.add_argument("--agreement", type=float, metavar="ALPHA", help="what agreement should reach (default: 0.8)")
    p.add_argument("--require-agreement", action="store_true", help="refuse unless it is surely reached")


def _given(args: Any) -> dict[str, Any]:
    """The flags that were given, by the names of a recipe."""
    plain = ("format", "project", "aggregate", "prior", "smoothing", "criterion", "margin", "pairs", "min_votes")
    rows = ("min_probability", "min_agreement", "per_prompt", "dedup", "dedup_threshold", "drop", "group_threshold")
    checks = ("seed", "allow", "evaluation", "agreement")
    given = {name: getattr(args, name) for name in (*plain, *rows, *checks)}
    if args.sources is not None:
        given["sources"] = [word.strip() for word in args.sources.split(",") if word.strip()]
    if args.weights is not None:
        given["weights"] = _weights(args.weights)
    if args.splits is not None:
        given["splits"] = _shares(args.splits)
    given["audit"] = False if args.no_audit else None
    given["require_agreement"] = args.require_agreement or None
    return given


def _shares(text: str) -> list[int]:
    try:
        return [int(share) for share in text.split(",")]
    except ValueError:
        raise BadInput(f"--splits: '{text}' is not three whole shares such as 90,5,5") from None


def _weights(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        source, equals, weight = part.partition("=")
        if not equals or source.strip() in found:
            raise BadInput(f"--weights: '{text}' is no list such as human=1,model=0.3")
        found[source.strip()] = weight.strip()
    return found


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
