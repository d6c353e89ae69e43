"""Which rows must stay on one side of a split: near-duplicate prompts, and dialogues of one tree.

Two rows are linked when their prompts have the same words, when the Jaccard similarity of their
shingles reaches the threshold (curate/near.py, exact), or when their dialogues begin with the same
message of the user: a dialogue, its continuations and its branches. A group is all that is linked,
through others too: where a split must not leak, chains have to hold.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.pairs import split_of
from curate.words import word_keys
from data.errors import BadInput, nearest

if TYPE_CHECKING:
    from curate.near import Near

THRESHOLD = Fraction(4, 5)
_STEPS = (Fraction(7, 10), Fraction(3, 5), Fraction(1, 2))  # below the last the similarity is not told
_MOST, _LEAST = 32, 4_000_000  # candidates a prompt, and at any rate, that are compared below 0.8
_FIELDS = ("prompt", "messages", "conversations", "instruction", "question", "text", "chosen")
_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


class Asked(NamedTuple):
    """What a row asks: its whole prompt, and the message its dialogue begins with."""

    prompt: str
    opener: str


class Nearest(NamedTuple):
    """The greatest similarity of two prompts on different sides of a split."""

    similarity: float | None
    """None when no two reach `at_least`."""
    a: int | None
    """Number of a row; the first of those with this prompt."""
    b: int | None
    at_least: float
    """What was looked for at the lowest."""


def asked(row: dict[str, Any]) -> Asked:
    """What a row of any common layout asks.

    Raises:
        BadInput: it has none of the fields prompts are kept in.
    """
    for field in _FIELDS:
        value = row.get(field)
        if isinstance(value, str):
            return _asked_text(value, field)
        if isinstance(value, list) and value and all(isinstance(m, dict) for m in value):
            return _asked_messages(value, whole=field == "prompt")
    found = next((name for name in row if nearest(name, _FIELDS)), None)
    hint = f" ('{found}'{nearest(found, _FIELDS)})" if found else ""
    raise BadInput(f"no prompt in it{hint}; a row has one of {', '.join(_FIELDS)}")


def _asked_text(text: str, field: str) -> Asked:
    if _ASSISTANT in text and _HUMAN in f"\n\n{text.lstrip()}":
        turns = text.split(_ASSISTANT)
        last = "" if field == "prompt" else turns[-1]
        prompt = text.removesuffix(last).removesuffix(_ASSISTANT) if last else text
        return Asked(prompt, turns[0])
    return Asked(text, text)


def _asked_messages(messages: list[dict[str, Any]], whole: bool) -> Asked:
    """Of messages that end in an answer the answer is not asked."""
    turns = [
        (str(m.get("role") or m.get("from") or ""), str(m.get("content") or m.get("value") or "")) for m in messages
    ]
    if not whole:
        while len(turns) > 1 and turns[-1][0] in ("assistant", "gpt", "model"):
            turns.pop()
    opener = next((text for role, text in turns if role in ("user", "human")), turns[0][1])
    return Asked("\n\n".join(text for _, text in turns), opener)


class Groups(NamedTuple):
    """Rows in groups."""

    group: list[str]
    """For each row the name of its group: the smallest key of a prompt in it, so that no order of rows shows."""
    prompt: list[int]
    """For each row the first row with the same prompt."""

    @property
    def largest(self) -> int:
        """Rows in the largest group."""
        from collections import Counter

        return max(Counter(self.group).values(), default=0)


def group(rows: Sequence[Asked], threshold: Fraction = THRESHOLD, threads: int = 1) -> Groups:
    """Put rows that must not be parted in groups."""
    import numpy as np

    from curate.near import near_rows
    from curate.near_join import components

    prompts = word_keys([row.prompt for row in rows])
    apart = [i for i, row in enumerate(rows) if row.opener != row.prompt]
    openers = list(prompts)
    for i, key in zip(apart, word_keys([rows[i].opener for i in apart]), strict=True):
        openers[i] = key
    first: dict[bytes, int] = {}
    same = [first.setdefault(key, i) for i, key in enumerate(prompts)]
    begun: dict[bytes, int] = {}
    opened = [begun.setdefault(key, i) for i, key in enumerate(openers)]
    once = np.unique(np.array(same, np.int64))
    with near_rows(([(0, rows[i].prompt)] for i in once.tolist()), threshold, threads=threads) as near:
        label = near.linked()
    every = np.arange(len(rows))
    part = components(len(rows), np.concatenate([every, every, once]), np.concatenate([same, opened, once[label]]))
    names: dict[int, bytes] = {}
    for root, key in zip(part.tolist(), prompts, strict=True):
        if key < names.get(root, b"\xff" * 17):
            names[root] = key
    spelled = {root: key.hex() for root, key in names.items()}
    return Groups([spelled[root] for root in part.tolist()], same)


def splits(groups: Iterable[str], seed: int, shares: Sequence[int]) -> list[str]:
    """The split of each row: its group's name and the seed decide, nothing else."""
    known: dict[str, str] = {}
    out = []
    for name in groups:
        if name not in known:
            known[name] = split_of(name, seed, shares)
        out.append(known[name])
    return out


