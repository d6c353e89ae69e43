"""HTTP/1.1 down to the bytes, so that the fake server can also send what no framework would let through.

One `Connection` per client. A whole request goes to `handle`, which gives a `Response`: what to send and in
which manner. Nothing here knows about models.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import httptools

BODY_LIMIT = 64 << 20  # bytes of one request
JSON = (("content-type", "application/json"),)
LINGER_0 = struct.pack("ii", 1, 0)  # closing sends a reset
REASONS = {status.value: status.phrase for status in HTTPStatus}


class Asked(NamedTuple):
    """One request as it came; header names in small letters."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes


class Response(NamedTuple):
    """What to send."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = JSON
    chunks: tuple[bytes, ...] | None = None
    """Sent one after another (chunked) in place of `body`."""
    manner: str = "whole"
    """whole, hang (nothing comes), drip (a byte at a time), close (the connection ends unanswered),
    reset (in mid-body), short (fewer bytes than Content-Length said), unended (chunks stop without their end)."""
    delay_s: float = 0.0
    on_sent: Callable[[], None] | None = None
    """Called once, when it was sent or the client has left."""


class Connection(asyncio.Protocol):
    """One client's connection; its requests are answered one after another."""

    def __init__(self, handle: Callable[[Asked], Response], open_ones: "set[Connection]", drip_s: float) -> None:
        self._handle, self._open, self._drip_s = handle, open_ones, drip_s
        self._parser: Any = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Asked, bool]] = deque()
        self._under_way: Response | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any = None
        self._url, self._headers, self._body, self._size = b"", dict[bytes, bytes](), list[bytes](), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client left, or we closed."""
        self._open.discard(self)
        self._waiting.clear()
        self._finished()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._transport.is_closing():
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                self._transport.close()

    # What httptools calls while it reads

    def on_message_begin(self) -> None:
        """A request starts."""
        self._url, self._headers, self._body, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        """Its path, or a piece of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """A client with a large body may ask first."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._size += len(body)
        if self._size > BODY_LIMIT:
            self._transport.close()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        url = httptools.parse_url(self._url)
        path, query = (url.path or b"/").decode("latin-1"), (url.query or b"").decode("latin-1")
        method = self._parser.get_method().decode("latin-1")
        asked = Asked(method, path, query, self._headers, b"".join(self._body))
        self._waiting.append((asked, self._parser.should_keep_alive()))
        if self._under_way is None:
            self._next()

    # Sending

    def _next(self) -> None:
        while self._waiting and self._under_way is None and not self._transport.is_closing():
            asked, keep = self._waiting.popleft()
            self._under_way = response = self._handle(asked)
            if response.delay_s > 0:
                self._timer = asyncio.get_running_loop().call_later(response.delay_s, self._send, response, keep)
            else:
                self._send(response, keep)

    def _send(self, response: Response, keep: bool) -> None:
        if response.manner == "hang":
            return
        if response.manner == "close":
            self._transport.close()
            return
        head, body = _head(response, keep), _framed(response)
        if response.manner == "drip":
            self._transport.write(head)
            self._drip(body, 0, keep)
            return
        if response.manner in ("reset", "short"):
            body = body[: len(body) // 2]
        self._transport.write(head + body)
        if response.manner == "reset":
            # The client is to read this half first, then meet the reset.
            self._timer = asyncio.get_running_loop().call_later(0.05, self._reset)
            return
        self._sent(keep and response.manner == "whole")

    def _drip(self, body: bytes, at: int, keep: bool) -> None:
        self._transport.write(body[at : at + 1])
        if at + 1 < len(body):
            self._timer = asyncio.get_running_loop().call_later(self._drip_s, self._drip, body, at + 1, keep)
        else:
            self._sent(keep)

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        self._transport.abort()

    def _sent(self, keep: bool) -> None:
        self._finished()
        if not keep:
            self._transport.close()
        elif self._waiting:
            self._next()

    def _finished(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        done, self._under_way, self._timer = self._under_way, None, None
        if done is not None and done.on_sent is not None:
            done.on_sent()

    def end(self) -> None:
        """Close it now; the server stops."""
        self._transport.abort()


def _head(response: Response, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    length = f"content-length: {len(response.body)}"
    lines.append(length if response.chunks is None else "transfer-encoding: chunked")
    if not keep:
        lines.append("connection: close")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


def _framed(response: Response) -> bytes:
    if response.chunks is None:
        return response.body
    end = b"" if response.manner == "unended" else b"0\r\n\r\n"
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in response.chunks if chunk) + end
