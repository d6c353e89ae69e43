"""A run's settings: one frozen record a task, from YAML and --set, with every problem told at once.

    settings = read_settings("dpo", Path("train/configs/dpo.yaml"), ["learning_rate=5e-6", "lora.rank=8"])

Nothing heavy is imported, and no weight is loaded: what is wrong is known in a tenth of a second. Keys that no part
of training reads are not there.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import BadInput, nearest
from train.dpo_losses import BATCHWISE, SMOOTHED, OtherLoss
from train.given import number, plain, put, read_yaml
from train.losses import DpoLoss

CONFIGS = Path(__file__).parent / "configs"
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""The linear layers of a Llama-shaped model but the head."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)


class Lora(_Settings):
    """The adapter, where `method` is lora or qlora. E. Hu et al., arXiv 2106.09685."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Inner width of each adapter; memory and capacity grow with it."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """What the adapter adds is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is dropped in training."""
    targets: Annotated[list[str], Field(min_length=1)] = LINEAR
    """Names of the layers that get an adapter; `all-linear` alone means all but the head. Never lm_head."""


class Settings(_Settings):
    """What every task has."""

    model: str = ""
    """A model's folder, or OWNER/NAME on the Hub; needed."""
    method: Literal["full", "lora", "qlora", "peft"] = "lora"
    """All weights; LoRA on frozen weights; LoRA on weights in 4 bits (NF4, double quantisation); another of PEFT's."""
    lora: Lora = Lora()
    """The adapter of lora and qlora. A model that has an adapter already goes on with its own."""
    peft: dict[str, Any] = {}
    """For method peft: `peft_type` (IA3, LOHA, OFT …) and the keys of PEFT's own configuration of it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU where there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of weights and sums; for qlora, of the sums. auto: bfloat16 on a GPU that computes in it, else float32."""
    length: Annotated[int, Field(ge=8)] = 1024
    """Most tokens of prompt and answer; what is longer is cut or dropped, which preflight lists."""
    allow_loss: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of rows that may be cut or dropped before a run is refused."""
    batch: Annotated[int, Field(ge=1)] = 4
    """Rows of one forward pass on one device; a pair is one row, and two sequences."""
    accumulation: Annotated[int, Field(ge=1)] = 1
    """Passes whose gradients are summed before a step."""
    optimizer: Literal["adamw_torch", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "adafactor", "sgd"] = (
        "adamw_torch"
    )
    """AdamW (8 bytes a trained weight), in 8 bits (2), paged to the CPU where a GPU is full; Adafactor; SGD."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Greatest step size, reached after the warm-up."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the step size falls afterwards; constant does not."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of all steps over which the step size rises from zero."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Times every row is seen; `steps` above 0 goes before it."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Steps to take; 0 leaves it to `epochs`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Order of rows, dropout, and the adapter's first weights."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """A longer gradient is shortened to it."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Pull of each weight towards zero."""
    anchor: Annotated[float, Field(ge=0)] = 0.0
    """Pull of each weight towards where it started (L2), against forgetting; for method full."""
    weights: Literal["agreement", "none"] = "none"
    """Rows weigh as their evidence does (the export's column weight), or all alike."""
    deepspeed: str = ""
    """A file of DeepSpeed's own, for `accelerate launch`; held against these settings, and not run by any test."""
    save_every: Annotated[int, Field(ge=0)] = 0
    """Steps between checkpoints; 0 makes ten in a run. The two newest that are whole are kept until the run's end."""
    eval_every: Annotated[int, Field(ge=0)] = 0
    """Steps between looks at the validation split; 0 looks at the end alone."""
    log_every: Annotated[int, Field(ge=1)] = 1
    """Steps between lines in the metrics; figures are means over the steps since the last one. A checkpoint has one."""


class SftSettings(Settings):
    """Imitation of answers."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    """Greatest step size, reached after the warm-up."""
    answers_only: bool = True
    """The loss is of the answer's tokens alone, not of the prompt's."""


class RewardSettings(Settings):
    """A model that scores answers: −log σ(r_chosen − r_rejected − margin)."""

    soft_labels: bool = False
    """Take p from the export's column probability, in place of certainty."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """By how much the chosen answer should win: times 2p − 1, the lead that people gave it."""
    centring: Annotated[float, Field(ge=0)] = 0.01
    """Times (r_chosen + r_rejected)²: keeps scores around zero."""


class DpoSettings(Settings):
    """Preferences learnt directly."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-6
    """Greatest step size, reached after the warm-up."""
    loss: Literal[DpoLoss, OtherLoss, "orpo"] = "sigmoid"
    """sigmoid; cdpo, robust (with label_smoothing); ipo; hinge; TRL's others by its names; orpo, with no reference."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How dear it is to leave the reference; ORPO's weight of the odds ratio."""
    label_smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of labels held to be wrong, for all pairs alike; in cdpo, robust, exo_pair and aot."""
    soft_labels: bool = False
    """Take p from the export's column probability, in place of certainty."""
    precompute: bool = True
    """The reference's log-probabilities once, before training, in place of every step."""
    prefix_sharing: bool = True
    """Each prompt is computed once for both answers, where the model's attention can take it."""


class KtoSettings(Settings):
    """Answers held good or bad, each alone. K. Ethayarajh et al., arXiv 2402.01306."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-6
    """Greatest step size, reached after the warm-up."""
    loss: Literal["kto", "apo_zero_unpaired"] = "kto"
    """Against the batch's KL, or (APO, arXiv 2408.06266) against the reference alone."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How dear it is to leave the reference."""
    desirable: Annotated[float, Field(ge=0)] = 1.0
    """Times the loss of answers held good; with the next, evens out how many of each there are."""
    undesirable: Annotated[float, Field(ge=0)] = 1.0
    """Times the loss of answers held bad."""


