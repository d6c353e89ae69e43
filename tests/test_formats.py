"""Layouts of real files, how a layout is recognised, and what every reading promises."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput, ConcordError, NotThere
from data.formats import FORMATS, LAYOUTS, Reject, Row, read
from data.records import Message, Prompt, Response, Task, prompt_id, response_id


def sorted_out(paths: list[Any], **how: Any) -> tuple[list[Row], list[Reject]]:
    """Rows and rejects of a reading, apart."""
    found = list(read([str(p) for p in paths], **how).rows)
    return [r for r in found if isinstance(r, Row)], [r for r in found if isinstance(r, Reject)]


def write(path: Path, *rows: Any) -> Path:
    """A JSON-lines file of these values; bytes go in as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def test_eight_model_files_become_252_rows_of_8_responses(real: Path) -> None:
    files = sorted((real / "self_instruct_human_eval").glob("*_predictions.jsonl"))
    reading = read([str(f) for f in files])
    rows = list(reading.rows)
    assert reading.format == "outputs"
    assert "instruction" in reading.why
    assert len(files) == 8
    assert Counter(len(r.responses) for r in rows if isinstance(r, Row)) == {8: 252}
    good = [r for r in rows if isinstance(r, Row)]
    assert [r.number for r in good] == list(range(1, 253))
    said = [[a.text for a in r.responses] for r in good]
    assert sum("" in texts for texts in said) == 45
    assert sum(any(not t.strip() for t in texts) for texts in said) == 50  # empty, or white space alone
    assert sum(len(set(texts)) < 8 for texts in said) == 85
    assert sum(len({t.strip() for t in texts}) < 8 for texts in said) == 87
    assert {a.model for a in good[0].responses} == {f.name.removesuffix("_predictions.jsonl") for f in files}
    assert all(len({a.id for a in r.responses}) == 8 for r in good)
    assert not any("Output:" in r.prompt.messages[0].content for r in good)


def test_model_files_give_the_same_ids_in_whatever_order_they_are_named(real: Path) -> None:
    files = sorted((real / "self_instruct_human_eval").glob("text-*_predictions.jsonl"))
    there, back = sorted_out(files)[0], sorted_out(files[::-1])[0]
    assert there == back
    assert len(there) == 252


def test_pandalm_becomes_993_pairs_with_2979_votes_and_6_named_rejects(real: Path) -> None:
    file = real / "pandalm" / "testset-v1.json"
    assert read([str(file)]).format == "pairs"
    rows, rejects = sorted_out([file])
    assert len(rows) == 993
    votes = [v for r in rows for v in r.votes]
    assert len(votes) == 2979
    assert {v.annotator for v in votes} == {"annotator1", "annotator2", "annotator3"}
    assert {v.annotator_kind for v in votes} == {"person"}
    assert len({v.key for v in votes}) == 2979
    assert [(r.number, r.reason) for r in rejects] == [
        (n, f"response{side} is true, not text")
        for n, side in ((158, 1), (159, 1), (160, 1), (162, 2), (163, 2), (165, 1))
    ]
    raw = json.loads(file.read_text("utf-8"))
    by_key = {str(row["idx"]): row for row in raw}
    for row in rows:
        source = by_key[row.key]
        assert [r.text for r in row.responses] == [source["response1"], source["response2"]]
        assert "_".join(str(r.model) for r in row.responses) == source["cmp_key"]
        assert [v.choice for v in row.votes] == [{0: "tie", 1: "A", 2: "B"}[source[v.annotator]] for v in row.votes]
        assert all(v.shown == [r.id for r in row.responses] for v in row.votes)


def test_hh_becomes_1154_pairs_and_2_rejects_and_keeps_every_character(real: Path) -> None:
    file = real / "hh_rlhf" / "harmless_test_first_half.jsonl.gz"
    reading = read([str(file)])
    assert reading.format == "hh"
    rows, rejects = sorted_out([file])
    assert len(rows) == 1154
    assert [(r.number, r.reason.split(",")[0]) for r in rejects] == [(668, "chosen"), (764, "chosen")]
    assert all("after Assistant with Assistant" in r.reason for r in rejects)
    with gzip.open(file) as opened:
        source = [json.loads(line) for line in opened]
    for row in rows:
        (vote,) = row.votes
        assert (vote.annotator, vote.annotator_kind, vote.shown) == (
            "hh-rlhf",
            "person",
            [r.id for r in row.responses],
        )
        sides = {"A": row.responses, "B": row.responses[::-1]}[str(vote.choice)]
        for response, name in zip(sides, ("chosen", "rejected"), strict=True):
            turns = [*row.prompt.messages, *response.messages]
            speakers = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
            assert "".join(speakers[m.role] + m.content for m in turns) == source[row.number - 1][name]
    # Ordered by hash, chosen stands first about as often as not: 5 standard deviations is 85.
    assert abs(sum(r.votes[0].choice == "A" for r in rows) - 577) < 85


