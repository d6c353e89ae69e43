"""The label path over HTTP: every route, every refusal with its code, and no word of which model wrote what."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from made import add, load, project_id, row, rows

from annotate import accounts, projects
from annotate.app import build_app
from data import ledger
from data.records import Criterion, Gold
from data.store import Store, open_store

CRITERIA = [Criterion(key="helpful", name={"en": "Helpful", "zh": "有帮助"}, anchors={"1": {"en": "Useless"}})]
ANSWERED = {"verdict": "answered", "ranking": [["B"], ["A", "C"]]}


class Page:
    """A browser with somebody signed in."""

    def __init__(self, app: Any, store: Store, name: str, project: str = "p") -> None:
        self.http = TestClient(app, follow_redirects=False)
        self.id = add(store, name, ("en", "zh"), project)
        with store.write() as tx:
            link = accounts.new_link(tx, name)
        assert self.http.post(f"/join/{link}").status_code == 303
        self.http.headers.update({"X-CSRF": self.http.cookies["csrf"], "X-Person": self.id})

    def post(self, path: str, body: Any = None, status: int = 200, **rest: Any) -> Any:
        answer = self.http.post(path, json={} if body is None else body, **rest)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def next(self, project: str = "p") -> Any:
        return self.post(f"/api/projects/{project}/next")

    def task(self, project: str = "p") -> Any:
        task = self.next(project)["task"]
        assert task is not None
        return task

    def submit(self, task: Any, answer: Any = ANSWERED, status: int = 200) -> Any:
        return self.post(f"/api/leases/{task['token']}/submit", {"answer": answer, "active_ms": 5}, status)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url, durable=False)
    load(opened, rows(4), overlap=2)
    yield opened
    opened.close()


@pytest.fixture
def app(store: Store) -> Any:
    return build_app(store, gradio=False)


@pytest.fixture
def ana(app: Any, store: Store) -> Page:
    return Page(app, store, "Ana")


@pytest.fixture
def ben(app: Any, store: Store) -> Page:
    return Page(app, store, "Ben")


def judgment(store: Store, id_: str) -> Any:
    with store.read() as tx:
        return json.loads(tx.value("SELECT record FROM judgments WHERE id = :id", id=id_))


# ── what each route answers ──────────────────────────────────────────────────


def test_me_says_who_is_signed_in_and_where_they_work(ana: Page, store: Store) -> None:
    load(store, rows(1), project="other")
    ana.submit(ana.task())
    assert ana.http.get("/api/me").json() == {
        "person": {"id": ana.id, "name": "Ana"},
        "languages": ["en", "zh"],
        "has_password": False,
        "projects": [
            {
                "name": "p",
                "title": "p",
                "role": "annotator",
                "kinds": ["ranking"],
                "mine_done": 1,
                "tasks_done": 0,
                "tasks": 4,
                "guideline_version": None,
                "paused": False,
                "content_warning": False,
            }
        ],
    }


def test_guidelines_come_rendered_and_safe_with_their_version(ana: Page, store: Store) -> None:
    assert ana.http.get("/api/projects/p/guidelines").json() == {"version": None, "texts": {}}
    with store.write() as tx:
        project = projects.find_project(tx, "p")
        version = projects.set_guidelines(tx, project, {"en": "Be **fair**. <script>alert(1)</script>", "zh": "公平。"})
    got = ana.http.get("/api/projects/p/guidelines").json()
    assert got["version"] == version
    assert "<strong>fair</strong>" in got["texts"]["en"]
    assert "<script" not in got["texts"]["en"]
    assert "公平" in got["texts"]["zh"]
    task = ana.task()
    assert task["guideline_version"] == version
    assert judgment(store, ana.submit(task)["judgment"])["guideline_version"] == version


def test_next_gives_a_task_by_letters_and_the_same_again(ana: Page) -> None:
    first = ana.next()
    assert first["reason"] is None
    assert first["progress"] == {"mine": 0, "mine_today": 0, "done": 0, "needed": 8, "tasks": 4, "tasks_done": 0}
    task = first["task"]
    assert task["kind"] == "ranking"
    assert [r["letter"] for r in task["responses"]] == ["A", "B", "C"]
    assert task["prompt"][0]["source"] == "question q0"
    assert task["prompt"][0]["chars"] == len("question q0")
    assert 0 < task["expires_in_s"] <= 900
    assert (task["draft"], task["revises"], task["allow_unplaced"]) == (None, None, False)
    assert ana.task()["token"] == task["token"]


def test_a_submit_is_kept_by_response_id_in_the_order_shown(ana: Page, store: Store) -> None:
    task = ana.task()
    done = ana.submit(task)
    assert done["state"] == "counted"
    assert done["progress"]["mine"] == done["progress"]["mine_today"] == done["progress"]["done"] == 1
    kept = judgment(store, done["judgment"])
    with store.read() as tx:
        responses = {
            r["id"]: r["messages"][0]["content"]
            for row_ in tx.all("SELECT record FROM task_records")
            for r in json.loads(row_.record)["responses"]
        }
    assert [responses[id_] for id_ in kept["shown"]] == [r["turns"][0]["source"] for r in task["responses"]]
    a, b, c = kept["shown"]
    assert kept["ranking"] == [[b], [a, c]]
    assert kept["annotator"] == ana.id
    assert kept["active_seconds"] <= 0.005


def test_a_submit_sent_twice_is_kept_once(ana: Page, store: Store) -> None:
    task = ana.task()
    first = ana.submit(task)
    second = ana.submit(task, {"verdict": "all_bad"})
    assert second == first
    with store.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM judgments") == 1


def test_a_task_that_went_to_others_in_the_meantime_is_surplus(app: Any, store: Store, ana: Page) -> None:
    load(store, rows(1, prefix="one"), project="one")
    add(store, "Ana", project="one")
    ben = Page(app, store, "Ben", "one")
    task = ana.task("one")
    with store.write() as tx:
        tx.run("UPDATE slots SET until_ms = 1 WHERE state = 1")
    ben.task("one")
    ana.post(f"/api/leases/{task['token']}/renew", status=410)
    done = ana.submit(task)
    assert done["state"] == "surplus"
    assert done["progress"]["done"] == 0


def test_cannot_judge_is_returned_and_goes_to_others(ana: Page, ben: Page, store: Store) -> None:
    task = ana.task()
    assert ana.submit(task, {"verdict": "cannot_judge"})["state"] == "returned"
    assert ana.task()["prompt"] != task["prompt"]
    assert ben.task()["prompt"] == task["prompt"]


def test_a_draft_comes_back_and_an_older_one_never_wins(ana: Page) -> None:
    task = ana.task()
    path = f"/api/leases/{task['token']}/draft"
    late = {"seq": 5, "answer": {"verdict": "answered", "comment": "半"}, "active_ms": 1234}
    assert ana.http.put(path, json=late).json() == {"seq": 5}
    assert ana.http.put(path, json={"seq": 4, "answer": {}}).json() == {"seq": 5}
    assert ana.task()["draft"] == late
    ana.submit(task)
    assert ana.task()["draft"] is None
    assert ana.http.put(path, json={"seq": 9, "answer": {}}).status_code == 200  # late, after the submit: dropped
    assert ana.task()["draft"] is None


def test_a_lease_is_renewed(ana: Page, store: Store) -> None:
    task = ana.task()
    with store.write() as tx:
        tx.run("UPDATE slots SET until_ms = until_ms - 600000 WHERE state = 1")
        before = tx.value("SELECT until_ms FROM slots WHERE state = 1")
    assert ana.post(f"/api/leases/{task['token']}/renew") == {"expires_in_s": 900}
    with store.read() as tx:
        assert tx.value("SELECT until_ms FROM slots WHERE state = 1") > before


def test_a_skipped_task_goes_to_others_and_not_back(ana: Page, ben: Page) -> None:
    task = ana.task()
    for _ in range(2):
        got = ana.post(f"/api/leases/{task['token']}/skip", {"reason": "upsetting", "comment": "no\0 thanks"})
        assert got["progress"]["mine"] == 0
    assert ana.task()["prompt"] != task["prompt"]
    assert ben.task()["prompt"] == task["prompt"]


def test_none_left_says_how_many_others_hold(ana: Page, ben: Page, app: Any, store: Store) -> None:
    cy = Page(app, store, "Cy")
    for page in (ana, ben):
        for _ in range(3):
            page.submit(page.task())
        page.task()
    got = cy.next()
    assert (got["task"], got["reason"], got["with_others"]) == (None, "none_left", 1)


def test_none_left_does_not_promise_a_task_one_wrote_or_cannot_read(app: Any, store: Store) -> None:
    load(store, [row(0)], project="w")
    dee, eve = Page(app, store, "Dee", "w"), Page(app, store, "Eve", "w")
    load(store, [row(1, author=eve.id), row(2, language="fr")], project="w", priority=1)
    add(store, "Dee", ("en", "fr"), "w")
    add(store, "Fay", ("fr",), "w")
    eve.submit(eve.task("w"))
    dee.task("w")
    got = eve.next("w")
    assert (got["task"], got["with_others"]) == (None, 0)


def test_a_paused_project_says_so(ana: Page, store: Store) -> None:
    with store.write() as tx:
        projects.pause(tx, projects.find_project(tx, "p"), True)
    got = ana.next()
    assert (got["task"], got["reason"]) == (None, "paused")
    assert ana.http.get("/api/me").json()["projects"][0]["paused"] is True


def test_ones_own_judgments_come_newest_first_in_their_latest_form(ana: Page, ben: Page) -> None:
    ids = [ana.submit(ana.task())["judgment"] for _ in range(3)]
    ben.submit(ben.task())
    task = ana.post(f"/api/judgments/{ids[0]}/revise")["task"]
    ids.append(ana.submit(task)["judgment"])
    page = ana.http.get("/api/projects/p/mine?limit=2").json()
    assert [j["id"] for j in page["judgments"]] == [ids[3], ids[2]]
    assert page["more"] is True
    last = page["judgments"][-1]
    assert (last["kind"], last["verdict"], last["state"], last["excerpt"]) == (
        *("ranking", "answered", "counted"),
        "question q2",
    )
    assert last["at"].endswith("Z")
    rest = ana.http.get(f"/api/projects/p/mine?before={page['next']}").json()
    assert [j["id"] for j in rest["judgments"]] == [ids[1]]
    assert rest["more"] is False


def test_revising_shows_the_order_seen_before_and_the_new_answer_counts_once(ana: Page, store: Store) -> None:
    task = ana.task()
    first = ana.submit(task, {**ANSWERED, "comment": "why", "flags": {"A": ["harmful"]}, "edited": {"B": "better"}})
    again = ana.post(f"/api/judgments/{first['judgment']}/revise")["task"]
    assert again["responses"] == task["responses"]
    assert again["token"] != task["token"]
    assert again["revises"]["judgment"] == first["judgment"]
    told = again["revises"]["answer"]
    assert (told["ranking"], told["comment"], told["flags"], told["edited"]) == (
        *([["B"], ["A", "C"]], "why"),
        *({"A": ["harmful"]}, {"B": "better"}),
    )
    second = ana.submit(again, {"verdict": "all_bad"})
    assert second["progress"]["done"] == 1
    assert judgment(store, second["judgment"])["supersedes"] == first["judgment"]
    got = ana.post(f"/api/judgments/{first['judgment']}/revise", status=409)
    assert got["code"] == "superseded"


def test_signing_out_ends_the_session_in_this_browser(ana: Page) -> None:
    assert ana.http.post("/api/signout").status_code == 204
    assert ana.http.get("/api/me").json()["code"] == "signed_out"


def test_a_choice_between_two_with_its_strength(ana: Page, store: Store) -> None:
    load(store, rows(2, prefix="ab", answers=2), priority=5)
    task = ana.task()
    assert task["kind"] == "ab"
    assert ana.submit(task, {"choice": None}, 422)["code"] == "bad_answer"
    kept = judgment(store, ana.submit(task, {"choice": "B", "strength": 2})["judgment"])
    assert (kept["choice"], kept["strength"]) == ("B", 2)
    kept = judgment(store, ana.submit(ana.task(), {"choice": "tie", "strength": 3})["judgment"])
    assert (kept["choice"], kept.get("strength")) == ("tie", None)


def test_ratings_of_every_response_on_every_criterion(ana: Page, store: Store) -> None:
    load(store, rows(1, prefix="rate", kind="rating", criteria=CRITERIA), priority=5)
    task = ana.task()
    assert task["criteria"][0]["name"] == {"en": "Helpful", "zh": "有帮助"}
    for ratings in (
        {},
        {"A": {"helpful": 4}},
        {letter: {"helpful": 6} for letter in "ABC"},
        {letter: {"helpful": 4, "other": 1} for letter in "ABC"},
        {letter: {"helpful": 4} for letter in "ABCD"},
    ):
        assert ana.submit(task, {"ratings": ratings}, 422)["code"] == "bad_answer"
    kept = judgment(store, ana.submit(task, {"ratings": {r: {"helpful": 4} for r in "ABC"}})["judgment"])
    assert kept["ratings"] == {id_: {"helpful": 4} for id_ in kept["shown"]}


def test_unplaced_responses_are_taken_where_the_project_allows(ana: Page, store: Store) -> None:
    task = ana.task()
    assert "C not placed" in ana.submit(task, {"ranking": [["A"], ["B"]]}, 422)["message"]
    with store.write() as tx:
        projects.change_settings(tx, projects.find_project(tx, "p"), {"allow_unplaced": True})
    assert ana.task()["allow_unplaced"] is True
    assert ana.submit(task, {"ranking": [["A"]]}, 422)["code"] == "bad_answer"
    assert ana.submit(task, {"ranking": [["A"], ["B"]]})["state"] == "counted"


# ── blind ────────────────────────────────────────────────────────────────────


def test_no_answer_holds_a_response_id_or_a_models_name(app: Any, store: Store) -> None:
    made = row(0, kind="rating", criteria=CRITERIA)
    gold = Gold(ranking=[[r.id] for r in made.responses])
    load(store, [made._replace(gold=gold)], project="blind")
    page = Page(app, store, "Eve", "blind")
    said: list[str] = []
    page.http.event_hooks["response"].append(lambda answer: said.append(answer.read().decode() + str(answer.headers)))
    task = page.task("blind")
    page.http.put(f"/api/leases/{task['token']}/draft", json={"seq": 1, "answer": {}})
    page.submit(task, {"ratings": {"Z": {}}}, 422)
    done = page.submit(task, {"ratings": {letter: {"helpful": 2} for letter in "ABC"}})
    page.post(f"/api/judgments/{done['judgment']}/revise")
    for path in ("me", "projects/blind/mine", "projects/blind/guidelines"):
        assert page.http.get(f"/api/{path}").status_code == 200
    page.next("blind")
    with store.read() as tx:
        task_id = tx.value("SELECT task FROM tasks WHERE import_key = 'q0' AND kind = 'rating'")
    everything = "\n".join(said)
    assert "answer 1 to q0" in everything
    for secret in ("secret-model", made.prompt.id, task_id, "gold", *(r.id for r in made.responses)):
        assert secret not in everything


def test_the_order_differs_between_people(app: Any, store: Store) -> None:
    load(store, [row(0, answers=9)], project="many", overlap=6)
    orders = {
        tuple(r["turns"][0]["source"] for r in Page(app, store, f"x{n}", "many").task("many")["responses"])
        for n in range(6)
    }
    assert len(orders) > 1


# ── refused, each with its code ──────────────────────────────────────────────

CHANGING = [
    ("POST", "/api/projects/p/next"),
    ("PUT", "/api/leases/{token}/draft"),
    ("POST", "/api/leases/{token}/renew"),
    ("POST", "/api/leases/{token}/submit"),
    ("POST", "/api/leases/{token}/skip"),
    ("POST", "/api/leases/{token}/release"),
    ("POST", "/api/judgments/{judgment}/revise"),
]
READING = [
    ("GET", "/api/me"),
    ("GET", "/api/projects/p/mine"),
    ("GET", "/api/projects/p/days"),
    ("GET", "/api/projects/p/guidelines"),
]
BODIES: dict[str, Any] = {
    "draft": {"seq": 1, "answer": {}},
    "submit": {"answer": ANSWERED},
    "skip": {"reason": "other"},
}


def ask(page: Page, method: str, path: str, given: Any = None, **rest: Any) -> tuple[int, str]:
    path = path.format(token=given["token"], judgment=given["judgment"]) if given else path
    body = BODIES.get(path.rsplit("/", 1)[-1], {})
    answer = page.http.request(method, path, json=None if method == "GET" else body, **rest)
    return answer.status_code, answer.json().get("code", "")


@pytest.fixture
def given(ana: Page) -> Any:
    """A judgment and a lease of Ana's."""
    done = ana.submit(ana.task())
    return {"judgment": done["judgment"], "token": ana.task()["token"]}


