"""Work of the processor over several processes: results in the order of the tasks, whatever their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, Callable, Generator, Iterable

import cv2

from ..errors import UserError

# Tasks that are handed out before their results are asked for, a process.
_AHEAD = 8


def ordered_map(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    processes: int,
    prepare: Callable[..., None] | None = None,
    arguments: tuple = (),
) -> Generator[Any, None, None]:
    """`function(*task)` of each task, in order. Close the generator (or use it up) to end the processes.

    Args:
        function: of a module, as are `prepare` and what the tasks hold: it is called in other processes.
        tasks: read as results are asked for, a few ahead.
        processes: how many work side by side, each with one thread; with one, this process works itself.
        prepare: called once in each process, with `arguments`, before the first task.

    Raises:
        UserError: a process was killed; and whatever `function` raises.
    """
    if processes == 1:
        if prepare:
            prepare(*arguments)
        for task in tasks:
            yield function(*task)
        return
    # New interpreters: a forked one may wait for ever on a lock that a thread of a library held.
    spawned = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawned, _begin, (prepare, arguments))
    waiting: deque[Any] = deque()
    try:
        for task in tasks:
            with _one_thread():
                waiting.append(pool.submit(function, *task))
            if len(waiting) >= _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "one of the processes was killed, perhaps for want of memory; give fewer --processes and run it again"
        ) from None
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown()


@contextmanager
def _one_thread():
    """What processes that start meanwhile are told; they start where a task finds none idle."""
    threads, os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS"), "1"
    try:
        yield
    finally:
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = threads


def _begin(prepare, arguments):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the first process tells when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    if prepare:
        prepare(*arguments)


def _end_with_parent():
    """A killed first process cannot end the others, which would wait for its tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
