"""What the commands train.sft, train.reward, train.dpo and train.kto share: their flags, and the run behind them."""

from pathlib import Path

from data.bundled import bundled
from data.command import add_json, add_workspace, finish, parser


def train_command(task: str, doc: str | None, argv: list[str] | None) -> int:
    """Read the flags, train, print the summary; returns the exit status.

    Args:
        task: sft, reward, dpo or kto.
        doc: the command's docstring, which is its help.
    """
    p = parser(doc, f"python -m train.{task}")
    p.add_argument("export", type=Path, metavar="EXPORT", help="folder that curate.export wrote")
    p.add_argument("--model", default="", metavar="M", help="a model's folder, a run's, or its name on the Hub")
    p.add_argument("--config", type=bundled, metavar="FILE", help="YAML of settings; train/configs has some")
    p.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="over the file's keys")
    if task in ("dpo", "reward"):
        p.add_argument("--soft-labels", action="store_true", help="take p from the export (soft_labels=true)")
    p.add_argument("--weights", choices=("agreement", "none"), help="whether rows weigh as their evidence does")
    p.add_argument("--out", type=Path, metavar="DIR", help=f"the run's folder (WORKSPACE/runs/{task}-EXPORT-MODEL)")
    p.add_argument("--seed", type=int, metavar="N", help="order of rows, dropout, first weights (0)")
    p.add_argument("--force", action="store_true", help="put it in the place of a former run")
    p.add_argument("--fresh", action="store_true", help="do not go on from checkpoints of a run that was stopped")
    p.add_argument("--unverified", action="store_true", help="read an export that has changed or has no manifest")
    add_workspace(p)
    add_json(p)
    a = p.parse_args(argv)
    from train.preparing import Asked
    from train.running import run

    given = [*a.set, *(["soft_labels=true"] if getattr(a, "soft_labels", False) else [])]
    given += [f"weights={a.weights}"] if a.weights else []
    asked = Asked(
        task, a.export, a.workspace, a.model, a.config, tuple(given), a.out, a.seed, a.force, a.fresh, a.unverified
    )
    summary = run(asked)
    if summary:  # of several processes, the first one speaks
        finish(summary, a.json)
    return 0
