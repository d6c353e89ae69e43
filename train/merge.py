"""A run's adapter merged into its base, as one model in 16, 8 or 4 bits, and how far it is from the adapter.

    python -m train.merge workspace/runs/dpo-sky --bits 16 --out workspace/merged/dpo-sky

DIR is a model's folder: weights, tokenizer and template (proved the same), manifest.json, and audit/likeness.jsonl with
top-1 agreement and KL divergence against the unmerged adapter over held-out text. An adapter of a 4-bit base is merged
both onto those 4-bit weights and onto the base as it is; the one that comes closer is kept (--onto chooses).
"""

from pathlib import Path

from data.command import add_json, finish, parser
from data.errors import BadInput, exit_status
from train.devices import DEVICES, find_device


def main(argv: list[str] | None = None) -> int:
    """Read the flags, merge, print the summary."""
    p = parser(__doc__, "python -m train.merge")
    p.add_argument("run", metavar="RUN", help="a run's folder, or an adapter's, or a model's to be quantised")
    p.add_argument("--bits", type=int, choices=(16, 8, 4), default=16, help="16, LLM.int8, or NF4 (16)")
    p.add_argument("--onto", choices=("4bit", "16bit"), help="which base weights (default: the better one, measured)")
    p.add_argument(
        "--dtype", choices=("bfloat16", "float32", "float16"), default="bfloat16",
        help="of the weights, or of what is not quantised (bfloat16)",
    )  # fmt: skip
    p.add_argument("--data", type=Path, metavar="EXPORT", help="compare over its held-out rows (default: the run's)")
    p.add_argument("--prompts", type=Path, nargs="+", default=[], metavar="FILE", help="compare over these prompts")
    p.add_argument("--texts", type=int, default=200, metavar="N", help="most rows to compare over (200)")
    p.add_argument("--length", type=int, default=1024, metavar="N", help="most tokens of each (1024)")
    p.add_argument("--batch", type=int, default=4, metavar="N", help="texts compared at once (4)")
    p.add_argument("--device", default="auto", choices=DEVICES, help="where (auto)")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    add_json(p)
    args = p.parse_args(argv)
    for name, least in (("texts", 1), ("length", 2), ("batch", 1)):
        if getattr(args, name) < least:
            raise BadInput(f"--{name} {getattr(args, name)} is below {least}")
    from data.folder import check_place
    from train.merge_run import Plan, merge_and_write

    check_place(args.out, replace=args.force)
    plan = Plan(
        run=args.run,
        bits=args.bits,
        dtype=args.dtype,
        onto=args.onto,
        data=args.data,
        prompts=args.prompts,
        texts=args.texts,
        length=args.length,
        batch=args.batch,
        device=find_device(args.device),
    )
    finish(merge_and_write(plan, args.out, replace=args.force), args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
