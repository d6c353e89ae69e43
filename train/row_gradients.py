"""Every row's own gradient out of one backward pass over a batch of rows.

Rows do not touch each other, so the sum of their margins has, in each layer's output, each row's own gradient side by
side. A linear layer's weights then get Σ over the row's positions of output gradient times input (I. Goodfellow, arXiv
1510.01799), one batched product for all rows; any other layer of a few weights (a norm, an embedding) is computed
again for itself, row by row. Each part is sketched as soon as it is made, so no more than one layer's gradients of a
batch are held at once. Frozen layers, 4-bit ones too, are passed through as they are.

What a layer's input cannot tell by row (tokens of all rows in one list, weights that are used outside their layer) is
refused with NotByRow; the caller proves the rest on the first batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from train.gradient_sketch import Sketch, add_sketched
from train.rows import Row

Margins = Callable[[Any, Sequence[Row]], Any]
"""From a model and n rows to their margins: a tensor of shape (n,), fp32, with its graph. The model sees `each`
sequences a row: all rows' first ones, then all second ones."""


class NotByRow(Exception):
    """Why gradients by row cannot be had in one pass, in a few words."""


class _Layer(NamedTuple):
    """A layer with trained weights of its own, and the numbers at which they begin among all."""

    module: Any
    name: str
    at: dict[str, int]


class _Seen(NamedTuple):
    """What a layer that is no linear one was given and what came back to it."""

    layer: _Layer
    x: Any
    slope: Any


def row_gradients(model: Any, rows: Sequence[Row], margins_of: Margins, sketch: Sketch, each: int) -> tuple[Any, Any]:
    """Margins, shape (n,), and sketched slopes, shape (n, width), of n rows.

    Args:
        model: in evaluation mode; not changed.
        each: sequences that a row is to the model: those of row i are i, n + i, …

    Raises:
        NotByRow: a weight's gradients cannot be told apart by row.
    """
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    made = torch.zeros(len(rows), sketch.width, device=weights[0].device)
    others: list[_Seen] = []
    faults: list[str] = []

    def came_back(layer: _Layer, x: Any, slope: Any) -> None:
        if x.shape[0] != len(rows) * each or slope.shape[0] != x.shape[0]:
            faults.append(f"{layer.name} mixes rows")
        elif _is_linear(layer.module):
            _add_linear(made, layer, x, slope, sketch)
        else:
            others.append(_Seen(layer, x, slope))

    with _watched(_layers(model), came_back):
        margin = margins_of(model, rows)
        torch.autograd.grad(margin.sum(), weights, allow_unused=True)
    if faults:
        raise NotByRow(faults[0])
    for one in others:
        _add_other(made, one, sketch)
    return margin.detach(), made


def _layers(model: Any) -> list[_Layer]:
    """The layers with trained weights of their own.

    Raises:
        NotByRow: weights that no single layer takes from one tensor to one tensor.
    """
    first: dict[int, int] = {}
    at = 0
    for p in model.parameters():
        if p.requires_grad:
            first[id(p)] = at
            at += p.numel()
    found = []
    for name, module in model.named_modules():
        own = {n: first[id(p)] for n, p in module._parameters.items() if p is not None and p.requires_grad}
        if own and next(module.children(), None) is not None:
            raise NotByRow(f"{name} has weights beside its layers")
        if own and type(module).__name__.startswith("Parameter"):
            raise NotByRow(f"{name} is a list of weights")
        if own:
            found.append(_Layer(module, name, own))
    return found


@contextmanager
def _watched(layers: Sequence[_Layer], came_back: Callable[[_Layer, Any, Any], None]) -> Iterator[None]:
    """Tell, of every layer, what went in and the gradient of what came out."""

    def watch(layer: _Layer) -> Any:
        def hook(module: Any, given: tuple[Any, ...], out: Any) -> None:
            if not given or not hasattr(out, "register_hook"):
                raise NotByRow(f"{layer.name} takes more than a tensor")
            if out.requires_grad:
                x = given[0].detach()
                out.register_hook(lambda slope: came_back(layer, x, slope.detach()))

        return layer.module.register_forward_hook(hook)

    handles = [watch(layer) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_linear(module: Any) -> bool:
    from torch.nn import Linear

    return type(module).forward is Linear.forward


def _add_linear(made: Any, layer: _Layer, x: Any, slope: Any, sketch: Sketch) -> None:
    """Output gradient times input, summed over each row's positions."""
    n = len(made)
    x, slope = _by_row(x.to(slope.dtype), n), _by_row(slope, n)
    if "weight" in layer.at:
        add_sketched(made, layer.at["weight"], slope.transpose(1, 2).bmm(x).reshape(n, -1), sketch)
    if "bias" in layer.at:
        add_sketched(made, layer.at["bias"], slope.sum(1), sketch)


def _by_row(x: Any, n: int) -> Any:
    """From (each · n, …, d) to (n, positions, d): a row's sequences one after the other."""
    d = x.shape[-1]
    return x.reshape(-1, n, x[0].numel() // d, d).transpose(0, 1).reshape(n, -1, d)


def _add_other(made: Any, seen: _Seen, sketch: Sketch) -> None:
    """The layer alone, once more, row by row."""
    import torch

    n = len(made)
    own = seen.layer.module._parameters
    weights = [own[name] for name in seen.layer.at]
    for row in range(n):
        out = seen.layer.module.forward(seen.x[row::n])
        parts = torch.autograd.grad(out, weights, seen.slope[row::n])
        for at, part in zip(seen.layer.at.values(), parts, strict=True):
            add_sketched(made[row : row + 1], at, part.reshape(1, -1), sketch)
