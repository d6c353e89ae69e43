"""A model judge held against people: agreement, calibration, leanings, and too little overlap."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import load, row

from curate.calibrate import main
from data.calibration import (
    calibration_curve,
    cohen_kappa,
    cooled,
    logistic,
    mean_by_group,
    scores,
    temperature,
)
from data.errors import BadInput, NotEnough, NotThere
from data.store import open_store


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def run(*flags: object) -> int:
    return main([str(flag) for flag in flags])


def graded(count: int, heat: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """A judge whose log-odds are `heat` times what they should be: its probability, people's votes, groups."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.2, count)
    return 1 / (1 + np.exp(-heat * odds)), (random.random(count) < 1 / (1 + np.exp(-odds))) * 1.0, np.arange(count)


# Arithmetic


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.5])
def test_the_temperature_of_a_judge_who_is_too_sure_comes_back(heat):
    p, t, g = graded(8000, heat)
    found = temperature(p, t, g)
    assert found.value == pytest.approx(heat, rel=0.08)
    assert found.low < heat < found.high
    assert scores(cooled(p, found.value), t).log_loss <= scores(p, t).log_loss
    if heat == 2.5:
        assert scores(cooled(p, found.value), t).calibration_error < scores(p, t).calibration_error / 2


def test_the_temperatures_interval_covers_what_it_says():
    hits = []
    for seed in range(150):
        found = temperature(*graded(150, 1.6, seed))
        hits.append(found.low <= 1.6 <= (found.high or np.inf))
    assert 0.9 <= np.mean(hits) <= 0.99


@given(st.integers(0, 40))
@settings(max_examples=20)
def test_which_response_is_called_first_changes_no_calibration(seed):
    p, t, g = graded(60, 1.5, seed)
    flip = np.random.default_rng(seed).random(60) < 0.5
    q, u = np.where(flip, 1 - p, p), np.where(flip, 1 - t, t)
    assert temperature(q, u, g).value == pytest.approx(temperature(p, t, g).value, rel=1e-6)
    assert scores(q, u) == pytest.approx(scores(p, t), abs=1e-9)
    assert [b.n for b in calibration_curve(q, u)] == [b.n for b in calibration_curve(p, t)]


def test_hard_labels_and_a_judge_who_points_the_wrong_way_have_no_temperature():
    hard = temperature([0.0, 1.0, 1.0, 0.5], [0, 1, 0, 1], [0, 1, 2, 3])
    assert (hard.value, hard.why.split(":")[0]) == (None, "hard labels")
    p, t, g = graded(500, 1.0)
    assert "wrong way" in temperature(1 - p, t, g).why


def test_the_curve_is_people_at_each_level_of_confidence():
    p = np.repeat([0.9, 0.4, 0.5], 100)
    t = np.concatenate([np.repeat([1.0, 0.0], [70, 30]), np.repeat([0.0, 1.0], [60, 40]), np.ones(100)])
    curve = calibration_curve(p, t)
    assert [(round(b.confidence, 6), b.share, b.n) for b in curve] == [
        (0.5, 0.5, 100),
        (0.6, 0.6, 100),
        (0.9, 0.7, 100),
    ]
    assert all(b.low < b.share < b.high for b in curve)
    assert scores(p, t).calibration_error == pytest.approx(0.2 / 3)
    assert sum(b.n for b in calibration_curve(*graded(997, 1.0)[:2])) == 997


def test_kappa_on_a_worked_table():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: seen 0.70, by chance 0.5 · 0.6 + 0.5 · 0.4 = 0.50.
    a, b = np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    found = cohen_kappa(a, b, np.arange(50), 2)
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    assert cohen_kappa([1, 1], [1, 1], [0, 1], 2).why == "one value only"
    left = [cohen_kappa(np.delete(a, i), np.delete(b, i), np.arange(49), 2).value for i in range(50)]
    error = np.sqrt(49 / 50 * ((np.array(left) - np.mean(left)) ** 2).sum())
    half = 2.009575 * error / 0.6  # t with 49 degrees of freedom, on the scale of log(1 - kappa)
    assert found.low == pytest.approx(1 - 0.6 * np.exp(half), rel=1e-4)
    assert found.high == pytest.approx(1 - 0.6 * np.exp(-half), rel=1e-4)


