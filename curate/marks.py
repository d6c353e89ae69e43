"""Texts that give the label away: words of the labels, and words that stand on one side only."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from curate.findings import Case, Found, Level, case, finding
from curate.material import Pair
from curate.words import MIX, batches, hashed_words
from data.stats import wilson
from data.text import excerpt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

_TELLING = 50_000
_ENGLISH = ("chosen", "rejected", "preferred", "dispreferred", "winner", "loser", "better", "worse")
_CHINESE = ("选中", "拒绝", "更好", "更差", "优选")
_WORDS = "|".join((*_ENGLISH, *_CHINESE))
_MARK = re.compile(
    rf"(?i)[\[<(【{{]\s*(?:{_WORDS})(?:[ _](?:answer|response|回答))?\s*[\]>)】}}]"
    rf"|\A\s*(?:chosen|rejected|preferred|better|worse)[ _](?:answer|response)\s*[:：]"
)
_BEGINS = re.compile(r"(?i)\s*(?:chosen|rejected|preferred|better|worse)[ _](?:answer|response)\s*[:：]")
_BEGINNING = 60  # characters within which a text without brackets is looked at


def label_leaks(pairs: Sequence[Pair]) -> list[Found]:
    """Answers that hold a word of the labels."""
    said = [
        case(p.id, "row", f"{field} has '{excerpt(match[0].strip(), 40)}'", p.where)
        for p in pairs
        for field, text in (("chosen", p.chosen), ("rejected", p.rejected))
        if (match := mark(text))
    ]
    if not said:
        return []
    level: Level = "block" if len(said) >= max(2, 0.01 * len(pairs)) else "warn"
    says = f"{len(said):,} answers hold a word of the labels, such as [chosen]"
    return [finding("label_leak", level, len(pairs), says, said)]


def mark(text: str) -> "re.Match[str] | None":
    """A word of the labels in brackets, or before a colon at the beginning; most texts have neither."""
    if "[" in text or "(" in text or "<" in text or "{" in text or "【" in text:
        low = text.lower()
        words = _ENGLISH if text.isascii() else (*_ENGLISH, *_CHINESE)
        if any(word in low for word in words):
            return _MARK.search(text)
    if text.isascii():
        return _BEGINS.match(text, 0, _BEGINNING)
    return _MARK.search(text[:_BEGINNING])


class _Ends(NamedTuple):
    """Of each text its first and its last one and three words, as hashes; 0 where it has no word."""

    begins: "tuple[Hashes, Hashes]"
    """Of the first word, and of the first three together."""
    ends: "tuple[Hashes, Hashes]"
    words: "tuple[NDArray[np.uint64], NDArray[np.uint64]]"
    """The hashes of the first three words and of the last three, shape (texts, 3), and 0 where there are fewer."""


class _Side(NamedTuple):
    """A mark that nearly always stands on one side; the least is the one shown."""

    missed: int
    """How many rows have it on one side only, below 0."""
    mark: tuple[str, int, int]
    """Where it stands, how many words it has, and their hash."""
    chosen: bool
    value: int
    """Its hash among those of _Ends."""


def one_sided(pairs: Sequence[Pair], marks: float) -> list[Found]:
    """Beginnings and ends of one to three words that nearly always stand on the same side.

    Of a large set the first 50,000 rows tell, by id.
    """
    import numpy as np

    pairs = pairs[:_TELLING]
    if len(pairs) < 10:
        return []
    chosen, rejected = _ends([p.chosen for p in pairs]), _ends([p.rejected for p in pairs])
    found = [
        one
        for place, name in enumerate(("begins", "ends"))
        for which, count in enumerate((1, 3))
        for one in _sides(chosen, rejected, (place, name), (which, count), marks)
    ]
    if not found:
        return []
    missed, (name, count, _), good_side, value = min(found)
    own, other = (chosen, rejected) if good_side else (rejected, chosen)
    place, which = int(name == "ends"), int(count == 3)
    rows = np.flatnonzero((own[place][which] == value) & (other[place][which] != value)).tolist()
    side = "chosen" if good_side else "rejected"
    cases: list[Case] = []
    for i in rows:
        text = pairs[i].chosen if good_side else pairs[i].rejected
        shown = excerpt(text, 60) if name == "begins" else excerpt(text[-60:], 60)
        cases.append(case(pairs[i].id, "row", f"{side} {name}: {shown}", pairs[i].where))
    level: Level = "block" if len(cases) >= 0.3 * len(pairs) else "warn"
    says = f"{len(cases):,} of {-missed:,} rows in which one answer {name} so have it on the {side} side"
    return [finding("one_sided_mark", level, len(pairs), says, cases, marks=len(found))]


def _sides(chosen: _Ends, rejected: _Ends, at: tuple[int, str], of: tuple[int, int], marks: float) -> list[_Side]:
    """The marks at one place, of one number of words, that nearly always stand on the same side."""
    import numpy as np

    place, name = at
    which, count = of
    good, bad = chosen[place][which], rejected[place][which]
    apart = good != bad
    values, number = np.unique(np.concatenate([good[apart], bad[apart]]), return_inverse=True)
    half = len(number) // 2
    won, lost = (np.bincount(part, minlength=len(values)) for part in (number[:half], number[half:]))
    met = won + lost
    found = []
    for i in np.flatnonzero((met >= max(10, 0.05 * len(good))) & (values != 0)).tolist():
        n, w = int(met[i]), int(won[i])
        # Many marks are looked at: the interval is that of one in 10,000.
        if wilson(max(w, n - w), n, 0.9999).low >= marks:
            value = int(values[i])
            side = chosen if w > n - w else rejected
            words = side.words[place][int(np.flatnonzero(side[place][which] == values[i])[0])]
            held = [word for word in words.tolist() if word]
            spelled = value if count == 1 else hash(tuple(held))
            found.append(_Side(-n, (name, count, spelled), w > n - w, value))
    return found


def _ends(texts: Sequence[str]) -> _Ends:
    import numpy as np

    first, last = (np.zeros((len(texts), 3), np.uint64) for _ in range(2))
    for part in batches(texts):
        words = hashed_words(texts[part])
        ends = words.ends
        begins = np.concatenate(([0], ends[:-1]))
        rows = np.arange(part.start, part.stop)
        for k in range(3):
            held = begins + k < ends
            first[rows[held], k] = words.hashes[(begins + k)[held]]
            last[rows[held], 2 - k] = words.hashes[(ends - 1 - k)[held]]
    return _Ends((first[:, 0], _together(first)), (last[:, 2], _together(last)), (first, last))


def _together(words: "NDArray[np.uint64]") -> "Hashes":
    """One hash for up to three words; 0 where there is none."""
    import numpy as np

    found = np.zeros(len(words), np.uint64)
    for k in range(3):
        found = (found ^ words[:, k]) * np.uint64(MIX)
        found ^= found >> np.uint64(31)
    return found
