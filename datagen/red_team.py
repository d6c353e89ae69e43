"""Adversarial prompts to test an assistant with, in five families, tagged.

    python -m datagen.red_team --model NAME --num 200 --language en

Jailbreaks, prompt injection, private data, sensitive topics, and harmless prompts that look harmful: equally
many of each. A share comes from our own templates, the rest from the model, shown a few of them; only what is
new against all the others is kept. --templates-only needs no model. Writes DIR/data/prompts.jsonl, which
datagen.constitutional and datagen.respond take as --prompts.
"""

import argparse
from typing import TYPE_CHECKING, Any

from data.bundled import bundled
from data.command import finish, parser
from data.errors import BadInput, NotEnough, exit_status

if TYPE_CHECKING:
    from data.records import Prompt
    from datagen.adversarial import Templates
    from datagen.adversarial_shots import Grown, Wish


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line, checked."""

    from datagen.asking import add_asking, check

    p = parser(__doc__, "python -m datagen.red_team")
    p.add_argument("--num", type=int, required=True, metavar="N", help="prompts in all")
    p.add_argument("--model", metavar="NAME", help="the model that writes new ones from examples")
    p.add_argument("--templates-only", action="store_true", help="ask no model: all prompts from templates")
    p.add_argument("--template-share", type=float, default=0.5, metavar="S", help="of N from templates (default 0.5)")
    p.add_argument("--red-team-templates", type=bundled, metavar="FILE", help="YAML of your own in place of ours")
    p.add_argument("--family", action="append", metavar="NAME", help="this family alone; may come again (default all)")
    p.add_argument("--language", default="en", metavar="CODE", help="en or zh (default en)")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of every request (default 1)")
    p.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="of every answer (default 1024)")
    p.add_argument("--max-similarity", default="0.7", metavar="F", help="ROUGE-L F1 above which one is not new (0.7)")
    p.add_argument("--no-server-seed", action="store_true", help="send no seed, for servers that know none")
    p.add_argument("--force", action="store_true", help="put it in the place of a former run")
    add_asking(p, "red_team")
    args = p.parse_args(argv)
    check(args)
    if args.num < 1:
        raise BadInput(f"--num is {args.num}; it is at least 1")
    if not 0 < args.template_share <= 1:
        raise BadInput(f"--template-share is {args.template_share}; it is above 0, at most 1 (examples come from them)")
    if args.max_tokens < 1 or not 0 <= args.temperature <= 2:
        raise BadInput("--max-tokens is at least 1, and --temperature goes from 0 to 2")
    if not args.templates_only and not args.model:
        raise BadInput("--model names the model to ask; without one give --templates-only")
    return args


def main(argv: list[str] | None = None) -> int:
    """Fill templates, ask for more, write."""
    args = arguments(argv)
    from data.folder import write_folder
    from datagen.adversarial import find_templates, read_templates
    from datagen.asking import template_hash

    own = args.red_team_templates
    made = read_templates(own) if own else find_templates(args.language)
    families = _families(args.family, made)
    pool, need = _from_templates(args, made, families)
    wish = _wish(args, made, need) if not args.templates_only else None
    if args.dry_run:
        _ask(args, wish, pool)
        return 0
    config = {
        "model": None if args.templates_only else args.model,
        "templates": made.hash,
        "own_templates": template_hash(args.templates),
        "families": families,
        **{name: getattr(args, name) for name in ("num", "template_share", "temperature", "max_tokens", "seed")},
        "max_similarity": args.max_similarity,
        "server_seed": not args.no_server_seed,
    }
    with write_folder(args.out, "red_team", config, replace=args.force, again=args.log.exists()) as folder:
        ran = _ask(args, wish, pool)
        kept = [*pool, *(ran[0].kept if ran else [])]
        summary = _write(folder, kept, families, ran[0] if ran else None)
    finish({**summary, **(ran[1] if ran else {}), "wrote": str(args.out)}, args.json)
    if len(kept) < args.num:
        lacking = f"{len(kept)} of {args.num} prompts were made"
        remedy = "add templates or ask a model" if args.templates_only else "see audit/rejected.jsonl"
        raise NotEnough(f"{lacking}; {remedy}")
    return 0


def _families(wanted: list[str] | None, made: "Templates") -> list[str]:
    from data.errors import NotThere, nearest

    for name in wanted or []:
        if name not in made.families:
            known = ", ".join(made.families)
            raise NotThere(f"--family {name} is none of {known}{nearest(name, made.families)}")
    return list(dict.fromkeys(wanted or made.families))


def _from_templates(
    args: argparse.Namespace, made: "Templates", families: list[str]
) -> tuple[list["Prompt"], dict[str, int]]:
    """The prompts from templates, family by family, and how many of each are left for the model."""
    from itertools import islice

    from datagen.adversarial import filled, shares

    pool: list[Prompt] = []
    need: dict[str, int] = {}
    for family, share in shares(args.num, families).items():
        most = share if args.templates_only else max(1, round(share * args.template_share)) if share else 0
        drawn = list(islice(filled(made, family, args.seed), most))
        pool += drawn
        need[family] = share - len(drawn)
    return pool, need


def _wish(args: argparse.Namespace, made: "Templates", need: dict[str, int]) -> "Wish":
    from datagen.adversarial_shots import Wish

    return Wish(
        args.model,
        made,
        need,
        args.temperature,
        args.max_tokens,
        args.seed,
        not args.no_server_seed,
        args.templates,
    )


def _ask(args: argparse.Namespace, wish: "Wish | None", pool: list["Prompt"]) -> "tuple[Grown, dict[str, Any]] | None":
    """Ask the model for what templates did not give; None where nothing is to be asked."""
    from datagen.adversarial_shots import grow, round_jobs
    from datagen.asking import Plan, rough_tokens, run
    from datagen.novelty_index import NoveltyIndex, parse_threshold

    if wish is None:
        if args.dry_run:
            finish({"dry_run": True, "requests": 0, "from_templates": len(pool)}, args.json)
        return None
    index = NoveltyIndex(parse_threshold(args.max_similarity, "--max-similarity"))
    for prompt in pool:
        index.add(prompt.id, prompt.messages[-1].content)
    jobs = round_jobs(wish, pool, {family: n for family, n in wish.need.items() if n}, 0)
    asked = sum(rough_tokens(job.request.messages) for job in jobs)
    plan = Plan("red_team", wish.model, len(jobs), asked, len(jobs) * wish.max_tokens)
    return run(args, [plan], lambda client: grow(client, wish, pool, index))


def _write(folder: Any, kept: list["Prompt"], families: list[str], grown: "Grown | None") -> dict[str, Any]:
    from collections import Counter

    counts = Counter(prompt.tags[1] for prompt in kept)
    folder.write("data/prompts.jsonl", kept)
    summary: dict[str, Any] = {"prompts": len(kept), "families": {name: counts[name] for name in families}}
    techniques = Counter(f"{prompt.tags[1]}/{prompt.tags[2]}" for prompt in kept)
    folder.write(
        "audit/techniques.jsonl", [{"technique": name, "prompts": n} for name, n in sorted(techniques.items())]
    )
    if grown is not None:
        folder.write("audit/rejected.jsonl", grown.rejected)
        folder.write("audit/rounds.jsonl", grown.rounds)
        summary["from_model"] = len(grown.kept)
        summary["rejected"] = dict(sorted(Counter(row["fault"] for row in grown.rejected).items()))
        summary["stopped"] = grown.stopped
    return summary


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
