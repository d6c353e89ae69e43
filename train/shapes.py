"""The shape of a decoder-only model and its exact number of parameters, from its configuration alone.

    shape = read_shape("8B")                    or a folder with config.json
    parameters(shape).total                     8,030,261,248

Llama, Mistral, Qwen 2 and 3, and Gemma are counted as transformers builds them: grouped queries, biases, norms of
queries and keys, tied heads. Mixtures of experts and other mixers are refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import BadInput, NotThere, nearest


class Shape(NamedTuple):
    """What memory and time hang on."""

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    """Width of one attention head."""
    inner: int
    """Width inside the MLP."""
    words: int
    """Entries of the vocabulary."""
    tied: bool = False
    """The head is the embedding's matrix."""
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    norms: int = 2
    """Norms of width `width` in a layer."""

    @property
    def queries(self) -> int:
        """Width of all queries."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """Width of all keys, and of all values."""
        return self.kv_heads * self.head


class Count(NamedTuple):
    """Parameters by where they are."""

    total: int
    linear: int
    """In the linear layers of all blocks: what NF4 quantises."""
    embedding: int
    head: int
    """0 where it is tied."""
    small: int
    """Norms and biases."""
    largest: int
    """Of the largest matrix."""
    largest_linear: int


SIZES: dict[str, Shape] = {
    "1B": Shape("Llama-3.2-1B", 2048, 16, 32, 8, 64, 8192, 128256, tied=True),
    "7B": Shape("Llama-2-7B", 4096, 32, 32, 32, 128, 11008, 32000),
    "8B": Shape("Llama-3.1-8B", 4096, 32, 32, 8, 128, 14336, 128256),
    "13B": Shape("Llama-2-13B", 5120, 40, 40, 40, 128, 13824, 32000),
    "70B": Shape("Llama-3.1-70B", 8192, 80, 64, 8, 128, 28672, 128256),
}
"""Shapes by size, as their makers published them (meta-llama's config.json of each)."""

_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True},
    "gemma": {"tied": True},
    "gemma2": {"tied": True, "norms": 4},
    "gemma3_text": {"tied": True, "norms": 4, "qk_norm": True},
}
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def read_shape(model: str) -> Shape:
    """The shape of a size (7B, 8B, 13B, 70B, 1B) or of a folder's (or file's) config.json.

    Raises:
        NotThere: neither a size nor a folder with config.json.
        BadInput: a configuration that cannot be counted.
    """
    if model.upper() in SIZES:
        return SIZES[model.upper()]
    path = Path(model)
    file = path if path.name.endswith(".json") else path / "config.json"
    if not file.is_file():
        hint = nearest(model.upper(), SIZES)
        raise NotThere(f"{model} is no size ({', '.join(SIZES)}) and no folder with config.json{hint}")
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        raise BadInput(f"{file} cannot be read as JSON; take the file as it was saved") from None
    if not isinstance(config, dict):
        raise BadInput(f"{file} is no JSON object; take a model's config.json")
    return shape_of(config, path.resolve().name)


def shape_of(config: Mapping[str, Any], name: str = "model") -> Shape:
    """The shape that a configuration (config.json as a mapping) describes.

    Raises:
        BadInput: a key is missing or is no whole number above 0, or the family cannot be counted.
    """
    if isinstance(config.get("text_config"), Mapping):
        config = config["text_config"]
    family = str(config.get("model_type") or "")
    if family not in _FAMILIES:
        raise BadInput(f"model_type '{family[:40]}' cannot be counted; known are {', '.join(_FAMILIES)}")
    heads = _whole(config, "num_attention_heads")
    width = _whole(config, "hidden_size")
    kv = _whole(config, "num_key_value_heads", heads)
    bias = bool(config.get("attention_bias"))
    given: dict[str, Any] = {
        "tied": bool(config.get("tie_word_embeddings", family.startswith("gemma"))),
        "qkv_bias": bias,
        "o_bias": bias,
        "mlp_bias": bool(config.get("mlp_bias")),
    }
    head = _whole(
        config,
        "head_dim",
        {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}.get(family) or width // heads,
    )
    return Shape(
        name,
        width,
        _whole(config, "num_hidden_layers"),
        heads,
        kv,
        head,
        _whole(config, "intermediate_size"),
        _whole(config, "vocab_size"),
        **{**given, **{k: v for k, v in _FAMILIES[family].items() if k != "tied"}},
    )


def _whole(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**40:
        raise BadInput(f"config.json: {key} is {str(value)[:40]!r}, not a whole number above 0")
    return value


def linear_sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each linear layer of a block."""
    h, q, k, i = shape.width, shape.queries, shape.keys, shape.inner
    return {
        "q_proj": (h, q),
        "k_proj": (h, k),
        "v_proj": (h, k),
        "o_proj": (q, h),
        "gate_proj": (h, i),
        "up_proj": (h, i),
        "down_proj": (i, h),
    }


def parameters(shape: Shape, *, scores: bool = False) -> Count:
    """Exact counts.

    Args:
        scores: a reward model: one output in place of the vocabulary's.
    """
    sizes = linear_sizes(shape)
    linear = shape.layers * sum(a * b for a, b in sizes.values())
    biased = {"q_proj": shape.qkv_bias, "k_proj": shape.qkv_bias, "v_proj": shape.qkv_bias, "o_proj": shape.o_bias}
    biases = sum(out for name, (_, out) in sizes.items() if biased.get(name, shape.mlp_bias))
    small = shape.layers * (shape.norms * shape.width + biases + (2 * shape.head if shape.qk_norm else 0)) + shape.width
    embedding = shape.words * shape.width
    head = shape.width if scores else 0 if shape.tied else embedding
    largest_linear = max(a * b for a, b in sizes.values())
    total = linear + embedding + head + small
    return Count(total, linear, embedding, head, small, max(embedding, largest_linear), largest_linear)


def adapter_parameters(shape: Shape, rank: int, targets: tuple[str, ...] = ("all-linear",)) -> int:
    """Parameters of a LoRA adapter: rank · (inputs + outputs) of each layer that has one.

    Raises:
        BadInput: a target that no such model has.
    """
    sizes = linear_sizes(shape)
    names = TARGETS if "all-linear" in targets else targets
    for name in names:
        if name not in sizes:
            raise BadInput(f"lora.targets: '{name[:40]}' is no linear layer of a block{nearest(name, sizes)}")
    return shape.layers * rank * sum(sum(sizes[name]) for name in names)
