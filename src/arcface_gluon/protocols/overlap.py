"""People of a training set who are in a test set too, by the similarity of their feature centres."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import runtime
from .scores.blocks import unit
from .scores.search import top_k
from .scores.sums import identity_sums


def identity_centres(
    features: np.ndarray, labels: np.ndarray | Sequence[Any], names: Sequence[Any] | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Feature centre of each identity: the mean of its features of length 1, scaled to length 1.

    Args:
        features: (n, d), may be a memory map: it is read once, in blocks.
        labels: (n,) identity of each row.
        names: (n,) what to call the rows in errors.

    Returns:
        (identities, centres): (k,) sorted distinct labels, and (k, d) float32 of length 1.

    Raises:
        UserError: a row with NaN or zero features, or an identity whose features cancel out; it is named.
    """
    identities, rows = np.unique(np.asarray(labels), return_inverse=True)
    sums = identity_sums(features, rows, len(identities), names)
    return identities, unit(sums, names=[str(identity) for identity in identities], what="the centre of identity")


def nearest(vectors: np.ndarray, others: np.ndarray, contexts: runtime.Devices = None) -> tuple[np.ndarray, np.ndarray]:
    """The most similar of `others` for each of `vectors`: exact, in blocks of products on all devices.

    Args:
        vectors: (n, d) float32 of length 1. others: (m, d) likewise, may be a memory map.

    Returns:
        (cosine, index): (n,) float32 and (n,) int64, the first of equals.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)

    def load(start, stop):
        return np.ascontiguousarray(others[start:stop], np.float32)

    scores, indices = top_k(vectors, load, len(others), 1, contexts)
    return scores[:, 0], indices[:, 0]
