"""What a trainer would do to each row before the first step: cut it, drop it, or learn nothing from it.

TRL 1.16 says none of this row by row (read in its source, and held to it by tests):

    dpo      drops a pair whose prompt alone has `length` tokens or more; cuts each side to `length`, from the end
    kto      the same with one answer
    reward   drops a pair of which either side has more than `length` tokens; cuts nothing
    sft      cuts to `length`; drops what then has no token of the answer left
    all      where the answer does not follow on the prompt's tokens, the end of the prompt is left out of the context

A pair whose answers are the same tokens (after the cut, too) has nothing to learn from, and counts as lost.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from train.exports import Answer, Pair
from train.tasks import Task
from train.tokens import Tokens, template_hash, tokenise

Fate = Literal["kept", "cut", "dropped", "no signal"]


class Limits(NamedTuple):
    """What a trainer allows."""

    task: Task = "dpo"
    length: int | None = 1024
    """Most tokens of prompt and answer together; None for no limit."""


class Looked(NamedTuple):
    """What becomes of one row. Token counts are before any cut."""

    id: str
    where: str
    split: str
    fate: Fate
    why: str
    """In words; empty for a row that is kept as it is."""
    prompt_tokens: int
    chosen_tokens: int
    rejected_tokens: int
    """0 for an answer that stands alone; its own tokens are `chosen_tokens`."""
    cut_chosen: int
    """Tokens cut off this side's end."""
    cut_rejected: int
    bos: int
    """Begin-of-text tokens in the whole chosen conversation (0 too where the tokenizer has none); over 1 is a fault."""
    eos_chosen: int
    """End-of-text tokens in this answer; 0 and the model never learns to stop here."""
    eos_rejected: int
    prompt_tail: int
    """Tokens at the prompt's end that are no prefix of prompt and answer: training leaves them out."""
    markers: int
    """Special tokens that a text spells out itself, so that it can pass for a turn of the dialogue."""
    same: bool
    """Chosen and rejected are the same tokens."""
    contradicts: list[str]
    """Ids of rows that say the opposite of the same two answers, or another label of the same answer."""
    repeats: str | None
    """Id of an earlier row with the same tokens and the same side."""
    p: float
    w: float
    template: str
    """sha256 of the chat template."""

    @property
    def lost(self) -> bool:
        """Whether training would see less than the whole row."""
        return self.fate != "kept"


def preflight(rows: Sequence[Pair | Answer], tokenizer: Any, limits: Limits) -> list[Looked]:
    """Look at every row before a trainer does; one result a row, in order.

    Args:
        rows: pairs (dpo, orpo, reward) or answers (sft, kto).
        tokenizer: with a chat template (see `train.tokens.check_template`).
    """
    template = template_hash(tokenizer)
    markers = [text for text in tokenizer.all_special_tokens if text]
    said: list[tuple[str, int]] = []
    looked = []
    for row, tokens in zip(rows, tokenise(rows, tokenizer), strict=True):
        said.append(_said(row, tokens))
        looked.append(_look(row, tokens, tokenizer, limits, template, _spelt(row, markers)))
    return _beside_each_other(looked, said)


def _beside_each_other(looked: list[Looked], said: list[tuple[str, int]]) -> list[Looked]:
    """The rows with the ids of those that contradict them, and of the first that says the same."""
    ids: dict[tuple[str, int], list[str]] = {}
    for one, of in zip(looked, said, strict=True):
        ids.setdefault(of, []).append(one.id)
    seen: set[tuple[str, int]] = set()
    made = []
    for one, (key, side) in zip(looked, said, strict=True):
        repeats = ids[key, side][0] if (key, side) in seen and side else None
        seen.add((key, side))
        made.append(one._replace(contradicts=ids.get((key, -side), []) if side else [], repeats=repeats))
    return made


def _look(
    row: Pair | Answer,
    tokens: Tokens,
    tokenizer: Any,
    limits: Limits,
    template: str,
    markers: int,
) -> Looked:
    prompt, chosen, rejected = tokens.prompt, tokens.chosen, tokens.rejected
    pair = isinstance(row, Pair)
    fate, why, cuts = _fate(tokens, limits, pair)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return Looked(
        row.id,
        row.where,
        row.split,
        fate,
        why,
        len(prompt),
        len(chosen),
        len(rejected),
        *cuts,
        0 if bos is None or bos == eos else (prompt + chosen).count(bos),
        chosen.count(eos),
        rejected.count(eos),
        tokens.prompt_tail,
        markers,
        pair and not tokens.fault and chosen == rejected,
        [],
        None,
        row.p if isinstance(row, Pair) else 1.0,
        row.w,
        template,
    )


