"""Passes over the millions of pairs of a list, by NumPy."""

from __future__ import annotations

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
    """out[k] = block[i, places[numbers[k] - low]] for the pairs k from `start` to `stop` - 1.

    Args:
        block: (rows, columns) float32 scores. borders: (rows + 1,), row i's pairs are borders[i] … borders[i + 1] - 1.
        places: int64 columns by number. numbers: (p,) of all pairs. low: the number of places[0].
        out: (p,) float32.
    """
    first, last = np.searchsorted(borders, start, side="right") - 1, np.searchsorted(borders, stop)
    edges = np.clip(borders[first : last + 1], start, stop).tolist()
    for row, begin, end in zip(block[first:last], edges, edges[1:]):
        # All indices are in range by construction; "clip" only spares NumPy a buffered copy of the result.
        columns = places.take(numbers[begin:end] - low, mode="clip")
        row.take(columns, out=out[begin:end], mode="clip")
