"""Verifying an export: nothing that was changed passes, whoever changed it, and it is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.accounts import add_person
from annotate.answers import submit
from annotate.assign import claim
from annotate.intake import Wishes, load_rows
from curate import export, verify
from curate.pairs import Rules, pairs_of
from curate.rows import row_of
from data import ledger
from data.errors import exit_status
from data.folder import write_folder
from data.formats.rows import Row, Vote
from data.manifest import ROWS, make_manifest, read_manifest, spell, write_row_hashes
from data.records import Judgment, Message, Prompt, Response, Task, canonical, judgment_id
from data.store import open_store


def judged(n: int, orders: list[str]) -> Row:
    """A task of three responses, ranked by as many people as there are orders, such as "bca"."""
    prompt = Prompt.make([Message(role="user", content=f"question {n}")])
    made = [Response.make(prompt.id, [Message(role="assistant", content=f"answer {n}{x}")]) for x in "abc"]
    ids = [r.id for r in made]
    votes = [
        Vote(f"judge {i}", "person", f"{n}/{i}", ids, ranking=[[ids["abc".index(x)]] for x in order])
        for i, order in enumerate(orders)
    ]
    return Row(n, f"row {n}", f"key {n}", prompt, made, votes=votes)


ROWS_IN = [judged(n, ["abc", "acb", "abc"][: n % 4]) for n in range(8)]


def make(url: str, out: Path) -> Path:
    """A project of eight tasks with 0 to 3 judgments each, exported."""
    store = open_store(url)
    load_rows(store, "sky", ROWS_IN, Wishes(kind="ranking", overlap=4), rejected=lambda r: pytest.fail(r.reason))
    store.close()
    assert exit_status(lambda: export.main(["--project", "sky", "--out", str(out), "--store", url, "--json"])) == 0
    return out


def check(out: Path, *more: str) -> int:
    return exit_status(lambda: verify.main([str(out), *more]))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    return make(f"sqlite:///{folder}/s.db", folder / "out")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "out"))


def seal_anew(out: Path, **changed: Any) -> None:
    """What somebody does who changes a folder and knows how its hashes are made."""
    manifest = read_manifest(out).model_copy(update=changed)
    (out / "manifest.json").unlink()
    (out / ROWS).unlink()
    made = make_manifest(out, manifest.what, manifest.config, manifest.inputs, write_row_hashes(out))
    (out / "manifest.json").write_bytes(spell(made))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def edit(path: Path, change: Callable[[list[Any]], Any]) -> None:
    """Let `change` work on a JSONL file's rows, in place or by returning others."""
    rows = lines(path)
    rows = change(rows) or rows
    path.write_bytes(b"".join(spelled(row) for row in rows))


def spelled(row: Any) -> bytes:
    return canonical(row) + b"\n"


def test_a_sound_export_verifies_alone_and_against_its_store(store_url: str, tmp_path: Path, capsys: Any) -> None:
    out = make(store_url, tmp_path / "out")
    capsys.readouterr()
    assert check(out) == 0
    assert "not compared" in capsys.readouterr().out
    assert check(out, "--store", store_url) == 0
    assert "verified   yes" in capsys.readouterr().out
    assert check(out, "--store", store_url, "--json") == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_changed_byte_fails_and_a_row_is_named(sound: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(p for p in sound.rglob("*") if p.is_file())))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(changed)
        faults, _ = verify.verify(sound, None)
    finally:
        path.write_bytes(whole)
    assert faults
    if path.suffix == ".jsonl":
        number = whole[:at].count(b"\n")
        row = json.loads(whole.splitlines()[number]).get("id", f"line {number + 1}")
        assert any(path.name in fault and row in fault for fault in faults), faults


def swap_chosen(rows: list[Any]) -> None:
    rows[2]["chosen"], rows[2]["rejected"] = rows[2]["rejected"], rows[2]["chosen"]


def duplicate(rows: list[Any]) -> None:
    rows.insert(1, dict(rows[1]))


def invent(rows: list[Any]) -> None:
    rows.insert(1, {**rows[1], "id": "0" * 32})


def drop(rows: list[Any]) -> None:
    del rows[1]


