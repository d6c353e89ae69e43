"""By how much a run prefers the chosen answer of each row, and the gradient of that, sketched to few numbers.

A row touches a logistic loss only through its margin: the chosen answer's score less the rejected one's, in the
task's terms (a reward model's scores; β · (log π − log π_ref) of DPO). So one gradient a row, of the margin, serves
every label the row could have.

The gradient is over the run's trained weights alone (adapter, score head, or all), in evaluation mode, and sketched to
few numbers (train.gradient_sketch).

`gradients` takes a batch of rows in one pass (train.row_gradients) where that is proved on the first batch to give
what rows one at a time give; else one row at a time.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from train.gradient_sketch import Sketch, sketched
from train.row_gradients import Margins, NotByRow, row_gradients
from train.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_NEAR = {"torch.float32": 1e-3, "torch.float64": 1e-6}
_NEAR_HALF = 0.1
"""How far, of its length, a row's gradient in a batch may lie from the one it has alone."""


class Gradients(NamedTuple):
    """Of n rows, in order."""

    margin: "Floats"
    """Shape (n,)."""
    slope: "Floats"
    """Shape (n, k): the margin's gradient, sketched."""


def gradients(
    model: Any,
    rows: Sequence[Row],
    margins_of: Margins,
    sketch: Sketch,
    tell: Callable[[int], None] = lambda _: None,
    *,
    batch: int = 1,
    each: int = 2,
) -> Gradients:
    """Margin and sketched slope of each row.

    Args:
        model: its trainable parameters are those that count; not changed.
        tell: called with how many rows are done since the last call.
        batch: rows of one pass.
        each: sequences that a row is to the model.
    """
    import numpy as np
    import torch

    margins, slopes = np.zeros(len(rows)), np.zeros((len(rows), sketch.width))
    batches = in_batches(rows, batch)
    model.eval()
    with torch.enable_grad():
        for at, numbers in enumerate(batches):
            some = [rows[n] for n in numbers]
            if batch > 1:
                try:
                    margin, slope = row_gradients(model, some, margins_of, sketch, each)
                    if at == 0:
                        _proved(model, some, margins_of, sketch, slope)
                except NotByRow as why:
                    print(f"note: gradients are made one row at a time here ({why})", file=sys.stderr)
                    batch = 1
            if batch == 1:
                found = [_alone(model, row, margins_of, sketch) for row in some]
                margin, slope = (torch.stack(list(both)) for both in zip(*found, strict=True))
            margins[numbers], slopes[numbers] = margin.cpu().numpy(), slope.cpu().numpy()
            tell(len(some))
    return Gradients(margins, slopes)


def _alone(model: Any, row: Row, margins_of: Margins, sketch: Sketch) -> tuple[Any, Any]:
    """One row's margin, a scalar, and its slope, shape (width,)."""
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    margin = margins_of(model, [row])[0]
    found = torch.autograd.grad(margin, weights, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, weights, strict=True)]
    return margin.detach(), sketched(parts, sketch)


def _proved(model: Any, rows: Sequence[Row], margins_of: Margins, sketch: Sketch, slope: Any) -> None:
    """Hold the first and the last row of a batch against what they give alone.

    Raises:
        NotByRow: they differ by more than rounding.
    """
    near = max(_NEAR.get(str(p.dtype), _NEAR_HALF) for p in model.parameters() if p.is_floating_point())
    for n in {0, len(rows) - 1}:
        alone = _alone(model, rows[n], margins_of, sketch)[1]
        if not float((slope[n] - alone).norm()) <= near * float(alone.norm()) + 1e-9:
            raise NotByRow("in a batch a row's gradient is not what it is alone")


def margins(model: Any, rows: Sequence[Row], margins_of: Margins, batch: int, tell: Callable[[int], None]) -> "Floats":
    """The rows' margins alone, in order; shape (n,)."""
    import numpy as np
    import torch

    found = np.zeros(len(rows))
    with torch.no_grad():
        for numbers in in_batches(rows, batch):
            found[numbers] = margins_of(model, [rows[n] for n in numbers]).cpu().numpy()
            tell(len(numbers))
    return found


def in_batches(rows: Sequence[Row], batch: int) -> list[list[int]]:
    """Numbers of rows of like lengths, the longest first: if memory is short, it is so at once."""
    from train.reference import by_length

    return by_length([row.tokens for row in rows], batch)


def count_weights(model: Any) -> int:
    """Trained weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def reward_margins(pad: int) -> Margins:
    """The margins of a reward model's scores; two sequences a row."""

    def margins(model: Any, rows: Sequence[Row]) -> Any:
        from train.batches import inputs

        whole = [row.tokens.prompt + row.tokens.chosen for row in rows]
        whole += [row.tokens.prompt + row.tokens.rejected for row in rows]
        batch = {name: value.to(model.device) for name, value in inputs(whole, pad).items()}
        scores = model(**batch, use_cache=False).logits.float().reshape(-1)
        return scores[: len(rows)] - scores[len(rows) :]

    return margins


def policy_margins(pad: int, beta: float, *, mean: bool = False, shared: bool = False) -> Margins:
    """β · (log π(chosen) − log π(rejected)): DPO's margins but for the reference, which has no gradient.

    Args:
        mean: of means over an answer's tokens, as ORPO has them, and not of sums.
        shared: one sequence a row, of prompt and both answers, and not two.
    """

    def margins(model: Any, rows: Sequence[Row]) -> Any:
        from train.answer_head import answer_logps
        from train.answer_layout import lay_out

        laid = lay_out([row.tokens for row in rows], pad, shared=shared)
        batch = {name: value.to(model.device) for name, value in laid.items()}
        logps = answer_logps(model, batch, shared=shared)
        if mean:
            logps = logps / batch["lengths"]
        return beta * (logps[: len(rows)] - logps[len(rows) :])

    return margins
