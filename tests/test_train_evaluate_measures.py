"""The statistics that an evaluation owns, on cases whose answer is known."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput, NotThere
from train.better_prompt import put_before, read_prompt
from train.cases import Case
from train.harness import MISSING, Scored, check_harness, harness_cases, read_samples
from train.likelihoods import Likelihood, batches
from train.measuring import measures_of
from train.overlap import common_subsequence, rouge_l
from train.preferences import Preference, brier, calibration_of, error_interval, implicit, right

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=9)


def slow_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """The definition, by recursion."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + slow_subsequence(a[1:], b[1:])
    return max(slow_subsequence(a[1:], b), slow_subsequence(a, b[1:]))


def test_rouge_l_is_that_of_lins_own_example() -> None:
    # C.-Y. Lin (2004), section 3.1: S1 police killed the gunman, S2 police kill the gunman, S3 the gunman kill police.
    assert rouge_l("police kill the gunman", "police killed the gunman") == 0.75  # 3 of 4, both ways
    assert rouge_l("the gunman kill police", "police killed the gunman") == 0.5  # 2 of 4
    assert rouge_l("one two three", "one three") == pytest.approx(2 * 2 / (3 + 2))


def test_rouge_l_counts_characters_of_chinese_and_is_whole_for_two_empty_texts() -> None:
    assert rouge_l("今天很冷", "今天不冷") == 0.75  # 今天冷
    assert (rouge_l("", ""), rouge_l("", "a"), rouge_l("...", "!")) == (1.0, 0.0, 1.0)


@given(words, words)
def test_rouge_l_is_the_reference_librarys(a: list[str], b: list[str]) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rougeL"]).score(" ".join(b), " ".join(a))["rougeL"].fmeasure
    assert rouge_l(" ".join(a), " ".join(b)) == (1.0 if not a and not b else pytest.approx(theirs))


@given(words, words)
def test_the_common_subsequence_is_what_its_definition_gives(a: list[str], b: list[str]) -> None:
    assert common_subsequence(a, b) == slow_subsequence(a, b)


def test_a_model_is_right_where_it_prefers_what_people_prefer() -> None:
    first, second, neither = Preference(2.0, 1.0), Preference(0.0, 1.0), Preference(1.0, 1.0)
    assert [right(one, 0.8) for one in (first, second, neither)] == [1.0, 0.0, 0.5]
    assert [right(one, 0.2) for one in (first, second, neither)] == [0.0, 1.0, 0.5]
    assert right(first, 0.5) is None  # people are evenly divided


def test_the_probability_is_the_margins_logistic_and_its_brier_score_takes_soft_labels() -> None:
    sure = Preference(math.log(4), 0.0)
    assert sure.probability == pytest.approx(0.8)
    assert brier(sure, 1.0) == pytest.approx(0.04)
    assert brier(sure, 0.75) == pytest.approx(0.75 * 0.04 + 0.25 * 0.64)
    assert Preference(-1e6, 1e6).probability == 0.0


def test_implicit_reward_is_beta_times_the_log_ratio_of_sums_or_of_means() -> None:
    own, start = Likelihood(-6.0, 3), Likelihood(-9.0, 3)
    assert implicit(own, start, 0.1, False) == pytest.approx(0.3)
    assert implicit(own, start, 0.1, True) == pytest.approx(0.1)
    assert implicit(own, None, 1.0, False) == -6.0
    assert Likelihood(0.0, 0).mean == 0.0


def test_a_calibrated_side_has_no_error_and_one_that_is_always_sure_has_what_it_misses() -> None:
    # 40 pairs at 75 %, of which three in four came true, each prompt alone.
    margin = math.log(3)
    targets = [1.0, 1.0, 1.0, 0.0] * 10
    found = calibration_of("run", [Preference(margin, 0.0)] * 40, targets, [str(i) for i in range(40)])
    assert found.error == pytest.approx(0, abs=1e-9)
    assert found.brier == pytest.approx(0.75 * 0.0625 + 0.25 * 0.5625)
    sure = calibration_of("run", [Preference(50.0, 0.0)] * 40, targets, [str(i) for i in range(40)])
    assert sure.error == pytest.approx(0.25)
    assert sure.error_low is not None
    assert sure.error_high is not None
    # The gap's mean over independent pairs: its jackknife is the usual standard error of a share, √(¼·¾/39).
    half = (sure.error_high - sure.error_low) / 2
    assert half == pytest.approx(2.0227 * math.sqrt(0.25 * 0.75 / 39), rel=1e-3)


