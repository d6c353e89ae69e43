"""The reference's log-probabilities of every answer, computed once and kept for sweeps, restarts and resumed runs.

    table = reference_table(rows, compute, about={...}, folder=Path("workspace/cache/reference"))

What is kept lies in one file named by a sha256 over the weights as they stand in memory, every row's tokens in order,
and what else can change a last digit (batch, dtype, threads, library, layout). Another model, row or setting has
another name, so a wrong file is never read; a damaged one is not believed. The whole set is kept as one, since a
row's last digits depend on the batch it was computed in: with the file or without, a run has the same bytes.
"""

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from train.tokens import Tokens

Both = tuple[float, float]
"""log π of the chosen and of the rejected answer, in nats, summed over tokens."""


def key_of(one: Tokens) -> bytes:
    """What a pair is to a model: a hash of its tokens."""
    return sha256(repr((one.prompt, one.chosen, one.rejected)).encode()).digest()


def by_length(pairs: Sequence[Tokens], batch: int) -> list[list[int]]:
    """Numbers of pairs in batches of like lengths, the longest first: if memory is short, it is so at once."""
    order = sorted(range(len(pairs)), key=lambda i: (-_tokens(pairs[i]), i))
    return [order[at : at + batch] for at in range(0, len(order), batch)]


def _tokens(one: Tokens) -> int:
    return len(one.prompt) + len(one.chosen) + len(one.rejected)


def reference_table(
    pairs: Sequence[Tokens],
    compute: Callable[[Sequence[Tokens]], list[Both]],
    *,
    about: dict[str, Any],
    folder: Path | None,
) -> list[Both]:
    """The reference's log-probabilities of each pair, in order: read where they are kept, else computed and kept.

    Args:
        compute: gives them for pairs in any order; called once with all of them, or not at all.
        about: what they depend on besides the tokens; must be JSON.
        folder: where they are kept; None keeps nothing. A folder that cannot be written costs the keeping alone.
    """
    if folder is None or not pairs:
        return compute(pairs) if pairs else []
    digest = sha256(json.dumps(about, sort_keys=True).encode())
    for one in pairs:
        digest.update(key_of(one))
    path = folder / f"{digest.hexdigest()}.json"
    kept = _read(path, len(pairs))
    if kept is not None:
        return kept
    found = compute(pairs)
    _write(path, about, found)
    return found


def _read(path: Path, n: int) -> list[Both] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
        rows = [(float(chosen), float(rejected)) for chosen, rejected in value["logps"]]
        whole = value["sha256"] == _seal(rows)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return rows if whole and len(rows) == n else None


def _seal(rows: Sequence[Both]) -> str:
    return sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


def _write(path: Path, about: dict[str, Any], rows: list[Both]) -> None:
    """Whole or not at all; numbers that are none are not kept."""
    if not all(math.isfinite(x) for row in rows for x in row):
        return
    text = json.dumps({"about": about, "sha256": _seal(rows), "logps": rows})
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def weights_hash(model: Any, *, without_adapter: bool) -> str:
    """sha256 over the names and bytes of a model's weights as they stand in memory, 4-bit ones included.

    Args:
        without_adapter: leave the LoRA weights out, and their names: an adapter that changes nothing yet, of whatever
            rank or seed, has the reference of its base.
    """
    import torch

    digest = sha256()
    for name, tensor in sorted(_named(model, without_adapter)):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
    return digest.hexdigest()


def _named(model: Any, without_adapter: bool) -> Iterator[tuple[str, Any]]:
    import torch

    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor) or (without_adapter and ".lora_" in name):
            continue
        bare = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        yield bare if without_adapter else name, value


def changes_nothing(model: Any) -> bool:
    """Whether a model has a LoRA adapter that was just made: what it adds is zero, so its base is its reference."""
    configs = getattr(model, "peft_config", None)
    if not configs or any(getattr(one, "use_dora", False) for one in configs.values()):
        return False
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained or not all(".lora_A." in name or ".lora_B." in name for name in trained):
        return False
    return all(not bool(p.any()) for name, p in trained.items() if ".lora_B." in name)


@contextmanager
def as_at_start(model: Any, start: dict[str, Any] | None) -> Iterator[None]:
    """The reference in the policy's place: its adapter off (start is None), or its first weights lent to it.

    Args:
        start: name to tensor of every parameter that is trained, as it was before the first step.
    """
    if start is None:
        with model.disable_adapter():
            yield
        return
    now = {name: p for name, p in model.named_parameters() if name in start}
    trained = {name: p.data for name, p in now.items()}
    for name, p in now.items():
        p.data = start[name]
    try:
        yield
    finally:
        for name, p in now.items():
            p.data = trained[name]
