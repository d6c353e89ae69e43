"""Whether a model's attention can share a prompt between two answers: tried on one pair before training.

Two things are asked of the longest pair. The rejected answer's log-probabilities must not move when the chosen
answer's tokens are others: nothing leaks through the mask. And every answer must get what two plain sequences give
it through the model's own logits, to what its dtype can tell apart.
"""

from typing import TYPE_CHECKING, Any

from train.answer_head import token_logps_of
from train.answer_layout import lay_out
from train.tokens import Tokens

if TYPE_CHECKING:
    from torch import Tensor

NEAR = {"torch.float32": 1e-3, "torch.float16": 0.05, "torch.bfloat16": 0.2}
"""Most that a token's log-probability may be off, in nats."""


_LOOKED_AT = 32  # tokens at each answer's end whose plain logits are made


def fault_of_layout(model: Any, one: Tokens, pad: int, *, shared: bool) -> str:
    """Why this model cannot take this layout, in a few words; empty where it can.

    Args:
        model: in evaluation mode, with `add_head`.
        one: a pair with tokens in prompt and both answers, best the longest.
    """
    import torch

    near = NEAR.get(str(_dtype(model)), 0.2)
    with torch.no_grad():
        try:
            found = token_logps_of(model, _on(model, lay_out([one], pad, shared=shared)), shared=shared)
            plain = _plain(model, one)
            if shared:
                other = one._replace(chosen=[(token + 1) % 7 + 1 for token in one.chosen])
                moved = token_logps_of(model, _on(model, lay_out([other], pad, shared=True)), shared=True)
                n = len(one.rejected) - (not one.prompt)
                if n and not float((found[-n:] - moved[-n:]).abs().max()) <= near / 100:
                    return "one answer sees the other"
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            return f"{type(error).__name__} in its attention"
    ends = (len(one.chosen) - (not one.prompt), len(found))
    beside = torch.cat([found[end - len(part) : end] for end, part in zip(ends, plain, strict=True)])
    off = float((beside - torch.cat(plain)).abs().max()) if len(beside) else 0.0
    # NaN is not near either.
    return "" if off <= near else f"log-probabilities are off by {off:.2g} nats"


def _dtype(model: Any) -> Any:
    import torch

    if torch.is_autocast_enabled(model.device.type):
        return torch.get_autocast_dtype(model.device.type)
    return getattr(model, "dtype", torch.float32)


def _on(model: Any, batch: "dict[str, Tensor]") -> "dict[str, Tensor]":
    return {name: value.to(model.device) for name, value in batch.items()}


def _plain(model: Any, one: Tokens) -> "list[Tensor]":
    """The last tokens of chosen, and of rejected, by the model's own logits, one sequence at a time."""
    import torch

    found = []
    for answer in (one.chosen, one.rejected):
        ids = torch.tensor([[*one.prompt, *answer]], device=model.device)
        n = min(_LOOKED_AT, len(answer) - (not one.prompt))
        logits = model(input_ids=ids, logits_to_keep=n + 1).logits[0, -n - 1 : -1].float()
        found.append(logits.log_softmax(-1).gather(1, ids[0, len(ids[0]) - n :, None])[:, 0])
    return found
