"""The real server over HTTP: who gets in, what other sites may do, what its answers carry, how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from conftest import ROOT
from serving import Server, add_person, load, opened, served

from annotate import accounts

HTML = {"Accept": "text/html,application/xhtml+xml"}
FOREIGN = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
PASSWORD = "correct horse"


def tasks(folder: Path) -> Path:
    path = folder / "tasks.jsonl"
    rows = [{"id": k, "prompt": f"question {k}", "responses": ["one", "two", "three"]} for k in "abcd"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the project p: four tasks."""
    folder = tmp_path_factory.mktemp("server")
    made = f"sqlite:///{folder}/concord.db"
    load(made, tasks(folder), "p", kind="ranking", overlap=2)
    return made


@pytest.fixture(scope="module")
def server(url: str) -> Iterator[Server]:
    with served(url) as running:
        yield running


@pytest.fixture(scope="module")
def below(url: str) -> Iterator[Server]:
    """The same store served under a path."""
    with served(url, "--base-path", "/tool") as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A browser nobody has signed in to."""
    with httpx.Client(base_url=server.url) as client:
        yield client


def person(url: str, name: str, password: str = "") -> tuple[str, str]:
    """Somebody in p: their id, and a one-time link that is still good, or their password if it was used to set one."""
    link = add_person(url, name, ["p"])
    with opened(url) as store:
        if password:
            with store.write() as tx:
                accounts.use_link(tx, link, password)
        with store.read() as tx:
            return str(tx.value("SELECT id FROM people WHERE name = :name", name=name)), link


def join(client: httpx.Client, link: str, **headers: str) -> httpx.Response:
    answer = client.post(f"join/{link}", data={"password": ""}, headers=headers)
    assert answer.status_code == 303, answer.text
    client.headers["X-CSRF"] = client.cookies["csrf"]
    return answer


@pytest.fixture
def ana(http: httpx.Client, url: str, request: pytest.FixtureRequest) -> httpx.Client:
    """A browser with somebody new signed in."""
    _, link = person(url, f"Ana of {request.node.name}"[:80].replace("/", "-"))
    join(http, link)
    return http


# ── signing in ───────────────────────────────────────────────────────────────


def test_a_page_without_a_session_leads_to_sign_in_and_back(http: httpx.Client, url: str) -> None:
    for path in ("/", "/?a=1&b=%2F", "/some/page"):
        answer = http.get(path, headers=HTML)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/signin?next={quote(path, safe='')}"
    person(url, "Next", PASSWORD)
    shown = http.get("/signin?next=%2F%3Fa%3D1", headers=HTML)
    assert 'name="next" value="/?a=1"' in shown.text
    answer = http.post("/signin", data={"name": "Next", "password": PASSWORD, "next": "/?a=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?a=1")


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\r\nSet-Cookie: a=b",
        "///evil.example",
        "evil.example",
        " //evil.example",
        "",
    ],
)
def test_sign_in_never_leads_to_another_site(place: str, http: httpx.Client, url: str) -> None:
    person(url, "Redirected", PASSWORD)
    answer = http.post("/signin", data={"name": "Redirected", "password": PASSWORD, "next": place})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert "a" not in answer.cookies
    assert 'name="next" value="/"' in http.get("/signin", params={"next": place}, headers=HTML).text


def test_a_wrong_password_is_told_apart_from_nothing_and_guessing_is_slowed(http: httpx.Client, url: str) -> None:
    person(url, "Guessed", PASSWORD)
    person(url, "Other", PASSWORD)
    nobody = http.post("/signin", data={"name": "Nobody at all", "password": "x"})
    wrong = http.post("/signin", data={"name": "Guessed", "password": "x"})
    assert nobody.status_code == wrong.status_code == 401
    assert nobody.text.replace("Nobody at all", "Guessed") == wrong.text  # not even whether the name is known
    for _ in range(7):
        http.post("/signin", data={"name": "Guessed", "password": "x"})
    right = http.post("/signin", data={"name": "Guessed", "password": PASSWORD})
    assert right.status_code == 429
    assert "sid" not in http.cookies
    assert http.post("/signin", data={"name": "Other", "password": PASSWORD}).status_code == 303


@pytest.mark.parametrize("name", ["Guessed2 ", "\u3000Guessed2", "GUESSED2", "Guessed2\u200b"])
def test_a_name_written_in_another_way_does_not_restart_the_count(name: str, http: httpx.Client, url: str) -> None:
    person(url, "Guessed2", PASSWORD)
    for _ in range(8):
        http.post("/signin", data={"name": "Guessed2", "password": "x"})
    assert http.post("/signin", data={"name": name, "password": PASSWORD}).status_code in (401, 429)


def test_a_link_shown_is_not_used_up_and_a_used_one_is_gone(http: httpx.Client, url: str, server: Server) -> None:
    _, link = person(url, "Linked")
    for _ in range(3):  # a mail program looks, a chat shows a preview
        shown = http.get(f"/join/{link}", headers=HTML)
        assert shown.status_code == 200
        assert "Linked" in shown.text
        assert "sid" not in http.cookies
    join(http, link)
    assert http.get("/api/me").json()["person"]["name"] == "Linked"
    with httpx.Client(base_url=server.url) as other:
        for answer in (other.get(f"/join/{link}"), other.post(f"/join/{link}"), other.get("/join/nonsense")):
            assert answer.status_code == 410
            assert "Linked" not in answer.text
        assert "sid" not in other.cookies


def test_a_link_with_a_short_password_is_not_used_up(http: httpx.Client, url: str) -> None:
    _, link = person(url, "Short")
    assert http.post(f"/join/{link}", data={"password": "short"}).status_code == 422
    assert http.post(f"/join/{link}", data={"password": PASSWORD}).status_code == 303
    http.cookies.clear()
    assert http.post("/signin", data={"name": "Short", "password": PASSWORD}).status_code == 303


def test_a_link_from_another_site_signs_nobody_in(http: httpx.Client, url: str) -> None:
    _, link = person(url, "Forged")
    assert http.post(f"/join/{link}", headers=FOREIGN).status_code == 403
    assert http.get(f"/join/{link}").status_code == 200


def test_a_session_outlives_a_restart_and_ends_when_its_person_is_let_in_no_more(tmp_path: Path) -> None:
    own = f"sqlite:///{tmp_path}/own.db"
    load(own, tasks(tmp_path), "p")
    _, link = person(own, "Ana")
    with served(own) as running, httpx.Client(base_url=running.url) as client:
        join(client, link)
        before = client.get("/api/me").json()
        running.kill()
        running.start()
        assert client.get("/api/me").json() == before
        assert client.get("/", headers=HTML).status_code == 200
        with opened(own) as store, store.write() as tx:
            accounts.deactivate(tx, "Ana")
        answer = client.get("/api/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
        assert client.get("/config").status_code == 401
        page = client.get("/", headers=HTML)
        assert page.status_code in (303, 401)
        assert running.errors() == ""


def test_somebody_let_in_no_more_is_led_to_sign_in_from_every_page(ana: httpx.Client, url: str, server: Server) -> None:
    name = ana.get("/api/me").json()["person"]["name"]
    with opened(url) as store, store.write() as tx:
        accounts.deactivate(tx, name)
    answer = ana.get("/", headers=HTML)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/signin")


# ── cookies and headers ──────────────────────────────────────────────────────


def flags(answer: httpx.Response) -> dict[str, set[str]]:
    """The attributes of each cookie that an answer sets, in lower case."""
    found = {}
    for header in answer.headers.get_list("set-cookie"):
        first, *rest = header.split(";")
        found[first.partition("=")[0].strip()] = {part.strip().lower() for part in rest}
    return found


@pytest.mark.parametrize(("proto", "secure"), [("http", False), ("https", True)])
def test_cookies_carry_their_flags(proto: str, secure: bool, http: httpx.Client, url: str) -> None:
    _, link = person(url, f"Cookie {proto}")
    set_by = flags(join(http, link, **{"X-Forwarded-Proto": proto}))
    assert {"httponly", "samesite=lax", "path=/"} <= set_by["sid"]
    assert {"samesite=strict", "path=/"} <= set_by["csrf"]
    assert "httponly" not in set_by["csrf"]  # the page reads it
    assert all(("secure" in each) is secure for each in set_by.values())


def test_a_proxy_that_is_not_named_is_not_believed(url: str) -> None:
    with served(url, "--proxies", "192.0.2.1") as running, httpx.Client(base_url=running.url) as client:
        _, link = person(url, "Unproxied")
        assert "secure" not in flags(join(client, link, **{"X-Forwarded-Proto": "https"}))["sid"]


def test_every_answer_carries_the_policy_and_no_page_is_kept(ana: httpx.Client) -> None:
    for path in (
        "/",
        "/signin",
        "/api/me",
        "/join/none",
        "/theme.css",
        "/nothing",
        "/openapi.json",
        "/gradio_api/info",
    ):
        answer = ana.get(path, headers=HTML)
        assert "default-src 'self'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff"
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert answer.headers["cache-control"] == "no-store", path


def test_a_forged_or_foreign_cookie_is_nobody(http: httpx.Client, ana: httpx.Client) -> None:
    good = ana.cookies["sid"]
    body, _, signature = good.rpartition(".")
    for forged in ("x", body, f"{body}.{signature[::-1]}", f"{good}x", "", "a" * 5000, "é".encode().decode("latin-1")):
        answer = httpx.get(ana.base_url.join("/api/me"), headers={b"cookie": f"sid={forged}".encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (401, "signed_out"), forged


# ── Gradio's own routes ──────────────────────────────────────────────────────

GRADIO_GETS = ["/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x", "/gradio_api/queue/status"]
GRADIO_POSTS = ["/gradio_api/run/predict", "/gradio_api/queue/join", "/gradio_api/component_server", "/run/predict"]
CLOSED = ["/gradio_api/heartbeat/x", "/gradio_api/upload", "/gradio_api/reset", "/gradio_api/cancel"]


@pytest.mark.parametrize("path", GRADIO_GETS)
def test_gradio_tells_nothing_without_a_session(path: str, http: httpx.Client) -> None:
    answer = http.get(path)
    assert answer.status_code == 401
    assert answer.json()["code"] == "signed_out"


@pytest.mark.parametrize("path", GRADIO_POSTS)
def test_gradio_does_nothing_without_a_session_or_for_another_site(path: str, http: httpx.Client, url: str) -> None:
    assert http.post(path, json={}).status_code == 401
    _, link = person(url, f"G {path}".replace("/", " "))
    join(http, link)
    assert http.post(path, json={}, headers=FOREIGN).status_code == 403
    assert http.post(path, json={}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert http.post(path, json={}, headers={"Origin": "null"}).status_code == 403
    assert http.post(path, json={}, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_the_page_never_uses_is_closed_for_everybody(path: str, method: str, ana: httpx.Client) -> None:
    assert ana.request(method, path, json={}).status_code == 404
    assert httpx.request(method, ana.base_url.join(path), json={}).status_code == 404


@pytest.mark.parametrize(
    "path", ["/gradio_api/./heartbeat/x", "/gradio_api//upload", "/gradio_api/upload/", "/GRADIO_API/upload"]
)
def test_no_other_spelling_opens_it(path: str, ana: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", int(str(ana.base_url.port))), timeout=10) as raw:
        raw.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        status = raw.recv(100).split()[1]
    assert status in {b"401", b"404"}


def test_our_own_routes_want_the_csrf_header_and_our_own_page(ana: httpx.Client) -> None:
    path = "/api/projects/p/next"
    assert ana.post(path, json={}).status_code == 200
    assert ana.post(path, json={}, headers=FOREIGN).status_code == 403
    for wrong in ("", "x", "é"):
        answer = ana.post(path, json={}, headers={b"X-CSRF": wrong.encode()})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
    del ana.headers["X-CSRF"]
    assert ana.post(path, json={}).status_code == 403


def test_a_body_that_is_too_large_is_refused_before_it_is_read(ana: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", int(str(ana.base_url.port))), timeout=10) as raw:
        host = ana.base_url.netloc.decode()
        head = f"PUT /api/leases/x/draft HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9000000\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(200).startswith(b"HTTP/1.1 413")

    def endless() -> Iterator[bytes]:
        yield b"{}"

    answer = ana.post("/api/projects/p/next", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (411, "too_large")


@pytest.mark.parametrize("length", ["-1", "x", "1e9", "", "9" * 30])
def test_a_nonsense_length_is_refused(length: str, server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"POST /signin HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        status = int(raw.recv(200).split()[1])
    assert 400 <= status < 500
    assert "Traceback" not in server.errors()


# ── the page's files, and where everything lies ──────────────────────────────


def asset_urls(html: str) -> list[str]:
    """What a page loads: src and href, but not icons written into the page."""
    return [u for u in re.findall(r'(?:src|href)="([^"]+)"', html) if not u.startswith(("data:", "#"))]


def test_the_pages_files_are_kept_for_good_and_nothing_else_is_there(http: httpx.Client) -> None:
    style = next(u for u in asset_urls(http.get("/signin").text) if u.startswith("/ui/"))
    version = style.split("/")[2]
    answer = http.get(style)
    assert answer.headers["content-type"].startswith("text/css")
    assert "max-age=31536000" in answer.headers["cache-control"]
    assert "immutable" in answer.headers["cache-control"]
    assert http.get(f"/ui/{version}/main.js").headers["content-type"].startswith("text/javascript")
    assert http.get(f"/ui/{version}/words/zh.json").json()["submit"]
    port = http.base_url.port
    escapes = ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "....//app.py", "/etc/passwd", "words/../../app.py", "."]
    for name in [*escapes, "%00", "words", "app.py", "..\\app.py"]:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(f"GET /ui/{version}/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            got = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))  # type: ignore[misc]
        assert int(got.split()[1]) in (303, 401, 404), name
        assert b"import" not in got
        assert b"root:" not in got


def test_openapi_lists_the_label_path_and_no_docs_page_loads_from_outside(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {
        "/api/me",
        "/api/projects/{project}/next",
        "/api/leases/{token}/draft",
        "/api/leases/{token}/submit",
        "/api/leases/{token}/skip",
        "/api/judgments/{judgment}/revise",
    } <= paths.keys()
    for path in ("/docs", "/redoc"):
        assert http.get(path, headers=HTML).status_code == 303  # nothing of ours, so as any other page


def test_below_a_base_path_everything_works_and_nothing_lies_above(below: Server, url: str) -> None:
    root = below.url.removesuffix("/tool")
    assert root != below.url
    _, link = person(url, "Below")
    with httpx.Client() as client:
        answer = client.get(f"{below.url}/", headers=HTML)
        assert answer.headers["location"] == "/tool/signin?next=%2Ftool%2F"
        welcome = client.get(f"{below.url}/join/{link}")
        assert f'action="/tool/join/{link}"' in welcome.text
        answer = client.post(f"{below.url}/join/{link}")
        assert answer.headers["location"] == "/tool/"
        assert all("path=/tool/" in each for each in flags(answer).values())
        page = client.get(f"{below.url}/", headers=HTML)
        assert page.status_code == 200
        for html in (page.text, client.get(f"{below.url}/signin").text, welcome.text):
            ours = [u for u in asset_urls(html) if "/ui/" in u]
            assert ours
            for one in ours:
                assert one.startswith("/tool/ui/"), one
                assert client.get(root + one).status_code == 200
        assert client.get(f"{below.url}/api/me").json()["person"]["name"] == "Below"
        assert client.get(f"{below.url}/config").status_code == 200
        assert "/tool/api/me" in client.get(f"{below.url}/openapi.json").json()["paths"]
        csrf = {"X-CSRF": next(c.value or "" for c in client.cookies.jar if c.name == "csrf")}
        assert client.post(f"{below.url}/api/projects/p/next", json={}, headers=csrf).status_code == 200
        for path in ("/api/me", "/config", "/openapi.json", "/ui/x/main.js", "/theme.css", "/signin", "/toolbox/", "/"):
            above = client.get(
                root + path, headers={**HTML, "Cookie": "; ".join(f"{c.name}={c.value}" for c in client.cookies.jar)}
            )
            assert above.status_code in (303, 401, 404), path
            assert "Below" not in above.text


@pytest.mark.parametrize("place", ["/", "/elsewhere", "/toolbox/", "//evil.example/tool/", "/tool/../x"])
def test_below_a_base_path_sign_in_leads_nowhere_else(place: str, below: Server, url: str) -> None:
    person(url, "Lower", PASSWORD)
    answer = httpx.post(f"{below.url}/signin", data={"name": "Lower", "password": PASSWORD, "next": place})
    assert answer.status_code == 303
    assert httpx.URL(f"{below.url}/signin").join(answer.headers["location"]).host == "127.0.0.1"
    assert answer.headers["location"].startswith("/tool/")


def test_nobody_reads_the_source_of_an_error(ana: httpx.Client, server: Server) -> None:
    odd: list[tuple[str, str, Any]] = [
        ("GET", "/api/projects/%00/mine", None),
        ("GET", "/api/projects/p/mine?limit=x", None),
        ("POST", "/api/projects/%F0%9F%98%80/next", {}),
        ("POST", "/api/leases/x/submit", {"answer": 5}),
        ("POST", "/api/leases/x/submit", [1]),
        ("GET", "/api/nothing", None),
        ("DELETE", "/api/me", None),
        ("POST", "/signin", {"name": ["x"]}),
        ("GET", "/%ff%fe", None),
    ]
    for method, path, body in odd:
        answer = ana.request(method, path, json=body)
        assert 400 <= answer.status_code < 500 or answer.status_code == 303, (method, path)
        assert "Traceback" not in answer.text
    assert "Traceback" not in server.errors()


# ── starting and ending ──────────────────────────────────────────────────────


# A Ctrl-C right after the line that says it is ready, while Python runs a destructor: what that raises is dropped.
AT_ONCE = """
import builtins, runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
say = print
class Gone:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def print_and_stop(*words, **more):
    say(*words, **more)
    if "is ready" in words[0]:
        Gone()
builtins.print = print_and_stop
runpy.run_module("annotate.serve", run_name="__main__", alter_sys=True)
"""


def test_a_ctrl_c_is_heard_from_the_moment_it_says_it_is_ready(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", AT_ONCE, "--port", "0", "--store", f"sqlite:///{tmp_path}/x.db"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert "is ready" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 130


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked_even_with_a_connection_held_open(sent: signal.Signals, tmp_path: Path) -> None:
    # A test run in the background ignores Ctrl-C and would hand that down to the server: listen to it again.
    hear = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    code = hear + " runpy.run_module('annotate.serve', run_name='__main__', alter_sys=True)"
    argv = [sys.executable, "-c", code, "--port", "0", "--store", f"sqlite:///{tmp_path}/x.db"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=30) as held:
            held.sendall(b"POST /signin HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
            assert held.recv(100).startswith(b"HTTP/1.1 100")  # it waits for the rest now, which never comes
            process.send_signal(sent)
            process.wait(30)  # far above the two seconds a request is given; a hang fails
        assert process.stderr
        assert "Traceback" not in process.stderr.read()
        assert process.returncode in (0, 130, -sent)
    finally:
        process.kill()
        process.communicate()
