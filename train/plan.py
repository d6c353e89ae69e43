"""What an estimate is asked and what it answers, as records; nothing here computes.

predict_run(settings, shape, counts)  ->  Estimate      (train.estimating)
compare(predicted, used)              ->  list[dict]    rows {part, predicted_bytes, used_bytes, …}
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Method = Literal["full", "lora", "qlora"]
Task = Literal["sft", "reward", "dpo", "kto"]
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
METHODS: tuple[Method, ...] = ("full", "lora", "qlora")
PARTS = (
    "weights",
    "quantisation",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "reference",
    "temporary",
    "framework",
)
"""Parts of memory, in the order they are told."""


class Lengths(NamedTuple):
    """Tokens of the rows, as they are cut; a pair's two answers share its prompt."""

    prompt: float
    """Mean tokens of a prompt."""
    chosen: float
    """Mean tokens of the answer (of the chosen one)."""
    rejected: float
    """Mean tokens of the rejected answer; 0 where there is one answer a row."""
    longest: int
    """Tokens of the longest sequence, which decides the memory."""
    longest_answer: int
    """Tokens of its answer."""
    longest_other: int = 0
    """Tokens of the other answer of that row."""
    rows: int = 0


class Plan(NamedTuple):
    """A run, as far as memory and time hang on it."""

    task: Task
    method: Method
    dtype: str = "float32"
    batch: int = 4
    accumulation: int = 1
    rank: int = 16
    targets: tuple[str, ...] = ("all-linear",)
    gradient_checkpointing: bool = False
    optimizer: str = "adamw_torch"
    precompute: bool = True
    """DPO: the reference's log-probabilities once, before training."""
    sharing: bool = False
    """DPO: prompt, chosen and rejected lie in one sequence."""
    own_head: bool = False
    """DPO: log-probabilities by this package's head, of the answers' tokens alone, in place of TRL's."""
    orpo: bool = False
    """DPO's loss without a reference."""
    anchor: bool = False
    """Full: a copy of the start weights is kept to pull towards."""
    device: Literal["cpu", "cuda"] = "cuda"


class Range(NamedTuple):
    """A figure and where it may lie."""

    low: float
    middle: float
    high: float


class Estimate(NamedTuple):
    """What a run will take."""

    parts: Mapping[str, int]
    """Bytes of each part at the moment of the peak; their sum is `peak` before the machine's correction."""
    peak: Range
    """Bytes of tensors (and of the CUDA context on a GPU) at the worst moment, corrected for this machine."""
    moment: str
    """When the peak comes: "forward", "backward" or "step"."""
    flops: float
    """Floating-point operations of the whole run; 0 where rows are not known."""
    tokens: float
    """Tokens that pass through the model over the whole run."""
    seconds: Range | None
    """None where the device's speed is not known."""
    watt_hours: Range | None
    cost: Range | None
    """In the currency of the price given; None without a price."""
    machine: str
    correction: float
    """Factor on memory that runs on this machine have taught; 1 where there were none."""
    runs: int
    """How many runs taught it."""
    assumptions: Sequence[str]

    def rows(self) -> list[dict[str, Any]]:
        """One row a part."""
        return [{"part": name, "predicted_bytes": self.parts.get(name, 0)} for name in PARTS if self.parts.get(name)]
