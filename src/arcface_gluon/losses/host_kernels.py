"""The head's elementwise work on CPUs: NumPy on the NDArrays' own memory, over all threads, a few rows at a time.

A few rows stay in a core's second cache from one pass to the next. MXNet's operators for the same take several times as
long, and read and write the main memory each time. `device_kernels` does the same on GPUs; both meet the contract
`interfaces.Kernels`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import mxnet as mx
import numpy as np

from ..parallel.operators import host_view
from ..parallel.threads import in_parts
from .interfaces import SMALLEST_SQUARE

if TYPE_CHECKING:
    from .interfaces import SGD, Modulation

# Bytes of logits, and rows of centres (with gradient, momentum and scratch), that are worked through together.
LOGIT_BYTES = 1 << 17
CENTRE_ROWS = 128
# Elements that are worth a thread.
WORTH_A_THREAD = 1 << 14

_scratch = threading.local()


class Handle:
    """An NDArray, as the products take it, and its memory, as the kernels do."""

    def __init__(self, array: mx.nd.NDArray):
        self.array, self._view = array, host_view(array)

    def get(self) -> np.ndarray:
        """The memory, once what writes it is done."""
        self.array.wait_to_read()
        return self._view


class HostKernels:
    """See `interfaces.Kernels`."""

    xp, normalised = np, False

    def __init__(self, context: mx.Context):
        self.context = context

    def wrap(self, array: mx.nd.NDArray) -> Handle:
        return Handle(array)

    def column(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float32).reshape(-1, 1)

    def index(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.int64)

    def to_host(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(array, np.float64)

    def to_ndarray(self, array: np.ndarray) -> mx.nd.NDArray:
        return mx.nd.array(array, self.context, dtype="float32")

    def take(self, array: np.ndarray, index: np.ndarray) -> np.ndarray:
        return array[index]

    def add_rows(self, array: np.ndarray, index: np.ndarray, rows: np.ndarray) -> None:
        array[index] += rows

    def row_dots(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", a, b)[:, None]

    def scale(self, array: np.ndarray, column: np.ndarray, out: np.ndarray) -> None:
        def work(first, last):
            np.multiply(array[first:last], column[first:last], out=out[first:last])

        in_parts(work, len(array), rows_worth_a_thread(array))

    def blend(self, total: np.ndarray, before: np.ndarray, part: np.ndarray, now: np.ndarray) -> None:
        def work(first, last):
            t, p = total[first:last], part[first:last]
            np.multiply(t, before[first:last], out=t)
            np.multiply(p, now[first:last], out=p)
            np.add(t, p, out=t)

        in_parts(work, len(total), rows_worth_a_thread(total))

    def mask(self, logits: np.ndarray, places: np.ndarray, value: float) -> None:
        logits.reshape(-1)[places] = value

    def softmax(
        self, logits: np.ndarray, inverse: np.ndarray, modulate: Modulation | None
    ) -> tuple[np.ndarray, np.ndarray]:
        width = logits.shape[1]
        top, total = (np.empty((len(logits), 1), np.float32) for _ in range(2))
        inverse, step = inverse.reshape(-1), max(1, LOGIT_BYTES // (4 * width))

        def work(first, last):
            for a in range(first, last, step):
                here = slice(a, min(a + step, last))
                part = logits[here]
                np.multiply(part, inverse, out=part)
                derivative = None if modulate is None else modulate(part, here)
                np.max(part, axis=1, keepdims=True, out=top[here])
                np.subtract(part, top[here], out=part)
                np.exp(part, out=part)
                np.sum(part, axis=1, keepdims=True, out=total[here])
                if derivative is not None:
                    np.multiply(part, derivative, out=part)
                np.multiply(part, inverse, out=part)

        in_parts(work, len(logits), max(1, WORTH_A_THREAD // width))
        return top, total

    def measure(self, weight: np.ndarray, inverse: np.ndarray) -> None:
        def work(first, last):
            for a in range(first, last, CENTRE_ROWS):
                here = slice(a, min(a + CENTRE_ROWS, last))
                _measure(weight[here], inverse[here, 0])

        in_parts(work, len(weight), rows_worth_a_thread(weight))

    def remove_radial_part(self, weight: np.ndarray, gradient: np.ndarray, inverse: np.ndarray) -> None:
        def work(first, last):
            for a in range(first, last, CENTRE_ROWS):
                here = slice(a, min(a + CENTRE_ROWS, last))
                w, g, own = weight[here], gradient[here], _scratch_like(weight[here])
                np.multiply(w, _radial(w, g, inverse[here, 0])[:, None], out=own)
                np.subtract(g, own, out=g)

        in_parts(work, len(weight), rows_worth_a_thread(weight))

    def sgd(
        self,
        weight: np.ndarray,
        gradient: np.ndarray,
        momentum: np.ndarray,
        inverse: np.ndarray,
        rule: SGD,
        unit: bool,
    ) -> None:
        lr, keep, wd = np.float32(rule.lr), np.float32(rule.momentum), np.float32(rule.wd)

        def work(first, last):
            for a in range(first, last, CENTRE_ROWS):
                here = slice(a, min(a + CENTRE_ROWS, last))
                w, g, m, own = weight[here], gradient[here], momentum[here], _scratch_like(weight[here])
                # One pass for the radial part and the decay: both are multiples of w.
                factor = lr * (_radial(w, g, inverse[here, 0]) - wd)[:, None] if unit else -lr * wd
                np.multiply(w, factor, out=own)
                np.multiply(m, keep, out=m)
                np.add(m, own, out=m)
                np.multiply(g, lr, out=g)
                np.subtract(m, g, out=m)
                if rule.nesterov:
                    np.subtract(own, g, out=own)
                    np.add(w, own, out=w)
                    np.multiply(m, keep, out=g)
                np.add(w, g if rule.nesterov else m, out=w)
                if unit:
                    _measure(w, inverse[here, 0])

        in_parts(work, len(weight), rows_worth_a_thread(weight))


def _radial(w, g, inverse):
    """(rows,) w.g / w.w: multiples of w that are the gradient's radial part."""
    return np.einsum("ij,ij->i", w, g) * np.square(inverse)


def _measure(w, inverse):
    np.divide(1, np.sqrt(np.einsum("ij,ij->i", w, w) + np.float32(SMALLEST_SQUARE)), out=inverse)


def rows_worth_a_thread(array: np.ndarray) -> int:
    """Rows of an array (n, d) that are worth a thread."""
    return max(1, WORTH_A_THREAD // array.shape[1])


def _scratch_like(rows):
    """This thread's scratch of the shape of some rows."""
    memory = getattr(_scratch, "memory", None)
    if memory is None or memory.size < rows.size:
        memory = _scratch.memory = np.empty(rows.size, np.float32)
    return memory[: rows.size].reshape(rows.shape)
