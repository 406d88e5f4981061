"""Exact search: the k best columns for each row, in blocks of products on all devices."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ... import runtime
from ...progress import progress
from .blocks import COLUMN_BLOCK, ROW_BLOCK, block_edges, score_blocks
from .copies import row_keys


def top_k(
    rows: np.ndarray, load: Callable[[int, int], np.ndarray], columns: int, k: int = 1, contexts: runtime.Devices = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k highest inner products of each row, best first; of equal ones the earlier column comes first.

    Of equal columns only the first is scored, so that they tie exactly.

    Args:
        rows: (n, d) float32. load: function (start, stop) → (stop - start, d) float32 columns. columns: their number.

    Returns:
        (scores, indices): (n, min(k, columns)) float32 and int64.
    """
    k = min(k, columns)
    best = [_Best(k) for _ in range(len(rows))] if k > 1 else []
    scores, indices = np.full((len(rows), k), -np.inf, np.float32), np.zeros((len(rows), k), np.int64)
    distinct = _Distinct(load)
    blocks = score_blocks(rows, distinct, block_edges(columns, COLUMN_BLOCK), runtime.contexts(contexts), ROW_BLOCK)
    with progress(total=len(rows) * columns, unit="score", unit_scale=True, desc="search") as bar:
        for row_start, start, block in blocks:
            column = distinct.before[start]
            if k == 1:
                # Few rows find anything better after the first blocks; only they are asked where.
                best_here = block.max(axis=1)
                for i in np.flatnonzero(best_here > scores[row_start : row_start + len(block), 0]):
                    scores[row_start + i, 0] = best_here[i]
                    indices[row_start + i, 0] = column + block[i].argmax()
            else:
                for i, row in enumerate(block, row_start):
                    best[i].add(row, column)
            bar.update(block.size)
    distinct.end()
    for i, one in enumerate(best):
        scores[i], indices[i] = distinct.expand(*one.finish(), k)
    return (scores, indices) if best else (scores, distinct.first[indices])


class _Distinct:
    """`load` without the columns that were there before. Distinct columns are numbered in the order of their places.

    before: {start: number of distinct columns before it}. first: the place of each one, once all are loaded.
    """

    def __init__(self, load):
        self._load, self._numbers, self._parts = load, {}, []
        self.before: dict[int, int] = {}
        self.first = np.empty(0, np.int64)

    def __call__(self, start, stop):
        block = self._load(start, stop)
        known = self.before[start] = len(self._numbers)
        numbers = [self._numbers.setdefault(key, len(self._numbers)) for key in row_keys(block).tolist()]
        self._parts.append(np.array(numbers, np.int64))
        if len(self._numbers) == known + len(block):
            return block
        values, places = np.unique(self._parts[-1], return_index=True)
        return block[places[values >= known]]

    def end(self):
        numbers = np.concatenate(self._parts) if self._parts else np.empty(0, np.int64)
        self._places = np.argsort(numbers, kind="stable")
        self._counts = np.bincount(numbers)
        self._starts = np.cumsum(self._counts) - self._counts
        self.first = self._places[self._starts]

    def expand(self, scores, numbers, k):
        """The k best of all columns, by the best distinct ones."""
        if len(self.first) == len(self._places):
            return scores, self.first[numbers]
        places = np.concatenate([self._places[self._starts[i] : self._starts[i] + self._counts[i]] for i in numbers])
        scores = np.repeat(scores, self._counts[numbers])
        order = np.lexsort((places, -scores))[:k]
        return scores[order], places[order]


class _Best:
    """The k best scores of one row so far, and some that may still be among them."""

    def __init__(self, k):
        self.k = k
        self.limit = -np.inf
        self.scores, self.indices = np.empty(0, np.float32), np.empty(0, np.int64)

    def add(self, row, column):
        # Later columns come after equal earlier ones, so only strictly better scores matter.
        found = np.flatnonzero(row > self.limit)
        if found.size:
            self.scores = np.concatenate([self.scores, row[found]])
            self.indices = np.concatenate([self.indices, found + column])
            if len(self.scores) > 4 * self.k:
                self.finish()

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-self.scores, kind="stable")[: self.k]
        self.scores, self.indices = self.scores[order], self.indices[order]
        if len(order) == self.k:
            self.limit = self.scores[-1]
        return self.scores, self.indices
