"""What a run tells of its pairs between two logs: sums over every pair seen, so exact for any batches and devices."""

import math
from collections.abc import Sequence
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
    margin, gap = s["chosen_reward"] - s["rejected_reward"], s["chosen_length"] - s["rejected_length"]
    follows = correlation_of_sums(n, margin, gap, s["margin2"], s["gap2"], s["margin_gap"])
    return made if follows is None else {**made, "length_correlation": follows}


def correlation_of_sums(n: float, a: float, b: float, a2: float, b2: float, ab: float) -> float | None:
    """Pearson's correlation out of Σ a, Σ b, Σ a², Σ b² and Σ ab over n items; None where it means nothing.

    Fewer than three items always lie on a line, and a tiny spread is rounding.
    """
    spread = (a2 / n - (a / n) ** 2) * (b2 / n - (b / n) ** 2) if n >= 3 else 0.0
    return (ab / n - a / n * b / n) / math.sqrt(spread) if spread > 1e-12 else None


def length_correlation(scores: Sequence[float], lengths: Sequence[float]) -> float | None:
    """How scores follow length over all that a line of metrics tells of, in [−1, 1].

    Args:
        scores: of each pair the margin (score of the chosen less that of the rejected answer); or of each answer its
            score, where answers stand alone.
        lengths: of each pair the difference of tokens, in the same order; or of each answer its tokens.
    """
    products = [x * y for x, y in zip(scores, lengths, strict=True)]
    squares = (sum(x * x for x in scores), sum(y * y for y in lengths))
    return correlation_of_sums(len(scores), sum(scores), sum(lengths), *squares, sum(products))


def overall_loss(sums: list[float]) -> float | None:
    """Σ w · loss over Σ w of every pair seen; None where nothing had weight."""
    s = dict(zip(SUMS, sums, strict=True))
    return s["loss"] / s["weight"] if s["weight"] else None


def empty(device: Any) -> "Tensor":
    """Sums of no pair."""
    import torch

    return torch.zeros(len(SUMS), dtype=torch.float64, device=device)