def test_a_change_without_the_csrf_header_is_refused(ana: Page, given: Any) -> None:
    del ana.http.headers["X-CSRF"]
    for method, path in CHANGING:
        assert ask(ana, method, path, given) == (403, "csrf")
        for wrong in ("", "x", "é"):
            assert ask(ana, method, path, given, headers={"X-CSRF": wrong.encode()}) == (403, "csrf")


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil"}, {"Origin": "null"}],
)
def test_a_change_from_another_site_is_refused(ana: Page, given: Any, headers: dict[str, str]) -> None:
    for method, path in CHANGING:
        assert ask(ana, method, path, given, headers=headers) == (403, "csrf")


def test_a_change_from_our_own_page_is_taken(ana: Page) -> None:
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}):
        assert ask(ana, "POST", "/api/projects/p/next", headers=headers)[0] == 200


def test_nobody_signed_in_is_said_so(ana: Page, given: Any) -> None:
    ana.http.cookies.delete("sid")
    for cookie in ({}, {"sid": "forged"}):
        ana.http.cookies.update(cookie)
        for method, path in [*CHANGING, *READING]:
            assert ask(ana, method, path, given) == (401, "signed_out")


def test_a_session_ends_when_its_person_is_let_in_no_more(ana: Page, given: Any, store: Store) -> None:
    store.change(lambda tx: accounts.deactivate(tx, "Ana"))
    for method, path in [*CHANGING, *READING]:
        assert ask(ana, method, path, given) == (401, "signed_out")


