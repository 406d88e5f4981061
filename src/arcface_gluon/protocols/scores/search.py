"""Exact search: the k best columns for each row, in blocks of products on all devices."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ... import runtime
from ...parallel.threads import in_parts
from ...progress import progress
from .blocks import COLUMN_BLOCK, ROW_BLOCK, block_edges, score_blocks
from .copies import quick_keys, row_keys

# Scores of which only the largest of each row is wanted: 32 MiB, which may stay in the last cache.
BEST_ROWS, BEST_COLUMNS = 4096, 2048
# Rows of such a block that are worth a thread.
_ROWS_A_THREAD = 64


def top_k(
    rows: np.ndarray, load: Callable[[int, int], np.ndarray], columns: int, k: int = 1, contexts: runtime.Devices = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k highest inner products of each row, best first; of equal ones the earlier column comes first.

    Equal columns tie, wherever they stand.

    Args:
        rows: (n, d) float32. load: function (start, stop) → (stop - start, d) float32 columns. columns: their number.

    Returns:
        (scores, indices): (n, min(k, columns)) float32 and int64.
    """
    return (_best if k == 1 else _several)(rows, load, columns, min(k, columns), runtime.contexts(contexts))


def _blocks(rows, load, columns, devices, row_block, column_block):
    blocks = score_blocks(rows, load, block_edges(columns, column_block), devices, row_block)
    with progress(total=len(rows) * columns, unit="score", unit_scale=True, desc="search") as bar:
        for row_start, start, block in blocks:
            yield row_start, start, block
            bar.update(block.size)


def _best(rows, load, columns, k, devices):
    scores, indices = np.full((len(rows), k), -np.inf, np.float32), np.zeros((len(rows), k), np.int64)
    keyed = _Keyed(load, columns)
    for row_start, start, block in _blocks(rows, keyed, columns, devices, BEST_ROWS, BEST_COLUMNS):

        def look(first, last, row_start=row_start, start=start, block=block):
            # Few rows find anything better after the first blocks; only they are asked where.
            best = block[first:last].max(axis=1)
            here = row_start + first
            for i in np.flatnonzero(best > scores[here : here + len(best), 0]):
                scores[here + i, 0] = best[i]
                indices[here + i, 0] = start + block[first + i].argmax()

        in_parts(look, len(block), _ROWS_A_THREAD)
    return scores, keyed.first_copies(indices) if k else indices


class _Keyed:
    """`load` that notes the `quick_keys` of all columns, by which copies of some are found later."""

    def __init__(self, load, columns):
        self._load, self._keys = load, np.empty(columns, np.float32)

    def __call__(self, start, stop):
        block = self._load(start, stop)
        self._keys[start:stop] = quick_keys(block)
        return block

    def first_copies(self, places):
        """The place of the first column that is equal to the one at each of `places`, of any shape."""
        found, which = np.unique(places, return_inverse=True)
        alike = np.flatnonzero(np.isin(self._keys, self._keys[found]))
        alike = alike[np.argsort(self._keys[alike], kind="stable")]
        first = alike[np.searchsorted(self._keys[alike], self._keys[found])]
        for i in np.flatnonzero(first < found):
            column, key = self._column(found[i]), self._keys[found[i]]
            others = alike[np.searchsorted(self._keys[alike], key) :]
            found[i] = next(j for j in others if j == found[i] or np.array_equal(self._column(j), column))
        return found[which].reshape(places.shape)

    def _column(self, place):
        return self._load(place, place + 1)[0].copy()


def _several(rows, load, columns, k, devices):
    best, distinct = [_Best(k) for _ in range(len(rows))], _Distinct(load)
    scores, indices = np.full((len(rows), k), -np.inf, np.float32), np.zeros((len(rows), k), np.int64)
    for row_start, start, block in _blocks(rows, distinct, columns, devices, ROW_BLOCK, COLUMN_BLOCK):

        def look(first, last, row_start=row_start, column=distinct.before[start], block=block):
            for i in range(first, last):
                best[row_start + i].add(block[i], column)

        in_parts(look, len(block), _ROWS_A_THREAD)
    distinct.end()
    for i, one in enumerate(best):
        scores[i], indices[i] = distinct.expand(*one.finish(), k)
    return scores, indices


class _Distinct:
    """`load` without the columns that were there before. Distinct columns are numbered in the order of their places.

    before: {start: number of distinct columns before it}.
    """

    def __init__(self, load):
        self._load, self._numbers, self._parts = load, {}, []
        self.before: dict[int, int] = {}

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
        self._first = self._places[self._starts]

    def expand(self, scores, numbers, k):
        """The k best of all columns, by the best distinct ones."""
        if len(self._first) == len(self._places):
            return scores, self._first[numbers]
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
        if len(self.scores) > 4 * self.k:
            # Whatever ties with the last of the best stays: the sort decides.
            place = len(self.scores) - self.k
            some = np.flatnonzero(self.scores >= np.partition(self.scores, place)[place])
            self.scores, self.indices = self.scores[some], self.indices[some]
        order = np.argsort(-self.scores, kind="stable")[: self.k]
        self.scores, self.indices = self.scores[order], self.indices[order]
        if len(order) == self.k:
            self.limit = self.scores[-1]
        return self.scores, self.indices
