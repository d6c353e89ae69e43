"""New tasks grown from seed tasks: Self-Instruct, or Alpaca's variant in one pass.

    python -m datagen.self_instruct --num 1000 --model M --seeds FILE

Round by round a model goes on with lists of instructions, tells which of them are classification, and works
out up to five instances each; named filters take out what is broken, unfit, not new, or in an evaluation set.
It stops when there is enough, when the budget ends, or when too little comes of it, and says which.

Writes DIR/data/prompts.jsonl (for datagen.respond and others) and DIR/sft/train.jsonl (instruction, input and
output, to train on); DIR/audit has every rejected piece with its filter. The same log gives the same bytes
without asking again. `--dry-run` says beforehand what it would ask.
"""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.bundled import bundled
from data.command import finish, parser
from data.errors import BadInput, NotEnough, exit_status

if TYPE_CHECKING:
    from datagen.asking import Plan
    from datagen.filters import Sieve
    from datagen.growth import Growth, Rules
    from datagen.novelty_index import NoveltyIndex
    from datagen.seeds import Seeds
    from datagen.steps import Steps


def main(argv: list[str] | None = None) -> int:
    """Read the flags, grow the tasks, write the folder, print the summary."""
    args = _flags(argv)
    from datagen import asking
    from datagen.filters import choose
    from datagen.growth import Growth
    from datagen.rounds import grow
    from datagen.seeds import default_seeds, read_seeds
    from datagen.steps import Steps, sampling

    asking.check(args)
    seeds = read_seeds(args.seeds or default_seeds(args.language), args.language)
    steps = Steps(args.model, args.language, sampling(args.sampling), args.templates)
    on = choose(args.filters, args.no_filter)
    rules = _rules(args)
    growth = Growth(seeds.tasks, rules, _sieve(args, on))
    config = _config(args, steps, rules, seeds, on)
    _may_write(args, config)

    async def work(client: Any) -> None:
        from datagen.grown import name

        await grow(client, steps, growth, name)

    done = asking.run(args, _plans(steps, growth), work)
    if done is None:
        return 0
    digest, trained = _write(args, config, growth, steps, seeds)
    finish({**_summary(growth, seeds, trained), **done[1], "digest": digest, "wrote": str(args.out)}, args.json)
    if not growth.kept:
        raise NotEnough(f"no task was kept (stopped: {growth.stopped}); {args.out}/audit/rejected.jsonl says why")
    return 0


def _flags(argv: list[str] | None) -> Namespace:
    from datagen.asking import add_asking

    p = parser(__doc__, "python -m datagen.self_instruct")
    p.add_argument("--seeds", type=bundled, metavar="FILE", help="seed tasks (default: ours in this language)")
    p.add_argument("--num", type=int, default=1000, metavar="N", help="tasks to keep (default 1000)")
    p.add_argument("--model", required=True, metavar="M", help="the model that writes them")
    p.add_argument(
        "--method", choices=("self-instruct", "one-pass"), default="self-instruct", help="one-pass is Alpaca's"
    )
    p.add_argument("--language", default="en", metavar="CODE", help="en, zh, or another (with --seeds; default en)")
    p.add_argument("--round", type=int, default=20, metavar="N", help="requests for instructions a round (default 20)")
    p.add_argument(
        "--min-yield", type=float, default=0.05, metavar="R", help="stop below this share kept of what was asked (0.05)"
    )
    p.add_argument(
        "--sampling", action="append", default=[], metavar="STEP.NAME=VALUE", help="change a step's sampling"
    )
    p.add_argument("--filters", metavar="A,B", help="use these filters only")
    p.add_argument("--no-filter", action="append", default=[], metavar="A", help="switch a filter off; may come again")
    p.add_argument("--novelty-threshold", default="0.7", metavar="F", help="ROUGE-L F1 above which a text is not new")
    p.add_argument("--novelty-compat", choices=("rouge_score",), help="decide as the original's package does")
    p.add_argument("--top-neighbours", type=int, default=0, metavar="K", help="keep each task's K most similar, scored")
    p.add_argument("--avoid", type=Path, nargs="+", default=[], metavar="FILE", help="evaluation sets to keep clear of")
    p.add_argument("--licence", metavar="TEXT", help="written into each prompt")
    p.add_argument("--force", action="store_true", help="put it in the place of a folder made with other settings")
    add_asking(p, "self_instruct")
    return p.parse_args(argv)


