"""Which kind of model a name leads to, and where it computes, told before its weights are loaded."""

import json
from typing import Any

from data.errors import BadInput, Refused, nearest
from train.finding import ADAPTER, Found
from train.loading import Kind

DEVICES = ("auto", "cpu", "cuda")


def find_device(asked: str) -> str:
    """ "cpu" or "cuda"; auto takes a GPU where there is one.

    Raises:
        BadInput: a word that is none of DEVICES.
        Refused: a GPU is asked for, and torch sees none.
    """
    if asked not in DEVICES:
        raise BadInput(f"--device {asked} is none of {', '.join(DEVICES)}{nearest(asked, DEVICES)}")
    if asked == "cpu":
        return "cpu"
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise Refused("a GPU is asked for, and torch sees none; take --device cpu, or install torch for CUDA")
    return "cuda" if there else "cpu"


def put(model: Any, device: str) -> Any:
    """The model on its device; one in 4 or 8 bits stays where it was loaded, on the GPU if there is one."""
    if getattr(model.config, "quantization_config", None) is not None:
        return model
    return model.to(device)


def kind_of(found: Found) -> Kind:
    """Whether a model answers ("causal") or scores ("reward"); a name on the Hub is held to answer.

    Raises:
        BadInput: its configuration cannot be read.
    """
    if found.folder is None:
        return "causal"
    file = found.folder / (ADAPTER if found.adapter else "config.json")
    try:
        read = json.loads(file.read_text("utf-8"))
        heads = [str(one) for one in read.get("architectures") or []]
    except (OSError, ValueError, AttributeError):
        raise BadInput(f"{file} cannot be read; take the folder as it was saved") from None
    scores = read.get("task_type") == "SEQ_CLS" or any(one.endswith("ForSequenceClassification") for one in heads)
    return "reward" if scores else "causal"
