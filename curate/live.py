"""Measures of projects kept up to date while people judge, for a lead's page to show.

    python -m curate.live --project NAME

Agreement with its interval and verdict, how reliable people are, whether sides are preferred, how
strong the models are: in the store's table `measures`, as curate.agreement, curate.audit and
curate.aggregate would say it of people's judgments at the same moment. Only what is new is read.
Without --project it keeps every project of the store; --once computes and ends.
"""

import argparse
import os
import signal
import sys
import threading

from data.command import add_json, add_store, finish, parser, store_url
from data.errors import BadInput, exit_status


def main(argv: list[str] | None = None) -> int:
    """Read the flags; compute once, or until stopped."""
    p = parser(__doc__, "python -m curate.live")
    p.add_argument(
        "--project", action="append", metavar="NAME", help="a project to keep; again for more (default: all)"
    )
    p.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between two looks (default: 5)")
    p.add_argument("--once", action="store_true", help="compute everything and end")
    p.add_argument("--threshold", type=float, default=0.8, help="alpha to reach (default: 0.8)")
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)  # of a server: quietly, and end with it
    add_store(p)
    add_json(p)
    args = p.parse_args(argv)
    if not 0.1 <= args.every <= 86_400:
        raise BadInput(f"--every is {args.every:g}; it goes from 0.1 to 86400 seconds")
    if not -1 <= args.threshold <= 1:
        raise BadInput(f"--threshold: {args.threshold} is not within -1 to 1")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before numpy is imported: this works beside what people wait for
    from curate.live_figures import Wish
    from curate.live_run import keep, once

    wish = Wish(threshold=args.threshold)
    if args.once:
        from data.store import open_store

        store = open_store(store_url(args), create=False)
        try:
            finish(once(store, args.project or (), wish), args.json)
        finally:
            store.close()
        return 0
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if args.child:
        _with_parent(stop)
    else:
        print(f"keeping measures up to date, a look every {args.every:g} s (Ctrl-C stops it)", flush=True)
    keep(store_url(args), args.project or (), wish, args.every, stop)
    return 0


def _with_parent(stop: threading.Event) -> None:
    """Give way to others, and end when the parent does: its end of our input closes then, however it ends."""
    if hasattr(os, "nice"):
        os.nice(10)

    def wait() -> None:
        while sys.stdin.buffer.read(1):
            pass
        stop.set()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
