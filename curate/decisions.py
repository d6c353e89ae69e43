"""What is decided over all pairs together: which cluster each prompt is in, what comes twice, what a quota leaves.

Pairs of one task follow from its judgments (curate/pairs.py). Then, in this order: prompts are clustered, so
that a split parts nothing that is nearly the same; rows that come again nearly the same go, and the row kept
for each is named; rows go that a finding of the audit names, where the rules say so; and of each cluster so
many pairs stay as the quota allows. What was decided lies beside the rows:

    audit/clusters.jsonl         prompts that share a cluster with another, and the cluster
    audit/removed.jsonl          rows that come again: id, reason, the row kept, how similar the two are
    audit/contradictions.jsonl   two rows that say the opposite
    audit/dropped.jsonl          rows left out because of a finding, and which
    audit/splits.json            groups, the largest, and the greatest similarity across splits
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from curate.groups import Asked, Nearest, asked, group, nearest_across
from curate.layouts import PlainPair
from curate.pairs import LeftOut, split_of
from curate.quota import allowed, reason
from curate.rules import Rules


class Clusters(NamedTuple):
    """The cluster of each prompt, by prompt id."""

    of: dict[str, str]
    prompts: list[str]
    """Ids of all prompts, in order."""
    asked: list[Asked]
    same: list[int]
    """For each prompt the first with the same words."""


class Brief(NamedTuple):
    """A pair in a few words."""

    id: str
    task: str
    prompt_id: str
    judged: int
    """Milliseconds since 1970 of its first judgment; a great number where none says when."""


def cluster(prompts: Mapping[str, Sequence[Mapping[str, Any]]], rules: Rules, threads: int = 1) -> Clusters:
    """Prompts in clusters: a cluster's name is the smallest id of a prompt in it.

    Args:
        prompts: messages by prompt id.
    """
    ids = sorted(prompts)
    threshold = Fraction(rules.group_threshold)
    rows = [asked({"prompt": prompts[key]}) for key in ids]
    if not threshold:
        return Clusters({key: key for key in ids}, ids, rows, list(range(len(ids))))
    groups = group(rows, threshold, threads)
    first: dict[str, str] = {}
    for key, name in zip(ids, groups.group, strict=True):
        first.setdefault(name, key)
    return Clusters(
        {key: first[name] for key, name in zip(ids, groups.group, strict=True)}, ids, rows, list(groups.prompt)
    )


def assign(pair: PlainPair, clusters: Clusters, rules: Rules, known: dict[str, str]) -> PlainPair:
    """The pair with its cluster and its split; `known` keeps the split of each cluster met."""
    name = clusters.of[pair["prompt_id"]]
    if name not in known:
        known[name] = split_of(name, rules.seed, rules.splits)
    pair["cluster"], pair["split"] = name, known[name]
    return pair


def across(clusters: Clusters, rules: Rules, threads: int = 1) -> dict[str, Any]:
    """What audit/splits.json says: how many clusters there are, and how alike two prompts on different sides can be."""
    sides = [split_of(clusters.of[key], rules.seed, rules.splits) for key in clusters.prompts]
    near: Nearest = nearest_across(clusters.asked, clusters.same, sides, threads)
    sizes = [len(list(own)) for _, own in groupby(sorted(clusters.of.values()))]
    named = [None if row is None else clusters.prompts[row] for row in (near.a, near.b)]
    return {
        "prompts": len(sides),
        "clusters": len(sizes),
        "largest": max(sizes, default=0),
        "greatest_similarity": None if near.similarity is None else round(near.similarity, 6),
        "between": named,
        "looked_for_from": near.at_least,
    }


def quota_of(pairs: Iterable[Brief], clusters: Clusters, rules: Rules, gone: Collection[str]) -> dict[str, str]:
    """The rows beyond the quota, each with the reason."""
    if not rules.per_prompt:
        return {}
    stay = [pair for pair in pairs if pair.id not in gone]
    by_task = sorted((pair.task, pair.id, clusters.of[pair.prompt_id]) for pair in stay)
    tasks = ([(key, name) for _, key, name in own] for _, own in groupby(by_task, key=lambda one: one[0]))
    kept = allowed(tasks, rules.per_prompt, rules.seed)
    why = reason(rules.per_prompt)
    return {pair.id: why for pair in stay if pair.id not in kept}


def without(
    pairs: Sequence[PlainPair], left_out: Mapping[str, str], task: str
) -> tuple[list[PlainPair], list[LeftOut]]:
    """The pairs of one task that stay, and the others with the reason."""
    if not left_out:
        return list(pairs), []
    stay = [pair for pair in pairs if pair["id"] not in left_out]
    gaps = [
        LeftOut(task, [pair["chosen_id"], pair["rejected_id"]], left_out[pair["id"]])
        for pair in pairs
        if pair["id"] in left_out
    ]
    return stay, gaps