def set_field(name: str, value: Any) -> Callable[[list[Any]], None]:
    def change(rows: list[Any]) -> None:
        rows[1][name] = value

    return change


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("data/train.jsonl", swap_chosen, "is not what its judgments say (chosen, rejected)"),
        ("data/train.jsonl", set_field("probability", 0.99), "is not what its judgments say (probability)"),
        ("data/train.jsonl", set_field("judgment_ids", []), "is not what its judgments say (judgment_ids)"),
        ("data/train.jsonl", set_field("weight", 1), "is not what its judgments say"),
        ("data/train.jsonl", set_field("split", "test"), "is not what its judgments say (split)"),
        ("data/train.jsonl", set_field("extra", 1), "is not what its judgments say (extra)"),
        ("data/train.jsonl", drop, "is missing; the judgments of task"),
        ("data/train.jsonl", invent, "follows from no judgment"),
        ("data/train.jsonl", duplicate, "comes a second time"),
        ("data/train.jsonl", lambda rows: rows[1:] + rows[:1], "out of order"),
        ("data/train.jsonl", set_field("id", [[]]), "is missing; the judgments of task"),
        ("data/train.jsonl", lambda rows: [[1], *rows], "data/train.jsonl, line 1: no object with task_id"),
        ("audit/judgments.jsonl", set_field("annotator", "x"), "does not hash to its id"),
        ("audit/judgments.jsonl", set_field("shown", ["x"]), "audit/judgments.jsonl, line 2"),
        (
            "audit/judgments.jsonl",
            set_field("verdict", "great"),
            "audit/judgments.jsonl, line 2: field verdict",
        ),
        ("audit/judgments.jsonl", drop, ""),
        ("audit/judgments.jsonl", duplicate, "comes a second time"),
        ("audit/tasks.jsonl", set_field("prompt", {"id": "x"}), "audit/tasks.jsonl, line 2: field prompt"),
        ("audit/tasks.jsonl", set_field("kind", "ab"), "audit/tasks.jsonl, line 2"),
        ("audit/tasks.jsonl", drop, "not in audit/tasks.jsonl"),
        ("audit/left_out.jsonl", set_field("reason", "tie"), "does not follow from the judgments"),
        ("audit/left_out.jsonl", lambda rows: [r for r in rows if r["reason"] != "tie"], "not named here"),
    ],
)
def test_hashes_made_anew_do_not_hide_a_change(
    copy: Path, capsys: Any, file: str, change: Callable[[list[Any]], Any], says: str
) -> None:
    edit(copy / file, change)
    seal_anew(copy)
    assert check(copy) == 1
    told = capsys.readouterr()
    assert says in told.out
    assert "Traceback" not in told.err
    assert told.err.startswith(f"error: {copy} does not verify: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [("response", "response"), ("prompt", "prompt")],
)
def test_a_text_changed_in_task_and_rows_does_not_hash_to_its_id(copy: Path, capsys: Any, text: str, says: str) -> None:
    old, new = ("answer 1a", "answer 1A") if text == "response" else ("question 1", "question I")
    for path in [*copy.glob("data/*.jsonl"), copy / "audit/tasks.jsonl"]:
        path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    seal_anew(copy)
    assert check(copy) == 1
    assert f"{says} " in capsys.readouterr().out


def test_other_rules_than_those_told_do_not_give_these_rows(copy: Path, capsys: Any) -> None:
    config = read_manifest(copy).config
    seal_anew(copy, config={**config, "rules": {**config["rules"], "prior": "0"}})
    assert check(copy) == 1
    seal_anew(copy, config={**config, "rules": {**config["rules"], "prior": "1e99999999"}})
    assert check(copy) == 1
    seal_anew(copy, config={"project": "sky", "rules": [1]})
    assert check(copy) == 1
    assert "describes no export" in capsys.readouterr().out


def forge(out: Path) -> str:
    """Turn one judgment round and make everything in the folder agree with it; returns its new id."""
    rules = Rules()
    tasks = {t["id"]: Task.model_validate(t) for t in lines(out / "audit/tasks.jsonl")}
    judgments = [Judgment.model_validate(j) for j in lines(out / "audit/judgments.jsonl")]
    assert judgments[0].ranking is not None
    turned = judgments[0].model_copy(update={"ranking": judgments[0].ranking[::-1]})
    judgments[0] = turned.model_copy(update={"id": judgment_id(turned)})
    by_split: dict[str, list[bytes]] = {}
    gaps: list[bytes] = []
    for task_id in sorted(tasks):
        own = [j for j in judgments if j.task_id == task_id]
        pairs, left_out = pairs_of(tasks[task_id], own, rules)
        gaps += [spelled(gap._asdict()) for gap in left_out]
        for pair in pairs:
            by_split.setdefault(pair.split, []).append(row_of(pair) + b"\n")
    for split, rows in by_split.items():
        (out / "data" / f"{split}.jsonl").write_bytes(b"".join(rows))
    (out / "audit/left_out.jsonl").write_bytes(b"".join(gaps))
    (out / "audit/judgments.jsonl").write_bytes(b"".join(j.line() + b"\n" for j in judgments))
    seal_anew(out)
    return judgments[0].id


