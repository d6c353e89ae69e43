"""The lead's routes: the project page, the person page, files to load, the export, pause.

Every route asks in its own transaction whether the person leads the project; to anybody else all of them
answer 403 `not_a_lead`, whether the project is there or not. What is slow runs beside the requests
(figures.py, uploads.py, exporting.py, live_child.py); the page asks again for how far it is.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from annotate import lead, measures, projects
from annotate.accounts import Person
from annotate.answers import iso
from annotate.bodies import Choices, ExportBody, NewPerson, PauseBody, RoleBody
from annotate.exporting import Exports
from annotate.figures import Keeper
from annotate.live_child import LiveChild
from annotate.projects import Project
from annotate.session import Sessions, check_csrf
from annotate.uploads import LAYOUTS, Upload, Uploads
from data import ledger
from data.errors import NotThere, Refused
from data.store import Store, Tx

T = TypeVar("T")
PART = 1_000_000  # bytes of a file written at once


class Works:
    """What one server runs for its leads, beside the requests."""

    def __init__(self, store: Store, live: bool = False) -> None:
        self.live = LiveChild(store, live)
        self.keeper = Keeper(store)
        self.uploads = Uploads(store)
        self.exports = Exports(store)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Ends it all with the server."""
        yield
        await run_in_threadpool(self.close)

    def close(self) -> None:
        """Stop what is under way, end children, remove files."""
        self.keeper.close()
        self.live.close()
        self.exports.close()
        self.uploads.close()


class Desk:
    """Who is asking, and whether they lead the project."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self.store, self.sessions = store, sessions

    @contextmanager
    def reading(self, request: Request, name: str) -> Iterator[tuple[Tx, Person, Project]]:
        """A read transaction for a lead."""
        with self.store.read() as tx:
            person = self.sessions.require(tx, request)
            yield tx, person, lead.require_lead(tx, name, person)

    def check(self, request: Request, name: str) -> tuple[Person, Project]:
        """The lead and the project, for what needs no transaction."""
        with self.reading(request, name) as (_, person, project):
            return person, project

    def change(self, request: Request, name: str, work: Callable[[Tx, Person, Project], T]) -> T:
        """Run `work` in a write transaction for a lead, asked for again once the project's chain is held.

        So of two leads who take each other's role at the same time, the second is none any more.
        """

        def asked(tx: Tx) -> T:
            person = self.sessions.require(tx, request)
            ledger.take(tx, lead.require_lead(tx, name, person).id)
            return work(tx, self.sessions.require(tx, request), lead.require_lead(tx, name, person))

        return self.store.change(asked)


def router(store: Store, sessions: Sessions, works: Works) -> APIRouter:
    """The routes, over a store and the sessions of the server they run in."""
    api = APIRouter(prefix="/api/lead/{project}", tags=["leads"])
    desk = Desk(store, sessions)
    _pages(api, desk, works)
    _people(api, desk)
    _files(api, desk, works.uploads)
    _exports(api, desk, works.exports)
    return api


def _pages(api: APIRouter, desk: Desk, works: Works) -> None:
    @api.get("")
    def overview(request: Request, project: str) -> dict[str, Any]:
        """Where the project stands; `figures` are null while they are first computed."""
        with desk.reading(request, project) as (tx, person, found):
            stand = lead.standing(tx, found)
            seq, now, names = ledger.head(tx, found.id).seq, tx.now(), lead.criterion_names(tx, found)
            shown = measures.measured(tx, found, seq)
        shown["kept"] = works.live.start() or shown["kept"]
        figures, computing = works.keeper.get(found.id, found.name, seq)
        ids = [one["id"] for one in stand["people"]]
        export, upload = works.exports.last(found.name), works.uploads.newest(found.name, person.id)
        return {
            **stand,
            "me": person.id,
            "now": iso(now),
            "figures": lead.summed(found, figures, now, ids) if figures else None,
            "computing": computing,
            "measured": shown,
            "criteria": names,
            "layouts": LAYOUTS,
            "export": export.view() if export else None,
            "upload": upload.view() if upload else None,
        }

    @api.get("/people/{person}")
    def person_page(request: Request, project: str, person: str) -> dict[str, Any]:
        """One person's work in the project."""
        with desk.reading(request, project) as (tx, me, found):
            about = lead.member(tx, found, person)
            others = {one["id"]: one["name"] for one in lead.members(tx, found)}
            latest = lead.latest(tx, found, person)
            seq, now = ledger.head(tx, found.id).seq, tx.now()
            shown = measures.of_person(measures.measured(tx, found, seq), person)
        figures, computing = works.keeper.get(found.id, found.name, seq)
        return {
            **about,
            "me": me.id,
            "now": iso(now),
            "title": found.settings["title"] or found.name,
            "latest": latest,
            "names": others,
            "figures": lead.person_sums(figures, person, now) if figures else None,
            "measured": shown,
            "computing": computing,
        }

    @api.post("/paused", dependencies=[Depends(check_csrf)])
    def pause(request: Request, project: str, body: PauseBody) -> dict[str, bool]:
        """Stop handing out tasks, or go on; what people hold they may still submit."""

        def work(tx: Tx, me: Person, found: Project) -> dict[str, bool]:
            if found.paused != body.paused:
                projects.pause(tx, found, body.paused, me.id)
            return {"paused": body.paused}

        return desk.change(request, project, work)