def test_logistic_regression_matches_its_known_answer_and_groups_widen_it():
    # One feature that is always 1: the log-odds of the share.
    y = np.repeat([1.0, 0.0], [30, 10])
    beta, cover = logistic(np.ones((40, 1)), y, np.arange(40))
    assert beta[0] == pytest.approx(np.log(3), abs=1e-5)
    assert cover[0, 0] == pytest.approx(1 / 30 + 1 / 10, rel=0.03)
    _, wide = logistic(np.ones((160, 1)), np.repeat(y, 4), np.repeat(np.arange(40), 4))
    assert wide[0, 0] == pytest.approx(cover[0, 0], rel=0.01)
    mean = mean_by_group(np.repeat(y, 4), np.repeat(np.arange(40), 4))
    assert mean.value == 0.75
    # Wilson's with t of 39 degrees of freedom and 39 draws, which vary as much as the 40 groups do.
    z, n = 2.022691, 39
    half = z / (1 + z * z / n) * np.sqrt(0.75 * 0.25 / n + z * z / (4 * n * n))
    assert mean.high == pytest.approx((0.75 + z * z / (2 * n)) / (1 + z * z / n) + half, rel=1e-4)
    below = mean_by_group(np.repeat(y, 4) - 1, np.repeat(np.arange(40), 4))
    assert below.high + 0.25 == pytest.approx(z * np.sqrt(0.75 * 0.25 / 39), rel=1e-3)


def test_a_share_that_is_all_or_nothing_still_has_an_interval():
    all_ = mean_by_group(np.ones(30), np.arange(30))
    assert all_.value == all_.high == 1
    assert 0.8 < all_.low < 0.95


def test_the_order_of_rows_changes_no_digit():
    p, t, _ = graded(400, 1.3)
    g = np.arange(400) // 3
    order = np.random.default_rng(0).permutation(400)
    assert temperature(p[order], t[order], g[order]) == temperature(p, t, g)
    assert scores(p[order], t[order]) == scores(p, t)
    assert calibration_curve(p[order], t[order]) == calibration_curve(p, t)
    assert mean_by_group(t[order], g[order]) == mean_by_group(t, g)


def test_shares_out_of_range_are_refused():
    with pytest.raises(BadInput, match="within 0 to 1"):
        scores([1.2], [0])
    with pytest.raises(BadInput, match="at least one"):
        scores([], [])


# The command


def judged(tmp_path: Path, tasks: int, first: float = 0.0, longer: float = 0.0, people: int = 2, seed: int = 0) -> None:
    """A project of A/B tasks: people who mostly see what is better, a judge in both orders with leanings."""
    random = np.random.default_rng(seed)
    made = []
    for n in range(tasks):
        bare = row(n, answers=2)
        ids = [r.id for r in bare.responses]
        better = random.normal(0, 1.5)  # log-odds that the first is better
        size = random.normal(0, 1)
        votes: list[dict[str, Any]] = []
        for k in range(people):
            choice = "A" if random.random() < 1 / (1 + np.exp(-better)) else "B"
            votes.append({"annotator": f"p{k}", "shown": ids, "ranking": None, "choice": choice})
        for turned in (0, 1):
            odds = (-1 if turned else 1) * (better + longer * size) + first
            votes.append(
                {
                    **{"annotator": "judge", "annotator_kind": "model", "key": f"{n}:{turned}", "ranking": None},
                    **{"shown": ids[::-1] if turned else ids, "probability": round(1 / (1 + np.exp(-odds)), 6)},
                }
            )
        words = ["w" * (200 + int(80 * size)), "w" * 200]
        fresh = row(n, answers=2, votes=votes, language="zh" if n % 2 else "en")
        texts = [
            r.model_copy(update={"messages": [r.messages[0].model_copy(update={"content": w})]})
            for r, w in zip(fresh.responses, words, strict=True)
        ]
        made.append(_with_texts(fresh, texts))
    store = open_store(f"sqlite:///{tmp_path}/concord.db")
    load(store, made, kind="ab", overlap=people)
    store.close()


def _with_texts(fresh: Any, texts: list[Any]) -> Any:
    """The row with these responses, under ids that fit their texts."""
    from data.records import response_id

    new = [r.model_copy(update={"id": response_id(r)}) for r in texts]
    ids = {old.id: r.id for old, r in zip(fresh.responses, new, strict=True)}
    votes = [v._replace(shown=[ids[s] for s in v.shown]) for v in fresh.votes]
    return fresh._replace(responses=new, votes=votes)


