"""The server: the label path, sign-in, the page's files, and Gradio, in one app.

`build_app` puts them together; `annotate.serve` runs it. Our own routes are declared before
Gradio is mounted, since Gradio answers everything else.
"""

import mimetypes
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from annotate import accounts, assign, lead_routes, routes, signin
from annotate.middleware import Guard
from annotate.render_code import highlight_css
from annotate.session import Sessions
from data.errors import ConcordError, NotThere, Refused, StoreDown, one_line
from data.store import Store
from data.version import version

PAGE = Path(__file__).parent / "page"
STATUS = {
    "signed_out": 401,
    "csrf": 403,
    "not_a_member": 403,
    "not_a_lead": 403,
    "too_large": 413,
    "other_person": 409,
    "superseded": 409,
    "lease_over": 410,
    "bad_answer": 422,
    "password": 422,
    "paused": 423,
    **dict.fromkeys(("loading", "not_ready", "busy", "exporting"), 409),
    **dict.fromkeys(("already_there", "deactivated", "no_account", "other_projects", "last_lead", "yourself"), 409),
}


def build_app(
    store: Store, *, base: str = "", lease_ms: int = assign.LEASE_MS, gradio: bool = True, live: bool = False
) -> FastAPI:
    """The whole server over an open store.

    Args:
        base: path it is served under behind a proxy, such as "/label"; "" for the root.
        lease_ms: how long a claimed task is kept for its annotator.
        gradio: False leaves the pages out (the label path alone, for load tests).
        live: start `python -m curate.live` when a lead looks at a project.
    """
    works = lead_routes.Works(store, live)
    app = FastAPI(
        title="Concord",
        version=version(),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{base}/openapi.json",
        lifespan=works.lifespan,
    )
    with store.write() as tx:
        sessions = Sessions(accounts.server_secret(tx), base + "/")
    _errors(app)
    app.include_router(routes.router(store, sessions, lease_ms), prefix=base)
    app.include_router(lead_routes.router(store, sessions, works), prefix=base)
    app.state.works = works
    app.include_router(signin.router(store, sessions, base))
    _files(app, base)
    _health(app, store, base)
    app.add_middleware(Guard, sessions=sessions, base=base)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=3)  # 9 takes longer than it saves
    if gradio:
        _mount_gradio(app, store, sessions, base)
    return app


def _mount_gradio(app: FastAPI, store: Store, sessions: Sessions, base: str) -> None:
    from annotate.view import mount  # imports gradio, which takes seconds

    def signed_in(request: Request) -> str | None:
        """The person's id for Gradio, None when signed out."""
        with store.read() as tx:
            person = sessions.person(tx, request)
        return person.id if person else None

    mount(app, base, signed_in)


def _errors(app: FastAPI) -> None:
    """Every error of ours as {code, message}, and never a traceback."""

    def said(status: int, code: str, message: str) -> JSONResponse:
        return JSONResponse({"code": code, "message": message}, status, headers={"Cache-Control": "no-store"})

    @app.exception_handler(ConcordError)
    def concord_error(_: Request, error: ConcordError) -> JSONResponse:
        if isinstance(error, StoreDown):
            return said(503, "store_down", "the store does not answer; your work is kept here and sent when it is back")
        if isinstance(error, Refused):
            return said(STATUS.get(error.code, 400), error.code, str(error))
        if isinstance(error, NotThere):
            return said(404, "not_there", str(error))
        return said(400, "bad_input", str(error))

    @app.exception_handler(RequestValidationError)
    def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return said(422, "bad_answer", one_line(f"{where}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    def refused_by_framework(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_there", 405: "not_there"}.get(error.status_code, "bad_input")
        return said(error.status_code, code, one_line(str(error.detail)))


def _files(app: FastAPI, base: str) -> None:
    """The page's own files; the hash in their address lets a browser keep them for good."""
    files = {path.relative_to(PAGE).as_posix(): path.read_bytes() for path in PAGE.rglob("*") if path.is_file()}
    files["code.css"] = highlight_css().encode()

    @app.get(f"{base}/ui/{{version}}/{{name:path}}", include_in_schema=False)
    def page_file(version: str, name: str) -> Response:
        if name not in files:
            raise NotThere("there is no such file")
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        lasting = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(files[name], media_type=kind, headers=lasting)


def _health(app: FastAPI, store: Store, base: str) -> None:
    """Whether people can be served: asked by whatever restarts us, so without sign-in and past the proxy's path too."""

    def health() -> dict[str, str]:
        with store.read() as tx:
            tx.value("SELECT 1")
        return {"status": "ok"}  # a store that does not answer is a 503, by its error

    for path in {"/healthz", f"{base}/healthz"}:
        app.get(path, include_in_schema=False)(health)
