"""An adapter's weights put into its base's: onto the base as it is, or onto what its 4-bit weights stand for.

An adapter that was trained on a base in 4 bits has learnt to mend that base's rounding too, so merging it onto the
base as it is (16 bits) takes away what it mends, and merging it onto the dequantised weights keeps it. Which comes
closer to the unmerged adapter is measured, not assumed. The sums are made in float32 and rounded once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from data.errors import Refused, one_line
from train.finding import Found, Kind, quiet
from train.loading import load_causal, nf4

Onto = Literal["16bit", "4bit"]


def merge(found: Found, kind: Kind, onto: Onto, compute: str = "float32") -> Any:
    """The merged model in float32, on the CPU; of a run without adapter the model itself.

    Args:
        onto: "16bit" is the base as it is; "4bit" what its NF4 weights stand for.
        compute: the dtype that the 4-bit base had in training.

    Raises:
        Refused: the adapter's method cannot be merged.
    """
    base = load_base(found.base, kind)
    if found.adapter is None:
        return base
    if onto == "4bit":
        _dequantise(base, load_base(found.base, kind, nf4(compute, ["score"] if kind == "reward" else None), compute))
    from peft import PeftModel

    made: Any = PeftModel.from_pretrained(base, str(found.adapter))
    method = str(getattr(made.peft_config["default"], "peft_type", "adapter")).rpartition(".")[2]
    if not hasattr(made.base_model, "merge_and_unload"):
        raise Refused(f"{found.adapter} is {method}, which has no weights to merge into a base; serve it unmerged")
    try:
        merged = made.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError) as error:
        raise Refused(f"{found.adapter} cannot be merged: {one_line(str(error), 200)}") from None
    return merged.eval()


def load_base(base: str, kind: Kind, quantised: Any = None, dtype: str = "float32") -> Any:
    """A base without adapter, for answers or with a score head (at random where it has none)."""
    quiet()
    import torch
    from transformers import AutoModelForSequenceClassification

    if kind == "causal":
        return load_causal(base, four_bit=quantised is not None, dtype=dtype)
    more = {"quantization_config": quantised} if quantised else {}
    with hushed():
        return AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=1, dtype=getattr(torch, dtype), **more
        )


def _dequantise(base: Any, four: Any) -> None:
    """Give every layer of the base that is in 4 bits in the other the weight that those bits stand for."""
    import bitsandbytes

    kinds: Any = bitsandbytes.nn
    functional: Any = bitsandbytes.functional
    for name, layer in four.named_modules():
        if isinstance(layer, kinds.Linear4bit):
            weight = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            base.get_submodule(name).weight.data.copy_(weight.reshape(layer.out_features, layer.in_features))


def write_form(folder: Path, kind: Kind, bits: int, dtype: str, to: Path) -> None:
    """Write a merged model (float32, in `folder`) in its form: 8 bits (LLM.int8) or 4 (NF4, double quantisation).

    T. Dettmers et al., arXiv 2208.07339 and 2305.14314. The head, embeddings and norms stay in `dtype`.
    """
    import torch
    import transformers

    skip = ["score"] if kind == "reward" else None
    config: Any = transformers.BitsAndBytesConfig
    quantised = nf4(dtype, skip) if bits == 4 else config(load_in_8bit=True, llm_int8_skip_modules=skip)
    with hushed():
        made = _auto(kind).from_pretrained(folder, dtype=getattr(torch, dtype), quantization_config=quantised)
        made.save_pretrained(to)


def load_form(folder: Path, kind: Kind) -> Any:
    """A merged model as `from_pretrained` gives it, in evaluation mode."""
    quiet()
    with hushed():
        return _auto(kind).from_pretrained(folder, dtype="auto").eval()


def _auto(kind: Kind) -> Any:
    import transformers

    if kind == "reward":
        return transformers.AutoModelForSequenceClassification
    return transformers.AutoModelForCausalLM


@contextmanager
def hushed() -> Iterator[None]:
    """No bars, and no word of a score head that is about to be put in."""
    from transformers.utils import logging

    says: Any = logging
    level = says.get_verbosity()
    says.set_verbosity_error()
    says.disable_progress_bar()
    try:
        yield
    finally:
        says.set_verbosity(level)
