"""What a log of requests holds: attempts, tokens and cost by stage, how they ended and why.

    python -m datagen.requests workspace/respond.requests.db [--state rejected] [--cause echo]

With --state or --cause, each such attempt on a line of its own, as JSON, with the body that came: the saved
copies of what was rejected, and what was in flight when a run was killed (--state lost --cause killed), which
was asked again and may have been paid twice. A run that has the log open keeps it to itself; wait for its end.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from data.command import add_json, finish, parser
from data.errors import BadInput, NotThere, exit_status, nearest

STATES = ("sent", "answered", "rejected", "free", "lost")


def arguments(argv: Sequence[str] | None) -> Namespace:
    """The command line."""
    p = parser(__doc__, "python -m datagen.requests")
    p.add_argument("log", type=Path, metavar="LOG", help="a log of requests, such as workspace/respond.requests.db")
    p.add_argument("--state", choices=STATES, help="list the attempts that ended so")
    p.add_argument("--cause", metavar="NAME", help="list the attempts with this fault, such as echo or killed")
    add_json(p)
    return p.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Open the log, print."""
    args = arguments(argv)
    from datagen.budget import usd
    from datagen.request_log import RequestLog

    if not args.log.is_file():
        raise NotThere(f"{args.log} is not there; a run says where its log is")
    log = RequestLog(args.log)
    try:
        rows = log.per_stage()
        causes = {row[2] for row in rows if row[2]}
        if args.cause and args.cause not in causes:
            raise BadInput(f"--cause {args.cause} is in no attempt{nearest(args.cause, causes)}; try without it")
        if args.state or args.cause:
            for line in log.listed(args.state, args.cause):
                print(line.decode())
            return 0
        summary: dict[str, object] = {"answered": len(log)}
        for stage, state, cause, attempts, tokens, cost in rows:
            name = f"{stage}: {state}" + (f", {cause}" if cause else "")
            summary[name] = f"{attempts:,} attempts, {tokens:,} tokens, {usd(cost)}"
        summary["spent"] = f"{log.spent.tokens:,} tokens, {usd(log.spent.cost)}"
        finish(summary, args.json)
    finally:
        log.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
