"""The peak of tensors on the CPU: what the allocator of torch held at the worst moment, to the byte.

    with peak_of_tensors(model) as peak:
        trainer.train()
    peak.bytes

Counted are the tensors of the model as it stands, and every block that torch takes and gives back within: gradients,
saved activations, optimizer state, and what a kernel takes for itself. What libraries take beside torch (Python,
code, thread pools) is not. On a GPU torch.cuda.max_memory_allocated tells the same.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Peak:
    """What `peak_of_tensors` found; filled in at its end."""

    bytes: int = 0
    """Greatest sum."""
    start: int = 0
    """Bytes of the model before."""


def tensor_bytes(tensors: Iterable[Any]) -> int:
    """Bytes of the storages of these tensors, each storage once."""
    seen = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(seen.values())


def tensors_of(model: Any) -> Iterator[Any]:
    """Parameters, buffers, and the constants of 4-bit weights."""
    yield from model.parameters()
    yield from model.buffers()
    for p in model.parameters():
        state = getattr(p, "quant_state", None)
        while state is not None:
            yield from (t for t in (state.absmax, state.code, state.offset) if t is not None and hasattr(t, "numel"))
            state = state.state2


@contextmanager
def peak_of_tensors(model: Any) -> Iterator[Peak]:
    """Record a few steps (a thousand or so would fill memory with events); one thread's or all threads' blocks.

    Blocks that were there before and are given back within go on being counted.
    """
    import gc

    from torch.profiler import ProfilerActivity, profile

    # A former run's blocks, given back within, would be taken off this one's.
    gc.collect()
    peak = Peak()
    peak.start = peak.bytes = tensor_bytes(tensors_of(model))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        yield peak
    events: Any = seen.profiler.kineto_results.events()
    taken = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]" and e.device_type().value == 0]
    held = peak.start
    for _, size in sorted(taken, key=lambda one: one[0]):
        held += size
        peak.bytes = max(peak.bytes, held)