def test_the_error_has_no_interval_over_few_prompt_families_and_copies_of_a_row_add_nothing() -> None:
    assert error_interval([0.9] * 38, [1.0, 0.0] * 19, list(range(19)) * 2) == (None, None)
    targets = [1.0, 0.0, 1.0] * 10
    once = error_interval([0.9] * 30, targets, list(range(30)))
    twice = error_interval([0.9] * 60, targets * 2, list(range(30)) * 2)
    assert twice == pytest.approx(once)


def test_measures_are_taken_over_all_and_over_every_slice_paired_where_both_have_a_value() -> None:
    tags = [{"language": "zh", "tag": "maths;units"}, {"language": "en", "tag": "maths"}] * 6
    cases = [Case("accuracy", str(i), str(i), float(i % 2), 0.0 if i < 8 else None, tags[i]) for i in range(12)]
    found = {(one.measure, one.slice): one for one in measures_of(cases, {"accuracy": "by score"})}
    whole = found["accuracy", "all"]
    assert (whole.value, whole.n, whole.clusters, whole.note) == (0.5, 12, 12, "by score")
    assert (whole.against, whole.difference) == (0.0, 0.5)  # over the eight that both have
    assert {slice for _, slice in found} == {"all", "language=en", "language=zh", "tag=maths", "tag=units"}
    assert found["accuracy", "tag=units"].value == 0.0
    assert found["accuracy", "language=en"].n == 6
    assert found["accuracy", "language=en"].low is None  # six clusters are too few
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low < 0.5 < whole.high


def test_a_measure_without_a_range_may_have_any_value() -> None:
    cases = [Case("log_perplexity", str(i), str(i), 2.0 + i % 2, 3.0, {}) for i in range(20)]
    (found,) = measures_of(cases)
    assert (found.value, found.difference) == (2.5, -0.5)
    assert found.low is not None
    assert 2.0 < found.low < 2.5


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_batches_hold_every_row_once_and_no_more_tokens_than_allowed(lengths: list[int], most: int) -> None:
    made = batches(lengths, most)
    assert sorted(i for batch in made for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most for batch in made)


def test_a_better_prompt_stands_before_the_prompt_and_its_system_text_before_the_prompts_own(tmp_path: Path) -> None:
    path = tmp_path / "better.yaml"
    path.write_text("system: Be brief.\nexamples:\n- {user: '2+2?', assistant: '4'}\nschema: {type: object}\n")
    found = read_prompt(path)
    made = put_before(found, [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "3+3?"}])
    assert [one["role"] for one in made] == ["system", "user", "assistant", "user"]
    assert made[0]["content"].startswith("Be brief.\n\n")
    assert made[0]["content"].endswith("\n\nBe kind.")
    assert '{"type": "object"}' in made[0]["content"]
    assert [one["content"] for one in made[1:]] == ["2+2?", "4", "3+3?"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sytem: hi", "did you mean 'system'"),
        ("- a", "holds no keys"),
        ("system: [1]", "needed is a text"),
        ("examples: [{user: a}]", "example 1"),
        ("schema: text", "JSON schema"),
        ("system: {a", "cannot be read as YAML"),
    ],
)
def test_a_prompts_file_that_is_none_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "better.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said.replace("?", r"\?")) as raised:
        read_prompt(path)
    assert "\n" not in str(raised.value)


def test_without_the_harness_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.harness.find_spec", lambda name: None)
    with pytest.raises(NotThere) as raised:
        check_harness(["arc"], None)
    assert str(raised.value) == MISSING


def test_the_harness_samples_become_cases_by_document_with_the_first_metric() -> None:
    samples = {
        "maths": [
            {"doc_id": 1, "metrics": ["acc", "acc_norm"], "acc": 1.0, "acc_norm": 0.0},
            {"doc_id": 0, "metrics": ["acc"], "acc": 0.0},
            {"doc_id": 2, "metrics": ["text"], "text": "none"},
        ]
    }
    found = read_samples(samples)
    assert found == [Scored("maths", "1", "acc", 1.0), Scored("maths", "0", "acc", 0.0)]
    cases, notes = harness_cases(found, [Scored("maths", "1", "acc", 0.0)])
    assert [(one.measure, one.id, one.value, one.against) for one in cases] == [
        ("harness_maths", "1", 1.0, 0.0),
        ("harness_maths", "0", 0.0, None),
    ]
    assert notes == {"harness_maths": "acc, lm-evaluation-harness"}
