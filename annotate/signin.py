"""Signing in: by name and password, or by a one-time link. Plain forms, no script needed."""

from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from annotate import accounts
from annotate.session import Sessions
from annotate.signin_page import join_html, signin_html
from annotate.throttle import Throttle
from data.errors import Refused
from data.store import Store


def router(store: Store, sessions: Sessions, base: str) -> APIRouter:
    """The two pages and what their forms send, under the base path."""
    api = APIRouter(prefix=base, include_in_schema=False)
    _by_password(api, store, sessions, base)
    _by_link(api, store, sessions, base)
    return api


def _by_password(api: APIRouter, store: Store, sessions: Sessions, base: str) -> None:
    throttle = Throttle()

    def check(name: str, password: str) -> tuple[accounts.Person | None, str]:
        """The person, or None and why not."""
        key = accounts.spelled(name)  # written in another way the count goes on
        if not throttle.allows(key):
            return None, "too_many"
        with store.read() as tx:
            person = accounts.check_password(tx, name, password)
        throttle.note(key, person is not None)
        return person, "wrong"

    @api.get("/signin", response_class=HTMLResponse)
    def show_signin(request: Request) -> HTMLResponse:
        place = _local(request.query_params.get("next", ""), base)
        return HTMLResponse(signin_html(_language(request), place, base=base))

    @api.post("/signin")
    async def sign_in(request: Request) -> Response:
        form = await _fields(request)
        name, place = form.get("name", "").strip()[:200], _local(form.get("next", ""), base)
        person, why = await run_in_threadpool(check, name, form.get("password", "")[:1000])
        if person is None:
            page = signin_html(_language(request), place, error=why, name=name, base=base)
            return HTMLResponse(page, 429 if why == "too_many" else 401)
        response = RedirectResponse(place, 303)
        sessions.sign_in(request, response, person)
        return response


def _by_link(api: APIRouter, store: Store, sessions: Sessions, base: str) -> None:
    def use(link: str, password: str) -> accounts.Person:
        return store.change(lambda tx: accounts.use_link(tx, link, password))

    @api.get("/join/{link}", response_class=HTMLResponse)
    def show_join(request: Request, link: str) -> HTMLResponse:
        # Only shown: a mail program that looks at a link in advance must not use it up.
        with store.read() as tx:
            person = accounts.link_owner(tx, link)
        if person is None:
            return HTMLResponse(join_html(_language(request), link, "", error="link_over", base=base), 410)
        return HTMLResponse(join_html(_language(request), link, person.name, base=base))

    @api.post("/join/{link}")
    async def join(request: Request, link: str) -> Response:
        form = await _fields(request)
        try:
            person = await run_in_threadpool(use, link, form.get("password", "")[:1000])
        except Refused as refusal:
            page = join_html(_language(request), link, form.get("name", ""), error=refusal.code, base=base)
            return HTMLResponse(page, 410 if refusal.code == "link_over" else 422)
        response = RedirectResponse(f"{base}/", 303)
        sessions.sign_in(request, response, person)
        return response


def _language(request: Request) -> str:
    """The reader's language: what they chose, else what their browser asks for."""
    chosen = request.cookies.get("lang", "")
    accepted = request.headers.get("accept-language", "").lower()
    return "zh" if chosen == "zh" or (not chosen and accepted.startswith("zh")) else "en"


def _local(path: str, base: str) -> str:
    """A place of ours to go to next, never another site's."""
    ours = path.startswith(f"{base}/") and not path.startswith("//") and "\\" not in path
    return path if ours and path.isprintable() else f"{base}/"


async def _fields(request: Request) -> dict[str, str]:
    body = (await request.body()).decode("utf-8", "replace")
    return {key: values[-1] for key, values in parse_qs(body, keep_blank_values=True).items()}
