"""Candidate responses to prompts, for people to compare: several models, temperatures or system prompts.

    python -m datagen.respond --prompts prompts.jsonl --n 4 --model A --model B

A prompt's candidates are spread over the settings (every model with every temperature and system prompt)
and every setting is used equally. Near-identical answers and answers with a fault are drawn again; a
prompt that ends with fewer than --least different answers is rejected. Refusals are answers: people
judge them, and their records say so. Writes DIR/data/tasks.jsonl, which `annotate.load` takes as it is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.command import finish, parser
from data.errors import BadInput, NotEnough, exit_status

STRATA = "tag,language"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    from datagen.asking import add_asking, check

    p = parser(__doc__, "python -m datagen.respond")
    p.add_argument("--prompts", nargs="+", type=Path, required=True, metavar="FILE", help="see datagen/prompt_files.py")
    p.add_argument("--model", action="append", required=True, metavar="M", help="a model to ask; may come again")
    p.add_argument("--n", type=int, default=4, help="candidates for each prompt, 2 to 9 (default 4)")
    p.add_argument("--temperature", action="append", type=float, metavar="T", help="may come again (default 1.0)")
    p.add_argument("--system", action="append", type=Path, metavar="FILE", help="a system prompt; may come again")
    p.add_argument("--top-p", type=float, metavar="P", help="nucleus sampling, above 0 to 1 (default: the server's)")
    p.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="longest answer (default 1024)")
    p.add_argument("--turns", type=int, default=1, metavar="N", help="user's turns asked where rows have several")
    p.add_argument("--max-similarity", default="0.9", metavar="F", help="ROUGE-L F1 above which two are the same")
    p.add_argument("--redraws", type=int, default=3, metavar="N", help="new draws for one place (default 3)")
    p.add_argument("--least", type=int, default=2, metavar="N", help="fewest answers a task may have (default 2)")
    p.add_argument("--keep-truncated", action="store_true", help="take answers cut off at --max-tokens")
    p.add_argument("--keep-empty", action="store_true", help="take empty answers")
    p.add_argument("--no-server-seed", action="store_true", help="send no `seed`, for servers that refuse one")
    p.add_argument("--sample", type=int, metavar="N", help="ask a representative sample of the prompts alone")
    p.add_argument("--stratify", metavar="FIELDS", help="what --sample keeps in proportion (default tag,language)")
    p.add_argument("--kind", choices=("ranking", "ab"), help="of the tasks (default: ab where n is 2, else ranking)")
    p.add_argument("--project", default="responses", metavar="NAME", help="project the tasks name")
    p.add_argument("--overlap", type=int, default=1, metavar="K", help="people who judge each task (default 1)")
    p.add_argument("--language", metavar="CODE", help="language of prompts that do not say theirs, such as en or zh")
    p.add_argument("--force", action="store_true", help="replace the folder of a former run")
    add_asking(p, "respond")
    args = p.parse_args(argv)
    _in_range(args)
    check(args)
    return args


def _in_range(args: argparse.Namespace) -> None:
    ranges = (("n", 2, 9), ("least", 2, args.n), ("redraws", 0, 20), ("turns", 1, 100), ("overlap", 1, 1000))
    for name, low, high in (*ranges, ("max_tokens", 1, 10**6), ("sample", 1, 10**9), ("top_p", 0, 1)):
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise BadInput(f"--{name.replace('_', '-')} is {value}; it goes from {low} to {high}")
    if any(not 0 <= heat <= 2 for heat in args.temperature or []):
        raise BadInput("--temperature goes from 0 to 2")
    if args.stratify and not args.sample:
        raise BadInput("--stratify needs --sample N: how many prompts to pick")
    if args.kind == "ab" and args.n != 2:
        raise BadInput(f"--kind ab takes 2 responses, and --n is {args.n}; leave --kind out, or give --n 2")
    args.kind = args.kind or ("ab" if args.n == 2 else "ranking")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the prompts, ask, write the folder, print the summary."""
    args = arguments(argv)
    from datagen.asking import run
    from datagen.candidates import limit, settings
    from datagen.drawing import Rules
    from datagen.prompt_files import read_asked
    from datagen.respond_folder import Setup, plans, respond
    from datagen.stratify import fields, pick

    systems = [(path.name, _system(path)) for path in args.system or []]
    ways = settings(args.model, args.temperature or [1.0], systems)
    rejected: list[Any] = []
    asked = list(read_asked(args.prompts, args.language, rejected.append, args.turns))
    shares: list[Any] = []
    if args.sample:
        picked, shares = pick([one.prompt for one in asked], args.sample, fields(args.stratify or STRATA), args.seed)
        asked = [asked[place] for place in picked]
    accept = {"refusal"} | {name for name in ("truncated", "empty") if getattr(args, f"keep_{name}")}
    params = {"max_tokens": args.max_tokens} | ({"top_p": args.top_p} if args.top_p is not None else {})
    rules = Rules(
        most=limit(args.max_similarity),
        redraws=args.redraws,
        params=tuple(params.items()),
        accept=frozenset(accept),
        server_seed=not args.no_server_seed,
        seed=args.seed,
    )
    setup = Setup(ways, rules, args.n, args.least, args.kind, args.project, args.overlap, args.turns)
    stopped: list[str] = []
    again = args.log.exists()

    async def work(client: Any) -> dict[str, Any]:
        return await respond(client, asked, setup, args.out, args.force, again, rejected, shares, stopped)

    done = run(args, plans(asked, setup), work)
    if done is None:
        return 0
    summary, spent = done
    finish({**summary, **spent, **({"stopped": stopped[0]} if stopped else {}), "wrote": str(args.out)}, args.json)
    if not summary["tasks"]:
        raise NotEnough(f"no prompt got {args.least} different answers; reasons in {args.out}/audit/rejected.jsonl")
    return 0


def _system(path: Path) -> str:
    from data.jsonl import open_bytes

    with open_bytes(path) as file:
        try:
            text = file.read().decode("utf-8").strip()
        except UnicodeDecodeError:
            raise BadInput(f"--system {path} is not UTF-8; save the file as UTF-8") from None
    if not text:
        raise BadInput(f"--system {path} is empty; leave it out to ask without a system prompt")
    return text


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
