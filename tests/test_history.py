"""One's own judgments: searched by what was read and written, one's days and one's pace, on both databases."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from made import add, answer, load, row
from test_label_path_http import ANSWERED, Page

from annotate import answers, assign, history
from annotate.app import build_app
from annotate.history import DAY_MS, Wanted, day_start, my_days, my_judgments
from annotate.projects import find_project
from data.errors import NotThere
from data.formats.rows import Row
from data.records import Message, Prompt, Response
from data.store import Store, Tx, open_store
from data.text import excerpt

TEXTS = [
    ("How do rivers form?", ["Rain gathers.", "100% snow_melt!"]),
    ("为什么天空是蓝色的？", ["因为瑞利散射。", "不知道。"]),
    ('Say "hello" \\ twice', ["hello\nhello", "Ärger mit STRASSE"]),
    ("Plain", ["one", "two"]),
]


def made_row(number: int, question: str, replies: list[str]) -> Row:
    prompt = Prompt.make([Message(role="user", content=question)])
    responses = [
        Response.make(prompt.id, [Message(role="assistant", content=text)], model=f"secret-{n}", import_key=str(number))
        for n, text in enumerate(replies)
    ]
    return Row(number, f"line {number}", f"k{number}", prompt, responses)


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Four tasks, and a clock that goes on between any two transactions: nobody answers twice in a millisecond."""
    read_clock, ticks = Tx.now, itertools.count()

    def now(tx: Tx) -> int:
        if tx._now is None:
            tx._now = read_clock(tx) + next(ticks)
        return tx._now

    monkeypatch.setattr(Tx, "now", now)
    opened = open_store(store_url, durable=False)
    load(opened, [made_row(n, *texts) for n, texts in enumerate(TEXTS)], overlap=3, kind="ranking")
    yield opened
    opened.close()


def judge(store: Store, person: str, **fields: Any) -> str:
    """The next task judged; fields by the place of a response in the order shown."""

    def work(tx: Tx) -> str:
        lease = assign.claim(tx, find_project(tx, "p").id, person)
        assert lease is not None
        by_id = {name: {lease.shown[n]: v for n, v in fields.pop(name, {}).items()} for name in ("flags", "critiques")}
        return answers.submit(tx, person, lease.token, {**answer(lease.shown), **by_id, **fields}).judgment

    return store.change(work)


def listed(store: Store, person: str, limit: int = 50, before: str | None = None, **wanted: Any) -> dict[str, Any]:
    with store.read() as tx:
        return my_judgments(tx, find_project(tx, "p"), person, limit, before, Wanted(**wanted))


def excerpts(store: Store, person: str, **wanted: Any) -> list[str]:
    return [j["excerpt"] for j in listed(store, person, **wanted)["judgments"]]


@pytest.fixture
def ana(store: Store) -> str:
    """Somebody who judged all four: a comment on the second, a flag and a critique on the third."""
    person = add(store, "Ana", ("en", "zh"))
    judge(store, person)
    judge(store, person, comment="Ganz ÜBEL, 不好")
    judge(store, person, flags={0: ["harmful"]}, critiques={1: "Müde words"})
    judge(store, person, verdict="all_bad", ranking=None)
    return person


# ── search ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("RIVERS", [0]),
        ("snow_melt", [0]),
        ("snowXmelt", []),
        ("100%", [0]),
        ("1%w", []),
        ("!", [0]),
        ("天空", [1]),
        ("不好", [1]),
        ("übel", [1]),
        ("ÄRGER", [2]),
        ('"hello" \\', [2]),
        ("hello\nhello", [2]),
        ("müde", [2]),
        ("secret", []),
        ("assistant", []),
        ("harmful", []),
        ("nothing of the kind", []),
    ],
)
def test_search_reads_texts_and_own_words_in_any_case_and_nothing_else(
    store: Store, ana: str, text: str, found: list[int]
) -> None:
    assert excerpts(store, ana, text=text) == [excerpt(TEXTS[n][0], 120) for n in reversed(found)]


def test_a_models_name_or_an_id_is_never_found(store: Store, ana: str) -> None:
    with store.read() as tx:
        task = json.loads(tx.all("SELECT record FROM task_records")[0].record)
    for secret in (task["id"], task["prompt"]["id"], task["responses"][0]["id"], "secret-0", "k0", ana):
        assert excerpts(store, ana, text=secret) == []


def test_filters_by_kind_verdict_and_flags_work_together_with_search(store: Store, ana: str) -> None:
    assert excerpts(store, ana, verdict="all_bad") == ["Plain"]
    assert excerpts(store, ana, flagged=True) == [listed(store, ana)["judgments"][1]["excerpt"]]
    assert excerpts(store, ana, flagged=True, text="rivers") == []
    assert len(excerpts(store, ana, kind="ranking")) == 4
    assert excerpts(store, ana, kind="ab") == []


