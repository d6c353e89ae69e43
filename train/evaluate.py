"""How good a run is against a reference, measure by measure, each with n, clusters and a 95 % interval.

    python -m train.evaluate workspace/runs/dpo-sky --against workspace/tiny
    python -m train.evaluate RUN --against prompt:better.yaml --reward-model workspace/runs/reward-sky
    python -m train.evaluate RUN --against OTHER --to-tasks workspace/ab
    python -m train.evaluate RUN --against OTHER --judge workspace/judged --key workspace/ab/audit/key.jsonl

RUN is a run, an adapter or a model. REFERENCE is one of these, or prompt:FILE, the same base with only a better prompt
(system, examples, schema in YAML): a run must beat that to be worth it. Measures: held-out preference accuracy and
calibration, perplexity; a regression set of prompts, the bundled one or --regression; with --reward-model the score of
new answers; from --judge or --from-judgments the win rate, length-controlled too; ROUGE-L and BLEU where the export
holds answers; tasks of lm-evaluation-harness. The folder it writes is what train.gate decides on.
"""

import argparse
from pathlib import Path

from data.bundled import bundled
from data.command import add_json, add_workspace, finish, parser
from data.errors import BadInput, Refused, exit_status
from train.devices import DEVICES, DTYPES
from train.evaluating import Asked
from train.judged_wins import Verdicts


def main(argv: list[str] | None = None) -> int:
    """Read the flags, evaluate, print the measures."""
    p = parser(__doc__, "python -m train.evaluate")
    _models_and_rows(p)
    _measures(p)
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write (default: in the workspace)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former one")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    _check(args)
    from data.folder import check_place
    from train.evaluate_run import ToPeople, default_place, evaluate

    out = args.out or default_place(args.workspace, args.run, args.against)
    check_place(out, replace=args.force)
    to_people = ToPeople(args.to_tasks, args.overlap, args.project or "ab") if args.to_tasks else None
    if to_people and (to_people.out / "audit" / "key.jsonl").exists():
        raise Refused(f"--to-tasks {to_people.out} has a key already, which judgments may need; name a new folder")
    if to_people:
        check_place(to_people.out)
    finish(evaluate(_asked(args), _verdicts(args), to_people, out, replace=args.force), args.json)
    return 0


def _models_and_rows(p: argparse.ArgumentParser) -> None:
    p.add_argument("run", metavar="RUN", help="a run's folder, an adapter's, a model's, or OWNER/NAME on the Hub")
    p.add_argument("--against", required=True, metavar="REFERENCE", help="another of these, or prompt:FILE")
    p.add_argument("--export", type=Path, metavar="DIR", help="the held-out rows (default: the run's own export)")
    p.add_argument("--split", default="test", choices=("train", "validation", "test"), help="which rows (test)")
    p.add_argument("--limit", type=int, metavar="N", help="most rows, drawn by the hash of their ids")
    p.add_argument("--unverified", action="store_true", help="read an export that has changed or has no manifest")
    p.add_argument("--dtype", default="auto", choices=DTYPES, help="of sums (auto: bfloat16 on a GPU, else float32)")
    p.add_argument("--device", default="auto", choices=DEVICES, help="where models run (auto)")
    p.add_argument("--served", metavar="DIR", help="the model that will be served, for template_match (RUN itself)")


def _measures(p: argparse.ArgumentParser) -> None:
    p.add_argument("--by-token", action="store_true", help="a model prefers by mean log-probability, not by the sum")
    p.add_argument("--reward-model", metavar="RUN", help="a run of train.reward that scores both sides' answers")
    p.add_argument("--regression", type=bundled, metavar="FILE", help="a regression set, JSONL (the bundled one)")
    p.add_argument("--no-regression", action="store_true", help="ask none: quicker")
    p.add_argument("--judge", type=Path, nargs="+", default=[], metavar="FILE", help="what datagen.judge wrote")
    p.add_argument("--soft", action="store_true", help="take a judge's probabilities, not its verdicts")
    p.add_argument("--to-tasks", type=Path, metavar="DIR", help="write both sides' answers as a blind A/B project")
    p.add_argument("--overlap", type=int, default=1, metavar="N", help="people for each task of --to-tasks (1)")
    p.add_argument("--from-judgments", metavar="SOURCE", help="people's verdicts: export, snapshot, file or store URL")
    p.add_argument("--store", metavar="URL", help="take people's verdicts from this store (CONCORD_STORE is not asked)")
    p.add_argument("--project", metavar="NAME", help="the blind project's name (ab)")
    p.add_argument("--key", type=Path, metavar="FILE", help="audit/key.jsonl of the folder that --to-tasks wrote")
    p.add_argument("--harness", default="", metavar="TASK,…", help="tasks of lm-evaluation-harness, where installed")
    p.add_argument("--include", type=Path, metavar="DIR", help="your own tasks for it, on local data")
    p.add_argument("--max-tokens", type=int, default=256, metavar="N", help="of an answer (256)")
    p.add_argument("--seed", type=int, default=0, help="of sampling and of the blind order (0)")


def _check(args: argparse.Namespace) -> None:
    for flag in ("limit", "overlap", "max_tokens"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise BadInput(f"--{flag.replace('_', '-')}: {value} is below 1")
    if args.from_judgments and args.store:
        raise BadInput("--from-judgments and --store both name people's verdicts; give one")
    if args.regression and args.no_regression:
        raise BadInput("--regression and --no-regression say yes and no; give one")
    verdicts = args.judge or args.from_judgments or args.store
    if args.key and not verdicts:
        raise BadInput(
            "--key says whose answers were judged; name the verdicts with --judge, --from-judgments or --store"
        )
    if args.soft and not args.judge:
        raise BadInput("--soft takes a judge's probabilities; name its files with --judge")
    if args.include and not args.harness:
        raise BadInput("--include is for --harness; name the tasks with it")


def _asked(args: argparse.Namespace) -> Asked:
    return Asked(
        args.run,
        args.against,
        args.export,
        args.split,
        args.limit,
        args.reward_model,
        args.regression,
        tuple(one for one in args.harness.split(",") if one),
        args.include,
        args.served,
        args.by_token,
        args.max_tokens,
        args.seed,
        args.dtype,
        args.device,
        args.unverified,
        args.to_tasks is not None,
        not args.no_regression,
    )


def _verdicts(args: argparse.Namespace) -> Verdicts:
    return Verdicts(tuple(args.judge), args.from_judgments or args.store, args.key, args.project, args.soft)


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
