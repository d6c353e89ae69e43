"""A run's memory and time told before it starts, and kept beside what it took; neither can take a run down.

expected = foretell(ready, device, workspace)        train.estimating.predict_run, from the rows as they are cut
rows = keep(expected, ready, recorder, workspace)    for audit/estimate.jsonl; adds to WORKSPACE/estimates.jsonl
"""

import sys
from pathlib import Path
from typing import Any

from data.errors import ConcordError, one_line
from train.devices import memory_used
from train.estimating import Device, compare, note_run, predict_run
from train.plan import Estimate
from train.preparing import Ready
from train.shapes import Shape, read_shape, shape_of


def foretell(ready: Ready, device: Device, workspace: Path) -> Estimate | None:
    """The estimate of a run on one device, told on standard error; None where its model cannot be counted."""
    counts = [(len(t.prompt), len(t.chosen), len(t.rejected)) for t in (row.tokens for row in ready.rows["train"])]
    try:
        found = predict_run(ready.settings, _shape(ready.found.base), counts, device=device, workspace=workspace)
    except (ConcordError, OSError, ValueError, KeyError) as fault:
        print(f"no estimate of memory and time: {one_line(str(fault), 200)}", file=sys.stderr)
        return None
    print(told(found, device), file=sys.stderr)
    return found


def told(estimate: Estimate, device: str) -> str:
    """The estimate in one line."""
    low, middle, high = (size / 1e9 for size in estimate.peak)
    text = f"expected on the {device}: {middle:.2f} GB of memory ({low:.2f} to {high:.2f})"
    if estimate.seconds:
        text += f", {estimate.seconds.middle:,.0f} s ({estimate.seconds.low:,.0f} to {estimate.seconds.high:,.0f})"
    return f"{text}; {f'corrected by {estimate.runs} runs here' if estimate.runs else 'no former run here corrects it'}"


def keep(estimate: Estimate | None, ready: Ready, recorder: Any, workspace: Path) -> list[dict[str, Any]]:
    """Rows of what was said beside what was used; kept for the next estimate on this machine.

    On a GPU the greatest memory allocated is meant, on a CPU the greatest resident memory of this process. A run over
    several processes is compared and not kept: an estimate is of one device.
    """
    if estimate is None:
        return []
    used, seconds = memory_used(ready.config["device"]), round(recorder.seconds, 3)
    if ready.config["processes"] > 1:
        return compare(estimate, used, seconds)
    try:
        return note_run(workspace, estimate, used, seconds)
    except OSError as error:
        print(f"warning: {workspace / 'estimates.jsonl'} cannot be written ({error.strerror})", file=sys.stderr)
        return compare(estimate, used, seconds)


def _shape(base: str) -> Shape:
    """Of a folder, or of a name on the Hub whose configuration transformers has read."""
    if Path(base).is_dir():
        return read_shape(base)
    from transformers import AutoConfig

    return shape_of(AutoConfig.from_pretrained(base).to_dict(), base.rsplit("/", 1)[-1])
