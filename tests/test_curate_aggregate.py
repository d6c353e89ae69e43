"""Aggregation: labels, preferences and strengths from many judgments, and how reliable each annotator is."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import load, row

from curate.aggregate import main
from data.consensus import dawid_skene
from data.errors import BadInput
from data.rankings import choices, plackett_luce
from data.reliability import reliability
from data.strength import bradley_terry, fit_pairs, never_lost, tally
from data.strength_intervals import bootstrap_strengths

GOLDEN = Path(__file__).parent / "golden"


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def run(*flags: object) -> int:
    return main([str(flag) for flag in flags])


def crowd(items: int, people: int, each: int, accuracy: Any, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Truth, and votes of `each` annotators per item: item, annotator, label."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, items)
    chance = np.broadcast_to(accuracy, people)
    who = np.concatenate([random.permutation(people)[:each] for _ in range(items)])
    what = np.repeat(np.arange(items), each)
    right = random.random(len(what)) < chance[who]
    said = np.where(right, truth[what], (truth[what] + random.integers(1, max(2, classes), len(what))) % classes)
    return truth, what, who, said


# Dawid and Skene


@pytest.mark.parametrize(("classes", "accuracy"), [(2, 0.6), (2, 0.8), (4, 0.5)])
@pytest.mark.parametrize("model", ["full", "one-coin"])
def test_acceleration_ends_where_plain_steps_end(classes, accuracy, model):
    _, *votes = crowd(1500, 12, 5, accuracy, classes)
    fast = dawid_skene(*votes, classes=classes, model=model)
    plain = dawid_skene(*votes, classes=classes, model=model, accelerate=False, max_iterations=20_000)
    assert fast.converged
    assert plain.converged
    assert fast.confusion == pytest.approx(plain.confusion, abs=1e-6)
    assert fast.posterior == pytest.approx(plain.posterior, abs=1e-5)
    assert fast.iterations <= plain.iterations


def test_the_published_patients_come_out_with_and_without_acceleration():
    patients = json.loads((GOLDEN / "dawid_skene_1979.json").read_text())
    votes, expected = np.array(patients["votes"]).T - 1, patients["expected"]
    for accelerate in (True, False):
        found = dawid_skene(*votes, smoothing=0, accelerate=accelerate)
        assert found.log_likelihood == pytest.approx(expected["log_likelihood"], abs=5e-5)
        assert found.prevalence == pytest.approx(expected["class_marginals"], abs=5e-5)
        assert all(b >= a - 1e-9 for a, b in itertools.pairwise(found.history))


@given(st.integers(0, 50), st.permutations(range(4)))
@settings(max_examples=15)
def test_renaming_classes_renames_the_answer(seed, names):
    _, what, who, said = crowd(60, 6, 4, 0.7, 4, seed)
    found = dawid_skene(what, who, said, classes=4)
    renamed = dawid_skene(what, who, np.array(names)[said], classes=4)
    assert renamed.posterior[:, names] == pytest.approx(found.posterior, abs=1e-6)
    assert renamed.confusion[:, names][:, :, names] == pytest.approx(found.confusion, abs=1e-6)


def test_no_digit_depends_on_threads_or_the_order_of_votes_over_many_blocks(monkeypatch):
    monkeypatch.setattr("data.vote_table._BLOCK", 500)
    _, *votes = crowd(900, 15, 5, 0.75, 3)
    part = np.random.default_rng(1).choice([0.25, 1 / 3, 1.0], len(votes[0]))
    found = dawid_skene(*votes, part, threads=1)
    order = np.random.default_rng(2).permutation(len(votes[0]))
    for threads in (1, 2, 5):
        again = dawid_skene(*(v[order] for v in votes), part[order], threads=threads)
        assert again.posterior.tobytes() == found.posterior.tobytes()
        assert again.confusion.tobytes() == found.confusion.tobytes()
    people = [
        reliability(*(v[o] for v in votes), found, part[o]).estimate.tobytes() for o in (order, np.arange(len(order)))
    ]
    assert people[0] == people[1]


def test_one_coin_has_one_chance_per_annotator_and_even_errors():
    _, *votes = crowd(800, 10, 5, np.linspace(0.5, 0.95, 10), 3)
    found = dawid_skene(*votes, model="one-coin")
    for person, table in enumerate(found.confusion):
        assert np.diag(table) == pytest.approx(np.full(3, table[0, 0]))
        assert table[0, 1] == pytest.approx((1 - table[0, 0]) / 2)
        assert table[0, 0] == pytest.approx(np.linspace(0.5, 0.95, 10)[person], abs=0.1)


def sided(items: int, people: int, bias: dict[int, float], seed: int = 0) -> tuple[np.ndarray, ...]:
    """Votes on pairs shown in either order; some annotators take the first side whatever it holds."""
    random = np.random.default_rng(seed)
    truth, what, who, said = crowd(items, people, 4, 0.85, 2, seed)
    turned = random.random(len(what)) < 0.5
    said = np.where(turned, 1 - said, said)  # from item's class to the side shown
    for person, chance in bias.items():
        said = np.where((who == person) & (random.random(len(who)) < chance), 0, said)
    return truth, what, who, said, turned


def test_a_position_bias_is_a_row_of_the_confusion_matrix():
    truth, what, who, said, turned = sided(1500, 8, {3: 0.7})
    found = dawid_skene(what, who, said, turned=turned)
    first, second = found.confusion[:, 0, 0], found.confusion[:, 1, 0]
    # 0.7 + 0.3 · 0.85 where the first is right, 0.7 + 0.3 · 0.15 where it is wrong.
    assert (first[3], second[3]) == pytest.approx((0.955, 0.745), abs=0.06)
    assert np.delete(second, 3).max() < 0.25
    assert (found.posterior.argmax(axis=1) == truth).mean() > 0.9
    assert found.prevalence == pytest.approx([0.5, 0.5])


@given(st.integers(0, 30))
@settings(max_examples=10)
def test_which_of_a_pair_is_named_first_changes_nothing_but_the_names(seed):
    _, what, who, said, turned = sided(80, 5, {0: 0.5}, seed)
    there = dawid_skene(what, who, said, turned=turned)
    flip = np.random.default_rng(seed).random(80) < 0.5
    back = dawid_skene(what, who, said, turned=turned ^ flip[what])
    assert np.where(flip[:, None], back.posterior[:, ::-1], back.posterior) == pytest.approx(there.posterior, abs=1e-6)
    assert back.confusion == pytest.approx(there.confusion, abs=1e-6)


def test_reliability_intervals_cover_what_they_say():
    # A grid of classes, accuracies and votes per item; the average over all, and the worst cell above chance.
    cells = []
    for classes, (low, high), each in itertools.product((2, 4), ((0.65, 0.95), (0.8, 0.98)), (4, 6)):
        hits = []
        for seed in range(6):
            accuracy = np.random.default_rng(seed).uniform(low, high, 20)
            _, *votes = crowd(250, 20, each, accuracy, classes, seed)
            found = reliability(*votes, dawid_skene(*votes, classes=classes))
            hits += list((found.low <= accuracy) & (accuracy <= found.high))
        cells.append(np.mean(hits))
    assert 0.93 <= np.mean(cells) <= 0.97
    assert min(cells) >= 0.87


def test_reliability_intervals_allow_for_others_who_are_poorly_known():
    # Where nearly all guess, intervals that take the others' reliability as known hold the truth 74% of the time.
    hits = []
    for seed in range(20):
        accuracy = np.random.default_rng(seed).uniform(0.55, 0.70, 20)
        _, *votes = crowd(250, 20, 3, accuracy, 2, seed)
        found = reliability(*votes, dawid_skene(*votes, smoothing=1.0))
        hits += list((found.low <= accuracy) & (accuracy <= found.high))
    assert 0.86 <= np.mean(hits) <= 0.97


def test_reliability_intervals_of_those_beside_people_of_known_skill_are_as_narrow_as_votes_allow():
    # Forty who are nearly always right leave no doubt about an item: a person's interval is that of known answers.
    accuracy = np.append(np.full(40, 0.99), 0.8)
    truth, what, who, said = crowd(400, 41, 9, accuracy)
    found = reliability(what, who, said, dawid_skene(what, who, said, smoothing=1.0))
    mine = who == 40
    right, of = int((said[mine] == truth[what[mine]]).sum()), int(mine.sum())
    drop = 3.8415 / 2
    chance = np.linspace(0.001, 0.999, 9981)
    fits = (right + 0.5) * np.log(chance) + (of - right + 0.5) * np.log(1 - chance)
    inside = chance[fits >= fits.max() - drop]
    assert (found.low[40], found.high[40]) == pytest.approx((inside[0], inside[-1]), abs=0.01)


def test_reliability_of_a_few_votes_has_no_interval():
    _, what, who, said = crowd(200, 6, 3, 0.8)
    who = np.append(who, 6)
    found_with = (np.append(what, 0), who, np.append(said, 0))
    found = reliability(*found_with, dawid_skene(*found_with))
    assert math.isnan(found.low[6])
    assert np.isfinite(found.low[:6]).all()


# Bradley and Terry, Davidson


# A. Agresti, Categorical Data Analysis (2nd ed.), section 10.6: the home team (row) won and lost against each visitor.
# Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore.
HOME = """
0-0 4-3 4-2 4-3 6-1 4-2 6-0
3-3 0-0 4-2 4-3 6-0 6-1 4-3
2-5 4-3 0-0 2-4 4-3 4-2 6-0
3-3 5-1 2-5 0-0 4-3 4-2 6-1
5-1 2-5 3-3 4-2 0-0 5-2 6-0
2-5 3-3 3-4 4-3 4-2 0-0 2-4
2-5 1-5 1-6 2-4 1-6 3-4 0-0
"""


def test_baseball_with_home_advantage_matches_the_published_fit():
    table = [[tuple(map(int, cell.split("-"))) for cell in line.split()] for line in HOME.split("\n") if line]
    games_of: list[tuple[int, int, int, int]] = []
    for i, j in itertools.permutations(range(7), 2):
        for side, games in zip((1, 2), table[i][j], strict=True):
            if games:
                games_of = [*games_of, (i, j, side, games)]
    home, away, winner, count = zip(*games_of, strict=True)
    pairs = tally(home, away, winner, count, order=True)
    found = fit_pairs(pairs, 7, prior=0, order=True)
    assert found.order == pytest.approx(0.302, abs=5e-4)
    assert found.order_error == pytest.approx(0.131, abs=5e-4)
    shares = np.exp(found.strength) / np.exp(found.strength).sum()
    assert shares[::-1] == pytest.approx([0.044, 0.088, 0.137, 0.157, 0.164, 0.190, 0.220], abs=5e-4)
    plain = fit_pairs(tally(home, away, winner, count), 7, prior=0)
    against = plain.strength - plain.strength[6]
    assert against[:6] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68], abs=5e-3)


def battles(count: int, items: int, tie: float = 0.6, order: float = 0.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """True log-strengths, and comparisons: first, second, winner."""
    random = np.random.default_rng(seed)
    theta = random.normal(0, 1, items)
    first = random.integers(0, items, count)
    second = (first + random.integers(1, items, count)) % items
    half = (theta[first] - theta[second] + order) / 2
    win, lose = np.exp(half), np.exp(-half)
    point = random.random(count) * (win + lose + tie)
    return theta - theta.mean(), first, second, np.where(point < win, 1, np.where(point < win + lose, 2, 0))


def test_long_rows_and_tables_of_wins_give_the_same_strengths():
    _, first, second, winner = battles(4000, 9)
    wins, ties = np.zeros((9, 9)), np.zeros((9, 9))
    for a, b, w in zip(first, second, winner, strict=True):
        if w == 0:
            ties[a, b] += 1
            ties[b, a] += 1
        else:
            wins[(a, b) if w == 1 else (b, a)] += 1
    rows = fit_pairs(tally(first, second, winner), 9, tie_model="davidson")
    table = bradley_terry(wins, ties, tie_model="davidson")
    assert rows.strength.tobytes() == table.strength.tobytes()
    assert rows.tie == table.tie


@pytest.mark.parametrize(("tie", "order"), [(0.6, 0.0), (0.0, 0.4), (0.5, -0.3)])
def test_strengths_ties_and_the_order_effect_come_back_from_many_comparisons(tie, order):
    theta, *rows = battles(40_000, 8, tie, order)
    found = fit_pairs(tally(*rows, order=True), 8, tie_model="davidson", order=True)
    assert found.strength == pytest.approx(theta, abs=0.1)
    assert found.order == pytest.approx(order, abs=0.05)
    assert (found.tie or 0) == pytest.approx(tie, abs=0.05)


def test_bootstrap_intervals_are_those_of_drawing_the_rows_again():
    # Each round must be the fit of its own counts: the multinomial is drawn again here with the same seed.
    _, *rows = battles(600, 5)
    found = bootstrap_strengths(*rows, replicates=7, seed=3)
    pairs = tally(*rows)
    cells = np.concatenate([pairs.won, pairs.tied, pairs.lost])
    drawn = np.random.default_rng([3, 0]).multinomial(600, cells / 600, size=7)
    for counts, strength in zip(drawn, found.draws, strict=True):
        won, tied, lost = counts.reshape(3, -1).astype(float)
        alone = fit_pairs(pairs._replace(won=won, tied=tied, lost=lost), 5, tie_model="davidson")
        assert strength == pytest.approx(alone.strength, abs=1e-7)


def test_bootstrap_width_is_that_of_the_standard_error_and_groups_widen_it():
    _, *rows = battles(3000, 6)
    found = bootstrap_strengths(*rows, replicates=400, seed=1)
    assert (found.high - found.low) / 3.92 == pytest.approx(found.whole.error, rel=0.15)
    four = [np.repeat(column, 4) for column in rows]
    grouped = bootstrap_strengths(*four, np.full(12_000, 0.25), np.repeat(np.arange(3000), 4), replicates=400, seed=1)
    assert (grouped.high - grouped.low) == pytest.approx(found.high - found.low, rel=0.2)


def test_the_bootstrap_is_the_same_at_any_threads_and_order_of_rows():
    _, *rows = battles(900, 6)
    group, weight = np.arange(900) // 3, np.where(np.arange(900) % 2, 1 / 3, 0.7)
    order = np.random.default_rng(0).permutation(900)
    for extra in ((), (weight, group)):
        found = bootstrap_strengths(*rows, *extra, replicates=120, seed=5, threads=1)
        for threads in (2, 3):
            shuffled = (column[order] for column in (*rows, *extra))
            again = bootstrap_strengths(*shuffled, replicates=120, seed=5, threads=threads)
            assert again.draws.tobytes() == found.draws.tobytes()


def test_fractional_weights_without_groups_are_refused():
    with pytest.raises(BadInput, match="groups"):
        bootstrap_strengths([0, 1], [1, 0], [1, 1], [0.5, 0.5])


def test_a_group_that_never_lost_is_named():
    pairs = tally([0, 0, 1, 3], [1, 2, 2, 4], [1, 1, 0, 0])
    found = fit_pairs(pairs, 5)
    assert never_lost(pairs, 5, found.component) == [[0]]
    assert found.component.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (([0], [0], [1]), "itself"),
        (([0], [1], [3]), "winner"),
        (([0], [1], [1], [0.0]), "above 0"),
        (([0], [1, 2], [1]), "same length"),
    ],
)
def test_comparisons_that_are_none_are_refused(rows, fault):
    with pytest.raises(BadInput, match=fault):
        tally(*rows)


# Plackett and Luce


def brute(theta: np.ndarray, ties: dict[int, float], rankings: list[list[list[int]]], prior: float) -> float:
    """Log-posterior of one prompt by the definition: each tier against every set that could have been chosen."""
    value = -prior * sum(math.log1p(math.exp(-t)) + math.log1p(math.exp(t)) for t in theta)
    weight = {1: 1.0, **ties}

    def worth(members: tuple[int, ...]) -> float:
        return weight[len(members)] * math.exp(sum(theta[m] for m in members) / len(members))

    for tiers in rankings:
        left = sorted(r for tier in tiers for r in tier)
        for tier in tiers:
            sets = [s for size in weight for s in itertools.combinations(left, size)]
            value += math.log(worth(tuple(tier)) / sum(map(worth, sets)))
            left = [r for r in left if r not in tier]
    return value - prior * sum(math.log1p(1 / d) + math.log1p(d) for d in ties.values())


RANKINGS = [
    [[[0], [1], [2]], [[0, 1], [2]], [[2], [0], [1]]],
    [[[1], [0, 2], [3]], [[3], [1]], [[0, 1, 2], [3]]],
    [[[1], [0]]],
]
SIZES = [3, 4, 2]


def flat(rankings: list[list[list[list[int]]]]) -> tuple[np.ndarray, ...]:
    rows = [(p, *choice) for p, of in enumerate(rankings) for tiers in of for choice in choices(tiers)]
    return tuple(np.array(rows).T)


def test_plackett_luce_with_ties_is_at_the_top_of_its_brute_force_posterior():
    found = plackett_luce(SIZES, *flat(RANKINGS))
    assert found.converged

    def posterior(strength: np.ndarray, ties: dict[int, float]) -> float:
        parts = np.split(strength, found.start[1:-1])
        whole = sum(brute(t, ties, of, 0.5) for t, of in zip(parts, RANKINGS, strict=True))
        # The prior on ties is one for all prompts, not one for each.
        return whole + 2 * 0.5 * sum(math.log1p(1 / d) + math.log1p(d) for d in ties.values())

    from scipy.optimize import minimize

    sizes = sorted(found.ties)
    start = np.zeros(9 + len(sizes))

    def loss(x: np.ndarray) -> float:
        return -posterior(x[:9], dict(zip(sizes, np.exp(x[9:]), strict=True)))

    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-7})
    level = [part - part.mean() for part in np.split(best.x[:9], found.start[1:-1])]
    assert found.strength == pytest.approx(np.concatenate(level), abs=1e-4)
    assert [found.ties[s] for s in sizes] == pytest.approx(np.exp(best.x[9:]), abs=1e-3)


def test_two_responses_have_davidsons_strengths_where_the_tie_parameter_is_the_same():
    # A thousand prompts' worth of votes on one pair: the priors fade, and both models are the same.
    rows = [(0, 3, 1)] * 600 + [(0, 3, 2)] * 300 + [(0, 3, 3)] * 400
    found = plackett_luce([2], *np.array(rows).T)
    davidson = bradley_terry([[0, 600], [300, 0]], [[0, 400], [400, 0]], tie_model="davidson")
    assert found.strength == pytest.approx(davidson.strength, abs=2e-3)
    assert found.ties[2] == pytest.approx(davidson.tie, abs=5e-3)


def test_the_prior_keeps_a_single_ranking_finite_and_its_order():
    found = plackett_luce([5], *flat([[[[3], [1], [0], [4], [2]]]]))
    assert np.argsort(-found.strength).tolist() == [3, 1, 0, 4, 2]
    assert np.abs(found.strength).max() < 5
    tied = plackett_luce([2], *flat([[[[0, 1]]]]))
    assert tied.strength == pytest.approx([0, 0])


def test_rankings_in_any_order_give_the_same_bytes_and_weights_count_votes():
    rows = flat(RANKINGS)
    part = np.linspace(0.2, 1, len(rows[0]))
    found = plackett_luce(SIZES, *rows, part)
    order = np.random.default_rng(0).permutation(len(part))
    assert plackett_luce(SIZES, *(r[order] for r in rows), part[order]).strength.tobytes() == found.strength.tobytes()
    twice = plackett_luce(SIZES, *(np.repeat(r, 2) for r in rows))
    counted = plackett_luce(SIZES, *rows, np.full(len(part), 2.0))
    assert twice.strength == pytest.approx(counted.strength, abs=1e-9)


def test_choices_of_a_ranking_leave_out_what_was_not_placed_and_the_last_alone():
    assert choices([[2], [0, 1]]) == [(0b111, 0b100), (0b011, 0b011)]
    assert choices([[1], [3]]) == [(0b1010, 0b0010)]
    assert choices([[1]]) == []
    with pytest.raises(BadInput, match="among what was there"):
        plackett_luce([2], [0], [3], [4])


# The command


def write_labels(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    path.write_text("unit,annotator,value\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows), "utf-8")
    return path


def crowd_rows(seed: int = 0) -> tuple[list[tuple[Any, ...]], list[str]]:
    """A crowd of eight, one of whom guesses; labels in two scripts."""
    names = ["好", "bad", "mixed"]
    accuracy = np.array([0.9] * 7 + [0.34])
    truth, what, who, said = crowd(120, 8, 5, accuracy, 3, seed)
    rows = [(f"u{i}", f"p{j}", names[k]) for i, j, k in zip(what, who, said, strict=True)]
    return rows, [names[t] for t in truth]


def test_crowd_labels_alone_give_labels_reliabilities_and_a_report(tmp_path, capsys):
    rows, truth = crowd_rows()
    assert run(write_labels(tmp_path / "l.csv", rows), "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    made = {row["unit"]: row for row in lines(tmp_path / "out/data/labels.jsonl")}
    assert sum(made[f"u{i}"]["label"] == t for i, t in enumerate(truth)) > 115
    people = {row["annotator"]: row for row in lines(tmp_path / "out/data/annotators.jsonl")}
    assert people["p7"]["high"] < min(people[f"p{i}"]["reliability"] for i in range(7))
    assert people["p7"]["low"] <= 0.34 <= people["p7"]["high"]
    assert set(people["p0"]["confusion"]) == {"好", "bad", "mixed"}
    report = (tmp_path / "out/report.html").read_text("utf-8")
    assert all(f"<dd>{n}</dd>" in report for n in (120, 600, 8))
    assert "the least reliable is <bdi>p7</bdi>" in report
    assert summary["converged"] is True
    assert summary["least_reliable"][0].startswith("p7")


def test_the_majority_says_where_it_is_even(tmp_path):
    rows = [("a", "x", 1), ("a", "y", 2), ("b", "x", 2), ("b", "y", 2)]
    assert run(write_labels(tmp_path / "l.csv", rows), "--method", "majority", "--out", tmp_path / "out") == 0
    a, b = lines(tmp_path / "out/data/labels.jsonl")
    assert (a["label"], a["probability"], a["even"]) == ("1", 0.5, True)
    assert (b["label"], b["probability"], b["even"]) == ("2", 1.0, False)


def test_labelling_a_unit_again_gives_nobody_a_second_vote(tmp_path):
    rows = [("a", "x", "no"), ("a", "y", "no"), *[("a", "z", "yes")] * 9, ("b", "x", "no"), ("b", "z", "yes")]
    assert run(write_labels(tmp_path / "l.csv", rows), "--method", "majority", "--out", tmp_path / "out") == 0
    a = lines(tmp_path / "out/data/labels.jsonl")[0]
    assert (a["label"], a["votes"], a["share"]) == ("no", 3.0, pytest.approx(2 / 3))


def test_a_bad_row_is_kept_with_its_reason_and_a_wrong_column_gets_a_hint(tmp_path, capsys):
    rows, _ = crowd_rows()
    path = write_labels(tmp_path / "l.csv", [*rows, ("u1", "", "bad")])
    assert run(path, "--out", tmp_path / "out") == 0
    (rejected,) = lines(tmp_path / "out/audit/rejected.jsonl")
    assert rejected["line"] == len(rows) + 2
    with pytest.raises(BadInput, match="did you mean --annotator annotator"):
        run(path, "--annotator", "annotater", "--out", tmp_path / "other")
    with pytest.raises(BadInput, match="one of the two"):
        run("--out", tmp_path / "other")


def digest(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text())["digest"])


def test_the_same_bytes_in_any_order_of_rows_and_at_any_threads(tmp_path):
    rows, _ = crowd_rows()
    pairs = comparison_rows()
    random = np.random.default_rng(4)
    for kind, flags in (("labels", []), ("comparisons", ["--comparisons", "--replicates", "60"])):
        found = set()
        for n, threads in enumerate((1, 2, 8)):
            given_rows = rows if kind == "labels" else pairs
            shuffled = [given_rows[i] for i in random.permutation(len(given_rows))]
            path = tmp_path / f"{kind}{n}.csv"
            (write_labels if kind == "labels" else write_comparisons)(path, shuffled)
            out = tmp_path / f"{kind}-out{n}"
            assert run(path, *flags, "--threads", threads, "--out", out) == 0
            found.add(digest(out))
        assert len(found) == 1


def comparison_rows(seed: int = 0) -> list[tuple[str, str, str, str]]:
    _, first, second, winner = battles(900, 6, tie=0.4, order=0.5, seed=seed)
    words = {0: "tie", 1: "a", 2: "b"}
    return [
        (f"model {a}", f"model {b}", words[int(w)], f"j{n % 4}")
        for n, (a, b, w) in enumerate(zip(first, second, winner, strict=True))
    ]


def write_comparisons(path: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    path.write_text("item_a,item_b,winner,annotator\n" + "".join(",".join(row) + "\n" for row in rows), "utf-8")
    return path


def test_comparisons_give_standings_with_intervals_and_the_order_effect(tmp_path, capsys):
    path = write_comparisons(tmp_path / "c.csv", comparison_rows())
    assert run(path, "--comparisons", "--out", tmp_path / "out", "--replicates", "200", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    theta = battles(900, 6, tie=0.4, order=0.5)[0]
    rows = lines(tmp_path / "out/data/standings.jsonl")
    assert [row["strength"] for row in rows] == sorted((row["strength"] for row in rows), reverse=True)
    inside = [row["low"] <= theta[int(row["item"][-1])] <= row["high"] for row in rows]
    assert sum(inside) >= 5
    assert summary["first_shown"].startswith("being shown first adds +0.")
    assert summary["warnings"] == []
    assert not (tmp_path / "out/audit/rejected.jsonl").exists()
    assert '<h2><span lang="en">Standings' in (tmp_path / "out/report.html").read_text("utf-8")


def test_standings_that_cannot_be_compared_are_warned_of(tmp_path, capsys):
    rows = [("a", "b", "a", "x"), ("b", "a", "a", "x"), ("c", "d", "c", "x"), ("d", "c", "d", "y")]
    path = write_comparisons(tmp_path / "c.csv", rows)
    assert run(path, "--comparisons", "--out", tmp_path / "out", "--replicates", "20", "--json") == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert any("2 parts that never met" in warning for warning in warnings)
    assert any(warning.endswith("finite: a") for warning in warnings)
    assert "2 parts that never met" in (tmp_path / "out/report.html").read_text("utf-8")


@pytest.fixture
def project(tmp_path) -> Any:
    """A project whose people rank, and whose model judge says the opposite many times in both orders."""
    from data.store import open_store

    def made(votes_of: Any, tasks: int = 6, answers: int = 3, kind: str = "ranking") -> None:
        store = open_store(f"sqlite:///{tmp_path}/concord.db")
        rows = []
        for n in range(tasks):
            bare = row(n, answers=answers)
            ids = [r.id for r in bare.responses]
            rows.append(row(n, answers=answers, votes=votes_of(n, ids)))
        load(store, rows, kind=kind, overlap=9)
        store.close()

    return made


def person(name: str, ranking: list[list[str]]) -> dict[str, Any]:
    return {"annotator": name, "ranking": ranking}


def model(key: str, shown: list[str], **said: Any) -> dict[str, Any]:
    return {"annotator": "judge", "annotator_kind": "model", "key": key, "shown": shown, "ranking": None, **said}


def test_a_project_gives_pairs_scores_annotators_and_standings(project, tmp_path, capsys):
    def votes(n: int, ids: list[str]) -> list[dict[str, Any]]:
        a, b, c = ids
        return [person("p", [[a], [b], [c]]), person("q", [[a, b], [c]]), person("r", [[a], [c], [b]])]

    project(votes)
    assert run("--project", "p", "--out", tmp_path / "out", "--replicates", "50", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["tasks"], summary["judgments"], summary["pairs"], summary["annotators"]) == (6, 18, 18, 3)
    pairs = lines(tmp_path / "out/data/pairs.jsonl")
    assert all(0.5 <= pair["probability"] < 1 for pair in pairs)
    scores = {r["response_id"]: r for r in lines(tmp_path / "out/data/responses.jsonl")}
    for pair in pairs:
        assert pair["score_chosen"] == scores[pair["chosen_id"]]["score"]
        assert sum(pair["votes"].values()) == 3
        assert pair["weight"] == pytest.approx(1)  # three judgments of three pairs each
        margin = pair["score_chosen"] - pair["score_rejected"]
        assert pair["methods"]["plackett_luce"] == pytest.approx(1 / (1 + math.exp(-margin)))
    standings = lines(tmp_path / "out/data/standings.jsonl")
    assert [row["item"] for row in standings] == ["secret-model-0", "secret-model-1", "secret-model-2"]
    people = lines(tmp_path / "out/data/annotators.jsonl")
    assert {row["kind"] for row in people} == {"person"}


def test_a_judge_with_many_samples_does_not_outweigh_people(project, tmp_path):
    def votes(n: int, ids: list[str]) -> list[dict[str, Any]]:
        a, b = ids
        said = [
            model(f"{n}:{k}:{turn}", [a, b] if turn else [b, a], choice="B" if turn else "A")
            for k in range(10)
            for turn in (0, 1)
        ]
        return [person("p", [[a], [b]]), person("q", [[a], [b]]), *said]

    project(votes, answers=2)
    assert run("--project", "p", "--out", tmp_path / "out", "--replicates", "20", "--method", "majority") == 0
    for pair in lines(tmp_path / "out/data/pairs.jsonl"):
        assert pair["votes"] == {"chosen": 2.0, "rejected": pytest.approx(1.0), "tie": 0.0}
        assert pair["probability"] == pytest.approx(2.5 / 4)
        assert pair["methods"]["plackett_luce"] > 0.5
    judge = next(r for r in lines(tmp_path / "out/data/annotators.jsonl") if r["kind"] == "model")
    assert judge["votes"] == pytest.approx(6)
    assert judge["first_side"] == pytest.approx(0.5)


def test_soft_labels_are_parts_of_a_vote(project, tmp_path):
    def votes(n: int, ids: list[str]) -> list[dict[str, Any]]:
        a, b = ids
        return [model(f"{n}:1", [b, a], probability=0.2, choice="B")]

    project(votes, answers=2)
    assert run("--project", "p", "--out", tmp_path / "out", "--replicates", "20", "--method", "plackett-luce") == 0
    for pair in lines(tmp_path / "out/data/pairs.jsonl"):
        assert pair["votes"] == {"chosen": pytest.approx(0.8), "rejected": pytest.approx(0.2), "tie": 0.0}
        assert pair["methods"]["majority"] == pytest.approx((0.8 + 0.5) / 2)
        assert 0.5 < pair["probability"] < 0.8


def test_only_the_named_sources_count_and_nothing_to_compare_is_not_enough(project, tmp_path):
    from data.errors import NotEnough

    project(lambda n, ids: [model(f"{n}:1", ids, choice="A")], answers=2)
    with pytest.raises(NotEnough, match="no judgment that compares"):
        run("--project", "p", "--sources", "human", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match="did you mean 'human'"):
        run("--project", "p", "--sources", "humen", "--out", tmp_path / "out")


def test_a_snapshot_gives_the_same_digest_as_the_store_it_was_made_from(project, tmp_path):
    from curate.engine import engine
    from curate.frozen import freeze
    from data.folder import write_folder

    project(lambda n, ids: [person("p", [[ids[n % 3]], [ids[(n + 1) % 3]]]), person("q", [[i] for i in ids])])
    with write_folder(tmp_path / "snap", "snapshot", {}) as folder, engine() as con:
        freeze(con, f"sqlite:///{tmp_path}/concord.db", folder)
    assert run("--project", "p", "--out", tmp_path / "one", "--replicates", "30") == 0
    assert run("--snapshot", tmp_path / "snap", "--out", tmp_path / "two", "--replicates", "30", "--threads", "1") == 0
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_a_project_without_a_prior_is_refused(tmp_path):
    with pytest.raises(BadInput, match="infinite"):
        run("--project", "p", "--prior", "0", "--out", tmp_path / "out")


def test_three_peoples_real_verdicts_give_the_majority_back_where_it_is_clear(real, tmp_path, capsys):
    verdicts = json.loads((real / "pandalm/testset-v1.json").read_text("utf-8"))
    rows = []
    for n, verdict in enumerate(verdicts):
        a, b = (f"{n} {side}" for side in ("first", "second"))
        rows += [(a, b, {0: "tie", 1: "a", 2: "b"}[int(verdict[f"annotator{k}"])], f"p{k}") for k in (1, 2, 3)]
    path = write_comparisons(tmp_path / "c.csv", rows)
    assert run(path, "--comparisons", "--replicates", "5", "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["pairs"], summary["comparisons"], summary["annotators"]) == (999, 2997, 3)
    assert "fall into 999 parts" in summary["warnings"][0]  # each text stands in one pair: there is nothing to rank
    pairs = lines(tmp_path / "out/data/pairs.jsonl")
    clear = [pair for pair in pairs if pair["votes"]["chosen"] == 3]
    assert len(clear) > 500
    assert all(pair["probability"] > 0.9 for pair in clear)
    people = lines(tmp_path / "out/data/annotators.jsonl")
    assert all(0.85 < row["low"] < row["reliability"] < row["high"] for row in people)
