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

from .curves import HighestScores

# Gathered scores are settled when there are this many of them: 64 MiB.
_PENDING = 1 << 24
# A mate that this share of the distractors exceeds is cheaper to count than its distractors are to gather.
_GATHER_SHARE = 0.002
# Thresholds compared at a time: with rows of 32768 scores, the comparisons stay in the cache.
_TOGETHER = 16
# FARs of the thresholds that the error curve has beside the highest scores.
_FARS = (4e-4, 1.6e-3, 6e-3, 2.5e-2, 0.1, 0.4)


class ImpostorScores:
    """What is known of all impostor scores: the highest, and how many reach a few lower thresholds."""

    def __init__(self, wanted):
        self.highest = HighestScores(wanted)
        self.thresholds = None
        self.counts = np.zeros(len(_FARS), np.int64)

    def set_thresholds(self, scores):
        """Choose the thresholds by a sample of scores, from which counting starts."""
        self.thresholds = np.quantile(scores, [1 - far for far in _FARS]).astype(np.float32)

    def counted(self):
        """(thresholds, counts) for a VerificationCurve, or None if every score is kept."""
        return None if self.highest.floor == -np.inf else (self.thresholds, self.counts)


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

    def __init__(self, thresholds, offsets, impostors: ImpostorScores, threads=1):
        self.thresholds = thresholds
        self.offsets = offsets
        self.impostors = impostors
        self.greater = np.zeros(len(thresholds), np.int64)
        self.equal = np.zeros(len(thresholds), np.int64)
        self._probes = len(offsets) - 1
        # How many of a probe's mates, the lowest ones, are counted block by block.
        self._direct = None
        self._limits = None
        self._pending = [[] for _ in range(self._probes)]
        self._gathered = 0
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None

    def add_first(self, row_start, scores):
        """Gather all `scores` (rows, distractors) of the first block; `plan` follows it."""
        for probe, row in enumerate(scores, row_start):
            self._pending[probe].append(row.copy())

    def plan(self, columns):
        """After the first block, of `columns` distractors: decide how each mate is counted from now on."""
        rows = [row for parts in self._pending for row in parts]
        if self.impostors.thresholds is None:
            self.impostors.set_thresholds(np.concatenate(rows[:512]))
        for row in rows:
            self.impostors.counts += [np.count_nonzero(row >= limit) for limit in self.impostors.thresholds]
        self.settle()
        bulk = self.greater > _GATHER_SHARE * columns
        probe = np.repeat(np.arange(self._probes), np.diff(self.offsets))
        self._direct = np.bincount(probe[bulk], minlength=self._probes)
        self.raise_floor()

    def raise_floor(self):
        """Gather no more than is needed by now."""
        self.settle()
        highest = self.impostors.highest
        highest.raise_floor()
        self._limits = []
        for probe in range(self._probes):
            first, last = self.offsets[probe], self.offsets[probe + 1]
            direct = first + self._direct[probe]
            gather = min(highest.floor, self.thresholds[direct]) if direct < last else highest.floor
            # "Above" is "at least the next number", so that one comparison serves for all.
            above = np.nextafter(self.thresholds[first:direct], np.float32(np.inf))
            limits = np.concatenate([[gather], self.impostors.thresholds, above])
            self._limits.append(limits.astype(np.float32)[:, None])

    def add(self, row_start, scores):
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
        reached = np.zeros((_TOGETHER, scores.shape[1]), bool)
        gathered, shared = 0, np.zeros(len(_FARS), np.int64)
        for probe, row in enumerate(scores, row_start):
            limits = self._limits[probe]
            counts = np.empty(len(limits), np.int64)
            for start in range(0, len(limits), _TOGETHER):
                part = reached[: len(limits[start : start + _TOGETHER])]
                np.greater_equal(row, limits[start : start + _TOGETHER], out=part)
                counts[start : start + len(part)] = [np.count_nonzero(line) for line in part]
                if not start and counts[0]:
                    self._pending[probe].append(row[np.flatnonzero(part[0])])
                    gathered += int(counts[0])
            shared += counts[1 : 1 + len(_FARS)]
            self.greater[self.offsets[probe] : self.offsets[probe] + self._direct[probe]] += counts[1 + len(_FARS) :]
        return gathered, shared

    def settle(self):
        """Compare the gathered scores with the thresholds."""
        self._gathered = 0
        for probe, parts in enumerate(self._pending):
            if parts:
                scores = np.concatenate(parts)
                self._pending[probe] = []
                self.impostors.highest.add(scores)
                self._compare(probe, scores)

    def _compare(self, probe, scores):
        first = self.offsets[probe] + (self._direct[probe] if self._direct is not None else 0)
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

    def close(self):
        """Settle everything and end the threads."""
        self.settle()
        if self._executor is not None:
            self._executor.shutdown()
