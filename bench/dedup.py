"""Near-duplicates of 1,000,000 texts of 900 characters: what is found, in what time, and two rivals beside.

    python -m bench.dedup
    python -m bench.dedup --memory 500
    python -m bench.dedup --command            (python -m curate.dedup as one types it, within 500 MB)
    python -m bench.dedup --peers PYTHON       (an interpreter that has datasketch and rensa)

Texts are grown from a seed: words of a language's frequencies, and sentences that some texts share. Planted
among them are pairs with a known number of changed words: 5,000 whose Jaccard similarity of word 3-grams is in
[0.80, 0.82] and 5,000 in [0.78, 0.80), counted by data.text. Texts lie in a Parquet file, which is read
inside the time. The rivals get the same texts, fewer of them, and word 3-grams made as in their own examples.
"""

import argparse
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from bench import peers
from bench.figures import folder, parsed, report
from data.text import shingles

THRESHOLD = Fraction(4, 5)
REACH = {"recall": 0.995, "seconds": 60.0, "peak_mb": 2000.0}
_BATCH = 10_000


class Planted(NamedTuple):
    """Two rows of the file, and whether they are near."""

    first: int
    second: int
    near: bool


class Grower:
    """Texts of about 900 characters."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        weights = [1 / (place + 2) for place in range(26)]
        made = {"".join(self.random.choices(letters, weights, k=self.random.randint(1, 10))) for _ in range(60_000)}
        self.words = sorted(made)
        self.random.shuffle(self.words)
        self.weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(self.words))))
        self.stock = [self.sentence() for _ in range(20_000)]

    def sentence(self) -> str:
        words = self.random.choices(self.words, cum_weights=self.weights, k=self.random.randint(6, 22))
        return " ".join(words).capitalize() + "."

    def text(self) -> str:
        """A text: one sentence in ten is from the stock, which others draw from too."""
        parts, length = [], 0
        while length < 900:
            part = self.random.choice(self.stock) if self.random.random() < 0.1 else self.sentence()
            parts.append(part)
            length += len(part) + 1
        return " ".join(parts)[:900]

    def changed(self, text: str, low: Fraction, high: Fraction) -> str:
        """The text with words changed until its similarity is in [low, high)."""
        mine = shingles(text)
        while True:
            words = text.split()
            for _ in range(len(words)):
                words[self.random.randrange(len(words))] = self.random.choice(self.words) + "x"
                other = shingles(" ".join(words))
                common = len(mine & other)
                similarity = Fraction(common, len(mine) + len(other) - common)
                if similarity < high:
                    break
            if low <= similarity < high:
                return " ".join(words)


def write_texts(path: Path, rows: int, planted: int, seed: int) -> list[Planted]:
    """A Parquet file of texts with `planted` pairs on each side of the threshold, at places drawn by chance."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    grow = Grower(seed)
    ranges = [(THRESHOLD, THRESHOLD + Fraction(2, 100)), (THRESHOLD - Fraction(2, 100), THRESHOLD)]
    places = grow.random.sample(range(rows), 4 * planted)
    pairs = [Planted(places[2 * i], places[2 * i + 1], i < planted) for i in range(2 * planted)]
    waiting: dict[int, str] = {}
    other = {a: (b, near) for one, two, near in pairs for a, b in ((one, two), (two, one))}
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())]), compression="zstd") as out:
        for start in range(0, rows, _BATCH):
            batch = []
            for row in range(start, min(start + _BATCH, rows)):
                text = waiting.pop(row, None)
                if text is None:
                    text = grow.text()
                    if row in other:
                        partner, near = other[row]
                        waiting[partner] = grow.changed(text, *ranges[0 if near else 1])
                batch.append(text)
            out.write_table(pa.table({"text": batch}))
    return pairs


