"""Models and tokenizers from a folder or the Hub, with every refusal in one line, and guards for known traps.

    open_model("workspace/runs/dpo-sky-tiny")     base, adapter, tokenizer: as the run was trained
    fingerprint("workspace/tiny")                 sha256 over all that the model is

A name is a base model's folder, an adapter's, a run's, or OWNER/NAME on the Hub.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import Refused
from train.finding import Found, Kind, check_base, check_folder, check_weights, find_model, kind_of, quiet, unreadable
from train.finding import fingerprint as fingerprint


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a model's folder, or of a name on the Hub.

    Raises:
        NotThere: no such folder, or a folder without tokenizer.
        BadInput: it cannot be read.
    """
    quiet()
    check_folder(model, "tokenizer_config.json", "no tokenizer")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unreadable(model, error) from None


def load_causal(model: str, *, four_bit: bool = False, dtype: str = "float32", device: str = "cpu") -> Any:
    """A language model in this dtype, or in NF4 with double quantisation and this compute dtype.

    On a GPU (device "cuda") weights in 4 bits are put there as they are read; others stay for the caller to move.

    Raises:
        NotThere, BadInput: as load_tokenizer does.
    """
    quiet()
    check_folder(model, "config.json", "no configuration")
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype)
    more = {"quantization_config": nf4(dtype), **_put_there(device)} if four_bit else {}
    try:
        with _hushed():
            loaded = AutoModelForCausalLM.from_pretrained(model, dtype=kind, **more)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise unreadable(model, error) from None
    if four_bit:
        keep_gradients(loaded)
    return loaded


def _put_there(device: str) -> dict[str, Any]:
    """For from_pretrained: all of the model on the CPU, or on this process's own GPU."""
    return {"device_map": {"": int(os.environ.get("LOCAL_RANK") or 0) if device == "cuda" else "cpu"}}


def nf4(compute: str = "float32", skip: list[str] | None = None) -> Any:
    """4-bit NormalFloat with double quantisation, T. Dettmers et al., arXiv 2305.14314.

    Args:
        compute: dtype of the sums.
        skip: names of layers that stay as they are; None leaves out the head.
    """
    import torch
    import transformers

    config: Any = transformers.BitsAndBytesConfig
    return config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, compute),
        llm_int8_skip_modules=skip,
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


class Loaded(NamedTuple):
    """A model ready for use, in evaluation mode unless it was opened to be trained."""

    model: Any
    tokenizer: Any
    base: str
    adapter: Path | None
    kind: Kind


def open_model(
    name: str,
    *,
    kind: Kind = "causal",
    four_bit: bool | None = None,
    dtype: str = "float32",
    trainable: bool = False,
    device: str = "cpu",
) -> Loaded:
    """A model and its tokenizer, by any name that `find_model` follows.

    Args:
        kind: "causal" answers; "reward" scores: one number for a whole dialogue, at its last token.
        four_bit: load the base in NF4; None does as the run was trained.
        dtype: of the weights, and of the sums where they are in 4 bits.
        trainable: the adapter's weights take gradients; a base without score head gets one at random
            (from torch's generator as it stands).
        device: "cpu" or "cuda". A trainer moves a trainable model itself, unless it is in 4 bits.

    Raises:
        NotThere, BadInput, Refused: in one line, before weights are read wherever that can be known.
    """
    found = find_model(name)
    check_weights(found)
    tokenizer = open_tokenizer(found)
    _check_kind(found, name, kind, trainable)
    check_base(found, name)
    in_four = found.four_bit if four_bit is None else four_bit
    model = _load(found.base, kind, in_four, dtype, device)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if found.adapter:
        model = _put_on(model, found.adapter, trainable)
        model.peft_config["default"].base_model_name_or_path = found.base  # it may be named from its own folder
    if in_four:
        keep_gradients(model)
    if device == "cuda" and not trainable and not in_four:
        model = model.to(device)
    return Loaded(model.train(trainable), tokenizer, found.base, found.adapter, kind)


def put(model: Any, device: str) -> Any:
    """The model on its device; one in 4 or 8 bits stays where it was loaded, on the GPU if there is one."""
    if getattr(model.config, "quantization_config", None) is not None:
        return model
    return model.to(device)


def open_tokenizer(found: Found) -> Any:
    """The tokenizer of a model that was found: the adapter's own where it has one, else the base's.

    A tokenizer without padding pads with the token that ends an answer.

    Raises:
        NotThere, BadInput: as load_tokenizer does.
    """
    own = found.adapter and (found.adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(found.adapter) if own else found.base)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _check_kind(found: Found, name: str, kind: Kind, trainable: bool) -> None:
    """Refuse a scorer where answers are wanted, and answers where scores are."""
    is_reward = kind_of(found) == "reward"
    if kind == "causal" and is_reward:
        raise Refused(f"{name} is a reward model: it scores and does not answer; name a language model")
    if kind == "reward" and not is_reward and found.adapter:
        raise Refused(f"{name} is an adapter that answers and does not score; merge it (train.merge), or name its base")
    if kind == "reward" and not is_reward and not trainable:
        raise Refused(f"{name} has no score head; name a run of train.reward")


def _load(base: str, kind: Kind, four_bit: bool, dtype: str, device: str) -> Any:
    if kind == "causal":
        return load_causal(base, four_bit=four_bit, dtype=dtype, device=device)
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    # The score head is never in 4 bits: it is trained whole, and saved.
    more = {"quantization_config": nf4(dtype, skip=["score"]), **_put_there(device)} if four_bit else {}
    try:
        with _hushed():
            return AutoModelForSequenceClassification.from_pretrained(
                base, num_labels=1, dtype=getattr(torch, dtype), **more
            )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise unreadable(base, error) from None


def _put_on(model: Any, adapter: Path, trainable: bool) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        with _hushed():
            return PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise unreadable(str(adapter), error) from None


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """No bars, and no word of a score head that is not there yet: the caller knows."""
    from transformers import utils

    logging: Any = utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
