"""Floating-point operations of a run, and seconds, energy and money out of them.

A token costs 2N forward and 4N backward where all N weights are trained; 2N and about 2N where they are frozen under
an adapter, whose own sums are counted besides; recomputing activations adds 2N; a reference adds 2N, at every epoch
or once. Attention's sums grow with length and are counted apart.
"""

from typing import NamedTuple

from train.plan import Lengths, Plan, Range
from train.shapes import Shape, adapter_parameters, parameters

UTILISATION = Range(0.15, 0.30, 0.50)
"""Share of a GPU's peak that training reaches; published runs of 7B to 8B give 0.23 (Qwen-7B, QLoRA, A100) to 0.47."""


class Effort(NamedTuple):
    """A whole run's."""

    flops: float
    tokens: float


def row_tokens(plan: Plan, lengths: Lengths) -> float:
    """Tokens a row sends through the model: 2P + C + R for a pair, P + C + R where the prompt is shared."""
    if plan.task not in ("reward", "dpo"):
        return lengths.prompt + lengths.chosen
    prompts = 1 if plan.task == "dpo" and plan.sharing else 2
    return prompts * lengths.prompt + lengths.chosen + lengths.rejected


def effort(shape: Shape, plan: Plan, lengths: Lengths, epochs: float) -> Effort:
    """Operations and tokens of `epochs` over `lengths.rows` rows."""
    count = parameters(shape, scores=plan.task == "reward")
    n = count.linear + (0 if plan.task == "reward" else shape.words * shape.width)
    each = row_tokens(plan, lengths)
    # Queries by keys and weights by values, over half of the square: 2 · length · width a layer.
    attention = 2 * shape.layers * shape.queries * lengths.longest / 2
    forward = 2 * (n + attention)
    adapter = 0 if plan.method == "full" else adapter_parameters(shape, plan.rank, plan.targets)
    backward = 2 * forward if plan.method == "full" else 2 * n + 4 * attention + 6 * adapter
    step = forward + backward + (forward if plan.gradient_checkpointing else 0)
    total = step * epochs
    if (plan.task == "dpo" and not plan.orpo) or plan.task == "kto":
        total += forward * (1 if plan.precompute and plan.task == "dpo" else epochs)
    tokens = each * lengths.rows
    return Effort(total * tokens, tokens * epochs)


def seconds_at(flops: float, speed: float, utilisation: Range = UTILISATION) -> Range:
    """Seconds at a device's peak speed (operations a second) times the share of it that is reached."""
    return Range(*(flops / (speed * u) for u in (utilisation.high, utilisation.middle, utilisation.low)))
