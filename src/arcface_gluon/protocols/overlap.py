"""People of a training set who are in a test set too, by the similarity of their feature centres."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import runtime
from ..progress import progress
from .scores.blocks import COLUMN_BLOCK, unit
from .scores.search import top_k


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
    names = names if names is not None else range(len(features))
    sums = np.zeros((len(identities), features.shape[1]), np.float32)
    for start in progress(range(0, len(features), COLUMN_BLOCK), desc="centres", unit=" blocks", delay=1):
        stop = min(start + COLUMN_BLOCK, len(features))
        block = unit(features[start:stop], names=names[start:stop])
        order = np.argsort(rows[start:stop], kind="stable")
        sorted_rows = rows[start:stop][order]
        first = np.flatnonzero(np.r_[True, np.diff(sorted_rows) > 0])
        sums[sorted_rows[first]] += np.add.reduceat(block[order], first, axis=0)
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
