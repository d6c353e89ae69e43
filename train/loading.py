"""Models and tokenizers from a folder or the Hub, with every refusal in one line, and guards for known traps."""

import os
from pathlib import Path
from typing import Any

from data.errors import BadInput, NotThere, one_line


def quiet() -> None:
    """Before the libraries are imported: no telemetry, no progress bars, no tokenizer threads."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a model's folder, or of a name on the Hub.

    Raises:
        NotThere: no such folder, or a folder without tokenizer.
        BadInput: it cannot be read.
    """
    quiet()
    _check_folder(model, "tokenizer_config.json", "no tokenizer")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unreadable(model, error) from None


def _check_folder(model: str, file: str, lacking: str) -> None:
    path = Path(model)
    if path.is_dir() and not (path / file).is_file():
        raise NotThere(f"{model} has {lacking} ({file} is missing); name a folder that save_pretrained wrote")
    if not path.exists() and (path.is_absolute() or model.startswith(".") or model.count("/") != 1):
        raise NotThere(f"{model} is not there; name a model's folder, or OWNER/NAME on the Hub")


def _unreadable(model: str, error: Exception) -> Exception:
    text = one_line(str(error), 200)
    if Path(model).exists():
        return BadInput(f"{model} cannot be read as a model: {text}")
    return NotThere(f"{model} is no folder, and the Hub did not give it: {text}")


def load_causal(model: str, *, four_bit: bool = False, dtype: str = "float32") -> Any:
    """A language model in this dtype, or in NF4 with double quantisation and this compute dtype.

    Raises:
        NotThere, BadInput: as load_tokenizer does.
    """
    quiet()
    _check_folder(model, "config.json", "no configuration")
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype)
    more = {"quantization_config": nf4(dtype)} if four_bit else {}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=kind, **more)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unreadable(model, error) from None
    if four_bit:
        keep_gradients(loaded)
    return loaded


def nf4(compute: str = "float32") -> Any:
    """4-bit NormalFloat with double quantisation, T. Dettmers et al., arXiv 2305.14314."""
    import torch
    import transformers

    config: Any = transformers.BitsAndBytesConfig
    return config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, compute),
    )


def keep_gradients(model: Any) -> int:
    """Keep 4-bit layers on the CPU from turning into layers without gradients; returns how many were guarded.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 packs a layer's weight anew at the first forward in evaluation mode
    and computes with it from then on, in training too, where it gives no gradient. Each layer asks its own
    attribute whether the CPU can do that; here it is told no.
    """
    import bitsandbytes

    kinds: Any = bitsandbytes.nn
    layers = [layer for layer in model.modules() if isinstance(layer, kinds.Linear4bit)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)
