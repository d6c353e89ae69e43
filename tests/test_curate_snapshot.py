"""The store frozen as Parquet: the same bytes each time, both back ends, no names, the ledger's head."""

import json
from pathlib import Path
from typing import Any

import pytest
from made import add, load, row

from curate.engine import engine
from curate.frozen import TABLES, choose_project, open_snapshot
from curate.snapshot import main
from data.errors import BadInput, NotThere, exit_status
from data.store import open_store


def fill(url: str) -> None:
    """Two tasks, one judged by two people and a model, one by nobody; and somebody with a name."""
    store = open_store(url)
    said: list[dict[str, Any]] = [
        {"annotator": "x", "ratings": {}},
        {"annotator": "y"},
        {"annotator": "m", "annotator_kind": "model", "model": "judge-1"},
    ]
    load(store, [row(1, votes=said, language="zh"), row(2)], project="sample", overlap=3)
    add(store, "Zhang Wei 张伟", project="sample")
    store.close()


def digest_of(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text("utf-8"))["digest"])


def test_a_snapshot_holds_what_the_store_holds_on_both_back_ends(store_url: str, tmp_path: Path) -> None:
    fill(store_url)
    assert main(["--out", str(tmp_path / "one"), "--store", store_url]) == 0
    assert main(["--out", str(tmp_path / "two"), "--store", store_url]) == 0
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")
    with engine() as con:
        heads = open_snapshot(con, tmp_path / "one")
        assert choose_project(con, None) == "sample"
        tasks = con.execute("SELECT kind, language, overlap, gold, count(record) FROM tasks GROUP BY ALL").fetchall()
        assert sorted(tasks, key=str) == [("ranking", "zh", 3, False, 1), ("ranking", None, 3, False, 1)]
        responses = con.execute("SELECT place, model, text FROM responses ORDER BY task, place").fetchall()
        assert [r[0] for r in responses] == [0, 1, 2] * 2
        assert responses[1][1:] in {("secret-model-1", "answer 1 to q1"), ("secret-model-1", "answer 1 to q2")}
        kinds = con.execute(
            "SELECT annotator_kind, count(*), min(len(shown)), min(len(ranking)), any_value(model), bool_or(superseded)"
            " FROM judgments GROUP BY ALL ORDER BY 1"
        ).fetchall()
        assert kinds == [("model", 1, 3, 1, "judge-1", False), ("person", 2, 3, 1, None, False)]
        last = con.execute("SELECT hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        assert last == (heads["sample"]["hash"],)


def test_a_snapshot_holds_no_name(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path}/concord.db")
    assert main(["--out", str(tmp_path / "one")]) == 0
    with engine() as con:
        open_snapshot(con, tmp_path / "one")
        for table in TABLES:
            assert "Zhang" not in str(con.execute(f"SELECT * FROM {table}").fetchall())


def test_a_changed_snapshot_is_not_opened(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path}/concord.db")
    assert main(["--out", str(tmp_path / "one")]) == 0
    file = tmp_path / "one" / "data" / "tasks.parquet"
    file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
    with engine() as con, pytest.raises(BadInput, match=r"tasks\.parquet"):
        open_snapshot(con, tmp_path / "one")


def test_a_misspelt_project_meets_the_nearest_name(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path}/concord.db")
    assert main(["--out", str(tmp_path / "one")]) == 0
    with engine() as con:
        open_snapshot(con, tmp_path / "one")
        with pytest.raises(NotThere, match="did you mean 'sample'"):
            choose_project(con, "sampel")


def test_no_store_is_said_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(lambda: main(["--out", str(tmp_path / "one")])) == 2
    assert "there is no store" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
