"""What a reward model makes of new answers, each as the whole dialogue that its own template renders."""

from collections.abc import Callable, Sequence
from typing import Any

from train.exports import Message
from train.likelihoods import reward_scores


def score_answers(
    loaded: Any,
    answers: Sequence[tuple[Sequence[Message], str, Any]],
    longest: int | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> list[float | None]:
    """The score of each answer to its prompt; None for one that is longer than the model can take.

    Args:
        loaded: from train.loading.open_model, kind "reward".
        answers: prompt, answer, tools.
        longest: most tokens of a dialogue.
    """
    texts = [
        loaded.tokenizer.apply_chat_template(
            [*prompt, {"role": "assistant", "content": text}], tools=tools, tokenize=False, add_generation_prompt=False
        )
        for prompt, text, tools in answers
    ]
    if not texts:
        return []
    ids = loaded.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    fits = [i for i, one in enumerate(ids) if one and (longest is None or len(one) <= longest)]
    found: list[float | None] = [None] * len(ids)
    for i, score in zip(fits, reward_scores(loaded.model, [ids[i] for i in fits], tell=tell), strict=True):
        found[i] = score
    return found
