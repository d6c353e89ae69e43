"""Scans of an audit: evaluation texts and private data among rows, and planted faults found.

    python -m bench.scan

Rows of 900 characters (English words, Chinese letters) are searched for the n-grams of 10,000 evaluation
texts, and for private data, by one thread; a part of them again by sets of n-grams and by Python's `re`
text by text, which must find the same. The seconds are the processor's; the clock is kept beside. Then 20
projects with planted faults and 20 clean ones are audited: what was found, and what blocked for no reason.
Last, all checks over 300,000 rows with three judgments each, on two threads in a process of its own: the
seconds of each check, and the memory beyond that of the rows.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.figures import parsed, report
from bench.planted import PRIVATE, plant
from curate import contamination, private
from curate.auditing import findings
from curate.contamination import EvaluationText
from data.text import tokens

REACH = {"contamination_us": 30.0, "private_mb_s": 50.0, "audit_s": 12.0, "audit_mb": 1000.0}
AUDIT_ROWS = 300_000
NOISE = (
    "see https://docs.corp.io/guide/setup?id=4471 for more",
    "on 2026-03-14 at 15:09 we sold 1,299,000 of them",
    "order 20260314-000817, version 3.11.4",
    "pi is 3.14159265358979",
)
HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说"


def rows(rng: random.Random, count: int, characters: int, chinese: bool) -> list[str]:
    """Texts of about so many characters."""
    vocabulary = [
        "".join(rng.choice("etaoinshrdlcumwfgypb") for _ in range(rng.choice((2, 3, 3, 4, 5, 6, 7, 9))))
        for _ in range(30_000)
    ]
    made = []
    for _ in range(count):
        if chinese:
            text = "".join(rng.choices(HAN, k=characters))
            made.append("，".join(text[i : i + 12] for i in range(0, len(text), 13)))
        else:
            words = rng.choices(vocabulary, k=characters // 5)
            made.append(" ".join(words).capitalize()[: characters - 1] + ".")
    return made


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, and the seconds of the processor and of the clock."""
    cpu, clock = time.process_time(), time.perf_counter()
    found = work()
    return found, time.process_time() - cpu, time.perf_counter() - clock