def test_seed_tasks_and_questions_fit_no_layout_and_the_error_names_their_columns(real: Path) -> None:
    for name, column in (
        ("self_instruct_human_eval/seed_tasks.jsonl", "instances"),
        ("mt_bench/question.jsonl", "turns"),
    ):
        with pytest.raises(BadInput, match=f"no layout fits rows with .*'{column}'.*--format"):
            read([str(real / name)])


def test_every_layout_has_a_name_and_one_line_and_is_in_formats() -> None:
    names = [layout.NAME for layout in LAYOUTS]
    assert len(set(names)) == len(names)
    assert [*names, "dataset"] == list(FORMATS)
    assert all(line and "\n" not in line for line in FORMATS.values())


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("none.jsonl", None, NotThere, "is not there"),
        ("none.txt", None, NotThere, "is not there"),
        ("a.txt", b"x", BadInput, "files ending in '.txt' are not read; known are .jsonl"),
        ("a.jsnol", b"x", BadInput, "did you mean '.json"),
        ("a.jsonl", b"", BadInput, "is empty"),
        ("a.jsonl", b"\n \n", BadInput, "is empty"),
        ("a.json", b"[]", BadInput, "is empty"),
        ("a.csv", b"", BadInput, "is empty"),
        ("a.csv", b"prompt,response_1,response_2\n", BadInput, "is empty"),
        ("a.csv", b"prompt,prompt\n", BadInput, "two columns are called 'prompt'"),
        ("a.csv", b"prompt,r\xe9ponse\n", BadInput, "the header is not UTF-8"),
        ("a.csv", "prompt,response_1".encode("utf-16"), BadInput, "UTF-16; save it as UTF-8"),
        ("a.parquet", b"PAR1 no", BadInput, "cannot be read on"),
        ("a.jsonl.gz", b"no gzip", BadInput, "cannot be read"),
        ("a.json.gz", b"no gzip", BadInput, "cannot be read"),
        ("a.csv.gz", b"no gzip", BadInput, "cannot be read"),
        ("torn.jsonl", b'{"prompt": "a", "response_1": "x"', BadInput, "line 1: not JSON"),
        ("enc.jsonl", b"\xff\xfe\x00bad", BadInput, "byte 0: 0xff"),
        ("lists.jsonl", b"[1]\n", BadInput, "none of the first 1 rows can be read"),
        (
            "near.jsonl",
            b'{"promt": "a", "responses": ["b", "c"]}\n',
            BadInput,
            "'promt'; did you mean 'prompt'",
        ),
        (
            "two.jsonl",
            b'{"prompt": "a", "responses": [], "response_1": ""}\n',
            BadInput,
            "tasks .*table .*--format",
        ),
    ],
)
def test_what_no_row_can_come_from_is_said_at_once_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, error: type[ConcordError], says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=says) as caught:
        read([str(tmp_path / name)])
    assert "\n" not in str(caught.value)


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'pairs'"):
        read([str(tmp_path / "a.jsonl")], format="pair")
    with pytest.raises(BadInput, match="give at least one"):
        read([])


def test_a_told_format_is_taken_and_rows_that_do_not_fit_it_are_rejected(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["a", "b"]})
    reading = read([str(file)], format="pairs")
    assert (reading.format, reading.why) == ("pairs", "as told by --format")
    assert [r.reason for r in reading.rows if isinstance(r, Reject)] == ["instruction is missing"]


def test_files_of_two_layouts_are_not_read_together(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["a", "b"]})
    two = write(tmp_path / "b.jsonl", {"prompt": "p", "response_1": "a", "response_2": "b"})
    with pytest.raises(BadInput, match=r"looks like tasks and .* like table"):
        read([str(one), str(two)])


def test_the_same_file_twice_is_refused_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    one = write(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["a", "b"]})
    two = write(tmp_path / "x" / "a.jsonl", {"prompt": "q", "responses": ["a", "b"]})
    rows, _ = sorted_out([one, two])
    assert [r.where for r in rows] == [f"{one}, line 1", f"{two}, line 1"]
    assert rows[0].key != rows[1].key
    two.write_bytes(one.read_bytes())
    with pytest.raises(BadInput, match="holds the same as"):
        read([str(one), str(two)])


