"""Which pairs stay when no cluster of prompts may have more than so many (`--per-prompt`).

A ranking of nine responses gives 36 pairs and a choice gives one, and trainers mostly count rows;
so, of each cluster, at most `most` pairs stay. The rankings take turns: each gives its first pair
before any gives its second. Which pair of a ranking comes first is decided by a hash of the seed
and the pair's id, so it is a fair draw, the same on every machine and in every order of input.
"""

from collections.abc import Iterable, Sequence

from data.records import content_id


def allowed(tasks: Iterable[Sequence[tuple[str, str]]], most: int, seed: int) -> frozenset[str]:
    """Ids of the pairs that stay.

    Args:
        tasks: the pairs of each task, in any order, each as its id and its cluster.
        most: pairs of one cluster, 1 or more.
        seed: which pairs are drawn.
    """
    waiting: dict[str, list[tuple[int, str, str]]] = {}
    for pairs in tasks:
        drawn = sorted((content_id("turn", seed, pair), pair, cluster) for pair, cluster in pairs)
        for turn, (lot, pair, cluster) in enumerate(drawn[:most]):
            line = waiting.setdefault(cluster, [])
            line.append((turn, lot, pair))
            if len(line) > 4 * most:
                line.sort()
                del line[most:]
    return frozenset(pair for line in waiting.values() for _, _, pair in sorted(line)[:most])


def reason(most: int) -> str:
    """Why a pair that is not allowed was left out, in words."""
    return f"beyond the {most} pairs of its prompt"
