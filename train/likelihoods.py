"""What a model makes of answers that are there already: a language model's log-probabilities, a reward model's scores.

Batches are made by length, so the padding is small; the results stand in the order of the rows.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

BATCH_TOKENS = 2048
"""Tokens of one forward pass, padding counted: a model of 128,000 words makes 1 GB of logits of so many."""


class Likelihood(NamedTuple):
    """Of one answer, given its prompt."""

    total: float
    """Sum over its tokens of log π, in nats; <= 0."""
    tokens: int
    """How many that were; the first token of a text without a prompt has no probability."""

    @property
    def mean(self) -> float:
        """A token's, in nats; 0 for an answer without tokens."""
        return self.total / self.tokens if self.tokens else 0.0


def likelihoods(
    model: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    batch_tokens: int = BATCH_TOKENS,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Likelihood]:
    """log π(answer | prompt) of each row.

    Args:
        model: causal; its gradients are not needed and not made.
        rows: the ids of a prompt and of an answer; the two together at least one token.
        tell: called with how many rows are done since the last call.
    """
    import torch

    found: list[Likelihood] = [Likelihood(0.0, 0)] * len(rows)
    whole = [[*prompt, *answer] for prompt, answer in rows]
    begins = [max(1, len(prompt)) for prompt, _ in rows]
    model.eval()
    with torch.inference_mode():
        for batch in batches([len(one) for one in whole], batch_tokens):
            ids, mask = _padded([whole[i] for i in batch], 0, model.device)
            logits = model(input_ids=ids, attention_mask=mask).logits
            for at, i in enumerate(batch):
                begin, end = begins[i], len(whole[i])
                if end > begin:
                    own = torch.log_softmax(logits[at, begin - 1 : end - 1].float(), dim=-1)
                    picked = own.gather(1, ids[at, begin:end, None])
                    found[i] = Likelihood(float(picked.double().sum()), end - begin)
            tell(len(batch))
    return found


def reward_scores(
    model: Any,
    rows: Sequence[Sequence[int]],
    *,
    batch_tokens: int = 4 * BATCH_TOKENS,
    tell: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """A reward model's score of each whole conversation.

    Args:
        model: for sequence classification with one label; it reads the score at the last token that is no padding.
        rows: ids, each at least one.
    """
    import torch

    found = [0.0] * len(rows)
    padding = model.config.pad_token_id
    model.eval()
    with torch.inference_mode():
        for batch in batches([len(one) for one in rows], batch_tokens if padding is not None else 1):
            ids, mask = _padded([rows[i] for i in batch], padding or 0, model.device)
            scores = model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
            for i, score in zip(batch, scores, strict=True):
                found[i] = float(score)
            tell(len(batch))
    return found


def batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Rows in groups of about one length whose padded tokens are at most `most`, or that have one row; by number."""
    made: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if made and (len(made[-1]) + 1) * lengths[made[-1][0]] <= most:
            made[-1].append(i)
        else:
            made.append([i])
    return made


def _padded(rows: Sequence[Sequence[int]], padding: int, device: Any) -> tuple[Any, Any]:
    """Ids and attention mask, shape (rows, longest), padded to the right."""
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), padding, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(list(row), dtype=torch.long)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)
