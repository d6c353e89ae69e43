"""Win rates from a model judge: both orders, what length does, and what people put right."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from fake import fake_server
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput, ConcordError, NotEnough, Refused
from data.folder import write_folder
from data.records import Judgment, Message, Prompt, Response, Task, canonical
from train.contests import Contest, Win, Wins, by_model, read_key
from train.corrected import corrected
from train.length_control import length_controlled
from train.to_people import write_project
from train.win_rates import judge_wins

KEY = by_model("sky", "base")


def task(
    number: int,
    run: str = "the run's",
    reference: str = "the other's",
    models: tuple[str | None, str | None] = ("sky", "base"),
) -> Task:
    prompt = Prompt.make([Message(role="user", content=f"q{number}")], language="en")
    made = [
        Response.make(prompt.id, [Message(role="assistant", content=text)], model=name)
        for name, text in zip(models, (run, reference), strict=True)
    ]
    return Task.make("p", "ab", prompt, made)


def verdict(of: Task, first: str, choice: str | None, judge: str = "j", **rest: Any) -> Judgment:
    """A judge's judgment in which `first` (sky or base) was shown first."""
    shown = [r.id for r in sorted(of.responses, key=lambda r: r.model != first)]
    fields = {"annotator": judge, "annotator_kind": "model", "shown": shown, "choice": choice, **rest}
    return Judgment.make(task_id=of.id, token=json.dumps([judge, first, choice, rest]), **fields)


def file(path: Path, *rows: tuple[Task, Sequence[Judgment]]) -> Path:
    path.write_bytes(
        b"".join(canonical({**one.plain(), "judgments": [j.plain() for j in said]}) + b"\n" for one, said in rows)
    )
    return path


def orders(of: Task, forward: str | None, backward: str | None, **rest: Any) -> list[Judgment]:
    """What was chosen with the run first, and with the reference first; None was not asked."""
    both = (("sky", forward), ("base", backward))
    return [verdict(of, first, choice, **rest) for first, choice in both if choice]


# ── verdicts ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("forward", "backward", "value", "ties", "split"),
    [
        ("A", "B", 1.0, 0, 0),
        ("B", "A", 0.0, 0, 0),
        ("A", "A", 0.5, 1, 1),  # whoever stood first
        ("B", "B", 0.5, 1, 1),
        ("tie", "tie", 0.5, 1, 0),
        ("A", "tie", 0.5, 1, 1),
        ("tie", "A", 0.5, 1, 1),
    ],
)
def test_a_winner_is_one_in_both_orders_and_every_other_verdict_a_tie(
    tmp_path: Path, forward: str, backward: str, value: float, ties: int, split: int
) -> None:
    one = task(0)
    wins = judge_wins([file(tmp_path / "t.jsonl", (one, orders(one, forward, backward)))], KEY)
    (row,) = wins.rows
    assert (row.id, row.value, row.verdicts, row.ties, row.split) == (one.prompt.id, value, 1, ties, split)
    assert row.lengths == (9, 11)
    assert row.tags == {"language": "en"}
    assert (wins.source, wins.left_out) == ("model", {})


def test_one_order_alone_is_no_verdict(tmp_path: Path) -> None:
    one, two = task(0), task(1)
    path = file(tmp_path / "t.jsonl", (one, orders(one, "A", "B")), (two, orders(two, "A", None)))
    wins = judge_wins([path], KEY)
    assert [row.value for row in wins.rows] == [1.0]
    assert wins.left_out == {"judged in one order only": 1, "contests without a verdict": 1}
    with pytest.raises(BadInput, match="one order only; judge again with --both-orders"):
        judge_wins([file(tmp_path / "u.jsonl", (two, orders(two, "A", None)))], KEY)


def test_judges_count_alike_and_so_do_their_principles_and_samples(tmp_path: Path) -> None:
    one = task(0)
    said = [
        *orders(one, "A", "B", principle="kind"),
        *orders(one, "A", "A", principle="clear"),
        *orders(one, "A", "B", principle="clear", sample_index=1),
        *orders(one, "B", "A", judge="other"),
    ]
    (row,) = judge_wins([file(tmp_path / "t.jsonl", (one, said))], KEY).rows
    # first judge (1 + ½ + 1) / 3, other 0, together half of that
    assert row.value == pytest.approx(2.5 / 3 / 2)
    assert (row.verdicts, row.ties, row.split) == (4, 1, 1)


