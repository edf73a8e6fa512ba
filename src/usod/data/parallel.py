"""Mapping a function over many items, in order: in processes for computing, in threads for reading files."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import forkserver
from typing import TypeVar

from usod.errors import UsodError
from usod.progress import progress

A = TypeVar("A")
B = TypeVar("B")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
READERS = 8
"""Threads that read files: decoding leaves the interpreter lock, and network file systems have latency."""


def parallel_map(work: Callable[[A], B], items: Sequence[A], workers: int, imports: Sequence[str] = ()) -> Iterator[B]:
    """Results of `work` (a module-level function) for `items`, in their order; with one worker, in this process.

    Only a few results wait at a time, so memory does not grow with the number of items. The modules `imports`, which
    the work needs, are imported once for all workers.

    Raises
    ------
    UsodError
        If a worker process was killed (out of memory, most often). Errors of `work` are passed on.
    """
    if workers <= 1 or len(items) <= 1:
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(min(workers, len(items)), mp_context=_context(imports), initializer=_one_thread)
    try:
        yield from _in_order(pool, work, items, 4 * workers)
    except BrokenProcessPool as error:
        raise UsodError("a worker process was killed (out of memory?); use fewer workers") from error


def threaded_map(work: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """`parallel_map` in threads, for work that leaves the interpreter lock: reading files, NumPy, compiled loops.

    The items may be what another such call yields: so a pipeline is made, each stage a few items ahead of the next.
    """
    if threads <= 1:
        yield from map(work, items)
        return
    yield from _in_order(ThreadPoolExecutor(threads), work, items, 2 * threads)


def _in_order(pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int) -> Iterator[B]:
    """Results in the order of the items, of which only some are handed to the pool `ahead`; the pool is shut down."""
    coming = iter(items)
    try:
        waiting = deque(pool.submit(work, item) for item in islice(coming, ahead))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(coming, 1))
            yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_all(work: Callable[[A], B], items: Sequence[A], what: str, shown: bool, workers: int = READERS) -> list[B]:
    """Results of `work`, which reads files, for `items` in their order; the first error in that order stops the rest.

    Parameters
    ----------
    what : what is being done, for the progress
    shown : show progress (`usod.progress.progress`)
    workers : number of threads
    """
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(work, items)
        return list(progress(results, len(items), what) if shown else results)


def _context(imports: Sequence[str]) -> multiprocessing.context.BaseContext:
    """How workers are started: forked from a fresh process that has the imports.

    One that is forked from this process could inherit locks that a thread of it holds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *imports])
    before = dict(os.environ)
    _one_thread()
    try:
        forkserver.ensure_running()  # what it imports reads its environment
    finally:
        os.environ.update(before)
        for variable in _THREADS:
            if variable not in before:
                del os.environ[variable]
    return context


def _one_thread() -> None:
    """The processes share the cores already: no threads of BLAS or OpenMP on top."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))
