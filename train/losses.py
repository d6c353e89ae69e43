"""Losses of preference training as pure functions on tensors, with people's certainty in them.

For a pair whose first answer is better with probability p, and whose evidence weighs w:

    loss = w · [p · l(chosen over rejected) + (1 − p) · l(rejected over chosen)]

With p = 1 and w = 1 this is TRL's loss to the last digit of a float. A batch's loss is the sum over the batch's
total weight (`weighted_mean`): the plain mean where all weights are equal.

Sources: DPO, R. Rafailov et al., arXiv 2305.18290, eq. 7; cDPO, E. Mitchell, "A note on DPO with noisy
preferences" (2023); robust, S. Ray Chowdhury et al., arXiv 2403.00409, eq. 12; IPO, M. G. Azar et al.,
arXiv 2310.12036, eq. 17, on averages over tokens as its authors run it; hinge, Y. Zhao et al., arXiv 2305.10425;
ORPO, J. Hong et al., arXiv 2403.07691, eq. 4 and 7; the reward model, R. Bradley, M. Terry (1952), with the margin of
H. Touvron et al., arXiv 2307.09288, eq. 2, and the centring of J. Eisenstein et al., arXiv 2312.09244.
"""

from typing import TYPE_CHECKING, Literal, get_args

from data.errors import BadInput, nearest

if TYPE_CHECKING:
    from torch import Tensor

DpoLoss = Literal["sigmoid", "cdpo", "robust", "ipo", "hinge"]
DPO_LOSSES: tuple[str, ...] = get_args(DpoLoss)


def both_ways(forward: "Tensor", backward: "Tensor", p: "Tensor | None" = None) -> "Tensor":
    """p · forward + (1 − p) · backward, a pair at a time; without p, forward alone.

    Args:
        forward: shape (n,), the loss if the chosen answer is the better one.
        backward: shape (n,), the loss if the rejected one is.
        p: shape (n,), in [0, 1], how probable it is that the chosen answer is better.
    """
    return forward if p is None else p * forward + (1 - p) * backward


def weighted_mean(losses: "Tensor", weight: "Tensor | None" = None) -> "Tensor":
    """The sum of weight · loss over the sum of weights: a scalar; without weights the plain mean.

    Args:
        losses: shape (n,), n >= 1.
        weight: shape (n,), finite, >= 0. A batch in which every weight is 0 gives 0, with zero gradients.
    """
    if weight is None:
        return losses.mean()
    total = weight.sum()
    # TRL's mean divides a sum by n; with equal weights this is the same number.
    return (weight * losses).sum() / total.clamp(min=1e-12)


def dpo(
    chosen: "Tensor",
    rejected: "Tensor",
    *,
    loss: str = "sigmoid",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    p: "Tensor | None" = None,
    lengths: "tuple[Tensor, Tensor] | None" = None,
) -> "Tensor":
    """The loss of each pair, shape (n,).

    Args:
        chosen: shape (n,), log π(chosen) − log π_ref(chosen), summed over the answer's tokens, in nats.
        rejected: the same of the rejected answer.
        loss: "sigmoid"; "cdpo", sigmoid with a flip rate `label_smoothing` in [0, 0.5] for all pairs alike;
            "robust", unbiased under that flip rate, below 0.5; "ipo"; "hinge".
        beta: > 0, how dear it is to leave the reference; IPO's τ.
        p: soft labels; a `label_smoothing` beside them acts on each of the two ways.
        lengths: for "ipo", tokens of each answer, two tensors of shape (n,), at least 1.

    Raises:
        BadInput: no such loss; a flip rate out of range; "ipo" without lengths.
    """
    _check(loss, label_smoothing)
    if loss == "ipo":
        if lengths is None:
            raise BadInput("loss 'ipo' needs the answers' lengths: it compares averages over tokens")
        chosen, rejected = chosen / lengths[0].clamp(min=1), rejected / lengths[1].clamp(min=1)
    delta = chosen - rejected
    forward = _one_way(delta, loss, beta, label_smoothing)
    return forward if p is None else both_ways(forward, _one_way(-delta, loss, beta, label_smoothing), p)


