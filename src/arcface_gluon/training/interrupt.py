"""Stopping on request: what is in hand is finished and saved first."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import Iterator

# Seconds that a second signal leaves Python to end the usual way; an operator of MXNet may take minutes.
_GRACE = 1.0
# Signals that come within so many seconds are one: a terminal sends it to all processes, and a launcher passes it on.
_ONE = 0.5


class Interrupted(Exception):
    """SIGINT or SIGTERM was obeyed.

    Attributes:
        number: of the signal. status: the exit status (130 or 143).
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.number, self.status = number, 128 + number


class Interrupts:
    """Within `with Interrupts(words) as interrupts`, the first SIGINT or SIGTERM only sets `interrupts.received`.

    It is acknowledged at once on stderr, while Python waits for MXNet too. A second one stops the process.

    Args:
        words: the acknowledgement, which says what is finished first; None: say nothing.
    """

    def __init__(self, words: str | None):
        self._words = words
        self.received: int | None = None
        self._since = 0.0
        self._immediate: str | None = None

    def __enter__(self) -> Interrupts:
        # Python runs signal handlers between its own instructions only; the other end of a pipe hears of them at once.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._previous_write = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        self._thread = threading.Thread(target=self._acknowledge, daemon=True)
        self._thread.start()
        return self

    def _handle(self, number, frame):
        now = time.monotonic()
        if self.received and now - self._since < _ONE:
            return
        if self.received:
            raise Interrupted(number, f"{signal.Signals(number).name}: stopped at once")
        self.received, self._since = number, now
        if self._immediate:
            raise Interrupted(number, self._immediate)

    def _acknowledge(self):
        first, since = 0, 0.0
        while data := os.read(self._read, 16):
            numbers = [number for number in data if number in self._previous]
            if not first and numbers:
                first, since = numbers[0], time.monotonic()
                if self._words:
                    os.write(2, f"{signal.Signals(first).name}: {self._words}; again to stop at once\n".encode())
            elif numbers and time.monotonic() - since >= _ONE:
                time.sleep(_GRACE)
                os._exit(128 + first)
        os.close(self._read)

    @contextmanager
    def immediate(self, words: str, message: str) -> Iterator[None]:
        """Within it, the first signal is raised as Interrupted with `message`: there is nothing to finish.

        Args:
            words: the acknowledgement in its place.
        """
        usual, self._immediate = self._words, message
        self._words = usual and words
        try:
            if self.received:
                raise Interrupted(self.received, message)
            yield
        finally:
            self._immediate = None
            if self.received is None:  # else the acknowledgement may still be on its way
                self._words = usual

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_write)
        os.close(self._write)  # which ends the thread
        self._thread.join()
