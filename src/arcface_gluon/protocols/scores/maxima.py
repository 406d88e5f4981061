"""The largest of each row of a block of scores, over all threads."""

from __future__ import annotations

import numpy as np

from ...parallel.threads import in_parts

# Rows that are worth a thread.
_WORTH_A_THREAD = 32


def raise_to_best(best: np.ndarray, scores: np.ndarray, floor: float | np.floating) -> list[np.ndarray]:
    """Raise each of `best` (rows,) to the largest of its row of `scores` (rows, columns).

    Returns:
        all scores of at least `floor`, in parts in any order, which may be rows of `scores` themselves.
    """
    found: list[np.ndarray] = []

    def look(first, last):
        largest = scores[first:last].max(axis=1)
        np.maximum(best[first:last], largest, out=best[first:last])
        for i in np.flatnonzero(largest >= floor):
            row = scores[first + i]
            found.append(row[row >= floor] if floor > -np.inf else row)

    in_parts(look, len(scores), _WORTH_A_THREAD)
    return found


def raise_to_others(best: np.ndarray, scores: np.ndarray, first: np.ndarray, last: np.ndarray) -> None:
    """Raise each of `best` (rows,) to the largest of its row of `scores`, leaving columns first … last - 1 out.

    Args:
        first, last: (rows,) may lie outside of the columns that there are.
    """
    width = scores.shape[1]

    def look(begin, end):
        largest = scores[begin:end].max(axis=1)
        for i in np.flatnonzero((first[begin:end] < width) & (last[begin:end] > 0)):
            row, a, b = scores[begin + i], max(first[begin + i], 0), min(last[begin + i], width)
            largest[i] = max(row[:a].max(initial=-np.inf), row[b:].max(initial=-np.inf))
        np.maximum(best[begin:end], largest, out=best[begin:end])

    in_parts(look, len(scores), _WORTH_A_THREAD)
