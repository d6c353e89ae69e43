"""The arithmetic of intervals against its definition: leave one out by hand, draw by hand, count by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.agreement import Level, gwet_ac1, kendall_w, krippendorff_alpha, patterns, percent_agreement
from data.coincidence import alphas, design, pairable, weighed, without_each
from data.concordance import concordance, mean_concordance
from data.cross_agreement import cross_alpha
from data.draws import weights
from data.errors import BadInput
from data.intervals import measure

NUMBERS = np.array([0.0, 1.0, 3.0])
tables = arrays(np.int64, st.tuples(st.integers(2, 8), st.just(3)), elements=st.integers(0, 3)).filter(
    lambda t: bool((t.sum(axis=1) > 0).all())
)
levels = st.sampled_from(["nominal", "ordinal", "interval", "ratio"])


@settings(deadline=None, max_examples=60)
@given(tables, levels)
def test_all_measures_equal_their_definitions(counts: Any, level: Level) -> None:
    found = measure(design(*patterns(counts)), level, NUMBERS, replicates=0)
    for name, plain in (
        ("alpha", krippendorff_alpha(counts, level, NUMBERS.tolist())),
        ("percent", percent_agreement(counts)),
        ("ac1", gwet_ac1(counts)),
    ):
        assert (found[name].value is None) == (plain.value is None), name
        if plain.value is not None:
            assert found[name].value == pytest.approx(plain.value, abs=1e-9)
            assert (found[name].units, found[name].ratings) == (plain.units, plain.ratings)


@settings(deadline=None, max_examples=60)
@given(tables, levels)
def test_leaving_out_a_unit_is_measuring_the_others(counts: Any, level: Level) -> None:
    made = design(counts, np.ones(len(counts), dtype=np.int64))
    left = alphas(without_each(made, 0, len(counts)), level, NUMBERS)
    order = np.lexsort((*counts.T[::-1], counts.sum(axis=1)))
    for i, row in enumerate(order):
        rest = krippendorff_alpha(np.delete(counts, row, axis=0), level, NUMBERS.tolist())
        assert math.isnan(left[i]) == (rest.value is None)
        if rest.value is not None:
            assert left[i] == pytest.approx(rest.value, abs=1e-9)


def test_units_of_a_block_go_together() -> None:
    random = np.random.default_rng(3)
    counts = random.multinomial(3, [0.6, 0.3, 0.1], size=40)
    blocks = np.repeat(np.arange(10), 4)
    made = design(counts, np.ones(40, dtype=np.int64), blocks)
    assert made.times.sum() == 10
    left = alphas(without_each(made, 0, len(made.times)), "ordinal")
    by_hand = [krippendorff_alpha(counts[blocks != b], "ordinal").value for b in range(10)]
    assert sorted(np.repeat(left, made.times)) == pytest.approx(sorted(by_hand))  # type: ignore[type-var]
    wide = measure(made, "ordinal")["alpha"]
    assert wide.blocks == 10
    same = design(np.repeat(counts[:10], 4, axis=0), np.ones(40, dtype=np.int64), blocks)
    alone = design(np.repeat(counts[:10], 4, axis=0), np.ones(40, dtype=np.int64))
    together, apart = (measure(d, "nominal")["alpha"].jackknife.error for d in (same, alone))
    assert together is not None
    assert apart is not None
    assert together > 1.5 * apart  # four copies of a unit are no four units


@pytest.mark.parametrize("patterns_", [3, 1600])
def test_draws_with_replacement_are_multinomial(patterns_: int) -> None:
    times = np.random.default_rng(0).integers(1, 60, patterns_)
    times[:3] = (1, 300, 97)
    total = int(times.sum())
    drawn = np.concatenate(list(weights(times, 2000, 1)), axis=1)
    assert drawn.shape == (patterns_, 2000)
    assert (drawn.sum(axis=0) == total).all()
    assert (drawn >= 0).all()
    spread = times * (1 - times / total)
    assert np.abs((drawn.mean(axis=1) - times) / np.sqrt(spread / 2000)).max() < 5
    assert (drawn.var(axis=1) / spread).mean() == pytest.approx(1, abs=0.05)
    ones = drawn[times == 1]
    assert (ones == 0).mean() == pytest.approx((1 - 1 / total) ** total, abs=0.05)
    assert (np.concatenate(list(weights(times, 2000, 1)), axis=1) == drawn).all()


def test_the_bootstrap_spreads_as_the_jackknife_does() -> None:
    random = np.random.default_rng(5)
    counts = random.multinomial(4, [0.7, 0.2, 0.1], size=300)
    counts[:150] = [4, 0, 0]
    for found in measure(design(*patterns(counts)), "interval", NUMBERS, replicates=4000).values():
        assert found.bootstrap.error == pytest.approx(found.jackknife.error, rel=0.1)
        assert found.bootstrap.low == pytest.approx(found.jackknife.low, abs=0.02)


def test_leaving_out_reads_only_pairable_units() -> None:
    made = design(np.array([[1, 0], [2, 0], [1, 1]]), np.array([50, 10, 10]))
    assert made.times[pairable(made)].sum() == 20
    assert measure(made, "nominal", replicates=0)["alpha"].blocks == 20
    assert weighed(made, made.times[:, None].astype(float)).rated[0] == 70


def test_cross_alpha_of_one_judge_each_is_cohens_kappa() -> None:
    random = np.random.default_rng(1)
    a = random.integers(0, 3, 80)
    b = np.where(random.random(80) < 0.7, a, random.integers(0, 3, 80))
    one, other = np.eye(3, dtype=np.int64)[a], np.eye(3, dtype=np.int64)[b]
    times = np.ones(80, dtype=np.int64)
    found = cross_alpha(one, other, times, "nominal", replicates=1000)
    same = (a == b).mean()
    chance = sum((a == v).mean() * (b == v).mean() for v in range(3))
    assert found.value == pytest.approx((same - chance) / (1 - chance))
    assert found.jackknife.error == pytest.approx(found.bootstrap.error, rel=0.15)
    swapped = cross_alpha(other, one, times, "nominal", replicates=0)
    assert swapped.value == pytest.approx(found.value)
    nobody = cross_alpha(one, np.zeros_like(one), times, "nominal")
    assert (nobody.value, nobody.why) == (None, "no unit judged by both")


def test_concordance_with_and_without_unplaced_items() -> None:
    whole = ((0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3))
    assert concordance(whole).value == kendall_w(whole).value
    again = concordance((*whole, (-1, -1, -1, -1)))  # one who placed nothing adds no pair
    pairs = [1 - 6 * d / (4 * 15) for d in (2, 2, 6)]
    assert again.value == pytest.approx((1 + sum(pairs) / 3 * 3) / 4)
    assert concordance(((0, 1, -1), (0, 1, 2))).value == pytest.approx(1)
    assert concordance(((0, -1, -1), (0, 1, 2))).value is None
    mean = mean_concordance([(whole, 3), (((0, 1), (1, 0)), 1)], replicates=100)
    assert mean.value == pytest.approx((3 * (kendall_w(whole).value or 0) + 0) / 4)


def test_what_cannot_be_measured_is_refused() -> None:
    made = design(np.array([[1, 1]]), np.array([5]))
    with pytest.raises(BadInput, match="confidence"):
        measure(made, "nominal", confidence=1.0)
    with pytest.raises(BadInput, match="ratio level"):
        measure(made, "ratio", np.array([-1.0, 1.0]))
    with pytest.raises(BadInput, match="at most 32"):
        design(np.ones((1, 40), dtype=np.int64), np.array([1]))


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=0, max_size=30))
def test_rows_of_a_table_are_told_apart_as_numpy_does(rows: list[list[int]]) -> None:
    from data.coincidence import _distinct_rows

    table = np.asarray(rows, float).reshape(-1, 4)
    kept, place = _distinct_rows(table)
    theirs, where = np.unique(table, axis=0, return_inverse=True)
    assert np.array_equal(kept, theirs)
    assert np.array_equal(place, where.ravel())
