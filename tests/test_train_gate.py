"""The gate: contracts read, three outcomes, looks that are paid for, tampering noticed, and its page."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gated import CHANCE, contract_of, drawn, make_evaluation, make_run
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput, CheckFailed, NotThere, Refused
from data.manifest import read_manifest, verify_folder
from train.cases import Case
from train.chained import held, read_chain
from train.contract import Clause, contract_digest, read_contract
from train.deciding import FAIL, NOT_ENOUGH, PASS, decide, gather, holm
from train.gate_run import gate

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data/sample/contract.yaml"


def decided(workspace: Path, run: Path, contract: Path, **more: Any) -> Any:
    """The decision alone."""
    return gate(run, contract, workspace, **more)[0]


def cases_of(*rows: list[dict[str, Any]]) -> list[Case]:
    return [Case(**{**one, "tags": one["tags"]}) for group in rows for one in group]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path, "dpo-01")


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    return contract_of(tmp_path / "contract.yaml", CHANCE)


def test_the_bundled_contract_is_one() -> None:
    clauses = read_contract(SAMPLE)
    assert len(clauses) >= 5
    assert {one.compare for one in clauses} == {"value", "difference"}
    assert {one.direction for one in clauses} == {"at_least", "at_most"}


def test_every_problem_of_a_contract_is_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    bad = contract_of(
        tmp_path / "bad.yaml",
        {**CHANCE, "measure": "acuracy", "treshold": 1},
        {"clause": "b", "measure": "refuses", "threshold": "high", "direction": "atleast"},
        {**CHANCE, "clause": "c", "margin": -1, "slice": "zh"},
        {**CHANCE, "clause": "d", "threshold": 1.0},
        {**CHANCE, "clause": "e", "threshold": 0.0, "direction": "at_least"},
        "words",
        {**CHANCE, "clause": "g", "compare": "diference"},
        {**CHANCE, "clause": "h", "threshold": float("nan")},
    )
    with pytest.raises(BadInput) as error:
        read_contract(bad)
    said = str(error.value)
    for part in (
        "did you mean 'accuracy'?",
        "'treshold' is no key of a clause; did you mean 'threshold'?",
        "threshold: 'high' is no number",
        "did you mean 'at_least'?",
        "margin: -1 is below 0",
        "slice 'zh' is neither all nor TAG=VALUE",
        "clause 4 (d): no number of cases could show it: 1 is the end of the range 0 to 1",
        "clause 5 (e): every run keeps it",
        "clause 6: needed are the keys",
        "did you mean 'difference'?",
    ):
        assert part in said, part
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "at least one"), ("{a: 1}", "list of clauses"), ("[", "cannot be read as YAML"), ("- " * 3000, "YAML|key")],
)
def test_a_file_that_is_no_contract_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_contract(tmp_path / "c.yaml")
    with pytest.raises(NotThere, match=r"data/sample/contract\.yaml"):
        read_contract(tmp_path / "none.yaml")


def test_two_clauses_of_one_name_or_one_meaning_are_refused(tmp_path: Path) -> None:
    same = contract_of(tmp_path / "c.yaml", CHANCE, CHANCE, {**CHANCE, "clause": "again"})
    with pytest.raises(BadInput, match=r"two clauses are called.*'again' asks for the same as 'better than chance'"):
        read_contract(same)


def test_a_contract_is_the_same_whatever_its_clauses_are_called_and_their_order() -> None:
    a, b = Clause("a", "accuracy", 0.5, "at_least"), Clause("b", "refuses", 0.9, "at_least")
    assert contract_digest([a, b]) == contract_digest([b._replace(clause="其他"), a])
    assert contract_digest([a, b]) != contract_digest([a, b._replace(margin=0.01)])


def test_a_run_that_is_shown_to_keep_every_clause_passes(tmp_path: Path, run: Path, contract: Path) -> None:
    make_evaluation(tmp_path, "first", run, drawn("accuracy", 300, 0.62))
    decision, out = gate(run, contract, tmp_path)
    assert decision.outcome == PASS
    assert verify_folder(out) == []
    manifest = read_manifest(out)
    assert manifest.what == "gate"
    assert manifest.config["run"] == read_manifest(run).digest
    assert manifest.config["evaluation"]["template"] == "t" * 64
    (clause,) = decision.judged
    assert clause.low is not None
    assert clause.low > 0.5
    assert (clause.n, clause.clusters, clause.more) == (300, 300, None)


def test_a_planted_worse_run_fails_by_name(tmp_path: Path, run: Path) -> None:
    two = contract_of(
        tmp_path / "c.yaml",
        CHANCE,
        {"clause": "重复的拒绝", "measure": "refuses", "threshold": 0.9, "direction": "at_least"},
    )
    make_evaluation(tmp_path, "bad", run, drawn("accuracy", 200, 0.7) + drawn("refuses", 200, 0.6))
    decision = decided(tmp_path, run, two)
    assert decision.outcome == FAIL
    assert {one.clause: one.outcome for one in decision.judged} == {"better than chance": PASS, "重复的拒绝": FAIL}


def test_too_few_cases_are_not_enough_and_the_number_needed_is_told(tmp_path: Path, run: Path, contract: Path) -> None:
    make_evaluation(tmp_path, "few", run, drawn("accuracy", 40, 0.55))
    (clause,) = decided(tmp_path, run, contract).judged
    assert clause.outcome == NOT_ENOUGH
    # one-sided 2.26%, power 80%: (2.00 + 0.84)² · 0.2475 / 0.05² = 800 in all
    assert clause.more is not None
    assert 700 <= 40 + clause.more <= 900
    assert "80% power" in clause.why


def test_no_cases_and_too_few_families_say_what_is_least(tmp_path: Path) -> None:
    harmless = Clause("harmless", "over_refusal", 0.01, "at_most")
    rows = drawn("over_refusal", 5, 0.0, of=100)
    for cases, said in (([], "no cases"), (cases_of(rows), "too few: 5 prompt families")):
        outcome, (one,) = decide([gather(harmless, cases)], {}, 0.05)
        assert outcome == NOT_ENOUGH
        assert said in one.why
        assert one.more == (299 if not cases else 5)


def test_more_cases_of_the_same_family_are_no_more_evidence(tmp_path: Path) -> None:
    clause = Clause("c", "accuracy", 0.5, "at_least")
    rows = drawn("accuracy", 60, 0.6)
    outcomes = []
    for copies in (1, 30):
        cases = [Case(**{**row, "id": f"{row['id']}.{i}"}) for row in rows for i in range(copies)]
        outcomes.append(decide([gather(clause, cases)], {clause.content: 0.05}, 0.05)[0])
    assert outcomes == [NOT_ENOUGH, NOT_ENOUGH]


def test_a_difference_is_paired_and_cases_without_a_reference_are_counted() -> None:
    clause = Clause("no worse", "accuracy", 0.0, "at_least", margin=0.05, compare="difference")
    same = [{**row, "against": row["value"]} for row in drawn("accuracy", 100, 0.5)]
    evidence = gather(clause, cases_of(same, drawn("accuracy", 7, 1.0, seed=1)))
    assert evidence.without == 7
    outcome, (one,) = decide([evidence], {clause.content: 0.05}, 0.05)
    # no discordant pair among 100: the bound is -(1 - 0.05^0.01) = -0.0295
    assert (outcome, one.value, one.low) == (PASS, 0.0, pytest.approx(-0.02951, abs=1e-5))
    alone = gather(clause, cases_of(drawn("accuracy", 20, 1.0)))
    assert "the reference has no value" in decide([alone], {}, 0.05)[1][0].why


def test_a_slice_takes_its_cases_alone(tmp_path: Path) -> None:
    clause = Clause("zh", "accuracy", 0.5, "at_least", slice="language=zh")
    evidence = gather(clause, cases_of(drawn("accuracy", 50, 0.5)))
    assert len(evidence.used) == 25


def test_a_template_that_differs_fails_without_any_statistics() -> None:
    clause = Clause("template", "template_match", 1.0, "at_least")
    rows = drawn("template_match", 3, 1.0)
    assert decide([gather(clause, cases_of(rows))], {}, 0.05)[0] == PASS
    rows[0]["value"] = 0.0
    assert decide([gather(clause, cases_of(rows))], {}, 0.05)[0] == FAIL


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(1e-9, 0.5), max_size=6))
def test_holm_rejects_more_than_bonferroni_and_less_than_no_correction(p_values: dict[str, float]) -> None:
    many = len(p_values) + 1
    found = holm(p_values, 0.05, many)
    assert {name for name, p in p_values.items() if p <= 0.05 / many} <= found
    assert found <= {name for name, p in p_values.items() if p <= 0.05}


def test_holm_steps_down_as_in_the_textbook() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 against 0.05/4, 0.05/3, …: the second misses 0.0167
    assert holm({"a": 0.03, "b": 0.01, "c": 0.02, "d": 0.04}, 0.05, 4) == {"b"}
    assert holm({"a": 0.016, "b": 0.01}, 0.05, 3) == {"a", "b"}
    assert holm({"a": 0.01}, 0.0, 1) == set()


def test_a_clause_that_one_bound_shows_broken_alone_is_spared_among_many() -> None:
    worse = Clause("worse", "accuracy", 0.5, "at_least")
    others = [Clause(f"c{i}", "refuses", 0.1 + i / 1000, "at_least") for i in range(30)]
    cases = cases_of(drawn("accuracy", 100, 0.40), drawn("refuses", 100, 0.9))
    alone, _ = decide([gather(worse, cases)], {}, 0.05)
    many, _ = decide([gather(one, cases) for one in [worse, *others]], {}, 0.05)
    assert (alone, many) == (FAIL, NOT_ENOUGH)  # p = 0.028 against 0.05, then against 0.05 / 31


def test_the_same_evidence_again_costs_nothing_and_gives_the_same_record(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    make_evaluation(tmp_path, "first", run, drawn("accuracy", 60, 0.6))
    one, out = gate(run, contract, tmp_path)
    first = read_manifest(out)
    two, again = gate(run, contract, tmp_path)
    assert (again, read_manifest(again).digest) == (out, first.digest)
    assert (two.look.number, two.look.spent, two.judged) == (1, one.look.spent, one.judged)
    assert len(read_chain(tmp_path / "gates/looks.jsonl")) == 1


def test_the_same_cases_from_another_evaluation_are_the_same_look(tmp_path: Path, run: Path, contract: Path) -> None:
    rows = drawn("accuracy", 60, 0.6)
    places = [make_evaluation(tmp_path, name, run, rows, note=name) for name in "ab"]
    found = [gate(run, contract, tmp_path, evaluation=place) for place in places]
    assert [one.look.number for one, _ in found] == [1, 1]
    assert found[0][1] != found[1][1]
    assert len(read_chain(tmp_path / "gates/looks.jsonl")) == 1


def test_an_evaluation_of_a_model_that_no_run_made_is_not_of_this_run(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    rows = drawn("accuracy", 60, 0.6)
    place = make_evaluation(tmp_path, "a", run, rows, run={"fingerprint": "f" * 64, "digest": None})
    with pytest.raises(BadInput, match="evaluation of another run"):
        decided(tmp_path, run, contract, evaluation=place)


def test_more_cases_are_a_new_look_at_a_level_that_was_paid_for(tmp_path: Path, run: Path, contract: Path) -> None:
    rows = drawn("accuracy", 60, 0.6)
    make_evaluation(tmp_path, "a", run, rows)
    one = decided(tmp_path, run, contract)
    b = make_evaluation(tmp_path, "b", run, rows + drawn("accuracy", 60, 0.55, seed=1))
    two = decided(tmp_path, run, contract, evaluation=b)
    c = make_evaluation(tmp_path, "c", run, drawn("accuracy", 150, 0.55, seed=2))
    three = decided(tmp_path, run, contract, evaluation=c)
    d = make_evaluation(tmp_path, "d", run, drawn("accuracy", 300, 0.9, seed=3))
    four = decided(tmp_path, run, contract, evaluation=d)
    assert [x.look.number for x in (one, two, three, four)] == [1, 2, 3, 4]
    assert [round(x.look.spend, 4) for x in (one, two, three, four)] == [0.0226, 0.0155, 0.0118, 0.0]
    assert one.judged[0].level == pytest.approx(0.0226, abs=1e-4)
    assert two.judged[0].level == pytest.approx(0.0231, abs=2e-4)  # the cases of the first and as many more
    assert three.judged[0].level == pytest.approx(three.look.spend)  # others: nothing is known of how they depend
    assert (four.outcome, four.judged[0].why) == (NOT_ENOUGH, "all planned looks are taken")


def test_looks_are_counted_by_run_and_by_contract(tmp_path: Path, run: Path, contract: Path) -> None:
    make_evaluation(tmp_path, "a", run, drawn("accuracy", 60, 0.6))
    decided(tmp_path, run, contract)
    other = contract_of(tmp_path / "other.yaml", {**CHANCE, "threshold": 0.55})
    found = decided(tmp_path, run, other)
    assert (found.look.number, found.others) == (1, 1)
    second = make_run(tmp_path, "dpo-02", 1)
    make_evaluation(tmp_path, "b", second, drawn("accuracy", 60, 0.6))
    assert decided(tmp_path, second, contract).look.number == 1


def test_one_planned_look_has_all_of_alpha_and_the_plan_cannot_change(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    make_evaluation(tmp_path, "a", run, drawn("accuracy", 60, 0.6))
    found = decided(tmp_path, run, contract, planned=1)
    assert found.judged[0].level == pytest.approx(0.05)
    with pytest.raises(Refused, match="1 looks were planned"):
        decided(tmp_path, run, contract, planned=5)
    with pytest.raises(Refused, match=r"alpha was 0.05"):
        decided(tmp_path, run, contract, alpha=0.01)


def test_a_changed_or_shortened_log_of_looks_is_noticed(tmp_path: Path, run: Path, contract: Path) -> None:
    rows = drawn("accuracy", 60, 0.6)
    make_evaluation(tmp_path, "a", run, rows)
    decided(tmp_path, run, contract)
    b = make_evaluation(tmp_path, "b", run, rows + drawn("accuracy", 60, 0.6, seed=1))
    decided(tmp_path, run, contract, evaluation=b)
    log = tmp_path / "gates/looks.jsonl"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    for changed in (
        whole.replace(b'"look":1', b'"look":2'),
        lines[1],
        lines[1] + lines[0],
        lines[0] + b"{}\n",
        lines[0],
        b"",
    ):
        log.write_bytes(changed)
        with pytest.raises(CheckFailed, match=r"looks\.jsonl"):
            decided(tmp_path, run, contract, evaluation=b)
    log.write_bytes(whole + b'{"seq":3,"pre')  # half a line: it never counted
    assert decided(tmp_path, run, contract, evaluation=b).look.number == 2


def test_a_former_look_whose_record_is_gone_is_paid_for_without_its_help(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    rows = drawn("accuracy", 60, 0.6)
    make_evaluation(tmp_path, "a", run, rows)
    _, out = gate(run, contract, tmp_path)
    shutil.rmtree(out)
    b = make_evaluation(tmp_path, "b", run, rows + drawn("accuracy", 60, 0.6, seed=1))
    two = decided(tmp_path, run, contract, evaluation=b)
    assert two.look.number == 2
    assert two.judged[0].level == pytest.approx(two.look.spend)


def test_the_newest_evaluation_of_this_very_run_is_taken(tmp_path: Path, run: Path, contract: Path) -> None:
    make_evaluation(tmp_path, "a", run, drawn("accuracy", 300, 0.4))
    make_evaluation(tmp_path, "b", run, drawn("accuracy", 300, 0.7))  # of the same second: the later name
    make_evaluation(tmp_path, "c", make_run(tmp_path, "other", 1), drawn("accuracy", 300, 0.1))
    decision = decided(tmp_path, run, contract)
    assert (decision.evaluation.folder.name, decision.outcome) == ("b", PASS)


def test_an_evaluation_of_another_run_or_a_changed_folder_is_refused(tmp_path: Path, run: Path, contract: Path) -> None:
    with pytest.raises(NotThere, match=r"type python -m train\.evaluate"):
        decided(tmp_path, run, contract)
    place = make_evaluation(tmp_path, "a", run, drawn("accuracy", 60, 0.6))
    other = make_run(tmp_path, "other", 1)
    with pytest.raises(BadInput, match="evaluation of another run"):
        decided(tmp_path, other, contract, evaluation=place)
    with pytest.raises(BadInput, match="no run"):
        decided(tmp_path, place, contract)
    with pytest.raises(BadInput, match="no evaluation"):
        decided(tmp_path, run, contract, evaluation=other)
    path = place / "data/cases.jsonl"
    path.write_text(path.read_text().replace('"value":0.0', '"value":1.0', 1))
    with pytest.raises(CheckFailed, match=r"cases\.jsonl, line"):
        decided(tmp_path, run, contract, evaluation=place)
    (run / "model/adapter_config.json").write_text('{"r": 1}')
    with pytest.raises(CheckFailed, match="adapter_config"):
        decided(tmp_path, run, contract)
    assert not (tmp_path / "gates/looks.jsonl").exists()  # nothing was looked at


def test_a_value_outside_the_range_of_its_measure_is_told_before_any_look(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    rows = drawn("accuracy", 60, 0.6)
    rows[0]["value"] = 62.0
    make_evaluation(tmp_path, "a", run, rows)
    with pytest.raises(BadInput, match=r"better than chance.*0 to 1 is the range"):
        decided(tmp_path, run, contract)
    assert not (tmp_path / "gates/looks.jsonl").exists()


def test_a_place_that_is_taken_is_told_before_any_look_and_no_flag_is_named_that_is_not_there(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    make_evaluation(tmp_path, "a", run, drawn("accuracy", 60, 0.6))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("my own")
    with pytest.raises(Refused, match="not written by Concord"):
        gate(run, contract, tmp_path, out=tmp_path / "mine")
    assert not (tmp_path / "gates/looks.jsonl").exists()
    _, first = gate(run, contract, tmp_path, out=tmp_path / "first")
    other = contract_of(tmp_path / "other.yaml", {**CHANCE, "threshold": 0.55})
    with pytest.raises(Refused, match=r"first is there already; name a new folder$"):
        gate(run, other, tmp_path, out=first)


def test_hostile_names_do_not_reach_the_page_as_markup(tmp_path: Path, run: Path) -> None:
    evil = '<img src=x onerror=alert(1)>\u202e"[x](javascript:y)'
    bad = contract_of(tmp_path / "c.yaml", {**CHANCE, "clause": evil})
    make_evaluation(tmp_path, "a", run, drawn("accuracy", 60, 0.4), judges=[evil], note="{name} <b>")
    _, out = gate(run, bad, tmp_path)
    page = (out / "report.html").read_text("utf-8")
    assert "<img" not in page
    assert "\u202e" not in page
    assert "<img" not in (out / "README.md").read_text("utf-8")


def test_the_page_tells_the_decision_in_both_languages_with_a_span_for_each_clause(
    tmp_path: Path, run: Path, contract: Path
) -> None:
    make_evaluation(tmp_path, "a", run, drawn("accuracy", 300, 0.62))
    _, out = gate(run, contract, tmp_path)
    page = (out / "report.html").read_text("utf-8")
    for part in (
        "Gate of dpo-01: pass",
        "dpo-01 的门禁：通过",
        "At least 0.5",
        "stroke-dasharray",
        "better than chance",
    ):
        assert part in page, part
    assert "**pass**: better than chance: 0.62" in (out / "README.md").read_text("utf-8")


def test_two_commands_never_write_the_log_from_one_end(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from train.chained import held\n"
        "for i in range(20):\n"
        "    with held(Path(sys.argv[1])) as log: log.append({'by': sys.argv[2], 'i': i})\n"
    )
    log = tmp_path / "log.jsonl"
    started = [subprocess.Popen([sys.executable, "-c", code, str(log), name], cwd=ROOT) for name in "abc"]
    assert [one.wait(60) for one in started] == [0, 0, 0]
    entries = read_chain(log)
    assert [one.seq for one in entries] == list(range(1, 61))
    for name in "abc":
        assert [one.body["i"] for one in entries if one.body["by"] == name] == list(range(20))


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"), held(tmp_path / "file" / "log.jsonl"):
        pass


def command(*words: str, workspace: Path) -> "subprocess.CompletedProcess[str]":
    """A command as one types it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CONCORD_WORKSPACE": str(workspace)}
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=env, cwd=ROOT)


