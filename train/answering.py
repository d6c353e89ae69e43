"""A model's answers to prompts, in batches: greedy or sampled, and the same whatever else is in the batch.

    loaded = open_model("workspace/runs/dpo-sky")
    answers = answer_prompts(loaded.model, loaded.tokenizer, prompts, sampling=Sampling(temperature=0.7), seed=1)

Prompts are sorted by length, padded on the left and masked, and rows that have ended leave the batch. Sampling draws
from a generator of the prompt's own (seed, prompt, which sample of it this is), never from one that the batch shares.
So an answer hangs on its batch only through the order in which floats are summed: in fp32 logits differ by about 1e-6,
which changes a token only where two candidates are that close; in bf16 by about 1e-2, which does so now and then.
"""

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from data.errors import BadInput, one_line
from data.records import digest
from train.exports import Message

Tools = list[dict[str, Any]] | None


class Sampling(NamedTuple):
    """How the next token is taken."""

    temperature: float = 0.0
    """Logits are divided by it; 0 takes the most probable token each time (greedy)."""
    top_p: float = 1.0
    """Draw from the fewest tokens whose probability reaches this; in (0, 1]."""
    top_k: int = 0
    """Draw from so many most probable tokens; 0 from all."""
    max_tokens: int = 256
    """Most tokens of an answer."""

    def checked(self) -> "Sampling":
        """These settings, or BadInput naming what cannot be."""
        if not 0 <= self.temperature <= 100:
            raise BadInput(f"temperature {self.temperature:g} is outside 0 to 100; 0 is greedy, 1 is as the model says")
        if not 0 < self.top_p <= 1:
            raise BadInput(f"top_p {self.top_p:g} is outside 0 to 1; 1 draws from all tokens")
        if self.top_k < 0 or self.max_tokens < 1:
            raise BadInput(f"top_k {self.top_k} or max_tokens {self.max_tokens} is too small; at least 0, and 1")
        return self


GREEDY = Sampling()
LEAST, MOST = 8, 64
"""Rows of a batch whose size nobody has set."""
ROOM = 2**30
"""Bytes of keys and values that such a batch may grow to, above LEAST rows."""


class Answered(NamedTuple):
    """One answer."""

    text: str
    """What was said, without the tokens that end it."""
    finish: Literal["stop", "length"]
    """It ended itself; or was cut at `max_tokens`, or at the end of the model's context."""
    tokens: int
    """How many were made, the one that ends it among them; 0 where the prompt filled the context."""

    @property
    def messages(self) -> list[Message]:
        """The answer as an export holds it: one message by the assistant."""
        return [{"role": "assistant", "content": self.text}]


def answer_prompts(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[Message]],
    *,
    sampling: Sampling = GREEDY,
    tools: Sequence[Tools] | None = None,
    samples: Sequence[int] | None = None,
    batch: int | None = None,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Answered]:
    """One answer to each prompt, in their order.

    Args:
        model: a causal model as `open_model` gives it, with or without adapter; it is put into evaluation mode, and
            back.
        tools: what each prompt offers its model; None where none offers any.
        samples: which sample of its prompt each answer is, for sampling; None counts how often the prompt has stood
            before in the list, so a prompt that is listed three times gets three answers.
        batch: rows of one forward pass, at least 1; None for as many as memory is set aside for (`rows_at_once`).
        tell: called with the number of answers that are ready anew.

    Raises:
        BadInput: settings outside their range, or a prompt that the chat template refuses.
    """
    rendered = render(tokenizer, prompts, tools)
    for number, one in enumerate(rendered, 1):
        if isinstance(one, str):
            raise BadInput(f"prompt {number}: {one}")
    ids = [one for one in rendered if not isinstance(one, str)]
    counted = _counted(ids) if samples is None else samples
    found: dict[int, Answered] = {}
    for made in answer_tokens(model, tokenizer, ids, counted, sampling=sampling, batch=batch, seed=seed):
        found.update(made)
        tell(len(made))
    return [found[at] for at in range(len(ids))]