def test_a_fair_judge_is_measured_and_the_report_says_so(tmp_path, capsys):
    judged(tmp_path, 300)
    assert run("--project", "p", "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    (found,) = lines(tmp_path / "out/data/judges.jsonl")
    assert found["comparisons"] == 300
    assert found["alpha"]["low"] < found["alpha"]["value"] < found["alpha"]["high"]
    assert found["kappa"]["value"] > 0.3
    assert found["temperature"]["low"] < 1 < found["temperature"]["high"]
    assert found["first_side"]["low"] <= 0.5 <= found["first_side"]["high"]
    assert found["same_in_both_orders"]["value"] == 1
    assert found["length_slope"]["low"] < 0 < found["length_slope"]["high"]
    assert found["people_alpha"]["comparisons"] == 300
    slices = {s["slice"]: s for s in lines(tmp_path / "out/data/slices.jsonl")}
    assert slices["language: zh"]["comparisons"] == 150
    assert "kind: ab" in slices
    report = (tmp_path / "out/report.html").read_text("utf-8")
    assert "about as sure as it may be" in report
    assert "信心与其把握大致相称" in report
    assert "language: zh" in report
    assert any("alpha with people" in line for line in summary["findings"])


def test_leanings_to_the_first_and_the_longer_response_are_found(tmp_path):
    judged(tmp_path, 400, first=1.5, longer=2.0)
    assert run("--project", "p", "--out", tmp_path / "out") == 0
    (found,) = lines(tmp_path / "out/data/judges.jsonl")
    assert found["first_side"]["low"] > 0.5
    assert found["same_in_both_orders"]["high"] < 0.9
    assert found["longer_wins"]["more_than_people"]["low"] > 0
    assert found["length_slope"]["low"] > 0


def test_too_little_overlap_is_said_with_the_numbers_and_status_3(tmp_path):
    judged(tmp_path, 20)
    with pytest.raises(NotEnough, match="has 20") as told:
        run("--project", "p", "--out", tmp_path / "out")
    assert told.value.status == 3
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotThere, match="did you mean 'model:judge'"):
        run("--project", "p", "--judge", "model:jugde", "--out", tmp_path / "out")


def comparisons(path: Path, order: Any = None) -> Path:
    random = np.random.default_rng(3)
    rows = []
    for n in range(120):
        truth = "a" if random.random() < 0.5 else "b"
        for who, accuracy in (("ann", 0.85), ("bo", 0.85), ("gpt", 0.8)):
            said = truth if random.random() < accuracy else ("b" if truth == "a" else "a")
            rows.append(f"x{n},y{n},{said},{who}")
    rows = rows if order is None else [rows[i] for i in order.permutation(len(rows))]
    path.write_text("item_a,item_b,winner,annotator\n" + "\n".join(rows) + "\n", "utf-8")
    return path


def test_plain_comparisons_hold_one_annotator_against_the_others_in_any_order(tmp_path):
    digests = set()
    for n, threads in enumerate((1, 2, 8)):
        path = comparisons(tmp_path / f"{n}.csv", np.random.default_rng(n) if n else None)
        out = tmp_path / f"out{n}"
        assert run(path, "--comparisons", "--judge", "gpt", "--threads", threads, "--out", out) == 0
        digests.add(json.loads((out / "manifest.json").read_text())["digest"])
    assert len(digests) == 1
    (found,) = lines(out / "data/judges.jsonl")
    assert found["comparisons"] == 120
    assert found["temperature"]["why"].startswith("hard labels")
    assert 0.2 < found["alpha"]["value"] < 0.9
    with pytest.raises(BadInput, match="--judge names"):
        run(path, "--out", tmp_path / "other")
    with pytest.raises(NotThere, match="'gpt'"):
        run(path, "--comparisons", "--judge", "gtp", "--out", tmp_path / "other")


def labelled(path: Path, sure: bool = True, order: Any = None, heat: float = 1.0) -> Path:
    """Labels of 300 units by three people and a judge who says "spam" too often and how sure it is."""
    random = np.random.default_rng(5)
    rows = []
    for n in range(300):
        odds = random.normal(0, 2)
        for who in ("ann", "bo", "cy"):
            rows.append((f"u{n}", who, "spam" if random.random() < 1 / (1 + np.exp(-odds)) else "fine", ""))
        said = heat * (odds + 0.8)
        p = 1 / (1 + np.exp(-abs(said)))
        rows.append((f"u{n}", "gpt", "spam" if said > 0 else "fine", f"{p:.6f}" if sure else ""))
    rows = rows if order is None else [rows[i] for i in order.permutation(len(rows))]
    head = "unit,annotator,value,probability\n" if sure else "unit,annotator,value\n"
    lines_ = [",".join(row if sure else row[:3]) for row in rows]
    path.write_text(head + "\n".join(lines_) + "\n", "utf-8")
    return path


