"""Stopping on request: the iteration in hand is finished and a checkpoint written first."""

from __future__ import annotations

import signal


class Interrupted(Exception):
    """SIGINT or SIGTERM was obeyed; `status` is the exit status (130 or 143)."""

    def __init__(self, number, message):
        super().__init__(message)
        self.status = 128 + number


class Interrupts:
    """Within `with Interrupts() as interrupts`, the first SIGINT or SIGTERM only sets `interrupts.received`.

    A second one acts as it would have, for a user who will not wait.
    """

    def __enter__(self):
        self.received = None
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _handle(self, number, frame):
        self.received = number
        self._restore()

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __exit__(self, *exception):
        self._restore()
