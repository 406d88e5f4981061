"""`host_pairs` compiled by numba where that is installed: a pair's values are read once. The results are the same."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import numpy as np

# Scores compared with all thresholds before the next ones: 8 KiB, a fraction of any core's first cache.
_PART = 2048


def gather(
    block: np.ndarray,
    borders: np.ndarray,
    start: int,
    stop: int,
    places: np.ndarray,
    numbers: np.ndarray,
    low: int,
    out: np.ndarray,
) -> None:
    """See `host_pairs.gather`."""
    row = int(np.searchsorted(borders, start, side="right")) - 1
    _compiled().gather(block, borders, row, start, stop, places, numbers, numbers.dtype.type(low), out)


def reaching(
    scores: np.ndarray, left_out: np.ndarray, floor: np.float32, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """See `host_pairs.reaching`."""
    room, counts = np.empty_like(scores), np.zeros(len(thresholds), np.int64)
    used = _compiled().reaching(scores, left_out, floor, thresholds, room, counts)
    return room[:used], counts


@lru_cache(maxsize=None)
def _compiled() -> SimpleNamespace:
    """The functions, compiled at their first call; numba keeps them on disk for later processes."""
    import numba

    compile_function = numba.njit(nogil=True, cache=True)
    # An index that cannot be negative spares the question whether it counts from the end: half of the time.
    index = np.uint32
    # Sums of this type stay so: vectors of eight; int64's would be of four.
    short = np.int32

    @compile_function
    def gather(block, borders, row, start, stop, places, numbers, low, out):
        while start < stop:
            end = min(borders[row + 1], stop)
            values, some, found = block[row], numbers[start:end], out[start:end]
            for k in range(some.size):
                found[k] = values[index(places[index(some[k] - low)])]
            start, row = end, row + 1

    @compile_function
    def reaching(scores, left_out, floor, thresholds, room, counts):
        used = np.uint64(0)
        for start in range(0, scores.size, _PART):
            part, out = scores[start : start + _PART], left_out[start : start + _PART]
            for j in range(thresholds.size):
                limit, reached = thresholds[j], short(0)
                for k in range(part.size):
                    reached = short(reached + short(part[k] >= limit))
                counts[j] += reached
            for k in range(part.size):
                # Without a branch, as nobody could foretell it: what is not chosen is overwritten by the next.
                room[used] = part[k]
                used += np.uint64((part[k] >= floor) & (not out[k]))
        return used

    return SimpleNamespace(gather=gather, reaching=reaching)
