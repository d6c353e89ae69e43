"""Statistics against published tables, reference packages and their own laws."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from conftest import lacking
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from data.errors import BadInput
from data.stats import (
    alpha_bootstrap,
    alpha_jackknife,
    bradley_terry,
    clopper_pearson,
    count_table,
    dawid_skene,
    gwet_ac1,
    interval_alpha,
    kendall_w,
    krippendorff_alpha,
    patterns,
    percent_agreement,
    preference_probability,
    wilson,
    win_table,
)

GOLDEN = Path(__file__).parent / "golden"
LEVELS = ("nominal", "ordinal", "interval", "ratio")
TABLES: dict[str, Any] = json.loads((GOLDEN / "krippendorff_alpha.json").read_text())["tables"]


def tallied(rows: list[list[float | None]]) -> tuple[np.ndarray, list[float]]:
    """Counts of a golden table, whose rows are observers and whose columns are units."""
    units = []
    for column in zip(*rows, strict=True):
        given_values = [v for v in column if v is not None]
        units.append({v: given_values.count(v) for v in given_values})
    return count_table(units)  # type: ignore[return-value]


small_tables = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(2, 6)), elements=st.integers(0, 4))
TABLE_C, VALUES_C = tallied(TABLES["krippendorff_2011_C"]["rows"])


# Intervals and the probability behind a pair


def test_three_votes_to_none_are_not_certainty():
    assert preference_probability(3, 0, 0) == 3.5 / 4
    assert preference_probability(3, 0, 0, prior=0) == 1
    assert preference_probability(1, 2, 1, prior=7) == 0.5


@given(*[st.floats(0, 1e6)] * 3, st.floats(0.01, 10))
def test_swapping_the_sides_gives_the_complement(wins, ties, losses, prior):
    here, there = (preference_probability(a, ties, b, prior) for a, b in ((wins, losses), (losses, wins)))
    assert 0 < here < 1
    assert here + there == pytest.approx(1, abs=1e-15)
    assert (here > there) == (wins > losses) or here == there


@pytest.mark.parametrize("bad", [(-1, 0, 0, 0.5), (math.nan, 0, 0, 0.5), (0, 0, 0, 0), (1, 0, 0, math.inf)])
def test_a_probability_from_nothing_or_from_nonsense_is_refused(bad):
    with pytest.raises(BadInput, match="preference probability"):
        preference_probability(*bad)


def test_wilson_matches_its_published_example():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263 and 15 of 148, 0 of 20, 1 of 29.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = wilson(successes, n)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert round(wilson(0, 20).high, 4) == 0.1611
    assert wilson(0, 20).low == 0


def test_clopper_pearson_matches_its_published_example():
    # The same table: 81 of 263 gives .2527 to .3676, 1 of 29 gives .0009 to .1776, 0 of 20 up to .1684.
    for successes, n, low, high in [(81, 263, 0.2527, 0.3676), (1, 29, 0.0009, 0.1776), (0, 20, 0, 0.1684)]:
        found = clopper_pearson(successes, n)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.floats(0.5, 0.999))
def test_intervals_hold_the_rate_stay_within_bounds_and_mirror(wins, ties, losses, confidence):
    n = wins + ties + losses
    found, mirrored = (wilson(x + ties / 2, n, confidence) for x in (wins, losses))
    assert 0 <= found.low <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    if n:
        assert found.low <= found.rate <= found.high
        exact = clopper_pearson(wins, n, confidence)
        assert exact.low <= exact.rate <= exact.high
    else:
        assert found == (None, 0, 1, 0) == clopper_pearson(0, 0)


def test_clopper_pearson_covers_at_least_what_it_says():
    for n, p in itertools.product((5, 17), (0.03, 0.3, 0.5)):
        mass = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        inside = [clopper_pearson(k, n, 0.9).low <= p <= clopper_pearson(k, n, 0.9).high for k in range(n + 1)]
        assert sum(m for m, yes in zip(mass, inside, strict=True) if yes) >= 0.9


@pytest.mark.parametrize("bad", [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_an_interval_of_impossible_counts_is_refused(bad):
    for interval in (wilson, clopper_pearson):
        with pytest.raises(BadInput, match="interval"):
            interval(*bad)
    with pytest.raises(BadInput, match="wilson"):
        clopper_pearson(1.5, 2)  # type: ignore[arg-type]


# Krippendorff's alpha


@pytest.mark.parametrize(
    ("name", "level"), [(name, level) for name, table in TABLES.items() for level in table["alpha"]]
)
def test_alpha_matches_the_published_tables(name, level):
    counts, values = tallied(TABLES[name]["rows"])
    found = krippendorff_alpha(counts, level, values)
    assert found.value == pytest.approx(TABLES[name]["alpha"][level], abs=6e-7)
    rows = np.array(TABLES[name]["rows"], dtype=float)
    theirs = krippendorff.alpha(reliability_data=rows, level_of_measurement=level)
    assert found.value == pytest.approx(theirs, abs=1e-12)


@settings(max_examples=200)
@given(small_tables, st.sampled_from(LEVELS))
def test_alpha_matches_the_reference_package(counts, level):
    used = counts[:, counts[counts.sum(axis=1) >= 2].sum(axis=0) > 0]  # the package wants no idle values
    found = krippendorff_alpha(counts, level)
    assume(used.shape[1] >= 2)
    values = np.flatnonzero(counts[counts.sum(axis=1) >= 2].sum(axis=0) > 0)
    kept = used[used.sum(axis=1) >= 2]
    theirs = krippendorff.alpha(value_counts=kept, value_domain=values, level_of_measurement=level)
    assert found.value == pytest.approx(theirs, abs=1e-9)
    assert found.units == len(kept)
    assert found.ratings == kept.sum()


@given(small_tables, st.sampled_from(LEVELS), st.randoms())
def test_the_order_of_units_changes_no_digit_and_merging_equal_ones_nothing(counts, level, random):
    shuffled = counts[random.sample(range(len(counts)), len(counts))]
    assert krippendorff_alpha(counts, level) == krippendorff_alpha(shuffled, level)
    rows, times = patterns(counts)
    merged, plain = krippendorff_alpha(rows, level, times=times), krippendorff_alpha(counts, level)
    assert merged[1:] == plain[1:]
    assert merged.value == pytest.approx(plain.value, abs=1e-12)
    assert times.sum() == len(counts)


@given(small_tables, st.sampled_from(LEVELS))
def test_alpha_never_passes_one_and_is_one_only_without_disagreement(counts, level):
    found = krippendorff_alpha(counts, level)
    assume(found.value is not None)
    assert found.value <= 1
    pairable = counts[counts.sum(axis=1) >= 2]
    assert (found.value == 1) == bool((np.count_nonzero(pairable, axis=1) == 1).all())


@given(small_tables, st.floats(-50, 50), st.floats(0.1, 20))
def test_interval_alpha_ignores_shift_and_scale_and_ratio_alpha_ignores_scale(counts, shift, scale):
    plain = np.arange(counts.shape[1], dtype=float)
    moved = krippendorff_alpha(counts, "interval", list(plain * scale + shift))
    assert moved.value == pytest.approx(krippendorff_alpha(counts, "interval").value, abs=1e-9)
    scaled = krippendorff_alpha(counts, "ratio", list(plain * scale))
    assert scaled.value == pytest.approx(krippendorff_alpha(counts, "ratio").value, abs=1e-9)


@given(small_tables)
def test_interval_alpha_from_three_sums_is_the_same(counts):
    values = np.arange(counts.shape[1]) + 3.0
    m, sums, squares = counts.sum(axis=1), counts @ values, counts @ values**2
    found, plain = interval_alpha(m, sums, squares), krippendorff_alpha(counts, "interval", list(values))
    assert found[1:] == plain[1:]
    assert found.value == pytest.approx(plain.value, abs=1e-9)


def test_alpha_of_thousands_of_distinct_values_needs_no_table_of_values_by_values():
    # Two judgments a unit, 2,400 units of their own values: 4,800 columns if each value had one.
    first = np.arange(2400.0)
    second = first + np.where(np.arange(2400) % 2, 0.25, -0.25)
    found = interval_alpha(np.full(2400, 2), first + second, first**2 + second**2)
    rows = np.stack([first, second])
    expected = 2 * rows.size * ((rows - rows.mean()) ** 2).sum()
    observed = 2400 * 2 * 0.25**2
    assert found.value == pytest.approx(1 - (rows.size - 1) * observed / expected, abs=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_says_why_it_does_not_exist(level):
    assert krippendorff_alpha(np.zeros((0, 3)), level) == (None, "no pairable unit", 0, 0)
    assert krippendorff_alpha([[1, 0], [0, 1]], level) == (None, "no pairable unit", 0, 0)
    assert krippendorff_alpha([[3, 0], [2, 0], [0, 1]], level) == (None, "one value only", 2, 5)
    # An idle value between used ones is no obstacle: two units that agree on different values are perfect.
    assert krippendorff_alpha([[2, 0, 0], [0, 0, 2]], level).value == 1
    # Two judgments that differ in the only unit: Do = De, and alpha is 0 by the formula, not a fault.
    assert krippendorff_alpha([[1, 1]], level).value == 0
    assert krippendorff_alpha([[1, 1], [1, 1]], level).value == pytest.approx(1 - 3 * 4 / 8)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (([1, 2],), "dimensions"),
        (([[1.5, 1]],), "whole numbers"),
        (([[-1, 3]],), "whole numbers"),
        (([[np.nan, 3]],), "whole numbers"),
        (([[1, 1]], "ordered"), "none of nominal"),
        (([[1, 1]], "ratio", [-1.0, 1.0]), "ratio level"),
        (([[1, 1]], "interval", [1.0]), "one finite number"),
        (([[1, 1]], "interval", [1.0, np.inf]), "one finite number"),
        (([[1, 1]], "nominal", None, [1, 2]), "one for each row"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_fault(arguments, fault):
    with pytest.raises(BadInput, match=fault):
        krippendorff_alpha(*arguments)


def test_a_value_outside_the_scale_is_named():
    with pytest.raises(BadInput, match="unit 1: value 7"):
        count_table([{1: 2}, {7: 1}], values=[1, 2, 3])


# Resampling


def brute_jackknife(counts: np.ndarray, level: Any, groups: list[int]) -> tuple[float, float]:
    """Estimate and standard error by computing alpha afresh without each group."""
    whole = krippendorff_alpha(counts, level).value
    names = sorted({g for g, row in zip(groups, counts, strict=True) if row.sum() >= 2})
    left = [krippendorff_alpha(counts[[g != name for g in groups]], level).value for name in names]
    left = [a for a in left if a is not None]
    n, mean = len(left), sum(left) / len(left)
    return n * whole - (n - 1) * mean, math.sqrt((n - 1) / n * sum((a - mean) ** 2 for a in left))


@settings(max_examples=60)
@given(small_tables, st.sampled_from(LEVELS), st.booleans(), st.data())
def test_the_jackknife_is_leaving_out_one_unit_or_group_at_a_time(counts, level, grouped, data):
    size = len(counts)
    groups = data.draw(st.lists(st.integers(0, 5), min_size=size, max_size=size)) if grouped else None
    found = alpha_jackknife(counts, level, groups=groups)
    assume(found.estimate is not None)
    estimate, error = brute_jackknife(counts, level, groups or list(range(size)))
    assert found.estimate == pytest.approx(estimate, abs=1e-8)
    assert found.standard_error == pytest.approx(error, abs=1e-8)
    assert found.low <= found.high <= 1


@pytest.mark.parametrize("level", LEVELS)
def test_every_bootstrap_replicate_is_the_alpha_of_its_drawn_units(level):
    counts = np.random.default_rng(5).integers(0, 3, size=(9, 4))
    rows, times = patterns(counts[counts.sum(axis=1) >= 2])
    draws = np.random.default_rng(3).multinomial(times.sum(), times / times.sum(), size=41)
    expected = sorted(krippendorff_alpha(rows, level, times=draw).value for draw in draws)
    found = alpha_bootstrap(counts, level, replicates=41, seed=3, confidence=0.9)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(expected, [0.05, 0.95])), abs=1e-9)
    assert found.undefined == 0
    assert found.blocks == times.sum()


@pytest.mark.parametrize("level", LEVELS)
def test_the_bootstrap_repeats_with_its_seed_and_ignores_the_order_of_units(level):
    counts = np.random.default_rng(11).integers(0, 3, size=(40, 4))
    found = alpha_bootstrap(counts, level, seed=7)
    assert found == alpha_bootstrap(counts[::-1], level, seed=7)
    assert found != alpha_bootstrap(counts, level, seed=8)
    assert found.low < krippendorff_alpha(counts, level).value < found.high


@pytest.mark.parametrize("level", LEVELS)
def test_perfect_agreement_has_an_interval_of_one_point(level):
    found = alpha_jackknife([[0, 3, 0], [4, 0, 0], [0, 0, 2], [2, 0, 0]], level, groups=[0, 0, 1, 2])
    assert (found.low, found.high) == pytest.approx((1, 1), abs=1e-12)
    assert found.low <= found.high <= 1


def test_groups_of_equal_units_widen_the_interval():
    # 30 prompts whose ranking implies 6 equal pairs each carry the evidence of 30, not of 180.
    prompts = np.random.default_rng(2).multinomial(3, [0.5, 0.3, 0.2], size=30)
    pairs, groups = np.repeat(prompts, 6, axis=0), [g for g in range(30) for _ in range(6)]
    alone, together = alpha_jackknife(pairs), alpha_jackknife(pairs, groups=groups)
    assert together.standard_error == pytest.approx(alone.standard_error * math.sqrt(6), rel=0.1)
    drawn_alone = alpha_bootstrap(pairs, seed=1)
    drawn_together = alpha_bootstrap(pairs, seed=1, groups=groups)
    assert drawn_together.high - drawn_together.low > 1.8 * (drawn_alone.high - drawn_alone.low)
    assert together.blocks == 30


def test_the_jackknife_interval_covers_the_truth_about_as_often_as_it_says():
    # Every unit has a true value of 0 or 1, each of 3 judgments errs with chance 0.1 on its own:
    # for a fair coin alpha tends to 1 - 2 * 2 * 0.1 * 0.9 = 0.64.
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        ones = np.where(random.random(40) < 0.5, random.binomial(3, 0.9, 40), random.binomial(3, 0.1, 40))
        found = alpha_jackknife(np.stack([3 - ones, ones], axis=1))
        hits += found.low <= 0.64 <= found.high
    assert 0.92 * 400 <= hits <= 0.98 * 400


def test_resampling_says_why_there_is_no_interval():
    for resample in (alpha_jackknife, alpha_bootstrap):
        assert resample([[2, 0], [2, 0]]).why == "one value only"
        assert resample([[1, 0]]).why == "no pairable unit"
        with pytest.raises(BadInput, match="groups or times"):
            resample([[1, 1]], times=[2], groups=["a"])
        with pytest.raises(BadInput, match="2 groups for 1"):
            resample([[1, 1]], groups=["a", "b"])
        with pytest.raises(BadInput, match="confidence"):
            resample([[1, 1]], confidence=95)
    assert alpha_jackknife([[1, 1], [2, 0]]).why == "only 2 to leave out"
    # Of two units one is drawn twice half of the time, and then there is one value only.
    assert 400 < alpha_bootstrap([[2, 0], [0, 2]], seed=6).undefined < 600
    with pytest.raises(BadInput, match="replicates"):
        alpha_bootstrap([[1, 1]], replicates=0)


# The other measures


def test_ac1_and_percent_agreement_match_the_published_table():
    # Table C: irrCAC gives AC1 .77544 and percent agreement .81818 over its 11 pairable units of 12.
    assert gwet_ac1(TABLE_C).value == pytest.approx(0.77544, abs=5e-6)
    # Units 1 to 11 agree by 1 1/2 1 1 1 0 1 1/2 1 1 1, which is 9 of 11; unit 12 has one judgment.
    assert percent_agreement(TABLE_C).value == pytest.approx(9 / 11, abs=1e-12)


@given(small_tables)
def test_percent_agreement_is_a_chance_and_ac1_is_at_most_one(counts):
    same, ac1 = percent_agreement(counts), gwet_ac1(counts)
    assume(same.value is not None)
    assert 0 <= same.value <= 1
    assert ac1.value <= 1
    assert ac1.value <= same.value + 1e-12
    rows, times = patterns(counts)
    assert gwet_ac1(rows, times).value == pytest.approx(ac1.value, abs=1e-12)


def test_ac1_stays_high_where_one_value_is_far_more_common_and_alpha_falls():
    counts = [[2, 0]] * 98 + [[1, 1]] * 2
    assert krippendorff_alpha(counts).value == pytest.approx(-0.005, abs=0.01)
    assert gwet_ac1(counts).value > 0.97
    assert gwet_ac1([[2, 0]]).value == 1
    assert gwet_ac1([[2], [3]]) == (None, "one value only", 2, 5)
    assert gwet_ac1([[1, 0]]).why == percent_agreement([[1, 0]]).why == "no pairable unit"


def test_kendalls_w_on_worked_examples():
    assert kendall_w([[1, 2, 3]] * 4).value == 1
    assert kendall_w([[1, 2, 3], [3, 2, 1]]).value == 0
    # Two rankings of four: W = (1 + Spearman) / 2, and Spearman here is 1 - 6 * 2 / 60 = 0.8.
    assert kendall_w([[1, 2, 3, 4], [1, 2, 4, 3]]).value == pytest.approx(0.9)
    # Siegel and Castellan, "Nonparametric Statistics", three executives rank six applicants: W = .16.
    siegel = [[1, 6, 3, 2, 5, 4], [1, 5, 6, 4, 2, 3], [6, 3, 2, 5, 4, 1]]
    assert kendall_w(siegel).value == pytest.approx(0.162, abs=5e-4)


@given(st.integers(2, 5), st.integers(2, 6), st.data())
def test_kendalls_w_is_the_variance_of_the_rank_sums_over_the_largest_it_could_be(judges, items, data):
    cells = st.lists(st.integers(0, 4), min_size=items, max_size=items)
    given_ranks = np.array(data.draw(st.lists(cells, min_size=judges, max_size=judges)))
    found = kendall_w(given_ranks)
    if (given_ranks == given_ranks[:, :1]).all():
        assert found.why == "every ranking ties all its items"
        return
    assert 0 <= found.value <= 1
    mid = rankdata(given_ranks, axis=1)
    top = judges * mid.var(axis=1).sum()
    assert found.value == pytest.approx(mid.sum(axis=0).var() / top, abs=1e-12)


def test_kendalls_w_says_why_it_does_not_exist():
    assert "takes two" in kendall_w([[1, 2, 3]]).why
    assert "missing" in kendall_w([[1, 2], [np.nan, 1]]).why
    assert "ties all" in kendall_w([[1, 1], [2, 2]]).why


# Bradley-Terry and Davidson


def expanded(wins: np.ndarray) -> list[tuple[int, int]]:
    """A win table as the list of (winner, loser) that choix reads."""
    return [(i, j) for i, j in np.argwhere(wins > 0).tolist() for _ in range(int(wins[i, j]))]


win_tables = st.integers(2, 6).flatmap(
    lambda n: arrays(np.int64, (n, n), elements=st.integers(0, 4)).map(lambda w: w - np.diag(np.diag(w)))
)


@pytest.mark.parametrize("seed", range(5))
def test_bradley_terry_matches_the_reference_package(seed):
    wins = np.random.default_rng(seed).integers(1, 9, size=(5, 5))
    np.fill_diagonal(wins, 0)
    try:
        import choix
    except ImportError:
        lacking("no choix to compare with: pip install choix")
    theirs = choix.opt_pairwise(5, expanded(wins), alpha=0, method="Newton-CG", tol=1e-12)
    found = bradley_terry(wins, prior=0)
    assert found.strength == pytest.approx(theirs - theirs.mean(), abs=1e-6)


def test_bradley_terry_matches_the_published_journal_citations():
    # Statistics journals citing each other (Stigler 1994; Agresti, "Categorical Data Analysis"): Biometrika,
    # Communications in Statistics, JASA, JRSS-B; strengths against Biometrika as R's BradleyTerry2 has them.
    wins = [[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]]
    found = bradley_terry(wins, prior=0)
    against_first = found.strength - found.strength[0]
    assert against_first == pytest.approx([0, -2.94907, -0.47957, 0.26895], abs=5e-6)


def test_a_cycle_of_three_gives_equal_strengths():
    found = bradley_terry([[0, 1, 0], [0, 0, 1], [1, 0, 0]], prior=0)
    assert found.strength == pytest.approx([0, 0, 0], abs=1e-12)


def test_two_items_have_the_log_odds_of_their_wins_and_its_standard_error():
    found = bradley_terry([[0, 30], [10, 0]], prior=0)
    assert found.strength[0] - found.strength[1] == pytest.approx(math.log(3), abs=1e-12)
    # The difference has variance 1/30 + 1/10; each centred strength is half of it.
    assert found.error == pytest.approx([math.sqrt(1 / 30 + 1 / 10) / 2] * 2, abs=1e-12)


@given(win_tables)
def test_the_prior_is_wins_and_losses_against_an_item_of_strength_zero(wins):
    n = len(wins)
    ghost = np.zeros((n + 1, n + 1))
    ghost[:n, :n] = wins
    ghost[n, :n] = ghost[:n, n] = 0.5
    with_ghost, found = bradley_terry(ghost, prior=0), bradley_terry(wins, prior=0.5)
    expected = with_ghost.strength[:n] - with_ghost.strength[:n].mean()
    assert found.strength == pytest.approx(expected, abs=1e-8)
    assert found.why is None


@given(win_tables, st.randoms())
def test_renaming_items_renames_their_strengths(wins, random):
    order = random.sample(range(len(wins)), len(wins))
    found, renamed = bradley_terry(wins), bradley_terry(wins[np.ix_(order, order)])
    assert renamed.strength == pytest.approx(found.strength[order], abs=1e-8)


@given(win_tables)
def test_at_the_maximum_every_item_has_won_as_often_as_expected(wins):
    found = bradley_terry(wins, prior=0)
    connected = np.linalg.matrix_power(np.eye(len(wins), dtype=np.int64) + (wins > 0), len(wins))
    apart = (connected > 0) | (connected.T > 0)
    if found.strength is None:
        assert ((connected > 0) != (connected.T > 0)).any()  # someone is reached and never reaches back
        return
    assert (apart == (connected > 0)).all()
    chance = 1 / (1 + np.exp(found.strength[None, :] - found.strength[:, None]))
    expected = ((wins + wins.T) * chance).sum(axis=1)
    assert expected == pytest.approx(wins.sum(axis=1), abs=1e-7)


def test_a_graph_in_pieces_is_told_and_only_a_prior_compares_them():
    wins = np.zeros((5, 5))
    wins[0, 1], wins[1, 0], wins[3, 4], wins[4, 3] = 3, 1, 1, 1
    found = bradley_terry(wins, prior=0)
    assert found.component.tolist() == [0, 0, 1, 2, 2]
    assert found.strength[:2].sum() == pytest.approx(0, abs=1e-12)
    assert found.strength[0] - found.strength[1] == pytest.approx(math.log(3), abs=1e-9)
    assert found.strength[2:] == pytest.approx([0, 0, 0], abs=1e-12)
    assert bradley_terry(wins).component.tolist() == [0, 0, 1, 2, 2]


def test_an_item_that_never_lost_has_no_finite_strength_without_a_prior():
    found = bradley_terry([[0, 3], [0, 0]], prior=0)
    assert found.strength is None
    assert "never lost" in found.why
    strong = bradley_terry([[0, 3], [0, 0]]).strength
    assert strong[0] > 0.5 > -0.5 > strong[1]


def test_ties_count_half_a_win_each_unless_davidson_is_asked_for():
    wins, ties = [[0, 4], [2, 0]], [[0, 2], [2, 0]]
    halves = bradley_terry(wins, ties, prior=0)
    assert halves.tie is None
    assert halves.strength[0] - halves.strength[1] == pytest.approx(math.log(5 / 3))
    # Davidson on two items is saturated: p1 / p2 = 4 / 2 and tie = t / sqrt(w1 w2) = 2 / sqrt(8).
    found = bradley_terry(wins, ties, prior=0, tie_model="davidson")
    assert found.strength[0] - found.strength[1] == pytest.approx(math.log(2), abs=1e-9)
    assert found.tie == pytest.approx(2 / math.sqrt(8), abs=1e-9)
    assert found.log_likelihood == pytest.approx(4 * math.log(4 / 8) + 2 * math.log(2 / 8) * 2, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_davidson_is_at_the_top_of_its_likelihood(seed):
    random = np.random.default_rng(seed)
    wins, ties = random.integers(1, 6, size=(4, 4)), random.integers(0, 4, size=(4, 4))
    np.fill_diagonal(wins, 0)
    ties = np.triu(ties, 1) + np.triu(ties, 1).T
    ties[0, 1] = ties[1, 0] = 2
    found = bradley_terry(wins, ties, prior=0, tie_model="davidson")

    def likelihood(strength: np.ndarray, tie: float) -> float:
        p, total = np.exp(strength), 0.0
        for i, j in itertools.combinations(range(4), 2):
            draw = tie * math.sqrt(p[i] * p[j])
            all_three = p[i] + p[j] + draw
            total += wins[i, j] * math.log(p[i] / all_three) + wins[j, i] * math.log(p[j] / all_three)
            total += ties[i, j] * math.log(draw / all_three)
        return total

    top = likelihood(found.strength, found.tie)
    assert found.log_likelihood == pytest.approx(top, abs=1e-9)
    for i, step in itertools.product(range(4), (-1e-3, 1e-3)):
        moved = found.strength + step * (np.arange(4) == i)
        assert likelihood(moved, found.tie) < top
        assert likelihood(found.strength, found.tie * math.exp(step)) < top


def test_davidson_without_ties_is_bradley_terry_and_with_nothing_else_says_so():
    wins = [[0, 3, 1], [1, 0, 2], [2, 1, 0]]
    found, plain = bradley_terry(wins, tie_model="davidson"), bradley_terry(wins)
    assert found.strength == pytest.approx(plain.strength, abs=1e-12)
    assert found.tie == 0
    only = [[0, 2], [2, 0]]
    assert "every comparison is a tie" in bradley_terry(np.zeros((2, 2)), only, prior=0, tie_model="davidson").why
    # A win and a tie but no loss: the more the first is stronger, the better both are explained.
    runaway = bradley_terry([[0, 1], [0, 0]], [[0, 1], [1, 0]], prior=0, tie_model="davidson")
    assert "no finite maximum" in runaway.why


@given(win_tables, st.data())
def test_with_a_prior_every_table_with_a_win_has_finite_strengths(wins, data):
    size = len(wins)
    half = np.triu(data.draw(arrays(np.int64, (size, size), elements=st.integers(0, 3))), 1)
    assume(wins.any())
    for tie_model in ("half", "davidson"):
        found = bradley_terry(wins, half + half.T, tie_model=tie_model)
        assert np.isfinite(found.strength).all()
        assert (found.error > 0).all()
        assert found.strength.sum() == pytest.approx(0, abs=1e-9)


def test_comparisons_become_tables_and_nonsense_is_refused():
    wins, ties, items = win_table([("b", "a", 1), ("a", "b", 0), ("a", "c", 0.5)])
    assert items == ["a", "b", "c"]
    assert wins.tolist() == [[0, 0, 0], [2, 0, 0], [0, 0, 0]]
    assert ties.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    for rows, fault in [([("a", "a", 1)], "itself"), ([("a", "b", 2)], "give 1, 0 or 0.5")]:
        with pytest.raises(BadInput, match=fault):
            win_table(rows)
    with pytest.raises(BadInput, match="not among"):
        win_table([("a", "b", 1)], items=["a"])
    for bad in ([[1, 0], [0, 0]], [[0, -1], [0, 0]], [[0, 1]], [[0, np.inf], [0, 0]]):
        with pytest.raises(BadInput, match="bradley-terry"):
            bradley_terry(bad)
    with pytest.raises(BadInput, match="symmetric"):
        bradley_terry([[0, 1], [1, 0]], [[0, 1], [0, 0]])
    assert bradley_terry(np.zeros((0, 0))).strength.tolist() == []


# Dawid-Skene

PATIENTS: dict[str, Any] = json.loads((GOLDEN / "dawid_skene_1979.json").read_text())


def test_dawid_skene_gives_the_published_patients():
    votes, expected = np.array(PATIENTS["votes"]) - 1, PATIENTS["expected"]
    found = dawid_skene(*votes.T, smoothing=0)
    assert found.converged
    assert found.prevalence == pytest.approx(expected["class_marginals"], abs=5e-5)
    assert found.log_likelihood == pytest.approx(expected["log_likelihood"], abs=5e-5)
    assert np.bincount(found.posterior.argmax(axis=1)).tolist() == expected["patients_per_class"]
    assert np.diag(found.confusion[0]) == pytest.approx(expected["observer_1_diagonal"], abs=5e-4)


vote_lists = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60)


def without_gaps(votes: list[tuple[int, int, int]]) -> np.ndarray:
    """The votes with items and annotators numbered from 0."""
    columns = np.array(votes).T
    return np.stack(
        [
            np.unique(columns[0], return_inverse=True)[1],
            np.unique(columns[1], return_inverse=True)[1],
            columns[2],
        ]
    )


@given(vote_lists, st.sampled_from([0.0, 0.01, 1.0]), st.randoms())
def test_dawid_skene_gives_probabilities_whatever_the_order_of_votes(votes, smoothing, random):
    item, annotator, label = without_gaps(votes)
    found = dawid_skene(item, annotator, label, classes=3, smoothing=smoothing)
    assert found.posterior.sum(axis=1) == pytest.approx(np.ones(item.max() + 1))
    assert found.confusion.sum(axis=2) == pytest.approx(np.ones((annotator.max() + 1, 3)))
    assert found.prevalence.sum() == pytest.approx(1)
    order = random.sample(range(len(votes)), len(votes))
    again = dawid_skene(item[order], annotator[order], label[order], classes=3, smoothing=smoothing)
    assert (again.posterior == found.posterior).all()
    if smoothing == 0:
        assert all(b >= a - 1e-9 for a, b in itertools.pairwise(found.history))


@given(vote_lists)
def test_a_count_is_the_same_vote_so_many_times(votes):
    item, annotator, label = without_gaps(votes)
    twice = dawid_skene(*(np.repeat(c, 2) for c in (item, annotator, label)), classes=3)
    counted = dawid_skene(item, annotator, label, np.full(len(item), 2), classes=3)
    assert (twice.posterior == counted.posterior).all()


def test_dawid_skene_believes_the_reliable_annotator_over_a_careless_majority():
    # Three careful annotators label 200 items; two careless ones guess. On the last items one careful
    # annotator stands against both careless ones.
    random = np.random.default_rng(9)
    truth = random.integers(0, 2, 200)
    said = [np.where(random.random(200) < 0.97, truth, 1 - truth) for _ in range(3)] + [
        random.integers(0, 2, 200) for _ in range(2)
    ]
    said[3][180:] = said[4][180:] = 1 - said[0][180:]
    rows = [(i, a, said[a][i]) for i in range(200) for a in range(5) if i < 180 or a not in (1, 2)]
    found = dawid_skene(*np.array(rows).T)
    assert (found.posterior.argmax(axis=1)[180:] == said[0][180:]).all()
    assert np.diag(found.confusion[0]).min() > 0.9
    assert np.diag(found.confusion[3]).max() < 0.7


@pytest.mark.parametrize(
    ("votes", "fault"),
    [
        (([], [], []), "no votes"),
        (([0], [0], [0, 1]), "same length"),
        (([0, 2], [0, 0], [0, 1]), "item 1 has no vote"),
        (([0], [1], [0]), "annotator 0 has no vote"),
        (([0.5], [0], [0]), "whole numbers"),
        (([0], [0], [-1]), "whole numbers"),
        (([0], [0], [1], [0]), "above 0"),
    ],
)
def test_votes_that_cannot_be_read_are_refused_with_their_fault(votes, fault):
    with pytest.raises(BadInput, match=fault):
        dawid_skene(*votes)
    with pytest.raises(BadInput, match="outside the 1 classes"):
        dawid_skene([0], [0], [1], classes=1)