def _fate(tokens: Tokens, limits: Limits, pair: bool) -> tuple[Fate, str, tuple[int, int]]:
    """What becomes of a row, why, and the tokens cut off each side."""
    if tokens.fault:
        return "dropped", tokens.fault, (0, 0)
    prompt, sides = len(tokens.prompt), [tokens.chosen, tokens.rejected] if pair else [tokens.chosen]
    most = limits.length
    if not tokens.chosen and not pair:
        fate: Fate = "dropped" if limits.task == "sft" else "no signal"
        return fate, "the answer has no token of its own", (0, 0)
    over = [0 if most is None else max(0, prompt + len(side) - most) for side in sides] + [0]
    if limits.task == "reward" and any(over):
        names = " and ".join(name for name, o in zip(("chosen", "rejected"), over, strict=False) if o)
        return "dropped", f"{names} over {most} tokens; the reward trainer drops the pair", (0, 0)
    if limits.task != "reward" and most is not None and prompt >= most:
        return "dropped", f"the prompt alone has {prompt} tokens, and {most} are all there is room for", (0, 0)
    if pair and tokens.chosen == tokens.rejected:
        return "no signal", "chosen and rejected are the same tokens", (over[0], over[1])
    if any(over):
        if pair and most is not None and tokens.chosen[: most - prompt] == tokens.rejected[: most - prompt]:
            return "no signal", f"cut to {most} tokens, chosen and rejected are the same", (over[0], over[1])
        told = [f"{o} of the {name} answer" for name, o in zip(("chosen", "rejected"), over, strict=False) if o]
        return "cut", f"{' and '.join(told) if pair else over[0]} tokens are over {most}", (over[0], over[1])
    return "kept", "", (0, 0)


def _spelt(row: Pair | Answer, markers: Sequence[str]) -> int:
    """How often texts of a row spell out a special token."""
    sides = (row.chosen, row.rejected) if isinstance(row, Pair) else (row.completion,)
    texts = [m.get("content") or "" for part in (row.prompt, *sides) for m in part]
    return sum(text.count(marker) for text in texts for marker in markers)


def _said(row: Pair | Answer, tokens: Tokens) -> tuple[str, int]:
    """What a row is about, and on which side it stands: 1 or −1; 0 where it takes none."""
    if tokens.fault:
        return "", 0
    if isinstance(row, Answer):
        side = 0 if row.label is None else 1 if row.label else -1
        return _digest(tokens.prompt, tokens.chosen), side
    first, second = sorted((tokens.chosen, tokens.rejected))
    if first == second or row.p == 0.5:
        return _digest(tokens.prompt, first, second), 0
    return _digest(tokens.prompt, first, second), 1 if (tokens.chosen == first) == (row.p > 0.5) else -1


def _digest(*parts: list[int]) -> str:
    return sha256(repr(parts).encode()).hexdigest()


def totals(looked: Sequence[Looked]) -> dict[str, Any]:
    """Counts and shares over rows: what a summary prints."""
    n = len(looked)
    fates = Counter(one.fate for one in looked)
    lost = sum(one.lost for one in looked)
    tokens = sum(
        one.prompt_tokens * (2 if one.rejected_tokens else 1) + one.chosen_tokens + one.rejected_tokens
        for one in looked
    )
    return {
        "rows": n,
        **{fate.replace(" ", "_"): fates[fate] for fate in ("kept", "cut", "dropped", "no signal")},
        "lost_share": lost / n if n else 0.0,
        "same_tokens": sum(one.same for one in looked),
        "prompt_no_prefix": sum(one.prompt_tail > 0 for one in looked),
        "contradictory": sum(bool(one.contradicts) for one in looked),
        "repeated": sum(one.repeats is not None for one in looked),
        "no_end": sum(one.eos_chosen == 0 and one.fate != "dropped" for one in looked),
        "two_beginnings": sum(one.bos > 1 for one in looked),
        "markers_in_text": sum(one.markers > 0 for one in looked),
        "longest": max((one.prompt_tokens + max(one.chosen_tokens, one.rejected_tokens) for one in looked), default=0),
        "tokens": tokens,
    }
