"""Bad lines: each kind is rejected with a reason that names the field, and the lines after it still come."""

import csv
import gzip
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput
from data.formats import Reject, Row, read
from data.records import Message, Prompt, Response, Task

GOOD = {"prompt": "p", "responses": ["a", "b"]}


def reasons(path: Path, **how: Any) -> list[str | None]:
    """For each row of a file the reason of its rejection, None where it is good."""
    return [r.reason if isinstance(r, Reject) else None for r in read([str(path)], **how).rows]


def lines(path: Path, *rows: Any) -> Path:
    """A JSON-lines file of these values; bytes go in as they are."""
    path.write_bytes(b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in rows))
    return path


BAD_TASKS: list[tuple[Any, str]] = [
    (b"{torn", "not JSON"),
    (b'{"prompt": "\xff"}', "not UTF-8 (byte 12: 0xff); save the file as UTF-8"),
    (b'{"prompt": "\\ud800", "responses": ["a", "b"]}', "surrogate"),
    (b'{"prompt": "p", "responses": ["a", "\\udc00"]}', "surrogate"),
    (["a"], "the row is a list; an object with named fields is needed"),
    ({"responses": ["a", "b"]}, "prompt is missing"),
    ({**GOOD, "prompt": " \n"}, "prompt is empty"),
    ({**GOOD, "prompt": 3}, "prompt is a number, not text or a list of messages"),
    ({**GOOD, "prompt": []}, "prompt is an empty list"),
    ({**GOOD, "prompt": ["hi"]}, "prompt, message 1 is text; an object with role and content is needed"),
    ({**GOOD, "prompt": [{"role": "asistant", "content": ""}]}, "did you mean 'assistant'?"),
    (
        {**GOOD, "prompt": [{"role": ["user"], "content": ""}]},
        "prompt, message 1: role ['user'] is none of system",
    ),
    ({**GOOD, "prompt": [{"role": "user"}]}, "prompt, message 1: content is missing"),
    (
        {**GOOD, "prompt": [{"role": "user", "content": "", "contnet": ""}]},
        "unknown key 'contnet'; did you mean",
    ),
    ({**GOOD, "responses": ["only one"]}, "1 response; a task needs 2 to 9"),
    ({**GOOD, "responses": []}, "0 responses; a task needs 2 to 9"),
    ({**GOOD, "responses": list("abcdefghij")}, "10 responses; a task needs 2 to 9"),
    ({**GOOD, "responses": "ab"}, "responses is text; a list of 2 to 9 is needed"),
    ({**GOOD, "responses": ["a", 3]}, "response 2 is a number, not text"),
    ({**GOOD, "responses": ["a", True]}, "response 2 is true, not text"),
    ({**GOOD, "responses": [None, "b"]}, "response 1 is missing"),
    ({**GOOD, "responses": ["a", {"text": ["b"]}]}, "response 2 is a list, not text"),
    ({**GOOD, "responses": ["a", {"txt": "b"}]}, "response 2 has an unknown key 'txt'; did you mean 'text'?"),
    (
        {**GOOD, "responses": ["a", [{"role": "user", "content": "b"}]]},
        "response 2 ends with a message by the user",
    ),
    (
        {**GOOD, "responses": ["a", "b" * 1_000_001]},
        "response 2 has 1,000,001 characters; the limit is 1,000,000",
    ),
    ({**GOOD, "langauge": "en"}, "the row has an unknown key 'langauge'; did you mean 'language'?"),
    ({**GOOD, "id": ["x"]}, "id is a list; text or a whole number is needed"),
    ({**GOOD, "id": True}, "id is true; text or a whole number is needed"),
    ({**GOOD, "kind": "rankin"}, "kind 'rankin' is none of ranking, ab, rating; did you mean 'ranking'?"),
    ({**GOOD, "kind": "ab", "responses": ["a", "b", "c"]}, "kind is ab, which takes 2 responses, not 3"),
    ({**GOOD, "overlap": 0}, "overlap is 0; a whole number from 1 to 1000 is needed"),
    ({**GOOD, "overlap": True}, "overlap is True"),
    ({**GOOD, "priority": 1.5}, "priority is 1.5; a whole number from -1000 to 1000 is needed"),
    ({**GOOD, "tags": "x"}, "field tags: Input should be a valid list"),
    ({**GOOD, "language": 3}, "language is a number, not text"),
    ({**GOOD, "criteria": "helpful"}, "criteria is text; a list is needed"),
    ({**GOOD, "criteria": ["Helpful!"]}, "field key: String should match pattern"),
    ({**GOOD, "criteria": ["helpful", "helpful"]}, "two criteria have the same key"),
    (
        {**GOOD, "criteria": [{"key": "h", "name": {}, "low": 5, "high": 1}]},
        "the scale 5 to 1 is not within 0 to 10",
    ),
    ({**GOOD, "gold": "A"}, "gold is text; an object with choice, ranking or ratings is needed"),
    ({**GOOD, "gold": {"choise": "A"}}, "gold has an unknown key 'choise'; did you mean 'choice'?"),
    ({**GOOD, "gold": {"choice": "C"}}, "gold names 'C', which is no response (use a letter of AB or an id)"),
    ({**GOOD, "gold": {"ranking": ["A", ["B", "A"]]}}, "gold ranks a response twice"),
    ({**GOOD, "gold": {"ratings": {"A": {"helpful": "good"}}}}, "field ratings."),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_TASKS, ids=[reason[:40] for _, reason in BAD_TASKS])
