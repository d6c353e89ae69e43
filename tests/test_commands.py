"""The annotate commands as one types them: what good use prints, and one line for everything that is wrong."""

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Postgres
from serving import add_person, load, served

from annotate import accounts, projects
from data.errors import StoreDown
from data.records import Judgment, Message, Prompt, Response, Task
from data.store import open_store

UNREACHABLE = "postgresql://postgres@127.0.0.1:1/concord"


def run(*words: str | Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    """A command of annotate, from a terminal in the repository."""
    room, *rest = map(str, words)
    argv = [sys.executable, "-m", f"annotate.{room}", *rest]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, **more)


def said(*words: str | Path) -> str:
    """What a command that works prints; nothing is on stderr."""
    ended = run(*words)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return ended.stdout


def refused(*words: str | Path) -> str:
    """The one line of a command that cannot work: status 2, nothing on stdout, no traceback."""
    ended = run(*words)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def row(key: str, responses: int = 2, text: str = "answer") -> dict[str, Any]:
    return {"id": key, "prompt": f"question {key}", "responses": [{"text": f"{text} {n}"} for n in range(responses)]}


def lines(path: Path, *rows: Any) -> Path:
    """A file of JSON lines; text goes in as it is."""
    path.write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows), "utf-8")
    return path


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Where the commands keep their store in these tests (conftest sets CONCORD_STORE)."""
    return tmp_path / "concord.db"


def names(db: Path) -> list[str]:
    """The projects in a store; none when there is no store."""
    if not db.exists():
        return []
    store = open_store(f"sqlite:///{db}")
    with store.read() as tx:
        found = [p.name for p in projects.all_projects(tx)]
    store.close()
    return found


def content(db: Path) -> list[str]:
    """Everything a store holds, as SQL."""
    with sqlite3.connect(db) as connection:
        held = list(connection.iterdump())
    connection.close()
    return held


@pytest.fixture(scope="module")
def demo_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with the project demo: three tasks, two judgments each, and Ana."""
    folder = tmp_path_factory.mktemp("demo")
    url = f"sqlite:///{folder}/concord.db"
    load(url, lines(folder / "demo.jsonl", *map(row, "abc")), "demo", overlap=2)
    add_person(url, "Ana", ["demo"])
    return folder / "concord.db"


@pytest.fixture
def loaded(demo_db: Path, db: Path) -> Path:
    """A copy of that store, where the commands look."""
    shutil.copy(demo_db, db)
    return db


# ── good use ─────────────────────────────────────────────────────────────────


def test_load_says_what_it_recognised_and_how_much(tmp_path: Path) -> None:
    file = lines(tmp_path / "in.jsonl", row("a"), row("b", text=""), row("c", 3))
    out = said("load", file, "--project", "demo", "--kind", "ranking", "--overlap", "3", "--title", "Démo 示例")
    told = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in out.splitlines())
    assert told["project"] == "demo"
    assert told["format"] == "tasks"
    assert told["tasks"] == "3"
    assert "rejected" not in told
    status = json.loads(said("status", "--project", "demo", "--json"))
    assert (status["tasks"], status["judgments_needed"], status["state"]) == (3, 9, "open")


def test_load_again_adds_nothing_and_json_says_so(tmp_path: Path, db: Path) -> None:
    file = lines(tmp_path / "in.jsonl", row("a"), row("b"))
    words = ("load", file, "--project", "demo", "--json")
    first = json.loads(said(*words))
    assert (first["tasks"], first["known"], first["rejected"]) == (2, 0, 0)
    before = content(db)
    again = json.loads(said(*words))
    assert (again["tasks"], again["known"]) == (0, 2)
    assert content(db) == before


def test_a_second_batch_and_guidelines_go_into_a_project_that_is_there(loaded: Path, tmp_path: Path) -> None:
    (tmp_path / "guide.zh.md").write_text("# 指南\n", "utf-8")
    more = lines(tmp_path / "more.jsonl", row("d"))
    told = json.loads(
        said("load", more, "--project", "demo", "--guidelines", tmp_path / "guide.zh.md", "--priority", "5", "--json")
    )
    assert told["tasks"] == 1
    assert re.fullmatch("[0-9a-f]{12}", told["guidelines"])
    assert json.loads(said("status", "--project", "demo", "--json"))["tasks"] == 4