def test_a_page_drawn_for_somebody_else_is_refused(ana: Page, ben: Page, given: Any) -> None:
    for method, path in [*CHANGING, *READING]:
        assert ask(ana, method, path, given, headers={"X-Person": ben.id}) == (409, "other_person")


def test_what_is_another_persons_is_not_there(ben: Page, given: Any) -> None:
    for method, path in CHANGING[1:]:
        assert ask(ben, method, path, given) == (404, "not_there")
        assert ask(ben, method, path, {"token": "none", "judgment": "none"}) == (404, "not_there")


@pytest.mark.parametrize("path", ["next", "mine", "guidelines"])
def test_a_project_one_is_no_member_of_cannot_be_told_from_one_that_is_not_there(
    ana: Page, store: Store, path: str
) -> None:
    load(store, rows(1), project="secret")
    method = "POST" if path == "next" else "GET"
    answers = [
        ana.http.request(method, f"/api/projects/{name}/{path}", json={} if method == "POST" else None)
        for name in ("secret", "none")
    ]
    assert [a.status_code for a in answers] == [403, 403]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["code"] == "not_a_member"


BAD_ANSWERS: dict[str, Any] = {
    "nothing": {},
    "no ranking": {"verdict": "answered"},
    "one missing": {"ranking": [["A"], ["B"]]},
    "one twice": {"ranking": [["A"], ["B"], ["C", "A"]]},
    "one that is not there": {"ranking": [["A"], ["B"], ["C"], ["D"]]},
    "no letter": {"ranking": [["A"], ["B"], ["Z"]]},
    "a response id": {"ranking": [["d0" * 16]]},
    "an unknown verdict": {"verdict": "maybe"},
    "an unknown key": {**ANSWERED, "score": 1},
    "an unknown flag": {**ANSWERED, "flags": {"A": ["boring"]}},
    "a flag for nobody": {**ANSWERED, "flags": {"I": ["harmful"]}},
    "a critique for nobody": {**ANSWERED, "critiques": {"D": "x"}},
    "a critique too long": {**ANSWERED, "critiques": {"A": "x" * 20_001}},
    "an edit too long": {**ANSWERED, "edited": {"A": "x" * 1_000_001}},
    "a comment too long": {**ANSWERED, "comment": "x" * 20_001},
    "a comment that is no text": {**ANSWERED, "comment": 5},
    "a strength too strong": {**ANSWERED, "strength": 4},
    "half a character": {**ANSWERED, "comment": "\ud83d"},
    "half a character as a key": {**ANSWERED, "\ud83d": 1},
    "a number too large": {**ANSWERED, "strength": 10**40},
    "text": "ABC",
    "a list": [],
    "null": None,
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_a_bad_answer_is_refused_and_nothing_is_kept(ana: Page, store: Store, what: str) -> None:
    token = ana.task()["token"]
    body = json.dumps({"answer": BAD_ANSWERS[what], "active_ms": 5})  # half characters too, as a browser spells them
    answer = ana.http.post(f"/api/leases/{token}/submit", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_answer"), answer.text
    assert answer.json()["message"]
    with store.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM judgments") == 0
    assert ana.task()["token"] == token


BAD_BODIES = {
    "no JSON": b"{half",
    "no UTF-8": b'{"answer": "\xff"}',
    "nothing": b"",
    "a number": b"5",
    "too deep": b"[" * 100_000 + b"]" * 100_000,
    "NaN": b'{"seq": NaN, "answer": {}, "reason": NaN}',
    "a seq past 64 bits": b'{"seq": 100000000000000000000, "answer": {}}',
    "a seq below 0": b'{"seq": -1, "answer": {}}',
    "half a character in a draft": b'{"seq": 1, "answer": {"comment": "\\ud83d"}}',
    "a draft too large": b'{"seq": 1, "answer": {"comment": "' + b"x" * 2_000_001 + b'"}}',
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_body_that_is_none_is_refused_with_a_code(ana: Page, what: str) -> None:
    token = ana.task()["token"]
    for method, route in (("PUT", "draft"), ("POST", "submit"), ("POST", "skip")):
        kind = {"Content-Type": "application/json"}
        answer = ana.http.request(method, f"/api/leases/{token}/{route}", content=BAD_BODIES[what], headers=kind)
        assert 400 <= answer.status_code < 500
        assert answer.json()["code"] in ("bad_answer", "bad_input")
        assert ana.task()["token"] == token


def test_numbers_that_are_none_in_a_draft_come_back_as_null(ana: Page) -> None:
    token = ana.task()["token"]
    body = b'{"seq": 1, "answer": {"strength": NaN}, "active_ms": 0}'
    headers = {"Content-Type": "application/json"}
    assert ana.http.put(f"/api/leases/{token}/draft", content=body, headers=headers).status_code == 200
    assert ana.task()["draft"]["answer"] == {"strength": None}


def test_a_body_past_the_limit_is_refused_before_it_is_read(ana: Page) -> None:
    token = ana.task()["token"]
    answer = ana.http.post(f"/api/leases/{token}/submit", content=b"x" * 8_000_001)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("query", ["before=1e9", "before=x", "before=" + "9" * 30, "limit=" + "9" * 30, "limit=-5"])
def test_an_odd_page_of_ones_own_judgments_is_refused_or_bounded(ana: Page, query: str) -> None:
    answer = ana.http.get(f"/api/projects/p/mine?{query}")
    assert answer.status_code in (200, 422)
    assert answer.status_code == 200 or answer.json()["code"] == "bad_answer"


@pytest.mark.parametrize("name", ["%00", "%ff", "..%2f", "%F0%9F%98%80", "x" * 3000])
def test_an_odd_name_in_the_path_is_no_traceback(ana: Page, name: str) -> None:
    for method, path in [*CHANGING[1:], ("GET", "/api/projects/{token}/mine"), ("POST", "/api/projects/{token}/next")]:
        status, code = ask(ana, method, path.replace("{judgment}", "{token}"), {"token": name, "judgment": name})
        assert (status, code) in [(404, "not_there"), (400, "bad_input"), (403, "not_a_member")]


def test_a_route_that_is_not_there_or_takes_another_method_says_so_in_json(ana: Page) -> None:
    for method, path in (("GET", "/api/nothing"), ("DELETE", "/api/me"), ("GET", "/ui/0/none.js")):
        answer = ana.http.request(method, path)
        assert answer.status_code in (404, 405)
        assert answer.json()["code"] == "not_there"


# ── a store that goes away ───────────────────────────────────────────────────


def test_a_store_that_is_down_is_503_and_the_work_goes_on_when_it_is_back(stoppable_pg: Any) -> None:
    opened = open_store(stoppable_pg.create())
    load(opened, rows(3))
    page = Page(build_app(opened, gradio=False), opened, "Ana")
    task = page.task()
    stoppable_pg.stop()
    given = {"token": task["token"], "judgment": "x"}
    for method, path in [*CHANGING, *READING]:
        assert ask(page, method, path, given) == (503, "store_down")
    stoppable_pg.start()
    assert page.submit(task)["state"] == "counted"
    with opened.read() as tx:
        assert ledger.verify(tx, project_id(opened)) == []
    opened.close()


# ── signing in ───────────────────────────────────────────────────────────────


def test_a_link_is_looked_at_without_being_used_and_signs_in_once(app: Any, store: Store) -> None:
    add(store, "Zoe")
    with store.write() as tx:
        link = accounts.new_link(tx, "Zoe")
    http = TestClient(app, follow_redirects=False)
    assert [http.get(f"/join/{link}").status_code for _ in range(3)] == [200] * 3
    joined = http.post(f"/join/{link}", data={"password": "correct horse"})
    assert (joined.status_code, joined.headers["location"]) == (303, "/")
    cookies = joined.headers.get_list("set-cookie")
    sid = next(c for c in cookies if c.startswith("sid="))
    csrf = next(c for c in cookies if c.startswith("csrf="))
    assert "HttpOnly" in sid
    assert "HttpOnly" not in csrf
    assert "SameSite=strict" in csrf
    assert http.get("/api/me").json()["person"]["name"] == "Zoe"
    assert http.get(f"/join/{link}").status_code == 410
    assert TestClient(app).post(f"/join/{link}").status_code == 410


def test_a_password_too_short_keeps_the_link(app: Any, store: Store) -> None:
    add(store, "Zoe")
    with store.write() as tx:
        link = accounts.new_link(tx, "Zoe")
    http = TestClient(app, follow_redirects=False)
    assert http.post(f"/join/{link}", data={"password": "short"}).status_code == 422
    assert http.post(f"/join/{link}", data={"password": "long enough"}).status_code == 303


def test_a_password_signs_in_and_a_wrong_one_does_not(app: Any, store: Store) -> None:
    add(store, "小伟")
    with store.write() as tx:
        accounts.use_link(tx, accounts.new_link(tx, "小伟"), "correct horse")
    http = TestClient(app, follow_redirects=False)
    for name, password in (("小伟", "wrong"), ("nobody", "correct horse"), ("", ""), ("a\0b", "x")):
        answer = http.post("/signin", data={"name": name, "password": password})
        assert 400 <= answer.status_code < 500
        assert "sid" not in http.cookies
    signed = http.post("/signin", data={"name": "小伟", "password": "correct horse", "next": "/?project=p"})
    assert (signed.status_code, signed.headers["location"]) == (303, "/?project=p")
    assert http.get("/api/me").status_code == 200


@pytest.mark.parametrize(
    "place", ["https://evil/", "//evil/", "/\\evil/", "javascript:alert(1)", "/a\r\nSet-Cookie: x=1"]
)
def test_signing_in_goes_nowhere_else(app: Any, store: Store, place: str) -> None:
    add(store, "Zoe")
    with store.write() as tx:
        accounts.use_link(tx, accounts.new_link(tx, "Zoe"), "correct horse")
    http = TestClient(app, follow_redirects=False)
    signed = http.post("/signin", data={"name": "Zoe", "password": "correct horse", "next": place})
    assert (signed.status_code, signed.headers["location"]) == (303, "/")


def test_guessing_a_password_is_slowed_down(app: Any, store: Store) -> None:
    add(store, "Zoe")
    with store.write() as tx:
        accounts.use_link(tx, accounts.new_link(tx, "Zoe"), "correct horse")
    http = TestClient(app, follow_redirects=False)
    statuses = [http.post("/signin", data={"name": "Zoe", "password": "guess"}).status_code for _ in range(9)]
    assert statuses == [401] * 8 + [429]
    assert http.post("/signin", data={"name": "Zoe", "password": "correct horse"}).status_code == 429


def test_signing_in_from_another_site_is_refused(app: Any) -> None:
    http = TestClient(app, follow_redirects=False)
    for path in ("/signin", "/join/x"):
        answer = http.post(path, data={}, headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf")


def test_a_server_under_a_base_path_keeps_to_it(store: Store) -> None:
    add(store, "Zoe")
    with store.write() as tx:
        link = accounts.new_link(tx, "Zoe")
    http = TestClient(build_app(store, base="/label", gradio=False), follow_redirects=False)
    joined = http.post(f"/label/join/{link}")
    assert (joined.status_code, joined.headers["location"]) == (303, "/label/")
    assert all("Path=/label/" in cookie for cookie in joined.headers.get_list("set-cookie"))
    assert http.get("/label/api/me").status_code == 200
    assert http.get("/api/me").status_code != 200
    sent = TestClient(build_app(store, base="/label", gradio=False), follow_redirects=False).get(
        "/label/", headers={"Accept": "text/html"}
    )
    assert (sent.status_code, sent.headers["location"]) == (303, "/label/signin?next=%2Flabel%2F")


def test_a_first_password_is_set_once_and_only_by_its_person(ana: Page, store: Store) -> None:
    assert ana.post("/api/password", {"password": "short"}, 422)["code"] == "password"
    ana.post("/api/password", {"password": "long enough"}, 403, headers={"X-CSRF": ""})
    ana.post("/api/password", {"password": "long enough"}, 204)
    assert ana.http.get("/api/me").json()["has_password"] is True
    assert ana.post("/api/password", {"password": "another one"}, 422)["code"] == "password"
    with store.read() as tx:
        assert accounts.check_password(tx, "Ana", "long enough") is not None
        assert accounts.check_password(tx, "Ana", "another one") is None


def test_the_routes_of_the_label_path_are_in_openapi(app: Any) -> None:
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    assert {path for path in paths if path.startswith("/api/") and not path.startswith("/api/lead/")} == {
        "/api/me",
        "/api/projects/{project}/guidelines",
        "/api/projects/{project}/next",
        "/api/projects/{project}/mine",
        "/api/projects/{project}/days",
        "/api/leases/{token}/draft",
        "/api/leases/{token}/renew",
        "/api/leases/{token}/submit",
        "/api/leases/{token}/skip",
        "/api/leases/{token}/release",
        "/api/judgments/{judgment}/revise",
        "/api/password",
        "/api/signout",
    }
