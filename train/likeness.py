"""How far two forms of one model are apart: next-token distributions, or scores, over the same texts.

    likeness(unmerged, merged, rows)       top-1 agreement, KL divergence in nats a token, logits
    score_likeness(unmerged, merged, rows) scores, and the order of two answers

KL is of the form from the reference, sum over the vocabulary of p (log p - log q), p the reference's, in float64
(S. Kullback and R. Leibler, 1951). It is counted where a token of an answer is predicted.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


class HeldOut(NamedTuple):
    """A text as tokens; what is compared begins at `start`."""

    ids: list[int]
    start: int
    """The first token whose prediction counts, at least 1."""
    pair: int = -1
    """Rows of one number are two answers to a prompt, the better one first; -1: it stands alone."""


class Likeness(NamedTuple):
    """How like a form is to its reference."""

    measure: str
    """"tokens" (of answers) or "scores" (of whole dialogues)."""
    n: int
    """Tokens predicted, or dialogues scored."""
    texts: int
    agreement: float
    """Share of tokens at which both have the same likeliest token; of pairs that both put in the same order."""
    difference: float
    """Mean KL divergence, nats a token; for scores the mean absolute difference."""
    greatest: float
    """The greatest of it at one token, or of one dialogue."""
    logits: float
    """Greatest absolute difference of a logit, or of a score."""
    loss: float | None = None
    """What the form loses on the tokens that stand there, in nats a token: its perplexity's logarithm."""
    reference_loss: float | None = None

    def rounded(self) -> dict[str, Any]:
        """As a report keeps it: 9 digits after the point."""
        return {k: round(v, 9) if isinstance(v, float) else v for k, v in self._asdict().items()}


def likeness(
    reference: Any,
    form: Any,
    rows: Sequence[HeldOut],
    *,
    batch: int = 4,
    tell: Callable[[int], None] = lambda _: None,
) -> Likeness:
    """Compare two language models token by token over the same texts, both in memory at once.

    Args:
        rows: at least one, each with a token at or after its start.
        tell: called with the number of texts that are done anew.
    """
    import torch

    same = count = 0
    total = greatest = logits = loss = was = 0.0
    for some in _batches(rows, batch):
        one, other = (_logits(model, some) for model in (reference, form))
        for row, a, b in zip(some, one, other, strict=True):
            first = a[row.start - 1 : len(row.ids) - 1].double()
            second = b[row.start - 1 : len(row.ids) - 1].double().to(first.device)
            p, q = first.log_softmax(-1), second.log_softmax(-1)
            apart = (p.exp() * (p - q)).sum(-1).clamp(min=0)
            same += int((first.argmax(-1) == second.argmax(-1)).sum())
            count += len(apart)
            total += float(apart.sum())
            greatest = max(greatest, float(apart.max()))
            logits = max(logits, float(torch.abs(first - second).max()))
            there = torch.tensor(row.ids[row.start :], device=p.device)[:, None]
            was -= float(p.gather(1, there).sum())
            loss -= float(q.gather(1, there).sum())
        tell(len(some))
    return Likeness(
        "tokens", count, len(rows), same / count, total / count, greatest, logits, loss / count, was / count
    )


def score_likeness(
    reference: Any,
    form: Any,
    rows: Sequence[HeldOut],
    *,
    batch: int = 4,
    tell: Callable[[int], None] = lambda _: None,
) -> Likeness:
    """Compare two reward models dialogue by dialogue, and in which order they put the two answers of each pair."""
    made: list[tuple[HeldOut, float, float]] = []
    for some in _batches(rows, batch):
        one, other = (_logits(model, some)[:, 0].double().cpu().tolist() for model in (reference, form))
        made += zip(some, one, other, strict=True)
        tell(len(some))
    pairs: dict[int, list[tuple[float, float]]] = {}
    for row, a, b in made:
        if row.pair >= 0:
            pairs.setdefault(row.pair, []).append((a, b))
    two = [found for found in pairs.values() if len(found) == 2]
    same = sum((x[0] > y[0]) == (x[1] > y[1]) for x, y in two)
    apart = [abs(a - b) for _, a, b in made]
    agreement = same / len(two) if two else 1.0
    return Likeness("scores", len(made), len(rows), agreement, sum(apart) / len(apart), max(apart), max(apart))


def _batches(rows: Sequence[HeldOut], batch: int) -> Iterator[list[HeldOut]]:
    ordered = sorted(rows, key=lambda row: (len(row.ids), row.pair))
    for at in range(0, len(ordered), batch):
        yield ordered[at : at + batch]


def _logits(model: Any, rows: list[HeldOut]) -> Any:
    """Shape (rows, longest, vocabulary) of a language model, (rows, 1) of a reward model; padding on the right."""
    import torch

    longest = max(len(row.ids) for row in rows)
    device = next(model.parameters()).device
    ids = torch.full((len(rows), longest), model.config.get_text_config().pad_token_id or 0)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = torch.tensor(row.ids)
        mask[at, : len(row.ids)] = 1
    with torch.no_grad():
        return model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits.float()
