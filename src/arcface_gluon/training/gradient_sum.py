"""Sums of gradients over processes: in buckets, each sent while the backward pass computes the next, and compressed."""

from __future__ import annotations

from typing import Iterator, Sequence

import mxnet as mx
import numpy as np

from ..parallel.processes import Processes

# Bytes of a bucket: fewer wait for more gradients' latencies, larger ones for the backward pass.
BUCKET = 25 << 20
_LARGEST_HALF = 65504.0 / 2  # a bit less, as sums round up


class GradientSum:
    """Sums arrays over the processes.

    The last layers' gradients are there first, so buckets begin at the end. MXNet computes on while this waits for one.

    Args:
        processes: those that train together.
        compression: what goes on the way: "none": float32; "float16": see `sum_in_float16`; "bfloat16": see
            `sum_in_bfloat16`.
        bucket: bytes of a bucket; an array is never divided.
    """

    def __init__(self, processes: Processes, compression: str = "none", bucket: int = BUCKET):
        self._processes, self._bucket = processes, bucket
        self._sum = {"none": _sum, "float16": sum_in_float16, "bfloat16": sum_in_bfloat16}[compression]

    def __call__(self, arrays: Sequence[mx.nd.NDArray]) -> None:
        """Put sums in the place of the arrays, the same ones on all processes; may return before they are there."""
        for number, bucket in enumerate(buckets(arrays, self._bucket)):
            self._sum(bucket, self._processes, f"backbone.{number}")


def buckets(arrays: Sequence[mx.nd.NDArray], size: int) -> Iterator[list[mx.nd.NDArray]]:
    """Arrays from the last to the first, in lists of at most `size` bytes, or of one array."""
    bucket: list[mx.nd.NDArray] = []
    held = 0
    for array in reversed(arrays):
        own = array.size * np.dtype(array.dtype).itemsize
        if bucket and held + own > size:
            yield bucket
            bucket, held = [], 0
        bucket.append(array)
        held += own
    if bucket:
        yield bucket


def _sum(arrays, processes, name):
    processes.allreduce(arrays, name)


def sum_in_float16(arrays: list[mx.nd.NDArray], processes: Processes, name: str) -> None:
    """Sum float32 arrays over the processes, in place, with half of the bytes on the way: rounded to float16.

    They are multiplied by one power of two before, so that the largest element of any process just does not overflow in
    the sum; what is less than 1e-9 of it is lost. Where one is not finite, all become NaN.
    """
    largest = max(float(array.abs().max().asscalar()) for array in arrays)
    largest = float(processes.allgather(np.array([largest], np.float64), f"{name}.largest").max())
    gain = 1.0
    if not np.isfinite(largest):
        gain = float("nan")
    elif largest:
        gain = 2.0 ** min(100.0, np.floor(np.log2(_LARGEST_HALF / processes.size / largest)))
    halves = [(array * gain).astype("float16") for array in arrays]
    processes.allreduce(halves, name)
    for array, half in zip(arrays, halves):
        array[:] = half.astype("float32") / gain


def sum_in_bfloat16(arrays: list[mx.nd.NDArray], processes: Processes, name: str) -> None:
    """The same with bfloat16 on the way, which has float32's range: nothing is scaled, and nothing small is lost.

    Each process sums a part of all elements in float32, in the order of the ranks: every term is rounded once, and the
    sum once, however many processes there are. Of a ring, every sum on the way would be. The host computes it.
    """
    whole = np.concatenate([array.asnumpy().ravel() for array in arrays]).astype(np.float32, copy=False)
    parts = np.zeros((processes.size, -(-len(whole) // processes.size)), np.uint16)
    parts.reshape(-1)[: len(whole)] = to_bfloat16(whole)
    own = from_bfloat16(processes.alltoall(parts, f"{name}.terms")).sum(axis=0, dtype=np.float32)
    total = from_bfloat16(processes.allgather(to_bfloat16(own), f"{name}.sums"))
    start = 0
    for array in arrays:
        array[:] = total[start : start + array.size].reshape(array.shape)
        start += array.size


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 → the bits of the nearest bfloat16 as uint16, of two the even one."""
    bits = values.view(np.uint32)
    rounded = ((bits >> 16) & 1) + np.uint32(0x7FFF)
    rounded += bits
    rounded >>= 16
    rounded[np.isnan(values)] = 0x7FC0
    return rounded.astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 of the bits of bfloat16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
