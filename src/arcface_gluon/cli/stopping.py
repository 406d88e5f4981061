"""Commands that write one thing, or nothing where they are stopped."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import Callable, Iterator

from ..training.interrupt import Interrupted, Interrupts


@contextmanager
def unless_stopped(out: str | os.PathLike[str]) -> Iterator[Callable[[], None]]:
    """Gives what raises Interrupted once SIGINT or SIGTERM has come; to be called between steps.

    Args:
        out: what is not written then, for the message.
    """
    with Interrupts("stopping; nothing is written") as interrupts:

        def stop() -> None:
            if interrupts.received:
                name = signal.Signals(interrupts.received).name
                raise Interrupted(interrupts.received, f"{name}: nothing was written to {out}")

        yield stop
