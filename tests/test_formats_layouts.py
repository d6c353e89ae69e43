"""Layouts of others, from small files written here: outputs, pairs, transcripts, preferences, datasets."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BadInput, NotThere
from data.formats import Reject, Row, read
from data.formats.dataset import is_dataset
from data.records import Task, broken_id


def lines(path: Path, *rows: Any) -> str:
    """A JSON-lines file of these values."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def apart(paths: list[str], **how: Any) -> tuple[list[Row], list[Reject]]:
    """Rows and rejects of a reading, apart."""
    found = list(read(paths, **how).rows)
    return [r for r in found if isinstance(r, Row)], [r for r in found if isinstance(r, Reject)]


def one(path: str, **how: Any) -> Row:
    """The only row of a file."""
    (row,) = read([path], **how).rows
    assert isinstance(row, Row), row
    return row


def said(prompt: str, answer: Any, **rest: Any) -> dict[str, Any]:
    """A row of a model's outputs."""
    return {"instruction": prompt, "input": "", "output": answer, **rest}


def test_outputs_out_of_step_are_joined_on_the_prompt_and_its_turn(tmp_path: Path) -> None:
    a = lines(tmp_path / "a.jsonl", said("p", "a1"), said("q", "a2"), said("p", "a3"), said("r", "a4"))
    b = lines(tmp_path / "b_outputs.jsonl", said("q", "b1"), said("r", "b2"), said("p", "b3"), said("p", "b4"))
    rows, rejects = apart([a, b])
    assert rejects == []
    joined = sorted(tuple(r.text for r in row.responses) for row in rows)
    assert joined == [("a1", "b3"), ("a2", "b1"), ("a3", "b4"), ("a4", "b2")]
    assert all([r.model for r in row.responses] == ["a", "b"] for row in rows)
    assert {row.number for row in rows} == {1, 2, 3, 4}
    assert all(r.import_key == row.key for row in rows for r in row.responses)


def test_a_prompt_that_a_file_lacks_is_rejected_and_names_the_file(tmp_path: Path) -> None:
    a = lines(tmp_path / "a.jsonl", said("p", "1"), said("q", "2"))
    b = lines(tmp_path / "b.jsonl", said("p", 7), said("q", "4"), said("only b", "5"))
    c = lines(tmp_path / "c.jsonl", said("p", "6"), said("q", "7"))
    rows, rejects = apart([a, b, c])
    assert [r.prompt.messages[0].content for r in rows] == ["q"]
    assert [(r.where, r.reason) for r in rejects] == [
        ("b.jsonl, line 1", "output is a number, not text"),
        ("a.jsonl, line 1", "this prompt has no answer in b.jsonl"),
        ("b.jsonl, line 3", "this prompt has no answer in a.jsonl, c.jsonl"),
    ]


def test_the_prompt_of_outputs_is_instruction_and_input_and_not_the_template(tmp_path: Path) -> None:
    rest = {"input": "3 4", "prompt": "Add.\nInput: 3 4\nOutput:"}
    files = [lines(tmp_path / f"{m}.jsonl", {"instruction": "Add.", "response": m, **rest}) for m in "ab"]
    (row,), _ = apart(files)
    assert row.prompt.messages[0].content == "Add.\n\n3 4"
    files = [lines(tmp_path / f"{m}.jsonl", {"prompt": " as is\n", "completion": m}) for m in "ab"]
    (row,), _ = apart(files)
    assert row.prompt.messages[0].content == " as is\n"


def test_models_are_named_by_folder_where_files_share_a_name(tmp_path: Path) -> None:
    files = [lines(tmp_path / m / "outputs.jsonl", said("p", m)) for m in ("gpt", "llama")]
    (row,), _ = apart(files)
    assert [r.model for r in row.responses] == ["gpt/outputs", "llama/outputs"]


@pytest.mark.parametrize(
    ("count", "says"),
    [(1, "give the file of a second model"), (10, "10 files of model outputs; a task takes 2 to 9")],
)
def test_outputs_take_2_to_9_files(tmp_path: Path, count: int, says: str) -> None:
    files = [lines(tmp_path / f"m{n}.jsonl", said("p", str(n))) for n in range(count)]
    with pytest.raises(BadInput, match=says):
        read(files)


