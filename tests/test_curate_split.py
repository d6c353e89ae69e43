"""Splits: near-duplicates and dialogues of one tree stay together, content alone decides, likeness is measured."""

import json
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.groups import Asked, asked, group, near_across, nearest_across, splits
from curate.split import main
from data.errors import BadInput
from data.text import shingles


def jaccard(a: str, b: str) -> Fraction:
    x, y = shingles(a), shingles(b)
    return Fraction(len(x & y), len(x | y)) if x | y else Fraction(int(a == b))


def texts(rng: random.Random, count: int) -> list[str]:
    """Texts of which many are near others."""
    made: list[str] = []
    for _ in range(count):
        if made and rng.random() < 0.6:
            words = rng.choice(made).split()
            words[rng.randrange(len(words))] = f"w{rng.randrange(50)}"
            made.append(" ".join(words))
        else:
            made.append(" ".join(f"w{rng.randrange(50)}" for _ in range(rng.randrange(5, 30))))
    return made


def closed(rows: Sequence[Asked], threshold: Fraction) -> list[set[int]]:
    """Groups by comparing every two rows, until nothing more is linked."""
    groups = [{i} for i in range(len(rows))]
    for i, a in enumerate(rows):
        for j in range(i):
            b = rows[j]
            if a.opener == b.opener or a.prompt == b.prompt or jaccard(a.prompt, b.prompt) >= threshold:
                one, two = next(g for g in groups if i in g), next(g for g in groups if j in g)
                if one is not two:
                    groups.remove(two)
                    one |= two
    return sorted(groups, key=min)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_those_of_comparing_every_two_rows(seed: int) -> None:
    rows = [Asked(text, text) for text in texts(random.Random(seed), 60)]
    made = group(rows)
    found: dict[str, set[int]] = {}
    for i, name in enumerate(made.group):
        found.setdefault(name, set()).add(i)
    assert sorted(found.values(), key=min) == closed(rows, Fraction(4, 5))
    assert made.largest == max(map(len, found.values()))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_moves_none(seed: int, chosen: int, shuffle: Any) -> None:
    rows = [Asked(text, text) for text in texts(random.Random(seed), 25)]
    mixed = list(range(len(rows)))
    shuffle.shuffle(mixed)
    plain = splits(group(rows).group, chosen, [60, 20, 20])
    again = splits(group([rows[i] for i in mixed]).group, chosen, [60, 20, 20])
    assert [plain[i] for i in mixed] == again


def test_a_row_without_kin_keeps_its_split_whatever_joins() -> None:
    rows = [Asked(f"question number {n} about topic {n * 7}", f"{n}") for n in range(200)]
    alone = splits(group(rows[:100]).group, 3, [90, 5, 5])
    assert splits(group(rows).group, 3, [90, 5, 5])[:100] == alone
    assert len(set(splits(group(rows).group, 3, [90, 5, 5]))) == 3


def test_a_dialogue_and_its_continuations_are_one_group() -> None:
    first = {"role": "user", "content": "How do I prune an old pear tree?"}
    reply = {"role": "assistant", "content": "In winter."}
    more = {"role": "user", "content": "And what about a very young apple tree that has never borne any fruit?"}
    other = {"role": "assistant", "content": "It depends."}
    rows = [[first], [first, reply, more], [first, other, more], [more]]
    made = group([asked({"prompt": row}) for row in rows])
    assert len(set(made.group[:3])) == 1
    assert made.group[3] != made.group[0]


