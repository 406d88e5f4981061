"""Scores of long lists of pairs: products of blocks of vectors, of which the pairs' values are gathered.

The vectors of a list go by numbers. Nothing of a list's length is made but the scores: numbers are looked up a few at a
time, in tables that stay in the cache.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from ... import runtime
from ...parallel.threads import in_parts
from ...progress import progress
from . import compiled_pairs, host_pairs, passes
from .blocks import COLUMN_BLOCK, block_edges, score_blocks
from .copies import first_copies
from .passes import for_parts, is_ascending

_gather = (compiled_pairs if find_spec("numba") is not None else host_pairs).gather

# Rows in a block of products.
_PAIR_ROWS = 512
# Numbers further apart than this are searched, others looked up in a table (32 MiB at most).
_WIDEST = 1 << 22
# Numbers looked at before it is asked whether all have occurred.
_LOOK = 1 << 19


class PairColumn:
    """The first or the second vectors of a list of pairs.

    Args:
        ids: (t,) numbers of the vectors, ascending. numbers: (p,) those of the list.

    Attributes:
        numbers: (p,) as given, unless they are far apart or of few bits. low: the least of them.
        positions: int64, which vector the number low + i stands for; -1: none.
        used: bool, whether the number low + i occurs.
        borders: of an ascending list, as lists usually are: where in it the number low + i begins, and its end; else
            None.
    """

    def __init__(self, ids: np.ndarray, numbers: np.ndarray):
        if numbers.itemsize < 4:
            numbers = numbers.astype(np.int32)  # in which differences do not overflow
        low, high, ascending = _range(numbers)
        if high - low >= _WIDEST:
            found = np.minimum(np.searchsorted(ids, numbers), len(ids) - 1)
            numbers, ids = np.where(ids[found] == numbers, found, -1), np.arange(len(ids))
            low, high, ascending = _range(numbers)
        self.numbers, self.low = numbers, low
        first, last = np.searchsorted(ids, [low, high + 1])
        self.positions = np.full(high - low + 1, -1, np.intp)
        self.positions[ids[first:last] - low] = np.arange(first, last)
        self.borders = None
        if ascending:
            values = np.arange(low, high + 1).astype(numbers.dtype)
            self.borders = np.r_[np.searchsorted(numbers, values), len(numbers)]
            self.used = np.diff(self.borders) > 0
        else:
            self.used = self._occurring()

    def _occurring(self):
        used = np.zeros(len(self.positions), bool)
        for start in range(0, len(self.numbers), _LOOK):
            some = self.numbers[start : start + _LOOK]

            def mark(here, some=some):
                used[some[here] - self.low] = True

            for_parts(mark, len(some))
            if used.all():
                break
        return used

    @property
    def complete(self) -> bool:
        """Whether there is a vector for every number."""
        return bool((self.positions[self.used] >= 0).all())

    def each(self) -> np.ndarray:
        """(p,) position of each pair's vector, -1 where there is none."""
        return self.positions[self.numbers - self.low]

    def vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Those that occur, in the order of their numbers."""
        positions = self.positions[self.used]
        if len(positions) and positions[-1] - positions[0] + 1 == len(positions) and is_ascending(positions):
            return vectors[positions[0] : positions[-1] + 1]
        return vectors[positions]

    def places(self) -> np.ndarray:
        """Which of the numbers that occur each number low + i is."""
        return np.cumsum(self.used) - 1


def pair_scores(
    vectors: np.ndarray, first: np.ndarray, second: np.ndarray, contexts: runtime.Devices = None
) -> np.ndarray:
    """Cosines of many pairs: products of blocks on all devices, of which the pairs' values are gathered.

    Rows and columns that occur in no pair are left out of the products. A pair of copies of two vectors has the score
    of these, in either order.

    Args:
        vectors: (t, d) float32 of length 1. first, second: (p,) positions in it.

    Returns:
        (p,) float32.
    """
    rows, columns = (PairColumn(np.arange(len(vectors)), np.asarray(numbers)) for numbers in (first, second))
    return column_scores(vectors, rows, columns, contexts)


def column_scores(
    vectors: np.ndarray, first: PairColumn, second: PairColumn, contexts: runtime.Devices = None
) -> np.ndarray:
    """`pair_scores` of a list whose columns are `complete`."""
    first, second = _without_copies(vectors, first, second)
    left, right = first.vectors(vectors), second.vectors(vectors)
    places, numbers, order = second.places(), second.numbers, None
    if len(right) <= COLUMN_BLOCK and first.borders is not None:
        borders = np.r_[first.borders[:-1][first.used], len(numbers)]
    else:
        order, borders = _order(first, second, len(left), -(-len(right) // COLUMN_BLOCK))
        numbers = _taken(numbers, order)
    scores = np.empty(len(numbers), np.float32)
    edges = block_edges(len(right), COLUMN_BLOCK)
    blocks = score_blocks(left, lambda a, b: right[a:b], edges, runtime.contexts(contexts), _PAIR_ROWS)
    with progress(total=len(scores), unit="pair", unit_scale=True, desc="scores") as bar:
        for row_start, column_start, block in blocks:
            row = row_start + column_start // COLUMN_BLOCK * len(left)
            here = borders[row : row + len(block) + 1]
            _gather_block(block, here, places - column_start, numbers, second.low, scores)
            bar.update(int(here[-1] - here[0]))
    return scores if order is None else _put_back(scores, order)


def _order(first, second, rows, column_blocks):
    """(order, borders): pairs in the order in which their blocks come, and where in it each block's rows begin."""
    row, start = first.places(), second.places() // COLUMN_BLOCK * rows
    # NumPy sorts numbers of up to 16 bits by their digits, in a sixth of the time.
    keys = np.empty(len(first.numbers), np.min_scalar_type(rows * column_blocks))

    def number(here):
        keys[here] = row[first.numbers[here] - first.low] + start[second.numbers[here] - second.low]

    for_parts(number, len(keys))
    borders = np.r_[0, np.cumsum(np.bincount(keys, minlength=rows * column_blocks))]
    return np.argsort(keys, kind="stable"), borders