def nearest_across(rows: Sequence[Asked], same: Sequence[int], sides: Sequence[str], threads: int = 1) -> Nearest:
    """The two most similar prompts on different sides: measured, not assumed.

    Looked for from 0.8 downwards in steps to a half; below 0.8 only as far as few enough prompts share rare
    shingles (thousands that follow one template do). Prompts on more than one side are 1.0 alike.

    Args:
        same: for each row the first row with the same prompt (Groups.prompt).
        sides: the split of each row.
    """
    from curate.near import near_rows

    for i, prompt in enumerate(same):
        if sides[i] != sides[prompt]:
            return Nearest(1.0, prompt, i, 1.0)
    once = sorted(set(same))
    number = {name: n for n, name in enumerate(sorted(set(sides)))}
    side = [number[sides[i]] for i in once]
    if len(number) < 2:
        return Nearest(None, None, None, float(_STEPS[-1]))
    at_least = float(THRESHOLD)
    with near_rows(([(0, rows[i].prompt)] for i in once), THRESHOLD, threads=threads) as near:
        for threshold in (THRESHOLD, *_STEPS):
            near.threshold = threshold
            found = _across(near, side, None if threshold == THRESHOLD else _MOST * len(once) + _LEAST)
            if found is None:
                break
            at_least = float(threshold)
            if found:
                alike, a, b = max(found, key=lambda two: (two[0], -two[1], -two[2]))
                return Nearest(alike, once[a], once[b], at_least)
    return Nearest(None, None, None, at_least)


def near_across(
    texts: Sequence[str], sides: Sequence[int], threshold: Fraction = THRESHOLD, threads: int = 1
) -> list[tuple[float, int, int]]:
    """For each text and each side named before its own the text there most like it, where it reaches the threshold.

    Args:
        sides: the side of each text, from 0.

    Returns:
        Similarity, number of the text on the side before (of several the first), number of the text.
    """
    from curate.near import near_rows

    with near_rows(([(0, text)] for text in texts), threshold, threads=threads) as near:
        return _across(near, sides, None) or []


def _across(near: "Near", sides: Sequence[int], at_most: int | None) -> list[tuple[float, int, int]] | None:
    """What near_across gives; None when more candidates than `at_most` would have to be compared."""
    import numpy as np

    side = np.array(sides, np.int64)
    sizes = np.asarray(near.kept.sizes).astype(np.int64)
    out: list[tuple[float, int, int]] = []
    for which in np.unique(side)[:-1].tolist():
        found = near.most_alike(side == which, side > which, at_most)
        if found is None:
            return None
        alike = found.common / np.maximum(sizes[found.a] + sizes[found.b] - found.common, 1)
        out += zip(alike.tolist(), found.a.tolist(), found.b.tolist(), strict=True)
    return out
