"""From seed tasks to a gated adapter over five seeds, and what was recovered beside the truth.

    python -m tour
    python -m tour --seeds 1

Everything is real: commands as one types them, the labelling page's own routes, 4-bit weights on the CPU. Made up are
the models that answer (datagen.fake_server) and the people, a dozen of known skill who see what the page shows. The
first seed runs every stage; the last one has people who hardly look, and its adapter must be refused. Writes
WORKSPACE/tour with a folder for each seed and report.html; a former tour there is replaced, and its digests are held
beside the new ones.
"""

from pathlib import Path

from data.command import add_json, add_workspace, finish, parser
from data.errors import BadInput, exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags, go, print the summary."""
    p = parser(__doc__, "python -m tour")
    p.add_argument("--seeds", type=int, default=5, metavar="N", help="how many; the last has bad annotators (5)")
    p.add_argument("--at-once", type=int, default=2, metavar="N", help="seeds that run beside each other (2)")
    p.add_argument("--tasks", type=int, default=600, metavar="N", help="prompts people judge answers to (600)")
    p.add_argument("--held", type=int, default=240, metavar="N", help="prompts experts judge answers to (240)")
    p.add_argument("--model", type=Path, metavar="DIR", help="a model's folder in place of the tiny one made here")
    add_workspace(p)
    add_json(p)
    args = p.parse_args(argv)
    for flag, least in (("seeds", 1), ("at_once", 1), ("tasks", 40), ("held", 10)):
        if getattr(args, flag) < least:
            raise BadInput(f"--{flag.replace('_', '-')}: {getattr(args, flag)} is below {least}")
    from tour.going import Asked, go

    asked = Asked(args.workspace / "tour", args.seeds, args.at_once, args.tasks, args.held, args.model)
    summary, held = go(asked)
    finish(summary, args.json)
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
