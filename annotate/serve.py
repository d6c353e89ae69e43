"""Serve the labelling page.

    python -m annotate.serve --port 7860

Behind a TLS proxy, let the proxy pass the Host header and X-Forwarded-Proto on, and name
the path it serves us under with --base-path.
"""

import argparse

from data.command import add_store, parser, store_url
from data.errors import BadInput, exit_status


def arguments() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, "python -m annotate.serve")
    args.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    args.add_argument("--port", type=int, default=7860, help="port to listen on (default %(default)s)")
    args.add_argument("--base-path", default="", metavar="/PATH", help="path we are served under, behind a proxy")
    args.add_argument("--lease-minutes", type=float, default=15, help="how long a task is kept (default %(default)s)")
    args.add_argument("--proxies", default="127.0.0.1", help="addresses whose X-Forwarded headers are believed")
    args.add_argument("--no-live", action="store_true", help="do not keep a lead's measures up to date (curate.live)")
    add_store(args)
    return args.parse_args()


def main() -> int:
    """Take the port, open the store, serve until stopped."""
    args = arguments()
    base = "/" + args.base_path.strip("/") if args.base_path.strip("/") else ""
    if not all(part.replace("-", "").replace("_", "").isalnum() for part in base.split("/")[1:]):
        raise BadInput(f"--base-path is letters, digits, - and _ between slashes, not {args.base_path!r}")
    if not 0.1 <= args.lease_minutes <= 24 * 60:
        raise BadInput(f"--lease-minutes is {args.lease_minutes:g}; it goes from 0.1 to 1440")
    from annotate.running import run, take_port
    from data.store import open_store

    sock = take_port(args.host, args.port)
    store = open_store(store_url(args))
    lease_ms = int(args.lease_minutes * 60_000)
    run(store, sock, args.host, base=base, lease_ms=lease_ms, proxies=args.proxies, live=not args.no_live)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
