"""Matrix products of the head and the protocols: by oneDNN on CPUs, by `dot` on GPUs.

MXNet's own `dot` is OpenBLAS of 2020 on CPUs: slower, and two at the same time hang. Each context has a thread of its
own. The second of two that enter a product of several OpenMP threads finds the library's one buffer taken, and waits in
a loop that never looks again: the compiler took the look out of it. oneDNN, behind MXNet's FullyConnected, has neither
fault, and any number of contexts may multiply at once. A FullyConnected is rows·columnsᵀ; the two other products of a
step are its gradients, one by each input (`BlockProducts`).
"""

from __future__ import annotations

from typing import Any

import mxnet as mx

from .operators import divide

LARGEST_HALF = 65504.0
# What weights of at most 1 are multiplied by before they are rounded to float16, as of a million classes most are below
# 1e-6. More would overflow in the gradient of a centre that many samples are near to.
HALF_GAIN = 64.0

_last = None


def inner(rows: mx.nd.NDArray, columns: mx.nd.NDArray, out: mx.nd.NDArray | None = None) -> mx.nd.NDArray:
    """rows·columnsᵀ: (n, m) from (n, d) and (m, d), float32 NDArrays of one context; several contexts at once may."""
    if rows.context.device_type != "cpu":
        return mx.nd.dot(rows, columns, transpose_b=True, out=out)
    return mx.nd.FullyConnected(rows, columns, num_hidden=columns.shape[0], no_bias=True, out=out)


def dot(left: mx.nd.NDArray, right: mx.nd.NDArray, **options: Any) -> mx.nd.NDArray:
    """`mx.nd.dot`, on one CPU context at a time: for the few small products that are no `inner`."""
    global _last
    context = left.context
    if context.device_type == "cpu" and context != _last:
        mx.nd.waitall()
        _last = context
    return mx.nd.dot(left, right, **options)


def half_dot(
    left: mx.nd.NDArray, right: mx.nd.NDArray, out: mx.nd.NDArray | None = None, gain: float = 1.0, **options: Any
) -> mx.nd.NDArray:
    """`dot` of float32 arrays rounded to float16, as GPUs multiply them at several times the rate.

    CPUs have no such product: they multiply the rounded arrays in float32 and round the result, for tests.

    Args:
        gain: a power of 2 by which `left` is multiplied before it is rounded, and the result divided, so that small
            values are not lost: below 6e-8 nothing is left in float16.

    Returns:
        float32; what exceeds the largest float16 is that.
    """
    on_cpu = left.context.device_type == "cpu"
    left = _half(left * gain if gain != 1 else left)
    right = _half(right)
    if on_cpu:
        product = _half(dot(left.astype("float32"), right.astype("float32"), **options))
    else:
        product = dot(left, right, **options)
    result = mx.nd.Cast(product, dtype="float32", out=out)
    mx.nd.clip(result, -LARGEST_HALF, LARGEST_HALF, out=result)  # from infinity
    return divide(result, gain) if gain != 1 else result


def _half(array):
    return mx.nd.clip(array, -LARGEST_HALF, LARGEST_HALF).astype("float16")


class BlockProducts:
    """The three products of a step with one block of centres, each from and into arrays that are given once.

    Nothing is copied and nothing allocated in a step. The arrays are read when a product runs, so their values may
    change between. This class multiplies by `dot`; `block_products` gives the one that suits the device.

    Args, all float32 NDArrays of one context:
        features: (B, d). weight: (c, d) centres. logits: (B, c).
        pull: (B, d), for logits·weight. weighted: (B, d). gradient: (c, d), for logitsᵀ·weighted.
        half: multiply arrays rounded to float16.
    """

    def __init__(
        self,
        features: mx.nd.NDArray,
        weight: mx.nd.NDArray,
        logits: mx.nd.NDArray,
        pull: mx.nd.NDArray,
        weighted: mx.nd.NDArray,
        gradient: mx.nd.NDArray,
        half: bool = False,
    ):
        self._arrays = features, weight, logits, pull, weighted, gradient
        self._half = half

    def to_logits(self) -> None:
        """logits = features·weightᵀ."""
        features, weight, logits, *_ = self._arrays
        self._multiply(features, weight, transpose_b=True, out=logits)

    def to_pull(self) -> None:
        """pull = logits·weight."""
        _, weight, logits, pull, *_ = self._arrays
        self._multiply(logits, weight, out=pull, **self._gain())

    def to_gradient(self) -> None:
        """gradient = logitsᵀ·weighted."""
        _, _, logits, _, weighted, gradient = self._arrays
        self._multiply(logits, weighted, transpose_a=True, out=gradient, **self._gain())

    def _multiply(self, left, right, **options):
        (half_dot if self._half else dot)(left, right, **options)

    def _gain(self):
        return {"gain": HALF_GAIN} if self._half else {}


class _OneDnnProducts(BlockProducts):
    """The same by oneDNN.

    The gradients of y = FullyConnected(x, w) for dL/dy = g are g·w and gᵀ·x. Two operations are recorded once, each
    with one input to be differentiated, whose gradient MXNet writes into the array given. That runs two products for
    nothing; their results go to the logits, which hold nothing yet.
    """

    def __init__(self, features, weight, logits, pull, weighted, gradient):
        super().__init__(features, weight, logits, pull, weighted, gradient)
        self._logits = logits
        self._by_features = _recorded(features.detach(), weight, logits, 0, pull)
        self._by_weight = _recorded(weighted, weight.detach(), logits, 1, gradient)

    def to_logits(self) -> None:
        inner(*self._arrays[:2], out=self._logits)

    def to_pull(self) -> None:
        self._by_features.backward(self._logits, retain_graph=True)

    def to_gradient(self) -> None:
        self._by_weight.backward(self._logits, retain_graph=True)


def _recorded(x, w, y, variable, gradient):
    mx.autograd.mark_variables([(x, w)[variable]], [gradient])
    with mx.autograd.record():
        return mx.nd.FullyConnected(x, w, num_hidden=w.shape[0], no_bias=True, out=y.detach())


def block_products(*arrays: mx.nd.NDArray, half: bool = False) -> BlockProducts:
    """The `BlockProducts` that suit the arrays' device."""
    on_cpu = arrays[0].context.device_type == "cpu"
    return _OneDnnProducts(*arrays) if on_cpu and not half else BlockProducts(*arrays, half=half)
