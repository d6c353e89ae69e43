"""Gradients of many weights as few numbers, so that inner products stay right on average.

Where there are more weights than `width`, each is added, with a sign at random, to one of `width` sums: inner products
of such sketches are off by about 1/√width of the lengths (M. Charikar, K. Chen, M. Farach-Colton, 2002; K. Weinberger
et al., 2009).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Sketch(NamedTuple):
    """Where each trained weight goes, and with which sign."""

    width: int
    place: Any
    """Shape (weights,), int32; None where there are no more weights than `width`, and nothing is lost."""
    sign: Any
    """Shape (weights,), fp32: 1 or −1."""


def make_sketch(weights: int, width: int, seed: int, device: str = "cpu") -> Sketch:
    """A sketch of so many weights; the same for the same seed, wherever it is kept."""
    import torch

    if weights <= width:
        return Sketch(weights, None, None)
    draw = torch.Generator().manual_seed(seed)
    place = torch.randint(width, (weights,), generator=draw, dtype=torch.int32)
    sign = torch.randint(2, (weights,), generator=draw, dtype=torch.int8) * 2 - 1
    return Sketch(width, place.to(device), sign.float().to(device))


def add_sketched(made: Any, at: int, part: Any, sketch: Sketch) -> None:
    """Add n gradients of some weights that lie together to n sketches.

    Args:
        made: shape (n, sketch.width), fp32; is changed.
        at: the number of the first of these weights among all.
        part: shape (n, weights).
    """
    part = part.float()
    here = slice(at, at + part.shape[1])
    if sketch.place is None:
        made[:, here] += part
        return
    place = sketch.place[here]
    # On a CPU adding into one row is a plain loop, while adding into columns of many is not.
    for row, signed in zip(made, part * sketch.sign[here], strict=True):
        row.index_add_(0, place, signed)


def sketched(parts: Sequence[Any], sketch: Sketch) -> Any:
    """A gradient's parts, in the weights' order, as one vector of `sketch.width` numbers, fp32."""
    import torch

    made = torch.zeros(1, sketch.width, device=parts[0].device)
    at = 0
    for part in parts:
        add_sketched(made, at, part.detach().reshape(1, -1), sketch)
        at += part.numel()
    return made[0]
