"""Unit features, and the score matrix of two sets of them, block by block on every device.

Letters: n rows (probes), m columns (gallery), d the embedding size. The n x m matrix is never kept.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any, Callable, Iterator, Sequence

import mxnet as mx
import numpy as np

from ...errors import UserError
from ...parallel.products import inner
from ...parallel.shards import shard_ranges
from ...parallel.threads import in_parts

# Up to 1024 x 32000 scores, 125 MiB: rows long enough for NumPy's calls (the scores of one and a dozen comparisons of
# them fit a core's second cache), and enough rows for an efficient product (256 cost 10 % more, 128 20 %). A power of
# two would put the starts of all rows into the same places of the cache and slow the product by 15 %.
ROW_BLOCK = 1024
COLUMN_BLOCK = 32000
# Squares of rows of up to 512 values that were scaled in float32 differ from 1 by less. Such rows stay as they are:
# scaled twice, a vector would differ from its copies that were scaled once.
_UNIT_ROUNDING = 5e-7
# Rows scaled to length 1 together: few enough to stay in the cache between the two passes.
_UNIT_ROWS = 512

# Squared norms outside of this range are computed again in float64, where they neither overflow nor vanish.
_SAFE_SQUARES = (1e-12, 1e30)


def unit(
    features: np.ndarray,
    names: Sequence[Any] | np.ndarray | None = None,
    what: str = "embedding",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """`features` (n, d) as float32 with rows of length 1.

    Args:
        names: what to call the rows in errors, any sequence; else they are numbered.
        what: the kind of the rows, for errors.
        out: float32 array of at least n rows to write into and return the first n of; None: a new array.

    Raises:
        UserError: a row with NaN or infinity, or of zeros; it is named.
    """
    if np.ndim(features) != 2:
        raise ValueError(f"features must have two dimensions (n, d), not the shape {np.shape(features)}")
    result = np.empty(features.shape, np.float32) if out is None else out[: len(features)]

    def scale(first, last):
        for start in range(first, last, _UNIT_ROWS):
            stop = min(start + _UNIT_ROWS, last)
            with np.errstate(over="ignore", invalid="ignore"):
                block = np.ascontiguousarray(features[start:stop], np.float32)
                squares = np.einsum("ij,ij->i", block, block)
            low, high = _SAFE_SQUARES
            safe = (squares > low) & (squares < high)
            inverse = 1 / np.sqrt(np.where(safe & ~_are_1(squares, block), squares, 1))
            np.multiply(block, inverse[:, None], out=result[start:stop])
            for i in np.flatnonzero(~safe):
                name = names[start + i] if names is not None else f"number {start + i}"
                result[start + i] = _unit_row(features[start + i], f"{what} {name}")

    in_parts(scale, len(features), 4 * _UNIT_ROWS)
    return result


def as_unit(
    features: np.ndarray, names: Sequence[Any] | np.ndarray | None = None, what: str = "embedding"
) -> np.ndarray:
    """`unit` for who only reads the rows: features that are ready for a product already are given back themselves."""
    return features if _has_unit_rows(features) else unit(features, names, what)


def _unit_row(row, name):
    row = np.asarray(row, np.float64)
    if not np.isfinite(row).all():
        raise UserError(f"{name} has NaN or infinite values; extract it again or leave it out")
    if not row.any():
        raise UserError(f"{name} is a zero vector, which has no direction; extract it again or leave it out")
    row = row / np.abs(row).max()
    return row / np.linalg.norm(row)


def _has_unit_rows(block):
    """Whether a block needs no scaling: float32 rows whose length is 1 but for rounding, ready for a product."""
    if block.dtype != np.float32 or not block.flags.c_contiguous:
        return False
    others = []

    def look(first, last):
        for start in range(first, last, _UNIT_ROWS):
            part = block[start : min(start + _UNIT_ROWS, last)]
            if others or not _are_1(np.einsum("ij,ij->i", part, part), part).all():
                others.append(start)
                return

    in_parts(look, len(block), 4 * _UNIT_ROWS)
    return not others


def _are_1(squares, rows):
    return np.abs(squares - 1) < _UNIT_ROUNDING * max(1, rows.shape[1] / 512)


class UnitBlocks:
    """`load` of `score_blocks` for features of any scale, also in a memory map: unit rows in memory that is used again.

    Blocks whose rows have length 1 already are handed on as they are.

    Args:
        features: (m, d). names, what: as in `unit`.
        contexts: those of `score_blocks`, as their number tells how many blocks can be in use.
        keep: (m,) bool, which rows take part; None: all.
    """

    def __init__(
        self,
        features: np.ndarray,
        contexts: Sequence[mx.Context],
        names: Sequence[Any] | np.ndarray | None = None,
        what: str = "embedding",
        keep: np.ndarray | None = None,
    ):
        self.features, self.what, self.keep = features, what, keep
        self.names = np.asarray(names, object) if names is not None else None
        # Each context has two products under way; a new block must not touch what these read.
        self._blocks: list[np.ndarray | None] = [None] * (2 * len(contexts) + 1)
        self._next = 0

    def __call__(self, start: int, stop: int) -> np.ndarray:
        block, rows = self.features[start:stop], np.arange(start, stop)
        if self.keep is not None:
            block, rows = block[self.keep[start:stop]], rows[self.keep[start:stop]]
        if _has_unit_rows(block):
            return block
        place = self._next = (self._next + 1) % len(self._blocks)
        memory = self._blocks[place]
        if memory is None or len(memory) < len(block):
            memory = self._blocks[place] = np.empty(block.shape, np.float32)
        return unit(block, self.names[rows] if self.names is not None else rows, self.what, memory)


def block_edges(count: int, block: int = COLUMN_BLOCK, first: Sequence[int] = ()) -> list[int]:
    """Borders 0 … count of blocks of `block` rows, the first ones of the sizes `first`."""
    edges = [0, *(int(edge) for edge in np.cumsum(first) if edge < count)]
    return [*edges, *range(edges[-1] + block, count, block), count] if count else [0]


def score_blocks(
    rows: np.ndarray,
    load: Callable[[int, int], np.ndarray],
    edges: Sequence[int],
    contexts: Sequence[mx.Context],
    row_block: int = ROW_BLOCK,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Inner products of `rows` with blocks of columns, computed ahead on all contexts, in order.

    Columns are the outer loop, so that each is loaded once. While the caller reduces one block, the next ones are
    being computed on GPUs: two in flight each. On a CPU product and caller take turns, each with all the cores: side by
    side, the product's threads would wait for each other at every step. On cpu(0) the product is written straight into
    the array handed over.

    Args:
        rows: (n, d) float32, C-contiguous.
        load: function (start, stop) → (at most stop - start, d) float32 columns, C-contiguous; called once a block.
        edges: borders of the column blocks, as from `block_edges`.
        contexts: devices, as a list of mx.Context; of CPU contexts, which share the same cores, only the first works.
        row_block: rows a block at most; the blocks are of nearly equal size.

    Yields:
        (row_start, column_start, scores): scores is a float32 array (rows, columns), which the caller may change and
        which is **overwritten** once the next block is asked for.
    """
    widest = int(max(np.diff(edges), default=0))
    if not len(rows) or not widest:
        return
    ahead = 2
    if contexts[0].device_type == "cpu":
        contexts, ahead = contexts[:1], 1  # one takes all the cores already
    ranges = shard_ranges(len(rows), -(-len(rows) // row_block))
    slots = [_Slot(context, (ranges[0][1] - ranges[0][0]) * widest) for _ in range(ahead) for context in contexts]
    resident = {c: [_to(c, rows[i:j]) for i, j in ranges] for c in contexts}

    def launches():
        slot = 0
        for start, stop in zip(edges, edges[1:]):
            columns = load(start, stop)
            if not len(columns):
                continue
            copies = {}
            for block, (row_start, _) in enumerate(ranges):
                context = slots[slot].context
                if context not in copies:
                    copies[context] = _to(context, columns)
                yield row_start, start, slots[slot].launch(resident[context][block], copies[context])
                slot = (slot + 1) % len(slots)

    coming = launches()
    waiting = deque(itertools.islice(coming, len(slots)))
    while waiting:
        row_start, start, ready = waiting.popleft()
        yield row_start, start, ready()
        waiting.extend(itertools.islice(coming, 1))


def _to(context, array):
    return mx.nd.from_numpy(array[:], zero_copy=True).as_in_context(context)


class _Slot:
    """One block of memory on a device and, unless the device is cpu(0), its mirror in host memory."""

    def __init__(self, context, size):
        self.context = context
        self.memory = np.empty(size, np.float32)
        self.host = mx.nd.from_numpy(self.memory, zero_copy=True)
        self.memory.flags.writeable = True  # from_numpy forbids it; who reads the scores may change them
        self.device = self.host if context == mx.cpu(0) else mx.nd.empty((size,), context)

    def launch(self, rows, columns):
        """Start the product; returns a function that waits for it and gives the scores."""
        shape = (rows.shape[0], columns.shape[0])
        size = shape[0] * shape[1]
        inner(rows, columns, out=self.device[:size].reshape(shape))
        if self.device is not self.host:
            self.device[:size].copyto(self.host[:size])

        def ready():
            self.host.wait_to_read()
            return self.memory[:size].reshape(shape)

        return ready
