"""How far images are from the centre of their identity: what finds mislabelled ones."""

from __future__ import annotations

import numpy as np

from ..errors import UserError
from .scores.blocks import COLUMN_BLOCK, unit
from .scores.sums import identity_sums


def angles_to_mean(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Angle of each image to the mean of the other images of its identity.

    An image that is left out of its own centre cannot draw it to itself, which matters where there are few.

    Args:
        features: (n, d), may be a memory map; scaled to length 1 here.
        labels: (n,) whole numbers, the identity of each row.

    Returns:
        (n,) float32 degrees, NaN for an identity's only image.

    Raises:
        UserError: a row is not finite or has no direction.
    """
    _, rows = np.unique(labels, return_inverse=True)
    counts = np.bincount(rows)
    sums = identity_sums(features, rows, len(counts))
    cosines = np.empty(len(features), np.float32)
    for start, stop in _blocks(len(features)):
        block = unit(features[start:stop])
        others = sums[rows[start:stop]] - block
        length = np.linalg.norm(others, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosines[start:stop] = np.einsum("ij,ij->i", block, others) / length
    cosines[counts[rows] == 1] = np.nan
    return _degrees(cosines)


def angles_to_centres(features: np.ndarray, labels: np.ndarray, centres: np.ndarray, identities: int) -> np.ndarray:
    """Angle of each image to the centre of its identity that training learned; of several, to the dominant one.

    The dominant sub-centre is the one that most images of the identity are nearest to (Deng et al., Sub-center ArcFace,
    ECCV 2020): clean images gather there, others at the rest.

    Args:
        features: (n, d), may be a memory map.
        labels: (n,) whole numbers, 0 to identities - 1.
        centres: (identities K, d), the K of an identity one after the other.
        identities: how many there are.

    Returns:
        (n,) float32 degrees.

    Raises:
        UserError: the centres are of other identities or embeddings.
    """
    if len(centres) % identities or centres.shape[1] != features.shape[1]:
        raise UserError(
            f"the model's {len(centres):,} centres of {centres.shape[1]} values do not fit {identities:,} identities "
            f"and embeddings of {features.shape[1]}: it was trained on another set; compare with --centres mean"
        )
    each = len(centres) // identities
    centres = unit(centres).reshape(identities, each, -1)
    cosines = np.empty((len(features), each), np.float32)
    for start, stop in _blocks(len(features)):
        own = centres[labels[start:stop]]
        cosines[start:stop] = np.einsum("id,ikd->ik", unit(features[start:stop]), own)
    votes = np.zeros((identities, each), np.int64)
    np.add.at(votes, (labels, cosines.argmax(axis=1)), 1)
    dominant = votes.argmax(axis=1)
    return _degrees(cosines[np.arange(len(cosines)), dominant[labels]])


def _blocks(count):
    return ((start, min(start + COLUMN_BLOCK, count)) for start in range(0, count, COLUMN_BLOCK))


def _degrees(cosines):
    return np.degrees(np.arccos(np.clip(cosines, -1, 1))).astype(np.float32)
