"""Ballots as columns, so that an audit of a million judgments is arithmetic on arrays.

A ballot becomes: who gave it, what kind of annotator that is, how much of it went to what was shown
earlier, and its seconds. A comparison is two answers that one ballot placed: which two of which task
(a number), and which of them was put first. All numbers are whole, so sums have no rounding and the
order of the ballots does not show.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from curate.material import Ballot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

WHOLE = 2520  # parts of a ballot: a multiple of twice the number of pairs among 2 to 9 answers
KINDS = ("person", "model", "rule")  # kinds of annotators
UNTOLD = -1  # parts of a ballot that placed fewer than two of the answers shown


class Columns(NamedTuple):
    """Some ballots, a column each; the comparisons are longer where a ballot places more than two."""

    names: list[str]
    """The annotators, sorted."""
    who: "Ints"
    """For each ballot the number of its annotator."""
    kind: "NDArray[np.int8]"
    """Of KINDS."""
    first: "Ints"
    """Parts of WHOLE that went to what was shown earlier; UNTOLD where there is no saying."""
    seconds: "Floats"
    """Not a number where unknown."""
    ballot: "Ints"
    """For each comparison its ballot."""
    two: "Ints"
    """The task and the two answers compared, as a number."""
    side: "Ints"
    """1 when the answer with the smaller id was put first, -1 when the other was, 0 a tie."""
    prompts: list[str]
    """For each number of `two` the prompt that was answered."""

    @property
    def size(self) -> int:
        """How many ballots."""
        return len(self.who)

    def of_kind(self, kind: str) -> "Columns":
        """The ballots of one kind of annotator."""
        import numpy as np

        kept = self.kind == KINDS.index(kind)
        if kept.all():
            return self
        number = np.cumsum(kept) - 1
        compared = kept[self.ballot]
        return self._replace(
            who=self.who[kept],
            kind=self.kind[kept],
            first=self.first[kept],
            seconds=self.seconds[kept],
            ballot=number[self.ballot[compared]],
            two=self.two[compared],
            side=self.side[compared],
        )

    def counts(self) -> "Ints":
        """How many ballots each annotator gave."""
        import numpy as np

        return np.bincount(self.who, minlength=len(self.names))

    def of_three(self) -> set[str]:
        """The prompts of whose answers more than one two were compared: with fewer nothing can go round."""
        return {prompt for prompt, n in Counter(self.prompts).items() if n > 1}


def columns(ballots: Sequence[Ballot]) -> Columns:
    """The ballots as columns."""
    import numpy as np

    met: dict[str, int] = {}
    known: dict[tuple[str, str, str], int] = {}
    who, first = array("q"), array("q")
    ballot, two, side = array("q"), array("q"), array("q")
    prompts: list[str] = []
    for i, (_, task, prompt, name, _, shown, place, _, _) in enumerate(ballots):
        who.append(met.setdefault(name, len(met)))
        if len(shown) == 2 == len(place):
            a, b = shown
            one, other = place.get(a), place.get(b)
            if one is not None and other is not None:  # what nearly all are, told without a detour
                won = (one < other) - (one > other)
                first.append((1 + won) * (WHOLE // 2))
                key, way = ((task, a, b), won) if a < b else ((task, b, a), -won)
                ballot.append(i)
                number = known.setdefault(key, len(prompts))
                if number == len(prompts):
                    prompts.append(prompt)
                two.append(number)
                side.append(way)
                continue
        first.append(first_shown_parts(ballots[i]))
        for a, b, way in sides(ballots[i]):
            ballot.append(i)
            number = known.setdefault((task, a, b), len(prompts))
            if number == len(prompts):
                prompts.append(prompt)
            two.append(number)
            side.append(way)
    kinds = {kind: n for n, kind in enumerate(KINDS)}
    names = sorted(met)
    place_of = np.zeros(len(met), np.int64)
    place_of[[met[name] for name in names]] = np.arange(len(names))
    return Columns(
        names=names,
        who=place_of[np.array(who, np.int64)],
        kind=np.fromiter(map(kinds.__getitem__, map(attrgetter("kind"), ballots)), np.int8, len(ballots)),
        first=np.array(first, np.int64),
        seconds=np.array(list(map(attrgetter("seconds"), ballots)), np.float64),
        ballot=np.array(ballot, np.int64),
        two=np.array(two, np.int64),
        side=np.array(side, np.int64),
        prompts=prompts,
    )


def first_shown_parts(ballot: Ballot) -> int:
    """How many parts of WHOLE of a ballot went to what was shown earlier; a tie counts half.

    UNTOLD when fewer than two of the answers shown were placed.
    """
    placed = [ballot.place[r] for r in ballot.shown if r in ballot.place]
    if len(placed) < 2:
        return UNTOLD
    placed = placed[:9]
    halves = sum(2 * (a < b) + (a == b) for a, b in combinations(placed, 2))
    pairs = len(placed) * (len(placed) - 1) // 2
    return halves * (WHOLE // (2 * pairs))


def sides(ballot: Ballot) -> Iterable[tuple[str, str, int]]:
    """Each two answers in order of their ids: 1 when the first was put before the second, -1 after, 0 a tie."""
    for a, b in combinations(sorted(ballot.place), 2):
        one, two = ballot.place[a], ballot.place[b]
        yield a, b, (one < two) - (one > two)
