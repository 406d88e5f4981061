"""For every (probe, mate) pair, how many distractors score better: exact, in one pass over blocks of scores.

A probe has one threshold a mate. Most mates score above nearly all distractors: of those distractors that reach the
lowest such mate (or the upper tail that the error curve wants) the scores are gathered and compared one by one, later,
many at a time. The other mates (a mislabelled probe has only such) lie among the bulk of the distractors: for each of
them the block's row is compared with its threshold and the hits are counted, in vectors. Which mates are which is told
by the first, short block of distractors, of which all scores are gathered.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from ...parallel.threads import in_parts
from . import blocks, compiled_counts, host_counts
from .curves import HighestScores

_COMPILED = find_spec("numba") is not None
counting = compiled_counts if _COMPILED else host_counts
# Rows and columns of a block that are best to count: NumPy, called for each row, wants long ones.
ROW_BLOCK, COLUMN_BLOCK = (2048, 8192) if _COMPILED else (blocks.ROW_BLOCK, blocks.COLUMN_BLOCK)

# Gathered scores are settled when there are this many of them: 64 MiB.
_PENDING = 1 << 24
# A mate that this share of the distractors exceeds is cheaper to count than its distractors are to gather.
_GATHER_SHARE = 0.003
# Probes by whose scores the thresholds of the error curve are chosen.
_SAMPLED_PROBES = 512
# Rows of a block that are worth a thread.
_WORTH_A_THREAD = 32
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

    Attributes:
        greater: int64, how many scores exceed each threshold. Final after `settle`.
        equal: int64, how many equal it; only counted where it can decide whether `greater` is 0.
    """

    def __init__(self, thresholds: np.ndarray, offsets: np.ndarray, impostors: ImpostorScores):
        self.thresholds, self.offsets, self.impostors = thresholds, offsets, impostors
        self.greater = np.zeros(len(thresholds), np.int64)
        self.equal = np.zeros(len(thresholds), np.int64)
        # "Above" is "at least the next number", so that one comparison serves for all.
        self._above = np.nextafter(thresholds, np.float32(np.inf))
        self._probe = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        self._places = counting.Places(thresholds, offsets)
        # Those mates of a probe before this place, the lowest ones, are counted block by block.
        self._gathered_from = offsets[1:]
        # The lowest of the others; and the score from which on scores are gathered.
        self._lowest, self._floors = (np.full(len(offsets) - 1, np.inf, np.float32) for _ in range(2))
        self._first: list[tuple[int, np.ndarray]] = []  # first probe, scores
        self._pending: list[tuple[int, np.ndarray, np.ndarray]] = []  # first probe, scores of each, scores
        self._waiting = 0

    def add_first(self, row_start: int, scores: np.ndarray) -> None:
        """Take in all `scores` (rows, distractors) of the first block; `plan` follows it."""
        self._first.append((row_start, scores.copy()))

    def plan(self, columns: int) -> None:
        """After the first block, of `columns` distractors: decide how each mate is counted from now on."""
        chosen, at_least = self.impostors.thresholds, np.zeros_like(self.greater)
        if chosen is None:
            sample = np.concatenate([scores for _, scores in self._first])[:_SAMPLED_PROBES]
            chosen = self.impostors.set_thresholds(sample)
        for row_start, scores in self._first:
            self._count(row_start, scores, chosen, self._above, self.greater)
            self._count(row_start, scores, chosen[:0], self.thresholds, at_least)
            self.impostors.highest.add(scores.ravel())
        self._first, self.equal = [], at_least - self.greater
        bulk = self._probe[self.greater > _GATHER_SHARE * columns]
        self._gathered_from = self.offsets[:-1] + np.bincount(bulk, minlength=len(self._floors))
        some = self._gathered_from < self.offsets[1:]
        self._lowest[some] = self.thresholds[self._gathered_from[some]]
        self.raise_floor()

    def raise_floor(self) -> None:
        """Gather no more than is needed by now."""
        self.settle()
        self.impostors.highest.raise_floor()
        self._floors = np.minimum(self._lowest, self.impostors.highest.floor)

    def add(self, row_start: int, scores: np.ndarray) -> None:
        """Count a further block of `scores` (rows, distractors), of the probes from `row_start` on."""
        found = self._count(row_start, scores, self.impostors.thresholds, self._above, self.greater)
        self._pending += found
        self._waiting += sum(len(some) for _, _, some in found)
        if self._waiting > _PENDING:
            self.settle()

    def _count(self, row_start, scores, shared, own, counts):
        """Count what reaches thresholds, those of probes up to where gathering begins; gives what is gathered."""
        parts = []

        def count(first, last):
            here = slice(row_start + first, row_start + last)
            begin, end = self.offsets[here], self._gathered_from[here]
            reached, *found = counting.count_reached(
                scores[first:last], self._floors[here], shared, own, begin, end, counts
            )
            parts.append((reached, (here.start, *found)))

        in_parts(count, len(scores), _WORTH_A_THREAD)
        for reached, _ in parts:
            self.impostors.counts[: len(reached)] += reached
        return [found for _, found in parts]

    def settle(self) -> None:
        """Compare the gathered scores with the thresholds. To be called when all blocks are counted."""
        pending, self._pending, self._waiting = self._pending, [], 0
        for _, _, scores in pending:
            self.impostors.highest.add(scores)
        parts = []

        def compare(first, last):
            ties = np.zeros(len(self.equal), np.int64)
            counts = np.zeros(len(ties) + len(self._floors), np.int64)
            for some in pending[first:last]:
                self._places.count(*some, self._lowest, counts, ties)
            parts.append((counts, ties))

        if pending:
            in_parts(compare, len(pending))
            counts, ties = (sum(arrays) for arrays in zip(*parts))
            up_to = np.cumsum(counts)
            all_of_probe = up_to[self.offsets[1:] + np.arange(len(self._floors))]
            numbers = np.arange(len(ties))
            gathered = numbers >= self._gathered_from[self._probe]
            above = all_of_probe[self._probe] - up_to[numbers + self._probe]
            self.greater[gathered] += above[gathered]
            self.equal[gathered] += ties[self._first_equal()[gathered]]

    def _first_equal(self):
        """The first threshold of its probe that is equal to each."""
        new = np.ones(len(self.thresholds), bool)
        np.not_equal(self.thresholds[1:], self.thresholds[:-1], out=new[1:])
        new[self.offsets[:-1]] = True  # every probe has a mate
        return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
