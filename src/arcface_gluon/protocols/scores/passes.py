"""Passes over long arrays, a part that stays in the cache at a time, over all threads."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ...parallel.threads import in_parts

# Values that are worked on at a time, and that are worth a thread.
TOGETHER, WORTH_A_THREAD = 1 << 14, 1 << 16


def for_parts(work: Callable[[slice], object], count: int) -> None:
    """Call `work(slice)` on all of 0 … count-1, some that stay in the cache at a time, over all threads."""

    def several(first, last):
        for start in range(first, last, TOGETHER):
            work(slice(start, min(start + TOGETHER, last)))

    in_parts(several, count, WORTH_A_THREAD)


def is_ascending(values: np.ndarray) -> bool:
    """Whether no value is less than the one before."""
    descents = []

    def look(here):
        part = values[here.start : here.stop + 1]  # with the next part's first
        if not descents and (part[1:] < part[:-1]).any():
            descents.append(here)

    for_parts(look, len(values))
    return not descents
