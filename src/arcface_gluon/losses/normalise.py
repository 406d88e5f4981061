"""Rows of length 1, and the gradient through the division by their lengths."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from .interfaces import SMALLEST_SQUARE


def unit_rows(embedding: mx.nd.NDArray) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
    """(b, d) rows scaled to length 1 and (b, 1) 1 / length, in float32."""
    embedding = embedding.astype("float32", copy=False)
    inverse = mx.nd.rsqrt(mx.nd.maximum(row_sums(mx.nd.square(embedding)), SMALLEST_SQUARE))
    return mx.nd.broadcast_mul(embedding, inverse), inverse


def through_unit_rows(
    gradient: mx.nd.NDArray,
    unit: mx.nd.NDArray,
    inverse_length: mx.nd.NDArray,
    dtype: type,
    by_length: np.ndarray | None = None,
) -> mx.nd.NDArray:
    """(I - x x') g / |x| + h x: the gradient by the rows from g (b, d) by their unit vectors x and h (b,) by length."""
    radial = row_sums(gradient * unit)
    gradient = (gradient - radial * unit) * inverse_length
    if by_length is not None:
        gradient = gradient + mx.nd.array(by_length.reshape(-1, 1), unit.context, dtype=unit.dtype) * unit
    return gradient.astype(dtype)


def row_sums(array: mx.nd.NDArray) -> mx.nd.NDArray:
    """(rows, 1) from (rows, d), as a product with ones, since MXNet's own sum takes many times as long."""
    ones = mx.nd.ones((1, array.shape[1]), array.context)
    return mx.nd.FullyConnected(array, ones, num_hidden=1, no_bias=True)
