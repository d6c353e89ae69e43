"""python -m curate.dedup: what goes, for which row, what is only reported, and that order changes no byte."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from made import load, rows

from curate import dedup
from curate.dedup_rows import LAST, pair_entry
from curate.duplicates import find_duplicates
from curate.snapshot import snapshot
from data.errors import BadInput, NotThere, exit_status
from data.formats.files import open_source
from data.manifest import verify_folder
from data.records import canonical
from data.store import open_store

LONG = [f"word{i}" for i in range(100)]
TEXT = " ".join(LONG)
NEAR = " ".join([*LONG[:-3], "other", "last", "words"])
FAR = " ".join(f"else{i}" for i in range(100))


def write(path: Path, lines: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def run(out: Path, *words: object) -> dict[str, list[Any]]:
    """Run it; returns what stays and what audit/ says, by file."""
    assert dedup.main([*map(str, words), "--out", str(out)]) == 0
    assert verify_folder(out) == []
    names = ("data/train", "audit/removed", "audit/contradictions", "audit/rejected")
    paths = {name: out / f"{name}.jsonl" for name in names}
    return {
        name: [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
        for name, path in paths.items()
    }


def pair(id: str, prompt: str, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_every_row_that_goes_has_its_reason_the_row_kept_and_the_similarity(tmp_path: Path) -> None:
    texts = {"b": TEXT, "c": NEAR, "a": FAR, "d": TEXT, "e": TEXT.upper() + "!"}
    file = write(tmp_path / "t.jsonl", [{"id": id, "body": text, "more": [1]} for id, text in texts.items()])
    made = run(tmp_path / "out", file, "--text", "body")
    assert made["data/train"] == [{"id": id, "body": texts[id], "more": [1]} for id in ("a", "b")]
    both = {"shingles_in_both": 98, "shingles_in_either": 98, "similarity": 1.0}
    near = {"shingles_in_both": 95, "shingles_in_either": 101, "similarity": 95 / 101}
    assert made["audit/removed"] == [
        {"id": "c", "reason": "near duplicate", "kept": "b", **near},
        {"id": "d", "reason": "exact duplicate", "kept": "b", **both},
        {"id": "e", "reason": "near duplicate", "kept": "b", **both},
    ]


def test_the_order_of_rows_and_files_threads_and_memory_change_no_byte(tmp_path: Path) -> None:
    rng = random.Random(1)
    texts = []
    for _ in range(120):
        words = (
            list(rng.choice(texts).split()) if texts and rng.random() < 0.6 else [str(rng.random()) for _ in range(40)]
        )
        words[rng.randrange(len(words))] = "x"
        texts.append(" ".join(words))
    lines = [{"text": text} for text in [*texts, *texts[:9]]]
    one = write(tmp_path / "a.jsonl", lines)
    rng.shuffle(lines)
    two = [write(tmp_path / "b1.jsonl", lines[:50]), write(tmp_path / "b2.jsonl", lines[50:])]
    run(tmp_path / "one", one, "--text", "text", "--threads", "1")
    run(tmp_path / "two", *two, "--text", "text", "--threads", "2", "--memory", "300")
    for name in ("data/train.jsonl", "audit/removed.jsonl", "audit/rows.sha256"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    digests = {json.loads((tmp_path / name / "manifest.json").read_bytes())["digest"] for name in ("one", "two")}
    assert len(digests) == 1


def test_chinese_texts_are_compared_letter_by_letter(tmp_path: Path) -> None:
    text = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少床前明月光疑是地上霜举头望明月低头思故乡"
    file = write(
        tmp_path / "t.jsonl",
        [
            {"id": i, "text": t}
            for i, t in enumerate(
                [text, "，".join([text[:20], text[20:]]), text[:-1] + "土", text[::-1], "好", "好。", "好的"]
            )
        ],
    )
    made = run(tmp_path / "out", file, "--text", "text")
    assert {(r["id"], r["kept"]) for r in made["audit/removed"]} == {("1", "0"), ("2", "0"), ("5", "4")}


def test_a_pair_the_other_way_round_is_a_contradiction_and_no_duplicate(tmp_path: Path) -> None:
    lines = [
        pair("a", TEXT, "Yes.", "No."),
        pair("b", TEXT, "No.", "Yes."),
        pair("c", NEAR, "no", "YES"),
        pair("d", TEXT, "Yes.", "Never."),
        pair("e", FAR, "No.", "Yes."),
        pair("f", TEXT, "same", "same"),
        pair("g", TEXT, "👍", "👎"),
        pair("h", TEXT, "👎", "👍"),
    ]
    made = run(tmp_path / "out", write(tmp_path / "p.jsonl", lines))
    assert [row["id"] for row in made["data/train"]] == ["a", "b", "d", "e", "f", "g", "h"]
    assert [(r["id"], r["kept"]) for r in made["audit/removed"]] == [("c", "b")]
    assert [(r["first"], r["second"], r["reason"]) for r in made["audit/contradictions"]] == [
        ("a", "b", "chosen and rejected swapped"),
        ("g", "h", "chosen and rejected swapped"),
    ]


def test_nearly_the_other_way_round_says_so(tmp_path: Path) -> None:
    lines = [pair("a", "A question?", TEXT, FAR), pair("b", "a question", FAR, NEAR)]
    made = run(tmp_path / "out", write(tmp_path / "p.jsonl", lines))
    (one,) = made["audit/contradictions"]
    assert (one["first"], one["second"], one["reason"]) == ("a", "b", "chosen and rejected swapped, nearly")
    assert one["similarity"] == one["shingles_in_both"] / one["shingles_in_either"] > 0.9


def test_prompts_responses_and_rows_are_compared_each_by_itself(tmp_path: Path) -> None:
    lines = [
        pair("a", TEXT, "one answer", "another answer", task_id="t1"),
        pair("b", TEXT, "third answer", "another answer", task_id="t1"),
        pair("c", NEAR, "one answer", "another answer", task_id="t2"),
        pair("d", FAR, "one answer", "another answer", task_id="t3"),
    ]
    file = write(tmp_path / "p.jsonl", lines)
    gone = {
        on: [(r["id"], r["kept"]) for r in run(tmp_path / on, file, "--on", on)["audit/removed"]]
        for on in ("row", "prompt", "response")
    }
    assert gone == {"row": [("c", "a")], "prompt": [("c", "a")], "response": [("c", "a"), ("d", "a")]}


def test_what_was_judged_first_stays(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    pairs = [pair(id, TEXT, "yes", "no", judgment_ids=[f"j{id}", "later"]) for id in "abc"]
    write(folder / "data" / "train.jsonl", pairs[:2])
    write(folder / "data" / "test.jsonl", pairs[2:])
    times = {
        "ja": "2026-03-01T00:00:00Z",
        "jb": "2026-02-01T00:00:00+00:00",
        "jc": "2026-02-28T00:00:00Z",
        "later": None,
    }
    write(folder / "audit" / "judgments.jsonl", [{"id": id, "submitted_at": time} for id, time in times.items()])
    made = run(tmp_path / "out", folder)
    assert [row["id"] for row in made["data/train"]] == ["b"]
    assert [(r["id"], r["kept"]) for r in made["audit/removed"]] == [("c", "b"), ("a", "b")]
    assert not (tmp_path / "out" / "data" / "test.jsonl").exists()


def test_of_a_snapshot_what_was_judged_first_stays_then_what_the_ledger_has_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    store = open_store(url)
    for prefix in ("p", "q"):  # two events of the ledger
        load(store, rows(3, prefix=prefix))
    load(store, rows(1, prefix="r", votes=[{"annotator": "ann"}]))
    store.close()
    snapshot(url, tmp_path / "snap")
    made = run(tmp_path / "out", tmp_path / "snap", "--on", "prompt", "--threshold", "1/2", "--shingle", "1")
    kept = [task["prompt"]["messages"][0]["content"] for task in made["data/train"]]
    assert kept[0] == "question r0"  # judged
    assert {text.split()[1][0] for text in kept[1:4]} == {"p"}


def test_rows_like_those_of_another_set_go_for_them(tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine.jsonl", [{"id": "1", "text": NEAR}, {"id": "2", "text": FAR}, {"id": "3", "text": "x"}]
    )
    other = write(
        tmp_path / "eval.jsonl", [{"id": "e9", "text": TEXT}, {"id": "e1", "text": TEXT}, {"id": "e2", "text": "X"}]
    )
    made = run(tmp_path / "out", mine, "--text", "text", "--against", other)
    assert [row["id"] for row in made["data/train"]] == ["2"]
    assert [(r["id"], r["kept"], r["reason"]) for r in made["audit/removed"]] == [
        ("1", "e1", "near duplicate of --against"),
        ("3", "e2", "near duplicate of --against"),
    ]


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "parquet"])
def test_plain_tables_of_every_kind_are_read(tmp_path: Path, ending: str) -> None:
    import pandas as pd

    file = tmp_path / f"t.{ending}"
    table = pd.DataFrame({"text": [TEXT, NEAR, "好的"], "n": ["1", "2", "3"]})
    if ending == "parquet":
        table.to_parquet(file)
    elif ending == "json":
        file.write_text(table.to_json(orient="records"), "utf-8")
    else:
        table.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    made = run(tmp_path / "out", file, "--text", "text")
    assert len(made["data/train"]) == 2
    assert len(made["audit/removed"]) == 1
    assert {"text": "好的", "n": "3"} in made["data/train"]


def test_a_row_that_cannot_be_read_is_kept_with_its_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", [{"text": TEXT}, {"text": None}, [1], {"text": FAR, "id": True}, {"text": ""}])
    with file.open("ab") as out:
        out.write(b"{broken\n")
    made = run(tmp_path / "out", file, "--text", "text")
    assert len(made["data/train"]) == 2
    assert [row["where"] for row in made["audit/rejected"]] == [f"t.jsonl, line {n}" for n in (2, 3, 4, 6)]
    assert "text is missing" in made["audit/rejected"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["t.jsonl", "--text", "txet"], BadInput, "did you mean 'text'"),
        (["t.jsonl"], BadInput, "--text COLUMN"),
        (["T.jsonl"], NotThere, "did you mean 't.jsonl'"),
        (["t.jsonl", "--text", "text", "--threshold", "1.2"], BadInput, "--threshold"),
        (["t.jsonl", "--text", "text", "--threshold", "1/0"], BadInput, "--threshold"),
        (["t.jsonl", "--text", "text", "--shingle", "0"], BadInput, "--shingle"),
        (["t.jsonl", "--text", "text", "--threads", "0"], BadInput, "--threads"),
        (["t.jsonl", "--text", "text", "--memory", "10"], BadInput, "--memory"),
        (["empty.jsonl", "--text", "text"], BadInput, "no row"),
        (["p.jsonl", "--on", "response"], BadInput, "--on response"),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: type[Exception], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.jsonl", [{"text": "a"}])
    write(tmp_path / "empty.jsonl", [])
    write(tmp_path / "p.jsonl", [{"messages": [{"role": "user", "content": "hi"}]}])
    with pytest.raises(error, match=says):
        dedup.main([*words, "--out", "out"])
    assert not (tmp_path / "out").exists()
    assert exit_status(lambda: dedup.main([*words, "--out", "out"])) == 2


def test_records_of_every_kind_are_known_by_their_fields(tmp_path: Path) -> None:
    message = [{"role": "user", "content": TEXT}]
    kinds: list[dict[str, Any]] = [
        {"messages": message},
        {"prompt": TEXT},
        {"prompt": message, "completion": "fine", "label": True},
        {"prompt_id": "p", "messages": [{"role": "assistant", "content": TEXT}]},
        {"prompt": {"messages": message}, "responses": [{"messages": message}, {"messages": message}]},
        {
            "chosen": [*message, {"role": "assistant", "content": "a"}],
            "rejected": [*message, {"role": "assistant", "content": "b"}],
        },
    ]
    for n, row in enumerate(kinds):
        again = json.loads(json.dumps(row).replace("word99", "word98"))
        made = run(tmp_path / f"out{n}", write(tmp_path / f"{n}.jsonl", [{**row, "id": 1}, {**again, "id": 2}]))
        assert [(r["id"], r["kept"]) for r in made["audit/removed"]] == [("2", "1")], row


def test_a_real_preference_file_keeps_no_two_pairs_alike(tmp_path: Path, real: Path) -> None:
    file = next(iter(sorted((real / "hh_rlhf").glob("*.jsonl*"))))
    made = run(tmp_path / "out", file)
    again = run(tmp_path / "again", tmp_path / "out" / "data" / "train.jsonl")
    assert len(made["data/train"]) > 50
    assert again["audit/removed"] == []


@pytest.mark.parametrize("on", ["row", "prompt", "response"])
def test_rows_in_memory_are_decided_as_the_command_decides_them(tmp_path: Path, on: Any) -> None:
    rng = random.Random(3)
    answers = [TEXT, NEAR, FAR, "Yes.", "yes", "No.", "👍", "", "好的", "好的。"]
    lines = []
    for n in range(120):
        prompt = rng.choice([TEXT, NEAR, FAR, "A question?", "问题？"])
        chosen, rejected = rng.choices(answers, k=2)
        lines.append(pair(f"r{rng.randrange(10**9)}-{n % 9}", prompt, chosen, rejected, task_id=f"t{n // 3}"))
    made = run(tmp_path / "out", write(tmp_path / "p.jsonl", lines), "--on", on)
    rng.shuffle(lines)
    found = find_duplicates(
        pair_entry(x["id"], x["prompt"], x["chosen"], x["rejected"], on=on, task=x["task_id"], line=canonical(x))
        for x in lines
    )
    assert [one._asdict() for one in found.removed()] == made["audit/removed"]
    assert [one._asdict() for one in found.contradictions or []] == made["audit/contradictions"]
    assert (len(found.contradictions or []) > 3) == (on == "row")
    assert [lines[row]["id"] for row in found.stay.tolist()] == [row["id"] for row in made["data/train"]]


def test_rows_in_memory_go_by_what_was_judged_first_then_by_the_ledger_then_by_id() -> None:
    said = {"b": (5, 9), "a": (5, 9), "c": (5, 8), "d": (4, 99), "e": (LAST, 1)}
    entries = [pair_entry(id, TEXT, "Yes.", "No.", judged=judged, seq=seq) for id, (judged, seq) in said.items()]
    for left, kept in ((5, "d"), (4, "c"), (3, "a"), (2, "b"), (1, "e")):
        found = find_duplicates(entries)
        assert {one.kept for one in found.removed()} == ({kept} if left > 1 else set())
        assert entries.pop(int(found.stay[0])).id == kept


def test_ids_of_any_length_stand_in_the_order_of_their_bytes() -> None:
    rng = random.Random(5)
    ids = list(
        {"".join(rng.choices("ab\u4e2d", k=rng.randint(1, 20))) for _ in range(300)} | {"a" * 8, "a" * 9, "a" * 16}
    )
    entries = [pair_entry(id, f"{n} {n + 1} {n + 2}", "a", "b", on="prompt") for n, id in enumerate(ids)]
    found = find_duplicates(entries)
    assert [ids[row] for row in found.stay.tolist()] == sorted(ids, key=str.encode)


def test_a_file_against_itself_loses_every_row(tmp_path: Path) -> None:
    file = write(
        tmp_path / "t.jsonl", [{"id": i, "text": t} for i, t in enumerate([TEXT, FAR, "", "👍", "好", "two words"])]
    )
    made = run(tmp_path / "out", file, "--text", "text", "--against", file)
    assert made["data/train"] == []
    assert [(r["id"], r["kept"], r["reason"]) for r in made["audit/removed"]] == [
        (str(i), str(i), "exact duplicate of --against") for i in range(6)
    ]


def test_a_parquet_file_of_one_great_row_group_is_read_as_a_stream(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(1)
    table = pa.table({"text": [f"{rng.getrandbits(3600):0900x}" for _ in range(20_000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=20_000, use_dictionary=False, compression="none")
    del table
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(pool)
    try:
        assert sum(1 for _ in open_source(str(tmp_path / "t.parquet")).items()) == 20_000
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 6_000_000 < (tmp_path / "t.parquet").stat().st_size / 2
