"""`host_sums` compiled by numba where that is installed: each image is read once.

Its length is measured and its weighted values are added up while it is in the cache. Results differ by rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


def add_up(
    features: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    weights: np.ndarray,
    scaled: bool,
    lengths: np.ndarray,
    sums: np.ndarray,
) -> None:
    """See `host_sums.add_up`."""
    _compiled()(features, order, starts, weights, scaled, lengths, sums)


@lru_cache(maxsize=None)
def _compiled() -> Any:
    """The function, compiled at its first call; numba keeps it on disk for later processes."""
    import numba

    # Sums in any order, so that they are made of vectors; NaN and infinity stay what they are, as does what is over 0.
    @numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
    def add(features, order, starts, weights, scaled, lengths, sums):
        place, end = starts[0], starts[sums.shape[0]]
        row, square = features[order[min(place, order.size - 1)]], np.float32(0)
        for j in range(row.size):
            square += row[j] * row[j]
        for template in range(sums.shape[0]):
            total = sums[template]
            total[:] = np.float32(0)
            for place in range(starts[template], starts[template + 1]):
                length = np.sqrt(np.float64(square))
                lengths[order[place]] = length
                weight = np.float32(weights[order[place]] / (length if scaled else 1.0))
                # The next image is measured before this one is added: the memory is read while the weight is divided.
                after, square = features[order[min(place + 1, end - 1)]], np.float32(0)
                for j in range(after.size):
                    square += after[j] * after[j]
                for j in range(row.size):
                    total[j] += weight * row[j]
                row = after

    return add
