"""A small language model made on the spot: tokenizer, weights, and a few hundred steps on the bundled texts.

A Llama in every name and shape that trainers, adapters and 4-bit layers look for, only small (3 layers, 128 wide).
Plain torch on the CPU in fp32; the same seed, steps and threads give the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from train.finding import quiet
from train.sample_text import Document

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant", "tool")
TEMPLATE = """{{- bos_token -}}
{%- if tools -%}
<|tools|>{{ tools | tojson }}<|end|>
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
<|assistant|>{%- generation -%}{{- message.content or '' -}}
{%- if message.tool_calls -%}<|tools|>{{- message.tool_calls | tojson -}}{%- endif -%}
<|end|>{%- endgeneration -%}
{%- else -%}
{{- '<|' + message.role + '|>' + (message.content or '') + '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""
"""Each message is its role's token, its text, and <|end|>; the assistant's part is marked for assistant_only_loss."""


class Shape(NamedTuple):
    """How large the model is and how it learns; the defaults give 0.8 million parameters."""

    words: int = 1024
    width: int = 128
    layers: int = 3
    heads: int = 4
    inner: int = 320
    positions: int = 1024
    batch: int = 2
    window: int = 128
    """Tokens of one training sequence; documents lie end to end in it."""
    check_every: int = 100
    """Steps between looks at the held-out loss."""


class Step(NamedTuple):
    """What was seen after so many steps: losses in nats a token; held_out is None between looks."""

    step: int
    train: float
    held_out: float | None


def make_tokenizer(documents: Sequence[Document], words: int) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer of at most `words` tokens, with the chat template."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    wrapped: Any = transformers.PreTrainedTokenizerFast
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    special = [PAD, BOS, EOS, *(f"<|{role}|>" for role in ROLES), "<|tools|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [m["content"] for document in documents if not document.held_out for m in document.messages]
    bare.train_from_iterator(texts, trainer)
    made: PreTrainedTokenizerFast = wrapped(
        tokenizer_object=bare,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=special[3:],
        chat_template=TEMPLATE,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    return made


def make_model(tokenizer: "PreTrainedTokenizerFast", shape: Shape, seed: int) -> "LlamaForCausalLM":
    """An untrained model for this tokenizer, fp32, weights drawn from the seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        initializer_range=0.06,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def tokens_of(tokenizer: Any, documents: Sequence[Document], held_out: bool, limit: int) -> list[list[int]]:
    """Token ids of each document of one side, cut to `limit`."""
    texts = [tokenizer.apply_chat_template(d.messages, tokenize=False) for d in documents if d.held_out == held_out]
    ids = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=limit)["input_ids"]
    return [list(one) for one in ids]


def learn(
    model: "LlamaForCausalLM",
    train: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    shape: Shape,
    steps: int,
    seed: int,
    tell: Callable[[int], None] = lambda _: None,
) -> Iterator[Step]:
    """Train in place, one `Step` after another; the caller may stop at any.

    Muon for the matrices of the layers (K. Jordan, 2024: an epoch of it does here what three of AdamW do), AdamW for
    embeddings, head and norms; the rate rises for 20 steps and falls on a line towards zero.
    """
    import torch

    torch.manual_seed(seed)
    stream = _windows(train, shape, seed)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "layers" in name]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (torch.optim.Muon(matrices, lr=0.015, weight_decay=0.0), 0.015),
        (torch.optim.AdamW(others, lr=0.01, betas=(0.9, 0.98), weight_decay=0.0), 0.01),
    ]
    model.train()
    for step in range(1, steps + 1):
        share = min(1.0, step / 20) * max(0.03, 1 - step / steps)
        loss: Any = _loss(model, next(stream))
        for optimizer, rate in optimizers:
            optimizer.param_groups[0]["lr"] = rate * share
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        tell(1)
        look = step % shape.check_every == 0 or step == steps
        yield Step(step, loss.item(), mean_loss(model, held_out) if look else None)


def _loss(model: Any, ids: "torch.Tensor") -> "torch.Tensor":
    import torch.nn.functional as F

    logits = model(input_ids=ids).logits[:, :-1]
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


def _windows(train: Sequence[Sequence[int]], shape: Shape, seed: int) -> "Iterator[torch.Tensor]":
    """Batches (batch, window) without end: documents in a new order each time round, end to end."""
    import numpy as np
    import torch

    draw = np.random.default_rng(seed)
    need = shape.batch * shape.window
    waiting: list[int] = []
    while True:
        for i in draw.permutation(len(train)):
            waiting += train[i]
            while len(waiting) >= need:
                yield torch.tensor(waiting[:need]).view(shape.batch, shape.window)
                waiting = waiting[need:]


def mean_loss(model: Any, documents: Sequence[Sequence[int]], batch: int = 32) -> float:
    """Nats a token over every token but the first of each document, each document read by itself."""
    import torch
    import torch.nn.functional as F

    was = model.training
    model.eval()
    total, count = 0.0, 0
    ordered = sorted(documents, key=len)
    with torch.no_grad():
        for at in range(0, len(ordered), batch):
            some = ordered[at : at + batch]
            longest = max(map(len, some))
            ids = torch.zeros((len(some), longest), dtype=torch.long)
            labels = torch.full((len(some), longest), -100)
            for i, tokens in enumerate(some):
                ids[i, : len(tokens)] = labels[i, : len(tokens)] = torch.tensor(tokens)
            # Padding stands on the right, so no token that counts can see it.
            logits = model(input_ids=ids).logits[:, :-1]
            total += F.cross_entropy(logits.transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="sum").item()
            count += int((labels[:, 1:] != -100).sum())
    model.train(was)
    return total / count


def on_threads(threads: int) -> None:
    """Fix what the bytes of a result hang on: threads, and algorithms that give one answer."""
    import torch

    quiet()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights, configuration and tokenizer, as from_pretrained reads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
