"""A DeepSpeed configuration held against the run it is for, before anything is loaded: validated, and not run here.

    accelerate launch --num_processes 8 -m train.dpo EXPORT --set deepspeed=train/configs/deepspeed_zero2.json

DeepSpeed wants GPUs and is no part of the installation, so no test has trained with it. What can be known without it
is checked: its keys, what it says of batches and precision beside the run's settings, and what is known not to work.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from data.bundled import bundled
from data.errors import BadInput, NotThere, nearest, one_line

if TYPE_CHECKING:
    from train.settings import Settings

KEYS = frozenset(
    {
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
        "optimizer",
        "scheduler",
        "bf16",
        "fp16",
        "torch_autocast",
        "zero_optimization",
        "zero_allow_untested_optimizer",
        "zero_force_ds_cpu_optimizer",
        "communication_data_type",
        "prescale_gradients",
        "gradient_predivide_factor",
        "sparse_gradients",
        "steps_per_print",
        "wall_clock_breakdown",
        "dump_state",
        "activation_checkpointing",
        "aio",
        "flops_profiler",
        "comms_logger",
        "checkpoint",
        "data_types",
        "tensorboard",
        "wandb",
        "csv_monitor",
        "elasticity",
        "compression_training",
        "tensor_parallel",
        "compile",
    }
)
ZERO = frozenset(
    {
        "stage",
        "contiguous_gradients",
        "reduce_scatter",
        "reduce_bucket_size",
        "allgather_partitions",
        "allgather_bucket_size",
        "overlap_comm",
        "load_from_fp32_weights",
        "elastic_checkpoint",
        "offload_param",
        "offload_optimizer",
        "sub_group_size",
        "stage3_prefetch_bucket_size",
        "stage3_param_persistence_threshold",
        "stage3_model_persistence_threshold",
        "stage3_max_live_parameters",
        "stage3_max_reuse_distance",
        "stage3_gather_16bit_weights_on_model_save",
        "stage3_module_granularity_threshold",
        "use_all_reduce_for_fetch_params",
        "ignore_unused_parameters",
        "round_robin_gradients",
        "use_multi_rank_bucket_allreduce",
        "zero_hpz_partition_size",
        "zero_quantized_weights",
        "zero_quantized_nontrainable_weights",
        "zero_quantized_gradients",
        "mics_shard_size",
        "mics_hierarchical_params_gather",
        "memory_efficient_linear",
        "log_trace_cache_warnings",
    }
)
_MOST = 1_000_000  # bytes of a file


def deepspeed_problems(settings: "Settings") -> Iterator[str]:
    """What is wrong with the file that `deepspeed` names, for a run with these settings; nothing where it fits."""
    try:
        text = bundled(settings.deepspeed).read_text("utf-8")
        config = json.loads(text) if len(text) < _MOST else None
    except (OSError, ValueError, RecursionError):
        yield f"deepspeed: {one_line(settings.deepspeed, 120)} is no file of JSON; train/configs/ has two"
        return
    if not isinstance(config, dict):
        yield f"deepspeed: {one_line(settings.deepspeed, 120)} holds no keys"
        return
    zero = config.get("zero_optimization")
    zero = zero if isinstance(zero, dict) else {}
    yield from _unknown(config, KEYS, "")
    yield from _unknown(zero, ZERO, "zero_optimization.")
    yield from _contradictions(config, settings)
    yield from _offload(config, zero)
    stage = zero.get("stage", 0)
    if isinstance(stage, bool) or stage not in (0, 1, 2, 3):
        yield f"deepspeed: zero_optimization.stage is {one_line(str(stage), 20)}, not 0, 1, 2 or 3"
    if stage == 3:
        yield from _stage_3(zero, settings)
    if settings.device == "cpu":
        yield "deepspeed: wants GPUs; take device auto, or leave it out (DDP and FSDP run on CPUs)"


def check_deepspeed(settings: "Settings") -> str:
    """What to tell of a configuration that fits; empty where there is none.

    Raises:
        NotThere: DeepSpeed is not installed.
        BadInput: it was asked for without a file that can be validated.
    """
    if not settings.deepspeed:
        if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true":
            raise BadInput("--use_deepspeed: leave it out, and name DeepSpeed's file with --set deepspeed=FILE")
        return ""
    told = f"deepspeed: {settings.deepspeed} fits these settings (validated; DeepSpeed has not been run here)"
    if find_spec("deepspeed") is None:
        raise NotThere(f"{told}, and it is not installed: pip install deepspeed beside GPUs, or leave the key out")
    return told


def _unknown(config: Mapping[str, Any], known: Collection[str], before: str) -> Iterator[str]:
    for key in config:
        if key not in known:
            yield f"deepspeed: '{before}{one_line(key, 60)}' is no key of DeepSpeed's{nearest(key, known)}"


def _contradictions(config: Mapping[str, Any], settings: "Settings") -> Iterator[str]:
    """Where the file says something else than the run's settings; "auto" takes theirs."""
    processes = int(os.environ.get("WORLD_SIZE") or 0)
    ours: dict[str, tuple[Any, str]] = {
        "train_micro_batch_size_per_gpu": (settings.batch, "batch"),
        "gradient_accumulation_steps": (settings.accumulation, "accumulation"),
        "gradient_clipping": (settings.max_grad_norm, "max_grad_norm"),
    }
    if processes:
        whole = settings.batch * settings.accumulation * processes
        ours["train_batch_size"] = (whole, f"batch · accumulation · {processes} processes")
    for key, (value, name) in ours.items():
        if config.get(key, "auto") not in ("auto", value):
            said = one_line(str(config[key]), 20)
            yield f'deepspeed: {key} is {said}, and {name} is {value}; write "auto"'
    on = {}
    for key, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        part = config.get(key)
        on[key] = part.get("enabled", False) if isinstance(part, dict) else "auto"
        if on[key] != "auto" and bool(on[key]) != (settings.dtype == dtype) and settings.dtype != "auto":
            yield f'deepspeed: {key}.enabled is {str(on[key]).lower()}, and dtype is {settings.dtype}; write "auto"'
    if on["bf16"] is True and on["fp16"] is True:
        yield "deepspeed: bf16 and fp16 cannot both be enabled"
    for key in ("optimizer", "scheduler"):
        if key in config:
            yield f"deepspeed: {key} stands in the settings ({key if key == 'optimizer' else 'schedule'}); leave it out"


