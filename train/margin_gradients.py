"""By how much a run prefers the chosen answer of each row, and the gradient of that, sketched to few numbers.

A row touches a logistic loss only through its margin: the chosen answer's score less the rejected one's, in the
task's terms (a reward model's scores; β · (log π − log π_ref) of DPO). So one gradient a row, of the margin, serves
every label the row could have.

The gradient is over the run's trained weights alone (adapter, score head, or all), in evaluation mode. Where there
are more of them than `width`, each is added, with a sign at random, to one of `width` sums: inner products of such
sketches are right on average, with an error of about 1/√width of the lengths (M. Charikar, K. Chen, M. Farach-Colton,
2002; K. Weinberger et al., 2009).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from train.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Gradients(NamedTuple):
    """Of n rows, in order."""

    margin: "Floats"
    """Shape (n,)."""
    slope: "Floats"
    """Shape (n, k): the margin's gradient, sketched."""


class Sketch(NamedTuple):
    """Where each trained weight goes, and with which sign."""

    width: int
    place: Any
    """Shape (weights,); None where there are no more weights than `width`, and nothing is lost."""
    sign: Any


def make_sketch(weights: int, width: int, seed: int) -> Sketch:
    """A sketch of so many weights; the same for the same seed."""
    import torch

    if weights <= width:
        return Sketch(weights, None, None)
    draw = torch.Generator().manual_seed(seed)
    place = torch.randint(width, (weights,), generator=draw, dtype=torch.int32)
    return Sketch(width, place, torch.randint(2, (weights,), generator=draw, dtype=torch.int8) * 2 - 1)


def sketched(parts: Sequence[Any], sketch: Sketch) -> Any:
    """A gradient's parts, in the weights' order, as one vector of `sketch.width` numbers, float32, on the CPU."""
    import torch

    made = torch.zeros(sketch.width)
    at = 0
    for part in parts:
        flat = part.detach().reshape(-1).float().cpu()
        if sketch.place is None:
            made[at : at + len(flat)] = flat
        else:
            here = slice(at, at + len(flat))
            made.index_add_(0, sketch.place[here].long(), flat * sketch.sign[here])
        at += len(flat)
    return made


def gradients(
    model: Any,
    rows: Sequence[Row],
    margin_of: Callable[[Any, Row], Any],
    sketch: Sketch,
    tell: Callable[[int], None] = lambda _: None,
) -> Gradients:
    """Margin and sketched slope of each row.

    Args:
        model: its trainable parameters are those that count; not changed.
        margin_of: the margin of a row as a scalar tensor with its graph.
        tell: called with how many rows are done since the last call.
    """
    import numpy as np
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    margins, slopes = np.zeros(len(rows)), np.zeros((len(rows), sketch.width))
    model.eval()
    with torch.enable_grad():
        for n, row in enumerate(rows):
            margin = margin_of(model, row)
            found = torch.autograd.grad(margin, weights, allow_unused=True)
            parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, weights, strict=True)]
            margins[n] = float(margin.detach())
            slopes[n] = sketched(parts, sketch).numpy()
            tell(1)
    return Gradients(margins, slopes)


def count_weights(model: Any) -> int:
    """Trained weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def reward_margin(pad: int) -> Callable[[Any, Row], Any]:
    """The margin of a reward model's scores."""

    def margin(model: Any, row: Row) -> Any:
        from train.batches import inputs

        whole = [row.tokens.prompt + row.tokens.chosen, row.tokens.prompt + row.tokens.rejected]
        batch = {name: value.to(model.device) for name, value in inputs(whole, pad).items()}
        scores = model(**batch, use_cache=False).logits.float().reshape(-1)
        return scores[0] - scores[1]

    return margin


def policy_margin(pad: int, beta: float, *, mean: bool = False) -> Callable[[Any, Row], Any]:
    """β · (log π(chosen) − log π(rejected)): DPO's margin but for the reference, which has no gradient.

    Args:
        mean: of means over an answer's tokens, as ORPO has them, and not of sums.
    """

    def margin(model: Any, row: Row) -> Any:
        from train.answer_head import answer_logps
        from train.answer_layout import lay_out

        batch = {name: value.to(model.device) for name, value in lay_out([row.tokens], pad, shared=False).items()}
        logps = answer_logps(model, batch, shared=False)
        if mean:
            logps = logps / batch["lengths"]
        return beta * (logps[0] - logps[1])

    return margin