def test_people_are_added_listed_relinked_deactivated_and_erased(loaded: Path) -> None:
    out = said(
        "people", "add", "Wei 小伟", "--languages", "en,zh", "--project", "demo", "--url", "https://x.test/label/"
    )
    link = re.search(r"https://x\.test/label/join/(\S+)", out)
    assert link
    again = json.loads(said("people", "relink", "Wei 小伟", "--json"))
    assert again["link"].startswith("http://127.0.0.1:7860/join/")
    assert link[1] not in again["link"]
    said("people", "deactivate", "Wei 小伟")
    listed = {p["name"]: p for p in json.loads(said("people", "list", "--json"))}
    assert {name: p["active"] for name, p in listed.items()} == {"Ana": 1, "Wei 小伟": 0}
    assert "deactivated" in refused("people", "add", "Wei 小伟", "--project", "demo")
    said("people", "erase", "Wei 小伟")
    out = said("people", "list", "--workspace", str(loaded.parent))
    assert "小伟" not in out
    assert "(erased)" in out
    assert listed["Wei 小伟"]["id"] in out  # the random id stays: proofs refer to it


def test_status_says_where_every_project_stands(loaded: Path, tmp_path: Path) -> None:
    said("load", lines(tmp_path / "o.jsonl", row("z")), "--project", "other")
    both = json.loads(said("status", "--json"))
    assert [p["project"] for p in both] == ["demo", "other"]
    assert (both[0]["tasks"], both[0]["judgments_needed"]) == (3, 6)
    assert both[0]["out_of_reach"] == 3  # two judgments each, and Ana is alone
    out = said("status")
    assert re.search(r"^project +demo$", out, re.M)
    assert re.search(r"^project +other$", out, re.M)


def test_status_counts_what_models_and_rules_judged_apart_from_people(tmp_path: Path) -> None:
    prompt = Prompt.make([Message(role="user", content="q")])
    two = [Response.make(prompt.id, [Message(role="assistant", content=text)]) for text in "ab"]
    task = Task.make("made", "ab", prompt, two, overlap=2)
    said_by = [("model", "m", 0.25), ("model", "m", 0.5), ("rule", "r", 1.0)]
    judgments = [
        Judgment.make(task_id=task.id, annotator=a, annotator_kind=k, shown=[r.id for r in two], probability=p).plain()
        for k, a, p in said_by
    ]
    file = lines(tmp_path / "judged.jsonl", {**task.plain(), "judgments": judgments})
    assert json.loads(said("load", file, "--project", "demo", "--json"))["judgments"] == 3
    status = json.loads(said("status", "--project", "demo", "--json"))
    assert (status["model_judgments"], status["rule_judgments"]) == (2, 1)
    assert (status["judgments_done"], status["judgments_needed"], status["people"]) == (0, 2, {})


def test_serve_says_its_address_and_works_on_the_store_named(loaded: Path) -> None:
    import httpx

    with served(f"sqlite:///{loaded}", "--base-path", "tool/") as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/tool", server.url)
        assert httpx.get(f"{server.url}/signin").status_code == 200
        assert server.errors() == ""


def test_demo_loads_the_sample_once_prints_links_and_keeps_the_work(db: Path) -> None:
    import httpx

    argv = [sys.executable, "-m", "annotate.demo", "--port", "0"]
    ids = []
    for _ in range(2):
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stderr
        try:
            out = ""
            while out.count("/join/") < 4:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                out += line
            links = re.findall(r"http://\S+/join/\S+", out)
            assert httpx.get(links[0]).status_code == 200, out
        finally:
            process.terminate()
            process.communicate(timeout=20)
        assert json.loads(said("status", "--project", "sample", "--json"))["tasks"] >= 38
        ids.append({p["name"]: p["id"] for p in json.loads(said("people", "list", "--json"))})
    assert len(ids[0]) == 4
    assert ids[0] == ids[1]


# ── bad input ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (['{"id":"c","prompt":"q'], "line 1: not JSON: unexpected end of data"),
        ([row("a", 1)], "line 1: 1 response; a task needs 2 to 9"),
        ([row("a", 10)], "line 1: 10 responses; a task needs 2 to 9"),
        (
            [{**row("a"), "responses": [{"text": "x" * 10_000_000}, {"text": "y"}]}],
            "line 1: response 1 has 10,000,000 characters; the limit is 1,000,000",
        ),
        ([{**row("a"), "responses": [{"text": "x"}, {"text": None}]}], "line 1: "),
        ([], "is empty"),
        (["[1, 2]\n"], "line 1"),
    ],
    ids=["truncated", "one response", "ten responses", "10 MB", "null response", "empty file", "a list"],
)
def test_a_file_with_nothing_to_load_is_one_line_and_makes_no_project(
    rows: list[Any], reason: str, tmp_path: Path, db: Path
) -> None:
    assert reason in refused("load", lines(tmp_path / "in.jsonl", *rows), "--project", "new")
    assert names(db) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1"])
