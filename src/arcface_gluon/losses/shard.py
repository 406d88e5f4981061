"""One device's share of the classification layer: its class centres, and their blocks.

Shapes: B batch over all devices, d embedding size, n centres of the shard, c centres of a block, K blocks, t samples of
the batch whose class is here. Centres are worked through in blocks, so that a block's logits (B, c) and centres (c, d)
stay in cache from one operation to the next, and nothing of size (n, d) is kept but centres and momenta.

A step is a chain of objects, each made by the one before (shard_step.py): `pick` gives the own centres of the samples,
`forward` the logits and their sums, `backward` the embeddings' gradient and what gives the centres' gradient.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..parallel.products import block_products
from ..parallel.shards import shard_ranges
from .compiled_kernels import CompiledKernels
from .device_kernels import DeviceKernels
from .host_kernels import HostKernels
from .interfaces import Kernels, Modulation
from .shard_step import Forward, Own

nd = mx.nd

# Classes a block: what a block leaves should be in a CPU's last cache when it is read again; a GPU wants few calls.
BLOCK_CLASSES = {"cpu": 8192, "gpu": 65536}
KERNELS: dict[str, Any] = {"cpu": CompiledKernels if find_spec("numba") else HostKernels, "gpu": DeviceKernels}
MAX_ELEMENTS = 2**31 - 1


class Block(NamedTuple):
    """Handles (`interfaces.Kernels.wrap`) of rows start … stop-1 of a shard; `gradient` is the same memory in all."""

    start: int
    stop: int
    weight: object
    momentum: object
    inverse_norms: object
    gradient: object


class Shard:
    """Classes start … stop-1 on one context.

    Args:
        start, stop: its classes.
        embedding_size: d.
        context: its device.
        rows_per_class: centres a class, one after the other.
        block_rows: if not 0, classes a block; then only one block's logits are kept, and computed again for the
            gradient of the centres: a fourth product in place of a (B, n) buffer.
        half: whether the three products are of arrays rounded to float16; all the rest stays in float32.

    Attributes:
        unit: whether only the direction of a centre counts (class attribute).
        weight, momentum: (n, d) class centres, of any length, and momenta.
        inverse_norms: (n, 1), 1 / norm of each centre; up to date after `pick`. Ones where not `unit`.
        ranges: (first, last + 1) row of each block; `blocks`: their arrays.
        kernels: the elementwise work on this device.
        workspace: what a step needs room for; grows with the batch.
        turn: number of the last `forward`: what an earlier one left is overwritten.
    """

    unit = True

    def __init__(
        self,
        start: int,
        stop: int,
        embedding_size: int,
        context: mx.Context,
        rows_per_class: int = 1,
        block_rows: int = 0,
        half: bool = False,
    ):
        rows = (stop - start) * rows_per_class
        self.start, self.stop, self.context, self.rows_per_class = start, stop, context, rows_per_class
        self.kernels: Kernels = KERNELS[context.device_type](context)
        self.weight = class_array(rows, embedding_size, context)
        self.momentum = class_array(rows, embedding_size, context)
        self.inverse_norms = nd.ones((rows, 1), context)
        # All the centres of a class lie in one block.
        classes = block_rows or max(1, BLOCK_CLASSES[context.device_type] // rows_per_class)
        count = -(-(stop - start) // classes)
        self.ranges = [(a * rows_per_class, b * rows_per_class) for a, b in shard_ranges(stop - start, count)]
        self.starts = np.array([a for a, _ in self.ranges])
        self.blocks = self._make_blocks()
        self.workspace = Workspace(self, recompute=block_rows > 0, half=half)
        self.turn = 0
        self._stale = True

    def _make_blocks(self):
        widest, wrap = max(b - a for a, b in self.ranges), self.kernels.wrap
        gradient = nd.empty((widest, self.weight.shape[1]), self.context)
        blocks = []
        for a, b in self.ranges:
            arrays = self.weight[a:b], self.momentum[a:b], self.inverse_norms[a:b], gradient[: b - a]
            blocks.append(Block(a, b, *map(wrap, arrays)))
        return blocks

    def load(self, name: str, first: int, rows: np.ndarray | mx.nd.NDArray) -> None:
        """Write rows of the array `name`, from the shard's row `first` on."""
        array, columns = self.place(name, self.weight, self.momentum)
        array[first : first + rows.shape[0], columns] = rows
        self.changed()

    @staticmethod
    def place(name: str, weight: mx.nd.NDArray, momentum: mx.nd.NDArray) -> tuple[mx.nd.NDArray, slice]:
        """The array, of these two, and the columns in which a checkpoint's array `name` lies."""
        return {"weight": weight, "momentum": momentum}[name], slice(None)

    def changed(self) -> None:
        """The centres were written to: measure them again in the next step."""
        self._stale = True

    def pick(self, features: mx.nd.NDArray, samples: np.ndarray, classes: np.ndarray) -> Own:
        """The own centres of the samples whose class is here.

        Args:
            features: (B, d) what the embeddings are to the shards (unit vectors), on this context.
            samples: (t,) positions in the batch of these samples, in the order of their classes.
            classes: (t,) these classes, counted from the shard's first.
        """
        self._measure_stale_norms()
        return Own(self, features, samples, self._rows(features, samples, classes))

    def forward(self, features: mx.nd.NDArray, scale: float, own: Own, modulate: Modulation | None = None) -> Forward:
        """The first two products: logits, and the pull of all other classes on the embeddings.

        Args:
            features: as for `pick`.
            scale: s.
            own: what `pick` gave for them.
            modulate: what changes the logits before the softmax, or None.
        """
        self.turn += 1
        self.workspace.reserve(features.shape[0])
        return Forward(self, features, scale, own, modulate)

    # What kinds of shards differ in.

    def _rows(self, features, samples, classes) -> np.ndarray:
        """(t,) row of each sample's own centre."""
        return classes

    def masked(self, own: Own) -> tuple[np.ndarray, np.ndarray]:
        """(m,) samples and (m,) rows of the logits that are no others': left out of the softmax; rows ascend."""
        return own.samples, own.rows

    def own_values(self, own: Own) -> np.ndarray:
        """(t,) float64, what the loss is told of the own centres: angles in radians."""
        return own.angles()

    def _measure_stale_norms(self):
        if self._stale and self.unit:
            for block in self.blocks:
                self.kernels.measure(block.weight.get(), block.inverse_norms.get())
        self._stale = False


