"""Audits: planted faults are found by name and can be traced, a clean project blocks nothing, order changes nothing."""

import json
import math
import random
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.planted import plant
from curate import bias, cycles, people
from curate.audit import main
from curate.auditing import OF_JUDGMENTS, Limits, findings, in_order
from curate.ballot_columns import WHOLE, columns, first_shown_parts
from curate.contamination import EvaluationText, index
from curate.findings import NAMES, Found, blocking
from curate.material import Ballot, Material, Pair, Passage, material
from data.errors import BadInput, CheckFailed


def pair(n: int, chosen: str = "yes it is", rejected: str = "no, it is not so", **rest: Any) -> Pair:
    fields: dict[str, Any] = {"prompt": f"question number {n}", "licence": "CC0-1.0", "probability": 0.75, **rest}
    return Pair(f"row{n:04}", f"p{n:04}", fields.pop("prompt"), chosen, rejected, f"c{n:04}", f"r{n:04}", **fields)


def ballot(n: int, who: str, order: Sequence[str], shown: Sequence[str] = ("a", "b"), **rest: Any) -> Ballot:
    place = {r: i for i, r in enumerate(order)}
    return Ballot(
        f"j{n:05}", rest.pop("task", f"t{n}"), rest.pop("prompt", "p"), who, "person", tuple(shown), place, **rest
    )


def names(found: Sequence[Found]) -> dict[str, str]:
    return {one.finding.name: one.finding.level for one in found}


def cases(found: Sequence[Found], name: str) -> list[str]:
    return [c.id for one in found for c in one.cases if one.finding.name == name]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_planted_fault_is_found_and_can_be_traced(seed: int) -> None:
    project = plant(seed, 150)
    found = findings(project.material, None, index([EvaluationText("e", "1", "q", project.evaluation)]))
    told = {(one.finding.name, c.id) for one in found for c in one.cases}
    assert [fault for fault in project.faults if fault not in told] == []
    assert all(one.finding.trace for one in found if one.cases)
    assert {one.finding.name for one in found if one.finding.level == "block"} == {
        "split_leak",
        "contamination",
        "private_data",
    }


def test_a_clean_project_blocks_nothing() -> None:
    project = plant(1, 150, clean=True)
    found = findings(project.material, None, index([EvaluationText("e", "1", "q", project.evaluation)]))
    assert blocking([one.finding for one in found]) == []
    assert names(found).keys() <= {"position_bias", "length_bias", "style_bias"}


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_material_changes_nothing(shuffle: random.Random) -> None:
    project = plant(3, 40).material
    mixed = [list(part) for part in project[:3]]
    for part in mixed:
        shuffle.shuffle(part)
    assert findings(material(*mixed)) == findings(project)


@pytest.mark.parametrize("seed", [1, 2])
def test_judgments_audited_apart_from_the_rows_give_the_same_findings(seed: int) -> None:
    project = plant(seed, 150).material
    round_in_tasks = [ballot(n, "x", two, task=f"t{n}", prompt="p1") for n, two in enumerate(("ab", "bc", "ca"))]
    orders = ("abc", "bca", "cab")
    round_in_a_task = [ballot(n, str(n), o, shown="abc", task="t9", prompt="p2") for n, o in enumerate(orders, 3)]
    ballots = [*project.ballots, *round_in_tasks, *round_in_a_task]
    whole = findings(material(project.pairs, ballots, project.passages))
    assert len(cases(whole, "intransitive")) >= 3
    several = cycles.of_more_tasks(ballots)
    assert {"p1", "p2"} <= several < {b.prompt_id for b in ballots}
    of_judgments = findings(material((), ballots), among=OF_JUDGMENTS)
    assert {one.finding.name for one in of_judgments} >= {"position_bias_person", "speed_outlier"}
    rows = material(project.pairs, [b for b in ballots if b.prompt_id in several], project.passages)
    others = findings(rows, among=[name for name in NAMES if name not in OF_JUDGMENTS])
    assert in_order([*of_judgments, *others]) == whole


