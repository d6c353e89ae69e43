"""What training would cut, drop or learn nothing from, row by row, before any weight is loaded.

    python -m train.preflight workspace/exports/sky --model workspace/tiny --out workspace/preflight/sky

DIR/data/train.jsonl (validation, test) has a line for each row of the export: tokens of prompt and answers, what is
cut or dropped and why, ends of text, prompts that are no prefix, answers that are the same tokens, contradictory
labels. Exit status 1 when a greater share than --allow-loss would be lost.
"""

from pathlib import Path

from data.command import add_json, add_workspace, finish, parser, progress, share
from data.errors import BadInput, exit_status
from train.tasks import TASKS


def main(argv: list[str] | None = None) -> int:
    """Read the flags, look at every row, write them, print the summary."""
    p = parser(__doc__, "python -m train.preflight")
    p.add_argument("export", type=Path, metavar="EXPORT", help="folder that curate.export wrote")
    p.add_argument("--model", required=True, metavar="M", help="a model's folder, or its name on the Hub")
    p.add_argument("--task", choices=TASKS, help="for which trainer (default: by the export's columns)")
    p.add_argument("--length", type=int, default=1024, metavar="N", help="most tokens of prompt and answer (1024)")
    p.add_argument("--allow-loss", default="0", metavar="SHARE", help="share of rows that may be lost, 0 to 1 (0)")
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write (default: in the workspace)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    p.add_argument("--unverified", action="store_true", help="read an export that has changed or has no manifest")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    allow = share("--allow-loss", args.allow_loss)
    if args.length < 1:
        raise BadInput(f"--length: {args.length} is below 1")
    from data.folder import check_place
    from train.exports import read_export
    from train.loading import load_tokenizer
    from train.looking import Limits
    from train.preflight_run import default_place, look_and_write
    from train.tasks import task_of

    out = args.out or default_place(args.workspace, args.export)
    check_place(out, replace=args.force)
    with progress("reading the export") as step:
        export = read_export(args.export, unverified=args.unverified)
        step(1)
    limits = Limits(task_of(export.kind, args.task), args.length)
    tokenizer = load_tokenizer(args.model)
    summary, enough = look_and_write(export, tokenizer, args.model, limits, allow, out, replace=args.force)
    finish(summary, args.json)
    return 0 if enough else 1


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
