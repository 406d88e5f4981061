"""Passes over long arrays over all threads, most of them a part that stays in the cache at a time."""

from __future__ import annotations

from typing import Callable, Sequence

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


def run_borders(*columns: np.ndarray) -> np.ndarray:
    """Where in a list of one or more values, in one or more columns, a run of the same begins; and the list's end."""
    found, count = {}, len(columns[0])

    def look(here):
        start, changed = max(here.start, 1), False
        for column in columns:
            changed = (column[start : here.stop] != column[start - 1 : here.stop - 1]) | changed
        found[here.start] = start + np.flatnonzero(changed)

    for_parts(look, count)
    return np.concatenate([[0], *(found[start] for start in sorted(found)), [count]])


def merged(runs: Sequence[np.ndarray]) -> np.ndarray:
    """All values of one or more ascending arrays, ascending: each thread merges what lies between two values."""
    longest = max(runs, key=len)
    if len(longest) < len(runs):
        return np.sort(np.concatenate(runs))
    limits = longest[np.arange(1, len(runs)) * len(longest) // len(runs)]
    cuts = np.array([[0, *np.searchsorted(run, limits), len(run)] for run in runs])
    ends = cuts.sum(axis=0)
    result = np.empty(ends[-1], longest.dtype)

    def merge(first, last):
        for i in range(first, last):
            piece = result[ends[i] : ends[i + 1]]
            np.concatenate([run[cut[i] : cut[i + 1]] for run, cut in zip(runs, cuts)], out=piece)
            piece.sort(kind="stable")  # a merge where there are ascending runs

    in_parts(merge, len(runs))
    return result