def render(
    tokenizer: Any, prompts: Sequence[list[Message]], tools: Sequence[Tools] | None = None
) -> list[list[int] | str]:
    """Each prompt's token ids by the chat template, ready for an answer; or why the template refuses it."""
    from jinja2 import TemplateError

    texts: list[str | None] = []
    faults: dict[int, str] = {}
    for at, messages in enumerate(prompts):
        offered = tools[at] if tools else None
        try:
            texts.append(
                tokenizer.apply_chat_template(messages, tools=offered, tokenize=False, add_generation_prompt=True)
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            faults[at] = f"the chat template refuses it: {one_line(str(error), 200)}"
            texts.append(None)
    whole = [text or "" for text in texts]
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"] if whole else []
    return [faults[at] if at in faults else list(one) for at, one in enumerate(ids)]


def answer_tokens(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    samples: Sequence[int],
    *,
    sampling: Sampling,
    batch: int | None,
    seed: int,
    done: Container[int] = (),
) -> Iterator[dict[int, Answered]]:
    """Answers to prompts given as tokens, a batch at a time, by the prompt's place in the list.

    Batches are cut over all prompts, and one whose places are all in `done` is passed over: a run that goes on after
    a kill makes the same batches, and so the same floats, as one that was never stopped.

    Args:
        prompts: token ids, by `render`.
        samples: which sample of its prompt each answer is.
        batch: rows of one forward pass; None as in `answer_prompts`.
    """
    sampling.checked()
    if batch is not None and batch < 1:
        raise BadInput(f"a batch of {batch} rows cannot be; take 1 or more")
    order = sorted(range(len(prompts)), key=lambda at: (len(prompts[at]), at))
    first = 0
    while first < len(order):
        size = batch or rows_at_once(model, [len(prompts[at]) for at in order[first:]], sampling.max_tokens)
        places = order[first : first + size]
        first += size
        if all(at in done for at in places):
            continue
        seeds = [digest([seed, samples[at], prompts[at]]) for at in places]
        with _ready(model):
            made = _generate(model, tokenizer, [prompts[at] for at in places], seeds, sampling)
        texts = tokenizer.batch_decode([ids for ids, _ in made], skip_special_tokens=True)
        yield {
            at: Answered(text, "stop" if ended else "length", len(ids))
            for at, text, (ids, ended) in zip(places, texts, made, strict=True)
        }


def rows_at_once(model: Any, lengths: Sequence[int], more: int) -> int:
    """How many of the first prompts to answer in one batch: from LEAST to MOST, by the memory of their answers.

    A step of a small batch costs hardly less than one of a large, so the fewer batches, the sooner done.

    Args:
        lengths: of the prompts in tokens, from short to long; at least one.
        more: tokens of an answer, at most.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
    size = 1
    while size < min(MOST, len(lengths)) and (size < LEAST or (size + 1) * (lengths[size] + more) * token <= ROOM):
        size += 1
    return size


def _counted(prompts: Sequence[list[int]]) -> list[int]:
    """How often each prompt has stood in the list before."""
    seen: dict[tuple[int, ...], int] = {}
    found = []
    for ids in map(tuple, prompts):
        found.append(seen.get(ids, 0))
        seen[ids] = found[-1] + 1
    return found


@contextmanager
def _ready(model: Any) -> Iterator[None]:
    """Evaluation mode, and back to what it was."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


def stop_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The ids that end an answer: the tokenizer's, and those that the model's generation settings name."""
    settings = getattr(model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    ids = named if isinstance(named, list) else [named]
    return sorted({int(one) for one in (*ids, tokenizer.eos_token_id) if one is not None})


def _generate(
    model: Any, tokenizer: Any, prompts: list[list[int]], seeds: list[str], sampling: Sampling
) -> list[tuple[list[int], bool]]:
    """Continue every prompt of one batch; for each the new ids and whether it ended itself."""
    import torch

    room = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    made: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    most = [min(sampling.max_tokens, room - len(ids)) for ids in prompts]
    rows = [row for row, limit in enumerate(most) if limit > 0]
    if not rows:
        return list(zip(made, ended, strict=True))
    stops = set(stop_tokens(model, tokenizer))
    draws = [_Draws(one) for one in seeds]
    device = next(model.parameters()).device
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids, mask = (one.to(device) for one in _left_padded([prompts[row] for row in rows], pad or 0))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    past: Any = None
    with torch.no_grad():
        while rows:
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=True,
                logits_to_keep=1,
            )
            past = out.past_key_values
            taken = _take(out.logits[:, -1], [draws[row] for row in rows], sampling)
            going = []
            for place, (row, token) in enumerate(zip(rows, taken, strict=True)):
                made[row].append(token)
                ended[row] = token in stops
                if not ended[row] and len(made[row]) < most[row]:
                    going.append(place)
            if len(going) < len(rows) and going:
                kept = torch.tensor(going, device=device)
                past.batch_select_indices(kept)
                mask, positions = mask[kept], positions[kept]
            rows = [rows[place] for place in going]
            ids = torch.tensor([[made[row][-1]] for row in rows], device=device)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return list(zip(made, ended, strict=True))


def _left_padded(prompts: list[list[int]], pad: int) -> tuple[Any, Any]:
    import torch

    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, tokens in enumerate(prompts):
        ids[row, longest - len(tokens) :] = torch.tensor(tokens)
        mask[row, longest - len(tokens) :] = 1
    return ids, mask


class _Draws:
    """Numbers in [0, 1), one after another, from a prompt's own seed: a hash of seed and count."""

    def __init__(self, seed: str) -> None:
        self.seed, self.count = seed, 0

    def next(self) -> float:
        spelt = hashlib.sha256(f"{self.seed} {self.count}".encode()).digest()
        self.count += 1
        return int.from_bytes(spelt[:8], "big") / 2**64


def _take(logits: Any, draws: list[_Draws], sampling: Sampling) -> list[int]:
    """The next token of each row; logits has shape (rows, vocabulary)."""
    import torch

    if sampling.temperature == 0:
        return [int(one) for one in logits.argmax(dim=-1)]
    scaled = logits.double() / sampling.temperature
    ranked, tokens = scaled.sort(dim=-1, descending=True, stable=True)
    if sampling.top_k:
        ranked, tokens = ranked[:, : sampling.top_k], tokens[:, : sampling.top_k]
    shares = ranked.softmax(dim=-1)
    before = shares.cumsum(dim=-1) - shares
    shares = shares.where(before < sampling.top_p, 0.0)  # the first always stays
    heaped = shares.cumsum(dim=-1)
    drawn = torch.tensor([[one.next()] for one in draws], dtype=heaped.dtype, device=heaped.device)
    places = torch.searchsorted(heaped, drawn * heaped[:, -1:], right=True)
    last = (shares > 0).sum(dim=-1, keepdim=True) - 1
    return [int(one) for one in tokens.gather(1, places.minimum(last))[:, 0]]