def test_soft_verdicts_are_the_mean_of_both_orders(tmp_path: Path) -> None:
    one = task(0)
    said = [verdict(one, "sky", "A", probability=0.9), verdict(one, "base", "A", probability=0.6)]
    path = file(tmp_path / "t.jsonl", (one, said))
    assert judge_wins([path], KEY).rows[0].value == 0.5
    assert judge_wins([path], KEY, soft=True).rows[0].value == pytest.approx((0.9 + 0.4) / 2)


def test_what_is_no_models_verdict_between_the_two_is_not_counted(tmp_path: Path) -> None:
    one = task(0)
    person = verdict(one, "sky", "B", "ana", annotator_kind="person")
    lost = verdict(one, "sky", None, verdict="cannot_judge")
    bad = [verdict(one, first, None, "k", verdict="all_bad") for first in ("sky", "base")]
    wins = judge_wins([file(tmp_path / "t.jsonl", (one, [*orders(one, "A", "B"), person, lost, *bad]))], KEY)
    assert [row.value for row in wins.rows] == [0.75]  # one judge says the run, the other calls both bad
    assert wins.left_out == {"no verdict between the two": 1}


def test_the_same_file_twice_counts_once_and_equal_texts_tie_without_a_verdict(tmp_path: Path) -> None:
    one, same = task(0), task(1, "alike", "alike")
    path = file(tmp_path / "t.jsonl", (one, orders(one, "A", "B")), (same, []))
    wins = judge_wins([path, path], KEY)
    assert wins == judge_wins([path], KEY)
    assert sorted((row.value, row.verdicts) for row in wins.rows) == [(0.5, 0), (1.0, 1)]


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    one = task(0)
    whole = file(tmp_path / "t.jsonl", (one, orders(one, "A", "B")))
    blind = file(tmp_path / "blind.jsonl", (task(0, models=(None, None)), []))
    (tmp_path / "short.jsonl").write_text('{"prompt": "q", "responses": ["a", "b"]}\n')
    (tmp_path / "bad.jsonl").write_text(whole.read_text() + "[]\n")
    (tmp_path / "list.jsonl").write_bytes(canonical({**one.plain(), "judgments": 3}) + b"\n")
    with write_folder(tmp_path / "judged", "judged", {}) as folder:
        folder.write("data/tasks.jsonl", [one])
    (tmp_path / "judged" / "data" / "tasks.jsonl").write_text("{}\n")
    (tmp_path / "empty").mkdir()
    for path, key, words in [
        (whole, by_model("sky", "bass"), "answers by both sky and bass; models named there: base, sky"),
        (blind, KEY, "the answers name no model; say whose they are with --key"),
        (tmp_path / "short.jsonl", KEY, "short.jsonl, line 1: field id.*whole tasks"),
        (tmp_path / "bad.jsonl", KEY, "bad.jsonl, line 2: not a JSON object"),
        (tmp_path / "list.jsonl", KEY, "list.jsonl, line 1: field judgments"),
        (tmp_path / "empty", KEY, "is not there"),
        (tmp_path / "none.jsonl", KEY, "is not there"),
    ]:
        with pytest.raises(ConcordError, match=words) as said:
            judge_wins([path], key)
        assert "\n" not in str(said.value)
    with pytest.raises(Refused, match="not as it was written"):
        judge_wins([tmp_path / "judged"], KEY)


def test_a_real_judge_of_a_blind_comparison_is_read_by_its_key(tmp_path: Path) -> None:
    contests = [
        Contest(
            f"c{n}", f"f{n % 4}", [{"role": "user", "content": f"Tell me about {n}."}], f"Run {n}. " * 3, f"Ref {n}."
        )
        for n in range(8)
    ]
    write_project(tmp_path / "ab", contests)
    with fake_server() as server:
        flags = ["--model", "fake-judge", "--base-url", server.url, "--both-orders", "--out", str(tmp_path / "judged")]
        command = [sys.executable, "-m", "datagen.judge", "--tasks", str(tmp_path / "ab" / "data" / "tasks.jsonl")]
        done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    wins = judge_wins([tmp_path / "judged"], read_key(tmp_path / "ab" / "audit" / "key.jsonl"))
    compared = [json.loads(line) for line in (tmp_path / "judged/audit/comparisons.jsonl").read_text().splitlines()]
    assert len(wins.rows) == sum(one["both"] > 0 for one in compared) > 0
    assert sum(row.split for row in wins.rows) == sum(one["both"] - one["consistent"] for one in compared)
    assert {row.cluster for row in wins.rows} <= {"f0", "f1", "f2", "f3"}


