"""A small language model and tokenizer, made on the CPU in under two minutes, to try all of training with.

    python -m train.tiny --out workspace/tiny

Trained on the bundled texts until its held-out loss is below a trigram model's on the same tokens; no download.
The same seed and threads give the same bytes.
"""

from pathlib import Path

from data.command import add_json, finish, parser
from data.errors import BadInput, exit_status
from data.folder import check_place


def main(argv: list[str] | None = None) -> int:
    """Read the flags, make the model, print the summary."""
    p = parser(__doc__, "python -m train.tiny")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write; must be new")
    p.add_argument("--seed", type=int, default=0, help="weights and order of texts (default: 0)")
    p.add_argument("--steps", type=int, default=800, metavar="N", help="most steps (default: 800)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="threads; the bytes hang on it (default: 1)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    add_json(p)
    args = p.parse_args(argv)
    for flag in ("steps", "threads"):
        if getattr(args, flag) < 1:
            raise BadInput(f"--{flag}: {getattr(args, flag)} is below 1")
    check_place(args.out, replace=args.force)
    from train.tiny_run import make_tiny

    made = make_tiny(args.out, seed=args.seed, steps=args.steps, threads=args.threads, replace=args.force)
    finish(made, args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