def test_a_bad_task_is_rejected_by_field_and_the_next_one_comes(tmp_path: Path, bad: Any, reason: str) -> None:
    file = lines(tmp_path / "a.jsonl", GOOD, bad, GOOD)
    first, rejected, last = list(read([str(file)]).rows)
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert isinstance(rejected, Reject)
    assert reason in rejected.reason
    assert (rejected.number, rejected.where) == (2, "a.jsonl, line 2")
    assert rejected.raw
    assert len(rejected.raw) <= 2000
    assert file.read_bytes().decode("utf-8", "replace").split("\n")[1].startswith(rejected.raw)


def test_an_empty_answer_is_legal(tmp_path: Path) -> None:
    (row,) = read([str(lines(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["", ""]}))]).rows
    assert isinstance(row, Row)
    assert [r.text for r in row.responses] == ["", ""]
    assert row.responses[0].id != row.responses[1].id


def test_gold_letters_become_response_ids_and_criteria_may_be_bare_keys(tmp_path: Path) -> None:
    gold = {"ranking": ["C", ["A", "B"]], "ratings": {"B": {"is_true": 4}}, "choice": "C"}
    value = {
        "prompt": "p",
        "responses": ["a", "b", "c"],
        "criteria": ["is_true"],
        "kind": "rating",
        "gold": gold,
    }
    (row,) = read([str(lines(tmp_path / "a.jsonl", value))]).rows
    assert isinstance(row, Row)
    assert row.gold is not None
    a, b, c = (r.id for r in row.responses)
    assert (row.gold.ranking, row.gold.choice, row.gold.ratings) == ([[c], [a, b]], c, {b: {"is_true": 4}})
    assert [(k.key, k.name, k.low, k.high) for k in row.criteria] == [("is_true", {"en": "Is true"}, 1, 5)]
    assert row.kind == "rating"


@pytest.mark.parametrize("field", ["prompt", "response", "task", "gold"])
def test_a_whole_task_changed_after_it_was_written_is_rejected(tmp_path: Path, field: str) -> None:
    prompt = Prompt.make([Message(role="user", content="p")])
    answers = [Response.make(prompt.id, [Message(role="assistant", content=t)], import_key=t) for t in "ab"]
    value = Task.make("p", "ab", prompt, answers, gold={"choice": answers[0].id}).plain()
    assert reasons(lines(tmp_path / "good.jsonl", value)) == [None]
    if field == "prompt":
        value["prompt"]["messages"][0]["content"] = "q"
    elif field == "response":
        value["responses"][1]["messages"][0]["content"] = "c"
    elif field == "gold":
        value["gold"]["choice"] = "0" * 32
    else:
        value["id"] = "0" * 32
    (why,) = reasons(lines(tmp_path / "bad.jsonl", value))
    assert why
    assert ("gold names" if field == "gold" else f"{field} ") in why
    assert ("which is no response" if field == "gold" else "does not hash to its id") in why