class Workspace:
    """Memory of a step that is used again: made for the largest batch so far.

    Args:
        shard: whose.
        recompute: keep one block's logits only.
        half: as for `Shard`.

    Attributes, handles of:
        features: (B, d) times the scale. weighted: (B, d). pull: (B, d) of one block.
        logits: one (B, c) a block.
    and products: parallel.products.BlockProducts of each block.
    """

    def __init__(self, shard: Shard, recompute: bool, half: bool):
        self._shard, self.recompute, self.half = shard, recompute, half
        self._capacity = self.batch = 0
        self._memory: Any = None
        self.features: Any = None
        self.weighted: Any = None
        self.pull: Any = None
        self.logits, self.products = [], []

    def reserve(self, batch: int) -> None:
        """Make room for a batch.

        Raises:
            UserError: its logits are too many for one MXNet array.
        """
        if batch == self.batch:
            return
        shard, wrap = self._shard, self._shard.kernels.wrap
        context, size = shard.context, shard.weight.shape[1]
        widths = [b - a for a, b in shard.ranges]
        self.logits, self.products = [], []
        if batch > self._capacity:
            elements = batch * (max(widths) if self.recompute else sum(widths))
            if elements > MAX_ELEMENTS:
                raise UserError(f"{elements:,} logits on {context} exceed an MXNet array; set a smaller block_rows")
            self._memory = None  # freed before the larger one is asked for
            self._memory = nd.empty((elements,), context)
            self._capacity = batch
        self.batch = batch
        self.features, self.weighted, self.pull = (wrap(nd.zeros((batch, size), context)) for _ in range(3))
        for block, width in zip(shard.blocks, widths):
            first = 0 if self.recompute else block.start * batch
            logits = wrap(self._memory[first : first + batch * width].reshape((batch, width)))
            self.logits.append(logits)
            arrays = self.features, block.weight, logits, self.pull, self.weighted, block.gradient
            self.products.append(block_products(*(handle.array for handle in arrays), half=self.half))


def class_array(rows: int, embedding_size: int, context: mx.Context) -> mx.nd.NDArray:
    """(rows, d) zeros on a context.

    Raises:
        UserError: too large for an MXNet array.
    """
    if rows * embedding_size > MAX_ELEMENTS:
        raise UserError(
            f"{rows} identities x {embedding_size} on {context} exceed the 2^31 elements of an MXNet array; "
            f"use at least {-(-rows * embedding_size // MAX_ELEMENTS)} times as many contexts"
        )
    return nd.zeros((rows, embedding_size), context)
