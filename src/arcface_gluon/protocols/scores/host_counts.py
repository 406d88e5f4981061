"""How many scores of each row reach thresholds, and which reach a floor: by NumPy, row by row."""

from __future__ import annotations

import numpy as np

# NumPy's wrapper around it takes as long as counting does; its hints do not know it.
from numpy.core.multiarray import count_nonzero  # type: ignore[attr-defined]

# Thresholds compared at a time: with rows of 32768 scores, the comparisons stay in the cache.
_TOGETHER = 16


def count_reached(
    scores: np.ndarray,
    floors: np.ndarray,
    shared: np.ndarray,
    own: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the scores of each row that are at least its own thresholds, and those of all rows that reach shared ones.

    Args:
        scores: (rows, columns) float32. floors: (rows,) float32, scores of at least which are given back.
        shared: (s,) thresholds of all rows.
        own: flat thresholds; those of row i are own[first[i]:last[i]], and their counts are added to `counts` there.

    Returns:
        (reached, sizes, found): (s,) int64 counts of the shared thresholds; how many scores of each row reach its
        floor, and these scores, row after row.
    """
    width, common = scores.shape[1], len(shared) + 1
    hits, limits = np.zeros((max(_TOGETHER, common), width), bool), np.r_[np.float32(0), shared][:, None]
    # How many rows of a column reach each of the shared thresholds: bytes, so 255 rows at a time.
    columns, reached = np.zeros((len(shared), width), np.uint8), np.zeros(len(shared), np.int64)
    found = []
    for i, row in enumerate(scores):
        limits[0] = floors[i]
        np.greater_equal(row, limits, out=hits[:common])
        found.append(row[hits[0].nonzero()[0]])
        np.add(columns, hits[1:common].view(np.uint8), out=columns)
        for start in range(first[i], last[i], _TOGETHER):
            some = slice(start, min(start + _TOGETHER, last[i]))
            part = hits[: some.stop - start]
            np.greater_equal(row, own[some, None], out=part)
            counts[some] += np.fromiter(map(count_nonzero, part), np.int64, len(part))
        if i % 255 == 254 or i == len(scores) - 1:
            reached += columns.sum(axis=1, dtype=np.int64)
            columns[:] = 0
    return reached, np.array([part.size for part in found]), np.concatenate(found)


class Places:
    """Where scores stand among the thresholds of their probe.

    Args:
        thresholds: flat float32, ascending within each probe. offsets: probe i's are those from offsets[i] on.
    """

    def __init__(self, thresholds: np.ndarray, offsets: np.ndarray):
        self._keys = _keys(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), thresholds)

    def count(
        self,
        start: int,
        sizes: np.ndarray,
        scores: np.ndarray,
        lowest: np.ndarray,
        counts: np.ndarray,
        ties: np.ndarray,
    ) -> None:
        """Count scores by their places.

        Args:
            start: first probe. sizes: how many scores each has from there on. scores: flat, probe after probe.
            lowest: of every probe, one of its thresholds, or infinity: lower scores are left out.
            counts: a probe has one place more than thresholds; counts[offsets[i] + i + k] is raised by the scores
                of probe i that exceed k of its thresholds.
            ties: ties[j] is raised by the scores that equal thresholds[j], at the first of equal thresholds.
        """
        probes = np.repeat(np.arange(start, start + len(sizes)), sizes)
        some = scores >= lowest[probes]
        probes, keys = probes[some], _keys(probes[some], scores[some])
        places = np.searchsorted(self._keys, keys)
        counts += np.bincount(places + probes, minlength=len(counts))
        tied = places[self._keys[np.minimum(places, len(ties) - 1)] == keys]
        ties += np.bincount(tied, minlength=len(ties))


def _keys(probes, scores):
    """Whole numbers in the order of probes and, within one, of scores."""
    bits = (scores + np.float32(0)).view(np.int32)  # -0 is 0
    return (probes.astype(np.int64) << 32) + (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))
