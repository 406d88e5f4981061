"""Which faces are of one person, where nobody says who: clusters by scikit-learn."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from sklearn.cluster import DBSCAN, AgglomerativeClustering
from sklearn.metrics.cluster import pair_confusion_matrix

MOST = 20_000  # faces whose angles to each other are kept, 8 bytes a pair


def cluster(embeddings: np.ndarray, cosine: float, method: str = "average") -> np.ndarray:
    """Clusters of faces.

    Args:
        embeddings: (n, d) of length 1.
        cosine: threshold above which two faces count as one person's.
        method: "average" or "complete": agglomerative, as long as the mean, or the least, of the cosines between two
            clusters is above it; "dbscan": chains of faces with at least one other as near.

    Returns:
        (n,) numbers from 0, the largest cluster first; a face with no other is a cluster of its own.
    """
    if len(embeddings) == 1:
        return np.zeros(1, np.int64)
    far = 1 - cosine
    if method == "dbscan":
        labels = DBSCAN(eps=far, min_samples=2, metric="cosine").fit(embeddings).labels_
        alone = labels < 0
        labels[alone] = labels.max() + 1 + np.arange(alone.sum())
    else:
        model = AgglomerativeClustering(n_clusters=None, metric="cosine", linkage=method, distance_threshold=far)
        labels = model.fit(embeddings).labels_
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse.ravel()]


def agreement(clusters: np.ndarray, people: Sequence[str]) -> tuple[float, float]:
    """(precision, recall) of the pairs in one cluster, as pairs of one person: both 1 where clusters are people."""
    numbers = np.unique(np.asarray(people), return_inverse=True)[1].ravel()
    (_, wrong), (missed, right) = pair_confusion_matrix(numbers, clusters)
    together, same = right + wrong, right + missed
    return float(right / together) if together else 1.0, float(right / same) if same else 1.0