def test_pairs_read_bare_nan_as_no_input_and_name_a_bad_vote(tmp_path: Path) -> None:
    row = {"instruction": "i", "response1": "a", "response2": "b", "annotator1": 0, "annotator2": None}
    bad = {**row, "annotator1": 3}
    file = tmp_path / "a.json"
    text = json.dumps([{**row, "idx": 0, "input": float("nan"), "cmp_key": "m_n"}, bad, {**row, "cmp_key": "a_b_c"}])
    assert "NaN" in text
    file.write_text(text, "utf-8")
    (first, third), (second,) = apart([str(file)])
    assert first.prompt.messages[0].content == "i"
    assert [r.model for r in first.responses] == ["m", "n"]
    assert [(v.annotator, v.choice, v.key) for v in first.votes] == [("annotator1", "tie", "0:annotator1")]
    assert second.reason == "annotator1 is 3; 0 (tie), 1 (first better) or 2 (second better) is needed"
    assert [(r.model, r.import_key) for r in third.responses] == [
        (None, f"{third.key}#1"),
        (None, f"{third.key}#2"),
    ]


H, A = "\n\nHuman: ", "\n\nAssistant: "


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        (f"{H}p{A}a", f"{H}q{A}b", "differ before the last turn"),
        (f"{H}p{A}a{H}more", f"{H}p{A}b{H}more", "chosen ends with a turn by Human"),
        (
            f"{H}p{A}a",
            f"{H}p{A}b{A}c",
            "rejected, turn 3: the transcript goes on after Assistant with Assistant",
        ),
        (f"{A}hello{H}p{A}a", f"{H}p{A}a", "chosen, turn 1: the transcript starts with Assistant"),
        (f"preface{H}p{A}a", f"{H}p{A}b", "chosen has text before the first turn"),
        ("no turns", f"{H}p{A}b", "chosen has no turns"),
        (f"{H}p{A}a", 3, "rejected is a number, not text"),
        (f"{H}p{A}a", None, "rejected is missing"),
    ],
)
def test_odd_transcripts_are_rejected(tmp_path: Path, chosen: Any, rejected: Any, reason: str) -> None:
    good = {"chosen": f"{H}p{A}\n x \n", "rejected": f"{H}p{A}"}
    file = lines(tmp_path / "a.jsonl", good, {"chosen": chosen, "rejected": rejected})
    (row,), (reject,) = apart([file])
    assert sorted(r.text for r in row.responses) == ["", "\n x \n"]
    assert reason in reject.reason


def completion(model: str, rating: Any) -> dict[str, Any]:
    """A completion of a raw UltraFeedback row."""
    held = {"Rating": rating, "Rationale": "…"}
    return {
        "model": model,
        "principle": "honesty",
        "response": f"by {model}",
        "annotations": {"helpfulness": held, "honesty": {"Rating": "N/A"}},
    }


def test_raw_ultrafeedback_is_a_ranking_with_one_models_ratings(tmp_path: Path) -> None:
    value = {
        "source": "evol",
        "instruction": "i",
        "completions": [completion("m", "5"), completion("n", "2")],
    }
    bad = [
        ({**value, "completions": [completion("m", "5")]}, "1 response; a task needs 2 to 9"),
        ({**value, "completions": [completion("m", "5"), completion("n", "6")]}, "helpfulness is rated '6'"),
        ({**value, "completions": [completion("m", "5"), 3]}, "completion 2 is a number"),
    ]
    file = lines(tmp_path / "a.jsonl", value, *(row for row, _ in bad))
    assert read([file]).format == "ultrafeedback"
    (row,), rejects = apart([file])
    (vote,) = row.votes
    m, n = row.responses
    assert (row.kind, row.prompt.source) == ("ranking", "evol")
    assert [(c.key, c.low, c.high) for c in row.criteria] == [
        (key, 1, 5) for key in ("instruction_following", "honesty", "truthfulness", "helpfulness")
    ]
    assert (m.model, m.lineage and m.lineage.principle) == ("m", "honesty")
    assert vote.annotator_kind == "model"
    assert vote.model == "gpt-4"
    assert vote.ratings == {m.id: {"helpfulness": 5}, n.id: {"helpfulness": 2}}
    assert (vote.ranking, vote.choice) == (None, None)
    for reject, (_, reason) in zip(rejects, bad, strict=True):
        assert reason in reject.reason


