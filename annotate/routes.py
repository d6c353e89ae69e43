"""The label path: next, submit, draft, skip, revise. Plain routes beside Gradio, outside its queue.

Nothing from the browser is trusted: who asks comes from the signed cookie, which slot and
which responses from the lease kept in the store. Errors are JSON {code, message}.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from annotate import accounts, answers, assign
from annotate.accounts import Person, role_in
from annotate.assign import Lease
from annotate.bodies import DraftBody, PasswordBody, SkipBody, SubmitBody
from annotate.history import Kind, Wanted, day_start, my_days, my_judgments
from annotate.present import answer_fields, answer_view, task_view
from annotate.projects import Project, all_projects, find_project, guidelines
from annotate.remaining import remaining
from annotate.render import render_guidelines
from annotate.session import Sessions, check_csrf
from data.errors import NotThere, Refused
from data.records import Judgment, Verdict, canonical
from data.store import Store, Tx

T = TypeVar("T")
MAX_DRAFT = 2_000_000  # characters
UtcOffset = Annotated[int, Header(alias="X-UTC-Offset", ge=-12 * 60, le=14 * 60)]
"""Minutes the person's clock is ahead of UTC: their day is theirs, not the server's."""


def progress(tx: Tx, project: Project, person: str, utc_offset: int) -> dict[str, int]:
    """Where this person and the project stand; today is the day where the person is."""
    mine = tx.value(
        "SELECT done FROM members WHERE project = :project AND annotator = :person", project=project.id, person=person
    )
    today = tx.value(
        "SELECT COUNT(*) FROM judgments WHERE annotator = :person AND project = :project AND at_ms >= :since"
        " AND state = 'counted' AND supersedes IS NULL",
        project=project.id,
        person=person,
        since=day_start(tx.now(), utc_offset),
    )
    return {
        "mine": mine or 0,
        "mine_today": today,
        "done": project.done,
        "needed": project.needed,
        "tasks": project.tasks,
        "tasks_done": project.tasks_done,
    }


def _member(tx: Tx, name: str, person: Person) -> Project:
    """The project, if this person belongs to it; the same words whether it is there or not."""
    try:
        project = find_project(tx, name)
    except NotThere:
        raise Refused("you are not a member of this project", "not_a_member") from None
    if role_in(tx, project.id, person.id) is None:
        raise Refused("you are not a member of this project", "not_a_member")
    return project


def _lease_view(tx: Tx, lease: Lease, project: Project) -> Callable[[], dict[str, Any]]:
    """Reads what the view needs; the function returned renders it, after the transaction."""
    kept = answers.draft(tx, lease.token)
    version = guidelines(tx, project.id)[0]
    revised = (
        Judgment.model_validate_json(tx.value("SELECT record FROM judgments WHERE id = :id", id=lease.revises))
        if lease.revises
        else None
    )

    def view() -> dict[str, Any]:
        return {
            "token": lease.token,
            "expires_in_s": lease.expires_in_ms // 1000,
            **task_view(lease.task, lease.shown),
            "allow_unplaced": project.settings["allow_unplaced"],
            "guideline_version": version,
            "draft": {"seq": kept[0], **json.loads(kept[1])} if kept else None,
            "revises": {"judgment": revised.id, "answer": answer_view(revised)} if revised else None,
        }

    return view


def _json(held: dict[str, Any]) -> Response:
    """The answer straight to bytes: what holds whole texts is not walked through once more to be checked."""
    return Response(canonical(held), media_type="application/json")


class Served(NamedTuple):
    """What every route works with: the store, the server's sessions, and how long a task is held."""

    store: Store
    sessions: Sessions
    lease_ms: int

    def as_person(self, request: Request, work: Callable[[Tx, Person], T]) -> T:
        """Run `work` in a write transaction as whoever is signed in."""
        # The page says where it is at work, so that what waits for the same project is committed together.
        about = request.headers.get("x-project") or None
        return self.store.change(lambda tx: work(tx, self.sessions.require(tx, request)), about)


def router(store: Store, sessions: Sessions, lease_ms: int = assign.LEASE_MS) -> APIRouter:
    """The routes, over a store and the sessions of the server they run in."""
    api = APIRouter(prefix="/api", tags=["label path"])
    served = Served(store, sessions, lease_ms)
    _tasks(api, served)
    _drafts(api, served)
    _answers(api, served)
    _own_work(api, served)
    _account(api, served)
    return api


