"""Every loss of a pair that DPO can be trained with: ours (train.losses), and TRL's others by their TRL names.

With p = 1 each is TRL 1.16's to the last digit of a float. A soft label turns each the way it turns ours:
p · l(chosen over rejected) + (1 − p) · l(rejected over chosen). Three mix the pairs of a batch (`BATCHWISE`), where
no pair has a loss of its own, so they take neither soft labels nor weights.

Sources: exo_pair, H. Ji et al., arXiv 2402.00856, eq. 16; nca_pair, H. Chen et al., arXiv 2402.05369; bco_pair,
S. Jung et al., arXiv 2404.04656; sppo_hard, Y. Wu et al., arXiv 2405.00675, eq. 4.7; aot, I. Melnyk et al.,
arXiv 2406.05882; apo_zero and apo_down, K. D'Oosterlinck et al., arXiv 2408.06266, eq. 7 and 8; discopop, C. Lu et
al., arXiv 2406.08414, eq. 5; sigmoid_norm, sigmoid on averages over tokens, as in SimPO, arXiv 2405.14734.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from train import losses

if TYPE_CHECKING:
    from torch import Tensor

OtherLoss = Literal[
    "exo_pair",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
]
OTHER_LOSSES: tuple[str, ...] = get_args(OtherLoss)
BATCHWISE = ("aot", "aot_unpaired", "sft")
"""Losses that mix the pairs of a batch."""
SMOOTHED = ("cdpo", "robust", "exo_pair", "aot", "aot_unpaired")
"""Losses in which `label_smoothing` does something."""
_DISCOPOP_TAU = 0.05  # TRL's default, and its authors'


class Scored(NamedTuple):
    """A batch of n pairs under policy and reference; all of shape (n,), in nats, summed over an answer's tokens."""

    chosen: "Tensor"
    rejected: "Tensor"
    ref_chosen: "Tensor"
    ref_rejected: "Tensor"
    chosen_length: "Tensor"
    """Tokens of the answer."""
    rejected_length: "Tensor"

    def turned(self) -> "Scored":
        """The same pairs with the answers' sides changed."""
        c, r, ref_c, ref_r, length_c, length_r = self
        return Scored(r, c, ref_r, ref_c, length_r, length_c)


def pair_losses(
    name: str, scored: Scored, *, beta: float, label_smoothing: float = 0.0, p: "Tensor | None" = None
) -> "Tensor":
    """The loss of each pair, shape (n,).

    Args:
        name: one of train.losses.DPO_LOSSES or OTHER_LOSSES.
        beta: > 0, how dear it is to leave the reference.
        label_smoothing: the share of labels held to be wrong, in the losses of SMOOTHED.
        p: shape (n,), in [0, 1], how probable it is that the chosen answer is better; not for BATCHWISE.

    Raises:
        BadInput: an unknown loss, or a flip rate out of range.
    """
    if name in OTHER_LOSSES:
        forward = _other(name, scored, beta, label_smoothing)
        return (
            forward if p is None else losses.both_ways(forward, _other(name, scored.turned(), beta, label_smoothing), p)
        )
    return losses.dpo(
        scored.chosen - scored.ref_chosen,
        scored.rejected - scored.ref_rejected,
        loss=name,
        beta=beta,
        label_smoothing=label_smoothing,
        p=p,
        lengths=(scored.chosen_length, scored.rejected_length),
    )


def _other(name: str, scored: Scored, beta: float, e: float) -> "Tensor":
    import torch
    import torch.nn.functional as F

    chosen, rejected = scored.chosen - scored.ref_chosen, scored.rejected - scored.ref_rejected
    if name == "sft":
        # TRL's mean over the tokens of the batch; each pair gets its share of it, times n.
        return -scored.chosen * len(scored.chosen) / scored.chosen_length.sum()
    if name in ("aot", "aot_unpaired"):
        return _sorted(scored, beta, e, paired=name == "aot")
    if name == "sigmoid_norm":
        gap = chosen / scored.chosen_length.clamp(min=1) - rejected / scored.rejected_length.clamp(min=1)
        return -F.logsigmoid(beta * gap)
    if name == "sppo_hard":
        return (chosen - 0.5 / beta) ** 2 + (rejected + 0.5 / beta) ** 2
    c, r = beta * chosen, beta * rejected
    if name == "nca_pair":
        return -F.logsigmoid(c) - 0.5 * F.logsigmoid(-c) - 0.5 * F.logsigmoid(-r)
    if name == "bco_pair":
        return -F.logsigmoid(c) - F.logsigmoid(-r)
    if name == "apo_zero":
        return 1 - torch.sigmoid(c) + torch.sigmoid(r)
    if name == "apo_down":
        return torch.sigmoid(c) + 1 - torch.sigmoid(c - r)
    if name == "exo_pair":
        return _exo(c - r, e)
    share = torch.sigmoid((c - r) / _DISCOPOP_TAU)
    return -F.logsigmoid(c - r) * (1 - share) + torch.exp(r - c) * share


def _exo(gap: "Tensor", e: float) -> "Tensor":
    import torch
    import torch.nn.functional as F

    rate = torch.tensor(e, device=gap.device)
    right = torch.sigmoid(gap) * (F.logsigmoid(gap) - torch.log1p(-rate))
    return right + torch.sigmoid(-gap) * (F.logsigmoid(-gap) - torch.log(rate))


def _sorted(scored: Scored, beta: float, e: float, *, paired: bool) -> "Tensor":
    import torch
    import torch.nn.functional as F

    above = scored.chosen - (scored.rejected if paired else scored.ref_chosen)
    below = (scored.ref_chosen if paired else scored.rejected) - scored.ref_rejected
    gap = beta * (torch.sort(above).values - torch.sort(below).values)
    return -F.logsigmoid(gap) * (1 - e) - F.logsigmoid(-gap) * e
