"""Work in blocks on several threads, with results in the order of the blocks: no digit depends on threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from data.errors import BadInput


@contextmanager
def in_order(jobs: int, threads: int | None = None) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` whose results come in order, on as many threads as there are cores or as asked for.

    For work that lets go of the interpreter (numpy, scipy's sparse tables). With fewer than two jobs it is
    the plain `map`.

    Raises:
        BadInput: fewer than one thread is asked for.
    """
    if threads is not None and threads < 1:
        raise BadInput(f"--threads: {threads} is below 1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = min(jobs, threads or cores)
    if wanted < 2:
        yield map
        return
    with ThreadPoolExecutor(wanted) as pool:
        yield pool.map
