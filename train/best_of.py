"""Best of n: the answer that a reward model scores highest, as a row to imitate (rejection sampling).

A prompt whose best answer is below a floor gives no row, and an answer that was cut off is not imitated. The more
that are tried, the further the best one's score lies above what the reward model would say of it afresh: choosing
the greatest of n noisy scores picks noise too (L. Gao et al., arXiv 2210.10760). So n stands in every row.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from data.records import Response
from train.exports import Message
from train.prompt_rows import Asked


class Scored(NamedTuple):
    """An answer and its score; None where the dialogue is longer than the reward model can read."""

    response: Response
    score: float | None


class Choice(NamedTuple):
    """What became of one prompt: a row to train on, or the reason why there is none."""

    row: dict[str, Any] | None
    left_out: dict[str, Any] | None


def choose(asked: Asked, scored: Sequence[Scored], floor: float | None, *, keep_cut: bool = False) -> Choice:
    """The best of a prompt's answers, the first among equals.

    Args:
        floor: a best score below it is not good enough; None takes any.
        keep_cut: an answer that was cut off at its limit may be chosen too.
    """
    prompt = asked.prompt
    # Rounded before anything is decided, so that the rows and the floor speak of the same number.
    scored = [one._replace(score=None if one.score is None else round(one.score, 6)) for one in scored]
    scores = [one.score for one in scored]
    able = [one for one in scored if one.score is not None and (keep_cut or one.response.finish_reason == "stop")]
    told = {"prompt_id": prompt.id, "tried": len(scored), "scores": scores}
    if not able:
        cut = sum(one.response.finish_reason != "stop" for one in scored)
        reason = f"{cut} of {len(scored)} answers were cut off at their limit, the others are too long to score"
        return Choice(None, {**told, "reason": reason})
    best = max(able, key=lambda one: (one.score, -one.response.sample_index))
    assert best.score is not None
    if floor is not None and best.score < floor:
        return Choice(None, {**told, "reason": f"the best score, {best.score:.6g}, is below the floor of {floor:g}"})
    row = {
        "id": best.response.id,
        "prompt_id": prompt.id,
        "response_id": best.response.id,
        "prompt": [m.plain() for m in prompt.messages],
        "completion": [m.plain() for m in best.response.messages],
        "tools": prompt.tools,
        "score": best.score,
        "scores": scores,
        "tried": len(scored),
        "weight": 1.0,
        "source": "model",
        "model": best.response.model,
        "cluster": asked.cluster,
        "split": asked.split,
        "language": prompt.language,
        "tags": prompt.tags,
        "licence": prompt.licence,
        "method": f"best of {len(scored)} by a reward model",
    }
    return Choice(row, None)


def score_dialogues(
    model: Any,
    tokenizer: Any,
    dialogues: Sequence[tuple[Sequence[Message], Any]],
    *,
    batch: int = 8,
    tell: Callable[[int], None] = lambda _: None,
) -> list[float | None]:
    """A reward model's score of whole dialogues: what its head says at the last token.

    Args:
        model: as `open_model(..., kind="reward")` gives it.
        dialogues: messages that end with the answer, and tools.

    Returns:
        One score each, unbounded, greater is better; None for a dialogue longer than the model's context.
    """
    ids = [
        tokenizer(
            tokenizer.apply_chat_template(list(messages), tools=tools, tokenize=False),
            add_special_tokens=False,
            verbose=False,
        )["input_ids"]
        for messages, tools in dialogues
    ]
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    found: list[float | None] = [None] * len(ids)
    places = sorted((at for at, one in enumerate(ids) if 0 < len(one) <= room), key=lambda at: (len(ids[at]), at))
    for first in range(0, len(places), batch):
        some = places[first : first + batch]
        for at, score in zip(some, _score_batch(model, tokenizer, [ids[at] for at in some]), strict=True):
            found[at] = score
        tell(len(some))
    return found


def _score_batch(model: Any, tokenizer: Any, ids: list[list[int]]) -> Iterator[float]:
    """Padded on the right, so that no token sees padding; each score is of its own last token."""
    import torch

    longest = max(map(len, ids))
    device = next(model.parameters()).device
    padded = torch.full((len(ids), longest), tokenizer.pad_token_id)
    mask = torch.zeros((len(ids), longest), dtype=torch.long)
    for row, tokens in enumerate(ids):
        padded[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    with torch.no_grad():
        logits = model(input_ids=padded.to(device), attention_mask=mask.to(device)).logits
    yield from (float(one) for one in logits[:, 0].float().cpu())
