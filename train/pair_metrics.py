"""What a run tells of its pairs between two logs: sums over every pair seen, so exact for any batches and devices."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SUMS = (
    "pairs",
    "loss",
    "weight",
    "right",
    "chosen_reward",
    "rejected_reward",
    "chosen_logp",
    "rejected_logp",
    "kl",
    "chosen_length",
    "rejected_length",
    "margin2",
    "gap2",
    "margin_gap",
    "tokens",
)
"""What is summed: pairs; weighted losses and weights; pairs on the right side (a tie is half); rewards,
log-probabilities, log-ratios and tokens; for the correlation of margin and difference of lengths, squares and products.
"""


def sums_of(
    losses: "Tensor",
    w: "Tensor",
    logps: "Tensor",
    reference: "Tensor",
    lengths: "Tensor",
    rewards: "Tensor",
    tokens: "Tensor",
) -> "Tensor":
    """The sums of one batch, shape (len(SUMS),), fp64.

    Args:
        losses, w: (n,), each pair's loss and weight.
        logps, reference, lengths, rewards: (2n,), chosen first; `reference` is zero where a loss has none.
        tokens: a scalar, tokens of the batch, its prompts counted for each answer.
    """
    import torch

    losses, w, logps, reference, lengths, rewards = (
        x.detach().double() for x in (losses, w, logps, reference, lengths, rewards)
    )
    (chosen, rejected), (longer, shorter) = rewards.chunk(2), lengths.chunk(2)
    margin, gap = chosen - rejected, longer - shorter
    kl = logps - reference
    each = [
        torch.ones_like(margin),
        w * losses,
        w,
        (margin > 0).double() + 0.5 * (margin == 0).double(),
        *(chosen, rejected),
        *logps.chunk(2),
        (kl[: len(margin)] + kl[len(margin) :]) / 2,
        *(longer, shorter),
        *(margin**2, gap**2, margin * gap),
    ]
    return torch.stack([*(x.sum() for x in each), tokens.double()])


def told(sums: list[float], *, reference: bool) -> dict[str, float]:
    """The measures of a log line out of the sums; empty where no pair was seen.

    Args:
        reference: whether there is one, so that `kl` means something.
    """
    s = dict(zip(SUMS, sums, strict=True))
    n = s["pairs"]
    if not n:
        return {}
    names = ("chosen_reward", "rejected_reward", "chosen_logp", "rejected_logp", "kl", "chosen_length")
    made = {"accuracy": s["right"] / n, "margin": (s["chosen_reward"] - s["rejected_reward"]) / n}
    made |= {name: s[name] / n for name in (*names, "rejected_length")}
    if not reference:
        del made["kl"]
    gap = (s["chosen_length"] - s["rejected_length"]) / n
    spread = (s["margin2"] / n - made["margin"] ** 2) * (s["gap2"] / n - gap**2)
    # Fewer than three pairs always lie on a line; a tiny spread is rounding.
    if n >= 3 and spread > 1e-12:
        made["length_correlation"] = (s["margin_gap"] / n - made["margin"] * gap) / math.sqrt(spread)
    return made


def overall_loss(sums: list[float]) -> float | None:
    """Σ w · loss over Σ w of every pair seen; None where nothing had weight."""
    s = dict(zip(SUMS, sums, strict=True))
    return s["loss"] / s["weight"] if s["weight"] else None


def empty(device: Any) -> "Tensor":
    """Sums of no pair."""
    import torch

    return torch.zeros(len(SUMS), dtype=torch.float64, device=device)