def test_the_command_ends_with_0_1_or_3_and_a_summary(tmp_path: Path, contract: Path) -> None:
    for seed, (rate, many, status, outcome) in enumerate(
        ((0.7, 200, 0, "pass"), (0.3, 200, 1, "fail"), (0.55, 30, 3, "not enough evidence"))
    ):
        run = make_run(tmp_path, f"run-{seed}", seed)
        make_evaluation(tmp_path, f"of-{seed}", run, drawn("accuracy", many, rate))
        done = command("train.gate", str(run), "--contract", str(contract), "--json", workspace=tmp_path)
        assert done.returncode == status, done.stderr
        said = json.loads(done.stdout)
        assert said["decision"] == outcome
        assert Path(said["wrote"], "report.html").is_file()
        if status == 3:
            assert "more needed" in said["not_enough"][0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--alpha", "0.2"], "from 0 to 0.05"),
        (["--looks-planned", "0"], "not from 1 to 100"),
        (["--alpah", "1"], "--alpha"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path: Path, run: Path, contract: Path, flags: list[str], said: str) -> None:
    done = command("train.gate", str(run), "--contract", str(contract), *flags, workspace=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_look_at_which_nothing_can_be_decided_is_not_counted(tmp_path: Path, run: Path, contract: Path) -> None:
    rows = drawn("accuracy", 8, 1.0)
    make_evaluation(tmp_path, "a", run, rows)
    first, out = gate(run, contract, tmp_path)
    assert (first.outcome, first.look.number, first.look.spent) == (NOT_ENOUGH, 0, 0.0)
    assert "no look was counted" in (out / "report.html").read_text("utf-8")
    b = make_evaluation(tmp_path, "b", run, drawn("accuracy", 60, 0.6))
    second, other = gate(run, contract, tmp_path, evaluation=b)
    assert (second.look.number, out != other) == (1, True)
    a = tmp_path / "evaluations/a"
    assert gate(run, contract, tmp_path, evaluation=a)[1] == out


def test_a_contract_without_end_or_with_numbers_as_yaml_spells_them_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("- {clause: a, measure: over_refusal, threshold: 1e-2, direction: at_most, margin: 5e-3}\n")
    assert read_contract(path)[0].limit == pytest.approx(0.015)
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}, *{p}, *{p}]\n" for p, c in pairwise("abcdefghijk"))
    path.write_text(
        f"- clause: a\n  measure: [1]\n  threshold:\n{''.join('    ' + x + chr(10) for x in bomb.splitlines())}"
    )
    with pytest.raises(BadInput, match=r"measure: a list is no text.*threshold: a dict is no number"):
        read_contract(path)


def test_the_bundled_contract_can_be_kept_with_twelve_cases_of_a_kind(tmp_path: Path, run: Path) -> None:
    rows = drawn("accuracy", 400, 0.62, against=0.5) + drawn("calibration", 400, 0.2)
    for measure in ("refuses", "over_refusal", "regression_exact"):
        rows += [{**row, "against": row["value"]} for row in drawn(measure, 12, 0.5)]
    make_evaluation(tmp_path, "a", run, rows + drawn("template_match", 50, 1.0))
    decision = decided(tmp_path, run, SAMPLE)
    assert (decision.outcome, decision.look.number) == (PASS, 1)
