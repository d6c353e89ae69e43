"""The budget: worst cases fit under the cap before anything is sent, whatever is settled later, in any order."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run

from data.errors import BadInput, BudgetEnded, NotThere
from datagen.budget import PRICES, Budget, Price, asked_price, price_of, read_prices, usd, worst_tokens


@given(
    cap=st.integers(0, 2000),
    wants=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 400), st.integers(0, 20)), max_size=40),
    seed=st.integers(0, 9),
)
def test_spending_never_passes_the_cap_in_any_order(cap: int, wants: list[tuple[int, int, int]], seed: int) -> None:
    """Each wants room for `worst`, holds it for a while, and pays at most that."""

    async def main() -> None:
        budget, rng, ended = Budget(cap, None), random.Random(seed), 0

        async def one(worst: int, paid: int, hold: int) -> None:
            nonlocal ended
            await asyncio.sleep(rng.randrange(20))
            try:
                await budget.reserve(worst, 1)
            except BudgetEnded:
                ended += 1
                return
            assert budget.cost + budget.held_cost <= cap
            await asyncio.sleep(hold)
            budget.settle((worst, 1), (min(paid, worst), 1))

        await asyncio.gather(*(one(*want) for want in wants))
        assert budget.cost <= cap
        assert budget.held_cost == budget.holders == 0
        assert (ended > 0) == (budget.ended is not None)

    run(main())


def test_one_waits_for_those_in_flight_before_the_budget_has_ended() -> None:
    async def main() -> None:
        budget = Budget(100, None)
        await budget.reserve(80, 1)
        second = asyncio.ensure_future(budget.reserve(80, 1))
        await asyncio.sleep(1)
        assert not second.done()
        budget.settle((80, 1), (10, 1))
        await second
        third = asyncio.ensure_future(budget.reserve(80, 1))
        await asyncio.sleep(1)
        budget.settle((80, 1), (80, 1))
        with pytest.raises(BudgetEnded, match="--max-cost-usd"):
            await third

    run(main())


def test_tokens_have_a_cap_of_their_own_and_earlier_runs_count() -> None:
    async def main() -> None:
        budget = Budget(None, 1000, cost=5, tokens=900)
        await budget.reserve(10**15, 100)
        budget.settle((10**15, 100), (10**15, 100))
        with pytest.raises(BudgetEnded, match=r"1,000 of 1,000 tokens.*--max-tokens-total"):
            await budget.reserve(0, 1)

    run(main())


def test_the_worst_case_of_a_prompt_is_a_token_for_each_byte() -> None:
    body = '{"messages":[{"role":"user","content":"写一首诗"}]}'.encode()
    prompt, answer = worst_tokens(body, 1, 300)
    assert prompt >= len(body)
    assert answer == 300


def test_prices_are_exact_and_cover_dated_versions(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("m: {input: 0.15, output: 0.6}\nm-large: {input: 2, output: 10}\n")
    prices = read_prices(file)
    assert prices["m"] == Price(150_000, 600_000)
    assert price_of("m-2025-04-14", prices) == prices["m"]
    assert price_of("m-large-2025", prices) == prices["m-large"]
    assert price_of("mega", prices) is None
    assert usd(1_000_000 * prices["m"].input) == "$0.15"
    assert usd(0) == "$0"
    assert "fake" in read_prices(PRICES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("m: 3", "m needs input and output"),
        ("m: {input: 1}", "m needs input and output"),
        ("m: {input: much, output: 1}", "input is 'much'"),
        ("m: {input: -1, output: 1}", "input is -1"),
        ("- 3", "holds no prices"),
        ("{", "cannot be read as YAML"),
    ],
)
def test_bad_prices_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_prices(file)


def test_a_cap_with_an_unknown_model_asks_for_its_price(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"needs the price of 'fakes'; did you mean 'fake'\?; add a line such as.*--prices"
    ):
        asked_price("fakes", {"fake": Price(1, 1)})
    with pytest.raises(NotThere, match="is not there"):
        read_prices(tmp_path / "none.yaml")
