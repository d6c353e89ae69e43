"""What stands before every request: size, site, sign-in and the headers that keep pages safe.

Written as one plain ASGI layer around the whole app, Gradio's routes included, because
Gradio by itself answers requests from other sites and lets some of its routes be used
without a session.
"""

import json
import re
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotate.head import CSP, head_start
from annotate.session import SAFE, Sessions, from_another_site
from annotate.uploads import MAX_BYTES

MAX_BODY = 8_000_000  # bytes; a draft or an answer is far smaller
LEADS_FILE = re.compile(r"/api/lead/[^/]+/files")
"""The one route that takes more: it asks who sends before it reads, and writes to disk as it reads."""
OPEN_TO_ALL = ("/signin", "/join/", "/ui/", "/theme.css", "/static/", "/assets/", "/manifest.json", "/favicon.ico")
NEVER = ("/gradio_api/heartbeat", "/gradio_api/reset", "/gradio_api/cancel", "/gradio_api/upload")
"""Routes of Gradio that need no session by themselves and that our pages never use."""


class Guard:
    """The ASGI layer: `sessions` reads cookies, `base` is the path the app is served under."""

    def __init__(self, app: ASGIApp, sessions: Sessions, base: str = "") -> None:
        self.app = app
        self.sessions = sessions
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, redirect or pass the request on; put the headers on what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(self.base) or "/"
        safe_send = _with_headers(send, head_start(self.base))
        if scope["method"] == "GET" and "text/html" in headers.get("accept", "") and path == "/":
            safe_send = _to_sign_in(safe_send, f"{self.base}/signin")  # a session that was ended, by Gradio's word
        if refusal := self._refuse(scope, headers, path):
            await _answer(safe_send, *refusal)
        else:
            await self.app(scope, receive, safe_send)

    def _refuse(self, scope: Scope, headers: Headers, path: str) -> tuple[int, dict[str, str], str] | None:
        """Status, code and message (or a redirect's place) of an answer given right here, or None."""
        changing = scope["method"] not in SAFE
        if changing and from_another_site(headers, headers.get("host", "")):
            return 403, {"code": "csrf"}, "this request did not come from the page; reload and try again"
        limit = MAX_BYTES if LEADS_FILE.fullmatch(path) else MAX_BODY
        if changing and int(headers.get("content-length") or 0) > limit:
            return 413, {"code": "too_large"}, f"a request holds at most {limit:,} bytes"
        if changing and "transfer-encoding" in headers:
            return 411, {"code": "too_large"}, "send the request with its length"
        if path.startswith(NEVER):
            return 404, {"code": "not_there"}, "there is nothing here"
        if path.startswith(OPEN_TO_ALL) or path.startswith("/api/") or path in ("/openapi.json", "/healthz"):
            return None  # the routes under /api/ ask for themselves
        if self.sessions.claimed(Request(scope)) is None:
            if not changing and (path == "/" or "text/html" in headers.get("accept", "")):
                query = scope["query_string"].decode("latin-1")
                here = self.base + path + (f"?{query}" if query else "")
                return 303, {"location": f"{self.base}/signin?next={quote(here, safe='')}"}, ""
            return 401, {"code": "signed_out"}, "you are signed out; sign in again to go on"
        return None


def _to_sign_in(send: Send, place: str) -> Send:
    """Turn a 401 for a page into the way to the sign-in page."""
    turned = False

    async def sending(message: Message) -> None:
        nonlocal turned
        if message["type"] == "http.response.start" and message["status"] == 401:
            turned = True
            await _answer(send, 303, {"location": place}, "")
        elif not turned:
            await send(message)

    return sending


async def _answer(send: Send, status: int, extra: dict[str, str], message: str) -> None:
    headers = [(b"cache-control", b"no-store")]
    body = b""
    if "location" in extra:
        headers.append((b"location", extra["location"].encode()))
    else:
        body = json.dumps({**extra, "message": message}).encode()
        headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, first: str) -> Send:
    """Add the policy to every answer, forbid keeping pages, and put `first` at the start of an HTML head."""
    start: Message | None = None
    parts: list[bytes] = []

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = CSP
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers["X-Frame-Options"] = "DENY"
            if headers.get("content-type", "").startswith("text/html"):
                headers["Cache-Control"] = "no-store"  # the back button after signing out shows nothing
                start = message
                return
        if start is None or message["type"] != "http.response.body":
            await send(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body"):
            return
        body = b"".join(parts)
        if "content-encoding" not in Headers(raw=start["headers"]):
            body = body.replace(b"<head>", b"<head>" + first.encode(), 1)
        MutableHeaders(scope=start)["Content-Length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return sending