def _tasks(api: APIRouter, served: Served) -> None:
    @api.get("/projects/{project}/guidelines")
    def project_guidelines(request: Request, project: str) -> dict[str, Any]:
        """The newest guidelines, rendered, by language."""
        with served.store.read() as tx:
            version, texts = guidelines(tx, _member(tx, project, served.sessions.require(tx, request)).id)
        return {"version": version, "texts": {language: render_guidelines(text) for language, text in texts.items()}}

    @api.post("/projects/{project}/next", dependencies=[Depends(check_csrf)])
    def next_task(request: Request, project: str, ahead: bool = False, utc_offset: UtcOffset = 0) -> Response:
        """The task to judge now; asked again, the same one until it is submitted or skipped.

        With `ahead`, the one after it, where there is plenty; the page renews it when it shows it.
        """

        def work(tx: Tx, person: Person) -> tuple[Lease | None, Project, dict[str, Any]]:
            found = _member(tx, project, person)
            stand = progress(tx, found, person.id, utc_offset)
            if ahead and not assign.plenty(tx, found.id):
                return None, found, {"reason": "not_ahead", "progress": stand}
            try:
                lease = assign.claim(tx, found.id, person.id, lease_ms=served.lease_ms, holding=2 if ahead else 1)
            except Refused as refusal:
                if refusal.code != "paused":
                    raise
                return None, found, {"reason": "paused", "progress": stand}
            if lease is None:
                return None, found, {"reason": "none_left", "progress": stand, **remaining(tx, found, person)}
            return lease, found, {"reason": None, "progress": stand}

        lease, found, around = served.as_person(request, work)
        if lease is None:
            return _json({"task": None, **around})
        with served.store.read() as tx:  # after the claim: others wait for the project's chain until it is committed
            view = _lease_view(tx, lease, found)
        return _json({"task": view(), **around})


