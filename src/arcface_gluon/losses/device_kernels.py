"""The head's elementwise work by MXNet's operators: for GPUs. They are only issued; nothing here waits.

CPUs have `host_kernels`; both meet the contract `interfaces.Kernels`, and this one runs on CPUs too, for tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

from ..parallel.operators import set_rows
from .interfaces import SMALLEST_SQUARE
from .normalise import row_sums

if TYPE_CHECKING:
    from .interfaces import SGD, Modulation

nd = mx.nd


class Handle:
    """An NDArray: products and kernels take the same."""

    def __init__(self, array: mx.nd.NDArray):
        self.array = array

    def get(self) -> mx.nd.NDArray:
        """The array; MXNet's engine keeps the order of what is done to it."""
        return self.array


class DeviceKernels:
    """See `interfaces.Kernels`."""

    xp, normalised = nd, True

    def __init__(self, context: mx.Context):
        self.context = context

    def wrap(self, array: mx.nd.NDArray) -> Handle:
        return Handle(array)

    def column(self, values: np.ndarray) -> mx.nd.NDArray:
        return nd.array(np.reshape(values, (-1, 1)), self.context, dtype="float32")

    def index(self, values: np.ndarray) -> mx.nd.NDArray:
        return nd.array(values, self.context, dtype="int32")

    def to_host(self, array: mx.nd.NDArray) -> np.ndarray:
        return array.asnumpy().astype(np.float64)

    def to_ndarray(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        return array

    def take(self, array: mx.nd.NDArray, index: mx.nd.NDArray) -> mx.nd.NDArray:
        return nd.take(array, index)

    def add_rows(self, array: mx.nd.NDArray, index: mx.nd.NDArray, rows: mx.nd.NDArray) -> None:
        set_rows(array, index, nd.take(array, index) + rows)

    def row_dots(self, a: mx.nd.NDArray, b: mx.nd.NDArray) -> mx.nd.NDArray:
        return row_sums(a * b)

    def scale(self, array: mx.nd.NDArray, column: mx.nd.NDArray, out: mx.nd.NDArray) -> None:
        nd.broadcast_mul(array, column, out=out)

    def blend(self, total: mx.nd.NDArray, before: mx.nd.NDArray, part: mx.nd.NDArray, now: mx.nd.NDArray) -> None:
        nd.broadcast_mul(total, before, out=total)
        nd.elemwise_add(total, nd.broadcast_mul(part, now), out=total)

    def mask(self, logits: mx.nd.NDArray, places: mx.nd.NDArray, value: float) -> None:
        flat = logits.reshape((-1,))
        set_rows(flat, places, nd.full((places.shape[0],), value, self.context))

    def softmax(
        self, logits: mx.nd.NDArray, inverse: mx.nd.NDArray, modulate: Modulation | None
    ) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        inverse = inverse.reshape((1, -1))
        nd.broadcast_mul(logits, inverse, out=logits)
        derivative = None if modulate is None else modulate(logits, slice(0, logits.shape[0]))
        top = nd.max(logits, axis=1, keepdims=True)
        nd.softmax(logits, out=logits)
        # The largest probability is exp(top - top) / total.
        total = 1 / nd.max(logits, axis=1, keepdims=True)
        if derivative is not None:
            nd.elemwise_mul(logits, derivative, out=logits)
        nd.broadcast_mul(logits, inverse, out=logits)
        return top, total

    def measure(self, weight: mx.nd.NDArray, inverse: mx.nd.NDArray) -> None:
        nd.rsqrt(self.row_dots(weight, weight) + SMALLEST_SQUARE, out=inverse)

    def remove_radial_part(self, weight: mx.nd.NDArray, gradient: mx.nd.NDArray, inverse: mx.nd.NDArray) -> None:
        radial = self.row_dots(weight, gradient) * nd.square(inverse)
        nd.elemwise_sub(gradient, nd.broadcast_mul(weight, radial), out=gradient)

    def sgd(
        self,
        weight: mx.nd.NDArray,
        gradient: mx.nd.NDArray,
        momentum: mx.nd.NDArray,
        inverse: mx.nd.NDArray,
        rule: SGD,
        unit: bool,
    ) -> None:
        if unit:
            self.remove_radial_part(weight, gradient, inverse)
        rates = {"lr": rule.lr, "momentum": rule.momentum}
        if rule.nesterov:
            # Its own decay would be that of the new weight in the momentum: the operator writes the weight first.
            nd.elemwise_add(gradient, weight * rule.wd, out=gradient)
            nd.nag_mom_update(weight, gradient, momentum, **rates, wd=0, out=weight)
        else:
            nd.sgd_mom_update(weight, gradient, momentum, **rates, wd=rule.wd, out=weight)
        if unit:
            self.measure(weight, inverse)
