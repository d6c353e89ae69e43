"""Log-probabilities of answers' tokens out of a language model, without logits of anything else.

    add_head(model)                                            once, on the language model under any adapter
    logps = answer_logps(model, lay_out(pairs, pad, shared=True), shared=True)        (2n,), nats

The positions that predict a token are picked out of the last hidden state before the head, whose logits are made in
tiles. A frozen head's gradient is made along with the tile (softmax times the head's weights), so no logits wait for
the backward pass, and nothing is computed twice; a head that is trained computes its tiles again instead.
"""

from functools import cache, wraps
from types import MethodType
from typing import TYPE_CHECKING, Any

from train.answer_layout import attention

if TYPE_CHECKING:
    from torch import Tensor

TILE = 2**25
"""Logits made at once, at most: 128 MB of them in fp32."""


def add_head(model: Any) -> None:
    """Let `model(..., take=, targets=)` give the log-probability of each target, shape (N,), and no logits.

    Without `take` the model's forward is what it was. Called twice, it changes nothing.
    """
    if getattr(model, "gives_answers", False):
        return
    former = model.forward

    @wraps(type(model).forward)
    def forward(self: Any, *given: Any, take: Any = None, targets: Any = None, width: int = 0, **more: Any) -> Any:
        if take is None:
            return former(*given, **more)
        hidden = self.base_model(*given, **more, use_cache=False).last_hidden_state
        # Adapters that put virtual tokens in front make the sequence longer there.
        hidden = hidden[:, -width:].reshape(-1, hidden.shape[-1])
        return token_logps(hidden[take], self.get_output_embeddings(), targets, *_shaping(self.config))

    model.forward = MethodType(forward, model)
    model.gives_answers = True


def _shaping(config: Any) -> tuple[float, float | None]:
    """What a model does to its logits: a factor (Cohere, Granite), and a soft cap (Gemma 2)."""
    text = config.get_text_config()
    scale = getattr(text, "logit_scale", None) or 1.0
    if getattr(text, "logits_scaling", None):
        scale = scale / text.logits_scaling
    return scale, getattr(text, "final_logit_softcapping", None)


def token_logps(
    hidden: "Tensor", head: Any, targets: "Tensor", scale: float = 1.0, cap: float | None = None
) -> "Tensor":
    """log softmax(head(hidden) · scale) at each target: shape (N,), fp32, nats.

    Args:
        hidden: (N, H), N >= 0.
        head: the layer that makes logits.
        targets: (N,), ids.
        scale: the logits' factor.
        cap: logits are bent into (−cap, cap) by cap · tanh(x / cap); None leaves them.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    weight = head.weight
    hidden = hidden.to(weight.device)
    rows = max(1, TILE // weight.shape[0])
    simple = type(head) is torch.nn.Linear and head.bias is None and cap is None and not weight.requires_grad
    if simple and torch.is_floating_point(weight):
        found: Tensor = _frozen_head().apply(hidden, weight, targets, scale, rows)
        return found
    parts = []
    for at in range(0, len(hidden), rows):
        some = hidden[at : at + rows], targets[at : at + rows]
        if len(hidden) > rows and torch.is_grad_enabled():
            parts.append(checkpoint(_tile, head, *some, scale, cap, use_reentrant=False))
        else:
            parts.append(_tile(head, *some, scale, cap))
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def _tile(head: Any, hidden: "Tensor", targets: "Tensor", scale: float, cap: float | None) -> "Tensor":
    import torch
    import torch.nn.functional as F

    logits = head(hidden) * scale if scale != 1 else head(hidden)
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    return -F.cross_entropy(logits.float(), targets, reduction="none")


@cache
def _frozen_head() -> Any:
    """The autograd function of a head without gradient of its own."""
    import torch
    import torch.nn.functional as F

    class FrozenHead(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, targets: Any, scale: float, rows: int) -> Any:
            logps = hidden.new_empty(len(hidden), dtype=torch.float32)
            slope = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
            for at in range(0, len(hidden), rows):
                part = slice(at, at + rows)
                logits = F.linear(hidden[part], weight).float()
                if scale != 1:
                    logits = logits * scale
                whole = logits.logsumexp(1)
                logps[part] = logits.gather(1, targets[part, None])[:, 0] - whole
                if slope is not None:
                    share = logits.sub_(whole[:, None]).exp_().to(weight.dtype)
                    slope[part] = ((weight[targets[part]] - share @ weight) * scale).to(slope.dtype)
            ctx.save_for_backward(*(() if slope is None else (slope,)))
            return logps

        @staticmethod
        def backward(ctx: Any, given: Any) -> Any:
            (slope,) = ctx.saved_tensors
            return (given[:, None] * slope).to(slope.dtype), None, None, None, None

    return FrozenHead


def answer_logps(model: Any, batch: "dict[str, Tensor]", *, shared: bool, parts: int = 2) -> "Tensor":
    """The sum of each answer's log-probabilities: shape (parts · n,), chosen first, nats.

    Args:
        model: what the trainer calls: the model, or what wraps it for several devices.
        batch: as train.answer_layout.lay_out gives it, on the model's device.
        shared: whether the batch shares prompts.
        parts: 3 where the prompts are targets too.
    """
    logps = token_logps_of(model, batch, shared=shared)
    # A grid summed by rows, not a scattered sum, whose order is chance on a GPU.
    owner, column = batch["owner"], batch["column"]
    size = (len(batch["lengths"]) // 2 * parts, int(column.max()) + 1)
    return logps.new_zeros(size).index_put((owner, column), logps).sum(1)


def token_logps_of(model: Any, batch: "dict[str, Tensor]", *, shared: bool) -> "Tensor":
    """The log-probability of each target of a batch, shape (N,), in the order of `lay_out`."""
    found: Tensor = model(
        input_ids=batch["input_ids"],
        attention_mask=attention(batch["segments"], shared=shared, additive=_additive(model)),
        position_ids=batch["position_ids"],
        take=batch["take"],
        targets=batch["targets"],
        width=batch["input_ids"].shape[1],
    )
    return found


def _additive(model: Any) -> Any:
    """The dtype of an eager attention's mask; None where attention takes True and False."""
    inner = getattr(model, "module", model)
    if getattr(inner.config, "_attn_implementation", "sdpa") != "eager":
        return None
    return next(p.dtype for p in inner.parameters() if p.is_floating_point())
