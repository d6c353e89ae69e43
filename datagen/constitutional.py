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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from data.command import finish, parser
from data.errors import BadInput, BudgetEnded, NotEnough, exit_status


class Result(NamedTuple):
    """What a run asked for: chains, plain helpful answers, and whether the budget ended it."""

    chains: list[Any]
    helpful: list[tuple[Any, list[Any]]]
    stopped: bool


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
    from data.folder import write_folder
    from data.formats.rows import Reject
    from datagen import revision_plan
    from datagen.asking import run
    from datagen.constitution import find_constitutions
    from datagen.prompt_files import read_prompts
    from datagen.revision import Settings

    settings = Settings(
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
    rejects: list[Reject] = []
    prompts = list(read_prompts(args.prompts, args.language, rejects.append))
    helpful = list(read_prompts(args.helpful, args.language, rejects.append)) if args.helpful else []
    plans = revision_plan.plan(prompts, settings, helpful, args.helpful_samples)
    work = partial(_ask, prompts=prompts, helpful=helpful, samples=args.helpful_samples, settings=settings)
    if args.dry_run:
        run(args, plans, work)
        return 0
    config = revision_plan.config(
        settings, all_steps=args.all_steps, step_by_step=args.step_by_step, project=args.project
    )
    with write_folder(args.out, "constitutional", config, replace=args.force) as folder:
        ran = run(args, plans, work)
        assert ran is not None, "only --dry-run asks nothing"
        result, asked = ran
        summary = _write(folder, args, settings, result, prompts, helpful, rejects)
        summary["digest"] = folder.seal().digest
    finish({**summary, **asked, "wrote": str(args.out)}, args.json)
    if not summary["rows"]:
        raise NotEnough(f"no prompt gave a row; {args.out}/audit/rejected.jsonl says why of each")
    return 0


async def _ask(client: Any, prompts: list[Any], helpful: list[Any], samples: int, settings: Any) -> Result:
    """All chains, then the plain answers; what is whole when the budget ends is kept."""
    from datagen.revision import answer_plainly, run_chain

    chains: list[Any] = []
    plain: list[tuple[Any, list[Any]]] = []
    try:
        async for _, chain in client.each(prompts, lambda prompt: run_chain(client.ask, prompt, settings)):
            chains.append(chain)
        answer = partial(answer_plainly, client.ask, samples=samples, settings=settings)
        async for prompt, answers in client.each(helpful, answer):
            plain.append((prompt, answers))
    except BudgetEnded:
        return Result(chains, plain, stopped=True)
    return Result(chains, plain, stopped=False)


def _write(
    folder: Any,
    args: argparse.Namespace,
    settings: Any,
    result: Result,
    prompts: list[Any],
    helpful: list[Any],
    rejects: list[Any],
) -> dict[str, Any]:
    """Write the folder's files; returns the summary."""
    from datagen import principles
    from datagen import revision_rows as rows_of
    from datagen.prompt_files import reject_row

    chains = result.chains
    rows = [row for chain in chains for row in rows_of.sft_rows(chain, args.all_steps)]
    revised = len(rows)
    out: list[dict[str, Any]] = [reject_row(reject) for reject in rejects]
    out += [rows_of.reject_row(chain.prompt, lost) for chain in chains if (lost := rows_of.lost(chain))]
    out += rows_of.unfinished(prompts, [chain.prompt for chain in chains], "chain")
    plain = []
    for prompt, (answers, tries) in result.helpful:
        plain += answers
        rows += [rows_of.sft_row(prompt, answer, "helpful") for answer in answers]
        out += [rows_of.reject_row(prompt, one) for one in tries if one.fault]
    out += rows_of.unfinished(helpful, [prompt for prompt, _ in result.helpful], "helpful")
    if helpful:
        rows = rows_of.mixed(rows, args.seed)
    tasks = [rows_of.compared(chain, args.project, args.seed) for chain in chains]
    steps = [step for chain in chains for step in chain.steps]
    found = principles.report(steps, rows_of.labels(settings.constitutions, chains))
    folder.write("data/train.jsonl", rows)
    ends = folder.write("tasks/tasks.jsonl", (task for pair in tasks for task in pair[0]))
    each = folder.write("tasks/steps.jsonl", (t for pair in tasks for t in pair[1])) if args.step_by_step else 0
    folder.write("audit/steps.jsonl", (rows_of.step_row(step) for step in steps))
    folder.write("audit/responses.jsonl", [*(r for c in chains for r in rows_of.responses(c)), *plain])
    folder.write("audit/rejected.jsonl", out)
    folder.write_text("audit/principles.json", rows_of.pretty(found))
    folder.write_text("audit/principles.md", principles.markdown(found))
    folder.write_text("audit/rule.json", rows_of.pretty({"annotator": rows_of.ANNOTATOR, "rule": rows_of.RULE}))
    folder.inputs["prompts"] = [str(path) for path in [*args.prompts, *(args.helpful or [])]]
    return {
        "stopped": "the budget ended" if result.stopped else "done",
        "prompts": len(prompts),
        "rows": len(rows),
        "of_them": {"from_chains": revised, "helpful": len(rows) - revised},
        "tasks": ends,
        **({"tasks_step_by_step": each} if args.step_by_step else {}),
        "steps": {name: found["all"][name] for name in ("drawn", "violations", "revised", "kept", "failed")},
        "rejected": rows_of.by_fault(out),
    }


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
