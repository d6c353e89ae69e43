"""Warnings while a model trains: each where it is meant, none in a run that goes well, each told once."""

import math
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_stories import metrics

from train.watching import NAMES, watch


def rows(n, **keys):
    """Logged training rows; a key's value is a function of the step, from 1."""
    return [
        {"step": i, "split": "train", "epoch": i / n, **{key: value(i) for key, value in keys.items()}}
        for i in range(1, n + 1)
    ]


def names(logged, **more):
    return [one.name for one in watch(logged, **more)]


def shaken(of, by=0.05):
    """The value with noise that is the same every time."""
    return lambda i: of(i) + random.Random(i).gauss(0, by)


WRONG = {
    "loss_not_finite": (rows(3, loss=lambda i: math.nan if i == 2 else 0.6), {}),
    "gradients_zero": (rows(5, grad_norm=lambda i: 0.0 if i > 2 else 1.0), {}),
    "likelihood_displacement": (
        rows(30, chosen_logp=shaken(lambda i: -90 - i / 10), rejected_logp=shaken(lambda i: -95 - i)),
        {},
    ),
    "accuracy_at_once": (rows(8, accuracy=lambda i: 0.4 if i == 1 else 1.0), {}),
    "rewards_follow_length": (rows(12, length_correlation=shaken(lambda i: 0.7)), {}),
    "kl_running_away": (rows(12, kl=lambda i: -9.0 * i), {}),
    "loss_not_falling": (rows(60, loss=shaken(lambda i: 0.69)), {}),
    "overfitting": (
        rows(60, loss=lambda i: 0.7 - 0.01 * i)
        + [{"step": s, "split": "validation", "loss": x} for s, x in ((15, 0.6), (30, 0.5), (45, 0.55), (60, 0.62))],
        {},
    ),
    "always_clipped": (rows(20, grad_norm=shaken(lambda i: 9.0)), {"clip": 1.0}),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_warning_comes_where_it_is_meant_and_alone(name):
    logged, more = WRONG[name]
    (found,) = watch(logged, **more)
    assert found.name == name
    assert found.step == logged[-1]["step"]


@pytest.mark.parametrize("name", NAMES)
def test_a_warning_is_told_once_and_in_both_languages(name):
    logged, more = WRONG[name]
    (found,) = watch(logged, **more)
    assert watch(logged, [name], **more) == []
    assert re.search("[a-z]{4}", found.en)
    assert found.en.endswith(".")
    assert re.search("[\u4e00-\u9fff]{4}", found.zh)
    assert found.zh.endswith(("。", "）。"))
    assert "{" not in found.en + found.zh


def test_every_warning_says_what_to_do():
    for logged, more in WRONG.values():
        (found,) = watch(logged, **more)
        assert re.search(r"\b(Stop|Look|Lower|Run|See|Raise|Take)\b", found.en), found.name


@pytest.mark.parametrize("task", ["sft", "reward"])
def test_a_run_that_goes_well_is_left_alone_at_every_step(task):
    logged = metrics(task)
    for end in range(1, len(logged) + 1):
        assert watch(logged[:end], clip=5.0) == []


def test_scores_of_a_reward_model_may_both_fall():
    logged = rows(30, chosen_reward=shaken(lambda i: -i / 10), rejected_reward=shaken(lambda i: -i))
    assert names(logged) == []


def test_batches_of_long_answers_late_in_a_run_are_no_displacement():
    """Log-probabilities fall because answers are longer; what the model gained over its reference does not."""
    logged = rows(
        30,
        chosen_logp=shaken(lambda i: -90 - 3 * i),
        rejected_logp=shaken(lambda i: -95 - 3 * i),
        chosen_reward=shaken(lambda i: 0.01 * i),
        rejected_reward=shaken(lambda i: -0.05 * i),
    )
    assert names(logged) == []


def test_a_margin_from_the_rejected_side_alone_is_no_displacement():
    logged = rows(60, chosen_logp=shaken(lambda i: -90, 0.5), rejected_logp=shaken(lambda i: -95 - i))
    assert names(logged) == []


def test_a_late_stretch_of_right_batches_is_no_leak():
    assert names(rows(40, accuracy=lambda i: 0.5 if i < 10 else 1.0)) == []


def test_noise_that_grows_no_trend_is_not_called_one():
    for seed in range(20):
        draw = random.Random(seed)
        logged = rows(
            60, chosen_logp=lambda i, d=draw: d.gauss(-90, 9), rejected_logp=lambda i, d=draw: d.gauss(-95, 9)
        )
        assert names(logged) == []


def test_a_long_run_is_held_against_its_beginning():
    logged = rows(3000, loss=shaken(lambda i: 0.7 - 0.0001 * i), grad_norm=lambda i: 9.0 if i > 2900 else 0.5)
    assert names(logged, clip=1.0) == ["always_clipped"]
    assert names(rows(3000, loss=shaken(lambda i: 0.7))) == ["loss_not_falling"]


def test_shortness_that_is_rewarded_is_told_as_such():
    (found,) = watch(rows(12, length_correlation=lambda i: -0.8))
    assert "shorter" in found.en
    assert "更短" in found.zh


def test_no_limit_is_no_clipping():
    assert names(rows(20, grad_norm=lambda i: 9.0)) == []


def test_validation_that_rises_with_training_is_not_learning_by_heart():
    logged = rows(60, loss=lambda i: 0.7 + 0.01 * i)
    logged += [{"step": s, "split": "validation", "loss": x} for s, x in ((20, 0.5), (40, 0.6), (60, 0.7))]
    assert names(logged) == ["loss_not_falling"]


ANYTHING = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3)
KEYS = ("step", "epoch", "loss", "grad_norm", "accuracy", "chosen_logp", "rejected_logp", "chosen_reward", "kl")
LOGGED = st.fixed_dictionaries({}, optional={key: ANYTHING for key in KEYS if key not in ("step",)})


@given(st.lists(LOGGED, max_size=40), st.none() | st.floats(0.1, 9))
def test_whatever_is_logged_gives_warnings_and_no_error(logged, clip):
    logged = [{"step": i, "split": ("train", "validation")[i % 3 == 0], **row} for i, row in enumerate(logged)]
    found = watch(logged, clip=clip)
    assert len({one.name for one in found}) == len(found)
    assert {one.name for one in found} <= set(NAMES)
