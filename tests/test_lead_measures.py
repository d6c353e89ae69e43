"""A lead sees measures and nobody else does; the child that keeps them comes with a look and goes with the server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made import load, project_id, rows
from test_lead_http import Browser, soon

from annotate import live_child
from annotate.app import build_app
from annotate.live_child import LiveChild
from data import ledger
from data.measures import scope_text, value_text, write_measures
from data.store import Store, open_store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    made = open_store(store_url, durable=False)
    load(made, rows(3, answers=2), kind="ab", overlap=2)
    yield made
    made.close()


@pytest.fixture
def app(store: Store) -> Any:
    return build_app(store, gradio=False)


def found(value: float | None = 0.7, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": 0.6, "high": 0.8, "n": 40, **more}


def kept(store: Store, person: str, until_ms: int = 0, behind: int = 0) -> None:
    """Measures as curate.live leaves them."""
    alpha = {"units": 30, "ratings": 60, "needed": 12, "resampled": "units", "threshold": 0.8, "percent": 0.9}
    with store.write() as tx:
        seq = ledger.head(tx, project_id(store)).seq - behind
        live = {
            "by": "x",
            "until_ms": until_ms,
            "judgments": 5,
            "true_at": {n: [seq, tx.now()] for n in ("quick", "slow")},
        }
        rows_: list[tuple[str, dict[str, str], dict[str, Any]]] = [
            ("live", {}, live),
            ("agreement", {"criterion": "choice"}, found(verdict="not enough data", why=None, **alpha)),
            (
                "agreement",
                {"criterion": "choice", "language": "zh"},
                found(None, why="one value only", verdict="no answer: x"),
            ),
            ("position", {}, found(0.55)),
            *((name, {"annotator": person}, found()) for name in ("position", "others", "reliability")),
            ("standings", {}, {"order": 0.1, "warnings": []}),
            ("standings", {"model": "weak"}, found(-0.4, comparisons=7.0, part=0)),
            ("standings", {"model": "strong"}, found(0.4, comparisons=7.0, part=0)),
        ]
        told = {(name, scope_text(about)): value_text(value) for name, about, value in rows_}
        write_measures(tx, project_id(store), seq, told)


def test_before_the_first_time_a_lead_is_told_which_command_computes_them(app: Any, store: Store) -> None:
    told = Browser(app, store, "Lea", role="admin").get()["measured"]
    assert told["as_of"] is None
    assert (told["kept"], told["agreement"], told["people"], told["standings"]) == (False, [], {}, [])
    assert told["command"] == "python -m curate.live --project p"


def test_a_lead_sees_agreement_people_sides_and_models(app: Any, store: Store) -> None:
    lea, ana = Browser(app, store, "Lea", role="admin"), Browser(app, store, "Ana")
    kept(store, ana.id)
    told = lea.get()["measured"]
    assert told["current"] is True
    assert [(a["language"], a["verdict"], a["needed"], a["why"]) for a in told["agreement"]] == [
        (None, "open", 12, None),
        ("zh", "none", None, "one_value"),
    ]
    assert told["position"]["value"] == 0.55
    assert told["people"] == {ana.id: {name: found() for name in ("reliability", "others", "position")}}
    assert [one["model"] for one in told["standings"]] == ["strong", "weak"]
    assert lea.get(f"/people/{ana.id}")["measured"]["reliability"] == found()
    assert lea.get(f"/people/{lea.id}")["measured"]["reliability"] is None


def test_old_measures_say_how_old_they_are_and_whether_somebody_keeps_them(app: Any, store: Store) -> None:
    lea = Browser(app, store, "Lea", role="admin")
    kept(store, lea.id, behind=1)
    told = lea.get()["measured"]
    assert (told["current"], told["slow_current"], told["kept"]) == (False, False, False)
    assert told["as_of"]
    kept(store, lea.id, until_ms=2**50, behind=1)
    assert lea.get()["measured"]["kept"] is True


def test_nobody_but_a_lead_sees_any_of_it(app: Any, store: Store) -> None:
    ana, rev = Browser(app, store, "Ana"), Browser(app, store, "Rev", role="reviewer")
    kept(store, ana.id)
    for one in (ana, rev, Browser(app, store)):
        for path in ("", f"/people/{ana.id}"):
            got = one.http.get(f"/api/lead/p{path}")
            assert got.status_code in (401, 403), got.text
            assert "measured" not in got.text
    for path in ("/api/me", "/api/projects/p/mine", "/api/projects/p/days"):
        got = ana.http.get(path)
        assert got.status_code == 200
        assert "reliability" not in got.text
        assert "standings" not in got.text


# ── the child ────────────────────────────────────────────────────────────────


def running(child: LiveChild) -> "subprocess.Popen[bytes] | None":
    return child.child if child.child and child.child.poll() is None else None


def looked(store: Store) -> bool:
    """Whether the child has finished a look, slow figures and all."""
    with store.read() as tx:
        said = tx.value("SELECT value FROM measures WHERE name = 'live'")
    return said is not None and "slow" in json.loads(said)["true_at"]


def test_the_child_starts_with_a_leads_look_and_ends_with_the_server(store: Store) -> None:
    app = build_app(store, gradio=False, live=True)
    works = app.state.works
    try:
        Browser(app, store, "Ana").get(status=403)
        assert works.live.child is None, "an annotator's request starts nothing"
        lea = Browser(app, store, "Lea", role="admin")
        assert lea.get()["measured"]["kept"] is True
        soon(lambda: looked(store))
        lea.get()
        first = running(works.live)
        assert first
    finally:
        works.close()
    assert first.poll() is not None
    with store.read() as tx:
        said = json.loads(tx.value("SELECT value FROM measures WHERE name = 'live'"))
    assert said["by"] == "", "it gave the project back"
    assert works.live.start() is False


def test_a_child_that_dies_is_started_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_child, "PAUSE_S", (0.01, 0.01))
    child = LiveChild(store, True)
    try:
        assert child.start()
        first = soon(lambda: running(child))
        first.kill()
        assert soon(lambda: (again := running(child)) and again is not first)
    finally:
        child.close()


def test_nothing_is_started_where_it_is_not_wanted_or_curate_is_not_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LiveChild(store, False).start() is False
    monkeypatch.setattr(live_child, "_installed", lambda: False)
    assert LiveChild(store, True).start() is False


def test_the_child_ends_when_the_server_is_killed(store: Store, store_url: str, tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from annotate.live_child import LiveChild\n"
        "from data.store import open_store\n"
        "child = LiveChild(open_store(sys.argv[1]), True)\n"
        "child.start()\n"
        "while child.child is None: time.sleep(0.01)\n"
        "print(child.child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(live_child.__file__).parents[1]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", script, store_url], cwd=root, **pipes) as server:
        assert server.stdout
        pid = int(server.stdout.readline())
        soon(lambda: looked(store))
        server.kill()
    until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody asked about is over."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else _there(pid)
    except OSError:
        return False


def _there(pid: int) -> bool:
    os.kill(pid, 0)
    return True


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
