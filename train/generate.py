"""A model's answers to prompts, for people to judge or to be imitated.

    python -m train.generate workspace/runs/dpo-sky --prompts workspace/exports/sky --n 4 --to-tasks --out DIR
    python -m train.generate workspace/runs/dpo-sky --prompts workspace/exports/sky --best-of 8 \\
        --reward-model workspace/runs/reward-sky --floor 0 --out DIR

Writes DIR/data/prompts.jsonl and responses.jsonl (Prompt and Response records); with --to-tasks tasks.jsonl for
annotate.load; with --best-of the answer that the reward model scores highest, as rows that train.sft reads. What could
not be used is listed in DIR/audit with its reason. A run that was killed goes on where it stopped.
"""

import argparse
import os
from pathlib import Path

from data.command import add_json, finish, parser, progress
from data.errors import BadInput, exit_status
from train.devices import DEVICES, DTYPES, find_device, find_dtype

SPLITS = ("train", "validation", "test", "all")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__, "python -m train.generate")
    p.add_argument("model", metavar="MODEL|RUN", help="a model's, adapter's or run's folder, or a name on the Hub")
    p.add_argument(
        "--prompts", type=Path, nargs="+", required=True, metavar="FILE",
        help="JSONL of Prompt records, or folders that datagen or curate wrote",
    )  # fmt: skip
    p.add_argument("--split", choices=SPLITS, default="train", help="which of an export's splits are answered (train)")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N prompts")
    p.add_argument("--n", type=int, metavar="N", help="answers to each prompt (1)")
    p.add_argument("--best-of", type=int, metavar="N", help="try N answers and keep the best, to be imitated")
    p.add_argument("--reward-model", default="", metavar="RUN", help="what scores them: a run of train.reward")
    p.add_argument("--floor", type=float, metavar="SCORE", help="leave out a prompt whose best scores less (no floor)")
    p.add_argument("--keep-cut", action="store_true", help="an answer cut at its limit may be the best too")
    p.add_argument("--to-tasks", action="store_true", help="write ranking tasks of the different answers, for people")
    p.add_argument("--project", default="generated", help="the project that the tasks are for (generated)")
    p.add_argument("--overlap", type=int, default=1, metavar="K", help="people who judge each task (1)")
    p.add_argument("--temperature", type=float, metavar="T", help="0 is greedy (0 for one answer, 0.8 for more)")
    p.add_argument("--top-p", type=float, default=1.0, metavar="P", help="draw from the likeliest tokens up to P (1)")
    p.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest tokens; 0 from all (0)")
    p.add_argument("--max-tokens", type=int, default=256, metavar="N", help="most tokens of an answer (256)")
    p.add_argument("--batch", type=int, default=8, metavar="N", help="answers made at once (8)")
    p.add_argument("--seed", type=int, default=0, help="of the sampling (0)")
    p.add_argument("--device", default="auto", choices=DEVICES, help="where (auto)")
    p.add_argument("--dtype", choices=DTYPES, default="auto", help="of weights (auto: bfloat16 on a GPU, else float32)")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    add_json(p)
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read the flags and the prompts, answer, print the summary."""
    args = arguments(argv)
    n = _answers(args)
    if not 1 <= args.overlap <= 1000:
        raise BadInput(f"--overlap is {args.overlap}; it goes from 1 to 1000")
    if args.limit is not None and args.limit < 1:
        raise BadInput(f"--limit {args.limit} is below 1")
    from data.folder import check_place
    from train.answering import Sampling
    from train.finding import check_tokenizer, check_weights, find_model
    from train.generating import Job, Wanted, generate
    from train.kept_lines import is_going
    from train.prompt_rows import read_prompts

    heat = args.temperature if args.temperature is not None else (0.8 if n > 1 else 0.0)
    wanted = Wanted(
        n=n,
        sampling=Sampling(heat, args.top_p, args.top_k, args.max_tokens),
        batch=args.batch,
        seed=args.seed,
        reward=args.reward_model,
        floor=args.floor,
        keep_cut=args.keep_cut,
        tasks=args.to_tasks,
        project=args.project,
        overlap=args.overlap,
    )
    wanted.check()
    if not is_going(args.out):
        check_place(args.out, replace=args.force)
    check_tokenizer(find_model(args.model), args.model)
    for name in filter(None, (args.model, args.reward_model)):
        check_weights(find_model(name))
    with progress("reading prompts") as step:
        asked, rejected = read_prompts(args.prompts, args.split)
        step(len(asked))
    device = find_device(args.device)
    job = Job(args.model, asked[: args.limit], wanted, args.out, device, find_dtype(args.dtype, device))
    summary = generate(job, rejected, replace=args.force)
    if args.to_tasks:
        tasks = os.path.join(summary["wrote"], "data", "tasks.jsonl")
        summary["next"] = f"python -m annotate.load {tasks} --project {args.project}"
    finish(summary, args.json)
    return 0


def _answers(args: argparse.Namespace) -> int:
    """How many answers each prompt gets."""
    if bool(args.best_of) != bool(args.reward_model):
        lacking = "--reward-model RUN" if args.best_of else "--best-of N"
        raise BadInput(f"--best-of and --reward-model go together; {lacking} is missing")
    if args.best_of and args.n and args.n != args.best_of:
        raise BadInput(f"--n {args.n} and --best-of {args.best_of} are not the same; give one of them")
    return int(args.best_of or args.n or 1)


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
