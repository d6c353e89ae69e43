"""Agreement and aggregation from what one happens to have: bare judgments, comparisons, a connection; and left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.store import open_store
from tests.made import load, row

LET = ["--allow", "one_sided_mark"]  # the toy texts say "answer 0" where the better one stands


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of 40 ranked tasks: four people, one of whom ranks at random, and a model."""
    url = f"sqlite:///{tmp_path}/concord.db"
    monkeypatch.setenv("CONCORD_STORE", url)
    monkeypatch.setenv("CONCORD_WORKSPACE", str(tmp_path))
    random = np.random.default_rng(0)
    made = []
    for n in range(40):
        ids = [r.id for r in row(n).responses]
        votes: list[dict[str, Any]] = []
        for who in ("p1", "p2", "p3", "wild", "m1"):
            order = random.permutation(3) if who == "wild" or random.random() < 0.2 else np.arange(3)
            kind = "model" if who == "m1" else "person"
            votes.append({"annotator": who, "annotator_kind": kind, "ranking": [[ids[i]] for i in order]})
        made.append(row(n, votes=votes, language="zh" if n % 2 else "en"))
    opened = open_store(url)
    load(opened, made, overlap=4)
    opened.close()
    return url


def measured(out: Path, *words: str) -> list[dict[str, Any]]:
    from curate.agreement import main

    assert main([*words, "--out", str(out), "--replicates", "50"]) == 0
    return lines(out / "data/agreement.jsonl")


def test_bare_judgments_of_an_export_are_measured_as_the_project_is(store: str, tmp_path: Path) -> None:
    from curate.export import main as export

    whole = measured(tmp_path / "a", "--project", "p")
    assert export(["--project", "p", "--out", str(tmp_path / "e"), "--sources", "human,model", *LET]) == 0
    of_folder = measured(tmp_path / "b", str(tmp_path / "e"))
    # A record does not say when it was handed in where its author did not, so there is no month.
    assert of_folder == [r for r in whole if r["slice"] != "month"]
    alone = tmp_path / "judgments.jsonl"  # without the tasks beside it there are no languages, tags and prompts
    alone.write_bytes((tmp_path / "e/audit/judgments.jsonl").read_bytes() + b'{"id": "x"}\n')
    bare = measured(tmp_path / "c", str(alone))
    for rows in (whole, bare):
        rows[:] = [r for r in rows if r["slice"] == "all" and r["measure"] == "alpha" and r["left_out"] is None]
    assert [(r["criterion"], r["who"], r["value"]) for r in bare] == [
        (r["criterion"], r["who"], r["value"]) for r in whole
    ]
    assert lines(tmp_path / "c/audit/rejected.jsonl")[0]["line"] == 201


def test_bare_judgments_are_aggregated_as_the_project_is(store: str, tmp_path: Path) -> None:
    from curate.aggregate import main as aggregate
    from curate.export import main as export

    assert export(["--project", "p", "--out", str(tmp_path / "e"), "--sources", "human,model", *LET]) == 0
    for out, words in (("s", ["--project", "p"]), ("b", ["--snapshot", str(tmp_path / "e")])):
        assert aggregate([*words, "--out", str(tmp_path / out), "--replicates", "20"]) == 0
    for name in ("pairs", "responses", "annotators"):
        assert lines(tmp_path / f"s/data/{name}.jsonl") == lines(tmp_path / f"b/data/{name}.jsonl"), name


def test_each_annotator_is_left_out_within_slices_too(store: str, tmp_path: Path) -> None:
    rows = measured(tmp_path / "a", "--project", "p")
    english = {
        r["left_out"]: r["value"]
        for r in rows
        if (r["slice"], r["key"], r["measure"], r["who"]) == ("language", "en", "alpha", "people")
    }
    assert len(english) == 5
    order = sorted(english, key=lambda who: english[who])
    assert english[order[-1]] > english[None] + 0.1 > english[order[-2]]  # one of the four ranks at random


