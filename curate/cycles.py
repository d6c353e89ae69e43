"""Judgments that go round in a circle: a before b, b before c, and c before a.

A circle is looked for among the answers to one prompt: in what one person said over several tasks, in
what most of them said, and in rows. Of each knot (a strongly connected set of three or more, or what
is left of one) a shortest circle is shown. Found by R. Tarjan's method (1972), without recursion.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from curate.material import Ballot, Pair

Graph = Mapping[str, set[str]]


def knots(beats: Graph) -> list[list[str]]:
    """Sets of three or more that can each be reached from each other, each sorted; and sorted among themselves."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    held: set[str] = set()
    found = []
    for root in sorted(beats):
        work = [(root, iter(sorted(beats[root])))] if root not in order else []
        while work:
            node, following = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                held.add(node)
            deeper = None
            for other in following:
                if other not in order:
                    deeper = other
                    break
                if other in held:
                    low[node] = min(low[node], order[other])
            if deeper is not None:
                work.append((deeper, iter(sorted(beats.get(deeper, ())))))
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == order[node]:
                at = stack.index(node)
                members, stack[at:] = stack[at:], []
                held.difference_update(members)
                if len(members) > 2:
                    found.append(sorted(members))
    return sorted(found)


def shortest(beats: Graph, members: Iterable[str]) -> list[str]:
    """A shortest circle of three or more within a knot, from its smallest member on; empty when all are of two.

    Of each a before b the shortest way back from b to a that is not the step b before a. In a knot of
    more than fifty only the first fifty are begun from.
    """
    inside = set(members)
    best: list[str] = []
    for a in sorted(inside)[:50]:
        for b in sorted(beats[a] & inside):
            back = _way(beats, inside, b, a, len(best))
            if back and (not best or len(back) < len(best)):
                best = back
    least = best.index(min(best)) if best else 0
    return best[least:] + best[:least]


def _way(beats: Graph, inside: set[str], start: str, end: str, below: int) -> list[str]:
    """The shortest way from start to end of two steps or more, as its members; empty when none is below so many."""
    paths, seen = [[start]], {start}
    while paths and (not below or len(paths[0]) + 1 < below):
        longer = []
        for path in paths:
            for other in sorted(beats.get(path[-1], set()) & inside):
                if other == end and len(path) > 1:
                    return [end, *path]
                if other not in seen and other != end:
                    seen.add(other)
                    longer.append([*path, other])
        paths = longer
    return []


def of_ballots(ballots: Sequence[Ballot]) -> list[tuple[str, str, list[str]]]:
    """Prompt, annotator ("" for the majority) and circle, for every knot among one prompt's answers."""
    said: dict[str, dict[str, dict[tuple[str, str], int]]] = {}
    tasks: dict[str, set[str]] = {}
    answers: dict[str, set[str]] = {}
    for ballot in ballots:
        answers.setdefault(ballot.prompt_id, set()).update(ballot.place)
    for ballot in ballots:
        if len(answers[ballot.prompt_id]) < 3:
            continue  # two cannot go round
        tasks.setdefault(ballot.prompt_id, set()).add(ballot.task)
        for who in (ballot.annotator, ""):
            lean = said.setdefault(ballot.prompt_id, {}).setdefault(who, {})
            for a, b in combinations(sorted(ballot.place), 2):
                one, two = ballot.place[a], ballot.place[b]
                lean[a, b] = lean.get((a, b), 0) + (one < two) - (one > two)
    found = []
    for prompt in sorted(said):
        for who in sorted(said[prompt]):
            if who and len(tasks[prompt]) == 1:
                continue  # one ranking cannot go round
            found += [(prompt, who, circle) for circle in _circles(said[prompt][who])]
    return found


def _circles(lean: dict[tuple[str, str], int]) -> list[list[str]]:
    beats: dict[str, set[str]] = {}
    for (a, b), side in lean.items():
        better, worse = (a, b) if side > 0 else (b, a)
        beats.setdefault(better, set())
        beats.setdefault(worse, set())
        if side:
            beats[better].add(worse)
    return [circle for knot in knots(beats) if (circle := shortest(beats, knot))]


def of_more_tasks(ballots: Sequence[Ballot]) -> set[str]:
    """The prompts whose judgments might go round: judged in two tasks, or in one of more than two answers."""
    task: dict[str, str] = {}
    return {b.prompt_id for b in ballots if len(b.place) > 2 or task.setdefault(b.prompt_id, b.task) != b.task}


def of_several(pairs: Sequence[Pair]) -> set[str]:
    """The prompts whose rows can go round: a circle of three is three rows."""
    return {prompt for prompt, rows in Counter(pair.prompt_id for pair in pairs).items() if rows > 2}


def of_pairs(pairs: Sequence[Pair]) -> list[tuple[str, list[str]]]:
    """Prompt and circle of chosen and rejected answers, for every knot among one prompt's rows."""
    graphs: dict[str, dict[str, set[str]]] = {}
    several = of_several(pairs)
    for pair in pairs:
        if pair.prompt_id not in several:
            continue
        beats = graphs.setdefault(pair.prompt_id, {})
        beats.setdefault(pair.chosen_id, set()).add(pair.rejected_id)
        beats.setdefault(pair.rejected_id, set())
    found = []
    for prompt in sorted(graphs):
        if len(graphs[prompt]) > 2:
            beats = graphs[prompt]
            found += [(prompt, circle) for knot in knots(beats) if (circle := shortest(beats, knot))]
    return found
