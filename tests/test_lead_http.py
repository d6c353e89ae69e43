"""The lead's routes over HTTP: refused to all others, files that are not what they say, an export that verifies."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT
from fastapi.testclient import TestClient
from made import add, answer, load, rows
from serving import add_person, opened, served

from annotate import accounts, answers, assign, exporting, projects, uploads
from annotate.app import build_app
from data import ledger
from data.store import Store, open_store

LINES = [{"prompt": f"question {n}", "responses": [f"a{n}", f"b{n}", f"c{n}"]} for n in range(5)]


class Browser:
    """A browser with somebody signed in, or with nobody."""

    def __init__(self, app: Any, store: Store, name: str = "", project: str = "p", role: str = "annotator") -> None:
        self.http = TestClient(app, follow_redirects=False)
        if name:
            self.id = add(store, name, project=project, role=role)
            with store.write() as tx:
                link = accounts.new_link(tx, name)
            self.http.post(f"/join/{link}")
            self.http.headers.update({"X-CSRF": self.http.cookies["csrf"], "X-Person": self.id})

    def get(self, path: str = "", status: int = 200) -> Any:
        got = self.http.get(f"/api/lead/p{path}")
        assert got.status_code == status, got.text
        return got.json()

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        got = self.http.post(f"/api/lead/p{path}", json=body or {})
        assert got.status_code == status, got.text
        return got.json()

    def send(self, content: bytes, name: str = "tasks.jsonl", status: int = 200) -> Any:
        """Send a file; returns what became of it once it was looked through."""
        got = self.http.post("/api/lead/p/files", params={"name": name}, content=content)
        assert got.status_code == status, got.text
        return self.until(got.json()["id"]) if status == 200 else got.json()

    def until(self, id_: str) -> Any:
        """The state of a file when nothing is done with it any more."""
        return soon(
            lambda: held if (held := self.get(f"/files/{id_}"))["state"] not in ("reading", "loading") else None
        )

    def exported(self) -> Any:
        return soon(lambda: held if (held := self.get("/export")["export"])["state"] != "running" else None)


def soon(look: Callable[[], Any]) -> Any:
    for _ in range(1200):
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    load(made, rows(4))
    yield made
    made.close()


@pytest.fixture
def app(store: Store) -> Iterator[Any]:
    made = build_app(store, gradio=False)
    with TestClient(made):  # so that the server's end is one: what runs beside the requests ends too
        yield made


@pytest.fixture
def lea(app: Any, store: Store) -> Browser:
    return Browser(app, store, "Lea", role="admin")


# ── who may ──────────────────────────────────────────────────────────────────

ROUTES: dict[tuple[str, str], Any] = {
    ("GET", ""): None,
    ("POST", "/paused"): {"paused": True},
    ("GET", "/people/{person}"): None,
    ("POST", "/people"): {"name": "New", "languages": "en", "role": "admin"},
    ("POST", "/people/{person}/role"): {"role": "admin"},
    ("POST", "/people/{person}/deactivate"): {},
    ("POST", "/people/{person}/link"): {},
    ("POST", "/files"): b"{}",
    ("GET", "/files/{id_}"): None,
    ("POST", "/files/{id_}/preview"): {},
    ("POST", "/files/{id_}/load"): {},
    ("DELETE", "/files/{id_}"): None,
    ("GET", "/files/{id_}/rejected.jsonl"): None,
    ("POST", "/export"): {},
    ("GET", "/export"): None,
    ("GET", "/export/{id_}.zip"): None,
}


def head(store: Store) -> Any:
    with store.read() as tx:
        return ledger.head(tx, projects.find_project(tx, "p").id)


def test_every_route_is_refused_to_all_but_the_projects_leads(app: Any, store: Store, lea: Browser) -> None:
    prefix = "/api/lead/{project}"
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    there = {
        (method.upper(), path.removeprefix(prefix))
        for path, methods in paths.items()
        if path.startswith(prefix)
        for method in methods
    }
    assert there == set(ROUTES)
    load(store, rows(1), project="other")
    strangers = [
        (Browser(app, store, "Ana"), 403, "not_a_lead"),
        (Browser(app, store, "Rey", role="reviewer"), 403, "not_a_lead"),
        (Browser(app, store, "Olga", project="other", role="admin"), 403, "not_a_lead"),
        (Browser(app, store), 401, "signed_out"),
    ]
    upload = lea.send(jsonl(*LINES))
    strangers[-1][0].http.cookies.set("csrf", "x")
    strangers[-1][0].http.headers["X-CSRF"] = "x"
    before = head(store)
    for browser, status, code in strangers:
        for (method, path), body in ROUTES.items():
            address = f"/api/lead/p{path.format(person=lea.id, id_=upload['id'])}"
            sent = {"content": body, "params": {"name": "x.jsonl"}} if isinstance(body, bytes) else {"json": body}
            got = browser.http.request(method, address, **sent)
            assert (got.status_code, got.json()["code"]) == (status, code), (method, path)
            if status == 403:  # nowhere is answered as elsewhere
                nowhere = browser.http.request(method, address.replace("/lead/p", "/lead/nowhere", 1), **sent)
                assert nowhere.json() == got.json()
    assert head(store) == before
    assert lea.get(f"/files/{upload['id']}")["state"] == "ready"


def test_a_change_without_the_pages_own_token_is_refused(lea: Browser, store: Store) -> None:
    before = head(store)
    for (method, path), body in ROUTES.items():
        if method == "GET":
            continue
        address = f"/api/lead/p{path.format(person=lea.id, id_='x')}"
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        got = lea.http.request(method, address, params={"name": "x.jsonl"}, headers={"X-CSRF": "wrong"}, **sent)
        assert (got.status_code, got.json()["code"]) == (403, "csrf"), (method, path)
    assert head(store) == before


def test_another_lead_does_not_reach_into_ones_file(app: Any, store: Store, lea: Browser) -> None:
    leo = Browser(app, store, "Leo", role="admin")
    upload = lea.send(jsonl(*LINES))
    leo.get(f"/files/{upload['id']}", status=404)
    assert leo.get()["upload"] is None
    assert lea.get()["upload"]["id"] == upload["id"]


# ── the pages ────────────────────────────────────────────────────────────────


def test_the_overview_is_exact_at_once_in_a_small_project(lea: Browser, store: Store) -> None:
    ana = add(store, "Ana")
    with store.write() as tx:
        lease = assign.claim(tx, projects.find_project(tx, "p").id, ana)
        assert lease
        answers.submit(tx, ana, lease.token, answer(lease.shown))
    held = soon(lambda: got if not (got := lea.get())["computing"] else None)
    assert (held["tasks"], held["tasks_done"], held["slots"]) == (4, 1, {"done": 1, "held": 0, "open": 3})
    assert held["figures"]["verdicts"] == {"answered": 1}
    assert held["figures"]["agreement"] == [{"kind": "ranking", "agreed": 0, "n": 0, "criteria": []}]
    assert {p["name"]: p["role"] for p in held["people"]} == {"Ana": "annotator", "Lea": "admin"}
    one = lea.get(f"/people/{ana}")
    assert (one["name"], one["figures"]["today"], len(one["latest"])) == ("Ana", 1, 1)
    assert one["latest"][0]["excerpt"] == "question q0"
    lea.get("/people/nobody", status=404)


def test_pausing_is_in_the_ledger_and_annotators_see_it(app: Any, store: Store, lea: Browser) -> None:
    ana = Browser(app, store, "Ana")
    lea.post("/paused", {"paused": True})
    once = head(store)
    lea.post("/paused", {"paused": True})
    assert head(store) == once  # paused already: nothing happened
    assert ana.http.post("/api/projects/p/next", json={}).json()["reason"] == "paused"
    with store.read() as tx:
        assert [(r.kind, r.actor) for r in tx.all("SELECT kind, actor FROM ledger WHERE kind = 'pause'")] == [
            ("pause", lea.id)
        ]
    lea.post("/paused", {"paused": False})
    assert ana.http.post("/api/projects/p/next", json={}).json()["task"]


def test_a_person_added_signs_in_by_the_link_and_nobody_is_added_twice(app: Any, store: Store, lea: Browser) -> None:
    made = lea.post("/people", {"name": "Ana", "languages": "en, zh", "role": "annotator"})
    ana = TestClient(app, follow_redirects=False)
    assert ana.post(f"/{made['join']}").status_code == 303
    assert ana.get("/api/me").json()["person"]["name"] == "Ana"
    assert lea.post("/people", {"name": "Ana", "languages": "en", "role": "admin"}, 409)["code"] == "already_there"
    assert lea.post("/people", {"name": "x/y", "languages": "en", "role": "admin"}, 400)["code"] == "bad_input"
    id_ = next(p["id"] for p in lea.get()["people"] if p["name"] == "Ana")
    lea.post(f"/people/{id_}/deactivate")
    assert ana.get("/api/me").status_code == 401
    again = lea.post(f"/people/{id_}/link")["join"]
    assert ana.post(f"/{again}").status_code == 303
    assert lea.post(f"/people/{lea.id}/deactivate", status=409)["code"] == "last_lead"


# ── files ────────────────────────────────────────────────────────────────────


def test_a_file_is_shown_first_and_loaded_then_in_the_leads_name(lea: Browser, store: Store) -> None:
    hostile = {"prompt": "<script>alert(1)</script> **b**", "responses": ["x", "", ""], "language": "zh"}
    content = jsonl(*LINES, hostile, {"id": 7, **LINES[0]}, {"id": 7, **LINES[0]}) + b"not json\n"
    before = head(store)
    held = lea.send(content)
    assert head(store) == before  # looking changes nothing
    seen = held["preview"]
    assert (held["state"], seen["format"]) == ("ready", "tasks")
    assert (seen["tasks"], seen["known"], seen["rejected"], seen["duplicates"]) == (7, 0, 2, 1)
    assert (seen["kinds"], seen["languages"]) == ({"ranking": 7}, {"": 6, "zh": 1})
    assert (seen["with_empty"], seen["with_identical"], len(seen["first"])) == (1, 1, 3)
    assert seen["reasons"][-1]["where"] == "tasks.jsonl, line 9"
    rejected = lea.http.get(f"/api/lead/p/files/{held['id']}/rejected.jsonl")
    assert [json.loads(line)["line"] for line in rejected.text.splitlines()] == [8, 9]
    lea.post(f"/files/{held['id']}/preview", {"kind": "rating", "overlap": 3, "language": "en"})
    held = lea.until(held["id"])
    assert held["state"] == "ready", held["error"]
    assert (held["preview"]["kinds"], held["preview"]["needed"]) == ({"rating": 7}, 21)
    assert held["preview"]["languages"] == {"en": 6, "zh": 1}
    lea.post(f"/files/{held['id']}/load")
    held = lea.until(held["id"])
    assert (held["state"], held["tally"]["tasks"], held["tally"]["rejected"]) == ("loaded", 7, 2)
    with store.read() as tx:
        project = projects.find_project(tx, "p")
        event = tx.one("SELECT actor, detail FROM ledger WHERE kind = 'import' ORDER BY seq DESC LIMIT 1")
        assert ledger.verify(tx, project.id) == []
    assert event
    assert (event.actor, json.loads(event.detail)["source"]) == (lea.id, "tasks.jsonl")
    assert (project.tasks, project.needed) == (11, 4 + 21)
    again = lea.send(content)  # as rankings now: their ids are taken
    assert (again["preview"]["known"], again["preview"]["tasks"], again["preview"]["rejected"]) == (0, 0, 9)
    lea.post(f"/files/{again['id']}/preview", {"kind": "rating"})
    assert lea.until(again["id"])["preview"]["known"] == 7
    assert "<script" not in str(seen["first"])


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/evil.jsonl",
        "..\\..\\evil.jsonl",
        "/etc/passwd.jsonl",
        "~root/.ssh/x.jsonl",
        "-rf.jsonl",
        "a\nb\0c.jsonl",
        ".jsonl",
        "名字 ‮gpj.jsonl",
        "x" * 400 + ".jsonl",
    ],
)
def test_a_files_name_never_leads_anywhere(lea: Browser, name: str) -> None:
    held = lea.send(jsonl(*LINES), name)
    assert held["state"] == "ready"
    assert "/" not in held["name"]
    assert not held["name"].startswith((".", "-"))
    assert len(held["name"]) <= 70
    folder = lea.http.app.state.works.uploads._folder  # type: ignore[attr-defined]
    files = [path.relative_to(folder).parts for path in folder.rglob("*") if path.is_file()]
    assert sorted(files) == sorted([(held["id"], "sent", held["name"]), (held["id"], "rejected.jsonl")])


@pytest.mark.parametrize("name", ["tasks.exe", "tasks", "", "tasks.jsonl.zip", "x.parquet.gz", "../.."])
def test_a_file_of_a_kind_we_do_not_read_is_refused_before_it_is_sent(lea: Browser, name: str) -> None:
    assert lea.send(b"x", name, 400)["code"] == "bad_input"
    assert lea.get()["upload"] is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tasks.jsonl", b"", "empty"),
        ("tasks.jsonl", os.urandom(3000), "none of the first"),
        ("tasks.json", b"[" * 5000, "cut off"),
        ("tasks.parquet", b"PAR1 no parquet at all", "cannot be read"),
        ("tasks.csv", b"a,b\n1,2\n", "no layout fits"),
        ("tasks.jsonl.gz", b"not gzip", "cannot be read"),
        ("tasks.csv", "prompt,x\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_garbage_is_said_to_be_garbage_without_a_word_of_the_servers_folders(
    lea: Browser, name: str, content: bytes, said: str
) -> None:
    held = lea.send(content, name)
    assert (held["state"], said in held["error"]) == ("failed", True), held["error"]
    assert "concord-files" not in held["error"]
    assert name in held["error"]
    assert lea.post(f"/files/{held['id']}/load", status=409)["code"] == "not_ready"


def test_a_file_too_large_is_refused_while_it_comes_and_leaves_nothing(
    lea: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 2_500_000)
    assert lea.send(b"x" * 3_000_000, status=413)["code"] == "too_large"
    assert lea.get()["upload"] is None
    folder = lea.http.app.state.works.uploads._folder  # type: ignore[attr-defined]
    assert list(folder.iterdir()) == []
    # Only this route takes more than the others do, and only so much.
    big = lea.http.post("/api/lead/p/paused", content=b"x", headers={"Content-Length": "9000000"})
    huge = lea.http.post("/api/lead/p/files?name=a.jsonl", content=b"x", headers={"Content-Length": "200000001"})
    assert (big.status_code, huge.status_code) == (413, 413)


def test_one_file_is_loaded_at_a_time_and_another_is_told_so(
    app: Any, lea: Browser, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    go, real = threading.Event(), uploads.load_rows

    def slow(*args: Any, **more: Any) -> Any:
        assert go.wait(30)
        return real(*args, **more)

    monkeypatch.setattr(uploads, "load_rows", slow)
    leo = Browser(app, store, "Leo", role="admin")
    one, two = lea.send(jsonl(*LINES)), leo.send(jsonl(*LINES, LINES[0]), "two.jsonl")
    lea.post(f"/files/{one['id']}/load")
    assert leo.post(f"/files/{two['id']}/load", status=409)["code"] == "loading"
    assert lea.http.delete(f"/api/lead/p/files/{one['id']}").json()["code"] == "loading"
    assert lea.send(jsonl(*LINES), status=409)["code"] == "loading"
    go.set()
    assert lea.until(one["id"])["state"] == "loaded"
    leo.post(f"/files/{two['id']}/load")
    assert leo.until(two["id"])["state"] == "loaded"


def test_files_go_when_they_are_dropped_forgotten_or_the_server_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build_app(store, gradio=False)
    with TestClient(made):
        lea = Browser(made, store, "Lea", role="admin")
        first = lea.send(jsonl(*LINES))
        folder: Path = made.state.works.uploads._folder
        assert lea.http.delete(f"/api/lead/p/files/{first['id']}").status_code == 200
        assert list(folder.iterdir()) == []
        second = lea.send(jsonl(*LINES))
        monkeypatch.setattr(uploads, "KEEP_S", -1)
        made.state.works.uploads.sweep()
        assert list(folder.iterdir()) == []
        assert lea.get(f"/files/{second['id']}", 404)["code"] == "not_there"
        monkeypatch.undo()
        lea.send(jsonl(*LINES))
        assert list(folder.iterdir())
    assert list(folder.iterdir()) == []


# ── the export ───────────────────────────────────────────────────────────────


def judged(store: Store) -> None:
    ana = add(store, "Ana")
    for _ in range(4):
        with store.write() as tx:
            lease = assign.claim(tx, projects.find_project(tx, "p").id, ana)
            assert lease
            answers.submit(tx, ana, lease.token, answer(lease.shown))


def test_an_export_comes_as_a_zip_that_verifies(lea: Browser, store: Store, store_url: str, tmp_path: Path) -> None:
    judged(store)
    started = lea.post("/export", {"pairs": "best-worst"})
    assert started["state"] == "running"
    held = lea.exported()
    assert (held["state"], held["summary"]["pairs"], held["summary"]["tasks"]) == ("done", 4, 4), held["error"]
    got = lea.http.get(f"/api/lead/p/export/{held['id']}.zip")
    assert got.headers["content-disposition"] == 'attachment; filename="p-pairs.zip"'
    with zipfile.ZipFile(io.BytesIO(got.content)) as packed:
        packed.extractall(tmp_path)
    command = [sys.executable, "-m", "curate.verify", str(tmp_path / "p-pairs"), "--store", store_url]
    proof = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    second = lea.post("/export", {"pairs": "all"})
    assert lea.http.get(f"/api/lead/p/export/{held['id']}.zip").status_code == 404
    assert lea.exported()["summary"]["pairs"] == 12
    assert lea.http.get(f"/api/lead/p/export/{second['id']}.zip").status_code == 200


def test_an_export_of_nothing_says_why_in_one_line(lea: Browser) -> None:
    lea.post("/export")
    held = lea.exported()
    assert held["state"] == "failed"
    assert held["error"].startswith("'p' gives no pair yet")
    assert "\n" not in held["error"]
    lea.post("/export", {"pairs": "worst"}, 422)


def test_the_stores_address_goes_by_the_environment_one_child_a_project_ended_with_the_server(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    real = subprocess.Popen

    def watched(command: list[str], **more: Any) -> Any:
        started.append((command, more["env"]))
        return real([sys.executable, "-c", "import time; time.sleep(60)"], **more)

    monkeypatch.setattr(exporting.subprocess, "Popen", watched)
    made = build_app(store, gradio=False)
    with TestClient(made):
        lea = Browser(made, store, "Lea", role="admin")
        lea.post("/export")
        assert lea.post("/export", status=409)["code"] == "exporting"
        child = soon(lambda: made.state.works.exports.last("p").child)
        folder = made.state.works.exports._folder
    assert child.wait(60) != 0
    assert not folder.exists()
    (command, environment), *rest = started
    assert not rest
    assert "--project=p" in command
    assert not any("://" in word for word in command)
    assert environment["CONCORD_STORE"].startswith("postgresql" if store.postgresql else "sqlite:////")


def test_a_server_that_is_stopped_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole server, Gradio in it and all: its end reaches what runs for leads."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    url = f"sqlite:///{tmp_path}/whole.db"
    with opened(url) as store:
        load(store, rows(1))
    link = add_person(url, "Lea", ["p"], role="admin")
    with served(url) as server, httpx.Client(base_url=server.url) as http:
        http.post(f"/join/{link}")
        headers = {"X-CSRF": http.cookies["csrf"]}
        sent = http.post("/api/lead/p/files?name=a.jsonl", content=jsonl(*LINES), headers=headers)
        assert sent.status_code == 200, sent.text
        assert list((tmp_path / "temporary").glob("concord-files-*/*"))
        server.stop()
        assert not list((tmp_path / "temporary").glob("concord-files-*/*"))
        assert "Traceback" not in server.errors()
