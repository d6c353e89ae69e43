"""Percent agreement between the people of a project: how often two of them said the same of the same task.

Compared are two judgments of one task by different people, both counted, neither superseded, both answered
(an "all bad" or "cannot judge" states no order and no rating, so there is nothing to compare):

- A/B: 1 comparison; they agree when both chose the same response, or both a tie. Which side it stood on
  does not matter.
- ranking: 1 comparison for each two responses that both of them placed; they agree when both put the same
  one first, or both let the two tie.
- rating: 1 comparison for each response and criterion that both of them rated; they agree when the points are
  equal. Each criterion is counted by itself (`rating/helpful`), and together they are the kind's.

Percent agreement is the comparisons that agree over all comparisons (n). It is not corrected for chance:
that is data/agreement.py's trade. With n = 0 there is no percentage.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

Stated = dict[str, tuple[int, ...]]
"""What a judgment says, by what it is about (ab, ranking, rating/helpful): values in an order that is the same
for every judgment of the task, 0 where it says nothing."""
Pairs = dict[tuple[str, str, str], tuple[int, int]]
"""(what, person, person) in the order of their ids, to comparisons that agree and all comparisons."""
FIRST, TIED, SECOND = 1, 2, 3


class Share(NamedTuple):
    """Comparisons that agree, of n."""

    agreed: int
    n: int


def stated(kind: str, record: Mapping[str, Any]) -> Stated:
    """What a judgment's record says, ready to be compared with another judgment of the same task."""
    if record.get("verdict", "answered") != "answered":
        return {}
    ids = sorted(record["shown"])
    if kind == "rating":
        given = record.get("ratings") or {}
        criteria = sorted({criterion for points in given.values() for criterion in points})
        return {f"rating/{c}": tuple(given.get(id_, {}).get(c, -1) + 1 for id_ in ids) for c in criteria}
    places = {id_: place for place, tier in enumerate(_tiers(record)) for id_ in tier}
    if len(places) < 2:
        return {}
    at = [places.get(id_) for id_ in ids]
    return {kind: tuple([_order(a, b) for a, b in combinations(at, 2)])}


def _tiers(record: Mapping[str, Any]) -> list[list[str]]:
    """The order a record states, as Judgment.tiers says it, without the cost of building one."""
    if record.get("ranking") is not None:
        return list(record["ranking"])
    choice, shown = record.get("choice"), record["shown"]
    if choice is None:
        return []
    return [shown] if choice == "tie" else [[shown[choice == "B"]], [shown[choice == "A"]]]


def _order(a: int | None, b: int | None) -> int:
    if a is None or b is None:
        return 0
    return TIED if a == b else FIRST if a < b else SECOND


def compare(one: Stated, other: Stated) -> Iterator[tuple[str, int, int]]:
    """What two judgments of a task can be compared on, with the comparisons that agree, and all of them."""
    for what, mine in one.items():
        theirs = other.get(what)
        if theirs is None:
            continue
        agreed = n = 0
        for a, b in zip(mine, theirs, strict=True):
            if a and b:
                n += 1
                agreed += a == b
        if n:
            yield what, agreed, n


def add_task(pairs: Pairs, said: Iterable[tuple[str, Stated]], sign: int = 1) -> None:
    """Add a task's judgments (who, what they state) to the pairs; sign -1 takes them out again."""
    for (one, mine), (other, theirs) in combinations(said, 2):
        if one == other:
            continue
        a, b = sorted((one, other))
        for what, agreed, n in compare(mine, theirs):
            before = pairs.get((what, a, b), (0, 0))
            pairs[what, a, b] = before[0] + sign * agreed, before[1] + sign * n


def by_what(pairs: Pairs) -> dict[str, Share]:
    """Agreement by what was compared (ab, ranking, rating/helpful), over all people."""
    return _summed((what, share) for (what, _, _), share in pairs.items())


def by_person(pairs: Pairs) -> dict[str, Share]:
    """Each person's agreement with all others, over all kinds."""
    return _summed((who, share) for (_, a, b), share in pairs.items() for who in (a, b))


def with_each(pairs: Pairs, person: str) -> dict[str, Share]:
    """One person's agreement with each other person, over all kinds."""
    return _summed((b if a == person else a, share) for (_, a, b), share in pairs.items() if person in (a, b))


def _summed(shares: Iterable[tuple[str, tuple[int, int]]]) -> dict[str, Share]:
    found: dict[str, Share] = {}
    for key, (agreed, n) in shares:
        before = found.get(key, Share(0, 0))
        found[key] = Share(before.agreed + agreed, before.n + n)
    return {key: share for key, share in found.items() if share.n}
