"""GPUs by name: memory, peak of bfloat16 sums, power, and where each figure is from."""

import re
from typing import NamedTuple

from data.errors import NotThere, nearest

GIB = 2**30


class Gpu(NamedTuple):
    """A GPU as its maker describes it."""

    name: str
    memory: int
    """Bytes."""
    flops: float
    """Dense floating-point operations a second, bfloat16 in, float32 sums (float16 where there is no bfloat16)."""
    watts: float
    """Greatest board power."""
    source: str
    bfloat16: bool = True


GPUS: tuple[Gpu, ...] = (
    Gpu("T4", 16 * GIB, 65e12, 70, "NVIDIA T4 datasheet (float16; no bfloat16)", False),
    Gpu("RTX3090", 24 * GIB, 71e12, 350, "NVIDIA Ampere GA102 whitepaper"),
    Gpu("RTX4090", 24 * GIB, 165.2e12, 450, "NVIDIA Ada whitepaper (float32 sums)"),
    Gpu("L4", 24 * GIB, 121e12, 72, "NVIDIA L4 datasheet, without sparsity"),
    Gpu("A100-40GB", 40 * GIB, 312e12, 400, "NVIDIA A100 datasheet, SXM"),
    Gpu("L40S", 48 * GIB, 362e12, 350, "NVIDIA L40S datasheet, without sparsity"),
    Gpu("A100-80GB", 80 * GIB, 312e12, 400, "NVIDIA A100 datasheet, SXM"),
    Gpu("H100", 80 * GIB, 989e12, 700, "NVIDIA H100 datasheet, SXM, without sparsity"),
    Gpu("H200", 141 * 10**9, 989e12, 700, "NVIDIA H200 datasheet, SXM, without sparsity"),
)
"""From the smallest memory to the largest."""


def gpu_of(name: str) -> Gpu:
    """The GPU by its name, whatever its case, with or without "NVIDIA", blanks and hyphens.

    Raises:
        NotThere: it is not in the table.
    """
    known = {_plain(gpu.name): gpu for gpu in GPUS}
    if _plain(name) not in known:
        names = [gpu.name for gpu in GPUS]
        raise NotThere(f"--gpu '{name[:40]}' is none of {', '.join(names)}{nearest(name.upper(), names)}")
    return known[_plain(name)]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]|NVIDIA|GEFORCE", "", name.upper())


def smallest(size: float, dtype: str = "float32") -> Gpu | None:
    """The first in the table that holds so many bytes and computes in this dtype; None where none does."""
    return next((gpu for gpu in GPUS if gpu.memory >= size and (gpu.bfloat16 or dtype != "bfloat16")), None)
