"""A run's model opened again, and the margins and gradients of its rows.

The reference of DPO is the run's model without its adapter where that is what it was; else the start model read again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.command import progress
from train.preparing import Ready
from train.rows import Row
from train.settings import DpoSettings, Settings

if TYPE_CHECKING:
    from train.margin_gradients import Floats, Gradients
    from train.row_gradients import Margins


def of_splits(
    run: Path, ready: Ready, splits: Sequence[Sequence[Row]], width: int, seed: int
) -> tuple[int, "Gradients", "Gradients"]:
    """How many weights were trained, and the gradients of rows trained on and of rows held out.

    Args:
        run: its folder, whose model is opened.
        splits: the two lists of rows.
        width, seed: of the sketch.
    """
    from train.answer_head import add_head
    from train.finding import Kind
    from train.gradient_sketch import make_sketch
    from train.loading import open_model
    from train.margin_gradients import count_weights, gradients, policy_margins, reward_margins

    settings, device = ready.settings, str(ready.config["device"])
    kind: Kind = "reward" if ready.config["task"] == "reward" else "causal"
    loaded = open_model(str(run), kind=kind, dtype=settings.dtype, trainable=True, device=device)
    model = loaded.model if settings.method == "qlora" else loaded.model.to(device)
    pad, each = loaded.tokenizer.pad_token_id or 0, 2
    margins_of = reward_margins(pad)
    if isinstance(settings, DpoSettings):
        add_head(model.get_base_model() if loaded.adapter else model)
        each = 1 if _shares(model, settings, splits, pad) else 2
        margins_of = policy_margins(pad, settings.beta, mean=settings.loss == "orpo", shared=each == 1)
    sketch = make_sketch(count_weights(model), width, seed, device)
    made = []
    with progress("gradients of rows", total=sum(map(len, splits))) as step:
        for rows in splits:
            made.append(gradients(model, rows, margins_of, sketch, step, batch=_batch(settings), each=each))
    if isinstance(settings, DpoSettings) and settings.loss != "orpo":
        starts = _reference(model, ready, settings, splits, device, margins_of)
        made = [one._replace(margin=one.margin - start) for one, start in zip(made, starts, strict=True)]
    return count_weights(model), made[0], made[1]


def _batch(settings: Settings) -> int:
    """Rows of a pass: what fitted in training, where that kept the activations of all layers too."""
    return 1 if settings.gradient_checkpointing else settings.batch


def _shares(model: Any, settings: DpoSettings, splits: Sequence[Sequence[Row]], pad: int) -> bool:
    """Whether both answers of a row can share its prompt, as they did in training, if they did."""
    if not settings.prefix_sharing:
        return False
    from train.prefix_check import fault_of_layout

    model.eval()
    longest = max((row.tokens for rows in splits for row in rows), key=lambda one: sum(map(len, one[:3])))
    return not fault_of_layout(model, longest, pad, shared=True)


def _reference(
    model: Any,
    ready: Ready,
    settings: DpoSettings,
    splits: Sequence[Sequence[Row]],
    device: str,
    margins_of: "Margins",
) -> list["Floats"]:
    """The margins of the policy as it was before its first step."""
    from contextlib import nullcontext

    from train.answer_head import add_head
    from train.loading import open_model
    from train.margin_gradients import margins

    fresh = hasattr(model, "peft_config") and ready.config["model"] == ready.config["base"]
    if not fresh:
        loaded = open_model(settings.model, four_bit=settings.method == "qlora", dtype=settings.dtype, device=device)
        model = loaded.model
        add_head(model.get_base_model() if loaded.adapter else model)
    off = model.disable_adapter() if fresh else nullcontext()
    with off, progress("the reference's margins", total=sum(map(len, splits))) as step:
        return [margins(model, rows, margins_of, 2 * _batch(settings), step) for rows in splits]
