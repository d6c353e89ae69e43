"""Who is asking: signed session cookies, and what a changing request must carry.

A session cookie names a person and an epoch and is signed with a key kept in the store, so
it outlives a restart and ends when the person's epoch is raised. A changing request must
come from our own page: the browser's Sec-Fetch-Site (or the Origin) says so, and on our own
routes a header must repeat the strict cookie `csrf`, which no other site can read.
"""

import secrets
from collections.abc import Mapping

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from annotate import accounts
from annotate.accounts import Person
from data.errors import Refused
from data.store import Tx

SESSION_S = 30 * 24 * 3600
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """Reads and writes the cookies of one server; `path` is where the app is mounted."""

    def __init__(self, secret: str, path: str = "/") -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="concord-session")
        self.path = path or "/"

    def claimed(self, request: Request) -> tuple[str, int] | None:
        """The person id and epoch a request's cookie names, if its signature holds; not yet checked in the store."""
        try:
            person, epoch = self._signer.loads(request.cookies.get("sid", ""), max_age=SESSION_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return (person, epoch) if isinstance(person, str) and isinstance(epoch, int) else None

    def person(self, tx: Tx, request: Request) -> Person | None:
        """The signed-in person behind a request, or None."""
        claimed = self.claimed(request)
        return accounts.session_person(tx, *claimed) if claimed else None

    def require(self, tx: Tx, request: Request) -> Person:
        """The signed-in person; Refused when nobody is, or when the page was drawn for somebody else."""
        person = self.person(tx, request)
        if person is None:
            raise Refused("you are signed out; sign in again to go on", "signed_out")
        drawn_for = request.headers.get("x-person")
        if drawn_for and drawn_for != person.id:
            raise Refused("somebody else signed in in this browser; reload to go on as them", "other_person")
        return person

    def sign_in(self, request: Request, response: Response, person: Person) -> None:
        """Set the cookies of a new session."""
        self._set(request, response, "sid", str(self._signer.dumps([person.id, person.epoch])), httponly=True)
        self.set_csrf(request, response)

    def sign_out(self, response: Response) -> None:
        """Forget the session in this browser."""
        response.delete_cookie("sid", path=self.path)

    def set_csrf(self, request: Request, response: Response) -> None:
        """Give the browser the value that changing requests must repeat."""
        self._set(request, response, "csrf", secrets.token_urlsafe(18), strict=True)

    def _set(
        self,
        request: Request,
        response: Response,
        key: str,
        value: str,
        *,
        httponly: bool = False,
        strict: bool = False,
    ) -> None:
        response.set_cookie(
            key,
            value,
            max_age=SESSION_S,
            path=self.path,
            httponly=httponly,
            samesite="strict" if strict else "lax",
            secure=request.url.scheme == "https",
        )


def from_another_site(headers: Mapping[str, str], host: str) -> bool:
    """Whether a changing request was sent by somebody else's page."""
    site = headers.get("sec-fetch-site")
    if site:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return bool(origin) and origin.split("://", 1)[-1] != host  # type: ignore[union-attr]


async def check_csrf(request: Request) -> None:
    """Refuse a changing request of ours that does not repeat the csrf cookie."""
    cookie = request.cookies.get("csrf", "")
    header = request.headers.get("x-csrf", "")
    if not cookie or not secrets.compare_digest(cookie.encode(), header.encode()):
        raise Refused("this request did not come from the page; reload and try again", "csrf")
