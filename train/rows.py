"""What a trainer is given: rows that preflight has passed, as tokens, and everything a run has set up around them."""

from typing import Any, NamedTuple

from train.exports import Answer, Pair
from train.settings import Settings
from train.tokens import Tokens


class Row(NamedTuple):
    """A row to train on, cut to the length already."""

    id: str
    tokens: Tokens
    p: float
    """How probable it is that the chosen answer is better, in [0, 1]; 1 without soft labels."""
    w: float
    """What the row weighs, >= 0; 1 without weights."""
    label: bool | None
    """Of an answer that stands alone: held good, held bad, or to be imitated (None)."""
    source: Pair | Answer


class Setup(NamedTuple):
    """What a task's `make_trainer(setup)` makes its trainer from."""

    settings: Settings
    model: Any
    """Loaded, with its adapter, in the run's dtype."""
    tokenizer: Any
    train: list[Row]
    validation: list[Row]
    arguments: dict[str, Any]
    """For transformers' TrainingArguments: where, how many steps, batch, seed, dtype."""
    callbacks: list[Any]
