"""Weighted sums of images by template: by SciPy's sparse product, right after the images' lengths are measured."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from .passes import is_ascending


def add_up(
    features: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    weights: np.ndarray,
    scaled: bool,
    lengths: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Sum each template's images, features[order[starts[i]:starts[i + 1]]], by weight.

    Args:
        features: (n, d) float32. order: (n,). starts: (t + 1,). weights: (n,) float64.
        scaled: divide each image by its length first.
        lengths: (n,) float64, into which the Euclidean lengths of these images are written.
        sums: (t, d) float32 to write into; of use where all lengths are good.
    """
    here = order[starts[0] : starts[-1]]
    if len(here) and is_ascending(here) and here[-1] - here[0] + 1 == len(here):
        here = slice(here[0], here[-1] + 1)  # no copy
    images = features[here]
    with np.errstate(all="ignore"):
        lengths[here] = np.sqrt(np.einsum("ij,ij->i", images, images))
        values = (weights[here] / lengths[here] if scaled else weights[here]).astype(np.float32)
    places = starts - starts[0]
    sums[:] = csr_matrix((values, np.arange(len(values)), places), shape=(len(sums), len(values))) @ images