def read_texts(path: Path, rows: int | None = None) -> Iterator[str]:
    """The texts of the file in order, the first `rows` of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what was given back
    file = pq.ParquetFile(path, pre_buffer=False)
    for group in range(file.num_row_groups if rows is None else -(-rows // _BATCH)):
        yield from file.read_row_group(group, use_threads=False).column(0).to_pylist()


def ours(path: Path, rows: int, threads: int, memory: int) -> dict[str, Any]:
    """Decide all rows; run in a process of its own, so that its memory is its own."""
    import numpy as np

    from curate.near import near_rows

    began, load = time.perf_counter(), os.getloadavg()[0]
    texts = read_texts(path, rows)
    with near_rows(([(0, text)] for text in texts), THRESHOLD, threads=threads, memory_mb=memory) as near:
        read = time.perf_counter() - began
        stars = near.stars(np.arange(near.rows))
        recall = near.recall
    gone = np.flatnonzero(stars.kept != np.arange(len(stars.kept)))
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "gone": [[row, int(stars.kept[row]), int(stars.common[row]), int(stars.union[row])] for row in gone.tolist()],
        "seconds": round(seconds, 1),
        "seconds_of_reading_and_shingling": round(read, 1),
        "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in used), 1),
        "peak_mb": round(
            (used[0].ru_maxrss + (threads if memory >= 800 else 0) * used[1].ru_maxrss * (threads > 1)) / 1000
        ),
        "stated_recall": recall,
        "load_before": round(load, 1),
    }


def judge(path: Path, found: dict[str, Any], pairs: list[Planted], rows: int) -> dict[str, Any]:
    """Precision of every removal by data.text, and recall over the planted pairs that are in the rows."""
    gone = {row: (kept, common, union) for row, kept, common, union in found["gone"]}
    asked = {x for row, (kept, _, _) in gone.items() for x in (row, kept)}
    texts = {i: text for i, text in enumerate(read_texts(path, rows)) if i in asked}
    right = 0
    for row, (kept, common, union) in gone.items():
        a, b = shingles(texts[row]), shingles(texts[kept])
        right += len(a & b) == common and len(a | b) == union and Fraction(common, union) >= THRESHOLD
    near = [(min(p[:2]), max(p[:2])) for p in pairs if p.near and max(p[:2]) < rows]
    hits = sum(b in gone and gone[b][0] == a for a, b in near)
    return {
        "removed": len(gone),
        "precision": right / len(gone) if gone else 1.0,
        "planted_near": len(near),
        "recall": hits / len(near) if near else 1.0,
    }


def child(*words: object, python: str = sys.executable) -> Any:
    """Another process's answer: the last line it prints, as JSON."""
    made = subprocess.run([python, *map(str, words)], check=True, capture_output=True, text=True)
    return json.loads(made.stdout.splitlines()[-1])