def table(path: Path, *rows: list[str]) -> Path:
    """A CSV or TSV file of these cells."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_table_keeps_quoted_line_breaks_and_numbers_rows_by_their_first_line(tmp_path: Path, name: str) -> None:
    header = [
        "\ufeffprompt",
        "response_1",
        "response_2",
        "id",
        "system",
        "tags",
        "model_1",
        "model_2",
        "note",
    ]
    file = table(
        tmp_path / name,
        header,
        ['a,\n"b"\tc', "x\r\ny", "z", "k1", "be brief", "one; two", "m", "n", "?"],
        ["p", "x", "z", "", "", "", "m", "m", ""],
    )
    reading = read([str(file)])
    assert reading.format == "table"
    assert "left out: note" in reading.why
    first, second = reading.rows
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert [(m.role, m.content) for m in first.prompt.messages] == [
        ("system", "be brief"),
        ("user", 'a,\n"b"\tc'),
    ]
    assert [r.text for r in first.responses] == ["x\r\ny", "z"]
    assert (first.number, second.number) == (2, 5)
    assert first.prompt.tags == ["one", "two"]
    assert [(r.model, r.import_key) for r in first.responses] == [("m", "k1"), ("n", "k1")]
    assert second.key.endswith(f":{second.number}")
    # One model twice does not tell its answers apart, so their places do.
    assert [r.import_key for r in second.responses] == [f"{second.key}#1", f"{second.key}#2"]


def test_csv_cells_left_empty_at_the_end_are_no_responses_and_before_a_filled_one_empty_answers(
    tmp_path: Path,
) -> None:
    header = ["prompt", "response_1", "response_2", "response_3", "response_4"]
    file = table(tmp_path / "a.csv", header, ["p", "a", "", "c", ""], ["p", "a", "", "", ""], ["p", "", "", "", "d"])
    first, second, third = read([str(file)]).rows
    assert isinstance(first, Row)
    assert [r.text for r in first.responses] == ["a", "", "c"]
    assert isinstance(second, Reject)
    assert second.reason == "1 response; a task needs 2 to 9"
    assert isinstance(third, Row)
    assert [r.text for r in third.responses] == ["", "", "", "d"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_null_at_the_end_is_no_response_and_empty_text_is_one(tmp_path: Path, kind: str) -> None:
    texts = [("a", "", None), ("a", "b", ""), ("a", None, "c")]
    rows = [{"prompt": "p", **{f"response_{n}": t for n, t in enumerate(row, 1)}} for row in texts]
    file = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        lines(file, *rows)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), file)
    first, second, third = read([str(file)]).rows
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert isinstance(third, Reject)
    assert [r.text for r in first.responses] == ["a", ""]
    assert [r.text for r in second.responses] == ["a", "b", ""]
    assert third.reason == "response_2 is missing"
    assert '"response_3":"c"' in third.raw.replace(" ", "")
    assert third.where == f"{file.name}, {'line' if kind == 'jsonl' else 'row'} 3"


def test_bad_csv_rows_are_rejected_and_the_next_come(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        b"prompt,response_1,response_2\n"
        b"p,a,b\n"
        b"p,a\n"  # line 3: a cell too few
        b"p,a,b,c\n"
        b"p,\xe9,b\n"  # line 5: Latin-1
        b'p,"a"x,b\n'
        b"\n"
        b",a,b\n"
        b"p,a,b\n"
        b'p,a,"never closed\np,a,b\n'
    )
    found = list(read([str(file)]).rows)
    assert [r.number for r in found if isinstance(r, Row)] == [2, 9]
    rejects = {r.number: r.reason for r in found if isinstance(r, Reject)}
    assert rejects[3] == "2 cells where the header has 3"
    assert rejects[4] == "4 cells where the header has 3"
    assert rejects[5] == "column 'response_1' is not UTF-8 (byte 0xe9); save the file as UTF-8"
    assert rejects[6].startswith("not a row of the table: ")
    assert rejects[8] == "prompt is empty"
    assert "unexpected end of data" in rejects[10]
    assert sorted(rejects) == [3, 4, 5, 6, 8, 10]
    raw = {r.number: r.raw for r in found if isinstance(r, Reject)}
    assert (raw[4], raw[5], raw[6]) == ("p,a,b,c", "p,\ufffd,b", 'p,"a"x,b')
    assert raw[10] == 'p,a,"never closed\np,a,b'


@pytest.mark.parametrize("column", ["response_x", "responses", "model_a", "response2"])
def test_a_column_that_is_nearly_a_response_is_refused(tmp_path: Path, column: str) -> None:
    file = table(tmp_path / "a.csv", ["prompt", "response_1", "response_2", column], ["p", "a", "b", "c"])
    (why,) = reasons(file, format="table")
    assert why
    assert f"the column '{column}' is not known" in why


def test_an_element_of_an_array_that_is_bad_is_rejected_and_the_next_come(tmp_path: Path) -> None:
    good = json.dumps(GOOD).encode()
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf [ %s , {"prompt": NaN, "x": }, 7, %s, {"prompt": "\xff"}, %s,' % (good, good, good))
    found = list(read([str(file)]).rows)
    assert [isinstance(r, Row) for r in found] == [True, False, False, True, False, True, False]
    whys = [r.reason for r in found if isinstance(r, Reject)]
    assert "not JSON" in whys[0]
    assert whys[1].startswith("the row is a number")
    assert "0xff" in whys[2]
    assert whys[3] == "element 7 is cut off: the file ends inside the array"
    assert found[1].where == "a.json, row 2"
    for tail, why in ((b"] x", "something stands after the end of the array"), (b",]", "a comma too many")):
        file.write_bytes(b"[" + good + tail)
        assert [isinstance(r, Row) for r in read([str(file)]).rows] == [True, False]
        assert why in str(reasons(file)[1])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.recursive(st.none() | st.booleans() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))
    ),
    st.integers(1, 9),
    st.sampled_from([None, 2]),
)
def test_array_elements_are_those_json_finds_wherever_the_chunks_end(
    values: list[Any], chunk: int, indent: int | None
) -> None:
    import io

    import data.formats.array as array

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array, "CHUNK", chunk)
        text = json.dumps(values, indent=indent).encode()
        assert [value for _, value, _ in array.elements(io.BytesIO(text))] == values


def many(kind: str) -> Iterator[bytes]:
    """The bytes of a large file: 4,000 rows of about 2,000 characters."""
    yield {"json": b"[", "csv": b"prompt,response_1,response_2\n"}.get(kind, b"")
    for n in range(4000):
        row = {"prompt": f"p{n}", "response_1": "a" * 1000, "response_2": "b" * 1000}
        if kind == "csv":
            yield ",".join(row.values()).encode() + b"\n"
        else:
            yield json.dumps(row).encode() + (b",\n" if kind == "json" else b"\n")


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_memory_does_not_grow_with_the_file_and_a_broken_end_costs_only_the_end(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    with file.open("wb") as opened:
        opened.writelines(many(kind))
        opened.write(b'{"torn": "' if kind != "csv" else b'p,"torn')
    rows = read([str(file)]).rows
    tracemalloc.start()
    try:
        kinds = [type(row) for row in rows]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kinds == [Row] * 4000 + [Reject]
    assert file.stat().st_size > 8_000_000
    assert peak < 3_000_000


def test_parquet_is_read_by_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": f"p{n}", "response_1": "a", "response_2": "b"} for n in range(1000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    asked: list[int] = []
    batches = pq.ParquetFile.iter_batches

    def watched(self: Any, batch_size: int, **more: Any) -> Iterator[Any]:
        for batch in batches(self, batch_size=batch_size, **more):
            asked.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    reading = read([str(tmp_path / "a.parquet")])
    asked.clear()
    first = next(reading.rows)
    assert isinstance(first, Row)
    assert asked == [256]
    assert sum(1 for _ in reading.rows) == 999


def test_a_gzip_file_cut_in_the_middle_gives_its_first_rows_and_then_says_so(tmp_path: Path) -> None:
    import random

    rng = random.Random(1)
    rows = [{**GOOD, "prompt": "".join(rng.choices("abcdefghijklmnop", k=300))} for _ in range(2000)]
    whole = gzip.compress("\n".join(map(json.dumps, rows)).encode())
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(whole[: len(whole) // 2])
    got = []
    with pytest.raises(BadInput, match=r"after line \d+: the file cannot be read on"):
        got.extend(read([str(file)]).rows)
    assert next(read([str(file)]).rows).number == 1