def _rules(args: Namespace) -> "Rules":
    from datagen.growth import Rules

    for flag, value in (("num", args.num), ("round", args.round)):
        if value < 1:
            raise BadInput(f"--{flag} is {value}; it is at least 1")
    if not 0 <= args.min_yield <= 1:
        raise BadInput(f"--min-yield is {args.min_yield}; it goes from 0 to 1")
    if args.top_neighbours < 0:
        raise BadInput(f"--top-neighbours is {args.top_neighbours}; it is at least 0")
    return Rules(args.num, args.method == "one-pass", args.seed, args.round, args.min_yield)


def _index(args: Namespace) -> "NoveltyIndex":
    from datagen.novelty_index import NoveltyIndex, parse_threshold

    return NoveltyIndex(parse_threshold(args.novelty_threshold, "--novelty-threshold"), args.novelty_compat)


def _sieve(args: Namespace, on: frozenset[str]) -> "Sieve":
    from datagen import avoid
    from datagen.filters import Sieve

    avoided = avoid.load(args.avoid) if args.avoid else None
    return Sieve(args.language, on, _index(args), avoided, args.method == "one-pass")


def _config(args: Namespace, steps: "Steps", rules: "Rules", seeds: "Seeds", on: frozenset[str]) -> dict[str, Any]:
    """The effective configuration: all that decides what the run asks and keeps, but the answers."""
    from data.records import digest

    asked = ["one_pass"] if rules.one_pass else [step for step in steps.sampling if step != "one_pass"]
    return {
        **rules._asdict(),
        "model": steps.model,
        "language": steps.language,
        "seeds": digest([[*seed[:2], [list(one) for one in seed.instances], *seed[3:]] for seed in seeds.tasks]),
        "sampling": {step: steps.sampling[step] for step in asked},
        "templates": {step: steps.template(step).hash for step in asked},
        "filters": sorted(on),
        "novelty": [args.novelty_threshold, args.novelty_compat],
        "top_neighbours": args.top_neighbours,
        "avoid": [_sha256(path) for path in args.avoid],
        "licence": args.licence,
    }


def _sha256(path: Path) -> str:
    import hashlib

    from data.jsonl import open_bytes

    with open_bytes(path) as file:
        return hashlib.sha256(file.read()).hexdigest()


def _may_write(args: Namespace, config: dict[str, Any]) -> None:
    """A folder that holds another run is refused before anything is paid for."""
    from data.errors import Refused
    from data.folder import made_by
    from data.manifest import MANIFEST

    if args.dry_run or args.force or (args.log.exists() and made_by(args.out, "self_instruct", config)):
        return
    if (args.out / MANIFEST).exists():
        raise Refused(
            f"{args.out} holds a run with other settings or another log; name another --out, or replace it with --force"
        )


def _plans(steps: "Steps", growth: "Growth") -> list["Plan"]:
    from datagen.planned import plans

    return plans(steps, growth)


def _write(
    args: Namespace, config: dict[str, Any], growth: "Growth", steps: "Steps", seeds: "Seeds"
) -> tuple[str, int]:
    """Write the folder; its digest, and how many rows there are to train on."""
    from data.folder import write_folder
    from datagen.grown import top_neighbours, write

    near = top_neighbours(growth, _index(args), args.top_neighbours) if args.top_neighbours else None
    with write_folder(args.out, "self_instruct", config, replace=True) as folder:
        folder.inputs["seeds"] = config["seeds"]
        trained = write(folder, growth, steps, seeds.rejected, args.licence, near)
        return folder.seal().digest, trained


def _summary(growth: "Growth", seeds: "Seeds", trained: int) -> dict[str, Any]:
    from collections import Counter

    removed = Counter(row["filter"] for row in growth.rejected)
    return {
        "kept": len(growth.kept),
        "stopped": growth.stopped,
        "rows_to_train_on": trained,
        "seeds": len(seeds.tasks),
        "seeds_rejected": len(seeds.rejected),
        "rounds": len(growth.rounds),
        "yield_first_and_last": [growth.rounds[i]["yield"] for i in (0, -1)],
        "removed": dict(removed.most_common()),
    }


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