def main() -> int:
    """Grow the texts, run, judge."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rows", type=int, default=1_000_000)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--memory", type=int, default=1500, help="megabytes (default %(default)s)")
    args.add_argument(
        "--peers", help="an interpreter with datasketch, rensa and pyarrow (default: that of bench.peers dedup)"
    )
    args.add_argument("--peer-rows", type=int, default=50_000)
    args.add_argument("--keep", type=Path, help="a folder in which the texts stay for the next run")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--command", action="store_true", help="the whole command with --memory 500, Parquet and JSONL")
    args.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = parsed(args)
    if asked.child:
        path, rows, threads, memory = asked.child
        print(json.dumps(ours(Path(path), int(rows), int(threads), int(memory))))
        return 0
    with folder() as made:
        place = asked.keep or made
        place.mkdir(parents=True, exist_ok=True)
        return measure(asked, place / f"texts-{asked.rows}-{asked.seed}.parquet")


def measure(asked: argparse.Namespace, path: Path) -> int:
    """One figure, at the whole size, and the ratio to the rivals at theirs."""
    told = path.with_suffix(".json")
    if not told.exists():
        pairs = write_texts(path, asked.rows, min(5000, asked.rows // 200), asked.seed)
        told.write_text(json.dumps(pairs), "utf-8")
    if asked.command:
        return measure_command(path, asked.rows)
    pairs = [Planted(*one) for one in json.loads(told.read_text("utf-8"))]
    run = ("-m", "bench.dedup", "--child", path)
    found = child(*run, asked.rows, asked.threads, asked.memory)
    judged = judge(path, found, pairs, asked.rows)
    del found["gone"]
    details: dict[str, Any] = {"rows": asked.rows, "threads": asked.threads, "memory_asked_mb": asked.memory}
    details |= judged | found
    asked.peers = asked.peers or peers.python_of("dedup")
    if asked.peers and asked.memory >= 800:
        details["at_fewer_rows"] = beside(asked, path, pairs)
    small = asked.memory < 800
    ok = judged["precision"] == 1.0 and judged["recall"] >= REACH["recall"]
    ok &= found["peak_mb"] <= (asked.memory if small else REACH["peak_mb"])
    ok &= small or asked.rows < 1_000_000 or found["seconds"] <= REACH["seconds"]
    figure = (
        f"{asked.rows:,} texts in {found['seconds']} s, {found['peak_mb']:,} MB, precision {judged['precision']:.3f},"
        f" recall {judged['recall']:.4f} of {judged['planted_near']:,} planted"
    )
    against = "within 500 MB, precision 1.000, recall 0.995" if small else "60 s, 2 GB, precision 1.000, recall 0.995"
    if not (small or asked.peers):
        against += f"; {peers.absent('dedup')}"
    return report("dedup_small_memory" if small else "dedup", figure, against, details, ok=ok)


def measure_command(path: Path, rows: int) -> int:
    """Peak memory and seconds of the whole command with --memory 500, and whether its files are those without it."""
    lines = path.with_suffix(".jsonl")
    if not lines.exists():
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in read_texts(path))
    runs: dict[str, Any] = {}
    kept: list[list[Any]] = []
    with folder() as made:
        for name, source, memory in (
            ("parquet", path, 500),
            ("jsonl", lines, 500),
            ("parquet_not_limited", path, 1500),
        ):
            out = made / name
            words = ("--text", "text", "--out", out, "--memory", memory)
            began, load = time.perf_counter(), os.getloadavg()[0]
            run = subprocess.Popen(
                [sys.executable, "-m", "curate.dedup", *map(str, (source, *words))], stdout=subprocess.DEVNULL
            )
            _, status, used = os.wait4(run.pid, 0)
            seconds = time.perf_counter() - began
            assert status == 0, f"curate.dedup ended with {status}"
            runs[name] = {
                "seconds": round(seconds, 1),
                "peak_mb": round(used.ru_maxrss / 1000),
                "load_before": round(load, 1),
            }
            files = json.loads((out / "manifest.json").read_bytes())["files"]
            kept.append([(one["path"], one["sha256"]) for one in files])
    same = all(one == kept[0] for one in kept)
    peak = max(runs[name]["peak_mb"] for name in ("parquet", "jsonl"))
    figure = f"{rows:,} texts, whole command, --memory 500: {peak:,} MB; files {'the same' if same else 'NOT the same'}"
    against = "within 500 MB out of Parquet and JSONL, the same files as without the limit"
    return report("dedup_command", figure, against, {"rows": rows, **runs}, ok=same and peak <= 500)


def beside(asked: argparse.Namespace, path: Path, pairs: list[Planted]) -> dict[str, Any]:
    """Ours and the rivals over the same first rows, one after another."""
    rows = min(asked.peer_rows, asked.rows)
    mine = child("-m", "bench.dedup", "--child", path, rows, asked.threads, asked.memory)
    kept: dict[str, Any] = {
        "rows": rows,
        "versions": peers.versions("dedup", asked.peers),
        "ours": {k: mine[k] for k in ("seconds", "cpu_seconds", "peak_mb")} | judge(path, mine, pairs, rows),
    }
    script = Path(__file__).with_name("dedup_peers.py")
    for name in ("rensa", "datasketch"):
        theirs = child(script, name, path, rows, python=asked.peers)
        near = [(min(p[:2]), max(p[:2])) for p in pairs if p.near and max(p[:2]) < rows]
        got = {(a, b) for a, b in theirs.pop("pairs")}
        theirs["recall"] = sum(pair in got for pair in near) / max(len(near), 1)
        kept[name] = theirs | {"times_ours": round(theirs["seconds"] / mine["seconds"], 1)}
    return kept


if __name__ == "__main__":
    sys.exit(main())
