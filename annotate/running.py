"""Takes a port and runs the server on it, for the commands that serve."""

import asyncio
import logging
import os
import socket

from data.errors import BadInput
from data.store import Store


def take_port(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything slow is done; BadInput when the port is in use."""
    if not 0 <= port <= 65535:  # the resolver would take the rest of a division without a word
        raise BadInput(f"--port is {port}; it goes from 0 (any that is free) to 65535")
    try:
        family, kind, proto, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError) as error:
        raise BadInput(f"{host}:{port} is no address to listen on ({error})") from None
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(place)
        sock.listen(2048)
    except (OSError, OverflowError) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f'port {port} on {host} cannot be used ({reason}); name another with --port (make demo ARGS="--port …")'
        ) from None
    return sock


def address(sock: socket.socket, host: str) -> str:
    """What one types into a browser to reach the socket: http:// with host and port."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{sock.getsockname()[1]}"


def run(
    store: Store,
    sock: socket.socket,
    host: str,
    *,
    base: str,
    lease_ms: int,
    proxies: str,
    notes: str = "",
    live: bool = True,
) -> None:
    """Serve until stopped; prints the address when the page can be opened, then `notes`.

    `live`: whether a child keeps measures up to date once a lead looks (annotate/live_child.py).
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: it looks things up otherwise
    import uvicorn

    from annotate.app import build_app

    app = build_app(store, base=base, lease_ms=lease_ms, live=live)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,  # people read between two requests; a new connection each time costs more
        server_header=False,
    )

    class Server(uvicorn.Server):
        """Says that it is ready once it hears signals: a Ctrl-C before that can get lost in a destructor."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.should_exit:
                return
            print(f"Concord is ready on {address(sock, host)}{base}/  (Ctrl-C stops it)", flush=True)
            if notes:
                print(notes, flush=True)

    logging.getLogger("uvicorn.error").addFilter(_not_cut_off)
    Server(config).run(sockets=[sock])
    store.close()


def _not_cut_off(record: logging.LogRecord) -> bool:
    """False for the traceback of a request that the server's own end cut off; uvicorn tells their number in a line."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