def talk(*turns: str) -> list[dict[str, str]]:
    """Messages by user and assistant in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(turns)]


def judged(row: Row) -> dict[str, str]:
    """What the row's one vote says of each response: better, worse or tie."""
    (vote,) = row.votes
    assert vote.shown == [r.id for r in row.responses] == sorted(vote.shown)
    if vote.choice == "tie":
        return {r.text: "tie" for r in row.responses}
    better = row.responses["AB".index(str(vote.choice))]
    return {r.text: "better" if r is better else "worse" for r in row.responses}


@pytest.mark.parametrize(
    ("scores", "verdicts"),
    [((8, 2), ("better", "worse")), ((2.5, 2.5), ("tie", "tie")), ((1, 2), ("worse", "better"))],
)
def test_binarized_ultrafeedback_is_a_models_choice_by_score(
    tmp_path: Path, scores: tuple[float, float], verdicts: tuple[str, str]
) -> None:
    value = {"prompt": "p", "chosen": talk("p", "a"), "rejected": talk("p", "b")}
    scored = {**value, "score_chosen": scores[0], "score_rejected": scores[1]}
    file = lines(tmp_path / "a.jsonl", scored, {**scored, "score_chosen": None}, {**scored, "score_chosen": "8"})
    assert read([file]).format == "ultrafeedback"
    (row,), rejects = apart([file])
    assert judged(row) == dict(zip("ab", verdicts, strict=True))
    assert row.kind == "ab"
    assert [m.content for m in row.prompt.messages] == ["p"]
    assert row.votes[0].annotator_kind == "model"
    assert [r.reason for r in rejects] == ["score_chosen is missing", "score_chosen is text, not a number"]


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, ["p"]),
        ({"prompt": talk("p"), "chosen": talk("p", "a")[1:], "rejected": talk("p", "b")[1:]}, ["p"]),
        ({"prompt": "p", "chosen": talk("p", "a"), "rejected": talk("p", "b")}, ["p"]),
        ({"chosen": talk("p", "x", "q", "a"), "rejected": talk("p", "x", "q", "b")}, ["p", "x", "q"]),
        ({"chosen": talk("p", "a"), "rejected": talk("p", "b"), "prompt": None}, ["p"]),
        ({"chosen": "Sky is a", "rejected": "Sky is b"}, ["Sky is "]),
    ],
    ids=[
        "text",
        "messages",
        "text and messages",
        "messages with the prompt inside",
        "null prompt",
        "one text",
    ],
)
def test_preferences_as_trainers_take_them(tmp_path: Path, value: dict[str, Any], prompt: list[str]) -> None:
    file = lines(tmp_path / "a.jsonl", value)
    assert read([file]).format == "preference"
    row = one(file)
    assert [m.content for m in row.prompt.messages] == prompt
    assert judged(row) == {"a": "better", "b": "worse"}
    assert row.votes[0].annotator_kind == "rule"  # nobody knows who judged


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"chosen": "one", "rejected": "two"}, "do not start alike"),
        ({"chosen": talk("p", "a"), "rejected": talk("q", "b")}, "start with different messages"),
        ({"chosen": talk("p", "a"), "rejected": "b"}, "chosen is a list and rejected is text"),
        (
            {"prompt": "p", "chosen": talk("p"), "rejected": talk("p", "b")},
            "chosen does not start with the prompt",
        ),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "prompt is empty"),
        ({"prompt": "p", "chosen": None, "rejected": None}, "chosen is missing"),
    ],
)
def test_preferences_without_a_prompt_or_an_answer_are_rejected(
    tmp_path: Path, value: dict[str, Any], reason: str
) -> None:
    (why,) = read([lines(tmp_path / "a.jsonl", value)], format="preference").rows
    assert isinstance(why, Reject)
    assert reason in why.reason


