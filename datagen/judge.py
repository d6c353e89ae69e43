"""AI feedback: a model judges tasks, and its verdicts become judgments.

    python -m datagen.judge --tasks tasks.jsonl --model M --constitution harmless --both-orders

Takes every layout that annotate.load takes, and writes DIR/data/tasks.jsonl: whole tasks with the model's
judgments beside them, so `python -m annotate.load DIR/data/tasks.jsonl --project NAME` works at once; where
the project has these tasks already, the judgments go to them. Judgments that the file brought stay in it.

One judgment per verdict: each principle, order and sample has its own, with the order shown, the choice and,
from the log-probabilities of the two letters, the probability that the first shown is better. Without
log-probabilities the choice is all there is. All judgments of one judge have one annotator id, a hash of
model, template and settings (audit/judges.jsonl). The average over both orders, principles and samples is
in audit/comparisons.jsonl; it is no judgment, for it has no order in which anybody was shown anything.

--human-share 0.1 takes a tenth of the tasks, alike to the whole in language, kind, tag and in how unsure the
judge was. They are written to DIR/human/tasks.jsonl, with the model's judgments, for a project of their own:
there people and model meet on the same tasks. In DIR/data/tasks.jsonl they have a higher priority, so where
everything goes into one new project people come to them first. The rest needs nobody: leave it in a project
without people, and export it with --sources model.

An answer's text is not believed: it stands between marks no text can forge, the judge is told to follow
nothing in it, and answers that try are flagged, in audit/flagged.jsonl and in the judgments' comments. A
verdict that is no clear A, B or tie, a refusal, a rating that is not on its scale: rejected by name.

    audit/verdicts.jsonl     every verdict: key, order, principle, probability before and after clamping
    audit/comparisons.jsonl  every two answers: average, failures, whether both orders agreed
    audit/rejected.jsonl     answers that gave no verdict and lines that gave no task, each with its reason
    audit/flagged.jsonl      answers that tell the judge what to choose, or hide characters
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from data.bundled import bundled
from data.command import finish, parser, share
from data.errors import BadInput, BudgetEnded, exit_status
from datagen.asking import Plan, add_asking, check, rough_tokens, run, template_hash

if TYPE_CHECKING:
    from data.folder import Folder
    from data.formats.rows import Reject
    from data.records import Task
    from datagen.client import Client
    from datagen.hearing import Heard
    from datagen.judging import Ask, Settings

    Said = list[tuple[Ask, Heard]]

FIRST = 100  # added to the priority of the tasks that people judge too


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__, "python -m datagen.judge")
    p.add_argument("--tasks", required=True, nargs="+", metavar="FILE", help="tasks in any layout annotate.load takes")
    p.add_argument("--model", required=True, metavar="M", help="the model that judges")
    p.add_argument("--format", metavar="NAME", help="the files' layout (default: recognised)")
    p.add_argument("--kind", choices=("ranking", "ab", "rating"), help="judge all as this (default: as the rows say)")
    p.add_argument("--project", default="datagen", help="project named in the tasks written (default: datagen)")
    how = p.add_argument_group("how it judges")
    how.add_argument(
        "--constitution", nargs="+", metavar="FILE", help="questions to judge by; a file, or a name of ours"
    )
    how.add_argument("--principles-per-task", type=int, default=1, metavar="P", help="drawn per comparison (default 1)")
    how.add_argument("--both-orders", action="store_true", help="ask each comparison in both orders")
    how.add_argument("--samples", type=int, default=1, metavar="K", help="verdicts per order and principle (default 1)")
    how.add_argument("--cot", action="store_true", help="let the judge reason before its verdict")
    how.add_argument("--clamp", metavar="LOW,HIGH", help="bring probabilities into a range (--cot: 0.4,0.6), or none")
    how.add_argument("--ties", action="store_true", help="tell the judge that neither may be better")
    how.add_argument("--criteria", type=bundled, metavar="FILE", help="criteria of rating tasks that bring none")
    how.add_argument("--pairs", choices=("all", "adjacent"), default="all", help="of a ranking task (default: all)")
    how.add_argument("--temperature", type=float, metavar="T", help="default 0; with several samples 0.7")
    how.add_argument("--max-tokens", type=int, metavar="N", help="longest answer (default 16; with --cot 1024)")
    how.add_argument("--top-logprobs", type=int, default=20, metavar="N", help="0 to 20 (default 20; 0: ask for none)")
    how.add_argument("--no-server-seed", action="store_true", help="send no seed, for servers that know none")
    p.add_argument("--human-share", default="0", metavar="S", help="share of tasks for people to judge too, 0 to 1")
    p.add_argument("--force", action="store_true", help="put the folder in the place of a former one")
    add_asking(p, "judge")
    args = p.parse_args(argv)
    for name, low, high in (("samples", 1, 100), ("principles_per_task", 1, 100), ("top_logprobs", 0, 20)):
        if not low <= getattr(args, name) <= high:
            raise BadInput(f"--{name.replace('_', '-')} is {getattr(args, name)}; it goes from {low} to {high}")
    args.human_share = share("--human-share", args.human_share)
    check(args)
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, ask, write."""
    args = arguments(argv)
    from data.folder import write_folder
    from data.records import digest
    from datagen.judging import asks_of

    tasks, rejects = _tasks(args)
    how = _settings(args)
    asks = [ask for place, task in enumerate(tasks) for ask in asks_of(place, task, how)]
    plans = [_plan(tasks, asks, how)]
    if args.dry_run:
        run(args, plans, lambda _: _nothing())
        return 0
    held = _config(args, how) | {"tasks": digest([task.plain() for task in tasks])}
    with write_folder(args.out, "judged", held, replace=args.force, again=args.log.exists()) as folder:
        done = run(args, plans, lambda client: _ask_all(client, tasks, asks, how))
        assert done is not None, "only --dry-run asks nothing"
        (said, stopped), asked = done
        summary = _write(folder, tasks, said, asks, rejects, how, args)
        if stopped:
            summary |= {"stopped": "the budget ended", "verdicts_not_asked": len(asks) - len(said)}
        sealed = folder.seal().digest
    finish(summary | asked | {"digest": sealed, "wrote": str(args.out)}, args.json)
    return 0


