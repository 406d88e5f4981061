"""Momentum SGD of float32 parameters on CPUs, by NumPy on the NDArrays' own memory, over all threads.

The arithmetic of MXNet's SGD in the same order, hence the same bits. MXNet's operator computes one element at a time,
without vector instructions; here some thousand elements go through all steps while they lie in a core's cache.
"""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
import numpy as np

from ..parallel.operators import host_view, writable_view
from ..parallel.threads import in_parts

# Elements that go through all steps together: four arrays of them stay in a core's second cache.
ELEMENTS = 1 << 15


class HostSGD(mx.optimizer.SGD):
    """MXNet's SGD with momentum, for float32 parameters on CPUs."""

    def _update_impl(
        self,
        indices: Sequence[int],
        weights: Sequence[mx.nd.NDArray],
        grads: Sequence[mx.nd.NDArray],
        states: Sequence[mx.nd.NDArray],
        multi_precision: bool = False,
    ) -> None:
        self._update_count(indices)
        keep, rescale = np.float32(self.momentum), np.float32(self.rescale_grad)
        rates = zip(self._get_lrs(indices), self._get_wds(indices))
        for weight, gradient, momentum, (lr, wd) in zip(weights, grads, states, rates):
            g, w, m = (
                view.reshape(-1) for view in (host_view(gradient), writable_view(weight), writable_view(momentum))
            )
            _update(g, w, m, np.float32(lr), np.float32(wd), keep, rescale)


def _update(gradient, weight, momentum, lr, wd, keep, rescale):
    def work(first, last):
        scratch = np.empty(min(ELEMENTS, last - first), np.float32)
        for start in range(first, last, ELEMENTS):
            here = slice(start, min(start + ELEMENTS, last))
            g, w, m = gradient[here], weight[here], momentum[here]
            step = scratch[: w.size]
            np.multiply(m, keep, out=m)
            np.multiply(w, lr * wd, out=step)
            np.subtract(m, step, out=m)
            np.multiply(g, lr * rescale, out=step)
            np.subtract(m, step, out=m)
            np.add(w, m, out=w)

    in_parts(work, weight.size, ELEMENTS)