def test_circles_are_counted_among_the_prompts_that_can_go_round() -> None:
    round_in_tasks = [ballot(n, "x", two, task=f"t{n}") for n, two in enumerate(("ab", "bc", "ca"))]
    plain = [ballot(n, "x", "ab", prompt=f"q{n}") for n in range(10, 30)]
    (found,) = [one for one in findings(material([], [*round_in_tasks, *plain])) if one.finding.name == "intransitive"]
    assert (found.finding.count, found.finding.of) == (2, 1)


def test_nothing_at_all_gives_no_finding() -> None:
    assert findings(material([])) == []


def test_position_counts_a_ballot_once_and_a_tie_as_half() -> None:
    own = [ballot(1, "x", "abc", shown="abc"), ballot(2, "x", "cba", shown="abc"), ballot(3, "x", "ba")]
    own.append(Ballot("j9", "t", "p", "x", "person", ("a", "b"), {"a": 0, "b": 0}))
    rate = bias.position(columns(own))
    assert (rate.rate, rate.n) == ((1 + 0 + 0 + 0.5) / 4, 4)


@pytest.mark.parametrize("k", range(2, 10))
def test_parts_of_a_ballot_are_whole_numbers(k: int) -> None:
    shown = [str(i) for i in range(k)]
    assert first_shown_parts(ballot(1, "x", shown, shown)) == WHOLE
    assert first_shown_parts(ballot(1, "x", shown[::-1], shown)) == 0


def test_length_slope_is_the_likeliest_and_its_flips_are_those_it_outweighs() -> None:
    rng = random.Random(4)
    rows = []
    for n in range(400):
        a, b = rng.randrange(10, 200), rng.randrange(10, 200)
        better = a if rng.random() < 1 / (1 + math.exp(-(a - b) / 60)) else b
        rows.append(pair(n, "x" * better, "y" * (a + b - better)))
    told = bias.length(rows)
    assert told.slope is not None
    assert told.error is not None
    d = [(len(p.chosen) - len(p.rejected)) / told.spread for p in rows if len(p.chosen) != len(p.rejected)]

    def likelihood(slope: float) -> float:
        return -sum(math.log1p(math.exp(-slope * x)) for x in d)

    assert likelihood(told.slope) > max(likelihood(told.slope - 0.01), likelihood(told.slope + 0.01))
    assert abs(told.slope - told.spread / 60) < 4 * told.error
    slope = told.slope
    assert [i for i, _ in told.flips] == [
        i for i, p in enumerate(rows) if math.log(3) < slope * (len(p.chosen) - len(p.rejected)) / told.spread
    ]
    found = findings(material(rows))
    assert names(found)["length_bias"] == "warn"


def test_length_that_always_decides_has_no_finite_slope() -> None:
    told = bias.length([pair(n, "x" * (20 + n), "y") for n in range(9)])
    assert (told.slope, told.flips, told.share.rate) == (None, [], 1.0)


def test_lists_that_win_are_style_bias_with_length_held_still() -> None:
    listed, plain = "1. a thing\n2. b thing\n3. c thing", "a thing, and b thing, and c that"
    rows = [pair(n, f"{listed} {n}", f"{plain} {n}") for n in range(60)]
    rows += [pair(100 + n, f"{plain} {n}", f"{listed} {n}") for n in range(9)]
    found = findings(material(rows))
    (style,) = [one.finding for one in found if one.finding.name == "style_bias"]
    assert (style.level, style.figures["element"], style.count) == ("warn", "lists", 69)


def test_an_answer_in_another_script_is_named() -> None:
    rows = [
        pair(n, prompt="请介绍一下你的家乡。", chosen="It is a small town.", rejected="那是一个小镇。")
        for n in range(3)
    ]
    found = findings(material([*rows, pair(9, prompt="什么？", chosen="好的。", rejected="OK then")]))
    assert cases(found, "language_mismatch") == ["row0000", "row0001", "row0002"]


