"""One thread that does all the work, with a short queue before it."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Any, Callable


class Busy(Exception):
    """The queue is full."""


class Worker:
    """Runs functions one after the other in a thread of its own: MXNet wants one, and memory stays that of one."""

    def __init__(self, waiting: int):
        """Args: waiting: how many may wait behind the one that runs."""
        self._queue: queue.Queue = queue.Queue(waiting)
        threading.Thread(target=self._run, daemon=True, name="recogniser").start()

    def __call__(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, or raises, once it is its turn.

        Raises:
            Busy: too many wait already.
        """
        future: Future = Future()
        try:
            self._queue.put_nowait((work, future))
        except queue.Full:
            raise Busy from None
        return future.result()

    def _run(self):
        while True:
            work, future = self._queue.get()
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del work, future  # not to keep the last photograph
