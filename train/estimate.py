"""Memory, time, energy and money of a run before it starts, with assumptions and a range.

    python -m train.estimate --model 8B --method qlora --task dpo --length 1024 --batch 4 --gpu H100 --pairs 10000
    python -m train.estimate --model MODEL --task dpo --config train/configs/dpo.yaml EXPORT
    python -m train.estimate --table

--model is a size (1B, 7B, 8B, 13B, 70B) or a folder with config.json. With --config and an EXPORT the lengths are
those of its rows. What runs took on this machine (WORKSPACE/estimates.jsonl) corrects the figures.
"""

from pathlib import Path

from data.bundled import bundled
from data.command import add_json, add_workspace, finish, parser
from data.errors import BadInput, exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, estimate, print."""
    p = parser(__doc__, "python -m train.estimate")
    p.add_argument("export", nargs="?", type=Path, metavar="EXPORT", help="take lengths from its rows (with --config)")
    p.add_argument(
        "--model", metavar="SIZE|DIR", help="a size, or a folder with config.json (8B; of a table: all three)"
    )
    p.add_argument("--method", choices=["full", "lora", "qlora"], default="qlora", help="default: qlora")
    p.add_argument("--task", choices=["sft", "reward", "dpo", "kto"], default="dpo", help="default: dpo")
    p.add_argument("--config", type=bundled, metavar="YAML", help="settings of a run, in place of the flags below")
    p.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="over the file's settings"
    )
    p.add_argument("--length", type=int, default=1024, metavar="N", help="tokens of the longest row (1024)")
    p.add_argument("--prompt", type=int, metavar="N", help="tokens of prompts among them (half)")
    p.add_argument("--batch", type=int, default=1, metavar="N", help="rows of a forward pass; a pair is one (1)")
    p.add_argument("--rank", type=int, default=16, metavar="N", help="of the adapter (16)")
    p.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="bfloat16", help="default: bfloat16")
    p.add_argument("--optimizer", default="adamw_torch", metavar="NAME", help="adamw_torch, adamw_8bit …")
    p.add_argument("--gradient-checkpointing", action="store_true", help="activations are computed again")
    p.add_argument("--no-precompute", action="store_true", help="DPO: the reference at every step")
    p.add_argument("--sharing", action="store_true", help="DPO: prompt and both answers in one sequence")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cuda", help="default: cuda")
    p.add_argument(
        "--gpu", metavar="NAME", help="for time, energy and whether it fits; default: the smallest that fits"
    )
    p.add_argument("--price", type=float, metavar="N", help="of an hour of the device, in your currency")
    p.add_argument("--watts", type=float, metavar="N", help="of the device; default: the GPU's greatest")
    p.add_argument("--pairs", type=int, default=10_000, metavar="N", help="rows to train on (10,000)")
    p.add_argument("--epochs", type=float, default=1.0, metavar="N", help="times each is seen (1)")
    p.add_argument("--table", action="store_true", help="7B, 13B and 70B, or --model, by full, LoRA and QLoRA")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    for flag in ("length", "batch", "rank", "pairs", "epochs", "price", "watts", "prompt"):
        value = getattr(args, flag)
        if value is not None and not 0 < value < 1e12:
            raise BadInput(f"--{flag}: {value:g} is not above 0, or is out of reason")
    from train.estimate_told import table, told

    summary = table(args) if args.table else told(args)
    finish(summary, args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
