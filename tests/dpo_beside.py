"""What the tests of DPO share: a model with an adapter that does something, rows, our trainer and TRL's own."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from train.exports import Pair
from train.rows import Row, Setup
from train.settings import DpoSettings
from train.tokens import Tokens


def rows(n: int, *, seed: int = 1, longest: int = 24, words: int = 400) -> list[Row]:
    """Pairs of random tokens, each of other lengths."""
    draw = Random(seed)

    def some(least: int) -> list[int]:
        return [draw.randrange(8, words) for _ in range(draw.randint(least, longest))]

    made = []
    for i in range(n):
        tokens = Tokens(some(3), some(2), some(2), 0, "")
        source = Pair(f"r{i}", [], [], [], None, 1.0, 1.0, "train", f"row {i}", {})
        made.append(Row(f"r{i}", tokens, 1.0, 1.0, None, source))
    return made


def model(folder: Path, *, adapter: bool = True, stirred: bool = False, four_bit: bool = False, rank: int = 4) -> Any:
    """The tiny model with a new LoRA adapter; `stirred`, one that was trained already, as it were."""
    import torch
    from peft import LoraConfig, get_peft_model

    from train.loading import load_causal

    made = load_causal(str(folder), four_bit=four_bit)
    if not adapter:
        return made
    torch.manual_seed(3)
    wanted = ["q_proj", "v_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=rank, lora_alpha=8, target_modules=wanted, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers by a name that is going away
        made = get_peft_model(made, config)
    if stirred:
        stir(made)
    return made


def stir(model: Any, by: float = 0.05) -> None:
    """Move every trained weight a little, always the same way."""
    import torch

    draw = torch.Generator().manual_seed(4)
    for p in model.parameters():
        if p.requires_grad:
            p.data += by * torch.randn(p.shape, generator=draw).to(p.dtype)


class Beside(NamedTuple):
    """Where things lie, and how long to train."""

    folder: Path
    out: Path
    settings: Mapping[str, Any] = MappingProxyType({})
    arguments: Mapping[str, Any] = MappingProxyType({})


def trainer(
    at: Beside, made: Any, train: list[Row], validation: list[Row] | None = None, callbacks: list[Any] | None = None
) -> Any:
    """Our trainer over these rows."""
    from train.dpo_trainer import make_trainer
    from train.loading import load_tokenizer

    settings = DpoSettings(**{"model": str(at.folder), "dtype": "float32", **at.settings})
    setup = Setup(
        settings, made, load_tokenizer(str(at.folder)), train, validation or [], arguments(at), callbacks or []
    )
    return make_trainer(setup)


def arguments(at: Beside) -> dict[str, Any]:
    """What the run's driver would give: small, on the CPU, in fp32."""
    return {
        "output_dir": str(at.out),
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "max_steps": 3,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 0,
        **at.arguments,
    }


def trl_trainer(at: Beside, made: Any, train: list[Row], **more: Any) -> Any:
    """TRL's own, on the same tokens."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from train.loading import load_tokenizer

    class Tokenised(DPOTrainer):  # type: ignore[misc]
        """TRL's trainer, given the tokens it would have made."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    columns = {
        "prompt_ids": [row.tokens.prompt for row in train],
        "chosen_ids": [row.tokens.chosen for row in train],
        "rejected_ids": [row.tokens.rejected for row in train],
    }
    given = {**arguments(at), "bf16": False, "activation_checkpointing": False, "max_length": None, **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = DPOConfig(**given)
        return Tokenised(
            model=made,
            args=args,
            train_dataset=Dataset.from_dict(columns),
            processing_class=load_tokenizer(str(at.folder)),
        )
