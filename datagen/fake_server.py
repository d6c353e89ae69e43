"""An OpenAI-compatible server with made-up answers, for tests and for trying things without a key.

    python -m datagen.fake_server [--port 8000] [--fault NAME=RATE …]

Point any command at it with --base-url http://127.0.0.1:8000/v1. The same request gets the same answer, in
any order, in any process, with the same --seed. GET /counts tells what it saw, POST /reset forgets it.
One request can ask for a fault by the header `X-Fault: NAME` or the model name `fault:NAME`.
"""

import argparse
import socket
import time
from typing import TYPE_CHECKING

from data.command import add_json, finish, parser
from data.errors import BadInput, exit_status

if TYPE_CHECKING:
    from datagen.fake.server import Settings

HOST = "127.0.0.1"
SUMMARY = ("requests", "answered", "by_status", "by_fault", "prompt_tokens", "completion_tokens", "most_at_once")


def main(argv: list[str] | None = None) -> int:
    """Serve until it is stopped."""
    args = _parser().parse_args(argv)
    if args.list_faults:
        _list_faults()
        return 0
    from datagen.fake.server import Fake, serve

    settings = _settings(args)
    with _listen(args.host, args.port) as listening:
        port = listening.getsockname()[1]
        fake = Fake(settings, time.monotonic)
        serve(fake, listening, lambda: print(f"listening on http://{args.host}:{port}/v1", flush=True))
    found = fake.counts.report(keys=False)
    summary = {name: found[name] for name in SUMMARY}
    if fake.limits.on:
        summary["rate_limits"] = fake.limits.report()
    finish(summary, args.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    args = parser(__doc__, "python -m datagen.fake_server")
    args.add_argument("--host", default=HOST, help="address to listen on (default %(default)s: this machine alone)")
    args.add_argument("--port", type=int, default=8000, help="0 takes a free one (default %(default)s)")
    args.add_argument("--latency-ms", type=float, default=0, metavar="MS", help="wait before each answer")
    args.add_argument("--jitter-ms", type=float, default=0, metavar="MS", help="up to so much more, by the request")
    args.add_argument("--rpm", type=float, metavar="N", help="requests per minute; 429 above")
    args.add_argument("--tpm", type=float, metavar="N", help="tokens per minute; 429 above")
    args.add_argument(
        "--no-limit-headers", action="store_true", help="tell nothing of the limits, not even Retry-After"
    )
    args.add_argument("--burst", type=float, default=60, metavar="S", help="seconds' worth usable at once (default 60)")
    args.add_argument("--concurrency-limit", type=int, metavar="N", help="requests at once; 429 above")
    args.add_argument("--fault", action="append", default=[], metavar="NAME[=RATE]", help="a share, always or first:K")
    args.add_argument("--list-faults", action="store_true", help="name every fault, a line each, and end")
    args.add_argument("--drip-ms", type=float, default=100, metavar="MS", help="between the bytes of the fault drip")
    args.add_argument("--plain", action="store_true", help="general chat without refusals, empty answers and slips")
    args.add_argument("--models", metavar="A,B,C", help="the only models there are (default: any name is answered)")
    args.add_argument("--key", help="the only API key that is let in (default: any)")
    args.add_argument("--quota", type=int, metavar="N", help="answers until the quota is used up")
    args.add_argument(
        "--context", type=int, default=131072, metavar="N", help="tokens a model can hold (default 131072)"
    )
    args.add_argument("--seed", type=int, default=0, help="another seed gives other answers (default 0)")
    add_json(args)
    return args


def _list_faults() -> None:
    from datagen.fake.faults import FAULTS

    width = max(map(len, FAULTS))
    for name, line in FAULTS.items():
        print(f"{name.ljust(width)}  {line}")


def _settings(args: argparse.Namespace) -> "Settings":
    from datagen.fake.faults import rule
    from datagen.fake.server import Settings

    for flag in ("rpm", "tpm", "burst", "concurrency_limit", "context"):
        value = getattr(args, flag)
        if value is not None and not value > 0:
            raise BadInput(f"--{flag.replace('_', '-')} {value:g} lets nothing through; give a number above 0")
    return Settings(
        latency_s=args.latency_ms / 1000,
        jitter_s=args.jitter_ms / 1000,
        rpm=args.rpm,
        tpm=args.tpm,
        burst_s=args.burst,
        limit_headers=not args.no_limit_headers,
        concurrency=args.concurrency_limit,
        models=tuple(filter(None, (args.models or "").split(","))),
        key=args.key,
        seed=args.seed,
        quota=args.quota,
        context=args.context,
        faults=tuple(map(rule, args.fault)),
        drip_s=args.drip_ms / 1000,
        plain=args.plain,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; BadInput names the next free port when this one is taken."""
    try:
        return _bound(host, port)
    except (OSError, OverflowError) as error:
        for other in range(port + 1, min(port + 100, 65536)) if 0 < port < 65536 else ():
            try:
                _bound(host, other).close()
            except OSError:
                continue
            raise BadInput(f"port {port} of {host} cannot be used ({error}); --port {other} is free") from None
        raise BadInput(f"port {port} of {host} cannot be used ({error}); --port 0 takes a free one") from None


def _bound(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(4096)
    except BaseException:
        found.close()
        raise
    return found


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
