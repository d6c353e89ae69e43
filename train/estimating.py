"""A run's memory, time and money before it starts, and what they turned out to be.

    estimate = predict_run(settings, read_shape("8B"), counts, machine=machine_name("cuda"), workspace=workspace)
    rows = note_run(workspace, estimate, used_bytes, seconds)       for audit/estimate.jsonl

Signatures first; see train.memory for the sums.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.plan import Estimate

Counts = Sequence[tuple[int, int, int]]
"""Tokens of each row: prompt, chosen (or the one answer), rejected (0 where there is none)."""


def predict_run(settings: Any, shape: Any, counts: Counts, *, workspace: Path | None = None) -> Estimate:
    """What a run with these settings (SftSettings, RewardSettings, DpoSettings, KtoSettings) will take.

    Args:
        shape: from train.shapes.read_shape(model's folder or size).
        counts: tokens of the rows to train on.
        workspace: where what former runs on this machine took is kept; None corrects nothing.
    """
    raise NotImplementedError


def compare(predicted: Estimate, used_bytes: int, seconds: float) -> list[dict[str, Any]]:
    """Rows {part, predicted_bytes, used_bytes, error} and {part: "time", predicted_seconds, used_seconds, error}."""
    raise NotImplementedError


def note_run(workspace: Path, estimate: Estimate, used_bytes: int, seconds: float) -> list[dict[str, Any]]:
    """Keep what a run took in WORKSPACE/estimates.jsonl, for the next estimate here; returns compare's rows."""
    raise NotImplementedError
