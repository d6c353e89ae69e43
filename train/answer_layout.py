"""Pairs as sequences, two ways: one sequence a pair with the prompt shared, or two with a prompt each.

    shared      [prompt, chosen, rejected]      positions of rejected start again after the prompt; a mask keeps the
                                                answers from seeing each other: P + C + R tokens a pair
    two         [prompt, chosen], [prompt, rejected]                               2P + C + R tokens

Both give each answer's token the same context at the same positions, so the same log-probabilities (F. Wang, S.
Hegde, arXiv 2410.20305). Only positions that predict a token of an answer reach the head.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from train.tokens import Tokens

if TYPE_CHECKING:
    from torch import Tensor

PROMPT, CHOSEN, REJECTED, PADDING = 0, 1, 2, -1


def lay_out(pairs: Sequence[Tokens], pad: int, *, shared: bool, prompts: bool = False) -> dict[str, "Tensor"]:
    """A batch of n pairs as tensors.

    Args:
        pairs: n >= 1, cut to length already.
        pad: id that fills up the right side of shorter sequences.
        shared: one sequence a pair, or two: all chosen, then all rejected.
        prompts: the tokens of prompts are targets too (ORPO imitates the whole dialogue).

    Returns:
        input_ids, position_ids, segments: (n or 2n, S); `segments` tells prompt, chosen, rejected and padding apart.
        take, owner, column, targets: (N,), one entry a predicted token: where in the flattened batch it is predicted,
            whose it is (0 … n−1 chosen, n … 2n−1 rejected, 2n … 3n−1 prompts), its place there, its id.
        lengths: (2n,), tokens of each answer, the first of an answer without prompt included, which none predicts.
    """
    import torch

    n = len(pairs)
    rows = [_whole(one) for one in pairs] if shared else [_half(one, CHOSEN) for one in pairs]
    if not shared:
        rows += [_half(one, REJECTED) for one in pairs]
    width = max(1, max(len(ids) for ids, _, _ in rows))
    filled = [(ids + [pad] * (width - len(ids)), at, segments) for ids, at, segments in rows]
    take: list[int] = []
    owner: list[int] = []
    column: list[int] = []
    targets: list[int] = []
    for who, (row, first, before, ids) in _answers(pairs, n, shared, prompts):
        start = 0 if before >= 0 else 1  # nothing comes before the first token of a sequence
        base = row * width
        take += [base + (before if k == 0 else first + k - 1) for k in range(start, len(ids))]
        owner += [who] * (len(ids) - start)
        column += range(start, len(ids))
        targets += ids[start:]
    made = {
        "input_ids": [ids for ids, _, _ in filled],
        "position_ids": [at + [0] * (width - len(at)) for _, at, _ in filled],
        "segments": [of + [PADDING] * (width - len(of)) for _, _, of in filled],
        "take": take,
        "owner": owner,
        "column": column,
        "targets": targets,
        "lengths": [len(one.chosen) for one in pairs] + [len(one.rejected) for one in pairs],
    }
    return {name: torch.tensor(values, dtype=torch.long) for name, values in made.items()}


def _whole(one: Tokens) -> tuple[list[int], list[int], list[int]]:
    p, c, r = len(one.prompt), len(one.chosen), len(one.rejected)
    ids = [*one.prompt, *one.chosen, *one.rejected]
    return ids, [*range(p + c), *range(p, p + r)], [PROMPT] * p + [CHOSEN] * c + [REJECTED] * r


def _half(one: Tokens, side: int) -> tuple[list[int], list[int], list[int]]:
    answer = one.chosen if side == CHOSEN else one.rejected
    ids = [*one.prompt, *answer]
    return ids, list(range(len(ids))), [PROMPT] * len(one.prompt) + [side] * len(answer)


def _answers(pairs: Sequence[Tokens], n: int, shared: bool, prompts: bool) -> Any:
    """Of each run of targets: whose it is, and its row, where it starts, what stands before it, and its ids."""
    for i, one in enumerate(pairs):
        p = len(one.prompt)
        yield i, (i, p, p - 1, one.chosen)
        if shared:
            yield n + i, (i, p + len(one.chosen), p - 1, one.rejected)
        else:
            yield n + i, (n + i, p, p - 1, one.rejected)
        if prompts:
            yield 2 * n + i, (i, 0, -1, one.prompt)


def attention(segments: "Tensor", *, shared: bool, additive: Any = None) -> "Tensor | None":
    """The mask that goes with `segments`: 2-D for two sequences (None where nothing is padded), 4-D for shared ones.

    Args:
        segments: (B, S), as lay_out gives them.
        additive: a float dtype for attention that adds its mask; None gives True where a token may look.

    Returns:
        (B, 1, S, S) for shared: a token sees the prompt and its own answer up to itself; padding sees itself.
    """
    import torch

    if not shared:
        return None if bool((segments != PADDING).all()) else (segments != PADDING).long()
    query, key = segments[:, :, None], segments[:, None, :]
    place = torch.arange(segments.shape[1], device=segments.device)
    may = (place[:, None] >= place[None, :]) & ((key == PROMPT) | (key == query)) & (key != PADDING)
    may = (may | (place[:, None] == place[None, :])[None])[:, None]
    if additive is None:
        return may
    least = torch.finfo(additive).min
    return torch.zeros_like(may, dtype=additive).masked_fill(~may, least)
