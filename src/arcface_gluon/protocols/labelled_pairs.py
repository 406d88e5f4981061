"""Pairs of labelled images, for histograms such as the paper's Figure 6: positive and random negative pairs."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..errors import UserError
from .scores.blocks import unit


def labelled_pairs(
    embeddings: np.ndarray, labels: np.ndarray | Sequence[int], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """All genuine pairs of labelled images, and as many random impostor pairs.

    Args:
        embeddings: (n, d), of any length. labels: (n,).

    Returns:
        squared L2 distances of the unit embeddings (2g,) float64, and whether a pair is genuine (2g,) bool.

    Raises:
        UserError: an embedding is zero or not finite; there is one identity, or no two images of one.
    """
    labels, vectors = np.asarray(labels), unit(np.asarray(embeddings)).astype(np.float64)
    people = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    genuine = np.concatenate([own[np.stack(np.triu_indices(len(own), 1), axis=1)] for own in people])
    if len(people) < 2 or not len(genuine):
        raise UserError("labelled images give pairs of two identities or more, one of them with two images")
    rng = np.random.default_rng(seed)
    impostor = np.empty((0, 2), np.intp)
    while len(impostor) < len(genuine):
        drawn = rng.integers(0, len(labels), genuine.shape)
        impostor = np.concatenate([impostor, drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]]])
    pairs = np.concatenate([genuine, impostor[: len(genuine)]])
    distances = ((vectors[pairs[:, 0]] - vectors[pairs[:, 1]]) ** 2).sum(axis=1)
    return distances, np.arange(len(pairs)) < len(genuine)
