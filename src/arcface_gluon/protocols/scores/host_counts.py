"""How many scores of each row reach thresholds, and which reach a floor: by NumPy, row by row.

A row with many thresholds of its own (a mislabelled probe's mates) is not compared with each: the range of the
thresholds is cut into bins of one width, and the scores in each are counted. Rounding keeps the order, so that only
scores in a bin that has a threshold need a comparison.
"""

from __future__ import annotations

import numpy as np

# NumPy's wrapper around it takes as long as counting does; its hints do not know it.
from numpy.core.multiarray import count_nonzero  # type: ignore[attr-defined]

# Thresholds compared at a time: with rows of 32768 scores, the comparisons stay in the cache.
_TOGETHER = 16
# Thresholds of a row from which on bins are faster than comparisons, and the number of bins.
_MANY, _BINS = 36, 8192


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
    scaled, places = np.empty(width, np.float32), np.empty(width, np.intp)
    found = []
    for i, row in enumerate(scores):
        limits[0] = floors[i]
        np.greater_equal(row, limits, out=hits[:common])
        found.append(row[hits[0].nonzero()[0]])
        np.add(columns, hits[1:common].view(np.uint8), out=columns)
        here = slice(first[i], last[i])
        if last[i] - first[i] < _MANY:
            _count_each(row, own[here], counts[here], hits)
        else:
            _count_by_bins(row, own[here], counts[here], scaled, places)
        if i % 255 == 254 or i == len(scores) - 1:
            reached += columns.sum(axis=1, dtype=np.int64)
            columns[:] = 0
    return reached, np.array([part.size for part in found]), np.concatenate(found)


def _count_each(row, limits, counts, hits):
    for start in range(0, len(limits), _TOGETHER):
        some = limits[start : start + _TOGETHER, None]
        part = hits[: len(some)]
        np.greater_equal(row, some, out=part)
        counts[start : start + len(some)] += np.fromiter(map(count_nonzero, part), np.int64, len(part))


def _count_by_bins(row, limits, counts, scaled, places):
    bins = _bins(limits, limits, np.empty_like(limits), np.empty(len(limits), np.intp))
    unsure = np.zeros(_BINS, bool)
    unsure[bins] = True
    inside = np.bincount(_bins(row, limits, scaled, places), minlength=_BINS)
    some = row[unsure[places].nonzero()[0]]
    some.sort()
    inside[bins] = 0
    # From the bin of each threshold to that of the next; of one bin with several, the last has it all.
    between = np.add.reduceat(inside, bins)
    counts += between[::-1].cumsum()[::-1] + (len(some) - some.searchsorted(limits))


def _bins(scores, limits, scaled, places):
    """The bin of each score; the lowest and the highest are for those beyond the limits."""
    low, width = limits[0], max(limits[-1] - limits[0], np.float32(1e-6))
    np.subtract(scores, low, out=scaled)
    np.multiply(scaled, np.float32((_BINS - 3) / width), out=scaled)
    np.add(scaled, np.float32(1), out=scaled)
    np.fmax(scaled, np.float32(0), out=scaled)
    np.minimum(scaled, np.float32(_BINS - 1), out=scaled)
    places[...] = scaled
    return places


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