def test_leaving_out_in_one_pass_is_measuring_the_others() -> None:
    from curate.count_patterns import packing
    from curate.engine import add_rows, engine
    from curate.leave_out import leave_out
    from data.agreement import gwet_ac1, krippendorff_alpha, percent_agreement

    random = np.random.default_rng(1)
    unit, annotator = np.divmod(np.arange(240), 6)
    value, kept = random.integers(0, 4, 240), random.random(240) < 0.7
    import pyarrow as pa

    table = pa.table({"unit": unit[kept], "annotator": annotator[kept], "value": value[kept].astype(np.int32)})
    with engine() as con:
        con.execute("CREATE TABLE said (unit BIGINT, annotator BIGINT, value INTEGER)")
        add_rows(con, "said", table)
        found = leave_out(con, "said", packing(4, 6), "ordinal", None, key="(unit % 2)::VARCHAR")
    assert list(found) == ["0", "1"]
    for name, left in found.items():
        for place, gone in enumerate(left.annotators.tolist()):
            of = kept & (annotator != gone) & (unit % 2 == int(name))
            counts = np.zeros((40, 4), dtype=np.int64)
            np.add.at(counts, (unit[of], value[of]), 1)
            counts = counts[counts.sum(axis=1) > 0]
            assert left.values["alpha"][place] == pytest.approx(krippendorff_alpha(counts, "ordinal").value)
            assert left.values["percent"][place] == pytest.approx(percent_agreement(counts).value)
            assert left.values["ac1"][place] == pytest.approx(gwet_ac1(counts).value)
            assert left.units[place] == (counts.sum(axis=1) > 1).sum()


