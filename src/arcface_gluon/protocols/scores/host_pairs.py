"""Passes over the millions of pairs of a list, by NumPy."""

from __future__ import annotations

import numpy as np

# Scores looked at together: their comparisons stay in the cache, and are many enough for NumPy's calls.
_TOGETHER = 1 << 16


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


def reaching(
    scores: np.ndarray, left_out: np.ndarray, floor: np.float32, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of `scores` (p,) that reach a floor, but for those that are `left_out` (p,) bool; and counts.

    Returns:
        (found, counts): the scores of at least `floor`, in their order; how many scores, also of those left out, are
        at least each of `thresholds`, int64.
    """
    found, counts = [], np.zeros(len(thresholds), np.int64)
    for start in range(0, len(scores), _TOGETHER):
        some = scores[start : start + _TOGETHER]
        counts += [np.count_nonzero(some >= limit) for limit in thresholds]
        chosen = some >= floor
        np.greater(chosen, left_out[start : start + _TOGETHER], out=chosen)
        found.append(some.take(chosen.nonzero()[0]))
    return np.concatenate([scores[:0], *found]), counts
