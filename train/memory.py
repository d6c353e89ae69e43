"""Bytes of tensors at the worst moment of a training step, part by part, from what the trainers keep and when.

A step has moments, and the peak is the greatest of them:

    head       the loss's backward begins: every saved activation, and the head's tiles of logits
    layers     the backward of the last block: activations and that block's own gradients of activations
    first      the backward of the first block: its activations, and nearly all gradients of weights
    end        the backward ends: all gradients of weights, the embedding's dense one included
    step       the optimizer: gradients, its states, and what it computes a matrix with

Llama-shaped blocks in transformers 5 with scaled-dot-product attention. The usual sum of saved tensors (V.
Korthikanti et al., arXiv 2205.05198) is of ungated MLPs and unfused heads, so each tensor is listed here.
"""

from typing import NamedTuple

from train.plan import BYTES, PARTS, Lengths, Plan
from train.shapes import TARGETS, Count, Shape, adapter_parameters, linear_sizes, parameters

TILE_ROWS, TILE_WORDS = 4096, 32768
"""TRL 1.16's fused head: tokens and entries of the vocabulary in a tile of logits."""
OWN_TILE = 2**25
"""Logits in a tile of train.dpo's own head."""
TILE_COPIES = 7.25
"""Tiles the fused head's backward holds beside its buffer, in torch (no Triton): seven of floats, one of truths."""
BLOCK_NF4, BLOCK_ABSMAX = 64, 256
CUDA_CONTEXT = 500_000_000
"""CUDA context, cuBLAS and kernels on a GPU; fitted to nothing: 0.3 to 1.4 GB is reported."""
BLOCK_TEMPS = 1.5
"""Inner-width gradients alive at once in a block's backward. Fitted."""
OPTIMIZER_BYTES: dict[str, float] = {
    "adamw_torch": 8,
    "adamw_8bit": 2,
    "paged_adamw_8bit": 0,
    "paged_adamw_32bit": 0,
    "adafactor": 0.02,
    "sgd": 0,
}
"""Bytes of state a trained float32 weight; paged ones lie on the CPU when the GPU is full."""


class Sizes(NamedTuple):
    """A batch as the model sees it."""

    sequences: int
    length: int
    tokens: int
    scored: int
    """Positions that reach the head."""
    padded: bool


def batch_sizes(plan: Plan, lengths: Lengths) -> Sizes:
    """The largest batch: all its rows as long as the longest."""
    pairs = plan.task in ("reward", "dpo")
    if plan.task == "dpo" and plan.sharing:
        length = lengths.longest + lengths.longest_other
        scored = plan.batch * (lengths.longest_answer + lengths.longest_other)
        return Sizes(plan.batch, length, plan.batch * length, scored, True)
    rows = plan.batch * (2 if pairs else 1)
    if plan.own_head:
        return Sizes(rows, lengths.longest, rows * lengths.longest, rows * lengths.longest_answer, rows > 1)
    return Sizes(rows, lengths.longest, rows * lengths.longest, rows * (lengths.longest - 1), rows > 1)


def static(shape: Shape, plan: Plan) -> dict[str, float]:
    """Bytes that stay from the first step to the last: weights, constants of NF4, adapter, optimizer, copies."""
    e = BYTES[plan.dtype]
    count = parameters(shape, scores=plan.task == "reward")
    parts = dict.fromkeys(PARTS, 0.0)
    trained = trained_parameters(shape, plan, count)
    if plan.method == "qlora":
        kept = count.total - count.linear
        parts["weights"] = count.linear / 2 + kept * e
        parts["quantisation"] = quantisation_bytes(count.linear)
    else:
        parts["weights"] = count.total * e
    if plan.method != "full":
        parts["adapter"] = trained * 4
    width = 4 if plan.method != "full" else e
    parts["optimizer"] = (
        trained * OPTIMIZER_BYTES[plan.optimizer] * (width / 4 if plan.optimizer == "adamw_torch" else 1)
    )
    if plan.task == "dpo" and plan.method == "full" and not plan.precompute and not plan.orpo:
        parts["reference"] = count.total * e
    if plan.anchor and plan.method == "full":
        parts["reference"] += count.total * e
    if plan.device == "cuda":
        parts["framework"] = CUDA_CONTEXT
    return parts


def quantisation_bytes(linear: int, *, double: bool = True) -> float:
    """Constants of NF4: a float32 for 64 weights; with double quantisation a byte, and a float32 for 256 of those."""
    blocks = linear / BLOCK_NF4
    return blocks * (1 + 4 / BLOCK_ABSMAX) if double else blocks * 4


def trained_parameters(shape: Shape, plan: Plan, count: Count | None = None) -> int:
    """How many parameters take gradients."""
    count = count or parameters(shape, scores=plan.task == "reward")
    if plan.method == "full":
        return count.total
    return adapter_parameters(shape, plan.rank, plan.targets) + (shape.width if plan.task == "reward" else 0)