def test_a_wrong_encoding_is_said_and_makes_no_project(encoding: str, tmp_path: Path, db: Path) -> None:
    file = tmp_path / "in.jsonl"
    line = json.dumps(row("é"), ensure_ascii=False)
    file.write_bytes(f"{line}\n".encode(encoding))
    told = refused("load", file, "--project", "new")
    assert str(file) in told
    assert "UTF-8" in told or encoding == "utf-16-be"  # without a mark its bytes are legal UTF-8, full of NUL
    assert names(db) == []


def test_bad_lines_among_good_ones_are_kept_with_their_reason(tmp_path: Path) -> None:
    file = lines(tmp_path / "in.jsonl", row("a"), row("b", 1), row("a", text="other"), row("c"), '{"id": "d", "prom')
    told = json.loads(said("load", file, "--project", "new", "--json"))
    assert (told["tasks"], told["rejected"]) == (2, 3)
    kept = [json.loads(line) for line in Path(told["rejected_to"]).read_text("utf-8").splitlines()]
    assert [k["where"] for k in kept] == ["in.jsonl, line 2", "in.jsonl, line 3", "in.jsonl, line 5"]
    assert [k["raw"] for k in kept] == [file.read_text("utf-8").splitlines()[n] for n in (1, 2, 4)]
    assert "other content" in kept[1]["reason"]
    assert told["first_reason"] == f"{kept[0]['where']}: {kept[0]['reason']}"


def test_an_id_that_is_in_the_project_with_other_content_changes_nothing(loaded: Path, tmp_path: Path) -> None:
    before = content(loaded)
    told = refused("load", lines(tmp_path / "in.jsonl", row("a", text="other")), "--project", "demo")
    assert "id 'a' is in project 'demo' already, with other content" in told
    assert content(loaded) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["load", "absent.jsonl", "--project", "demo"], "absent.jsonl is not there"),
        (["load", "FILE", "--project", "a/b"], "a project's name is"),
        (["load", "FILE", "--project", "demo", "--overlap", "0"], "--overlap is 0"),
        (["load", "FILE", "--project", "demo", "--overlap", "two"], "--overlap"),
        (["load", "FILE", "--project", "demo", "--kind", "rankin"], "did you mean 'ranking'"),
        (["load", "FILE", "--project", "demo", "--format", "task"], "--format: 'task' is none of"),
        (["load", "FILE", "--project", "demo", "--formt", "tasks"], "did you mean '--format'"),
        (["load", "FILE", "--project", "demo", "--format", "pairs"], "instruction"),
        (["load", "FILE", "--project", "demo", "--criteria", "FILE", "--kind", "rating"], "criteri"),
        (["load", "FILE", "--project", "demo", "--guidelines", "absent.md"], "absent.md"),
        (["load", "FILE"], "needed: --project"),
        (["people", "add", "Ben", "--project", "dem"], "did you mean 'demo'"),
        (["people", "add", "Ben", "--project", "demo", "--role", "boss"], "'boss' is none of"),
        (["people", "add", "Ben", "--project", "demo", "--languages", "?"], "languages are codes"),
        (["people", "add", "a/b", "--project", "demo"], "a person's name is"),
        (["people", "relink", "Anna"], "did you mean 'Ana'"),
        (["people", "lst"], "did you mean 'list'"),
        (["status", "--project", "demon"], "did you mean 'demo'"),
        (["status", "demo"], "one word too many"),
        (["serve", "--port", "99999"], "99999"),
        (["serve", "--port", "-1"], "-1"),
        (["serve", "--port", "http"], "--port"),
        (["serve", "--host", "nowhere.invalid"], "nowhere.invalid"),
        (["serve", "--base-path", "/a b"], "--base-path"),
        (["serve", "--lease-minutes", "0"], "--lease-minutes"),
        (["serve", "--prot", "80"], "did you mean '--port'"),
        (["demo", "--port", "70000"], "70000"),
        (["load", "FILE", "--project", "demo", "--store", "mysql://x/y"], "mysql"),
        (["status", "--store", "nonsense"], "'nonsense' is no store URL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_one_line_and_changes_nothing(
    words: list[str], says: str, loaded: Path, tmp_path: Path
) -> None:
    file = lines(tmp_path / "file.jsonl", row("x"))
    before = content(loaded)
    assert says in refused(*(str(file) if w == "FILE" else w for w in words))
    assert content(loaded) == before


