"""Matrix products of the head and the protocols.

The OpenBLAS inside MXNet 1.9.1 cannot do two at the same time on CPUs. Each context has a thread of its own. The second
of two that enter a product of several OpenMP threads finds the library's one buffer taken, and waits in a loop that
never looks again: the compiler took the look out of it. So before a product is issued to another CPU context than the
last one, everything must be done. Nothing is lost by it: the contexts share the same cores. Convolutions and fully
connected layers go to oneDNN, which has no such buffer.
"""

from __future__ import annotations

import mxnet as mx

LARGEST_HALF = 65504.0

_last = None


def dot(left, right, **options):
    """`mx.nd.dot`, on one CPU context at a time."""
    global _last
    context = left.context
    if context.device_type == "cpu" and context != _last:
        mx.nd.waitall()
        _last = context
    return mx.nd.dot(left, right, **options)


def half_dot(left, right, out=None, gain=1.0, **options):
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
    return mx.nd._internal._div_scalar(result, scalar=gain, out=result) if gain != 1 else result


def _half(array):
    return mx.nd.clip(array, -LARGEST_HALF, LARGEST_HALF).astype("float16")
