"""The held-out rows of an export, as an evaluation takes them: which, with which cluster and tags, and in whose words.

Rows that a model cannot take (the template refuses them, or they are longer than its context) are left out of every
side alike and listed; none is cut, since a cut answer is another answer.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from data.errors import NotThere
from data.records import digest
from train.better_prompt import BetterPrompt, put_before
from train.exports import Answer, Export, Pair
from train.tokens import Tokens, tokenise


class Held(NamedTuple):
    """A held-out row."""

    id: str
    prompt_id: str
    cluster: str
    """Its prompt family; where the export names none, its prompt."""
    p: float
    """That the chosen answer is better; 1 for an answer that stands alone."""
    tags: dict[str, str]
    source: Pair | Answer

    @property
    def paired(self) -> bool:
        """Whether it has two answers."""
        return isinstance(self.source, Pair)

    @property
    def reference(self) -> str | None:
        """The answer to be imitated, as text; None for pairs and for answers held bad."""
        if isinstance(self.source, Pair) or self.source.label is False:
            return None
        return str(self.source.completion[-1]["content"])

    @property
    def language(self) -> str:
        """As the export says; empty where it does not."""
        return self.tags.get("language", "")


class LeftOut(NamedTuple):
    """A row that was not evaluated."""

    id: str
    where: str
    why: str


def held_out(export: Export, split: str, limit: int | None = None) -> list[Held]:
    """The rows of a split, in the export's order.

    Args:
        limit: so many at most, drawn by the hash of their ids: the same ones whatever the order.

    Raises:
        NotThere: the split has no rows.
    """
    rows: list[Pair | Answer] = [*export.pairs.get(split, []), *export.answers.get(split, [])]
    if not rows:
        there = ", ".join(sorted({*export.pairs, *export.answers}))
        raise NotThere(f"{export.folder} has no rows in its split '{split}'; --split takes one of {there}")
    if limit is not None and limit < len(rows):
        drawn = sorted(range(len(rows)), key=lambda i: sha256(rows[i].id.encode()).digest())[:limit]
        rows = [rows[i] for i in sorted(drawn)]
    return [_held(row) for row in rows]


def _held(row: Pair | Answer) -> Held:
    prompt = str(row.row.get("prompt_id") or digest([row.prompt, row.tools])[:32])
    tags = {name: str(row.row[name]) for name in ("language", "source", "kind") if row.row.get(name)}
    named = row.row.get("tags")
    if isinstance(named, list) and named:
        tags["tag"] = ";".join(sorted({str(one).replace(";", ",") for one in named}))
    p = row.p if isinstance(row, Pair) else 1.0
    return Held(row.id, prompt, str(row.row.get("cluster") or prompt), p, tags, row)


def with_prompt(rows: Sequence[Held], better: BetterPrompt | None) -> list[Pair | Answer]:
    """The rows as one side reads them: with its better prompt before their own, where it has one."""
    if better is None:
        return [row.source for row in rows]
    return [row.source._replace(prompt=put_before(better, row.source.prompt)) for row in rows]


def fitting(
    rows: Sequence[Held], sides: Sequence[tuple[BetterPrompt | None, Any, int | None]]
) -> tuple[list[Held], list[list[Tokens]], list[LeftOut]]:
    """The rows that every side can take whole.

    Args:
        sides: of each its better prompt, its tokenizer, and how many tokens its model can take (None: no limit known).

    Returns:
        Those rows; for each side their tokens; and what was left out, with the reason.
    """
    made = [list(tokenise(with_prompt(rows, better), tokenizer)) for better, tokenizer, _ in sides]
    kept: list[int] = []
    left: list[LeftOut] = []
    for i, row in enumerate(rows):
        why = next((w for w in (_why(one[i], side[2]) for one, side in zip(made, sides, strict=True)) if w), "")
        if why:
            left.append(LeftOut(row.id, row.source.where, why))
        else:
            kept.append(i)
    return [rows[i] for i in kept], [[one[i] for i in kept] for one in made], left


def _why(tokens: Tokens, longest: int | None) -> str:
    if tokens.fault:
        return tokens.fault
    n = len(tokens.prompt) + max(len(tokens.chosen), len(tokens.rejected))
    if longest is not None and n > longest:
        return f"{n:,} tokens with its answer, of {longest:,} that the model can take"
    return "" if len(tokens.chosen) else "its answer has no token"