# ── length ───────────────────────────────────────────────────────────────────


def wins_of(y: Any, delta: Any, cluster: Any, source: Any = "model", **tags: str) -> Wins:
    rows = [
        Win(f"{n:05}", str(c), float(v), (2000 + int(d), 2000), tags, 1)
        for n, (v, d, c) in enumerate(zip(y, delta, cluster, strict=True))
    ]
    return Wins(rows, source, {})


def simulated(
    seed: int, theta: float, phi: float, n: int = 240, families: int = 80, gamma: float = 0.0
) -> tuple[Wins, dict[str, float]]:
    rng = np.random.default_rng(seed)
    delta = rng.normal(150, 300, n).round()
    hard = rng.normal(0, 1, n)
    p = 1 / (1 + np.exp(-(theta + phi * np.tanh(delta / delta.std()) + gamma * hard)))
    wins = wins_of(rng.random(n) < p, delta, np.arange(n) % families)
    return wins, {row.id: float(x) for row, x in zip(wins.rows, hard, strict=True)}


def test_length_controlled_rate_is_the_one_at_equal_length_with_its_coverage() -> None:
    theta, truth = 0.2, 1 / (1 + math.exp(-0.2))
    found = [length_controlled(simulated(seed, theta, 1.2)[0]) for seed in range(60)]
    rates = np.array([one.rate for one in found])
    assert abs(rates.mean() - truth) < 3 * rates.std() / 60**0.5
    assert np.mean([one.raw for one in found]) > truth + 0.05  # what one would have believed
    hit = sum(one.low <= truth <= one.high for one in found if one.low is not None and one.high is not None)
    assert hit >= 51  # 57 expected; fewer than 51 of 60 has a chance of 1 % at 95 % coverage
    assert all(one.from_length == pytest.approx(one.raw - one.rate) for one in found)
    assert sum((one.from_length_low or 0) > 0 for one in found) > 50


def test_no_effect_of_length_leaves_the_win_rate_as_it_is() -> None:
    found = [length_controlled(simulated(seed, 0.4, 0.0)[0]) for seed in range(30)]
    apart = np.array([one.from_length for one in found])
    assert abs(apart.mean()) < 3 * apart.std() / 30**0.5
    inside = sum((one.from_length_low or 0) <= 0 <= (one.from_length_high or 0) for one in found)
    assert inside >= 24


def test_difficulty_of_prompts_is_taken_where_it_is_given() -> None:
    wins, hard = simulated(5, 0.3, 0.8, n=3000, families=100, gamma=1.5)
    with_it = length_controlled(wins, difficulty=hard)
    # E over x of the logistic of 0.3 + 1.5 x, x normal
    x = np.random.default_rng(0).normal(size=200_000)
    assert with_it.rate == pytest.approx(float((1 / (1 + np.exp(-0.3 - 1.5 * x))).mean()), abs=0.03)
    assert with_it.effect == pytest.approx(0.8, abs=0.2)
    assert length_controlled(wins).effect < with_it.effect  # what is left out shrinks the others
    with pytest.raises(BadInput, match="difficulty"):
        length_controlled(wins, difficulty={wins.rows[0].id: math.inf})


def test_the_fit_is_that_of_a_plain_logistic_regression() -> None:
    from scipy.optimize import minimize

    wins, _ = simulated(9, -0.3, 0.9)
    y = np.array([row.value for row in wins.rows])
    delta = np.array([row.lengths[0] - row.lengths[1] for row in wins.rows])
    x = np.tanh(delta / delta.std())

    def loss(b: Any) -> float:
        z = b[0] + b[1] * x
        return float((np.logaddexp(0, z) - y * z).sum())

    reference = minimize(loss, [0.0, 0.0], tol=1e-12).x
    found = length_controlled(wins)
    assert found.effect == pytest.approx(reference[1], abs=2e-3)
    assert found.rate == pytest.approx(1 / (1 + math.exp(-reference[0])), abs=1e-3)


