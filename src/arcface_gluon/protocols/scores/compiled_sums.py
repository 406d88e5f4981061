"""Weighted sums of features by template, compiled by numba where that is installed: each image is read once.

Its length is measured and its weighted values are added up while it is in the cache. Results differ by rounding from
those of lengths first and sparse products after.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...parallel.threads import in_parts

# Templates that are worth a thread.
_WORTH_A_THREAD = 64


def weighted_sums(
    features: np.ndarray, order: np.ndarray, starts: np.ndarray, weights: np.ndarray, scaled: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Sum each template's images, features[order[starts[i]:starts[i + 1]]], by weight.

    Args:
        features: (n, d) float32. order: (n,). starts: (t + 1,). weights: (n,) float64.
        scaled: divide each image by its length first.

    Returns:
        (sums, lengths): (t, d) float32, and (n,) float64 Euclidean lengths. The sums are of use where all are good.
    """
    compiled, lengths = _compiled(), np.zeros(len(features))
    sums = np.empty((len(starts) - 1, features.shape[1]), np.float32)

    def work(first, last):
        compiled(features, order, starts[first : last + 1], weights, scaled, lengths, sums[first:last])

    in_parts(work, len(sums), _WORTH_A_THREAD)
    return sums, lengths


@lru_cache(maxsize=None)
def _compiled() -> Any:
    """The function, compiled at its first call; numba keeps it on disk for later processes."""
    import numba

    # Sums in any order, so that they are made of vectors; NaN and infinity stay what they are, as does what is over 0.
    @numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
    def add_up(features, order, starts, weights, scaled, lengths, sums):
        for template in range(sums.shape[0]):
            total = sums[template]
            total[:] = np.float32(0)
            for place in range(starts[template], starts[template + 1]):
                row, square = features[order[place]], np.float32(0)
                for j in range(row.size):
                    square += row[j] * row[j]
                length = np.sqrt(np.float64(square))
                lengths[order[place]] = length
                weight = np.float32(weights[order[place]] / (length if scaled else 1.0))
                for j in range(row.size):
                    total[j] += weight * row[j]

    return add_up
