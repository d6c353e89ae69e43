"""Answers that criticise and revise themselves by principles: Constitutional AI's first half.

    python -m datagen.constitutional --prompts FILE --constitution harmless --model NAME

Each prompt is answered; then, --revisions times, a principle is drawn, the answer is criticised by it and
revised. DIR/data/train.jsonl has the revisions as prompt and completion, ready for SFT; DIR/tasks/tasks.jsonl
the first answer against the last, with the rule's judgment that the later is better, for annotate.load;
DIR/audit/ every step, every answer, what was left out and why, and a report per principle.

--constitution takes files, or names of ours (harmless, helpful) with all their languages: a prompt is judged
by the one in its own language.
"""

import argparse
from typing import TYPE_CHECKING

from data.command import finish, parser
from data.errors import BadInput, NotEnough, exit_status

if TYPE_CHECKING:
    from datagen.revision import Settings


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    from datagen.asking import add_asking, check

    p = parser(__doc__, "python -m datagen.constitutional")
    p.add_argument("--prompts", nargs="+", required=True, metavar="FILE", help="prompts, in any layout we know")
    p.add_argument("--constitution", nargs="+", required=True, metavar="FILE", help="YAML files, or names of ours")
    p.add_argument("--model", required=True, metavar="NAME", help="the model that answers, criticises and revises")
    p.add_argument("--revisions", type=int, default=4, metavar="N", help="critiques and revisions each (default 4)")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of every request (default 1)")
    p.add_argument("--max-tokens", type=int, default=1024, metavar="N", help="of every answer (default 1024)")
    p.add_argument("--shots", type=int, metavar="N", help="worked examples shown at most (default: all there are)")
    p.add_argument("--revise-anyway", action="store_true", help="revise even where the critique found nothing")
    p.add_argument("--all-steps", action="store_true", help="SFT rows of every revision, not of the last alone")
    p.add_argument("--step-by-step", action="store_true", help="also tasks of each revision against the one before")
    p.add_argument("--helpful", nargs="+", metavar="FILE", help="prompts whose plain answers are mixed into the rows")
    p.add_argument("--helpful-samples", type=int, default=1, metavar="N", help="answers to each of those (default 1)")
    p.add_argument("--language", metavar="CODE", help="language of prompts that do not say theirs, such as zh")
    p.add_argument("--project", default="constitutional", metavar="NAME", help="the tasks' project")
    p.add_argument("--no-server-seed", action="store_true", help="send no seed, for servers that know none")
    p.add_argument("--force", action="store_true", help="put it in the place of a former run")
    add_asking(p, "constitutional")
    args = p.parse_args(argv)
    check(args)
    for name, low, high in (("revisions", 1, 32), ("max_tokens", 1, 1 << 20), ("helpful_samples", 1, 16)):
        if not low <= getattr(args, name) <= high:
            flag = name.replace("_", "-")
            raise BadInput(f"--{flag} is {getattr(args, name)}; it goes from {low} to {high}")
    if not 0 <= args.temperature <= 2:
        raise BadInput(f"--temperature is {args.temperature}; it goes from 0 to 2")
    if args.shots is not None and args.shots < 0:
        raise BadInput(f"--shots is {args.shots}; it is at least 0")
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, ask, write, say what came of it."""
    args = arguments(argv)
    from functools import partial

    from data.folder import write_folder
    from data.formats.rows import Reject
    from data.records import digest
    from datagen.asking import run
    from datagen.prompt_files import read_prompts
    from datagen.revision_folder import Wanted, ask_all, write
    from datagen.revision_plan import config, plan

    settings = _settings(args)
    lines: list[Reject] = []
    wanted = Wanted(
        list(read_prompts(args.prompts, args.language, lines.append)),
        settings,
        list(read_prompts(args.helpful, args.language, lines.append)) if args.helpful else [],
        args.helpful_samples,
        args.all_steps,
        args.step_by_step,
        args.project,
    )
    plans = plan(wanted.prompts, settings, wanted.helpful, wanted.helpful_samples)
    work = partial(ask_all, wanted=wanted)
    if args.dry_run:
        run(args, plans, work)
        return 0
    asked_of = digest([[prompt.plain() for prompt in given] for given in (wanted.prompts, wanted.helpful)])
    shape = {name: getattr(args, name) for name in ("all_steps", "step_by_step", "project", "helpful_samples")}
    held = config(settings, **shape, prompts=asked_of)
    with write_folder(args.out, "constitutional", held, replace=args.force, again=args.log.exists()) as folder:
        ran = run(args, plans, work)
        assert ran is not None, "only a dry run asks nothing"
        made, asked = ran
        summary = write(folder, wanted, made, lines)
    finish({**summary, **asked, "wrote": str(args.out)}, args.json)
    if not summary["rows"]:
        raise NotEnough(f"no prompt gave a row; {args.out}/audit/rejected.jsonl has the reason of each")
    return 0


def _settings(args: argparse.Namespace) -> "Settings":
    from datagen.constitution import find_constitutions
    from datagen.revision import Settings

    return Settings(
        model=args.model,
        constitutions=tuple(find_constitutions(args.constitution)),
        revisions=args.revisions,
        temperature=args.temperature,
        max_tokens=args.max_tokens,
        seed=args.seed,
        shots=args.shots,
        revise_anyway=args.revise_anyway,
        server_seed=not args.no_server_seed,
        templates=args.templates,
    )


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