def test_pseudo_values_have_the_rates_mean_and_its_variance_over_families() -> None:
    wins, _ = simulated(3, 0.2, 1.0)
    found = length_controlled(wins)
    assert found.low is not None
    assert found.high is not None
    values = np.array([case.value for case in found.cases])
    assert values.mean() == pytest.approx(found.rate, abs=1e-12)
    families = np.array([int(case.cluster) for case in found.cases])
    error = math.sqrt((np.bincount(families, values - found.rate) ** 2).sum()) / len(values)
    assert error == pytest.approx((found.high - found.low) / 2 / 1.99, rel=0.02)
    many = wins._replace(rows=[row._replace(cluster=row.id) for row in wins.rows] * 2)
    rows = [row._replace(id=f"{n}", cluster=f"{n}") for n, row in enumerate(many.rows)]  # 480 families: blocks of them
    large = length_controlled(wins._replace(rows=rows))
    assert large.low is not None
    assert large.high is not None
    values = np.array([case.value for case in large.cases])
    assert values.mean() == pytest.approx(large.rate, abs=1e-12)
    assert values.std() / len(values) ** 0.5 == pytest.approx((large.high - large.low) / 2 / 1.966, rel=0.08)
    assert {case.measure for case in found.cases} == {"win_rate_length_controlled"}


def test_a_run_that_always_wins_and_lengths_that_say_nothing_have_finite_figures() -> None:
    always = length_controlled(wins_of([1] * 40, range(-20, 20), range(40)))
    assert 0.95 < always.rate <= 1
    assert always.raw == 1
    assert always.high is not None
    assert always.high <= 1
    for delta, why in (([0] * 30, "equally long"), ([70] * 30, "same everywhere")):
        blind = length_controlled(wins_of([1, 0, 1] * 10, delta, range(30)))
        assert why in blind.why
        assert blind.rate == blind.raw == pytest.approx(2 / 3)
        assert (blind.from_length, blind.effect) == (0, 0)
        assert blind.low is not None
        assert blind.low < blind.rate < (blind.high or 0)
    few = length_controlled(wins_of([1, 0, 1] * 3, range(9), range(9)))
    assert (few.low, few.high, few.clusters) == (None, None, 9)
    with pytest.raises(BadInput, match="no judged contests"):
        length_controlled(Wins([], "model", {}))