def test_plain_labels_hold_a_judge_against_people_in_any_order(tmp_path):
    digests = set()
    for n, threads in enumerate((1, 2, 8)):
        path = labelled(tmp_path / f"{n}.csv", order=np.random.default_rng(n) if n else None)
        assert run(path, "--judge", "gpt", "--threads", threads, "--out", tmp_path / f"out{n}") == 0
        digests.add(json.loads((tmp_path / f"out{n}/manifest.json").read_text())["digest"])
    assert len(digests) == 1
    (found,) = lines(tmp_path / "out0/data/judges.jsonl")
    assert found["units"] == 300
    assert found["alpha"]["low"] < found["alpha"]["value"] < found["alpha"]["high"]
    assert found["temperature"]["value"] > 0.5
    spam = next(v for v in found["values"] if v["value"] == "spam")
    assert spam["more_than_people"]["low"] > 0
    assert spam["judge"] - spam["people"] == pytest.approx(spam["more_than_people"]["value"])
    report = (tmp_path / "out0/report.html").read_text("utf-8")
    assert "spam" in report
    assert "与人的 α" in report


def test_labels_agree_with_what_is_counted_by_hand(tmp_path):
    rows = [("u1", "a", "x"), ("u1", "b", "x"), ("u1", "j", "x"), ("u2", "a", "x"), ("u2", "b", "y"), ("u2", "j", "y")]
    rows += [("u3", "a", "y"), ("u3", "j", "x"), ("u4", "j", "x"), ("u5", "a", "y")]  # u4 and u5 are not in common
    rows += [("u6", "a", "x"), ("u6", "a", "x"), ("u6", "a", "y"), ("u6", "j", "x")]  # most often x: said once
    path = tmp_path / "l.tsv"
    path.write_text("unit\tannotator\tvalue\n" + "".join("\t".join(row) + "\n" for row in rows))
    assert run(path, "--judge", "j", "--least", "3", "--out", tmp_path / "out") == 0
    (found,) = lines(tmp_path / "out/data/judges.jsonl")
    assert (found["units"], found["even_majorities"]) == (4, 1)
    assert found["agreement"]["value"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert found["people_alpha"]["units"] == 2
    assert {v["value"]: (v["judge"], v["people"]) for v in found["values"]} == {
        "x": (0.75, pytest.approx((1 + 0.5 + 0 + 1) / 4)),
        "y": (0.25, pytest.approx((0 + 0.5 + 1 + 0) / 4)),
    }
    assert found["temperature"]["why"].startswith("hard labels")


@pytest.mark.parametrize("heat", [0.4, 3.0])
def test_a_judge_of_labels_who_is_too_sure_or_not_sure_enough_is_told_apart(heat, tmp_path, capsys):
    path = labelled(tmp_path / "l.csv", heat=heat)
    assert run(path, "--judge", "gpt", "--out", tmp_path / "out") == 0
    (found,) = lines(tmp_path / "out/data/judges.jsonl")
    low, high = found["temperature"]["low"], found["temperature"]["high"]
    assert low > 1 if heat > 1 else high < 1
    assert ("too sure" if heat > 1 else "not sure enough") in capsys.readouterr().out


def test_labels_as_jsonl_and_parquet_with_other_columns_say_the_same(tmp_path):
    import pandas as pd

    table = pd.read_csv(labelled(tmp_path / "l.csv"))
    table.columns = ["item", "who", "label", "sure"]
    table.to_parquet(tmp_path / "l.parquet")
    table.to_json(tmp_path / "l.jsonl", orient="records", lines=True, double_precision=6)
    flags = ["--unit", "item", "--annotator", "who", "--value", "label", "--probability", "sure", "--judge", "gpt"]
    found = []
    for name in ("l.parquet", "l.jsonl"):
        assert run(tmp_path / name, *flags, "--out", tmp_path / f"{name}-out") == 0
        found.append(lines(tmp_path / f"{name}-out/data/judges.jsonl"))
    assert run(tmp_path / "l.csv", "--judge", "gpt", "--out", tmp_path / "out") == 0
    assert found[0] == found[1] == lines(tmp_path / "out/data/judges.jsonl")


def test_a_probability_that_is_none_and_too_few_units_are_said(tmp_path):
    path = labelled(tmp_path / "l.csv")
    path.write_text(path.read_text() + "u1,gpt,spam,high\nu2,gpt,spam,1.5\n")
    assert run(path, "--judge", "gpt", "--out", tmp_path / "out") == 0
    rejected = lines(tmp_path / "out/audit/rejected.jsonl")
    assert [row["line"] for row in rejected] == [1202, 1203]
    assert all("probability" in row["reason"] for row in rejected)
    with pytest.raises(NotEnough, match="gpt has 300"):
        run(path, "--judge", "gpt", "--least", "1000", "--out", tmp_path / "other")
    with pytest.raises(NotThere, match="did you mean 'gpt'"):
        run(path, "--judge", "gtp", "--out", tmp_path / "other")