def test_somebody_quick_somebody_contrary_and_somebody_who_leans_are_named() -> None:
    rng = random.Random(2)
    own = []
    for n in range(120):
        truth = rng.choice(["ab", "ba"])
        shown = rng.choice(["ab", "ba"])
        for who in "uvwxyz":
            order = truth if rng.random() < 0.95 else truth[::-1]
            if who == "y":
                order = rng.choice(["ab", "ba"])
            if who == "z" and rng.random() < 0.8:
                order = shown
            own.append(
                ballot(len(own), who, order, shown, task=f"t{n}", seconds=2.0 if who == "x" else 20.0 + rng.random())
            )
    assert [o.annotator for o in people.too_quick(columns(own))] == ["x"]
    assert {o.annotator for o in people.disagreeing(columns(own))} == {"y", "z"}
    assert [o.annotator for o in people.leaning(columns(own))] == ["z"]


def test_labels_in_the_text_block_and_a_mark_on_one_side_is_found() -> None:
    rows = [pair(n, f"fine {n} [chosen]", f"poor {n}") for n in range(3)]
    assert names(findings(material(rows)))["label_leak"] == "block"
    rng = random.Random(1)
    rows = [pair(n, f"{rng.random()} ok over and out", f"{rng.random()} ok") for n in range(90)]
    found = findings(material(rows))
    assert names(found)["one_sided_mark"] == "block"
    assert len(cases(found, "one_sided_mark")) == 90
    assert cases(found, "label_leak") == []


def test_answers_alike_and_answers_in_the_prompt_are_found() -> None:
    text = "the mill stands by the river where the road bends to the north " * 2
    rows = [
        pair(1, "same", "same"),
        pair(2, text + "a", text + "b"),
        pair(3, text, "short", prompt=f"Is this so: {text}?"),
    ]
    found = findings(material(rows))
    assert names(found)["identical_answers"] == "block"
    assert cases(found, "near_identical_answers") == ["row0002"]
    assert cases(found, "answer_in_prompt") == ["row0003"]


def test_licences_that_lack_mix_or_restrict_are_told() -> None:
    rows = [pair(1), pair(2, licence=None), pair(3, licence="CC-BY-NC-4.0")]
    found = findings(material(rows))
    assert cases(found, "licence_unknown") == ["row0002"]
    assert cases(found, "licence_restricted") == ["row0003"]
    assert names(found)["licence_mixed"] == "info"


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")).filter(lambda e: e[0] != e[1])))
def test_circles_are_those_of_trying_every_order(edges: set[tuple[str, str]]) -> None:
    beats: dict[str, set[str]] = {x: set() for x in "abcde"}
    for a, b in edges:
        beats[a].add(b)
    reach = {(a, b) for a in beats for b in beats if a != b and _reaches(beats, a, b)}
    together = {frozenset(b for b in beats if b == a or {(a, b), (b, a)} <= reach) for a in beats}
    assert cycles.knots(beats) == sorted(sorted(k) for k in together if len(k) > 2)
    for knot in cycles.knots(beats):
        found = cycles.shortest(beats, knot)
        sizes = [
            k
            for k in range(3, len(knot) + 1)
            for some in combinations(knot, k)
            for ring in permutations(some)
            if all(ring[(i + 1) % k] in beats[ring[i]] for i in range(k))
        ]
        assert len(found) == (min(sizes) if sizes else 0)
        assert all(found[(i + 1) % len(found)] in beats[found[i]] for i in range(len(found)))