def test_a_comment_that_looks_like_a_flag_is_none(store: Store) -> None:
    person = add(store, "Odd")
    judge(store, person, comment='"flags":{"x":["harmful"]}')
    assert excerpts(store, person, flagged=True) == []


def test_others_judgments_are_never_found(store: Store, ana: str) -> None:
    ben = add(store, "Ben", ("en", "zh"))
    assert excerpts(store, ben, text="rivers") == []
    judge(store, ben)
    assert len(excerpts(store, ben, text="rivers")) == 1
    assert len(excerpts(store, ana, text="rivers")) == 1


def test_each_row_says_what_was_answered_by_letter(store: Store) -> None:
    page = Page(build_app(store, gradio=False), store, "Lee")
    task = page.task()
    page.submit(task, {**ANSWERED, "ranking": [["B"], ["A"]], "flags": {"A": ["broken"]}})
    (row_,) = page.http.get("/api/projects/p/mine").json()["judgments"]
    assert row_["said"] == {"ranking": [["B"], ["A"]], "choice": None, "strength": None, "ratings": {}}
    assert row_["flagged"] is True
    assert row_["active_seconds"] == pytest.approx(0.005, abs=0.005)
    assert "secret" not in page.http.get("/api/projects/p/mine?q=rain").text


# ── pages, and a bounded cost ────────────────────────────────────────────────


@pytest.fixture
def many(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """Somebody who judged 44 tasks; the needle is in six, and a request looks through ten."""
    load(
        store,
        [made_row(n, f"number {n}", ["needle" if n % 7 == 0 else "hay", "x"]) for n in range(10, 50)],
        kind="ranking",
    )
    person = add(store, "Many")
    for _ in range(44):
        judge(store, person)
    monkeypatch.setattr(history, "SCAN", 10)
    return person


def paged(store: Store, person: str, limit: int, **wanted: Any) -> tuple[list[str], int]:
    """The excerpts of all pages, and how many pages there were."""
    seen: list[str] = []
    before, pages = None, 0
    while True:
        page = listed(store, person, limit=limit, before=before, **wanted)
        seen += [j["excerpt"] for j in page["judgments"]]
        pages += 1
        if not page["more"]:
            return seen, pages
        before = page["next"]


def test_a_long_search_goes_on_where_it_stopped_and_misses_nothing(store: Store, many: str) -> None:
    seen, pages = paged(store, many, limit=2, text="NEEDLE")
    assert seen == [f"number {n}" for n in (49, 42, 35, 28, 21, 14)]
    assert pages >= 5  # no request looked through more than ten


@pytest.mark.parametrize("limit", [1, 2, 9, 50])
def test_answers_of_one_millisecond_are_each_found_once_wherever_a_page_ends(
    store: Store, many: str, limit: int
) -> None:
    with store.write() as tx:
        tx.run("UPDATE judgments SET at_ms = 1700000000000")
    seen, _ = paged(store, many, limit)
    assert sorted(seen) == sorted([*(f"number {n}" for n in range(10, 50)), *(excerpt(q, 120) for q, _ in TEXTS)])
    found, _ = paged(store, many, limit, text="needle")
    assert sorted(found) == [f"number {n}" for n in (14, 21, 28, 35, 42, 49)]


def test_the_list_goes_on_after_an_answer_that_was_revised_since(store: Store, ana: str) -> None:
    first = listed(store, ana, limit=2)

    def revise(tx: Tx) -> None:
        lease, _ = answers.revise(tx, ana, first["next"])
        answers.submit(tx, ana, lease.token, {**answer(lease.shown), "comment": "Another look."})

    store.change(revise)
    rest = listed(store, ana, before=first["next"])
    assert [j["excerpt"] for j in rest["judgments"]] == [excerpt(TEXTS[n][0], 120) for n in (1, 0)]
    assert rest["more"] is False


def test_the_list_goes_on_after_ones_own_answers_only(store: Store, ana: str) -> None:
    ben = add(store, "Ben", ("en", "zh"))
    for other in (judge(store, ben), "0" * 32):
        with pytest.raises(NotThere):
            listed(store, ana, before=other)


def test_an_odd_search_is_refused_or_bounded(store: Store) -> None:
    page = Page(build_app(store, gradio=False), store, "Odd")
    for query, status in [
        ("q=%00", 200),
        ("q=" + "x" * 201, 422),
        ("kind=x", 422),
        ("verdict=x", 422),
        ("q=%25_", 200),
    ]:
        assert page.http.get(f"/api/projects/p/mine?{query}").status_code == status, query


# ── days and pace ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("now", "offset", "start"),
    [
        (10 * DAY_MS + 1, 0, 10 * DAY_MS),
        (10 * DAY_MS + 1, -60, 9 * DAY_MS + 3600_000),  # an hour behind UTC it is yesterday still
        (10 * DAY_MS - 1, 60, 10 * DAY_MS - 3600_000),  # an hour ahead it is tomorrow already
        (10 * DAY_MS, 345, 10 * DAY_MS - 345 * 60_000),
    ],
)
def test_the_day_begins_at_the_persons_midnight(now: int, offset: int, start: int) -> None:
    assert day_start(now, offset) == start
    assert start <= now < start + DAY_MS