def test_a_folder_forged_throughout_is_found_by_its_store(store_url: str, tmp_path: Path, capsys: Any) -> None:
    out = make(store_url, tmp_path / "out")
    made = forge(out)
    assert check(out) == 0  # it agrees with itself: a folder alone cannot show more
    capsys.readouterr()
    assert check(out, "--store", store_url) == 1
    told = capsys.readouterr().out
    assert "ledger: no export of 'sky' has the digest" in told
    assert f"judgment {made}: none that counted in the store" in told
    assert "counted when this was exported, and is not in audit/judgments.jsonl" in told


def test_a_judgment_left_out_throughout_is_found_by_its_store(store_url: str, tmp_path: Path, capsys: Any) -> None:
    out = make(store_url, tmp_path / "out")
    task_id = lines(out / "audit/judgments.jsonl")[0]["task_id"]
    for path in [*out.glob("data/*.jsonl"), out / "audit/judgments.jsonl", out / "audit/left_out.jsonl"]:
        edit(path, lambda rows: [r for r in rows if r["task_id"] != task_id])
    edit(out / "audit/tasks.jsonl", lambda rows: [r for r in rows if r["id"] != task_id])
    seal_anew(out)
    assert check(out) == 0
    assert check(out, "--store", store_url) == 1
    assert f"task {task_id} counted when this was exported" in capsys.readouterr().out


STORE_CHANGES = [
    ("UPDATE judgments SET record = replace(record, '\"ranking\":[[', '\"ranking\":[ [')", "not what event"),
    (
        "UPDATE ledger SET detail = replace(detail, 'tasks', 'tusks') WHERE seq = 3",
        "event 3 (import) was changed",
    ),
    ("DELETE FROM ledger WHERE kind = 'export'", "ledger: no export of 'sky'"),
    ("DELETE FROM judgments", "gone, event"),
    ("UPDATE task_records SET record = replace(record, 'question', 'Question')", "not what event"),
]


@pytest.mark.parametrize(("change", "says"), STORE_CHANGES)
def test_a_store_changed_behind_the_ledger_is_found(
    store_url: str, tmp_path: Path, capsys: Any, change: str, says: str
) -> None:
    out = make(store_url, tmp_path / "out")
    store = open_store(store_url)
    with store.write() as tx:
        assert tx.run(change.replace(":[ [", r"\:[ [").replace(":[[", r"\:[[")) > 0
    store.close()
    assert check(out) == 0
    capsys.readouterr()
    assert check(out, "--store", store_url) == 1
    assert says in capsys.readouterr().out


def test_a_ledger_cut_off_cleanly_shows_against_the_head_the_export_kept(
    store_url: str, tmp_path: Path, capsys: Any
) -> None:
    out = make(store_url, tmp_path / "out")
    store = open_store(store_url)
    with store.write() as tx:
        tx.run("DELETE FROM ledger WHERE seq > 1")
        first = tx.one("SELECT project, hash FROM ledger WHERE seq = 1")
        assert first is not None
        tx.run("UPDATE projects SET head_seq = 1, head_hash = :hash", hash=first.hash)
    store.close()
    assert check(out, "--store", store_url) == 1
    assert "cut off at event 1" in capsys.readouterr().out


def test_work_that_goes_on_after_an_export_does_not_disturb_it(store_url: str, tmp_path: Path) -> None:
    out = make(store_url, tmp_path / "out")
    store = open_store(store_url)
    with store.write() as tx:
        add_person(tx, "Ada", ["sky"], "annotator", ["en"])
        person = tx.value("SELECT id FROM people WHERE name = 'Ada'")
        project = tx.value("SELECT id FROM projects")
    for _ in range(3):
        with store.write() as tx:
            lease = claim(tx, project, person)
            assert lease is not None
        with store.write() as tx:
            shown = json.loads(tx.value("SELECT shown FROM leases WHERE token = :t", t=lease.token))
            submit(tx, person, lease.token, {"verdict": "answered", "ranking": [[r] for r in shown]})
    with store.read() as tx:
        assert ledger.verify(tx, project) == []
    store.close()
    assert check(out, "--store", store_url) == 0
    later = tmp_path / "later"
    assert exit_status(lambda: export.main(["--project", "sky", "--out", str(later), "--store", store_url])) == 0
    assert check(later, "--store", store_url) == check(out, "--store", store_url) == 0
    assert read_manifest(later).digest != read_manifest(out).digest