def _reaches(beats: dict[str, set[str]], a: str, b: str) -> bool:
    seen, todo = {a}, [a]
    while todo:
        for other in beats[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return b in seen


def test_one_person_and_a_majority_that_go_round_are_told_apart() -> None:
    own = [ballot(n, "x", two, task=f"t{n}") for n, two in enumerate(("ab", "bc", "ca"))]
    assert cycles.of_ballots(own) == [("p", "", ["a", "b", "c"]), ("p", "x", ["a", "b", "c"])]
    condorcet = [ballot(n, str(n), order, shown="abc", task="t") for n, order in enumerate(("abc", "bca", "cab"))]
    assert cycles.of_ballots(condorcet) == [("p", "", ["a", "b", "c"])]


def test_no_excerpt_shows_private_data() -> None:
    secret = "ann.lee@corp-mail.io"
    rows = [pair(1, f"[chosen] {secret}", f"{secret} says no"), pair(2, secret, secret)]
    told = json.dumps([one.plain() for one in findings(material(rows))])
    assert secret not in told
    assert "[EMAIL]" in told


def test_names_of_findings_are_checked_where_they_are_given() -> None:
    with pytest.raises(BadInput, match="did you mean 'contamination'"):
        blocking([], ["contaminations"])
    with pytest.raises(BadInput, match="did you mean 'length_bias'"):
        findings(material([]), Limits(only=("lenght_bias",)))
    assert all(NAMES.values())


def jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_command_blocks_until_it_is_told_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": f"r{n}", "prompt": f"what is {n} times {n}", "chosen": f"it is {n * n}", "rejected": f"no idea {n}"}
        for n in range(12)
    ]
    rows[3]["chosen"] += ", write to ann.lee@corp-mail.io or 13912345679"
    source = jsonl(tmp_path / "rows.jsonl", [*rows, {"id": "bad", "prompt": 7, "chosen": "x", "rejected": "y"}])
    with pytest.raises(CheckFailed, match="private_data block"):
        main([str(source), "--out", str(tmp_path / "a")])
    out = capsys.readouterr().out
    assert "private_data" in out
    assert "ann.lee@corp-mail.io" not in out
    told = {f["level"]: f for f in lines(tmp_path / "a/audit/findings.jsonl") if f["name"] == "private_data"}
    assert {level: f["figures"] for level, f in told.items()} == {"block": {"email": 1}, "warn": {"phone": 1}}
    assert "line 4" in told["block"]["examples"][0]["where"]
    assert len(lines(tmp_path / "a/audit/rejected.jsonl")) == 1
    good = jsonl(tmp_path / "rows.jsonl", rows)
    flags = ["--allow", "private_data", "--redact"]
    assert main([str(good), "--out", str(tmp_path / "b"), *flags]) == 0
    kept = lines(tmp_path / "b/data/rows.jsonl")
    assert kept[3]["chosen"] == "it is 9, write to [EMAIL] or [PHONE]"
    assert [r for i, r in enumerate(kept) if i != 3] == [r for i, r in enumerate(rows) if i != 3]
    assert [r["kind"] for r in lines(tmp_path / "b/audit/redactions.jsonl")] == ["email", "phone"]
    assert main([str(tmp_path / "b/data/rows.jsonl"), "--out", str(tmp_path / "c")]) == 0


