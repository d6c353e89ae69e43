"""Ship a run that its gate passed: WORKSPACE/runs/current points to it from now on.

    python -m train.release workspace/runs/dpo-01

Refused where the gate failed it (status 1), had not enough evidence (3), or has not decided on the run as it is now
(2). The run's folder, the gate's record and the log of looks are verified first.
"""

from pathlib import Path

from data.command import add_json, add_workspace, finish, parser
from data.errors import exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, move the link, print the summary."""
    p = parser(__doc__, "python -m train.release")
    p.add_argument("run", type=Path, metavar="RUN", help="folder of the run, or a link to it")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    from train.releasing import CURRENT, release

    moved = release(args.run, args.workspace)
    link = args.workspace / "runs" / CURRENT
    finish({"current": moved.run.name, "before": moved.before, "note": moved.note, "wrote": str(link)}, args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
