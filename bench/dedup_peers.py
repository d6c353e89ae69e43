"""What datasketch or rensa make of the same texts: pairs above the threshold, the seconds, the memory.

    PYTHON bench/dedup_peers.py rensa TEXTS.parquet ROWS

Run by bench/dedup.py with an interpreter that has both; it needs nothing of Concord. Word 3-grams, 128
permutations, and the bands each chooses for 0.8. Neither compares the sets themselves, and nothing is
added here that does: pairs are those of their own estimate.
"""

import importlib
import json
import re
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

THRESHOLD, PERMUTATIONS, BATCH = 0.8, 128, 10_000


def read(path: str, rows: int) -> Iterator[str]:
    """The first texts of the file."""
    import pyarrow.parquet as pq

    for batch in islice(pq.ParquetFile(path).iter_batches(BATCH), -(-rows // BATCH)):
        yield from batch.column(0).to_pylist()


def shingles(text: str) -> list[str]:
    """Word 3-grams as text: what their examples hash."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [" ".join(words[i : i + 3]) for i in range(max(len(words) - 2, 1))]


def with_datasketch(path: str, rows: int) -> list[tuple[int, int]]:
    """MinHashLSH: each text is asked about, then added."""
    datasketch = importlib.import_module("datasketch")
    index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    found = []
    for row, text in enumerate(read(path, rows)):
        made = datasketch.MinHash(num_perm=PERMUTATIONS)
        made.update_batch([one.encode() for one in set(shingles(text))])
        found += [(other, row) for other in index.query(made)]
        index.insert(row, made)
    return found


def with_rensa(path: str, rows: int) -> list[tuple[int, int]]:
    """RMinHashLSH: the same, with its own signatures; a candidate counts when its estimate reaches the threshold."""
    rensa = importlib.import_module("rensa")
    index = rensa.RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)
    made: list[Any] = []
    found = []
    for row, text in enumerate(read(path, rows)):
        one = rensa.RMinHash(num_perm=PERMUTATIONS, seed=42)
        one.update(shingles(text))
        found += [(other, row) for other in index.query(one) if made[other].jaccard(one) >= THRESHOLD]
        index.insert(row, one)
        made.append(one)
    return found


def main() -> None:
    """Run the one that is named, and print what it found."""
    name, path, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    began = time.perf_counter()
    pairs = {"rensa": with_rensa, "datasketch": with_datasketch}[name](path, rows)
    seconds = round(time.perf_counter() - began, 1)
    cpu = round(time.process_time(), 1)
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
    print(json.dumps({"pairs": sorted(pairs), "seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak}))


if __name__ == "__main__":
    main()