def test_comparisons_have_an_agreement_whichever_side_an_item_stood_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    said = []
    for i in range(60):
        pair = [f"x{i}", f"y{i}"]
        for who in "abc":
            a, b = pair if random.random() < 0.5 else pair[::-1]
            better = pair[0] if (i % 2) ^ (random.random() < 0.1) else pair[1]
            said.append((a, b, better, who))
    files = []
    for name, turn in (("a", False), ("b", True)):
        text = "".join(f"{b if turn else a},{a if turn else b},{w},{who}\n" for a, b, w, who in said)
        files.append(tmp_path / f"{name}.csv")
        files[-1].write_text("item_a,item_b,winner,annotator\n" + text)
    first, second = (measured(tmp_path / f.stem, str(f), "--comparisons") for f in files)
    assert first == second
    assert first[0]["units"] == 60
    assert 0.5 < first[0]["value"] < 0.9


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("item,worker,label", "--unit item --annotator worker --value label?"),
        ("Unit,Annotator,Value", "--unit Unit --annotator Annotator --value Value?"),
        ("单元,标注者,值", "--unit 单元 --annotator 标注者 --value 值?"),
        ("item_a,item_b,winner", "add --comparisons"),
    ],
)
def test_all_missing_columns_are_named_at_once_with_what_is_meant(
    header: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from curate.agreement import main
    from data.errors import exit_status

    (tmp_path / "a.csv").write_text(header + "\n1,2,3\n", "utf-8")
    words = [str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")]
    assert exit_status(lambda: main(words)) == 2
    told = capsys.readouterr().err
    assert hint in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "unit,annotator,value\n".encode("utf-16"), "UTF-16"),
        ("b.csv", "unité,annotator,value\n".encode("cp1252"), "not UTF-8"),
        ("c.jsonl", b"", "is empty"),
        ("d.csv", b"unit,annotator,value\n", "none beneath the header"),
    ],
)
def test_a_file_that_is_no_table_is_told_in_one_line(
    name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from curate.agreement import main
    from data.errors import exit_status

    (tmp_path / name).write_bytes(content)
    assert exit_status(lambda: main([str(tmp_path / name), "--out", str(tmp_path / "out")])) == 2
    assert said in capsys.readouterr().err


def test_no_number_is_a_missing_value_among_numbers_and_a_label_among_words(tmp_path: Path) -> None:
    from curate.engine import engine
    from curate.tables import read_labels, read_tally

    for name, words, missing in (("a", ["1", "2", "nan", "NaN"], 2), ("b", ["good", "bad", "nan", "nan"], 0)):
        (tmp_path / f"{name}.csv").write_text(
            "unit,annotator,value\n" + "".join(f"u{i},a,{word}\n" for i, word in enumerate(words))
        )
        with engine() as con:
            tally = read_tally(con, read_labels(con, [tmp_path / f"{name}.csv"]))[0]
        assert (tally.rows, tally.missing) == (4 - missing, missing)


def test_labels_of_one_annotator_stay_as_they_were_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from curate.aggregate import main

    path = tmp_path / "one.csv"
    path.write_text("unit,annotator,value\n" + "".join(f"u{i:02},a,{i % 5}\n" for i in range(30)))
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    assert [r["label"] for r in lines(tmp_path / "out/data/labels.jsonl")] == [str(i % 5) for i in range(30)]
    assert "no unit was labelled by two annotators" in capsys.readouterr().out


def test_a_project_is_aggregated_without_a_folder_and_prompts_alike_are_solved_once(store: str, tmp_path: Path) -> None:
    from curate.aggregated import Wishes, aggregate_project
    from curate.calibrated import judge_project
    from curate.engine import engine
    from curate.votes import choices_of, opened
    from data.rankings import plackett_luce

    with engine() as con, opened(con, None, store):
        found = aggregate_project(con, "p", Wishes(replicates=20))
        judged = judge_project(con, "p", least=20)
    assert len(found.probability) == len(found.pairs.first) == 120
    assert found.worths.strength.shape == (120,)
    assert sorted(row["kind"] for row in found.people) == ["model"] + ["person"] * 4
    assert len(judged.rows) == 1
    made = choices_of(found.cast)
    alone = made.task == 7
    one = plackett_luce([3], np.zeros(alone.sum(), int), made.available[alone], made.chosen[alone], made.weight[alone])
    assert found.worths.strength[21:24] == pytest.approx(one.strength, abs=1e-6)


def test_sparse_strengths_are_those_of_the_table_of_items_by_items() -> None:
    from data.strength_intervals import bootstrap_strengths
    from data.strength_sparse import sparse_strengths

    random = np.random.default_rng(0)
    first = random.integers(0, 30, 900)
    second = (first + random.integers(1, 30, 900)) % 30
    winner = random.integers(0, 3, 900)
    few: Any = sparse_strengths(first, second, winner, items=30, replicates=100)
    many: Any = bootstrap_strengths(first, second, winner, items=30, replicates=100, order=True)
    assert few.whole.strength == pytest.approx(many.whole.strength, abs=1e-8)
    assert few.whole.tie == pytest.approx(many.whole.tie)
    assert few.order_high == pytest.approx(many.order_high, rel=0.3)
    assert np.mean(few.high - few.low) == pytest.approx(np.mean(many.high - many.low), rel=0.1)


def test_hundreds_of_items_have_standings(tmp_path: Path) -> None:
    from curate.aggregate import main

    random = np.random.default_rng(0)
    met = [(int(a), int((a + d) % 600)) for a, d in zip(range(600), random.integers(1, 600, 600), strict=True)]
    text = "".join(f"m{a},m{b},m{min(a, b)}\n" for a, b in met + [(i, (i + 1) % 600) for i in range(600)])
    (tmp_path / "many.csv").write_text("item_a,item_b,winner\n" + text)
    words = [str(tmp_path / "many.csv"), "--comparisons", "--replicates", "10", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    rows = lines(tmp_path / "out/data/standings.jsonl")
    assert len(rows) == 600
    assert all(row["too_few"] for row in rows)
    assert rows[0]["low"] < rows[0]["strength"] < rows[0]["high"]
