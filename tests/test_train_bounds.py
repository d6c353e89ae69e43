"""Bounds of clustered means: exact where cases are independent, held to their level by simulation where not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, norm, t

from data.calibration import mean_by_group
from data.errors import BadInput
from data.stats import clopper_pearson
from train.bounds import DIFFERENCE, FEW, SHARE, limits, look, mean_interval, one_sided, p_value, seen_in
from train.needed import needed, needed_unseen
from train.spending import Looked, level, spends, spent

outcomes = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=60)
clustered = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 8)), min_size=3, max_size=60
).filter(lambda rows: len({g for _, g in rows}) > 1)


@given(wins=st.integers(0, 60), losses=st.integers(0, 60), alpha=st.floats(0.001, 0.3))
def test_independent_yes_and_no_have_the_exact_binomial_bounds(wins: int, losses: int, alpha: float) -> None:
    n = wins + losses
    if n < 2:
        return
    exact = clopper_pearson(wins, n, 1 - 2 * alpha)
    low, high = one_sided([1.0] * wins + [0.0] * losses, list(range(n)), alpha)
    assert low == pytest.approx(exact.low, abs=1e-9)
    assert high == pytest.approx(exact.high, abs=1e-9)


def test_zero_failures_allow_the_rule_of_three() -> None:
    # 1 - 0.05^(1/300) = 0.00994
    low, high = one_sided([0.0] * 300, list(range(300)))
    assert (low, high) == (0.0, pytest.approx(1 - 0.05 ** (1 / 300)))


def test_zero_failures_in_clusters_count_each_cluster_but_once() -> None:
    families = [i // 10 for i in range(500)]
    assert one_sided([0.0] * 500, families)[1] >= 1 - 0.05 ** (1 / 50)
    one = [1.0] + [0.0] * 499  # one failure more must not make the bound much tighter
    assert one_sided(one, families)[1] >= 1 - 0.05 ** (1 / 50)


def test_no_discordant_pair_among_a_hundred_is_no_proof_of_no_difference() -> None:
    low, high = one_sided([0.0] * 100, list(range(100)), 0.05, DIFFERENCE)
    assert low == pytest.approx(-(1 - 0.05**0.01))
    assert high == -low


def test_rare_losses_alone_have_the_binomial_bound_of_their_share() -> None:
    # 2 losses and 98 ties: the mean lies above -(upper bound of 2 in 100)
    low, _ = one_sided([-1.0, -1.0] + [0.0] * 98, list(range(100)), 0.05, DIFFERENCE)
    assert low == pytest.approx(-beta.ppf(0.95, 3, 98), abs=1e-9)


@given(rows=clustered)
def test_turning_the_values_round_turns_the_bounds_round(rows: list[tuple[float, int]]) -> None:
    values, families = [v for v, _ in rows], [g for _, g in rows]
    low, high = one_sided(values, families)
    turned_low, turned_high = one_sided([1 - v for v in values], families)
    assert (turned_low, turned_high) == (pytest.approx(1 - high, abs=1e-9), pytest.approx(1 - low, abs=1e-9))


@given(rows=clustered)
def test_a_share_and_the_same_stretched_over_minus_one_to_one_have_the_same_bounds(
    rows: list[tuple[float, int]],
) -> None:
    values, families = [v for v, _ in rows], [g for _, g in rows]
    low, high = one_sided(values, families)
    stretched = one_sided([2 * v - 1 for v in values], families, 0.05, DIFFERENCE)
    assert stretched == (pytest.approx(2 * low - 1, abs=1e-9), pytest.approx(2 * high - 1, abs=1e-9))


@given(rows=clustered, smaller=st.floats(0.001, 0.2), larger=st.floats(0.2, 0.45))
def test_bounds_enclose_the_mean_stay_in_range_and_widen_as_alpha_falls(
    rows: list[tuple[float, int]], smaller: float, larger: float
) -> None:
    values, families = [v for v, _ in rows], [g for _, g in rows]
    mean = sum(values) / len(values)
    wide, tight = one_sided(values, families, smaller), one_sided(values, families, larger)
    assert 0 <= wide[0] <= tight[0] + 1e-12 <= mean + 1e-9
    assert mean - 1e-9 <= tight[1] + 1e-12
    assert tight[1] <= wide[1] + 1e-12 <= 1 + 1e-9


@given(wins=st.integers(0, 40), losses=st.integers(1, 40))
def test_one_win_more_never_lowers_a_bound_of_independent_cases(wins: int, losses: int) -> None:
    n = wins + losses
    if n < 2:
        return
    before = one_sided([1.0] * wins + [0.0] * losses, list(range(n)))
    after = one_sided([1.0] * (wins + 1) + [0.0] * (losses - 1), list(range(n)))
    assert after[0] >= before[0]
    assert after[1] >= before[1]


@given(rows=clustered, seed=st.integers(0, 99))
def test_neither_order_nor_names_of_clusters_change_a_digit(rows: list[tuple[float, int]], seed: int) -> None:
    values, families = [v for v, _ in rows], [g for _, g in rows]
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    again = one_sided([values[i] for i in order], [f"family {families[i]}" for i in order])
    assert again == one_sided(values, families)


@given(values=outcomes)
def test_ties_do_not_widen_beyond_wins_and_losses_of_the_same_mean(values: list[float]) -> None:
    ties = values.count(0.5)
    if ties % 2 or len(values) < 4:
        return
    spread = [v for v in values if v != 0.5] + [1.0, 0.0] * (ties // 2)
    low, high = one_sided(values, list(range(len(values))))
    spread_low, spread_high = one_sided(spread, list(range(len(spread))))
    assert high - low <= spread_high - spread_low + 1e-9


def test_a_mean_without_a_range_has_students_t_over_clusters() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 3.0, 3.0, 5.0, 0.0, 7.0, 2.0, 9.0, 1.0]
    families = list(range(12))
    error = np.std(values, ddof=1) / math.sqrt(12)  # clusters of one: the plain standard error
    low, high = one_sided(values, families, 0.05, None)
    reach = t.ppf(0.95, 11) * error
    assert (low, high) == (pytest.approx(np.mean(values) - reach), pytest.approx(np.mean(values) + reach))


def test_clusters_of_one_size_have_the_error_of_their_means() -> None:
    rng = np.random.default_rng(0)
    by_cluster = rng.normal(size=(15, 4)) + rng.normal(size=(15, 1))
    seen = look(by_cluster.ravel().tolist(), [i // 4 for i in range(60)], None)
    means = by_cluster.mean(axis=1)
    assert float(seen.error) == pytest.approx(np.std(means, ddof=1) / math.sqrt(15))
    assert (seen.freedom, seen.even) == (pytest.approx(14), pytest.approx(15))


def test_large_samples_agree_with_the_intervals_of_shares_by_group() -> None:
    rng = np.random.default_rng(1)
    families = np.repeat(np.arange(500), 4)
    values = (rng.random(2000) < np.repeat(rng.beta(5, 4, 500), 4)).astype(float)
    ours, theirs = mean_interval(values.tolist(), families.tolist()), mean_by_group(values, families)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=2e-3), pytest.approx(theirs.high, abs=2e-3))


def test_the_p_value_is_the_binomial_tests() -> None:
    seen = look([1.0] * 60 + [0.0] * 40, list(range(100)))
    assert p_value(seen, 0.5, True) == pytest.approx(binomtest(60, 100, 0.5, alternative="greater").pvalue, rel=1e-6)
    assert p_value(seen, 0.5, False) == 0.5  # the mean lies on the other side
    assert p_value(look([1.0] * 500, list(range(500))), 0.001, True) == 1e-12


@given(rows=clustered, limit=st.floats(0.05, 0.95), alpha=st.floats(0.005, 0.3))
@settings(max_examples=40)
def test_a_p_value_is_below_alpha_just_where_the_bound_shows_it(
    rows: list[tuple[float, int]], limit: float, alpha: float
) -> None:
    seen = look([v for v, _ in rows], [g for _, g in rows])
    p = p_value(seen, limit, True)
    if abs(p - alpha) > 1e-6:
        assert (p < alpha) == bool(limits(seen, alpha)[0] >= limit)


def test_the_level_holds_in_clusters_at_the_middle_and_near_the_ends() -> None:
    """2,000 data sets a cell; 0.05 + three standard errors of a simulated 5% is 0.0646."""
    rng = np.random.default_rng(0)
    for many, size in ((12, 4), (60, 5)):
        sizes = np.full(many, float(size))
        for rate in (0.5, 0.9, 0.98):
            for alike in (0.02, 0.3, 0.9):
                odds = (1 - alike) / alike
                latent = rng.beta(rate * odds, (1 - rate) * odds, (2000, many))
                wins = rng.binomial(size, latent).astype(float)
                low, high = limits(seen_in(wins, sizes - wins, sizes, SHARE, True), 0.05)
                assert (low > rate).mean() <= 0.0646, (many, rate, alike)
                assert (high < rate).mean() <= 0.0646, (many, rate, alike)


def test_the_level_holds_for_rare_differences_and_unequal_clusters() -> None:
    rng = np.random.default_rng(1)
    sizes = np.array([1, 1, 2, 2, 3, 4, 6, 8] * 8)
    starts = np.cumsum(sizes) - sizes
    for up, down in ((0.02, 0.05), (0.0, 0.04), (0.25, 0.3)):
        place = rng.random((2000, sizes.sum()))
        family = np.repeat(rng.random((2000, len(sizes))), sizes, axis=1)
        drawn = np.where(rng.random(place.shape) < 0.4, family, place)
        above, below = (np.add.reduceat((x).astype(float), starts, axis=1) for x in (drawn < up, drawn > 1 - down))
        low, high = limits(seen_in(above, below, sizes, DIFFERENCE, True), 0.05)
        assert (low > up - down).mean() <= 0.0646, (up, down)
        assert (high < up - down).mean() <= 0.0646, (up, down)


def test_few_clusters_have_no_interval_and_one_has_no_bound() -> None:
    found = mean_interval([1.0, 0.0] * 20, [i % (FEW - 1) for i in range(40)])
    assert (found.value, found.low, found.high, found.clusters) == (0.5, None, None, FEW - 1)
    assert found.why == f"too few: {FEW - 1} prompt families of at least {FEW}"
    assert one_sided([1.0, 0.0, 1.0], ["a", "a", "a"]) == (0.0, 1.0)
    assert mean_interval([], []).why == "no cases"


def test_needed_cases_are_those_of_the_power_formula() -> None:
    # 55% wins, one-sided 5%, power 80%: n = (1.6449 + 0.8416)² · 0.2475 / 0.05² = 612 in all
    wins = [1.0] * 110 + [0.0] * 90
    plan = needed(look(wins, list(range(200))), 0.5, True, 0.05)
    z = norm.ppf(0.95) + norm.ppf(0.8)
    assert plan.shows == "holds"
    assert plan.more is not None
    assert 200 + plan.more == pytest.approx(z**2 * 0.2475 / 0.0025, rel=0.05)


def test_needed_cases_grow_with_the_design_effect() -> None:
    wins = ([1.0] * 11 + [0.0] * 9) * 10
    alone = needed(look(wins, list(range(200))), 0.5, True, 0.05).more
    alike = needed(look(sorted(wins), [i // 4 for i in range(200)]), 0.5, True, 0.05).more
    assert alone is not None
    assert alike is not None
    assert 200 + alike > 3 * (200 + alone)


def test_needed_says_when_no_number_would_do_and_when_more_would_show_a_failure() -> None:
    even = look([1.0, 0.0] * 50, list(range(100)))
    assert needed(even, 0.5, True, 0.05).more is None
    worse = needed(look([1.0] * 45 + [0.0] * 55, list(range(100))), 0.5, True, 0.05)
    assert worse.shows == "violated"
    assert worse.more is not None
    assert worse.more > 100


def test_needed_without_any_case_is_the_rule_of_three() -> None:
    # no failure among 299: 1 - 0.05^(1/299) = 0.00997, among 298: 0.01000
    assert needed_unseen(0.01, False, 0.05, SHARE) == 299
    assert needed_unseen(0.01, False, 0.05, None) == FEW


@pytest.mark.parametrize(
    ("values", "families", "alpha", "said"),
    [
        ([1.0], [], 0.05, "one cluster for each"),
        ([], [], 0.05, "at least one"),
        ([float("nan"), 1.0], [0, 1], 0.05, "finite"),
        ([2.0, 1.0], [0, 1], 0.05, "0 to 1 is the range"),
        ([0.0, 1.0], [0, 1], 0.7, "alpha is 0.7"),
    ],
)
def test_bad_input_is_told(values: list[float], families: list[int], alpha: float, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        one_sided(values, families, alpha)


def test_spending_is_about_even_ends_at_alpha_and_stops_there() -> None:
    each = [spends(k, 3, 0.05) for k in (1, 2, 3)]
    assert sum(each) == pytest.approx(0.05)
    assert each[0] == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 3))
    assert spends(4, 3, 0.05) == 0.0
    assert spent(1, 0.05) == pytest.approx(0.05)
    assert spends(1, 1, 0.05) == pytest.approx(0.05)


def test_levels_of_grown_evidence_spend_what_they_should() -> None:
    """300,000 sequences of means of 1, 2 and 3 parts under the limit itself: 5% pass at one look or another."""
    chain: list[Looked] = []
    for k in (1, 2, 3):
        chain.append(Looked(float(k), level(chain, spends(k, 3, 0.05), float(k))))
    z = np.cumsum(np.random.default_rng(0).standard_normal((300_000, 3)), axis=1) / np.sqrt([1, 2, 3])
    passed = (z >= norm.isf([one.level for one in chain])).any(axis=1).mean()
    assert passed == pytest.approx(0.05, abs=0.0012)  # three standard errors
    assert all(one.level > spends(k, 3, 0.05) for k, one in enumerate(chain, 1) if k > 1)


def test_unrelated_evidence_has_the_level_it_spends_and_the_same_evidence_what_is_spent_in_all() -> None:
    assert level([], 0.02) == 0.02
    assert level([Looked(100, 0.02)], 0.02, 1e12) == pytest.approx(0.02, abs=5e-4)
    assert 0.036 < level([Looked(100, 0.02)], 0.02, 100) <= 0.0401
    assert level([Looked(100, 0.02)], 0.0, 200) == 0.0
    with pytest.raises(BadInput, match="looks are from 1"):
        spends(0, 3, 0.05)