def block_bytes(shape: Shape, plan: Plan, sizes: Sizes) -> float:
    """Bytes of what one block saves for its backward, without checkpointing."""
    e = BYTES[plan.dtype]
    h, q, k, i = shape.width, shape.queries, shape.keys, shape.inner
    full = plan.method == "full"
    names = TARGETS if full or "all-linear" in plan.targets else plan.targets
    kept = 0.0
    for group, wide in ((("q_proj", "k_proj", "v_proj"), h), (("gate_proj", "up_proj"), h), (("down_proj",), i)):
        if any(name in names for name in group):
            kept += wide
    # Norms: what comes in (the float32 copy of it in half precision), what is scaled where the scale is trained.
    norms = shape.norms * (h * (4 + (0 if e == 4 else e)) + (h * e if full else 0) + 4)
    # With a mask, keys and values are repeated for each query head; those of a single head are only looked at again.
    repeated = 2 * q if sizes.padded and shape.heads != shape.kv_heads and shape.kv_heads > 1 else 2 * k
    attention = (2 * q + repeated) * e + shape.heads * 4
    gated = 3 * i * e
    adapters = 0 if full else len(names) * plan.rank * 4
    if not full and e != 4:
        adapters += 4 * (h * 2 + i)  # inputs turned to the adapter's float32
    mask = sizes.length * 4 if sizes.padded else 0
    return sizes.tokens * (kept * e + norms + attention + gated + adapters + mask)


def moments(shape: Shape, plan: Plan, lengths: Lengths) -> dict[str, dict[str, float]]:
    """Parts at each moment, in bytes."""
    e = BYTES[plan.dtype]
    sizes = batch_sizes(plan, lengths)
    count = parameters(shape, scores=plan.task == "reward")
    base = static(shape, plan)
    trained = trained_parameters(shape, plan, count)
    gradients = trained * (e if plan.method == "full" else 4)
    block = block_bytes(shape, plan, sizes)
    stream = sizes.tokens * shape.width * e
    if plan.gradient_checkpointing:
        saved, now = float(shape.layers * stream), block
    else:
        saved, now = shape.layers * block, 0.0
    if plan.method != "full" and not plan.gradient_checkpointing:
        saved -= stream
    last = sizes.tokens * (4 if e == 2 else 0) * shape.width + 2 * stream + (stream if plan.method == "full" else 0)
    dequantised = count.largest_linear * e if plan.method == "qlora" else 0.0
    temps = BLOCK_TEMPS * sizes.tokens * shape.inner * e + 2 * stream + dequantised
    logits, head_gradient = _head(shape, plan, sizes, count)
    held = gradients if plan.accumulation > 1 else 0.0
    mask = sizes.sequences * sizes.length**2 if sizes.padded else 0
    full = plan.method == "full"
    block_gradients = count.linear / shape.layers * e + count.embedding * e if full else gradients / shape.layers
    tied = count.embedding * e if full and shape.tied else 0
    head_weights = count.embedding * e if plan.method == "full" and plan.task != "reward" else 0.0
    found: dict[str, dict[str, float]] = {
        "head": {"activations": saved + last + mask, "logits": logits, "gradients": max(held, head_gradient)},
        "layers": {
            "activations": saved + now + mask,
            "temporary": temps,
            "gradients": max(held, head_weights),
        },
        "first": {
            "activations": block + mask + (stream if plan.gradient_checkpointing else 0),
            "temporary": temps,
            "gradients": max(held, gradients - block_gradients),
        },
        "end": {"gradients": gradients, "temporary": 2 * stream + tied},
        "step": {"gradients": gradients, "temporary": _step_temps(shape, plan, count, trained)},
    }
    return {name: {part: base[part] + more.get(part, 0.0) for part in PARTS} for name, more in found.items()}


def _head(shape: Shape, plan: Plan, sizes: Sizes, count: Count) -> tuple[float, float]:
    """Bytes of the head's tiles, and of its weight's gradient with them."""
    if plan.task == "reward":
        return 0.0, 0.0
    e = BYTES[plan.dtype]
    if plan.own_head:
        rows = min(sizes.scored, max(1, OWN_TILE // shape.words))
        copies: float = 4 if plan.method == "full" else 2
        slope = 0 if plan.method == "full" else sizes.scored * shape.width * e
        return rows * shape.words * 4 * copies + sizes.scored * shape.width * e + slope, _head_gradient(plan, count)
    rows, words = min(sizes.scored, TILE_ROWS), min(shape.words, TILE_WORDS)
    copies = TILE_COPIES * rows * words * 4 if plan.device == "cpu" else 0
    gradient = (count.embedding + words * shape.width) * 4 if plan.method == "full" else 0
    return rows * TILE_WORDS * e + copies + sizes.scored * shape.width * 4, gradient


def _head_gradient(plan: Plan, count: Count) -> float:
    """Bytes of the gradient of the head's weight, where it is trained."""
    return count.embedding * BYTES[plan.dtype] if plan.method == "full" else 0.0


def _step_temps(shape: Shape, plan: Plan, count: Count, trained: int) -> float:
    """What AdamW computes with: a matrix at a time on the CPU; all of them at once (foreach) on a GPU."""
    if plan.device == "cuda":
        return trained * 4.0 if plan.optimizer == "adamw_torch" else 0.0
    if plan.method == "full":
        return 2 * count.largest * 4
    return 2 * plan.rank * max(max(size) for size in linear_sizes(shape).values()) * 4


def peak(shape: Shape, plan: Plan, lengths: Lengths) -> tuple[str, dict[str, int]]:
    """The worst moment and its parts in bytes."""
    found = moments(shape, plan, lengths)
    name = max(found, key=lambda one: sum(found[one].values()))
    return name, {part: round(size) for part, size in found[name].items() if size}
