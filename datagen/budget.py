"""Spending that never passes its cap: the worst case is reserved before a request leaves, and settled after.

Money is counted in picodollars (10^-12 USD), so that sums are exact. A prompt's worst case is one token for
each byte of the request, which no byte-level tokenizer exceeds; an answer's is its max_tokens. A request
waits while others in flight hold the room it needs, and BudgetEnded comes only when none is left to wait for.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, BudgetEnded, NotThere, nearest

PRICES = Path(__file__).parent / "prices.yaml"
PICO = 10**12
TEMPLATE_TOKENS = 64  # what a server's chat template may add, per message


class Price(NamedTuple):
    """Picodollars per token."""

    input: int
    output: int


def usd(pico: int) -> str:
    """An amount as people write it."""
    return f"${Decimal(pico) / PICO:,.6f}".rstrip("0").rstrip(".") if pico else "$0"


def read_prices(path: Path | None = None) -> dict[str, Price]:
    """The prices in a file, by model.

    Raises:
        NotThere, BadInput: no such file, or an entry that is no pair of amounts.
    """
    import yaml

    path = path or PRICES
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise NotThere(f"--prices {path} is not there") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(held, Mapping):
        raise BadInput(f"{path} holds no prices; write lines such as  my-model: {{input: 0.15, output: 0.60}}")
    return {str(model): _price(path, str(model), entry) for model, entry in held.items()}


def _price(path: Path, model: str, entry: Any) -> Price:
    if not isinstance(entry, Mapping) or set(entry) != {"input", "output"}:
        raise BadInput(f"{path}: {model} needs input and output, in USD per million tokens")
    amounts = []
    for name in ("input", "output"):
        try:
            amount = Decimal(str(entry[name])) * (PICO // 10**6)
            whole = int(amount)
        except (InvalidOperation, OverflowError, ValueError):
            raise BadInput(f"{path}: {model}: {name} is {entry[name]!r}; an amount in USD is needed") from None
        if amount < 0 or amount != whole:
            raise BadInput(f"{path}: {model}: {name} is {entry[name]!r}; at least 0, at most 6 decimals")
        amounts.append(whole)
    return Price(*amounts)


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of a model: its own entry, else the longest that its name begins with and a dash, colon or @ ends."""
    if model in prices:
        return prices[model]
    fits = [name for name in prices if model.startswith(name) and model[len(name)] in "-:@"]
    return prices[max(fits, key=len)] if fits else None


def asked_price(model: str, prices: Mapping[str, Price]) -> Price:
    """The price of a model, or the line that asks for it."""
    found = price_of(model, prices)
    if found is None:
        raise BadInput(
            f"--max-cost-usd needs the price of '{model}'{nearest(model, prices)}; add a line such as"
            f"  {model}: {{input: 0.15, output: 0.60}}  (USD per million tokens) to a file and name it with --prices"
        )
    return found


def worst_tokens(body: bytes, messages: int, max_tokens: int) -> tuple[int, int]:
    """The most tokens a request can take: of its prompt, of its answer."""
    return len(body) + TEMPLATE_TOKENS * (messages + 1), max_tokens


class Budget:
    """What was spent and is reserved, against the caps; None is no cap."""

    def __init__(self, max_cost: int | None, max_tokens: int | None, cost: int = 0, tokens: int = 0) -> None:
        self.max_cost, self.max_tokens = max_cost, max_tokens
        self.cost, self.tokens = cost, tokens
        """Spent, in picodollars and tokens: the log's earlier runs count."""
        self.held_cost = self.held_tokens = self.holders = 0
        self.ended: str | None = None
        self._changed: list[asyncio.Future[None]] = []

    async def reserve(self, cost: int, tokens: int) -> None:
        """Hold room for a request's worst case, waiting for those in flight where need be.

        Raises:
            BudgetEnded: no room, and nothing in flight that could free some.
        """
        while not self._room(cost, tokens):
            if self.ended is None and not self.holders:
                self.ended = self._why(cost, tokens)
                self._wake()
            if self.ended is not None:
                raise BudgetEnded(self.ended)
            waiter = asyncio.get_running_loop().create_future()
            self._changed.append(waiter)
            await waiter
        self.held_cost += cost
        self.held_tokens += tokens
        self.holders += 1

    def settle(self, held: tuple[int, int], paid: tuple[int, int]) -> None:
        """Give a reservation (cost, tokens) back and count what was paid instead."""
        self.held_cost -= held[0]
        self.held_tokens -= held[1]
        self.holders -= 1
        self.cost += paid[0]
        self.tokens += paid[1]
        self._wake()

    def _room(self, cost: int, tokens: int) -> bool:
        if self.ended is not None:
            return False
        within_cost = self.max_cost is None or self.cost + self.held_cost + cost <= self.max_cost
        return within_cost and (self.max_tokens is None or self.tokens + self.held_tokens + tokens <= self.max_tokens)

    def _why(self, cost: int, tokens: int) -> str:
        if self.max_cost is not None and self.cost + cost > self.max_cost:
            return (
                f"the budget ended: {usd(self.cost)} of {usd(self.max_cost)} is spent and the next request could"
                f" cost {usd(cost)}; raise --max-cost-usd and run the same command to go on"
            )
        return (
            f"the budget ended: {self.tokens:,} of {self.max_tokens:,} tokens are used and the next request could"
            f" take {tokens:,}; raise --max-tokens-total and run the same command to go on"
        )

    def _wake(self) -> None:
        waiting, self._changed = self._changed, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