async def _nothing() -> None:
    return None


def _settings(args: argparse.Namespace) -> "Settings":
    from datagen.constitution import find_constitutions
    from datagen.judging import Settings
    from datagen.softlabel import parse_clamp

    constitutions = tuple(find_constitutions(args.constitution)) if args.constitution else ()
    if args.principles_per_task > 1:
        if not constitutions:
            raise BadInput("--principles-per-task needs a --constitution to draw them from")
        most = min(
            sum(len(c.principles) for c in constitutions if c.language == language)
            for language in {c.language for c in constitutions}
        )
        if args.principles_per_task > most:
            raise BadInput(f"--principles-per-task is {args.principles_per_task}; the constitution has {most}")
    temperature = args.temperature if args.temperature is not None else 0.7 if args.samples > 1 else 0.0
    if not 0 <= temperature <= 2:
        raise BadInput(f"--temperature is {temperature}; it goes from 0 to 2")
    if args.max_tokens is not None and args.max_tokens < 1:
        raise BadInput(f"--max-tokens is {args.max_tokens}; it is at least 1")
    return Settings(
        model=args.model,
        reasoned=args.cot,
        ties=args.ties,
        both_orders=args.both_orders,
        samples=args.samples,
        principles=args.principles_per_task,
        constitutions=constitutions,
        clamp=parse_clamp(args.clamp or ("0.4,0.6" if args.cot else "none")),
        adjacent=args.pairs == "adjacent",
        temperature=temperature,
        top_logprobs=args.top_logprobs,
        max_tokens=args.max_tokens,
        seed=args.seed,
        server_seed=not args.no_server_seed,
        templates=args.templates,
    )


def _config(args: argparse.Namespace, how: "Settings") -> dict[str, Any]:
    shape = how._asdict() | {
        "constitutions": [{"label": c.label, "hash": c.hash} for c in how.constitutions],
        "clamp": list(how.clamp) if how.clamp else None,
    }
    shape["templates"] = template_hash(args.templates)
    return shape | {"project": args.project, "kind": args.kind, "human_share": args.human_share}


def _tasks(args: argparse.Namespace) -> "tuple[list[Task], list[Reject]]":
    """The tasks of the files, and the lines that gave none."""
    from data.command import progress
    from data.criteria import read_criteria
    from data.formats import Reject, read
    from data.jsonl import explain
    from datagen.judging import task_of

    criteria = list(read_criteria(args.criteria)) if args.criteria or args.kind == "rating" else []
    tasks: list[Task] = []
    rejects: list[Reject] = []
    with progress("reading tasks") as step:
        for row in read(args.tasks, args.format).rows:
            step(1)
            if isinstance(row, Reject):
                rejects.append(row)
                continue
            try:
                tasks.append(task_of(row, args.project, args.kind, criteria))
            except ValueError as error:
                rejects.append(Reject(row.where, row.number, explain(error), ""))
    if not tasks:
        first = f"{rejects[0].where}: {rejects[0].reason}" if rejects else "no rows"
        raise BadInput(f"nothing to judge: {first}")
    return tasks, rejects


def _plan(tasks: "Sequence[Task]", asks: "Sequence[Ask]", how: "Settings") -> Plan:
    from datagen.judging import STAGE, limit, request_of

    prompt: dict[int, int] = {}
    for ask in asks:  # one request of a task is as long as the next
        if ask.task not in prompt:
            prompt[ask.task] = rough_tokens(request_of(tasks[ask.task], ask, how).messages)
    sizes = [(prompt[ask.task], limit(tasks[ask.task], how)) for ask in asks]
    return Plan(STAGE, how.model, len(asks), sum(p for p, _ in sizes), sum(c for _, c in sizes))


async def _ask_all(
    client: "Client", tasks: "Sequence[Task]", asks: "Sequence[Ask]", how: "Settings"
) -> "tuple[Said, bool]":
    """Every verdict in the order of the asks, and whether the budget ended before the last."""
    from datagen.hearing import hear
    from datagen.judging import request_of, told_by

    flags: dict[int, str] = {}
    said: Said = []
    try:
        async for ask, answer in client.each(asks, lambda a: client.ask(request_of(tasks[a.task], a, how))):
            if ask.task not in flags:
                what = sorted({told["what"] for told in told_by(tasks[ask.task])})
                flags[ask.task] = f"flagged: an answer {', '.join(what)}" if what else ""
            said.append((ask, hear(tasks[ask.task], ask, answer, how, flags[ask.task])))
    except BudgetEnded:
        return said, True
    return said, False


def _write(
    folder: "Folder",
    tasks: "Sequence[Task]",
    said: "Said",
    asks: "Sequence[Ask]",
    rejects: "Sequence[Reject]",
    how: "Settings",
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Write everything that is whole; returns the summary. A task with an ask that never ended is left out."""
    from datagen.judged import judged, write_audit, write_tasks

    found = judged(tasks, said, asks, how)
    people = write_tasks(folder, found, args.human_share, how.seed, FIRST)
    return write_audit(folder, found, rejects, how) | ({"for_people": people} if args.human_share else {})


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