def plain_contaminated(texts: list[str], known: list[EvaluationText], n: int, shortest: int) -> set[int]:
    """Numbers of the texts that share an n-gram, by Python's sets."""
    grams: set[tuple[str, ...]] = set()
    short: set[tuple[str, ...]] = set()
    for one in known:
        words = tokens(one.text)
        if len(words) >= n:
            grams |= {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
        elif len(words) >= shortest:
            short.add(tuple(words))
    sizes = sorted({len(words) for words in short})
    found = set()
    for i, text in enumerate(texts):
        words = tokens(text)
        hit = any(tuple(words[j : j + n]) in grams for j in range(len(words) - n + 1))
        if hit or any(tuple(words[j : j + k]) in short for k in sizes for j in range(len(words) - k + 1)):
            found.add(i)
    return found


def measure_contamination(rng: random.Random, count: int, chinese: bool) -> dict[str, Any]:
    """Microseconds a row, beside sets of n-grams."""
    texts = rows(rng, count, 900, chinese)
    known = [
        EvaluationText("eval", str(i), "text", t[: rng.randrange(60, 900)])
        for i, t in enumerate(rows(rng, 10_000, 900, chinese))
    ]
    for i in range(0, count, 200):
        texts[i] = f"{texts[i][:300]} {known[i % len(known)].text} {texts[i][300:600]}"
    index, index_s, _ = timed(lambda: contamination.index(known))
    contamination.scan(texts[:500], index)
    found, cpu, clock = timed(lambda: contamination.scan(texts, index))
    part = texts[: max(200, count // 50)]
    # Sets of the n-grams of all evaluation texts take gigabytes: a tenth of them is enough to compare.
    some = known[: len(known) // 10]
    plain, plain_cpu, _ = timed(lambda: plain_contaminated(part, some, index.n, index.shortest))
    ours = {match.text for match in contamination.scan(part, contamination.index(some))}
    return {
        "rows": count,
        "evaluation_texts": len(known),
        "us_per_row": round(cpu / count * 1e6, 2),
        "us_per_row_by_the_clock": round(clock / count * 1e6, 2),
        "index_s": round(index_s, 2),
        "sets_of_n_grams_us_per_row_with_index": round(plain_cpu / len(part) * 1e6, 1),
        "found": len(found),
        "planted": len(range(0, count, 200)),
        "differ": len(ours ^ plain),
    }


def measure_private(rng: random.Random, count: int, chinese: bool) -> dict[str, Any]:
    """Megabytes of UTF-8 a second, beside Python's `re` on each text."""
    texts = rows(rng, count, 900, chinese)
    for i in range(0, count, 20):
        texts[i] += " " + (rng.choice(PRIVATE) if i % 60 == 0 else rng.choice(NOISE))
    size = sum(len(t.encode()) for t in texts)
    private.scan(texts[:500])
    found, cpu, clock = timed(lambda: private.scan(texts))
    part = texts[: max(200, count // 50)]
    plain, plain_cpu, _ = timed(lambda: [one._replace(text=i) for i, t in enumerate(part) for one in private.find(t)])
    part_size = sum(len(t.encode()) for t in part)
    return {
        "rows": count,
        "megabytes": round(size / 1e6, 1),
        "mb_per_s": round(size / cpu / 1e6, 1),
        "mb_per_s_by_the_clock": round(size / clock / 1e6, 1),
        "python_re_mb_per_s": round(part_size / plain_cpu / 1e6, 1),
        "found": len(found),
        "planted": len(range(0, count, 60)),
        "differ": sum((Counter(one for one in found if one.text < len(part)) - Counter(plain)).values())
        + sum((Counter(plain) - Counter(one for one in found if one.text < len(part))).values()),
    }


def measure_faults(seeds: int, tasks: int) -> dict[str, Any]:
    """Planted faults found, by name, and findings of level block in clean projects."""
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    false_blocks: list[str] = []
    false_warnings: Counter[str] = Counter()
    untraced = 0
    for seed in range(seeds):
        faulty = plant(seed, tasks)
        index = contamination.index([EvaluationText("eval", "1", "question", faulty.evaluation)])
        told = findings(faulty.material, None, index)
        cases = {(one.finding.name, c.id) for one in told for c in one.cases}
        untraced += sum(bool(one.cases) and not one.finding.trace for one in told)
        planted.update(name for name, _ in faulty.faults)
        found.update(name for name, id in faulty.faults if (name, id) in cases)
        clean = findings(plant(seed, tasks, clean=True).material, None, index)
        false_blocks += [one.finding.name for one in clean if one.finding.level == "block"]
        false_warnings.update(one.finding.name for one in clean if one.finding.level == "warn")
    return {
        "projects": seeds,
        "planted": sum(planted.values()),
        "found": sum(found.values()),
        "recall": {name: f"{found[name]}/{n}" for name, n in sorted(planted.items())},
        "false_blocks_in_clean_projects": len(false_blocks),
        "warnings_in_clean_projects": dict(false_warnings),
        "findings_that_cannot_be_traced": untraced,
    }


def measure_audit(rows: int) -> dict[str, Any]:
    """Every check over so many rows, on two threads and on one, which must find the same."""
    command = [sys.executable, "-m", "bench.judged", str(rows)]
    told = [json.loads(subprocess.run([*command, n], capture_output=True, check=True).stdout) for n in ("2", "1")]
    return {**told[0], "on_one_thread_s": told[1]["seconds"], "same": told[0]["digest"] == told[1]["digest"]}


def main() -> int:
    """Measure, print, keep; 1 when a figure is not reached."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=50_000, help="rows of 900 characters (default: 50,000)")
    p.add_argument("--seeds", type=int, default=20, help="planted and clean projects (default: 20)")
    p.add_argument("--tasks", type=int, default=300, help="tasks in each (default: 300)")
    p.add_argument("--audit", type=int, default=AUDIT_ROWS, help="rows of the whole audit (default: 300,000)")
    p.add_argument("--seed", type=int, default=7)
    args = parsed(p)
    rng = random.Random(args.seed)
    grams = {name: measure_contamination(rng, args.rows, name == "chinese") for name in ("english", "chinese")}
    data = {name: measure_private(rng, args.rows, name == "chinese") for name in ("english", "chinese")}
    faults = measure_faults(args.seeds, args.tasks)
    audit = measure_audit(args.audit)
    slowest = max(one["us_per_row"] for one in grams.values())
    least = min(one["mb_per_s"] for one in data.values())
    ok = (
        slowest < REACH["contamination_us"]
        and least >= REACH["private_mb_s"]
        and not any(one["differ"] for one in (*grams.values(), *data.values()))
        and faults["found"] == faults["planted"]
        and not faults["false_blocks_in_clean_projects"]
        and audit["same"]
        # Fewer rows than the figure names tell nothing of it.
        and (
            args.audit < AUDIT_ROWS
            or (audit["seconds"] <= REACH["audit_s"] and audit["beyond_mb"] <= REACH["audit_mb"])
        )
    )
    figure = (
        f"contamination {slowest} us a row, private data {least} MB/s, {faults['found']} of {faults['planted']}"
        f" planted faults found, {faults['false_blocks_in_clean_projects']} false blocks;"
        f" all checks over {args.audit:,} rows {audit['seconds']} s and {audit['beyond_mb']} MB"
    )
    details: dict[str, Any] = {"contamination": grams, "private_data": data, "faults": faults, "audit": audit}
    details["load"] = round(os.getloadavg()[0], 1)
    against = (
        "< 30 us a row (decon: 34), >= 50 MB/s (Python's re: about 5), every fault, no false block;"
        " 300,000 rows <= 12 s and <= 1000 MB beyond them"
    )
    return report("scan", figure, against, details, ok)


if __name__ == "__main__":
    sys.exit(main())