def test_chosen_does_not_always_stand_first(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in range(200)]
    found, _ = apart([lines(tmp_path / "a.jsonl", *rows)])
    assert 60 < Counter(r.votes[0].choice for r in found)["A"] < 140


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "saved"])
def test_a_dataset_folder_is_read_split_by_split(tmp_path: Path, kind: str) -> None:
    import datasets

    folder = tmp_path / "mine"
    saved: dict[str, Any] = {}
    for split, start in (("train", 0), ("test", 10)):
        rows = [{"chosen": talk(f"p{n}", "a"), "rejected": talk(f"p{n}", "b")} for n in range(start, start + 3)]
        if kind == "jsonl":
            lines(folder / f"{split}.jsonl", *rows)
        elif kind == "parquet":
            folder.mkdir(exist_ok=True)
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
        else:
            saved[split] = datasets.Dataset.from_list(rows)
    if saved:
        datasets.DatasetDict(saved).save_to_disk(str(folder))
    reading = read([str(folder)])
    assert reading.format == "dataset"
    assert "split train; its rows are preference" in reading.why
    rows_found = list(reading.rows)
    assert [r.where for r in rows_found] == [f"mine (train), row {n}" for n in (1, 2, 3)]
    first = rows_found[0]
    assert isinstance(first, Row)
    assert [m.content for m in first.prompt.messages] == ["p0"]
    assert len(apart([str(folder)], split="test")[0]) == 3
    with pytest.raises(BadInput, match=r"has no split 'validation'.*--split"):
        read([str(folder)], split="validation")
    assert read([str(folder)], format="preference").format == "preference"


def test_a_dataset_that_cannot_be_read_or_reached_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"the folder .*empty is no dataset"):
        read([str(tmp_path / "empty")])
    with pytest.raises(NotThere, match="is no file or folder here, and the dataset of that name cannot be reached"):
        read(["nobody-at-all/nothing-there"])
    file = lines(tmp_path / "a.jsonl", {"prompt": "p", "responses": ["a", "b"]})
    with pytest.raises(BadInput, match="is a file, not a dataset folder"):
        read([file], format="dataset")
    with pytest.raises(BadInput, match="is a dataset; give it alone"):
        read([file, str(tmp_path / "empty")])


def test_only_a_folder_or_an_owner_and_name_is_taken_for_a_dataset(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", {})
    found = {name: is_dataset(name) for name in (str(tmp_path), file, "owner/name", "owner/name:config")}
    assert found == {str(tmp_path): True, file: False, "owner/name": True, "owner/name:config": True}
    for name in (
        "nowhere.jsonl",
        "nowhere/file.jsonl",
        "nowhere/file.csv.gz",
        "tests/nothing",
        "/nowhere/x",
        "name",
    ):
        assert not is_dataset(name), name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=5), held, max_size=3),
    max_leaves=8,
)
SHAPES: dict[str, dict[str, Any]] = {
    "tasks": {
        "id": "x",
        "prompt": "p",
        "responses": ["a", {"text": "b", "model": "m"}],
        "gold": {"choice": "A", "ranking": [["A"], ["B"]]},
        "criteria": ["c"],
        "judgments": [{"annotator": "n", "shown": [2, 1], "choice": "A"}],
    },
    "table": {
        "prompt": "p",
        "response_1": "a",
        "response_2": "b",
        "model_1": "m",
        "tags": ["t"],
        "system": "s",
    },
    "pairs": {
        "idx": 1,
        "instruction": "i",
        "response1": "a",
        "response2": "b",
        "annotator1": 1,
        "cmp_key": "a_b",
    },
    "hh": {"chosen": f"{H}p{A}a", "rejected": f"{H}p{A}b"},
    "ultrafeedback": {
        "instruction": "i",
        "completions": [completion("m", "5"), completion("n", 1)],
        "source": "s",
    },
    "preference": {"prompt": "p", "chosen": talk("p", "a"), "rejected": talk("p", "b")},
}


@pytest.mark.parametrize("layout", SHAPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_field_the_line_is_a_row_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: st.DataObject
) -> None:
    value = json.loads(json.dumps(SHAPES[layout]))
    at = value
    key = data.draw(st.sampled_from(sorted(at)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):  # go inside the field
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    at[key] = data.draw(JSON)
    file = lines(tmp_path_factory.mktemp("f") / "a.jsonl", SHAPES[layout], value)
    good, either = read([file], format=layout).rows
    assert isinstance(good, Row)
    if isinstance(either, Reject):
        assert either.reason
    else:
        task = Task.make("p", either.kind or "ranking", either.prompt, either.responses, import_key=either.key)
        assert broken_id(task) is None


def test_importing_the_formats_imports_no_heavy_library() -> None:
    import subprocess
    import sys

    code = "import sys, data.formats; print([m for m in ('datasets', 'pyarrow', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
