"""Novelty, exact: a pool built, one candidate against a large one, decisions, and rouge_score beside it.

    python -m bench.novelty

One process, one thread. A pool of 52,000 instructions is grown from nothing, each candidate compared with all
kept before; then candidates are asked about against it and against 1,000,000. Pairs of texts, half of them
near the threshold, are decided by the index and by the table of the longest common subsequence in whole
numbers. Self-Instruct's way (rouge_score on the strings, against every text kept) builds a pool of 2,000 from
the same stream; the index in its compatible mode must keep the same.
"""

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from bench import instructions
from bench.figures import Meter, parsed, report, spread
from datagen.novelty_index import THRESHOLD, NoveltyIndex, words_of

REACH = {"build_s": 30.0, "build_mb": 300.0, "at_pool_ms": 1.0, "at_million_ms": 10.0}


class Built(NamedTuple):
    """A pool grown greedily, and what that took."""

    pool: NoveltyIndex
    seen: int
    seconds: float
    cpu_seconds: float


def grow(index: NoveltyIndex, texts: Iterator[str], size: int) -> Built:
    """Keep what is new until the index has this many texts; making the candidates is not counted."""
    seen, seconds, cpu, meter = 0, 0.0, 0.0, Meter()
    while len(index) < size:
        batch = list(islice(texts, 1000))
        began, cpu_began = time.perf_counter(), time.process_time()
        for text in batch:
            seen += 1
            if index.nearest(text) is None:
                index.add(str(seen), text)
                if len(index) == size:
                    break
        seconds += time.perf_counter() - began
        cpu += time.process_time() - cpu_began
        meter.say(f"{len(index):,} of {size:,} kept")
    return Built(index, seen, seconds, cpu)


def ask(index: NoveltyIndex, texts: Iterator[str], count: int) -> dict[str, dict[str, float]]:
    """Milliseconds for one candidate against the whole index, of the processor and by the clock."""
    index.nearest("once before the clock runs")
    cpu, clock = [], []
    for text in islice(texts, count):
        cpu_began, began = time.process_time(), time.perf_counter()
        index.nearest(text)
        clock.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
    return {"cpu": spread(cpu), "clock": spread(clock)}