def _offload(config: Mapping[str, Any], zero: Mapping[str, Any]) -> Iterator[str]:
    for name, least in (("offload_optimizer", 1), ("offload_param", 3)):
        part = zero.get(name)
        device = part.get("device", "none") if isinstance(part, dict) else "none"
        if device not in ("none", "cpu", "nvme"):
            yield f"deepspeed: {name}.device is {one_line(str(device), 20)}, not none, cpu or nvme"
        elif device != "none":
            if zero.get("stage", 0) in range(least):
                yield f"deepspeed: {name} wants stage {least} or above"
            if device == "nvme" and isinstance(part, dict) and not part.get("nvme_path"):
                yield f"deepspeed: {name}.nvme_path is missing"
            if name == "offload_optimizer" and config.get("zero_force_ds_cpu_optimizer") is not False:
                yield "deepspeed: offload_optimizer with an optimizer of ours wants zero_force_ds_cpu_optimizer: false"


def _stage_3(zero: Mapping[str, Any], settings: "Settings") -> Iterator[str]:
    """Known not to work: TRL issues 6089 (dtypes of adapters), 1584 (saving), and heads read without a call."""
    task = type(settings).__name__.removesuffix("Settings").lower()
    if settings.method == "qlora":
        yield "deepspeed: stage 3 cannot share out weights in 4 bits; take stage 2, or lora"
    if task != "reward":
        yield (
            f"deepspeed: stage 3 keeps the head's weights apart, which {task}'s loss reads without calling it; "
            "take stage 2, or FSDP"
        )
    if settings.method in ("lora", "peft") and settings.dtype != "float32":
        yield "deepspeed: stage 3 wants one dtype, and an adapter is float32; take stage 2, or dtype float32"
    if settings.anchor:
        yield "deepspeed: stage 3 leaves no whole weights for the anchor; take stage 2, or anchor 0"
    if zero.get("stage3_gather_16bit_weights_on_model_save") is not True:
        yield "deepspeed: stage3_gather_16bit_weights_on_model_save has to be true, or no whole model can be saved"
