"""For every (probe, mate) pair, how many distractors score better: exact, in one pass over blocks of scores.

A probe has one threshold a mate. Most mates score above nearly all distractors: of those distractors that reach the
lowest such mate (or the upper tail that the error curve wants) the scores are gathered and compared one by one, later,
many at a time. The other mates (a mislabelled probe has only such) lie among the bulk of the distractors: for each of
them the block's row is compared with its threshold and the hits are counted, in vectors. Which mates are which is told
by the first, short block of distractors, of which all scores are gathered.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

# NumPy's wrapper around it takes as long as counting does; its hints do not know it.
from numpy.core.multiarray import count_nonzero  # type: ignore[attr-defined]

from .curves import HighestScores

# Gathered scores are settled when there are this many of them: 64 MiB.
_PENDING = 1 << 24
# A mate that this share of the distractors exceeds is cheaper to count than its distractors are to gather.
_GATHER_SHARE = 0.003
# Thresholds compared at a time: with rows of 32768 scores, the comparisons stay in the cache.
_TOGETHER = 16
# FARs of the thresholds that the error curve has beside the highest scores.
_FARS = (6e-4, 4e-3, 3e-2, 0.2)


class ImpostorScores:
    """What is known of all impostor scores: the highest, and how many reach a few lower thresholds."""

    def __init__(self, wanted: int):
        self.highest = HighestScores(wanted)
        self.thresholds: np.ndarray | None = None
        self.counts = np.zeros(len(_FARS), np.int64)

    def set_thresholds(self, scores: np.ndarray) -> np.ndarray:
        """Choose the thresholds by a sample of scores, from which counting starts; gives them."""
        thresholds = np.quantile(scores, [1 - far for far in _FARS]).astype(np.float32)
        self.thresholds = thresholds
        return thresholds

    def counted(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(thresholds, counts) for a VerificationCurve, or None if every score is kept."""
        if self.thresholds is None or self.highest.floor == -np.inf:
            return None
        return self.thresholds, self.counts