@pytest.mark.parametrize("words", [["status"], ["people", "list"], ["people", "add", "A", "--project", "p"]])
def test_reading_a_store_that_is_not_there_makes_none(words: list[str], db: Path) -> None:
    assert "there is no store at" in refused(*words)
    assert not db.exists()


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_in_use_is_said_before_anything_slow(command: str, loaded: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        before = content(loaded)
        told = refused(command, "--port", port)
        assert content(loaded) == before  # the demo made no sample, and no new links
        assert f"port {port} on 127.0.0.1 cannot be used" in told
        assert 'make demo ARGS="--port' in told  # most meet it behind make, which takes no flags
        assert "--port" in told
        # "before anything slow": gradio and uvicorn were not imported yet.
        code = (
            "import sys, runpy; sys.argv = ['x', '--port', sys.argv[1]]\n"
            f"try: runpy.run_module('annotate.{command}', run_name='__main__')\n"
            "except SystemExit as end: print(end.code, sorted({'gradio', 'uvicorn', 'fastapi'} & set(sys.modules)))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, port], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.stdout == "2 []\n", ended.stderr


COMMANDS = [
    ["load", "FILE", "--project", "demo"],
    ["people", "add", "Ben", "--project", "demo"],
    ["status"],
    ["serve", "--port", "0"],
    ["demo", "--port", "0"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_store_from_a_newer_version_is_left_alone(words: list[str], loaded: Path, tmp_path: Path) -> None:
    with sqlite3.connect(loaded) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
    connection.close()
    before = content(loaded)
    file = lines(tmp_path / "file.jsonl", row("x"))
    told = refused(*(str(file) if w == "FILE" else w for w in words))
    assert "schema 999" in told
    assert "install a newer Concord" in told
    assert content(loaded) == before


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_postgresql_that_is_down_is_one_line(words: list[str], tmp_path: Path) -> None:
    file = lines(tmp_path / "file.jsonl", row("x"))
    told = refused(*(str(file) if w == "FILE" else w for w in words), "--store", UNREACHABLE.replace("@", ":secret@"))
    assert "127.0.0.1:1/concord: the store does not answer" in told
    assert "secret" not in told


@pytest.fixture
def stopped_pg(stoppable_pg: Postgres) -> Iterator[str]:
    url = stoppable_pg.create()
    said("load", ROOT / "data/sample/tasks.jsonl", "--project", "demo", "--store", url)
    stoppable_pg.stop()
    yield url
    stoppable_pg.start()


def test_a_postgresql_that_was_stopped_is_one_line(stopped_pg: str) -> None:
    assert "does not answer" in refused("status", "--store", stopped_pg)
    with pytest.raises(StoreDown):
        open_store(stopped_pg)


# ── the real files ───────────────────────────────────────────────────────────


def test_the_real_predictions_make_252_tasks_of_8(real: Path, db: Path) -> None:
    files = sorted((real / "self_instruct_human_eval").glob("*_predictions.jsonl"))
    words = ("load", *files, "--project", "real", "--kind", "ranking", "--overlap", "3", "--json")
    first = json.loads(said(*words))
    assert {key: first[key] for key in ("tasks", "rejected", "with_empty", "with_identical")} == {
        "tasks": 252,
        "rejected": 0,
        "with_empty": 50,
        "with_identical": 87,
    }
    with sqlite3.connect(db) as connection:
        sizes = {
            len(json.loads(record)["responses"]) for (record,) in connection.execute("SELECT record FROM task_records")
        }
        slots = connection.execute("SELECT COUNT(*) FROM slots").fetchone()[0]
    connection.close()
    assert sizes == {8}
    assert slots == 252 * 3
    before = content(db)
    again = json.loads(said(*words))
    assert (again["tasks"], again["known"]) == (0, 252)
    assert content(db) == before


def test_the_real_pandalm_file_makes_993_pairs_and_2979_judgments(real: Path, db: Path) -> None:
    words = ("load", real / "pandalm" / "testset-v1.json", "--project", "panda", "--json")
    first = json.loads(said(*words))
    assert (first["tasks"], first["judgments"], first["rejected"]) == (993, 2979, 6)
    kept = [json.loads(line) for line in Path(first["rejected_to"]).read_text("utf-8").splitlines()]
    assert len(kept) == 6
    assert all(re.search(r"response[12] is .+, not text", k["reason"]) for k in kept)
    before = content(db)
    again = json.loads(said(*words))
    assert (again["tasks"], again["judgments"], again["known"]) == (0, 0, 993)
    assert content(db) == before
    status = json.loads(said("status", "--project", "panda", "--json"))
    assert (status["tasks_done"], status["judgments_done"]) == (993, 2979)


def test_an_old_link_ends_when_a_new_one_is_made(loaded: Path) -> None:
    old = json.loads(said("people", "relink", "Ana", "--json"))["link"].rpartition("/")[2]
    new = json.loads(said("people", "relink", "Ana", "--json"))["link"].rpartition("/")[2]
    store = open_store(f"sqlite:///{loaded}")
    with store.read() as tx:
        assert accounts.link_owner(tx, old) is None
        assert accounts.link_owner(tx, new) is not None
    store.close()
