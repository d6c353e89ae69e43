"""Where a run is computed: which device, in what precision, how much memory it has taken, and on which process."""

import os
import resource
import sys
from typing import TYPE_CHECKING, Any

from data.errors import BadInput, NotThere, nearest

if TYPE_CHECKING:
    from train.settings import Settings

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")


def find_device(asked: str) -> str:
    """ "cpu" or "cuda"; auto takes a GPU where there is one.

    Raises:
        BadInput: a word that is none of DEVICES.
        NotThere: a GPU was asked for and none can be used.
    """
    if asked not in DEVICES:
        raise BadInput(f"device {asked[:40]} is none of {', '.join(DEVICES)}{nearest(asked, DEVICES)}")
    if asked == "cpu":
        return "cpu"
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        why = "this torch was built without CUDA" if torch.version.cuda is None else "torch finds none"
        raise NotThere(f"device: cuda was asked for, and there is no GPU ({why}); take auto or cpu")
    return "cuda" if there else "cpu"


def find_dtype(asked: str, device: str) -> str:
    """The dtype; auto takes bfloat16 on a GPU that computes in it, and float32 elsewhere.

    Args:
        asked: one of DTYPES.
        device: "cpu" or "cuda", as find_device gives it.

    Raises:
        BadInput: float16 on a CPU.
    """
    if asked == "float16" and device == "cpu":
        raise BadInput("dtype: float16 wants a GPU, and there is none; take float32")
    if asked != "auto":
        return asked
    if device == "cpu":
        return "float32"
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def on_this_machine(settings: "Settings", device: str | None = None) -> tuple["Settings", str]:
    """The settings with the dtype they come to here, and the device, before any weight is loaded.

    Args:
        device: None takes what the settings say.

    Raises:
        NotThere: a GPU was asked for and none can be used.
        BadInput: what was asked for wants a GPU.
    """
    device = device or find_device(settings.device)
    if device == "cpu" and settings.optimizer.startswith("paged"):
        raise BadInput(f"optimizer: {settings.optimizer} wants a GPU, and there is none; take adamw_torch")
    return settings.model_copy(update={"dtype": find_dtype(settings.dtype, device)}), device


def precision(settings: "Settings", device: str) -> dict[str, Any]:
    """For TrainingArguments; told in full, since TRL turns on bfloat16 and checkpointing where nothing is said."""
    return {
        "use_cpu": device == "cpu",
        "bf16": settings.dtype == "bfloat16",
        "fp16": settings.dtype == "float16",
        "activation_checkpointing": settings.gradient_checkpointing,
        "dataloader_pin_memory": device == "cuda",
    }


def memory_used(device: str) -> int:
    """Greatest memory so far, in bytes: allocated on the GPU, or resident in this process."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def is_main() -> bool:
    """Whether this process writes: the first of those that accelerate or torchrun started."""
    return int(os.environ.get("RANK") or 0) == 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library says, in one of its ways, that there is no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        part in text for part in ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
    )


def lower(settings: "Settings", longest: int) -> str:
    """Which settings to lower, to what: first what changes no result, then what does.

    Args:
        longest: tokens of the longest row.
    """
    told = []
    if settings.batch > 1:
        half = settings.batch // 2
        steps = -(-settings.batch * settings.accumulation // half)
        told.append(f"batch={half} with accumulation={steps} (the same steps)")
    if not settings.gradient_checkpointing:
        told.append("gradient_checkpointing=true (the same result, slower)")
    if settings.optimizer == "adamw_torch" and settings.method == "full":
        told.append("optimizer=adamw_8bit")
    if settings.method in ("full", "lora"):
        told.append("method=qlora" if settings.method == "lora" else "method=lora or qlora")
    told.append(f"length={max(8, min(settings.length, longest) // 2)} (cuts or drops what is longer)")
    return ", then ".join(told)
