"""The adapter a run trains: made from settings, put on a model, and kept in full precision.

Task types, and whether the score head is saved beside a reward model's adapter, are decided here and nowhere else.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from data.errors import BadInput, one_line
from train.finding import Kind
from train.peft_methods import peft_config
from train.settings import Settings

TASK_TYPES = {"causal": "CAUSAL_LM", "reward": "SEQ_CLS"}
"""PEFT's names; with SEQ_CLS it trains and saves the score head by itself."""


def adapter_config(settings: Settings, kind: Kind) -> Any:
    """PEFT's configuration of the adapter that settings ask for; None where all weights are trained."""
    if settings.method == "full":
        return None
    if settings.method == "peft":
        return peft_config(settings.peft, TASK_TYPES[kind])
    from peft import LoraConfig

    lora = settings.lora
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a scale, which need not be whole
        lora_dropout=lora.dropout,
        target_modules="all-linear" if lora.targets == ["all-linear"] else lora.targets,
        task_type=TASK_TYPES[kind],
    )


def put_on(model: Any, settings: Settings, kind: Kind) -> Any:
    """The model with a new adapter that learns nothing yet; all weights trainable where method is full.

    Raises:
        BadInput: none of the layers named is there, or PEFT cannot adapt this model.
    """
    config = adapter_config(settings, kind)
    if config is None:
        return model.requires_grad_(True)
    from peft import get_peft_model

    try:
        return get_peft_model(model, config)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadInput(f"no adapter can be put on this model: {one_line(str(error), 300)}") from None


@contextlib.contextmanager
def kept_precision(model: Any) -> Iterator[None]:
    """Within it TRL may turn an adapter on a 4-bit base to bfloat16; afterwards it is what it was before.

    In bfloat16 a step smaller than 1/256 of a weight is lost, which is most of them at usual learning rates.
    """
    before = {id(p): p.data for p in model.parameters() if p.requires_grad}
    yield
    for p in model.parameters():
        if id(p) in before and p.dtype != before[id(p)].dtype:
            p.data = before[id(p)]


def counts(model: Any) -> tuple[int, int]:
    """Parameters that are trained, and all. A 4-bit weight counts as what it stands for."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(
        p.quant_state.shape.numel() if getattr(p, "quant_state", None) else p.numel() for p in model.parameters()
    )
    return trained, every
