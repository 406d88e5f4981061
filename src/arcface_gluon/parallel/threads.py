"""Elementwise work on host memory over all the threads that the products have: NumPy itself takes only one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Callable

import numpy as np

from .shards import shard_ranges


def in_parts(work: Callable[[int, int], object], count: int, smallest: int = 1) -> None:
    """Call `work(first, last)` on ranges that make up 0 … count-1 together, one a thread; wait for all.

    Args:
        work: works on arrays by NumPy's functions, which let other threads run. What it raises is raised here.
        count: of rows.
        smallest: rows that are worth a thread.
    """
    threads = max(1, min(thread_count(), count // smallest))
    if threads == 1:
        work(0, count)
        return
    *others, last = shard_ranges(count, threads)
    # NumPy's warnings are switched off a thread at a time: the others do as this one does.
    settings = np.geterr()

    def quietly(part):
        with np.errstate(**settings):
            work(*part)

    waiting = [_pool(os.getpid(), threads).submit(quietly, part) for part in others]
    try:
        work(*last)
    finally:
        for one in waiting:
            one.result()


def thread_count() -> int:
    """As many threads as OpenMP takes (`runtime` sets OMP_NUM_THREADS to the physical cores)."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) else os.cpu_count() or 1


@lru_cache(maxsize=None)
def _pool(process, threads):
    # A fork has the parent's pool, but not its threads: each process makes its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="elementwise")
