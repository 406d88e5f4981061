"""For every (probe, mate) pair, how many distractors score better: exact, in one pass over blocks of scores.

A probe has one threshold a mate. Each row of scores is binned once and counted into the probe's histogram. Only scores
in a bin that also holds one of the probe's thresholds, or in the upper tail that the error curve wants one by one, are
ambiguous: those few are gathered and compared exactly. So the cost hardly depends on how many mates a probe has or on
where their scores lie (a probe with a wrong label has half of all distractors above its mates).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .curves import BINS, ImpostorTail, bins_of

# Gathered scores are settled when there are this many of them: 64 MiB.
_PENDING = 1 << 24


class RankCounter:
    """Counts for a chunk of probes.

    Args:
        thresholds: flat float32 scores of the mates, ascending within each probe.
        offsets: probe i's thresholds are thresholds[offsets[i]:offsets[i + 1]].
        tail: the ImpostorTail to feed; shared by all chunks of probes.
        threads: how many threads reduce a block.
    """

    def __init__(self, thresholds, offsets, tail: ImpostorTail, threads=1):
        self.thresholds = thresholds
        self.offsets = offsets
        self.tail = tail
        probes = len(offsets) - 1
        self.greater = np.zeros(len(thresholds), np.int64)
        self.equal = np.zeros(len(thresholds), np.int64)
        self._histogram = np.zeros((probes, BINS), np.int32)
        self._bins = bins_of(thresholds)
        self._rows = np.repeat(np.arange(probes), np.diff(offsets))
        self._pending = [[] for _ in range(probes)]
        self._gathered = 0
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None
        self._threads = threads
        self._mark()

    def _mark(self):
        """Note which bins of which probe are ambiguous; again whenever the tail's border rises."""
        self._start = self.tail.start
        self._marks = np.zeros((len(self._pending), BINS), bool)
        self._marks[self._rows, self._bins] = True
        # Bins of the tail are summed as one slice; the list has each probe's other marked bins.
        self._marks[:, self._start :] = False
        self._marked = [np.flatnonzero(marks) for marks in self._marks]
        self._marks[:, self._start :] = True

    def add(self, row_start, scores):
        """Count `scores` (rows, distractors) of the probes from `row_start` on."""
        if self._executor is None:
            self._gathered += self._add(row_start, scores, 0, len(scores))
        else:
            edges = np.linspace(0, len(scores), self._threads + 1).astype(int)
            parts = [self._executor.submit(self._add, row_start, scores, a, b) for a, b in zip(edges, edges[1:])]
            self._gathered += sum(part.result() for part in parts)
        if self._gathered > _PENDING:
            self.settle()

    def _add(self, row_start, scores, first, last):
        """Count rows `first` … `last` - 1 of a block; returns how many scores were gathered."""
        gathered = 0
        if not self._start:
            for i in range(first, last):
                self._pending[row_start + i].append(scores[i].copy())
            return (last - first) * scores.shape[1]
        width = scores.shape[1]
        work, small = np.empty(width, np.float32), np.empty(width, np.uint16)
        bins, chosen = np.empty(width, np.int64), np.empty(width, bool)
        for i in range(first, last):
            probe = row_start + i
            row = scores[i]
            # Through uint16: NumPy casts float32 to uint16 and that to int64 in vectors, float32 to int64 not.
            np.copyto(bins, bins_of(row, work, small))
            counts = np.bincount(bins, minlength=BINS)
            marked = self._marked[probe]
            if counts[marked].any() or counts[self._start :].any():
                counts[marked] = 0
                counts[self._start :] = 0
                self._marks[probe].take(bins, out=chosen, mode="clip")
                self._pending[probe].append(row[np.flatnonzero(chosen)])
                gathered += self._pending[probe][-1].size
            self._histogram[probe] += counts
        return gathered

    def settle(self):
        """Compare the gathered scores with the thresholds."""
        self._gathered = 0
        for probe, parts in enumerate(self._pending):
            if not parts:
                continue
            scores = np.concatenate(parts)
            self._pending[probe] = []
            self.tail.add(scores)
            self._compare(probe, scores)

    def _compare(self, probe, scores):
        first, last = self.offsets[probe], self.offsets[probe + 1]
        mates = self.thresholds[first:last]
        if not len(mates):
            return
        below = np.searchsorted(mates, scores)
        counts = np.bincount(below, minlength=len(mates) + 1)
        self.greater[first:last] += np.cumsum(counts[::-1])[::-1][1:]
        tied = below[mates[np.minimum(below, len(mates) - 1)] == scores]
        if tied.size:
            ties = np.bincount(tied, minlength=len(mates))
            self.equal[first:last] += ties[np.searchsorted(mates, mates)]

    def raise_tail(self):
        """Let the tail's border rise to what the scores so far allow, which leaves fewer of them to gather."""
        self.settle()
        self.tail.raise_start(self._histogram.sum(axis=0, dtype=np.int64))
        if self.tail.start != self._start:
            self._mark()

    def finish(self):
        """Settle everything; `greater` and `equal` are then final, and the tail has every score of these probes."""
        self.settle()
        for probe in range(len(self._pending)):
            first, last = self.offsets[probe], self.offsets[probe + 1]
            above = np.cumsum(self._histogram[probe, ::-1], dtype=np.int64)[::-1]
            # Nothing ambiguous is in the histogram, so a threshold's own bin is empty there.
            self.greater[first:last] += above[self._bins[first:last]]
        self.tail.histogram += self._histogram.sum(axis=0, dtype=np.int64)
        if self._executor is not None:
            self._executor.shutdown()
