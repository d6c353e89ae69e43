"""Plain tables made elsewhere: every format alike, bad rows named by line, numbering free of order."""

from pathlib import Path
from typing import Any

import pytest

from curate.engine import engine
from curate.tables import read_comparisons, read_labels, read_tally, read_texts
from data.errors import BadInput, NotThere

LABELS = "unit,annotator,value\nu1,a,1\nu1,b,1.0\nu2,a,2\nu2,b,\nu10,a,3\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def labels(*paths: Path, **names: Any) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The labels with their names for units, annotators and values, sorted; and what was rejected."""
    bad: list[dict[str, Any]] = []
    with engine(threads=2) as con:
        t = read_labels(con, paths, rejected=bad.append, **names)
        rows = con.execute(
            f"SELECT u.name, a.name, v.name FROM {t} l JOIN {t}_units u ON u.id = l.unit"
            f" JOIN {t}_annotators a ON a.id = l.annotator JOIN {t}_values v ON v.id = l.value ORDER BY ALL"
        ).fetchall()
    return rows, bad


def test_every_format_gives_the_same_labels(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    csv = written(tmp_path, "a.csv", LABELS)
    tsv = written(tmp_path, "a.tsv", LABELS.replace(",", "\t"))
    semicolons = written(tmp_path, "b[1]*.csv", LABELS.replace(",", ";"))
    lines = '{"unit":"u1","annotator":"a","value":1}\n{"unit":"u1","annotator":"b","value":1.0}\n'
    lines += '{"unit":"u2","annotator":"a","value":2}\n{"unit":"u2","annotator":"b","value":null}\n'
    jsonl = written(tmp_path, "a.jsonl", lines + '{"unit":"u10","annotator":"a","value":3}\n')
    columns = {"unit": ["u1", "u1", "u2", "u2", "u10"], "annotator": list("ababa"), "value": [1, 1, 2, None, 3]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    expected = [("u1", "a", "1"), ("u1", "b", "1"), ("u10", "a", "3"), ("u2", "a", "2")]
    for path in (csv, tsv, semicolons, jsonl, tmp_path / "a.parquet"):
        assert labels(path) == (expected, []), path


def test_bad_rows_are_named_by_line_and_the_others_kept(tmp_path: Path) -> None:
    text = 'unit,annotator,value\nu1,a,x\n,b,y\nu2,b\n"u\n3",c,z\nu9,c\udcff,w\nu4,"d",v\n'
    rows, bad = labels(written(tmp_path, "a.csv", text))
    assert rows == [("u\n3", "c", "z"), ("u1", "a", "x"), ("u4", "d", "v")]
    assert {(b["line"], b["reason"]) for b in bad} == {
        (3, "no unit"),
        (4, "2 fields where the header has 3"),
        (7, "not UTF-8; save the file as UTF-8"),
    }
    rows, bad = labels(
        written(
            tmp_path,
            "a.jsonl",
            '{"unit":1,"annotator":[2],"value":3}\nnot json\n[]\n{"unit":1,"annotator":2,"value":3}\n',
        )
    )
    assert rows == [("1", "2", "3")]
    assert [b["line"] for b in bad] == [1, 2, 3]


def test_numbers_do_not_depend_on_the_order_of_rows_or_files(tmp_path: Path) -> None:
    one = written(tmp_path, "a.csv", "unit,annotator,value\n10,甲,好\n9,b,坏\n")
    two = written(tmp_path, "b.csv", "unit,annotator,value\nx,b,坏\n9,甲,好\n")
    with engine() as con:
        made = [
            [
                con.execute(f"FROM {t}{part} ORDER BY ALL").fetchall()
                for part in ("", "_units", "_annotators", "_values")
            ]
            for order in ((one, two), (two, one))
            if (t := read_labels(con, order))
        ]
    assert made[0] == made[1]
    assert [name for _, name in made[0][1]] == ["9", "10", "x"]


def test_a_missing_value_is_counted_and_a_misspelt_column_meets_a_hint(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", LABELS)
    with engine() as con:
        t = read_labels(con, [path])
        assert read_tally(con, t) == [(str(path), 4, 1, 0)]
        with pytest.raises(BadInput, match=r"no column 'units'.*did you mean --unit unit\?"):
            read_labels(con, [path], unit="units")
        with pytest.raises(NotThere, match=r"did you mean 'a\.csv'"):
            read_labels(con, [tmp_path / "aa.csv"])
        with pytest.raises(BadInput, match="no row can be used"):
            read_labels(con, [written(tmp_path, "e.csv", "unit,annotator,value\n,,\n")])


def test_comparisons_name_the_winner_or_its_side(tmp_path: Path) -> None:
    text = "item_a,item_b,winner\nx,y,x\nx,z,model_b\ny,z,tie\nx,x,a\nx,y,who\n1,2,2\n"
    bad: list[dict[str, Any]] = []
    with engine() as con:
        t = read_comparisons(con, [written(tmp_path, "c.csv", text)], rejected=bad.append)
        names = con.execute(
            f"SELECT x.name, y.name, winner, n.name FROM {t} c JOIN {t}_items x ON x.id = item_a"
            f" JOIN {t}_items y ON y.id = item_b JOIN {t}_annotators n ON n.id = annotator ORDER BY ALL"
        ).fetchall()
    assert names == [("1", "2", 2, ""), ("x", "y", 1, ""), ("x", "z", 2, ""), ("y", "z", 0, "")]
    assert [b["line"] for b in bad] == [5, 6]


def test_texts_come_as_they_are_with_their_line(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", 'id,text\na," two\nlines "\nb,\n')
    with engine() as con:
        t = read_texts(con, [path])
        assert con.execute(f"SELECT line, id, text FROM {t} ORDER BY line").fetchall() == [
            (2, "a", " two\nlines "),
            (4, "b", ""),
        ]
