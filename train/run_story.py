"""What the pages of a training run tell: plain values and rows that the run fills in for train/run_report.py."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Texts(NamedTuple):
    """A row's texts as people read them."""

    prompt: str
    chosen: str
    rejected: str | None
    """None for an answer that stands alone."""
    label: bool | None = None
    """Of an answer that stands alone and was held good or bad (KTO)."""


class RunStory(NamedTuple):
    """A run that is whole. What a task does not have stays empty; a page leaves out what is not there."""

    name: str
    """The run's own, which is its folder's."""
    task: str
    """sft, reward, dpo, orpo or kto."""
    method: str
    """full, lora, qlora, or another PEFT method's name."""
    base: str
    """The model it began from, as it was named: a Hub id, or a folder (of which only the name is shown)."""
    export: str
    """The export's name."""
    command: str
    """The line to type to run it again."""
    config: Mapping[str, Any]
    """Settings as run; may be nested."""
    digests: Mapping[str, str]
    """sha256 of: export, model (fingerprint of what it began from), template, and whatever else there is."""
    rows: Mapping[str, int]
    """Rows trained or measured on, by split."""
    seconds: float
    """Of training alone, all resumptions added."""
    metrics: Sequence[Row] = ()
    """audit/metrics.jsonl."""
    held_out: Sequence[Row] = ()
    """data/held_out.jsonl; of kto each with its `label`, so that good and bad answers are told apart."""
    worst: Sequence[Row] = ()
    """train.worst.worst_rows, the worst first."""
    texts: Mapping[str, Texts] = {}
    """Texts of the worst rows by row id (train.worst.texts_of)."""
    lost: Sequence[Row] = ()
    """Looked rows as dicts that training cut or dropped; audit/preflight.jsonl."""
    looked: Mapping[str, Any] = {}
    """train.looking.totals over all rows."""
    warnings: Sequence[Row] = ()
    """{step, name, en, zh}: train.watching."""
    estimate: Sequence[Row] = ()
    """audit/estimate.jsonl: {part, predicted_bytes, used_bytes} or {part, predicted_seconds, used_seconds}."""
    licences: Mapping[str, int] = {}
    """Export.licences: rows by licence; "none stated" where a row names none."""
    base_licence: str | None = None
    """What the base model's own card says, where it is known."""
    sources: Mapping[str, int] = {}
    """Rows by who judged them (human, model, both, rule), or by data set."""
    languages: Mapping[str, int] = {}
    """Rows by language code."""
    versions: Mapping[str, str] = {}
    """torch, transformers, trl, peft, bitsandbytes, python."""
    device: str = "cpu"
    trainable: int = 0
    """Parameters that were trained; 0 where not counted."""
    parameters: int = 0
    """Parameters in all; 0 where not counted."""
    place: str = ""
    """The run's folder as one would type it; empty for workspace/runs/NAME."""
    resumed: int = 0
    """How often it was taken up from a checkpoint."""


BETTER = ("reward", "dpo", "orpo")
"""Tasks whose held-out rows say which of two answers is better."""


def base_name(base: str) -> str:
    """What to call the base in public: a Hub id as it is, of a folder its name without the way to it.

    A folder `model` (train.tiny and every run have one) goes by the name of the folder around it.
    """
    parts = [part for part in base.replace("\\", "/").split("/") if part]
    hub = len(parts) == 2 and not base.startswith((".", "/", "~")) and "\\" not in base
    if hub and parts[1] != "model":
        return base
    named = parts[:-1] if len(parts) > 1 and parts[-1] == "model" else parts
    return named[-1] if named else base


def place_of(story: RunStory) -> str:
    """The run's folder, as it is typed in a command."""
    return story.place or f"workspace/runs/{story.name}"
