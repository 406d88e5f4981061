"""The head's passes over the centres, compiled by numba where that is installed: each reads and writes memory once.

NumPy needs eight passes for an update, in cache at best. With few samples a centre (a million identities, a batch of
64) they take longer than the products. The same arithmetic, with sums in another order: results differ from those of
`host_kernels` by rounding, and summary.json says which ones a run took.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import numpy as np

from ..parallel.threads import in_parts
from .host_kernels import HostKernels, rows_worth_a_thread
from .interfaces import SGD, SMALLEST_SQUARE


class CompiledKernels(HostKernels):
    """See `interfaces.Kernels`."""

    def measure(self, weight: np.ndarray, inverse: np.ndarray) -> None:
        compiled = _compiled().measure
        self._over_rows(lambda a, b: compiled(weight[a:b], inverse[a:b]), weight)

    def remove_radial_part(self, weight: np.ndarray, gradient: np.ndarray, inverse: np.ndarray) -> None:
        compiled = _compiled().remove_radial_part
        self._over_rows(lambda a, b: compiled(weight[a:b], gradient[a:b], inverse[a:b]), weight)

    def sgd(
        self,
        weight: np.ndarray,
        gradient: np.ndarray,
        momentum: np.ndarray,
        inverse: np.ndarray,
        rule: SGD,
        unit: bool,
    ) -> None:
        compiled, numbers = _compiled().sgd, [np.float32(value) for value in (rule.lr, rule.momentum, rule.wd)]

        def work(a, b):
            compiled(weight[a:b], gradient[a:b], momentum[a:b], inverse[a:b], *numbers, unit, rule.nesterov)

        self._over_rows(work, weight)

    @staticmethod
    def _over_rows(work, rows):
        in_parts(work, len(rows), rows_worth_a_thread(rows))


@lru_cache(maxsize=None)
def _compiled() -> SimpleNamespace:
    """The functions, compiled at their first call; numba keeps them on disk for later processes."""
    import numba

    # Sums in any order, so that they are made of vectors; NaN and infinity stay what they are.
    compile_function = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
    smallest = np.float32(SMALLEST_SQUARE)

    # In one place: a run that resumes measures what one that went on has of its last update, and gets the same bits.
    @compile_function
    def inverse_norm(row):
        square = np.float32(0)
        for j in range(row.size):
            square += row[j] * row[j]
        return np.float32(1) / np.sqrt(square + smallest)

    @compile_function
    def measure(weight, inverse):
        for i in range(weight.shape[0]):
            inverse[i, 0] = inverse_norm(weight[i])

    @compile_function
    def remove_radial_part(weight, gradient, inverse):
        for i in range(weight.shape[0]):
            w, g, dot = weight[i], gradient[i], np.float32(0)
            for j in range(w.size):
                dot += w[j] * g[j]
            radial = dot * inverse[i, 0] * inverse[i, 0]
            for j in range(w.size):
                g[j] -= radial * w[j]

    @compile_function
    def sgd(weight, gradient, momentum, inverse, lr, keep, wd, unit, nesterov):
        ahead = keep if nesterov else np.float32(1)
        rest = np.float32(1) if nesterov else np.float32(0)
        for i in range(weight.shape[0]):
            w, g, m, dot = weight[i], gradient[i], momentum[i], np.float32(0)
            if unit:
                for j in range(w.size):
                    dot += w[j] * g[j]
            factor = lr * (dot * inverse[i, 0] * inverse[i, 0] - wd)
            for j in range(w.size):
                step = factor * w[j] - lr * g[j]
                m[j] = keep * m[j] + step
                w[j] += ahead * m[j] + rest * step
            if unit:
                inverse[i, 0] = inverse_norm(w)

    return SimpleNamespace(measure=measure, remove_radial_part=remove_radial_part, sgd=sgd)