def test_many_faults_are_ten_lines_and_a_count(copy: Path, capsys: Any) -> None:
    edit(copy / "data/train.jsonl", lambda rows: [{**r, "licence": "mine"} for r in rows])
    assert check(copy) == 1
    told = capsys.readouterr()
    n = len((copy / "data/train.jsonl").read_bytes().splitlines())
    assert n > 10
    assert told.out.count("\n") == 10
    assert told.err == f"error: {copy} does not verify: {n} things do not fit, 10 of them named above\n"
    assert check(copy, "--json") == 1
    assert len(json.loads(capsys.readouterr().out)["faults"]) == n


def test_nothing_to_verify_is_one_line_and_status_2(tmp_path: Path, capsys: Any, sound: Path) -> None:
    assert check(tmp_path / "nowhere") == 2
    told = "is not there; name a folder that one of the commands wrote"
    assert capsys.readouterr().err == f"error: {tmp_path}/nowhere {told}\n"
    assert check(tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert check(sound, "--store", f"sqlite:///{tmp_path}/none.db") == 2
    assert "there is no store" in capsys.readouterr().err
    open_store(f"sqlite:///{tmp_path}/empty.db").close()
    assert check(sound, "--store", f"sqlite:///{tmp_path}/empty.db") == 2
    assert "there is no project 'sky'" in capsys.readouterr().err


def other_folder(out: Path, what: str) -> Path:
    with write_folder(out, what, {"seed": 1}) as folder:
        folder.write("data/train.jsonl", [{"id": "x", "text": "one"}, {"id": "y", "text": "two"}])
        folder.write("audit/tasks.jsonl", [{"id": "z"}])
        write_row_hashes(folder.path)
    return out


@pytest.mark.parametrize("what", ["snapshot", "dedup", "split", "self_instruct"])
def test_a_folder_of_another_command_is_checked_byte_by_byte_and_named(what: str, tmp_path: Path, capsys: Any) -> None:
    out = other_folder(tmp_path / "out", what)
    assert check(out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["what"], told["verified"], told["rows"]) == (what, True, 2)
    assert "rows are proved for exports only" in told["proved"]
    assert told["digest"] == read_manifest(out).digest
    path = out / "data/train.jsonl"
    path.write_text(path.read_text().replace("two", "2"))
    assert check(out) == 1
    assert "y" in capsys.readouterr().out
    assert check(out, "--store", f"sqlite:///{tmp_path}/none.db") == 1


def test_only_an_export_is_held_against_a_store(tmp_path: Path, capsys: Any) -> None:
    assert check(other_folder(tmp_path / "out", "dedup"), "--store", f"sqlite:///{tmp_path}/none.db") == 2
    assert "only an export fits a store" in capsys.readouterr().err


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("config", [{}, {"config": {"seed": 1}}])
def test_an_export_called_something_else_is_refused_not_waved_through(
    copy: Path, capsys: Any, edited: bool, config: dict[str, Any]
) -> None:
    if edited:
        edit(copy / "data/train.jsonl", swap_chosen)
    seal_anew(copy, what="dedup", **config)
    assert check(copy) == 1
    assert "the manifest describes no export, but 'dedup'" in capsys.readouterr().out


def test_the_real_pairwise_file_exports_and_verifies(
    real: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from annotate.load import main as load

    file = str(real / "pandalm" / "testset-v1.json")
    monkeypatch.setattr("sys.argv", ["load", file, "--project", "p", "--kind", "ab", "--overlap", "3"])
    assert exit_status(load) == 0
    out = tmp_path / "out"
    assert exit_status(lambda: export.main(["--project", "p", "--out", str(out)])) == 0
    assert check(out, "--store") == 0
    path = out / "data" / "train.jsonl"
    whole = path.read_bytes()
    row = json.loads(whole.splitlines()[7])["id"]
    at = whole.index(row.encode()) - 40
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    capsys.readouterr()
    assert check(out) == 1
    assert capsys.readouterr().out == f"data/train.jsonl, line 8: row {row} was changed\n"
