"""Rows that stand there twice, rows that contradict each other, and prompts that two splits share."""

from collections import Counter
from collections.abc import Sequence

from curate.findings import Case, Found, case, finding
from curate.groups import near_across
from curate.material import Pair
from curate.shingling import shingle_hashes
from curate.words import word_keys
from data.text import excerpt

_SLOT_BITS = 24


def prompt_keys(pairs: Sequence[Pair]) -> list[bytes]:
    """For each row a key of its prompt's words."""
    asked = {p.prompt_id: p.prompt for p in pairs}
    keys = dict(zip(asked, word_keys(list(asked.values())), strict=True))
    return [keys[p.prompt_id] for p in pairs]


def repeats(pairs: Sequence[Pair], prompts: Sequence[bytes]) -> list[Found]:
    """Rows twice, and rows with chosen and rejected swapped; prompts go by their words (`prompt_keys`)."""
    rows = Counter(prompts)
    first: dict[tuple[bytes, str, str], int] = {}
    twice: list[Case] = []
    against: list[Case] = []
    for i, (prompt, p) in enumerate(zip(prompts, pairs, strict=True)):
        if rows[prompt] == 1:
            continue
        key, swapped = (prompt, p.chosen, p.rejected), (prompt, p.rejected, p.chosen)
        if key in first:
            twice.append(case(p.id, "row", f"the same as {pairs[first[key]].id}", p.where))
        first.setdefault(key, i)
        if swapped in first and p.chosen != p.rejected:
            says = f"the other way round than {pairs[first[swapped]].id}: {excerpt(p.prompt, 60)}"
            against.append(case(p.id, "row", says, p.where))
    out = []
    if twice:
        out.append(finding("duplicate_rows", "warn", len(pairs), f"{len(twice):,} rows stand there twice", twice))
    if against:
        says = f"{len(against):,} rows contradict another: the same two answers, chosen the other way round"
        out.append(finding("contradiction", "warn", len(pairs), says, against))
    return out


def split_leaks(pairs: Sequence[Pair], prompts: Sequence[bytes], threads: int = 1) -> list[Found]:
    """Rows for validation or test whose prompt another split has too, word for word or nearly."""
    first: dict[tuple[bytes, str], int] = {}
    for i, (key, p) in enumerate(zip(prompts, pairs, strict=True)):
        if p.split:
            first.setdefault((key, p.split), i)
    names = sorted({split for _, split in first}, key=lambda name: (name != "train", name))
    if len(names) < 2:
        return []
    places = sorted(first.values())
    sides = [names.index(pairs[i].split or "") for i in places]
    kept = _could_be_near([pairs[i].prompt for i in places], sides)
    places, sides = [places[i] for i in kept], [sides[i] for i in kept]
    alike: dict[tuple[bytes, str], tuple[float, int]] = {}
    for similarity, a, b in near_across([pairs[i].prompt for i in places], sides, threads=threads):
        row, other = places[b], places[a]  # a lies in the split named before
        place = (prompts[row], pairs[row].split or "")
        alike[place] = max(alike.get(place, (0.0, 0)), (similarity, -other))
    cases = []
    for key, p in zip(prompts, pairs, strict=True):
        if p.split and (key, p.split) in alike:
            similarity, other = alike[key, p.split]
            near = pairs[-other]
            cases.append(
                case(
                    p.id,
                    "row",
                    f"{p.split}; its prompt is {similarity:.3f} like that of {near.id} ({near.split})",
                    p.where,
                )
            )
    if not cases:
        return []
    says = f"{len(cases):,} rows have a prompt that another split has too, or one at least 0.8 like it"
    return [finding("split_leak", "block", len(pairs), says, cases)]


def _could_be_near(texts: Sequence[str], sides: Sequence[int]) -> list[int]:
    """Numbers of the texts that may be 0.8 like one on another side: the others certainly are not.

    Four in five of such a text's shingles stand in texts of other sides. Of most texts they do not, which
    a table of bits tells without comparing any two.
    """
    import numpy as np

    sets = shingle_hashes(texts)
    side = np.array(sides, np.int64)
    text = np.repeat(np.arange(len(texts), dtype=np.int32), sets.sizes)
    slots = (sets.hashes >> np.uint64(64 - _SLOT_BITS)).astype(np.int32)
    kept = np.ones(len(texts), np.bool_)
    for one in np.argsort(
        -np.bincount(side), kind="stable"
    ).tolist():  # the largest first: the rest is compared with less
        met = np.zeros(1 << _SLOT_BITS, np.bool_)
        met[slots[(kept & (side != one))[text]]] = True
        shared = np.bincount(text[met[slots]], minlength=len(texts))
        kept &= (side != one) | (shared * 5 >= sets.sizes.astype(np.int64) * 4)
    return np.flatnonzero(kept).tolist()
