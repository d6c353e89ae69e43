"""A large judged project made of sentences: what an audit of an export has to read, 900 characters a row.

Prompts of about 100 characters, answers of about 400, English and Chinese, with lists, headers, bold
passages and code; 2 in 100 pairs of answers differ in one word, a few texts hold private data, and
each pair has three judgments by some of 200 people. Everything follows from the seed.

    python -m bench.judged ROWS THREADS

audits it in a process of its own and prints the seconds of each check and the memory as JSON.
"""

import json
import os
import random
import resource
import sys
import time
from hashlib import blake2b
from typing import Any

from bench.planted import PRIVATE
from curate.auditing import findings
from curate.material import Ballot, Material, Pair, material

HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说"
LICENCES = ("MIT", "CC-BY-4.0", "CC0-1.0", None)
PEOPLE = 200
VOTES = 3


def sentences(rng: random.Random, count: int, chinese: bool) -> list[str]:
    """Sentences of about 60 characters (24 in Chinese) of words as frequent as in a language."""
    if chinese:
        return ["".join(rng.choices(HAN, k=rng.randrange(14, 34))) + "。" for _ in range(count)]
    words = ["".join(rng.choices("etaoinshrdlcumwfgypbvk", k=rng.choice((2, 3, 4, 4, 5, 6, 8)))) for _ in range(8000)]
    odds = [1 / (n + 3) for n in range(len(words))]
    drawn = iter(rng.choices(words, odds, k=count * 14))
    return [" ".join(next(drawn) for _ in range(rng.randrange(8, 14))).capitalize() + "." for _ in range(count)]


def _answer(rng: random.Random, pool: list[str], size: int) -> str:
    said = [rng.choice(pool) for _ in range(2)]
    held = sum(map(len, said))
    while held < size:
        said.append(rng.choice(pool))
        held += len(said[-1]) + 1
    look = rng.random()
    if look < 0.15:
        return "\n".join([said[0], *(f"- {line}" for line in said[1:])])
    if look < 0.22:
        return f"## {said[0]}\n\n**{said[1]}** " + " ".join(said[2:])
    if look < 0.25:
        return f"{said[0]}\n```python\nx = [{held}]\n```\n" + " ".join(said[1:])
    return " ".join(said)


def _id(*parts: object) -> str:
    return blake2b("|".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def judged(count: int, seed: int = 7) -> Material:
    """The material of so many tasks of two answers each, all of them rows, with three judgments each."""
    rng = random.Random(seed)
    pools = sentences(rng, 20_000, False), sentences(rng, 20_000, True)
    people = [f"person-{n}" for n in range(PEOPLE)]
    pairs: list[Pair] = []
    ballots: list[Ballot] = []
    for n in range(count):
        pool = pools[rng.random() < 0.15]
        prompt = f"{rng.choice(pool)} {rng.choice(pool)[:40]} {n}?"
        chosen = _answer(rng, pool, rng.randrange(250, 560))
        rejected = _answer(rng, pool, rng.randrange(250, 540))
        if n % 50 == 0:
            rejected = chosen[:-8] + "indeed."
        elif n % 997 == 0:
            rejected += " " + PRIVATE[n % len(PRIVATE)]
        good, bad, asked = _id("response", n, 0), _id("response", n, 1), _id("prompt", n)
        split = ("train",) * 18 + ("validation", "test")
        pairs.append(
            Pair(
                id=_id("row", n),
                prompt_id=asked,
                prompt=prompt,
                chosen=chosen,
                rejected=rejected,
                chosen_id=good,
                rejected_id=bad,
                probability=rng.choice((0.875, 0.625)),
                split=split[n % len(split)],
                licence=LICENCES[n % 3 if n % 97 else 3],
                language="en",
            )
        )
        task = _id("task", n)
        for vote, who in enumerate(rng.sample(people, VOTES)):
            first, won = rng.random() < 0.5, rng.random() < 0.8
            place = {good: 0, bad: 1} if won else {good: 1, bad: 0}
            shown = (good, bad) if first else (bad, good)
            took = round(rng.lognormvariate(3.4, 0.5), 1)
            ballots.append(Ballot(_id("vote", n, vote), task, asked, who, "person", shown, place, took))
    return material(pairs, ballots)


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def audited(rows: int, threads: int) -> dict[str, Any]:
    """Audit so many rows: seconds of the clock by check, and the memory beyond that of the material."""
    made = judged(rows)
    before = _peak_mb(resource.RUSAGE_SELF)
    seconds: dict[str, float] = {}
    named: list[str] = []
    since = began = time.perf_counter()

    def step(name: str) -> None:
        nonlocal since
        now = time.perf_counter()
        if named:
            seconds[named[-1]] = round(now - since, 2)
        named.append(name)
        since = now

    cpu = time.process_time()
    found = findings(made, None, None, step, threads)
    cpu = time.process_time() - cpu
    step("")
    workers = (
        _peak_mb(resource.RUSAGE_CHILDREN) * threads if resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime else 0
    )
    return {
        "rows": rows,
        "judgments": len(made.ballots),
        "threads": threads,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(cpu, 1),
        "by_check": seconds,
        "material_mb": round(before),
        "beyond_mb": round(_peak_mb(resource.RUSAGE_SELF) - before + workers),
        "findings": {one.finding.name: one.finding.count for one in found},
        "digest": blake2b("".join(one.model_dump_json() for one in found).encode(), digest_size=8).hexdigest(),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    print(json.dumps(audited(int(sys.argv[1]), int(sys.argv[2]))))