@pytest.mark.parametrize(
    ("row", "prompt", "opener"),
    [
        ({"prompt": "a"}, "a", "a"),
        ({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}, "s\n\nu", "u"),
        ({"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "x"}]}, "u", "u"),
        ({"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "x"}]}, "u", "u"),
        ({"instruction": "i", "output": "o"}, "i", "i"),
        (
            {"chosen": "\n\nHuman: u\n\nAssistant: x\n\nHuman: v\n\nAssistant: y", "rejected": ""},
            "\n\nHuman: u\n\nAssistant: x\n\nHuman: v",
            "\n\nHuman: u",
        ),
    ],
)
def test_what_a_row_asks_is_read_from_common_layouts(row: dict[str, Any], prompt: str, opener: str) -> None:
    assert asked(row) == Asked(prompt, opener)


def test_a_row_without_a_prompt_names_the_nearest_field() -> None:
    with pytest.raises(BadInput, match="did you mean 'prompt'"):
        asked({"promt": "x"})


@pytest.mark.parametrize("seed", range(4))
def test_the_certificate_is_the_greatest_similarity_there_is(seed: int) -> None:
    rng = random.Random(seed)
    rows = [Asked(text, text) for text in texts(rng, 40)]
    made = group(rows)
    sides = [rng.choice(("train", "validation", "test")) for _ in rows]
    told = nearest_across(rows, made.prompt, sides)
    apart = [(i, j) for i in range(len(rows)) for j in range(i) if sides[i] != sides[j]]
    most = max(jaccard(rows[i].prompt, rows[j].prompt) for i, j in apart)
    assert told.similarity == pytest.approx(float(most)) if most >= Fraction(1, 2) else told.similarity is None
    numbers = [("train", "validation", "test").index(side) for side in sides]
    best: dict[tuple[int, int], tuple[Fraction, int]] = {}  # by text and side named before its own
    for one in apart:
        a, b = sorted(one, key=lambda i: numbers[i])
        alike = jaccard(rows[a].prompt, rows[b].prompt)
        if alike >= Fraction(4, 5):
            best[b, numbers[a]] = max(best.get((b, numbers[a]), (alike, -a)), (alike, -a))
    assert {
        (b, numbers[a]): (similarity, -a) for similarity, a, b in near_across([r.prompt for r in rows], numbers)
    } == {place: (float(alike), a) for place, (alike, a) in best.items()}


def test_below_eight_tenths_the_certificate_says_how_far_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Asked(text, text) for text in (f"write a poem about thing{n}" for n in range(60))]
    made = group(rows)
    sides = [("train", "test")[n % 2] for n in range(60)]
    assert nearest_across(rows, made.prompt, sides)[::3] == (0.5, 0.5)
    monkeypatch.setattr("curate.groups._MOST", 1)
    monkeypatch.setattr("curate.groups._LEAST", 0)
    told = nearest_across(rows, made.prompt, sides)
    assert told.similarity is None
    assert 0.5 < told.at_least <= 0.8


def test_groups_have_the_same_names_at_any_order_and_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.near_sets._ROWS", 100)
    rng = random.Random(7)
    rows = [
        Asked(text, (text.split() or [text])[0])
        for text in [*texts(rng, 250), "", "", "?!", "👍", "中文", "中文。", "w1"]
    ]
    once = dict(zip(rows, group(rows).group, strict=True))
    rng.shuffle(rows)
    assert dict(zip(rows, group(rows, threads=2).group, strict=True)) == once


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def test_the_command_splits_records_and_rejects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Any] = [{"id": str(n), "prompt": f"tell me of subject {n} and place {n * 3}"} for n in range(100)]
    rows += [{"id": "again", "prompt": "TELL ME of subject 5, and place 15!"}, {"no": "prompt"}]
    source = write(tmp_path / "rows.jsonl", rows)
    assert main([str(source), "--out", str(tmp_path / "a"), "--splits", "60,20,20", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 101
    assert said["groups"] == 100
    assert said["greatest_similarity_across_splits"]
    where = {
        json.loads(line)["id"]: path.stem
        for path in (tmp_path / "a/data").glob("*.jsonl")
        for line in path.read_text("utf-8").splitlines()
    }
    assert len(where) == 101
    assert where["again"] == where["5"]
    (reject,) = (tmp_path / "a/audit/rejected.jsonl").read_text("utf-8").splitlines()
    assert json.loads(reject)["line"] == 102
    # Any order of the rows gives the same bytes.
    write(source, rows[::-1])
    assert main([str(source), "--out", str(tmp_path / "b"), "--splits", "60,20,20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == said["digest"]


@pytest.mark.parametrize("flags", [["--splits", "90,10"], ["--threshold", "1.2"], ["--threshold", "x"]])
def test_a_wrong_flag_is_said(tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(BadInput, match=flags[0]):
        main([str(write(tmp_path / "rows.jsonl", [{"prompt": "x"}])), "--out", str(tmp_path / "o"), *flags])