def test_each_language_has_its_own_scale_of_length() -> None:
    rng = np.random.default_rng(1)
    delta = rng.normal(0, 300, 200).round()
    y = rng.random(200) < 1 / (1 + np.exp(-np.tanh(delta / delta.std())))
    english = wins_of(y, delta, range(200), language="en").rows
    chinese = [
        row._replace(id=f"z{row.id}", lengths=(2000 + (row.lengths[0] - 2000) // 3, 2000), tags={"language": "zh"})
        for row in english
    ]
    one = length_controlled(Wins(english, "model", {}))
    two = length_controlled(Wins([*english, *chinese], "model", {}))
    assert two.effect == pytest.approx(one.effect, rel=0.02)


@given(st.permutations(range(30)))
def test_the_order_of_contests_changes_nothing(order: list[int]) -> None:
    wins, _ = simulated(2, 0.1, 0.5, n=30, families=15)
    found, again = length_controlled(wins), length_controlled(wins._replace(rows=[wins.rows[n] for n in order]))
    assert again.rate == pytest.approx(found.rate, abs=1e-9)
    assert again.low == pytest.approx(found.low, abs=1e-9)


# ── a judge put right by people ──────────────────────────────────────────────


def both(
    seed: int, *, n: int = 60, more: int = 240, good: float = 0.9, flattery: float = 0.15, families: int = 100
) -> tuple[Wins, Wins]:
    """People on n of n + more contests, a judge on all: right with chance `good`, else it flatters the run.

    The truth is that the run wins 55 %; families differ.
    """
    rng = np.random.default_rng(seed)
    total = n + more
    family = rng.permutation(total) % families
    lean = rng.choice([-0.2, 0.2], families)[family]
    truth = (rng.random(total) < 0.55 + lean).astype(float)
    wrong = rng.random(total) > good
    judged = np.where(wrong, (rng.random(total) < 0.5 + flattery * 3).astype(float), truth)
    seen = rng.permutation(total)[:n]
    people = wins_of(truth, [0] * total, family, "person")
    people = people._replace(rows=[people.rows[i] for i in sorted(seen)])
    return people, wins_of(judged, [0] * total, family)


def test_the_corrected_rate_is_right_although_the_judge_flatters() -> None:
    found = [corrected(*both(seed, good=0.7)) for seed in range(200)]
    rates = np.array([one.rate for one in found])
    error = rates.std() / 200**0.5
    assert abs(rates.mean() - 0.55) < 3 * error
    assert np.mean([one.by_judge for one in found]) > 0.55 + 6 * error
    assert np.mean([one.bias for one in found]) == pytest.approx(0.3 * (0.95 - 0.55), abs=0.02)
    hit = sum(one.low <= 0.55 <= one.high for one in found if one.low is not None and one.high is not None)
    assert hit >= 180  # 190 expected; fewer has a chance below 0.2 % at 95 % coverage


def test_a_good_judge_makes_it_narrower_and_a_blind_one_leaves_people_alone() -> None:
    def width(one: Any) -> float:
        return float((one.high - one.low) / (one.by_people_high - one.by_people_low))

    good = [corrected(*both(seed, good=0.95)) for seed in range(40)]
    assert np.mean([width(one) for one in good]) < 0.75
    assert np.mean([one.weight for one in good]) > 0.6
    blind = [corrected(*both(seed, good=0.0, flattery=0)) for seed in range(40)]
    assert np.mean([one.weight for one in blind]) < 0.15
    assert max(width(one) for one in blind) <= 1 + 1e-9  # the weight is the one with the least variance


def test_without_families_the_weight_is_that_of_ppi_plus_plus() -> None:
    people, judge = both(4, families=300)
    found = corrected(people, judge)
    said = {row.id: row.value for row in people.rows}
    f = np.array([row.value for row in judge.rows if row.id in said])
    g = np.array([row.value for row in judge.rows if row.id not in said])
    y = np.array([said[row.id] for row in judge.rows if row.id in said])
    # arXiv 2311.01453, equation 6, each variance from its own sample
    weight = np.cov(y, f, bias=True)[0, 1] / len(y) / (f.var() / len(f) + g.var() / len(g))
    assert found.weight == pytest.approx(weight, abs=1e-12)
    assert found.rate == pytest.approx(weight * g.mean() + (y - weight * f).mean(), abs=1e-12)
    error = math.sqrt(((y - weight * f).var() / len(y) + weight**2 * g.var() / len(g)) * 60 / 59)
    assert found.high is not None
    assert (found.high - found.rate) / error == pytest.approx(2.001, abs=1e-3)  # t, 59 degrees of freedom
    assert (found.seen, found.unseen, found.clusters) == (60, 240, 60)
    values = [case.value for case in found.cases]
    assert np.mean(values) == pytest.approx(found.rate, abs=1e-12)
    assert math.sqrt(np.var(values) / len(values) * 60 / 59) == pytest.approx(error, rel=1e-9)


def test_people_who_saw_what_the_judge_favoured_are_noticed() -> None:
    people, judge = both(1)
    assert abs(corrected(people, judge).shift) < 3
    won = {row.id for row in judge.rows if row.value == 1}
    everyone, _ = both(1, n=300, more=0)
    picked = people._replace(rows=[row for row in everyone.rows if row.id in won][:60])
    assert corrected(picked, judge).shift > 5


def test_with_everything_seen_it_is_what_people_said_and_with_nothing_not_enough() -> None:
    people, judge = both(2, n=100, more=0)
    found = corrected(people, judge)
    assert (found.rate, found.weight, found.unseen) == (found.by_people, 0.0, 0)
    assert found.low == found.by_people_low
    with pytest.raises(NotEnough, match="1 contests were judged by people and by the judge"):
        corrected(people._replace(rows=people.rows[:1]), judge)
    few = corrected(people._replace(rows=people.rows[:5]), judge)
    assert (few.low, few.by_people_low, few.bias_low) == (None, None, None)


def test_people_and_judge_who_share_no_contest_give_a_remark_and_people_s_win_rate(tmp_path: Path) -> None:
    from train.judged_wins import Verdicts, read_verdicts

    tasks = [task(n) for n in range(6)]
    judged = file(tmp_path / "judged.jsonl", *((one, orders(one, "A", "B")) for one in tasks[:3]))
    (tmp_path / "tasks.jsonl").write_bytes(b"".join(one.line() + b"\n" for one in tasks[3:]))
    said = [verdict(one, "sky", "B", judge="Ana", annotator_kind="person") for one in tasks[3:]]
    (tmp_path / "judgments.jsonl").write_bytes(b"".join(one.line() + b"\n" for one in said))
    found = read_verdicts(Verdicts((judged,), str(tmp_path / "judgments.jsonl")), "sky", "base", {})
    assert [case.value for case in found.cases if case.measure == "win_rate"] == [0.0, 0.0, 0.0]
    assert not [case for case in found.cases if case.measure == "win_rate_corrected"]
    assert [one for one in found.remarks if one.startswith("no win rate of judges set right by people: 0 contests")]