def _check(loss: str, label_smoothing: float) -> None:
    if loss not in DPO_LOSSES:
        raise BadInput(f"loss '{loss}' is none of {', '.join(DPO_LOSSES)}{nearest(loss, DPO_LOSSES)}")
    if not 0 <= label_smoothing <= 0.5 or (loss == "robust" and label_smoothing == 0.5):
        raise BadInput(f"label_smoothing is {label_smoothing}; it must be from 0 to 0.5, and below 0.5 for 'robust'")
    if label_smoothing and loss not in ("cdpo", "robust"):
        raise BadInput(f"label_smoothing does nothing in loss '{loss}'; take 'cdpo' or 'robust', or leave it at 0")


def _one_way(delta: "Tensor", loss: str, beta: float, e: float) -> "Tensor":
    import torch
    import torch.nn.functional as F

    if loss == "ipo":
        return (delta - 1 / (2 * beta)) ** 2
    if loss == "hinge":
        return torch.relu(1 - beta * delta)
    right = -F.logsigmoid(beta * delta)
    if loss == "sigmoid":
        return right
    wrong = -F.logsigmoid(-beta * delta)
    if loss == "cdpo":
        return (1 - e) * right + e * wrong
    return ((1 - e) * right - e * wrong) / (1 - 2 * e)


def orpo(
    chosen: "Tensor",
    rejected: "Tensor",
    nll: "Tensor",
    *,
    beta: float = 0.1,
    p: "Tensor | None" = None,
    nll_rejected: "Tensor | None" = None,
) -> "Tensor":
    """ORPO's loss of each pair, shape (n,): imitation plus β times −log σ(log odds ratio). No reference.

    Args:
        chosen: shape (n,), log-probability of the chosen answer, the mean over its tokens, < 0.
        rejected: the same of the rejected answer.
        nll: shape (n,), the chosen answer's negative log-likelihood to imitate.
        p: soft labels; they need `nll_rejected`, since the other way imitates the other answer.

    Raises:
        BadInput: p without nll_rejected.
    """
    import torch.nn.functional as F

    odds = (chosen - rejected) - (_log1mexp(chosen) - _log1mexp(rejected))
    forward = nll - beta * F.logsigmoid(odds)
    if p is None:
        return forward
    if nll_rejected is None:
        raise BadInput("soft labels in ORPO need the rejected answers' negative log-likelihood too")
    return both_ways(forward, nll_rejected - beta * F.logsigmoid(-odds), p)


def _log1mexp(x: "Tensor") -> "Tensor":
    """log(1 − exp(x)) for x < 0 without cancellation; M. Mächler (2012), switch at −log 2."""
    import torch

    x = x.float().clamp(max=-torch.finfo(torch.float32).tiny)
    near = x > -0.6931471805599453
    # Each branch gets an argument that is safe for it: where() alone lets NaN gradients through.
    return torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, x, -1.0))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, x))),
    )


def reward(
    chosen: "Tensor",
    rejected: "Tensor",
    *,
    margin: "Tensor | None" = None,
    centring: float = 0.0,
    p: "Tensor | None" = None,
) -> "Tensor":
    """The reward model's loss of each pair, shape (n,): −log σ(r_chosen − r_rejected − margin), and centring.

    Args:
        chosen: shape (n,), score of the chosen answer.
        rejected: score of the rejected one.
        margin: shape (n,), by how much the chosen answer should win; it changes sides with the answers.
        centring: >= 0, times (r_chosen + r_rejected)², which keeps scores around zero; 0.01 is usual.
        p: soft labels. The centring term knows no sides, so p leaves it alone.
    """
    import torch.nn.functional as F

    delta = chosen - rejected
    off = 0.0 if margin is None else margin
    losses = both_ways(-F.logsigmoid(delta - off), -F.logsigmoid(-delta - off), p)
    return losses + centring * (chosen + rejected) ** 2 if centring else losses