def _taken(values, order):
    """values[order]."""
    result = np.empty_like(values)
    for_parts(lambda here: np.take(values, order[here], out=result[here], mode="clip"), len(order))
    return result


def _put_back(values, order):
    """The array of which `values` is array[order]."""
    result = np.empty_like(values)

    def put(here):
        result[order[here]] = values[here]

    for_parts(put, len(order))
    return result


def _without_copies(vectors, first, second):
    """The pairs, with the first copy of a vector for all its copies, and pairs that have such one way round."""
    same = first_copies(vectors)
    copied = np.bincount(same, minlength=len(same)) > 1
    if not copied.any():
        return first, second
    positions, (left, right) = np.arange(len(vectors)), np.empty((2, len(first.numbers)), np.int32)
    of_first, of_second = same[first.positions], same[second.positions]

    def choose(here):
        a, b = of_first[first.numbers[here] - first.low], of_second[second.numbers[here] - second.low]
        turned = (copied[a] | copied[b]) & (a > b)
        left[here], right[here] = np.where(turned, b, a), np.where(turned, a, b)

    for_parts(choose, len(left))
    return PairColumn(positions, left), PairColumn(positions, right)


def _gather_block(block, borders, places, numbers, low, out):
    """The scores of a block's pairs, borders[0] … borders[-1] - 1, over all threads."""
    begin, end = int(borders[0]), int(borders[-1])
    in_parts(
        lambda first, last: _gather(block, borders, begin + first, begin + last, places, numbers, low, out),
        end - begin,
        passes.WORTH_A_THREAD,
    )


def _range(numbers):
    """(least, largest, whether they are ascending); of none (0, -1, True)."""
    if not len(numbers):
        return 0, -1, True
    if is_ascending(numbers):
        return int(numbers[0]), int(numbers[-1]), True
    found = []
    for_parts(lambda here: found.append((numbers[here].min(), numbers[here].max())), len(numbers))
    return int(min(low for low, _ in found)), int(max(high for _, high in found)), False