RECORDS: dict[str, type[Settings]] = {
    "sft": SftSettings,
    "reward": RewardSettings,
    "dpo": DpoSettings,
    "kto": KtoSettings,
}


def read_settings(task: str, path: Path | None = None, given: Sequence[str] = (), model: str = "") -> Settings:
    """A task's settings: the file's over the defaults, each KEY=VALUE over the file's.

    Args:
        task: "sft", "reward", "dpo" or "kto".
        path: YAML; None takes the defaults.
        given: "learning_rate=1e-5", "lora.rank=8"; values are read as YAML.
        model: goes before the file's, where it is not empty.

    Raises:
        NotThere: no such file.
        BadInput: one line with everything that is wrong.
    """
    record = RECORDS[task]
    values = read_yaml(path) if path else {}
    problems = [] if isinstance(values, dict) else [f"{path} holds no keys"]
    values = dict(values) if isinstance(values, dict) else {}
    for one in given:
        problems += put(values, one, record)
    if model:
        values["model"] = model
    problems += _unknown(values, task)
    made: Settings | None = None
    try:
        made = record.model_validate(_known(values, record))
    except ValidationError as error:
        problems += [plain(fault) for fault in error.errors(include_url=False)]
    if made is not None:
        problems += list(_together(made))
    if problems or made is None:
        head = f"{len(problems)} problems in the settings" if len(problems) > 1 else "the settings"
        raise BadInput(f"{head}: {'; '.join(problems)}")
    return made


def _unknown(values: Mapping[str, Any], task: str) -> list[str]:
    record = RECORDS[task]
    inner = [f"lora.{key}" for key in Lora.model_fields]
    told = []
    for key, value in values.items():
        if key not in record.model_fields:
            told.append(f"'{key}' is no key of {task}{nearest(str(key), record.model_fields)}")
        elif key == "lora" and isinstance(value, dict):
            told += [
                f"'lora.{k}' is no key of {task}{nearest(f'lora.{k}', inner)}"
                for k in value
                if k not in Lora.model_fields
            ]
    return told


def _known(values: Mapping[str, Any], record: type[BaseModel]) -> dict[str, Any]:
    made = {k: number(v) for k, v in values.items() if k in record.model_fields}
    if isinstance(made.get("lora"), dict):
        made["lora"] = {k: number(v) for k, v in made["lora"].items() if k in Lora.model_fields}
    return made


def _together(made: Settings) -> Iterator[str]:
    """What is wrong with keys that each are right."""
    if not made.model:
        yield "model: needed; a model's folder, or --model"
    if made.anchor and made.method != "full":
        yield "anchor: an adapter starts from no change already; take method full, or leave it at 0"
    if made.method in ("lora", "qlora") and any("lm_head" in name or name == "score" for name in made.lora.targets):
        yield "lora.targets: the head cannot have an adapter"
    if made.method in ("lora", "qlora") and "all-linear" in made.lora.targets and len(made.lora.targets) > 1:
        yield "lora.targets: all-linear stands alone"
    if made.method == "peft":
        from train.peft_methods import peft_problems

        yield from peft_problems(made.peft)
    elif made.peft:
        yield "peft: read where method is peft alone"
    if made.deepspeed:
        from train.deepspeed_config import deepspeed_problems

        yield from deepspeed_problems(made)
    if made.device == "cpu" and made.optimizer.startswith("paged"):
        yield "optimizer: paged ones want a GPU; take adamw_torch or adamw_8bit"
    if made.device == "cpu" and made.dtype == "float16":
        yield "dtype: float16 wants a GPU; take float32, or bfloat16"
    if isinstance(made, KtoSettings) and made.loss == "kto" and made.batch < 2:
        yield "batch: kto estimates the KL from a batch's other answers; take 2 or more, or loss apo_zero_unpaired"
    if isinstance(made, RewardSettings) and made.margin and made.soft_labels:
        yield "margin: people's certainty is in the soft labels already; take one of the two"
    if isinstance(made, DpoSettings):
        yield from _together_dpo(made)


def _together_dpo(made: DpoSettings) -> Iterator[str]:
    if made.label_smoothing and made.loss not in SMOOTHED:
        yield f"label_smoothing: does nothing in loss {made.loss}; take cdpo or robust"
    if made.loss in BATCHWISE and made.soft_labels:
        yield f"soft_labels: loss {made.loss} mixes the pairs of a batch and has no soft form; take sigmoid"
    if made.loss in BATCHWISE and made.weights != "none":
        yield f"weights: loss {made.loss} mixes the pairs of a batch and takes none; take sigmoid"
    if made.loss == "exo_pair" and not 0 < made.label_smoothing < 0.5:
        yield "label_smoothing: exo_pair needs it above 0 and below 0.5; its authors take 0.001"
    if made.loss in ("cdpo", "robust") and not made.label_smoothing:
        yield f"label_smoothing: loss {made.loss} is plain sigmoid without it; name the share of wrong labels"
    if made.loss == "robust" and made.label_smoothing >= 0.5:
        yield "label_smoothing: robust needs it below 0.5"
    if made.soft_labels and made.label_smoothing and made.loss != "exo_pair":
        yield "soft_labels: each pair has its own doubt already; take them or label_smoothing"