def _people(api: APIRouter, desk: Desk) -> None:
    changing = [Depends(check_csrf)]

    @api.post("/people", dependencies=changing)
    def add(request: Request, project: str, body: NewPerson) -> dict[str, Any]:
        """Let somebody in; `join` is their one-time link's path, null for one who can sign in already."""
        languages = lead.parse_languages(body.languages)

        def work(tx: Tx, me: Person, found: Project) -> str | None:
            return lead.add(tx, found, me, body.name, body.role, languages)

        link = desk.change(request, project, work)
        return {"name": body.name.strip(), "join": f"join/{link}" if link else None}

    @api.post("/people/{person}/role", dependencies=changing)
    def change_role(request: Request, project: str, person: str, body: RoleBody) -> dict[str, str]:
        """Give somebody another role."""
        desk.change(request, project, lambda tx, me, found: lead.change_role(tx, found, me, person, body.role))
        return {"role": body.role}

    @api.post("/people/{person}/deactivate", dependencies=changing)
    def deactivate(request: Request, project: str, person: str) -> dict[str, bool]:
        """Let somebody in no more."""
        desk.change(request, project, lambda tx, me, found: lead.deactivate(tx, found, me, person))
        return {"active": False}

    @api.post("/people/{person}/link", dependencies=changing)
    def new_link(request: Request, project: str, person: str) -> dict[str, str]:
        """A new one-time link; it is shown now and never again."""
        link = desk.change(request, project, lambda tx, me, found: lead.new_link(tx, found, me, person))
        return {"join": f"join/{link}"}


async def _receive(request: Request, uploads: Uploads, upload: Upload) -> None:
    """The request's body into the upload, a part at a time; forgotten again where it does not arrive whole."""
    try:
        held = bytearray()
        async for part in request.stream():
            held += part
            if len(held) >= PART:
                await run_in_threadpool(uploads.receive, upload, bytes(held))
                held.clear()
        await run_in_threadpool(uploads.receive, upload, bytes(held))
    except BaseException as error:
        uploads.drop(upload)
        if isinstance(error, ClientDisconnect):
            raise Refused("the file did not arrive whole; send it again", "cut_off") from None
        raise


def _files(api: APIRouter, desk: Desk, uploads: Uploads) -> None:
    changing = [Depends(check_csrf)]

    def mine(request: Request, project: str, id_: str) -> Upload:
        person, found = desk.check(request, project)
        upload = uploads.get(found.name, id_)
        if upload.person != person.id:
            raise NotThere("this file is not here any more; choose it again")
        return upload

    @api.post("/files", dependencies=changing)
    async def send_file(request: Request, project: str, name: Annotated[str, Query(max_length=1000)]) -> dict[str, Any]:
        """Take a file as the request's body, a part at a time, and start to look it through."""

        def begin() -> Upload:
            person, found = desk.check(request, project)  # before a byte of the file is read
            return uploads.begin(found.name, person.id, name)

        upload = await run_in_threadpool(begin)
        await _receive(request, uploads, upload)
        uploads.look(upload, Choices().checked())
        return upload.view()

    @api.get("/files/{id_}")
    def file_state(request: Request, project: str, id_: str) -> dict[str, Any]:
        """How far a file is."""
        return mine(request, project, id_).view()

    @api.post("/files/{id_}/preview", dependencies=changing)
    def look_again(request: Request, project: str, id_: str, body: Choices) -> dict[str, Any]:
        """Look a file through with other choices."""
        upload = mine(request, project, id_)
        uploads.look(upload, body.checked())
        return upload.view()

    @api.post("/files/{id_}/load", dependencies=changing)
    def load_file(request: Request, project: str, id_: str) -> dict[str, Any]:
        """Load a file with the choices it was last looked through with."""
        upload = mine(request, project, id_)
        uploads.load(upload, upload.choices)
        return upload.view()

    @api.delete("/files/{id_}", dependencies=changing)
    def drop_file(request: Request, project: str, id_: str) -> dict[str, bool]:
        """Forget a file."""
        uploads.drop(mine(request, project, id_))
        return {"dropped": True}

    @api.get("/files/{id_}/rejected.jsonl")
    def rejected(request: Request, project: str, id_: str) -> FileResponse:
        """The lines that cannot be used, each with its reason."""
        upload = mine(request, project, id_)
        return FileResponse(upload.rejects, media_type="application/x-ndjson", filename="rejected.jsonl")


def _exports(api: APIRouter, desk: Desk, exports: Exports) -> None:
    @api.post("/export", dependencies=[Depends(check_csrf)])
    def export(request: Request, project: str, body: ExportBody) -> dict[str, Any]:
        """Start an export; the overview says when it is done."""
        _, found = desk.check(request, project)
        return exports.start(found.name, body.pairs).view()

    @api.get("/export")
    def export_state(request: Request, project: str) -> dict[str, Any]:
        """How far the newest export is; null when there is none."""
        _, found = desk.check(request, project)
        last = exports.last(found.name)
        return {"export": last.view() if last else None}

    @api.get("/export/{id_}.zip")
    def download(request: Request, project: str, id_: str) -> FileResponse:
        """A finished export."""
        _, found = desk.check(request, project)
        made = exports.get(found.name, id_)
        return FileResponse(made.zip, media_type="application/zip", filename=made.file_name)
