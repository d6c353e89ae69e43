"""Soft labels: from log-probabilities to a probability, clamped and averaged; known answers and properties."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput
from datagen.softlabel import Clamp, average, both_orders, complement, parse_clamp, soft_label, spelled

chance = st.floats(0, 1).map(lambda p: round(p, 6))


def token(text: str, p: float, **others: float) -> dict[str, Any]:
    """A token as a server gives it; `others` are the alternatives, with _ for a space."""
    given = {text: p} | {name.replace("_", " "): q for name, q in others.items()}
    ranked = sorted(given.items(), key=lambda pair: -pair[1])
    return {
        "token": text,
        "logprob": math.log(p),
        "top_logprobs": [{"token": t, "logprob": math.log(q)} for t, q in ranked],
    }


# ── the letter's place ───────────────────────────────────────────────────────


def test_the_two_letters_are_normalised_over_each_other() -> None:
    found = soft_label([token("A", 0.6, B=0.2, The=0.1)], "A", 0)
    assert found == (0.75, 0.8, None)


def test_every_spelling_of_a_letter_counts() -> None:
    given_ = {"token": "A", "logprob": math.log(0.3), "top_logprobs": []}
    for text, p in ((" A", 0.1), ("(a", 0.1), ("**A**", 0.05), ("Ａ", 0.05), ("b", 0.2), (" (B)", 0.1), ("An", 0.05)):
        given_["top_logprobs"].append({"token": text, "logprob": math.log(p)})
    found = soft_label([given_], "A", 0)
    assert found is not None
    assert found.probability == round(0.6 / 0.9, 6)
    assert found.seen == 0.9


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("A", "A"),
        (" b", "B"),
        ("(A)", "A"),
        ("'B'", "B"),
        ("A.", "A"),
        ("\nB", "B"),
        ("An", None),
        ("Both", None),
        ("", None),
    ],
)
def test_a_token_spells_a_letter_or_none(text: str, side: str | None) -> None:
    assert spelled(text) == side


def test_a_choice_split_over_tokens_is_read_where_its_letter_stands() -> None:
    tokens = [token("(", 0.9, A=0.1), token("B", 0.8, A=0.2), token(")", 1.0)]
    assert soft_label(tokens, "(B)", 1) == (0.2, 1.0, None)


def test_text_the_server_trimmed_and_tokens_it_added_do_not_move_the_place() -> None:
    tokens = [token("\n", 1.0), token(" A", 0.9, _B=0.1), token("<|im_end|>", 1.0)]
    assert soft_label(tokens, "A", 0) == (0.9, 1.0, None)
    broken = [token("\ufffd\ufffd", 1.0), token("\n结论：", 1.0), token("B", 0.7, A=0.3)]
    assert soft_label(broken, "好\n结论：B", 5) == (0.3, 1.0, None)


def test_a_letter_left_out_is_bounded_and_said() -> None:
    found = soft_label([token("A", 0.7, Both=0.2, The=0.04)], "A", 0)
    assert found is not None
    # What was left out is at most 0.04, the least likely given, and 0.06, all that is left: the first is less.
    assert found == (round(0.7 / 0.74, 6), 0.7, "B")
    found = soft_label([token("B", 0.7, Both=0.2, The=0.08)], "B", 0)
    assert found is not None
    assert found == (complement(round(0.7 / 0.72, 6)), 0.7, "A")


def test_without_alternatives_the_label_is_no_surer_than_the_answer() -> None:
    only = {"token": "A", "logprob": math.log(0.8)}
    assert soft_label([only], "A", 0) == (0.8, 0.8, "B")
    unlikely = {"token": "B", "logprob": math.log(0.3)}
    assert soft_label([unlikely], "B", 0) == (0.5, 0.3, "A")  # never on the other side for want of numbers


@pytest.mark.parametrize("odd", [None, "x", 0.5, math.nan, True])
def test_a_value_that_is_no_log_probability_is_passed_over(odd: Any) -> None:
    assert soft_label([{"token": "A", "logprob": odd}], "A", 0) is None
    tokens = [{"token": "A", "logprob": math.log(0.6), "top_logprobs": [{"token": "B", "logprob": odd}]}]
    assert soft_label(tokens, "A", 0) == (0.6, 0.6, "B")


@pytest.mark.parametrize("tokens", [None, [], [{"tok": 1}], [{"token": "X", "logprob": -1.0}], ["A"]])
def test_no_tokens_or_others_give_no_label(tokens: Any) -> None:
    assert soft_label(tokens, "A", 0) is None


def test_minus_infinity_is_no_probability_at_all() -> None:
    tokens = [{"token": "A", "logprob": 0.0, "top_logprobs": [{"token": "B", "logprob": -math.inf}]}]
    assert soft_label(tokens, "A", 0) == (1.0, 1.0, "B")


@given(a=st.floats(1e-6, 1), b=st.floats(1e-6, 1), rest=st.floats(0, 1))
def test_calling_the_answers_by_the_other_letter_gives_the_complement(a: float, b: float, rest: float) -> None:
    total = a + b + rest
    one = soft_label([token("A", a / total, B=b / total)], "A", 0)
    other = soft_label([token("A", b / total, B=a / total)], "A", 0)
    assert one is not None
    assert other is not None
    assert abs(one.probability - complement(other.probability)) <= 1e-6
    assert 0 <= one.probability <= 1


# ── clamping and averaging ───────────────────────────────────────────────────


def test_a_clamp_brings_certainty_to_40_and_60() -> None:
    clamp = parse_clamp("0.4,0.6")
    assert clamp is not None
    assert [clamp(p) for p in (0.0, 0.4, 0.53, 0.6, 1.0)] == [0.4, 0.4, 0.53, 0.6, 0.6]
    assert parse_clamp("none") is None


@pytest.mark.parametrize("text", ["", "0.4", "0.6,0.4", "-0.1,1.1", "0.4,0.7", "a,b", "0.4,0.6,0.8", "nan,nan"])
def test_a_range_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--clamp"):
        parse_clamp(text)


@given(p=chance, low=st.floats(0, 0.5))
def test_clamping_and_turning_round_change_places(p: float, low: float) -> None:
    low = round(low, 6)
    clamp = Clamp(low, complement(low))
    assert complement(clamp(p)) == clamp(complement(p))


def test_both_orders_are_averaged_and_a_failed_one_is_left_out() -> None:
    assert both_orders(0.8, 0.4) == 0.7
    assert both_orders(0.9, 0.9) == 0.5  # always for the first shown: says nothing
    assert both_orders(0.8, None) == 0.8
    assert both_orders(None, 0.4) == 0.6
    assert both_orders(None, None) is None


@given(first=chance, second=chance)
def test_swapping_the_answers_gives_one_minus_p(first: float, second: float) -> None:
    here, there = both_orders(first, second), both_orders(second, first)
    assert here is not None
    assert there is not None
    assert abs(here + there - 1) <= 2e-6


@given(st.lists(chance, min_size=1, max_size=20))
def test_an_average_does_not_hang_on_the_order(values: list[float]) -> None:
    assert average(values) == average(values[::-1]) == average(sorted(values))
    assert min(values) - 1e-6 <= average(values) <= max(values) + 1e-6


def test_no_verdict_has_no_average() -> None:
    with pytest.raises(ValueError, match="judge at least once"):
        average([])