def lengths(texts: list[str]) -> dict[str, float]:
    """Tokens of the texts: mean, median, 95th percentile, most."""
    counts = sorted(len(words_of(text)) for text in texts)
    at = {"p50": len(counts) // 2, "p95": int(len(counts) * 0.95), "max": -1}
    return {"mean": round(sum(counts) / len(counts), 1), **{name: counts[place] for name, place in at.items()}}


def table_lcs(a: Sequence[str], b: Sequence[str]) -> int:
    """The longest common subsequence by its table, for nothing but to be right."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            above = row[j]
            row[j] = before + 1 if x == y else max(above, row[j - 1])
            before = above
    return row[-1]


def english_pairs(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Real questions: one in four with any other, the rest with themselves after a few changes of words."""
    known = [text for text in instructions.real_questions() if len(text.split()) <= 60]
    if not known:
        known = list(islice(instructions.english(rng), 1000))
    words = instructions.Words([word for text in known for word in text.split()])
    while True:
        a = rng.choice(known)
        most = max(4, len(a.split()) // 2)
        b = rng.choice(known) if rng.random() < 0.25 else instructions.mutate(rng, a.split(), words, most=most)
        yield a, b


def chinese_pairs(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Grown Chinese: one in four with any other, the rest with themselves after a few changes of characters."""
    known = list(islice(instructions.chinese(rng), 2000))
    characters = instructions.Words([c for text in known for c in text])
    while True:
        a = rng.choice(known)
        most = max(4, len(a) // 2)
        b = rng.choice(known) if rng.random() < 0.25 else instructions.mutate(rng, list(a), characters, "", most)
        yield a, b


def decide(pairs: Iterator[tuple[str, str]], count: int) -> dict[str, int]:
    """How many pairs the index decides otherwise than 2qL > p(m + n) with L from the table."""
    from rapidfuzz.distance import Indel

    p, q = THRESHOLD.numerator, THRESHOLD.denominator
    told = {"pairs": 0, "differ": 0, "too_near": 0, "within_0.1": 0, "ties": 0, "wrong_by_float_cutoff": 0}
    for a, b in islice(pairs, count):
        index = NoveltyIndex()
        index.add("a", a)
        x, y = words_of(a), words_of(b)
        lcs, both = table_lcs(x, y), len(x) + len(y)
        exact = 2 * q * lcs > p * both
        told["pairs"] += 1
        told["differ"] += (index.nearest(b) is not None) is not exact
        told["too_near"] += exact
        told["within_0.1"] += abs(2 * lcs / both - p / q) <= 0.1
        told["ties"] += 2 * q * lcs == p * both
        told["wrong_by_float_cutoff"] += (Indel.normalized_similarity(x, y, score_cutoff=0.700000001) > 0) is not exact
    return told


def beside(size: int, seed: int) -> dict[str, Any]:
    """A pool grown by rouge_score as Self-Instruct does it, and the same by the index in its compatible mode."""
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    scorer, meter = RougeScorer(["rougeL"], use_stemmer=False), Meter()
    kept: list[str] = []
    texts = instructions.english(random.Random(seed))
    began = time.process_time()
    while len(kept) < size:
        text = next(texts)
        if max((scorer.score(text, other)["rougeL"].fmeasure for other in kept), default=0.0) <= 0.7:
            kept.append(text)
            meter.say(f"{len(kept):,} of {size:,} kept by rouge_score")
    theirs = time.process_time() - began
    ours = grow(NoveltyIndex(compat="rouge_score"), instructions.english(random.Random(seed)), size)
    differ = sum(text != other for text, (_, other) in zip(kept, ours.pool, strict=True))
    return {
        "pool": size,
        "rouge_score_cpu_s": round(theirs, 2),
        "ours_cpu_s": round(ours.cpu_seconds, 3),
        "times": round(theirs / ours.cpu_seconds),
        "kept_differ": differ,
    }


def measure(pool: int, million: int, asked: int, pairs: int, rouge: int, seed: int) -> dict[str, Any]:
    """Everything, with these sizes."""
    texts = instructions.english(random.Random(seed))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    built = grow(NoveltyIndex(), texts, pool)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict[str, Any] = {
        "built": len(built.pool),
        "candidates": built.seen,
        "build_clock_s": round(built.seconds, 2),
        "build_cpu_s": round(built.cpu_seconds, 2),
        "build_mb": round(memory / 1024),
        "build_mb_more_than_before": round((memory - before) / 1024),
        "tokens": lengths([text for _, text in built.pool]),
        "at_pool_ms": ask(built.pool, texts, asked),
    }
    chinese = instructions.chinese(random.Random(seed))
    zh = grow(NoveltyIndex(), chinese, pool)
    found |= {"chinese_build_cpu_s": round(zh.cpu_seconds, 2), "chinese_at_pool_ms": ask(zh.pool, chinese, asked)}
    del zh
    meter, began = Meter(), time.process_time()
    while len(built.pool) < million:  # added as they come: growing greedily is measured above
        built.pool.add(str(len(built.pool)), next(texts))
        meter.say(f"{len(built.pool):,} of {million:,} added")
    found |= {
        "million": len(built.pool),
        "added_with_making_them_cpu_s": round(time.process_time() - began, 1),
        "at_million_ms": ask(built.pool, texts, asked // 5 or 1),
        "million_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "english_pairs": decide(english_pairs(random.Random(seed)), pairs),
        "chinese_pairs": decide(chinese_pairs(random.Random(seed)), pairs),
        "rouge_score": beside(rouge, seed),
    }
    return found


def main() -> int:
    """Measure, print, keep; 1 when a figure is not reached."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", type=int, default=52_000, help="texts in the pool that is built (default 52,000)")
    p.add_argument("--million", type=int, default=1_000_000, help="texts in the large index (default 1,000,000)")
    p.add_argument("--asked", type=int, default=5_000, help="candidates asked about (default 5,000)")
    p.add_argument("--pairs", type=int, default=20_000, help="pairs decided in each language (default 20,000)")
    p.add_argument("--rouge", type=int, default=2_000, help="texts in rouge_score's pool (default 2,000)")
    p.add_argument("--seed", type=int, default=7)
    args = parsed(p)
    found = measure(args.pool, args.million, args.asked, args.pairs, args.rouge, args.seed)
    english, chinese, rival = found["english_pairs"], found["chinese_pairs"], found["rouge_score"]
    at_pool, at_million = found["at_pool_ms"]["cpu"], found["at_million_ms"]["cpu"]
    differ = english["differ"] + chinese["differ"] + rival["kept_differ"]
    ok = (
        found["build_cpu_s"] < REACH["build_s"]
        and found["build_mb"] < REACH["build_mb"]
        and at_pool["p95"] < REACH["at_pool_ms"]
        and at_million["p95"] < REACH["at_million_ms"]
        and not differ
    )
    figure = (
        f"{found['built']:,} built in {found['build_cpu_s']} s with {found['build_mb']} MB; one against them"
        f" {at_pool['p50']} ms (p95 {at_pool['p95']}), against {found['million']:,}"
        f" {at_million['p50']} ms (p95 {at_million['p95']}); {differ} of"
        f" {english['pairs'] + chinese['pairs']:,} decisions differ"
    )
    hours = rival["rouge_score_cpu_s"] * (found["built"] / rival["pool"]) ** 2 / 3600  # each is compared with each
    against = (
        f"rouge_score takes {rival['times']:,} times as long to build a pool of {rival['pool']:,}, one core each;"
        f" by the square of the size that is {hours:,.1f} hours for {found['built']:,}"
    )
    return report("novelty", figure, against, found, ok)


if __name__ == "__main__":
    sys.exit(main())
