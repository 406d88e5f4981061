"""Sums of unit features by identity, read in blocks."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...progress import progress
from .blocks import COLUMN_BLOCK, unit


def identity_sums(
    features: np.ndarray,
    rows: np.ndarray,
    identities: int,
    names: Sequence[Any] | np.ndarray | None = None,
    dtype: type = np.float32,
    block: int | None = None,
) -> np.ndarray:
    """Sum of each identity's features of length 1.

    Args:
        features: (n, d), may be a memory map: it is read once, in blocks.
        rows: (n,) number of each row's identity, 0 to identities - 1.
        names: (n,) what to call the rows in errors; None: their numbers.
        dtype: that blocks are added up in.
        block: rows a block; None: COLUMN_BLOCK.

    Returns:
        (identities, d) of `dtype`.

    Raises:
        UserError: a row with NaN, infinity or zeros; it is named.
    """
    block = block or COLUMN_BLOCK
    names = names if names is not None else range(len(features))
    sums = np.zeros((identities, features.shape[1]), dtype)
    for start in progress(range(0, len(features), block), desc="centres", unit=" blocks", delay=1):
        stop = min(start + block, len(features))
        vectors = unit(features[start:stop], names=names[start:stop])
        order = np.argsort(rows[start:stop], kind="stable")
        ordered = rows[start:stop][order]
        first = np.flatnonzero(np.r_[True, np.diff(ordered) > 0])
        sums[ordered[first]] += np.add.reduceat(vectors[order], first, axis=0)
    return sums