class RankCounter:
    """Counts for a chunk of probes.

    Args:
        thresholds: flat float32 scores of the mates, ascending within each probe.
        offsets: probe i's thresholds are thresholds[offsets[i]:offsets[i + 1]].
        impostors: the ImpostorScores to feed; shared by all chunks of probes.
        threads: how many threads reduce a block.

    Attributes:
        greater: int64, how many scores exceed each threshold. Final after `settle`.
        equal: int64, how many equal it; only counted where it can decide whether `greater` is 0.
    """

    def __init__(self, thresholds: np.ndarray, offsets: np.ndarray, impostors: ImpostorScores, threads: int = 1):
        self.thresholds = thresholds
        self.offsets = offsets
        self.impostors = impostors
        self.greater = np.zeros(len(thresholds), np.int64)
        self.equal = np.zeros(len(thresholds), np.int64)
        self._probes = len(offsets) - 1
        # How many of a probe's mates, the lowest ones, are counted block by block.
        self._direct = np.zeros(self._probes, np.int64)
        self._limits: list[np.ndarray] = []
        self._pending: list[list[np.ndarray]] = [[] for _ in range(self._probes)]
        self._gathered = 0
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None

    def add_first(self, row_start: int, scores: np.ndarray) -> None:
        """Gather all `scores` (rows, distractors) of the first block; `plan` follows it."""
        for probe, row in enumerate(scores, row_start):
            self._pending[probe].append(row.copy())

    def plan(self, columns: int) -> None:
        """After the first block, of `columns` distractors: decide how each mate is counted from now on."""
        rows = [row for parts in self._pending for row in parts]
        chosen = self.impostors.thresholds
        if chosen is None:
            chosen = self.impostors.set_thresholds(np.concatenate(rows[:512]))
        for row in rows:
            self.impostors.counts += [count_nonzero(row >= limit) for limit in chosen]
        self.settle()
        bulk = self.greater > _GATHER_SHARE * columns
        probe = np.repeat(np.arange(self._probes), np.diff(self.offsets))
        self._direct = np.bincount(probe[bulk], minlength=self._probes)
        self._limits = []
        for probe in range(self._probes):
            # "Above" is "at least the next number", so that one comparison serves for all. The first is set below.
            first = self.offsets[probe]
            above = np.nextafter(self.thresholds[first : first + self._direct[probe]], np.float32(np.inf))
            limits = np.concatenate([[0], chosen, above])
            self._limits.append(limits.astype(np.float32)[:, None])
        self.raise_floor()

    def raise_floor(self) -> None:
        """Gather no more than is needed by now."""
        self.settle()
        highest = self.impostors.highest
        highest.raise_floor()
        for probe, limits in enumerate(self._limits):
            lowest = self.offsets[probe] + self._direct[probe]
            gathered = self.thresholds[lowest] if lowest < self.offsets[probe + 1] else np.inf
            limits[0] = min(highest.floor, gathered)

    def add(self, row_start: int, scores: np.ndarray) -> None:
        """Count a further block of `scores` (rows, distractors), of the probes from `row_start` on."""
        if self._executor is None:
            parts = [self._add(row_start, scores)]
        else:
            edges = np.linspace(0, len(scores), self._threads + 1).astype(int)
            jobs = [self._executor.submit(self._add, row_start + a, scores[a:b]) for a, b in zip(edges, edges[1:])]
            parts = [job.result() for job in jobs]
        for gathered, reached in parts:
            self._gathered += gathered
            self.impostors.counts += reached
        if self._gathered > _PENDING:
            self.settle()

    def _add(self, row_start, scores):
        width, shared = scores.shape[1], 1 + len(_FARS)
        reached = np.zeros((_TOGETHER, width), bool)
        # How many rows of a column reach each of the thresholds that all probes share: bytes, so 255 rows at a time.
        columns, common = np.zeros((len(_FARS), width), np.uint8), np.zeros(len(_FARS), np.int64)
        gathered = 0
        for i, row in enumerate(scores):
            probe, limits = row_start + i, self._limits[row_start + i]
            counts = []
            for start in range(0, len(limits), _TOGETHER):
                some = limits[start : start + _TOGETHER]
                part = reached[: len(some)]
                np.greater_equal(row, some, out=part)
                if not start:
                    found = part[0].nonzero()[0]
                    if found.size:
                        self._pending[probe].append(row[found])
                        gathered += found.size
                    np.add(columns, part[1:shared].view(np.uint8), out=columns)
                    part = part[shared:]
                counts += map(count_nonzero, part)
            self.greater[self.offsets[probe] : self.offsets[probe] + self._direct[probe]] += np.array(counts, np.int64)
            if i % 255 == 254 or i == len(scores) - 1:
                common += columns.sum(axis=1, dtype=np.int64)
                columns[:] = 0
        return gathered, common

    def settle(self) -> None:
        """Compare the gathered scores with the thresholds."""
        self._gathered = 0
        for probe, parts in enumerate(self._pending):
            if parts:
                scores = np.concatenate(parts)
                self._pending[probe] = []
                self.impostors.highest.add(scores)
                self._compare(probe, scores)

    def _compare(self, probe, scores):
        first = self.offsets[probe] + self._direct[probe]
        mates = self.thresholds[first : self.offsets[probe + 1]]
        if not len(mates):
            return
        below = np.searchsorted(mates, scores)
        counts = np.bincount(below, minlength=len(mates) + 1)
        self.greater[first : first + len(mates)] += np.cumsum(counts[::-1])[::-1][1:]
        tied = below[mates[np.minimum(below, len(mates) - 1)] == scores]
        if tied.size:
            ties = np.bincount(tied, minlength=len(mates))
            self.equal[first : first + len(mates)] += ties[np.searchsorted(mates, mates)]

    def close(self) -> None:
        """Settle everything and end the threads."""
        self.settle()
        if self._executor is not None:
            self._executor.shutdown()
