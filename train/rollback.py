"""Take back the last release: WORKSPACE/runs/current points again to the run that passed before it.

    python -m train.rollback

Its folder is verified first; once more goes one release further back.
"""

from data.command import add_json, add_workspace, finish, parser
from data.errors import exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, move the link, print the summary."""
    p = parser(__doc__, "python -m train.rollback")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    from train.releasing import CURRENT, rollback

    moved = rollback(args.workspace)
    link = args.workspace / "runs" / CURRENT
    summary = {"current": moved.run.name, "taken_back": moved.before, "note": moved.note, "wrote": str(link)}
    finish(summary, args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
