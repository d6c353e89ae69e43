"""One cell of bench.estimate: a small random Llama trained two steps by TRL's own trainers, its peak of tensors."""

import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from train.finding import quiet
from train.loading import keep_gradients
from train.peak import peak_of_tensors


class Cell(NamedTuple):
    """A model's shape and a run's settings."""

    task: str
    method: str
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv: int = 4
    inner: int = 320
    words: int = 1024
    tied: bool = False
    length: int = 128
    answer: int = 64
    batch: int = 4
    rank: int = 16
    checkpointing: bool = False
    precompute: bool = False
    ragged: bool = True
    """Rows of several lengths, so that the batch is padded and attention takes a mask."""


def measure(cell: Cell) -> int:
    """Peak bytes of two training steps."""
    quiet()
    import torch

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model = _model(cell, Path(folder) / "model")
        trainer = _trainer(cell, model, Path(folder) / "run")
        with peak_of_tensors(trainer.model) as peak:
            trainer.train()
    return peak.bytes


def _model(cell: Cell, folder: Path) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

    shape: Any = LlamaConfig
    config = shape(
        vocab_size=cell.words,
        hidden_size=cell.width,
        intermediate_size=cell.inner,
        num_hidden_layers=cell.layers,
        num_attention_heads=cell.heads,
        num_key_value_heads=cell.kv,
        tie_word_embeddings=cell.tied,
        pad_token_id=0,
        num_labels=1,
    )
    kind: Any = AutoModelForSequenceClassification if cell.task == "reward" else AutoModelForCausalLM
    model = kind.from_config(config)
    if cell.method == "full":
        return model
    if cell.method == "qlora":
        model.save_pretrained(folder)
        model = kind.from_pretrained(folder, quantization_config=_nf4())
        keep_gradients(model)
    from peft import LoraConfig, get_peft_model

    task = "SEQ_CLS" if cell.task == "reward" else "CAUSAL_LM"
    adapter = LoraConfig(r=cell.rank, lora_alpha=32, target_modules="all-linear", task_type=task)
    return get_peft_model(model, adapter)


def _nf4() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=["score", "lm_head"],
    )


def _trainer(cell: Cell, model: Any, out: Path) -> Any:
    import trl
    from datasets import Dataset

    library: Any = trl
    name = {"sft": "SFT", "reward": "Reward", "dpo": "DPO"}[cell.task]
    make_arguments, trainer_class = getattr(library, f"{name}Config"), getattr(library, f"{name}Trainer")
    more: dict[str, Any] = {"precompute_ref_log_probs": cell.precompute} if cell.task == "dpo" else {}
    arguments = make_arguments(
        output_dir=str(out),
        per_device_train_batch_size=cell.batch,
        max_steps=2,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=cell.checkpointing,
        max_length=None,
        optim="adamw_torch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=100,
        dataloader_pin_memory=False,
        **more,
    )
    made: dict[str, Any] = {
        "model": model,
        "args": arguments,
        "train_dataset": Dataset.from_list(_rows(cell)),
        "processing_class": _tokenizer(cell),
    }
    kind = _unprepared(trainer_class)
    before = {id(p): p.data for p in model.parameters() if p.requires_grad}
    trainer = kind(**made)
    for p in trainer.model.parameters():
        if id(p) in before and p.dtype != before[id(p)].dtype:
            p.data = before[id(p)]
    return trainer


def _unprepared(kind: Any) -> Any:
    class Ready(kind):  # type: ignore[misc]  # TRL's has no types
        """Takes rows that are tokens already."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return Ready


def _rows(cell: Cell) -> list[dict[str, Any]]:
    """Two batches; in each one row is as long as the cell says, the others are shorter where it is ragged."""
    chance = random.Random(0)

    def ids(n: int) -> list[int]:
        return [chance.randrange(5, cell.words) for _ in range(n)]

    made = []
    for i in range(2 * cell.batch):
        cut = (i % cell.batch) if cell.ragged else 0
        answer = max(2, cell.answer - 3 * cut)
        prompt = cell.length - cell.answer - cut
        if cell.task == "sft":
            made.append({"input_ids": ids(prompt + answer), "completion_mask": [0] * prompt + [1] * answer})
        elif cell.task == "reward":
            said = ids(prompt)
            made.append({"chosen_ids": said + ids(answer), "rejected_ids": said + ids(answer)})
        else:
            made.append({"prompt_ids": ids(prompt), "chosen_ids": ids(answer), "rejected_ids": ids(answer)})
    return made


def _tokenizer(cell: Cell) -> Any:
    import transformers
    from tokenizers import Tokenizer, models

    vocab = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"w{n}": n for n in range(3, cell.words)}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    kind: Any = transformers.PreTrainedTokenizerFast
    return kind(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