def test_days_count_a_task_once_and_time_with_revisions(store: Store, ana: str) -> None:
    with store.write() as tx:
        now = tx.now()
        today = day_start(now, 480)
        own = tx.all("SELECT id, record FROM judgments WHERE annotator = :ana ORDER BY at_ms", ana=ana)
        for row_, at, seconds in zip(own, (-14, -13, -1, 0), (5.0, 10.0, 30.0, 50.0), strict=True):
            record = {**json.loads(row_.record), "active_seconds": seconds}
            tx.run(
                "UPDATE judgments SET at_ms = :at, record = :record WHERE id = :id",
                at=today + at * DAY_MS,
                record=json.dumps(record),
                id=row_.id,
            )

    def revise(tx: Tx) -> None:
        lease, _ = answers.revise(tx, ana, own[3].id)
        answers.submit(tx, ana, lease.token, {**answer(lease.shown), "active_seconds": 0.0})

    store.change(revise)
    with store.read() as tx:
        found = my_days(tx, find_project(tx, "p"), ana, 480)
    days = found["days"]
    assert len(days) == 14
    assert [day["judgments"] for day in days] == [1, *[0] * 11, 1, 1]  # the first is 15 days ago
    assert [day["seconds"] for day in days] == [10.0, *[0.0] * 11, 30.0, 50.0]
    assert days == sorted(days, key=lambda day: day["date"])
    assert found["pace"] == {"ranking": {"seconds": 30.0, "judgments": 3}}


def test_today_is_the_day_where_the_person_is_everywhere(store: Store) -> None:
    page = Page(build_app(store, gradio=False), store, "Far")
    done = page.submit(page.task(), {"ranking": [["A"], ["B"]]})
    with store.write() as tx:
        now = tx.now()
        # A judgment of 13 hours ago is of today for a clock with 13:30, of yesterday for one with 12:30.
        tx.run("UPDATE judgments SET at_ms = :at WHERE id = :id", at=now - 13 * 3600_000, id=done["judgment"])
    hour = now % DAY_MS / 3600_000
    east = {"X-UTC-Offset": str(_offset(hour, 13.5))}
    west = {"X-UTC-Offset": str(_offset(hour, 12.5))}
    for headers, count in ((east, 1), (west, 0)):
        assert page.post("/api/projects/p/next", headers=headers)["progress"]["mine_today"] == count
        assert page.http.get("/api/projects/p/days", headers=headers).json()["days"][-1]["judgments"] == count


def _offset(utc_hour: float, local_hour: float) -> int:
    """The UTC offset in minutes of a place where it is this hour now."""
    ahead = (local_hour - utc_hour) % 24
    return round((ahead if ahead <= 14 else ahead - 24) * 60)


@pytest.mark.parametrize("offset", ["841", "-721", "x", "1.5", "NaN", "9" * 30])
def test_an_odd_clock_is_refused(store: Store, offset: str) -> None:
    page = Page(build_app(store, gradio=False), store, "Odd")
    answer_ = page.http.get("/api/projects/p/days", headers={"X-UTC-Offset": offset})
    assert (answer_.status_code, answer_.json()["code"]) == (422, "bad_answer")


# ── nothing for me ───────────────────────────────────────────────────────────


def test_an_empty_page_is_told_what_others_hold_and_in_which_languages_tasks_are_open(store: Store) -> None:
    rows_ = [row(0), row(1), row(2, language="fr"), row(3, language="fr"), row(4, language="ja"), row(5, language="en")]
    load(store, rows_, project="q")
    app = build_app(store, gradio=False)
    first, second, late = (Page(app, store, name, "q") for name in ("One", "Two", "Late"))
    for page in (first, second):
        page.task("q")
    third = Page(app, store, "Three", "q")
    third.task("q")
    got = late.next("q")
    assert (got["task"], got["reason"], got["with_others"]) == (None, "none_left", 3)
    assert 880 <= got["back_in_s"] <= 900
    assert got["other_languages"] == {"fr": 2, "ja": 1}


def test_an_answer_before_sign_in_is_none(store: Store) -> None:
    http = TestClient(build_app(store, gradio=False))
    assert http.get("/api/projects/p/days").status_code == 401