def test_comparisons_and_texts_of_plain_tables_are_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "c.csv"
    said = [("a", "b", "a"), ("b", "c", "b"), ("c", "a", "c")]
    table.write_text("item_a,item_b,winner,annotator\n" + "".join(f"{x},{y},{w},u1\n" for x, y, w in said), "utf-8")
    assert main([str(table), "--comparisons", "--out", str(tmp_path / "a"), "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["found"]}
    assert found["intransitive"]["count"] == 2
    assert found["position_bias"]["figures"]["share"] == 1.0
    texts = jsonl(tmp_path / "t.jsonl", [{"body": "nothing"}, {"body": "身份证11010519491231002X"}])
    with pytest.raises(CheckFailed):
        main([str(texts), "--text", "body", "--out", str(tmp_path / "b")])
    (one,) = lines(tmp_path / "b/audit/cases.jsonl")
    assert "line 2" in one["where"]


def test_evaluation_files_are_looked_for_and_the_span_is_shown(tmp_path: Path) -> None:
    question = "Which of the three rivers that cross the old town freezes first in a cold winter and why?"
    rows = [{"prompt": f"Tell me. {question.upper()}", "chosen": "The small one.", "rejected": "None of them."}]
    known = jsonl(tmp_path / "eval.jsonl", [{"id": "q1", "question": question}])
    source = jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(CheckFailed, match="contamination"):
        main([str(source), "--evaluation", str(known), "--out", str(tmp_path / "a"), "--only", "contamination"])
    (one,) = lines(tmp_path / "a/audit/cases.jsonl")
    assert "eval.jsonl q1 (question); characters 9 to " in one["says"]
    assert "RIVERS THAT CROSS" in one["says"]


@pytest.mark.parametrize(
    "flags",
    [["--limit", "lenght=1"], ["--limit", "length=x"], ["--allow", "bias"], ["--only", "bias"], ["--threads", "0"]],
)
def test_a_wrong_flag_is_said_before_anything_is_read(tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(BadInput, match=flags[0]):
        main(["nowhere.jsonl", "--out", str(tmp_path / "o"), *flags])


def test_an_export_folder_is_audited_with_its_judgments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from data.folder import write_folder

    project = plant(5, 30)
    rows = []
    for p in project.material.pairs:
        messages = {
            field: [{"role": role, "content": getattr(p, field)}]
            for field, role in (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))
        }
        rows.append({**p._asdict(), **messages})
    with write_folder(tmp_path / "export", "export", {}) as folder:
        for split in ("train", "test"):
            folder.write(f"data/{split}.jsonl", [row for row in rows if row["split"] == split])
    with pytest.raises(CheckFailed, match="split_leak, private_data block"):
        main([str(tmp_path / "export"), "--out", str(tmp_path / "a"), "--json", "--redact"])
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == len(rows)
    assert said["replaced"] >= 6
    assert sum(len(lines(path)) for path in (tmp_path / "a/data").glob("*.jsonl")) == len(rows)


def test_passages_alone_are_searched() -> None:
    found = findings(Material([], [], [Passage("x", "text", "call 13912345679", "f, line 1")]))
    assert cases(found, "private_data") == ["x"]


def test_a_snapshot_of_a_store_is_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from annotate.intake import Wishes, load_rows
    from curate.snapshot import snapshot
    from data.formats import Row, read
    from data.store import open_store

    url = f"sqlite:///{tmp_path}/store.db"
    sample = Path(__file__).resolve().parents[1] / "data/sample/judged/tasks.jsonl"
    some = jsonl(tmp_path / "some.jsonl", lines(sample)[:150])
    store = open_store(url)
    load_rows(store, "judged", (r for r in read([str(some)]).rows if isinstance(r, Row)), Wishes(), rejected=print)
    store.close()
    snapshot(url, tmp_path / "snap")
    capsys.readouterr()
    assert main([str(tmp_path / "snap"), "--out", str(tmp_path / "a"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["judgments"] == 450
    # The same rows from the file they came from: the same shares.
    assert main([str(some), "--out", str(tmp_path / "b"), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert said["rows"] == plain["rows"]
    shares = [
        {one["name"]: one["figures"] for one in told["found"] if one["name"] in ("position_bias", "length_bias")}
        for told in (said, plain)
    ]
    assert shares[0] == shares[1]


def test_labels_of_a_plain_table_are_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(3)
    names = [f"v{n}" for n in range(12)]
    rows = ["unit,who,value"]
    for unit in range(150):
        truth = names[unit % 12]
        for who in ("ann", "bo", "cy", "di", "clicker"):
            right = who != "clicker" and rng.random() < 0.9
            rows.append(f"u{unit},{who},{truth if right else rng.choice(names)}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows) + "\n", "utf-8")
    assert main([str(table), "--annotator", "who", "--out", str(tmp_path / "a"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["judgments"] == 750
    (found,) = [f for f in told["found"] if f["name"] == "agreement_outlier"]
    assert [case["id"] for case in found["examples"]] == ["clicker"]
    assert (tmp_path / "a/report.html").is_file()


def test_an_audit_says_what_it_looked_for() -> None:
    from curate.auditing import looked_for
    from curate.material import Ballot, Material

    ballot = Ballot("j", "t", "p", "ann", "person", ("a", "b"), {"a": 0, "b": 1})
    assert looked_for(Material([], [], []), Limits()) == []
    assert set(looked_for(Material([], [ballot], []), Limits())) >= {"position_bias", "speed_outlier", "intransitive"}
    assert "licence_unknown" not in looked_for(Material([], [ballot], []), Limits())
    assert looked_for(Material([], [ballot], []), Limits(only=("intransitive",))) == ["intransitive"]
