"""Stopping on request: what is in hand is finished and saved first."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from ..errors import GO_ON

# Seconds that a second signal leaves Python to end the usual way; an operator of MXNet may take minutes.
_GRACE = 1.0
# Signals that come within so many seconds are one: a terminal sends it to all processes, and a launcher passes it on.
_ONE = 0.5


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGUSR1 was obeyed.

    Attributes:
        number: of the signal. status: the exit status (130, 143; of SIGUSR1, by which job schedulers announce the end
            of a time limit, 75: not finished, start it again).
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.number, self.status = number, _status(number)


def _status(number):
    return GO_ON if number == signal.SIGUSR1 else 128 + number


class Interrupts:
    """Within `with Interrupts(words) as interrupts`, the first of `SIGNALS` only sets `interrupts.received`.

    It is acknowledged at once on stderr, while Python waits for MXNet too. A second one stops the process.

    Args:
        words: the acknowledgement, which says what is finished first, or what gives it then; None: say nothing.
    """

    def __init__(self, words: str | Callable[[], str] | None):
        self._words = words
        self.received: int | None = None
        self._since = 0.0
        self._immediate: str | None = None

    def __enter__(self) -> Interrupts:
        # Python runs signal handlers between its own instructions only; the other end of a pipe hears of them at once.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._previous_write = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
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
                if words := self._words() if callable(self._words) else self._words:
                    os.write(2, f"{signal.Signals(first).name}: {words}; again to stop at once\n".encode())
            elif numbers and time.monotonic() - since >= _ONE:
                time.sleep(_GRACE)
                os._exit(_status(first))
        os.close(self._read)

    @contextmanager
    def immediate(self, words: str, message: str | None) -> Iterator[None]:
        """Within it, the first signal is raised as Interrupted with `message`: there is nothing to finish.

        Where there is no message, it only sets `received`.

        Args:
            words: the acknowledgement in its place.
        """
        usual, self._immediate = self._words, message
        self._words = usual and words
        try:
            if self.received and message:
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
