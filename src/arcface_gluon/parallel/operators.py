"""MXNet's operators and memory that have no public name, in one place.

A host view is a NumPy array in an NDArray's own memory. The engine knows nothing of what is read or written through it:
wait for the array before (`wait_to_read`), and let no operation that uses it be under way while it is written to
(`writable_view` waits for all so far).
"""

from __future__ import annotations

import ctypes

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, check_call


def set_rows(array: mx.nd.NDArray, index: mx.nd.NDArray, rows: mx.nd.NDArray) -> None:
    """array[index[i]] = rows[i], in place.

    Args:
        array: (n, …) NDArray. index: (t,) int32 NDArray of distinct places. rows: (t, …).
    """
    mx.nd._internal._scatter_set_nd(array, rows, index.reshape((1, -1)), shape=array.shape, out=array)


def divide(array: mx.nd.NDArray, number: float) -> mx.nd.NDArray:
    """array /= number, in place."""
    return mx.nd._internal._div_scalar(array, scalar=number, out=array)


def host_view(array: mx.nd.NDArray) -> np.ndarray:
    """The memory of a float32 NDArray on a CPU context, as a NumPy array of the same shape; it keeps the NDArray."""
    if array.context.device_type != "cpu" or np.dtype(array.dtype) != np.float32:
        raise ValueError(f"only float32 on a CPU has a host view, not {np.dtype(array.dtype)} on {array.context}")
    array.wait_to_read()
    pointer = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    memory = (ctypes.c_float * array.size).from_address(pointer.value)
    memory.owner = array  # NumPy keeps `memory`
    return np.frombuffer(memory, np.float32).reshape(array.shape)


def writable_view(array: mx.nd.NDArray) -> np.ndarray:
    """`host_view`, once nothing that was issued before writes the array, or reads it."""
    check_call(_LIB.MXNDArrayWaitToWrite(array.handle))
    return host_view(array)
