"""`host_pairs` compiled by numba where that is installed: a pair's values are read once. The results are the same."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


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
    _compiled()(block, borders, row, start, stop, places, numbers, numbers.dtype.type(low), out)


@lru_cache(maxsize=None)
def _compiled() -> Any:
    """The function, compiled at its first call; numba keeps it on disk for later processes."""
    import numba

    # An index that cannot be negative spares the question whether it counts from the end: half of the time.
    index = np.uint32

    @numba.njit(nogil=True, cache=True)
    def gather_rows(block, borders, row, start, stop, places, numbers, low, out):
        while start < stop:
            end = min(borders[row + 1], stop)
            values, some, found = block[row], numbers[start:end], out[start:end]
            for k in range(some.size):
                found[k] = values[index(places[index(some[k] - low)])]
            start, row = end, row + 1

    return gather_rows
