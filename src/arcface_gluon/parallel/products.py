"""Matrix products on several CPU contexts, which the OpenBLAS inside MXNet 1.9.1 cannot do at the same time.

Each context has a thread of its own. The second of two that enter a product of several OpenMP threads finds the
library's one buffer taken, and waits in a loop that never looks again: the compiler took the look out of it. So before
a product is issued to another CPU context than the last one, everything must be done. Nothing is lost by it: the
contexts share the same cores. Convolutions and fully connected layers go to oneDNN, which has no such buffer.
"""

from __future__ import annotations

import mxnet as mx

_last = None


def dot(left, right, **options):
    """`mx.nd.dot`, on one CPU context at a time."""
    global _last
    context = left.context
    if context.device_type == "cpu" and context != _last:
        mx.nd.waitall()
        _last = context
    return mx.nd.dot(left, right, **options)
