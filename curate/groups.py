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
    from curate.near_join import Pairs

THRESHOLD = Fraction(4, 5)
_STEPS = (Fraction(7, 10), Fraction(3, 5), Fraction(1, 2))  # below the last the similarity is not told
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
    prompts = word_keys([row.prompt for row in rows])
    openers = word_keys([row.opener for row in rows])
    first: dict[bytes, int] = {}
    same = [first.setdefault(key, i) for i, key in enumerate(prompts)]
    links = _Links(len(rows))
    begun: dict[bytes, int] = {}
    for i, prompt in enumerate(same):
        links.join(i, prompt)
        links.join(i, begun.setdefault(openers[i], i))
    once = sorted(set(same))
    found = _near([rows[i].prompt for i in once], threshold, threads)
    for a, b in zip(found.a.tolist(), found.b.tolist(), strict=True):
        links.join(once[a], once[b])
    names: dict[int, bytes] = {}
    for i, key in enumerate(prompts):
        root = links.root(i)
        names[root] = min(names.get(root, key), key)
    return Groups([names[links.root(i)].hex() for i in range(len(rows))], same)


class _Links:
    """Who is linked to whom (R. E. Tarjan's union-find, with halved paths)."""

    def __init__(self, count: int) -> None:
        self.above = list(range(count))

    def root(self, i: int) -> int:
        while self.above[i] != i:
            self.above[i] = self.above[self.above[i]]
            i = self.above[i]
        return i

    def join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        self.above[max(a, b)] = min(a, b)


def _near(texts: Sequence[str], threshold: Fraction, threads: int) -> "Pairs":
    from curate.near import near_rows

    with near_rows(([(0, text)] for text in texts), threshold, threads=threads) as near:
        return near.pairs()


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

    Looked for from 0.8 downwards in steps to a half. Prompts on more than one side are 1.0 alike.

    Args:
        same: for each row the first row with the same prompt (Groups.prompt).
        sides: the split of each row.
    """
    for i, prompt in enumerate(same):
        if sides[i] != sides[prompt]:
            return Nearest(1.0, prompt, i, 1.0)
    once = sorted(set(same))
    texts = [rows[i].prompt for i in once]
    number = {name: n for n, name in enumerate(sorted(set(sides)))}
    side = [number[sides[i]] for i in once]
    if len(number) < 2:
        return Nearest(None, None, None, float(_STEPS[-1]))
    for threshold in (THRESHOLD, *_STEPS):
        found = near_across(texts, side, threshold, threads)
        if found:
            alike, a, b = max(found, key=lambda two: (two[0], -two[1], -two[2]))
            return Nearest(alike, once[a], once[b], float(threshold))
    return Nearest(None, None, None, float(_STEPS[-1]))


def near_across(
    texts: Sequence[str], sides: Sequence[int], threshold: Fraction = THRESHOLD, threads: int = 1
) -> list[tuple[float, int, int]]:
    """Similarity and numbers of every two texts on different sides that reach the threshold; sides from 0."""
    import numpy as np

    from curate.near import near_rows

    side = np.array(sides, np.int64)
    out: list[tuple[float, int, int]] = []
    with near_rows(([(0, text)] for text in texts), threshold, threads=threads) as near:
        sizes = np.asarray(near.kept.sizes).astype(np.int64)
        for which in np.unique(side)[:-1].tolist():
            found = near.between(side == which)
            later = side[found.b] > which  # of the sides before, the pairs are known
            a, b, common = found.a[later], found.b[later], found.common[later]
            alike = common / np.maximum(sizes[a] + sizes[b] - common, 1)
            out += zip(alike.tolist(), a.tolist(), b.tolist(), strict=True)
    return out
