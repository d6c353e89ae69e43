"""Work in blocks on several threads or processes, with results in the order of the blocks: no digit depends on them."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from data.errors import BadInput


def how_many(threads: int | None) -> int:
    """As many threads as were asked for, or one for each core that may be used; BadInput below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise BadInput(f"--threads: {threads} is below 1")
    return threads


@contextmanager
def in_order(jobs: int, threads: int | None = None) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` whose results come in order, on as many threads as there are cores or as asked for.

    For work that lets go of the interpreter (numpy, scipy's sparse tables). With fewer than two jobs it is
    the plain `map`.

    Raises:
        BadInput: fewer than one thread is asked for.
    """
    wanted = min(jobs, how_many(threads))
    if wanted < 2:
        yield map
        return
    with ThreadPoolExecutor(wanted) as pool:
        yield pool.map


@contextmanager
def processes(count: int) -> Iterator[Any]:
    """A function that maps over tasks in order: by `count` processes, or right here when it is 1."""
    if count <= 1:
        yield map
        return
    with _pool(count) as pool:
        pool.submit(int)  # they begin now, while the first task is being made
        yield partial(_map, pool, count + 2)


def _map(pool: ProcessPoolExecutor, ahead: int, work: Any, *tasks: Iterable[Any]) -> Iterator[Any]:
    """Results in the order of the tasks, with so many under way: what waits does not fill the memory."""
    waiting = []
    todo: Iterator[Any] = zip(*tasks, strict=False)
    first, second = next(todo, None), next(todo, None)
    if second is None:  # a process would only cost its start
        if first is not None:
            yield work(*first)
        return
    for task in itertools.chain([first, second], todo):
        waiting.append(pool.submit(work, *task))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for one in waiting:
        yield one.result()


@contextmanager
def beside(process: bool) -> Iterator[Callable[..., Callable[[], Any]]]:
    """A function that starts work and gives another that waits for its result; nothing is under way at the end.

    Args:
        process: whether each work has a process of its own; else it is done here when its result is asked for.
    """
    with ExitStack() as stack:

        def start(work: Callable[..., Any], *given: Any) -> Callable[[], Any]:
            pool = stack.enter_context(_pool(1))
            under_way = pool.submit(work, *given)

            def result() -> Any:
                found = under_way.result()
                pool.shutdown()  # its memory is wanted
                return found

            return result

        yield start if process else partial


def _pool(count: int) -> ProcessPoolExecutor:
    """Processes that begin afresh: one that is copied would share locks with threads it does not have."""
    import multiprocessing

    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Begin a process: it ends when the one that started it is killed, and does not wait for work for ever.

    Blocks are made of small values in no cycles, so nothing is gained by looking for some.
    """
    import gc
    import multiprocessing
    import threading

    gc.disable()

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