def _drafts(api: APIRouter, served: Served) -> None:
    changing = [Depends(check_csrf)]

    @api.put("/leases/{token}/draft", dependencies=changing)
    def put_draft(request: Request, token: str, body: DraftBody) -> dict[str, int]:
        """Keep an unfinished answer."""
        try:  # kept as it will be sent back, so that what cannot be sent back is never kept
            text = canonical(body.model_dump(exclude={"seq"}, exclude_none=True)).decode()
        except TypeError as error:
            raise Refused(f"answer: {error}", "bad_answer") from None
        if len(text) > MAX_DRAFT:
            raise Refused(f"a draft has at most {MAX_DRAFT:,} characters", "bad_answer")
        return {"seq": served.as_person(request, lambda tx, who: answers.save_draft(tx, who.id, token, body.seq, text))}

    @api.post("/leases/{token}/renew", dependencies=changing)
    def renew(request: Request, token: str) -> dict[str, int]:
        """Keep the task a full lease longer."""
        if not served.as_person(request, lambda tx, who: assign.renew(tx, token, who.id, lease_ms=served.lease_ms)):
            raise Refused("the time for this task ran out; what you submit still counts if it is free", "lease_over")
        return {"expires_in_s": served.lease_ms // 1000}

    @api.post("/leases/{token}/release", dependencies=changing, status_code=204)
    def release(request: Request, token: str, after_s: Annotated[int, Query(ge=0, le=60)] = 0) -> None:
        """Give back a task that was fetched ahead and not shown: now, or in some seconds unless it is renewed."""
        served.as_person(request, lambda tx, who: answers.release(tx, who.id, token, after_s * 1000))


def _answers(api: APIRouter, served: Served) -> None:
    changing = [Depends(check_csrf)]

    @api.post("/leases/{token}/submit", dependencies=changing)
    def submit(request: Request, token: str, body: SubmitBody, utc_offset: UtcOffset = 0) -> Response:
        """Hand in an answer; sent twice with one token it is kept once."""

        def work(tx: Tx, person: Person) -> tuple[answers.Outcome, Lease, Person]:
            lease = assign.lease_of(tx, token, person.id)
            project = find_project(tx, lease.task.project)
            outcome = answers.submitted(tx, token)
            if outcome is None:
                fields = answer_fields(
                    lease.task, lease.shown, body.answer, allow_unplaced=project.settings["allow_unplaced"]
                )
                fields["active_seconds"] = body.active_ms / 1000
                fields["guideline_version"] = guidelines(tx, project.id)[0]
                outcome = answers.submit(tx, person.id, token, fields, body.shown_ms)
            return outcome, lease, person

        outcome, lease, person = served.as_person(request, work)
        with served.store.read() as tx:  # as above
            project = find_project(tx, lease.task.project)
            stand = progress(tx, project, person.id, utc_offset)
        kept = {"judgment": outcome.judgment, "state": outcome.state}
        return _json({**kept, "progress": stand, "paused": project.paused})

    @api.post("/leases/{token}/skip", dependencies=changing)
    def skip(request: Request, token: str, body: SkipBody, utc_offset: UtcOffset = 0) -> dict[str, Any]:
        """Give the task back with a reason; it goes to others."""

        def work(tx: Tx, person: Person) -> dict[str, Any]:
            lease = assign.lease_of(tx, token, person.id)
            answers.skip(tx, person.id, token, body.reason, body.comment.replace("\0", ""))
            project = find_project(tx, lease.task.project)
            return {"progress": progress(tx, project, person.id, utc_offset), "paused": project.paused}

        return served.as_person(request, work)

    @api.post("/judgments/{judgment}/revise", dependencies=changing)
    def revise(request: Request, judgment: str) -> dict[str, Any]:
        """Open one's own judgment again; the new answer supersedes it."""

        def work(tx: Tx, person: Person) -> Callable[[], dict[str, Any]]:
            lease, _ = answers.revise(tx, person.id, judgment)
            return _lease_view(tx, lease, find_project(tx, lease.task.project))

        return {"task": served.as_person(request, work)()}


def _own_work(api: APIRouter, served: Served) -> None:
    @api.get("/projects/{project}/mine")
    def mine(
        request: Request,
        project: str,
        limit: int = 50,
        before: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
        q: Annotated[str, Query(max_length=200)] = "",
        kind: Kind | None = None,
        verdict: Verdict | None = None,
        flagged: bool = False,
    ) -> dict[str, Any]:
        """One's own judgments, the newest first, all or those that hold a text; only the latest form of each."""
        wanted = Wanted(q.replace("\0", "").strip(), kind, verdict, flagged)
        with served.store.read() as tx:
            person = served.sessions.require(tx, request)
            found = _member(tx, project, person)
            return my_judgments(tx, found, person.id, max(1, min(limit, 200)), before, wanted)

    @api.get("/projects/{project}/days")
    def days(request: Request, project: str, utc_offset: UtcOffset = 0) -> dict[str, Any]:
        """What one did in the last days, and one's pace."""
        with served.store.read() as tx:
            person = served.sessions.require(tx, request)
            return my_days(tx, _member(tx, project, person), person.id, utc_offset)


def _account(api: APIRouter, served: Served) -> None:
    changing = [Depends(check_csrf)]

    @api.get("/me")
    def me(request: Request, utc_offset: UtcOffset = 0) -> dict[str, Any]:
        """Who is signed in, and their projects."""
        with served.store.read() as tx:
            person = served.sessions.require(tx, request)
            return {
                "person": {"id": person.id, "name": person.name},
                "languages": person.languages,
                "has_password": accounts.has_password(tx, person.id),
                "projects": [
                    _project_view(tx, p, person, utc_offset) for p in all_projects(tx) if role_in(tx, p.id, person.id)
                ],
            }

    @api.post("/password", dependencies=changing, status_code=204)
    def password(request: Request, body: PasswordBody) -> None:
        """Set a first password, so as to come back without a new link."""
        served.as_person(request, lambda tx, who: accounts.set_password(tx, who.id, body.password))

    @api.post("/signout", dependencies=changing, status_code=204)
    def sign_out() -> Response:
        """End the session in this browser."""
        response = Response(status_code=204)
        served.sessions.sign_out(response)
        return response


def _project_view(tx: Tx, project: Project, person: Person, utc_offset: int) -> dict[str, Any]:
    stand = progress(tx, project, person.id, utc_offset)
    return {
        "name": project.name,
        "title": project.settings["title"] or project.name,
        "role": role_in(tx, project.id, person.id),
        "kinds": project.settings["kinds"],
        "mine_done": stand["mine"],
        "tasks_done": project.tasks_done,
        "tasks": project.tasks,
        "guideline_version": guidelines(tx, project.id)[0],
        "paused": project.paused,
        "content_warning": project.settings["content_warning"],
    }
