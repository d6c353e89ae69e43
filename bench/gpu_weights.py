"""Llama-shaped models with weights at random, made on the device in NF4 or bfloat16: no file, no download.

A layer is made, filled and quantised before the next is, so 8 billion weights in 4 bits never stand in 16.
"""

from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "toy": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 512,
    },
}
"""Llama 3.1 8B, Llama 3.2 1B (its head a layer of its own here), and one that a CPU can run."""


def make(shape: str, device: str, dtype: str, *, scores: bool = False) -> Any:
    """A model of this shape, frozen linear layers in NF4 with double quantisation, the rest in `dtype`.

    Args:
        shape: a name in SHAPES.
        device: "cuda" or "cpu".
        scores: one score in place of the language model's head.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    kind = getattr(torch, dtype)
    given: dict[str, Any] = {**SHAPES[shape], "num_labels": 1, "pad_token_id": 0}
    config = LlamaConfig(**given, max_position_embeddings=8192, rms_norm_eps=1e-5)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model: Any = (LlamaForSequenceClassification if scores else LlamaForCausalLM)(config)
    torch.manual_seed(1)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name not in ("lm_head", "score"):
            owner, _, last = name.rpartition(".")
            setattr(model.get_submodule(owner), last, _four_bit(module, device, kind))
    for name, module in list(model.named_modules()):
        if type(module).__name__.endswith("RotaryEmbedding"):
            owner, _, last = name.rpartition(".")
            setattr(model.get_submodule(owner), last, type(module)(config=config).to(device))
            continue
        for key, value in list(module.named_parameters(recurse=False)):
            if value.is_meta:
                module.register_parameter(key, torch.nn.Parameter(_filled(value, device, kind)))
    model.is_loaded_in_4bit = True
    model.is_quantized = False  # made here, not by transformers' quantizer, which the Trainer would ask for
    return model


def _filled(value: Any, device: str, kind: Any) -> Any:
    """Norms are one; matrices are drawn narrowly."""
    import torch

    if value.dim() == 1:
        return torch.ones(value.shape, device=device, dtype=kind)
    return torch.empty(value.shape, device=device, dtype=kind).normal_(0, 0.02)


def _four_bit(module: Any, device: str, kind: Any) -> Any:
    import bitsandbytes
    import torch

    layers: Any = bitsandbytes.nn
    made = layers.Linear4bit(
        module.in_features,
        module.out_features,
        bias=False,
        compute_dtype=kind,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    weight = torch.empty(module.weight.shape, dtype=kind, device=device).normal_(0, 0.02)
    made.weight = layers.Params4bit(
        weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
    )
    return made.to(device)


def parameters(shape: str) -> int:
    """Weights that each token is multiplied by: linear layers and head, not the embedding that is looked up."""
    s = SHAPES[shape]
    head = s["hidden_size"] // s["num_attention_heads"]
    attention = s["hidden_size"] * head * (2 * s["num_attention_heads"] + 2 * s["num_key_value_heads"])
    inner = 3 * s["hidden_size"] * s["intermediate_size"]
    return s["num_hidden_layers"] * (attention + inner) + s["hidden_size"] * s["vocab_size"]