def test_an_odd_first_row_does_not_decide_the_layout(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", b"{torn", {"note": 1}, {"prompt": "p", "responses": ["a", "b"]})
    rows, rejects = sorted_out([file])
    assert [r.number for r in rows] == [3]
    assert [r.number for r in rejects] == [1, 2]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz"])
def test_lines_arrays_and_gzip_hold_the_same_rows(tmp_path: Path, name: str) -> None:
    given_rows = [{"id": n, "prompt": f"p{n}", "responses": ['",]}[{\\', "\u4f60\u597d"]} for n in range(3)]
    array = name.startswith("a.json") and ".jsonl" not in name
    content = json.dumps(given_rows, indent=2) if array else "\n".join(map(json.dumps, given_rows))
    packed = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
    (tmp_path / name).write_bytes(packed)
    rows, rejects = sorted_out([tmp_path / name])
    assert rejects == []
    assert [(r.key, r.responses[0].text, r.responses[1].text) for r in rows] == [
        (str(n), '",]}[{\\', "\u4f60\u597d") for n in range(3)
    ]


def test_a_row_without_an_id_is_known_by_its_files_hash_and_line(tmp_path: Path) -> None:
    import hashlib

    file = write(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["a", "a"]})
    (row,), _ = sorted_out([file])
    assert row.key == f"{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}:1"
    assert row.where == "a.jsonl, line 1"
    assert [r.import_key for r in row.responses] == [f"{row.key}#1", f"{row.key}#2"]
    assert row.responses[0].id != row.responses[1].id  # the same text twice is two responses


def test_an_id_twice_is_rejected_and_says_whether_the_content_is_the_same(tmp_path: Path) -> None:
    first = {"id": "x", "prompt": "p", "responses": ["a", "b"]}
    other = {"id": "x", "prompt": "p", "responses": ["a", "c"]}
    one = write(tmp_path / "a.jsonl", first, {"responses": ["a", "b"], "prompt": "p", "id": "x"}, other)
    two = write(tmp_path / "b.jsonl", other)
    rows, rejects = sorted_out([one, two])
    assert len(rows) == 1
    assert [(r.where, r.reason) for r in rejects] == [
        ("a.jsonl, line 2", "repeats line 1"),
        ("a.jsonl, line 3", "id 'x' was used before, on line 1, with other content"),
        ("b.jsonl, line 1", "id 'x' was used before, in a.jsonl, line 1, with other content"),
    ]


def test_samples_ends_the_reading_after_that_many_rows(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "responses": ["a", "b"]} for n in range(5)]
    file = write(tmp_path / "a.jsonl", rows[0], b"{torn", *rows[1:])
    good, bad = sorted_out([file], samples=2)
    assert [r.number for r in good] == [1, 3]
    assert len(bad) == 1
    assert sorted_out([file], samples=0) == ([], [])


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """Any A/B or ranking task of a few short messages."""
    turns = [Message(role="user", content=draw(TEXT)) for _ in range(draw(st.integers(1, 3)))]
    prompt = Prompt.make(turns, language=draw(st.sampled_from([None, "en", "zh"])), tags=draw(st.lists(TEXT)))
    answers = draw(st.lists(st.tuples(TEXT, st.none() | TEXT), min_size=2, max_size=9))
    responses = [
        Response.make(
            prompt.id,
            [Message(role="assistant", content=said)],
            model=model,
            sample_index=n,
            sampling=draw(st.none() | st.just({"temperature": 0.7})),
        )
        for n, (said, model) in enumerate(answers)
    ]
    rest = {
        "overlap": draw(st.integers(1, 9)),
        "priority": draw(st.integers(-5, 5)),
        "import_key": draw(st.text("abc", min_size=1)),
    }
    return Task.make("p", "ranking", prompt, responses, **rest)


@settings(max_examples=60, deadline=None)
@given(st.lists(tasks(), min_size=1, max_size=4, unique_by=lambda t: t.import_key))
def test_tasks_written_as_lines_come_back_with_the_same_ids(
    tmp_path_factory: pytest.TempPathFactory, made: list[Task]
) -> None:
    file = tmp_path_factory.mktemp("t") / "tasks.jsonl"
    file.write_bytes(b"\n".join(t.line() for t in made))
    rows, rejects = sorted_out([file])
    assert rejects == []
    again = [
        Task.make(
            "p",
            r.kind or "ab",
            r.prompt,
            r.responses,
            import_key=r.key,
            overlap=r.overlap,
            priority=r.priority,
        )
        for r in rows
    ]
    assert again == made


@settings(max_examples=60, deadline=None)
@given(
    prompt=TEXT.filter(str.strip),
    answers=st.lists(st.tuples(TEXT, st.none() | TEXT.filter(bool)), min_size=2, max_size=9),
)
def test_short_tasks_keep_their_text_and_their_ids_are_those_of_the_records(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, answers: list[tuple[str, str | None]]
) -> None:
    value = {"id": "k", "prompt": prompt, "responses": [{"text": t, "model": m} for t, m in answers]}
    (row,), _ = sorted_out([write(tmp_path_factory.mktemp("t") / "a.jsonl", value)])
    assert row.prompt == Prompt.make([Message(role="user", content=prompt)])
    assert prompt_id(row.prompt.messages) == row.prompt.id
    assert [(r.text, r.model) for r in row.responses] == answers
    assert [response_id(r) for r in row.responses] == [r.id for r in row.responses]
    Task.make("p", "ranking", row.prompt, row.responses)  # raises when two ids are the same
