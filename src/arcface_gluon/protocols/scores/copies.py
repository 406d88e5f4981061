"""Copies of a vector, which tie exactly: the score of two vectors must not depend on where they stand.

A product of matrices adds up in another order in the middle than at the edges of its tiles, so that the scores of two
copies of one picture differ in their last bits by their places, the size of the blocks and the devices. The protocols
therefore score each distinct vector once, or give all copies the score that `exact_scores` has, whose order of sums is
one for all places.
"""

from __future__ import annotations

import numpy as np

from ...parallel.threads import in_parts

# Rows that are worth a thread.
_WORTH_A_THREAD = 2048


def exact_scores(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Inner products over the last axis, added up in float64 in the order of the values; float32.

    The same for the same two vectors, in either order, wherever they stand. Other axes are broadcast.
    """
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    return np.einsum("...j,...j->...", left, right).astype(np.float32)


def row_keys(vectors: np.ndarray) -> np.ndarray:
    """A number (n,) int64 for each row, the same for rows of the same values; for others by a chance of 2^-64."""
    rows = np.ascontiguousarray(vectors, np.float32) + np.float32(0)  # -0 is 0
    return np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(rows))


def quick_keys(vectors: np.ndarray) -> np.ndarray:
    """A number (n,) float32 for each row, the same for rows of the same values, seldom for others; over all threads.

    For who compares rows, or their `row_keys`, only where two of these agree: it takes a tenth of the time.
    """
    weights = np.random.default_rng(0).uniform(1, 2, vectors.shape[1]).astype(np.float32)
    keys = np.empty(len(vectors), np.float32)

    def add_up(first, last):
        np.einsum("ij,j->i", vectors[first:last], weights, out=keys[first:last])

    in_parts(add_up, len(keys), _WORTH_A_THREAD)
    return keys


def first_copies(vectors: np.ndarray) -> np.ndarray:
    """The position (n,) of the first row that is equal to each row: its own, where there is none before it."""
    _, which, counts = np.unique(quick_keys(vectors), return_inverse=True, return_counts=True)
    result, some = np.arange(len(vectors)), np.flatnonzero(counts[which] > 1)
    _, first, inverse = np.unique(row_keys(vectors[some]), return_index=True, return_inverse=True)
    result[some] = some[first][inverse]
    return result


class MateCopies:
    """Copies of probes among other vectors; they score with a person's probes as the copied probe does.

    Args:
        probes: (n, d) float32, sorted by person. persons: (n,) person of each, ascending.
    """

    def __init__(self, probes: np.ndarray, persons: np.ndarray):
        self._probes = probes
        self._first = np.searchsorted(persons, persons)
        self._last = np.searchsorted(persons, persons, side="right")
        keys = row_keys(probes)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, probes), int64 (k,): vectors[rows[i]] is a copy of probes[probes[i]]; by row."""
        some = np.flatnonzero(np.isin(vectors[:, 0], self._probes[:, 0]))  # spares keys of all others
        keys = row_keys(vectors[some])
        low = np.searchsorted(self._keys, keys)
        counts = np.searchsorted(self._keys, keys, side="right") - low
        ends = np.cumsum(counts)
        places = np.arange(counts.sum()) + np.repeat(low - ends + counts, counts)
        return np.repeat(some, counts), self._order[places]

    def settle(self, scores: np.ndarray, start: int, copies: tuple[np.ndarray, np.ndarray], column: int = 0) -> None:
        """Write exact scores in place of the products of copies with the probes of the copied probe's person.

        Args:
            scores: (rows, columns), of the probes from `start` on with vectors from `column` on; written to.
            copies: what `find` gave of the vectors.
        """
        some = slice(*np.searchsorted(copies[0], [column, column + scores.shape[1]]))
        for place, probe in zip(copies[0][some], copies[1][some]):
            first, last = max(self._first[probe], start), min(self._last[probe], start + len(scores))
            if first < last:
                mates = self._probes[first:last]
                scores[first - start : last - start, place - column] = exact_scores(mates, self._probes[probe])
